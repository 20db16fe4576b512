//! What changes names: creating, linking, removing, renaming.

use super::super::directory::Entries;
use super::super::errno::Errno;
use super::super::listing::{NAME_BYTES_MAX, Timestamp, check_name};
use super::super::node::{Body, Inode, Node, Ownership};
use super::{NODES_MAX, Tree};

/// Names of one file, as in ext4.
const LINKS_MAX: u32 = 65_000;

/// A name in a directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) struct Place<'a> {
    pub(in super::super) directory: Inode,
    pub(in super::super) name: &'a [u8],
}

/// What a removal expects to find.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) enum Removal {
    /// Anything but a directory (`unlink`).
    File,
    /// An empty directory (`rmdir`).
    Directory,
}

impl Tree {
    /// What a name in a directory refers to. `.` and `..` are no names here.
    pub(in super::super) fn lookup(&self, at: Place<'_>) -> Result<Inode, Errno> {
        if at.name.len() > NAME_BYTES_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        let node = self.node(at.directory)?;
        let Body::Directory { entries, .. } = &node.body else {
            return Err(Errno::NOTDIR);
        };
        let found = match entries {
            Some(entries) => entries.get(at.name),
            None => {
                let number = at.directory.entry(&self.listing);
                let child = number.and_then(|number| self.listing.lookup(number, at.name));
                child.map(Inode::from_entry)
            }
        };
        found.ok_or(Errno::NOENT)
    }

    /// The directory that a directory is in.
    pub(in super::super) fn parent(&self, directory: Inode) -> Result<Inode, Errno> {
        let node = self.node(directory)?;
        match &node.body {
            // The way up from a removed directory may lead to one that is gone for good.
            Body::Directory { .. } if node.links == 0 => Err(Errno::NOENT),
            Body::Directory { parent, .. } => Ok(*parent),
            _ => Err(Errno::NOTDIR),
        }
    }

    /// Checks that a new name may be made in a directory that exists; returns what refers to it now.
    fn check_place(&self, at: Place<'_>) -> Result<Option<Inode>, Errno> {
        if at.name.len() > NAME_BYTES_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        let found = match self.lookup(at) {
            Ok(inode) => Some(inode),
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(errno),
        };
        if at.name == b"." || at.name == b".." {
            return Err(Errno::EXIST);
        }
        check_name(at.name).map_err(|_| Errno::INVAL)?;
        if self.node(at.directory)?.links == 0 {
            return Err(Errno::NOENT);
        }
        Ok(found)
    }

    /// What it takes to copy a directory with its entries from the listing, if they are still there alone.
    fn copy_directory_bytes(&self, directory: Inode) -> Result<u64, Errno> {
        let node = self.node(directory)?;
        let mut bytes = self.copy_bytes(directory)?;
        if let Body::Directory { entries: None, .. } = &node.body
            && let Some(number) = directory.entry(&self.listing)
        {
            let children = self.listing.children(number);
            let names = children.filter_map(|child| self.listing.name(child));
            bytes += names.map(Entries::entry_bytes).sum::<u64>();
        }
        Ok(bytes)
    }

    fn change_entries(
        &mut self,
        directory: Inode,
        now: Timestamp,
        change: impl FnOnce(&mut Entries),
    ) -> Result<(), Errno> {
        let node = self.node(directory)?;
        let copy = match &node.body {
            Body::Directory { entries: None, .. } => Some(self.copied_entries(directory)),
            Body::Directory { .. } => None,
            _ => return Err(Errno::NOTDIR),
        };
        self.change(directory, |node, _| {
            if let Body::Directory { entries, .. } = &mut node.body {
                change(entries.get_or_insert_with(|| copy.unwrap_or_default()));
            }
            node.touch(now);
        })
    }

    /// Makes a file, directory, link, FIFO or socket.
    pub(in super::super) fn create(
        &mut self,
        at: Place<'_>,
        body: Body,
        ownership: Ownership,
        now: Timestamp,
    ) -> Result<Inode, Errno> {
        if self.check_place(at)?.is_some() {
            return Err(Errno::EXIST);
        }
        let node = Node::new(body, ownership, now);
        let bytes = node.bytes() + Entries::entry_bytes(at.name);
        self.check_room(self.copy_directory_bytes(at.directory)? + bytes)?;
        if self.nodes.len() >= NODES_MAX {
            return Err(Errno::NOSPC);
        }
        let inode = self.next_inode;
        self.change_entries(at.directory, now, |entries| entries.set(at.name, inode))?;
        self.next_inode.0 += 1;
        self.used_bytes += node.bytes();
        self.nodes.insert(inode, node);
        Ok(inode)
    }

    /// Gives a file another name.
    pub(in super::super) fn link(
        &mut self,
        inode: Inode,
        at: Place<'_>,
        now: Timestamp,
    ) -> Result<(), Errno> {
        let node = self.node(inode)?;
        if node.is_directory() {
            return Err(Errno::PERM);
        }
        if self.check_place(at)?.is_some() {
            return Err(Errno::EXIST);
        }
        match node.links {
            0 => return Err(Errno::NOENT),
            LINKS_MAX.. => return Err(Errno::MLINK),
            _ => {}
        }
        let bytes = self.copy_bytes(inode)? + Entries::entry_bytes(at.name);
        self.check_room(self.copy_directory_bytes(at.directory)? + bytes)?;
        self.change_entries(at.directory, now, |entries| entries.set(at.name, inode))?;
        self.change(inode, |node, _| {
            node.links += 1;
            node.ctime = now;
        })
    }

    /// Removes a name, and what it refers to when it was the last one and no fid refers to it.
    pub(in super::super) fn remove(
        &mut self,
        at: Place<'_>,
        removal: Removal,
        now: Timestamp,
    ) -> Result<(), Errno> {
        match (at.name, removal) {
            (b".", _) => return Err(Errno::INVAL),
            (b"..", _) => return Err(Errno::NOTEMPTY),
            _ => {}
        }
        let inode = self.lookup(at)?;
        let is_directory = self.node(inode)?.is_directory();
        match removal {
            Removal::File if is_directory => return Err(Errno::ISDIR),
            Removal::Directory if !is_directory => return Err(Errno::NOTDIR),
            Removal::Directory if !self.is_empty_directory(inode)? => return Err(Errno::NOTEMPTY),
            Removal::File | Removal::Directory => {}
        }
        self.change_entries(at.directory, now, |entries| entries.remove(at.name))?;
        self.drop_name(inode, now)
    }

    fn is_empty_directory(&self, directory: Inode) -> Result<bool, Errno> {
        let mut is_empty = true;
        self.read_directory(directory, 0, |_| {
            is_empty = false;
            false
        })?;
        Ok(is_empty)
    }

    /// Counts a name that an inode has lost.
    fn drop_name(&mut self, inode: Inode, now: Timestamp) -> Result<(), Errno> {
        self.change(inode, |node, _| {
            node.links = node.links.saturating_sub(1);
            node.ctime = now;
        })?;
        self.forget_unused(inode);
        Ok(())
    }

    /// Moves a name, over one that exists if need be (rename(2)).
    pub(in super::super) fn rename(
        &mut self,
        from: Place<'_>,
        to: Place<'_>,
        now: Timestamp,
    ) -> Result<(), Errno> {
        if [&b"."[..], b".."].contains(&from.name) || [&b"."[..], b".."].contains(&to.name) {
            return Err(Errno::INVAL);
        }
        let inode = self.lookup(from)?;
        let replaced = self.check_place(to)?;
        if replaced == Some(inode) {
            // Two names of one file stay as they are.
            return Ok(());
        }
        let is_directory = self.node(inode)?.is_directory();
        if is_directory && self.is_within(to.directory, inode)? {
            return Err(Errno::INVAL);
        }
        if let Some(replaced) = replaced {
            match (is_directory, self.node(replaced)?.is_directory()) {
                (true, false) => return Err(Errno::NOTDIR),
                (false, true) => return Err(Errno::ISDIR),
                (true, true) if !self.is_empty_directory(replaced)? => {
                    return Err(Errno::NOTEMPTY);
                }
                _ => {}
            }
        }
        let mut bytes = Entries::entry_bytes(to.name) + self.copy_bytes(inode)?;
        bytes += self.copy_directory_bytes(from.directory)?;
        if to.directory != from.directory {
            bytes += self.copy_directory_bytes(to.directory)?;
        }
        self.check_room(bytes)?;
        self.change_entries(from.directory, now, |entries| entries.remove(from.name))?;
        self.change_entries(to.directory, now, |entries| entries.set(to.name, inode))?;
        self.change(inode, |node, _| {
            if let Body::Directory { parent, .. } = &mut node.body {
                *parent = to.directory;
            }
            node.ctime = now;
        })?;
        match replaced {
            Some(replaced) => self.drop_name(replaced, now),
            None => Ok(()),
        }
    }

    /// Whether a directory is another one or lies below it.
    fn is_within(&self, directory: Inode, above: Inode) -> Result<bool, Errno> {
        let mut at = directory;
        // Parents form no circle: a directory is never moved below itself.
        while at != above {
            if at == Inode::ROOT {
                return Ok(false);
            }
            at = self.parent(at)?;
        }
        Ok(true)
    }
}
