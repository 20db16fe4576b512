//! The laws of debugging sessions, on a recording of Linux: steps of threads, and what is set for a process.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::support::{file_of_initrd, folder};
use super::time_travel::{Recorded, What};
use reprise_core::debug::WatchKind;
use reprise_core::riscv::trap::Privilege;
use reprise_core::types::{CpuId, Icount};
use reprise_debugger::session::{DebugSession, ThreadRegisters, ThreadView};
use reprise_debugger::stops::{Choice, Scope, StopReason, Stops, WatchAddress, Watchpoint};
use reprise_recorder::timeline::{RunDirection, SerialExecutor, unhurried};
use reprise_tests::random::Random;
use std::ops::ControlFlow;
use std::process::Command;

/// Positions at which laws are checked.
const PLACES: usize = 40;

/// Address of a symbol of a demo.
fn address_of(demo: &str, symbol: &str) -> u64 {
    let folder = folder();
    let program = folder.path().join("program");
    std::fs::write(&program, file_of_initrd(demo)).unwrap();
    let output = Command::new("riscv64-linux-gnu-nm")
        .arg(&program)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text
        .lines()
        .find(|line| line.ends_with(&format!(" {symbol}")));
    u64::from_str_radix(line.unwrap().split(' ').next().unwrap(), 16).unwrap()
}

fn registers(session: &DebugSession, tid: u32) -> ThreadRegisters {
    let task = session.task(tid).unwrap();
    session.registers(&ThreadView::Task(task)).unwrap()
}

/// Goes to a place at which some thread is in user mode. Its number.
fn go_to_user_mode(session: &mut DebugSession, random: &mut Random, from: Icount) -> u32 {
    let end = session.timeline().end();
    loop {
        let to = Icount(from.0 + random.below(end.0 - from.0));
        session.timeline_mut().seek(to, &mut unhurried).unwrap();
        let is_user = session.machine().cpu(CpuId(0)).privilege() == Privilege::User;
        if let Some(task) = session.current().filter(|_| is_user) {
            return task.tid;
        }
    }
}

#[test]
fn a_step_of_a_thread_back_undoes_its_step() {
    let recorded = Recorded::new(What::Race);
    let mut session = DebugSession::new(recorded.timeline(256, true));
    session.go_to_program(&mut unhurried).unwrap();
    let begin = session.timeline().position();
    let mut random = Random::new(1);
    let stops = Stops::default();
    let step = |session: &mut DebugSession, direction, tid| {
        let stop = session
            .step_thread(direction, tid, &stops, &mut unhurried)
            .unwrap();
        assert_eq!(stop.reasons, [StopReason::Step]);
        stop
    };
    for _ in 0..PLACES {
        let tid = go_to_user_mode(&mut session, &mut random, begin.after(1_000_000));
        // An instruction boundary of the thread: one step on.
        step(&mut session, RunDirection::Forward, tid);
        let (here, at) = (registers(&session, tid), session.timeline().position());
        step(&mut session, RunDirection::Forward, tid);
        let there = registers(&session, tid);
        assert_ne!(there.pc, here.pc, "at {at}");
        step(&mut session, RunDirection::Backward, tid);
        assert_eq!(registers(&session, tid), here, "at {at}");
        step(&mut session, RunDirection::Forward, tid);
        assert_eq!(registers(&session, tid), there, "at {at}");
        // Many steps, over switches and system calls, and as many back.
        let mut passed = vec![registers(&session, tid)];
        for _ in 0..60 {
            step(&mut session, RunDirection::Forward, tid);
            passed.push(registers(&session, tid));
        }
        while let Some(expected) = passed.pop() {
            assert_eq!(registers(&session, tid), expected, "after {at}");
            if !passed.is_empty() {
                step(&mut session, RunDirection::Backward, tid);
            }
        }
    }
}

/// Positions and addresses of all hits of the stops, from one end to the other.
fn all_hits(session: &mut DebugSession, direction: RunDirection, stops: &Stops) -> Vec<Icount> {
    let mut found = Vec::new();
    loop {
        let stop = session.run(direction, stops, &mut unhurried).unwrap();
        if stop.reasons.is_empty() {
            assert!(stop.edge.is_some());
            return found;
        }
        // Forwards the access has been made, backwards not yet.
        let by = u64::from(direction == RunDirection::Forward);
        found.push(Icount(stop.icount.0 - by));
    }
}

#[test]
fn a_processs_watchpoint_hits_the_same_both_ways_and_from_where_it_is_not() {
    let recorded = Recorded::new(What::Race);
    let mut session = DebugSession::new(recorded.timeline(256, false));
    session.go_to_program(&mut unhurried).unwrap();
    let process = session.current().unwrap().tgid;
    let watch = |scope| Stops {
        watchpoints: vec![Watchpoint {
            scope,
            address: WatchAddress::Virtual(address_of("demos/race", "total_brightness") + 7),
            byte_len: 1,
            kind: WatchKind::Write,
        }],
        ..Stops::default()
    };
    let stops = watch(Scope::Process(process));
    // Enough of them, and not all eight thousand.
    let near_end = Icount(recorded.end.0 - 8_000_000);
    session
        .timeline_mut()
        .seek(near_end, &mut unhurried)
        .unwrap();
    let forward = all_hits(&mut session, RunDirection::Forward, &stops);
    assert!(forward.len() > 20, "{} hits test little", forward.len());
    let mut backward = Vec::new();
    while backward.len() < forward.len() {
        let stop = session
            .run(RunDirection::Backward, &stops, &mut unhurried)
            .unwrap();
        backward.push(stop.icount);
    }
    backward.reverse();
    assert_eq!(backward, forward);
    // Of another process there are none.
    let other = watch(Scope::Process(1));
    session
        .timeline_mut()
        .seek(near_end, &mut unhurried)
        .unwrap();
    assert!(all_hits(&mut session, RunDirection::Forward, &other).is_empty());
    // A search finds the same last ones, and leaves the position alone, interrupted or not.
    let end = session.timeline().position();
    let [Watchpoint { address, .. }] = stops.watchpoints[..] else {
        panic!("one watchpoint");
    };
    let mut search = |control: &mut dyn FnMut(Icount) -> ControlFlow<()>| {
        let found = session.accesses_before(
            Scope::Process(process),
            address,
            1,
            WatchKind::Write,
            3,
            &SerialExecutor,
            control,
        );
        assert_eq!(session.timeline().position(), end);
        found
    };
    let found = search(&mut unhurried).unwrap();
    let found: Vec<Icount> = found.iter().map(|access| access.icount).collect();
    assert_eq!(found, forward[forward.len() - 3..]);
    assert!(search(&mut |_| ControlFlow::Break(())).is_err());
}

#[test]
fn what_the_kernel_does_to_processes_is_met_both_ways() {
    let recorded = Recorded::new(What::Race);
    let mut session = DebugSession::new(recorded.timeline(256, false));
    let stops = Stops {
        exec: Choice::all(),
        fork: true,
        exit: true,
        signals: Choice::all(),
        ..Stops::default()
    };
    let mut met = |direction| {
        let mut all = Vec::new();
        loop {
            let stop = session.run(direction, &stops, &mut unhurried).unwrap();
            if stop.reasons.is_empty() {
                return all;
            }
            let tid = session.current().map(|task| task.tid);
            all.extend(stop.reasons.into_iter().map(|reason| match reason {
                // Backwards it is the program before.
                StopReason::Exec(_) => (tid, StopReason::Exec(Vec::new())),
                other => (tid, other),
            }));
        }
    };
    let forward = met(RunDirection::Forward);
    let mut backward = met(RunDirection::Backward);
    backward.reverse();
    // Before its first program there is nothing to show of init.
    let execs = |met: &[(Option<u32>, StopReason)]| {
        let is_exec =
            |(_, reason): &&(Option<u32>, StopReason)| matches!(reason, StopReason::Exec(_));
        met.iter().filter(is_exec).count()
    };
    assert_eq!(
        execs(&forward),
        execs(&backward) + 1,
        "{forward:?}\n{backward:?}"
    );
    let others = |met: Vec<(Option<u32>, StopReason)>| -> Vec<_> {
        met.into_iter()
            .filter(|(_, reason)| !matches!(reason, StopReason::Exec(_)))
            .collect()
    };
    let (forward, backward) = (others(forward), others(backward));
    assert_eq!(forward, backward);
    let is_thread = |(_, reason): &&(Option<u32>, StopReason)| matches!(reason, StopReason::Fork { process, thread } if process != thread);
    assert_eq!(forward.iter().filter(is_thread).count(), 2, "{forward:?}");
    let exits = forward
        .iter()
        .filter(|(_, reason)| matches!(reason, StopReason::Exit(_)));
    assert!(exits.count() >= 3, "{forward:?}");
}
