//! What the guest has made of the workspace: whatever is not as, or not where, the listing has it.

use super::listing::Timestamp;
use super::node::{Body, Inode, Node};
use super::tree::Tree;
use std::collections::BTreeSet;

/// Bytes of all paths together that [`Changes`] may have: a guest can make directories so deep that their paths have no end.
pub const CHANGED_PATHS_BYTES_MAX: usize = 64 << 20;

/// Something below the workspace's root that was made, moved or changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changed {
    /// Where it is, components joined by `/`; no component is empty, `.` or `..`.
    pub path: Vec<u8>,
    /// Its `qid.path`, by which [`super::Server::look`] reads it.
    pub inode: u64,
    /// What it is.
    pub kind: ChangedKind,
    /// Permission bits, at most `0o7777`.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// When its contents last changed.
    pub mtime: Timestamp,
    /// Where the listing has it, if it is somewhere else now.
    pub listed_as: Option<Vec<u8>>,
}

/// What something that has changed is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ChangedKind {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Its length in bytes.
        byte_len: u64,
    },
    /// A symbolic link.
    Symlink {
        /// Where it leads.
        target: Vec<u8>,
    },
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
}

/// How the workspace differs from its listing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// What was made, moved or changed, ordered by path: a directory stands before what is in it. Of directories that
    /// are where the listing has them, only those with another owner or mode.
    pub changed: Vec<Changed>,
    /// Paths of the listing at which there is nothing any more, ordered. What was in a directory that is gone is not
    /// told of.
    pub removed: Vec<Vec<u8>>,
    /// There is more than is told: the paths were too long.
    pub is_cut: bool,
}

/// A directory that is still to be gone through.
struct Waiting {
    inode: Inode,
    path: Vec<u8>,
    /// It is where the listing has it.
    is_in_place: bool,
}

impl Tree {
    pub(super) fn changes(&self) -> Changes {
        let mut walk = Walk {
            tree: self,
            changes: Changes::default(),
            path_bytes_left: CHANGED_PATHS_BYTES_MAX,
            seen: BTreeSet::new(),
            waiting: vec![Waiting {
                inode: Inode::ROOT,
                path: Vec::new(),
                is_in_place: true,
            }],
        };
        while let Some(directory) = walk.waiting.pop() {
            walk.directory(&directory);
        }
        let mut changes = walk.changes;
        changes
            .changed
            .sort_by(|one, other| one.path.cmp(&other.path));
        changes.removed.sort();
        changes
    }
}

struct Walk<'a> {
    tree: &'a Tree,
    changes: Changes,
    path_bytes_left: usize,
    /// Directories that were met, so that a state with a ring in it ends as well.
    seen: BTreeSet<Inode>,
    waiting: Vec<Waiting>,
}

impl Walk<'_> {
    fn directory(&mut self, directory: &Waiting) {
        if !self.seen.insert(directory.inode) {
            return;
        }
        let listing = self.tree.listing();
        let number = directory
            .inode
            .entry(listing)
            .filter(|_| directory.is_in_place);
        let mut children = Vec::new();
        // What is no directory has no entries.
        let _ = self.tree.read_directory(directory.inode, 0, |listed| {
            children.push((listed.name.to_vec(), listed.inode));
            true
        });
        for (name, inode) in &children {
            let child = inode.entry(listing);
            let is_in_place = child.is_some_and(|child| {
                listing.parent(child) == number && listing.name(child) == Some(name)
            });
            self.entry(directory, name, *inode, is_in_place);
        }
        let listed = number.map_or(0..0, |number| listing.children(number));
        if listed.is_empty() {
            return;
        }
        let names: BTreeSet<&[u8]> = children.iter().map(|(name, _)| &name[..]).collect();
        for child in listed {
            let name = listing.name(child).unwrap_or_default();
            if !names.contains(name)
                && let Some(path) = self.path(directory, name)
            {
                self.changes.removed.push(path);
            }
        }
    }

    fn entry(&mut self, directory: &Waiting, name: &[u8], inode: Inode, is_in_place: bool) {
        let tree = self.tree;
        let Ok(node) = tree.node(inode) else {
            return;
        };
        let number = inode.entry(tree.listing());
        let listed = number.and_then(|number| Node::of_listing(tree.listing(), number));
        let is_as_listed = is_in_place && listed.is_some_and(|listed| is_same(&node, &listed));
        if is_as_listed && !node.is_directory() {
            return;
        }
        let Some(path) = self.path(directory, name) else {
            return;
        };
        if node.is_directory() {
            self.waiting.push(Waiting {
                inode,
                path: path.clone(),
                is_in_place,
            });
        }
        if is_as_listed {
            return;
        }
        let kind = match &node.body {
            Body::Directory { .. } => ChangedKind::Directory,
            Body::File(file) => ChangedKind::File {
                byte_len: file.byte_len(),
            },
            Body::Symlink(target) => ChangedKind::Symlink {
                target: target.clone(),
            },
            Body::Fifo => ChangedKind::Fifo,
            Body::Socket => ChangedKind::Socket,
        };
        let listed_as = number
            .filter(|_| !is_in_place)
            .and_then(|number| tree.listing().path(number));
        if let Some(path) = &listed_as {
            let Some(left) = self.path_bytes_left.checked_sub(path.len()) else {
                self.changes.is_cut = true;
                return;
            };
            self.path_bytes_left = left;
        }
        self.changes.changed.push(Changed {
            path,
            inode: inode.0,
            kind,
            mode: node.ownership.permissions,
            uid: node.ownership.uid,
            gid: node.ownership.gid,
            mtime: node.mtime,
            listed_as,
        });
    }

    /// The path of a name in a directory, if there is room for it.
    fn path(&mut self, directory: &Waiting, name: &[u8]) -> Option<Vec<u8>> {
        let length = directory.path.len() + 1 + name.len();
        let Some(left) = self.path_bytes_left.checked_sub(length) else {
            self.changes.is_cut = true;
            return None;
        };
        self.path_bytes_left = left;
        Some(match &directory.path[..] {
            [] => name.to_vec(),
            path => [path, b"/", name].concat(),
        })
    }
}

/// Whether a node is as the listing has it, by what a person would call a change: who has read it, and when a directory
/// got another entry, is none.
fn is_same(node: &Node, listed: &Node) -> bool {
    let is_body_same = match (&node.body, &listed.body) {
        (Body::Directory { .. }, Body::Directory { .. }) => true,
        (Body::File(file), Body::File(of_listing)) => {
            file == of_listing && node.mtime == listed.mtime
        }
        (body, of_listing) => body == of_listing,
    };
    is_body_same && node.ownership == listed.ownership
}
