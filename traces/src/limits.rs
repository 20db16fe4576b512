//! Caps on everything that a trace declares.
//!
//! A trace from a stranger is hostile input. Each cap is far above what a real recording needs and low
//! enough that a reader that believes the file stays within a few hundred MiB.

/// Header after decompression. A header holds a command line and a few dozen image references.
pub const MAX_HEADER_RAW_BYTES: u32 = 1 << 20;

/// Any chunk after decompression: what a reader allocates before it has seen a chunk's content. The
/// largest legitimate one is the index of a trace with [`MAX_CHUNKS`] chunks.
pub const MAX_CHUNK_RAW_BYTES: u32 = 16 << 20;

/// One record's payload. The largest is a start with a long environment: Linux caps arguments and
/// environment at 2 MiB, and nobody's comes near. Strings of one byte grow about 30-fold in memory, so
/// the cap is lower than a chunk's.
pub const MAX_RECORD_PAYLOAD_BYTES: u32 = 1 << 20;

/// Size at which the writer closes a records chunk by itself: large enough to compress well, small
/// enough that a seek decodes little.
pub const RECORDS_CHUNK_TARGET_BYTES: u32 = 256 << 10;

/// Content bytes in one blob chunk, so that a large file never makes a large chunk.
pub const MAX_BLOB_PIECE_BYTES: u32 = 4 << 20;

/// One blob: a file given to the guest, an embedded image, or a keyframe's state. It is assembled in
/// memory, in a browser's 32-bit address space too.
pub const MAX_BLOB_BYTES: u64 = 256 << 20;

/// Blobs in a trace: bounds the reader's table of them.
pub const MAX_BLOBS: usize = 1 << 16;

/// Chunks in a trace, the index not counted: bounds the reader's table of them. A recording that
/// flushes a chunk in every second of its life reaches it after six days; compaction merges them.
pub const MAX_CHUNKS: usize = 1 << 19;

/// What all chunks of a trace may decompress to, whatever its size: bounds the time that reading takes.
pub const MAX_RAW_BYTES_BASE: u64 = 1 << 30;

/// How many bytes each byte of the file may decompress to, beyond [`MAX_RAW_BYTES_BASE`].
pub const MAX_RAW_BYTES_PER_BYTE: u64 = 256;

/// Keyframes in a trace: bounds the reader's table of them.
pub const MAX_KEYFRAMES: usize = 1 << 16;

/// Pages in one pages chunk (4 MiB).
pub const MAX_PAGES_PER_CHUNK: u32 = 1024;

/// The encoded page map of one keyframe. A run of pages takes 3 to 20 bytes here and 24 in memory.
pub const MAX_PAGE_MAP_BYTES: u64 = 4 << 20;

/// Images that a header names: kernel, initrd and disks.
pub const MAX_IMAGES: usize = 64;

/// Components of a state hash. This version has five.
pub const MAX_HASH_COMPONENTS: usize = 16;

// An index with every table full must fit into a chunk: 20 bytes at most for a chunk's entry, 46 for
// a blob's, 14 for a keyframe's, and room for the rest.
const _: () = assert!(
    MAX_CHUNKS * 20 + MAX_BLOBS * 46 + MAX_KEYFRAMES * 14 + 1024 < MAX_CHUNK_RAW_BYTES as usize
);
