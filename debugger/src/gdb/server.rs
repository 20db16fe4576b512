//! The server: what a client sends, and who answers it.

use super::packet::{Arrival, Framer, PACKET_BYTES_MAX, escape, frame, number};
use super::registers::target_xml;
use super::running::Aside;
use super::target::SessionTarget;
use super::threads::{MACHINE_PID, Threads};
use super::{Growth, Host, ServerOptions, View, files::OpenFiles};
use crate::session::{DebugSession, ThreadView};
use crate::stops::{Choice, Stop, Stops};
use gdbstub::conn::Connection;
use gdbstub::stub::state_machine::GdbStubStateMachine;
use gdbstub::stub::{GdbStubBuilder, MultiThreadStopReason};
use reprise_core::types::CpuId;
use reprise_recorder::timeline::{Executor, TimelineError, unhurried};
use std::collections::BTreeSet;
use std::convert::Infallible;

/// What gdbstub wrote.
#[derive(Debug, Default)]
pub(super) struct Outbox(Vec<u8>);

impl Connection for Outbox {
    type Error = Infallible;

    fn write(&mut self, byte: u8) -> Result<(), Infallible> {
        self.0.push(byte);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

type Stub = GdbStubStateMachine<'static, SessionTarget, Outbox>;

/// What a client has said that it understands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Client {
    pub(super) has_processes: bool,
    pub(super) has_exec_events: bool,
    pub(super) has_software_breaks: bool,
    pub(super) no_acks: bool,
    pub(super) is_lldb: bool,
    /// It catches system calls itself. gdb goes on by itself from one that it did not ask for.
    pub(super) has_system_calls: bool,
    /// How many threads of a list that takes several packets it has been told.
    pub(super) threads_told: usize,
}

/// A server for one client at a time. See the module's documentation.
pub struct GdbServer {
    pub(super) target: SessionTarget,
    stub: Option<Stub>,
    framer: Framer,
    output: Vec<u8>,
    last_sent: Vec<u8>,
    pub(super) client: Client,
    /// Process and thread of `Hg`, and thread of `Hc`.
    pub(super) general: (u32, u32),
    pub(super) resumed: Option<u32>,
    /// The thread that is stepped when nobody says which: gdb selects others for a moment, to set breakpoints for them.
    pub(super) focus: u32,
    /// The thread that the last stop was about.
    pub(super) stopped: (u32, u32),
    /// The thread that gdbstub was told last.
    told: Option<u32>,
    pub(super) last_stop: String,
    /// Long work that was put aside and that the client waits for.
    pub(super) aside: Option<Aside>,
    /// Where the last run stopped, until somebody asks.
    pub(super) stop: Option<Stop>,
    /// Processes that the client has let go.
    pub(super) detached: BTreeSet<u32>,
    pub(super) xml: String,
    is_closed: bool,
}

impl GdbServer {
    /// A server over a session. Searches are run by `executor`.
    #[must_use]
    pub fn new(
        session: DebugSession,
        options: ServerOptions,
        executor: Box<dyn Executor + Send>,
    ) -> Self {
        let cpu = session.machine().cpu(CpuId(0));
        let xml = target_xml(|csr| cpu.csr(csr).is_some());
        let target = SessionTarget {
            session,
            options,
            executor,
            threads: Threads::default(),
            files: OpenFiles::default(),
            stops: Stops::default(),
            action: None,
            is_locked: false,
            selected: MACHINE_PID,
        };
        let mut server = Self {
            target,
            stub: None,
            framer: Framer::new(),
            output: Vec::new(),
            last_sent: Vec::new(),
            client: Client::default(),
            general: (MACHINE_PID, MACHINE_PID),
            resumed: None,
            focus: MACHINE_PID,
            stopped: (MACHINE_PID, MACHINE_PID),
            told: None,
            last_stop: String::new(),
            aside: None,
            stop: None,
            detached: BTreeSet::new(),
            xml,
            is_closed: false,
        };
        server.welcome();
        server
    }

    /// Shows so many processes that are not there.
    #[cfg(feature = "testing")]
    pub fn pretend_processes(&mut self, count: u32) {
        self.target.threads.pretended = count;
        self.welcome();
    }

    /// The session.
    #[must_use]
    pub fn session(&self) -> &DebugSession {
        &self.target.session
    }

    /// The session, to look at or, while there is no client, to go elsewhere. A client is not told of that.
    pub fn session_mut(&mut self) -> &mut DebugSession {
        &mut self.target.session
    }

    /// Gives the session back.
    #[must_use]
    pub fn into_session(self) -> DebugSession {
        self.target.session
    }

    /// Makes ready for another client: what the last one set is gone, the position stays.
    pub fn welcome(&mut self) {
        self.stub = None;
        self.told = None;
        self.framer = Framer::new();
        self.output.clear();
        self.last_sent.clear();
        self.client = Client::default();
        self.detached.clear();
        self.is_closed = false;
        self.resumed = None;
        self.target.stops = Stops {
            signals: Choice::all(),
            ..Stops::default()
        };
        // Another client begins with the recording. It cannot fail but for a machine that cannot be made any more, which the
        // next run says.
        let _ = self.target.session.timeline_mut().return_to_recording();
        self.target.files = OpenFiles::default();
        self.target.action = None;
        self.aside = None;
        self.stop = None;
        self.target.threads.clear();
        let thread = self.stopped_thread(None);
        self.general = thread;
        self.stopped = thread;
        self.focus = thread.1;
        self.target.selected = thread.1;
        self.last_stop.clear();
    }

    /// Goes along with a recording that is being made, to its latest position.
    ///
    /// # Errors
    /// [`TimelineError`].
    pub fn follow(&mut self, growth: Growth) -> Result<(), TimelineError> {
        let timeline = self.target.session.timeline_mut();
        timeline.extend(growth.entries, growth.end)?;
        timeline.seek(growth.end, &mut unhurried)?;
        self.welcome();
        Ok(())
    }

    /// Whether the client has said goodbye.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// What is to be sent to the client.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Whether a run was put aside: nothing is received before [`GdbServer::go_on`] has brought it to its end.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.aside.is_some()
    }

    /// Why the session stands where the client's last run has brought it; told once for each run.
    pub fn take_stop(&mut self) -> Option<Stop> {
        self.stop.take()
    }

    /// Takes what the client has sent, and does what it asks. A run lasts until it stops, or until the host puts it aside.
    /// How many bytes were taken: all of them, unless a run is put aside.
    pub fn receive(&mut self, bytes: &[u8], host: &mut dyn Host) -> usize {
        for (number, byte) in bytes.iter().enumerate() {
            if self.is_closed {
                return bytes.len();
            }
            if self.aside.is_some() {
                return number;
            }
            match self.framer.push(*byte) {
                None => {}
                // Nothing runs, so there is nothing to break.
                Some(Arrival::Break) => {}
                // One that has not gone out yet cannot have been damaged on its way.
                Some(Arrival::Nack) if self.output.ends_with(&self.last_sent) => {}
                Some(Arrival::Nack) => self.output.extend_from_slice(&self.last_sent),
                Some(Arrival::Damaged) if self.client.no_acks => {}
                Some(Arrival::Damaged) => self.output.push(b'-'),
                Some(Arrival::TooLong) => {
                    self.acknowledge();
                    self.reply(b"E.the packet is longer than PacketSize");
                }
                Some(Arrival::Packet(packet)) => {
                    self.acknowledge();
                    self.answer(&packet, host);
                }
            }
        }
        bytes.len()
    }

    fn acknowledge(&mut self) {
        if !self.client.no_acks {
            self.output.push(b'+');
        }
    }

    /// Sends a packet.
    pub(super) fn reply(&mut self, content: &[u8]) {
        self.last_sent = frame(content);
        self.output.extend_from_slice(&self.last_sent);
    }

    pub(super) fn reply_text(&mut self, content: &str) {
        self.reply(&escape(content.as_bytes()));
    }

    /// Sends a line to the client's console. Only while it waits for a run to stop.
    pub(super) fn print(&mut self, text: &str) {
        // Names and arguments come from the guest: what a terminal would obey is shown instead.
        let shown: String = text
            .chars()
            .map(|letter| {
                if letter.is_control() && letter != '\t' {
                    '?'
                } else {
                    letter
                }
            })
            .collect();
        let line = format!("O{}", super::packet::hex(format!("{shown}\n").as_bytes()));
        self.reply(line.as_bytes());
    }

    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    pub(super) fn set_no_acks(&mut self) {
        self.client.no_acks = true;
    }

    pub(super) fn answer(&mut self, packet: &[u8], host: &mut dyn Host) {
        if self.answer_here(packet, host) {
            return;
        }
        let thread = match packet {
            [b'b', ..] | [b'v', b'C', ..] => self.resumed.unwrap_or(self.focus),
            [b'g' | b'G' | b'p' | b'P', ..] => {
                self.focus = self.general.1;
                self.general.1
            }
            _ => self.general.1,
        };
        // Among gdbstub's packets, those for running name threads with their processes.
        let without_processes;
        let packet = if packet.starts_with(b"vCont;") {
            without_processes = without_processes_of(packet, thread);
            &without_processes
        } else {
            packet
        };
        if self.told != Some(thread) {
            self.told = Some(thread);
            self.ask(format!("Hg{thread:x}").as_bytes());
            self.ask(format!("Hc{thread:x}").as_bytes());
        }
        self.target.action = None;
        let replies = self.ask(packet);
        let is_running = self.target.action.is_some();
        for reply in replies {
            self.reply(&reply);
        }
        if is_running {
            self.run_action(host);
        }
    }

    /// Hands a packet to gdbstub. What it answers, without frames.
    fn ask(&mut self, packet: &[u8]) -> Vec<Vec<u8>> {
        let Some(mut stub) = self.stub.take().or_else(|| self.new_stub()) else {
            return vec![b"E.the server cannot go on".to_vec()];
        };
        for byte in frame(packet) {
            let next = match stub {
                GdbStubStateMachine::Idle(inner) => inner.incoming_data(&mut self.target, byte),
                GdbStubStateMachine::Running(inner) => inner.incoming_data(&mut self.target, byte),
                other => Ok(other),
            };
            match next {
                Ok(next) => stub = next,
                Err(_) => {
                    // An error uses gdbstub's state machine up; the next packet makes another.
                    self.told = None;
                    self.target.action = None;
                    return vec![b"E01".to_vec()];
                }
            }
        }
        let replies = replies_in(&mut stub);
        if !matches!(stub, GdbStubStateMachine::Disconnected(_)) {
            self.stub = Some(stub);
        }
        replies
    }

    fn new_stub(&mut self) -> Option<Stub> {
        let stub = GdbStubBuilder::new(Outbox::default())
            .packet_buffer_size(PACKET_BYTES_MAX + 16)
            .build()
            .ok()?;
        stub.run_state_machine(&mut self.target).ok()
    }

    /// Brings gdbstub out of its running state; what it says of the stop is said better here.
    pub(super) fn settle_stub(&mut self) {
        self.stub = match self.stub.take() {
            Some(GdbStubStateMachine::Running(inner)) => {
                let reason: MultiThreadStopReason<u64> = MultiThreadStopReason::DoneStep;
                let mut stub = inner.report_stop(&mut self.target, reason).ok();
                if let Some(stub) = &mut stub {
                    replies_in(stub);
                }
                stub
            }
            other => other,
        };
    }

    /// Process and thread to show at a stop: `wanted` if it is there, else who runs, else who was shown last.
    pub(super) fn stopped_thread(&mut self, wanted: Option<u32>) -> (u32, u32) {
        let current = match self.target.options.view {
            View::Machine => None,
            View::Processes => self.target.session.current().map(|task| task.tid),
        };
        let selected = Some(self.target.selected);
        for tid in [wanted, current, selected].into_iter().flatten() {
            if let Some(thread) = self.target.thread(tid)
                && !self.detached.contains(&thread.pid)
                && thread.view != ThreadView::Elsewhere
            {
                return (thread.pid, thread.tid);
            }
        }
        let first = self.target.threads.all().first();
        first.map_or((MACHINE_PID, MACHINE_PID), |thread| {
            (thread.pid, thread.tid)
        })
    }

    /// A thread as the client writes it.
    pub(super) fn thread_id(&self, (pid, tid): (u32, u32)) -> String {
        if self.client.has_processes {
            format!("p{pid:x}.{tid:x}")
        } else {
            format!("{tid:x}")
        }
    }
}

/// The packets in what gdbstub wrote.
fn replies_in(stub: &mut Stub) -> Vec<Vec<u8>> {
    let outbox = match stub {
        GdbStubStateMachine::Idle(inner) => inner.borrow_conn(),
        GdbStubStateMachine::Running(inner) => inner.borrow_conn(),
        GdbStubStateMachine::CtrlCInterrupt(inner) => inner.borrow_conn(),
        GdbStubStateMachine::Disconnected(inner) => inner.borrow_conn(),
    };
    let mut replies = Vec::new();
    let mut rest = std::mem::take(&mut outbox.0);
    while let Some(from) = rest.iter().position(|byte| *byte == b'$') {
        let Some(length) = rest[from..].iter().position(|byte| *byte == b'#') else {
            break;
        };
        replies.push(rest[from + 1..from + length].to_vec());
        rest.drain(..(from + length + 3).min(rest.len()));
    }
    replies
}

/// A thread as clients write it: `p` and a process, a thread, or both; -1 for all, 0 for any.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ThreadName {
    pub(super) pid: Option<i64>,
    pub(super) tid: i64,
}

impl ThreadName {
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let one = |text: &[u8]| match text {
            b"-1" => Some(-1),
            _ => i64::try_from(number(text)?).ok(),
        };
        let Some(rest) = text.strip_prefix(b"p") else {
            return Some(Self {
                pid: None,
                tid: one(text)?,
            });
        };
        let mut parts = rest.splitn(2, |byte| *byte == b'.');
        let pid = one(parts.next()?)?;
        let tid = parts.next().map_or(Some(-1), one)?;
        Some(Self {
            pid: Some(pid),
            tid,
        })
    }
}

/// `vCont` without processes: the threads' numbers say all. A step is that of one thread: of `selected` when the client
/// means any, or all.
fn without_processes_of(packet: &[u8], selected: u32) -> Vec<u8> {
    let mut parts = Vec::new();
    for part in packet.split(|byte| *byte == b';') {
        let mut halves = part.splitn(2, |byte| *byte == b':');
        let action = halves.next().unwrap_or_default();
        let name = halves.next();
        let thread = match (name.map(ThreadName::parse), action.first()) {
            // What is no thread is gdbstub's to refuse.
            (Some(None), _) => None,
            (Some(Some(ThreadName { tid, .. })), _) if tid > 0 => Some(format!("{tid:x}")),
            (_, Some(b's' | b'S' | b'r')) => Some(format!("{selected:x}")),
            (Some(_), _) => Some("-1".to_owned()),
            (None, _) => None,
        };
        parts.push(match thread {
            Some(thread) => [action, b":", thread.as_bytes()].concat(),
            None => part.to_vec(),
        });
    }
    parts.join(&b';')
}
