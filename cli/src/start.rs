//! What `run` and `record` start: the machine, its images, and what its init is told.

use crate::args::{GuestArgs, ImageArg};
use crate::container::{self, Run};
use crate::live::Outside;
use crate::network::{Network, Reach};
use crate::open::{BROWSER_RAM_BYTES_MAX, check_ram};
use crate::say;
use crate::seed::Seed;
use crate::terminal;
use crate::workspace::Workspace;
use anyhow::{Context, bail};
use reprise_core::event::{Start, StartFile};
use reprise_core::machine::{BootKind, Machine, MachineConfig};
use reprise_core::types::TerminalSize;
use reprise_host::network::GUEST_MAC;
use reprise_images::guest::Guest;
use reprise_images::store;
use reprise_recorder::images::{ImageRef, ImageRole, ImageSet, SharedImage};
use reprise_recorder::pace::Pacing;
use reprise_recorder::trace::START_FILES_BYTES_MAX;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, IsTerminal};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Timer interrupts of Linux are put off by up to this many ticks (192 µs at 64 ns): far below
/// the 10 ms of its scheduling tick, so that nothing runs visibly slower, and some 190,000 steps,
/// so that where a thread is preempted differs between seeds by more than any critical section.
const TIMER_JITTER_TICKS_MAX: u32 = 3000;

/// Wall clock of a guest whose seed was given and whose clock was not, in seconds since 1970: 2026-01-01 00:00:00 UTC. The
/// same seed is to be the same execution, whenever it is recorded.
const SEEDED_CLOCK_UNIX_SECONDS: u64 = 1_767_225_600;

/// Files given with --add are in memory and, in the guest, in RAM; beyond this (256 MiB a file, as
/// in a trace) a disk is the better way.
const ADD_FILE_BYTES_MAX: u64 = 256 << 20;

/// Everything that a live guest starts from, apart from its seed.
pub(crate) struct Plan {
    guest: Guest,
    images: Vec<(ImageRef, SharedImage)>,
    run: Run,
    files: Vec<StartFile>,
    script: Option<Vec<u8>>,
    workspace: Option<Workspace>,
    reach: Reach,
    is_attended: bool,
    is_interactive: bool,
    is_quiet: bool,
    terminal: TerminalSize,
}

impl Plan {
    /// Reads all that the arguments name. A guest that is not attended finds its input at its end,
    /// unless a file is typed.
    pub(crate) fn new(args: &GuestArgs, is_attended: bool) -> anyhow::Result<Self> {
        let ram_bytes = args.ram << 20;
        if !args.ram.is_multiple_of(2) {
            bail!(
                "--ram {} is not even: RAM comes in steps of 2 MiB",
                args.ram
            );
        }
        check_ram(ram_bytes)?;
        if ram_bytes > BROWSER_RAM_BYTES_MAX && !args.quiet {
            say::line("reprise: a browser cannot replay a machine with more than 1024 MiB of RAM");
        }
        let guest = Guest::find(args.image.as_ref().and_then(ImageArg::guest))?;
        let mut images = vec![store::open(&guest.kernel, ImageRole::Kernel)?];
        if let Some(initrd) = &guest.initrd {
            images.push(store::open(initrd, ImageRole::Initrd)?);
        }
        let mut run = Run::new(&args.command, &args.container)?;
        let mut files = Vec::new();
        if let Some(ImageArg::Container(source)) = &args.image {
            if !guest.runs_containers {
                bail!("the guest is too old to run containers: run `cargo xtask guest`");
            }
            if !args.disk.is_empty() {
                bail!("a container has no place for a --disk: put files into it with --add");
            }
            let container = container::open(source, args.quiet)?;
            // The file that says that there is a container comes first: those after it go into the container.
            files.push(run.enter(&container.config, &args.container)?);
            images.push((container.image, container.bytes));
        } else if args.container.wants_container() {
            bail!(
                "--user, --entrypoint and --hostname are for containers: name one with --image oci:DIR, \
                 docker-archive:FILE or docker://HOST/NAME"
            );
        }
        let reach = Reach {
            outwards: args.net,
            inwards: args.publish.clone(),
        };
        if reach.is_any() && !guest.mounts_workspaces {
            bail!("the guest is too old to have a network: run `cargo xtask guest`");
        }
        let workspace = match &args.workspace {
            None => None,
            Some(_) if !guest.mounts_workspaces => {
                bail!("the guest is too old to have a workspace: run `cargo xtask guest`")
            }
            Some(named) => {
                let workspace = Workspace::open(named, args.quiet)?;
                files.push(workspace.facts());
                images.push(workspace.image());
                if args.container.workdir.is_none() {
                    run.working_directory = reprise_host::WORKSPACE_PATH.into();
                }
                Some(workspace)
            }
        };
        for disk in &args.disk {
            images.push(store::open(disk, ImageRole::Disk)?);
        }
        for added in &args.add {
            add(added, &mut files)?;
        }
        let file_bytes: u64 = files.iter().map(|file| file.bytes.len() as u64).sum();
        if file_bytes > START_FILES_BYTES_MAX {
            bail!(
                "the files given with --add have {} MiB together, and {} is the most: put them on \
                 a disk image and use --disk",
                file_bytes >> 20,
                START_FILES_BYTES_MAX >> 20
            );
        }
        let script = match &args.input {
            None if is_attended => None,
            None => Some(Vec::new()),
            Some(path) => {
                Some(fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?)
            }
        };
        let is_interactive = script.is_none() && io::stdin().is_terminal();
        let terminal = if is_interactive {
            terminal::size()
        } else {
            None
        };
        Ok(Self {
            guest,
            images,
            run,
            files,
            script,
            workspace,
            reach,
            is_attended,
            is_interactive,
            is_quiet: args.quiet,
            terminal: terminal.unwrap_or_default(),
        })
    }

    /// The configuration of the machine with this seed.
    pub(crate) fn config(&self, args: &GuestArgs, seed: Seed) -> MachineConfig {
        MachineConfig {
            ram_bytes: args.ram << 20,
            seed: seed.0,
            timer_jitter_ticks_max: TIMER_JITTER_TICKS_MAX,
            boot: BootKind::Linux,
            command_line: self.guest.command_line.clone(),
            terminal: self.terminal,
            network: self.reach.is_any().then_some(GUEST_MAC),
            ..MachineConfig::default()
        }
    }

    /// The machine.
    pub(crate) fn machine(&self, config: &MachineConfig) -> anyhow::Result<Machine> {
        let set = self.image_set()?;
        Ok(Machine::new(config.clone(), set.machine_images(), None)?)
    }

    /// The images, as machines take them.
    pub(crate) fn image_set(&self) -> anyhow::Result<ImageSet> {
        let mut set = ImageSet::default();
        for (reference, bytes) in &self.images {
            set.insert(reference, SharedImage::clone(bytes))?;
        }
        Ok(set)
    }

    /// The images, with what they are called.
    pub(crate) fn images(&self) -> &[(ImageRef, SharedImage)] {
        &self.images
    }

    /// What init is told.
    pub(crate) fn start(&self, args: &GuestArgs, seed: Seed) -> anyhow::Result<Start> {
        // An unattended guest is one of several tries, whose seeds are told so that they can be repeated.
        let is_seeded = args.seed.is_some() || !self.is_attended;
        let now = now_unix_nanoseconds()?;
        let clock_unix_nanoseconds = match args.clock {
            Some(seconds) => seconds.saturating_mul(1_000_000_000),
            None if is_seeded => self.seeded_clock_unix_seconds(now) * 1_000_000_000,
            None => now,
        };
        // The same seed gives the same execution, so what the guest draws follows from it too,
        // without being the same bytes.
        let start_seed = blake3::derive_key("reprise 2026 seed of the start", &seed.0);
        let mut environment = Vec::new();
        if self.is_interactive
            && let Some(term) = std::env::var_os("TERM")
        {
            environment.push((b"TERM".to_vec(), term.into_vec()));
        }
        environment.extend(self.run.environment.iter().cloned());
        Ok(Start {
            command: self.run.command.clone(),
            environment,
            working_directory: self.run.working_directory.clone(),
            clock_unix_nanoseconds,
            seed: start_seed,
            // A script is typed as at a terminal: the guest echoes it.
            interactive: self.is_interactive || args.input.is_some(),
            terminal: self.terminal,
            files: self.files.clone(),
        })
    }

    /// The clock of a guest whose seed was given and whose clock was not: a function of the folder that it works in, whose
    /// files must not be of the future, since `make` would not know what is newer.
    fn seeded_clock_unix_seconds(&self, now_unix_nanoseconds: u64) -> u64 {
        let newest = self.workspace.as_ref().and_then(|workspace| {
            // A file from after now is a file with a wrong time.
            workspace.newest_unix_seconds(now_unix_nanoseconds / 1_000_000_000)
        });
        newest.map_or(SEEDED_CLOCK_UNIX_SECONDS, |newest| {
            SEEDED_CLOCK_UNIX_SECONDS.max(newest + 1)
        })
    }

    /// What of this computer one run of the guest has.
    pub(crate) fn outside(&self) -> anyhow::Result<Outside> {
        let network = match self.reach.is_any() {
            true => Some(
                Network::open(&self.reach, self.is_quiet).context("the network cannot be had")?,
            ),
            false => None,
        };
        Ok(Outside {
            workspace: self.workspace.clone(),
            network,
        })
    }

    /// The folder that the guest works in.
    pub(crate) fn workspace(&self) -> Option<&Workspace> {
        self.workspace.as_ref()
    }

    /// What is typed instead of standard input: the file given with --input.
    pub(crate) fn script(&self) -> Option<&[u8]> {
        self.script.as_deref()
    }

    /// Whether a person sits at the terminal.
    pub(crate) fn is_interactive(&self) -> bool {
        self.is_interactive
    }

    /// Whether the guest's idle time takes wall time.
    pub(crate) fn pacing(&self, args: &GuestArgs) -> Pacing {
        // The outside takes its time, and the guest must not think that it takes years.
        if args.paced || self.reach.is_any() && !args.fast {
            return Pacing::Paced;
        }
        if args.fast || self.script.is_some() || !stdin_may_wait() {
            return Pacing::Fast;
        }
        if self.is_interactive {
            Pacing::Paced
        } else {
            Pacing::AwaitingScript
        }
    }
}

/// Whether standard input is something that may yield input later: a terminal, pipe or socket,
/// not a file or /dev/null.
fn stdin_may_wait() -> bool {
    use rustix::fs::{FileType, fstat};
    let stdin = io::stdin();
    stdin.is_terminal()
        || fstat(&stdin).is_ok_and(|stat| {
            matches!(
                FileType::from_raw_mode(stat.st_mode),
                FileType::Fifo | FileType::Socket
            )
        })
}

/// Wall time now.
pub(crate) fn now_unix_nanoseconds() -> anyhow::Result<u64> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("this computer's clock is before 1970: set it, or give --clock")?;
    Ok(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}

/// Reads what `--add HOST:GUEST` names; a folder with all that is in it.
fn add(argument: &OsStr, files: &mut Vec<StartFile>) -> anyhow::Result<()> {
    let bytes = argument.as_bytes();
    let shown = argument.to_string_lossy();
    // The guest's path begins with the last ":/", so the host's may contain colons.
    let Some(colon) = bytes.windows(2).rposition(|pair| pair == b":/") else {
        bail!("--add {shown} names no absolute path in the guest: write it as HOST:/GUEST/PATH");
    };
    let (host, guest) = (&bytes[..colon], &bytes[colon + 1..]);
    if host.is_empty() || guest.contains(&0) {
        bail!("--add {shown} names no file of this computer: write it as HOST:/GUEST/PATH");
    }
    let mut path = guest.to_vec();
    if path.ends_with(b"/") {
        let name = Path::new(OsStr::from_bytes(host)).file_name();
        path.extend_from_slice(name.map_or(b"", OsStrExt::as_bytes));
    }
    // A certificate to trust is what a person may have.
    let facts = [reprise_host::FACTS_PATH, reprise_host::WORKSPACE_FACTS_PATH];
    if facts.iter().any(|facts| path == facts.as_bytes()) {
        bail!("--add {shown}: the guest's init has another use for that path");
    }
    add_path(Path::new(OsStr::from_bytes(host)), path, false, files)
}

fn add_path(
    host: &Path,
    guest: Vec<u8>,
    is_nested: bool,
    files: &mut Vec<StartFile>,
) -> anyhow::Result<()> {
    let cannot = || format!("{} cannot be read for --add", host.display());
    let metadata = fs::metadata(host).with_context(cannot)?;
    if metadata.is_dir() {
        if is_nested && fs::symlink_metadata(host).is_ok_and(|link| link.is_symlink()) {
            bail!(
                "{} is a link to a folder, which --add does not follow: add that folder itself",
                host.display()
            );
        }
        let mut names: Vec<OsString> = fs::read_dir(host)
            .with_context(cannot)?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<Result<_, _>>()
            .with_context(cannot)?;
        // The same folder gives the same trace, whatever order its file system has.
        names.sort();
        for name in names {
            let mut path = guest.clone();
            path.push(b'/');
            path.extend_from_slice(name.as_bytes());
            add_path(&host.join(&name), path, true, files)?;
        }
        return Ok(());
    }
    if !metadata.is_file() {
        bail!("{} is neither a file nor a folder", host.display());
    }
    if metadata.len() > ADD_FILE_BYTES_MAX {
        bail!(
            "{} has {} MiB, and --add takes at most {}: put it on a disk image and use --disk",
            host.display(),
            metadata.len() >> 20,
            ADD_FILE_BYTES_MAX >> 20
        );
    }
    files.push(StartFile {
        path: guest,
        mode: metadata.permissions().mode() & 0o7777,
        bytes: fs::read(host).with_context(cannot)?,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_paths() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("in:side")).expect("a folder");
        fs::write(folder.path().join("in:side/b"), b"2").expect("written");
        fs::write(folder.path().join("in:side/a"), b"1").expect("written");
        let mut argument = folder.path().as_os_str().to_owned();
        argument.push("/in:side:/opt/x");
        let mut files = Vec::new();
        add(&argument, &mut files).expect("read");
        let paths: Vec<_> = files.iter().map(|file| file.path.as_slice()).collect();
        assert_eq!(paths, [b"/opt/x/a".as_slice(), b"/opt/x/b"]);
        files.clear();
        let mut argument = folder.path().as_os_str().to_owned();
        argument.push("/in:side/a:/opt/");
        add(&argument, &mut files).expect("read");
        assert_eq!(files[0].path, b"/opt/a");
        assert!(add(OsStr::new("file"), &mut files).is_err());
        assert!(add(OsStr::new("file:relative"), &mut files).is_err());
    }
}
