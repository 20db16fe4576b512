//! The laws of runs, on a bare-metal guest.

use super::*;
use crate::condition::Condition;
use crate::stops::{Breakpoint, Watchpoint};
use reprise_recorder::testing::{EchoSource, echo_recording};
use reprise_recorder::timeline::TimelineOptions;
use std::ops::ControlFlow;
use std::sync::Arc;

const SEED: u8 = 5;
/// Where the program prompts, where it looks for input, and the head of the loop that computes.
const PROMPT: u64 = 0x8000_0064;
const INPUT: u64 = 0x8000_0094;
const ROUND: u64 = 0x8000_00cc;
/// Where it counts timer interrupts.
const COUNT: u64 = 0x8001_0000;

fn session(keys: &[u8]) -> DebugSession {
    let timeline = ReplayTimeline::new(
        Arc::new(EchoSource(SEED)),
        echo_recording(SEED, keys),
        Box::new(()),
        TimelineOptions::default(),
    );
    DebugSession::new(timeline.expect("opens"))
}

fn breakpoint(address: u64, conditions: Vec<Condition>) -> Breakpoint {
    Breakpoint {
        address: GuestVirtAddr(address),
        scope: Scope::Machine,
        conditions,
    }
}

/// Writes to the count of timer interrupts, and prompts or what else there is.
fn stops(breakpoints: Vec<Breakpoint>) -> Stops {
    Stops {
        breakpoints,
        watchpoints: vec![Watchpoint {
            scope: Scope::Machine,
            address: WatchAddress::Physical(COUNT),
            byte_len: 8,
            kind: WatchKind::Write,
        }],
        ..Stops::default()
    }
}

/// True at each 64th round.
fn each_64th_round() -> Condition {
    const REG: u8 = 0x26;
    const CONST8: u8 = 0x22;
    const BIT_AND: u8 = 0x0f;
    const LOG_NOT: u8 = 0x0e;
    const END: u8 = 0x27;
    let bytecode = vec![REG, 0, 7, CONST8, 63, BIT_AND, LOG_NOT, END];
    Condition::new(bytecode).expect("is short")
}

/// All stops up to the end in a direction, and into how many more slices than stops they were cut; `is_cut` says when.
fn all_stops(
    session: &mut DebugSession,
    direction: RunDirection,
    stops: &Stops,
    mut is_cut: impl FnMut() -> bool,
) -> (Vec<Stop>, usize) {
    let (mut met, mut cuts) = (Vec::new(), 0);
    let mut control = |_| match is_cut() {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    loop {
        let mut stop = session.run(direction, stops, &mut control).expect("runs");
        while stop.is_interrupted {
            assert_eq!(stop.reasons, []);
            cuts += 1;
            assert!(cuts < 100_000, "no progress at {}", stop.icount);
            stop = session
                .run_on(direction, stops, &mut control)
                .expect("goes on");
        }
        let is_over = stop.reasons.is_empty();
        met.push(stop);
        if is_over {
            return (met, cuts);
        }
    }
}

fn check_slices(keys: &[u8], stops: &Stops, stops_min: usize, cuts_min: usize) {
    let mut session = session(keys);
    let end = session.timeline().end();
    for direction in [RunDirection::Forward, RunDirection::Backward] {
        let from = match direction {
            RunDirection::Forward => Icount(0),
            RunDirection::Backward => end,
        };
        let (whole, _) = all_stops(&mut session, direction, stops, || false);
        assert!(
            whole.len() >= stops_min,
            "{} stops test little",
            whole.len()
        );
        for cut_each in [1, 2, 7] {
            session
                .timeline_mut()
                .seek(from, &mut unhurried)
                .expect("gets there");
            let mut count = 0;
            let (sliced, cuts) = all_stops(&mut session, direction, stops, || {
                count += 1;
                count % cut_each == 0
            });
            assert!(cuts >= cuts_min / cut_each, "{cuts} cuts test little");
            assert!(sliced == whole, "{direction:?}, cut at each {cut_each}");
        }
    }
}

#[test]
fn a_run_in_slices_stops_where_a_whole_one_does() {
    let dense = vec![
        breakpoint(PROMPT, Vec::new()),
        breakpoint(ROUND, vec![each_64th_round()]),
    ];
    check_slices(b"aa", &stops(dense), 40, 1000);
    // Far from each other, so that slices end by their length.
    let sparse = vec![breakpoint(INPUT, Vec::new())];
    check_slices(b"ac", &stops(sparse), 5, 3);
}
