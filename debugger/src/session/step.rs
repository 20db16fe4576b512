//! Steps: of a CPU, and of one thread of a program, which sees neither the kernel nor other threads.

use super::judge::{Edge, Judgement};
use super::{DebugSession, Onset, Unfinished, stop_from_status};
use crate::linux::Task;
use crate::stops::{Stop, StopReason, Stops};
use reprise_core::riscv::trap::Privilege;
use reprise_core::types::{CpuId, Icount};
use reprise_recorder::timeline::{Control, RunDirection, TimelineError, TraceEdge};

/// Returns to user mode without progress after which a step gives up: a page that is never there would make it last
/// for ever.
const RETRIES_MAX: u32 = 1 << 16;

/// Where a thread's step was interrupted.
#[derive(Clone, Debug)]
pub(super) enum UnfinishedStep {
    /// On the way to where the thread executes.
    Entering,
    /// On the way back from a trap.
    Returning {
        /// What the instruction's address was.
        pc: u64,
        /// It was a system call.
        is_call: bool,
    },
    /// On the way back to where the thread left user mode.
    Leaving(StepBack),
    /// It has not executed anything before, and goes back to where it was.
    Home(Stop),
}

/// What a step backwards knows of where it began.
#[derive(Clone, Debug)]
pub(super) struct StepBack {
    start: Icount,
    /// The thread's program counter there, as people saw it.
    shown: Option<u64>,
    was_in_user_mode: bool,
    /// Its last step of the machine.
    stepped: Stop,
}

impl DebugSession {
    /// Executes one step of the machine: an instruction, a trap, an event or an idle jump. What it accesses of the
    /// watchpoints of `stops` is told.
    ///
    /// # Errors
    /// [`TimelineError`].
    pub fn step_cpu(
        &mut self,
        direction: RunDirection,
        stops: &Stops,
    ) -> Result<Stop, TimelineError> {
        let watched = Stops {
            watchpoints: stops.watchpoints.clone(),
            ..Stops::default()
        };
        let kernel = self.kernel.as_ref().ok();
        let mut judgement = Judgement::new(kernel, &watched, direction, None);
        let plan = self.plan(&watched, &judgement);
        let status = self
            .timeline
            .step_watching(direction, &plan, &mut |machine, hit| {
                judgement.accepts(machine, hit)
            })?;
        let mut stop = stop_from_status(&status);
        stop.reasons = judgement.reasons_of(&status.hits);
        stop.reasons.push(StopReason::Step);
        Ok(stop)
    }

    /// Executes one instruction of a thread, forwards or backwards, as its program sees it: a system call is one
    /// instruction, and an interrupt or a page that has to be fetched none. Other threads run on meanwhile, and stop
    /// the step when they meet something of `stops`.
    ///
    /// # Errors
    /// [`TimelineError`].
    pub fn step_thread(
        &mut self,
        direction: RunDirection,
        tid: u32,
        stops: &Stops,
        control: Control<'_>,
    ) -> Result<Stop, TimelineError> {
        self.unfinished = Unfinished::default();
        match direction {
            RunDirection::Forward => self.step_thread_forward(tid, stops, control),
            RunDirection::Backward => self.step_thread_backward(tid, stops, control),
        }
    }

    /// Goes on with a step of a thread, with the same direction, thread and `stops`, where `control` interrupted it. It ends
    /// where it would in one piece; see [`DebugSession::run_on`].
    ///
    /// # Errors
    /// [`TimelineError`]. The step can be gone on with yet, from where this call began.
    pub fn step_thread_on(
        &mut self,
        direction: RunDirection,
        tid: u32,
        stops: &Stops,
        control: Control<'_>,
    ) -> Result<Stop, TimelineError> {
        self.retryable(|session| match direction {
            RunDirection::Forward => session.step_thread_forward(tid, stops, control),
            RunDirection::Backward => session.step_thread_backward(tid, stops, control),
        })
    }

    /// Goes on with something that was interrupted. Where that fails, bytes of an image may be missing: what is
    /// unfinished stays, for whoever has brought the session back.
    pub(crate) fn retryable(
        &mut self,
        go_on: impl FnOnce(&mut Self) -> Result<Stop, TimelineError>,
    ) -> Result<Stop, TimelineError> {
        let before = self.unfinished.clone();
        let result = go_on(self);
        if result.is_err() {
            self.unfinished = before;
        }
        result
    }

    fn step_thread_forward(
        &mut self,
        tid: u32,
        stops: &Stops,
        control: Control<'_>,
    ) -> Result<Stop, TimelineError> {
        let entry = Edge::Entry(tid);
        for _ in 0..RETRIES_MAX {
            let unfinished = self.unfinished.step.take();
            let (stop, pc, is_call) = if let Some(UnfinishedStep::Returning { pc, is_call }) =
                unfinished
            {
                let stop = self.run_with_on(RunDirection::Forward, stops, Some(entry), control)?;
                (stop, pc, is_call)
            } else {
                let is_entering = matches!(unfinished, Some(UnfinishedStep::Entering));
                if is_entering || self.user_pc_of(tid).is_none() {
                    let stop = if is_entering {
                        self.run_with_on(RunDirection::Forward, stops, Some(entry), control)?
                    } else {
                        self.run_to_edge(RunDirection::Forward, entry, stops, control)?
                    };
                    if stop.is_interrupted {
                        self.unfinished.step = Some(UnfinishedStep::Entering);
                        return Ok(stop);
                    }
                    // What was shown was the way out of a call already: it is there now. Or this was the thread's end.
                    let is_over =
                        self.user_pc_of(tid).is_none() || self.has_returned_from_call(tid);
                    if !is_step(&stop) || is_over {
                        return Ok(stop);
                    }
                }
                let Some(pc) = self.user_pc_of(tid) else {
                    continue;
                };
                let executes = self.executes_here();
                let is_call = executes && self.is_at_system_call(pc);
                let stop = self.step_cpu(RunDirection::Forward, stops)?;
                if stop.edge == Some(TraceEdge::End) {
                    return Ok(stop);
                }
                if !executes {
                    continue;
                }
                if self.user_pc_of(tid).is_some() {
                    return Ok(stop);
                }
                let stop = self.run_to_edge(RunDirection::Forward, entry, stops, control)?;
                (stop, pc, is_call)
            };
            // It trapped. What it comes back to is the next instruction, unless it has to be tried again.
            if stop.is_interrupted {
                self.unfinished.step = Some(UnfinishedStep::Returning { pc, is_call });
                return Ok(stop);
            }
            if !is_step(&stop) || is_call || self.user_pc_of(tid) != Some(pc) {
                return Ok(stop);
            }
        }
        self.step_cpu(RunDirection::Forward, stops)
    }

    fn step_thread_backward(
        &mut self,
        tid: u32,
        stops: &Stops,
        control: Control<'_>,
    ) -> Result<Stop, TimelineError> {
        let mut unfinished = match self.unfinished.step.take() {
            Some(UnfinishedStep::Home(stop)) => return self.go_home(stop, control),
            Some(UnfinishedStep::Leaving(back)) => Some(back),
            _ => None,
        };
        let (start, shown) = match &unfinished {
            Some(back) => (back.start, back.shown),
            None => (self.timeline.position(), self.shown_pc_of(tid)),
        };
        let exit = Edge::Exit(tid);
        loop {
            let going_on = unfinished.take();
            if going_on.is_none() && self.timeline.position() == Icount(0) {
                return self.step_cpu(RunDirection::Backward, stops);
            }
            let was_in_user_mode = match &going_on {
                Some(back) => back.was_in_user_mode,
                None => self.user_pc_of(tid).is_some(),
            };
            let is_going_on = going_on.is_some();
            let stop = match going_on {
                Some(back) => back.stepped,
                None => self.step_cpu(RunDirection::Backward, stops)?,
            };
            if is_going_on || self.user_pc_of(tid).is_none() {
                // Back over the kernel and other threads, to where user mode was left.
                let left = if is_going_on {
                    self.run_with_on(RunDirection::Backward, stops, Some(exit), control)?
                } else {
                    self.run_to_edge(RunDirection::Backward, exit, stops, control)?
                };
                if left.is_interrupted {
                    self.unfinished.step = Some(UnfinishedStep::Leaving(StepBack {
                        start,
                        shown,
                        was_in_user_mode,
                        stepped: stop,
                    }));
                    return Ok(left);
                }
                let is_before_all = left.edge == Some(TraceEdge::Begin) && !is_step(&left);
                if is_before_all || (is_step(&left) && self.user_pc_of(tid).is_none()) {
                    // It has not executed anything before: where this began, its history begins.
                    let home = Stop {
                        icount: start,
                        reasons: Vec::new(),
                        edge: Some(TraceEdge::Begin),
                        ..left
                    };
                    return self.go_home(home, control);
                }
                if !is_step(&left) {
                    return Ok(left);
                }
            }
            let Some(pc) = self.user_pc_of(tid) else {
                continue;
            };
            // What trapped without being a call is tried again later: only that counts, if it ever is.
            let counts = was_in_user_mode || self.is_at_system_call(pc) || Some(pc) != shown;
            if self.executes_here() && counts {
                let mut stop = Stop {
                    icount: self.timeline.position(),
                    ..stop
                };
                if !was_in_user_mode {
                    stop.reasons = vec![StopReason::Step];
                }
                return Ok(stop);
            }
        }
    }

    /// Back to where a step began that could not be made.
    fn go_home(&mut self, home: Stop, control: Control<'_>) -> Result<Stop, TimelineError> {
        let status = self.timeline.seek(home.icount, control)?;
        if status.is_interrupted {
            self.unfinished.step = Some(UnfinishedStep::Home(home));
            return Ok(stop_from_status(&status));
        }
        Ok(home)
    }

    /// Runs on after the kernel has given a thread a new program, to that program's first instruction, where the stop at the
    /// exec is told.
    pub(super) fn finish_exec(
        &mut self,
        mut stop: Stop,
        tid: u32,
        onset: Onset,
        control: Control<'_>,
    ) -> Result<Stop, TimelineError> {
        let none = Stops::default();
        let edge = Some(Edge::Entry(tid));
        let after = self.run_with(RunDirection::Forward, onset, &none, edge, control)?;
        stop.icount = after.icount;
        stop.edge = after.edge;
        stop.is_interrupted = after.is_interrupted;
        if stop.is_interrupted {
            self.unfinished.exec = Some((stop.clone(), tid));
        }
        Ok(stop)
    }

    fn run_to_edge(
        &mut self,
        direction: RunDirection,
        edge: Edge,
        stops: &Stops,
        control: Control<'_>,
    ) -> Result<Stop, TimelineError> {
        self.run_with(direction, Onset::Anew, stops, Some(edge), control)
    }

    /// Program counter of a thread that the CPU executes in user mode.
    fn user_pc_of(&self, tid: u32) -> Option<u64> {
        let cpu = self.machine().cpu(CpuId(0));
        let is_it = cpu.privilege() == Privilege::User
            && self.current().is_some_and(|task| task.tid == tid);
        is_it.then(|| cpu.pc())
    }

    /// Program counter of a thread as it is shown to people.
    fn shown_pc_of(&self, tid: u32) -> Option<u64> {
        let task: Task = self.task(tid)?;
        let registers = self.registers(&super::memory::ThreadView::Task(task))?;
        Some(registers.pc)
    }

    /// Whether a thread that has just entered user mode comes from a system call.
    fn has_returned_from_call(&self, tid: u32) -> bool {
        self.linux().is_some_and(|view| {
            let task = view.current(CpuId(0)).filter(|task| task.tid == tid);
            let cause = task.and_then(|task| view.user_exit_cause(&task));
            cause == Some(super::judge::CAUSE_USER_CALL)
        })
    }

    /// Whether the step here executes an instruction, rather than taking an interrupt or an event.
    fn executes_here(&self) -> bool {
        let here = self.timeline.position();
        let events = self.timeline.events();
        let next = events.partition_point(|event| event.icount < here);
        let is_event = events
            .get(next)
            .is_some_and(|event| event.icount == here || event.due() == here);
        !is_event && !self.machine().cpu(CpuId(0)).is_about_to_interrupt()
    }

    /// Whether the instruction at a user address is an environment call.
    fn is_at_system_call(&self, pc: u64) -> bool {
        const ECALL: [u8; 4] = 0x0000_0073u32.to_le_bytes();
        let cpu = super::memory::ThreadView::Cpu(CpuId(0));
        let mut bytes = [0; 4];
        let length = self.read_memory(&cpu, reprise_core::types::GuestVirtAddr(pc), &mut bytes);
        length == 4 && bytes == ECALL
    }
}

fn is_step(stop: &Stop) -> bool {
    stop.reasons.contains(&StopReason::Step)
}
