//! `reprise`: the one binary. Files, terminal, signals and progress; what it does with a machine
//! is in the recorder.

mod args;
mod commands;
mod console;
mod escape;
mod guest;
mod images;
mod live;
mod open;
mod say;
mod seed;
mod signals;
mod start;
mod terminal;
mod threads;
mod trace_file;

use args::{Cli, Command};
use clap::Parser;
use std::process::ExitCode;

/// Exit status for bad usage or bad input.
const STATUS_BAD_INPUT: u8 = 2;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => commands::run::run(&args),
        Command::Record(args) => commands::record::record(&args),
        Command::Replay(args) => commands::replay::replay(&args),
        Command::Info(args) => commands::info::info(&args),
        Command::Events(args) => commands::events::events(&args),
        Command::Verify(args) => commands::verify::verify(&args),
        Command::Index(args) => commands::index::index(&args),
        Command::TravelBench(args) => commands::travel_bench::travel_bench(&args),
        Command::Bare(args) => commands::bare::bare(&args),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            say::line(format_args!("reprise: {error:#}"));
            ExitCode::from(STATUS_BAD_INPUT)
        }
    }
}
