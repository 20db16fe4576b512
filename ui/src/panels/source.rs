//! A source text.

use super::gutter::{self, Place};
use super::parts;
use crate::action::Action;
use crate::model::PanelModel;
use egui::{RichText, Ui};
use reprise_worker::protocol::{Frame, Location, Look, View};
use std::ops::Range;
use std::sync::Arc;

/// Names what the panel remembers.
const LOCAL: &str = "source";

/// The text shown last, until the next is known.
#[derive(Clone, Default)]
struct Text {
    path: String,
    text: Arc<str>,
    lines: Arc<Vec<Range<usize>>>,
}

impl Text {
    fn new(path: &str, text: Arc<str>) -> Self {
        let mut lines = Vec::new();
        let mut start = 0;
        for line in text.split('\n') {
            let len = line.strip_suffix('\r').unwrap_or(line).len();
            lines.push(start..start + len);
            start += line.len() + 1;
        }
        // What ends with a line break has no line behind it.
        if lines.len() > 1 && lines.last().is_some_and(Range::is_empty) {
            lines.pop();
        }
        Self {
            path: path.to_owned(),
            text,
            lines: Arc::new(lines),
        }
    }
}

pub(super) fn show(ui: &mut Ui, model: &mut PanelModel<'_>) {
    let whose = parts::whose(model);
    let (frame, mut is_stale) = frame(model);
    let here = frame.as_ref().and_then(|frame| frame.location.clone());
    let pinned = model.shown.source.clone();
    let place = pinned.or_else(|| {
        let here = here.as_ref()?;
        Some((here.path.clone(), here.line))
    });
    let mut text = None;
    if let Some((path, _)) = &place {
        let look = Look::Source {
            thread: model.thread,
            path: path.clone(),
        };
        let kept: Text = parts::remembered(ui, LOCAL);
        let seen = model.looks.get(&look);
        is_stale |= seen.is_none_or(|seen| seen.is_stale);
        text = match seen.map(|seen| seen.view) {
            Some(View::Source(Some(text))) if kept.path == *path && *kept.text == **text => {
                Some(kept)
            }
            Some(View::Source(Some(text))) => Some(Text::new(path, text.as_str().into())),
            Some(_) => match model.texts.get(base_name(path)) {
                Some(given) if kept.path == *path && Arc::ptr_eq(&kept.text, given) => Some(kept),
                given => given.map(|given| Text::new(path, Arc::clone(given))),
            },
            None => (kept.path == *path).then_some(kept),
        };
    }
    parts::head(ui, &whose, is_stale);
    show_tools(ui, model, place.as_ref());
    ui.separator();
    let Some((path, line)) = place else {
        if !is_stale {
            show_unknown(ui, model, frame.as_ref());
        }
        return;
    };
    match text {
        Some(text) => {
            parts::remember(ui, LOCAL, text.clone());
            parts::dimmed(ui, is_stale, |ui| {
                show_text(ui, model, &text, line, here.as_ref())
            });
        }
        None if is_stale => {}
        None => show_absent(ui, model, &path, line, frame.as_ref()),
    }
}

/// The selected call, and whether it is known for this position.
fn frame(model: &mut PanelModel<'_>) -> (Option<Frame>, bool) {
    match model.looks.get(&Look::Stack(model.thread)) {
        Some(seen) => match seen.view {
            View::Stack(frames) => (frames.get(model.frame as usize).cloned(), seen.is_stale),
            _ => (None, seen.is_stale),
        },
        None => (None, true),
    }
}

fn show_tools(ui: &mut Ui, model: &mut PanelModel<'_>, place: Option<&(String, u32)>) {
    ui.horizontal_wrapped(|ui| {
        let mut is_following = model.shown.source.is_none();
        let response = ui
            .checkbox(&mut is_following, "Follow")
            .on_hover_text("Show the source of the selected call, wherever it goes")
            .accessible_name("source follows the position");
        if response.changed() {
            model.shown.source = if is_following { None } else { place.cloned() };
        }
        if let Some((path, line)) = place {
            ui.label(RichText::new(format!("{path}:{line}")).monospace());
        }
    });
}

fn show_text(
    ui: &mut Ui,
    model: &mut PanelModel<'_>,
    text: &Text,
    line: u32,
    here: Option<&Location>,
) {
    let current = here
        .filter(|here| here.path == text.path)
        .map(|here| here.line);
    let row = (line as usize).saturating_sub(1);
    // The path takes part, so that another file is scrolled to its line too.
    let key = egui::Id::unique((&text.path, line)).value();
    let rows = parts::Rows {
        name: "source rows",
        count: text.lines.len(),
        height: parts::row_height(ui),
        wanted: Some((row.min(text.lines.len().saturating_sub(1)), key)),
    };
    let digits = text.lines.len().checked_ilog10().unwrap_or_default() as usize + 1;
    rows.show(ui, |ui, range| {
        for index in range {
            let span = text.lines.get(index).cloned().unwrap_or_default();
            let content = text.text.get(span).unwrap_or_default();
            show_line(ui, model, text, index as u32 + 1, digits, content, current);
        }
    });
}

fn show_line(
    ui: &mut Ui,
    model: &mut PanelModel<'_>,
    text: &Text,
    line: u32,
    digits: usize,
    content: &str,
    current: Option<u32>,
) {
    let is_current = current == Some(line);
    ui.horizontal(|ui| {
        let whole_path = format!("{}:{line}", text.path);
        let place = Place {
            text: format!("{}:{line}", base_name(&text.path)),
            aliases: &[whole_path],
            is_current,
            height: parts::row_height(ui),
        };
        gutter::show(ui, model, &place);
        ui.label(RichText::new(format!("{line:>digits$}")).monospace().weak());
        let mut shown = RichText::new(content.replace('\t', "    ")).monospace();
        if is_current {
            shown = shown
                .background_color(ui.visuals().selection.bg_fill)
                .color(ui.visuals().selection.stroke.color);
        }
        ui.add(egui::Label::new(shown).extend());
    });
}

fn base_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// The program does not say where its code comes from.
fn show_unknown(ui: &mut Ui, model: &mut PanelModel<'_>, frame: Option<&Frame>) {
    let Some(frame) = frame else {
        ui.label("No call of this thread is known here.");
        return;
    };
    let function = frame.function.as_deref().unwrap_or("this code");
    ui.label(format!(
        "No source line is known for {function} at {:#x}: there is no debug information for it. A breakpoint at a function of the \
         program's own, such as main, and “Run” or “Run back” lead to one that may have some.",
        frame.pc
    ));
    show_code_button(ui, model, frame);
}

/// The program says where its code comes from, but the guest has no such file.
fn show_absent(
    ui: &mut Ui,
    model: &mut PanelModel<'_>,
    path: &str,
    line: u32,
    frame: Option<&Frame>,
) {
    ui.label(format!(
        "The text of {path} is not in the guest. The place is line {line}. Drop the file {} here to see it.",
        base_name(path)
    ));
    ui.horizontal_wrapped(|ui| {
        if ui.button("Copy the file's location").clicked() {
            model.actions.push(Action::Copy(format!("{path}:{line}")));
        }
        if let Some(frame) = frame {
            show_code_button(ui, model, frame);
        }
    });
}

fn show_code_button(ui: &mut Ui, model: &mut PanelModel<'_>, frame: &Frame) {
    if ui.button("Show the instructions").clicked() {
        model.actions.push(Action::ShowCode(frame.pc));
    }
}
