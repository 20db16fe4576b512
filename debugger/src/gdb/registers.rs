//! The registers as gdb knows them: their numbers, their sizes, the target description.

use crate::session::ThreadRegisters;
use gdbstub::arch::{Arch, RegId, Registers};
use reprise_core::riscv::isa::csr_name;
use std::num::NonZeroUsize;

/// The instruction set, for gdbstub.
#[derive(Debug)]
pub(crate) enum Riscv64 {}

impl Arch for Riscv64 {
    type Usize = u64;
    type Registers = CoreRegisters;
    type BreakpointKind = usize;
    type RegId = RegisterNumber;
}

/// The registers of a `g` packet: `x0` to `x31`, `pc`, and `f0` to `f31` where they are known.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct CoreRegisters {
    pub(crate) x: [u64; 32],
    pub(crate) pc: u64,
    pub(crate) f: Option<[u64; 32]>,
}

impl From<ThreadRegisters> for CoreRegisters {
    fn from(registers: ThreadRegisters) -> Self {
        Self {
            x: registers.x,
            pc: registers.pc,
            f: registers.f,
        }
    }
}

impl Registers for CoreRegisters {
    type ProgramCounter = u64;

    fn pc(&self) -> u64 {
        self.pc
    }

    fn gdb_serialize(&self, mut write_byte: impl FnMut(Option<u8>)) {
        let mut write = |value: Option<u64>| {
            for at in 0..8 {
                write_byte(value.map(|value| value.to_le_bytes()[at]));
            }
        };
        self.x.iter().for_each(|value| write(Some(*value)));
        write(Some(self.pc));
        for at in 0..32 {
            write(self.f.map(|f| f[at]));
        }
    }

    fn gdb_deserialize(&mut self, bytes: &[u8]) -> Result<(), ()> {
        let mut values = bytes.chunks_exact(8).map(|chunk| {
            let mut value = [0; 8];
            value.copy_from_slice(chunk);
            u64::from_le_bytes(value)
        });
        for x in &mut self.x {
            *x = values.next().ok_or(())?;
        }
        self.pc = values.next().ok_or(())?;
        let f: Vec<u64> = values.by_ref().take(32).collect();
        self.f = f.try_into().ok();
        Ok(())
    }
}

/// A register by its number in the target description.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RegisterNumber(pub(crate) u16);

impl RegId for RegisterNumber {
    fn from_raw_id(id: usize) -> Option<(Self, Option<NonZeroUsize>)> {
        let number = u16::try_from(id).ok()?;
        Some((Self(number), NonZeroUsize::new(register_bytes(number))))
    }
}

/// Bytes of a register.
pub(crate) const fn register_bytes(number: u16) -> usize {
    match number {
        66..=68 => 4,
        _ => 8,
    }
}

const X_NAMES: [&str; 32] = [
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "fp", "s1", "a0", "a1", "a2", "a3", "a4",
    "a5", "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4",
    "t5", "t6",
];
const F_NAMES: [&str; 32] = [
    "ft0", "ft1", "ft2", "ft3", "ft4", "ft5", "ft6", "ft7", "fs0", "fs1", "fa0", "fa1", "fa2",
    "fa3", "fa4", "fa5", "fa6", "fa7", "fs2", "fs3", "fs4", "fs5", "fs6", "fs7", "fs8", "fs9",
    "fs10", "fs11", "ft8", "ft9", "ft10", "ft11",
];

/// The target description (GDB manual, "Target Description Format" and "RISC-V Features"), with those CSRs for which
/// `has_csr` holds.
pub(crate) fn target_xml(has_csr: impl Fn(u16) -> bool) -> String {
    let mut xml = String::from(concat!(
        "<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n",
        "<target version=\"1.0\">\n<architecture>riscv:rv64</architecture>\n<osabi>GNU/Linux</osabi>\n",
        "<feature name=\"org.gnu.gdb.riscv.cpu\">\n",
    ));
    let register = |xml: &mut String, name: &str, bits: usize, number: u16, rest: &str| {
        *xml += &format!("<reg name=\"{name}\" bitsize=\"{bits}\" regnum=\"{number}\"{rest}/>\n");
    };
    for (number, name) in (0..).zip(X_NAMES) {
        let kind = match name {
            "ra" => " type=\"code_ptr\"",
            "sp" | "gp" | "tp" | "fp" => " type=\"data_ptr\"",
            _ => " type=\"int\"",
        };
        register(&mut xml, name, 64, number, kind);
    }
    register(&mut xml, "pc", 64, 32, " type=\"code_ptr\"");
    xml += "</feature>\n<feature name=\"org.gnu.gdb.riscv.fpu\">\n";
    xml += concat!(
        "<union id=\"riscv_double\"><field name=\"float\" type=\"ieee_single\"/>",
        "<field name=\"double\" type=\"ieee_double\"/></union>\n",
    );
    for (number, name) in (33..).zip(F_NAMES) {
        register(&mut xml, name, 64, number, " type=\"riscv_double\"");
    }
    for (number, name) in [(66, "fflags"), (67, "frm"), (68, "fcsr")] {
        register(&mut xml, name, 32, number, " type=\"int\"");
    }
    xml += "</feature>\n<feature name=\"org.gnu.gdb.riscv.csr\">\n";
    for csr in 4..4096u16 {
        if let Some(name) = csr_name(csr).filter(|_| has_csr(csr)) {
            let number = crate::session::CSR0 + csr;
            register(&mut xml, name, 64, number, " type=\"int\" group=\"csr\"");
        }
    }
    xml += "</feature>\n<feature name=\"org.gnu.gdb.riscv.virtual\">\n";
    let privilege = crate::session::PRIVILEGE;
    register(
        &mut xml,
        "priv",
        64,
        privilege,
        " type=\"int\" group=\"system\"",
    );
    xml += "</feature>\n</target>\n";
    xml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_go_out_and_come_back() {
        let registers = CoreRegisters {
            x: std::array::from_fn(|at| at as u64 * 7),
            pc: 0x1234,
            f: Some(std::array::from_fn(|at| at as u64 * 9)),
        };
        let mut bytes = Vec::new();
        registers.gdb_serialize(|byte| bytes.push(byte.unwrap_or(0)));
        assert_eq!(bytes.len(), 65 * 8);
        let mut back = CoreRegisters::default();
        back.gdb_deserialize(&bytes).expect("whole");
        assert_eq!(back, registers);
        back.gdb_deserialize(&bytes[..33 * 8]).expect("without f");
        assert_eq!(back.f, None);
        assert_eq!(back.gdb_deserialize(&bytes[..100]), Err(()));
    }

    #[test]
    fn the_description_names_each_number_once() {
        let xml = target_xml(|_| true);
        let mut numbers: Vec<&str> = xml.split("regnum=\"").skip(1).collect();
        let count = numbers.len();
        numbers
            .iter_mut()
            .for_each(|text| *text = text.split('"').next().unwrap_or(""));
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), count);
        assert!(count > 150 && xml.contains("name=\"satp\" bitsize=\"64\" regnum=\"449\""));
    }
}
