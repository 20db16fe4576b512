//! Control and status registers: what a hart keeps, and the rules of reading and writing them.

use super::clint::TimerCompare;
use super::hart::Hart;
use super::platform::Platform;
use super::pmp::Pmp;
use super::trap::{Privilege, irq};
use crate::state::{StateError, StateReader, StateWriter};

/// Fields of `mstatus`, RISC-V Privileged 3.1.6.
pub(crate) mod status {
    pub(crate) const SIE: u64 = 1 << 1;
    pub(crate) const MIE: u64 = 1 << 3;
    pub(crate) const SPIE: u64 = 1 << 5;
    pub(crate) const MPIE: u64 = 1 << 7;
    pub(crate) const SPP: u64 = 1 << 8;
    pub(crate) const MPP_SHIFT: u32 = 11;
    pub(crate) const MPP: u64 = 3 << MPP_SHIFT;
    pub(crate) const FS: u64 = 3 << 13;
    pub(crate) const MPRV: u64 = 1 << 17;
    pub(crate) const SUM: u64 = 1 << 18;
    pub(crate) const MXR: u64 = 1 << 19;
    pub(crate) const TVM: u64 = 1 << 20;
    pub(crate) const TW: u64 = 1 << 21;
    pub(crate) const TSR: u64 = 1 << 22;
    /// UXL and SXL, fixed at 64 bits.
    pub(crate) const XL: u64 = 2 << 32 | 2 << 34;
    pub(crate) const SD: u64 = 1 << 63;
    /// What M-mode may write; MPP apart, since it is WARL.
    pub(crate) const WRITABLE: u64 =
        SIE | MIE | SPIE | MPIE | SPP | FS | MPRV | SUM | MXR | TVM | TW | TSR;
    /// What `sstatus` shows of it.
    pub(crate) const S_WRITABLE: u64 = SIE | SPIE | SPP | FS | SUM | MXR;
    pub(crate) const S_READABLE: u64 = S_WRITABLE | 3 << 32;
}

const MENVCFG_FIOM: u64 = 1;
pub(crate) const MENVCFG_ADUE: u64 = 1 << 61;
pub(crate) const MENVCFG_STCE: u64 = 1 << 63;
const MENVCFG_WRITABLE: u64 = MENVCFG_FIOM | MENVCFG_ADUE | MENVCFG_STCE;
const SENVCFG_WRITABLE: u64 = 1;

/// Exceptions that M-mode may delegate: all but the environment call from M-mode.
pub(crate) const MEDELEG_WRITABLE: u64 = 0xb3ff;
/// Interrupts that M-mode may delegate: the supervisor's.
pub(crate) const MIDELEG_WRITABLE: u64 = irq::SSI | irq::STI | irq::SEI;
const MIE_WRITABLE: u64 = irq::SSI | irq::MSI | irq::STI | irq::MTI | irq::SEI | irq::MEI;
/// MXL = 64 bits and the extensions A B C D F I M S U.
const MISA: u64 =
    2 << 62 | 1 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 5 | 1 << 8 | 1 << 12 | 1 << 18 | 1 << 20;

const SATP_MODE_SHIFT: u32 = 60;

/// Numbers of the registers that code elsewhere names.
pub mod number {
    /// Accrued exception flags.
    pub const FFLAGS: u16 = 0x001;
    /// Dynamic rounding mode.
    pub const FRM: u16 = 0x002;
    /// Both.
    pub const FCSR: u16 = 0x003;
    /// Guest time.
    pub const TIME: u16 = 0xc01;
    /// Address translation.
    pub const SATP: u16 = 0x180;
}

/// The registers, other than those in the arena.
#[derive(Clone, Debug)]
pub(crate) struct Csrs {
    pub(crate) mstatus: u64,
    pub(crate) medeleg: u64,
    pub(crate) mideleg: u64,
    pub(crate) mie: u64,
    /// The bits of `mip` that software holds; the others follow their lines.
    pub(crate) mip_software: u64,
    pub(crate) mtvec: u64,
    pub(crate) mcounteren: u64,
    pub(crate) menvcfg: u64,
    pub(crate) mscratch: u64,
    pub(crate) mepc: u64,
    pub(crate) mcause: u64,
    pub(crate) mtval: u64,
    pub(crate) stvec: u64,
    pub(crate) scounteren: u64,
    pub(crate) senvcfg: u64,
    pub(crate) sscratch: u64,
    pub(crate) sepc: u64,
    pub(crate) scause: u64,
    pub(crate) stval: u64,
    pub(crate) satp: u64,
    pub(crate) stimecmp: TimerCompare,
    pub(crate) frm: u8,
    pub(crate) cycle_offset: u64,
    pub(crate) instret_offset: u64,
    pub(crate) pmp: Pmp,
}

impl Default for Csrs {
    fn default() -> Self {
        Self {
            mstatus: status::XL,
            medeleg: 0,
            mideleg: 0,
            mie: 0,
            mip_software: 0,
            mtvec: 0,
            mcounteren: 0,
            // Hardware updates A and D bits from reset on: bare-metal kernels made for QEMU
            // count on it, and the reset value is ours to choose.
            menvcfg: MENVCFG_ADUE,
            mscratch: 0,
            mepc: 0,
            mcause: 0,
            mtval: 0,
            stvec: 0,
            scounteren: 0,
            senvcfg: 0,
            sscratch: 0,
            sepc: 0,
            scause: 0,
            stval: 0,
            satp: 0,
            stimecmp: TimerCompare::NEVER,
            frm: 0,
            cycle_offset: 0,
            instret_offset: 0,
            pmp: Pmp::default(),
        }
    }
}

impl Csrs {
    /// The plain 64-bit registers with their names, for saving, restoring and showing.
    fn plain(&mut self) -> [(&'static str, &mut u64); 21] {
        [
            ("mstatus", &mut self.mstatus),
            ("medeleg", &mut self.medeleg),
            ("mideleg", &mut self.mideleg),
            ("mie", &mut self.mie),
            ("mip", &mut self.mip_software),
            ("mtvec", &mut self.mtvec),
            ("mcounteren", &mut self.mcounteren),
            ("menvcfg", &mut self.menvcfg),
            ("mscratch", &mut self.mscratch),
            ("mepc", &mut self.mepc),
            ("mcause", &mut self.mcause),
            ("mtval", &mut self.mtval),
            ("stvec", &mut self.stvec),
            ("scounteren", &mut self.scounteren),
            ("senvcfg", &mut self.senvcfg),
            ("sscratch", &mut self.sscratch),
            ("sepc", &mut self.sepc),
            ("scause", &mut self.scause),
            ("stval", &mut self.stval),
            ("cycle offset", &mut self.cycle_offset),
            ("instret offset", &mut self.instret_offset),
        ]
    }

    pub(crate) fn save(&self, to: &mut StateWriter) {
        for (_, register) in self.clone().plain() {
            to.u64(*register);
        }
        to.u64(self.satp);
        self.stimecmp.save(to);
        to.u8(self.frm);
        self.pmp.save(to);
    }

    pub(crate) fn restore(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        for (_, register) in self.plain() {
            *register = from.u64()?;
        }
        self.mstatus = self.mstatus & (status::WRITABLE | status::MPP) | status::XL;
        self.medeleg &= MEDELEG_WRITABLE;
        self.mideleg &= MIDELEG_WRITABLE;
        self.mie &= MIE_WRITABLE;
        self.mip_software &= irq::SSI | irq::STI | irq::SEI;
        self.menvcfg &= MENVCFG_WRITABLE;
        self.senvcfg &= SENVCFG_WRITABLE;
        self.mtvec = trap_vector(self.mtvec);
        self.stvec = trap_vector(self.stvec);
        self.mepc &= !1;
        self.sepc &= !1;
        if Privilege::from_bits(self.mstatus >> status::MPP_SHIFT & 3).is_none() {
            return Err(StateError::BadValue {
                field: "mstatus.MPP",
            });
        }
        self.satp = from.u64()?;
        if !matches!(self.satp >> SATP_MODE_SHIFT, 0 | 8 | 9) {
            return Err(StateError::BadValue { field: "satp.MODE" });
        }
        self.stimecmp = TimerCompare::restore(from)?;
        self.frm = from.u8()? & 7;
        self.pmp.restore(from)
    }

    /// Names and values, to show.
    pub(crate) fn named(&self) -> Vec<(String, u64)> {
        let mut named: Vec<(String, u64)> = self
            .clone()
            .plain()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), *value))
            .collect();
        named.push(("satp".to_owned(), self.satp));
        named.push(("stimecmp".to_owned(), self.stimecmp.value));
        named.push(("stimecmp jitter".to_owned(), self.stimecmp.jitter.into()));
        named.push(("frm".to_owned(), self.frm.into()));
        named
    }

    fn status(&self) -> u64 {
        let dirty = if self.mstatus & status::FS == status::FS {
            status::SD
        } else {
            0
        };
        self.mstatus | dirty
    }
}

/// A CSR access that the privilege architecture forbids: an illegal instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Forbidden;

impl Hart {
    fn counter_allowed(&self, privilege: Privilege, counter: u16) -> bool {
        let bit = 1 << (counter & 31);
        match privilege {
            Privilege::Machine => true,
            Privilege::Supervisor => self.csr.mcounteren & bit != 0,
            Privilege::User => self.csr.mcounteren & self.csr.scounteren & bit != 0,
        }
    }

    fn stimecmp_allowed(&self, privilege: Privilege) -> bool {
        privilege == Privilege::Machine
            || (self.csr.menvcfg & MENVCFG_STCE != 0 && self.csr.mcounteren & 2 != 0)
    }

    /// Reads a CSR for an instruction at `icount`.
    pub(crate) fn csr_read(&self, p: &Platform, csr: u16, icount: u64) -> Result<u64, Forbidden> {
        self.csr_read_as(self.privilege, p, csr, icount)
    }

    /// Reads a CSR as software of another privilege would.
    pub(crate) fn csr_read_as(
        &self,
        privilege: Privilege,
        p: &Platform,
        csr: u16,
        icount: u64,
    ) -> Result<u64, Forbidden> {
        if privilege < required_privilege(csr) {
            return Err(Forbidden);
        }
        let c = &self.csr;
        Ok(match csr {
            0x001..=0x003 => {
                if c.mstatus & status::FS == 0 {
                    return Err(Forbidden);
                }
                match csr {
                    0x001 => self.area.fflags & 0x1f,
                    0x002 => c.frm.into(),
                    _ => u64::from(c.frm) << 5 | self.area.fflags & 0x1f,
                }
            }
            0xc00..=0xc1f => {
                if !self.counter_allowed(privilege, csr) {
                    return Err(Forbidden);
                }
                match csr {
                    0xc00 => icount.wrapping_add(c.cycle_offset),
                    0xc01 => p.time_at(icount),
                    0xc02 => self.retired(icount).wrapping_add(c.instret_offset),
                    _ => 0,
                }
            }
            0x100 => c.status() & (status::S_READABLE | status::SD),
            0x104 => c.mie & c.mideleg,
            0x105 => c.stvec,
            0x106 => c.scounteren,
            0x10a => c.senvcfg,
            0x140 => c.sscratch,
            0x141 => c.sepc,
            0x142 => c.scause,
            0x143 => c.stval,
            0x144 => self.pending(p, icount) & c.mideleg,
            0x14d => {
                if !self.stimecmp_allowed(privilege) {
                    return Err(Forbidden);
                }
                c.stimecmp.value
            }
            0x180 => {
                if privilege == Privilege::Supervisor && c.mstatus & status::TVM != 0 {
                    return Err(Forbidden);
                }
                c.satp
            }
            0x300 => c.status(),
            0x301 => MISA,
            0x302 => c.medeleg,
            0x303 => c.mideleg,
            0x304 => c.mie,
            0x305 => c.mtvec,
            0x306 => c.mcounteren,
            0x30a => c.menvcfg,
            // mcountinhibit and the event selectors are fixed at zero.
            0x320..=0x33f => 0,
            0x340 => c.mscratch,
            0x341 => c.mepc,
            0x342 => c.mcause,
            0x343 => c.mtval,
            0x344 => self.pending(p, icount),
            0x3a0..=0x3af if csr & 1 == 0 => c.pmp.read_config(usize::from(csr - 0x3a0)),
            0x3b0..=0x3ef => c.pmp.read_address(usize::from(csr - 0x3b0)),
            // Debug triggers: none, which `tdata1` says by its type 0.
            0x7a0..=0x7a3 => 0,
            0xb00 => icount.wrapping_add(c.cycle_offset),
            0xb02 => self.retired(icount).wrapping_add(c.instret_offset),
            0xb03..=0xb1f => 0,
            // mvendorid, marchid, mimpid, mconfigptr: not a commercial implementation.
            0xf11..=0xf13 | 0xf15 => 0,
            0xf14 => self.id.into(),
            _ => return Err(Forbidden),
        })
    }

    /// Writes a CSR for an instruction at `icount`, after [`Hart::csr_read`] has allowed reading it
    /// or, for a write without a read, in its place.
    pub(crate) fn csr_write(
        &mut self,
        p: &mut Platform,
        csr: u16,
        value: u64,
        icount: u64,
    ) -> Result<(), Forbidden> {
        // The top two bits of the number say that a register is read-only.
        if csr >> 10 == 3 {
            return Err(Forbidden);
        }
        self.csr_read(p, csr, icount)?;
        let c = &mut self.csr;
        match csr {
            0x001..=0x003 => {
                match csr {
                    0x001 => self.area.fflags = value & 0x1f,
                    0x002 => c.frm = value as u8 & 7,
                    _ => {
                        self.area.fflags = value & 0x1f;
                        c.frm = (value >> 5) as u8 & 7;
                    }
                }
                c.mstatus |= status::FS;
            }
            0x100 => {
                c.mstatus = c.mstatus & !status::S_WRITABLE | value & status::S_WRITABLE;
                self.update_context();
            }
            0x104 => c.mie = c.mie & !c.mideleg | value & c.mideleg & MIE_WRITABLE,
            0x105 => c.stvec = trap_vector(value),
            0x106 => c.scounteren = value & 0xffff_ffff,
            0x10a => c.senvcfg = value & SENVCFG_WRITABLE,
            0x140 => c.sscratch = value,
            0x141 => c.sepc = value & !1,
            0x142 => c.scause = value,
            0x143 => c.stval = value,
            0x144 => {
                let writable = irq::SSI & c.mideleg;
                c.mip_software = c.mip_software & !writable | value & writable;
            }
            0x14d => {
                let jitter = p.jitter.draw();
                c.stimecmp = TimerCompare { value, jitter };
            }
            0x180 => {
                let mode = value >> SATP_MODE_SHIFT;
                // A write with an unsupported mode changes nothing at all.
                if matches!(mode, 0 | 8 | 9) && c.satp != value {
                    c.satp = value;
                    self.flush_translations();
                    self.update_context();
                }
            }
            0x300 => {
                let mpp = value & status::MPP;
                let mpp = if mpp >> status::MPP_SHIFT == 2 {
                    c.mstatus & status::MPP
                } else {
                    mpp
                };
                c.mstatus = status::XL | value & status::WRITABLE | mpp;
                self.update_context();
            }
            0x302 => c.medeleg = value & MEDELEG_WRITABLE,
            0x303 => c.mideleg = value & MIDELEG_WRITABLE,
            0x304 => c.mie = value & MIE_WRITABLE,
            0x305 => c.mtvec = trap_vector(value),
            0x306 => c.mcounteren = value & 0xffff_ffff,
            0x30a => {
                c.menvcfg = value & MENVCFG_WRITABLE;
            }
            0x340 => c.mscratch = value,
            0x341 => c.mepc = value & !1,
            0x342 => c.mcause = value,
            0x343 => c.mtval = value,
            0x344 => {
                let mut writable = irq::SSI | irq::STI | irq::SEI;
                if c.menvcfg & MENVCFG_STCE != 0 {
                    writable &= !irq::STI;
                }
                c.mip_software = c.mip_software & !writable | value & writable;
            }
            0x3a0..=0x3af => {
                c.pmp.write_config(usize::from(csr - 0x3a0), value);
                self.flush_translations();
            }
            0x3b0..=0x3ef => {
                c.pmp.write_address(usize::from(csr - 0x3b0), value);
                self.flush_translations();
            }
            // The counter holds the written value from the next instruction on.
            0xb00 => c.cycle_offset = value.wrapping_sub(icount + 1),
            0xb02 => {
                let retired = self.retired(icount);
                self.csr.instret_offset = value.wrapping_sub(retired + 1);
            }
            _ => {}
        }
        Ok(())
    }

    /// `mip` for the `csrrs` and `csrrc` forms: the software bit of SEIP alone takes part, RISC-V Privileged 3.1.9.
    pub(crate) fn csr_read_for_modify(&self, csr: u16, read: u64) -> u64 {
        if csr == 0x344 {
            read & !irq::SEI | self.csr.mip_software & irq::SEI
        } else {
            read
        }
    }
}

fn required_privilege(csr: u16) -> Privilege {
    match csr >> 8 & 3 {
        0 => Privilege::User,
        1 => Privilege::Supervisor,
        _ => Privilege::Machine,
    }
}

/// Direct and vectored modes; the reserved ones become direct.
fn trap_vector(value: u64) -> u64 {
    if value & 2 != 0 { value & !3 } else { value }
}
