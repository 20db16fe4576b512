//! The views side by side: which there are, where they lie, and that in a few words for a link.

mod layout;

use crate::panels::PanelKind;
use egui::{Ui, WidgetText};
use egui_tiles::{
    Container, Linear, LinearDir, SimplificationOptions, Tile, TileId, Tiles, Tree, UiResponse,
};
use serde::{Deserialize, Serialize};

/// Something that lies in the dock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Pane {
    /// The terminal.
    Terminal,
    /// The timeline.
    Timeline,
    /// A debugger's panel.
    Panel(PanelKind),
}

impl Pane {
    /// All of them, as a menu lists them.
    pub fn all() -> impl Iterator<Item = Pane> {
        let panels = PanelKind::ALL.iter().copied().map(Pane::Panel);
        [Pane::Terminal, Pane::Timeline].into_iter().chain(panels)
    }

    /// What its tab is called.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Pane::Terminal => "Terminal",
            Pane::Timeline => "Timeline",
            Pane::Panel(kind) => kind.title(),
        }
    }
}

/// The dock.
pub struct Dock {
    tree: Tree<Pane>,
}

impl Default for Dock {
    fn default() -> Dock {
        Dock {
            tree: layout::default_tree(),
        }
    }
}

impl Dock {
    /// The layout in a few words; none if it is the usual one.
    #[must_use]
    pub fn to_text(&self) -> Option<String> {
        let text = layout::text_from_tree(&self.tree);
        (text != layout::text_from_tree(&layout::default_tree())).then_some(text)
    }

    /// A layout from words; the usual one if they make no sense.
    #[must_use]
    pub fn from_text(text: &str) -> Dock {
        match layout::tree_from_text(text) {
            Some(tree) => Dock { tree },
            None => Dock::default(),
        }
    }

    /// A pane lies in the dock.
    #[must_use]
    pub fn has(&self, pane: Pane) -> bool {
        self.tree.tiles.find_pane(&pane).is_some()
    }

    /// Closes a pane.
    pub fn close(&mut self, pane: Pane) {
        if let Some(id) = self.tree.tiles.find_pane(&pane) {
            self.tree.remove_recursively(id);
        }
    }

    /// Brings a pane to the front, and opens it where it is closed.
    pub fn reveal(&mut self, pane: Pane) {
        if !self.has(pane) {
            self.open(pane);
        }
        self.tree
            .make_active(|_, tile| matches!(tile, Tile::Pane(other) if *other == pane));
    }

    /// As [`Dock::reveal`] of the panel with a title, if there is one.
    pub fn reveal_panel(&mut self, title: &str) {
        if let Some(kind) = PanelKind::ALL
            .into_iter()
            .find(|kind| kind.title() == title)
        {
            self.reveal(Pane::Panel(kind));
        }
    }

    /// Puts a pane among the tabs of the panels, or beside everything.
    fn open(&mut self, pane: Pane) {
        let new = self.tree.tiles.insert_pane(pane);
        let tabs = self
            .tree
            .tiles
            .iter()
            .filter(|(_, tile)| matches!(tile, Tile::Container(Container::Tabs(_))));
        // The identifiers ascend in the order of their making.
        let host = tabs.map(|(id, _)| *id).min_by_key(|id| id.0);
        match (host, self.tree.root()) {
            (Some(host), _) if matches!(pane, Pane::Panel(_)) => {
                if let Some(Tile::Container(container)) = self.tree.tiles.get_mut(host) {
                    container.add_child(new);
                }
            }
            (_, Some(root)) => {
                let dir = match pane {
                    Pane::Timeline => LinearDir::Vertical,
                    _ => LinearDir::Horizontal,
                };
                let mut linear = Linear::new(dir, vec![root, new]);
                linear.shares.set_share(root, 0.7);
                linear.shares.set_share(new, 0.3);
                let root = self.tree.tiles.insert_container(linear);
                self.set_root(root);
            }
            (_, None) => self.set_root(new),
        }
    }

    fn set_root(&mut self, root: TileId) {
        let tiles = std::mem::take(&mut self.tree.tiles);
        self.tree = Tree::new(self.tree.id(), root, tiles);
    }

    /// Draws all of it.
    pub fn show(&mut self, ui: &mut Ui, draw: &mut dyn FnMut(&mut Ui, Pane)) {
        if self.tree.root().is_none() || self.tree.is_empty() {
            ui.centered_and_justified(|ui| {
                ui.label("Everything is closed. Open a view by the menu “View”.")
            });
            return;
        }
        self.tree.ui(&mut Drawing { draw }, ui);
    }
}

struct Drawing<'a> {
    draw: &'a mut dyn FnMut(&mut Ui, Pane),
}

impl egui_tiles::Behavior<Pane> for Drawing<'_> {
    fn pane_ui(&mut self, ui: &mut Ui, _tile: TileId, pane: &mut Pane) -> UiResponse {
        (self.draw)(ui, *pane);
        UiResponse::None
    }

    fn tab_title_for_pane(&mut self, pane: &Pane) -> WidgetText {
        pane.title().into()
    }

    fn is_tab_closable(&self, _tiles: &Tiles<Pane>, _tile: TileId) -> bool {
        true
    }

    fn simplification_options(&self) -> SimplificationOptions {
        SimplificationOptions {
            all_panes_must_have_tabs: true,
            ..SimplificationOptions::default()
        }
    }
}
