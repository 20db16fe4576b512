//! Searching a stretch of a timeline: its intervals between checkpoints are independent of each other.

use super::course::{Advance, Course};
use super::{Control, MachineSource, Pass, ReplayTimeline, SLICE_STEPS, TimelineError};
use reprise_core::debug::{DebugHit, DebugPlan};
use reprise_core::machine::{Machine, Snapshot, StateHash};
use reprise_core::types::Icount;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Intervals are at least this long, so that restoring a machine for one is worth it.
const INTERVAL_STEPS_MIN: u64 = 1 << 24;

/// And at most so long, so that a round of them is searched within seconds.
const INTERVAL_STEPS_MAX: u64 = 1 << 27;

/// Hits between two looks at the caller's control, where hits are so dense that a slice of steps takes long.
const SLICE_HITS: u32 = 256;

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

    /// Runs all jobs to their ends and calls `poll` on the caller's thread every ten milliseconds or so meanwhile. An
    /// executor that has only [`Executor::run`] leaves `poll` alone: a search is then interrupted between its rounds.
    fn run_polling(&self, jobs: Vec<Job<'_>>, _poll: &mut dyn FnMut()) {
        self.run(jobs);
    }
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
    /// Only the last hits of an interval are wanted.
    keeps_last: bool,
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
        let found = self.search_ahead(range, plan, judge, executor, control);
        self.come_back(here, found)
    }

    /// The last hit of a plan that counts in a range of steps, with all others of the same step; none if there is
    /// none. The position stays. Looks at the end of the range first, so that a hit near it is found soon; else as
    /// [`ReplayTimeline::find_all`].
    ///
    /// # Errors
    /// As [`ReplayTimeline::find_all`].
    pub fn find_last(
        &mut self,
        range: Range<Icount>,
        plan: &DebugPlan,
        judge: &(dyn Fn() -> Box<dyn Judge> + Sync),
        executor: &dyn Executor,
        control: Control<'_>,
    ) -> Found {
        let here = self.position();
        let found = self.search_back(range, plan, judge, executor, control);
        self.come_back(here, found)
    }

    fn come_back(&mut self, here: Icount, found: Found) -> Found {
        if matches!(found, Err(TimelineError::BadKeyframe(_))) {
            self.distrust_keyframes()?;
        }
        self.seek(here, &mut super::unhurried)?;
        found
    }

    fn search_ahead(
        &mut self,
        range: Range<Icount>,
        plan: &DebugPlan,
        judge: &(dyn Fn() -> Box<dyn Judge> + Sync),
        executor: &dyn Executor,
        control: Control<'_>,
    ) -> Found {
        let end = range.end.min(self.course.end);
        let mut hits = Vec::new();
        let width = executor.width().max(1);
        let mut machines: Vec<Option<Machine>> = (0..width).map(|_| None).collect();
        let steps = end.0.saturating_sub(range.start.0) / (width as u64 * 4);
        let steps = steps.clamp(INTERVAL_STEPS_MIN, INTERVAL_STEPS_MAX);
        let mut at = range.start;
        while at < end && hits.len() < HITS_MAX {
            // One machine goes on where it is; several get a round of intervals.
            let to = match width {
                1 => end,
                _ => end.min(at.after(steps.saturating_mul(2 * width as u64))),
            };
            let intervals = self.intervals(at..to, steps, width, control)?;
            let search = Search {
                source: &*self.source,
                course: &self.course,
                from: at,
                plan,
                keeps_last: false,
            };
            for found in search.intervals(&mut machines, &intervals, judge, executor, control) {
                let room = HITS_MAX - hits.len();
                hits.extend(found?.into_iter().take(room));
            }
            at = to;
            if at < end && control(at).is_break() {
                return Err(TimelineError::Interrupted);
            }
        }
        Ok(hits)
    }

    fn search_back(
        &mut self,
        range: Range<Icount>,
        plan: &DebugPlan,
        judge: &(dyn Fn() -> Box<dyn Judge> + Sync),
        executor: &dyn Executor,
        control: Control<'_>,
    ) -> Found {
        let mut to = range.end.min(self.course.end);
        let width = executor.width().max(1);
        let mut machines: Vec<Option<Machine>> = (0..width).map(|_| None).collect();
        let mut steps = INTERVAL_STEPS_MIN;
        while range.start < to {
            let round = steps.saturating_mul(width as u64);
            let from = Icount(to.0.saturating_sub(round)).max(range.start);
            let intervals = self.intervals(from..to, steps, width, control)?;
            let search = Search {
                source: &*self.source,
                course: &self.course,
                from,
                plan,
                keeps_last: true,
            };
            let found = search.intervals(&mut machines, &intervals, judge, executor, control);
            for found in found.into_iter().rev() {
                let found = found?;
                if !found.is_empty() {
                    return Ok(found);
                }
            }
            to = from;
            // The way back gets longer by what was searched in vain.
            steps = (steps * 2).min(INTERVAL_STEPS_MAX);
            if control(to).is_break() {
                return Err(TimelineError::Interrupted);
            }
        }
        Ok(Vec::new())
    }

    /// Divides a range into intervals of about so many steps, each with its state; without width there is one.
    fn intervals(
        &mut self,
        range: Range<Icount>,
        steps: u64,
        width: usize,
        control: Control<'_>,
    ) -> Result<Vec<Interval>, TimelineError> {
        self.machine.set_debug_plan(None);
        // What keyframes claim of places after the fork is not about a diversion.
        let last_claim = self.diverged_at().unwrap_or(Icount(u64::MAX));
        let mut intervals = Vec::new();
        let mut start = self.start_near(range.start, 0, control)?;
        loop {
            let left = range.end.0 - start.0.0;
            let next = if width == 1 || left < steps + steps / 2 {
                None
            } else {
                let next = self.start_near(start.0.after(steps), steps / 2, control)?;
                Some(next).filter(|next| next.0 < range.end)
            };
            let to = next.as_ref().map_or(range.end, |next| next.0);
            intervals.push(Interval {
                start: start.1,
                to,
                claim: (self.claims.get(&to).copied()).filter(|_| to <= last_claim),
            });
            match next {
                Some(next) => start = next,
                None => return Ok(intervals),
            }
        }
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
    /// Searches intervals, as many at a time as there are machines; one after the other if there is one.
    fn intervals(
        self,
        machines: &mut [Option<Machine>],
        intervals: &[Interval],
        judge: &(dyn Fn() -> Box<dyn Judge> + Sync),
        executor: &dyn Executor,
        control: Control<'_>,
    ) -> Vec<Found> {
        if let [machine] = machines {
            let found = intervals
                .iter()
                .map(|interval| self.interval(machine, interval, judge(), control));
            return found.collect();
        }
        // An interval that no job comes to any more has no result.
        let results: Vec<Mutex<Found>> = (intervals.iter())
            .map(|_| Mutex::new(Err(TimelineError::Interrupted)))
            .collect();
        // The control stays on the caller's thread; the jobs look at what it said last.
        let is_interrupted = AtomicBool::new(false);
        let queue = Mutex::new(intervals.iter().zip(&results));
        let jobs = machines.iter_mut().map(|machine| {
            let (queue, is_interrupted) = (&queue, &is_interrupted);
            Box::new(move || {
                let mut control = |_| match is_interrupted.load(Ordering::Relaxed) {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                };
                while control(self.from).is_continue() {
                    // A poisoned lock means that another job has panicked: this one ends, too.
                    let next = queue.lock().ok().and_then(|mut queue| queue.next());
                    let Some((interval, result)) = next else {
                        return;
                    };
                    let found = self.interval(machine, interval, judge(), &mut control);
                    if let Ok(mut result) = result.lock() {
                        *result = found;
                    }
                }
            }) as Job<'_>
        });
        executor.run_polling(jobs.collect(), &mut || {
            // Once is enough: a control need not say it twice.
            if !is_interrupted.load(Ordering::Relaxed) && control(self.from).is_break() {
                is_interrupted.store(true, Ordering::Relaxed);
            }
        });
        if is_interrupted.into_inner() {
            return vec![Err(TimelineError::Interrupted)];
        }
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
        let mut hits_in_a_row = 0;
        loop {
            let slice = machine.icount().after(SLICE_STEPS).min(interval.to);
            let advance = self.course.follow(machine, slice)?;
            machine.take_outputs();
            for hit in machine.take_hits() {
                let is_within = hit.icount >= self.from && hit.icount < interval.to;
                if !is_within || hits.len() >= HITS_MAX || !judge.counts(machine, &hit) {
                    continue;
                }
                let last: Option<&DebugHit> = hits.last();
                if self.keeps_last && last.is_some_and(|last| last.icount < hit.icount) {
                    hits.clear();
                }
                hits.push(hit);
            }
            let is_hit = advance == Advance::Hits;
            hits_in_a_row = if is_hit { hits_in_a_row + 1 } else { 0 };
            if is_hit && hits_in_a_row < SLICE_HITS {
                continue;
            }
            if is_hit || (advance == Advance::Reached && machine.icount() < interval.to) {
                hits_in_a_row = 0;
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
