//! Address translation: page-table walks, and the caches of what they found.
//!
//! The caches behave as if every access walked the tables (ARCHITECTURE.md, "Determinism"): a page that
//! a walk has read is marked, and a store to it comes back here as a disturbance. `sfence.vma` therefore has
//! nothing to do.

use super::area::{TLB_CONTEXTS, TLB_ENTRIES, TLB_TAG_NONE, TlbEntry};
use super::csr::{MENVCFG_ADUE, status};
use super::hart::Hart;
use super::platform::{MmioError, Platform};
use super::trap::{Access, Exception, Privilege, cause};
use crate::debug::{AddressSpace, CpuAccess};
use crate::device::AccessSize;
use crate::image::ImageStall;
use crate::memory::{Disturbance, GuestMemory, page_flag};
use crate::types::{GuestPhysAddr, Icount};

const PAGE: u64 = 0xfff;
const FETCH_ENTRIES: usize = 64;
/// The address-space identifier in `satp`, RISC-V Privileged 4.1.11.
const SATP_ASID: u64 = 0xffff << 44;

/// Bits of a page-table entry, RISC-V Privileged 4.4.1.
mod pte {
    pub(super) const V: u64 = 1;
    pub(super) const R: u64 = 1 << 1;
    pub(super) const W: u64 = 1 << 2;
    pub(super) const X: u64 = 1 << 3;
    pub(super) const U: u64 = 1 << 4;
    pub(super) const A: u64 = 1 << 6;
    pub(super) const D: u64 = 1 << 7;
    /// Reserved, or of extensions (Svnapot, Svpbmt) that are not there.
    pub(super) const RESERVED: u64 = 0x3ff << 54;
}

/// Why an access did not happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    /// The guest's fault.
    Trap(Exception),
    /// Bytes of an image are missing; the step is tried again.
    Stall(ImageStall),
}

impl From<Exception> for Stop {
    fn from(exception: Exception) -> Self {
        Self::Trap(exception)
    }
}

/// What is derived from a page that a walk has read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum TableUse {
    /// The last level for one 2 MiB region: a store to an entry concerns one page.
    Leaf { region: u64 },
    /// Anything else: a store may concern every translation.
    Other,
}

#[derive(Clone, Copy, Debug)]
struct TableMark {
    generation: u64,
    used_as: TableUse,
    for_fetches: bool,
}

#[derive(Clone, Copy, Debug)]
struct FetchEntry {
    page: u64,
    key: u64,
    physical: u64,
}

/// Translation caches of one hart, other than those in the arena. Never state.
pub(crate) struct Translations {
    pub(crate) mxr: bool,
    /// Counts flushes; what was derived in an earlier generation is gone.
    pub(crate) generation: u64,
    /// Generation, privilege and floating-point availability, under which fetches are cached.
    pub(crate) fetch_key: u64,
    fetches: [FetchEntry; FETCH_ENTRIES],
    marks: Vec<TableMark>,
    /// Table generation: advances only when all data translations are dropped.
    table_generation: u64,
    /// By RAM page: the table generation in which a write translation to it was last made.
    write_generations: Vec<u64>,
    populated_contexts: u8,
    epoch: u32,
    /// Address and old value of the table entry in which the last walk set A or D.
    last_update: Option<(u64, u64)>,
    /// The same of fetches, with the position of the step that they were for.
    fetch_updates: Vec<(u64, u64)>,
    fetch_updates_at: u64,
}

impl Translations {
    pub(crate) fn new(ram_pages: usize) -> Self {
        Self {
            mxr: false,
            generation: 1,
            fetch_key: 0,
            fetches: [FetchEntry {
                page: TLB_TAG_NONE,
                key: 0,
                physical: 0,
            }; FETCH_ENTRIES],
            marks: vec![
                TableMark {
                    generation: 0,
                    used_as: TableUse::Other,
                    for_fetches: false
                };
                ram_pages
            ],
            table_generation: 1,
            write_generations: vec![0; ram_pages],
            // The arena comes zeroed, which would match page zero: the first flush clears all.
            populated_contexts: 0xff,
            epoch: 0,
            last_update: None,
            fetch_updates: Vec::new(),
            fetch_updates_at: 0,
        }
    }
}

impl Translations {
    /// Forgets what walks have set, when the hart takes over another state.
    pub(crate) fn forget_updates(&mut self) {
        self.last_update = None;
        self.fetch_updates.clear();
    }
}

const EMPTY: TlbEntry = TlbEntry {
    tag: TLB_TAG_NONE,
    addend: 0,
};

const fn tlb_index(va: u64) -> usize {
    (va >> 12) as usize & (TLB_ENTRIES - 1)
}

impl Hart {
    /// Drops every cached translation.
    pub(crate) fn flush_translations(&mut self) {
        for context in 0..TLB_CONTEXTS {
            if self.translations.populated_contexts >> context & 1 != 0 {
                let tlb = &mut self.area.tlb[context];
                tlb.read.fill(EMPTY);
                tlb.write.fill(EMPTY);
            }
        }
        self.translations.populated_contexts = 0;
        self.translations.table_generation += 1;
        self.drop_fetches();
    }

    fn drop_fetches(&mut self) {
        self.translations.generation += 1;
        self.update_fetch_key();
    }

    /// Drops write translations made in an earlier epoch, so that the next store to each page is seen.
    pub(crate) fn follow_epoch(&mut self, p: &Platform) {
        if self.translations.epoch == p.memory.epoch() {
            return;
        }
        self.translations.epoch = p.memory.epoch();
        for context in 0..TLB_CONTEXTS {
            if self.translations.populated_contexts >> context & 1 != 0 {
                self.area.tlb[context].write.fill(EMPTY);
            }
        }
    }

    fn drop_page(&mut self, va: u64) {
        let index = tlb_index(va);
        for tlb in &mut self.area.tlb {
            for entry in [&mut tlb.read[index], &mut tlb.write[index]] {
                if entry.tag == va & !PAGE {
                    *entry = EMPTY;
                }
            }
        }
    }

    /// Drops what was derived from a page table that a store has changed. Returns whether the page still
    /// counts as a table.
    pub(crate) fn table_disturbed(&mut self, page: usize, disturbance: &Disturbance) -> bool {
        let mark = self.translations.marks[page];
        if mark.generation != self.translations.table_generation {
            return false;
        }
        match mark.used_as {
            TableUse::Other => {
                self.flush_translations();
                false
            }
            TableUse::Leaf { region } => {
                let first = (disturbance.address.0 & PAGE) >> 3;
                let last =
                    ((disturbance.address.0 & PAGE) + u64::from(disturbance.length) - 1) >> 3;
                for entry in first..=last {
                    self.drop_page(region | entry << 12);
                }
                if mark.for_fetches {
                    self.drop_fetches();
                }
                true
            }
        }
    }

    fn mark_table(&mut self, p: &mut Platform, table: u64, level: u32, va: u64, access: Access) {
        let Some(offset) = p.memory.offset_of(GuestPhysAddr(table), 8) else {
            return;
        };
        let page = offset >> 12;
        let used_as = if level == 0 {
            TableUse::Leaf {
                region: va & !0x1f_ffff,
            }
        } else {
            TableUse::Other
        };
        let for_fetches = access == Access::Fetch;
        let generation = self.translations.table_generation;
        let mark = &mut self.translations.marks[page];
        if mark.generation == generation {
            if mark.used_as != used_as {
                mark.used_as = TableUse::Other;
            }
            mark.for_fetches |= for_fetches;
            return;
        }
        *mark = TableMark {
            generation,
            used_as,
            for_fetches,
        };
        p.memory.set_page_flag(page, page_flag::TABLE);
        self.drop_write_translations_of(page);
    }

    /// Makes the next store to a RAM page take the slow path.
    pub(crate) fn drop_write_translations_of(&mut self, page: usize) {
        if self.translations.write_generations[page] != self.translations.table_generation {
            return;
        }
        for tlb in &mut self.area.tlb {
            for entry in &mut tlb.write {
                if entry.tag != TLB_TAG_NONE
                    && entry.tag.wrapping_add(entry.addend) >> 12 == page as u64
                {
                    *entry = EMPTY;
                }
            }
        }
    }

    /// Translates one address as the tables stand, setting A and D bits when `updates`.
    /// `fills` says that the result will be cached, so that the tables read must be marked.
    fn walk(
        &mut self,
        p: &mut Platform,
        va: u64,
        access: Access,
        updates: bool,
        fills: bool,
    ) -> Result<u64, Exception> {
        self.translations.last_update = None;
        let privilege = if access == Access::Fetch {
            self.privilege
        } else {
            self.data_privilege()
        };
        let satp = self.csr.satp;
        let mode = satp >> 60;
        if privilege == Privilege::Machine || mode == 0 {
            return Ok(va);
        }
        let levels: u32 = if mode == 8 { 3 } else { 4 };
        let unused = 64 - (12 + 9 * levels);
        if (va << unused) as i64 >> unused != va as i64 {
            return Err(access.page_fault(va));
        }
        let mut table = (satp & ((1 << 44) - 1)) << 12;
        let mut path = [0; 4];
        for level in (0..levels).rev() {
            let index = va >> (12 + 9 * level) & 0x1ff;
            let entry_address = table + index * 8;
            path[level as usize] = entry_address;
            if !self
                .csr
                .pmp
                .check(entry_address, 8, Access::Load, Privilege::Supervisor)
            {
                return Err(access.access_fault(va));
            }
            let Ok(entry) = p.memory.read_u64(GuestPhysAddr(entry_address)) else {
                return Err(access.access_fault(va));
            };
            if entry & pte::V == 0
                || entry & (pte::R | pte::W) == pte::W
                || entry & pte::RESERVED != 0
            {
                return Err(access.page_fault(va));
            }
            let frame = (entry >> 10 & ((1 << 44) - 1)) << 12;
            if entry & (pte::R | pte::X) == 0 {
                if entry & (pte::A | pte::D | pte::U) != 0 {
                    return Err(access.page_fault(va));
                }
                table = frame;
                continue;
            }
            self.check_leaf(entry, access, privilege)
                .then_some(())
                .ok_or(access.page_fault(va))?;
            let span = (1u64 << (12 + 9 * level)) - 1;
            if frame & span != 0 {
                return Err(access.page_fault(va));
            }
            let wanted = entry | pte::A | if access == Access::Store { pte::D } else { 0 };
            if wanted != entry {
                if self.csr.menvcfg & MENVCFG_ADUE == 0 {
                    return Err(access.page_fault(va));
                }
                if !self
                    .csr
                    .pmp
                    .check(entry_address, 8, Access::Store, Privilege::Supervisor)
                {
                    return Err(access.access_fault(va));
                }
                if updates {
                    // A bit that only allows more takes nothing away from what was derived.
                    p.memory
                        .set_table_entry(GuestPhysAddr(entry_address), wanted);
                    if access == Access::Fetch {
                        let at = self.area.deadline.wrapping_sub(self.area.budget as u64);
                        if self.translations.fetch_updates_at != at {
                            self.translations.fetch_updates_at = at;
                            self.translations.fetch_updates.clear();
                        }
                        self.translations.fetch_updates.push((entry_address, entry));
                    } else {
                        self.translations.last_update = Some((entry_address, entry));
                    }
                }
            }
            if fills {
                for read in level..levels {
                    self.mark_table(p, path[read as usize], read, va, access);
                }
            }
            return Ok(frame | va & span);
        }
        Err(access.page_fault(va))
    }

    /// A device access waits: a step that stalls has no effect, so its walks have none either.
    fn stalled(&mut self, p: &mut Platform, stall: ImageStall, icount: u64) -> Stop {
        if let Some((address, old)) = self.translations.last_update.take() {
            p.memory.set_table_entry(GuestPhysAddr(address), old);
        }
        self.undo_fetch(p, icount);
        Stop::Stall(stall)
    }

    /// Takes back the A bits that the fetch of the step at `icount` has set, since that step is not made now.
    pub(crate) fn undo_fetch(&mut self, p: &mut Platform, icount: u64) {
        if self.translations.fetch_updates_at == icount
            && !self.translations.fetch_updates.is_empty()
        {
            while let Some((address, old)) = self.translations.fetch_updates.pop() {
                p.memory.set_table_entry(GuestPhysAddr(address), old);
            }
            // The fetch that is tried again has to set the bit again.
            self.drop_fetches();
        }
    }

    /// The address space of the data accesses or, with the hart's own privilege, of fetches.
    fn address_space_of(&self, privilege: Privilege) -> AddressSpace {
        if privilege == Privilege::Machine {
            return AddressSpace::default();
        }
        AddressSpace(self.csr.satp & !SATP_ASID)
    }

    /// The address space in which instructions are fetched.
    pub(crate) fn address_space(&self) -> AddressSpace {
        self.address_space_of(self.privilege)
    }

    /// Tells a debugger of an access that was made.
    fn note_access(
        &self,
        p: &mut Platform,
        virtual_address: u64,
        physical_address: u64,
        byte_len: u64,
        is_write: bool,
    ) {
        if let Some(debugger) = &mut p.debugger {
            debugger.note_access(CpuAccess {
                space: self.address_space_of(self.data_privilege()),
                virtual_address,
                physical_address,
                byte_len,
                is_write,
            });
        }
    }

    fn check_leaf(&self, entry: u64, access: Access, privilege: Privilege) -> bool {
        let allowed = match access {
            Access::Fetch => entry & pte::X != 0,
            Access::Store => entry & pte::W != 0,
            Access::Load => {
                entry & pte::R != 0 || (self.csr.mstatus & status::MXR != 0 && entry & pte::X != 0)
            }
        };
        let is_user_page = entry & pte::U != 0;
        let mode_fits = match privilege {
            Privilege::User => is_user_page,
            _ => !is_user_page || (access != Access::Fetch && self.csr.mstatus & status::SUM != 0),
        };
        allowed && mode_fits
    }

    /// Translates and checks an access that stays within a page.
    fn translate(
        &mut self,
        p: &mut Platform,
        va: u64,
        length: u64,
        access: Access,
        fills: bool,
    ) -> Result<u64, Exception> {
        let address = self.walk(p, va, access, true, fills)?;
        self.check_physical(address, length, access)
            .then_some(address)
            .ok_or(access.access_fault(va))
    }

    fn check_physical(&self, address: u64, length: u64, access: Access) -> bool {
        let privilege = if access == Access::Fetch {
            self.privilege
        } else {
            self.data_privilege()
        };
        self.csr.pmp.check(address, length, access, privilege)
    }

    /// Translates a fetch; the result is the physical address, which is RAM.
    pub(crate) fn translate_fetch<const REFERENCE: bool>(
        &mut self,
        p: &mut Platform,
        va: u64,
    ) -> Result<u64, Exception> {
        let index = (va >> 12) as usize & (FETCH_ENTRIES - 1);
        if !REFERENCE {
            let entry = self.translations.fetches[index];
            if entry.page == va & !PAGE && entry.key == self.translations.fetch_key {
                return Ok(entry.physical | va & PAGE);
            }
        }
        let physical = self.translate(p, va, 2, Access::Fetch, !REFERENCE)?;
        if !p.is_ram(physical & !PAGE, PAGE + 1) {
            return Err(Access::Fetch.access_fault(va));
        }
        if !REFERENCE && self.csr.pmp.is_uniform(physical & !PAGE) {
            self.translations.fetches[index] = FetchEntry {
                page: va & !PAGE,
                key: self.translations.fetch_key,
                physical: physical & !PAGE,
            };
        }
        Ok(physical)
    }

    /// Whether code of a page may be cached by its physical address alone.
    pub(crate) fn fetch_is_cacheable(&self, physical: u64) -> bool {
        self.csr.pmp.is_uniform(physical & !PAGE)
    }

    fn fill(&mut self, p: &mut Platform, va: u64, physical: u64, for_write: bool) {
        let page_address = physical & !PAGE;
        let Some(offset) = p.memory.offset_of(GuestPhysAddr(page_address), PAGE + 1) else {
            return;
        };
        if !self.csr.pmp.is_uniform(page_address) {
            return;
        }
        let page = offset >> 12;
        if let Some(debugger) = &p.debugger
            && (debugger.watches_page(va, for_write)
                || (!for_write && p.memory.page_flags(page) & page_flag::DEBUG_READ != 0))
        {
            return;
        }
        let context = self.area.context as usize;
        let entry = TlbEntry {
            tag: va & !PAGE,
            addend: (offset as u64).wrapping_sub(va & !PAGE),
        };
        if for_write {
            if !p.memory.open_for_fast_stores(page) {
                return;
            }
            self.translations.write_generations[page] = self.translations.table_generation;
            self.area.tlb[context].write[tlb_index(va)] = entry;
        } else {
            self.area.tlb[context].read[tlb_index(va)] = entry;
        }
        self.translations.populated_contexts |= 1 << context;
    }

    /// Loads `length` bytes (1, 2, 4 or 8), zero-extended, when no cached translation fits.
    /// The flag says that the run must look up: a device answered, or the walk has set an A bit in a page
    /// from which something was derived, such as code.
    #[cold]
    #[inline(never)]
    pub(crate) fn load_slow<const REFERENCE: bool>(
        &mut self,
        p: &mut Platform,
        va: u64,
        length: u64,
        icount: u64,
    ) -> Result<(u64, bool), Stop> {
        let mut bytes = [0; 8];
        let first = length.min(PAGE + 1 - (va & PAGE));
        if first < length {
            let second = va.wrapping_add(first);
            let low = self.translate(p, va, first, Access::Load, false)?;
            let high = self.translate(p, second, length - first, Access::Load, false)?;
            let (head, tail) = bytes[..length as usize].split_at_mut(first as usize);
            p.memory
                .read(GuestPhysAddr(low), head)
                .map_err(|_| Access::Load.access_fault(va))?;
            p.memory
                .read(GuestPhysAddr(high), tail)
                .map_err(|_| Access::Load.access_fault(second))?;
            self.note_access(p, va, low, first, false);
            self.note_access(p, second, high, length - first, false);
            return Ok((u64::from_le_bytes(bytes), p.must_look_up()));
        }
        let address = self.translate(p, va, length, Access::Load, !REFERENCE)?;
        if p.memory
            .read(GuestPhysAddr(address), &mut bytes[..length as usize])
            .is_ok()
        {
            if !REFERENCE {
                self.fill(p, va, address, false);
            }
            self.note_access(p, va, address, length, false);
            return Ok((u64::from_le_bytes(bytes), p.must_look_up()));
        }
        let size = device_access(address, length).ok_or(Access::Load.access_fault(va))?;
        match p.read(Icount(icount), address, size) {
            Ok(value) => {
                self.note_access(p, va, address, length, false);
                Ok((value & (u64::MAX >> (64 - length * 8)), true))
            }
            Err(MmioError::Nothing) => Err(Access::Load.access_fault(va).into()),
            Err(MmioError::Stall(stall)) => Err(self.stalled(p, stall, icount)),
        }
    }

    /// Stores the low `length` bytes of `value` when no cached translation fits. The flag says that
    /// the store may have an effect on what is executed or pending.
    #[cold]
    #[inline(never)]
    pub(crate) fn store_slow<const REFERENCE: bool>(
        &mut self,
        p: &mut Platform,
        va: u64,
        length: u64,
        value: u64,
        icount: u64,
    ) -> Result<bool, Stop> {
        let bytes = value.to_le_bytes();
        let bytes = &bytes[..length as usize];
        let first = length.min(PAGE + 1 - (va & PAGE));
        if first < length {
            // Both halves are checked before either has an effect, D bits included.
            let second = va.wrapping_add(first);
            for (va, length) in [(va, first), (second, length - first)] {
                let address = self.walk(p, va, Access::Store, false, false)?;
                if !self.check_physical(address, length, Access::Store)
                    || !p.is_ram(address, length)
                {
                    return Err(Access::Store.access_fault(va).into());
                }
            }
            let low = self.walk(p, va, Access::Store, true, false)?;
            let high = self.walk(p, second, Access::Store, true, false)?;
            let (head, tail) = bytes.split_at(first as usize);
            let low_written = p.memory.write_by_cpu(GuestPhysAddr(low), head);
            let high_written = p.memory.write_by_cpu(GuestPhysAddr(high), tail);
            assert!(
                low_written.is_ok() && high_written.is_ok(),
                "both halves were found to be RAM"
            );
            self.note_access(p, va, low, first, true);
            self.note_access(p, second, high, length - first, true);
            return Ok(p.must_look_up());
        }
        let address = self.translate(p, va, length, Access::Store, !REFERENCE)?;
        if p.memory.write_by_cpu(GuestPhysAddr(address), bytes).is_ok() {
            if !REFERENCE {
                self.fill(p, va, address, true);
            }
            self.note_access(p, va, address, length, true);
            return Ok(p.must_look_up());
        }
        let size = device_access(address, length).ok_or(Access::Store.access_fault(va))?;
        let mask = u64::MAX >> (64 - length * 8);
        match p.write(Icount(icount), address, size, value & mask) {
            Ok(()) => {
                self.note_access(p, va, address, length, true);
                Ok(true)
            }
            Err(MmioError::Nothing) => Err(Access::Store.access_fault(va).into()),
            Err(MmioError::Stall(stall)) => Err(self.stalled(p, stall, icount)),
        }
    }

    /// Physical address of an aligned atomic access, which must be RAM.
    fn translate_atomic<const REFERENCE: bool>(
        &mut self,
        p: &mut Platform,
        va: u64,
        length: u64,
        access: Access,
    ) -> Result<u64, Exception> {
        if va & (length - 1) != 0 {
            let code = if access == Access::Load {
                cause::LOAD_MISALIGNED
            } else {
                cause::STORE_MISALIGNED
            };
            return Err(Exception::new(code, va));
        }
        let address = self.translate(p, va, length, access, !REFERENCE)?;
        p.is_ram(address, length)
            .then_some(address)
            .ok_or(access.access_fault(va))
    }

    /// LR: loads and reserves the 64-byte set. The flag is as for [`Hart::load_slow`].
    pub(crate) fn load_reserved<const REFERENCE: bool>(
        &mut self,
        p: &mut Platform,
        va: u64,
        length: u64,
    ) -> Result<(u64, bool), Exception> {
        let address = self.translate_atomic::<REFERENCE>(p, va, length, Access::Load)?;
        p.memory.set_reservation(self.id, Some(address & !63));
        let value = read_ram(p, address, length).ok_or(Access::Load.access_fault(va))?;
        self.note_access(p, va, address, length, false);
        Ok((value, p.must_look_up()))
    }

    /// SC: the first value says whether it stored, the second whether the run must look up.
    pub(crate) fn store_conditional<const REFERENCE: bool>(
        &mut self,
        p: &mut Platform,
        va: u64,
        length: u64,
        value: u64,
    ) -> Result<(bool, bool), Exception> {
        if va & (length - 1) != 0 {
            return Err(Exception::new(cause::STORE_MISALIGNED, va));
        }
        // An SC that fails stores nothing, so it must not set the D bit.
        let address = self.walk(p, va, Access::Store, false, false)?;
        let holds = p.memory.reservation(self.id) == Some(address & !63);
        if holds {
            self.translate_atomic::<REFERENCE>(p, va, length, Access::Store)?;
        } else if !self.check_physical(address, length, Access::Store) || !p.is_ram(address, length)
        {
            return Err(Access::Store.access_fault(va));
        }
        p.memory.set_reservation(self.id, None);
        if holds {
            let stored = p.memory.write_by_cpu(
                GuestPhysAddr(address),
                &value.to_le_bytes()[..length as usize],
            );
            assert!(stored.is_ok(), "an atomic address was found to be RAM");
            self.note_access(p, va, address, length, true);
        }
        Ok((holds, p.must_look_up()))
    }

    /// AMO: returns the old value, and whether the run must look up.
    pub(crate) fn atomic<const REFERENCE: bool>(
        &mut self,
        p: &mut Platform,
        va: u64,
        length: u64,
        operation: impl FnOnce(u64) -> u64,
    ) -> Result<(u64, bool), Exception> {
        let tag = va & (!PAGE | (length - 1));
        let entry = self.area.tlb[self.area.context as usize].write[tlb_index(va)];
        if !REFERENCE && entry.tag == tag {
            let offset = va.wrapping_add(entry.addend) as usize;
            let ram = p.memory.ram_mut();
            if length == 4 {
                let old = u64::from(u32::from_le_bytes(ram.load(offset)));
                ram.store(offset, (operation(old) as u32).to_le_bytes());
                return Ok((old, false));
            }
            let old = u64::from_le_bytes(ram.load(offset));
            ram.store(offset, operation(old).to_le_bytes());
            return Ok((old, false));
        }
        let address = self.translate_atomic::<REFERENCE>(p, va, length, Access::Store)?;
        let old = read_ram(p, address, length).ok_or(Access::Store.access_fault(va))?;
        let new = operation(old).to_le_bytes();
        let stored = p
            .memory
            .write_by_cpu(GuestPhysAddr(address), &new[..length as usize]);
        assert!(stored.is_ok(), "an atomic address was found to be RAM");
        if !REFERENCE {
            self.fill(p, va, address, true);
        }
        self.note_access(p, va, address, length, false);
        self.note_access(p, va, address, length, true);
        Ok((old, p.must_look_up()))
    }
}

/// Where a virtual address leads as the tables stand under a `satp`, whatever their permissions; sets no bit.
pub(crate) fn look_up(memory: &GuestMemory, satp: u64, va: u64) -> Option<u64> {
    let levels: u32 = match satp >> 60 {
        0 => return Some(va),
        8 => 3,
        9 => 4,
        _ => return None,
    };
    let unused = 64 - (12 + 9 * levels);
    if (va << unused) as i64 >> unused != va as i64 {
        return None;
    }
    let mut table = (satp & ((1 << 44) - 1)) << 12;
    for level in (0..levels).rev() {
        let index = va >> (12 + 9 * level) & 0x1ff;
        let entry = memory.read_u64(GuestPhysAddr(table + index * 8)).ok()?;
        if entry & pte::V == 0 || entry & (pte::R | pte::W) == pte::W {
            return None;
        }
        let frame = (entry >> 10 & ((1 << 44) - 1)) << 12;
        if entry & (pte::R | pte::X) != 0 {
            let span = (1u64 << (12 + 9 * level)) - 1;
            return (frame & span == 0).then_some(frame | va & span);
        }
        table = frame;
    }
    None
}

fn read_ram(p: &Platform, address: u64, length: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    p.memory
        .read(GuestPhysAddr(address), &mut bytes[..length as usize])
        .ok()?;
    Some(u64::from_le_bytes(bytes))
}

/// The width of a device access, which must be aligned.
fn device_access(address: u64, length: u64) -> Option<AccessSize> {
    let size = match length {
        1 => AccessSize::Byte,
        2 => AccessSize::Half,
        4 => AccessSize::Word,
        _ => AccessSize::Double,
    };
    address.is_multiple_of(length).then_some(size)
}
