//! Decoded code: blocks of micro-operations, found by physical address, linked to each other.
//!
//! A block stays within a page and is pc-relative, so one decoding serves every mapping of the page. It
//! goes on past conditional branches that are not taken. Never state: dropping any block at any time
//! changes nothing.

use super::area::TLB_TAG_NONE;
use super::csr::status;
use super::hart::Hart;
use super::isa::decode;
use super::platform::Platform;
use super::trap::{Access, Exception};
use super::uop::{Code, Uop};
use crate::memory::{Disturbance, page_flag};
use crate::types::{GuestPhysAddr, PAGE_BYTES};
use std::cell::Cell;

/// Number of a block; 0 is none.
pub(crate) type BlockId = u32;

/// Longest block in micro-operations. A block that does not fit into the budget is stepped, so
/// longer ones cost more near a deadline.
const BLOCK_OPS_MAX: usize = 48;
/// Micro-operations after which everything is decoded anew: 24 MB of them.
const CACHE_OPS_MAX: usize = 2 << 20;
/// Tables of block starts after which everything is decoded anew: 64 MB of them.
const START_TABLES_MAX: usize = 8192;
const JUMP_ENTRIES: usize = 8192;
const STARTS_PER_PAGE: usize = PAGE_BYTES as usize / 2;
const GRANULE_BYTES: u32 = 64;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    /// Index of the first micro-operation.
    pub(crate) start: u32,
    /// How many there are; 0 for a block that is no more.
    pub(crate) count: u16,
    /// Bytes of code.
    pub(crate) byte_len: u16,
    offset: u16,
    variant: u8,
}

#[derive(Clone, Copy, Debug)]
struct Jump {
    va: u64,
    key: u64,
    block: BlockId,
}

const NO_JUMP: Jump = Jump {
    va: TLB_TAG_NONE,
    key: 0,
    block: 0,
};

/// Blocks that begin in one page of RAM, by half-word offset, with and without floating point.
#[derive(Default, Debug)]
struct PageCode {
    starts: [Option<Box<[BlockId; STARTS_PER_PAGE]>>; 2],
    blocks: Vec<BlockId>,
    /// One bit for each 64 bytes that some block was decoded from.
    granules: u64,
}

/// All decoded code of one hart.
pub(crate) struct BlockCache {
    pub(crate) ops: Vec<Uop>,
    /// For each micro-operation the block to which it leads, when that is in the same page; the slot after a
    /// block's last one is for falling through.
    pub(crate) links: Vec<Cell<BlockId>>,
    pub(crate) blocks: Vec<Block>,
    jumps: Vec<Cell<Jump>>,
    pages: Vec<Option<Box<PageCode>>>,
    start_table_count: usize,
}

const NO_BLOCK: Block = Block {
    start: 0,
    count: 0,
    byte_len: 0,
    offset: 0,
    variant: 0,
};

impl BlockCache {
    pub(crate) fn new(ram_pages: usize) -> Self {
        let mut pages = Vec::new();
        pages.resize_with(ram_pages, || None);
        Self {
            ops: Vec::new(),
            links: Vec::new(),
            blocks: vec![NO_BLOCK],
            jumps: vec![Cell::new(NO_JUMP); JUMP_ENTRIES],
            pages,
            start_table_count: 0,
        }
    }

    /// A cache that holds just one operation, for stepping.
    pub(crate) fn scratch() -> Self {
        Self {
            jumps: Vec::new(),
            ..Self::new(0)
        }
    }

    /// Makes the scratch block of one operation; returns its number.
    pub(crate) fn set_scratch(&mut self, op: Uop) -> BlockId {
        self.ops.clear();
        self.ops.push(op);
        self.links.clear();
        self.links.resize(2, Cell::new(0));
        self.blocks.truncate(1);
        self.blocks.push(Block {
            count: 1,
            byte_len: op.len.into(),
            ..NO_BLOCK
        });
        1
    }

    /// Forgets everything; the caller clears the pages' code flags.
    fn clear(&mut self, p: &mut Platform) {
        self.ops.clear();
        self.links.clear();
        self.blocks.truncate(1);
        self.start_table_count = 0;
        self.jumps.fill(Cell::new(NO_JUMP));
        for (number, page) in self.pages.iter_mut().enumerate() {
            if page.take().is_some() {
                p.memory.clear_page_flag(number, page_flag::CODE);
            }
        }
    }

    /// Drops every block.
    pub(crate) fn drop_all(&mut self, p: &mut Platform) {
        self.clear(p);
    }

    #[inline(always)]
    fn jump_slot(&self, va: u64) -> &Cell<Jump> {
        &self.jumps[(va >> 1) as usize & (JUMP_ENTRIES - 1)]
    }

    /// The block at a virtual address, if it was found there before under this fetch key.
    #[inline(always)]
    pub(crate) fn jump(&self, va: u64, key: u64) -> Option<BlockId> {
        let jump = self.jump_slot(va).get();
        (jump.va == va && jump.key == key && self.blocks[jump.block as usize].count != 0)
            .then_some(jump.block)
    }

    pub(crate) fn remember_jump(&self, va: u64, key: u64, block: BlockId) {
        self.jump_slot(va).set(Jump { va, key, block });
    }

    /// The block decoded at a physical address, given as page number and offset.
    pub(crate) fn find(&self, page: usize, offset: usize, variant: usize) -> Option<BlockId> {
        let starts = self.pages[page].as_ref()?.starts[variant].as_ref()?;
        let block = starts[offset / 2];
        (block != 0).then_some(block)
    }

    /// Drops the blocks that a store to code concerns. Returns whether the page still holds code.
    pub(crate) fn code_disturbed(&mut self, page: usize, disturbance: &Disturbance) -> bool {
        let Some(code) = &mut self.pages[page] else {
            return false;
        };
        let from = (disturbance.address.0 % PAGE_BYTES) as u32;
        let to = from + disturbance.length - 1;
        let touched = (from / GRANULE_BYTES..=to / GRANULE_BYTES)
            .fold(0u64, |bits, granule| bits | 1 << granule);
        if code.granules & touched == 0 {
            return true;
        }
        let mut granules = 0;
        code.blocks.retain(|id| {
            let block = &mut self.blocks[*id as usize];
            let bits = granules_of(block.offset, block.byte_len);
            if bits & touched == 0 {
                granules |= bits;
                return true;
            }
            block.count = 0;
            if let Some(starts) = &mut code.starts[usize::from(block.variant)] {
                starts[usize::from(block.offset) / 2] = 0;
            }
            false
        });
        code.granules = granules;
        if granules == 0 {
            self.pages[page] = None;
        }
        granules != 0
    }

    /// Decodes a block at a physical address. `None` when its first instruction goes beyond the page.
    pub(crate) fn decode(
        &mut self,
        hart: &mut Hart,
        p: &mut Platform,
        physical: u64,
    ) -> Option<BlockId> {
        if self.ops.len() > CACHE_OPS_MAX || self.start_table_count > START_TABLES_MAX {
            self.clear(p);
        }
        let page_address = GuestPhysAddr(physical & !(PAGE_BYTES - 1));
        let first = (physical % PAGE_BYTES) as usize;
        let floating_point = hart.csr.mstatus & status::FS != 0;
        let bytes = p.memory.slice(page_address, PAGE_BYTES).ok()?;
        let is_probed = |offset: usize| {
            (p.debugger.as_ref()).is_some_and(|debugger| debugger.is_probed(offset))
        };
        let start = self.ops.len();
        let mut at = first;
        while self.ops.len() - start < BLOCK_OPS_MAX {
            let Some(low) = bytes.get(at..at + 2) else {
                break;
            };
            let mut word = u32::from(u16::from_le_bytes([low[0], low[1]]));
            if word & 3 == 3 {
                let Some(high) = bytes.get(at + 2..at + 4) else {
                    break;
                };
                word |= u32::from(u16::from_le_bytes([high[0], high[1]])) << 16;
            }
            let mut op = uop_of(word, (at - first) as u16, floating_point);
            if is_probed(at) {
                // A probe is a block of its own, so that nothing before it is held up by it.
                if at != first {
                    break;
                }
                op.code = Code::Probe;
            }
            at += usize::from(op.len);
            self.ops.push(op);
            if op.code.ends_block() {
                break;
            }
        }
        let count = self.ops.len() - start;
        if count == 0 {
            return None;
        }
        // One slot more than operations: the link for falling through.
        self.ops.push(Uop::ILLEGAL);
        self.links.resize(self.ops.len(), Cell::new(0));
        let page = p.memory.offset_of(page_address, PAGE_BYTES)? / PAGE_BYTES as usize;
        let variant = usize::from(floating_point);
        let id = self.blocks.len() as BlockId;
        let block = Block {
            start: start as u32,
            count: count as u16,
            byte_len: (at - first) as u16,
            offset: first as u16,
            variant: variant as u8,
        };
        self.blocks.push(block);
        let code = self.pages[page].get_or_insert_default();
        let starts = code.starts[variant].get_or_insert_with(|| {
            // Tables of pages that hold no code any more still count until everything is cleared.
            self.start_table_count += 1;
            Box::new([0; STARTS_PER_PAGE])
        });
        starts[first / 2] = id;
        code.blocks.push(id);
        code.granules |= granules_of(block.offset, block.byte_len);
        if p.memory.page_flags(page) & page_flag::CODE == 0 {
            p.memory.set_page_flag(page, page_flag::CODE);
            hart.drop_write_translations_of(page);
        }
        Some(id)
    }
}

fn granules_of(offset: u16, byte_len: u16) -> u64 {
    let first = u32::from(offset) / GRANULE_BYTES;
    let last = (u32::from(offset) + u32::from(byte_len.max(1)) - 1) / GRANULE_BYTES;
    (u64::MAX >> (63 - (last - first))) << first
}

fn uop_of(word: u32, offset: u16, floating_point: bool) -> Uop {
    let inst = decode(word);
    let raw = if word & 3 == 3 { word } else { word & 0xffff };
    Uop::new(inst.as_ref(), raw, offset, floating_point)
}

/// Fetches the one instruction at `va` and decodes it.
pub(crate) fn fetch_one<const REFERENCE: bool>(
    hart: &mut Hart,
    p: &mut Platform,
    va: u64,
) -> Result<Uop, Exception> {
    let parcel = |hart: &mut Hart, p: &mut Platform, va: u64| {
        let physical = hart.translate_fetch::<REFERENCE>(p, va)?;
        p.memory
            .read_u16(GuestPhysAddr(physical))
            .map(u32::from)
            .map_err(|_| Access::Fetch.access_fault(va))
    };
    let mut word = parcel(hart, p, va)?;
    if word & 3 == 3 {
        word |= parcel(hart, p, va.wrapping_add(2))? << 16;
    }
    Ok(uop_of(word, 0, hart.csr.mstatus & status::FS != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn granules_cover_the_bytes_of_a_block() {
        assert_eq!(granules_of(0, 2), 1);
        assert_eq!(granules_of(62, 4), 3);
        assert_eq!(granules_of(4032, 64), 1 << 63);
        assert_eq!(granules_of(0, 4096), u64::MAX);
    }

    #[test]
    fn codes_that_end_a_block() {
        assert!(Code::Illegal.ends_block());
        assert!(!Code::Addi.ends_block());
    }
}
