//! Traces for the tests, and ways to read them back whole.

use crate::*;
use std::io::Cursor;

/// A deterministic stream of numbers (SplitMix64), so that every run tests the same bytes.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(super) fn seed(&mut self) -> [u8; 32] {
        std::array::from_fn(|_| self.next() as u8)
    }
}

pub(super) fn header() -> Header {
    let mut numbers = Numbers(1);
    let image = |role, name: &str, numbers: &mut Numbers| ImageReference {
        role,
        hash: BlobHash(numbers.seed()),
        bytes_len: 9_876_543,
        name: name.into(),
        places: vec![],
    };
    Header {
        machine_version: 1,
        config: Config {
            boot: BootKind::Linux,
            ram_bytes: 256 << 20,
            hart_count: 1,
            time_shift: 6,
            seed: numbers.seed(),
            jitter_ticks_max: 3000,
            command_line: b"console=hvc0 earlycon=sbi quiet loglevel=3 panic=-1".to_vec(),
            terminal: TerminalSize {
                columns: 80,
                rows: 24,
            },
            network: None,
        },
        images: vec![
            image(ImageRole::Kernel, "Image", &mut numbers),
            image(ImageRole::Initrd, "initrd", &mut numbers),
        ],
        creator: "reprise 0.1.0".into(),
        recorded_at_unix_seconds: Some(1_800_000_000),
        other: vec![],
    }
}

pub(super) fn start(files: Vec<StartFile>) -> Input {
    Input::Start(Box::new(Start {
        command: vec![],
        environment: vec![(b"TERM".to_vec(), b"xterm-256color".to_vec())],
        working_directory: vec![],
        clock_unix_nanoseconds: 1_800_000_000_123_456_789,
        seed: Numbers(2).seed(),
        interactive: true,
        terminal: TerminalSize {
            columns: 120,
            rows: 40,
        },
        files,
    }))
}

pub(super) fn input(icount: u64, bytes: &[u8]) -> Record {
    Record::Event(Event {
        icount,
        skip: 0,
        input: Input::ConsoleInput {
            port: ConsolePort(1),
            bytes: bytes.to_vec(),
        },
    })
}

pub(super) fn end(icount: u64) -> Record {
    Record::End {
        icount,
        reason: EndReason::PowerOff,
        exit_status: Some(0),
    }
}

pub(super) fn hash(icount: u64) -> Record {
    let mut numbers = Numbers(icount);
    Record::StateHash {
        icount,
        components: (0..5).map(|_| numbers.next()).collect(),
    }
}

/// A trace of every kind of record, blob and keyframe, in chunks of `records_per_chunk` records.
pub(super) fn varied(records_per_chunk: usize) -> (Vec<u8>, Vec<Record>) {
    let mut writer = TraceWriter::create(Vec::new(), &header(), Compression::Live).unwrap();
    let content = writer.add_blob(b"#!/bin/sh\necho hello\n").unwrap();
    let empty = writer.add_blob(b"").unwrap();
    let file = |path: &[u8], content| StartFile {
        path: path.to_vec(),
        mode: 0o755,
        content,
    };
    let files = vec![file(b"/root/a.sh", content), file(b"/root/empty", empty)];
    let mut records = vec![Record::Event(Event {
        icount: 1000,
        skip: 0,
        input: start(files),
    })];
    for n in 1..10u64 {
        let icount = 1000 + n * 12_345_678;
        records.push(input(icount, format!("echo {n}\r").as_bytes()));
        records.push(Record::Event(Event {
            icount: icount + 1,
            skip: n * 1000,
            input: Input::ConsoleSize(TerminalSize {
                columns: 80 + n as u16,
                rows: 24,
            }),
        }));
        records.push(hash(icount + 1));
        records.push(Record::Mark {
            icount: icount + 2,
            name: format!("mark {n}"),
        });
        records.push(Record::Annotation {
            icount: icount + 2,
            key: "note".into(),
            value: vec![n as u8; 20],
        });
    }
    let last = records.last().unwrap().icount();
    records.push(Record::Other {
        icount: last,
        tag: 0xf0,
        payload: b"from the future".to_vec(),
    });
    records.push(Record::Event(Event {
        icount: last + 1,
        skip: 7,
        input: Input::PowerOff,
    }));
    records.push(end(last + 100));
    for (n, record) in records.iter().enumerate() {
        if n == 25 {
            keyframe(&mut writer, record.icount());
        }
        writer.push(record).unwrap();
        if n % records_per_chunk == records_per_chunk - 1 {
            writer.flush_chunk().unwrap();
        }
    }
    let (bytes, _) = writer.finish().unwrap();
    let written = read(&bytes).unwrap().0;
    let without_keyframes: Vec<_> = (written.iter())
        .filter(|record| !matches!(record, Record::Keyframe { .. }))
        .cloned()
        .collect();
    assert_eq!(without_keyframes, records);
    (bytes, written)
}

fn keyframe(writer: &mut TraceWriter<Vec<u8>>, icount: u64) {
    let pages: Vec<_> = (0..6u8).map(|n| [n / 2; PAGE_BYTES]).collect();
    let numbered = (0..).map(|n| n * 3).zip(&pages);
    (writer.push_keyframe(icount, b"state of the machine", numbered)).unwrap();
}

/// Reads all with a [`TraceReader`].
pub(super) fn read(bytes: &[u8]) -> Result<(Vec<Record>, Completeness), TraceError> {
    let mut reader = TraceReader::open(Cursor::new(bytes))?;
    let records = reader.records().collect::<Result<_, _>>()?;
    Ok((records, reader.completeness()))
}

/// Reads all with a [`StreamReader`] fed in pieces of these sizes, and says how it went.
pub(super) fn stream(
    bytes: &[u8],
    mut piece_bytes: impl FnMut() -> usize,
) -> (Vec<StreamItem>, Result<Completeness, TraceError>) {
    let mut reader = StreamReader::new();
    let mut items = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(piece_bytes().clamp(1, rest.len()));
        rest = after;
        reader.feed(piece);
        loop {
            match reader.next_item() {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(error) if error.is_damage() => {
                    assert!(reader.next_item().unwrap().is_none());
                    return (items, reader.completeness());
                }
                Err(error) => return (items, Err(error)),
            }
        }
    }
    (items, reader.completeness())
}

/// Only the records of stream items.
pub(super) fn records_of(items: Vec<StreamItem>) -> Vec<Record> {
    let record = |item| match item {
        StreamItem::Record(record) => Some(record),
        _ => None,
    };
    items.into_iter().filter_map(record).collect()
}
