//! Random sequences on this machine and on `qemu-riscv64`: one program file for both, which leaves all
//! registers and the scratch buffers of its cases in a block of results.
//!
//! What the comparison leaves out, because the architecture lets implementations differ:
//! - whether a hart's own store ends its reservation (QEMU compares values, we keep the reservation);
//! - an `sc` to another address of the reserved set (QEMU fails it, we let it succeed);
//! - misaligned atomics (a signal on QEMU, a trap here) and reserved rounding modes (a trap on both);
//! - `ctzw` of a zero word, which QEMU before 8.0 gets wrong;
//! - counters, which count different things.

use crate::elf::{Permission, Segment, executable};
use crate::encode::{address, constant, i, j, r, s};
use crate::random::Random;
use crate::sequence::{Atom, BASES, Inputs, SCRATCH_BYTES, Sequencer, assemble};
use reprise_core::machine::{
    BootKind, Engine, HaltReason, Machine, MachineConfig, MachineImages, RunExit,
};
use reprise_core::riscv::disasm::disassemble;
use reprise_core::riscv::isa::Op;
use reprise_core::types::{CpuId, GuestPhysAddr, Icount};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// The other side.
pub const QEMU: &str = "qemu-riscv64";
const QEMU_CPU: &str = "rv64,zba=on,zbb=on,zbs=on";

const CODE: u64 = 0x8000_0000;
const INPUTS: u64 = 0x8100_0000;
const RESULTS: u64 = 0x8180_0000;
/// Registers of a case, before its scratch buffer: 32 `x`, 32 `f`, `fcsr`, up to a multiple of 64.
const REGISTER_BYTES: u64 = 576;
const FCSR_OFFSET: u64 = 512;
const CASE_BYTES: u64 = REGISTER_BYTES + SCRATCH_BYTES as u64;
/// Bytes of the trap handler for the bare machine.
const HANDLER_BYTES: i32 = 10 * 4;
/// Steps after which a program of forward jumps must have ended.
const STEPS_MAX: u64 = 10_000_000;

const ZERO: u32 = 0;
const T0: u32 = 5;
const T1: u32 = 6;
const A0: u32 = 10;
const A1: u32 = 11;
const A2: u32 = 12;
const A7: u32 = 17;
/// The last base: free before and after a case's code.
const POINTER: u32 = 31;
const FCSR: i32 = 3;
const MSTATUS: i32 = 0x300;
const MTVEC: i32 = 0x305;
const MCAUSE: i32 = 0x342;

/// One sequence with what it begins with.
#[derive(Clone, Debug)]
pub struct Case {
    /// The code.
    pub atoms: Vec<Atom>,
    /// Registers and memory.
    pub inputs: Inputs,
}

impl Case {
    /// A random case.
    pub fn random(random: &mut Random, sequencer: &Sequencer, atom_count: usize) -> Self {
        let inputs = Inputs::random(random);
        Self {
            atoms: sequencer.sequence(random, atom_count),
            inputs,
        }
    }
}

/// A program of several cases, for both sides.
#[derive(Clone, Debug)]
pub struct Program {
    /// The file for a user-mode emulator.
    pub user: Vec<u8>,
    /// The file for a bare machine, which differs in its entry.
    pub bare: Vec<u8>,
    /// First and last byte of each case's own code.
    pub code_ranges: Vec<std::ops::Range<u64>>,
    result_bytes: usize,
}

struct Assembler {
    code: Vec<u8>,
}

impl Assembler {
    fn here(&self) -> u64 {
        CODE + self.code.len() as u64
    }

    fn word(&mut self, word: u32) {
        self.code.extend_from_slice(&word.to_le_bytes());
    }

    fn address(&mut self, register: u32, target: u64) {
        let pair = address(register, target, self.here());
        pair.into_iter().for_each(|word| self.word(word));
    }

    fn constant(&mut self, register: u32, value: i32) {
        constant(register, value)
            .into_iter()
            .for_each(|word| self.word(word));
    }
}

impl Program {
    /// Puts cases into a program.
    #[must_use]
    pub fn new(cases: &[Case]) -> Self {
        let mut a = Assembler { code: Vec::new() };
        let machine_entry = a.here();
        // A trap ends the program: with the power off for the last call, else with a failure.
        let handler = machine_entry + 7 * 4;
        a.address(T0, handler);
        a.word(i(Op::Csrrw, ZERO, T0, MTVEC));
        a.constant(T0, 3 << 13);
        a.word(i(Op::Csrrs, ZERO, T0, MSTATUS));
        a.word(j(Op::Jal, ZERO, 4 + HANDLER_BYTES));
        assert_eq!(a.here(), handler);
        a.word(i(Op::Csrrs, T0, ZERO, MCAUSE));
        a.word(i(Op::Addi, T0, T0, -11));
        a.constant(T1, 0x5555);
        a.word(crate::encode::b(Op::Beq, T0, ZERO, 12));
        a.constant(T1, 0x3333);
        a.constant(T0, 0x10_0000);
        a.word(s(Op::Sw, T1, T0, 0));
        let user_entry = a.here();
        assert_eq!(user_entry, handler + HANDLER_BYTES as u64);

        let mut inputs = Vec::new();
        let mut results = Vec::new();
        let mut code_ranges = Vec::new();
        for (number, case) in cases.iter().enumerate() {
            let case_results = RESULTS + number as u64 * CASE_BYTES;
            load_registers(
                &mut a,
                INPUTS + inputs.len() as u64,
                case_results + REGISTER_BYTES,
            );
            let from = a.here();
            a.code.extend_from_slice(&assemble(&case.atoms));
            code_ranges.push(from..a.here());
            store_registers(&mut a, case_results);
            for register in case
                .inputs
                .x
                .iter()
                .chain(&case.inputs.f)
                .chain([&case.inputs.fcsr])
            {
                inputs.extend_from_slice(&register.to_le_bytes());
            }
            results.resize(results.len() + REGISTER_BYTES as usize, 0);
            results.extend_from_slice(&case.inputs.scratch);
        }
        // write(1, results, length), exit(0)
        a.address(A1, RESULTS);
        a.constant(A2, results.len() as i32);
        for (number, first) in [(64, 1), (93, 0)] {
            a.word(i(Op::Addi, A0, ZERO, first));
            a.word(i(Op::Addi, A7, ZERO, number));
            a.word(r(Op::Ecall, 0, 0, 0));
        }
        assert!(
            a.here() < INPUTS && INPUTS + inputs.len() as u64 <= RESULTS,
            "too many cases for one program"
        );
        let result_bytes = results.len();
        let segments = [
            Segment {
                address: CODE,
                bytes: a.code,
                permission: Permission::Code,
            },
            Segment {
                address: INPUTS,
                bytes: inputs,
                permission: Permission::Data,
            },
            Segment {
                address: RESULTS,
                bytes: results,
                permission: Permission::Data,
            },
        ];
        Self {
            user: executable(user_entry, &segments),
            bare: executable(machine_entry, &segments),
            code_ranges,
            result_bytes,
        }
    }

    /// This machine, with the program loaded.
    #[must_use]
    pub fn machine(&self, engine: Engine) -> Machine {
        let config = MachineConfig {
            ram_bytes: 32 << 20,
            boot: BootKind::BareElf,
            ..MachineConfig::default()
        };
        let images = MachineImages {
            kernel: Some(self.bare.as_slice().into()),
            ..MachineImages::default()
        };
        let mut machine = Machine::new(config, images, None).expect("a program that fits");
        machine.set_engine(engine);
        machine
    }

    /// The results of this machine.
    ///
    /// # Errors
    /// A sentence that says how it failed.
    pub fn run_here(&self, engine: Engine) -> Result<Vec<u8>, String> {
        let mut machine = self.machine(engine);
        let exit = machine.run(Icount(STEPS_MAX));
        if exit != RunExit::Halted(HaltReason::PowerOff) {
            let registers = machine.registers(CpuId(0));
            let value = |name| {
                registers
                    .iter()
                    .find(|(register, _)| register == name)
                    .map_or(0, |(_, value)| *value)
            };
            let (cause, pc, tval) = (value("mcause"), value("mepc"), value("mtval"));
            return Err(format!(
                "this machine stopped: {exit:?}, mcause {cause}, mepc {pc:#x}, mtval {tval:#x}"
            ));
        }
        let results = machine
            .memory()
            .slice(GuestPhysAddr(RESULTS), self.result_bytes as u64);
        Ok(results.expect("results lie in RAM").to_vec())
    }

    /// The results of QEMU. `folder` takes the program's file.
    ///
    /// # Errors
    /// A sentence that says how it failed.
    ///
    /// # Panics
    /// When QEMU cannot be started.
    pub fn run_in_qemu(&self, folder: &Path) -> Result<Vec<u8>, String> {
        let path = folder.join("program");
        std::fs::write(&path, &self.user).expect("the temporary folder can be written");
        make_executable(&path);
        let output = Command::new(QEMU)
            .args(["-cpu", QEMU_CPU])
            .arg(&path)
            .output()
            .unwrap_or_else(|error| {
                panic!(
                    "{QEMU} cannot be run ({error}); install it, on Debian as the package qemu-user"
                );
            });
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!(
                "{QEMU} ended with {}: {}",
                output.status,
                said.trim()
            ));
        }
        if output.stdout.len() != self.result_bytes {
            return Err(format!(
                "{QEMU} gave {} bytes of {}",
                output.stdout.len(),
                self.result_bytes
            ));
        }
        Ok(output.stdout)
    }
}

fn make_executable(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(path, executable).expect("the file was just made");
    }
    #[cfg(not(unix))]
    let _ = path;
}

fn load_registers(a: &mut Assembler, inputs: u64, scratch: u64) {
    a.address(POINTER, inputs);
    a.word(i(Op::Ld, T0, POINTER, FCSR_OFFSET as i32));
    a.word(i(Op::Csrrw, ZERO, T0, FCSR));
    for register in 0..32 {
        a.word(i(Op::Fld, register, POINTER, 256 + register as i32 * 8));
    }
    for register in 1..31 {
        a.word(i(Op::Ld, register, POINTER, register as i32 * 8));
    }
    for (base, offset) in BASES {
        a.address(base, scratch + offset);
    }
}

fn store_registers(a: &mut Assembler, results: u64) {
    a.address(POINTER, results);
    for register in 1..31 {
        a.word(s(Op::Sd, register, POINTER, register as i32 * 8));
    }
    for register in 0..32 {
        a.word(s(Op::Fsd, register, POINTER, 256 + register as i32 * 8));
    }
    a.word(i(Op::Csrrs, T0, ZERO, FCSR));
    a.word(s(Op::Sd, T0, POINTER, FCSR_OFFSET as i32));
}

/// Runs cases on both sides and compares. Returns the number of a case that differs, and how.
#[must_use]
pub fn compare(cases: &[Case], engine: Engine, folder: &Path) -> Option<(usize, String)> {
    let program = Program::new(cases);
    match (program.run_here(engine), program.run_in_qemu(folder)) {
        (Ok(ours), Ok(theirs)) => {
            let chunks = ours
                .chunks(CASE_BYTES as usize)
                .zip(theirs.chunks(CASE_BYTES as usize));
            let (number, (ours, theirs)) = chunks
                .enumerate()
                .find(|(_, (ours, theirs))| ours != theirs)?;
            Some((number, differences(ours, theirs)))
        }
        (ours, theirs) => {
            let said = [ours.err(), theirs.err()]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join("; ");
            if cases.len() == 1 {
                return Some((0, said));
            }
            let alone = |case: &Case| compare(std::slice::from_ref(case), engine, folder);
            let found = cases
                .iter()
                .enumerate()
                .find_map(|(number, case)| Some((number, alone(case)?.1)));
            Some(found.unwrap_or((0, format!("{said} (but no case fails alone)"))))
        }
    }
}

fn differences(ours: &[u8], theirs: &[u8]) -> String {
    let mut text = String::new();
    let words = |bytes: &[u8]| -> Vec<u64> {
        bytes
            .as_chunks::<8>()
            .0
            .iter()
            .map(|word| u64::from_le_bytes(*word))
            .collect()
    };
    for (number, (ours, theirs)) in words(ours).into_iter().zip(words(theirs)).enumerate() {
        if ours == theirs {
            continue;
        }
        let name = match number {
            0..32 => format!("x{number}"),
            32..64 => format!("f{}", number - 32),
            64 => "fcsr".into(),
            _ => format!("scratch+{:#x}", number as u64 * 8 - REGISTER_BYTES),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name}: here {ours:#018x}, {QEMU} {theirs:#018x}");
    }
    text
}

/// Makes a failing case smaller: as long as it fails, ever smaller groups of atoms are taken out.
/// Returns it with how it fails.
#[must_use]
pub fn minimise(mut case: Case, engine: Engine, folder: &Path) -> (Case, String) {
    let fails =
        |case: &Case| compare(std::slice::from_ref(case), engine, folder).map(|(_, how)| how);
    let Some(mut how) = fails(&case) else {
        return (case, "the case does not fail alone".into());
    };
    let mut group = case.atoms.len().next_power_of_two();
    while group > 0 {
        for from in (0..case.atoms.len()).step_by(group) {
            let mut smaller = case.clone();
            let to = (from + group).min(case.atoms.len());
            smaller.atoms[from..to]
                .iter_mut()
                .for_each(|atom| atom.enabled = false);
            if smaller.atoms != case.atoms
                && let Some(now) = fails(&smaller)
            {
                (case, how) = (smaller, now);
            }
        }
        group /= 2;
    }
    (case, how)
}

/// The code of a case as text, with the registers that it begins with.
#[must_use]
pub fn listing(case: &Case) -> String {
    let mut text = String::new();
    let program = Program::new(std::slice::from_ref(case));
    let code = assemble(&case.atoms);
    let mut at = 0;
    while at + 2 <= code.len() {
        let mut bytes = [0; 4];
        let length = (code.len() - at).min(4);
        bytes[..length].copy_from_slice(&code[at..at + length]);
        let pc = program.code_ranges[0].start + at as u64;
        let inst = disassemble(u32::from_le_bytes(bytes), pc);
        let _ = writeln!(text, "  {pc:#x}: {inst}");
        at += usize::from(inst.len);
    }
    let _ = writeln!(text, "  beginning with fcsr {:#x}", case.inputs.fcsr);
    for (name, registers) in [("x", &case.inputs.x), ("f", &case.inputs.f)] {
        for (number, value) in registers.iter().enumerate() {
            let separator = if number % 4 == 3 { "\n" } else { "" };
            let _ = write!(text, "  {name}{number:<2} {value:#018x}{separator}");
        }
    }
    text
}
