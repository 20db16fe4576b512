//! The 512-byte header block of ustar, GNU and star archives (POSIX.1-2017, `pax`, ustar Interchange Format).

/// Bytes of a block: headers are one, contents a whole number of them.
pub(crate) const BLOCK_BYTES: usize = 512;

/// What a header block says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) path: Vec<u8>,
    pub(crate) target: Vec<u8>,
    pub(crate) typeflag: u8,
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    /// Seconds since 1970.
    pub(crate) mtime: i64,
    pub(crate) device_major: u32,
    pub(crate) device_minor: u32,
}

/// Where the fields stand, as (offset, length).
const NAME: (usize, usize) = (0, 100);
const MODE: (usize, usize) = (100, 8);
const UID: (usize, usize) = (108, 8);
const GID: (usize, usize) = (116, 8);
const SIZE: (usize, usize) = (124, 12);
const MTIME: (usize, usize) = (136, 12);
const CHECKSUM: (usize, usize) = (148, 8);
const TYPEFLAG: usize = 156;
const LINK_NAME: (usize, usize) = (157, 100);
/// Magic and version together.
const MAGIC: (usize, usize) = (257, 8);
const DEVICE_MAJOR: (usize, usize) = (329, 8);
const DEVICE_MINOR: (usize, usize) = (337, 8);
const PREFIX: (usize, usize) = (345, 155);
/// The prefix is shorter in star's archives, which end in `tar\0`.
const STAR_PREFIX: (usize, usize) = (345, 131);
const STAR_TRAILER: (usize, usize) = (508, 4);

impl Header {
    /// Reads a block of [`BLOCK_BYTES`].
    pub(crate) fn parse(block: &[u8]) -> Result<Self, String> {
        let field = |(offset, length): (usize, usize)| &block[offset..offset + length];
        check_sum(block, number(field(CHECKSUM)))?;
        let known = field(MAGIC);
        let is_ustar = known.starts_with(b"ustar\0");
        let is_gnu = known == b"ustar  \0";
        let unsigned = |range, what: &str| {
            let value = number(field(range)).ok_or_else(|| format!("its {what} is no number"))?;
            u64::try_from(value).map_err(|_| format!("its {what} is negative"))
        };
        let id = |range, what| {
            let value = unsigned(range, what)?;
            u32::try_from(value).map_err(|_| format!("its {what} is out of range"))
        };
        let mut path = until_nul(field(NAME)).to_vec();
        if is_ustar {
            let is_star = field(STAR_TRAILER) == b"tar\0";
            let prefix = until_nul(field(if is_star { STAR_PREFIX } else { PREFIX }));
            if !prefix.is_empty() {
                path = [prefix, b"/", &path[..]].concat();
            }
        }
        let typeflag = block[TYPEFLAG];
        let has_device = matches!(typeflag, b'3' | b'4') && (is_ustar || is_gnu);
        let device = |range| {
            if has_device {
                id(range, "device number")
            } else {
                Ok(0)
            }
        };
        Ok(Self {
            path,
            target: until_nul(field(LINK_NAME)).to_vec(),
            typeflag,
            // The file's type is in `typeflag`; only the permissions count here.
            mode: (unsigned(MODE, "mode")? & 0o7777) as u16,
            uid: id(UID, "owner")?,
            gid: id(GID, "group")?,
            size: unsigned(SIZE, "size")?,
            mtime: number(field(MTIME)).ok_or("its time is no number")?,
            device_major: device(DEVICE_MAJOR)?,
            device_minor: device(DEVICE_MINOR)?,
        })
    }
}

/// The sum of all bytes with the checksum's own as spaces; old archivers summed signed bytes.
fn check_sum(block: &[u8], expected: Option<i64>) -> Result<(), String> {
    let (offset, length) = CHECKSUM;
    let mut unsigned = 0;
    let mut signed = 0;
    for (at, &byte) in block.iter().enumerate() {
        let counted = if (offset..offset + length).contains(&at) {
            b' '
        } else {
            byte
        };
        unsigned += i64::from(counted);
        signed += i64::from(counted as i8);
    }
    if expected == Some(unsigned) || expected == Some(signed) {
        return Ok(());
    }
    Err("a header's checksum is wrong".to_owned())
}

/// Octal digits between spaces and NULs (nothing is 0), or GNU's base-256: a set top bit, then a big-endian
/// two's complement number.
fn number(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        let negative = first & 0x40 != 0;
        let extended = if negative { first } else { first & 0x7f };
        let mut value = i64::from(extended as i8);
        for &byte in &field[1..] {
            value = value.checked_mul(256)?.checked_add(i64::from(byte))?;
        }
        return Some(value);
    }
    let is_blank = |byte: &u8| *byte == b' ' || *byte == 0;
    let start = field.iter().position(|byte| !is_blank(byte));
    let Some(start) = start else {
        return Some(0);
    };
    let end = field.iter().rposition(|byte| !is_blank(byte))?;
    let digits = until_nul(&field[start..=end]);
    digits.iter().try_fold(0_i64, |value, &digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

/// A C string's bytes.
pub(crate) fn until_nul(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|&byte| byte == 0);
    &field[..end.unwrap_or(field.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        let check = |field: &[u8], expect| assert_eq!(number(field), expect, "{field:?}");
        check(b"0000644\0", Some(0o644));
        check(b"  644 \0\0", Some(0o644));
        check(b"\0\0\0\0", Some(0));
        check(b"0000648\0", None);
        check(b"77777777777\0", Some(0o77777777777));
        check(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0], Some(2 << 32));
        check(&[0xff; 12], Some(-1));
        check(&[0xff, 0xff, 0xff, 0xfe], Some(-2));
        check(
            &[
                0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            ],
            None,
        );
        check(b"", None);
    }
}
