//! Everything that knows the RISC-V instruction set.

pub mod area;
pub mod disasm;
pub mod fp;
pub mod isa;
