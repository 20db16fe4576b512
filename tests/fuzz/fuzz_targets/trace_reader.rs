//! The trace reader: no bytes make it panic, hang or hold much memory, and its three ways of reading
//! agree.
//!
//! An input that begins as a trace does is read as it is and with its checksums mended; any other is a
//! script from which a trace is built.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reprise_fuzz::forge;
use reprise_traces::{
    BlobHash, Completeness, Record, StreamItem, StreamReader, TraceError, TraceReader, compact,
};
use std::io::Cursor;

/// Traces above this size, or with more records, are not compacted: it is slow and nothing new.
const COMPACT_BYTES_MAX: usize = 8 << 10;
const COMPACT_RECORDS_MAX: u64 = 1 << 12;

/// Blobs above this size are not assembled, so that a small input is not slow.
const BLOB_BYTES_MAX: u64 = 1 << 20;

fuzz_target!(|data: &[u8]| {
    if data.starts_with(&reprise_traces::MAGIC) {
        check(data);
        check(&forge::mend(data));
    } else {
        check(&forge::build(data));
    }
});

fn check(bytes: &[u8]) {
    let opened = TraceReader::open(Cursor::new(bytes));
    // Pieces of a size that depends on the bytes, so that their ends fall everywhere.
    let piece_bytes = 1 + bytes.len() % 97;
    let mut stream = Pieces {
        reader: StreamReader::new(),
        rest: bytes,
        piece_bytes,
    };
    let Ok(mut reader) = opened else {
        while let Ok(Some(_)) = stream.next() {}
        assert!(!stream.reader.is_complete() || stream.next().is_err());
        let _ = TraceReader::open_indexed(Cursor::new(bytes)).map(read_all);
        return;
    };
    let mut records = reader.records();
    while let Some(item) = stream.next().expect("a trace that opens streams") {
        if let StreamItem::Record(record) = item {
            let other = records.next().expect("as many records as streamed");
            assert_eq!(other.expect("a checked record reads"), record);
        }
    }
    assert!(records.next().is_none());
    let completeness = stream.reader.completeness().expect("a header");
    assert_eq!(completeness, reader.completeness());
    assert_eq!(stream.reader.header(), Some(reader.header()));
    assert!(!completeness.to_string().is_empty());
    for icount in [0, 1, reader.index().last_icount, u64::MAX] {
        reader.seek(icount).expect("a checked trace seeks");
        let found = reader.next_record().expect("a checked record reads");
        assert!(found.is_none_or(|record| record.icount() >= icount));
    }
    let hashes: Vec<_> = (reader.index().blobs.iter())
        .filter(|(_, blob)| blob.bytes <= BLOB_BYTES_MAX)
        .map(|(hash, _)| *hash)
        .collect();
    for hash in hashes {
        let content = reader.blob(&hash).expect("a checked blob reads");
        assert_eq!(BlobHash::of(&content), hash);
    }
    if completeness == Completeness::Complete {
        let indexed = TraceReader::open_indexed(Cursor::new(bytes)).expect("a good index opens");
        assert_eq!(indexed.index(), reader.index());
        if bytes.len() <= COMPACT_BYTES_MAX && reader.index().record_count <= COMPACT_RECORDS_MAX {
            check_compaction(bytes, &mut reader);
        }
    }
    read_all(reader);
    let _ = TraceReader::open_indexed(Cursor::new(bytes)).map(read_all);
}

/// Reads everything that there is, whatever comes of it.
fn read_all(mut reader: TraceReader<Cursor<&[u8]>>) {
    let _ = reader.records().count();
    let index = reader.index().clone();
    for (hash, _) in index
        .blobs
        .iter()
        .filter(|(_, blob)| blob.bytes <= BLOB_BYTES_MAX)
    {
        let _ = reader.blob(hash);
    }
    for entry in index.keyframes.into_iter().take(16) {
        let Ok(keyframe) = reader.keyframe(entry) else {
            continue;
        };
        for run in keyframe.pages.into_iter().take(16) {
            let _ = reader.page(run.stored);
            let _ = reader.page(run.stored + run.count - 1);
        }
    }
}

fn check_compaction(bytes: &[u8], reader: &mut TraceReader<Cursor<&[u8]>>) {
    let (compacted, _) = compact(bytes, Vec::new()).expect("a complete trace compacts");
    let mut compacted =
        TraceReader::open(Cursor::new(&compacted[..])).expect("a compacted trace opens");
    assert_eq!(compacted.header(), reader.header());
    assert_eq!(compacted.completeness(), Completeness::Complete);
    let all = |reader: &mut TraceReader<Cursor<&[u8]>>| -> Vec<Record> {
        let records: Result<_, TraceError> = reader.records().collect();
        records.expect("a checked record reads")
    };
    assert_eq!(all(&mut compacted), all(reader));
    assert!(
        compacted
            .index()
            .blobs
            .keys()
            .eq(reader.index().blobs.keys())
    );
}

/// A stream reader and what it has not been fed yet.
struct Pieces<'a> {
    reader: StreamReader,
    rest: &'a [u8],
    piece_bytes: usize,
}

impl Pieces<'_> {
    fn next(&mut self) -> Result<Option<StreamItem>, TraceError> {
        loop {
            match self.reader.next_item() {
                Ok(None) if self.rest.is_empty() => return Ok(None),
                Ok(None) => {
                    let length = self.piece_bytes.min(self.rest.len());
                    let (piece, rest) = self.rest.split_at(length);
                    self.reader.feed(piece);
                    self.rest = rest;
                }
                Err(error) if error.is_damage() => {
                    self.rest = &[];
                    return Ok(None);
                }
                other => return other,
            }
        }
    }
}
