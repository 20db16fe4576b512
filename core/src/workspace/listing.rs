//! The frozen listing: what a directory of the host held when the recording began.
//!
//! # Encoding
//! The bytes `RPWSLST1`, then the entries, breadth first: the root, then the children of each directory, in the order of
//! the directories, sorted by name. So there is one encoding of a tree. Numbers are LEB128 in their shortest form.
//!
//! | field | of | meaning |
//! | --- | --- | --- |
//! | entry count | the listing | 1 to [`ENTRIES_MAX`] |
//! | parent | all but the root | the parent's number minus that of the entry before (0 for the first) |
//! | name length, name | all but the root | 1 to [`NAME_BYTES_MAX`] bytes without `/` and NUL, neither `.` nor `..` |
//! | kind | each | 0 directory, 1 regular file, 2 symbolic link |
//! | mode, uid, gid | each | permission bits, `0o7777` at most; 32 bits each |
//! | mtime | each | seconds since 1970 (zigzag), nanoseconds |
//! | length | regular files | at most [`FILE_BYTES_MAX`] |
//! | target length, target | symbolic links | 1 to [`TARGET_BYTES_MAX`] bytes without NUL |

mod encoding;

use crate::image::ImageHash;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use thiserror::Error;

/// Bytes of a name, Linux's `NAME_MAX`.
pub const NAME_BYTES_MAX: usize = 255;
/// Bytes of a symbolic link's target, Linux's `PATH_MAX` without the NUL.
pub const TARGET_BYTES_MAX: usize = 4095;
/// Bytes of a file, in the listing and in the overlay: 16 TiB.
pub const FILE_BYTES_MAX: u64 = 1 << 44;
/// Entries of a listing, the root included.
pub const ENTRIES_MAX: usize = 1 << 20;
/// Directories between the root and an entry.
pub const DEPTH_MAX: u16 = 1024;
/// Bytes of an encoded listing.
pub const LISTING_BYTES_MAX: usize = 256 << 20;

/// A time as Linux's `struct timespec64` has it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Timestamp {
    /// Seconds since 1970-01-01 UTC.
    pub seconds: i64,
    /// Nanoseconds, below 1,000,000,000.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// A moment after 1970, in nanoseconds since then.
    #[must_use]
    pub const fn from_unix_nanoseconds(nanoseconds: u64) -> Self {
        Self {
            seconds: (nanoseconds / 1_000_000_000) as i64,
            nanoseconds: (nanoseconds % 1_000_000_000) as u32,
        }
    }
}

/// What an entry is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Its length in bytes, at most [`FILE_BYTES_MAX`].
        byte_len: u64,
    },
    /// A symbolic link.
    Symlink {
        /// 1 to [`TARGET_BYTES_MAX`] bytes without NUL.
        target: Vec<u8>,
    },
}

/// What the listing tells of a file, beside its name and its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits, as in `st_mode & 0o7777`.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// When its contents last changed.
    pub mtime: Timestamp,
}

/// Why a listing is refused.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ListingError {
    /// The bytes are something else.
    #[error("this is no workspace listing, or one of another version")]
    NotAListing,
    /// The bytes end early.
    #[error("a workspace listing ends early at byte {at_byte}: it is damaged")]
    Truncated {
        /// Where more bytes were expected.
        at_byte: usize,
    },
    /// A field holds a value that no listing holds.
    #[error("entry {entry} of a workspace listing is impossible ({what}): it is damaged")]
    BadEntry {
        /// The entry's number.
        entry: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// There is more than fits.
    #[error("a workspace of more than {limit} {what} is too large")]
    TooLarge {
        /// The limit.
        limit: usize,
        /// What it limits.
        what: &'static str,
    },
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Listed {
    parent: u32,
    name: Box<[u8]>,
    entry: Entry,
    /// Numbers of a directory's entries.
    children: Range<u32>,
}

/// A frozen listing. Entries are numbered breadth first; the root is number 0.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listing {
    entries: Vec<Listed>,
    hash: ImageHash,
}

impl Listing {
    /// The listing that these bytes encode.
    ///
    /// # Errors
    /// [`ListingError`]; one tree has one encoding, and all others are refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, ListingError> {
        Ok(Self {
            entries: encoding::decode(bytes)?,
            hash: ImageHash::of(bytes),
        })
    }

    /// The name of the listing as an image: the hash of its encoding.
    #[must_use]
    pub fn hash(&self) -> ImageHash {
        self.hash
    }

    /// How many entries there are, the root included: at least 1.
    #[must_use]
    pub fn entry_count(&self) -> u32 {
        self.entries.len() as u32
    }

    /// The entry of this number.
    #[must_use]
    pub fn entry(&self, number: u32) -> Option<&Entry> {
        Some(&self.listed(number)?.entry)
    }

    /// The name of the entry of this number; empty for the root.
    #[must_use]
    pub fn name(&self, number: u32) -> Option<&[u8]> {
        Some(&self.listed(number)?.name)
    }

    /// The number of the directory that an entry is in; the root's is its own.
    #[must_use]
    pub fn parent(&self, number: u32) -> Option<u32> {
        Some(self.listed(number)?.parent)
    }

    /// Numbers of the entries of a directory, sorted by name; empty for anything else.
    #[must_use]
    pub fn children(&self, number: u32) -> Range<u32> {
        self.listed(number)
            .map_or(0..0, |listed| listed.children.clone())
    }

    /// The number of the entry of this name in a directory.
    #[must_use]
    pub fn lookup(&self, directory: u32, name: &[u8]) -> Option<u32> {
        let children = self.children(directory);
        let (start, end) = (children.start as usize, children.end as usize);
        let place = self.entries[start..end].binary_search_by(|listed| (*listed.name).cmp(name));
        Some(children.start + place.ok()? as u32)
    }

    /// The path of an entry below the root, components joined by `/`; empty for the root. It is what a host opens.
    #[must_use]
    pub fn path(&self, number: u32) -> Option<Vec<u8>> {
        let mut names = Vec::new();
        let mut at = self.listed(number)?;
        // A parent's number is smaller than its child's, so this ends.
        while !at.name.is_empty() {
            names.push(&*at.name);
            at = self.listed(at.parent)?;
        }
        names.reverse();
        Some(names.join(&b'/'))
    }

    /// The length of a regular file.
    #[must_use]
    pub fn file_bytes(&self, number: u32) -> Option<u64> {
        match self.entry(number)?.kind {
            EntryKind::File { byte_len } => Some(byte_len),
            EntryKind::Directory | EntryKind::Symlink { .. } => None,
        }
    }

    fn listed(&self, number: u32) -> Option<&Listed> {
        self.entries.get(number as usize)
    }
}

/// A directory that a [`ListingBuilder`] knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BuilderDirectory(usize);

/// Makes a listing of entries that come in any order, parents first.
#[derive(Debug)]
pub struct ListingBuilder {
    nodes: Vec<BuilderNode>,
}

#[derive(Debug)]
struct BuilderNode {
    entry: Entry,
    depth: u16,
    children: BTreeMap<Box<[u8]>, usize>,
}

impl ListingBuilder {
    /// The root, in a listing that holds nothing else yet.
    pub const ROOT: BuilderDirectory = BuilderDirectory(0);

    /// A listing of a root alone. Of `root`'s kind nothing is used: the root is a directory.
    #[must_use]
    pub fn new(root: Entry) -> Self {
        let entry = Entry {
            kind: EntryKind::Directory,
            ..root
        };
        Self {
            nodes: vec![BuilderNode {
                entry,
                depth: 0,
                children: BTreeMap::new(),
            }],
        }
    }

    /// Adds an entry to a directory; returns what its own entries are added to, if it is a directory itself.
    ///
    /// # Errors
    /// [`ListingError`] when a name is no name or is taken, or when a limit is passed; the entry is then left out.
    pub fn add(
        &mut self,
        directory: BuilderDirectory,
        name: &[u8],
        entry: Entry,
    ) -> Result<BuilderDirectory, ListingError> {
        let number = self.nodes.len();
        let bad = |what| ListingError::BadEntry {
            entry: number,
            what,
        };
        if number >= ENTRIES_MAX {
            return Err(ListingError::TooLarge {
                limit: ENTRIES_MAX,
                what: "entries",
            });
        }
        check_name(name).map_err(bad)?;
        check_entry(&entry).map_err(bad)?;
        let parent = self
            .nodes
            .get_mut(directory.0)
            .filter(|parent| parent.entry.kind == EntryKind::Directory)
            .ok_or(bad("its parent is no directory"))?;
        let depth = parent.depth + 1;
        if depth > DEPTH_MAX {
            return Err(bad("it is too deep"));
        }
        if parent.children.contains_key(name) {
            return Err(bad("its name is taken"));
        }
        parent.children.insert(name.into(), number);
        self.nodes.push(BuilderNode {
            entry,
            depth,
            children: BTreeMap::new(),
        });
        Ok(BuilderDirectory(number))
    }

    /// The listing's encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut entries = Vec::with_capacity(self.nodes.len());
        let mut waiting = VecDeque::from([(0, 0, &[][..])]);
        while let Some((node, parent, name)) = waiting.pop_front() {
            let node: &BuilderNode = &self.nodes[node];
            let number = entries.len() as u32;
            entries.push((parent, name, &node.entry));
            let children = node.children.iter();
            waiting.extend(children.map(|(name, child)| (*child, number, &**name)));
        }
        encoding::encode(&entries)
    }
}

/// Checks a name as it may stand in a directory.
pub(super) fn check_name(name: &[u8]) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err("a name's length");
    }
    if name == b"." || name == b".." {
        return Err("a name that means another directory");
    }
    if name.contains(&b'/') || name.contains(&0) {
        return Err("a name with a byte that no name has");
    }
    Ok(())
}

/// Checks a symbolic link's target.
pub(super) fn check_target(target: &[u8]) -> Result<(), &'static str> {
    if target.is_empty() || target.len() > TARGET_BYTES_MAX || target.contains(&0) {
        return Err("a link's target");
    }
    Ok(())
}

fn check_entry(entry: &Entry) -> Result<(), &'static str> {
    if entry.mode > 0o7777 {
        return Err("a mode");
    }
    if entry.mtime.nanoseconds >= 1_000_000_000 {
        return Err("a time");
    }
    match &entry.kind {
        EntryKind::Directory => Ok(()),
        EntryKind::File { byte_len } if *byte_len > FILE_BYTES_MAX => Err("a length"),
        EntryKind::File { .. } => Ok(()),
        EntryKind::Symlink { target } => check_target(target),
    }
}

#[cfg(test)]
mod tests;
