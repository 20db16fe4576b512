//! `reprise replay`.

use crate::args::ReplayArgs;
use crate::console::write_console;
use crate::open::OpenTrace;
use crate::say;
use reprise_core::types::Icount;
use reprise_recorder::entry::EndReason;
use reprise_recorder::replay::{ReplayError, ReplaySession};
use reprise_recorder::verify::Recording;
use reprise_traces::{Completeness, TruncationCause};
use std::io::{self, IsTerminal};

/// Steps between two looks at the output and the progress bar.
const STEPS_A_TURN: u64 = 1 << 22;

/// Exit status when the execution is not the recorded one.
pub(crate) const STATUS_DIVERGED: u8 = 1;

/// Exit status when the trace breaks off and everything that is left of it agreed.
pub(crate) const STATUS_INCOMPLETE: u8 = 3;

/// Replays a trace.
pub(crate) fn replay(args: &ReplayArgs) -> anyhow::Result<u8> {
    let trace = OpenTrace::open(&args.trace, &args.images.images)?;
    tell_truncation(trace.file.completeness());
    let to = args.to.map_or(Icount(u64::MAX), Icount);
    let last = trace.file.last_icount();
    let mut session = ReplaySession::new(trace.machine()?, trace.entries()?);
    let is_bar_shown = args.quiet || !io::stdout().is_terminal();
    let bar = say::progress("replay", last.min(to.0), is_bar_shown);
    loop {
        let next = session.machine().icount().after(STEPS_A_TURN).min(to);
        let status = match session.advance(next) {
            Ok(status) => status,
            Err(ReplayError::Entries(error)) => return Err(error.into()),
            Err(error) => {
                bar.finish_and_clear();
                if !args.quiet {
                    write_console(&session.take_outputs())?;
                }
                say::line(format_args!("reprise: {error}"));
                tell_position(&mut session);
                return Ok(STATUS_DIVERGED);
            }
        };
        if !args.quiet {
            write_console(&status.outputs)?;
        }
        bar.set_position(status.icount.0);
        if status.finished || (status.at_limit && status.icount >= to) {
            break;
        }
    }
    bar.finish_and_clear();
    if let Some(limit) = args.to
        && session.machine().icount().0 < limit
    {
        say::line(format_args!(
            "reprise: the recording ends at icount {}, before {limit}",
            session.machine().icount()
        ));
    }
    if let Some(end) = session.end()
        && end.reason == EndReason::Stopped
        && !args.quiet
    {
        say::line("reprise: here the recording was stopped");
    }
    tell_position(&mut session);
    // Who asked for a position and got there was told the truth; otherwise a part must not pass for the whole.
    if args.to.is_some_and(|to| session.machine().icount().0 >= to) {
        return Ok(0);
    }
    Ok(status_from(trace.file.completeness()))
}

/// Exit status when everything that there is agreed.
pub(crate) fn status_from(completeness: Completeness) -> u8 {
    match completeness {
        Completeness::Complete => 0,
        Completeness::Truncated { .. } => STATUS_INCOMPLETE,
    }
}

/// The line by which two replays are compared.
fn tell_position<I, E>(session: &mut ReplaySession<I>)
where
    I: Iterator<Item = Result<reprise_recorder::entry::Entry, E>>,
{
    let icount = session.machine().icount();
    let hash = session.state_hash();
    say::line(format_args!("icount={icount} hash={hash}"));
}

/// Says that a trace is not whole.
pub(crate) fn tell_truncation(completeness: Completeness) {
    if let Completeness::Truncated {
        at_byte,
        last_icount,
        cause,
    } = completeness
    {
        let what = match cause {
            TruncationCause::Cut => {
                format!("breaks off at byte {at_byte}: its recorder was killed or bytes were lost")
            }
            TruncationCause::Damaged => {
                format!("is damaged at byte {at_byte}: get it anew from where it came from")
            }
        };
        say::line(format_args!(
            "reprise: the trace {what}; it replays to icount {last_icount}"
        ));
    }
}
