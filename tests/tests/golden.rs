//! Random bare-metal programs, floating point and all, against what the machine did when its version was set, and as
//! wasm in node.
//!
//! When a hash here changes, guest-visible behaviour has changed: then `MACHINE_VERSION` changes too. The goldens are
//! rewritten by `REPRISE_BLESS=1 cargo xtask test golden`, and git shows the difference.

use reprise_core::image::ImageHash;
use reprise_core::machine::{Engine, MACHINE_VERSION};
use reprise_core::types::Icount;
use reprise_recorder::entry::{EndReason, Entry, EntryLog, TimedEvent};
use reprise_recorder::images::{ImageRef, ImageRole};
use reprise_recorder::trace::header_from_config;
use reprise_tests::lockstep::{End, Subject};
use reprise_tests::soup;
use reprise_traces::{Compression, TraceWriter};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

const STEPS: u64 = 20_000;
const STEPS_PER_HASH: u64 = 500;
const GOLDEN_SEEDS: std::ops::Range<u64> = 1_000_000..1_000_040;
/// How many of the golden programs node replays.
const NODE_PROGRAMS: usize = 25;

/// Records a program in memory; returns the trace and its last line, `icount=N hash=H`.
fn recording(subject: &Subject) -> (Vec<u8>, String) {
    let image = ImageRef {
        role: ImageRole::Elf,
        hash: ImageHash::of(&subject.program),
        byte_len: subject.program.len() as u64,
        name: "program".to_owned(),
        places: Vec::new(),
    };
    let header = header_from_config(&subject.config, &[image], "reprise tests".to_owned(), None);
    let mut log =
        TraceWriter::create(Vec::new(), &header, Compression::Live).expect("a sound header");
    let mut push = |entry: Entry| EntryLog::push(&mut log, &entry).expect("memory takes it");
    // Without its events the subject only runs and jumps over idle time.
    let quiet = Subject {
        events: Vec::new(),
        ..subject.clone()
    };
    let mut machine = subject.machine(Engine::Blocks);
    let mut events = subject.events.iter().peekable();
    let mut end = End::Reached;
    while end == End::Reached && machine.icount().0 < STEPS {
        let stop = (machine.icount().0 / STEPS_PER_HASH + 1) * STEPS_PER_HASH;
        while let Some((at, event)) = events.next_if(|(at, _)| *at < stop) {
            if *at < machine.icount().0 {
                continue;
            }
            end = quiet.advance(&mut machine, *at);
            if end == End::Reached && machine.inject(event).is_ok() {
                let icount = Icount(*at);
                push(Entry::Event(TimedEvent {
                    icount,
                    skip: 0,
                    event: Arc::new(event.clone()),
                }));
            }
        }
        if end == End::Reached {
            end = quiet.advance(&mut machine, stop);
        }
        push(Entry::Hash {
            icount: machine.icount(),
            hash: machine.state_hash(),
        });
    }
    let reason = match end {
        End::Reached => EndReason::LimitReached,
        End::Halted(reason) => EndReason::Halted(reason),
        End::Stuck => EndReason::WaitsForever,
    };
    let icount = machine.icount();
    push(Entry::End(reprise_recorder::entry::End {
        icount,
        reason,
        exit_status: machine.exit_status(),
    }));
    let last_line = format!("icount={icount} hash={}", machine.state_hash());
    let (trace, _) = log.finish().expect("memory takes it");
    (trace, last_line)
}

fn golden_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/machine-{MACHINE_VERSION}.txt"))
}

#[test]
fn golden_programs_end_as_when_the_machine_version_was_set() {
    let mut found = String::new();
    for seed in GOLDEN_SEEDS {
        let (_, last_line) = recording(&soup::subject(seed, STEPS));
        writeln!(found, "seed={seed} {last_line}").expect("a string takes it");
    }
    let path = golden_path();
    if std::env::var_os("REPRISE_BLESS").is_some() {
        std::fs::write(&path, &found).expect("the golden file is written");
    }
    let golden =
        std::fs::read_to_string(&path).expect("there are goldens for this machine version");
    let differs = golden
        .lines()
        .zip(found.lines())
        .find(|(golden, found)| golden != found);
    assert!(
        golden == found,
        "guest-visible behaviour has changed without the machine version: {differs:?}"
    );
}

#[test]
fn golden_programs_replay_as_wasm() {
    let module = std::env::var_os("REPRISE_WASM").map_or_else(
        || {
            let target =
                std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
            let checkout = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
            checkout
                .join(target)
                .join("wasm32-unknown-unknown/release/reprise_wasm_replay.wasm")
        },
        PathBuf::from,
    );
    assert!(
        module.is_file(),
        "{} is missing: `cargo xtask test` builds it",
        module.display()
    );
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [trace_path, program_path] = ["trace.rpt", "program"].map(|name| folder.path().join(name));
    for seed in GOLDEN_SEEDS.take(NODE_PROGRAMS) {
        let subject = soup::subject(seed, STEPS);
        let (trace, last_line) = recording(&subject);
        std::fs::write(&trace_path, trace).expect("the trace is written");
        std::fs::write(&program_path, &subject.program).expect("the program is written");
        let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("wasm/replay.mjs");
        let mut node = Command::new("node");
        node.arg(driver)
            .arg(&module)
            .arg(&trace_path)
            .arg(&program_path);
        let output = node.output().expect("node is installed");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "seed {seed}: {said}");
        assert_eq!(said.trim_end(), last_line, "seed {seed}");
    }
}
