//! Everything that knows the RISC-V instruction set: RV64GC with Zba, Zbb, Zbs, Sstc and Svadu.
//!
//! # Code map
//! - [`isa`], [`disasm`]: the instruction table, decoder and disassembler.
//! - `hart`, `csr`, `trap`, `pmp`: a hart's state and the rules of the privileged architecture.
//! - `mmu`: page-table walks and the caches of what they found.
//! - `uop`, `block`, `exec`, `arithmetic`, `run`: decoded code and its execution.
//! - [`fp`]: the one floating-point module.
//! - `platform`, `clint`, `plic`, `jitter`: memory map, interrupts, time.
//! - [`view`]: a hart as a debugger sees it.
//! - `sbi`, `boot`, `fdt`, [`elf`], `htif`: firmware and start.

pub mod area;
pub(crate) mod arithmetic;
pub(crate) mod block;
pub(crate) mod boot;
pub(crate) mod clint;
pub mod csr;
pub mod disasm;
pub mod elf;
pub(crate) mod exec;
pub(crate) mod fdt;
pub mod fp;
pub(crate) mod hart;
pub(crate) mod htif;
pub mod isa;
pub(crate) mod jitter;
pub(crate) mod mmu;
pub mod platform;
pub(crate) mod plic;
pub(crate) mod pmp;
pub(crate) mod run;
pub(crate) mod sbi;
pub mod trap;
pub(crate) mod uop;
pub mod view;
