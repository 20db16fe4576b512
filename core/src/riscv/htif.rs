//! HTIF: the `tohost` convention of bare-metal test programs.
//!
//! Devices and commands as programs for the RISC-V instruction set simulator use them: device 0 is the
//! system-call proxy (of which exit and write are here), device 1 the console.

use super::platform::Platform;
use crate::event::ConsolePort;
use crate::machine::HaltReason;
use crate::types::{GuestPhysAddr, Icount};

const SYSCALL_WRITE: u64 = 64;
const SYSCALL_EXIT: u64 = 93;
/// A write of more bytes than this is cut, as a partial write.
const WRITE_BYTES_MAX: u64 = 64 * 1024;

/// Where the program looks for its host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Htif {
    pub(crate) tohost: u64,
    pub(crate) fromhost: Option<u64>,
}

/// Looks at `tohost` after a store to its page.
pub(crate) fn poll(p: &mut Platform, icount: u64) {
    let Some(htif) = p.tohost else { return };
    let Ok(value) = p.memory.read_u64(GuestPhysAddr(htif.tohost)) else {
        return;
    };
    if value == 0 {
        return;
    }
    let payload = value & ((1 << 48) - 1);
    match (value >> 56, value >> 48 & 0xff) {
        (0, 0) if payload & 1 != 0 => {
            p.halted.get_or_insert(HaltReason::ToHost(payload >> 1));
            return;
        }
        (0, 0) => syscall(p, payload, icount),
        (1, 1) => p
            .outputs
            .console(Icount(icount), ConsolePort::Uart, &[payload as u8]),
        _ => {}
    }
    write_u64(p, htif.tohost, 0);
    if let Some(fromhost) = htif.fromhost {
        write_u64(p, fromhost, 1);
    }
}

fn syscall(p: &mut Platform, block: u64, icount: u64) {
    let argument = |p: &Platform, index: u64| {
        p.memory
            .read_u64(GuestPhysAddr(block.wrapping_add(index * 8)))
            .unwrap_or(0)
    };
    let result = match argument(p, 0) {
        SYSCALL_EXIT => {
            let status = argument(p, 1);
            p.halted.get_or_insert(HaltReason::ToHost(status));
            return;
        }
        SYSCALL_WRITE => {
            let length = argument(p, 3).min(WRITE_BYTES_MAX);
            match p.memory.slice(GuestPhysAddr(argument(p, 2)), length) {
                Ok(bytes) => {
                    p.outputs.console(Icount(icount), ConsolePort::Uart, bytes);
                    length
                }
                // EFAULT
                Err(_) => (-14i64) as u64,
            }
        }
        // ENOSYS
        _ => (-38i64) as u64,
    };
    write_u64(p, block, result);
}

fn write_u64(p: &mut Platform, address: u64, value: u64) {
    // A program that points elsewhere than RAM gets no answer; that is its own loss.
    let _outside = p.memory.write(GuestPhysAddr(address), &value.to_le_bytes());
}
