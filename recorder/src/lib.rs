//! Sessions: what drives a machine to record an execution, to replay it and to verify it.
//!
//! # Code map
//! - [`entry`]: what a session logs and reads back, in the core's terms.
//! - [`record`]: [`RecordSession`](record::RecordSession), live and scripted.
//! - [`pace`], [`typist`], [`hashing`]: when time may jump, when a scripted line is typed, when the
//!   state is hashed.
//! - [`play`]: the one rule by which idle time passes and events fall due in a replay.
//! - [`replay`]: the [`ReplaySession`](replay::ReplaySession).
//! - [`timeline`]: the [`ReplayTimeline`](timeline::ReplayTimeline), on which a debugger goes anywhere and both ways.
//! - [`verify`]: two executions side by side, and what differs where.
//! - [`trace`]: between the core's terms and the file's records.
//! - [`keyframes`]: snapshots stored in a trace.
//! - [`images`]: images found by their hash, and hashes of their parts.
//!
//! # Invariants
//! - No clock, thread, file or socket: wall time is an argument, and what is kept goes through
//!   [`entry::EntryLog`].
//! - Recording is injecting: an event is stamped, logged, then handed to the machine. Replay hands
//!   over the same events at the same positions. There is no other difference.

pub mod entry;
pub mod hashing;
pub mod images;
pub mod keyframes;
pub mod pace;
pub mod play;
pub mod record;
pub mod replay;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod timeline;
pub mod trace;
pub mod typist;
pub mod verify;
