//! What the person does in views and controls, carried out.

use super::{App, Dialog, Screen};
use crate::action::Action;
use crate::asker::Purpose;
use crate::controls::Control;
use crate::model::{Mark, Stop};
use crate::searchers::Wanted;
use crate::session::{Mode, Player};
use crate::terminal::TerminalEvent;
use crate::timeline::TimelineEvent;
use egui::Ui;
use reprise_worker::protocol::{Command, StopKind, StopPoint, Target};

impl App {
    pub(super) fn terminal_did(&mut self, ui: &Ui, event: TerminalEvent) {
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

    pub(super) fn timeline_did(&mut self, event: TimelineEvent) {
        if self.is_held() {
            return;
        }
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

    pub(super) fn control(&mut self, ui: &Ui, control: Control) {
        let now = ui.input(|input| input.time);
        // A place in a diversion of gdb's is none of the recording, so it goes into no link.
        let needs_position = matches!(
            control,
            Control::Pause
                | Control::Resume
                | Control::Back
                | Control::Forth
                | Control::Play(_)
                | Control::Share
        );
        if needs_position && self.is_held() {
            return;
        }
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
                session.is_kept = false;
                self.terminal.focus();
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
                    session.stay();
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
            Control::Gdb => self.dialog = Some(Dialog::Gdb { is_new: true }),
            Control::Keys => self.dialog = Some(Dialog::Keys),
            Control::Leave => self.leave_unless_lost(),
        }
    }

    pub(super) fn act(&mut self, ui: &Ui, action: Action) {
        let needs_position = matches!(
            action,
            Action::Seek(_)
                | Action::Step(..)
                | Action::Run(_)
                | Action::FindHits(_)
                | Action::AddMark(_)
        );
        if needs_position && self.is_held() {
            return;
        }
        let Screen::Open(session) = &mut self.screen else {
            return;
        };
        match action {
            Action::Seek(target) => {
                // A run that is under way would only delay it.
                if self.main.is_under_way(Purpose::Move) || self.main.is_under_way(Purpose::Hits) {
                    self.main.cancel();
                }
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
                session.stay();
                session.stand_still();
                if self.bridge.runs_at.is_some() {
                    self.main.ask(Command::Cancel, Purpose::Small);
                }
                self.main.cancel();
                // Whoever reads through what is coming has to be there for the rest.
                if session.arriving.is_none() {
                    self.reader.cancel();
                }
                self.searchers.cancel();
            }
            Action::SelectThread(thread) => {
                session.thread = thread;
                session.frame = 0;
                session.is_frame_chosen = false;
            }
            Action::SelectFrame(frame) => {
                session.frame = frame;
                session.is_frame_chosen = true;
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
            Action::AddStop(kind) => self.add_stop(kind, None),
            Action::AddWatchpoint(name, kind) => self.add_stop(kind, Some(name)),
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
                    self.find_hits(point);
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

    fn add_stop(&mut self, kind: StopKind, name: Option<String>) {
        let Screen::Open(session) = &mut self.screen else {
            return;
        };
        session.last_stop += 1;
        let is_of_process = matches!(kind, StopKind::Breakpoint(_) | StopKind::Watchpoint { .. });
        let point = StopPoint {
            id: session.last_stop,
            process: session.position.process.filter(|_| is_of_process),
            kind,
            name,
        };
        session.new_stop = Some(session.last_stop);
        session.stops.push(Stop {
            point,
            is_enabled: true,
            hits: None,
        });
        self.tell_stops();
    }

    /// Looks for all hits of a stop: by engines that have nothing else to do, or else by the main one, which does nothing else
    /// meanwhile.
    fn find_hits(&mut self, stop: StopPoint) {
        let Screen::Open(session) = &self.screen else {
            return;
        };
        let is_read = session.verified.is_some() && !self.reader.is_busy();
        match &self.trace {
            Some(trace) if is_read && !self.searchers.is_busy() => {
                let wanted = Wanted {
                    stop,
                    at: session.position.icount,
                    trace,
                    keyframes: &session.recording.keyframes,
                    end: session.recording.end,
                    ram_mebibytes: session.recording.ram_mebibytes,
                };
                let (reader, host) = (&mut self.reader, &mut *self.host);
                self.searchers.begin(&wanted, reader, host);
            }
            _ => {
                self.main.ask(Command::FindHits(stop), Purpose::Hits);
            }
        }
    }

    /// Goes somewhere that only the engine knows, unless it is on its way already.
    pub(super) fn travel(&mut self, command: Command) {
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

    pub(super) fn tell_stops(&mut self) {
        if let Screen::Open(session) = &self.screen {
            self.main
                .ask(Command::SetStops(session.enabled_stops()), Purpose::Stops);
        }
    }
}
