//! Runs, and what is said of where they stop.

use super::monitor::Goal;
use super::points::gdb_signal;
use super::server::GdbServer;
use super::target::Action;
use super::{Host, packet::hex};
use crate::linux::system_call_name;
use crate::session::ThreadView;
use crate::stops::{Choice, Stop, StopReason, Stops, WatchAddress};
use reprise_core::debug::WatchKind;
use reprise_core::types::{CpuId, Icount};
use reprise_recorder::timeline::{RunDirection, TimelineError, TraceEdge};
use std::ops::{ControlFlow, Range};

/// gdb's numbers of two signals.
const SIGTRAP: u8 = 5;
const SIGINT: u8 = 2;

/// Steps of a range after which the client hears of it, so that it can stop a loop.
const RANGE_STEPS_MAX: u32 = 1 << 20;
/// Steps of a range between two looks at the host.
const RANGE_STEPS_BETWEEN_LOOKS: u32 = 256;

/// What has been put aside.
#[derive(Debug)]
pub(super) enum Aside {
    /// A run.
    Run(Box<Run>),
    /// A command that goes somewhere.
    Seek(Goal),
}

/// A run that the client waits for.
#[derive(Debug)]
pub(super) struct Run {
    pace: Pace,
    direction: RunDirection,
    /// The thread to show in the end.
    wanted: Option<u32>,
    /// It lasts while the program counter is in this range.
    within: Option<Range<u64>>,
    stops: Stops,
    /// What is done next goes on where it was interrupted.
    is_under_way: bool,
    /// Steps of the range that were made.
    steps: u32,
}

/// How far a run goes at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pace {
    /// Until something happens.
    Free,
    /// An instruction of a thread.
    OfThread(u32),
    /// A step of the machine.
    OfCpu,
}

/// What a host wants of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wish {
    Break,
    Slice,
}

impl Wish {
    fn of(host: &mut dyn Host) -> Option<Self> {
        if host.is_break_wanted() {
            return Some(Self::Break);
        }
        host.is_slice_over().then_some(Self::Slice)
    }
}

impl GdbServer {
    /// `c` and `s`, the old packets: the same as `vCont` for all threads or one.
    pub(super) fn resume_plainly(&mut self, packet: &[u8], host: &mut dyn Host) -> bool {
        self.answer(packet, host);
        true
    }

    /// Does what gdbstub was asked for, and says where it stopped.
    pub(super) fn run_action(&mut self, host: &mut dyn Host) {
        let Some(action) = self.target.action.take() else {
            return;
        };
        let run = self.run_of(action);
        self.run_on(run, host);
    }

    /// Goes on with what the host has put aside, until its end or until that happens again.
    pub fn go_on(&mut self, host: &mut dyn Host) {
        match self.aside.take() {
            None => {}
            Some(Aside::Run(run)) => self.run_on(*run, host),
            Some(Aside::Seek(goal)) => {
                if let Some(said) = super::monitor::seek(self, goal, host) {
                    self.answer_command(&said);
                }
            }
        }
    }

    /// Runs, and says where that stopped.
    fn run_on(&mut self, mut run: Run, host: &mut dyn Host) {
        let stopped = match self.execute(&mut run, host) {
            Ok(None) => {
                self.aside = Some(Aside::Run(Box::new(run)));
                return;
            }
            Ok(Some(stop)) => self.expected_by_client(stop, run.direction),
            Err(error) => Err(error),
        };
        let stop = stopped.unwrap_or_else(|error| {
            self.print(&format!("reprise: {error}"));
            Stop {
                icount: self.target.session.timeline().position(),
                reasons: Vec::new(),
                edge: None,
                is_interrupted: true,
            }
        });
        self.tell_stop(&stop, run.wanted, run.direction);
        self.stop = Some(stop);
        self.settle_stub();
    }

    /// What an action comes to at the position.
    fn run_of(&mut self, action: Action) -> Run {
        let mut stops = self.target.stops.clone();
        if self.client.has_exec_events && self.shows_processes() && stops.exec == Choice::Nothing {
            // Of processes that it knows, the client must hear; the others it finds as they are at the next stop. gdb 13 is
            // confused by the exec of a process that it hears of for the first time.
            stops.exec = Choice::Some(self.target.threads.shown());
        }
        let (pace, direction, wanted, within) = match action {
            Action::Continue(direction) => (Pace::Free, direction, None, None),
            Action::Step {
                tid,
                direction,
                within,
            } => {
                if self.target.is_locked {
                    stops = Stops {
                        watchpoints: stops.watchpoints,
                        exec: stops.exec,
                        signals: stops.signals,
                        ..Stops::default()
                    };
                }
                let view = self.target.thread(tid).map(|thread| thread.view);
                let pace = match view {
                    Some(ThreadView::Task(_)) => Pace::OfThread(tid),
                    _ => Pace::OfCpu,
                };
                (pace, direction, Some(tid), within)
            }
        };
        Run {
            pace,
            direction,
            wanted,
            within,
            stops,
            is_under_way: false,
            steps: 0,
        }
    }

    /// Puts a stop at a watchpoint where the client expects it.
    ///
    /// The session stops after the access when it runs forwards and before it when it runs backwards, and so does LLDB.
    /// gdb takes RISC-V's watchpoints for triggers that fire before the access happens, in whichever direction it runs
    /// (`have_nonsteppable_watchpoint` of its riscv-tdep.c), and steps over it to compare.
    fn expected_by_client(
        &mut self,
        mut stop: Stop,
        direction: RunDirection,
    ) -> Result<Stop, TimelineError> {
        let is_at_access = stop.reasons.iter().any(|reason| {
            matches!(reason, StopReason::Watchpoint { index, .. } if self.is_virtual(*index))
        });
        if self.client.is_lldb || !is_at_access {
            return Ok(stop);
        }
        let back = match direction {
            RunDirection::Forward => RunDirection::Backward,
            RunDirection::Backward => RunDirection::Forward,
        };
        stop.icount = self
            .target
            .session
            .step_cpu(back, &Stops::default())?
            .icount;
        for reason in &mut stop.reasons {
            if let StopReason::Watchpoint { is_past, .. } = reason {
                *is_past = back == RunDirection::Forward;
            }
        }
        Ok(stop)
    }

    /// Runs; where a recording is still being made, on beyond what has been recorded so far. `None` when the host puts it
    /// aside.
    fn execute(
        &mut self,
        run: &mut Run,
        host: &mut dyn Host,
    ) -> Result<Option<Stop>, TimelineError> {
        loop {
            let Some(stop) = self.execute_recorded(run, host)? else {
                return Ok(None);
            };
            let timeline = self.target.session.timeline();
            let is_at_tip = stop.edge == Some(TraceEdge::End) && timeline.diverged_at().is_none();
            if !is_at_tip || stop.is_interrupted {
                return Ok(Some(stop));
            }
            if host.is_break_wanted() {
                return Ok(Some(Stop {
                    edge: None,
                    is_interrupted: true,
                    ..stop
                }));
            }
            let Some(growth) = host.record_on() else {
                return Ok(Some(stop));
            };
            let timeline = self.target.session.timeline_mut();
            timeline.extend(growth.entries, growth.end)?;
        }
    }

    fn execute_recorded(
        &mut self,
        run: &mut Run,
        host: &mut dyn Host,
    ) -> Result<Option<Stop>, TimelineError> {
        loop {
            let mut wish = None;
            let mut control = |_: Icount| {
                wish = Wish::of(host);
                match wish {
                    None => ControlFlow::Continue(()),
                    Some(_) => ControlFlow::Break(()),
                }
            };
            let is_under_way = std::mem::take(&mut run.is_under_way);
            let (direction, stops) = (run.direction, &run.stops);
            let session = &mut self.target.session;
            let mut stop = match (run.pace, is_under_way) {
                (Pace::Free, false) => session.run(direction, stops, &mut control)?,
                (Pace::Free, true) => session.run_on(direction, stops, &mut control)?,
                (Pace::OfThread(tid), false) => {
                    session.step_thread(direction, tid, stops, &mut control)?
                }
                (Pace::OfThread(tid), true) => {
                    session.step_thread_on(direction, tid, stops, &mut control)?
                }
                (Pace::OfCpu, _) => session.step_cpu(direction, stops)?,
            };
            if stop.is_interrupted && wish == Some(Wish::Slice) {
                run.is_under_way = true;
                return Ok(None);
            }
            let Some(range) = &run.within else {
                return Ok(Some(stop));
            };
            // Between two steps of a range, now and then: to ask costs more than to step. A client that asked for a break
            // would go on stepping after any other stop.
            let asks = run.steps.is_multiple_of(RANGE_STEPS_BETWEEN_LOOKS);
            let wish = asks.then(|| Wish::of(host)).flatten();
            stop.is_interrupted |= wish == Some(Wish::Break);
            if stop.is_interrupted || stop.edge.is_some() {
                return Ok(Some(stop));
            }
            let pc = match run.pace {
                Pace::OfThread(tid) => {
                    if stop.reasons != [StopReason::Step] {
                        return Ok(Some(stop));
                    }
                    self.program_counter(tid)
                }
                Pace::OfCpu | Pace::Free => Some(self.machine_pc()),
            };
            run.steps += 1;
            let is_over = pc.is_none_or(|pc| !range.contains(&pc) || self.has_breakpoint(pc));
            if is_over || run.steps > RANGE_STEPS_MAX {
                return Ok(Some(stop));
            }
            if wish == Some(Wish::Slice) {
                return Ok(None);
            }
        }
    }

    fn has_breakpoint(&self, pc: u64) -> bool {
        self.target
            .stops
            .breakpoints
            .iter()
            .any(|point| point.address.0 == pc)
    }

    /// Sends a stop reply (GDB manual, "Stop Reply Packets") with every reason that it can hold.
    pub(super) fn tell_stop(&mut self, stop: &Stop, wanted: Option<u32>, direction: RunDirection) {
        for reason in &stop.reasons {
            if let Some(text) = self.remark(reason, direction) {
                self.print(&text);
            }
        }
        // A reply holds one reason; people are told of all.
        let told = stop.reasons.iter().filter_map(told_by_reply);
        for text in told.skip(1) {
            self.print(&format!("reprise: here is also {text}"));
        }
        let current = self.target.session.current();
        let was_shown =
            current.is_some_and(|task| self.target.threads.shown().contains(&u64::from(task.tgid)));
        let is_step_alone = stop.reasons == [StopReason::Step] || stop.reasons.is_empty();
        let thread = self.stopped_thread(wanted.filter(|_| is_step_alone));
        self.general = thread;
        self.stopped = thread;
        self.focus = thread.1;
        self.target.selected = thread.1;
        let mut signal = if stop.is_interrupted { SIGINT } else { SIGTRAP };
        let mut fields = format!("thread:{};", self.thread_id(thread));
        if let Some(register) = self.program_counter(thread.1) {
            fields += &format!("20:{};", hex(&register.to_le_bytes()));
        }
        fields += "core:0;";
        let mut has_reason = false;
        for reason in &stop.reasons {
            match reason {
                // One watchpoint, system call or exec fits into a reply; the first one is as good as any.
                // gdb knows nothing of watchpoints on physical memory.
                StopReason::Watchpoint { index, address, .. }
                    if !has_reason && self.is_virtual(*index) =>
                {
                    let Some(watchpoint) = self.watchpoint(*index) else {
                        continue;
                    };
                    let name = match watchpoint.kind {
                        WatchKind::Write => "watch",
                        WatchKind::Read => "rwatch",
                        WatchKind::Access => "awatch",
                    };
                    fields += &format!("{name}:{address:x};");
                    has_reason = true;
                }
                StopReason::SystemCall(number) if !has_reason && self.client.has_system_calls => {
                    fields += &format!("syscall_entry:{number:x};");
                    has_reason = true;
                }
                StopReason::SystemReturn(number) if !has_reason && self.client.has_system_calls => {
                    fields += &format!("syscall_return:{number:x};");
                    has_reason = true;
                }
                StopReason::Exec(path)
                    if !has_reason && self.client.has_exec_events && was_shown =>
                {
                    fields += &format!("exec:{};", hex(path));
                    has_reason = true;
                }
                StopReason::Breakpoint(_) if !has_reason && self.client.has_software_breaks => {
                    fields += "swbreak:;";
                    has_reason = true;
                }
                StopReason::Signal(number) => signal = gdb_signal(*number),
                _ => {}
            }
        }
        match stop.edge {
            Some(edge) if !has_reason && signal == SIGTRAP => {
                fields += match edge {
                    TraceEdge::Begin => "replaylog:begin;",
                    TraceEdge::End => "replaylog:end;",
                };
            }
            _ => {}
        }
        self.last_stop = format!("T{signal:02x}{fields}");
        let reply = self.last_stop.clone();
        self.reply(reply.as_bytes());
    }

    fn is_virtual(&self, index: usize) -> bool {
        let watchpoint = self.watchpoint(index);
        watchpoint.is_some_and(|point| matches!(point.address, WatchAddress::Virtual(_)))
    }

    fn program_counter(&mut self, tid: u32) -> Option<u64> {
        let thread = self.target.thread(tid)?;
        Some(self.target.session.registers(&thread.view)?.pc)
    }

    /// What a stop reply has no field for.
    fn remark(&self, reason: &StopReason, direction: RunDirection) -> Option<String> {
        let who = self
            .target
            .session
            .current()
            .map_or("nobody".to_owned(), |task| {
                format!(
                    "{} (thread {} of process {})",
                    task.name, task.tid, task.tgid
                )
            });
        match reason {
            StopReason::Watchpoint {
                index,
                address,
                is_write,
                ..
            } if !self.is_virtual(*index) => Some(format!(
                "reprise: {who} {} physical memory at {address:#x}",
                if *is_write { "writes to" } else { "reads" }
            )),
            StopReason::Fork { process, thread } => Some(if process == thread {
                format!("reprise: {who} has made process {process}")
            } else {
                format!("reprise: {who} has made thread {thread}")
            }),
            StopReason::Exit(status) => Some(match status & 0x7f {
                0 => format!("reprise: {who} ends with status {}", status >> 8 & 0xff),
                signal => format!("reprise: {who} is ended by signal {signal}"),
            }),
            StopReason::SystemCall(number) => {
                let x = self.target.session.machine().cpu(CpuId(0)).x();
                let arguments: Vec<String> = x[10..16]
                    .iter()
                    .map(|value| format!("{value:#x}"))
                    .collect();
                let name = call_name(*number);
                Some(format!(
                    "reprise: {who} calls {name}({})",
                    arguments.join(", ")
                ))
            }
            StopReason::SystemReturn(number) => {
                let result = self.target.session.machine().cpu(CpuId(0)).x()[10] as i64;
                let name = call_name(*number);
                Some(format!("reprise: {name} returns {result} to {who}"))
            }
            StopReason::Exec(path) if self.target.stops.exec != Choice::Nothing => {
                let path = String::from_utf8_lossy(path);
                Some(match direction {
                    RunDirection::Forward => format!("reprise: {who} executes {path}"),
                    RunDirection::Backward => {
                        format!("reprise: {who} is about to execute another program than {path}")
                    }
                })
            }
            _ => None,
        }
    }
}

/// A reason that has a field in a stop reply, in words.
fn told_by_reply(reason: &StopReason) -> Option<String> {
    match reason {
        StopReason::Breakpoint(address) => Some(format!("a breakpoint, at {address}")),
        StopReason::Watchpoint { address, .. } => Some(format!("a watchpoint, at {address:#x}")),
        StopReason::SystemCall(number) => Some(format!("the call of {}", call_name(*number))),
        StopReason::SystemReturn(number) => Some(format!("the return of {}", call_name(*number))),
        _ => None,
    }
}

fn call_name(number: u64) -> String {
    system_call_name(number).map_or_else(|| format!("system call {number}"), str::to_owned)
}
