//! The engine behind the page: what records, replays and looks while somebody else draws.
//!
//! # Code map
//! - [`protocol`]: everything that the page and the engine say to each other. A page needs nothing else of this crate.
//! - `engine`: does the work a slice at a time, so that it can be asked meanwhile.
//! - `web`: the engine as a wasm module, for a Web Worker.
//!
//! # Invariants
//! - No I/O and no clock: wall time is an argument; what has to be fetched is asked for and handed in.
//! - Looking changes nothing of the recording.

#[cfg(feature = "engine")]
pub mod engine;
pub mod protocol;
#[cfg(all(feature = "engine", target_family = "wasm"))]
mod web;
