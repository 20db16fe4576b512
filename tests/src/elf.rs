//! A writer of static ELF executables that holds no more than a loader needs.

const HEADER_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: usize = 56;
const PAGE: usize = 4096;
const ET_EXEC: u16 = 2;
const EM_RISCV: u16 = 243;
const PT_LOAD: u32 = 1;
/// `e_flags`: compressed instructions and the double-precision ABI.
const FLAGS: u32 = 1 | 4;

/// What may be done with a segment, as `p_flags` says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Permission {
    /// Read and execute.
    Code = 5,
    /// Read and write.
    Data = 6,
}

/// A part of a program.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Where it goes: a multiple of the page size.
    pub address: u64,
    /// What goes there.
    pub bytes: Vec<u8>,
    /// What may be done with it.
    pub permission: Permission,
}

/// An executable of these segments. The headers are in none of them, so that every segment can lie in
/// the RAM of a bare machine.
#[must_use]
pub fn executable(entry: u64, segments: &[Segment]) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    let half = |file: &mut Vec<u8>, value: u16| file.extend_from_slice(&value.to_le_bytes());
    let word = |file: &mut Vec<u8>, value: u32| file.extend_from_slice(&value.to_le_bytes());
    let double = |file: &mut Vec<u8>, value: u64| file.extend_from_slice(&value.to_le_bytes());
    half(&mut file, ET_EXEC);
    half(&mut file, EM_RISCV);
    word(&mut file, 1);
    double(&mut file, entry);
    double(&mut file, HEADER_BYTES as u64);
    double(&mut file, 0);
    word(&mut file, FLAGS);
    half(&mut file, HEADER_BYTES as u16);
    half(&mut file, PROGRAM_HEADER_BYTES as u16);
    half(&mut file, segments.len() as u16);
    file.resize(HEADER_BYTES, 0);
    let mut offset = (HEADER_BYTES + PROGRAM_HEADER_BYTES * segments.len()).next_multiple_of(PAGE);
    for segment in segments {
        word(&mut file, PT_LOAD);
        word(&mut file, segment.permission as u32);
        double(&mut file, offset as u64);
        double(&mut file, segment.address);
        double(&mut file, segment.address);
        double(&mut file, segment.bytes.len() as u64);
        double(&mut file, segment.bytes.len() as u64);
        double(&mut file, PAGE as u64);
        offset = (offset + segment.bytes.len()).next_multiple_of(PAGE);
    }
    for segment in segments {
        file.resize(file.len().next_multiple_of(PAGE), 0);
        file.extend_from_slice(&segment.bytes);
    }
    file
}
