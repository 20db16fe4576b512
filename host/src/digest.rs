//! Digests as OCI writes them, and bytes checked against one while they stream by.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::error::{ImageError, shown};

/// A SHA-256 digest, written `sha256:` and 64 hexadecimal digits (OCI Image 1.1, descriptor: digests).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Of bytes that are all there.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Reads the written form. Other algorithms than SHA-256 are refused: no tool makes them.
    ///
    /// # Errors
    /// [`ImageError::Document`] for anything else than 64 lower-case digits after `sha256:`.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        let digits = text.strip_prefix("sha256:");
        digits
            .and_then(Self::from_hex)
            .ok_or_else(|| ImageError::Document {
                name: "digest".to_owned(),
                reason: format!("{} is not a SHA-256 digest", shown(text.as_bytes())),
            })
    }

    /// Reads 64 lower-case hexadecimal digits.
    pub(crate) fn from_hex(digits: &str) -> Option<Self> {
        let digits = digits.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = (nibble(pair[0])? << 4) | nibble(pair[1])?;
        }
        Some(Self(bytes))
    }

    /// The digits alone: the name of a blob in a layout's `blobs/sha256`.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Bytes on their way, of which size and digest may be promised.
#[derive(Clone)]
pub(crate) struct Verifier {
    name: String,
    size: Option<u64>,
    digest: Option<Digest>,
    hasher: Sha256,
    seen: u64,
}

impl Verifier {
    /// `name` is for messages.
    pub(crate) fn new(name: String, size: Option<u64>, digest: Option<Digest>) -> Self {
        Self {
            name,
            size,
            digest,
            hasher: Sha256::new(),
            seen: 0,
        }
    }

    /// Takes the next bytes; more than were promised are refused at once.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        self.seen += bytes.len() as u64;
        if self.size.is_some_and(|size| self.seen > size) {
            return self.wrong_size();
        }
        if self.digest.is_some() {
            self.hasher.update(bytes);
        }
        Ok(())
    }

    /// Says whether all that came is what was promised.
    pub(crate) fn finish(self) -> Result<(), ImageError> {
        if self.size.is_some_and(|size| self.seen != size) {
            return self.wrong_size();
        }
        match self.digest {
            Some(digest) => check(&self.name, digest, Digest(self.hasher.finalize().into())),
            None => Ok(()),
        }
    }

    fn wrong_size(&self) -> Result<(), ImageError> {
        Err(ImageError::Size {
            name: self.name.clone(),
            expected: self.size.unwrap_or(0),
            found: self.seen,
        })
    }
}

/// `found` must be the digest that was promised.
pub(crate) fn check(name: &str, promised: Digest, found: Digest) -> Result<(), ImageError> {
    if promised == found {
        return Ok(());
    }
    Err(ImageError::Digest {
        name: name.to_owned(),
        found: found.hex(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_and_written() {
        let empty = Digest::of(b"");
        let written = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(empty.to_string(), written);
        assert_eq!(Digest::parse(written).unwrap(), empty);
        for wrong in [
            "",
            "sha256:",
            "sha512:00",
            &written[..70],
            &written.to_uppercase(),
        ] {
            assert!(Digest::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Digest::parse(&format!("{written}0")).is_err());
        assert!(Digest::parse(&written.replace("e3b", "é3")).is_err());
    }

    #[test]
    fn a_verifier_sees_wrong_bytes_and_sizes() {
        let verify = |bytes: &[u8], size| {
            let mut verifier = Verifier::new("blob".to_owned(), size, Some(Digest::of(b"abc")));
            verifier.take(bytes).and_then(|()| verifier.finish())
        };
        assert!(verify(b"abc", Some(3)).is_ok());
        assert!(verify(b"abc", None).is_ok());
        assert!(matches!(
            verify(b"abd", Some(3)),
            Err(ImageError::Digest { .. })
        ));
        assert!(matches!(
            verify(b"ab", Some(3)),
            Err(ImageError::Size { .. })
        ));
        assert!(matches!(
            verify(b"abcd", Some(3)),
            Err(ImageError::Size { .. })
        ));
    }
}
