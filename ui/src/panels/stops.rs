//! Breakpoints, watchpoints and catches.

mod forms;

use super::parts;
use crate::action::Action;
use crate::format;
use crate::model::{Hits, PanelModel, Stop};
use egui::{Button, CollapsingHeader, RichText, ScrollArea, Ui};
use reprise_worker::protocol::{StopKind, StopPoint, Target};

pub(super) fn show(ui: &mut Ui, model: &mut PanelModel<'_>) {
    ScrollArea::both()
        .auto_shrink([false, false])
        .show(ui, |ui| {
            CollapsingHeader::new("Add a stop")
                .default_open(true)
                .show(ui, |ui| forms::show(ui, model));
            ui.separator();
            if model.stops.is_empty() {
                ui.label("No stops yet. Runs go on to the end.");
            }
            let position = model.position;
            let actions = &mut *model.actions;
            let last = model.stops.iter().map(|stop| stop.point.id).max();
            let last_shown: Option<u32> = parts::remembered(ui, "last stop");
            for stop in model.stops {
                let is_met = position.stops.contains(&stop.point.id);
                let shown = ui.push_id(stop.point.id, |ui| {
                    show_stop(ui, stop, is_met, position.icount, actions);
                });
                if Some(stop.point.id) == last && last > last_shown {
                    shown.response.scroll_to_me(Some(egui::Align::BOTTOM));
                }
            }
            parts::remember(ui, "last stop", last.max(last_shown));
        });
}

/// A stop in words.
fn text_of(point: &StopPoint) -> String {
    match &point.kind {
        StopKind::Breakpoint(place) => format!("at {place}"),
        StopKind::Watchpoint {
            address,
            byte_len,
            reads,
            writes,
        } => {
            let access = match (reads, writes) {
                (true, false) => "reads",
                (false, true) => "writes",
                _ => "reads and writes",
            };
            let bytes = format::bytes(*byte_len);
            match &point.name {
                Some(name) => format!("{access} of {name}: {bytes} from {address:#x}"),
                None => format!("{access} of {bytes} from {address:#x}"),
            }
        }
        StopKind::SystemCall(Some(name)) => format!("system call {name}"),
        StopKind::SystemCall(None) => "any system call".to_owned(),
        StopKind::Exec => "a program is executed".to_owned(),
        StopKind::Fork => "a thread or process is made".to_owned(),
        StopKind::Exit => "a thread ends".to_owned(),
        StopKind::Signal => "a signal arrives".to_owned(),
    }
}

fn show_stop(ui: &mut Ui, stop: &Stop, is_met: bool, icount: u64, actions: &mut Vec<Action>) {
    let id = stop.point.id;
    let text = text_of(&stop.point);
    ui.horizontal(|ui| {
        let mut is_enabled = stop.is_enabled;
        let mut shown = RichText::new(&text);
        if is_met {
            shown = shown.color(parts::changed_color(ui)).strong();
        }
        let response = ui
            .checkbox(&mut is_enabled, shown)
            .on_hover_text("Runs stop at it")
            .accessible_name(format!("stop {id}: {text}"));
        if response.changed() {
            actions.push(Action::EnableStop(id, is_enabled));
        }
        match stop.point.process {
            Some(process) => ui.weak(format!("in process {process}")),
            None => ui.weak("in any process"),
        };
        if is_met {
            ui.label("met here");
        }
    });
    ui.horizontal(|ui| {
        show_hits(ui, stop, icount, actions);
        if let StopKind::Watchpoint { address, .. } = stop.point.kind {
            let name = format!("show memory of stop {id}");
            if ui.button("Memory").accessible_name(name).clicked() {
                actions.push(Action::ShowMemory(address));
            }
        }
        let name = format!("remove stop {id}");
        if ui.button("Remove").accessible_name(name).clicked() {
            actions.push(Action::RemoveStop(id));
        }
    });
    if let Some(hits) = &stop.hits
        && !hits.icounts.is_empty()
    {
        show_hit_list(ui, id, hits, icount, actions);
    }
    ui.separator();
}

/// How often it is met, and the ways to the hits around the position.
fn show_hits(ui: &mut Ui, stop: &Stop, icount: u64, actions: &mut Vec<Action>) {
    let id = stop.point.id;
    let Some(hits) = &stop.hits else {
        let response = ui
            .button("Find all")
            .on_hover_text("Look through the whole recording for everything that it would stop at")
            .accessible_name(format!("find all hits of stop {id}"));
        if response.clicked() {
            actions.push(Action::FindHits(id));
        }
        return;
    };
    let behind = hits.icounts.partition_point(|hit| *hit < icount);
    let upto = hits.icounts.partition_point(|hit| *hit <= icount);
    let previous = behind
        .checked_sub(1)
        .and_then(|index| hits.icounts.get(index));
    let next = hits.icounts.get(upto);
    for (text, which, hit) in [("Previous", "previous", previous), ("Next", "next", next)] {
        let response = ui
            .add_enabled(hit.is_some(), Button::new(text))
            .accessible_name(format!("{which} hit of stop {id}"));
        if response.clicked()
            && let Some(hit) = hit
        {
            actions.push(Action::Seek(Target::Icount(*hit)));
        }
    }
}

fn show_hit_list(ui: &mut Ui, id: u32, hits: &Hits, icount: u64, actions: &mut Vec<Action>) {
    const SHOWN_ROWS: f32 = 8.0;
    let title = title_of(hits);
    CollapsingHeader::new(&title)
        .id_salt("hits")
        .show(ui, |ui| {
            let height = parts::row_height(ui);
            ScrollArea::vertical()
                .max_height(SHOWN_ROWS * height)
                .show_rows(ui, height, hits.icounts.len(), |ui, range| {
                    for hit in hits.icounts.get(range).unwrap_or_default() {
                        let text = RichText::new(format::count(*hit)).monospace();
                        let name = format!("hit of stop {id} at {hit}");
                        if parts::row(ui, *hit == icount, text, name).clicked() {
                            actions.push(Action::Seek(Target::Icount(*hit)));
                        }
                    }
                });
        })
        .header_response
        .accessible_name(format!("{title} of stop {id}"));
}

fn title_of(hits: &Hits) -> String {
    let count = format::counted(hits.icounts.len() as u64, "hit", "hits");
    match hits.is_capped {
        true => format!("the first {count}; there are more"),
        false => count,
    }
}
