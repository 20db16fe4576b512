//! `reprise run`.

use crate::args::{GuestArgs, RunArgs};
use crate::console::Console;
use crate::escape;
use crate::live;
use crate::say;
use crate::seed::Seed;
use crate::start::Plan;
use reprise_core::machine::Machine;
use reprise_recorder::entry::{EntryLog, NullLog};
use reprise_recorder::record::{RecordOptions, RecordSession};

/// Runs a live guest without recording.
pub(crate) fn run(args: &RunArgs) -> anyhow::Result<u8> {
    let plan = Plan::new(&args.guest, true)?;
    let seed = match args.guest.seed {
        Some(seed) => seed,
        None => Seed::from_system()?,
    };
    let machine = plan.machine(&plan.config(&args.guest, seed))?;
    let mut session = session(&plan, &args.guest, seed, machine, NullLog)?;
    let mut console = open_console(&plan, &args.guest, true)?;
    let end = live::drive(
        &mut session,
        &mut console,
        args.guest.max_icount,
        plan.outside()?,
    )?;
    // Gives the terminal back before something is said on it.
    drop(console);
    if let Some(remark) = end.remark()
        && !args.guest.quiet
    {
        say::line(format_args!("reprise: {remark}"));
    }
    Ok(end.status())
}

/// A session in which the machine is started as planned.
pub(crate) fn session<L: EntryLog>(
    plan: &Plan,
    args: &GuestArgs,
    seed: Seed,
    machine: Machine,
    log: L,
) -> anyhow::Result<RecordSession<L>> {
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

/// Takes this process's terminal, or what else its input is, and its signals.
pub(crate) fn open_console(
    plan: &Plan,
    args: &GuestArgs,
    shows_output: bool,
) -> anyhow::Result<Console> {
    if plan.is_interactive() && !args.quiet {
        say::line(format_args!("reprise: {}", escape::HELP));
    }
    Console::open(plan.script().is_some(), shows_output)
}
