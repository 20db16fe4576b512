//! Operands that reach the corners: special values, structured fractions, exponents near the
//! bounds, and operands chosen to cancel or to meet a bound together.

use std::marker::PhantomData;

use super::super::format::Format;
use super::oracle::Arithmetic;

/// Values at which something changes, of both signs.
pub(super) fn special<F: Format>() -> Vec<u64> {
    let one = (F::BIAS as u64) << F::FRACTION_BITS;
    let min_normal = 1 << F::FRACTION_BITS;
    let positive = [
        0,
        1,
        2,
        3,
        min_normal / 2,
        min_normal - 2,
        min_normal - 1,
        min_normal,
        min_normal + 1,
        2 * min_normal - 1,
        2 * min_normal,
        one - min_normal - 1,
        one - min_normal,
        one - 1,
        one,
        one + 1,
        one + min_normal / 2,
        one + min_normal - 1,
        one + min_normal,
        one + F::FRACTION_BITS as u64 * min_normal,
        F::INFINITY - min_normal,
        F::INFINITY - 2,
        F::INFINITY - 1,
        F::INFINITY,
        F::CANONICAL_NAN,
        F::CANONICAL_NAN | 1,
        F::INFINITY | 1,
        F::INFINITY | F::QUIET_BIT >> 1,
    ];
    let negative = positive.map(|bits| bits | F::SIGN_BIT);
    positive.into_iter().chain(negative).collect()
}

/// A deterministic stream of operands of one format.
pub(super) struct Operands<F> {
    state: u64,
    special: Vec<u64>,
    format: PhantomData<F>,
}

impl<F: Format> Operands<F> {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            state: seed,
            special: special::<F>(),
            format: PhantomData,
        }
    }

    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random() % bound
    }

    fn small_offset(&mut self, reach: u64) -> i64 {
        self.below(2 * reach + 1) as i64 - reach as i64
    }

    fn sign(&mut self) -> u64 {
        self.random() & F::SIGN_BIT
    }

    /// A fraction: random, short, or long runs of equal bits.
    fn fraction(&mut self) -> u64 {
        let random = self.random();
        let position = self.below(u64::from(F::FRACTION_BITS) + 1);
        let bits = match self.below(6) {
            0 | 1 => random,
            2 => random << position,
            3 => u64::MAX << position,
            4 => (1 << position) ^ (random & 3),
            _ => ((1 << position) - 1) ^ (random & 3),
        };
        bits & F::FRACTION_MASK
    }

    fn with_exponent(&mut self, field: i64) -> u64 {
        let field = field.clamp(0, F::EXPONENT_MAX as i64 - 1) as u64;
        self.sign() | field << F::FRACTION_BITS | self.fraction()
    }

    /// Any value.
    pub(super) fn any(&mut self) -> u64 {
        let field = match self.below(8) {
            0 => {
                let index = self.below(self.special.len() as u64);
                return self.special[index as usize];
            }
            1 => self.below(4) as i64,
            2 => F::EXPONENT_MAX as i64 - 1 - self.below(4) as i64,
            3 | 4 => i64::from(F::BIAS) + self.small_offset(u64::from(F::FRACTION_BITS) + 3),
            _ => self.below(F::EXPONENT_MAX) as i64,
        };
        self.with_exponent(field)
    }

    fn field_of(bits: u64) -> i64 {
        (bits >> F::FRACTION_BITS & F::EXPONENT_MAX) as i64
    }

    /// `bits` some units in the last place away, and perhaps negated.
    fn neighbour(&mut self, bits: u64) -> u64 {
        let moved = (bits & !F::SIGN_BIT).wrapping_add_signed(self.small_offset(3));
        (moved & !F::SIGN_BIT) | self.sign()
    }

    /// The exponent field that a product should have: near the bounds, or anywhere.
    fn target_field(&mut self) -> i64 {
        match self.below(4) {
            0 => self.small_offset(3),
            1 => F::EXPONENT_MAX as i64 - 1 + self.small_offset(2),
            2 => -(self.below(u64::from(F::FRACTION_BITS) + 3) as i64),
            _ => self.below(F::EXPONENT_MAX) as i64,
        }
    }

    /// Operands for an operation, related so that they cancel, overflow or underflow often.
    pub(super) fn triple(&mut self, kind: Arithmetic) -> [u64; 3] {
        let a = self.any();
        if self.below(4) == 0 {
            return [a, self.any(), self.any()];
        }
        let field = Self::field_of(a);
        let bias = i64::from(F::BIAS);
        let precision = u64::from(F::FRACTION_BITS) + 3;
        match kind {
            Arithmetic::Add | Arithmetic::Sub => {
                let b = match self.below(3) {
                    0 => self.neighbour(a),
                    1 => {
                        let offset = self.small_offset(2);
                        self.with_exponent(field + offset)
                    }
                    _ => {
                        let offset = self.small_offset(precision);
                        self.with_exponent(field + offset)
                    }
                };
                [a, b, 0]
            }
            Arithmetic::Mul => {
                let target = self.target_field();
                [a, self.with_exponent(target - field + bias), 0]
            }
            Arithmetic::Div => {
                let target = self.target_field();
                [a, self.with_exponent(field - target + bias), 0]
            }
            Arithmetic::Fma => {
                let target = self.target_field();
                let b = self.with_exponent(target - field + bias);
                let product = field + Self::field_of(b) - bias;
                let c = match self.below(4) {
                    // The rounded product or a neighbour of it, so that the sum cancels.
                    0 | 1 => {
                        let rm = super::RoundingMode::Rtz;
                        let product = super::soft::mul::<F>(a, b, rm, &mut 0);
                        self.neighbour(product)
                    }
                    2 => {
                        let offset = self.small_offset(2 * precision);
                        self.with_exponent(product + offset)
                    }
                    _ => self.any(),
                };
                [a, b, c]
            }
        }
    }

    /// Any value, or a square or a neighbour of one.
    pub(super) fn square_or_any(&mut self) -> u64 {
        let a = self.any();
        if self.below(2) == 0 {
            return a;
        }
        let short = a & !(F::FRACTION_MASK >> (F::FRACTION_BITS / 2));
        let square = super::soft::mul::<F>(short, short, super::RoundingMode::Rne, &mut 0);
        square.wrapping_add_signed(self.small_offset(1)) & !F::SIGN_BIT
    }

    /// Values around the bounds of the integer types, and around halves of integers.
    pub(super) fn near_integer(&mut self) -> u64 {
        if self.below(4) == 0 {
            return self.any();
        }
        let field = i64::from(F::BIAS) + self.below(68) as i64 - 3;
        let bits = self.with_exponent(field);
        match self.below(3) {
            0 => self.neighbour(bits & !F::FRACTION_MASK),
            1 => {
                // Few bits after the point.
                let kept = (field - i64::from(F::BIAS) + 2).clamp(0, F::FRACTION_BITS.into());
                bits & !(F::FRACTION_MASK >> kept)
            }
            _ => bits,
        }
    }

    /// An integer of any length, often of few bits, or with its last ones near a tie.
    pub(super) fn integer(&mut self) -> u64 {
        let random = self.random();
        let length = self.below(64);
        let tail = self.below(length + 1);
        let magnitude = match self.below(3) {
            0 => random >> length,
            1 => (random >> length) & (u64::MAX << tail),
            _ => (u64::MAX >> length).wrapping_add_signed(self.small_offset(3)),
        };
        if self.random() & 1 == 0 {
            magnitude
        } else {
            magnitude.wrapping_neg()
        }
    }
}

impl Operands<super::Binary64> {
    /// A double around a single precision value or a midpoint between two, or any double.
    pub(super) fn near_single(&mut self, round: u32) -> u64 {
        if round.is_multiple_of(4) {
            return self.any();
        }
        let target = match self.below(3) {
            0 => 1023 - 127 + self.small_offset(26),
            1 => 1023 + 127 + self.small_offset(2),
            _ => 1023 + self.small_offset(160),
        };
        let bits = self.with_exponent(target);
        let kept = self.below(27);
        let short = bits & !(0x000f_ffff_ffff_ffff_u64 >> kept);
        short.wrapping_add_signed(self.small_offset(1))
    }
}
