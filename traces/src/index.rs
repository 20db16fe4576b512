//! The index: where everything in a trace is.

use crate::blob::{BlobCheck, BlobHash, BlobPiece, BlobVerdict};
use crate::chunk::{CHUNK_HEADER_BYTES, ChunkHeader, ChunkKind};
use crate::codec::{decode, encode, put_bytes, take_byte, take_bytes};
use crate::error::TraceError;
use crate::keyframe::PAGE_BYTES;
use crate::limits::{
    MAX_BLOBS, MAX_CHUNK_RAW_BYTES, MAX_CHUNKS, MAX_KEYFRAMES, MAX_PAGES_PER_CHUNK,
    MAX_RAW_BYTES_BASE, MAX_RAW_BYTES_PER_BYTE,
};
use crate::record::{Input, Record};
use crate::wire::{WireError, is_skippable};
use std::collections::BTreeMap;

const FIELD_CHUNKS: u8 = 0x01;
const FIELD_TOTALS: u8 = 0x02;
const FIELD_BLOBS: u8 = 0x03;
const FIELD_KEYFRAMES: u8 = 0x80;

/// What a trace contains and where. A finished trace carries it; for others the reader builds it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Index {
    /// Every chunk but the index's own, in order; a chunk's number is its place here.
    pub chunks: Vec<ChunkEntry>,
    /// Position of the last record; 0 if there is none.
    pub last_icount: u64,
    /// How many records there are.
    pub record_count: u64,
    /// The blobs that are there as a whole.
    pub blobs: BTreeMap<BlobHash, BlobEntry>,
    /// The keyframes, in order of icount.
    pub keyframes: Vec<KeyframeEntry>,
}

/// Where a chunk is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChunkEntry {
    /// What it holds.
    pub kind: ChunkKind,
    /// Where its header begins, in bytes from the start of the file.
    pub at_byte: u64,
    /// Size of its content in bytes, decompressed.
    pub raw_bytes: u32,
    /// Size of its content in bytes as it stands in the file.
    pub stored_bytes: u32,
    /// Position of its first record; for other chunks, of the last record before it.
    pub base_icount: u64,
}

impl ChunkEntry {
    /// Where the next chunk begins.
    #[must_use]
    pub const fn end_at_byte(&self) -> u64 {
        self.at_byte + CHUNK_HEADER_BYTES as u64 + self.stored_bytes as u64
    }
}

/// Where a blob is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlobEntry {
    /// Its size in bytes.
    pub bytes: u64,
    /// Number of the chunk with its first piece; the others follow.
    pub first_chunk: u32,
}

/// Where a keyframe is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyframeEntry {
    /// Position of its state.
    pub icount: u64,
    /// Number of the chunk with its record.
    pub chunk: u32,
}

impl Index {
    /// What each blob takes up in the file, in bytes without the headers of its chunks.
    #[must_use]
    pub fn stored_bytes_by_blob(&self) -> BTreeMap<BlobHash, u64> {
        let firsts: BTreeMap<u32, &BlobHash> = (self.blobs.iter())
            .map(|(hash, blob)| (blob.first_chunk, hash))
            .collect();
        let mut bytes = BTreeMap::new();
        let mut current = None;
        for (number, chunk) in self.chunks.iter().enumerate() {
            current = match (chunk.kind, firsts.get(&(number as u32))) {
                (ChunkKind::Blob, Some(first)) => Some(**first),
                (ChunkKind::Blob, None) => current,
                _ => None,
            };
            if let Some(hash) = current {
                *bytes.entry(hash).or_insert(0) += u64::from(chunk.stored_bytes);
            }
        }
        bytes
    }

    /// The content of the index chunk.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, crate::codec::CodecError> {
        let mut raw = Vec::new();
        let mut last = 0;
        let chunks: Vec<_> = (self.chunks.iter())
            .map(|chunk| {
                let distance = chunk.base_icount - last;
                last = chunk.base_icount;
                (
                    chunk.kind.tag(),
                    chunk.raw_bytes,
                    chunk.stored_bytes,
                    distance,
                )
            })
            .collect();
        raw.push(FIELD_CHUNKS);
        put_bytes(&mut raw, &encode(&chunks, MAX_CHUNK_RAW_BYTES)?)?;
        raw.push(FIELD_TOTALS);
        let totals = (self.last_icount, self.record_count);
        put_bytes(&mut raw, &encode(&totals, MAX_CHUNK_RAW_BYTES)?)?;
        if !self.blobs.is_empty() {
            let blobs: Vec<_> = (self.blobs.iter())
                .map(|(hash, blob)| (hash, blob.bytes, blob.first_chunk))
                .collect();
            raw.push(FIELD_BLOBS);
            put_bytes(&mut raw, &encode(&blobs, MAX_CHUNK_RAW_BYTES)?)?;
        }
        if !self.keyframes.is_empty() {
            let keyframes: Vec<_> = (self.keyframes.iter())
                .map(|keyframe| (keyframe.icount, keyframe.chunk))
                .collect();
            raw.push(FIELD_KEYFRAMES);
            put_bytes(&mut raw, &encode(&keyframes, MAX_CHUNK_RAW_BYTES)?)?;
        }
        Ok(raw)
    }

    /// Reads the content of an index chunk, of a trace whose first chunk begins at `chunks_at_byte`.
    /// Chunks in the result have plausible lengths and ascending positions; numbers of chunks in it
    /// are in range. Whether the file agrees is for the caller to check.
    pub(crate) fn decode(raw: &[u8], chunks_at_byte: u64) -> Result<Self, WireError> {
        let mut rest = raw;
        let mut chunks = None;
        let mut totals = None;
        let mut blobs = None;
        let mut keyframes = None;
        while !rest.is_empty() {
            let tag = take_byte(&mut rest)?;
            let payload = take_bytes(&mut rest, MAX_CHUNK_RAW_BYTES)?;
            let repeated = match tag {
                FIELD_CHUNKS => chunks
                    .replace(decode_chunks(payload, chunks_at_byte)?)
                    .is_some(),
                FIELD_TOTALS => totals.replace(decode::<(u64, u64)>(payload)?).is_some(),
                FIELD_BLOBS => blobs.replace(decode_blobs(payload)?).is_some(),
                FIELD_KEYFRAMES => keyframes.replace(decode_keyframes(payload)?).is_some(),
                tag if is_skippable(tag) => false,
                _ => return Err(WireError::UnknownTag("an index field", tag)),
            };
            if repeated {
                return Err(WireError::Malformed("an index field occurs twice"));
            }
        }
        let chunks = chunks.ok_or(WireError::Malformed("the index names no chunks"))?;
        let (last_icount, record_count) =
            totals.ok_or(WireError::Malformed("the index has no totals"))?;
        let index = Self {
            chunks,
            last_icount,
            record_count,
            blobs: blobs.unwrap_or_default(),
            keyframes: keyframes.unwrap_or_default(),
        };
        let in_range = |chunk: u32| (chunk as usize) < index.chunks.len();
        if !index.blobs.values().all(|blob| in_range(blob.first_chunk))
            || !index.keyframes.iter().all(|entry| in_range(entry.chunk))
        {
            return Err(WireError::Malformed("the index names a chunk out of range"));
        }
        Ok(index)
    }

    /// Where the chunk after the last one begins.
    pub(crate) fn end_at_byte(&self, chunks_at_byte: u64) -> u64 {
        self.chunks
            .last()
            .map_or(chunks_at_byte, ChunkEntry::end_at_byte)
    }
}

fn decode_chunks(payload: &[u8], chunks_at_byte: u64) -> Result<Vec<ChunkEntry>, WireError> {
    let entries: Vec<(u8, u32, u32, u64)> = decode(payload)?;
    if entries.len() > MAX_CHUNKS {
        return Err(WireError::Malformed("the index names too many chunks"));
    }
    let mut at_byte = chunks_at_byte;
    let mut base_icount = 0u64;
    let mut chunks = Vec::with_capacity(entries.len());
    for (tag, raw_bytes, stored_bytes, distance) in entries {
        let kind = ChunkKind::from_tag(tag).ok_or(WireError::UnknownTag("a chunk", tag))?;
        if kind == ChunkKind::Index
            || !(1..=raw_bytes).contains(&stored_bytes)
            || raw_bytes > MAX_CHUNK_RAW_BYTES
        {
            return Err(WireError::Malformed("the index names an impossible chunk"));
        }
        base_icount = base_icount
            .checked_add(distance)
            .ok_or(WireError::Malformed("a position is beyond all counting"))?;
        let chunk = ChunkEntry {
            kind,
            at_byte,
            raw_bytes,
            stored_bytes,
            base_icount,
        };
        at_byte = chunk.end_at_byte();
        chunks.push(chunk);
    }
    Ok(chunks)
}

fn decode_blobs(payload: &[u8]) -> Result<BTreeMap<BlobHash, BlobEntry>, WireError> {
    let entries: Vec<(BlobHash, u64, u32)> = decode(payload)?;
    if entries.len() > MAX_BLOBS || !entries.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(WireError::Malformed(
            "the index names blobs too many or twice",
        ));
    }
    let blob = |(hash, bytes, first_chunk)| (hash, BlobEntry { bytes, first_chunk });
    Ok(entries.into_iter().map(blob).collect())
}

fn decode_keyframes(payload: &[u8]) -> Result<Vec<KeyframeEntry>, WireError> {
    let entries: Vec<(u64, u32)> = decode(payload)?;
    if entries.len() > MAX_KEYFRAMES || !entries.is_sorted() {
        return Err(WireError::Malformed(
            "the index names keyframes too many or out of order",
        ));
    }
    let keyframe = |(icount, chunk)| KeyframeEntry { icount, chunk };
    Ok(entries.into_iter().map(keyframe).collect())
}

/// Grows an index while a trace is written or read, and holds the rules that both sides keep.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) index: Index,
    /// Pages stored so far; the next one's number.
    pub(crate) page_count: u64,
    /// Whether the end record has come.
    pub(crate) ended: bool,
    /// What the chunks so far decompress to, in bytes.
    raw_bytes: u64,
    blob: Option<BlobCheck>,
}

impl Ledger {
    /// How many chunks there are; the number of the next one.
    pub(crate) fn chunk_count(&self) -> u32 {
        // MAX_CHUNKS bounds the length.
        self.index.chunks.len() as u32
    }

    /// Checks that the next chunk, at `at_byte`, keeps within what a trace of its size may decompress to.
    pub(crate) fn check_raw_bytes(
        &self,
        header: &ChunkHeader,
        at_byte: u64,
    ) -> Result<(), TraceError> {
        let size = self.raw_bytes + u64::from(header.raw_bytes);
        let end =
            at_byte.saturating_add(CHUNK_HEADER_BYTES as u64 + u64::from(header.stored_bytes));
        let size_max = end
            .saturating_mul(MAX_RAW_BYTES_PER_BYTE)
            .saturating_add(MAX_RAW_BYTES_BASE);
        if size <= size_max {
            return Ok(());
        }
        Err(TraceError::TooLarge {
            what: "the decompressed trace, in bytes,",
            size,
            size_max,
            at_byte,
        })
    }

    /// Adds a chunk that begins at `at_byte`.
    pub(crate) fn add_chunk(
        &mut self,
        kind: ChunkKind,
        header: &ChunkHeader,
        at_byte: u64,
    ) -> Result<(), TraceError> {
        let chunks = self.index.chunks.len();
        within("the number of chunks", chunks + 1, MAX_CHUNKS, at_byte)?;
        self.check_raw_bytes(header, at_byte)?;
        self.raw_bytes += u64::from(header.raw_bytes);
        self.index.chunks.push(ChunkEntry {
            kind,
            at_byte,
            raw_bytes: header.raw_bytes,
            stored_bytes: header.stored_bytes,
            base_icount: header.base_icount,
        });
        Ok(())
    }

    /// Adds a record of chunk number `chunk`, which begins at `at_byte`.
    pub(crate) fn add_record(
        &mut self,
        record: &Record,
        chunk: u32,
        at_byte: u64,
    ) -> Result<(), TraceError> {
        let icount = record.icount();
        let malformed = |reason| TraceError::Malformed {
            at_byte,
            icount,
            reason,
        };
        if self.ended {
            return Err(malformed("a record follows the end record"));
        }
        if icount < self.index.last_icount {
            return Err(TraceError::OutOfOrder {
                at_byte,
                icount,
                last_icount: self.index.last_icount,
            });
        }
        let require_blob = |hash: &BlobHash| match self.index.blobs.contains_key(hash) {
            true => Ok(()),
            false => Err(TraceError::BlobMissing { hash: *hash }),
        };
        match record {
            Record::Event(event) => {
                if let Input::Start(start) = &event.input {
                    (start.files.iter()).try_for_each(|file| require_blob(&file.content))?;
                }
            }
            Record::Keyframe {
                state, page_map, ..
            } => {
                require_blob(state)?;
                require_blob(page_map)?;
                let keyframes = self.index.keyframes.len();
                within(
                    "the number of keyframes",
                    keyframes + 1,
                    MAX_KEYFRAMES,
                    at_byte,
                )?;
                self.index.keyframes.push(KeyframeEntry { icount, chunk });
            }
            Record::End { .. } => self.ended = true,
            Record::StateHash { .. }
            | Record::Annotation { .. }
            | Record::Mark { .. }
            | Record::Other { .. } => {}
        }
        self.index.last_icount = icount;
        self.index.record_count += 1;
        Ok(())
    }

    /// Adds a piece of a blob, in chunk number `chunk`, which begins at `at_byte`.
    pub(crate) fn add_blob_piece(
        &mut self,
        piece: &BlobPiece,
        chunk: u32,
        at_byte: u64,
    ) -> Result<(), TraceError> {
        let malformed = |reason| TraceError::Malformed {
            at_byte,
            icount: self.index.last_icount,
            reason,
        };
        let mut check = match self.blob.take() {
            Some(check) => check,
            None if self.index.blobs.contains_key(&piece.hash) => {
                return Err(malformed("a blob occurs twice"));
            }
            None => {
                let blobs = self.index.blobs.len();
                within("the number of blobs", blobs + 1, MAX_BLOBS, at_byte)?;
                BlobCheck::new(piece.hash, piece.blob_bytes, chunk)
            }
        };
        if !check.accept(piece) {
            return Err(malformed("a blob's pieces do not follow each other"));
        }
        match check.verdict() {
            BlobVerdict::Unfinished => self.blob = Some(check),
            BlobVerdict::Whole => {
                let entry = BlobEntry {
                    bytes: piece.blob_bytes,
                    first_chunk: check.first_chunk(),
                };
                self.index.blobs.insert(piece.hash, entry);
            }
            BlobVerdict::Mismatch => {
                return Err(TraceError::BlobMismatch {
                    hash: piece.hash,
                    at_byte,
                });
            }
        }
        Ok(())
    }

    /// Whether pieces of a blob are still to come, so that no other chunk may.
    pub(crate) fn blob_unfinished(&self) -> bool {
        self.blob.is_some()
    }

    /// Adds a chunk of pages with `raw_bytes` of content; answers the number of its first page, or
    /// `None` if that is no whole number of pages, or too many.
    pub(crate) fn add_pages(&mut self, raw_bytes: usize) -> Option<u64> {
        let pages = raw_bytes / PAGE_BYTES;
        if !raw_bytes.is_multiple_of(PAGE_BYTES) || pages > MAX_PAGES_PER_CHUNK as usize {
            return None;
        }
        let first = self.page_count;
        self.page_count += pages as u64;
        Some(first)
    }
}

/// Checks a count against its limit.
fn within(
    what: &'static str,
    size: usize,
    size_max: usize,
    at_byte: u64,
) -> Result<(), TraceError> {
    if size <= size_max {
        return Ok(());
    }
    Err(TraceError::TooLarge {
        what,
        size: size as u64,
        size_max: size_max as u64,
        at_byte,
    })
}
