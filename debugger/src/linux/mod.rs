//! The guest's Linux, seen from outside: from guest memory alone, without a symbol file and without the guest's help.
//!
//! [`Kernel::find`] finds the kernel image in RAM and in it two things that a kernel carries for itself: its symbols
//! (CONFIG_KALLSYMS_ALL) and its type information (CONFIG_DEBUG_INFO_BTF). [`Kernel::view`] then reads tasks, mappings and
//! files at any position of an execution.
//!
//! # Code map
//! - `kernel`, `symbols`, `btf`, `layout`: what is known of a kernel, and how it is found.
//! - `memory`: kernel memory and page tables.
//! - `view`, `task`, `registers`: what runs.
//! - `maple`, `mapping`, `process`: what a process has mapped, and its memory.
//! - `page_cache`, `path`, `file`: files, their names and contents; `backing`, `erofs`: those that are not in memory.
//! - `module`: loaded modules.
//! - `system_call`, `call_text`: system calls by name, and as people read them.
//!
//! # Invariants
//! - Offsets come from the kernel's own type information. What it does not say (how a tree marks its nodes, bits
//!   of flags) is cited beside the code, from the sources of 6.12. 6.1 is the oldest kernel that this is made for; Debian's
//!   7.2, with modules, virtually mapped stacks and another memory model, has been looked at as well.
//! - Guest memory says anything: every walk is bounded in steps and in bytes, and ends where something cannot be read.

mod backing;
mod btf;
mod call_text;
mod erofs;
mod file;
mod kernel;
mod layout;
mod maple;
mod mapping;
mod memory;
mod module;
mod page_cache;
mod path;
mod process;
mod registers;
mod symbol_file;
mod symbols;
mod system_call;
mod task;
mod view;

pub use file::{GuestFile, OpenFile};
pub use kernel::{Kernel, LinuxError};
pub use mapping::{MappedFile, Mapping};
pub use module::Module;
pub use registers::TaskRegisters;
pub use system_call::{system_call_name, system_call_number};
pub use task::{TASKS_MAX, Task, TaskAddress, TaskState};
pub use view::LinuxView;
