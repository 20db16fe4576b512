//! What a view asks for. Views draw and ask; the app alone carries out.

use reprise_worker::protocol::{Direction, StepUnit, StopKind, Target, Thread};

/// Something that a person did in a view.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// Goes to a place, and remembers the one left.
    Seek(Target),
    /// Goes a step, of the selected thread.
    Step(StepUnit, Direction),
    /// Runs to the next stop.
    Run(Direction),
    /// Ends what is under way.
    Cancel,
    /// Looks through this thread from now on.
    SelectThread(Thread),
    /// Looks at this call of the selected thread, the innermost being 0.
    SelectFrame(u32),
    /// Shows memory at an address.
    ShowMemory(u64),
    /// Shows instructions around an address.
    ShowCode(u64),
    /// Shows a source at a line.
    ShowSource {
        /// As a location says it.
        path: String,
        /// From 1.
        line: u32,
    },
    /// Stops here from now on.
    AddStop(StopKind),
    /// Stops at an access to this from now on, which the person calls so.
    AddWatchpoint(String, StopKind),
    /// Stops here no longer.
    RemoveStop(u32),
    /// Switches a stop off or on.
    EnableStop(u32, bool),
    /// Looks for everything that a stop would stop at.
    FindHits(u32),
    /// Marks the position, with a note.
    AddMark(String),
    /// Forgets a mark, by its number.
    RemoveMark(usize),
    /// Writes another note to a mark.
    NoteMark(usize, String),
    /// Puts text on the clipboard.
    Copy(String),
}
