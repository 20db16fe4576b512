//! Compressed instructions: each is one base instruction (RISC-V Unprivileged, "C" Extension).
//!
//! Hints are legal and come out as the base instruction that they look like; code points marked
//! reserved are illegal. The quadrants are the low two bits.

use super::{Inst, Op};

const ZERO: u8 = 0;
const RA: u8 = 1;
const SP: u8 = 2;

/// Decodes a parcel of which the low two bits are not `0b11`.
pub(super) fn decode(parcel: u16) -> Option<Inst> {
    let parcel = u32::from(parcel);
    match parcel & 0b11 {
        0b00 => quadrant_0(parcel),
        0b01 => quadrant_1(parcel),
        0b10 => quadrant_2(parcel),
        _ => None,
    }
}

/// Loads and stores with the eight popular registers, and `c.addi4spn`.
fn quadrant_0(parcel: u32) -> Option<Inst> {
    let (rs1, low) = (short_register(parcel, 7), short_register(parcel, 2));
    let word_offset = (bits(parcel, 10, 3) << 3 | bit(parcel, 6) << 2 | bit(parcel, 5) << 6) as i32;
    let double_offset = (bits(parcel, 10, 3) << 3 | bits(parcel, 5, 2) << 6) as i32;
    match bits(parcel, 13, 3) {
        0b000 => {
            let imm = bits(parcel, 11, 2) << 4
                | bits(parcel, 7, 4) << 6
                | bit(parcel, 6) << 2
                | bit(parcel, 5) << 3;
            // An immediate of 0 is reserved; with it the parcel of all zeros is illegal.
            (imm != 0).then_some(with_imm(Op::Addi, low, SP, imm as i32))
        }
        0b001 => Some(with_imm(Op::Fld, low, rs1, double_offset)),
        0b010 => Some(with_imm(Op::Lw, low, rs1, word_offset)),
        0b011 => Some(with_imm(Op::Ld, low, rs1, double_offset)),
        0b101 => Some(store(Op::Fsd, rs1, low, double_offset)),
        0b110 => Some(store(Op::Sw, rs1, low, word_offset)),
        0b111 => Some(store(Op::Sd, rs1, low, double_offset)),
        _ => None,
    }
}

/// Immediates, arithmetic on the popular registers, jumps and branches.
fn quadrant_1(parcel: u32) -> Option<Inst> {
    let rd = register(parcel, 7);
    let imm = signed(bit(parcel, 12) << 5 | bits(parcel, 2, 5), 6);
    match bits(parcel, 13, 3) {
        0b000 => Some(with_imm(Op::Addi, rd, rd, imm)),
        0b001 => (rd != ZERO).then_some(with_imm(Op::Addiw, rd, rd, imm)),
        0b010 => Some(with_imm(Op::Addi, rd, ZERO, imm)),
        0b011 if rd == SP => {
            let imm = signed(
                bit(parcel, 12) << 9
                    | bit(parcel, 6) << 4
                    | bit(parcel, 5) << 6
                    | bits(parcel, 3, 2) << 7
                    | bit(parcel, 2) << 5,
                10,
            );
            (imm != 0).then_some(with_imm(Op::Addi, SP, SP, imm))
        }
        0b011 => (imm != 0).then_some(with_imm(Op::Lui, rd, ZERO, imm << 12)),
        0b100 => arithmetic(parcel),
        0b101 => {
            let offset = bit(parcel, 12) << 11
                | bit(parcel, 11) << 4
                | bits(parcel, 9, 2) << 8
                | bit(parcel, 8) << 10
                | bit(parcel, 7) << 6
                | bit(parcel, 6) << 7
                | bits(parcel, 3, 3) << 1
                | bit(parcel, 2) << 5;
            Some(with_imm(Op::Jal, ZERO, ZERO, signed(offset, 12)))
        }
        funct3 => {
            let op = if funct3 == 0b110 { Op::Beq } else { Op::Bne };
            let offset = bit(parcel, 12) << 8
                | bits(parcel, 10, 2) << 3
                | bits(parcel, 5, 2) << 6
                | bits(parcel, 3, 2) << 1
                | bit(parcel, 2) << 5;
            Some(store(
                op,
                short_register(parcel, 7),
                ZERO,
                signed(offset, 9),
            ))
        }
    }
}

/// The part of quadrant 1 that works in place on a popular register.
fn arithmetic(parcel: u32) -> Option<Inst> {
    let (rd, rs2) = (short_register(parcel, 7), short_register(parcel, 2));
    let imm = bit(parcel, 12) << 5 | bits(parcel, 2, 5);
    let op = match (bits(parcel, 10, 2), bit(parcel, 12), bits(parcel, 5, 2)) {
        (0b00, _, _) => return Some(with_imm(Op::Srli, rd, rd, imm as i32)),
        (0b01, _, _) => return Some(with_imm(Op::Srai, rd, rd, imm as i32)),
        (0b10, _, _) => return Some(with_imm(Op::Andi, rd, rd, signed(imm, 6))),
        (_, 0, 0b00) => Op::Sub,
        (_, 0, 0b01) => Op::Xor,
        (_, 0, 0b10) => Op::Or,
        (_, 0, _) => Op::And,
        (_, _, 0b00) => Op::Subw,
        (_, _, 0b01) => Op::Addw,
        _ => return None,
    };
    Some(Inst {
        rd,
        rs1: rd,
        rs2,
        ..Inst::bare(op, 2)
    })
}

/// Loads and stores relative to the stack pointer, and what takes any two registers.
fn quadrant_2(parcel: u32) -> Option<Inst> {
    let (rd, rs2) = (register(parcel, 7), register(parcel, 2));
    let high = bit(parcel, 12) << 5;
    let shamt = (high | bits(parcel, 2, 5)) as i32;
    let word_load = (high | bits(parcel, 4, 3) << 2 | bits(parcel, 2, 2) << 6) as i32;
    let double_load = (high | bits(parcel, 5, 2) << 3 | bits(parcel, 2, 3) << 6) as i32;
    let word_store = (bits(parcel, 9, 4) << 2 | bits(parcel, 7, 2) << 6) as i32;
    let double_store = (bits(parcel, 10, 3) << 3 | bits(parcel, 7, 3) << 6) as i32;
    match bits(parcel, 13, 3) {
        0b000 => Some(with_imm(Op::Slli, rd, rd, shamt)),
        0b001 => Some(with_imm(Op::Fld, rd, SP, double_load)),
        0b010 => (rd != ZERO).then_some(with_imm(Op::Lw, rd, SP, word_load)),
        0b011 => (rd != ZERO).then_some(with_imm(Op::Ld, rd, SP, double_load)),
        0b100 => match (bit(parcel, 12), rd, rs2) {
            (0, ZERO, ZERO) => None,
            (0, _, ZERO) => Some(with_imm(Op::Jalr, ZERO, rd, 0)),
            (0, _, _) => Some(Inst {
                rd,
                rs2,
                ..Inst::bare(Op::Add, 2)
            }),
            (_, ZERO, ZERO) => Some(Inst::bare(Op::Ebreak, 2)),
            (_, _, ZERO) => Some(with_imm(Op::Jalr, RA, rd, 0)),
            (_, _, _) => Some(Inst {
                rd,
                rs1: rd,
                rs2,
                ..Inst::bare(Op::Add, 2)
            }),
        },
        0b101 => Some(store(Op::Fsd, SP, rs2, double_store)),
        0b110 => Some(store(Op::Sw, SP, rs2, word_store)),
        _ => Some(store(Op::Sd, SP, rs2, double_store)),
    }
}

/// An instruction with a destination, at most one source and an immediate.
const fn with_imm(op: Op, rd: u8, rs1: u8, imm: i32) -> Inst {
    Inst {
        rd,
        rs1,
        imm,
        ..Inst::bare(op, 2)
    }
}

/// An instruction with two sources and an offset: a store or a branch.
const fn store(op: Op, rs1: u8, rs2: u8, imm: i32) -> Inst {
    Inst {
        rs1,
        rs2,
        imm,
        ..Inst::bare(op, 2)
    }
}

const fn bit(parcel: u32, low: u32) -> u32 {
    bits(parcel, low, 1)
}

const fn bits(parcel: u32, low: u32, count: u32) -> u32 {
    parcel >> low & ((1 << count) - 1)
}

/// A five-bit register field.
const fn register(parcel: u32, low: u32) -> u8 {
    bits(parcel, low, 5) as u8
}

/// A three-bit register field, which names `x8` to `x15` or `f8` to `f15`.
const fn short_register(parcel: u32, low: u32) -> u8 {
    bits(parcel, low, 3) as u8 + 8
}

/// `value`, of `width` bits, sign-extended.
const fn signed(value: u32, width: u32) -> i32 {
    (value << (32 - width)) as i32 >> (32 - width)
}
