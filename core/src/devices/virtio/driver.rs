//! The guest's side of a virtqueue, for tests.

use super::mmio::{VirtioDevice, VirtioMmio, register};
use crate::device::AccessSize;
use crate::devices::suite::{Bench, RAM_BASE};
use crate::image::ImageStall;
use crate::types::GuestPhysAddr;

/// Entries of a test's queue.
pub(super) const QUEUE_SIZE: u16 = 16;

const AVAILABLE_OFFSET: u64 = 0x400;
const USED_OFFSET: u64 = 0x600;

/// A buffer in guest memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buffer {
    pub(super) address: u64,
    pub(super) length: u32,
    pub(super) is_writable: bool,
}

/// One queue of a device that is being driven.
pub(super) struct Driver {
    queue: u64,
    pub(super) rings: u64,
    next_descriptor: u16,
    offered: u16,
    seen: u16,
    next_buffer: u64,
}

pub(super) fn get<D: VirtioDevice>(device: &mut VirtioMmio<D>, bench: &mut Bench, at: u64) -> u32 {
    bench.read(device, at, AccessSize::Word) as u32
}

pub(super) fn set<D: VirtioDevice>(
    device: &mut VirtioMmio<D>,
    bench: &mut Bench,
    at: u64,
    value: u64,
) {
    bench.write(device, at, AccessSize::Word, value);
}

/// Resets the device and accepts the features that are both offered and wanted.
pub(super) fn negotiate<D: VirtioDevice>(
    device: &mut VirtioMmio<D>,
    bench: &mut Bench,
    wanted: u64,
) {
    set(device, bench, register::STATUS, 0);
    set(device, bench, register::STATUS, 1);
    set(device, bench, register::STATUS, 3);
    for half in 0..2 {
        set(device, bench, register::DEVICE_FEATURES_SELECT, half);
        let offered = get(device, bench, register::DEVICE_FEATURES);
        set(device, bench, register::DRIVER_FEATURES_SELECT, half);
        let accepted = u64::from(offered) & (wanted >> (32 * half));
        set(device, bench, register::DRIVER_FEATURES, accepted);
    }
    set(device, bench, register::STATUS, 0xb);
    assert_eq!(get(device, bench, register::STATUS), 0xb);
}

impl Driver {
    /// Sets a device with one queue going.
    pub(super) fn start<D: VirtioDevice>(
        device: &mut VirtioMmio<D>,
        bench: &mut Bench,
        queue: u64,
    ) -> Self {
        negotiate(device, bench, u64::MAX);
        let driver = Self::set_up(device, bench, queue);
        set(device, bench, register::STATUS, 0xf);
        driver
    }

    /// Makes a queue ready, before `DRIVER_OK`.
    pub(super) fn set_up<D: VirtioDevice>(
        device: &mut VirtioMmio<D>,
        bench: &mut Bench,
        queue: u64,
    ) -> Self {
        let rings = RAM_BASE + queue * 0x1000;
        bench
            .memory
            .write(GuestPhysAddr(rings), &[0; 0x1000])
            .unwrap();
        set(device, bench, register::QUEUE_SELECT, queue);
        assert!(get(device, bench, register::QUEUE_SIZE_MAX) >= u32::from(QUEUE_SIZE));
        set(device, bench, register::QUEUE_SIZE, u64::from(QUEUE_SIZE));
        let addresses = [
            (register::QUEUE_DESCRIPTORS_LOW, rings),
            (register::QUEUE_AVAILABLE_LOW, rings + AVAILABLE_OFFSET),
            (register::QUEUE_USED_LOW, rings + USED_OFFSET),
        ];
        for (low, address) in addresses {
            set(device, bench, low, address & 0xffff_ffff);
            set(device, bench, low + 4, address >> 32);
        }
        set(device, bench, register::QUEUE_READY, 1);
        Self {
            queue,
            rings,
            next_descriptor: 0,
            offered: 0,
            seen: 0,
            next_buffer: RAM_BASE + 0x4000 + queue * 0x4_0000,
        }
    }

    fn buffer(&mut self, length: u32, is_writable: bool) -> Buffer {
        let address = self.next_buffer;
        self.next_buffer += u64::from(length).next_multiple_of(16);
        Buffer {
            address,
            length,
            is_writable,
        }
    }

    /// A buffer that the device reads.
    pub(super) fn read_only(&mut self, bench: &mut Bench, bytes: &[u8]) -> Buffer {
        let buffer = self.buffer(bytes.len() as u32, false);
        let address = GuestPhysAddr(buffer.address);
        bench.memory.write(address, bytes).unwrap();
        buffer
    }

    /// A buffer that the device writes.
    pub(super) fn write_only(&mut self, length: u32) -> Buffer {
        self.buffer(length, true)
    }

    /// Writes a descriptor into a table.
    pub(super) fn describe(
        bench: &mut Bench,
        table: u64,
        index: u16,
        buffer: Buffer,
        flags: u16,
        next: u16,
    ) {
        let flags = flags | if buffer.is_writable { 2 } else { 0 };
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&buffer.address.to_le_bytes());
        bytes.extend_from_slice(&buffer.length.to_le_bytes());
        bytes.extend_from_slice(&flags.to_le_bytes());
        bytes.extend_from_slice(&next.to_le_bytes());
        let at = GuestPhysAddr(table + 16 * u64::from(index));
        bench.memory.write(at, &bytes).unwrap();
    }

    /// Puts a descriptor's number into the available ring.
    pub(super) fn make_available(&mut self, bench: &mut Bench, head: u16) {
        let ring = self.rings + AVAILABLE_OFFSET;
        let slot = u64::from(self.offered % QUEUE_SIZE);
        let entry = GuestPhysAddr(ring + 4 + 2 * slot);
        bench.memory.write_u16(entry, head).unwrap();
        self.offered = self.offered.wrapping_add(1);
        let index = GuestPhysAddr(ring + 2);
        bench.memory.write_u16(index, self.offered).unwrap();
    }

    /// Makes a chain of buffers available and returns its head.
    pub(super) fn offer(&mut self, bench: &mut Bench, buffers: &[Buffer]) -> u16 {
        let head = self.next_descriptor;
        for (place, buffer) in buffers.iter().enumerate() {
            let index = self.next_descriptor;
            self.next_descriptor = (index + 1) % QUEUE_SIZE;
            let goes_on = u16::from(place + 1 < buffers.len());
            Self::describe(
                bench,
                self.rings,
                index,
                *buffer,
                goes_on,
                self.next_descriptor,
            );
        }
        self.make_available(bench, head);
        head
    }

    /// Makes a chain of buffers available through an indirect table.
    pub(super) fn offer_indirect(&mut self, bench: &mut Bench, buffers: &[Buffer]) -> u16 {
        let table = self.buffer(16 * buffers.len() as u32, false);
        for (place, buffer) in buffers.iter().enumerate() {
            let goes_on = u16::from(place + 1 < buffers.len());
            let place = place as u16;
            Self::describe(bench, table.address, place, *buffer, goes_on, place + 1);
        }
        let head = self.next_descriptor;
        self.next_descriptor = (head + 1) % QUEUE_SIZE;
        Self::describe(bench, self.rings, head, table, 4, 0);
        self.make_available(bench, head);
        head
    }

    /// Rings the doorbell.
    pub(super) fn ring<D: VirtioDevice>(&self, device: &mut VirtioMmio<D>, bench: &mut Bench) {
        self.try_ring(device, bench).unwrap();
    }

    /// Rings the doorbell of a device that may stall.
    pub(super) fn try_ring<D: VirtioDevice>(
        &self,
        device: &mut VirtioMmio<D>,
        bench: &mut Bench,
    ) -> Result<(), ImageStall> {
        bench.try_write(device, register::QUEUE_NOTIFY, AccessSize::Word, self.queue)
    }

    /// Takes the next element from the used ring: head and bytes written.
    pub(super) fn used(&mut self, bench: &Bench) -> Option<(u16, u32)> {
        let ring = self.rings + USED_OFFSET;
        let index = bench.memory.read_u16(GuestPhysAddr(ring + 2)).unwrap();
        if index == self.seen {
            return None;
        }
        let element = ring + 4 + 8 * u64::from(self.seen % QUEUE_SIZE);
        self.seen = self.seen.wrapping_add(1);
        let head = bench.memory.read_u32(GuestPhysAddr(element)).unwrap();
        let length = bench.memory.read_u32(GuestPhysAddr(element + 4)).unwrap();
        Some((u16::try_from(head).unwrap(), length))
    }

    /// Asks the device for no interrupts.
    pub(super) fn refuse_interrupts(&self, bench: &mut Bench) {
        let flags = GuestPhysAddr(self.rings + AVAILABLE_OFFSET);
        bench.memory.write_u16(flags, 1).unwrap();
    }
}

/// Takes the console output that has come out.
pub(super) fn console_output(bench: &mut Bench) -> Vec<u8> {
    let outputs = bench.outputs.take();
    let bytes = outputs.into_iter().map(|output| match output.kind {
        crate::output::OutputKind::Console { bytes, .. } => bytes,
        other => panic!("{other:?}, not console output"),
    });
    bytes.collect::<Vec<_>>().concat()
}
