//! Exact arithmetic in integers: each operation is computed to 64 bits with a sticky bit, and
//! rounded once.

use std::hint::select_unpredictable;

use super::format::{Finite, Format, Value, round_and_pack, sign_bit, unpack};
use super::{RoundingMode, flag};

/// A finite number other than zero: `magnitude` * 2^(`exponent` - 125), between 2^124 and 2^126 and
/// with at least two zeros in its lowest places.
#[derive(Clone, Copy)]
struct Term {
    sign: bool,
    exponent: i32,
    magnitude: u128,
}

impl From<Finite> for Term {
    #[inline]
    fn from(value: Finite) -> Self {
        Self {
            sign: value.sign,
            exponent: value.exponent,
            magnitude: u128::from(value.significand) << 62,
        }
    }
}

impl Term {
    /// `a` * `b`, exactly: a significand of at most 62 bits leaves two zeros below it, so that the
    /// product has four, of which two are dropped here.
    #[inline]
    fn product(a: Finite, b: Finite) -> Self {
        let product = u128::from(a.significand) * u128::from(b.significand);
        Self {
            sign: a.sign != b.sign,
            exponent: a.exponent + b.exponent + 1,
            magnitude: product >> 2,
        }
    }
}

/// `a` + `b`, or `None` for an exact zero.
///
/// Bits of the lower term that are shifted out become sticky. In the formats at hand they exist
/// only if the exponents are so far apart that the leading places can't cancel, so that the sticky
/// bit stays below the last place of the result; and as the higher term ends in zeros, it stays
/// set in the difference.
#[inline]
fn sum(a: Term, b: Term) -> Option<Finite> {
    // The host can't predict which term is higher, nor their signs, so nothing here branches on
    // them.
    let a_is_higher = a.exponent >= b.exponent;
    let (high, low) = (
        select_unpredictable(a_is_higher, a, b),
        select_unpredictable(a_is_higher, b, a),
    );
    let distance = a.exponent.abs_diff(b.exponent);
    let aligned = if distance < 128 {
        let lost = low.magnitude.trailing_zeros() < distance;
        (low.magnitude >> distance) | u128::from(lost)
    } else {
        1
    };
    let opposite = u128::from(high.sign != low.sign).wrapping_neg();
    // Below 2^127 either way; negative if `low` was the larger after all.
    let total = high
        .magnitude
        .wrapping_add((aligned ^ opposite).wrapping_sub(opposite)) as i128;
    let sign = high.sign != (total < 0);
    (total != 0).then(|| Finite::from_wide(sign, high.exponent + 2, total.unsigned_abs()))
}

/// Rounds a sum; an exact zero is +0, or -0 when rounding down (IEEE 754 6.3).
#[inline]
fn pack_sum<F: Format>(sum: Option<Finite>, rm: RoundingMode, flags: &mut u8) -> u64 {
    match sum {
        Some(value) => round_and_pack::<F>(value, rm, flags),
        None => sign_bit::<F>(rm == RoundingMode::Rdn),
    }
}

/// The result of an invalid operation.
fn invalid<F: Format>(flags: &mut u8) -> u64 {
    *flags |= flag::NV;
    F::CANONICAL_NAN
}

/// The result of an operation with a NaN among its operands.
fn propagate_nan<F: Format>(operands: &[Value], flags: &mut u8) -> u64 {
    if operands.contains(&Value::Nan { signaling: true }) {
        *flags |= flag::NV;
    }
    F::CANONICAL_NAN
}

fn infinity<F: Format>(sign: bool) -> u64 {
    sign_bit::<F>(sign) | F::INFINITY
}

/// `a` + `b`.
pub(super) fn add<F: Format>(a: u64, b: u64, rm: RoundingMode, flags: &mut u8) -> u64 {
    use Value::{Infinity, Nan, Number, Zero};
    match (unpack::<F>(a), unpack::<F>(b)) {
        (x @ Nan { .. }, y) | (x, y @ Nan { .. }) => propagate_nan::<F>(&[x, y], flags),
        (Infinity { sign }, Infinity { sign: other }) if sign != other => invalid::<F>(flags),
        (Infinity { sign }, _) | (_, Infinity { sign }) => infinity::<F>(sign),
        (Zero { sign }, Zero { sign: other }) if sign == other => a,
        (Zero { .. }, Zero { .. }) => pack_sum::<F>(None, rm, flags),
        (Zero { .. }, _) => b,
        (_, Zero { .. }) => a,
        (Number(x), Number(y)) => pack_sum::<F>(sum(x.into(), y.into()), rm, flags),
    }
}

/// `a` * `b`.
pub(super) fn mul<F: Format>(a: u64, b: u64, rm: RoundingMode, flags: &mut u8) -> u64 {
    use Value::{Infinity, Nan, Number, Zero};
    let sign = (a ^ b) & F::SIGN_BIT != 0;
    match (unpack::<F>(a), unpack::<F>(b)) {
        (x @ Nan { .. }, y) | (x, y @ Nan { .. }) => propagate_nan::<F>(&[x, y], flags),
        (Infinity { .. }, Zero { .. }) | (Zero { .. }, Infinity { .. }) => invalid::<F>(flags),
        (Infinity { .. }, _) | (_, Infinity { .. }) => infinity::<F>(sign),
        (Zero { .. }, _) | (_, Zero { .. }) => sign_bit::<F>(sign),
        (Number(x), Number(y)) => {
            let product = u128::from(x.significand) * u128::from(y.significand);
            let exponent = x.exponent + y.exponent + 1;
            round_and_pack::<F>(Finite::from_wide(sign, exponent, product), rm, flags)
        }
    }
}

/// `a` / `b`.
pub(super) fn div<F: Format>(a: u64, b: u64, rm: RoundingMode, flags: &mut u8) -> u64 {
    use Value::{Infinity, Nan, Number, Zero};
    let sign = (a ^ b) & F::SIGN_BIT != 0;
    match (unpack::<F>(a), unpack::<F>(b)) {
        (x @ Nan { .. }, y) | (x, y @ Nan { .. }) => propagate_nan::<F>(&[x, y], flags),
        (Infinity { .. }, Infinity { .. }) | (Zero { .. }, Zero { .. }) => invalid::<F>(flags),
        (Infinity { .. }, _) => infinity::<F>(sign),
        (Zero { .. }, _) | (_, Infinity { .. }) => sign_bit::<F>(sign),
        (Number(_), Zero { .. }) => {
            *flags |= flag::DZ;
            infinity::<F>(sign)
        }
        (Number(x), Number(y)) => {
            // The shift that gives a quotient of exactly 64 bits.
            let borrow = u32::from(x.significand < y.significand);
            let dividend = u128::from(x.significand) << (63 + borrow);
            let divisor = u128::from(y.significand);
            let quotient = dividend / divisor;
            let sticky = u64::from(quotient * divisor != dividend);
            let value = Finite {
                sign,
                exponent: x.exponent - y.exponent - borrow as i32,
                significand: quotient as u64 | sticky,
            };
            round_and_pack::<F>(value, rm, flags)
        }
    }
}

/// The square root of `a`.
pub(super) fn sqrt<F: Format>(a: u64, rm: RoundingMode, flags: &mut u8) -> u64 {
    match unpack::<F>(a) {
        x @ Value::Nan { .. } => propagate_nan::<F>(&[x], flags),
        Value::Zero { .. } | Value::Infinity { sign: false } => a,
        Value::Infinity { sign: true } | Value::Number(Finite { sign: true, .. }) => {
            invalid::<F>(flags)
        }
        Value::Number(x) => {
            // With the exponent made even, a radicand in [2^126, 2^128) has a root of 64 bits.
            let odd = x.exponent & 1;
            let radicand = u128::from(x.significand) << (63 + odd);
            let root = radicand.isqrt();
            let value = Finite {
                sign: false,
                exponent: x.exponent >> 1,
                significand: root as u64 | u64::from(root * root != radicand),
            };
            round_and_pack::<F>(value, rm, flags)
        }
    }
}

/// `a` * `b` + `c`, rounded once.
pub(super) fn fma<F: Format>(a: u64, b: u64, c: u64, rm: RoundingMode, flags: &mut u8) -> u64 {
    use Value::{Infinity, Nan, Number, Zero};
    let product_sign = (a ^ b) & F::SIGN_BIT != 0;
    let z = unpack::<F>(c);
    match (unpack::<F>(a), unpack::<F>(b)) {
        // Invalid even if the addend is a quiet NaN (RISC-V Unprivileged 20.6).
        (Infinity { .. }, Zero { .. }) | (Zero { .. }, Infinity { .. }) => invalid::<F>(flags),
        (x @ Nan { .. }, y) | (x, y @ Nan { .. }) => propagate_nan::<F>(&[x, y, z], flags),
        (Infinity { .. }, _) | (_, Infinity { .. }) => {
            add::<F>(infinity::<F>(product_sign), c, rm, flags)
        }
        (Zero { .. }, _) | (_, Zero { .. }) => add::<F>(sign_bit::<F>(product_sign), c, rm, flags),
        (Number(x), Number(y)) => match z {
            Nan { .. } => propagate_nan::<F>(&[z], flags),
            Infinity { .. } => c,
            Zero { .. } => mul::<F>(a, b, rm, flags),
            Number(z) => pack_sum::<F>(sum(Term::product(x, y), z.into()), rm, flags),
        },
    }
}
