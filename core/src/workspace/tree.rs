//! The namespace: the listing, and the overlay over it.

mod names;
mod state;

pub(super) use names::{Place, Removal};

use super::Stop;
use super::content::{Content, ContentError, ContentKey, Contents};
use super::directory::{Entries, FIRST_COOKIE};
use super::errno::Errno;
use super::file::{BLOCK_BYTES, BLOCK_COST_BYTES, Base};
use super::listing::{FILE_BYTES_MAX, Listing, Timestamp};
use super::node::{Body, Inode, Node};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Nodes that the guest may make: beyond them the overlay is full, whatever its budget.
pub(super) const NODES_MAX: usize = 1 << 20;

/// What a client wants changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Changes {
    pub(super) permissions: Option<u32>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) byte_len: Option<u64>,
    pub(super) atime: Option<Timestamp>,
    pub(super) mtime: Option<Timestamp>,
}

/// An entry of a directory that is read.
pub(super) struct Listed<'a> {
    /// Where a reader goes on behind this entry.
    pub(super) cookie: u64,
    pub(super) name: &'a [u8],
    pub(super) inode: Inode,
}

/// The workspace's files.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    listing: Arc<Listing>,
    contents: Contents,
    /// What is not, or no longer, as the listing has it. What was removed stays while it has references.
    nodes: BTreeMap<Inode, Node>,
    next_inode: Inode,
    budget_bytes: u64,
    /// Sum of the nodes' bytes. Removals may pass the budget a little, so that a full overlay can be emptied.
    used_bytes: u64,
    /// How many fids refer to what; the server's, kept here since what has none and no name goes.
    references: BTreeMap<Inode, u32>,
}

impl Tree {
    pub(super) fn new(listing: Arc<Listing>, budget_bytes: u64) -> Self {
        let next_inode = Inode::from_entry(listing.entry_count());
        Self {
            listing,
            contents: Contents::default(),
            nodes: BTreeMap::new(),
            next_inode,
            budget_bytes,
            used_bytes: 0,
            references: BTreeMap::new(),
        }
    }

    pub(super) fn insert_content(
        &mut self,
        key: ContentKey,
        content: Content,
    ) -> Result<(), ContentError> {
        self.contents.insert(&self.listing, key, content)
    }

    pub(super) fn listing(&self) -> &Listing {
        &self.listing
    }

    pub(super) fn has_content(&self, key: ContentKey) -> bool {
        self.contents.has(key)
    }

    pub(super) fn budget_bytes(&self) -> u64 {
        self.budget_bytes
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    pub(super) fn nodes_left(&self) -> u64 {
        NODES_MAX.saturating_sub(self.nodes.len()) as u64
    }

    /// What an inode is.
    pub(super) fn node(&self, inode: Inode) -> Result<Cow<'_, Node>, Errno> {
        if let Some(node) = self.nodes.get(&inode) {
            return Ok(Cow::Borrowed(node));
        }
        let number = inode.entry(&self.listing);
        let node = number.and_then(|number| Node::of_listing(&self.listing, number));
        node.map(Cow::Owned).ok_or(Errno::STALE)
    }

    /// Changes a node, which is copied from the listing first if need be, and keeps account of its size.
    fn change<T>(
        &mut self,
        inode: Inode,
        change: impl FnOnce(&mut Node, &Contents) -> T,
    ) -> Result<T, Errno> {
        if !self.nodes.contains_key(&inode) {
            let node = self.node(inode)?.into_owned();
            self.used_bytes += node.bytes();
            self.nodes.insert(inode, node);
        }
        let node = self.nodes.get_mut(&inode).ok_or(Errno::STALE)?;
        let bytes_before = node.bytes();
        let result = change(node, &self.contents);
        self.used_bytes = self.used_bytes - bytes_before + node.bytes();
        Ok(result)
    }

    /// What it takes to copy a node from the listing, if it is still there alone.
    fn copy_bytes(&self, inode: Inode) -> Result<u64, Errno> {
        if self.nodes.contains_key(&inode) {
            return Ok(0);
        }
        Ok(self.node(inode)?.bytes())
    }

    /// Whether so many more bytes fit into the budget.
    fn check_room(&self, bytes: u64) -> Result<(), Errno> {
        match self.used_bytes.checked_add(bytes) {
            Some(used) if used <= self.budget_bytes => Ok(()),
            _ => Err(Errno::NOSPC),
        }
    }

    /// Notes that a fid refers to an inode.
    pub(super) fn refer(&mut self, inode: Inode) {
        *self.references.entry(inode).or_default() += 1;
    }

    /// Notes that a fid no longer refers to an inode.
    pub(super) fn release(&mut self, inode: Inode) {
        if let Some(count) = self.references.get_mut(&inode) {
            *count -= 1;
            if *count == 0 {
                self.references.remove(&inode);
                self.forget_unused(inode);
            }
        }
    }

    /// Drops what has neither a name nor a reference.
    fn forget_unused(&mut self, inode: Inode) {
        let is_gone = self.nodes.get(&inode).is_some_and(|node| node.links == 0);
        if is_gone
            && !self.references.contains_key(&inode)
            && let Some(node) = self.nodes.remove(&inode)
        {
            self.used_bytes -= node.bytes();
        }
    }

    /// Reads bytes of a file; returns how many there were.
    pub(super) fn read(&self, inode: Inode, offset: u64, buffer: &mut [u8]) -> Result<usize, Stop> {
        let node = self.node(inode)?;
        node.file()?.read(self.base(inode), offset, buffer)
    }

    /// Reads bytes of a file, or of a link's target, for somebody who looks: with contents that come later as well.
    /// Returns how many there were; `None` when some are not to be had.
    pub(super) fn look(
        &self,
        inode: Inode,
        offset: u64,
        buffer: &mut [u8],
        later: &mut dyn FnMut(ContentKey) -> Option<Content>,
    ) -> Option<usize> {
        let node = self.node(inode).ok()?;
        if let Body::Symlink(target) = &node.body {
            let rest = target.get(usize::try_from(offset).ok()?..)?;
            let length = rest.len().min(buffer.len());
            buffer[..length].copy_from_slice(&rest[..length]);
            return Some(length);
        }
        let file = node.file().ok()?;
        let end = offset.checked_add(buffer.len() as u64)?;
        let number = inode.entry(&self.listing).unwrap_or(0);
        let contents = (self.contents).part(&self.listing, number, offset..end, later);
        let base = Base {
            number,
            contents: &contents,
        };
        file.read(base, offset, buffer).ok()
    }

    /// Which contents have not come that a range of a file is made of.
    pub(super) fn lacks(&self, inode: Inode, range: Range<u64>) -> Result<Vec<ContentKey>, Errno> {
        let node = self.node(inode)?;
        match node.file()?.check_read(self.base(inode), range) {
            Ok(()) => Ok(Vec::new()),
            Err(Stop::Missing(keys)) => Ok(keys),
            Err(Stop::Error(errno)) => Err(errno),
        }
    }

    fn base(&self, inode: Inode) -> Base<'_> {
        Base {
            number: inode.entry(&self.listing).unwrap_or(0),
            contents: &self.contents,
        }
    }

    /// Writes bytes of a file.
    pub(super) fn write(
        &mut self,
        inode: Inode,
        offset: u64,
        bytes: &[u8],
        now: Timestamp,
    ) -> Result<(), Stop> {
        let length = bytes.len() as u64;
        let end = offset.checked_add(length);
        if end.is_none_or(|end| end > FILE_BYTES_MAX) {
            return Err(Errno::FBIG.into());
        }
        let node = self.node(inode)?;
        let file = node.file()?;
        if bytes.is_empty() {
            return Ok(());
        }
        let added = file.blocks_added(offset, length) * BLOCK_COST_BYTES;
        self.check_room(self.copy_bytes(inode)? + added)?;
        file.check_write(self.base(inode), offset, length)?;
        let number = inode.entry(&self.listing).unwrap_or(0);
        self.change(inode, |node, contents| {
            if let Body::File(file) = &mut node.body {
                file.write(Base { number, contents }, inode.0, offset, bytes);
            }
            node.touch(now);
        })?;
        Ok(())
    }

    /// Changes attributes and length.
    pub(super) fn set_attributes(
        &mut self,
        inode: Inode,
        changes: &Changes,
        now: Timestamp,
    ) -> Result<(), Errno> {
        let node = self.node(inode)?;
        if let Some(byte_len) = changes.byte_len {
            node.file()?;
            if byte_len > FILE_BYTES_MAX {
                return Err(Errno::FBIG);
            }
        }
        self.check_room(self.copy_bytes(inode)?)?;
        self.change(inode, |node, _| {
            if let (Some(byte_len), Body::File(file)) = (changes.byte_len, &mut node.body) {
                file.set_len(inode.0, byte_len);
                node.touch(now);
            }
            let ownership = &mut node.ownership;
            ownership.permissions = changes.permissions.unwrap_or(ownership.permissions);
            ownership.uid = changes.uid.unwrap_or(ownership.uid);
            ownership.gid = changes.gid.unwrap_or(ownership.gid);
            node.atime = changes.atime.unwrap_or(node.atime);
            node.mtime = changes.mtime.unwrap_or(node.mtime);
            node.ctime = now;
        })
    }

    /// How many blocks of 512 bytes a node takes up, as `st_blocks` says.
    pub(super) fn sectors(node: &Node) -> u64 {
        match &node.body {
            Body::File(file) => {
                // Written blocks that lie over the listing's bytes take no more than those did.
                let base_blocks = file.base_bytes().div_ceil(BLOCK_BYTES);
                (base_blocks + file.block_count()).min(file.byte_len().div_ceil(BLOCK_BYTES)) * 8
            }
            _ => 0,
        }
    }

    /// The entries of a directory after a cookie, without `.` and `..`, handed over until `take` returns false.
    pub(super) fn read_directory(
        &self,
        directory: Inode,
        cookie: u64,
        mut take: impl FnMut(Listed<'_>) -> bool,
    ) -> Result<(), Errno> {
        let node = self.node(directory)?;
        let Body::Directory { entries, .. } = &node.body else {
            return Err(Errno::NOTDIR);
        };
        if let Some(entries) = entries {
            for (cookie, name, inode) in entries.after(cookie) {
                if !take(Listed {
                    cookie,
                    name,
                    inode,
                }) {
                    break;
                }
            }
            return Ok(());
        }
        let Some(number) = directory.entry(&self.listing) else {
            return Ok(());
        };
        let children = self.listing.children(number);
        let passed = cookie.saturating_sub(FIRST_COOKIE - 1);
        let passed = u32::try_from(passed)
            .unwrap_or(u32::MAX)
            .min(children.end - children.start);
        for child in children.start + passed..children.end {
            let listed = Listed {
                cookie: FIRST_COOKIE + u64::from(child - children.start),
                name: self.listing.name(child).unwrap_or_default(),
                inode: Inode::from_entry(child),
            };
            if !take(listed) {
                break;
            }
        }
        Ok(())
    }

    /// The entries of a directory of the listing, to be changed.
    fn copied_entries(&self, directory: Inode) -> Entries {
        let mut copy = Entries::default();
        let number = directory.entry(&self.listing);
        let children = number.map_or(0..0, |number| self.listing.children(number));
        for child in children {
            let name = self.listing.name(child).unwrap_or_default();
            copy.set(name, Inode::from_entry(child));
        }
        copy
    }
}
