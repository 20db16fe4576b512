//! Conversions between the formats, and from and to integers.
//!
//! What an integer type can't hold saturates: NaN and what is too large give the largest integer,
//! what is too small the smallest, with NV and without NX
//! (RISC-V Unprivileged 20.7, Conversion and Move Instructions).

use std::ops::RangeInclusive;

use super::format::{Binary32, Binary64, Finite, Format, Value, round_and_pack, sign_bit, unpack};
use super::{RoundingMode, flag};

/// Defines conversions from a format to an integer type.
macro_rules! float_to_integer {
    ($($name:ident($bits:ty as $float:ty, $format:ty) -> $int:ty, $instruction:literal;)*) => {$(
        #[doc = concat!("`a` rounded to an integer, saturating (`", $instruction, "`).")]
        #[inline]
        #[must_use]
        pub fn $name(a: $bits, rm: RoundingMode, flags: &mut u8) -> $int {
            if rm == RoundingMode::Rtz
                && let Some((truncated, inexact)) = truncate(<$float>::from_bits(a).into())
                && let Ok(result) = <$int>::try_from(truncated)
            {
                *flags |= if inexact { flag::NX } else { 0 };
                return result;
            }
            let range = <$int>::MIN.into()..=<$int>::MAX.into();
            integer_from_float::<$format>(a.into(), rm, flags, range) as $int
        }
    )*};
}

float_to_integer! {
    f32_to_i32(u32 as f32, Binary32) -> i32, "fcvt.w.s";
    f32_to_u32(u32 as f32, Binary32) -> u32, "fcvt.wu.s";
    f32_to_i64(u32 as f32, Binary32) -> i64, "fcvt.l.s";
    f32_to_u64(u32 as f32, Binary32) -> u64, "fcvt.lu.s";
    f64_to_i32(u64 as f64, Binary64) -> i32, "fcvt.w.d";
    f64_to_u32(u64 as f64, Binary64) -> u32, "fcvt.wu.d";
    f64_to_i64(u64 as f64, Binary64) -> i64, "fcvt.l.d";
    f64_to_u64(u64 as f64, Binary64) -> u64, "fcvt.lu.d";
}

/// `value` rounded towards zero, if that is well within `i64`, and whether it lost a fraction.
#[inline]
fn truncate(value: f64) -> Option<(i64, bool)> {
    const LIMIT: f64 = (1_u64 << 62) as f64;
    // A NaN fails the comparison. What is left of a float without its fraction is a float.
    (value.abs() < LIMIT).then(|| {
        let truncated = value as i64;
        (truncated, truncated as f64 != value)
    })
}

/// `a` rounded to an integer, saturated to `range`, which lies between -2^63 and 2^64 - 1.
fn integer_from_float<F: Format>(
    a: u64,
    rm: RoundingMode,
    flags: &mut u8,
    range: RangeInclusive<i128>,
) -> i128 {
    let Finite {
        sign,
        exponent,
        significand,
    } = match unpack::<F>(a) {
        Value::Zero { .. } => return 0,
        Value::Nan { .. } => {
            *flags |= flag::NV;
            return *range.end();
        }
        // Beyond every range, as is every number from 2^64 on.
        Value::Infinity { sign } => Finite {
            sign,
            exponent: 64,
            significand: 1 << 63,
        },
        Value::Number(number) => number,
    };
    // The integer part, and the fraction in units of 2^-64.
    let (integer, fraction) = match exponent {
        64.. => (u128::MAX >> 1, 0),
        63 => (significand.into(), 0),
        0..=62 => (
            u128::from(significand >> (63 - exponent)),
            significand << (exponent + 1),
        ),
        -1 => (0, significand),
        _ => (0, 1),
    };
    let up = rm.rounds_magnitude_up(sign, integer & 1 != 0, fraction);
    let magnitude = integer as i128 + i128::from(up);
    let result = if sign { -magnitude } else { magnitude };
    if range.contains(&result) {
        *flags |= if fraction != 0 { flag::NX } else { 0 };
        return result;
    }
    *flags |= flag::NV;
    if sign { *range.start() } else { *range.end() }
}

/// `magnitude`, negated if `sign`, rounded to the format.
fn float_from_integer<F: Format>(
    sign: bool,
    magnitude: u64,
    rm: RoundingMode,
    flags: &mut u8,
) -> u64 {
    if magnitude == 0 {
        return 0;
    }
    let zeros = magnitude.leading_zeros();
    let value = Finite {
        sign,
        exponent: 63 - zeros as i32,
        significand: magnitude << zeros,
    };
    round_and_pack::<F>(value, rm, flags)
}

/// The float for an integer of at most 53 bits, which binary64 holds exactly.
#[inline]
fn exact_f64(v: i64) -> Option<f64> {
    (v.unsigned_abs() <= 1 << 53).then_some(v as f64)
}

/// `v` as binary64, exactly, so that no mode or flag matters (`fcvt.d.w`).
#[inline]
#[must_use]
pub fn i32_to_f64(v: i32, _rm: RoundingMode, _flags: &mut u8) -> u64 {
    f64::from(v).to_bits()
}

/// `v` as binary64, exactly, so that no mode or flag matters (`fcvt.d.wu`).
#[inline]
#[must_use]
pub fn u32_to_f64(v: u32, _rm: RoundingMode, _flags: &mut u8) -> u64 {
    f64::from(v).to_bits()
}

/// `v` rounded to binary64 (`fcvt.d.l`).
#[inline]
#[must_use]
pub fn i64_to_f64(v: i64, rm: RoundingMode, flags: &mut u8) -> u64 {
    match exact_f64(v) {
        Some(exact) => exact.to_bits(),
        None => float_from_integer::<Binary64>(v < 0, v.unsigned_abs(), rm, flags),
    }
}

/// `v` rounded to binary64 (`fcvt.d.lu`).
#[inline]
#[must_use]
pub fn u64_to_f64(v: u64, rm: RoundingMode, flags: &mut u8) -> u64 {
    match i64::try_from(v).ok().and_then(exact_f64) {
        Some(exact) => exact.to_bits(),
        None => float_from_integer::<Binary64>(false, v, rm, flags),
    }
}

/// `v` rounded to binary32 (`fcvt.s.w`).
#[inline]
#[must_use]
pub fn i32_to_f32(v: i32, rm: RoundingMode, flags: &mut u8) -> u32 {
    f64_to_f32(f64::from(v).to_bits(), rm, flags)
}

/// `v` rounded to binary32 (`fcvt.s.wu`).
#[inline]
#[must_use]
pub fn u32_to_f32(v: u32, rm: RoundingMode, flags: &mut u8) -> u32 {
    f64_to_f32(f64::from(v).to_bits(), rm, flags)
}

/// `v` rounded to binary32 (`fcvt.s.l`).
#[inline]
#[must_use]
pub fn i64_to_f32(v: i64, rm: RoundingMode, flags: &mut u8) -> u32 {
    match exact_f64(v) {
        Some(exact) => f64_to_f32(exact.to_bits(), rm, flags),
        None => float_from_integer::<Binary32>(v < 0, v.unsigned_abs(), rm, flags) as u32,
    }
}

/// `v` rounded to binary32 (`fcvt.s.lu`).
#[inline]
#[must_use]
pub fn u64_to_f32(v: u64, rm: RoundingMode, flags: &mut u8) -> u32 {
    match i64::try_from(v).ok().and_then(exact_f64) {
        Some(exact) => f64_to_f32(exact.to_bits(), rm, flags),
        None => float_from_integer::<Binary32>(false, v, rm, flags) as u32,
    }
}

/// `a` as binary64, exactly; a signaling NaN raises NV (`fcvt.d.s`).
#[inline]
#[must_use]
pub fn f32_to_f64(a: u32, flags: &mut u8) -> u64 {
    let wide = f64::from(f32::from_bits(a));
    if wide.is_nan() {
        return float_from_float::<Binary32, Binary64>(a.into(), RoundingMode::Rne, flags);
    }
    wide.to_bits()
}

/// `a` rounded to binary32; a signaling NaN raises NV (`fcvt.s.d`).
#[inline]
#[must_use]
pub fn f64_to_f32(a: u64, rm: RoundingMode, flags: &mut u8) -> u32 {
    let value = f64::from_bits(a);
    let rounded = value as f32;
    let magnitude = rounded.abs();
    // Between these bounds only NX is possible, and a value that did not change raises nothing.
    let safely_normal = magnitude > f32::MIN_POSITIVE && magnitude < f32::INFINITY;
    let exact = f64::from(rounded) == value;
    if exact || (rm == RoundingMode::Rne && safely_normal) {
        *flags |= if exact { 0 } else { flag::NX };
        return rounded.to_bits();
    }
    float_from_float::<Binary64, Binary32>(a, rm, flags) as u32
}

/// `a`, in format `From`, rounded to format `To`.
#[cold]
#[inline(never)]
fn float_from_float<From: Format, To: Format>(a: u64, rm: RoundingMode, flags: &mut u8) -> u64 {
    match unpack::<From>(a) {
        Value::Nan { signaling } => {
            *flags |= if signaling { flag::NV } else { 0 };
            To::CANONICAL_NAN
        }
        Value::Infinity { sign } => sign_bit::<To>(sign) | To::INFINITY,
        Value::Zero { sign } => sign_bit::<To>(sign),
        Value::Number(number) => round_and_pack::<To>(number, rm, flags),
    }
}
