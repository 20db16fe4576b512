//! How guest time relates to wall time.
//!
//! Guest time is counted, not read, so while the guest computes it passes at the speed of
//! computation. Only while the guest waits can a driver hold it to the wall's pace, by sleeping
//! before it lets time jump.

use reprise_core::types::{GuestTime, NANOSECONDS_PER_TICK};
use std::time::Duration;

/// Guest time may lag behind or lead the wall by this much (a second) before the difference is
/// forgotten: a guest that computed for a minute must not find that its next `sleep 30` takes
/// no time at all.
const DRIFT_TICKS_MAX: u64 = 1_000_000_000 / NANOSECONDS_PER_TICK;

/// Whether the guest's idle time takes wall time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pacing {
    /// Idle time passes at the wall's pace: for a person at the terminal.
    Paced,
    /// Idle time takes no wall time: for scripts and tests.
    Fast,
    /// Idle time takes no wall time while there is something to type or nothing more comes, and passes at the wall's pace
    /// while more of the script is awaited: for a pipe, which may have all at once or be fed by a person.
    AwaitingScript,
}

/// Holds guest time to the wall's pace while the guest waits.
#[derive(Clone, Copy, Debug)]
pub struct Pacer {
    wall: Duration,
    guest: GuestTime,
}

impl Pacer {
    /// Guest time `guest` belongs to wall time `wall`, which counts from any fixed instant.
    #[must_use]
    pub fn new(wall: Duration, guest: GuestTime) -> Self {
        Self { wall, guest }
    }

    /// The guest time that belongs to a wall time.
    #[must_use]
    pub fn guest_from_wall(&self, wall: Duration) -> GuestTime {
        let nanoseconds = wall.saturating_sub(self.wall).as_nanos();
        let ticks = u64::try_from(nanoseconds / u128::from(NANOSECONDS_PER_TICK));
        GuestTime(self.guest.0.saturating_add(ticks.unwrap_or(u64::MAX)))
    }

    /// The first wall time at which guest time is at least `guest`, or `None` when that is beyond
    /// what a clock can show.
    #[must_use]
    pub fn wall_from_guest(&self, guest: GuestTime) -> Option<Duration> {
        let ticks = guest.0.saturating_sub(self.guest.0);
        let nanoseconds = ticks.checked_mul(NANOSECONDS_PER_TICK)?;
        self.wall.checked_add(Duration::from_nanos(nanoseconds))
    }

    /// To be called when the guest begins to wait: forgets a drift that has become too large.
    pub fn begin_wait(&mut self, wall: Duration, guest: GuestTime) {
        if self.guest_from_wall(wall).0.abs_diff(guest.0) > DRIFT_TICKS_MAX {
            *self = Self::new(wall, guest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_TICKS: u64 = 15_625_000;

    #[test]
    fn guest_time_follows_the_wall() {
        let pacer = Pacer::new(Duration::from_secs(5), GuestTime(100));
        assert_eq!(
            pacer.guest_from_wall(Duration::from_secs(7)),
            GuestTime(100 + 2 * SECOND_TICKS)
        );
        assert_eq!(pacer.guest_from_wall(Duration::ZERO), GuestTime(100));
        assert_eq!(
            pacer.wall_from_guest(GuestTime(100 + 2 * SECOND_TICKS)),
            Some(Duration::from_secs(7))
        );
        assert_eq!(pacer.wall_from_guest(GuestTime(u64::MAX)), None);
    }

    #[test]
    fn the_wall_time_of_a_deadline_is_not_before_it() {
        let pacer = Pacer::new(Duration::from_nanos(3), GuestTime(7));
        for ticks in [0, 1, 2, 1000, 12_345] {
            let deadline = GuestTime(7 + ticks);
            let wall = pacer.wall_from_guest(deadline).expect("near");
            assert!(pacer.guest_from_wall(wall) >= deadline);
        }
    }

    #[test]
    fn a_long_computation_is_forgotten_and_a_short_one_caught_up() {
        let mut pacer = Pacer::new(Duration::ZERO, GuestTime(0));
        pacer.begin_wait(Duration::from_millis(900), GuestTime(0));
        assert_eq!(pacer.wall_from_guest(GuestTime(0)), Some(Duration::ZERO));
        pacer.begin_wait(Duration::from_secs(60), GuestTime(10));
        assert_eq!(
            pacer.wall_from_guest(GuestTime(10)),
            Some(Duration::from_secs(60))
        );
    }
}
