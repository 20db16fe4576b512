//! The pages of files that the kernel holds in memory.

use super::layout::Types;
use super::view::LinuxView;
use reprise_core::types::{GuestPhysAddr, PAGE_BYTES};

/// Marks of entries, include/linux/xarray.h: `xa_is_internal`, `xa_is_node`, `xa_is_sibling`, `xa_is_value`.
const INTERNAL_MASK: u64 = 3;
const INTERNAL: u64 = 2;
const NODES_FROM: u64 = 4096;
/// Six levels of 64 slots hold all 2^52 pages of a file; with smaller nodes there are more.
const DEPTH_MAX: u32 = 16;
/// Pages in the largest folio.
const FOLIO_PAGES_MAX: u64 = 1 << 18;

impl LinuxView<'_> {
    /// Where the page of a file lies that has this number; `None` when the kernel does not hold it, or is still
    /// reading it.
    pub(super) fn cached_page(&self, mapping: u64, index: u64) -> Option<GuestPhysAddr> {
        let types = self.types()?;
        let folio = self.xarray_entry(types, mapping, index)?;
        let flags = self.field(folio, types.folio.flags)?;
        if flags >> types.page_uptodate & 1 == 0 {
            return None;
        }
        // One entry may stand for many pages, whose descriptions follow each other.
        let first = self.field(folio, types.folio.index)?;
        let number = index.checked_sub(first).filter(|n| *n < FOLIO_PAGES_MAX)?;
        self.page_address(folio.wrapping_add(number * types.page_bytes))
    }

    /// `xa_load`, lib/xarray.c, in the tree of an `address_space`.
    fn xarray_entry(&self, types: &Types, mapping: u64, index: u64) -> Option<u64> {
        let slots = types.xa_node.slots;
        let slot_count = (slots.byte_len / 8).max(1);
        let mut entry = self.pointer(mapping, types.address_space.pages_head)?;
        let mut is_root = true;
        for _ in 0..DEPTH_MAX {
            if entry & INTERNAL_MASK != INTERNAL || entry <= NODES_FROM {
                // A root that is no node holds the first page alone. An odd entry is no pointer: the page was put away.
                let is_page = entry & INTERNAL_MASK == 0 && (!is_root || index == 0);
                return is_page.then_some(entry);
            }
            let node = entry - INTERNAL;
            let shift = self.field(node, types.xa_node.shift)?;
            let slot = index.checked_shr(shift as u32).unwrap_or(0);
            if is_root && slot >= slot_count {
                return None;
            }
            is_root = false;
            let read = |slot: u64| {
                let at = node.wrapping_add(slots.offset + 8 * slot);
                self.memory.u64(at).filter(|entry| *entry != 0)
            };
            entry = read(slot % slot_count)?;
            // A sibling says which slot holds the entry of a page that spans several.
            if entry & INTERNAL_MASK == INTERNAL && entry >> 2 < slot_count {
                entry = read(entry >> 2)?;
            }
        }
        None
    }

    /// Physical address of the page that a `struct page` describes: `page_to_pfn`, include/asm-generic/memory_model.h.
    pub(super) fn page_address(&self, page: u64) -> Option<GuestPhysAddr> {
        let known = self.kernel.known();
        let page_bytes = self.types()?.page_bytes;
        let (first, first_number) = match known.mem_map {
            // FLATMEM: one array, whose first element describes the first page of RAM.
            Some(mem_map) => (
                self.memory.u64(mem_map)?,
                self.memory.u64(known.phys_ram_base?)? / PAGE_BYTES,
            ),
            None => self.vmemmap(page_bytes)?,
        };
        let distance = page.checked_sub(first)?;
        let number = (distance / page_bytes).checked_add(first_number)?;
        let address = GuestPhysAddr(number.checked_mul(PAGE_BYTES)?);
        (distance.is_multiple_of(page_bytes) && self.memory.ram.offset_of(address, 1).is_some())
            .then_some(address)
    }

    /// SPARSEMEM_VMEMMAP: an array below the vmalloc area, arch/riscv/include/asm/pgtable.h. Its first element and which
    /// page that describes. The default guest has no such memory model; Debian's kernel has.
    fn vmemmap(&self, page_bytes: u64) -> Option<(u64, u64)> {
        let va_bits = match self.memory.tables?.0 >> 60 {
            8 => 39,
            9 => 48,
            10 => 57,
            _ => return None,
        };
        let page_shift = page_bytes.checked_next_power_of_two()?.ilog2();
        let page_offset = self.memory.linear?.virtual_start;
        let vmalloc_start = page_offset.checked_sub(1 << (va_bits - 3))?;
        let start = vmalloc_start.checked_sub(1 << (va_bits - 12 - 1 + page_shift).min(63))?;
        let first = self.kernel.address_of("vmemmap_start_pfn");
        Some((start, first.map_or(Some(0), |at| self.memory.u64(at.0))?))
    }
}
