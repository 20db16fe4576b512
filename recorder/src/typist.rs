//! Types a script into the guest, as a person would who waits for the prompt.
//!
//! The script is raw bytes. They are typed line by line, each line with its newline. A line is
//! typed only while the guest waits (every CPU is parked) and
//! - the guest has printed something since the last line and stopped within a line, as a prompt
//!   does, for [`PROMPT_TICKS`]; or
//! - it has printed nothing for [`QUIET_TICKS`], as a program does that reads without prompting.
//!
//! After the script's end Ctrl-D is typed on the same conditions, so that a shell or program sees
//! the end of its input as it does on a terminal; each one that meets silence doubles the wait for
//! the next. All times are guest time, so one script gives one execution.
//!
//! Where the last line lacks its newline, the first Ctrl-D hands the line over as it is and the
//! second one is the end of input, as a terminal has it. Whoever edits lines itself, as a shell does,
//! takes neither for an end while there is something on the line: if both meet silence, the newline is typed
//! after all.
//!
//! A program that takes no Ctrl-D for an answer would be typed at for ever: after
//! [`UNANSWERED_ENDS_MAX`] of them in a row that met silence, or [`ENDS_MAX`] in all, the typist gives up.

use reprise_core::types::{GuestTime, NANOSECONDS_PER_TICK};
use std::collections::VecDeque;

const fn ticks_from_milliseconds(milliseconds: u64) -> u64 {
    milliseconds * 1_000_000 / NANOSECONDS_PER_TICK
}

/// A prompt has stood for this long (20 ms): programs that print a line in pieces have then
/// finished it.
pub const PROMPT_TICKS: u64 = ticks_from_milliseconds(20);

/// Silence of this length (1 s) means that the guest waits for a line without saying so.
pub const QUIET_TICKS: u64 = ticks_from_milliseconds(1000);

/// The longest wait (about 17 minutes) between two Ctrl-D that both met silence.
const QUIET_TICKS_MAX: u64 = QUIET_TICKS << 10;

/// So many Ctrl-D in a row that met silence are enough. With the waits between them the guest has then
/// had more than 14 hours of its time to answer.
pub const UNANSWERED_ENDS_MAX: u32 = 60;

/// So many Ctrl-D are enough even if each was answered, as by a shell that asks to type `exit`.
pub const ENDS_MAX: u32 = 1000;

/// A line longer than this is typed in pieces; no terminal line discipline takes longer ones.
const LINE_BYTES_MAX: usize = 4096;

/// Ctrl-D that a terminal needs behind a line without a newline: one for the line, one for the end.
const OPEN_LINE_ENDS: u32 = 2;

/// What a terminal sends for the end of input.
const END_OF_INPUT: u8 = 0x04;

/// Types a script.
#[derive(Clone, Debug)]
pub struct Typist {
    script: VecDeque<u8>,
    is_closed: bool,
    is_at_prompt: bool,
    has_printed: bool,
    quiet_since: GuestTime,
    quiet_ticks: u64,
    /// Ctrl-D typed so far.
    ends: u32,
    /// Those of them since the guest last printed something.
    unanswered_ends: u32,
    /// The script's last line was typed without a newline, which it may still need.
    is_line_open: bool,
}

impl Default for Typist {
    fn default() -> Self {
        Self {
            script: VecDeque::new(),
            is_closed: false,
            is_at_prompt: false,
            has_printed: false,
            quiet_since: GuestTime(0),
            quiet_ticks: QUIET_TICKS,
            ends: 0,
            unanswered_ends: 0,
            is_line_open: false,
        }
    }
}

impl Typist {
    /// A typist with nothing to type yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds to the script.
    pub fn push(&mut self, bytes: &[u8]) {
        self.script.extend(bytes);
    }

    /// Says that the script is complete.
    pub fn close(&mut self) {
        self.is_closed = true;
    }

    /// Whether there is nothing to type before the script grows.
    #[must_use]
    pub fn waits_for_script(&self) -> bool {
        !self.is_closed && self.line_length().is_none()
    }

    /// Bytes of the script that have not been typed.
    #[must_use]
    pub fn untyped_byte_len(&self) -> usize {
        self.script.len()
    }

    /// Whether the script is over and only its end is left to type.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.is_closed && self.script.is_empty()
    }

    /// Whether the guest has had all the Ctrl-D that it gets. What would be typed next is nothing.
    #[must_use]
    pub fn gives_up(&self) -> bool {
        self.unanswered_ends >= UNANSWERED_ENDS_MAX || self.ends >= ENDS_MAX
    }

    /// Takes note of what the guest printed.
    pub fn observe(&mut self, printed: &[u8]) {
        if let Some(last) = printed.last() {
            self.is_at_prompt = *last != b'\n' && *last != b'\r';
            self.has_printed = true;
        }
    }

    /// To be called when the guest begins to wait. What was printed counts from here: this instant
    /// depends on the guest alone, not on how often a driver looks at the output.
    pub fn begin_wait(&mut self, now: GuestTime) {
        if std::mem::take(&mut self.has_printed) {
            self.quiet_since = now;
            self.quiet_ticks = QUIET_TICKS;
            // An echo of the last line is no answer: it comes before the first Ctrl-D.
            if self.unanswered_ends > 0 {
                self.is_line_open = false;
            }
            self.unanswered_ends = 0;
        }
    }

    /// The guest time at which something may be typed if the guest waits and prints nothing until
    /// then; `None` when there is nothing to type.
    #[must_use]
    pub fn ready_at(&self) -> Option<GuestTime> {
        if self.waits_for_script() {
            return None;
        }
        let wait = if self.is_at_prompt {
            PROMPT_TICKS
        } else {
            self.quiet_ticks
        };
        Some(GuestTime(self.quiet_since.0.saturating_add(wait)))
    }

    /// Types the next line, or Ctrl-D after the last one. To be called when the time of
    /// [`Typist::ready_at`] has come and the guest waits, unless the typist [gives up](Self::gives_up).
    pub fn type_line(&mut self, now: GuestTime) -> Vec<u8> {
        self.quiet_since = now;
        let was_at_prompt = std::mem::take(&mut self.is_at_prompt);
        if let Some(length) = self.line_length() {
            let line: Vec<u8> = self.script.drain(..length).collect();
            self.is_line_open = line.last() != Some(&b'\n');
            return line;
        }
        if !self.is_closed {
            return Vec::new();
        }
        if self.unanswered_ends >= OPEN_LINE_ENDS && std::mem::take(&mut self.is_line_open) {
            self.quiet_ticks = QUIET_TICKS;
            return vec![b'\n'];
        }
        self.ends += 1;
        self.unanswered_ends += 1;
        if !was_at_prompt {
            self.quiet_ticks = (self.quiet_ticks * 2).min(QUIET_TICKS_MAX);
        }
        vec![END_OF_INPUT]
    }

    /// Length of the next line with its newline, if it is complete.
    fn line_length(&self) -> Option<usize> {
        let newline = self
            .script
            .iter()
            .take(LINE_BYTES_MAX)
            .position(|byte| *byte == b'\n');
        match newline {
            Some(at) => Some(at + 1),
            None if self.script.len() >= LINE_BYTES_MAX => Some(LINE_BYTES_MAX),
            None => (self.is_closed && !self.script.is_empty()).then_some(self.script.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(typist: &mut Typist, bytes: &[u8], now: u64) {
        typist.observe(bytes);
        typist.begin_wait(GuestTime(now));
    }

    #[test]
    fn lines_wait_for_prompts() {
        let mut typist = Typist::new();
        typist.push(b"ls\nexit\n");
        typist.close();
        assert_eq!(typist.ready_at(), Some(GuestTime(QUIET_TICKS)));
        print(&mut typist, b"booting\r\n", 50);
        assert_eq!(typist.ready_at(), Some(GuestTime(50 + QUIET_TICKS)));
        print(&mut typist, b"# ", 100);
        assert_eq!(typist.ready_at(), Some(GuestTime(100 + PROMPT_TICKS)));
        assert_eq!(typist.type_line(GuestTime(100 + PROMPT_TICKS)), b"ls\n");
        print(&mut typist, b"ls\r\na b\r\n# ", 9_000_000);
        assert_eq!(typist.type_line(GuestTime(9_500_000)), b"exit\n");
    }

    #[test]
    fn the_end_of_the_script_is_typed_ever_more_rarely() {
        let mut typist = Typist::new();
        typist.close();
        let mut waits = Vec::new();
        let mut now = GuestTime(0);
        for _ in 0..4 {
            let ready = typist.ready_at().expect("closed");
            waits.push((ready.0 - now.0) / QUIET_TICKS);
            now = ready;
            assert_eq!(typist.type_line(now), [END_OF_INPUT]);
        }
        assert_eq!(waits, [1, 2, 4, 8]);
        print(&mut typist, b"$ ", now.0);
        assert_eq!(typist.ready_at(), Some(GuestTime(now.0 + PROMPT_TICKS)));
    }

    #[test]
    fn an_open_script_waits_for_whole_lines() {
        let mut typist = Typist::new();
        typist.push(b"ec");
        assert_eq!(typist.ready_at(), None);
        typist.push(b"ho\nx");
        assert!(typist.ready_at().is_some());
        assert_eq!(typist.type_line(GuestTime(1)), b"echo\n");
        assert_eq!(typist.ready_at(), None);
        typist.close();
        assert_eq!(typist.type_line(GuestTime(2)), b"x");
        assert_eq!(typist.type_line(GuestTime(3)), [END_OF_INPUT]);
    }

    /// Types until the typist gives up; `answer` says what the guest prints in response.
    fn type_all(typist: &mut Typist, mut answer: impl FnMut(&[u8]) -> Vec<u8>) -> Vec<Vec<u8>> {
        let mut typed = Vec::new();
        while !typist.gives_up() {
            let now = typist.ready_at().expect("closed");
            let bytes = typist.type_line(now);
            print(typist, &answer(&bytes), now.0);
            typed.push(bytes);
            assert!(typed.len() <= 2000, "it types for ever");
        }
        typed
    }

    #[test]
    fn a_last_line_without_a_newline_is_ended_as_at_a_terminal() {
        // A program that reads lines from the terminal: the first Ctrl-D hands it the line, the second one ends.
        let mut typist = Typist::new();
        typist.push(b"a\nb");
        typist.close();
        let mut given = Vec::new();
        let typed = type_all(&mut typist, |typed| {
            given.push(typed.to_vec());
            match typed {
                [END_OF_INPUT] if given.len() == 3 => b"b".to_vec(),
                [END_OF_INPUT] => Vec::new(),
                line => line.to_vec(),
            }
        });
        assert_eq!(
            typed[..4],
            [&b"a\n"[..], b"b", &[END_OF_INPUT], &[END_OF_INPUT]]
        );
        assert!(typed[4..].iter().all(|typed| *typed == [END_OF_INPUT]));

        // A shell edits the line itself and minds no Ctrl-D behind it.
        let mut typist = Typist::new();
        typist.push(b"exit");
        typist.close();
        let typed = type_all(&mut typist, |typed| match typed {
            [END_OF_INPUT] => Vec::new(),
            line => line.to_vec(),
        });
        let expected: [&[u8]; 5] = [
            b"exit",
            &[END_OF_INPUT],
            &[END_OF_INPUT],
            b"\n",
            &[END_OF_INPUT],
        ];
        assert_eq!(typed[..5], expected);
        assert_eq!(typed.iter().filter(|typed| *typed == b"\n").count(), 1);

        // A whole last line gets nothing that is not in the script.
        let mut typist = Typist::new();
        typist.push(b"exit\n");
        typist.close();
        let typed = type_all(&mut typist, |_| Vec::new());
        assert_eq!(
            typed
                .iter()
                .filter(|typed| **typed != [END_OF_INPUT])
                .count(),
            1
        );
    }

    #[test]
    fn a_guest_that_takes_no_end_is_given_up() {
        let mut typist = Typist::new();
        typist.close();
        let typed = type_all(&mut typist, |_| Vec::new());
        assert_eq!(typed.len(), UNANSWERED_ENDS_MAX as usize);
        // One that answers each time is given up later.
        let mut typist = Typist::new();
        typist.close();
        let typed = type_all(&mut typist, |_| b"type exit\r\n$ ".to_vec());
        assert_eq!(typed.len(), ENDS_MAX as usize);
        // One that answers at last is typed at as before.
        let mut typist = Typist::new();
        typist.close();
        for _ in 1..UNANSWERED_ENDS_MAX {
            let now = typist.ready_at().expect("closed");
            typist.type_line(now);
        }
        print(&mut typist, b"$ ", u64::MAX / 2);
        type_all(&mut typist, |_| Vec::new());
        assert_eq!(typist.ends, 2 * UNANSWERED_ENDS_MAX - 1);
    }
}
