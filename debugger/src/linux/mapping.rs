//! What a process has mapped.

use super::layout::Types;
use super::maple::MapleWalk;
use super::path::{NAMES_BYTES_MAX, PathPlace};
use super::task::Task;
use super::view::LinuxView;
use reprise_core::types::{GuestVirtAddr, PAGE_BYTES};
use std::ops::ControlFlow;

/// What is returned of one process at most.
const MAPPINGS_MAX: usize = 1 << 16;
const LABEL_BYTES_MAX: usize = 256;

/// `VM_READ` and the others, include/linux/mm.h.
mod vm_flag {
    pub(super) const READ: u64 = 1;
    pub(super) const WRITE: u64 = 2;
    pub(super) const EXEC: u64 = 4;
    pub(super) const MAYSHARE: u64 = 0x80;
}

/// A range of a process' address space, as `/proc/PID/maps` shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// First address.
    pub start: GuestVirtAddr,
    /// First address behind it.
    pub end: GuestVirtAddr,
    /// Whether it may be read.
    pub is_readable: bool,
    /// Whether it may be written to.
    pub is_writable: bool,
    /// Whether it may be executed.
    pub is_executable: bool,
    /// Whether others see what is written to it.
    pub is_shared: bool,
    /// The file of which it is a part.
    pub file: Option<MappedFile>,
    /// What it is, if it is no file's: `[heap]`, `[stack]`, `[vdso]`.
    pub label: Option<String>,
}

/// The file behind a mapping.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MappedFile {
    /// Its path as the process sees it; one that was removed ends with ` (deleted)`.
    pub path: Vec<u8>,
    /// Which byte of the file lies at the mapping's first address.
    pub offset: u64,
    /// The file's number in its file system.
    pub inode: u64,
    /// The file system, as `dev_t` in the kernel: the major number from bit 20 on.
    pub device: u32,
}

/// A `vm_area_struct`, read.
#[derive(Clone, Copy)]
pub(super) struct Vma {
    pub(super) start: u64,
    pub(super) end: u64,
    flags: u64,
    /// In pages.
    pub(super) page_offset: u64,
    pub(super) file: Option<u64>,
    pub(super) operations: Option<u64>,
    private_data: Option<u64>,
    anon_name: Option<u64>,
}

impl Vma {
    /// Which byte of the file, or of what else is behind it, lies at an address.
    pub(super) fn offset_of(&self, address: u64) -> u64 {
        (self.page_offset.wrapping_mul(PAGE_BYTES)).wrapping_add(address.wrapping_sub(self.start))
    }
}

impl LinuxView<'_> {
    /// The mappings of a process in ascending order; none of a kernel thread.
    #[must_use]
    pub fn mappings(&self, task: &Task) -> Vec<Mapping> {
        let Some((types, mm)) = self.types().zip(self.mm(task.address)) else {
            return Vec::new();
        };
        let root = self.root_of(task.address);
        let (mut mappings, mut name_bytes) = (Vec::<Mapping>::new(), 0);
        self.visit_vmas(mm, 0, &mut |vma| {
            // In the middle of a change two may overlap; the first is then as good as the other.
            if (mappings.last()).is_none_or(|last| last.end.0 <= vma.start) {
                let mapping = self.mapping(types, mm, &vma, root);
                name_bytes += mapping.file.as_ref().map_or(0, |file| file.path.len());
                mappings.push(mapping);
            }
            if mappings.len() < MAPPINGS_MAX && name_bytes < NAMES_BYTES_MAX {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        mappings
    }

    fn visit_vmas(&self, mm: u64, from: u64, visit: &mut dyn FnMut(Vma) -> ControlFlow<()>) {
        let Some(types) = self.types() else { return };
        let Some(root) = self.pointer(mm, types.mm.maple_root) else {
            return;
        };
        MapleWalk::run(
            self,
            root,
            from,
            &mut |entry| match self.vma(types, entry) {
                Some(vma) => visit(vma),
                None => ControlFlow::Continue(()),
            },
        );
    }

    /// The mapping in which an address lies.
    pub(super) fn find_vma(&self, mm: u64, address: u64) -> Option<Vma> {
        let mut found = None;
        self.visit_vmas(mm, address, &mut |vma| {
            found = (vma.start..vma.end).contains(&address).then_some(vma);
            ControlFlow::Break(())
        });
        found
    }

    fn vma(&self, types: &Types, at: u64) -> Option<Vma> {
        let layout = &types.vma;
        let vma = Vma {
            start: self.field(at, layout.start)?,
            end: self.field(at, layout.end)?,
            flags: self.field(at, layout.flags)?,
            page_offset: self.field(at, layout.page_offset)?,
            file: self.pointer(at, layout.file),
            operations: self.pointer(at, layout.operations),
            private_data: self.pointer(at, layout.private_data),
            anon_name: layout.anon_name.and_then(|name| self.pointer(at, name)),
        };
        (vma.start < vma.end).then_some(vma)
    }

    fn mapping(&self, types: &Types, mm: u64, vma: &Vma, root: Option<PathPlace>) -> Mapping {
        let file = vma.file.and_then(|file| {
            let place = self.user_path(file)?;
            let inode = self.pointer(place.dentry, types.dentry.inode)?;
            let super_block = self.pointer(inode, types.inode.super_block)?;
            Some(MappedFile {
                path: self.path_name(place, root)?,
                offset: vma.page_offset.wrapping_mul(PAGE_BYTES),
                inode: self.field(inode, types.inode.ino)?,
                device: self.field(super_block, types.super_block.device)? as u32,
            })
        });
        Mapping {
            start: GuestVirtAddr(vma.start),
            end: GuestVirtAddr(vma.end),
            is_readable: vma.flags & vm_flag::READ != 0,
            is_writable: vma.flags & vm_flag::WRITE != 0,
            is_executable: vma.flags & vm_flag::EXEC != 0,
            is_shared: vma.flags & vm_flag::MAYSHARE != 0,
            label: (file.is_none())
                .then(|| self.label(types, mm, vma))
                .flatten(),
            file,
        }
    }

    /// What `get_vma_name` in fs/proc/task_mmu.c says of a mapping that is no file's.
    fn label(&self, types: &Types, mm: u64, vma: &Vma) -> Option<String> {
        let text = |address| {
            let bytes = self.memory.string(address, LABEL_BYTES_MAX)?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        };
        if self.is_special(vma) {
            let name = types.special_mapping.as_ref()?.name;
            return text(self.pointer(vma.private_data?, name)?);
        }
        let at = |member| self.field(mm, member);
        let (brk, start_brk) = (at(types.mm.brk)?, at(types.mm.start_brk)?);
        let stack = at(types.mm.start_stack)?;
        if vma.start < brk && vma.end > start_brk {
            Some("[heap]".into())
        } else if vma.start <= stack && vma.end >= stack {
            Some("[stack]".into())
        } else {
            // `struct anon_vma_name`, include/linux/mm_types.h: a count, then the name.
            let name = text(vma.anon_name?.wrapping_add(4))?;
            Some(format!("[anon:{name}]"))
        }
    }

    fn is_special(&self, vma: &Vma) -> bool {
        vma.operations.is_some() && vma.operations == self.kernel.known().special_mapping_operations
    }

    /// The pages of a mapping that the kernel made for its own purposes, as the vdso.
    pub(super) fn special_page(&self, vma: &Vma, address: u64) -> Option<u64> {
        let layout = self.types()?.special_mapping.as_ref()?;
        let pages = self
            .is_special(vma)
            .then(|| self.pointer(vma.private_data?, layout.pages))??;
        let index = address.wrapping_sub(vma.start) / PAGE_BYTES;
        let page = self.memory.u64(pages.wrapping_add(8 * index))?;
        (page != 0).then_some(page)
    }
}
