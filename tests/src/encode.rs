//! Instruction words, made from the instruction table that the machine itself decodes by.

use reprise_core::riscv::isa::Op;

/// A register number, 0 to 31.
pub type Register = u32;

const fn fixed(op: Op) -> u32 {
    op.encoding().match_bits
}

/// Three registers; the rounding mode, where there is one, is 0.
#[must_use]
pub const fn r(op: Op, rd: Register, rs1: Register, rs2: Register) -> u32 {
    fixed(op) | rd << 7 | rs1 << 15 | rs2 << 20
}

/// A destination, a source and a 12-bit immediate: also loads, and CSR instructions with the
/// register's number as the immediate.
#[must_use]
pub const fn i(op: Op, rd: Register, rs1: Register, imm: i32) -> u32 {
    fixed(op) | rd << 7 | rs1 << 15 | (imm as u32) << 20
}

/// A store of `rs2` at `imm(rs1)`.
#[must_use]
pub const fn s(op: Op, rs2: Register, rs1: Register, imm: i32) -> u32 {
    fixed(op) | s_immediate(imm) | rs1 << 15 | rs2 << 20
}

/// The bits of a store's immediate.
#[must_use]
pub const fn s_immediate(imm: i32) -> u32 {
    let imm = imm as u32;
    (imm & 0x1f) << 7 | (imm >> 5 & 0x7f) << 25
}

/// A conditional branch over `offset` bytes.
#[must_use]
pub const fn b(op: Op, rs1: Register, rs2: Register, offset: i32) -> u32 {
    fixed(op) | b_immediate(offset) | rs1 << 15 | rs2 << 20
}

/// The bits of a branch's offset.
#[must_use]
pub const fn b_immediate(offset: i32) -> u32 {
    let offset = offset as u32;
    (offset >> 11 & 1) << 7
        | (offset >> 1 & 0xf) << 8
        | (offset >> 5 & 0x3f) << 25
        | (offset >> 12 & 1) << 31
}

/// `lui` or `auipc`: `imm` is the upper 20 bits.
#[must_use]
pub const fn u(op: Op, rd: Register, imm: u32) -> u32 {
    fixed(op) | rd << 7 | imm << 12
}

/// `jal` over `offset` bytes.
#[must_use]
pub const fn j(op: Op, rd: Register, offset: i32) -> u32 {
    fixed(op) | rd << 7 | j_immediate(offset)
}

/// The bits of a `jal`'s offset.
#[must_use]
pub const fn j_immediate(offset: i32) -> u32 {
    let offset = offset as u32;
    (offset >> 12 & 0xff) << 12
        | (offset >> 11 & 1) << 20
        | (offset >> 1 & 0x3ff) << 21
        | (offset >> 20 & 1) << 31
}

/// The bits of the offset of `c.beqz` and `c.bnez`, -256 to 254.
#[must_use]
pub fn cb_immediate(offset: i32) -> u16 {
    let bit = |n: u32, to: u32| ((offset as u32 >> n & 1) << to) as u16;
    bit(8, 12) | bit(4, 11) | bit(3, 10) | bit(7, 6) | bit(6, 5) | bit(2, 4) | bit(1, 3) | bit(5, 2)
}

/// The bits of the offset of `c.j`, -2048 to 2046.
#[must_use]
pub fn cj_immediate(offset: i32) -> u16 {
    let bit = |n: u32, to: u32| ((offset as u32 >> n & 1) << to) as u16;
    let high = bit(11, 12) | bit(4, 11) | bit(9, 10) | bit(8, 9) | bit(10, 8);
    high | bit(6, 7) | bit(7, 6) | bit(3, 5) | bit(2, 4) | bit(1, 3) | bit(5, 2)
}

/// `c.addi16sp` by a multiple of 16, -512 to 496 and not 0.
#[must_use]
pub fn c_addi16sp(imm: i32) -> u16 {
    let bit = |n: u32, to: u32| ((imm as u32 >> n & 1) << to) as u16;
    0x6101 | bit(9, 12) | bit(4, 6) | bit(6, 5) | bit(8, 4) | bit(7, 3) | bit(5, 2)
}

/// `rd = target`, for an `auipc` at `pc`: two instructions.
#[must_use]
pub const fn address(rd: Register, target: u64, pc: u64) -> [u32; 2] {
    let distance = target.wrapping_sub(pc) as u32;
    let high = distance.wrapping_add(0x800) >> 12;
    [
        u(Op::Auipc, rd, high),
        i(Op::Addi, rd, rd, distance as i32 & 0xfff),
    ]
}

/// `rd = value`, sign-extended from 32 bits: two instructions.
#[must_use]
pub const fn constant(rd: Register, value: i32) -> [u32; 2] {
    let high = (value as u32).wrapping_add(0x800) >> 12;
    [u(Op::Lui, rd, high), i(Op::Addiw, rd, rd, value & 0xfff)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use reprise_core::riscv::isa::decode;

    #[test]
    fn offsets_decode_to_what_was_encoded() {
        for offset in (-256..256).step_by(2) {
            for parcel in [0xc001 | cb_immediate(offset), 0xe001 | cb_immediate(offset)] {
                assert_eq!(decode(parcel.into()).map(|inst| inst.imm), Some(offset));
            }
        }
        for offset in (-2048..2048).step_by(2) {
            let parcel = 0xa001 | cj_immediate(offset);
            assert_eq!(decode(parcel.into()).map(|inst| inst.imm), Some(offset));
            assert_eq!(
                decode(b(Op::Bne, 1, 2, offset)).map(|inst| inst.imm),
                Some(offset)
            );
            assert_eq!(
                decode(j(Op::Jal, 1, offset * 500)).map(|inst| inst.imm),
                Some(offset * 500)
            );
            assert_eq!(
                decode(s(Op::Sd, 1, 2, offset)).map(|inst| inst.imm),
                Some(offset)
            );
        }
        for imm in (-512..512).step_by(16).filter(|imm| *imm != 0) {
            let inst = decode(c_addi16sp(imm).into()).expect("legal");
            assert_eq!(
                (inst.op, inst.rd, inst.rs1, inst.imm),
                (Op::Addi, 2, 2, imm)
            );
        }
    }
}
