//! The memory-mapped transport, VirtIO 1.2 4.2.2 (register layout version 2).

use super::queue::{Queue, QueueFault};
use crate::device::{AccessSize, Device, DeviceContext};
use crate::image::ImageStall;
use crate::state::{StateError, StateReader, StateWriter};

/// Bytes of a device's window on the bus.
pub const WINDOW_BYTES: u64 = 0x1000;

/// Bytes of configuration space that are backed; reads beyond give 0.
pub const CONFIG_BYTES: usize = 64;

/// "virt", little-endian.
const MAGIC: u32 = 0x7472_6976;
const VERSION: u32 = 2;
/// xv6 refuses a disk from any vendor but this one ("QEMU", little-endian).
const VENDOR: u32 = 0x554d_4551;

/// `VIRTIO_F_INDIRECT_DESC`, VirtIO 1.2 6.
const FEATURE_INDIRECT: u64 = 1 << 28;
/// `VIRTIO_F_VERSION_1`, VirtIO 1.2 6. Offered, as it must be, but not demanded, as it may not be
/// (6.2): xv6 does not accept it, and this transport has no legacy behaviour to fall back to.
const FEATURE_VERSION_1: u64 = 1 << 32;

/// Device status bits, VirtIO 1.2 2.1.
mod status {
    pub(super) const DRIVER_OK: u8 = 4;
    pub(super) const FEATURES_OK: u8 = 8;
    pub(super) const NEEDS_RESET: u8 = 64;
    /// ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK and FAILED: what a driver may set.
    pub(super) const BY_DRIVER: u8 = 0x8f;
}

/// Interrupt status bits, VirtIO 1.2 4.2.2.
mod interrupt {
    pub(super) const USED: u8 = 1;
    pub(super) const CONFIG: u8 = 2;
}

/// Register offsets, VirtIO 1.2 4.2.2.
pub(super) mod register {
    pub(in super::super) const MAGIC: u64 = 0x000;
    pub(in super::super) const VERSION: u64 = 0x004;
    pub(in super::super) const DEVICE_ID: u64 = 0x008;
    pub(in super::super) const VENDOR_ID: u64 = 0x00c;
    pub(in super::super) const DEVICE_FEATURES: u64 = 0x010;
    pub(in super::super) const DEVICE_FEATURES_SELECT: u64 = 0x014;
    pub(in super::super) const DRIVER_FEATURES: u64 = 0x020;
    pub(in super::super) const DRIVER_FEATURES_SELECT: u64 = 0x024;
    pub(in super::super) const QUEUE_SELECT: u64 = 0x030;
    pub(in super::super) const QUEUE_SIZE_MAX: u64 = 0x034;
    pub(in super::super) const QUEUE_SIZE: u64 = 0x038;
    pub(in super::super) const QUEUE_READY: u64 = 0x044;
    pub(in super::super) const QUEUE_NOTIFY: u64 = 0x050;
    pub(in super::super) const INTERRUPT_STATUS: u64 = 0x060;
    pub(in super::super) const INTERRUPT_ACK: u64 = 0x064;
    pub(in super::super) const STATUS: u64 = 0x070;
    pub(in super::super) const QUEUE_DESCRIPTORS_LOW: u64 = 0x080;
    pub(in super::super) const QUEUE_DESCRIPTORS_HIGH: u64 = 0x084;
    pub(in super::super) const QUEUE_AVAILABLE_LOW: u64 = 0x090;
    pub(in super::super) const QUEUE_AVAILABLE_HIGH: u64 = 0x094;
    pub(in super::super) const QUEUE_USED_LOW: u64 = 0x0a0;
    pub(in super::super) const QUEUE_USED_HIGH: u64 = 0x0a4;
    pub(in super::super) const SHARED_MEMORY_LENGTH_LOW: u64 = 0x0b0;
    pub(in super::super) const SHARED_MEMORY_BASE_HIGH: u64 = 0x0bc;
    pub(in super::super) const CONFIG_GENERATION: u64 = 0x0fc;
    pub(in super::super) const CONFIG: u64 = 0x100;
}

/// Why a device stopped serving a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// Image bytes are missing. The device has changed nothing.
    Stall(ImageStall),
    /// The driver made a mistake that only a reset mends.
    Fault(QueueFault),
}

impl From<ImageStall> for Stop {
    fn from(stall: ImageStall) -> Self {
        Self::Stall(stall)
    }
}

impl From<QueueFault> for Stop {
    fn from(fault: QueueFault) -> Self {
        Self::Fault(fault)
    }
}

/// What stands behind the transport.
pub trait VirtioDevice {
    /// Tag of the device's section in saved state.
    const SECTION: [u8; 4];
    /// Device type, VirtIO 1.2 5.
    const DEVICE_ID: u32;
    /// Features of the device type that are offered.
    const FEATURES: u64;
    /// Number of virtqueues.
    const QUEUE_COUNT: usize;

    /// Fills in the configuration space, which is zeroed.
    fn config(&self, space: &mut [u8; CONFIG_BYTES]);

    /// Serves queue number `queue` of `queues` after its doorbell.
    ///
    /// # Errors
    /// [`Stop`]; on [`Stop::Stall`] nothing has changed.
    fn notify(
        &mut self,
        cx: &mut DeviceContext<'_>,
        queues: &mut [Queue],
        queue: usize,
    ) -> Result<(), Stop>;

    /// The driver reset the device or stopped a queue: requests taken and not answered are void.
    fn forget_requests(&mut self) {}

    /// Writes the device's own state into the transport's section.
    fn save(&self, to: &mut StateWriter);

    /// Takes over the device's own state.
    ///
    /// # Errors
    /// [`StateError`].
    fn restore(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError>;
}

/// A virtio device with its transport.
#[derive(Debug)]
pub struct VirtioMmio<D> {
    device: D,
    queues: Vec<Queue>,
    status: u8,
    interrupt_status: u8,
    device_features_select: u32,
    driver_features_select: u32,
    driver_features: u64,
    queue_select: u32,
    config_generation: u32,
}

impl<D: VirtioDevice> VirtioMmio<D> {
    /// The device after reset.
    #[must_use]
    pub fn new(device: D) -> Self {
        Self {
            device,
            queues: vec![Queue::default(); D::QUEUE_COUNT],
            status: 0,
            interrupt_status: 0,
            device_features_select: 0,
            driver_features_select: 0,
            driver_features: 0,
            queue_select: 0,
            config_generation: 0,
        }
    }

    /// The device behind the transport.
    #[must_use]
    pub fn device(&self) -> &D {
        &self.device
    }

    /// The device behind the transport, to change what the guest does not see through it.
    pub fn device_mut(&mut self) -> &mut D {
        &mut self.device
    }

    /// The queues, when the driver has set the device going.
    pub(super) fn live_queues(&self) -> Option<&[Queue]> {
        let wanted = status::DRIVER_OK | status::FEATURES_OK;
        (self.status & (wanted | status::NEEDS_RESET) == wanted).then_some(&self.queues[..])
    }

    /// Lets the device work on its queues, if they are live, and raises what interrupts follow.
    pub(super) fn serve(
        &mut self,
        work: impl FnOnce(&mut D, &mut [Queue]) -> Result<(), Stop>,
    ) -> Result<(), ImageStall> {
        if self.live_queues().is_none() {
            return Ok(());
        }
        let served = work(&mut self.device, &mut self.queues);
        for queue in &mut self.queues {
            if queue.take_interrupt() {
                self.interrupt_status |= interrupt::USED;
            }
        }
        match served {
            Ok(()) => Ok(()),
            Err(Stop::Stall(stall)) => Err(stall),
            Err(Stop::Fault(_)) => {
                self.status |= status::NEEDS_RESET;
                self.interrupt_status |= interrupt::CONFIG;
                Ok(())
            }
        }
    }

    /// Tells the driver that the configuration space has changed (VirtIO 1.2 2.5).
    pub(super) fn config_changed(&mut self) {
        self.config_generation = self.config_generation.wrapping_add(1);
        if self.status & status::DRIVER_OK != 0 {
            self.interrupt_status |= interrupt::CONFIG;
        }
    }

    fn offered_features() -> u64 {
        D::FEATURES | FEATURE_INDIRECT | FEATURE_VERSION_1
    }

    fn reset(&mut self) {
        self.device.forget_requests();
        self.queues.fill(Queue::default());
        self.status = 0;
        self.interrupt_status = 0;
        self.device_features_select = 0;
        self.driver_features_select = 0;
        self.driver_features = 0;
        self.queue_select = 0;
    }

    fn set_status(&mut self, value: u8) {
        if value == 0 {
            self.reset();
            return;
        }
        // A driver never clears a bit except by a reset (VirtIO 1.2 2.1.1).
        let mut added = value & status::BY_DRIVER & !self.status;
        if added & status::FEATURES_OK != 0 {
            if self.driver_features & !Self::offered_features() == 0 {
                let takes_indirect = self.takes_indirect();
                for queue in &mut self.queues {
                    queue.takes_indirect = takes_indirect;
                }
            } else {
                added &= !status::FEATURES_OK;
            }
        }
        self.status |= added;
    }

    fn has_negotiated(&self) -> bool {
        self.status & status::FEATURES_OK != 0
    }

    fn takes_indirect(&self) -> bool {
        self.driver_features & FEATURE_INDIRECT != 0
    }

    fn selected_queue(&self) -> Option<&Queue> {
        self.queues.get(self.queue_select as usize)
    }

    fn read_register(&self, offset: u64) -> u32 {
        let queue = |get: fn(&Queue) -> u32| self.selected_queue().map_or(0, get);
        match offset {
            register::MAGIC => MAGIC,
            register::VERSION => VERSION,
            register::DEVICE_ID => D::DEVICE_ID,
            register::VENDOR_ID => VENDOR,
            register::DEVICE_FEATURES => match self.device_features_select {
                0 => Self::offered_features() as u32,
                1 => (Self::offered_features() >> 32) as u32,
                _ => 0,
            },
            register::QUEUE_SIZE_MAX => queue(|_| u32::from(super::queue::QUEUE_SIZE_MAX)),
            register::QUEUE_READY => queue(|queue| u32::from(queue.is_ready)),
            register::INTERRUPT_STATUS => u32::from(self.interrupt_status),
            register::STATUS => u32::from(self.status),
            // A region of length -1 does not exist (VirtIO 1.2 4.2.2).
            register::SHARED_MEMORY_LENGTH_LOW..=register::SHARED_MEMORY_BASE_HIGH => u32::MAX,
            register::CONFIG_GENERATION => self.config_generation,
            _ => 0,
        }
    }

    fn write_register(
        &mut self,
        cx: &mut DeviceContext<'_>,
        offset: u64,
        value: u32,
    ) -> Result<(), ImageStall> {
        match offset {
            register::DEVICE_FEATURES_SELECT => self.device_features_select = value,
            register::DRIVER_FEATURES_SELECT => self.driver_features_select = value,
            register::DRIVER_FEATURES if !self.has_negotiated() => {
                match self.driver_features_select {
                    0 => set_low(&mut self.driver_features, value),
                    1 => set_high(&mut self.driver_features, value),
                    _ => {}
                }
            }
            register::QUEUE_SELECT => self.queue_select = value,
            register::QUEUE_NOTIFY if (value as usize) < D::QUEUE_COUNT => {
                return self.serve(|device, queues| device.notify(cx, queues, value as usize));
            }
            register::INTERRUPT_ACK => self.interrupt_status &= !(value as u8),
            register::STATUS => self.set_status(value as u8),
            _ => self.write_queue_register(offset, value),
        }
        Ok(())
    }

    fn write_queue_register(&mut self, offset: u64, value: u32) {
        let Some(queue) = self.queues.get_mut(self.queue_select as usize) else {
            return;
        };
        if offset == register::QUEUE_READY {
            let stops = queue.is_ready && value & 1 == 0;
            queue.set_ready(value & 1 != 0);
            if stops {
                self.device.forget_requests();
            }
            return;
        }
        // A driver must not move a queue that is ready (VirtIO 1.2 4.2.2.2).
        if queue.is_ready {
            return;
        }
        match offset {
            register::QUEUE_SIZE if Queue::is_valid_size(value) => queue.size = value as u16,
            register::QUEUE_DESCRIPTORS_LOW => set_low(&mut queue.descriptor_table, value),
            register::QUEUE_DESCRIPTORS_HIGH => set_high(&mut queue.descriptor_table, value),
            register::QUEUE_AVAILABLE_LOW => set_low(&mut queue.available_ring, value),
            register::QUEUE_AVAILABLE_HIGH => set_high(&mut queue.available_ring, value),
            register::QUEUE_USED_LOW => set_low(&mut queue.used_ring, value),
            register::QUEUE_USED_HIGH => set_high(&mut queue.used_ring, value),
            _ => {}
        }
    }

    fn read_config(&self, offset: u64, size: AccessSize) -> u64 {
        let mut space = [0; CONFIG_BYTES];
        self.device.config(&mut space);
        let mut value = [0; 8];
        let bytes = space
            .iter()
            .skip(usize::try_from(offset).unwrap_or(usize::MAX))
            .take(size.bytes() as usize);
        for (to, from) in value.iter_mut().zip(bytes) {
            *to = *from;
        }
        u64::from_le_bytes(value)
    }
}

fn set_low(value: &mut u64, low: u32) {
    *value = *value & !0xffff_ffff | u64::from(low);
}

fn set_high(value: &mut u64, high: u32) {
    *value = *value & 0xffff_ffff | u64::from(high) << 32;
}

impl<D: VirtioDevice> Device for VirtioMmio<D> {
    fn read(
        &mut self,
        _cx: &mut DeviceContext<'_>,
        offset: u64,
        size: AccessSize,
    ) -> Result<u64, ImageStall> {
        Ok(if offset >= register::CONFIG {
            self.read_config(offset - register::CONFIG, size)
        } else if size == AccessSize::Word {
            u64::from(self.read_register(offset))
        } else {
            0
        })
    }

    fn write(
        &mut self,
        cx: &mut DeviceContext<'_>,
        offset: u64,
        size: AccessSize,
        value: u64,
    ) -> Result<(), ImageStall> {
        // No device here has a configuration field that a driver may write.
        if offset >= register::CONFIG || size != AccessSize::Word {
            return Ok(());
        }
        self.write_register(cx, offset, value as u32)
    }

    fn interrupt_level(&self) -> bool {
        self.interrupt_status != 0
    }

    fn save(&self, to: &mut StateWriter) {
        to.section(D::SECTION, |to| {
            to.u8(self.status);
            to.u8(self.interrupt_status);
            to.u32(self.device_features_select);
            to.u32(self.driver_features_select);
            to.u64(self.driver_features);
            to.u32(self.queue_select);
            to.u32(self.config_generation);
            self.queues.iter().for_each(|queue| queue.save(to));
            self.device.save(to);
        });
    }

    fn restore(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        let mut from = from.section(D::SECTION)?;
        let bad = |field| StateError::BadValue { field };
        self.status = from.u8()?;
        self.interrupt_status = from.u8()?;
        self.device_features_select = from.u32()?;
        self.driver_features_select = from.u32()?;
        self.driver_features = from.u64()?;
        self.queue_select = from.u32()?;
        self.config_generation = from.u32()?;
        let takes_indirect = self.has_negotiated() && self.takes_indirect();
        for queue in &mut self.queues {
            *queue = Queue::restore(&mut from, takes_indirect)?;
        }
        self.device.restore(&mut from)?;
        if self.status & !(status::BY_DRIVER | status::NEEDS_RESET) != 0 {
            return Err(bad("a virtio device's status"));
        }
        if self.interrupt_status & !(interrupt::USED | interrupt::CONFIG) != 0 {
            return Err(bad("a virtio device's interrupt status"));
        }
        if self.has_negotiated() && self.driver_features & !Self::offered_features() != 0 {
            return Err(bad("a virtio device's features"));
        }
        Ok(())
    }
}

/// A window of the transport with no device behind it: `DeviceID` is 0 (VirtIO 1.2 4.2.3.1).
#[derive(Clone, Copy, Debug, Default)]
pub struct EmptySlot;

impl Device for EmptySlot {
    fn read(
        &mut self,
        _cx: &mut DeviceContext<'_>,
        offset: u64,
        size: AccessSize,
    ) -> Result<u64, ImageStall> {
        if size != AccessSize::Word {
            return Ok(0);
        }
        Ok(match offset {
            register::MAGIC => u64::from(MAGIC),
            register::VERSION => u64::from(VERSION),
            register::VENDOR_ID => u64::from(VENDOR),
            _ => 0,
        })
    }

    fn write(
        &mut self,
        _cx: &mut DeviceContext<'_>,
        _offset: u64,
        _size: AccessSize,
        _value: u64,
    ) -> Result<(), ImageStall> {
        Ok(())
    }

    fn interrupt_level(&self) -> bool {
        false
    }

    fn save(&self, to: &mut StateWriter) {
        to.section(*b"VNIL", |_| {});
    }

    fn restore(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        from.section(*b"VNIL").map(|_| ())
    }
}

#[cfg(test)]
mod tests;
