//! The app: what is open, what engines and the person say, and what follows from it.
//!
//! There are two engines. The main one records, goes places and looks. The other one goes through the same recording from
//! start to end, for what is known of all of it: output, system calls, threads, and whether it is the same execution. Then it
//! searches, with others where that is quicker.

mod acting;
mod bridging;
mod dialogs;
mod hearing;
mod opening;
#[cfg(test)]
mod tests;
mod told;

use crate::action::Action;
use crate::asker::{Asker, Progress, Purpose};
use crate::bridge::Bridge;
use crate::controls::{self, Control, Controls};
use crate::dock::{Dock, Pane};
use crate::host::Host;
use crate::link::Link;
use crate::model::{Hits, PanelModel};
use crate::panels;
use crate::searchers::Searchers;
use crate::session::{Origin, Session};
use crate::share::View;
use crate::start::{StartEvent, StartPage};
use crate::terminal::{CellAt, TerminalEvent, TerminalSource, TerminalView};
use crate::timeline::{Timeline, TimelineEvent};
use dialogs::Dialog;
use egui::{CentralPanel, Panel, Rect, Ui};
use opening::address;
use reprise_worker::protocol::{Command, Position, Target};

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
    /// What the person is told meanwhile.
    what: String,
}

/// The app.
pub struct App {
    main: Asker,
    reader: Asker,
    searchers: Searchers,
    host: Box<dyn Host>,
    screen: Screen,
    start: StartPage,
    dock: Dock,
    terminal: TerminalView,
    timeline: Timeline,
    controls: Controls,
    dialog: Option<Dialog>,
    bridge: Bridge,
    /// What went wrong last.
    failure: Option<String>,
    /// The trace of what is open, where it has been asked for.
    trace: Option<Vec<u8>>,
    /// The same, packed for a link, where that can be done.
    packed: Option<Vec<u8>>,
    is_set_up: bool,
    is_light: bool,
    room: egui::Vec2,
}

/// What a host remembers of the looks, under which name.
const THEME: &str = "theme";
const LIGHT: &str = "light";
const DARK: &str = "dark";

impl App {
    /// An app with a main engine, one that reads recordings through, and whoever shows it.
    #[must_use]
    pub fn new(main: Box<dyn Link>, reader: Box<dyn Link>, mut host: Box<dyn Host>) -> App {
        let (demos, containers) = (host.demos_json(), host.containers_json());
        let (picks_folders, has_network) = (host.can_pick_folder(), host.has_network());
        let start = StartPage::new(
            &demos,
            &containers,
            picks_folders,
            host.surroundings(),
            has_network,
        );
        App {
            main: Asker::new(main),
            reader: Asker::new(reader),
            searchers: Searchers::default(),
            host,
            screen: Screen::Start,
            start,
            dock: Dock::default(),
            terminal: TerminalView::default(),
            timeline: Timeline::default(),
            controls: Controls::default(),
            dialog: None,
            bridge: Bridge::default(),
            failure: None,
            trace: None,
            packed: None,
            is_set_up: false,
            is_light: false,
            room: egui::vec2(1280.0, 720.0),
        }
    }

    /// Whether an engine has something to do that a person may want to stop.
    fn is_busy(&self) -> bool {
        self.main.is_busy() || self.reader.is_busy() || self.searchers.is_busy()
    }

    /// Draws everything and does what follows from what has happened.
    pub fn ui(&mut self, ui: &mut Ui) {
        if !std::mem::replace(&mut self.is_set_up, true) {
            // Browsers say light by default; who looks at terminals mostly wants dark.
            let is_light = self.host.remembered(THEME).as_deref() == Some(LIGHT);
            self.is_light = is_light;
            ui.ctx().set_theme(if is_light {
                egui::Theme::Light
            } else {
                egui::Theme::Dark
            });
        }
        let is_light = !ui.visuals().dark_mode;
        if std::mem::replace(&mut self.is_light, is_light) != is_light {
            self.host
                .remember(THEME, if is_light { LIGHT } else { DARK });
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
    /// | `arriving` | how many bytes of the trace have come, and of how many, while more are to come |
    /// | `searched_by` | how many engines have searched at a time |
    /// | `screen`, `whole_screen` | the terminal's text at what is shown, and at the end |
    /// | `verified_hash`, `verified_icount`, `hash_count` | once all of it has been executed |
    /// | `call_count` | system calls known |
    /// | `signal` | the signal that has ended the program, while that is told |
    /// | `reasons`, `met` | why it stands here, and the numbers of the stops met |
    /// | `bridge` | how far the connection to `reprise bridge` is, in words |
    /// | `failure`, `link`, `dialog` | what is told, the link shown, whether something lies on top |
    #[must_use]
    pub fn test_state(&mut self) -> String {
        let mut state = serde_json::json!({
            "mode": match &self.screen {
                Screen::Start => "start",
                Screen::Opening(_) => "opening",
                Screen::Open(session) => session.mode.word(),
            },
            "is_busy": self.is_busy(),
            "searched_by": self.searchers.count(),
            "failure": self.failure,
            "bridge": self.bridge.words(),
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
                "arriving": session.arriving,
                "end": session.recording.end,
                "screen": screen,
                "whole_screen": whole_screen,
                "verified_hash": verified.map(|(_, hash, _)| hash),
                "verified_icount": verified.map(|(icount, _, _)| icount),
                "hash_count": verified.map(|(_, _, count)| count),
                "call_count": session.index.calls.len(),
                "signal": session.signal.as_ref().map(|signal| &signal.signal),
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

    fn show_start(&mut self, ui: &mut Ui) {
        show_failure(ui, &mut self.failure);
        let event = CentralPanel::default()
            .show(ui, |ui| self.start.show(ui))
            .inner;
        match event {
            Some(StartEvent::Boot {
                command,
                ram_mebibytes,
                container,
                folder,
                network,
            }) => self.boot(command, ram_mebibytes, container, folder, network),
            Some(StartEvent::PickFolder) => self.host.pick_folder(),
            Some(StartEvent::ForgetFolder(number)) => self.host.forget_folder(number),
            Some(StartEvent::PickFile) => self.host.pick_file(),
            Some(StartEvent::Open(text)) if !text.contains(['/', '.', '#']) => {
                self.failure = Some(format!(
                    "“{text}” is no link to a recording: a whole one has #t= or #trace= in it. The address of a trace will do as well."
                ));
            }
            Some(StartEvent::Open(text)) => {
                let fragment = text
                    .split_once('#')
                    .map(|(_, fragment)| fragment.to_owned());
                let is_link = fragment
                    .as_ref()
                    .is_some_and(|text| text.contains("t=") || text.contains("trace="));
                match fragment.filter(|_| is_link) {
                    Some(fragment) => self.open_fragment(&fragment),
                    None if self.host.open_path(&text) => {}
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
        let is_busy = self.main.is_busy()
            || self.reader.is_busy()
            || self.searchers.is_busy()
            || self.bridge.runs_at.is_some();
        let bridge = &self.bridge;
        let progress = (session.arriving.map(Progress::of_arrival))
            .or_else(|| self.main.progress().cloned())
            .or_else(|| self.searchers.progress())
            .or_else(|| self.reader.progress().cloned())
            .map(|progress| (progress.words(), progress.share()));
        let mut asked = Panel::top("controls")
            .show(ui, |ui| {
                let (is_held, dock) = (bridge.has_position(), &mut self.dock);
                let mut views = |ui: &mut Ui| views_menu(ui, dock);
                (self.controls).show(ui, session, is_busy, is_held, &mut views)
            })
            .inner;
        Panel::bottom("status").show(ui, |ui| {
            controls::status(ui, session, progress);
            controls::bridge_status(ui, bridge, session.recording.end);
        });
        show_failure(ui, &mut self.failure);
        asked.extend(show_signal(ui, session));
        session.choose_frame();
        let is_typing = self.terminal.has_focus() && session.is_running()
            || ui.ctx().egui_wants_keyboard_input() && !self.terminal.has_focus();
        let mut actions = Vec::new();
        let mut heard = Heard::default();
        {
            let (dock, terminal, timeline) =
                (&mut self.dock, &mut self.terminal, &mut self.timeline);
            // Panels in the dock draw on what is there, which is not theirs to fill.
            CentralPanel::default()
                .frame(egui::Frame::NONE.fill(ui.visuals().panel_fill))
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
                                texts: &session.texts,
                                recording: &session.recording,
                                position: &session.position,
                                is_running,
                                index: &session.index,
                                fetches: &session.fetches,
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
            session.follow();
            if let Some(target) = session.wanted.take() {
                self.main.ask(Command::Seek(target), Purpose::Seek);
            } else if session.player.is_none() {
                for look in session.looks.take_questions() {
                    self.main.ask(Command::Look(look), Purpose::Look);
                }
            }
        }
    }
}

/// What went wrong last, until the person dismisses it. It takes its room before what fills the rest does.
fn show_failure(ui: &mut Ui, failure: &mut Option<String>) {
    let Some(text) = failure else {
        return;
    };
    let is_dismissed = Panel::bottom("failure").show(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            ui.colored_label(ui.visuals().error_fg_color, text.as_str());
            ui.button("Dismiss").clicked()
        })
    });
    if is_dismissed.inner.inner {
        *failure = None;
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

fn views_menu(ui: &mut Ui, dock: &mut Dock) {
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
        theme_button(ui);
    });
}

/// Lets the person choose between dark and light.
pub(crate) fn theme_button(ui: &mut Ui) {
    let is_dark = ui.visuals().dark_mode;
    if ui.button(if is_dark { "Light" } else { "Dark" }).clicked() {
        let theme = if is_dark {
            egui::Theme::Light
        } else {
            egui::Theme::Dark
        };
        ui.ctx().set_theme(theme);
    }
}

/// The way to the signal that has ended the program: a recording is opened at its end, where the guest's first process
/// is all that is left.
fn show_signal(ui: &mut Ui, session: &mut Session) -> Option<Control> {
    let signal = session.signal.as_ref()?;
    let icount = signal.icount;
    let (mut goes, mut is_over) = (false, false);
    Panel::bottom("signal").show(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            ui.label(format!(
                "{} (thread {}) was ended by {}.",
                signal.thread, signal.tid, signal.signal
            ));
            goes = ui
                .button("Go there")
                .on_hover_text("To what the program was at when the signal came")
                .accessible_name("go to the signal")
                .clicked();
            is_over = ui
                .button("Dismiss")
                .accessible_name("dismiss the signal")
                .clicked();
        });
    });
    if goes || is_over {
        session.signal = None;
    }
    goes.then_some(Control::Do(Action::Seek(Target::Icount(icount))))
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
