//! A tree while layers are applied to it.

use std::collections::BTreeMap;

use super::{Content, Metadata, Node, NodeId, NodeKind, Tree};
use crate::error::EntryFault;
use crate::limits::Limits;

/// An inode; names and links are counted when the tree is finished.
pub(super) struct GrowingNode {
    pub(super) metadata: Metadata,
    pub(super) kind: GrowingKind,
}

pub(super) enum GrowingKind {
    Directory(Directory),
    File(Content),
    Symlink(Box<[u8]>),
    CharDevice { major: u32, minor: u32 },
    BlockDevice { major: u32, minor: u32 },
    Fifo,
}

#[derive(Default)]
pub(super) struct Directory {
    pub(super) names: BTreeMap<Box<[u8]>, Name>,
    /// The last layer that has an entry for the directory itself.
    pub(super) described_by: u32,
    /// The last layer that hid from this directory what is below it.
    pub(super) pruned_by: u32,
}

/// A directory's entry.
#[derive(Clone, Copy)]
pub(super) struct Name {
    pub(super) node: NodeId,
    /// The last layer that put something here or below: whiteouts of the same layer leave it alone.
    pub(super) layer: u32,
}

/// Symbolic links followed on the way to one entry, as in Linux (`MAXSYMLINKS`).
const LINKS_MAX: usize = 40;
/// Components looked up on the way to one entry, those of links included.
const COMPONENTS_MAX: usize = 1024;

/// Whether the way to an entry is made where it is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Made, and the way belongs to this layer then.
    Make { layer: u32 },
    /// Left alone, and so is a way through something that is no directory.
    Leave,
}

pub(super) struct Growing {
    /// What nothing leads to any more stays until the tree is finished.
    nodes: Vec<GrowingNode>,
}

impl Growing {
    pub(super) fn new() -> Self {
        let root = GrowingNode {
            metadata: Metadata::implied(),
            kind: GrowingKind::Directory(Directory::default()),
        };
        Self { nodes: vec![root] }
    }

    /// How many inodes were ever made.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn node(&self, id: NodeId) -> &GrowingNode {
        &self.nodes[id.0 as usize]
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut GrowingNode {
        &mut self.nodes[id.0 as usize]
    }

    /// The directory `id`, if it is one.
    pub(super) fn directory(&mut self, id: NodeId) -> Option<&mut Directory> {
        match &mut self.node_mut(id).kind {
            GrowingKind::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    pub(super) fn child(&self, directory: NodeId, name: &[u8]) -> Option<Name> {
        match &self.node(directory).kind {
            GrowingKind::Directory(directory) => directory.names.get(name).copied(),
            _ => None,
        }
    }

    /// Adds an inode. The callers have counted it against `Limits::entries_max`.
    pub(super) fn add(&mut self, node: GrowingNode) -> NodeId {
        let id = u32::try_from(self.nodes.len());
        self.nodes.push(node);
        NodeId(id.unwrap_or_else(|_| panic!("more inodes than `Limits` allows")))
    }

    /// Puts a name into a directory, instead of what had it before.
    pub(super) fn put(&mut self, parent: NodeId, name: &[u8], node: NodeId, layer: u32) {
        if let Some(directory) = self.directory(parent) {
            directory.names.insert(name.into(), Name { node, layer });
        }
    }

    /// The directory at the end of `components`. Symbolic links on the way are followed inside the root, as a
    /// process would that has it as its root: `..` and `/` in their targets lead no further up than to the
    /// root. `None` if it is not there.
    pub(super) fn resolve(
        &mut self,
        components: &[&[u8]],
        missing: Missing,
        limits: &Limits,
    ) -> Result<Option<NodeId>, EntryFault> {
        let mut way = vec![Tree::ROOT];
        let mut links = 0;
        let mut looked_up = 0;
        // In reverse, so that a link's target takes the link's place at the end.
        let mut ahead: Vec<Box<[u8]>> = components.iter().rev().map(|&name| name.into()).collect();
        while let Some(name) = ahead.pop() {
            looked_up += 1;
            if looked_up > COMPONENTS_MAX {
                return Err(EntryFault::Links);
            }
            if &*name == b".." {
                way.truncate(way.len().saturating_sub(1).max(1));
                continue;
            }
            let here = *way.last().unwrap_or(&Tree::ROOT);
            let next = match self.child(here, &name) {
                Some(found) => found.node,
                None => match missing {
                    Missing::Leave => return Ok(None),
                    Missing::Make { layer } => self.make_implied(here, &name, layer)?,
                },
            };
            match &self.node(next).kind {
                GrowingKind::Directory(_) => {
                    if let (Missing::Make { layer }, Some(directory)) =
                        (missing, self.directory(here))
                        && let Some(on_way) = directory.names.get_mut(&name)
                    {
                        on_way.layer = layer;
                    }
                    way.push(next);
                    if way.len() > limits.depth_max {
                        return Err(EntryFault::Deep);
                    }
                }
                GrowingKind::Symlink(target) => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(EntryFault::Links);
                    }
                    if target.starts_with(b"/") {
                        way.truncate(1);
                    }
                    ahead.extend(components_of(target).rev().map(Box::from));
                }
                _ if missing == Missing::Leave => return Ok(None),
                _ => return Err(EntryFault::ThroughFile),
            }
        }
        Ok(way.last().copied())
    }

    fn make_implied(
        &mut self,
        parent: NodeId,
        name: &[u8],
        layer: u32,
    ) -> Result<NodeId, EntryFault> {
        if name.len() > NAME_BYTES_MAX {
            return Err(EntryFault::LongName);
        }
        let node = self.add(GrowingNode {
            metadata: Metadata::implied(),
            kind: GrowingKind::Directory(Directory::default()),
        });
        self.put(parent, name, node, layer);
        Ok(node)
    }

    /// Hides below a directory all that `layer` itself did not put there.
    pub(super) fn prune(&mut self, directory: NodeId, layer: u32) {
        let mut ahead = vec![directory];
        while let Some(id) = ahead.pop() {
            let Some(directory) = self.directory(id) else {
                continue;
            };
            // Once is enough: what comes later in the layer is the layer's own. So a layer full of whiteouts
            // takes no longer than its entries and the tree together.
            if directory.pruned_by == layer {
                continue;
            }
            directory.pruned_by = layer;
            directory.names.retain(|_, name| name.layer == layer);
            let first = ahead.len();
            ahead.extend(directory.names.values().map(|name| name.node));
            for &kept in &ahead[first..] {
                self.hide_metadata(kept, layer);
            }
        }
    }

    /// Makes a directory that `layer` hides and puts something into what it is then: one that no layer describes.
    pub(super) fn hide_metadata(&mut self, id: NodeId, layer: u32) {
        let directory = self.directory(id);
        if directory.is_some_and(|directory| directory.described_by != layer) {
            self.node_mut(id).metadata = Metadata::implied();
        }
    }

    /// The tree as it is now, without what nothing leads to, with ids in the order of a walk.
    pub(super) fn finish(mut self) -> Tree {
        let mut finished: Vec<Node> = Vec::new();
        let mut new_ids: Vec<Option<NodeId>> = vec![None; self.nodes.len()];
        let mut open: Vec<Unfinished> = Vec::new();
        let mut visit = |old: NodeId, open: &mut Vec<_>, finished: &mut Vec<Node>| -> NodeId {
            if let Some(known) = new_ids[old.0 as usize] {
                finished[known.0 as usize].links += 1;
                return known;
            }
            // Not more than there were before, whose ids fit.
            let id = NodeId(finished.len() as u32);
            new_ids[old.0 as usize] = Some(id);
            let node = &mut self.nodes[old.0 as usize];
            let metadata = std::mem::replace(&mut node.metadata, Metadata::implied());
            let kind = match std::mem::replace(&mut node.kind, GrowingKind::Fifo) {
                GrowingKind::Directory(directory) => {
                    let names = directory.names.into_iter().rev();
                    open.push(Unfinished {
                        id,
                        names: names.map(|(name, entry)| (name, entry.node)).collect(),
                    });
                    NodeKind::Directory(BTreeMap::new())
                }
                GrowingKind::File(content) => NodeKind::File(content),
                GrowingKind::Symlink(target) => NodeKind::Symlink(target),
                GrowingKind::CharDevice { major, minor } => NodeKind::CharDevice { major, minor },
                GrowingKind::BlockDevice { major, minor } => NodeKind::BlockDevice { major, minor },
                GrowingKind::Fifo => NodeKind::Fifo,
            };
            let links = if matches!(kind, NodeKind::Directory(_)) {
                2
            } else {
                1
            };
            finished.push(Node {
                metadata,
                links,
                kind,
            });
            id
        };
        visit(Tree::ROOT, &mut open, &mut finished);
        while let Some(directory) = open.last_mut() {
            let parent = directory.id;
            let Some((name, old)) = directory.names.pop() else {
                open.pop();
                continue;
            };
            let id = visit(old, &mut open, &mut finished);
            let is_directory = matches!(finished[id.0 as usize].kind, NodeKind::Directory(_));
            let node = &mut finished[parent.0 as usize];
            node.links += u32::from(is_directory);
            if let NodeKind::Directory(children) = &mut node.kind {
                children.insert(name, id);
            }
        }
        Tree::new(finished)
    }
}

/// A directory that is being copied into the finished tree.
struct Unfinished {
    id: NodeId,
    /// What is still to be visited, the next one last.
    names: Vec<(Box<[u8]>, NodeId)>,
}

/// The longest name in a directory, as in Linux (`NAME_MAX`).
pub(super) const NAME_BYTES_MAX: usize = 255;

/// A path's components, without empty ones and `.`.
pub(super) fn components_of(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    let components = path.split(|&byte| byte == b'/');
    components.filter(|name| !name.is_empty() && *name != b".")
}
