//! The arithmetic against known answers, against another implementation, and its two paths
//! against each other.

mod known;
mod operands;
mod oracle;

use super::format::{Binary32, Binary64, Format};
use super::{RoundingMode, flag, soft};
use super::{add32, add64, div32, div64, fma32, fma64, mul32, mul64, sqrt32, sqrt64, sub32, sub64};
use super::{f32_to_f64, f64_to_f32};
use operands::Operands;
use oracle::OracleFormat;

const MODES: [RoundingMode; 5] = [
    RoundingMode::Rne,
    RoundingMode::Rtz,
    RoundingMode::Rdn,
    RoundingMode::Rup,
    RoundingMode::Rmm,
];

/// Flags accrued before an operation: they choose between fast paths and must be kept.
const ACCRUED: [u8; 4] = [0, flag::NX, flag::NV | flag::DZ, 31];

/// One operation of both paths; unused operands are ignored.
struct Operation {
    name: &'static str,
    kind: oracle::Arithmetic,
    public: fn(u64, u64, u64, RoundingMode, &mut u8) -> u64,
    soft: fn(u64, u64, u64, RoundingMode, &mut u8) -> u64,
}

macro_rules! operations {
    ($format:ty, $bits:ty, $add:ident $sub:ident $mul:ident $div:ident $fma:ident) => {
        [
            Operation {
                name: stringify!($add),
                kind: oracle::Arithmetic::Add,
                public: |a, b, _, rm, flags| $add(a as $bits, b as $bits, rm, flags).into(),
                soft: |a, b, _, rm, flags| soft::add::<$format>(a, b, rm, flags),
            },
            Operation {
                name: stringify!($sub),
                kind: oracle::Arithmetic::Sub,
                public: |a, b, _, rm, flags| $sub(a as $bits, b as $bits, rm, flags).into(),
                soft: |a, b, _, rm, flags| {
                    soft::add::<$format>(a, b ^ <$format>::SIGN_BIT, rm, flags)
                },
            },
            Operation {
                name: stringify!($mul),
                kind: oracle::Arithmetic::Mul,
                public: |a, b, _, rm, flags| $mul(a as $bits, b as $bits, rm, flags).into(),
                soft: |a, b, _, rm, flags| soft::mul::<$format>(a, b, rm, flags),
            },
            Operation {
                name: stringify!($div),
                kind: oracle::Arithmetic::Div,
                public: |a, b, _, rm, flags| $div(a as $bits, b as $bits, rm, flags).into(),
                soft: |a, b, _, rm, flags| soft::div::<$format>(a, b, rm, flags),
            },
            Operation {
                name: stringify!($fma),
                kind: oracle::Arithmetic::Fma,
                public: |a, b, c, rm, flags| {
                    $fma(a as $bits, b as $bits, c as $bits, rm, flags).into()
                },
                soft: |a, b, c, rm, flags| soft::fma::<$format>(a, b, c, rm, flags),
            },
        ]
    };
}

const OPERATIONS32: [Operation; 5] = operations!(Binary32, u32, add32 sub32 mul32 div32 fma32);
const OPERATIONS64: [Operation; 5] = operations!(Binary64, u64, add64 sub64 mul64 div64 fma64);

/// Checks one operation on one set of operands: both paths, all modes, several accrued flags.
fn check_arithmetic<F: OracleFormat>(operation: &Operation, [a, b, c]: [u64; 3]) {
    for rm in MODES {
        let expected = oracle::arithmetic::<F>(operation.kind, [a, b, c], rm);
        let mut flags = 0;
        let result = (operation.soft)(a, b, c, rm, &mut flags);
        let shown = || {
            format!(
                "{} {a:#x} {b:#x} {c:#x} {rm:?}: {expected:#x?}",
                operation.name
            )
        };
        assert_eq!((result, flags), expected, "soft {}", shown());
        for accrued in ACCRUED {
            let mut flags = accrued;
            let result = (operation.public)(a, b, c, rm, &mut flags);
            let expected = (expected.0, expected.1 | accrued);
            assert_eq!((result, flags), expected, "{accrued:#x} {}", shown());
        }
    }
}

fn check_random_arithmetic<F: OracleFormat>(seed: u64, operations: &[Operation], rounds: u32) {
    let mut operands = Operands::<F>::new(seed);
    for _ in 0..rounds {
        for operation in operations {
            check_arithmetic::<F>(operation, operands.triple(operation.kind));
        }
    }
}

fn check_special_arithmetic<F: OracleFormat>(operations: &[Operation]) {
    let special = operands::special::<F>();
    for &a in &special {
        for &b in &special {
            for operation in operations {
                if operation.kind != oracle::Arithmetic::Fma {
                    check_arithmetic::<F>(operation, [a, b, 0]);
                    continue;
                }
                for &c in special.iter().step_by(3) {
                    check_arithmetic::<F>(operation, [a, b, c]);
                }
            }
        }
    }
}

#[test]
fn special_operands_agree_with_the_oracle() {
    check_special_arithmetic::<Binary32>(&OPERATIONS32);
    check_special_arithmetic::<Binary64>(&OPERATIONS64);
}

#[test]
fn random_singles_agree_with_the_oracle() {
    check_random_arithmetic::<Binary32>(1, &OPERATIONS32, 200_000);
}

#[test]
fn random_doubles_agree_with_the_oracle() {
    check_random_arithmetic::<Binary64>(2, &OPERATIONS64, 200_000);
}

/// Far more operands than the oracle has time for.
#[test]
fn fast_paths_agree_with_the_integer_path() {
    fn check<F: Format>(seed: u64, operations: &[Operation]) {
        let mut operands = Operands::<F>::new(seed);
        for _ in 0..1_500_000 {
            for operation in operations {
                let [a, b, c] = operands.triple(operation.kind);
                for accrued in [0, flag::NX] {
                    let (mut expected, mut flags) = (accrued, accrued);
                    let soft = (operation.soft)(a, b, c, RoundingMode::Rne, &mut expected);
                    let fast = (operation.public)(a, b, c, RoundingMode::Rne, &mut flags);
                    assert_eq!(
                        (fast, flags),
                        (soft, expected),
                        "{} {a:#x} {b:#x} {c:#x} {accrued}",
                        operation.name
                    );
                }
            }
        }
    }
    check::<Binary32>(3, &OPERATIONS32);
    check::<Binary64>(4, &OPERATIONS64);
}

#[test]
fn square_roots_are_exact() {
    fn check<F: Format>(
        public: fn(u64, RoundingMode, &mut u8) -> u64,
        values: impl Iterator<Item = u64>,
    ) {
        for a in values {
            for rm in MODES {
                let mut flags = 0;
                let result = soft::sqrt::<F>(a, rm, &mut flags);
                oracle::assert_square_root::<F>(a, rm, (result, flags));
                for accrued in ACCRUED {
                    let mut all_flags = accrued;
                    let fast = public(a, rm, &mut all_flags);
                    assert_eq!(
                        (fast, all_flags),
                        (result, flags | accrued),
                        "{a:#x} {rm:?}"
                    );
                }
            }
        }
    }
    let (mut singles, mut doubles) = (Operands::<Binary32>::new(5), Operands::<Binary64>::new(6));
    check::<Binary32>(
        |a, rm, flags| sqrt32(a as u32, rm, flags).into(),
        operands::special::<Binary32>()
            .into_iter()
            .chain((0..200_000).map(|_| singles.square_or_any())),
    );
    check::<Binary64>(
        sqrt64,
        operands::special::<Binary64>()
            .into_iter()
            .chain((0..200_000).map(|_| doubles.square_or_any())),
    );
}

#[test]
fn conversions_between_formats_agree_with_the_oracle() {
    let mut operands = Operands::<Binary64>::new(7);
    for round in 0..500_000 {
        let a = operands.near_single(round);
        for rm in MODES {
            let (bits, raised) = oracle::f32_from_f64(a, rm);
            for accrued in ACCRUED {
                let mut flags = accrued;
                let result = f64_to_f32(a, rm, &mut flags);
                assert_eq!((result, flags), (bits, raised | accrued), "{a:#x} {rm:?}");
            }
        }
    }
    let mut operands = Operands::<Binary32>::new(8);
    for _ in 0..500_000 {
        let a = operands.any() as u32;
        let mut flags = 0;
        let result = f32_to_f64(a, &mut flags);
        assert_eq!((result, flags), oracle::f64_from_f32(a), "{a:#x}");
    }
}

macro_rules! check_to_integers {
    ($format:ty, $bits:ty, $a:expr, $rm:expr, $($name:ident $int:ty),*) => {$(
        let range = <$int>::MIN.into()..=<$int>::MAX.into();
        let (expected, raised) = oracle::integer_from_float::<$format>($a, $rm, range);
        for accrued in ACCRUED {
            let mut flags = accrued;
            let result = super::$name($a as $bits, $rm, &mut flags);
            assert_eq!(
                (i128::from(result), flags),
                (expected, raised | accrued),
                "{} {:#x} {:?}", stringify!($name), $a, $rm
            );
        }
    )*};
}

#[test]
fn conversions_to_integers_are_exact() {
    let (mut singles, mut doubles) = (Operands::<Binary32>::new(9), Operands::<Binary64>::new(10));
    for _ in 0..100_000 {
        let (a, b) = (singles.near_integer(), doubles.near_integer());
        for rm in MODES {
            check_to_integers!(Binary32, u32, a, rm,
                f32_to_i32 i32, f32_to_u32 u32, f32_to_i64 i64, f32_to_u64 u64);
            check_to_integers!(Binary64, u64, b, rm,
                f64_to_i32 i32, f64_to_u32 u32, f64_to_i64 i64, f64_to_u64 u64);
        }
    }
}

macro_rules! check_from_integers {
    ($v:expr, $rm:expr, $($name:ident $int:ty => $format:ty),*) => {$(
        let v = $v as $int;
        for accrued in ACCRUED {
            let mut flags = accrued;
            let result = super::$name(v, $rm, &mut flags);
            let (expected, raised) =
                oracle::integer_rounded_to_float::<$format>(v.into(), $rm);
            assert_eq!(
                (oracle::integral_value::<$format>(result.into()), flags),
                (expected, raised | accrued),
                "{} {v:#x} {:?}", stringify!($name), $rm
            );
        }
    )*};
}

#[test]
fn conversions_from_integers_are_exact() {
    let mut operands = Operands::<Binary64>::new(11);
    for _ in 0..100_000 {
        let v = operands.integer();
        for rm in MODES {
            check_from_integers!(v, rm,
                i32_to_f32 i32 => Binary32, u32_to_f32 u32 => Binary32,
                i64_to_f32 i64 => Binary32, u64_to_f32 u64 => Binary32,
                i32_to_f64 i32 => Binary64, u32_to_f64 u32 => Binary64,
                i64_to_f64 i64 => Binary64, u64_to_f64 u64 => Binary64);
        }
    }
}

macro_rules! check_comparisons {
    ($format:ty, $bits:ty, $a:expr, $b:expr,
     $eq:ident $lt:ident $le:ident $min:ident $max:ident) => {
        let (a, b) = ($a, $b);
        let expected = oracle::comparisons::<$format>(a, b);
        let (x, y) = (a as $bits, b as $bits);
        let with_flags = |operation: &dyn Fn(&mut u8) -> u64| {
            let mut flags = 0;
            (operation(&mut flags), flags)
        };
        let result = [
            with_flags(&|flags| super::$eq(x, y, flags).into()),
            with_flags(&|flags| super::$lt(x, y, flags).into()),
            with_flags(&|flags| super::$le(x, y, flags).into()),
            with_flags(&|flags| super::$min(x, y, flags).into()),
            with_flags(&|flags| super::$max(x, y, flags).into()),
        ];
        assert_eq!(result, expected, "{a:#x} {b:#x}");
    };
}

#[test]
fn comparisons_follow_the_order_of_the_bits() {
    for a in operands::special::<Binary32>() {
        for b in operands::special::<Binary32>() {
            check_comparisons!(Binary32, u32, a, b, eq32 lt32 le32 min32 max32);
        }
    }
    for a in operands::special::<Binary64>() {
        for b in operands::special::<Binary64>() {
            check_comparisons!(Binary64, u64, a, b, eq64 lt64 le64 min64 max64);
        }
    }
    let (mut singles, mut doubles) = (Operands::<Binary32>::new(12), Operands::<Binary64>::new(13));
    for _ in 0..300_000 {
        let [a, b, _] = singles.triple(oracle::Arithmetic::Sub);
        check_comparisons!(Binary32, u32, a, b, eq32 lt32 le32 min32 max32);
        let [a, b, _] = doubles.triple(oracle::Arithmetic::Sub);
        check_comparisons!(Binary64, u64, a, b, eq64 lt64 le64 min64 max64);
    }
}
