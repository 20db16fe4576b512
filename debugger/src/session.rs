//! A debugging session: a timeline, the Linux inside, and runs to what somebody asked for.

mod judge;
mod memory;
mod step;
#[cfg(test)]
mod tests;

use crate::linux::{Kernel, LinuxError, LinuxView, Task};
use crate::source::{SymbolCache, UnfinishedLine};
use crate::stops::{Choice, Scope, Stop, StopReason, Stops, WatchAddress};
use judge::Judgement;
pub(crate) use memory::{CSR0, F0, PC, PRIVILEGE};
pub use memory::{ThreadRegisters, ThreadView};
use reprise_core::debug::{DebugHit, DebugPlan, HitKind, Watch, WatchKind, WatchPlace};
use reprise_core::machine::Machine;
use reprise_core::types::{CpuId, GuestPhysAddr, GuestVirtAddr, Icount};
use reprise_recorder::timeline::{
    Control, Executor, Judge, ReplayTimeline, RunDirection, StopStatus, TimelineError, unhurried,
};
use step::UnfinishedStep;

/// A timeline with somebody who looks at it.
///
/// Looking and running change nothing of the recording. Writing begins a diversion, see
/// [`ReplayTimeline::diverge`].
pub struct DebugSession {
    timeline: ReplayTimeline,
    kernel: Result<Kernel, LinuxError>,
    pub(crate) unfinished: Unfinished,
    symbol_cache: SymbolCache,
}

/// What was interrupted on its way, and is gone on with unless something else begins.
#[derive(Clone, Default)]
pub(crate) struct Unfinished {
    /// A stop at the exec of a thread, on the way to the new program.
    exec: Option<(Stop, u32)>,
    /// A thread's step.
    step: Option<UnfinishedStep>,
    /// A step by line, which may have been interrupted in one of the others.
    pub(crate) line: Option<Box<UnfinishedLine>>,
}

/// Whether a run stops at what is at its first position.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Onset {
    /// It was told before.
    Anew,
    /// It is looked at: an interrupted run had not come to it.
    GoingOn,
}

/// An access to memory that a search has found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoundAccess {
    /// Position of the instruction.
    pub icount: Icount,
    /// First watched byte that it touched.
    pub address: u64,
    /// Address of the instruction, when a CPU made the access.
    pub pc: u64,
    /// The thread that made it, and the name of its program, when Linux was running.
    pub thread: Option<(u32, String)>,
}

impl DebugSession {
    /// A session over a timeline, which stays where it is.
    #[must_use]
    pub fn new(timeline: ReplayTimeline) -> Self {
        let kernel = Kernel::find(timeline.machine().memory());
        Self {
            timeline,
            kernel,
            unfinished: Unfinished::default(),
            symbol_cache: SymbolCache::default(),
        }
    }

    /// The program files of the guest that have been parsed.
    pub fn symbol_cache_mut(&mut self) -> &mut SymbolCache {
        &mut self.symbol_cache
    }

    /// The timeline.
    #[must_use]
    pub fn timeline(&self) -> &ReplayTimeline {
        &self.timeline
    }

    /// The timeline, to go elsewhere.
    pub fn timeline_mut(&mut self) -> &mut ReplayTimeline {
        &mut self.timeline
    }

    /// The machine at the position.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        self.timeline.machine()
    }

    /// The guest's kernel, or why it is not known.
    ///
    /// # Errors
    /// What is missing for looking into it.
    pub fn kernel(&self) -> Result<&Kernel, &LinuxError> {
        self.kernel.as_ref()
    }

    /// The guest's Linux at the position, once it is up.
    #[must_use]
    pub fn linux(&self) -> Option<LinuxView<'_>> {
        let view = self.kernel.as_ref().ok()?.view(self.timeline.machine());
        let view = view.with_events(self.timeline.recording().events);
        view.is_up().then_some(view)
    }

    /// The task that the first CPU executes, when Linux is up.
    #[must_use]
    pub fn current(&self) -> Option<Task> {
        self.linux()?.current(CpuId(0))
    }

    /// The task with a thread number.
    #[must_use]
    pub fn task(&self, tid: u32) -> Option<Task> {
        let view = self.linux()?;
        // The current one is found without a walk, and most questions are about it.
        let current = view.current(CpuId(0)).filter(|task| task.tid == tid);
        current.or_else(|| view.tasks().into_iter().find(|task| task.tid == tid))
    }

    /// Runs until a reason of `stops`, an end, or a word from `control`.
    ///
    /// # Errors
    /// [`TimelineError`].
    pub fn run(
        &mut self,
        direction: RunDirection,
        stops: &Stops,
        control: Control<'_>,
    ) -> Result<Stop, TimelineError> {
        self.unfinished = Unfinished::default();
        self.run_with(direction, Onset::Anew, stops, None, control)
    }

    /// Goes on with a run, with the same `stops`, where `control` interrupted it. A run that is cut into slices stops where
    /// it would in one piece, no stop is missed or told twice, and each slice makes progress; see
    /// [`ReplayTimeline::run_on`]. An interrupted stop may have a reason already: the run has not come to where that is
    /// shown, and tells it again there.
    ///
    /// # Errors
    /// [`TimelineError`].
    pub fn run_on(
        &mut self,
        direction: RunDirection,
        stops: &Stops,
        control: Control<'_>,
    ) -> Result<Stop, TimelineError> {
        self.run_with_on(direction, stops, None, control)
    }

    /// As [`DebugSession::run_on`], and stops also when the thread `returning` enters or leaves user mode.
    fn run_with_on(
        &mut self,
        direction: RunDirection,
        stops: &Stops,
        returning: Option<judge::Edge>,
        control: Control<'_>,
    ) -> Result<Stop, TimelineError> {
        let here = self.timeline.position();
        match self.unfinished.exec.take() {
            Some((stop, tid)) if direction == RunDirection::Forward && stop.icount == here => {
                self.finish_exec(stop, tid, Onset::GoingOn, control)
            }
            _ => self.run_with(direction, Onset::GoingOn, stops, returning, control),
        }
    }

    /// As [`DebugSession::run`], and stops also when the thread `returning` enters or leaves user mode.
    fn run_with(
        &mut self,
        direction: RunDirection,
        onset: Onset,
        stops: &Stops,
        returning: Option<judge::Edge>,
        control: Control<'_>,
    ) -> Result<Stop, TimelineError> {
        let kernel = self.kernel.as_ref().ok();
        let mut judgement = Judgement::new(kernel, stops, direction, returning);
        let plan = self.plan(stops, &judgement);
        let mut judge = |machine: &Machine, hit: &DebugHit| judgement.accepts(machine, hit);
        let status = match onset {
            Onset::Anew => (self.timeline).run(direction, &plan, &mut judge, control)?,
            Onset::GoingOn => (self.timeline).run_on(direction, &plan, &mut judge, control)?,
        };
        let mut stop = stop_from_status(&status);
        stop.reasons = judgement.reasons_of(&status.hits);
        let is_exec = |reason: &StopReason| matches!(reason, StopReason::Exec(_));
        if direction == RunDirection::Forward
            && stop.reasons.iter().any(is_exec)
            && let Some(task) = self.current()
        {
            // The new program's registers are set on the way back to user mode.
            return self.finish_exec(stop, task.tid, Onset::Anew, control);
        }
        Ok(stop)
    }

    /// Asks of the machine what the judgement will want to look at.
    fn plan(&self, stops: &Stops, judgement: &Judgement<'_>) -> DebugPlan {
        let breakpoints = stops
            .breakpoints
            .iter()
            .map(|breakpoint| breakpoint.address);
        DebugPlan {
            breakpoints: breakpoints.chain(judgement.probes()).collect(),
            watches: stops
                .watchpoints
                .iter()
                .map(|watch| machine_watch(watch.address, watch.byte_len, watch.kind))
                .collect(),
            system_calls: !stops.system_calls.is_empty(),
            user_exits: judgement.wants_user_exits(),
            user_entries: !stops.system_calls.is_empty() || judgement.wants_user_entries(),
        }
    }

    /// Goes to where the recorded program begins: the first program that is executed by another process than the first
    /// one, which prepares the system. Where there is none, stays at the beginning.
    ///
    /// # Errors
    /// [`TimelineError`].
    pub fn go_to_program(&mut self, control: Control<'_>) -> Result<(), TimelineError> {
        let stops = Stops {
            exec: Choice::all(),
            ..Stops::default()
        };
        loop {
            let stop = self.run(RunDirection::Forward, &stops, control)?;
            if stop.is_interrupted {
                return Ok(());
            }
            if stop.reasons.is_empty() {
                self.timeline.seek(Icount(0), &mut unhurried)?;
                return Ok(());
            }
            if self.current().is_some_and(|task| task.tgid != 1) {
                return Ok(());
            }
        }
    }

    /// The accesses to a range of memory before the position, the last ones last; `count` of them at the most.
    ///
    /// # Errors
    /// [`TimelineError`].
    #[allow(clippy::too_many_arguments, reason = "a search has that many sides")]
    pub fn accesses_before(
        &mut self,
        scope: Scope,
        address: WatchAddress,
        byte_len: u64,
        kind: WatchKind,
        count: usize,
        executor: &dyn Executor,
        control: Control<'_>,
    ) -> Result<Vec<FoundAccess>, TimelineError> {
        let plan = DebugPlan {
            watches: vec![machine_watch(address, byte_len, kind)],
            ..DebugPlan::default()
        };
        let here = self.timeline.position();
        let found = self.search_before(here, scope, &plan, count, executor, control);
        // Wherever that ended, and however: looking moves nobody.
        self.timeline.seek(here, &mut unhurried)?;
        found
    }

    fn search_before(
        &mut self,
        here: Icount,
        scope: Scope,
        plan: &DebugPlan,
        count: usize,
        executor: &dyn Executor,
        control: Control<'_>,
    ) -> Result<Vec<FoundAccess>, TimelineError> {
        let kernel = self.kernel.as_ref().ok().cloned();
        let counts = || -> Box<dyn Judge> {
            let kernel = kernel.clone();
            Box::new(move |machine: &Machine, _: &DebugHit| {
                judge::is_of_scope(kernel.as_ref(), machine, scope)
            })
        };
        let mut found: Vec<FoundAccess> = Vec::new();
        let mut end = here;
        while found.len() < count {
            let hits =
                (self.timeline).find_last(Icount(0)..end, plan, &counts, executor, control)?;
            let Some(first) = hits.first() else {
                break;
            };
            end = first.icount;
            self.timeline.seek(end, &mut unhurried)?;
            for hit in hits {
                let HitKind::Access { address, .. } = hit.kind else {
                    continue;
                };
                found.push(FoundAccess {
                    icount: hit.icount,
                    address,
                    pc: self.machine().cpu(CpuId(0)).pc(),
                    thread: self.current().map(|task| (task.tid, task.name)),
                });
            }
        }
        found.reverse();
        Ok(found)
    }
}

/// What the machine watches for a watchpoint. Whose access it was is judged at each hit: a process may not be there, or
/// have other page tables, where a run begins.
fn machine_watch(address: WatchAddress, byte_len: u64, kind: WatchKind) -> Watch {
    let place = match address {
        WatchAddress::Physical(address) => WatchPlace::Physical(GuestPhysAddr(address)),
        WatchAddress::Virtual(address) => WatchPlace::Virtual {
            address: GuestVirtAddr(address),
            space: None,
        },
    };
    Watch {
        place,
        byte_len,
        kind,
    }
}

fn stop_from_status(status: &StopStatus) -> Stop {
    Stop {
        icount: status.icount,
        reasons: Vec::new(),
        edge: status.edge,
        is_interrupted: status.is_interrupted,
    }
}
