//! The file system of an image: metadata in memory, files' bytes in a [`Spool`](crate::Spool).

mod apply;
mod builder;
mod growing;

use std::collections::{BTreeMap, btree_map};

pub use builder::TreeBuilder;

/// Seconds and nanoseconds since the beginning of 1970; the nanoseconds are below 10^9 and count forwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Whole seconds, negative before 1970.
    pub seconds: i64,
    /// The rest.
    pub nanoseconds: u32,
}

/// What an inode has whatever its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Permissions with setuid, setgid and sticky: the low 12 bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of last modification.
    pub mtime: Time,
    /// Extended attributes by their whole name, as `security.capability`.
    pub xattrs: BTreeMap<Box<[u8]>, Box<[u8]>>,
}

impl Metadata {
    /// Of a directory that no layer describes: `root` owns it, and its time is the beginning of 1970.
    pub(crate) fn implied() -> Self {
        Self {
            mode: 0o755,
            uid: 0,
            gid: 0,
            mtime: Time::default(),
            xattrs: BTreeMap::new(),
        }
    }
}

/// Names a node of a [`Tree`]. Ids are given in the order of [`Tree::walk`], so equal trees have equal ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) u32);

/// Where a file's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Offset in the spool.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
}

/// An inode.
#[derive(Clone, Debug)]
pub struct Node {
    /// Owner, permissions, time, attributes.
    pub metadata: Metadata,
    /// How many names it has; for a directory 2 and its subdirectories, as Linux counts.
    pub links: u32,
    /// What it is.
    pub kind: NodeKind,
}

/// What an inode is.
#[derive(Clone, Debug)]
pub enum NodeKind {
    /// A directory with its names.
    Directory(BTreeMap<Box<[u8]>, NodeId>),
    /// A regular file.
    File(Content),
    /// A symbolic link with its target, of 1 to 4095 bytes.
    Symlink(Box<[u8]>),
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// A whole file system, as the layers left it. A name leads to one inode, an inode that is no directory may
/// have several names.
#[derive(Clone, Debug)]
pub struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    /// The root directory.
    pub const ROOT: NodeId = NodeId(0);

    pub(crate) fn new(nodes: Vec<Node>) -> Self {
        Self { nodes }
    }

    /// An inode of this tree.
    ///
    /// # Panics
    /// If `id` is of another, larger tree.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// All inodes in the order of their ids.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = (NodeId, &Node)> {
        // There are fewer nodes than `u32` counts: `Limits::entries_max` is far below, and ids are made from
        // the index.
        let nodes = self.nodes.iter().enumerate();
        nodes.map(|(index, node)| (NodeId(index as u32), node))
    }

    /// The inode of a path, without following links; `None` also where the path goes through something else
    /// than a directory.
    pub fn find(&self, path: &[u8]) -> Option<NodeId> {
        let mut found = Self::ROOT;
        for name in path
            .split(|&byte| byte == b'/')
            .filter(|name| !name.is_empty())
        {
            let NodeKind::Directory(children) = &self.node(found).kind else {
                return None;
            };
            found = *children.get(name)?;
        }
        Some(found)
    }

    /// Every name with its inode: a directory before what is in it, names in the order of their bytes. The
    /// root's path is empty, others have no slash in front.
    pub fn walk(&self) -> Walk<'_> {
        Walk {
            tree: self,
            path: Vec::new(),
            open: Vec::new(),
            begun: false,
        }
    }
}

/// See [`Tree::walk`].
pub struct Walk<'t> {
    tree: &'t Tree,
    path: Vec<u8>,
    /// Directories that are not over.
    open: Vec<OpenDirectory<'t>>,
    begun: bool,
}

struct OpenDirectory<'t> {
    /// Length of its path.
    path_bytes: usize,
    children: btree_map::Iter<'t, Box<[u8]>, NodeId>,
}

impl<'t> Walk<'t> {
    fn enter(&mut self, id: NodeId) -> (Vec<u8>, NodeId, &'t Node) {
        let node = self.tree.node(id);
        if let NodeKind::Directory(children) = &node.kind {
            self.open.push(OpenDirectory {
                path_bytes: self.path.len(),
                children: children.iter(),
            });
        }
        (self.path.clone(), id, node)
    }
}

impl<'t> Iterator for Walk<'t> {
    type Item = (Vec<u8>, NodeId, &'t Node);

    fn next(&mut self) -> Option<Self::Item> {
        if !self.begun {
            self.begun = true;
            return Some(self.enter(Tree::ROOT));
        }
        loop {
            let directory = self.open.last_mut()?;
            self.path.truncate(directory.path_bytes);
            if let Some((name, &id)) = directory.children.next() {
                if !self.path.is_empty() {
                    self.path.push(b'/');
                }
                self.path.extend_from_slice(name);
                return Some(self.enter(id));
            }
            self.open.pop();
        }
    }
}
