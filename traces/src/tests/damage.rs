//! Traces that lost or changed bytes: a clear error or a shorter recording, never another one.

use super::sample::{Numbers, read, records_of, stream, varied};
use crate::*;
use std::io::Cursor;

/// Checks that what a reader makes of changed bytes is an error or the beginning of the recording, and
/// that it says so. Answers how many records it gave.
fn check_damaged(bytes: &[u8], records: &[Record], what: impl Fn() -> String) -> Option<usize> {
    let streamed = stream(bytes, || 1000);
    let Ok((read, completeness)) = read(bytes) else {
        assert!(streamed.1.is_err(), "{}: the two readers disagree", what());
        return None;
    };
    assert_eq!(streamed.1.unwrap(), completeness, "{}", what());
    assert_eq!(records_of(streamed.0), read, "{}", what());
    assert!(records.starts_with(&read), "{}: other records", what());
    let Completeness::Truncated {
        at_byte,
        last_icount,
        ..
    } = completeness
    else {
        panic!("{}: passes for complete", what());
    };
    assert!(at_byte <= bytes.len() as u64, "{}", what());
    assert_eq!(
        last_icount,
        read.last().map_or(0, Record::icount),
        "{}",
        what()
    );
    Some(read.len())
}

/// The same by index: whatever comes before the first error must be the beginning of the recording.
fn check_indexed(bytes: &[u8], records: &[Record], what: impl Fn() -> String) {
    let Ok(mut reader) = TraceReader::open_indexed(Cursor::new(bytes)) else {
        return;
    };
    let read: Vec<_> = reader.records().map_while(Result::ok).collect();
    assert!(records.starts_with(&read), "{}: other records", what());
    let hashes: Vec<_> = reader.index().blobs.keys().copied().collect();
    for hash in hashes {
        if let Ok(content) = reader.blob(&hash) {
            assert_eq!(BlobHash::of(&content), hash, "{}", what());
        }
    }
    for entry in reader.index().keyframes.clone() {
        let _ = reader.keyframe(entry);
    }
}

#[test]
fn cut_at_every_byte() {
    let (bytes, records) = varied(5);
    let mut given_before = 0;
    for length in 0..bytes.len() {
        let cut = &bytes[..length];
        let what = || format!("cut to {length} of {} bytes", bytes.len());
        let given = check_damaged(cut, &records, what);
        check_indexed(cut, &records, what);
        assert!(
            given.unwrap_or(0) >= given_before,
            "{}: fewer records from more bytes",
            what()
        );
        given_before = given.unwrap_or(0);
    }
    assert_eq!(given_before, records.len(), "only the footer was missing");
}

#[test]
fn cut_at_every_chunk_boundary() {
    let (bytes, records) = varied(1);
    let index = TraceReader::open(Cursor::new(&bytes))
        .unwrap()
        .index()
        .clone();
    let mut given_before = 0;
    let mut kind_before = ChunkKind::Blob;
    for chunk in &index.chunks {
        let cut = &bytes[..chunk.at_byte as usize];
        let what = || format!("cut at byte {}", chunk.at_byte);
        let given = check_damaged(cut, &records, what).unwrap();
        match kind_before {
            ChunkKind::Records => assert!(given > given_before, "{}", what()),
            _ => assert_eq!(given, given_before, "{}", what()),
        }
        (given_before, kind_before) = (given, chunk.kind);
    }
    assert!(given_before < records.len());
    let cut = &bytes[..index.chunks.last().unwrap().end_at_byte() as usize];
    let given = check_damaged(cut, &records, || "cut before the index".into());
    assert_eq!(given, Some(records.len()));
}

#[test]
fn cut_at_random_places() {
    let (bytes, records) = varied(3);
    let mut numbers = Numbers(5);
    for _ in 0..1000 {
        let length = numbers.below(bytes.len());
        check_damaged(&bytes[..length], &records, || format!("cut to {length}"));
    }
}

#[test]
fn random_bit_flips() {
    let mut numbers = Numbers(6);
    for (flips, per_chunk) in [(4000, 1), (3000, 7), (3000, 1000)] {
        let (bytes, records) = varied(per_chunk);
        for _ in 0..flips {
            let mut changed = bytes.clone();
            let (byte, bit) = (numbers.below(bytes.len()), numbers.below(8));
            changed[byte] ^= 1 << bit;
            let what = || format!("bit {bit} of byte {byte} flipped");
            check_damaged(&changed, &records, what);
            check_indexed(&changed, &records, what);
        }
    }
}

#[test]
fn every_bit_of_a_small_trace() {
    let (bytes, records) = varied(1000);
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        check_damaged(&changed, &records, || format!("bit {bit} flipped"));
    }
}

/// What file systems and careless tools do: ranges that read as zeros, are lost, are written twice,
/// or change places.
#[test]
fn ranges_zeroed_removed_repeated_and_swapped() {
    let (bytes, records) = varied(2);
    let mut numbers = Numbers(7);
    for n in 0..2000 {
        let from = numbers.below(bytes.len() - 1);
        let to = from + 1 + numbers.below((bytes.len() - from - 1).min(600));
        let changed = match n % 3 {
            0 => [&bytes[..from], &vec![0; to - from], &bytes[to..]].concat(),
            1 => [&bytes[..from], &bytes[to..]].concat(),
            _ => [&bytes[..to], &bytes[from..]].concat(),
        };
        if changed == bytes {
            continue;
        }
        let what = || format!("change {} of bytes {from} to {to}", n % 3);
        check_damaged(&changed, &records, what);
        check_indexed(&changed, &records, what);
    }
    let chunks = TraceReader::open(Cursor::new(&bytes))
        .unwrap()
        .index()
        .chunks
        .clone();
    let part = |n: usize| &bytes[chunks[n].at_byte as usize..chunks[n].end_at_byte() as usize];
    for n in 0..chunks.len() - 1 {
        let (before, after) = (
            &bytes[..chunks[n].at_byte as usize],
            &bytes[chunks[n + 1].end_at_byte() as usize..],
        );
        let swapped = [before, part(n + 1), part(n), after].concat();
        check_damaged(&swapped, &records, || {
            format!("chunk {n} swapped with the next")
        });
        let lost = [before, part(n + 1), after].concat();
        check_damaged(&lost, &records, || format!("chunk {n} lost"));
        let twice = [before, part(n), part(n), part(n + 1), after].concat();
        check_damaged(&twice, &records, || format!("chunk {n} twice"));
    }
}

#[test]
fn chunks_of_another_trace_are_not_taken_for_its_own() {
    let (bytes, records) = varied(5);
    let mut other_header = super::sample::header();
    other_header.config.seed = [9; 32];
    let mut other = TraceWriter::create(Vec::new(), &other_header, Compression::Best).unwrap();
    other.push(&super::sample::end(1)).unwrap();
    let start_of_other = other.bytes_written() as usize;
    let (other, _) = other.finish().unwrap();
    let chunks_at_byte = TraceReader::open(Cursor::new(&bytes))
        .unwrap()
        .index()
        .chunks[0]
        .at_byte as usize;
    let mixed = [&bytes[..chunks_at_byte], &other[start_of_other..]].concat();
    assert_eq!(
        check_damaged(&mixed, &records, || "another's chunks".into()),
        Some(0)
    );
}

#[test]
fn versions_and_other_files_are_told_apart() {
    let (bytes, _) = varied(1000);
    let check = |at: usize, with: &[u8], expect: &str| {
        let mut changed = bytes.clone();
        changed[at..at + with.len()].copy_from_slice(with);
        let message = read(&changed).unwrap_err().to_string();
        assert!(message.contains(expect), "{message}");
    };
    check(0, b"\x7fELF", "not a Reprise trace");
    assert!(matches!(read(b"garbage\n"), Err(TraceError::NotATrace)));
    check(8, &[2], "format version 2, but this build reads version 1");
    check(12, &[9], "header is damaged");
    check(16, &[0xff; 4], "header is damaged");
    check(20, &[0xff; 4], "header is damaged");
    check(40, b"garbage", "header is damaged");
    assert!(matches!(
        read(&bytes[..100]),
        Err(TraceError::HeaderCut { bytes: 100 })
    ));
    assert!(matches!(read(b""), Err(TraceError::HeaderCut { bytes: 0 })));
    let header = super::sample::header();
    header.require_machine_version(1).unwrap();
    let message = header.require_machine_version(2).unwrap_err().to_string();
    assert!(
        message.contains("machine version 1") && message.contains("machine version 2"),
        "{message}"
    );
}

#[test]
fn compaction_refuses_what_is_not_whole() {
    let (bytes, _) = varied(5);
    let mut numbers = Numbers(10);
    for _ in 0..100 {
        let (byte, bit) = (numbers.below(bytes.len()), numbers.below(8));
        let mut changed = bytes.clone();
        changed[byte] ^= 1 << bit;
        assert!(compact(&changed[..], Vec::new()).is_err(), "byte {byte}");
        assert!(
            compact(&bytes[..byte], Vec::new()).is_err(),
            "cut to {byte}"
        );
    }
}

#[test]
fn bytes_after_the_end_are_refused() {
    let (mut bytes, _) = varied(1000);
    let at = bytes.len() as u64;
    bytes.push(0);
    assert!(matches!(
        read(&bytes),
        Err(TraceError::TrailingBytes { at_byte }) if at_byte == at
    ));
}
