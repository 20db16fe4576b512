//! The part of the arena that belongs to one hart, in a layout that generated code can share.

/// Entries in each translation cache; a power of two.
pub const TLB_ENTRIES: usize = 256;

/// Contexts under which data is accessed, each with translations of its own.
pub const TLB_CONTEXTS: usize = 4;

/// A tag that no address matches.
pub const TLB_TAG_NONE: u64 = u64::MAX;

/// One cached translation of a whole page of RAM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct TlbEntry {
    /// Virtual address of the page, or [`TLB_TAG_NONE`].
    pub tag: u64,
    /// What to add (wrapping) to a virtual address to get the offset within RAM.
    pub addend: u64,
}

/// Translations of one context, by kind of access.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct TlbContext {
    /// For loads.
    pub read: [TlbEntry; TLB_ENTRIES],
    /// For stores.
    pub write: [TlbEntry; TLB_ENTRIES],
}

/// Registers and caches of one hart.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct CpuArea {
    /// Integer registers; 0 to 31 are architectural (0 stays zero), 32 takes writes to `x0`.
    pub x: [u64; 64],
    /// Floating-point registers, NaN-boxed.
    pub f: [u64; 32],
    /// Address of the next instruction.
    pub pc: u64,
    /// Steps left before the run loop must look at interrupts and limits.
    pub budget: i64,
    /// icount at which the budget reaches zero.
    pub deadline: u64,
    /// Accrued floating-point exception flags.
    pub fflags: u64,
    /// Index of the context in use for loads and stores.
    pub context: u64,
    /// Translations for loads and stores.
    pub tlb: [TlbContext; TLB_CONTEXTS],
}
