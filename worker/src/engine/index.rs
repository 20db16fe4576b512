//! Going through a whole recording: everything that was printed, every hash compared, who did what when, and which signal
//! has ended it.

use super::open::Opened;
use super::signal::{Found, SignalSearch};
use super::{Progress, Refusal, live};
use crate::protocol::{IndexPart, Message, RequestId, Return, Switch, SystemCall, ThreadName};
use reprise_core::debug::{DebugHit, DebugPlan, HitKind, UserExit};
use reprise_core::machine::Machine;
use reprise_core::types::{CpuId, Icount};
use reprise_debugger::linux::Kernel;
use reprise_recorder::entry::Entry;
use reprise_recorder::replay::ReplaySession;
use reprise_recorder::timeline::RunDirection;
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::ops::ControlFlow;

/// System calls that are collected: a list of more is not read by anybody.
const CALLS_MAX: usize = 200_000;

/// Switches between threads that are collected.
const SWITCHES_MAX: usize = 500_000;

/// Steps of a slice: some ten milliseconds in a browser.
const SLICE_STEPS: u64 = 1 << 20;

/// Numbers of the registers of a system call in the ABI: `a0`, `a7`.
const A0: usize = 10;
const A7: usize = 17;

/// Entries out of memory, as a replay takes them.
#[derive(Default)]
struct Entries(VecDeque<Entry>);

impl Iterator for Entries {
    type Item = Result<Entry, Infallible>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.pop_front().map(Ok)
    }
}

/// How far it is.
pub(crate) struct IndexWork {
    phase: Phase,
    collector: Option<Collector>,
    /// What comes last, where the recorded command was ended by a signal.
    signal: Option<Box<SignalSearch>>,
}

enum Phase {
    /// Executes and compares; what is printed comes out.
    Verify {
        replay: Box<ReplaySession<Entries>>,
        /// How many entries it has been given.
        given: usize,
    },
    /// Executes again and looks at every crossing into and out of the kernel.
    Collect { has_begun: bool },
    /// Goes back from the end to the signal.
    Signal,
}

impl IndexWork {
    pub(crate) fn new(opened: &Opened) -> Result<Self, Refusal> {
        let replay = ReplaySession::new(opened.source.machine()?, Entries::default());
        let kernel = opened.server.session().kernel().ok();
        Ok(Self {
            phase: Phase::Verify {
                replay: Box::new(replay),
                given: 0,
            },
            collector: kernel.map(Collector::new),
            signal: None,
        })
    }

    pub(crate) fn slice(
        &mut self,
        id: RequestId,
        opened: &mut Opened,
        out: &mut VecDeque<Message>,
    ) -> Result<Progress, Refusal> {
        let end = opened.server.session().timeline().end().0;
        match &mut self.phase {
            Phase::Verify { replay, given } => {
                let entries = opened.file.entries();
                let new = entries[*given..].iter().cloned();
                replay.entries_mut().0.extend(new);
                *given = entries.len();
                let is_arriving = opened.arrival.is_some();
                let recorded_end = opened.server.session().timeline().recorded_end();
                // One that breaks off goes on behind its last entry, to where it is known that there is no other.
                let breaks_off = !is_arriving && recorded_end.is_none();
                replay.expect_more(is_arriving || breaks_off);
                let here = replay.machine().icount();
                let to = here.after(SLICE_STEPS).min(Icount(end));
                if is_arriving && to <= here {
                    return Ok(Progress::Waits);
                }
                let advanced = replay.advance(to);
                let outputs = match &advanced {
                    Ok(status) => live::printed(&status.outputs),
                    // It may go on when something has been fetched.
                    Err(_) => live::printed(&replay.take_outputs()),
                };
                if !outputs.is_empty() {
                    out.push_back(Message::Console(outputs));
                }
                let status = advanced?;
                out.push_back(progress(id, "replaying", status.icount.0, end));
                if status.finished || breaks_off && status.icount.0 >= end {
                    out.push_back(Message::Verified {
                        icount: status.icount.0,
                        hash: replay.state_hash().to_string(),
                        hash_count: replay.hash_count(),
                    });
                    // How the command ended is known when all of the recording has come.
                    let session = opened.server.session();
                    let exit_status = recorded_end.and_then(|end| end.exit_status);
                    let kernel = session.kernel().ok();
                    let search = kernel.and_then(|kernel| SignalSearch::new(kernel, exit_status));
                    self.signal = search.map(Box::new);
                    self.phase = Phase::Collect { has_begun: false };
                }
                Ok(Progress::More)
            }
            Phase::Collect { has_begun } => {
                let Some(collector) = &mut self.collector else {
                    // Without the kernel's types nobody knows who runs.
                    return Ok(Progress::Done);
                };
                let goes_on = std::mem::replace(has_begun, true);
                let is_over = collector.slice(opened, goes_on)?;
                let upto = opened.server.session().timeline().position().0;
                let mut part = std::mem::take(&mut collector.part);
                part.upto = upto;
                out.push_back(Message::Indexed(part));
                out.push_back(progress(id, "reading system calls", upto, end));
                if !is_over && !collector.is_full() {
                    return Ok(Progress::More);
                }
                self.phase = Phase::Signal;
                Ok(Progress::More)
            }
            Phase::Signal => {
                let Some(search) = &mut self.signal else {
                    return Ok(Progress::Done);
                };
                let session = opened.server.session_mut();
                let found = search.slice(session)?;
                let behind = end.saturating_sub(session.timeline().position().0);
                let Found::All(signal) = found else {
                    out.push_back(progress(id, "looking for the signal", behind, end));
                    return Ok(Progress::More);
                };
                out.extend(signal.map(Message::FatalSignal));
                Ok(Progress::Done)
            }
        }
    }
}

fn progress(id: RequestId, what: &str, done: u64, total: u64) -> Message {
    Message::Progress {
        id,
        what: what.to_owned(),
        done,
        total,
    }
}

/// Gathers an index.
struct Collector {
    kernel: Kernel,
    part: IndexPart,
    call_count: usize,
    switch_count: usize,
    /// Calls that have not returned, by thread.
    pending: BTreeMap<u32, u64>,
    names: BTreeMap<u32, (u32, String)>,
    running: Option<u32>,
}

impl Collector {
    fn new(kernel: &Kernel) -> Self {
        Self {
            kernel: kernel.clone(),
            part: IndexPart::default(),
            call_count: 0,
            switch_count: 0,
            pending: BTreeMap::new(),
            names: BTreeMap::new(),
            running: None,
        }
    }

    fn is_full(&self) -> bool {
        self.call_count >= CALLS_MAX && self.switch_count >= SWITCHES_MAX
    }

    /// Whether the end was reached.
    fn slice(&mut self, opened: &mut Opened, goes_on: bool) -> Result<bool, Refusal> {
        let timeline = opened.server.session_mut().timeline_mut();
        let plan = DebugPlan {
            system_calls: true,
            user_entries: true,
            ..DebugPlan::default()
        };
        let mut judge = |machine: &Machine, hit: &DebugHit| {
            self.look(machine, hit);
            false
        };
        let mut slice_end = |_| ControlFlow::Break(());
        let status = if goes_on {
            timeline.run_on(RunDirection::Forward, &plan, &mut judge, &mut slice_end)?
        } else {
            timeline.seek(Icount(0), &mut |_| ControlFlow::Continue(()))?;
            timeline.run(RunDirection::Forward, &plan, &mut judge, &mut slice_end)?
        };
        Ok(!status.is_interrupted)
    }

    fn look(&mut self, machine: &Machine, hit: &DebugHit) {
        let view = self.kernel.view(machine);
        let Some(task) = view.current(CpuId(0)) else {
            return;
        };
        let tid = task.tid;
        let registers = machine.cpu(CpuId(0)).x();
        let icount = hit.icount.0;
        let is_new = self
            .names
            .get(&tid)
            .is_none_or(|(tgid, name)| (*tgid, name) != (task.tgid, &task.name));
        if is_new {
            self.names.insert(tid, (task.tgid, task.name.clone()));
            self.part.names.push(ThreadName {
                icount,
                tid,
                tgid: task.tgid,
                name: task.name.clone(),
            });
        }
        match hit.kind {
            HitKind::UserExit(UserExit::SystemCall) => {
                if self.call_count >= CALLS_MAX {
                    self.part.is_capped = true;
                    return;
                }
                let mut arguments = [0; 6];
                arguments.copy_from_slice(&registers[A0..A0 + 6]);
                self.call_count += 1;
                self.pending.insert(tid, icount);
                self.part.calls.push(SystemCall {
                    icount,
                    tid,
                    text: view.call_text(&task, registers[A7], &arguments),
                    result: None,
                });
            }
            HitKind::UserEntry => {
                if let Some(call) = self.pending.remove(&tid) {
                    self.part.returns.push(Return {
                        call,
                        icount,
                        value: registers[A0].cast_signed(),
                    });
                }
                if self.running != Some(tid) {
                    self.running = Some(tid);
                    if self.switch_count >= SWITCHES_MAX {
                        self.part.is_capped = true;
                        return;
                    }
                    self.switch_count += 1;
                    self.part.switches.push(Switch { icount, tid });
                }
            }
            _ => {}
        }
    }
}
