//! Which hits of a run are reasons to stop.

use super::memory::TaskFrame;
use crate::linux::{Kernel, LinuxView, Task};
use crate::stops::{Choice, Scope, StopReason, Stops, SystemCallStop};
use reprise_core::debug::{DebugHit, HitKind, UserExit};
use reprise_core::machine::Machine;
use reprise_core::types::{CpuId, GuestVirtAddr};
use reprise_recorder::timeline::RunDirection;

/// Number of the register in which a system call's number is (`a7`), and of the first two arguments.
const A0: usize = 10;
const A1: usize = 11;
const A7: usize = 17;

/// Cause of an environment call out of user mode, RISC-V Privileged 4.1.8 (`scause`).
pub(super) const CAUSE_USER_CALL: u64 = 8;

/// The bits of an exit status that tell a signal, as for `wait`.
const STATUS_SIGNAL: u64 = 0x7f;

/// Signals that make the kernel dump core: SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGXCPU, SIGXFSZ
/// and SIGSYS (`SIG_KERNEL_COREDUMP_MASK`, include/linux/signal.h).
const DUMPING: [u8; 10] = [3, 4, 5, 6, 7, 8, 11, 24, 25, 31];

/// The moment at which a thread crosses the border of user mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Edge {
    /// The thread with this number has entered user mode.
    Entry(u32),
    /// The thread with this number is about to leave user mode, or has just left it by a fault.
    Exit(u32),
}

/// What the kernel does where one of its functions begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Probe {
    /// A program's old image is about to be given up.
    ExecBegins,
    /// The new program is about to get its registers.
    ExecEnds,
    /// A new task is about to run for the first time.
    Wakes,
    /// A task ends.
    Exits,
    /// A process ends with this status, after its core was dumped if the kernel can do that.
    GroupExits { can_dump: bool },
    /// A signal is about to end a process and to dump its core.
    Dumps,
    /// A handler for a signal has been set up.
    SignalHandled,
}

/// Judges the hits of one run.
pub(super) struct Judgement<'a> {
    kernel: Option<&'a Kernel>,
    stops: &'a Stops,
    direction: RunDirection,
    edge: Option<Edge>,
    probes: Vec<(GuestVirtAddr, Probe)>,
    accepted: Vec<(DebugHit, StopReason)>,
}

impl<'a> Judgement<'a> {
    pub(super) fn new(
        kernel: Option<&'a Kernel>,
        stops: &'a Stops,
        direction: RunDirection,
        edge: Option<Edge>,
    ) -> Self {
        let exec = match direction {
            RunDirection::Forward => ("start_thread", Probe::ExecEnds),
            RunDirection::Backward => ("begin_new_exec", Probe::ExecBegins),
        };
        let has_signals = stops.signals != Choice::Nothing;
        // Newer kernels call it by the second name.
        let dump = ["do_coredump", "vfs_coredump"]
            .into_iter()
            .find(|symbol| kernel.is_some_and(|kernel| kernel.address_of(symbol).is_some()));
        let group_exits = Probe::GroupExits {
            can_dump: dump.is_some(),
        };
        let wanted = [
            (stops.exec != Choice::Nothing, exec),
            // A thread that is stepped has nothing before it was made and nothing after its end.
            (
                stops.fork || matches!(edge, Some(Edge::Exit(_))),
                ("wake_up_new_task", Probe::Wakes),
            ),
            (
                stops.exit || matches!(edge, Some(Edge::Entry(_))),
                ("do_exit", Probe::Exits),
            ),
            (has_signals, ("do_group_exit", group_exits)),
            (
                has_signals && dump.is_some(),
                (dump.unwrap_or_default(), Probe::Dumps),
            ),
            (has_signals, ("signal_setup_done", Probe::SignalHandled)),
        ];
        let probes = wanted
            .into_iter()
            .filter(|(is_wanted, _)| *is_wanted)
            .filter_map(|(_, (symbol, probe))| Some((kernel?.address_of(symbol)?, probe)))
            .collect();
        Self {
            kernel,
            stops,
            direction,
            edge,
            probes,
            accepted: Vec::new(),
        }
    }

    /// Instructions of the kernel at which to look.
    pub(super) fn probes(&self) -> impl Iterator<Item = GuestVirtAddr> {
        self.probes.iter().map(|(address, _)| *address)
    }

    pub(super) fn wants_user_entries(&self) -> bool {
        matches!(self.edge, Some(Edge::Entry(_)))
    }

    pub(super) fn wants_user_exits(&self) -> bool {
        matches!(self.edge, Some(Edge::Exit(_)))
    }

    /// Whether a hit is a reason to stop.
    pub(super) fn accepts(&mut self, machine: &Machine, hit: &DebugHit) -> bool {
        let reasons = self.reasons(machine, hit);
        if reasons.is_empty() {
            return false;
        }
        // Backwards, a later hit of the interval takes the place of an earlier one.
        if self.direction == RunDirection::Backward {
            self.accepted
                .retain(|(other, _)| other.icount == hit.icount);
        }
        self.accepted
            .extend(reasons.into_iter().map(|reason| (*hit, reason)));
        true
    }

    /// The reasons that the accepted hits of a stop are.
    pub(super) fn reasons_of(&self, hits: &[DebugHit]) -> Vec<StopReason> {
        self.accepted
            .iter()
            .filter(|(hit, _)| hits.contains(hit))
            .map(|(_, reason)| reason.clone())
            .collect()
    }

    fn reasons(&self, machine: &Machine, hit: &DebugHit) -> Vec<StopReason> {
        let view = self
            .kernel
            .map(|kernel| kernel.view(machine))
            .filter(LinuxView::is_up);
        let view = view.as_ref();
        match hit.kind {
            HitKind::Breakpoint(address) => {
                let mut reasons = Vec::new();
                if self.stops_at(machine, view, address) {
                    reasons.push(StopReason::Breakpoint(address));
                }
                let probes = self.probes.iter().filter(|(at, _)| *at == address);
                for reason in probes.filter_map(|(_, probe)| probed(machine, view?, *probe)) {
                    let current = view.and_then(|view| view.current(CpuId(0)));
                    let (is_wanted, is_edge) = match &reason {
                        StopReason::Exec(_) => {
                            let process = current.map(|task| u64::from(task.tgid));
                            let is_among = |process| self.stops.exec.contains(process);
                            (process.is_some_and(is_among), false)
                        }
                        StopReason::Signal(number) => {
                            (self.stops.signals.contains(u64::from(*number)), false)
                        }
                        StopReason::Fork { thread, .. } => {
                            (self.stops.fork, self.edge == Some(Edge::Exit(*thread)))
                        }
                        StopReason::Exit(_) => {
                            let edge = current.map(|task| Edge::Entry(task.tid));
                            (self.stops.exit, self.edge.is_some() && self.edge == edge)
                        }
                        _ => (true, false),
                    };
                    if is_wanted {
                        reasons.push(reason);
                    }
                    if is_edge {
                        reasons.push(StopReason::Step);
                    }
                }
                reasons
            }
            HitKind::Access {
                watch,
                is_write,
                address,
            } => {
                let scope = self.stops.watchpoints.get(watch).map(|point| point.scope);
                let current = view.and_then(|view| view.current(CpuId(0)));
                if !scope.is_some_and(|scope| is_in_scope(scope, current.as_ref())) {
                    return Vec::new();
                }
                vec![StopReason::Watchpoint {
                    index: watch,
                    address,
                    is_write,
                    // Backwards, a run stops in front of it.
                    is_past: self.direction == RunDirection::Forward,
                }]
            }
            HitKind::UserExit(exit) => {
                let mut reasons = Vec::new();
                let current = view.and_then(|view| view.current(CpuId(0)));
                let number = machine.cpu(CpuId(0)).x()[A7];
                let catches = |stop: &SystemCallStop| stop.at_entry;
                if exit == UserExit::SystemCall && self.catches(current.as_ref(), number, catches) {
                    reasons.push(StopReason::SystemCall(number));
                }
                if let (Some(Edge::Exit(tid)), Some(task)) = (self.edge, &current)
                    && task.tid == tid
                {
                    reasons.push(StopReason::Step);
                }
                reasons
            }
            HitKind::UserEntry => {
                let mut reasons = Vec::new();
                let Some(task) = view.and_then(|view| view.current(CpuId(0))) else {
                    return reasons;
                };
                // Nothing of a call's number changes over the call.
                let number = machine.cpu(CpuId(0)).x()[A7];
                if self.catches(Some(&task), number, |stop| stop.at_return)
                    && view.and_then(|view| view.user_exit_cause(&task)) == Some(CAUSE_USER_CALL)
                {
                    reasons.push(StopReason::SystemReturn(number));
                }
                if self.edge == Some(Edge::Entry(task.tid)) {
                    reasons.push(StopReason::Step);
                }
                reasons
            }
        }
    }

    fn catches(
        &self,
        current: Option<&Task>,
        number: u64,
        is_wanted: impl Fn(&SystemCallStop) -> bool,
    ) -> bool {
        self.stops.system_calls.iter().any(|stop| {
            is_in_scope(stop.scope, current) && stop.calls.contains(number) && is_wanted(stop)
        })
    }

    fn stops_at(
        &self,
        machine: &Machine,
        view: Option<&LinuxView<'_>>,
        address: GuestVirtAddr,
    ) -> bool {
        let mut current = None;
        let here = self
            .stops
            .breakpoints
            .iter()
            .filter(|breakpoint| breakpoint.address == address);
        for breakpoint in here {
            if breakpoint.scope != Scope::Machine && current.is_none() {
                current = view.and_then(|view| view.current(CpuId(0)));
            }
            if !is_in_scope(breakpoint.scope, current.as_ref()) {
                continue;
            }
            let frame = TaskFrame { machine };
            // A condition that cannot be evaluated stops, so that somebody sees it.
            let holds = breakpoint
                .conditions
                .iter()
                .any(|condition| condition.evaluate(&frame) != Ok(0));
            if breakpoint.conditions.is_empty() || holds {
                return true;
            }
        }
        false
    }
}

fn is_in_scope(scope: Scope, current: Option<&Task>) -> bool {
    match scope {
        Scope::Machine => true,
        Scope::Process(process) => current.is_some_and(|task| task.tgid == process),
    }
}

/// Whether what the first CPU executes belongs to a scope.
pub(super) fn is_of_scope(kernel: Option<&Kernel>, machine: &Machine, scope: Scope) -> bool {
    let current = || {
        let view = kernel?.view(machine);
        view.is_up().then(|| view.current(CpuId(0)))?
    };
    scope == Scope::Machine || is_in_scope(scope, current().as_ref())
}

/// What happens where the kernel stands.
fn probed(machine: &Machine, view: &LinuxView<'_>, probe: Probe) -> Option<StopReason> {
    let x = machine.cpu(CpuId(0)).x();
    let task = view.current(CpuId(0))?;
    match probe {
        // The kernel's own threads become programs, too: before that there is none to show.
        Probe::ExecBegins | Probe::ExecEnds => Some(StopReason::Exec(view.executable(&task)?)),
        Probe::Wakes => {
            let made = view.task(crate::linux::TaskAddress(x[A0]))?;
            Some(StopReason::Fork {
                process: made.tgid,
                thread: made.tid,
            })
        }
        Probe::Exits => Some(StopReason::Exit(x[A0])),
        Probe::Dumps => view.signal_of_siginfo(x[A0]).map(StopReason::Signal),
        Probe::GroupExits { can_dump } => {
            let mut signal = (x[A0] & STATUS_SIGNAL) as u8;
            if signal != 0
                && let Some(status) = view.group_exit_status(&task)
            {
                // All threads of a process that ends are ended by SIGKILL, which nobody sent; the first thread tells why.
                let is_first = task.tid == task.tgid;
                signal = if is_first {
                    (u64::from(status) & STATUS_SIGNAL) as u8
                } else {
                    0
                };
            }
            let is_told = can_dump && DUMPING.contains(&signal);
            (signal != 0 && !is_told).then_some(StopReason::Signal(signal))
        }
        Probe::SignalHandled => view.signal_of_ksignal(x[A1]).map(StopReason::Signal),
    }
}
