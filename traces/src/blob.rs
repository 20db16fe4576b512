//! Blobs: contents too large for a record, named by their hash and cut into pieces.

use crate::codec::{CodecError, put_varint, take_array, take_varint};
use crate::limits::{MAX_BLOB_BYTES, MAX_BLOB_PIECE_BYTES};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The BLAKE3 hash that names a blob or an image.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct BlobHash(pub [u8; 32]);

impl BlobHash {
    /// The name of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Display for BlobHash {
    /// 64 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A part of a blob, as one chunk carries it. The pieces of a blob follow each other without a gap in
/// the blob or in the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlobPiece {
    /// The blob's name.
    pub hash: BlobHash,
    /// Size of the whole blob in bytes.
    pub blob_bytes: u64,
    /// Where in the blob this piece begins.
    pub offset: u64,
    /// The content from there, 1 byte to 4 MiB; empty only in the one piece of an empty blob.
    pub bytes: Vec<u8>,
}

impl BlobPiece {
    /// Whether the blob ends with this piece.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.offset + self.bytes.len() as u64 == self.blob_bytes
    }

    /// The content of a blob chunk.
    pub(crate) fn encode(
        hash: &BlobHash,
        blob_bytes: u64,
        offset: u64,
        bytes: &[u8],
    ) -> Result<Vec<u8>, CodecError> {
        let mut raw = Vec::with_capacity(bytes.len() + 50);
        raw.extend_from_slice(&hash.0);
        put_varint(&mut raw, blob_bytes)?;
        put_varint(&mut raw, offset)?;
        raw.extend_from_slice(bytes);
        Ok(raw)
    }

    /// Reads the content of a blob chunk. The lengths of the result are consistent and within limits.
    pub(crate) fn decode(raw: &[u8]) -> Result<Self, CodecError> {
        let mut rest = raw;
        let hash = BlobHash(take_array(&mut rest)?);
        let blob_bytes = take_varint(&mut rest)?;
        let offset = take_varint(&mut rest)?;
        let fits = blob_bytes <= MAX_BLOB_BYTES
            && rest.len() <= MAX_BLOB_PIECE_BYTES as usize
            && offset
                .checked_add(rest.len() as u64)
                .is_some_and(|end| end <= blob_bytes)
            && (!rest.is_empty() || blob_bytes == 0);
        if !fits {
            return Err(CodecError);
        }
        Ok(Self {
            hash,
            blob_bytes,
            offset,
            bytes: rest.to_vec(),
        })
    }
}

/// Follows the pieces of one blob and checks that they are its content.
#[derive(Debug)]
pub(crate) struct BlobCheck {
    hash: BlobHash,
    blob_bytes: u64,
    first_chunk: u32,
    bytes_seen: u64,
    hasher: blake3::Hasher,
}

impl BlobCheck {
    /// A blob of which nothing has been seen yet and whose first piece is in this chunk.
    pub(crate) fn new(hash: BlobHash, blob_bytes: u64, first_chunk: u32) -> Self {
        Self {
            hash,
            blob_bytes,
            first_chunk,
            bytes_seen: 0,
            hasher: blake3::Hasher::new(),
        }
    }

    /// Takes the next piece; false if it is not the next piece of this blob.
    pub(crate) fn accept(&mut self, piece: &BlobPiece) -> bool {
        let next = piece.hash == self.hash
            && piece.blob_bytes == self.blob_bytes
            && piece.offset == self.bytes_seen;
        if next {
            self.hasher.update(&piece.bytes);
            self.bytes_seen += piece.bytes.len() as u64;
        }
        next
    }

    /// Whether all pieces have been seen, and whether they are what the name says.
    pub(crate) fn verdict(&self) -> BlobVerdict {
        if self.bytes_seen < self.blob_bytes {
            BlobVerdict::Unfinished
        } else if *self.hasher.finalize().as_bytes() == self.hash.0 {
            BlobVerdict::Whole
        } else {
            BlobVerdict::Mismatch
        }
    }

    /// Number of the chunk with the first piece.
    pub(crate) fn first_chunk(&self) -> u32 {
        self.first_chunk
    }
}

/// What [`BlobCheck`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BlobVerdict {
    /// Pieces are missing.
    Unfinished,
    /// All pieces are there and are the content that the name says.
    Whole,
    /// All pieces are there and are other content.
    Mismatch,
}
