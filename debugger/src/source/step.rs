//! Steps from line to line, forwards and backwards.
//!
//! A step is a few runs at full speed, not one instruction after the other: each runs to breakpoints at the beginnings of
//! lines, which count in the frame alone that is stepped. So a loop within a line, a call, and a recursion cost no more
//! than executing them.

use super::backtrace::{Frame, FrameRegisters};
use super::cache::{Object, ProcessObjects};
use super::frames::SP;
use super::resolve::behind_prologue;
use crate::condition::Condition;
use crate::session::{DebugSession, ThreadView};
use crate::stops::{Breakpoint, Choice, Scope, Stop, StopReason, Stops};
use reprise_core::types::GuestVirtAddr;
use reprise_recorder::timeline::{Control, RunDirection, TimelineError};

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

/// Beginnings of lines of a function that a step looks out for.
const LINES_MAX: usize = 1 << 12;
/// Runs of one step: calls of functions without lines are passed one by one.
const RUNS_MAX: usize = 1 << 10;
/// Bytes of a line's code in which calls are looked for.
const CODE_BYTES_MAX: u64 = 1 << 12;
/// Number of the register that is another in each thread (`tp`).
const TP: u16 = 4;

/// The call of a function that is stepped.
struct Stepped {
    object: Object,
    own: u64,
    unit: usize,
    /// The function, and the copy in it that is executed, if it is one.
    outer: usize,
    inner: usize,
    line: u32,
    file: u32,
    frame_address: Option<u64>,
    registers: FrameRegisters,
    /// Where it returns to.
    caller: Option<FrameRegisters>,
}

/// A breakpoint of a step.
struct Wanted {
    address: u64,
    /// The register and the number whose sum must be the frame's address; `None`: the stack pointer must not be below it.
    frame_rule: Option<(u16, i64)>,
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
        let Some(task) = self.task(tid) else {
            return self.step_thread(direction, tid, stops, control);
        };
        let view = ThreadView::Task(task);
        let objects = self.objects(&view);
        let Some(start) = self.stepped(&view, &objects) else {
            return self.leave(direction, &view, &objects, tid, stops, control);
        };
        let mut step = LineStep {
            session: self,
            objects: &objects,
            tid,
            stops,
        };
        match (direction, unit) {
            (RunDirection::Forward, _) => step.forward(&start, unit, control),
            (RunDirection::Backward, StepUnit::Out) => step.back_out(&start, control),
            (RunDirection::Backward, _) => step.backward(&start, unit, control),
        }
    }

    /// Steps out of code without lines.
    fn leave(
        &mut self,
        direction: RunDirection,
        view: &ThreadView,
        objects: &ProcessObjects,
        tid: u32,
        stops: &Stops,
        control: Control<'_>,
    ) -> Result<Stop, TimelineError> {
        let frames = self.frames(view, objects);
        let mut user = frames
            .iter()
            .filter(|frame| !frame.is_kernel && !frame.is_inlined);
        let (inner, caller) = (user.next(), user.next());
        let (Some(inner), Some(caller), RunDirection::Forward) = (inner, caller, direction) else {
            return self.step_thread(direction, tid, stops, control);
        };
        let wanted = [Wanted {
            address: caller.registers.pc,
            frame_rule: None,
        }];
        let frame_address = caller.registers.get(SP);
        let tp = inner.registers.get(TP);
        let mut step = LineStep {
            session: self,
            objects,
            tid,
            stops,
        };
        step.run(direction, &wanted, frame_address, tp, control)
    }

    /// The call of the innermost function of a thread's program, if it has lines.
    fn stepped(&self, view: &ThreadView, objects: &ProcessObjects) -> Option<Stepped> {
        let frames = self.frames(view, objects);
        let first = frames.iter().position(|frame| !frame.is_kernel)?;
        let innermost = &frames[first];
        let (unit, inner) = innermost.function?;
        let is_real = |frame: &&Frame| !frame.is_inlined;
        let real = frames[first..].iter().position(|frame| is_real(&frame))? + first;
        let (_, outer) = frames[real].function?;
        let own = innermost.own_lookup()?;
        let row = *innermost.debug()?.lines(unit).row_at(own)?;
        Some(Stepped {
            object: innermost.object.clone()?,
            own,
            unit,
            outer,
            inner,
            line: row.line,
            file: row.file,
            frame_address: innermost.registers.frame_address,
            registers: innermost.registers.clone(),
            caller: frames.get(real + 1).map(|frame| frame.registers.clone()),
        })
    }
}

impl Stepped {
    fn debug(&self) -> Option<&super::dwarf::DebugFile> {
        self.object.program.debug.as_ref()
    }

    /// Beginnings of other lines of the function, in the frame that is stepped.
    fn other_lines(&self, unit: StepUnit) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        let Some(debug) = self.debug() else {
            return wanted;
        };
        let (functions, lines) = (debug.functions(self.unit), debug.lines(self.unit));
        for (begin, end) in functions.ranges_of(self.outer) {
            for row in lines.rows_within(*begin, *end) {
                let chain = functions.chain_at(row.address);
                let is_within = chain.contains(&self.inner);
                let is_other = row.line != self.line || row.file != self.file;
                let counts = row.is_statement
                    && row.line != 0
                    && match unit {
                        StepUnit::Into => is_other,
                        // What was put into the function is called by it, as far as its author is concerned.
                        StepUnit::Over => {
                            let is_deeper = is_within && chain.last() != Some(&self.inner);
                            is_other && !is_deeper && self.is_around(&chain)
                        }
                        StepUnit::Out => !is_within && self.is_around(&chain),
                    };
                if counts && wanted.len() < LINES_MAX {
                    wanted.push(self.here(row.address));
                }
            }
        }
        wanted
    }

    /// Whether a chain of copies is that of the one that is stepped, or of one around it.
    fn is_around(&self, chain: &[usize]) -> bool {
        let own = self
            .debug()
            .map(|debug| debug.functions(self.unit).chain_at(self.own));
        own.is_some_and(|own| chain.last().is_some_and(|last| own.contains(last)))
    }

    /// An instruction of the function, in the frame that is stepped.
    fn here(&self, own: u64) -> Wanted {
        Wanted {
            address: own.wrapping_add(self.object.bias),
            frame_rule: self.object.program.frames.frame_rule(own),
        }
    }

    fn entry(&self) -> Option<u64> {
        Some(self.debug()?.functions(self.unit).get(self.outer).entry)
    }

    /// Where the line's own code calls functions, or jumps out of this one.
    fn calls(&self, session: &DebugSession, view: &ThreadView) -> Vec<Wanted> {
        let mut found = Vec::new();
        let Some(debug) = self.debug() else {
            return found;
        };
        let (functions, lines) = (debug.functions(self.unit), debug.lines(self.unit));
        for (begin, end) in functions.ranges_of(self.outer) {
            for row in lines.rows_within(*begin, *end) {
                if row.line != self.line || row.file != self.file || found.len() >= LINES_MAX {
                    continue;
                }
                let mut code = vec![0; (row.end - row.address).min(CODE_BYTES_MAX) as usize];
                let start = row.address.wrapping_add(self.object.bias);
                let read = session.read_memory(view, GuestVirtAddr(start), &mut code);
                let calls = call_offsets(&code[..read]).into_iter();
                found.extend(calls.map(|offset| self.here(row.address + offset)));
            }
        }
        found
    }
}

struct LineStep<'a> {
    session: &'a mut DebugSession,
    objects: &'a ProcessObjects,
    tid: u32,
    stops: &'a Stops,
}

impl LineStep<'_> {
    fn forward(
        &mut self,
        start: &Stepped,
        unit: StepUnit,
        control: Control<'_>,
    ) -> Result<Stop, TimelineError> {
        let mut wanted = Vec::new();
        let is_inlined = start.inner != start.outer;
        if unit != StepUnit::Out || is_inlined {
            wanted.append(&mut start.other_lines(unit));
        }
        wanted.extend(start.caller.as_ref().map(|caller| Wanted {
            address: caller.pc,
            frame_rule: None,
        }));
        let mut calls = Vec::new();
        if unit == StepUnit::Into
            && let Some(view) = self.view()
        {
            calls = start.calls(self.session, &view);
        }
        let call_addresses: Vec<u64> = calls.iter().map(|call| call.address).collect();
        wanted.append(&mut calls);
        let tp = start.registers.get(TP);
        // The run passes what is here already: a call that the thread stands at is entered first.
        let mut is_at_call = call_addresses.contains(&start.registers.pc);
        let mut stop = None;
        for _ in 0..RUNS_MAX {
            if !is_at_call {
                let run = self.run(
                    RunDirection::Forward,
                    &wanted,
                    start.frame_address,
                    tp,
                    control,
                )?;
                let pc = self.pc();
                is_at_call = is_step(&run) && pc.is_some_and(|pc| call_addresses.contains(&pc));
                if !is_at_call || self.is_elsewhere(start, pc) {
                    return Ok(run);
                }
            }
            let before = self.pc();
            let stepped =
                self.session
                    .step_thread(RunDirection::Forward, self.tid, self.stops, control)?;
            if !is_step(&stepped) || stepped.edge.is_some() {
                return Ok(stepped);
            }
            if let Some(inside) = self.entered(start, before) {
                return self.go_on_to(inside, stepped, tp, control);
            }
            is_at_call = self.pc().is_some_and(|pc| call_addresses.contains(&pc));
            stop = Some(stepped);
        }
        Ok(stop.unwrap_or_else(|| self.nothing()))
    }

    /// Where to stop in the function that a call has entered, if it has lines.
    fn entered(&self, start: &Stepped, before: Option<u64>) -> Option<u64> {
        let pc = self.pc()?;
        let (object, own) = self.objects.at(pc)?;
        let debug = object.program.debug.as_ref()?;
        let unit = debug.unit_at(own)?;
        let functions = debug.functions(unit);
        let outer = *functions.chain_at(own).first()?;
        let function = functions.get(outer);
        let is_entry = function.entry == own;
        let is_same = unit == start.unit && outer == start.outer;
        debug.lines(unit).row_at(own).filter(|row| row.line != 0)?;
        (is_entry && (!is_same || before != Some(pc)))
            .then(|| behind_prologue(debug, unit, function).wrapping_add(object.bias))
    }

    /// Runs on to an instruction of the function that was just entered.
    fn go_on_to(
        &mut self,
        address: u64,
        stop: Stop,
        tp: Option<u64>,
        control: Control<'_>,
    ) -> Result<Stop, TimelineError> {
        if self.pc() == Some(address) {
            return Ok(stop);
        }
        let wanted = [Wanted {
            address,
            frame_rule: None,
        }];
        self.run(RunDirection::Forward, &wanted, None, tp, control)
    }

    /// Whether a place is the beginning of another line, too.
    fn is_elsewhere(&self, start: &Stepped, pc: Option<u64>) -> bool {
        let row = pc.and_then(|pc| {
            let own = pc.wrapping_sub(start.object.bias);
            start.debug()?.lines(start.unit).row_at(own)
        });
        row.is_some_and(|row| row.line != start.line || row.file != start.file)
    }

    /// Back to the call of the function.
    fn back_out(&mut self, start: &Stepped, control: Control<'_>) -> Result<Stop, TimelineError> {
        let tp = start.registers.get(TP);
        if start.inner != start.outer {
            let wanted = start.other_lines(StepUnit::Out);
            if !wanted.is_empty() {
                let back = RunDirection::Backward;
                return self.run(back, &wanted, start.frame_address, tp, control);
            }
        }
        let Some(entry) = start.entry() else {
            return Ok(self.nothing());
        };
        if start.own != entry {
            let wanted = [start.here(entry)];
            let back = RunDirection::Backward;
            let stop = self.run(back, &wanted, start.frame_address, tp, control)?;
            if !is_step(&stop) {
                return Ok(stop);
            }
        }
        self.session
            .step_thread(RunDirection::Backward, self.tid, self.stops, control)
    }

    /// Back to the beginning of the line that was executed before.
    fn backward(
        &mut self,
        start: &Stepped,
        unit: StepUnit,
        control: Control<'_>,
    ) -> Result<Stop, TimelineError> {
        let back = RunDirection::Backward;
        let tp = start.registers.get(TP);
        let entry = start.entry();
        let is_at_entry = entry == Some(start.own);
        // From within a line, back to where it begins.
        let begins = self.begins(start);
        if begins.is_none() {
            return self.go_to_beginning(start, control);
        }
        if is_at_entry {
            let stop = self
                .session
                .step_thread(back, self.tid, self.stops, control)?;
            return self.then_to_beginning(stop, control);
        }
        if unit == StepUnit::Into {
            // What was executed just before may be the end of a function that the line before has called.
            let here = self.session.timeline().position();
            let stop = self
                .session
                .step_thread(back, self.tid, self.stops, control)?;
            if !is_step(&stop) {
                return Ok(stop);
            }
            let now = self.now();
            let is_in_other = now
                .as_ref()
                .is_some_and(|now| now.unit != start.unit || now.outer != start.outer);
            if is_in_other {
                return self.then_to_beginning(stop, control);
            }
            self.session.timeline_mut().seek(here, control)?;
        }
        let mut wanted = start.other_lines(unit);
        wanted.extend(entry.map(|entry| start.here(entry)));
        let stop = self.run(back, &wanted, start.frame_address, tp, control)?;
        if !is_step(&stop) {
            return Ok(stop);
        }
        let Some(now) = self.now() else {
            return Ok(stop);
        };
        if Some(now.own) == entry && now.line == start.line && now.file == start.file {
            // It was the function's first line: before it was the call.
            let stop = self
                .session
                .step_thread(back, self.tid, self.stops, control)?;
            return self.then_to_beginning(stop, control);
        }
        self.go_to_beginning(&now, control)
    }

    fn then_to_beginning(
        &mut self,
        stop: Stop,
        control: Control<'_>,
    ) -> Result<Stop, TimelineError> {
        match self.now() {
            Some(now) if is_step(&stop) => self.go_to_beginning(&now, control),
            _ => Ok(stop),
        }
    }

    /// The row that begins where a thread stands.
    fn begins(&self, start: &Stepped) -> Option<()> {
        let row = start.debug()?.lines(start.unit).row_at(start.own)?;
        (row.address == start.own).then_some(())
    }

    /// Back to where the execution of a line began in its frame: behind the last beginning of another line.
    fn go_to_beginning(
        &mut self,
        at: &Stepped,
        control: Control<'_>,
    ) -> Result<Stop, TimelineError> {
        let here = self.session.timeline().position();
        let tp = at.registers.get(TP);
        let entry = at.entry();
        let mut wanted = at.other_lines(StepUnit::Over);
        wanted.extend(entry.map(|entry| at.here(entry)));
        if entry == Some(at.own) {
            return Ok(self.stopped());
        }
        let back = RunDirection::Backward;
        let stop = self.run(back, &wanted, at.frame_address, tp, control)?;
        if !is_step(&stop) {
            return Ok(stop);
        }
        let now = self.now();
        if now.is_some_and(|now| now.line == at.line && now.file == at.file) {
            // The function's first line.
            return Ok(stop);
        }
        // From the other line on, to the first beginning of this one.
        let Some(debug) = at.debug() else {
            return Ok(stop);
        };
        let (functions, lines) = (debug.functions(at.unit), debug.lines(at.unit));
        let mut begins = Vec::new();
        for (begin, end) in functions.ranges_of(at.outer) {
            let rows = lines
                .rows_within(*begin, *end)
                .filter(|row| row.line == at.line && row.file == at.file && row.is_statement);
            begins.extend(rows.take(LINES_MAX).map(|row| at.here(row.address)));
        }
        let stop = self.run(
            RunDirection::Forward,
            &begins,
            at.frame_address,
            tp,
            control,
        )?;
        if stop.icount > here {
            // It has no beginning of its own on this way.
            self.session.timeline_mut().seek(here, control)?;
            return Ok(self.stopped());
        }
        Ok(stop)
    }

    fn view(&self) -> Option<ThreadView> {
        self.session.task(self.tid).map(ThreadView::Task)
    }

    fn now(&self) -> Option<Stepped> {
        self.session.stepped(&self.view()?, self.objects)
    }

    fn pc(&self) -> Option<u64> {
        Some(self.session.registers(&self.view()?)?.pc)
    }

    fn nothing(&self) -> Stop {
        Stop {
            icount: self.session.timeline().position(),
            reasons: Vec::new(),
            edge: None,
            is_interrupted: false,
        }
    }

    fn stopped(&self) -> Stop {
        Stop {
            reasons: vec![StopReason::Step],
            ..self.nothing()
        }
    }

    /// Runs to the first of some instructions in a frame of the thread, or to what the caller's stops ask for.
    fn run(
        &mut self,
        direction: RunDirection,
        wanted: &[Wanted],
        frame_address: Option<u64>,
        tp: Option<u64>,
        control: Control<'_>,
    ) -> Result<Stop, TimelineError> {
        let mut stops = self.stops.clone();
        let process = self.objects.task.as_ref().map(|task| task.tgid);
        let scope = process.map_or(Scope::Machine, Scope::Process);
        stops
            .breakpoints
            .extend(wanted.iter().map(|wanted| Breakpoint {
                scope,
                address: GuestVirtAddr(wanted.address),
                conditions: condition(wanted, frame_address, tp).into_iter().collect(),
            }));
        stops.exit = true;
        stops.signals = Choice::all();
        for _ in 0..RUNS_MAX {
            let mut stop = self.session.run(direction, &stops, control)?;
            let is_own = self
                .session
                .current()
                .is_some_and(|task| task.tid == self.tid);
            let asked = |reason: &StopReason| match reason {
                StopReason::Exit(_) => is_own || self.stops.exit,
                StopReason::Signal(number) => {
                    is_own || self.stops.signals.contains(u64::from(*number))
                }
                _ => true,
            };
            stop.reasons.retain(asked);
            let is_at_end = stop.edge.is_some() || stop.is_interrupted;
            if stop.reasons.is_empty() && !is_at_end {
                continue;
            }
            if is_own {
                let users = |address: &GuestVirtAddr| {
                    self.stops
                        .breakpoints
                        .iter()
                        .any(|point| point.address == *address)
                };
                for reason in &mut stop.reasons {
                    if let StopReason::Breakpoint(address) = reason
                        && wanted.iter().any(|wanted| wanted.address == address.0)
                        && !users(address)
                    {
                        *reason = StopReason::Step;
                    }
                }
            }
            return Ok(stop);
        }
        Ok(self.nothing())
    }
}

/// Holds in the frame that is stepped: of the thread by its `tp`, and of the call by its frame's address.
fn condition(wanted: &Wanted, frame_address: Option<u64>, tp: Option<u64>) -> Option<Condition> {
    const REGISTER: u8 = 0x26;
    const NUMBER: u8 = 0x25;
    const ADD: u8 = 0x02;
    const NOT: u8 = 0x0e;
    const AND: u8 = 0x0f;
    const EQUAL: u8 = 0x13;
    const LESS_UNSIGNED: u8 = 0x15;
    const END: u8 = 0x27;
    let mut code = Vec::new();
    let register = |code: &mut Vec<u8>, number: u16| {
        code.push(REGISTER);
        code.extend(number.to_be_bytes());
    };
    let number = |code: &mut Vec<u8>, value: u64| {
        code.push(NUMBER);
        code.extend(value.to_be_bytes());
    };
    number(&mut code, 1);
    if let Some(tp) = tp {
        register(&mut code, TP);
        number(&mut code, tp);
        code.extend([EQUAL, AND]);
    }
    match (wanted.frame_rule, frame_address) {
        (Some((base, offset)), Some(frame)) if base < 32 => {
            register(&mut code, base);
            number(&mut code, offset as u64);
            code.push(ADD);
            number(&mut code, frame);
            code.extend([EQUAL, AND]);
        }
        (None, Some(frame)) => {
            register(&mut code, SP);
            number(&mut code, frame);
            code.extend([LESS_UNSIGNED, NOT, AND]);
        }
        _ => {}
    }
    code.push(END);
    Condition::new(code).ok()
}

/// Offsets of the instructions that call a function or jump to one whose address is in a register.
fn call_offsets(code: &[u8]) -> Vec<u64> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(half) = code.get(at..).and_then(|rest| rest.first_chunk::<2>()) {
        let half = u16::from_le_bytes(*half);
        let is_long = half & 3 == 3;
        let is_call = if is_long {
            let word = code[at..]
                .first_chunk::<4>()
                .map_or(0, |word| u32::from_le_bytes(*word));
            let (opcode, target, base) = (word & 0x7f, word >> 7 & 31, word >> 15 & 31);
            // RISC-V Unprivileged 2.5.1: `jal` and `jalr` that keep a return address, and `jalr` that is no return.
            let is_jal = opcode == 0x6f && target == 1;
            let is_jalr = opcode == 0x67 && (target == 1 || base != 1);
            is_jal || is_jalr
        } else {
            // `c.jalr`, and `c.jr` that is no return.
            let base = half >> 7 & 31;
            let is_register = half & 0x007f == 2 && base != 0;
            is_register && (half >> 12 == 9 || (half >> 12 == 8 && base != 1))
        };
        if is_call {
            found.push(at as u64);
        }
        at += if is_long { 4 } else { 2 };
    }
    found
}

fn is_step(stop: &Stop) -> bool {
    stop.reasons.contains(&StopReason::Step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_from_returns() {
        // c.addi; jal ra; c.jalr a5; ret (c.jr ra); c.jr t1; jalr zero, ra; jalr ra, t1
        let code = [
            &0x1141u16.to_le_bytes()[..],
            &0x0000_00efu32.to_le_bytes(),
            &0x9782u16.to_le_bytes(),
            &0x8082u16.to_le_bytes(),
            &0x8302u16.to_le_bytes(),
            &0x0000_8067u32.to_le_bytes(),
            &0x0003_00e7u32.to_le_bytes(),
        ];
        assert_eq!(call_offsets(&code.concat()), [2, 6, 10, 16]);
    }
}
