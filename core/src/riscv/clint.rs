//! CLINT: software interrupts and timer compares, in the layout of the SiFive FU540 manual, 9.

use super::jitter::Jitter;
use crate::device::AccessSize;
use crate::state::{StateError, StateReader, StateWriter};
use crate::types::GuestTime;

const MSIP: u64 = 0;
const MTIMECMP: u64 = 0x4000;
const MTIME: u64 = 0xbff8;

/// A timer compare value, and how long its interrupt is put off beyond it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimerCompare {
    /// The compare value, in ticks.
    pub(crate) value: u64,
    /// Extra ticks, drawn when the value was written.
    pub(crate) jitter: u32,
}

impl TimerCompare {
    /// A compare that is never reached: its value at reset.
    pub(crate) const NEVER: Self = Self {
        value: u64::MAX,
        jitter: 0,
    };

    /// First time at which the interrupt is pending.
    pub(crate) fn due(self) -> u64 {
        self.value.saturating_add(u64::from(self.jitter))
    }

    pub(crate) fn save(self, to: &mut StateWriter) {
        to.u64(self.value);
        to.u32(self.jitter);
    }

    pub(crate) fn restore(from: &mut StateReader<'_>) -> Result<Self, StateError> {
        Ok(Self {
            value: from.u64()?,
            jitter: from.u32()?,
        })
    }
}

/// The CLINT of all harts.
#[derive(Clone, Debug)]
pub(crate) struct Clint {
    msip: Vec<bool>,
    mtimecmp: Vec<TimerCompare>,
}

impl Clint {
    pub(crate) fn new(cpu_count: u32) -> Self {
        Self {
            msip: vec![false; cpu_count as usize],
            mtimecmp: vec![TimerCompare::NEVER; cpu_count as usize],
        }
    }

    pub(crate) fn software_pending(&self, hart: u32) -> bool {
        self.msip[hart as usize]
    }

    pub(crate) fn timer(&self, hart: u32) -> TimerCompare {
        self.mtimecmp[hart as usize]
    }

    pub(crate) fn read(&self, offset: u64, size: AccessSize, time: GuestTime) -> u64 {
        let word = match offset {
            MSIP..MTIMECMP => u64::from(
                self.msip
                    .get((offset / 4) as usize)
                    .copied()
                    .unwrap_or(false),
            ),
            MTIME.. => time.0 >> (offset - MTIME).min(7).saturating_mul(8),
            _ => {
                let within = offset - MTIMECMP;
                let compare = self
                    .mtimecmp
                    .get((within / 8) as usize)
                    .map_or(0, |compare| compare.value);
                compare >> (within % 8 * 8)
            }
        };
        word & (u64::MAX >> (64 - size.bytes() * 8))
    }

    // DEVIATION: `mtime` ignores writes. Time is counted from steps; the sessions' rule for idle
    // jumps needs it to be monotonic.
    pub(crate) fn write(&mut self, offset: u64, size: AccessSize, value: u64, jitter: &mut Jitter) {
        match offset {
            MSIP..MTIMECMP => {
                if let Some(msip) = self.msip.get_mut((offset / 4) as usize) {
                    *msip = value & 1 != 0;
                }
            }
            MTIMECMP..MTIME => {
                let within = offset - MTIMECMP;
                if let Some(compare) = self.mtimecmp.get_mut((within / 8) as usize) {
                    let shift = within % 8 * 8;
                    let mask = (u64::MAX >> (64 - size.bytes() * 8)) << shift;
                    let value = compare.value & !mask | value << shift & mask;
                    *compare = TimerCompare {
                        value,
                        jitter: jitter.draw(),
                    };
                }
            }
            _ => {}
        }
    }

    pub(crate) fn save(&self, to: &mut StateWriter) {
        to.section(*b"CLNT", |to| {
            self.msip.iter().for_each(|msip| to.bool(*msip));
            self.mtimecmp.iter().for_each(|compare| compare.save(to));
        });
    }

    pub(crate) fn restore(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        let mut from = from.section(*b"CLNT")?;
        for msip in &mut self.msip {
            *msip = from.bool()?;
        }
        for compare in &mut self.mtimecmp {
            *compare = TimerCompare::restore(&mut from)?;
        }
        Ok(())
    }
}
