//! What runs stop at, from the page's words to the session's terms.

use super::{Refusal, because};
use crate::protocol::{StopKind, StopPoint};
use reprise_core::debug::WatchKind;
use reprise_core::types::GuestVirtAddr;
use reprise_debugger::linux::system_call_number;
use reprise_debugger::session::DebugSession;
use reprise_debugger::stops::{
    Breakpoint, Choice, Scope, Stop, StopReason, Stops, SystemCallStop, WatchAddress, Watchpoint,
};
use std::collections::BTreeSet;

/// Bytes that a watchpoint can be long: more is a table, not a variable.
const WATCH_BYTES_MAX: u64 = 1 << 20;

/// A stop with what it means.
#[derive(Clone, Debug)]
pub(crate) struct Understood {
    pub(crate) point: StopPoint,
    scope: Scope,
    /// Of a breakpoint.
    addresses: Vec<GuestVirtAddr>,
}

impl Understood {
    /// Understands a stop where the session stands.
    ///
    /// # Errors
    /// When it names something that is not there.
    pub(crate) fn new(session: &mut DebugSession, point: StopPoint) -> Result<Self, Refusal> {
        let mut scope = point.process.map_or(Scope::Machine, Scope::Process);
        let mut addresses = Vec::new();
        match &point.kind {
            StopKind::Breakpoint(text) => {
                let place = super::code::resolve(session, point.process, text)?;
                if place.is_of_program && point.process.is_none() {
                    // A function of a program means that program, wherever else its address is executed.
                    scope = session
                        .current()
                        .map_or(scope, |task| Scope::Process(task.tgid));
                }
                addresses = place.addresses;
            }
            StopKind::Watchpoint { byte_len, .. } if !(1..=WATCH_BYTES_MAX).contains(byte_len) => {
                return Err(because(format!(
                    "a watchpoint is 1 to {WATCH_BYTES_MAX} bytes long"
                )));
            }
            StopKind::SystemCall(Some(name)) if system_call_number(name).is_none() => {
                return Err(because(format!("Linux has no system call `{name}`")));
            }
            _ => {}
        }
        Ok(Self {
            point,
            scope,
            addresses,
        })
    }

    fn add_to(&self, stops: &mut Stops) {
        match &self.point.kind {
            StopKind::Breakpoint(_) => {
                let breakpoints = self.addresses.iter().map(|address| Breakpoint {
                    scope: self.scope,
                    address: *address,
                    conditions: Vec::new(),
                });
                stops.breakpoints.extend(breakpoints);
            }
            StopKind::Watchpoint {
                address,
                byte_len,
                reads,
                writes,
            } => stops.watchpoints.push(Watchpoint {
                scope: self.scope,
                address: WatchAddress::Virtual(*address),
                byte_len: *byte_len,
                kind: match (reads, writes) {
                    (true, false) => WatchKind::Read,
                    (false, _) => WatchKind::Write,
                    (true, true) => WatchKind::Access,
                },
            }),
            StopKind::SystemCall(name) => stops.system_calls.push(SystemCallStop {
                scope: self.scope,
                calls: match name.as_deref().and_then(system_call_number) {
                    Some(number) => Choice::Some(BTreeSet::from([number])),
                    None => Choice::all(),
                },
                at_entry: true,
                at_return: false,
            }),
            StopKind::Exec => stops.exec = Choice::all(),
            StopKind::Fork => stops.fork = true,
            StopKind::Exit => stops.exit = true,
            StopKind::Signal => stops.signals = Choice::all(),
        }
    }

    /// What the person called it, where this is what a reason tells of: an address says by itself what it is.
    pub(crate) fn name_of(&self, reason: &StopReason) -> Option<&str> {
        let name = match &self.point.kind {
            StopKind::Breakpoint(place) => Some(place.trim()),
            _ => self.point.name.as_deref(),
        };
        name.filter(|name| !name.starts_with("0x") && self.is_meant(reason))
    }

    /// Whether this is what a reason tells of.
    fn is_meant(&self, reason: &StopReason) -> bool {
        match (&self.point.kind, reason) {
            (StopKind::Breakpoint(_), StopReason::Breakpoint(address)) => {
                self.addresses.contains(address)
            }
            (
                StopKind::Watchpoint {
                    address, byte_len, ..
                },
                StopReason::Watchpoint { address: met, .. },
            ) => met.checked_sub(*address).is_some_and(|at| at < *byte_len),
            (StopKind::SystemCall(name), StopReason::SystemCall(number)) => name
                .as_deref()
                .is_none_or(|name| system_call_number(name) == Some(*number)),
            (StopKind::Exec, StopReason::Exec(_))
            | (StopKind::Fork, StopReason::Fork { .. })
            | (StopKind::Exit, StopReason::Exit(_))
            | (StopKind::Signal, StopReason::Signal(_)) => true,
            _ => false,
        }
    }
}

/// All of them, as a session takes them.
pub(crate) fn stops_of(all: &[Understood]) -> Stops {
    let mut stops = Stops::default();
    for stop in all {
        stop.add_to(&mut stops);
    }
    stops
}

/// Numbers of those that a session has met.
pub(crate) fn met(all: &[Understood], stop: &Stop) -> Vec<u32> {
    let met = all
        .iter()
        .filter(|known| stop.reasons.iter().any(|reason| known.is_meant(reason)));
    met.map(|known| known.point.id).collect()
}
