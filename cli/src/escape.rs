//! The escape key of an interactive session: Ctrl-A, then a letter.

/// Ctrl-A.
const ESCAPE: u8 = 0x01;

/// What the person wants of Reprise itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum EscapeCommand {
    /// Stop.
    Stop,
    /// Tell what the keys are.
    Help,
}

/// Text of the help.
pub(crate) const HELP: &str = "Ctrl-A x stops, Ctrl-A Ctrl-A types a Ctrl-A, Ctrl-A h shows this.";

/// Separates what is typed for the guest from what is typed for Reprise.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct EscapeFilter {
    is_escaped: bool,
}

impl EscapeFilter {
    /// Takes typed bytes; appends to `for_guest` what the guest gets. Ends early at a command,
    /// and then also tells how many bytes it has used.
    pub(crate) fn filter(
        &mut self,
        typed: &[u8],
        for_guest: &mut Vec<u8>,
    ) -> Option<(EscapeCommand, usize)> {
        for (at, &byte) in typed.iter().enumerate() {
            if !std::mem::take(&mut self.is_escaped) {
                if byte == ESCAPE {
                    self.is_escaped = true;
                } else {
                    for_guest.push(byte);
                }
                continue;
            }
            match byte {
                b'x' | b'X' => return Some((EscapeCommand::Stop, at + 1)),
                b'h' | b'H' | b'?' => return Some((EscapeCommand::Help, at + 1)),
                ESCAPE => for_guest.push(ESCAPE),
                // Not for us: a shell's Ctrl-A, typed by someone who does not know the key.
                other => for_guest.extend([ESCAPE, other]),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&[u8]], expected: &[u8], command: Option<EscapeCommand>) {
        let mut filter = EscapeFilter::default();
        let mut for_guest = Vec::new();
        let mut found = None;
        for piece in pieces {
            if let Some((command, _)) = filter.filter(piece, &mut for_guest) {
                found = Some(command);
                break;
            }
        }
        assert_eq!((for_guest.as_slice(), found), (expected, command));
    }

    #[test]
    fn escapes() {
        check(&[b"ls\r"], b"ls\r", None);
        check(&[b"a\x01xb"], b"a", Some(EscapeCommand::Stop));
        check(&[b"a\x01", b"x"], b"a", Some(EscapeCommand::Stop));
        check(&[b"\x01\x01x"], b"\x01x", None);
        check(&[b"\x01e"], b"\x01e", None);
        check(&[b"\x01h"], b"", Some(EscapeCommand::Help));
    }
}
