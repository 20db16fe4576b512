//! `reprise scrub`.

use crate::args::ScrubArgs;
use crate::contents::Contents;
use crate::say;
use crate::trace_file::TraceFile;
use std::io::{self, Write};

/// What every trace holds, whatever went into it.
pub(crate) const ALWAYS: &str = "whoever has the trace can also see everything that was printed, and all memory of the machine at every moment";

/// Tells what went into a recording, for who thinks of giving it away.
pub(crate) fn scrub(args: &ScrubArgs) -> anyhow::Result<u8> {
    let file = TraceFile::open(&args.trace)?;
    let contents = Contents::of(&file)?;
    let mut stdout = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut stdout, &contents.json())?;
        writeln!(stdout)?;
        return Ok(0);
    }
    for (name, value) in contents.rows() {
        writeln!(stdout, "{name:<14} {value}")?;
    }
    stdout.flush()?;
    say::line(format_args!("reprise: {ALWAYS}"));
    Ok(0)
}
