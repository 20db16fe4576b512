//! How state becomes bytes: little-endian fields in tagged, length-prefixed sections.
//!
//! The same encoding serves snapshots and state hashes, so what is hashed is what is saved.

use thiserror::Error;

/// Why saved state could not be restored.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum StateError {
    /// The bytes end inside a field.
    #[error("saved state ends early at byte {at_byte}: the snapshot is damaged")]
    Truncated {
        /// Offset within the section at which more bytes were expected.
        at_byte: usize,
    },
    /// A section is not the expected one.
    #[error(
        "saved state has section {found} where {expected} belongs: it was saved by another version"
    )]
    WrongSection {
        /// The section that the reader wanted.
        expected: String,
        /// The section that stands there.
        found: String,
    },
    /// A field holds a value that the machine could never have saved.
    #[error("saved state holds an impossible value for {field}: the snapshot is damaged")]
    BadValue {
        /// The field's name.
        field: &'static str,
    },
}

/// Writes state as bytes.
#[derive(Default, Debug)]
pub struct StateWriter {
    bytes: Vec<u8>,
}

impl StateWriter {
    /// An empty writer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a section: its tag, the length of what `fill` writes, and that.
    pub fn section(&mut self, tag: [u8; 4], fill: impl FnOnce(&mut Self)) {
        self.bytes.extend_from_slice(&tag);
        let length_at = self.bytes.len();
        self.u64(0);
        fill(self);
        let length = (self.bytes.len() - length_at - 8) as u64;
        self.bytes[length_at..length_at + 8].copy_from_slice(&length.to_le_bytes());
    }

    /// Writes one byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Writes a flag as one byte, 0 or 1.
    pub fn bool(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    /// Writes 2 bytes.
    pub fn u16(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes 4 bytes.
    pub fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes 8 bytes.
    pub fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes a length of 8 bytes, then the bytes.
    pub fn bytes(&mut self, value: &[u8]) {
        self.u64(value.len() as u64);
        self.bytes.extend_from_slice(value);
    }

    /// Writes an optional value: a flag, then the value when there is one.
    pub fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.bool(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    /// What was written.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// What was written so far.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads what a [`StateWriter`] wrote.
#[derive(Debug)]
pub struct StateReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> StateReader<'a> {
    /// A reader at the start of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], StateError> {
        let end = self
            .at
            .checked_add(length)
            .filter(|end| *end <= self.bytes.len());
        let Some(end) = end else {
            return Err(StateError::Truncated { at_byte: self.at });
        };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// Opens the next section, which must have this tag.
    ///
    /// # Errors
    /// [`StateError::WrongSection`] or [`StateError::Truncated`].
    pub fn section(&mut self, tag: [u8; 4]) -> Result<StateReader<'a>, StateError> {
        let found: [u8; 4] = self.array()?;
        if found != tag {
            return Err(StateError::WrongSection {
                expected: tag.escape_ascii().to_string(),
                found: found.escape_ascii().to_string(),
            });
        }
        Ok(StateReader::new(self.bytes()?))
    }

    /// Reads one byte.
    ///
    /// # Errors
    /// [`StateError::Truncated`], as for every reading function here.
    pub fn u8(&mut self) -> Result<u8, StateError> {
        Ok(self.take(1)?[0])
    }

    /// Reads a flag.
    ///
    /// # Errors
    /// [`StateError::BadValue`] when the byte is neither 0 nor 1.
    pub fn bool(&mut self) -> Result<bool, StateError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(StateError::BadValue { field: "a flag" }),
        }
    }

    /// Reads 2 bytes.
    ///
    /// # Errors
    /// [`StateError::Truncated`].
    pub fn u16(&mut self) -> Result<u16, StateError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Reads 4 bytes.
    ///
    /// # Errors
    /// [`StateError::Truncated`].
    pub fn u32(&mut self) -> Result<u32, StateError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Reads 8 bytes.
    ///
    /// # Errors
    /// [`StateError::Truncated`].
    pub fn u64(&mut self) -> Result<u64, StateError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Reads a length, then that many bytes, borrowed from the input.
    ///
    /// # Errors
    /// [`StateError::Truncated`] when the length goes beyond the input.
    pub fn bytes(&mut self) -> Result<&'a [u8], StateError> {
        let length = self.u64()?;
        let length =
            usize::try_from(length).map_err(|_| StateError::Truncated { at_byte: self.at })?;
        self.take(length)
    }

    /// Reads an optional value.
    ///
    /// # Errors
    /// Those of `read`, and [`StateError::BadValue`].
    pub fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, StateError>,
    ) -> Result<Option<T>, StateError> {
        if self.bool()? {
            read(self).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Whether everything was read.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }
}
