//! What a person fills in to add a stop.

use crate::action::Action;
use crate::model::PanelModel;
use crate::panels::{address, parts};
use egui::{Button, Ui};
use reprise_worker::protocol::{Look, Register, StopKind, View};

/// Names what the panel remembers.
const LOCAL: &str = "stops";
/// Width of a field, in characters.
const FIELD_CHARS: f32 = 22.0;

/// What stands in the fields.
#[derive(Clone)]
struct Local {
    place: String,
    address: String,
    byte_len: String,
    reads: bool,
    writes: bool,
    call: String,
    error: Option<String>,
}

impl Default for Local {
    fn default() -> Self {
        Self {
            place: String::new(),
            address: String::new(),
            byte_len: "8".to_owned(),
            reads: false,
            writes: true,
            call: String::new(),
            error: None,
        }
    }
}

pub(super) fn show(ui: &mut Ui, model: &mut PanelModel<'_>) {
    let mut local: Local = parts::remembered(ui, LOCAL);
    show_breakpoint(ui, &mut local, model.actions);
    show_watchpoint(ui, &mut local, model);
    show_call(ui, &mut local, model.actions);
    ui.horizontal_wrapped(|ui| {
        ui.label("What Linux does");
        let catches = [
            ("Exec", StopKind::Exec, "Stop where a program is executed"),
            (
                "Fork",
                StopKind::Fork,
                "Stop where a thread or process is made",
            ),
            ("Exit", StopKind::Exit, "Stop where a thread ends"),
            ("Signal", StopKind::Signal, "Stop where a signal arrives"),
        ];
        for (text, kind, explanation) in catches {
            let response = ui.button(text).on_hover_text(explanation);
            let name = format!("add a stop: {}", text.to_lowercase());
            if response.accessible_name(name).clicked() {
                model.actions.push(Action::AddStop(kind));
            }
        }
    });
    if let Some(error) = &local.error {
        ui.colored_label(ui.visuals().error_fg_color, error);
    }
    parts::remember(ui, LOCAL, local);
}

fn show_breakpoint(ui: &mut Ui, local: &mut Local, actions: &mut Vec<Action>) {
    ui.horizontal_wrapped(|ui| {
        ui.label("Breakpoint");
        let width = FIELD_CHARS * parts::char_width(ui);
        let hint = "main, file.c:12, 0x10430";
        let field = parts::field(ui, &mut local.place, "place of the breakpoint", hint, width);
        let place = local.place.trim();
        let is_asked = ui
            .add_enabled(!place.is_empty(), Button::new("Add"))
            .accessible_name("add the breakpoint")
            .clicked();
        if (field.is_entered || is_asked) && !place.is_empty() {
            let kind = StopKind::Breakpoint(place.to_owned());
            actions.push(Action::AddStop(kind));
            local.place.clear();
            local.error = None;
        }
    });
}

fn show_watchpoint(ui: &mut Ui, local: &mut Local, model: &mut PanelModel<'_>) {
    let registers = match model.looks.get(&Look::Registers(model.thread)) {
        Some(seen) => match seen.view {
            View::Registers(registers) => registers.as_slice(),
            _ => &[],
        },
        None => &[],
    };
    let actions = &mut *model.actions;
    ui.horizontal_wrapped(|ui| {
        ui.label("Watchpoint");
        let width = FIELD_CHARS * parts::char_width(ui);
        let name = "address of the watchpoint";
        let address = parts::field(ui, &mut local.address, name, "address", width);
        address.response.on_hover_text(address::HINT);
        let width = 6.0 * parts::char_width(ui);
        let name = "length of the watchpoint";
        let byte_len = parts::field(ui, &mut local.byte_len, name, "bytes", width);
        ui.label("bytes");
        ui.checkbox(&mut local.reads, "reads")
            .accessible_name("watch reads");
        ui.checkbox(&mut local.writes, "writes")
            .accessible_name("watch writes");
        let is_asked = ui
            .button("Add")
            .accessible_name("add the watchpoint")
            .clicked();
        if address.is_entered || byte_len.is_entered || is_asked {
            match watchpoint(local, registers) {
                Ok(kind) => {
                    actions.push(Action::AddStop(kind));
                    local.address.clear();
                    local.error = None;
                }
                Err(error) => local.error = Some(error),
            }
        }
    });
}

fn watchpoint(local: &Local, registers: &[Register]) -> Result<StopKind, String> {
    let address = address::address_from_text(&local.address, registers)?;
    let byte_len = local.byte_len.trim();
    let byte_len = match byte_len.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => byte_len.parse().ok(),
    };
    let byte_len = byte_len
        .filter(|byte_len| *byte_len > 0 && address.checked_add(*byte_len - 1).is_some())
        .ok_or("The length is a number of bytes, at least 1.")?;
    if !local.reads && !local.writes {
        return Err("Choose reads, writes, or both.".to_owned());
    }
    Ok(StopKind::Watchpoint {
        address,
        byte_len,
        reads: local.reads,
        writes: local.writes,
    })
}

fn show_call(ui: &mut Ui, local: &mut Local, actions: &mut Vec<Action>) {
    ui.horizontal_wrapped(|ui| {
        ui.label("System call");
        let width = FIELD_CHARS * parts::char_width(ui);
        let name = "name of the system call";
        let field = parts::field(ui, &mut local.call, name, "any, or openat", width);
        let is_asked = ui
            .button("Add")
            .on_hover_text("With no name, any system call")
            .accessible_name("add the system call")
            .clicked();
        if field.is_entered || is_asked {
            let name = local.call.trim();
            let name = (!name.is_empty() && name != "any").then(|| name.to_owned());
            actions.push(Action::AddStop(StopKind::SystemCall(name)));
            local.call.clear();
            local.error = None;
        }
    });
}
