//! Puts a terminal's characters on the screen.

use super::colors::Palette;
use super::{CellAt, FONT_POINTS, FONT_POINTS_MIN, Geometry, TerminalView};
use egui::{Align2, Color32, FontId, Rect, Stroke, StrokeKind, Ui, Vec2, pos2, vec2};
use vt100::Screen;

/// Size of a cell with text of this height.
pub(super) fn cell_size(ui: &Ui, points: f32) -> Vec2 {
    const SAMPLE: &str = "MMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMM";
    let galley =
        ui.painter()
            .layout_no_wrap(SAMPLE.to_owned(), FontId::monospace(points), Color32::WHITE);
    let width = galley.size().x / SAMPLE.len() as f32;
    vec2(width.max(1.0), galley.size().y.max(1.0))
}

/// Where the cells of a screen go. A recorded one is made to fit.
pub(super) fn geometry(ui: &Ui, rect: Rect, screen: &Screen, is_live: bool) -> Geometry {
    let (rows, columns) = screen.size();
    let (rows, columns) = (rows.get(), columns.get());
    let mut cell = cell_size(ui, FONT_POINTS);
    if !is_live {
        let mut points = FONT_POINTS;
        let fits = |cell: Vec2| {
            cell.x * f32::from(columns) <= rect.width() && cell.y * f32::from(rows) <= rect.height()
        };
        while !fits(cell) && points > FONT_POINTS_MIN {
            points -= 0.5;
            cell = cell_size(ui, points);
        }
    }
    Geometry {
        origin: rect.min,
        cell,
        rows,
        columns,
    }
}

/// Draws all of it.
pub(super) fn draw(
    ui: &Ui,
    rect: Rect,
    geometry: &Geometry,
    screen: &Screen,
    view: &TerminalView,
    is_live: bool,
) {
    let palette = Palette::of(ui.visuals().dark_mode);
    let painter = ui.painter_at(rect);
    painter.rect_filled(rect, 0.0, palette.ground);
    let pen = Pen {
        painter,
        palette,
        geometry,
        font: font_for(ui, geometry),
    };
    for row in 0..geometry.rows {
        pen.row(row, screen, view);
    }
    if !screen.hide_cursor() && view.scrollback == 0 {
        pen.cursor(screen, view, is_live);
    }
    pen.scrollbar(rect, screen, view.scrollback);
}

fn font_for(ui: &Ui, geometry: &Geometry) -> FontId {
    let mut points = FONT_POINTS;
    while cell_size(ui, points).x > geometry.cell.x + 0.01 && points > FONT_POINTS_MIN {
        points -= 0.5;
    }
    FontId::monospace(points)
}

struct Pen<'a> {
    painter: egui::Painter,
    palette: &'static Palette,
    geometry: &'a Geometry,
    font: FontId,
}

impl Pen<'_> {
    fn row(&self, row: u16, screen: &Screen, view: &TerminalView) {
        let mut run = Run::default();
        for column in 0..self.geometry.columns {
            let Some(cell) = screen.cell(row, column) else {
                continue;
            };
            if cell.is_wide_continuation() {
                continue;
            }
            let at = CellAt { row, column };
            let (text, mut ground) = self.palette.of_cell(cell);
            if view
                .selection
                .is_some_and(|selection| selection.contains(at))
            {
                ground = self.palette.selection;
            }
            let mut rect = self.geometry.rect(at);
            if cell.is_wide() {
                rect.max.x += self.geometry.cell.x;
            }
            if ground != self.palette.ground {
                self.painter.rect_filled(rect, 0.0, ground);
            }
            if cell.underline() && cell.has_contents() {
                self.painter
                    .hline(rect.x_range(), rect.max.y - 1.5, Stroke::new(1.0, text));
            }
            let contents = cell.contents();
            let is_ascii = contents.len() == 1 && contents.is_ascii();
            let looks = (text, cell.bold());
            if !is_ascii {
                self.flush(&mut run, row);
                if !contents.trim().is_empty() {
                    self.glyph(rect, contents, text);
                }
                continue;
            }
            if run.looks != Some(looks) {
                self.flush(&mut run, row);
                run = Run {
                    looks: Some(looks),
                    column,
                    text: String::new(),
                };
            }
            run.text.push_str(contents);
        }
        self.flush(&mut run, row);
    }

    /// Draws characters that stand side by side and look alike.
    fn flush(&self, run: &mut Run, row: u16) {
        let taken = std::mem::take(run);
        let Some((color, is_bold)) = taken.looks else {
            return;
        };
        if taken.text.trim().is_empty() {
            return;
        }
        let at = self
            .geometry
            .rect(CellAt {
                row,
                column: taken.column,
            })
            .min;
        if is_bold {
            let beside = at + vec2(0.5, 0.0);
            self.painter.text(
                beside,
                Align2::LEFT_TOP,
                &taken.text,
                self.font.clone(),
                color,
            );
        }
        self.painter
            .text(at, Align2::LEFT_TOP, taken.text, self.font.clone(), color);
    }

    /// Draws a character of which it is not known how wide a font makes it.
    fn glyph(&self, rect: Rect, contents: &str, color: Color32) {
        let at = pos2(rect.center().x, rect.min.y);
        self.painter
            .text(at, Align2::CENTER_TOP, contents, self.font.clone(), color);
    }

    fn cursor(&self, screen: &Screen, view: &TerminalView, is_live: bool) {
        let (row, column) = screen.cursor_position();
        let column = column.min(self.geometry.columns.saturating_sub(1));
        let rect = self.geometry.rect(CellAt { row, column });
        let color = self.palette.text;
        if is_live && view.has_focus {
            self.painter
                .rect_filled(rect, 0.0, color.gamma_multiply(0.55));
        } else {
            self.painter
                .rect_stroke(rect, 0.0, Stroke::new(1.0, color), StrokeKind::Inside);
        }
        if !view.composing.is_empty() {
            self.painter.rect_filled(rect, 0.0, self.palette.selection);
            self.painter.text(
                rect.min,
                Align2::LEFT_TOP,
                &view.composing,
                self.font.clone(),
                color,
            );
        }
    }

    /// Shows how far back it is scrolled.
    fn scrollbar(&self, rect: Rect, screen: &Screen, scrollback: usize) {
        let lines = screen.scrollback_len();
        if scrollback == 0 || lines == 0 {
            return;
        }
        let all = lines as f32 + f32::from(self.geometry.rows);
        let first = (lines - scrollback.min(lines)) as f32;
        let height = rect.height();
        let bar = Rect::from_min_max(
            pos2(rect.max.x - 6.0, rect.min.y + height * first / all),
            pos2(
                rect.max.x - 1.0,
                rect.min.y + height * (first + f32::from(self.geometry.rows)) / all,
            ),
        );
        self.painter
            .rect_filled(bar, 2.0, self.palette.text.gamma_multiply(0.5));
    }
}

#[derive(Default)]
struct Run {
    looks: Option<(Color32, bool)>,
    column: u16,
    text: String,
}
