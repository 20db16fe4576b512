//! The one place that knows bincode.
//!
//! Integers are bincode's varints; a sequence, string or byte string is its length and its elements;
//! an option is a byte 0 or 1 and then the value; a struct or tuple is its fields in order. FORMAT.md
//! spells this out. Enums are never encoded: their numbers are explicit, so that reordering a Rust
//! enum cannot change the file.

use bincode::Options;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes that do not decode, or a value that is larger than its limit.
#[derive(Debug)]
pub(crate) struct CodecError;

impl From<bincode::Error> for CodecError {
    fn from(_: bincode::Error) -> Self {
        Self
    }
}

/// Longest varint: a marker and eight bytes.
const VARINT_BYTES_MAX: u64 = 9;

/// Encodes `value` in at most `bytes_max` bytes.
pub(crate) fn encode<T: Serialize + ?Sized>(
    value: &T,
    bytes_max: u32,
) -> Result<Vec<u8>, CodecError> {
    Ok(bincode::DefaultOptions::new()
        .with_limit(u64::from(bytes_max))
        .serialize(value)?)
}

/// Decodes a value that takes all of `bytes`. What it allocates is in proportion to `bytes`.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    Ok(bincode::DefaultOptions::new()
        .with_limit(bytes.len() as u64)
        .deserialize(bytes)?)
}

/// Appends a varint.
pub(crate) fn put_varint(to: &mut Vec<u8>, value: u64) -> Result<(), CodecError> {
    Ok(bincode::DefaultOptions::new().serialize_into(to, &value)?)
}

/// Takes a varint off the front of `from`.
pub(crate) fn take_varint(from: &mut &[u8]) -> Result<u64, CodecError> {
    Ok(bincode::DefaultOptions::new()
        .with_limit(VARINT_BYTES_MAX)
        .allow_trailing_bytes()
        .deserialize_from(from)?)
}

/// Takes a byte off the front of `from`.
pub(crate) fn take_byte(from: &mut &[u8]) -> Result<u8, CodecError> {
    let (byte, rest) = from.split_first().ok_or(CodecError)?;
    *from = rest;
    Ok(*byte)
}

/// Takes `N` bytes off the front of `from`.
pub(crate) fn take_array<const N: usize>(from: &mut &[u8]) -> Result<[u8; N], CodecError> {
    let (array, rest) = from.split_first_chunk().ok_or(CodecError)?;
    *from = rest;
    Ok(*array)
}

/// Appends a length and the bytes.
pub(crate) fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) -> Result<(), CodecError> {
    put_varint(to, bytes.len() as u64)?;
    to.extend_from_slice(bytes);
    Ok(())
}

/// Takes a length, at most `bytes_max`, and as many bytes off the front of `from`.
pub(crate) fn take_bytes<'a>(from: &mut &'a [u8], bytes_max: u32) -> Result<&'a [u8], CodecError> {
    let length = take_varint(from)?;
    if length > u64::from(bytes_max) {
        return Err(CodecError);
    }
    let length = usize::try_from(length).map_err(|_| CodecError)?;
    let (bytes, rest) = from.split_at_checked(length).ok_or(CodecError)?;
    *from = rest;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FORMAT.md spells these bytes out; a change of bincode's would show here.
    #[test]
    fn varints_are_as_specified() {
        let check = |value: u64, expect: &[u8]| {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value).unwrap();
            assert_eq!(bytes, expect, "{value}");
            let mut rest = &bytes[..];
            assert_eq!(take_varint(&mut rest).unwrap(), value);
            assert!(rest.is_empty());
        };
        check(0, &[0]);
        check(250, &[250]);
        check(251, &[251, 251, 0]);
        check(0xffff, &[251, 0xff, 0xff]);
        check(0x1_0000, &[252, 0, 0, 1, 0]);
        check(1 << 32, &[253, 0, 0, 0, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn compound_values_are_as_specified() {
        let value = (
            vec![vec![1u8, 2], vec![]],
            Some(-3i32),
            None::<i32>,
            true,
            [7u8; 2],
            "é".to_owned(),
            300u16,
        );
        let expect = [
            2, 2, 1, 2, 0, 1, 5, 0, 1, 7, 7, 2, 0xc3, 0xa9, 251, 0x2c, 0x01,
        ];
        assert_eq!(encode(&value, 100).unwrap(), expect);
        assert!(encode(&value, 16).is_err(), "one byte over the limit");
    }

    #[test]
    fn hostile_lengths_are_refused() {
        assert!(take_varint(&mut &[253, 1][..]).is_err());
        assert!(take_varint(&mut &[255][..]).is_err());
        assert!(take_varint(&mut &[][..]).is_err());
        assert!(take_bytes(&mut &[5, 1, 2][..], 100).is_err());
        assert!(take_bytes(&mut &[3, 1, 2, 3][..], 2).is_err());
        let huge = [253, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert!(decode::<Vec<u8>>(&huge).is_err());
        assert!(decode::<Vec<Vec<u8>>>(&huge).is_err());
        assert!(decode::<String>(&huge).is_err());
        assert!(decode::<u8>(&[1, 2]).is_err(), "bytes left over");
    }
}
