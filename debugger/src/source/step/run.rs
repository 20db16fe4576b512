//! Runs to instructions that count in one frame of one thread.

use super::nothing;
use crate::condition::Condition;
use crate::linux::Task;
use crate::session::DebugSession;
use crate::source::frames::SP;
use crate::stops::{Breakpoint, Choice, Scope, Stop, StopReason, Stops};
use reprise_core::types::GuestVirtAddr;
use reprise_recorder::timeline::{Control, RunDirection, TimelineError};

/// Number of the register that is another in each thread (`tp`).
pub(super) const TP: u16 = 4;
/// Stops of others that a run passes.
const STOPS_MAX: usize = 1 << 10;

/// A breakpoint of a step.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) address: u64,
    /// The register and the number whose sum must be the frame's address; `None`: the stack pointer must not be below it.
    pub(super) frame_rule: Option<(u16, i64)>,
}

impl Wanted {
    /// An instruction of a caller, or of a function that was just entered.
    pub(super) fn at(address: u64) -> Self {
        Self {
            address,
            frame_rule: None,
        }
    }
}

/// A run to the first of some instructions in a frame of a thread, or to what the caller's stops ask for.
#[derive(Clone)]
pub(super) struct Run {
    direction: RunDirection,
    wanted: Vec<Wanted>,
    frame_address: Option<u64>,
    tp: Option<u64>,
    /// Stops that were not asked for.
    passed: usize,
}

impl Run {
    pub(super) fn new(
        direction: RunDirection,
        wanted: Vec<Wanted>,
        frame_address: Option<u64>,
        tp: Option<u64>,
    ) -> Self {
        Self {
            direction,
            wanted,
            frame_address,
            tp,
            passed: 0,
        }
    }

    /// Begins, or goes on where `control` interrupted it.
    pub(super) fn run(
        &mut self,
        session: &mut DebugSession,
        tid: u32,
        process: Option<&Task>,
        mut is_going_on: bool,
        stops: &Stops,
        control: Control<'_>,
    ) -> Result<Stop, TimelineError> {
        let with_wanted = self.with_wanted(stops, process);
        while self.passed < STOPS_MAX {
            let mut stop = if std::mem::take(&mut is_going_on) {
                session.run_on(self.direction, &with_wanted, control)?
            } else {
                session.run(self.direction, &with_wanted, control)?
            };
            let is_own = session.current().is_some_and(|task| task.tid == tid);
            let asked = |reason: &StopReason| match reason {
                StopReason::Exit(_) => is_own || stops.exit,
                StopReason::Signal(number) => is_own || stops.signals.contains(u64::from(*number)),
                _ => true,
            };
            stop.reasons.retain(asked);
            let is_at_end = stop.edge.is_some() || stop.is_interrupted;
            if stop.reasons.is_empty() && !is_at_end {
                self.passed += 1;
                continue;
            }
            if is_own {
                self.name_reasons(&mut stop, stops);
            }
            return Ok(stop);
        }
        Ok(nothing(session))
    }

    /// What somebody asks for, and what is wanted.
    fn with_wanted(&self, stops: &Stops, process: Option<&Task>) -> Stops {
        let mut stops = stops.clone();
        let scope = process.map_or(Scope::Machine, |task| Scope::Process(task.tgid));
        let wanted = self.wanted.iter().map(|wanted| Breakpoint {
            scope,
            address: GuestVirtAddr(wanted.address),
            conditions: (self.condition(wanted)).into_iter().collect(),
        });
        stops.breakpoints.extend(wanted);
        stops.exit = true;
        stops.signals = Choice::all();
        stops
    }

    /// A breakpoint that is the step's alone is the step's end.
    fn name_reasons(&self, stop: &mut Stop, stops: &Stops) {
        let users = |address: &GuestVirtAddr| {
            let mut points = stops.breakpoints.iter();
            points.any(|point| point.address == *address)
        };
        for reason in &mut stop.reasons {
            if let StopReason::Breakpoint(address) = reason
                && (self.wanted.iter()).any(|wanted| wanted.address == address.0)
                && !users(address)
            {
                *reason = StopReason::Step;
            }
        }
    }

    /// Holds in the frame that is stepped: of the thread by its `tp`, and of the call by its frame's address.
    fn condition(&self, wanted: &Wanted) -> Option<Condition> {
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
        if let Some(tp) = self.tp {
            register(&mut code, TP);
            number(&mut code, tp);
            code.extend([EQUAL, AND]);
        }
        match (wanted.frame_rule, self.frame_address) {
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
}
