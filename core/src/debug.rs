//! What a debugger asks of an execution: where it wants to be told, and what was met there.
//!
//! None of it is state. A plan changes where [`Machine::run`](crate::machine::Machine::run) returns and nothing
//! that the guest or a hash could see: no instruction is replaced in memory, no access bit is set, no position moves.
//!
//! A hit belongs to the step at its icount. A breakpoint, a system call and an interrupt out of user mode are
//! reported *before* that step: the machine is at the hit's icount. An access, a fault out of user mode and a return to
//! user mode are known only when the step is done: the machine is one step *after* the hit's icount.

use crate::types::{GuestPhysAddr, GuestVirtAddr, Icount, PAGE_BYTES};
use std::collections::BTreeSet;

/// An address space: what tells one set of page tables from another. On RISC-V `satp` without its
/// ASID, which Linux gives out anew when it runs out of them. 0 is an untranslated one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct AddressSpace(pub u64);

/// Which accesses a watch is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WatchKind {
    /// Loads.
    Read,
    /// Stores.
    Write,
    /// Both.
    Access,
}

impl WatchKind {
    /// Whether it is about stores, else loads.
    #[must_use]
    pub const fn covers(self, is_write: bool) -> bool {
        match self {
            Self::Read => !is_write,
            Self::Write => is_write,
            Self::Access => true,
        }
    }
}

/// What a watch looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WatchPlace {
    /// Physical memory, whoever accesses it: CPUs through any mapping, and devices that write.
    Physical(GuestPhysAddr),
    /// Virtual memory as CPUs access it, whatever it is mapped to.
    Virtual {
        /// First byte.
        address: GuestVirtAddr,
        /// In which address space; `None` is any.
        space: Option<AddressSpace>,
    },
}

/// A range of memory whose accesses are to be reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Watch {
    /// First byte.
    pub place: WatchPlace,
    /// Bytes, at least 1.
    pub byte_len: u64,
    /// Which accesses.
    pub kind: WatchKind,
}

/// Where [`Machine::run`](crate::machine::Machine::run) is to return, beside its limit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DebugPlan {
    /// Before the instructions at these virtual addresses, in any address space; also where the page is mapped and may not
    /// be executed.
    pub breakpoints: BTreeSet<GuestVirtAddr>,
    /// After accesses to these ranges.
    pub watches: Vec<Watch>,
    /// Before environment calls out of user mode.
    pub system_calls: bool,
    /// At every trap out of user mode, environment calls included.
    pub user_exits: bool,
    /// After each return into user mode.
    pub user_entries: bool,
}

impl DebugPlan {
    /// Whether it asks for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Why user mode was left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UserExit {
    /// An environment call: the program asks the kernel for something.
    SystemCall,
    /// An interrupt, before the instruction at the program counter.
    Interrupt,
    /// The instruction at the program counter trapped; the cause as the architecture numbers it.
    Exception(u64),
}

/// Something that a plan asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DebugHit {
    /// Position of the step that it belongs to.
    pub icount: Icount,
    /// What it is.
    pub kind: HitKind,
}

/// The kinds of hit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HitKind {
    /// The instruction at a breakpoint is about to be executed.
    Breakpoint(GuestVirtAddr),
    /// Watched memory was accessed.
    Access {
        /// Index of the watch in the plan.
        watch: usize,
        /// Whether it was a store.
        is_write: bool,
        /// First byte accessed that is watched; of a physical watch, its physical address.
        address: u64,
    },
    /// User mode is left.
    UserExit(UserExit),
    /// User mode was entered.
    UserEntry,
}

impl DebugHit {
    /// Whether the machine is at the hit's icount when it is reported, not one step after.
    #[must_use]
    pub const fn is_before_step(&self) -> bool {
        matches!(
            self.kind,
            HitKind::Breakpoint(_) | HitKind::UserExit(UserExit::SystemCall | UserExit::Interrupt)
        )
    }
}

/// A memory access of a CPU, as far as a watch may be interested in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuAccess {
    pub(crate) space: AddressSpace,
    pub(crate) virtual_address: u64,
    pub(crate) physical_address: u64,
    pub(crate) byte_len: u64,
    pub(crate) is_write: bool,
}

const HALFWORDS: usize = PAGE_BYTES as usize / 2;

/// A plan in force. Belongs to the platform, outlives snapshots, is never saved.
#[derive(Debug)]
pub(crate) struct Debugger {
    plan: DebugPlan,
    /// One bit for each half-word of a page at which some breakpoint stands, in whatever page.
    probes: [u64; HALFWORDS / 64],
    /// Accesses of the step that is being made; they become hits when it is done.
    accesses: Vec<HitKind>,
    hits: Vec<DebugHit>,
    /// Position at which what comes before a step has been reported already.
    passed_at: Option<u64>,
}

impl Debugger {
    pub(crate) fn new(plan: DebugPlan) -> Self {
        let mut probes = [0; HALFWORDS / 64];
        for address in &plan.breakpoints {
            let halfword = (address.0 % PAGE_BYTES) as usize / 2;
            probes[halfword / 64] |= 1 << (halfword % 64);
        }
        Self {
            plan,
            probes,
            accesses: Vec::new(),
            hits: Vec::new(),
            passed_at: None,
        }
    }

    pub(crate) fn plan(&self) -> &DebugPlan {
        &self.plan
    }

    /// Whether a breakpoint may stand at this offset in a page.
    pub(crate) fn is_probed(&self, page_offset: usize) -> bool {
        let halfword = page_offset / 2;
        self.probes[halfword / 64] >> (halfword % 64) & 1 != 0
    }

    /// Whether a breakpoint stands at `pc` and has not been passed.
    pub(crate) fn stops_at(&self, pc: u64, icount: u64) -> bool {
        self.is_probed((pc % PAGE_BYTES) as usize)
            && !self.has_passed(icount)
            && self.plan.breakpoints.contains(&GuestVirtAddr(pc))
    }

    pub(crate) fn has_passed(&self, icount: u64) -> bool {
        self.passed_at == Some(icount)
    }

    pub(crate) fn pass(&mut self, icount: u64) {
        self.passed_at = Some(icount);
    }

    /// Whether accesses to this virtual page must not go by a cached translation.
    pub(crate) fn watches_page(&self, virtual_address: u64, for_write: bool) -> bool {
        let page = virtual_address & !(PAGE_BYTES - 1);
        self.plan.watches.iter().any(|watch| match watch.place {
            WatchPlace::Physical(_) => false,
            WatchPlace::Virtual { address, .. } => {
                watch.kind.covers(for_write)
                    && overlap(address.0, watch.byte_len, page, PAGE_BYTES).is_some()
            }
        })
    }

    /// Notes an access that a CPU has made.
    pub(crate) fn note_access(&mut self, access: CpuAccess) {
        for (watch, wanted) in self.plan.watches.iter().enumerate() {
            let (base, from) = match wanted.place {
                WatchPlace::Physical(address) => (address.0, access.physical_address),
                WatchPlace::Virtual { address, space } => {
                    if space.is_some_and(|space| space != access.space) {
                        continue;
                    }
                    (address.0, access.virtual_address)
                }
            };
            if wanted.kind.covers(access.is_write)
                && let Some(address) = overlap(base, wanted.byte_len, from, access.byte_len)
            {
                self.accesses.push(HitKind::Access {
                    watch,
                    is_write: access.is_write,
                    address,
                });
            }
        }
    }

    /// Notes that a device has written to memory.
    pub(crate) fn note_device_write(&mut self, from: u64, byte_len: u64) {
        for (watch, wanted) in self.plan.watches.iter().enumerate() {
            if let WatchPlace::Physical(base) = wanted.place
                && wanted.kind.covers(true)
                && let Some(address) = overlap(base.0, wanted.byte_len, from, byte_len)
            {
                self.accesses.push(HitKind::Access {
                    watch,
                    is_write: true,
                    address,
                });
            }
        }
    }

    pub(crate) fn has_accesses(&self) -> bool {
        !self.accesses.is_empty()
    }

    /// Turns what the step before `icount` accessed into hits.
    pub(crate) fn settle(&mut self, icount: u64) {
        for kind in std::mem::take(&mut self.accesses) {
            self.push(icount.saturating_sub(1), kind);
        }
    }

    pub(crate) fn push(&mut self, icount: u64, kind: HitKind) {
        let hit = DebugHit {
            icount: Icount(icount),
            kind,
        };
        // One instruction may touch a watched range in two pieces.
        if !self.hits.contains(&hit) {
            self.hits.push(hit);
        }
    }

    pub(crate) fn has_hits(&self) -> bool {
        !self.hits.is_empty()
    }

    pub(crate) fn take_hits(&mut self) -> Vec<DebugHit> {
        std::mem::take(&mut self.hits)
    }

    /// Forgets what was met, when the machine goes to another position.
    pub(crate) fn forget(&mut self) {
        self.accesses.clear();
        self.hits.clear();
        self.passed_at = None;
    }
}

/// First byte that two ranges share. Ranges that reach the end of the address space end there.
fn overlap(a: u64, a_len: u64, b: u64, b_len: u64) -> Option<u64> {
    let first = a.max(b);
    let last = a
        .saturating_add(a_len.saturating_sub(1))
        .min(b.saturating_add(b_len.saturating_sub(1)));
    (first <= last && a_len != 0 && b_len != 0).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_overlap_in_their_first_shared_byte() {
        assert_eq!(overlap(10, 4, 12, 8), Some(12));
        assert_eq!(overlap(12, 8, 10, 4), Some(12));
        assert_eq!(overlap(10, 4, 14, 1), None);
        assert_eq!(overlap(10, 4, 9, 1), None);
        assert_eq!(overlap(u64::MAX, 8, u64::MAX - 1, 8), Some(u64::MAX));
        assert_eq!(overlap(5, 0, 5, 1), None);
    }

    #[test]
    fn breakpoints_are_told_by_their_whole_address() {
        let plan = DebugPlan {
            breakpoints: [GuestVirtAddr(0x1_0ffe)].into(),
            ..DebugPlan::default()
        };
        let mut debugger = Debugger::new(plan);
        assert!(debugger.is_probed(0xffe) && !debugger.is_probed(0xffc));
        assert!(debugger.stops_at(0x1_0ffe, 7) && !debugger.stops_at(0xffe, 7));
        debugger.pass(7);
        assert!(!debugger.stops_at(0x1_0ffe, 7) && debugger.stops_at(0x1_0ffe, 8));
    }
}
