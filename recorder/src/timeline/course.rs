//! What happens to a machine in the course of an execution: events, hashes, the end.

use super::TimelineError;
use crate::entry::{End, Entry, TimedEvent};
use crate::play::{self, Order, PlayError};
use crate::replay::differing_components;
use reprise_core::machine::{Machine, RunExit, StateHash};
use reprise_core::types::Icount;

/// The events of an execution and what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Course {
    /// In order.
    pub(super) events: Vec<TimedEvent>,
    /// Hashes that were recorded and not yet compared, in order.
    hashes: Vec<(Icount, StateHash)>,
    /// The last position; of an open course, the last one so far.
    pub(super) end: Icount,
    pub(super) recorded_end: Option<End>,
    /// Nothing says what comes after the end: the machine goes on by itself.
    pub(super) is_open: bool,
    order: Order,
}

/// How far a course took a machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Advance {
    /// To the goal.
    Reached,
    /// To something that the machine's debug plan asks for.
    Hits,
    /// To a wait for an input that nothing will bring, in an open course.
    Waits,
    /// To the machine's halt, in an open course.
    Over,
}

impl Course {
    pub(super) fn new(entries: impl IntoIterator<Item = Entry>) -> Result<Self, TimelineError> {
        let mut course = Self {
            events: Vec::new(),
            hashes: Vec::new(),
            end: Icount(0),
            recorded_end: None,
            is_open: false,
            order: Order::default(),
        };
        course.extend(entries, Icount(0))?;
        Ok(course)
    }

    /// Appends what comes next; it goes on to `end`, or to behind the last entry if that is later.
    pub(super) fn extend(
        &mut self,
        entries: impl IntoIterator<Item = Entry>,
        end: Icount,
    ) -> Result<(), TimelineError> {
        // A machine may stand at the end already.
        let here = self.end;
        for entry in entries {
            let is_late = entry.icount() < here || self.recorded_end.is_some();
            if is_late || !self.order.admits(&entry) {
                return Err(TimelineError::OutOfOrder(entry.icount()));
            }
            // A recording that breaks off with an event is over when the event is delivered.
            let after = match &entry {
                Entry::Event(event) => event.icount.after(1),
                other => other.icount(),
            };
            self.end = self.end.max(after);
            match entry {
                Entry::Event(event) => self.events.push(event),
                Entry::Hash { icount, hash } => self.hashes.push((icount, hash)),
                Entry::End(end) => self.recorded_end = Some(end),
            }
        }
        self.end = self.end.max(end);
        Ok(())
    }

    /// The course up to a position, from where the machine goes on by itself.
    pub(super) fn fork(&self, at: Icount) -> Self {
        Self {
            events: self.events[..self.next_event(at)].to_vec(),
            hashes: Vec::new(),
            end: at,
            recorded_end: None,
            is_open: true,
            order: Order::default(),
        }
    }

    /// Number of the first event that is not delivered yet at a position.
    pub(super) fn next_event(&self, at: Icount) -> usize {
        self.events.partition_point(|event| event.icount < at)
    }

    /// Takes a machine to `target`, which a closed course reaches. Compares the recorded hashes passed for the first
    /// time.
    pub(super) fn advance(
        &mut self,
        machine: &mut Machine,
        target: Icount,
    ) -> Result<Advance, TimelineError> {
        loop {
            let here = machine.icount();
            let number = self.hashes.partition_point(|(at, _)| *at < here);
            let hash = self.hashes.get(number).copied();
            if let Some((at, recorded)) = hash
                && at == here
            {
                let components = differing_components(&machine.state_hash(), &recorded);
                if !components.is_empty() {
                    return Err(TimelineError::Diverged {
                        icount: at,
                        components,
                    });
                }
                self.hashes.remove(number);
                continue;
            }
            if here >= target {
                return Ok(Advance::Reached);
            }
            let stop = hash.map_or(target, |(at, _)| target.min(at));
            match self.follow(machine, stop)? {
                Advance::Reached => {}
                other => return Ok(other),
            }
        }
    }

    /// Takes a machine to `target` without looking at hashes.
    pub(super) fn follow(
        &self,
        machine: &mut Machine,
        target: Icount,
    ) -> Result<Advance, TimelineError> {
        loop {
            let here = machine.icount();
            if machine.has_hits() {
                return Ok(Advance::Hits);
            }
            if here >= target {
                return Ok(Advance::Reached);
            }
            let event = self.events.get(self.next_event(here));
            let due = event.map_or(target, |event| event.due().min(target));
            if here < due {
                if event.is_none() && self.is_open {
                    if let Some(advance) = run_alone(machine, target)? {
                        return Ok(advance);
                    }
                } else {
                    // Early returns (hits, output to be taken) are looked at by the next turn.
                    play::run_to(machine, due)?;
                    machine.take_outputs();
                }
                continue;
            }
            let Some(event) = event else { continue };
            if here < event.icount {
                play::jump_for(machine, event)?;
            } else {
                play::deliver(machine, event)?;
            }
        }
    }
}

/// Runs a machine that no recording leads; idle time jumps to the deadline. `None` means that it goes on.
fn run_alone(machine: &mut Machine, target: Icount) -> Result<Option<Advance>, PlayError> {
    let refused = |machine: &Machine, error| PlayError::Refused {
        icount: machine.icount(),
        error,
    };
    match machine.run(target) {
        RunExit::Limit | RunExit::DebugStop => Ok(None),
        RunExit::OutputFull => {
            machine.take_outputs();
            Ok(None)
        }
        RunExit::Idle {
            deadline: Some(deadline),
        } => {
            let to = deadline.max(machine.time());
            (machine.idle_jump(to)).map_err(|error| refused(machine, error))?;
            Ok(None)
        }
        RunExit::Idle { deadline: None } => Ok(Some(Advance::Waits)),
        RunExit::Halted(_) => Ok(Some(Advance::Over)),
        RunExit::ImageStall(stall) => Err(PlayError::MissingBytes(stall)),
    }
}
