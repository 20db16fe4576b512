//! Values on which arithmetic is likely to go wrong.

use crate::random::Random;

const INTEGERS: [u64; 20] = [
    0,
    1,
    2,
    3,
    31,
    32,
    63,
    64,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_8000_0000,
];

/// An integer: special, near to one, of a random width, or random.
pub fn integer(random: &mut Random) -> u64 {
    let special = *random.pick(&INTEGERS);
    match random.below(6) {
        0 => special,
        1 => special.wrapping_neg(),
        2 => special.wrapping_add(random.below(5)).wrapping_sub(2),
        3 => random.bits() >> random.below(64),
        4 => 1 << random.below(64),
        _ => random.bits(),
    }
}

/// Bits of a floating-point number with fields of these widths.
fn float(random: &mut Random, exponent_bits: u32, fraction_bits: u32) -> u64 {
    let exponent_max = (1u64 << exponent_bits) - 1;
    let fraction_max = (1u64 << fraction_bits) - 1;
    let bias = exponent_max >> 1;
    let exponent = match random.below(10) {
        0 => 0,
        1 => exponent_max,
        2 => 1,
        3 => exponent_max - 1,
        // Near each other, so that sums have bits to round; and where integers begin to be inexact.
        4..=6 => bias + random.below(8) - 4,
        7 => bias + u64::from(*random.pick(&[23u32, 24, 30, 31, 32, 52, 53, 62, 63, 64])),
        8 => random.below(u64::from(fraction_bits)) + bias - u64::from(fraction_bits),
        _ => random.bits(),
    } & exponent_max;
    let fraction = match random.below(8) {
        0 => 0,
        1 => 1,
        2 => fraction_max,
        3 => 1 << (fraction_bits - 1),
        4 => random.bits() << random.below(u64::from(fraction_bits)),
        5 => fraction_max - random.below(4),
        _ => random.bits(),
    } & fraction_max;
    let sign = random.bits() & 1;
    sign << (exponent_bits + fraction_bits) | exponent << fraction_bits | fraction
}

/// Bits of a double-precision number, NaNs of both kinds and subnormals included.
pub fn double(random: &mut Random) -> u64 {
    float(random, 11, 52)
}

/// A single-precision number, NaN-boxed.
pub fn boxed_single(random: &mut Random) -> u64 {
    float(random, 8, 23) | 0xffff_ffff << 32
}
