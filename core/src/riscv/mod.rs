//! Everything that knows the RISC-V instruction set.
