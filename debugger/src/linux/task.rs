//! Tasks: the threads of all processes, and the kernel's own.

use super::view::LinuxView;
use reprise_core::debug::AddressSpace;
use std::collections::BTreeSet;

/// What a walk over all tasks returns at most.
pub const TASKS_MAX: usize = 32_768;
/// `PID_MAX_LIMIT`, include/linux/threads.h.
const TID_MAX: u64 = 4 << 20;
/// `PF_KTHREAD`, include/linux/sched.h.
const IS_KERNEL_THREAD: u64 = 0x0020_0000;
/// `SIGNAL_GROUP_EXIT`, include/linux/sched/signal.h.
const IS_GROUP_EXIT: u64 = 4;
/// `TASK_COMM_LEN`, include/linux/sched.h.
const NAME_BYTES: usize = 16;

/// Where a task's `task_struct` lies: what tells it from the others while it lives. The kernel
/// uses the place again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TaskAddress(pub u64);

/// What a task is about, as `ps` shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskState {
    /// It runs or could run (R).
    Running,
    /// It has been made and has not been let run yet; `ps` shows it as running (R).
    New,
    /// It waits and a signal would wake it (S).
    Sleeping,
    /// It waits and no signal wakes it (D).
    DiskSleep,
    /// It was stopped by a signal (T).
    Stopped,
    /// It was stopped by a debugger in the guest (t).
    Traced,
    /// It has ended and its parent has not been told (Z).
    Zombie,
    /// It has ended (X).
    Dead,
    /// A kernel thread that was put aside (P).
    Parked,
    /// A kernel thread that waits for work (I).
    Idle,
}

impl TaskState {
    /// The letter that `ps` shows.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Running | Self::New => 'R',
            Self::Sleeping => 'S',
            Self::DiskSleep => 'D',
            Self::Stopped => 'T',
            Self::Traced => 't',
            Self::Zombie => 'Z',
            Self::Dead => 'X',
            Self::Parked => 'P',
            Self::Idle => 'I',
        }
    }

    /// A word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::New => "new",
            Self::Sleeping => "sleeping",
            Self::DiskSleep => "waiting",
            Self::Stopped => "stopped",
            Self::Traced => "traced",
            Self::Zombie => "zombie",
            Self::Dead => "dead",
            Self::Parked => "parked",
            Self::Idle => "idle",
        }
    }

    /// From `__state` and `exit_state`, as `__task_state_index` does it (include/linux/sched.h).
    fn from_flags(state: u64, exit_state: u64) -> Self {
        const IDLE: u64 = 0x402;
        const RTLOCK_WAIT: u64 = 0x1000;
        const NEW: u64 = 0x800;
        const REPORTED: u64 = 0x7f;
        if state & NEW != 0 {
            return Self::New;
        }
        if state & IDLE == IDLE {
            return Self::Idle;
        }
        match ((state | exit_state) & REPORTED).checked_ilog2() {
            None if state & RTLOCK_WAIT != 0 => Self::DiskSleep,
            None => Self::Running,
            Some(0) => Self::Sleeping,
            Some(1) => Self::DiskSleep,
            Some(2) => Self::Stopped,
            Some(3) => Self::Traced,
            Some(4) => Self::Dead,
            Some(5) => Self::Zombie,
            Some(_) => Self::Parked,
        }
    }
}

/// A task: a thread of a process, or a kernel thread.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Task {
    /// Where it lies.
    pub address: TaskAddress,
    /// Thread id as the host namespace of the guest counts; 0 is the idle task.
    pub tid: u32,
    /// Thread id of the process' first thread: what programs call the process id.
    pub tgid: u32,
    /// Process id of the parent; 0 for init and `kthreadd`.
    pub parent_tgid: u32,
    /// `comm`: the program's name, cut to 15 bytes, or what the thread calls itself. Bytes that are no UTF-8 are replaced.
    pub name: String,
    /// What it is about.
    pub state: TaskState,
    /// Whether it never leaves the kernel.
    pub is_kernel_thread: bool,
    /// The address space of its user mode, comparable with
    /// [`HartView::address_space`](reprise_core::riscv::view::HartView::address_space). None of a kernel thread, and of
    /// one that has given it up on its way out.
    pub space: Option<AddressSpace>,
    /// How it ended, as `wait` reports it: exit status in bits 8 to 15, signal in bits 0 to 6. `None` while it lives.
    pub wait_status: Option<u32>,
}

impl LinuxView<'_> {
    /// The status with which a task's process is ending, as `wait` will report it, once that has been decided.
    #[must_use]
    pub fn group_exit_status(&self, task: &Task) -> Option<u32> {
        let types = self.types()?;
        let signal = self.pointer(task.address.0, types.task.signal)?;
        let is_group_exit = self.field(signal, types.signal.flags)? & IS_GROUP_EXIT != 0;
        let status = is_group_exit.then(|| self.field(signal, types.signal.group_exit_code))??;
        Some(status as u32)
    }

    /// All threads of all processes and all kernel threads, zombies included, at most [`TASKS_MAX`], in the order in which
    /// the processes began. The idle task is not among them, the task that runs always is.
    #[must_use]
    pub fn tasks(&self) -> Vec<Task> {
        let addresses = self.task_addresses().unwrap_or_default();
        let tasks = addresses.into_iter().filter_map(|at| self.task(at));
        tasks.filter(|task| task.tid != 0).collect()
    }

    /// Addresses of all tasks.
    fn task_addresses(&self) -> Option<Vec<TaskAddress>> {
        let types = self.types()?;
        let (head, mut at) = self.ring_start()?;
        let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
        let mut add = |address: u64| {
            let is_new = found.len() < TASKS_MAX && seen.insert(address);
            if is_new {
                found.push(TaskAddress(address));
            }
            is_new
        };
        while at != head {
            let leader = at.wrapping_sub(types.task.tasks.offset);
            if !add(leader) {
                break;
            }
            if let Some(signal) = self.pointer(leader, types.task.signal) {
                let head = signal.wrapping_add(types.signal.thread_head.offset);
                let mut at = self.memory.u64(head).unwrap_or(head);
                let mut is_leader_met = false;
                while at != head {
                    let thread = at.wrapping_sub(types.task.thread_node.offset);
                    // The leader is on both lists. A list that comes back to anybody is broken.
                    let is_new = if thread == leader {
                        !std::mem::replace(&mut is_leader_met, true)
                    } else {
                        add(thread)
                    };
                    if !is_new {
                        break;
                    }
                    at = self.memory.u64(at).unwrap_or(head);
                }
            }
            // A link that cannot be read ends the walk.
            at = self.memory.u64(at).unwrap_or(head);
        }
        // On its very last steps a thread is on no list any more.
        for cpu in 0..self.machine.config().cpu_count {
            if let Some(current) = self.current_address(reprise_core::types::CpuId(cpu)) {
                add(current.0);
            }
        }
        Some(found)
    }

    /// A task by its address; `None` when there is none.
    #[must_use]
    pub fn task(&self, address: TaskAddress) -> Option<Task> {
        let types = self.types()?;
        let (layout, at) = (&types.task, address.0);
        // Any number can be asked for. A task is its own or another's thread, and has a stack until it has ended.
        if at == 0 || at % 8 != 0 {
            return None;
        }
        self.pointer(at, layout.group_leader)?;
        let exit_state = self.field(at, layout.exit_state)?;
        if exit_state == 0 {
            self.pointer(at, layout.stack)?;
        }
        let id = |task: u64, member| {
            let id = self.field(task, member).filter(|id| *id <= TID_MAX)?;
            Some(id as u32)
        };
        let flags = self.field(at, layout.flags)?;
        let parent = self.pointer(at, layout.real_parent);
        let mut name = [0; NAME_BYTES];
        let name_bytes = NAME_BYTES.min(layout.comm.byte_len as usize);
        (self.memory).read(at.wrapping_add(layout.comm.offset), &mut name[..name_bytes])?;
        let end = name.iter().position(|byte| *byte == 0);
        Some(Task {
            address,
            tid: id(at, layout.pid)?,
            tgid: id(at, layout.tgid)?,
            parent_tgid: parent
                .and_then(|parent| id(parent, layout.tgid))
                .unwrap_or(0),
            name: String::from_utf8_lossy(&name[..end.unwrap_or(NAME_BYTES)]).into_owned(),
            state: TaskState::from_flags(self.field(at, layout.state)?, exit_state),
            is_kernel_thread: flags & IS_KERNEL_THREAD != 0,
            space: self.mm(address).and_then(|mm| {
                let root = self.pointer(mm, types.mm.pgd)?;
                self.space_of_tables(root)
            }),
            wait_status: (exit_state != 0).then(|| self.wait_status(at)).flatten(),
        })
    }

    fn wait_status(&self, task: u64) -> Option<u32> {
        let types = self.types()?;
        let own = self.field(task, types.task.exit_code)? as u32;
        let of_group = || {
            let signal = self.pointer(task, types.task.signal)?;
            let is_group_exit = self.field(signal, types.signal.flags)? & IS_GROUP_EXIT != 0;
            let code = self.field(signal, types.signal.group_exit_code)? as u32;
            is_group_exit.then_some(code)
        };
        Some(of_group().unwrap_or(own))
    }

    /// The `mm_struct` of a task's user mode.
    pub(super) fn mm(&self, task: TaskAddress) -> Option<u64> {
        self.pointer(task.0, self.types()?.task.mm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_told_as_ps_tells_them() {
        for (state, exit_state, letter) in [
            (0, 0, 'R'),
            (1, 0, 'S'),
            (2, 0, 'D'),
            (0x102, 0, 'D'),
            (0x402, 0, 'I'),
            (0x104, 0, 'T'),
            (8, 0, 't'),
            (0x40, 0, 'P'),
            (0x80, 0x20, 'Z'),
            (0x80, 0x10, 'X'),
            (0x800, 0, 'R'),
            (0x1000, 0, 'D'),
            (0x2001, 0, 'S'),
        ] {
            let found = TaskState::from_flags(state, exit_state);
            assert_eq!(found.letter(), letter, "{state:#x} {exit_state:#x}");
        }
    }
}
