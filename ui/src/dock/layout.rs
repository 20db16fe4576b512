//! Layouts in a few words: `h(60:Terminal,40:t1(Registers,Memory))`.
//!
//! `h` and `v` lay side by side and on top of each other, with shares; `t` lays behind each other, with the number of the
//! one in front.

use super::Pane;
use crate::panels::PanelKind;
use egui_tiles::{Container, Linear, LinearDir, Tabs, Tile, TileId, Tiles, Tree};

/// Layouts within layouts, at the most.
const DEPTH_MAX: usize = 8;
/// Panes and containers of a layout, at the most.
const TILES_MAX: usize = 100;

/// Terminal left, panels right, timeline below.
pub(super) fn default_tree() -> Tree<Pane> {
    let mut tiles = Tiles::default();
    let terminal = tiles.insert_pane(Pane::Terminal);
    let mut upper = Vec::new();
    let mut lower = Vec::new();
    for kind in PanelKind::ALL {
        let tile = tiles.insert_pane(Pane::Panel(kind));
        let is_upper = ["Source", "Disassembly", "Registers", "Memory"].contains(&kind.title());
        if is_upper {
            upper.push(tile)
        } else {
            lower.push(tile)
        }
    }
    let mut stacked: Vec<TileId> = Vec::new();
    for tabs in [upper, lower] {
        if !tabs.is_empty() {
            stacked.push(tiles.insert_tab_tile(tabs));
        }
    }
    let panels = tiles.insert_vertical_tile(stacked);
    let above = shared(&mut tiles, LinearDir::Horizontal, terminal, 0.58, panels);
    let timeline = tiles.insert_pane(Pane::Timeline);
    let root = shared(&mut tiles, LinearDir::Vertical, above, 0.7, timeline);
    Tree::new(tree_id(), root, tiles)
}

fn shared(
    tiles: &mut Tiles<Pane>,
    dir: LinearDir,
    first: TileId,
    share: f32,
    second: TileId,
) -> TileId {
    let mut linear = Linear::new(dir, vec![first, second]);
    linear.shares.set_share(first, share);
    linear.shares.set_share(second, 1.0 - share);
    tiles.insert_container(linear)
}

fn tree_id() -> egui::Id {
    egui::Id::unique("dock")
}

/// A layout in words.
pub(super) fn text_from_tree(tree: &Tree<Pane>) -> String {
    let mut text = String::new();
    if let Some(root) = tree.root() {
        write_tile(&tree.tiles, root, DEPTH_MAX, &mut text);
    }
    text
}

fn write_tile(tiles: &Tiles<Pane>, id: TileId, depth: usize, text: &mut String) {
    match (tiles.get(id), depth.checked_sub(1)) {
        (Some(Tile::Pane(pane)), _) => text.push_str(pane.title()),
        (Some(Tile::Container(container)), Some(depth)) => match container {
            _ if container.num_children() == 1 => {
                for child in container.children() {
                    write_tile(tiles, *child, depth, text);
                }
            }
            Container::Tabs(tabs) => {
                let front = tabs
                    .children
                    .iter()
                    .position(|child| Some(*child) == tabs.active);
                text.push_str(&format!("t{}(", front.unwrap_or(0)));
                write_children(tiles, &tabs.children, None, depth, text);
            }
            Container::Linear(linear) => {
                text.push_str(if linear.dir == LinearDir::Horizontal {
                    "h("
                } else {
                    "v("
                });
                write_children(tiles, &linear.children, Some(linear), depth, text);
            }
            Container::Grid(grid) => {
                text.push_str("h(");
                let children: Vec<TileId> = grid.children().copied().collect();
                write_children(tiles, &children, None, depth, text);
            }
        },
        _ => {}
    }
}

fn write_children(
    tiles: &Tiles<Pane>,
    children: &[TileId],
    linear: Option<&Linear>,
    depth: usize,
    text: &mut String,
) {
    let sum: f32 = children
        .iter()
        .map(|child| linear.map_or(1.0, |linear| linear.shares[*child]))
        .sum();
    for (number, child) in children.iter().enumerate() {
        if number > 0 {
            text.push(',');
        }
        if let Some(linear) = linear {
            let share = linear.shares[*child] / sum.max(f32::MIN_POSITIVE) * 100.0;
            text.push_str(&format!("{share:.0}:"));
        }
        write_tile(tiles, *child, depth, text);
    }
    text.push(')');
}

/// A layout from words, if they are some.
pub(super) fn tree_from_text(text: &str) -> Option<Tree<Pane>> {
    let mut reader = Reader {
        rest: text,
        tiles: Tiles::default(),
        count: 0,
        seen: Vec::new(),
    };
    let root = reader.tile(DEPTH_MAX)?;
    let is_whole = reader.rest.is_empty();
    is_whole.then(|| Tree::new(tree_id(), root, reader.tiles))
}

struct Reader<'a> {
    rest: &'a str,
    tiles: Tiles<Pane>,
    count: usize,
    seen: Vec<Pane>,
}

impl Reader<'_> {
    fn tile(&mut self, depth: usize) -> Option<TileId> {
        let depth = depth.checked_sub(1)?;
        self.count += 1;
        if self.count > TILES_MAX {
            return None;
        }
        let name_len = self
            .rest
            .find(['(', ',', ')', ':'])
            .unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at_checked(name_len)?;
        self.rest = rest;
        if !self.eat("(") {
            let pane = Pane::all().find(|pane| pane.title() == name)?;
            if self.seen.contains(&pane) {
                return None;
            }
            self.seen.push(pane);
            return Some(self.tiles.insert_pane(pane));
        }
        let children = self.children(depth)?;
        match name {
            "h" => Some(self.linear(LinearDir::Horizontal, children)),
            "v" => Some(self.linear(LinearDir::Vertical, children)),
            _ => {
                let front: usize = name.strip_prefix('t')?.parse().ok()?;
                let mut tabs = Tabs::new(children.iter().map(|(_, child)| *child).collect());
                tabs.active = children.get(front).map(|(_, child)| *child);
                Some(self.tiles.insert_container(tabs))
            }
        }
    }

    /// Children behind the opening bracket, and the closing one.
    fn children(&mut self, depth: usize) -> Option<Vec<(f32, TileId)>> {
        let mut children = Vec::new();
        loop {
            let share_len = self
                .rest
                .find(|character: char| !character.is_ascii_digit())?;
            let (digits, rest) = self.rest.split_at_checked(share_len)?;
            let mut share = 1.0;
            if !digits.is_empty() {
                share = f32::from(digits.parse::<u16>().ok()?).clamp(1.0, 100.0);
                self.rest = rest.strip_prefix(':')?;
            }
            children.push((share, self.tile(depth)?));
            if self.eat(")") {
                return Some(children);
            }
            if !self.eat(",") {
                return None;
            }
        }
    }

    fn linear(&mut self, dir: LinearDir, children: Vec<(f32, TileId)>) -> TileId {
        let mut linear = Linear::new(dir, children.iter().map(|(_, child)| *child).collect());
        for (share, child) in children {
            linear.shares.set_share(child, share);
        }
        self.tiles.insert_container(linear)
    }

    fn eat(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_go_through_words() {
        for text in [
            text_from_tree(&default_tree()),
            "Terminal".to_owned(),
            "h(30:Timeline,70:t1(Terminal,Registers))".to_owned(),
        ] {
            let tree = tree_from_text(&text).expect("a layout");
            assert_eq!(text_from_tree(&tree), text);
        }
    }

    #[test]
    fn what_is_no_layout_is_none() {
        let deep = "h(".repeat(1_000);
        let wide = format!("h({})", vec!["Terminal"; 1_000].join(","));
        for text in [
            "",
            "h",
            "h(",
            "h()",
            "Nowhere",
            "Terminal)",
            "h(Terminal,Terminal)",
            "t9x(Terminal)",
            &deep,
            &wide,
        ] {
            assert!(tree_from_text(text).is_none(), "{text}");
        }
    }
}
