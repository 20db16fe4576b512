//! Recording: a live machine whose inputs are stamped, logged and then injected.

use crate::entry::{End, EndReason, Entry, EntryLog, TimedEvent};
use crate::hashing::{HashSchedule, Keep, KeepSchedule};
use crate::pace::{Pacer, Pacing};
use crate::typist::Typist;
use reprise_core::devices::virtio::net::{FRAME_BYTES_MAX, FRAME_BYTES_MIN};
use reprise_core::event::{ConsolePort, InputEvent, Start};
use reprise_core::image::ImageStall;
use reprise_core::machine::{HaltReason, Machine, MachineError, RunExit, StateHash};
use reprise_core::output::{Output, OutputKind};
use reprise_core::types::{GuestTime, Icount, TerminalSize};
use reprise_core::workspace::content::{Content, ContentKey};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// A timer deadline further away than this (146 years) never comes: guests write the largest
/// number to switch a timer off.
const DEADLINE_TICKS_MAX: u64 = 1 << 56;

/// What a person does while the guest waits is stamped in units of so many ticks (4.2 ms), rounded down: nobody sees the
/// difference, and most of what a typed session would take in a link is the digits below it.
const ARRIVAL_TICKS: u64 = 1 << 16;

/// Console input of one event. Devices take far less at a time; this bounds an event's size.
const CONSOLE_EVENT_BYTES_MAX: usize = 64 << 10;

/// Steps after which it is looked whether the guest wants contents of its workspace: a fraction of a millisecond, so that who
/// reads a file hardly waits for those who compute.
const WORKSPACE_STEPS: u64 = 1 << 17;

const PORTS: [ConsolePort; 2] = [ConsolePort::Uart, ConsolePort::Virtio];

/// Why a recording cannot go on.
#[derive(Debug, Error)]
pub enum RecordError<E> {
    /// The machine refused an event.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The log could not be written.
    #[error("the trace could not be written: {0}")]
    Log(E),
}

/// How a recording is driven.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordOptions {
    /// Whether idle time takes wall time.
    pub pacing: Pacing,
    /// The console that scripted input goes to.
    pub typist_port: ConsolePort,
}

impl Default for RecordOptions {
    fn default() -> Self {
        Self {
            pacing: Pacing::Fast,
            typist_port: ConsolePort::Virtio,
        }
    }
}

/// What [`RecordSession::advance`] did. Several fields can tell something at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordStatus {
    /// Position.
    pub icount: Icount,
    /// What came out.
    pub outputs: Vec<Output>,
    /// Exit status of the start's command, once the guest has reported it.
    pub exit_status: Option<i32>,
    /// The machine stopped for good.
    pub halted: Option<HaltReason>,
    /// The guest waits, and the driver may sleep.
    pub idle: Option<Idle>,
    /// The script is over, and the guest has not taken its end for an end however often it was typed: nothing more will
    /// be typed, and the recording may as well be finished.
    pub typist_gave_up: bool,
    /// Bytes of a disk are missing, and nothing goes on before they are there.
    pub stall: Option<ImageStall>,
    /// Contents of the workspace that the guest waits for: [`RecordSession::feed_workspace`] takes them. What does not
    /// wait for them goes on meanwhile.
    pub wanted: Vec<ContentKey>,
}

/// How long a driver may sleep while the guest waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Idle {
    /// Wall time at which to call [`RecordSession::advance`] again even if no input came; `None`
    /// means that only input can wake the guest.
    pub wake_at: Option<Duration>,
    /// No timer is set and nothing is left to type: without input the guest waits for ever.
    pub waits_forever: bool,
}

/// What a finished recording comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Finished {
    /// The end as it was logged.
    pub end: End,
    /// Hash of the final state.
    pub hash: StateHash,
}

/// Where a parked machine stands.
#[derive(Clone, Copy, Debug)]
struct Parked {
    deadline: Option<GuestTime>,
}

/// What to do about idle time.
enum Wait {
    Jump(GuestTime),
    Type(GuestTime),
    GiveUp,
    Sleep(Idle),
}

/// A live machine with the log of its inputs.
///
/// Wall time is any clock that does not go backwards, counted from any fixed instant.
pub struct RecordSession<L: EntryLog> {
    machine: Machine,
    log: L,
    pacing: Pacing,
    pacer: Option<Pacer>,
    urgent: VecDeque<InputEvent>,
    frames: VecDeque<Vec<u8>>,
    keyboard: [VecDeque<u8>; PORTS.len()],
    typist: Option<Typist>,
    typist_port: ConsolePort,
    parked: Option<Parked>,
    hashes: HashSchedule,
    keeping: KeepSchedule,
    wall: Duration,
}

impl<L: EntryLog> RecordSession<L> {
    /// Records what happens to `machine` from now on.
    #[must_use]
    pub fn new(machine: Machine, log: L, options: RecordOptions) -> Self {
        let hashes = HashSchedule::new(machine.icount());
        let keeping = KeepSchedule::new(machine.icount());
        Self {
            machine,
            log,
            pacing: options.pacing,
            pacer: None,
            urgent: VecDeque::new(),
            frames: VecDeque::new(),
            keyboard: Default::default(),
            typist: None,
            typist_port: options.typist_port,
            parked: None,
            hashes,
            keeping,
            wall: Duration::ZERO,
        }
    }

    /// The machine.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Tells the guest what to do.
    pub fn start(&mut self, start: Start) {
        self.urgent.push_back(InputEvent::Start(Box::new(start)));
    }

    /// Queues console input. The guest gets it as its device accepts it.
    pub fn feed_console(&mut self, port: ConsolePort, bytes: &[u8]) {
        self.keyboard[port as usize].extend(bytes);
    }

    /// Console input that the guest has not accepted yet, in bytes.
    #[must_use]
    pub fn unaccepted_byte_len(&self) -> usize {
        self.keyboard.iter().map(VecDeque::len).sum()
    }

    /// Says that the terminal has another size.
    pub fn feed_size(&mut self, size: TerminalSize) {
        self.urgent
            .retain(|event| !matches!(event, InputEvent::ConsoleSize(_)));
        self.urgent.push_back(InputEvent::ConsoleSize(size));
    }

    /// Brings contents of the workspace that the status said the guest wants. Each comes once.
    pub fn feed_workspace(&mut self, key: ContentKey, content: Content) {
        self.urgent
            .push_back(InputEvent::WorkspaceContent { key, content });
    }

    /// Queues an Ethernet frame for the network card, which gets it when it has room; one that no network carries is lost.
    pub fn feed_frame(&mut self, frame: Vec<u8>) {
        if (FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(&frame.len()) {
            self.frames.push_back(frame);
        }
    }

    /// Frames that the network card has not taken yet.
    #[must_use]
    pub fn waiting_frame_count(&self) -> usize {
        self.frames.len()
    }

    /// Cuts the power.
    pub fn power_off(&mut self) {
        self.urgent.push_back(InputEvent::PowerOff);
    }

    /// The script that is typed at prompts; see [`crate::typist`].
    pub fn typist(&mut self) -> &mut Typist {
        self.typist.get_or_insert_default()
    }

    /// Runs for at most `steps_max` steps, or until the guest waits longer than may be skipped.
    ///
    /// # Errors
    /// [`RecordError`]; the recording can then only be finished.
    pub fn advance(
        &mut self,
        steps_max: u64,
        wall: Duration,
    ) -> Result<RecordStatus, RecordError<L::Error>> {
        self.wall = wall;
        self.keep_when_due()?;
        let end = self.machine.icount().after(steps_max);
        let has_workspace = self.machine.workspace_listing().is_some();
        let wanted_before = self.machine.workspace_wanted().to_vec();
        let mut outputs = Vec::new();
        let mut idle = None;
        let mut stall = None;
        let mut typist_gave_up = false;
        while self.machine.halted().is_none() {
            self.hash_when_due()?;
            self.keyframe_when_due()?;
            self.deliver()?;
            if self.machine.icount() >= end {
                break;
            }
            let due = self.hashes.due();
            let due = self
                .log
                .keyframe_due()
                .map_or(due, |keyframe| due.min(keyframe));
            let due = due.max(self.machine.icount().after(1));
            let before = self.machine.icount();
            let mut limit = end.min(due);
            if has_workspace {
                limit = limit.min(before.after(WORKSPACE_STEPS));
            }
            let exit = self.machine.run(limit);
            if self.machine.icount() != before {
                self.keeping.ran(self.wall, before);
            }
            self.take_outputs(&mut outputs);
            let wanted = self.machine.workspace_wanted();
            let is_new_wanted = !wanted.is_empty() && wanted != wanted_before;
            match exit {
                RunExit::Limit => {
                    self.parked = None;
                    if is_new_wanted {
                        break;
                    }
                }
                RunExit::Halted(_) => {}
                // The driver is to have what came out before there is more.
                RunExit::OutputFull | RunExit::DebugStop => break,
                RunExit::ImageStall(missing) => {
                    stall = Some(missing);
                    break;
                }
                RunExit::Idle { deadline } => {
                    if self.park(deadline) {
                        continue;
                    }
                    // Time does not pass for the guest while it waits for this computer's files.
                    if !self.machine.workspace_wanted().is_empty() {
                        break;
                    }
                    match self.wait() {
                        Wait::Jump(to) => self.jump(to)?,
                        Wait::Type(at) => self.type_line(at)?,
                        Wait::GiveUp => {
                            typist_gave_up = true;
                            break;
                        }
                        Wait::Sleep(until) => {
                            idle = Some(until);
                            break;
                        }
                    }
                }
            }
        }
        if let Some(idle) = &mut idle
            && self.log.keeps()
            && let Some(keep_at) = self.keeping.wake_at(self.machine.icount())
        {
            idle.wake_at = Some(idle.wake_at.map_or(keep_at, |at| at.min(keep_at)));
        }
        Ok(RecordStatus {
            icount: self.machine.icount(),
            outputs,
            exit_status: self.machine.exit_status(),
            halted: self.machine.halted(),
            idle,
            typist_gave_up,
            stall,
            wanted: self.machine.workspace_wanted().to_vec(),
        })
    }

    /// Ends the recording: logs the final hash and the end.
    ///
    /// `reason` counts only if the machine has not halted.
    ///
    /// # Errors
    /// [`RecordError::Log`].
    pub fn finish(mut self, reason: EndReason) -> Result<(Finished, L), RecordError<L::Error>> {
        let icount = self.machine.icount();
        let hash = self.machine.state_hash();
        if self.log.keeps() && !self.hashes.is_hashed(icount) {
            self.push(&Entry::Hash { icount, hash })?;
        }
        self.log
            .note_guest_time(icount, self.machine.time())
            .map_err(RecordError::Log)?;
        let end = End {
            icount,
            reason: self.machine.halted().map_or(reason, EndReason::Halted),
            exit_status: self.machine.exit_status(),
        };
        self.push(&Entry::End(end))?;
        self.log.flush().map_err(RecordError::Log)?;
        Ok((Finished { end, hash }, self.log))
    }

    fn push(&mut self, entry: &Entry) -> Result<(), RecordError<L::Error>> {
        self.log.push(entry).map_err(RecordError::Log)?;
        let icount = entry.icount();
        match entry {
            Entry::Event(_) => self.keeping.input(self.wall, icount),
            Entry::Hash { .. } | Entry::End(_) => self.keeping.hash(self.wall, icount),
        }
        Ok(())
    }

    /// Takes note that the machine waits. Yields whether there is input for it.
    fn park(&mut self, deadline: Option<GuestTime>) -> bool {
        let now = self.machine.time();
        if self.parked.is_none() {
            self.pacer
                .get_or_insert_with(|| Pacer::new(self.wall, now))
                .begin_wait(self.wall, now);
            if let Some(typist) = &mut self.typist {
                typist.begin_wait(now);
            }
        }
        self.parked = Some(Parked {
            deadline: deadline
                .filter(|deadline| deadline.0 < DEADLINE_TICKS_MAX)
                .map(|deadline| deadline.max(now)),
        });
        self.next_deliverable().is_some()
    }

    /// Decides about idle time when no input is there.
    fn wait(&self) -> Wait {
        let now = self.machine.time();
        let deadline = self.parked.and_then(|parked| parked.deadline);
        let typing = self
            .typist
            .as_ref()
            .filter(|typist| self.unaccepted_byte_len() == 0 || typist.is_at_end())
            .and_then(Typist::ready_at)
            .map(|ready| ready.max(now));
        let (next, is_typing) = match (typing, deadline) {
            // A tie goes to the event.
            (Some(typing), Some(deadline)) if typing > deadline => (deadline, false),
            (Some(typing), _) => (typing, true),
            (None, Some(deadline)) => (deadline, false),
            (None, None) => {
                return Wait::Sleep(Idle {
                    wake_at: None,
                    waits_forever: true,
                });
            }
        };
        if self.is_paced()
            && let Some(pacer) = &self.pacer
            && pacer.guest_from_wall(self.wall) < next
        {
            return Wait::Sleep(Idle {
                wake_at: pacer.wall_from_guest(next),
                waits_forever: false,
            });
        }
        if is_typing && self.typist.as_ref().is_some_and(Typist::gives_up) {
            Wait::GiveUp
        } else if is_typing {
            Wait::Type(next)
        } else {
            Wait::Jump(next)
        }
    }

    /// Whether idle time takes wall time now.
    fn is_paced(&self) -> bool {
        match self.pacing {
            Pacing::Paced => true,
            Pacing::Fast => false,
            Pacing::AwaitingScript => (self.typist.as_ref()).is_none_or(Typist::waits_for_script),
        }
    }

    fn jump(&mut self, to: GuestTime) -> Result<(), RecordError<L::Error>> {
        self.machine.idle_jump(to)?;
        self.parked = None;
        Ok(())
    }

    /// Types the next line of the script at guest time `at`.
    fn type_line(&mut self, at: GuestTime) -> Result<(), RecordError<L::Error>> {
        let is_blocked = self.unaccepted_byte_len() != 0;
        let Some(typist) = &mut self.typist else {
            return Ok(());
        };
        let bytes = typist.type_line(at);
        if is_blocked {
            // The guest does not even take what was typed before, so one more end would not be read either; it counts as one
            // that met silence.
            return if at > self.machine.time() {
                self.jump(at)
            } else {
                Ok(())
            };
        }
        let port = self.typist_port;
        self.feed_console(port, &bytes);
        self.deliver_at(at)
    }

    /// The next event that the machine would take now; taken out of the queue by
    /// [`Self::take_deliverable`].
    fn next_deliverable(&self) -> Option<Deliverable> {
        if !self.urgent.is_empty() {
            return Some(Deliverable::Urgent);
        }
        if !self.frames.is_empty() && self.machine.takes_frame() {
            return Some(Deliverable::Frame);
        }
        PORTS.into_iter().find_map(|port| {
            let queued = self.keyboard[port as usize].len();
            if queued == 0 {
                return None;
            }
            let length = queued
                .min(self.machine.console_room(port))
                .min(CONSOLE_EVENT_BYTES_MAX);
            (length > 0).then_some(Deliverable::Console { port, length })
        })
    }

    fn take_deliverable(&mut self, what: &Deliverable) -> Option<InputEvent> {
        match *what {
            Deliverable::Urgent => self.urgent.pop_front(),
            Deliverable::Frame => self.frames.pop_front().map(InputEvent::Frame),
            Deliverable::Console { port, length } => Some(InputEvent::ConsoleInput {
                port,
                bytes: self.keyboard[port as usize].drain(..length).collect(),
            }),
        }
    }

    /// Delivers what has arrived, stamped with the present.
    fn deliver(&mut self) -> Result<(), RecordError<L::Error>> {
        let arrival = match &self.pacer {
            Some(pacer) if self.is_paced() => {
                let now = self.machine.time();
                let wait = pacer.guest_from_wall(self.wall).0.saturating_sub(now.0);
                GuestTime(now.0 + wait / ARRIVAL_TICKS * ARRIVAL_TICKS)
            }
            _ => self.machine.time(),
        };
        self.deliver_at(arrival)
    }

    /// Delivers what has arrived at guest time `arrival`, which is cut to what the machine can
    /// still do: not before now and not beyond the next timer deadline.
    fn deliver_at(&mut self, arrival: GuestTime) -> Result<(), RecordError<L::Error>> {
        while let Some(what) = self.next_deliverable() {
            let now = self.machine.time();
            let mut skip = 0;
            if let Some(parked) = self.parked.take() {
                let to = parked
                    .deadline
                    .map_or(arrival, |deadline| arrival.min(deadline));
                if to > now {
                    self.machine.idle_jump(to)?;
                    skip = to.0 - now.0;
                }
            }
            let Some(event) = self.take_deliverable(&what) else {
                return Ok(());
            };
            let event = Arc::new(event);
            let icount = self.machine.icount();
            self.push(&Entry::Event(TimedEvent {
                icount,
                skip,
                event: Arc::clone(&event),
            }))?;
            self.machine.inject(&event)?;
        }
        Ok(())
    }

    fn hash_when_due(&mut self) -> Result<(), RecordError<L::Error>> {
        let icount = self.machine.icount();
        if !self.log.keeps() {
            self.hashes.hashed(icount);
            return Ok(());
        }
        if icount >= self.hashes.due() {
            self.push_hash(icount)?;
        }
        Ok(())
    }

    fn push_hash(&mut self, icount: Icount) -> Result<(), RecordError<L::Error>> {
        let hash = self.machine.state_hash();
        self.push(&Entry::Hash { icount, hash })?;
        self.hashes.hashed(icount);
        Ok(())
    }

    fn keyframe_when_due(&mut self) -> Result<(), RecordError<L::Error>> {
        let icount = self.machine.icount();
        if self.log.keyframe_due().is_some_and(|due| icount >= due) {
            let hash = self.machine.state_hash();
            let snapshot = self.machine.snapshot();
            self.log
                .push_keyframe(icount, &hash, &snapshot)
                .map_err(RecordError::Log)?;
            self.keeping.aside(self.wall, icount);
        }
        Ok(())
    }

    /// Makes safe what is not safe yet, and in time.
    fn keep_when_due(&mut self) -> Result<(), RecordError<L::Error>> {
        let icount = self.machine.icount();
        if !self.log.keeps() || self.machine.halted().is_some() {
            return Ok(());
        }
        let Some(keep) = self.keeping.due(self.wall, icount) else {
            return Ok(());
        };
        if keep == Keep::HashAndFlush {
            self.push_hash(icount)?;
        }
        self.log.flush().map_err(RecordError::Log)?;
        self.keeping.flushed();
        Ok(())
    }

    fn take_outputs(&mut self, outputs: &mut Vec<Output>) {
        let new = self.machine.take_outputs();
        if !new.is_empty() {
            self.keeping.printed();
        }
        if let Some(typist) = &mut self.typist {
            for output in &new {
                if let OutputKind::Console { port, bytes } = &output.kind
                    && *port == self.typist_port
                {
                    typist.observe(bytes);
                }
            }
        }
        if outputs.is_empty() {
            *outputs = new;
        } else {
            outputs.extend(new);
        }
    }
}

/// Which queue has something for the machine.
enum Deliverable {
    Urgent,
    Frame,
    Console { port: ConsolePort, length: usize },
}

#[cfg(test)]
mod tests;
