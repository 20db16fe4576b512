//! The instruction set: its table, the decoder and the names of CSRs.
//!
//! RV64IMAFDC, Zicsr, Zifencei, Zba, Zbb, Zbs and the privileged instructions. Everything that has
//! to name every instruction expands one table, `for_each_instruction`, so that the decoder, the
//! executor and the disassembler can't disagree about what exists.

mod compressed;
mod csr;
mod index;
mod table;

pub use csr::csr_name;
pub(crate) use table::for_each_instruction;

/// One decoded instruction. A compressed one is given as the base instruction that it expands to.
///
/// A field that the instruction does not have is 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inst {
    /// Which instruction.
    pub op: Op,
    /// Destination register, 0 to 31; an `x` or an `f` register as the instruction has it.
    pub rd: u8,
    /// First source register, 0 to 31; the 5-bit immediate of `csrrwi`, `csrrsi` and `csrrci`.
    pub rs1: u8,
    /// Second source register, 0 to 31.
    pub rs2: u8,
    /// Third source register of the fused multiply-adds, 0 to 31.
    pub rs3: u8,
    /// The rounding mode field as it stands, 5 and 6 (reserved) and 7 (dynamic) included, of the
    /// floating-point instructions that have one; `aq << 1 | rl` of atomics.
    pub rm: u8,
    /// The immediate, sign-extended. Of `lui` and `auipc`: already shifted left by 12. Of shifts and
    /// single-bit instructions: the amount, 0 to 63. Of CSR instructions: the CSR's number, 0 to
    /// 4095. Of `fence`: bits 31:20 of the word, zero-extended.
    pub imm: i32,
    /// Length in bytes: 2 or 4.
    pub len: u8,
}

/// Which fields an instruction has and how they are written in assembler.
///
/// `x` stands for an integer register, `f` for a floating-point one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// `x, x, x`
    R,
    /// `x, x`, with all of bits 31:20 fixed.
    Unary,
    /// `x, x, imm`
    I,
    /// `x, imm(x)`: loads and `jalr`.
    Load,
    /// `x, x, shamt` with 6 bits of shift amount.
    Shift6,
    /// `x, x, shamt` with 5 bits of shift amount.
    Shift5,
    /// `x, imm(x)` with the value first: stores.
    S,
    /// `x, x, target`
    B,
    /// `x, imm`, the upper 20 bits.
    U,
    /// `x, target`
    J,
    /// `predecessors, successors`
    Fence,
    /// No operands.
    Bare,
    /// `x, x`: address and address space, no destination.
    SfenceVma,
    /// `x, csr, x`
    Csr,
    /// `x, csr, zimm`
    CsrImm,
    /// `x, (x)`, with aq and rl.
    Lr,
    /// `x, x, (x)`, with aq and rl.
    Amo,
    /// `f, imm(x)`
    FpLoad,
    /// `f, imm(x)` with the value first.
    FpStore,
    /// `f, f, f, f, rm`
    FpFused,
    /// `f, f, f, rm`
    FpBinaryRm,
    /// `f, f, f`
    FpBinary,
    /// `x, f, f`
    FpCompare,
    /// `f, f, rm`
    FpUnaryRm,
    /// `f, f`, with a rounding mode field that can't matter, since every result is exact.
    FpUnaryExact,
    /// `x, f, rm`
    FpToIntRm,
    /// `x, f`
    FpToInt,
    /// `f, x, rm`
    FpFromIntRm,
    /// `f, x`, with a rounding mode field that can't matter, since every result is exact.
    FpFromIntExact,
    /// `f, x`
    FpFromInt,
}

/// One row of the instruction table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Encoding {
    /// The instruction.
    pub op: Op,
    /// Its name in assembler, as `amoadd.w`.
    pub mnemonic: &'static str,
    /// What the bits under [`mask`](Self::mask) are.
    pub match_bits: u32,
    /// The bits that are fixed.
    pub mask: u32,
    /// What the other bits are.
    pub format: Format,
}

macro_rules! define_op {
    ($(($variant:ident, $mnemonic:literal, $match_bits:literal, $mask:literal, $format:ident),)*) => {
        /// An instruction of the base encoding.
        #[repr(u8)]
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Op {
            $(#[doc = concat!("`", $mnemonic, "`")] $variant,)*
        }

        /// The table as data, in the order of [`Op`].
        const ENCODINGS: &[Encoding] = &[
            $(Encoding {
                op: Op::$variant,
                mnemonic: $mnemonic,
                match_bits: $match_bits,
                mask: $mask,
                format: Format::$format,
            },)*
        ];
    };
}

for_each_instruction! {define_op}

impl Op {
    /// Every instruction with its encoding, in the order of the table.
    pub const fn encodings() -> &'static [Encoding] {
        ENCODINGS
    }

    /// This instruction's row of the table.
    pub const fn encoding(self) -> &'static Encoding {
        &ENCODINGS[self as usize]
    }

    /// The name in assembler, as `amoadd.w`.
    pub const fn mnemonic(self) -> &'static str {
        self.encoding().mnemonic
    }
}

impl Inst {
    /// An instruction of `len` bytes of which every other field is 0.
    const fn bare(op: Op, len: u8) -> Self {
        Self {
            op,
            rd: 0,
            rs1: 0,
            rs2: 0,
            rs3: 0,
            rm: 0,
            imm: 0,
            len,
        }
    }
}

/// Decodes one instruction; `None` for what is illegal, reserved or not supported.
///
/// The low 16 bits of `word` are the first parcel. If its low two bits are not `0b11` it is a
/// compressed instruction, and the upper half is ignored (RISC-V Unprivileged 1.5).
pub fn decode(word: u32) -> Option<Inst> {
    if word & 0b11 != 0b11 {
        return compressed::decode(word as u16);
    }
    let encoding = index::candidates(word)
        .iter()
        .map(|op| op.encoding())
        .find(|encoding| word & encoding.mask == encoding.match_bits)?;
    Some(with_fields(encoding, word))
}

/// Takes the fields of `encoding`'s format out of `word`.
fn with_fields(encoding: &Encoding, word: u32) -> Inst {
    let reg = |low: u32| (word >> low & 0x1f) as u8;
    let (rd, rs1, rs2, rs3) = (reg(7), reg(15), reg(20), reg(27));
    let rounding = (word >> 12 & 7) as u8;
    let signed_high = word as i32 >> 20;
    let bare = Inst::bare(encoding.op, 4);
    match encoding.format {
        Format::R | Format::FpBinary | Format::FpCompare => Inst {
            rd,
            rs1,
            rs2,
            ..bare
        },
        Format::Unary | Format::FpToInt | Format::FpFromInt => Inst { rd, rs1, ..bare },
        Format::I | Format::Load | Format::FpLoad => Inst {
            rd,
            rs1,
            imm: signed_high,
            ..bare
        },
        Format::Shift6 => Inst {
            rd,
            rs1,
            imm: signed_high & 0x3f,
            ..bare
        },
        Format::Shift5 => Inst {
            rd,
            rs1,
            imm: signed_high & 0x1f,
            ..bare
        },
        Format::S | Format::FpStore => {
            let imm = (signed_high & !0x1f) | i32::from(rd);
            Inst {
                rs1,
                rs2,
                imm,
                ..bare
            }
        }
        Format::B => Inst {
            rs1,
            rs2,
            imm: branch_offset(word),
            ..bare
        },
        Format::U => Inst {
            rd,
            imm: (word & 0xffff_f000) as i32,
            ..bare
        },
        Format::J => Inst {
            rd,
            imm: jump_offset(word),
            ..bare
        },
        Format::Fence => Inst {
            imm: (word >> 20) as i32,
            ..bare
        },
        Format::Bare => bare,
        Format::SfenceVma => Inst { rs1, rs2, ..bare },
        Format::Csr | Format::CsrImm => Inst {
            rd,
            rs1,
            imm: (word >> 20) as i32,
            ..bare
        },
        Format::Lr => Inst {
            rd,
            rs1,
            rm: (word >> 25 & 3) as u8,
            ..bare
        },
        Format::Amo => Inst {
            rd,
            rs1,
            rs2,
            rm: (word >> 25 & 3) as u8,
            ..bare
        },
        Format::FpFused => Inst {
            rd,
            rs1,
            rs2,
            rs3,
            rm: rounding,
            ..bare
        },
        Format::FpBinaryRm => Inst {
            rd,
            rs1,
            rs2,
            rm: rounding,
            ..bare
        },
        Format::FpUnaryRm
        | Format::FpUnaryExact
        | Format::FpToIntRm
        | Format::FpFromIntRm
        | Format::FpFromIntExact => Inst {
            rd,
            rs1,
            rm: rounding,
            ..bare
        },
    }
}

/// The B-immediate (RISC-V Unprivileged 2.3).
fn branch_offset(word: u32) -> i32 {
    let sign = (word as i32 >> 31) << 12;
    let low = (word >> 7 & 0x1e) | (word >> 20 & 0x7e0) | (word << 4 & 0x800);
    sign | low as i32
}

/// The J-immediate (RISC-V Unprivileged 2.3).
fn jump_offset(word: u32) -> i32 {
    let sign = (word as i32 >> 31) << 20;
    let low = (word >> 20 & 0x7fe) | (word >> 9 & 0x800) | (word & 0xf_f000);
    sign | low as i32
}

#[cfg(test)]
mod tests;
