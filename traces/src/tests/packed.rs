//! The packed form: the same recording, in few bytes, and hostile ones refused.

use super::sample::{Numbers, end, hash, header, input, read, start, varied};
use crate::*;
use std::io::Cursor;

fn packed(trace: &[u8]) -> Vec<u8> {
    pack(TraceReader::open(Cursor::new(trace)).unwrap()).unwrap()
}

/// A person types ten commands, a key at a time, at positions and after pauses as such a session had them.
fn typed() -> Vec<u8> {
    let mut writer = TraceWriter::create(Vec::new(), &header(), Compression::Live).unwrap();
    let mut numbers = Numbers(4);
    let mut icount = 0;
    writer
        .push(&Record::Event(Event {
            icount,
            skip: 0,
            input: start(vec![]),
        }))
        .unwrap();
    icount += 53_000_000;
    for number in 1..=10 {
        for key in format!("echo number {number} $(({number}*{number}))\r").bytes() {
            icount += 22_800 + numbers.next() % 1024;
            let Record::Event(mut event) = input(icount, &[key]) else {
                panic!("not an event");
            };
            event.skip = (15 + numbers.next() % 45) << 16;
            writer.push(&Record::Event(event)).unwrap();
        }
        icount += 150_000 + numbers.next() % 10_000;
        writer.push(&hash(icount)).unwrap();
        writer.flush_chunk().unwrap();
    }
    writer.push(&end(icount + 1)).unwrap();
    writer.finish().unwrap().0
}

#[test]
fn a_packed_trace_says_the_same() {
    for trace in [varied(7).0, typed()] {
        let (records, _) = read(&trace).unwrap();
        let last_hash =
            (records.iter()).rposition(|record| matches!(record, Record::StateHash { .. }));
        let expect: Vec<Record> = (records.into_iter().enumerate())
            .filter(|(number, record)| match record {
                Record::Keyframe { .. } => false,
                Record::StateHash { .. } => Some(*number) == last_hash,
                _ => true,
            })
            .map(|(_, record)| record)
            .collect();
        let packed = packed(&trace);
        assert!(is_packed(&packed) && !is_packed(&trace));
        let unpacked = unpack(&packed).unwrap();
        let (records, completeness) = read(&unpacked).unwrap();
        assert_eq!(records, expect);
        assert_eq!(completeness, Completeness::Complete);
        let mut reader = TraceReader::open(Cursor::new(&unpacked)).unwrap();
        assert_eq!(*reader.header(), header());
        for record in &records {
            if let Record::Event(Event {
                input: Input::Start(start),
                ..
            }) = record
            {
                for file in &start.files {
                    assert_eq!(
                        BlobHash::of(&reader.blob(&file.content).unwrap()),
                        file.content
                    );
                }
            }
        }
    }
}

#[test]
fn boot_and_ten_commands_take_less_than_1200_bytes() {
    let trace = typed();
    let packed = packed(&trace);
    println!("{} bytes as a file, {} packed", trace.len(), packed.len());
    // In a link, three bytes take four characters; 2,000 are the aim, with address and view.
    assert!(packed.len() <= 1200, "{} bytes", packed.len());
}

#[test]
fn paths_of_the_recording_computer_stay_there() {
    let mut header = header();
    header.images[0].places = vec![
        "/home/somebody/Image".into(),
        "https://example.org/Image".into(),
    ];
    let mut writer = TraceWriter::create(Vec::new(), &header, Compression::Live).unwrap();
    writer.push(&end(1)).unwrap();
    let (trace, _) = writer.finish().unwrap();
    let unpacked = unpack(&packed(&trace)).unwrap();
    let reader = TraceReader::open(Cursor::new(&unpacked)).unwrap();
    assert_eq!(
        reader.header().images[0].places,
        ["https://example.org/Image"]
    );
}

#[test]
fn a_trace_that_breaks_off_is_not_packed() {
    let trace = typed();
    let cut = &trace[..trace.len() - 40];
    let reader = TraceReader::open(Cursor::new(cut)).unwrap();
    assert!(matches!(pack(reader), Err(TraceError::Incomplete { .. })));
}

#[test]
fn damaged_links_are_refused() {
    let whole = packed(&typed());
    for length in 0..whole.len() {
        assert!(unpack(&whole[..length]).is_err(), "cut to {length} bytes");
    }
    let mut numbers = Numbers(6);
    for _ in 0..3000 {
        let mut bytes = whole.clone();
        let bit = numbers.below(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(unpack(&bytes).is_err(), "bit {bit}");
    }
}

/// What a hostile link can do: right checksums around anything.
#[test]
fn hostile_content_never_panics() {
    let whole = packed(&varied(7).0);
    let content_at = 2 + 1 + 3 + 4;
    let raw_bytes = u16::from_le_bytes([whole[4], whole[5]]);
    let raw = crate::chunk::decompress(&whole[content_at..], u32::from(raw_bytes)).unwrap();
    let mut numbers = Numbers(7);
    let mut refused = 0;
    for _ in 0..20_000 {
        let mut raw = raw.clone();
        for _ in 0..=numbers.below(3) {
            let at = numbers.below(raw.len());
            raw[at] = numbers.next() as u8;
        }
        if numbers.below(4) == 0 {
            raw.truncate(numbers.below(raw.len()).max(252));
        }
        let mut bytes = whole[..3].to_vec();
        bytes.push(251);
        bytes.extend((raw.len() as u16).to_le_bytes());
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&bytes);
        hasher.update(&raw);
        bytes.extend(hasher.finalize().to_le_bytes());
        bytes.extend(raw);
        refused += u32::from(unpack(&bytes).is_err());
    }
    assert!(
        refused > 1000,
        "{refused}: the content was hardly looked at"
    );
}
