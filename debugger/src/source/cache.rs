//! The program files of processes, parsed once.

use super::program::Program;
use crate::linux::{GuestFile, LinuxView, Task};
use crate::session::{DebugSession, ThreadView};
use reprise_core::types::{CpuId, GuestVirtAddr, PAGE_BYTES};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

/// Bytes of a file that is looked at. Debug information of a large program fits; a browser's page has 4 GiB at most.
pub(super) const FILE_BYTES_MAX: u64 = 64 << 20;
/// Bytes of all files that are kept: half a dozen programs with all their libraries.
const CACHE_BYTES_MAX: u64 = 256 << 20;
/// Files that are kept, those that are no programs included.
const FILES_MAX: usize = 64;
/// Files of one process that are looked at.
const OBJECTS_MAX: usize = 128;
/// Pages of a file that tell it from another of the same name, number and size.
const PAGES_COMPARED: u64 = 32;
/// The kernel's own code in every process is a page or two.
const VDSO_BYTES_MAX: u64 = 64 << 10;
const VDSO: &str = "[vdso]";

/// What tells one file from another. The content of a file may change within a recording, and reading all of it at each
/// question would take longer than the answer: some pages, the first and the last among them, stand for it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct FileIdentity {
    path: Vec<u8>,
    device: u32,
    inode: u64,
    byte_len: u64,
    pages_hash: u64,
}

#[derive(Debug)]
struct Cached {
    /// `None`: it is no program that can be read.
    program: Option<Arc<Program>>,
    used: u64,
}

/// Program files that have been parsed, within a limit. It belongs to a session and survives seeking.
#[derive(Debug, Default)]
pub struct SymbolCache {
    files: BTreeMap<FileIdentity, Cached>,
    clock: u64,
}

impl SymbolCache {
    /// Forgets all files.
    pub fn clear(&mut self) {
        self.files.clear();
    }

    fn program(
        &mut self,
        identity: FileIdentity,
        read: impl FnOnce() -> Option<Vec<u8>>,
    ) -> Option<Arc<Program>> {
        self.clock += 1;
        let used = self.clock;
        if let Some(cached) = self.files.get_mut(&identity) {
            cached.used = used;
            return cached.program.clone();
        }
        self.make_room(identity.byte_len);
        let program = read()
            .and_then(|bytes| Program::parse(&bytes.into()))
            .map(Arc::new);
        let cached = Cached {
            program: program.clone(),
            used,
        };
        self.files.insert(identity, cached);
        program
    }

    /// Forgets what was used least recently until another file fits.
    fn make_room(&mut self, byte_len: u64) {
        loop {
            let kept = |(identity, cached): (&FileIdentity, &Cached)| {
                cached.program.as_ref().map_or(0, |_| identity.byte_len)
            };
            let bytes: u64 = self.files.iter().map(kept).sum();
            if self.files.len() < FILES_MAX && bytes + byte_len <= CACHE_BYTES_MAX {
                return;
            }
            let oldest = self.files.iter().min_by_key(|(_, cached)| cached.used);
            let Some(oldest) = oldest.map(|(identity, _)| identity.clone()) else {
                return;
            };
            self.files.remove(&oldest);
        }
    }
}

/// A program file in a process: between the two addresses lies some of it.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) is_executable: bool,
    /// What has to be added to the file's addresses.
    pub(super) bias: u64,
    pub(super) program: Arc<Program>,
}

/// The program files of a process at the position.
#[derive(Clone, Debug, Default)]
pub(super) struct ProcessObjects {
    /// Ascending, and not overlapping.
    pub(super) objects: Vec<Object>,
    /// The process, when there is one.
    pub(super) task: Option<Task>,
}

impl ProcessObjects {
    /// The file in which an address of the process lies, and the address in the file.
    pub(super) fn at(&self, address: u64) -> Option<(&Object, u64)> {
        let behind = self
            .objects
            .partition_point(|object| object.start <= address);
        let object = self.objects[..behind].last()?;
        (address < object.end).then(|| (object, address.wrapping_sub(object.bias)))
    }

    /// Whether an address is that of an instruction in one of the files.
    pub(super) fn is_code(&self, address: u64) -> bool {
        self.at(address)
            .is_some_and(|(object, _)| object.is_executable)
    }

    /// Each file once, with its bias.
    pub(super) fn programs(&self) -> Vec<(&Arc<Program>, u64)> {
        let mut found: Vec<(&Arc<Program>, u64)> = Vec::new();
        for object in &self.objects {
            let is_same = |(program, bias): &(&Arc<Program>, u64)| {
                Arc::ptr_eq(program, &object.program) && *bias == object.bias
            };
            if !found.iter().any(is_same) {
                found.push((&object.program, object.bias));
            }
        }
        found
    }
}

impl DebugSession {
    /// The program files of the process that a view shows.
    pub(super) fn objects(&mut self, view: &ThreadView) -> ProcessObjects {
        let task = match view {
            ThreadView::Task(task) => Some(task.clone()),
            ThreadView::Cpu(cpu) => self.linux().and_then(|linux| linux.current(*cpu)),
            ThreadView::Elsewhere => None,
        };
        let mut cache = std::mem::take(self.symbol_cache_mut());
        let objects = self.linux().zip(task).map(|(linux, task)| ProcessObjects {
            objects: objects_of(&linux, &task, &mut cache),
            task: Some(task),
        });
        *self.symbol_cache_mut() = cache;
        objects.unwrap_or_default()
    }

    /// The task that a view is about.
    pub(super) fn task_of_view(&self, view: &ThreadView) -> Option<Task> {
        match view {
            ThreadView::Task(task) => Some(task.clone()),
            ThreadView::Cpu(CpuId(cpu)) => self.linux()?.current(CpuId(*cpu)),
            ThreadView::Elsewhere => None,
        }
    }
}

fn objects_of(linux: &LinuxView<'_>, task: &Task, cache: &mut SymbolCache) -> Vec<Object> {
    let mut objects = Vec::new();
    // A file is mapped several times: its bytes are compared once.
    let mut known: BTreeMap<(u32, u64), Option<Arc<Program>>> = BTreeMap::new();
    for mapping in linux.mappings(task) {
        let (start, end) = (mapping.start, mapping.end);
        let (program, offset) = if let Some(file) = &mapping.file {
            let key = (file.device, file.inode);
            if known.len() >= OBJECTS_MAX && !known.contains_key(&key) {
                continue;
            }
            let program = known.entry(key).or_insert_with(|| {
                let found = linux.mapped_file(task, start)?;
                let identity = identity(linux, &file.path, &found)?;
                cache.program(identity, || read_whole(linux, &found))
            });
            (program.clone(), file.offset)
        } else if mapping.label.as_deref() == Some(VDSO) {
            (vdso(linux, task, start, end, cache), 0)
        } else {
            continue;
        };
        let Some(program) = program else {
            continue;
        };
        if let Some(bias) = program.bias(start.0, offset) {
            objects.push(Object {
                start: start.0,
                end: end.0,
                is_executable: mapping.is_executable,
                bias,
                program,
            });
        }
    }
    objects
}

fn identity(linux: &LinuxView<'_>, path: &[u8], file: &GuestFile) -> Option<FileIdentity> {
    if file.size == 0 || file.size > FILE_BYTES_MAX {
        return None;
    }
    let mut hasher = DefaultHasher::new();
    let mut page = [0; PAGE_BYTES as usize];
    let last = (file.size - 1) / PAGE_BYTES;
    let step = last.div_ceil(PAGES_COMPARED).max(1);
    let mut number = 0;
    loop {
        let read = linux
            .read_file(file, number * PAGE_BYTES, &mut page)
            .unwrap_or(0);
        hasher.write(&page[..read]);
        if number == last {
            break;
        }
        number = (number + step).min(last);
    }
    Some(FileIdentity {
        path: path.to_vec(),
        device: file.device,
        inode: file.ino,
        byte_len: file.size,
        pages_hash: hasher.finish(),
    })
}

/// Reads a file. Pages that the kernel does not hold are zeros: what can be made of the others is better than nothing.
fn read_whole(linux: &LinuxView<'_>, file: &GuestFile) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.size).ok()?];
    let mut at = 0;
    while at < bytes.len() {
        let read = linux
            .read_file(file, at as u64, &mut bytes[at..])
            .unwrap_or(0);
        at += read;
        if at < bytes.len() {
            at = (at + 1).next_multiple_of(PAGE_BYTES as usize);
        }
    }
    Some(bytes)
}

fn vdso(
    linux: &LinuxView<'_>,
    task: &Task,
    start: GuestVirtAddr,
    end: GuestVirtAddr,
    cache: &mut SymbolCache,
) -> Option<Arc<Program>> {
    let byte_len = (end.0 - start.0).min(VDSO_BYTES_MAX);
    let mut bytes = vec![0; byte_len as usize];
    let read = linux.read_task_memory(task, start, &mut bytes);
    bytes.truncate(read);
    let mut hasher = DefaultHasher::new();
    hasher.write(&bytes);
    let identity = FileIdentity {
        path: VDSO.as_bytes().to_vec(),
        device: 0,
        inode: 0,
        byte_len,
        pages_hash: hasher.finish(),
    };
    cache.program(identity, || Some(bytes))
}
