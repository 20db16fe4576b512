//! What was written to a disk whose image never changes: whole blocks, copied on write.

use super::DiskContents;
use crate::image::{ImageSource, MissingRange};
use crate::state::{StateError, StateReader, StateWriter};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// Bytes of a block, the unit of copying.
pub const BLOCK_BYTES: u64 = 4096;

type BlockBytes = [u8; BLOCK_BYTES as usize];

#[derive(Clone, Debug)]
struct Block {
    bytes: Box<BlockBytes>,
    hash: u64,
}

/// A disk: an image and the blocks that were written over it.
pub struct Overlay {
    image: Box<dyn ImageSource>,
    blocks: BTreeMap<u64, Block>,
    /// Wrapping sum of the blocks' hashes.
    hash_sum: u64,
}

impl std::fmt::Debug for Overlay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Overlay")
            .field("image_bytes", &self.image.byte_len())
            .field("blocks_written", &self.blocks.len())
            .finish_non_exhaustive()
    }
}

impl Overlay {
    /// A disk as its image has it.
    #[must_use]
    pub fn new(image: Box<dyn ImageSource>) -> Self {
        Self {
            image,
            blocks: BTreeMap::new(),
            hash_sum: 0,
        }
    }

    /// Size of the image in bytes.
    #[must_use]
    pub fn byte_len(&self) -> u64 {
        self.image.byte_len()
    }

    /// How many blocks were written.
    #[must_use]
    pub fn written_block_count(&self) -> usize {
        self.blocks.len()
    }

    /// Fills `buffer` from `offset`. Bytes beyond the image that were never written are zeros.
    ///
    /// # Errors
    /// [`MissingRange`] of the image; `buffer` is then unspecified.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), MissingRange> {
        let end = offset + buffer.len() as u64;
        let mut at = offset;
        while at < end {
            let block = at / BLOCK_BYTES;
            let start = (at - offset) as usize;
            if let Some(written) = self.blocks.get(&block) {
                let within = (at % BLOCK_BYTES) as usize;
                let length = (BLOCK_BYTES as usize - within).min(buffer.len() - start);
                buffer[start..start + length]
                    .copy_from_slice(&written.bytes[within..within + length]);
                at += length as u64;
                continue;
            }
            // One read for all blocks up to the next that was written.
            let stop = self
                .blocks
                .range(block..)
                .next()
                .map_or(end, |(next, _)| end.min(next * BLOCK_BYTES));
            let length = (stop - at) as usize;
            self.image.read_at(at, &mut buffer[start..start + length])?;
            at = stop;
        }
        Ok(())
    }

    /// Writes bytes that lie within one block. A block written in part for the first time takes
    /// its other bytes from the image.
    ///
    /// # Errors
    /// [`MissingRange`] of the image; nothing is written then.
    ///
    /// # Panics
    /// When the bytes reach into the next block.
    pub fn write_in_block(&mut self, offset: u64, bytes: &[u8]) -> Result<(), MissingRange> {
        let number = offset / BLOCK_BYTES;
        let within = (offset % BLOCK_BYTES) as usize;
        if !self.blocks.contains_key(&number) {
            let mut base = Box::new([0; BLOCK_BYTES as usize]);
            if bytes.len() < BLOCK_BYTES as usize {
                self.image.read_at(number * BLOCK_BYTES, &mut base[..])?;
            }
            self.blocks.insert(
                number,
                Block {
                    bytes: base,
                    hash: 0,
                },
            );
        }
        if let Some(block) = self.blocks.get_mut(&number) {
            block.bytes[within..within + bytes.len()].copy_from_slice(bytes);
            let hash = block_hash(number, &block.bytes);
            self.hash_sum = self.hash_sum.wrapping_sub(block.hash).wrapping_add(hash);
            block.hash = hash;
        }
        Ok(())
    }

    /// Whether the image has what a write that covers only a part of the block at `offset` needs.
    ///
    /// # Errors
    /// [`MissingRange`].
    pub fn check_write_of_part(&self, offset: u64) -> Result<(), MissingRange> {
        let number = offset / BLOCK_BYTES;
        if self.blocks.contains_key(&number) {
            return Ok(());
        }
        self.image
            .read_at(number * BLOCK_BYTES, &mut [0; BLOCK_BYTES as usize])
    }
}

fn block_hash(number: u64, bytes: &BlockBytes) -> u64 {
    xxh3_128_with_seed(bytes, number) as u64
}

impl DiskContents for Overlay {
    fn save_contents(&self, to: &mut StateWriter) {
        to.section(*b"OVER", |to| {
            to.u64(self.blocks.len() as u64);
            for (number, block) in &self.blocks {
                to.u64(*number);
                to.bytes(&block.bytes[..]);
            }
        });
    }

    fn restore_contents(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        let bad = |field| StateError::BadValue { field };
        let mut from = from.section(*b"OVER")?;
        let block_limit = self.byte_len().div_ceil(BLOCK_BYTES);
        let mut blocks = BTreeMap::new();
        let mut hash_sum = 0_u64;
        // Every turn takes a block's bytes from the input, so a false count ends it early.
        for _ in 0..from.u64()? {
            let number = from.u64()?;
            let is_next = blocks
                .last_key_value()
                .is_none_or(|(last, _)| *last < number);
            if number >= block_limit || !is_next {
                return Err(bad("a disk block's number"));
            }
            let bytes: BlockBytes = from
                .bytes()?
                .try_into()
                .map_err(|_| bad("a disk block's length"))?;
            let hash = block_hash(number, &bytes);
            hash_sum = hash_sum.wrapping_add(hash);
            let bytes = Box::new(bytes);
            blocks.insert(number, Block { bytes, hash });
        }
        self.blocks = blocks;
        self.hash_sum = hash_sum;
        Ok(())
    }

    fn contents_hash(&self) -> u64 {
        self.hash_sum
    }
}
