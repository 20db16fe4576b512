//! What several panels are drawn of.

use crate::model::PanelModel;
use egui::{
    Button, Color32, Id, Key, Modifiers, Popup, Response, RichText, ScrollArea, SetOpenCommand,
    TextEdit, TextStyle, TextWrapMode, Ui, WidgetText,
};
use reprise_worker::protocol::Thread;
use std::ops::Range;

/// Dims what holds at another position than the one shown.
const STALE_OPACITY: f32 = 0.5;

/// Whose view a panel shows, in words.
pub(super) fn whose(model: &PanelModel<'_>) -> String {
    match model.thread {
        Thread::Cpu => "CPU".to_owned(),
        Thread::Current => match &model.position.thread {
            Some((tid, name)) => format!("{name} ({tid})"),
            None => "CPU".to_owned(),
        },
        Thread::Task(tid) => match model.index.name_at(tid, model.position.icount) {
            Some(name) => format!("{name} ({tid})"),
            None => format!("thread {tid}"),
        },
    }
}

/// Whose view it is, and whether a newer answer is under way. It is there always, so that nothing below it moves.
pub(super) fn head(ui: &mut Ui, whose: &str, is_stale: bool) {
    ui.horizontal_wrapped(|ui| {
        ui.label(RichText::new(whose).strong());
        if is_stale {
            ui.label(RichText::new("looking…").weak());
        }
    });
}

/// Draws something, dimmed if it is stale.
pub(super) fn dimmed<R>(ui: &mut Ui, is_stale: bool, draw: impl FnOnce(&mut Ui) -> R) -> R {
    ui.scope(|ui| {
        if is_stale {
            ui.multiply_opacity(STALE_OPACITY);
        }
        draw(ui)
    })
    .inner
}

/// A line that stands for something: it can be clicked, reached by keyboard, and found by its name.
pub(super) fn row(
    ui: &mut Ui,
    is_selected: bool,
    text: impl Into<WidgetText>,
    name: impl Into<String>,
) -> Response {
    let button = Button::selectable(is_selected, text.into()).wrap_mode(TextWrapMode::Extend);
    ui.add(button).accessible_name(name)
}

/// Height of a [`row`] in monospace.
pub(super) fn row_height(ui: &Ui) -> f32 {
    let text = ui.text_style_height(&TextStyle::Monospace);
    let padded = text + 2.0 * ui.spacing().button_padding.y;
    padded.max(ui.spacing().interact_size.y)
}

/// A menu that opens by the other mouse button, a long touch, or the keyboard.
pub(super) fn menu(response: &Response, draw: impl FnOnce(&mut Ui)) {
    let is_asked_by_keyboard = response.has_focus()
        && response.ctx.input_mut(|input| {
            input.consume_key(Modifiers::SHIFT, Key::F10)
                || input.consume_key(Modifiers::NONE, Key::Menu)
        });
    let popup = Popup::context_menu(response);
    if is_asked_by_keyboard {
        popup
            .open_memory(SetOpenCommand::Bool(true))
            .at_position(response.rect.left_bottom())
            .show(draw);
    } else {
        popup.show(draw);
    }
}

/// An entry of a [`menu`], which closes it.
pub(super) fn entry(ui: &mut Ui, text: impl Into<String>) -> bool {
    let is_clicked = ui.button(text.into()).clicked();
    if is_clicked {
        ui.close();
    }
    is_clicked
}

/// Width of a character in monospace.
pub(super) fn char_width(ui: &Ui) -> f32 {
    let font = TextStyle::Monospace.resolve(ui.style());
    ui.fonts_mut(|fonts| fonts.glyph_width(&font, '0'))
}

/// Of what has changed since the position before.
pub(super) fn changed_color(ui: &Ui) -> Color32 {
    ui.visuals().warn_fg_color
}

/// A line of text to fill in; true once Enter was pressed in it.
pub(super) fn field(ui: &mut Ui, text: &mut String, name: &str, hint: &str, width: f32) -> Field {
    let response = ui
        .add(
            TextEdit::singleline(text)
                .hint_text(hint.to_owned())
                .desired_width(width.min(ui.available_width()))
                .font(TextStyle::Monospace),
        )
        .accessible_name(name);
    let is_entered = response.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
    Field {
        response,
        is_entered,
    }
}

/// What happened to a [`field`].
pub(super) struct Field {
    /// Its widget.
    pub(super) response: Response,
    /// Enter was pressed in it.
    pub(super) is_entered: bool,
}

/// What a panel remembers from frame to frame of what is nobody else's business.
pub(super) fn remembered<T: Clone + Default + Send + Sync + 'static>(ui: &Ui, what: &str) -> T {
    ui.data(|data| data.get_temp(Id::unique(("panels", what))))
        .unwrap_or_default()
}

/// Remembers something for [`remembered`].
pub(super) fn remember<T: Clone + Send + Sync + 'static>(ui: &Ui, what: &str, value: T) {
    ui.data_mut(|data| data.insert_temp(Id::unique(("panels", what)), value));
}

/// Rows of which only those are drawn that are seen, with one that the person must see when it becomes another.
pub(super) struct Rows<'a> {
    /// Unique.
    pub(super) name: &'a str,
    /// How many.
    pub(super) count: usize,
    /// Height of one, without the space between two.
    pub(super) height: f32,
    /// The row to be brought into sight, with what makes it another one.
    pub(super) wanted: Option<(usize, u64)>,
}

#[derive(Clone, Copy, Default)]
struct Scrolled {
    offset: f32,
    height: f32,
    key: Option<u64>,
}

impl Rows<'_> {
    /// Draws them.
    pub(super) fn show(self, ui: &mut Ui, draw: impl FnOnce(&mut Ui, Range<usize>)) {
        let mut scrolled: Scrolled = remembered(ui, self.name);
        let mut area = ScrollArea::both()
            .id_salt(self.name)
            .auto_shrink([false, false]);
        let pitch = self.height + ui.spacing().item_spacing.y;
        if let Some((row, key)) = self.wanted
            && scrolled.key != Some(key)
        {
            let top = row as f32 * pitch;
            let height = if scrolled.height > 0.0 {
                scrolled.height
            } else {
                ui.available_height()
            };
            let is_seen = top >= scrolled.offset && top + pitch <= scrolled.offset + height;
            if !is_seen || scrolled.key.is_none() {
                let end = (self.count as f32 * pitch - height).max(0.0);
                area = area.vertical_scroll_offset((top - height / 2.0).clamp(0.0, end));
            }
            scrolled.key = Some(key);
        }
        let output = area.show_rows(ui, self.height, self.count, draw);
        scrolled.offset = output.state.clamped_offset().y;
        scrolled.height = output.inner_rect.height();
        remember(ui, self.name, scrolled);
    }
}

/// A text has a filter's words in it, whatever their case.
pub(super) fn has_filter(text: &str, filter: &str) -> bool {
    let (text, filter) = (text.as_bytes(), filter.as_bytes());
    if filter.is_empty() {
        return true;
    }
    text.windows(filter.len())
        .any(|window| window.eq_ignore_ascii_case(filter))
}
