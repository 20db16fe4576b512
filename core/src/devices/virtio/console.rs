//! The virtio console (VirtIO 1.2 5.3): one port, with the terminal's size.

use super::mmio::{CONFIG_BYTES, Stop, VirtioDevice, VirtioMmio};
use super::queue::{Queue, QueueFault};
use crate::device::DeviceContext;
use crate::event::ConsolePort;
use crate::memory::GuestMemory;
use crate::state::{StateError, StateReader, StateWriter};
use crate::types::TerminalSize;

/// The most bytes of input that are taken at a time, whatever buffers the driver has posted.
pub const INPUT_BYTES_MAX: usize = 4096;

/// The most bytes that one transmitted chain may carry; what it has beyond is dropped. Linux sends
/// at most 32 KiB.
pub const OUTPUT_BYTES_MAX: u64 = 64 * 1024;

/// `VIRTIO_CONSOLE_F_SIZE`, VirtIO 1.2 5.3.3.
const FEATURE_SIZE: u64 = 1 << 0;

const RECEIVE_QUEUE: usize = 0;
const TRANSMIT_QUEUE: usize = 1;

/// The console.
#[derive(Clone, Debug)]
pub struct Console {
    size: TerminalSize,
}

impl Console {
    /// A console on a terminal of this size.
    #[must_use]
    pub fn new(size: TerminalSize) -> Self {
        Self { size }
    }
}

impl VirtioDevice for Console {
    const SECTION: [u8; 4] = *b"VCON";
    const DEVICE_ID: u32 = 3;
    const FEATURES: u64 = FEATURE_SIZE;
    const QUEUE_COUNT: usize = 2;

    fn config(&self, space: &mut [u8; CONFIG_BYTES]) {
        space[0..2].copy_from_slice(&self.size.columns.to_le_bytes());
        space[2..4].copy_from_slice(&self.size.rows.to_le_bytes());
    }

    fn notify(
        &mut self,
        cx: &mut DeviceContext<'_>,
        queues: &mut [Queue],
        queue: usize,
    ) -> Result<(), Stop> {
        // Buffers posted for input are looked at when input comes.
        if queue != TRANSMIT_QUEUE {
            return Ok(());
        }
        let queue = &mut queues[queue];
        for _ in 0..queue.available(cx.memory)? {
            let chain = queue.peek(cx.memory, 0)?;
            queue.take();
            let length = chain.readable_bytes().min(OUTPUT_BYTES_MAX) as usize;
            let mut bytes = vec![0; length];
            chain.reader().read(cx.memory, &mut bytes)?;
            cx.outputs.console(cx.icount, ConsolePort::Virtio, &bytes);
            queue.complete(cx.memory, chain.head, 0)?;
        }
        Ok(())
    }

    fn save(&self, to: &mut StateWriter) {
        to.u16(self.size.columns);
        to.u16(self.size.rows);
    }

    fn restore(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.size = TerminalSize {
            columns: from.u16()?,
            rows: from.u16()?,
        };
        Ok(())
    }
}

impl VirtioMmio<Console> {
    /// How many bytes of input it takes now: the room in the buffers that the driver has posted,
    /// at most [`INPUT_BYTES_MAX`].
    #[must_use]
    pub fn input_room(&self, memory: &GuestMemory) -> usize {
        let Some(queues) = self.live_queues() else {
            return 0;
        };
        let queue = &queues[RECEIVE_QUEUE];
        let mut room = 0;
        for ahead in 0..queue.available(memory).unwrap_or(0) {
            // A malformed chain shows itself to the driver when input reaches it.
            let Ok(chain) = queue.peek(memory, ahead) else {
                break;
            };
            room += chain.writable_bytes();
            if room >= INPUT_BYTES_MAX as u64 {
                return INPUT_BYTES_MAX;
            }
        }
        room as usize
    }

    /// Receives bytes, as many as there is room for, raises the interrupt, and returns how many.
    pub fn push_input(&mut self, cx: &mut DeviceContext<'_>, bytes: &[u8]) -> usize {
        let mut pushed = 0;
        let served = self.serve(|_, queues| {
            Ok(receive(
                &mut queues[RECEIVE_QUEUE],
                cx.memory,
                bytes,
                &mut pushed,
            )?)
        });
        debug_assert!(served.is_ok(), "a console has no image");
        pushed
    }

    /// Gives the terminal another size and tells the driver.
    pub fn set_size(&mut self, size: TerminalSize) {
        self.device_mut().size = size;
        self.config_changed();
    }
}

fn receive(
    queue: &mut Queue,
    memory: &mut GuestMemory,
    bytes: &[u8],
    pushed: &mut usize,
) -> Result<(), QueueFault> {
    for _ in 0..queue.available(memory)? {
        if *pushed == bytes.len() {
            break;
        }
        let chain = queue.peek(memory, 0)?;
        queue.take();
        let written = chain.writer().write(memory, &bytes[*pushed..])?;
        *pushed += written;
        queue.complete(memory, chain.head, written as u32)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
