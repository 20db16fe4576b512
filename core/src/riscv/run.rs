//! The run loop of a hart: interrupts, deadlines, blocks and steps.

use super::block::{BlockCache, fetch_one};
use super::exec::{Exit, execute};
use super::hart::{Hart, HartWithCode};
use super::mmu::look_up;
use super::platform::Platform;
use super::sbi;
use super::trap::{Exception, Privilege, cause};
use crate::debug::{HitKind, UserExit};
use crate::image::ImageStall;
use crate::machine::Engine;
use crate::memory::page_flag;
use crate::types::{GuestPhysAddr, GuestVirtAddr, PAGE_BYTES};

/// Why a hart came back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HartExit {
    /// The limit was reached.
    Limit,
    /// The hart is parked and no enabled interrupt is pending.
    Parked,
    /// The platform has halted.
    Halted,
    /// A debugger is to look at what was met.
    Debug,
    /// The host must take the outputs first.
    OutputFull,
    /// A step waits for bytes of an image.
    Stall(ImageStall),
}

impl HartWithCode {
    /// Runs from `*icount` to `limit`, or until something else must happen first.
    pub(crate) fn run(
        &mut self,
        p: &mut Platform,
        icount: &mut u64,
        limit: u64,
        engine: Engine,
    ) -> HartExit {
        loop {
            self.settle(p, *icount);
            // Before anything returns: the state at a position must not depend on who asks for it.
            p.tick(*icount);
            if p.debugger.is_some() && self.report_accesses(p, *icount) {
                return HartExit::Debug;
            }
            if p.halted.is_some() {
                return HartExit::Halted;
            }
            if *icount >= limit {
                return HartExit::Limit;
            }
            if p.outputs.is_full() {
                return HartExit::OutputFull;
            }
            self.hart.follow_epoch(p);
            let mip = self.hart.pending(p, *icount);
            if self.hart.parked && mip & self.hart.csr.mie == 0 {
                return HartExit::Parked;
            }
            if let Some(cause) = self.hart.interrupt_to_take(mip) {
                if self.stops_at_user_exit(p, UserExit::Interrupt, *icount) {
                    return HartExit::Debug;
                }
                self.hart.take_trap(Exception::new(cause, 0));
                *icount += 1;
                continue;
            }
            // A step that stalls leaves the hart as it was, parked or not.
            let was_parked = std::mem::take(&mut self.hart.parked);
            let before = *icount;
            let deadline = self.deadline(p, *icount, limit);
            self.hart.area.deadline = deadline;
            self.hart.area.budget = (deadline - *icount) as i64;
            let was_user = self.hart.privilege == Privilege::User;
            let exit = match engine {
                Engine::Blocks => self.run_blocks(p),
                Engine::Reference if is_reachable_breakpoint(&self.hart, p) => Exit::Probe,
                Engine::Reference => step::<true>(&mut self.hart, &mut self.scratch, p),
            };
            *icount = deadline.wrapping_sub(self.hart.area.budget as u64);
            match exit {
                Exit::Miss | Exit::Budget | Exit::Recheck => {
                    if !was_user && self.hart.privilege == Privilege::User {
                        note_user_entry(p, *icount);
                    }
                }
                Exit::Probe => {
                    self.hart.undo_fetch(p, *icount);
                    if *icount == before {
                        self.hart.parked = was_parked;
                    }
                    self.report_before_step(p, *icount);
                    return HartExit::Debug;
                }
                Exit::Trap(exception)
                    if exception.cause == cause::ECALL_U
                        && self.stops_at_user_exit(p, UserExit::SystemCall, *icount) =>
                {
                    self.hart.undo_fetch(p, *icount);
                    if *icount == before {
                        self.hart.parked = was_parked;
                    }
                    return HartExit::Debug;
                }
                Exit::Trap(exception) => {
                    if self.hart.privilege == Privilege::User && exception.cause != cause::ECALL_U {
                        note_user_fault(p, exception.cause, *icount);
                    }
                    let is_firmware_call = exception.cause == cause::ECALL_S
                        && self.hart.privilege == Privilege::Supervisor
                        && p.has_sbi;
                    if is_firmware_call {
                        sbi::call(&mut self.hart, p, *icount);
                    } else {
                        self.hart.take_trap(exception);
                    }
                    *icount += 1;
                }
                Exit::Stall(stall) => {
                    if *icount == before {
                        self.hart.parked = was_parked;
                    }
                    return HartExit::Stall(stall);
                }
            }
        }
    }

    /// Reports what the step before `icount` accessed and, where that stops the run anyway, a breakpoint here.
    fn report_accesses(&mut self, p: &mut Platform, icount: u64) -> bool {
        let Some(debugger) = &mut p.debugger else {
            return false;
        };
        debugger.settle(icount);
        if !debugger.has_hits() {
            return false;
        }
        let will_execute = p.halted.is_none() && {
            let mip = self.hart.pending(p, icount);
            self.hart.interrupt_to_take(mip).is_none()
                && !(self.hart.parked && mip & self.hart.csr.mie == 0)
        };
        if will_execute && p.stops_at(self.hart.area.pc, icount) {
            self.report_before_step(p, icount);
        }
        true
    }

    /// Reports the breakpoint at the hart's `pc`, and the system call that stands there.
    fn report_before_step(&self, p: &mut Platform, icount: u64) {
        let pc = self.hart.area.pc;
        let word = look_up(&p.memory, self.hart.address_space().0, pc)
            .and_then(|physical| p.memory.read_u32(GuestPhysAddr(physical)).ok());
        let Some(debugger) = &mut p.debugger else {
            return;
        };
        debugger.push(icount, HitKind::Breakpoint(GuestVirtAddr(pc)));
        let plan = debugger.plan();
        if self.hart.privilege == Privilege::User
            && (plan.system_calls || plan.user_exits)
            && word == Some(ECALL)
        {
            debugger.push(icount, HitKind::UserExit(UserExit::SystemCall));
        }
        debugger.pass(icount);
    }

    /// Whether user mode is about to be left in a way that is to be reported before it happens; reports it.
    fn stops_at_user_exit(&self, p: &mut Platform, exit: UserExit, icount: u64) -> bool {
        let Some(debugger) = &mut p.debugger else {
            return false;
        };
        let plan = debugger.plan();
        let is_wanted = plan.user_exits || (plan.system_calls && exit == UserExit::SystemCall);
        if !is_wanted || self.hart.privilege != Privilege::User || debugger.has_passed(icount) {
            return false;
        }
        debugger.push(icount, HitKind::UserExit(exit));
        debugger.pass(icount);
        true
    }

    /// The first position after `icount` at which something may become pending by itself.
    fn deadline(&self, p: &Platform, icount: u64, limit: u64) -> u64 {
        // The budget is signed.
        let mut deadline = limit.min(icount.saturating_add(i64::MAX as u64));
        for time in [self.hart.next_timer(p, icount), p.next_deadline()]
            .into_iter()
            .flatten()
        {
            if let Some(at) = p.icount_of(time)
                && at > icount
            {
                deadline = deadline.min(at);
            }
        }
        deadline
    }

    fn run_blocks(&mut self, p: &mut Platform) -> Exit {
        let Self {
            hart,
            code,
            scratch,
        } = self;
        loop {
            // The last block may have used the budget up: finding the next one has effects (a fault, A bits).
            if hart.area.budget <= 0 {
                return Exit::Recheck;
            }
            let pc = hart.area.pc;
            let block = match code.jump(pc, hart.translations.fetch_key) {
                Some(block) => Some(block),
                None => match find_block(hart, code, p, pc) {
                    Ok(block) => block,
                    // gdb lets a function that it calls return to memory that is no code.
                    Err(_) if is_reachable_breakpoint(hart, p) => return Exit::Probe,
                    Err(exception) => return Exit::Trap(exception),
                },
            };
            if p.memory.has_disturbances() {
                return Exit::Recheck;
            }
            let Some(block) = block else {
                if is_breakpoint(hart, p) {
                    return Exit::Probe;
                }
                return step::<false>(hart, scratch, p);
            };
            match execute::<false, false>(hart, p, code, block) {
                Exit::Miss => {}
                Exit::Budget if hart.area.budget <= 0 => return Exit::Recheck,
                Exit::Probe | Exit::Budget if is_breakpoint(hart, p) => return Exit::Probe,
                // Another page's breakpoint stands at this offset, or the block does not fit.
                Exit::Probe | Exit::Budget => return step::<false>(hart, scratch, p),
                exit => return exit,
            }
        }
    }

    /// Drops what was derived from pages that were written since.
    pub(crate) fn settle(&mut self, p: &mut Platform, icount: u64) {
        while p.memory.has_disturbances() {
            for disturbance in p.memory.take_disturbances() {
                let Some(offset) = p.memory.offset_of(disturbance.address, 1) else {
                    continue;
                };
                let page = offset / PAGE_BYTES as usize;
                let flags = p.memory.page_flags(page);
                if flags & page_flag::TABLE != 0 && !self.hart.table_disturbed(page, &disturbance) {
                    p.memory.clear_page_flag(page, page_flag::TABLE);
                }
                if flags & page_flag::CODE != 0 && !self.code.code_disturbed(page, &disturbance) {
                    p.memory.clear_page_flag(page, page_flag::CODE);
                }
                if flags & page_flag::WATCHED != 0 {
                    super::htif::poll(p, icount);
                }
                if flags & page_flag::DEBUG_WRITE != 0
                    && disturbance.is_by_device
                    && let Some(debugger) = &mut p.debugger
                {
                    debugger.note_device_write(disturbance.address.0, disturbance.length.into());
                }
            }
        }
    }
}

/// The word of `ecall`.
const ECALL: u32 = 0x73;

/// Whether a breakpoint that has not been passed stands at the hart's `pc`.
fn is_breakpoint(hart: &Hart, p: &Platform) -> bool {
    let icount = hart.area.deadline.wrapping_sub(hart.area.budget as u64);
    p.stops_at(hart.area.pc, icount)
}

/// As [`is_breakpoint`], for an instruction that cannot be fetched perhaps. One whose page is not there is not reached: it
/// will be when the page has come, and must not be reported twice.
fn is_reachable_breakpoint(hart: &Hart, p: &Platform) -> bool {
    is_breakpoint(hart, p) && look_up(&p.memory, hart.address_space().0, hart.area.pc).is_some()
}

fn note_user_entry(p: &mut Platform, icount: u64) {
    if let Some(debugger) = &mut p.debugger
        && debugger.plan().user_entries
    {
        debugger.push(icount - 1, HitKind::UserEntry);
    }
}

fn note_user_fault(p: &mut Platform, cause: u64, icount: u64) {
    if let Some(debugger) = &mut p.debugger
        && debugger.plan().user_exits
    {
        debugger.push(icount, HitKind::UserExit(UserExit::Exception(cause)));
    }
}

fn find_block(
    hart: &mut Hart,
    code: &mut BlockCache,
    p: &mut Platform,
    pc: u64,
) -> Result<Option<u32>, Exception> {
    let physical = hart.translate_fetch::<false>(p, pc)?;
    if !hart.fetch_is_cacheable(physical) {
        return Ok(None);
    }
    let key = hart.translations.fetch_key;
    let variant = (key & 1) as usize;
    let offset = (physical - p.memory.base().0) as usize;
    let found = code.find(
        offset / PAGE_BYTES as usize,
        offset % PAGE_BYTES as usize,
        variant,
    );
    let block = found.or_else(|| code.decode(hart, p, physical));
    if let Some(block) = block {
        code.remember_jump(pc, key, block);
    }
    Ok(block)
}

/// Executes the one instruction at `pc`.
fn step<const REFERENCE: bool>(
    hart: &mut Hart,
    scratch: &mut BlockCache,
    p: &mut Platform,
) -> Exit {
    let pc = hart.area.pc;
    match fetch_one::<REFERENCE>(hart, p, pc) {
        Ok(op) => {
            let block = scratch.set_scratch(op);
            execute::<REFERENCE, true>(hart, p, scratch, block)
        }
        Err(exception) => Exit::Trap(exception),
    }
}
