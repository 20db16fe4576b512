//! The devices on the bus. None of them knows the instruction set.
pub mod rtc;
pub mod syscon;
pub mod uart;
pub mod virtio;
