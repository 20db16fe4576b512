//! What the guest of the whole recording has fetched over the page's network.

use super::parts;
use crate::action::Action;
use crate::format;
use crate::model::{FETCHES_MAX, Fetched, PanelModel};
use egui::text::{LayoutJob, TextFormat};
use egui::{TextStyle, Ui};
use reprise_worker::protocol::Target;

/// Letters of an address that a row shows: all of it, or so much that it is known again.
const SHOWN_LETTERS_MAX: usize = 300;

pub(super) fn show(ui: &mut Ui, model: &mut PanelModel<'_>) {
    let fetches = model.fetches;
    let count = format::counted(fetches.len() as u64, "fetch", "fetches");
    ui.label(match fetches.len() {
        FETCHES_MAX.. => format!("the first {count}"),
        _ => count,
    });
    ui.separator();
    if fetches.is_empty() {
        ui.label("The machine has fetched nothing.");
        return;
    }
    // While the machine runs, the newest is the nearest.
    let icount = match model.is_running {
        true => u64::MAX,
        false => model.position.icount,
    };
    let behind = fetches.partition_point(|fetched| fetched.icount <= icount);
    let nearest = behind.checked_sub(1);
    let rows = parts::Rows {
        name: "fetches rows",
        count: fetches.len(),
        height: parts::row_height(ui),
        wanted: Some((nearest.unwrap_or_default(), behind as u64)),
    };
    let can_go = !model.is_running;
    let actions = &mut *model.actions;
    rows.show(ui, |ui, range| {
        for row in range {
            if let Some(fetched) = fetches.get(row) {
                show_fetched(ui, fetched, nearest == Some(row), can_go, actions);
            }
        }
    });
}

fn show_fetched(
    ui: &mut Ui,
    fetched: &Fetched,
    is_nearest: bool,
    can_go: bool,
    actions: &mut Vec<Action>,
) {
    let what: String = format!("{} {}", fetched.method, fetched.url);
    let what = match what.char_indices().nth(SHOWN_LETTERS_MAX) {
        Some((end, _)) => format!("{}…", &what[..end]),
        None => what,
    };
    let outcome = outcome(fetched);
    let font = TextStyle::Monospace.resolve(ui.style());
    let weak = TextFormat::simple(font.clone(), ui.visuals().weak_text_color());
    let plain = TextFormat::simple(font, ui.visuals().text_color());
    let mark = if is_nearest { "▶" } else { " " };
    let mut job = LayoutJob::default();
    let place = format::count(fetched.icount);
    job.append(&format!("{mark} {place:>15}  "), 0.0, weak.clone());
    job.append(&what, 0.0, plain);
    job.append(&format!("  {outcome}"), 0.0, weak);
    let name = format!("fetch at {}: {what}, {outcome}", fetched.icount);
    let response = parts::row(ui, is_nearest, job, name);
    let target = Target::Icount(fetched.icount);
    parts::menu(&response, |ui| {
        if can_go && parts::entry(ui, "Go to where it began") {
            actions.push(Action::Seek(target));
        }
        if let Some(end) = fetched.end.as_ref().filter(|_| can_go)
            && parts::entry(ui, "Go to where it ended")
        {
            actions.push(Action::Seek(Target::Icount(end.icount)));
        }
        if parts::entry(ui, "Copy the address") {
            actions.push(Action::Copy(fetched.url.clone()));
        }
    });
    if can_go && response.on_hover_text("Go to where it began").clicked() {
        actions.push(Action::Seek(target));
    }
}

/// What has become of it.
fn outcome(fetched: &Fetched) -> String {
    let status = fetched.status.map(|status| status.to_string());
    let rest = match &fetched.end {
        None => "under way".to_owned(),
        Some(end) => {
            let time = format::time(end.nanoseconds.saturating_sub(fetched.nanoseconds));
            match &end.failure {
                None => format!("{} in {time}", format::bytes(end.byte_len)),
                Some(failure) => format!("failed: {failure}"),
            }
        }
    };
    [status, Some(rest)]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
}
