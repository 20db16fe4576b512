//! A hart: its registers, its traps and interrupts.

use super::area::TLB_CONTEXTS;
use super::block::BlockCache;
use super::csr::{Csrs, MENVCFG_STCE, status};
use super::mmu::Translations;
use super::platform::Platform;
use super::trap::{Exception, Privilege, cause, irq};
use crate::arena::CpuCell;
use crate::state::{StateError, StateReader, StateWriter};

/// Index of the data context of M-mode; the others are U, S, and S with SUM.
pub(crate) const CONTEXT_MACHINE: u64 = 3;
const _: () = assert!(TLB_CONTEXTS == 4);

/// One hart.
pub(crate) struct Hart {
    pub(crate) id: u32,
    pub(crate) area: CpuCell,
    pub(crate) privilege: Privilege,
    pub(crate) csr: Csrs,
    /// WFI has retired and no enabled interrupt was pending since.
    pub(crate) parked: bool,
    /// Steps so far that retired no instruction.
    pub(crate) steps_not_retired: u64,
    pub(crate) translations: Translations,
}

/// A hart with its decoded code, which the executor borrows apart.
pub(crate) struct HartWithCode {
    pub(crate) hart: Hart,
    pub(crate) code: BlockCache,
    pub(crate) scratch: BlockCache,
}

impl Hart {
    /// A hart in its reset state, in M-mode at `pc`.
    pub(crate) fn new(id: u32, area: CpuCell, ram_pages: usize, pc: u64) -> Self {
        let mut hart = Self {
            id,
            area,
            privilege: Privilege::Machine,
            csr: Csrs::default(),
            parked: false,
            steps_not_retired: 0,
            translations: Translations::new(ram_pages),
        };
        hart.area.pc = pc;
        hart.flush_translations();
        hart.update_context();
        hart
    }

    /// Instructions retired before the step at `icount`.
    pub(crate) fn retired(&self, icount: u64) -> u64 {
        icount - self.steps_not_retired
    }

    /// The privilege under which loads and stores are checked: MPRV lends them that of MPP.
    pub(crate) fn data_privilege(&self) -> Privilege {
        if self.privilege == Privilege::Machine && self.csr.mstatus & status::MPRV != 0 {
            Privilege::from_bits(self.csr.mstatus >> status::MPP_SHIFT & 3)
                .unwrap_or(Privilege::User)
        } else {
            self.privilege
        }
    }

    /// Chooses the data context and the fetch key after a change of privilege, `mstatus` or `satp`.
    pub(crate) fn update_context(&mut self) {
        let mxr = self.csr.mstatus & status::MXR != 0;
        if mxr != self.translations.mxr {
            self.translations.mxr = mxr;
            self.flush_translations();
        }
        self.area.context = match self.data_privilege() {
            Privilege::User => 0,
            Privilege::Supervisor => 1 + u64::from(self.csr.mstatus & status::SUM != 0),
            Privilege::Machine => CONTEXT_MACHINE,
        };
        self.update_fetch_key();
    }

    pub(crate) fn update_fetch_key(&mut self) {
        let floating_point = u64::from(self.csr.mstatus & status::FS != 0);
        self.translations.fetch_key =
            self.translations.generation << 3 | (self.privilege as u64) << 1 | floating_point;
    }

    /// `mip` before the step at `icount`.
    pub(crate) fn pending(&self, p: &Platform, icount: u64) -> u64 {
        let time = p.time_at(icount);
        let mut mip = self.csr.mip_software;
        if self.csr.menvcfg & MENVCFG_STCE != 0 {
            mip &= !irq::STI;
            if self.csr.stimecmp.due() <= time {
                mip |= irq::STI;
            }
        }
        if p.clint.timer(self.id).due() <= time {
            mip |= irq::MTI;
        }
        if p.clint.software_pending(self.id) {
            mip |= irq::MSI;
        }
        if p.plic.is_pending(self.id as usize * 2) {
            mip |= irq::MEI;
        }
        if p.plic.is_pending(self.id as usize * 2 + 1) {
            mip |= irq::SEI;
        }
        mip
    }

    /// The next time at which a timer of this hart will raise its interrupt, if it is still to come.
    pub(crate) fn next_timer(&self, p: &Platform, icount: u64) -> Option<u64> {
        let time = p.time_at(icount);
        let supervisor = self.csr.stimecmp.due();
        let machine = p.clint.timer(self.id).due();
        let mut next = None;
        if self.csr.menvcfg & MENVCFG_STCE != 0 && supervisor > time && supervisor != u64::MAX {
            next = Some(supervisor);
        }
        if machine > time && machine != u64::MAX {
            next = Some(next.map_or(machine, |next: u64| next.min(machine)));
        }
        next
    }

    /// The next time at which a timer whose interrupt is enabled will wake this hart.
    pub(crate) fn next_waking_timer(&self, p: &Platform, icount: u64) -> Option<u64> {
        let time = p.time_at(icount);
        let mut next = None;
        let timers = [
            (
                irq::STI,
                self.csr.stimecmp.due(),
                self.csr.menvcfg & MENVCFG_STCE != 0,
            ),
            (irq::MTI, p.clint.timer(self.id).due(), true),
        ];
        for (bit, due, works) in timers {
            if works && self.csr.mie & bit != 0 && due > time && due != u64::MAX {
                next = Some(next.map_or(due, |next: u64| next.min(due)));
            }
        }
        next
    }

    /// Names and values of the registers, those in the arena first.
    pub(crate) fn named_registers(&self, p: &Platform) -> Vec<(String, u64)> {
        let mut registers = vec![("pc".to_owned(), self.area.pc)];
        registers.extend((1..32).map(|x| (format!("x{x}"), self.area.x[x])));
        registers.extend((0..32).map(|f| (format!("f{f}"), self.area.f[f])));
        registers.push(("fflags".to_owned(), self.area.fflags));
        registers.push(("privilege".to_owned(), self.privilege as u64));
        registers.push(("parked".to_owned(), self.parked.into()));
        registers.push(("steps not retired".to_owned(), self.steps_not_retired));
        registers.push((
            "reservation".to_owned(),
            p.memory.reservation(self.id).unwrap_or(u64::MAX),
        ));
        registers.extend(self.csr.named());
        registers
    }

    /// Writes a register as a debugger numbers it; see [`DebugWrite`](crate::event::DebugWrite). Returns whether there
    /// is such a register.
    pub(crate) fn write_register(&mut self, register: u16, value: u64) -> bool {
        match register {
            0 => {}
            1..=31 => self.area.x[usize::from(register)] = value,
            32 => {
                self.area.pc = value & !1;
                // A hart that waits would not get there.
                self.parked = false;
            }
            33..=64 => {
                self.area.f[usize::from(register - 33)] = value;
                self.csr.mstatus |= status::FS;
                self.update_context();
            }
            66 => self.area.fflags = value & 0x1f,
            67 => self.csr.frm = value as u8 & 7,
            68 => {
                self.area.fflags = value & 0x1f;
                self.csr.frm = (value >> 5) as u8 & 7;
            }
            _ => return false,
        }
        true
    }

    /// The interrupt to take before the next instruction, as a cause, RISC-V Privileged 3.1.9.
    pub(crate) fn interrupt_to_take(&self, mip: u64) -> Option<u64> {
        let ready = mip & self.csr.mie;
        if ready == 0 {
            return None;
        }
        let machine_enabled =
            self.privilege < Privilege::Machine || self.csr.mstatus & status::MIE != 0;
        let supervisor_enabled = self.privilege < Privilege::Supervisor
            || (self.privilege == Privilege::Supervisor && self.csr.mstatus & status::SIE != 0);
        let for_machine = if machine_enabled {
            ready & !self.csr.mideleg
        } else {
            0
        };
        let for_supervisor = if supervisor_enabled {
            ready & self.csr.mideleg
        } else {
            0
        };
        let chosen = if for_machine != 0 {
            for_machine
        } else {
            for_supervisor
        };
        [irq::MEI, irq::MSI, irq::MTI, irq::SEI, irq::SSI, irq::STI]
            .into_iter()
            .find(|bit| chosen & bit != 0)
            .map(|bit| cause::INTERRUPT | u64::from(bit.trailing_zeros()))
    }

    /// Takes a trap: one step that retires nothing.
    pub(crate) fn take_trap(&mut self, trap: Exception) {
        let is_interrupt = trap.cause & cause::INTERRUPT != 0;
        let code = trap.cause & 63;
        let delegated = if is_interrupt {
            self.csr.mideleg
        } else {
            self.csr.medeleg
        } >> code
            & 1
            != 0;
        let pc = self.area.pc;
        let vector;
        if delegated && self.privilege <= Privilege::Supervisor {
            self.csr.sepc = pc;
            self.csr.scause = trap.cause;
            self.csr.stval = trap.value;
            let old = self.csr.mstatus;
            let mut new = old & !(status::SPIE | status::SPP | status::SIE);
            if old & status::SIE != 0 {
                new |= status::SPIE;
            }
            if self.privilege == Privilege::Supervisor {
                new |= status::SPP;
            }
            self.csr.mstatus = new;
            self.privilege = Privilege::Supervisor;
            vector = self.csr.stvec;
        } else {
            self.csr.mepc = pc;
            self.csr.mcause = trap.cause;
            self.csr.mtval = trap.value;
            let old = self.csr.mstatus;
            let mut new = old & !(status::MPIE | status::MPP | status::MIE);
            if old & status::MIE != 0 {
                new |= status::MPIE;
            }
            new |= (self.privilege as u64) << status::MPP_SHIFT;
            self.csr.mstatus = new;
            self.privilege = Privilege::Machine;
            vector = self.csr.mtvec;
        }
        let offset = if is_interrupt && vector & 1 != 0 {
            code * 4
        } else {
            0
        };
        self.area.pc = (vector & !3).wrapping_add(offset);
        self.parked = false;
        self.steps_not_retired += 1;
        self.update_context();
    }

    /// `mret`; the caller has checked the privilege. Sets pc.
    pub(crate) fn return_from_machine(&mut self) {
        let old = self.csr.mstatus;
        let to = Privilege::from_bits(old >> status::MPP_SHIFT & 3).unwrap_or(Privilege::User);
        let mut new = old & !(status::MIE | status::MPP) | status::MPIE;
        if old & status::MPIE != 0 {
            new |= status::MIE;
        }
        if to != Privilege::Machine {
            new &= !status::MPRV;
        }
        self.csr.mstatus = new;
        self.privilege = to;
        self.area.pc = self.csr.mepc;
        self.update_context();
    }

    /// `sret`; the caller has checked the privilege. Sets pc.
    pub(crate) fn return_from_supervisor(&mut self) {
        let old = self.csr.mstatus;
        let to = if old & status::SPP != 0 {
            Privilege::Supervisor
        } else {
            Privilege::User
        };
        let mut new = old & !(status::SIE | status::SPP | status::MPRV) | status::SPIE;
        if old & status::SPIE != 0 {
            new |= status::SIE;
        }
        self.csr.mstatus = new;
        self.privilege = to;
        self.area.pc = self.csr.sepc;
        self.update_context();
    }

    /// Saves the hart's state; its reservation is kept by the memory.
    pub(crate) fn save(&self, p: &Platform, to: &mut StateWriter) {
        to.section(*b"HART", |to| {
            to.u64(self.area.pc);
            self.area.x[1..32].iter().for_each(|x| to.u64(*x));
            self.area.f.iter().for_each(|f| to.u64(*f));
            to.u64(self.area.fflags);
            to.u8(self.privilege as u8);
            to.bool(self.parked);
            to.u64(self.steps_not_retired);
            to.option(p.memory.reservation(self.id), StateWriter::u64);
            self.csr.save(to);
        });
    }

    /// Restores the hart's state and drops its caches.
    pub(crate) fn restore(
        &mut self,
        p: &mut Platform,
        from: &mut StateReader<'_>,
    ) -> Result<(), StateError> {
        let mut from = from.section(*b"HART")?;
        self.area.pc = from.u64()? & !1;
        for x in &mut self.area.x[1..32] {
            *x = from.u64()?;
        }
        for f in &mut self.area.f {
            *f = from.u64()?;
        }
        self.area.fflags = from.u64()? & 0x1f;
        self.privilege = Privilege::from_bits(from.u8()?.into())
            .ok_or(StateError::BadValue { field: "privilege" })?;
        self.parked = from.bool()?;
        self.steps_not_retired = from.u64()?;
        let reservation = from.option(StateReader::u64)?;
        p.memory
            .set_reservation(self.id, reservation.map(|set| set & !63));
        self.csr.restore(&mut from)?;
        self.translations.mxr = self.csr.mstatus & status::MXR != 0;
        self.translations.forget_updates();
        self.flush_translations();
        self.update_context();
        Ok(())
    }
}
