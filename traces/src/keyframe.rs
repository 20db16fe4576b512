//! Keyframes: machine states stored in a trace, so that a seek need not replay from the start.
//!
//! A keyframe is opaque state bytes plus pages of RAM. Equal pages are stored once for the whole trace:
//! pages chunks number them in order, and a keyframe's page map says which stored page is where.

use crate::blob::BlobHash;
use crate::codec::{CodecError, decode, encode};
use crate::limits::MAX_PAGE_MAP_BYTES;
use std::collections::HashMap;

/// Bytes in a stored page.
pub const PAGE_BYTES: usize = 4096;

/// A keyframe without the content of its pages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keyframe {
    /// Position of the state.
    pub icount: u64,
    /// The state apart from RAM, as the machine encodes it.
    pub state: Vec<u8>,
    /// Which stored page is where in RAM, in ascending order. A page in no run is all zeros.
    pub pages: Vec<PageRun>,
}

/// Pages that follow each other both in RAM and among the stored pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageRun {
    /// Number of the first page in RAM: its address divided by 4096.
    pub page: u64,
    /// How many pages, at least 1.
    pub count: u64,
    /// Number of the first stored page.
    pub stored: u64,
}

/// A page of a keyframe that is to be written.
#[derive(Clone, Copy, Debug)]
pub enum KeyframePage<'a> {
    /// Its content.
    Bytes(&'a [u8; PAGE_BYTES]),
    /// The stored page of this number.
    Stored(u64),
}

/// Encodes a page map: each run as its distance from the end of the run before it, its length, and its
/// first stored page.
pub(crate) fn encode_page_map(runs: &[PageRun]) -> Result<Vec<u8>, CodecError> {
    let mut end = 0u64;
    let mut wire = Vec::with_capacity(runs.len());
    for run in runs {
        let gap = run.page.checked_sub(end).ok_or(CodecError)?;
        end = run.page.checked_add(run.count).ok_or(CodecError)?;
        wire.push((gap, run.count, run.stored));
    }
    encode(&wire, MAX_PAGE_MAP_BYTES as u32)
}

/// Reads a page map. Runs in the result are ascending, do not overlap, and name only stored pages below
/// `page_count`.
pub(crate) fn decode_page_map(bytes: &[u8], page_count: u64) -> Result<Vec<PageRun>, CodecError> {
    let wire: Vec<(u64, u64, u64)> = decode(bytes)?;
    let mut end = 0u64;
    let mut runs = Vec::with_capacity(wire.len());
    for (gap, count, stored) in wire {
        let page = end.checked_add(gap).ok_or(CodecError)?;
        end = page.checked_add(count).ok_or(CodecError)?;
        let stored_end = stored.checked_add(count).ok_or(CodecError)?;
        if count == 0 || stored_end > page_count {
            return Err(CodecError);
        }
        runs.push(PageRun {
            page,
            count,
            stored,
        });
    }
    Ok(runs)
}

/// Gives equal pages one number.
#[derive(Debug, Default)]
pub(crate) struct PageNumbers {
    numbers: HashMap<BlobHash, u64>,
}

impl PageNumbers {
    /// The number of the page with this content, if it is stored; else gives it `next` and answers
    /// `None`.
    pub(crate) fn find_or_insert(&mut self, page: &[u8; PAGE_BYTES], next: u64) -> Option<u64> {
        match self.numbers.entry(BlobHash::of(page)) {
            std::collections::hash_map::Entry::Occupied(entry) => Some(*entry.get()),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(next);
                None
            }
        }
    }
}

/// Appends one page to a page map, joining it to the last run where it continues that.
pub(crate) fn push_page(runs: &mut Vec<PageRun>, page: u64, stored: u64) {
    if let Some(last) = runs.last_mut()
        && last.page + last.count == page
        && last.stored + last.count == stored
    {
        last.count += 1;
        return;
    }
    runs.push(PageRun {
        page,
        count: 1,
        stored,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_maps_round_trip() {
        let mut runs = Vec::new();
        for (page, stored) in [(0, 5), (1, 6), (2, 0), (9, 1), (10, 2), (11, 2)] {
            push_page(&mut runs, page, stored);
        }
        assert_eq!(runs.len(), 4);
        let bytes = encode_page_map(&runs).unwrap();
        assert_eq!(decode_page_map(&bytes, 7).unwrap(), runs);
        assert!(
            decode_page_map(&bytes, 6).is_err(),
            "names a page that is not stored"
        );
        assert!(
            encode_page_map(&[runs[1], runs[0]]).is_err(),
            "out of order"
        );
    }

    #[test]
    fn hostile_page_maps_are_refused() {
        let check = |runs: &[(u64, u64, u64)]| {
            let bytes = encode(&runs.to_vec(), 1000).unwrap();
            assert!(decode_page_map(&bytes, 10).is_err(), "{runs:?}");
        };
        check(&[(0, 0, 0)]);
        check(&[(u64::MAX, 1, 0)]);
        check(&[(0, u64::MAX, 0)]);
        check(&[(0, 1, u64::MAX)]);
        check(&[(0, 1, 0), (u64::MAX, 1, 0)]);
    }
}
