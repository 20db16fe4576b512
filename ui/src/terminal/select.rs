//! What is selected in a terminal, and its text.

use vt100::Screen;

/// A character's place on the screen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct CellAt {
    /// From 0.
    pub row: u16,
    /// From 0.
    pub column: u16,
}

/// Selected text: from where the person began to where the pointer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Selection {
    pub(super) anchor: CellAt,
    pub(super) head: CellAt,
}

impl Selection {
    /// A cell is in it.
    pub(super) fn contains(&self, cell: CellAt) -> bool {
        let (from, to) = self.ends();
        from <= cell && cell <= to
    }

    fn ends(&self) -> (CellAt, CellAt) {
        (self.anchor.min(self.head), self.anchor.max(self.head))
    }

    /// Its text; lines that were wrapped are whole again.
    pub(super) fn text(&self, screen: &Screen) -> String {
        let (from, to) = self.ends();
        let text =
            screen.contents_between(from.row, from.column, to.row, to.column.saturating_add(1));
        let lines: Vec<&str> = text.split('\n').map(str::trim_end).collect();
        lines.join("\n")
    }
}

/// The word around a cell: what stands between blanks.
pub(super) fn word_around(screen: &Screen, cell: CellAt) -> Selection {
    let (_, columns) = screen.size();
    let is_word = |column: u16| {
        screen
            .cell(cell.row, column)
            .is_some_and(|cell| cell.is_wide_continuation() || !cell.contents().trim().is_empty())
    };
    let (mut first, mut last) = (cell.column, cell.column);
    while first > 0 && is_word(first - 1) && is_word(cell.column) {
        first -= 1;
    }
    while last + 1 < columns.get() && is_word(last + 1) && is_word(cell.column) {
        last += 1;
    }
    Selection {
        anchor: CellAt {
            row: cell.row,
            column: first,
        },
        head: CellAt {
            row: cell.row,
            column: last,
        },
    }
}
