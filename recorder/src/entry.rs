//! What a session logs and reads back, in the core's terms.

use reprise_core::event::InputEvent;
use reprise_core::machine::{HaltReason, Snapshot, StateHash};
use reprise_core::types::{GuestTime, Icount};
use std::sync::Arc;

/// An input event and the position at which it reaches the machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TimedEvent {
    /// Position before the event's own step.
    pub icount: Icount,
    /// Ticks of guest time that the idle jump just before the event skipped; 0 when there was
    /// none. When it is not 0 the machine waits at `icount - 1`, and the step from there is the
    /// jump.
    pub skip: u64,
    /// The event. Shared, since a start may carry files.
    pub event: Arc<InputEvent>,
}

impl TimedEvent {
    /// Position up to which the machine runs by itself before the event needs attention: where
    /// the idle jump begins, or where the event is delivered.
    #[must_use]
    pub fn due(&self) -> Icount {
        if self.skip == 0 {
            self.icount
        } else {
            Icount(self.icount.0.saturating_sub(1))
        }
    }
}

/// Why a recording ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndReason {
    /// The machine stopped for good.
    Halted(HaltReason),
    /// The person who recorded stopped it.
    Stopped,
    /// The limit that was set was reached.
    LimitReached,
    /// The guest waited for an input that could not come.
    WaitsForever,
}

impl std::fmt::Display for EndReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Halted(HaltReason::PowerOff) => f.write_str("powered off"),
            Self::Halted(HaltReason::Reboot) => f.write_str("asked for a reboot"),
            Self::Halted(HaltReason::Failure(code)) => {
                write!(f, "reported a failure with code {code}")
            }
            Self::Halted(HaltReason::ToHost(0)) => f.write_str("passed"),
            Self::Halted(HaltReason::ToHost(number)) => write!(f, "failed test {number}"),
            Self::Stopped => f.write_str("was stopped by hand"),
            Self::LimitReached => f.write_str("reached the icount limit"),
            Self::WaitsForever => f.write_str("waited for an input that could not come"),
        }
    }
}

/// The end of a recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    /// Position at the end.
    pub icount: Icount,
    /// Why it ended.
    pub reason: EndReason,
    /// Exit status of the start's command, if the guest reported one.
    pub exit_status: Option<i32>,
}

/// One entry of a recording, in order of icount.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// An input event.
    Event(TimedEvent),
    /// The hash of the state at a position.
    Hash {
        /// The position. Never between an idle jump and the event that it was made for.
        icount: Icount,
        /// The hash.
        hash: StateHash,
    },
    /// The end; nothing follows.
    End(End),
}

impl Entry {
    /// The entry's position.
    #[must_use]
    pub fn icount(&self) -> Icount {
        match self {
            Self::Event(event) => event.icount,
            Self::Hash { icount, .. } => *icount,
            Self::End(end) => end.icount,
        }
    }
}

/// Where a recording goes.
pub trait EntryLog {
    /// What can go wrong with it.
    type Error;

    /// Whether anything is kept. Where nothing is, the session spares itself the state hashes.
    fn keeps(&self) -> bool {
        true
    }

    /// Appends an entry.
    ///
    /// # Errors
    /// Those of the place where the entries go.
    fn push(&mut self, entry: &Entry) -> Result<(), Self::Error>;

    /// Notes the guest time at the end, for people: a replay does not need it, and only a replay
    /// could tell it otherwise.
    ///
    /// # Errors
    /// Those of the place where the entries go.
    fn note_guest_time(&mut self, _icount: Icount, _time: GuestTime) -> Result<(), Self::Error> {
        Ok(())
    }

    /// The position from which on a keyframe is wanted; `None` for never.
    fn keyframe_due(&self) -> Option<Icount> {
        None
    }

    /// Appends a keyframe: the state at `icount`, before what happens there, and its hash.
    ///
    /// # Errors
    /// Those of the place where the entries go.
    fn push_keyframe(
        &mut self,
        _icount: Icount,
        _hash: &StateHash,
        _snapshot: &Snapshot,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Makes what was appended survive the end of this process.
    ///
    /// # Errors
    /// Those of the place where the entries go.
    fn flush(&mut self) -> Result<(), Self::Error>;
}

/// Keeps nothing: for a run that is not recorded.
#[derive(Clone, Copy, Default, Debug)]
pub struct NullLog;

impl EntryLog for NullLog {
    type Error = std::convert::Infallible;

    fn keeps(&self) -> bool {
        false
    }

    fn push(&mut self, _entry: &Entry) -> Result<(), Self::Error> {
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// Keeps the entries in memory.
impl EntryLog for Vec<Entry> {
    type Error = std::convert::Infallible;

    fn push(&mut self, entry: &Entry) -> Result<(), Self::Error> {
        Vec::push(self, entry.clone());
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}
