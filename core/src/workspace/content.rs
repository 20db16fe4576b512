//! Bytes of the listing's files that have come. They come once and stay.

use super::Listing;
use super::Stop;
use super::errno::Errno;
use crate::state::{StateError, StateReader, StateWriter};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// Bytes of an extent, the unit in which contents come: as much as Linux reads ahead.
pub const EXTENT_BYTES: u64 = 128 << 10;

/// Names an extent of a file of the listing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct ContentKey {
    /// The file: its entry's number in the listing.
    pub file: u32,
    /// The extent: the bytes from here times [`EXTENT_BYTES`] on, up to the next extent or the file's end.
    pub extent: u32,
}

impl ContentKey {
    /// The bytes of the file that the extent is made of; empty when there is no such file or extent.
    #[must_use]
    pub fn range(self, listing: &Listing) -> Range<u64> {
        let file_bytes = listing.file_bytes(self.file).unwrap_or(0);
        let start = u64::from(self.extent) * EXTENT_BYTES;
        start..(start + EXTENT_BYTES).min(file_bytes).max(start)
    }

    fn seed(self) -> u64 {
        u64::from(self.file) << 32 | u64::from(self.extent)
    }
}

/// What the host says of an extent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// Its bytes, exactly as many as [`ContentKey::range`] has.
    Bytes(Arc<[u8]>),
    /// All its bytes are 0, as in the holes of sparse files.
    Zeros,
    /// It cannot be read, for instance since the file is no longer what was listed: the guest gets `EIO`.
    Unreadable,
}

/// Why a content was not taken. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ContentError {
    /// The listing has no such file, or the file no such extent.
    #[error("the workspace has no such extent")]
    NoSuchExtent,
    /// The bytes are too few or too many.
    #[error("an extent of the workspace must have {wanted} bytes, not {given}")]
    WrongLength {
        /// How many belong there.
        wanted: u64,
        /// How many came.
        given: u64,
    },
    /// Contents come once.
    #[error("the extent has come before")]
    CameBefore,
}

impl ContentError {
    /// What is wrong with an event that brings such a content.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NoSuchExtent => "the workspace has no such extent",
            Self::WrongLength { .. } => "an extent of the workspace has another length",
            Self::CameBefore => "that extent of the workspace has come before",
        }
    }
}

/// The contents that have come.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    extents: BTreeMap<ContentKey, Content>,
    /// Wrapping sum of the extents' hashes.
    hash_sum: u64,
}

impl Contents {
    /// Takes a content.
    ///
    /// # Errors
    /// [`ContentError`].
    pub fn insert(
        &mut self,
        listing: &Listing,
        key: ContentKey,
        content: Content,
    ) -> Result<(), ContentError> {
        let range = key.range(listing);
        let wanted = range.end - range.start;
        if wanted == 0 {
            return Err(ContentError::NoSuchExtent);
        }
        if let Content::Bytes(bytes) = &content
            && bytes.len() as u64 != wanted
        {
            return Err(ContentError::WrongLength {
                wanted,
                given: bytes.len() as u64,
            });
        }
        if self.extents.contains_key(&key) {
            return Err(ContentError::CameBefore);
        }
        self.hash_sum = self.hash_sum.wrapping_add(content_hash(key, &content));
        self.extents.insert(key, content);
        Ok(())
    }

    /// Whether an extent has come, readable or not.
    #[must_use]
    pub fn has(&self, key: ContentKey) -> bool {
        self.extents.contains_key(&key)
    }

    /// What a range of a file is made of: of the extents that have not come, those that `later` has.
    pub(super) fn part(
        &self,
        listing: &Listing,
        file: u32,
        range: Range<u64>,
        later: &mut dyn FnMut(ContentKey) -> Option<Content>,
    ) -> Self {
        let mut part = Self::default();
        let file_bytes = listing.file_bytes(file).unwrap_or(0);
        let range = range.start..range.end.min(file_bytes);
        if range.is_empty() {
            return part;
        }
        for extent in range.start / EXTENT_BYTES..=(range.end - 1) / EXTENT_BYTES {
            // A file has fewer than 2^32 extents.
            let extent = extent as u32;
            let key = ContentKey { file, extent };
            let content = self.extents.get(&key).cloned().or_else(|| later(key));
            if let Some(content) = content {
                // What does not fit stays missing.
                let _ = part.insert(listing, key, content);
            }
        }
        part
    }

    /// Hash of all that came, kept up to date: a wrapping sum over the extents.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash_sum
    }

    /// Makes sure that the bytes of some ranges of a file, in ascending order, can be read.
    pub(super) fn check(
        &self,
        file: u32,
        ranges: impl Iterator<Item = Range<u64>>,
    ) -> Result<(), Stop> {
        let mut missing = Vec::new();
        let mut is_unreadable = false;
        for range in ranges.filter(|range| !range.is_empty()) {
            for extent in range.start / EXTENT_BYTES..=(range.end - 1) / EXTENT_BYTES {
                // A file has fewer than 2^32 extents.
                let extent = extent as u32;
                let key = ContentKey { file, extent };
                match self.extents.get(&key) {
                    Some(Content::Bytes(_) | Content::Zeros) => {}
                    Some(Content::Unreadable) => is_unreadable = true,
                    None if missing.last() == Some(&key) => {}
                    None => missing.push(key),
                }
            }
        }
        if is_unreadable {
            Err(Errno::IO.into())
        } else if missing.is_empty() {
            Ok(())
        } else {
            Err(Stop::Missing(missing))
        }
    }

    /// Copies bytes of a file that [`Contents::check`] has found.
    pub(super) fn copy(&self, file: u32, offset: u64, buffer: &mut [u8]) {
        let mut at = offset;
        let mut rest = buffer;
        while !rest.is_empty() {
            let key = ContentKey {
                file,
                extent: (at / EXTENT_BYTES) as u32,
            };
            let within = (at % EXTENT_BYTES) as usize;
            let taken = rest.len().min(EXTENT_BYTES as usize - within);
            let (piece, after) = rest.split_at_mut(taken);
            match self.extents.get(&key) {
                Some(Content::Bytes(bytes)) if bytes.len() >= within + taken => {
                    piece.copy_from_slice(&bytes[within..within + taken]);
                }
                // Zeros; anything else is only reached when the check before was left out.
                _ => piece.fill(0),
            }
            at += taken as u64;
            rest = after;
        }
    }

    pub(super) fn save(&self, to: &mut StateWriter) {
        to.u64(self.extents.len() as u64);
        for (key, content) in &self.extents {
            to.u32(key.file);
            to.u32(key.extent);
            // No extent is empty, so no bytes can stand for zeros.
            let bytes = match content {
                Content::Bytes(bytes) => Some(&bytes[..]),
                Content::Zeros => Some(&[][..]),
                Content::Unreadable => None,
            };
            to.option(bytes, |to, bytes| to.bytes(bytes));
        }
    }

    pub(super) fn restore(
        listing: &Listing,
        from: &mut StateReader<'_>,
    ) -> Result<Self, StateError> {
        let mut contents = Self::default();
        // Every turn takes bytes from the input, so a false count ends it early.
        for _ in 0..from.u64()? {
            let key = ContentKey {
                file: from.u32()?,
                extent: from.u32()?,
            };
            let content = match from.option(|from| from.bytes())? {
                Some([]) => Content::Zeros,
                Some(bytes) => Content::Bytes(bytes.into()),
                None => Content::Unreadable,
            };
            let last = contents.extents.last_key_value();
            let is_next = last.is_none_or(|(last, _)| *last < key);
            if !is_next || contents.insert(listing, key, content).is_err() {
                return Err(StateError::BadValue {
                    field: "a workspace's content",
                });
            }
        }
        Ok(contents)
    }
}

fn content_hash(key: ContentKey, content: &Content) -> u64 {
    match content {
        Content::Bytes(bytes) => xxh3_128_with_seed(bytes, key.seed()) as u64,
        Content::Zeros => xxh3_128_with_seed(b"zeros", !key.seed()) as u64,
        Content::Unreadable => xxh3_128_with_seed(b"unreadable", !key.seed()) as u64,
    }
}
