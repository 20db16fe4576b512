//! A system call in words: its name and its arguments as C would write them, as far as they are known.

use super::system_call::system_call_name;
use super::task::Task;
use super::view::LinuxView;
use reprise_core::types::GuestVirtAddr;
use std::fmt::Write;

/// Characters of a string or buffer that are shown.
const TEXT_BYTES_MAX: usize = 48;

/// How an argument is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Argument {
    /// A signed number: descriptors, sizes, process numbers.
    Number,
    /// A descriptor that a path is relative to.
    Folder,
    /// A string that ends with a zero byte.
    Path,
    /// A buffer that the caller has filled; its length is the next argument.
    Buffer,
    /// An address, or a set of flags.
    Hex,
    /// Permissions.
    Octal,
}

use Argument::{Buffer, Folder, Hex, Number, Octal, Path};

/// Arguments of the calls that programs make most (man-pages 6.9, section 2). The others are shown with three numbers.
#[rustfmt::skip]
const SIGNATURES: &[(&str, &[Argument])] = &[
    ("accept", &[Number, Hex, Hex]), ("accept4", &[Number, Hex, Hex, Hex]), ("bind", &[Number, Hex, Number]),
    ("brk", &[Hex]), ("chdir", &[Path]), ("clock_gettime", &[Number, Hex]),
    ("clock_nanosleep", &[Number, Hex, Hex, Hex]), ("clone", &[Hex, Hex, Hex, Hex, Hex]), ("clone3", &[Hex, Number]),
    ("close", &[Number]), ("connect", &[Number, Hex, Number]), ("dup", &[Number]), ("dup3", &[Number, Number, Hex]),
    ("epoll_create1", &[Hex]), ("epoll_ctl", &[Number, Number, Number, Hex]),
    ("epoll_pwait", &[Number, Hex, Number, Number, Hex]), ("execve", &[Path, Hex, Hex]), ("exit", &[Number]),
    ("exit_group", &[Number]), ("faccessat", &[Folder, Path, Octal]), ("faccessat2", &[Folder, Path, Octal, Hex]),
    ("fchmodat", &[Folder, Path, Octal]), ("fchownat", &[Folder, Path, Number, Number, Hex]),
    ("fcntl", &[Number, Number, Hex]), ("fstat", &[Number, Hex]), ("fstatat", &[Folder, Path, Hex, Hex]),
    ("fsync", &[Number]), ("ftruncate", &[Number, Number]), ("futex", &[Hex, Hex, Number, Hex, Hex, Hex]),
    ("getcwd", &[Hex, Number]), ("getdents64", &[Number, Hex, Number]), ("getegid", &[]), ("geteuid", &[]),
    ("getgid", &[]), ("getpgid", &[Number]), ("getpid", &[]), ("getppid", &[]), ("getrandom", &[Hex, Number, Hex]),
    ("gettid", &[]), ("getuid", &[]), ("ioctl", &[Number, Hex, Hex]), ("kill", &[Number, Number]),
    ("lseek", &[Number, Number, Number]), ("madvise", &[Hex, Number, Number]), ("mkdirat", &[Folder, Path, Octal]),
    ("mmap", &[Hex, Number, Hex, Hex, Number, Number]), ("mount", &[Path, Path, Path, Hex, Hex]),
    ("mprotect", &[Hex, Number, Hex]), ("mremap", &[Hex, Number, Number, Hex]), ("munmap", &[Hex, Number]),
    ("nanosleep", &[Hex, Hex]), ("openat", &[Folder, Path, Hex, Octal]),
    ("pipe2", &[Hex, Hex]), ("ppoll", &[Hex, Number, Hex, Hex]), ("pread64", &[Number, Hex, Number, Number]),
    ("prlimit64", &[Number, Number, Hex, Hex]), ("pselect6", &[Number, Hex, Hex, Hex, Hex, Hex]),
    ("pwrite64", &[Number, Buffer, Number, Number]), ("read", &[Number, Hex, Number]),
    ("readlinkat", &[Folder, Path, Hex, Number]), ("readv", &[Number, Hex, Number]),
    ("recvfrom", &[Number, Hex, Number, Hex, Hex, Hex]), ("renameat2", &[Folder, Path, Folder, Path, Hex]),
    ("riscv_hwprobe", &[Hex, Number, Number, Hex, Hex]), ("rseq", &[Hex, Number, Hex, Hex]),
    ("rt_sigaction", &[Number, Hex, Hex, Number]), ("rt_sigprocmask", &[Number, Hex, Hex, Number]),
    ("rt_sigreturn", &[]), ("sched_yield", &[]), ("sendto", &[Number, Buffer, Number, Hex, Hex, Number]),
    ("set_robust_list", &[Hex, Number]), ("set_tid_address", &[Hex]), ("setpgid", &[Number, Number]), ("setsid", &[]),
    ("socket", &[Number, Hex, Number]), ("statx", &[Folder, Path, Hex, Hex, Hex]),
    ("symlinkat", &[Path, Folder, Path]), ("tgkill", &[Number, Number, Number]), ("umask", &[Octal]), ("uname", &[Hex]),
    ("unlinkat", &[Folder, Path, Hex]), ("utimensat", &[Folder, Path, Hex, Hex]), ("wait4", &[Number, Hex, Hex, Hex]),
    ("waitid", &[Number, Number, Hex, Hex, Hex]), ("write", &[Number, Buffer, Number]),
    ("writev", &[Number, Hex, Number]),
];

/// Of a call that is not in the table.
const UNKNOWN: &[Argument] = &[Hex, Hex, Hex];

/// `AT_FDCWD` (include/uapi/linux/fcntl.h): the current folder.
const CURRENT_FOLDER: i32 = -100;

impl LinuxView<'_> {
    /// A system call that a task makes at this position, as `openat(AT_FDCWD, "/etc/motd", 0x0, 0)`. Strings are read
    /// where they lie now; long ones are cut.
    #[must_use]
    pub fn call_text(&self, task: &Task, number: u64, arguments: &[u64; 6]) -> String {
        let name = system_call_name(number);
        let mut text = match name {
            Some(name) => format!("{name}("),
            None => format!("system_call_{number}("),
        };
        let signature = name
            .and_then(|name| SIGNATURES.iter().find(|(known, _)| *known == name))
            .map_or(UNKNOWN, |(_, signature)| signature);
        for (index, (kind, value)) in signature.iter().zip(arguments).enumerate() {
            if index > 0 {
                text.push_str(", ");
            }
            let byte_len = arguments.get(index + 1).copied().unwrap_or(0);
            self.write_argument(&mut text, task, *kind, *value, byte_len);
        }
        text.push(')');
        text
    }

    fn write_argument(
        &self,
        text: &mut String,
        task: &Task,
        kind: Argument,
        value: u64,
        byte_len: u64,
    ) {
        let written = match kind {
            // The kernel looks at 32 bits of a descriptor.
            Folder if value as i32 == CURRENT_FOLDER => write!(text, "AT_FDCWD"),
            Folder => write!(text, "{}", value as i32),
            Number => write!(text, "{}", value.cast_signed()),
            Octal => write!(text, "{value:#o}"),
            Hex => write!(text, "{value:#x}"),
            Path | Buffer if value == 0 => write!(text, "NULL"),
            Path => match self.bytes_at(task, value, TEXT_BYTES_MAX + 1) {
                Some(bytes) => {
                    let end = bytes.iter().position(|byte| *byte == 0);
                    let shown = &bytes[..end.unwrap_or(bytes.len().min(TEXT_BYTES_MAX))];
                    write!(text, "\"{}\"{}", shown.escape_ascii(), rest(end.is_none()))
                }
                None => write!(text, "{value:#x}"),
            },
            Buffer => {
                let length = usize::try_from(byte_len).unwrap_or(usize::MAX);
                match self.bytes_at(task, value, length.min(TEXT_BYTES_MAX)) {
                    Some(bytes) => {
                        let is_cut = bytes.len() < length;
                        write!(text, "\"{}\"{}", bytes.escape_ascii(), rest(is_cut))
                    }
                    None => write!(text, "{value:#x}"),
                }
            }
        };
        // Writing into a string does not fail.
        debug_assert!(written.is_ok());
    }

    /// What can be read from an address on; `None` when that is nothing.
    fn bytes_at(&self, task: &Task, address: u64, byte_len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; byte_len];
        let length = self.read_task_memory(task, GuestVirtAddr(address), &mut bytes);
        bytes.truncate(length);
        (length > 0 || byte_len == 0).then_some(bytes)
    }
}

/// What stands for the part that is not shown.
fn rest(is_cut: bool) -> &'static str {
    if is_cut { "..." } else { "" }
}

#[cfg(test)]
mod tests {
    use super::super::system_call::system_call_number;
    use super::*;

    #[test]
    fn every_signature_is_of_a_call_that_there_is() {
        for (name, _) in SIGNATURES {
            assert!(system_call_number(name).is_some(), "{name}");
        }
    }
}
