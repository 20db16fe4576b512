//! A recording as a timeline: any position of it can be visited, and it runs in both directions.
//!
//! Going back is going forward from an earlier checkpoint. Checkpoints share what did not change, stand dense just
//! behind the position and sparse far away, within a budget ([`TimelineOptions`]). Whatever is done here, the states
//! are those of the recording: recorded hashes are compared on the way.

mod checkpoints;
mod course;
mod diversion;
mod run;
mod search;

pub use run::{JudgeFn, RunDirection, StopStatus, TraceEdge};
pub use search::{Executor, HITS_MAX, Job, Judge, SerialExecutor};

use crate::entry::{End, Entry, TimedEvent};
use crate::play::PlayError;
use checkpoints::Checkpoints;
use course::{Advance, Course};
use diversion::Parent;
use reprise_core::machine::{Machine, MachineError, Snapshot, StateHash};
use reprise_core::types::{GuestTime, Icount};
use std::collections::BTreeMap;
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::Arc;
use thiserror::Error;

/// Steps between two looks at the caller's control: some ten milliseconds.
const SLICE_STEPS: u64 = 1 << 21;

/// Steps between checkpoints that are made while running ahead; eviction thins them out far from the position.
const SPARSE_STEPS: u64 = 1 << 23;

/// How far behind the goal of a seek checkpoints are made, so that the steps back from there are short.
const DENSE_STEPS: [u64; 7] = [1 << 8, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20];

/// A restore costs about as much as executing this many steps: it drops decoded code.
const RESTORE_STEPS: u64 = 1 << 17;

/// Reading a keyframe costs about as much as executing this many steps.
const KEYFRAME_STEPS: u64 = 1 << 24;

/// What asks a long run to stop: it is told the position every ten milliseconds or so.
pub type Control<'a> = &'a mut dyn FnMut(Icount) -> ControlFlow<()>;

/// Lets a run go on to its end.
pub fn unhurried(_: Icount) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Makes machines as they were at the start of a recording.
pub trait MachineSource: Send + Sync {
    /// A machine at power-on.
    ///
    /// # Errors
    /// [`MachineError`].
    fn machine(&self) -> Result<Machine, MachineError>;
}

/// Snapshots that were stored with the recording.
pub trait KeyframeSource: Send {
    /// Their positions, ascending.
    fn positions(&self) -> &[Icount];

    /// The snapshot at one of the positions, by its index; `None` when it cannot be used, which costs only time.
    fn load(&mut self, index: usize) -> Option<StoredSnapshot>;

    /// The hash that it claims to have.
    fn hash(&mut self, index: usize) -> Option<StateHash> {
        self.load(index).map(|stored| stored.hash)
    }
}

/// A snapshot that was stored with a recording, as it says of itself.
#[derive(Clone, Debug)]
pub struct StoredSnapshot {
    /// The state.
    pub snapshot: Snapshot,
    /// The state's hash.
    pub hash: StateHash,
}

/// No keyframes.
impl KeyframeSource for () {
    fn positions(&self) -> &[Icount] {
        &[]
    }

    fn load(&mut self, _index: usize) -> Option<StoredSnapshot> {
        None
    }
}

/// How a timeline spends its memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimelineOptions {
    /// Host memory for checkpoints in bytes; pages that several share count once.
    pub checkpoint_bytes_max: u64,
}

impl Default for TimelineOptions {
    /// 512 MiB natively, 256 MiB in a browser.
    fn default() -> Self {
        let mebibytes = if cfg!(target_family = "wasm") {
            256
        } else {
            512
        };
        Self {
            checkpoint_bytes_max: mebibytes << 20,
        }
    }
}

/// Why a timeline cannot get somewhere.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum TimelineError {
    /// A machine could not be made, restored or fed.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The machine does not follow the recording.
    #[error("the execution is not the recorded one: {0}")]
    Lost(#[from] PlayError),
    /// The entries contradict each other.
    #[error(
        "the trace is damaged: the entry at icount {0} cannot stand where it does; get the trace anew"
    )]
    OutOfOrder(Icount),
    /// The state is not what was recorded.
    #[error(
        "the execution is not the recorded one: at icount {icount} it differs in {}; `reprise verify` finds the exact step",
        .components.join(", ")
    )]
    Diverged {
        /// Position of the recorded hash.
        icount: Icount,
        /// What differs.
        components: Vec<&'static str>,
    },
    /// A keyframe lies: this one, or one before it from which the execution came here. The position is now the start,
    /// unless the operation says that the position stays.
    #[error(
        "the keyframe at icount {0} or one before it is not the state that the execution has there, so none of this \
         trace's keyframes is used from here on: make them anew with `reprise index`"
    )]
    BadKeyframe(Icount),
    /// The caller's control asked for it.
    #[error("interrupted")]
    Interrupted,
    /// What was asked for needs a diversion.
    #[error("a recording cannot be changed: begin a diversion first")]
    NotDiverted,
}

/// A position that a person can return to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Its name, unique in a timeline.
    pub name: String,
    /// Where it is.
    pub icount: Icount,
}

/// What is known of a recording.
#[derive(Clone, Copy, Debug)]
pub struct Extent<'a> {
    /// The last position.
    pub end: Icount,
    /// The input events, in order.
    pub events: &'a [TimedEvent],
    /// How it ended, if its recorder lived to say so.
    pub recorded_end: Option<End>,
}

/// A recording that can be visited at any position. See the module's documentation.
pub struct ReplayTimeline {
    source: Arc<dyn MachineSource>,
    machine: Machine,
    /// A restore failed half-way: the machine must be made anew.
    is_broken: bool,
    course: Course,
    /// The recording, while a diversion from it is in force.
    parent: Option<Parent>,
    checkpoints: Checkpoints,
    keyframes: Box<dyn KeyframeSource>,
    /// Keyframes that were used and that no execution from before them has confirmed yet.
    claims: BTreeMap<Icount, StateHash>,
    marks: BTreeMap<String, Icount>,
    /// Where a run forward has passed what is reported there, and was interrupted before it made a step.
    passed: Option<Icount>,
}

impl ReplayTimeline {
    /// The timeline of a recording, at its start.
    ///
    /// A recording that was cut off ends at its last entry.
    ///
    /// # Errors
    /// [`TimelineError::Machine`], and [`TimelineError::OutOfOrder`] for entries that contradict each other.
    pub fn new(
        source: Arc<dyn MachineSource>,
        entries: impl IntoIterator<Item = Entry>,
        keyframes: Box<dyn KeyframeSource>,
        options: TimelineOptions,
    ) -> Result<Self, TimelineError> {
        let course = Course::new(entries)?;
        let mut machine = source.machine()?;
        let mut checkpoints = Checkpoints::new(options.checkpoint_bytes_max);
        checkpoints.insert(machine.icount(), machine.snapshot());
        Ok(Self {
            source,
            machine,
            is_broken: false,
            course,
            parent: None,
            checkpoints,
            keyframes,
            claims: BTreeMap::new(),
            marks: BTreeMap::new(),
            passed: None,
        })
    }

    /// The machine at the position, to look at.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Hash of the state at the position.
    pub fn state_hash(&mut self) -> StateHash {
        self.machine.state_hash()
    }

    /// The position.
    #[must_use]
    pub fn position(&self) -> Icount {
        self.machine.icount()
    }

    /// The last position. That of a diversion grows as it runs.
    #[must_use]
    pub fn end(&self) -> Icount {
        self.course.end
    }

    /// The recording, also while a diversion from it is in force.
    #[must_use]
    pub fn recording(&self) -> Extent<'_> {
        let course = self.parent.as_ref().map_or(&self.course, Parent::course);
        Extent {
            end: course.end,
            events: &course.events,
            recorded_end: course.recorded_end,
        }
    }

    /// Appends what comes next in a recording that goes on, or that has come in part: `entries`, up to the position `end` of
    /// its machine, or to behind the last entry if that is later. While a diversion is in force, the recording behind it grows.
    ///
    /// # Errors
    /// [`TimelineError::OutOfOrder`].
    pub fn extend(
        &mut self,
        entries: impl IntoIterator<Item = Entry>,
        end: Icount,
    ) -> Result<(), TimelineError> {
        match &mut self.parent {
            Some(parent) => parent.extend(entries, end),
            None => self.course.extend(entries, end),
        }
    }

    /// How the recording ended, if its recorder lived to say so.
    #[must_use]
    pub fn recorded_end(&self) -> Option<End> {
        self.course.recorded_end
    }

    /// The input events, in order.
    #[must_use]
    pub fn events(&self) -> &[TimedEvent] {
        &self.course.events
    }

    /// Positions of the keyframes, ascending; none when one of them was found to lie.
    #[must_use]
    pub fn keyframes(&self) -> &[Icount] {
        self.keyframes.positions()
    }

    /// Uses these keyframes from here on, in place of others: all of the recording has come.
    pub fn set_keyframes(&mut self, keyframes: Box<dyn KeyframeSource>) {
        self.keyframes = keyframes;
    }

    /// Lets each keyframe after `range.start()` and up to `range.end()` be compared with the execution when that comes past
    /// it, as if it had been used: somebody else may use it.
    pub fn claim_keyframes(&mut self, range: RangeInclusive<Icount>) {
        let positions = self.keyframes.positions().to_vec();
        for (number, at) in positions.into_iter().enumerate() {
            if at > *range.start()
                && at <= *range.end()
                && let Some(hash) = self.keyframes.hash(number)
            {
                self.claims.insert(at, hash);
            }
        }
    }

    /// Host memory that the checkpoints take up, in bytes, and how many there are.
    #[must_use]
    pub fn checkpoint_usage(&self) -> (u64, usize) {
        (self.checkpoints.bytes(), self.checkpoints.len())
    }

    /// Gives the position a name.
    pub fn set_mark(&mut self, name: &str) -> Mark {
        let icount = self.position();
        self.marks.insert(name.to_owned(), icount);
        Mark {
            name: name.to_owned(),
            icount,
        }
    }

    /// The marks, by position.
    #[must_use]
    pub fn marks(&self) -> Vec<Mark> {
        let mut marks: Vec<Mark> = (self.marks.iter())
            .map(|(name, icount)| Mark {
                name: name.clone(),
                icount: *icount,
            })
            .collect();
        marks.sort_by_key(|mark| mark.icount);
        marks
    }

    /// The position of a mark.
    #[must_use]
    pub fn mark(&self, name: &str) -> Option<Icount> {
        self.marks.get(name).copied()
    }

    /// Goes to a position, or to the end if that comes first.
    ///
    /// # Errors
    /// [`TimelineError`].
    pub fn seek(&mut self, to: Icount, control: Control<'_>) -> Result<StopStatus, TimelineError> {
        self.machine.set_debug_plan(None);
        let to = to.min(self.course.end);
        self.approach(to)?;
        let is_interrupted = matches!(self.pass(to, true, control)?, Pass::Interrupted);
        Ok(self.status(is_interrupted))
    }

    /// Goes to the first position at which guest time is at least `time`, or to the end.
    ///
    /// # Errors
    /// [`TimelineError`].
    pub fn seek_time(
        &mut self,
        time: GuestTime,
        control: Control<'_>,
    ) -> Result<StopStatus, TimelineError> {
        let mut search = self.search_time(time);
        self.seek_time_on(&mut search, control)
    }

    /// Begins what [`ReplayTimeline::seek_time`] does, to be carried out by [`ReplayTimeline::seek_time_on`].
    #[must_use]
    pub fn search_time(&self, time: GuestTime) -> TimeSearch {
        TimeSearch {
            time,
            low: Icount(0),
            high: self.course.end,
        }
    }

    /// Goes on with a seek by guest time, as far as `control` lets it. It ends where it would in one piece.
    ///
    /// # Errors
    /// [`TimelineError`].
    pub fn seek_time_on(
        &mut self,
        search: &mut TimeSearch,
        control: Control<'_>,
    ) -> Result<StopStatus, TimelineError> {
        // Time never goes back, so what lies at or after the wanted time lies after the last known state before it.
        while let Some(middle) = search.middle() {
            let status = self.seek(middle, control)?;
            if status.is_interrupted {
                return Ok(status);
            }
            if self.machine.time() >= search.time {
                search.high = middle;
            } else {
                search.low = middle.after(1);
            }
        }
        self.seek(search.low, control)
    }

    /// Goes to where the event with this number, counted from 0, is delivered; past the last one, to the end.
    ///
    /// # Errors
    /// [`TimelineError`].
    pub fn seek_event(
        &mut self,
        number: usize,
        control: Control<'_>,
    ) -> Result<StopStatus, TimelineError> {
        let events = &self.course.events;
        let to = events
            .get(number)
            .map_or(self.course.end, |event| event.icount);
        self.seek(to, control)
    }

    /// Puts the machine to a place from which `to` is reached soonest.
    fn approach(&mut self, to: Icount) -> Result<(), TimelineError> {
        let here = self.machine.icount();
        let best = self.checkpoints.at_or_before(to);
        let best = match self.nearer_keyframe(to, best.max((here <= to).then_some(here))) {
            Some(keyframe) => Some(keyframe),
            None => best,
        };
        let stays = !self.is_broken
            && here <= to
            && best.is_none_or(|best| best <= here.after(RESTORE_STEPS));
        if stays {
            return Ok(());
        }
        self.restore(best.unwrap_or(Icount(0)))
    }

    /// Loads the last keyframe before `to` as a checkpoint, if that saves enough.
    fn nearer_keyframe(&mut self, to: Icount, best: Option<Icount>) -> Option<Icount> {
        let last = self.parent.as_ref().map_or(to, |parent| parent.fork);
        let positions = self.keyframes.positions();
        let number = positions
            .partition_point(|at| *at <= to.min(last))
            .checked_sub(1)?;
        let at = positions[number];
        if best.is_some_and(|best| at <= best.after(KEYFRAME_STEPS)) {
            return None;
        }
        self.load_keyframe(number)
    }

    /// Puts the machine to a keyframe, which becomes a checkpoint.
    fn load_keyframe(&mut self, number: usize) -> Option<Icount> {
        let at = *self.keyframes.positions().get(number)?;
        let stored = self.keyframes.load(number)?;
        // A keyframe is a stranger's claim: one that does not even fit the machine, or is not what it says, is left alone.
        // One that is may still lie about the execution, which is found out when that comes past it.
        let fits = self.machine.restore(&stored.snapshot).is_ok()
            && self.machine.icount() == at
            && self.machine.state_hash() == stored.hash;
        self.is_broken = !fits;
        if !fits {
            return None;
        }
        self.claims.insert(at, stored.hash);
        self.checkpoints.insert(at, stored.snapshot);
        Some(at)
    }

    /// The first claim of a keyframe ahead of here, as far as the execution is the recording's.
    fn next_claim(&self) -> Option<Icount> {
        let here = self.machine.icount();
        let last = self.parent.as_ref().map(|parent| parent.fork);
        let (at, _) = self.claims.range(here.after(1)..).next()?;
        (last.is_none_or(|last| *at <= last)).then_some(*at)
    }

    /// Compares the state here, at which the execution arrived from before, with what a keyframe claims.
    fn check_claim(&mut self) -> Result<(), TimelineError> {
        let here = self.machine.icount();
        let Some(claim) = self.claims.remove(&here) else {
            return Ok(());
        };
        if self.machine.state_hash() == claim {
            return Ok(());
        }
        self.distrust_keyframes()?;
        Err(TimelineError::BadKeyframe(here))
    }

    /// Uses no keyframe any more, and nothing that may have been made from one, which the machine may be, too: it goes
    /// to the start of everything, the first checkpoint.
    fn distrust_keyframes(&mut self) -> Result<(), TimelineError> {
        self.keyframes = Box::new(());
        self.claims.clear();
        drop(self.checkpoints.split_off_after(Icount(0)));
        if let Some(parent) = &mut self.parent {
            parent.forget_states();
        }
        self.is_broken = true;
        self.restore(Icount(0))
    }

    /// Puts the machine to a checkpoint.
    fn restore(&mut self, at: Icount) -> Result<(), TimelineError> {
        if self.is_broken {
            let plan = self.machine.debug_plan().cloned();
            self.machine = self.source.machine()?;
            self.machine.set_debug_plan(plan);
            self.is_broken = false;
        }
        if self.machine.icount() == at {
            return Ok(());
        }
        let snapshot = self.checkpoints.get(at);
        let snapshot =
            snapshot.ok_or_else(|| MachineError::BadConfig("a checkpoint is gone".into()))?;
        let restored = self.machine.restore(&snapshot);
        self.is_broken = restored.is_err();
        Ok(restored?)
    }

    /// Runs ahead to `to`, which is not before the position, with checkpoints on the way. `is_goal` says that somebody
    /// will stand at `to`, so that checkpoints are made just behind it.
    fn pass(
        &mut self,
        to: Icount,
        is_goal: bool,
        control: Control<'_>,
    ) -> Result<Pass, TimelineError> {
        // The last one made may not have been kept.
        let mut made_at = Icount(0);
        loop {
            let here = self.machine.icount();
            if here >= to {
                return Ok(Pass::Reached);
            }
            let last = self.checkpoints.at_or_before(here).unwrap_or(Icount(0));
            let last = last.max(made_at);
            let mut stop = to.min(here.after(SLICE_STEPS));
            stop = stop.min(last.after(SPARSE_STEPS).max(here.after(1)));
            let claim = self.next_claim();
            stop = stop.min(claim.unwrap_or(stop));
            if is_goal {
                let dense = DENSE_STEPS
                    .iter()
                    .filter_map(|steps| to.0.checked_sub(*steps));
                if let Some(next) = dense.filter(|at| *at > here.0).min() {
                    stop = stop.min(Icount(next));
                }
            }
            let advance = self.course.advance(&mut self.machine, stop);
            // What came out is not asked for here; only the index keeps it.
            self.machine.take_outputs();
            if self.course.is_open {
                self.course.end = self.course.end.max(self.machine.icount());
            }
            let advance = match advance {
                // The step has had no effect; it is made when the bytes are there.
                Err(TimelineError::Lost(PlayError::MissingBytes(_)))
                    if control(self.machine.icount()).is_break() =>
                {
                    return Ok(Pass::Interrupted);
                }
                advance => advance?,
            };
            match advance {
                Advance::Reached => {}
                Advance::Hits if claim == Some(self.machine.icount()) => {
                    self.check_claim()?;
                    return Ok(Pass::Hits);
                }
                Advance::Hits => return Ok(Pass::Hits),
                Advance::Waits | Advance::Over => return Ok(Pass::Waits),
            }
            let here = self.machine.icount();
            if claim == Some(here) {
                self.check_claim()?;
            }
            let is_dense = is_goal && DENSE_STEPS.contains(&(to.0.saturating_sub(here.0)));
            if here.0 - last.0 >= SPARSE_STEPS || is_dense {
                self.checkpoint(to);
                made_at = here;
            }
            if control(here).is_break() {
                return Ok(Pass::Interrupted);
            }
        }
    }

    /// Makes a checkpoint here; `towards` is where somebody is going to stand.
    fn checkpoint(&mut self, towards: Icount) {
        let here = self.machine.icount();
        if !self.checkpoints.contains(here) {
            self.checkpoints.insert(here, self.machine.snapshot());
            self.checkpoints.thin_out(towards);
        }
    }

    fn status(&self, is_interrupted: bool) -> StopStatus {
        let icount = self.position();
        StopStatus {
            icount,
            hits: Vec::new(),
            edge: if icount.0 == 0 {
                Some(TraceEdge::Begin)
            } else {
                (!self.course.is_open && icount >= self.course.end).then_some(TraceEdge::End)
            },
            is_interrupted,
        }
    }
}

/// How far a seek by guest time has come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TimeSearch {
    time: GuestTime,
    /// The wanted position is not before this one,
    low: Icount,
    /// and not after this one.
    high: Icount,
}

impl TimeSearch {
    /// Where to look next, unless the position is known.
    fn middle(&self) -> Option<Icount> {
        let distance = self.high.0.saturating_sub(self.low.0);
        (distance > 0).then(|| Icount(self.low.0 + distance / 2))
    }
}

/// How running ahead ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pass {
    Reached,
    /// The plan of the machine met something.
    Hits,
    /// A diversion halted or waits for an input that it does not have.
    Waits,
    Interrupted,
}

#[cfg(test)]
mod tests;
