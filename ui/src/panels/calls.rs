//! System calls of the whole recording.

use super::{errno, parts};
use crate::action::Action;
use crate::format;
use crate::model::{Index, PanelModel};
use egui::text::{LayoutJob, TextFormat};
use egui::{Id, TextStyle, Ui};
use reprise_worker::protocol::{SystemCall, Target};

/// Names what the panel remembers.
const LOCAL: &str = "calls";

/// Which calls fit the filter; kept, since there can be hundreds of thousands.
#[derive(Clone, Default)]
struct Fitting {
    filter: String,
    /// The first call, by which another recording is told.
    first: Option<u64>,
    /// So many calls have been asked.
    asked: usize,
    numbers: Vec<u32>,
}

impl Fitting {
    fn update(&mut self, filter: &str, index: &Index) {
        let first = index.calls.first().map(|call| call.icount);
        if self.filter != filter || self.first != first || self.asked > index.calls.len() {
            *self = Self {
                filter: filter.to_owned(),
                first,
                ..Self::default()
            };
        }
        let new = index.calls.get(self.asked..).unwrap_or_default();
        for (number, call) in (self.asked as u32..).zip(new) {
            if fits(call, index, filter) {
                self.numbers.push(number);
            }
        }
        self.asked = index.calls.len();
    }
}

fn fits(call: &SystemCall, index: &Index, filter: &str) -> bool {
    if filter.is_empty() || parts::has_filter(&call.text, filter) {
        return true;
    }
    let name = index.name_at(call.tid, call.icount).unwrap_or_default();
    parts::has_filter(name, filter)
        || parts::has_filter(&call.tid.to_string(), filter)
        || call
            .result
            .is_some_and(|(_, result)| parts::has_filter(&errno::text_from_result(result), filter))
}

pub(super) fn show(ui: &mut Ui, model: &mut PanelModel<'_>) {
    let index = model.index;
    let id = Id::unique(("panels", LOCAL));
    let mut fitting: Fitting = ui.data_mut(|data| data.remove_temp(id)).unwrap_or_default();
    ui.horizontal_wrapped(|ui| {
        let width = 30.0 * parts::char_width(ui);
        let filter = &mut model.shown.calls_filter;
        parts::field(
            ui,
            filter,
            "filter of the system calls",
            "filter: name, ENOENT, thread",
            width,
        );
    });
    fitting.update(model.shown.calls_filter.trim(), index);
    ui.label(progress(model, &fitting));
    ui.separator();
    if fitting.numbers.is_empty() && index.upto >= model.recording.end {
        ui.label(match index.calls.is_empty() {
            true => "There are no system calls in this recording.",
            false => "No system call fits the filter.",
        });
    }
    let icount = model.position.icount;
    let call_of = |number: &u32| index.calls.get(*number as usize);
    let behind = fitting
        .numbers
        .partition_point(|number| call_of(number).is_some_and(|call| call.icount <= icount));
    let nearest = behind.checked_sub(1);
    let rows = parts::Rows {
        name: "calls rows",
        count: fitting.numbers.len(),
        height: parts::row_height(ui),
        wanted: (!fitting.numbers.is_empty()).then(|| (nearest.unwrap_or_default(), icount)),
    };
    let actions = &mut *model.actions;
    rows.show(ui, |ui, range| {
        for row in range {
            if let Some(call) = fitting.numbers.get(row).and_then(call_of) {
                show_call(ui, call, index, nearest == Some(row), actions);
            }
        }
    });
    ui.data_mut(|data| data.insert_temp(id, fitting));
}

/// How many there are, and how much of the recording is known.
fn progress(model: &PanelModel<'_>, fitting: &Fitting) -> String {
    let index = model.index;
    let all = format::counted(index.calls.len() as u64, "system call", "system calls");
    let mut text = match fitting.filter.is_empty() {
        true => all,
        false => format!("{} of {all}", format::count(fitting.numbers.len() as u64)),
    };
    let end = model.recording.end;
    if index.upto < end {
        let percent = u128::from(index.upto) * 100 / u128::from(end);
        text.push_str(&format!(", {percent} % of the recording gone through"));
    }
    if index.is_capped {
        text.push_str(". There are more: only the first ones are listed.");
    }
    text
}

fn show_call(
    ui: &mut Ui,
    call: &SystemCall,
    index: &Index,
    is_nearest: bool,
    actions: &mut Vec<Action>,
) {
    let thread = match index.name_at(call.tid, call.icount) {
        Some(name) => format!("{name} ({})", call.tid),
        None => call.tid.to_string(),
    };
    let result = call.result.map(|(_, result)| result);
    let is_error = result.is_some_and(|result| errno::name_from_result(result).is_some());
    let result_text = match result {
        Some(result) => format!(" = {}", errno::text_from_result(result)),
        None => " …".to_owned(),
    };
    let font = TextStyle::Monospace.resolve(ui.style());
    let visuals = ui.visuals();
    let plain = TextFormat::simple(font.clone(), visuals.text_color());
    let weak = TextFormat::simple(font.clone(), visuals.weak_text_color());
    let result_format = match is_error {
        true => TextFormat::simple(font, visuals.error_fg_color),
        false => plain.clone(),
    };
    let mark = if is_nearest { "▶" } else { " " };
    let mut job = LayoutJob::default();
    job.append(
        &format!("{mark} {:>15}  ", format::count(call.icount)),
        0.0,
        weak.clone(),
    );
    job.append(&format!("{thread:<16} "), 0.0, weak);
    job.append(&call.text, 0.0, plain);
    job.append(&result_text, 0.0, result_format);
    let name = format!("system call at {}: {}{result_text}", call.icount, call.text);

    let response = parts::row(ui, is_nearest, job, name);
    parts::menu(&response, |ui| {
        if parts::entry(ui, "Go to its entry") {
            actions.push(Action::Seek(Target::Icount(call.icount)));
        }
        if let Some((icount, _)) = call.result
            && parts::entry(ui, "Go to its return")
        {
            actions.push(Action::Seek(Target::Icount(icount)));
        }
        if parts::entry(ui, "Copy") {
            actions.push(Action::Copy(format!("{}{result_text}", call.text)));
        }
    });
    let response = response.on_hover_ui(|ui| {
        ui.label(format!("{}{result_text}", call.text));
        ui.label(format!(
            "Thread {thread}, entered at {}",
            format::count(call.icount)
        ));
        ui.label(match call.result {
            Some((icount, _)) => format!("Returned at {}", format::count(icount)),
            None => "It has not returned, as far as is known.".to_owned(),
        });
    });
    if response.clicked() {
        actions.push(Action::Seek(Target::Icount(call.icount)));
    }
}
