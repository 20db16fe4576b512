//! The power switch: SiFive's test finisher, which Linux drives as `syscon-poweroff` and
//! `syscon-reboot`.

use crate::device::{AccessSize, Device, DeviceContext};
use crate::image::ImageStall;
use crate::machine::HaltReason;
use crate::state::{StateError, StateReader, StateWriter};

/// Written to offset 0: switch off.
pub const FINISHER_POWER_OFF: u16 = 0x5555;
/// Written to offset 0: restart.
pub const FINISHER_REBOOT: u16 = 0x7777;
/// In the low half of what is written to offset 0: stop with the failure code in the high half.
pub const FINISHER_FAILURE: u16 = 0x3333;

/// The power switch.
#[derive(Clone, Debug, Default)]
pub struct Syscon {
    request: Option<HaltReason>,
}

impl Syscon {
    /// A switch that nobody has pressed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What the guest has asked for; its first request stands.
    #[must_use]
    pub fn request(&self) -> Option<HaltReason> {
        self.request
    }
}

impl Device for Syscon {
    fn read(
        &mut self,
        _cx: &mut DeviceContext<'_>,
        _offset: u64,
        _size: AccessSize,
    ) -> Result<u64, ImageStall> {
        Ok(0)
    }

    fn write(
        &mut self,
        _cx: &mut DeviceContext<'_>,
        offset: u64,
        size: AccessSize,
        value: u64,
    ) -> Result<(), ImageStall> {
        if offset != 0 || size == AccessSize::Byte {
            return Ok(());
        }
        let code = match size {
            AccessSize::Half => 0,
            _ => (value >> 16) as u16,
        };
        let request = match value as u16 {
            FINISHER_POWER_OFF => Some(HaltReason::PowerOff),
            FINISHER_REBOOT => Some(HaltReason::Reboot),
            FINISHER_FAILURE => Some(HaltReason::Failure(u32::from(code))),
            _ => None,
        };
        self.request = self.request.or(request);
        Ok(())
    }

    fn interrupt_level(&self) -> bool {
        false
    }

    fn save(&self, to: &mut StateWriter) {
        to.section(*b"SYSC", |to| match self.request {
            None => to.u8(0),
            Some(HaltReason::PowerOff) => to.u8(1),
            Some(HaltReason::Reboot) => to.u8(2),
            Some(HaltReason::Failure(code)) => {
                to.u8(3);
                to.u32(code);
            }
            Some(HaltReason::ToHost(_)) => unreachable!("the finisher has no such request"),
        });
    }

    fn restore(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        let mut from = from.section(*b"SYSC")?;
        self.request = match from.u8()? {
            0 => None,
            1 => Some(HaltReason::PowerOff),
            2 => Some(HaltReason::Reboot),
            3 => Some(HaltReason::Failure(from.u32()?)),
            _ => {
                return Err(StateError::BadValue {
                    field: "the power switch",
                });
            }
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::suite::{Bench, Case};

    #[test]
    fn requests_are_understood_and_the_first_stands() {
        let check = |size, value, expect| {
            let mut syscon = Syscon::new();
            Bench::new().write(&mut syscon, 0, size, value);
            assert_eq!(syscon.request(), expect);
            Bench::new().write(&mut syscon, 0, AccessSize::Word, 0x7777);
            assert_eq!(syscon.request(), expect.or(Some(HaltReason::Reboot)));
        };
        check(AccessSize::Word, 0x5555, Some(HaltReason::PowerOff));
        check(AccessSize::Half, 0x5555, Some(HaltReason::PowerOff));
        check(AccessSize::Word, 0x7777, Some(HaltReason::Reboot));
        check(AccessSize::Word, 0x002a_3333, Some(HaltReason::Failure(42)));
        check(AccessSize::Half, 0x002a_3333, Some(HaltReason::Failure(0)));
        check(AccessSize::Byte, 0x5555, None);
        check(AccessSize::Word, 0x1234, None);
    }

    #[test]
    fn passes_the_suite() {
        Case {
            make: Syscon::new,
            script: |syscon, bench| bench.write(syscon, 0, AccessSize::Word, 0x0007_3333),
            poke: |_, _, _| {},
            offsets: 4,
        }
        .check();
    }
}
