//! Replaying: the recorded events are handed over where they were, and each recorded hash is
//! compared with the state.

use crate::entry::{End, EndReason, Entry, TimedEvent};
use crate::play::{self, Order, PlayError};
use reprise_core::machine::{Machine, Snapshot, StateHash};
use reprise_core::output::Output;
use reprise_core::types::Icount;
use thiserror::Error;

/// Why a replay failed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ReplayError<E> {
    /// The entries could not be read.
    #[error(transparent)]
    Entries(E),
    /// The entries contradict each other.
    #[error(
        "the trace is damaged: the entry at icount {0} cannot stand where it does; \
         get the trace anew"
    )]
    OutOfOrder(Icount),
    /// The state is not what was recorded.
    #[error(
        "the replay diverged: the state at icount {good} is as recorded, at icount {icount} it \
         differs in {}; `reprise verify` finds the exact step",
        .components.join(", ")
    )]
    Diverged {
        /// Last position at which the state was as recorded.
        good: Icount,
        /// First position at which it is known to differ.
        icount: Icount,
        /// What differs.
        components: Vec<&'static str>,
    },
    /// The machine cannot follow the recording.
    #[error(
        "the replay diverged after icount {good}, the last at which the state is known to be as \
         recorded: {error}"
    )]
    Lost {
        /// Last position at which the state was as recorded.
        good: Icount,
        /// What went wrong.
        error: PlayError,
    },
    /// The end is not what was recorded.
    #[error(
        "the replay diverged at its end, icount {icount}: it {found}, the recording {expected}"
    )]
    OtherEnd {
        /// Position of the end.
        icount: Icount,
        /// How the replay ended.
        found: String,
        /// How the recording ended.
        expected: String,
    },
}

/// What [`ReplaySession::advance`] did. Several fields can tell something at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplayStatus {
    /// Position.
    pub icount: Icount,
    /// What came out.
    pub outputs: Vec<Output>,
    /// The limit was reached.
    pub at_limit: bool,
    /// The recording is over.
    pub finished: bool,
}

/// A machine that follows a recording.
pub struct ReplaySession<I> {
    machine: Machine,
    entries: I,
    next: Option<Entry>,
    order: Order,
    good: Icount,
    hash_count: u64,
    event_count: u64,
    end: Option<End>,
    outputs: Vec<Output>,
    is_finished: bool,
    expects_more: bool,
}

impl<I, E> ReplaySession<I>
where
    I: Iterator<Item = Result<Entry, E>>,
{
    /// Lets `machine`, which must be as the recording's was at its start, follow `entries`.
    #[must_use]
    pub fn new(machine: Machine, entries: I) -> Self {
        let good = machine.icount();
        Self {
            machine,
            entries,
            next: None,
            order: Order::default(),
            good,
            hash_count: 0,
            event_count: 0,
            end: None,
            outputs: Vec::new(),
            is_finished: false,
            expects_more: false,
        }
    }

    /// The machine.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The entries that have not been taken yet, to append more that have come.
    pub fn entries_mut(&mut self) -> &mut I {
        &mut self.entries
    }

    /// Whether more entries may come: then the recording is not over where there are no more of them, and
    /// [`ReplaySession::advance`] must not be given a limit up to which they are not all there.
    pub fn expect_more(&mut self, expects_more: bool) {
        self.expects_more = expects_more;
    }

    /// What came out and was not handed over because [`ReplaySession::advance`] failed.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// Hash of the present state.
    pub fn state_hash(&mut self) -> StateHash {
        self.machine.state_hash()
    }

    /// The present state.
    pub fn snapshot(&mut self) -> Snapshot {
        self.machine.snapshot()
    }

    /// How many recorded hashes have been compared.
    #[must_use]
    pub fn hash_count(&self) -> u64 {
        self.hash_count
    }

    /// How many events have been delivered.
    #[must_use]
    pub fn event_count(&self) -> u64 {
        self.event_count
    }

    /// Last position at which the state was found to be as recorded.
    #[must_use]
    pub fn good(&self) -> Icount {
        self.good
    }

    /// Exit status of the start's command, once the guest has reported it.
    #[must_use]
    pub fn exit_status(&self) -> Option<i32> {
        self.machine.exit_status()
    }

    /// The end as it was recorded, once it is reached; a recording that was cut off has none.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// Goes on to `limit`, or to the end of the recording if that comes first, or until much has
    /// come out: call it again then.
    ///
    /// # Errors
    /// [`ReplayError`]; the session stays where it is then.
    pub fn advance(&mut self, limit: Icount) -> Result<ReplayStatus, ReplayError<E>> {
        let result = self.follow(limit);
        self.outputs = self.machine.take_outputs();
        result?;
        if self.is_finished
            && let Some(end) = self.end.filter(|end| end.exit_status != self.exit_status())
        {
            return Err(ReplayError::OtherEnd {
                icount: end.icount,
                found: describe_exit(self.exit_status()),
                expected: describe_exit(end.exit_status),
            });
        }
        let icount = self.machine.icount();
        Ok(ReplayStatus {
            icount,
            outputs: self.take_outputs(),
            at_limit: icount >= limit,
            finished: self.is_finished,
        })
    }

    fn follow(&mut self, limit: Icount) -> Result<(), ReplayError<E>> {
        while !self.is_finished {
            let Some(entry) = self.peek()? else {
                if self.expects_more {
                    self.run_to(limit)?;
                } else {
                    self.is_finished = true;
                }
                break;
            };
            match entry {
                Entry::Event(event) => {
                    if !self.run_to(event.due().min(limit))? {
                        break;
                    }
                    // The limit may fall between the jump and the event.
                    if limit > event.due() && self.machine.icount() < event.icount {
                        self.try_play(|machine| play::jump_for(machine, &event))?;
                    }
                    if self.machine.icount() < event.icount || limit <= event.icount {
                        break;
                    }
                    self.deliver(&event)?;
                }
                Entry::Hash { icount, hash } => {
                    self.run_to(icount.min(limit))?;
                    if self.machine.icount() < icount {
                        break;
                    }
                    self.compare(icount, hash)?;
                }
                Entry::End(end) => {
                    self.run_to(end.icount.min(limit))?;
                    if self.machine.icount() < end.icount {
                        break;
                    }
                    self.end = Some(end);
                    self.is_finished = true;
                    self.compare_end(end)?;
                }
            }
            self.next = None;
        }
        Ok(())
    }

    fn peek(&mut self) -> Result<Option<Entry>, ReplayError<E>> {
        if self.next.is_none() {
            self.next = self
                .entries
                .next()
                .transpose()
                .map_err(ReplayError::Entries)?;
            if let Some(entry) = &self.next
                && !self.order.admits(entry)
            {
                return Err(ReplayError::OutOfOrder(entry.icount()));
            }
        }
        Ok(self.next.clone())
    }

    /// Returns whether it got there.
    fn run_to(&mut self, target: Icount) -> Result<bool, ReplayError<E>> {
        self.try_play(|machine| play::run_to(machine, target))
    }

    fn deliver(&mut self, event: &TimedEvent) -> Result<(), ReplayError<E>> {
        self.try_play(|machine| play::deliver(machine, event))?;
        self.event_count += 1;
        Ok(())
    }

    fn try_play<T>(
        &mut self,
        play: impl FnOnce(&mut Machine) -> Result<T, PlayError>,
    ) -> Result<T, ReplayError<E>> {
        play(&mut self.machine).map_err(|error| ReplayError::Lost {
            good: self.good,
            error,
        })
    }

    fn compare(&mut self, icount: Icount, recorded: StateHash) -> Result<(), ReplayError<E>> {
        let found = self.machine.state_hash();
        let components = differing_components(&found, &recorded);
        if !components.is_empty() {
            return Err(ReplayError::Diverged {
                good: self.good,
                icount,
                components,
            });
        }
        self.good = icount;
        self.hash_count += 1;
        Ok(())
    }

    fn compare_end(&mut self, end: End) -> Result<(), ReplayError<E>> {
        let found = self.machine.halted();
        let is_as_recorded = match end.reason {
            EndReason::Halted(reason) => found == Some(reason),
            EndReason::Stopped | EndReason::LimitReached | EndReason::WaitsForever => {
                found.is_none()
            }
        };
        if is_as_recorded {
            return Ok(());
        }
        Err(ReplayError::OtherEnd {
            icount: end.icount,
            found: found.map_or_else(
                || "goes on".to_owned(),
                |reason| EndReason::Halted(reason).to_string(),
            ),
            expected: end.reason.to_string(),
        })
    }
}

fn describe_exit(status: Option<i32>) -> String {
    status.map_or_else(
        || "reported no exit status".to_owned(),
        |status| format!("reported exit status {status}"),
    )
}

/// Names of the components in which two hashes differ.
#[must_use]
pub fn differing_components(left: &StateHash, right: &StateHash) -> Vec<&'static str> {
    StateHash::COMPONENT_NAMES
        .into_iter()
        .zip(left.components().into_iter().zip(right.components()))
        .filter(|(_, (left, right))| left != right)
        .map(|(name, _)| name)
        .collect()
}
