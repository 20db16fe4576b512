//! Numbers as people read them.

/// A count with its digits in groups of three.
#[must_use]
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            // A space that no line is broken at.
            text.push('\u{a0}');
        }
        text.push(digit);
    }
    text
}

/// A size in bytes.
#[must_use]
pub fn bytes(value: u64) -> String {
    match value {
        0..1_000 => format!("{value} B"),
        1_000..1_000_000 => format!("{:.1} kB", value as f64 / 1e3),
        _ => format!("{:.1} MB", value as f64 / 1e6),
    }
}

/// Guest time.
#[must_use]
pub fn seconds(nanoseconds: u64) -> String {
    format!("{:.6} s", nanoseconds as f64 / 1e9)
}

/// A position that a person has typed or pasted, with or without spaces between digits.
#[must_use]
pub fn parse_count(text: &str) -> Option<u64> {
    let digits: String = text
        .chars()
        .filter(|character| !character.is_whitespace())
        .collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_and_read_back() {
        for value in [0, 999, 1_000, 1_234_567, u64::MAX] {
            assert_eq!(parse_count(&count(value)), Some(value));
        }
        assert_eq!(count(1_234_567), "1\u{a0}234\u{a0}567");
    }
}
