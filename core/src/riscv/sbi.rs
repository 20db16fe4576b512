//! The built-in firmware: SBI 2.0 for S-mode.
//!
//! An environment call from S-mode is answered within one step, as a trap that returns at once.

use super::clint::TimerCompare;
use super::hart::Hart;
use super::platform::Platform;
use super::trap::irq;
use crate::event::ConsolePort;
use crate::machine::HaltReason;
use crate::types::{GuestPhysAddr, Icount};

const SUCCESS: i64 = 0;
const NOT_SUPPORTED: i64 = -2;
const INVALID_PARAMETER: i64 = -3;
const ALREADY_AVAILABLE: i64 = -6;

/// Extension ids, SBI 2.0, by chapter.
mod extension {
    pub(super) const SET_TIMER: u64 = 0;
    pub(super) const CONSOLE_PUTCHAR: u64 = 1;
    pub(super) const CONSOLE_GETCHAR: u64 = 2;
    pub(super) const CLEAR_IPI: u64 = 3;
    pub(super) const SEND_IPI: u64 = 4;
    pub(super) const REMOTE_FENCE_FIRST: u64 = 5;
    pub(super) const REMOTE_FENCE_LAST: u64 = 7;
    pub(super) const SHUTDOWN: u64 = 8;
    pub(super) const BASE: u64 = 0x10;
    pub(super) const TIME: u64 = 0x5449_4d45;
    pub(super) const IPI: u64 = 0x73_5049;
    pub(super) const RFENCE: u64 = 0x5246_4e43;
    pub(super) const HSM: u64 = 0x48_534d;
    pub(super) const SRST: u64 = 0x5352_5354;
    pub(super) const DBCN: u64 = 0x4442_434e;
}

/// Version 2.0.
const SPECIFICATION: i64 = 2 << 24;
/// Implementation id: none is registered for us; this is outside the range of registered ones.
const IMPLEMENTATION: i64 = 0x5265_7072;
/// A console write of more bytes than this is cut, as the specification allows.
const CONSOLE_BYTES_MAX: u64 = 64 * 1024;

/// Answers the call in `a7`, `a6` and `a0` to `a5`. Counts as one step that retires nothing.
pub(crate) fn call(hart: &mut Hart, p: &mut Platform, icount: u64) {
    hart.steps_not_retired += 1;
    hart.area.pc = hart.area.pc.wrapping_add(4);
    let [a0, a1] = [hart.area.x[10], hart.area.x[11]];
    let (function, extension) = (hart.area.x[16], hart.area.x[17]);
    if let Some(value) = legacy(hart, p, icount, extension) {
        hart.area.x[10] = value as u64;
        return;
    }
    let (error, value) = match extension {
        extension::BASE => base(function, a0),
        extension::TIME if function == 0 => {
            set_timer(hart, p, a0);
            (SUCCESS, 0)
        }
        extension::IPI if function == 0 => (send_ipi(hart, a0, a1), 0),
        // Translation needs no fences here, and there is no other hart.
        extension::RFENCE if function < 3 => match mask_hits(hart.id, a0, a1) {
            Some(_) => (SUCCESS, 0),
            None => (INVALID_PARAMETER, 0),
        },
        extension::HSM => hsm(hart, function, a0),
        extension::SRST if function == 0 => (system_reset(p, a0, a1), 0),
        extension::DBCN => console(hart, p, icount, function),
        _ => (NOT_SUPPORTED, 0),
    };
    hart.area.x[10] = error as u64;
    hart.area.x[11] = value as u64;
}

/// The legacy extensions return one value and have no function id.
fn legacy(hart: &mut Hart, p: &mut Platform, icount: u64, extension: u64) -> Option<i64> {
    let argument = hart.area.x[10];
    match extension {
        extension::SET_TIMER => set_timer(hart, p, argument),
        extension::CONSOLE_PUTCHAR => {
            p.outputs
                .console(Icount(icount), ConsolePort::Uart, &[argument as u8]);
        }
        extension::CONSOLE_GETCHAR => return Some(-1),
        extension::CLEAR_IPI => hart.csr.mip_software &= !irq::SSI,
        extension::SEND_IPI => hart.csr.mip_software |= irq::SSI,
        extension::REMOTE_FENCE_FIRST..=extension::REMOTE_FENCE_LAST => {}
        extension::SHUTDOWN => {
            p.halted.get_or_insert(HaltReason::PowerOff);
        }
        _ => return None,
    }
    Some(SUCCESS)
}

fn base(function: u64, argument: u64) -> (i64, i64) {
    match function {
        0 => (SUCCESS, SPECIFICATION),
        1 => (SUCCESS, IMPLEMENTATION),
        2 => (SUCCESS, crate::machine::MACHINE_VERSION.into()),
        3 => {
            let known = matches!(
                argument,
                0..=8
                    | extension::BASE
                    | extension::TIME
                    | extension::IPI
                    | extension::RFENCE
                    | extension::HSM
                    | extension::SRST
                    | extension::DBCN
            );
            (SUCCESS, known.into())
        }
        // mvendorid, marchid, mimpid
        4..=6 => (SUCCESS, 0),
        _ => (NOT_SUPPORTED, 0),
    }
}

fn set_timer(hart: &mut Hart, p: &mut Platform, value: u64) {
    let jitter = p.jitter.draw();
    hart.csr.stimecmp = TimerCompare { value, jitter };
}

/// Whether a hart mask names this hart; `None` when it names one that does not exist.
fn mask_hits(hart: u32, mask: u64, base: u64) -> Option<bool> {
    if base == u64::MAX {
        return Some(true);
    }
    let others = if base == 0 { mask & !(1 << hart) } else { mask };
    (others == 0).then_some(base == 0 && mask >> hart & 1 != 0)
}

fn send_ipi(hart: &mut Hart, mask: u64, base: u64) -> i64 {
    match mask_hits(hart.id, mask, base) {
        Some(hit) => {
            if hit {
                hart.csr.mip_software |= irq::SSI;
            }
            SUCCESS
        }
        None => INVALID_PARAMETER,
    }
}

fn hsm(hart: &mut Hart, function: u64, target: u64) -> (i64, i64) {
    let exists = target == u64::from(hart.id);
    match function {
        0 if exists => (ALREADY_AVAILABLE, 0),
        // The state of the calling hart is always "started".
        2 if exists => (SUCCESS, 0),
        0 | 2 => (INVALID_PARAMETER, 0),
        1 => {
            // The last hart stops: it waits for ever, with nothing enabled that could wake it.
            hart.csr.mie = 0;
            hart.parked = true;
            (SUCCESS, 0)
        }
        // Default retentive suspend behaves as WFI.
        3 if target as u32 == 0 => {
            hart.parked = true;
            (SUCCESS, 0)
        }
        3 => (INVALID_PARAMETER, 0),
        _ => (NOT_SUPPORTED, 0),
    }
}

fn system_reset(p: &mut Platform, kind: u64, reason: u64) -> i64 {
    let halt = match (kind as u32, reason as u32) {
        (0, 0) => HaltReason::PowerOff,
        (0, reason) => HaltReason::Failure(reason),
        (1 | 2, _) => HaltReason::Reboot,
        _ => return INVALID_PARAMETER,
    };
    p.halted.get_or_insert(halt);
    SUCCESS
}

fn console(hart: &Hart, p: &mut Platform, icount: u64, function: u64) -> (i64, i64) {
    let [first, low, high] = [10, 11, 12].map(|register| hart.area.x[register]);
    match function {
        0 => {
            let length = first.min(CONSOLE_BYTES_MAX);
            if high != 0 {
                return (INVALID_PARAMETER, 0);
            }
            match p.memory.slice(GuestPhysAddr(low), length) {
                Ok(bytes) => {
                    p.outputs.console(Icount(icount), ConsolePort::Uart, bytes);
                    (SUCCESS, length as i64)
                }
                Err(_) => (INVALID_PARAMETER, 0),
            }
        }
        // Reading: nothing is ever there; input goes to the UART itself.
        1 => (SUCCESS, 0),
        2 => {
            p.outputs
                .console(Icount(icount), ConsolePort::Uart, &[first as u8]);
            (SUCCESS, 0)
        }
        _ => (NOT_SUPPORTED, 0),
    }
}
