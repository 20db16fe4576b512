//! The gdb server: whatever a client sends, it does not panic, what comes back is bounded, and the recording stays what it
//! is.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reprise_core::machine::StateHash;
use reprise_core::types::Icount;
use reprise_debugger::gdb::{GdbServer, Host, ServerOptions, View};
use reprise_debugger::session::DebugSession;
use reprise_recorder::entry::Entry;
use reprise_recorder::testing::{EchoSource, echo_recording};
use reprise_recorder::timeline::{ReplayTimeline, SerialExecutor, TimelineOptions, unhurried};
use std::sync::{Arc, LazyLock};

const SEED: u8 = 3;
/// Lines of an input that are sent: each may run for as long as between two questions of the server.
const LINES_MAX: usize = 24;
/// Bytes of a line that is sent as it is, and may hold several packets.
const RAW_BYTES_MAX: usize = 64;
/// Questions whether to break off that are answered with no. A diversion runs for millions of steps between two of them.
const PATIENCE: u32 = 4;
/// Bytes that may come back for a line: several packets, each line of a monitor command being one.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// A recording, and its state at the end.
static RECORDING: LazyLock<(Vec<Entry>, StateHash)> = LazyLock::new(|| {
    let entries = echo_recording(SEED, b"xa");
    let hash = final_hash(session(&entries));
    (entries, hash)
});

struct Impatient(u32);

impl Host for Impatient {
    fn is_break_wanted(&mut self) -> bool {
        self.0 = self.0.saturating_sub(1);
        self.0 == 0
    }
}

fn session(entries: &[Entry]) -> DebugSession {
    let options = TimelineOptions {
        checkpoint_bytes_max: 16 << 20,
    };
    let timeline = ReplayTimeline::new(
        Arc::new(EchoSource(SEED)),
        entries.to_vec(),
        Box::new(()),
        options,
    );
    DebugSession::new(timeline.expect("the recording is whole"))
}

fn final_hash(mut session: DebugSession) -> StateHash {
    let timeline = session.timeline_mut();
    timeline.return_to_recording().expect("it was there before");
    timeline
        .seek(Icount(u64::MAX), &mut unhurried)
        .expect("the recording replays");
    timeline.state_hash()
}

/// A packet around a content.
fn frame(content: &[u8]) -> Vec<u8> {
    let sum = content
        .iter()
        .fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    [b"$", content, format!("#{sum:02x}").as_bytes()].concat()
}

fuzz_target!(|input: &[u8]| {
    let (entries, hash) = &*RECORDING;
    // The first byte says how many processes there are; without any it is the machine.
    let (processes, input) = input
        .split_first()
        .map_or((0, input), |(first, rest)| (first % 4, rest));
    let view = if processes == 0 {
        View::Machine
    } else {
        View::Processes
    };
    let options = ServerOptions { view };
    let mut server = GdbServer::new(session(entries), options, Box::new(SerialExecutor));
    server.pretend_processes(u32::from(processes));
    let mut host = Impatient(PATIENCE);
    for line in input.split(|byte| *byte == b'\n').take(LINES_MAX) {
        match line.strip_prefix(b"\x01") {
            Some(raw) => {
                server.receive(&raw[..raw.len().min(RAW_BYTES_MAX)], &mut host);
            }
            None => {
                server.receive(&frame(line), &mut host);
            }
        }
        assert!(server.take_output().len() <= OUTPUT_BYTES_MAX);
        if server.is_closed() {
            server.welcome();
        }
    }
    assert_eq!(final_hash(server.into_session()), *hash);
});
