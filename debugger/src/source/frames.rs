//! From the registers of a function to those of its caller, by what the compiler has written down for exceptions and
//! debuggers (DWARF 5, 6.4).

use super::backtrace::FrameRegisters;
use super::evaluate::{Context, Machine, value_of};
use super::program::{Bytes, SectionReader};
use gimli::{
    BaseAddresses, CfaRule, CieOrFde, CommonInformationEntry, DebugFrame, EhFrame, Encoding,
    Format, FrameDescriptionEntry, Register, RegisterRule, UnwindContext, UnwindExpression,
    UnwindOffset, UnwindSection, UnwindTableRow,
};
use std::collections::BTreeMap;

/// Functions whose frames a file describes.
const DESCRIPTIONS_MAX: usize = 1 << 19;
/// Numbers of registers as DWARF numbers them on RISC-V ("RISC-V DWARF Specification").
pub(super) const RA: u16 = 1;
pub(super) const SP: u16 = 2;
pub(super) const S0: u16 = 8;
/// How the expressions of frames are written, whatever the units of the file say.
const ENCODING: Encoding = Encoding {
    address_size: 8,
    format: Format::Dwarf32,
    version: 5,
};

type Cie = CommonInformationEntry<Bytes>;
type Fde = FrameDescriptionEntry<Bytes>;

#[derive(Clone, Copy, Debug)]
struct Description {
    begin: u64,
    end: u64,
    offset: usize,
    is_for_debuggers: bool,
}

/// The descriptions of a file.
#[derive(Debug)]
pub(super) struct FrameTable {
    for_exceptions: EhFrame<Bytes>,
    for_debuggers: DebugFrame<Bytes>,
    bases: BaseAddresses,
    /// Ascending.
    descriptions: Vec<Description>,
}

impl FrameTable {
    pub(super) fn read(reader: &mut SectionReader<'_>) -> Self {
        let mut bases = BaseAddresses::default();
        let exceptions = reader.named(".eh_frame");
        if let Some((_, address)) = &exceptions {
            bases = bases.set_eh_frame(*address);
        }
        if let Some((_, address)) = reader.named(".text") {
            bases = bases.set_text(address);
        }
        let exceptions = exceptions.map_or_else(super::program::empty, |(bytes, _)| bytes);
        let mut for_exceptions = EhFrame::from(exceptions);
        let mut for_debuggers = DebugFrame::from(reader.section(gimli::SectionId::DebugFrame));
        for_exceptions.set_address_size(8);
        for_debuggers.set_address_size(8);
        let mut descriptions = Vec::new();
        collect(&for_exceptions, &bases, false, &mut descriptions);
        collect(&for_debuggers, &bases, true, &mut descriptions);
        descriptions.sort_by_key(|description| (description.begin, description.is_for_debuggers));
        Self {
            for_exceptions,
            for_debuggers,
            bases,
            descriptions,
        }
    }

    fn at(&self, address: u64) -> Option<&Description> {
        let behind = self
            .descriptions
            .partition_point(|description| description.begin <= address);
        let description = self.descriptions[..behind].last()?;
        (address < description.end).then_some(description)
    }

    /// First address and the one behind the last of the function that is described at an address.
    pub(super) fn range_at(&self, address: u64) -> Option<(u64, u64)> {
        let description = self.at(address)?;
        Some((description.begin, description.end))
    }

    /// The register and the number that give together the address of the frame at an instruction (the CFA).
    pub(super) fn frame_rule(&self, address: u64) -> Option<(u16, i64)> {
        self.with_row(address, &mut |row, _| match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => Some((register.0, *offset)),
            CfaRule::Expression(_) => None,
        })
    }

    /// The address of a frame.
    pub(super) fn frame_address(
        &self,
        address: u64,
        registers: &FrameRegisters,
        machine: &dyn Machine,
    ) -> Option<u64> {
        self.with_row(address, &mut |row, _| {
            self.frame_of(address, row, registers, machine)
        })
    }

    /// The registers of the caller of a function that stands at one of the file's addresses. `None` without a
    /// description, and where the function has no caller.
    pub(super) fn caller(
        &self,
        address: u64,
        registers: &FrameRegisters,
        machine: &dyn Machine,
    ) -> Option<FrameRegisters> {
        self.with_row(address, &mut |row, return_register| {
            let frame = self.frame_of(address, row, registers, machine)?;
            let mut caller = registers.clone();
            caller.forget_temporaries();
            caller.set(SP, Some(frame));
            for (register, rule) in row.registers() {
                let value = self.restored(address, rule, *register, frame, registers, machine);
                caller.set(register.0, value);
            }
            caller.pc = caller.get(return_register.0)?;
            // What a caller keeps in the register, nobody knows: the call has overwritten it.
            caller.set(RA, None);
            Some(caller)
        })
    }

    fn restored(
        &self,
        address: u64,
        rule: &RegisterRule<usize>,
        register: Register,
        frame: u64,
        registers: &FrameRegisters,
        machine: &dyn Machine,
    ) -> Option<u64> {
        let word = |at: u64| machine.word(at);
        match rule {
            RegisterRule::SameValue => registers.get(register.0),
            RegisterRule::Offset(offset) => word(frame.wrapping_add_signed(*offset)),
            RegisterRule::ValOffset(offset) => Some(frame.wrapping_add_signed(*offset)),
            RegisterRule::Register(other) => registers.get(other.0),
            RegisterRule::Expression(expression) => {
                let at = self.expression(address, expression, Some(frame), registers, machine)?;
                word(at)
            }
            RegisterRule::ValExpression(expression) => {
                self.expression(address, expression, Some(frame), registers, machine)
            }
            RegisterRule::Constant(value) => Some(*value),
            RegisterRule::Undefined | RegisterRule::Architectural => None,
        }
    }

    fn frame_of(
        &self,
        address: u64,
        row: &UnwindTableRow<usize>,
        registers: &FrameRegisters,
        machine: &dyn Machine,
    ) -> Option<u64> {
        match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => {
                Some(registers.get(register.0)?.wrapping_add_signed(*offset))
            }
            CfaRule::Expression(expression) => {
                self.expression(address, expression, None, registers, machine)
            }
        }
    }

    fn expression(
        &self,
        address: u64,
        expression: &UnwindExpression<usize>,
        initial: Option<u64>,
        registers: &FrameRegisters,
        machine: &dyn Machine,
    ) -> Option<u64> {
        let expression = if self.at(address)?.is_for_debuggers {
            expression.get(&self.for_debuggers).ok()?
        } else {
            expression.get(&self.for_exceptions).ok()?
        };
        let context = Context {
            registers,
            machine,
            unit: None,
            frame_base: None,
            frame_address: None,
            bias: 0,
        };
        value_of(expression, ENCODING, initial, &context)
    }

    /// Looks at the row of an instruction, and at the number of the register with the return address.
    fn with_row<T>(
        &self,
        address: u64,
        look: &mut dyn FnMut(&UnwindTableRow<usize>, Register) -> Option<T>,
    ) -> Option<T> {
        let description = self.at(address)?;
        let at = description.offset;
        if description.is_for_debuggers {
            row_in(&self.for_debuggers, &self.bases, at.into(), address, look)
        } else {
            row_in(&self.for_exceptions, &self.bases, at.into(), address, look)
        }
    }
}

fn row_in<S: UnwindSection<Bytes>, T>(
    section: &S,
    bases: &BaseAddresses,
    offset: S::Offset,
    address: u64,
    look: &mut dyn FnMut(&UnwindTableRow<usize>, Register) -> Option<T>,
) -> Option<T> {
    let mut context = UnwindContext::new();
    let fde = section
        .fde_from_offset(bases, offset, S::cie_from_offset)
        .ok()?;
    let row = fde.unwind_info_for_address(section, bases, &mut context, address);
    look(row.ok()?, fde.cie().return_address_register())
}

/// Collects the descriptions of a section, up to the first that cannot be read.
fn collect<S: UnwindSection<Bytes>>(
    section: &S,
    bases: &BaseAddresses,
    is_for_debuggers: bool,
    to: &mut Vec<Description>,
) {
    // Many share one: each is read once.
    let mut shared: BTreeMap<usize, Cie> = BTreeMap::new();
    let mut entries = section.entries(bases);
    while let Ok(Some(entry)) = entries.next() {
        let CieOrFde::Fde(partial) = entry else {
            continue;
        };
        let fde: Result<Fde, _> = partial.parse(|section, bases, offset| {
            let at = UnwindOffset::into(offset);
            if let Some(known) = shared.get(&at) {
                return Ok(known.clone());
            }
            let read = section.cie_from_offset(bases, offset)?;
            shared.insert(at, read.clone());
            Ok(read)
        });
        let Ok(fde) = fde else {
            continue;
        };
        if fde.initial_address() != 0 {
            to.push(Description {
                begin: fde.initial_address(),
                end: fde.end_address(),
                offset: fde.offset(),
                is_for_debuggers,
            });
        }
        if to.len() >= DESCRIPTIONS_MAX {
            return;
        }
    }
}
