//! Which signal ended the recorded command, and where its program was then.

use super::Refusal;
use crate::protocol::FatalSignal;
use reprise_core::debug::{DebugHit, DebugPlan, HitKind};
use reprise_core::machine::Machine;
use reprise_core::types::{CpuId, Icount};
use reprise_debugger::linux::Kernel;
use reprise_debugger::session::DebugSession;
use reprise_debugger::stops::{Choice, StopReason, Stops};
use reprise_recorder::timeline::RunDirection;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// What a shell, and the guest's init, add to the number of the signal that ended a command for its exit status.
const STATUS_OF_SIGNAL: i32 = 128;

/// Signals on Linux: `_NSIG`, include/uapi/asm-generic/signal.h.
const SIGNALS_MAX: i32 = 64;

/// Where the kernel is when a handler for a signal has been set up: that one ends nothing.
const HANDLED: &str = "signal_setup_done";

/// Looks for the last signal that ended a program, back from the end of the recording.
pub(crate) struct SignalSearch {
    kernel: Kernel,
    number: u8,
    goal: Goal,
    /// Where the last slice has ended: one that fails for what has to be fetched first may have gone anywhere.
    at: Option<Icount>,
    has_begun: bool,
}

/// What a search goes to next.
enum Goal {
    /// The end of the recording.
    End,
    /// A signal before that.
    Signal,
    /// Where the thread was in its program, given by its number and name.
    Program(u32, String),
}

/// How far a search is.
pub(crate) enum Found {
    /// There is more to search.
    NotYet,
    /// The signal, if there is one.
    All(Option<FatalSignal>),
}

impl SignalSearch {
    /// A search, where the recorded command's exit status tells of a signal.
    pub(crate) fn new(kernel: &Kernel, exit_status: Option<i32>) -> Option<Self> {
        Some(Self {
            kernel: kernel.clone(),
            number: signal_of_status(exit_status?)?,
            goal: Goal::End,
            at: None,
            has_begun: false,
        })
    }

    /// Goes on for a slice.
    ///
    /// # Errors
    /// When the execution cannot be gone through. Where something has to be fetched first, the search can be gone on with.
    pub(crate) fn slice(&mut self, session: &mut DebugSession) -> Result<Found, Refusal> {
        if let Some(at) = self.at
            && session.timeline().position() != at
        {
            session
                .timeline_mut()
                .seek(at, &mut |_| ControlFlow::Continue(()))?;
        }
        let found = self.search(session)?;
        self.at = Some(session.timeline().position());
        Ok(found)
    }

    fn search(&mut self, session: &mut DebugSession) -> Result<Found, Refusal> {
        let mut slice_end = |_| ControlFlow::Break(());
        match &self.goal {
            Goal::End => {
                let timeline = session.timeline_mut();
                let end = timeline.end();
                if !timeline.seek(end, &mut slice_end)?.is_interrupted {
                    self.goal = Goal::Signal;
                }
            }
            Goal::Signal => {
                let stops = Stops {
                    signals: Choice::Some(BTreeSet::from([u64::from(self.number)])),
                    ..Stops::default()
                };
                let back = RunDirection::Backward;
                let stop = match self.has_begun {
                    true => session.run_on(back, &stops, &mut slice_end)?,
                    false => session.run(back, &stops, &mut slice_end)?,
                };
                self.has_begun = stop.is_interrupted;
                if stop.is_interrupted {
                    return Ok(Found::NotYet);
                }
                if !stop.reasons.contains(&StopReason::Signal(self.number)) {
                    return Ok(Found::All(None));
                }
                let pc = session.machine().cpu(CpuId(0)).pc();
                let is_handled = self.kernel.address_of(HANDLED).is_some_and(|at| at.0 == pc);
                match session.current() {
                    Some(task) if !is_handled => {
                        self.goal = Goal::Program(task.tid, task.name);
                    }
                    // The one before it may have ended something.
                    _ => {}
                }
            }
            Goal::Program(tid, name) => {
                let plan = DebugPlan {
                    user_exits: true,
                    ..DebugPlan::default()
                };
                let mut judge = |machine: &Machine, hit: &DebugHit| {
                    let current = self.kernel.view(machine).current(CpuId(0));
                    matches!(hit.kind, HitKind::UserExit(_))
                        && current.is_some_and(|task| task.tid == *tid)
                };
                let (back, timeline) = (RunDirection::Backward, session.timeline_mut());
                let status = match self.has_begun {
                    true => timeline.run_on(back, &plan, &mut judge, &mut slice_end)?,
                    false => timeline.run(back, &plan, &mut judge, &mut slice_end)?,
                };
                self.has_begun = status.is_interrupted;
                if !status.is_interrupted {
                    let signal = FatalSignal {
                        icount: status.icount.0,
                        tid: *tid,
                        thread: name.clone(),
                        signal: super::words::signal_name(self.number),
                    };
                    return Ok(Found::All((!status.hits.is_empty()).then_some(signal)));
                }
            }
        }
        Ok(Found::NotYet)
    }
}

/// The signal that an exit status tells of.
fn signal_of_status(status: i32) -> Option<u8> {
    let number = status.checked_sub(STATUS_OF_SIGNAL)?;
    (1..=SIGNALS_MAX)
        .contains(&number)
        .then(|| u8::try_from(number).ok())?
}

#[cfg(test)]
mod tests {
    use super::signal_of_status;

    #[test]
    fn statuses_above_128_are_signals() {
        for (status, signal) in [
            (0, None),
            (1, None),
            (128, None),
            (129, Some(1)),
            (139, Some(11)),
            (192, Some(64)),
            (193, None),
            (255, None),
            (-1, None),
            (i32::MIN, None),
        ] {
            assert_eq!(signal_of_status(status), signal, "{status}");
        }
    }
}
