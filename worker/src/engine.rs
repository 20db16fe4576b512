//! The engine: carries out requests a slice at a time.
//!
//! Whoever hosts it hands in requests ([`Engine::receive`]), lets it work ([`Engine::turn`]), takes what it says
//! ([`Engine::take_message`]) and fetches what it wants ([`Engine::take_want`]), and what the guest of a live machine
//! wants ([`Engine::take_fetch`]).

mod arrival;
mod code;
mod fetched;
mod files;
mod gdb;
mod index;
mod lazy;
mod library;
mod live;
mod look;
mod machine;
mod network;
mod open;
mod save;
mod signal;
mod stops;
mod travel;
mod words;
mod workspace;

use crate::protocol::{
    Command, GDB_HAS_POSITION, Message, Position, Request, RequestId, StopPoint, Supply,
    TraceSource, Want,
};
use arrival::Arrival;
use files::FilesWork;
use gdb::{GDB_SENDS_TOO_MUCH, Gdb};
use index::IndexWork;
use library::Library;
use live::Live;
use open::{Opened, Opening};
use reprise_core::types::Icount;
use reprise_debugger::session::DebugSession;
use reprise_host::network::web::FetchId;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::Duration;
use stops::Understood;
use travel::Travel;

/// How long a turn works before it looks whether there is something else to do.
const TURN: Duration = Duration::from_millis(12);

/// Why a request could not be carried out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// One sentence for the person.
    Because(String),
    /// Somebody asked for it.
    Cancelled,
}

impl<E: std::error::Error> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Because(error.to_string())
    }
}

impl Refusal {
    /// In words.
    fn sentence(self) -> String {
        match self {
            Self::Because(message) => message,
            Self::Cancelled => "stopped".to_owned(),
        }
    }
}

/// A refusal for this reason.
pub(crate) fn because(reason: impl Into<String>) -> Refusal {
    Refusal::Because(reason.into())
}

/// What a turn leaves to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Turn again, at once.
    Now,
    /// Turn again at this wall time, or when there is a request.
    At(Duration),
    /// Nothing to do before there is a request or a supply.
    Later,
}

/// What is open.
enum Subject {
    Nothing,
    /// A machine that is being recorded; its past, while that is looked at.
    Live(Box<Live>),
    /// A trace.
    Trace(Box<Opened>),
}

/// Work that takes more than a turn.
enum Work {
    Opening(Opening),
    Travel(Travel),
    Index(Box<IndexWork>),
    Hits(travel::HitSearch),
    Files(Box<FilesWork>),
}

impl Work {
    /// The same, to be done again if a slice of it fails; `None` for what goes on by itself where it failed.
    fn repeatable(&self) -> Option<Self> {
        match self {
            Self::Travel(travel) => Some(Self::Travel(travel.clone())),
            Self::Hits(search) => Some(Self::Hits(search.clone())),
            Self::Opening(_) | Self::Index(_) | Self::Files(_) => None,
        }
    }
}

/// Records, replays and looks. See the module's documentation.
pub struct Engine {
    requests: VecDeque<Request>,
    messages: VecDeque<Message>,
    library: Library,
    subject: Subject,
    work: Option<(RequestId, Work)>,
    stops: Vec<Understood>,
    is_cancelled: bool,
    gdb: Option<Gdb>,
    /// Where the session has to stand before the work goes on: a slice of it is done again.
    return_to: Option<Icount>,
    /// What has come of a trace whose opening has not begun.
    early: Arrival,
    /// Traces that were fetched.
    fetch_count: u32,
    /// The last of those that guests of live machines have wanted.
    last_fetch: FetchId,
    /// Those that nobody wants any more, since their machine is gone.
    aborts: VecDeque<FetchId>,
}

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

impl Engine {
    /// An engine with nothing open.
    #[must_use]
    pub fn new() -> Self {
        Self {
            requests: VecDeque::new(),
            messages: VecDeque::new(),
            library: Library::default(),
            subject: Subject::Nothing,
            work: None,
            stops: Vec::new(),
            is_cancelled: false,
            gdb: None,
            return_to: None,
            early: Arrival::relayed(),
            fetch_count: 0,
            last_fetch: FetchId(0),
            aborts: VecDeque::new(),
        }
    }

    /// Takes a request.
    pub fn receive(&mut self, request: Request) {
        match request.command {
            Command::Cancel => {
                self.is_cancelled |= self.work.is_some();
                // What has not begun yet is not begun.
                let queued = std::mem::take(&mut self.requests);
                let (ended, kept): (Vec<_>, Vec<_>) = queued
                    .into_iter()
                    .partition(|queued| is_long(&queued.command));
                self.requests.extend(kept);
                for Request { id, .. } in ended {
                    self.refuse(id, Refusal::Cancelled);
                }
                self.break_gdb();
                self.done(request.id);
            }
            Command::DetachGdb => {
                self.detach_gdb();
                self.done(request.id);
            }
            // What is heard at once can stop a run.
            Command::GdbBytes(bytes) if self.hears_gdb() => {
                self.hear_gdb(&bytes);
                self.done(request.id);
            }
            // It has to wait for its turn, and there is no end to what may be sent meanwhile.
            Command::GdbBytes(bytes) if self.is_too_much_of_gdb(bytes.len()) => {
                self.end_gdb(Some(GDB_SENDS_TOO_MUCH));
                self.refuse(request.id, because(GDB_SENDS_TOO_MUCH));
            }
            Command::AttachGdb if !self.makes_way_for_gdb() => {
                let why = "the recording is still being opened: try again in a moment";
                self.refuse(request.id, because(why));
            }
            Command::TracePart { bytes, is_last } => {
                if let Some(arrival) = self.relayed_arrival() {
                    arrival.add(&bytes);
                    if is_last {
                        arrival.end(Ok(()));
                    }
                }
                self.done(request.id);
            }
            command => {
                if leaves(&command) {
                    // What it leaves need not wait for what it lacks.
                    self.library.stop_awaiting();
                    if let Some(arrival) = self.arrival().filter(|arrival| arrival.is_relayed()) {
                        arrival.end(Err("the page has left it".to_owned()));
                    }
                    self.early = Arrival::relayed();
                }
                self.requests.push_back(Request { command, ..request });
            }
        }
    }

    /// The next thing that has to be fetched.
    pub fn take_want(&mut self) -> Option<Want> {
        self.library.take_want()
    }

    /// Hands in what was wanted, or says why it cannot be had. Of a trace, what has not been handed in by
    /// [`Engine::supply_part`].
    pub fn supply(&mut self, want: &Want, supply: Supply) {
        if !matches!(want, Want::Trace { .. }) {
            self.library.supply(want, supply);
        } else if let Some(arrival) = self.fetched_arrival(want) {
            if let Ok(bytes) = &supply {
                arrival.add(bytes);
            }
            arrival.end(supply.map(drop));
        }
    }

    /// Hands in the next bytes of a trace that was wanted; more follow. False if nobody wants it any more.
    pub fn supply_part(&mut self, want: &Want, bytes: &[u8]) -> bool {
        let arrival = self.fetched_arrival(want);
        arrival.map(|arrival| arrival.add(bytes)).is_some()
    }

    /// Whether bytes are what is wanted, as far as that can be told: an image by its hash.
    #[must_use]
    pub fn admits(&self, want: &Want, bytes: &[u8]) -> bool {
        self.library.admits(want, bytes)
    }

    /// Says how far a fetch is, in bytes.
    pub fn fetched(&mut self, want: &Want, done: u64, total: u64) {
        if let Some(arrival) = self.fetched_arrival(want) {
            arrival.expect(total);
        } else if matches!(want, Want::Trace { .. }) {
            return;
        }
        let Some((id, work)) = &self.work else {
            return;
        };
        if !matches!(work, Work::Opening(_)) && !self.library.is_awaited(want) {
            return;
        }
        let what = match want {
            Want::ImageTree { name, .. } | Want::ImagePart { name, .. } => {
                format!("reading {name}")
            }
            Want::Image { name, .. } => format!("fetching {name}"),
            Want::Guest => "fetching the guest".to_owned(),
            Want::Container { .. } => "fetching the container".to_owned(),
            Want::Folder { .. } => "looking at the folder".to_owned(),
            Want::FilePart { .. } => return,
            Want::Trace { .. } => "fetching the trace".to_owned(),
        };
        self.messages.push_back(Message::Progress {
            id: *id,
            what,
            done,
            total,
        });
    }

    /// What the engine has to say next.
    pub fn take_message(&mut self) -> Option<Message> {
        self.messages.pop_front()
    }

    /// Works for some ten milliseconds. `clock` tells wall time since any fixed instant.
    pub fn turn(&mut self, clock: &mut dyn FnMut() -> Duration) -> Next {
        let began = clock();
        let mut next = self.slice(began);
        while next == Next::Now && clock().saturating_sub(began) < TURN {
            next = self.slice(clock());
        }
        next
    }

    fn slice(&mut self, wall: Duration) -> Next {
        let reads_on = match &mut self.subject {
            Subject::Trace(opened) => opened.read_on(&mut self.messages),
            Subject::Live(_) | Subject::Nothing => false,
        };
        match self.work_or_answer(wall) {
            Next::At(_) | Next::Later if reads_on => Next::Now,
            next => next,
        }
    }

    /// The trace of which more may come.
    fn arrival(&mut self) -> Option<&mut Arrival> {
        if let Some((_, Work::Opening(opening))) = &mut self.work {
            return opening.arrival();
        }
        match &mut self.subject {
            Subject::Trace(opened) => opened.arrival.as_deref_mut(),
            Subject::Live(_) | Subject::Nothing => None,
        }
    }

    /// The trace that a want is about.
    fn fetched_arrival(&mut self, want: &Want) -> Option<&mut Arrival> {
        self.arrival()
            .filter(|arrival| arrival.want() == Some(want))
    }

    /// The trace of which the page sends parts: the one that it has asked for last.
    fn relayed_arrival(&mut self) -> Option<&mut Arrival> {
        let queued = self.requests.iter().rev();
        let mut left = queued.filter(|request| leaves(&request.command));
        match left.next().map(|request| &request.command) {
            Some(Command::Open(TraceSource::Parts)) => Some(&mut self.early),
            Some(_) => None,
            None => self.arrival().filter(|arrival| arrival.is_relayed()),
        }
    }

    fn work_or_answer(&mut self, wall: Duration) -> Next {
        match self.library.awaits() {
            Ok(true) if self.is_cancelled => self.library.stop_awaiting(),
            // A machine that is recorded is told what is typed meanwhile, and can be paused.
            Ok(true) if self.work.is_none() && self.is_stalled() && !self.requests.is_empty() => {}
            Ok(true) => return Next::Later,
            Ok(false) => {}
            Err(refusal) => {
                self.give_up(refusal);
                return Next::Now;
            }
        }
        if self.work.is_some() {
            return self.work_on(wall);
        }
        if self.gdb_runs() {
            self.run_gdb_on();
            self.library.has_missed();
            return Next::Now;
        }
        if let Some(Request { id, command }) = self.requests.pop_front() {
            match self.carry_out(id, command, wall) {
                Ok(Some(work)) => self.work = Some((id, work)),
                Ok(None) => self.done(id),
                Err(refusal) => self.refuse(id, refusal),
            }
            return Next::Now;
        }
        if self.answer_gdb() {
            self.library.has_missed();
            return Next::Now;
        }
        self.record_on(wall)
    }

    /// Where the session stands, if there is one.
    fn place(&mut self) -> Option<Icount> {
        let session = session_of(&mut self.subject).ok()?;
        Some(session.timeline().position())
    }

    /// Brings the session back to where a slice began that is done again. Whether it is there: it may have to wait for a
    /// part of a disk that has been forgotten meanwhile.
    fn has_returned(&mut self) -> Result<bool, Refusal> {
        let (Some(to), Ok(session)) = (self.return_to, session_of(&mut self.subject)) else {
            return Ok(true);
        };
        let sought = session
            .timeline_mut()
            .seek(to, &mut |_| ControlFlow::Continue(()));
        if sought.is_err() && self.library.has_missed() {
            return Ok(false);
        }
        self.return_to = None;
        sought.map(|_| true).map_err(Refusal::from)
    }

    /// Whether a machine is recorded that waits for bytes of its disk.
    fn is_stalled(&self) -> bool {
        matches!(&self.subject, Subject::Live(live) if live.is_stalled())
    }

    /// What is awaited cannot be had: whoever waits for it is told.
    fn give_up(&mut self, refusal: Refusal) {
        self.return_to = None;
        // Whoever has asked for the end of what waits has it.
        self.is_cancelled = false;
        if let Some((id, _)) = self.work.take() {
            self.tell_position(id, Vec::new(), Vec::new(), false);
            self.refuse(id, refusal);
        } else if let Subject::Live(live) = &mut self.subject
            && live.is_stalled()
        {
            live.lose(&refusal.sentence(), &mut self.messages);
        } else {
            self.end_gdb(Some(&refusal.sentence()));
        }
    }

    fn done(&mut self, id: RequestId) {
        self.messages.push_back(Message::Done { id });
    }

    fn refuse(&mut self, id: RequestId, refusal: Refusal) {
        let is_cancelled = refusal == Refusal::Cancelled;
        self.messages.push_back(Message::Failed {
            id,
            message: refusal.sentence(),
            is_cancelled,
        });
    }

    /// Records on where a machine is live.
    fn record_on(&mut self, wall: Duration) -> Next {
        let Subject::Live(live) = &mut self.subject else {
            return Next::Later;
        };
        let next = live.record_on(wall, &mut self.library, &mut self.messages);
        // It goes on where it is, when the part that it reads has come.
        if live.is_stalled() && !self.library.has_missed() {
            live.lose("a disk cannot be read", &mut self.messages);
        }
        next
    }

    fn work_on(&mut self, wall: Duration) -> Next {
        let Some((id, mut work)) = self.work.take() else {
            return Next::Now;
        };
        if std::mem::take(&mut self.is_cancelled) {
            self.return_to = None;
            self.tell_position(id, Vec::new(), Vec::new(), false);
            self.refuse(id, Refusal::Cancelled);
            return Next::Now;
        }
        match self.has_returned() {
            Ok(true) => {}
            Ok(false) => {
                self.work = Some((id, work));
                return Next::Now;
            }
            Err(refusal) => {
                self.tell_position(id, Vec::new(), Vec::new(), false);
                self.refuse(id, refusal);
                return Next::Now;
            }
        }
        let before = if self.library.is_lazy() {
            work.repeatable().map(|work| (work, self.place()))
        } else {
            None
        };
        let progress = self.work_slice(id, &mut work, wall);
        let has_missed = self.library.has_missed();
        match progress {
            Err(_) if has_missed => {
                let (work, from) = before.unwrap_or((work, None));
                self.return_to = from;
                self.work = Some((id, work));
            }
            Ok(Progress::Done) => self.done(id),
            Ok(Progress::More) => {
                self.work = Some((id, work));
            }
            Ok(Progress::Waits) => {
                self.work = Some((id, work));
                return Next::Later;
            }
            Err(refusal) => {
                if !matches!(work, Work::Opening(_)) {
                    self.tell_position(id, Vec::new(), Vec::new(), false);
                }
                self.refuse(id, refusal);
            }
        }
        Next::Now
    }

    fn work_slice(
        &mut self,
        id: RequestId,
        work: &mut Work,
        wall: Duration,
    ) -> Result<Progress, Refusal> {
        match work {
            Work::Opening(opening) => self.open_on(id, opening, wall),
            Work::Travel(travel) => self.travel_on(id, travel),
            Work::Hits(search) => self.search_on(id, search),
            Work::Files(files) => self.save_files_on(id, files),
            Work::Index(index) => {
                let Subject::Trace(opened) = &mut self.subject else {
                    return Err(because("nothing is open"));
                };
                index.slice(id, opened, &mut self.messages)
            }
        }
    }

    fn carry_out(
        &mut self,
        id: RequestId,
        command: Command,
        wall: Duration,
    ) -> Result<Option<Work>, Refusal> {
        if self.gdb.is_some() && moves(&command, &self.subject) {
            return Err(because(GDB_HAS_POSITION));
        }
        match command {
            Command::Boot(boot) => {
                self.close();
                return Ok(Some(Work::Opening(Opening::boot(boot))));
            }
            Command::Open(source) => {
                self.close();
                let arrival = self.arrival_from(source)?;
                return Ok(Some(Work::Opening(Opening::trace(arrival))));
            }
            Command::Close => self.close(),
            Command::Type(bytes) => self.live()?.type_bytes(&bytes),
            Command::Resize(size) => self.live()?.resize(size),
            Command::PowerOff => self.live()?.power_off(),
            Command::Pause => {
                let travel = self.live()?.pause(wall)?;
                return Ok(Some(Work::Travel(travel)));
            }
            Command::Resume => {
                let live = self.live()?;
                live.resume()?;
                live.goes_on(wall);
                self.stops.clear();
            }
            Command::Seek(target) => return Ok(Some(Work::Travel(Travel::Seek(target)))),
            Command::Step {
                unit,
                direction,
                thread,
            } => {
                let session = self.session()?;
                let travel = Travel::step(session, unit, direction, thread)?;
                return Ok(Some(Work::Travel(travel)));
            }
            Command::Run { direction } => {
                return Ok(Some(Work::Travel(Travel::run(direction))));
            }
            Command::SetStops(points) => self.set_stops(points)?,
            Command::FindHits(point) => {
                self.require_all()?;
                let search = self.hit_search(point)?;
                return Ok(Some(Work::Hits(search)));
            }
            Command::FindHitsIn { stop, at, from, to } => {
                self.require_all()?;
                let end = self.session()?.timeline().end().0;
                if from > to || to > end {
                    return Err(because("the recording has no such part"));
                }
                let search = Self::hit_search_in(stop, at, from..=to);
                return Ok(Some(Work::Hits(search)));
            }
            Command::Index => {
                let Subject::Trace(opened) = &self.subject else {
                    return Err(because("only a trace can be gone through"));
                };
                return Ok(Some(Work::Index(Box::new(IndexWork::new(opened)?))));
            }
            Command::Look(look) => {
                let session = self.session()?;
                let icount = session.timeline().position().0;
                let view = look::look(session, &look)?;
                self.messages.push_back(Message::Seen {
                    id,
                    icount,
                    look,
                    view,
                });
            }
            Command::Save { embeds_images } => {
                self.require_all()?;
                let bytes = self.save(embeds_images)?;
                let packed = save::packed(&bytes);
                self.messages
                    .push_back(Message::Trace { id, bytes, packed });
            }
            Command::SaveFiles => {
                self.require_all()?;
                return Ok(Some(Work::Files(Box::new(self.files_work()?))));
            }
            Command::AttachGdb => self.attach_gdb()?,
            Command::GdbBytes(bytes) => {
                if self.gdb.is_none() {
                    return Err(because("no gdb is attached"));
                }
                self.hear_gdb(&bytes);
            }
            // Carried out when they came.
            Command::Cancel | Command::DetachGdb | Command::TracePart { .. } => {}
        }
        Ok(None)
    }

    /// A trace from where it is.
    fn arrival_from(&mut self, source: TraceSource) -> Result<Arrival, Refusal> {
        Ok(match source {
            TraceSource::Bytes(bytes) => Arrival::here(bytes),
            TraceSource::Url(url) => {
                self.fetch_count = self.fetch_count.wrapping_add(1);
                let number = self.fetch_count;
                let want = Want::Trace { url, number };
                self.library.ask_for_trace(want.clone());
                Arrival::fetched(want)
            }
            // The page has left it already, and sends no more of it.
            TraceSource::Parts if self.requests.iter().any(|other| leaves(&other.command)) => {
                return Err(Refusal::Cancelled);
            }
            TraceSource::Parts => std::mem::replace(&mut self.early, Arrival::relayed()),
        })
    }

    /// Refuses what is about all of a recording while more of it may come.
    fn require_all(&mut self) -> Result<(), Refusal> {
        match self.arrival() {
            Some(_) => Err(because(
                "the recording has not come as a whole yet: try again when it has",
            )),
            None => Ok(()),
        }
    }

    fn close(&mut self) {
        self.end_gdb(Some("the page has left the recording"));
        self.leave_network();
        self.subject = Subject::Nothing;
        self.stops.clear();
        self.return_to = None;
        self.library.forget_supplies();
    }

    fn live(&mut self) -> Result<&mut Live, Refusal> {
        match &mut self.subject {
            Subject::Live(live) => Ok(live),
            Subject::Trace(_) => Err(because("this is a recording: boot a machine to type at")),
            Subject::Nothing => Err(because("no machine is running")),
        }
    }

    /// The session that can be moved about in.
    fn session(&mut self) -> Result<&mut DebugSession, Refusal> {
        session_of(&mut self.subject)
    }

    fn set_stops(&mut self, points: Vec<StopPoint>) -> Result<(), Refusal> {
        let known = std::mem::take(&mut self.stops);
        let session = session_of(&mut self.subject)?;
        let mut refusal = None;
        for point in points {
            let same = known.iter().find(|stop| stop.point == point);
            match same.map_or_else(|| Understood::new(session, point), |stop| Ok(stop.clone())) {
                Ok(stop) => self.stops.push(stop),
                Err(reason) => refusal = Some(reason),
            }
        }
        refusal.map_or(Ok(()), Err)
    }

    /// Says where the session stands.
    fn tell_position(
        &mut self,
        id: RequestId,
        reasons: Vec<String>,
        stops: Vec<u32>,
        is_at_edge: bool,
    ) {
        let Ok(session) = session_of(&mut self.subject) else {
            return;
        };
        let task = session.current();
        let machine = session.machine();
        let cpu = machine.cpu(reprise_core::types::CpuId(0));
        self.messages.push_back(Message::Position(Position {
            id,
            icount: session.timeline().position().0,
            nanoseconds: words::nanoseconds(machine.time()),
            is_user: cpu.privilege() == reprise_core::riscv::trap::Privilege::User,
            process: task.as_ref().map(|task| task.tgid),
            thread: task.map(|task| (task.tid, task.name)),
            reasons,
            stops,
            is_at_edge,
        }));
    }
}

fn session_of(subject: &mut Subject) -> Result<&mut DebugSession, Refusal> {
    match subject {
        Subject::Trace(opened) => Ok(opened.server.session_mut()),
        Subject::Live(live) => live
            .past()
            .ok_or_else(|| because("the machine is running: pause it first")),
        Subject::Nothing => Err(because("nothing is open")),
    }
}

/// Whether what is open is left by a command.
fn leaves(command: &Command) -> bool {
    matches!(
        command,
        Command::Boot(_) | Command::Open(_) | Command::Close
    )
}

/// Whether a command is one that a person may want to stop.
fn is_long(command: &Command) -> bool {
    matches!(
        command,
        Command::Boot(_)
            | Command::Open(_)
            | Command::Seek(_)
            | Command::Step { .. }
            | Command::Run { .. }
            | Command::FindHits(_)
            | Command::FindHitsIn { .. }
            | Command::Index
            | Command::SaveFiles
    )
}

/// Whether a command brings the session elsewhere, if only for a while.
fn moves(command: &Command, subject: &Subject) -> bool {
    match command {
        Command::Pause
        | Command::Resume
        | Command::Seek(_)
        | Command::Step { .. }
        | Command::Run { .. }
        | Command::FindHits(_)
        | Command::FindHitsIn { .. }
        | Command::Index => true,
        Command::Save { .. } => matches!(subject, Subject::Live(_)),
        _ => false,
    }
}

/// How far a slice of work came.
pub(crate) enum Progress {
    /// There is more to do.
    More,
    /// Something has to be fetched first.
    Waits,
    /// It is done.
    Done,
}
