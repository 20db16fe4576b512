//! Open files, and what is in files.

use super::backing::Backing;
use super::path::{NAMES_BYTES_MAX, PathPlace};
use super::task::Task;
use super::view::LinuxView;
use reprise_core::types::PAGE_BYTES;

/// Descriptors of one process; `sysctl_nr_open` allows as many.
const DESCRIPTORS_MAX: u64 = 1 << 20;
/// What is returned of one process at most.
const OPEN_FILES_MAX: usize = 1 << 16;
/// `O_CLOEXEC`, include/uapi/asm-generic/fcntl.h.
const CLOSE_ON_EXEC: u32 = 0o2_000_000;
const INIT_TID: u32 = 1;
/// `OVERLAYFS_SUPER_MAGIC`, include/uapi/linux/magic.h.
const OVERLAY_MAGIC: u64 = 0x794c_7630;
/// `FILESYSTEM_MAX_STACK_DEPTH`, include/linux/fs.h: overlays above each other.
const OVERLAYS_MAX: usize = 2;
/// Pages that are read at a time from where they are not in memory: as much as a content of the workspace has.
const PAGES_AT_A_TIME: u64 = 32;

/// An open file of a process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenFile {
    /// Its descriptor.
    pub fd: u32,
    /// Its path as the process sees it, or what the kernel calls it, as `pipe:[1234]`.
    pub path: Vec<u8>,
    /// Where the next read or write takes place, in bytes.
    pub position: u64,
    /// The flags of `open`, as `/proc/PID/fdinfo` shows them, `O_CLOEXEC` included.
    pub flags: u32,
}

/// A file of the guest's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GuestFile {
    /// Size in bytes.
    pub size: u64,
    /// Type and permissions, as `stat` reports them.
    pub mode: u32,
    /// Its number in its file system.
    pub ino: u64,
    /// The file system, as `dev_t` in the kernel: the major number from bit 20 on.
    pub device: u32,
    /// The `address_space` that holds its pages.
    mapping: u64,
    /// Where the others are.
    backing: Backing,
}

impl LinuxView<'_> {
    /// The open files of a process, by descriptor.
    #[must_use]
    pub fn open_files(&self, task: &Task) -> Vec<OpenFile> {
        let mut files = Vec::new();
        // Where the table cannot be read any further, it has ended.
        let _ = self.collect_open_files(task, &mut files);
        files
    }

    fn collect_open_files(&self, task: &Task, to: &mut Vec<OpenFile>) -> Option<()> {
        let types = self.types()?;
        let files = self.pointer(task.address.0, types.task.files)?;
        let table = self.pointer(files, types.files.table)?;
        let count = (self.field(table, types.fd_table.count)?).min(DESCRIPTORS_MAX);
        let slots = self.pointer(table, types.fd_table.files)?;
        let close_on_exec = self.pointer(table, types.fd_table.close_on_exec)?;
        let root = self.root_of(task.address);
        let mut name_bytes = 0;
        for fd in 0..count {
            let file = self.memory.u64(slots.wrapping_add(8 * fd))?;
            if file == 0 {
                continue;
            }
            let byte = (self.memory).number(close_on_exec.wrapping_add(fd / 8), 1)?;
            let is_closed_on_exec = byte >> (fd % 8) & 1 != 0;
            if let Some(file) = self.open_file(fd as u32, file, is_closed_on_exec, root) {
                name_bytes += file.path.len();
                to.push(file);
            }
            if to.len() >= OPEN_FILES_MAX || name_bytes > NAMES_BYTES_MAX {
                break;
            }
        }
        Some(())
    }

    fn open_file(
        &self,
        fd: u32,
        file: u64,
        is_closed_on_exec: bool,
        root: Option<PathPlace>,
    ) -> Option<OpenFile> {
        let types = self.types()?;
        let flags = self.field(file, types.file.flags)? as u32;
        Some(OpenFile {
            fd,
            path: self.path_name(self.file_place(file)?, root)?,
            position: self.field(file, types.file.position)?,
            flags: if is_closed_on_exec {
                flags | CLOSE_ON_EXEC
            } else {
                flags & !CLOSE_ON_EXEC
            },
        })
    }

    /// A file by its absolute path, as init sees it. Only what the kernel has in memory can be found: all of a file
    /// system that lives there, and what was used lately of others.
    #[must_use]
    pub fn find_file(&self, path: &[u8]) -> Option<GuestFile> {
        let tasks = self.tasks();
        let init = tasks.iter().find(|task| task.tid == INIT_TID)?;
        self.find_file_of(init, path)
    }

    /// A file by its absolute path, as a task sees it.
    #[must_use]
    pub fn find_file_of(&self, task: &Task, path: &[u8]) -> Option<GuestFile> {
        let root = self.root_of(task.address)?;
        let PathPlace { dentry, .. } = self.walk_path(root, path)?;
        self.inode_file(self.pointer(dentry, self.types()?.dentry.inode)?)
    }

    /// Reads a file's bytes, from the kernel's memory, or from where the kernel would get them: how many could be read
    /// from the first on. `None` when not even the first is to be had; 0 at the end of the file.
    #[must_use]
    pub fn read_file(&self, file: &GuestFile, offset: u64, buffer: &mut [u8]) -> Option<usize> {
        let left = file.size.saturating_sub(offset);
        let length = left.min(buffer.len() as u64) as usize;
        let read = self.read_pages(file, offset, &mut buffer[..length]);
        (read > 0 || length == 0).then_some(read)
    }

    /// Reads from a file's pages; those behind its end may hold zeros.
    pub(super) fn read_pages(&self, file: &GuestFile, offset: u64, buffer: &mut [u8]) -> usize {
        let mut done = 0;
        while done < buffer.len() {
            let Some(at) = offset.checked_add(done as u64) else {
                break;
            };
            let (index, in_page) = (at / PAGE_BYTES, at % PAGE_BYTES);
            if index >= file.size.div_ceil(PAGE_BYTES) {
                break;
            }
            let page = self.cached_page(file.mapping, index);
            let is_away = |n: &u64| self.cached_page(file.mapping, index + n).is_none();
            let page_count = match page {
                Some(_) => 1,
                None => 1 + (1..PAGES_AT_A_TIME).take_while(is_away).count() as u64,
            };
            let length = ((page_count * PAGE_BYTES - in_page) as usize).min(buffer.len() - done);
            let part = &mut buffer[done..done + length];
            let is_read = match page {
                Some(mut page) => {
                    page.0 += in_page;
                    self.memory.ram.read(page, part).is_ok()
                }
                None => self.read_backing(file.backing, file.size, at, part),
            };
            if !is_read {
                break;
            }
            done += length;
        }
        done
    }

    /// The file of a `struct file`. What is mapped from an overlay is the file below it.
    pub(super) fn file_of(&self, file: u64) -> Option<GuestFile> {
        let types = self.types()?;
        let mapping = self.pointer(file, types.file.mapping)?;
        self.file_from(self.pointer(file, types.file.inode)?, mapping)
    }

    /// The file of an inode.
    pub(super) fn inode_file(&self, inode: u64) -> Option<GuestFile> {
        self.file_from(inode, self.pointer(inode, self.types()?.inode.mapping)?)
    }

    fn file_from(&self, inode: u64, mapping: u64) -> Option<GuestFile> {
        let types = self.types()?;
        // A block device's pages are another inode's, which knows their size.
        let host = (self.pointer(mapping, types.address_space.host)).unwrap_or(inode);
        let holder = self.real_inode(host)?;
        let mapping = if holder == host {
            mapping
        } else {
            self.pointer(holder, types.inode.mapping)?
        };
        let super_block = self.pointer(inode, types.inode.super_block)?;
        let holder_mode = self.field(holder, types.inode.mode)? as u32;
        let holder_number = self.field(holder, types.inode.ino)?;
        Some(GuestFile {
            size: self.field(holder, types.inode.size)?,
            mode: self.field(inode, types.inode.mode)? as u32,
            ino: self.field(inode, types.inode.ino)?,
            device: self.field(super_block, types.super_block.device)? as u32,
            mapping,
            backing: Backing::new(self.magic(holder)?, holder_mode, holder_number),
        })
    }

    /// The magic number of an inode's file system.
    fn magic(&self, inode: u64) -> Option<u64> {
        let types = self.types()?;
        let super_block = self.pointer(inode, types.inode.super_block)?;
        self.field(super_block, types.super_block.magic)
    }

    /// The inode with the content: that of an overlay is in one of the file systems below it (`ovl_inode_real`).
    pub(super) fn real_inode(&self, mut inode: u64) -> Option<u64> {
        let types = self.types()?;
        for _ in 0..=OVERLAYS_MAX {
            if self.magic(inode)? != OVERLAY_MAGIC {
                break;
            }
            let layout = types.overlay_inode.as_ref()?;
            let outer = inode.wrapping_sub(layout.inode.offset);
            let dentry = match self.pointer(outer, layout.upper) {
                Some(upper) => upper,
                None => {
                    let layers = types.overlay_entry.as_ref()?;
                    let entry = self.pointer(outer, layout.lower)?;
                    if self.field(entry, layers.count)? == 0 {
                        return None;
                    }
                    let first = entry.wrapping_add(layers.stack.offset);
                    self.pointer(first, types.overlay_path.as_ref()?.dentry)?
                }
            };
            inode = self.pointer(dentry, types.dentry.inode)?;
        }
        Some(inode)
    }
}
