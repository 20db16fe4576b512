//! The call of a function that is stepped: where its lines begin, and where they call others.

use super::run::{Run, TP, Wanted};
use super::{Operation, StepUnit};
use crate::session::{DebugSession, ThreadView};
use crate::source::backtrace::{Frame, FrameRegisters};
use crate::source::cache::{Object, ProcessObjects};
use crate::source::dwarf::DebugFile;
use reprise_core::types::GuestVirtAddr;
use reprise_recorder::timeline::RunDirection;

/// Beginnings of lines of a function that a step looks out for.
const LINES_MAX: usize = 1 << 12;
/// Bytes of a line's code in which calls are looked for.
const CODE_BYTES_MAX: u64 = 1 << 12;

/// The call of a function that is stepped.
#[derive(Clone)]
pub(super) struct Stepped {
    pub(super) object: Object,
    pub(super) own: u64,
    pub(super) unit: usize,
    /// The function, and the copy in it that is executed, if it is one.
    pub(super) outer: usize,
    pub(super) inner: usize,
    pub(super) line: u32,
    pub(super) file: u32,
    pub(super) frame_address: Option<u64>,
    pub(super) registers: FrameRegisters,
    /// Where it returns to.
    pub(super) caller: Option<FrameRegisters>,
}

impl DebugSession {
    /// The call of the innermost function of a thread's program, if it has lines.
    pub(super) fn stepped(
        &self,
        view: &ThreadView,
        objects: &ProcessObjects,
    ) -> Option<Box<Stepped>> {
        let frames = self.frames(view, objects);
        let first = frames.iter().position(|frame| !frame.is_kernel)?;
        let innermost = &frames[first];
        let (unit, inner) = innermost.function?;
        let is_real = |frame: &&Frame| !frame.is_inlined;
        let real = frames[first..].iter().position(|frame| is_real(&frame))? + first;
        let (_, outer) = frames[real].function?;
        let own = innermost.own_lookup()?;
        let row = *innermost.debug()?.lines(unit).row_at(own)?;
        Some(Box::new(Stepped {
            object: innermost.object.clone()?,
            own,
            unit,
            outer,
            inner,
            line: row.line,
            file: row.file,
            frame_address: innermost.registers.frame_address,
            registers: innermost.registers.clone(),
            caller: frames.get(real + 1).map(|frame| frame.registers.clone()),
        }))
    }
}

impl Stepped {
    pub(super) fn debug(&self) -> Option<&DebugFile> {
        self.object.program.debug.as_ref()
    }

    /// Beginnings of other lines of the function, in the frame that is stepped.
    pub(super) fn other_lines(&self, unit: StepUnit) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        let Some(debug) = self.debug() else {
            return wanted;
        };
        let (functions, lines) = (debug.functions(self.unit), debug.lines(self.unit));
        for (begin, end) in functions.ranges_of(self.outer) {
            for row in lines.rows_within(*begin, *end) {
                let chain = functions.chain_at(row.address);
                let is_within = chain.contains(&self.inner);
                let is_other = row.line != self.line || row.file != self.file;
                let counts = row.is_statement
                    && row.line != 0
                    && match unit {
                        StepUnit::Into => is_other,
                        // What was put into the function is called by it, as far as its author is concerned.
                        StepUnit::Over => {
                            let is_deeper = is_within && chain.last() != Some(&self.inner);
                            is_other && !is_deeper && self.is_around(&chain)
                        }
                        StepUnit::Out => !is_within && self.is_around(&chain),
                    };
                if counts && wanted.len() < LINES_MAX {
                    wanted.push(self.here(row.address));
                }
            }
        }
        wanted
    }

    /// Whether a chain of copies is that of the one that is stepped, or of one around it.
    fn is_around(&self, chain: &[usize]) -> bool {
        let own = self
            .debug()
            .map(|debug| debug.functions(self.unit).chain_at(self.own));
        own.is_some_and(|own| chain.last().is_some_and(|last| own.contains(last)))
    }

    /// Beginnings of the line itself, in the frame that is stepped.
    pub(super) fn own_lines(&self) -> Vec<Wanted> {
        let mut begins = Vec::new();
        let Some(debug) = self.debug() else {
            return begins;
        };
        let (functions, lines) = (debug.functions(self.unit), debug.lines(self.unit));
        for (begin, end) in functions.ranges_of(self.outer) {
            let rows = lines
                .rows_within(*begin, *end)
                .filter(|row| row.line == self.line && row.file == self.file && row.is_statement);
            begins.extend(rows.take(LINES_MAX).map(|row| self.here(row.address)));
        }
        begins
    }

    /// Whether the thread stands at the line's beginning, not in the middle of it.
    pub(super) fn is_at_beginning(&self) -> bool {
        let debug = self.debug();
        debug.is_some_and(|debug| debug.lines(self.unit).begins_line(self.own))
    }

    /// Whether another call is at the same line.
    pub(super) fn is_same_line(&self, other: &Self) -> bool {
        self.line == other.line && self.file == other.file
    }

    /// A run to instructions in the frame that is stepped, or in its callers.
    pub(super) fn run(&self, direction: RunDirection, wanted: Vec<Wanted>) -> Operation {
        let tp = self.registers.get(TP);
        Operation::Run(Run::new(direction, wanted, self.frame_address, tp))
    }

    /// Whether an address of the process is the beginning of another line, too.
    pub(super) fn is_elsewhere(&self, pc: u64) -> bool {
        let own = pc.wrapping_sub(self.object.bias);
        let row = self
            .debug()
            .and_then(|debug| debug.lines(self.unit).row_at(own));
        row.is_some_and(|row| row.line != self.line || row.file != self.file)
    }

    /// An instruction of the function, in the frame that is stepped.
    pub(super) fn here(&self, own: u64) -> Wanted {
        Wanted {
            address: own.wrapping_add(self.object.bias),
            frame_rule: self.object.program.frames.frame_rule(own),
        }
    }

    pub(super) fn entry(&self) -> Option<u64> {
        Some(self.debug()?.functions(self.unit).get(self.outer).entry)
    }

    /// Where the line's own code calls functions, or jumps out of this one.
    pub(super) fn calls(&self, session: &DebugSession, view: &ThreadView) -> Vec<Wanted> {
        let mut found = Vec::new();
        let Some(debug) = self.debug() else {
            return found;
        };
        let (functions, lines) = (debug.functions(self.unit), debug.lines(self.unit));
        for (begin, end) in functions.ranges_of(self.outer) {
            for row in lines.rows_within(*begin, *end) {
                if row.line != self.line || row.file != self.file || found.len() >= LINES_MAX {
                    continue;
                }
                let mut code = vec![0; (row.end - row.address).min(CODE_BYTES_MAX) as usize];
                let start = row.address.wrapping_add(self.object.bias);
                let read = session.read_memory(view, GuestVirtAddr(start), &mut code);
                let calls = call_offsets(&code[..read]).into_iter();
                found.extend(calls.map(|offset| self.here(row.address + offset)));
            }
        }
        found
    }
}

/// Offsets of the instructions that call a function or jump to one whose address is in a register.
fn call_offsets(code: &[u8]) -> Vec<u64> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(half) = code.get(at..).and_then(|rest| rest.first_chunk::<2>()) {
        let half = u16::from_le_bytes(*half);
        let is_long = half & 3 == 3;
        let is_call = if is_long {
            let word = code[at..]
                .first_chunk::<4>()
                .map_or(0, |word| u32::from_le_bytes(*word));
            let (opcode, target, base) = (word & 0x7f, word >> 7 & 31, word >> 15 & 31);
            // RISC-V Unprivileged 2.5.1: `jal` and `jalr` that keep a return address, and `jalr` that is no return.
            let is_jal = opcode == 0x6f && target == 1;
            let is_jalr = opcode == 0x67 && (target == 1 || base != 1);
            is_jal || is_jalr
        } else {
            // `c.jalr`, and `c.jr` that is no return.
            let base = half >> 7 & 31;
            let is_register = half & 0x007f == 2 && base != 0;
            is_register && (half >> 12 == 9 || (half >> 12 == 8 && base != 1))
        };
        if is_call {
            found.push(at as u64);
        }
        at += if is_long { 4 } else { 2 };
    }
    found
}

#[cfg(test)]
mod tests {
    use super::call_offsets;

    #[test]
    fn calls_are_told_from_returns() {
        // c.addi; jal ra; c.jalr a5; ret (c.jr ra); c.jr t1; jalr zero, ra; jalr ra, t1
        let code = [
            &0x1141u16.to_le_bytes()[..],
            &0x0000_00efu32.to_le_bytes(),
            &0x9782u16.to_le_bytes(),
            &0x8082u16.to_le_bytes(),
            &0x8302u16.to_le_bytes(),
            &0x0000_8067u32.to_le_bytes(),
            &0x0003_00e7u32.to_le_bytes(),
        ];
        assert_eq!(call_offsets(&code.concat()), [2, 6, 10, 16]);
    }
}
