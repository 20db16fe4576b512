//! Breakpoints, watchpoints and catchpoints as a client sets them.

use super::packet::{number, unhex};
use super::server::GdbServer;
use super::target::SessionTarget;
use crate::condition::Condition;
use crate::stops::{Breakpoint, Choice, Scope, SystemCallStop, WatchAddress, Watchpoint};
use reprise_core::debug::WatchKind;
use reprise_core::types::GuestVirtAddr;
use std::collections::BTreeSet;

/// Points of each kind that a client may set.
pub(super) const POINTS_MAX: usize = 4096;

/// Numbers of signals as gdb numbers them (gdb/signals.def), by Linux's numbers from 1 to 31.
const GDB_SIGNALS: [u8; 31] = [
    1, 2, 3, 4, 5, 6, 10, 8, 9, 30, 11, 31, 13, 14, 15, 0, 20, 19, 17, 18, 21, 22, 16, 24, 25, 26,
    27, 28, 23, 32, 12,
];
/// gdb's number when it has none.
const GDB_SIGNAL_UNKNOWN: u8 = 143;

/// gdb's number of a signal.
pub(super) fn gdb_signal(linux: u8) -> u8 {
    match linux {
        0 => 0,
        1..=31 => match GDB_SIGNALS[usize::from(linux) - 1] {
            0 => GDB_SIGNAL_UNKNOWN,
            signal => signal,
        },
        // SIG33 to SIG63 follow each other; SIG32 and SIG64 were added later.
        32 => 77,
        33..=63 => linux + 12,
        64 => 78,
        _ => GDB_SIGNAL_UNKNOWN,
    }
}

fn linux_signal(gdb: u8) -> Option<u8> {
    (1..=64).find(|linux| gdb_signal(*linux) == gdb)
}

impl SessionTarget {
    /// `Z` and `z`: sets or takes away a breakpoint or watchpoint for a process. `None` when the packet is not valid.
    pub(super) fn set_point(&mut self, packet: &[u8], pid: u32) -> Option<bool> {
        let is_set = packet.first()? == &b'Z';
        let mut parts = packet[1..].split(|byte| *byte == b';');
        let mut fields = parts.next()?.split(|byte| *byte == b',');
        let kind = number(fields.next()?)?;
        let address = number(fields.next()?)?;
        let length = number(fields.next()?)?;
        let scope = self.scope_of(pid);
        match kind {
            0 | 1 => {
                let address = GuestVirtAddr(address);
                let conditions = conditions(parts)?;
                self.stops
                    .breakpoints
                    .retain(|point| point.scope != scope || point.address != address);
                if is_set {
                    let breakpoint = Breakpoint {
                        scope,
                        address,
                        conditions,
                    };
                    if self.stops.breakpoints.len() >= POINTS_MAX {
                        return None;
                    }
                    self.stops.breakpoints.push(breakpoint);
                }
            }
            2..=4 => {
                let watchpoint = Watchpoint {
                    scope,
                    address: WatchAddress::Virtual(address),
                    byte_len: length,
                    kind: match kind {
                        2 => WatchKind::Write,
                        3 => WatchKind::Read,
                        _ => WatchKind::Access,
                    },
                };
                if length == 0 {
                    return None;
                }
                self.stops.watchpoints.retain(|point| *point != watchpoint);
                if is_set {
                    if self.stops.watchpoints.len() >= POINTS_MAX {
                        return None;
                    }
                    self.stops.watchpoints.push(watchpoint);
                }
            }
            _ => return Some(false),
        }
        Some(true)
    }

    /// `QCatchSyscalls`. `None` when the packet is not valid.
    pub(super) fn set_system_calls(&mut self, arguments: &[u8], pid: u32) -> Option<()> {
        let scope = self.scope_of(pid);
        self.stops.system_calls.retain(|stop| stop.scope != scope);
        let mut parts = arguments.split(|byte| *byte == b';');
        match parts.next()? {
            b"0" => {}
            b"1" => {
                let numbers = parts.map(number).collect::<Option<BTreeSet<u64>>>()?;
                let choice = if numbers.is_empty() {
                    Choice::all()
                } else {
                    Choice::Some(numbers)
                };
                self.stops.system_calls.push(SystemCallStop {
                    scope,
                    calls: choice,
                    at_entry: true,
                    at_return: true,
                });
            }
            _ => return None,
        }
        Some(())
    }

    /// `QPassSignals`: the signals that stop nothing. `None` when the packet is not valid.
    pub(super) fn set_passed_signals(&mut self, arguments: &[u8]) -> Option<()> {
        let numbers = arguments
            .split(|byte| *byte == b';')
            .filter(|part| !part.is_empty())
            .map(number)
            .collect::<Option<Vec<u64>>>()?;
        let passed = numbers
            .into_iter()
            .filter_map(|gdb| linux_signal(u8::try_from(gdb).ok()?))
            .map(u64::from);
        self.stops.signals = Choice::AllBut(passed.collect());
        Some(())
    }
}

impl GdbServer {
    /// The process that a point is about: that of `Hg`.
    pub(super) fn answer_point(&mut self, packet: &[u8]) {
        let pid = self.general.0;
        match self.target.set_point(packet, pid) {
            Some(true) => self.reply(b"OK"),
            Some(false) => self.reply(b""),
            None => self.reply(b"E.the breakpoint is not valid, or there are too many"),
        }
    }

    /// The watchpoint with a number, as hits tell it.
    pub(super) fn watchpoint(&self, index: usize) -> Option<&Watchpoint> {
        self.target.stops.watchpoints.get(index)
    }
}

/// The conditions of a `Z0` packet: `X`, a length, a comma, and as many bytes; several may follow each other.
fn conditions<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Option<Vec<Condition>> {
    let mut conditions = Vec::new();
    for part in parts {
        // Commands to run at the breakpoint were not offered, so none come.
        let mut rest = part;
        while let Some(expression) = rest.strip_prefix(b"X") {
            let comma = expression.iter().position(|byte| *byte == b',')?;
            let length = usize::try_from(number(&expression[..comma])?).ok()?;
            let digits = expression.get(comma + 1..)?;
            let digits_len = length.checked_mul(2)?;
            conditions.push(Condition::new(unhex(digits.get(..digits_len)?)?).ok()?);
            rest = &digits[digits_len..];
            if !rest.is_empty() && rest[0] != b'X' {
                return None;
            }
        }
    }
    Some(conditions)
}

/// The scope of a process, for commands that people type.
pub(super) fn scope(target: &SessionTarget) -> Scope {
    let pid = target
        .threads
        .get(target.selected)
        .map_or(super::threads::MACHINE_PID, |thread| thread.pid);
    target.scope_of(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_the_numbers_of_gdb() {
        assert_eq!([11, 7, 10, 17].map(gdb_signal), [11, 10, 30, 20]);
        for linux in 1..=64 {
            if linux != 16 {
                assert_eq!(linux_signal(gdb_signal(linux)), Some(linux), "{linux}");
            }
        }
    }

    #[test]
    fn conditions_are_cut_out_of_their_packet() {
        let parts = |text: &'static [u8]| conditions(std::iter::once(text));
        assert_eq!(parts(b"X2,2701X1,27").map(|found| found.len()), Some(2));
        assert_eq!(parts(b"X2,27"), None);
        assert_eq!(parts(b"X1,2727"), None);
        assert_eq!(parts(b"Xffffffffffffffff,27"), None);
        assert_eq!(parts(b""), Some(Vec::new()));
    }
}
