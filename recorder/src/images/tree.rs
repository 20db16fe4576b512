//! An image's tree: hashes of its blocks, by which a part is known to be right before the whole is there.
//!
//! Beside an image that is larger than a block lies a file of its name with `.tree` behind it: the chaining value of each
//! block of 256 KiB, 32 bytes each, in order. Such blocks are subtrees of the image's BLAKE3 tree (BLAKE3 paper, 2.1), so
//! that what the file says follows from the hash that names the image, and nobody has to be believed.

use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};
use reprise_core::image::ImageHash;
use std::io::{self, Read};

/// Length of a block in bytes; the last one of an image may be shorter.
pub const BLOCK_BYTES: u64 = 256 << 10;

/// A disk from this size on is read in parts on a page, where it has a tree; a smaller one is there sooner as a whole.
pub const PARTS_BYTES_MIN: u64 = 4 << 20;

/// Bytes of a hash in the file.
const HASH_BYTES: usize = 32;

/// The hashes of an image's blocks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImageTree {
    byte_len: u64,
    blocks: Vec<ChainingValue>,
}

/// Length in bytes of the tree of an image of a length; `None` for an image that has none, since it is one block at most.
#[must_use]
pub fn tree_byte_len(image_byte_len: u64) -> Option<u64> {
    (image_byte_len > BLOCK_BYTES).then(|| image_byte_len.div_ceil(BLOCK_BYTES) * HASH_BYTES as u64)
}

impl ImageTree {
    /// The tree of an image that is read to its end; `None` for one that is one block at most.
    ///
    /// # Errors
    /// What the reader says.
    pub fn read(mut image: impl Read) -> io::Result<Option<Self>> {
        let mut blocks = Vec::new();
        let mut byte_len = 0;
        let mut block = Vec::with_capacity(BLOCK_BYTES as usize);
        loop {
            block.clear();
            (&mut image).take(BLOCK_BYTES).read_to_end(&mut block)?;
            if block.is_empty() {
                break;
            }
            blocks.push(block_hash(byte_len, &block));
            byte_len += block.len() as u64;
        }
        Ok((blocks.len() > 1).then_some(Self { byte_len, blocks }))
    }

    /// A tree from its file; `None` unless it is the one of the image with this hash. A length that is wrong, but needs as
    /// many blocks, is found out by [`ImageTree::admits`] at the last of them.
    #[must_use]
    pub fn from_bytes(bytes: &[u8], image: &ImageHash, byte_len: u64) -> Option<Self> {
        if tree_byte_len(byte_len) != Some(bytes.len() as u64) {
            return None;
        }
        let (blocks, _) = bytes.as_chunks::<HASH_BYTES>();
        let tree = Self {
            byte_len,
            blocks: blocks.to_vec(),
        };
        (tree.image_hash() == *image).then_some(tree)
    }

    /// As its file has it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.blocks.concat()
    }

    /// The hash that names the image.
    #[must_use]
    pub fn image_hash(&self) -> ImageHash {
        let (left, right) = self.halves(&self.blocks, self.byte_len);
        ImageHash(*merge_subtrees_root(&left, &right, Mode::Hash).as_bytes())
    }

    /// Whether these are the image's bytes at an offset: whole blocks of it.
    #[must_use]
    pub fn admits(&self, offset: u64, bytes: &[u8]) -> bool {
        let end = offset.saturating_add(bytes.len() as u64);
        let is_whole = offset.is_multiple_of(BLOCK_BYTES)
            && end <= self.byte_len
            && (end.is_multiple_of(BLOCK_BYTES) || end == self.byte_len);
        let first = (offset / BLOCK_BYTES) as usize;
        let mut blocks = bytes.chunks(BLOCK_BYTES as usize).enumerate();
        is_whole
            && blocks.all(|(number, block)| {
                let at = offset + number as u64 * BLOCK_BYTES;
                self.blocks.get(first + number) == Some(&block_hash(at, block))
            })
    }

    /// The chaining value of a subtree over some blocks of so many bytes.
    fn subtree(&self, blocks: &[ChainingValue], byte_len: u64) -> ChainingValue {
        if let [block] = blocks {
            return *block;
        }
        let (left, right) = self.halves(blocks, byte_len);
        merge_subtrees_non_root(&left, &right, Mode::Hash)
    }

    fn halves(&self, blocks: &[ChainingValue], byte_len: u64) -> (ChainingValue, ChainingValue) {
        let left_byte_len = left_subtree_len(byte_len);
        let (left, right) = blocks.split_at((left_byte_len / BLOCK_BYTES) as usize);
        (
            self.subtree(left, left_byte_len),
            self.subtree(right, byte_len - left_byte_len),
        )
    }
}

/// The chaining value of a block that is not the whole image.
fn block_hash(offset: u64, block: &[u8]) -> ChainingValue {
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(offset);
    hasher.update(block);
    hasher.finalize_non_root()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(byte_len: usize) -> Vec<u8> {
        (0..byte_len as u32)
            .map(|at| (at.wrapping_mul(0x9e37_79b1) >> 24) as u8)
            .collect()
    }

    fn tree(image: &[u8]) -> ImageTree {
        ImageTree::read(image).expect("memory").expect("a tree")
    }

    const BLOCK: usize = BLOCK_BYTES as usize;

    #[test]
    fn a_tree_has_the_hash_of_its_image() {
        for byte_len in [
            BLOCK + 1,
            2 * BLOCK,
            2 * BLOCK + 1,
            3 * BLOCK - 1,
            4 * BLOCK,
            5 * BLOCK + 1000,
            7 * BLOCK,
            8 * BLOCK + 1024,
            13 * BLOCK + 77,
        ] {
            let image = image(byte_len);
            let tree = tree(&image);
            assert_eq!(tree.image_hash(), ImageHash::of(&image), "{byte_len}");
            let bytes = tree.to_bytes();
            assert_eq!(Some(bytes.len() as u64), tree_byte_len(byte_len as u64));
            let hash = ImageHash::of(&image);
            let read = ImageTree::from_bytes(&bytes, &hash, byte_len as u64);
            assert_eq!(read.as_ref(), Some(&tree));
        }
    }

    #[test]
    fn an_image_of_one_block_has_none() {
        for byte_len in [0, 1, BLOCK] {
            assert_eq!(ImageTree::read(&image(byte_len)[..]).expect("memory"), None);
            assert_eq!(tree_byte_len(byte_len as u64), None);
            assert_eq!(
                ImageTree::from_bytes(&[], &ImageHash([0; 32]), byte_len as u64),
                None
            );
        }
    }

    #[test]
    fn a_tree_of_another_image_is_refused() {
        let image = image(3 * BLOCK + 5);
        let (hash, byte_len) = (ImageHash::of(&image), image.len() as u64);
        let good = tree(&image).to_bytes();
        for at in [0, 40, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(ImageTree::from_bytes(&bad, &hash, byte_len), None);
        }
        assert_eq!(ImageTree::from_bytes(&good[1..], &hash, byte_len), None);
        for other in [byte_len - BLOCK_BYTES, byte_len + BLOCK_BYTES, u64::MAX] {
            assert_eq!(ImageTree::from_bytes(&good, &hash, other), None);
        }
        // A length that needs as many blocks is found out where the last one is read.
        let tree = ImageTree::from_bytes(&good, &hash, byte_len + 1).expect("as many blocks");
        let last = &image[3 * BLOCK..];
        assert!(!tree.admits(3 * BLOCK_BYTES, last));
        assert!(!tree.admits(3 * BLOCK_BYTES, &[last, &[0]].concat()));
    }

    #[test]
    fn parts_are_known_to_be_right() {
        let image = image(5 * BLOCK + 123);
        let tree = tree(&image);
        let end = image.len() as u64;
        for range in [
            0..BLOCK_BYTES,
            0..end,
            5 * BLOCK_BYTES..end,
            BLOCK_BYTES..3 * BLOCK_BYTES,
        ] {
            let bytes = &image[range.start as usize..range.end as usize];
            assert!(tree.admits(range.start, bytes), "{range:?}");
            let mut bad = bytes.to_vec();
            bad[bytes.len() - 1] ^= 1;
            assert!(!tree.admits(range.start, &bad), "{range:?}");
        }
        // Not whole blocks, blocks from elsewhere, and beyond the end.
        assert!(!tree.admits(1, &image[1..=BLOCK]));
        assert!(!tree.admits(0, &image[..BLOCK - 1]));
        assert!(!tree.admits(0, &image[BLOCK..2 * BLOCK]));
        assert!(!tree.admits(5 * BLOCK_BYTES, &[&image[5 * BLOCK..], &[0]].concat()));
        assert!(!tree.admits(u64::MAX / BLOCK_BYTES * BLOCK_BYTES, &image[..BLOCK]));
    }
}
