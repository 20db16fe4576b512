//! A gdb that debugs what is open, over the session's own position.

use super::{Engine, Refusal, Subject, Work, because, session_of, words};
use crate::protocol::{Command, GDB_BYTES_MAX, Message};
use reprise_core::types::Icount;
use reprise_debugger::gdb::{BreakFinder, GdbServer, Host, ServerOptions, View};
use reprise_debugger::session::DebugSession;
use reprise_recorder::timeline::SerialExecutor;

/// What may wait for an answer. gdb waits itself before it says more; while something runs, it says one byte.
const WAITING_BYTES_MAX: usize = 1 << 20;

/// Why a gdb is let go that sends more.
pub(super) const GDB_SENDS_TOO_MUCH: &str = "gdb sends more than it waits for answers to";

/// Bytes of gdb's that are answered in a slice: what they ask for may be much longer.
const ANSWERED_BYTES: usize = 512;

/// A gdb that is attached.
#[derive(Debug, Default)]
pub(super) struct Gdb {
    /// What it has sent and has not been answered yet.
    waiting: Vec<u8>,
    /// The person wants its run to stop.
    is_stop_wanted: bool,
    /// The position that the page was told last.
    told: Told,
}

/// A position, as far as the page can tell two apart.
type Told = (Icount, Option<Icount>);

/// Puts each run aside as soon as it is asked: the engine looks for something else to do, and goes on.
struct Sliced<'a> {
    waiting: &'a [u8],
    is_stop_wanted: bool,
    /// Place of the break that was found.
    break_at: Option<usize>,
}

impl Host for Sliced<'_> {
    fn is_break_wanted(&mut self) -> bool {
        if self.break_at.is_none() {
            // What waits behind a run begins between two packets.
            let mut finder = BreakFinder::default();
            self.break_at = (self.waiting.iter()).position(|byte| finder.is_break_at(*byte));
        }
        self.is_stop_wanted || self.break_at.is_some()
    }

    fn is_slice_over(&mut self) -> bool {
        true
    }
}

/// Looks at a session, and serves a gdb when one comes.
pub(super) fn server(session: DebugSession) -> GdbServer {
    let view = View::Processes;
    GdbServer::new(session, ServerOptions { view }, Box::new(SerialExecutor))
}

fn server_of(subject: &mut Subject) -> Option<&mut GdbServer> {
    match subject {
        Subject::Trace(opened) => Some(&mut opened.server),
        Subject::Live(live) => live.server(),
        Subject::Nothing => None,
    }
}

fn place_of(server: &GdbServer) -> Told {
    let timeline = server.session().timeline();
    (timeline.position(), timeline.diverged_at())
}

impl Engine {
    /// A gdb comes: what the person had under way ends. Whether it can be attached soon, since it does not wait for long: not
    /// while a recording is opened or gone through.
    pub(super) fn makes_way_for_gdb(&mut self) -> bool {
        match self.work {
            None => true,
            Some((_, Work::Travel(_) | Work::Hits(_) | Work::Files(_))) => {
                self.is_cancelled = true;
                true
            }
            Some((_, Work::Opening(_) | Work::Index(_))) => false,
        }
    }

    pub(super) fn attach_gdb(&mut self) -> Result<(), Refusal> {
        if self.gdb.is_some() {
            return Err(because("another gdb is attached"));
        }
        // Says why there is nothing to debug, if so.
        session_of(&mut self.subject)?;
        let server = server_of(&mut self.subject).ok_or_else(|| because("nothing is open"))?;
        server.welcome();
        self.gdb = Some(Gdb {
            told: place_of(server),
            ..Gdb::default()
        });
        Ok(())
    }

    /// Whether what gdb sends is taken at once: nothing that it has sent before still waits for its turn.
    pub(super) fn hears_gdb(&self) -> bool {
        let is_bytes = |command: &Command| matches!(command, Command::GdbBytes(_));
        let waits = self.requests.iter().any(|other| is_bytes(&other.command));
        self.gdb.is_some() && !waits
    }

    /// Whether this many bytes more than wait in requests are more than may wait.
    pub(super) fn is_too_much_of_gdb(&self, byte_len: usize) -> bool {
        let waiting = self.requests.iter().map(|request| match &request.command {
            Command::GdbBytes(bytes) => bytes.len(),
            _ => 0,
        });
        waiting.sum::<usize>() + byte_len > WAITING_BYTES_MAX
    }

    pub(super) fn hear_gdb(&mut self, bytes: &[u8]) {
        let Some(gdb) = &mut self.gdb else { return };
        if gdb.waiting.len() + bytes.len() > WAITING_BYTES_MAX {
            self.end_gdb(Some(GDB_SENDS_TOO_MUCH));
            return;
        }
        gdb.waiting.extend_from_slice(bytes);
        // If it is a break it is heard, also where the run waits for a part of a disk.
        if self.gdb_runs() {
            self.library.stop_awaiting();
        }
    }

    /// Stops a run of gdb's, which gdb hears.
    pub(super) fn break_gdb(&mut self) {
        let runs = self.gdb_runs();
        if let Some(gdb) = &mut self.gdb {
            gdb.is_stop_wanted |= runs;
        }
        if runs {
            self.library.stop_awaiting();
        }
    }

    /// gdb has gone, or does not come after all.
    pub(super) fn detach_gdb(&mut self) {
        let is_attach = |command: &Command| *command == Command::AttachGdb;
        let at = (self.requests.iter()).position(|request| is_attach(&request.command));
        if let Some(request) = at.and_then(|at| self.requests.remove(at)) {
            self.refuse(request.id, Refusal::Cancelled);
        }
        self.let_gdb_go();
    }

    /// Ends the connection from here, and says so.
    pub(super) fn end_gdb(&mut self, reason: Option<&str>) {
        if self.gdb.is_none() {
            return;
        }
        self.let_gdb_go();
        self.messages.push_back(Message::GdbGone {
            reason: reason.map(str::to_owned),
        });
    }

    fn let_gdb_go(&mut self) {
        let Some(gdb) = self.gdb.take() else { return };
        let Some(server) = server_of(&mut self.subject) else {
            return;
        };
        // Breakpoints go, and a diversion: the page is about the recording.
        server.welcome();
        if place_of(server) != gdb.told {
            self.tell_position(0, Vec::new(), Vec::new(), false);
        }
    }

    pub(super) fn gdb_runs(&mut self) -> bool {
        self.gdb.is_some() && server_of(&mut self.subject).is_some_and(|server| server.is_running())
    }

    /// Goes on with gdb's run for a slice.
    pub(super) fn run_gdb_on(&mut self) {
        self.with_gdb(|server, host, _| {
            server.go_on(host);
            0
        });
    }

    /// Answers some of what gdb has sent. Whether there was something.
    pub(super) fn answer_gdb(&mut self) -> bool {
        if self.gdb.as_ref().is_none_or(|gdb| gdb.waiting.is_empty()) {
            return false;
        }
        self.with_gdb(|server, host, waiting| {
            server.receive(&waiting[..waiting.len().min(ANSWERED_BYTES)], host)
        });
        true
    }

    /// Lets the server do something, which answers how much of what waits it has taken, and says what came of it.
    fn with_gdb(&mut self, action: impl FnOnce(&mut GdbServer, &mut Sliced<'_>, &[u8]) -> usize) {
        let is_arriving = self.arrival().is_some();
        let Some(server) = server_of(&mut self.subject) else {
            return;
        };
        let Some(gdb) = &mut self.gdb else { return };
        let was_running = server.is_running();
        let mut host = Sliced {
            // What is about to be answered comes before any run.
            waiting: if was_running { &gdb.waiting } else { &[] },
            is_stop_wanted: std::mem::take(&mut gdb.is_stop_wanted),
            break_at: None,
        };
        let taken = action(server, &mut host, &gdb.waiting);
        let break_at = host.break_at;
        // A break is heard once; what the server takes, it takes from the front.
        if let Some(at) = break_at.filter(|_| !server.is_running()) {
            gdb.waiting.remove(at);
        }
        gdb.waiting.drain(..taken);
        for piece in server.take_output().chunks(GDB_BYTES_MAX) {
            self.messages.push_back(Message::GdbBytes(piece.to_vec()));
        }
        if server.is_closed() {
            self.end_gdb(None);
            return;
        }
        let place = place_of(server);
        if server.is_running() {
            self.messages
                .push_back(Message::GdbRuns { icount: place.0.0 });
            return;
        }
        let stop = server.take_stop();
        if was_running || stop.is_some() || place != gdb.told {
            gdb.told = place;
            let reasons = |stop| words::reasons(stop, &self.stops, is_arriving);
            let mut reasons = stop.as_ref().map(reasons).unwrap_or_default();
            reasons.extend(
                place
                    .1
                    .map(|fork| format!("a diversion of gdb's from {fork}")),
            );
            let is_at_edge = stop.is_some_and(|stop| stop.edge.is_some());
            self.tell_position(0, reasons, Vec::new(), is_at_edge);
        }
    }
}
