//! Finds the few rows of the table that a word can match, without looking at the rest.
//!
//! Most words are told apart by opcode and funct3. The floating-point operations under `OP-FP` hold
//! a rounding mode there, so that they go by funct7 instead. The index is built at compile time.

use super::{ENCODINGS, Op};

/// `OP-FP` in bits 6:2.
const OP_FP: u32 = 0b10100;
/// One bucket for each opcode (bits 6:2) and funct3.
const BY_FUNCT3: usize = 32 * 8;
/// One more for each funct7 of `OP-FP`.
const BUCKETS: usize = BY_FUNCT3 + 128;

/// The candidates of all buckets one after the other, and where each bucket starts.
struct Index<const N: usize> {
    starts: [u16; BUCKETS + 1],
    candidates: [Op; N],
}

static INDEX: Index<{ candidate_count() }> = build();

/// The instructions that `word`, of which the low two bits are `0b11`, may be.
pub(super) fn candidates(word: u32) -> &'static [Op] {
    let bucket = bucket_of(word);
    let start = usize::from(INDEX.starts[bucket]);
    let end = usize::from(INDEX.starts[bucket + 1]);
    &INDEX.candidates[start..end]
}

fn bucket_of(word: u32) -> usize {
    let opcode = word >> 2 & 0x1f;
    if opcode == OP_FP {
        BY_FUNCT3 + (word >> 25) as usize
    } else {
        (opcode << 3 | (word >> 12 & 7)) as usize
    }
}

/// The bits that all words of a bucket share: their value and their mask.
const fn bucket_pattern(bucket: usize) -> (u32, u32) {
    if bucket < BY_FUNCT3 {
        let bucket = bucket as u32;
        (bucket >> 3 << 2 | (bucket & 7) << 12 | 0b11, 0x0000_707f)
    } else {
        (
            ((bucket - BY_FUNCT3) as u32) << 25 | OP_FP << 2 | 0b11,
            0xfe00_007f,
        )
    }
}

/// Whether some word of the bucket is the instruction of this row.
const fn may_match(row: usize, pattern: (u32, u32)) -> bool {
    let row = &ENCODINGS[row];
    (row.match_bits ^ pattern.0) & row.mask & pattern.1 == 0
}

const fn candidate_count() -> usize {
    let mut count = 0;
    let mut bucket = 0;
    while bucket < BUCKETS {
        let pattern = bucket_pattern(bucket);
        let mut row = 0;
        while row < ENCODINGS.len() {
            if may_match(row, pattern) {
                count += 1;
            }
            row += 1;
        }
        bucket += 1;
    }
    count
}

const fn build<const N: usize>() -> Index<N> {
    let mut index = Index {
        starts: [0; BUCKETS + 1],
        candidates: [ENCODINGS[0].op; N],
    };
    let mut filled = 0;
    let mut bucket = 0;
    while bucket < BUCKETS {
        let pattern = bucket_pattern(bucket);
        let mut row = 0;
        while row < ENCODINGS.len() {
            if may_match(row, pattern) {
                index.candidates[filled] = ENCODINGS[row].op;
                filled += 1;
            }
            row += 1;
        }
        bucket += 1;
        index.starts[bucket] = filled as u16;
    }
    index
}
