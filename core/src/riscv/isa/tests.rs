use super::*;

#[test]
fn no_word_is_two_instructions() {
    for (position, row) in Op::encodings().iter().enumerate() {
        assert_eq!(row.match_bits & !row.mask, 0, "{}", row.mnemonic);
        assert_eq!(row.mask & 0b11, 0b11, "{}", row.mnemonic);
        assert_eq!(row.op.encoding(), row);
        for other in &Op::encodings()[..position] {
            let common = row.mask & other.mask;
            assert_ne!(
                row.match_bits & common,
                other.match_bits & common,
                "{} and {}",
                row.mnemonic,
                other.mnemonic
            );
        }
    }
}

/// An instruction of four bytes with these `[rd, rs1, rs2]`; the other fields are 0.
fn base(op: Op, [rd, rs1, rs2]: [u8; 3], imm: i32) -> Inst {
    Inst {
        rd,
        rs1,
        rs2,
        imm,
        ..Inst::bare(op, 4)
    }
}

/// The same of two bytes.
fn short(op: Op, registers: [u8; 3], imm: i32) -> Inst {
    Inst {
        len: 2,
        ..base(op, registers, imm)
    }
}

#[track_caller]
fn check(word: u32, expect: impl Into<Option<Inst>>) {
    assert_eq!(decode(word), expect.into(), "{word:#010x}");
}

#[test]
fn integer_formats() {
    check(0x8000_0517, base(Op::Auipc, [10, 0, 0], i32::MIN));
    check(0xffff_f2b7, base(Op::Lui, [5, 0, 0], -4096));
    check(0xffdf_f0ef, base(Op::Jal, [1, 0, 0], -4));
    check(0x7fff_f06f, base(Op::Jal, [0, 0, 0], 0xf_fffe));
    check(0xffc5_0567, base(Op::Jalr, [10, 10, 0], -4));
    check(0x00b5_0463, base(Op::Beq, [0, 10, 11], 8));
    check(0x80b5_10e3, base(Op::Bne, [0, 10, 11], -2048));
    check(0x8005_3503, base(Op::Ld, [10, 10, 0], -2048));
    check(0xfea5_3c23, base(Op::Sd, [0, 10, 10], -8));
    check(0x43f5_5513, base(Op::Srai, [10, 10, 0], 63));
    check(0x41f5_551b, base(Op::Sraiw, [10, 10, 0], 31));
    check(0x28b5_1513, base(Op::Bseti, [10, 10, 0], 11));
    check(0x0bf5_151b, base(Op::SlliUw, [10, 10, 0], 63));
    check(0x6b85_5513, base(Op::Rev8, [10, 10, 0], 0));
    check(0x0805_453b, base(Op::ZextH, [10, 10, 0], 0));
    check(0x40c5_f533, base(Op::Andn, [10, 11, 12], 0));
}

#[test]
fn atomics_keep_their_ordering_bits() {
    check(
        0x1405_252f,
        Inst {
            rm: 0b10,
            ..base(Op::LrW, [10, 10, 0], 0)
        },
    );
    check(
        0x1ac5_b52f,
        Inst {
            rm: 0b01,
            ..base(Op::ScD, [10, 11, 12], 0)
        },
    );
    check(
        0x06c5_a52f,
        Inst {
            rm: 0b11,
            ..base(Op::AmoaddW, [10, 11, 12], 0)
        },
    );
}

#[test]
fn floating_point_keeps_its_rounding_mode() {
    let fadd = base(Op::FaddD, [10, 10, 11], 0);
    for rm in 0..8 {
        check(0x02b5_0553 | u32::from(rm) << 12, Inst { rm, ..fadd });
    }
    let fused = Inst {
        rs3: 4,
        rm: 7,
        ..base(Op::FnmsubS, [1, 2, 3], 0)
    };
    check(0x2031_70cb, fused);
    check(
        0xc230_1553,
        Inst {
            rm: 1,
            ..base(Op::FcvtLuD, [10, 0, 0], 0)
        },
    );
    check(
        0x4200_7553,
        Inst {
            rm: 7,
            ..base(Op::FcvtDS, [10, 0, 0], 0)
        },
    );
    // The sign injections and comparisons have an opcode there.
    check(0x22b5_1553, base(Op::FsgnjnD, [10, 10, 11], 0));
    check(0xa0b5_2553, base(Op::FeqS, [10, 10, 11], 0));
}

#[test]
fn system_and_fences() {
    check(0x0000_0073, base(Op::Ecall, [0, 0, 0], 0));
    check(0x0010_0073, base(Op::Ebreak, [0, 0, 0], 0));
    check(0x1020_0073, base(Op::Sret, [0, 0, 0], 0));
    check(0x3020_0073, base(Op::Mret, [0, 0, 0], 0));
    check(0x1050_0073, base(Op::Wfi, [0, 0, 0], 0));
    check(0x12b5_0073, base(Op::SfenceVma, [0, 10, 11], 0));
    check(0xc010_2573, base(Op::Csrrs, [10, 0, 0], 0xc01));
    check(0xf14f_f573, base(Op::Csrrci, [10, 31, 0], 0xf14));
    check(0x0ff0_000f, base(Op::Fence, [0, 0, 0], 0x0ff));
    // `fence.tso`, `pause`, and a fence with reserved fields are all plain fences.
    check(0x8330_000f, base(Op::Fence, [0, 0, 0], 0x833));
    check(0x0100_000f, base(Op::Fence, [0, 0, 0], 0x010));
    check(0x5330_8f8f, base(Op::Fence, [0, 0, 0], 0x533));
    check(0xfff0_9f8f, base(Op::FenceI, [0, 0, 0], 0));
    // `prefetch.r` is a hint: `ori` with destination `x0`.
    check(0x0015_6013, base(Op::Ori, [0, 10, 0], 1));
}

#[test]
fn reserved_words_are_illegal() {
    for word in [
        0xffff_ffff,
        0x0000_001f, // the start of a longer instruction
        0x0200_0073, // ecall with bits that must be 0
        0x0000_00f3, // ecall with a destination
        0x1050_00f3, // wfi with a destination
        0x1200_00f3, // sfence.vma with a destination
        0x7b20_0073, // dret
        0x1600_0073, // sinval.vma, which is not supported
        0x0000_4073, // SYSTEM with funct3 4
        0x0000_200f, // cbo.inval, which is not supported
        0x03f5_151b, // slliw by 63
        0x4205_551b, // sraiw by 32
        0x43f5_1513, // slli with srai's bit
        0x6205_551b, // roriw by 32
        0x0000_7003, // a load of no width
        0x0000_4023, // a store of no width
        0x00c5_2063, // a branch with funct3 2
        0x0000_1067, // jalr with funct3 1
        0x1015_252f, // lr.w with rs2
        0x0005_052f, // an atomic of a byte
        0x0005_0007, // an FP load of a byte
        0x06b5_7553, // fadd.q
        0x04b5_7553, // fadd.h
        0x5815_7553, // fsqrt.s with rs2
        0x0600_0043, // fmadd.q
        0x2000_3053, // sign injection with funct3 3
        0xc040_7053, // fcvt from s to the fifth integer
        0x4000_7053, // fcvt.s.s
        0x0ea5_453b, // a neighbour of zext.h
    ] {
        check(word, None);
    }
}

#[test]
fn compressed_forms() {
    check(0x1fe0, short(Op::Addi, [8, 2, 0], 1020));
    check(0x4501, short(Op::Addi, [10, 0, 0], 0));
    check(0x717d, short(Op::Addi, [2, 2, 0], -16));
    check(0x7ffd, short(Op::Lui, [31, 0, 0], -4096));
    check(0x6505, short(Op::Lui, [10, 0, 0], 4096));
    check(0x3ffd, short(Op::Addiw, [31, 31, 0], -1));
    check(0x7ffc, short(Op::Ld, [15, 15, 0], 248));
    check(0xbffc, short(Op::Fsd, [0, 15, 15], 248));
    check(0x3ffe, short(Op::Fld, [31, 2, 0], 504));
    check(0xfffe, short(Op::Sd, [0, 2, 31], 504));
    check(0xbffd, short(Op::Jal, [0, 0, 0], -2));
    check(0xdffd, short(Op::Beq, [0, 15, 0], -2));
    check(0x8082, short(Op::Jalr, [0, 1, 0], 0));
    check(0x9f82, short(Op::Jalr, [1, 31, 0], 0));
    check(0x9002, short(Op::Ebreak, [0, 0, 0], 0));
    check(0x8ffe, short(Op::Add, [31, 0, 31], 0));
    check(0x9f9d, short(Op::Subw, [15, 15, 15], 0));
    check(0x9fbd, short(Op::Addw, [15, 15, 15], 0));
    check(0x93fd, short(Op::Srli, [15, 15, 0], 63));
    // The upper half belongs to the next instruction.
    check(0xffff_0001, short(Op::Addi, [0, 0, 0], 0));
}

#[test]
fn compressed_hints_are_legal() {
    check(0x0005, short(Op::Addi, [0, 0, 0], 1)); // c.nop with an immediate
    check(0x0501, short(Op::Addi, [10, 10, 0], 0)); // c.addi by 0
    check(0x4005, short(Op::Addi, [0, 0, 0], 1)); // c.li to x0
    check(0x6005, short(Op::Lui, [0, 0, 0], 4096)); // c.lui to x0
    check(0x0502, short(Op::Slli, [10, 10, 0], 0)); // c.slli by 0
    check(0x8006, short(Op::Add, [0, 0, 1], 0)); // c.mv to x0
    check(0x9006, short(Op::Add, [0, 0, 1], 0)); // c.add to x0
}

#[test]
fn reserved_parcels_are_illegal() {
    for parcel in [
        0x0000, // defined illegal
        0x0004, // c.addi4spn of 0
        0x8000, // quadrant 0, funct3 4
        0x2001, // c.addiw to x0
        0x6101, // c.addi16sp of 0
        0x6081, // c.lui of 0
        0x6001, // c.lui of 0 to x0
        0x9c41, // the two places after c.addw
        0x9c61, //
        0x4002, // c.lwsp to x0
        0x6002, // c.ldsp to x0
        0x8002, // c.jr to x0
    ] {
        check(parcel, None);
        check(0xffff_0000 | parcel, None);
    }
}

#[test]
fn every_row_decodes_as_itself() {
    for row in Op::encodings() {
        for fill in [
            0,
            !row.mask,
            0x5555_5555 & !row.mask,
            0xaaaa_aaaa & !row.mask,
        ] {
            assert_eq!(
                decode(row.match_bits | fill).map(|inst| inst.op),
                Some(row.op),
                "{row:?}"
            );
        }
    }
}

#[test]
fn names_of_csrs() {
    for (number, expect) in [
        (0x300, Some("mstatus")),
        (0x323, Some("mhpmevent3")),
        (0x3a0, Some("pmpcfg0")),
        (0x3ef, Some("pmpaddr63")),
        (0xb9f, Some("mhpmcounter31h")),
        (0xc03, Some("hpmcounter3")),
        (0x321, None),
        (0x3f0, None),
        (0x5a1, None),
        (0x1300, None),
    ] {
        assert_eq!(csr_name(number), expect, "{number:#x}");
    }
}
