//! What stands in a virtio slot of the platform.

use super::DiskContents;
use super::block::Block;
use super::console::Console;
use super::mmio::{EmptySlot, VirtioMmio};
use super::net::Net;
use super::ninep::NineP;
use super::rng::Rng;
use super::start::StartDisk;
use crate::device::{AccessSize, Device, DeviceContext};
use crate::event::Start;
use crate::image::{ImageSource, ImageStall};
use crate::machine::{BootKind, MachineConfig, MachineError};
use crate::memory::GuestMemory;
use crate::state::{StateError, StateReader, StateWriter};
use crate::types::TerminalSize;
use crate::workspace::Listing;
use crate::workspace::content::{Content, ContentError, ContentKey};
use crate::workspace::server::CHANGED_BYTES_MAX;
use std::sync::Arc;

/// Disks that the platform has slots for.
pub const DISKS_MAX: usize = 5;

/// A virtio device on its transport, or an empty slot.
pub enum VirtioSlot {
    /// Nothing.
    Empty(EmptySlot),
    /// A disk.
    Block(VirtioMmio<Block>),
    /// The console.
    Console(VirtioMmio<Console>),
    /// The entropy source.
    Rng(VirtioMmio<Rng>),
    /// The start disk.
    Start(VirtioMmio<StartDisk>),
    /// The network card.
    Net(VirtioMmio<Net>),
    /// The workspace.
    Workspace(VirtioMmio<NineP>),
}

macro_rules! each {
    ($slot:expr, $device:ident => $value:expr) => {
        match $slot {
            Self::Empty($device) => $value,
            Self::Block($device) => $value,
            Self::Console($device) => $value,
            Self::Rng($device) => $value,
            Self::Start($device) => $value,
            Self::Net($device) => $value,
            Self::Workspace($device) => $value,
        }
    };
}

/// Puts a device into a slot that must be empty.
fn put(slot: Option<&mut VirtioSlot>, device: VirtioSlot, what: &str) -> Result<(), MachineError> {
    match slot {
        Some(slot @ VirtioSlot::Empty(_)) => {
            *slot = device;
            Ok(())
        }
        _ => Err(MachineError::BadConfig(format!(
            "the disks leave no place for {what}"
        ))),
    }
}

impl VirtioSlot {
    /// Fills `count` slots: the first disk, the console, the entropy source, the start disk, then the
    /// other disks. Guests made for QEMU expect the first disk in slot 0.
    ///
    /// # Errors
    /// [`MachineError::BadConfig`] when there are more than [`DISKS_MAX`] disks.
    pub fn populate(
        count: usize,
        disks: Vec<Box<dyn ImageSource>>,
        workspace: Option<Arc<Listing>>,
        config: &MachineConfig,
    ) -> Result<Vec<Self>, MachineError> {
        if disks.len() > DISKS_MAX {
            let given = disks.len();
            return Err(MachineError::BadConfig(format!(
                "{given} disks are too many; at most {DISKS_MAX} fit"
            )));
        }
        let mut disks = disks.into_iter().enumerate().map(|(number, image)| {
            Self::Block(VirtioMmio::new(Block::new(
                number,
                format!("reprise-disk{number}"),
                image,
            )))
        });
        let mut slots = vec![disks.next().unwrap_or(Self::Empty(EmptySlot))];
        slots.push(Self::Console(VirtioMmio::new(Console::new(
            config.terminal,
        ))));
        slots.push(Self::Rng(VirtioMmio::new(Rng::new(&config.seed))));
        slots.push(match config.boot {
            BootKind::Linux => Self::Start(VirtioMmio::new(StartDisk::new())),
            BootKind::BareElf => Self::Empty(EmptySlot),
        });
        slots.extend(disks);
        slots.resize_with(count, || Self::Empty(EmptySlot));
        // What not every machine has stands at the end, so that it moves nothing else.
        if let Some(listing) = workspace {
            let device = NineP::new(listing, CHANGED_BYTES_MAX);
            let slot = count.checked_sub(1).and_then(|last| slots.get_mut(last));
            put(
                slot,
                Self::Workspace(VirtioMmio::new(device)),
                "a workspace",
            )?;
        }
        if let Some(mac) = config.network {
            let slot = count.checked_sub(2).and_then(|last| slots.get_mut(last));
            put(slot, Self::Net(VirtioMmio::new(Net::new(mac))), "a network")?;
        }
        Ok(slots)
    }

    /// Whether this is a network card that takes a frame now.
    pub(crate) fn takes_frame(&self, memory: &GuestMemory) -> bool {
        match self {
            Self::Net(net) => net.takes_frame(memory),
            _ => false,
        }
    }

    /// Hands a frame to the network card.
    pub(crate) fn push_frame(&mut self, cx: &mut DeviceContext<'_>, frame: &[u8]) {
        if let Self::Net(net) = self {
            net.push_frame(cx, frame);
        }
    }

    /// Hands contents to the workspace; `None` where this is none.
    pub(crate) fn deliver_content(
        &mut self,
        cx: &mut DeviceContext<'_>,
        key: ContentKey,
        content: &Content,
    ) -> Option<Result<(), ContentError>> {
        match self {
            Self::Workspace(workspace) => Some(workspace.deliver_content(cx, key, content.clone())),
            _ => None,
        }
    }

    /// Hands the start to the start disk. Returns whether this is one that still waited for it.
    pub fn deliver_start(&mut self, cx: &mut DeviceContext<'_>, start: &Start) -> bool {
        match self {
            Self::Start(disk) => disk.deliver_start(cx, start).is_ok(),
            _ => false,
        }
    }

    /// Tells a console its terminal's size.
    pub fn set_terminal(&mut self, size: TerminalSize) {
        if let Self::Console(console) = self {
            console.set_size(size);
        }
    }

    /// Hands input to a console.
    pub fn push_input(&mut self, cx: &mut DeviceContext<'_>, bytes: &[u8]) {
        if let Self::Console(console) = self {
            console.push_input(cx, bytes);
        }
    }

    /// Bytes of input that a console takes now.
    #[must_use]
    pub fn input_room(&self, memory: &GuestMemory) -> usize {
        match self {
            Self::Console(console) => console.input_room(memory),
            _ => 0,
        }
    }

    /// The disk that has this number, if it stands here.
    pub(crate) fn disk(&self, number: usize) -> Option<&Block> {
        match self {
            Self::Block(block) => Some(block.device()).filter(|block| block.number() == number),
            _ => None,
        }
    }

    /// The workspace, if it stands here.
    pub(crate) fn workspace(&self) -> Option<&NineP> {
        match self {
            Self::Workspace(workspace) => Some(workspace.device()),
            _ => None,
        }
    }

    fn contents(&self) -> Option<&dyn DiskContents> {
        match self {
            Self::Block(block) => Some(block.device()),
            Self::Start(start) => Some(start.device()),
            Self::Workspace(workspace) => Some(workspace.device()),
            _ => None,
        }
    }

    /// Hash of what a disk holds beyond its image, or a workspace beyond its listing; 0 for other devices.
    #[must_use]
    pub fn contents_hash(&self) -> u64 {
        self.contents().map_or(0, DiskContents::contents_hash)
    }

    /// Saves what a disk holds beyond its image, or a workspace beyond its listing.
    pub fn save_contents(&self, to: &mut StateWriter) {
        if let Some(contents) = self.contents() {
            contents.save_contents(to);
        }
    }

    /// Restores what [`VirtioSlot::save_contents`] saved.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn restore_contents(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        match self {
            Self::Block(block) => block.device_mut().restore_contents(from),
            Self::Start(start) => start.device_mut().restore_contents(from),
            Self::Workspace(workspace) => workspace.device_mut().restore_contents(from),
            _ => Ok(()),
        }
    }
}

impl Device for VirtioSlot {
    fn read(
        &mut self,
        cx: &mut DeviceContext<'_>,
        offset: u64,
        size: AccessSize,
    ) -> Result<u64, ImageStall> {
        each!(self, device => device.read(cx, offset, size))
    }

    fn write(
        &mut self,
        cx: &mut DeviceContext<'_>,
        offset: u64,
        size: AccessSize,
        value: u64,
    ) -> Result<(), ImageStall> {
        each!(self, device => device.write(cx, offset, size, value))
    }

    fn interrupt_level(&self) -> bool {
        each!(self, device => device.interrupt_level())
    }

    fn save(&self, to: &mut StateWriter) {
        each!(self, device => device.save(to));
    }

    fn restore(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        each!(self, device => device.restore(from))
    }
}
