//! What engines say, and what follows.

use super::{App, Screen, found, told};
use crate::asker::Purpose;
use crate::dock::Dock;
use crate::model::Index;
use crate::searchers::Heard;
use crate::session::{Mode, Origin, Session};
use reprise_worker::protocol::{Command, Message, Target, Thread, TraceSource};
use std::time::Duration;

/// How often it is shown how far a run of gdb's is: whoever draws slowly would hold gdb up.
const PROGRESS_SEEN_AFTER: Duration = Duration::from_millis(250);

/// Beyond so many bytes of sentences nobody reads another one.
const TOLD_BYTES_MAX: usize = 600;

impl App {
    /// Takes in what the engines have said. Each frame does so first. Says how soon another is to show it, if there is
    /// something to be seen.
    pub fn hear(&mut self) -> Option<Duration> {
        let mut soon = None;
        for (message, purpose) in self.main.poll() {
            let is_progress = matches!(message, Message::GdbRuns { .. });
            let is_relayed =
                matches!(message, Message::GdbBytes(_)) || purpose == Some(Purpose::Relay);
            if is_progress {
                soon = soon.or(Some(PROGRESS_SEEN_AFTER));
            } else if !is_relayed {
                soon = Some(Duration::ZERO);
            }
            self.heard_main(message, purpose);
        }
        for (message, purpose) in self.reader.poll() {
            soon = Some(Duration::ZERO);
            let is_search = matches!(message, Message::Progress { .. }) && self.searchers.is_busy();
            if purpose == Some(Purpose::Hits) || is_search {
                self.heard_searcher(0, message, purpose);
            } else {
                self.heard_reader(message, purpose);
            }
        }
        for (number, message, purpose) in self.searchers.poll() {
            soon = Some(Duration::ZERO);
            self.heard_searcher(number, message, purpose);
        }
        if let Some(reason) = self.searchers.take_end() {
            soon = Some(Duration::ZERO);
            self.search_has_ended(Some(reason));
        }
        soon
    }

    fn heard_searcher(&mut self, number: usize, message: Message, purpose: Option<Purpose>) {
        match self.searchers.hear(number, message, purpose) {
            Heard::Nothing => {}
            Heard::Found(all) => {
                if let Screen::Open(session) = &mut self.screen {
                    found(session, all.stop, all.icounts, all.is_capped);
                }
            }
            Heard::Ended(reason) => self.search_has_ended(reason),
        }
    }

    fn search_has_ended(&mut self, reason: Option<String>) {
        if self.reader.is_under_way(Purpose::Hits) {
            self.reader.cancel();
        }
        self.failure = reason.or(self.failure.take());
    }

    pub(super) fn heard_main(&mut self, message: Message, purpose: Option<Purpose>) {
        let Some(message) = self.heard_of_gdb(message) else {
            return;
        };
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
                if session.recording.is_arriving {
                    session.arriving = Some((0, session.recording.trace_byte_len));
                    self.reader.cancel();
                    (self.reader).ask(Command::Open(TraceSource::Parts), Purpose::Index);
                    self.reader.ask(Command::Index, Purpose::Index);
                }
                if !session.is_live() {
                    session.follows = Some(opening.at.map_or(Target::End, Target::Icount));
                }
                if !session.is_live() && !session.recording.is_arriving {
                    self.main.ask(
                        Command::Save {
                            embeds_images: false,
                        },
                        Purpose::SaveForIndex,
                    );
                }
                self.screen = Screen::Open(Box::new(session));
            }
            Message::Trace { bytes, packed, .. } => match purpose {
                Some(Purpose::SaveForIndex) => {
                    if let Screen::Open(session) = &mut self.screen {
                        session.trace_byte_len = bytes.len() as u64;
                        session.index = Index::default();
                        session.signal = None;
                        self.reader.cancel();
                        self.searchers.cancel();
                        self.searchers.forget_trace();
                        self.reader.ask(
                            Command::Open(TraceSource::Bytes(bytes.clone())),
                            Purpose::Index,
                        );
                        self.reader.ask(Command::Index, Purpose::Index);
                    }
                    self.trace = Some(bytes);
                    self.packed = packed;
                }
                Some(Purpose::SaveForLink) => {
                    self.trace = Some(bytes);
                    self.packed = packed;
                }
                Some(Purpose::SaveForFile) => {
                    self.host.save_file("recording.rpt", &bytes);
                    self.is_saved();
                }
                _ => {}
            },
            Message::Files { bytes, told, .. } => {
                if !bytes.is_empty() {
                    self.host.save_file("changed.tar", &bytes);
                }
                self.files_are_saved(told);
            }
            Message::Notice(text) => self.notice(text),
            Message::TracePart { bytes, is_last } => {
                (self.reader).ask(Command::TracePart { bytes, is_last }, Purpose::Relay);
            }
            Message::Arrived { recording, failure } => {
                if let Screen::Open(session) = &mut self.screen {
                    session.has_arrived(recording);
                    self.main.ask(
                        Command::Save {
                            embeds_images: false,
                        },
                        Purpose::SaveForLink,
                    );
                }
                self.failure = failure.or(self.failure.take());
            }
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

    /// Tells the person something, beside what was told before and not dismissed.
    fn notice(&mut self, text: String) {
        self.failure = Some(match self.failure.take() {
            Some(told) if told.len() < TOLD_BYTES_MAX => format!("{told}\n{text}"),
            Some(told) => told,
            None => text,
        });
    }

    pub(super) fn failed(&mut self, message: String, is_cancelled: bool, purpose: Option<Purpose>) {
        let Screen::Open(session) = &mut self.screen else {
            if purpose == Some(Purpose::Open) {
                let is_of_link = matches!(&self.screen, Screen::Opening(opening) if matches!(opening.origin, Origin::Fragment(_)));
                let message = match is_of_link {
                    true => format!("the link holds no whole recording, copy all of it: {message}"),
                    false => message,
                };
                self.screen = Screen::Start;
                self.failure = (!is_cancelled).then_some(message);
            }
            return;
        };
        match purpose {
            Some(Purpose::Look) => session.looks.failed(message),
            Some(Purpose::Small) => {}
            Some(Purpose::Stops) => {
                // What was added last was not understood.
                let added = session.new_stop.take();
                session.stops.retain(|stop| Some(stop.point.id) != added);
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

    pub(super) fn heard_reader(&mut self, message: Message, purpose: Option<Purpose>) {
        let Screen::Open(session) = &mut self.screen else {
            return;
        };
        match message {
            // Of one that is still coming, the main engine tells more.
            Message::Opened(recording) if !recording.is_arriving => {
                session.recording.inputs = recording.inputs;
                session.recording.keyframes = recording.keyframes;
                session.recording.end = session.recording.end.max(recording.end);
                session.take_sizes();
            }
            // What a live machine prints is known already.
            Message::Console(printed) if !session.is_live() => session.history.add(&printed),
            Message::Indexed(part) => session.index.add(part),
            Message::FatalSignal(signal) => session.heard_signal(signal),
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
}
