//! What the tests of the whole share: generators of programs, and oracles to judge their execution.
//!
//! # Code map
//! - [`random`], [`operands`]: numbers, and values that are likely to find a mistake.
//! - [`encode`], [`elf`]: instructions and the files that hold them, without an assembler.
//! - [`sequence`]: random straight-line code that any RV64GC user-mode machine can execute.
//! - [`differential`]: that code on this machine and on `qemu-riscv64`, compared and minimised.
//! - [`bare`]: the bare-metal programs in `bare/`, assembled.
//! - [`soup`]: random programs for the whole privileged architecture.
//! - [`lockstep`]: one program executed in all the ways that must be indistinguishable.

pub mod bare;
pub mod differential;
pub mod elf;
pub mod encode;
pub mod lockstep;
pub mod operands;
pub mod random;
pub mod sequence;
pub mod soup;

/// How many times the bounded amount of work the random tests do: the variable `REPRISE_SOAK`, a
/// whole number, or 1.
///
/// # Panics
/// When the variable is set to something else.
#[must_use]
pub fn soak_factor() -> u64 {
    match std::env::var("REPRISE_SOAK") {
        Ok(text) => text.parse().expect("REPRISE_SOAK is a whole number"),
        Err(_) => 1,
    }
}
