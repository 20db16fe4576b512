//! Looking at something where the session stands.

use super::{Refusal, because, code, words};
use crate::protocol::{Look, Register, RegisterGroup, Thread, ThreadInfo, View};
use reprise_core::riscv::isa::csr_name;
use reprise_core::types::{CpuId, GuestVirtAddr};
use reprise_debugger::session::{DebugSession, ThreadView};

/// Bytes that are read at once at the most.
const MEMORY_BYTES_MAX: u32 = 64 << 10;

/// Threads that are listed at the most.
const THREADS_MAX: usize = 4096;

/// The names of the integer registers in the ABI.
const INTEGER: [&str; 32] = [
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4",
    "a5", "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4",
    "t5", "t6",
];

/// The names of the floating-point registers in the ABI.
const FLOAT: [&str; 32] = [
    "ft0", "ft1", "ft2", "ft3", "ft4", "ft5", "ft6", "ft7", "fs0", "fs1", "fa0", "fa1", "fa2",
    "fa3", "fa4", "fa5", "fa6", "fa7", "fs2", "fs3", "fs4", "fs5", "fs6", "fs7", "fs8", "fs9",
    "fs10", "fs11", "ft8", "ft9", "ft10", "ft11",
];

/// Name of a register by its number in debug information, RISC-V ELF psABI, DWARF register numbers.
pub(crate) fn register_name(number: u16) -> Option<&'static str> {
    let mut names = INTEGER.iter().chain(&FLOAT);
    names.nth(usize::from(number)).copied()
}

/// CSRs that are shown: those of the supervisor and of floating point, and what tells the machine's state.
const CSRS: [u16; 26] = [
    0x001, 0x002, 0x100, 0x104, 0x105, 0x106, 0x10a, 0x140, 0x141, 0x142, 0x143, 0x144, 0x14d,
    0x180, 0x300, 0x301, 0x302, 0x303, 0x304, 0x305, 0x341, 0x342, 0x343, 0x344, 0xc01, 0xc02,
];

/// The thread that is meant.
pub(crate) fn thread_view(session: &DebugSession, thread: Thread) -> Result<ThreadView, Refusal> {
    let cpu = ThreadView::Cpu(CpuId(0));
    Ok(match thread {
        Thread::Cpu => cpu,
        Thread::Current => session
            .current()
            .filter(|task| !task.is_kernel_thread && task.tid != 0)
            .map_or(cpu, ThreadView::Task),
        Thread::Task(tid) => {
            let task = session
                .task(tid)
                .ok_or_else(|| because(format!("thread {tid} is not there at this position")))?;
            ThreadView::Task(task)
        }
    })
}

/// What a look sees.
pub(crate) fn look(session: &mut DebugSession, look: &Look) -> Result<View, Refusal> {
    Ok(match look {
        Look::Registers(thread) => View::Registers(registers(session, *thread)?),
        Look::Memory {
            thread,
            address,
            byte_len,
        } => {
            let view = thread_view(session, *thread)?;
            let mut bytes = vec![0; (*byte_len).min(MEMORY_BYTES_MAX) as usize];
            let length = session.read_memory(&view, GuestVirtAddr(*address), &mut bytes);
            bytes.truncate(length);
            View::Memory(bytes)
        }
        Look::Disassembly {
            thread,
            address,
            before,
            after,
        } => View::Disassembly(code::disassembly(
            session, *thread, *address, *before, *after,
        )?),
        Look::Threads => View::Threads(threads(session)?),
        Look::Stack(thread) => View::Stack(code::stack(session, *thread)?),
        Look::Variables { thread, frame } => {
            View::Variables(code::variables(session, *thread, *frame)?)
        }
        Look::Expression {
            thread,
            frame,
            text,
        } => View::Expression(code::expression(session, *thread, *frame, text)?),
        Look::Source { thread, path } => View::Source(code::source(session, *thread, path)?),
        Look::Hash => View::Hash(session.timeline_mut().state_hash().to_string()),
    })
}

fn registers(session: &DebugSession, thread: Thread) -> Result<Vec<Register>, Refusal> {
    let view = thread_view(session, thread)?;
    let known = session
        .registers(&view)
        .ok_or_else(|| because("this thread's registers are not to be found at this position"))?;
    let register = |name: &str, value, group| Register {
        name: name.to_owned(),
        value,
        group,
    };
    let mut registers = vec![register("pc", known.pc, RegisterGroup::Integer)];
    let integers = INTEGER.iter().zip(known.x).skip(1);
    registers.extend(integers.map(|(name, value)| register(name, value, RegisterGroup::Integer)));
    if let Some(floats) = known.f {
        let floats = FLOAT.iter().zip(floats);
        registers.extend(floats.map(|(name, value)| register(name, value, RegisterGroup::Float)));
    }
    if let Some(fcsr) = known.fcsr {
        registers.push(register("fcsr", u64::from(fcsr), RegisterGroup::Float));
    }
    let cpu = session.machine().cpu(CpuId(0));
    let privilege = cpu.privilege() as u64;
    registers.push(register("privilege", privilege, RegisterGroup::Csr));
    registers.extend(CSRS.iter().filter_map(|number| {
        let name = csr_name(*number)?;
        Some(register(name, cpu.csr(*number)?, RegisterGroup::Csr))
    }));
    Ok(registers)
}

fn threads(session: &DebugSession) -> Result<Vec<ThreadInfo>, Refusal> {
    if let Err(error) = session.kernel() {
        return Err(because(error.to_string()));
    }
    let Some(view) = session.linux() else {
        return Ok(Vec::new());
    };
    let current = view.current(CpuId(0)).map(|task| task.address);
    let mut threads: Vec<ThreadInfo> = view
        .tasks()
        .into_iter()
        .take(THREADS_MAX)
        .map(|task| ThreadInfo {
            tid: task.tid,
            tgid: task.tgid,
            parent: task.parent_tgid,
            is_current: current == Some(task.address),
            is_kernel: task.is_kernel_thread,
            state: match task.wait_status {
                Some(status) => words::wait_status(status),
                None => task.state.word().to_owned(),
            },
            name: task.name,
        })
        .collect();
    threads.sort_by_key(|thread| (thread.is_kernel, thread.tgid, thread.tid));
    Ok(threads)
}
