//! Guest RAM, with what must be known about each page.
//!
//! Every store that does not go through a CPU's write translation comes through here, is marked
//! with the current epoch and, on a page from which something was derived (decoded code, page
//! tables, watches), is put on the list of disturbances that the CPUs drain before they go on.

mod snapshot;

pub use snapshot::{MemorySnapshot, SharedBytes};

use crate::arena::Ram;
use crate::debug::{Watch, WatchKind, WatchPlace};
use crate::types::{GuestPhysAddr, PAGE_BYTES};
use snapshot::Baseline;
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// An access that is not wholly within RAM.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("{length} bytes at physical address {address} are not all RAM")]
pub struct OutsideRam {
    /// First byte of the access.
    pub address: GuestPhysAddr,
    /// Length of the access in bytes.
    pub length: u64,
}

/// A store to a page from which something was derived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Disturbance {
    /// First byte written.
    pub address: GuestPhysAddr,
    /// Bytes written, all within one page.
    pub length: u32,
    /// Whether something else than a CPU wrote.
    pub is_by_device: bool,
}

/// Why stores to a page must take the slow path. Cache knowledge, never state.
pub mod page_flag {
    /// Decoded code was made from the page.
    pub const CODE: u8 = 1;
    /// A walk has read the page as a page table.
    pub const TABLE: u8 = 2;
    /// Stores to the page must be seen by the machine (`tohost`, watchpoints).
    pub const WATCHED: u8 = 4;
    /// A debugger wants to know of stores.
    pub const DEBUG_WRITE: u8 = 8;
    /// A debugger wants to know of loads.
    pub const DEBUG_READ: u8 = 16;
    /// What does not derive from the page's content.
    pub const LASTING: u8 = WATCHED | DEBUG_WRITE | DEBUG_READ;
}

/// Bytes of a page.
pub type Page = [u8; PAGE_BYTES as usize];

/// Guest RAM.
pub struct GuestMemory {
    ram: Ram,
    base: u64,
    flags: Vec<u8>,
    page_epochs: Vec<u32>,
    epoch: u32,
    page_hashes: Vec<u128>,
    hash_sum: u128,
    hashed_epoch: u32,
    disturbances: Vec<Disturbance>,
    /// LR/SC reservations by CPU: the physical address of a 64-byte set.
    reservations: Vec<Option<u64>>,
    baseline: Baseline,
}

/// Bytes of an LR/SC reservation set.
pub const RESERVATION_BYTES: u64 = 64;

impl GuestMemory {
    /// Zeroed RAM at `base`.
    pub(crate) fn new(ram: Ram, base: GuestPhysAddr, cpu_count: u32) -> Self {
        let page_count = ram.len() / PAGE_BYTES as usize;
        Self {
            ram,
            base: base.0,
            flags: vec![0; page_count],
            page_epochs: vec![0; page_count],
            epoch: 1,
            page_hashes: vec![0; page_count],
            hash_sum: 0,
            hashed_epoch: 0,
            disturbances: Vec::new(),
            reservations: vec![None; cpu_count as usize],
            baseline: Baseline::zero(page_count),
        }
    }

    /// First physical address of RAM.
    #[must_use]
    pub fn base(&self) -> GuestPhysAddr {
        GuestPhysAddr(self.base)
    }

    /// Size of RAM in bytes.
    #[must_use]
    pub fn byte_len(&self) -> u64 {
        self.ram.len() as u64
    }

    /// Offset of an access within RAM, when all of it is RAM.
    #[must_use]
    pub fn offset_of(&self, address: GuestPhysAddr, length: u64) -> Option<usize> {
        let offset = address.0.checked_sub(self.base)?;
        let end = offset.checked_add(length)?;
        (end <= self.ram.len() as u64).then_some(offset as usize)
    }

    fn checked_offset(&self, address: GuestPhysAddr, length: u64) -> Result<usize, OutsideRam> {
        self.offset_of(address, length)
            .ok_or(OutsideRam { address, length })
    }

    /// Reads bytes.
    ///
    /// # Errors
    /// [`OutsideRam`]; nothing is read then.
    pub fn read(&self, address: GuestPhysAddr, buffer: &mut [u8]) -> Result<(), OutsideRam> {
        buffer.copy_from_slice(self.slice(address, buffer.len() as u64)?);
        Ok(())
    }

    /// Bytes of RAM, borrowed.
    ///
    /// # Errors
    /// [`OutsideRam`].
    pub fn slice(&self, address: GuestPhysAddr, length: u64) -> Result<&[u8], OutsideRam> {
        let offset = self.checked_offset(address, length)?;
        Ok(&self.ram.bytes()[offset..offset + length as usize])
    }

    /// Reads 2 bytes, little-endian.
    ///
    /// # Errors
    /// [`OutsideRam`].
    pub fn read_u16(&self, address: GuestPhysAddr) -> Result<u16, OutsideRam> {
        let mut bytes = [0; 2];
        self.read(address, &mut bytes)?;
        Ok(u16::from_le_bytes(bytes))
    }

    /// Reads 4 bytes, little-endian.
    ///
    /// # Errors
    /// [`OutsideRam`].
    pub fn read_u32(&self, address: GuestPhysAddr) -> Result<u32, OutsideRam> {
        let mut bytes = [0; 4];
        self.read(address, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Reads 8 bytes, little-endian.
    ///
    /// # Errors
    /// [`OutsideRam`].
    pub fn read_u64(&self, address: GuestPhysAddr) -> Result<u64, OutsideRam> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Writes bytes on behalf of a device, the loader or a debugger: reservations on them end.
    ///
    /// # Errors
    /// [`OutsideRam`]; nothing is written then.
    pub fn write(&mut self, address: GuestPhysAddr, bytes: &[u8]) -> Result<(), OutsideRam> {
        if bytes.is_empty() {
            return Ok(());
        }
        let first = address.0 & !(RESERVATION_BYTES - 1);
        let last = address.0.wrapping_add(bytes.len() as u64 - 1);
        for reservation in &mut self.reservations {
            if reservation.is_some_and(|set| set >= first && set <= last) {
                *reservation = None;
            }
        }
        self.store(address, bytes, true)
    }

    /// Writes 2 bytes, little-endian, as [`GuestMemory::write`] does.
    ///
    /// # Errors
    /// [`OutsideRam`].
    pub fn write_u16(&mut self, address: GuestPhysAddr, value: u16) -> Result<(), OutsideRam> {
        self.write(address, &value.to_le_bytes())
    }

    /// Writes 4 bytes, little-endian, as [`GuestMemory::write`] does.
    ///
    /// # Errors
    /// [`OutsideRam`].
    pub fn write_u32(&mut self, address: GuestPhysAddr, value: u32) -> Result<(), OutsideRam> {
        self.write(address, &value.to_le_bytes())
    }

    /// A CPU's store on the slow path; its own reservation stays.
    pub(crate) fn write_by_cpu(
        &mut self,
        address: GuestPhysAddr,
        bytes: &[u8],
    ) -> Result<(), OutsideRam> {
        self.store(address, bytes, false)
    }

    fn store(
        &mut self,
        address: GuestPhysAddr,
        bytes: &[u8],
        is_by_device: bool,
    ) -> Result<(), OutsideRam> {
        let offset = self.checked_offset(address, bytes.len() as u64)?;
        if bytes.is_empty() {
            return Ok(());
        }
        self.ram.bytes_mut()[offset..offset + bytes.len()].copy_from_slice(bytes);
        let page_bytes = PAGE_BYTES as usize;
        for page in offset / page_bytes..=(offset + bytes.len() - 1) / page_bytes {
            self.page_epochs[page] = self.epoch;
            if self.flags[page] != 0 {
                let start = offset.max(page * page_bytes);
                let end = (offset + bytes.len()).min((page + 1) * page_bytes);
                self.disturbances.push(Disturbance {
                    address: GuestPhysAddr(self.base + start as u64),
                    length: (end - start) as u32,
                    is_by_device,
                });
            }
        }
        Ok(())
    }

    /// A walk's update of A and D bits, which disturbs nothing that was derived from the table.
    pub(crate) fn set_table_entry(&mut self, address: GuestPhysAddr, value: u64) {
        let before = self.disturbances.len();
        let written = self.write_by_cpu(address, &value.to_le_bytes());
        assert!(written.is_ok(), "a table entry was just read from there");
        let page = (address.0 - self.base) >> 12;
        if self.flags[page as usize] & (page_flag::CODE | page_flag::WATCHED) == 0 {
            self.disturbances.truncate(before);
        }
    }

    pub(crate) fn ram(&self) -> &Ram {
        &self.ram
    }

    pub(crate) fn ram_mut(&mut self) -> &mut Ram {
        &mut self.ram
    }

    pub(crate) fn has_disturbances(&self) -> bool {
        !self.disturbances.is_empty()
    }

    pub(crate) fn take_disturbances(&mut self) -> Vec<Disturbance> {
        std::mem::take(&mut self.disturbances)
    }

    /// Whether stores to the page may bypass this module; if so the page is dirty from now on.
    pub(crate) fn open_for_fast_stores(&mut self, page: usize) -> bool {
        self.page_epochs[page] = self.epoch;
        self.flags[page] == 0
    }

    pub(crate) fn page_flags(&self, page: usize) -> u8 {
        self.flags[page]
    }

    pub(crate) fn set_page_flag(&mut self, page: usize, flag: u8) {
        self.flags[page] |= flag;
    }

    pub(crate) fn clear_page_flag(&mut self, page: usize, flag: u8) {
        self.flags[page] &= !flag;
    }

    /// The epoch with which stores are marked now. Fast stores are allowed only through
    /// translations made in this epoch.
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    pub(crate) fn reservation(&self, cpu: u32) -> Option<u64> {
        self.reservations[cpu as usize]
    }

    pub(crate) fn set_reservation(&mut self, cpu: u32, set: Option<u64>) {
        self.reservations[cpu as usize] = set;
    }

    /// Marks or unmarks the pages of a watch on physical memory.
    pub(crate) fn set_debug_flags(&mut self, watch: &Watch, is_set: bool) {
        let WatchPlace::Physical(address) = watch.place else {
            return;
        };
        let flags = match watch.kind {
            WatchKind::Read => page_flag::DEBUG_READ,
            WatchKind::Write => page_flag::DEBUG_WRITE,
            WatchKind::Access => page_flag::DEBUG_READ | page_flag::DEBUG_WRITE,
        };
        let end = self.base + self.byte_len();
        let first = address.0.clamp(self.base, end);
        let last = address.0.saturating_add(watch.byte_len).clamp(first, end);
        for page in (first - self.base) / PAGE_BYTES..(last - self.base).div_ceil(PAGE_BYTES) {
            if is_set {
                self.flags[page as usize] |= flags;
            } else {
                self.flags[page as usize] &= !flags;
            }
        }
    }

    fn page_bytes(&self, page: usize) -> &[u8] {
        let start = page * PAGE_BYTES as usize;
        &self.ram.bytes()[start..start + PAGE_BYTES as usize]
    }

    /// Hash of all of RAM: the wrapping sum over pages of xxh3-128 of the page, seeded with its
    /// number; zero pages count 0. Only pages dirtied since the last call are read.
    pub fn hash(&mut self) -> u128 {
        for page in 0..self.page_epochs.len() {
            if self.page_epochs[page] <= self.hashed_epoch {
                continue;
            }
            let bytes = self.page_bytes(page);
            let hash = if is_zero(bytes) {
                0
            } else {
                xxh3_128_with_seed(bytes, page as u64)
            };
            self.hash_sum = self
                .hash_sum
                .wrapping_sub(self.page_hashes[page])
                .wrapping_add(hash);
            self.page_hashes[page] = hash;
        }
        self.hashed_epoch = self.epoch;
        self.epoch += 1;
        self.hash_sum
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    let (chunks, rest) = bytes.as_chunks::<16>();
    chunks.iter().all(|chunk| u128::from_ne_bytes(*chunk) == 0)
        && rest.iter().all(|byte| *byte == 0)
}
