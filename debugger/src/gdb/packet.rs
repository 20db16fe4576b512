//! Packets: the framing of the remote serial protocol (GDB manual, "Overview" of the remote protocol).

/// Bytes in a packet that a client may send, without its frame; told to it as `PacketSize`.
pub const PACKET_BYTES_MAX: usize = 32 << 10;

/// What a client sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Arrival {
    /// A packet's content, with its escapes as they came.
    Packet(Vec<u8>),
    /// A packet whose checksum is wrong: to be asked for again.
    Damaged,
    /// A packet longer than [`PACKET_BYTES_MAX`].
    TooLong,
    /// The client did not understand the last packet.
    Nack,
    /// Ctrl-C.
    Break,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Between,
    Content,
    Checksum { first: Option<u8> },
}

/// Cuts a stream of bytes into packets. Bytes that belong to none are dropped.
#[derive(Clone, Debug)]
pub(crate) struct Framer {
    state: State,
    content: Vec<u8>,
    is_too_long: bool,
    sum: u8,
}

impl Framer {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Between,
            content: Vec::new(),
            is_too_long: false,
            sum: 0,
        }
    }

    /// Takes a byte; what it completes.
    pub(crate) fn push(&mut self, byte: u8) -> Option<Arrival> {
        match self.state {
            State::Between => match byte {
                b'$' => {
                    self.begin();
                    None
                }
                b'-' => Some(Arrival::Nack),
                0x03 => Some(Arrival::Break),
                _ => None,
            },
            State::Content => match byte {
                b'#' => {
                    self.state = State::Checksum { first: None };
                    None
                }
                // The client began anew: a `$` within a packet is always escaped.
                b'$' => {
                    self.begin();
                    None
                }
                _ => {
                    self.sum = self.sum.wrapping_add(byte);
                    if self.content.len() < PACKET_BYTES_MAX {
                        self.content.push(byte);
                    } else {
                        self.is_too_long = true;
                    }
                    None
                }
            },
            State::Checksum { first: None } => {
                self.state = State::Checksum { first: Some(byte) };
                None
            }
            State::Checksum { first: Some(first) } => {
                self.state = State::Between;
                let sum = hex_digit(first).zip(hex_digit(byte));
                let is_right = sum.is_some_and(|(high, low)| high << 4 | low == self.sum);
                Some(if !is_right {
                    Arrival::Damaged
                } else if self.is_too_long {
                    Arrival::TooLong
                } else {
                    Arrival::Packet(std::mem::take(&mut self.content))
                })
            }
        }
    }

    fn begin(&mut self) {
        self.state = State::Content;
        self.content.clear();
        self.is_too_long = false;
        self.sum = 0;
    }
}

/// Finds the breaks among what a client sends while something runs and its packets are only kept. Between two packets
/// the byte 3 is one (GDB manual, "Interrupts"); within a packet it is a byte like any other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BreakFinder {
    /// Between two packets, where every client begins.
    #[default]
    Between,
    /// In a packet's content.
    Content,
    /// In a packet's checksum.
    Checksum {
        /// Digits that are still to come, 1 or 2.
        digits_left: u8,
    },
}

impl BreakFinder {
    /// Goes on by a byte. Whether that asks for a break.
    pub fn is_break_at(&mut self, byte: u8) -> bool {
        let is_break = *self == Self::Between && byte == 0x03;
        *self = match (*self, byte) {
            // A `$` within a packet is always escaped; one that is not begins anew.
            (Self::Between | Self::Content, b'$') => Self::Content,
            (Self::Content, b'#') => Self::Checksum { digits_left: 2 },
            (Self::Checksum { digits_left: 2 }, _) => Self::Checksum { digits_left: 1 },
            (Self::Checksum { .. }, _) => Self::Between,
            (place, _) => place,
        };
        is_break
    }
}

/// A packet around a content that needs no escapes or has them.
pub(crate) fn frame(content: &[u8]) -> Vec<u8> {
    let sum = content
        .iter()
        .fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    let mut packet = Vec::with_capacity(content.len() + 4);
    packet.push(b'$');
    packet.extend_from_slice(content);
    packet.push(b'#');
    packet.extend_from_slice(format!("{sum:02x}").as_bytes());
    packet
}

/// Bytes as the content of a packet: what has a meaning of its own is escaped.
pub(crate) fn escape(bytes: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(bytes.len());
    for byte in bytes {
        if matches!(byte, b'#' | b'$' | b'}' | b'*') {
            escaped.extend([b'}', byte ^ 0x20]);
        } else {
            escaped.push(*byte);
        }
    }
    escaped
}

/// The bytes of an escaped content.
pub(crate) fn unescape(content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(content.len());
    let mut is_escaped = false;
    for byte in content {
        if is_escaped {
            bytes.push(byte ^ 0x20);
            is_escaped = false;
        } else if *byte == b'}' {
            is_escaped = true;
        } else {
            bytes.push(*byte);
        }
    }
    bytes
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes that hexadecimal digits stand for.
pub(crate) fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits
        .chunks_exact(2)
        .map(|pair| Some(hex_digit(pair[0])? << 4 | hex_digit(pair[1])?))
        .collect()
}

/// A number in hexadecimal digits, all of them.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    digits.iter().try_fold(0u64, |value, digit| {
        Some(value << 4 | u64::from(hex_digit(*digit)?))
    })
}

fn hex_digit(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(bytes: &[u8]) -> Vec<Arrival> {
        let mut framer = Framer::new();
        bytes.iter().filter_map(|byte| framer.push(*byte)).collect()
    }

    #[test]
    fn packets_are_found_among_whatever_comes() {
        assert_eq!(
            arrivals(b"+$g#67\x03-junk$?#3f"),
            [
                Arrival::Packet(b"g".to_vec()),
                Arrival::Break,
                Arrival::Nack,
                Arrival::Packet(b"?".to_vec())
            ]
        );
        assert_eq!(
            arrivals(b"$g#68$m1,$g#67"),
            [Arrival::Damaged, Arrival::Packet(b"g".to_vec())]
        );
        assert_eq!(arrivals(b"$g#zz"), [Arrival::Damaged]);
        let long = vec![b'a'; PACKET_BYTES_MAX + 1];
        assert_eq!(arrivals(&frame(&long)), [Arrival::TooLong]);
        assert_eq!(
            arrivals(&frame(&long[1..])),
            [Arrival::Packet(long[1..].to_vec())]
        );
    }

    #[test]
    fn numbers_and_bytes_in_digits() {
        assert_eq!(unhex(b"00ff7F"), Some(vec![0, 255, 127]));
        assert_eq!((unhex(b"0"), unhex(b"0g")), (None, None));
        assert_eq!(hex(&[0, 255]), "00ff");
        assert_eq!(number(b"ffffffffffffffff"), Some(u64::MAX));
        assert_eq!((number(b""), number(b"10000000000000000")), (None, None));
        assert_eq!(escape(b"a#}*$"), b"a}\x03}]}\x0a}\x04");
        assert_eq!(unescape(&escape(b"a#}*$")), b"a#}*$");
    }
}
