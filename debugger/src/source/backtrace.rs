//! Who called whom.

use super::cache::{Object, ProcessObjects};
use super::dwarf::DebugFile;
use super::evaluate::Machine;
use super::frames::{RA, S0, SP};
use super::program::{Program, demangled};
use super::{SourceFrame, SourceLocation, Symbol};
use crate::session::{DebugSession, ThreadRegisters, ThreadView};
use reprise_core::riscv::trap::Privilege;
use reprise_core::types::GuestVirtAddr;
use std::sync::Arc;

/// Frames of a thread that are shown; an endless recursion has more than anybody reads.
const FRAMES_MAX: usize = 256;
/// Frames inside of the kernel, whose stacks have 16 KiB.
const KERNEL_FRAMES_MAX: usize = 64;
/// Bytes of the instructions with which a kernel function saves its caller's frame.
const KERNEL_PROLOGUE_BYTES: u64 = 8;
/// Where the kernel is entered from user mode, and where new tasks begin: what lies above on the stack is no frame.
const KERNEL_ENTRIES: [&str; 5] = [
    "handle_exception",
    "ret_from_exception",
    "ret_from_fork",
    "ret_from_fork_kernel_asm",
    "ret_from_fork_user_asm",
];
/// `li a7, 139; ecall` (`rt_sigreturn`): where a signal handler returns to, arch/riscv/kernel/vdso/rt_sigreturn.S.
const SIGNAL_RETURN: [u8; 8] = [0x93, 0x08, 0xb0, 0x08, 0x73, 0, 0, 0];
/// Offset of `sc_regs` behind the stack pointer there: arch/riscv/kernel/signal.c, `struct rt_sigframe`.
const SIGNAL_REGISTERS: u64 = 128 + 176;
/// Numbers of integer and floating-point registers together, as DWARF numbers them.
const REGISTERS: usize = 64;

/// The registers of a frame, those of them that are known.
#[derive(Clone, PartialEq, Debug)]
pub struct FrameRegisters {
    /// Address of the next instruction.
    pub pc: u64,
    /// `x0` to `x31`, then `f0` to `f31`.
    values: [Option<u64>; REGISTERS],
    /// Its address in DWARF's sense (the CFA): what the stack pointer was before the call. It tells one call of a
    /// function from another.
    pub frame_address: Option<u64>,
}

impl FrameRegisters {
    fn new(registers: &ThreadRegisters) -> Self {
        let mut values = [None; REGISTERS];
        for (value, x) in values.iter_mut().zip(registers.x) {
            *value = Some(x);
        }
        for (value, f) in values[32..].iter_mut().zip(registers.f.iter().flatten()) {
            *value = Some(*f);
        }
        Self {
            pc: registers.pc,
            values,
            frame_address: None,
        }
    }

    /// A register by DWARF's number: 0 to 31 for `x0` to `x31`, 32 to 63 for `f0` to `f31`.
    #[must_use]
    pub fn get(&self, number: u16) -> Option<u64> {
        *self.values.get(usize::from(number))?
    }

    pub(super) fn set(&mut self, number: u16, value: Option<u64>) {
        if number == 0 {
            return;
        }
        if let Some(to) = self.values.get_mut(usize::from(number)) {
            *to = value;
        }
    }

    /// Forgets what functions need not keep (RISC-V ABIs Specification, "Register Convention"): `t0` to `t6`, `a0` to
    /// `a7`, and the same of floating point.
    pub(super) fn forget_temporaries(&mut self) {
        let integer = (5..8).chain(10..18).chain(28..32);
        for number in integer.chain(32..40).chain(42..50).chain(60..64) {
            self.values[number] = None;
        }
    }
}

/// A frame, with where it was found.
#[derive(Clone)]
pub(super) struct Frame {
    pub(super) registers: FrameRegisters,
    /// Address by which its line and variables are told: for a frame that has called another, that of the call.
    pub(super) lookup: u64,
    pub(super) object: Option<Object>,
    /// The unit, and the function in it.
    pub(super) function: Option<(usize, usize)>,
    pub(super) name: Option<String>,
    pub(super) location: Option<SourceLocation>,
    pub(super) is_inlined: bool,
    pub(super) is_kernel: bool,
}

impl Frame {
    /// Its address in the file.
    pub(super) fn own_lookup(&self) -> Option<u64> {
        Some(self.lookup.wrapping_sub(self.object.as_ref()?.bias))
    }

    pub(super) fn debug(&self) -> Option<&DebugFile> {
        self.object.as_ref()?.program.debug.as_ref()
    }
}

/// The memory that a view shows.
pub(super) struct ViewMemory<'a> {
    pub(super) session: &'a DebugSession,
    pub(super) view: &'a ThreadView,
}

impl Machine for ViewMemory<'_> {
    fn read(&self, address: u64, buffer: &mut [u8]) -> bool {
        let read = self
            .session
            .read_memory(self.view, GuestVirtAddr(address), buffer);
        read == buffer.len()
    }
}

impl DebugSession {
    /// Where in the sources an address of a thread's process is.
    pub fn location(&mut self, view: &ThreadView, pc: u64) -> Option<SourceLocation> {
        let objects = self.objects(view);
        location_in(&objects, pc)
    }

    /// The function in which an address lies, of a thread's process or of the kernel.
    pub fn symbol_at(&mut self, view: &ThreadView, address: u64) -> Option<Symbol> {
        if address >> 63 != 0 {
            return self.kernel_symbol_at(address);
        }
        let objects = self.objects(view);
        symbol_in(&objects, address)
    }

    /// The functions that a thread has called and that have not returned, the innermost first: 256 of them at the most.
    ///
    /// A thread inside of the kernel has the kernel's frames first, as far as they are known, then those of its program.
    pub fn backtrace(&mut self, view: &ThreadView) -> Vec<SourceFrame> {
        let objects = self.objects(view);
        let frames = self.frames(view, &objects);
        let shown = frames.into_iter().map(|frame| SourceFrame {
            pc: frame.registers.pc,
            function: frame.name,
            location: frame.location,
            is_inlined: frame.is_inlined,
            is_kernel: frame.is_kernel,
            registers: frame.registers,
        });
        shown.collect()
    }

    pub(super) fn frames(&self, view: &ThreadView, objects: &ProcessObjects) -> Vec<Frame> {
        let mut frames = Vec::new();
        if *view == ThreadView::Elsewhere {
            return frames;
        }
        self.add_kernel_frames(view, &mut frames);
        // A program's registers are those with which it left user mode, whoever asks.
        let user = match (&objects.task, frames.is_empty()) {
            (Some(task), _) if task.is_kernel_thread || task.tid == 0 => None,
            (Some(task), false) => Some(ThreadView::Task(task.clone())),
            (None, false) => None,
            (_, true) => Some(view.clone()),
        };
        let registers = user
            .as_ref()
            .and_then(|user| Some((user, self.registers(user)?)));
        if let Some((user, registers)) = registers {
            let memory = ViewMemory {
                session: self,
                view: user,
            };
            add_user_frames(
                &memory,
                objects,
                FrameRegisters::new(&registers),
                &mut frames,
            );
        }
        frames.truncate(FRAMES_MAX);
        frames
    }

    fn kernel_symbol_at(&self, address: u64) -> Option<Symbol> {
        let (name, offset) = self.kernel().ok()?.symbol_at(GuestVirtAddr(address))?;
        Some(Symbol {
            name: name.to_owned(),
            offset,
        })
    }

    /// The kernel's functions keep their frames in a list, at whose head is `s0` (CONFIG_FRAME_POINTER).
    fn add_kernel_frames(&self, view: &ThreadView, frames: &mut Vec<Frame>) {
        let registers = match view {
            ThreadView::Task(task) => {
                let linux = self.linux();
                let registers = linux.and_then(|linux| linux.kernel_registers(task));
                registers.map(|registers| (registers.pc, registers.x))
            }
            ThreadView::Cpu(cpu) => {
                let cpu = self.machine().cpu(*cpu);
                (cpu.privilege() != Privilege::User).then(|| (cpu.pc(), cpu.x()))
            }
            ThreadView::Elsewhere => None,
        };
        let Some((mut pc, x)) = registers else {
            return;
        };
        let memory = ViewMemory {
            session: self,
            view,
        };
        let mut stack = x[usize::from(SP)];
        let mut frame_pointer = x[usize::from(S0)];
        let mut values = FrameRegisters::new(&ThreadRegisters {
            pc,
            x,
            f: None,
            fcsr: None,
        });
        for number in 0..KERNEL_FRAMES_MAX {
            let lookup = if number == 0 { pc } else { pc.wrapping_sub(1) };
            let symbol = self.kernel_symbol_at(lookup);
            let is_entry = |symbol: &Symbol| KERNEL_ENTRIES.contains(&&*symbol.name);
            let is_outermost = symbol.as_ref().is_none_or(is_entry);
            if number > 0 && symbol.is_none() {
                return;
            }
            let has_saved_nothing = number == 0
                && (symbol.as_ref()).is_some_and(|symbol| symbol.offset < KERNEL_PROLOGUE_BYTES);
            values.pc = pc;
            frames.push(Frame {
                registers: values.clone(),
                lookup,
                object: None,
                function: None,
                name: symbol.map(|symbol| symbol.name),
                location: None,
                is_inlined: false,
                is_kernel: true,
            });
            if is_outermost {
                return;
            }
            if has_saved_nothing {
                pc = x[usize::from(RA)];
                continue;
            }
            // arch/riscv/kernel/stacktrace.c: a frame lies below where its pointer points to.
            let next = (frame_pointer > stack && frame_pointer % 8 == 0).then(|| {
                let above = memory.word(frame_pointer.wrapping_sub(16))?;
                Some((above, memory.word(frame_pointer.wrapping_sub(8))?))
            });
            let Some((above, caller)) = next.flatten() else {
                return;
            };
            values.forget_temporaries();
            values.set(RA, None);
            values.set(SP, Some(frame_pointer));
            values.set(S0, Some(above));
            (stack, frame_pointer, pc) = (frame_pointer, above, caller);
        }
    }
}

/// Follows the frames of a program.
fn add_user_frames(
    memory: &ViewMemory<'_>,
    objects: &ProcessObjects,
    mut registers: FrameRegisters,
    frames: &mut Vec<Frame>,
) {
    let mut is_interrupted = true;
    while frames.len() < FRAMES_MAX {
        // A call may be the last instruction of a function, and what comes behind another one.
        let lookup = registers.pc.wrapping_sub(u64::from(!is_interrupted));
        let object = objects.at(lookup).map(|(object, _)| object.clone());
        if let Some(object) = &object {
            let own = lookup.wrapping_sub(object.bias);
            registers.frame_address =
                (object.program.frames).frame_address(own, &registers, memory);
        }
        add_with_inlined(lookup, &registers, object.clone(), frames);
        let stack = registers.get(SP);
        let is_first = is_interrupted;
        let caller = if let Some(caller) = interrupted(memory, &registers) {
            is_interrupted = true;
            caller
        } else {
            is_interrupted = false;
            let described = object.as_ref().and_then(|object| {
                let own = lookup.wrapping_sub(object.bias);
                let frames = &object.program.frames;
                frames
                    .range_at(own)
                    .map(|_| frames.caller(own, &registers, memory))
            });
            let caller = match described {
                Some(caller) => caller,
                None => undescribed(memory, objects, &registers, is_first),
            };
            let Some(caller) = caller else {
                return;
            };
            caller
        };
        // Stacks grow downwards; only a function that has saved nothing has a caller with the same stack pointer.
        let is_above = caller.get(SP) > stack || (is_first && caller.get(SP) == stack);
        let is_same = caller.pc == registers.pc && caller.get(SP) == stack;
        if caller.pc == 0 || is_same || !(is_above || is_interrupted) {
            return;
        }
        if objects.at(caller.pc).is_none() {
            return;
        }
        registers = caller;
        registers.frame_address = None;
    }
}

/// The registers that a signal handler will give back, where it returns to.
fn interrupted(memory: &ViewMemory<'_>, registers: &FrameRegisters) -> Option<FrameRegisters> {
    let mut code = [0; SIGNAL_RETURN.len()];
    if !memory.read(registers.pc, &mut code) || code != SIGNAL_RETURN {
        return None;
    }
    let start = registers.get(SP)?.wrapping_add(SIGNAL_REGISTERS);
    let mut bytes = [0; 32 * 8];
    memory.read(start, &mut bytes).then_some(())?;
    let words = bytes.as_chunks::<8>().0;
    let mut before = registers.clone();
    for number in 32..REGISTERS {
        before.set(number as u16, None);
    }
    for (number, word) in words.iter().enumerate() {
        let value = u64::from_le_bytes(*word);
        match number {
            0 => before.pc = value,
            _ => before.set(number as u16, Some(value)),
        }
    }
    Some(before)
}

/// The caller of a function of which nothing is written down.
fn undescribed(
    memory: &ViewMemory<'_>,
    objects: &ProcessObjects,
    registers: &FrameRegisters,
    is_first: bool,
) -> Option<FrameRegisters> {
    let known = objects.at(registers.pc.wrapping_sub(u64::from(!is_first)));
    let begin = known.and_then(|(object, own)| {
        let (_, begin) = object.program.symbol_at(own)?;
        Some(begin.wrapping_add(object.bias))
    });
    let caller =
        begin.and_then(|begin| super::prologue::caller(begin, registers, is_first, memory));
    if let Some(caller) = caller.filter(|caller| objects.is_code(caller.pc)) {
        return Some(caller);
    }
    let mut caller = registers.clone();
    caller.forget_temporaries();
    caller.set(RA, None);
    // A function that calls none has its return address where the call has put it.
    let return_address = registers.get(RA).filter(|_| is_first);
    if let Some(address) = return_address.filter(|address| objects.is_code(*address)) {
        caller.pc = address;
        return Some(caller);
    }
    let frame = registers.get(S0)?;
    if frame % 8 != 0 || frame <= registers.get(SP)? {
        return None;
    }
    caller.pc = memory.word(frame.wrapping_sub(8))?;
    caller.set(S0, memory.word(frame.wrapping_sub(16)));
    caller.set(SP, Some(frame));
    Some(caller)
}

/// Adds a frame, after the functions that the compiler has put into its function.
fn add_with_inlined(
    lookup: u64,
    registers: &FrameRegisters,
    object: Option<Object>,
    frames: &mut Vec<Frame>,
) {
    let mut frame = Frame {
        registers: registers.clone(),
        lookup,
        object,
        function: None,
        name: None,
        location: None,
        is_inlined: false,
        is_kernel: false,
    };
    let Some(object) = frame.object.clone() else {
        frames.push(frame);
        return;
    };
    let own = lookup.wrapping_sub(object.bias);
    let debug = object.program.debug.as_ref();
    let unit = debug.and_then(|debug| Some((debug, debug.unit_at(own)?)));
    let Some((debug, unit)) = unit else {
        frame.name = symbol_name(&object.program, own);
        frames.push(frame);
        return;
    };
    let (lines, functions) = (debug.lines(unit), debug.functions(unit));
    let mut location = lines.row_at(own).and_then(|row| lines.location(row));
    for number in functions.chain_at(own).into_iter().rev() {
        let function = functions.get(number);
        frames.push(Frame {
            function: Some((unit, number)),
            name: function
                .name
                .clone()
                .or_else(|| symbol_name(&object.program, own)),
            location: location.take(),
            is_inlined: function.is_inlined(),
            ..frame.clone()
        });
        location = function.call.and_then(|(file, line, column)| {
            Some(SourceLocation {
                path: lines.file(file)?.to_owned(),
                line,
                column,
            })
        });
        if !function.is_inlined() {
            return;
        }
    }
    frame.name = symbol_name(&object.program, own);
    frame.location = location;
    frames.push(frame);
}

fn symbol_name(program: &Arc<Program>, own: u64) -> Option<String> {
    let (name, _) = program.symbol_at(own)?;
    Some(demangled(name).unwrap_or_else(|| name.to_owned()))
}

/// Where in the sources an address of a process is.
pub(super) fn location_in(objects: &ProcessObjects, address: u64) -> Option<SourceLocation> {
    let (object, own) = objects.at(address)?;
    let debug = object.program.debug.as_ref()?;
    let lines = debug.lines(debug.unit_at(own)?);
    lines.location(lines.row_at(own)?)
}

pub(super) fn symbol_in(objects: &ProcessObjects, address: u64) -> Option<Symbol> {
    let (object, own) = objects.at(address)?;
    let described = object.program.debug.as_ref().and_then(|debug| {
        let functions = debug.functions(debug.unit_at(own)?);
        let outer = functions.get(*functions.chain_at(own).first()?);
        Some((outer.name.clone()?, outer.entry))
    });
    let (name, begin) = described.or_else(|| {
        let (_, begin) = object.program.symbol_at(own)?;
        Some((symbol_name(&object.program, own)?, begin))
    })?;
    Some(Symbol {
        name,
        offset: own.wrapping_sub(begin),
    })
}
