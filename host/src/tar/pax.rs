//! PAX extended headers (POSIX.1-2017, `pax`, pax Extended Header): records of `length keyword=value\n`.

use std::collections::BTreeMap;

use crate::tree::Time;

/// What the records of one header say about the entry that follows. A record without a value says nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Extended {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) target: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) mtime: Option<Time>,
    pub(crate) xattrs: BTreeMap<Box<[u8]>, Box<[u8]>>,
}

impl Extended {
    pub(crate) fn parse(mut records: &[u8]) -> Result<Self, String> {
        let mut extended = Self::default();
        while !records.is_empty() {
            let (key, value, rest) = record(records).ok_or("an extended header is malformed")?;
            records = rest;
            extended.set(key, value)?;
        }
        Ok(extended)
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            if !name.is_empty() {
                self.xattrs.insert(name.into(), value.into());
            }
            return Ok(());
        }
        if key.starts_with(b"GNU.sparse.") {
            return Err("it has a sparse file".to_owned());
        }
        if value.is_empty() {
            return Ok(());
        }
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.target = Some(value.to_vec()),
            b"size" => self.size = Some(decimal(value).ok_or("a size is no number")?),
            b"uid" => self.uid = Some(id(value)?),
            b"gid" => self.gid = Some(id(value)?),
            b"mtime" => self.mtime = Some(time(value).ok_or("a time is no number")?),
            _ => {}
        }
        Ok(())
    }
}

/// The first record's key and value, and the records after it.
fn record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().position(|&byte| byte == b' ')?;
    let length = usize::try_from(decimal(&records[..space])?).ok()?;
    if length > records.len() || length < space + 2 {
        return None;
    }
    let (record, rest) = records.split_at(length);
    let pair = record[space + 1..].strip_suffix(b"\n")?;
    let equals = pair.iter().position(|&byte| byte == b'=')?;
    let (key, value) = (&pair[..equals], &pair[equals + 1..]);
    let text_only = matches!(key, b"path" | b"linkpath" | b"uname" | b"gname");
    let must_not_have_nul = if text_only { value } else { key };
    (!key.is_empty() && !must_not_have_nul.contains(&0)).then_some((key, value, rest))
}

/// Digits alone: no sign, no space.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, &digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

fn id(digits: &[u8]) -> Result<u32, String> {
    let value = decimal(digits).and_then(|value| u32::try_from(value).ok());
    value.ok_or_else(|| "an owner is out of range".to_owned())
}

/// Seconds with an optional fraction, of which nine digits count; before 1970 both are negative.
fn time(text: &[u8]) -> Option<Time> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(text) => (true, text),
        None => (false, text),
    };
    let dot = text
        .iter()
        .position(|&byte| byte == b'.')
        .unwrap_or(text.len());
    let whole = i64::try_from(decimal(&text[..dot])?).ok()?;
    let fraction = text.get(dot + 1..).unwrap_or_default();
    let mut nanoseconds = 0;
    for at in 0..9 {
        let digit = match fraction.get(at) {
            Some(digit @ b'0'..=b'9') => u32::from(digit - b'0'),
            Some(_) => return None,
            None => 0,
        };
        nanoseconds = nanoseconds * 10 + digit;
    }
    if fraction.iter().any(|byte| !byte.is_ascii_digit()) {
        return None;
    }
    let (seconds, nanoseconds) = match (negative, nanoseconds) {
        (false, nanoseconds) => (whole, nanoseconds),
        (true, 0) => (-whole, 0),
        (true, nanoseconds) => (-whole - 1, 1_000_000_000 - nanoseconds),
    };
    Some(Time {
        seconds,
        nanoseconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_nine_digits_and_a_sign() {
        let check = |text: &str, expect: Option<(i64, u32)>| {
            let found = time(text.as_bytes());
            let found = found.map(|time| (time.seconds, time.nanoseconds));
            assert_eq!(found, expect, "{text}");
        };
        check("1700000000", Some((1_700_000_000, 0)));
        check("1.5", Some((1, 500_000_000)));
        check("1.0000000019", Some((1, 1)));
        check("1.", Some((1, 0)));
        check("-1.25", Some((-2, 750_000_000)));
        check("-3", Some((-3, 0)));
        for wrong in [
            "",
            ".5",
            "-",
            "1.x",
            "1.000000000x",
            "99999999999999999999",
            "+1",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn records_are_read_by_their_length() {
        let parsed =
            Extended::parse(b"11 path=a\n\n12 uid=1000\n7 gid=\n21 SCHILY.xattr.a=\0b\n").unwrap();
        assert_eq!(parsed.path.as_deref(), Some(&b"a\n"[..]));
        assert_eq!((parsed.uid, parsed.gid), (Some(1000), None));
        assert_eq!(parsed.xattrs[&b"a"[..]][..], *b"\0b");
        for wrong in [
            &b"6 a=b"[..],
            b"7 a=b\n",
            b"99 path=a\n",
            b"4 =\n",
            b"10 path=a\0\n",
            b"path=a\n",
            b" 6 a=b\n",
            b"22 GNU.sparse.major=1\n",
        ] {
            let shown = String::from_utf8_lossy(wrong);
            assert!(Extended::parse(wrong).is_err(), "{shown}");
        }
    }
}
