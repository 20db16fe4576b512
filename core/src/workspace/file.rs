//! A regular file: blocks that were written, over what is left of a file of the listing.

use super::Stop;
use super::content::Contents;
use super::listing::FILE_BYTES_MAX;
use crate::state::{StateError, StateReader, StateWriter};
use std::collections::BTreeMap;
use std::ops::Range;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// Bytes of a block, the unit of copying.
pub(super) const BLOCK_BYTES: u64 = 4096;
/// What a block takes from the overlay's budget, in bytes.
pub(super) const BLOCK_COST_BYTES: u64 = BLOCK_BYTES + 64;

type BlockBytes = [u8; BLOCK_BYTES as usize];

#[derive(Clone, PartialEq, Eq, Debug)]
struct Block {
    bytes: Box<BlockBytes>,
    hash: u64,
}

/// Where a file's bytes that were not written come from.
#[derive(Clone, Copy)]
pub(super) struct Base<'a> {
    /// The file's number in the listing; of no meaning for a file that the guest has made, which has no base bytes.
    pub(super) number: u32,
    pub(super) contents: &'a Contents,
}

/// A regular file.
///
/// What is beyond its length is zero in the last block, and no block lies beyond it, so that a file that grows again
/// shows nothing of what it held.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct File {
    byte_len: u64,
    /// Bytes from here on are not the listing's; at most the length.
    base_bytes: u64,
    blocks: BTreeMap<u64, Block>,
    /// Wrapping sum of the blocks' hashes.
    hash_sum: u64,
}

impl File {
    /// A file as the listing has it.
    pub(super) fn over_base(byte_len: u64) -> Self {
        Self {
            byte_len,
            base_bytes: byte_len,
            ..Self::default()
        }
    }

    pub(super) fn byte_len(&self) -> u64 {
        self.byte_len
    }

    /// How many bytes are still the listing's, those under written blocks included.
    pub(super) fn base_bytes(&self) -> u64 {
        self.base_bytes
    }

    pub(super) fn block_count(&self) -> u64 {
        self.blocks.len() as u64
    }

    pub(super) fn hash_sum(&self) -> u64 {
        self.hash_sum
    }

    /// Fills `buffer` from `offset`, up to the file's end; returns how many bytes that were.
    pub(super) fn read(
        &self,
        base: Base<'_>,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, Stop> {
        let length = self
            .byte_len
            .saturating_sub(offset)
            .min(buffer.len() as u64);
        let end = offset + length;
        self.check_read(base, offset..end)?;
        for piece in pieces(offset..end) {
            let start = (piece.start - offset) as usize;
            let piece_bytes = (piece.end - piece.start) as usize;
            let to = &mut buffer[start..start + piece_bytes];
            if let Some(block) = self.blocks.get(&(piece.start / BLOCK_BYTES)) {
                let within = (piece.start % BLOCK_BYTES) as usize;
                to.copy_from_slice(&block.bytes[within..within + piece_bytes]);
            } else {
                let base_bytes = self.base_bytes.saturating_sub(piece.start);
                let (from_base, zeros) = to.split_at_mut(piece_bytes.min(base_bytes as usize));
                base.contents.copy(base.number, piece.start, from_base);
                zeros.fill(0);
            }
        }
        Ok(length as usize)
    }

    /// Makes sure that a range can be read.
    pub(super) fn check_read(&self, base: Base<'_>, range: Range<u64>) -> Result<(), Stop> {
        let needed = self.base_ranges(range);
        base.contents.check(base.number, needed)
    }

    /// What of a range must come from the listing's file.
    fn base_ranges(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let end = range.end.min(self.base_bytes);
        pieces(range.start.min(end)..end)
            .filter(|piece| !self.blocks.contains_key(&(piece.start / BLOCK_BYTES)))
    }

    /// How many blocks a write would add.
    pub(super) fn blocks_added(&self, offset: u64, length: u64) -> u64 {
        if length == 0 {
            return 0;
        }
        let (first, last) = (offset / BLOCK_BYTES, (offset + length - 1) / BLOCK_BYTES);
        last - first + 1 - self.blocks.range(first..=last).count() as u64
    }

    /// Makes sure that [`File::write`] has the bytes of the listing's file that it needs: those of blocks that are
    /// written in part.
    pub(super) fn check_write(&self, base: Base<'_>, offset: u64, length: u64) -> Result<(), Stop> {
        let needed = pieces(offset..offset + length).filter_map(|piece| {
            let number = piece.start / BLOCK_BYTES;
            let start = number * BLOCK_BYTES;
            let base_end = self.base_bytes.min(start + BLOCK_BYTES);
            let is_covered = piece.start == start && piece.end >= base_end;
            let is_needed = base_end > start && !is_covered && !self.blocks.contains_key(&number);
            is_needed.then_some(start..base_end)
        });
        base.contents.check(base.number, needed)
    }

    /// Writes bytes that [`File::check_write`] agreed to. `seed` keeps the file's hash apart from others'.
    pub(super) fn write(&mut self, base: Base<'_>, seed: u64, offset: u64, bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        self.byte_len = self.byte_len.max(end);
        for piece in pieces(offset..end) {
            let number = piece.start / BLOCK_BYTES;
            let start = number * BLOCK_BYTES;
            let base_bytes = self.base_bytes;
            let block = self.blocks.entry(number).or_insert_with(|| {
                let mut bytes = Box::new([0; BLOCK_BYTES as usize]);
                let length = base_bytes.saturating_sub(start).min(BLOCK_BYTES);
                let is_covered = piece.start == start && piece.end - start >= length;
                if !is_covered {
                    let to = &mut bytes[..length as usize];
                    base.contents.copy(base.number, start, to);
                }
                Block { bytes, hash: 0 }
            });
            let within = (piece.start - start) as usize;
            let from = (piece.start - offset) as usize;
            let piece_bytes = (piece.end - piece.start) as usize;
            block.bytes[within..within + piece_bytes]
                .copy_from_slice(&bytes[from..from + piece_bytes]);
            self.hash_sum = self.hash_sum.wrapping_sub(block.hash);
            block.hash = block_hash(seed, number, &block.bytes);
            self.hash_sum = self.hash_sum.wrapping_add(block.hash);
        }
    }

    /// Gives the file another length. What it loses is lost; what it gains is zero.
    pub(super) fn set_len(&mut self, seed: u64, byte_len: u64) {
        if byte_len < self.byte_len {
            self.base_bytes = self.base_bytes.min(byte_len);
            for block in self
                .blocks
                .split_off(&byte_len.div_ceil(BLOCK_BYTES))
                .values()
            {
                self.hash_sum = self.hash_sum.wrapping_sub(block.hash);
            }
            let last = byte_len / BLOCK_BYTES;
            if let Some(block) = self.blocks.get_mut(&last) {
                block.bytes[(byte_len % BLOCK_BYTES) as usize..].fill(0);
                self.hash_sum = self.hash_sum.wrapping_sub(block.hash);
                block.hash = block_hash(seed, last, &block.bytes);
                self.hash_sum = self.hash_sum.wrapping_add(block.hash);
            }
        }
        self.byte_len = byte_len;
    }

    pub(super) fn save(&self, to: &mut StateWriter) {
        to.u64(self.byte_len);
        to.u64(self.base_bytes);
        to.u64(self.blocks.len() as u64);
        for (number, block) in &self.blocks {
            to.u64(*number);
            to.bytes(&block.bytes[..]);
        }
    }

    /// Reads a file whose base has `base_bytes_max` bytes.
    pub(super) fn restore(
        from: &mut StateReader<'_>,
        seed: u64,
        base_bytes_max: u64,
    ) -> Result<Self, StateError> {
        let bad = |field| StateError::BadValue { field };
        let mut file = Self {
            byte_len: from.u64()?,
            base_bytes: from.u64()?,
            ..Self::default()
        };
        if file.byte_len > FILE_BYTES_MAX {
            return Err(bad("the length of a workspace's file"));
        }
        if file.base_bytes > base_bytes_max.min(file.byte_len) {
            return Err(bad("what a workspace's file keeps of the listing's"));
        }
        // Every turn takes a block's bytes from the input, so a false count ends it early.
        for _ in 0..from.u64()? {
            let number = from.u64()?;
            let last = file.blocks.last_key_value();
            let is_next = last.is_none_or(|(last, _)| *last < number);
            if !is_next || number >= file.byte_len.div_ceil(BLOCK_BYTES) {
                return Err(bad("the number of a workspace's block"));
            }
            let bytes: BlockBytes = from
                .bytes()?
                .try_into()
                .map_err(|_| bad("the length of a workspace's block"))?;
            let used = (file.byte_len - number * BLOCK_BYTES).min(BLOCK_BYTES) as usize;
            if bytes[used..].iter().any(|byte| *byte != 0) {
                return Err(bad("what is beyond the end of a workspace's file"));
            }
            let hash = block_hash(seed, number, &bytes);
            file.hash_sum = file.hash_sum.wrapping_add(hash);
            let bytes = Box::new(bytes);
            file.blocks.insert(number, Block { bytes, hash });
        }
        Ok(file)
    }
}

fn block_hash(seed: u64, number: u64, bytes: &BlockBytes) -> u64 {
    // Inodes are small; a file has at most 2^32 blocks.
    xxh3_128_with_seed(bytes, seed.rotate_left(32) ^ number) as u64
}

/// Cuts a range at the bounds of blocks.
fn pieces(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let mut at = range.start;
    std::iter::from_fn(move || {
        if at >= range.end {
            return None;
        }
        let next = range.end.min((at / BLOCK_BYTES + 1) * BLOCK_BYTES);
        let piece = at..next;
        at = next;
        Some(piece)
    })
}
