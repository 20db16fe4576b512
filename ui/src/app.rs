//! The app: what is open, what engines and the person say, and what follows from it.
//!
//! There are two engines. The main one records, goes places and looks. The other one goes through the same recording from
//! start to end, for what is known of all of it: output, system calls, threads, and whether it is the same execution.

mod dialogs;
#[cfg(test)]
mod tests;
mod told;

use crate::action::Action;
use crate::asker::{Asker, Purpose};
use crate::controls::{self, Control, Controls};
use crate::dock::{Dock, Pane};
use crate::host::Host;
use crate::link::Link;
use crate::model::{Hits, Index, Mark, PanelModel, Stop};
use crate::panels;
use crate::session::{Mode, Origin, Player, Session};
use crate::share::{self, Destination, Place, View};
use crate::start::{StartEvent, StartPage};
use crate::terminal::{CellAt, TerminalEvent, TerminalSource, TerminalView};
use crate::timeline::{Timeline, TimelineEvent};
use dialogs::Dialog;
use egui::{CentralPanel, Panel, Rect, Ui};
use reprise_worker::protocol::{
    Boot, Command, Message, Position, StopKind, StopPoint, Target, Thread, TraceSource,
};

/// What fills the page.
enum Screen {
    Start,
    /// Something is being opened.
    Opening(Box<Opening>),
    Open(Box<Session>),
}

/// What is being opened, and where to go then.
struct Opening {
    origin: Origin,
    at: Option<u64>,
    view: View,
    /// Nothing was open before that could be shown when it fails.
    what: String,
}

/// The app.
pub struct App {
    main: Asker,
    reader: Asker,
    host: Box<dyn Host>,
    screen: Screen,
    start: StartPage,
    dock: Dock,
    terminal: TerminalView,
    timeline: Timeline,
    controls: Controls,
    dialog: Option<Dialog>,
    /// What went wrong last.
    failure: Option<String>,
    /// The trace of what is open, where it has been asked for.
    trace: Option<Vec<u8>>,
    is_set_up: bool,
    room: egui::Vec2,
}

impl App {
    /// An app with a main engine, one that reads recordings through, and whoever shows it.
    #[must_use]
    pub fn new(main: Box<dyn Link>, reader: Box<dyn Link>, mut host: Box<dyn Host>) -> App {
        let start = StartPage::new(&host.demos_json());
        App {
            main: Asker::new(main),
            reader: Asker::new(reader),
            host,
            screen: Screen::Start,
            start,
            dock: Dock::default(),
            terminal: TerminalView::default(),
            timeline: Timeline::default(),
            controls: Controls::default(),
            dialog: None,
            failure: None,
            trace: None,
            is_set_up: false,
            room: egui::vec2(1280.0, 720.0),
        }
    }

    /// Draws everything and does what follows from what has happened.
    pub fn ui(&mut self, ui: &mut Ui) {
        if !std::mem::replace(&mut self.is_set_up, true) {
            // Browsers say light by default; who looks at terminals mostly wants dark.
            ui.ctx().set_theme(egui::Theme::Dark);
        }
        self.room = ui.available_size();
        self.hear();
        self.take_outside(ui);
        let can_use = self.dialog.is_none();
        match &self.screen {
            Screen::Start => self.show_start(ui),
            Screen::Opening(_) => self.show_opening(ui),
            Screen::Open(_) => self.show_open(ui, can_use),
        }
        self.show_dialog(ui);
        self.go_on(ui);
    }

    /// What the app knows, as JSON, for tests:
    ///
    /// | member | meaning |
    /// | --- | --- |
    /// | `mode` | `start`, `opening`, `replay`, `running`, `pausing`, `paused` or `halted` |
    /// | `icount`, `end` | the position that the engine is at, the last one |
    /// | `is_busy` | an engine has something to do for the page |
    /// | `screen`, `whole_screen` | the terminal's text at what is shown, and at the end |
    /// | `verified_hash`, `verified_icount`, `hash_count` | once all of it has been executed |
    /// | `call_count` | system calls known |
    /// | `reasons`, `met` | why it stands here, and the numbers of the stops met |
    /// | `failure`, `link`, `dialog` | what is told, the link shown, whether something lies on top |
    #[must_use]
    pub fn test_state(&mut self) -> String {
        let mut state = serde_json::json!({
            "mode": match &self.screen {
                Screen::Start => "start",
                Screen::Opening(_) => "opening",
                Screen::Open(session) => session.mode.word(),
            },
            "is_busy": self.main.is_busy() || self.reader.is_busy(),
            "failure": self.failure,
            "link": self.dialog.as_ref().and_then(Dialog::link),
            "dialog": self.dialog.is_some(),
        });
        if let Screen::Open(session) = &mut self.screen {
            let at = session.icount();
            let whole_screen = rows_of(session.history.last_screen());
            let screen = if session.is_running() {
                whole_screen.clone()
            } else {
                rows_of(session.history.screen_at(at))
            };
            let verified = session.verified.as_ref();
            let of_session = serde_json::json!({
                "icount": session.position.icount,
                "shown_icount": at,
                "end": session.recording.end,
                "screen": screen,
                "whole_screen": whole_screen,
                "verified_hash": verified.map(|(_, hash, _)| hash),
                "verified_icount": verified.map(|(icount, _, _)| icount),
                "hash_count": verified.map(|(_, _, count)| count),
                "call_count": session.index.calls.len(),
                "reasons": session.position.reasons,
                "met": session.position.stops,
                "trace_byte_len": session.trace_byte_len,
            });
            if let (Some(state), Some(more)) = (state.as_object_mut(), of_session.as_object()) {
                state.extend(more.clone());
            }
        }
        state.to_string()
    }

    /// Where a cell of the terminal was drawn last.
    #[must_use]
    pub fn cell_rect(&self, row: u16, column: u16) -> Option<Rect> {
        self.terminal.cell_rect(CellAt { row, column })
    }

    /// Where a position was drawn last.
    #[must_use]
    pub fn timeline_point(&self, icount: u64) -> Option<egui::Pos2> {
        self.timeline.point_of(icount)
    }

    /// Files that were dropped or chosen, and links.
    fn take_outside(&mut self, ui: &Ui) {
        let dropped = ui.input(|input| input.raw.dropped_files.clone());
        if let Some(file) = dropped.into_iter().next() {
            self.host.read_dropped(file);
        }
        if let Some(file) = self.host.take_file() {
            match file.bytes {
                Ok(bytes) => self.open_bytes(bytes),
                Err(why) => self.failure = Some(format!("{} cannot be read: {why}", file.name)),
            }
        }
        if let Some(fragment) = self.host.take_fragment() {
            self.open_fragment(&fragment);
        }
    }

    fn open_bytes(&mut self, bytes: Vec<u8>) {
        let opening = Opening {
            origin: Origin::Here,
            at: None,
            view: View::default(),
            what: "Opening the file".to_owned(),
        };
        self.open(opening, TraceSource::Bytes(bytes));
    }

    fn open_fragment(&mut self, fragment: &str) {
        match share::link_from_fragment(fragment) {
            Ok(Some(link)) => self.open_link(link),
            Ok(None) => {}
            Err(why) => self.failure = Some(why),
        }
    }

    fn open_link(&mut self, link: share::Link) {
        let opening = |origin| Opening {
            origin,
            at: link.at,
            view: link.view.clone(),
            what: "Opening the recording".to_owned(),
        };
        match link.place {
            Place::Inside(bytes) => {
                let origin = Origin::Fragment(bytes.clone());
                self.open(opening(origin), TraceSource::Bytes(bytes));
            }
            Place::Url(url) => {
                let opening = opening(Origin::Url(url.clone()));
                match share::destination(&url, &self.host.site_url()) {
                    Destination::Own => self.open(opening, TraceSource::Url(url)),
                    Destination::Other(origin) => {
                        self.dialog = Some(Dialog::Confirm {
                            origin,
                            url,
                            opening: Box::new(opening),
                        });
                    }
                    Destination::Nowhere => {
                        self.failure = Some(format!(
                            "`{url}` is not an address that a page can fetch from"
                        ));
                    }
                }
            }
        }
    }

    fn open(&mut self, opening: Opening, source: TraceSource) {
        self.leave();
        self.screen = Screen::Opening(Box::new(opening));
        self.main.ask(Command::Open(source), Purpose::Open);
    }

    /// Back to the start page; the engines forget what they had.
    fn leave(&mut self) {
        for asker in [&mut self.main, &mut self.reader] {
            asker.cancel();
            asker.ask(Command::Close, Purpose::Small);
        }
        self.screen = Screen::Start;
        self.trace = None;
        self.failure = None;
        self.dialog = None;
    }

    fn boot(&mut self, command: Vec<String>, ram_mebibytes: u32) {
        self.leave();
        self.screen = Screen::Opening(Box::new(Opening {
            origin: Origin::Here,
            at: None,
            view: View::default(),
            what: "Booting".to_owned(),
        }));
        let boot = Boot {
            command,
            ram_mebibytes,
            seed: self.host.seed(),
            clock_unix_nanoseconds: self.host.unix_nanoseconds(),
            terminal: crate::terminal::size_for(self.room * egui::vec2(0.57, 0.62)),
        };
        self.main.ask(Command::Boot(boot), Purpose::Open);
    }

    /// Takes in what the engines have said.
    fn hear(&mut self) {
        for (message, purpose) in self.main.poll() {
            self.heard_main(message, purpose);
        }
        for (message, purpose) in self.reader.poll() {
            self.heard_reader(message, purpose);
        }
    }

    fn heard_main(&mut self, message: Message, purpose: Option<Purpose>) {
        match message {
            Message::Opened(recording) => {
                let Screen::Opening(opening) = std::mem::replace(&mut self.screen, Screen::Start)
                else {
                    return;
                };
                self.terminal.reset(recording.terminal);
                self.timeline.reset();
                if let Some(layout) = &opening.view.layout {
                    self.dock = Dock::from_text(layout);
                }
                let mut session = Session::new(recording, opening.origin);
                session.marks = opening.view.marks;
                session.thread = opening.view.thread.unwrap_or(Thread::Current);
                session.frame_wanted = (opening.view.frame > 0).then_some(opening.view.frame);
                session.shown = opening.view.shown.unwrap_or_default();
                if !session.is_live() {
                    session.wanted = Some(opening.at.map_or(Target::End, Target::Icount));
                    self.main.ask(
                        Command::Save {
                            embeds_images: false,
                        },
                        Purpose::SaveForIndex,
                    );
                }
                self.screen = Screen::Open(Box::new(session));
            }
            Message::Trace { bytes, .. } => match purpose {
                Some(Purpose::SaveForIndex) => {
                    if let Screen::Open(session) = &mut self.screen {
                        session.trace_byte_len = bytes.len() as u64;
                        session.index = Index::default();
                        self.reader.cancel();
                        self.reader.ask(
                            Command::Open(TraceSource::Bytes(bytes.clone())),
                            Purpose::Index,
                        );
                        self.reader.ask(Command::Index, Purpose::Index);
                    }
                    self.trace = Some(bytes);
                }
                Some(Purpose::SaveForFile) => self.host.save_file("recording.rpt", &bytes),
                _ => {}
            },
            Message::Failed {
                message,
                is_cancelled,
                ..
            } => self.failed(message, is_cancelled, purpose),
            other => {
                if let Screen::Open(session) = &mut self.screen {
                    told::by_main(session, &mut self.main, other, purpose);
                }
            }
        }
    }

    fn failed(&mut self, message: String, is_cancelled: bool, purpose: Option<Purpose>) {
        let Screen::Open(session) = &mut self.screen else {
            if purpose == Some(Purpose::Open) {
                self.screen = Screen::Start;
                self.failure = (!is_cancelled).then_some(message);
            }
            return;
        };
        match purpose {
            // A view that cannot be had says so where it is drawn.
            Some(Purpose::Small) => {}
            Some(Purpose::Stops) => {
                // The last one is what was not understood.
                session.stops.pop();
                self.failure = Some(message);
            }
            Some(Purpose::Pause) => {
                session.mode = Mode::Running;
                self.failure = Some(message);
            }
            _ => {
                // What was dragged to is not shown as if the engine had got there.
                if purpose == Some(Purpose::Seek) && session.wanted.is_none() {
                    session.local = None;
                }
                if !is_cancelled {
                    self.failure = Some(message);
                }
            }
        }
    }

    fn heard_reader(&mut self, message: Message, purpose: Option<Purpose>) {
        let Screen::Open(session) = &mut self.screen else {
            return;
        };
        match message {
            Message::Opened(recording) => {
                session.recording.inputs = recording.inputs;
                session.recording.end = session.recording.end.max(recording.end);
                session.take_sizes();
            }
            // What a live machine prints is known already.
            Message::Console(printed) if !session.is_live() => session.history.add(&printed),
            Message::Indexed(part) => session.index.add(part),
            Message::Verified {
                icount,
                hash,
                hash_count,
            } => {
                session.verified = Some((icount, hash, hash_count));
            }
            Message::Failed {
                message,
                is_cancelled: false,
                ..
            } if purpose == Some(Purpose::Index) => {
                self.failure = Some(message);
            }
            _ => {}
        }
    }

    fn show_start(&mut self, ui: &mut Ui) {
        self.show_failure(ui);
        let event = CentralPanel::default()
            .show(ui, |ui| self.start.show(ui))
            .inner;
        match event {
            Some(StartEvent::Boot {
                command,
                ram_mebibytes,
            }) => self.boot(command, ram_mebibytes),
            Some(StartEvent::PickFile) => self.host.pick_file(),
            Some(StartEvent::Open(text)) => {
                let fragment = text
                    .split_once('#')
                    .map(|(_, fragment)| fragment.to_owned());
                let is_link = fragment
                    .as_ref()
                    .is_some_and(|text| text.contains("t=") || text.contains("trace="));
                match fragment.filter(|_| is_link) {
                    Some(fragment) => self.open_fragment(&fragment),
                    None => self.open_link(address(text, None)),
                }
            }
            Some(StartEvent::Demo { file, at }) => self.open_link(address(file, at)),
            None => {}
        }
    }

    fn show_opening(&mut self, ui: &mut Ui) {
        let Screen::Opening(opening) = &self.screen else {
            return;
        };
        let what = opening.what.clone();
        let progress = self
            .main
            .progress()
            .map(|progress| (progress.words(), progress.share()));
        CentralPanel::default().show(ui, |ui| {
            ui.vertical_centered(|ui| {
                ui.add_space(ui.available_height() * 0.35);
                ui.heading(what);
                ui.add_space(8.0);
                match progress {
                    Some((words, share)) => {
                        let bar = egui::ProgressBar::new(share.unwrap_or(0.0)).desired_width(320.0);
                        ui.add(bar.text(words));
                    }
                    None => {
                        ui.spinner();
                    }
                }
                ui.add_space(8.0);
                if ui.button("Cancel").clicked() {
                    self.leave();
                }
            });
        });
    }

    fn show_open(&mut self, ui: &mut Ui, can_use: bool) {
        let Screen::Open(session) = &mut self.screen else {
            return;
        };
        let is_busy = self.main.is_busy() || self.reader.is_busy();
        let progress = [&self.main, &self.reader]
            .into_iter()
            .find_map(|asker| asker.progress())
            .map(|progress| (progress.words(), progress.share()));
        let mut asked = Panel::top("controls")
            .show(ui, |ui| {
                let asked = self.controls.show(ui, session, is_busy);
                views_menu(ui, &mut self.dock);
                asked
            })
            .inner;
        Panel::bottom("status").show(ui, |ui| controls::status(ui, session, progress));
        let is_typing = self.terminal.has_focus() && session.is_running()
            || ui.ctx().egui_wants_keyboard_input() && !self.terminal.has_focus();
        let mut actions = Vec::new();
        let mut heard = Heard::default();
        {
            let (dock, terminal, timeline) =
                (&mut self.dock, &mut self.terminal, &mut self.timeline);
            CentralPanel::default()
                .frame(egui::Frame::NONE)
                .show(ui, |ui| {
                    dock.show(ui, &mut |ui, pane| match pane {
                        Pane::Terminal => {
                            heard.terminal.extend(show_terminal(ui, terminal, session))
                        }
                        Pane::Timeline => {
                            heard.timeline.extend(timeline.show(ui, session, is_typing))
                        }
                        Pane::Panel(kind) => {
                            let is_running = session.is_running();
                            let mut model = PanelModel {
                                recording: &session.recording,
                                position: &session.position,
                                is_running,
                                index: &session.index,
                                stops: &session.stops,
                                marks: &session.marks,
                                thread: session.thread,
                                frame: session.frame,
                                looks: &mut session.looks,
                                shown: &mut session.shown,
                                actions: &mut actions,
                            };
                            egui::Frame::NONE
                                .inner_margin(6.0)
                                .show(ui, |ui| panels::show(kind, ui, &mut model));
                        }
                    });
                });
        }
        if can_use && !is_typing {
            asked.extend(self.controls.keys(ui, session));
        }
        self.show_failure(ui);
        for event in heard.terminal {
            self.terminal_did(ui, event);
        }
        for event in heard.timeline {
            self.timeline_did(event);
        }
        for control in asked {
            self.control(ui, control);
        }
        for action in actions {
            self.act(ui, action);
        }
    }

    fn show_failure(&mut self, ui: &mut Ui) {
        let Some(text) = self.failure.clone() else {
            return;
        };
        Panel::bottom("failure").show(ui, |ui| {
            ui.horizontal_wrapped(|ui| {
                ui.colored_label(ui.visuals().error_fg_color, text);
                if ui.button("Dismiss").clicked() {
                    self.failure = None;
                }
            });
        });
    }

    fn terminal_did(&mut self, ui: &Ui, event: TerminalEvent) {
        let Screen::Open(session) = &mut self.screen else {
            return;
        };
        match event {
            TerminalEvent::Typed(bytes) => {
                self.main.ask(Command::Type(bytes), Purpose::Small);
            }
            TerminalEvent::Resized(size) => {
                session.history.resize(session.recording.end, size);
                self.main.ask(Command::Resize(size), Purpose::Small);
            }
            TerminalEvent::Clicked(icount) => self.act(ui, Action::Seek(Target::Icount(icount))),
            TerminalEvent::Copied(text) => ui.copy_text(text),
        }
    }

    fn timeline_did(&mut self, event: TimelineEvent) {
        let Screen::Open(session) = &mut self.screen else {
            return;
        };
        match event {
            TimelineEvent::Grabbed => {
                session.leave();
                session.player = None;
            }
            TimelineEvent::Dragged(icount) => {
                session.local = Some(icount);
                session.wanted = Some(Target::Icount(icount));
            }
            TimelineEvent::Dropped(icount) => {
                session.local = Some(icount);
                session.wanted = Some(Target::Icount(icount));
            }
        }
    }

    fn control(&mut self, ui: &Ui, control: Control) {
        let now = ui.input(|input| input.time);
        let Screen::Open(session) = &mut self.screen else {
            return;
        };
        match control {
            Control::Do(action) => self.act(ui, action),
            Control::Pause => {
                session.mode = Mode::Pausing;
                self.main.ask(Command::Pause, Purpose::Pause);
            }
            Control::Resume => {
                session.player = None;
                self.main.ask(Command::Resume, Purpose::Resume);
            }
            Control::PowerOff => {
                self.main.ask(Command::PowerOff, Purpose::Small);
            }
            Control::Back | Control::Forth => {
                if let Some(place) = session.revisit(control == Control::Back) {
                    session.go_to(place);
                }
            }
            Control::Play(speed) => match speed {
                Some(speed) => {
                    let from = session.icount();
                    session.player = Some(Player {
                        speed,
                        from,
                        since: now,
                    });
                }
                None => session.stand_still(),
            },
            Control::Share => self.open_share(),
            Control::Keys => self.dialog = Some(Dialog::Keys),
            Control::Leave => {
                self.leave();
                self.host.replace_fragment("");
            }
        }
    }

    fn act(&mut self, ui: &Ui, action: Action) {
        let Screen::Open(session) = &mut self.screen else {
            return;
        };
        match action {
            Action::Seek(target) => {
                session.leave();
                session.player = None;
                session.local = match target {
                    Target::Icount(icount) => Some(icount),
                    _ => None,
                };
                session.wanted = Some(target);
            }
            Action::Step(unit, direction) => {
                let thread = session.thread;
                self.travel(Command::Step {
                    unit,
                    direction,
                    thread,
                });
            }
            Action::Run(direction) => self.travel(Command::Run { direction }),
            Action::Cancel => {
                session.wanted = None;
                session.stand_still();
                self.main.cancel();
                self.reader.cancel();
            }
            Action::SelectThread(thread) => {
                session.thread = thread;
                session.frame = 0;
            }
            Action::SelectFrame(frame) => {
                session.frame = frame;
                session.shown.source = None;
            }
            Action::ShowMemory(address) => {
                session.shown.memory = address;
                self.dock.reveal_panel("Memory");
            }
            Action::ShowCode(address) => {
                session.shown.code = Some(address);
                self.dock.reveal_panel("Disassembly");
            }
            Action::ShowSource { path, line } => {
                session.shown.source = Some((path, line));
                self.dock.reveal_panel("Source");
            }
            Action::AddStop(kind) => {
                session.last_stop += 1;
                let is_of_process =
                    matches!(kind, StopKind::Breakpoint(_) | StopKind::Watchpoint { .. });
                let point = StopPoint {
                    id: session.last_stop,
                    process: session.position.process.filter(|_| is_of_process),
                    kind,
                };
                session.stops.push(Stop {
                    point,
                    is_enabled: true,
                    hits: None,
                });
                self.tell_stops();
            }
            Action::RemoveStop(id) => {
                session.stops.retain(|stop| stop.point.id != id);
                self.tell_stops();
            }
            Action::EnableStop(id, is_enabled) => {
                for stop in session.stops.iter_mut().filter(|stop| stop.point.id == id) {
                    stop.is_enabled = is_enabled;
                }
                self.tell_stops();
            }
            Action::FindHits(id) => {
                let stop = session.stops.iter().find(|stop| stop.point.id == id);
                if let Some(point) = stop.map(|stop| stop.point.clone()) {
                    self.main.ask(Command::FindHits(point), Purpose::Hits);
                }
            }
            Action::AddMark(note) => {
                let icount = session.icount();
                let at = session.marks.partition_point(|mark| mark.icount <= icount);
                session.marks.insert(at, Mark { icount, note });
            }
            Action::RemoveMark(number) => {
                if number < session.marks.len() {
                    session.marks.remove(number);
                }
            }
            Action::NoteMark(number, note) => {
                if let Some(mark) = session.marks.get_mut(number) {
                    mark.note = note;
                }
            }
            Action::Copy(text) => ui.copy_text(text),
        }
    }

    /// Goes somewhere that only the engine knows, unless it is on its way already.
    fn travel(&mut self, command: Command) {
        let Screen::Open(session) = &mut self.screen else {
            return;
        };
        if self.main.is_moving() || session.is_running() {
            return;
        }
        session.stand_still();
        // From where the person sees to be.
        if let Some(target) = session.wanted.take() {
            self.main.ask(Command::Seek(target), Purpose::Seek);
        }
        session.leave();
        self.main.ask(command, Purpose::Move);
    }

    fn tell_stops(&mut self) {
        if let Screen::Open(session) = &self.screen {
            self.main
                .ask(Command::SetStops(session.enabled_stops()), Purpose::Stops);
        }
    }

    /// Asks for what is needed next.
    fn go_on(&mut self, ui: &Ui) {
        let Screen::Open(session) = &mut self.screen else {
            return;
        };
        let now = ui.input(|input| input.time);
        if session.player.is_some() {
            if session.play(now) {
                session.stand_still();
            }
            ui.ctx().request_repaint();
        }
        if session.is_running() {
            return;
        }
        if !self.main.is_moving() {
            if let Some(target) = session.wanted.take() {
                self.main.ask(Command::Seek(target), Purpose::Seek);
            } else if session.player.is_none() {
                for look in session.looks.take_questions() {
                    self.main.ask(Command::Look(look), Purpose::Small);
                }
            }
        }
    }
}

/// What happened in the views of a frame.
#[derive(Default)]
struct Heard {
    terminal: Vec<TerminalEvent>,
    timeline: Vec<TimelineEvent>,
}

/// A terminal's text, a line for each row, wrapped or not.
fn rows_of(screen: &vt100::Screen) -> String {
    let (_, columns) = screen.size();
    let rows: Vec<String> = screen.rows(0, columns.get()).collect();
    rows.join("\n")
}

/// A link to an address.
fn address(url: String, at: Option<u64>) -> share::Link {
    share::Link {
        place: Place::Url(url),
        at,
        view: View::default(),
    }
}

fn views_menu(ui: &mut Ui, dock: &mut Dock) {
    ui.horizontal(|ui| {
        ui.menu_button("View", |ui| {
            for pane in Pane::all() {
                let mut is_open = dock.has(pane);
                if ui.checkbox(&mut is_open, pane.title()).clicked() {
                    if is_open {
                        dock.reveal(pane);
                    } else {
                        dock.close(pane);
                    }
                }
            }
            ui.separator();
            if ui.button("Usual layout").clicked() {
                *dock = Dock::default();
            }
            let is_dark = ui.visuals().dark_mode;
            if ui.button(if is_dark { "Light" } else { "Dark" }).clicked() {
                let theme = if is_dark {
                    egui::Theme::Light
                } else {
                    egui::Theme::Dark
                };
                ui.ctx().set_theme(theme);
            }
        });
    });
}

fn show_terminal(
    ui: &mut Ui,
    terminal: &mut TerminalView,
    session: &mut Session,
) -> Vec<TerminalEvent> {
    let icount = (!session.is_running()).then(|| session.icount());
    // The history is drawn from while the rest of the session says what a position is.
    let mut history = std::mem::replace(
        &mut session.history,
        crate::terminal::History::new(session.recording.terminal),
    );
    let events = terminal.show(
        ui,
        TerminalSource {
            history: &mut history,
            icount,
            describe: &|icount| session.describe(icount),
        },
    );
    session.history = history;
    events
}

/// Puts a position into a session, and what was met there.
fn arrive(session: &mut Session, position: Position) {
    session.arrive(position);
    if session.wanted.is_none() && session.player.is_none() {
        session.local = None;
    }
}

/// Puts hits into a session.
fn found(session: &mut Session, id: u32, icounts: Vec<u64>, is_capped: bool) {
    if let Some(stop) = session.stops.iter_mut().find(|stop| stop.point.id == id) {
        stop.hits = Some(Hits { icounts, is_capped });
    }
}
