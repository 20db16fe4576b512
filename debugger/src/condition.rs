//! Conditions of breakpoints: gdb's agent expressions (GDB manual, appendix "The GDB Agent Expression Mechanism"),
//! evaluated where the execution is, so that a condition that is false a million times costs no million round trips.

use thiserror::Error;

/// Bytes of one expression. gdb's own limit is 400 for tracepoints; conditions may be longer.
pub const CONDITION_BYTES_MAX: usize = 16 << 10;

/// Operations that one evaluation may execute: expressions can loop.
const OPERATIONS_MAX: u32 = 1 << 16;

/// Values on the stack.
const STACK_MAX: usize = 256;

/// A condition in bytecode. Whatever bytes it holds, evaluating it ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Condition(Vec<u8>);

/// Why an expression has no value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ConditionError {
    /// It is too long.
    #[error("the condition is longer than {CONDITION_BYTES_MAX} bytes: simplify it")]
    TooLong,
    /// The bytes are no expression.
    #[error("the condition is not valid at its byte {0}")]
    Invalid(usize),
    /// It divides by zero.
    #[error("the condition divides by zero")]
    DivisionByZero,
    /// It reads memory or a register that is not there.
    #[error("the condition reads what is not there")]
    Unreadable,
    /// It does not end.
    #[error("the condition does not end")]
    Endless,
}

/// What an expression can read.
pub trait Frame {
    /// A register by gdb's number.
    fn register(&self, number: u16) -> Option<u64>;
    /// Reads memory wholly, or says that it cannot.
    fn read(&self, address: u64, buffer: &mut [u8]) -> bool;
}

impl Condition {
    /// Takes an expression.
    ///
    /// # Errors
    /// [`ConditionError::TooLong`].
    pub fn new(bytecode: Vec<u8>) -> Result<Self, ConditionError> {
        if bytecode.len() > CONDITION_BYTES_MAX {
            return Err(ConditionError::TooLong);
        }
        Ok(Self(bytecode))
    }

    /// The value on top of the stack when the expression ends.
    ///
    /// # Errors
    /// [`ConditionError`].
    pub fn evaluate(&self, frame: &dyn Frame) -> Result<u64, ConditionError> {
        let mut run = Evaluation {
            code: &self.0,
            at: 0,
            stack: Vec::new(),
            frame,
        };
        for _ in 0..OPERATIONS_MAX {
            if let Some(value) = run.operation()? {
                return Ok(value);
            }
        }
        Err(ConditionError::Endless)
    }
}

struct Evaluation<'a> {
    code: &'a [u8],
    at: usize,
    stack: Vec<u64>,
    frame: &'a dyn Frame,
}

impl Evaluation<'_> {
    fn invalid<T>(&self) -> Result<T, ConditionError> {
        Err(ConditionError::Invalid(self.at))
    }

    fn pop(&mut self) -> Result<u64, ConditionError> {
        self.stack.pop().ok_or(ConditionError::Invalid(self.at))
    }

    fn push(&mut self, value: u64) -> Result<(), ConditionError> {
        if self.stack.len() >= STACK_MAX {
            return self.invalid();
        }
        self.stack.push(value);
        Ok(())
    }

    /// The next bytes of the code as a number; they are big-endian.
    fn immediate(&mut self, byte_len: usize) -> Result<u64, ConditionError> {
        let bytes = self.code.get(self.at..self.at + byte_len);
        let bytes = bytes.ok_or(ConditionError::Invalid(self.at))?;
        self.at += byte_len;
        Ok(bytes
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn binary(&mut self, compute: impl Fn(u64, u64) -> u64) -> Result<(), ConditionError> {
        let (b, a) = (self.pop()?, self.pop()?);
        self.push(compute(a, b))
    }

    fn divide(&mut self, compute: impl Fn(u64, u64) -> u64) -> Result<(), ConditionError> {
        if self.stack.last() == Some(&0) {
            return Err(ConditionError::DivisionByZero);
        }
        self.binary(compute)
    }

    fn load(&mut self, byte_len: usize) -> Result<(), ConditionError> {
        let address = self.pop()?;
        let mut bytes = [0; 8];
        if !self.frame.read(address, &mut bytes[..byte_len]) {
            return Err(ConditionError::Unreadable);
        }
        self.push(u64::from_le_bytes(bytes))
    }

    fn jump(&mut self, to: u64) -> Result<(), ConditionError> {
        self.at = usize::try_from(to).map_err(|_| ConditionError::Invalid(self.at))?;
        Ok(())
    }

    /// Executes one operation. `Some` is the value of the ended expression.
    fn operation(&mut self) -> Result<Option<u64>, ConditionError> {
        let signed = |value: u64| value as i64;
        match self.immediate(1)? {
            0x02 => self.binary(u64::wrapping_add)?,
            0x03 => self.binary(u64::wrapping_sub)?,
            0x04 => self.binary(u64::wrapping_mul)?,
            0x05 => self.divide(|a, b| signed(a).wrapping_div(signed(b)) as u64)?,
            0x06 => self.divide(|a, b| a / b)?,
            0x07 => self.divide(|a, b| signed(a).wrapping_rem(signed(b)) as u64)?,
            0x08 => self.divide(|a, b| a % b)?,
            0x09 => self.binary(|a, b| if b < 64 { a << b } else { 0 })?,
            0x0a => self.binary(|a, b| (signed(a) >> b.min(63)) as u64)?,
            0x0b => self.binary(|a, b| if b < 64 { a >> b } else { 0 })?,
            0x0e => {
                let value = self.pop()?;
                self.push(u64::from(value == 0))?;
            }
            0x0f => self.binary(|a, b| a & b)?,
            0x10 => self.binary(|a, b| a | b)?,
            0x11 => self.binary(|a, b| a ^ b)?,
            0x12 => {
                let value = self.pop()?;
                self.push(!value)?;
            }
            0x13 => self.binary(|a, b| u64::from(a == b))?,
            0x14 => self.binary(|a, b| u64::from(signed(a) < signed(b)))?,
            0x15 => self.binary(|a, b| u64::from(a < b))?,
            0x16 => {
                let bits = self.immediate(1)?;
                let value = self.pop()?;
                let shift = 64 - bits.clamp(1, 64);
                self.push((signed(value << shift) >> shift) as u64)?;
            }
            0x17 => self.load(1)?,
            0x18 => self.load(2)?,
            0x19 => self.load(4)?,
            0x1a => self.load(8)?,
            0x20 => {
                let to = self.immediate(2)?;
                if self.pop()? != 0 {
                    self.jump(to)?;
                }
            }
            0x21 => {
                let to = self.immediate(2)?;
                self.jump(to)?;
            }
            0x22 => self.push_immediate(1)?,
            0x23 => self.push_immediate(2)?,
            0x24 => self.push_immediate(4)?,
            0x25 => self.push_immediate(8)?,
            0x26 => {
                let number = self.immediate(2)? as u16;
                let value = self.frame.register(number);
                self.push(value.ok_or(ConditionError::Unreadable)?)?;
            }
            0x27 => return Ok(Some(self.pop()?)),
            0x28 => {
                let top = self.pop()?;
                self.push(top)?;
                self.push(top)?;
            }
            0x29 => {
                self.pop()?;
            }
            0x2a => {
                let bits = self.immediate(1)?;
                let value = self.pop()?;
                let shift = 64 - bits.clamp(1, 64);
                self.push(value << shift >> shift)?;
            }
            0x2b => {
                let (b, a) = (self.pop()?, self.pop()?);
                self.push(b)?;
                self.push(a)?;
            }
            0x32 => {
                let depth = self.immediate(1)? as usize;
                let from_top = self.stack.len().checked_sub(depth + 1);
                let value = from_top.map(|at| self.stack[at]);
                self.push(value.ok_or(ConditionError::Invalid(self.at))?)?;
            }
            0x33 => {
                let (c, b, a) = (self.pop()?, self.pop()?, self.pop()?);
                self.push(c)?;
                self.push(a)?;
                self.push(b)?;
            }
            // Floating point, tracing and trace state variables are for tracepoints.
            _ => return self.invalid(),
        }
        Ok(None)
    }

    fn push_immediate(&mut self, byte_len: usize) -> Result<(), ConditionError> {
        let value = self.immediate(byte_len)?;
        self.push(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Values;

    impl Frame for Values {
        fn register(&self, number: u16) -> Option<u64> {
            (number < 32).then(|| u64::from(number) * 100)
        }

        fn read(&self, address: u64, buffer: &mut [u8]) -> bool {
            buffer.fill(0x81);
            address != 0
        }
    }

    #[track_caller]
    fn check(code: &[u8], expected: Result<u64, ConditionError>) {
        let condition = Condition::new(code.to_vec()).expect("short");
        assert_eq!(condition.evaluate(&Values), expected);
    }

    #[test]
    fn expressions_have_the_values_that_gdb_gives_them() {
        // reg 10 == 1000, as gdb encodes `$a0 == 1000`.
        check(&[0x26, 0, 10, 0x23, 0x03, 0xe8, 0x13, 0x27], Ok(1));
        check(&[0x22, 7, 0x22, 2, 0x03, 0x27], Ok(5));
        check(&[0x22, 0xff, 0x16, 8, 0x27], Ok(u64::MAX));
        check(&[0x25, 1, 2, 3, 4, 5, 6, 7, 8, 0x2a, 16, 0x27], Ok(0x0708));
        // A load of an int, extended: what `*(int *) 16 < 0` begins with.
        check(&[0x22, 16, 0x19, 0x16, 32, 0x22, 0, 0x14, 0x27], Ok(1));
        check(&[0x22, 1, 0x20, 0, 7, 0x22, 9, 0x22, 3, 0x27], Ok(3));
        check(&[0x22, 1, 0x22, 2, 0x2b, 0x03, 0x27], Ok(1));
        check(&[0x22, 1, 0x22, 2, 0x32, 1, 0x27], Ok(1));
        check(&[0x22, 1, 0x22, 2, 0x22, 3, 0x33, 0x27], Ok(2));
        check(&[0x22, 5, 0x0e, 0x12, 0x27], Ok(u64::MAX));
        check(&[0x22, 0x80, 0x16, 8, 0x22, 70, 0x0a, 0x27], Ok(u64::MAX));
    }

    #[test]
    fn what_is_no_expression_is_refused_and_ends() {
        check(&[], Err(ConditionError::Invalid(0)));
        check(&[0x02], Err(ConditionError::Invalid(1)));
        check(&[0x27], Err(ConditionError::Invalid(1)));
        check(&[0x22], Err(ConditionError::Invalid(1)));
        check(&[0x01], Err(ConditionError::Invalid(1)));
        check(
            &[0x22, 1, 0x22, 0, 0x05, 0x27],
            Err(ConditionError::DivisionByZero),
        );
        check(&[0x22, 0, 0x1a, 0x27], Err(ConditionError::Unreadable));
        check(&[0x26, 0, 99, 0x27], Err(ConditionError::Unreadable));
        check(&[0x21, 0, 0], Err(ConditionError::Endless));
        check(&[0x22, 1, 0x21, 0, 0], Err(ConditionError::Invalid(2)));
        check(&[0x32, 255, 0x27], Err(ConditionError::Invalid(2)));
        assert_eq!(
            Condition::new(vec![0; CONDITION_BYTES_MAX + 1]),
            Err(ConditionError::TooLong)
        );
    }
}
