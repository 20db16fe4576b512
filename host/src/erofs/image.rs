//! The image's bytes, from the first to the last.

use std::io::{self, Write};

use super::directory::Names;
use super::format::{BLOCK_BYTES, SLOT_BYTES, SUPERBLOCK_OFFSET, Superblock, inode, push_xattrs};
use super::plan::Plan;
use crate::error::ImageError;
use crate::spool::Spool;
use crate::tree::{NodeId, NodeKind, Tree};

/// Bytes that [`RootImage::write_to`] handles at a time.
const PIECE_BYTES: usize = 256 << 10;

/// A tree as an image, to be read from its first byte to its last. Equal trees have equal images, on every host.
pub struct RootImage<'t> {
    tree: &'t Tree,
    plan: Plan,
    next: Part,
    /// Where in the image the next byte is.
    position: u64,
    /// What is to come before the next part: zeros, `record` from `record_done` on, then a piece of the spool.
    zeros: u64,
    record: Vec<u8>,
    record_done: usize,
    spooled: Spooled,
    hasher: blake3::Hasher,
}

/// Bytes in the spool that come next.
#[derive(Default)]
struct Spooled {
    offset: u64,
    bytes: u64,
}

/// What comes next, in the order of the image.
#[derive(Clone, Copy)]
enum Part {
    Superblock,
    /// An inode by its place in the order of slots.
    Inode(usize),
    /// The blocks of a node.
    Blocks(usize),
    End,
}

impl<'t> RootImage<'t> {
    /// Decides where everything goes; takes as long as a walk through the tree.
    ///
    /// # Errors
    /// [`ImageError::Unrepresentable`] for more attributes or bytes than the format can hold.
    pub fn new(tree: &'t Tree) -> Result<Self, ImageError> {
        Ok(Self {
            plan: Plan::new(tree)?,
            tree,
            next: Part::Superblock,
            position: 0,
            zeros: 0,
            record: Vec::new(),
            record_done: 0,
            spooled: Spooled::default(),
            hasher: blake3::Hasher::new(),
        })
    }

    /// Bytes of the whole image, a multiple of 4096.
    pub fn size_bytes(&self) -> u64 {
        u64::from(self.plan.blocks) * BLOCK_BYTES
    }

    /// Bytes that were read so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Puts the next bytes into `out` and says how many; 0 is the end, if there is room in `out`.
    ///
    /// # Errors
    /// What the spool says; the image is then of no use any more.
    pub fn read<S: Spool>(&mut self, spool: &mut S, out: &mut [u8]) -> Result<usize, ImageError> {
        let mut put = 0;
        while put < out.len() {
            let more = self.put(spool, &mut out[put..])?;
            put += more;
            self.position += more as u64;
            if more == 0 && !self.begin_next() {
                break;
            }
        }
        self.hasher.update(&out[..put]);
        Ok(put)
    }

    /// The hash of what was read so far: after the last byte, the image's own, which is its name.
    pub fn hash(&self) -> blake3::Hash {
        self.hasher.finalize()
    }

    /// Writes what is left of the image and returns its hash.
    ///
    /// # Errors
    /// What the spool or the sink says.
    pub fn write_to<S: Spool>(
        mut self,
        spool: &mut S,
        sink: &mut dyn Write,
    ) -> Result<blake3::Hash, ImageError> {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match self.read(spool, &mut piece)? {
                0 => return Ok(self.hash()),
                put => sink.write_all(&piece[..put])?,
            }
        }
    }

    /// Puts some of what the part in hand has left.
    fn put<S: Spool>(&mut self, spool: &mut S, out: &mut [u8]) -> io::Result<usize> {
        let at_most =
            |left: u64| usize::try_from(left).map_or(out.len(), |left| left.min(out.len()));
        if self.zeros > 0 {
            let count = at_most(self.zeros);
            out[..count].fill(0);
            self.zeros -= count as u64;
            return Ok(count);
        }
        let record = &self.record[self.record_done..];
        if !record.is_empty() {
            let count = at_most(record.len() as u64);
            out[..count].copy_from_slice(&record[..count]);
            self.record_done += count;
            return Ok(count);
        }
        let count = at_most(self.spooled.bytes);
        if count > 0 {
            spool.read_at(self.spooled.offset, &mut out[..count])?;
            self.spooled.offset += count as u64;
            self.spooled.bytes -= count as u64;
        }
        Ok(count)
    }

    /// Makes the next part the one in hand; `false` after the last one.
    fn begin_next(&mut self) -> bool {
        self.record.clear();
        self.record_done = 0;
        match self.next {
            Part::Superblock => {
                self.begin_superblock();
                self.next = Part::Inode(0);
            }
            Part::Inode(at) => match self.plan.by_slot.get(at) {
                Some(&id) => {
                    self.begin_inode(id);
                    self.next = Part::Inode(at + 1);
                }
                None => self.next = Part::Blocks(0),
            },
            Part::Blocks(at) if at < self.plan.placements.len() => {
                // Nodes have ids of 32 bits.
                self.begin_blocks(NodeId(at as u32));
                self.next = Part::Blocks(at + 1);
            }
            Part::Blocks(_) => {
                self.zeros = self.size_bytes() - self.position;
                self.next = Part::End;
            }
            Part::End => return false,
        }
        true
    }

    /// Zeros up to `offset`. Parts come in the order of their offsets.
    fn skip_to(&mut self, offset: u64) {
        self.zeros = offset - self.position;
    }

    fn begin_superblock(&mut self) {
        self.skip_to(SUPERBLOCK_OFFSET);
        let root_slot = self.plan.placement(Tree::ROOT).slot;
        let superblock = Superblock {
            // The root is placed first, in block 0 or 1.
            root_slot: root_slot as u16,
            inodes: self.plan.placements.len() as u64,
            blocks: self.plan.blocks,
        };
        self.record.extend_from_slice(&superblock.encode());
    }

    fn begin_inode(&mut self, id: NodeId) {
        let placement = *self.plan.placement(id);
        self.skip_to(placement.slot * SLOT_BYTES);
        let node = self.tree.node(id);
        self.record
            .extend_from_slice(&inode(node, &placement, id.0 + 1));
        push_xattrs(node, &mut self.record);
        if !placement.inline {
            return;
        }
        let in_blocks = placement.block_content_bytes();
        match &node.kind {
            NodeKind::File(content) => {
                self.spooled = Spooled {
                    offset: content.offset + in_blocks,
                    bytes: content.size - in_blocks,
                };
            }
            NodeKind::Symlink(target) => self.record.extend_from_slice(target),
            NodeKind::Directory(_) => {
                let content = self.directory(id);
                // Directories that are in memory as a tree fit there as a list.
                self.record
                    .extend_from_slice(&content[in_blocks as usize..]);
            }
            _ => {}
        }
    }

    fn begin_blocks(&mut self, id: NodeId) {
        let placement = *self.plan.placement(id);
        let bytes = placement.block_content_bytes();
        if bytes == 0 {
            return;
        }
        self.skip_to(u64::from(placement.block) * BLOCK_BYTES);
        match &self.tree.node(id).kind {
            NodeKind::File(content) => {
                self.spooled = Spooled {
                    offset: content.offset,
                    bytes,
                };
            }
            NodeKind::Symlink(target) => self.record.extend_from_slice(target),
            NodeKind::Directory(_) => {
                self.record = self.directory(id);
                self.record.truncate(bytes as usize);
            }
            _ => {}
        }
    }

    fn directory(&self, id: NodeId) -> Vec<u8> {
        let mut content = Vec::new();
        if let NodeKind::Directory(children) = &self.tree.node(id).kind {
            let names = Names::new(children, id, self.plan.parent(id));
            names.encode(self.tree, |id| self.plan.placement(id).slot, &mut content);
        }
        content
    }
}
