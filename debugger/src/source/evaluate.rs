//! Location expressions (DWARF 5, 2.5 and 2.6): where a variable is.

use super::backtrace::FrameRegisters;
use super::program::Bytes;
use gimli::{
    Encoding, Evaluation, EvaluationResult, Expression, Location, Piece, UnitRef, Value, ValueType,
};

/// Operations of one evaluation: expressions can loop.
const OPERATIONS_MAX: u32 = 1 << 12;
/// Questions that one evaluation may ask.
const QUESTIONS_MAX: usize = 1 << 12;
/// Bytes of a variable that is scattered over registers and memory.
const SCATTERED_BYTES_MAX: u64 = 4096;

/// Memory, as the thread sees it that is looked at.
pub(super) trait Machine {
    /// Reads memory wholly, or says that it cannot.
    fn read(&self, address: u64, buffer: &mut [u8]) -> bool;

    /// Reads a register's worth of memory.
    fn word(&self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)
            .then(|| u64::from_le_bytes(bytes))
    }
}

/// What an expression can ask for.
pub(super) struct Context<'a> {
    pub(super) registers: &'a FrameRegisters,
    pub(super) machine: &'a dyn Machine,
    pub(super) unit: Option<UnitRef<'a, Bytes>>,
    pub(super) frame_base: Option<u64>,
    /// The CFA.
    pub(super) frame_address: Option<u64>,
    pub(super) bias: u64,
}

/// Where a variable is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// In memory, from an address on.
    Memory(u64),
    /// Its bytes; `None` where one is not known.
    Bytes(Vec<Option<u8>>),
    /// In a register, which holds these bytes.
    Register(u16, Vec<Option<u8>>),
    /// A pointer to something that is nowhere itself.
    Implicit,
    /// Nowhere.
    Gone,
}

/// What an expression computes; `None` when it is not valid or asks for what is not known.
pub(super) fn value_of(
    expression: Expression<Bytes>,
    encoding: Encoding,
    initial: Option<u64>,
    context: &Context<'_>,
) -> Option<u64> {
    let pieces = run(expression, encoding, initial, context)?;
    match &pieces.first()?.location {
        Location::Address { address } => Some(*address),
        Location::Value { value } => value.to_u64(u64::MAX).ok(),
        Location::Register { register } => context.registers.get(register.0),
        _ => None,
    }
}

/// Where an expression says that something with so many bytes is.
pub(super) fn place_of(
    expression: Expression<Bytes>,
    encoding: Encoding,
    byte_len: u64,
    context: &Context<'_>,
) -> Option<Place> {
    if expression.0.is_empty_expression() {
        return Some(Place::Gone);
    }
    let pieces = run(expression, encoding, None, context)?;
    if let [piece] = &pieces[..]
        && piece.size_in_bits.is_none()
    {
        return Some(match &piece.location {
            Location::Empty => Place::Gone,
            Location::Address { address } => Place::Memory(*address),
            Location::ImplicitPointer { .. } => Place::Implicit,
            Location::Register { register } if context.registers.get(register.0).is_some() => {
                Place::Register(register.0, bytes_of(piece, byte_len, context))
            }
            _ => Place::Bytes(bytes_of(piece, byte_len, context)),
        });
    }
    let mut bytes = Vec::new();
    for piece in &pieces {
        let piece_len = piece.size_in_bits.unwrap_or(0).div_ceil(8);
        if bytes.len() as u64 + piece_len > SCATTERED_BYTES_MAX {
            return None;
        }
        bytes.append(&mut bytes_of(piece, piece_len, context));
    }
    Some(Place::Bytes(bytes))
}

/// The bytes of a part of a variable.
fn bytes_of(piece: &Piece<Bytes>, byte_len: u64, context: &Context<'_>) -> Vec<Option<u8>> {
    let byte_len = byte_len.min(SCATTERED_BYTES_MAX) as usize;
    let unknown = vec![None; byte_len];
    let skipped = piece.bit_offset.unwrap_or(0);
    // Parts that begin within a byte are made by no compiler for RISC-V.
    if !skipped.is_multiple_of(8) {
        return unknown;
    }
    let skipped = skipped / 8;
    let number = |value: u64| {
        let bytes = value.to_le_bytes().map(Some);
        let bytes = bytes.into_iter().skip(skipped as usize);
        bytes
            .chain(std::iter::repeat(None))
            .take(byte_len)
            .collect()
    };
    match &piece.location {
        Location::Register { register } => {
            context.registers.get(register.0).map_or(unknown, number)
        }
        Location::Value { value } => value.to_u64(u64::MAX).map_or(unknown, number),
        Location::Address { address } => {
            let mut bytes = vec![0; byte_len];
            if context
                .machine
                .read(address.wrapping_add(skipped), &mut bytes)
            {
                bytes.into_iter().map(Some).collect()
            } else {
                unknown
            }
        }
        Location::Bytes { value } => {
            let bytes = value
                .bytes()
                .iter()
                .skip(skipped as usize)
                .copied()
                .map(Some);
            bytes
                .chain(std::iter::repeat(None))
                .take(byte_len)
                .collect()
        }
        Location::Empty | Location::ImplicitPointer { .. } => unknown,
    }
}

fn run(
    expression: Expression<Bytes>,
    encoding: Encoding,
    initial: Option<u64>,
    context: &Context<'_>,
) -> Option<Vec<Piece<Bytes>>> {
    let mut evaluation = Evaluation::new(expression.0, encoding);
    evaluation.set_max_iterations(OPERATIONS_MAX);
    if let Some(initial) = initial {
        evaluation.set_initial_value(initial);
    }
    let mut result = evaluation.evaluate().ok()?;
    for _ in 0..QUESTIONS_MAX {
        result = match result {
            EvaluationResult::Complete => return Some(evaluation.result()),
            EvaluationResult::RequiresMemory {
                address,
                size,
                base_type,
                ..
            } => {
                let mut bytes = [0; 8];
                let part = bytes.get_mut(..usize::from(size))?;
                context.machine.read(address, part).then_some(())?;
                let value = typed(u64::from_le_bytes(bytes), base_type, context)?;
                evaluation.resume_with_memory(value)
            }
            EvaluationResult::RequiresRegister {
                register,
                base_type,
            } => {
                let value = context.registers.get(register.0)?;
                evaluation.resume_with_register(typed(value, base_type, context)?)
            }
            EvaluationResult::RequiresFrameBase => {
                evaluation.resume_with_frame_base(context.frame_base?)
            }
            EvaluationResult::RequiresCallFrameCfa => {
                evaluation.resume_with_call_frame_cfa(context.frame_address?)
            }
            EvaluationResult::RequiresRelocatedAddress(address) => {
                evaluation.resume_with_relocated_address(address.wrapping_add(context.bias))
            }
            EvaluationResult::RequiresIndexedAddress { index, relocate } => {
                let address = context.unit?.address(index).ok()?;
                let bias = if relocate { context.bias } else { 0 };
                evaluation.resume_with_indexed_address(address.wrapping_add(bias))
            }
            EvaluationResult::RequiresBaseType(offset) => {
                evaluation.resume_with_base_type(value_type(offset, context)?)
            }
            // What a function was called with is not kept, and thread-local storage is no frame's.
            _ => return None,
        }
        .ok()?;
    }
    None
}

fn typed(value: u64, base_type: gimli::UnitOffset<usize>, context: &Context<'_>) -> Option<Value> {
    if base_type.0 == 0 {
        return Some(Value::Generic(value));
    }
    Value::from_u64(value_type(base_type, context)?, value).ok()
}

fn value_type(offset: gimli::UnitOffset<usize>, context: &Context<'_>) -> Option<ValueType> {
    if offset.0 == 0 {
        return Some(ValueType::Generic);
    }
    let entry = context.unit.as_ref()?.entry(offset).ok()?;
    ValueType::from_entry(&entry).ok().flatten()
}

trait IsEmpty {
    fn is_empty_expression(&self) -> bool;
}

impl IsEmpty for Bytes {
    fn is_empty_expression(&self) -> bool {
        gimli::Reader::is_empty(self)
    }
}
