//! Input events of the whole recording: all that came into the machine from outside.

use super::parts;
use crate::action::Action;
use crate::format;
use crate::model::PanelModel;
use egui::text::{LayoutJob, TextFormat};
use egui::{TextStyle, Ui};
use reprise_worker::protocol::{Input, InputKind, Target};

pub(super) fn show(ui: &mut Ui, model: &mut PanelModel<'_>) {
    let inputs = &model.recording.inputs;
    ui.label(format::counted(
        inputs.len() as u64,
        "input event",
        "input events",
    ));
    ui.separator();
    if inputs.is_empty() {
        ui.label("Nothing came into the machine from outside.");
        return;
    }
    let icount = model.position.icount;
    let behind = inputs.partition_point(|input| input.icount <= icount);
    let nearest = behind.checked_sub(1);
    let rows = parts::Rows {
        name: "inputs rows",
        count: inputs.len(),
        height: parts::row_height(ui),
        wanted: Some((nearest.unwrap_or_default(), icount)),
    };
    let actions = &mut *model.actions;
    rows.show(ui, |ui, range| {
        for row in range {
            if let Some(input) = inputs.get(row) {
                show_input(ui, row as u32, input, nearest == Some(row), actions);
            }
        }
    });
}

fn show_input(
    ui: &mut Ui,
    number: u32,
    input: &Input,
    is_nearest: bool,
    actions: &mut Vec<Action>,
) {
    let text = text_of(&input.kind);
    let font = TextStyle::Monospace.resolve(ui.style());
    let weak = TextFormat::simple(font.clone(), ui.visuals().weak_text_color());
    let plain = TextFormat::simple(font, ui.visuals().text_color());
    let mark = if is_nearest { "▶" } else { " " };
    let mut job = LayoutJob::default();
    let place = format::count(input.icount);
    job.append(&format!("{mark} {number:>4} {place:>15}  "), 0.0, weak);
    job.append(&text, 0.0, plain);
    let name = format!("input {number} at {}: {text}", input.icount);
    let response = parts::row(ui, is_nearest, job, name);
    parts::menu(&response, |ui| {
        if parts::entry(ui, "Go there") {
            actions.push(Action::Seek(Target::Event(number)));
        }
        if parts::entry(ui, "Copy") {
            actions.push(Action::Copy(text.clone()));
        }
    });
    if response.on_hover_text("Go to just before it").clicked() {
        actions.push(Action::Seek(Target::Event(number)));
    }
}

fn text_of(kind: &InputKind) -> String {
    match kind {
        InputKind::Start => "start".to_owned(),
        InputKind::Typed(bytes) => format!("typed {}", format::visible(bytes)),
        InputKind::Size(size) => format!("terminal of {} × {}", size.columns, size.rows),
        InputKind::PowerOff => "power button".to_owned(),
        InputKind::Frame { byte_len } => format!("{byte_len} bytes from the network"),
        InputKind::File {
            path,
            offset,
            byte_len: Some(byte_len),
        } => format!("{byte_len} bytes of {path} from byte {offset} on"),
        InputKind::File { path, .. } => format!("{path} could not be read"),
    }
}
