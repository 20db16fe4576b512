//! Linux at the machine's position: what runs, and the means to read the rest.

use super::btf::Member;
use super::kernel::Kernel;
use super::layout::Types;
use super::memory::{KernelMemory, LinearMap};
use super::task::{Task, TaskAddress};
use reprise_core::debug::AddressSpace;
use reprise_core::machine::Machine;
use reprise_core::riscv::csr::number::SATP;
use reprise_core::riscv::trap::Privilege;
use reprise_core::riscv::view::HartView;
use reprise_core::types::{CpuId, GuestPhysAddr, GuestVirtAddr};
use reprise_recorder::entry::TimedEvent;

/// RISC-V Privileged 4.1.3 (`sscratch`).
const SSCRATCH: u16 = 0x140;

/// Linux at the machine's position. Looking changes nothing.
///
/// Whatever memory says is taken as it is: while the kernel changes a list or a tree, one sees it in the middle of the
/// change. What cannot be read is left out.
#[derive(Clone, Copy)]
pub struct LinuxView<'a> {
    pub(super) kernel: &'a Kernel,
    pub(super) machine: &'a Machine,
    pub(super) memory: KernelMemory<'a>,
    /// What the recording brings, if it is known: contents of files may come later than now.
    pub(super) events: &'a [TimedEvent],
    /// The mode of address translation, as in `satp`; 0 before it is switched on.
    translation: u64,
}

impl<'a> LinuxView<'a> {
    pub(super) fn new(kernel: &'a Kernel, machine: &'a Machine) -> Self {
        let satp = machine.cpu(CpuId(0)).csr(SATP).unwrap_or(0);
        let translation = satp & 0xf << 60;
        let mut memory = KernelMemory {
            ram: machine.memory(),
            image: kernel.image(),
            linear: None,
            tables: None,
        };
        if translation != 0 {
            let known = kernel.known();
            memory.linear = linear_map(kernel, &memory);
            memory.tables = known.swapper_pg_dir.and_then(|root| {
                let root = memory.translate(root)?;
                Some(AddressSpace(translation | root.0 >> 12))
            });
        }
        Self {
            kernel,
            machine,
            memory,
            events: &[],
            translation,
        }
    }

    /// The same, with the events of the recording that the machine executes: contents of the workspace's files are then
    /// known before they come.
    #[must_use]
    pub fn with_events(self, events: &'a [TimedEvent]) -> Self {
        Self { events, ..self }
    }

    /// Whether tasks can be read here. Early in the boot they cannot.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.ring_start().is_some()
    }

    /// Where the ring of processes begins, and its first process, once there is one.
    pub(super) fn ring_start(&self) -> Option<(u64, u64)> {
        let types = self.types()?;
        self.memory.linear?;
        let head = (self.kernel.known().init_task?).wrapping_add(types.task.tasks.offset);
        let first = self.memory.u64(head)?;
        (first != 0 && first != head).then_some((head, first))
    }

    /// The task that a CPU runs. The idle task has thread id 0.
    #[must_use]
    pub fn current(&self, cpu: CpuId) -> Option<Task> {
        self.task(self.current_address(cpu)?)
    }

    /// The task that a CPU runs, by its address. It changes only inside of `__switch_to`.
    #[must_use]
    pub fn current_address(&self, cpu: CpuId) -> Option<TaskAddress> {
        self.is_up().then_some(())?;
        let hart = self.hart(cpu)?;
        let (tp, scratch) = (hart.x()[4], hart.csr(SSCRATCH)?);
        let task = match hart.privilege() {
            Privilege::Machine => return None,
            Privilege::User => scratch,
            // arch/riscv/kernel/entry.S: in the kernel `tp` is the task and `sscratch` is 0. The first instruction of
            // the entry exchanges the two; if `tp` comes out as 0 the kernel was in the kernel already, and
            // the entry takes it back from `sscratch`, which holds the interrupted `tp` until all is saved.
            Privilege::Supervisor if self.is_entry(hart.pc()) => {
                if self.kernel.known().handle_exception == Some(hart.pc()) {
                    if scratch != 0 { scratch } else { tp }
                } else if tp != 0 {
                    tp
                } else {
                    scratch
                }
            }
            // The way out puts the task into `sscratch` before it loads the user's `tp`.
            Privilege::Supervisor if scratch != 0 => scratch,
            Privilege::Supervisor => tp,
        };
        Some(TaskAddress(task))
    }

    /// Whether an address lies in the kernel's entry, before the way out.
    fn is_entry(&self, pc: u64) -> bool {
        let known = self.kernel.known();
        let is_in = |start: u64, end: u64| (start..end).contains(&pc);
        (known.handle_exception)
            .zip(known.ret_from_exception)
            .is_some_and(|(start, end)| is_in(start, end))
            // It borrows `sscratch` for a register; only kernels with CONFIG_VMAP_STACK have it.
            || (self.kernel.symbol_at(GuestVirtAddr(pc)))
                .is_some_and(|(symbol, _)| symbol == "handle_kernel_stack_overflow")
    }

    pub(super) fn hart(&self, cpu: CpuId) -> Option<HartView<'a>> {
        (cpu.0 < self.machine.config().cpu_count).then(|| self.machine.cpu(cpu))
    }

    /// The CPU that runs a task.
    pub(super) fn cpu_of(&self, task: TaskAddress) -> Option<HartView<'a>> {
        (0..self.machine.config().cpu_count)
            .map(CpuId)
            .find(|cpu| self.current_address(*cpu) == Some(task))
            .and_then(|cpu| self.hart(cpu))
    }

    pub(super) fn types(&self) -> Option<&'a Types> {
        self.kernel.types()
    }

    /// A member of a structure, as a number.
    pub(super) fn field(&self, structure: u64, member: Member) -> Option<u64> {
        (self.memory).number(structure.wrapping_add(member.offset), member.byte_len)
    }

    /// A member that points somewhere; `None` for a null pointer as well.
    pub(super) fn pointer(&self, structure: u64, member: Member) -> Option<u64> {
        self.field(structure, member).filter(|to| *to != 0)
    }

    /// The address space of page tables that begin at a kernel address.
    pub(super) fn space_of_tables(&self, root: u64) -> Option<AddressSpace> {
        let root: GuestPhysAddr = self.memory.translate(root)?;
        Some(AddressSpace(self.translation | root.0 >> 12))
    }
}

fn linear_map(kernel: &Kernel, memory: &KernelMemory<'_>) -> Option<LinearMap> {
    let layout = &kernel.types()?.kernel_map;
    let map = kernel.known().kernel_map?;
    let field = |member: Member| memory.number(map.wrapping_add(member.offset), member.byte_len);
    let virtual_start = field(layout.page_offset)?;
    (virtual_start >> 63 != 0).then_some(LinearMap {
        virtual_start,
        difference: field(layout.va_pa_offset)?,
    })
}
