//! `reprise`: the one binary. Files, terminal, signals and progress; what it does with a machine
//! is in the recorder.

mod args;
mod bridge;
mod commands;
mod console;
mod container;
mod contents;
mod date;
mod escape;
mod gdb;
mod live;
mod network;
mod open;
mod say;
mod seed;
mod signals;
mod start;
mod terminal;
mod threads;
mod trace_file;
mod workspace;

use args::{Cli, Command};
use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::env;
use std::io;
use std::process::ExitCode;

/// Exit status for bad usage or bad input.
const STATUS_BAD_INPUT: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| with_hint(error).exit());
    let result = match cli.command {
        Command::Run(args) => commands::run::run(&args),
        Command::Record(args) => commands::record::record(&args),
        Command::Replay(args) => commands::replay::replay(&args),
        Command::Info(args) => commands::info::info(&args),
        Command::Events(args) => commands::events::events(&args),
        Command::Verify(args) => commands::verify::verify(&args),
        Command::Index(args) => commands::index::index(&args),
        Command::TravelBench(args) => commands::travel_bench::travel_bench(&args),
        Command::Gdb(args) => commands::gdb::gdb(&args),
        Command::Convert(args) => commands::convert::convert(&args),
        Command::Serve(args) => commands::serve::serve(&args),
        Command::Bridge(args) => commands::bridge::bridge(&args),
        Command::Scrub(args) => commands::scrub::scrub(&args),
        Command::Share(args) => commands::share::share(&args),
        Command::Files(args) => commands::files::files(&args),
        Command::Save(args) => commands::save::save(&args),
        Command::Bare(args) => commands::bare::bare(&args),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(error) if is_broken_pipe(&error) => ExitCode::from(console::STATUS_OUTPUT_CLOSED),
        Err(error) => {
            say::line(format_args!("reprise: {}", sentence(&error)));
            ExitCode::from(STATUS_BAD_INPUT)
        }
    }
}

/// A guest's command without the `--` before it is the first mistake that people make.
fn with_hint(mut error: clap::Error) -> clap::Error {
    let command = env::args_os().nth(1).unwrap_or_default();
    let command = command.to_string_lossy();
    let unknown = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(word)) => word.clone(),
        _ => return error,
    };
    if error.kind() == ErrorKind::UnknownArgument
        && matches!(&*command, "run" | "record")
        && !unknown.starts_with('-')
    {
        let hint =
            format!("the guest's command comes after `--`: reprise {command} ... -- {unknown} ...");
        error.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec![hint.into()]),
        );
    }
    error
}

/// `reprise replay FILE | head` has seen enough.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// An error and its causes, each told once: some tell their cause themselves.
fn sentence(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_cause_is_told_once() {
        let cause = || io::Error::other("no such thing");
        let trace = reprise_traces::TraceError::Io {
            at_byte: 7,
            source: cause(),
        };
        let told = sentence(&anyhow::Error::from(trace).context("file"));
        assert_eq!(told.matches("no such thing").count(), 1, "{told}");
        assert!(told.starts_with("file: the trace"), "{told}");
        let told = sentence(&Err::<(), _>(cause()).context("file").unwrap_err());
        assert_eq!(told, "file: no such thing");
    }
}
