//! Memory as the selected thread sees it.

mod cells;
mod dump;

use super::{address, parts};
use crate::action::Action;
use crate::format;
use crate::model::PanelModel;
use cells::Form;
use dump::Dump;
use egui::{Button, ComboBox, ScrollArea, Ui};
use reprise_worker::protocol::{Look, Register, StopKind, View};

/// Bytes of a page of the panel.
const PAGE_BYTES: u32 = 512;
/// Names what the panel remembers.
const LOCAL: &str = "memory";

/// What the panel remembers.
#[derive(Clone, Default)]
struct Local {
    /// What stands in the address field.
    text: String,
    /// The address for which it stands there.
    text_of: Option<u64>,
    /// What is wrong with it.
    error: Option<String>,
    form: Form,
    /// First and last byte selected, in the order in which they were.
    selected: Option<(u64, u64)>,
}

impl Local {
    /// First byte selected and how many.
    fn range(&self) -> Option<(u64, u64)> {
        let (anchor, head) = self.selected?;
        let first = anchor.min(head);
        Some((
            first,
            anchor.max(head).saturating_sub(first).saturating_add(1),
        ))
    }
}

pub(super) fn show(ui: &mut Ui, model: &mut PanelModel<'_>) {
    let mut local: Local = parts::remembered(ui, LOCAL);
    let whose = parts::whose(model);
    let registers = match model.looks.get(&Look::Registers(model.thread)) {
        Some(seen) => match seen.view {
            View::Registers(registers) => registers.clone(),
            _ => Vec::new(),
        },
        None => Vec::new(),
    };
    let look = look(model);
    let is_stale = model.looks.get(&look).is_none_or(|seen| seen.is_stale);
    parts::head(ui, &whose, is_stale);
    show_tools(ui, model, &mut local, &registers);
    show_selection(ui, model, &local);
    ui.separator();

    // The address field may have changed what is looked at.
    let look = self::look(model);
    let address = model.shown.memory;
    let seen = model.looks.get(&look);
    let now = match seen.map(|seen| seen.view) {
        Some(View::Memory(bytes)) => Some(bytes.as_slice()),
        _ => None,
    };
    let before = match seen.and_then(|seen| seen.before) {
        Some(View::Memory(bytes)) => bytes.as_slice(),
        _ => &[],
    };
    let actions = &mut *model.actions;
    let mut is_paged = None;
    ScrollArea::both()
        .auto_shrink([false, false])
        .show(ui, |ui| {
            if now.is_some_and(<[u8]>::is_empty) {
                show_unreadable(ui, address, &registers, actions);
                return;
            }
            let dump = Dump {
                address,
                now,
                before,
                form: local.form,
                selected: local.range(),
            };
            let response = parts::dimmed(ui, is_stale, |ui| dump.show(ui));
            is_paged = dump.select(ui, &response, &mut local.selected);
            parts::menu(&response.whole, |ui| {
                show_menu(ui, &local, address, now.unwrap_or_default(), actions);
            });
            if let Some(now) = now
                && now.len() < PAGE_BYTES as usize
            {
                let end = format::hex(address.wrapping_add(now.len() as u64));
                ui.label(format!(
                    "From {end} on nothing can be read: this thread has no memory there."
                ));
            }
        });
    if let Some(pages) = is_paged {
        turn(model, pages);
    }
    parts::remember(ui, LOCAL, local);
}

fn look(model: &PanelModel<'_>) -> Look {
    Look::Memory {
        thread: model.thread,
        address: model.shown.memory,
        byte_len: PAGE_BYTES,
    }
}

/// Goes some pages on or back.
fn turn(model: &mut PanelModel<'_>, pages: i64) {
    let by = i64::from(PAGE_BYTES).wrapping_mul(pages);
    model.shown.memory = model.shown.memory.wrapping_add_signed(by);
}

fn show_tools(ui: &mut Ui, model: &mut PanelModel<'_>, local: &mut Local, registers: &[Register]) {
    ui.horizontal_wrapped(|ui| {
        let width = 20.0 * parts::char_width(ui);
        if local.text_of != Some(model.shown.memory) {
            local.text_of = Some(model.shown.memory);
            local.text = format::hex(model.shown.memory);
        }
        let field = parts::field(ui, &mut local.text, "memory address", "address", width);
        if field.response.changed() {
            local.error = None;
        }
        field.response.on_hover_text(address::HINT);
        let is_asked = ui
            .button("Go")
            .on_hover_text("Show memory at this address")
            .accessible_name("show memory at the address")
            .clicked();
        if field.is_entered || is_asked {
            match address::address_from_text(&local.text, registers) {
                Ok(address) => {
                    model.shown.memory = address;
                    local.text_of = None;
                    local.error = None;
                }
                Err(error) => local.error = Some(error),
            }
        }
        ComboBox::from_id_salt("form")
            .selected_text(local.form.title())
            .show_ui(ui, |ui| {
                for form in Form::ALL {
                    ui.selectable_value(&mut local.form, form, form.title());
                }
            })
            .response
            .accessible_name("show memory as");
        if ui.button("Page up").clicked() {
            turn(model, -1);
        }
        if ui.button("Page down").clicked() {
            turn(model, 1);
        }
    });
    if let Some(error) = &local.error {
        ui.colored_label(ui.visuals().error_fg_color, error);
    }
}

fn show_selection(ui: &mut Ui, model: &mut PanelModel<'_>, local: &Local) {
    ui.horizontal_wrapped(|ui| {
        let range = local.range();
        for (text, reads, writes, explanation) in WATCHES {
            let response = ui
                .add_enabled(range.is_some(), Button::new(text))
                .on_hover_text(explanation)
                .on_disabled_hover_text("Select bytes first: click one, or drag over several.");
            if response.clicked()
                && let Some((address, byte_len)) = range
            {
                let kind = StopKind::Watchpoint {
                    address,
                    byte_len,
                    reads,
                    writes,
                };
                model.actions.push(Action::AddStop(kind));
            }
        }
        match range {
            Some((address, byte_len)) => {
                let byte_len = format::bytes(byte_len);
                ui.label(format!("{} from {}", byte_len, format::hex(address)))
            }
            None => ui.weak("Click or drag over bytes to select them."),
        };
    });
}

const WATCHES: [(&str, bool, bool, &str); 2] = [
    (
        "Watch writes",
        false,
        true,
        "Stop where the selected bytes are written",
    ),
    (
        "Watch all",
        true,
        true,
        "Stop where the selected bytes are read or written",
    ),
];

fn show_menu(ui: &mut Ui, local: &Local, address: u64, now: &[u8], actions: &mut Vec<Action>) {
    let Some((first, byte_len)) = local.range() else {
        ui.label("Nothing is selected.");
        return;
    };
    for (text, reads, writes, _) in WATCHES {
        if parts::entry(ui, text) {
            actions.push(Action::AddStop(StopKind::Watchpoint {
                address: first,
                byte_len,
                reads,
                writes,
            }));
        }
    }
    let bytes = usize::try_from(first.wrapping_sub(address))
        .ok()
        .and_then(|start| now.get(start..))
        .unwrap_or_default();
    if let Some(pointer) = bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)) {
        if parts::entry(ui, format!("Show memory at {pointer:#x}")) {
            actions.push(Action::ShowMemory(pointer));
        }
        if parts::entry(ui, format!("Show code at {pointer:#x}")) {
            actions.push(Action::ShowCode(pointer));
        }
    }
    if parts::entry(ui, "Copy the address") {
        actions.push(Action::Copy(format::hex(first)));
    }
    let len = usize::try_from(byte_len).unwrap_or(usize::MAX);
    let bytes = bytes.get(..len.min(bytes.len())).unwrap_or_default();
    if !bytes.is_empty() && parts::entry(ui, "Copy the bytes") {
        let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        actions.push(Action::Copy(digits.join(" ")));
    }
}

fn show_unreadable(ui: &mut Ui, address: u64, registers: &[Register], actions: &mut Vec<Action>) {
    let address = format::hex(address);
    ui.label(format!(
        "Memory at {address} cannot be read: this thread has no page there at this position. \
         It may have one at another position, or get one when it first uses it."
    ));
    let sp = registers.iter().find(|register| register.name == "sp");
    if let Some(sp) = sp
        && ui.button("Show the stack's memory").clicked()
    {
        actions.push(Action::ShowMemory(sp.value));
    }
}
