//! Places to come back to.

use super::parts;
use crate::action::Action;
use crate::format;
use crate::model::{Mark, PanelModel};
use egui::{ScrollArea, Ui};
use reprise_worker::protocol::Target;

/// Names what the panel remembers.
const LOCAL: &str = "marks";

pub(super) fn show(ui: &mut Ui, model: &mut PanelModel<'_>) {
    let mut note: String = parts::remembered(ui, LOCAL);
    ui.horizontal_wrapped(|ui| {
        let width = 30.0 * parts::char_width(ui);
        let field = parts::field(ui, &mut note, "note of the new mark", "note", width);
        let is_asked = ui
            .button("Mark this position")
            .on_hover_text(format!("Position {}", format::count(model.position.icount)))
            .clicked();
        if field.is_entered || is_asked {
            let note = std::mem::take(&mut note);
            model.actions.push(Action::AddMark(note.trim().to_owned()));
        }
    });
    parts::remember(ui, LOCAL, note);
    ui.separator();
    if model.marks.is_empty() {
        ui.label(
            "No marks yet. A mark brings you back to a position, and goes with a shared link.",
        );
        return;
    }
    let icount = model.position.icount;
    let actions = &mut *model.actions;
    ScrollArea::both()
        .auto_shrink([false, false])
        .show(ui, |ui| {
            for (number, mark) in model.marks.iter().enumerate() {
                ui.push_id(number, |ui| show_mark(ui, number, mark, icount, actions));
            }
        });
}

fn show_mark(ui: &mut Ui, number: usize, mark: &Mark, icount: u64, actions: &mut Vec<Action>) {
    ui.horizontal(|ui| {
        let place = egui::RichText::new(format::count(mark.icount)).monospace();
        let response = parts::row(
            ui,
            mark.icount == icount,
            place,
            format!("go to mark {number} at {}", mark.icount),
        );
        if response.on_hover_text("Go there").clicked() {
            actions.push(Action::Seek(Target::Icount(mark.icount)));
        }
        let mut note = mark.note.clone();
        let name = format!("note of mark {number}");
        let width = 30.0 * parts::char_width(ui);
        if parts::field(ui, &mut note, &name, "note", width)
            .response
            .changed()
        {
            actions.push(Action::NoteMark(number, note));
        }
        let name = format!("remove mark {number}");
        let button = ui.button("Remove").accessible_name(name);
        if button.clicked() {
            actions.push(Action::RemoveMark(number));
        }
    });
}
