//! The command line.

use crate::network::Forward;
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use reprise_images::container::ContainerSource;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Record Linux, replay it bit for bit.
///
/// Reprise boots an unmodified Linux in a deterministic machine and logs every input that is not
/// determined: keystrokes, the clock, a seed. The log is a small file, the trace. Replaying it is
/// the same execution again, instruction for instruction.
#[derive(Parser, Debug)]
#[command(name = "reprise", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  reprise run                                  a shell in the guest; Ctrl-A x leaves it
  reprise record -o bug.rpt -- /demos/race     record one command
  reprise record --tries 20 --until-fail -o bug.rpt -- /demos/race
                                               try other seeds until it fails
  reprise replay bug.rpt                       the same execution again
  reprise index bug.rpt                        make it quick to travel in, and some 15 MB larger
  reprise verify bug.rpt --against checkpoint
  reprise serve bug.rpt                        look at it in a browser
  reprise bridge                               and with gdb what the browser shows
  reprise help record                          more about one command

Exit status of run and record: that of the guest's command (127: the guest has no such command); 0 when \
Ctrl-A x stopped them, 128+N when signal N did, 124 when --max-icount was reached, 141 when nobody reads the \
console any more, 1 when the guest ended otherwise.

Exit status of replay and verify: 0 only if the executions are equal, 1 if they are not; 3 the trace breaks \
off: everything that is left of it was replayed and agreed.

Of all: 2 for bad usage or bad input, told in a line on stderr that begins with `reprise:` or `error:`; where \
a guest's command itself exits with 2 there is none.";

/// What `run` and `record` say of typing.
macro_rules! typing {
    () => {
        "\
Typing: the file of --input, or a pipe on standard input, is typed in as a person would type it: a line at \
a time, each when the guest waits for one (it has stopped behind a prompt, or has been silent for a second of \
its time). After the last line Ctrl-D is typed; where that line has no newline, Ctrl-D twice, and then the \
newline if neither was answered. A guest that answers none of 60 Ctrl-D is stopped, with status 1. The guest \
echoes what comes from --input, and not what comes from a pipe.

Idle time: the guest's passes at once (--fast) while a file or pipe is typed and after its end, and takes real \
time (--paced) at a terminal and while a pipe has no line yet."
    };
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Boot the guest and run a command or a shell in it, without recording.
    #[command(after_help = concat!("\
Examples:
  reprise run
  reprise run -- uname -a
  reprise run --add ./prog:/bin/prog -- /bin/prog --flag
  echo 'ls /' | reprise run
  reprise run --input session.txt

In an interactive shell: Ctrl-A x stops, Ctrl-A h helps, Ctrl-A Ctrl-A types a Ctrl-A.

", typing!()))]
    Run(RunArgs),
    /// Boot the guest, run a command or a shell in it, and record the execution.
    #[command(after_help = concat!("\
Examples:
  reprise record                               a shell; the trace goes to recording.rpt
  reprise record -o bug.rpt -- /demos/race
  reprise record --seed 7 -o seven.rpt -- /demos/race
  reprise record --tries 20 --until-fail -o bug.rpt -- /demos/race
  reprise record --input session.txt -o session.rpt
  reprise record --embed --disk data.img -o bug.rpt -- /demos/race
                                               replays anywhere: kernel, initrd and disk are in the trace
  reprise record --image oci:./layout:latest -e MODE=test -o bug.rpt -- /app/run --once
                                               run a container image (a riscv64 one), and record it
  reprise record --image docker-archive:saved.tar -o bug.rpt
  reprise record --image docker://localhost:5000/app:1.2 -o bug.rpt
  reprise record --image oci:./layout --workspace . -o bug.rpt -- make test
                                               work in a folder of this computer, which stays as it is

A container image's ENTRYPOINT, CMD, ENV, WORKDIR and USER count as for `docker run`, and what the command writes stays in the \
machine, up to half of its --ram. The root image is kept in the cache, where replays find it; with --embed it is in the trace.

The trace is complete also when recording is stopped by Ctrl-A x, Ctrl-C or SIGTERM; after kill -9 it \
replays to about the last second.

", typing!()))]
    Record(RecordArgs),
    /// Replay a trace: print the console as it was and check every state hash.
    #[command(after_help = "\
Examples:
  reprise replay bug.rpt
  reprise replay bug.rpt --quiet           only check
  reprise replay bug.rpt --to 120000000    stop at an icount
  reprise replay bug.rpt --images ./guest  where the kernel and initrd are

The last line on stderr is `icount=N hash=H`: two replays that print the same line were the same \
execution.

Exit status:
  0  every recorded hash agreed, to the end or to where --to says
  1  one did not
  2  bad usage, or a trace or image that cannot be read
  3  the trace breaks off: everything that is left of it was replayed and agreed")]
    Replay(ReplayArgs),
    /// Tell what a trace holds.
    #[command(after_help = "Example:\n  reprise info bug.rpt --json | jq .images")]
    Info(InfoArgs),
    /// List a trace's events, one a line.
    #[command(after_help = "\
Example:
  reprise events bug.rpt | less

Each line begins with the icount. A state hash is told by its components: RAM, CPUs, devices, disks and the \
console's output.")]
    Events(InfoArgs),
    /// Check that a trace replays, or that two ways to execute it are equal at every step.
    #[command(after_help = "\
Examples:
  reprise verify bug.rpt                        against the recorded hashes, and the keyframes
  reprise verify bug.rpt --against checkpoint   against save and restore at intervals
  reprise verify bug.rpt --against reference    against the engine that takes no short cuts

When two executions differ, the first differing step is found by bisection and named with the \
register, device or page. A comparison with the checkpoint execution takes some twice as long as a replay, \
one with the reference engine some 30 times.

Exit status:
  0  equal
  1  different
  2  bad usage, or a trace or image that cannot be read
  3  the trace breaks off: everything that is left of it was executed and agreed")]
    Verify(VerifyArgs),
    /// Store keyframes in a trace, so that a debugger gets anywhere in it at once.
    #[command(after_help = "\
Examples:
  reprise index bug.rpt                    in place; at every moment one whole trace is there
  reprise index bug.rpt -o fast.rpt        leave bug.rpt as it is
  reprise index bug.rpt --every 16777216   twice as many
  reprise index bug.rpt --max-mib 64       no larger than that; keyframes get rarer

The trace is replayed once. Keyframes that it has are replaced; what was recorded stays as it is. A keyframe every \
33,554,432 steps means that a seek executes at most so many, some 0.15 s. A trace for a link is better without: \
`reprise index bug.rpt --remove` takes them out.")]
    Index(IndexArgs),
    /// Measure how fast time travel is in a trace.
    #[command(hide = true)]
    TravelBench(TravelBenchArgs),
    /// Debug a trace with gdb, forwards and backwards.
    #[command(after_help = "\
Examples:
  reprise gdb bug.rpt                           starts gdb where the recorded program begins
  reprise gdb bug.rpt --at 120000000            at an icount
  reprise gdb bug.rpt -- -ex continue -ex 'reverse-stepi' -ex 'info threads'
  reprise gdb bug.rpt --machine                 the kernel and everything below, from power-on
  reprise gdb bug.rpt --server --port 1234      for another gdb or LLDB: target remote :1234
  reprise gdb --live --port 1234 -o new.rpt -- /demos/race
                                                debug while it is recorded; its console is this terminal

Each Linux process is an inferior of gdb, with its threads; symbols come out of the guest. Beside gdb's own \
commands (continue, reverse-continue, reverse-stepi, watch, ...) there are `when`, `seek`, `to-start`, `to-end`, `ps`, \
`who-wrote VARIABLE`, and more under `monitor help`. The trace is never changed: writing a register or variable, or \
calling a function, goes on in a diversion, and `undiverge` ends that.")]
    Gdb(GdbArgs),
    /// Put a container image into a site, so that it can be booted and recorded on the page.
    #[command(after_help = "\
Examples:
  reprise convert oci:./layout:latest -o site
  reprise convert docker-archive:saved.tar -o site --title Editor -e MODE=demo -- --verbose
  reprise serve site                        the page, with the container on it

A folder that is empty or not there becomes a site: the page is copied into it. A site that is there already is added to. Put the \
folder on any web server; from one that answers ranges, the page reads of a large image only what it needs.")]
    Convert(ConvertArgs),
    /// Serve the page, for this computer alone, and a trace to open in it.
    #[command(after_help = "\
Examples:
  reprise serve                             the page: boot, record, open the demos
  reprise serve bug.rpt                     prints the link that opens bug.rpt
  reprise serve --port 8000 /srv/reprise    a site that `cargo xtask site --into` built

The link goes to standard output. Images that the site lacks and this computer has are served, too. Only this computer can \
reach the server; for others, put the site's folder on any web server. Ctrl-C ends it.")]
    Serve(ServeArgs),
    /// Bring a gdb of this computer to the recording that a page shows.
    #[command(after_help = "\
Examples:
  reprise bridge                               for a page of `reprise serve`
  reprise bridge --origin https://name.example for a page of another site
  gdb-multiarch -ex 'set remotetimeout 60' -ex 'target remote 127.0.0.1:7711'

It prints a code. Press \"gdb\" on the page, paste it, then start gdb, or let it wait: it tries for some seconds. Any gdb that \
knows RISC-V will do. Where gdb goes, the page follows, and stays there when gdb has gone; meanwhile the page's own buttons \
do not move. A code lets one page in, once, and the next one is printed when that page has gone. Only this computer can \
connect, only from a page that it serves itself or that --origin names. The codes go to standard output. Ctrl-C ends it.")]
    Bridge(BridgeArgs),
    /// Tell what went into a recording, before it is given away.
    #[command(after_help = "\
Examples:
  reprise scrub bug.rpt
  reprise scrub bug.rpt --json | jq .environment

Told are the command, the names of the environment's variables, files that were added, what was typed, the workspace's files whose bytes are in the \
trace, whom the guest heard from over the network, and, under `look at`, what holds secrets as a rule, going by its name. --json tells \
all of it, with the variables' values. Nothing is taken out: a recording without something is made without it.")]
    Scrub(ScrubArgs),
    /// Print the link that opens a trace in the page.
    #[command(after_help = "\
Examples:
  reprise share bug.rpt --site https://example.org/reprise/
  reprise share bug.rpt --at 120000000
  reprise share big.rpt --url https://example.org/traces/big.rpt

A small trace is in the link itself, and no server ever sees it. A larger one is to be put on a web server first. \
Whoever gets the link sees everything that was typed and printed, all memory of the machine, and the files that were added: what went \
into the recording is told, as by `reprise scrub`, and a person at a terminal is asked.")]
    Share(ShareArgs),
    /// Write what the guest has made and changed in its workspace to an archive.
    #[command(after_help = "\
Examples:
  reprise files bug.rpt -o changed.tar
  reprise files bug.rpt -o before.tar --to 120000000    as it was at an icount

Of a file that the guest has changed in part and not read, the rest is not in the recording: it is left out, and told.")]
    Files(FilesArgs),
    /// Write the recording inside a link to a file.
    #[command(after_help = "\
Examples:
  reprise save 'https://example.org/reprise/#t=iVABgA...' -o bug.rpt

Quote the link: a shell would take the & in it for something else.")]
    Save(SaveArgs),
    /// Run a bare-metal RISC-V ELF that reports through HTIF `tohost`.
    #[command(after_help = "\
Examples:
  reprise bare rv64ui-p-add
  reprise bare test.elf --signature test.sig
  reprise bare kernel --disk fs.img --input commands.txt

A whole program, hello.S, for RAM that begins at 0x80000000 and a 16550 UART at 0x10000000; a write to the \
symbol `tohost` ends it, 1 as passed and (N << 1) | 1 as test N failed:

  .global _start, tohost
  _start: li   t0, 0x10000000
          la   t1, text
  next:   lbu  t2, 0(t1)
          beqz t2, done
          sb   t2, 0(t0)
          addi t1, t1, 1
          j    next
  done:   li   t2, 1
          la   t1, tohost
          sd   t2, 0(t1)
  wait:   j    wait
  text:   .asciz \"hello\\n\"
          .balign 8
  tohost: .dword 0

  riscv64-linux-gnu-gcc -nostdlib -static -Wl,-N -Wl,--build-id=none \\
    -Wl,-Ttext=0x80000000 -o hello hello.S
  reprise bare hello

Exit status 0 means pass; else the number of the failing test is printed and the status is 1; 124 \
means that --max-icount was reached.")]
    Bare(BareArgs),
}

#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) guest: GuestArgs,
}

#[derive(Args, Debug)]
pub(crate) struct RecordArgs {
    /// The trace to write. Default: recording.rpt, or recording-2.rpt and so on when that
    /// is taken.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Overwrite the file that -o names if it is there.
    #[arg(long, requires = "output")]
    pub(crate) force: bool,
    /// Put kernel, initrd and disks into the trace, so that it replays anywhere.
    #[arg(long)]
    pub(crate) embed: bool,
    /// Store keyframes while recording, as `reprise index` does afterwards: a debugger gets anywhere in the trace at once,
    /// and the trace is much larger.
    #[arg(long)]
    pub(crate) keyframes: bool,
    /// Record N times, with the seeds S, S+1, S+2 and so on, and keep the first trace whose command failed. S is what --seed
    /// says, else random.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) tries: Option<u32>,
    /// Stop at the first try that fails.
    #[arg(long, requires = "tries")]
    pub(crate) until_fail: bool,
    #[command(flatten)]
    pub(crate) guest: GuestArgs,
}

/// What `run` and `record` share.
#[derive(Args, Debug)]
pub(crate) struct GuestArgs {
    /// A container image to run, for linux/riscv64: oci:DIR (an OCI layout) or docker-archive:FILE, with :TAG after it where there
    /// are several, or docker://HOST/NAME:TAG, at a registry, with the logins of Docker's configuration. Or, as DIR alone, the folder
    /// with the guest (Image, initrd, manifest.json). Default: the guest that `cargo xtask guest` built, and no container.
    #[arg(long, value_name = "IMAGE", value_parser = image_parser())]
    pub(crate) image: Option<ImageArg>,
    #[command(flatten)]
    pub(crate) container: ContainerArgs,
    /// RAM in MiB; a browser replays at most 1024.
    #[arg(long, value_name = "MIB", default_value_t = 256,
          value_parser = clap::value_parser!(u64).range(64..=65536))]
    pub(crate) ram: u64,
    /// Seed of everything that looks random: a number, or 64 hexadecimal digits. The same seed, command and input are the
    /// same execution. Default: from the system.
    #[arg(long, value_name = "N", value_parser = crate::seed::parse)]
    pub(crate) seed: Option<crate::seed::Seed>,
    /// Wall clock that the guest starts with, in seconds since 1970. Default: now; with --seed or --tries
    /// 1767225600, which is 2026-01-01 00:00:00 UTC, or just after the newest file of the workspace that is not of
    /// the future.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=18_000_000_000))]
    pub(crate) clock: Option<u64>,
    /// Put a file or folder of this computer into the guest, and into the trace.
    #[arg(long, value_name = "HOST:GUEST")]
    pub(crate) add: Vec<OsString>,
    /// Let the guest work in a folder of this computer, as /workspace, which is then where the command runs. What it changes
    /// stays in the machine: the folder is not changed. Files are read when the guest first reads them, and are in the trace from
    /// then on, as are the names of all. `ro`: it may change nothing; `cow` is the default.
    #[arg(long, value_name = "DIR[:cow|:ro]", value_parser = workspace_parser())]
    pub(crate) workspace: Option<WorkspaceArg>,
    /// Let the guest reach whatever this computer reaches by TCP and UDP (IPv4), and this computer's own servers as 10.0.2.2. What it
    /// receives is in the trace, which replays without a network.
    #[arg(long)]
    pub(crate) net: bool,
    /// Let programs of this computer reach a port of the guest's at a port of 127.0.0.1; 0 is any free one. The guest itself reaches
    /// nothing without --net. May be given several times.
    #[arg(short = 'p', long, value_name = "HOST:GUEST")]
    pub(crate) publish: Vec<Forward>,
    /// Attach a disk image. The guest's writes stay in the machine; the file is not changed.
    #[arg(long, value_name = "FILE")]
    pub(crate) disk: Vec<PathBuf>,
    /// Type this file into the guest, a line at a time.
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Stop at this icount, with status 124.
    #[arg(long, value_name = "N")]
    pub(crate) max_icount: Option<u64>,
    /// Let the guest's idle time take real time. Default at a terminal.
    #[arg(long, conflicts_with = "fast")]
    pub(crate) paced: bool,
    /// Let the guest's idle time take no time. Default otherwise, except while a pipe has nothing to type.
    #[arg(long)]
    pub(crate) fast: bool,
    /// Say nothing on stderr but errors.
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// The command to run in the guest; in a container, what takes the place of the image's CMD. Default: a shell, or what
    /// the container image says.
    #[arg(last = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

/// What `--image` names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ImageArg {
    /// The folder of a guest.
    Guest(PathBuf),
    /// A container image, which the default guest runs.
    Container(ContainerSource),
}

impl ImageArg {
    /// The folder of the guest, where that is what is named.
    pub(crate) fn guest(&self) -> Option<&Path> {
        match self {
            Self::Guest(folder) => Some(folder),
            Self::Container(_) => None,
        }
    }
}

fn image_parser() -> impl TypedValueParser<Value = ImageArg> {
    OsStringValueParser::new().map(|text| match ContainerSource::parse(&text) {
        Some(source) => ImageArg::Container(source),
        None => ImageArg::Guest(text.into()),
    })
}

/// What `--workspace` names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct WorkspaceArg {
    /// The folder.
    pub(crate) folder: PathBuf,
    /// Whether the guest may change nothing.
    pub(crate) is_read_only: bool,
}

fn workspace_parser() -> impl TypedValueParser<Value = WorkspaceArg> {
    OsStringValueParser::new().try_map(|text| {
        let bytes = text.as_bytes();
        if bytes.ends_with(b":rw") {
            return Err("a workspace that writes through is not there yet: use :cow or :ro");
        }
        let read_only = bytes.strip_suffix(b":ro");
        let folder = read_only.or(bytes.strip_suffix(b":cow")).unwrap_or(bytes);
        if folder.is_empty() {
            return Err("it names no folder");
        }
        Ok(WorkspaceArg {
            folder: OsStr::from_bytes(folder).into(),
            is_read_only: read_only.is_some(),
        })
    })
}

/// How the command is run, as `docker run` has it.
#[derive(Args, Debug, Default)]
pub(crate) struct ContainerArgs {
    /// Set an environment variable; NAME alone takes this computer's value.
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<OsString>,
    /// The command's working directory. Default: /workspace if there is one, else the image's.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workdir: Option<OsString>,
    /// Whom the command runs as in the container, by the image's /etc/passwd and /etc/group. Default: the image's user.
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,
    /// The program to run in the container instead of the image's; its CMD is left out, too.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) entrypoint: Option<OsString>,
    /// The container's host name. Default: reprise.
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
}

impl ContainerArgs {
    /// Whether something is set that only a container has.
    pub(crate) fn wants_container(&self) -> bool {
        self.user.is_some() || self.entrypoint.is_some() || self.hostname.is_some()
    }
}

#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// The trace.
    #[arg(value_name = "FILE")]
    pub(crate) trace: PathBuf,
    /// Stop at this icount.
    #[arg(long, value_name = "ICOUNT")]
    pub(crate) to: Option<u64>,
    /// Do not print the console.
    #[arg(short, long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) images: ImagesArgs,
}

#[derive(Args, Debug)]
pub(crate) struct ImagesArgs {
    /// Look here, too, for the images that the trace names by their hash.
    #[arg(long, value_name = "DIR")]
    pub(crate) images: Vec<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct InfoArgs {
    /// The trace.
    #[arg(value_name = "FILE")]
    pub(crate) trace: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) images: ImagesArgs,
}

#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// The trace.
    #[arg(value_name = "FILE")]
    pub(crate) trace: PathBuf,
    /// What to compare the execution with.
    #[arg(long, value_enum, default_value_t = AgainstArg::Trace)]
    pub(crate) against: AgainstArg,
    #[command(flatten)]
    pub(crate) images: ImagesArgs,
}

/// What `verify` compares with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum AgainstArg {
    /// The recorded state hashes.
    Trace,
    /// An execution that is saved and restored into a fresh machine at intervals.
    Checkpoint,
    /// An execution by the reference engine; takes some 30 times as long as a replay.
    Reference,
}

#[derive(Args, Debug)]
pub(crate) struct IndexArgs {
    /// The trace.
    #[arg(value_name = "FILE")]
    pub(crate) trace: PathBuf,
    /// Write the trace with keyframes here and leave FILE as it is.
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    /// Steps between two keyframes.
    #[arg(long, value_name = "STEPS", default_value_t = reprise_recorder::keyframes::KEYFRAME_STEPS,
          value_parser = clap::value_parser!(u64).range(1 << 20..))]
    pub(crate) every: u64,
    /// What keyframes may take up, in MiB. Where it is not enough, the steps between them double.
    #[arg(long, value_name = "MIB", default_value_t = reprise_recorder::keyframes::KEYFRAME_BYTES_MAX >> 20,
          value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub(crate) max_mib: u64,
    /// Take the keyframes out and store none.
    #[arg(long, conflicts_with_all = ["every", "max_mib"])]
    pub(crate) remove: bool,
    /// Say nothing on stderr but errors.
    #[arg(short, long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) images: ImagesArgs,
}

#[derive(Args, Debug)]
pub(crate) struct TravelBenchArgs {
    /// The trace.
    #[arg(value_name = "FILE")]
    pub(crate) trace: PathBuf,
    /// Random positions for each figure.
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) positions: usize,
    /// Memory for checkpoints in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 512)]
    pub(crate) checkpoint_mib: u64,
    #[command(flatten)]
    pub(crate) images: ImagesArgs,
}

#[derive(Args, Debug)]
pub(crate) struct GdbArgs {
    /// The trace.
    #[arg(
        value_name = "FILE",
        required_unless_present = "live",
        conflicts_with = "live"
    )]
    pub(crate) trace: Option<PathBuf>,
    /// Listen at this TCP port of the loopback interface; 0 is any free one.
    #[arg(long, value_name = "N", conflicts_with = "unix")]
    pub(crate) port: Option<u16>,
    /// Listen at this path. Default with the gdb that is started: a path that only you can reach.
    #[arg(long, value_name = "PATH")]
    pub(crate) unix: Option<PathBuf>,
    /// Begin at this icount. Default: where the recorded program begins.
    #[arg(long, value_name = "ICOUNT", conflicts_with = "live")]
    pub(crate) at: Option<u64>,
    /// Show the machine and its kernel, not the processes.
    #[arg(long)]
    pub(crate) machine: bool,
    /// Start no gdb: serve one client after the other, until Ctrl-C.
    #[arg(long, conflicts_with = "gdb")]
    pub(crate) server: bool,
    /// The gdb to start. Default: gdb-multiarch, riscv64-linux-gnu-gdb or gdb.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) gdb: Option<OsString>,
    /// Memory for checkpoints in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 512,
          value_parser = clap::value_parser!(u64).range(16..=65536))]
    pub(crate) checkpoint_mib: u64,
    #[command(flatten)]
    pub(crate) images: ImagesArgs,
    /// Boot the guest, run a command in it and record that, while gdb looks on from another terminal: it stops the
    /// guest, looks, steps back and goes on.
    #[arg(long, conflicts_with = "gdb")]
    pub(crate) live: bool,
    #[command(flatten)]
    pub(crate) guest: LiveGuestArgs,
    /// Arguments for gdb; with --live the command to run in the guest.
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) arguments: Vec<OsString>,
}

/// What `gdb --live` records.
#[derive(Args, Debug)]
pub(crate) struct LiveGuestArgs {
    /// With --live, the trace to write. Default: recording.rpt, or the next name that is free.
    #[arg(short, long, value_name = "FILE", requires = "live")]
    pub(crate) output: Option<PathBuf>,
    /// With --live, a container image as oci:DIR:TAG, docker-archive:FILE:TAG or docker://HOST/NAME:TAG, or the folder
    /// with the guest.
    #[arg(long, value_name = "IMAGE", requires = "live", value_parser = image_parser())]
    pub(crate) image: Option<ImageArg>,
    /// With --live, RAM in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 256,
          value_parser = clap::value_parser!(u64).range(64..=65536))]
    pub(crate) ram: u64,
    /// With --live, the seed.
    #[arg(long, value_name = "N", value_parser = crate::seed::parse, requires = "live")]
    pub(crate) seed: Option<crate::seed::Seed>,
    /// With --live, put a file or folder of this computer into the guest.
    #[arg(long, value_name = "HOST:GUEST", requires = "live")]
    pub(crate) add: Vec<OsString>,
    /// With --live, a folder of this computer that the guest works in, as /workspace; it is not changed.
    #[arg(long, value_name = "DIR[:cow|:ro]", requires = "live", value_parser = workspace_parser())]
    pub(crate) workspace: Option<WorkspaceArg>,
    /// With --live, let the guest reach whatever this computer reaches.
    #[arg(long, requires = "live")]
    pub(crate) net: bool,
    /// With --live, let programs of this computer reach a port of the guest's.
    #[arg(short = 'p', long, value_name = "HOST:GUEST", requires = "live")]
    pub(crate) publish: Vec<Forward>,
    /// With --live, type this file into the guest.
    #[arg(long, value_name = "FILE", requires = "live")]
    pub(crate) input: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct ConvertArgs {
    /// The container image: oci:DIR or docker-archive:FILE, each with :TAG behind it where there are several, or docker://HOST/NAME:TAG.
    #[arg(value_name = "IMAGE", value_parser = OsStringValueParser::new().try_map(container_from_arg))]
    pub(crate) image: ContainerSource,
    /// The folder of the site.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// What the page calls it. Default: the image's name.
    #[arg(long, value_name = "TEXT")]
    pub(crate) title: Option<String>,
    /// The site that is copied where there is none yet. Default: the one that `cargo xtask site` built beside this program.
    #[arg(long, value_name = "DIR")]
    pub(crate) site: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) container: ContainerArgs,
    /// Say nothing on stderr but errors.
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// What takes the place of the image's CMD.
    #[arg(last = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

fn container_from_arg(text: OsString) -> Result<ContainerSource, &'static str> {
    ContainerSource::parse(&text)
        .ok_or("write oci:DIR[:TAG], docker-archive:FILE[:TAG] or docker://HOST/NAME[:TAG]")
}

#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    /// A trace to open, or the folder of a site.
    #[arg(value_name = "FILE|DIR")]
    pub(crate) what: Option<PathBuf>,
    /// Folder of the site. Default: the one that `cargo xtask site` built beside this program.
    #[arg(long, value_name = "DIR")]
    pub(crate) site: Option<PathBuf>,
    /// TCP port of the loopback interface; 0 is any free one.
    #[arg(long, value_name = "N", default_value_t = crate::commands::serve::PORT)]
    pub(crate) port: u16,
    #[command(flatten)]
    pub(crate) images: ImagesArgs,
}

#[derive(Args, Debug)]
pub(crate) struct BridgeArgs {
    /// TCP port of the loopback interface for gdb; 0 is any free one. Default: 7711, or any free one.
    #[arg(long, value_name = "N")]
    pub(crate) gdb_port: Option<u16>,
    /// TCP port of the loopback interface for the page; 0 is any free one. Default: 7712, or any free one.
    #[arg(long, value_name = "N")]
    pub(crate) port: Option<u16>,
    /// Let a page of this site connect, too. It can then do what gdb is asked to do; allow what you trust.
    #[arg(long, value_name = "ORIGIN", value_parser = crate::bridge::origin_from_text)]
    pub(crate) origin: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ScrubArgs {
    /// The trace.
    #[arg(value_name = "FILE")]
    pub(crate) trace: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ShareArgs {
    /// The trace.
    #[arg(value_name = "FILE")]
    pub(crate) trace: PathBuf,
    /// Open it at this icount.
    #[arg(long, value_name = "ICOUNT")]
    pub(crate) at: Option<u64>,
    /// Address of the page. Default: $REPRISE_SITE, else that of `reprise serve`.
    #[arg(long, value_name = "URL")]
    pub(crate) site: Option<String>,
    /// Where the trace can be fetched: the link names that, and holds no trace.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Do not ask.
    #[arg(short, long)]
    pub(crate) yes: bool,
}

#[derive(Args, Debug)]
pub(crate) struct FilesArgs {
    /// The trace.
    #[arg(value_name = "TRACE")]
    pub(crate) trace: PathBuf,
    /// The tar archive to write; none is written where nothing was changed.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// The files as they were at this icount. Default: at the end.
    #[arg(long, value_name = "ICOUNT")]
    pub(crate) to: Option<u64>,
    /// Overwrite the file that -o names if it is there.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) images: ImagesArgs,
}

#[derive(Args, Debug)]
pub(crate) struct SaveArgs {
    /// The link.
    #[arg(value_name = "LINK")]
    pub(crate) link: String,
    /// The trace to write. Default: recording.rpt, or the next name that is free.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Overwrite the file that -o names if it is there.
    #[arg(long, requires = "output")]
    pub(crate) force: bool,
}

#[derive(Args, Debug)]
pub(crate) struct BareArgs {
    /// The program.
    #[arg(value_name = "ELF")]
    pub(crate) elf: PathBuf,
    /// RAM in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 256,
          value_parser = clap::value_parser!(u64).range(2..=65536))]
    pub(crate) ram: u64,
    /// Stop at this icount, with status 124.
    #[arg(long, value_name = "N")]
    pub(crate) max_icount: Option<u64>,
    /// Write memory between the symbols begin_signature and end_signature, as hexadecimal words.
    #[arg(long, value_name = "FILE")]
    pub(crate) signature: Option<PathBuf>,
    /// Attach a disk image as a virtio disk. The program's writes do not reach the file.
    #[arg(long, value_name = "FILE")]
    pub(crate) disk: Vec<PathBuf>,
    /// Type this file into the UART, as fast as it takes it, whenever nothing more is printed.
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_leaves_it_to_the_terminal_where_lines_of_a_paragraph_break() {
        let all = Cli::command();
        for command in all.get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string);
            let help = help.unwrap_or_default();
            let lines: Vec<&str> = help.lines().collect();
            for pair in lines.windows(2) {
                let is_prose = |line: &str| line.starts_with(|first: char| !first.is_whitespace());
                let is_broken = is_prose(pair[0]) && is_prose(pair[1]);
                assert!(!is_broken, "{}: {pair:?}", command.get_name());
            }
        }
    }
}
