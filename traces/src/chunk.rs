//! The frame around content: preamble, chunk headers, footer, checksums, compression.
//!
//! The one place that knows zstd and the checksum.

use crate::error::TraceError;
use crate::limits::{MAX_CHUNK_RAW_BYTES, MAX_HEADER_RAW_BYTES};

/// Version of the file's layout. FORMAT.md has the table of versions.
pub const FORMAT_VERSION: u32 = 1;

/// The first bytes of a trace: not ASCII, and spoilt by whatever changes line ends or drops the
/// eighth bit.
pub const MAGIC: [u8; 8] = *b"\x89RPR\r\n\x1a\n";

/// The last bytes of a finished trace.
pub(crate) const END_MAGIC: [u8; 4] = *b"\x89END";

/// Size of what stands before the header's content.
pub(crate) const PREAMBLE_BYTES: usize = 28;

/// Size of what stands before a chunk's content.
pub(crate) const CHUNK_HEADER_BYTES: usize = 21;

/// Size of the footer.
pub(crate) const FOOTER_BYTES: usize = 16;

/// What a chunk holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ChunkKind {
    /// Records, number 0x01.
    Records,
    /// A piece of a blob, number 0x02.
    Blob,
    /// The index, number 0x03.
    Index,
    /// Pages of RAM for keyframes, number 0x80.
    Pages,
    /// A kind that this version does not know and that replay can do without, 0x81 or above.
    Other(u8),
}

impl ChunkKind {
    /// The number on the wire.
    #[must_use]
    pub const fn tag(self) -> u8 {
        match self {
            Self::Records => 0x01,
            Self::Blob => 0x02,
            Self::Index => 0x03,
            Self::Pages => 0x80,
            Self::Other(tag) => tag,
        }
    }

    /// The kind with this number, if this version knows it or may skip it.
    #[must_use]
    pub const fn from_tag(tag: u8) -> Option<Self> {
        match tag {
            0x01 => Some(Self::Records),
            0x02 => Some(Self::Blob),
            0x03 => Some(Self::Index),
            0x80 => Some(Self::Pages),
            0x81.. => Some(Self::Other(tag)),
            _ => None,
        }
    }
}

/// The fixed bytes at the start of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Preamble {
    pub(crate) machine_version: u32,
    pub(crate) raw_bytes: u32,
    pub(crate) stored_bytes: u32,
    pub(crate) checksum: u32,
}

impl Preamble {
    /// Reads a preamble. The lengths in the result are within limits.
    ///
    /// # Errors
    /// [`TraceError::NotATrace`], [`TraceError::FormatVersion`], [`TraceError::HeaderDamaged`].
    pub(crate) fn parse(bytes: &[u8; PREAMBLE_BYTES]) -> Result<Self, TraceError> {
        if bytes[..8] != MAGIC {
            return Err(TraceError::NotATrace);
        }
        let format_version = u32_at(bytes, 8);
        if format_version != FORMAT_VERSION {
            return Err(TraceError::FormatVersion {
                found: format_version,
                supported: FORMAT_VERSION,
            });
        }
        let preamble = Self {
            machine_version: u32_at(bytes, 12),
            raw_bytes: u32_at(bytes, 16),
            stored_bytes: u32_at(bytes, 20),
            checksum: u32_at(bytes, 24),
        };
        if !lengths_plausible(
            preamble.raw_bytes,
            preamble.stored_bytes,
            MAX_HEADER_RAW_BYTES,
        ) {
            return Err(TraceError::HeaderDamaged);
        }
        Ok(preamble)
    }

    /// The checksum that the preamble should carry for these stored bytes. It seals all chunks too, so
    /// that a chunk of one trace is not taken for one of another.
    pub(crate) fn seal(&self, stored: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.bytes()[..PREAMBLE_BYTES - 4]);
        hasher.update(stored);
        hasher.finalize()
    }

    /// The preamble as it stands in the file.
    pub(crate) fn bytes(&self) -> [u8; PREAMBLE_BYTES] {
        let mut bytes = [0; PREAMBLE_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.machine_version.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.raw_bytes.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.stored_bytes.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.checksum.to_le_bytes());
        bytes
    }
}

/// The fixed bytes at the start of a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ChunkHeader {
    pub(crate) tag: u8,
    pub(crate) raw_bytes: u32,
    pub(crate) stored_bytes: u32,
    pub(crate) base_icount: u64,
    pub(crate) checksum: u32,
}

impl ChunkHeader {
    /// Reads a chunk's header; `None` if it declares lengths that no writer produces, so that whoever
    /// reads on need not believe them. The checksum is not verified here.
    pub(crate) fn parse(bytes: &[u8; CHUNK_HEADER_BYTES]) -> Option<Self> {
        let header = Self {
            tag: bytes[0],
            raw_bytes: u32_at(bytes, 1),
            stored_bytes: u32_at(bytes, 5),
            base_icount: u64_at(bytes, 9),
            checksum: u32_at(bytes, 17),
        };
        lengths_plausible(header.raw_bytes, header.stored_bytes, MAX_CHUNK_RAW_BYTES)
            .then_some(header)
    }

    /// The checksum that this header should carry. `seal` ties the chunk to its trace and `sequence`
    /// (how many chunks precede it) to its place, though neither is stored in it.
    pub(crate) fn expected_checksum(&self, seal: u32, sequence: u32, stored: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&seal.to_le_bytes());
        hasher.update(&sequence.to_le_bytes());
        hasher.update(&self.bytes()[..CHUNK_HEADER_BYTES - 4]);
        hasher.update(stored);
        hasher.finalize()
    }

    /// The header as it stands in the file.
    pub(crate) fn bytes(&self) -> [u8; CHUNK_HEADER_BYTES] {
        let mut bytes = [0; CHUNK_HEADER_BYTES];
        bytes[0] = self.tag;
        bytes[1..5].copy_from_slice(&self.raw_bytes.to_le_bytes());
        bytes[5..9].copy_from_slice(&self.stored_bytes.to_le_bytes());
        bytes[9..17].copy_from_slice(&self.base_icount.to_le_bytes());
        bytes[17..].copy_from_slice(&self.checksum.to_le_bytes());
        bytes
    }
}

/// The last bytes of a finished trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Footer {
    pub(crate) index_at_byte: u64,
}

impl Footer {
    /// Reads a footer; `None` if the bytes are not the footer of the trace with this seal.
    pub(crate) fn parse(bytes: &[u8; FOOTER_BYTES], seal: u32) -> Option<Self> {
        let footer = Self {
            index_at_byte: u64_at(bytes, 0),
        };
        (footer.bytes(seal) == *bytes).then_some(footer)
    }

    /// The footer as it stands in the file.
    pub(crate) fn bytes(&self, seal: u32) -> [u8; FOOTER_BYTES] {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&seal.to_le_bytes());
        hasher.update(&self.index_at_byte.to_le_bytes());
        let mut bytes = [0; FOOTER_BYTES];
        bytes[..8].copy_from_slice(&self.index_at_byte.to_le_bytes());
        bytes[8..12].copy_from_slice(&hasher.finalize().to_le_bytes());
        bytes[12..].copy_from_slice(&END_MAGIC);
        bytes
    }
}

/// What is stored for `raw`: a zstd frame, or `raw` itself when that is no larger. A reader tells them
/// apart by the lengths.
///
/// # Errors
/// What zstd reports, as when there is no memory.
pub(crate) fn compress(raw: &[u8], level: i32) -> std::io::Result<Vec<u8>> {
    let compressed = zstd::bulk::compress(raw, level)?;
    if compressed.len() < raw.len() {
        Ok(compressed)
    } else {
        Ok(raw.to_vec())
    }
}

/// Undoes [`compress`]; `None` if `stored` does not decompress to exactly `raw_bytes`. Allocates no more
/// than `raw_bytes`, which the caller has checked against a limit.
pub(crate) fn decompress(stored: &[u8], raw_bytes: u32) -> Option<Vec<u8>> {
    let raw_bytes = raw_bytes as usize;
    if stored.len() == raw_bytes {
        return Some(stored.to_vec());
    }
    let mut raw = Vec::with_capacity(raw_bytes);
    zstd::bulk::Decompressor::new()
        .ok()?
        .decompress_to_buffer(stored, &mut raw)
        .ok()?;
    (raw.len() == raw_bytes).then_some(raw)
}

fn lengths_plausible(raw_bytes: u32, stored_bytes: u32, raw_bytes_max: u32) -> bool {
    (1..=raw_bytes).contains(&stored_bytes) && raw_bytes <= raw_bytes_max
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(value)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_parts_round_trip() {
        let preamble = Preamble {
            machine_version: 7,
            raw_bytes: 300,
            stored_bytes: 200,
            checksum: 0x1234_5678,
        };
        assert_eq!(Preamble::parse(&preamble.bytes()).unwrap(), preamble);
        let header = ChunkHeader {
            tag: 1,
            raw_bytes: 9,
            stored_bytes: 9,
            base_icount: u64::MAX,
            checksum: 1,
        };
        assert_eq!(ChunkHeader::parse(&header.bytes()), Some(header));
        let footer = Footer { index_at_byte: 99 };
        assert_eq!(Footer::parse(&footer.bytes(5), 5), Some(footer));
        assert_eq!(
            Footer::parse(&footer.bytes(5), 6),
            None,
            "another trace's footer"
        );
    }

    #[test]
    fn implausible_lengths_are_refused() {
        let check = |raw_bytes, stored_bytes, expect| {
            let header = ChunkHeader {
                tag: 1,
                raw_bytes,
                stored_bytes,
                base_icount: 0,
                checksum: 0,
            };
            assert_eq!(ChunkHeader::parse(&header.bytes()).is_some(), expect);
        };
        check(1, 1, true);
        check(MAX_CHUNK_RAW_BYTES, 1, true);
        check(0, 0, false);
        check(1, 0, false);
        check(1, 2, false);
        check(MAX_CHUNK_RAW_BYTES + 1, 1, false);
        check(u32::MAX, u32::MAX, false);
    }

    #[test]
    fn compression_round_trips_and_is_bounded() {
        let zeros = vec![0; 1 << 20];
        let stored = compress(&zeros, 3).unwrap();
        assert!(stored.len() < 200);
        assert_eq!(decompress(&stored, 1 << 20), Some(zeros));
        assert_eq!(
            decompress(&stored, (1 << 20) - 1),
            None,
            "larger than declared"
        );
        assert_eq!(
            decompress(&stored, (1 << 20) + 1),
            None,
            "smaller than declared"
        );
        assert_eq!(compress(b"abc", 19).unwrap(), b"abc", "not worth a frame");
    }
}
