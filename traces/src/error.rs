//! What can be wrong with a trace.

use crate::blob::BlobHash;
use std::io;
use thiserror::Error;

/// Why a trace could not be read or written. Byte offsets count from the start of the file; for
/// content inside a compressed chunk, the offset is the chunk's.
#[derive(Debug, Error)]
pub enum TraceError {
    /// The first bytes are not a trace's.
    #[error("this is not a Reprise trace: give a file that `reprise record` wrote")]
    NotATrace,
    /// The file's layout is of another version.
    #[error(
        "the trace has format version {found}, but this build reads version {supported}: \
         open it with the build that recorded it or a newer one"
    )]
    FormatVersion {
        /// Version in the file.
        found: u32,
        /// Version that this crate reads.
        supported: u32,
    },
    /// The trace was recorded on a machine that behaves differently.
    #[error(
        "the trace was recorded on machine version {found}, but this build has machine version \
         {supported}: replay it with the build that recorded it"
    )]
    MachineVersion {
        /// Version in the file.
        found: u32,
        /// Version of the caller's machine.
        supported: u32,
    },
    /// The bytes end before the header does.
    #[error(
        "the trace ends after {bytes} bytes, inside its header, so nothing of it can be replayed: \
         copy or record it again"
    )]
    HeaderCut {
        /// How many bytes there are.
        bytes: u64,
    },
    /// The header fails its checksum, or declares impossible lengths.
    #[error(
        "the trace's header is damaged, so nothing of it can be replayed: copy or record it again"
    )]
    HeaderDamaged,
    /// A packed trace fails its checksum or declares impossible lengths.
    #[error("the link is damaged: a part of it may be missing, so copy it again as a whole")]
    PackedDamaged,
    /// A chunk fails its checksum or declares impossible lengths.
    #[error(
        "the trace is damaged at byte {at_byte}: only what was recorded up to icount {last_icount} \
         can be replayed"
    )]
    ChunkDamaged {
        /// Where the chunk (or the footer) begins.
        at_byte: u64,
        /// Position of the last record before it; 0 if there is none.
        last_icount: u64,
    },
    /// Content that is intact but breaks a rule of the format: written by a faulty or hostile program.
    #[error(
        "the trace breaks the format at byte {at_byte} (icount {icount}): {reason}; record it again \
         with an unmodified build"
    )]
    Malformed {
        /// Where the chunk begins.
        at_byte: u64,
        /// Position of the record, or of the last one before it.
        icount: u64,
        /// Which rule.
        reason: &'static str,
    },
    /// A number of a kind that a replay cannot do without and that this version does not know.
    #[error(
        "the trace has {what} of unknown kind {tag:#04x} at byte {at_byte} (icount {icount}): open \
         it with a newer build"
    )]
    UnknownTag {
        /// What it is a number of.
        what: &'static str,
        /// The number.
        tag: u8,
        /// Where the chunk begins.
        at_byte: u64,
        /// Position of the record, or of the last one before it.
        icount: u64,
    },
    /// Records are not in order of icount.
    #[error(
        "a record for icount {icount} follows one for icount {last_icount} at byte {at_byte}: records must be in order"
    )]
    OutOfOrder {
        /// Where the chunk begins.
        at_byte: u64,
        /// Position of the record.
        icount: u64,
        /// Position of the record before it.
        last_icount: u64,
    },
    /// More of something than a trace may have.
    #[error(
        "{what} is {size} at byte {at_byte}, above the limit of {size_max}: make it smaller or leave it out"
    )]
    TooLarge {
        /// What is too large, with its unit.
        what: &'static str,
        /// How large it is.
        size: u64,
        /// How large it may be.
        size_max: u64,
        /// Where in the file.
        at_byte: u64,
    },
    /// The trace does not contain this blob (as a whole).
    #[error(
        "the trace does not hold the content {hash}: take it from where the trace's header says, or record with `--embed`"
    )]
    BlobMissing {
        /// The blob's name.
        hash: BlobHash,
    },
    /// The content of a blob is not what its name says.
    #[error(
        "the content at byte {at_byte} is not the {hash} that it claims to be: copy or record the trace again"
    )]
    BlobMismatch {
        /// The blob's name.
        hash: BlobHash,
        /// Where its first chunk begins.
        at_byte: u64,
    },
    /// Bytes follow the end of the trace.
    #[error("bytes follow the end of the trace at byte {at_byte}: cut the file there")]
    TrailingBytes {
        /// Where the trace ends.
        at_byte: u64,
    },
    /// The index at the end of the trace contradicts the chunks.
    #[error(
        "the index at byte {at_byte} contradicts the trace: record it again with an unmodified build"
    )]
    IndexMismatch {
        /// Where the index begins.
        at_byte: u64,
    },
    /// A trace that is not whole was to be compacted.
    #[error(
        "the trace breaks off at byte {at_byte}, so it cannot be compacted or packed: keep it as it is, it replays to its last whole chunk"
    )]
    Incomplete {
        /// Where it breaks off.
        at_byte: u64,
    },
    /// The writer was closed without an end record, or used after one or after a failed write.
    #[error("the trace cannot be written on at byte {at_byte}: {reason}")]
    WriterState {
        /// How far the file has got.
        at_byte: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// Reading or writing failed.
    #[error("the trace cannot be read or written at byte {at_byte}: {source}")]
    Io {
        /// Where in the file.
        at_byte: u64,
        /// What the system said.
        source: io::Error,
    },
}

impl TraceError {
    /// Whether the bytes were changed or lost after they were written, so that what came before them
    /// can still be replayed.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::ChunkDamaged { .. })
    }
}
