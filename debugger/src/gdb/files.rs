//! Files of the guest, as gdb asks for them (GDB manual, "Host I/O Packets").
//!
//! A file is read whole when it is opened: what it was then does not change while the position does.

use super::target::SessionTarget;
use crate::linux::{LinuxView, Task};
use gdbstub::target::ext::host_io::{
    FsKind, HostIo, HostIoClose, HostIoCloseOps, HostIoErrno, HostIoError, HostIoFstat,
    HostIoFstatOps, HostIoOpen, HostIoOpenFlags, HostIoOpenMode, HostIoOpenOps, HostIoPread,
    HostIoPreadOps, HostIoResult, HostIoSetfs, HostIoSetfsOps, HostIoStat,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes of all files together that are held open: a guest's file has the size that the guest says.
const FILES_BYTES_MAX: u64 = 512 << 20;

/// Files that a client may hold open.
const OPEN_MAX: usize = 64;

/// What the machine executes as far as a client is concerned: a file with the symbols of its kernel.
pub(super) const KERNEL_PATH: &str = "/reprise/kernel";

/// The mode's bits for a regular file, as in `stat`.
const REGULAR: u32 = 0o100_000;
const KIND: u32 = 0o170_000;

/// A file as it was when it was opened.
#[derive(Clone, Debug)]
struct OpenFile {
    bytes: Arc<[u8]>,
    mode: u32,
    inode: u64,
    device: u32,
}

/// The files that a client holds open.
#[derive(Clone, Debug, Default)]
pub(crate) struct OpenFiles {
    files: BTreeMap<u32, OpenFile>,
    /// The process whose files are asked for; processes may have different roots.
    process: Option<u32>,
}

fn failed<T>(number: HostIoErrno) -> Result<T, HostIoError<std::convert::Infallible>> {
    Err(HostIoError::Errno(number))
}

impl SessionTarget {
    /// Reads a file of the guest's wholly.
    fn guest_file(&self, path: &[u8]) -> Result<OpenFile, HostIoErrno> {
        if path == KERNEL_PATH.as_bytes()
            && let Ok(kernel) = self.session.kernel()
        {
            return Ok(OpenFile {
                bytes: kernel.symbol_file().into(),
                mode: REGULAR | 0o444,
                inode: 0,
                device: 0,
            });
        }
        let view = self.session.linux().ok_or(HostIoErrno::ENOENT)?;
        let task = self.file_task(&view);
        if let Some(bytes) = process_file(&view, path) {
            return Ok(OpenFile {
                bytes: bytes.into(),
                mode: REGULAR | 0o444,
                inode: 0,
                device: 0,
            });
        }
        // A process that is ending has no root any more.
        let file = (task.and_then(|task| view.find_file_of(&task, path)))
            .or_else(|| view.find_file(path))
            .ok_or(HostIoErrno::ENOENT)?;
        if file.mode & KIND != REGULAR {
            return Err(HostIoErrno::EACCES);
        }
        let held: u64 = (self.files.files.values())
            .map(|file| file.bytes.len() as u64)
            .sum();
        if file.size > FILES_BYTES_MAX.saturating_sub(held) {
            return Err(HostIoErrno::EFBIG);
        }
        let mut bytes = vec![0; file.size as usize];
        match view.read_file(&file, 0, &mut bytes) {
            Some(length) if length == bytes.len() => {}
            _ => return Err(HostIoErrno::EIO),
        }
        Ok(OpenFile {
            bytes: bytes.into(),
            mode: file.mode,
            inode: file.ino,
            device: file.device,
        })
    }

    /// The process whose files are meant: the one that the client has named, or the selected one.
    fn file_task(&self, view: &LinuxView<'_>) -> Option<Task> {
        let tid = self.files.process.unwrap_or(self.selected);
        view.tasks().into_iter().find(|task| task.tid == tid)
    }
}

/// What gdb looks for in `/proc`, whose files have no content until somebody in the guest reads them.
fn process_file(view: &LinuxView<'_>, path: &[u8]) -> Option<Vec<u8>> {
    let path = std::str::from_utf8(path).ok()?;
    let (pid, name) = path.strip_prefix("/proc/")?.split_once('/')?;
    let (tid, name) = match name.strip_prefix("task/") {
        Some(rest) => rest.split_once('/')?,
        None => (pid, name),
    };
    let tid: u32 = tid.parse().ok()?;
    let task = view.tasks().into_iter().find(|task| task.tid == tid)?;
    match name {
        "maps" => Some(super::monitor::maps_text(view, &task).into_bytes()),
        "cmdline" => {
            let arguments = view.arguments(&task);
            Some(
                arguments
                    .into_iter()
                    .flat_map(|mut word| {
                        word.push(0);
                        word
                    })
                    .collect(),
            )
        }
        "comm" => Some(format!("{}\n", task.name).into_bytes()),
        _ => None,
    }
}

impl HostIo for SessionTarget {
    fn support_open(&mut self) -> Option<HostIoOpenOps<'_, Self>> {
        Some(self)
    }

    fn support_close(&mut self) -> Option<HostIoCloseOps<'_, Self>> {
        Some(self)
    }

    fn support_pread(&mut self) -> Option<HostIoPreadOps<'_, Self>> {
        Some(self)
    }

    fn support_fstat(&mut self) -> Option<HostIoFstatOps<'_, Self>> {
        Some(self)
    }

    fn support_setfs(&mut self) -> Option<HostIoSetfsOps<'_, Self>> {
        Some(self)
    }
}

impl HostIoOpen for SessionTarget {
    fn open(
        &mut self,
        path: &[u8],
        flags: HostIoOpenFlags,
        _mode: HostIoOpenMode,
    ) -> HostIoResult<u32, Self> {
        let writes = HostIoOpenFlags::O_WRONLY
            | HostIoOpenFlags::O_RDWR
            | HostIoOpenFlags::O_CREAT
            | HostIoOpenFlags::O_TRUNC;
        if flags.intersects(writes) {
            return failed(HostIoErrno::EROFS);
        }
        if self.files.files.len() >= OPEN_MAX {
            return failed(HostIoErrno::EMFILE);
        }
        let file = self.guest_file(path).map_err(HostIoError::Errno)?;
        let number = (3..).find(|number| !self.files.files.contains_key(number));
        let Some(number) = number else {
            return failed(HostIoErrno::EMFILE);
        };
        self.files.files.insert(number, file);
        Ok(number)
    }
}

impl HostIoClose for SessionTarget {
    fn close(&mut self, number: u32) -> HostIoResult<(), Self> {
        match self.files.files.remove(&number) {
            Some(_) => Ok(()),
            None => failed(HostIoErrno::EBADF),
        }
    }
}

impl HostIoPread for SessionTarget {
    fn pread(
        &mut self,
        number: u32,
        count: usize,
        offset: u64,
        buffer: &mut [u8],
    ) -> HostIoResult<usize, Self> {
        let Some(file) = self.files.files.get(&number) else {
            return failed(HostIoErrno::EBADF);
        };
        let from = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(file.bytes.len());
        // Every byte may have to be escaped on its way.
        let length = (file.bytes.len() - from)
            .min(count)
            .min(buffer.len())
            .min(super::packet::PACKET_BYTES_MAX / 2 - 64);
        buffer[..length].copy_from_slice(&file.bytes[from..from + length]);
        Ok(length)
    }
}

impl HostIoFstat for SessionTarget {
    fn fstat(&mut self, number: u32) -> HostIoResult<HostIoStat, Self> {
        let Some(file) = self.files.files.get(&number) else {
            return failed(HostIoErrno::EBADF);
        };
        let size = file.bytes.len() as u64;
        Ok(HostIoStat {
            st_dev: file.device,
            st_ino: file.inode as u32,
            st_mode: HostIoOpenMode::from_bits_truncate(file.mode),
            st_nlink: 1,
            st_uid: 0,
            st_gid: 0,
            st_rdev: 0,
            st_size: size,
            st_blksize: 4096,
            st_blocks: size.div_ceil(512),
            st_atime: 0,
            st_mtime: 0,
            st_ctime: 0,
        })
    }
}

impl HostIoSetfs for SessionTarget {
    fn setfs(&mut self, fs: FsKind) -> HostIoResult<(), Self> {
        self.files.process = match fs {
            FsKind::Stub => None,
            FsKind::Pid(pid) => u32::try_from(pid.get()).ok(),
        };
        Ok(())
    }
}
