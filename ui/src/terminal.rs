//! The terminal: what it shows at a position, what is typed into it, and where a character came from.
//!
//! # Invariants
//! - What is shown at a position is what a terminal shows that has taken in all output before it; nothing else decides.
//! - The engine is not asked: the output is in the page.

mod colors;
mod draw;
mod history;
mod keys;
mod select;
mod shadow;
#[cfg(test)]
mod tests;

pub use history::{COLUMNS_MAX, History, ROWS_MAX};
pub use select::CellAt;

use egui::{Event, ImeEvent, Key, Pos2, Rect, Response, Sense, Ui, Vec2, vec2};
use reprise_worker::protocol::TerminalSize;
use select::Selection;

/// Seconds for which a size must stay before the machine is told.
const RESIZE_SECONDS: f64 = 0.3;
/// Height of the text, in points.
const FONT_POINTS: f32 = 14.0;
/// A recorded terminal that is larger than its panel is drawn smaller, down to this.
const FONT_POINTS_MIN: f32 = 7.0;

/// What a person did in the terminal.
#[derive(Clone, PartialEq, Debug)]
pub enum TerminalEvent {
    /// Typed or pasted.
    Typed(Vec<u8>),
    /// The panel has room for another size.
    Resized(TerminalSize),
    /// Clicked a character: the step that printed it is at this position.
    Clicked(u64),
    /// Copied text.
    Copied(String),
}

/// What a terminal is drawn from.
pub struct TerminalSource<'a> {
    /// The output.
    pub history: &'a mut History,
    /// The position, or none for the present of a live machine.
    pub icount: Option<u64>,
    /// What is known of a position, for a person who points at a character.
    pub describe: &'a dyn Fn(u64) -> String,
}

/// Where cells lie on the screen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    origin: Pos2,
    cell: Vec2,
    rows: u16,
    columns: u16,
}

/// A terminal on the screen.
#[derive(Default)]
pub struct TerminalView {
    selection: Option<Selection>,
    pressed: Option<CellAt>,
    scrollback: usize,
    /// Part of a line that the wheel has turned.
    wheel: f32,
    geometry: Option<Geometry>,
    /// Size that the panel has had since when, and the one that the machine knows.
    room: Option<(TerminalSize, f64)>,
    told: Option<TerminalSize>,
    /// What an input method is composing.
    composing: String,
    has_focus: bool,
    wants_focus: bool,
}

impl TerminalView {
    /// Another recording is shown. The machine has a terminal of this size.
    pub fn reset(&mut self, size: TerminalSize) {
        *self = TerminalView {
            geometry: self.geometry,
            told: Some(size),
            wants_focus: true,
            ..TerminalView::default()
        };
    }

    /// What is typed goes to the terminal from now on.
    pub fn focus(&mut self) {
        self.wants_focus = true;
    }

    /// What is typed goes to the terminal.
    #[must_use]
    pub fn has_focus(&self) -> bool {
        self.has_focus
    }

    /// Where a cell was drawn last.
    #[must_use]
    pub fn cell_rect(&self, at: CellAt) -> Option<Rect> {
        self.geometry
            .filter(|geometry| at.row < geometry.rows && at.column < geometry.columns)
            .map(|geometry| geometry.rect(at))
    }

    /// Draws the terminal and says what the person did.
    pub fn show(&mut self, ui: &mut Ui, mut source: TerminalSource<'_>) -> Vec<TerminalEvent> {
        let is_live = source.icount.is_none();
        let (rect, response) = ui.allocate_exact_size(ui.available_size(), Sense::click_and_drag());
        let mut events = Vec::new();
        if std::mem::take(&mut self.wants_focus) || response.clicked() || response.drag_started() {
            response.request_focus();
        }
        self.has_focus = response.has_focus();
        if is_live {
            self.measure_room(ui, rect, &mut events);
        }
        self.scroll(ui, &response, &mut source);
        let geometry = draw::geometry(ui, rect, source.screen(), is_live);
        self.geometry = Some(geometry);
        self.select(ui, &response, &geometry, &mut source, &mut events);
        self.take_keys(ui, &response, &mut source, &mut events);
        let icount = source.icount;
        let screen = source.screen();
        screen.set_scrollback(self.scrollback);
        let text = screen.contents();
        response.widget_info(|| {
            let mut info = egui::WidgetInfo::labeled(egui::Role::Terminal, true, "Terminal");
            info.current_text_value = Some(text.clone());
            info
        });
        draw::draw(ui, rect, &geometry, screen, self, icount.is_none());
        screen.set_scrollback(0);
        if is_live && self.has_focus {
            self.tell_input_method(ui, &geometry, source.screen());
        }
        events
    }

    /// Tells the machine of another size once it has stayed for a while.
    fn measure_room(&mut self, ui: &Ui, rect: Rect, events: &mut Vec<TerminalEvent>) {
        let cell = draw::cell_size(ui, FONT_POINTS);
        let count = |room: f32, size: f32, most: u16| ((room / size).floor() as u16).clamp(2, most);
        let size = TerminalSize {
            columns: count(rect.width(), cell.x, COLUMNS_MAX),
            rows: count(rect.height(), cell.y, ROWS_MAX),
        };
        let now = ui.input(|input| input.time);
        match self.room {
            Some((known, since)) if known == size => {
                if self.told != Some(size) {
                    if now - since >= RESIZE_SECONDS {
                        self.told = Some(size);
                        events.push(TerminalEvent::Resized(size));
                    } else {
                        ui.ctx().request_repaint_after_secs(RESIZE_SECONDS as f32);
                    }
                }
            }
            _ => {
                self.room = Some((size, now));
                ui.ctx().request_repaint_after_secs(RESIZE_SECONDS as f32);
            }
        }
    }

    fn scroll(&mut self, ui: &Ui, response: &Response, source: &mut TerminalSource<'_>) {
        let wheel = if response.contains_pointer() {
            ui.input(|input| input.smooth_scroll_delta().y)
        } else {
            0.0
        };
        let line = draw::cell_size(ui, FONT_POINTS).y.max(1.0);
        self.wheel += wheel / line;
        let lines = self.wheel.trunc();
        self.wheel -= lines;
        let most = source.screen().scrollback_len();
        self.scrollback = if lines >= 0.0 {
            self.scrollback.saturating_add(lines as usize)
        } else {
            self.scrollback.saturating_sub((-lines) as usize)
        }
        .min(most);
        if lines != 0.0 {
            self.selection = None;
        }
    }

    fn select(
        &mut self,
        ui: &Ui,
        response: &Response,
        geometry: &Geometry,
        source: &mut TerminalSource<'_>,
        events: &mut Vec<TerminalEvent>,
    ) {
        if response.is_pointer_button_down_on() && self.pressed.is_none() {
            self.pressed = ui
                .input(|input| input.pointer.press_origin())
                .map(|at| geometry.nearest(at));
        }
        let pointer = response.interact_pointer_pos();
        if let (true, Some(anchor), Some(at)) = (response.dragged(), self.pressed, pointer) {
            let head = geometry.nearest(at);
            self.selection = Some(Selection { anchor, head });
        }
        if response.clicked() {
            self.selection = None;
            let at = pointer.and_then(|at| geometry.cell(at));
            let icount = at.and_then(|at| source.origin_of(self.scrollback, at));
            if let (Some(icount), true) = (icount, source.icount.is_some()) {
                events.push(TerminalEvent::Clicked(icount));
            }
        }
        if response.double_clicked()
            && source.icount.is_none()
            && let Some(at) = pointer.and_then(|at| geometry.cell(at))
        {
            self.selection = Some(select::word_around(source.screen(), at));
        }
        if !response.is_pointer_button_down_on() {
            self.pressed = None;
        }
        if source.icount.is_some()
            && let Some(at) = response.hover_pos().and_then(|at| geometry.cell(at))
            && let Some(icount) = source.origin_of(self.scrollback, at)
        {
            let text = format!("{}\nClick to go there.", (source.describe)(icount));
            response
                .clone()
                .on_hover_cursor(egui::CursorIcon::PointingHand)
                .on_hover_text_at_pointer(text);
        }
    }

    fn take_keys(
        &mut self,
        ui: &Ui,
        response: &Response,
        source: &mut TerminalSource<'_>,
        events: &mut Vec<TerminalEvent>,
    ) {
        if !self.has_focus {
            return;
        }
        let is_live = source.icount.is_none();
        let filter = egui::EventFilter {
            tab: is_live,
            horizontal_arrows: is_live,
            vertical_arrows: is_live,
            escape: is_live,
        };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, filter));
        let (is_control, input) = ui.input(|input| (input.modifiers.ctrl, input.events.clone()));
        let mut typed = Vec::new();
        for event in input {
            match event {
                Event::Copy => match self.selection.take() {
                    Some(selection) => {
                        events.push(TerminalEvent::Copied(self.text_of(selection, source)))
                    }
                    None if is_control => typed.push(3),
                    None => {}
                },
                Event::Cut if is_control && is_live => typed.push(0x18),
                Event::Key {
                    key: Key::C,
                    pressed: true,
                    modifiers,
                    ..
                } if modifiers.shift && modifiers.command && self.selection.is_some() => {
                    if let Some(selection) = self.selection.take() {
                        events.push(TerminalEvent::Copied(self.text_of(selection, source)));
                    }
                }
                Event::Key {
                    key,
                    pressed: true,
                    modifiers,
                    ..
                } if is_live => {
                    // Copy, cut and paste arrive by their own events.
                    let is_clipboard = modifiers.command && matches!(key, Key::C | Key::X | Key::V);
                    let is_application = source.screen().application_cursor();
                    if !is_clipboard
                        && let Some(bytes) = keys::bytes_from_key(key, modifiers, is_application)
                    {
                        typed.extend(bytes);
                    }
                }
                Event::Text(text) if is_live => typed.extend(text.into_bytes()),
                Event::Paste(text) if is_live => {
                    typed.extend(keys::bytes_from_paste(
                        &text,
                        source.screen().bracketed_paste(),
                    ));
                }
                Event::Ime(ImeEvent::Preedit { text, .. }) if is_live => self.composing = text,
                Event::Ime(ImeEvent::Commit(text)) if is_live => {
                    self.composing.clear();
                    typed.extend(keys::bytes_from_paste(&text, false));
                }
                Event::Ime(ImeEvent::DeleteSurrounding { before_chars, .. }) if is_live => {
                    typed.extend(std::iter::repeat_n(0x7f, before_chars.min(256)));
                }
                _ => {}
            }
        }
        if !typed.is_empty() && is_live {
            self.scrollback = 0;
            self.selection = None;
            events.push(TerminalEvent::Typed(typed));
        }
    }

    fn text_of(&self, selection: Selection, source: &mut TerminalSource<'_>) -> String {
        let screen = source.screen();
        screen.set_scrollback(self.scrollback);
        let text = selection.text(screen);
        screen.set_scrollback(0);
        text
    }

    /// Lets input methods and the keyboards of phones know where text goes.
    fn tell_input_method(&self, ui: &Ui, geometry: &Geometry, screen: &vt100::Screen) {
        let (row, column) = screen.cursor_position();
        let cursor_rect = geometry.rect(CellAt { row, column });
        let ime = egui::output::IMEOutput {
            purpose: egui::IMEPurpose::Normal,
            rect: cursor_rect,
            cursor_rect,
            should_interrupt_composition: false,
        };
        ui.output_mut(|output| output.ime = Some(ime));
    }
}

impl TerminalSource<'_> {
    fn screen(&mut self) -> &mut vt100::Screen {
        match self.icount {
            Some(icount) => self.history.screen_at(icount),
            None => self.history.last_screen(),
        }
    }

    fn origin_of(&mut self, scrollback: usize, at: CellAt) -> Option<u64> {
        let icount = self.icount?;
        self.history
            .icount_of_cell(icount, scrollback, at.row, at.column)
    }
}

/// Size of the terminal that fits into a room, for a machine that is about to start.
#[must_use]
pub fn size_for(room: Vec2) -> TerminalSize {
    let count = |room: f32, size: f32, most: u16| ((room / size).floor() as u16).clamp(20, most);
    TerminalSize {
        columns: count(room.x, FONT_POINTS * 0.6, COLUMNS_MAX),
        rows: count(room.y, FONT_POINTS * 1.2, ROWS_MAX),
    }
}

impl Geometry {
    fn rect(&self, at: CellAt) -> Rect {
        let offset = vec2(
            f32::from(at.column) * self.cell.x,
            f32::from(at.row) * self.cell.y,
        );
        Rect::from_min_size(self.origin + offset, self.cell)
    }

    fn nearest(&self, at: Pos2) -> CellAt {
        let place = (at - self.origin) / self.cell;
        CellAt {
            row: (place.y.max(0.0) as u16).min(self.rows.saturating_sub(1)),
            column: (place.x.max(0.0) as u16).min(self.columns.saturating_sub(1)),
        }
    }

    fn cell(&self, at: Pos2) -> Option<CellAt> {
        let size = vec2(f32::from(self.columns), f32::from(self.rows)) * self.cell;
        let is_inside = Rect::from_min_size(self.origin, size).contains(at);
        is_inside.then(|| self.nearest(at))
    }
}
