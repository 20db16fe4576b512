//! `cargo xtask bench`: how fast the machine is, natively and as wasm in node, what recording costs, and the ratio to
//! QEMU where that is installed.
//!
//! Time travel is measured by the binary itself, on a recording of some 3.7 G steps with and without keyframes.
//!
//! Each program runs in the default guest. What booting and powering off cost is measured apart and subtracted, so the figures are
//! guest instructions of the program per CPU second of the host.

mod outside;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::tools::{build_reprise, build_wasm, run};
use crate::{Failure, Result, cache, checkout, ci, files, guest, process, web_test};

const USAGE: &str = "\
Usage: cargo xtask bench [--quick] [--outside | --web]

Prints million guest instructions per CPU second for the benchmark programs of the guest: natively, while recording, and
replayed as wasm in node; the CPU seconds from power-on to init; and, where qemu-system-riscv64 is installed, its CPU seconds for
the same work. Then what containers cost and what a workspace and a network let through, and how much larger than that their traces are. Then how fast time travel is, in a recording of some 3.7 G steps that is kept in the cache. --quick does a tenth of the
work, --outside that about containers, workspace and network alone. On a loaded machine take ratios, not absolutes.

--web measures the page in Chromium instead: what is sent, how long a boot, an echo, a scrub, a seek and a step take, and the
memory of the tab. It is drawn without a graphics card there.
";

/// A program of the guest with its argument, and what TinyEMU and QEMU's TCG made of its like on a machine of this
/// kind, in million guest instructions per CPU second.
struct Program {
    name: &'static str,
    iterations: u64,
    tinyemu: u32,
}

const PROGRAMS: [Program; 4] = [
    Program {
        name: "intmix",
        iterations: 4000,
        tinyemu: 243,
    },
    Program {
        name: "memory",
        iterations: 60,
        tinyemu: 246,
    },
    Program {
        name: "nbody",
        iterations: 400_000,
        tinyemu: 120,
    },
    Program {
        name: "syscalls",
        iterations: 1_000_000,
        tinyemu: 114,
    },
];
/// Works through memory, calls the kernel and computes, for some 3.7 G steps.
const TRAVEL_COMMAND: &str =
    "/bench/memory 300; /bench/syscalls 2000000; /bench/intmix 1500; /bench/memory 100";
/// Runs of one measurement; the least CPU time counts, since noise only adds.
const RUNS: u32 = 3;

/// One execution: how far it got, and the host's CPU seconds for it.
#[derive(Clone, Copy)]
struct Cost {
    icount: u64,
    seconds: f64,
}

impl Cost {
    /// Million instructions per CPU second beyond a baseline.
    fn mips_beyond(self, baseline: Self) -> f64 {
        self.icount.saturating_sub(baseline.icount) as f64
            / 1e6
            / (self.seconds - baseline.seconds).max(1e-3)
    }
}

/// `cargo xtask bench`.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    let mut divisor = 1;
    let mut is_outside_alone = false;
    for argument in arguments {
        match argument.as_str() {
            "--help" | "-h" => {
                print!("{USAGE}");
                return Ok(());
            }
            "--quick" => divisor = 10,
            "--outside" => is_outside_alone = true,
            "--web" => return web_test::bench(),
            other => {
                return Err(Failure::usage(format!(
                    "`bench` knows no `{other}`\n\n{USAGE}"
                )));
            }
        }
    }
    // The wasm module needs a C compiler for wasm, which the guest does not.
    ci::set_up()?;
    let guest = guest::build()?;
    let bench = Bench {
        reprise: build_reprise()?,
        wasm: build_wasm()?,
        folder: cache::root()?.join("bench"),
        guest: guest.folder,
        has_qemu: process::is_on_path("qemu-system-riscv64"),
    };
    files::make_folder(&bench.folder)?;
    if is_outside_alone {
        bench.containers()?;
        return bench.outside(divisor);
    }
    bench.run(divisor)
}

struct Bench {
    reprise: PathBuf,
    wasm: PathBuf,
    folder: PathBuf,
    guest: PathBuf,
    has_qemu: bool,
}

impl Bench {
    fn run(&self, divisor: u64) -> Result<()> {
        let idle = ["/bin/true".to_owned()];
        let mut native = self.best(|| self.native("run", &idle))?;
        let recording = self.best(|| self.native("record", &idle))?;
        native.icount = recording.icount;
        let replayed = self.best(|| self.node())?;
        let qemu = if self.has_qemu {
            Some(self.best(|| self.qemu(&idle))?)
        } else {
            None
        };
        println!(
            "boot, /bin/true, power off: {:.1} M steps",
            native.icount as f64 / 1e6
        );
        println!(
            "  native {:.2} s, recording {:.2} s, node {:.2} s",
            native.seconds, recording.seconds, replayed.seconds
        );
        if let Some(qemu) = qemu {
            println!(
                "  qemu-system-riscv64 {:.2} s; ratio qemu/reprise {:.2}",
                qemu.seconds,
                qemu.seconds / native.seconds
            );
        }
        println!("\nmillion guest instructions per CPU second");
        println!(
            "program       native  recording  cost of recording    node   TinyEMU's on such a machine   qemu/reprise CPU"
        );
        for program in PROGRAMS {
            let command = [
                format!("/bench/{}", program.name),
                (program.iterations / divisor).max(1).to_string(),
            ];
            let mut run = self.best(|| self.native("run", &command))?;
            let record = self.best(|| self.native("record", &command))?;
            run.icount = record.icount;
            let node = self.best(|| self.node())?;
            let mips = run.mips_beyond(native);
            let recorded = record.mips_beyond(recording);
            print!(
                "{:10} {mips:9.0} {recorded:10.0} {:17.1} % {:8.0} {:29}",
                program.name,
                (mips / recorded - 1.0) * 100.0,
                node.mips_beyond(replayed),
                program.tinyemu,
            );
            match qemu {
                Some(baseline) => {
                    let qemu = self.best(|| self.qemu(&command))?;
                    let ratio = (qemu.seconds - baseline.seconds)
                        / (run.seconds - native.seconds).max(1e-3);
                    println!(" {ratio:17.2}");
                }
                None => println!("   (no qemu-system-riscv64)"),
            }
        }
        self.containers()?;
        self.outside(divisor)?;
        self.travel(divisor)
    }

    /// How fast time travel is. The recording is kept from one bench to the next.
    fn travel(&self, divisor: u64) -> Result<()> {
        let guest = self.guest.file_name().unwrap_or_default();
        let name = format!("travel-{}.rpt", guest.to_string_lossy());
        let (plain, indexed) = (self.folder.join(&name), self.folder.join("indexed.rpt"));
        let index = || {
            let mut command = Command::new(&self.reprise);
            command.arg("index").arg(&plain).arg("-o").arg(&indexed);
            timed(&mut command)
        };
        // A recording of another machine version, or half of one, is made anew.
        let (_, seconds) = if plain.is_file()
            && let Ok(done) = index()
        {
            done
        } else {
            let mut command = Command::new(&self.reprise);
            command.args([
                "record",
                "--force",
                "--seed",
                "1",
                "--clock",
                "1600000000",
                "-o",
            ]);
            command
                .arg(&plain)
                .args(["--", "/bin/sh", "-c", TRAVEL_COMMAND]);
            timed(&mut command)?;
            index()?
        };
        println!("\ntime travel; storing keyframes takes {seconds:.1} s");
        let positions = (200 / divisor).max(20).to_string();
        for trace in [&indexed, &plain] {
            println!();
            let mut command = Command::new(&self.reprise);
            command.arg("travel-bench").arg(trace);
            run(command.args(["--positions", &positions]))?;
        }
        Ok(())
    }

    fn best(&self, measure: impl Fn() -> Result<Cost>) -> Result<Cost> {
        let mut best = measure()?;
        for _ in 1..RUNS {
            let cost = measure()?;
            if cost.seconds < best.seconds {
                best = cost;
            }
        }
        Ok(best)
    }

    fn trace(&self) -> PathBuf {
        self.folder.join("bench.rpt")
    }

    /// Runs or records a command of the guest; a recording replaces the bench's trace.
    fn native(&self, verb: &str, guest_command: &[String]) -> Result<Cost> {
        let mut command = Command::new(&self.reprise);
        // The same seed and clock: the same execution, recorded or not.
        command.args([verb, "--seed", "1", "--clock", "1600000000"]);
        if verb == "record" {
            command.args(["--force", "-o"]).arg(self.trace());
        }
        command.arg("--").args(guest_command);
        let (said, seconds) = timed(&mut command)?;
        // `run` does not say where it ended; it is where the recording of the same ends.
        let icount = if verb == "record" {
            icount_of(&said)?
        } else {
            0
        };
        Ok(Cost { icount, seconds })
    }

    /// Replays the bench's trace in node.
    fn node(&self) -> Result<Cost> {
        let mut command = Command::new("node");
        command
            .arg(checkout().join("tests/wasm/replay.mjs"))
            .arg(&self.wasm)
            .arg(self.trace());
        command.args([self.guest.join("Image"), self.guest.join("initrd")]);
        let (said, seconds) = timed(&mut command)?;
        Ok(Cost {
            icount: icount_of(&said)?,
            seconds,
        })
    }

    /// Runs a command of the guest in QEMU with a start disk made for it. QEMU counts no instructions here.
    fn qemu(&self, guest_command: &[String]) -> Result<Cost> {
        let disk = self.folder.join("start.img");
        fs::write(&disk, start_disk(guest_command))
            .map_err(|error| Failure::new(format!("can't write {}: {error}", disk.display())))?;
        let mut command = Command::new("qemu-system-riscv64");
        command
            .args([
                "-M",
                "virt",
                "-m",
                "256",
                "-nographic",
                "-monitor",
                "none",
                "-serial",
                "none",
            ])
            .args([
                "-global",
                "virtio-mmio.force-legacy=false",
                "-append",
                "console=hvc0 quiet",
            ])
            .arg("-kernel")
            .arg(self.guest.join("Image"))
            .arg("-initrd")
            .arg(self.guest.join("initrd"))
            .args([
                "-chardev",
                "stdio,id=console",
                "-device",
                "virtio-serial-device",
            ])
            .args([
                "-device",
                "virtconsole,chardev=console",
                "-device",
                "virtio-rng-device",
            ])
            .arg("-drive")
            .arg(format!(
                "file={},if=none,format=raw,id=start",
                disk.display()
            ))
            .args([
                "-device",
                "virtio-blk-device,drive=start,serial=reprise-start",
            ]);
        let (_, seconds) = timed(&mut command)?;
        Ok(Cost { icount: 0, seconds })
    }
}

/// The start disk's content for a command, as `guest/init/start.h` describes it.
fn start_disk(command: &[String]) -> Vec<u8> {
    const START_AT: usize = 1 << 20;
    let mut payload = Vec::new();
    let mut record = |tag: u32, data: &[u8]| {
        payload.extend(tag.to_le_bytes());
        payload.extend(0u32.to_le_bytes());
        payload.extend((data.len() as u64).to_le_bytes());
        payload.extend(data);
        payload.resize(payload.len().next_multiple_of(8), 0);
    };
    command
        .iter()
        .for_each(|argument| record(1, argument.as_bytes()));
    record(3, &1_600_000_000_000_000_000u64.to_le_bytes());
    record(4, &[1; 32]);
    record(0, &[]);
    let mut disk = vec![0; START_AT];
    disk.extend(b"RPSTART1");
    disk.extend((payload.len() as u64).to_le_bytes());
    disk.extend(payload);
    disk.resize((disk.len() + 4096).next_multiple_of(4096), 0);
    disk
}

/// Runs a command to its end; returns what it said on stderr and the CPU seconds that it took.
fn timed(command: &mut Command) -> Result<(String, f64)> {
    let shown = command.get_program().to_string_lossy().into_owned();
    let before = children_cpu_seconds()?;
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::new(format!("can't run {shown}: {error}")))?;
    let seconds = children_cpu_seconds()? - before;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(Failure::new(format!(
            "{shown} failed ({}): {}",
            output.status,
            said.trim_end()
        )));
    }
    Ok((said, seconds))
}

/// CPU seconds of all children waited for so far, user and system, in steps of 10 ms.
fn children_cpu_seconds() -> Result<f64> {
    let stat = files::read_text(Path::new("/proc/self/stat"))?;
    // The second field, the name, may hold spaces; it ends at the last parenthesis. `cutime` and `cstime` are the
    // 16th and 17th fields.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |field: usize| {
        fields
            .get(field - 3)
            .and_then(|text| text.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    Ok((ticks(16) + ticks(17)) / 100.0)
}

fn icount_of(said: &str) -> Result<u64> {
    let line = said
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("icount="));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| Failure::new("the run did not say where it ended"))
}
