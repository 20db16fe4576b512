//! The deterministic machine: CPUs, memory, devices, snapshots and state hashes.
//!
//! A [`Machine`](machine::Machine)'s state at an [`Icount`](types::Icount) is a function of its
//! configuration, its images and the input events delivered up to it, and of nothing else.
//!
//! # Code map
//! - [`machine`]: the machine as a whole: run, inject, snapshot, restore, hash.
//! - [`riscv`]: everything that knows the instruction set: harts, MMU, CLINT, PLIC, SBI, boot.
//! - [`device`], [`devices`]: what stands on the bus and does not know the instruction set.
//! - [`memory`], [`arena`]: guest RAM with its dirtiness epochs, and the bytes that hold it.
//! - [`debug`]: what a debugger asks of an execution, and what was met.
//! - [`event`], [`output`], [`image`]: what goes in and what comes out.
//! - [`workspace`]: a directory that the guest shares and changes for itself alone.
//! - [`state`]: how state becomes bytes.
//!
//! # Invariants
//! - No clock, thread, file, socket, environment, host random number or hash-order iteration.
//! - Bytes from outside never panic, allocate without bound or loop without end.
//! - Caches (translations, decoded blocks) are never state.

pub mod arena;
pub mod debug;
pub mod device;
pub mod devices;
pub mod event;
pub mod image;
pub mod machine;
pub mod memory;
pub mod output;
pub mod riscv;
pub mod state;
pub mod types;
pub mod workspace;
