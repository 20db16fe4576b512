//! How far a long step is: a bar on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const BAR_CELLS: usize = 30;
/// A terminal is redrawn no more often than this.
const REDRAW_INTERVAL: Duration = Duration::from_millis(100);
/// A log gets one line per interval, so that a person who reads it sees that work goes on.
const LINE_INTERVAL: Duration = Duration::from_secs(15);

/// The progress of one step, printed on stderr.
pub(crate) struct Progress {
    label: String,
    done: u64,
    /// An estimate; the bar stops short of its end until the step is really over. 0 where there is none.
    expected: u64,
    started: Instant,
    printed: Instant,
    terminal: bool,
}

impl Progress {
    /// Starts a step that is expected to count to `expected`.
    pub(crate) fn start(label: &str, expected: u64) -> Self {
        let now = Instant::now();
        let terminal = std::io::stderr().is_terminal();
        if !terminal {
            eprintln!("{label} ...");
        }
        Self {
            label: label.to_owned(),
            done: 0,
            expected,
            started: now,
            printed: now,
            terminal,
        }
    }

    /// Counts `steps` more and prints when it is time to. Called with 0 it only keeps the clock going.
    pub(crate) fn advance(&mut self, steps: u64) {
        self.done += steps;
        let interval = if self.terminal {
            REDRAW_INTERVAL
        } else {
            LINE_INTERVAL
        };
        if self.printed.elapsed() < interval {
            return;
        }
        self.printed = Instant::now();
        let line = self.line();
        if self.terminal {
            eprint!("\r{line}\x1b[K");
            // A bar that can't be drawn is no reason to stop.
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("{line}");
        }
    }

    /// Ends the step with one line that stays.
    pub(crate) fn finish(self) {
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        eprintln!(
            "{clear}{}: done in {}",
            self.label,
            minutes(self.started.elapsed())
        );
    }

    fn line(&self) -> String {
        let elapsed = minutes(self.started.elapsed());
        if self.expected == 0 {
            return format!("{}  {elapsed}", self.label);
        }
        let percent = (self.done * 100 / self.expected).min(99) as usize;
        let full = percent * BAR_CELLS / 100;
        let bar = format!("{}{}", "#".repeat(full), ".".repeat(BAR_CELLS - full));
        format!("[{bar}] {percent:2} %  {elapsed}  {}", self.label)
    }
}

/// A duration as minutes and seconds.
fn minutes(duration: Duration) -> String {
    let seconds = duration.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}
