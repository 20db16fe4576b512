//! The layouts of binary interchange formats, what their bits mean, and the one rounding.

use super::{RoundingMode, flag, raise};

/// A binary interchange format of at most 64 bits (IEEE 754 3.4), as raw bits in a `u64`.
///
/// A narrower format (binary16) is two constants; binary128 would need wider working words too.
pub(super) trait Format {
    /// Bits of the fraction, without the hidden bit. At most 61: sums need two bits below it.
    const FRACTION_BITS: u32;
    /// Bits of the biased exponent.
    const EXPONENT_BITS: u32;

    const BIAS: i32 = (1 << (Self::EXPONENT_BITS - 1)) - 1;
    /// The exponent field of infinities and NaNs.
    const EXPONENT_MAX: u64 = (1 << Self::EXPONENT_BITS) - 1;
    const FRACTION_MASK: u64 = (1 << Self::FRACTION_BITS) - 1;
    const QUIET_BIT: u64 = 1 << (Self::FRACTION_BITS - 1);
    const SIGN_BIT: u64 = 1 << (Self::FRACTION_BITS + Self::EXPONENT_BITS);
    const INFINITY: u64 = Self::EXPONENT_MAX << Self::FRACTION_BITS;
    const CANONICAL_NAN: u64 = Self::INFINITY | Self::QUIET_BIT;
}

/// Single precision.
pub(super) struct Binary32;

impl Format for Binary32 {
    const FRACTION_BITS: u32 = 23;
    const EXPONENT_BITS: u32 = 8;
}

/// Double precision.
pub(super) struct Binary64;

impl Format for Binary64 {
    const FRACTION_BITS: u32 = 52;
    const EXPONENT_BITS: u32 = 11;
}

/// What the bits of some format mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Value {
    Nan { signaling: bool },
    Infinity { sign: bool },
    Zero { sign: bool },
    Number(Finite),
}

/// A finite number other than zero: `significand` * 2^(`exponent` - 63), with the significand's
/// bit 63 set.
///
/// As an unrounded result, bit 0 of the significand is sticky: it stands for everything below.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Finite {
    pub(super) sign: bool,
    pub(super) exponent: i32,
    pub(super) significand: u64,
}

impl Finite {
    /// The number whose magnitude is `magnitude` (not zero) with bit 127 weighing
    /// 2^`exponent`, cut to 64 bits with a sticky bit.
    #[inline]
    pub(super) fn from_wide(sign: bool, exponent: i32, magnitude: u128) -> Self {
        let zeros = magnitude.leading_zeros();
        let normal = magnitude << zeros;
        Self {
            sign,
            exponent: exponent - zeros as i32,
            significand: (normal >> 64) as u64 | u64::from(normal as u64 != 0),
        }
    }
}

/// Whether `bits` are a normal number: neither zero, subnormal, infinite nor NaN.
#[inline]
pub(super) fn is_normal<F: Format>(bits: u64) -> bool {
    let field = (bits >> F::FRACTION_BITS) & F::EXPONENT_MAX;
    field.wrapping_sub(1) < F::EXPONENT_MAX - 1
}

/// What `bits` mean.
pub(super) fn unpack<F: Format>(bits: u64) -> Value {
    let sign = bits & F::SIGN_BIT != 0;
    let field = (bits >> F::FRACTION_BITS) & F::EXPONENT_MAX;
    let fraction = bits & F::FRACTION_MASK;
    if field == F::EXPONENT_MAX {
        return match fraction {
            0 => Value::Infinity { sign },
            _ => Value::Nan {
                signaling: fraction & F::QUIET_BIT == 0,
            },
        };
    }
    if field != 0 {
        let significand = fraction | (1 << F::FRACTION_BITS);
        return Value::Number(Finite {
            sign,
            exponent: field as i32 - F::BIAS,
            significand: significand << (63 - F::FRACTION_BITS),
        });
    }
    if fraction == 0 {
        return Value::Zero { sign };
    }
    let zeros = fraction.leading_zeros();
    Value::Number(Finite {
        sign,
        // Subnormals share the smallest normal exponent, whose hidden bit would be the leading one
        // if only 63 - FRACTION_BITS zeros stood before it.
        exponent: 1 - F::BIAS - (zeros - (63 - F::FRACTION_BITS)) as i32,
        significand: fraction << zeros,
    })
}

/// The sign bit of the format, set if `sign`.
#[inline]
pub(super) fn sign_bit<F: Format>(sign: bool) -> u64 {
    if sign { F::SIGN_BIT } else { 0 }
}

/// `value` with what is shifted out collected in bit 0.
#[inline]
fn shift_right_sticky(value: u64, count: u32) -> u64 {
    match count {
        0 => value,
        1..=63 => (value >> count) | u64::from(value << (64 - count) != 0),
        _ => u64::from(value != 0),
    }
}

/// Rounds an exact (or sticky) result to the format, raising OF, UF and NX as due.
#[inline]
pub(super) fn round_and_pack<F: Format>(value: Finite, rm: RoundingMode, flags: &mut u8) -> u64 {
    let Finite {
        sign,
        exponent,
        mut significand,
    } = value;
    let dropped_bits = 63 - F::FRACTION_BITS;
    let rounded = |significand: u64| {
        let kept = significand >> dropped_bits;
        let fraction = significand << (64 - dropped_bits);
        let up = rm.rounds_magnitude_up(sign, kept & 1 != 0, fraction);
        (kept + u64::from(up), fraction != 0)
    };
    let mut biased = exponent + F::BIAS;
    let mut tiny = false;
    if biased < 1 {
        // Tiny after rounding: still below the smallest normal number when rounded to full
        // precision as though the exponent had no lower bound. Just below it, rounding may carry
        // into it, and then no underflow is raised even though fewer bits are kept.
        tiny = biased < 0 || rounded(significand).0 >> (F::FRACTION_BITS + 1) == 0;
        significand = shift_right_sticky(significand, (1 - biased) as u32);
        biased = 1;
    }
    let (kept, inexact) = rounded(significand);
    // The hidden bit, or a carry out of rounding, is added into the exponent field; without a
    // hidden bit the field of a subnormal, 0, is left.
    let magnitude = ((biased as u64 - 1) << F::FRACTION_BITS) + kept;
    if magnitude >= F::INFINITY {
        raise(flag::OF | flag::NX, flags);
        let finite = u64::from(!rm.overflows_to_infinity(sign));
        return sign_bit::<F>(sign) | (F::INFINITY - finite);
    }
    if inexact {
        raise(if tiny { flag::UF | flag::NX } else { flag::NX }, flags);
    }
    sign_bit::<F>(sign) | magnitude
}
