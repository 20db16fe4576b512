//! Running a timeline in both directions, to what a plan asks for.

use super::{Control, Pass, ReplayTimeline, TimelineError};
use reprise_core::debug::{DebugHit, DebugPlan};
use reprise_core::machine::Machine;
use reprise_core::types::Icount;

/// Which way a timeline runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RunDirection {
    /// As time goes.
    Forward,
    /// Back.
    Backward,
}

/// An end of a timeline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TraceEdge {
    /// Power-on.
    Begin,
    /// The end of the recording, or of a diversion that halted or waits for an input.
    End,
}

/// Why and where a timeline stands still. Several reasons can hold at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StopStatus {
    /// Position.
    pub icount: Icount,
    /// The hits that were accepted here.
    pub hits: Vec<DebugHit>,
    /// It is at an end.
    pub edge: Option<TraceEdge>,
    /// The caller's control asked it to stop.
    pub is_interrupted: bool,
}

/// Says whether to stop at a hit. The machine is where [`DebugHit`] says: at the hit's step or just after it.
pub type JudgeFn<'a> = &'a mut dyn FnMut(&Machine, &DebugHit) -> bool;

impl ReplayTimeline {
    /// Goes one step: an instruction, a trap, an event or an idle jump.
    ///
    /// # Errors
    /// [`TimelineError`].
    pub fn step(&mut self, direction: RunDirection) -> Result<StopStatus, TimelineError> {
        let here = self.position();
        match direction {
            RunDirection::Backward => {
                self.seek(Icount(here.0.saturating_sub(1)), &mut super::unhurried)
            }
            RunDirection::Forward => {
                self.machine.set_debug_plan(None);
                let mut waits = false;
                if self.course.is_open || here < self.course.end {
                    let pass = self.pass(here.after(1), false, &mut super::unhurried)?;
                    waits = pass == Pass::Waits;
                }
                let mut status = self.status(false);
                if waits {
                    status.edge = Some(TraceEdge::End);
                }
                Ok(status)
            }
        }
    }

    /// As [`ReplayTimeline::step`]; the hits of the step that it goes over, in either direction, are those that `judge`
    /// accepts. Only what is known when a step is done can be among them: accesses to watched memory.
    ///
    /// # Errors
    /// [`TimelineError`].
    pub fn step_watching(
        &mut self,
        direction: RunDirection,
        plan: &DebugPlan,
        judge: JudgeFn<'_>,
    ) -> Result<StopStatus, TimelineError> {
        let here = self.position();
        let from = match direction {
            RunDirection::Forward => here,
            RunDirection::Backward => Icount(here.0.saturating_sub(1)),
        };
        if plan.is_empty() || from == here && direction == RunDirection::Backward {
            return self.step(direction);
        }
        self.seek(from, &mut super::unhurried)?;
        self.machine.set_debug_plan(Some(plan.clone()));
        self.machine.pass_here();
        let stepped = if self.course.is_open || from < self.course.end {
            self.pass(from.after(1), false, &mut super::unhurried)
        } else {
            Ok(Pass::Reached)
        };
        let mut hits = self.machine.take_hits();
        hits.retain(|hit| hit.icount == from && judge(&self.machine, hit));
        self.machine.set_debug_plan(None);
        let mut status = match (stepped?, direction) {
            (_, RunDirection::Backward) => self.seek(from, &mut super::unhurried)?,
            (Pass::Waits, _) => StopStatus {
                edge: Some(TraceEdge::End),
                ..self.status(false)
            },
            _ => self.status(false),
        };
        status.hits = hits;
        Ok(status)
    }

    /// Runs until a hit of the plan that `judge` accepts, an end of the timeline, or a word from `control`.
    ///
    /// Forward, what would be reported before the step at the position is passed over; the run stops at a hit that is
    /// known before its step there, and after its step otherwise. Backward, it stops before the step of the last
    /// accepted hit before the position: a store to watched memory has not happened then.
    ///
    /// Whatever `control` says and when, [`ReplayTimeline::run_on`] goes on where a run was interrupted. Backward, an
    /// interrupted run stands where everything after has been searched, which may be where it began; then the next one has
    /// less to search, since checkpoints are closer. Some of what was judged is judged again.
    ///
    /// # Errors
    /// [`TimelineError`].
    pub fn run(
        &mut self,
        direction: RunDirection,
        plan: &DebugPlan,
        judge: JudgeFn<'_>,
        control: Control<'_>,
    ) -> Result<StopStatus, TimelineError> {
        self.run_from_here(direction, true, plan, judge, control)
    }

    /// Goes on with a run that was interrupted at the position: as [`ReplayTimeline::run`], but passes over nothing. The
    /// hits of a run that is cut into any slices are those of the whole one, if `judge` judges by machine and hit alone;
    /// each slice makes progress, even where `control` interrupts whenever it is asked, unless bytes of an image are missing.
    ///
    /// # Errors
    /// [`TimelineError`].
    pub fn run_on(
        &mut self,
        direction: RunDirection,
        plan: &DebugPlan,
        judge: JudgeFn<'_>,
        control: Control<'_>,
    ) -> Result<StopStatus, TimelineError> {
        self.run_from_here(direction, false, plan, judge, control)
    }

    fn run_from_here(
        &mut self,
        direction: RunDirection,
        passes_here: bool,
        plan: &DebugPlan,
        judge: JudgeFn<'_>,
        control: Control<'_>,
    ) -> Result<StopStatus, TimelineError> {
        let here = self.position();
        let passes_here = passes_here || self.passed.take() == Some(here);
        let result = match direction {
            RunDirection::Forward => self.run_forward(passes_here, plan, judge, control),
            // What is reported at the position's own step lies ahead.
            RunDirection::Backward => self.run_backward(plan, judge, control),
        };
        self.machine.set_debug_plan(None);
        let is_interrupted = matches!(&result, Ok(status) if status.is_interrupted);
        let has_stayed = is_interrupted && self.position() == here;
        self.passed = Some(here).filter(|_| passes_here && has_stayed);
        result
    }

    fn run_forward(
        &mut self,
        passes_here: bool,
        plan: &DebugPlan,
        judge: JudgeFn<'_>,
        control: Control<'_>,
    ) -> Result<StopStatus, TimelineError> {
        self.approach(self.position())?;
        self.machine.set_debug_plan(Some(plan.clone()));
        if passes_here {
            self.machine.pass_here();
        }
        let mut to = if self.course.is_open {
            Icount(u64::MAX)
        } else {
            self.course.end
        };
        let mut is_interrupted = false;
        loop {
            match self.pass(to, false, control)? {
                Pass::Hits => {
                    let hits = self.machine.take_hits();
                    let is_before_step = hits.iter().any(DebugHit::is_before_step);
                    let accepted: Vec<DebugHit> = (hits.into_iter())
                        .filter(|hit| judge(&self.machine, hit))
                        .collect();
                    if !accepted.is_empty() {
                        return Ok(StopStatus {
                            hits: accepted,
                            ..self.status(false)
                        });
                    }
                    is_interrupted |= control(self.position()).is_break();
                    if is_interrupted && !is_before_step {
                        return Ok(self.status(true));
                    }
                    if is_interrupted {
                        // Who goes on from here would meet them again, and for ever: the step is made yet.
                        to = self.position().after(1);
                    }
                }
                Pass::Interrupted => return Ok(self.status(true)),
                Pass::Reached => return Ok(self.status(is_interrupted)),
                Pass::Waits => {
                    return Ok(StopStatus {
                        edge: Some(TraceEdge::End),
                        ..self.status(false)
                    });
                }
            }
        }
    }

    fn run_backward(
        &mut self,
        plan: &DebugPlan,
        judge: JudgeFn<'_>,
        control: Control<'_>,
    ) -> Result<StopStatus, TimelineError> {
        let mut upper = self.position();
        // An interrupted run comes back to here.
        self.checkpoint(upper);
        let mut is_break_wanted = false;
        while upper.0 > 0 {
            // The interval before what is known to hold no hit. Its checkpoints get denser on the way through it.
            self.machine.set_debug_plan(None);
            let goal = Icount(upper.0 - 1);
            self.approach_from_checkpoint(goal)?;
            let lower = self.position();
            self.machine.set_debug_plan(Some(plan.clone()));
            let mut found: Vec<DebugHit> = Vec::new();
            loop {
                let before = self.position();
                let pass = self.pass(upper, false, control)?;
                for hit in self.machine.take_hits() {
                    // What comes before the step at the interval's end belongs to the next interval.
                    if hit.icount >= upper || !judge(&self.machine, &hit) {
                        continue;
                    }
                    if found.last().is_some_and(|last| last.icount < hit.icount) {
                        found.clear();
                    }
                    found.push(hit);
                }
                is_break_wanted |= match pass {
                    Pass::Hits => control(self.position()).is_break(),
                    Pass::Interrupted => true,
                    Pass::Reached | Pass::Waits => break,
                };
                let here = self.position();
                if here >= upper {
                    break;
                }
                if pass == Pass::Interrupted && here == before {
                    // An image's bytes are missing: the next run finds them there.
                    self.seek(upper, &mut super::unhurried)?;
                    return Ok(self.status(true));
                }
                if is_break_wanted && here > lower {
                    // The next run searches from here; without a way back and a place to begin, this one goes on.
                    self.checkpoint(upper);
                    if self.checkpoints.contains(here) && self.checkpoints.contains(upper) {
                        self.machine.set_debug_plan(None);
                        self.seek(upper, &mut super::unhurried)?;
                        return Ok(self.status(true));
                    }
                }
            }
            if let Some(last) = found.first().map(|hit| hit.icount) {
                // An interruption between the checkpoint and the hit would stand beyond the hit.
                let status = self.seek(last, &mut super::unhurried)?;
                return Ok(StopStatus {
                    hits: found,
                    ..status
                });
            }
            upper = lower;
            if is_break_wanted && upper.0 > 0 {
                self.seek(upper, &mut super::unhurried)?;
                return Ok(self.status(true));
            }
        }
        self.seek(Icount(0), control)
    }

    /// Puts the machine to the last checkpoint or keyframe at or before `to`, wherever it is now.
    fn approach_from_checkpoint(&mut self, to: Icount) -> Result<(), TimelineError> {
        let best = self.checkpoints.at_or_before(to);
        let best = self.nearer_keyframe(to, best).or(best).unwrap_or(Icount(0));
        self.restore(best)
    }
}
