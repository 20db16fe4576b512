//! What Reprise itself tells the person, on standard error.

use indicatif::{ProgressBar, ProgressStyle};
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// Writes one line to standard error. Without anybody who reads it, nothing is lost but the line.
pub(crate) fn line(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Text from a trace, which may be a stranger's, as a terminal may see it.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|letter| {
            if letter.is_control() {
                '\u{fffd}'
            } else {
                letter
            }
        })
        .collect()
}

/// Asks the person, who answers with `y` for yes. True without asking where nobody sits at the terminal.
pub(crate) fn confirm(question: &str) -> io::Result<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(true);
    }
    write!(io::stderr(), "{question} [y/N] ")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// A progress bar over `total` steps with a name in front; invisible where standard error is no
/// terminal or shows the guest's console.
pub(crate) fn progress(name: &'static str, total: u64, is_shown: bool) -> ProgressBar {
    if !is_shown || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total);
    let template = "{prefix} [{bar:40}] {percent:>3} % icount {pos} {elapsed} (about {eta} left)";
    shaped(bar, template, name)
}

/// A progress bar over bytes with a name in front; invisible where standard error is no terminal.
pub(crate) fn byte_progress(name: &'static str, total_bytes: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{prefix} [{bar:40}] {percent:>3} % {bytes} of {total_bytes} {elapsed}";
    shaped(ProgressBar::new(total_bytes), template, name)
}

/// A count that grows towards nobody knows what, with a name in front; invisible where standard error is no terminal.
pub(crate) fn count_progress(name: &'static str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    shaped(ProgressBar::no_length(), "{prefix} {pos} {elapsed}", name)
}

fn shaped(bar: ProgressBar, template: &str, name: &'static str) -> ProgressBar {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(name);
    // Shown from the first moment on, also where the first step of it takes long.
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
