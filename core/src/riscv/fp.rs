//! IEEE 754 arithmetic of the F and D extensions: the only floating point in the core.
//!
//! Values are raw bits. Every operation returns the correctly rounded result, with NaNs in their
//! canonical form, and adds exactly the exceptions that RISC-V raises to the accrued `flags`
//! ([`flag`], laid out as in `fflags`). Tininess is detected after rounding
//! (RISC-V Unprivileged 20.4, Subnormal Arithmetic).
//!
//! # Code map
//! - `single`, `double`: the arithmetic that instructions call. It runs on the host's floating
//!   point where that provably gives the same bits and the same flags, and in `soft` elsewhere.
//! - `convert`, `compare`: conversions; comparisons, classification and sign injection.
//! - `soft`: exact integer arithmetic over `format`, which holds the layouts and the rounding.
//!
//! # Why the host's floating point is deterministic here
//! Only `+ - * /`, square root, comparisons and conversions are used, which Rust defines as the
//! IEEE operations rounded to nearest, with subnormals, on x86-64 and on wasm32 alike. The one
//! thing left open is which NaN comes out, so a NaN from the host is never passed on: `soft`
//! redoes the operation. `mul_add` is not used, because without a fused instruction it calls a
//! library.

mod compare;
mod convert;
mod double;
mod format;
mod single;
mod soft;
#[cfg(test)]
mod tests;

pub use compare::{
    box32, class32, class64, eq32, eq64, le32, le64, lt32, lt64, max32, max64, min32, min64,
    sgnj32, sgnj64, sgnjn32, sgnjn64, sgnjx32, sgnjx64, unbox32,
};
pub use convert::{
    f32_to_f64, f32_to_i32, f32_to_i64, f32_to_u32, f32_to_u64, f64_to_f32, f64_to_i32, f64_to_i64,
    f64_to_u32, f64_to_u64, i32_to_f32, i32_to_f64, i64_to_f32, i64_to_f64, u32_to_f32, u32_to_f64,
    u64_to_f32, u64_to_f64,
};
pub use double::{add64, div64, fma64, mul64, sqrt64, sub64};
pub use single::{add32, div32, fma32, mul32, sqrt32, sub32};

/// The NaN that every binary32 operation with a NaN result returns.
pub const CANONICAL_NAN32: u32 = 0x7fc0_0000;

/// The NaN that every binary64 operation with a NaN result returns.
pub const CANONICAL_NAN64: u64 = 0x7ff8_0000_0000_0000;

/// The accrued exceptions, as bits of `fflags`
/// (RISC-V Unprivileged 20.2, Floating-Point Control and Status Register).
pub mod flag {
    /// Inexact: the result was rounded.
    pub const NX: u8 = 1;
    /// Underflow: the result was rounded, and is tiny after rounding.
    pub const UF: u8 = 2;
    /// Overflow: the rounded result is beyond the largest finite number.
    pub const OF: u8 = 4;
    /// Divide by zero: an exact infinity from finite operands.
    pub const DZ: u8 = 8;
    /// Invalid operation: no useful result exists, or an operand is a signaling NaN.
    pub const NV: u8 = 16;
}

/// A rounding mode, with the encoding of `frm` and of an instruction's `rm` field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RoundingMode {
    /// To nearest, ties to even.
    Rne = 0,
    /// Towards zero.
    Rtz = 1,
    /// Down, towards minus infinity.
    Rdn = 2,
    /// Up, towards plus infinity.
    Rup = 3,
    /// To nearest, ties away from zero.
    Rmm = 4,
}

impl RoundingMode {
    /// The mode that `bits` encode; `None` for the reserved values and for 7 (dynamic), which
    /// the caller replaces by `frm` first.
    #[inline]
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::Rne),
            1 => Some(Self::Rtz),
            2 => Some(Self::Rdn),
            3 => Some(Self::Rup),
            4 => Some(Self::Rmm),
            _ => None,
        }
    }

    /// Whether a magnitude goes up to the next one when it loses `fraction` / 2^64 of its last
    /// place; `odd` says whether that last place is odd.
    #[inline]
    fn rounds_magnitude_up(self, sign: bool, odd: bool, fraction: u64) -> bool {
        const HALF: u64 = 1 << 63;
        // It goes up if the fraction and this carry out of 64 bits. No branch depends on the
        // fraction, as the host could not predict it.
        let increment = match self {
            Self::Rne => HALF - 1 + u64::from(odd),
            Self::Rtz => 0,
            Self::Rdn => u64::from(sign).wrapping_neg(),
            Self::Rup => u64::from(!sign).wrapping_neg(),
            Self::Rmm => HALF,
        };
        fraction.overflowing_add(increment).1
    }

    /// Whether a magnitude beyond the largest finite number becomes infinity.
    #[inline]
    fn overflows_to_infinity(self, sign: bool) -> bool {
        self.rounds_magnitude_up(sign, true, u64::MAX)
    }
}

/// Adds `raised` to the accrued exceptions.
///
/// In the long run all of them are there already. Then nothing is stored, so that the next
/// operation need not wait for this one.
#[inline]
fn raise(raised: u8, flags: &mut u8) {
    if *flags & raised != raised {
        *flags |= raised;
    }
}
