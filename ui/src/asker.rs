//! Requests that are under way at an engine, and what they are for.

use crate::link::Link;
use reprise_worker::protocol::{Command, Message, Request, RequestId};
use std::collections::BTreeMap;

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// Opens or boots.
    Open,
    /// Goes through the recording.
    Index,
    /// Goes to a place.
    Seek,
    /// Steps or runs.
    Move,
    /// Stops a live machine.
    Pause,
    /// Lets a live machine go on.
    Resume,
    /// The trace, for the engine that reads it through.
    SaveForIndex,
    /// The trace, for links, when the engine that reads it through has it.
    SaveForLink,
    /// The trace, for a file.
    SaveForFile,
    /// What the guest has changed in its workspace, for a file.
    SaveFiles,
    /// Makes the past of a machine that has stopped by itself visitable.
    Halt,
    /// What runs stop at.
    Stops,
    /// Everything that a stop would stop at.
    Hits,
    /// Looks at something.
    Look,
    /// Something small whose end nobody waits for.
    Small,
    /// Carries bytes of gdb's or of a trace, of which nothing is seen.
    Relay,
}

impl Purpose {
    /// The engine is not to be asked to go elsewhere meanwhile.
    pub(crate) fn is_long(self) -> bool {
        !matches!(
            self,
            Purpose::Small | Purpose::Relay | Purpose::Look | Purpose::Stops
        )
    }

    /// The position is about to be another.
    pub(crate) fn moves(self) -> bool {
        matches!(
            self,
            Purpose::Open
                | Purpose::Seek
                | Purpose::Move
                | Purpose::Pause
                | Purpose::Halt
                | Purpose::Resume
                | Purpose::Hits
        )
    }
}

/// How far something is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Progress {
    pub(crate) id: RequestId,
    pub(crate) what: String,
    pub(crate) done: u64,
    pub(crate) total: u64,
}

impl Progress {
    /// How far a trace has come, in bytes.
    pub(crate) fn of_arrival((done, total): (u64, u64)) -> Progress {
        Progress {
            id: 0,
            what: "receiving".to_owned(),
            done,
            total,
        }
    }

    /// In words, with a share where that is known.
    pub(crate) fn words(&self) -> String {
        match self.share() {
            Some(share) => format!("{}: {:.0} %", self.what, share * 100.0),
            None if self.done > 0 => format!("{}: {}", self.what, crate::words::count(self.done)),
            None => self.what.clone(),
        }
    }

    /// From 0 to 1.
    pub(crate) fn share(&self) -> Option<f32> {
        (self.total > 0).then(|| (self.done as f64 / self.total as f64).clamp(0.0, 1.0) as f32)
    }
}

/// An engine with what it has been asked for.
pub(crate) struct Asker {
    link: Box<dyn Link>,
    last: RequestId,
    waiting: BTreeMap<RequestId, Purpose>,
    progress: Option<Progress>,
    /// The request by which the engine leaves what it had. What it says before it has done so is about that.
    leaving: Option<RequestId>,
}

impl Asker {
    pub(crate) fn new(link: Box<dyn Link>) -> Asker {
        Asker {
            link,
            last: 0,
            waiting: BTreeMap::new(),
            progress: None,
            leaving: None,
        }
    }

    pub(crate) fn ask(&mut self, command: Command, purpose: Purpose) -> RequestId {
        self.last = self.last.wrapping_add(1);
        self.waiting.insert(self.last, purpose);
        self.link.send(Request {
            id: self.last,
            command,
        });
        self.last
    }

    /// What has been said, with the purpose of the request that it ends.
    pub(crate) fn poll(&mut self) -> Vec<(Message, Option<Purpose>)> {
        let messages = self.link.poll().into_iter();
        messages
            .filter_map(|message| {
                let is_left = matches!(message, Message::Done { id } if Some(id) == self.leaving);
                let noted = self.note(message);
                if is_left {
                    self.leaving = None;
                    return None;
                }
                self.leaving.is_none().then_some(noted)
            })
            .collect()
    }

    /// Leaves what the engine has open, and whatever is under way with it: nothing more is heard of that.
    pub(crate) fn leave(&mut self) {
        // An engine that was asked for nothing has nothing to say.
        if self.last > 0 {
            self.cancel();
            self.leaving = Some(self.ask(Command::Close, Purpose::Small));
            self.progress = None;
        }
    }

    fn note(&mut self, message: Message) -> (Message, Option<Purpose>) {
        let purpose = match &message {
            Message::Done { id } | Message::Failed { id, .. } => {
                if self
                    .progress
                    .as_ref()
                    .is_some_and(|progress| progress.id == *id)
                {
                    self.progress = None;
                }
                self.waiting.remove(id)
            }
            Message::Trace { id, .. }
            | Message::Files { id, .. }
            | Message::Hits { id, .. }
            | Message::Position(reprise_worker::protocol::Position { id, .. }) => {
                self.waiting.get(id).copied()
            }
            Message::Progress {
                id,
                what,
                done,
                total,
            } => {
                self.progress = Some(Progress {
                    id: *id,
                    what: what.clone(),
                    done: *done,
                    total: *total,
                });
                None
            }
            _ => None,
        };
        (message, purpose)
    }

    pub(crate) fn progress(&self) -> Option<&Progress> {
        self.progress.as_ref()
    }

    /// Something is under way that a person may want to stop.
    pub(crate) fn is_busy(&self) -> bool {
        self.waiting.values().any(|purpose| purpose.is_long())
    }

    pub(crate) fn is_moving(&self) -> bool {
        self.waiting.values().any(|purpose| purpose.moves())
    }

    pub(crate) fn is_under_way(&self, purpose: Purpose) -> bool {
        self.waiting.values().any(|other| *other == purpose)
    }

    /// Why the engine has ended by itself, if it has.
    pub(crate) fn end(&mut self) -> Option<String> {
        self.link.end()
    }

    /// Ends what is under way.
    pub(crate) fn cancel(&mut self) {
        if self.is_busy() {
            self.ask(Command::Cancel, Purpose::Small);
        }
    }
}
