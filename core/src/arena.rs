//! One arena holds what the hot paths touch: each CPU's registers, budget and translations, then
//! guest RAM, in a layout that generated code can share.
//!
//! This is the only module of the crate that may use `unsafe`. It hands out the arena as disjoint
//! parts, each with one owner: a `CpuCell` a CPU and the `Ram`.
#![allow(unsafe_code)]

use crate::riscv::area::CpuArea;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

/// Alignment of the arena and of RAM within it: one WebAssembly page.
pub const ARENA_ALIGNMENT: usize = 64 * 1024;

enum Owner {
    Allocation { start: NonNull<u8>, layout: Layout },
    Lent { _keep_alive: Box<dyn Send + Sync> },
}

struct Block {
    base: NonNull<u8>,
    byte_len: usize,
    owner: Owner,
}

// SAFETY: the block is plain bytes; the parts that give access to it never overlap, and each part
// is reached through one owner only.
unsafe impl Send for Block {}
// SAFETY: as above; `Block` itself offers no access to the bytes.
unsafe impl Sync for Block {}

impl Drop for Block {
    fn drop(&mut self) {
        if let Owner::Allocation { start, layout } = self.owner {
            // SAFETY: `start` came from `alloc_zeroed` with this layout and is freed once, here.
            unsafe { dealloc(start.as_ptr(), layout) }
        }
    }
}

/// The memory that a machine lives in, supplied by its host.
pub struct Arena {
    block: Arc<Block>,
}

impl Arena {
    /// Bytes that a machine of this shape needs.
    #[must_use]
    pub fn byte_len_for(cpu_count: u32, ram_bytes: usize) -> usize {
        Self::ram_offset(cpu_count) + ram_bytes
    }

    /// Offset of RAM from the arena's base.
    #[must_use]
    pub fn ram_offset(cpu_count: u32) -> usize {
        (size_of::<CpuArea>() * cpu_count as usize).next_multiple_of(ARENA_ALIGNMENT)
    }

    /// A zeroed arena on the heap for a machine of this shape. The host's kernel hands out
    /// its pages only as they are touched.
    #[must_use]
    pub fn allocate(cpu_count: u32, ram_bytes: usize) -> Self {
        let byte_len = Self::byte_len_for(cpu_count, ram_bytes);
        // An allocation of a large alignment would be zeroed by hand, and every page of it touched; one of
        // the usual alignment comes from the kernel as it is. So the alignment is found within it.
        let Ok(layout) = Layout::from_size_align(byte_len + ARENA_ALIGNMENT, 16) else {
            panic!("an arena of {byte_len} bytes is beyond the address space");
        };
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else {
            handle_alloc_error(layout)
        };
        let offset = start.as_ptr().align_offset(ARENA_ALIGNMENT);
        // SAFETY: the offset is less than the alignment, by which the allocation is longer.
        let base = unsafe { start.add(offset) };
        Self {
            block: Arc::new(Block {
                base,
                byte_len,
                owner: Owner::Allocation { start, layout },
            }),
        }
    }

    /// An arena in memory that somebody else owns, such as an engine's linear memory.
    ///
    /// # Safety
    /// `base` points to `byte_len` zeroed bytes, aligned to [`ARENA_ALIGNMENT`], which nothing else
    /// accesses while the machine runs, and which stay valid while `keep_alive` lives.
    #[must_use]
    pub unsafe fn from_raw_parts(
        base: NonNull<u8>,
        byte_len: usize,
        keep_alive: Box<dyn Send + Sync>,
    ) -> Self {
        Self {
            block: Arc::new(Block {
                base,
                byte_len,
                owner: Owner::Lent {
                    _keep_alive: keep_alive,
                },
            }),
        }
    }

    /// Size in bytes.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.block.byte_len
    }

    /// Splits the arena into its parts.
    ///
    /// # Panics
    /// When the arena is smaller than [`Arena::byte_len_for`] says.
    pub(crate) fn split(self, cpu_count: u32, ram_bytes: usize) -> (Vec<CpuCell>, Ram) {
        assert!(
            self.block.byte_len >= Self::byte_len_for(cpu_count, ram_bytes),
            "the arena is too small"
        );
        assert!(
            self.block
                .base
                .as_ptr()
                .addr()
                .is_multiple_of(ARENA_ALIGNMENT),
            "the arena is not aligned"
        );
        let cells = (0..cpu_count as usize)
            .map(|cpu| {
                // SAFETY: within the block, by the assertion above; aligned, since the base is
                // and the size of a type is a multiple of its alignment. All-zero bytes are a
                // valid `CpuArea`: it holds only integers.
                let area = unsafe { self.block.base.add(cpu * size_of::<CpuArea>()) }.cast();
                CpuCell {
                    area,
                    _block: Arc::clone(&self.block),
                }
            })
            .collect();
        // SAFETY: within the block, by the assertion above.
        let base = unsafe { self.block.base.add(Self::ram_offset(cpu_count)) };
        (
            cells,
            Ram {
                base,
                byte_len: ram_bytes,
                _block: self.block,
            },
        )
    }
}

/// A CPU's part of the arena.
pub(crate) struct CpuCell {
    area: NonNull<CpuArea>,
    _block: Arc<Block>,
}

// SAFETY: a cell is the only way to its area, which is plain data.
unsafe impl Send for CpuCell {}

impl Deref for CpuCell {
    type Target = CpuArea;

    #[inline(always)]
    fn deref(&self) -> &CpuArea {
        // SAFETY: the area is valid, initialised and reached only through this cell.
        unsafe { self.area.as_ref() }
    }
}

impl DerefMut for CpuCell {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut CpuArea {
        // SAFETY: as in `deref`, and the cell is borrowed mutably.
        unsafe { self.area.as_mut() }
    }
}

/// Guest RAM's part of the arena.
pub(crate) struct Ram {
    base: NonNull<u8>,
    byte_len: usize,
    _block: Arc<Block>,
}

// SAFETY: this is the only way to RAM's bytes, which are plain data.
unsafe impl Send for Ram {}

impl Ram {
    pub(crate) fn len(&self) -> usize {
        self.byte_len
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the part is valid, initialised and reached only through `self`.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.byte_len) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), self.byte_len) }
    }

    /// Loads `N` bytes at an offset that a translation entry vouches for.
    #[inline(always)]
    pub(crate) fn load<const N: usize>(&self, offset: usize) -> [u8; N] {
        debug_assert!(offset + N <= self.byte_len);
        // SAFETY: translation entries are made only for whole pages of RAM, and their tags match
        // only accesses that stay within the page.
        unsafe { self.base.add(offset).cast::<[u8; N]>().read() }
    }

    /// Stores `N` bytes at an offset that a translation entry vouches for.
    #[inline(always)]
    pub(crate) fn store<const N: usize>(&mut self, offset: usize, bytes: [u8; N]) {
        debug_assert!(offset + N <= self.byte_len);
        // SAFETY: as in `load`.
        unsafe { self.base.add(offset).cast::<[u8; N]>().write(bytes) }
    }
}
