//! Searching a stretch of a timeline: its intervals between checkpoints are independent of each other.

use super::course::{Advance, Course};
use super::{Control, MachineSource, Pass, ReplayTimeline, TimelineError};
use reprise_core::debug::{DebugHit, DebugPlan};
use reprise_core::machine::{Machine, Snapshot, StateHash};
use reprise_core::types::Icount;
use std::ops::Range;
use std::sync::Mutex;

/// Intervals are at least this long, so that making a machine for a job is worth it.
const INTERVAL_STEPS_MIN: u64 = 1 << 24;

/// Hits beyond this number are not collected: a plan that matches everywhere must not eat the memory.
pub const HITS_MAX: usize = 1 << 20;

/// Says which hits count. One judge serves one interval.
pub trait Judge: Send {
    /// Whether a hit counts. The machine is where [`DebugHit`] says.
    fn counts(&mut self, machine: &Machine, hit: &DebugHit) -> bool;
}

impl<F: FnMut(&Machine, &DebugHit) -> bool + Send> Judge for F {
    fn counts(&mut self, machine: &Machine, hit: &DebugHit) -> bool {
        self(machine, hit)
    }
}

/// A part of a search, to be run anywhere.
pub type Job<'a> = Box<dyn FnOnce() + Send + 'a>;

/// Runs the jobs of a search, on threads where there are any.
pub trait Executor {
    /// How many jobs it runs at a time.
    fn width(&self) -> usize {
        1
    }

    /// Runs all jobs to their ends.
    fn run(&self, jobs: Vec<Job<'_>>);
}

/// One job after the other.
#[derive(Clone, Copy, Default, Debug)]
pub struct SerialExecutor;

impl Executor for SerialExecutor {
    fn run(&self, jobs: Vec<Job<'_>>) {
        jobs.into_iter().for_each(|job| job());
    }
}

/// More intervals than this are not made: each holds a snapshot.
const INTERVAL_COUNT_MAX: u64 = 64;

struct Interval {
    start: Snapshot,
    to: Icount,
    /// What a keyframe claims to be the state at the end.
    claim: Option<StateHash>,
}

impl ReplayTimeline {
    /// All hits of a plan that count in a range of steps, in order; [`HITS_MAX`] at most. The position stays.
    ///
    /// Where the range has not been visited before, it is visited once for its checkpoints.
    ///
    /// # Errors
    /// [`TimelineError`].
    pub fn find_all(
        &mut self,
        range: Range<Icount>,
        plan: &DebugPlan,
        judge: &(dyn Fn() -> Box<dyn Judge> + Sync),
        executor: &dyn Executor,
        control: Control<'_>,
    ) -> Result<Vec<DebugHit>, TimelineError> {
        let here = self.position();
        let to = range.end.min(self.course.end);
        let intervals = self.intervals(range.start..to, executor.width(), control)?;
        let source = &*self.source;
        let course = &self.course;
        let results: Vec<Mutex<Result<Vec<DebugHit>, TimelineError>>> = intervals
            .iter()
            .map(|_| Mutex::new(Ok(Vec::new())))
            .collect();
        let queue = Mutex::new(intervals.iter().zip(&results));
        let jobs = (0..executor.width().max(1)).map(|_| {
            let queue = &queue;
            let from = range.start;
            Box::new(move || {
                let mut machine = None;
                loop {
                    // A poisoned lock means that another job has panicked: this one ends, too.
                    let next = queue.lock().ok().and_then(|mut queue| queue.next());
                    let Some((interval, result)) = next else {
                        return;
                    };
                    let found = search(source, course, &mut machine, interval, from, plan, judge());
                    if let Ok(mut result) = result.lock() {
                        *result = found;
                    }
                }
            }) as Job<'_>
        });
        executor.run(jobs.collect());
        let mut hits = Vec::new();
        for result in results {
            let found = result
                .into_inner()
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            if matches!(found, Err(TimelineError::BadKeyframe(_))) {
                self.distrust_keyframes();
            }
            let found = found?;
            hits.extend(found.into_iter().take(HITS_MAX - hits.len()));
        }
        self.seek(here, control)?;
        Ok(hits)
    }

    /// Divides a range at checkpoints, which are made where they are missing.
    fn intervals(
        &mut self,
        range: Range<Icount>,
        width: usize,
        control: Control<'_>,
    ) -> Result<Vec<Interval>, TimelineError> {
        if range.start >= range.end {
            return Ok(Vec::new());
        }
        let count = (width as u64 * 4).clamp(1, INTERVAL_COUNT_MAX);
        let steps = ((range.end.0 - range.start.0) / count).max(INTERVAL_STEPS_MIN);
        if width > 1 {
            self.make_starts(&range, steps, control)?;
        }
        let first = self
            .checkpoints
            .at_or_before(range.start)
            .unwrap_or_default();
        let mut starts: Vec<Icount> = vec![first];
        for at in self.checkpoints.positions(range.start, range.end) {
            if at.0 >= starts[starts.len() - 1].0 + steps {
                starts.push(at);
            }
        }
        let ends = starts.iter().skip(1).copied().chain([range.end]);
        let intervals = starts.iter().zip(ends).filter_map(|(start, to)| {
            Some(Interval {
                start: self.checkpoints.get(*start)?,
                to,
                claim: self.claims.get(&to).copied(),
            })
        });
        Ok(intervals.collect())
    }

    /// Sees to it that checkpoints stand in a range, `steps` apart or closer: from keyframes, else by going there.
    fn make_starts(
        &mut self,
        range: &Range<Icount>,
        steps: u64,
        control: Control<'_>,
    ) -> Result<(), TimelineError> {
        let mut at = range.start;
        while range.end.0.saturating_sub(at.0) > 2 * steps {
            // The last checkpoint within the next two steps' reach, else the last keyframe there, else one is made.
            let goal = at.after(steps);
            let last = self.checkpoints.at_or_before(goal.after(steps));
            let held = last.filter(|last| last.0 > at.0 + steps / 2);
            at = match held {
                Some(held) => held,
                None => {
                    self.approach(goal)?;
                    let here = self.position();
                    if here.0 > at.0 + steps / 2 && here <= goal {
                        self.checkpoint(goal);
                        here
                    } else {
                        if matches!(self.pass(goal, false, control)?, Pass::Interrupted) {
                            return Ok(());
                        }
                        self.checkpoint(goal);
                        self.position().max(at.after(1))
                    }
                }
            };
        }
        Ok(())
    }
}

fn search(
    source: &dyn MachineSource,
    course: &Course,
    machine: &mut Option<Machine>,
    interval: &Interval,
    from: Icount,
    plan: &DebugPlan,
    mut judge: Box<dyn Judge>,
) -> Result<Vec<DebugHit>, TimelineError> {
    let machine = match machine {
        Some(machine) => machine,
        None => machine.insert(source.machine()?),
    };
    machine.restore(&interval.start)?;
    machine.set_debug_plan(Some(plan.clone()));
    let mut hits = Vec::new();
    loop {
        let advance = course.follow(machine, interval.to)?;
        machine.take_outputs();
        for hit in machine.take_hits() {
            if hit.icount >= from
                && hit.icount < interval.to
                && hits.len() < HITS_MAX
                && judge.counts(machine, &hit)
            {
                hits.push(hit);
            }
        }
        if advance != Advance::Hits {
            if machine.icount() == interval.to
                && interval
                    .claim
                    .is_some_and(|claim| machine.state_hash() != claim)
            {
                return Err(TimelineError::BadKeyframe(interval.to));
            }
            return Ok(hits);
        }
    }
}
