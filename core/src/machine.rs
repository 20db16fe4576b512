//! The machine as a whole.

use crate::arena::Arena;
use crate::debug::{DebugHit, DebugPlan, Debugger};
use crate::device::{Device, DeviceContext};
use crate::devices::rtc::Rtc;
use crate::devices::syscon::Syscon;
use crate::devices::uart::Uart;
use crate::devices::virtio::net::{FRAME_BYTES_MAX, FRAME_BYTES_MIN};
use crate::devices::virtio::ninep::NineP;
use crate::devices::virtio::slot::VirtioSlot;
use crate::event::{ConsolePort, DEBUG_WRITE_BYTES_MAX, DebugWrite, InputEvent};
use crate::image::{ImageSource, ImageStall, MissingRange};
use crate::memory::{GuestMemory, MemorySnapshot};
use crate::output::{Output, Outputs};
use crate::riscv::block::BlockCache;
use crate::riscv::boot;
use crate::riscv::clint::Clint;
use crate::riscv::hart::{Hart, HartWithCode};
use crate::riscv::jitter::Jitter;
use crate::riscv::platform::{Platform, RAM_BASE, VIRTIO_SLOTS, context};
use crate::riscv::plic::Plic;
use crate::riscv::run::HartExit;
use crate::riscv::view::HartView;
use crate::state::{StateError, StateReader, StateWriter};
use crate::types::{GuestPhysAddr, GuestTime, Icount, PAGE_BYTES, TerminalSize};
use crate::workspace::content::{Content, ContentKey};
use crate::workspace::{Listing, Server};
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

/// Version of the machine's guest-visible behaviour. A trace replays only on the version that
/// recorded it.
pub const MACHINE_VERSION: u32 = 1;

/// Version of the layout of [`Snapshot::state`]. A stored snapshot is of use only to a machine of this version.
pub const SNAPSHOT_VERSION: u32 = 1;

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
    /// Address of the network card, if there is one.
    pub network: Option<[u8; 6]>,
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
            network: None,
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
    /// The files of the workspace, if there is one; see [`crate::workspace`].
    pub workspace: Option<Arc<Listing>>,
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
    /// Something that the plan of [`Machine::set_debug_plan`] asks for was met: see
    /// [`Machine::take_hits`].
    DebugStop,
    /// Much has come out: [`Machine::take_outputs`], then run on. This bounds what a guest can
    /// make its host hold; where it happens depends on what was taken before, and the guest
    /// cannot tell.
    OutputFull,
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

/// Size of RAM must be a multiple of this.
const RAM_GRANULARITY: u64 = 2 << 20;
const RAM_BYTES_MIN: u64 = 4 << 20;
const RAM_BYTES_MIN_LINUX: u64 = 64 << 20;
const RAM_BYTES_MAX: u64 = 64 << 30;
/// Ticks beyond which guest time never goes, so that sums with it cannot overflow.
const TIME_MAX: u64 = 1 << 60;
/// No saved execution is longer: at a thousand million steps a second it would take a century.
const POSITION_MAX: u64 = 1 << 62;

/// A deterministic computer.
pub struct Machine {
    config: MachineConfig,
    harts: Vec<HartWithCode>,
    platform: Platform,
    icount: u64,
    engine: Engine,
    symbols: BTreeMap<&'static str, u64>,
}

impl Machine {
    /// A machine at power-on: the guest is loaded and nothing has run. Without an arena it
    /// allocates one.
    ///
    /// # Errors
    /// [`MachineError::BadConfig`] and [`MachineError::BadImage`].
    pub fn new(
        config: MachineConfig,
        images: MachineImages,
        arena: Option<Arena>,
    ) -> Result<Self, MachineError> {
        check_config(&config)?;
        let too_large = || {
            MachineError::BadConfig(format!(
                "RAM of {} bytes is beyond this host",
                config.ram_bytes
            ))
        };
        let ram_bytes = usize::try_from(config.ram_bytes).map_err(|_| too_large())?;
        let arena = arena.unwrap_or_else(|| Arena::allocate(config.cpu_count, ram_bytes));
        let (cells, ram) = arena.split(config.cpu_count, ram_bytes);
        let ram_pages = ram_bytes / PAGE_BYTES as usize;
        let mut platform = Platform {
            memory: GuestMemory::new(ram, GuestPhysAddr(RAM_BASE), config.cpu_count),
            outputs: Outputs::default(),
            clint: Clint::new(config.cpu_count),
            plic: Plic::new(config.cpu_count),
            uart: Uart::new(),
            rtc: Rtc::new(),
            syscon: Syscon::new(),
            virtio: VirtioSlot::populate(VIRTIO_SLOTS, images.disks, images.workspace, &config)?,
            jitter: Jitter::new(&config.seed, config.timer_jitter_ticks_max),
            skipped: 0,
            time_shift: config.time_shift,
            clock_base_unix_nanoseconds: 0,
            halted: None,
            tohost: None,
            has_sbi: false,
            debugger: None,
        };
        let mut harts: Vec<HartWithCode> = cells
            .into_iter()
            .enumerate()
            .map(|(id, area)| HartWithCode {
                hart: Hart::new(id as u32, area, ram_pages, RAM_BASE),
                code: BlockCache::new(ram_pages),
                scratch: BlockCache::scratch(),
            })
            .collect();
        let mut symbols = BTreeMap::new();
        for hart in &mut harts {
            let missing = || MachineError::BadImage("no kernel was given to start from".into());
            let kernel = images.kernel.as_deref().ok_or_else(missing)?;
            match config.boot {
                BootKind::Linux => {
                    boot::load_linux(
                        &mut hart.hart,
                        &mut platform,
                        &config,
                        kernel,
                        images.initrd.as_deref(),
                    )?;
                }
                BootKind::BareElf => {
                    symbols = boot::load_bare(&mut hart.hart, &mut platform, &config, kernel)?
                }
            }
        }
        Ok(Self {
            config,
            harts,
            platform,
            icount: 0,
            engine: Engine::default(),
            symbols,
        })
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &MachineConfig {
        &self.config
    }

    /// Position.
    #[must_use]
    pub fn icount(&self) -> Icount {
        Icount(self.icount)
    }

    /// Guest time.
    #[must_use]
    pub fn time(&self) -> GuestTime {
        GuestTime(self.platform.time_at(self.icount))
    }

    /// Why the machine has stopped for good, if it has.
    #[must_use]
    pub fn halted(&self) -> Option<HaltReason> {
        self.platform.halted
    }

    /// The last exit status that the guest's init reported.
    #[must_use]
    pub fn exit_status(&self) -> Option<i32> {
        self.platform.outputs.last_exit_status()
    }

    /// Addresses of the symbols `tohost`, `fromhost`, `begin_signature` and `end_signature` of a
    /// bare-metal program, as far as it has them.
    #[must_use]
    pub fn bare_symbols(&self) -> &BTreeMap<&'static str, u64> {
        &self.symbols
    }

    /// Guest RAM, to look at.
    #[must_use]
    pub fn memory(&self) -> &GuestMemory {
        &self.platform.memory
    }

    /// Chooses the engine. May be changed at any time.
    pub fn set_engine(&mut self, engine: Engine) {
        self.engine = engine;
    }

    /// Runs until `icount() == limit`, or returns earlier for a reason that is itself a function
    /// of the state, or because the host must do something first; returning changes nothing.
    pub fn run(&mut self, limit: Icount) -> RunExit {
        // Only one hart: the scheduler of more stands here.
        let hart = &mut self.harts[0];
        match hart.run(&mut self.platform, &mut self.icount, limit.0, self.engine) {
            HartExit::Limit => RunExit::Limit,
            HartExit::Parked => RunExit::Idle {
                deadline: self.idle_deadline(),
            },
            HartExit::Halted => match self.platform.halted {
                Some(reason) => RunExit::Halted(reason),
                None => RunExit::Limit,
            },
            HartExit::Stall(stall) => RunExit::ImageStall(stall),
            HartExit::Debug => RunExit::DebugStop,
            HartExit::OutputFull => RunExit::OutputFull,
        }
    }

    /// The next time at which a timer can wake a parked hart.
    fn idle_deadline(&self) -> Option<GuestTime> {
        let timers = self
            .harts
            .iter()
            .filter_map(|hart| hart.hart.next_waking_timer(&self.platform, self.icount));
        // A time that no jump may lead to is never reached: it wakes nobody.
        timers
            .chain(self.platform.next_deadline())
            .min()
            .filter(|time| *time <= TIME_MAX)
            .map(GuestTime)
    }

    fn is_idle(&self) -> bool {
        self.harts.iter().all(|hart| {
            let hart = &hart.hart;
            hart.parked && hart.pending(&self.platform, self.icount) & hart.csr.mie == 0
        })
    }

    fn bad_event(&self, reason: &'static str) -> MachineError {
        MachineError::BadEvent {
            icount: self.icount(),
            reason,
        }
    }

    fn count_step(&mut self) {
        self.icount += 1;
        for hart in &mut self.harts {
            hart.hart.steps_not_retired += 1;
        }
    }

    /// Delivers an event: one step.
    ///
    /// # Errors
    /// [`MachineError::BadEvent`]; nothing has changed then.
    pub fn inject(&mut self, event: &InputEvent) -> Result<(), MachineError> {
        if self.platform.halted.is_some() {
            return Err(self.bad_event("the machine is switched off"));
        }
        if let InputEvent::ConsoleInput { port, bytes } = event
            && bytes.len() > self.console_room(*port)
        {
            return Err(self.bad_event("the console has no room for its bytes"));
        }
        if let InputEvent::Frame(frame) = event {
            self.check_frame(frame)?;
        }
        if let InputEvent::DebugWrite(write) = event {
            self.debug_write(write)?;
        }
        let icount = self.icount();
        if let InputEvent::Start(start) = event {
            let elapsed = self
                .time()
                .0
                .wrapping_mul(crate::types::NANOSECONDS_PER_TICK);
            let p = &mut self.platform;
            let mut cx = context!(p, icount);
            if !p
                .virtio
                .iter_mut()
                .any(|slot| slot.deliver_start(&mut cx, start))
            {
                return Err(self.bad_event("the guest was started already, or has no start disk"));
            }
            self.platform.clock_base_unix_nanoseconds =
                start.clock_unix_nanoseconds.wrapping_sub(elapsed);
        }
        let p = &mut self.platform;
        let mut cx = context!(p, icount);
        match event {
            InputEvent::Start(start) => {
                p.virtio
                    .iter_mut()
                    .for_each(|slot| slot.set_terminal(start.terminal));
            }
            InputEvent::ConsoleInput {
                port: ConsolePort::Uart,
                bytes,
            } => {
                p.uart.push_input(bytes);
            }
            InputEvent::ConsoleInput {
                port: ConsolePort::Virtio,
                bytes,
            } => {
                p.virtio
                    .iter_mut()
                    .for_each(|slot| slot.push_input(&mut cx, bytes));
            }
            InputEvent::ConsoleSize(size) => {
                p.virtio
                    .iter_mut()
                    .for_each(|slot| slot.set_terminal(*size));
            }
            InputEvent::PowerOff => p.halted = Some(HaltReason::PowerOff),
            InputEvent::Frame(frame) => {
                p.virtio
                    .iter_mut()
                    .for_each(|slot| slot.push_frame(&mut cx, frame));
            }
            InputEvent::WorkspaceContent { key, content } => {
                let mut slots = p.virtio.iter_mut();
                let delivered = slots.find_map(|slot| slot.deliver_content(&mut cx, *key, content));
                match delivered {
                    Some(Ok(())) => {}
                    Some(Err(error)) => return Err(self.bad_event(error.reason())),
                    None => return Err(self.bad_event("the machine has no workspace")),
                }
            }
            InputEvent::DebugWrite(_) => {}
        }
        self.platform.update_lines();
        self.count_step();
        self.settle();
        if let Some(debugger) = &mut self.platform.debugger {
            debugger.settle(self.icount);
        }
        self.platform.tick(self.icount);
        Ok(())
    }

    /// Whether the network card takes a frame now. A function of the state.
    #[must_use]
    pub fn takes_frame(&self) -> bool {
        let mut slots = self.platform.virtio.iter();
        slots.any(|slot| slot.takes_frame(&self.platform.memory))
    }

    fn check_frame(&self, frame: &[u8]) -> Result<(), MachineError> {
        if !(FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(&frame.len()) {
            return Err(self.bad_event("no network carries a frame of this length"));
        }
        if !self.takes_frame() {
            return Err(self.bad_event("the network card has no room for a frame"));
        }
        Ok(())
    }

    /// The workspace's contents that the guest waits for, sorted; empty when it waits for none. A function of the state, so
    /// that a recording and its replay want the same at the same position.
    #[must_use]
    pub fn workspace_wanted(&self) -> &[ContentKey] {
        let mut slots = self.platform.virtio.iter();
        slots
            .find_map(VirtioSlot::workspace)
            .map_or(&[], NineP::wanted)
    }

    /// The listing of the workspace, if there is one.
    #[must_use]
    pub fn workspace_listing(&self) -> Option<&Listing> {
        let mut slots = self.platform.virtio.iter();
        slots.find_map(VirtioSlot::workspace).map(NineP::listing)
    }

    /// The workspace's server, to be looked at, if there is one.
    #[must_use]
    pub fn workspace(&self) -> Option<&Server> {
        let mut slots = self.platform.virtio.iter();
        slots.find_map(VirtioSlot::workspace).map(NineP::server)
    }

    /// Whether a content of the workspace has come.
    #[must_use]
    pub fn has_workspace_content(&self, key: ContentKey) -> bool {
        self.workspace()
            .is_some_and(|server| server.has_content(key))
    }

    /// Reads bytes of a file of the workspace, see [`crate::workspace::Server::look`]; `None` without a workspace as well.
    pub fn look_at_workspace(
        &self,
        inode: u64,
        offset: u64,
        buffer: &mut [u8],
        later: &mut dyn FnMut(ContentKey) -> Option<Content>,
    ) -> Option<usize> {
        self.workspace()?.look(inode, offset, buffer, later)
    }

    /// How many disks there are.
    #[must_use]
    pub fn disk_count(&self) -> usize {
        let slots = &self.platform.virtio;
        let numbers = 0..slots.len();
        numbers
            .take_while(|number| slots.iter().any(|slot| slot.disk(*number).is_some()))
            .count()
    }

    /// Reads bytes of a disk as the guest would read them now; nothing changes. `None` when there is no such disk, or it
    /// is shorter.
    ///
    /// # Errors
    /// [`MissingRange`] when bytes of the image are not there yet; `buffer` is then unspecified.
    pub fn look_at_disk(
        &self,
        disk: usize,
        offset: u64,
        buffer: &mut [u8],
    ) -> Option<Result<(), MissingRange>> {
        let mut slots = self.platform.virtio.iter();
        slots.find_map(|slot| slot.disk(disk))?.look(offset, buffer)
    }

    fn debug_write(&mut self, write: &DebugWrite) -> Result<(), MachineError> {
        match write {
            DebugWrite::Register {
                cpu,
                register,
                value,
            } => {
                let hart = self.harts.get_mut(cpu.0 as usize);
                let is_known = hart.is_some_and(|hart| hart.hart.write_register(*register, *value));
                is_known
                    .then_some(())
                    .ok_or_else(|| self.bad_event("there is no such register to write"))
            }
            DebugWrite::Memory { bytes, .. } if bytes.len() > DEBUG_WRITE_BYTES_MAX => {
                Err(self.bad_event("a debugger writes at most 64 KiB at a time"))
            }
            DebugWrite::Memory { address, bytes } => (self.platform.memory.write(*address, bytes))
                .map_err(|_| self.bad_event("a debugger may write to RAM alone")),
        }
    }

    /// Lets time jump to `to` while every CPU waits: one step. `to` is at least now and at most the
    /// next timer deadline.
    ///
    /// # Errors
    /// [`MachineError::BadEvent`] when some CPU does not wait or `to` is out of range.
    pub fn idle_jump(&mut self, to: GuestTime) -> Result<(), MachineError> {
        if self.platform.halted.is_some() || !self.is_idle() {
            return Err(self.bad_event("time may jump only while every CPU waits"));
        }
        let beyond_deadline = self.idle_deadline().is_some_and(|deadline| to > deadline);
        if to < self.time() || to.0 > TIME_MAX || beyond_deadline {
            return Err(
                self.bad_event("time may jump only to the next deadline, not back or beyond")
            );
        }
        self.count_step();
        let now = self.platform.time_at(self.icount);
        self.platform.skipped = self.platform.skipped.wrapping_add(to.0.saturating_sub(now));
        self.platform.tick(self.icount);
        Ok(())
    }

    /// How many bytes of console input the port takes now.
    #[must_use]
    pub fn console_room(&self, port: ConsolePort) -> usize {
        match port {
            ConsolePort::Uart => self.platform.uart.input_room(),
            ConsolePort::Virtio => self
                .platform
                .virtio
                .iter()
                .map(|slot| slot.input_room(&self.platform.memory))
                .sum(),
        }
    }

    /// What came out since the last call.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        self.platform.outputs.take()
    }

    /// Drops every cache. Changes nothing that a guest or a hash could see.
    pub fn drop_caches(&mut self) {
        for hart in &mut self.harts {
            hart.drop_caches(&mut self.platform);
        }
    }

    /// Says where [`Machine::run`] is to return, beside its limit; `None` or an empty plan for nowhere. The plan stays in
    /// force over a restore. Changes nothing that a guest or a hash could see.
    pub fn set_debug_plan(&mut self, plan: Option<DebugPlan>) {
        let plan = plan.filter(|plan| !plan.is_empty());
        if plan.as_ref()
            == self
                .platform
                .debugger
                .as_ref()
                .map(|debugger| debugger.plan())
        {
            return;
        }
        let p = &mut self.platform;
        for (watches, is_set) in [
            (
                p.debugger
                    .as_ref()
                    .map(|debugger| debugger.plan().watches.clone()),
                false,
            ),
            (plan.as_ref().map(|plan| plan.watches.clone()), true),
        ] {
            for watch in watches.unwrap_or_default() {
                p.memory.set_debug_flags(&watch, is_set);
            }
        }
        p.debugger = plan.map(|plan| Box::new(Debugger::new(plan)));
        // Probes stand in decoded code, and watched pages among the translations.
        self.drop_caches();
    }

    /// The plan in force.
    #[must_use]
    pub fn debug_plan(&self) -> Option<&DebugPlan> {
        self.platform
            .debugger
            .as_ref()
            .map(|debugger| debugger.plan())
    }

    /// Whether something was met that [`Machine::take_hits`] has not handed over.
    #[must_use]
    pub fn has_hits(&self) -> bool {
        self.platform
            .debugger
            .as_ref()
            .is_some_and(|debugger| debugger.has_hits())
    }

    /// What was met since the last call; see [`DebugHit`] for where the machine is then.
    pub fn take_hits(&mut self) -> Vec<DebugHit> {
        let debugger = self.platform.debugger.as_mut();
        debugger
            .map(|debugger| debugger.take_hits())
            .unwrap_or_default()
    }

    /// Lets the next run go on over what would be reported before the step here, as after a hit here.
    pub fn pass_here(&mut self) {
        if let Some(debugger) = &mut self.platform.debugger {
            debugger.pass(self.icount);
        }
    }

    /// A CPU, to look at.
    ///
    /// # Panics
    /// When there is no such CPU.
    #[must_use]
    pub fn cpu(&self, cpu: crate::types::CpuId) -> HartView<'_> {
        let hart = &self.harts[cpu.0 as usize].hart;
        HartView::new(hart, &self.platform, self.icount)
    }

    fn settle(&mut self) {
        for hart in &mut self.harts {
            hart.settle(&mut self.platform, self.icount);
        }
    }

    fn save_cpus(&self, to: &mut StateWriter) {
        let p = &self.platform;
        to.section(*b"MACH", |to| {
            to.u64(config_fingerprint(&self.config));
            to.u64(self.icount);
            to.u64(p.skipped);
            to.u64(p.clock_base_unix_nanoseconds);
            p.jitter.save(to);
            to.option(p.halted, |to, reason| {
                let (kind, value) = match reason {
                    HaltReason::PowerOff => (0, 0),
                    HaltReason::Reboot => (1, 0),
                    HaltReason::Failure(code) => (2, code.into()),
                    HaltReason::ToHost(value) => (3, value),
                };
                to.u8(kind);
                to.u64(value);
            });
        });
        self.harts.iter().for_each(|hart| hart.hart.save(p, to));
    }

    fn save_devices(&self, to: &mut StateWriter) {
        let p = &self.platform;
        p.clint.save(to);
        p.plic.save(to);
        p.uart.save(to);
        p.rtc.save(to);
        p.syscon.save(to);
        p.virtio.iter().for_each(|slot| slot.save(to));
    }

    /// Hash of the state by component. Cheap: only pages dirtied since the last call are read.
    pub fn state_hash(&mut self) -> StateHash {
        let hash_of = |save: &dyn Fn(&mut StateWriter)| {
            let mut writer = StateWriter::new();
            save(&mut writer);
            xxh3_64(writer.as_bytes())
        };
        let ram = self.platform.memory.hash();
        StateHash {
            ram: ram as u64 ^ ((ram >> 64) as u64).rotate_left(32),
            cpus: hash_of(&|to| self.save_cpus(to)),
            devices: hash_of(&|to| self.save_devices(to)),
            disks: self.platform.virtio.iter().fold(0, |sum, slot| {
                sum.wrapping_mul(0x9e37_79b9_7f4a_7c15)
                    .wrapping_add(slot.contents_hash())
            }),
            output: hash_of(&|to| self.platform.outputs.save(to)),
        }
    }

    /// The state's value. Shares the pages that have not changed with the snapshot that was taken or restored last.
    pub fn snapshot(&mut self) -> Snapshot {
        let mut to = StateWriter::new();
        self.save_cpus(&mut to);
        self.save_devices(&mut to);
        self.platform
            .virtio
            .iter()
            .for_each(|slot| slot.save_contents(&mut to));
        self.platform.outputs.save(&mut to);
        Snapshot {
            state: to.into_bytes().into(),
            memory: self.platform.memory.snapshot(),
        }
    }

    /// Takes over a snapshot of a machine of the same configuration and images.
    ///
    /// # Errors
    /// [`MachineError::BadSnapshot`]; the machine is then of no further use.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<(), MachineError> {
        if snapshot.memory.page_count() as u64 * PAGE_BYTES != self.config.ram_bytes {
            return Err(StateError::BadValue { field: "RAM size" }.into());
        }
        let mut from = StateReader::new(&snapshot.state);
        let mut mach = from.section(*b"MACH")?;
        if mach.u64()? != config_fingerprint(&self.config) {
            return Err(StateError::BadValue {
                field: "machine configuration",
            }
            .into());
        }
        let p = &mut self.platform;
        self.icount = mach.u64()?;
        p.skipped = mach.u64()?;
        if self.icount > POSITION_MAX || p.skipped > TIME_MAX {
            return Err(StateError::BadValue { field: "position" }.into());
        }
        p.clock_base_unix_nanoseconds = mach.u64()?;
        p.jitter.restore(&mut mach)?;
        p.halted = mach.option(|from| {
            let (kind, value) = (from.u8()?, from.u64()?);
            Ok(match kind {
                0 => HaltReason::PowerOff,
                1 => HaltReason::Reboot,
                2 => HaltReason::Failure(value as u32),
                3 => HaltReason::ToHost(value),
                _ => {
                    return Err(StateError::BadValue {
                        field: "halt reason",
                    });
                }
            })
        })?;
        if let Some(debugger) = &mut p.debugger {
            debugger.forget();
        }
        // The reservations that harts restore next must not be ended by restoring RAM.
        p.memory.restore(&snapshot.memory);
        for hart in &mut self.harts {
            hart.hart.restore(p, &mut from)?;
            hart.drop_caches(p);
        }
        p.clint.restore(&mut from)?;
        p.plic.restore(&mut from)?;
        p.uart.restore(&mut from)?;
        p.rtc.restore(&mut from)?;
        p.syscon.restore(&mut from)?;
        for slot in &mut p.virtio {
            slot.restore(&mut from)?;
        }
        for slot in &mut p.virtio {
            slot.restore_contents(&mut from)?;
        }
        p.outputs.restore(&mut from)?;
        for hart in &self.harts {
            if hart.hart.steps_not_retired > self.icount {
                return Err(StateError::BadValue {
                    field: "retired instructions",
                }
                .into());
            }
        }
        Ok(())
    }

    /// Names and values of a CPU's registers, to show where two executions differ.
    ///
    /// # Panics
    /// When there is no such CPU.
    #[must_use]
    pub fn registers(&self, cpu: crate::types::CpuId) -> Vec<(String, u64)> {
        self.harts[cpu.0 as usize]
            .hart
            .named_registers(&self.platform)
    }

    /// Flips one bit of RAM outside the rules of the machine, for tests that must see a divergence.
    ///
    /// # Errors
    /// [`MachineError::BadConfig`] when the address is not RAM.
    pub fn inject_fault(&mut self, address: GuestPhysAddr, bit: u8) -> Result<(), MachineError> {
        let mut byte = [0];
        let outside = |error: crate::memory::OutsideRam| MachineError::BadConfig(error.to_string());
        self.platform
            .memory
            .read(address, &mut byte)
            .map_err(outside)?;
        self.platform
            .memory
            .write_by_cpu(address, &[byte[0] ^ 1 << (bit & 7)])
            .map_err(outside)?;
        self.settle();
        Ok(())
    }
}

fn check_config(config: &MachineConfig) -> Result<(), MachineError> {
    let bad = |what: String| Err(MachineError::BadConfig(what));
    let min = match config.boot {
        BootKind::Linux => RAM_BYTES_MIN_LINUX,
        BootKind::BareElf => RAM_BYTES_MIN,
    };
    if !(min..=RAM_BYTES_MAX).contains(&config.ram_bytes)
        || !config.ram_bytes.is_multiple_of(RAM_GRANULARITY)
    {
        return bad(format!(
            "RAM of {} bytes is not possible; choose a multiple of 2 MiB from {} MiB to {} MiB",
            config.ram_bytes,
            min >> 20,
            RAM_BYTES_MAX >> 20
        ));
    }
    if config.cpu_count != 1 {
        return bad(format!(
            "{} CPUs are not possible; this version has one",
            config.cpu_count
        ));
    }
    if config.time_shift > 20 {
        return bad(format!(
            "a time shift of {} is not possible; choose 0 to 20",
            config.time_shift
        ));
    }
    if config.command_line.contains(&0) {
        return bad("the kernel command line contains a NUL byte".into());
    }
    Ok(())
}

/// Tells configurations apart in snapshots.
fn config_fingerprint(config: &MachineConfig) -> u64 {
    let mut to = StateWriter::new();
    to.u32(MACHINE_VERSION);
    to.u64(config.ram_bytes);
    to.u32(config.cpu_count);
    to.u8(config.time_shift);
    to.bytes(&config.seed);
    to.u32(config.timer_jitter_ticks_max);
    to.bool(config.boot == BootKind::Linux);
    to.bytes(&config.command_line);
    to.u16(config.terminal.columns);
    to.u16(config.terminal.rows);
    if let Some(mac) = &config.network {
        to.bytes(mac);
    }
    xxh3_64(to.as_bytes())
}

#[cfg(test)]
mod tests;
