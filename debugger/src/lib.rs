//! What a debugger knows of an execution: the Linux inside, seen from outside, and how gdb sees it.
//!
//! # Code map
//! - [`session`]: a timeline with somebody who looks at it: runs, steps, registers, memory, searches.
//! - [`stops`], [`condition`]: what a run stops at, and why it stood still.
//! - [`linux`]: tasks, address spaces, files of the guest's Linux, from its memory.
//! - [`source`]: lines, functions, variables, and steps from line to line.
//! - [`gdb`]: a timeline as a target of the GDB remote serial protocol.
//!
//! # Invariants
//! - No clock, thread, file or socket: bytes come in, bytes go out.
//! - Looking changes nothing: not an accessed bit of the guest's is set.

pub mod condition;
pub mod gdb;
pub mod linux;
pub mod session;
pub mod source;
pub mod stops;
