//! Compressed instructions under their own names.
//!
//! The operands come from the base instruction that was decoded; the parcel only says which of the
//! compressed forms of it this is.

use crate::riscv::isa::{Inst, Op};

use super::{Disasm, f, plain, target, x};

/// The text of the legal `parcel`, which decodes as `inst`.
pub(super) fn disassemble(parcel: u16, inst: &Inst, pc: u64) -> Disasm {
    let Inst { imm, .. } = *inst;
    let (rd, rs1, rs2) = (x(inst.rd), x(inst.rs1), x(inst.rs2));
    let (fd, fs2) = (f(inst.rd), f(inst.rs2));
    let quadrant = parcel & 0b11;
    // What is relative to the stack pointer in quadrant 2 has a name of its own.
    let stack = quadrant == 0b10;
    let pick = |plain, with_stack| if stack { with_stack } else { plain };
    let (mnemonic, operands) = match inst.op {
        Op::Addi => match (quadrant, parcel >> 13) {
            (0b00, _) => ("c.addi4spn", format!("{rd},{rs1},{imm}")),
            (_, 0b000) => ("c.addi", format!("{rd},{imm}")),
            (_, 0b010) => ("c.li", format!("{rd},{imm}")),
            _ => ("c.addi16sp", format!("{rd},{imm}")),
        },
        Op::Addiw => ("c.addiw", format!("{rd},{imm}")),
        Op::Andi => ("c.andi", format!("{rd},{imm}")),
        Op::Lui => ("c.lui", format!("{rd},{:#x}", imm as u32 >> 12)),
        // A shift by 0, a hint, is written as RV128's shift by 64, whose encoding it is.
        Op::Slli if imm == 0 => ("c.slli64", rd.to_owned()),
        Op::Srli if imm == 0 => ("c.srli64", rd.to_owned()),
        Op::Srai if imm == 0 => ("c.srai64", rd.to_owned()),
        Op::Slli => ("c.slli", format!("{rd},{imm:#x}")),
        Op::Srli => ("c.srli", format!("{rd},{imm:#x}")),
        Op::Srai => ("c.srai", format!("{rd},{imm:#x}")),
        Op::Add if parcel >> 12 & 1 == 0 => ("c.mv", format!("{rd},{rs2}")),
        Op::Add => ("c.add", format!("{rd},{rs2}")),
        Op::Addw => ("c.addw", format!("{rd},{rs2}")),
        Op::Sub => ("c.sub", format!("{rd},{rs2}")),
        Op::Subw => ("c.subw", format!("{rd},{rs2}")),
        Op::And => ("c.and", format!("{rd},{rs2}")),
        Op::Or => ("c.or", format!("{rd},{rs2}")),
        Op::Xor => ("c.xor", format!("{rd},{rs2}")),
        Op::Lw => (pick("c.lw", "c.lwsp"), format!("{rd},{imm}({rs1})")),
        Op::Ld => (pick("c.ld", "c.ldsp"), format!("{rd},{imm}({rs1})")),
        Op::Fld => (pick("c.fld", "c.fldsp"), format!("{fd},{imm}({rs1})")),
        Op::Sw => (pick("c.sw", "c.swsp"), format!("{rs2},{imm}({rs1})")),
        Op::Sd => (pick("c.sd", "c.sdsp"), format!("{rs2},{imm}({rs1})")),
        Op::Fsd => (pick("c.fsd", "c.fsdsp"), format!("{fs2},{imm}({rs1})")),
        Op::Jal => ("c.j", format!("{:#x}", target(imm, pc))),
        Op::Beq => ("c.beqz", format!("{rs1},{:#x}", target(imm, pc))),
        Op::Bne => ("c.bnez", format!("{rs1},{:#x}", target(imm, pc))),
        Op::Jalr if inst.rd == 0 => ("c.jr", rs1.to_owned()),
        Op::Jalr => ("c.jalr", rs1.to_owned()),
        Op::Ebreak => ("c.ebreak", String::new()),
        // The decoder makes nothing else of a parcel; were that to change, the text would still be
        // true, if not under the compressed name.
        _ => return super::disassemble_inst(inst, pc),
    };
    plain(mnemonic, operands, 2)
}
