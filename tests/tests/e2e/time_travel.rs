//! The laws of time travel, on recordings of Linux.
//!
//! Every state that is reached in whatever way is compared with the state of one straight run.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::support::{finish, folder, guest, record, replay, reprise};
use reprise_core::debug::{DebugHit, DebugPlan, Watch, WatchKind, WatchPlace};
use reprise_core::event::DebugWrite;
use reprise_core::image::ImageHash;
use reprise_core::machine::{Machine, MachineConfig, MachineError, MachineImages, StateHash};
use reprise_core::riscv::view::translate;
use reprise_core::types::{CpuId, GuestPhysAddr, GuestVirtAddr, Icount};
use reprise_recorder::entry::{Entry, EntryLog};
use reprise_recorder::keyframes::TraceKeyframes;
use reprise_recorder::replay::ReplaySession;
use reprise_recorder::timeline::{
    Executor, Job, Judge, KeyframeSource, MachineSource, ReplayTimeline, RunDirection,
    SerialExecutor, TimelineOptions, unhurried,
};
use reprise_recorder::trace::{Entries, config_from_header, images_from_header};
use reprise_tests::random::Random;
use reprise_tests::soak_factor;
use reprise_traces::{Compression, TraceReader, TraceWriter};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::{self, File};
use std::io::BufReader;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// Small enough for the host to hold several such machines, and for a straight run to take a second or two.
const RAM: [&str; 2] = ["--ram", "64"];

/// What to record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    /// Threads that race, over idle time.
    Race,
    /// A use after free, which ends in a fault.
    Uaf,
    /// Lines typed into a shell, with waiting between and behind them.
    Typed,
}

/// A recording, with and without keyframes.
pub(super) struct Recorded {
    folder: TempDir,
    entries: Vec<Entry>,
    source: Arc<Source>,
    pub(super) end: Icount,
    end_line: String,
}

struct Source {
    config: MachineConfig,
    kernel: Arc<[u8]>,
    initrd: Arc<[u8]>,
}

impl MachineSource for Source {
    fn machine(&self) -> Result<Machine, MachineError> {
        let images = MachineImages {
            kernel: Some(Arc::clone(&self.kernel)),
            initrd: Some(Arc::clone(&self.initrd)),
            ..MachineImages::default()
        };
        Machine::new(self.config.clone(), images, None)
    }
}

fn open(path: &Path) -> TraceReader<BufReader<File>> {
    TraceReader::open(BufReader::new(File::open(path).unwrap())).unwrap()
}

impl Recorded {
    pub(super) fn new(what: What) -> Self {
        let folder = folder();
        let plain = folder.path().join("plain.rpt");
        let script = folder.path().join("script");
        fs::write(
            &script,
            "echo one\nsleep 2; /demos/hello\nls /proc\nexit 3\n",
        )
        .unwrap();
        let typed = [&RAM[..], &["--input", script.to_str().unwrap()]].concat();
        let recorded = match what {
            What::Race => record(&plain, 3, &RAM, &["/demos/race"]),
            What::Uaf => record(&plain, 3, &RAM, &["/demos/uaf"]),
            What::Typed => record(&plain, 3, &typed, &[]),
        };
        let end_line = recorded.end().to_owned();
        let indexed = folder.path().join("indexed.rpt");
        let mut index = reprise();
        index.arg("index").arg(&plain).arg("-o").arg(&indexed);
        finish(index.args(["--every", "8388608"])).expect(0);
        let reader = open(&plain);
        let images = images_from_header(reader.header());
        let image = |name: &str, number: usize| -> Arc<[u8]> {
            let bytes = fs::read(guest().join(name)).unwrap();
            assert_eq!(ImageHash::of(&bytes), images[number].hash);
            bytes.into()
        };
        let source = Source {
            config: config_from_header(reader.header()).unwrap(),
            kernel: image("Image", 0),
            initrd: image("initrd", 1),
        };
        let entries: Vec<Entry> = Entries::new(reader).map(Result::unwrap).collect();
        Self {
            end: entries.last().unwrap().icount(),
            folder,
            entries,
            source: Arc::new(source),
            end_line,
        }
    }

    pub(super) fn path(&self, is_indexed: bool) -> PathBuf {
        let name = if is_indexed {
            "indexed.rpt"
        } else {
            "plain.rpt"
        };
        self.folder.path().join(name)
    }

    pub(super) fn timeline(&self, checkpoint_mib: u64, is_indexed: bool) -> ReplayTimeline {
        let keyframes: Box<dyn KeyframeSource> = if is_indexed {
            let keyframes = TraceKeyframes::new(open(&self.path(true)));
            assert!(keyframes.positions().len() > 4);
            Box::new(keyframes)
        } else {
            Box::new(())
        };
        let options = TimelineOptions {
            checkpoint_bytes_max: checkpoint_mib << 20,
        };
        let source = Arc::clone(&self.source) as Arc<dyn MachineSource>;
        ReplayTimeline::new(source, self.entries.clone(), keyframes, options).unwrap()
    }

    /// The hashes at some positions, from one straight run.
    fn straight(&self, positions: impl IntoIterator<Item = Icount>) -> BTreeMap<Icount, StateHash> {
        let mut hashes: BTreeMap<Icount, StateHash> = positions
            .into_iter()
            .map(|at| (at, StateHash::default()))
            .collect();
        let entries = self.entries.iter().cloned().map(Ok::<_, Infallible>);
        let mut session = ReplaySession::new(self.source.machine().unwrap(), entries);
        for (at, hash) in &mut hashes {
            loop {
                let status = session.advance(*at).unwrap();
                if status.at_limit || status.finished {
                    break;
                }
            }
            assert_eq!(session.machine().icount(), *at);
            *hash = session.state_hash();
        }
        hashes
    }

    /// The end is still the recorded one, as the recorder itself printed it.
    #[track_caller]
    fn check_end(&self, timeline: &mut ReplayTimeline) {
        timeline.seek(self.end, &mut unhurried).unwrap();
        let (at, hash) = (timeline.position(), timeline.state_hash());
        assert_eq!(self.end_line, format!("icount={at} hash={hash}"));
    }
}

fn random_place(random: &mut Random, below: Icount) -> Icount {
    Icount(random.below(below.0))
}

/// Goes to places in random order, and a step back and forth at each.
fn check_places(what: What, seed: u64, count: u64) {
    let recorded = Recorded::new(what);
    let mut random = Random::new(seed);
    let mut places: Vec<Icount> = (0..count * soak_factor())
        .map(|_| random_place(&mut random, recorded.end))
        .collect();
    // Events and the jumps before them are steps of their own kind.
    for entry in &recorded.entries {
        if let Entry::Event(event) = entry {
            let around = (0..3).map(|by| Icount((event.icount.0 + by).saturating_sub(1)));
            places.extend(around);
        }
    }
    places.extend([Icount(0), recorded.end]);
    let befores = places.iter().map(|at| Icount(at.0.saturating_sub(1)));
    let hashes = recorded.straight(places.iter().copied().chain(befores));
    for (checkpoint_mib, is_indexed) in [(24, true), (24, false), (512, true), (512, false)] {
        let mut timeline = recorded.timeline(checkpoint_mib, is_indexed);
        for number in (1..places.len()).rev() {
            places.swap(number, random.below(number as u64 + 1) as usize);
        }
        // Each way visits another half of them.
        for at in &places[..places.len() / 2] {
            let way = format!("{at}, {checkpoint_mib} MiB, with keyframes: {is_indexed}");
            timeline.seek(*at, &mut unhurried).unwrap();
            assert_eq!(timeline.position(), *at);
            assert_eq!(timeline.state_hash(), hashes[at], "sought {way}");
            if at.0 == 0 {
                continue;
            }
            timeline.step(RunDirection::Backward).unwrap();
            let before = timeline.position();
            assert_eq!(before, Icount(at.0 - 1));
            assert_eq!(timeline.state_hash(), hashes[&before], "stepped back {way}");
            timeline.step(RunDirection::Forward).unwrap();
            assert_eq!(timeline.position(), *at);
            assert_eq!(timeline.state_hash(), hashes[at], "and on {way}");
        }
        let (bytes, _) = timeline.checkpoint_usage();
        // The first checkpoint and the last one stay whatever they take.
        assert!(bytes <= (checkpoint_mib << 20) + (48 << 20), "{bytes}");
        recorded.check_end(&mut timeline);
    }
}

#[test]
fn any_place_of_the_race_is_that_of_a_straight_run() {
    check_places(What::Race, 1, 10);
}

#[test]
fn any_place_of_the_use_after_free_is_that_of_a_straight_run() {
    check_places(What::Uaf, 2, 15);
}

#[test]
fn any_place_of_the_typed_session_is_that_of_a_straight_run() {
    check_places(What::Typed, 3, 8);
}

struct Threads;

impl Executor for Threads {
    fn width(&self) -> usize {
        2
    }

    fn run(&self, jobs: Vec<Job<'_>>) {
        std::thread::scope(|scope| {
            for job in jobs {
                scope.spawn(job);
            }
        });
    }
}

fn accept(_: &Machine, _: &DebugHit) -> bool {
    true
}

fn system_calls() -> DebugPlan {
    DebugPlan {
        system_calls: true,
        ..DebugPlan::default()
    }
}

/// What to look for, from a system call that the program under test makes.
fn plans(timeline: &ReplayTimeline) -> Option<Vec<(&'static str, DebugPlan)>> {
    let machine = timeline.machine();
    let cpu = machine.cpu(CpuId(0));
    let space = cpu.address_space();
    let below_stack = GuestVirtAddr(cpu.x()[2] - 16);
    // The page below may not have been touched.
    let physical = translate(machine.memory(), space, below_stack)?;
    let watch = |place| DebugPlan {
        watches: vec![Watch {
            place,
            byte_len: 16,
            kind: WatchKind::Write,
        }],
        ..DebugPlan::default()
    };
    let address = below_stack;
    let space = Some(space);
    let breakpoint = DebugPlan {
        breakpoints: [GuestVirtAddr(cpu.pc())].into(),
        ..DebugPlan::default()
    };
    let virtually = watch(WatchPlace::Virtual { address, space });
    let physically = watch(WatchPlace::Physical(physical));
    let all = DebugPlan {
        watches: [virtually.watches.clone(), physically.watches.clone()].concat(),
        system_calls: true,
        ..breakpoint.clone()
    };
    Some(vec![
        ("system calls", system_calls()),
        ("a breakpoint", breakpoint),
        ("a virtual watch", virtually),
        ("a physical watch", physically),
        ("all of them", all),
    ])
}

/// Finds hits forwards, backwards and by searching, and compares.
fn check_hits(what: What, is_indexed: bool, stops_max: usize) {
    let recorded = Recorded::new(what);
    let mut timeline = recorded.timeline(256, is_indexed);
    // Where the program under test runs: init and the kernel have the first part of the recording.
    let calls = timeline
        .find_all(
            Icount(0)..recorded.end,
            &system_calls(),
            &|| Box::new(accept) as Box<dyn Judge>,
            &SerialExecutor,
            &mut unhurried,
        )
        .unwrap();
    let from = calls[calls.len() / 2].icount;
    let plans = calls[calls.len() * 3 / 4..].iter().find_map(|call| {
        timeline.seek(call.icount, &mut unhurried).unwrap();
        let plans = plans(&timeline)?;
        // Where nothing happens any more, nothing would be compared.
        let is_met = |(_, plan): &(&str, DebugPlan)| {
            timeline.seek(from, &mut unhurried).unwrap();
            let status = timeline.run(RunDirection::Forward, plan, &mut accept, &mut unhurried);
            !status.unwrap().hits.is_empty()
        };
        plans.iter().all(is_met).then_some(plans)
    });
    for (name, plan) in plans.unwrap() {
        timeline.seek(from, &mut unhurried).unwrap();
        let mut forward: Vec<DebugHit> = Vec::new();
        let mut stops = Vec::new();
        for _ in 0..stops_max {
            let status = timeline
                .run(RunDirection::Forward, &plan, &mut accept, &mut unhurried)
                .unwrap();
            if status.hits.is_empty() {
                break;
            }
            stops.push((status.icount, timeline.state_hash()));
            forward.extend(status.hits);
        }
        let (first, last) = (forward[0].icount, forward[forward.len() - 1].icount);
        let states = recorded.straight(stops.iter().map(|(at, _)| *at));
        for (at, hash) in &stops {
            assert_eq!(states[at], *hash, "{name} at {at}");
        }

        timeline.seek(Icount(last.0 + 1), &mut unhurried).unwrap();
        let mut backward = Vec::new();
        while timeline.position() > first {
            let status = timeline
                .run(RunDirection::Backward, &plan, &mut accept, &mut unhurried)
                .unwrap();
            assert_eq!(status.icount, status.hits[0].icount);
            backward.push(status.hits);
        }
        assert_eq!(timeline.position(), first);
        backward.reverse();
        assert_eq!(backward.concat(), forward, "{name}");

        let executors = [&SerialExecutor as &dyn Executor, &Threads];
        for executor in executors {
            let range = first..Icount(last.0 + 1);
            let judge = || Box::new(accept) as Box<dyn Judge>;
            let found = timeline
                .find_all(range, &plan, &judge, executor, &mut unhurried)
                .unwrap();
            assert_eq!(found, forward, "{name}");
            let found = timeline
                .find_last(
                    Icount(0)..Icount(last.0 + 1),
                    &plan,
                    &judge,
                    executor,
                    &mut unhurried,
                )
                .unwrap();
            let lasts = forward.iter().filter(|hit| hit.icount == last);
            assert!(found.iter().eq(lasts), "{name}");
            assert_eq!(timeline.position(), first);
        }
    }
    // On the whole recording, with intervals enough to be shared out.
    let all = timeline
        .find_all(
            Icount(0)..recorded.end,
            &system_calls(),
            &|| Box::new(accept) as Box<dyn Judge>,
            &Threads,
            &mut unhurried,
        )
        .unwrap();
    assert_eq!(all, calls);
    recorded.check_end(&mut timeline);
}

#[test]
fn hits_are_the_same_in_both_directions_in_the_race() {
    check_hits(What::Race, true, 6);
}

#[test]
fn hits_are_the_same_in_both_directions_in_the_use_after_free() {
    check_hits(What::Uaf, false, 6);
}

#[test]
fn hits_are_the_same_in_both_directions_in_the_typed_session() {
    check_hits(What::Typed, true, 8);
}

#[test]
fn back_and_on_again_stops_at_the_same_place() {
    let recorded = Recorded::new(What::Typed);
    let mut timeline = recorded.timeline(64, true);
    let mut random = Random::new(4);
    let plan = system_calls();
    for _ in 0..8 * soak_factor() {
        let from = random_place(&mut random, recorded.end);
        timeline.seek(from, &mut unhurried).unwrap();
        let mut go = |direction| {
            let status = timeline
                .run(direction, &plan, &mut accept, &mut unhurried)
                .unwrap();
            (status, timeline.state_hash())
        };
        let first = go(RunDirection::Forward);
        let second = go(RunDirection::Forward);
        if first.0.hits.is_empty() || second.0.hits.is_empty() {
            continue;
        }
        assert_eq!(go(RunDirection::Backward), first);
        assert_eq!(go(RunDirection::Forward), second);
    }
    recorded.check_end(&mut timeline);
}

#[test]
fn a_diversion_changes_nothing_and_can_be_kept() {
    let recorded = Recorded::new(What::Uaf);
    let mut random = Random::new(5);
    for is_indexed in [false, true] {
        let mut timeline = recorded.timeline(256, is_indexed);
        for number in 0..3 {
            let fork = random_place(&mut random, recorded.end);
            timeline.seek(fork, &mut unhurried).unwrap();
            let hash = timeline.state_hash();
            timeline.diverge();
            // Registers alone, then memory too: the stack, which the kernel or a program is about to read.
            let register = 10 + number as u16;
            timeline
                .write(DebugWrite::Register {
                    cpu: CpuId(0),
                    register,
                    value: 0x5a5a,
                })
                .unwrap();
            let machine = timeline.machine();
            let cpu = machine.cpu(CpuId(0));
            let stack = GuestVirtAddr(cpu.x()[2]);
            let address = translate(machine.memory(), cpu.address_space(), stack)
                .filter(|at| machine.memory().slice(*at, 8).is_ok())
                .unwrap_or(GuestPhysAddr(0x8020_0000));
            let bytes = vec![number; 8];
            timeline
                .write(DebugWrite::Memory { address, bytes })
                .unwrap();
            timeline
                .run(
                    RunDirection::Forward,
                    &DebugPlan::default(),
                    &mut accept,
                    &mut |here| match here.0 > fork.0 + 8_000_000 {
                        true => ControlFlow::Break(()),
                        false => ControlFlow::Continue(()),
                    },
                )
                .unwrap();
            let there = (timeline.position(), timeline.state_hash());
            assert_ne!(there.1, hash);
            // Back into what it shares with the recording, and on again.
            let early = Icount(fork.0 / 2);
            timeline.seek(early, &mut unhurried).unwrap();
            timeline.seek(there.0, &mut unhurried).unwrap();
            assert_eq!((timeline.position(), timeline.state_hash()), there);

            let kept = recorded.folder.path().join("diversion.rpt");
            let entries = timeline.entries_to_here();
            let header = open(&recorded.path(false)).header().clone();
            let file = File::create(&kept).unwrap();
            let mut writer = TraceWriter::create(file, &header, Compression::Live).unwrap();
            for entry in &entries {
                EntryLog::push(&mut writer, entry).unwrap();
            }
            writer.finish().unwrap();
            let expected = format!("icount={} hash={}", there.0, there.1);
            assert_eq!(replay(&kept).expect(0).end(), expected);

            timeline.return_to_recording().unwrap();
            assert_eq!((timeline.position(), timeline.state_hash()), (fork, hash));
        }
        recorded.check_end(&mut timeline);
    }
}

/// What `reprise events` lists, without keyframes.
fn events(path: &Path) -> String {
    let listed = finish(reprise().arg("events").arg(path)).expect(0).stdout;
    let lines = listed.lines().filter(|line| !line.contains("keyframe"));
    lines.collect::<Vec<_>>().join("\n")
}

fn index(arguments: &[&Path]) {
    finish(reprise().arg("index").args(arguments)).expect(0);
}

#[test]
fn an_indexed_trace_is_the_same_recording() {
    let recorded = Recorded::new(What::Uaf);
    let (plain, indexed) = (recorded.path(false), recorded.path(true));
    assert_eq!(events(&plain), events(&indexed));
    assert_eq!(replay(&indexed).expect(0).end(), recorded.end_line);
    let verified = finish(reprise().arg("verify").arg(&indexed)).expect(0);
    assert_eq!(verified.end(), recorded.end_line);
    assert!(verified.stderr.contains("keyframes are states"));
    let info = finish(reprise().arg("info").arg(&indexed)).expect(0);
    assert!(info.stdout.contains("which take up"), "{}", info.stdout);

    // In place, twice, and out again.
    let copy = recorded.folder.path().join("copy.rpt");
    fs::copy(&plain, &copy).unwrap();
    index(&[&copy]);
    let once = fs::read(&copy).unwrap();
    assert!(!open(&copy).index().keyframes.is_empty());
    index(&[&copy]);
    assert!(fs::read(&copy).unwrap() == once, "indexing is idempotent");
    let remove = Path::new("--remove");
    index(&[&copy, remove]);
    index(&[&plain, remove]);
    assert!(fs::read(&copy).unwrap() == fs::read(&plain).unwrap());

    // As many as fit.
    let every = ["--every", "1048576", "--max-mib", "16"].map(Path::new);
    index(&[&[copy.as_path()], &every[..]].concat());
    let few = open(&copy).index().keyframes.len();
    assert!((2..54).contains(&few), "{few}");
    assert!(fs::metadata(&copy).unwrap().len() < (16 << 20) + 8192);
    let verified = finish(reprise().arg("verify").arg(&copy)).expect(0);
    assert_eq!(verified.end(), recorded.end_line);
}

#[test]
fn a_recording_with_keyframes_is_the_same_recording() {
    let folder = folder();
    let (plain, with) = (folder.path().join("plain"), folder.path().join("with"));
    let arguments = [&RAM[..], &["--clock", "1600000000"]].concat();
    let recorded = record(&plain, 8, &arguments, &["/demos/hello"]).expect(0);
    let arguments = [&arguments[..], &["--keyframes"]].concat();
    let with_keyframes = record(&with, 8, &arguments, &["/demos/hello"]).expect(0);
    assert_eq!(recorded.end(), with_keyframes.end());
    // On a slow machine hashes are logged beside those that the execution itself asks for.
    let told = |path| {
        let listed = events(path);
        let lines = listed.lines().filter(|line| !line.contains("hash of "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(told(&plain), told(&with));
    assert!(!open(&with).index().keyframes.is_empty());
    let verified = finish(reprise().arg("verify").arg(&with)).expect(0);
    assert_eq!(verified.end(), recorded.end());
}

#[test]
fn indexing_that_is_stopped_leaves_the_trace_as_it_was() {
    let folder = folder();
    let trace = folder.path().join("trace.rpt");
    record(&trace, 3, &RAM, &["/demos/race"]);
    let before = fs::read(&trace).unwrap();
    for signal in ["INT", "TERM", "KILL"] {
        let mut child = reprise()
            .arg("index")
            .arg(&trace)
            .args(["--every", "1048576"])
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(400));
        let pid = child.id().to_string();
        // The shell has `kill` built in; a small system has no program of that name.
        let kill = format!("kill -s {signal} {pid}");
        finish(std::process::Command::new("sh").args(["-c", &kill])).expect(0);
        let status = child.wait().unwrap().code();
        assert!(fs::read(&trace).unwrap() == before, "{signal}");
        let left = fs::read_dir(folder.path()).unwrap().count();
        match signal {
            "KILL" => assert_eq!(status, None),
            _ => assert!(status > Some(128) && left == 1, "{signal}: {status:?}"),
        }
    }
    // What the killed one left behind is no hindrance.
    index(&[&trace]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
