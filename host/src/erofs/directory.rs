//! The content of a directory: blocks of sorted entries, each block with its names behind its entries.

use std::collections::BTreeMap;

use super::format::{BLOCK_BYTES, entry_type};
use crate::tree::{NodeId, Tree};

/// Bytes of an entry without its name.
const ENTRY_BYTES: usize = 12;

/// A directory's names, `.` and `..` among them, in the order of their bytes.
pub(super) struct Names<'t> {
    names: Vec<(&'t [u8], NodeId)>,
}

impl<'t> Names<'t> {
    pub(super) fn new(
        children: &'t BTreeMap<Box<[u8]>, NodeId>,
        itself: NodeId,
        parent: NodeId,
    ) -> Self {
        let mut names: Vec<(&[u8], NodeId)> = Vec::with_capacity(children.len() + 2);
        names.extend([(&b"."[..], itself), (b"..", parent)]);
        names.extend(children.iter().map(|(name, &id)| (&**name, id)));
        // Names in front of `.` are rare, so this is a walk over a sorted list.
        names.sort_by_key(|&(name, _)| name);
        Self { names }
    }

    /// Bytes of the whole content: all blocks but the last are full.
    pub(super) fn size(&self) -> u64 {
        let mut rest = &self.names[..];
        let mut size = 0;
        while !rest.is_empty() {
            let (count, bytes) = block(rest);
            rest = &rest[count..];
            size += if rest.is_empty() {
                bytes as u64
            } else {
                BLOCK_BYTES
            };
        }
        size
    }

    /// Appends the blocks, the last one without padding.
    pub(super) fn encode(&self, tree: &Tree, slot: impl Fn(NodeId) -> u64, content: &mut Vec<u8>) {
        let mut rest = &self.names[..];
        while !rest.is_empty() {
            let (count, _) = block(rest);
            let start = content.len();
            let mut name_offset = count * ENTRY_BYTES;
            for &(name, id) in &rest[..count] {
                content.extend_from_slice(&slot(id).to_le_bytes());
                // Within a block of 4096 bytes.
                content.extend_from_slice(&(name_offset as u16).to_le_bytes());
                content.extend_from_slice(&[entry_type(&tree.node(id).kind), 0]);
                name_offset += name.len();
            }
            for (name, _) in &rest[..count] {
                content.extend_from_slice(name);
            }
            rest = &rest[count..];
            if !rest.is_empty() {
                content.resize(start + BLOCK_BYTES as usize, 0);
            }
        }
    }
}

/// How many of the names go into one block, and the bytes that they take there. At least 15 do.
fn block(names: &[(&[u8], NodeId)]) -> (usize, usize) {
    let mut bytes = 0;
    for (count, (name, _)) in names.iter().enumerate() {
        let more = bytes + ENTRY_BYTES + name.len();
        if more > BLOCK_BYTES as usize {
            return (count, bytes);
        }
        bytes = more;
    }
    (names.len(), bytes)
}
