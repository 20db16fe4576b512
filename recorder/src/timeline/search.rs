//! Searching a stretch of a timeline: its intervals between checkpoints are independent of each other.

use super::course::{Advance, Course};
use super::{Control, MachineSource, Pass, ReplayTimeline, SLICE_STEPS, TimelineError};
use reprise_core::debug::{DebugHit, DebugPlan};
use reprise_core::machine::{Machine, Snapshot, StateHash};
use reprise_core::types::Icount;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Intervals are at least this long, so that restoring a machine for one is worth it.
const INTERVAL_STEPS_MIN: u64 = 1 << 24;

/// And at most so long: about as long as somebody waits for an interrupted search to end.
const INTERVAL_STEPS_MAX: u64 = 1 << 27;

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

struct Interval {
    start: Snapshot,
    to: Icount,
    /// What a keyframe claims to be the state at the end.
    claim: Option<StateHash>,
}

/// What is looked for, and where.
#[derive(Clone, Copy)]
struct Search<'a> {
    source: &'a dyn MachineSource,
    course: &'a Course,
    from: Icount,
    plan: &'a DebugPlan,
}

/// What an interval came to.
type Found = Result<Vec<DebugHit>, TimelineError>;

impl ReplayTimeline {
    /// All hits of a plan that count in a range of steps, in order; [`HITS_MAX`] at most. The position stays.
    ///
    /// With an executor of more than one job at a time, intervals between checkpoints are searched side by side; where there
    /// are neither checkpoints nor keyframes, the range is visited for them.
    ///
    /// # Errors
    /// [`TimelineError`]; [`TimelineError::Interrupted`] when `control` says so.
    pub fn find_all(
        &mut self,
        range: Range<Icount>,
        plan: &DebugPlan,
        judge: &(dyn Fn() -> Box<dyn Judge> + Sync),
        executor: &dyn Executor,
        control: Control<'_>,
    ) -> Found {
        let here = self.position();
        let found = self.search(range, plan, judge, executor, control);
        if matches!(found, Err(TimelineError::BadKeyframe(_))) {
            self.distrust_keyframes();
        }
        self.seek(here, &mut super::unhurried)?;
        found
    }

    fn search(
        &mut self,
        range: Range<Icount>,
        plan: &DebugPlan,
        judge: &(dyn Fn() -> Box<dyn Judge> + Sync),
        executor: &dyn Executor,
        control: Control<'_>,
    ) -> Found {
        let end = range.end.min(self.course.end);
        let mut hits = Vec::new();
        if range.start >= end {
            return Ok(hits);
        }
        self.machine.set_debug_plan(None);
        let mut start = self.start_near(range.start, 0, control)?;
        let width = executor.width().max(1);
        let steps = (end.0 - range.start.0) / (width as u64 * 4);
        let steps = steps.clamp(INTERVAL_STEPS_MIN, INTERVAL_STEPS_MAX);
        let mut machines: Vec<Option<Machine>> = (0..width).map(|_| None).collect();
        while start.0 < end && hits.len() < HITS_MAX {
            let mut intervals = Vec::new();
            while start.0 < end && intervals.len() < 2 * width {
                let at = start.0;
                let is_last = width == 1 || end.0 - at.0 <= 2 * steps;
                let next = match is_last {
                    true => (end, start.1.clone()),
                    false => self.start_near(at.after(steps), steps / 2, control)?,
                };
                intervals.push(Interval {
                    start: std::mem::replace(&mut start, next).1,
                    to: start.0,
                    claim: self.claims.get(&start.0).copied(),
                });
            }
            let search = Search {
                source: &*self.source,
                course: &self.course,
                from: range.start,
                plan,
            };
            let found = if width == 1 {
                let found = intervals
                    .iter()
                    .map(|interval| search.interval(&mut machines[0], interval, judge(), control));
                found.collect::<Vec<Found>>()
            } else {
                search.intervals(&mut machines, &intervals, judge, executor)
            };
            for found in found {
                let room = HITS_MAX - hits.len();
                hits.extend(found?.into_iter().take(room));
            }
            if start.0 < end && control(start.0).is_break() {
                return Err(TimelineError::Interrupted);
            }
        }
        Ok(hits)
    }

    /// A state near a position and not more than `before` steps before it: a checkpoint, a keyframe, or one made by
    /// going there.
    fn start_near(
        &mut self,
        goal: Icount,
        before: u64,
        control: Control<'_>,
    ) -> Result<(Icount, Snapshot), TimelineError> {
        self.approach(goal)?;
        if self.position().after(before) < goal
            && matches!(self.pass(goal, false, control)?, Pass::Interrupted)
        {
            return Err(TimelineError::Interrupted);
        }
        self.checkpoint(goal);
        Ok((self.position(), self.machine.snapshot()))
    }
}

impl Search<'_> {
    /// Searches intervals, as many at a time as there are machines.
    fn intervals(
        self,
        machines: &mut [Option<Machine>],
        intervals: &[Interval],
        judge: &(dyn Fn() -> Box<dyn Judge> + Sync),
        executor: &dyn Executor,
    ) -> Vec<Found> {
        let results: Vec<Mutex<Found>> = (intervals.iter())
            .map(|_| Mutex::new(Ok(Vec::new())))
            .collect();
        let queue = Mutex::new(intervals.iter().zip(&results));
        let jobs = machines.iter_mut().map(|machine| {
            let queue = &queue;
            Box::new(move || {
                loop {
                    // A poisoned lock means that another job has panicked: this one ends, too.
                    let next = queue.lock().ok().and_then(|mut queue| queue.next());
                    let Some((interval, result)) = next else {
                        return;
                    };
                    let found = self.interval(machine, interval, judge(), &mut super::unhurried);
                    if let Ok(mut result) = result.lock() {
                        *result = found;
                    }
                }
            }) as Job<'_>
        });
        executor.run(jobs.collect());
        let results = results.into_iter().map(Mutex::into_inner);
        results
            .map(|found| found.unwrap_or_else(PoisonError::into_inner))
            .collect()
    }

    fn interval(
        self,
        machine: &mut Option<Machine>,
        interval: &Interval,
        mut judge: Box<dyn Judge>,
        control: Control<'_>,
    ) -> Found {
        let machine = match machine {
            Some(machine) => machine,
            None => machine.insert(self.source.machine()?),
        };
        machine.restore(&interval.start)?;
        machine.set_debug_plan(Some(self.plan.clone()));
        let mut hits = Vec::new();
        loop {
            let slice = machine.icount().after(SLICE_STEPS).min(interval.to);
            let advance = self.course.follow(machine, slice)?;
            machine.take_outputs();
            for hit in machine.take_hits() {
                if hit.icount >= self.from
                    && hit.icount < interval.to
                    && hits.len() < HITS_MAX
                    && judge.counts(machine, &hit)
                {
                    hits.push(hit);
                }
            }
            if advance == Advance::Hits {
                continue;
            }
            if advance == Advance::Reached && machine.icount() < interval.to {
                if control(machine.icount()).is_break() {
                    return Err(TimelineError::Interrupted);
                }
                continue;
            }
            let is_as_claimed = machine.icount() != interval.to
                || (interval.claim).is_none_or(|claim| machine.state_hash() == claim);
            return match is_as_claimed {
                true => Ok(hits),
                false => Err(TimelineError::BadKeyframe(interval.to)),
            };
        }
    }
}
