//! End to end: the real binary, the real guest, record, replay natively and as wasm.
//!
//! `cargo xtask test` builds what these tests need and says where it is.

mod authority;
mod container;
mod debian;
mod determinism;
mod gdb;
mod gdb_files;
mod hostile;
mod linux;
mod network;
mod page;
mod record_replay;
mod registry;
mod sessions;
mod source;
mod support;
mod time_travel;
mod workspace;
