//! What is written is read back.

use super::sample::{Numbers, end, header, input, read, records_of, stream, varied};
use crate::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::io::Cursor;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..40)
}

fn any_start() -> impl Strategy<Value = Start> {
    (
        vec(bytes(), 0..4),
        vec((bytes(), bytes()), 0..4),
        bytes(),
        any::<u64>(),
        any::<[u8; 32]>(),
        any::<bool>(),
        any::<(u16, u16)>(),
    )
        .prop_map(
            |(command, environment, working_directory, clock, seed, interactive, size)| Start {
                command,
                environment,
                working_directory,
                clock_unix_nanoseconds: clock,
                seed,
                interactive,
                terminal: TerminalSize {
                    columns: size.0,
                    rows: size.1,
                },
                files: vec![],
            },
        )
}

fn any_input() -> impl Strategy<Value = Input> {
    prop_oneof![
        any_start().prop_map(|start| Input::Start(Box::new(start))),
        (any::<u8>(), bytes()).prop_map(|(port, bytes)| Input::ConsoleInput {
            port: ConsolePort(port),
            bytes
        }),
        any::<(u16, u16)>()
            .prop_map(|(columns, rows)| Input::ConsoleSize(TerminalSize { columns, rows })),
        Just(Input::PowerOff),
        (any::<u32>(), any::<u16>(), any::<u64>()).prop_map(|(hart, register, value)| {
            Input::RegisterWrite {
                hart,
                register,
                value,
            }
        }),
        (any::<u64>(), vec(any::<u8>(), 0..40))
            .prop_map(|(address, bytes)| Input::MemoryWrite { address, bytes }),
        bytes().prop_map(Input::Frame),
        (any::<u32>(), any::<u32>(), prop::option::of(bytes())).prop_map(
            |(file, extent, bytes)| Input::WorkspaceContent {
                file,
                extent,
                bytes,
            }
        ),
    ]
}

/// A record whose icount is yet to be set.
fn any_record() -> impl Strategy<Value = Record> {
    let icount = 0;
    prop_oneof![
        (any::<u64>(), any_input()).prop_map(move |(skip, input)| Record::Event(Event {
            icount,
            skip,
            input
        })),
        vec(any::<u64>(), 1..=limits::MAX_HASH_COMPONENTS)
            .prop_map(move |components| Record::StateHash { icount, components }),
        (".{0,20}", bytes()).prop_map(move |(key, value)| Record::Annotation {
            icount,
            key,
            value
        }),
        ".{0,20}".prop_map(move |name| Record::Mark { icount, name }),
        (0x83u8.., bytes()).prop_map(move |(tag, payload)| Record::Other {
            icount,
            tag,
            payload
        }),
    ]
}

fn any_reason() -> impl Strategy<Value = EndReason> {
    prop_oneof![
        Just(EndReason::PowerOff),
        Just(EndReason::Reboot),
        any::<u64>().prop_map(EndReason::Failure),
        any::<u64>().prop_map(EndReason::ToHost),
        Just(EndReason::Stopped),
        Just(EndReason::LimitReached),
        Just(EndReason::WaitsForever),
        (8u8.., any::<u64>()).prop_map(|(code, detail)| EndReason::Other { code, detail }),
    ]
}

fn any_header() -> impl Strategy<Value = Header> {
    let config = (
        any::<(bool, u64, u32, u8, [u8; 32], u32, u16, u16)>(),
        bytes(),
        any::<Option<[u8; 6]>>(),
    );
    let role = prop_oneof![
        Just(ImageRole::Kernel),
        Just(ImageRole::Initrd),
        Just(ImageRole::Disk),
        Just(ImageRole::Elf),
        Just(ImageRole::Workspace)
    ];
    let image = (
        role,
        any::<([u8; 32], u64)>(),
        ".{0,20}",
        vec(".{0,20}", 0..3),
    );
    let other = (0x82u8.., bytes()).prop_map(|(tag, payload)| HeaderAnnotation { tag, payload });
    let annotations = (".{0,20}", any::<Option<u64>>(), vec(other, 0..3));
    (any::<u32>(), config, vec(image, 0..4), annotations).prop_map(
        |(
            machine_version,
            (config, command_line, network),
            images,
            (creator, recorded_at, other),
        )| Header {
            machine_version,
            config: Config {
                boot: if config.0 {
                    BootKind::Linux
                } else {
                    BootKind::BareElf
                },
                ram_bytes: config.1,
                hart_count: config.2,
                time_shift: config.3,
                seed: config.4,
                jitter_ticks_max: config.5,
                command_line,
                terminal: TerminalSize {
                    columns: config.6,
                    rows: config.7,
                },
                network,
            },
            images: images
                .into_iter()
                .map(|(role, (hash, bytes_len), name, places)| ImageReference {
                    role,
                    hash: BlobHash(hash),
                    bytes_len,
                    name,
                    places,
                })
                .collect(),
            creator,
            recorded_at_unix_seconds: recorded_at,
            other,
        },
    )
}

fn at(mut record: Record, position: u64) -> Record {
    match &mut record {
        Record::Event(Event { icount, .. })
        | Record::StateHash { icount, .. }
        | Record::Annotation { icount, .. }
        | Record::Mark { icount, .. }
        | Record::Keyframe { icount, .. }
        | Record::End { icount, .. }
        | Record::Other { icount, .. } => *icount = position,
    }
    record
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_is_written_is_read_back(
        header in any_header(),
        records in vec((any_record(), 0..1u64 << 40, any::<bool>()), 0..40),
        (reason, exit_status) in (any_reason(), any::<Option<i32>>()),
        piece_bytes in 1..300usize,
    ) {
        let mut writer = TraceWriter::create(Vec::new(), &header, Compression::Live).unwrap();
        let mut expect = Vec::new();
        let mut icount = 0;
        for (record, distance, flush) in records {
            icount += distance;
            let record = at(record, icount);
            writer.push(&record).unwrap();
            expect.push(record);
            if flush {
                writer.flush_chunk().unwrap();
            }
        }
        let end = Record::End { icount, reason, exit_status };
        writer.push(&end).unwrap();
        expect.push(end);
        let (bytes, summary) = writer.finish().unwrap();
        prop_assert_eq!(summary.bytes, bytes.len() as u64);
        prop_assert_eq!(summary.records, expect.len() as u64);

        let mut reader = TraceReader::open(Cursor::new(&bytes)).unwrap();
        prop_assert_eq!(reader.completeness(), Completeness::Complete);
        prop_assert_eq!(reader.header(), &header);
        prop_assert_eq!(&reader.records().collect::<Result<Vec<_>, _>>().unwrap(), &expect);

        let mut indexed = TraceReader::open_indexed(Cursor::new(&bytes)).unwrap();
        prop_assert_eq!(indexed.index(), reader.index());
        prop_assert_eq!(&indexed.records().collect::<Result<Vec<_>, _>>().unwrap(), &expect);

        let (items, completeness) = stream(&bytes, || piece_bytes);
        prop_assert_eq!(completeness.unwrap(), Completeness::Complete);
        prop_assert_eq!(&records_of(items), &expect);

        let (compacted, compact_summary) = compact(&bytes[..], Vec::new()).unwrap();
        prop_assert!(compact_summary.chunks <= 1);
        prop_assert_eq!(&read(&compacted).unwrap().0, &expect);
        let compacted = TraceReader::open(Cursor::new(&compacted)).unwrap();
        prop_assert_eq!(compacted.header(), &header);
    }

    #[test]
    fn a_seek_finds_the_first_record_at_or_after(target in 0..120_000_000u64, chunk in 1..30usize) {
        let (bytes, records) = varied(chunk);
        let mut reader = TraceReader::open_indexed(Cursor::new(&bytes)).unwrap();
        reader.seek(target).unwrap();
        let expect = records.iter().find(|record| record.icount() >= target);
        let found = reader.next_record().unwrap();
        prop_assert_eq!(found.as_ref(), expect);
    }
}

#[test]
fn records_arrive_before_the_file_does() {
    let (bytes, records) = varied(1);
    let mut reader = StreamReader::new();
    let mut seen = 0;
    for (n, byte) in bytes.iter().enumerate() {
        reader.feed(&[*byte]);
        while let Some(item) = reader.next_item().unwrap() {
            if let StreamItem::Record(record) = item {
                assert_eq!(record, records[seen]);
                seen += 1;
            }
        }
        if n == bytes.len() / 2 {
            assert!(
                seen > records.len() / 4,
                "{seen} records at half of the file"
            );
        }
    }
    assert!(reader.is_complete());
    assert_eq!(seen, records.len());
}

#[test]
fn blobs_come_back_whole() {
    let mut numbers = Numbers(3);
    let mut large: Vec<u8> = (0..3 << 19).map(|_| numbers.next() as u8).collect();
    large.extend_from_slice(&[0; 8 << 20]);
    let mut writer = TraceWriter::create(Vec::new(), &header(), Compression::Live).unwrap();
    let exact = vec![7; limits::MAX_BLOB_PIECE_BYTES as usize];
    let contents = [&large[..], b"small", b"", &exact];
    let hashes = contents.map(|content| writer.add_blob(content).unwrap());
    let before = writer.bytes_written();
    assert_eq!(writer.add_blob(&large).unwrap(), hashes[0]);
    assert_eq!(
        writer.bytes_written(),
        before,
        "the same content is stored once"
    );
    writer.push(&end(5)).unwrap();
    let (bytes, summary) = writer.finish().unwrap();
    assert_eq!(
        summary.chunks,
        3 + 1 + 1 + 1 + 1,
        "pieces of at most 4 MiB, and the records"
    );
    let (compacted, _) = compact(&bytes[..], Vec::new()).unwrap();
    for bytes in [&bytes, &compacted] {
        for mut reader in [
            TraceReader::open(Cursor::new(bytes)).unwrap(),
            TraceReader::open_indexed(Cursor::new(bytes)).unwrap(),
        ] {
            for (hash, content) in hashes.iter().zip(contents) {
                assert!(reader.blob(hash).unwrap() == content);
            }
            let missing = BlobHash([0; 32]);
            assert!(
                matches!(reader.blob(&missing), Err(TraceError::BlobMissing { hash }) if hash == missing)
            );
        }
    }
}

#[test]
fn keyframes_come_back_whole() {
    let mut numbers = Numbers(4);
    let mut ram: Vec<[u8; PAGE_BYTES]> = (0..3000)
        .map(|_| [numbers.below(200) as u8; PAGE_BYTES])
        .collect();
    for page in &mut ram[..1500] {
        page[..8].copy_from_slice(&numbers.next().to_le_bytes());
    }
    let mut writer = TraceWriter::create(Vec::new(), &header(), Compression::Live).unwrap();
    let mut expect = Vec::new();
    for icount in [100, 200] {
        ram[icount as usize] = [0xee; PAGE_BYTES];
        let state = format!("state at {icount}").into_bytes();
        let not_zero = (0u64..)
            .zip(&ram)
            .filter(|(_, page)| **page != [0; PAGE_BYTES]);
        writer.push_keyframe(icount, &state, not_zero).unwrap();
        expect.push((icount, state, ram.clone()));
    }
    writer.push(&end(300)).unwrap();
    let (bytes, _) = writer.finish().unwrap();
    let (compacted, _) = compact(&bytes[..], Vec::new()).unwrap();
    for bytes in [&bytes, &compacted] {
        let mut reader = TraceReader::open(Cursor::new(bytes)).unwrap();
        let entries = reader.index().keyframes.clone();
        assert_eq!(entries.len(), expect.len());
        for (entry, (icount, state, ram)) in entries.into_iter().zip(&expect) {
            let keyframe = reader.keyframe(entry).unwrap();
            assert_eq!((keyframe.icount, &keyframe.state), (*icount, state));
            let mut restored = vec![[0; PAGE_BYTES]; ram.len()];
            for run in keyframe.pages {
                for n in 0..run.count {
                    restored[(run.page + n) as usize] = reader.page(run.stored + n).unwrap();
                }
            }
            assert!(&restored == ram, "RAM at {icount}");
        }
        let pages = (reader.index().chunks.iter())
            .filter(|chunk| chunk.kind == ChunkKind::Pages)
            .map(|chunk| u64::from(chunk.raw_bytes) / 4096)
            .sum::<u64>();
        assert!(pages < 1500 + 202, "equal pages are stored once: {pages}");
        assert!(reader.page(pages).is_err());
        assert!(reader.page(u64::MAX).is_err());
    }
}

#[test]
fn compaction_joins_chunks_and_keeps_everything() {
    let (bytes, records) = varied(1);
    let (compacted, summary) = compact(&bytes[..], Vec::new()).unwrap();
    assert!(compacted.len() < bytes.len());
    assert_eq!(summary.bytes, compacted.len() as u64);
    assert_eq!(summary.records, records.len() as u64);
    assert_eq!(read(&compacted).unwrap(), (records, Completeness::Complete));
    let (again, _) = compact(&compacted[..], Vec::new()).unwrap();
    assert!(
        again == compacted,
        "compacting a compact trace changes nothing"
    );
}

#[test]
fn the_writer_refuses_what_a_reader_would() {
    let mut writer = TraceWriter::create(Vec::new(), &header(), Compression::Live).unwrap();
    assert!(!writer.has_pending());
    let written = writer.bytes_written();
    writer.flush_chunk().unwrap();
    assert_eq!(writer.bytes_written(), written, "an empty chunk");
    writer.push(&input(10, b"x")).unwrap();
    assert!(matches!(
        writer.push(&input(9, b"x")),
        Err(TraceError::OutOfOrder { .. })
    ));
    let large = vec![0; limits::MAX_RECORD_PAYLOAD_BYTES as usize];
    assert!(matches!(
        writer.push(&input(11, &large)),
        Err(TraceError::TooLarge { .. })
    ));
    let missing = Record::Keyframe {
        icount: 11,
        state: BlobHash([1; 32]),
        page_map: BlobHash([2; 32]),
    };
    assert!(matches!(
        writer.push(&missing),
        Err(TraceError::BlobMissing { .. })
    ));
    let reserved = Record::Other {
        icount: 11,
        tag: 0x7f,
        payload: vec![],
    };
    assert!(writer.push(&reserved).is_err());
    writer.push(&input(10, b"y")).unwrap();
    writer.push(&end(12)).unwrap();
    assert!(matches!(
        writer.push(&input(13, b"x")),
        Err(TraceError::WriterState { .. })
    ));
    let (bytes, _) = writer.finish().unwrap();
    let expect = vec![input(10, b"x"), input(10, b"y"), end(12)];
    assert_eq!(read(&bytes).unwrap(), (expect, Completeness::Complete));
    let writer = TraceWriter::create(Vec::new(), &header(), Compression::Live).unwrap();
    assert!(matches!(
        writer.finish(),
        Err(TraceError::WriterState { .. })
    ));
}

#[test]
fn a_failed_write_stops_the_writer() {
    /// Takes so many bytes and no more, as a full disk does.
    struct Full(usize);
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            Ok(taken)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let header_bytes = TraceWriter::create(Vec::new(), &header(), Compression::Live)
        .unwrap()
        .bytes_written();
    let sink = Full(header_bytes as usize + 10);
    let mut writer = TraceWriter::create(sink, &header(), Compression::Live).unwrap();
    writer.push(&input(1, b"x")).unwrap();
    assert!(matches!(
        writer.flush_chunk(),
        Err(TraceError::Io { at_byte, .. }) if at_byte == header_bytes
    ));
    assert!(matches!(
        writer.push(&input(2, b"x")),
        Err(TraceError::WriterState { .. })
    ));
    assert!(matches!(
        writer.flush_chunk(),
        Err(TraceError::WriterState { .. })
    ));
}
