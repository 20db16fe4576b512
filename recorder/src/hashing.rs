//! When a recording takes the hash of the state.
//!
//! A hash changes nothing, so its positions are free: close enough together that a divergence is
//! soon found, and so rare in an idle guest that the trace does not grow.

use reprise_core::types::Icount;
use std::time::Duration;

/// No interval between two hashes is longer than this: half a second of computing, over which a
/// bisection is quick, and long enough that a guest which writes to all of a large working set
/// in every interval is recorded at less than 5 % above what it takes to run it.
pub const HASH_INTERVAL_STEPS_MAX: u64 = 1 << 27;

/// A live recording is hashed after a second in which the guest made this many steps, so that a
/// recording that was killed can be checked nearly to its end.
const LIVE_SECOND_STEPS_MIN: u64 = 16_000_000;

/// Decides when to hash.
#[derive(Clone, Copy, Debug)]
pub struct HashSchedule {
    base: Icount,
    last: Option<Icount>,
    second: Option<(Duration, Icount)>,
}

impl HashSchedule {
    /// A schedule from `start` on.
    #[must_use]
    pub fn new(start: Icount) -> Self {
        Self {
            base: start,
            last: None,
            second: None,
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

    /// Whether a live recording should hash now. To be asked often.
    pub fn is_live_due(&mut self, now: Icount, wall: Duration) -> bool {
        let Some((began, from)) = self.second else {
            self.second = Some((wall, now));
            return false;
        };
        if wall.saturating_sub(began) < Duration::from_secs(1) {
            return false;
        }
        self.second = Some((wall, now));
        now.0 - from.0 >= LIVE_SECOND_STEPS_MIN && !self.is_hashed(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_second_is_hashed_and_an_idle_one_is_not() {
        let mut schedule = HashSchedule::new(Icount(0));
        let second = Duration::from_secs;
        assert!(!schedule.is_live_due(Icount(0), second(0)));
        assert!(!schedule.is_live_due(Icount(20_000_000), Duration::from_millis(500)));
        assert!(schedule.is_live_due(Icount(20_000_000), second(1)));
        schedule.hashed(Icount(20_000_000));
        assert!(!schedule.is_live_due(Icount(20_100_000), second(2)));
        assert_eq!(schedule.due(), Icount(20_000_000 + HASH_INTERVAL_STEPS_MAX));
    }
}
