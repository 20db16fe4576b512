//! The executor: runs blocks of micro-operations until something needs a look from outside.
//!
//! One function serves three uses, told apart by constants, so that all of them share one semantics:
//! running chained blocks, stepping one instruction, and the reference engine, which steps with every
//! access walking the tables.

use super::arithmetic::{
    div, divu, divuw, divw, mulh, mulhsu, mulhu, orc_b, rem, remu, remuw, remw, sext32,
};
use super::block::{BlockCache, BlockId};
use super::csr::status;
use super::fp::{self, RoundingMode};
use super::hart::{Hart, HartWithCode};
use super::mmu::Stop;
use super::platform::Platform;
use super::trap::{Exception, Privilege, cause};
use super::uop::{Code, Uop};
use crate::image::ImageStall;

/// Why the executor came back. `pc` and the budget are exact then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// No decoded block is known for `pc`.
    Miss,
    /// The next block is longer than the budget.
    Budget,
    /// Interrupts, devices or disturbances must be looked at.
    Recheck,
    /// A breakpoint may stand at `pc`; nothing has happened there yet.
    Probe,
    /// An instruction trapped.
    Trap(Exception),
    /// An instruction waits for bytes of an image.
    Stall(ImageStall),
}

/// Whether writing a CSR can neither make an interrupt pending or enabled nor change how code is found
/// or memory accessed, so that the run may go on without a look from outside.
const fn csr_is_quiet(number: u16) -> bool {
    // fflags, frm, fcsr; stvec, scounteren; sscratch to stval; mtvec, mcounteren; mscratch to mtval.
    matches!(number, 0x001..=0x003 | 0x105 | 0x106 | 0x140..=0x143 | 0x305 | 0x306 | 0x340..=0x343)
}

/// Runs from block `id`, which begins at `pc`. With `STEP` it returns after that one block.
pub(crate) fn execute<const REFERENCE: bool, const STEP: bool>(
    hart: &mut Hart,
    p: &mut Platform,
    code: &BlockCache,
    mut id: BlockId,
) -> Exit {
    let context = hart.area.context as usize & 3;
    let mut pc = hart.area.pc;
    let key = hart.translations.fetch_key;
    'block: loop {
        let block = code.blocks[id as usize];
        let count = i64::from(block.count);
        if hart.area.budget < count {
            hart.area.pc = pc;
            return Exit::Budget;
        }
        hart.area.budget -= count;
        let start = block.start as usize;
        let mut ops = code.ops[start..start + block.count as usize].iter();

        // Where the block leads, and the slot of the link that leads there.
        let (next, slot) = 'ops: loop {
            let Some(u) = ops.next() else {
                break 'ops (
                    pc.wrapping_add(block.byte_len.into()),
                    start + block.count as usize,
                );
            };
            let u: &Uop = u;

            macro_rules! x {
                ($register:expr) => {
                    hart.area.x[usize::from($register & 63)]
                };
            }
            macro_rules! a {
                () => {
                    x!(u.rs1)
                };
            }
            macro_rules! b {
                () => {
                    x!(u.rs2)
                };
            }
            macro_rules! imm {
                () => {
                    u.imm as i64 as u64
                };
            }
            macro_rules! set {
                ($value:expr) => {{
                    let value: u64 = $value;
                    x!(u.rd) = value;
                }};
            }
            macro_rules! remaining {
                () => {
                    ops.as_slice().len() as i64
                };
            }
            macro_rules! here {
                () => {
                    pc.wrapping_add(u.offset.into())
                };
            }
            macro_rules! after {
                () => {
                    here!().wrapping_add(u.len.into())
                };
            }
            macro_rules! icount {
                () => {
                    hart.area
                        .deadline
                        .wrapping_sub((hart.area.budget + remaining!() + 1) as u64)
                };
            }
            // The operation does not happen; nothing of it or after it counts.
            macro_rules! undo {
                ($exit:expr) => {{
                    hart.area.budget += remaining!() + 1;
                    hart.area.pc = here!();
                    return $exit;
                }};
            }
            // The operation has happened; the rest of the block does not.
            macro_rules! leave {
                ($next:expr) => {{
                    let next = $next;
                    hart.area.budget += remaining!();
                    hart.area.pc = next;
                    return Exit::Recheck;
                }};
            }
            macro_rules! stop {
                ($stop:expr) => {
                    match Stop::from($stop) {
                        Stop::Trap(exception) => undo!(Exit::Trap(exception)),
                        Stop::Stall(stall) => undo!(Exit::Stall(stall)),
                    }
                };
            }
            macro_rules! illegal {
                () => {
                    undo!(Exit::Trap(Exception::new(
                        cause::ILLEGAL,
                        u64::from(u.imm as u32)
                    )))
                };
            }
            macro_rules! branch {
                ($taken:expr) => {
                    if $taken {
                        let left = remaining!();
                        hart.area.budget += left;
                        let slot = start + block.count as usize - 1 - left as usize;
                        break 'ops (here!().wrapping_add(imm!()), slot);
                    }
                };
            }
            macro_rules! load {
                ($type:ty, $convert:expr) => {{
                    const BYTES: u64 = size_of::<$type>() as u64;
                    let va = a!().wrapping_add(imm!());
                    let entry = &hart.area.tlb[context].read[(va >> 12) as usize & 255];
                    if !REFERENCE && entry.tag == va & (!0xfff | (BYTES - 1)) {
                        let offset = va.wrapping_add(entry.addend) as usize;
                        let value = <$type>::from_le_bytes(p.memory.ram().load(offset));
                        ($convert)(value)
                    } else {
                        let icount = icount!();
                        match hart.load_slow::<REFERENCE>(p, va, BYTES, icount) {
                            Ok((value, false)) => ($convert)(value as $type),
                            Ok((value, true)) => {
                                let value = ($convert)(value as $type);
                                load_done!(value);
                                leave!(after!())
                            }
                            Err(stop) => stop!(stop),
                        }
                    }
                }};
            }
            macro_rules! load_done {
                ($value:expr) => {
                    match u.code {
                        Code::Flw | Code::Fld => {
                            hart.area.f[usize::from(u.rd & 31)] = $value;
                            hart.csr.mstatus |= status::FS;
                        }
                        _ => set!($value),
                    }
                };
            }
            macro_rules! store {
                ($type:ty, $value:expr) => {{
                    const BYTES: u64 = size_of::<$type>() as u64;
                    let va = a!().wrapping_add(imm!());
                    let value: u64 = $value;
                    let entry = &hart.area.tlb[context].write[(va >> 12) as usize & 255];
                    if !REFERENCE && entry.tag == va & (!0xfff | (BYTES - 1)) {
                        let offset = va.wrapping_add(entry.addend) as usize;
                        p.memory
                            .ram_mut()
                            .store(offset, (value as $type).to_le_bytes());
                    } else {
                        let icount = icount!();
                        match hart.store_slow::<REFERENCE>(p, va, BYTES, value, icount) {
                            Ok(false) => {}
                            Ok(true) => leave!(after!()),
                            Err(stop) => stop!(stop),
                        }
                    }
                }};
            }
            macro_rules! amo_w {
                ($operation:expr) => {{
                    let operand = b!() as u32;
                    let operation = |old: u64| u64::from($operation(old as u32, operand));
                    match hart.atomic::<REFERENCE>(p, a!(), 4, operation) {
                        Ok((old, looks_up)) => {
                            set!(sext32(old as u32));
                            if looks_up {
                                leave!(after!());
                            }
                        }
                        Err(exception) => stop!(exception),
                    }
                }};
            }
            macro_rules! amo_d {
                ($operation:expr) => {{
                    let operand = b!();
                    match hart.atomic::<REFERENCE>(p, a!(), 8, |old: u64| $operation(old, operand))
                    {
                        Ok((old, looks_up)) => {
                            set!(old);
                            if looks_up {
                                leave!(after!());
                            }
                        }
                        Err(exception) => stop!(exception),
                    }
                }};
            }
            macro_rules! load_reserved {
                ($bytes:expr, $convert:expr) => {
                    match hart.load_reserved::<REFERENCE>(p, a!(), $bytes) {
                        Ok((value, looks_up)) => {
                            set!($convert(value));
                            if looks_up {
                                leave!(after!());
                            }
                        }
                        Err(exception) => stop!(exception),
                    }
                };
            }
            macro_rules! store_conditional {
                ($bytes:expr) => {
                    match hart.store_conditional::<REFERENCE>(p, a!(), $bytes, b!()) {
                        Ok((stored, looks_up)) => {
                            set!(u64::from(!stored));
                            if looks_up {
                                leave!(after!());
                            }
                        }
                        Err(exception) => stop!(exception),
                    }
                };
            }
            macro_rules! rounding {
                () => {{
                    let mode = u.extra >> 5;
                    let mode = if mode == 7 { hart.csr.frm } else { mode };
                    match RoundingMode::from_bits(mode) {
                        Some(mode) => mode,
                        None => illegal!(),
                    }
                }};
            }
            macro_rules! f64_of {
                ($register:expr) => {
                    hart.area.f[usize::from($register & 31)]
                };
            }
            macro_rules! f32_of {
                ($register:expr) => {
                    fp::unbox32(f64_of!($register))
                };
            }
            macro_rules! set_f {
                ($value:expr) => {{
                    let value: u64 = $value;
                    hart.area.f[usize::from(u.rd & 31)] = value;
                    hart.csr.mstatus |= status::FS;
                }};
            }
            // Runs an operation that may raise flags, and gathers them.
            macro_rules! flags {
                ($name:ident => $value:expr) => {{
                    let before = hart.area.fflags;
                    let mut flags = before as u8;
                    let $name = &mut flags;
                    let value = $value;
                    if u64::from(flags) != before {
                        hart.area.fflags = flags.into();
                        hart.csr.mstatus |= status::FS;
                    }
                    value
                }};
            }
            macro_rules! arithmetic32 {
                ($function:ident) => {{
                    let mode = rounding!();
                    let (a, b) = (f32_of!(u.rs1), f32_of!(u.rs2));
                    set_f!(fp::box32(flags!(flags => fp::$function(a, b, mode, flags))))
                }};
            }
            macro_rules! arithmetic64 {
                ($function:ident) => {{
                    let mode = rounding!();
                    let (a, b) = (f64_of!(u.rs1), f64_of!(u.rs2));
                    set_f!(flags!(flags => fp::$function(a, b, mode, flags)))
                }};
            }
            macro_rules! fused32 {
                ($negate_product:expr, $negate_addend:expr) => {{
                    const SIGN: u32 = 1 << 31;
                    let mode = rounding!();
                    let a = f32_of!(u.rs1) ^ if $negate_product { SIGN } else { 0 };
                    let b = f32_of!(u.rs2);
                    let c = f32_of!(u.extra) ^ if $negate_addend { SIGN } else { 0 };
                    set_f!(fp::box32(flags!(flags => fp::fma32(a, b, c, mode, flags))))
                }};
            }
            macro_rules! fused64 {
                ($negate_product:expr, $negate_addend:expr) => {{
                    const SIGN: u64 = 1 << 63;
                    let mode = rounding!();
                    let a = f64_of!(u.rs1) ^ if $negate_product { SIGN } else { 0 };
                    let b = f64_of!(u.rs2);
                    let c = f64_of!(u.extra) ^ if $negate_addend { SIGN } else { 0 };
                    set_f!(flags!(flags => fp::fma64(a, b, c, mode, flags)))
                }};
            }
            // Without rounding: comparisons, minimum and maximum.
            macro_rules! quiet {
                ($function:ident, $of:ident) => {{
                    let (a, b) = ($of!(u.rs1), $of!(u.rs2));
                    flags!(flags => fp::$function(a, b, flags))
                }};
            }
            macro_rules! to_integer {
                ($function:ident, $of:ident, $convert:expr) => {{
                    let mode = rounding!();
                    let a = $of!(u.rs1);
                    let value = flags!(flags => fp::$function(a, mode, flags));
                    set!($convert(value))
                }};
            }
            macro_rules! from_integer32 {
                ($function:ident, $type:ty) => {{
                    let mode = rounding!();
                    let value = a!() as $type;
                    set_f!(fp::box32(flags!(flags => fp::$function(value, mode, flags))))
                }};
            }
            macro_rules! from_integer64 {
                ($function:ident, $type:ty) => {{
                    let mode = rounding!();
                    let value = a!() as $type;
                    set_f!(flags!(flags => fp::$function(value, mode, flags)))
                }};
            }

            // Reads, modifies and writes a CSR; the forms that do not write or read leave that out.
            macro_rules! csr {
                ($operand:expr, $modify:expr, $writes:expr, $reads:expr) => {{
                    let operand: u64 = $operand;
                    let number = (u.imm as u32 >> 20) as u16;
                    let icount = icount!();
                    let modify: fn(u64, u64) -> u64 = $modify;
                    let mut old = 0;
                    if $reads || !$writes {
                        match hart.csr_read(p, number, icount) {
                            Ok(value) => old = value,
                            Err(_) => illegal!(),
                        }
                    }
                    if $writes {
                        let new = modify(hart.csr_read_for_modify(number, old), operand);
                        if hart.csr_write(p, number, new, icount).is_err() {
                            illegal!();
                        }
                    }
                    set!(old);
                    if $writes && !csr_is_quiet(number) {
                        leave!(after!());
                    }
                    break 'ops (after!(), start + block.count as usize);
                }};
            }

            match u.code {
                Code::LoadImmediate => set!(imm!()),
                Code::Move => set!(a!()),
                Code::Lui => set!(imm!()),
                Code::Auipc => set!(here!().wrapping_add(imm!())),
                Code::Jal => {
                    set!(after!());
                    break 'ops (
                        here!().wrapping_add(imm!()),
                        start + block.count as usize - 1,
                    );
                }
                Code::Jalr => {
                    let target = a!().wrapping_add(imm!()) & !1;
                    set!(after!());
                    // An indirect jump leads anywhere: no link, only the jump cache.
                    pc = target;
                    if STEP {
                        hart.area.pc = pc;
                        return Exit::Recheck;
                    }
                    match code.jump(pc, key) {
                        Some(next) => {
                            id = next;
                            continue 'block;
                        }
                        None => {
                            hart.area.pc = pc;
                            return Exit::Miss;
                        }
                    }
                }
                Code::Beq => branch!(a!() == b!()),
                Code::Bne => branch!(a!() != b!()),
                Code::Blt => branch!((a!() as i64) < b!() as i64),
                Code::Bge => branch!(a!() as i64 >= b!() as i64),
                Code::Bltu => branch!(a!() < b!()),
                Code::Bgeu => branch!(a!() >= b!()),
                Code::Lb => set!(load!(u8, |value| value as i8 as u64)),
                Code::Lh => set!(load!(u16, |value| value as i16 as u64)),
                Code::Lw => set!(load!(u32, sext32)),
                Code::Ld => set!(load!(u64, |value| value)),
                Code::Lbu => set!(load!(u8, u64::from)),
                Code::Lhu => set!(load!(u16, u64::from)),
                Code::Lwu => set!(load!(u32, u64::from)),
                Code::Sb => store!(u8, b!()),
                Code::Sh => store!(u16, b!()),
                Code::Sw => store!(u32, b!()),
                Code::Sd => store!(u64, b!()),
                Code::Addi => set!(a!().wrapping_add(imm!())),
                Code::Slti => set!(u64::from((a!() as i64) < imm!() as i64)),
                Code::Sltiu => set!(u64::from(a!() < imm!())),
                Code::Xori => set!(a!() ^ imm!()),
                Code::Ori => set!(a!() | imm!()),
                Code::Andi => set!(a!() & imm!()),
                Code::Slli => set!(a!() << (u.imm & 63)),
                Code::Srli => set!(a!() >> (u.imm & 63)),
                Code::Srai => set!((a!() as i64 >> (u.imm & 63)) as u64),
                Code::Add => set!(a!().wrapping_add(b!())),
                Code::Sub => set!(a!().wrapping_sub(b!())),
                Code::Sll => set!(a!() << (b!() & 63)),
                Code::Slt => set!(u64::from((a!() as i64) < b!() as i64)),
                Code::Sltu => set!(u64::from(a!() < b!())),
                Code::Xor => set!(a!() ^ b!()),
                Code::Srl => set!(a!() >> (b!() & 63)),
                Code::Sra => set!((a!() as i64 >> (b!() & 63)) as u64),
                Code::Or => set!(a!() | b!()),
                Code::And => set!(a!() & b!()),
                Code::Addiw => set!(sext32((a!() as u32).wrapping_add(u.imm as u32))),
                Code::Slliw => set!(sext32((a!() as u32) << (u.imm & 31))),
                Code::Srliw => set!(sext32(a!() as u32 >> (u.imm & 31))),
                Code::Sraiw => set!((a!() as i32 >> (u.imm & 31)) as u64),
                Code::Addw => set!(sext32((a!() as u32).wrapping_add(b!() as u32))),
                Code::Subw => set!(sext32((a!() as u32).wrapping_sub(b!() as u32))),
                Code::Sllw => set!(sext32((a!() as u32) << (b!() & 31))),
                Code::Srlw => set!(sext32(a!() as u32 >> (b!() & 31))),
                Code::Sraw => set!((a!() as i32 >> (b!() & 31)) as u64),
                // One hart, and devices that act within a store: memory is always in order.
                Code::Fence => {}
                Code::FenceI => leave!(after!()),

                Code::Mul => set!(a!().wrapping_mul(b!())),
                Code::Mulh => set!(mulh(a!(), b!())),
                Code::Mulhsu => set!(mulhsu(a!(), b!())),
                Code::Mulhu => set!(mulhu(a!(), b!())),
                Code::Div => set!(div(a!() as i64, b!() as i64) as u64),
                Code::Divu => set!(divu(a!(), b!())),
                Code::Rem => set!(rem(a!() as i64, b!() as i64) as u64),
                Code::Remu => set!(remu(a!(), b!())),
                Code::Mulw => set!(sext32((a!() as u32).wrapping_mul(b!() as u32))),
                Code::Divw => set!(divw(a!() as i32, b!() as i32) as u64),
                Code::Divuw => set!(sext32(divuw(a!() as u32, b!() as u32))),
                Code::Remw => set!(remw(a!() as i32, b!() as i32) as u64),
                Code::Remuw => set!(sext32(remuw(a!() as u32, b!() as u32))),

                Code::LrW => load_reserved!(4, |value| sext32(value as u32)),
                Code::LrD => load_reserved!(8, |value| value),
                Code::ScW => store_conditional!(4),
                Code::ScD => store_conditional!(8),
                Code::AmoswapW => amo_w!(|_, new| new),
                Code::AmoaddW => amo_w!(u32::wrapping_add),
                Code::AmoxorW => amo_w!(|old, operand| old ^ operand),
                Code::AmoandW => amo_w!(|old, operand| old & operand),
                Code::AmoorW => amo_w!(|old, operand| old | operand),
                Code::AmominW => amo_w!(|old, operand| (old as i32).min(operand as i32) as u32),
                Code::AmomaxW => amo_w!(|old, operand| (old as i32).max(operand as i32) as u32),
                Code::AmominuW => amo_w!(u32::min),
                Code::AmomaxuW => amo_w!(u32::max),
                Code::AmoswapD => amo_d!(|_, new| new),
                Code::AmoaddD => amo_d!(u64::wrapping_add),
                Code::AmoxorD => amo_d!(|old, operand| old ^ operand),
                Code::AmoandD => amo_d!(|old, operand| old & operand),
                Code::AmoorD => amo_d!(|old, operand| old | operand),
                Code::AmominD => amo_d!(|old, operand| (old as i64).min(operand as i64) as u64),
                Code::AmomaxD => amo_d!(|old, operand| (old as i64).max(operand as i64) as u64),
                Code::AmominuD => amo_d!(u64::min),
                Code::AmomaxuD => amo_d!(u64::max),

                Code::Sh1add => set!((a!() << 1).wrapping_add(b!())),
                Code::Sh2add => set!((a!() << 2).wrapping_add(b!())),
                Code::Sh3add => set!((a!() << 3).wrapping_add(b!())),
                Code::AddUw => set!(u64::from(a!() as u32).wrapping_add(b!())),
                Code::Sh1addUw => set!((u64::from(a!() as u32) << 1).wrapping_add(b!())),
                Code::Sh2addUw => set!((u64::from(a!() as u32) << 2).wrapping_add(b!())),
                Code::Sh3addUw => set!((u64::from(a!() as u32) << 3).wrapping_add(b!())),
                Code::SlliUw => set!(u64::from(a!() as u32) << (u.imm & 63)),
                Code::Andn => set!(a!() & !b!()),
                Code::Orn => set!(a!() | !b!()),
                Code::Xnor => set!(!(a!() ^ b!())),
                Code::Min => set!((a!() as i64).min(b!() as i64) as u64),
                Code::Minu => set!(a!().min(b!())),
                Code::Max => set!((a!() as i64).max(b!() as i64) as u64),
                Code::Maxu => set!(a!().max(b!())),
                Code::Rol => set!(a!().rotate_left((b!() & 63) as u32)),
                Code::Ror => set!(a!().rotate_right((b!() & 63) as u32)),
                Code::Rolw => set!(sext32((a!() as u32).rotate_left((b!() & 31) as u32))),
                Code::Rorw => set!(sext32((a!() as u32).rotate_right((b!() & 31) as u32))),
                Code::Rori => set!(a!().rotate_right((u.imm & 63) as u32)),
                Code::Roriw => set!(sext32((a!() as u32).rotate_right((u.imm & 31) as u32))),
                Code::Clz => set!(a!().leading_zeros().into()),
                Code::Ctz => set!(a!().trailing_zeros().into()),
                Code::Cpop => set!(a!().count_ones().into()),
                Code::Clzw => set!((a!() as u32).leading_zeros().into()),
                Code::Ctzw => set!((a!() as u32).trailing_zeros().into()),
                Code::Cpopw => set!((a!() as u32).count_ones().into()),
                Code::SextB => set!(a!() as i8 as u64),
                Code::SextH => set!(a!() as i16 as u64),
                Code::ZextH => set!(u64::from(a!() as u16)),
                Code::OrcB => set!(orc_b(a!())),
                Code::Rev8 => set!(a!().swap_bytes()),
                Code::Bclr => set!(a!() & !(1 << (b!() & 63))),
                Code::Bext => set!(a!() >> (b!() & 63) & 1),
                Code::Binv => set!(a!() ^ 1 << (b!() & 63)),
                Code::Bset => set!(a!() | 1 << (b!() & 63)),
                Code::Bclri => set!(a!() & !(1 << (u.imm & 63))),
                Code::Bexti => set!(a!() >> (u.imm & 63) & 1),
                Code::Binvi => set!(a!() ^ 1 << (u.imm & 63)),
                Code::Bseti => set!(a!() | 1 << (u.imm & 63)),

                Code::Flw => {
                    let value = load!(u32, fp::box32);
                    set_f!(value);
                }
                Code::Fld => {
                    let value = load!(u64, |value| value);
                    set_f!(value);
                }
                Code::Fsw => store!(u32, f64_of!(u.rs2)),
                Code::Fsd => store!(u64, f64_of!(u.rs2)),

                Code::FaddS => arithmetic32!(add32),
                Code::FsubS => arithmetic32!(sub32),
                Code::FmulS => arithmetic32!(mul32),
                Code::FdivS => arithmetic32!(div32),
                Code::FsqrtS => {
                    let mode = rounding!();
                    let a = f32_of!(u.rs1);
                    set_f!(fp::box32(flags!(flags => fp::sqrt32(a, mode, flags))));
                }
                Code::FmaddS => fused32!(false, false),
                Code::FmsubS => fused32!(false, true),
                Code::FnmsubS => fused32!(true, false),
                Code::FnmaddS => fused32!(true, true),
                Code::FsgnjS => set_f!(fp::box32(fp::sgnj32(f32_of!(u.rs1), f32_of!(u.rs2)))),
                Code::FsgnjnS => set_f!(fp::box32(fp::sgnjn32(f32_of!(u.rs1), f32_of!(u.rs2)))),
                Code::FsgnjxS => set_f!(fp::box32(fp::sgnjx32(f32_of!(u.rs1), f32_of!(u.rs2)))),
                Code::FminS => set_f!(fp::box32(quiet!(min32, f32_of))),
                Code::FmaxS => set_f!(fp::box32(quiet!(max32, f32_of))),
                Code::FeqS => set!(quiet!(eq32, f32_of).into()),
                Code::FltS => set!(quiet!(lt32, f32_of).into()),
                Code::FleS => set!(quiet!(le32, f32_of).into()),
                Code::FclassS => set!(fp::class32(f32_of!(u.rs1))),
                Code::FmvXW => set!(sext32(f64_of!(u.rs1) as u32)),
                Code::FmvWX => set_f!(fp::box32(a!() as u32)),
                Code::FcvtWS => to_integer!(f32_to_i32, f32_of, |value: i32| value as u64),
                Code::FcvtWuS => to_integer!(f32_to_u32, f32_of, sext32),
                Code::FcvtLS => to_integer!(f32_to_i64, f32_of, |value: i64| value as u64),
                Code::FcvtLuS => to_integer!(f32_to_u64, f32_of, |value: u64| value),
                Code::FcvtSW => from_integer32!(i32_to_f32, i32),
                Code::FcvtSWu => from_integer32!(u32_to_f32, u32),
                Code::FcvtSL => from_integer32!(i64_to_f32, i64),
                Code::FcvtSLu => from_integer32!(u64_to_f32, u64),

                Code::FaddD => arithmetic64!(add64),
                Code::FsubD => arithmetic64!(sub64),
                Code::FmulD => arithmetic64!(mul64),
                Code::FdivD => arithmetic64!(div64),
                Code::FsqrtD => {
                    let mode = rounding!();
                    let a = f64_of!(u.rs1);
                    set_f!(flags!(flags => fp::sqrt64(a, mode, flags)));
                }
                Code::FmaddD => fused64!(false, false),
                Code::FmsubD => fused64!(false, true),
                Code::FnmsubD => fused64!(true, false),
                Code::FnmaddD => fused64!(true, true),
                Code::FsgnjD => set_f!(fp::sgnj64(f64_of!(u.rs1), f64_of!(u.rs2))),
                Code::FsgnjnD => set_f!(fp::sgnjn64(f64_of!(u.rs1), f64_of!(u.rs2))),
                Code::FsgnjxD => set_f!(fp::sgnjx64(f64_of!(u.rs1), f64_of!(u.rs2))),
                Code::FminD => set_f!(quiet!(min64, f64_of)),
                Code::FmaxD => set_f!(quiet!(max64, f64_of)),
                Code::FeqD => set!(quiet!(eq64, f64_of).into()),
                Code::FltD => set!(quiet!(lt64, f64_of).into()),
                Code::FleD => set!(quiet!(le64, f64_of).into()),
                Code::FclassD => set!(fp::class64(f64_of!(u.rs1))),
                Code::FmvXD => set!(f64_of!(u.rs1)),
                Code::FmvDX => set_f!(a!()),
                Code::FcvtWD => to_integer!(f64_to_i32, f64_of, |value: i32| value as u64),
                Code::FcvtWuD => to_integer!(f64_to_u32, f64_of, sext32),
                Code::FcvtLD => to_integer!(f64_to_i64, f64_of, |value: i64| value as u64),
                Code::FcvtLuD => to_integer!(f64_to_u64, f64_of, |value: u64| value),
                Code::FcvtDW => from_integer64!(i32_to_f64, i32),
                Code::FcvtDWu => from_integer64!(u32_to_f64, u32),
                Code::FcvtDL => from_integer64!(i64_to_f64, i64),
                Code::FcvtDLu => from_integer64!(u64_to_f64, u64),
                Code::FcvtSD => {
                    let mode = rounding!();
                    let a = f64_of!(u.rs1);
                    set_f!(fp::box32(flags!(flags => fp::f64_to_f32(a, mode, flags))));
                }
                Code::FcvtDS => {
                    // Exact, yet a reserved rounding mode is illegal here too.
                    rounding!();
                    let a = f32_of!(u.rs1);
                    set_f!(flags!(flags => fp::f32_to_f64(a, flags)));
                }

                Code::Csrrw => csr!(a!(), |_, new| new, true, u.rd != 32),
                Code::Csrrs => csr!(a!(), |old, bits| old | bits, u.rs1 != 0, true),
                Code::Csrrc => csr!(a!(), |old, bits: u64| old & !bits, u.rs1 != 0, true),
                Code::Csrrwi => csr!(u64::from(u.rs1), |_, new| new, true, u.rd != 32),
                Code::Csrrsi => csr!(u64::from(u.rs1), |old, bits| old | bits, u.rs1 != 0, true),
                Code::Csrrci => csr!(
                    u64::from(u.rs1),
                    |old, bits: u64| old & !bits,
                    u.rs1 != 0,
                    true
                ),
                Code::Ecall => {
                    let code = cause::ECALL_U + hart.privilege as u64;
                    undo!(Exit::Trap(Exception::new(code, 0)))
                }
                Code::Ebreak => {
                    let at = here!();
                    undo!(Exit::Trap(Exception::new(cause::BREAKPOINT, at)))
                }
                Code::Mret => {
                    if hart.privilege != Privilege::Machine {
                        illegal!();
                    }
                    hart.return_from_machine();
                    return Exit::Recheck;
                }
                Code::Sret => {
                    let forbidden = hart.privilege == Privilege::User
                        || (hart.privilege == Privilege::Supervisor
                            && hart.csr.mstatus & status::TSR != 0);
                    if forbidden {
                        illegal!();
                    }
                    hart.return_from_supervisor();
                    return Exit::Recheck;
                }
                Code::Wfi => {
                    let forbidden = hart.privilege == Privilege::User
                        || (hart.privilege == Privilege::Supervisor
                            && hart.csr.mstatus & status::TW != 0);
                    if forbidden {
                        illegal!();
                    }
                    hart.parked = true;
                    leave!(after!());
                }
                Code::SfenceVma => {
                    let forbidden = hart.privilege == Privilege::User
                        || (hart.privilege == Privilege::Supervisor
                            && hart.csr.mstatus & status::TVM != 0);
                    if forbidden {
                        illegal!();
                    }
                    leave!(after!());
                }
                Code::Illegal => illegal!(),
                Code::Probe => undo!(Exit::Probe),
            }
        };

        if STEP {
            hart.area.pc = next;
            return Exit::Recheck;
        }
        let linked = if (next ^ pc) < 0x1000 {
            code.links[slot].get()
        } else {
            0
        };
        if linked != 0 && code.blocks[linked as usize].count != 0 {
            pc = next;
            id = linked;
            continue 'block;
        }
        let same_page = (next ^ pc) < 0x1000;
        pc = next;
        match code.jump(next, key) {
            Some(found) => {
                if same_page {
                    code.links[slot].set(found);
                }
                id = found;
            }
            None => {
                hart.area.pc = next;
                return Exit::Miss;
            }
        }
    }
}

impl HartWithCode {
    /// Drops decoded code and translations.
    pub(crate) fn drop_caches(&mut self, p: &mut Platform) {
        self.code.drop_all(p);
        self.hart.flush_translations();
        self.hart.update_context();
    }
}
