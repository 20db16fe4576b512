//! Linux on the machine itself: snapshots, dropped caches and the reference engine change nothing.

use super::support::guest;
use reprise_core::event::{InputEvent, Start};
use reprise_core::machine::{Engine, Machine, MachineConfig, MachineImages, RunExit, StateHash};
use reprise_core::types::Icount;
use std::sync::{Arc, OnceLock};

const RANDOM_POINTS: usize = 50;

fn images() -> MachineImages {
    static FILES: OnceLock<[Arc<[u8]>; 2]> = OnceLock::new();
    let read = |name| {
        std::fs::read(guest().join(name))
            .expect("the guest is built")
            .into()
    };
    let [kernel, initrd] = FILES.get_or_init(|| [read("Image"), read("initrd")]);
    MachineImages {
        kernel: Some(Arc::clone(kernel)),
        initrd: Some(Arc::clone(initrd)),
        ..MachineImages::default()
    }
}

fn machine() -> Machine {
    let config = MachineConfig {
        ram_bytes: 64 << 20,
        timer_jitter_ticks_max: 3000,
        seed: [7; 32],
        command_line: b"console=hvc0 quiet".to_vec(),
        ..MachineConfig::default()
    };
    Machine::new(config, images(), None).expect("the guest loads")
}

fn powered_on() -> Machine {
    let mut machine = machine();
    let command = [
        "/bin/sh",
        "-c",
        "ls -l /proc/self; for i in 1 2 3; do echo $i > /tmp/$i; done; cat /tmp/*",
    ];
    let start = Start {
        command: command
            .iter()
            .map(|word| word.as_bytes().to_vec())
            .collect(),
        clock_unix_nanoseconds: 1_700_000_000_000_000_000,
        seed: [9; 32],
        ..Start::default()
    };
    machine
        .inject(&InputEvent::Start(Box::new(start)))
        .expect("a start at power-on");
    machine
}

/// Runs to a position or to the end; idle time is skipped by the rule. Returns whether it goes on.
fn run_to(machine: &mut Machine, limit: u64) -> bool {
    loop {
        match machine.run(Icount(limit)) {
            RunExit::Limit => return true,
            RunExit::Idle {
                deadline: Some(deadline),
            } => machine.idle_jump(deadline).expect("all harts wait"),
            RunExit::Halted(_) => return false,
            exit => panic!("{exit:?}"),
        }
    }
}

fn finish(machine: &mut Machine) -> (Icount, StateHash) {
    assert!(
        !run_to(machine, 2_000_000_000),
        "the guest switches itself off"
    );
    (machine.icount(), machine.state_hash())
}

/// Ascending positions within the execution, the same on every run of the test.
fn points(end: Icount) -> Vec<u64> {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut points: Vec<u64> = (0..RANDOM_POINTS)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % end.0
        })
        .collect();
    points.sort_unstable();
    points
}

fn straight() -> (Icount, StateHash) {
    static STRAIGHT: OnceLock<(Icount, StateHash)> = OnceLock::new();
    *STRAIGHT.get_or_init(|| finish(&mut powered_on()))
}

#[test]
fn snapshots_at_fifty_icounts_run_on_to_the_same_state() {
    let (end, hash) = straight();
    let mut machine = powered_on();
    let mut other = self::machine();
    for point in points(end) {
        assert!(run_to(&mut machine, point));
        let snapshot = machine.snapshot();
        // One machine takes over all snapshots in turn, so what an earlier run left must not show.
        other
            .restore(&snapshot)
            .expect("a snapshot of an equal machine");
        assert_eq!(
            other.state_hash(),
            machine.state_hash(),
            "restored at {point}"
        );
        assert_eq!(finish(&mut other), (end, hash), "restored at {point}");
    }
    assert_eq!(
        finish(&mut machine),
        (end, hash),
        "taking snapshots changed the execution"
    );
}

#[test]
fn dropping_every_cache_changes_nothing() {
    let (end, hash) = straight();
    let mut machine = powered_on();
    for point in points(end) {
        assert!(run_to(&mut machine, point));
        machine.drop_caches();
    }
    assert_eq!(finish(&mut machine), (end, hash));
}

#[test]
fn the_reference_engine_agrees() {
    let (end, hash) = straight();
    let mut machine = powered_on();
    machine.set_engine(Engine::Reference);
    let mut blocks = powered_on();
    for point in points(end) {
        assert!(run_to(&mut machine, point) && run_to(&mut blocks, point));
        assert_eq!(machine.state_hash(), blocks.state_hash(), "at {point}");
    }
    assert_eq!(finish(&mut machine), (end, hash));
}

#[test]
fn engines_may_alternate() {
    let (end, hash) = straight();
    let mut machine = powered_on();
    for (round, point) in points(end).into_iter().enumerate() {
        // Mostly the fast engine, with stretches of the slow one.
        machine.set_engine(if round % 5 == 0 {
            Engine::Reference
        } else {
            Engine::Blocks
        });
        assert!(run_to(&mut machine, point));
    }
    assert_eq!(finish(&mut machine), (end, hash));
}
