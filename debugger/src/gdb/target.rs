//! What gdbstub asks of a session: registers, memory, files, the next run, monitor commands.
//!
//! gdbstub knows one process whose threads have numbers; [`super::server`] adds the processes around it.

use super::files::OpenFiles;
use super::registers::{CoreRegisters, RegisterNumber, Riscv64, register_bytes};
use super::threads::{Thread, Threads};
use super::{ServerOptions, View};
use crate::session::{DebugSession, ThreadView};
use crate::stops::{Scope, Stops};
use gdbstub::common::{Signal, Tid};
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::multithread::{
    MultiThreadBase, MultiThreadRangeStepping, MultiThreadRangeSteppingOps, MultiThreadResume,
    MultiThreadResumeOps, MultiThreadSchedulerLocking, MultiThreadSchedulerLockingOps,
    MultiThreadSingleStep, MultiThreadSingleStepOps,
};
use gdbstub::target::ext::base::reverse_exec::{
    ReverseCont, ReverseContOps, ReverseStep, ReverseStepOps,
};
use gdbstub::target::ext::base::single_register_access::{
    SingleRegisterAccess, SingleRegisterAccessOps,
};
use gdbstub::target::ext::host_io::HostIoOps;
use gdbstub::target::{Target, TargetError, TargetResult};
use reprise_core::types::GuestVirtAddr;
use reprise_recorder::timeline::{Executor, RunDirection};
use std::convert::Infallible;
use std::ops::Range;

/// Linux's numbers of errors.
const EFAULT: u8 = 14;
const EINVAL: u8 = 22;
const ESRCH: u8 = 3;

/// The next run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// Until something happens.
    Continue(RunDirection),
    /// One instruction of a thread, or as many as it takes to leave a range of addresses.
    Step {
        tid: u32,
        direction: RunDirection,
        within: Option<Range<u64>>,
    },
}

/// The target.
pub(crate) struct SessionTarget {
    pub(crate) session: DebugSession,
    pub(crate) options: ServerOptions,
    pub(crate) executor: Box<dyn Executor + Send>,
    pub(crate) threads: Threads,
    pub(crate) files: OpenFiles,
    /// What runs stop at.
    pub(crate) stops: Stops,
    /// What has been asked for and not done yet.
    pub(crate) action: Option<Action>,
    /// The client wants to hear of the thread that it steps and of no other.
    pub(crate) is_locked: bool,
    /// Thread that questions without one are about.
    pub(crate) selected: u32,
}

impl SessionTarget {
    /// The thread with a number, at the position.
    pub(crate) fn thread(&mut self, tid: u32) -> Option<Thread> {
        self.threads.update(&self.session, self.options.view);
        self.threads.get(tid).cloned()
    }

    fn view(&mut self, tid: Tid) -> TargetResult<ThreadView, Self> {
        let thread = u32::try_from(tid.get())
            .ok()
            .and_then(|tid| self.thread(tid));
        thread
            .map(|thread| thread.view)
            .ok_or(TargetError::Errno(ESRCH))
    }

    /// The scope of what a client sets for a process.
    pub(crate) fn scope_of(&self, pid: u32) -> Scope {
        if self.options.view == View::Machine || pid >= super::threads::MACHINE_PID {
            Scope::Machine
        } else {
            Scope::Process(pid)
        }
    }
}

impl Target for SessionTarget {
    type Arch = Riscv64;
    type Error = Infallible;

    fn base_ops(&mut self) -> BaseOps<'_, Self::Arch, Self::Error> {
        BaseOps::MultiThread(self)
    }

    fn guard_rail_implicit_sw_breakpoints(&self) -> bool {
        // Breakpoints are kept in front of gdbstub, with their processes and conditions.
        true
    }

    fn use_rle(&self) -> bool {
        false
    }

    fn support_host_io(&mut self) -> Option<HostIoOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadBase for SessionTarget {
    fn read_registers(
        &mut self,
        registers: &mut CoreRegisters,
        tid: Tid,
    ) -> TargetResult<(), Self> {
        let view = self.view(tid)?;
        let found = self.session.registers(&view);
        *registers = found.ok_or(TargetError::Errno(ESRCH))?.into();
        Ok(())
    }

    fn write_registers(&mut self, registers: &CoreRegisters, tid: Tid) -> TargetResult<(), Self> {
        let view = self.view(tid)?;
        let old: CoreRegisters = self
            .session
            .registers(&view)
            .ok_or(TargetError::Errno(ESRCH))?
            .into();
        // Only what changes is written: each write is an event of the diversion.
        let mut writes = Vec::new();
        for number in 1..32u16 {
            let at = usize::from(number);
            if registers.x[at] != old.x[at] {
                writes.push((number, registers.x[at]));
            }
        }
        if let (Some(new), Some(old)) = (registers.f, old.f) {
            for number in 0..32u16 {
                let at = usize::from(number);
                if new[at] != old[at] {
                    writes.push((crate::session::F0 + number, new[at]));
                }
            }
        }
        if registers.pc != old.pc {
            writes.push((crate::session::PC, registers.pc));
        }
        for (number, value) in writes {
            self.session
                .write_register(&view, number, value)
                .map_err(|_| TargetError::Errno(EFAULT))?;
        }
        self.threads.forget();
        Ok(())
    }

    fn support_single_register_access(&mut self) -> Option<SingleRegisterAccessOps<'_, Tid, Self>> {
        Some(self)
    }

    fn read_addrs(&mut self, start: u64, data: &mut [u8], tid: Tid) -> TargetResult<usize, Self> {
        let view = self.view(tid)?;
        let length = self.session.read_memory(&view, GuestVirtAddr(start), data);
        if length == 0 && !data.is_empty() {
            return Err(TargetError::Errno(EFAULT));
        }
        Ok(length)
    }

    fn write_addrs(&mut self, start: u64, data: &[u8], tid: Tid) -> TargetResult<(), Self> {
        let view = self.view(tid)?;
        let written = self.session.write_memory(&view, GuestVirtAddr(start), data);
        self.threads.forget();
        written.map_err(|_| TargetError::Errno(EFAULT))
    }

    fn list_active_threads(&mut self, register: &mut dyn FnMut(Tid)) -> Result<(), Self::Error> {
        self.threads.update(&self.session, self.options.view);
        for thread in self.threads.all() {
            if let Some(tid) = Tid::new(thread.tid as usize) {
                register(tid);
            }
        }
        Ok(())
    }

    fn support_resume(&mut self) -> Option<MultiThreadResumeOps<'_, Self>> {
        Some(self)
    }
}

impl SingleRegisterAccess<Tid> for SessionTarget {
    fn read_register(
        &mut self,
        tid: Tid,
        register: RegisterNumber,
        buffer: &mut [u8],
    ) -> TargetResult<usize, Self> {
        let view = self.view(tid)?;
        let value = self.session.register(&view, register.0);
        let bytes = value.ok_or(TargetError::Errno(EFAULT))?.to_le_bytes();
        let length = register_bytes(register.0).min(buffer.len());
        buffer[..length].copy_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn write_register(
        &mut self,
        tid: Tid,
        register: RegisterNumber,
        bytes: &[u8],
    ) -> TargetResult<(), Self> {
        let view = self.view(tid)?;
        if bytes.len() != register_bytes(register.0) {
            return Err(TargetError::Errno(EINVAL));
        }
        let mut value = [0; 8];
        value[..bytes.len()].copy_from_slice(bytes);
        let value = u64::from_le_bytes(value);
        if self.session.register(&view, register.0) == Some(value) {
            return Ok(());
        }
        let written = self.session.write_register(&view, register.0, value);
        self.threads.forget();
        written.map_err(|_| TargetError::Errno(EFAULT))
    }
}

impl MultiThreadResume for SessionTarget {
    fn resume(&mut self) -> Result<(), Self::Error> {
        // Threads that nobody named go on.
        self.action
            .get_or_insert(Action::Continue(RunDirection::Forward));
        Ok(())
    }

    fn clear_resume_actions(&mut self) -> Result<(), Self::Error> {
        self.action = None;
        self.is_locked = false;
        Ok(())
    }

    fn set_resume_action_continue(
        &mut self,
        _tid: Tid,
        _signal: Option<Signal>,
    ) -> Result<(), Self::Error> {
        // One thread cannot run without the machine, so the others run as well.
        Ok(())
    }

    fn support_single_step(&mut self) -> Option<MultiThreadSingleStepOps<'_, Self>> {
        Some(self)
    }

    fn support_range_step(&mut self) -> Option<MultiThreadRangeSteppingOps<'_, Self>> {
        Some(self)
    }

    fn support_reverse_step(&mut self) -> Option<ReverseStepOps<'_, Tid, Self>> {
        Some(self)
    }

    fn support_reverse_cont(&mut self) -> Option<ReverseContOps<'_, Tid, Self>> {
        Some(self)
    }

    fn support_scheduler_locking(&mut self) -> Option<MultiThreadSchedulerLockingOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadSchedulerLocking for SessionTarget {
    fn set_resume_action_scheduler_lock(&mut self) -> Result<(), Self::Error> {
        // What was recorded decides who runs, but the client can be spared what the others meet.
        self.is_locked = true;
        Ok(())
    }
}

impl MultiThreadSingleStep for SessionTarget {
    fn set_resume_action_step(
        &mut self,
        tid: Tid,
        _signal: Option<Signal>,
    ) -> Result<(), Self::Error> {
        self.action = Some(Action::Step {
            tid: thread_number(tid),
            direction: RunDirection::Forward,
            within: None,
        });
        Ok(())
    }
}

impl MultiThreadRangeStepping for SessionTarget {
    fn set_resume_action_range_step(
        &mut self,
        tid: Tid,
        start: u64,
        end: u64,
    ) -> Result<(), Self::Error> {
        self.action = Some(Action::Step {
            tid: thread_number(tid),
            direction: RunDirection::Forward,
            within: Some(start..end),
        });
        Ok(())
    }
}

impl ReverseCont<Tid> for SessionTarget {
    fn reverse_cont(&mut self) -> Result<(), Self::Error> {
        self.action = Some(Action::Continue(RunDirection::Backward));
        Ok(())
    }
}

impl ReverseStep<Tid> for SessionTarget {
    fn reverse_step(&mut self, tid: Tid) -> Result<(), Self::Error> {
        self.action = Some(Action::Step {
            tid: thread_number(tid),
            direction: RunDirection::Backward,
            within: None,
        });
        Ok(())
    }
}

/// The number of a thread, which the server made from 32 bits.
fn thread_number(tid: Tid) -> u32 {
    u32::try_from(tid.get()).unwrap_or(u32::MAX)
}
