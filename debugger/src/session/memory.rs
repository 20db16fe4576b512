//! Reading and writing as a thread sees memory and registers.

use super::DebugSession;
use crate::condition::Frame;
use crate::linux::Task;
use reprise_core::debug::AddressSpace;
use reprise_core::event::{DEBUG_WRITE_BYTES_MAX, DebugWrite};
use reprise_core::machine::Machine;
use reprise_core::riscv::trap::Privilege;
use reprise_core::riscv::view::{read_virtual, translate};
use reprise_core::types::{CpuId, GuestPhysAddr, GuestVirtAddr, PAGE_BYTES};
use reprise_recorder::timeline::TimelineError;

/// Numbers of registers as gdb numbers them on RISC-V: the integer ones, `pc`, the floating-point ones.
pub(crate) const PC: u16 = 32;
pub(crate) const F0: u16 = 33;
/// CSRs follow.
pub(crate) const CSR0: u16 = 65;
/// Number of the floating-point control and status register among the CSRs.
const FCSR: u16 = 3;
/// Number of the CSR that holds where user mode was left, RISC-V Privileged 4.1.7.
const SEPC: u16 = 0x141;
/// The privilege, which is no register of the architecture.
pub(crate) const PRIVILEGE: u16 = CSR0 + 4096;

/// A thread that somebody looks at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ThreadView {
    /// A CPU of the machine, as it is.
    Cpu(CpuId),
    /// A thread of a Linux process, as its program sees itself: in user mode, or as it left that.
    Task(Task),
    /// A thread of a process that is not there at the position: it has ended, or not begun.
    Elsewhere,
}

/// The registers of a thread.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ThreadRegisters {
    /// Address of the next instruction.
    pub pc: u64,
    /// The integer registers.
    pub x: [u64; 32],
    /// The floating-point registers, where they are known.
    pub f: Option<[u64; 32]>,
    /// The floating-point control and status register, where it is known.
    pub fcsr: Option<u32>,
}

impl DebugSession {
    /// Whether a task is what the first CPU executes, in user mode.
    #[must_use]
    pub fn is_in_user_mode(&self, task: &Task) -> bool {
        let cpu = self.machine().cpu(CpuId(0));
        cpu.privilege() == Privilege::User
            && self
                .current()
                .is_some_and(|current| current.address == task.address)
    }

    /// The registers of a thread; `None` when Linux does not tell.
    #[must_use]
    pub fn registers(&self, thread: &ThreadView) -> Option<ThreadRegisters> {
        match thread {
            ThreadView::Cpu(cpu) => {
                let cpu = self.machine().cpu(*cpu);
                Some(ThreadRegisters {
                    pc: cpu.pc(),
                    x: cpu.x(),
                    f: Some(cpu.f()),
                    fcsr: cpu.csr(FCSR).map(|value| value as u32),
                })
            }
            ThreadView::Elsewhere => Some(ThreadRegisters {
                pc: 0,
                x: [0; 32],
                f: Some([0; 32]),
                fcsr: Some(0),
            }),
            ThreadView::Task(task) if self.is_in_user_mode(task) => {
                self.registers(&ThreadView::Cpu(CpuId(0)))
            }
            ThreadView::Task(task) => {
                let view = self.linux()?;
                let Some(registers) = view.user_registers(task) else {
                    // On its way into the kernel, some of them saved already: what the CPU has is as near as can be.
                    let current = view.current(CpuId(0))?;
                    let cpu = self.machine().cpu(CpuId(0));
                    return (current.address == task.address).then(|| ThreadRegisters {
                        pc: cpu.csr(SEPC).unwrap_or_default(),
                        x: cpu.x(),
                        f: Some(cpu.f()),
                        fcsr: cpu.csr(FCSR).map(|value| value as u32),
                    });
                };
                Some(ThreadRegisters {
                    pc: registers.pc,
                    x: registers.x,
                    f: registers.f,
                    fcsr: registers.fcsr,
                })
            }
        }
    }

    /// A register of a thread by gdb's number. CSRs are those of the CPU.
    #[must_use]
    pub fn register(&self, thread: &ThreadView, number: u16) -> Option<u64> {
        let cpu = match thread {
            ThreadView::Cpu(cpu) => *cpu,
            ThreadView::Task(_) | ThreadView::Elsewhere => CpuId(0),
        };
        let registers = || self.registers(thread);
        match number {
            0..=31 => Some(registers()?.x[usize::from(number)]),
            PC => Some(registers()?.pc),
            F0..CSR0 => Some(registers()?.f?[usize::from(number - F0)]),
            PRIVILEGE => Some(self.machine().cpu(cpu).privilege() as u64),
            CSR0..PRIVILEGE => {
                let csr = number - CSR0;
                if (1..=FCSR).contains(&csr) {
                    let fcsr = u64::from(registers()?.fcsr?);
                    return Some([fcsr & 0x1f, fcsr >> 5 & 7, fcsr & 0xff][usize::from(csr) - 1]);
                }
                self.machine().cpu(cpu).csr(csr)
            }
            _ => None,
        }
    }

    /// Reads memory as a thread sees it. Returns how many bytes could be read from the first on.
    #[must_use]
    pub fn read_memory(
        &self,
        thread: &ThreadView,
        address: GuestVirtAddr,
        buffer: &mut [u8],
    ) -> usize {
        match thread {
            ThreadView::Cpu(cpu) => {
                let space = self.machine().cpu(*cpu).address_space();
                read_virtual(self.machine().memory(), space, address, buffer)
            }
            ThreadView::Elsewhere => 0,
            ThreadView::Task(task) => self
                .linux()
                .map_or(0, |view| view.read_task_memory(task, address, buffer)),
        }
    }

    /// Writes a register of a thread. Begins a diversion if this is none.
    ///
    /// # Errors
    /// [`TimelineError::Machine`] for a register that cannot be written here.
    pub fn write_register(
        &mut self,
        thread: &ThreadView,
        number: u16,
        value: u64,
    ) -> Result<(), TimelineError> {
        if let ThreadView::Task(task) = thread
            && !self.is_in_user_mode(task)
        {
            // What user mode will find in its registers lies on the thread's kernel stack.
            let address = self
                .linux()
                .and_then(|view| view.user_register_address(task, number));
            let address = address.ok_or(TimelineError::NotDiverted)?;
            let cpu = ThreadView::Cpu(CpuId(0));
            return self.write_memory(&cpu, address, &value.to_le_bytes());
        }
        // A thread that is not there has no CPU, and no CPU has that number.
        let cpu = match thread {
            ThreadView::Elsewhere => CpuId(u32::MAX),
            ThreadView::Cpu(cpu) => *cpu,
            ThreadView::Task(_) => CpuId(0),
        };
        self.write_diverted(|session| {
            session.timeline.write(DebugWrite::Register {
                cpu,
                register: number,
                value,
            })
        })
    }

    /// Writes in a diversion. One that this begins is ended again when nothing comes of it.
    fn write_diverted(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<(), TimelineError>,
    ) -> Result<(), TimelineError> {
        let is_begun_here = self.timeline.diverged_at().is_none();
        self.timeline.diverge();
        let written = write(self);
        if written.is_err() && is_begun_here {
            self.timeline.return_to_recording()?;
        }
        written
    }

    /// Writes memory as a thread sees it. Begins a diversion if this is none.
    ///
    /// # Errors
    /// [`TimelineError::Machine`] when a page is not there. If this was a diversion already, what lies before that page has
    /// been written then.
    pub fn write_memory(
        &mut self,
        thread: &ThreadView,
        address: GuestVirtAddr,
        bytes: &[u8],
    ) -> Result<(), TimelineError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.write_diverted(|session| session.write_pages(thread, address, bytes))
    }

    fn write_pages(
        &mut self,
        thread: &ThreadView,
        address: GuestVirtAddr,
        bytes: &[u8],
    ) -> Result<(), TimelineError> {
        let space = match thread {
            ThreadView::Cpu(cpu) => self.machine().cpu(*cpu).address_space(),
            ThreadView::Task(task) => task.space.unwrap_or_default(),
            // No page of it is there.
            ThreadView::Elsewhere => AddressSpace(u64::MAX),
        };
        let mut done = 0;
        while done < bytes.len() {
            let at = GuestVirtAddr(address.0.wrapping_add(done as u64));
            let in_page = (PAGE_BYTES - at.0 % PAGE_BYTES) as usize;
            let length = in_page.min(bytes.len() - done).min(DEBUG_WRITE_BYTES_MAX);
            // An address that leads nowhere is one that the machine refuses.
            let physical = self.translate(space, at).unwrap_or(GuestPhysAddr(0));
            self.timeline.write(DebugWrite::Memory {
                address: physical,
                bytes: bytes[done..done + length].to_vec(),
            })?;
            done += length;
        }
        Ok(())
    }

    fn translate(&self, space: AddressSpace, address: GuestVirtAddr) -> Option<GuestPhysAddr> {
        translate(self.machine().memory(), space, address)
    }
}

/// What the CPU sees where it stands.
pub(super) struct TaskFrame<'a> {
    pub(super) machine: &'a Machine,
}

impl Frame for TaskFrame<'_> {
    fn register(&self, number: u16) -> Option<u64> {
        let cpu = self.machine.cpu(CpuId(0));
        match number {
            0..=31 => Some(cpu.x()[usize::from(number)]),
            PC => Some(cpu.pc()),
            F0..CSR0 => Some(cpu.f()[usize::from(number - F0)]),
            CSR0..PRIVILEGE => cpu.csr(number - CSR0),
            _ => None,
        }
    }

    fn read(&self, address: u64, buffer: &mut [u8]) -> bool {
        let space = self.machine.cpu(CpuId(0)).address_space();
        let memory = self.machine.memory();
        read_virtual(memory, space, GuestVirtAddr(address), buffer) == buffer.len()
    }
}
