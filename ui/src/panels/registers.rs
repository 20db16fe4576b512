//! Registers of the selected thread.

use super::parts;
use crate::action::Action;
use crate::format;
use crate::model::PanelModel;
use egui::{CollapsingHeader, Grid, Response, RichText, ScrollArea, Ui};
use reprise_worker::protocol::{Look, Register, RegisterGroup, View};

const GROUPS: [(RegisterGroup, &str, bool); 3] = [
    (RegisterGroup::Integer, "Integer", true),
    (RegisterGroup::Float, "Floating point", false),
    (RegisterGroup::Csr, "Control and status", false),
];

pub(super) fn show(ui: &mut Ui, model: &mut PanelModel<'_>) {
    let whose = parts::whose(model);
    let seen = model.looks.get(&Look::Registers(model.thread));
    let Some(seen) = seen else {
        parts::head(ui, &whose, true);
        return;
    };
    parts::head(ui, &whose, seen.is_stale);
    let View::Registers(registers) = seen.view else {
        return;
    };
    if registers.is_empty() {
        ui.label("This thread has no registers to show here.");
        return;
    }
    let before = match seen.before {
        Some(View::Registers(before)) => before.as_slice(),
        _ => &[],
    };
    let old_value = |register: &Register| {
        let is_same = |old: &&Register| old.name == register.name;
        let old = before.iter().find(is_same)?;
        (old.value != register.value).then_some(old.value)
    };
    let actions = &mut *model.actions;
    ScrollArea::both()
        .auto_shrink([false, false])
        .show(ui, |ui| {
            parts::dimmed(ui, seen.is_stale, |ui| {
                for (group, title, is_open) in GROUPS {
                    let members: Vec<_> = registers
                        .iter()
                        .filter(|register| register.group == group)
                        .map(|register| (register, old_value(register)))
                        .collect();
                    if members.is_empty() {
                        continue;
                    }
                    let changed = members.iter().filter(|(_, old)| old.is_some()).count();
                    let title = match changed {
                        0 => title.to_owned(),
                        _ => format!("{title} ({changed} changed)"),
                    };
                    CollapsingHeader::new(title)
                        .id_salt(group as u8)
                        .default_open(is_open)
                        .show(ui, |ui| show_group(ui, group, &members, actions));
                }
            });
        });
}

fn show_group(
    ui: &mut Ui,
    group: RegisterGroup,
    members: &[(&Register, Option<u64>)],
    actions: &mut Vec<Action>,
) {
    let name_len = members
        .iter()
        .map(|(register, _)| register.name.len())
        .max()
        .unwrap_or_default();
    // A name, a space, 18 characters of value and the space between two.
    let cell_chars = name_len as f32 + 22.0;
    let cell_width = cell_chars * parts::char_width(ui);
    let columns = (ui.available_width() / cell_width).clamp(1.0, 4.0) as usize;
    Grid::new(("group", group as u8, columns)).show(ui, |ui| {
        for (index, (register, old)) in members.iter().enumerate() {
            show_register(ui, name_len, register, *old, actions);
            if (index + 1) % columns == 0 {
                ui.end_row();
            }
        }
    });
}

fn show_register(
    ui: &mut Ui,
    name_len: usize,
    register: &Register,
    old: Option<u64>,
    actions: &mut Vec<Action>,
) {
    let Register { name, value, .. } = register;
    let mut text = RichText::new(format!("{name:<name_len$} {value:#018x}")).monospace();
    let mut label = format!("register {name} = {value:#x}");
    if old.is_some() {
        text = text.color(parts::changed_color(ui)).strong();
        label.push_str(", changed");
    }
    let response = parts::row(ui, false, text, label);
    menu(&response, register, actions);
    let response = response.on_hover_ui(|ui| {
        ui.label(RichText::new(explanation(register, old)).monospace());
    });
    if response.clicked() {
        actions.push(Action::Copy(format::hex(*value)));
    }
}

fn explanation(register: &Register, old: Option<u64>) -> String {
    let value = register.value;
    let mut lines = vec![
        format!("{} = {value:#x}", register.name),
        format!("unsigned  {}", format::count(value)),
    ];
    if value > i64::MAX as u64 {
        lines.push(format!("signed    {}", value as i64));
    }
    if register.group == RegisterGroup::Float {
        // A single is boxed: the upper half is all ones.
        if value >> 32 == 0xffff_ffff {
            lines.push(format!("single    {}", f32::from_bits(value as u32)));
        }
        lines.push(format!("double    {}", f64::from_bits(value)));
    } else if let Ok(byte) = u8::try_from(value)
        && (byte.is_ascii_graphic() || byte == b' ')
    {
        lines.push(format!("character '{}'", char::from(byte)));
    }
    if let Some(old) = old {
        lines.push(format!("before    {old:#x}"));
    }
    lines.push("Click to copy.".to_owned());
    lines.join("\n")
}

fn menu(response: &Response, register: &Register, actions: &mut Vec<Action>) {
    let value = register.value;
    parts::menu(response, |ui| {
        if parts::entry(ui, "Show memory there") {
            actions.push(Action::ShowMemory(value));
        }
        if parts::entry(ui, "Show code there") {
            actions.push(Action::ShowCode(value));
        }
        if parts::entry(ui, "Copy as hexadecimal") {
            actions.push(Action::Copy(format::hex(value)));
        }
        if parts::entry(ui, "Copy as decimal") {
            actions.push(Action::Copy(value.to_string()));
        }
    });
}
