//! Instructions, and the source behind them.

use super::look::{register_name, thread_view};
use super::{Refusal, because};
use crate::protocol::{Frame, Instruction, Location, StepUnit, Thread, Variable};
use reprise_core::riscv::disasm::disassemble;
use reprise_core::types::GuestVirtAddr;
use reprise_debugger::session::{DebugSession, ThreadView};
use reprise_debugger::source::{self, SourceVariable};

/// Instructions that are shown at once at the most.
const INSTRUCTIONS_MAX: u32 = 4096;

/// Where a breakpoint lies.
pub(crate) struct Place {
    /// Its instructions.
    pub(crate) addresses: Vec<GuestVirtAddr>,
    /// It was found in a program, not in the kernel and not given as a number.
    pub(crate) is_of_program: bool,
}

/// What a person meant by `0x1234`, `function` or `file.c:12`: of a process, or else of the current one, or of the kernel.
pub(crate) fn resolve(
    session: &mut DebugSession,
    process: Option<u32>,
    text: &str,
) -> Result<Place, Refusal> {
    let thread = process.map_or(Thread::Current, Thread::Task);
    let view = thread_view(session, thread)?;
    let addresses = session.resolve(&view, text).map_err(because)?;
    Ok(Place {
        is_of_program: addresses.iter().all(|address| address >> 63 == 0)
            && !text.trim().starts_with("0x"),
        addresses: addresses.into_iter().map(GuestVirtAddr).collect(),
    })
}

/// Instructions around an address.
pub(crate) fn disassembly(
    session: &mut DebugSession,
    thread: Thread,
    address: Option<u64>,
    before: u32,
    after: u32,
) -> Result<Vec<Instruction>, Refusal> {
    let view = thread_view(session, thread)?;
    let pc = session
        .registers(&view)
        .map(|registers| registers.pc)
        .ok_or_else(|| because("this thread's registers are not to be found at this position"))?;
    let address = address.unwrap_or(pc) & !1;
    let (before, after) = (
        before.min(INSTRUCTIONS_MAX),
        after.clamp(1, INSTRUCTIONS_MAX),
    );
    let mut instructions = instructions_before(session, &view, address, before);
    let mut at = address;
    for _ in 0..after {
        let Some(instruction) = instruction_at(session, &view, at) else {
            break;
        };
        at = at.wrapping_add(instruction.bytes.len() as u64);
        instructions.push(instruction);
    }
    for instruction in &mut instructions {
        instruction.symbol = symbol(session, &view, instruction.address);
    }
    Ok(instructions)
}

/// Instructions that end where one begins. Their lengths differ, so they are found by beginning further and further
/// back until a run of instructions ends there exactly; where the function is known, at its start.
fn instructions_before(
    session: &DebugSession,
    view: &ThreadView,
    address: u64,
    count: u32,
) -> Vec<Instruction> {
    let count = count as usize;
    let far = address.saturating_sub(4 * count as u64 + 16);
    for start in (far..address).step_by(2) {
        let mut found = Vec::new();
        let mut at = start;
        while at < address {
            let Some(instruction) = instruction_at(session, view, at) else {
                break;
            };
            at += instruction.bytes.len() as u64;
            found.push(instruction);
        }
        if at == address {
            return found.split_off(found.len().saturating_sub(count));
        }
    }
    Vec::new()
}

fn instruction_at(session: &DebugSession, view: &ThreadView, at: u64) -> Option<Instruction> {
    let mut bytes = [0; 4];
    let length = session.read_memory(view, GuestVirtAddr(at), &mut bytes);
    if length < 2 {
        return None;
    }
    let known = disassemble(u32::from_le_bytes(bytes), at);
    if length < usize::from(known.len) {
        return None;
    }
    Some(Instruction {
        address: at,
        bytes: bytes.get(..usize::from(known.len))?.to_vec(),
        text: known.to_string(),
        symbol: None,
    })
}

/// The function that an address lies in, as `function+0x12`.
fn symbol(session: &mut DebugSession, view: &ThreadView, address: u64) -> Option<String> {
    let symbol = session.symbol_at(view, address)?;
    Some(match symbol.offset {
        0 => symbol.name,
        offset => format!("{}+{offset:#x}", symbol.name),
    })
}

/// Calls, the innermost first.
pub(crate) fn stack(session: &mut DebugSession, thread: Thread) -> Result<Vec<Frame>, Refusal> {
    let view = thread_view(session, thread)?;
    let frames = session.backtrace(&view).into_iter().map(|frame| Frame {
        pc: frame.pc,
        function: frame.function,
        location: frame.location.map(|location| Location {
            path: location.path,
            line: location.line,
            column: location.column,
        }),
        is_inlined: frame.is_inlined,
        is_kernel: frame.is_kernel,
    });
    Ok(frames.collect())
}

/// Variables and arguments of a call.
pub(crate) fn variables(
    session: &mut DebugSession,
    thread: Thread,
    frame: u32,
) -> Result<Vec<Variable>, Refusal> {
    let view = thread_view(session, thread)?;
    let variables = session.variables(&view, frame as usize);
    Ok(variables.into_iter().map(variable).collect())
}

/// What an expression names in a call.
pub(crate) fn expression(
    session: &mut DebugSession,
    thread: Thread,
    frame: u32,
    text: &str,
) -> Result<Result<Variable, String>, Refusal> {
    let view = thread_view(session, thread)?;
    Ok(session.evaluate(&view, frame as usize, text).map(variable))
}

fn variable(known: SourceVariable) -> Variable {
    Variable {
        name: known.name,
        type_name: known.type_name,
        value: known.value,
        is_argument: known.is_argument,
        address: known.address,
        byte_len: known.byte_len,
        parts: known.parts.into_iter().map(variable).collect(),
        register: known.register.and_then(register_name).map(str::to_owned),
    }
}

/// A source text, if it is in the guest.
pub(crate) fn source(
    session: &mut DebugSession,
    thread: Thread,
    path: &str,
) -> Result<Option<String>, Refusal> {
    let view = thread_view(session, thread)?;
    Ok(session.read_source(&view, path))
}

/// How far a step by line goes.
pub(crate) fn line_unit(unit: StepUnit) -> source::StepUnit {
    match unit {
        StepUnit::LineInto => source::StepUnit::Into,
        StepUnit::LineOver => source::StepUnit::Over,
        _ => source::StepUnit::Out,
    }
}
