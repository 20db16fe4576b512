//! The virtio block device (VirtIO 1.2 5.2): an image with a copy-on-write overlay.
//!
//! A request completes inside the doorbell's store. So that a store happens wholly or not at all,
//! the doorbell first takes all available requests apart and makes sure that every image byte they
//! need is there; only then does it serve them, from what it took apart and not from the rings,
//! which the requests themselves might overwrite.

use super::DiskContents;
use super::mmio::{CONFIG_BYTES, Stop, VirtioDevice};
use super::overlay::{BLOCK_BYTES, Overlay};
use super::queue::{Queue, QueueFault};
use super::request::{
    DiskRange, HEADER_BYTES, Operation, Request, RequestStatus, SECTOR_BYTES, feature, fill_config,
};
use crate::device::DeviceContext;
use crate::image::{ImageSource, ImageStall, MissingRange};
use crate::memory::GuestMemory;
use crate::state::{StateError, StateReader, StateWriter};

/// Bytes that are copied at a time: enough to make the image's reads few.
const PIECE_BYTES: usize = 64 * 1024;

/// A disk.
#[derive(Debug)]
pub struct Block {
    disk: usize,
    serial: String,
    contents: Overlay,
    /// Room for a piece of data; holds nothing between two accesses.
    piece: Vec<u8>,
}

impl Block {
    /// Disk number `disk` of the machine over `image`. The guest reads the first 20 bytes of
    /// `serial`.
    #[must_use]
    pub fn new(disk: usize, serial: impl Into<String>, image: Box<dyn ImageSource>) -> Self {
        Self {
            disk,
            serial: serial.into(),
            contents: Overlay::new(image),
            piece: vec![0; PIECE_BYTES],
        }
    }

    /// Hash of all that was written: the wrapping sum over written blocks of the low half of
    /// xxh3-128 of the block, seeded with its number.
    #[must_use]
    pub fn overlay_hash(&self) -> u64 {
        self.contents.contents_hash()
    }

    /// The disk's number.
    #[must_use]
    pub fn number(&self) -> usize {
        self.disk
    }

    /// Reads what the guest would read now; nothing changes. `None` when it reaches beyond the disk.
    ///
    /// # Errors
    /// [`MissingRange`] of the image; `buffer` is then unspecified.
    pub fn look(&self, offset: u64, buffer: &mut [u8]) -> Option<Result<(), MissingRange>> {
        let end = offset.checked_add(buffer.len() as u64)?;
        let is_inside = end <= self.capacity_sectors().saturating_mul(SECTOR_BYTES);
        is_inside.then(|| self.contents.read(offset, buffer))
    }

    /// Number of sectors; a last sector that the image fills in part counts.
    #[must_use]
    pub fn capacity_sectors(&self) -> u64 {
        self.contents.byte_len().div_ceil(SECTOR_BYTES)
    }

    fn stall_from_missing(&self, missing: MissingRange) -> ImageStall {
        ImageStall {
            disk: self.disk,
            offset: missing.offset,
            length: missing.length,
        }
    }

    /// Makes sure that the image has what a request needs. Earlier requests of the same doorbell
    /// may make some of it needless, which costs a fetch and changes nothing.
    fn check(&mut self, operation: Operation) -> Result<(), MissingRange> {
        match operation {
            Operation::Read(range) => {
                for piece in pieces(range, PIECE_BYTES as u64) {
                    self.contents
                        .read(piece.offset, &mut self.piece[..piece.length as usize])?;
                }
            }
            Operation::Write(range) => {
                let end = range.offset + range.length;
                if range.length > 0 && !range.offset.is_multiple_of(BLOCK_BYTES) {
                    self.contents.check_write_of_part(range.offset)?;
                }
                if range.length > 0 && !end.is_multiple_of(BLOCK_BYTES) {
                    self.contents.check_write_of_part(end)?;
                }
            }
            Operation::Flush | Operation::Identify | Operation::Refuse(_) => {}
        }
        Ok(())
    }

    fn serve(&mut self, memory: &mut GuestMemory, request: &Request) -> Result<u32, QueueFault> {
        let (status, data_bytes) = match request.operation {
            Operation::Read(range) => {
                let mut writer = request.chain.writer();
                for piece in pieces(range, PIECE_BYTES as u64) {
                    let buffer = &mut self.piece[..piece.length as usize];
                    still_there(self.contents.read(piece.offset, buffer));
                    writer.write(memory, buffer)?;
                }
                (RequestStatus::Ok, range.length as u32)
            }
            Operation::Write(range) => {
                let mut reader = request.chain.reader();
                reader.skip(HEADER_BYTES as u64);
                for piece in pieces(range, BLOCK_BYTES) {
                    let buffer = &mut self.piece[..piece.length as usize];
                    reader.read(memory, buffer)?;
                    still_there(self.contents.write_in_block(piece.offset, buffer));
                }
                (RequestStatus::Ok, 0)
            }
            Operation::Flush => (RequestStatus::Ok, 0),
            Operation::Identify => (
                RequestStatus::Ok,
                request.write_serial(memory, &self.serial)?,
            ),
            Operation::Refuse(status) => (status, 0),
        };
        request.write_status(memory, status)?;
        Ok(data_bytes + 1)
    }
}

/// Cuts a range at the multiples of `unit`.
fn pieces(range: DiskRange, unit: u64) -> impl Iterator<Item = DiskRange> {
    let end = range.offset + range.length;
    let mut offset = range.offset;
    std::iter::from_fn(move || {
        if offset == end {
            return None;
        }
        let next = end.min((offset / unit + 1) * unit);
        let length = next - offset;
        let piece = DiskRange { offset, length };
        offset = next;
        Some(piece)
    })
}

/// An image source that forgets bytes within a step would leave the step half done.
fn still_there(result: Result<(), MissingRange>) {
    assert!(
        result.is_ok(),
        "the image source lost bytes that it had a moment ago: {result:?}"
    );
}

impl VirtioDevice for Block {
    const SECTION: [u8; 4] = *b"VBLK";
    const DEVICE_ID: u32 = 2;
    const FEATURES: u64 = feature::SIZE_MAX | feature::SEG_MAX | feature::BLK_SIZE | feature::FLUSH;
    const QUEUE_COUNT: usize = 1;

    fn config(&self, space: &mut [u8; CONFIG_BYTES]) {
        fill_config(space, self.capacity_sectors());
    }

    fn notify(
        &mut self,
        cx: &mut DeviceContext<'_>,
        queues: &mut [Queue],
        queue: usize,
    ) -> Result<(), Stop> {
        let queue = &mut queues[queue];
        let mut requests = Vec::new();
        let mut fault = None;
        for ahead in 0..queue.available(cx.memory)? {
            let parsed = queue
                .peek(cx.memory, ahead)
                .and_then(|chain| Request::parse(cx.memory, chain, self.capacity_sectors()));
            match parsed {
                Ok(request) => requests.push(request),
                Err(bad) => {
                    // The requests before it are served all the same.
                    fault = Some(bad);
                    break;
                }
            }
        }
        for request in &requests {
            self.check(request.operation)
                .map_err(|missing| self.stall_from_missing(missing))?;
        }
        for request in &requests {
            queue.take();
            let written_bytes = self.serve(cx.memory, request)?;
            queue.complete(cx.memory, request.chain.head, written_bytes)?;
        }
        fault.map_or(Ok(()), |fault| Err(fault.into()))
    }

    fn save(&self, _to: &mut StateWriter) {}

    fn restore(&mut self, _from: &mut StateReader<'_>) -> Result<(), StateError> {
        Ok(())
    }
}

impl DiskContents for Block {
    fn save_contents(&self, to: &mut StateWriter) {
        self.contents.save_contents(to);
    }

    fn restore_contents(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.contents.restore_contents(from)
    }

    fn contents_hash(&self) -> u64 {
        self.contents.contents_hash()
    }
}

#[cfg(test)]
mod tests;
