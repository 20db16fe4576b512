//! Going somewhere: seeks, steps and runs, a slice at a time.

use super::code::line_unit;
use super::stops::{Understood, met, stops_of};
use super::{Engine, Progress, Refusal, because, session_of, words};
use crate::protocol::{Direction, Message, RequestId, StepUnit, StopPoint, Target, Thread};
use reprise_core::debug::{DebugHit, DebugPlan};
use reprise_core::machine::Machine;
use reprise_core::types::{CpuId, GuestTime, Icount, NANOSECONDS_PER_TICK};
use reprise_debugger::session::DebugSession;
use reprise_debugger::stops::{Choice, Scope, Stop, Stops, SystemCallStop};
use reprise_recorder::timeline::{RunDirection, StopStatus, TimeSearch, TraceEdge};
use std::ops::{ControlFlow, RangeInclusive};

/// Hits of one search that are kept.
const HITS_MAX: usize = 10_000;

/// Looks of the timeline at its control in a slice of a step or run: some of them milliseconds apart, some microseconds.
const SLICE_LOOKS_MAX: u32 = 64;
/// Steps of the machine in a slice of those, after which the next look ends it.
const SLICE_STEPS_MAX: u64 = 1 << 20;

/// Going somewhere.
#[derive(Clone)]
pub(crate) enum Travel {
    Seek(Target),
    SeekTime(TimeSearch),
    Program {
        has_begun: bool,
    },
    Run {
        direction: RunDirection,
        /// None are those that the person set.
        stops: Option<Stops>,
        has_begun: bool,
    },
    Switch {
        direction: RunDirection,
        /// The thread that is left.
        own: Option<u32>,
        has_begun: bool,
    },
    Step {
        direction: RunDirection,
        unit: StepUnit,
        tid: Option<u32>,
        has_begun: bool,
    },
}

/// Looking for everything that a stop would stop at.
#[derive(Clone)]
pub(crate) struct HitSearch {
    point: StopPoint,
    /// Where the stop is understood.
    at: Icount,
    /// The part of the recording that is searched.
    part: RangeInclusive<Icount>,
    /// Where to go when all is found.
    back: Option<Icount>,
    found: Vec<u64>,
    phase: SearchPhase,
}

#[derive(Clone)]
enum SearchPhase {
    /// To where the stop is understood.
    Asking,
    /// To the beginning of the part.
    Going(Understood),
    Searching {
        stop: Understood,
        has_begun: bool,
    },
    /// Back to where the person looks.
    Returning,
}

fn run_direction(direction: Direction) -> RunDirection {
    match direction {
        Direction::Forward => RunDirection::Forward,
        Direction::Backward => RunDirection::Backward,
    }
}

impl Travel {
    pub(crate) fn run(direction: Direction) -> Self {
        Self::Run {
            direction: run_direction(direction),
            stops: None,
            has_begun: false,
        }
    }

    pub(crate) fn step(
        session: &DebugSession,
        unit: StepUnit,
        direction: Direction,
        thread: Thread,
    ) -> Result<Self, Refusal> {
        let direction = run_direction(direction);
        let task =
            match thread {
                Thread::Cpu => None,
                Thread::Current => session
                    .current()
                    .filter(|task| !task.is_kernel_thread && task.tid != 0),
                Thread::Task(tid) => Some(session.task(tid).ok_or_else(|| {
                    because(format!("thread {tid} is not there at this position"))
                })?),
            };
        Ok(match unit {
            StepUnit::ContextSwitch => Self::Switch {
                direction,
                own: session.current().map(|task| task.tid),
                has_begun: false,
            },
            StepUnit::SystemCall => Self::Run {
                direction,
                stops: Some(Stops {
                    system_calls: vec![SystemCallStop {
                        scope: task
                            .as_ref()
                            .map_or(Scope::Machine, |task| Scope::Process(task.tgid)),
                        calls: Choice::all(),
                        at_entry: true,
                        at_return: false,
                    }],
                    ..Stops::default()
                }),
                has_begun: false,
            },
            unit => Self::Step {
                direction,
                unit,
                tid: task.map(|task| task.tid),
                has_begun: false,
            },
        })
    }
}

impl Engine {
    pub(super) fn travel_on(
        &mut self,
        id: RequestId,
        travel: &mut Travel,
    ) -> Result<Progress, Refusal> {
        let session = session_of(&mut self.subject)?;
        let begin = session.timeline().position();
        let stop = match travel {
            Travel::Seek(target) => {
                let timeline = session.timeline_mut();
                stop_from_status(match *target {
                    Target::Program => {
                        timeline.seek(Icount(0), &mut go_on)?;
                        *travel = Travel::Program { has_begun: false };
                        return Ok(Progress::More);
                    }
                    Target::Time(nanoseconds) => {
                        let time = GuestTime(nanoseconds / NANOSECONDS_PER_TICK);
                        *travel = Travel::SeekTime(timeline.search_time(time));
                        return Ok(Progress::More);
                    }
                    Target::Start => timeline.seek(Icount(0), &mut slice_end)?,
                    Target::End => timeline.seek(timeline.end(), &mut slice_end)?,
                    Target::Icount(icount) => timeline.seek(Icount(icount), &mut slice_end)?,
                    Target::Event(number) => {
                        timeline.seek_event(number as usize, &mut slice_end)?
                    }
                })
            }
            Travel::SeekTime(search) => {
                let timeline = session.timeline_mut();
                stop_from_status(timeline.seek_time_on(search, &mut slice_end)?)
            }
            Travel::Program { has_begun } => {
                let stops = Stops {
                    exec: Choice::all(),
                    ..Stops::default()
                };
                let stop = run_slice(session, RunDirection::Forward, &stops, has_begun)?;
                if !stop.is_interrupted && stop.edge.is_none() {
                    // The first process prepares the system.
                    if session.current().is_none_or(|task| task.tgid == 1) {
                        return Ok(Progress::More);
                    }
                } else if stop.edge.is_some() {
                    *travel = Travel::Seek(Target::Start);
                    return Ok(Progress::More);
                }
                stop
            }
            Travel::Run {
                direction,
                stops,
                has_begun,
            } => {
                let stops = stops.clone().unwrap_or_else(|| stops_of(&self.stops));
                run_slice(session, *direction, &stops, has_begun)?
            }
            Travel::Switch {
                direction,
                own,
                has_begun,
            } => switch_slice(session, *direction, *own, has_begun)?,
            Travel::Step {
                direction,
                unit,
                tid,
                has_begun,
            } => {
                let stops = stops_of(&self.stops);
                step_slice(session, *direction, *unit, *tid, &stops, has_begun)?
            }
        };
        if stop.is_interrupted {
            let total = session.timeline().end().0;
            let here = session.timeline().position();
            self.messages.push_back(Message::Progress {
                id,
                what: if here < begin {
                    "going back"
                } else {
                    "going there"
                }
                .to_owned(),
                done: here.0,
                total,
            });
            return Ok(Progress::More);
        }
        let met = met(&self.stops, &stop);
        let is_arriving = self.arrival().is_some();
        let reasons = words::reasons(&stop, &self.stops, is_arriving);
        self.tell_position(id, reasons, met, stop.edge.is_some());
        Ok(Progress::Done)
    }

    /// A search of the whole recording; the position stays.
    pub(super) fn hit_search(&mut self, point: StopPoint) -> Result<HitSearch, Refusal> {
        let timeline = session_of(&mut self.subject)?.timeline();
        let (here, end) = (timeline.position(), timeline.end());
        Ok(HitSearch {
            point,
            at: here,
            part: Icount(0)..=end,
            back: Some(here),
            found: Vec::new(),
            phase: SearchPhase::Asking,
        })
    }

    /// A search of a part; the position becomes any.
    pub(super) fn hit_search_in(point: StopPoint, at: u64, part: RangeInclusive<u64>) -> HitSearch {
        HitSearch {
            point,
            at: Icount(at),
            part: Icount(*part.start())..=Icount(*part.end()),
            back: None,
            found: Vec::new(),
            phase: SearchPhase::Asking,
        }
    }

    pub(super) fn search_on(
        &mut self,
        id: RequestId,
        search: &mut HitSearch,
    ) -> Result<Progress, Refusal> {
        let session = session_of(&mut self.subject)?;
        let timeline = session.timeline_mut();
        let mut is_over = false;
        match &mut search.phase {
            SearchPhase::Asking => {
                if !timeline.seek(search.at, &mut slice_end)?.is_interrupted {
                    let stop = Understood::new(session, search.point.clone())?;
                    // Another engine may begin at one of these, and has nothing to compare it with.
                    session.timeline_mut().claim_keyframes(search.part.clone());
                    search.phase = SearchPhase::Going(stop);
                }
            }
            SearchPhase::Going(stop) => {
                if !timeline
                    .seek(*search.part.start(), &mut slice_end)?
                    .is_interrupted
                {
                    search.phase = SearchPhase::Searching {
                        stop: stop.clone(),
                        // What is met at the very beginning of a part counts, too.
                        has_begun: true,
                    };
                }
            }
            SearchPhase::Searching { stop, has_begun } => {
                let stops = stops_of(std::slice::from_ref(stop));
                let stop = run_slice(session, RunDirection::Forward, &stops, has_begun)?;
                let here = stop.icount;
                // Where a step waits for bytes of a disk it is met again.
                let is_new = search.found.last() != Some(&here.0);
                if !stop.reasons.is_empty() && is_new {
                    search.found.push(here.0);
                }
                if here >= *search.part.end()
                    || stop.edge == Some(TraceEdge::End)
                    || search.found.len() >= HITS_MAX
                {
                    search.phase = SearchPhase::Returning;
                }
            }
            SearchPhase::Returning => {
                is_over = match search.back {
                    Some(back) => !timeline.seek(back, &mut slice_end)?.is_interrupted,
                    None => true,
                };
            }
        }
        if is_over {
            let icounts = std::mem::take(&mut search.found);
            self.messages.push_back(Message::Hits {
                id,
                stop: search.point.id,
                is_capped: icounts.len() >= HITS_MAX,
                icounts,
            });
            return Ok(Progress::Done);
        }
        if let SearchPhase::Searching { .. } = search.phase {
            let here = session_of(&mut self.subject)?.timeline().position();
            let (from, to) = (search.part.start().0, search.part.end().0);
            self.messages.push_back(Message::Progress {
                id,
                what: "looking for hits".to_owned(),
                done: here.0.clamp(from, to) - from,
                total: to - from,
            });
        }
        Ok(Progress::More)
    }
}

/// Lets something short go on to its end.
fn go_on(_: Icount) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Ends a slice at the first look.
fn slice_end(_: Icount) -> ControlFlow<()> {
    ControlFlow::Break(())
}

/// Ends a slice of a step or run. A step by line runs to breakpoints that count in one frame alone, and a run may pass what its
/// process or condition rejects: where that is met without end, a slice for each would cost far more than passing it.
fn run_slice_end(here: Icount) -> impl FnMut(Icount) -> ControlFlow<()> {
    let (mut looks, mut steps, mut last) = (0, 0, here.0);
    move |here| {
        looks += 1;
        // A jump back, to search what lies before, is no work.
        steps += here.0.saturating_sub(last);
        last = here.0;
        if looks >= SLICE_LOOKS_MAX || steps >= SLICE_STEPS_MAX {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// Runs for a slice.
fn run_slice(
    session: &mut DebugSession,
    direction: RunDirection,
    stops: &Stops,
    has_begun: &mut bool,
) -> Result<Stop, Refusal> {
    let mut slice_end = run_slice_end(session.timeline().position());
    let stop = if *has_begun {
        session.run_on(direction, stops, &mut slice_end)?
    } else {
        session.run(direction, stops, &mut slice_end)?
    };
    // A stop is a stop, also when a slice ends with it: the next run begins anew there.
    *has_begun = stop.is_interrupted;
    Ok(stop)
}

/// To where another thread is executed.
fn switch_slice(
    session: &mut DebugSession,
    direction: RunDirection,
    own: Option<u32>,
    has_begun: &mut bool,
) -> Result<Stop, Refusal> {
    let kernel = session
        .kernel()
        .map_err(|error| because(error.to_string()))?
        .clone();
    let plan = DebugPlan {
        user_entries: true,
        ..DebugPlan::default()
    };
    let timeline = session.timeline_mut();
    let mut slice_end = run_slice_end(timeline.position());
    let mut judge = |machine: &Machine, _: &DebugHit| {
        let tid = kernel.view(machine).current(CpuId(0)).map(|task| task.tid);
        tid != own
    };
    let status = if std::mem::replace(has_begun, true) {
        timeline.run_on(direction, &plan, &mut judge, &mut slice_end)?
    } else {
        timeline.run(direction, &plan, &mut judge, &mut slice_end)?
    };
    Ok(stop_from_status(status))
}

/// Steps for a slice: even one instruction may be a system call that waits for long.
fn step_slice(
    session: &mut DebugSession,
    direction: RunDirection,
    unit: StepUnit,
    tid: Option<u32>,
    stops: &Stops,
    has_begun: &mut bool,
) -> Result<Stop, Refusal> {
    let is_going_on = std::mem::replace(has_begun, true);
    let mut slice_end = run_slice_end(session.timeline().position());
    Ok(match (unit, tid) {
        (StepUnit::Cpu, _) | (StepUnit::Instruction, None) => session.step_cpu(direction, stops)?,
        (_, None) => {
            return Err(because(
                "there is no program here whose lines could be stepped through: choose a thread",
            ));
        }
        (StepUnit::Instruction, Some(tid)) if is_going_on => {
            session.step_thread_on(direction, tid, stops, &mut slice_end)?
        }
        (StepUnit::Instruction, Some(tid)) => {
            session.step_thread(direction, tid, stops, &mut slice_end)?
        }
        (unit, Some(tid)) if is_going_on => {
            session.step_line_on(direction, line_unit(unit), tid, stops, &mut slice_end)?
        }
        (unit, Some(tid)) => {
            session.step_line(direction, line_unit(unit), tid, stops, &mut slice_end)?
        }
    })
}

fn stop_from_status(status: StopStatus) -> Stop {
    Stop {
        icount: status.icount,
        reasons: Vec::new(),
        edge: status.edge,
        is_interrupted: status.is_interrupted,
    }
}
