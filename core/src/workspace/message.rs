//! Messages of 9P2000.L: `size[4] type[1] tag[2]`, then fields, all little-endian; a string is `length[2]` and bytes.
//!
//! Numbers and fields are those of Linux's include/net/9p/9p.h and net/9p/client.c.

mod request;

use super::errno::Errno;

pub use request::{LockRange, Request, SetAttributes};

/// Bytes of `size`, `type` and `tag`.
pub const HEADER_BYTES: usize = 7;
/// The largest message that the server agrees to, in bytes.
pub const MESSAGE_BYTES_MAX: u32 = 512 << 10;
/// The smallest largest message that a client may ask for, in bytes; Linux's `msize` has the same bound.
pub const MESSAGE_BYTES_MIN: u32 = 4096;
/// Names that one `Twalk` may have (`P9_MAXWELEM`).
pub const WALK_NAMES_MAX: u16 = 16;
/// The tag of `Tversion`, and of a reply to something that has no tag (`P9_NOTAG`).
pub const NO_TAG: u16 = u16::MAX;
/// No fid (`P9_NOFID`).
pub const NO_FID: Fid = Fid(u32::MAX);

/// A client's number for a file, directory or link that it holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Fid(pub u32);

/// Message types (`enum p9_msg_t`): those of requests; a reply's is its request's plus 1.
pub(super) mod message_type {
    pub(in super::super) const RLERROR: u8 = 7;
    pub(in super::super) const STATFS: u8 = 8;
    pub(in super::super) const LOPEN: u8 = 12;
    pub(in super::super) const LCREATE: u8 = 14;
    pub(in super::super) const SYMLINK: u8 = 16;
    pub(in super::super) const MKNOD: u8 = 18;
    pub(in super::super) const RENAME: u8 = 20;
    pub(in super::super) const READLINK: u8 = 22;
    pub(in super::super) const GETATTR: u8 = 24;
    pub(in super::super) const SETATTR: u8 = 26;
    pub(in super::super) const XATTRWALK: u8 = 30;
    pub(in super::super) const XATTRCREATE: u8 = 32;
    pub(in super::super) const READDIR: u8 = 40;
    pub(in super::super) const FSYNC: u8 = 50;
    pub(in super::super) const LOCK: u8 = 52;
    pub(in super::super) const GETLOCK: u8 = 54;
    pub(in super::super) const LINK: u8 = 70;
    pub(in super::super) const MKDIR: u8 = 72;
    pub(in super::super) const RENAMEAT: u8 = 74;
    pub(in super::super) const UNLINKAT: u8 = 76;
    pub(in super::super) const VERSION: u8 = 100;
    pub(in super::super) const AUTH: u8 = 102;
    pub(in super::super) const ATTACH: u8 = 104;
    pub(in super::super) const FLUSH: u8 = 108;
    pub(in super::super) const WALK: u8 = 110;
    pub(in super::super) const READ: u8 = 116;
    pub(in super::super) const WRITE: u8 = 118;
    pub(in super::super) const CLUNK: u8 = 120;
    pub(in super::super) const REMOVE: u8 = 122;
}

/// What a server says of a file: `qid[13]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Qid {
    /// `P9_QTDIR`, `P9_QTSYMLINK` or 0.
    pub(super) qid_type: u8,
    pub(super) version: u32,
    pub(super) path: u64,
}

impl Qid {
    pub(super) const DIRECTORY: u8 = 0x80;
    pub(super) const SYMLINK: u8 = 0x02;
    /// Of every file, always. The client makes all changes itself, so its caches need no version to tell them from another's; and Linux takes
    /// what it meets under two names and two versions for two files, each with a cache of its own. 0 would tell it not to cache.
    pub(super) const VERSION: u32 = 1;
    pub(super) const BYTES: usize = 13;
}

/// A reply that is being written.
#[derive(Debug)]
pub(super) struct Reply(Vec<u8>);

impl Reply {
    /// A reply to a request of this type, without fields yet.
    pub(super) fn to(message_type: u8, tag: u16) -> Self {
        let mut reply = Self(vec![0; 4]);
        reply.u8(message_type.wrapping_add(1));
        reply.u16(tag);
        reply
    }

    /// `Rlerror`.
    pub(super) fn error(tag: u16, errno: Errno) -> Self {
        let mut reply = Self::to(message_type::RLERROR - 1, tag);
        reply.u32(errno.0);
        reply
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A string of at most 65535 bytes.
    pub(super) fn string(&mut self, bytes: &[u8]) {
        self.u16(bytes.len() as u16);
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn qid(&mut self, qid: Qid) {
        self.u8(qid.qid_type);
        self.u32(qid.version);
        self.u64(qid.path);
    }

    /// Data of at most `count` bytes behind their number: `fill` fills in zeros and says how many bytes there are.
    pub(super) fn data<E>(
        &mut self,
        count: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<(), E> {
        let count_at = self.0.len();
        let start = count_at + 4;
        self.0.resize(start + count, 0);
        let filled = fill(&mut self.0[start..])?;
        self.0.truncate(start + filled);
        self.0[count_at..start].copy_from_slice(&(filled as u32).to_le_bytes());
        Ok(())
    }

    /// The whole message.
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        let size = self.0.len() as u32;
        self.0[..4].copy_from_slice(&size.to_le_bytes());
        self.0
    }
}
