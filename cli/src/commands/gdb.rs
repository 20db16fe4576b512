//! `reprise gdb`.

mod live;

use super::replay::tell_truncation;
use crate::args::GdbArgs;
use crate::gdb::launch::{self, Client};
use crate::gdb::save::Saver;
use crate::gdb::serve::{Address, Listener, Over, serve};
use crate::open::{OpenTrace, folders};
use crate::say;
use crate::signals::StopFlag;
use crate::threads::Threads;
use anyhow::{Context, bail};
use reprise_core::types::Icount;
use reprise_debugger::gdb::{GdbServer, ServerOptions, View};
use reprise_debugger::session::DebugSession;
use reprise_images::store::FolderStore;
use reprise_recorder::images::ImageRole;
use reprise_recorder::timeline::TimelineOptions;
use reprise_recorder::trace::images_from_header;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Serves a trace to gdb, and starts one.
pub(crate) fn gdb(args: &GdbArgs) -> anyhow::Result<u8> {
    if args.live {
        return live::gdb_live(args);
    }
    let path = args.trace.as_deref().context("name the trace")?;
    if args.server && !args.arguments.is_empty() {
        bail!("--server starts no gdb that could take arguments");
    }
    let client = if args.server {
        None
    } else {
        Some(Client::find(args.gdb.as_deref())?)
    };
    let trace = OpenTrace::open(path, &args.images.images)?;
    tell_truncation(trace.file.completeness());
    let options = TimelineOptions {
        checkpoint_bytes_max: args.checkpoint_mib << 20,
    };
    let mut session = DebugSession::new(trace.timeline(options)?);
    let view = if args.machine {
        View::Machine
    } else {
        View::Processes
    };
    tell_view(&session, view);
    // Before this, so that a signal while the first position is sought ends the command as well.
    let stop = StopFlag::catch().context("signals cannot be caught")?;
    go_to_start(&mut session, args, view, &stop)?;
    if let Some(signal) = stop.signal() {
        return Ok(128u8.saturating_add(signal));
    }
    let listener = Listener::bind(&address(args, client.is_some()))?;
    let server = GdbServer::new(
        session,
        ServerOptions { view },
        Box::new(Threads::available()),
    );
    let mut saver = Saver::new(&trace.file)?;
    match client {
        Some(client) => {
            let target = listener.target();
            let kernel = (view == View::Machine)
                .then(|| kernel_symbols(&trace, &args.images.images))
                .flatten();
            let is_over = AtomicBool::new(false);
            let is_stopped = || is_over.load(Ordering::Relaxed);
            thread::scope(|scope| {
                // Ends the server when gdb has ended, however that was; this waits for it, and what it listens at goes.
                let _over = Over(&is_over);
                scope.spawn(|| {
                    if let Err(error) = serve(server, &listener, &mut saver, &is_stopped, None) {
                        say::line(format_args!("reprise: the server has ended: {error:#}"));
                    }
                });
                launch::run(&client, &target, kernel.as_deref(), &args.arguments, &stop)
            })
        }
        None => {
            tell_waiting(&listener);
            let is_stopped = || stop.signal().is_some();
            serve(server, &listener, &mut saver, &is_stopped, None)?;
            Ok(stop
                .signal()
                .map_or(0, |signal| 128u8.saturating_add(signal)))
        }
    }
}

/// Where to listen.
fn address(args: &GdbArgs, starts_client: bool) -> Address {
    match (&args.unix, args.port) {
        (Some(path), _) => Address::Unix(path.clone()),
        (None, Some(port)) => Address::Port(port),
        (None, None) if starts_client => Address::Private,
        (None, None) => Address::Port(0),
    }
}

fn tell_waiting(listener: &Listener) {
    say::line(format_args!(
        "reprise: waiting for gdb: target remote {}",
        listener.target()
    ));
}

/// The trace's kernel with its symbols, where that lies beside the image.
fn kernel_symbols(trace: &OpenTrace, image_folders: &[PathBuf]) -> Option<PathBuf> {
    let images = images_from_header(trace.file.header());
    let kernel = images
        .iter()
        .find(|image| image.role == ImageRole::Kernel)?;
    let image = FolderStore::new(folders(&trace.file, image_folders)).locate(kernel)?;
    Some(image.with_file_name("vmlinux")).filter(|path| path.is_file())
}

/// Says why the guest's processes cannot be shown, if so.
fn tell_view(session: &DebugSession, view: View) {
    let lack = match session.kernel() {
        Err(error) => Some(error.to_string()),
        Ok(kernel) => kernel.lacks_types().map(str::to_owned),
    };
    if let (Some(lack), View::Processes) = (lack, view) {
        say::line(format_args!(
            "reprise: processes cannot be shown, only the machine: {lack}"
        ));
    }
}

/// Goes to where the person wants to begin: at the program that was recorded, unless they say otherwise.
fn go_to_start(
    session: &mut DebugSession,
    args: &GdbArgs,
    view: View,
    stop: &StopFlag,
) -> anyhow::Result<()> {
    let end = session.timeline().end();
    let goal = args.at.map(Icount);
    let bar = say::progress("open", goal.unwrap_or(end).0.min(end.0), true);
    let mut control = |at: Icount| {
        bar.set_position(at.0);
        if stop.signal().is_some() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    match (goal, view) {
        (Some(goal), _) => {
            if goal > end {
                say::line(format_args!(
                    "reprise: the recording ends at icount {end}, before {goal}"
                ));
            }
            session.timeline_mut().seek(goal, &mut control)?;
        }
        (None, View::Processes) => session.go_to_program(&mut control)?,
        (None, View::Machine) => {}
    }
    bar.finish_and_clear();
    Ok(())
}
