//! The ns16550a UART: registers a byte apart, no real bit times.
//!
//! A byte written leaves at once, so the transmitter is always empty. A byte received is there at
//! once, so the receiver's time-out interrupt, which on hardware waits for four idle characters,
//! stands as soon as the FIFO holds anything below its trigger level.
//! Source: National Semiconductor PC16550D data sheet, section 8.

use crate::device::{AccessSize, Device, DeviceContext};
use crate::event::ConsolePort;
use crate::image::ImageStall;
use crate::state::{StateError, StateReader, StateWriter};
use std::collections::VecDeque;

/// Bytes that the receiver's FIFO holds.
pub const RECEIVE_FIFO_BYTES: usize = 16;

/// Interrupt enable register.
mod ier {
    pub(super) const RECEIVED: u8 = 1 << 0;
    pub(super) const TRANSMITTER_EMPTY: u8 = 1 << 1;
    pub(super) const LINE_STATUS: u8 = 1 << 2;
    pub(super) const MODEM_STATUS: u8 = 1 << 3;
    pub(super) const ALL: u8 = 0x0f;
}

/// Interrupt identification register.
mod iir {
    pub(super) const MODEM_STATUS: u8 = 0x0;
    pub(super) const NONE: u8 = 0x1;
    pub(super) const TRANSMITTER_EMPTY: u8 = 0x2;
    pub(super) const RECEIVED: u8 = 0x4;
    pub(super) const LINE_STATUS: u8 = 0x6;
    pub(super) const TIME_OUT: u8 = 0xc;
    pub(super) const FIFOS_ENABLED: u8 = 0xc0;
}

/// FIFO control register.
mod fcr {
    pub(super) const ENABLE: u8 = 1 << 0;
    pub(super) const CLEAR_RECEIVER: u8 = 1 << 1;
    pub(super) const KEPT: u8 = 0xc9;
}

/// Line control register: the divisor latch access bit.
const LCR_DLAB: u8 = 1 << 7;

/// Modem control register.
mod mcr {
    pub(super) const DTR: u8 = 1 << 0;
    pub(super) const RTS: u8 = 1 << 1;
    pub(super) const OUT1: u8 = 1 << 2;
    pub(super) const OUT2: u8 = 1 << 3;
    pub(super) const LOOP: u8 = 1 << 4;
    pub(super) const ALL: u8 = 0x1f;
}

/// Line status register.
mod lsr {
    pub(super) const DATA_READY: u8 = 1 << 0;
    pub(super) const OVERRUN: u8 = 1 << 1;
    pub(super) const TRANSMITTER_HOLDING_EMPTY: u8 = 1 << 5;
    pub(super) const TRANSMITTER_EMPTY: u8 = 1 << 6;
}

/// Modem status register; bits 0 to 3 are the changes of 4 to 7 since the last read.
mod msr {
    pub(super) const RING_CHANGE: u8 = 1 << 2;
    pub(super) const CTS: u8 = 1 << 4;
    pub(super) const DSR: u8 = 1 << 5;
    pub(super) const RING: u8 = 1 << 6;
    pub(super) const CARRIER: u8 = 1 << 7;
    /// A terminal is always connected and ready.
    pub(super) const CONNECTED: u8 = CTS | DSR | CARRIER;
}

/// The ns16550a UART.
#[derive(Clone, Debug, Default)]
pub struct Uart {
    received: VecDeque<u8>,
    interrupt_enable: u8,
    fifo_control: u8,
    line_control: u8,
    modem_control: u8,
    modem_changes: u8,
    scratch: u8,
    divisor: u16,
    overrun: bool,
    /// The transmitter-empty interrupt, which reading IIR clears though the transmitter stays empty.
    transmitter_interrupt: bool,
}

impl Uart {
    /// A UART after reset.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes of input it takes now.
    #[must_use]
    pub fn input_room(&self) -> usize {
        // In loopback the serial input is disconnected.
        if self.is_looped() {
            return 0;
        }
        self.receive_capacity() - self.received.len()
    }

    /// Receives bytes, as many as there is room for, and returns how many.
    pub fn push_input(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.input_room());
        self.received.extend(&bytes[..taken]);
        taken
    }

    fn receive_capacity(&self) -> usize {
        if self.has_fifos() {
            RECEIVE_FIFO_BYTES
        } else {
            1
        }
    }

    fn has_fifos(&self) -> bool {
        self.fifo_control & fcr::ENABLE != 0
    }

    fn is_looped(&self) -> bool {
        self.modem_control & mcr::LOOP != 0
    }

    fn selects_divisor(&self) -> bool {
        self.line_control & LCR_DLAB != 0
    }

    /// Bytes in the FIFO from which on the interrupt is "data available", not "time-out".
    fn trigger_level(&self) -> usize {
        if !self.has_fifos() {
            return 1;
        }
        match self.fifo_control >> 6 {
            0 => 1,
            1 => 4,
            2 => 8,
            _ => 14,
        }
    }

    fn modem_status(&self) -> u8 {
        if !self.is_looped() {
            return msr::CONNECTED;
        }
        let bit = |control, status| {
            if self.modem_control & control != 0 {
                status
            } else {
                0
            }
        };
        bit(mcr::RTS, msr::CTS)
            | bit(mcr::DTR, msr::DSR)
            | bit(mcr::OUT1, msr::RING)
            | bit(mcr::OUT2, msr::CARRIER)
    }

    /// The standing interrupt of highest priority, as IIR names it.
    fn interrupt_identity(&self) -> u8 {
        let enabled = |bit| self.interrupt_enable & bit != 0;
        if enabled(ier::LINE_STATUS) && self.overrun {
            iir::LINE_STATUS
        } else if enabled(ier::RECEIVED) && self.received.len() >= self.trigger_level() {
            iir::RECEIVED
        } else if enabled(ier::RECEIVED) && !self.received.is_empty() {
            iir::TIME_OUT
        } else if enabled(ier::TRANSMITTER_EMPTY) && self.transmitter_interrupt {
            iir::TRANSMITTER_EMPTY
        } else if enabled(ier::MODEM_STATUS) && self.modem_changes != 0 {
            iir::MODEM_STATUS
        } else {
            iir::NONE
        }
    }

    fn read_register(&mut self, register: u64) -> u8 {
        match register {
            0 if self.selects_divisor() => self.divisor as u8,
            0 => self.received.pop_front().unwrap_or(0),
            1 if self.selects_divisor() => (self.divisor >> 8) as u8,
            1 => self.interrupt_enable,
            2 => {
                let identity = self.interrupt_identity();
                if identity == iir::TRANSMITTER_EMPTY {
                    self.transmitter_interrupt = false;
                }
                if self.has_fifos() {
                    identity | iir::FIFOS_ENABLED
                } else {
                    identity
                }
            }
            3 => self.line_control,
            4 => self.modem_control,
            5 => {
                let mut status = lsr::TRANSMITTER_HOLDING_EMPTY | lsr::TRANSMITTER_EMPTY;
                if !self.received.is_empty() {
                    status |= lsr::DATA_READY;
                }
                if std::mem::take(&mut self.overrun) {
                    status |= lsr::OVERRUN;
                }
                status
            }
            6 => self.modem_status() | std::mem::take(&mut self.modem_changes),
            7 => self.scratch,
            _ => 0,
        }
    }

    fn write_register(&mut self, cx: &mut DeviceContext<'_>, register: u64, value: u8) {
        match register {
            0 if self.selects_divisor() => {
                self.divisor = self.divisor & 0xff00 | u16::from(value);
            }
            0 => self.transmit(cx, value),
            1 if self.selects_divisor() => {
                self.divisor = self.divisor & 0x00ff | u16::from(value) << 8;
            }
            1 => {
                let enabled = value & ier::ALL;
                // Enabling the interrupt while the transmitter is empty raises it; Linux probes
                // for that.
                if enabled & !self.interrupt_enable & ier::TRANSMITTER_EMPTY != 0 {
                    self.transmitter_interrupt = true;
                }
                self.interrupt_enable = enabled;
            }
            2 => {
                let changes_mode = (value ^ self.fifo_control) & fcr::ENABLE != 0;
                if changes_mode || value & fcr::CLEAR_RECEIVER != 0 {
                    self.received.clear();
                }
                // The other bits count only while the FIFOs are enabled.
                self.fifo_control = if value & fcr::ENABLE != 0 {
                    value & fcr::KEPT
                } else {
                    0
                };
            }
            3 => self.line_control = value,
            4 => {
                let before = self.modem_status();
                self.modem_control = value & mcr::ALL;
                let after = self.modem_status();
                // The ring indicator counts as changed only when it goes from on to off.
                let ring_change = if before & !after & msr::RING != 0 {
                    msr::RING_CHANGE
                } else {
                    0
                };
                self.modem_changes |= ((before ^ after) >> 4) & !msr::RING_CHANGE | ring_change;
            }
            7 => self.scratch = value,
            // LSR and MSR are read-only here: writing them is for factory tests.
            _ => {}
        }
    }

    fn transmit(&mut self, cx: &mut DeviceContext<'_>, byte: u8) {
        // Full and at once empty again: the interrupt goes down and up within the store.
        self.transmitter_interrupt = true;
        if !self.is_looped() {
            cx.outputs.console(cx.icount, ConsolePort::Uart, &[byte]);
        } else if self.received.len() < self.receive_capacity() {
            self.received.push_back(byte);
        } else {
            self.overrun = true;
        }
    }
}

impl Device for Uart {
    fn read(
        &mut self,
        _cx: &mut DeviceContext<'_>,
        offset: u64,
        _size: AccessSize,
    ) -> Result<u64, ImageStall> {
        Ok(u64::from(self.read_register(offset)))
    }

    fn write(
        &mut self,
        cx: &mut DeviceContext<'_>,
        offset: u64,
        _size: AccessSize,
        value: u64,
    ) -> Result<(), ImageStall> {
        self.write_register(cx, offset, value as u8);
        Ok(())
    }

    fn interrupt_level(&self) -> bool {
        self.interrupt_identity() != iir::NONE
    }

    fn save(&self, to: &mut StateWriter) {
        to.section(*b"UART", |to| {
            to.u8(self.received.len() as u8);
            self.received.iter().for_each(|byte| to.u8(*byte));
            to.u8(self.interrupt_enable);
            to.u8(self.fifo_control);
            to.u8(self.line_control);
            to.u8(self.modem_control);
            to.u8(self.modem_changes);
            to.u8(self.scratch);
            to.u16(self.divisor);
            to.bool(self.overrun);
            to.bool(self.transmitter_interrupt);
        });
    }

    fn restore(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        let mut from = from.section(*b"UART")?;
        let masked = |from: &mut StateReader<'_>, mask: u8, field| match from.u8()? {
            value if value & !mask == 0 => Ok(value),
            _ => Err(StateError::BadValue { field }),
        };
        let received_count = usize::from(from.u8()?);
        if received_count > RECEIVE_FIFO_BYTES {
            return Err(StateError::BadValue {
                field: "the UART's receiver",
            });
        }
        let received = (0..received_count)
            .map(|_| from.u8())
            .collect::<Result<_, _>>()?;
        let restored = Self {
            received,
            interrupt_enable: masked(&mut from, ier::ALL, "the UART's IER")?,
            fifo_control: masked(&mut from, fcr::KEPT, "the UART's FCR")?,
            line_control: from.u8()?,
            modem_control: masked(&mut from, mcr::ALL, "the UART's MCR")?,
            modem_changes: masked(&mut from, 0x0f, "the UART's MSR")?,
            scratch: from.u8()?,
            divisor: from.u16()?,
            overrun: from.bool()?,
            transmitter_interrupt: from.bool()?,
        };
        if restored.received.len() > restored.receive_capacity() {
            return Err(StateError::BadValue {
                field: "the UART's receiver",
            });
        }
        *self = restored;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
