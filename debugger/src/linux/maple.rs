//! The tree in which a process keeps its mappings (Linux, include/linux/maple_tree.h and lib/maple_tree.c).

use super::view::LinuxView;
use std::ops::ControlFlow;

/// `MAPLE_NODE_MASK`: nodes are aligned to 256 bytes, and a pointer to one holds its type in bits 3 to 6.
const NODE_MASK: u64 = 255;
const TYPE_SHIFT: u32 = 3;
const TYPE_MASK: u64 = 15;
/// `xa_is_node`, include/linux/xarray.h: the root points to a node.
const INTERNAL_MASK: u64 = 3;
const INTERNAL: u64 = 2;
/// `MAPLE_RESERVED_RANGE`: smaller internal values are marks, no entries.
const RESERVED_END: u64 = 4096;
/// Ten slots to a node hold all of a 57-bit space of pages within far fewer levels.
const DEPTH_MAX: u32 = 16;
/// Nodes that one walk reads; each holds some of the mappings, which `vm.max_map_count` limits to 65530 by default.
const NODES_MAX: u32 = 1 << 15;

/// `enum maple_type`.
mod node_type {
    pub(super) const LEAF_64: u64 = 1;
    pub(super) const RANGE_64: u64 = 2;
    pub(super) const ARANGE_64: u64 = 3;
}

/// A walk over the entries of a tree that end at or after an index.
pub(super) struct MapleWalk<'a, 'v> {
    view: &'a LinuxView<'v>,
    from: u64,
    nodes_left: u32,
    visit: &'a mut dyn FnMut(u64) -> ControlFlow<()>,
}

impl<'a, 'v> MapleWalk<'a, 'v> {
    /// Visits the entries in ascending order.
    pub(super) fn run(
        view: &'a LinuxView<'v>,
        root: u64,
        from: u64,
        visit: &'a mut dyn FnMut(u64) -> ControlFlow<()>,
    ) {
        if root & INTERNAL_MASK == INTERNAL && root > RESERVED_END {
            let mut walk = Self {
                view,
                from,
                nodes_left: NODES_MAX,
                visit,
            };
            // Whether it was broken off makes no difference to the caller.
            let _ = walk.node(root, u64::MAX, DEPTH_MAX);
        }
    }

    /// Visits what lies below a node whose last index is `max`.
    fn node(&mut self, node: u64, max: u64, depth: u32) -> ControlFlow<()> {
        let Some(types) = self.view.types() else {
            return ControlFlow::Break(());
        };
        let kind = node >> TYPE_SHIFT & TYPE_MASK;
        let (pivots, slots) = match kind {
            node_type::LEAF_64 | node_type::RANGE_64 => {
                (types.maple_range.pivot, types.maple_range.slot)
            }
            node_type::ARANGE_64 => (types.maple_arange.pivot, types.maple_arange.slot),
            _ => return ControlFlow::Continue(()),
        };
        if depth == 0 || self.nodes_left == 0 {
            return ControlFlow::Break(());
        }
        self.nodes_left -= 1;
        let memory = &self.view.memory;
        let at = node & !NODE_MASK;
        // Slots beyond what a node of 256 bytes can hold would be another kernel's.
        let slot_count = (slots.byte_len / 8).min(32);
        let mut previous = None;
        for index in 0..slot_count {
            let pivot = if index < pivots.byte_len / 8 {
                memory.u64(at.wrapping_add(pivots.offset + 8 * index))
            } else {
                Some(max)
            };
            // A pivot of 0 that is not the first ends the node, as `mas_next_node` has it.
            let last = match pivot {
                Some(0) if index > 0 => max,
                Some(pivot) => pivot.min(max),
                None => return ControlFlow::Continue(()),
            };
            if previous.is_some_and(|previous| last <= previous) {
                break;
            }
            previous = Some(last);
            if last >= self.from {
                let entry = memory.u64(at.wrapping_add(slots.offset + 8 * index));
                let is_mark =
                    |entry: u64| entry & INTERNAL_MASK == INTERNAL && entry < RESERVED_END;
                match entry {
                    None | Some(0) => {}
                    Some(entry) if kind != node_type::LEAF_64 => {
                        self.node(entry, last, depth - 1)?;
                    }
                    Some(entry) if is_mark(entry) => {}
                    Some(entry) => (self.visit)(entry)?,
                }
            }
            if last >= max {
                break;
            }
        }
        ControlFlow::Continue(())
    }
}
