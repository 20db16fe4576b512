//! The header: what the machine was when the recording began.

use crate::blob::BlobHash;
use crate::error::TraceError;
use crate::record::TerminalSize;

/// What a replay must know before the first record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// Version of the machine's guest-visible behaviour. It stands uncompressed at a fixed place in
    /// the file, so that a small loader can pick the build that replays it.
    pub machine_version: u32,
    /// The machine apart from its images.
    pub config: Config,
    /// Kernel, initrd, disks, in the order in which the machine sees them.
    pub images: Vec<ImageReference>,
    /// The program that recorded, for people. Replay ignores it.
    pub creator: String,
    /// When the recording began, in seconds since 1970-01-01 UTC, for people. Replay ignores it.
    pub recorded_at_unix_seconds: Option<u64>,
    /// Header fields that this version does not know and that replay can do without. They are kept so
    /// that compaction loses nothing.
    pub other: Vec<HeaderAnnotation>,
}

impl Header {
    /// Checks that the caller's machine behaves as the recorded one did.
    ///
    /// # Errors
    /// [`TraceError::MachineVersion`] when it does not.
    pub fn require_machine_version(&self, supported: u32) -> Result<(), TraceError> {
        if self.machine_version == supported {
            return Ok(());
        }
        Err(TraceError::MachineVersion {
            found: self.machine_version,
            supported,
        })
    }
}

/// What the machine is, apart from its images.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// How it starts.
    pub boot: BootKind,
    /// Size of RAM in bytes.
    pub ram_bytes: u64,
    /// Number of harts.
    pub hart_count: u32,
    /// Guest time advances by one tick every `2^time_shift` steps.
    pub time_shift: u8,
    /// Seed of everything in the machine that looks random.
    pub seed: [u8; 32],
    /// Timer deadlines are put off by a seeded amount of 0 to this many ticks.
    pub jitter_ticks_max: u32,
    /// Kernel command line.
    pub command_line: Vec<u8>,
    /// Size of the terminal at power-on.
    pub terminal: TerminalSize,
    /// Address of the network card, if there is one.
    pub network: Option<[u8; 6]>,
}

/// How the machine starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BootKind {
    /// A Linux kernel in S-mode, number 1.
    Linux,
    /// A bare-metal ELF in M-mode, number 2.
    BareElf,
}

impl BootKind {
    /// The number on the wire.
    pub(crate) const fn tag(self) -> u8 {
        match self {
            Self::Linux => 1,
            Self::BareElf => 2,
        }
    }

    pub(crate) const fn from_tag(tag: u8) -> Option<Self> {
        match tag {
            1 => Some(Self::Linux),
            2 => Some(Self::BareElf),
            _ => None,
        }
    }
}

/// An image that the machine started from, named by its content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImageReference {
    /// What the machine uses it for.
    pub role: ImageRole,
    /// BLAKE3 of its bytes. A blob of this name in the trace is the image, embedded.
    pub hash: BlobHash,
    /// Its size in bytes.
    pub bytes_len: u64,
    /// What people call it.
    pub name: String,
    /// Where it may be found: paths or URLs, best first.
    pub places: Vec<String>,
}

/// What the machine uses an image for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ImageRole {
    /// A Linux kernel Image, number 1.
    Kernel,
    /// An initial RAM file system, number 2.
    Initrd,
    /// A disk, number 3.
    Disk,
    /// A bare-metal ELF, number 4.
    Elf,
    /// The listing of a workspace, number 5.
    Workspace,
}

impl ImageRole {
    /// The number on the wire.
    pub(crate) const fn tag(self) -> u8 {
        match self {
            Self::Kernel => 1,
            Self::Initrd => 2,
            Self::Disk => 3,
            Self::Elf => 4,
            Self::Workspace => 5,
        }
    }

    pub(crate) const fn from_tag(tag: u8) -> Option<Self> {
        match tag {
            1 => Some(Self::Kernel),
            2 => Some(Self::Initrd),
            3 => Some(Self::Disk),
            4 => Some(Self::Elf),
            5 => Some(Self::Workspace),
            _ => None,
        }
    }
}

/// A header field that this version does not know and that replay can do without.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeaderAnnotation {
    /// Its number, 0x80 or above.
    pub tag: u8,
    /// Its content.
    pub payload: Vec<u8>,
}
