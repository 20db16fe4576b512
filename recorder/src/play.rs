//! The one rule by which idle time passes and events fall due when an execution is played again.
//!
//! When every CPU waits, time jumps to the earlier of the next timer deadline and the next event,
//! ties to the event. An event tells by its `skip` whether a jump was made for it; every other
//! jump went to the deadline, so it needs no log.

use crate::entry::{Entry, TimedEvent};
use reprise_core::image::ImageStall;
use reprise_core::machine::{Machine, MachineError, RunExit};
use reprise_core::types::{GuestTime, Icount};
use thiserror::Error;

/// Why a machine cannot follow a recording. A machine that is what the recording says, and a
/// trace that is what was recorded, never meet one of these.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum PlayError {
    /// The machine refused what the recording did to it.
    #[error("at icount {icount} the machine refuses what was recorded: {error}")]
    Refused {
        /// Position.
        icount: Icount,
        /// The machine's reason.
        error: MachineError,
    },
    /// The machine waits for ever, and the recording went on.
    #[error("at icount {0} the machine waits for an input that was not recorded there")]
    WaitsForever(Icount),
    /// The machine halted, and the recording went on.
    #[error("at icount {0} the machine stopped for good, and the recording went on")]
    Halted(Icount),
    /// The machine did not halt where the recording did.
    #[error("at icount {0} the recording stopped for good, and the machine goes on")]
    NotHalted(Icount),
    /// A disk's bytes are missing.
    #[error(
        "disk {} lacks {} bytes at offset {}: give the whole image",
        .0.disk, .0.length, .0.offset
    )]
    MissingBytes(ImageStall),
}

/// Runs to `target` over idle time, with no event in between. Returns whether it got there: it
/// stops on the way when outputs must be taken first, and where a debugger wants to.
///
/// # Errors
/// [`PlayError`] when the machine cannot get there.
pub fn run_to(machine: &mut Machine, target: Icount) -> Result<bool, PlayError> {
    while machine.icount() < target {
        match machine.run(target) {
            RunExit::Limit => {}
            RunExit::Idle {
                deadline: Some(deadline),
            } => idle_jump(machine, deadline.max(machine.time()))?,
            // A halt by the very last step is where the recording ends, too.
            RunExit::Halted(_) if machine.icount() == target => {}
            RunExit::OutputFull | RunExit::DebugStop => return Ok(false),
            RunExit::Idle { deadline: None } => {
                return Err(PlayError::WaitsForever(machine.icount()));
            }
            RunExit::Halted(_) => return Err(PlayError::Halted(machine.icount())),
            RunExit::ImageStall(stall) => return Err(PlayError::MissingBytes(stall)),
        }
    }
    Ok(true)
}

/// Makes the idle jump for an event that is due, if it has one and it has not been made.
///
/// # Errors
/// [`PlayError::Refused`] when the machine does not wait as it did.
pub fn jump_for(machine: &mut Machine, event: &TimedEvent) -> Result<(), PlayError> {
    if machine.icount() < event.icount {
        let to = GuestTime(machine.time().0.saturating_add(event.skip));
        idle_jump(machine, to)?;
    }
    Ok(())
}

/// Delivers an event, its idle jump first.
///
/// # Errors
/// [`PlayError::Refused`] when the machine does not take it as it did.
pub fn deliver(machine: &mut Machine, event: &TimedEvent) -> Result<(), PlayError> {
    jump_for(machine, event)?;
    machine
        .inject(&event.event)
        .map_err(|error| refused(machine, error))
}

/// Checks that entries come in order of icount, as two steps cannot share a position.
#[derive(Clone, Copy, Default, Debug)]
pub struct Order {
    next: Icount,
}

impl Order {
    /// Whether the entry may stand after those before it.
    pub fn admits(&mut self, entry: &Entry) -> bool {
        let (first, next) = match entry {
            // Before the first step there is none that could have been a jump.
            Entry::Event(event) if event.skip > 0 && event.icount.0 == 0 => return false,
            Entry::Event(event) => (event.due(), event.icount.after(1)),
            Entry::Hash { icount, .. } => (*icount, *icount),
            Entry::End(end) => (end.icount, end.icount),
        };
        let in_order = first >= self.next && next.0 < u64::MAX;
        self.next = self.next.max(next);
        in_order
    }
}

fn idle_jump(machine: &mut Machine, to: GuestTime) -> Result<(), PlayError> {
    machine
        .idle_jump(to)
        .map_err(|error| refused(machine, error))
}

fn refused(machine: &Machine, error: MachineError) -> PlayError {
    PlayError::Refused {
        icount: machine.icount(),
        error,
    }
}
