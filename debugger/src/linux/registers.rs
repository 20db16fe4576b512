//! Registers of tasks, wherever the kernel has put them.

use super::task::Task;
use super::view::LinuxView;
use reprise_core::riscv::trap::Privilege;
use reprise_core::riscv::view::HartView;
use reprise_core::types::GuestVirtAddr;

/// RISC-V Privileged 4.1.1 (`sstatus`) and 4.1.7 (`sepc`).
const SSTATUS: u16 = 0x100;
const SEPC: u16 = 0x141;
const FCSR: u16 = 0x003;
/// `sstatus.SPP`: whether the trap came out of S-mode.
const STATUS_SPP: u64 = 1 << 8;
const STATUS_FS: u64 = 3 << 13;
const STATUS_FS_DIRTY: u64 = 3 << 13;
/// `STACK_ALIGN`, arch/riscv/include/asm/processor.h.
const STACK_ALIGN: u64 = 16;
const ALL: u32 = u32::MAX;
/// `sp`, `tp`, `ra` and the saved registers; and `x0`.
const KEPT: u32 = 1 | 1 << 1 | 1 << 2 | 1 << 4 | 3 << 8 | 0x3ff << 18;

/// Registers of a task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskRegisters {
    /// Address of the instruction at which it goes on.
    pub pc: u64,
    /// The integer registers; 0 where they are not known.
    pub x: [u64; 32],
    /// Which of the integer registers are known, bit `n` for `x[n]`. The kernel keeps only some over a switch.
    pub known: u32,
    /// The floating-point registers, if the task has any.
    pub f: Option<[u64; 32]>,
    /// Their control and status register.
    pub fcsr: Option<u32>,
}

impl LinuxView<'_> {
    /// The registers of user mode: those of the CPU while the task runs there, else those with which it
    /// left user mode and will go back. `None` of a kernel thread, and on the few instructions of the kernel's entry on
    /// which they stand half here, half there.
    #[must_use]
    pub fn user_registers(&self, task: &Task) -> Option<TaskRegisters> {
        if task.is_kernel_thread || task.tid == 0 {
            return None;
        }
        let types = self.types()?;
        let cpu = self.cpu_of(task.address);
        if let Some(cpu) = &cpu {
            if cpu.privilege() == Privilege::User {
                return Some(live(cpu, cpu.pc()));
            }
            let known = self.kernel.known();
            let is_entering = (known.handle_exception.zip(known.saved))
                .is_some_and(|(start, end)| (start..end).contains(&cpu.pc()))
                && cpu.csr(SSTATUS)? & STATUS_SPP == 0;
            if is_entering {
                let is_first = known.handle_exception == Some(cpu.pc());
                return is_first.then(|| Some(live(cpu, cpu.csr(SEPC)?)))?;
            }
        }
        let layout = &types.registers;
        let saved = self.saved_registers(task)?;
        // The order of `struct pt_regs` is that of the registers.
        if layout.x31.offset.checked_sub(layout.x1.offset) != Some(30 * 8) {
            return None;
        }
        let mut x = [0; 32];
        let mut bytes = [0; 31 * 8];
        (self.memory).read(saved.wrapping_add(layout.x1.offset), &mut bytes)?;
        for (register, bytes) in x[1..].iter_mut().zip(bytes.as_chunks::<8>().0) {
            *register = u64::from_le_bytes(*bytes);
        }
        let status = self.field(saved, layout.status)?;
        let (f, fcsr) = match cpu {
            _ if status & STATUS_FS == 0 => (None, None),
            // `fstate_save` copies them and takes the dirt away only when another task gets the CPU.
            Some(cpu) if status & STATUS_FS == STATUS_FS_DIRTY => floating_point(&cpu),
            _ => self.saved_floating_point(task.address.0).unzip(),
        };
        Some(TaskRegisters {
            pc: self.field(saved, layout.pc)?,
            x,
            known: ALL,
            f,
            fcsr,
        })
    }

    /// Where a task's registers of user mode are saved: `task_pt_regs`, arch/riscv/include/asm/processor.h.
    fn saved_registers(&self, task: &Task) -> Option<u64> {
        let types = self.types()?;
        let stack = self.pointer(task.address.0, types.task.stack)?;
        Some(
            stack
                .wrapping_add(self.kernel.thread_bytes())
                .wrapping_sub(types.registers_bytes.next_multiple_of(STACK_ALIGN)),
        )
    }

    /// Why a task left user mode the last time, as `scause` numbers it.
    #[must_use]
    pub fn user_exit_cause(&self, task: &Task) -> Option<u64> {
        let saved = self.saved_registers(task)?;
        self.field(saved, self.types()?.registers.cause)
    }

    /// Where the register of user mode lies that a debugger gives this number (0 to 31 for `x0` to `x31`, 32 for `pc`),
    /// while the task is in the kernel. Writing there writes what user mode will find. `None` for other registers.
    #[must_use]
    pub fn user_register_address(&self, task: &Task, number: u16) -> Option<GuestVirtAddr> {
        let layout = &self.types()?.registers;
        let saved = self.saved_registers(task)?;
        let offset = match number {
            1..=31 => layout.x1.offset + 8 * u64::from(number - 1),
            32 => layout.pc.offset,
            _ => return None,
        };
        Some(GuestVirtAddr(saved.wrapping_add(offset)))
    }

    /// Number of the signal in a `struct ksignal` at an address of the kernel's.
    #[must_use]
    pub fn signal_of_ksignal(&self, address: u64) -> Option<u8> {
        let signal = self.field(address, self.types()?.ksignal.signal)?;
        u8::try_from(signal).ok()
    }

    /// Number of the signal in a `kernel_siginfo_t` at an address of the kernel's. Its number comes first, as in what
    /// programs get (include/uapi/asm-generic/siginfo.h).
    #[must_use]
    pub fn signal_of_siginfo(&self, address: u64) -> Option<u8> {
        let mut bytes = [0; 4];
        self.memory.read(address, &mut bytes)?;
        u8::try_from(u32::from_le_bytes(bytes)).ok()
    }

    /// The registers of a task inside the kernel: those of the CPU if it runs there, else those with which
    /// it gave the CPU away, as far as the kernel keeps them. `None` while it runs in user mode.
    #[must_use]
    pub fn kernel_registers(&self, task: &Task) -> Option<TaskRegisters> {
        let layout = &self.types()?.task;
        let at = task.address.0;
        if let Some(cpu) = self.cpu_of(task.address) {
            return (cpu.privilege() != Privilege::User).then(|| TaskRegisters {
                f: None,
                fcsr: None,
                ..live(&cpu, cpu.pc())
            });
        }
        let mut x = [0; 32];
        x[1] = self.field(at, layout.thread_ra)?;
        x[2] = self.field(at, layout.thread_sp)?;
        x[4] = at;
        let mut saved = [0; 12 * 8];
        (self.memory).read(at.wrapping_add(layout.thread_s.offset), &mut saved)?;
        // s0, s1, then s2 to s11.
        let numbers = [8, 9].into_iter().chain(18..28);
        for (number, bytes) in numbers.zip(saved.as_chunks::<8>().0) {
            x[number] = u64::from_le_bytes(*bytes);
        }
        Some(TaskRegisters {
            pc: x[1],
            x,
            known: KEPT,
            f: None,
            fcsr: None,
        })
    }

    fn saved_floating_point(&self, task: u64) -> Option<([u64; 32], u32)> {
        let layout = &self.types()?.task;
        let mut bytes = [0; 32 * 8];
        (self.memory).read(task.wrapping_add(layout.thread_f?.offset), &mut bytes)?;
        let mut f = [0; 32];
        for (register, bytes) in f.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *register = u64::from_le_bytes(*bytes);
        }
        Some((f, self.field(task, layout.thread_fcsr?)? as u32))
    }
}

/// A CPU's registers.
fn live(cpu: &HartView<'_>, pc: u64) -> TaskRegisters {
    let (f, fcsr) = if cpu.has_floating_point() {
        floating_point(cpu)
    } else {
        (None, None)
    };
    TaskRegisters {
        pc,
        x: cpu.x(),
        known: ALL,
        f,
        fcsr,
    }
}

fn floating_point(cpu: &HartView<'_>) -> (Option<[u64; 32]>, Option<u32>) {
    (Some(cpu.f()), cpu.csr(FCSR).map(|fcsr| fcsr as u32))
}
