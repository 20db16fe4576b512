//! Output rewritten so that the colour of each character says which piece of output printed it.
//!
//! A second terminal gets the same control sequences but those that set colours, and before each character one that
//! sets a colour made of the piece's number. Whatever moves, scrolls or erases characters moves their numbers too, so
//! the answer is exact without a second terminal emulator of our own.

use vt100::Color;

/// Rewrites output.
#[derive(Default)]
pub(super) struct Shadow {
    parser: vte::Parser,
    writer: Writer,
}

#[derive(Default)]
struct Writer {
    out: Vec<u8>,
    piece: u32,
    /// The piece whose colour is set, if that is certain.
    coloured: Option<u32>,
    event: Event,
}

/// What the last byte led to.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Event {
    #[default]
    Nothing,
    Printed(char),
    Executed,
    Dispatched,
}

impl Shadow {
    /// Takes in bytes of a piece, and whether the parser stands between two sequences before and after. Appends the
    /// rewritten bytes to what [`Shadow::take`] gives.
    pub(super) fn feed(&mut self, piece: u32, bytes: &[u8]) {
        self.writer.piece = piece;
        self.parser.advance(&mut self.writer, bytes);
    }

    /// As [`Shadow::feed`] of one byte; says whether the parser stands between two sequences after it, given that it did
    /// or did not before. Never says so wrongly.
    pub(super) fn feed_byte(&mut self, piece: u32, byte: u8, is_between: bool) -> bool {
        self.writer.event = Event::Nothing;
        self.feed(piece, &[byte]);
        match self.writer.event {
            _ if byte == 0x1b => false,
            // A byte that breaks a character off may begin another.
            Event::Printed(char::REPLACEMENT_CHARACTER) => false,
            Event::Printed(_) | Event::Dispatched => true,
            Event::Executed => is_between || byte == 0x18 || byte == 0x1a,
            Event::Nothing => false,
        }
    }

    /// What has been rewritten since the last time.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.writer.out)
    }
}

impl Writer {
    fn colour(&mut self) {
        if self.coloured == Some(self.piece) {
            return;
        }
        self.coloured = Some(self.piece);
        let [high, red, green, blue] = self.piece.to_be_bytes();
        let sequence = format!("\x1b[38;2;{red};{green};{blue};48;2;0;0;{high}m");
        self.out.extend_from_slice(sequence.as_bytes());
    }
}

impl vte::Perform for Writer {
    fn print(&mut self, character: char) {
        self.event = Event::Printed(character);
        self.colour();
        let mut buffer = [0; 4];
        self.out
            .extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
    }

    fn execute(&mut self, byte: u8) {
        self.event = Event::Executed;
        self.out.push(byte);
    }

    fn osc_dispatch(&mut self, _params: &[&[u8]], _is_bell_terminated: bool) {
        self.event = Event::Dispatched;
    }

    fn csi_dispatch(
        &mut self,
        params: &vte::Params,
        intermediates: &[u8],
        _is_ignored: bool,
        action: char,
    ) {
        self.event = Event::Dispatched;
        let (private, rest) = match intermediates.split_first() {
            Some((first, rest)) if (b'<'..=b'?').contains(first) => (Some(*first), rest),
            _ => (None, intermediates),
        };
        if action == 'm' && intermediates.is_empty() {
            return;
        }
        // What repeats a character gives it the colour that is set.
        if action == 'b' {
            self.colour();
        }
        self.out.extend_from_slice(b"\x1b[");
        self.out.extend(private);
        for (number, param) in params.iter().enumerate() {
            if number > 0 {
                self.out.push(b';');
            }
            let words: Vec<String> = param.iter().map(u16::to_string).collect();
            self.out.extend_from_slice(words.join(":").as_bytes());
        }
        self.out.extend_from_slice(rest);
        let mut buffer = [0; 4];
        self.out
            .extend_from_slice(action.encode_utf8(&mut buffer).as_bytes());
        // Restoring a cursor restores its colours.
        self.coloured = None;
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], _is_ignored: bool, byte: u8) {
        self.event = Event::Dispatched;
        self.out.push(0x1b);
        self.out.extend_from_slice(intermediates);
        self.out.push(byte);
        self.coloured = None;
    }
}

/// The piece whose number a cell of the second terminal bears, if anything was printed there.
pub(super) fn piece_from_cell(cell: &vt100::Cell) -> Option<u32> {
    if !cell.has_contents() && !cell.is_wide_continuation() {
        return None;
    }
    match (cell.fgcolor(), cell.bgcolor()) {
        (Color::Rgb(red, green, blue), Color::Rgb(_, _, high)) => {
            Some(u32::from_be_bytes([high, red, green, blue]))
        }
        _ => None,
    }
}
