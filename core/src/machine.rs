//! The machine as a whole.

use crate::event::InputEvent;
use crate::image::{ImageSource, ImageStall};
use crate::memory::MemorySnapshot;
use crate::output::Output;
use crate::state::StateError;
use crate::types::{GuestTime, Icount, TerminalSize};
use std::sync::Arc;
use thiserror::Error;

/// Version of the machine's guest-visible behaviour. A trace replays only on the version that
/// recorded it.
pub const MACHINE_VERSION: u32 = 1;

/// How the machine starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BootKind {
    /// Linux in S-mode on the built-in SBI, from a kernel Image and an optional initrd.
    Linux,
    /// A bare-metal ELF in M-mode, with the HTIF `tohost` convention where it has that symbol.
    BareElf,
}

/// What the machine is, apart from its images.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MachineConfig {
    /// Size of RAM in bytes: a multiple of 2 MiB, 64 MiB to 64 GiB for Linux.
    pub ram_bytes: u64,
    /// Number of CPUs; 1 in this version.
    pub cpu_count: u32,
    /// Guest time advances by one tick every `2^time_shift` steps; 6 is a nominal 1 GHz.
    pub time_shift: u8,
    /// Seeds the entropy device, the device tree's `rng-seed` and the timer jitter.
    pub seed: [u8; 32],
    /// Timer deadlines are put off by a seeded amount of 0 to this many ticks.
    pub timer_jitter_ticks_max: u32,
    /// How the machine starts.
    pub boot: BootKind,
    /// Kernel command line.
    pub command_line: Vec<u8>,
    /// Size of the terminal at power-on.
    pub terminal: TerminalSize,
}

impl Default for MachineConfig {
    fn default() -> Self {
        Self {
            ram_bytes: 256 << 20,
            cpu_count: 1,
            time_shift: 6,
            seed: [0; 32],
            timer_jitter_ticks_max: 0,
            boot: BootKind::Linux,
            command_line: Vec::new(),
            terminal: TerminalSize::default(),
        }
    }
}

/// The images a machine starts from.
#[derive(Default)]
pub struct MachineImages {
    /// The kernel Image, or the bare-metal ELF.
    pub kernel: Option<Arc<[u8]>>,
    /// The initial RAM file system.
    pub initrd: Option<Arc<[u8]>>,
    /// Disks, in the order in which the guest sees them.
    pub disks: Vec<Box<dyn ImageSource>>,
}

/// Why the machine stopped for good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HaltReason {
    /// The guest or the host switched the power off.
    PowerOff,
    /// The guest asked for a reboot.
    Reboot,
    /// The guest reported a failure (SBI system reset with a reason, syscon failure code).
    Failure(u32),
    /// A bare-metal program wrote to `tohost`; 0 means pass, else the failing test's number.
    ToHost(u64),
}

/// Why [`Machine::run`] returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RunExit {
    /// The limit was reached.
    Limit,
    /// Every CPU waits for an interrupt. Nothing happens before an input event or
    /// [`Machine::idle_jump`].
    Idle {
        /// The next timer deadline, if any timer is set.
        deadline: Option<GuestTime>,
    },
    /// The machine has stopped for good; running it again returns the same.
    Halted(HaltReason),
    /// Bytes of an image are missing. The step that wants them had no effect.
    ImageStall(ImageStall),
}

/// How the machine executes. The engines are indistinguishable by the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Engine {
    /// Blocks of decoded instructions and cached translations.
    #[default]
    Blocks,
    /// The oracle: interrupts are checked before each instruction and each access walks the page
    /// tables.
    Reference,
}

/// One value a component, so that a divergence names where it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StateHash {
    /// Guest RAM.
    pub ram: u64,
    /// CPUs, and position and time.
    pub cpus: u64,
    /// Devices, interrupt controllers and timers included.
    pub devices: u64,
    /// What was written to the disks.
    pub disks: u64,
    /// Everything that came out.
    pub output: u64,
}

impl StateHash {
    /// Names of the components, in the order of [`StateHash::components`].
    pub const COMPONENT_NAMES: [&'static str; 5] = ["ram", "cpus", "devices", "disks", "output"];

    /// The components in order.
    #[must_use]
    pub const fn components(&self) -> [u64; 5] {
        [self.ram, self.cpus, self.devices, self.disks, self.output]
    }

    /// From components in order.
    #[must_use]
    pub const fn from_components(components: [u64; 5]) -> Self {
        let [ram, cpus, devices, disks, output] = components;
        Self {
            ram,
            cpus,
            devices,
            disks,
            output,
        }
    }
}

impl std::fmt::Display for StateHash {
    /// One hash over all components, as 32 hexadecimal digits.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut bytes = [0; 40];
        for (chunk, component) in bytes.chunks_exact_mut(8).zip(self.components()) {
            chunk.copy_from_slice(&component.to_le_bytes());
        }
        write!(f, "{:032x}", xxhash_rust::xxh3::xxh3_128(&bytes))
    }
}

/// The value of the whole machine state. Cloning shares the pages.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// CPUs, devices, disk overlays and counters, as [`crate::state`] encodes them.
    pub state: Arc<[u8]>,
    /// RAM.
    pub memory: MemorySnapshot,
}

/// Why a machine could not be made, fed or restored.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum MachineError {
    /// The configuration is impossible.
    #[error("{0}")]
    BadConfig(String),
    /// An image cannot be started from.
    #[error("{0}")]
    BadImage(String),
    /// An event does not fit the machine's state.
    #[error("the input event at icount {icount} does not fit the machine: {reason}")]
    BadEvent {
        /// Position at which it was to be delivered.
        icount: Icount,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A snapshot does not fit the machine.
    #[error("the snapshot cannot be restored: {0}")]
    BadSnapshot(#[from] StateError),
}

/// The interface of the machine that sessions drive.
pub trait MachineApi {
    /// The configuration.
    fn config(&self) -> &crate::machine::MachineConfig;
    /// Position.
    fn icount(&self) -> Icount;
    /// Guest time.
    fn time(&self) -> GuestTime;
    /// Runs until `icount() == limit`, or returns earlier for a reason that is itself a function of state.
    fn run(&mut self, limit: Icount) -> RunExit;
    /// Delivers an event: one step.
    fn inject(&mut self, event: &InputEvent) -> Result<(), MachineError>;
    /// Lets time jump to `to` while every CPU waits: one step. `to` is at most the next timer deadline and at least now.
    fn idle_jump(&mut self, to: GuestTime) -> Result<(), MachineError>;
    /// How many bytes of console input the port takes now.
    fn console_room(&self, port: crate::event::ConsolePort) -> usize;
    /// What came out since the last call.
    fn take_outputs(&mut self) -> Vec<Output>;
    /// Hash of the state by component. Cheap: only pages dirtied since the last call are read.
    fn state_hash(&mut self) -> StateHash;
    /// The state's value; shares unchanged pages with `base`.
    fn snapshot(&mut self, base: Option<&Snapshot>) -> Snapshot;
    /// Takes over a snapshot of a machine of the same configuration and images.
    fn restore(&mut self, snapshot: &Snapshot) -> Result<(), MachineError>;
    /// Drops every cache. Changes nothing that a guest or a hash could see.
    fn drop_caches(&mut self);
    /// Chooses the engine. May be changed at any time.
    fn set_engine(&mut self, engine: Engine);
}
