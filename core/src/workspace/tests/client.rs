//! A 9P client for tests, and the listing that it works on.

use super::super::content::{Content, ContentKey};
use super::super::listing::{Entry, EntryKind, Listing, ListingBuilder, Timestamp};
use super::super::message::message_type;
use super::super::server::Server;
use crate::state::{StateReader, StateWriter};
use std::sync::Arc;

pub(super) const NOW: Timestamp = Timestamp {
    seconds: 2_000_000_000,
    nanoseconds: 5,
};
pub(super) const LISTED: Timestamp = Timestamp {
    seconds: -3,
    nanoseconds: 999_999_999,
};
pub(super) const ROOT: u32 = 1;
pub(super) const BUDGET: u64 = 64 << 20;

pub(super) fn entry(kind: EntryKind) -> Entry {
    let mode = match kind {
        EntryKind::Directory => 0o755,
        EntryKind::File { .. } => 0o640,
        EntryKind::Symlink { .. } => 0o777,
    };
    Entry {
        kind,
        mode,
        uid: 1000,
        gid: 100,
        mtime: LISTED,
    }
}

pub(super) fn directory() -> Entry {
    entry(EntryKind::Directory)
}

pub(super) fn file(byte_len: u64) -> Entry {
    entry(EntryKind::File { byte_len })
}

/// Files at the root: `a/x`, `a/y`, `a/e/`, `big`, `huge`, `link`, `lost`, `zero` and one whose name is no UTF-8.
pub(super) fn listing() -> Arc<Listing> {
    let mut builder = ListingBuilder::new(directory());
    let root = ListingBuilder::ROOT;
    let a = builder.add(root, b"a", directory()).unwrap();
    let target = b"a/x".to_vec();
    let files: [(_, &[u8], _); 9] = [
        (a, b"x", file(300)),
        (a, b"y", file(5000)),
        (a, b"e", directory()),
        (root, b"big", file(300 * 1024 + 17)),
        (root, b"huge", file(5 << 30)),
        (root, b"link", entry(EntryKind::Symlink { target })),
        (root, b"lost", file(200_000)),
        (root, b"zero", file(0)),
        (root, b"\xff\xfe", file(1)),
    ];
    for (directory, name, entry) in files {
        builder.add(directory, name, entry).unwrap();
    }
    Arc::new(Listing::decode(&builder.encode()).unwrap())
}

/// The byte of a listed file at an offset.
pub(super) fn base_byte(file: u32, offset: u64) -> u8 {
    (u64::from(file) * 131 + offset * 7 + (offset >> 8) * 13 + (offset >> 16)) as u8 | 1
}

pub(super) fn base_bytes(file: u32, offset: u64, count: usize) -> Vec<u8> {
    (0..count as u64)
        .map(|at| base_byte(file, offset + at))
        .collect()
}

/// Fields of a message.
#[derive(Default)]
pub(super) struct Fields(pub(super) Vec<u8>);

impl Fields {
    pub(super) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }
    pub(super) fn u16(mut self, value: u16) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }
    pub(super) fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }
    pub(super) fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }
    pub(super) fn string(self, bytes: &[u8]) -> Self {
        let mut fields = self.u16(bytes.len() as u16);
        fields.0.extend_from_slice(bytes);
        fields
    }
    pub(super) fn data(self, bytes: &[u8]) -> Self {
        let mut fields = self.u32(bytes.len() as u32);
        fields.0.extend_from_slice(bytes);
        fields
    }
}

pub(super) fn fid(number: u32) -> Fields {
    Fields::default().u32(number)
}

pub(super) fn message(message_type: u8, tag: u16, fields: &[u8]) -> Vec<u8> {
    let mut message = (fields.len() as u32 + 7).to_le_bytes().to_vec();
    message.push(message_type);
    message.extend_from_slice(&tag.to_le_bytes());
    message.extend_from_slice(fields);
    message
}

/// What `Rgetattr` says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Stat {
    pub(super) qid: (u8, u32, u64),
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) links: u64,
    pub(super) size: u64,
    pub(super) sectors: u64,
    pub(super) times: [(u64, u64); 3],
}

pub(super) struct Client {
    pub(super) server: Server,
    /// Requests that had to wait for contents.
    pub(super) stalls: u32,
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

pub(super) fn qid_at(bytes: &[u8], at: usize) -> (u8, u32, u64) {
    (bytes[at], u32_at(bytes, at + 1), u64_at(bytes, at + 5))
}

impl Client {
    /// A client with a fid for the root.
    pub(super) fn new() -> Self {
        Self::over(listing(), BUDGET)
    }

    pub(super) fn over(listing: Arc<Listing>, budget_bytes: u64) -> Self {
        let mut client = Self {
            server: Server::new(listing, budget_bytes),
            stalls: 0,
        };
        client.version().unwrap();
        client.attach(ROOT, 7).unwrap();
        client
    }

    pub(super) fn state(&self) -> Vec<u8> {
        let mut state = StateWriter::new();
        self.server.save_session(&mut state);
        self.server.save_files(&mut state);
        state.into_bytes()
    }

    /// Goes on with a server that was made of this one's saved state.
    pub(super) fn restart(&mut self, listing: Arc<Listing>, budget_bytes: u64) {
        let state = self.state();
        let mut server = Server::new(listing, budget_bytes);
        let mut from = StateReader::new(&state);
        server.restore_session(&mut from).unwrap();
        server.restore_files(&mut from).unwrap();
        assert!(from.is_at_end());
        assert_eq!(server.files_hash(), self.server.files_hash());
        self.server = server;
        assert!(self.state() == state, "saved again, it differs");
    }

    /// Delivers what the generator says; `lost` cannot be read.
    pub(super) fn deliver(&mut self, key: ContentKey) {
        let range = key.range(self.server.listing());
        let is_lost = self.server.listing().name(key.file) == Some(b"lost");
        let content = if is_lost {
            Content::Unreadable
        } else {
            let count = (range.end - range.start) as usize;
            Content::Bytes(base_bytes(key.file, range.start, count).into())
        };
        self.server.insert_content(key, content).unwrap();
    }

    /// One message and its reply's fields, or the error's number. Contents come as they are wanted.
    pub(super) fn call(&mut self, message_type: u8, fields: Fields) -> Result<Vec<u8>, u32> {
        let message = message(message_type, 77, &fields.0);
        let reply = loop {
            let before = (self.stalls < 60).then(|| self.state());
            match self.server.handle(&message, 600_000, NOW) {
                Ok(reply) => break reply,
                Err(missing) => {
                    self.stalls += 1;
                    if let Some(before) = before {
                        assert!(before == self.state(), "a request that waits had an effect");
                    }
                    assert!(missing.is_sorted() && !missing.is_empty());
                    missing.into_iter().for_each(|key| self.deliver(key));
                }
            }
        };
        assert_eq!(u32_at(&reply, 0) as usize, reply.len());
        assert_eq!(reply[5..7], [77, 0]);
        if reply[4] == message_type::RLERROR {
            assert_eq!(reply.len(), 11);
            return Err(u32_at(&reply, 7));
        }
        assert_eq!(reply[4], message_type + 1);
        Ok(reply[7..].to_vec())
    }

    pub(super) fn version(&mut self) -> Result<Vec<u8>, u32> {
        let fields = Fields::default().u32(1 << 20).string(b"9P2000.L");
        self.call(message_type::VERSION, fields)
    }

    pub(super) fn attach(&mut self, number: u32, user: u32) -> Result<Vec<u8>, u32> {
        let fields = fid(number).u32(u32::MAX).string(b"someone").string(b"");
        self.call(message_type::ATTACH, fields.u32(user))
    }

    pub(super) fn walk(&mut self, from: u32, to: u32, names: &[&[u8]]) -> Result<Vec<u8>, u32> {
        let fields = fid(from).u32(to).u16(names.len() as u16);
        let fields = names
            .iter()
            .fold(fields, |fields, name| fields.string(name));
        self.call(message_type::WALK, fields)
    }

    /// A fid for a path below the root.
    pub(super) fn at(&mut self, number: u32, path: &str) -> Result<u32, u32> {
        let names: Vec<&[u8]> = path
            .split('/')
            .filter(|n| !n.is_empty())
            .map(str::as_bytes)
            .collect();
        let reply = self.walk(ROOT, number, &names)?;
        if usize::from(reply[0]) < names.len() {
            return Err(2);
        }
        Ok(number)
    }

    pub(super) fn open(&mut self, number: u32, flags: u32) -> Result<Vec<u8>, u32> {
        self.call(message_type::LOPEN, fid(number).u32(flags))
    }

    /// A fid for a path, open.
    pub(super) fn open_at(&mut self, number: u32, path: &str, flags: u32) -> Result<u32, u32> {
        self.at(number, path)?;
        self.open(number, flags)?;
        Ok(number)
    }

    pub(super) fn create(&mut self, number: u32, name: &[u8], flags: u32) -> Result<Vec<u8>, u32> {
        let fields = fid(number).string(name).u32(flags).u32(0o100_644).u32(50);
        self.call(message_type::LCREATE, fields)
    }

    pub(super) fn read(&mut self, number: u32, offset: u64, count: u32) -> Result<Vec<u8>, u32> {
        let reply = self.call(message_type::READ, fid(number).u64(offset).u32(count))?;
        assert_eq!(u32_at(&reply, 0) as usize, reply.len() - 4);
        Ok(reply[4..].to_vec())
    }

    pub(super) fn write(&mut self, number: u32, offset: u64, bytes: &[u8]) -> Result<u32, u32> {
        let reply = self.call(message_type::WRITE, fid(number).u64(offset).data(bytes))?;
        Ok(u32_at(&reply, 0))
    }

    pub(super) fn clunk(&mut self, number: u32) -> Result<Vec<u8>, u32> {
        self.call(message_type::CLUNK, fid(number))
    }

    pub(super) fn stat(&mut self, number: u32) -> Result<Stat, u32> {
        let reply = self.call(message_type::GETATTR, fid(number).u64(u64::MAX))?;
        assert_eq!(reply.len(), 153);
        let time = |at| (u64_at(&reply, at), u64_at(&reply, at + 8));
        Ok(Stat {
            qid: qid_at(&reply, 8),
            mode: u32_at(&reply, 21),
            uid: u32_at(&reply, 25),
            gid: u32_at(&reply, 29),
            links: u64_at(&reply, 33),
            size: u64_at(&reply, 49),
            sectors: u64_at(&reply, 65),
            times: [time(73), time(89), time(105)],
        })
    }

    /// `Tsetattr` of mode, length or whatever `valid` says; times are 11.12 and 13.14.
    pub(super) fn set(
        &mut self,
        number: u32,
        valid: u32,
        mode: u32,
        size: u64,
    ) -> Result<Vec<u8>, u32> {
        let fields = fid(number).u32(valid).u32(mode).u32(21).u32(22).u64(size);
        let fields = fields.u64(11).u64(12).u64(13).u64(14);
        self.call(message_type::SETATTR, fields)
    }

    pub(super) fn make_directory(&mut self, number: u32, name: &[u8]) -> Result<Vec<u8>, u32> {
        let fields = fid(number).string(name).u32(0o40_750).u32(50);
        self.call(message_type::MKDIR, fields)
    }

    pub(super) fn symlink(
        &mut self,
        number: u32,
        name: &[u8],
        target: &[u8],
    ) -> Result<Vec<u8>, u32> {
        let fields = fid(number).string(name).string(target).u32(50);
        self.call(message_type::SYMLINK, fields)
    }

    pub(super) fn readlink(&mut self, number: u32) -> Result<Vec<u8>, u32> {
        let reply = self.call(message_type::READLINK, fid(number))?;
        Ok(reply[2..].to_vec())
    }

    pub(super) fn link(
        &mut self,
        directory: u32,
        number: u32,
        name: &[u8],
    ) -> Result<Vec<u8>, u32> {
        self.call(message_type::LINK, fid(directory).u32(number).string(name))
    }

    pub(super) fn rename_at(
        &mut self,
        from: (u32, &[u8]),
        to: (u32, &[u8]),
    ) -> Result<Vec<u8>, u32> {
        let fields = fid(from.0).string(from.1).u32(to.0).string(to.1);
        self.call(message_type::RENAMEAT, fields)
    }

    pub(super) fn unlink_at(
        &mut self,
        directory: u32,
        name: &[u8],
        flags: u32,
    ) -> Result<Vec<u8>, u32> {
        self.call(
            message_type::UNLINKAT,
            fid(directory).string(name).u32(flags),
        )
    }

    /// One `Treaddir`: names, cookies and types.
    pub(super) fn read_directory(
        &mut self,
        number: u32,
        offset: u64,
        count: u32,
    ) -> Result<Vec<(Vec<u8>, u64, u8)>, u32> {
        let reply = self.call(message_type::READDIR, fid(number).u64(offset).u32(count))?;
        assert_eq!(u32_at(&reply, 0) as usize, reply.len() - 4);
        assert!(reply.len() - 4 <= count as usize);
        let mut entries = Vec::new();
        let mut rest = &reply[4..];
        while !rest.is_empty() {
            let length = usize::from(u16::from_le_bytes([rest[22], rest[23]]));
            entries.push((rest[24..24 + length].to_vec(), u64_at(rest, 13), rest[21]));
            rest = &rest[24 + length..];
        }
        Ok(entries)
    }

    /// All names of a directory, `.` and `..` left out.
    pub(super) fn names(&mut self, number: u32, count: u32) -> Result<Vec<Vec<u8>>, u32> {
        let mut names = Vec::new();
        let mut offset = 0;
        loop {
            let entries = self.read_directory(number, offset, count)?;
            let Some(last) = entries.last() else {
                break;
            };
            offset = last.1;
            names.extend(entries.into_iter().map(|(name, _, _)| name));
        }
        assert_eq!(names[..2], [b".".to_vec(), b"..".to_vec()]);
        Ok(names.split_off(2))
    }
}
