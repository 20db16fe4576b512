//! The trace file: wire types, writer, streaming reader, limits.
//!
//! A trace is a recorded execution: a header that says what the machine was, and every
//! nondeterministic input that reached it, in order of icount. `FORMAT.md` beside this crate
//! specifies the file to the byte.
//!
//! # Code map
//! - [`Header`], [`Record`] and their parts are plain data. They know nothing of the machine's crate:
//!   the recorder converts.
//! - [`TraceWriter`] appends records to a `Write`; [`compact()`] rewrites a finished trace with few,
//!   well compressed chunks; [`TraceCopier`] copies one without its keyframes, for others to be put in.
//! - [`pack`] and [`unpack`] turn a short trace into what goes into a link, and back.
//! - [`StreamReader`] is fed bytes and hands out records as soon as their chunk has arrived.
//! - [`TraceReader`] reads a `Read + Seek`, finds records by icount, and yields blobs and keyframes.
//! - [`limits`] holds every cap. `codec` is the only module that knows bincode, `chunk` the only one
//!   that knows zstd and the checksum.
//!
//! # Invariants
//! - Bytes from outside never panic, never allocate more than the caps in [`limits`] allow, and never
//!   make a reader loop.
//! - A reader never returns records other than those written: what fails its checksum, and all that
//!   follows it, is not returned, and [`Completeness`] says so.
//! - A number on the wire never changes its meaning. What this version does not know is skipped when
//!   its number says that a replay can do without it, and refused otherwise.
//! - No clock and no file system: the caller decides when a chunk is flushed and where bytes go.

mod blob;
mod chunk;
mod codec;
mod compact;
mod copier;
mod error;
mod header;
mod index;
mod keyframe;
pub mod limits;
mod packed;
mod reader;
mod record;
mod stream;
#[cfg(test)]
mod tests;
mod wire;
mod writer;

pub use blob::{BlobHash, BlobPiece};
pub use chunk::{ChunkKind, FORMAT_VERSION, MAGIC};
pub use compact::compact;
pub use copier::TraceCopier;
pub use error::TraceError;
pub use header::{BootKind, Config, Header, HeaderAnnotation, ImageReference, ImageRole};
pub use index::{BlobEntry, ChunkEntry, Index, KeyframeEntry};
pub use keyframe::{Keyframe, KeyframePage, PAGE_BYTES, PageRun};
pub use packed::{PACKED_MAGIC, is_packed, pack, unpack};
pub use reader::{Records, TraceReader};
pub use record::{
    ConsolePort, EndReason, Event, HASH_COMPONENT_NAMES, Input, Record, Start, StartFile,
    TerminalSize,
};
pub use stream::{Completeness, StreamItem, StreamReader, TruncationCause};
pub use writer::{Compression, TraceSummary, TraceWriter};
