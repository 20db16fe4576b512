//! `reprise gdb --live`.

use super::{address, tell_view, tell_waiting};
use crate::args::{ContainerArgs, GdbArgs, GuestArgs};
use crate::commands::record::{embed_images, free_path};
use crate::commands::run::{open_console, session};
use crate::gdb::live::{LiveRecording, SharedLog};
use crate::gdb::save::Saver;
use crate::gdb::serve::{Listener, serve};
use crate::live::Driver;
use crate::open::Blueprint;
use crate::seed::Seed;
use crate::signals::StopFlag;
use crate::start::{Plan, now_unix_nanoseconds};
use crate::threads::Threads;
use crate::{say, trace_file};
use anyhow::Context;
use reprise_debugger::gdb::{GdbServer, ServerOptions, View};
use reprise_debugger::session::DebugSession;
use reprise_recorder::images::ImageRef;
use reprise_recorder::timeline::{ReplayTimeline, TimelineOptions};
use reprise_recorder::trace::header_from_config;
use std::sync::Arc;

/// Records a guest and serves what has been recorded so far.
pub(super) fn gdb_live(args: &GdbArgs) -> anyhow::Result<u8> {
    let guest = GuestArgs {
        image: args.guest.image.clone(),
        container: ContainerArgs::default(),
        ram: args.guest.ram,
        seed: args.guest.seed,
        clock: None,
        add: args.guest.add.clone(),
        workspace: args.guest.workspace.clone(),
        net: args.guest.net,
        publish: args.guest.publish.clone(),
        disk: Vec::new(),
        input: args.guest.input.clone(),
        max_icount: None,
        paced: false,
        fast: false,
        quiet: false,
        command: args.arguments.clone(),
    };
    let plan = Plan::new(&guest, true)?;
    let path = match &args.guest.output {
        Some(path) => {
            trace_file::require_free(path)?;
            path.clone()
        }
        None => free_path()?,
    };
    let seed = match guest.seed {
        Some(seed) => seed,
        None => Seed::from_system()?,
    };
    let config = plan.config(&guest, seed);
    let images: Vec<ImageRef> = plan
        .images()
        .iter()
        .map(|(image, _)| image.clone())
        .collect();
    let timeline = ReplayTimeline::new(
        Arc::new(Blueprint::new(config.clone(), plan.image_set()?)),
        [],
        Box::new(()),
        TimelineOptions {
            checkpoint_bytes_max: args.checkpoint_mib << 20,
        },
    )?;
    let header = header_from_config(
        &config,
        &images,
        concat!("reprise ", env!("CARGO_PKG_VERSION")).to_owned(),
        Some(now_unix_nanoseconds()? / 1_000_000_000),
    );
    let view = if args.machine {
        View::Machine
    } else {
        View::Processes
    };
    let debugger = DebugSession::new(timeline);
    tell_view(&debugger, view);
    let machine = plan.machine(&config)?;
    let listener = Listener::bind(&address(args, false))?;
    let outside = plan.outside()?;
    let mut writer = trace_file::create(&path, &header)?;
    embed_images(&mut writer, &plan, false)?;
    let log = SharedLog::new(writer);
    let entries = log.entries();
    let recorder = session(&plan, &guest, seed, machine, log)?;
    // Beside the console, which looks only when the guest goes on: while a client looks around, it does not.
    let stop = StopFlag::catch().context("signals cannot be caught")?;
    tell_waiting(&listener);
    let console = open_console(&plan, &guest, true)?;
    let server = GdbServer::new(
        debugger,
        ServerOptions { view },
        Box::new(Threads::available()),
    );
    let mut saver = Saver::of_live(header, path.clone(), plan.workspace());
    let driver = Driver::new(None, outside);
    let mut recording = LiveRecording::new(recorder, console, driver, entries, path);
    let is_stopped = || stop.signal().is_some();
    let served = serve(
        server,
        &listener,
        &mut saver,
        &is_stopped,
        Some(&mut recording),
    );
    // Whatever happened to clients, what was recorded is closed.
    let end = recording.close(stop.signal())?;
    served?;
    if let Some(remark) = end.remark() {
        say::line(format_args!("reprise: {remark}"));
    }
    Ok(end.status())
}
