//! What an inode is: attributes and a body.

use super::directory::Entries;
use super::errno::Errno;
use super::file::{BLOCK_COST_BYTES, File};
use super::listing::{EntryKind, Listing, Timestamp, check_target};
use crate::state::{StateError, StateReader, StateWriter};

/// The number of a file, directory or link; `qid.path` and `st_ino`. Those of the listing are their entry's number plus
/// 1, the guest's own follow. None is ever used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub(super) struct Inode(pub(super) u64);

impl Inode {
    /// The workspace's root.
    pub(super) const ROOT: Self = Self(1);

    pub(super) fn from_entry(number: u32) -> Self {
        Self(u64::from(number) + 1)
    }

    /// The number of its entry in a listing, if it is one of the listing's.
    pub(super) fn entry(self, listing: &Listing) -> Option<u32> {
        let number = u32::try_from(self.0.checked_sub(1)?).ok()?;
        (number < listing.entry_count()).then_some(number)
    }
}

/// File types in `st_mode`, and permissions (include/uapi/linux/stat.h).
pub(super) mod mode {
    pub(in super::super) const TYPE: u32 = 0o170_000;
    pub(in super::super) const FIFO: u32 = 0o010_000;
    pub(in super::super) const DIRECTORY: u32 = 0o040_000;
    pub(in super::super) const FILE: u32 = 0o100_000;
    pub(in super::super) const SYMLINK: u32 = 0o120_000;
    pub(in super::super) const SOCKET: u32 = 0o140_000;
    pub(in super::super) const PERMISSIONS: u32 = 0o007_777;
}

/// What a node is, and what it holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Body {
    /// A directory.
    Directory {
        /// The directory that it is in; the root's is the root.
        parent: Inode,
        /// Its entries once they have changed; until then they are the listing's.
        entries: Option<Entries>,
    },
    /// A regular file.
    File(File),
    /// A symbolic link and its target.
    Symlink(Vec<u8>),
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
}

impl Body {
    pub(super) fn type_bits(&self) -> u32 {
        match self {
            Self::Directory { .. } => mode::DIRECTORY,
            Self::File(_) => mode::FILE,
            Self::Symlink(_) => mode::SYMLINK,
            Self::Fifo => mode::FIFO,
            Self::Socket => mode::SOCKET,
        }
    }
}

/// Who owns a new node and what it permits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ownership {
    /// Permission bits, at most `0o7777`.
    pub(super) permissions: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// A file, directory or link that is not, or no longer, as the listing has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Node {
    pub(super) ownership: Ownership,
    /// How many names refer to it. A directory that exists has 1, as in btrfs: tools take it for "not known".
    pub(super) links: u32,
    pub(super) atime: Timestamp,
    pub(super) mtime: Timestamp,
    pub(super) ctime: Timestamp,
    pub(super) body: Body,
}

impl Node {
    /// What a node takes from the overlay's budget beside its body, in bytes.
    pub(super) const BYTES: u64 = 256;

    pub(super) fn new(body: Body, ownership: Ownership, now: Timestamp) -> Self {
        Self {
            ownership,
            links: 1,
            atime: now,
            mtime: now,
            ctime: now,
            body,
        }
    }

    /// A node as the listing has it.
    pub(super) fn of_listing(listing: &Listing, number: u32) -> Option<Self> {
        let entry = listing.entry(number)?;
        let body = match &entry.kind {
            EntryKind::Directory => Body::Directory {
                parent: Inode::from_entry(listing.parent(number)?),
                entries: None,
            },
            EntryKind::File { byte_len } => Body::File(File::over_base(*byte_len)),
            EntryKind::Symlink { target } => Body::Symlink(target.clone()),
        };
        let ownership = Ownership {
            permissions: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
        };
        Some(Self::new(body, ownership, entry.mtime))
    }

    /// `st_mode`.
    pub(super) fn mode(&self) -> u32 {
        self.body.type_bits() | self.ownership.permissions
    }

    pub(super) fn is_directory(&self) -> bool {
        matches!(self.body, Body::Directory { .. })
    }

    pub(super) fn file(&self) -> Result<&File, Errno> {
        match &self.body {
            Body::File(file) => Ok(file),
            Body::Directory { .. } => Err(Errno::ISDIR),
            Body::Symlink(_) | Body::Fifo | Body::Socket => Err(Errno::INVAL),
        }
    }

    /// What it takes from the overlay's budget, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        let body = match &self.body {
            Body::Directory { entries, .. } => entries.as_ref().map_or(0, Entries::bytes),
            Body::File(file) => file.block_count() * BLOCK_COST_BYTES,
            Body::Symlink(target) => target.len() as u64,
            Body::Fifo | Body::Socket => 0,
        };
        Self::BYTES + body
    }

    /// Notes that the contents changed.
    pub(super) fn touch(&mut self, now: Timestamp) {
        self.mtime = now;
        self.ctime = now;
    }

    /// Writes everything but a file's blocks, for which their hash stands; it is what the hash of the overlay covers.
    pub(super) fn save_without_blocks(&self, to: &mut StateWriter) {
        self.save_attributes(to);
        match &self.body {
            Body::File(file) => {
                to.u64(file.byte_len());
                to.u64(file.base_bytes());
                to.u64(file.block_count());
                to.u64(file.hash_sum());
            }
            body => Self::save_body(body, to),
        }
    }

    pub(super) fn save(&self, to: &mut StateWriter) {
        self.save_attributes(to);
        Self::save_body(&self.body, to);
    }

    fn save_attributes(&self, to: &mut StateWriter) {
        to.u32(self.mode());
        to.u32(self.ownership.uid);
        to.u32(self.ownership.gid);
        to.u32(self.links);
        for time in [self.atime, self.mtime, self.ctime] {
            to.u64(time.seconds as u64);
            to.u32(time.nanoseconds);
        }
    }

    fn save_body(body: &Body, to: &mut StateWriter) {
        match body {
            Body::Directory { parent, entries } => {
                to.u64(parent.0);
                to.option(entries.as_ref(), |to, entries| entries.save(to));
            }
            Body::File(file) => file.save(to),
            Body::Symlink(target) => to.bytes(target),
            Body::Fifo | Body::Socket => {}
        }
    }

    /// Reads the node of `inode`; whether it fits the others is for the tree to say.
    pub(super) fn restore(
        from: &mut StateReader<'_>,
        inode: Inode,
        listing: &Listing,
    ) -> Result<Self, StateError> {
        let bad = |field| StateError::BadValue { field };
        let mode = from.u32()?;
        let ownership = Ownership {
            permissions: mode & mode::PERMISSIONS,
            uid: from.u32()?,
            gid: from.u32()?,
        };
        let links = from.u32()?;
        let mut times = [Timestamp::default(); 3];
        for time in &mut times {
            time.seconds = from.u64()? as i64;
            time.nanoseconds = from.u32()?;
            if time.nanoseconds >= 1_000_000_000 {
                return Err(bad("a time of a workspace's file"));
            }
        }
        let base = inode.entry(listing);
        let body = match mode & !mode::PERMISSIONS {
            mode::DIRECTORY => Body::Directory {
                parent: Inode(from.u64()?),
                entries: from.option(Entries::restore)?,
            },
            mode::FILE => {
                let base_bytes = base.and_then(|number| listing.file_bytes(number));
                Body::File(File::restore(from, inode.0, base_bytes.unwrap_or(0))?)
            }
            mode::SYMLINK => {
                let target = from.bytes()?;
                check_target(target).map_err(bad)?;
                Body::Symlink(target.to_vec())
            }
            mode::FIFO => Body::Fifo,
            mode::SOCKET => Body::Socket,
            _ => return Err(bad("the type of a workspace's file")),
        };
        Ok(Self {
            ownership,
            links,
            atime: times[0],
            mtime: times[1],
            ctime: times[2],
            body,
        })
    }
}
