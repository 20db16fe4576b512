//! The laws of a timeline, against straight runs and plain stepping.

use super::*;
use crate::replay::ReplaySession;
use crate::testing::{BUSY_STEPS, EchoSource, echo_machine, echo_recording};
use reprise_core::debug::{DebugHit, DebugPlan, HitKind, Watch, WatchKind, WatchPlace};
use reprise_core::event::DebugWrite;
use reprise_core::machine::StateHash;
use reprise_core::types::{CpuId, GuestPhysAddr, GuestVirtAddr};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const SEED: u8 = 5;
/// The program's page of data: the count of timer interrupts, then what it computes.
const DATA: u64 = 0x8001_0000;
/// `prompt`, `input` and `round`, the head of the loop that computes.
const PROMPT: u64 = 0x8000_0064;
const INPUT: u64 = 0x8000_0094;
const ROUND: u64 = 0x8000_00cc;

fn recording(keys: &[u8]) -> Vec<Entry> {
    echo_recording(SEED, keys)
}

fn timeline(entries: &[Entry], checkpoint_bytes_max: u64) -> ReplayTimeline {
    let options = TimelineOptions {
        checkpoint_bytes_max,
    };
    ReplayTimeline::new(
        Arc::new(EchoSource(SEED)),
        entries.to_vec(),
        Box::new(()),
        options,
    )
    .expect("opens")
}

fn straight_hash(entries: &[Entry], at: Icount) -> StateHash {
    let entries = entries.iter().cloned().map(Ok::<_, Infallible>);
    let mut session = ReplaySession::new(echo_machine(SEED), entries);
    while !session.advance(at).expect("is as recorded").at_limit {}
    session.state_hash()
}

fn positions(end: Icount, count: u64) -> Vec<Icount> {
    let mut state = 11u64;
    (0..count)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            Icount((state >> 20) % (end.0 + 1))
        })
        .collect()
}

#[test]
fn a_visited_position_has_the_state_of_a_straight_run() {
    let entries = recording(b"abac");
    for bytes in [1 << 15, 1 << 20, 64 << 20] {
        let mut timeline = timeline(&entries, bytes);
        for at in positions(timeline.end(), 25) {
            let status = timeline.seek(at, &mut unhurried).expect("gets there");
            assert_eq!(status.icount, at);
            assert_eq!(
                timeline.state_hash(),
                straight_hash(&entries, at),
                "at {at}"
            );
        }
        assert!(timeline.checkpoint_usage().0 <= bytes.max(1 << 17));
    }
}

#[test]
fn a_step_back_is_the_inverse_of_a_step() {
    let entries = recording(b"aa");
    let mut timeline = timeline(&entries, 64 << 20);
    // Around the events, too, whose steps are others.
    let events: Vec<Icount> = timeline.events().iter().map(|event| event.icount).collect();
    let mut places = positions(timeline.end(), 30);
    places.extend(
        events
            .iter()
            .flat_map(|at| (0..4).map(|by| Icount((at.0 + by).saturating_sub(2)))),
    );
    for at in places {
        timeline.seek(at, &mut unhurried).expect("gets there");
        let hash = timeline.state_hash();
        let back = timeline.step(RunDirection::Backward).expect("goes back");
        assert_eq!(back.icount, Icount(at.0.saturating_sub(1)));
        if at.0 == 0 {
            assert_eq!(back.edge, Some(TraceEdge::Begin));
            continue;
        }
        let forth = timeline.step(RunDirection::Forward).expect("goes on");
        assert_eq!(forth.icount, at);
        assert_eq!(timeline.state_hash(), hash, "at {at}");
    }
}

/// What a plan finds when every step is looked at.
fn hits_by_stepping(entries: &[Entry], plan: &DebugPlan) -> Vec<DebugHit> {
    let mut machine = echo_machine(SEED);
    let course = Course::new(entries.to_vec()).expect("in order");
    let mut hits = Vec::new();
    let watched = |machine: &Machine| {
        plan.watches.first().map(|watch| {
            let WatchPlace::Physical(address) = watch.place else {
                panic!("the oracle knows physical watches alone");
            };
            machine
                .memory()
                .slice(address, watch.byte_len)
                .expect("RAM")
                .to_vec()
        })
    };
    while machine.icount() < course.end {
        let here = machine.icount();
        let cpu = machine.cpu(CpuId(0));
        let event = course.events.get(course.next_event(here));
        let executes = event.is_none_or(|event| event.due() != here || event.icount != here)
            && !cpu.is_about_to_interrupt();
        let (pc, is_waiting) = (GuestVirtAddr(cpu.pc()), cpu.is_waiting());
        if executes && !is_waiting && plan.breakpoints.contains(&pc) {
            hits.push(DebugHit {
                icount: here,
                kind: HitKind::Breakpoint(pc),
            });
        }
        let before = watched(&machine);
        course.follow(&mut machine, here.after(1)).expect("follows");
        if watched(&machine) != before {
            hits.push(DebugHit {
                icount: here,
                kind: HitKind::Access {
                    watch: 0,
                    is_write: true,
                    address: DATA,
                },
            });
        }
    }
    hits
}

fn plan() -> DebugPlan {
    DebugPlan {
        breakpoints: [GuestVirtAddr(PROMPT), GuestVirtAddr(ROUND)].into(),
        watches: vec![Watch {
            place: WatchPlace::Physical(GuestPhysAddr(DATA)),
            byte_len: 16,
            kind: WatchKind::Write,
        }],
        ..DebugPlan::default()
    }
}

/// A hit as a step and what kind of thing it is.
fn essence(hits: &[DebugHit]) -> Vec<(Icount, bool)> {
    hits.iter()
        .map(|hit| (hit.icount, matches!(hit.kind, HitKind::Breakpoint(_))))
        .collect()
}

fn run_all(
    timeline: &mut ReplayTimeline,
    direction: RunDirection,
    plan: &DebugPlan,
) -> Vec<DebugHit> {
    let mut all = Vec::new();
    loop {
        let status = timeline
            .run(direction, plan, &mut |_, _| true, &mut unhurried)
            .expect("runs");
        if status.hits.is_empty() {
            assert!(status.edge.is_some());
            return all;
        }
        all.extend(status.hits);
    }
}

#[test]
fn what_is_found_backwards_is_what_is_found_forwards() {
    let entries = recording(b"aa");
    let mut timeline = timeline(&entries, 64 << 20);
    // One hit in a hundred rounds is enough for the slow part.
    let mut plan = plan();
    plan.breakpoints.remove(&GuestVirtAddr(ROUND));
    let expected = hits_by_stepping(&entries, &plan);
    assert!(expected.len() > 10, "{} hits test little", expected.len());
    let forward = run_all(&mut timeline, RunDirection::Forward, &plan);
    assert_eq!(essence(&forward), essence(&expected));
    assert_eq!(timeline.position(), timeline.end());
    let mut backward = run_all(&mut timeline, RunDirection::Backward, &plan);
    assert_eq!(timeline.position(), Icount(0));
    backward.reverse();
    assert_eq!(backward, forward);
}

struct Threads;

impl Executor for Threads {
    fn width(&self) -> usize {
        3
    }

    fn run(&self, jobs: Vec<Job<'_>>) {
        std::thread::scope(|scope| {
            for job in jobs {
                scope.spawn(job);
            }
        });
    }
}

#[test]
fn a_search_in_parallel_finds_what_a_run_finds() {
    let entries = recording(b"abc");
    let mut timeline = timeline(&entries, 64 << 20);
    let mut plan = plan();
    plan.breakpoints.remove(&GuestVirtAddr(ROUND));
    let forward = run_all(&mut timeline, RunDirection::Forward, &plan);
    let here = Icount(timeline.end().0 / 3);
    timeline.seek(here, &mut unhurried).expect("gets there");
    let all = Icount(0)..timeline.end();
    let judge = || Box::new(|_: &Machine, _: &DebugHit| true) as Box<dyn Judge>;
    for executor in [&SerialExecutor as &dyn Executor, &Threads] {
        let found = timeline
            .find_all(all.clone(), &plan, &judge, executor, &mut unhurried)
            .expect("is searched");
        assert_eq!(found, forward);
        assert_eq!(timeline.position(), here);
    }
    for executor in [&SerialExecutor as &dyn Executor, &Threads] {
        for (to, last) in [(forward[9].icount, 8), (all.end, forward.len() - 1)] {
            let range = Icount(0)..to;
            let found = timeline
                .find_last(range, &plan, &judge, executor, &mut unhurried)
                .expect("is searched");
            assert_eq!(found, forward[last..=last]);
        }
        let none = forward[8].icount.after(1)..forward[9].icount;
        let found = timeline.find_last(none, &plan, &judge, executor, &mut unhurried);
        assert_eq!(found, Ok(Vec::new()));
        assert_eq!(timeline.position(), here);
    }
    let part = forward[3].icount..forward[9].icount;
    let found = timeline
        .find_all(part, &plan, &judge, &Threads, &mut unhurried)
        .expect("is searched");
    assert_eq!(found, forward[3..9]);
}

#[test]
fn a_search_is_interrupted() {
    let entries = recording(b"bb");
    let judge = || Box::new(|_: &Machine, _: &DebugHit| true) as Box<dyn Judge>;
    for executor in [&SerialExecutor as &dyn Executor, &Threads] {
        let mut timeline = timeline(&entries, 64 << 20);
        let here = Icount(1000);
        timeline.seek(here, &mut unhurried).expect("gets there");
        let all = Icount(0)..timeline.end();
        let mut left = 9;
        let mut control = |_| {
            left -= 1;
            match left {
                0 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        };
        let found = timeline.find_all(all, &plan(), &judge, executor, &mut control);
        assert_eq!(found, Err(TimelineError::Interrupted));
        assert_eq!(timeline.position(), here);
    }
}

#[test]
fn back_and_on_again_stops_at_the_same_place() {
    let entries = recording(b"aab");
    let mut timeline = timeline(&entries, 64 << 20);
    let plan = plan();
    for at in positions(timeline.end(), 20) {
        timeline.seek(at, &mut unhurried).expect("gets there");
        let mut go = |direction| {
            let mut judge =
                |_: &Machine, hit: &DebugHit| matches!(hit.kind, HitKind::Breakpoint(_));
            timeline
                .run(direction, &plan, &mut judge, &mut unhurried)
                .expect("runs")
        };
        let first = go(RunDirection::Forward);
        if first.hits.is_empty() {
            continue;
        }
        let second = go(RunDirection::Forward);
        let back = go(RunDirection::Backward);
        // From an end of the timeline the way back leads to the last hit, which is where the way there had stopped.
        assert_eq!((back.icount, &back.hits), (first.icount, &first.hits));
        assert_eq!(go(RunDirection::Forward), second);
    }
}

#[test]
fn a_run_is_interrupted_in_both_directions() {
    // Long enough for the control to be asked some times in each half.
    let entries = recording(b"cb");
    let mut timeline = timeline(&entries, 64 << 20);
    let never = DebugPlan {
        breakpoints: [GuestVirtAddr(2)].into(),
        ..DebugPlan::default()
    };
    let middle = Icount(timeline.end().0 / 2);
    for direction in [RunDirection::Forward, RunDirection::Backward] {
        timeline.seek(middle, &mut unhurried).expect("gets there");
        let mut left = 3;
        let status = timeline
            .run(direction, &never, &mut |_, _| true, &mut |_| {
                left -= 1;
                if left == 0 {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })
            .expect("runs");
        assert!(status.is_interrupted && status.edge.is_none());
        assert_eq!(
            timeline.state_hash(),
            straight_hash(&entries, status.icount)
        );
    }
}

#[test]
fn a_hit_at_the_border_of_a_slice_is_met_once() {
    let entries = recording(b"ac");
    let mut timeline = timeline(&entries, 64 << 20);
    let plan = DebugPlan {
        breakpoints: [GuestVirtAddr(INPUT)].into(),
        ..DebugPlan::default()
    };
    // The first key is typed before the program listens; the second one makes a long computation.
    let hits = run_all(&mut timeline, RunDirection::Forward, &plan);
    let hit = hits.iter().find(|hit| hit.icount.0 > 2 * SLICE_STEPS);
    let hit = *hit.expect("there is one after the long computation");
    let from = Icount(hit.icount.0 - SLICE_STEPS);
    timeline.seek(from, &mut unhurried).expect("gets there");
    let mut stop = |_| ControlFlow::Break(());
    let mut judge = |_: &Machine, _: &DebugHit| true;
    let direction = RunDirection::Forward;
    let cut = timeline.run(direction, &plan, &mut judge, &mut stop);
    let cut = cut.expect("runs");
    assert_eq!((cut.icount, cut.is_interrupted), (hit.icount, true));
    let met = timeline.run_on(direction, &plan, &mut judge, &mut stop);
    let met = met.expect("goes on");
    assert_eq!((met.icount, met.hits), (hit.icount, vec![hit]));
    let next = timeline.run(direction, &plan, &mut judge, &mut unhurried);
    assert!(next.expect("runs").icount > hit.icount);
}

#[test]
fn a_run_back_in_slices_makes_progress_without_checkpoints() {
    let entries = recording(b"ac");
    let never = DebugPlan {
        breakpoints: [GuestVirtAddr(2)].into(),
        ..DebugPlan::default()
    };
    for bytes in [0, 1 << 16, 1 << 18, 64 << 20] {
        let mut timeline = timeline(&entries, bytes);
        let end = timeline.end();
        timeline.seek(end, &mut unhurried).expect("gets there");
        let mut judge = |_: &Machine, _: &DebugHit| true;
        for cuts in 0.. {
            assert!(cuts < 100, "{bytes} bytes: no progress");
            let status = timeline.run_on(RunDirection::Backward, &never, &mut judge, &mut |_| {
                ControlFlow::Break(())
            });
            let status = status.expect("runs");
            if !status.is_interrupted {
                assert_eq!(status.edge, Some(TraceEdge::Begin));
                break;
            }
        }
    }
}

#[test]
fn a_diversion_leaves_the_recording_as_it_is() {
    let entries = recording(b"aa");
    let mut timeline = timeline(&entries, 64 << 20);
    let end = timeline.end();
    timeline.seek(end, &mut unhurried).expect("gets there");
    let fork = Icount(end.0 / 2);
    timeline.seek(fork, &mut unhurried).expect("gets there");
    let hash = timeline.state_hash();
    let write = DebugWrite::Memory {
        address: GuestPhysAddr(DATA),
        bytes: vec![7; 8],
    };
    assert_eq!(
        timeline.write(write.clone()),
        Err(TimelineError::NotDiverted)
    );

    timeline.diverge();
    timeline.write(write).expect("is written");
    let register = DebugWrite::Register {
        cpu: CpuId(0),
        register: 10,
        value: 99,
    };
    timeline.write(register).expect("is written");
    assert_eq!(timeline.machine().cpu(CpuId(0)).x()[10], 99);
    assert_eq!(timeline.diverged_at(), Some(fork));
    // It goes its own way, and back on it.
    for _ in 0..40 {
        timeline.step(RunDirection::Forward).expect("goes on");
    }
    let there = timeline.position();
    let there_hash = timeline.state_hash();
    timeline
        .seek(Icount(fork.0 / 2), &mut unhurried)
        .expect("gets there");
    timeline.seek(there, &mut unhurried).expect("gets there");
    assert_eq!(timeline.state_hash(), there_hash);
    // It replays by itself.
    let own = timeline.entries_to_here();
    assert_eq!(straight_hash(&own, there), there_hash);
    let unknown = DebugWrite::Register {
        cpu: CpuId(0),
        register: 400,
        value: 0,
    };
    assert!(matches!(
        timeline.write(unknown),
        Err(TimelineError::Machine(_))
    ));
    assert_eq!(timeline.state_hash(), there_hash);

    timeline.return_to_recording().expect("goes back");
    assert_eq!((timeline.position(), timeline.state_hash()), (fork, hash));
    assert_eq!(timeline.end(), end);
    timeline.seek(end, &mut unhurried).expect("gets there");
    assert_eq!(timeline.state_hash(), straight_hash(&entries, end));
}

/// Three threads; the control is asked when one of them stands at a hit, which it leaves after that.
struct PolledThreads<'a> {
    is_at_hit: &'a AtomicBool,
    was_polled: &'a AtomicBool,
}

impl Executor for PolledThreads<'_> {
    fn width(&self) -> usize {
        3
    }

    fn run(&self, jobs: Vec<Job<'_>>) {
        self.run_polling(jobs, &mut || {});
    }

    fn run_polling(&self, jobs: Vec<Job<'_>>, poll: &mut dyn FnMut()) {
        std::thread::scope(|scope| {
            let threads: Vec<_> = jobs.into_iter().map(|job| scope.spawn(job)).collect();
            let is_over = || threads.iter().all(|thread| thread.is_finished());
            while !self.is_at_hit.load(Ordering::SeqCst) && !is_over() {
                std::thread::yield_now();
            }
            poll();
            self.was_polled.store(true, Ordering::SeqCst);
        });
    }
}

#[test]
fn the_jobs_of_a_search_are_interrupted_at_once() {
    let entries = recording(b"cb");
    let mut timeline = timeline(&entries, 64 << 20);
    let end = timeline.end();
    assert!(end.0 > BUSY_STEPS);
    let dense = DebugPlan {
        breakpoints: [GuestVirtAddr(ROUND)].into(),
        ..DebugPlan::default()
    };
    for finds_all in [true, false] {
        let is_at_hit = Arc::new(AtomicBool::new(false));
        let was_polled = Arc::new(AtomicBool::new(false));
        let judged = Arc::new(AtomicU64::new(0));
        let judge = || -> Box<dyn Judge> {
            let (is_at_hit, was_polled) = (Arc::clone(&is_at_hit), Arc::clone(&was_polled));
            let judged = Arc::clone(&judged);
            let judge = move |_: &Machine, _: &DebugHit| {
                is_at_hit.store(true, Ordering::SeqCst);
                while !was_polled.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                judged.fetch_add(1, Ordering::SeqCst);
                false
            };
            Box::new(judge)
        };
        let executor = PolledThreads {
            is_at_hit: &is_at_hit,
            was_polled: &was_polled,
        };
        let mut words = 0;
        // It says it once, and while the jobs run.
        let mut control = |_| {
            let is_due = is_at_hit.load(Ordering::SeqCst) && words == 0;
            words += u32::from(is_due);
            match is_due {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        let found = if finds_all {
            timeline.find_all(Icount(0)..end, &dense, &judge, &executor, &mut control)
        } else {
            timeline.find_last(Icount(0)..end, &dense, &judge, &executor, &mut control)
        };
        assert_eq!(found, Err(TimelineError::Interrupted));
        let judged = judged.load(Ordering::SeqCst);
        assert!(
            (1..=3 * 256).contains(&judged),
            "{judged} hits were looked at"
        );
        assert_eq!(timeline.position(), Icount(0));
    }
}

fn data_write(byte: u8) -> DebugWrite {
    DebugWrite::Memory {
        address: GuestPhysAddr(DATA),
        bytes: vec![byte; 8],
    }
}

#[test]
fn marks_of_a_diversion_end_with_it() {
    let entries = recording(b"aa");
    let mut timeline = timeline(&entries, 64 << 20);
    let fork = Icount(timeline.end().0 / 2);
    let go = |timeline: &mut ReplayTimeline, at: Icount, name: &str| {
        timeline.seek(at, &mut unhurried).expect("gets there");
        timeline.set_mark(name);
    };
    go(&mut timeline, fork.after(5), "later");
    go(&mut timeline, fork.after(9), "renewed");
    go(&mut timeline, fork, "fork");
    timeline.diverge();
    timeline.write(data_write(7)).expect("is written");
    timeline.set_mark("written");
    timeline.set_mark("renewed");
    go(&mut timeline, Icount(fork.0 - 3), "earlier");
    timeline.return_to_recording().expect("goes back");
    let marks: Vec<(String, Icount)> = (timeline.marks().into_iter())
        .map(|mark| (mark.name, mark.icount))
        .collect();
    let expected = [
        ("earlier", Icount(fork.0 - 3)),
        ("fork", fork),
        ("later", fork.after(5)),
        ("renewed", fork.after(9)),
    ];
    assert_eq!(marks, expected.map(|(name, at)| (name.to_owned(), at)));
}

#[test]
fn a_write_before_the_fork_begins_the_diversion_anew() {
    let entries = recording(b"aa");
    let mut timeline = timeline(&entries, 64 << 20);
    let end = timeline.end();
    let forks = [Icount(end.0 * 2 / 3), Icount(end.0 / 3)];
    for (byte, fork) in [7, 9].into_iter().zip(forks) {
        timeline.seek(fork, &mut unhurried).expect("gets there");
        timeline.diverge();
        timeline.write(data_write(byte)).expect("is written");
        for _ in 0..40 {
            timeline.step(RunDirection::Forward).expect("goes on");
        }
        timeline.set_mark("there");
        assert_eq!(timeline.diverged_at(), Some(fork));
        assert_eq!(timeline.end(), timeline.position());
    }
    // It is the recording up to the new fork, and then its own, without the write at the old one.
    let there = timeline.position();
    let hash = timeline.state_hash();
    let own = timeline.entries_to_here();
    assert_eq!(straight_hash(&own, there), hash);
    for at in [forks[1], Icount(forks[1].0 / 2), there] {
        timeline.seek(at, &mut unhurried).expect("gets there");
        assert_eq!(timeline.state_hash(), straight_hash(&own, at), "at {at}");
    }
    // A write that is refused moves nothing.
    let before = Icount(forks[1].0 - 8);
    timeline.seek(before, &mut unhurried).expect("gets there");
    let unknown = DebugWrite::Register {
        cpu: CpuId(0),
        register: 400,
        value: 0,
    };
    assert!(matches!(
        timeline.write(unknown),
        Err(TimelineError::Machine(_))
    ));
    assert_eq!(timeline.diverged_at(), Some(forks[1]));

    timeline.return_to_recording().expect("goes back");
    assert_eq!((timeline.position(), timeline.end()), (forks[1], end));
    assert_eq!(timeline.marks(), []);
    for at in [forks[1], forks[0], forks[0].after(20), there, end] {
        timeline.seek(at, &mut unhurried).expect("gets there");
        assert_eq!(
            timeline.state_hash(),
            straight_hash(&entries, at),
            "at {at}"
        );
    }
}

#[test]
fn times_events_and_marks_are_found() {
    let entries = recording(b"aa");
    let mut timeline = timeline(&entries, 64 << 20);
    for number in 0..timeline.events().len() {
        let at = timeline.events()[number].icount;
        assert_eq!(
            timeline
                .seek_event(number, &mut unhurried)
                .expect("is found")
                .icount,
            at
        );
        let time = timeline.machine().time();
        let found = timeline
            .seek_time(time, &mut unhurried)
            .expect("is found")
            .icount;
        assert_eq!(timeline.machine().time(), time);
        assert!(found <= at);
        // Whoever looks for it in slices finds the same.
        let mut search = timeline.search_time(time);
        let mut slices = 0;
        let sliced = loop {
            slices += 1;
            assert!(slices < 1000, "{search:?}");
            let status = (timeline.seek_time_on(&mut search, &mut |_| ControlFlow::Break(())))
                .expect("is found");
            if !status.is_interrupted {
                break status.icount;
            }
        };
        assert!(slices > 1);
        assert_eq!((sliced, timeline.position()), (found, found));
        assert!(
            found.0 == 0 || {
                timeline.step(RunDirection::Backward).expect("goes back");
                timeline.machine().time() < time
            }
        );
    }
    let mark = timeline.set_mark("here");
    assert_eq!(timeline.marks(), std::slice::from_ref(&mark));
    assert_eq!(timeline.mark("here"), Some(mark.icount));
    assert_eq!(timeline.mark("there"), None);
}

#[test]
fn contradictions_are_refused_and_divergences_seen() {
    let entries = recording(b"aa");
    let mut swapped = entries.clone();
    swapped.swap(0, 2);
    let opened = ReplayTimeline::new(
        Arc::new(EchoSource(SEED)),
        swapped,
        Box::new(()),
        TimelineOptions::default(),
    );
    assert!(matches!(opened, Err(TimelineError::OutOfOrder(_))));

    let mut lying = entries;
    let hash = lying.iter_mut().rev().find_map(|entry| match entry {
        Entry::Hash { hash, .. } => Some(hash),
        _ => None,
    });
    hash.expect("a recording has a hash").devices ^= 1;
    let mut timeline = timeline(&lying, 1 << 20);
    let end = timeline.end();
    assert!(matches!(
        timeline.seek(end, &mut unhurried),
        Err(TimelineError::Diverged { components, .. }) if components == ["devices"]
    ));
}

/// Entries of which more come.
#[derive(Default)]
struct Coming(VecDeque<Entry>);

impl Iterator for Coming {
    type Item = Result<Entry, Infallible>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.pop_front().map(Ok)
    }
}

#[test]
fn a_recording_that_comes_entry_by_entry_is_the_same_at_every_end() {
    let entries = recording(b"abac");
    let mut timeline = timeline(&[], 64 << 20);
    let mut session = ReplaySession::new(echo_machine(SEED), Coming::default());
    session.expect_more(true);
    for (number, entry) in entries.iter().enumerate() {
        // An idle jump for the event may be the last step before it.
        let known = Icount(entry.icount().0.saturating_sub(1));
        let last = number.checked_sub(1).map(|last| entries[last].clone());
        session.entries_mut().0.extend(last.clone());
        timeline.extend(last, known).expect("is in order");
        let end = timeline.end();
        timeline.seek(end, &mut unhurried).expect("gets there");
        let straight = straight_hash(&entries, end);
        assert_eq!(timeline.state_hash(), straight, "at {end}");
        while session.machine().icount() < end {
            assert!(!session.advance(end).expect("is as recorded").finished);
        }
        assert_eq!(session.state_hash(), straight, "at {end}");
    }
    let last = entries.last().cloned();
    session.entries_mut().0.extend(last.clone());
    timeline.extend(last, Icount(0)).expect("is in order");
    session.expect_more(false);
    let end = timeline.end();
    while !session.advance(end).expect("is as recorded").finished {}
    assert_eq!(session.end(), timeline.recorded_end());
    assert_eq!(session.end().map(|end| end.icount), Some(end));
}

#[test]
fn what_comes_later_is_not_before_what_was_there() {
    let entries = recording(b"a");
    let hash = straight_hash(&entries, Icount(1));
    let (at, mut event) = (entries.iter())
        .find_map(|entry| match entry {
            Entry::Event(event) if event.icount.0 > 0 => Some((event.icount, event.clone())),
            _ => None,
        })
        .expect("an input");
    // The idle jump for it would be the step before the hash, and whoever stood there has made another.
    event.skip = 1;
    let mut timeline = timeline(&[Entry::Hash { icount: at, hash }], 64 << 20);
    assert_eq!(
        timeline.extend([Entry::Event(event)], at),
        Err(TimelineError::OutOfOrder(at))
    );
}
