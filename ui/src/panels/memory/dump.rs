//! The rows of memory: address, cells, characters.

use super::PAGE_BYTES;
use super::cells::Form;
use crate::format;
use crate::panels::parts;
use egui::text::{LayoutJob, TextFormat};
use egui::{
    Color32, EventFilter, Key, Modifiers, PointerButton, Pos2, Rect, Response, Role, Sense,
    TextStyle, Ui, Vec2, WidgetInfo, pos2, vec2,
};

/// A page of memory to be drawn.
pub(super) struct Dump<'a> {
    /// First byte.
    pub(super) address: u64,
    /// What could be read; none while it is not known.
    pub(super) now: Option<&'a [u8]>,
    /// What was read at the position before.
    pub(super) before: &'a [u8],
    /// What bytes are shown as.
    pub(super) form: Form,
    /// First byte selected and how many.
    pub(super) selected: Option<(u64, u64)>,
}

/// Where a dump was drawn.
pub(super) struct Drawn {
    /// The widget.
    pub(super) whole: Response,
    columns: Columns,
    row_height: f32,
    char_width: f32,
}

/// Which characters of a row are what.
#[derive(Clone, Copy)]
struct Columns {
    address_chars: usize,
    cells: usize,
    cell_chars: usize,
    cell_bytes: usize,
}

impl Columns {
    fn row_bytes(&self) -> usize {
        self.cells * self.cell_bytes
    }

    fn cell_start(&self, cell: usize) -> usize {
        self.address_chars + 2 + cell * (self.cell_chars + 1)
    }

    fn ascii_start(&self) -> usize {
        self.cell_start(self.cells) + 1
    }

    fn chars(&self) -> usize {
        self.ascii_start() + self.row_bytes()
    }

    /// The first byte and how many at a character of a row.
    fn bytes_at(&self, char: usize) -> Option<(usize, usize)> {
        if char >= self.ascii_start() {
            let byte = char - self.ascii_start();
            return (byte < self.row_bytes()).then_some((byte, 1));
        }
        let cell = char.checked_sub(self.cell_start(0))? / (self.cell_chars + 1);
        (cell < self.cells).then_some((cell * self.cell_bytes, self.cell_bytes))
    }
}

impl Dump<'_> {
    fn columns(&self, width_chars: f32) -> Columns {
        let last = self.address.saturating_add(u64::from(PAGE_BYTES));
        let digits = (last.checked_ilog2().unwrap_or_default() / 4 + 1) as usize;
        let cell_bytes = self.form.byte_len();
        let with_row_bytes = |row_bytes: usize| Columns {
            address_chars: digits.max(8),
            cells: row_bytes / cell_bytes,
            cell_chars: self.form.chars(),
            cell_bytes,
        };
        let wide = with_row_bytes(16);
        if wide.chars() as f32 <= width_chars {
            wide
        } else {
            with_row_bytes(8)
        }
    }

    /// Draws it.
    pub(super) fn show(&self, ui: &mut Ui) -> Drawn {
        let char_width = parts::char_width(ui);
        let row_height = ui.text_style_height(&TextStyle::Monospace);
        let columns = self.columns(ui.available_width() / char_width);
        let rows = PAGE_BYTES as usize / columns.row_bytes();
        let size = vec2(
            columns.chars() as f32 * char_width,
            rows as f32 * row_height,
        );
        let (rect, whole) = ui.allocate_exact_size(size, Sense::click_and_drag());
        let name = format!("memory from {}", format::hex(self.address));
        whole.widget_info(|| WidgetInfo::labeled(Role::Table, ui.is_enabled(), &name));
        for row in 0..rows {
            let job = self.row(ui, columns, row);
            let corner = rect.min + vec2(0.0, row as f32 * row_height);
            let row_rect = Rect::from_min_size(corner, vec2(rect.width(), row_height));
            let response = ui.interact(row_rect, whole.id.with(row), Sense::hover());
            response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &job.text));
            if ui.is_rect_visible(row_rect) {
                let galley = ui.fonts_mut(|fonts| fonts.layout_job(job));
                ui.painter()
                    .galley(corner, galley, ui.visuals().text_color());
            }
        }
        if whole.has_focus() {
            let stroke = ui.visuals().selection.stroke;
            ui.painter()
                .rect_stroke(rect, 2.0, stroke, egui::StrokeKind::Outside);
        }
        Drawn {
            whole,
            columns,
            row_height,
            char_width,
        }
    }

    fn row(&self, ui: &Ui, columns: Columns, row: usize) -> LayoutJob {
        let visuals = ui.visuals();
        let font = TextStyle::Monospace.resolve(ui.style());
        let format = |color: Color32, is_selected: bool| TextFormat {
            background: match is_selected {
                true => visuals.selection.bg_fill,
                false => Color32::TRANSPARENT,
            },
            ..TextFormat::simple(font.clone(), color)
        };
        let weak = visuals.weak_text_color();
        let start = row * columns.row_bytes();
        let mut job = LayoutJob::default();
        let address = self.address.wrapping_add(start as u64);
        let width = columns.address_chars;
        job.append(&format!("{address:0width$x}  "), 0.0, format(weak, false));
        let color = |offset: usize, len: usize| {
            if self.has_changed(offset, len) {
                parts::changed_color(ui)
            } else if self.bytes(offset, len).is_some() {
                visuals.text_color()
            } else {
                weak
            }
        };
        for cell in 0..columns.cells {
            let offset = start + cell * columns.cell_bytes;
            let text = match (self.now, self.bytes(offset, columns.cell_bytes)) {
                (_, Some(bytes)) => self.form.text(bytes).unwrap_or_default(),
                (Some(_), None) => "??".to_owned(),
                (None, None) => "··".to_owned(),
            };
            let width = columns.cell_chars;
            let is_selected = self.is_selected(offset, columns.cell_bytes);
            let color = color(offset, columns.cell_bytes);
            job.append(&format!("{text:>width$}"), 0.0, format(color, is_selected));
            job.append(" ", 0.0, format(weak, false));
        }
        job.append(" ", 0.0, format(weak, false));
        for offset in start..start + columns.row_bytes() {
            let char = match self.bytes(offset, 1) {
                Some(bytes) => bytes.first().map_or(' ', |byte| format::ascii(*byte)),
                None => ' ',
            };
            let is_selected = self.is_selected(offset, 1);
            job.append(
                &char.to_string(),
                0.0,
                format(color(offset, 1), is_selected),
            );
        }
        job
    }

    fn bytes(&self, offset: usize, len: usize) -> Option<&[u8]> {
        self.now?.get(offset..offset + len)
    }

    fn has_changed(&self, offset: usize, len: usize) -> bool {
        let old = self.before.get(offset..offset + len);
        old.is_some() && self.bytes(offset, len).is_some_and(|new| old != Some(new))
    }

    fn is_selected(&self, offset: usize, len: usize) -> bool {
        let Some((first, count)) = self.selected else {
            return false;
        };
        let start = self.address.wrapping_add(offset as u64);
        let end = start.saturating_add(len as u64);
        start < first.saturating_add(count) && first < end
    }

    /// Selects what the person points at or moves to. How many pages to go on from here.
    pub(super) fn select(
        &self,
        ui: &Ui,
        drawn: &Drawn,
        selected: &mut Option<(u64, u64)>,
    ) -> Option<i64> {
        let response = &drawn.whole;
        let (shift, press) =
            ui.input(|input| (input.modifiers.shift, input.pointer.press_origin()));
        let at = |pos: Pos2| self.bytes_at(drawn, pos);
        if let Some((first, last)) = response.interact_pointer_pos().and_then(at) {
            let old = selected.map(|(anchor, _)| anchor);
            let is_outside = self
                .selected
                .is_none_or(|(start, count)| first < start || first >= start.saturating_add(count));
            if response.drag_started_by(PointerButton::Primary) {
                *selected = press.and_then(at).map(|(start, _)| (start, last));
            } else if response.dragged_by(PointerButton::Primary) {
                *selected = old.map(|anchor| (anchor, if anchor <= first { last } else { first }));
            } else if response.clicked() && shift {
                *selected = Some((old.unwrap_or(first), last));
            } else if response.clicked() || response.secondary_clicked() && is_outside {
                *selected = Some((first, last));
                response.request_focus();
            }
        }
        if response.has_focus() {
            return self.select_by_keys(ui, drawn, selected);
        }
        None
    }

    fn select_by_keys(
        &self,
        ui: &Ui,
        drawn: &Drawn,
        selected: &mut Option<(u64, u64)>,
    ) -> Option<i64> {
        let filter = EventFilter {
            horizontal_arrows: true,
            vertical_arrows: true,
            ..EventFilter::default()
        };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(drawn.whole.id, filter));
        let cell = drawn.columns.cell_bytes as i64;
        let row = drawn.columns.row_bytes() as i64;
        let moves = [
            (Key::ArrowLeft, -cell),
            (Key::ArrowRight, cell),
            (Key::ArrowUp, -row),
            (Key::ArrowDown, row),
        ];
        for (key, by) in moves {
            let (is_moved, is_extended) = ui.input_mut(|input| {
                let is_extended = input.consume_key(Modifiers::SHIFT, key);
                (
                    is_extended || input.consume_key(Modifiers::NONE, key),
                    is_extended,
                )
            });
            if !is_moved {
                continue;
            }
            let (anchor, head) = selected.unwrap_or((self.address, self.address));
            *selected = if is_extended {
                Some((anchor, head.saturating_add_signed(by)))
            } else {
                let first = anchor.min(head).saturating_add_signed(by);
                Some((first, first.saturating_add(cell as u64 - 1)))
            };
        }
        ui.input_mut(|input| {
            if input.consume_key(Modifiers::NONE, Key::PageUp) {
                Some(-1)
            } else if input.consume_key(Modifiers::NONE, Key::PageDown) {
                Some(1)
            } else {
                None
            }
        })
    }

    /// First and last byte of what is drawn at a point.
    fn bytes_at(&self, drawn: &Drawn, pos: Pos2) -> Option<(u64, u64)> {
        let rect = drawn.whole.rect;
        let Vec2 { x, y } = pos2(
            pos.x.clamp(rect.left(), rect.right()),
            pos.y.clamp(rect.top(), rect.bottom() - 1.0),
        ) - rect.min;
        let row = (y / drawn.row_height) as usize;
        let (byte, len) = drawn.columns.bytes_at((x / drawn.char_width) as usize)?;
        let offset = (row * drawn.columns.row_bytes() + byte) as u64;
        let first = self.address.wrapping_add(offset);
        Some((first, first.saturating_add(len as u64 - 1)))
    }
}
