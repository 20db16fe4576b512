//! Drives a live guest: wall time, keys, signals and output.

use crate::console::{Arrival, Console, STATUS_OUTPUT_CLOSED};
use crate::network::Network;
use crate::signals;
use crate::workspace::Workspace;
use anyhow::{anyhow, bail};
use reprise_core::event::ConsolePort;
use reprise_core::machine::HaltReason;
use reprise_core::types::Icount;
use reprise_recorder::entry::{EndReason, EntryLog};
use reprise_recorder::record::{RecordError, RecordSession};
use std::time::{Duration, Instant};

/// Steps between two looks at the keyboard: about 10 ms.
const STEPS_A_TURN: u64 = 1 << 21;

/// Script that is read ahead of the guest.
const SCRIPT_BYTES_AHEAD_MAX: usize = 1 << 20;

/// Keys that are read ahead of the guest; a person who pastes more waits.
const KEY_BYTES_AHEAD_MAX: usize = 64 << 10;

/// What stopped a guest that would have gone on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StopCause {
    /// The person, by the escape key, or by closing the terminal.
    Person,
    /// A signal of this number.
    Signal(i32),
    /// Nobody reads the console any more.
    OutputClosed,
    /// The guest did not take the end of what was typed for an end.
    TypistGaveUp,
}

/// How a live session ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LiveEnd {
    /// Why, as it is recorded.
    pub(crate) reason: EndReason,
    /// What stopped it, if it did not end by itself.
    pub(crate) cause: Option<StopCause>,
    /// Where it ended.
    pub(crate) icount: Icount,
    /// Exit status of the guest's command.
    pub(crate) exit_status: Option<i32>,
}

impl LiveEnd {
    /// The signal that stopped it, if one did.
    pub(crate) fn signal(&self) -> Option<i32> {
        match self.cause {
            Some(StopCause::Signal(signal)) => Some(signal),
            _ => None,
        }
    }

    /// The exit status of this process.
    pub(crate) fn status(&self) -> u8 {
        // The shell's convention: a command that a signal ended.
        match self.cause {
            Some(StopCause::Signal(signal)) => {
                return 128u8.saturating_add(u8::try_from(signal).unwrap_or(0));
            }
            Some(StopCause::OutputClosed) => return STATUS_OUTPUT_CLOSED,
            Some(StopCause::Person | StopCause::TypistGaveUp) | None => {}
        }
        match (self.exit_status, self.reason) {
            // As a process's exit status: its low 8 bits.
            (Some(status), _) => (status & 0xff) as u8,
            (None, EndReason::LimitReached) => 124,
            (None, EndReason::Halted(HaltReason::PowerOff) | EndReason::Stopped) => 0,
            (None, _) => 1,
        }
    }

    /// One sentence about an end that needs one.
    pub(crate) fn remark(&self) -> Option<String> {
        let text = match (self.cause, self.reason) {
            (Some(StopCause::Signal(signal)), _) => {
                format!("stopped by {}", signals::name(signal))
            }
            (Some(StopCause::Person), _) => "stopped by Ctrl-A x".to_owned(),
            (Some(StopCause::OutputClosed), _) => {
                "stopped because nobody reads the console any more".to_owned()
            }
            (Some(StopCause::TypistGaveUp), _) => {
                "stopped because the guest runs on after the end of its input: Ctrl-D was typed again and again without \
                 an answer; make the input end the program, or bound it by --max-icount"
                    .to_owned()
            }
            (_, EndReason::LimitReached) => {
                "the limit of --max-icount was reached before the guest was done".to_owned()
            }
            (_, EndReason::WaitsForever) => {
                "the guest waits for ever: no timer is set and no input is left".to_owned()
            }
            (_, EndReason::Halted(HaltReason::PowerOff)) => return None,
            (_, reason) => format!("the guest {reason}"),
        };
        Some(format!("{text} (icount {})", self.icount))
    }
}

/// Runs the guest until it halts, waits for ever, reaches `icount_max` or is stopped.
pub(crate) fn drive<L>(
    session: &mut RecordSession<L>,
    console: &mut Console,
    icount_max: Option<u64>,
    outside: Outside,
) -> anyhow::Result<LiveEnd>
where
    L: EntryLog,
    L::Error: std::fmt::Display,
{
    let mut driver = Driver::new(icount_max, outside);
    loop {
        if let Some(end) = driver.turn(session, console, None)? {
            return Ok(end);
        }
    }
}

/// Drives a live guest turn by turn.
#[derive(Debug)]
pub(crate) struct Driver {
    began: Instant,
    icount_max: u64,
    /// How long the next turn may wait for something to happen.
    timeout: Option<Duration>,
    exit_status: Option<i32>,
    cause: Option<StopCause>,
    outside: Outside,
}

/// What of this computer a guest has beside its console.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    /// A folder.
    pub(crate) workspace: Option<Workspace>,
    /// The network.
    pub(crate) network: Option<Network>,
}

impl Driver {
    /// For a guest that begins now.
    pub(crate) fn new(icount_max: Option<u64>, outside: Outside) -> Self {
        Self {
            outside,
            began: Instant::now(),
            icount_max: icount_max.unwrap_or(u64::MAX),
            timeout: Some(Duration::ZERO),
            exit_status: None,
            cause: None,
        }
    }

    /// Runs the guest for some ten milliseconds, or waits for what it waits for, but no longer than `patience`. The end
    /// of it all, if this was the end.
    pub(crate) fn turn<L>(
        &mut self,
        session: &mut RecordSession<L>,
        console: &mut Console,
        patience: Option<Duration>,
    ) -> anyhow::Result<Option<LiveEnd>>
    where
        L: EntryLog,
        L::Error: std::fmt::Display,
    {
        let wants_input = session.unaccepted_byte_len() < KEY_BYTES_AHEAD_MAX
            && session.typist().untyped_byte_len() < SCRIPT_BYTES_AHEAD_MAX;
        let timeout = match (self.timeout, patience) {
            (Some(timeout), Some(patience)) => Some(timeout.min(patience)),
            (timeout, patience) => timeout.or(patience),
        };
        let bell = self.outside.network.as_ref().map(Network::bell);
        for arrival in console.poll(wants_input, bell, timeout)? {
            match arrival {
                Arrival::Keys(bytes) => session.feed_console(ConsolePort::Virtio, &bytes),
                Arrival::Script(bytes) => session.typist().push(&bytes),
                Arrival::ScriptEnd => session.typist().close(),
                Arrival::Size(size) => session.feed_size(size),
                Arrival::Stop => self.cause = self.cause.or(Some(StopCause::Person)),
                Arrival::Signal(number) => self.cause = Some(StopCause::Signal(number)),
            }
        }
        let reason = if self.cause.is_some() {
            Some(EndReason::Stopped)
        } else {
            self.advance(session, console)?
        };
        Ok(reason.map(|reason| LiveEnd {
            reason,
            cause: self.cause,
            icount: session.machine().icount(),
            exit_status: self.exit_status,
        }))
    }

    fn advance<L>(
        &mut self,
        session: &mut RecordSession<L>,
        console: &mut Console,
    ) -> anyhow::Result<Option<EndReason>>
    where
        L: EntryLog,
        L::Error: std::fmt::Display,
    {
        let left = self.icount_max.saturating_sub(session.machine().icount().0);
        let status = session
            .advance(STEPS_A_TURN.min(left), self.began.elapsed())
            .map_err(anyhow_from_record_error)?;
        self.exit_status = status.exit_status;
        if console.write(&status.outputs).is_err() {
            // The recording ends as if its terminal had gone.
            self.cause = Some(StopCause::OutputClosed);
            return Ok(Some(EndReason::Stopped));
        }
        if let Some(stall) = status.stall {
            bail!(
                "disk {} lacks {} bytes at offset {}: can its file still be read?",
                stall.disk,
                stall.length,
                stall.offset
            );
        }
        if let Some(workspace) = &self.outside.workspace
            && status.halted.is_none()
        {
            workspace.serve(session, &status.wanted);
        }
        let network = &mut self.outside.network;
        let rest = network
            .as_mut()
            .and_then(|network| network.pass(session, &status.outputs, self.began.elapsed()));
        let may_wake = network.as_ref().is_some_and(Network::is_busy);
        let has_frames = session.waiting_frame_count() > 0;
        if let Some(reason) = status.halted {
            return Ok(Some(EndReason::Halted(reason)));
        }
        if status.icount.0 >= self.icount_max {
            return Ok(Some(EndReason::LimitReached));
        }
        if status.typist_gave_up {
            self.cause = Some(StopCause::TypistGaveUp);
            return Ok(Some(EndReason::WaitsForever));
        }
        self.timeout = match status.idle {
            None => Some(Duration::ZERO),
            // They are delivered before anybody waits.
            Some(_) if has_frames && session.machine().takes_frame() => Some(Duration::ZERO),
            Some(idle) if idle.waits_forever && !console.is_open() && !may_wake => {
                return Ok(Some(EndReason::WaitsForever));
            }
            Some(idle) => {
                let wake_in = idle
                    .wake_at
                    .map(|at| at.saturating_sub(self.began.elapsed()));
                [wake_in, rest].into_iter().flatten().min()
            }
        };
        Ok(None)
    }
}

/// The session's error as the command reports it.
pub(crate) fn anyhow_from_record_error<E: std::fmt::Display>(
    error: RecordError<E>,
) -> anyhow::Error {
    anyhow!("{error}")
}
