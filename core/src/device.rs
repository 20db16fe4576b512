//! What a device on the bus is.

use crate::image::ImageStall;
use crate::memory::GuestMemory;
use crate::output::Outputs;
use crate::state::{StateError, StateReader, StateWriter};
use crate::types::{GuestTime, Icount};

/// Width of a device access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum AccessSize {
    /// 1 byte.
    Byte = 1,
    /// 2 bytes.
    Half = 2,
    /// 4 bytes.
    Word = 4,
    /// 8 bytes.
    Double = 8,
}

impl AccessSize {
    /// Width in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self as u64
    }
}

/// What a device may touch while it serves an access or an input.
pub struct DeviceContext<'a> {
    /// Guest RAM.
    pub memory: &'a mut GuestMemory,
    /// Where output goes.
    pub outputs: &'a mut Outputs,
    /// Position of the step that causes the access.
    pub icount: Icount,
    /// Guest time at that step.
    pub time: GuestTime,
    /// Wall clock of the guest at guest time zero, in nanoseconds since 1970-01-01 UTC.
    pub clock_base_unix_nanoseconds: u64,
}

/// A memory-mapped device.
///
/// A step happens wholly or not at all: a device that returns an [`ImageStall`] has changed
/// nothing, and will see the same access again.
pub trait Device {
    /// The guest reads `size` bytes at `offset` from the device's base. Reads that no register
    /// answers give 0.
    ///
    /// # Errors
    /// [`ImageStall`] when bytes of an image are missing.
    fn read(
        &mut self,
        cx: &mut DeviceContext<'_>,
        offset: u64,
        size: AccessSize,
    ) -> Result<u64, ImageStall>;

    /// The guest writes the low `size` bytes of `value`. Writes that no register takes are ignored.
    ///
    /// # Errors
    /// [`ImageStall`] when bytes of an image are missing.
    fn write(
        &mut self,
        cx: &mut DeviceContext<'_>,
        offset: u64,
        size: AccessSize,
        value: u64,
    ) -> Result<(), ImageStall>;

    /// Level of the device's interrupt line.
    fn interrupt_level(&self) -> bool;

    /// Writes the device's whole state as one section.
    fn save(&self, to: &mut StateWriter);

    /// Takes over saved state.
    ///
    /// # Errors
    /// [`StateError`]; the device is then in an unspecified but usable state.
    fn restore(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError>;
}
