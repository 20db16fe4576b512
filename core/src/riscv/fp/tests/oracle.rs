//! What the results should be, by other means: rustc_apfloat, and exact integers.

use std::ops::RangeInclusive;

use rustc_apfloat::ieee::{Double, IeeeFloat, Semantics, Single};
use rustc_apfloat::{Float, FloatConvert, Round, Status, StatusAnd};

use super::super::format::{Binary32, Binary64, Format};
use super::super::{RoundingMode, flag};

/// An operation that [`arithmetic`] knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
    Fma,
}

/// Single precision with an exponent so wide that nothing overflows or underflows.
pub(super) struct WideSingle;

impl Semantics for WideSingle {
    const BITS: usize = 24 + 15;
    const EXP_BITS: usize = 15;
}

/// Double precision with such an exponent.
pub(super) struct WideDouble;

impl Semantics for WideDouble {
    const BITS: usize = 53 + 15;
    const EXP_BITS: usize = 15;
}

/// A format together with the oracle's types for it.
pub(super) trait OracleFormat: Format {
    type Native: Float + FloatConvert<Self::Wide>;
    /// The same precision without bounds on the exponent.
    type Wide: Float;
}

impl OracleFormat for Binary32 {
    type Native = Single;
    type Wide = IeeeFloat<WideSingle>;
}

impl OracleFormat for Binary64 {
    type Native = Double;
    type Wide = IeeeFloat<WideDouble>;
}

fn round_of(rm: RoundingMode) -> Round {
    match rm {
        RoundingMode::Rne => Round::NearestTiesToEven,
        RoundingMode::Rtz => Round::TowardZero,
        RoundingMode::Rdn => Round::TowardNegative,
        RoundingMode::Rup => Round::TowardPositive,
        RoundingMode::Rmm => Round::NearestTiesToAway,
    }
}

fn is_nan<F: Format>(bits: u64) -> bool {
    bits & !F::SIGN_BIT > F::INFINITY
}

fn is_signaling<F: Format>(bits: u64) -> bool {
    is_nan::<F>(bits) && bits & F::QUIET_BIT == 0
}

fn compute<T: Float>(kind: Arithmetic, [a, b, c]: [T; 3], round: Round) -> StatusAnd<T> {
    match kind {
        Arithmetic::Add => a.add_r(b, round),
        Arithmetic::Sub => a.sub_r(b, round),
        Arithmetic::Mul => a.mul_r(b, round),
        Arithmetic::Div => a.div_r(b, round),
        Arithmetic::Fma => a.mul_add_r(b, c, round),
    }
}

fn widened<F: OracleFormat>(value: F::Native) -> F::Wide {
    let StatusAnd { value, status } = value.convert(&mut false);
    assert_eq!(status, Status::OK);
    value
}

/// The flags of a result, given also the result of the same precision that has no bounds.
///
/// apfloat's own OF and UF are not used: it raises no OF when rounding stops at the largest finite
/// number, and no UF when a tiny result is rounded up to the smallest normal one. The result
/// without bounds on its exponent is what IEEE 754 7.4 and 7.5 (after rounding) define both by.
fn flags_of<F: OracleFormat>(bounded: &StatusAnd<F::Native>, unbounded: F::Wide) -> u8 {
    if bounded.status.contains(Status::INVALID_OP) {
        return flag::NV;
    }
    if bounded.status.contains(Status::DIV_BY_ZERO) {
        return flag::DZ;
    }
    let magnitude = unbounded.abs();
    if magnitude.is_finite() && magnitude > widened::<F>(F::Native::largest()) {
        return flag::OF | flag::NX;
    }
    let inexact = bounded.status.contains(Status::INEXACT);
    let tiny =
        magnitude.is_non_zero() && magnitude < widened::<F>(F::Native::smallest_normalized());
    match (inexact, tiny) {
        (false, _) => 0,
        (true, false) => flag::NX,
        (true, true) => flag::UF | flag::NX,
    }
}

/// The bits and flags of an operation.
pub(super) fn arithmetic<F: OracleFormat>(
    kind: Arithmetic,
    [a, b, c]: [u64; 3],
    rm: RoundingMode,
) -> (u64, u8) {
    let operands = [a, b, if kind == Arithmetic::Fma { c } else { 0 }];
    let infinity_times_zero = |a: u64, b: u64| {
        kind == Arithmetic::Fma && a & !F::SIGN_BIT == F::INFINITY && b & !F::SIGN_BIT == 0
    };
    if operands.iter().any(|&bits| is_nan::<F>(bits)) {
        let invalid = operands.iter().any(|&bits| is_signaling::<F>(bits))
            || infinity_times_zero(a, b)
            || infinity_times_zero(b, a);
        return (F::CANONICAL_NAN, if invalid { flag::NV } else { 0 });
    }
    let native = operands.map(|bits| F::Native::from_bits(bits.into()));
    let bounded = compute(kind, native, round_of(rm));
    let unbounded = compute(kind, native.map(widened::<F>), round_of(rm)).value;
    let flags = flags_of::<F>(&bounded, unbounded);
    if bounded.value.is_nan() {
        return (F::CANONICAL_NAN, flags);
    }
    (bounded.value.to_bits() as u64, flags)
}

/// The bits and flags of a conversion to single precision.
pub(super) fn f32_from_f64(a: u64, rm: RoundingMode) -> (u32, u8) {
    if is_nan::<Binary64>(a) {
        let flags = if is_signaling::<Binary64>(a) {
            flag::NV
        } else {
            0
        };
        return (Binary32::CANONICAL_NAN as u32, flags);
    }
    let value = Double::from_bits(a.into());
    let bounded: StatusAnd<Single> = value.convert_r(round_of(rm), &mut false);
    let unbounded: StatusAnd<IeeeFloat<WideSingle>> = value.convert_r(round_of(rm), &mut false);
    let flags = flags_of::<Binary32>(&bounded, unbounded.value);
    (bounded.value.to_bits() as u32, flags)
}

/// The bits and flags of a conversion to double precision.
pub(super) fn f64_from_f32(a: u32) -> (u64, u8) {
    if is_nan::<Binary32>(a.into()) {
        let signaling = is_signaling::<Binary32>(a.into());
        return (
            Binary64::CANONICAL_NAN,
            if signaling { flag::NV } else { 0 },
        );
    }
    let wide: StatusAnd<Double> = Single::from_bits(a.into()).convert(&mut false);
    (wide.value.to_bits() as u64, 0)
}

/// A finite number as an integer times a power of two.
fn parts<F: Format>(bits: u64) -> (i128, i32) {
    let field = (bits >> F::FRACTION_BITS & F::EXPONENT_MAX) as i32;
    let fraction = i128::from(bits & F::FRACTION_MASK);
    let hidden = if field == 0 { 0 } else { 1 << F::FRACTION_BITS };
    let magnitude = fraction + hidden;
    let exponent = field.max(1) - F::BIAS - F::FRACTION_BITS as i32;
    let negative = bits & F::SIGN_BIT != 0;
    (if negative { -magnitude } else { magnitude }, exponent)
}

/// `value` / 2^`count` rounded to an integer, and whether that was inexact; `count` is below 126.
fn divided_by_power(value: i128, count: u32, rm: RoundingMode) -> (i128, bool) {
    let floor = value >> count;
    let twice_rest = (value - (floor << count)) << 1;
    let unit = 1_i128 << count;
    let up = match rm {
        RoundingMode::Rdn => false,
        RoundingMode::Rup => twice_rest != 0,
        RoundingMode::Rtz => twice_rest != 0 && value < 0,
        RoundingMode::Rne => twice_rest > unit || (twice_rest == unit && floor & 1 == 1),
        RoundingMode::Rmm => twice_rest > unit || (twice_rest == unit && value > 0),
    };
    (floor + i128::from(up), twice_rest != 0)
}

/// A float rounded and saturated to an integer type, and its flags.
pub(super) fn integer_from_float<F: Format>(
    a: u64,
    rm: RoundingMode,
    range: RangeInclusive<i128>,
) -> (i128, u8) {
    if is_nan::<F>(a) {
        return (*range.end(), flag::NV);
    }
    let (mantissa, exponent) = parts::<F>(a);
    let (value, inexact) = match exponent {
        // Infinity, too, looks like a large number.
        65.. => (mantissa << 65, false),
        0..=64 => (mantissa << exponent, false),
        // The mantissa has at most 53 bits: what is below 2^-47 rounds as 2^-47 does.
        _ => divided_by_power(mantissa, exponent.unsigned_abs().min(100), rm),
    };
    let saturated = value.clamp(*range.start(), *range.end());
    match (value == saturated, inexact) {
        (false, _) => (saturated, flag::NV),
        (true, true) => (value, flag::NX),
        (true, false) => (value, 0),
    }
}

/// The integer that `v` becomes when rounded to the format's precision, and the flags of that.
pub(super) fn integer_rounded_to_float<F: Format>(v: i128, rm: RoundingMode) -> (i128, u8) {
    let length = 128 - v.unsigned_abs().leading_zeros();
    let excess = length.saturating_sub(F::FRACTION_BITS + 1);
    let (kept, inexact) = divided_by_power(v, excess, rm);
    (kept << excess, if inexact { flag::NX } else { 0 })
}

/// The integer that a float is; it must be +0 or integral.
pub(super) fn integral_value<F: Format>(bits: u64) -> i128 {
    assert_ne!(bits, F::SIGN_BIT, "-0");
    let (mantissa, exponent) = parts::<F>(bits);
    if exponent >= 0 {
        return mantissa << exponent;
    }
    let (value, inexact) = divided_by_power(
        mantissa,
        exponent.unsigned_abs().min(100),
        RoundingMode::Rtz,
    );
    assert!(!inexact || mantissa == 0, "{bits:#x} is not integral");
    value
}

/// Asserts that `result` is the square root of `a` by squaring it and its neighbours exactly.
pub(super) fn assert_square_root<F: Format>(a: u64, rm: RoundingMode, result: (u64, u8)) {
    let negative = a & F::SIGN_BIT != 0;
    let magnitude = a & !F::SIGN_BIT;
    if magnitude == 0 || a == F::INFINITY {
        assert_eq!(result, (a, 0));
        return;
    }
    if is_nan::<F>(a) || negative {
        let quiet = is_nan::<F>(a) && !is_signaling::<F>(a);
        assert_eq!(result, (F::CANONICAL_NAN, if quiet { 0 } else { flag::NV }));
        return;
    }
    let (radicand, radicand_exponent) = parts::<F>(a);
    let (root, root_exponent) = parts::<F>(result.0);
    assert!(root >= 1 << F::FRACTION_BITS, "a root is never subnormal");
    // In quarters of the root's last place, and sixteenths of its square: all are integers, and
    // the radicand, of twice the root's length, has at most 110 bits.
    let scale = radicand_exponent - 2 * root_exponent + 4;
    assert!((0..=110).contains(&scale), "{a:#x} {result:#x?}");
    let radicand = radicand << scale;
    let root = 4 * root;
    let square = |quarters: i128| quarters * quarters;
    // Below a power of two the numbers lie twice as close.
    let below = if root == 4 << F::FRACTION_BITS { 2 } else { 4 };
    let correct = match rm {
        RoundingMode::Rtz | RoundingMode::Rdn => {
            square(root) <= radicand && radicand < square(root + 4)
        }
        RoundingMode::Rup => square(root - below) < radicand && radicand <= square(root),
        // No root lies midway between two numbers: its square would have too many bits.
        RoundingMode::Rne | RoundingMode::Rmm => {
            square(root - below / 2) < radicand && radicand < square(root + 2)
        }
    };
    assert!(correct, "{a:#x} {rm:?} {result:#x?}");
    let exact = square(root) == radicand;
    assert_eq!(result.1, if exact { 0 } else { flag::NX }, "{a:#x} {rm:?}");
}

/// `eq`, `lt`, `le`, `min`, `max` with their flags, by the order of the bits as integers.
pub(super) fn comparisons<F: Format>(a: u64, b: u64) -> [(u64, u8); 5] {
    let signaling = is_signaling::<F>(a) || is_signaling::<F>(b);
    let quiet_flags = if signaling { flag::NV } else { 0 };
    match (is_nan::<F>(a), is_nan::<F>(b)) {
        (false, false) => {}
        (a_is_nan, b_is_nan) => {
            let number = match (a_is_nan, b_is_nan) {
                (true, true) => F::CANONICAL_NAN,
                (true, false) => b,
                _ => a,
            };
            return [
                (0, quiet_flags),
                (0, flag::NV),
                (0, flag::NV),
                (number, quiet_flags),
                (number, quiet_flags),
            ];
        }
    }
    // Negative numbers fall as their bits rise; -0 comes out just below +0.
    let key = |bits: u64| {
        let magnitude = (bits & !F::SIGN_BIT) as i64;
        if bits & F::SIGN_BIT != 0 {
            -1 - magnitude
        } else {
            magnitude
        }
    };
    let both_zero = (a | b) & !F::SIGN_BIT == 0;
    let (less, equal) = (key(a) < key(b), a == b);
    [
        (u64::from(equal || both_zero), 0),
        (u64::from(less && !both_zero), 0),
        (u64::from(less || equal || both_zero), 0),
        (if less { a } else { b }, 0),
        (if less { b } else { a }, 0),
    ]
}
