//! The 9P transport: a workspace that the guest mounts with `-t 9p -o trans=virtio,version=9p2000.L`.
//!
//! VirtIO 1.2 5 gives the device its number, 9, and says no more. The rest is what Linux's net/9p/trans_virtio.c
//! expects: one queue, the request in a chain's readable buffers, the reply in its writable ones.
//!
//! A request completes inside the doorbell's store, unless it wants contents that have not come. Then it stays in the
//! queue, and those behind it with it, until [`VirtioMmio::deliver_content`] brings them.

use super::DiskContents;
use super::mmio::{CONFIG_BYTES, Stop, VirtioDevice, VirtioMmio};
use super::queue::{Chain, Queue, QueueFault};
use crate::device::DeviceContext;
use crate::memory::GuestMemory;
use crate::state::{StateError, StateReader, StateWriter};
use crate::types::NANOSECONDS_PER_TICK;
use crate::workspace::content::{Content, ContentError, ContentKey, EXTENT_BYTES};
use crate::workspace::listing::{Listing, Timestamp};
use crate::workspace::message::MESSAGE_BYTES_MAX;
use crate::workspace::server::{REPLY_BYTES_MIN, Server};
use std::sync::Arc;

/// The name by which the guest mounts the workspace.
pub const MOUNT_TAG: &[u8] = b"workspace";

/// `VIRTIO_9P_MOUNT_TAG` (include/uapi/linux/virtio_9p.h).
const FEATURE_MOUNT_TAG: u64 = 1 << 0;

/// Extents that one request can want: as many as a message of the largest size can touch.
const WANTED_MAX: u64 = MESSAGE_BYTES_MAX as u64 / EXTENT_BYTES + 2;

/// The device.
#[derive(Debug)]
pub struct NineP {
    server: Server,
    /// What the first request of the queue waits for.
    wanted: Vec<ContentKey>,
}

impl NineP {
    /// A workspace over a listing, as nobody has changed it. See [`Server::new`] for the budget.
    #[must_use]
    pub fn new(listing: Arc<Listing>, budget_bytes: u64) -> Self {
        Self {
            server: Server::new(listing, budget_bytes),
            wanted: Vec::new(),
        }
    }

    /// What the guest waits for: contents of the listing's files, sorted. Empty when it waits for nothing.
    #[must_use]
    pub fn wanted(&self) -> &[ContentKey] {
        &self.wanted
    }

    /// The listing.
    #[must_use]
    pub fn listing(&self) -> &Listing {
        self.server.listing()
    }

    /// What serves the guest.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    fn serve(&mut self, cx: &mut DeviceContext<'_>, queue: &mut Queue) -> Result<(), QueueFault> {
        self.wanted.clear();
        let since_start = cx.time.0.saturating_mul(NANOSECONDS_PER_TICK);
        let now = cx.clock_base_unix_nanoseconds.saturating_add(since_start);
        // Linux's v9fs stamps what it writes with whole seconds (`s_time_gran`). Finer times beside those would make a file that
        // is made first look newer than one that is written after it, and `make` would believe them.
        let now = Timestamp {
            nanoseconds: 0,
            ..Timestamp::from_unix_nanoseconds(now)
        };
        for _ in 0..queue.available(cx.memory)? {
            let chain = queue.peek(cx.memory, 0)?;
            let room = usize::try_from(chain.writable_bytes()).unwrap_or(usize::MAX);
            if room < REPLY_BYTES_MIN {
                return Err(QueueFault::NoRoomForAnswer);
            }
            let message = read_message(cx.memory, &chain)?;
            match self.server.handle(&message, room, now) {
                Ok(reply) => {
                    queue.take();
                    chain.writer().write(cx.memory, &reply)?;
                    queue.complete(cx.memory, chain.head, reply.len() as u32)?;
                }
                Err(missing) => {
                    self.wanted = missing;
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Takes a request out of its chain; of one that is too long, only as much as shows that.
fn read_message(memory: &GuestMemory, chain: &Chain) -> Result<Vec<u8>, QueueFault> {
    let length = chain.readable_bytes().min(u64::from(MESSAGE_BYTES_MAX));
    let mut message = vec![0; length as usize];
    chain.reader().read(memory, &mut message)?;
    Ok(message)
}

impl VirtioDevice for NineP {
    const SECTION: [u8; 4] = *b"V9PT";
    const DEVICE_ID: u32 = 9;
    const FEATURES: u64 = FEATURE_MOUNT_TAG;
    const QUEUE_COUNT: usize = 1;

    /// `struct virtio_9p_config`: the tag's length, and the tag.
    fn config(&self, space: &mut [u8; CONFIG_BYTES]) {
        space[..2].copy_from_slice(&(MOUNT_TAG.len() as u16).to_le_bytes());
        space[2..2 + MOUNT_TAG.len()].copy_from_slice(MOUNT_TAG);
    }

    fn notify(
        &mut self,
        cx: &mut DeviceContext<'_>,
        queues: &mut [Queue],
        queue: usize,
    ) -> Result<(), Stop> {
        Ok(self.serve(cx, &mut queues[queue])?)
    }

    fn forget_requests(&mut self) {
        self.wanted.clear();
        self.server.end_session();
    }

    fn save(&self, to: &mut StateWriter) {
        self.server.save_session(to);
        to.u64(self.wanted.len() as u64);
        for key in &self.wanted {
            to.u32(key.file);
            to.u32(key.extent);
        }
    }

    fn restore(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.server.restore_session(from)?;
        let bad = StateError::BadValue {
            field: "what a workspace waits for",
        };
        let count = from.u64()?;
        if count > WANTED_MAX {
            return Err(bad);
        }
        let mut wanted: Vec<ContentKey> = Vec::new();
        for _ in 0..count {
            let key = ContentKey {
                file: from.u32()?,
                extent: from.u32()?,
            };
            let is_next = wanted.last().is_none_or(|last| *last < key);
            if !is_next || key.range(self.listing()).is_empty() {
                return Err(bad);
            }
            wanted.push(key);
        }
        self.wanted = wanted;
        Ok(())
    }
}

impl DiskContents for NineP {
    fn save_contents(&self, to: &mut StateWriter) {
        to.section(*b"WORK", |to| self.server.save_files(to));
    }

    fn restore_contents(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        let mut from = from.section(*b"WORK")?;
        self.server.restore_files(&mut from)?;
        if self.wanted.iter().any(|key| self.server.has_content(*key)) {
            return Err(StateError::BadValue {
                field: "what a workspace waits for",
            });
        }
        Ok(())
    }

    fn contents_hash(&self) -> u64 {
        self.server.files_hash()
    }
}

impl VirtioMmio<NineP> {
    /// Takes contents, which come once, and goes on with what waited for them.
    ///
    /// # Errors
    /// [`ContentError`]; nothing has changed then.
    pub fn deliver_content(
        &mut self,
        cx: &mut DeviceContext<'_>,
        key: ContentKey,
        content: Content,
    ) -> Result<(), ContentError> {
        let device = self.device_mut();
        device.server.insert_content(key, content)?;
        let waited = !device.wanted.is_empty();
        device.wanted.retain(|wanted| *wanted != key);
        if waited && device.wanted.is_empty() {
            let served = self.serve(|device, queues| Ok(device.serve(cx, &mut queues[0])?));
            debug_assert!(served.is_ok(), "a workspace stalls no step");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
