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

/// A line longer than this is typed in pieces; no terminal line discipline takes longer ones.
const LINE_BYTES_MAX: usize = 4096;

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
    /// [`Typist::ready_at`] has come and the guest waits.
    pub fn type_line(&mut self, now: GuestTime) -> Vec<u8> {
        self.quiet_since = now;
        let was_at_prompt = std::mem::take(&mut self.is_at_prompt);
        if let Some(length) = self.line_length() {
            return self.script.drain(..length).collect();
        }
        if !self.is_closed {
            return Vec::new();
        }
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
}
