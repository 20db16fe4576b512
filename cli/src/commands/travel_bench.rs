//! `reprise travel-bench`: how fast time travel is.

use crate::args::TravelBenchArgs;
use crate::open::OpenTrace;
use crate::threads::Threads;
use anyhow::{Context, bail};
use reprise_core::debug::{DebugHit, DebugPlan, Watch, WatchKind, WatchPlace};
use reprise_core::machine::Machine;
use reprise_core::riscv::view::translate;
use reprise_core::types::{CpuId, GuestPhysAddr, GuestVirtAddr, Icount};
use reprise_recorder::timeline::{Judge, ReplayTimeline, RunDirection, TimelineOptions, unhurried};
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Measures and prints a table.
pub(crate) fn travel_bench(args: &TravelBenchArgs) -> anyhow::Result<u8> {
    let began = Instant::now();
    let trace = OpenTrace::open(&args.trace, &args.images.images)?;
    let opened = began.elapsed();
    let options = TimelineOptions {
        checkpoint_bytes_max: args.checkpoint_mib << 20,
    };
    let mut timeline = trace.timeline(options)?;
    let ready = began.elapsed();
    let mut random = Random(1);
    let end = timeline.end();
    if end.0 < 1 << 24 {
        bail!("a trace of {end} steps is too short to measure anything");
    }
    let first = Icount(random.below(end.0));
    timeline.seek(first, &mut unhurried)?;
    println!(
        "trace            {end} steps, {} bytes",
        trace.file.byte_len()
    );
    println!(
        "cold start       {:.0} ms to open, {:.0} ms to power-on, {:.0} ms to icount {first}",
        milliseconds(opened),
        milliseconds(ready),
        milliseconds(began.elapsed())
    );
    println!(
        "\nmilliseconds                      median      p95    worst  of CPU: median   p95    worst"
    );
    let mut bench = Bench {
        timeline,
        random,
        end,
        positions: args.positions,
    };
    bench.seeks()?;
    bench.steps()?;
    bench.continues()?;
    bench.last_write()?;
    let (bytes, count) = bench.timeline.checkpoint_usage();
    println!("\ncheckpoints      {count}, {} MiB", bytes >> 20);
    println!("peak memory      {} MiB", peak_rss_kib()? >> 10);
    Ok(0)
}

struct Bench {
    timeline: ReplayTimeline,
    random: Random,
    end: Icount,
    positions: usize,
}

impl Bench {
    fn go(&mut self, to: Icount) -> anyhow::Result<Took> {
        let began = Stopwatch::start();
        self.timeline.seek(to, &mut unhurried)?;
        Ok(began.stop())
    }

    fn random_place(&mut self) -> Icount {
        Icount(1000 + self.random.below(self.end.0 - 1000))
    }

    fn seeks(&mut self) -> anyhow::Result<()> {
        let mut times = Vec::new();
        for _ in 0..self.positions {
            let to = self.random_place();
            times.push(self.go(to)?);
        }
        tell("seek to a random place", &times);
        Ok(())
    }

    fn steps(&mut self) -> anyhow::Result<()> {
        let (mut firsts, mut others) = (Vec::new(), Vec::new());
        for _ in 0..self.positions {
            let to = self.random_place();
            self.go(to)?;
            for number in 0..4 {
                let began = Stopwatch::start();
                self.timeline.step(RunDirection::Backward)?;
                let took = began.stop();
                if number == 0 {
                    firsts.push(took);
                } else {
                    others.push(took);
                }
            }
        }
        tell("reverse step", &firsts);
        tell("further reverse steps", &others);
        Ok(())
    }

    /// Back to where the machine was some steps ago: a breakpoint at the instruction there, of whose hits on the way, often
    /// many, none counts. And back over as much without any hit.
    fn continues(&mut self) -> anyhow::Result<()> {
        for (name, steps) in [
            ("1 M", 1_000_000),
            ("100 M", 100_000_000),
            ("1 G", 1_000_000_000),
        ] {
            let (mut to_hit, mut to_edge) = (Vec::new(), Vec::new());
            for _ in 0..(2_000_000_000 / steps).min(20) {
                if self.end.0 <= steps + 2000 {
                    return Ok(());
                }
                let target = Icount(1000 + self.random.below(self.end.0 - steps - 2000));
                self.go(target)?;
                let pc = self.timeline.machine().cpu(CpuId(0)).pc();
                for (address, times) in [(pc, &mut to_hit), (2, &mut to_edge)] {
                    self.go(target.after(steps))?;
                    let plan = DebugPlan {
                        breakpoints: [GuestVirtAddr(address)].into(),
                        ..DebugPlan::default()
                    };
                    let began = Stopwatch::start();
                    self.timeline.run(
                        RunDirection::Backward,
                        &plan,
                        &mut |_, hit| hit.icount <= target,
                        &mut |here| {
                            if address == 2 && here < target {
                                ControlFlow::Break(())
                            } else {
                                ControlFlow::Continue(())
                            }
                        },
                    )?;
                    times.push(began.stop());
                }
            }
            tell(&format!("reverse continue over {name}"), &to_edge);
            tell("  past hits that don't count", &to_hit);
        }
        Ok(())
    }

    /// All writes to 8 bytes of RAM over the whole trace, on all processors: at the top of the stack that was in use at some
    /// place, and where nobody writes.
    fn last_write(&mut self) -> anyhow::Result<()> {
        let threads = Threads::available();
        let place = self.random_place();
        self.go(place)?;
        let machine = self.timeline.machine();
        let cpu = machine.cpu(CpuId(0));
        let stack = translate(
            machine.memory(),
            cpu.address_space(),
            GuestVirtAddr(cpu.x()[2]),
        );
        let nowhere = GuestPhysAddr(0x8000_0000 + machine.memory().byte_len() / 4 * 3);
        println!("\nseconds for all writes to an address");
        for (name, address) in [("nobody's", Some(nowhere)), ("a stack's", stack)] {
            let Some(address) = address else {
                continue;
            };
            let plan = DebugPlan {
                watches: vec![Watch {
                    place: WatchPlace::Physical(address),
                    byte_len: 8,
                    kind: WatchKind::Write,
                }],
                ..DebugPlan::default()
            };
            let judge = || Box::new(|_: &Machine, _: &DebugHit| true) as Box<dyn Judge>;
            for (extent, steps) in [("1 G", 1_000_000_000), ("all", u64::MAX)] {
                let range = Icount(self.end.0.saturating_sub(steps))..self.end;
                self.go(range.start)?;
                let began = Stopwatch::start();
                let found =
                    self.timeline
                        .find_all(range, &plan, &judge, &threads, &mut unhurried)?;
                let took = began.stop();
                println!(
                    "{:28}   {:9.2} of CPU {:9.2}, {} writes",
                    format!("{name}, over {extent}"),
                    took.wall.as_secs_f64(),
                    took.cpu.as_secs_f64(),
                    found.len()
                );
            }
        }
        Ok(())
    }
}

/// How long something took: on the wall's clock, and in CPU time of this process, which tells more on a loaded machine.
#[derive(Clone, Copy)]
struct Took {
    wall: Duration,
    cpu: Duration,
}

struct Stopwatch {
    wall: Instant,
    cpu: Duration,
}

impl Stopwatch {
    fn start() -> Self {
        Self {
            wall: Instant::now(),
            cpu: cpu_time(),
        }
    }

    fn stop(&self) -> Took {
        Took {
            wall: self.wall.elapsed(),
            cpu: cpu_time().saturating_sub(self.cpu),
        }
    }
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn tell(name: &str, took: &[Took]) {
    print!("{name:28}");
    for time_of in [|took: &Took| took.wall, |took: &Took| took.cpu] {
        let mut times: Vec<Duration> = took.iter().map(time_of).collect();
        times.sort_unstable();
        let at = |part: usize| milliseconds(times[(times.len() - 1) * part / 100]);
        print!("   {:9.1} {:8.1} {:8.1}", at(50), at(95), at(100));
    }
    println!();
}

/// The same positions in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, below: u64) -> u64 {
        self.0 = (self.0)
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((u128::from(self.0) * u128::from(below.max(1))) >> 64) as u64
    }
}

fn peak_rss_kib() -> anyhow::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .context("the kernel does not tell the peak of the memory")
}
