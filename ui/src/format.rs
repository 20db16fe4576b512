//! Numbers, times and bytes as people read them.

/// Between groups of three digits; narrow, and no line breaks at it.
const THIN_SPACE: char = '\u{202f}';

/// A number with its digits in groups: `1 234 567`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 2);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(THIN_SPACE);
        }
        grouped.push(digit);
    }
    grouped
}

/// A number with what it counts: `1 call`, `2 calls`.
#[must_use]
pub fn counted(number: u64, one: &str, many: &str) -> String {
    let what = if number == 1 { one } else { many };
    format!("{} {what}", count(number))
}

/// Guest time: `640 ns`, `12.34 µs`, `12.345 ms`, `1.234567 s`, `2 min 03.456 s`. Cut off, never rounded up.
#[must_use]
pub fn time(nanoseconds: u64) -> String {
    match nanoseconds {
        0..1_000 => format!("{nanoseconds} ns"),
        1_000..1_000_000 => format!("{}.{:02} µs", nanoseconds / 1_000, nanoseconds % 1_000 / 10),
        1_000_000..1_000_000_000 => {
            let micros = nanoseconds / 1_000;
            format!("{}.{:03} ms", micros / 1_000, micros % 1_000)
        }
        1_000_000_000..60_000_000_000 => {
            let micros = nanoseconds / 1_000;
            format!("{}.{:06} s", micros / 1_000_000, micros % 1_000_000)
        }
        _ => {
            let millis = nanoseconds / 1_000_000;
            let minutes = millis / 60_000;
            format!(
                "{minutes} min {:02}.{:03} s",
                millis / 1_000 % 60,
                millis % 1_000
            )
        }
    }
}

/// A size: `1 byte`, `512 bytes`, `1.5 KiB`, `16 MiB`.
#[must_use]
pub fn bytes(byte_len: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if byte_len < 1024 {
        return counted(byte_len, "byte", "bytes");
    }
    let exponent = byte_len.ilog2() / 10;
    let unit = UNITS.get(exponent as usize - 1).copied().unwrap_or("EiB");
    let scale = 1_u64 << (10 * exponent);
    let whole = byte_len / scale;
    let tenths = u128::from(byte_len % scale) * 10 / u128::from(scale);
    if tenths == 0 || whole >= 100 {
        format!("{whole} {unit}")
    } else {
        format!("{whole}.{tenths} {unit}")
    }
}

/// An address or a register: `0x10430`.
#[must_use]
pub fn hex(number: u64) -> String {
    format!("{number:#x}")
}

/// A byte as a character, where it is one that can be seen.
#[must_use]
pub fn ascii(byte: u8) -> char {
    if byte.is_ascii_graphic() || byte == b' ' {
        char::from(byte)
    } else {
        '·'
    }
}

/// Typed bytes with what cannot be seen made visible: Enter as `↵`, Tab as `⇥`, cursor keys as arrows, other control characters as `^C`,
/// bytes that are no text as `\xff`. For a monospaced font.
#[must_use]
pub fn visible(typed: &[u8]) -> String {
    let mut text = String::with_capacity(typed.len());
    for chunk in typed.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(char) = rest.chars().next() {
            if let Some((sequence, key)) = key_at(rest) {
                text.push_str(key);
                rest = rest.get(sequence.len()..).unwrap_or_default();
                continue;
            }
            push_visible(&mut text, char);
            rest = rest.get(char.len_utf8()..).unwrap_or_default();
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// The key whose sequence a text begins with, as terminals send them.
fn key_at(text: &str) -> Option<(&'static str, &'static str)> {
    const KEYS: [(&str, &str); 8] = [
        ("\x1b[A", "↑"),
        ("\x1b[B", "↓"),
        ("\x1b[C", "→"),
        ("\x1b[D", "←"),
        ("\x1bOA", "↑"),
        ("\x1bOB", "↓"),
        ("\x1bOC", "→"),
        ("\x1bOD", "←"),
    ];
    KEYS.into_iter()
        .find(|(sequence, _)| text.starts_with(sequence))
}

fn push_visible(text: &mut String, char: char) {
    match char {
        '\r' => text.push('↵'),
        '\t' => text.push('⇥'),
        '\0'..=' ' if char != ' ' => {
            text.push('^');
            text.push(char::from(char as u8 ^ 0x40));
        }
        '\x7f' => text.push_str("^?"),
        _ if char.is_control() => text.push_str(&format!("\\u{{{:x}}}", u32::from(char))),
        _ => text.push(char),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_in_groups() {
        for (number, expect) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1 000"),
            (1_234_567, "1 234 567"),
        ] {
            assert_eq!(count(number).replace(THIN_SPACE, " "), expect);
        }
        assert_eq!(counted(1, "call", "calls"), "1 call");
        assert_eq!(counted(0, "call", "calls"), "0 calls");
    }

    #[test]
    fn times_have_units_and_are_never_rounded_up() {
        for (nanoseconds, expect) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (12_345, "12.34 µs"),
            (999_999, "999.99 µs"),
            (12_345_678, "12.345 ms"),
            (1_234_567_890, "1.234567 s"),
            (59_999_999_999, "59.999999 s"),
            (123_456_000_000, "2 min 03.456 s"),
        ] {
            assert_eq!(time(nanoseconds), expect);
        }
    }

    #[test]
    fn sizes_are_short() {
        for (byte_len, expect) in [
            (1, "1 byte"),
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (200 * 1024 + 512, "200 KiB"),
            (16 << 20, "16 MiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(bytes(byte_len).replace(THIN_SPACE, ""), expect);
        }
    }

    #[test]
    fn what_was_typed_can_be_seen() {
        for (typed, expect) in [
            (&b"ls -l\r"[..], "ls -l↵"),
            (b"\x03\x1b[A\t\x7f\0", "^C↑⇥^?^@"),
            (b"\x1b\n\xffa", "^[^J\\xffa"),
            ("é".as_bytes(), "é"),
        ] {
            assert_eq!(visible(typed), expect);
        }
    }
}
