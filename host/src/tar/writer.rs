//! Writes members of an archive: ustar, with a PAX header (POSIX.1-2017, `pax`) before what does not fit into that.

use super::header::BLOCK_BYTES;
use super::padding;

/// What a member is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MemberKind<'a> {
    /// So many bytes follow, and [`member_end`].
    File {
        byte_len: u64,
    },
    Directory,
    Symlink {
        target: &'a [u8],
    },
    Fifo,
}

/// A member of an archive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Member<'a> {
    /// Relative, without a slash at its end.
    pub(crate) path: &'a [u8],
    pub(crate) kind: MemberKind<'a>,
    /// At most `0o7777`.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Seconds since 1970.
    pub(crate) mtime: i64,
}

/// Digits of the fields, without the NUL behind them.
const SHORT_DIGITS: usize = 7;
const LONG_DIGITS: usize = 11;
const NAME_BYTES: usize = 100;

/// The blocks before a member's bytes.
pub(crate) fn member_header(member: &Member<'_>) -> Vec<u8> {
    let mut path = member.path.to_vec();
    if member.kind == MemberKind::Directory {
        path.push(b'/');
    }
    let (typeflag, byte_len, target) = match member.kind {
        MemberKind::File { byte_len } => (b'0', byte_len, &[][..]),
        MemberKind::Directory => (b'5', 0, &[][..]),
        MemberKind::Symlink { target } => (b'2', 0, target),
        MemberKind::Fifo => (b'6', 0, &[][..]),
    };
    let mut records = Vec::new();
    let path = fitting_name(&path, b"path", &mut records);
    let target = fitting_name(target, b"linkpath", &mut records);
    let uid = fitting_number(i64::from(member.uid), SHORT_DIGITS, b"uid", &mut records);
    let gid = fitting_number(i64::from(member.gid), SHORT_DIGITS, b"gid", &mut records);
    // A file of 2^63 bytes is none.
    let size = i64::try_from(byte_len).unwrap_or(i64::MAX);
    let size = fitting_number(size, LONG_DIGITS, b"size", &mut records);
    let mtime = fitting_number(member.mtime, LONG_DIGITS, b"mtime", &mut records);
    let mut blocks = Vec::new();
    if !records.is_empty() {
        let fields = Fields {
            path: b"PaxHeaders/file",
            typeflag: b'x',
            mode: 0o644,
            size: records.len() as u64,
            ..Fields::default()
        };
        blocks.extend(fields.block());
        blocks.extend(&records);
        blocks.extend(member_end(records.len() as u64));
    }
    let fields = Fields {
        path,
        target,
        typeflag,
        mode: u64::from(member.mode),
        uid,
        gid,
        size,
        mtime,
    };
    blocks.extend(fields.block());
    blocks
}

/// The zeros behind a member's bytes.
pub(crate) fn member_end(byte_len: u64) -> impl Iterator<Item = u8> {
    std::iter::repeat_n(0, padding(byte_len) as usize)
}

/// What ends an archive.
pub(crate) const ARCHIVE_END: [u8; 2 * BLOCK_BYTES] = [0; 2 * BLOCK_BYTES];

#[derive(Default)]
struct Fields<'a> {
    path: &'a [u8],
    target: &'a [u8],
    typeflag: u8,
    mode: u64,
    uid: u64,
    gid: u64,
    size: u64,
    mtime: u64,
}

impl Fields<'_> {
    fn block(&self) -> [u8; BLOCK_BYTES] {
        let mut block = [0; BLOCK_BYTES];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        let octal = |number: u64, digits: usize| format!("{number:0digits$o}").into_bytes();
        put(0, self.path);
        put(100, &octal(self.mode, SHORT_DIGITS));
        put(108, &octal(self.uid, SHORT_DIGITS));
        put(116, &octal(self.gid, SHORT_DIGITS));
        put(124, &octal(self.size, LONG_DIGITS));
        put(136, &octal(self.mtime, LONG_DIGITS));
        // The checksum counts as spaces until it is there.
        put(148, b"        ");
        put(156, &[self.typeflag]);
        put(157, self.target);
        put(257, b"ustar\x0000");
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        let digits = format!("{sum:06o}\0 ");
        block[148..156].copy_from_slice(digits.as_bytes());
        block
    }
}

/// A name as it fits into the header; one that does not becomes a record, and the header has its beginning.
fn fitting_name<'a>(name: &'a [u8], key: &[u8], records: &mut Vec<u8>) -> &'a [u8] {
    if name.len() > NAME_BYTES {
        record(key, name, records);
    }
    &name[..name.len().min(NAME_BYTES)]
}

/// A number as it fits into so many octal digits; one that does not becomes a record, and the header has 0.
fn fitting_number(number: i64, digits: usize, key: &[u8], records: &mut Vec<u8>) -> u64 {
    match u64::try_from(number) {
        Ok(number) if number >> (3 * digits) == 0 => number,
        _ => {
            record(key, number.to_string().as_bytes(), records);
            0
        }
    }
}

/// `length key=value\n`, the length being that of all of it.
fn record(key: &[u8], value: &[u8], records: &mut Vec<u8>) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    records.extend(length.to_string().as_bytes());
    records.push(b' ');
    records.extend(key);
    records.push(b'=');
    records.extend(value);
    records.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::super::{Entry, EntryKind, Event, TarReader};
    use super::*;

    fn read(mut archive: &[u8]) -> Vec<(Entry, Vec<u8>)> {
        let mut reader = TarReader::new();
        let mut found: Vec<(Entry, Vec<u8>)> = Vec::new();
        loop {
            match reader.next(&mut archive).expect("a good archive") {
                Event::NeedInput => break,
                Event::Entry(entry) => found.push((*entry, Vec::new())),
                Event::Data(data) => found.last_mut().expect("an entry").1.extend(data),
            }
        }
        assert!(reader.is_at_end());
        found
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let long = [&[b'd'; 97][..], b"/n\xff\n"].concat();
        let member = |path, kind| Member {
            path,
            kind,
            mode: 0o640,
            uid: 0,
            gid: 12,
            mtime: 1_700_000_000,
        };
        let members = [
            member(b"dir", MemberKind::Directory),
            member(&long, MemberKind::Directory),
            member(b"dir/file", MemberKind::File { byte_len: 513 }),
            member(&[b'x'; 100], MemberKind::File { byte_len: 512 }),
            member(&[b'y'; 5000], MemberKind::File { byte_len: 0 }),
            member(b"s", MemberKind::Symlink { target: &long }),
            member(b"fifo", MemberKind::Fifo),
            Member {
                uid: 1 << 21,
                gid: u32::MAX,
                mtime: -1,
                mode: 0o4755,
                ..member(b"odd", MemberKind::File { byte_len: 1 })
            },
            Member {
                mtime: 1 << 33,
                ..member(b"late", MemberKind::Fifo)
            },
        ];
        let mut archive = Vec::new();
        for member in &members {
            archive.extend(member_header(member));
            if let MemberKind::File { byte_len } = member.kind {
                archive.extend(vec![7; byte_len as usize]);
                archive.extend(member_end(byte_len));
            }
        }
        archive.extend(ARCHIVE_END);
        assert_eq!(archive.len() % BLOCK_BYTES, 0);
        let found = read(&archive);
        assert_eq!(found.len(), members.len());
        for (member, (entry, bytes)) in members.iter().zip(&found) {
            let mut path = member.path.to_vec();
            let kind = match member.kind {
                MemberKind::File { byte_len } => {
                    assert_eq!(*bytes, vec![7; byte_len as usize]);
                    EntryKind::File
                }
                MemberKind::Directory => {
                    path.push(b'/');
                    EntryKind::Directory
                }
                MemberKind::Symlink { target } => EntryKind::Symlink(target.to_vec()),
                MemberKind::Fifo => EntryKind::Fifo,
            };
            let owner = (entry.uid, entry.gid, entry.mtime.seconds);
            assert_eq!((&entry.path, &entry.kind), (&path, &kind));
            assert_eq!(owner, (member.uid, member.gid, member.mtime));
            assert_eq!(u32::from(entry.mode), member.mode);
        }
    }

    #[test]
    fn a_size_of_more_than_8_gib_is_in_a_record() {
        let header = member_header(&Member {
            path: b"large",
            kind: MemberKind::File { byte_len: 1 << 33 },
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 0,
        });
        let mut rest = &header[..];
        let Ok(Event::Entry(entry)) = TarReader::new().next(&mut rest) else {
            panic!("no entry");
        };
        assert_eq!(entry.size, 1 << 33);
    }
}
