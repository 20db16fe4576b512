//! The run loop of a hart: interrupts, deadlines, blocks and steps.

use super::block::{BlockCache, fetch_one};
use super::exec::{Exit, execute};
use super::hart::{Hart, HartWithCode};
use super::platform::Platform;
use super::sbi;
use super::trap::{Exception, Privilege, cause};
use crate::image::ImageStall;
use crate::machine::Engine;
use crate::memory::page_flag;
use crate::types::PAGE_BYTES;

/// Why a hart came back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HartExit {
    /// The limit was reached.
    Limit,
    /// The hart is parked and no enabled interrupt is pending.
    Parked,
    /// The platform has halted.
    Halted,
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
            if p.halted.is_some() {
                return HartExit::Halted;
            }
            if *icount >= limit {
                return HartExit::Limit;
            }
            self.hart.follow_epoch(p);
            let mip = self.hart.pending(p, *icount);
            if self.hart.parked && mip & self.hart.csr.mie == 0 {
                return HartExit::Parked;
            }
            if let Some(cause) = self.hart.interrupt_to_take(mip) {
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
            let exit = match engine {
                Engine::Blocks => self.run_blocks(p),
                Engine::Reference => step::<true>(&mut self.hart, &mut self.scratch, p),
            };
            *icount = deadline.wrapping_sub(self.hart.area.budget as u64);
            match exit {
                Exit::Miss | Exit::Budget | Exit::Recheck => {}
                Exit::Trap(exception) => {
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
                    Err(exception) => return Exit::Trap(exception),
                },
            };
            if p.memory.has_disturbances() {
                return Exit::Recheck;
            }
            let Some(block) = block else {
                return step::<false>(hart, scratch, p);
            };
            match execute::<false, false>(hart, p, code, block) {
                Exit::Miss => {}
                Exit::Budget if hart.area.budget <= 0 => return Exit::Recheck,
                Exit::Budget => return step::<false>(hart, scratch, p),
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
            }
        }
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
