//! The packed form of a trace: what replay needs of a short one, in few bytes, for a link. FORMAT.md specifies it.
//!
//! A trace of a typed session is mostly numbers: how many steps and how much idle time lie between two keys. The packed
//! form puts like beside like (all lowest bytes of distances, then all second bytes, and so on), so that what is
//! predictable in them compresses, and leaves out what a reader can do without: checksums of chunks, the index,
//! keyframes, and all state hashes but the last.

use crate::blob::BlobHash;
use crate::chunk::{compress, decompress};
use crate::codec::{
    CodecError, put_bytes, put_varint, take_array, take_byte, take_bytes, take_varint,
};
use crate::error::TraceError;
use crate::header::Header;
use crate::limits::{
    MAX_BLOBS, MAX_CHUNK_RAW_BYTES, MAX_HEADER_RAW_BYTES, MAX_RECORD_PAYLOAD_BYTES,
};
use crate::reader::TraceReader;
use crate::record::{ConsolePort, Event, Input, Record};
use crate::stream::{Completeness, malformed_at, trace_error};
use crate::wire::{
    RECORD_CONSOLE_INPUT, WireError, decode_header, decode_record, encode_header, encode_record,
};
use crate::writer::{Compression, TraceWriter};
use std::collections::BTreeSet;
use std::io::{Read, Seek};

/// The first bytes of a packed trace.
pub const PACKED_MAGIC: [u8; 2] = *b"\x89P";

/// Content of a packed trace before compression: what a reader allocates before it has seen the content.
const MAX_PACKED_RAW_BYTES: u32 = MAX_CHUNK_RAW_BYTES;

/// The best compression that zstd has: what goes into a link is small, so it costs no time.
const LEVEL: i32 = 22;

/// Whether these bytes are meant as a packed trace.
#[must_use]
pub fn is_packed(bytes: &[u8]) -> bool {
    bytes.starts_with(&PACKED_MAGIC)
}

/// Packs a complete trace.
///
/// The result replays to the same final hash. Left out are keyframes, all state hashes but the last, chunks of unknown kinds, and
/// places of images that are paths of the computer that recorded.
///
/// # Errors
/// [`TraceError::Incomplete`] for a trace that breaks off, [`TraceError::TooLarge`] for one above 16 MiB; otherwise as the
/// reader.
pub fn pack<R: Read + Seek>(mut reader: TraceReader<R>) -> Result<Vec<u8>, TraceError> {
    let records: Vec<Record> = reader.records().collect::<Result<_, _>>()?;
    if let Completeness::Truncated { at_byte, .. } = reader.completeness() {
        return Err(TraceError::Incomplete { at_byte });
    }
    let mut header = reader.header().clone();
    for image in &mut header.images {
        image.places.retain(|place| place.contains("://"));
    }
    let mut wanted: BTreeSet<BlobHash> = header.images.iter().map(|image| image.hash).collect();
    let last_hash = (records.iter()).rposition(|record| matches!(record, Record::StateHash { .. }));
    let mut columns = Columns::default();
    for (number, record) in records.iter().enumerate() {
        match record {
            Record::Keyframe { .. } => continue,
            Record::StateHash { .. } if Some(number) != last_hash => continue,
            Record::Event(Event {
                input: Input::Start(start),
                ..
            }) => wanted.extend(start.files.iter().map(|file| file.content)),
            _ => {}
        }
        columns.push(record).map_err(unencodable)?;
    }
    let blobs = &reader.index().blobs;
    let blob_bytes = wanted
        .iter()
        .filter_map(|hash| Some(blobs.get(hash)?.bytes));
    let blob_bytes = blob_bytes.fold(0u64, u64::saturating_add);
    if blob_bytes > u64::from(MAX_PACKED_RAW_BYTES) {
        return Err(too_large(blob_bytes));
    }
    let mut blobs = Vec::new();
    for hash in wanted {
        match reader.blob(&hash) {
            Ok(blob) => blobs.push(blob),
            // An image that is not embedded.
            Err(TraceError::BlobMissing { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let raw = encode(&header, &blobs, &columns).map_err(unencodable)?;
    if raw.len() > MAX_PACKED_RAW_BYTES as usize {
        return Err(too_large(raw.len() as u64));
    }
    let stored = compress(&raw, LEVEL).map_err(|source| TraceError::Io { at_byte: 0, source })?;
    let mut packed = PACKED_MAGIC.to_vec();
    let put = |packed: &mut Vec<u8>, value| put_varint(packed, value).map_err(unencodable);
    put(&mut packed, u64::from(header.machine_version))?;
    put(&mut packed, raw.len() as u64)?;
    let checksum = checksum(&packed, &stored);
    packed.extend_from_slice(&checksum.to_le_bytes());
    packed.extend_from_slice(&stored);
    Ok(packed)
}

/// Makes the trace of a packed one, as [`TraceWriter`] writes it.
///
/// # Errors
/// [`TraceError::PackedDamaged`] when bytes were lost or changed, [`TraceError::Malformed`] when they break the format, and what
/// the writer refuses.
pub fn unpack(packed: &[u8]) -> Result<Vec<u8>, TraceError> {
    let mut rest = packed;
    if take_array(&mut rest).ok() != Some(PACKED_MAGIC) {
        return Err(TraceError::NotATrace);
    }
    let (machine_version, raw_bytes, is_intact) = (|| {
        let machine_version = u32::try_from(take_varint(&mut rest)?).map_err(|_| CodecError)?;
        let raw_bytes = u32::try_from(take_varint(&mut rest)?).map_err(|_| CodecError)?;
        let head_bytes = packed.len() - rest.len();
        let declared = u32::from_le_bytes(take_array(&mut rest)?);
        let expected = checksum(&packed[..head_bytes], rest);
        Ok((machine_version, raw_bytes, declared == expected))
    })()
    .map_err(|CodecError| TraceError::PackedDamaged)?;
    if !is_intact || raw_bytes == 0 || raw_bytes > MAX_PACKED_RAW_BYTES {
        return Err(TraceError::PackedDamaged);
    }
    let raw = decompress(rest, raw_bytes).ok_or(TraceError::PackedDamaged)?;
    let mut rest = &raw[..];
    let parts = decode(machine_version, &mut rest).map_err(|error| trace_error(error, 0, 0))?;
    let mut writer = TraceWriter::create(Vec::new(), &parts.header, Compression::Live)?;
    for blob in parts.blobs {
        if writer.has_blob(&BlobHash::of(blob)) {
            return Err(malformed_at(0, 0, "a blob occurs twice"));
        }
        writer.add_blob(blob)?;
    }
    let mut columns = parts.columns;
    let mut hash_count = 0;
    while let Some(record) = columns.take().map_err(|error| trace_error(error, 0, 0))? {
        hash_count += u32::from(matches!(record, Record::StateHash { .. }));
        if hash_count > 1 || matches!(record, Record::Keyframe { .. }) {
            let reason = "a packed trace has one state hash at the most, and no keyframes";
            return Err(malformed_at(0, record.icount(), reason));
        }
        writer.push(&record)?;
    }
    Ok(writer.finish()?.0)
}

fn checksum(head: &[u8], stored: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(stored);
    hasher.finalize()
}

fn too_large(size: u64) -> TraceError {
    TraceError::TooLarge {
        what: "the recording, in bytes, for a link,",
        size,
        size_max: u64::from(MAX_PACKED_RAW_BYTES),
        at_byte: 0,
    }
}

/// A value that one of its parts' own limits forbids: the reader would have refused it.
fn unencodable(_: CodecError) -> TraceError {
    malformed_at(0, 0, "a value is above its limit")
}

/// Records, taken apart.
#[derive(Default)]
struct Columns {
    last_icount: u64,
    tags: Vec<u8>,
    distances: Vec<u64>,
    /// Of console inputs, as are the next three.
    skips: Vec<u64>,
    ports: Vec<u8>,
    lengths: Vec<u8>,
    text: Vec<u8>,
    /// Of all other records, each after its length.
    payloads: Vec<u8>,
}

impl Columns {
    fn push(&mut self, record: &Record) -> Result<(), CodecError> {
        // The reader checked the order.
        let distance = record
            .icount()
            .checked_sub(self.last_icount)
            .ok_or(CodecError)?;
        self.last_icount = record.icount();
        self.distances.push(distance);
        if let Record::Event(Event {
            skip,
            input: Input::ConsoleInput { port, bytes },
            ..
        }) = record
        {
            self.tags.push(RECORD_CONSOLE_INPUT);
            self.skips.push(*skip);
            self.ports.push(port.0);
            put_varint(&mut self.lengths, bytes.len() as u64)?;
            self.text.extend_from_slice(bytes);
            return Ok(());
        }
        let (tag, payload) = encode_record(record)?;
        self.tags.push(tag);
        put_bytes(&mut self.payloads, &payload)
    }
}

fn encode(header: &Header, blobs: &[Vec<u8>], columns: &Columns) -> Result<Vec<u8>, CodecError> {
    let mut raw = Vec::new();
    put_bytes(&mut raw, &encode_header(header)?)?;
    put_varint(&mut raw, blobs.len() as u64)?;
    for blob in blobs {
        put_bytes(&mut raw, blob)?;
    }
    put_bytes(&mut raw, &columns.tags)?;
    put_planes(&mut raw, &columns.distances);
    put_planes(&mut raw, &columns.skips);
    raw.extend_from_slice(&columns.ports);
    put_bytes(&mut raw, &columns.lengths)?;
    put_bytes(&mut raw, &columns.text)?;
    raw.extend_from_slice(&columns.payloads);
    Ok(raw)
}

/// Appends numbers: how many bytes the largest takes, then the lowest byte of each, the second of each, and so on.
fn put_planes(raw: &mut Vec<u8>, values: &[u64]) {
    let largest = values.iter().copied().max().unwrap_or(0);
    let width = (u64::BITS - largest.leading_zeros()).div_ceil(8) as usize;
    raw.push(width as u8);
    for plane in 0..width {
        raw.extend(values.iter().map(|value| value.to_le_bytes()[plane]));
    }
}

/// A packed trace's content, taken apart.
struct Parts<'a> {
    header: Header,
    blobs: Vec<&'a [u8]>,
    columns: ColumnReader<'a>,
}

fn decode<'a>(machine_version: u32, rest: &mut &'a [u8]) -> Result<Parts<'a>, WireError> {
    let header = decode_header(machine_version, take_bytes(rest, MAX_HEADER_RAW_BYTES)?)?;
    let blob_count = take_varint(rest)?;
    if blob_count > MAX_BLOBS as u64 {
        return Err(WireError::Malformed("there are too many blobs"));
    }
    let mut blobs = Vec::new();
    for _ in 0..blob_count {
        blobs.push(take_bytes(rest, MAX_PACKED_RAW_BYTES)?);
    }
    let tags = take_bytes(rest, MAX_PACKED_RAW_BYTES)?;
    let console_count = tags
        .iter()
        .filter(|tag| **tag == RECORD_CONSOLE_INPUT)
        .count();
    let distances = Planes::take(rest, tags.len())?;
    let skips = Planes::take(rest, console_count)?;
    let ports = rest.split_off(..console_count).ok_or(CodecError)?;
    let lengths = take_bytes(rest, MAX_PACKED_RAW_BYTES)?;
    let text = take_bytes(rest, MAX_PACKED_RAW_BYTES)?;
    let columns = ColumnReader {
        icount: 0,
        tags,
        number: 0,
        console_number: 0,
        distances,
        skips,
        ports,
        lengths,
        text,
        payloads: std::mem::take(rest),
    };
    Ok(Parts {
        header,
        blobs,
        columns,
    })
}

/// Numbers whose bytes stand apart.
struct Planes<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a> Planes<'a> {
    fn take(rest: &mut &'a [u8], count: usize) -> Result<Self, WireError> {
        let width = usize::from(take_byte(rest)?);
        if width > 8 {
            return Err(WireError::Malformed("a number has more than 64 bits"));
        }
        let bytes = rest.split_off(..width * count).ok_or(CodecError)?;
        Ok(Self { bytes, count })
    }

    /// The number at `index`, which is below the count.
    fn get(&self, index: usize) -> u64 {
        let planes = self.bytes.chunks_exact(self.count.max(1));
        planes
            .rev()
            .fold(0, |value, plane| value << 8 | u64::from(plane[index]))
    }
}

/// Hands out the records of columns.
struct ColumnReader<'a> {
    icount: u64,
    tags: &'a [u8],
    number: usize,
    console_number: usize,
    distances: Planes<'a>,
    skips: Planes<'a>,
    ports: &'a [u8],
    lengths: &'a [u8],
    text: &'a [u8],
    payloads: &'a [u8],
}

impl ColumnReader<'_> {
    /// The next record; none after the last.
    fn take(&mut self) -> Result<Option<Record>, WireError> {
        let Some(&tag) = self.tags.get(self.number) else {
            return if self.lengths.is_empty() && self.text.is_empty() && self.payloads.is_empty() {
                Ok(None)
            } else {
                Err(WireError::Malformed("bytes are left over"))
            };
        };
        let distance = self.distances.get(self.number);
        let icount = self.icount.checked_add(distance);
        self.icount = icount.ok_or(WireError::Malformed("a position is beyond all counting"))?;
        self.number += 1;
        if tag != RECORD_CONSOLE_INPUT {
            let payload = take_bytes(&mut self.payloads, MAX_RECORD_PAYLOAD_BYTES)?;
            return decode_record(tag, self.icount, payload).map(Some);
        }
        let length = usize::try_from(take_varint(&mut self.lengths)?).map_err(|_| CodecError)?;
        let bytes = self.text.split_off(..length).ok_or(CodecError)?.to_vec();
        let port = ConsolePort(self.ports[self.console_number]);
        let skip = self.skips.get(self.console_number);
        self.console_number += 1;
        Ok(Some(Record::Event(Event {
            icount: self.icount,
            skip,
            input: Input::ConsoleInput { port, bytes },
        })))
    }
}
