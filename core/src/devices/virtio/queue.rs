//! The split virtqueue (VirtIO 1.2 2.7), seen from the device.
//!
//! Only what the driver set through registers and the two ring positions are kept; everything in
//! guest memory is read when it is needed.

use crate::memory::{GuestMemory, OutsideRam};
use crate::state::{StateError, StateReader, StateWriter};
use crate::types::GuestPhysAddr;
use thiserror::Error;

/// The most entries that a queue may have, and the most descriptors in a chain. With it the work
/// behind one doorbell is bounded; Linux takes whatever it is offered.
pub const QUEUE_SIZE_MAX: u16 = 128;

const DESCRIPTOR_BYTES: u64 = 16;

/// Descriptor flags, VirtIO 1.2 2.7.5.
mod descriptor_flag {
    pub(super) const NEXT: u16 = 1;
    pub(super) const WRITE: u16 = 2;
    pub(super) const INDIRECT: u16 = 4;
}

/// In the available ring's flags: the driver wants no interrupt. VirtIO 1.2 2.7.7.
const AVAILABLE_NO_INTERRUPT: u16 = 1;

/// A mistake of the driver after which its rings cannot be trusted. The device answers with
/// `DEVICE_NEEDS_RESET` (VirtIO 1.2 2.1.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum QueueFault {
    /// A ring, table or buffer is not in RAM.
    #[error(transparent)]
    OutsideRam(#[from] OutsideRam),
    /// More entries are available than the queue has.
    #[error("{0} entries are available, more than the queue has")]
    TooManyAvailable(u16),
    /// A descriptor's number is beyond its table.
    #[error("descriptor {0} is beyond its table")]
    BeyondTable(u16),
    /// A chain has more descriptors than a queue may have; perhaps it is a loop.
    #[error("a chain of more than {0} descriptors")]
    ChainTooLong(u16),
    /// An indirect descriptor that was not negotiated, is nested, goes on, or has a bad length.
    #[error("a malformed indirect descriptor")]
    BadIndirect,
    /// A device-readable buffer after a device-writable one.
    #[error("a readable buffer after a writable one")]
    ReadableAfterWritable,
    /// A request without the parts that its device cannot answer without.
    #[error("a request without room for its answer")]
    NoRoomForAnswer,
    /// More requests wait than the queue has entries.
    #[error("more requests wait than the queue has entries")]
    TooManyPending,
}

/// A buffer of a chain: not empty, all of it in RAM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    address: u64,
    length: u32,
}

/// A descriptor chain: buffers that the device reads, then buffers that it writes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Chain {
    /// Number of the first descriptor, by which the chain is given back.
    pub head: u16,
    readable: Vec<Segment>,
    writable: Vec<Segment>,
}

impl Chain {
    /// Bytes that the device may read.
    #[must_use]
    pub fn readable_bytes(&self) -> u64 {
        total_bytes(&self.readable)
    }

    /// Bytes that the device may write.
    #[must_use]
    pub fn writable_bytes(&self) -> u64 {
        total_bytes(&self.writable)
    }

    /// The bytes that the device may read, from the first.
    #[must_use]
    pub fn reader(&self) -> Cursor<'_> {
        Cursor::new(&self.readable)
    }

    /// The bytes that the device may write, from the first.
    #[must_use]
    pub fn writer(&self) -> Cursor<'_> {
        Cursor::new(&self.writable)
    }
}

fn total_bytes(segments: &[Segment]) -> u64 {
    segments
        .iter()
        .map(|segment| u64::from(segment.length))
        .sum()
}

/// A position in the buffers of one direction of a chain.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    segments: &'a [Segment],
    /// Bytes of the first segment that are behind the position.
    used: u32,
}

impl<'a> Cursor<'a> {
    fn new(segments: &'a [Segment]) -> Self {
        Self { segments, used: 0 }
    }

    /// The next run of at most `limit` bytes within one buffer, which is then behind the position.
    fn advance(&mut self, limit: usize) -> Option<(GuestPhysAddr, usize)> {
        let segment = self.segments.first()?;
        let left = segment.length - self.used;
        let address = GuestPhysAddr(segment.address + u64::from(self.used));
        let taken = u32::try_from(limit).unwrap_or(u32::MAX).min(left);
        if taken == left {
            self.segments = &self.segments[1..];
            self.used = 0;
        } else {
            self.used += taken;
        }
        Some((address, taken as usize))
    }

    /// Leaves out up to `count` bytes.
    pub fn skip(&mut self, count: u64) {
        let mut left = count;
        while left > 0 {
            let limit = usize::try_from(left).unwrap_or(usize::MAX);
            let Some((_, taken)) = self.advance(limit) else {
                return;
            };
            left -= taken as u64;
        }
    }

    /// Reads until `buffer` is full or the buffers end, and returns how many bytes.
    ///
    /// # Errors
    /// [`QueueFault::OutsideRam`] never happens for a chain of this machine's memory.
    pub fn read(&mut self, memory: &GuestMemory, buffer: &mut [u8]) -> Result<usize, QueueFault> {
        let mut filled = 0;
        while filled < buffer.len() {
            let Some((address, taken)) = self.advance(buffer.len() - filled) else {
                break;
            };
            memory.read(address, &mut buffer[filled..filled + taken])?;
            filled += taken;
        }
        Ok(filled)
    }

    /// Writes until `bytes` or the buffers end, and returns how many bytes.
    ///
    /// # Errors
    /// [`QueueFault::OutsideRam`] never happens for a chain of this machine's memory.
    pub fn write(&mut self, memory: &mut GuestMemory, bytes: &[u8]) -> Result<usize, QueueFault> {
        let mut written = 0;
        while written < bytes.len() {
            let Some((address, taken)) = self.advance(bytes.len() - written) else {
                break;
            };
            memory.write(address, &bytes[written..written + taken])?;
            written += taken;
        }
        Ok(written)
    }
}

/// One virtqueue.
#[derive(Clone, Debug)]
pub struct Queue {
    /// Number of entries: a power of two up to [`QUEUE_SIZE_MAX`].
    pub(super) size: u16,
    pub(super) is_ready: bool,
    /// Whether the driver accepted `VIRTIO_F_INDIRECT_DESC`.
    pub(super) takes_indirect: bool,
    pub(super) descriptor_table: u64,
    pub(super) available_ring: u64,
    pub(super) used_ring: u64,
    next_available: u16,
    next_used: u16,
    /// Whether a chain given back wants an interrupt; drained within the access that caused it.
    wants_interrupt: bool,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            size: QUEUE_SIZE_MAX,
            is_ready: false,
            takes_indirect: false,
            descriptor_table: 0,
            available_ring: 0,
            used_ring: 0,
            next_available: 0,
            next_used: 0,
            wants_interrupt: false,
        }
    }
}

impl Queue {
    /// How many chains the driver has made available and the device has not taken.
    ///
    /// # Errors
    /// [`QueueFault`] when the ring is not in RAM or its index is impossible.
    pub fn available(&self, memory: &GuestMemory) -> Result<u16, QueueFault> {
        if !self.is_ready {
            return Ok(0);
        }
        let index = memory.read_u16(GuestPhysAddr(self.available_ring.wrapping_add(2)))?;
        let count = index.wrapping_sub(self.next_available);
        if count > self.size {
            return Err(QueueFault::TooManyAvailable(count));
        }
        Ok(count)
    }

    /// The chain that comes `ahead` places after the next one, without taking it.
    ///
    /// # Errors
    /// [`QueueFault`].
    pub fn peek(&self, memory: &GuestMemory, ahead: u16) -> Result<Chain, QueueFault> {
        let slot = u64::from(self.next_available.wrapping_add(ahead) % self.size);
        let entry = self.available_ring.wrapping_add(4 + 2 * slot);
        self.chain(memory, memory.read_u16(GuestPhysAddr(entry))?)
    }

    /// Takes the next chain from the available ring; it has been peeked at.
    pub fn take(&mut self) {
        self.next_available = self.next_available.wrapping_add(1);
    }

    /// The chain that starts at descriptor `head`.
    ///
    /// # Errors
    /// [`QueueFault`].
    pub fn chain(&self, memory: &GuestMemory, head: u16) -> Result<Chain, QueueFault> {
        let mut chain = Chain {
            head,
            ..Chain::default()
        };
        let mut table = self.descriptor_table;
        let mut table_length = self.size;
        let mut is_indirect = false;
        let mut index = head;
        // One more look than descriptors, for the one that refers to an indirect table.
        for _ in 0..=QUEUE_SIZE_MAX {
            if index >= table_length {
                return Err(QueueFault::BeyondTable(index));
            }
            let at = table.wrapping_add(u64::from(index) * DESCRIPTOR_BYTES);
            let descriptor = Descriptor::read(memory, GuestPhysAddr(at))?;
            if descriptor.has(descriptor_flag::INDIRECT) {
                let is_allowed = self.takes_indirect && !is_indirect;
                if !is_allowed || descriptor.has(descriptor_flag::NEXT) {
                    return Err(QueueFault::BadIndirect);
                }
                (table, table_length) = descriptor.indirect_table()?;
                is_indirect = true;
                index = 0;
                continue;
            }
            descriptor.add_to(&mut chain, memory)?;
            if !descriptor.has(descriptor_flag::NEXT) {
                return Ok(chain);
            }
            index = descriptor.next;
        }
        Err(QueueFault::ChainTooLong(QUEUE_SIZE_MAX))
    }

    /// Gives a chain back with the number of bytes written into it (VirtIO 1.2 2.7.8).
    ///
    /// # Errors
    /// [`QueueFault`] when a ring is not in RAM.
    pub fn complete(
        &mut self,
        memory: &mut GuestMemory,
        head: u16,
        written_bytes: u32,
    ) -> Result<(), QueueFault> {
        let slot = u64::from(self.next_used % self.size);
        let mut element = [0; 8];
        element[..4].copy_from_slice(&u32::from(head).to_le_bytes());
        element[4..].copy_from_slice(&written_bytes.to_le_bytes());
        let at = self.used_ring.wrapping_add(4 + 8 * slot);
        memory.write(GuestPhysAddr(at), &element)?;
        let index = self.next_used.wrapping_add(1);
        memory.write_u16(GuestPhysAddr(self.used_ring.wrapping_add(2)), index)?;
        self.next_used = index;
        let flags = memory.read_u16(GuestPhysAddr(self.available_ring))?;
        if flags & AVAILABLE_NO_INTERRUPT == 0 {
            self.wants_interrupt = true;
        }
        Ok(())
    }

    /// Whether a chain given back since the last call wants an interrupt.
    pub(super) fn take_interrupt(&mut self) -> bool {
        std::mem::take(&mut self.wants_interrupt)
    }

    /// Starts or stops the queue. A queue that is started begins at index 0 of both rings.
    pub(super) fn set_ready(&mut self, is_ready: bool) {
        if is_ready != self.is_ready {
            self.is_ready = is_ready;
            self.next_available = 0;
            self.next_used = 0;
        }
    }

    pub(super) fn is_valid_size(size: u32) -> bool {
        size.is_power_of_two() && size <= u32::from(QUEUE_SIZE_MAX)
    }

    pub(super) fn save(&self, to: &mut StateWriter) {
        to.u16(self.size);
        to.bool(self.is_ready);
        to.u64(self.descriptor_table);
        to.u64(self.available_ring);
        to.u64(self.used_ring);
        to.u16(self.next_available);
        to.u16(self.next_used);
    }

    pub(super) fn restore(
        from: &mut StateReader<'_>,
        takes_indirect: bool,
    ) -> Result<Self, StateError> {
        let size = from.u16()?;
        if !Self::is_valid_size(u32::from(size)) {
            return Err(StateError::BadValue {
                field: "a virtqueue's size",
            });
        }
        Ok(Self {
            size,
            is_ready: from.bool()?,
            takes_indirect,
            descriptor_table: from.u64()?,
            available_ring: from.u64()?,
            used_ring: from.u64()?,
            next_available: from.u16()?,
            next_used: from.u16()?,
            wants_interrupt: false,
        })
    }
}

/// A descriptor as it stands in memory, VirtIO 1.2 2.7.5.
struct Descriptor {
    address: u64,
    length: u32,
    flags: u16,
    next: u16,
}

impl Descriptor {
    fn read(memory: &GuestMemory, at: GuestPhysAddr) -> Result<Self, QueueFault> {
        let mut bytes = [0; DESCRIPTOR_BYTES as usize];
        memory.read(at, &mut bytes)?;
        let word = u128::from_le_bytes(bytes);
        Ok(Self {
            address: word as u64,
            length: (word >> 64) as u32,
            flags: (word >> 96) as u16,
            next: (word >> 112) as u16,
        })
    }

    fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Address and number of entries of the table that an indirect descriptor refers to.
    fn indirect_table(&self) -> Result<(u64, u16), QueueFault> {
        let bytes = u64::from(self.length);
        let count = bytes / DESCRIPTOR_BYTES;
        if bytes == 0 || !bytes.is_multiple_of(DESCRIPTOR_BYTES) {
            return Err(QueueFault::BadIndirect);
        }
        if count > u64::from(QUEUE_SIZE_MAX) {
            return Err(QueueFault::ChainTooLong(QUEUE_SIZE_MAX));
        }
        Ok((self.address, count as u16))
    }

    fn add_to(&self, chain: &mut Chain, memory: &GuestMemory) -> Result<(), QueueFault> {
        let is_writable = self.has(descriptor_flag::WRITE);
        if !is_writable && !chain.writable.is_empty() {
            return Err(QueueFault::ReadableAfterWritable);
        }
        if self.length == 0 {
            return Ok(());
        }
        let outside = OutsideRam {
            address: GuestPhysAddr(self.address),
            length: u64::from(self.length),
        };
        memory
            .offset_of(outside.address, outside.length)
            .ok_or(outside)?;
        let segments = if is_writable {
            &mut chain.writable
        } else {
            &mut chain.readable
        };
        segments.push(Segment {
            address: self.address,
            length: self.length,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
