//! `reprise run`.

use crate::args::RunArgs;
use crate::console::Console;
use crate::escape;
use crate::live::{self, LiveEnd};
use crate::say;
use crate::seed::Seed;
use crate::start::Plan;
use reprise_recorder::entry::{EntryLog, NullLog};
use reprise_recorder::record::{RecordOptions, RecordSession};

/// Runs a live guest without recording.
pub(crate) fn run(args: &RunArgs) -> anyhow::Result<u8> {
    let plan = Plan::new(&args.guest)?;
    let seed = match args.guest.seed {
        Some(seed) => seed,
        None => Seed::from_system()?,
    };
    let session = session(&plan, &args.guest, seed, NullLog)?;
    let (end, _session) = drive(&plan, &args.guest, session, true)?;
    if let Some(remark) = end.remark()
        && !args.guest.quiet
    {
        say::line(format_args!("reprise: {remark}"));
    }
    Ok(end.status())
}

/// A session with a machine that is started as planned.
pub(crate) fn session<L: EntryLog>(
    plan: &Plan,
    args: &crate::args::GuestArgs,
    seed: Seed,
    log: L,
) -> anyhow::Result<RecordSession<L>> {
    let machine = plan.machine(&plan.config(args, seed))?;
    let options = RecordOptions {
        pacing: plan.pacing(args),
        ..RecordOptions::default()
    };
    let mut session = RecordSession::new(machine, log, options);
    session.start(plan.start(args, seed)?);
    if let Some(script) = plan.script() {
        session.typist().push(script);
        session.typist().close();
    }
    Ok(session)
}

/// Drives a session from this process's console to its end.
pub(crate) fn drive<L>(
    plan: &Plan,
    args: &crate::args::GuestArgs,
    mut session: RecordSession<L>,
    shows_output: bool,
) -> anyhow::Result<(LiveEnd, RecordSession<L>)>
where
    L: EntryLog,
    L::Error: std::fmt::Display,
{
    if plan.is_interactive() && !args.quiet {
        say::line(format_args!("reprise: {}", escape::HELP));
    }
    let mut console = Console::open(plan.script().is_some(), shows_output)?;
    let end = live::drive(&mut session, &mut console, args.max_icount)?;
    Ok((end, session))
}
