//! Diversions: what would have happened, had something been otherwise.

use super::{Course, ReplayTimeline, TimelineError};
use crate::entry::{End, EndReason, Entry, TimedEvent};
use reprise_core::event::{DebugWrite, InputEvent};
use reprise_core::machine::Snapshot;
use reprise_core::types::Icount;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The recording from which a diversion parted.
pub(super) struct Parent {
    course: Course,
    /// Its checkpoints after the fork.
    later: BTreeMap<Icount, Snapshot>,
    /// Where they parted.
    pub(super) fork: Icount,
    /// Spares the way back to there.
    at_fork: Option<Snapshot>,
}

impl Parent {
    /// Forgets all states of the recording.
    pub(super) fn forget_states(&mut self) {
        self.later.clear();
        self.at_fork = None;
    }
}

impl ReplayTimeline {
    /// Begins a diversion here: from now on the machine goes its own way, and the end of the timeline grows with it. The
    /// recording stays as it is. In a diversion this begins nothing new.
    pub fn diverge(&mut self) {
        if self.parent.is_some() {
            return;
        }
        let fork = self.position();
        let course = self.course.fork(fork);
        self.parent = Some(Parent {
            course: std::mem::replace(&mut self.course, course),
            later: self.checkpoints.split_off_after(fork),
            fork,
            at_fork: Some(self.machine.snapshot()),
        });
        self.checkpoint(fork);
    }

    /// Whether the timeline is that of a diversion, and where it parted from the recording.
    #[must_use]
    pub fn diverged_at(&self) -> Option<Icount> {
        self.parent.as_ref().map(|parent| parent.fork)
    }

    /// Ends the diversion and goes back to where it parted from the recording.
    ///
    /// # Errors
    /// [`TimelineError`].
    pub fn return_to_recording(&mut self) -> Result<(), TimelineError> {
        let Some(parent) = self.parent.take() else {
            return Ok(());
        };
        drop(self.checkpoints.split_off_after(parent.fork));
        self.course = parent.course;
        self.checkpoints.append(parent.later);
        self.marks.retain(|_, at| *at <= self.course.end);
        if let Some(at_fork) = parent.at_fork {
            self.checkpoints.insert(parent.fork, at_fork);
            return self.restore(parent.fork);
        }
        self.restore(Icount(0))?;
        self.seek(parent.fork, &mut super::unhurried).map(drop)
    }

    /// Delivers an input to the diversion, here. What lay ahead of here in the diversion is forgotten.
    ///
    /// # Errors
    /// [`TimelineError::NotDiverted`]; [`TimelineError::Machine`] when the machine does not take it, and nothing has
    /// changed then.
    pub fn inject(&mut self, event: InputEvent) -> Result<(), TimelineError> {
        let Some(parent) = &self.parent else {
            return Err(TimelineError::NotDiverted);
        };
        let here = self.position();
        if here < parent.fork {
            return Err(TimelineError::NotDiverted);
        }
        self.machine.set_debug_plan(None);
        self.machine.inject(&event)?;
        self.machine.take_outputs();
        self.course = self.course.fork(here);
        self.course.events.push(TimedEvent {
            icount: here,
            skip: 0,
            event: Arc::new(event),
        });
        self.course.end = self.machine.icount();
        drop(self.checkpoints.split_off_after(here));
        Ok(())
    }

    /// Writes a register or memory in the diversion; see [`ReplayTimeline::inject`].
    ///
    /// # Errors
    /// As [`ReplayTimeline::inject`].
    pub fn write(&mut self, write: DebugWrite) -> Result<(), TimelineError> {
        self.inject(InputEvent::DebugWrite(write))
    }

    /// The execution up to here as the entries of a recording of its own: a diversion holds the recording's events up
    /// to the fork, then its own.
    pub fn entries_to_here(&mut self) -> Vec<Entry> {
        let here = self.position();
        let number = self.course.next_event(here);
        let mut entries: Vec<Entry> = (self.course.events[..number].iter())
            .cloned()
            .map(Entry::Event)
            .collect();
        entries.push(Entry::Hash {
            icount: here,
            hash: self.machine.state_hash(),
        });
        entries.push(Entry::End(End {
            icount: here,
            reason: self
                .machine
                .halted()
                .map_or(EndReason::Stopped, EndReason::Halted),
            exit_status: self.machine.exit_status(),
        }));
        entries
    }
}
