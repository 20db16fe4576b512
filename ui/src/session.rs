//! What is open, and where it stands.

use crate::looks::Looks;
use crate::model::{Fetched, Index, Mark, Shown, Stop};
use crate::terminal::History;
use reprise_worker::protocol::{
    FatalSignal, Input, InputKind, Look, Position, Recording, Target, Thread, View,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Places to go back to that are kept.
const VISITED_MAX: usize = 100;
/// Places of which it is kept what was met there: those to go back to and those to go forth to.
const MET_MAX: usize = 2 * VISITED_MAX;
/// Steps that take a second when nothing is skipped: guest time counts 64 ns for 64 steps.
const STEPS_PER_SECOND: f64 = 1e9;
/// Points at which the guest time is known that are kept.
const TIMES_MAX: usize = 10_000;

/// Whether a machine runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// A trace is open.
    Replay,
    /// A machine runs and is recorded.
    Running,
    /// A machine has been told to stop.
    Pausing,
    /// A machine stands still; its past can be visited.
    Paused,
    /// A machine has stopped for good.
    Halted,
}

impl Mode {
    /// In a word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Mode::Replay => "replay",
            Mode::Running => "running",
            Mode::Pausing => "pausing",
            Mode::Paused => "paused",
            Mode::Halted => "halted",
        }
    }
}

/// Where a trace came from, as far as a link can name it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// A machine of this page, or a file: no link leads there.
    Here,
    /// A place on the web.
    Url(String),
    /// The fragment that opened it: the trace is in it.
    Fragment(Vec<u8>),
}

/// Runs through the recording by the wall clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Player {
    /// Times guest time; negative goes back.
    pub(crate) speed: f64,
    pub(crate) from: u64,
    /// When it was there, by egui's clock.
    pub(crate) since: f64,
}

/// Why the engine once stood at a place.
struct Met {
    icount: u64,
    reasons: Vec<String>,
    stops: Vec<u32>,
}

/// Something open.
pub(crate) struct Session {
    pub(crate) recording: Recording,
    pub(crate) origin: Origin,
    pub(crate) mode: Mode,
    pub(crate) position: Position,
    /// What is shown while the engine is elsewhere: while somebody drags or plays.
    pub(crate) local: Option<u64>,
    /// Where the engine is to go next.
    pub(crate) wanted: Option<Target>,
    /// Where the engine is to go when that has come, and as near as it can until then; none once the person has gone
    /// elsewhere.
    pub(crate) follows: Option<Target>,
    /// How far it has followed.
    followed: u64,
    /// How many bytes of the trace have come, and of how many, while more are to come.
    pub(crate) arriving: Option<(u64, u64)>,
    pub(crate) player: Option<Player>,
    pub(crate) history: History,
    pub(crate) index: Index,
    pub(crate) fetches: Vec<Fetched>,
    /// Position, hash, and how many hashes agreed.
    pub(crate) verified: Option<(u64, String, u64)>,
    pub(crate) stops: Vec<Stop>,
    pub(crate) last_stop: u32,
    /// The stop that was added last, until the engine has understood it.
    pub(crate) new_stop: Option<u32>,
    /// It is somewhere else as well, or the person does not mind losing it.
    pub(crate) is_kept: bool,
    pub(crate) marks: Vec<Mark>,
    pub(crate) thread: Thread,
    pub(crate) frame: u32,
    /// The person, a link or [`Session::choose_frame`] has chosen it for where it is.
    pub(crate) is_frame_chosen: bool,
    /// The call that a link selects, once the position is there.
    pub(crate) frame_wanted: Option<u32>,
    pub(crate) shown: Shown,
    /// Source texts that the person has given, by the last part of their paths.
    pub(crate) texts: BTreeMap<String, Arc<str>>,
    pub(crate) looks: Looks,
    pub(crate) back: Vec<u64>,
    pub(crate) forth: Vec<u64>,
    /// The newest last.
    met: VecDeque<Met>,
    /// The signal that has ended the program, until the person has gone there or does not want to.
    pub(crate) signal: Option<FatalSignal>,
    /// Positions whose guest time is known, ascending.
    times: Vec<(u64, u64)>,
    /// Size of the trace, once it has been asked for.
    pub(crate) trace_byte_len: u64,
}

impl Session {
    pub(crate) fn new(recording: Recording, origin: Origin) -> Session {
        let mut session = Session {
            mode: if recording.is_live {
                Mode::Running
            } else {
                Mode::Replay
            },
            position: Position {
                id: 0,
                icount: 0,
                nanoseconds: 0,
                thread: None,
                process: None,
                is_user: false,
                reasons: Vec::new(),
                stops: Vec::new(),
                is_at_edge: true,
            },
            origin,
            local: None,
            wanted: None,
            follows: None,
            followed: 0,
            arriving: None,
            player: None,
            history: History::new(recording.terminal),
            index: Index::default(),
            fetches: Vec::new(),
            verified: None,
            stops: Vec::new(),
            last_stop: 0,
            texts: BTreeMap::new(),
            new_stop: None,
            is_kept: false,
            marks: Vec::new(),
            thread: Thread::Current,
            frame: 0,
            is_frame_chosen: false,
            frame_wanted: None,
            shown: Shown::default(),
            looks: Looks::default(),
            back: Vec::new(),
            forth: Vec::new(),
            met: VecDeque::new(),
            signal: None,
            times: vec![(0, 0)],
            trace_byte_len: recording.trace_byte_len,
            recording,
        };
        session.take_sizes();
        session
    }

    /// The terminal had the sizes that the recording says.
    pub(crate) fn take_sizes(&mut self) {
        let sizes = self
            .recording
            .inputs
            .iter()
            .filter_map(|input| match input.kind {
                InputKind::Size(size) => Some((input.icount, size)),
                _ => None,
            });
        self.history
            .set_sizes(self.recording.terminal, sizes.collect());
    }

    /// More of the trace has come.
    pub(crate) fn takes_in(&mut self, end: u64, inputs: Vec<Input>, bytes: (u64, u64)) {
        self.arriving = Some(bytes);
        self.recording.end = self.recording.end.max(end);
        if !inputs.is_empty() {
            self.recording.inputs.extend(inputs);
            self.take_sizes();
        }
    }

    /// All of the trace has come.
    pub(crate) fn has_arrived(&mut self, recording: Recording) {
        self.arriving = None;
        self.trace_byte_len = recording.trace_byte_len;
        self.recording = recording;
        self.take_sizes();
    }

    /// The position that is shown.
    pub(crate) fn icount(&self) -> u64 {
        self.local.unwrap_or(self.position.icount)
    }

    /// A machine runs; there is no past to look at.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.mode, Mode::Running | Mode::Pausing)
    }

    /// It is nowhere but here: leaving it is losing it.
    pub(crate) fn is_only_here(&self) -> bool {
        self.is_live() && !self.is_kept
    }

    /// A machine is or was recorded here.
    pub(crate) fn is_live(&self) -> bool {
        self.mode != Mode::Replay
    }

    /// The engine stands somewhere.
    pub(crate) fn arrive(&mut self, position: Position) {
        if position.icount != self.position.icount {
            self.frame = 0;
            self.is_frame_chosen = false;
        }
        if self.follows.is_none()
            && let Some(frame) = self.frame_wanted.take()
        {
            self.frame = frame;
            self.is_frame_chosen = true;
        }
        self.note_time(position.icount, position.nanoseconds);
        self.looks.moved(position.icount);
        self.position = position;
    }

    /// Keeps why the engine stands somewhere, for who comes back.
    pub(crate) fn remember(&mut self, icount: u64, reasons: Vec<String>, stops: Vec<u32>) {
        self.met.retain(|met| met.icount != icount);
        if !reasons.is_empty() {
            self.met.push_back(Met {
                icount,
                reasons,
                stops,
            });
        }
        if self.met.len() > MET_MAX {
            self.met.pop_front();
        }
    }

    /// Adds what is known of a place that the engine was only sent to.
    pub(crate) fn recall(&self, position: &mut Position) {
        let known = self.met.iter().find(|met| met.icount == position.icount);
        let Some(met) = known else {
            return;
        };
        for reason in &met.reasons {
            if !position.reasons.contains(reason) {
                position.reasons.push(reason.clone());
            }
        }
        position.stops.extend(&met.stops);
    }

    /// A signal has ended the program.
    pub(crate) fn heard_signal(&mut self, signal: FatalSignal) {
        let reason = format!("{} ends {}", signal.signal, signal.thread);
        self.remember(signal.icount, vec![reason], Vec::new());
        self.signal = Some(signal).filter(|signal| signal.icount != self.icount());
    }

    /// Selects the program's innermost call where the kernel works for it, unless one is selected: a person looks for the
    /// program's bug. Called before views are drawn.
    pub(crate) fn choose_frame(&mut self) {
        let is_elsewhere = self.is_running() || self.local.is_some();
        let current = self.position.thread.as_ref().map(|(tid, _)| *tid);
        let can_be_in_kernel = match self.thread {
            Thread::Cpu => false,
            Thread::Current => current.is_some() && !self.position.is_user,
            Thread::Task(tid) => current != Some(tid) || !self.position.is_user,
        };
        if self.is_frame_chosen || is_elsewhere || !can_be_in_kernel {
            return;
        }
        let seen = self.looks.get(&Look::Stack(self.thread));
        if let Some(seen) = seen.filter(|seen| !seen.is_stale)
            && let View::Stack(frames) = seen.view
        {
            let of_program = frames.iter().position(|frame| !frame.is_kernel);
            let number = of_program.and_then(|number| u32::try_from(number).ok());
            self.frame = number.unwrap_or(0);
            self.is_frame_chosen = true;
        }
    }

    /// Remembers where it is, since it is about to be elsewhere.
    pub(crate) fn leave(&mut self) {
        self.stay();
        let here = self.icount();
        if self.back.last() != Some(&here) {
            self.back.push(here);
        }
        if self.back.len() > VISITED_MAX {
            self.back.remove(0);
        }
        self.forth.clear();
    }

    /// A place visited before, or one that was left by that.
    pub(crate) fn revisit(&mut self, is_back: bool) -> Option<u64> {
        let here = self.icount();
        let (from, to) = if is_back {
            (&mut self.back, &mut self.forth)
        } else {
            (&mut self.forth, &mut self.back)
        };
        let place = from.pop()?;
        to.push(here);
        Some(place)
    }

    /// The person wants to be where they are, or goes elsewhere: not to where the engine was to go.
    pub(crate) fn stay(&mut self) {
        self.follows = None;
        self.frame_wanted = None;
    }

    /// Wants to go on to where the engine is to go, as far as the recording has come. Called when it stands.
    pub(crate) fn follow(&mut self) {
        let Some(target) = self.follows.filter(|_| self.wanted.is_none()) else {
            return;
        };
        let end = self.recording.end;
        let is_here = matches!(target, Target::Icount(icount) if icount <= end);
        if self.arriving.is_none() || is_here {
            self.wanted = self.follows.take();
        } else if end > self.followed {
            self.followed = end;
            self.wanted = Some(target);
        }
    }

    /// Shows a place, and lets the engine follow.
    pub(crate) fn go_to(&mut self, icount: u64) {
        self.stay();
        self.player = None;
        self.local = Some(icount);
        self.wanted = Some(Target::Icount(icount));
    }

    /// Ends playing; the engine comes to where it was.
    pub(crate) fn stand_still(&mut self) {
        if self.player.take().is_some()
            && let Some(icount) = self.local
        {
            self.wanted = Some(Target::Icount(icount));
        }
    }

    /// Takes a player along; says that it has reached an end.
    pub(crate) fn play(&mut self, now: f64) -> bool {
        let Some(player) = self.player else {
            return false;
        };
        let way = (now - player.since) * player.speed * STEPS_PER_SECOND;
        let at = player.from as f64 + way;
        let end = self.recording.end;
        self.local = Some((at.max(0.0) as u64).min(end));
        at < 0.0 || at >= end as f64
    }

    /// The guest time is known at a position.
    pub(crate) fn note_time(&mut self, icount: u64, nanoseconds: u64) {
        let next = self.times.partition_point(|(at, _)| *at < icount);
        if self.times.get(next).is_some_and(|(at, _)| *at == icount) {
            return;
        }
        self.times.insert(next, (icount, nanoseconds));
        if self.times.len() > TIMES_MAX {
            let mut number = 0;
            self.times.retain(|_| {
                number += 1;
                number % 2 == 1
            });
        }
    }

    /// Guest time at a position, and whether it is certain: idle times between known points may lie before it.
    pub(crate) fn time_at(&self, icount: u64) -> (u64, bool) {
        let next = self.times.partition_point(|(at, _)| *at <= icount);
        let (at, time) = next
            .checked_sub(1)
            .and_then(|last| self.times.get(last))
            .copied()
            .unwrap_or_default();
        let least = time.saturating_add(icount - at.min(icount));
        let is_certain = at == icount
            || self.times.get(next).is_some_and(|(later, then)| {
                then.saturating_sub(time) <= (later - at).saturating_add(128)
            });
        (least, is_certain)
    }

    /// The thread that runs at a position, with its name, as far as the index tells.
    pub(crate) fn thread_at(&self, icount: u64) -> Option<(u32, &str)> {
        let next = self
            .index
            .switches
            .partition_point(|switch| switch.icount <= icount);
        let switch = self.index.switches.get(next.checked_sub(1)?)?;
        Some((
            switch.tid,
            self.index.name_at(switch.tid, icount).unwrap_or("?"),
        ))
    }

    /// A position in a few words: where, when, who.
    pub(crate) fn describe(&self, icount: u64) -> String {
        let (time, is_certain) = self.time_at(icount);
        let about = if is_certain { "" } else { "at least " };
        let mut text = format!(
            "{} · {about}{}",
            crate::words::count(icount),
            crate::words::seconds(time)
        );
        if let Some((tid, name)) = self.thread_at(icount) {
            text.push_str(&format!(" · {name} ({tid})"));
        }
        text
    }

    /// The stops that runs stop at.
    pub(crate) fn enabled_stops(&self) -> Vec<reprise_worker::protocol::StopPoint> {
        let enabled = self.stops.iter().filter(|stop| stop.is_enabled);
        enabled.map(|stop| stop.point.clone()).collect()
    }
}
