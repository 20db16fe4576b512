//! The network device (VirtIO 1.2 5.1): whole Ethernet frames, without offloads.
//!
//! What the guest sends is output; what it receives is an input event for each frame.

use super::mmio::{CONFIG_BYTES, Stop, VirtioDevice, VirtioMmio};
use super::queue::{Queue, QueueFault};
use crate::device::DeviceContext;
use crate::memory::GuestMemory;
use crate::state::{StateError, StateReader, StateWriter};

/// The most bytes of a frame, either way: an Ethernet header with a VLAN tag, and an MTU of 1500.
pub const FRAME_BYTES_MAX: usize = 1518;

/// The fewest bytes of a frame: an Ethernet header.
pub const FRAME_BYTES_MIN: usize = 14;

/// `struct virtio_net_hdr` (VirtIO 1.2 5.1.6), which stands before each frame.
const HEADER_BYTES: usize = 12;

/// `VIRTIO_NET_F_MAC`, VirtIO 1.2 5.1.3.
const FEATURE_MAC: u64 = 1 << 5;

const RECEIVE_QUEUE: usize = 0;
const TRANSMIT_QUEUE: usize = 1;

/// The device. It has no state of its own: what it holds lies in the queues.
#[derive(Clone, Debug)]
pub struct Net {
    mac: [u8; 6],
}

impl Net {
    /// A card with this address.
    #[must_use]
    pub fn new(mac: [u8; 6]) -> Self {
        Self { mac }
    }
}

impl VirtioDevice for Net {
    const SECTION: [u8; 4] = *b"VNET";
    const DEVICE_ID: u32 = 1;
    const FEATURES: u64 = FEATURE_MAC;
    const QUEUE_COUNT: usize = 2;

    fn config(&self, space: &mut [u8; CONFIG_BYTES]) {
        space[..self.mac.len()].copy_from_slice(&self.mac);
    }

    fn notify(
        &mut self,
        cx: &mut DeviceContext<'_>,
        queues: &mut [Queue],
        queue: usize,
    ) -> Result<(), Stop> {
        // Buffers posted for frames are looked at when one comes.
        if queue != TRANSMIT_QUEUE {
            return Ok(());
        }
        let queue = &mut queues[queue];
        for _ in 0..queue.available(cx.memory)? {
            let chain = queue.peek(cx.memory, 0)?;
            queue.take();
            let length = chain.readable_bytes().saturating_sub(HEADER_BYTES as u64);
            // A frame that no network carries is dropped, as by a network.
            if (FRAME_BYTES_MIN as u64..=FRAME_BYTES_MAX as u64).contains(&length) {
                let mut frame = vec![0; length as usize];
                let mut reader = chain.reader();
                reader.skip(HEADER_BYTES as u64);
                reader.read(cx.memory, &mut frame)?;
                cx.outputs.frame(cx.icount, frame);
            }
            queue.complete(cx.memory, chain.head, 0)?;
        }
        Ok(())
    }

    fn save(&self, _: &mut StateWriter) {}

    fn restore(&mut self, _: &mut StateReader<'_>) -> Result<(), StateError> {
        Ok(())
    }
}

impl VirtioMmio<Net> {
    /// Whether the driver has posted a buffer for a frame.
    #[must_use]
    pub fn takes_frame(&self, memory: &GuestMemory) -> bool {
        self.live_queues()
            .is_some_and(|queues| queues[RECEIVE_QUEUE].available(memory).unwrap_or(0) > 0)
    }

    /// Receives a frame into the next buffer; of one that has no room for it, nothing.
    pub fn push_frame(&mut self, cx: &mut DeviceContext<'_>, frame: &[u8]) {
        let served =
            self.serve(|_, queues| Ok(receive(&mut queues[RECEIVE_QUEUE], cx.memory, frame)?));
        debug_assert!(served.is_ok(), "a network has no image");
    }
}

fn receive(queue: &mut Queue, memory: &mut GuestMemory, frame: &[u8]) -> Result<(), QueueFault> {
    if queue.available(memory)? == 0 {
        return Ok(());
    }
    let chain = queue.peek(memory, 0)?;
    queue.take();
    let mut written = 0;
    if chain.writable_bytes() >= (HEADER_BYTES + frame.len()) as u64 {
        // Of the header `num_buffers` is 1 and all else 0 (5.1.6.4).
        let mut header = [0; HEADER_BYTES];
        header[10] = 1;
        let mut writer = chain.writer();
        written += writer.write(memory, &header)?;
        written += writer.write(memory, frame)?;
    }
    queue.complete(memory, chain.head, written as u32)
}

#[cfg(test)]
mod tests;
