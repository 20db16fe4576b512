use super::*;
use crate::entry::NullLog;
use crate::hashing::{HASH_INTERVAL_STEPS_MAX, KEEP_DELAY};
use crate::replay::{ReplayError, ReplaySession};
use crate::testing::{BUSY_STEPS, echo_machine};
use std::convert::Infallible;

const FAST: RecordOptions = RecordOptions {
    pacing: Pacing::Fast,
    typist_port: ConsolePort::Uart,
};

const PACED: RecordOptions = RecordOptions {
    pacing: Pacing::Paced,
    typist_port: ConsolePort::Uart,
};

fn console(outputs: &[Output]) -> String {
    let mut text = String::new();
    for output in outputs {
        if let OutputKind::Console { bytes, .. } = &output.kind {
            text.push_str(&String::from_utf8_lossy(bytes));
        }
    }
    text
}

/// Runs a scripted session to its end.
fn record_script(script: &str, seed: u8, steps_max: u64) -> (Finished, Vec<Entry>, String) {
    let mut session = RecordSession::new(echo_machine(seed), Vec::new(), FAST);
    session.typist().push(script.as_bytes());
    session.typist().close();
    let mut outputs = Vec::new();
    let reason = loop {
        let status = session.advance(steps_max, Duration::ZERO).expect("runs");
        outputs.extend(status.outputs);
        if let Some(reason) = status.halted {
            break EndReason::Halted(reason);
        }
        assert!(status.icount.0 < 1 << 30, "the guest never stops");
    };
    let (finished, entries) = session.finish(reason).expect("memory takes it");
    (finished, entries, console(&outputs))
}

fn replay(
    entries: &[Entry],
    seed: u8,
) -> ReplaySession<impl Iterator<Item = Result<Entry, Infallible>>> {
    let entries: Vec<_> = entries.iter().cloned().map(Ok).collect();
    ReplaySession::new(echo_machine(seed), entries.into_iter())
}

#[test]
fn a_scripted_session_replays() {
    let (finished, entries, text) = record_script("hi\nyou\nq", 1, 1 << 20);
    assert!(text.starts_with(">hi\n"), "{text:?}");
    assert!(text.ends_with("you\n>q"), "{text:?}");
    assert_eq!(finished.end.reason, EndReason::Halted(HaltReason::PowerOff));
    let mut session = replay(&entries, 1);
    let status = session.advance(Icount(u64::MAX)).expect("equal");
    assert!(status.finished);
    assert_eq!(console(&status.outputs), text);
    assert_eq!(session.state_hash(), finished.hash);
    assert_eq!(session.end(), Some(finished.end));
    assert!(session.hash_count() >= 1 && session.event_count() >= 3);
}

#[test]
fn one_script_and_seed_is_one_execution_however_often_the_driver_looks() {
    let (coarse, coarse_entries, _) = record_script("hi\nthere\nq", 3, 1 << 30);
    let (fine, fine_entries, _) = record_script("hi\nthere\nq", 3, 777);
    assert_eq!(coarse, fine);
    assert_eq!(coarse_entries, fine_entries);
    let (other, ..) = record_script("hi\nthere\nq", 4, 777);
    assert_ne!(coarse.hash, other.hash);
}

#[test]
fn a_replay_stops_anywhere_and_goes_on() {
    let (finished, entries, text) = record_script("abc\nq", 5, 1 << 20);
    for steps in [1, 2, 3, 1000] {
        let mut session = replay(&entries, 5);
        let mut printed = String::new();
        let mut limit = Icount(0);
        loop {
            // Every position near an event, and coarse steps in between.
            let is_near = entries
                .iter()
                .any(|entry| entry.icount().0.abs_diff(limit.0) < 4);
            limit = limit.after(if is_near { steps } else { 501 });
            let status = session.advance(limit).expect("equal");
            printed.push_str(&console(&status.outputs));
            if status.finished {
                break;
            }
            assert_eq!(status.icount, limit);
            assert!(status.at_limit);
        }
        assert_eq!(printed, text);
        assert_eq!(session.state_hash(), finished.hash);
    }
}

#[test]
fn hashes_come_in_time() {
    let (finished, entries, _) = record_script("bb\nq", 6, 1 << 22);
    let hashes: Vec<_> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Hash { icount, .. } => Some(icount.0),
            _ => None,
        })
        .collect();
    assert!(finished.end.icount.0 > 2 * BUSY_STEPS);
    let mut last = 0;
    for icount in &hashes {
        assert!(icount - last <= HASH_INTERVAL_STEPS_MAX);
        last = *icount;
    }
    assert_eq!(last, finished.end.icount.0);
    assert_eq!(hashes.len(), 2);
}

#[test]
fn typed_input_meets_an_idle_guest_at_the_walls_time() {
    let mut session = RecordSession::new(echo_machine(7), Vec::new(), PACED);
    let status = session.advance(1 << 20, Duration::ZERO).expect("runs");
    assert_eq!(console(&status.outputs), ">");
    let idle = status.idle.expect("the guest waits");
    assert!(!idle.waits_forever);
    let timer = idle.wake_at.expect("a timer is set");
    // The timer is 100,000 ticks of 64 ns away, and some jitter.
    assert!(timer > Duration::from_millis(6) && timer < Duration::from_millis(8));

    // Before its time, the guest stays where it is.
    let before = status.icount;
    let status = session.advance(1 << 20, timer / 2).expect("runs");
    assert_eq!(status.icount, before);

    session.feed_console(ConsolePort::Uart, b"x");
    let status = session.advance(1 << 20, timer * 3 / 4).expect("runs");
    assert_eq!(console(&status.outputs), "x>");
    assert!(status.icount > before);

    // After the deadline the timer comes first, by rule.
    let late = timer * 100;
    session.feed_console(ConsolePort::Uart, b"q");
    let status = session.advance(1 << 20, late).expect("runs");
    assert_eq!(status.halted, Some(HaltReason::PowerOff));
    let (finished, entries) = session.finish(EndReason::Stopped).expect("ends");
    let skips: Vec<_> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Event(event) => Some(event.skip),
            _ => None,
        })
        .collect();
    // 75,000 ticks and more have passed, and are stamped as one unit of time.
    assert_eq!(skips[0], ARRIVAL_TICKS);
    assert!(skips[1] > 0 && skips[1] < 110_000 - ARRIVAL_TICKS);
    assert_eq!(skips.len(), 2);
    let mut session = replay(&entries, 7);
    session.advance(Icount(u64::MAX)).expect("equal");
    assert_eq!(session.state_hash(), finished.hash);
}

#[test]
fn an_idle_guest_adds_nothing() {
    let mut session = RecordSession::new(echo_machine(8), Vec::new(), PACED);
    let mut wall = Duration::ZERO;
    while wall < Duration::from_secs(3600) {
        let status = session.advance(1 << 20, wall).expect("runs");
        wall = match status.idle {
            Some(idle) => idle.wake_at.expect("a timer is set").max(wall),
            None => wall,
        };
    }
    let ticks = session.machine().time().0;
    assert!(ticks.abs_diff(3600 * 15_625_000) < 15_625_000, "{ticks}");
    let (_, entries) = session.finish(EndReason::Stopped).expect("ends");
    assert!(entries.len() <= 4, "{} entries", entries.len());
}

#[test]
fn input_waits_until_there_is_room() {
    let mut session = RecordSession::new(echo_machine(9), Vec::new(), PACED);
    session.advance(1 << 16, Duration::ZERO).expect("runs");
    let many: Vec<u8> = (0..100).map(|number| b'A' + number % 20).collect();
    session.feed_console(ConsolePort::Uart, &many);
    let mut text = String::new();
    let mut wall = Duration::ZERO;
    while text.matches(char::is_alphabetic).count() < many.len() {
        let status = session.advance(1 << 16, wall).expect("runs");
        text.push_str(&console(&status.outputs));
        wall += Duration::from_millis(1);
        assert!(wall < Duration::from_secs(60), "{text}");
    }
    assert_eq!(session.unaccepted_byte_len(), 0);
    assert_eq!(text.replace('>', "").as_bytes(), many);
    let (finished, entries) = session.finish(EndReason::Stopped).expect("ends");
    for entry in &entries {
        if let Entry::Event(event) = entry
            && let InputEvent::ConsoleInput { bytes, .. } = &*event.event
        {
            assert!(bytes.len() <= 16, "a UART takes 16 bytes");
        }
    }
    let mut session = replay(&entries, 9);
    session.advance(Icount(u64::MAX)).expect("equal");
    assert_eq!(session.state_hash(), finished.hash);
}

#[test]
fn the_power_button_and_a_resize() {
    let mut session = RecordSession::new(echo_machine(10), Vec::new(), PACED);
    session.advance(5000, Duration::ZERO).expect("runs");
    for columns in [80, 90, 100] {
        session.feed_size(TerminalSize { columns, rows: 30 });
    }
    session.power_off();
    let status = session.advance(5000, Duration::ZERO).expect("runs");
    assert_eq!(status.halted, Some(HaltReason::PowerOff));
    let (finished, entries) = session.finish(EndReason::Stopped).expect("ends");
    assert_eq!(finished.end.reason, EndReason::Halted(HaltReason::PowerOff));
    let events: Vec<_> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Event(event) => Some((*event.event).clone()),
            _ => None,
        })
        .collect();
    // Of several sizes only the last one matters.
    let size = TerminalSize {
        columns: 100,
        rows: 30,
    };
    assert_eq!(
        events,
        [InputEvent::ConsoleSize(size), InputEvent::PowerOff]
    );
    replay(&entries, 10)
        .advance(Icount(u64::MAX))
        .expect("equal");
}

/// Counts flushes.
#[derive(Default)]
struct FlushCounter {
    unflushed: u32,
    flushes: u32,
}

impl EntryLog for FlushCounter {
    type Error = Infallible;

    fn push(&mut self, _entry: &Entry) -> Result<(), Infallible> {
        self.unflushed += 1;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        assert!(self.unflushed > 0, "nothing new, no chunk");
        self.unflushed = 0;
        self.flushes += 1;
        Ok(())
    }
}

#[test]
fn what_is_logged_is_flushed_within_a_second() {
    let mut session = RecordSession::new(echo_machine(11), FlushCounter::default(), PACED);
    session.advance(1 << 20, Duration::ZERO).expect("runs");
    // The prompt is kept, too, and only once.
    for second in 1..5 {
        session
            .advance(1 << 20, Duration::from_secs(second))
            .expect("runs");
        assert_eq!((session.log.unflushed, session.log.flushes), (0, 1));
    }
    session.log.flushes = 0;
    session.feed_console(ConsolePort::Uart, b"x");
    let typed = Duration::from_secs(10);
    let status = session.advance(1 << 20, typed).expect("runs");
    assert!(session.log.unflushed > 0);
    let wake = status.idle.and_then(|idle| idle.wake_at).expect("wakes");
    assert!(wake <= typed + KEEP_DELAY);
    for milliseconds in (0..=1000).step_by(5) {
        let wall = typed + Duration::from_millis(milliseconds);
        session.advance(1 << 20, wall).expect("runs");
    }
    assert_eq!((session.log.unflushed, session.log.flushes), (0, 1));
}

/// Keeps what a killed process would leave behind.
#[derive(Default)]
struct CrashLog {
    in_file: Vec<Entry>,
    unflushed: Vec<Entry>,
}

impl EntryLog for CrashLog {
    type Error = Infallible;

    fn push(&mut self, entry: &Entry) -> Result<(), Infallible> {
        self.unflushed.push(entry.clone());
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        self.in_file.append(&mut self.unflushed);
        Ok(())
    }
}

#[test]
fn what_a_killed_recorder_had_shown_for_a_second_replays() {
    let mut session = RecordSession::new(echo_machine(19), CrashLog::default(), PACED);
    let mut text = String::new();
    let mut entry_count = 0;
    // An input every ten seconds; what is kept a second later has its echo in it, and then nothing more is added.
    for (round, key) in ["x", "y", "z"].into_iter().enumerate() {
        let typed = Duration::from_secs(10 * (round as u64 + 1));
        session.feed_console(ConsolePort::Uart, key.as_bytes());
        let mut wall = typed;
        while wall < typed + Duration::from_secs(9) {
            let status = session.advance(1 << 20, wall).expect("runs");
            text.push_str(&console(&status.outputs));
            let wake = status.idle.and_then(|idle| idle.wake_at);
            wall = wake.unwrap_or(wall).max(wall + Duration::from_millis(1));
            if wall > typed + Duration::from_secs(1) {
                let mut replayed = replay(&session.log.in_file, 19);
                let status = replayed.advance(Icount(u64::MAX)).expect("equal");
                assert_eq!(
                    console(&status.outputs),
                    text,
                    "a second after {key} was typed"
                );
                wall = typed + Duration::from_secs(9);
            }
        }
        let status = session.advance(1 << 20, wall).expect("runs");
        text.push_str(&console(&status.outputs));
        let added = session.log.in_file.len() - entry_count;
        // The first time also what was printed before.
        assert!(added <= 2 + usize::from(round == 0), "{added} entries");
        entry_count = session.log.in_file.len();
    }
}

#[test]
fn a_busy_guest_on_a_loaded_computer_loses_at_most_a_second() {
    // 2^18 steps in 50 ms: forty times slower than a computer that has nothing else to do.
    const STEPS: u64 = 1 << 18;
    const TURN: Duration = Duration::from_millis(50);
    for options in [FAST, PACED] {
        let mut session = RecordSession::new(echo_machine(20), CrashLog::default(), options);
        session.advance(STEPS, Duration::ZERO).expect("runs");
        session.feed_console(ConsolePort::Uart, b"b");
        let mut positions: VecDeque<(Duration, Icount)> = VecDeque::new();
        for turn in 0..120 {
            let wall = TURN * turn;
            let status = session.advance(STEPS, wall).expect("runs");
            positions.push_back((wall, status.icount));
            while positions[0].0 + Duration::from_secs(1) < wall {
                positions.pop_front();
            }
            let (_, a_second_ago) = positions[0];
            let kept = session.log.in_file.last().map_or(Icount(0), Entry::icount);
            assert!(
                kept >= a_second_ago || turn < 20,
                "turn {turn}: {kept} of {}",
                status.icount
            );
        }
        let entries = &session.log.in_file;
        assert!(entries.len() <= 9, "{} entries in 6 seconds", entries.len());
        replay(entries, 20)
            .advance(Icount(u64::MAX))
            .expect("equal");
    }
}

#[test]
fn a_guest_that_takes_no_end_of_input_is_given_up() {
    let (text, entries) = {
        let mut session = RecordSession::new(echo_machine(21), Vec::new(), FAST);
        session.typist().push(b"hi\n");
        session.typist().close();
        let mut text = String::new();
        loop {
            let status = session.advance(1 << 24, Duration::ZERO).expect("runs");
            text.push_str(&console(&status.outputs));
            if status.typist_gave_up {
                break;
            }
            assert!(status.icount.0 < 1 << 36, "it types for ever");
        }
        let (_, entries) = session.finish(EndReason::WaitsForever).expect("ends");
        (text, entries)
    };
    assert!(text.starts_with(">hi\n>\u{4}>\u{4}>"), "{text:?}");
    replay(&entries, 21)
        .advance(Icount(u64::MAX))
        .expect("equal");
}

#[test]
fn a_guest_that_takes_no_input_is_given_up() {
    let options = RecordOptions {
        // Nobody drives this console, so nothing that is typed is ever accepted.
        typist_port: ConsolePort::Virtio,
        ..FAST
    };
    let mut session = RecordSession::new(echo_machine(23), NullLog, options);
    session.typist().push(b"hi");
    session.typist().close();
    while !session
        .advance(1 << 24, Duration::ZERO)
        .expect("runs")
        .typist_gave_up
    {
        assert!(session.machine().icount().0 < 1 << 36, "it types for ever");
    }
    assert_eq!(session.unaccepted_byte_len(), 2);
}

#[test]
fn a_pipe_is_awaited_at_the_walls_pace_and_typed_at_once() {
    const PIPED: RecordOptions = RecordOptions {
        pacing: Pacing::AwaitingScript,
        typist_port: ConsolePort::Uart,
    };
    let mut session = RecordSession::new(echo_machine(22), Vec::new(), PIPED);
    session.typist().push(b"hi\nyou\n");
    let status = session.advance(1 << 30, Duration::ZERO).expect("runs");
    assert_eq!(console(&status.outputs), ">hi\n>you\n>");
    assert!(status.idle.and_then(|idle| idle.wake_at).is_some());
    let waits_at = session.machine().time();
    let status = session.advance(1 << 30, Duration::ZERO).expect("runs");
    assert!(status.idle.is_some() && session.machine().time() == waits_at);
    session.typist().push(b"q");
    session.typist().close();
    let status = session.advance(1 << 30, Duration::ZERO).expect("runs");
    assert_eq!(status.halted, Some(HaltReason::PowerOff));
}

#[test]
fn a_recording_of_another_seed_is_a_divergence() {
    let (_, entries, _) = record_script("hi\nq", 12, 1 << 20);
    let error = replay(&entries, 13)
        .advance(Icount(u64::MAX))
        .expect_err("another seed");
    assert!(
        matches!(
            error,
            ReplayError::Lost { .. } | ReplayError::Diverged { .. }
        ),
        "{error}"
    );
}

#[test]
fn a_wrong_hash_names_interval_and_component() {
    let (_, mut entries, _) = record_script("hi\nq", 14, 1 << 20);
    for entry in &mut entries {
        if let Entry::Hash { hash, .. } = entry {
            hash.output ^= 1;
        }
    }
    let error = replay(&entries, 14)
        .advance(Icount(u64::MAX))
        .expect_err("differs");
    let ReplayError::Diverged {
        good, components, ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((good, components), (Icount(0), vec!["output"]));
}

#[test]
fn entries_out_of_order_are_refused() {
    let (_, entries, _) = record_script("hi\nq", 15, 1 << 20);
    for at in 1..entries.len() {
        let mut swapped = entries.clone();
        swapped.swap(at - 1, at);
        if entries[at - 1].icount() == entries[at].icount() {
            continue;
        }
        let error = replay(&swapped, 15).advance(Icount(u64::MAX));
        assert!(error.is_err(), "entries {at} and the one before");
    }
}

#[test]
fn a_cut_recording_replays_to_its_last_entry() {
    let (_, entries, _) = record_script("hi\nyou\nq", 16, 1 << 20);
    for length in 0..entries.len() {
        let mut session = replay(&entries[..length], 16);
        let status = session.advance(Icount(u64::MAX)).expect("equal");
        assert!(status.finished);
        assert_eq!(session.end(), None);
    }
}

/// Pseudo-random numbers for hostile input.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % below
    }

    fn number(&mut self) -> u64 {
        match self.roll(8) {
            0 => u64::MAX - self.roll(3),
            1 => 1 << self.roll(64),
            _ => self.roll(20_000),
        }
    }

    fn entry(&mut self) -> Entry {
        let icount = Icount(self.number());
        let event = match self.roll(7) {
            0 => {
                return Entry::Hash {
                    icount,
                    hash: StateHash::default(),
                };
            }
            1 => {
                return Entry::End(End {
                    icount,
                    reason: EndReason::Stopped,
                    exit_status: None,
                });
            }
            2 => InputEvent::PowerOff,
            3 => InputEvent::Start(Box::default()),
            4 => InputEvent::ConsoleSize(TerminalSize {
                columns: 0,
                rows: u16::MAX,
            }),
            _ => InputEvent::ConsoleInput {
                port: PORTS[self.roll(2) as usize],
                bytes: vec![b'x'; self.roll(30) as usize],
            },
        };
        Entry::Event(TimedEvent {
            icount,
            skip: if self.roll(2) == 0 { 0 } else { self.number() },
            event: Arc::new(event),
        })
    }
}

#[test]
fn hostile_entries_are_refused_or_replayed() {
    let mut dice = Dice(17);
    for _ in 0..200 {
        let mut entries: Vec<_> = (0..dice.roll(6)).map(|_| dice.entry()).collect();
        if dice.roll(4) > 0 {
            entries.sort_by_key(Entry::icount);
        }
        let mut session = replay(&entries, 18);
        for limit in [5_000, 30_000, 60_000] {
            if session.advance(Icount(limit)).is_err() {
                break;
            }
            assert!(session.machine().icount() <= Icount(limit));
        }
    }
}
