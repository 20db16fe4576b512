//! Disassembly, in the words of `objdump -M no-aliases`.
//!
//! The names of the ABI stand for registers, targets are absolute, and pseudo-instructions are not
//! used, so that the text says exactly which instruction the machine executes.

mod compressed;

use std::fmt;

use super::isa::{Format, Inst, csr_name, decode};

/// One instruction as text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Disasm {
    /// The instruction's name without the suffixes for ordering, or `.2byte` or `.4byte` for what
    /// [`decode`] refuses.
    pub mnemonic: &'static str,
    /// `""`, `.aq`, `.rl` or `.aqrl`: the ordering of an atomic.
    pub ordering: &'static str,
    /// The operands with commas between them, as `a0,8(sp)`; may be empty.
    pub operands: String,
    /// Length in bytes: 2 or 4.
    pub len: u8,
}

impl fmt::Display for Disasm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.mnemonic, self.ordering)?;
        if self.operands.is_empty() {
            Ok(())
        } else {
            write!(f, " {}", self.operands)
        }
    }
}

/// Disassembles the instruction at address `pc`.
///
/// `word` is as for [`decode`]: the low 16 bits are the first parcel, and the upper half is ignored
/// when that is a compressed instruction, which comes out under its own name, as `c.addi`. What is
/// not an instruction comes out as data.
pub fn disassemble(word: u32, pc: u64) -> Disasm {
    let data = |mnemonic, value: u32, len| Disasm {
        mnemonic,
        ordering: "",
        operands: format!("{value:#x}"),
        len,
    };
    match (word, decode(word)) {
        // The two words that assemblers give out for `unimp` keep the name that people look for,
        // although the second is, formally, a write to a read-only CSR.
        (_, None) if word as u16 == 0 => plain("c.unimp", String::new(), 2),
        (0xc000_1073, Some(_)) => plain("unimp", String::new(), 4),
        (0x8330_000f, Some(_)) => plain("fence.tso", String::new(), 4),
        (_, Some(inst)) if inst.len == 2 => compressed::disassemble(word as u16, &inst, pc),
        (_, Some(inst)) => disassemble_inst(&inst, pc),
        (_, None) if word & 0b11 == 0b11 => data(".4byte", word, 4),
        (_, None) => data(".2byte", word & 0xffff, 2),
    }
}

/// The text of a decoded instruction at address `pc`, in the form of the base instruction even when
/// it was a compressed one.
pub fn disassemble_inst(inst: &Inst, pc: u64) -> Disasm {
    let format = inst.op.encoding().format;
    let ordering = match format {
        Format::Amo | Format::Lr => ["", ".rl", ".aq", ".aqrl"][usize::from(inst.rm & 3)],
        _ => "",
    };
    let operands = operands(inst, format, pc);
    Disasm {
        mnemonic: inst.op.mnemonic(),
        ordering,
        operands,
        len: inst.len,
    }
}

fn plain(mnemonic: &'static str, operands: String, len: u8) -> Disasm {
    Disasm {
        mnemonic,
        ordering: "",
        operands,
        len,
    }
}

fn operands(inst: &Inst, format: Format, pc: u64) -> String {
    let Inst { imm, .. } = *inst;
    let (rd, rs1, rs2) = (x(inst.rd), x(inst.rs1), x(inst.rs2));
    let (fd, fs1, fs2, fs3) = (f(inst.rd), f(inst.rs1), f(inst.rs2), f(inst.rs3));
    let rm = rounding_suffix(inst.rm);
    match format {
        Format::R => format!("{rd},{rs1},{rs2}"),
        Format::Unary => format!("{rd},{rs1}"),
        Format::I => format!("{rd},{rs1},{imm}"),
        Format::Load => format!("{rd},{imm}({rs1})"),
        Format::Shift6 | Format::Shift5 => format!("{rd},{rs1},{imm:#x}"),
        Format::S => format!("{rs2},{imm}({rs1})"),
        Format::B => format!("{rs1},{rs2},{:#x}", target(imm, pc)),
        Format::U => format!("{rd},{:#x}", imm as u32 >> 12),
        Format::J => format!("{rd},{:#x}", target(imm, pc)),
        Format::Fence => format!("{},{}", fence_set(imm >> 4), fence_set(imm)),
        Format::Bare => String::new(),
        Format::SfenceVma => format!("{rs1},{rs2}"),
        Format::Csr => format!("{rd},{},{rs1}", csr(imm)),
        Format::CsrImm => format!("{rd},{},{}", csr(imm), inst.rs1),
        Format::Lr => format!("{rd},({rs1})"),
        Format::Amo => format!("{rd},{rs2},({rs1})"),
        Format::FpLoad => format!("{fd},{imm}({rs1})"),
        Format::FpStore => format!("{fs2},{imm}({rs1})"),
        Format::FpFused => format!("{fd},{fs1},{fs2},{fs3}{rm}"),
        Format::FpBinaryRm => format!("{fd},{fs1},{fs2}{rm}"),
        Format::FpBinary => format!("{fd},{fs1},{fs2}"),
        Format::FpCompare => format!("{rd},{fs1},{fs2}"),
        Format::FpUnaryRm => format!("{fd},{fs1}{rm}"),
        Format::FpUnaryExact => format!("{fd},{fs1}"),
        Format::FpToIntRm => format!("{rd},{fs1}{rm}"),
        Format::FpToInt => format!("{rd},{fs1}"),
        Format::FpFromIntRm => format!("{fd},{rs1}{rm}"),
        Format::FpFromIntExact | Format::FpFromInt => format!("{fd},{rs1}"),
    }
}

/// Where a jump or branch by `offset` goes.
fn target(offset: i32, pc: u64) -> u64 {
    pc.wrapping_add_signed(i64::from(offset))
}

/// The ABI name of an integer register.
fn x(register: u8) -> &'static str {
    const NAMES: [&str; 32] = [
        "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4",
        "a5", "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4",
        "t5", "t6",
    ];
    NAMES[usize::from(register & 31)]
}

/// The ABI name of a floating-point register.
fn f(register: u8) -> &'static str {
    const NAMES: [&str; 32] = [
        "ft0", "ft1", "ft2", "ft3", "ft4", "ft5", "ft6", "ft7", "fs0", "fs1", "fa0", "fa1", "fa2",
        "fa3", "fa4", "fa5", "fa6", "fa7", "fs2", "fs3", "fs4", "fs5", "fs6", "fs7", "fs8", "fs9",
        "fs10", "fs11", "ft8", "ft9", "ft10", "ft11",
    ];
    NAMES[usize::from(register & 31)]
}

/// The rounding mode as a last operand; nothing for the dynamic one, which is what assemblers
/// assume.
fn rounding_suffix(rm: u8) -> &'static str {
    [
        ",rne", ",rtz", ",rdn", ",rup", ",rmm", ",unknown", ",unknown", "",
    ][usize::from(rm & 7)]
}

/// One of the two sets of a fence, from its four bits: input, output, reads, writes.
fn fence_set(bits: i32) -> &'static str {
    const NAMES: [&str; 16] = [
        "unknown", "w", "r", "rw", "o", "ow", "or", "orw", "i", "iw", "ir", "irw", "io", "iow",
        "ior", "iorw",
    ];
    NAMES[(bits & 15) as usize]
}

/// The name of a CSR, or its number where it has none.
fn csr(number: i32) -> String {
    match csr_name(number as u16) {
        Some(name) => name.to_owned(),
        None => format!("{number:#x}"),
    }
}

#[cfg(test)]
mod tests;
