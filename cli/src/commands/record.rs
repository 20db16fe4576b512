//! `reprise record`.

use super::run::{open_console, session};
use crate::args::{ImageArg, RecordArgs};
use crate::console::Console;
use crate::live::{self, LiveEnd, anyhow_from_record_error};
use crate::say;
use crate::seed::Seed;
use crate::signals;
use crate::start::{Plan, now_unix_nanoseconds};
use crate::trace_file;
use anyhow::{Context, bail};
use reprise_recorder::entry::EndReason;
use reprise_recorder::images::{ImageRef, ImageRole, SharedImage};
use reprise_recorder::keyframes::{KEYFRAME_BYTES_MAX, KEYFRAME_STEPS, KeyframeLog};
use reprise_recorder::record::Finished;
use reprise_recorder::trace::header_from_config;
use reprise_traces::{TraceSummary, TraceWriter, limits};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What a recording came to.
struct Recorded {
    end: LiveEnd,
    finished: Finished,
    summary: TraceSummary,
}

/// Records a live guest, once or with several seeds.
pub(crate) fn record(args: &RecordArgs) -> anyhow::Result<u8> {
    let path = match &args.output {
        Some(path) => {
            if !args.force {
                trace_file::require_free(path)?;
            }
            path.clone()
        }
        None => free_path()?,
    };
    // Nobody types the same for every try, and Ctrl-C must end them all.
    let plan = Plan::new(&args.guest, args.tries.is_none())?;
    match args.tries {
        Some(tries) => record_tries(args, &plan, &path, tries),
        None => record_once(args, &plan, &path),
    }
}

fn record_once(args: &RecordArgs, plan: &Plan, path: &Path) -> anyhow::Result<u8> {
    let seed = match args.guest.seed {
        Some(seed) => seed,
        None => Seed::from_system()?,
    };
    let mut console = open_console(plan, &args.guest, true)?;
    let recorded = record_to(args, plan, path, seed, &mut console)?;
    // Gives the terminal back before something is said on it.
    drop(console);
    if !args.guest.quiet {
        if let Some(remark) = recorded.end.remark() {
            say::line(format_args!("reprise: {remark}"));
        }
        tell_recorded(args, path, &recorded);
    }
    Ok(recorded.end.status())
}

/// Records with one seed after the other. The first failing trace is kept.
fn record_tries(args: &RecordArgs, plan: &Plan, path: &Path, tries: u32) -> anyhow::Result<u8> {
    let first = match args.guest.seed {
        Some(seed) => seed,
        None => Seed::short_from_system()?,
    };
    // One for all tries, so that no signal falls between two.
    let mut console = open_console(plan, &args.guest, false)?;
    let mut kept: Option<(Seed, Recorded)> = None;
    let mut fail_count = 0;
    let mut stopped = None;
    for number in 0..tries {
        let seed = first.after(u64::from(number));
        // What an earlier try kept is not overwritten before this one has failed, too.
        let attempt = with_suffix(path, ".try");
        let recorded = match record_to(args, plan, &attempt, seed, &mut console) {
            Ok(recorded) => recorded,
            Err(error) => {
                // What went wrong matters more than whether there is a file to remove.
                let _ = fs::remove_file(&attempt);
                return Err(error);
            }
        };
        let status = recorded.end.status();
        if let Some(signal) = recorded.end.signal() {
            remove(&attempt)?;
            if !args.guest.quiet {
                say::line(format_args!(
                    "reprise: stopped by {}",
                    signals::name(signal)
                ));
            }
            stopped = Some(status);
            break;
        }
        if !args.guest.quiet {
            say::line(format_args!(
                "reprise: try {} of {tries}, seed {seed}: status {status}",
                number + 1
            ));
        }
        if status == 0 {
            remove(&attempt)?;
            continue;
        }
        fail_count += 1;
        if kept.is_some() {
            remove(&attempt)?;
        } else {
            fs::rename(&attempt, path)
                .with_context(|| format!("{} cannot be written", path.display()))?;
            kept = Some((seed, recorded));
        }
        if args.until_fail {
            break;
        }
    }
    let Some((seed, recorded)) = kept else {
        if stopped.is_none() && !args.guest.quiet {
            say::line(format_args!(
                "reprise: none of {tries} tries failed, so no trace was kept; try more"
            ));
        }
        return Ok(stopped.unwrap_or(0));
    };
    if !args.guest.quiet {
        say::line(format_args!(
            "reprise: {fail_count} failed; the trace of the first, seed {seed}, is kept"
        ));
        tell_recorded(args, path, &recorded);
    }
    Ok(stopped.unwrap_or(recorded.end.status()))
}

/// Records once, to `path`. The trace is closed properly also when something goes wrong on the
/// way, as far as the machine got.
fn record_to(
    args: &RecordArgs,
    plan: &Plan,
    path: &Path,
    seed: Seed,
    console: &mut Console,
) -> anyhow::Result<Recorded> {
    let images: Vec<ImageRef> = plan
        .images()
        .iter()
        .map(|(image, _)| image.clone())
        .collect();
    let config = plan.config(&args.guest, seed);
    // Before the file, so that a guest that cannot start leaves none.
    let machine = plan.machine(&config)?;
    let outside = plan.outside()?;
    let header = header_from_config(
        &config,
        &images,
        concat!("reprise ", env!("CARGO_PKG_VERSION")).to_owned(),
        Some(now_unix_nanoseconds()? / 1_000_000_000),
    );
    let mut writer = trace_file::create(path, &header)?;
    embed_images(&mut writer, plan, args.embed)?;
    let steps = args.keyframes.then_some(KEYFRAME_STEPS);
    let log = KeyframeLog::new(writer, steps, KEYFRAME_BYTES_MAX);
    let mut session = session(plan, &args.guest, seed, machine, log)?;
    let driven = live::drive(&mut session, console, args.guest.max_icount, outside);
    let reason = match &driven {
        Ok(end) => end.reason,
        Err(_) => EndReason::Stopped,
    };
    let closed = session
        .finish(reason)
        .map_err(anyhow_from_record_error)
        .and_then(|(finished, log)| Ok((finished, trace_file::close(path, log.into_writer())?)));
    // What went wrong first is what the person must know.
    let end = driven?;
    let (finished, summary) = closed?;
    Ok(Recorded {
        end,
        finished,
        summary,
    })
}

/// Puts images into the trace: all, or what no trace is without, the listing of the workspace.
pub(crate) fn embed_images<W: Write>(
    writer: &mut TraceWriter<W>,
    plan: &Plan,
    all: bool,
) -> anyhow::Result<()> {
    for (image, bytes) in plan.images() {
        if all || image.role == ImageRole::Workspace {
            embed(writer, image, bytes)?;
        }
    }
    Ok(())
}

fn embed<W: Write>(
    writer: &mut TraceWriter<W>,
    image: &ImageRef,
    bytes: &SharedImage,
) -> anyhow::Result<()> {
    if image.byte_len > limits::MAX_BLOB_BYTES {
        bail!(
            "the {} image `{}` has {} MiB, and --embed takes at most {}: record without it",
            image.role,
            image.name,
            image.byte_len >> 20,
            limits::MAX_BLOB_BYTES >> 20
        );
    }
    let mut content = vec![0; image.byte_len as usize];
    bytes
        .read_at(0, &mut content)
        .map_err(|_| anyhow::anyhow!("the image `{}` cannot be read", image.name))?;
    let hash = writer.add_blob(&content)?;
    if hash.0 != image.hash.0 {
        bail!(
            "the image `{}` changed while it was read: record again",
            image.name
        );
    }
    Ok(())
}

fn tell_recorded(args: &RecordArgs, path: &Path, recorded: &Recorded) {
    let folders = if args.embed {
        String::new()
    } else {
        image_folders(args)
    };

    let finished = &recorded.finished;
    say::line(format_args!(
        "reprise: recorded {} steps in {} bytes; replay with `reprise replay {}{folders}`",
        finished.end.icount,
        recorded.summary.bytes,
        path.display()
    ));
    say::line(format_args!(
        "icount={} hash={}",
        finished.end.icount, finished.hash
    ));
}

/// The arguments with which a replay finds images that are not in the cache.
fn image_folders(args: &RecordArgs) -> String {
    let mut folders = Vec::new();
    let guest = args.guest.image.as_ref().and_then(ImageArg::guest);
    folders.extend(guest.map(Path::to_owned));
    for disk in &args.guest.disk {
        match disk.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => folders.push(parent.to_owned()),
            _ => folders.push(PathBuf::from(".")),
        }
    }
    folders.dedup();
    folders
        .iter()
        .map(|folder| format!(" --images {}", folder.display()))
        .collect()
}

/// A path at which nothing is yet.
pub(crate) fn free_path() -> anyhow::Result<PathBuf> {
    (1..10_000)
        .map(|number| match number {
            1 => PathBuf::from("recording.rpt"),
            number => PathBuf::from(format!("recording-{number}.rpt")),
        })
        .find(|path| !path.exists())
        .context("there are too many recordings here: name the trace with -o")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

fn remove(path: &Path) -> anyhow::Result<()> {
    fs::remove_file(path).with_context(|| format!("{} cannot be removed", path.display()))
}
