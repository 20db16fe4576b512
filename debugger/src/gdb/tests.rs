//! The server from a client's side, over the machine view of a small recording.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bounds;
mod machine;
mod monitor;
mod protocol;
mod running;

use super::packet::{escape, frame, hex, unescape, unhex};
use super::threads::MACHINE_PID;
use super::{Diversion, GdbServer, Host, ServerOptions, View};
use crate::session::DebugSession;
use reprise_core::machine::StateHash;
use reprise_core::types::Icount;
use reprise_recorder::entry::Entry;
use reprise_recorder::testing::{EchoSource, echo_recording};
use reprise_recorder::timeline::{ReplayTimeline, SerialExecutor, TimelineOptions, unhurried};
use std::sync::Arc;

const SEED: u8 = 21;
/// Of the recording. The first one is lost, since the program switches the UART's buffer on after it.
const KEYS: &[u8] = b"xac";
/// What the program computes for: briefly, then some six million steps, then briefly before it ends.
const TAKEN: &[u8] = b"acq";

/// Of the program: where it starts, where a key's computation begins with a load of `RESULT`, the head of its loop, and
/// the store of the result.
const START: u64 = 0x8000_0000;
const WORK: u64 = 0x8000_00c8;
const ROUND: u64 = 0x8000_00cc;
const STORE: u64 = 0x8000_00fc;
/// Where a computation's result is kept for the next one.
const RESULT: u64 = 0x8001_0008;

/// The rest of the world: when it wants runs to stop, and what it was given to save.
#[derive(Debug, Default)]
struct Desk {
    /// Questions that are answered with no before one is answered with yes.
    patience: Option<u32>,
    questions: u32,
    can_save: bool,
    saved: Vec<(String, Diversion)>,
    /// It puts each run aside as soon as it is asked.
    is_sliced: bool,
}

impl Host for Desk {
    fn is_break_wanted(&mut self) -> bool {
        self.questions += 1;
        match &mut self.patience {
            None => false,
            Some(0) => {
                self.patience = None;
                true
            }
            Some(patience) => {
                *patience -= 1;
                false
            }
        }
    }

    fn is_slice_over(&mut self) -> bool {
        self.is_sliced
    }

    fn save_trace(&mut self, name: &str, diversion: &Diversion) -> Result<(), String> {
        if !self.can_save {
            return Err("this server keeps no traces".to_owned());
        }
        self.saved.push((name.to_owned(), diversion.clone()));
        Ok(())
    }
}

/// A client that knows the protocol: it checks each acknowledgement and each checksum.
struct Client {
    server: GdbServer,
    desk: Desk,
    has_acks: bool,
}

impl Client {
    /// One that has said nothing yet.
    fn new() -> Self {
        Self::over(&echo_recording(SEED, KEYS))
    }

    fn over(entries: &[Entry]) -> Self {
        let timeline = ReplayTimeline::new(
            Arc::new(EchoSource(SEED)),
            entries.to_vec(),
            Box::new(()),
            TimelineOptions::default(),
        );
        let options = ServerOptions {
            view: View::Machine,
        };
        let session = DebugSession::new(timeline.unwrap());
        Self {
            server: GdbServer::new(session, options, Box::new(SerialExecutor)),
            desk: Desk::default(),
            has_acks: true,
        }
    }

    /// One that has greeted as gdb does.
    fn greeted() -> Self {
        let mut client = Self::new();
        client.ask("qSupported:multiprocess+;swbreak+;hwbreak+;exec-events+");
        client.ask_ok("QStartNoAckMode");
        client.has_acks = false;
        client
    }

    /// Sends bytes as they are. What comes back.
    fn send_raw(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = self.server.receive(rest, &mut self.desk);
            rest = &rest[taken..];
            while self.server.is_running() {
                self.server.go_on(&mut self.desk);
            }
        }
        self.server.take_output()
    }

    /// Sends a packet. The contents of those that come back, without escapes.
    #[track_caller]
    fn send(&mut self, packet: &[u8]) -> Vec<Vec<u8>> {
        let mut output = self.send_raw(&frame(packet));
        if self.has_acks {
            assert_eq!(output.first(), Some(&b'+'), "no acknowledgement");
            output.remove(0);
        }
        packets(&output)
    }

    /// Sends a packet that has one reply.
    #[track_caller]
    fn ask(&mut self, packet: &str) -> String {
        let replies = self.send(packet.as_bytes());
        let [reply] = &replies[..] else {
            panic!("{packet}: {} replies", replies.len());
        };
        String::from_utf8(reply.clone()).unwrap()
    }

    #[track_caller]
    fn ask_ok(&mut self, packet: &str) {
        assert_eq!(self.ask(packet), "OK", "{packet}");
    }

    #[track_caller]
    fn ask_refused(&mut self, packet: &str) {
        let reply = self.ask(packet);
        assert!(reply.starts_with('E'), "{packet}: {reply}");
    }

    /// Runs, and checks how the stop is told.
    #[track_caller]
    fn run_to(&mut self, packet: &str, says: &[&str]) -> String {
        let mut replies = self.send(packet.as_bytes());
        let stop = replies.pop().expect("a stop");
        // Lines for the console may come before it.
        assert!(replies.iter().all(|reply| reply.starts_with(b"O")));
        let stop = String::from_utf8(stop).unwrap();
        for part in says {
            assert!(stop.contains(part), "{packet}: {stop} lacks {part}");
        }
        stop
    }

    /// What a monitor command says.
    #[track_caller]
    fn monitor(&mut self, command: &str) -> String {
        let packet = format!("qRcmd,{}", hex(command.as_bytes()));
        let mut replies = self.send(packet.as_bytes());
        assert_eq!(replies.pop().as_deref(), Some(&b"OK"[..]), "{command}");
        let mut said = Vec::new();
        for reply in replies {
            let digits = reply.strip_prefix(b"O").expect("a line for the console");
            said.extend(unhex(digits).unwrap());
        }
        String::from_utf8(said).unwrap()
    }

    /// An object, in as many pieces as it takes.
    #[track_caller]
    fn transfer(&mut self, object: &str) -> String {
        let mut whole = String::new();
        loop {
            let piece = self.ask(&format!("qXfer:{object}:{:x},8000", whole.len()));
            whole += &piece[1..];
            if piece.starts_with('l') {
                return whole;
            }
            assert!(piece.len() > 1 && piece.starts_with('m'), "{object}");
        }
    }

    #[track_caller]
    fn register(&mut self, number: u16) -> u64 {
        let reply = self.ask(&format!("p{number:x}"));
        little_endian(&reply)
    }

    #[track_caller]
    fn pc(&mut self) -> u64 {
        self.register(32)
    }

    #[track_caller]
    fn memory(&mut self, address: u64) -> u64 {
        let reply = self.ask(&format!("m{address:x},8"));
        assert_eq!(reply.len(), 16, "{reply}");
        little_endian(&reply)
    }

    fn position(&self) -> Icount {
        self.server.session().timeline().position()
    }

    fn end(&self) -> Icount {
        self.server.session().timeline().end()
    }

    fn hash(&mut self) -> StateHash {
        self.server.target.session.timeline_mut().state_hash()
    }

    /// The hash at the recording's end, wherever the session is.
    fn final_hash(&mut self) -> StateHash {
        let timeline = self.server.target.session.timeline_mut();
        timeline.return_to_recording().unwrap();
        timeline.seek(Icount(u64::MAX), &mut unhurried).unwrap();
        timeline.state_hash()
    }

    /// Checks that the recording is what it was.
    #[track_caller]
    fn expect_unchanged(mut self) {
        assert_eq!(self.final_hash(), Client::new().final_hash());
    }
}

/// The packets in bytes that consist of packets.
#[track_caller]
fn packets(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let length = bytes.iter().position(|byte| *byte == b'#').unwrap();
        let content = &bytes[1..length];
        assert_eq!(frame(content), bytes[..length + 3], "not a packet");
        found.push(unescape(content));
        bytes = &bytes[length + 3..];
    }
    found
}

fn little_endian(digits: &str) -> u64 {
    let bytes = unhex(digits.as_bytes()).unwrap();
    bytes
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// The machine as a client of several processes names it.
fn machine_thread() -> String {
    format!("p{MACHINE_PID:x}.{MACHINE_PID:x}")
}
