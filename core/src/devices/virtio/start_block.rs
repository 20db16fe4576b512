//! The start as bytes on the start disk, for the guest's init.
//!
//! All numbers are little-endian. At byte [`START_OFFSET`] of the disk stand:
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | [`MAGIC`] |
//! | 8 | length in bytes of the records that follow, the last included |
//!
//! then records, each of
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | tag |
//! | 4 | 0 |
//! | 8 | length of the data |
//! | length | data |
//! | 0 to 7 | zeros up to a multiple of 8 |
//!
//! | tag | data |
//! | --- | --- |
//! | 1 | an argument of the command, the first being its name; none at all means a shell |
//! | 2 | an environment variable, `NAME=value` |
//! | 3 | 8 bytes: the wall clock in nanoseconds since 1970 |
//! | 4 | 32 bytes: the seed |
//! | 5 | a file: 4 bytes mode, 4 bytes length of the path, the path, zeros up to a multiple of 8 bytes of data, the contents |
//! | 6 | the terminal: 2 bytes columns, 2 bytes rows, 4 bytes flags, of which bit 0 says interactive |
//! | 7 | the working directory; absent when init is to choose |
//! | 0 | no data; always the last record |
//!
//! Zeros follow.

use crate::event::{Start, StartFile};
use crate::types::TerminalSize;

/// Where the start stands on the disk, in bytes. What lies before reads as zeros at any time, so
/// that a kernel that looks for partitions need not wait.
pub const START_OFFSET: u64 = 1 << 20;

/// First bytes of an encoded start.
pub const MAGIC: [u8; 8] = *b"RPSTART1";

/// The longest encoded start, in bytes. Its files go into the guest's RAM, which is at most twice
/// that in a machine that a browser can replay.
pub const START_BYTES_MAX: u64 = 512 << 20;

const HEADER_BYTES: usize = 16;
const RECORD_HEADER_BYTES: usize = 16;
const ALIGNMENT: usize = 8;

/// Record tags.
mod tag {
    pub(super) const END: u32 = 0;
    pub(super) const ARGUMENT: u32 = 1;
    pub(super) const ENVIRONMENT: u32 = 2;
    pub(super) const CLOCK: u32 = 3;
    pub(super) const SEED: u32 = 4;
    pub(super) const FILE: u32 = 5;
    pub(super) const TERMINAL: u32 = 6;
    pub(super) const WORKING_DIRECTORY: u32 = 7;
}

/// Bit of the terminal's flags: a person sits there.
const TERMINAL_INTERACTIVE: u32 = 1;

/// Bytes that [`encode`] will make of this start.
#[must_use]
pub fn encoded_bytes(start: &Start) -> u64 {
    let record = |data: usize| (RECORD_HEADER_BYTES + data.next_multiple_of(ALIGNMENT)) as u64;
    let arguments = start.command.iter().map(|argument| record(argument.len()));
    let environment = start
        .environment
        .iter()
        .map(|(name, value)| record(name.len() + 1 + value.len()));
    let files = start
        .files
        .iter()
        .map(|file| record(file_prefix_bytes(file) + file.bytes.len()));
    let directory = match start.working_directory.len() {
        0 => 0,
        length => record(length),
    };
    let fixed = HEADER_BYTES as u64 + record(8) + record(32) + record(8) + record(0);
    fixed + directory + arguments.sum::<u64>() + environment.sum::<u64>() + files.sum::<u64>()
}

/// The start as bytes, without the zeros that follow.
#[must_use]
pub fn encode(start: &Start) -> Vec<u8> {
    let mut to = Encoder {
        bytes: Vec::with_capacity(encoded_bytes(start) as usize),
    };
    to.bytes.extend_from_slice(&MAGIC);
    to.bytes.extend_from_slice(&[0; 8]);
    to.record(tag::CLOCK, &[&start.clock_unix_nanoseconds.to_le_bytes()]);
    to.record(tag::SEED, &[&start.seed]);
    to.record(
        tag::TERMINAL,
        &[&terminal_bytes(start.terminal, start.interactive)],
    );
    if !start.working_directory.is_empty() {
        to.record(tag::WORKING_DIRECTORY, &[&start.working_directory]);
    }
    for (name, value) in &start.environment {
        to.record(tag::ENVIRONMENT, &[name, b"=", value]);
    }
    for argument in &start.command {
        to.record(tag::ARGUMENT, &[argument]);
    }
    for file in &start.files {
        to.record(tag::FILE, &[&file_prefix(file), &file.bytes]);
    }
    to.record(tag::END, &[]);
    let records = (to.bytes.len() - HEADER_BYTES) as u64;
    to.bytes[8..HEADER_BYTES].copy_from_slice(&records.to_le_bytes());
    to.bytes
}

/// Whether bytes begin and end as [`encode`] makes them, so that they may stand on the disk.
#[must_use]
pub(super) fn is_encoded(bytes: &[u8]) -> bool {
    let Some((header, records)) = bytes.split_at_checked(HEADER_BYTES) else {
        return false;
    };
    header[..8] == MAGIC
        && header[8..] == (records.len() as u64).to_le_bytes()
        && bytes.len() as u64 <= START_BYTES_MAX
}

struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    fn record(&mut self, tag: u32, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        self.bytes.extend_from_slice(&tag.to_le_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&(length as u64).to_le_bytes());
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        let aligned = self.bytes.len().next_multiple_of(ALIGNMENT);
        self.bytes.resize(aligned, 0);
    }
}

fn terminal_bytes(size: TerminalSize, interactive: bool) -> [u8; 8] {
    let flags = if interactive { TERMINAL_INTERACTIVE } else { 0 };
    let word = u64::from(size.columns) | u64::from(size.rows) << 16 | u64::from(flags) << 32;
    word.to_le_bytes()
}

/// Bytes of a file's data before its contents.
fn file_prefix_bytes(file: &StartFile) -> usize {
    (8 + file.path.len()).next_multiple_of(ALIGNMENT)
}

fn file_prefix(file: &StartFile) -> Vec<u8> {
    let mut prefix = Vec::with_capacity(file_prefix_bytes(file));
    prefix.extend_from_slice(&file.mode.to_le_bytes());
    prefix.extend_from_slice(&(file.path.len() as u32).to_le_bytes());
    prefix.extend_from_slice(&file.path);
    prefix.resize(file_prefix_bytes(file), 0);
    prefix
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Start {
        Start {
            command: vec![b"/bin/demo".to_vec(), b"--fast".to_vec(), Vec::new()],
            environment: vec![(b"HOME".to_vec(), b"/root".to_vec())],
            working_directory: b"/tmp".to_vec(),
            clock_unix_nanoseconds: 0x1122_3344_5566_7788,
            seed: [0xab; 32],
            interactive: true,
            terminal: TerminalSize {
                columns: 132,
                rows: 50,
            },
            files: vec![StartFile {
                path: b"/bin/demo".to_vec(),
                mode: 0o755,
                bytes: b"contents".to_vec(),
            }],
        }
    }

    /// Reads records as the guest's init must.
    fn records(bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        assert_eq!(bytes[..8], MAGIC);
        assert_eq!(number(8), bytes.len() as u64 - 16);
        let mut records = Vec::new();
        let mut at = 16;
        while at < bytes.len() {
            let tag = number(at);
            let length = number(at + 8) as usize;
            let end = at + 16 + length;
            records.push((u32::try_from(tag).unwrap(), bytes[at + 16..end].to_vec()));
            at = end.next_multiple_of(8);
            assert!(bytes[end..at].iter().all(|byte| *byte == 0));
        }
        records
    }

    #[test]
    fn every_field_has_its_record() {
        let bytes = encode(&start());
        assert_eq!(bytes.len() as u64, encoded_bytes(&start()));
        assert!(is_encoded(&bytes));
        let mut file = vec![0xed, 1, 0, 0, 9, 0, 0, 0];
        file.extend_from_slice(b"/bin/demo\0\0\0\0\0\0\0contents");
        assert_eq!(
            records(&bytes),
            [
                (3, vec![0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]),
                (4, vec![0xab; 32]),
                (6, vec![132, 0, 50, 0, 1, 0, 0, 0]),
                (7, b"/tmp".to_vec()),
                (2, b"HOME=/root".to_vec()),
                (1, b"/bin/demo".to_vec()),
                (1, b"--fast".to_vec()),
                (1, Vec::new()),
                (5, file),
                (0, Vec::new()),
            ]
        );
    }

    #[test]
    fn an_empty_start_is_a_shell() {
        let bytes = encode(&Start::default());
        assert_eq!(bytes.len() as u64, encoded_bytes(&Start::default()));
        let tags: Vec<u32> = records(&bytes).iter().map(|(tag, _)| *tag).collect();
        assert_eq!(tags, [3, 4, 6, 0]);
    }

    #[test]
    fn other_bytes_are_not_taken_for_a_start() {
        let bytes = encode(&start());
        assert!(!is_encoded(&bytes[..bytes.len() - 1]));
        assert!(!is_encoded(&bytes[..8]));
        assert!(!is_encoded(&[]));
        let mut other = bytes;
        other[0] ^= 1;
        assert!(!is_encoded(&other));
    }
}
