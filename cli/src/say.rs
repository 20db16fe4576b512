//! What Reprise itself tells the person, on standard error.

use indicatif::{ProgressBar, ProgressStyle};
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// Writes one line to standard error. Without anybody who reads it, nothing is lost but the line.
pub(crate) fn line(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
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
