//! gdb on the page: what comes over the bridge goes to the engine, and the engine's answers back.

use super::{App, Screen};
use crate::asker::Purpose;
use crate::bridge::{BridgeEvent, Stage, address_from_code};
use reprise_worker::protocol::{Command, GDB_HAS_POSITION, Message, RequestId};

impl App {
    /// Whether there is a connection to a bridge. Then what engines say is to be heard at once ([`App::hear`]): a page in the
    /// background draws no frames, and gdb waits.
    #[must_use]
    pub fn is_bridged(&self) -> bool {
        self.bridge.stage != Stage::Off
    }

    /// Takes what came over the bridge, at once.
    pub fn heard_bridge(&mut self, event: BridgeEvent) {
        match event {
            BridgeEvent::Opened => self.bridge.stage = Stage::Waiting,
            BridgeEvent::Text(text) if text == "gdb" && !self.bridge.has_gdb() => {
                self.bridge.trouble = None;
                if matches!(self.screen, Screen::Open(_)) {
                    let id = self.main.ask(Command::AttachGdb, Purpose::Small);
                    self.bridge.stage = Stage::Attaching(id);
                } else {
                    self.free_gdb(Some("no recording is open on the page".to_owned()));
                }
            }
            BridgeEvent::Text(text) if text == "gone" && self.bridge.has_gdb() => {
                self.main.ask(Command::DetachGdb, Purpose::Small);
                self.free_gdb(None);
            }
            BridgeEvent::Bytes(bytes) if self.bridge.has_gdb() => {
                self.main.ask(Command::GdbBytes(bytes), Purpose::Relay);
            }
            // What is meant for a gdb that the page is through with already.
            BridgeEvent::Text(_) | BridgeEvent::Bytes(_) => {}
            BridgeEvent::Closed(reason) => {
                self.leave_bridge();
                self.bridge.trouble = Some(reason);
            }
        }
    }

    /// What the main engine says of gdb. Gives back what is about something else.
    pub(super) fn heard_of_gdb(&mut self, message: Message) -> Option<Message> {
        let is_attached = self.bridge.stage == Stage::Attached;
        let is_attach = |bridge: &Stage, id: RequestId| *bridge == Stage::Attaching(id);
        match message {
            Message::GdbBytes(bytes) => {
                if is_attached {
                    self.host.bridge_send(&bytes);
                }
            }
            Message::GdbRuns { icount } => {
                if is_attached {
                    self.bridge.runs_at = Some(icount);
                }
            }
            Message::GdbGone { reason } => {
                if is_attached {
                    self.free_gdb(reason);
                }
            }
            Message::Done { id } if is_attach(&self.bridge.stage, id) => {
                self.bridge.stage = Stage::Attached;
                if let Screen::Open(session) = &mut self.screen {
                    session.player = None;
                    session.wanted = None;
                    session.stay();
                    session.local = None;
                }
            }
            Message::Failed { id, message, .. } if is_attach(&self.bridge.stage, id) => {
                self.free_gdb(Some(message));
            }
            other => {
                if matches!(other, Message::Position(_)) {
                    self.bridge.runs_at = None;
                }
                return Some(other);
            }
        }
        None
    }

    /// The recording that gdb debugs is left. gdb goes first: the engine would let its run come to an end before it did
    /// anything else.
    pub(super) fn leave_gdb(&mut self) {
        if self.bridge.has_gdb() {
            self.main.ask(Command::DetachGdb, Purpose::Small);
            self.free_gdb(Some("the page has left the recording".to_owned()));
        }
    }

    /// Tells the bridge that the page is through with its gdb, and why, where it was not gdb itself that went.
    fn free_gdb(&mut self, reason: Option<String>) {
        let reason = reason.unwrap_or_default();
        self.host.bridge_say(format!("free {reason}").trim_end());
        self.bridge.stage = Stage::Waiting;
        self.bridge.runs_at = None;
        self.bridge.trouble = (!reason.is_empty()).then_some(reason);
    }

    /// Connects by the code that the person has put in.
    pub(super) fn join_bridge(&mut self) {
        match address_from_code(&self.bridge.code) {
            Ok(address) => {
                self.bridge.code.clear();
                self.bridge.trouble = None;
                self.bridge.stage = Stage::Connecting;
                self.host.bridge_open(&address);
            }
            Err(why) => self.bridge.trouble = Some(why.to_owned()),
        }
    }

    /// Ends the connection.
    pub(super) fn leave_bridge(&mut self) {
        if self.bridge.has_gdb() {
            self.main.ask(Command::DetachGdb, Purpose::Small);
        }
        self.host.bridge_close();
        self.bridge.stage = Stage::Off;
        self.bridge.runs_at = None;
        self.bridge.trouble = None;
    }

    /// Whether the position is gdb's; the person is told.
    pub(super) fn is_held(&mut self) -> bool {
        let is_held = self.bridge.has_position();
        if is_held {
            self.failure = Some(GDB_HAS_POSITION.to_owned());
        }
        is_held
    }
}
