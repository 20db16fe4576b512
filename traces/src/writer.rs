//! Writing a trace.

use crate::blob::{BlobHash, BlobPiece};
use crate::chunk::{ChunkHeader, ChunkKind, FOOTER_BYTES, Footer, Preamble, compress};
use crate::codec::CodecError;
use crate::error::TraceError;
use crate::header::Header;
use crate::index::Ledger;
use crate::keyframe::{KeyframePage, PAGE_BYTES, PageNumbers, PageRun, encode_page_map, push_page};
use crate::limits::{
    MAX_BLOB_BYTES, MAX_BLOB_PIECE_BYTES, MAX_HEADER_RAW_BYTES, MAX_PAGE_MAP_BYTES,
    MAX_RECORD_PAYLOAD_BYTES, RECORDS_CHUNK_TARGET_BYTES,
};
use crate::record::Record;
use crate::wire::{encode_header, put_record};
use std::io::Write;

/// How hard the writer compresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compression {
    /// Fast, for a recording in progress: zstd level 3.
    Live,
    /// Small, for a trace that is finished: zstd level 19, and level 3 behind the first mebibytes of a kind.
    Best,
}

/// Bytes of records that are compressed as well as can be, some 12 MB of them a second. What goes into a link, and all
/// that people type, is below that; a recording with more has downloads or files in it, and most of those are compressed already.
const BEST_RECORD_BYTES_MAX: u64 = 4 << 20;

/// Likewise of blobs: the default guest's kernel and initrd.
const BEST_BLOB_BYTES_MAX: u64 = 16 << 20;

/// Pages in a chunk of them (1 MiB): a keyframe needs few pages of many chunks, and each of these is read as a whole.
const PAGES_CHUNK_PAGES: usize = 256;

/// Pages of keyframes: there may be gigabytes of them, of which the best compression does three megabytes a second and
/// saves a fifth.
const PAGES_LEVEL: i32 = 1;

impl Compression {
    const fn level(self) -> i32 {
        match self {
            Self::Live => 3,
            Self::Best => 19,
        }
    }

    /// The level for a chunk behind so many bytes of its kind.
    const fn level_behind(self, raw_bytes: u64, best_bytes_max: u64) -> i32 {
        if raw_bytes >= best_bytes_max {
            return Self::Live.level();
        }
        self.level()
    }
}

/// What [`TraceWriter::finish`] wrote.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceSummary {
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Number of chunks, the index not counted.
    pub chunks: u32,
    /// Number of records.
    pub records: u64,
    /// Position of the last record.
    pub last_icount: u64,
}

/// Appends a trace to a byte sink.
///
/// Records wait in memory until [`flush_chunk`](Self::flush_chunk), or until they fill a chunk. The
/// writer has no clock: the caller flushes within a second of a record that must not be lost. After
/// a failed write the writer refuses all further work, since the file's end is then unknown.
#[derive(Debug)]
pub struct TraceWriter<W> {
    sink: W,
    compression: Compression,
    seal: u32,
    /// How much has been written.
    at_byte: u64,
    ledger: Ledger,
    pending: Vec<u8>,
    pending_base_icount: u64,
    page_numbers: PageNumbers,
    /// Bytes of records and of blobs so far, before compression.
    record_bytes: u64,
    blob_bytes: u64,
    failed: bool,
}

impl<W: Write> TraceWriter<W> {
    /// Writes the header and makes a writer for what follows.
    ///
    /// # Errors
    /// [`TraceError::TooLarge`] for a header above its limit, [`TraceError::Io`] from the sink.
    pub fn create(sink: W, header: &Header, compression: Compression) -> Result<Self, TraceError> {
        let raw = encode_header(header).map_err(|CodecError| TraceError::TooLarge {
            what: "the header, in bytes, with its images and their places,",
            size: u64::from(MAX_HEADER_RAW_BYTES) + 1,
            size_max: u64::from(MAX_HEADER_RAW_BYTES),
            at_byte: 0,
        })?;
        // A header is written once and small, so it is always worth the best compression.
        let stored = compress(&raw, Compression::Best.level())
            .map_err(|source| TraceError::Io { at_byte: 0, source })?;
        let mut preamble = Preamble {
            machine_version: header.machine_version,
            // MAX_HEADER_RAW_BYTES bounds both lengths.
            raw_bytes: raw.len() as u32,
            stored_bytes: stored.len() as u32,
            checksum: 0,
        };
        preamble.checksum = preamble.seal(&stored);
        let mut writer = Self {
            sink,
            compression,
            seal: preamble.checksum,
            at_byte: 0,
            ledger: Ledger::default(),
            pending: Vec::new(),
            pending_base_icount: 0,
            page_numbers: PageNumbers::default(),
            record_bytes: 0,
            blob_bytes: 0,
            failed: false,
        };
        writer.write(&preamble.bytes())?;
        writer.write(&stored)?;
        writer.flush_sink()?;
        Ok(writer)
    }

    /// Adds a record. It is safe only after the next [`flush_chunk`](Self::flush_chunk).
    ///
    /// # Errors
    /// [`TraceError::OutOfOrder`], [`TraceError::TooLarge`], [`TraceError::BlobMissing`] when the
    /// record names a blob that has not been added, [`TraceError::WriterState`] after an end record or
    /// a failed write, [`TraceError::Io`] from the sink. A record that is refused leaves the trace as it
    /// was.
    pub fn push(&mut self, record: &Record) -> Result<(), TraceError> {
        self.require_open()?;
        let icount = record.icount();
        let last_icount = self.ledger.index.last_icount;
        if icount < last_icount {
            return Err(TraceError::OutOfOrder {
                at_byte: self.at_byte,
                icount,
                last_icount,
            });
        }
        let first = self.pending.is_empty();
        let distance = if first { 0 } else { icount - last_icount };
        let length = self.pending.len();
        let encoded = put_record(&mut self.pending, distance, record)
            .map_err(|CodecError| TraceError::TooLarge {
                what: "a record, in bytes,",
                size: u64::from(MAX_RECORD_PAYLOAD_BYTES) + 1,
                size_max: u64::from(MAX_RECORD_PAYLOAD_BYTES),
                at_byte: self.at_byte,
            })
            .and_then(|()| {
                let chunk = self.ledger.chunk_count();
                self.ledger.add_record(record, chunk, self.at_byte)
            });
        if let Err(error) = encoded {
            self.pending.truncate(length);
            return Err(error);
        }
        if first {
            self.pending_base_icount = icount;
        }
        if self.pending.len() >= RECORDS_CHUNK_TARGET_BYTES as usize {
            self.write_pending()?;
        }
        Ok(())
    }

    /// Whether records wait for [`flush_chunk`](Self::flush_chunk).
    #[must_use]
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether content of this name is there already.
    #[must_use]
    pub fn has_blob(&self, hash: &BlobHash) -> bool {
        self.ledger.index.blobs.contains_key(hash)
    }

    /// How many bytes the file has so far, without what is pending.
    #[must_use]
    pub fn bytes_written(&self) -> u64 {
        self.at_byte
    }

    /// Writes the records that wait as a chunk, and flushes the sink. Without any, writes nothing.
    ///
    /// # Errors
    /// [`TraceError::TooLarge`] with too many chunks, [`TraceError::WriterState`],
    /// [`TraceError::Io`] from the sink.
    pub fn flush_chunk(&mut self) -> Result<(), TraceError> {
        self.require_sound()?;
        if self.pending.is_empty() {
            return Ok(());
        }
        self.write_pending()?;
        self.flush_sink()
    }

    /// Adds content that records name by its hash. Content that is there already is not written again.
    ///
    /// # Errors
    /// [`TraceError::TooLarge`] above 256 MiB or with too many blobs, [`TraceError::WriterState`],
    /// [`TraceError::Io`] from the sink.
    pub fn add_blob(&mut self, bytes: &[u8]) -> Result<BlobHash, TraceError> {
        self.require_open()?;
        let hash = BlobHash::of(bytes);
        if self.ledger.index.blobs.contains_key(&hash) {
            return Ok(hash);
        }
        let blob_bytes = bytes.len() as u64;
        if blob_bytes > MAX_BLOB_BYTES {
            return Err(TraceError::TooLarge {
                what: "a file or image to put into the trace, in bytes,",
                size: blob_bytes,
                size_max: MAX_BLOB_BYTES,
                at_byte: self.at_byte,
            });
        }
        let mut offset = 0;
        loop {
            let length = (bytes.len() - offset).min(MAX_BLOB_PIECE_BYTES as usize);
            let piece = BlobPiece {
                hash,
                blob_bytes,
                offset: offset as u64,
                bytes: bytes[offset..offset + length].to_vec(),
            };
            self.add_blob_piece(&piece)?;
            offset += length;
            if offset == bytes.len() {
                return Ok(hash);
            }
        }
    }

    /// Adds a keyframe: state bytes, and the pages of RAM that are not all zeros, as page number and
    /// content, in ascending order.
    ///
    /// # Errors
    /// As [`push`](Self::push) and [`add_blob`](Self::add_blob).
    pub fn push_keyframe<'a>(
        &mut self,
        icount: u64,
        state: &[u8],
        pages: impl IntoIterator<Item = (u64, &'a [u8; PAGE_BYTES])>,
    ) -> Result<(), TraceError> {
        let pages = pages.into_iter();
        let pages = pages.map(|(page, bytes)| (page, KeyframePage::Bytes(bytes)));
        self.push_keyframe_pages(icount, state, pages).map(drop)
    }

    /// Adds a keyframe as [`push_keyframe`](Self::push_keyframe) does, of pages some of which are known to be stored
    /// already. Answers where each page is stored now.
    ///
    /// # Errors
    /// As [`push`](Self::push) and [`add_blob`](Self::add_blob).
    pub fn push_keyframe_pages<'a>(
        &mut self,
        icount: u64,
        state: &[u8],
        pages: impl IntoIterator<Item = (u64, KeyframePage<'a>)>,
    ) -> Result<Vec<PageRun>, TraceError> {
        self.require_open()?;
        let last_icount = self.ledger.index.last_icount;
        if icount < last_icount {
            return Err(TraceError::OutOfOrder {
                at_byte: self.at_byte,
                icount,
                last_icount,
            });
        }
        let mut runs = Vec::new();
        let mut fresh = Vec::new();
        for (page, content) in pages {
            let next = self.ledger.page_count + (fresh.len() / PAGE_BYTES) as u64;
            let stored = match content {
                KeyframePage::Stored(number) if number >= next => {
                    return Err(self.state_error("a keyframe names a page that is not stored"));
                }
                KeyframePage::Stored(number) => number,
                KeyframePage::Bytes(bytes) => {
                    let stored = self.page_numbers.find_or_insert(bytes, next);
                    if stored.is_none() {
                        fresh.extend_from_slice(bytes);
                    }
                    stored.unwrap_or(next)
                }
            };
            push_page(&mut runs, page, stored);
            if fresh.len() == PAGES_CHUNK_PAGES * PAGE_BYTES {
                self.add_pages(&fresh)?;
                fresh.clear();
            }
        }
        if !fresh.is_empty() {
            self.add_pages(&fresh)?;
        }
        let page_map = encode_page_map(&runs).map_err(|CodecError| TraceError::TooLarge {
            what: "a keyframe's page map, in bytes,",
            size: MAX_PAGE_MAP_BYTES + 1,
            size_max: MAX_PAGE_MAP_BYTES,
            at_byte: self.at_byte,
        })?;
        let state = self.add_blob(state)?;
        let page_map = self.add_blob(&page_map)?;
        self.push(&Record::Keyframe {
            icount,
            state,
            page_map,
        })?;
        Ok(runs)
    }

    /// Writes what waits, the index and the footer, and hands the sink back, flushed.
    ///
    /// # Errors
    /// [`TraceError::WriterState`] when the last record is not an end record, [`TraceError::Io`] from
    /// the sink.
    pub fn finish(mut self) -> Result<(W, TraceSummary), TraceError> {
        self.require_sound()?;
        if !self.ledger.ended {
            return Err(self.state_error("a trace is closed only after an end record"));
        }
        self.write_pending()?;
        let index_at_byte = self.at_byte;
        let raw = (self.ledger.index.encode())
            .map_err(|CodecError| self.state_error("its index would be too large"))?;
        self.write_chunk(ChunkKind::Index, self.ledger.index.last_icount, &raw)?;
        let footer: [u8; FOOTER_BYTES] = Footer { index_at_byte }.bytes(self.seal);
        self.write(&footer)?;
        self.flush_sink()?;
        let summary = TraceSummary {
            bytes: self.at_byte,
            chunks: self.ledger.chunk_count(),
            records: self.ledger.index.record_count,
            last_icount: self.ledger.index.last_icount,
        };
        Ok((self.sink, summary))
    }

    /// Writes the next piece of a blob.
    pub(crate) fn add_blob_piece(&mut self, piece: &BlobPiece) -> Result<(), TraceError> {
        self.require_open()?;
        self.write_pending()?;
        let raw = BlobPiece::encode(&piece.hash, piece.blob_bytes, piece.offset, &piece.bytes)
            .map_err(|CodecError| self.state_error("a blob does not encode"))?;
        let chunk = self.ledger.chunk_count();
        (self.ledger).add_blob_piece(piece, chunk, self.at_byte)?;
        self.write_chunk(ChunkKind::Blob, self.ledger.index.last_icount, &raw)
    }

    /// Writes whole pages, which get the next numbers.
    pub(crate) fn add_pages(&mut self, bytes: &[u8]) -> Result<(), TraceError> {
        self.require_open()?;
        self.write_pending()?;
        if self.ledger.add_pages(bytes.len()).is_none() {
            return Err(self.state_error("a chunk has pages in part or too many"));
        }
        self.write_chunk(ChunkKind::Pages, self.ledger.index.last_icount, bytes)
    }

    /// Writes a chunk of a kind that this version does not know.
    pub(crate) fn add_other_chunk(&mut self, tag: u8, raw: &[u8]) -> Result<(), TraceError> {
        self.require_open()?;
        self.write_pending()?;
        self.write_chunk(ChunkKind::Other(tag), self.ledger.index.last_icount, raw)
    }

    fn write_pending(&mut self) -> Result<(), TraceError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let raw = std::mem::take(&mut self.pending);
        self.write_chunk(ChunkKind::Records, self.pending_base_icount, &raw)
    }

    fn write_chunk(
        &mut self,
        kind: ChunkKind,
        base_icount: u64,
        raw: &[u8],
    ) -> Result<(), TraceError> {
        let at_byte = self.at_byte;
        let level = match kind {
            ChunkKind::Pages => PAGES_LEVEL,
            ChunkKind::Records => {
                (self.compression).level_behind(self.record_bytes, BEST_RECORD_BYTES_MAX)
            }
            ChunkKind::Blob => {
                (self.compression).level_behind(self.blob_bytes, BEST_BLOB_BYTES_MAX)
            }
            ChunkKind::Index | ChunkKind::Other(_) => self.compression.level(),
        };
        match kind {
            ChunkKind::Records => self.record_bytes += raw.len() as u64,
            ChunkKind::Blob => self.blob_bytes += raw.len() as u64,
            ChunkKind::Pages | ChunkKind::Index | ChunkKind::Other(_) => {}
        }
        let stored =
            compress(raw, level).map_err(|source| self.fail(TraceError::Io { at_byte, source }))?;
        let mut header = ChunkHeader {
            tag: kind.tag(),
            // The callers keep content below MAX_CHUNK_RAW_BYTES.
            raw_bytes: raw.len() as u32,
            stored_bytes: stored.len() as u32,
            base_icount,
            checksum: 0,
        };
        let sequence = self.ledger.chunk_count();
        header.checksum = header.expected_checksum(self.seal, sequence, &stored);
        if kind != ChunkKind::Index {
            (self.ledger.add_chunk(kind, &header, at_byte)).map_err(|error| self.fail(error))?;
        }
        // One write, so that a recorder that dies between two leaves no half chunk more often than
        // it must.
        let mut bytes = header.bytes().to_vec();
        bytes.extend_from_slice(&stored);
        self.write(&bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), TraceError> {
        let at_byte = self.at_byte;
        (self.sink.write_all(bytes))
            .map_err(|source| self.fail(TraceError::Io { at_byte, source }))?;
        self.at_byte += bytes.len() as u64;
        Ok(())
    }

    fn flush_sink(&mut self) -> Result<(), TraceError> {
        let at_byte = self.at_byte;
        (self.sink.flush()).map_err(|source| self.fail(TraceError::Io { at_byte, source }))
    }

    fn fail(&mut self, error: TraceError) -> TraceError {
        self.failed = true;
        error
    }

    fn require_sound(&self) -> Result<(), TraceError> {
        match self.failed {
            true => Err(self.state_error("an earlier write failed")),
            false => Ok(()),
        }
    }

    fn require_open(&self) -> Result<(), TraceError> {
        match self.ledger.ended {
            true => Err(self.state_error("the end record has been written")),
            false => self.require_sound(),
        }
    }

    fn state_error(&self, reason: &'static str) -> TraceError {
        TraceError::WriterState {
            at_byte: self.at_byte,
            reason,
        }
    }
}
