//! Traps: a guest's fault is a normal value.

/// Exception codes, RISC-V Privileged 3.1.15 (mcause).
pub mod cause {
    /// Instruction access fault.
    pub const FETCH_ACCESS: u64 = 1;
    /// Illegal instruction.
    pub const ILLEGAL: u64 = 2;
    /// Breakpoint.
    pub const BREAKPOINT: u64 = 3;
    /// Load address misaligned.
    pub const LOAD_MISALIGNED: u64 = 4;
    /// Load access fault.
    pub const LOAD_ACCESS: u64 = 5;
    /// Store or AMO address misaligned.
    pub const STORE_MISALIGNED: u64 = 6;
    /// Store or AMO access fault.
    pub const STORE_ACCESS: u64 = 7;
    /// Environment call from U-mode; S-mode is one more, M-mode three more.
    pub const ECALL_U: u64 = 8;
    /// Environment call from S-mode.
    pub const ECALL_S: u64 = 9;
    /// Environment call from M-mode.
    pub const ECALL_M: u64 = 11;
    /// Instruction page fault.
    pub const FETCH_PAGE: u64 = 12;
    /// Load page fault.
    pub const LOAD_PAGE: u64 = 13;
    /// Store or AMO page fault.
    pub const STORE_PAGE: u64 = 15;
    /// Set in the cause of an interrupt.
    pub const INTERRUPT: u64 = 1 << 63;
}

/// Interrupt bits of `mip` and `mie`.
pub mod irq {
    /// Supervisor software interrupt.
    pub const SSI: u64 = 1 << 1;
    /// Machine software interrupt.
    pub const MSI: u64 = 1 << 3;
    /// Supervisor timer interrupt.
    pub const STI: u64 = 1 << 5;
    /// Machine timer interrupt.
    pub const MTI: u64 = 1 << 7;
    /// Supervisor external interrupt.
    pub const SEI: u64 = 1 << 9;
    /// Machine external interrupt.
    pub const MEI: u64 = 1 << 11;
}

/// A synchronous exception.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exception {
    /// One of [`cause`].
    pub cause: u64,
    /// What goes to `mtval` or `stval`.
    pub value: u64,
}

impl Exception {
    pub(crate) const fn new(cause: u64, value: u64) -> Self {
        Self { cause, value }
    }
}

/// Privilege modes, RISC-V Privileged 1.2.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Privilege {
    /// User.
    User = 0,
    /// Supervisor.
    Supervisor = 1,
    /// Machine.
    Machine = 3,
}

impl Privilege {
    /// The mode with this encoding; 2 is reserved.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Option<Self> {
        match bits {
            0 => Some(Self::User),
            1 => Some(Self::Supervisor),
            3 => Some(Self::Machine),
            _ => None,
        }
    }
}

/// Kinds of memory access, as far as permissions go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Load, or LR.
    Load,
    /// Store, SC or AMO.
    Store,
    /// Instruction fetch.
    Fetch,
}

impl Access {
    pub(crate) const fn page_fault(self, address: u64) -> Exception {
        Exception::new(
            match self {
                Self::Load => cause::LOAD_PAGE,
                Self::Store => cause::STORE_PAGE,
                Self::Fetch => cause::FETCH_PAGE,
            },
            address,
        )
    }

    pub(crate) const fn access_fault(self, address: u64) -> Exception {
        Exception::new(
            match self {
                Self::Load => cause::LOAD_ACCESS,
                Self::Store => cause::STORE_ACCESS,
                Self::Fetch => cause::FETCH_ACCESS,
            },
            address,
        )
    }
}
