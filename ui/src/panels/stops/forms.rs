//! What a person fills in to add a stop.

use crate::action::Action;
use crate::model::PanelModel;
use crate::panels::variables::{self, EXPRESSION_HINT};
use crate::panels::{address, parts};
use egui::{Button, Ui};
use reprise_worker::protocol::{Look, Register, StopKind, Variable, View};

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
    /// An expression whose address is asked for.
    wanted: Option<String>,
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
            wanted: None,
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
                local.error = None;
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
    ui.horizontal_wrapped(|ui| {
        ui.label("Watchpoint");
        let width = FIELD_CHARS * parts::char_width(ui);
        let name = "address of the watchpoint";
        let hint = "variable, or address";
        let address = parts::field(ui, &mut local.address, name, hint, width);
        let mut is_changed = address.response.changed();
        address
            .response
            .on_hover_text(format!("{EXPRESSION_HINT}. Or: {}", address::HINT));
        let width = 6.0 * parts::char_width(ui);
        let name = "length of the watchpoint";
        let byte_len = parts::field(ui, &mut local.byte_len, name, "bytes", width);
        ui.label("bytes");
        let reads = ui.checkbox(&mut local.reads, "reads");
        let writes = ui.checkbox(&mut local.writes, "writes");
        for response in [&byte_len.response, &reads, &writes] {
            is_changed |= response.changed();
        }
        if is_changed {
            local.error = None;
        }
        reads.accessible_name("watch reads");
        writes.accessible_name("watch writes");
        let is_asked = ui
            .button("Add")
            .accessible_name("add the watchpoint")
            .clicked();
        if address.is_entered || byte_len.is_entered || is_asked {
            local.error = None;
            match watchpoint(local, registers) {
                Ok(kind) => {
                    model.actions.push(Action::AddStop(kind));
                    local.address.clear();
                }
                Err(Unclear::IsExpression) => local.wanted = Some(local.address.trim().to_owned()),
                Err(Unclear::Wrong(error)) => local.error = Some(error),
            }
        }
    });
    take_expression(local, model);
}

/// Adds the watchpoint of a variable once the engine has told where it is.
fn take_expression(local: &mut Local, model: &mut PanelModel<'_>) {
    let Some(text) = &local.wanted else {
        return;
    };
    let look = Look::Expression {
        thread: model.thread,
        frame: model.frame,
        text: text.clone(),
    };
    let Some(seen) = model.looks.get(&look).filter(|seen| !seen.is_stale) else {
        return;
    };
    let told = match seen.view {
        View::Expression(told) => told.as_ref(),
        _ => return,
    };
    match told {
        Ok(Variable {
            address: Some(address),
            byte_len: byte_len @ 1..,
            ..
        }) => {
            let kind = StopKind::Watchpoint {
                address: *address,
                byte_len: *byte_len,
                reads: local.reads,
                writes: local.writes,
            };
            let name = text.clone();
            model.actions.push(Action::AddWatchpoint(name, kind));
            local.address.clear();
            local.error = None;
        }
        Ok(variable) => {
            let place = variables::place_of(variable);
            local.error = Some(format!("{text} is {place}: it cannot be watched."));
        }
        Err(why) => local.error = Some(format!("{text}: {why}.")),
    }
    local.wanted = None;
}

/// Why there is no watchpoint yet.
#[derive(PartialEq, Debug)]
enum Unclear {
    /// The address is none by itself: the engine knows whether it names a variable.
    IsExpression,
    /// A sentence for the person.
    Wrong(String),
}

fn watchpoint(local: &Local, registers: &[Register]) -> Result<StopKind, Unclear> {
    let wrong = |text: &str| Unclear::Wrong(text.to_owned());
    if local.address.trim().is_empty() {
        return Err(wrong("Name a variable, or type an address."));
    }
    if !local.reads && !local.writes {
        return Err(wrong("Choose reads, writes, or both."));
    }
    // `face` and `b1` are numbers too, but more likely a variable's name.
    let text = local.address.trim();
    let is_word = |text: &str| text.starts_with(|char: char| char.is_ascii_alphabetic());
    let first = text.split(['+', '-']).next().unwrap_or_default().trim();
    let is_register = registers.iter().any(|register| register.name == first) || first == "fp";
    if is_word(text) && !is_register {
        return Err(Unclear::IsExpression);
    }
    let address = address::address_from_text(text, registers);
    let address = address.map_err(|_| Unclear::IsExpression)?;
    let byte_len = local.byte_len.trim();
    let byte_len = match byte_len.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => byte_len.parse().ok(),
    };
    let byte_len = byte_len
        .filter(|byte_len| *byte_len > 0 && address.checked_add(*byte_len - 1).is_some())
        .ok_or_else(|| wrong("The length is a number of bytes, at least 1."))?;
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
