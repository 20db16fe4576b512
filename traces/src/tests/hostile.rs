//! Traces whose checksums are right and whose content lies.

use super::sample::{end, header, read};
use crate::chunk::{ChunkHeader, Footer, MAGIC, PREAMBLE_BYTES, Preamble, compress};
use crate::codec::encode;
use crate::*;
use std::io::Cursor;

/// Builds a file without the writer's care.
struct Forger {
    bytes: Vec<u8>,
    seal: u32,
    sequence: u32,
}

impl Forger {
    fn new() -> Self {
        let writer = TraceWriter::create(Vec::new(), &header(), Compression::Live).unwrap();
        let mut writer = writer;
        writer.push(&end(0)).unwrap();
        let (bytes, _) = writer.finish().unwrap();
        let preamble = Preamble::parse(bytes.first_chunk().unwrap()).unwrap();
        let length = PREAMBLE_BYTES + preamble.stored_bytes as usize;
        Self {
            bytes: bytes[..length].to_vec(),
            seal: preamble.checksum,
            sequence: 0,
        }
    }

    fn with_header(raw: &[u8]) -> Self {
        let stored = compress(raw, 3).unwrap();
        let mut preamble = Preamble {
            machine_version: 1,
            raw_bytes: raw.len() as u32,
            stored_bytes: stored.len() as u32,
            checksum: 0,
        };
        preamble.checksum = preamble.seal(&stored);
        Self {
            bytes: [&preamble.bytes()[..], &stored].concat(),
            seal: preamble.checksum,
            sequence: 0,
        }
    }

    /// Appends a chunk with any content and declared size.
    fn stored(mut self, tag: u8, base_icount: u64, raw_bytes: u32, stored: &[u8]) -> Self {
        let mut header = ChunkHeader {
            tag,
            raw_bytes,
            stored_bytes: stored.len() as u32,
            base_icount,
            checksum: 0,
        };
        header.checksum = header.expected_checksum(self.seal, self.sequence, stored);
        self.sequence += 1;
        self.bytes.extend_from_slice(&header.bytes());
        self.bytes.extend_from_slice(stored);
        self
    }

    fn chunk(self, tag: u8, base_icount: u64, raw: &[u8]) -> Self {
        self.stored(tag, base_icount, raw.len() as u32, raw)
    }

    /// Appends a records chunk of raw records: number, distance, payload (all short).
    fn records(self, base_icount: u64, records: &[(u8, u8, &[u8])]) -> Self {
        let mut raw = Vec::new();
        for (tag, distance, payload) in records {
            raw.extend_from_slice(&[*tag, *distance, payload.len() as u8]);
            raw.extend_from_slice(payload);
        }
        self.chunk(1, base_icount, &raw)
    }

    fn footer(mut self, index_at_byte: usize) -> Self {
        let footer = Footer {
            index_at_byte: index_at_byte as u64,
        };
        self.bytes.extend_from_slice(&footer.bytes(self.seal));
        self
    }

    #[track_caller]
    fn refused(&self, expect: &str) {
        let message = read(&self.bytes)
            .map(|(records, _)| records)
            .unwrap_err()
            .to_string();
        assert!(message.contains(expect), "{message:?} lacks {expect:?}");
    }
}

/// The payloads of an end record and of a power-off.
const END: (u8, u8, &[u8]) = (0x20, 0, &[1, 0, 0]);
const POWER_OFF: (u8, u8, &[u8]) = (0x04, 0, &[0]);

#[test]
fn the_forger_can_forge_a_good_trace() {
    let forged = Forger::new().records(7, &[POWER_OFF, END]);
    let (records, completeness) = read(&forged.bytes).unwrap();
    assert_eq!(records.len(), 2);
    assert_eq!(records[1].icount(), 7);
    assert!(matches!(
        completeness,
        Completeness::Truncated {
            cause: TruncationCause::Cut,
            ..
        }
    ));
}

#[test]
fn unknown_numbers() {
    Forger::new()
        .records(0, &[(0x0f, 0, b"")])
        .refused("a record of unknown kind 0x0f");
    Forger::new()
        .records(0, &[(0x7f, 0, b"")])
        .refused("a record of unknown kind 0x7f");
    Forger::new()
        .chunk(0x00, 0, b"x")
        .refused("a chunk of unknown kind 0x00");
    Forger::new()
        .chunk(0x7f, 0, b"x")
        .refused("a chunk of unknown kind 0x7f");
    Forger::with_header(&[0x05, 0]).refused("a header field of unknown kind 0x05");
    let config = |boot: u8| {
        let zero = (0u64, 0u32, 0u8, [0u8; 32], 0u32, 0u8, 0u8, 0u8);
        let payload = encode(&(boot, zero), 100).unwrap();
        [&[0x01, payload.len() as u8], &payload[..]].concat()
    };
    Forger::with_header(&config(9)).refused("a way of booting of unknown kind 0x09");
    let image = encode(&(9u8, [0u8; 32], 0u64, "", [""; 0].as_slice()), 100).unwrap();
    let image = [&[0x02, image.len() as u8], &image[..]].concat();
    Forger::with_header(&[config(1), image].concat()).refused("an image role of unknown kind 0x09");
    // Those from 0x80 on are kept or skipped.
    let forged = Forger::with_header(&[config(1), vec![0xff, 1, 42]].concat())
        .chunk(0xee, 0, b"chunk from the future")
        .records(3, &[(0xef, 0, b"record"), END]);
    assert_eq!(read(&forged.bytes).unwrap().0.len(), 2);
    let reader = TraceReader::open(Cursor::new(&forged.bytes)).unwrap();
    assert_eq!(reader.header().other[0].tag, 0xff);
}

#[test]
fn broken_headers() {
    Forger::with_header(&[0x80, 0]).refused("does not decode");
    Forger::with_header(&[0x81, 1, 0]).refused("the header has no configuration");
    Forger::with_header(&[0x81, 1, 0, 0x81, 1, 0]).refused("a header field occurs too often");
    Forger::with_header(&[0x80, 200, 0]).refused("does not decode");
    Forger::with_header(&[0x80, 253, 255, 255, 255, 255, 255, 255, 255, 255])
        .refused("does not decode");
}

#[test]
fn broken_records() {
    let check = |raw: &[u8], expect: &str| Forger::new().chunk(1, 5, raw).refused(expect);
    check(&[0x04], "does not decode");
    check(&[0x04, 0], "does not decode");
    check(&[0x04, 0, 2, 0], "does not decode");
    check(&[0x04, 0, 2, 0, 0], "does not decode");
    check(&[0x04, 1, 1, 0], "does not begin at the position");
    check(
        &[0x04, 253, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0],
        "beyond all counting",
    );
    check(&[0x10, 0, 0], "impossible size");
    check(&[0x10, 0, 7, 0, 0, 0, 0, 0, 0, 0], "impossible size");
    check(
        &[&[0x10, 0, 136][..], &[0; 136]].concat(),
        "impossible size",
    );
    check(&[0x81, 0, 2, 1, 0xff], "does not decode");
    // A start with 2^56 arguments.
    let start = [0x01, 0, 10, 0, 253, 0, 0, 0, 0, 0, 0, 0, 1];
    check(&start, "does not decode");
    // A payload above the cap for one record.
    let large = [&[0x81, 0, 252, 1, 0, 16, 0][..], &vec![0; 1 << 21]].concat();
    check(&large, "does not decode");
}

#[test]
fn broken_order() {
    Forger::new()
        .records(7, &[POWER_OFF])
        .records(6, &[POWER_OFF])
        .refused("icount 6 follows one for icount 7");
    Forger::new()
        .records(7, &[END, POWER_OFF])
        .refused("a record follows the end record");
    Forger::new()
        .records(7, &[END])
        .records(7, &[POWER_OFF])
        .refused("the index does not follow the end record");
    Forger::new()
        .chunk(3, 0, b"\x01\x01\x00\x02\x02\x00\x00")
        .refused("the index does not follow the end record");
}

#[test]
fn broken_compression() {
    let zeros = compress(&[0; 100_000], 3).unwrap();
    let check = |raw_bytes, stored: &[u8]| {
        Forger::new()
            .stored(1, 0, raw_bytes, stored)
            .refused("does not decompress to its declared size");
    };
    check(99_999, &zeros);
    check(100_001, &zeros);
    check(limits::MAX_CHUNK_RAW_BYTES, &zeros);
    check(1000, b"not zstd at all");
    check(1000, &zeros[..zeros.len() - 1]);
}

#[test]
fn broken_blobs() {
    let piece = |hash: BlobHash, total: u64, offset: u64, bytes: &[u8]| {
        BlobPiece::encode(&hash, total, offset, bytes).unwrap()
    };
    let name = BlobHash::of(b"ab");
    let check = |pieces: &[Vec<u8>], expect: &str| {
        let forged = (pieces.iter()).fold(Forger::new(), |forged, raw| forged.chunk(2, 0, raw));
        forged.records(0, &[END]).refused(expect);
    };
    check(&[piece(name, 2, 0, b"ax")], "is not the");
    check(
        &[piece(name, 2, 0, b"a")],
        "pieces do not follow each other",
    );
    check(
        &[piece(name, 2, 1, b"b")],
        "pieces do not follow each other",
    );
    check(
        &[piece(name, 2, 0, b"a"), piece(BlobHash::of(b""), 0, 0, b"")],
        "pieces do not follow each other",
    );
    check(
        &[piece(name, 2, 0, b"a"), piece(name, 3, 1, b"b")],
        "pieces do not follow each other",
    );
    check(
        &[piece(name, 2, 0, b"ab"), piece(name, 2, 0, b"ab")],
        "a blob occurs twice",
    );
    check(&[piece(name, 2, 0, b"")], "piece does not decode");
    check(&[piece(name, 2, 2, b"")], "piece does not decode");
    check(&[piece(name, 1, 0, b"ab")], "piece does not decode");
    check(&[piece(name, u64::MAX, 0, b"ab")], "piece does not decode");
    check(
        &[piece(name, u64::MAX, u64::MAX, b"ab")],
        "piece does not decode",
    );
    check(&[vec![0; 10]], "piece does not decode");
    let good = Forger::new()
        .chunk(2, 0, &piece(name, 2, 0, b"a"))
        .chunk(2, 0, &piece(name, 2, 1, b"b"))
        .records(0, &[END]);
    read(&good.bytes).unwrap();
}

#[test]
fn broken_keyframes() {
    Forger::new()
        .chunk(0x80, 0, &[0; 4095])
        .refused("pages in part");
    Forger::new()
        .chunk(0x80, 0, &vec![0; 4096 * 1025])
        .refused("too many");
    Forger::new()
        .records(0, &[(0x82, 0, &[0; 64])])
        .refused("does not hold the content 0000");
}

#[test]
fn lying_indexes() {
    let check = |index: &[u8], footer: Option<usize>, expect: &str| {
        let forged = Forger::new().records(7, &[END]);
        let at = forged.bytes.len();
        let forged = forged.chunk(3, 7, index).footer(footer.unwrap_or(at));
        forged.refused(expect);
        // By index, an index that lies is refused or not used, and nothing panics.
        if let Ok(mut reader) = TraceReader::open_indexed(Cursor::new(&forged.bytes)) {
            let _ = reader.records().count();
            let _ = reader.seek(u64::MAX);
            for hash in reader.index().blobs.keys().copied().collect::<Vec<_>>() {
                assert!(reader.blob(&hash).is_err());
            }
            for entry in reader.index().keyframes.clone() {
                assert!(reader.keyframe(entry).is_err());
            }
        }
    };
    // The records chunk above has 6 bytes: one record of number, distance, length and payload.
    let chunks = [0x01, 5, 1, 1, 6, 6, 7];
    let totals = [0x02, 2, 7, 1];
    let with = |extra: &[u8]| [&chunks[..], &totals, extra].concat();
    check(&chunks, None, "the index has no totals");
    check(&totals, None, "the index names no chunks");
    check(&with(&totals), None, "an index field occurs twice");
    check(
        &with(&[0x04, 0]),
        None,
        "an index field of unknown kind 0x04",
    );
    check(&[0x01, 1, 0, 0x02, 2, 7, 1], None, "contradicts");
    check(
        &[&chunks[..], &[0x02, 2, 8, 1]].concat(),
        None,
        "contradicts",
    );
    check(
        &[&chunks[..], &[0x02, 2, 7, 2]].concat(),
        None,
        "contradicts",
    );
    check(
        &[0x01, 5, 1, 1, 6, 5, 7, 0x02, 2, 7, 1],
        None,
        "contradicts",
    );
    check(
        &[0x01, 5, 1, 1, 5, 6, 7, 0x02, 2, 7, 1],
        None,
        "an impossible chunk",
    );
    check(
        &[0x01, 5, 1, 3, 6, 6, 7, 0x02, 2, 7, 1],
        None,
        "an impossible chunk",
    );
    check(&with(&[0x80, 3, 1, 7, 0]), None, "contradicts");
    check(&with(&[0x80, 3, 1, 7, 9]), None, "out of range");
    let blob = |chunk: u8| [&[0x03, 35, 1][..], &[0; 32], &[2, chunk]].concat();
    check(&with(&blob(0)), None, "contradicts");
    check(&with(&blob(1)), None, "out of range");
    let twice = [&[0x03, 69, 2][..], &[0; 32], &[2, 0], &[0; 32], &[2, 0]].concat();
    check(&with(&twice), None, "too many or twice");
    let huge = [0x01, 9, 253, 255, 255, 255, 255, 255, 255, 255, 255];
    check(&huge, None, "does not decode");
    // A good index, and a footer that points elsewhere: damage, but every record is there.
    let forged = Forger::new().records(7, &[END]);
    let at = forged.bytes.len();
    let good = forged.chunk(3, 7, &with(&[0x90, 1, 0])).footer(at);
    assert_eq!(read(&good.bytes).unwrap().1, Completeness::Complete);
    for elsewhere in [0, at - 1, at + 1, usize::MAX] {
        let forged = Forger::new()
            .records(7, &[END])
            .chunk(3, 7, &with(&[]))
            .footer(elsewhere);
        let (records, completeness) = read(&forged.bytes).unwrap();
        assert_eq!(records.len(), 1);
        assert_ne!(completeness, Completeness::Complete);
        let indexed = TraceReader::open_indexed(Cursor::new(&forged.bytes)).unwrap();
        assert_ne!(indexed.completeness(), Completeness::Complete);
    }
}

/// Many records that are small in the file and large in memory: read one at a time.
#[test]
fn a_full_chunk_of_the_smallest_records_is_read() {
    let raw: Vec<u8> = std::iter::repeat_n([0x04, 0, 1, 0], 1 << 22)
        .flatten()
        .collect();
    let stored = compress(&raw, 1).unwrap();
    assert!(stored.len() < 4000);
    let forged = Forger::new().stored(1, 0, raw.len() as u32, &stored);
    let mut reader = TraceReader::open(Cursor::new(&forged.bytes)).unwrap();
    assert_eq!(reader.records().count(), 1 << 22);
}

/// A file of some hundred kilobytes that would decompress to a terabyte takes bounded work.
#[test]
fn a_bomb_of_many_chunks_is_refused() {
    let raw = vec![0; limits::MAX_CHUNK_RAW_BYTES as usize];
    let stored = compress(&raw, 1).unwrap();
    let unknown_kind = 0x99;
    let chunks = limits::MAX_RAW_BYTES_BASE / raw.len() as u64 + 4;
    (0..chunks)
        .fold(Forger::new(), |forged, _| {
            forged.stored(unknown_kind, 0, raw.len() as u32, &stored)
        })
        .refused("the decompressed trace");
}

#[test]
fn random_bytes_after_the_magic() {
    let mut numbers = super::sample::Numbers(8);
    for _ in 0..20_000 {
        let length = numbers.below(300);
        let noise = (0..length).map(|_| numbers.next() as u8);
        let mut bytes: Vec<u8> = MAGIC.into_iter().chain([1, 0, 0, 0]).chain(noise).collect();
        // Half of them with plausible lengths.
        if length.is_multiple_of(2) && bytes.len() > 24 {
            bytes[17..20].fill(0);
            bytes[21..24].fill(0);
        }
        assert!(read(&bytes).is_err());
    }
}

#[test]
fn a_record_names_a_file_that_is_not_there() {
    let content = BlobHash([3; 32]);
    let file = StartFile {
        path: b"/a".to_vec(),
        mode: 0o644,
        content,
    };
    let Input::Start(start) = super::sample::start(vec![file]) else {
        panic!("not a start");
    };
    let payload = encode(&(0u64, start), 1000).unwrap();
    Forger::new()
        .records(0, &[(0x01, 0, &payload)])
        .refused("does not hold the content 0303");
}
