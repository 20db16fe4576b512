//! Keyframes come back as they were, and no lie of one goes unnoticed.

use super::*;
use crate::entry::EndReason;
use crate::record::{RecordOptions, RecordSession};
use crate::replay::ReplaySession;
use crate::testing::echo_machine;
use crate::timeline::{
    Executor, Job, MachineSource, ReplayTimeline, RunDirection, TimelineError, TimelineOptions,
    unhurried,
};
use crate::trace::{Entries, header_from_config};
use crate::verify::{self, Against, Recording, Verdict, VerifyOptions, snapshot_difference};
use reprise_core::event::ConsolePort;
use reprise_core::machine::{Machine, MachineError};
use reprise_traces::{Compression, TraceCopier};
use std::io::Cursor;
use std::time::Duration;

const SEED: u8 = 5;
/// A multiple of what a timeline thinks reading a keyframe costs, so that it uses them.
const STEPS: u64 = 1 << 25;

struct Source;

impl MachineSource for Source {
    fn machine(&self) -> Result<Machine, MachineError> {
        Ok(echo_machine(SEED))
    }
}

type Reader = TraceReader<Cursor<Vec<u8>>>;

fn open(bytes: &[u8]) -> Reader {
    TraceReader::open(Cursor::new(bytes.to_vec())).expect("opens")
}

/// Some hundred million steps, with input at both ends.
fn trace(keyframe_steps: Option<u64>, bytes_max: u64) -> Vec<u8> {
    let machine = echo_machine(SEED);
    let header = header_from_config(machine.config(), &[], String::new(), None);
    let writer = TraceWriter::create(Vec::new(), &header, Compression::Live).expect("begins");
    let log = KeyframeLog::new(writer, keyframe_steps, bytes_max);
    let mut session = RecordSession::new(machine, log, RecordOptions::default());
    session.feed_console(ConsolePort::Uart, b"ab");
    session.advance(60_000_000, Duration::ZERO).expect("runs");
    session.feed_console(ConsolePort::Uart, b"acq");
    while session
        .advance(1 << 22, Duration::ZERO)
        .expect("runs")
        .halted
        .is_none()
    {}
    let (_, log) = session.finish(EndReason::Stopped).expect("is kept");
    log.into_writer().finish().expect("is closed").0
}

fn straight(bytes: &[u8], at: Icount) -> (Snapshot, StateHash) {
    let mut session = ReplaySession::new(echo_machine(SEED), Entries::new(open(bytes)));
    while !session.advance(at).expect("is as recorded").at_limit {}
    (session.snapshot(), session.state_hash())
}

fn timeline(bytes: &[u8], keyframes: impl KeyframeSource + 'static) -> ReplayTimeline {
    let entries: Vec<Entry> = Entries::new(open(bytes))
        .collect::<Result<_, _>>()
        .expect("is whole");
    let options = TimelineOptions::default();
    ReplayTimeline::new(Arc::new(Source), entries, Box::new(keyframes), options).expect("opens")
}

#[test]
fn a_keyframe_is_the_state_of_a_straight_run() {
    let bytes = trace(Some(STEPS), u64::MAX);
    let mut keyframes = TraceKeyframes::new(open(&bytes));
    let positions = keyframes.positions().to_vec();
    assert_eq!(positions.len(), 3, "{positions:?}");
    for number in [0, 2, 1, 1] {
        let stored = keyframes.load(number).expect("is there");
        let (snapshot, hash) = straight(&bytes, positions[number]);
        assert_eq!(stored.hash, hash);
        assert_eq!(snapshot_difference(&stored.snapshot, &snapshot), None);
    }
}

#[test]
fn keyframes_are_fewer_where_they_would_take_too_much() {
    let few = trace(Some(STEPS / 16), 1);
    let count = open(&few).index().keyframes.len();
    assert!((4..8).contains(&count), "{count}");
    let none = open(&trace(None, u64::MAX));
    assert!(none.index().keyframes.is_empty());
}

#[test]
fn a_timeline_is_the_same_with_keyframes() {
    let bytes = trace(Some(STEPS), u64::MAX);
    let mut timeline = timeline(&bytes, TraceKeyframes::new(open(&bytes)));
    let end = timeline.end();
    for at in [end.0 - 1, STEPS + 1, 2 * STEPS, 3, 3 * STEPS + 77, end.0] {
        timeline
            .seek(Icount(at), &mut unhurried)
            .expect("gets there");
        assert_eq!(timeline.state_hash(), straight(&bytes, Icount(at)).1);
        let hash = timeline.state_hash();
        timeline.step(RunDirection::Backward).expect("goes back");
        timeline.step(RunDirection::Forward).expect("goes on");
        assert_eq!(timeline.state_hash(), hash);
    }
}

/// The trace's keyframes, after something was done to them.
struct Changed<F> {
    inner: TraceKeyframes<Cursor<Vec<u8>>>,
    change: F,
}

impl<F: Fn(&mut StoredSnapshot) + Send> KeyframeSource for Changed<F> {
    fn positions(&self) -> &[Icount] {
        self.inner.positions()
    }

    fn load(&mut self, index: usize) -> Option<StoredSnapshot> {
        let mut stored = self.inner.load(index)?;
        (self.change)(&mut stored);
        Some(stored)
    }
}

fn with_other_memory(stored: &mut StoredSnapshot) {
    let memory = &stored.snapshot.memory;
    let pages = memory.pages().map(|(number, page)| {
        let mut page = Arc::clone(page);
        Arc::make_mut(&mut page)[4000] ^= 1;
        (number, page)
    });
    stored.snapshot.memory = MemorySnapshot::from_pages(memory.page_count(), pages);
}

#[test]
fn a_keyframe_that_is_not_what_it_says_is_not_used() {
    let bytes = trace(Some(STEPS), u64::MAX);
    let inner = TraceKeyframes::new(open(&bytes));
    let mut timeline = timeline(
        &bytes,
        Changed {
            inner,
            change: with_other_memory,
        },
    );
    let at = Icount(3 * STEPS + 5);
    timeline.seek(at, &mut unhurried).expect("gets there");
    assert_eq!(timeline.state_hash(), straight(&bytes, at).1);
}

#[test]
fn a_keyframe_that_lies_is_found_out_when_the_execution_passes_it() {
    let bytes = trace(Some(STEPS), u64::MAX);
    let lie = |stored: &mut StoredSnapshot| {
        with_other_memory(stored);
        let mut machine = echo_machine(SEED);
        machine.restore(&stored.snapshot).expect("fits");
        stored.hash = machine.state_hash();
    };
    let inner = TraceKeyframes::new(open(&bytes));
    let mut timeline = timeline(&bytes, Changed { inner, change: lie });
    let at = Icount(STEPS + STEPS / 3);
    timeline.seek(at, &mut unhurried).expect("believes it");
    assert_ne!(timeline.state_hash(), straight(&bytes, at).1);
    timeline
        .seek(Icount(5), &mut unhurried)
        .expect("gets there");
    let plan = reprise_core::debug::DebugPlan {
        breakpoints: [reprise_core::types::GuestVirtAddr(2)].into(),
        ..Default::default()
    };
    let passed = timeline.run(
        RunDirection::Forward,
        &plan,
        &mut |_, _| true,
        &mut unhurried,
    );
    assert_eq!(passed, Err(TimelineError::BadKeyframe(Icount(STEPS))));
    // From now on it goes without.
    timeline.seek(at, &mut unhurried).expect("gets there");
    assert_eq!(timeline.state_hash(), straight(&bytes, at).1);
}

#[test]
fn a_keyframe_that_somebody_else_may_use_is_compared_when_it_is_passed() {
    let bytes = trace(Some(STEPS), u64::MAX);
    let never = reprise_core::debug::DebugPlan {
        breakpoints: [reprise_core::types::GuestVirtAddr(2)].into(),
        ..Default::default()
    };
    let lie = |stored: &mut StoredSnapshot| {
        let mut machine = echo_machine(SEED);
        machine.restore(&stored.snapshot).expect("fits");
        if machine.icount() == Icount(2 * STEPS) {
            with_other_memory(stored);
            machine.restore(&stored.snapshot).expect("fits");
            stored.hash = machine.state_hash();
        }
    };
    let passing = |range| {
        let inner = TraceKeyframes::new(open(&bytes));
        let mut timeline = timeline(&bytes, Changed { inner, change: lie });
        timeline.claim_keyframes(range);
        timeline.run(
            RunDirection::Forward,
            &never,
            &mut |_, _| true,
            &mut unhurried,
        )
    };
    let found_out = Err(TimelineError::BadKeyframe(Icount(2 * STEPS)));
    assert_eq!(passing(Icount(0)..=Icount(2 * STEPS)), found_out);
    assert_eq!(passing(Icount(STEPS)..=Icount(u64::MAX)), found_out);
    // Those are of other parts.
    passing(Icount(0)..=Icount(2 * STEPS - 1)).expect("passes it");
    passing(Icount(2 * STEPS)..=Icount(u64::MAX)).expect("passes it");
    // What a trace's keyframes say of themselves is had without their pages.
    let mut keyframes = TraceKeyframes::new(open(&bytes));
    let said = keyframes.hash(0).expect("it says so");
    assert_eq!(said, straight(&bytes, Icount(STEPS)).1);
}

#[test]
fn a_true_keyframe_after_one_that_lies_ends_the_lie() {
    let bytes = trace(Some(STEPS), u64::MAX);
    let lie = |stored: &mut StoredSnapshot| {
        let mut machine = echo_machine(SEED);
        machine.restore(&stored.snapshot).expect("fits");
        if machine.icount() == Icount(STEPS) {
            with_other_memory(stored);
            machine.restore(&stored.snapshot).expect("fits");
            stored.hash = machine.state_hash();
        }
    };
    let never = reprise_core::debug::DebugPlan {
        breakpoints: [reprise_core::types::GuestVirtAddr(2)].into(),
        ..Default::default()
    };
    let believing = || {
        let inner = TraceKeyframes::new(open(&bytes));
        let mut timeline = timeline(&bytes, Changed { inner, change: lie });
        for at in [2 * STEPS + 9, STEPS + 9] {
            let at = Icount(at);
            timeline.seek(at, &mut unhurried).expect("believes it");
        }
        timeline
    };
    let found_out = TimelineError::BadKeyframe(Icount(2 * STEPS));
    let text = found_out.to_string();
    assert!(text.contains("or one before it"), "{text}");

    let mut timeline = believing();
    let passed = timeline.run(
        RunDirection::Forward,
        &never,
        &mut |_, _| true,
        &mut unhurried,
    );
    assert_eq!(passed, Err(found_out.clone()));
    // Nothing is left of the lie, wherever one goes from here and by whatever means.
    let is_true = |timeline: &mut ReplayTimeline| {
        let at = timeline.position();
        assert_eq!(timeline.state_hash(), straight(&bytes, at).1, "at {at}");
    };
    is_true(&mut timeline);
    timeline.step(RunDirection::Forward).expect("goes on");
    is_true(&mut timeline);
    for at in [2 * STEPS + 9, STEPS + 9] {
        let at = Icount(at);
        timeline.seek(at, &mut unhurried).expect("gets there");
        is_true(&mut timeline);
    }

    // A search comes back to where it was asked, in the true state.
    let mut timeline = believing();
    let found = timeline.find_all(
        Icount(STEPS + 9)..Icount(2 * STEPS),
        &never,
        &|| Box::new(|_: &Machine, _: &reprise_core::debug::DebugHit| true),
        &TwoAtATime,
        &mut unhurried,
    );
    assert_eq!(found, Err(found_out));
    assert_eq!(timeline.position(), Icount(STEPS + 9));
    is_true(&mut timeline);
}

/// Says that it runs two jobs at a time, so that searches are divided.
struct TwoAtATime;

impl Executor for TwoAtATime {
    fn width(&self) -> usize {
        2
    }

    fn run(&self, jobs: Vec<Job<'_>>) {
        jobs.into_iter().for_each(|job| job());
    }
}

/// The recording with a keyframe source of its own.
struct Judged<F>(Vec<u8>, F);

impl<F: Fn(&mut StoredSnapshot) + Send + Copy> Recording for Judged<F> {
    type Error = crate::trace::ReadError;

    fn machine(&self) -> Result<Machine, MachineError> {
        Ok(echo_machine(SEED))
    }

    fn entries(&self) -> Result<verify::Entries<'_, Self::Error>, Self::Error> {
        Ok(Box::new(Entries::new(open(&self.0))))
    }

    fn keyframes(&self) -> Box<dyn KeyframeSource + '_> {
        let inner = TraceKeyframes::new(open(&self.0));
        Box::new(Changed {
            inner,
            change: self.1,
        })
    }
}

#[test]
fn verifying_compares_every_keyframe() {
    let bytes = trace(Some(STEPS), u64::MAX);
    let verdict = |change: fn(&mut StoredSnapshot)| {
        let options = VerifyOptions::new(Against::Trace);
        verify::verify(&Judged(bytes.clone(), change), &options, &mut ()).expect("is carried out")
    };
    let equal = verdict(|_| {});
    assert!(
        matches!(
            equal,
            Verdict::Equal {
                keyframe_count: 3,
                ..
            }
        ),
        "{equal:?}"
    );
    for (change, shows) in [
        (with_other_memory as fn(&mut StoredSnapshot), true),
        (|stored| stored.hash.disks ^= 1, false),
    ] {
        let Verdict::BadKeyframe { icount, difference } = verdict(change) else {
            panic!("is not seen");
        };
        assert_eq!((icount, difference.is_some()), (Icount(STEPS), shows));
    }
}

#[test]
fn a_state_of_a_stranger_does_no_harm() {
    let bytes = trace(Some(STEPS), u64::MAX);
    let stored = TraceKeyframes::new(open(&bytes)).load(1).expect("is there");
    let mut machine = echo_machine(SEED);
    let mut state = 7u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..2000 {
        let mut forged = stored.snapshot.state.to_vec();
        for _ in 0..=random(4) {
            let at = random(forged.len());
            match random(3) {
                0 => forged[at] ^= 1 << random(8),
                1 => forged[at] = [0, 0xff, 0x80][random(3)],
                _ => forged.truncate(at.max(1)),
            }
        }
        let snapshot = Snapshot {
            state: forged.into(),
            memory: stored.snapshot.memory.clone(),
        };
        if machine.restore(&snapshot).is_ok() {
            machine.run(machine.icount().after(2000));
            machine.take_outputs();
            machine.state_hash();
        }
    }
}

#[test]
fn keyframes_of_another_version_or_machine_are_left_alone() {
    assert!(open_state(&[1, 0, 0, 0]).is_none());
    let mut state = vec![0; STATE_HEAD_BYTES];
    state[..4].copy_from_slice(&SNAPSHOT_VERSION.to_le_bytes());
    assert!(open_state(&state).is_some_and(|(_, state)| state.is_empty()));
    state[0] ^= 0x40;
    assert!(open_state(&state).is_none());

    // A page far outside of RAM.
    let header = header_from_config(echo_machine(SEED).config(), &[], String::new(), None);
    let mut writer = TraceWriter::create(Vec::new(), &header, Compression::Live).expect("begins");
    state[0] ^= 0x40;
    writer
        .push_keyframe(3, &state, [(1 << 40, &[1; 4096])])
        .expect("is written");
    let end = reprise_traces::Record::End {
        icount: 3,
        reason: reprise_traces::EndReason::Stopped,
        exit_status: None,
    };
    TraceWriter::push(&mut writer, &end).expect("is written");
    let bytes = writer.finish().expect("is closed").0;
    assert!(TraceKeyframes::new(open(&bytes)).load(0).is_none());
    assert!(TraceKeyframes::new(open(&bytes)).load(1).is_none());
}

#[test]
fn a_copy_without_keyframes_is_the_recording_without() {
    let copy = |bytes: &[u8]| {
        let reader = open(bytes);
        let mut writer =
            TraceWriter::create(Vec::new(), reader.header(), Compression::Best).expect("begins");
        let mut copier = TraceCopier::new(reader).expect("is whole");
        copier.copy_rest(&mut writer).expect("is copied");
        writer.finish().expect("is closed").0
    };
    let bare = copy(&trace(None, u64::MAX));
    let with = trace(Some(STEPS), u64::MAX);
    assert!(with.len() > bare.len());
    assert_eq!(copy(&with), bare);
}
