//! Steps from line to line, forwards and backwards.
//!
//! A step is a few runs at full speed, not one instruction after the other: each runs to breakpoints at the beginnings of
//! lines, which count in the frame alone that is stepped. So a loop within a line, a call, and a recursion cost no more
//! than executing them.
//!
//! Any of these runs may last, and be interrupted. So what a step does is told operation by operation, each with what
//! comes [`Then`], and a step that is interrupted is kept in the session.

mod run;
mod stepped;

use super::cache::ProcessObjects;
use super::frames::SP;
use super::resolve::behind_prologue;
use crate::session::{DebugSession, ThreadView, Unfinished};
use crate::stops::{Stop, StopReason, Stops};
use reprise_core::types::Icount;
use reprise_recorder::timeline::{Control, RunDirection, TimelineError};
use run::{Run, TP, Wanted};
use stepped::Stepped;

/// How far a step goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StepUnit {
    /// To another line, be it in a function that is called.
    Into,
    /// To another line of the function, or of its caller where it ends.
    Over,
    /// To where the function was called from: forwards behind the call, backwards at it.
    Out,
}

/// Calls of functions without lines are passed one by one.
const CALLS_MAX: usize = 1 << 10;

/// A step that `control` has interrupted.
#[derive(Clone)]
pub(crate) struct UnfinishedLine {
    step: LineStep,
    operation: Operation,
    then: Then,
    at: Icount,
}

/// A step by line.
#[derive(Clone)]
struct LineStep {
    direction: RunDirection,
    unit: StepUnit,
    tid: u32,
    objects: ProcessObjects,
}

/// What a step does at a time. It may be interrupted.
#[derive(Clone)]
enum Operation {
    /// Executes an instruction of the thread.
    Instruction(RunDirection),
    /// Runs to one of some instructions.
    Run(Run),
    /// Goes back to where the step has been.
    Return(Icount),
}

/// What comes after an operation. Where that ended otherwise than with [`StopReason::Step`], so does the step; but for
/// [`Then::OwnLine`].
#[derive(Clone)]
enum Then {
    /// The step's end.
    End,
    /// Forwards, it is at a line, or at a call that is entered.
    Reached(Box<Forward>),
    /// Forwards, an instruction at this address has been executed that may have called a function.
    Called(Box<Forward>, Option<u64>),
    /// Backwards, it is at the function's entry, which is left to the call.
    Entry,
    /// Backwards, it is somewhere in the line at whose beginning the step ends.
    Within,
    /// Backwards, it is at the instruction that was executed before this position, be it another function's.
    Before(Box<Stepped>, Icount),
    /// Backwards, it is there again, as what was executed before was the function's own.
    Again(Box<Stepped>),
    /// Backwards, it is at the beginning of another line, or at the function's entry.
    LineBefore(Box<Stepped>),
    /// Backwards, it is at the beginning of the line before the one whose beginning is looked for, or at the function's
    /// entry. The position is where the step was in that line; last, whether it began there.
    OtherLine(Box<Stepped>, Icount, bool),
    /// From there forwards again, it is at the line's beginning, unless that lies beyond the position. Where the step began in
    /// that line, there is where it did: one that was jumped to is at a beginning, though it looks like the middle of the line.
    OwnLine(Icount, Option<Box<Stepped>>),
}

/// A step forwards.
#[derive(Clone)]
struct Forward {
    start: Box<Stepped>,
    wanted: Vec<Wanted>,
    /// Addresses of calls that are entered.
    calls: Vec<u64>,
    /// Calls of functions without lines that it has met.
    passed: usize,
}

/// How a step goes on.
enum Next {
    End(Stop),
    Do(Operation, Then),
}

impl DebugSession {
    /// Steps a thread to another line. Where it has none, to where its function returns to.
    ///
    /// What `stops` asks for ends the step as it ends a run, and so do a signal to the thread, its end, the ends of the
    /// timeline and `control`. A step that got to its end has [`StopReason::Step`] for a reason.
    ///
    /// # Errors
    /// [`TimelineError`].
    pub fn step_line(
        &mut self,
        direction: RunDirection,
        unit: StepUnit,
        tid: u32,
        stops: &Stops,
        control: Control<'_>,
    ) -> Result<Stop, TimelineError> {
        self.unfinished = Unfinished::default();
        let view = self.task(tid).map(ThreadView::Task);
        let objects = view.as_ref().map(|view| self.objects(view));
        let step = LineStep {
            direction,
            unit,
            tid,
            objects: objects.unwrap_or_default(),
        };
        let next = match view {
            Some(view) => step.begin(self, &view),
            None => Next::Do(Operation::Instruction(direction), Then::End),
        };
        self.advance_line(step, next, false, stops, control)
    }

    /// Goes on with a step by line, with the same arguments, where `control` interrupted it. It ends where it would in one
    /// piece; see [`DebugSession::run_on`]. Where no such step was interrupted, begins one.
    ///
    /// # Errors
    /// [`TimelineError`]. The step can be gone on with yet, from where this call began.
    pub fn step_line_on(
        &mut self,
        direction: RunDirection,
        unit: StepUnit,
        tid: u32,
        stops: &Stops,
        control: Control<'_>,
    ) -> Result<Stop, TimelineError> {
        self.retryable(|session| {
            let here = session.timeline().position();
            let is_it = |unfinished: &UnfinishedLine| {
                let step = &unfinished.step;
                (step.direction, step.unit, step.tid, unfinished.at) == (direction, unit, tid, here)
            };
            match session.unfinished.line.take() {
                Some(unfinished) if is_it(&unfinished) => {
                    let UnfinishedLine {
                        step,
                        operation,
                        then,
                        ..
                    } = *unfinished;
                    session.advance_line(step, Next::Do(operation, then), true, stops, control)
                }
                _ => session.step_line(direction, unit, tid, stops, control),
            }
        })
    }

    /// Carries out a step's operations, the first of which may have begun, to its end or to an interruption.
    fn advance_line(
        &mut self,
        step: LineStep,
        mut next: Next,
        mut is_going_on: bool,
        stops: &Stops,
        control: Control<'_>,
    ) -> Result<Stop, TimelineError> {
        loop {
            let (mut operation, then) = match next {
                Next::Do(operation, then) => (operation, then),
                Next::End(stop) => return Ok(stop),
            };
            let is_going_on = std::mem::take(&mut is_going_on);
            let stop = step.operate(self, &mut operation, is_going_on, stops, control)?;
            if stop.is_interrupted {
                let at = self.timeline().position();
                self.unfinished.line = Some(Box::new(UnfinishedLine {
                    step,
                    operation,
                    then,
                    at,
                }));
                return Ok(stop);
            }
            next = step.next(self, then, stop);
        }
    }
}

impl LineStep {
    fn operate(
        &self,
        session: &mut DebugSession,
        operation: &mut Operation,
        is_going_on: bool,
        stops: &Stops,
        control: Control<'_>,
    ) -> Result<Stop, TimelineError> {
        match operation {
            Operation::Instruction(direction) if is_going_on => {
                session.step_thread_on(*direction, self.tid, stops, control)
            }
            Operation::Instruction(direction) => {
                session.step_thread(*direction, self.tid, stops, control)
            }
            Operation::Run(run) => {
                let process = self.objects.task.as_ref();
                run.run(session, self.tid, process, is_going_on, stops, control)
            }
            Operation::Return(to) => {
                let status = session.timeline_mut().seek(*to, control)?;
                Ok(Stop {
                    is_interrupted: status.is_interrupted,
                    ..stopped(session)
                })
            }
        }
    }

    fn begin(&self, session: &DebugSession, view: &ThreadView) -> Next {
        match (session.stepped(view, &self.objects), self.direction) {
            (None, _) => self.leave(session, view),
            (Some(start), RunDirection::Forward) => self.forward(session, view, start),
            (Some(start), RunDirection::Backward) if self.unit == StepUnit::Out => {
                back_out(session, &start)
            }
            (Some(start), RunDirection::Backward) => self.backward(session, start),
        }
    }

    fn next(&self, session: &DebugSession, then: Then, stop: Stop) -> Next {
        if !is_step(&stop) && !matches!(then, Then::OwnLine(..)) {
            return Next::End(stop);
        }
        match then {
            Then::End => Next::End(stop),
            Then::Reached(forward) => match self.pc(session) {
                Some(pc) if forward.calls.contains(&pc) && !forward.start.is_elsewhere(pc) => {
                    forward_from(forward, Some(pc))
                }
                _ => Next::End(stop),
            },
            Then::Called(forward, from) => self.called(session, forward, from, stop),
            Then::Entry => back_by_an_instruction(Then::End),
            Then::Within => match self.now(session) {
                Some(now) => back_to_beginning(session, now, false),
                None => Next::End(stop),
            },
            Then::Before(start, here) => match self.now(session) {
                // The end of a function that the line before has called.
                Some(now) if now.unit != start.unit || now.outer != start.outer => {
                    back_to_beginning(session, now, false)
                }
                _ => Next::Do(Operation::Return(here), Then::Again(start)),
            },
            Then::Again(start) => self.back_by_a_line(start),
            Then::LineBefore(start) => match self.now(session) {
                // It was the function's first line: before it was the call.
                Some(now) if Some(now.own) == start.entry() && now.is_same_line(&start) => {
                    back_by_an_instruction(Then::Within)
                }
                Some(now) => back_to_beginning(session, now, false),
                None => Next::End(stop),
            },
            Then::OtherLine(at, here, is_start) => match self.now(session) {
                // The function's first line.
                Some(now) if now.is_same_line(&at) => Next::End(stop),
                _ => Next::Do(
                    at.run(RunDirection::Forward, at.own_lines()),
                    Then::OwnLine(here, is_start.then_some(at)),
                ),
            },
            Then::OwnLine(here, Some(start)) if stop.icount >= here => {
                Next::Do(Operation::Return(here), Then::Again(start))
            }
            // It has no beginning of its own on this way.
            Then::OwnLine(here, _) if stop.icount > here => {
                Next::Do(Operation::Return(here), Then::End)
            }
            Then::OwnLine(..) => Next::End(stop),
        }
    }

    /// Out of code without lines.
    fn leave(&self, session: &DebugSession, view: &ThreadView) -> Next {
        let frames = session.frames(view, &self.objects);
        let mut user = frames
            .iter()
            .filter(|frame| !frame.is_kernel && !frame.is_inlined);
        let (inner, caller) = (user.next(), user.next());
        let operation = match (inner, caller, self.direction) {
            (Some(inner), Some(caller), RunDirection::Forward) => Operation::Run(Run::new(
                RunDirection::Forward,
                vec![Wanted::at(caller.registers.pc)],
                caller.registers.get(SP),
                inner.registers.get(TP),
            )),
            _ => Operation::Instruction(self.direction),
        };
        Next::Do(operation, Then::End)
    }

    fn forward(&self, session: &DebugSession, view: &ThreadView, start: Box<Stepped>) -> Next {
        let mut wanted = Vec::new();
        let is_inlined = start.inner != start.outer;
        if self.unit != StepUnit::Out || is_inlined {
            wanted = start.other_lines(self.unit);
        }
        wanted.extend(start.caller.as_ref().map(|caller| Wanted::at(caller.pc)));
        let mut calls = Vec::new();
        if self.unit == StepUnit::Into {
            calls = start.calls(session, view);
        }
        let addresses = calls.iter().map(|call| call.address).collect();
        wanted.append(&mut calls);
        // The run passes what is here already: a call that the thread stands at is entered first.
        let pc = start.registers.pc;
        let forward = Forward {
            start,
            wanted,
            calls: addresses,
            passed: 0,
        };
        forward_from(Box::new(forward), Some(pc))
    }

    /// Behind an instruction that may have called a function.
    fn called(
        &self,
        session: &DebugSession,
        mut forward: Box<Forward>,
        from: Option<u64>,
        stop: Stop,
    ) -> Next {
        let pc = self.pc(session);
        if stop.edge.is_some() {
            return Next::End(stop);
        }
        if let Some(inside) = self.entered(session, &forward.start, from) {
            if pc == Some(inside) {
                return Next::End(stop);
            }
            let (wanted, tp) = (vec![Wanted::at(inside)], forward.start.registers.get(TP));
            let run = Run::new(RunDirection::Forward, wanted, None, tp);
            return Next::Do(Operation::Run(run), Then::End);
        }
        forward.passed += 1;
        if forward.passed >= CALLS_MAX {
            return Next::End(stop);
        }
        forward_from(forward, pc)
    }

    /// Where to stop in the function that a call has entered, if it has lines.
    fn entered(&self, session: &DebugSession, start: &Stepped, from: Option<u64>) -> Option<u64> {
        let pc = self.pc(session)?;
        let (object, own) = self.objects.at(pc)?;
        let debug = object.program.debug.as_ref()?;
        let unit = debug.unit_at(own)?;
        let functions = debug.functions(unit);
        let outer = *functions.chain_at(own).first()?;
        let function = functions.get(outer);
        let is_entry = function.entry == own;
        let is_same = unit == start.unit && outer == start.outer;
        debug.lines(unit).row_at(own).filter(|row| row.line != 0)?;
        (is_entry && (!is_same || from != Some(pc)))
            .then(|| behind_prologue(debug, unit, function).wrapping_add(object.bias))
    }

    /// Back to the beginning of the line that was executed before.
    fn backward(&self, session: &DebugSession, start: Box<Stepped>) -> Next {
        if start.entry() == Some(start.own) {
            return back_by_an_instruction(Then::Within);
        }
        if !start.is_at_beginning() {
            // From within a line, back to where it begins.
            return back_to_beginning(session, start, true);
        }
        if self.unit == StepUnit::Into {
            let here = session.timeline().position();
            return back_by_an_instruction(Then::Before(start, here));
        }
        self.back_by_a_line(start)
    }

    fn back_by_a_line(&self, start: Box<Stepped>) -> Next {
        let mut wanted = start.other_lines(self.unit);
        wanted.extend(start.entry().map(|entry| start.here(entry)));
        let run = start.run(RunDirection::Backward, wanted);
        Next::Do(run, Then::LineBefore(start))
    }

    fn view(&self, session: &DebugSession) -> Option<ThreadView> {
        session.task(self.tid).map(ThreadView::Task)
    }

    fn now(&self, session: &DebugSession) -> Option<Box<Stepped>> {
        session.stepped(&self.view(session)?, &self.objects)
    }

    fn pc(&self, session: &DebugSession) -> Option<u64> {
        Some(session.registers(&self.view(session)?)?.pc)
    }
}

/// Into a call that the thread stands at, or on to the next place that is looked for.
fn forward_from(forward: Box<Forward>, pc: Option<u64>) -> Next {
    let forwards = RunDirection::Forward;
    if pc.is_some_and(|pc| forward.calls.contains(&pc)) {
        let operation = Operation::Instruction(forwards);
        return Next::Do(operation, Then::Called(forward, pc));
    }
    let run = forward.start.run(forwards, forward.wanted.clone());
    Next::Do(run, Then::Reached(forward))
}

fn back_by_an_instruction(then: Then) -> Next {
    Next::Do(Operation::Instruction(RunDirection::Backward), then)
}

/// Back to the call of the function.
fn back_out(session: &DebugSession, start: &Stepped) -> Next {
    if start.inner != start.outer {
        let wanted = start.other_lines(StepUnit::Out);
        if !wanted.is_empty() {
            return Next::Do(start.run(RunDirection::Backward, wanted), Then::End);
        }
    }
    match start.entry() {
        Some(entry) if start.own != entry => {
            let run = start.run(RunDirection::Backward, vec![start.here(entry)]);
            Next::Do(run, Then::Entry)
        }
        Some(_) => back_by_an_instruction(Then::End),
        None => Next::End(nothing(session)),
    }
}

/// Back to where the execution of a line began in its frame: behind the last beginning of another line. The step may have
/// begun here.
fn back_to_beginning(session: &DebugSession, at: Box<Stepped>, is_start: bool) -> Next {
    let entry = at.entry();
    if entry == Some(at.own) {
        return Next::End(stopped(session));
    }
    let mut wanted = at.other_lines(StepUnit::Over);
    wanted.extend(entry.map(|entry| at.here(entry)));
    let here = session.timeline().position();
    let run = at.run(RunDirection::Backward, wanted);
    Next::Do(run, Then::OtherLine(at, here, is_start))
}

/// Where a session stands, for no reason.
fn nothing(session: &DebugSession) -> Stop {
    Stop {
        icount: session.timeline().position(),
        reasons: Vec::new(),
        edge: None,
        is_interrupted: false,
    }
}

fn stopped(session: &DebugSession) -> Stop {
    Stop {
        reasons: vec![StopReason::Step],
        ..nothing(session)
    }
}

fn is_step(stop: &Stop) -> bool {
    stop.reasons.contains(&StopReason::Step)
}
