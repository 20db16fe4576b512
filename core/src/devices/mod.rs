//! The devices on the bus. None of them knows the instruction set.
//!
//! # Code map
//! - [`uart`], [`rtc`], [`syscon`]: one register file each.
//! - [`virtio`]: the virtio-mmio transport, the split virtqueue and the devices behind them.
//!
//! # Invariants
//! - A device keeps no copy of guest memory between two accesses.
//! - Saved state is hostile: `restore` checks every value that a later access relies on.

pub mod rtc;
pub mod syscon;
pub mod uart;
pub mod virtio;

#[cfg(test)]
pub(crate) mod suite;
