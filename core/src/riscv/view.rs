//! A hart as a debugger sees it: reading changes nothing, not even an accessed bit.

use super::csr::{number, status};
use super::hart::Hart;
use super::mmu::look_up;
use super::platform::Platform;
use super::trap::Privilege;
use crate::debug::AddressSpace;
use crate::memory::GuestMemory;
use crate::types::{GuestPhysAddr, GuestVirtAddr, PAGE_BYTES};

/// A hart at the machine's position.
#[derive(Clone, Copy)]
pub struct HartView<'a> {
    hart: &'a Hart,
    platform: &'a Platform,
    icount: u64,
}

impl<'a> HartView<'a> {
    pub(crate) fn new(hart: &'a Hart, platform: &'a Platform, icount: u64) -> Self {
        Self {
            hart,
            platform,
            icount,
        }
    }

    /// Address of the next instruction.
    #[must_use]
    pub fn pc(&self) -> u64 {
        self.hart.area.pc
    }

    /// The integer registers; `x0` is 0.
    #[must_use]
    pub fn x(&self) -> [u64; 32] {
        let mut x = [0; 32];
        x[1..].copy_from_slice(&self.hart.area.x[1..32]);
        x
    }

    /// The floating-point registers, NaN-boxed where they hold a single.
    #[must_use]
    pub fn f(&self) -> [u64; 32] {
        self.hart.area.f
    }

    /// The privilege in which the next instruction will be executed.
    #[must_use]
    pub fn privilege(&self) -> Privilege {
        self.hart.privilege
    }

    /// Whether the next step takes an interrupt instead of executing an instruction.
    #[must_use]
    pub fn is_about_to_interrupt(&self) -> bool {
        let pending = self.hart.pending(self.platform, self.icount);
        self.hart.interrupt_to_take(pending).is_some()
    }

    /// Whether the hart waits for an interrupt that is not pending yet.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        let pending = self.hart.pending(self.platform, self.icount);
        self.hart.parked && pending & self.hart.csr.mie == 0
    }

    /// A CSR as M-mode would read it here, `None` when there is no such CSR. Whether floating point is off does not
    /// matter.
    #[must_use]
    pub fn csr(&self, csr: u16) -> Option<u64> {
        match csr {
            number::FFLAGS => Some(self.hart.area.fflags & 0x1f),
            number::FRM => Some(self.hart.csr.frm.into()),
            number::FCSR => Some(u64::from(self.hart.csr.frm) << 5 | self.hart.area.fflags & 0x1f),
            _ => self
                .hart
                .csr_read_as(Privilege::Machine, self.platform, csr, self.icount)
                .ok(),
        }
    }

    /// Whether floating point is on (`mstatus.FS`).
    #[must_use]
    pub fn has_floating_point(&self) -> bool {
        self.hart.csr.mstatus & status::FS != 0
    }

    /// The address space in which the next instruction is fetched.
    #[must_use]
    pub fn address_space(&self) -> AddressSpace {
        self.hart.address_space()
    }
}

/// Where a virtual address leads in an address space, as the tables stand, whatever they allow; `None` where nothing
/// is mapped. Sets no bit.
#[must_use]
pub fn translate(
    memory: &GuestMemory,
    space: AddressSpace,
    address: GuestVirtAddr,
) -> Option<GuestPhysAddr> {
    look_up(memory, space.0, address.0).map(GuestPhysAddr)
}

/// Reads virtual memory. Returns how many bytes could be read from the first on.
#[must_use]
pub fn read_virtual(
    memory: &GuestMemory,
    space: AddressSpace,
    address: GuestVirtAddr,
    buffer: &mut [u8],
) -> usize {
    let mut done = 0;
    while done < buffer.len() {
        let Some(at) = address.0.checked_add(done as u64) else {
            break;
        };
        let in_page = (PAGE_BYTES - at % PAGE_BYTES) as usize;
        let length = in_page.min(buffer.len() - done);
        let Some(physical) = translate(memory, space, GuestVirtAddr(at)) else {
            break;
        };
        if memory
            .read(physical, &mut buffer[done..done + length])
            .is_err()
        {
            break;
        }
        done += length;
    }
    done
}
