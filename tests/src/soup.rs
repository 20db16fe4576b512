//! Random programs for the whole privileged architecture: any instruction in any mode, page tables that are
//! scribbled on, code that changes itself, timers that go off.
//!
//! A soup is four pages of random instructions between a trap handler, page tables and data. The
//! handler, which a locked PMP entry protects, makes the soup go on for ever: after each trap it draws a mode, a
//! place in the code and register values from a pool of useful ones (addresses of page-table entries, entries,
//! pieces of code, timers), all as a function of the cycle counter. What a soup does is of no interest, only that it
//! does the same in every manner of execution.

use crate::elf::{Permission, Segment, executable};
use crate::encode::{address, b, i, j, r, s, u};
use crate::lockstep::Subject;
use crate::operands;
use crate::random::Random;
use crate::sequence::is_privileged;
use reprise_core::event::{ConsolePort, InputEvent};
use reprise_core::machine::{BootKind, MachineConfig};
use reprise_core::riscv::isa::{Format, Op, decode};

const BASE: u64 = 0x8000_0000;
const PAGE: u64 = 4096;
/// Addresses, then values; the handler loads a run of each.
const POOL: u64 = BASE + 0x800;
const POOL_ENTRIES: u64 = 64;
/// Entries of the last-level table as they were, from which the handler repairs it now and then.
const PRISTINE: u64 = POOL + 2 * POOL_ENTRIES * 8;
const PRISTINE_ENTRIES: u64 = 16;
const CONSTANTS: u64 = PRISTINE + PRISTINE_ENTRIES * 8;
const CODE: u64 = BASE + PAGE;
const CODE_BYTES: u64 = 4 * PAGE;
const ROOT_SV39: u64 = BASE + 8 * PAGE;
const MIDDLE: u64 = BASE + 9 * PAGE;
const LAST: u64 = BASE + 10 * PAGE;
const ROOT_SV48: u64 = BASE + 11 * PAGE;
const PAGES: u64 = 16;
/// Virtual addresses of random aliases: the entries of the last-level table from this one on.
const ALIASES: u64 = 256;
const ALIAS_COUNT: u64 = 32;
/// The same tables, seen from another gigabyte.
const OTHER_GIGABYTE: u64 = 0x4000_0000;

const MTIMECMP: u64 = 0x200_4000;
const MSIP: u64 = 0x200_0000;
const UART: u64 = 0x1000_0000;
const PLIC: u64 = 0xc00_0000;

const MIE_ALL: u64 = 0xaaa;
const FS: u64 = 3 << 13;
const MPRV: u64 = 1 << 17;

/// Registers that hold addresses from the pool after each trap.
const ADDRESSES: [u32; 8] = [2, 5, 6, 7, 8, 9, 10, 11];
/// Registers that hold values from the pool after each trap.
const VALUES: [u32; 6] = [12, 13, 14, 15, 16, 17];

/// CSRs that soups access, with weights. `mtvec` is left alone: it leads to the handler.
const CSRS: [(i32, u64); 36] = [
    (0x001, 1),
    (0x002, 1),
    (0x003, 2),
    (0x100, 8),
    (0x104, 2),
    (0x105, 2),
    (0x106, 1),
    (0x140, 1),
    (0x141, 2),
    (0x142, 1),
    (0x143, 1),
    (0x144, 2),
    (0x14d, 4),
    (0x180, 8),
    (0x300, 8),
    (0x301, 1),
    (0x302, 3),
    (0x303, 3),
    (0x304, 3),
    (0x306, 1),
    (0x30a, 4),
    (0x340, 1),
    (0x341, 2),
    (0x342, 1),
    (0x343, 1),
    (0x344, 3),
    (0xb00, 1),
    (0xb02, 2),
    (0xc00, 2),
    (0xc01, 2),
    (0xc02, 2),
    (0x3a0, 2),
    (0x3b1, 1),
    (0x3b2, 1),
    (0x3b3, 1),
    (0xf14, 1),
];

/// A soup for a seed.
#[must_use]
pub fn subject(seed: u64, limit: u64) -> Subject {
    let mut random = Random::new(seed);
    let time_shift = random.below(7) as u8;
    let program = program(&mut random, time_shift);
    let mut config = MachineConfig {
        ram_bytes: 4 << 20,
        boot: BootKind::BareElf,
        time_shift,
        timer_jitter_ticks_max: if random.one_in(2) {
            0
        } else {
            random.below(40) as u32
        },
        ..MachineConfig::default()
    };
    config.seed[..8].copy_from_slice(&seed.to_le_bytes());
    let mut events: Vec<(u64, InputEvent)> = (0..random.below(12))
        .map(|_| {
            let bytes = vec![random.word() as u8; random.below(4) as usize + 1];
            (
                random.below(limit),
                InputEvent::ConsoleInput {
                    port: ConsolePort::Uart,
                    bytes,
                },
            )
        })
        .collect();
    events.sort_by_key(|(at, _)| *at);
    events.dedup_by_key(|(at, _)| *at);
    Subject {
        config,
        program: program.into(),
        events,
    }
}

struct Image(Vec<u8>);

impl Image {
    fn put(&mut self, at: u64, bytes: &[u8]) {
        let offset = (at - BASE) as usize;
        self.0[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn put_double(&mut self, at: u64, value: u64) {
        self.put(at, &value.to_le_bytes());
    }
}

fn program(random: &mut Random, time_shift: u8) -> Vec<u8> {
    let mut image = Image(vec![0; (PAGES * PAGE) as usize]);
    let with_pmp = random.one_in(4);
    image.put(CODE, &code(random, with_pmp));
    put_tables(&mut image, random);
    for entry in 0..2 * POOL_ENTRIES {
        let value = if entry < POOL_ENTRIES {
            pool_address(random)
        } else {
            pool_value(random)
        };
        image.put_double(POOL + entry * 8, value);
    }
    let (entry, handler) = handler(random, time_shift);
    image.put(BASE, &handler);
    for (number, value) in constants(random, time_shift).into_iter().enumerate() {
        image.put_double(CONSTANTS + number as u64 * 8, value);
    }
    for slot in 0..(4 * PAGE) / 8 {
        let value = if slot % 2 == 0 {
            operands::double(random)
        } else {
            operands::integer(random)
        };
        image.put_double(BASE + 12 * PAGE + slot * 8, value);
    }
    executable(
        entry,
        &[Segment {
            address: BASE,
            bytes: image.0,
            permission: Permission::Code,
        }],
    )
}

/// An entry that leads to a page, or a table when no permission is drawn.
fn table_entry(random: &mut Random, target: u64) -> u64 {
    let flags = match random.below(16) {
        0 => random.below(1024),
        1 => 1,
        2..=5 => 0xcf | random.below(2) << 4,
        _ => 0x0f | random.below(8) << 4 | if random.one_in(4) { 0 } else { 0xc0 },
    };
    let reserved = if random.one_in(64) { 1 << 54 } else { 0 };
    target >> 12 << 10 | flags | reserved
}

fn put_tables(image: &mut Image, random: &mut Random) {
    let table = |target: u64| target >> 12 << 10 | 1;
    image.put_double(ROOT_SV48, table(ROOT_SV39));
    // Devices, as one large page of any kind.
    let devices = 0xc7 | random.below(2) << 4;
    image.put_double(ROOT_SV39, devices);
    image.put_double(ROOT_SV39 + 8, table(MIDDLE));
    image.put_double(ROOT_SV39 + 2 * 8, table(MIDDLE));
    image.put_double(MIDDLE, table(LAST));
    let large = table_entry(random, BASE);
    image.put_double(MIDDLE + 8, large);
    image.put_double(MIDDLE + 2 * 8, table(LAST));
    for page in 0..PAGES {
        // Half of the code is the user's, half the supervisor's; the rest is anybody's with SUM, mostly.
        let user = if (1..5).contains(&page) {
            page & 1
        } else {
            1 - u64::from(random.one_in(4))
        };
        let entry = if random.one_in(6) {
            table_entry(random, BASE + page * PAGE)
        } else {
            let accessed = if random.one_in(3) {
                random.below(4) << 6
            } else {
                0xc0
            };
            (BASE + page * PAGE) >> 12 << 10 | 0x0f | user << 4 | accessed
        };
        image.put_double(LAST + page * 8, entry);
        image.put_double(PRISTINE + page * 8, entry);
    }
    for alias in 0..ALIAS_COUNT {
        let target = BASE + random.below(PAGES) * PAGE;
        let entry = table_entry(random, target);
        image.put_double(LAST + (ALIASES + alias) * 8, entry);
    }
}

/// An offset within a page: often near its end, where accesses cross.
fn page_offset(random: &mut Random) -> u64 {
    match random.below(4) {
        0 => PAGE - 1 - random.below(12),
        1 => random.below(PAGE / 8) * 8,
        2 => random.below(16) * 8,
        _ => random.below(PAGE),
    }
}

fn some_address(random: &mut Random) -> u64 {
    let page = random.below(PAGES) * PAGE;
    let alias = (ALIASES + random.below(ALIAS_COUNT)) * PAGE;
    let base = match random.below(16) {
        0 | 1 => BASE + alias,
        2 => OTHER_GIGABYTE + page,
        3 => BASE + 0x40_0000 + if random.one_in(2) { alias } else { page },
        4 => BASE + 0x20_0000 + page,
        _ => BASE + page,
    };
    base + page_offset(random)
}

/// What loads and stores go to.
fn pool_address(random: &mut Random) -> u64 {
    const TABLES: [u64; 7] = [
        ROOT_SV39,
        ROOT_SV39 + 8,
        ROOT_SV39 + 16,
        MIDDLE,
        MIDDLE + 8,
        MIDDLE + 16,
        ROOT_SV48,
    ];
    const DEVICES: [u64; 8] = [
        MTIMECMP,
        MTIMECMP,
        MSIP,
        UART,
        UART + 1,
        PLIC + 40,
        PLIC + 0x2000,
        PLIC + 0x20_1004,
    ];
    match random.below(20) {
        0..=8 => some_address(random),
        9..=12 => CODE + random.below(CODE_BYTES / 2) * 2,
        // Entries of the last-level table, most of all.
        13..=15 => LAST + random.below(PAGES) * 8,
        16 => LAST + (ALIASES + random.below(ALIAS_COUNT)) * 8,
        17 => *random.pick(&TABLES),
        18 => *random.pick(&DEVICES),
        _ => operands::integer(random),
    }
}

/// What is stored, written to CSRs and computed with.
fn pool_value(random: &mut Random) -> u64 {
    match random.below(16) {
        0..=4 => {
            let target = BASE + random.below(PAGES) * PAGE;
            table_entry(random, target)
        }
        5 => satp(random),
        6..=8 => {
            u64::from(instruction(random, false).0) | u64::from(instruction(random, false).0) << 32
        }
        9 => (BASE + random.below(PAGES * PAGE)) >> 2,
        10 => random.bits() & 0x1f1f_1f1f_1f1f_1f1f,
        11 => random.bits() & 0x00ff_ffff,
        12 => pool_address(random),
        _ => operands::integer(random),
    }
}

fn satp(random: &mut Random) -> u64 {
    let asid = random.below(3) << 44;
    match random.below(8) {
        0 => 0,
        1 | 2 => 9 << 60 | asid | ROOT_SV48 >> 12,
        3 => random.bits(),
        _ => 8 << 60 | asid | ROOT_SV39 >> 12,
    }
}

/// What the handler loads by number.
fn constants(random: &mut Random, time_shift: u8) -> [u64; 13] {
    [
        // For mixing the cycle counter.
        0x9e37_79b9_7f4a_7c15 ^ random.bits() << 1,
        // Bits of `mstatus` to draw, and to set always: MPIE, and mostly SUM.
        0xe_79a2 & if random.one_in(2) { !0 } else { !MPRV },
        0x80 | if random.one_in(4) { 0 } else { 1 << 18 },
        MIE_ALL,
        CODE_BYTES - 2,
        // Where the code is, by two bits of the draw.
        CODE,
        CODE,
        CODE,
        PAGE + if random.one_in(2) {
            OTHER_GIGABYTE
        } else {
            BASE + 0x40_0000
        },
        // What `satp` is, by two bits of the draw.
        satp(random),
        satp(random),
        8 << 60 | ROOT_SV39 >> 12,
        // Ticks to the next timer interrupt.
        (1 << (7 + random.below(5)) >> time_shift) - 1,
    ]
}

/// The code of the first page: start, then trap handler. Returns where it starts, and the code.
fn handler(random: &mut Random, time_shift: u8) -> (u64, Vec<u8>) {
    const DRAW: u32 = 31;
    const TABLE: u32 = 30;
    const A: u32 = 29;
    const B: u32 = 28;
    const MSTATUS: i32 = 0x300;
    let mut words: Vec<u32> = Vec::new();
    let here = |words: &[u32]| BASE + words.len() as u64 * 4;
    let constant = |number: i32| (CONSTANTS - POOL) as i32 + number * 8;

    // The handler.
    words.push(u(Op::Lui, A, (MPRV >> 12) as u32));
    words.push(i(Op::Csrrc, 0, A, MSTATUS));
    let at = here(&words);
    words.extend(address(TABLE, POOL, at));
    words.extend([
        i(Op::Csrrs, DRAW, 0, 0xb00),
        i(Op::Ld, A, TABLE, constant(0)),
        r(Op::Mul, DRAW, DRAW, A),
        i(Op::Srli, B, DRAW, 29),
        r(Op::Xor, DRAW, DRAW, B),
        r(Op::Mul, DRAW, DRAW, A),
        i(Op::Srli, B, DRAW, 32),
        r(Op::Xor, DRAW, DRAW, B),
        // mstatus
        i(Op::Ld, A, TABLE, constant(1)),
        r(Op::And, A, A, DRAW),
        i(Op::Ld, B, TABLE, constant(2)),
        r(Op::Or, A, A, B),
    ]);
    let floating_point = random.one_in(8);
    if !floating_point {
        words.extend([u(Op::Lui, B, (FS >> 12) as u32), r(Op::Or, A, A, B)]);
    }
    words.extend([
        i(Op::Csrrw, 0, A, MSTATUS),
        // mie
        i(Op::Srli, B, DRAW, 7),
        i(Op::Ld, A, TABLE, constant(3)),
        r(Op::And, A, A, B),
        i(Op::Ori, A, A, 0x80),
        i(Op::Csrrw, 0, A, 0x304),
        // No software interrupt; the timer soon.
        u(Op::Lui, B, (MSIP >> 12) as u32),
        s(Op::Sw, 0, B, 0),
        u(Op::Lui, B, (MTIMECMP >> 12) as u32),
        i(Op::Csrrs, A, 0, 0xc01),
        i(Op::Srli, 27, DRAW, 40),
        i(Op::Ld, 26, TABLE, constant(12)),
        r(Op::And, 27, 27, 26),
        r(Op::Add, A, A, 27),
        i(Op::Addi, A, A, 128 >> time_shift),
        s(Op::Sd, A, B, 0),
        // satp, half of the time
        i(Op::Andi, A, DRAW, 1),
        b(Op::Bne, A, 0, 6 * 4),
        i(Op::Srli, A, DRAW, 3),
        i(Op::Andi, A, A, 0x10),
        r(Op::Add, A, A, TABLE),
        i(Op::Ld, A, A, constant(9)),
        i(Op::Csrrw, 0, A, 0x180),
        // Repair of the last-level table, once in eight times.
        i(Op::Andi, A, DRAW, 0x700),
        b(Op::Bne, A, 0, (1 + 2 * 2 + 7) * 4),
    ]);
    let at = here(&words);
    words.extend(address(A, PRISTINE, at));
    let at = here(&words);
    words.extend(address(B, LAST, at));
    words.extend([
        i(Op::Addi, 27, 0, PRISTINE_ENTRIES as i32),
        i(Op::Ld, 26, A, 0),
        s(Op::Sd, 26, B, 0),
        i(Op::Addi, A, A, 8),
        i(Op::Addi, B, B, 8),
        i(Op::Addi, 27, 27, -1),
        b(Op::Bne, 27, 0, -5 * 4),
    ]);
    for (registers, shift, pool) in [
        (&ADDRESSES[..], 11, 0),
        (&VALUES[..], 26, POOL_ENTRIES as i32 * 8),
    ] {
        // A run may go on into what follows the pool.
        words.extend([
            i(Op::Srli, A, DRAW, shift),
            i(Op::Andi, A, A, (POOL_ENTRIES as i32 - 1) * 8),
            r(Op::Add, A, A, TABLE),
        ]);
        words.extend(
            registers
                .iter()
                .zip(0..)
                .map(|(register, at)| i(Op::Ld, *register, A, pool + at * 8)),
        );
    }
    words.extend([
        // mepc
        i(Op::Srli, A, DRAW, 50),
        i(Op::Andi, A, A, 0x18),
        r(Op::Add, A, A, TABLE),
        i(Op::Ld, A, A, constant(5)),
        i(Op::Ld, B, TABLE, constant(4)),
        i(Op::Srli, 27, DRAW, 20),
        r(Op::And, B, B, 27),
        r(Op::Add, A, A, B),
        i(Op::Csrrw, 0, A, 0x341),
        r(Op::Mret, 0, 0, 0),
    ]);

    // The start: entry 0 protects this page, entry 7 opens everything; then into the handler.
    let entry = here(&words);
    let napot_page = (BASE >> 2 | (PAGE / 8 - 1)) as i32;
    words.extend(crate::encode::constant(A, napot_page));
    words.extend([
        // The address has 34 significant bits, of which the constant's sign must not make more.
        i(Op::Slli, A, A, 32),
        i(Op::Srli, A, A, 32),
        i(Op::Csrrw, 0, A, 0x3b0),
        i(Op::Addi, B, 0, -1),
        i(Op::Csrrw, 0, B, 0x3b7),
        i(Op::Addi, A, 0, 0x1f),
        i(Op::Slli, A, A, 56),
        i(Op::Addi, B, 0, 0x9d),
        r(Op::Or, A, A, B),
        i(Op::Csrrw, 0, A, 0x3a0),
    ]);
    let at = here(&words);
    words.extend(address(A, BASE, at));
    words.push(i(Op::Csrrw, 0, A, 0x305));
    let at = here(&words);
    words.extend(address(A, CODE + random.below(CODE_BYTES / 4) * 4, at));
    words.push(i(Op::Csrrw, 0, A, 0x105));
    words.extend([
        i(
            Op::Addi,
            A,
            0,
            if random.one_in(2) {
                0
            } else {
                random.word() as i32 >> 20
            },
        ),
        i(Op::Csrrw, 0, A, 0x302),
        i(Op::Addi, A, 0, if random.one_in(2) { 0 } else { 0x222 }),
        i(Op::Csrrw, 0, A, 0x303),
        i(Op::Addi, A, 0, -1),
        i(Op::Csrrw, 0, A, 0x306),
        i(Op::Csrrw, 0, A, 0x106),
        // menvcfg: sstc on, hardware A and D updates perhaps.
        i(Op::Slli, B, A, if random.one_in(3) { 63 } else { 61 }),
        i(Op::Csrrw, 0, B, 0x30a),
    ]);
    let back = BASE.wrapping_sub(here(&words)) as i32;
    words.push(j(Op::Jal, 0, back));
    assert!(
        here(&words) <= POOL,
        "the handler and the pool share a page"
    );
    (
        entry,
        words.into_iter().flat_map(u32::to_le_bytes).collect(),
    )
}

fn code(random: &mut Random, with_pmp: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < CODE_BYTES as usize {
        let (word, length) = instruction(random, with_pmp);
        bytes.extend_from_slice(&word.to_le_bytes()[..length]);
    }
    bytes.truncate(CODE_BYTES as usize);
    bytes
}

/// A register that holds an address, mostly.
fn pointer(random: &mut Random) -> u32 {
    if random.one_in(12) {
        *random.pick(&VALUES)
    } else {
        *random.pick(&ADDRESSES)
    }
}

/// A register that holds a value, mostly.
fn pooled(random: &mut Random) -> u32 {
    if random.one_in(8) {
        *random.pick(&ADDRESSES)
    } else {
        *random.pick(&VALUES)
    }
}

/// Mostly a register that holds nothing of value.
fn target(random: &mut Random) -> u32 {
    if random.one_in(10) {
        random.below(32) as u32
    } else {
        18 + random.below(14) as u32
    }
}

fn weighted_csr(random: &mut Random, with_pmp: bool) -> i32 {
    let total: u64 = CSRS.iter().map(|(_, weight)| weight).sum();
    loop {
        let mut draw = random.below(total);
        for (number, weight) in CSRS {
            if draw < weight {
                if with_pmp || !(0x3a0..0x3f0).contains(&number) {
                    return number;
                }
                break;
            }
            draw -= weight;
        }
    }
}

/// An instruction and its length.
fn instruction(random: &mut Random, with_pmp: bool) -> (u32, usize) {
    const LOADS: [Op; 9] = [
        Op::Lb,
        Op::Lh,
        Op::Lw,
        Op::Ld,
        Op::Lbu,
        Op::Lhu,
        Op::Lwu,
        Op::Flw,
        Op::Fld,
    ];
    const STORES: [Op; 8] = [
        Op::Sb,
        Op::Sh,
        Op::Sw,
        Op::Sd,
        Op::Sd,
        Op::Sw,
        Op::Fsw,
        Op::Fsd,
    ];
    const BRANCHES: [Op; 6] = [Op::Beq, Op::Bne, Op::Blt, Op::Bge, Op::Bltu, Op::Bgeu];
    const CSR_OPS: [Op; 6] = [
        Op::Csrrw,
        Op::Csrrs,
        Op::Csrrc,
        Op::Csrrwi,
        Op::Csrrsi,
        Op::Csrrci,
    ];
    let small = |random: &mut Random| {
        if random.one_in(3) {
            random.below(64) as i32 - 32
        } else {
            0
        }
    };
    let word = match random.below(64) {
        0..=9 => i(
            *random.pick(&LOADS),
            target(random),
            pointer(random),
            small(random),
        ),
        10..=21 => s(
            *random.pick(&STORES),
            pooled(random),
            pointer(random),
            small(random),
        ),
        22 | 23 => {
            let op = *random.pick(&[
                Op::LrW,
                Op::ScW,
                Op::AmoaddW,
                Op::AmoswapD,
                Op::AmoorD,
                Op::LrD,
                Op::ScD,
            ]);
            let rs2 = if matches!(op, Op::LrW | Op::LrD) {
                0
            } else {
                pooled(random)
            };
            r(op, target(random), pointer(random), rs2)
        }
        24..=29 => {
            let distance = if random.one_in(4) { -24 } else { 4 } + random.below(20) as i32 * 2;
            b(
                *random.pick(&BRANCHES),
                random.below(32) as u32,
                random.below(32) as u32,
                distance,
            )
        }
        30 => {
            let reach = if random.one_in(4) { 4096 } else { 128 };
            j(
                Op::Jal,
                target(random),
                (random.below(reach) as i32 - reach as i32 / 2) * 2,
            )
        }
        31 if random.one_in(2) => i(Op::Jalr, target(random), pointer(random), small(random)),
        32..=34 => {
            let csr = weighted_csr(random, with_pmp);
            let op = *random.pick(&CSR_OPS);
            let operand = if random.one_in(4) { 0 } else { pooled(random) };
            i(op, target(random), operand, csr)
        }
        37 if random.one_in(3) => {
            let op = *random.pick(&[Op::Sret, Op::Mret, Op::Ecall, Op::SfenceVma, Op::FenceI]);
            r(op, 0, 0, 0)
        }
        38 if random.one_in(6) => r(
            if random.one_in(2) {
                Op::Wfi
            } else {
                Op::Ebreak
            },
            0,
            0,
            0,
        ),
        39 if random.one_in(4) => random.word(),
        40..=47 => {
            let parcel = random.word() & 0xffff;
            let fits = decode(parcel).is_some() || random.one_in(8);
            if parcel & 3 != 3 && fits {
                return (parcel, 2);
            }
            i(
                Op::Addi,
                target(random),
                random.below(32) as u32,
                random.word() as i32 >> 20,
            )
        }
        48 => i(
            Op::Addi,
            pointer(random),
            pointer(random),
            (random.below(16) as i32 - 8) * 8,
        ),
        49 => r(Op::Add, pooled(random), 0, random.below(32) as u32),
        _ => {
            let row = random.pick(Op::encodings());
            if is_privileged(row.op)
                || matches!(
                    row.format,
                    Format::Load | Format::J | Format::Amo | Format::Lr
                )
            {
                return instruction(random, with_pmp);
            }
            let mut word = row.match_bits | random.word() & !row.mask;
            let rounds = row.mnemonic.starts_with('f') && row.mask & 7 << 12 == 0;
            if rounds && !random.one_in(8) {
                word |= 7 << 12;
            }
            word & !(0x1f << 7) | target(random) << 7
        }
    };
    (word, if word & 3 == 3 { 4 } else { 2 })
}
