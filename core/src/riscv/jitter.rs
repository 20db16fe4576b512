//! The jitter stream: seeded delays of timer interrupts, so that different seeds explore
//! different schedules.

use crate::state::{StateError, StateReader, StateWriter};

/// A SplitMix64 stream of delays.
#[derive(Clone, Debug)]
pub(crate) struct Jitter {
    state: u64,
    ticks_max: u32,
}

impl Jitter {
    /// A stream that depends on all bytes of the seed.
    pub(crate) fn new(seed: &[u8; 32], ticks_max: u32) -> Self {
        Self {
            state: xxhash_rust::xxh3::xxh3_64_with_seed(seed, 0x6a69_7474_6572),
            ticks_max,
        }
    }

    /// The next delay, 0 to the maximum, in ticks. Draws nothing when jitter is off.
    pub(crate) fn draw(&mut self) -> u32 {
        if self.ticks_max == 0 {
            return 0;
        }
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed % (u64::from(self.ticks_max) + 1)) as u32
    }

    pub(crate) fn save(&self, to: &mut StateWriter) {
        to.u64(self.state);
    }

    pub(crate) fn restore(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.state = from.u64()?;
        Ok(())
    }
}
