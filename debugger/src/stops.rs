//! What a debugging session stops at, and why it stood still.

use crate::condition::Condition;
use reprise_core::debug::WatchKind;
use reprise_core::types::{GuestVirtAddr, Icount};
use reprise_recorder::timeline::TraceEdge;
use std::collections::BTreeSet;

/// Which executions something is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Scope {
    /// Whatever the machine executes.
    Machine,
    /// The threads of the Linux process with this number (the task's `tgid`).
    Process(u32),
}

/// Stops before the instruction at an address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Breakpoint {
    /// Whose execution it is about.
    pub scope: Scope,
    /// Of the instruction.
    pub address: GuestVirtAddr,
    /// It stops when one of these is true, or when there is none. Evaluated here, so that a hit that does not count
    /// costs no round trip.
    pub conditions: Vec<Condition>,
}

/// Stops at an access to memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Watchpoint {
    /// Whose memory it is about. For the machine it is virtual memory in whatever address space.
    pub scope: Scope,
    /// First byte.
    pub address: WatchAddress,
    /// Bytes, at least 1.
    pub byte_len: u64,
    /// Which accesses.
    pub kind: WatchKind,
}

/// Where a watchpoint looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WatchAddress {
    /// At a virtual address.
    Virtual(u64),
    /// At a physical address, through whatever mapping; devices count as well.
    Physical(u64),
}

/// A choice among numbers: system calls, signals.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Choice {
    /// None of them.
    #[default]
    Nothing,
    /// These.
    Some(BTreeSet<u64>),
    /// All but these.
    AllBut(BTreeSet<u64>),
}

impl Choice {
    /// All of them.
    #[must_use]
    pub fn all() -> Self {
        Self::AllBut(BTreeSet::new())
    }

    /// Whether a number is among them.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        match self {
            Self::Nothing => false,
            Self::Some(numbers) => numbers.contains(&number),
            Self::AllBut(numbers) => !numbers.contains(&number),
        }
    }
}

/// Stops at system calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SystemCallStop {
    /// Whose calls.
    pub scope: Scope,
    /// Which calls, by their numbers.
    pub calls: Choice,
    /// Before they are entered.
    pub at_entry: bool,
    /// When they have returned.
    pub at_return: bool,
}

/// What a run stops at.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stops {
    /// Instructions.
    pub breakpoints: Vec<Breakpoint>,
    /// Accesses to memory.
    pub watchpoints: Vec<Watchpoint>,
    /// System calls.
    pub system_calls: Vec<SystemCallStop>,
    /// A process with one of these numbers has begun to execute another program.
    pub exec: Choice,
    /// A thread or process has been made.
    pub fork: bool,
    /// A thread ends.
    pub exit: bool,
    /// Signals that end a process or are about to be handled by it.
    pub signals: Choice,
}

/// A reason to stand still.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StopReason {
    /// The instruction at a breakpoint is about to be executed.
    Breakpoint(GuestVirtAddr),
    /// Watched memory was accessed, or is about to be.
    Watchpoint {
        /// Number of the watchpoint.
        index: usize,
        /// First watched byte of the access.
        address: u64,
        /// Whether it was a store.
        is_write: bool,
        /// Whether it has been made where the session stands, or is what comes next.
        is_past: bool,
    },
    /// The system call with this number is about to be entered.
    SystemCall(u64),
    /// The system call with this number has returned.
    SystemReturn(u64),
    /// The process executes the program at this path.
    Exec(Vec<u8>),
    /// A thread was made.
    Fork {
        /// Its process.
        process: u32,
        /// Its number.
        thread: u32,
    },
    /// The thread is about to end; the status as the kernel encodes it for `wait`.
    Exit(u64),
    /// A signal reaches the process.
    Signal(u8),
    /// What was asked for has been stepped over.
    Step,
}

/// Where a session stands still, and why. Several reasons can hold at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stop {
    /// Position.
    pub icount: Icount,
    /// Why, in the order in which it came about.
    pub reasons: Vec<StopReason>,
    /// It is at an end of the timeline.
    pub edge: Option<TraceEdge>,
    /// Somebody asked for it.
    pub is_interrupted: bool,
}
