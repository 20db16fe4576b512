//! Instructions, and the source behind them.

use super::look::thread_view;
use super::{Refusal, because};
use crate::protocol::{Frame, Instruction, StepUnit, Thread, Variable};
use reprise_core::riscv::disasm::disassemble;
use reprise_core::types::GuestVirtAddr;
use reprise_debugger::session::{DebugSession, ThreadView};
use reprise_debugger::stops::{Stop, Stops};
use reprise_recorder::timeline::RunDirection;

/// Instructions that are shown at once at the most.
const INSTRUCTIONS_MAX: u32 = 4096;

/// Where a breakpoint lies.
pub(crate) struct Place {
    /// Its instructions.
    pub(crate) addresses: Vec<GuestVirtAddr>,
    /// It was found in a program, not in the kernel and not given as a number.
    pub(crate) is_of_program: bool,
}

/// What a person meant by `0x1234`, `function` or `file.c:12`.
pub(crate) fn resolve(
    session: &mut DebugSession,
    _process: Option<u32>,
    text: &str,
) -> Result<Place, Refusal> {
    let text = text.trim();
    let is_number = text.starts_with("0x") || text.starts_with("0X");
    if is_number {
        let digits = text.get(2..).unwrap_or_default();
        let address = u64::from_str_radix(digits, 16)
            .map_err(|_| because(format!("`{text}` is not an address: write 0x1234")))?;
        return Ok(Place {
            addresses: vec![GuestVirtAddr(address)],
            is_of_program: false,
        });
    }
    let kernel = session.kernel().ok();
    let address = kernel.and_then(|kernel| kernel.address_of(text));
    let address = address.ok_or_else(|| because(format!("there is no function `{text}` here")))?;
    Ok(Place {
        addresses: vec![address],
        is_of_program: false,
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
        symbol: symbol(session, at),
    })
}

/// The function that an address lies in, as `function+0x12`.
fn symbol(session: &DebugSession, address: u64) -> Option<String> {
    let kernel = session.kernel().ok()?;
    let (name, offset) = kernel.symbol_at(GuestVirtAddr(address))?;
    Some(match offset {
        0 => name.to_owned(),
        offset => format!("{name}+{offset:#x}"),
    })
}

/// Calls, the innermost first.
pub(crate) fn stack(session: &mut DebugSession, thread: Thread) -> Result<Vec<Frame>, Refusal> {
    let view = thread_view(session, thread)?;
    let registers = session
        .registers(&view)
        .ok_or_else(|| because("this thread's registers are not to be found at this position"))?;
    Ok(vec![Frame {
        pc: registers.pc,
        function: symbol(session, registers.pc),
        location: None,
        is_inlined: false,
        is_kernel: registers.pc >> 63 != 0,
    }])
}

/// Variables and arguments of a call.
pub(crate) fn variables(
    _session: &mut DebugSession,
    _thread: Thread,
    _frame: u32,
) -> Result<Vec<Variable>, Refusal> {
    Ok(Vec::new())
}

/// A source text, if it is in the guest.
pub(crate) fn source(
    _session: &mut DebugSession,
    _thread: Thread,
    _path: &str,
) -> Result<Option<String>, Refusal> {
    Ok(None)
}

/// To another source line.
pub(crate) fn step_line(
    _session: &mut DebugSession,
    _direction: RunDirection,
    _unit: StepUnit,
    _tid: u32,
    _stops: &Stops,
) -> Result<Stop, Refusal> {
    Err(because("the source lines of this program are not known"))
}
