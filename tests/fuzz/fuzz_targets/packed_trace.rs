//! Packed traces, as links carry them: none makes the reader panic, hang or hold much memory, and what it makes of one is a trace
//! that can be packed again.
//!
//! An input that begins as a packed trace does is read as it is; any other is the content of one.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reprise_fuzz::forge;
use reprise_traces::{Completeness, TraceReader, is_packed, pack, unpack};
use std::io::Cursor;

/// Traces above this size are not packed again: it is slow and nothing new.
const REPACK_BYTES_MAX: usize = 8 << 10;

fuzz_target!(|data: &[u8]| {
    if is_packed(data) {
        check(data);
    } else {
        check(&forge::pack(data));
    }
});

fn check(packed: &[u8]) {
    let Ok(trace) = unpack(packed) else { return };
    let open = |trace| TraceReader::open(Cursor::new(trace)).expect("what was unpacked opens");
    let mut reader = open(trace.clone());
    assert_eq!(reader.completeness(), Completeness::Complete);
    assert!(reader.records().all(|record| record.is_ok()));
    if trace.len() > REPACK_BYTES_MAX {
        return;
    }
    // What nobody refers to, and places on the computer that recorded, are left out; the second time there is nothing of that.
    let again = |trace| unpack(&pack(open(trace)).expect("it packs")).expect("it unpacks");
    let once = again(trace);
    assert_eq!(again(once.clone()), once);
}
