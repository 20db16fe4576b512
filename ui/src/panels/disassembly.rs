//! Instructions around the position, or anywhere.

use super::gutter::{self, Place};
use super::{address, parts};
use crate::action::Action;
use crate::format;
use crate::model::PanelModel;
use egui::text::{LayoutJob, TextFormat};
use egui::{RichText, TextStyle, Ui, vec2};
use reprise_worker::protocol::{Instruction, Look, Register, View};
use std::sync::Arc;

/// Instructions before the one at which the list is anchored.
const BEFORE: u32 = 40;
/// It and those behind it.
const AFTER: u32 = 120;
/// So near to an end of the list, the position moves it.
const MARGIN: usize = 4;
/// Names what the panel remembers.
const LOCAL: &str = "disassembly";

/// What the panel remembers.
#[derive(Clone, Default)]
struct Local {
    text: String,
    error: Option<String>,
    /// While it follows the position, the list stays where it is as long as the position is in it: only the mark moves.
    anchor: Option<u64>,
    /// What was seen last, shown until the next is known.
    instructions: Arc<Vec<Instruction>>,
}

/// A line of the list.
enum Line<'a> {
    Symbol(&'a str),
    Instruction(&'a Instruction),
}

pub(super) fn show(ui: &mut Ui, model: &mut PanelModel<'_>) {
    let mut local: Local = parts::remembered(ui, LOCAL);
    let whose = parts::whose(model);
    let (registers, mut is_stale) = registers(model);
    let pc = pc(model, &registers);
    let target = model.shown.code.or(pc);
    if !is_shown(&local, target) {
        local.anchor = target;
    }
    if let Some(anchor) = local.anchor {
        let look = Look::Disassembly {
            thread: model.thread,
            address: Some(anchor),
            before: BEFORE,
            after: AFTER,
        };
        let seen = model.looks.get(&look);
        is_stale |= seen.is_none_or(|seen| seen.is_stale);
        if let Some(View::Disassembly(instructions)) = seen.map(|seen| seen.view)
            && *local.instructions != *instructions
        {
            local.instructions = Arc::new(instructions.clone());
        }
    }
    parts::head(ui, &whose, is_stale);
    show_tools(ui, model, &mut local, &registers, pc);
    ui.separator();
    let instructions = Arc::clone(&local.instructions);
    parts::remember(ui, LOCAL, local);
    if instructions.is_empty() {
        if !is_stale {
            let text = match target {
                Some(address) => format!(
                    "There is no code at {}: this thread has no memory there at this position.",
                    format::hex(address)
                ),
                None => "This thread has no next instruction here.".to_owned(),
            };
            ui.label(text);
        }
        return;
    }
    let lines = lines(&instructions);
    let is_target = |line: &Line<'_>| matches!(line, Line::Instruction(instruction) if Some(instruction.address) == target);
    let rows = parts::Rows {
        name: "disassembly rows",
        count: lines.len(),
        height: parts::row_height(ui),
        wanted: lines.iter().position(is_target).zip(target),
    };
    rows.show(ui, |ui, range| {
        parts::dimmed(ui, is_stale, |ui| {
            for line in lines.get(range).unwrap_or_default() {
                match line {
                    Line::Symbol(symbol) => show_symbol(ui, symbol),
                    Line::Instruction(instruction) => show_instruction(ui, model, instruction, pc),
                }
            }
        });
    });
}

/// Registers of the selected thread, and whether they hold elsewhere.
fn registers(model: &mut PanelModel<'_>) -> (Vec<Register>, bool) {
    match model.looks.get(&Look::Registers(model.thread)) {
        Some(seen) => match seen.view {
            View::Registers(registers) => (registers.clone(), seen.is_stale),
            _ => (Vec::new(), seen.is_stale),
        },
        None => (Vec::new(), true),
    }
}

/// Where the selected call is executed.
fn pc(model: &mut PanelModel<'_>, registers: &[Register]) -> Option<u64> {
    if model.frame > 0
        && let Some(seen) = model.looks.get(&Look::Stack(model.thread))
        && let View::Stack(frames) = seen.view
        && let Some(frame) = frames.get(model.frame as usize)
    {
        return Some(frame.pc);
    }
    let pc = registers.iter().find(|register| register.name == "pc")?;
    Some(pc.value)
}

/// The list has a target, with some lines around it.
fn is_shown(local: &Local, target: Option<u64>) -> bool {
    let Some(target) = target else {
        return local.anchor.is_some();
    };
    if local.anchor == Some(target) {
        return true;
    }
    let addresses = local.instructions.iter();
    let index = addresses
        .map(|instruction| instruction.address)
        .position(|address| address == target);
    index.is_some_and(|index| {
        local.anchor.is_some() && index >= MARGIN && index + MARGIN < local.instructions.len()
    })
}

/// Instructions with headings where another function begins.
fn lines(instructions: &[Instruction]) -> Vec<Line<'_>> {
    let mut lines = Vec::with_capacity(instructions.len() + 8);
    let mut function = None;
    for instruction in instructions {
        let symbol = instruction.symbol.as_deref().map(function_of);
        if symbol != function
            && let Some(symbol) = symbol
        {
            lines.push(Line::Symbol(symbol));
        }
        function = symbol;
        lines.push(Line::Instruction(instruction));
    }
    lines
}

fn function_of(symbol: &str) -> &str {
    symbol
        .rsplit_once('+')
        .map_or(symbol, |(function, _)| function)
}

fn show_tools(
    ui: &mut Ui,
    model: &mut PanelModel<'_>,
    local: &mut Local,
    registers: &[Register],
    pc: Option<u64>,
) {
    ui.horizontal_wrapped(|ui| {
        let mut is_following = model.shown.code.is_none();
        let response = ui
            .checkbox(&mut is_following, "Follow")
            .on_hover_text("Show what the selected call executes, wherever it goes")
            .accessible_name("disassembly follows the position");
        if response.changed() {
            model.shown.code = if is_following { None } else { pc };
        }
        let width = 20.0 * parts::char_width(ui);
        let field = parts::field(ui, &mut local.text, "code address", "address", width);
        if field.response.changed() {
            local.error = None;
        }
        field.response.on_hover_text(address::HINT);
        let is_asked = ui
            .button("Go")
            .on_hover_text("Show code at this address")
            .accessible_name("show code at the address")
            .clicked();
        if field.is_entered || is_asked {
            match address::address_from_text(&local.text, registers) {
                Ok(address) => {
                    model.shown.code = Some(address);
                    local.error = None;
                }
                Err(error) => local.error = Some(error),
            }
        }
    });
    if let Some(error) = &local.error {
        ui.colored_label(ui.visuals().error_fg_color, error);
    }
}

fn show_symbol(ui: &mut Ui, symbol: &str) {
    let size = vec2(ui.available_width(), parts::row_height(ui));
    ui.allocate_ui_with_layout(
        size,
        egui::Layout::left_to_right(egui::Align::Center),
        |ui| {
            ui.set_min_height(size.y);
            let text = RichText::new(format!("{symbol}:")).monospace().strong();
            ui.add(egui::Label::new(text).extend());
        },
    );
}

fn show_instruction(
    ui: &mut Ui,
    model: &mut PanelModel<'_>,
    instruction: &Instruction,
    pc: Option<u64>,
) {
    let Instruction {
        address,
        text,
        symbol,
        ..
    } = instruction;
    let is_current = Some(*address) == pc;
    ui.horizontal(|ui| {
        let place = Place {
            text: format::hex(*address),
            aliases: symbol.as_slice(),
            is_current,
            height: parts::row_height(ui),
        };
        gutter::show(ui, model, &place);
        let mut name = format!("{address:#x}: {text}");
        if is_current {
            name.push_str(if model.frame == 0 {
                ", next"
            } else {
                ", goes on here"
            });
        }
        let response = parts::row(ui, is_current, job(ui, instruction), name);
        let target = target_of(text);
        let actions = &mut *model.actions;
        parts::menu(&response, |ui| {
            if let Some(target) = target {
                if parts::entry(ui, format!("Show code at {target:#x}")) {
                    actions.push(Action::ShowCode(target));
                }
                if parts::entry(ui, format!("Show memory at {target:#x}")) {
                    actions.push(Action::ShowMemory(target));
                }
            }
            if parts::entry(ui, "Show memory here") {
                actions.push(Action::ShowMemory(*address));
            }
            if parts::entry(ui, "Copy the address") {
                actions.push(Action::Copy(format::hex(*address)));
            }
            if parts::entry(ui, "Copy the instruction") {
                actions.push(Action::Copy(text.clone()));
            }
        });
        let symbol = symbol.as_deref().unwrap_or("no function known");
        response.on_hover_text(format!("{address:#x}\n{symbol}"));
    });
}

fn job(ui: &Ui, instruction: &Instruction) -> LayoutJob {
    let visuals = ui.visuals();
    let font = TextStyle::Monospace.resolve(ui.style());
    let weak = TextFormat::simple(font.clone(), visuals.weak_text_color());
    let plain = TextFormat::simple(font, visuals.text_color());
    let mut bytes = String::new();
    for byte in &instruction.bytes {
        bytes.push_str(&format!("{byte:02x}"));
    }
    let mut job = LayoutJob::default();
    job.append(&format!("{:#x}  ", instruction.address), 0.0, weak.clone());
    job.append(&format!("{bytes:<8}  "), 0.0, weak);
    job.append(&instruction.text, 0.0, plain);
    job
}

/// The address that an instruction's text names, if it names one.
fn target_of(text: &str) -> Option<u64> {
    let (_, digits) = text.rsplit_once("0x")?;
    let end = digits
        .find(|char: char| !char.is_ascii_hexdigit())
        .unwrap_or(digits.len());
    let target = u64::from_str_radix(digits.get(..end)?, 16).ok()?;
    // Less than a page is a constant.
    (target >= 0x1000).then_some(target)
}
