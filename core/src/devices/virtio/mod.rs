//! Virtio devices on the memory-mapped transport, after VirtIO 1.2.
//!
//! # Code map
//! - [`mmio`]: the transport: registers, negotiation, interrupts; [`mmio::VirtioDevice`] is what
//!   stands behind it.
//! - [`queue`]: the split virtqueue and its descriptor chains.
//! - [`block`], [`start`]: disks; they share [`request`] and [`overlay`] or [`start_block`].
//! - [`console`], [`rng`]: the console and the entropy source.
//! - [`net`]: the network card. [`ninep`]: the workspace.
//! - [`slot`]: which of them stands in which slot of the platform.
//!
//! # Invariants
//! - Rings, descriptors and buffers are read from guest memory when they are used, never before.
//! - A driver's mistake ends in `DEVICE_NEEDS_RESET` or in an error status, never in a panic, a
//!   loop or an allocation that the guest can choose the size of.
//! - A missing image byte is found before anything has changed.

pub mod block;
pub mod console;
#[cfg(test)]
mod driver;
pub mod mmio;
pub mod net;
pub mod ninep;
pub mod overlay;
pub mod queue;
pub mod request;
pub mod rng;
pub mod slot;
pub mod start;
pub mod start_block;

use crate::state::{StateError, StateReader, StateWriter};

/// What a disk holds besides its transport and its requests: bulky, so it is saved and hashed
/// apart from the device's own section.
pub trait DiskContents {
    /// Writes the contents as one section.
    fn save_contents(&self, to: &mut StateWriter);

    /// Takes over saved contents.
    ///
    /// # Errors
    /// [`StateError`]; the contents are then as before.
    fn restore_contents(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError>;

    /// Hash of the contents, kept up to date as they change.
    fn contents_hash(&self) -> u64;
}
