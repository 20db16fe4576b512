//! Random straight-line code that a user-mode program can execute: every instruction that is not
//! privileged, compressed forms included, with loads and stores kept to a scratch buffer and control flow
//! that only goes forward.
//!
//! A sequence is a list of atoms. Control flow leads to the start of an atom only, so that a pair like
//! `lr` and `sc` stays together, and so that any subset of the atoms is again a sequence: that is how a
//! failing one is made smaller.

use crate::encode;
use crate::operands;
use crate::random::Random;
use reprise_core::riscv::isa::{Encoding, Format, Inst, Op, decode};

/// Registers that point into the scratch buffer and are never written, with their offsets in it.
/// `sp` and `s1` have compressed loads and stores. Each lies in a reservation set of its own.
pub const BASES: [(u32, u64); 3] = [(2, 2048), (9, 2048 + 136), (31, 2048 + 272)];

/// Bytes of a scratch buffer: every 12-bit offset from every base stays inside.
pub const SCRATCH_BYTES: usize = 4416;
const _: () = assert!(2048 + 272 + 2047 + 8 <= SCRATCH_BYTES);

/// Atoms that a branch goes over at most; a compressed branch reaches 254 bytes.
const FORWARD_MAX: u64 = 6;

/// The legal values of a rounding mode field: five modes, and the dynamic one.
const ROUNDING: [u32; 6] = [0, 1, 2, 3, 4, 7];

/// One instruction. A target is the number of an atom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece {
    /// Just these bits.
    Plain(u32),
    /// A conditional branch.
    Branch(u32, usize),
    /// `jal`.
    Jump(u32, usize),
    /// `c.beqz` or `c.bnez`.
    CompressedBranch(u16, usize),
    /// `c.j`.
    CompressedJump(u16, usize),
    /// Has as its I-immediate how far the target is from the atom's start.
    FromStart(u32, usize),
}

impl Piece {
    fn byte_len(self) -> u64 {
        match self {
            Self::CompressedBranch(..) | Self::CompressedJump(..) => 2,
            Self::Plain(word) if word & 3 != 3 => 2,
            _ => 4,
        }
    }
}

/// Instructions that stay together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Atom {
    /// The instructions, in order.
    pub pieces: Vec<Piece>,
    /// Whether the atom takes part; one that was taken out leaves targets as they are.
    pub enabled: bool,
}

/// The code of a sequence, which may stand anywhere.
#[must_use]
pub fn assemble(atoms: &[Atom]) -> Vec<u8> {
    // Where each atom begins; one that is taken out begins where the next one does.
    let mut starts = Vec::with_capacity(atoms.len() + 1);
    let mut at = 0;
    for atom in atoms {
        starts.push(at);
        if atom.enabled {
            at += atom
                .pieces
                .iter()
                .map(|piece| piece.byte_len())
                .sum::<u64>();
        }
    }
    starts.push(at);
    let mut code: Vec<u8> = Vec::with_capacity(at as usize);
    for (atom, start) in atoms.iter().zip(&starts).filter(|(atom, _)| atom.enabled) {
        for piece in &atom.pieces {
            let to = |from: u64, target: usize| (starts[target.min(atoms.len())] - from) as i32;
            let here = code.len() as u64;
            let word = match *piece {
                Piece::Plain(word) => word,
                Piece::Branch(word, target) => word | encode::b_immediate(to(here, target)),
                Piece::Jump(word, target) => word | encode::j_immediate(to(here, target)),
                Piece::CompressedBranch(parcel, target) => {
                    u32::from(parcel | encode::cb_immediate(to(here, target)))
                }
                Piece::CompressedJump(parcel, target) => {
                    u32::from(parcel | encode::cj_immediate(to(here, target)))
                }
                Piece::FromStart(word, target) => word | (to(*start, target) as u32) << 20,
            };
            code.extend_from_slice(&word.to_le_bytes()[..piece.byte_len() as usize]);
        }
    }
    code
}

/// Registers and memory with which a sequence begins.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// Integer registers; those of [`BASES`] and `x0` are set otherwise.
    pub x: [u64; 32],
    /// Floating-point registers: the lower half holds singles, the upper half doubles, mostly.
    pub f: [u64; 32],
    /// Rounding mode (never a reserved one) and flags.
    pub fcsr: u64,
    /// The scratch buffer: doubles, singles and integers in turn, each 8 bytes.
    pub scratch: Vec<u8>,
}

impl Inputs {
    /// Random inputs.
    pub fn random(random: &mut Random) -> Self {
        let mut x = [0; 32];
        let mut f = [0; 32];
        for register in &mut x {
            *register = match random.below(8) {
                0 => operands::double(random),
                1 => operands::boxed_single(random),
                _ => operands::integer(random),
            };
        }
        for (number, register) in f.iter_mut().enumerate() {
            *register = match (random.below(12), number < 16) {
                (0, _) => random.bits(),
                (1, small) | (_, small) if small => operands::boxed_single(random),
                _ => operands::double(random),
            };
        }
        let mut scratch = Vec::with_capacity(SCRATCH_BYTES);
        for slot in 0..SCRATCH_BYTES / 8 {
            let value = match slot % 3 {
                0 => operands::double(random),
                1 => operands::boxed_single(random),
                _ => operands::integer(random),
            };
            scratch.extend_from_slice(&value.to_le_bytes());
        }
        Self {
            x,
            f,
            fcsr: random.below(5) << 5 | random.below(32),
            scratch,
        }
    }
}

/// A maker of sequences.
pub struct Sequencer {
    rows: Vec<&'static Encoding>,
}

impl Default for Sequencer {
    fn default() -> Self {
        Self::new()
    }
}

impl Sequencer {
    /// A sequencer over all of the instruction table that user mode may execute.
    #[must_use]
    pub fn new() -> Self {
        let rows = Op::encodings()
            .iter()
            .filter(|row| !is_privileged(row.op))
            .collect();
        Self { rows }
    }

    /// A random sequence.
    pub fn sequence(&self, random: &mut Random, atom_count: usize) -> Vec<Atom> {
        (0..atom_count)
            .map(|number| {
                let forward = |random: &mut Random| {
                    (number + 1 + random.below(FORWARD_MAX) as usize).min(atom_count)
                };
                let pieces = match random.below(8) {
                    0 | 1 => compressed(random, forward),
                    2 if random.one_in(2) => vec![reload(random)],
                    _ => {
                        let row = *random.pick(&self.rows);
                        full(random, row, forward)
                    }
                };
                Atom {
                    pieces,
                    enabled: true,
                }
            })
            .collect()
    }
}

/// What traps in user mode, or is not the user's.
#[must_use]
pub const fn is_privileged(op: Op) -> bool {
    matches!(
        op,
        Op::Ecall | Op::Ebreak | Op::Sret | Op::Mret | Op::Wfi | Op::SfenceVma
    )
}

fn is_base(register: u32) -> bool {
    BASES.iter().any(|(base, _)| *base == register)
}

/// Any register but those that must keep their value; `x0` is one too.
fn destination(random: &mut Random) -> u32 {
    loop {
        let register = random.below(32) as u32;
        if !is_base(register) {
            return register;
        }
    }
}

/// As [`destination`], and not `x0`.
fn temporary(random: &mut Random) -> u32 {
    loop {
        let register = destination(random);
        if register != 0 {
            return register;
        }
    }
}

const RD: u32 = 0x1f << 7;
const RS1: u32 = 0x1f << 15;
const RS2: u32 = 0x1f << 20;
const RM: u32 = 7 << 12;

fn with(word: u32, field: u32, value: u32) -> u32 {
    word & !field | value << field.trailing_zeros()
}

/// An instruction of one row of the table, and what it needs around it.
fn full(
    random: &mut Random,
    row: &Encoding,
    mut forward: impl FnMut(&mut Random) -> usize,
) -> Vec<Piece> {
    let word = row.match_bits | random.word() & !row.mask;
    let (base, _) = *random.pick(&BASES);
    let plain = |word| vec![Piece::Plain(word)];
    match row.format {
        Format::Load if row.op == Op::Jalr => {
            let (pointer, target) = (temporary(random), forward(random));
            let jalr = encode::i(Op::Jalr, destination(random), pointer, 0);
            vec![
                Piece::Plain(encode::u(Op::Auipc, pointer, 0)),
                Piece::FromStart(jalr, target),
            ]
        }
        Format::Unary if row.op == Op::Ctzw => {
            // QEMU before 8.0 counts on into the upper half when the lower is zero, so it is not.
            let set_bit = encode::i(
                Op::Bseti,
                temporary(random),
                random.below(32) as u32,
                random.below(32) as i32,
            );
            let pointer = set_bit >> 7 & 0x1f;
            vec![
                Piece::Plain(set_bit),
                Piece::Plain(encode::i(Op::Ctzw, destination(random), pointer, 0)),
            ]
        }
        Format::R | Format::Unary | Format::I | Format::Shift6 | Format::Shift5 | Format::U => {
            plain(with(word, RD, destination(random)))
        }
        Format::Load => plain(with(with(word, RD, destination(random)), RS1, base)),
        Format::S => plain(with(word, RS1, base)),
        Format::B => {
            let operands = word & (RS1 | RS2);
            vec![Piece::Branch(row.match_bits | operands, forward(random))]
        }
        Format::J => vec![Piece::Jump(
            row.match_bits | destination(random) << 7,
            forward(random),
        )],
        Format::Fence | Format::Bare => plain(word),
        Format::SfenceVma => unreachable!("privileged instructions are not in the rows"),
        Format::Csr | Format::CsrImm => csr(random, row.op, word),
        Format::Lr => reserved(random, row.op, word, base),
        Format::Amo if matches!(row.op, Op::ScW | Op::ScD) => {
            // Without a reservation; one may be left over from an `lr` to another set.
            plain(with(with(word, RD, destination(random)), RS1, base))
        }
        Format::Amo => plain(with(with(word, RD, destination(random)), RS1, base)),
        Format::FpLoad => {
            let rd = float_register(random, row.op == Op::Flw);
            plain(encode::i(
                row.op,
                rd,
                base,
                slot_offset(random, base, usize::from(row.op == Op::Flw)),
            ))
        }
        Format::FpStore => plain(with(word, RS1, base)),
        Format::FpFused
        | Format::FpBinaryRm
        | Format::FpBinary
        | Format::FpCompare
        | Format::FpUnaryRm
        | Format::FpUnaryExact
        | Format::FpToIntRm
        | Format::FpToInt
        | Format::FpFromIntRm
        | Format::FpFromIntExact
        | Format::FpFromInt => plain(float(random, row, word)),
    }
}

/// A register of the half in which singles or doubles are, mostly.
fn float_register(random: &mut Random, single: bool) -> u32 {
    let number = random.below(16) as u32;
    if single == random.one_in(16) {
        number + 16
    } else {
        number
    }
}

/// Offset from a base of a random slot of the scratch buffer that began with a value of this kind.
fn slot_offset(random: &mut Random, base: u32, kind: usize) -> i32 {
    let base_offset = BASES
        .iter()
        .find(|(register, _)| *register == base)
        .map_or(0, |(_, offset)| *offset as i32);
    loop {
        let offset = random.below(4096) as i32 - 2048;
        let offset = if random.one_in(8) {
            offset
        } else {
            offset & !7
        };
        if (base_offset + offset) / 8 % 3 == kind as i32 {
            return offset;
        }
    }
}

/// Loads a fresh value, since results of results are soon all NaN or all zero.
fn reload(random: &mut Random) -> Piece {
    let (base, _) = *random.pick(&BASES);
    Piece::Plain(match random.below(3) {
        0 => encode::i(
            Op::Fld,
            float_register(random, false),
            base,
            slot_offset(random, base, 0),
        ),
        1 => encode::i(
            Op::Fld,
            float_register(random, true),
            base,
            slot_offset(random, base, 1),
        ),
        _ => encode::i(
            Op::Ld,
            destination(random),
            base,
            slot_offset(random, base, 2),
        ),
    })
}

/// Chooses registers by the widths in the mnemonic, and a legal rounding mode.
fn float(random: &mut Random, row: &Encoding, word: u32) -> u32 {
    let mut widths = row.mnemonic.split('.').skip(1);
    let first = widths.next().unwrap_or("d");
    let last = widths.next().unwrap_or(first);
    let (rd_is_single, rs_is_single) = (first == "s", last == "s");
    let is_x = |format: &[Format]| format.contains(&row.format);
    let mut word = word;
    word = if is_x(&[Format::FpCompare, Format::FpToIntRm, Format::FpToInt]) {
        with(word, RD, destination(random))
    } else {
        with(word, RD, float_register(random, rd_is_single))
    };
    if !is_x(&[
        Format::FpFromIntRm,
        Format::FpFromIntExact,
        Format::FpFromInt,
    ]) {
        word = with(word, RS1, float_register(random, rs_is_single));
    }
    if row.mask & RS2 == 0 {
        word = with(word, RS2, float_register(random, rs_is_single));
    }
    if row.format == Format::FpFused {
        word = with(word, 0x1f << 27, float_register(random, rs_is_single));
    }
    if row.mask & RM == 0 {
        word = with(word, RM, *random.pick(&ROUNDING));
    }
    word
}

/// An access to the floating-point CSRs that leaves a legal rounding mode.
fn csr(random: &mut Random, op: Op, word: u32) -> Vec<Piece> {
    const FFLAGS: u32 = 1;
    const FRM: u32 = 2;
    const FCSR: u32 = 3;
    const CSR: u32 = 0xfff << 20;
    let rd = destination(random);
    let word = with(word, RD, rd);
    let mode = random.below(5) as u32;
    match (op, random.below(3)) {
        // A written mode is made legal first; setting and clearing bits of one might not be.
        (Op::Csrrw, 1) | (Op::Csrrw, 2) => {
            let (from, number) = (temporary(random), if random.one_in(2) { FRM } else { FCSR });
            let value = if number == FRM {
                mode
            } else {
                mode << 5 | random.below(32) as u32
            };
            let junk = (random.word() & 7) << 8;
            let load = encode::i(
                Op::Addi,
                from,
                0,
                (value | if number == FCSR { junk } else { 0 }) as i32,
            );
            vec![
                Piece::Plain(load),
                Piece::Plain(with(with(word, RS1, from), CSR, number)),
            ]
        }
        (Op::Csrrwi, 1) => vec![Piece::Plain(with(with(word, RS1, mode), CSR, FRM))],
        (Op::Csrrwi, 2) => vec![Piece::Plain(with(
            with(word, RS1, random.below(32) as u32),
            CSR,
            FCSR,
        ))],
        (Op::Csrrs | Op::Csrrc | Op::Csrrsi | Op::Csrrci, 1) => {
            let number = if random.one_in(2) { FRM } else { FCSR };
            vec![Piece::Plain(with(with(word, RS1, 0), CSR, number))]
        }
        (Op::Csrrsi | Op::Csrrci, 2) => {
            // Five bits of `fcsr` are the flags.
            vec![Piece::Plain(with(
                with(word, RS1, random.below(32) as u32),
                CSR,
                FCSR,
            ))]
        }
        _ => vec![Piece::Plain(with(word, CSR, FFLAGS))],
    }
}

/// `lr`, a little arithmetic, and an `sc` that succeeds, or one to another set that fails. Nothing
/// stores in between: whether that ends a hart's own reservation is the implementation's choice.
fn reserved(random: &mut Random, op: Op, word: u32, base: u32) -> Vec<Piece> {
    let conditional = if op == Op::LrW { Op::ScW } else { Op::ScD };
    let mut pieces = vec![Piece::Plain(with(
        with(word, RD, destination(random)),
        RS1,
        base,
    ))];
    for _ in 0..random.below(3) {
        let (rd, rs1, rs2) = (
            destination(random),
            random.below(32) as u32,
            random.below(32) as u32,
        );
        pieces.push(Piece::Plain(encode::r(Op::Add, rd, rs1, rs2)));
    }
    let to = if random.one_in(4) {
        random.pick(&BASES).0
    } else {
        base
    };
    let store = encode::r(
        conditional,
        destination(random),
        to,
        random.below(32) as u32,
    );
    pieces.push(Piece::Plain(store | (random.below(4) as u32) << 25));
    pieces
}

/// A compressed instruction: random parcels until one fits.
fn compressed(random: &mut Random, mut forward: impl FnMut(&mut Random) -> usize) -> Vec<Piece> {
    // Jumps are few among the parcels, and need their targets.
    match random.below(16) {
        0 => {
            let parcel =
                if random.one_in(2) { 0xc001 } else { 0xe001 } | (random.below(8) as u16) << 7;
            return vec![Piece::CompressedBranch(parcel, forward(random))];
        }
        1 => return vec![Piece::CompressedJump(0xa001, forward(random))],
        2 => {
            let (pointer, target) = (temporary(random), forward(random));
            let jump = if random.one_in(2) { 0x8002 } else { 0x9002 } | pointer << 7;
            return vec![
                Piece::Plain(encode::u(Op::Auipc, pointer, 0)),
                Piece::FromStart(encode::i(Op::Addi, pointer, pointer, 0), target),
                Piece::Plain(jump),
            ];
        }
        3 => {
            let imm = (random.below(31) as i32 + 1) * 16;
            return vec![
                Piece::Plain(encode::c_addi16sp(-imm).into()),
                Piece::Plain(encode::c_addi16sp(imm.min(496)).into()),
            ];
        }
        _ => {}
    }
    loop {
        let parcel = random.word() as u16;
        if parcel & 3 != 3
            && let Some(inst) = decode(parcel.into())
            && is_harmless(&inst)
        {
            return vec![Piece::Plain(parcel.into())];
        }
    }
}

/// Whether an instruction neither jumps nor traps, writes no base, and reads and writes memory only at
/// one.
fn is_harmless(inst: &Inst) -> bool {
    match inst.op.encoding().format {
        _ if inst.op == Op::Jalr => false,
        Format::Load => is_base(inst.rs1.into()) && !is_base(inst.rd.into()),
        Format::S | Format::FpLoad | Format::FpStore => is_base(inst.rs1.into()),
        Format::R | Format::I | Format::Shift6 | Format::Shift5 | Format::U | Format::Unary => {
            !is_base(inst.rd.into())
        }
        _ => false,
    }
}
