//! The goldfish real-time clock: nanoseconds since 1970 in two registers, and one alarm.
//!
//! Source: the Android emulator's goldfish RTC as the Linux driver `rtc-goldfish` uses it.

use crate::device::{AccessSize, Device, DeviceContext};
use crate::image::ImageStall;
use crate::state::{StateError, StateReader, StateWriter};
use crate::types::{GuestTime, NANOSECONDS_PER_TICK};

/// Register offsets.
mod register {
    pub(super) const TIME_LOW: u64 = 0x00;
    pub(super) const TIME_HIGH: u64 = 0x04;
    pub(super) const ALARM_LOW: u64 = 0x08;
    pub(super) const ALARM_HIGH: u64 = 0x0c;
    pub(super) const IRQ_ENABLED: u64 = 0x10;
    pub(super) const CLEAR_ALARM: u64 = 0x14;
    pub(super) const ALARM_STATUS: u64 = 0x18;
    pub(super) const CLEAR_INTERRUPT: u64 = 0x1c;
}

/// The goldfish RTC.
///
/// An armed alarm keeps its deadline in guest time when the start event moves the clock's base:
/// nothing in a guest that waits for its start sets alarms by the wall clock.
#[derive(Clone, Debug, Default)]
pub struct Rtc {
    /// Nanoseconds, wrapping, that the guest has set the clock ahead of its base.
    adjustment: u64,
    /// High half of the time, latched when the low half is read.
    time_high: u32,
    alarm_nanoseconds: u64,
    /// The tick at which the armed alarm goes off.
    deadline: Option<GuestTime>,
    interrupt_enabled: bool,
    interrupt_pending: bool,
}

impl Rtc {
    /// A clock after reset.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// When [`Rtc::tick`] must be called next, if an alarm is armed.
    #[must_use]
    pub fn next_deadline(&self) -> Option<GuestTime> {
        self.deadline
    }

    /// Lets an alarm that is due at `time` go off.
    pub fn tick(&mut self, time: GuestTime) {
        if self.deadline.is_some_and(|deadline| deadline <= time) {
            self.deadline = None;
            self.interrupt_pending = true;
        }
    }

    /// The guest's wall clock in nanoseconds since 1970.
    fn now(&self, cx: &DeviceContext<'_>) -> u64 {
        cx.clock_base_unix_nanoseconds
            .wrapping_add(cx.time.0.wrapping_mul(NANOSECONDS_PER_TICK))
            .wrapping_add(self.adjustment)
    }

    fn set_time(&mut self, cx: &DeviceContext<'_>, nanoseconds: u64) {
        let unadjusted = self.now(cx).wrapping_sub(self.adjustment);
        self.adjustment = nanoseconds.wrapping_sub(unadjusted);
        if self.deadline.is_some() {
            self.arm(cx);
        }
    }

    /// Arms the alarm; one that lies in the past goes off at once.
    fn arm(&mut self, cx: &DeviceContext<'_>) {
        let wait = self.alarm_nanoseconds.saturating_sub(self.now(cx));
        let ticks = wait.div_ceil(NANOSECONDS_PER_TICK);
        self.deadline = Some(GuestTime(cx.time.0.saturating_add(ticks)));
        self.tick(cx.time);
    }
}

fn with_low(value: u64, low: u32) -> u64 {
    value & !0xffff_ffff | u64::from(low)
}

fn with_high(value: u64, high: u32) -> u64 {
    value & 0xffff_ffff | u64::from(high) << 32
}

impl Device for Rtc {
    fn read(
        &mut self,
        cx: &mut DeviceContext<'_>,
        offset: u64,
        size: AccessSize,
    ) -> Result<u64, ImageStall> {
        if size != AccessSize::Word {
            return Ok(0);
        }
        Ok(match offset {
            register::TIME_LOW => {
                let now = self.now(cx);
                self.time_high = (now >> 32) as u32;
                now & 0xffff_ffff
            }
            register::TIME_HIGH => u64::from(self.time_high),
            register::ALARM_LOW => self.alarm_nanoseconds & 0xffff_ffff,
            register::ALARM_HIGH => self.alarm_nanoseconds >> 32,
            register::IRQ_ENABLED => u64::from(self.interrupt_enabled),
            register::ALARM_STATUS => u64::from(self.deadline.is_some()),
            _ => 0,
        })
    }

    fn write(
        &mut self,
        cx: &mut DeviceContext<'_>,
        offset: u64,
        size: AccessSize,
        value: u64,
    ) -> Result<(), ImageStall> {
        if size != AccessSize::Word {
            return Ok(());
        }
        let value = value as u32;
        match offset {
            register::TIME_LOW => {
                let now = self.now(cx);
                self.set_time(cx, with_low(now, value));
            }
            register::TIME_HIGH => {
                let now = self.now(cx);
                self.set_time(cx, with_high(now, value));
            }
            register::ALARM_LOW => {
                // The driver writes the high half first; the low half arms.
                self.alarm_nanoseconds = with_low(self.alarm_nanoseconds, value);
                self.arm(cx);
            }
            register::ALARM_HIGH => {
                self.alarm_nanoseconds = with_high(self.alarm_nanoseconds, value);
            }
            register::IRQ_ENABLED => self.interrupt_enabled = value & 1 != 0,
            register::CLEAR_ALARM => self.deadline = None,
            register::CLEAR_INTERRUPT => self.interrupt_pending = false,
            _ => {}
        }
        Ok(())
    }

    fn interrupt_level(&self) -> bool {
        self.interrupt_enabled && self.interrupt_pending
    }

    fn save(&self, to: &mut StateWriter) {
        to.section(*b"RTCG", |to| {
            to.u64(self.adjustment);
            to.u32(self.time_high);
            to.u64(self.alarm_nanoseconds);
            to.option(self.deadline, |to, deadline| to.u64(deadline.0));
            to.bool(self.interrupt_enabled);
            to.bool(self.interrupt_pending);
        });
    }

    fn restore(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        let mut from = from.section(*b"RTCG")?;
        *self = Self {
            adjustment: from.u64()?,
            time_high: from.u32()?,
            alarm_nanoseconds: from.u64()?,
            deadline: from.option(|from| Ok(GuestTime(from.u64()?)))?,
            interrupt_enabled: from.bool()?,
            interrupt_pending: from.bool()?,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::suite::{Bench, Case};

    const BASE: u64 = 1_700_000_000_000_000_000;

    fn time(rtc: &mut Rtc, bench: &mut Bench) -> u64 {
        let low = bench.read(rtc, register::TIME_LOW, AccessSize::Word);
        low | bench.read(rtc, register::TIME_HIGH, AccessSize::Word) << 32
    }

    fn set_alarm(rtc: &mut Rtc, bench: &mut Bench, at: u64) {
        bench.write(rtc, register::ALARM_HIGH, AccessSize::Word, at >> 32);
        bench.write(rtc, register::ALARM_LOW, AccessSize::Word, at & 0xffff_ffff);
        bench.write(rtc, register::IRQ_ENABLED, AccessSize::Word, 1);
    }

    #[test]
    fn time_is_base_plus_guest_time() {
        let (mut rtc, mut bench) = (Rtc::new(), Bench::new());
        bench.clock_base_unix_nanoseconds = BASE;
        assert_eq!(time(&mut rtc, &mut bench), BASE);
        bench.time = GuestTime(15_625_000);
        assert_eq!(time(&mut rtc, &mut bench), BASE + 1_000_000_000);
    }

    #[test]
    fn a_set_clock_goes_on_from_there() {
        let (mut rtc, mut bench) = (Rtc::new(), Bench::new());
        bench.clock_base_unix_nanoseconds = BASE;
        let wanted = 12_345_678_901_234_u64;
        bench.write(
            &mut rtc,
            register::TIME_HIGH,
            AccessSize::Word,
            wanted >> 32,
        );
        bench.write(
            &mut rtc,
            register::TIME_LOW,
            AccessSize::Word,
            wanted & 0xffff_ffff,
        );
        bench.time = GuestTime(10);
        assert_eq!(time(&mut rtc, &mut bench), wanted + 640);
    }

    #[test]
    fn an_alarm_goes_off_at_the_first_tick_that_reaches_it() {
        let (mut rtc, mut bench) = (Rtc::new(), Bench::new());
        bench.clock_base_unix_nanoseconds = BASE;
        set_alarm(&mut rtc, &mut bench, BASE + 6401);
        assert_eq!(rtc.next_deadline(), Some(GuestTime(101)));
        assert_eq!(
            bench.read(&mut rtc, register::ALARM_STATUS, AccessSize::Word),
            1
        );
        rtc.tick(GuestTime(100));
        assert!(!rtc.interrupt_level());
        rtc.tick(GuestTime(101));
        assert!(rtc.interrupt_level());
        assert_eq!(rtc.next_deadline(), None);
        bench.write(&mut rtc, register::CLEAR_INTERRUPT, AccessSize::Word, 1);
        assert!(!rtc.interrupt_level());
    }

    #[test]
    fn an_alarm_in_the_past_goes_off_at_once_and_a_cleared_one_never() {
        let (mut rtc, mut bench) = (Rtc::new(), Bench::new());
        bench.clock_base_unix_nanoseconds = BASE;
        set_alarm(&mut rtc, &mut bench, BASE - 1);
        assert!(rtc.interrupt_level());
        let mut rtc = Rtc::new();
        set_alarm(&mut rtc, &mut bench, BASE + 1_000_000);
        bench.write(&mut rtc, register::CLEAR_ALARM, AccessSize::Word, 1);
        assert_eq!(rtc.next_deadline(), None);
        rtc.tick(GuestTime(u64::MAX));
        assert!(!rtc.interrupt_level());
    }

    #[test]
    fn setting_the_clock_moves_an_armed_alarm() {
        let (mut rtc, mut bench) = (Rtc::new(), Bench::new());
        bench.clock_base_unix_nanoseconds = BASE;
        set_alarm(&mut rtc, &mut bench, BASE + 64_000);
        assert_eq!(rtc.next_deadline(), Some(GuestTime(1000)));
        let ahead = BASE + 32_000;
        assert_eq!(ahead >> 32, BASE >> 32);
        bench.write(
            &mut rtc,
            register::TIME_LOW,
            AccessSize::Word,
            ahead & 0xffff_ffff,
        );
        assert_eq!(rtc.next_deadline(), Some(GuestTime(500)));
    }

    #[test]
    fn passes_the_suite() {
        Case {
            make: Rtc::new,
            script: |rtc, bench| set_alarm(rtc, bench, 1_000_000),
            poke: |rtc, bench, _| rtc.tick(bench.time),
            offsets: 0x24,
        }
        .check();
    }
}
