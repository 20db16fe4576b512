//! Records: what a trace says about an execution, in order of icount.

use crate::blob::BlobHash;
use serde::{Deserialize, Serialize};

/// Names of a state hash's components, in order.
pub const HASH_COMPONENT_NAMES: [&str; 5] = ["ram", "cpus", "devices", "disks", "output"];

/// One record. Records of equal icount keep the order in which they were written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// An input event: the only kind of record that a replay acts on.
    Event(Event),
    /// What the state's hash was here.
    StateHash {
        /// Position of the hashed state.
        icount: u64,
        /// One value a component, named by [`HASH_COMPONENT_NAMES`].
        components: Vec<u64>,
    },
    /// A fact that helps a person. Replay ignores it.
    Annotation {
        /// Position to which it belongs.
        icount: u64,
        /// What kind of fact.
        key: String,
        /// The fact.
        value: Vec<u8>,
    },
    /// A position that a person wants to return to. Replay ignores it.
    Mark {
        /// The position.
        icount: u64,
        /// What the person calls it.
        name: String,
    },
    /// A snapshot stored in the trace. A replay from the start ignores it.
    Keyframe {
        /// Position of the state.
        icount: u64,
        /// Blob with the state apart from RAM, as the machine encodes it.
        state: BlobHash,
        /// Blob with the page map: which stored page is where in RAM.
        page_map: BlobHash,
    },
    /// The last record of every trace whose recorder lived to close it.
    End {
        /// Position of the final state.
        icount: u64,
        /// Why the recording ended.
        reason: EndReason,
        /// Exit status of the guest's command, if it reported one.
        exit_status: Option<i32>,
    },
    /// A record of a kind that this version does not know and that replay can do without. It is kept so
    /// that compaction loses nothing.
    Other {
        /// Position to which it belongs.
        icount: u64,
        /// Its number, 0x80 or above.
        tag: u8,
        /// Its content.
        payload: Vec<u8>,
    },
}

impl Record {
    /// Position to which the record belongs.
    #[must_use]
    pub const fn icount(&self) -> u64 {
        match self {
            Self::Event(Event { icount, .. })
            | Self::StateHash { icount, .. }
            | Self::Annotation { icount, .. }
            | Self::Mark { icount, .. }
            | Self::Keyframe { icount, .. }
            | Self::End { icount, .. }
            | Self::Other { icount, .. } => *icount,
        }
    }
}

/// One nondeterministic input and when it reached the machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Position of the state to which the input is delivered; delivering it is one step.
    pub icount: u64,
    /// Ticks of guest time over which the machine jumped in the step just before this event, because
    /// it was idle and the event came before the next timer deadline; 0 when there was no such jump.
    pub skip: u64,
    /// The input.
    pub input: Input,
}

/// The inputs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// The start of the guest's work.
    Start(Box<Start>),
    /// Bytes that a console device accepted.
    ConsoleInput {
        /// The device.
        port: ConsolePort,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The terminal's size changed.
    ConsoleSize(TerminalSize),
    /// The host cut the power.
    PowerOff,
    /// An Ethernet frame reached the network card, without its checksum.
    Frame(Vec<u8>),
    /// Contents of a file of the workspace reached the machine.
    WorkspaceContent {
        /// The file: its number in the listing that the header names.
        file: u32,
        /// Which part of the file: its number, as the machine cuts files.
        extent: u32,
        /// The part's bytes, none for a part of zeros; `None` where the host could not read them.
        bytes: Option<Vec<u8>>,
    },
    /// A debugger wrote a register.
    RegisterWrite {
        /// The hart.
        hart: u32,
        /// The register, by the number that debuggers give it.
        register: u16,
        /// Its new value.
        value: u64,
    },
    /// A debugger wrote to RAM.
    MemoryWrite {
        /// Physical address of the first byte.
        address: u64,
        /// What was written.
        bytes: Vec<u8>,
    },
}

/// Number of a console device: 0 is the UART, 1 the virtio console. What a number means is the
/// machine's affair; the trace carries it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct ConsolePort(pub u8);

/// Size of the guest's terminal in character cells. The order of the fields is the wire's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Cells in a row.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

/// What the guest's init is told to do. The order of the fields is the wire's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
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
    /// Files to put into the guest before the command runs. Their content lies in blobs, earlier in the
    /// trace.
    pub files: Vec<StartFile>,
}

/// A file that the start puts into the guest. The order of the fields is the wire's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StartFile {
    /// Absolute path in the guest.
    pub path: Vec<u8>,
    /// Permission bits, as in `st_mode & 0o7777`.
    pub mode: u32,
    /// Name of the blob that holds the content.
    pub content: BlobHash,
}

/// Why a recording ended. It is for people and for exit statuses; the machine stops by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndReason {
    /// The power went off, number 1.
    PowerOff,
    /// The guest asked for a reboot, number 2.
    Reboot,
    /// The guest reported a failure with this code, number 3.
    Failure(u64),
    /// A bare-metal program reported this result (0 is a pass), number 4.
    ToHost(u64),
    /// The person stopped the recording, number 5.
    Stopped,
    /// The recording reached its limit of steps, number 6.
    LimitReached,
    /// The guest waited for an input that could not come, number 7.
    WaitsForever,
    /// A reason that this version does not know.
    Other {
        /// Its number.
        code: u8,
        /// What goes with it.
        detail: u64,
    },
}

impl EndReason {
    /// Number and detail on the wire.
    pub(crate) const fn to_wire(self) -> (u8, u64) {
        match self {
            Self::PowerOff => (1, 0),
            Self::Reboot => (2, 0),
            Self::Failure(code) => (3, code),
            Self::ToHost(result) => (4, result),
            Self::Stopped => (5, 0),
            Self::LimitReached => (6, 0),
            Self::WaitsForever => (7, 0),
            Self::Other { code, detail } => (code, detail),
        }
    }

    pub(crate) const fn from_wire(code: u8, detail: u64) -> Self {
        match (code, detail) {
            (1, 0) => Self::PowerOff,
            (2, 0) => Self::Reboot,
            (3, code) => Self::Failure(code),
            (4, result) => Self::ToHost(result),
            (5, 0) => Self::Stopped,
            (6, 0) => Self::LimitReached,
            (7, 0) => Self::WaitsForever,
            _ => Self::Other { code, detail },
        }
    }
}
