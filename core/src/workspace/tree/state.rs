//! How the tree becomes state, and the distrustful way back.

use super::super::content::Contents;
use super::super::errno::Errno;
use super::super::node::{Body, Inode, Node};
use super::Tree;
use crate::state::{StateError, StateReader, StateWriter};
use std::collections::{BTreeMap, BTreeSet};
use xxhash_rust::xxh3::xxh3_128;

/// A guest cannot count so far; a larger number would let the count overflow.
const INODE_LIMIT: u64 = 1 << 48;

fn bad(field: &'static str) -> StateError {
    StateError::BadValue { field }
}

impl Tree {
    /// Hash of the overlay and of the contents that have come.
    pub(in super::super) fn hash(&self) -> u64 {
        let mut state = StateWriter::new();
        state.u64(self.next_inode.0);
        for (inode, node) in &self.nodes {
            state.u64(inode.0);
            node.save_without_blocks(&mut state);
        }
        (xxh3_128(state.as_bytes()) as u64).wrapping_add(self.contents.hash())
    }

    pub(in super::super) fn save(&self, to: &mut StateWriter) {
        to.bytes(&self.listing.hash().0);
        to.u64(self.budget_bytes);
        to.u64(self.next_inode.0);
        to.u64(self.nodes.len() as u64);
        for (inode, node) in &self.nodes {
            to.u64(inode.0);
            node.save(to);
        }
        self.contents.save(to);
    }

    /// Takes over saved state. The references stay, and must fit it.
    pub(in super::super) fn restore(
        &mut self,
        from: &mut StateReader<'_>,
    ) -> Result<(), StateError> {
        if from.bytes()? != self.listing.hash().0 {
            return Err(bad("the listing of the workspace, which is another one"));
        }
        if from.u64()? != self.budget_bytes {
            return Err(bad("the budget of the workspace, which is another one"));
        }
        let mut tree = Self::new(self.listing.clone(), self.budget_bytes);
        tree.references = self.references.clone();
        let first = tree.next_inode;
        tree.next_inode = Inode(from.u64()?);
        if tree.next_inode < first || tree.next_inode.0 > INODE_LIMIT {
            return Err(bad("the next file of a workspace"));
        }
        // Every turn takes bytes from the input, so a false count ends it early.
        for _ in 0..from.u64()? {
            let inode = Inode(from.u64()?);
            let last = tree.nodes.last_key_value();
            let is_next = last.is_none_or(|(last, _)| *last < inode);
            if !is_next || inode < Inode::ROOT || inode >= tree.next_inode {
                return Err(bad("the number of a workspace's file"));
            }
            let node = Node::restore(from, inode, &tree.listing)?;
            tree.used_bytes += node.bytes();
            tree.nodes.insert(inode, node);
        }
        tree.contents = Contents::restore(&tree.listing, from)?;
        tree.check_names()?;
        tree.check_parents()?;
        tree.check_references()?;
        *self = tree;
        Ok(())
    }

    /// Whether names and nodes fit each other.
    fn check_names(&self) -> Result<(), StateError> {
        let mut names: BTreeMap<Inode, u32> = BTreeMap::new();
        for (directory, node) in &self.nodes {
            let Body::Directory { parent, entries } = &node.body else {
                continue;
            };
            let is_base = directory.entry(&self.listing).is_some();
            let is_live = node.links == 1;
            let is_removed_and_empty =
                node.links == 0 && entries.as_ref().is_none_or(|e| e.is_empty());
            if (entries.is_none() && !is_base)
                || !(is_live || is_removed_and_empty)
                || (*directory == Inode::ROOT && (!is_live || *parent != Inode::ROOT))
            {
                return Err(bad("a directory of a workspace"));
            }
            for (_, _, inode) in entries.iter().flat_map(|entries| entries.after(0)) {
                *names.entry(inode).or_default() += 1;
                let child = self.node(inode).map_err(|_| bad("a name in a workspace"))?;
                let has_place = match &child.body {
                    Body::Directory { parent, .. } => parent == directory && child.links == 1,
                    _ => true,
                };
                if !has_place || inode == Inode::ROOT {
                    return Err(bad("a place in a workspace"));
                }
            }
        }
        for (inode, node) in &self.nodes {
            let from_overlay = names.get(inode).copied().unwrap_or(0);
            // A file of the listing may have its name there, in a directory that has not been copied.
            let is_base = inode.entry(&self.listing).is_some();
            let listing_names = u32::from(is_base && node.links > from_overlay);
            let is_kind_of_entry = inode
                .entry(&self.listing)
                .and_then(|number| Node::of_listing(&self.listing, number))
                .is_none_or(|of_listing| of_listing.body.type_bits() == node.body.type_bits());
            if node.links != from_overlay + listing_names || !is_kind_of_entry {
                return Err(bad("the links of a workspace's file"));
            }
        }
        let is_counted =
            |(inode, count): (&Inode, &u32)| *count <= 1 || self.nodes.contains_key(inode);
        if !names.iter().all(is_counted) {
            return Err(bad("the names of a workspace's file"));
        }
        Ok(())
    }

    /// Whether the way up from each directory leads to the root, as operations rely on.
    fn check_parents(&self) -> Result<(), StateError> {
        let mut good = BTreeSet::from([Inode::ROOT]);
        for (inode, node) in &self.nodes {
            // From a removed directory there is no way up.
            if !node.is_directory() || node.links == 0 {
                continue;
            }
            let mut way = BTreeSet::new();
            let mut at = *inode;
            while !good.contains(&at) {
                if !way.insert(at) {
                    return Err(bad("the way up from a workspace's directory"));
                }
                at = self
                    .parent(at)
                    .map_err(|_| bad("the parent of a workspace's directory"))?;
            }
            good.append(&mut way);
        }
        Ok(())
    }

    /// Whether everything that is referred to exists, and everything without a name is referred to.
    fn check_references(&self) -> Result<(), StateError> {
        let is_there = |inode: &Inode| !matches!(self.node(*inode), Err(Errno::STALE));
        let mut nodes = self.nodes.iter();
        if !self.references.keys().all(is_there)
            || !nodes.all(|(inode, node)| node.links > 0 || self.references.contains_key(inode))
        {
            return Err(bad("the files of a workspace that are in use"));
        }
        Ok(())
    }

    /// Forgets who refers to what; a restore of the fids says it anew.
    pub(in super::super) fn clear_references(&mut self) {
        self.references.clear();
    }
}
