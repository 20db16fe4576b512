//! Calls of the selected thread.

use super::parts;
use crate::action::Action;
use crate::format;
use crate::model::PanelModel;
use egui::text::{LayoutJob, TextFormat};
use egui::{ScrollArea, TextStyle, Ui};
use reprise_worker::protocol::{Frame, Look, View};

pub(super) fn show(ui: &mut Ui, model: &mut PanelModel<'_>) {
    let whose = parts::whose(model);
    let seen = model.looks.get(&Look::Stack(model.thread));
    parts::head(ui, &whose, seen.is_none_or(|seen| seen.is_stale));
    let Some(seen) = seen else {
        return;
    };
    let View::Stack(frames) = seen.view else {
        return;
    };
    if frames.is_empty() {
        ui.label("No call of this thread is known here.");
        return;
    }
    let actions = &mut *model.actions;
    ScrollArea::both()
        .auto_shrink([false, false])
        .show(ui, |ui| {
            parts::dimmed(ui, seen.is_stale, |ui| {
                for (number, frame) in (0..).zip(frames) {
                    show_frame(ui, number, frame, number == model.frame, actions);
                }
            });
        });
}

/// A call's function, or where it is.
fn function_of(frame: &Frame) -> String {
    match &frame.function {
        Some(function) => function.clone(),
        None => format::hex(frame.pc),
    }
}

fn show_frame(
    ui: &mut Ui,
    number: u32,
    frame: &Frame,
    is_selected: bool,
    actions: &mut Vec<Action>,
) {
    let function = function_of(frame);
    let place = frame.location.as_ref().map(|location| {
        let name = location.path.rsplit('/').next().unwrap_or_default();
        format!("{name}:{}", location.line)
    });
    let mut tags = String::new();
    if frame.is_inlined {
        tags.push_str("  inlined");
    }
    if frame.is_kernel {
        tags.push_str("  kernel");
    }
    let font = TextStyle::Monospace.resolve(ui.style());
    let weak = TextFormat::simple(font.clone(), ui.visuals().weak_text_color());
    let plain = TextFormat::simple(font, ui.visuals().text_color());
    let mut job = LayoutJob::default();
    job.append(&format!("{number:>2}  "), 0.0, weak.clone());
    job.append(&function, 0.0, plain.clone());
    if let Some(place) = &place {
        job.append(&format!("  {place}"), 0.0, plain);
    }
    job.append(&tags, 0.0, weak);
    let mut name = format!("frame {number}: {function}");
    if let Some(place) = &place {
        name.push_str(&format!(" at {place}"));
    }
    name.push_str(&tags.replace("  ", ", "));

    let response = parts::row(ui, is_selected, job, name);
    parts::menu(&response, |ui| {
        if parts::entry(ui, "Show its code") {
            actions.push(Action::ShowCode(frame.pc));
        }
        if let Some(location) = &frame.location
            && parts::entry(ui, "Show its source")
        {
            actions.push(Action::ShowSource {
                path: location.path.clone(),
                line: location.line,
            });
        }
        if parts::entry(ui, "Copy") {
            let place = place.clone().unwrap_or_default();
            actions.push(Action::Copy(
                format!("{function} {place}").trim().to_owned(),
            ));
        }
    });
    let response = response.on_hover_ui(|ui| {
        ui.label(format!("{function} at {}", format::hex(frame.pc)));
        if let Some(location) = &frame.location {
            ui.label(format!("{}:{}", location.path, location.line));
        }
        if frame.is_inlined {
            ui.label("It was inlined into the next one.");
        }
        if frame.is_kernel {
            ui.label("It is the kernel's.");
        }
    });
    if response.clicked() {
        actions.push(Action::SelectFrame(number));
    }
}
