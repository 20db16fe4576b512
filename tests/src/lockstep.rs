//! One program executed in every manner that must be indistinguishable: with either engine, with caches
//! dropped, through snapshots, going back and forth.

use crate::random::Random;
use reprise_core::event::InputEvent;
use reprise_core::machine::{
    Engine, HaltReason, Machine, MachineConfig, MachineImages, RunExit, StateHash,
};
use reprise_core::riscv::disasm::disassemble;
use reprise_core::types::{CpuId, GuestPhysAddr, Icount};
use std::fmt::Write as _;
use std::sync::Arc;

/// A program with all that its execution depends on.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The machine; it has one CPU and no disks.
    pub config: MachineConfig,
    /// The ELF file.
    pub program: Arc<[u8]>,
    /// Events by position, in order. One that the machine can't take there is left out.
    pub events: Vec<(u64, InputEvent)>,
}

/// How an execution ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// It reached the position it was to reach.
    Reached,
    /// The machine stopped for good.
    Halted(HaltReason),
    /// The hart waits, and nothing will ever wake it.
    Stuck,
}

/// What is done at each stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    /// Nothing, and no hash is taken before the end either.
    Undisturbed,
    /// The hash is taken, which begins a new epoch of dirtiness.
    Hashed,
    /// As [`Manner::Hashed`], by the reference engine.
    Reference,
    /// Caches are dropped.
    CachesDropped,
    /// A snapshot goes into another machine, a new one or one that has been elsewhere, which goes on.
    Restored,
    /// The machine goes on to the next stop, then back to here, and on again.
    Rewound,
    /// The engines take turns.
    Alternating,
}

/// All of them, the one that the others are compared with first.
pub const MANNERS: [Manner; 7] = [
    Manner::Reference,
    Manner::Hashed,
    Manner::Undisturbed,
    Manner::CachesDropped,
    Manner::Restored,
    Manner::Rewound,
    Manner::Alternating,
];

impl Subject {
    /// The machine at power-on.
    ///
    /// # Panics
    /// When the program does not fit the configuration.
    #[must_use]
    pub fn machine(&self, engine: Engine) -> Machine {
        let images = MachineImages {
            kernel: Some(self.program.clone()),
            ..MachineImages::default()
        };
        let mut machine =
            Machine::new(self.config.clone(), images, None).expect("the program starts");
        machine.set_engine(engine);
        machine
    }

    /// Goes on to a position, over idle times, or to an earlier end.
    ///
    /// # Panics
    /// When the machine refuses an idle jump that it has asked for, or wants an image.
    pub fn advance(&self, machine: &mut Machine, to: u64) -> End {
        loop {
            let now = machine.icount().0;
            if let Some(reason) = machine.halted() {
                return End::Halted(reason);
            }
            if now >= to {
                return End::Reached;
            }
            let mut target = to;
            if let Some((at, event)) = self.events.iter().find(|(at, _)| *at >= now) {
                if *at > now {
                    target = to.min(*at);
                } else if machine.inject(event).is_ok() {
                    continue;
                } else {
                    target = now + 1;
                }
            }
            match machine.run(Icount(target)) {
                RunExit::Limit | RunExit::Halted(_) => {}
                RunExit::OutputFull | RunExit::DebugStop => drop(machine.take_outputs()),
                RunExit::Idle { deadline: None } => return End::Stuck,
                RunExit::Idle {
                    deadline: Some(deadline),
                } => {
                    machine.idle_jump(deadline).expect("a jump to the deadline");
                }
                RunExit::ImageStall(stall) => panic!("there are no images to wait for: {stall:?}"),
            }
        }
    }

    /// Runs to `limit` in a manner. Returns the hashes at the stops passed (but not of
    /// [`Manner::Undisturbed`]) and at the end, and the machine.
    fn run(&self, manner: Manner, stops: &[u64], limit: u64) -> (Vec<StateHash>, End, Machine) {
        let mut engine = if manner == Manner::Reference {
            Engine::Reference
        } else {
            Engine::Blocks
        };
        let mut machine = self.machine(engine);
        let mut hashes = Vec::new();
        let mut spare = None;
        let inner = stops.iter().copied().take_while(|stop| *stop < limit);
        let targets: Vec<u64> = inner.chain([limit]).collect();
        for (number, target) in targets.iter().enumerate() {
            let end = self.advance(&mut machine, *target);
            if end != End::Reached || *target == limit {
                hashes.push(machine.state_hash());
                return (hashes, end, machine);
            }
            match manner {
                Manner::Undisturbed => continue,
                Manner::Hashed | Manner::Reference => {}
                Manner::CachesDropped => machine.drop_caches(),
                Manner::Restored => {
                    let now = machine.snapshot();
                    let other = spare
                        .take()
                        .filter(|_| number % 8 != 0)
                        .unwrap_or_else(|| self.machine(engine));
                    spare = Some(std::mem::replace(&mut machine, other));
                    machine
                        .restore(&now)
                        .expect("a snapshot of the same machine");
                }
                Manner::Rewound => {
                    let now = machine.snapshot();
                    self.advance(&mut machine, targets[number + 1]);
                    machine
                        .restore(&now)
                        .expect("a snapshot of the same machine");
                }
                Manner::Alternating => {
                    engine = if engine == Engine::Blocks {
                        Engine::Reference
                    } else {
                        Engine::Blocks
                    };
                    machine.set_engine(engine);
                }
            }
            hashes.push(machine.state_hash());
        }
        unreachable!("the last target is the limit")
    }

    /// Runs once, without stops. Returns how the execution ended, and where.
    #[must_use]
    pub fn end(&self, manner: Manner, limit: u64) -> (End, u64) {
        let (_, end, machine) = self.run(manner, &[], limit);
        (end, machine.icount().0)
    }

    /// Runs in every manner, with these stops, and compares. Returns how the execution ended, and where.
    ///
    /// # Errors
    /// A text that names the manner, the first step whose outcome differs, and what differs.
    pub fn check(&self, stops: &[u64], limit: u64) -> Result<(End, u64), String> {
        let (expected, expected_end, machine) = self.run(MANNERS[0], stops, limit);
        for manner in &MANNERS[1..] {
            let (hashes, end, _) = self.run(*manner, stops, limit);
            let same = if *manner == Manner::Undisturbed {
                hashes.last() == expected.last()
            } else {
                hashes == expected
            };
            if !same || end != expected_end {
                return Err(self.locate(*manner, stops, limit));
            }
        }
        Ok((expected_end, machine.icount().0))
    }

    /// Bisects to the first position at which a manner differs from the reference.
    fn locate(&self, manner: Manner, stops: &[u64], limit: u64) -> String {
        let differs = |to: u64| {
            let (ours, our_end, our_machine) = self.run(manner, stops, to);
            let (theirs, their_end, their_machine) = self.run(MANNERS[0], stops, to);
            let differs = ours.last() != theirs.last() || our_end != their_end;
            (
                differs,
                ours.last().copied(),
                theirs.last().copied(),
                our_machine,
                their_machine,
            )
        };
        let (mut same, mut different) = (0, limit);
        while different - same > 1 {
            let middle = same + (different - same) / 2;
            if differs(middle).0 {
                different = middle;
            } else {
                same = middle;
            }
        }
        let mut text = format!(
            "{manner:?} differs from {:?} from icount {different} on",
            MANNERS[0]
        );
        let last_stop = stops.iter().rev().find(|stop| **stop < different);
        let _ = writeln!(text, " (stop before: {last_stop:?})");
        let before = self.run(MANNERS[0], stops, same).2;
        let registers = before.registers(CpuId(0));
        let pc = registers[0].1;
        let privilege = registers
            .iter()
            .find(|(name, _)| name == "privilege")
            .map_or(0, |(_, value)| *value);
        let word = before.memory().read_u32(GuestPhysAddr(pc));
        let inst = word.map_or("not in RAM by its physical address".into(), |word| {
            disassemble(word, pc).to_string()
        });
        let _ = writeln!(
            text,
            "the step is at pc {pc:#x} in mode {privilege}: {inst}"
        );
        let (_, ours, theirs, our_machine, their_machine) = differs(different);
        if let (Some(ours), Some(theirs)) = (ours, theirs) {
            for (number, name) in StateHash::COMPONENT_NAMES.iter().enumerate() {
                if ours.components()[number] != theirs.components()[number] {
                    let _ = writeln!(text, "  component {name} differs");
                }
            }
        }
        let pairs = our_machine
            .registers(CpuId(0))
            .into_iter()
            .zip(their_machine.registers(CpuId(0)));
        for (((name, ours), (_, theirs)), (_, old)) in pairs.zip(registers) {
            if ours != theirs {
                let _ = writeln!(
                    text,
                    "  {name}: {ours:#x}, reference {theirs:#x}, before {old:#x}"
                );
            }
        }
        let bytes = self.config.ram_bytes;
        let base = our_machine.memory().base();
        if let (Ok(ours), Ok(theirs)) = (
            our_machine.memory().slice(base, bytes),
            their_machine.memory().slice(base, bytes),
        ) {
            let different = ours
                .iter()
                .zip(theirs)
                .enumerate()
                .filter(|(_, (ours, theirs))| ours != theirs);
            for (offset, (ours, theirs)) in different.take(16) {
                let _ = writeln!(
                    text,
                    "  byte {:#x}: {ours:#x}, reference {theirs:#x}",
                    base.0 + offset as u64
                );
            }
        }
        text
    }
}

/// Random stops, in order and without repetition.
pub fn random_stops(random: &mut Random, count: usize, limit: u64) -> Vec<u64> {
    let mut stops: Vec<u64> = (0..count)
        .map(|_| 1 + random.below(limit.max(2) - 1))
        .collect();
    stops.sort_unstable();
    stops.dedup();
    stops
}
