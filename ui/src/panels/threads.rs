//! Processes and threads.

use super::parts;
use crate::action::Action;
use crate::format;
use crate::model::PanelModel;
use egui::text::{LayoutJob, TextFormat};
use egui::{Button, TextStyle, Ui};
use reprise_worker::protocol::{Look, Thread, ThreadInfo, View};
use std::collections::{BTreeMap, BTreeSet};

/// Names what the panel remembers.
const LOCAL: &str = "threads";
/// So deep are processes drawn within one another.
const DEPTH_MAX: usize = 16;

/// A thread with how deep it lies in the tree.
struct Line<'a> {
    depth: usize,
    thread: &'a ThreadInfo,
}

pub(super) fn show(ui: &mut Ui, model: &mut PanelModel<'_>) {
    let mut shows_kernel: bool = parts::remembered(ui, LOCAL);
    let seen = model.looks.get(&Look::Threads);
    let is_stale = seen.is_none_or(|seen| seen.is_stale);
    let threads = match seen.map(|seen| seen.view) {
        Some(View::Threads(threads)) => threads.as_slice(),
        _ => &[],
    };
    let kernel_count = threads.iter().filter(|thread| thread.is_kernel).count();
    let actions = &mut *model.actions;
    ui.horizontal_wrapped(|ui| {
        let choices = [
            (
                Thread::Current,
                "Follow the CPU",
                "Look through the thread that the CPU executes for, whichever it is",
            ),
            (
                Thread::Cpu,
                "The CPU itself",
                "Look at what the CPU executes, in the kernel too",
            ),
        ];
        for (thread, text, explanation) in choices {
            let button = Button::selectable(model.thread == thread, text);
            if ui.add(button).on_hover_text(explanation).clicked() {
                actions.push(Action::SelectThread(thread));
            }
        }
    });
    ui.horizontal_wrapped(|ui| {
        let width = 24.0 * parts::char_width(ui);
        let filter = &mut model.shown.threads_filter;
        parts::field(
            ui,
            filter,
            "filter of the threads",
            "filter: name, number, state",
            width,
        );
        if kernel_count > 0 {
            let text = format!("kernel's ({})", format::count(kernel_count as u64));
            ui.checkbox(&mut shows_kernel, text)
                .on_hover_text("Show the threads that never leave the kernel")
                .accessible_name("show kernel threads");
        }
        if is_stale {
            ui.weak("looking…");
        }
    });
    parts::remember(ui, LOCAL, shows_kernel);
    ui.separator();
    let filter = model.shown.threads_filter.trim();
    let lines = lines(threads, filter, shows_kernel);
    if lines.is_empty() {
        if !is_stale {
            ui.label(match threads.is_empty() {
                true => "Linux is not up yet: there are no threads.",
                false => "No thread fits the filter.",
            });
        }
        return;
    }
    let is_looked_through = |thread: &ThreadInfo| match model.thread {
        Thread::Task(tid) => tid == thread.tid,
        Thread::Current | Thread::Cpu => false,
    };
    let current = lines.iter().position(|line| match model.thread {
        Thread::Task(tid) => tid == line.thread.tid,
        Thread::Current | Thread::Cpu => line.thread.is_current,
    });
    let tid = |row: usize| lines.get(row).map_or(0, |line| u64::from(line.thread.tid));
    let rows = parts::Rows {
        name: "threads rows",
        count: lines.len(),
        height: parts::row_height(ui),
        wanted: current.map(|row| (row, tid(row))),
    };
    rows.show(ui, |ui, range| {
        parts::dimmed(ui, is_stale, |ui| {
            for line in lines.get(range).unwrap_or_default() {
                show_thread(ui, line, is_looked_through(line.thread), actions);
            }
        });
    });
}

fn show_thread(ui: &mut Ui, line: &Line<'_>, is_selected: bool, actions: &mut Vec<Action>) {
    let ThreadInfo {
        tid,
        tgid,
        parent,
        name,
        state,
        is_current,
        is_kernel,
    } = line.thread;
    let font = TextStyle::Monospace.resolve(ui.style());
    let visuals = ui.visuals();
    let color = match is_current {
        true => parts::changed_color(ui),
        false => visuals.text_color(),
    };
    let plain = TextFormat::simple(font.clone(), color);
    let weak = TextFormat::simple(font, visuals.weak_text_color());
    let indent = "  ".repeat(line.depth.min(DEPTH_MAX));
    let mark = if *is_current { "▶ " } else { "  " };
    let mut job = LayoutJob::default();
    job.append(&format!("{mark}{indent}{tid} {name}"), 0.0, plain);
    job.append(&format!("  {state}"), 0.0, weak);
    let mut label = format!("thread {tid} {name}, {state}");
    if *is_current {
        label.push_str(", the CPU executes for it");
    }
    let response = parts::row(ui, is_selected, job, label);
    parts::menu(&response, |ui| {
        if parts::entry(ui, "Look through it") {
            actions.push(Action::SelectThread(Thread::Task(*tid)));
        }
        if parts::entry(ui, "Copy its number") {
            actions.push(Action::Copy(tid.to_string()));
        }
    });
    let response = response.on_hover_ui(|ui| {
        ui.label(format!(
            "{name}: thread {tid} of process {tgid}, made by process {parent}"
        ));
        ui.label(format!("State: {state}"));
        if *is_current {
            ui.label("The CPU executes for it.");
        }
        if *is_kernel {
            ui.label("It never leaves the kernel.");
        }
    });
    if response.clicked() {
        actions.push(Action::SelectThread(Thread::Task(*tid)));
    }
}

/// Threads as a tree of processes; with a filter, all that fit.
fn lines<'a>(threads: &'a [ThreadInfo], filter: &str, shows_kernel: bool) -> Vec<Line<'a>> {
    let shown = threads.iter();
    if !filter.is_empty() {
        let fits = |thread: &&ThreadInfo| {
            parts::has_filter(&thread.name, filter)
                || parts::has_filter(&thread.state, filter)
                || parts::has_filter(&thread.tid.to_string(), filter)
        };
        return shown
            .filter(fits)
            .map(|thread| Line { depth: 0, thread })
            .collect();
    }
    let mut processes: BTreeMap<u32, Vec<&ThreadInfo>> = BTreeMap::new();
    for thread in shown.filter(|thread| shows_kernel || !thread.is_kernel) {
        processes.entry(thread.tgid).or_default().push(thread);
    }
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let mut roots = Vec::new();
    for (tgid, members) in &processes {
        let parent = members.first().map_or(0, |thread| thread.parent);
        if parent != *tgid && processes.contains_key(&parent) {
            children.entry(parent).or_default().push(*tgid);
        } else {
            roots.push(*tgid);
        }
    }
    // Processes that are each other's parents hang on no root; a hostile guest can say so.
    let rest = processes.keys().copied();
    let mut todo: Vec<(usize, u32)> = roots
        .into_iter()
        .chain(rest)
        .map(|tgid| (0, tgid))
        .collect();
    todo.reverse();
    let mut done = BTreeSet::new();
    let mut lines = Vec::with_capacity(threads.len());
    while let Some((depth, tgid)) = todo.pop() {
        if !done.insert(tgid) {
            continue;
        }
        for thread in processes.get(&tgid).into_iter().flatten() {
            let is_leader = thread.tid == tgid;
            let depth = if is_leader { depth } else { depth + 1 };
            lines.push(Line { depth, thread });
        }
        let within = children.get(&tgid).into_iter().flatten().rev();
        todo.extend(within.map(|child| (depth + 1, *child)));
    }
    lines
}
