//! The start disk: a virtio block device from which the guest's init reads its [`Start`].
//!
//! Reads where the start will stand wait until it is there, so init blocks in `read` as long as
//! nobody has said what to do, and a snapshot taken then can be started many times. Init reports
//! the command's exit status by writing it to the first sector.

use super::DiskContents;
use super::mmio::{CONFIG_BYTES, Stop, VirtioDevice, VirtioMmio};
use super::queue::{QUEUE_SIZE_MAX, Queue, QueueFault};
use super::request::{
    DiskRange, HEADER_BYTES, Operation, Request, RequestStatus, SECTOR_BYTES, feature, fill_config,
};
use super::start_block::{START_BYTES_MAX, START_OFFSET, encode, encoded_bytes, is_encoded};
use crate::device::DeviceContext;
use crate::event::Start;
use crate::state::{StateError, StateReader, StateWriter};
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

/// By this serial number the guest's init finds the disk.
pub const START_SERIAL: &str = "reprise-start";

/// Sectors of the disk: 1 TiB, whatever the start, for the size is fixed long before that comes.
pub const START_CAPACITY_SECTORS: u64 = (1 << 40) / SECTOR_BYTES;

/// What a write to the first sector begins with to report an exit status, which follows in 4
/// bytes, little-endian.
pub const EXIT_MAGIC: [u8; 8] = *b"RPEXIT01";

/// Why a start was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum StartRefused {
    /// There was one already.
    #[error("the guest was started before; a machine takes one start")]
    AlreadyStarted,
    /// Its files, arguments and environment are too long.
    #[error("the start is {bytes} bytes long, more than the {START_BYTES_MAX} that fit")]
    TooLong {
        /// Bytes that it would take.
        bytes: u64,
    },
}

/// The start disk.
#[derive(Clone, Debug, Default)]
pub struct StartDisk {
    /// The encoded start, once there is one.
    content: Option<Vec<u8>>,
    content_hash: u64,
    /// Heads of the chains that wait for the start, in the order in which they came.
    waiting: Vec<u16>,
}

impl StartDisk {
    /// A disk without a start.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the start has been delivered.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.content.is_some()
    }

    fn set_content(&mut self, content: Option<Vec<u8>>) {
        self.content_hash = content.as_deref().map_or(0, xxh3_64);
        self.content = content;
    }

    /// Whether bytes of a range can be known only when the start is there.
    fn must_wait(&self, range: DiskRange) -> bool {
        let end = range.offset + range.length;
        !self.is_started()
            && range.length > 0
            && end > START_OFFSET
            && range.offset < START_OFFSET + START_BYTES_MAX
    }

    /// Serves a request, or returns `None` when it must wait.
    fn serve(
        &self,
        cx: &mut DeviceContext<'_>,
        request: &Request,
    ) -> Result<Option<u32>, QueueFault> {
        let (status, data_bytes) = match request.operation {
            Operation::Read(range) if self.must_wait(range) => return Ok(None),
            Operation::Read(range) => {
                self.read(cx, request, range)?;
                (RequestStatus::Ok, range.length as u32)
            }
            Operation::Write(range) => {
                if range.offset == 0 {
                    report_exit(cx, request)?;
                }
                (RequestStatus::Ok, 0)
            }
            Operation::Flush => (RequestStatus::Ok, 0),
            Operation::Identify => (
                RequestStatus::Ok,
                request.write_serial(cx.memory, START_SERIAL)?,
            ),
            Operation::Refuse(status) => (status, 0),
        };
        request.write_status(cx.memory, status)?;
        Ok(Some(data_bytes + 1))
    }

    fn read(
        &self,
        cx: &mut DeviceContext<'_>,
        request: &Request,
        range: DiskRange,
    ) -> Result<(), QueueFault> {
        let content = self.content.as_deref().unwrap_or(&[]);
        let mut writer = request.chain.writer();
        let mut at = range.offset;
        let end = range.offset + range.length;
        while at < end {
            let mut sector = [0; SECTOR_BYTES as usize];
            let from = at
                .checked_sub(START_OFFSET)
                .and_then(|offset| content.get(usize::try_from(offset).ok()?..));
            if let Some(from) = from {
                let length = from.len().min(sector.len());
                sector[..length].copy_from_slice(&from[..length]);
            }
            writer.write(cx.memory, &sector)?;
            at += SECTOR_BYTES;
        }
        Ok(())
    }
}

fn report_exit(cx: &mut DeviceContext<'_>, request: &Request) -> Result<(), QueueFault> {
    let mut reader = request.chain.reader();
    reader.skip(HEADER_BYTES as u64);
    let mut magic = [0; EXIT_MAGIC.len()];
    let mut status = [0; 4];
    reader.read(cx.memory, &mut magic)?;
    let status_bytes = reader.read(cx.memory, &mut status)?;
    if magic == EXIT_MAGIC && status_bytes == status.len() {
        cx.outputs
            .exit_status(cx.icount, i32::from_le_bytes(status));
    }
    Ok(())
}

impl VirtioDevice for StartDisk {
    const SECTION: [u8; 4] = *b"VSTA";
    const DEVICE_ID: u32 = 2;
    const FEATURES: u64 = feature::SIZE_MAX | feature::SEG_MAX | feature::BLK_SIZE | feature::FLUSH;
    const QUEUE_COUNT: usize = 1;

    fn config(&self, space: &mut [u8; CONFIG_BYTES]) {
        fill_config(space, START_CAPACITY_SECTORS);
    }

    fn notify(
        &mut self,
        cx: &mut DeviceContext<'_>,
        queues: &mut [Queue],
        queue: usize,
    ) -> Result<(), Stop> {
        let queue = &mut queues[queue];
        for _ in 0..queue.available(cx.memory)? {
            let chain = queue.peek(cx.memory, 0)?;
            let request = Request::parse(cx.memory, chain, START_CAPACITY_SECTORS)?;
            queue.take();
            if let Some(written_bytes) = self.serve(cx, &request)? {
                queue.complete(cx.memory, request.chain.head, written_bytes)?;
            } else if self.waiting.len() < usize::from(QUEUE_SIZE_MAX) {
                self.waiting.push(request.chain.head);
            } else {
                return Err(QueueFault::TooManyPending.into());
            }
        }
        Ok(())
    }

    fn forget_requests(&mut self) {
        self.waiting.clear();
    }

    fn save(&self, to: &mut StateWriter) {
        to.u16(self.waiting.len() as u16);
        self.waiting.iter().for_each(|head| to.u16(*head));
    }

    fn restore(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        let count = from.u16()?;
        if count > QUEUE_SIZE_MAX {
            return Err(StateError::BadValue {
                field: "the start disk's waiting requests",
            });
        }
        self.waiting = (0..count).map(|_| from.u16()).collect::<Result<_, _>>()?;
        Ok(())
    }
}

impl DiskContents for StartDisk {
    fn save_contents(&self, to: &mut StateWriter) {
        to.section(*b"STRT", |to| {
            to.option(self.content.as_deref(), |to, content| to.bytes(content));
        });
    }

    fn restore_contents(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        let mut from = from.section(*b"STRT")?;
        let content = from.option(|from| from.bytes())?;
        if !content.is_none_or(is_encoded) {
            return Err(StateError::BadValue { field: "the start" });
        }
        self.set_content(content.map(<[u8]>::to_vec));
        Ok(())
    }

    fn contents_hash(&self) -> u64 {
        self.content_hash
    }
}

impl VirtioMmio<StartDisk> {
    /// Puts the start onto the disk and completes the reads that waited for it.
    ///
    /// # Errors
    /// [`StartRefused`]; nothing has changed then.
    pub fn deliver_start(
        &mut self,
        cx: &mut DeviceContext<'_>,
        start: &Start,
    ) -> Result<(), StartRefused> {
        if self.device().is_started() {
            return Err(StartRefused::AlreadyStarted);
        }
        let bytes = encoded_bytes(start);
        if bytes > START_BYTES_MAX {
            return Err(StartRefused::TooLong { bytes });
        }
        self.device_mut().set_content(Some(encode(start)));
        let served = self.serve(|device, queues| {
            for head in std::mem::take(&mut device.waiting) {
                let queue = &mut queues[0];
                let chain = queue.chain(cx.memory, head)?;
                let request = Request::parse(cx.memory, chain, START_CAPACITY_SECTORS)?;
                let written_bytes = device.serve(cx, &request)?.unwrap_or(0);
                queue.complete(cx.memory, head, written_bytes)?;
            }
            Ok(())
        });
        debug_assert!(served.is_ok(), "the start disk has no image");
        Ok(())
    }
}

#[cfg(test)]
mod tests;
