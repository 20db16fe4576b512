//! The deterministic machine.
#![warn(missing_docs)]

pub mod riscv;
