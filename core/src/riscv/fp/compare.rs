//! Comparison, minimum and maximum, classification, sign injection and NaN boxing.

use super::format::{Binary32, Binary64, Format, Value, is_normal, unpack};
use super::{CANONICAL_NAN32, CANONICAL_NAN64, flag};

const SIGN_BIT32: u32 = 1 << 31;
const SIGN_BIT64: u64 = 1 << 63;

/// Single precision values in double precision: order, equality and being a NaN are kept.
#[inline]
fn widened(a: u32, b: u32) -> (f64, f64) {
    (f32::from_bits(a).into(), f32::from_bits(b).into())
}

#[inline]
fn doubles(a: u64, b: u64) -> (f64, f64) {
    (f64::from_bits(a), f64::from_bits(b))
}

fn is_signaling<F: Format>(bits: u64) -> bool {
    unpack::<F>(bits) == Value::Nan { signaling: true }
}

/// The flags of a quiet comparison: NV for a signaling NaN only.
#[inline]
fn quiet<F: Format>(a: u64, b: u64, (x, y): (f64, f64), flags: &mut u8) {
    if (x.is_nan() || y.is_nan()) && (is_signaling::<F>(a) || is_signaling::<F>(b)) {
        *flags |= flag::NV;
    }
}

/// The flags of a signaling comparison: NV for every NaN.
#[inline]
fn signal((x, y): (f64, f64), flags: &mut u8) {
    if x.is_nan() || y.is_nan() {
        *flags |= flag::NV;
    }
}

/// Whether `a` equals `b`; NV for a signaling NaN (`feq.s`).
#[inline]
#[must_use]
pub fn eq32(a: u32, b: u32, flags: &mut u8) -> bool {
    let (x, y) = widened(a, b);
    quiet::<Binary32>(a.into(), b.into(), (x, y), flags);
    x == y
}

/// Whether `a` equals `b`; NV for a signaling NaN (`feq.d`).
#[inline]
#[must_use]
pub fn eq64(a: u64, b: u64, flags: &mut u8) -> bool {
    let (x, y) = doubles(a, b);
    quiet::<Binary64>(a, b, (x, y), flags);
    x == y
}

/// Whether `a` is less than `b`; NV for any NaN (`flt.s`).
#[inline]
#[must_use]
pub fn lt32(a: u32, b: u32, flags: &mut u8) -> bool {
    let (x, y) = widened(a, b);
    signal((x, y), flags);
    x < y
}

/// Whether `a` is less than `b`; NV for any NaN (`flt.d`).
#[inline]
#[must_use]
pub fn lt64(a: u64, b: u64, flags: &mut u8) -> bool {
    let (x, y) = doubles(a, b);
    signal((x, y), flags);
    x < y
}

/// Whether `a` is at most `b`; NV for any NaN (`fle.s`).
#[inline]
#[must_use]
pub fn le32(a: u32, b: u32, flags: &mut u8) -> bool {
    let (x, y) = widened(a, b);
    signal((x, y), flags);
    x <= y
}

/// Whether `a` is at most `b`; NV for any NaN (`fle.d`).
#[inline]
#[must_use]
pub fn le64(a: u64, b: u64, flags: &mut u8) -> bool {
    let (x, y) = doubles(a, b);
    signal((x, y), flags);
    x <= y
}

/// The lesser of two numbers, or the greater if `greater`: -0 is less than +0, a NaN gives way to a
/// number, and two NaNs make the canonical one. `None` stands for the latter.
///
/// RISC-V Unprivileged 20.6: minimumNumber and maximumNumber of IEEE 754-2019.
#[inline]
fn select<F: Format>(
    a: u64,
    b: u64,
    (x, y): (f64, f64),
    greater: bool,
    flags: &mut u8,
) -> Option<u64> {
    quiet::<F>(a, b, (x, y), flags);
    match (x.is_nan(), y.is_nan()) {
        (true, true) => None,
        (true, false) => Some(b),
        (false, true) => Some(a),
        // Only zeros are equal with different bits, and then the sign decides.
        (false, false) => {
            let a_is_less = x < y || (x == y && a & F::SIGN_BIT != 0);
            Some(if a_is_less == greater { b } else { a })
        }
    }
}

/// The lesser of `a` and `b`; NV for a signaling NaN (`fmin.s`).
#[inline]
#[must_use]
pub fn min32(a: u32, b: u32, flags: &mut u8) -> u32 {
    select::<Binary32>(a.into(), b.into(), widened(a, b), false, flags)
        .map_or(CANONICAL_NAN32, |bits| bits as u32)
}

/// The greater of `a` and `b`; NV for a signaling NaN (`fmax.s`).
#[inline]
#[must_use]
pub fn max32(a: u32, b: u32, flags: &mut u8) -> u32 {
    select::<Binary32>(a.into(), b.into(), widened(a, b), true, flags)
        .map_or(CANONICAL_NAN32, |bits| bits as u32)
}

/// The lesser of `a` and `b`; NV for a signaling NaN (`fmin.d`).
#[inline]
#[must_use]
pub fn min64(a: u64, b: u64, flags: &mut u8) -> u64 {
    select::<Binary64>(a, b, doubles(a, b), false, flags).unwrap_or(CANONICAL_NAN64)
}

/// The greater of `a` and `b`; NV for a signaling NaN (`fmax.d`).
#[inline]
#[must_use]
pub fn max64(a: u64, b: u64, flags: &mut u8) -> u64 {
    select::<Binary64>(a, b, doubles(a, b), true, flags).unwrap_or(CANONICAL_NAN64)
}

/// The 10-bit mask of `fclass` (RISC-V Unprivileged 20.9): one bit from minus infinity (0) to plus
/// infinity (7), then signaling NaN (8) and quiet NaN (9).
fn class<F: Format>(bits: u64) -> u64 {
    // Positive classes mirror the negative ones: 7 - n for n.
    let (sign, negative_class) = match unpack::<F>(bits) {
        Value::Nan { signaling } => return if signaling { 1 << 8 } else { 1 << 9 },
        Value::Infinity { sign } => (sign, 0),
        Value::Zero { sign } => (sign, 3),
        Value::Number(number) => (number.sign, if is_normal::<F>(bits) { 1 } else { 2 }),
    };
    1 << if sign {
        negative_class
    } else {
        7 - negative_class
    }
}

/// The class of `a` as a 10-bit mask (`fclass.s`).
#[must_use]
pub fn class32(a: u32) -> u64 {
    class::<Binary32>(a.into())
}

/// The class of `a` as a 10-bit mask (`fclass.d`).
#[must_use]
pub fn class64(a: u64) -> u64 {
    class::<Binary64>(a)
}

/// `a` with the sign of `b` (`fsgnj.s`).
#[inline]
#[must_use]
pub const fn sgnj32(a: u32, b: u32) -> u32 {
    (a & !SIGN_BIT32) | (b & SIGN_BIT32)
}

/// `a` with the opposite of the sign of `b` (`fsgnjn.s`).
#[inline]
#[must_use]
pub const fn sgnjn32(a: u32, b: u32) -> u32 {
    (a & !SIGN_BIT32) | (!b & SIGN_BIT32)
}

/// `a` with its sign flipped if `b` is negative (`fsgnjx.s`).
#[inline]
#[must_use]
pub const fn sgnjx32(a: u32, b: u32) -> u32 {
    a ^ (b & SIGN_BIT32)
}

/// `a` with the sign of `b` (`fsgnj.d`).
#[inline]
#[must_use]
pub const fn sgnj64(a: u64, b: u64) -> u64 {
    (a & !SIGN_BIT64) | (b & SIGN_BIT64)
}

/// `a` with the opposite of the sign of `b` (`fsgnjn.d`).
#[inline]
#[must_use]
pub const fn sgnjn64(a: u64, b: u64) -> u64 {
    (a & !SIGN_BIT64) | (!b & SIGN_BIT64)
}

/// `a` with its sign flipped if `b` is negative (`fsgnjx.d`).
#[inline]
#[must_use]
pub const fn sgnjx64(a: u64, b: u64) -> u64 {
    a ^ (b & SIGN_BIT64)
}

/// A single precision value in a 64-bit register: all ones above it
/// (RISC-V Unprivileged 21.2, NaN Boxing of Narrower Values).
#[inline]
#[must_use]
pub const fn box32(a: u32) -> u64 {
    a as u64 | 0xffff_ffff_0000_0000
}

/// The single precision value in a 64-bit register; the canonical NaN if it is not boxed
/// (RISC-V Unprivileged 21.2).
#[inline]
#[must_use]
pub const fn unbox32(register: u64) -> u32 {
    if register >> 32 == 0xffff_ffff {
        register as u32
    } else {
        CANONICAL_NAN32
    }
}
