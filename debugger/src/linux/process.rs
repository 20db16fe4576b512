//! A process: its program, its arguments, its memory.

use super::file::GuestFile;
use super::mapping::Vma;
use super::memory::{Presence, presence};
use super::task::Task;
use super::view::LinuxView;
use reprise_core::types::{GuestVirtAddr, PAGE_BYTES};

/// Arguments are read up to this size. The kernel allows a quarter of the stack's limit, but who wants to see more?
const ARGUMENT_BYTES_MAX: u64 = 1 << 20;
/// `AT_NULL` ends the auxiliary vector, include/uapi/linux/auxvec.h; the kernel keeps fewer than 100 words.
const AUXV_BYTES_MAX: u64 = 4096;

impl LinuxView<'_> {
    /// Path of the program that a process executes, as the process sees it.
    #[must_use]
    pub fn executable(&self, task: &Task) -> Option<Vec<u8>> {
        let file = self.pointer(self.mm(task.address)?, self.types()?.mm.exe_file)?;
        self.path_name(self.user_path(file)?, self.root_of(task.address))
    }

    /// The program that a process executes.
    #[must_use]
    pub fn executable_file(&self, task: &Task) -> Option<GuestFile> {
        let file = self.pointer(self.mm(task.address)?, self.types()?.mm.exe_file)?;
        self.file_of(file)
    }

    /// The arguments of a process' program, as its memory holds them now; none of a kernel thread.
    #[must_use]
    pub fn arguments(&self, task: &Task) -> Vec<Vec<u8>> {
        let bytes = self.argument_bytes(task).unwrap_or_default();
        let text = bytes.strip_suffix(&[0]).unwrap_or(&bytes);
        if bytes.is_empty() {
            return Vec::new();
        }
        text.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
    }

    fn argument_bytes(&self, task: &Task) -> Option<Vec<u8>> {
        let (layout, mm) = (&self.types()?.mm, self.mm(task.address)?);
        let start = self.field(mm, layout.arg_start)?;
        let end = self.field(mm, layout.arg_end)?;
        let length = end.checked_sub(start)?.min(ARGUMENT_BYTES_MAX);
        let mut bytes = vec![0; length as usize];
        let read = self.read_task_memory(task, GuestVirtAddr(start), &mut bytes);
        bytes.truncate(read);
        Some(bytes)
    }

    /// The auxiliary vector that the kernel gave to a process' program, pairs of 64-bit numbers up to `AT_NULL`.
    #[must_use]
    pub fn auxv(&self, task: &Task) -> Option<Vec<u8>> {
        let (saved, mm) = (self.types()?.mm.saved_auxv, self.mm(task.address)?);
        let mut bytes = vec![0; saved.byte_len.min(AUXV_BYTES_MAX) as usize];
        (self.memory).read(mm.wrapping_add(saved.offset), &mut bytes)?;
        let pairs = bytes.chunks_exact(16);
        let end = pairs.clone().position(|pair| pair[..8] == [0; 8]);
        let pair_count = end.map_or(pairs.len(), |end| end + 1);
        bytes.truncate(16 * pair_count);
        Some(bytes)
    }

    /// Reads memory as a task sees it, and returns how many bytes could be read from the first on.
    ///
    /// A page that the task has not touched yet is read from where the kernel would get it: from the file that is mapped
    /// there, if the page is in memory, or as zeros. Addresses in the upper half are the kernel's.
    #[must_use]
    pub fn read_task_memory(
        &self,
        task: &Task,
        address: GuestVirtAddr,
        buffer: &mut [u8],
    ) -> usize {
        if address.0 >> 63 != 0 {
            return self.memory.read_some(address.0, buffer);
        }
        let Some(space) = task.space else {
            return 0;
        };
        let mut vma = None;
        let mut done = 0;
        while done < buffer.len() {
            let Some(at) = address.0.checked_add(done as u64) else {
                break;
            };
            let in_page = (PAGE_BYTES - at % PAGE_BYTES) as usize;
            let length = in_page.min(buffer.len() - done);
            let part = &mut buffer[done..done + length];
            let read = match presence(self.memory.ram, space, at) {
                Presence::Present(physical) => {
                    (self.memory.ram.read(physical, part)).map_or(0, |()| length)
                }
                Presence::Untouched => {
                    let is_in = |vma: &Vma| (vma.start..vma.end).contains(&at);
                    vma = vma.filter(is_in);
                    if vma.is_none() {
                        vma = (self.mm(task.address)).and_then(|mm| self.find_vma(mm, at));
                    }
                    vma.map_or(0, |vma| self.read_untouched(&vma, at, part))
                }
                Presence::Away => 0,
            };
            done += read;
            if read < length {
                break;
            }
        }
        done
    }

    /// Reads within one page of a mapping of which nothing is in the page tables.
    fn read_untouched(&self, vma: &Vma, address: u64, buffer: &mut [u8]) -> usize {
        if let Some(file) = vma.file {
            let file = self.file_of(file);
            return file.map_or(0, |file| {
                self.read_pages(&file, vma.offset_of(address), buffer)
            });
        }
        if vma.operations.is_none() {
            buffer.fill(0);
            return buffer.len();
        }
        let page = (self.special_page(vma, address)).and_then(|page| self.page_address(page));
        page.map_or(0, |mut physical| {
            physical.0 += address % PAGE_BYTES;
            (self.memory.ram.read(physical, buffer)).map_or(0, |()| buffer.len())
        })
    }

    /// The file that is mapped at an address of a process.
    #[must_use]
    pub fn mapped_file(&self, task: &Task, address: GuestVirtAddr) -> Option<GuestFile> {
        let vma = self.find_vma(self.mm(task.address)?, address.0)?;
        self.file_of(vma.file?)
    }
}
