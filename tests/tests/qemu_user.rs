//! Random instruction sequences against `qemu-riscv64`: registers, flags and memory must agree.

use reprise_core::machine::Engine;
use reprise_core::riscv::disasm::disassemble;
use reprise_core::riscv::isa::{Op, decode};
use reprise_core::types::{CpuId, GuestPhysAddr, Icount};
use reprise_tests::differential::{Case, Program, compare, listing, minimise};
use reprise_tests::random::Random;
use reprise_tests::sequence::{Sequencer, is_privileged};
use reprise_tests::soak_factor;
use std::collections::BTreeSet;

const PROGRAMS: u64 = 40;
const CASES: usize = 100;
const ATOMS: usize = 120;

fn cases_of(seed: u64) -> Vec<Case> {
    let mut random = Random::new(seed);
    let sequencer = Sequencer::new();
    (0..CASES)
        .map(|_| Case::random(&mut random, &sequencer, ATOMS))
        .collect()
}

#[test]
fn random_sequences_end_as_in_qemu() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for seed in 0..PROGRAMS * soak_factor() {
        let cases = cases_of(seed);
        // The reference engine takes part: the two must not be wrong together.
        let engine = if seed % 4 == 3 {
            Engine::Reference
        } else {
            Engine::Blocks
        };
        if let Some((number, how)) = compare(&cases, engine, folder.path()) {
            let (case, how_alone) = minimise(cases[number].clone(), engine, folder.path());
            panic!(
                "seed {seed}, case {number}, {engine:?}:\n{how}\nmade smaller:\n{}{how_alone}",
                listing(&case)
            );
        }
    }
}

/// The comparison means something only if everything is executed: the first program shows that.
#[test]
fn sequences_execute_every_instruction() {
    let mut expected: BTreeSet<&str> = Op::encodings()
        .iter()
        .filter(|row| !is_privileged(row.op))
        .map(|row| row.mnemonic)
        .collect();
    for parcel in (0..=u16::MAX).filter(|parcel| parcel & 3 != 3) {
        let legal = decode(parcel.into()).is_some_and(|inst| !is_privileged(inst.op));
        let mnemonic = disassemble(parcel.into(), 0).mnemonic;
        // Shifts by nothing have names of their own, and are too few to come up.
        if legal && !mnemonic.ends_with("64") {
            expected.insert(mnemonic);
        }
    }
    let mut executed = BTreeSet::new();
    for seed in 0..4 {
        let program = Program::new(&cases_of(seed));
        let mut machine = program.machine(Engine::Blocks);
        while machine.halted().is_none() {
            let (_, pc) = machine.registers(CpuId(0))[0].clone();
            if program.code_ranges.iter().any(|range| range.contains(&pc)) {
                let word = machine
                    .memory()
                    .read_u32(GuestPhysAddr(pc))
                    .expect("code lies in RAM");
                executed.insert(disassemble(word, pc).mnemonic);
            }
            machine.run(Icount(machine.icount().0 + 1));
        }
    }
    let missing: Vec<_> = expected.difference(&executed).collect();
    assert!(missing.is_empty(), "never executed: {missing:?}");
}
