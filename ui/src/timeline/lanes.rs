//! What happened, lane by lane, gathered for each column of points: drawing costs the same however much there is.

use super::{RULER, Scale, thread_color};
use crate::session::Session;
use crate::words;
use egui::{Align2, Color32, FontId, Pos2, Rect, Shape, Stroke, pos2, vec2};
use reprise_worker::protocol::InputKind;

/// Bytes of typed text that are shown.
const TYPED_SHOWN: usize = 40;
/// Columns of a thread that are wide enough for its name.
const NAME_WIDTH: f32 = 46.0;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lane {
    Console,
    Input,
    Threads,
    Calls,
    Marks,
    Stops,
}

const LANES: [(Lane, &str); 6] = [
    (Lane::Console, "Console"),
    (Lane::Input, "Input"),
    (Lane::Threads, "Processes"),
    (Lane::Calls, "Calls"),
    (Lane::Marks, "Marks"),
    (Lane::Stops, "Stop hits"),
];

/// What is drawn on, and with.
pub(super) struct Looks<'a> {
    pub(super) visuals: egui::Visuals,
    pub(super) painter: egui::Painter,
    pub(super) rect: Rect,
    pub(super) plot: Rect,
    pub(super) scale: &'a Scale,
}

impl Looks<'_> {
    pub(super) fn draw(&mut self, session: &Session) {
        for (number, (lane, name)) in LANES.iter().enumerate() {
            let rect = self.lane_rect(number);
            let font = FontId::proportional(11.5);
            let at = pos2(self.rect.min.x + 4.0, rect.center().y);
            self.painter.text(
                at,
                Align2::LEFT_CENTER,
                *name,
                font,
                self.visuals.text_color(),
            );
            let line = Stroke::new(1.0, self.visuals.widgets.noninteractive.bg_stroke.color);
            self.painter
                .hline(self.rect.x_range(), rect.min.y - 1.0, line);
            match lane {
                Lane::Console => self.console(rect, session),
                Lane::Input => self.inputs(rect, session),
                Lane::Threads => self.threads(rect, session),
                Lane::Calls => self.calls(rect, session),
                Lane::Marks => self.marks(rect, session),
                Lane::Stops => self.stops(rect, session),
            }
        }
        let upto = session.index.upto;
        if !session.is_running() && session.verified.is_none() && upto < session.recording.end {
            // What has not been read yet is grey.
            let x = self
                .scale
                .x_from_icount(upto, self.plot)
                .clamp(self.plot.min.x, self.plot.max.x);
            let unknown = Rect::from_min_max(pos2(x, self.plot.min.y + RULER), self.plot.max);
            self.painter
                .rect_filled(unknown, 0.0, self.visuals.text_color().gamma_multiply(0.07));
        }
    }

    fn lane_rect(&self, number: usize) -> Rect {
        let height = ((self.plot.height() - RULER) / LANES.len() as f32).clamp(10.0, 30.0);
        let top = self.plot.min.y + RULER + height * number as f32;
        let size = vec2(self.plot.width(), height - 2.0);
        Rect::from_min_size(pos2(self.plot.min.x, top + 1.0), size)
    }

    /// The columns of points with the positions that they stand for.
    fn columns(&self) -> impl Iterator<Item = (f32, u64, u64)> + '_ {
        let first = self.plot.min.x.floor();
        let count = self.plot.width().max(0.0) as usize;
        (0..count).map(move |number| {
            let x = first + number as f32;
            (
                x,
                self.scale.icount_from_x(x, self.plot),
                self.scale.icount_from_x(x + 1.0, self.plot),
            )
        })
    }

    /// Bars whose height says how much there is in a column.
    fn bars(&self, rect: Rect, color: Color32, amount: impl Fn(u64, u64) -> usize) {
        for (x, from, upto) in self.columns() {
            let amount = amount(from, upto);
            if amount > 0 {
                let share = ((1.0 + amount as f32).ln() / 7.0).clamp(0.25, 1.0);
                let top = rect.max.y - rect.height() * share;
                let bar = Rect::from_min_max(pos2(x, top), pos2(x + 1.0, rect.max.y));
                self.painter.rect_filled(bar, 0.0, color);
            }
        }
    }

    fn console(&self, rect: Rect, session: &Session) {
        let color = self.tint(
            Color32::from_rgb(0x4c, 0xa9, 0x6b),
            Color32::from_rgb(0x2a, 0x7a, 0x46),
        );
        self.bars(rect, color, |from, upto| {
            session.history.bytes_between(from, upto)
        });
    }

    fn calls(&self, rect: Rect, session: &Session) {
        let color = self.tint(
            Color32::from_rgb(0x5a, 0x9b, 0xe0),
            Color32::from_rgb(0x1f, 0x5f, 0xb8),
        );
        let calls = &session.index.calls;
        self.bars(rect, color, |from, upto| {
            calls.partition_point(|call| call.icount < upto)
                - calls.partition_point(|call| call.icount < from)
        });
    }

    fn inputs(&self, rect: Rect, session: &Session) {
        let color = self.tint(
            Color32::from_rgb(0xe5, 0xb5, 0x5b),
            Color32::from_rgb(0x9a, 0x66, 0x00),
        );
        let mut last = f32::MIN;
        for input in &session.recording.inputs {
            let x = self.scale.x_from_icount(input.icount, self.plot);
            if self.plot.x_range().contains(x) && x - last >= 1.0 {
                self.painter
                    .vline(x, rect.y_range(), Stroke::new(1.5, color));
                last = x;
            }
        }
    }

    fn threads(&self, rect: Rect, session: &Session) {
        let switches = &session.index.switches;
        let mut run: Option<(f32, u32, u64)> = None;
        for (x, from, upto) in self.columns() {
            if from > session.index.upto {
                break;
            }
            let next = switches.partition_point(|switch| switch.icount < upto);
            let tid = next
                .checked_sub(1)
                .and_then(|last| switches.get(last))
                .map(|switch| switch.tid);
            if run.map(|(_, tid, _)| tid) != tid {
                self.thread_run(rect, run.take(), x, session);
                run = tid.map(|tid| (x, tid, upto));
            } else if let Some((_, _, icount)) = &mut run {
                // Its name is the last that it takes: a program begins as a copy of whoever starts it.
                *icount = upto;
            }
        }
        let end = self
            .scale
            .x_from_icount(session.index.upto, self.plot)
            .min(self.plot.max.x);
        self.thread_run(rect, run, end, session);
    }

    fn thread_run(&self, rect: Rect, run: Option<(f32, u32, u64)>, end: f32, session: &Session) {
        let Some((start, tid, icount)) = run else {
            return;
        };
        let color = thread_color(tid, self.visuals.dark_mode);
        let run = Rect::from_min_max(pos2(start, rect.min.y), pos2(end, rect.max.y));
        self.painter.rect_filled(run, 0.0, color);
        let name = session.index.name_at(tid, icount);
        if let (Some(name), true) = (name, run.width() > NAME_WIDTH) {
            let font = FontId::proportional(10.5);
            let inside = self
                .painter
                .with_clip_rect(run.shrink2(vec2(2.0, 0.0)).intersect(self.plot));
            let text = inside.layout_no_wrap(name.to_owned(), font, Color32::BLACK);
            if text.size().x + 6.0 <= run.width() {
                inside.galley(
                    pos2(run.min.x + 3.0, run.center().y - text.size().y / 2.0),
                    text,
                    Color32::BLACK,
                );
            }
        }
    }

    fn marks(&self, rect: Rect, session: &Session) {
        for mark in &session.marks {
            self.flag(rect, mark.icount, self.visuals.hyperlink_color);
        }
    }

    fn stops(&self, rect: Rect, session: &Session) {
        for stop in &session.stops {
            let icounts = stop
                .hits
                .as_ref()
                .map(|hits| hits.icounts.as_slice())
                .unwrap_or_default();
            let color = self.visuals.error_fg_color;
            for (x, from, upto) in self.columns() {
                let next = icounts.partition_point(|icount| *icount < from);
                if icounts.get(next).is_some_and(|icount| *icount < upto) {
                    self.painter
                        .vline(x, rect.y_range(), Stroke::new(1.0, color));
                }
            }
        }
    }

    fn flag(&self, rect: Rect, icount: u64, color: Color32) {
        let x = self.scale.x_from_icount(icount, self.plot);
        let points = vec![
            pos2(x, rect.min.y),
            pos2(x + 8.0, rect.min.y + 4.0),
            pos2(x, rect.min.y + 8.0),
        ];
        self.painter
            .vline(x, rect.y_range(), Stroke::new(1.0, color));
        self.painter
            .add(Shape::convex_polygon(points, color, Stroke::NONE));
    }

    fn tint(&self, dark: Color32, light: Color32) -> Color32 {
        if self.visuals.dark_mode { dark } else { light }
    }

    /// What lies under the pointer, in words.
    pub(super) fn words_at(&self, session: &Session, at: Pos2) -> Option<String> {
        let (_, (lane, _)) = LANES
            .iter()
            .enumerate()
            .find(|(number, _)| self.lane_rect(*number).expand2(vec2(0.0, 1.0)).contains(at))?;
        let reach = 4.0;
        let from = self.scale.icount_from_x(at.x - reach, self.plot);
        let upto = self
            .scale
            .icount_from_x(at.x + reach, self.plot)
            .max(from + 1);
        match lane {
            Lane::Console => {
                let amount = session.history.bytes_between(from, upto);
                (amount > 0).then(|| format!("{} printed around here", words::bytes(amount as u64)))
            }
            Lane::Input => {
                let inputs = &session.recording.inputs;
                let input = inputs
                    .iter()
                    .find(|input| (from..upto).contains(&input.icount))?;
                Some(input_words(&input.kind))
            }
            Lane::Threads => None,
            Lane::Calls => {
                let calls = &session.index.calls;
                let first = calls.partition_point(|call| call.icount < from);
                let call = calls.get(first).filter(|call| call.icount < upto)?;
                let last = calls.partition_point(|call| call.icount < upto);
                let result = call
                    .result
                    .map_or(String::new(), |(_, value)| format!(" = {value}"));
                let more = match last - first {
                    1 => String::new(),
                    count => format!("\nand {} more", words::count(count as u64 - 1)),
                };
                Some(format!("{}{result}{more}", call.text))
            }
            Lane::Marks => {
                let mark = session
                    .marks
                    .iter()
                    .find(|mark| (from..upto).contains(&mark.icount))?;
                Some(format!("Mark: {}", mark.note))
            }
            Lane::Stops => {
                let stop = session.stops.iter().find(|stop| {
                    let icounts = stop
                        .hits
                        .as_ref()
                        .map(|hits| hits.icounts.as_slice())
                        .unwrap_or_default();
                    let next = icounts.partition_point(|icount| *icount < from);
                    icounts.get(next).is_some_and(|icount| *icount < upto)
                })?;
                Some(format!("Stop {}", stop.point.id))
            }
        }
    }
}

fn input_words(kind: &InputKind) -> String {
    match kind {
        InputKind::Start => "The machine starts".to_owned(),
        InputKind::Typed(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            let shown: String = text
                .chars()
                .take(TYPED_SHOWN)
                .flat_map(char::escape_debug)
                .collect();
            format!("Typed: {shown}")
        }
        InputKind::Size(size) => format!("Terminal: {} columns, {} lines", size.columns, size.rows),
        InputKind::PowerOff => "Power button".to_owned(),
        InputKind::Frame { byte_len } => format!("From the network: {byte_len} bytes"),
        InputKind::File { path, .. } => format!("Read of the workspace: {path}"),
    }
}
