//! What a key sends.

use egui::{Key, Modifiers};

/// The bytes that a terminal sends for a key; none for keys that arrive as text.
#[must_use]
pub(super) fn bytes_from_key(
    key: Key,
    modifiers: Modifiers,
    is_application_cursor: bool,
) -> Option<Vec<u8>> {
    let plain = |bytes: &[u8]| Some(bytes.to_vec());
    match key {
        Key::Enter => return plain(if modifiers.alt { b"\x1b\r" } else { b"\r" }),
        Key::Tab => return plain(if modifiers.shift { b"\x1b[Z" } else { b"\t" }),
        Key::Backspace if modifiers.alt => return plain(b"\x1b\x7f"),
        Key::Backspace if modifiers.ctrl => return plain(b"\x08"),
        Key::Backspace => return plain(b"\x7f"),
        Key::Escape => return plain(b"\x1b"),
        _ => {}
    }
    if let Some(sequence) = sequence_from_key(key, modifiers, is_application_cursor) {
        return Some(sequence);
    }
    let control = modifiers.ctrl.then(|| control_from_key(key)).flatten();
    match control {
        Some(byte) if modifiers.alt => Some(vec![0x1b, byte]),
        Some(byte) => Some(vec![byte]),
        None if modifiers.alt && !modifiers.ctrl => meta_from_key(key, modifiers.shift),
        None => None,
    }
}

fn sequence_from_key(
    key: Key,
    modifiers: Modifiers,
    is_application_cursor: bool,
) -> Option<Vec<u8>> {
    let modifier =
        1 + u8::from(modifiers.shift) + 2 * u8::from(modifiers.alt) + 4 * u8::from(modifiers.ctrl);
    let letter = match key {
        Key::ArrowUp => 'A',
        Key::ArrowDown => 'B',
        Key::ArrowRight => 'C',
        Key::ArrowLeft => 'D',
        Key::Home => 'H',
        Key::End => 'F',
        Key::F1 => 'P',
        Key::F2 => 'Q',
        Key::F3 => 'R',
        Key::F4 => 'S',
        _ => return numbered_sequence(key, modifier),
    };
    let is_function = matches!(letter, 'P'..='S');
    Some(if modifier > 1 {
        format!("\x1b[1;{modifier}{letter}").into_bytes()
    } else if is_function || is_application_cursor {
        format!("\x1bO{letter}").into_bytes()
    } else {
        format!("\x1b[{letter}").into_bytes()
    })
}

fn numbered_sequence(key: Key, modifier: u8) -> Option<Vec<u8>> {
    let number = match key {
        Key::Insert => 2,
        Key::Delete => 3,
        Key::PageUp => 5,
        Key::PageDown => 6,
        Key::F5 => 15,
        Key::F6 => 17,
        Key::F7 => 18,
        Key::F8 => 19,
        Key::F9 => 20,
        Key::F10 => 21,
        Key::F11 => 23,
        Key::F12 => 24,
        _ => return None,
    };
    Some(if modifier > 1 {
        format!("\x1b[{number};{modifier}~").into_bytes()
    } else {
        format!("\x1b[{number}~").into_bytes()
    })
}

fn control_from_key(key: Key) -> Option<u8> {
    if let [letter @ b'A'..=b'Z'] = key.name().as_bytes() {
        return Some(letter - b'A' + 1);
    }
    match key {
        Key::Space | Key::Num2 => Some(0),
        Key::OpenBracket | Key::Num3 => Some(0x1b),
        Key::Backslash | Key::Num4 => Some(0x1c),
        Key::CloseBracket | Key::Num5 => Some(0x1d),
        Key::Num6 => Some(0x1e),
        Key::Slash | Key::Minus | Key::Num7 => Some(0x1f),
        Key::Num8 => Some(0x7f),
        _ => None,
    }
}

/// Alt with a letter or digit: an escape before it.
fn meta_from_key(key: Key, is_shifted: bool) -> Option<Vec<u8>> {
    match key.name().as_bytes() {
        [letter @ (b'A'..=b'Z' | b'0'..=b'9')] if is_shifted => Some(vec![0x1b, *letter]),
        [letter @ (b'A'..=b'Z' | b'0'..=b'9')] => Some(vec![0x1b, letter.to_ascii_lowercase()]),
        _ => None,
    }
}

/// What pasting a text sends. A text cannot end the bracket around it.
#[must_use]
pub(super) fn bytes_from_paste(text: &str, is_bracketed: bool) -> Vec<u8> {
    let text: String = text
        .replace("\r\n", "\r")
        .replace('\n', "\r")
        .chars()
        .filter(|character| !character.is_control() || matches!(character, '\r' | '\t'))
        .collect();
    if is_bracketed {
        format!("\x1b[200~{text}\x1b[201~").into_bytes()
    } else {
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: Key, modifiers: Modifiers, expect: &[u8]) {
        assert_eq!(
            bytes_from_key(key, modifiers, false).as_deref(),
            Some(expect),
            "{key:?}"
        );
    }

    #[test]
    fn keys_send_what_xterm_sends() {
        check(Key::Enter, Modifiers::NONE, b"\r");
        check(Key::ArrowUp, Modifiers::NONE, b"\x1b[A");
        check(Key::ArrowLeft, Modifiers::CTRL, b"\x1b[1;5D");
        check(Key::F1, Modifiers::NONE, b"\x1bOP");
        check(Key::F5, Modifiers::SHIFT, b"\x1b[15;2~");
        check(Key::C, Modifiers::CTRL, b"\x03");
        check(Key::B, Modifiers::ALT, b"\x1bb");
        assert_eq!(
            bytes_from_key(Key::ArrowUp, Modifiers::NONE, true).as_deref(),
            Some(&b"\x1bOA"[..])
        );
        assert_eq!(bytes_from_key(Key::A, Modifiers::NONE, false), None);
    }

    #[test]
    fn a_paste_cannot_leave_its_brackets() {
        assert_eq!(bytes_from_paste("a\r\nb\n", false), b"a\rb\r");
        assert_eq!(
            bytes_from_paste("x\x1b[201~rm", true),
            b"\x1b[200~x[201~rm\x1b[201~"
        );
    }
}
