//! Input events: the only nondeterminism that reaches the machine.

use crate::types::{CpuId, GuestPhysAddr, TerminalSize};
use crate::workspace::content::{Content, ContentKey};

/// Which console device bytes belong to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
#[repr(u8)]
pub enum ConsolePort {
    /// The ns16550a UART.
    Uart = 0,
    /// The virtio console.
    Virtio = 1,
}

impl ConsolePort {
    /// The port with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Uart),
            1 => Some(Self::Virtio),
            _ => None,
        }
    }
}

/// A file that the start puts into the guest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StartFile {
    /// Absolute path in the guest.
    pub path: Vec<u8>,
    /// Permission bits, as in `st_mode & 0o7777`.
    pub mode: u32,
    /// The file's contents.
    pub bytes: Vec<u8>,
}

/// What the guest's init is told to do, from power-on or from a prebooted snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Start {
    /// Command and arguments; empty means an interactive shell.
    pub command: Vec<Vec<u8>>,
    /// Names and values.
    pub environment: Vec<(Vec<u8>, Vec<u8>)>,
    /// Directory in which the command runs; empty means init's default.
    pub working_directory: Vec<u8>,
    /// Wall clock at the start, in nanoseconds since 1970-01-01 UTC.
    pub clock_unix_nanoseconds: u64,
    /// Seed that the guest credits to its random number generator.
    pub seed: [u8; 32],
    /// Whether a person sits at the terminal.
    pub interactive: bool,
    /// Size of the terminal.
    pub terminal: TerminalSize,
    /// Files to put into the guest before the command runs.
    pub files: Vec<StartFile>,
}

/// One nondeterministic input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum InputEvent {
    /// The start of the guest's work.
    Start(Box<Start>),
    /// Bytes that a console device accepts.
    ConsoleInput {
        /// The device.
        port: ConsolePort,
        /// The bytes, at most as many as the device has room for.
        bytes: Vec<u8>,
    },
    /// The terminal's size changed.
    ConsoleSize(TerminalSize),
    /// The host cuts the power.
    PowerOff,
    /// An Ethernet frame reaches the network card, without its checksum.
    Frame(Vec<u8>),
    /// Contents of the workspace, which come once.
    WorkspaceContent {
        /// What it is the content of.
        key: ContentKey,
        /// The content.
        content: Content,
    },
    /// A debugger changes the machine. Only diversions hold such events.
    DebugWrite(DebugWrite),
}

/// Bytes that one [`DebugWrite::Memory`] may write.
pub const DEBUG_WRITE_BYTES_MAX: usize = 64 << 10;

/// What a debugger writes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DebugWrite {
    /// A register of a CPU, as the instruction set numbers registers for debuggers: on RISC-V 0 to 31 are `x0` to
    /// `x31`, 32 is `pc`, 33 to 64 are `f0` to `f31`, 66 to 68 are `fflags`, `frm` and `fcsr`.
    Register {
        /// The CPU.
        cpu: CpuId,
        /// The register's number.
        register: u16,
        /// Its new value.
        value: u64,
    },
    /// RAM.
    Memory {
        /// First byte.
        address: GuestPhysAddr,
        /// At most [`DEBUG_WRITE_BYTES_MAX`].
        bytes: Vec<u8>,
    },
}
