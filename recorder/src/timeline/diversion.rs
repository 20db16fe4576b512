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
    /// Its marks.
    marks: BTreeMap<String, Icount>,
}

impl Parent {
    /// What happens in the recording.
    pub(super) fn course(&self) -> &Course {
        &self.course
    }

    /// Forgets all states of the recording.
    pub(super) fn forget_states(&mut self) {
        self.later.clear();
        self.at_fork = None;
    }

    /// Takes over those marks of the diversion that are places of the recording, too.
    fn keep_marks(&mut self, marks: &BTreeMap<String, Icount>) {
        let shared = marks.iter().filter(|(_, at)| **at <= self.fork);
        self.marks
            .extend(shared.map(|(name, at)| (name.clone(), *at)));
    }

    /// Appends what the recording has logged since.
    pub(super) fn extend(
        &mut self,
        entries: impl IntoIterator<Item = Entry>,
        end: Icount,
    ) -> Result<(), TimelineError> {
        self.course.extend(entries, end)
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
            marks: self.marks.clone(),
        });
        self.checkpoint(fork);
    }

    /// Moves the fork back to a position, whose state is given: the diversion up to now is forgotten.
    fn move_fork_back(&mut self, fork: Icount, at_fork: Snapshot) {
        let Some(parent) = &mut self.parent else {
            return;
        };
        // Up to the old fork, all that was made in the diversion is the recording's as well.
        drop(self.checkpoints.split_off_after(parent.fork));
        parent
            .later
            .append(&mut self.checkpoints.split_off_after(fork));
        if let Some(at_old_fork) = parent.at_fork.replace(at_fork.clone()) {
            parent.later.insert(parent.fork, at_old_fork);
        }
        self.checkpoints.insert(fork, at_fork);
        parent.keep_marks(&self.marks);
        self.marks.clone_from(&parent.marks);
        parent.fork = fork;
    }

    /// Whether the timeline is that of a diversion, and where it parted from the recording.
    #[must_use]
    pub fn diverged_at(&self) -> Option<Icount> {
        self.parent.as_ref().map(|parent| parent.fork)
    }

    /// Ends the diversion and goes back to where it parted from the recording. Marks that were set after there in the
    /// diversion end with it.
    ///
    /// # Errors
    /// [`TimelineError`].
    pub fn return_to_recording(&mut self) -> Result<(), TimelineError> {
        let Some(mut parent) = self.parent.take() else {
            return Ok(());
        };
        parent.keep_marks(&self.marks);
        drop(self.checkpoints.split_off_after(parent.fork));
        self.course = parent.course;
        self.checkpoints.append(parent.later);
        self.marks = parent.marks;
        if let Some(at_fork) = parent.at_fork {
            self.checkpoints.insert(parent.fork, at_fork);
            return self.restore(parent.fork);
        }
        self.restore(Icount(0))?;
        self.seek(parent.fork, &mut super::unhurried).map(drop)
    }

    /// Delivers an input to the diversion, here. What lay ahead of here in the diversion is forgotten; before the fork
    /// that is all of it, and the diversion begins anew from here.
    ///
    /// # Errors
    /// [`TimelineError::NotDiverted`]; [`TimelineError::Machine`] when the machine does not take it, and nothing has
    /// changed then.
    pub fn inject(&mut self, event: InputEvent) -> Result<(), TimelineError> {
        let Some(parent) = &self.parent else {
            return Err(TimelineError::NotDiverted);
        };
        let here = self.position();
        let before = (here < parent.fork).then(|| self.machine.snapshot());
        self.machine.set_debug_plan(None);
        self.machine.inject(&event)?;
        self.machine.take_outputs();
        if let Some(before) = before {
            self.move_fork_back(here, before);
        }
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
