//! Newtypes for quantities that must not be mixed.

use std::fmt;

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident($inner:ty), $format:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $format, self.0)
            }
        }
    };
}

quantity! {
    /// A position in an execution, in steps since power-on: an instruction retired, a trap taken,
    /// an input event delivered, or an idle jump.
    Icount(u64), "{}"
}
quantity! {
    /// Guest time in ticks of the platform timer (64 ns at the nominal 1 GHz); RISC-V's `mtime`.
    GuestTime(u64), "{}"
}
quantity! {
    /// A guest physical address, in bytes.
    GuestPhysAddr(u64), "{:#x}"
}
quantity! {
    /// A guest virtual address, in bytes.
    GuestVirtAddr(u64), "{:#x}"
}
quantity! {
    /// A CPU of the machine, counted from zero; on RISC-V the hart id.
    CpuId(u32), "{}"
}
quantity! {
    /// An interrupt line into the platform's interrupt controller, 1 to 63; 0 means none.
    IrqSource(u32), "{}"
}

impl Icount {
    /// The position `steps` later, saturating at the end of the counter.
    #[must_use]
    pub const fn after(self, steps: u64) -> Self {
        Self(self.0.saturating_add(steps))
    }
}

/// Bytes in a page of guest memory, the unit of dirtiness, hashing and sharing.
pub const PAGE_BYTES: u64 = 4096;

/// Nanoseconds of guest time in a tick of [`GuestTime`] at the nominal 15.625 MHz.
pub const NANOSECONDS_PER_TICK: u64 = 64;

/// Size of the guest's terminal in character cells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TerminalSize {
    /// Cells in a row, 1 to 65535.
    pub columns: u16,
    /// Rows, 1 to 65535.
    pub rows: u16,
}

impl Default for TerminalSize {
    fn default() -> Self {
        Self {
            columns: 80,
            rows: 24,
        }
    }
}
