//! A short session must fit into a link.

use super::sample::{Numbers, end, hash, header, input, read, start};
use crate::*;

/// Boot, ten typed commands and power-off: 42 events and 10 hashes in one trace.
#[test]
fn a_short_session_takes_less_than_2000_bytes() {
    let mut writer = TraceWriter::create(Vec::new(), &header(), Compression::Live).unwrap();
    let mut numbers = Numbers(9);
    let mut icount = 312_456_789;
    let mut events = 1;
    let begin = Record::Event(Event {
        icount,
        skip: 0,
        input: start(vec![]),
    });
    writer.push(&begin).unwrap();
    let commands = [
        "ls -l /",
        "uname -a",
        "ps",
        "cat /proc/cpuinfo",
        "racy",
        "echo $?",
        "racy",
        "dmesg | tail",
        "free",
        "poweroff",
    ];
    for command in commands {
        // A person's keys come in a few bursts, each at a position of its own; time jumped before it.
        let keys: Vec<u8> = command.bytes().chain(*b"\r").collect();
        let bursts = 4.min(keys.len());
        for burst in keys.chunks(keys.len().div_ceil(bursts)) {
            icount += 1_000_000 + numbers.next() % 50_000_000;
            let Record::Event(mut event) = input(icount, burst) else {
                panic!("not an event");
            };
            event.skip = numbers.next() % 5_000_000;
            writer.push(&Record::Event(event)).unwrap();
            events += 1;
        }
        icount += numbers.next() % 100_000_000;
        writer.push(&hash(icount)).unwrap();
        writer.flush_chunk().unwrap();
    }
    writer.push(&end(icount + 1)).unwrap();
    let (live, live_summary) = writer.finish().unwrap();
    let (bytes, summary) = compact(&live[..], Vec::new()).unwrap();
    println!(
        "{events} events and 10 hashes: {} bytes in {} chunks live, {} bytes in {} compacted",
        live.len(),
        live_summary.chunks,
        bytes.len(),
        summary.chunks
    );
    assert_eq!(read(&bytes).unwrap(), read(&live).unwrap());
    assert!(events >= 35);
    assert!(bytes.len() <= 2000, "{} bytes", bytes.len());
    assert!(live.len() <= 4000, "{} bytes", live.len());
}

#[test]
fn overhead_of_a_chunk_and_of_an_end() {
    const { assert!(crate::chunk::CHUNK_HEADER_BYTES <= 32) };
    let mut writer = TraceWriter::create(Vec::new(), &header(), Compression::Best).unwrap();
    let header_bytes = writer.bytes_written();
    writer.push(&end(1)).unwrap();
    let (bytes, _) = writer.finish().unwrap();
    let rest = bytes.len() as u64 - header_bytes;
    println!(
        "header {header_bytes} bytes, an end record with chunk, index and footer {rest} bytes"
    );
    assert!(header_bytes <= 300, "{header_bytes}");
    assert!(rest <= 80, "{rest}");
}
