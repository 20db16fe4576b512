//! Block requests as they stand in a descriptor chain, VirtIO 1.2 5.2.6.

use super::queue::{Chain, QUEUE_SIZE_MAX, QueueFault};
use crate::memory::GuestMemory;

/// Bytes of a sector, the unit of the block device's addresses.
pub const SECTOR_BYTES: u64 = 512;

/// The most data segments that a driver puts into a request: a chain's descriptors without the
/// header and the status.
pub const SEGMENTS_MAX: u32 = QUEUE_SIZE_MAX as u32 - 2;

/// The most bytes that a driver puts into a data segment.
pub const SEGMENT_BYTES_MAX: u32 = 64 * 1024;

/// The most data bytes of a request, which follows from the two: with it, one doorbell moves at
/// most 1 GiB. A larger request ends with an error.
pub const REQUEST_BYTES_MAX: u64 = SEGMENTS_MAX as u64 * SEGMENT_BYTES_MAX as u64;

/// Features of a block device, VirtIO 1.2 5.2.3.
pub(super) mod feature {
    pub(in super::super) const SIZE_MAX: u64 = 1 << 1;
    pub(in super::super) const SEG_MAX: u64 = 1 << 2;
    pub(in super::super) const BLK_SIZE: u64 = 1 << 6;
    pub(in super::super) const FLUSH: u64 = 1 << 9;
}

/// How a request ended, VirtIO 1.2 5.2.6.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum RequestStatus {
    /// Done.
    Ok = 0,
    /// A device or driver error.
    IoError = 1,
    /// The device does not know the request.
    Unsupported = 2,
}

/// Bytes of a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DiskRange {
    /// First byte.
    pub offset: u64,
    /// Number of bytes, at most [`REQUEST_BYTES_MAX`].
    pub length: u64,
}

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Copy from the disk into the chain's writable buffers.
    Read(DiskRange),
    /// Copy from the chain's readable buffers, after the header, onto the disk.
    Write(DiskRange),
    /// Make what was written lasting.
    Flush,
    /// Tell the serial number.
    Identify,
    /// Nothing: it cannot be served and ends so.
    Refuse(RequestStatus),
}

/// A request that has been taken apart; its data stays in guest memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// What it asks for.
    pub operation: Operation,
    /// Its buffers.
    pub chain: Chain,
}

/// Bytes of the header: type, reserved, sector.
pub(super) const HEADER_BYTES: usize = 16;

/// Bytes of the answer to a request for the serial number.
const SERIAL_BYTES: usize = 20;

/// Request types, VirtIO 1.2 5.2.6.
pub(super) mod request_type {
    pub(in super::super) const IN: u32 = 0;
    pub(in super::super) const OUT: u32 = 1;
    pub(in super::super) const FLUSH: u32 = 4;
    pub(in super::super) const GET_ID: u32 = 8;
}

impl Request {
    /// Takes a chain apart for a disk of `capacity` sectors.
    ///
    /// # Errors
    /// [`QueueFault::NoRoomForAnswer`] when there is no byte for the status.
    pub fn parse(memory: &GuestMemory, chain: Chain, capacity: u64) -> Result<Self, QueueFault> {
        if chain.writable_bytes() == 0 {
            return Err(QueueFault::NoRoomForAnswer);
        }
        let mut header = [0; HEADER_BYTES];
        let header_bytes = chain.reader().read(memory, &mut header)?;
        let header = u128::from_le_bytes(header);
        let sector = (header >> 64) as u64;
        let ranged =
            |length, operation: fn(DiskRange) -> Operation| match range(sector, length, capacity) {
                Some(range) => operation(range),
                None => Operation::Refuse(RequestStatus::IoError),
            };
        let operation = if header_bytes < HEADER_BYTES {
            Operation::Refuse(RequestStatus::IoError)
        } else {
            match header as u32 {
                request_type::IN => ranged(chain.writable_bytes() - 1, Operation::Read),
                request_type::OUT => ranged(
                    chain.readable_bytes() - HEADER_BYTES as u64,
                    Operation::Write,
                ),
                request_type::FLUSH => Operation::Flush,
                request_type::GET_ID => Operation::Identify,
                _ => Operation::Refuse(RequestStatus::Unsupported),
            }
        };
        Ok(Self { operation, chain })
    }

    /// Answers a request for the serial number; returns the bytes written.
    ///
    /// # Errors
    /// As [`super::queue::Cursor::write`].
    pub fn write_serial(&self, memory: &mut GuestMemory, serial: &str) -> Result<u32, QueueFault> {
        let mut bytes = [0; SERIAL_BYTES];
        for (to, from) in bytes.iter_mut().zip(serial.bytes()) {
            *to = from;
        }
        let room = (self.chain.writable_bytes() - 1).min(SERIAL_BYTES as u64) as usize;
        let written = self.chain.writer().write(memory, &bytes[..room])?;
        Ok(written as u32)
    }

    /// Writes the status into the chain's last byte.
    ///
    /// # Errors
    /// As [`super::queue::Cursor::write`].
    pub fn write_status(
        &self,
        memory: &mut GuestMemory,
        status: RequestStatus,
    ) -> Result<(), QueueFault> {
        let mut writer = self.chain.writer();
        writer.skip(self.chain.writable_bytes() - 1);
        writer.write(memory, &[status as u8])?;
        Ok(())
    }
}

/// The bytes that a request names, if they are whole sectors, not too many, and on the disk.
fn range(sector: u64, length: u64, capacity: u64) -> Option<DiskRange> {
    let end = sector.checked_add(length / SECTOR_BYTES)?;
    let is_good =
        length.is_multiple_of(SECTOR_BYTES) && length <= REQUEST_BYTES_MAX && end <= capacity;
    is_good.then_some(DiskRange {
        offset: sector.checked_mul(SECTOR_BYTES)?,
        length,
    })
}

/// Fills in a block device's configuration, VirtIO 1.2 5.2.4.
pub(super) fn fill_config(space: &mut [u8], capacity: u64) {
    space[0..8].copy_from_slice(&capacity.to_le_bytes());
    space[8..12].copy_from_slice(&SEGMENT_BYTES_MAX.to_le_bytes());
    space[12..16].copy_from_slice(&SEGMENTS_MAX.to_le_bytes());
    space[20..24].copy_from_slice(&(SECTOR_BYTES as u32).to_le_bytes());
}
