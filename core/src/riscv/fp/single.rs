//! Binary32 arithmetic: the host's where it is exact, else [`soft`]'s.
//!
//! As in [`double`](super::double), the host serves where the mode is RNE and no flag but NX is
//! possible. Whether the result is exact can always be told in binary64, which holds the product of
//! two binary32 numbers exactly, whatever their exponents.

use super::double::two_sum;
use super::format::Binary32;
use super::{RoundingMode, flag, soft};

const SIGN_BIT: u32 = 1 << 31;

/// As in [`double`](super::double): nothing but NX is possible.
#[inline]
fn is_safely_normal(value: f32) -> bool {
    let magnitude = value.abs();
    magnitude > f32::MIN_POSITIVE && magnitude < f32::INFINITY
}

#[inline]
fn wide(bits: u32) -> f64 {
    f64::from(f32::from_bits(bits))
}

/// Raises NX if it is not there yet and the result, says `inexact`, is rounded.
#[inline]
fn accrue_inexact(flags: &mut u8, inexact: impl FnOnce() -> bool) {
    if *flags & flag::NX == 0 && inexact() {
        *flags |= flag::NX;
    }
}

/// `a` + `b` (`fadd.s`).
#[inline]
#[must_use]
pub fn add32(a: u32, b: u32, rm: RoundingMode, flags: &mut u8) -> u32 {
    let (x, y) = (f32::from_bits(a), f32::from_bits(b));
    let sum = x + y;
    // A subnormal sum is always exact, so that a finite sum can raise nothing but NX.
    if rm == RoundingMode::Rne && sum.is_finite() {
        accrue_inexact(flags, || {
            let (total, error) = two_sum(x.into(), y.into());
            error != 0.0 || total != f64::from(sum)
        });
        return sum.to_bits();
    }
    add32_soft(a, b, rm, flags)
}

/// `a` - `b` (`fsub.s`).
#[inline]
#[must_use]
pub fn sub32(a: u32, b: u32, rm: RoundingMode, flags: &mut u8) -> u32 {
    add32(a, b ^ SIGN_BIT, rm, flags)
}

/// `a` * `b` (`fmul.s`).
#[inline]
#[must_use]
pub fn mul32(a: u32, b: u32, rm: RoundingMode, flags: &mut u8) -> u32 {
    let product = f32::from_bits(a) * f32::from_bits(b);
    if rm == RoundingMode::Rne && is_safely_normal(product) {
        accrue_inexact(flags, || wide(a) * wide(b) != f64::from(product));
        return product.to_bits();
    }
    mul32_soft(a, b, rm, flags)
}

/// `a` / `b` (`fdiv.s`).
#[inline]
#[must_use]
pub fn div32(a: u32, b: u32, rm: RoundingMode, flags: &mut u8) -> u32 {
    let quotient = f32::from_bits(a) / f32::from_bits(b);
    if rm == RoundingMode::Rne && is_safely_normal(quotient) {
        accrue_inexact(flags, || f64::from(quotient) * wide(b) != wide(a));
        return quotient.to_bits();
    }
    div32_soft(a, b, rm, flags)
}

/// The square root of `a` (`fsqrt.s`).
#[inline]
#[must_use]
pub fn sqrt32(a: u32, rm: RoundingMode, flags: &mut u8) -> u32 {
    let root = f32::from_bits(a).sqrt();
    if rm == RoundingMode::Rne && is_safely_normal(root) {
        accrue_inexact(flags, || f64::from(root) * f64::from(root) != wide(a));
        return root.to_bits();
    }
    sqrt32_soft(a, rm, flags)
}

/// `a` * `b` + `c` with one rounding (`fmadd.s`); the caller negates operands for the other three.
#[inline]
#[must_use]
pub fn fma32(a: u32, b: u32, c: u32, rm: RoundingMode, flags: &mut u8) -> u32 {
    let (total, error) = two_sum(wide(a) * wide(b), wide(c));
    // Rounding twice is harmless if the first rounding, to 53 bits, is to odd: an inexact sum
    // becomes that neighbour of the exact one whose last place is odd, and so lies on the same
    // side of every binary32 number and of every midpoint between two (Boldo and Melquiond,
    // Emulation of a FMA and correctly rounded sums: proved algorithms using rounding to odd,
    // 2008).
    let bits = total.to_bits();
    let away_from_zero = (bits ^ error.to_bits()) >> 63 == 0;
    let step = if away_from_zero { 1 } else { u64::MAX };
    let is_moved = u64::from((error != 0.0) & (bits & 1 == 0));
    // Should the sum be infinite or NaN, then whatever comes of it is no normal number in binary32.
    let odd = f64::from_bits(bits.wrapping_add(step * is_moved));
    let rounded = odd as f32;
    if rm == RoundingMode::Rne && is_safely_normal(rounded) {
        accrue_inexact(flags, || f64::from(rounded) != odd);
        return rounded.to_bits();
    }
    fma32_soft(a, b, c, rm, flags)
}

#[cold]
#[inline(never)]
fn add32_soft(a: u32, b: u32, rm: RoundingMode, flags: &mut u8) -> u32 {
    soft::add::<Binary32>(a.into(), b.into(), rm, flags) as u32
}

#[cold]
#[inline(never)]
fn mul32_soft(a: u32, b: u32, rm: RoundingMode, flags: &mut u8) -> u32 {
    soft::mul::<Binary32>(a.into(), b.into(), rm, flags) as u32
}

#[cold]
#[inline(never)]
fn div32_soft(a: u32, b: u32, rm: RoundingMode, flags: &mut u8) -> u32 {
    soft::div::<Binary32>(a.into(), b.into(), rm, flags) as u32
}

#[cold]
#[inline(never)]
fn sqrt32_soft(a: u32, rm: RoundingMode, flags: &mut u8) -> u32 {
    soft::sqrt::<Binary32>(a.into(), rm, flags) as u32
}

#[cold]
#[inline(never)]
fn fma32_soft(a: u32, b: u32, c: u32, rm: RoundingMode, flags: &mut u8) -> u32 {
    soft::fma::<Binary32>(a.into(), b.into(), c.into(), rm, flags) as u32
}
