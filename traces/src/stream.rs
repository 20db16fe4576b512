//! Reading a trace as its bytes arrive.

use crate::blob::{BlobHash, BlobPiece};
use crate::chunk::{
    CHUNK_HEADER_BYTES, ChunkHeader, ChunkKind, FOOTER_BYTES, Footer, MAGIC, PREAMBLE_BYTES,
    Preamble, decompress,
};
use crate::codec::CodecError;
use crate::error::TraceError;
use crate::header::Header;
use crate::index::{Index, Ledger};
use crate::record::Record;
use crate::wire::{WireError, decode_header, take_record};
use std::fmt;

/// What a [`StreamReader`] hands out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StreamItem {
    /// The next record.
    Record(Record),
    /// The next piece of a blob. By the last piece, the whole has been checked against its name.
    BlobPiece(BlobPiece),
    /// Pages of RAM for keyframes.
    Pages {
        /// Number of the first page.
        first: u64,
        /// The pages, a multiple of 4096 bytes.
        bytes: Vec<u8>,
    },
    /// A chunk that this version does not know and that replay can do without.
    OtherChunk {
        /// Its number, 0x81 or above.
        tag: u8,
        /// Its content, decompressed.
        bytes: Vec<u8>,
    },
}

/// Whether a trace is there as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Completeness {
    /// From the header to the footer, with an end record.
    Complete,
    /// Its recorder died, or bytes were lost or changed. What comes before is whole.
    Truncated {
        /// Where the first byte is that cannot be used.
        at_byte: u64,
        /// Position of the last record before it; 0 if there is none.
        last_icount: u64,
        /// Why it cannot be used.
        cause: TruncationCause,
    },
}

/// Why a trace is not whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TruncationCause {
    /// The bytes end there.
    Cut,
    /// The bytes there were changed.
    Damaged,
}

impl fmt::Display for Completeness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("the trace is complete"),
            Self::Truncated {
                at_byte,
                last_icount,
                cause,
            } => {
                let cause = match cause {
                    TruncationCause::Cut => "breaks off",
                    TruncationCause::Damaged => "is damaged",
                };
                write!(
                    f,
                    "the trace {cause} at byte {at_byte}; it replays up to icount {last_icount}"
                )
            }
        }
    }
}

/// Reads a trace from bytes that arrive in pieces of any size.
///
/// Feed bytes, then take items until there is none; the memory held is what was fed and not yet used,
/// plus one chunk. After an error the reader hands out nothing more.
#[derive(Debug, Default)]
pub struct StreamReader {
    buffer: Vec<u8>,
    /// How much of `buffer` has been used.
    used: usize,
    /// Where in the file the first unused byte is.
    at_byte: u64,
    state: State,
    header: Option<Header>,
    seal: u32,
    chunks_at_byte: u64,
    ledger: Ledger,
    open: Option<RecordsChunk>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    #[default]
    Header,
    Chunks,
    Footer {
        index_at_byte: u64,
    },
    Done,
    Damaged,
    Failed,
}

/// What [`StreamReader::into_parts`] gives to a reader that goes on by other means.
#[derive(Debug)]
pub(crate) struct StreamParts {
    pub(crate) header: Header,
    pub(crate) seal: u32,
    pub(crate) index: Index,
    pub(crate) completeness: Completeness,
}

impl StreamReader {
    /// A reader at the first byte of a trace.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over the next bytes of the file.
    pub fn feed(&mut self, bytes: &[u8]) {
        // Used bytes are dropped only when they are the larger part, so that moving the rest to the
        // front costs no more than feeding it did.
        if self.used > self.buffer.len() / 2 {
            self.buffer.drain(..self.used);
            self.used = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The header, once it has arrived and [`next_item`](Self::next_item) was called.
    #[must_use]
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// Position of the last record that was handed out.
    #[must_use]
    pub fn last_icount(&self) -> u64 {
        self.ledger.index.last_icount
    }

    /// Whether a blob of this name is among what was handed out, all of it.
    #[must_use]
    pub fn has_blob(&self, hash: &BlobHash) -> bool {
        !self.ledger.blob_unfinished() && self.ledger.index.blobs.contains_key(hash)
    }

    /// Whether the trace ended as it should and nothing more may come.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state == State::Done
    }

    /// The next item; `None` if more bytes must be fed first, or if nothing will come any more.
    ///
    /// # Errors
    /// Whatever [`TraceError`] names that can be wrong with bytes. After one that
    /// [is damage](TraceError::is_damage), what was handed out before is still a whole, shorter recording.
    pub fn next_item(&mut self) -> Result<Option<StreamItem>, TraceError> {
        let result = self.advance();
        if let Err(error) = &result {
            self.open = None;
            self.state = match error.is_damage() {
                true => State::Damaged,
                false => State::Failed,
            };
        }
        result
    }

    /// What is known about the trace if no more bytes come.
    ///
    /// # Errors
    /// [`TraceError::NotATrace`] for what does not begin as one, [`TraceError::HeaderCut`] when not even the header has arrived. An error of
    /// [`next_item`](Self::next_item) is not repeated here.
    pub fn completeness(&self) -> Result<Completeness, TraceError> {
        if self.header.is_none() {
            let begun = &self.unused()[..self.unused().len().min(MAGIC.len())];
            if self.at_byte == 0 && !MAGIC.starts_with(begun) {
                return Err(TraceError::NotATrace);
            }
            return Err(TraceError::HeaderCut {
                bytes: self.at_byte + self.unused().len() as u64,
            });
        }
        let cause = match self.state {
            State::Done => return Ok(Completeness::Complete),
            State::Header | State::Chunks | State::Footer { .. } => TruncationCause::Cut,
            State::Damaged | State::Failed => TruncationCause::Damaged,
        };
        Ok(Completeness::Truncated {
            at_byte: self.at_byte,
            last_icount: self.ledger.index.last_icount,
            cause,
        })
    }

    pub(crate) fn into_parts(self) -> Result<StreamParts, TraceError> {
        let completeness = self.completeness()?;
        let bytes = self.at_byte;
        Ok(StreamParts {
            header: self.header.ok_or(TraceError::HeaderCut { bytes })?,
            seal: self.seal,
            index: self.ledger.index,
            completeness,
        })
    }

    /// Where the first chunk begins, once the header has been read.
    pub(crate) fn chunks_at_byte(&self) -> u64 {
        self.chunks_at_byte
    }

    /// The header's checksum, which seals every chunk, once the header has been read.
    pub(crate) fn seal(&self) -> u32 {
        self.seal
    }

    /// Where the first byte is that has not been used.
    pub(crate) fn at_byte(&self) -> u64 {
        self.at_byte
    }

    fn advance(&mut self) -> Result<Option<StreamItem>, TraceError> {
        loop {
            if let Some(open) = &mut self.open {
                if let Some(record) = open.next_record()? {
                    let chunk = self.ledger.chunk_count() - 1;
                    self.ledger.add_record(&record, chunk, open.at_byte)?;
                    return Ok(Some(StreamItem::Record(record)));
                }
                self.open = None;
            }
            match self.state {
                State::Header => {
                    if !self.read_header()? {
                        return Ok(None);
                    }
                }
                State::Chunks => match self.read_chunk()? {
                    Step::Wait => return Ok(None),
                    Step::Item(item) => return Ok(Some(item)),
                    Step::Onward => {}
                },
                State::Footer { index_at_byte } => {
                    let Some(bytes) = self.unused().first_chunk::<FOOTER_BYTES>() else {
                        return Ok(None);
                    };
                    if Footer::parse(bytes, self.seal) != Some(Footer { index_at_byte }) {
                        return Err(self.damaged());
                    }
                    self.take(FOOTER_BYTES);
                    self.state = State::Done;
                }
                State::Done if self.unused().is_empty() => return Ok(None),
                State::Done => {
                    return Err(TraceError::TrailingBytes {
                        at_byte: self.at_byte,
                    });
                }
                State::Damaged | State::Failed => return Ok(None),
            }
        }
    }

    /// Reads the header and nothing after it, once; false if more bytes are needed.
    pub(crate) fn read_header(&mut self) -> Result<bool, TraceError> {
        let unused = self.unused();
        let Some(bytes) = unused.first_chunk::<PREAMBLE_BYTES>() else {
            return Ok(false);
        };
        let preamble = Preamble::parse(bytes)?;
        let end = PREAMBLE_BYTES + preamble.stored_bytes as usize;
        let Some(stored) = unused.get(PREAMBLE_BYTES..end) else {
            return Ok(false);
        };
        self.header = Some(open_header(&preamble, stored)?);
        self.seal = preamble.checksum;
        self.take(end);
        self.chunks_at_byte = self.at_byte;
        self.state = State::Chunks;
        Ok(true)
    }

    fn read_chunk(&mut self) -> Result<Step, TraceError> {
        let unused = self.unused();
        let Some(bytes) = unused.first_chunk::<CHUNK_HEADER_BYTES>() else {
            return Ok(Step::Wait);
        };
        let header = ChunkHeader::parse(bytes).ok_or_else(|| self.damaged())?;
        let end = CHUNK_HEADER_BYTES + header.stored_bytes as usize;
        let Some(stored) = unused.get(CHUNK_HEADER_BYTES..end) else {
            return Ok(Step::Wait);
        };
        let sequence = self.ledger.chunk_count();
        if header.expected_checksum(self.seal, sequence, stored) != header.checksum {
            return Err(self.damaged());
        }
        // From here on the bytes are those that a writer wrote: what is wrong with them is no damage.
        let last_icount = self.ledger.index.last_icount;
        let at_byte = self.at_byte;
        self.ledger.check_raw_bytes(&header, at_byte)?;
        let raw = decompress(stored, header.raw_bytes)
            .ok_or_else(|| self.malformed("a chunk does not decompress to its declared size"))?;
        let kind = ChunkKind::from_tag(header.tag).ok_or(TraceError::UnknownTag {
            what: "a chunk",
            tag: header.tag,
            at_byte,
            icount: last_icount,
        })?;
        if header.base_icount < last_icount {
            return Err(TraceError::OutOfOrder {
                at_byte,
                icount: header.base_icount,
                last_icount,
            });
        }
        if self.ledger.blob_unfinished() && kind != ChunkKind::Blob {
            return Err(self.malformed("a blob's pieces do not follow each other"));
        }
        if self.ledger.ended != (kind == ChunkKind::Index) {
            return Err(self.malformed("the index does not follow the end record"));
        }
        self.take(end);
        if kind == ChunkKind::Index {
            let index = Index::decode(&raw, self.chunks_at_byte)
                .map_err(|error| trace_error(error, at_byte, last_icount))?;
            if index != self.ledger.index {
                return Err(TraceError::IndexMismatch { at_byte });
            }
            self.state = State::Footer {
                index_at_byte: at_byte,
            };
            return Ok(Step::Onward);
        }
        self.ledger.add_chunk(kind, &header, at_byte)?;
        match kind {
            ChunkKind::Records => {
                self.open = Some(RecordsChunk::new(raw, header.base_icount, at_byte));
                Ok(Step::Onward)
            }
            ChunkKind::Blob => {
                let piece = BlobPiece::decode(&raw).map_err(|CodecError| {
                    malformed_at(at_byte, last_icount, "a blob's piece does not decode")
                })?;
                self.ledger.add_blob_piece(&piece, sequence, at_byte)?;
                Ok(Step::Item(StreamItem::BlobPiece(piece)))
            }
            ChunkKind::Pages => {
                let first = self.ledger.add_pages(raw.len()).ok_or_else(|| {
                    malformed_at(
                        at_byte,
                        last_icount,
                        "a chunk has pages in part or too many",
                    )
                })?;
                Ok(Step::Item(StreamItem::Pages { first, bytes: raw }))
            }
            ChunkKind::Other(tag) => Ok(Step::Item(StreamItem::OtherChunk { tag, bytes: raw })),
            ChunkKind::Index => Ok(Step::Onward),
        }
    }

    fn unused(&self) -> &[u8] {
        &self.buffer[self.used..]
    }

    fn take(&mut self, bytes: usize) {
        self.used += bytes;
        self.at_byte += bytes as u64;
    }

    fn damaged(&self) -> TraceError {
        TraceError::ChunkDamaged {
            at_byte: self.at_byte,
            last_icount: self.ledger.index.last_icount,
        }
    }

    fn malformed(&self, reason: &'static str) -> TraceError {
        malformed_at(self.at_byte, self.ledger.index.last_icount, reason)
    }
}

enum Step {
    /// More bytes are needed.
    Wait,
    /// Something to hand out.
    Item(StreamItem),
    /// Nothing to hand out yet.
    Onward,
}

/// A records chunk, decoded one record at a time: as records in memory it could be many times larger.
#[derive(Debug)]
pub(crate) struct RecordsChunk {
    raw: Vec<u8>,
    position: usize,
    last_icount: u64,
    pub(crate) at_byte: u64,
}

impl RecordsChunk {
    pub(crate) fn new(raw: Vec<u8>, base_icount: u64, at_byte: u64) -> Self {
        Self {
            raw,
            position: 0,
            last_icount: base_icount,
            at_byte,
        }
    }

    pub(crate) fn next_record(&mut self) -> Result<Option<Record>, TraceError> {
        let mut rest = &self.raw[self.position..];
        if rest.is_empty() {
            return Ok(None);
        }
        let record = take_record(&mut rest, self.last_icount)
            .map_err(|error| trace_error(error, self.at_byte, self.last_icount))?;
        if self.position == 0 && record.icount() != self.last_icount {
            return Err(malformed_at(
                self.at_byte,
                self.last_icount,
                "a chunk does not begin at the position that it says",
            ));
        }
        self.position = self.raw.len() - rest.len();
        self.last_icount = record.icount();
        Ok(Some(record))
    }
}

/// Verifies and decodes the header that belongs to a preamble.
pub(crate) fn open_header(preamble: &Preamble, stored: &[u8]) -> Result<Header, TraceError> {
    if preamble.seal(stored) != preamble.checksum {
        return Err(TraceError::HeaderDamaged);
    }
    let raw = decompress(stored, preamble.raw_bytes).ok_or(malformed_at(
        0,
        0,
        "the header does not decompress to its declared size",
    ))?;
    decode_header(preamble.machine_version, &raw).map_err(|error| trace_error(error, 0, 0))
}

/// An error of content, with where it happened.
pub(crate) fn trace_error(error: WireError, at_byte: u64, icount: u64) -> TraceError {
    match error {
        WireError::Malformed(reason) => malformed_at(at_byte, icount, reason),
        WireError::UnknownTag(what, tag) => TraceError::UnknownTag {
            what,
            tag,
            at_byte,
            icount,
        },
    }
}

pub(crate) fn malformed_at(at_byte: u64, icount: u64, reason: &'static str) -> TraceError {
    TraceError::Malformed {
        at_byte,
        icount,
        reason,
    }
}
