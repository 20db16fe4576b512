//! Reading memory as the kernel and as a process see it, however the tables stand.

use reprise_core::debug::AddressSpace;
use reprise_core::memory::GuestMemory;
use reprise_core::riscv::view;
use reprise_core::types::{GuestPhysAddr, GuestVirtAddr, PAGE_BYTES};

/// Where the kernel image lies: one piece, virtually and physically.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ImagePlace {
    pub(super) virtual_start: u64,
    pub(super) physical_start: u64,
    pub(super) byte_len: u64,
}

/// The kernel's mapping of all RAM, arch/riscv/include/asm/page.h (`linear_mapping_va_to_pa`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct LinearMap {
    pub(super) virtual_start: u64,
    /// What is to be subtracted from a virtual address.
    pub(super) difference: u64,
}

/// Kernel memory.
#[derive(Clone, Copy)]
pub(super) struct KernelMemory<'a> {
    pub(super) ram: &'a GuestMemory,
    pub(super) image: ImagePlace,
    pub(super) linear: Option<LinearMap>,
    /// The kernel's own page tables, for everything that lies elsewhere.
    pub(super) tables: Option<AddressSpace>,
}

impl KernelMemory<'_> {
    /// Physical address of kernel memory.
    pub(super) fn translate(&self, address: u64) -> Option<GuestPhysAddr> {
        let in_image = address.wrapping_sub(self.image.virtual_start);
        if in_image < self.image.byte_len {
            return Some(GuestPhysAddr(
                self.image.physical_start.wrapping_add(in_image),
            ));
        }
        if let Some(linear) = self.linear
            && address >= linear.virtual_start
        {
            let physical = GuestPhysAddr(address.wrapping_sub(linear.difference));
            if self.ram.offset_of(physical, 1).is_some() {
                return Some(physical);
            }
        }
        if address >> 63 == 0 {
            return None;
        }
        view::translate(self.ram, self.tables?, GuestVirtAddr(address))
    }

    /// Reads all of the buffer, or nothing.
    pub(super) fn read(&self, address: u64, buffer: &mut [u8]) -> Option<()> {
        let length = buffer.len();
        (self.read_some(address, buffer) == length).then_some(())
    }

    /// Reads as many bytes as can be read from the first on.
    pub(super) fn read_some(&self, address: u64, buffer: &mut [u8]) -> usize {
        let mut done = 0;
        while done < buffer.len() {
            let Some(at) = address.checked_add(done as u64) else {
                break;
            };
            let in_page = (PAGE_BYTES - at % PAGE_BYTES) as usize;
            let length = in_page.min(buffer.len() - done);
            let part = &mut buffer[done..done + length];
            let Some(physical) = self.translate(at) else {
                break;
            };
            if self.ram.read(physical, part).is_err() {
                break;
            }
            done += length;
        }
        done
    }

    /// A number of 1, 2, 4 or 8 bytes; of a longer member the first 8.
    pub(super) fn number(&self, address: u64, byte_len: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes[..byte_len.min(8) as usize])?;
        Some(u64::from_le_bytes(bytes))
    }

    /// A pointer or another 64-bit number.
    pub(super) fn u64(&self, address: u64) -> Option<u64> {
        self.number(address, 8)
    }

    /// A string that ends with a NUL, without it; cut at `bytes_max`.
    pub(super) fn string(&self, address: u64, bytes_max: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; bytes_max];
        let length = self.read_some(address, &mut bytes);
        bytes.truncate(length);
        match bytes.iter().position(|byte| *byte == 0) {
            Some(end) => bytes.truncate(end),
            // Memory ended before the string did.
            None if length < bytes_max => return None,
            None => {}
        }
        Some(bytes)
    }
}

/// What a process' page tables say of an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Presence {
    /// It is there.
    Present(GuestPhysAddr),
    /// No page was ever put there: it is read from the file behind it, or as zeros.
    Untouched,
    /// The kernel has put the page away.
    Away,
}

/// Bits of a page-table entry, arch/riscv/include/asm/pgtable-bits.h.
mod pte {
    pub(super) const PRESENT: u64 = 1;
    pub(super) const LEAF: u64 = 2 | 8;
    /// `_PAGE_PROT_NONE`: the page is there, but nobody may touch it.
    pub(super) const PROT_NONE: u64 = 1 << 5;
}

/// Looks an address up, telling what was never there from what was put away.
pub(super) fn presence(ram: &GuestMemory, space: AddressSpace, address: u64) -> Presence {
    let levels = match space.0 >> 60 {
        8 => 3,
        9 => 4,
        10 => 5,
        _ => return Presence::Away,
    };
    // Processes own the lower half.
    if address >> (12 + 9 * levels - 1) != 0 {
        return Presence::Away;
    }
    let mut table = (space.0 & ((1 << 44) - 1)) << 12;
    for level in (0..levels).rev() {
        let index = address >> (12 + 9 * level) & 0x1ff;
        let Ok(entry) = ram.read_u64(GuestPhysAddr(table + index * 8)) else {
            return Presence::Away;
        };
        if entry == 0 {
            return Presence::Untouched;
        }
        let frame = (entry >> 10 & ((1 << 44) - 1)) << 12;
        let is_hidden = entry & pte::PRESENT == 0;
        if is_hidden && entry & pte::PROT_NONE == 0 {
            return Presence::Away;
        }
        if is_hidden || entry & pte::LEAF != 0 {
            let span = (1u64 << (12 + 9 * level)) - 1;
            return Presence::Present(GuestPhysAddr(frame & !span | address & span));
        }
        table = frame;
    }
    Presence::Away
}
