//! Binary64 arithmetic: the host's where it is exact, else [`soft`]'s.
//!
//! The host rounds to nearest even and shows no flags. So it serves where the mode is RNE, the
//! only flag that the result's magnitude leaves possible is NX, and NX is either accrued already
//! or can be told cheaply from the values.

use super::format::Binary64;
use super::{RoundingMode, flag, soft};

const SIGN_BIT: u64 = 1 << 63;

/// Whether a host's product, quotient or root of this value can raise nothing but NX: it did not
/// overflow, was not invalid, and rounding did not bring it up to the smallest normal number.
#[inline]
fn is_safely_normal(value: f64) -> bool {
    let magnitude = value.abs();
    magnitude > f64::MIN_POSITIVE && magnitude < f64::INFINITY
}

/// `a` + `b` (`fadd.d`).
#[inline]
#[must_use]
pub fn add64(a: u64, b: u64, rm: RoundingMode, flags: &mut u8) -> u64 {
    let (x, y) = (f64::from_bits(a), f64::from_bits(b));
    let sum = x + y;
    // A subnormal sum is always exact, so that a finite sum can raise nothing but NX.
    if rm == RoundingMode::Rne && sum.is_finite() {
        if *flags & flag::NX != 0 {
            return sum.to_bits();
        }
        // Should a step of the error overflow, the error comes out infinite or NaN.
        let (sum, error) = two_sum(x, y);
        if error.is_finite() {
            *flags |= if error == 0.0 { 0 } else { flag::NX };
            return sum.to_bits();
        }
    }
    add64_soft(a, b, rm, flags)
}

/// `a` - `b` (`fsub.d`).
#[inline]
#[must_use]
pub fn sub64(a: u64, b: u64, rm: RoundingMode, flags: &mut u8) -> u64 {
    add64(a, b ^ SIGN_BIT, rm, flags)
}

/// `a` * `b` (`fmul.d`).
#[inline]
#[must_use]
pub fn mul64(a: u64, b: u64, rm: RoundingMode, flags: &mut u8) -> u64 {
    let product = f64::from_bits(a) * f64::from_bits(b);
    if rm == RoundingMode::Rne && is_safely_normal(product) {
        // Without NX: significands of m and n bits have a product of at most m + n bits, which
        // is exact if that is at most 53. A normal operand, whose hidden bit is set here, has
        // 53 - (its trailing zeros) bits; a subnormal one has fewer than is counted here.
        let zeros = |bits: u64| (bits | 1 << 52).trailing_zeros();
        if *flags & flag::NX != 0 || zeros(a) + zeros(b) >= 53 {
            return product.to_bits();
        }
    }
    mul64_soft(a, b, rm, flags)
}

/// `a` / `b` (`fdiv.d`).
#[inline]
#[must_use]
pub fn div64(a: u64, b: u64, rm: RoundingMode, flags: &mut u8) -> u64 {
    let quotient = f64::from_bits(a) / f64::from_bits(b);
    if rm == RoundingMode::Rne && *flags & flag::NX != 0 && is_safely_normal(quotient) {
        return quotient.to_bits();
    }
    div64_soft(a, b, rm, flags)
}

/// The square root of `a` (`fsqrt.d`).
#[inline]
#[must_use]
pub fn sqrt64(a: u64, rm: RoundingMode, flags: &mut u8) -> u64 {
    let root = f64::from_bits(a).sqrt();
    if rm == RoundingMode::Rne && *flags & flag::NX != 0 && is_safely_normal(root) {
        return root.to_bits();
    }
    sqrt64_soft(a, rm, flags)
}

/// `a` * `b` + `c` with one rounding (`fmadd.d`); the caller negates operands for the other three.
///
/// Too long to be inlined into an interpreter.
#[inline(never)]
#[must_use]
pub fn fma64(a: u64, b: u64, c: u64, rm: RoundingMode, flags: &mut u8) -> u64 {
    let moderate = |bits: u64, reach: u64| {
        let field = (bits >> 52) & 0x7ff;
        field.wrapping_sub(1023 - reach) <= 2 * reach
    };
    // These bounds keep every step below clear of overflow and underflow: all its values are zero
    // or between 2^-960 and 2^960.
    let all_moderate =
        moderate(a, 400) && moderate(b, 400) && (moderate(c, 800) || c & !SIGN_BIT == 0);
    if rm == RoundingMode::Rne && all_moderate {
        let (product, product_error) = two_product(a, b);
        let (sum, sum_error) = two_sum(product, f64::from_bits(c));
        // Now a * b + c = sum + product_error + sum_error, exactly, and `error` is the sum of the
        // last two within half a unit of its last place. If one unit more and one less round to
        // the same result, that is the result (Ziv's rounding test). A unit is at most 2^-52 of
        // the number, and `error` is zero only if it is exactly so.
        let error = product_error + sum_error;
        let unit = error * f64::EPSILON;
        let (above, below) = (sum + (error + unit), sum + (error - unit));
        if above == below && (*flags & flag::NX != 0 || error == 0.0) {
            return above.to_bits();
        }
    }
    fma64_soft(a, b, c, rm, flags)
}

/// The rounded product and its exact error (Dekker), if no step overflows or underflows.
#[inline]
fn two_product(a: u64, b: u64) -> (f64, f64) {
    // Each factor is split into a part rounded to 26 bits and the rest, which has 26 bits and a
    // sign, so that the products of parts are exact.
    let split = |bits: u64| {
        let high = f64::from_bits((bits + (1 << 26)) & (u64::MAX << 27));
        (high, f64::from_bits(bits) - high)
    };
    let ((a_high, a_low), (b_high, b_low)) = (split(a), split(b));
    let product = f64::from_bits(a) * f64::from_bits(b);
    let rest = ((product - a_high * b_high) - a_low * b_high) - a_high * b_low;
    (product, a_low * b_low - rest)
}

/// The rounded sum and its exact error (Knuth), if no step overflows; underflow does no harm.
#[inline]
pub(super) fn two_sum(x: f64, y: f64) -> (f64, f64) {
    let sum = x + y;
    let y_rounded = sum - x;
    (sum, (x - (sum - y_rounded)) + (y - y_rounded))
}

#[cold]
#[inline(never)]
fn add64_soft(a: u64, b: u64, rm: RoundingMode, flags: &mut u8) -> u64 {
    soft::add::<Binary64>(a, b, rm, flags)
}

#[cold]
#[inline(never)]
fn mul64_soft(a: u64, b: u64, rm: RoundingMode, flags: &mut u8) -> u64 {
    soft::mul::<Binary64>(a, b, rm, flags)
}

#[cold]
#[inline(never)]
fn div64_soft(a: u64, b: u64, rm: RoundingMode, flags: &mut u8) -> u64 {
    soft::div::<Binary64>(a, b, rm, flags)
}

#[cold]
#[inline(never)]
fn sqrt64_soft(a: u64, rm: RoundingMode, flags: &mut u8) -> u64 {
    soft::sqrt::<Binary64>(a, rm, flags)
}

#[cold]
#[inline(never)]
fn fma64_soft(a: u64, b: u64, c: u64, rm: RoundingMode, flags: &mut u8) -> u64 {
    soft::fma::<Binary64>(a, b, c, rm, flags)
}
