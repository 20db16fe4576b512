//! A disk image whose parts are fetched when the machine reads them.

use reprise_core::image::{ImageSource, MemoryImage, MissingRange};
use reprise_recorder::images::tree::ImageTree;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// A part as it is fetched, in bytes: four blocks of the tree, at a multiple of its length.
pub(crate) const PART_BYTES: u64 = 1 << 20;

/// What is kept of an image, in bytes. Beyond, the parts that came first are forgotten, and fetched again when they are read.
const KEPT_BYTES_MAX: u64 = 256 << 20;

/// An image of which only parts are there.
#[derive(Debug)]
pub(crate) struct LazyImage {
    byte_len: u64,
    tree: ImageTree,
    parts: Mutex<Parts>,
    /// All of it, where no parts could be had.
    whole: OnceLock<Arc<[u8]>>,
}

#[derive(Debug, Default)]
struct Parts {
    kept: BTreeMap<u64, Vec<u8>>,
    /// Their numbers, in the order in which they came.
    order: VecDeque<u64>,
    kept_bytes: u64,
    /// The part that was read and is not there.
    missed: Option<u64>,
}

impl LazyImage {
    /// An image of which nothing is there.
    pub(crate) fn new(tree: ImageTree, byte_len: u64) -> Self {
        Self {
            byte_len,
            tree,
            parts: Mutex::default(),
            whole: OnceLock::new(),
        }
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn range(&self, number: u64) -> Range<u64> {
        let begin = number * PART_BYTES;
        begin..(begin + PART_BYTES).min(self.byte_len)
    }

    /// Whether a part is what it should be.
    pub(crate) fn admits(&self, offset: u64, bytes: &[u8]) -> bool {
        let range = self.range(offset / PART_BYTES);
        range.start == offset
            && range.end - range.start == bytes.len() as u64
            && self.tree.admits(offset, bytes)
    }

    /// Keeps a part that [`LazyImage::admits`] has admitted.
    pub(crate) fn insert(&self, offset: u64, bytes: Vec<u8>) {
        let mut parts = self.parts();
        let number = offset / PART_BYTES;
        if parts.kept.contains_key(&number) {
            return;
        }
        parts.kept_bytes += bytes.len() as u64;
        parts.kept.insert(number, bytes);
        parts.order.push_back(number);
        while parts.kept_bytes > KEPT_BYTES_MAX {
            let oldest = parts.order.pop_front();
            let Some(oldest) = oldest.and_then(|number| parts.kept.remove(&number)) else {
                break;
            };
            parts.kept_bytes -= oldest.len() as u64;
        }
    }

    /// Keeps the whole image instead of parts.
    pub(crate) fn complete(&self, whole: Arc<[u8]>) {
        // Another whole would be the same.
        drop(self.whole.set(whole));
        *self.parts() = Parts::default();
    }

    /// The parts that would let what has failed go on, the one that was read first; the one after it as well where
    /// somebody reads on.
    pub(crate) fn take_missed(&self) -> Option<(Range<u64>, Option<Range<u64>>)> {
        let mut parts = self.parts();
        let number = parts.missed.take()?;
        let reads_on = number > 0 && parts.kept.contains_key(&(number - 1));
        let next = number + 1;
        let is_wanted =
            reads_on && next * PART_BYTES < self.byte_len && !parts.kept.contains_key(&next);
        Some((self.range(number), is_wanted.then(|| self.range(next))))
    }
}

impl ImageSource for LazyImage {
    fn byte_len(&self) -> u64 {
        self.byte_len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), MissingRange> {
        if let Some(whole) = self.whole.get() {
            return MemoryImage(Arc::clone(whole)).read_at(offset, buffer);
        }
        let mut parts = self.parts();
        let end = offset.saturating_add(buffer.len() as u64);
        let (mut at, mut rest) = (offset, buffer);
        while at < end.min(self.byte_len) {
            let range = self.range(at / PART_BYTES);
            let length = (end.min(range.end) - at) as usize;
            let Some(part) = parts.kept.get(&(at / PART_BYTES)) else {
                parts.missed = Some(at / PART_BYTES);
                return Err(MissingRange {
                    offset: at,
                    length: end - at,
                });
            };
            let from = (at - range.start) as usize;
            let (piece, others) = rest.split_at_mut(length);
            piece.copy_from_slice(&part[from..from + length]);
            rest = others;
            at += length as u64;
        }
        rest.fill(0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn the_parts_that_came_first_are_forgotten_beyond_what_is_kept() {
        let byte_len = KEPT_BYTES_MAX + 2 * PART_BYTES;
        let tree = ImageTree::read(std::io::repeat(0).take(byte_len))
            .expect("is read")
            .expect("is large enough for a tree");
        let image = LazyImage::new(tree, byte_len);
        let part = vec![0; PART_BYTES as usize];
        let kept = KEPT_BYTES_MAX / PART_BYTES;
        let reads = |number: u64| image.read_at(number * PART_BYTES, &mut [1; 8]);
        for number in 0..kept {
            assert!(image.admits(number * PART_BYTES, &part));
            image.insert(number * PART_BYTES, part.clone());
            image.insert(number * PART_BYTES, part.clone());
        }
        assert_eq!(reads(0), Ok(()));
        image.insert(kept * PART_BYTES, part.clone());
        assert!(reads(0).is_err());
        assert_eq!(image.take_missed(), Some((0..PART_BYTES, None)));
        assert_eq!((reads(1), reads(kept)), (Ok(()), Ok(())));

        // What is fetched again is the newest.
        image.insert(0, part);
        assert_eq!((reads(0), reads(2)), (Ok(()), Ok(())));
        assert!(reads(1).is_err());
    }
}
