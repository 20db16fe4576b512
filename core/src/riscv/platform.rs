//! The platform: memory map, interrupt wiring, time, and what stands on the bus.
//!
//! The map follows QEMU's `virt` machine, for which guests are already built.

use super::clint::Clint;
use super::jitter::Jitter;
use super::plic::Plic;
use crate::debug::Debugger;
use crate::device::{AccessSize, Device, DeviceContext};
use crate::devices::rtc::Rtc;
use crate::devices::syscon::Syscon;
use crate::devices::uart::Uart;
use crate::devices::virtio::slot::VirtioSlot;
use crate::image::ImageStall;
use crate::machine::HaltReason;
use crate::memory::GuestMemory;
use crate::output::Outputs;
use crate::types::{GuestPhysAddr, GuestTime, Icount, IrqSource};

/// First physical address of RAM.
pub const RAM_BASE: u64 = 0x8000_0000;
pub(crate) const SYSCON_BASE: u64 = 0x10_0000;
pub(crate) const RTC_BASE: u64 = 0x10_1000;
pub(crate) const CLINT_BASE: u64 = 0x200_0000;
pub(crate) const CLINT_BYTES: u64 = 0x1_0000;
pub(crate) const PLIC_BASE: u64 = 0xc00_0000;
pub(crate) const PLIC_BYTES: u64 = 0x60_0000;
pub(crate) const UART_BASE: u64 = 0x1000_0000;
pub(crate) const UART_BYTES: u64 = 0x100;
pub(crate) const VIRTIO_BASE: u64 = 0x1000_1000;
pub(crate) const VIRTIO_STRIDE: u64 = 0x1000;
/// Slots for virtio devices.
pub const VIRTIO_SLOTS: usize = 8;
const SMALL_DEVICE_BYTES: u64 = 0x1000;

pub(crate) const UART_IRQ: IrqSource = IrqSource(10);
pub(crate) const RTC_IRQ: IrqSource = IrqSource(11);

/// Interrupt line of a virtio slot.
pub(crate) const fn virtio_irq(slot: usize) -> IrqSource {
    IrqSource(slot as u32 + 1)
}

/// Why a device access did not happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MmioError {
    /// Nothing answers there.
    Nothing,
    /// Bytes of an image are missing; nothing has changed.
    Stall(ImageStall),
}

impl From<ImageStall> for MmioError {
    fn from(stall: ImageStall) -> Self {
        Self::Stall(stall)
    }
}

/// Everything around the harts.
pub(crate) struct Platform {
    pub(crate) memory: GuestMemory,
    pub(crate) outputs: Outputs,
    pub(crate) clint: Clint,
    pub(crate) plic: Plic,
    pub(crate) uart: Uart,
    pub(crate) rtc: Rtc,
    pub(crate) syscon: Syscon,
    pub(crate) virtio: Vec<VirtioSlot>,
    pub(crate) jitter: Jitter,
    /// Ticks that idle jumps have added to the time counted from steps.
    pub(crate) skipped: u64,
    pub(crate) time_shift: u8,
    pub(crate) clock_base_unix_nanoseconds: u64,
    pub(crate) halted: Option<HaltReason>,
    pub(crate) tohost: Option<super::htif::Htif>,
    /// Whether the built-in SBI answers calls from S-mode.
    pub(crate) has_sbi: bool,
    /// What a debugger asks for. Not state.
    pub(crate) debugger: Option<Box<Debugger>>,
}

/// A device context over the platform's fields, with `$device` borrowed apart.
macro_rules! context {
    ($platform:expr, $icount:expr) => {
        DeviceContext {
            memory: &mut $platform.memory,
            outputs: &mut $platform.outputs,
            icount: $icount,
            time: GuestTime(($icount.0 >> $platform.time_shift).wrapping_add($platform.skipped)),
            clock_base_unix_nanoseconds: $platform.clock_base_unix_nanoseconds,
        }
    };
}
pub(crate) use context;

impl Platform {
    /// Guest time at a position.
    pub(crate) fn time_at(&self, icount: u64) -> u64 {
        (icount >> self.time_shift).wrapping_add(self.skipped)
    }

    /// First position at which the time is at least `time`, if it is still to come.
    pub(crate) fn icount_of(&self, time: u64) -> Option<u64> {
        let ticks = time.checked_sub(self.skipped)?;
        (ticks <= u64::MAX >> self.time_shift).then(|| ticks << self.time_shift)
    }

    pub(crate) fn read(
        &mut self,
        icount: Icount,
        address: u64,
        size: AccessSize,
    ) -> Result<u64, MmioError> {
        let mut cx = context!(self, icount);
        let value = match address {
            SYSCON_BASE..RTC_BASE => self.syscon.read(&mut cx, address - SYSCON_BASE, size)?,
            RTC_BASE..0x10_2000 => self.rtc.read(&mut cx, address - RTC_BASE, size)?,
            CLINT_BASE..0x201_0000 => self.clint.read(address - CLINT_BASE, size, cx.time),
            PLIC_BASE..0xc60_0000 => self.plic.read(address - PLIC_BASE, size),
            UART_BASE..0x1000_0100 => self.uart.read(&mut cx, address - UART_BASE, size)?,
            VIRTIO_BASE..0x1000_9000 => {
                let slot = ((address - VIRTIO_BASE) / VIRTIO_STRIDE) as usize;
                self.virtio[slot].read(&mut cx, address % VIRTIO_STRIDE, size)?
            }
            _ => return Err(MmioError::Nothing),
        };
        self.update_lines();
        Ok(value)
    }

    pub(crate) fn write(
        &mut self,
        icount: Icount,
        address: u64,
        size: AccessSize,
        value: u64,
    ) -> Result<(), MmioError> {
        let mut cx = context!(self, icount);
        match address {
            SYSCON_BASE..RTC_BASE => {
                self.syscon
                    .write(&mut cx, address - SYSCON_BASE, size, value)?
            }
            RTC_BASE..0x10_2000 => self.rtc.write(&mut cx, address - RTC_BASE, size, value)?,
            CLINT_BASE..0x201_0000 => {
                self.clint
                    .write(address - CLINT_BASE, size, value, &mut self.jitter)
            }
            PLIC_BASE..0xc60_0000 => self.plic.write(address - PLIC_BASE, size, value),
            UART_BASE..0x1000_0100 => self.uart.write(&mut cx, address - UART_BASE, size, value)?,
            VIRTIO_BASE..0x1000_9000 => {
                let slot = ((address - VIRTIO_BASE) / VIRTIO_STRIDE) as usize;
                self.virtio[slot].write(&mut cx, address % VIRTIO_STRIDE, size, value)?;
            }
            _ => return Err(MmioError::Nothing),
        }
        if let Some(reason) = self.syscon.request() {
            self.halted.get_or_insert(reason);
        }
        self.update_lines();
        Ok(())
    }

    /// Carries the devices' interrupt levels to the PLIC.
    pub(crate) fn update_lines(&mut self) {
        let mut levels = 0;
        let mut set = |source: IrqSource, level: bool| levels |= u64::from(level) << source.0;
        set(UART_IRQ, self.uart.interrupt_level());
        set(RTC_IRQ, self.rtc.interrupt_level());
        for (number, slot) in self.virtio.iter().enumerate() {
            set(virtio_irq(number), slot.interrupt_level());
        }
        self.plic.set_levels(levels);
    }

    /// Lets devices whose time has come act. Called before the step at `icount`.
    pub(crate) fn tick(&mut self, icount: u64) {
        let time = GuestTime(self.time_at(icount));
        if self
            .rtc
            .next_deadline()
            .is_some_and(|deadline| deadline <= time)
        {
            self.rtc.tick(time);
            self.update_lines();
        }
    }

    /// The next time after `now` at which a device of the platform acts by itself.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.rtc.next_deadline().map(|deadline| deadline.0)
    }

    /// Whether a breakpoint that has not been passed stands at `pc`.
    pub(crate) fn stops_at(&self, pc: u64, icount: u64) -> bool {
        (self.debugger.as_ref()).is_some_and(|debugger| debugger.stops_at(pc, icount))
    }

    /// Whether the run must look up: something was written that code, translations or devices were derived from, or
    /// watched memory was accessed.
    pub(crate) fn must_look_up(&self) -> bool {
        self.memory.has_disturbances()
            || (self.debugger.as_ref()).is_some_and(|debugger| debugger.has_accesses())
    }

    /// Length of RAM from an address on, 0 outside.
    pub(crate) fn is_ram(&self, address: u64, length: u64) -> bool {
        self.memory
            .offset_of(GuestPhysAddr(address), length)
            .is_some()
    }
}

const _: () = {
    assert!(RTC_BASE - SYSCON_BASE == SMALL_DEVICE_BYTES);
    assert!(CLINT_BASE + CLINT_BYTES == 0x201_0000);
    assert!(PLIC_BASE + PLIC_BYTES == 0xc60_0000);
    assert!(UART_BASE + UART_BYTES == 0x1000_0100);
    assert!(VIRTIO_BASE + VIRTIO_STRIDE * VIRTIO_SLOTS as u64 == 0x1000_9000);
};
