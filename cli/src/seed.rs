//! Seeds: from the system, or as a person names them.

use std::fmt;

/// Seed of a machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seed(pub(crate) [u8; 32]);

impl Seed {
    /// The seed that a number names: its bytes, little-endian, then zeros.
    pub(crate) fn from_number(number: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        Self(bytes)
    }

    /// A seed from the system's random numbers.
    pub(crate) fn from_system() -> anyhow::Result<Self> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)
            .map_err(|error| anyhow::anyhow!("the system gives no random numbers: {error}"))?;
        Ok(Self(bytes))
    }

    /// A random seed that a person can type: a number below 2^32.
    pub(crate) fn short_from_system() -> anyhow::Result<Self> {
        let Self(bytes) = Self::from_system()?;
        let [a, b, c, d, ..] = bytes;
        Ok(Self::from_number(u64::from(u32::from_le_bytes([
            a, b, c, d,
        ]))))
    }

    /// The seed `steps` after this one, as numbers follow each other.
    pub(crate) fn after(self, steps: u64) -> Self {
        let mut bytes = self.0;
        let (low, _) = bytes.split_at_mut(8);
        let mut number = [0; 8];
        number.copy_from_slice(low);
        low.copy_from_slice(&u64::from_le_bytes(number).wrapping_add(steps).to_le_bytes());
        Self(bytes)
    }
}

impl fmt::Display for Seed {
    /// As [`parse`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = self.0.split_at(8);
        if high.iter().all(|byte| *byte == 0) {
            let mut number = [0; 8];
            number.copy_from_slice(low);
            write!(f, "{}", u64::from_le_bytes(number))
        } else {
            self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
        }
    }
}

/// Reads a seed: a decimal number below 2^64, or 64 hexadecimal digits.
pub(crate) fn parse(text: &str) -> Result<Seed, String> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            let digits = &text[2 * at..2 * at + 2];
            *byte = u8::from_str_radix(digits, 16).map_err(|error| error.to_string())?;
        }
        return Ok(Seed(bytes));
    }
    text.parse()
        .map(Seed::from_number)
        .map_err(|_| "give a number below 2^64, or 64 hexadecimal digits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_read_back_as_they_are_shown() {
        for text in ["0", "42", "18446744073709551615", &"0a".repeat(32)] {
            let seed = parse(text).expect("a seed");
            assert_eq!(seed.to_string(), text);
        }
        assert!(parse("-1").is_err());
        assert!(parse("4 2").is_err());
        assert!(parse(&"zz".repeat(32)).is_err());
        assert_eq!(Seed::from_number(41).after(1), Seed::from_number(42));
    }
}
