//! `cargo xtask soak`: what takes too long for CI.

use crate::{Failure, Result, ci, guest};

const USAGE: &str = "\
Usage: cargo xtask soak

The tests with more rounds (200 replays under load, 50 times the random programs), the kernel built twice and compared,
and half an hour of fuzzing for each target. Takes some hours.
";

const FUZZ_SECONDS: u32 = 1800;

/// `cargo xtask soak`.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    if arguments
        .iter()
        .any(|argument| argument == "--help" || argument == "-h")
    {
        print!("{USAGE}");
        return Ok(());
    }
    if let Some(argument) = arguments.first() {
        return Err(Failure::usage(format!(
            "`soak` knows no `{argument}`\n\n{USAGE}"
        )));
    }
    ci::test_with(None, &[("REPRISE_SOAK", "50")])?;
    guest::command(&["--check-reproducible".to_owned(), "--kernel".to_owned()])?;
    ci::fuzz(FUZZ_SECONDS)
}
