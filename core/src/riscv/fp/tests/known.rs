//! Answers worked out by hand from IEEE 754 and from the RISC-V manual.

use super::super::RoundingMode::{self, Rdn, Rmm, Rne, Rtz, Rup};
use super::super::flag::{DZ, NV, NX, OF, UF};
use super::super::*;

const ONE: u64 = 0x3ff0_0000_0000_0000;
const MINUS_ONE: u64 = 0xbff0_0000_0000_0000;
const TWO: u64 = 0x4000_0000_0000_0000;
const THREE: u64 = 0x4008_0000_0000_0000;
const HALF: u64 = 0x3fe0_0000_0000_0000;
const THIRD: u64 = 0x3fd5_5555_5555_5555;
const TINIEST: u64 = 1;
const MIN_NORMAL: u64 = 0x0010_0000_0000_0000;
const MAX: u64 = 0x7fef_ffff_ffff_ffff;
const INFINITY: u64 = 0x7ff0_0000_0000_0000;
const SIGNALING: u64 = 0x7ff0_0000_0000_0001;
const QUIET: u64 = 0xfff8_0000_0000_1234;
const NAN: u64 = CANONICAL_NAN64;
const ULP: u64 = 1;
const SIGN: u64 = 1 << 63;

#[test]
fn doubles_have_the_known_answers() {
    type Binary = fn(u64, u64, RoundingMode, &mut u8) -> u64;
    let check = |operation: Binary, a, b, rm, expected: (u64, u8)| {
        let mut flags = 0;
        let result = operation(a, b, rm, &mut flags);
        assert_eq!(
            (result, flags),
            expected,
            "{a:#x} {b:#x} {rm:?} {expected:#x?}"
        );
    };
    // Signed zeros.
    check(add64, ONE, MINUS_ONE, Rne, (0, 0));
    check(add64, ONE, MINUS_ONE, Rdn, (SIGN, 0));
    check(add64, 0, SIGN, Rup, (0, 0));
    check(add64, 0, SIGN, Rdn, (SIGN, 0));
    check(add64, SIGN, SIGN, Rup, (SIGN, 0));
    check(sub64, SIGN, 0, Rne, (SIGN, 0));
    check(mul64, SIGN, ONE, Rne, (SIGN, 0));
    check(div64, 0, MINUS_ONE, Rne, (SIGN, 0));
    // NaNs and invalid operations.
    check(add64, QUIET, ONE, Rne, (NAN, 0));
    check(add64, ONE, SIGNALING, Rne, (NAN, NV));
    check(add64, INFINITY, INFINITY | SIGN, Rne, (NAN, NV));
    check(sub64, INFINITY, INFINITY, Rne, (NAN, NV));
    check(mul64, 0, INFINITY, Rne, (NAN, NV));
    check(div64, 0, SIGN, Rne, (NAN, NV));
    check(div64, INFINITY, INFINITY, Rne, (NAN, NV));
    // Division by zero is not raised by an infinity.
    check(div64, MINUS_ONE, 0, Rne, (INFINITY | SIGN, DZ));
    check(div64, INFINITY, 0, Rne, (INFINITY, 0));
    check(div64, ONE, INFINITY, Rne, (0, 0));
    // Rounding: 1/3 = 0.0101…01|01….
    check(div64, ONE, THREE, Rne, (THIRD, NX));
    check(div64, ONE, THREE, Rtz, (THIRD, NX));
    check(div64, ONE, THREE, Rdn, (THIRD, NX));
    check(div64, ONE, THREE, Rup, (THIRD + ULP, NX));
    check(div64, MINUS_ONE, THREE, Rdn, ((THIRD + ULP) | SIGN, NX));
    check(div64, MINUS_ONE, THREE, Rup, (THIRD | SIGN, NX));
    // A tie: 1 + 2^-53.
    let half_ulp = 0x3ca0_0000_0000_0000;
    check(add64, ONE, half_ulp, Rne, (ONE, NX));
    check(add64, ONE + ULP, half_ulp, Rne, (ONE + 2 * ULP, NX));
    check(add64, ONE, half_ulp, Rmm, (ONE + ULP, NX));
    check(
        add64,
        MINUS_ONE,
        half_ulp | SIGN,
        Rmm,
        (MINUS_ONE + ULP, NX),
    );
    check(add64, ONE, TINIEST, Rne, (ONE, NX));
    check(add64, ONE, TINIEST, Rup, (ONE + ULP, NX));
    check(sub64, ONE, TINIEST, Rtz, (ONE - ULP, NX));
    // Overflow: infinity, or the largest number, by the mode and the sign.
    check(mul64, MAX, TWO, Rne, (INFINITY, OF | NX));
    check(mul64, MAX, TWO, Rmm, (INFINITY, OF | NX));
    check(mul64, MAX, TWO, Rtz, (MAX, OF | NX));
    check(mul64, MAX, TWO, Rdn, (MAX, OF | NX));
    check(mul64, MAX | SIGN, TWO, Rdn, (INFINITY | SIGN, OF | NX));
    check(mul64, MAX | SIGN, TWO, Rup, (MAX | SIGN, OF | NX));
    check(add64, MAX, ONE, Rne, (MAX, NX));
    check(add64, MAX, ONE, Rup, (INFINITY, OF | NX));
    // Underflow: only if inexact, and not if rounding reaches the smallest normal number.
    check(mul64, MIN_NORMAL, HALF, Rne, (MIN_NORMAL / 2, 0));
    check(mul64, TINIEST, HALF, Rne, (0, UF | NX));
    check(mul64, TINIEST, HALF, Rmm, (1, UF | NX));
    check(mul64, TINIEST, TINIEST, Rup, (1, UF | NX));
    check(mul64, TINIEST, TINIEST | SIGN, Rup, (SIGN, UF | NX));
    // (1 + 2^-52) × (min normal - tiniest) lies 2^-104 below min normal: not tiny after rounding.
    check(mul64, ONE + ULP, MIN_NORMAL - 1, Rne, (MIN_NORMAL, NX));
    check(
        mul64,
        ONE + ULP,
        MIN_NORMAL - 1,
        Rtz,
        (MIN_NORMAL - 1, UF | NX),
    );
    // (1 - 2^-53) × min normal is representable with one bit more of exponent: tiny, though
    // rounded to the smallest normal number.
    check(mul64, ONE - ULP, MIN_NORMAL, Rne, (MIN_NORMAL, UF | NX));
    check(mul64, ONE - ULP, MIN_NORMAL, Rup, (MIN_NORMAL, UF | NX));
}

#[test]
fn fused_multiply_add_rounds_once() {
    let check = |a, b, c, rm, expected: (u64, u8)| {
        let mut flags = 0;
        let result = fma64(a, b, c, rm, &mut flags);
        assert_eq!((result, flags), expected, "{a:#x} {b:#x} {c:#x} {rm:?}");
    };
    // (1 + u)(1 - u) - 1 = -u², u = 2^-52.
    check(ONE + 1, ONE - 2, MINUS_ONE, Rne, (0xb970_0000_0000_0000, 0));
    check(0, INFINITY, QUIET, Rne, (NAN, NV));
    check(INFINITY, ONE, INFINITY | SIGN, Rne, (NAN, NV));
    check(INFINITY, ONE, QUIET, Rne, (NAN, 0));
    check(ONE, ONE, INFINITY | SIGN, Rne, (INFINITY | SIGN, 0));
    check(MAX, TWO, INFINITY | SIGN, Rne, (INFINITY | SIGN, 0));
    check(MAX, TWO, MAX | SIGN, Rne, (MAX, 0));
    check(ONE, MINUS_ONE, ONE, Rdn, (SIGN, 0));
    check(ONE, MINUS_ONE, ONE, Rne, (0, 0));
    check(0, ONE, SIGN, Rne, (0, 0));
    check(SIGN, ONE, SIGN, Rne, (SIGN, 0));
    check(TINIEST, TINIEST, ONE, Rup, (ONE + 1, NX));
    check(TINIEST, TINIEST | SIGN, 0, Rne, (SIGN, UF | NX));
}

#[test]
fn square_roots_have_the_known_answers() {
    let check = |a, rm, expected: (u64, u8)| {
        let mut flags = 0;
        assert_eq!(
            (sqrt64(a, rm, &mut flags), flags),
            expected,
            "{a:#x} {rm:?}"
        );
    };
    check(0x4010_0000_0000_0000, Rne, (TWO, 0));
    check(TWO, Rne, (0x3ff6_a09e_667f_3bcd, NX));
    check(TWO, Rtz, (0x3ff6_a09e_667f_3bcc, NX));
    check(SIGN, Rne, (SIGN, 0));
    check(MINUS_ONE, Rne, (NAN, NV));
    check(INFINITY | SIGN, Rne, (NAN, NV));
    check(INFINITY, Rne, (INFINITY, 0));
    check(QUIET, Rne, (NAN, 0));
    // The root of 2^-1074 is 2^-537.
    check(TINIEST, Rne, (0x1e60_0000_0000_0000, 0));
}

#[test]
fn integer_conversions_saturate() {
    let check = |a: f64, rm, expected: [(i64, u8); 4]| {
        let bits = a.to_bits();
        let mut flags = [0; 4];
        let results = [
            f64_to_i32(bits, rm, &mut flags[0]).into(),
            f64_to_u32(bits, rm, &mut flags[1]).into(),
            f64_to_i64(bits, rm, &mut flags[2]),
            f64_to_u64(bits, rm, &mut flags[3]) as i64,
        ];
        for index in 0..4 {
            let result = (results[index], flags[index]);
            assert_eq!(result, expected[index], "{a} {rm:?} {index}");
        }
    };
    let (i32_max, u32_max) = (i32::MAX.into(), u32::MAX.into());
    let all_max = [(i32_max, NV), (u32_max, NV), (i64::MAX, NV), (-1, NV)];
    let all_min = [(i32::MIN.into(), NV), (0, NV), (i64::MIN, NV), (0, NV)];
    check(f64::NAN, Rne, all_max);
    check(-f64::NAN, Rtz, all_max);
    check(f64::INFINITY, Rtz, all_max);
    check(1e300, Rdn, all_max);
    check(f64::NEG_INFINITY, Rtz, all_min);
    check(-1e300, Rup, all_min);
    check(-0.0, Rdn, [(0, 0); 4]);
    check(2.5, Rne, [(2, NX); 4]);
    check(3.5, Rne, [(4, NX); 4]);
    check(2.5, Rmm, [(3, NX); 4]);
    check(-0.75, Rtz, [(0, NX); 4]);
    check(-0.5, Rne, [(0, NX); 4]);
    check(-0.5, Rmm, [(-1, NX), (0, NV), (-1, NX), (0, NV)]);
    check(-1.0, Rtz, [(-1, 0), (0, NV), (-1, 0), (0, NV)]);
    let in_i64 = |v: i64| (v, 0);
    check(
        2147483648.0,
        Rtz,
        [
            (i32_max, NV),
            in_i64(1 << 31),
            in_i64(1 << 31),
            in_i64(1 << 31),
        ],
    );
    check(2147483647.5, Rtz, [(i32_max, NX); 4]);
    check(
        9223372036854775808.0,
        Rtz,
        [(i32_max, NV), (u32_max, NV), (i64::MAX, NV), (i64::MIN, 0)],
    );
}

#[test]
fn classes_are_one_bit_each() {
    let doubles = [
        INFINITY | SIGN,
        MINUS_ONE,
        TINIEST | SIGN,
        SIGN,
        0,
        MIN_NORMAL - 1,
        MIN_NORMAL,
        INFINITY,
        SIGNALING,
        QUIET,
    ];
    for (bit, a) in doubles.into_iter().enumerate() {
        assert_eq!(class64(a), 1 << bit, "{a:#x}");
    }
    let singles = [
        0xff80_0000,
        0xff7f_ffff,
        0x807f_ffff,
        0x8000_0000,
        0,
        1,
        0x0080_0000,
        0x7f80_0000,
        0x7fbf_ffff,
        0x7fc0_0000,
    ];
    for (bit, a) in singles.into_iter().enumerate() {
        assert_eq!(class32(a), 1 << bit, "{a:#x}");
    }
}

#[test]
fn signs_are_injected() {
    assert_eq!(sgnj64(ONE, SIGN), MINUS_ONE);
    assert_eq!(sgnjn64(ONE, SIGN), ONE);
    assert_eq!(sgnjn64(ONE, 0), MINUS_ONE);
    assert_eq!(sgnjx64(MINUS_ONE, MINUS_ONE), ONE);
    assert_eq!(sgnjx64(QUIET, 0), QUIET, "a NaN keeps its payload");
    assert_eq!(sgnj32(0x3f80_0000, 0x8000_0000), 0xbf80_0000);
    assert_eq!(sgnjn32(0x3f80_0000, 0x3f80_0000), 0xbf80_0000);
    assert_eq!(sgnjx32(0xbf80_0000, 0x8000_0000), 0x3f80_0000);
}

#[test]
fn narrow_values_are_boxed() {
    assert_eq!(box32(0x3f80_0000), 0xffff_ffff_3f80_0000);
    assert_eq!(unbox32(0xffff_ffff_3f80_0000), 0x3f80_0000);
    assert_eq!(unbox32(0xffff_fffe_3f80_0000), CANONICAL_NAN32);
    assert_eq!(unbox32(0x3f80_0000), CANONICAL_NAN32);
}

#[test]
fn reserved_rounding_modes_are_none() {
    for (bits, mode) in super::MODES.into_iter().enumerate() {
        assert_eq!(RoundingMode::from_bits(bits as u8), Some(mode));
        assert_eq!(mode as usize, bits);
    }
    for bits in 5..=u8::MAX {
        assert_eq!(RoundingMode::from_bits(bits), None);
    }
}
