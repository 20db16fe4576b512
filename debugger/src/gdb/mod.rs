//! A session as a target of the GDB remote serial protocol.
//!
//! [`GdbServer`] takes the client's bytes and returns the answer's: it has no socket. It stands in front of gdbstub,
//! which knows one process: what names processes, breakpoints with conditions, stops for several reasons and system
//! calls are answered here, the rest is handed on with the processes taken out.
//!
//! # Code map
//! - `packet`: framing. `server`: what a client asks, and who answers. `queries`: what is answered here.
//! - `points`: breakpoints, watchpoints, catchpoints. `running`: runs, and what is said of their stops.
//! - `target`, `registers`, `files`: gdbstub's view of a session. `threads`: who is there at a position.
//! - `monitor`: what people type after `monitor`.

mod files;
mod monitor;
mod packet;
mod points;
mod queries;
mod registers;
mod running;
mod server;
mod target;
#[cfg(test)]
mod tests;
mod threads;

pub use packet::{BreakFinder, PACKET_BYTES_MAX};
pub use server::GdbServer;

use reprise_core::types::Icount;
use reprise_recorder::entry::Entry;

/// What a client sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum View {
    /// The machine: each CPU is a thread, and code of the kernel is as good as any.
    Machine,
    /// The processes of the guest's Linux, each with its threads.
    Processes,
}

/// How a server is set up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServerOptions {
    /// What its clients see.
    pub view: View,
}

/// What a server asks of those who run it.
pub trait Host {
    /// Whether the client asks a run to stop, or has gone. Asked every ten milliseconds or so of a run.
    fn is_break_wanted(&mut self) -> bool;

    /// Whether a run is put aside, so that whoever runs the server can do something else before [`GdbServer::go_on`]. Asked
    /// as often. A search by `monitor who-wrote`, `monitor who-read` or `find` is never put aside.
    fn is_slice_over(&mut self) -> bool {
        false
    }

    /// Lets a recording that is still being made go on for a little, when everything recorded so far has been seen. `None`
    /// when there is no more to come.
    fn record_on(&mut self) -> Option<Growth> {
        None
    }

    /// Keeps a diversion as a trace of its own.
    ///
    /// # Errors
    /// A sentence that says why it cannot be kept.
    fn save_trace(&mut self, name: &str, diversion: &Diversion) -> Result<(), String> {
        let _ = (name, diversion);
        Err("this server keeps no traces".to_owned())
    }
}

/// What a recording has logged since it was looked at last.
#[derive(Clone, Debug)]
pub struct Growth {
    /// In order.
    pub entries: Vec<Entry>,
    /// Position of its machine.
    pub end: Icount,
}

/// A diversion as a recording of its own.
#[derive(Clone, Debug)]
pub struct Diversion {
    /// Its events, and the state at its end.
    pub entries: Vec<Entry>,
    /// Where it parted from the recording.
    pub forked_at: Icount,
}
