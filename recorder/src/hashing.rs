//! When a recording takes the hash of the state, and when it makes safe what it has.
//!
//! A hash changes nothing, so its positions are free: close enough together that a divergence is
//! soon found, and so rare in an idle guest that the trace does not grow. A recording that was killed replays to its last
//! entry, so where nothing else is logged a hash also keeps how far the guest had got.

use reprise_core::types::Icount;
use std::time::Duration;

/// No interval between two hashes is longer than this: half a second of computing, over which a
/// bisection is quick, and long enough that a guest which writes to all of a large working set
/// in every interval is recorded at less than 5 % above what it takes to run it.
pub const HASH_INTERVAL_STEPS_MAX: u64 = 1 << 27;

/// What happens is in the file after this long, also when nothing but a hash can tell of it; with the time of a driver's turn
/// and of writing, at most one second of a recording is lost when its process dies.
pub const KEEP_DELAY: Duration = Duration::from_millis(800);

/// A position is worth no hash while an entry this young tells nearly as much: a person who types makes entries enough.
const ENTRY_YOUNG: Duration = Duration::from_millis(400);

/// A guest that makes more steps than this within [`KEEP_DELAY`] computes; below it, it idles and handles its timer.
const BUSY_STEPS_MIN: u64 = 1 << 20;

/// Decides when to hash.
#[derive(Clone, Copy, Debug)]
pub struct HashSchedule {
    base: Icount,
    last: Option<Icount>,
}

impl HashSchedule {
    /// A schedule from `start` on.
    #[must_use]
    pub fn new(start: Icount) -> Self {
        Self {
            base: start,
            last: None,
        }
    }

    /// The position beyond which the machine must not run without a hash.
    #[must_use]
    pub fn due(&self) -> Icount {
        self.last
            .unwrap_or(self.base)
            .after(HASH_INTERVAL_STEPS_MAX)
    }

    /// Whether the state at `now` has been hashed.
    #[must_use]
    pub fn is_hashed(&self, now: Icount) -> bool {
        self.last == Some(now)
    }

    /// Says that the state at `now` was hashed.
    pub fn hashed(&mut self, now: Icount) {
        self.last = Some(now);
    }
}

/// What is to be done so that little is lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// Flush what is logged.
    Flush,
    /// Log a hash of the present state, then flush.
    HashAndFlush,
}

/// Decides when what happened is made safe.
#[derive(Clone, Copy, Debug)]
pub struct KeepSchedule {
    /// When and where that began which is not safe yet.
    unkept: Option<(Duration, Icount)>,
    /// The last entry.
    entry: (Duration, Icount),
    /// Entries have not been flushed.
    is_unflushed: bool,
    /// The guest was given input after the last hash.
    has_input: bool,
    /// The guest has printed something after the last entry.
    has_printed: bool,
}

impl KeepSchedule {
    /// A schedule from `start` on.
    #[must_use]
    pub fn new(start: Icount) -> Self {
        Self {
            unkept: None,
            entry: (Duration::ZERO, start),
            is_unflushed: false,
            has_input: false,
            has_printed: false,
        }
    }

    /// Takes note of an input event at `icount`.
    pub fn input(&mut self, wall: Duration, icount: Icount) {
        self.logged(wall, icount);
        self.has_input = true;
    }

    /// Takes note of a hash or the end at `icount`.
    pub fn hash(&mut self, wall: Duration, icount: Icount) {
        self.logged(wall, icount);
        self.has_input = false;
    }

    /// Takes note of something else that was logged and that no replay needs.
    pub fn aside(&mut self, wall: Duration, icount: Icount) {
        self.is_unflushed = true;
        self.unkept.get_or_insert((wall, icount));
    }

    fn logged(&mut self, wall: Duration, icount: Icount) {
        self.aside(wall, icount);
        self.entry = (wall, icount);
        self.has_printed = false;
    }

    /// Takes note that the guest goes on from `icount`.
    pub fn ran(&mut self, wall: Duration, icount: Icount) {
        self.unkept.get_or_insert((wall, icount));
    }

    /// Takes note that the guest has printed something.
    pub fn printed(&mut self) {
        self.has_printed = true;
    }

    /// Wall time at which something must be kept even if the guest does nothing until then.
    #[must_use]
    pub fn wake_at(&self, icount: Icount) -> Option<Duration> {
        let (since, _) = self.unkept?;
        (self.is_unflushed || self.is_worth_a_hash(icount)).then(|| since + KEEP_DELAY)
    }

    /// What to do now; the caller does it, and tells of the hash. To be asked whenever wall time has passed.
    pub fn due(&mut self, wall: Duration, icount: Icount) -> Option<Keep> {
        let (since, _) = self.unkept?;
        if wall.saturating_sub(since) < KEEP_DELAY {
            return None;
        }
        let is_worth = self.is_worth_a_hash(icount);
        let keep = if is_worth && wall.saturating_sub(self.entry.0) >= ENTRY_YOUNG {
            Some(Keep::HashAndFlush)
        } else {
            self.is_unflushed.then_some(Keep::Flush)
        };
        // What came after a young entry waits for the next time, counted from that entry.
        self.unkept = (is_worth && keep != Some(Keep::HashAndFlush)).then_some(self.entry);
        keep
    }

    /// Says that what was logged is in the file.
    pub fn flushed(&mut self) {
        self.is_unflushed = false;
    }

    fn is_worth_a_hash(&self, icount: Icount) -> bool {
        let moved_from = |from: Icount| icount.0.saturating_sub(from.0);
        let (_, entry) = self.entry;
        // An event's own step is no news.
        let has_moved = moved_from(entry) > u64::from(self.has_input);
        let is_busy = self
            .unkept
            .is_some_and(|(_, from)| moved_from(from.max(entry)) > BUSY_STEPS_MIN);
        has_moved && (self.has_input || self.has_printed || is_busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn milliseconds(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_computing_guest_is_kept_and_an_idle_one_is_not() {
        let mut schedule = KeepSchedule::new(Icount(0));
        let mut hashes = 0;
        for turn in 0..100 {
            // 40 ms a turn, as on a slow or loaded computer.
            let (wall, icount) = (milliseconds(turn * 40), Icount(turn << 18));
            if schedule.due(wall, icount) == Some(Keep::HashAndFlush) {
                schedule.hash(wall, icount);
                schedule.flushed();
                hashes += 1;
            }
            schedule.ran(wall, icount);
        }
        assert!((4..=5).contains(&hashes), "{hashes}");
        // An idle guest's timer: few steps, and nothing that anybody saw.
        let mut schedule = KeepSchedule::new(Icount(0));
        for turn in 0..10_000 {
            let (wall, icount) = (milliseconds(turn * 250), Icount(turn * 20_000));
            assert_eq!(schedule.due(wall, icount), None);
            schedule.ran(wall, icount);
            assert_eq!(schedule.wake_at(Icount(icount.0 + 20_000)), None);
        }
    }

    #[test]
    fn what_was_typed_and_what_came_of_it_is_kept_once() {
        let mut schedule = KeepSchedule::new(Icount(0));
        schedule.input(milliseconds(100), Icount(10));
        schedule.ran(milliseconds(100), Icount(11));
        schedule.printed();
        assert_eq!(schedule.wake_at(Icount(5000)), Some(milliseconds(900)));
        assert_eq!(schedule.due(milliseconds(899), Icount(5000)), None);
        assert_eq!(
            schedule.due(milliseconds(900), Icount(5000)),
            Some(Keep::HashAndFlush)
        );
        schedule.hash(milliseconds(900), Icount(5000));
        schedule.flushed();
        assert_eq!(schedule.wake_at(Icount(5000)), None);
        assert_eq!(schedule.due(milliseconds(5000), Icount(9000)), None);
        // Printed without having been asked.
        schedule.ran(milliseconds(5000), Icount(9000));
        schedule.printed();
        assert_eq!(schedule.wake_at(Icount(9500)), Some(milliseconds(5800)));
        assert_eq!(
            schedule.due(milliseconds(5800), Icount(9500)),
            Some(Keep::HashAndFlush)
        );
    }

    #[test]
    fn at_no_time_is_more_than_the_delay_unsafe() {
        // One key every 300 ms, each echoed: the entries themselves keep all but the last moment.
        let mut schedule = KeepSchedule::new(Icount(0));
        let (mut in_log, mut in_file, mut hashes) = (0, 0, 0);
        for now in (0..60_000).step_by(10) {
            let (wall, icount) = (milliseconds(now), Icount(now * 10));
            match schedule.due(wall, icount) {
                Some(Keep::HashAndFlush) => {
                    schedule.hash(wall, icount);
                    schedule.flushed();
                    hashes += 1;
                    (in_log, in_file) = (now, now);
                }
                Some(Keep::Flush) => {
                    schedule.flushed();
                    in_file = in_log;
                }
                None => {}
            }
            assert!(now - in_file <= 810, "{now}");
            if now % 300 == 0 {
                schedule.input(wall, icount);
                in_log = now;
            }
            schedule.ran(wall, icount);
            schedule.printed();
        }
        assert_eq!(hashes, 0);
    }
}
