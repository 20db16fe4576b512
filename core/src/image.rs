//! Images: the bytes of kernels, initrds and disks, named by their hash and never changed.

use std::sync::Arc;

/// The BLAKE3 hash that names an image.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ImageHash(pub [u8; 32]);

impl ImageHash {
    /// The name of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl std::fmt::Display for ImageHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Bytes of an image that the host does not hold yet. The step that wanted them had no effect
/// and is tried again when they are there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ImageStall {
    /// Which disk, counted from zero.
    pub disk: usize,
    /// First missing byte.
    pub offset: u64,
    /// How many bytes from there the step wants.
    pub length: u64,
}

/// The range of an image that is not there yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MissingRange {
    /// First missing byte.
    pub offset: u64,
    /// How many bytes from there are wanted.
    pub length: u64,
}

/// Where the bytes of a disk image come from.
///
/// Every implementation over the same image must yield the same bytes; when is all that may vary.
pub trait ImageSource: Send {
    /// Size of the image in bytes.
    fn byte_len(&self) -> u64;

    /// Fills `buffer` from `offset`; bytes beyond the end of the image read as zeros.
    ///
    /// # Errors
    /// [`MissingRange`] when bytes are not there yet; `buffer` is then unspecified.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), MissingRange>;
}

/// An image held in memory as a whole.
#[derive(Clone, Debug)]
pub struct MemoryImage(pub Arc<[u8]>);

impl ImageSource for MemoryImage {
    fn byte_len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), MissingRange> {
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.0.len());
        let length = buffer.len().min(self.0.len() - start);
        buffer[..length].copy_from_slice(&self.0[start..start + length]);
        buffer[length..].fill(0);
        Ok(())
    }
}
