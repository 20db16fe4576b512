//! The gdb that `reprise gdb` starts.

use super::serve::private_folder;
use crate::signals::StopFlag;
use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::SIGINT;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

/// Programs that know RISC-V, the likely ones first.
const CANDIDATES: [&str; 3] = ["gdb-multiarch", "riscv64-linux-gnu-gdb", "gdb"];

/// Commands for gdb in Python: the position, the processes, and moves that gdb notices.
const HELPERS: &str = include_str!("reprise.py");

/// How often it is looked whether gdb has ended or is to end.
const LOOK: Duration = Duration::from_millis(20);

/// How long a gdb that is asked to end may take to do so.
const GRACE: Duration = Duration::from_secs(2);

/// A gdb.
#[derive(Clone, Debug)]
pub(crate) struct Client(OsString);

impl Client {
    /// The one that is asked for, or the first of those that are installed.
    pub(crate) fn find(wanted: Option<&OsStr>) -> anyhow::Result<Self> {
        if let Some(wanted) = wanted {
            return Ok(Self(wanted.to_owned()));
        }
        let found = CANDIDATES.into_iter().find(|name| is_on_path(name));
        match found {
            Some(name) => Ok(Self(name.into())),
            None => bail!(
                "no gdb is installed: install gdb-multiarch, name one with --gdb, or serve any client with --server"
            ),
        }
    }
}

fn is_on_path(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// A folder that goes away with this.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // Somebody may have put something into it; that stays.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs gdb on a server until it ends, with a kernel's symbols to begin with if there are any. Its exit status, or that of
/// the signal that asked this process to stop.
pub(crate) fn run(
    client: &Client,
    target: &str,
    kernel: Option<&Path>,
    arguments: &[OsString],
    stop: &StopFlag,
) -> anyhow::Result<u8> {
    let folder = Folder(private_folder()?);
    let helpers = folder.0.join("reprise.py");
    fs::write(&helpers, HELPERS)
        .with_context(|| format!("{} cannot be written", helpers.display()))?;
    let sources = folder.0.join("sources");
    fs::create_dir(&sources).with_context(|| format!("{} cannot be made", sources.display()))?;
    let mut command = Command::new(&client.0);
    command.arg("-q");
    for line in [
        "set confirm off",
        "set architecture riscv:rv64",
        "set remotetimeout 60",
        "set sysroot target:",
        // Processes come and go as they did; all of them are shown, and all of them run.
        "set schedule-multiple on",
        "set print thread-events off",
        "set print inferior-events off",
    ] {
        command.arg("-iex").arg(line);
    }
    command
        .arg("-iex")
        .arg(format!("source {}", helpers.display()));
    command
        .arg("-iex")
        .arg(format!("python reprise.sources = r'{}'", sources.display()));
    if let Some(kernel) = kernel {
        command
            .arg("-iex")
            .arg(format!("file {}", kernel.display()));
    }
    command.arg("-ex").arg(format!("target remote {target}"));
    // A step is one of the thread that is shown, and gdb then says which one that is.
    command.args(["-ex", "set scheduler-locking step"]);
    command.args(arguments);
    let program = Path::new(&client.0).display();
    let mut child = command
        .spawn()
        .with_context(|| format!("{program} cannot be started"))?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        // Ctrl-C reaches gdb as well, which means its own by it.
        if let Some(signal) = stop.signal().filter(|signal| i32::from(*signal) != SIGINT) {
            end(&mut child)?;
            return Ok(128u8.saturating_add(signal));
        }
        thread::sleep(LOOK);
    };
    Ok(code(status))
}

/// Asks a child to end, and ends it if it does not.
fn end(child: &mut Child) -> io::Result<()> {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It has not been waited for, so the number is still its own.
        let _ = kill_process(pid, Signal::TERM);
    }
    let asked = Instant::now();
    while asked.elapsed() < GRACE {
        if child.try_wait()?.is_some() {
            return Ok(());
        }
        thread::sleep(LOOK);
    }
    child.kill()?;
    child.wait().map(drop)
}

/// An exit status as the shell tells it.
fn code(status: ExitStatus) -> u8 {
    let signal = status.signal().and_then(|signal| u8::try_from(signal).ok());
    match (status.code(), signal) {
        (Some(code), _) => (code & 0xff) as u8,
        (None, Some(signal)) => 128u8.saturating_add(signal),
        (None, None) => 1,
    }
}
