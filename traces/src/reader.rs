//! Reading a trace from a file or a buffer.

use crate::blob::{BlobCheck, BlobHash, BlobPiece, BlobVerdict};
use crate::chunk::{CHUNK_HEADER_BYTES, ChunkHeader, ChunkKind, FOOTER_BYTES, Footer, decompress};
use crate::codec::CodecError;
use crate::error::TraceError;
use crate::header::Header;
use crate::index::{Index, KeyframeEntry};
use crate::keyframe::{Keyframe, PAGE_BYTES, decode_page_map};
use crate::limits::{MAX_BLOB_BYTES, MAX_PAGE_MAP_BYTES};
use crate::record::Record;
use crate::stream::{Completeness, RecordsChunk, StreamReader, malformed_at, trace_error};
use std::io::{Read, Seek, SeekFrom};

/// How much is read at once when a trace is read from end to end.
const READ_BYTES: usize = 64 << 10;

/// A trace in a source of bytes, with a cursor over its records.
///
/// [`open`](Self::open) reads and checks all of it, so that a damaged tail is known before the first
/// record; [`open_indexed`](Self::open_indexed) trusts the index and reads only what is asked for.
#[derive(Debug)]
pub struct TraceReader<R> {
    source: R,
    header: Header,
    seal: u32,
    index: Index,
    completeness: Completeness,
    /// Number of each pages chunk's first page, and the chunk's number.
    pages: Vec<(u64, u32)>,
    page_count: u64,
    page_cache: Option<(u32, Vec<u8>)>,
    cursor: RecordCursor,
}

#[derive(Debug, Default)]
struct RecordCursor {
    next_chunk: u32,
    open: Option<RecordsChunk>,
    /// A record that a seek has read and that is to be handed out next.
    held: Option<Record>,
    last_icount: u64,
}

impl<R: Read + Seek> TraceReader<R> {
    /// Opens a trace and checks all of it: checksums, order, every record, every blob. Memory stays
    /// within one chunk and the index.
    ///
    /// A trace that breaks off or is damaged opens as the shorter recording before that place;
    /// [`completeness`](Self::completeness) tells.
    ///
    /// # Errors
    /// [`TraceError`] when the header cannot be read, or when intact content breaks the format.
    pub fn open(mut source: R) -> Result<Self, TraceError> {
        let io = |source| TraceError::Io { at_byte: 0, source };
        source.seek(SeekFrom::Start(0)).map_err(io)?;
        let mut stream = StreamReader::new();
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let at_byte = stream.at_byte();
            let length = match source.read(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(TraceError::Io { at_byte, source }),
            };
            if length == 0 {
                break;
            }
            stream.feed(&buffer[..length]);
            if !drain(&mut stream)? {
                break;
            }
        }
        let parts = stream.into_parts()?;
        Ok(Self::new(
            source,
            parts.header,
            parts.seal,
            parts.index,
            parts.completeness,
        ))
    }

    /// Opens a finished trace by its index, without reading what lies between. Damage there shows as an
    /// error when it is read. A trace without an intact index is opened as by [`open`](Self::open).
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_indexed(mut source: R) -> Result<Self, TraceError> {
        let Some((stream, index)) = read_index(&mut source)? else {
            return Self::open(source);
        };
        let parts = stream.into_parts()?;
        Ok(Self::new(
            source,
            parts.header,
            parts.seal,
            index,
            Completeness::Complete,
        ))
    }

    fn new(source: R, header: Header, seal: u32, index: Index, completeness: Completeness) -> Self {
        let mut pages = Vec::new();
        let mut page_count = 0;
        for (chunk, entry) in index.chunks.iter().enumerate() {
            if entry.kind == ChunkKind::Pages {
                pages.push((page_count, chunk as u32));
                page_count += u64::from(entry.raw_bytes) / PAGE_BYTES as u64;
            }
        }
        Self {
            source,
            header,
            seal,
            index,
            completeness,
            pages,
            page_count,
            page_cache: None,
            cursor: RecordCursor::default(),
        }
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Whether the trace is there as a whole.
    #[must_use]
    pub fn completeness(&self) -> Completeness {
        self.completeness
    }

    /// Where everything is: chunks, blobs, keyframes, and totals.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Hands the source back.
    #[must_use]
    pub fn into_source(self) -> R {
        self.source
    }

    /// The next record; `None` after the last one.
    ///
    /// # Errors
    /// After [`open`](Self::open), only when the source fails or has changed since; after
    /// [`open_indexed`](Self::open_indexed), for whatever is wrong with the next chunk.
    pub fn next_record(&mut self) -> Result<Option<Record>, TraceError> {
        if let Some(record) = self.cursor.held.take() {
            return Ok(Some(record));
        }
        loop {
            if let Some(open) = &mut self.cursor.open {
                if let Some(record) = open.next_record()? {
                    let icount = record.icount();
                    if icount < self.cursor.last_icount {
                        return Err(TraceError::OutOfOrder {
                            at_byte: open.at_byte,
                            icount,
                            last_icount: self.cursor.last_icount,
                        });
                    }
                    self.cursor.last_icount = icount;
                    return Ok(Some(record));
                }
                self.cursor.open = None;
            }
            let chunk = self.cursor.next_chunk;
            let Some(entry) = self.index.chunks.get(chunk as usize).copied() else {
                return Ok(None);
            };
            self.cursor.next_chunk += 1;
            if entry.kind == ChunkKind::Records {
                let raw = self.chunk(chunk)?;
                self.cursor.open = Some(RecordsChunk::new(raw, entry.base_icount, entry.at_byte));
            }
        }
    }

    /// Moves the cursor to the first record at or after `icount`.
    ///
    /// # Errors
    /// As [`next_record`](Self::next_record).
    pub fn seek(&mut self, icount: u64) -> Result<(), TraceError> {
        // The first record at `icount` may be the last one of the last chunk that begins before it.
        let after = (self.index.chunks).partition_point(|chunk| chunk.base_icount < icount);
        let first = (self.index.chunks[..after].iter())
            .rposition(|chunk| chunk.kind == ChunkKind::Records)
            .unwrap_or(0);
        self.cursor = RecordCursor {
            next_chunk: first as u32,
            ..RecordCursor::default()
        };
        while let Some(record) = self.next_record()? {
            if record.icount() >= icount {
                self.cursor.held = Some(record);
                break;
            }
        }
        Ok(())
    }

    /// All records from the first. After an error the iterator ends.
    pub fn records(&mut self) -> Records<'_, R> {
        self.cursor = RecordCursor::default();
        Records {
            reader: self,
            failed: false,
        }
    }

    /// The content of a blob: a start's file or an embedded image. Allocates as pieces are read, up to
    /// 256 MiB.
    ///
    /// # Errors
    /// [`TraceError::BlobMissing`], and what can be wrong with its chunks.
    pub fn blob(&mut self, hash: &BlobHash) -> Result<Vec<u8>, TraceError> {
        let entry = *(self.index.blobs.get(hash)).ok_or(TraceError::BlobMissing { hash: *hash })?;
        if entry.bytes > MAX_BLOB_BYTES {
            return Err(TraceError::BlobMissing { hash: *hash });
        }
        let mut bytes = Vec::new();
        let mut check = BlobCheck::new(*hash, entry.bytes, entry.first_chunk);
        let mut chunk = entry.first_chunk;
        loop {
            let found = (self.index.chunks.get(chunk as usize).copied())
                .filter(|found| found.kind == ChunkKind::Blob)
                .ok_or(TraceError::BlobMissing { hash: *hash })?;
            let malformed = |reason| malformed_at(found.at_byte, found.base_icount, reason);
            let piece = BlobPiece::decode(&self.chunk(chunk)?)
                .map_err(|CodecError| malformed("a blob's piece does not decode"))?;
            if !check.accept(&piece) {
                return Err(malformed("a blob's pieces do not follow each other"));
            }
            bytes.extend_from_slice(&piece.bytes);
            chunk += 1;
            match check.verdict() {
                BlobVerdict::Unfinished => {}
                BlobVerdict::Whole => return Ok(bytes),
                BlobVerdict::Mismatch => {
                    return Err(TraceError::BlobMismatch {
                        hash: *hash,
                        at_byte: found.at_byte,
                    });
                }
            }
        }
    }

    /// A keyframe of this trace's index, without the content of its pages.
    ///
    /// # Errors
    /// As [`blob`](Self::blob), and [`TraceError::Malformed`] when the index or the page map lies.
    pub fn keyframe(&mut self, entry: KeyframeEntry) -> Result<Keyframe, TraceError> {
        let found = (self.index.chunks.get(entry.chunk as usize).copied())
            .filter(|found| found.kind == ChunkKind::Records);
        let at_byte = found.map_or(0, |found| found.at_byte);
        let malformed = |reason| malformed_at(at_byte, entry.icount, reason);
        let found = found.ok_or(malformed("the index names a keyframe that is not there"))?;
        let raw = self.chunk(entry.chunk)?;
        let mut records = RecordsChunk::new(raw, found.base_icount, found.at_byte);
        while let Some(record) = records.next_record()? {
            let Record::Keyframe {
                icount,
                state,
                page_map,
            } = record
            else {
                continue;
            };
            if icount != entry.icount {
                continue;
            }
            let page_map_bytes = self.index.blobs.get(&page_map).map_or(0, |blob| blob.bytes);
            if page_map_bytes > MAX_PAGE_MAP_BYTES {
                return Err(malformed("a page map is too large"));
            }
            let page_map = self.blob(&page_map)?;
            return Ok(Keyframe {
                icount,
                state: self.blob(&state)?,
                pages: decode_page_map(&page_map, self.page_count)
                    .map_err(|CodecError| malformed("a page map does not decode"))?,
            });
        }
        Err(malformed("the index names a keyframe that is not there"))
    }

    /// The stored page of this number. Pages near each other are cheap to read one after another.
    ///
    /// # Errors
    /// [`TraceError::Malformed`] when there is no such page, and what can be wrong with its chunk.
    pub fn page(&mut self, stored: u64) -> Result<[u8; PAGE_BYTES], TraceError> {
        let missing = malformed_at(0, 0, "a stored page is named that is not there");
        let place = self.pages.partition_point(|(first, _)| *first <= stored);
        let Some(&(first, chunk)) = place.checked_sub(1).and_then(|last| self.pages.get(last))
        else {
            return Err(missing);
        };
        let cached = matches!(&self.page_cache, Some((cached, _)) if *cached == chunk);
        if !cached {
            self.page_cache = Some((chunk, self.chunk(chunk)?));
        }
        let bytes = self.page_cache.as_ref().map_or(&[][..], |(_, bytes)| bytes);
        let (pages, _) = bytes.as_chunks::<PAGE_BYTES>();
        usize::try_from(stored - first)
            .ok()
            .and_then(|page| pages.get(page))
            .copied()
            .ok_or(missing)
    }

    /// The content of chunk number `chunk`, checked against the index and its checksum.
    pub(crate) fn chunk(&mut self, chunk: u32) -> Result<Vec<u8>, TraceError> {
        let entry = self.index.chunks[chunk as usize];
        let at_byte = entry.at_byte;
        // A place that is not as the index says it is, or not there any more, is damage.
        let damaged = TraceError::ChunkDamaged {
            at_byte,
            last_icount: self.cursor.last_icount,
        };
        let length = CHUNK_HEADER_BYTES + entry.stored_bytes as usize;
        let Some(bytes) = read_at(&mut self.source, at_byte, length)? else {
            return Err(damaged);
        };
        let Some((header, stored)) = bytes.split_first_chunk::<CHUNK_HEADER_BYTES>() else {
            return Err(damaged);
        };
        let expected = ChunkHeader {
            tag: entry.kind.tag(),
            raw_bytes: entry.raw_bytes,
            stored_bytes: entry.stored_bytes,
            base_icount: entry.base_icount,
            checksum: 0,
        };
        let checksum = expected.expected_checksum(self.seal, chunk, stored);
        if ChunkHeader::parse(header)
            != Some(ChunkHeader {
                checksum,
                ..expected
            })
        {
            return Err(damaged);
        }
        decompress(stored, entry.raw_bytes).ok_or(malformed_at(
            at_byte,
            entry.base_icount,
            "a chunk does not decompress to its declared size",
        ))
    }
}

/// Iterator over all records of a trace, made by [`TraceReader::records`].
#[derive(Debug)]
pub struct Records<'a, R> {
    reader: &'a mut TraceReader<R>,
    failed: bool,
}

impl<R: Read + Seek> Iterator for Records<'_, R> {
    type Item = Result<Record, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.reader.next_record().transpose();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}

/// Takes all items that can be had; false when damage was met.
fn drain(stream: &mut StreamReader) -> Result<bool, TraceError> {
    loop {
        match stream.next_item() {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(true),
            Err(error) if error.is_damage() => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

/// Reads the header and the index, and nothing else; `None` if there is no intact index.
fn read_index<R: Read + Seek>(source: &mut R) -> Result<Option<(StreamReader, Index)>, TraceError> {
    let io = |source| TraceError::Io { at_byte: 0, source };
    let file_bytes = source.seek(SeekFrom::End(0)).map_err(io)?;
    source.seek(SeekFrom::Start(0)).map_err(io)?;
    let mut stream = StreamReader::new();
    let mut buffer = [0; 512];
    // Only until the header is known: the stream would go on into the chunks.
    while stream.header().is_none() {
        let length = source.read(&mut buffer).map_err(io)?;
        if length == 0 {
            return Ok(None);
        }
        stream.feed(&buffer[..length]);
        stream.read_header()?;
    }
    let Some(footer_at_byte) = file_bytes.checked_sub(FOOTER_BYTES as u64) else {
        return Ok(None);
    };
    let Some(bytes) = read_at(source, footer_at_byte, FOOTER_BYTES)? else {
        return Ok(None);
    };
    let footer = bytes
        .first_chunk()
        .and_then(|bytes| Footer::parse(bytes, stream.seal()));
    let Some(Footer { index_at_byte }) = footer else {
        return Ok(None);
    };
    let Some(bytes) = read_at(source, index_at_byte, CHUNK_HEADER_BYTES)? else {
        return Ok(None);
    };
    let header = bytes.first_chunk().and_then(ChunkHeader::parse);
    let Some(header) = header.filter(|header| header.tag == ChunkKind::Index.tag()) else {
        return Ok(None);
    };
    let stored_at_byte = index_at_byte + CHUNK_HEADER_BYTES as u64;
    let Some(stored) = read_at(source, stored_at_byte, header.stored_bytes as usize)? else {
        return Ok(None);
    };
    let Some(raw) = decompress(&stored, header.raw_bytes) else {
        return Ok(None);
    };
    let index = Index::decode(&raw, stream.chunks_at_byte())
        .map_err(|error| trace_error(error, index_at_byte, header.base_icount))?;
    let sequence = index.chunks.len() as u32;
    let sound = header.expected_checksum(stream.seal(), sequence, &stored) == header.checksum
        && index.end_at_byte(stream.chunks_at_byte()) == index_at_byte
        && stored_at_byte + u64::from(header.stored_bytes) == footer_at_byte;
    Ok(sound.then_some((stream, index)))
}

/// Reads `length` bytes at a place; `None` if the source ends before. The caller has checked `length`
/// against a limit.
fn read_at<R: Read + Seek>(
    source: &mut R,
    at_byte: u64,
    length: usize,
) -> Result<Option<Vec<u8>>, TraceError> {
    let io = |source| TraceError::Io { at_byte, source };
    source.seek(SeekFrom::Start(at_byte)).map_err(io)?;
    let mut bytes = Vec::new();
    source
        .take(length as u64)
        .read_to_end(&mut bytes)
        .map_err(io)?;
    Ok((bytes.len() == length).then_some(bytes))
}
