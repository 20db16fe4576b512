//! Where everything goes, decided before the first byte is written.

use super::directory::Names;
use super::format::{
    BLOCK_BYTES, INODE_BYTES, Placement, SLOT_BYTES, SUPERBLOCK_BYTES, SUPERBLOCK_OFFSET,
    XATTRS_BYTES_MAX, xattrs_bytes,
};
use crate::error::{ImageError, shown};
use crate::tree::{NodeId, NodeKind, Tree};

/// Blocks with room left that are kept in mind for small inodes.
const HOLES_MAX: usize = 16;

/// Placements by node, and the order in which inodes stand in the image.
pub(super) struct Plan {
    pub(super) placements: Vec<Placement>,
    /// Parents of directories, for `..`; of other nodes nothing is said.
    pub(super) parents: Vec<NodeId>,
    /// Nodes by their slot.
    pub(super) by_slot: Vec<NodeId>,
    pub(super) blocks: u32,
}

impl Plan {
    pub(super) fn new(tree: &Tree) -> Result<Self, ImageError> {
        let parents = parents(tree);
        let mut space = Space::new();
        let mut placements = Vec::with_capacity(tree.nodes().len());
        for (id, node) in tree.nodes() {
            let xattrs = xattrs_bytes(node);
            if xattrs > XATTRS_BYTES_MAX {
                return Err(unrepresentable(
                    tree,
                    id,
                    "more than 256 KiB of extended attributes",
                ));
            }
            let size = match &node.kind {
                NodeKind::Directory(children) => {
                    Names::new(children, id, parents[id.0 as usize]).size()
                }
                NodeKind::File(content) => content.size,
                NodeKind::Symlink(target) => target.len() as u64,
                _ => 0,
            };
            let head = (INODE_BYTES + xattrs) as u64;
            let tail = size % BLOCK_BYTES;
            let inline = tail > 0 && head + tail <= BLOCK_BYTES;
            let offset = space.take(if inline { head + tail } else { head });
            placements.push(Placement {
                slot: offset / SLOT_BYTES,
                size,
                block: 0,
                inline,
            });
        }
        let mut next_block = space.end().div_ceil(BLOCK_BYTES);
        for ((id, _), placement) in tree.nodes().zip(&mut placements) {
            let blocks = placement.block_content_bytes().div_ceil(BLOCK_BYTES);
            if blocks > 0 {
                // Checked below for all of them.
                placement.block = next_block as u32;
                next_block = next_block.saturating_add(blocks);
            }
            if u32::try_from(next_block).is_err() {
                return Err(unrepresentable(tree, id, "content beyond the first 16 TiB"));
            }
        }
        let mut by_slot: Vec<NodeId> = tree.nodes().map(|(id, _)| id).collect();
        by_slot.sort_by_key(|id| placements[id.0 as usize].slot);
        Ok(Self {
            placements,
            parents,
            by_slot,
            blocks: next_block as u32,
        })
    }

    pub(super) fn placement(&self, id: NodeId) -> &Placement {
        &self.placements[id.0 as usize]
    }

    pub(super) fn parent(&self, id: NodeId) -> NodeId {
        self.parents[id.0 as usize]
    }
}

/// The root is its own parent.
fn parents(tree: &Tree) -> Vec<NodeId> {
    let mut parents = vec![Tree::ROOT; tree.nodes().len()];
    for (id, node) in tree.nodes() {
        if let NodeKind::Directory(children) = &node.kind {
            for child in children.values() {
                parents[child.0 as usize] = id;
            }
        }
    }
    parents
}

fn unrepresentable(tree: &Tree, id: NodeId, what: &'static str) -> ImageError {
    let found = tree.walk().find(|(_, walked, _)| *walked == id);
    ImageError::Unrepresentable {
        path: shown(&found.map_or_else(Vec::new, |(path, _, _)| path)),
        what,
    }
}

/// Room for inodes. What fits into a block never crosses into the next, as the format wants it of content
/// behind an inode.
struct Space {
    next: u64,
    /// Room that was left at the ends of blocks, as (offset, bytes), the oldest first.
    holes: Vec<(u64, u64)>,
}

impl Space {
    fn new() -> Self {
        Self {
            next: SUPERBLOCK_OFFSET + SUPERBLOCK_BYTES as u64,
            holes: Vec::with_capacity(HOLES_MAX + 1),
        }
    }

    fn end(&self) -> u64 {
        self.next
    }

    fn take(&mut self, bytes: u64) -> u64 {
        let bytes = bytes.next_multiple_of(SLOT_BYTES);
        if let Some(hole) = self.holes.iter_mut().find(|(_, room)| *room >= bytes) {
            let offset = hole.0;
            *hole = (offset + bytes, hole.1 - bytes);
            self.holes.retain(|&(_, room)| room >= INODE_BYTES as u64);
            return offset;
        }
        let room = self.next.next_multiple_of(BLOCK_BYTES) - self.next;
        if bytes > room && room > 0 {
            if room >= INODE_BYTES as u64 {
                self.holes.push((self.next, room));
            }
            if self.holes.len() > HOLES_MAX {
                self.holes.remove(0);
            }
            self.next += room;
        }
        let offset = self.next;
        self.next += bytes;
        offset
    }
}
