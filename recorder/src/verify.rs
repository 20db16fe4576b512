//! Verifying: two executions of one recording side by side, compared by their state hashes; when
//! they differ, the first step at which they do and what it made different.
//!
//! The left execution runs straight. The right one is what [`Against`] says. A difference is
//! narrowed by running both again from the start, with the right one's restores at the same
//! places as before, and comparing within the guilty interval ever more closely: nothing is
//! restored on the left, so a snapshot that lacks something cannot hide its own fault.

mod difference;
mod fault;

pub use difference::{
    Difference, first_difference, page_bytes_of, sections_of, snapshot_difference,
};
pub use fault::{Fault, FaultPlace};

use crate::entry::Entry;
use crate::play::{self, Order, PlayError};
use crate::replay::differing_components;
use crate::timeline::KeyframeSource;
use reprise_core::machine::{Engine, Machine, MachineError, StateHash};
use reprise_core::output::Output;
use reprise_core::types::Icount;
use thiserror::Error;

/// Steps between two comparisons, and between two restores of the checkpoint execution, unless
/// told otherwise.
pub const INTERVAL_STEPS: u64 = 1 << 24;

/// A guilty interval is divided into this many parts at each narrowing, so that two passes take
/// an interval of [`INTERVAL_STEPS`] to a single step.
const NARROW_PARTS: u64 = 1 << 12;

/// What the straight execution is compared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Against {
    /// An execution that is saved and restored into a fresh machine at every interval.
    Checkpoint,
    /// An execution by the engine that checks for interrupts before each instruction and walks
    /// the page tables at each access.
    Reference,
    /// The recorded hashes alone: one execution.
    Trace,
}

/// The entries of a recording, in order.
pub type Entries<'a, E> = Box<dyn Iterator<Item = Result<Entry, E>> + 'a>;

/// How a recording is verified.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VerifyOptions {
    /// What the straight execution is compared with.
    pub against: Against,
    /// Steps between two comparisons, and between two restores of the checkpoint execution; at
    /// least 1.
    pub interval_steps: u64,
    /// A fault to make in the right execution, to see it found.
    pub fault: Option<Fault>,
}

impl VerifyOptions {
    /// The usual way to compare with `against`.
    #[must_use]
    pub fn new(against: Against) -> Self {
        Self {
            against,
            interval_steps: INTERVAL_STEPS,
            fault: None,
        }
    }
}

/// A recording, from which executions can be started again and again.
pub trait Recording {
    /// What reading the entries can go wrong with.
    type Error: std::error::Error;

    /// A machine as it was at the start of the recording.
    ///
    /// # Errors
    /// [`MachineError`].
    fn machine(&self) -> Result<Machine, MachineError>;

    /// The entries from the first on.
    ///
    /// # Errors
    /// When they cannot be read.
    fn entries(&self) -> Result<Entries<'_, Self::Error>, Self::Error>;

    /// The keyframes that are stored with it.
    fn keyframes(&self) -> Box<dyn KeyframeSource + '_> {
        Box::new(())
    }
}

/// Why a verification could not be carried out.
#[derive(Debug, Error)]
pub enum VerifyError<E> {
    /// The entries could not be read.
    #[error(transparent)]
    Entries(E),
    /// The entries contradict each other.
    #[error(
        "the trace is damaged: the entry at icount {0} cannot stand where it does; \
         get the trace anew"
    )]
    OutOfOrder(Icount),
    /// A machine could not be made or restored.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The straight execution does not follow the recording.
    #[error("the straight execution cannot follow the recording: {0}")]
    Straight(PlayError),
}

/// What a verification found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The executions were equal at every comparison, to the end.
    Equal {
        /// Position of the end.
        icount: Icount,
        /// Hash of the final state.
        hash: StateHash,
        /// How many times the states were compared.
        comparison_count: u64,
        /// How many keyframes were compared.
        keyframe_count: u64,
    },
    /// The straight execution is not what was recorded.
    NotAsRecorded {
        /// Last position at which it was.
        good: Icount,
        /// First position at which it is known not to be.
        icount: Icount,
        /// What differs.
        components: Vec<&'static str>,
    },
    /// A keyframe is not the state that the execution has there.
    BadKeyframe {
        /// Its position.
        icount: Icount,
        /// The first difference; `None` when the keyframe cannot be read, is of another version or has another hash than it
        /// says.
        difference: Option<Difference>,
    },
    /// The executions differ.
    Different(Box<Divergence>),
}

/// Where and how two executions part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Divergence {
    /// Last position at which they were found equal.
    pub good: Icount,
    /// First position at which they are known to differ; one step after `good`, unless the
    /// difference hid when it was looked at more closely.
    pub icount: Icount,
    /// Components of the state hash that differ.
    pub components: Vec<&'static str>,
    /// What the right execution could not do, when it lost the recording.
    pub lost: Option<PlayError>,
    /// The first register, field or byte that differs.
    pub difference: Option<Difference>,
    /// The difference did not show again when the states were compared more often.
    pub is_fleeting: bool,
}

/// Tells a driver how far a verification is.
pub trait Progress {
    /// Called at every comparison. `pass` is 0 for the first run, then 1, 2, … for each narrowing.
    fn compared(&mut self, pass: u32, icount: Icount);

    /// What the straight execution of the first run printed.
    fn printed(&mut self, _outputs: &[Output]) {}
}

/// No interest in progress.
impl Progress for () {
    fn compared(&mut self, _pass: u32, _icount: Icount) {}
}

/// Verifies a recording.
///
/// # Errors
/// [`VerifyError`]; what was found is in the [`Verdict`].
pub fn verify<R: Recording>(
    recording: &R,
    options: &VerifyOptions,
    progress: &mut dyn Progress,
) -> Result<Verdict, VerifyError<R::Error>> {
    let mut pass = Pass::new(recording, options, 0)?;
    let mut interval = match pass.run(
        Icount(0),
        Icount(u64::MAX),
        options.interval_steps.max(1),
        progress,
    )? {
        PassResult::Over(verdict) => return Ok(verdict),
        PassResult::Different(interval) => interval,
    };
    let mut number = 0;
    let mut is_fleeting = false;
    let mut lost = pass.lost.take();
    while interval.icount.0 - interval.good.0 > 1 && !is_fleeting {
        number += 1;
        let steps = (interval.icount.0 - interval.good.0).div_ceil(NARROW_PARTS);
        pass = Pass::new(recording, options, number)?;
        match pass.run(interval.good, interval.icount, steps, progress)? {
            PassResult::Different(narrower) => {
                interval = narrower;
                lost = pass.lost.take();
            }
            PassResult::Over(_) => is_fleeting = true,
        }
    }
    let mut difference = None;
    if !is_fleeting {
        difference = Some(pass).filter(|_| lost.is_none()).and_then(|mut pass| {
            let right = pass.right.as_mut()?;
            first_difference(&mut pass.left.machine, &mut right.machine)
        });
    }
    Ok(Verdict::Different(Box::new(Divergence {
        good: interval.good,
        icount: interval.icount,
        components: interval.components,
        lost,
        difference,
        is_fleeting,
    })))
}

/// One execution.
struct Lane {
    machine: Machine,
    fault: Option<Fault>,
    restores: bool,
}

impl Lane {
    /// Runs to `target`; makes the fault where it belongs. Hands over what comes out on the way
    /// when it is too much to be kept until the next comparison.
    fn run_to(
        &mut self,
        target: Icount,
        printed: &mut dyn FnMut(&[Output]),
    ) -> Result<(), PlayError> {
        if let Some(fault) = self.fault.filter(|fault| fault.icount <= target) {
            while !play::run_to(&mut self.machine, fault.icount)? {
                printed(&self.machine.take_outputs());
            }
            self.fault = None;
            fault.inject(&mut self.machine);
        }
        while !play::run_to(&mut self.machine, target)? {
            printed(&self.machine.take_outputs());
        }
        Ok(())
    }

    /// Saves the state and goes on from it in a fresh machine.
    fn restore_into(&mut self, mut fresh: Machine) -> Result<(), MachineError> {
        let snapshot = self.machine.snapshot();
        fresh.restore(&snapshot)?;
        self.machine = fresh;
        Ok(())
    }
}

/// An interval in which two executions part.
struct Interval {
    good: Icount,
    icount: Icount,
    components: Vec<&'static str>,
}

enum PassResult {
    Over(Verdict),
    Different(Interval),
}

/// Both executions from the start, once.
struct Pass<'a, R: Recording> {
    recording: &'a R,
    entries: Entries<'a, R::Error>,
    keyframes: Box<dyn KeyframeSource + 'a>,
    /// How many keyframes are behind.
    keyframe_count: usize,
    order: Order,
    restore_steps: u64,
    number: u32,
    left: Lane,
    right: Option<Lane>,
    lost: Option<PlayError>,
    good: Icount,
    good_as_recorded: Icount,
    comparison_count: u64,
}

impl<'a, R: Recording> Pass<'a, R> {
    fn new(
        recording: &'a R,
        options: &VerifyOptions,
        number: u32,
    ) -> Result<Self, VerifyError<R::Error>> {
        let left = Lane {
            machine: recording.machine()?,
            fault: None,
            restores: false,
        };
        let right = if options.against == Against::Trace {
            None
        } else {
            let mut machine = recording.machine()?;
            if options.against == Against::Reference {
                machine.set_engine(Engine::Reference);
            }
            Some(Lane {
                machine,
                fault: options.fault,
                restores: options.against == Against::Checkpoint,
            })
        };
        Ok(Self {
            recording,
            entries: recording.entries().map_err(VerifyError::Entries)?,
            keyframes: if number == 0 {
                recording.keyframes()
            } else {
                Box::new(())
            },
            keyframe_count: 0,
            order: Order::default(),
            restore_steps: options.interval_steps.max(1),
            number,
            left,
            right,
            lost: None,
            good: Icount(0),
            good_as_recorded: Icount(0),
            comparison_count: 0,
        })
    }

    /// Runs both from the start to `to`, and compares them every `steps` steps from `from` on.
    fn run(
        &mut self,
        from: Icount,
        to: Icount,
        steps: u64,
        progress: &mut dyn Progress,
    ) -> Result<PassResult, VerifyError<R::Error>> {
        self.good = from;
        let mut next_compare = from.after(steps);
        while let Some(entry) = self.entries.next() {
            let entry = entry.map_err(VerifyError::Entries)?;
            if !self.order.admits(&entry) {
                return Err(VerifyError::OutOfOrder(entry.icount()));
            }
            let due = match &entry {
                Entry::Event(event) => event.due(),
                other => other.icount(),
            };
            // Up to the entry, in pieces: the places of comparisons and restores depend on
            // neither the entries nor the pass, apart from the comparisons' density.
            loop {
                let here = self.left.machine.icount();
                let restore_at = Icount((here.0 / self.restore_steps + 1) * self.restore_steps);
                let stop = due.min(to).min(restore_at).min(next_compare);
                let stop = self
                    .next_keyframe()
                    .map_or(stop, |at| stop.min(at.max(here)));
                self.run_to(stop, progress)?;
                if let Some(verdict) = self.compare_keyframe() {
                    return Ok(PassResult::Over(verdict));
                }
                if stop == next_compare || self.lost.is_some() || stop == to {
                    while next_compare <= stop {
                        next_compare = next_compare.after(steps);
                    }
                    if let Some(interval) = self.compare(stop, progress) {
                        return Ok(PassResult::Different(interval));
                    }
                }
                if stop == to {
                    return Ok(self.over(to));
                }
                if stop == restore_at {
                    self.restore()?;
                }
                if stop == due {
                    break;
                }
            }
            match entry {
                Entry::Event(event) => {
                    // Between an idle jump and the event that it was made for there is a state, too.
                    if self.next_keyframe() == Some(event.icount) {
                        self.play(|machine| play::jump_for(machine, &event))?;
                        if let Some(verdict) = self.compare_keyframe() {
                            return Ok(PassResult::Over(verdict));
                        }
                    }
                    self.play(|machine| play::deliver(machine, &event))?;
                    let here = self.left.machine.icount();
                    if self.lost.is_some() || here >= next_compare || here >= to {
                        while next_compare <= here {
                            next_compare = next_compare.after(steps);
                        }
                        if let Some(interval) = self.compare(here, progress) {
                            return Ok(PassResult::Different(interval));
                        }
                    }
                }
                Entry::Hash { icount, hash } => {
                    if self.number == 0
                        && let Some(verdict) = self.compare_with_recorded(icount, hash)
                    {
                        return Ok(PassResult::Over(verdict));
                    }
                }
                Entry::End(end) => {
                    if let Some(interval) = self.compare(end.icount, progress) {
                        return Ok(PassResult::Different(interval));
                    }
                }
            }
            if self.number == 0 {
                progress.printed(&self.left.machine.take_outputs());
            }
        }
        let here = self.left.machine.icount();
        if let Some(interval) = self.compare(here, progress) {
            return Ok(PassResult::Different(interval));
        }
        Ok(self.over(here))
    }

    fn over(&mut self, icount: Icount) -> PassResult {
        PassResult::Over(Verdict::Equal {
            icount,
            hash: self.left.machine.state_hash(),
            comparison_count: self.comparison_count,
            keyframe_count: self.keyframe_count as u64,
        })
    }

    fn next_keyframe(&self) -> Option<Icount> {
        self.keyframes.positions().get(self.keyframe_count).copied()
    }

    /// Compares the keyframe here, if there is one, with the straight execution.
    fn compare_keyframe(&mut self) -> Option<Verdict> {
        let icount = self.left.machine.icount();
        while self.next_keyframe().is_some_and(|at| at <= icount) {
            let is_here = self.next_keyframe() == Some(icount);
            let stored = self.keyframes.load(self.keyframe_count).filter(|_| is_here);
            self.keyframe_count += 1;
            let difference = stored.as_ref().and_then(|stored| {
                snapshot_difference(&self.left.machine.snapshot(), &stored.snapshot)
            });
            let is_equal = difference.is_none()
                && stored.is_some_and(|stored| stored.hash == self.left.machine.state_hash());
            if !is_equal {
                return Some(Verdict::BadKeyframe { icount, difference });
            }
        }
        None
    }

    fn run_to(
        &mut self,
        target: Icount,
        progress: &mut dyn Progress,
    ) -> Result<(), VerifyError<R::Error>> {
        let number = self.number;
        let mut printed = |outputs: &[Output]| {
            if number == 0 {
                progress.printed(outputs);
            }
        };
        self.left
            .run_to(target, &mut printed)
            .map_err(VerifyError::Straight)?;
        if let Some(right) = &mut self.right
            && self.lost.is_none()
            && let Err(error) = right.run_to(target, &mut |_| {})
        {
            self.lost = Some(error);
        }
        Ok(())
    }

    fn play(
        &mut self,
        play: impl Fn(&mut Machine) -> Result<(), PlayError>,
    ) -> Result<(), VerifyError<R::Error>> {
        play(&mut self.left.machine).map_err(VerifyError::Straight)?;
        if let Some(right) = &mut self.right
            && self.lost.is_none()
            && let Err(error) = play(&mut right.machine)
        {
            self.lost = Some(error);
        }
        Ok(())
    }

    fn restore(&mut self) -> Result<(), VerifyError<R::Error>> {
        if let Some(right) = &mut self.right
            && right.restores
            && self.lost.is_none()
        {
            right.restore_into(self.recording.machine()?)?;
        }
        Ok(())
    }

    fn compare(&mut self, icount: Icount, progress: &mut dyn Progress) -> Option<Interval> {
        progress.compared(self.number, icount);
        self.comparison_count += 1;
        let right = self.right.as_mut()?;
        let components =
            differing_components(&self.left.machine.state_hash(), &right.machine.state_hash());
        right.machine.take_outputs();
        if components.is_empty() && self.lost.is_none() {
            self.good = self.good.max(icount);
            return None;
        }
        Some(Interval {
            good: self.good,
            icount,
            components,
        })
    }

    fn compare_with_recorded(&mut self, icount: Icount, recorded: StateHash) -> Option<Verdict> {
        let components = differing_components(&self.left.machine.state_hash(), &recorded);
        if components.is_empty() {
            self.good_as_recorded = icount;
            return None;
        }
        Some(Verdict::NotAsRecorded {
            good: self.good_as_recorded,
            icount,
            components,
        })
    }
}

#[cfg(test)]
mod tests;
