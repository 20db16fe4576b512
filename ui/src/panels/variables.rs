//! Variables of the selected call.

use super::parts;
use crate::action::Action;
use crate::format;
use crate::model::{EXPRESSION_BYTES_MAX, EXPRESSIONS_MAX, PanelModel};
use egui::text::{LayoutJob, TextFormat};
use egui::{Button, CollapsingHeader, Response, ScrollArea, TextStyle, Ui};
use reprise_worker::protocol::{Look, StopKind, Variable, View};

/// Parts within parts are shown so deep; what a hostile program says goes on for ever.
const DEPTH_MAX: usize = 32;
/// So many parts of one thing are shown.
const PARTS_MAX: usize = 1000;
/// Names what the panel remembers.
const LOCAL: &str = "variables";
/// Width of the field, in characters.
const FIELD_CHARS: f32 = 34.0;
/// How the engine begins the value of what is nowhere.
const GONE: &str = "<optimised out";
/// What an expression can be, for hover texts.
pub(super) const EXPRESSION_HINT: &str =
    "A variable of the selected call or a global one, with [index], .member, -> and * where wanted";

pub(super) fn show(ui: &mut Ui, model: &mut PanelModel<'_>) {
    let whose = format!("{}, frame {}", parts::whose(model), model.frame);
    let look = Look::Variables {
        thread: model.thread,
        frame: model.frame,
    };
    let is_stale = (model.looks.get(&look)).is_none_or(|seen| seen.is_stale);
    parts::head(ui, &whose, is_stale);
    show_field(ui, model);
    ScrollArea::both()
        .auto_shrink([false, false])
        .show(ui, |ui| {
            show_expressions(ui, model);
            show_variables(ui, model, &look);
        });
}

/// Where another expression is added.
fn show_field(ui: &mut Ui, model: &mut PanelModel<'_>) {
    let mut text: String = parts::remembered(ui, LOCAL);
    ui.horizontal_wrapped(|ui| {
        let width = FIELD_CHARS * parts::char_width(ui);
        let hint = "expression: next->name, table[3]";
        let field = parts::field(ui, &mut text, "expression to show", hint, width);
        field.response.on_hover_text(EXPRESSION_HINT);
        let expression = text.trim().to_owned();
        let is_asked = ui
            .add_enabled(!expression.is_empty(), Button::new("Show"))
            .accessible_name("show the expression")
            .clicked();
        if (field.is_entered || is_asked) && !expression.is_empty() {
            if !model.shown.expressions.contains(&expression)
                && model.shown.expressions.len() < EXPRESSIONS_MAX
                && expression.len() <= EXPRESSION_BYTES_MAX
            {
                model.shown.expressions.push(expression);
            }
            text.clear();
        }
    });
    parts::remember(ui, LOCAL, text);
}

fn show_expressions(ui: &mut Ui, model: &mut PanelModel<'_>) {
    let mut removed = None;
    for (index, text) in model.shown.expressions.iter().enumerate() {
        let look = Look::Expression {
            thread: model.thread,
            frame: model.frame,
            text: text.clone(),
        };
        let seen = model.looks.get(&look);
        let is_stale = seen.is_none_or(|seen| seen.is_stale);
        ui.horizontal_top(|ui| {
            let remove = ui.small_button("×").on_hover_text("Show it no more");
            if remove
                .accessible_name(format!("show {text} no more"))
                .clicked()
            {
                removed = Some(index);
            }
            ui.vertical(|ui| {
                parts::dimmed(ui, is_stale, |ui| {
                    match seen.map(|seen| (seen, seen.view)) {
                        Some((seen, View::Expression(Ok(variable)))) => {
                            let before = match seen.before {
                                Some(View::Expression(Ok(before))) => std::slice::from_ref(before),
                                _ => &[],
                            };
                            let mut tree = Tree::new(model.actions);
                            tree.show(ui, (false, usize::MAX - index), variable, before);
                        }
                        Some((_, View::Expression(Err(why)))) => {
                            ui.label(format!("{text}: {why}"));
                        }
                        _ => {
                            ui.label(text);
                        }
                    }
                });
            });
        });
    }
    if let Some(index) = removed {
        model.shown.expressions.remove(index);
    }
}

fn show_variables(ui: &mut Ui, model: &mut PanelModel<'_>, look: &Look) {
    let Some(seen) = model.looks.get(look) else {
        return;
    };
    let View::Variables(variables) = seen.view else {
        return;
    };
    if variables.is_empty() {
        ui.label(
            "No variables are known here: the function has none, or there is no debug information for it.",
        );
        return;
    }
    let before = match seen.before {
        Some(View::Variables(before)) => before.as_slice(),
        _ => &[],
    };
    let mut tree = Tree::new(model.actions);
    parts::dimmed(ui, seen.is_stale, |ui| {
        for is_argument in [true, false] {
            let group = variables
                .iter()
                .filter(|variable| variable.is_argument == is_argument);
            if group.clone().next().is_none() {
                continue;
            }
            ui.label(if is_argument {
                "Arguments"
            } else {
                "Variables"
            });
            for (index, variable) in group.enumerate() {
                tree.show(ui, (is_argument, index), variable, before);
            }
        }
    });
}

/// Draws variables with what they are made of.
struct Tree<'a> {
    actions: &'a mut Vec<Action>,
    /// Names of what the variable is a part of, each with a dot behind it.
    path: String,
    depth: usize,
}

impl<'a> Tree<'a> {
    fn new(actions: &'a mut Vec<Action>) -> Self {
        Self {
            actions,
            path: String::new(),
            depth: 0,
        }
    }

    fn show(&mut self, ui: &mut Ui, salt: (bool, usize), variable: &Variable, before: &[Variable]) {
        let old = before.iter().find(|old| is_same(old, variable));
        let old_value = old
            .map(|old| old.value.as_str())
            .filter(|value| *value != variable.value);
        let name = format!("{}{}", self.path, variable.name);
        let mut label = format!("variable {name} = {}", variable.value);
        if old_value.is_some() {
            label.push_str(", changed");
        }
        let job = job(ui, variable, old_value.is_some());
        let response = if variable.parts.is_empty() || self.depth >= DEPTH_MAX {
            // As far in as what can be opened.
            ui.horizontal(|ui| {
                ui.add_space(ui.spacing().indent - ui.spacing().button_padding.x);
                parts::row(ui, false, job, label)
            })
            .inner
        } else {
            let parts_before = old.map_or(&[][..], |old| old.parts.as_slice());
            let header = CollapsingHeader::new(job)
                .id_salt((salt, &variable.name))
                .show(ui, |ui| self.show_parts(ui, variable, parts_before));
            header.header_response.accessible_name(label)
        };
        self.menu(&response, variable, &name);
        response.on_hover_text(explanation(variable, &name, old_value));
    }

    fn show_parts(&mut self, ui: &mut Ui, variable: &Variable, before: &[Variable]) {
        let path = self.path.len();
        self.path.push_str(&variable.name);
        self.path.push('.');
        self.depth += 1;
        for (index, part) in variable.parts.iter().take(PARTS_MAX).enumerate() {
            self.show(ui, (false, index), part, before);
        }
        let hidden = variable.parts.len().saturating_sub(PARTS_MAX);
        if hidden > 0 {
            ui.label(format!("and {} more", format::count(hidden as u64)));
        }
        self.depth -= 1;
        self.path.truncate(path);
    }

    fn menu(&mut self, response: &Response, variable: &Variable, name: &str) {
        let actions = &mut *self.actions;
        parts::menu(response, |ui| {
            if let Some(address) = variable.address {
                if parts::entry(ui, "Show its memory") {
                    actions.push(Action::ShowMemory(address));
                }
                if variable.byte_len > 0 && parts::entry(ui, "Watch it: stop where it is written") {
                    let kind = StopKind::Watchpoint {
                        address,
                        byte_len: variable.byte_len,
                        reads: false,
                        writes: true,
                    };
                    actions.push(Action::AddWatchpoint(name.to_owned(), kind));
                }
            } else {
                let place = place_of(variable);
                ui.label(format!("It is {place}: it cannot be watched."));
            }
            if let Some(pointer) = pointer_of(&variable.value)
                && parts::entry(ui, format!("Show memory at {pointer:#x}"))
            {
                actions.push(Action::ShowMemory(pointer));
            }
            if parts::entry(ui, "Copy the value") {
                actions.push(Action::Copy(variable.value.clone()));
            }
            if parts::entry(ui, "Copy the name") {
                actions.push(Action::Copy(variable.name.clone()));
            }
        });
    }
}

/// One is the other at another position: in another call, a variable of that name lies elsewhere.
fn is_same(old: &Variable, new: &Variable) -> bool {
    old.name == new.name && old.type_name == new.type_name && old.address == new.address
}

fn job(ui: &Ui, variable: &Variable, is_changed: bool) -> LayoutJob {
    let visuals = ui.visuals();
    let font = TextStyle::Monospace.resolve(ui.style());
    let weak = TextFormat::simple(font.clone(), visuals.weak_text_color());
    let plain = TextFormat::simple(font.clone(), visuals.text_color());
    let value_color = match is_changed {
        true => parts::changed_color(ui),
        false => visuals.strong_text_color(),
    };
    let mut job = LayoutJob::default();
    job.append(&variable.name, 0.0, plain);
    job.append(&format!(": {} = ", variable.type_name), 0.0, weak);
    job.append(&variable.value, 0.0, TextFormat::simple(font, value_color));
    job
}

/// Where a variable is, in words that follow "it is".
pub(super) fn place_of(variable: &Variable) -> String {
    match (variable.address, &variable.register) {
        (Some(address), _) => format!("at {address:#x}"),
        (None, Some(register)) => format!("in the register {register}, not in memory"),
        (None, None) if variable.value.starts_with(GONE) => "optimised out here".to_owned(),
        // A constant, a computed value, a bit field, or parts in several places.
        (None, None) => "not in memory as a whole".to_owned(),
    }
}

fn explanation(variable: &Variable, name: &str, old_value: Option<&str>) -> String {
    let mut lines = vec![
        format!("{name} = {}", variable.value),
        format!(
            "type {}, {}",
            variable.type_name,
            format::bytes(variable.byte_len)
        ),
        place_of(variable),
    ];
    if let Some(old_value) = old_value {
        lines.push(format!("before: {old_value}"));
    }
    lines.join("\n")
}

/// Where a value points, if it says so at its beginning.
fn pointer_of(value: &str) -> Option<u64> {
    let digits = value.strip_prefix("0x")?;
    let end = digits
        .find(|char: char| !char.is_ascii_hexdigit())
        .unwrap_or(digits.len());
    let pointer = u64::from_str_radix(digits.get(..end)?, 16).ok()?;
    (pointer >= 0x1000).then_some(pointer)
}
