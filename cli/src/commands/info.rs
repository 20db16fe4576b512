//! `reprise info`.

use crate::args::InfoArgs;
use crate::commands::events::line_from_start;
use crate::date::Date;
use crate::open::folders;
use crate::say::printable;
use crate::seed::Seed;
use crate::trace_file::TraceFile;
use reprise_core::machine::MACHINE_VERSION;
use reprise_core::types::{GuestTime, NANOSECONDS_PER_TICK};
use reprise_images::store::FolderStore;
use reprise_recorder::images::{ImageRef, missing};
use reprise_recorder::trace::{
    end_reason_from_wire, guest_time_from_annotation, images_from_header,
};
use reprise_traces::{
    BlobHash, BootKind, ChunkKind, Completeness, EndReason, Event, Input, Record, Start,
    TruncationCause,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;

/// What a trace's records come to.
#[derive(Default)]
struct Summary {
    event_count: u64,
    hash_count: u64,
    annotation_count: u64,
    mark_count: u64,
    keyframe_count: u64,
    keyframe_bytes: u64,
    guest_time: Option<GuestTime>,
    start: Option<Box<Start>>,
    end: Option<(EndReason, Option<i32>)>,
}

/// Where an image is.
enum Whereabouts {
    Embedded,
    At(PathBuf),
    Missing(String),
}

/// Tells what a trace holds.
pub(crate) fn info(args: &InfoArgs) -> anyhow::Result<u8> {
    let file = TraceFile::open(&args.trace)?;
    let summary = summarize(&file)?;
    let images = locate(&file, &args.images.images)?;
    let mut stdout = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut stdout, &json_from(&file, &summary, &images))?;
        writeln!(stdout)?;
    } else {
        print(&mut stdout, &file, &summary, &images)?;
    }
    Ok(0)
}

fn summarize(file: &TraceFile) -> anyhow::Result<Summary> {
    let mut summary = Summary::default();
    let mut reader = file.reader()?;
    let blob_bytes = reader.index().stored_bytes_by_blob();
    let mut keyframe_blobs = BTreeSet::new();
    while let Some(record) = reader.next_record()? {
        match record {
            Record::Event(Event { input, .. }) => {
                summary.event_count += 1;
                if let (Input::Start(start), None) = (input, &summary.start) {
                    summary.start = Some(start);
                }
            }
            Record::StateHash { .. } => summary.hash_count += 1,
            Record::Annotation { key, value, .. } => {
                summary.annotation_count += 1;
                let told = guest_time_from_annotation(&key, &value);
                summary.guest_time = told.or(summary.guest_time);
            }
            Record::Other { .. } => summary.annotation_count += 1,
            Record::Mark { .. } => summary.mark_count += 1,
            Record::Keyframe {
                state, page_map, ..
            } => {
                summary.keyframe_count += 1;
                keyframe_blobs.extend([state, page_map]);
            }
            Record::End {
                reason,
                exit_status,
                ..
            } => summary.end = Some((reason, exit_status)),
        }
    }
    let chunks = reader.index().chunks.iter();
    let page_bytes = chunks
        .filter(|chunk| chunk.kind == ChunkKind::Pages)
        .map(|chunk| u64::from(chunk.stored_bytes));
    let state_bytes = keyframe_blobs
        .iter()
        .filter_map(|hash| blob_bytes.get(hash).copied());
    summary.keyframe_bytes = page_bytes.chain(state_bytes).sum();
    Ok(summary)
}

fn locate(
    file: &TraceFile,
    image_folders: &[PathBuf],
) -> anyhow::Result<Vec<(ImageRef, Whereabouts)>> {
    let reader = file.reader()?;
    let store = FolderStore::new(folders(file, image_folders));
    Ok(images_from_header(file.header())
        .into_iter()
        .map(|image| {
            let is_embedded = reader.index().blobs.contains_key(&BlobHash(image.hash.0));
            let whereabouts = if is_embedded {
                Whereabouts::Embedded
            } else if let Some(path) = store.locate(&image) {
                Whereabouts::At(path)
            } else {
                Whereabouts::Missing(missing(&image).to_string())
            };
            (image, whereabouts)
        })
        .collect())
}

fn boot_name(boot: BootKind) -> &'static str {
    match boot {
        BootKind::Linux => "linux",
        BootKind::BareElf => "bare",
    }
}

fn end_text(reason: EndReason) -> String {
    end_reason_from_wire(reason).map_or_else(
        || "ended for a reason that this build does not know".to_owned(),
        |reason| reason.to_string(),
    )
}

/// Guest time as a person counts it.
pub(super) fn seconds_from_ticks(time: GuestTime) -> f64 {
    time.0 as f64 * NANOSECONDS_PER_TICK as f64 / 1e9
}

fn json_from(file: &TraceFile, summary: &Summary, images: &[(ImageRef, Whereabouts)]) -> Value {
    let header = file.header();
    let config = &header.config;
    let images: Vec<_> = images
        .iter()
        .map(|(image, whereabouts)| {
            let (state, path) = match whereabouts {
                Whereabouts::Embedded => ("embedded", None),
                Whereabouts::At(path) => ("found", Some(path.to_string_lossy())),
                Whereabouts::Missing(_) => ("missing", None),
            };
            json!({
                "role": image.role.to_string(),
                "name": image.name,
                "hash": image.hash.to_string(),
                "bytes": image.byte_len,
                "places": image.places,
                "state": state,
                "path": path,
            })
        })
        .collect();
    json!({
        "bytes": file.byte_len(),
        "creator": header.creator,
        "recorded_at_unix_seconds": header.recorded_at_unix_seconds,
        "recorded_at": header.recorded_at_unix_seconds.map(|seconds| Date(seconds).to_string()),
        "command": summary.start.as_ref().map(|start| {
            let words = start.command.iter().map(|word| String::from_utf8_lossy(word));
            words.collect::<Vec<_>>()
        }),
        "machine_version": header.machine_version,
        "replays_here": header.machine_version == MACHINE_VERSION,
        "config": {
            "boot": boot_name(config.boot),
            "ram_bytes": config.ram_bytes,
            "hart_count": config.hart_count,
            "time_shift": config.time_shift,
            "seed": Seed(config.seed).to_string(),
            "jitter_ticks_max": config.jitter_ticks_max,
            "command_line": String::from_utf8_lossy(&config.command_line),
            "terminal": { "columns": config.terminal.columns, "rows": config.terminal.rows },
        },
        "images": images,
        "clock_unix_nanoseconds": summary.start.as_ref().map(|start| start.clock_unix_nanoseconds),
        "counts": {
            "events": summary.event_count,
            "state_hashes": summary.hash_count,
            "annotations": summary.annotation_count,
            "marks": summary.mark_count,
            "keyframes": summary.keyframe_count,
        },
        "keyframe_bytes": summary.keyframe_bytes,
        "last_icount": file.last_icount(),
        "guest_seconds": summary.guest_time.map(seconds_from_ticks),
        "complete": file.completeness() == Completeness::Complete,
        "end": summary.end.map(|(reason, exit_status)| json!({
            "reason": end_text(reason),
            "exit_status": exit_status,
        })),
    })
}

fn print(
    out: &mut impl Write,
    file: &TraceFile,
    summary: &Summary,
    images: &[(ImageRef, Whereabouts)],
) -> io::Result<()> {
    let header = file.header();
    let config = &header.config;
    let mut row = |name: &str, value: String| writeln!(out, "{name:<14} {value}");
    row("size", format!("{} bytes", file.byte_len()))?;
    row("recorded by", printable(&header.creator))?;
    if let Some(seconds) = header.recorded_at_unix_seconds {
        row(
            "recorded at",
            format!("{} ({seconds} Unix seconds)", Date(seconds)),
        )?;
    }
    if let Some(start) = &summary.start {
        row("runs", line_from_start(start))?;
        let seconds = start.clock_unix_nanoseconds / 1_000_000_000;
        row(
            "clock",
            format!("{} ({seconds} Unix seconds)", Date(seconds)),
        )?;
    }
    let fits = if header.machine_version == MACHINE_VERSION {
        String::new()
    } else {
        format!(" (this build has {MACHINE_VERSION} and cannot replay it)")
    };
    row(
        "machine",
        format!("version {}{fits}", header.machine_version),
    )?;
    row(
        "boot",
        format!(
            "{}, {} MiB RAM, {} hart, terminal {}x{}",
            boot_name(config.boot),
            config.ram_bytes >> 20,
            config.hart_count,
            config.terminal.columns,
            config.terminal.rows
        ),
    )?;
    row(
        "command line",
        printable(&String::from_utf8_lossy(&config.command_line)),
    )?;
    row(
        "seed",
        format!(
            "{}, timer jitter up to {} ticks",
            Seed(config.seed),
            config.jitter_ticks_max
        ),
    )?;
    for (image, whereabouts) in images {
        let place = match whereabouts {
            Whereabouts::Embedded => "in the trace".to_owned(),
            Whereabouts::At(path) => path.display().to_string(),
            Whereabouts::Missing(how) => printable(how),
        };
        row(
            &image.role.to_string(),
            format!(
                "{} {} ({} bytes): {place}",
                printable(&image.name),
                image.hash,
                image.byte_len
            ),
        )?;
    }
    row(
        "holds",
        [
            counted(summary.event_count, "event", "events"),
            counted(summary.hash_count, "state hash", "state hashes"),
            counted(summary.annotation_count, "annotation", "annotations"),
            counted(summary.mark_count, "mark", "marks"),
        ]
        .join(", "),
    )?;
    row(
        "keyframes",
        match summary.keyframe_count {
            0 => "none".to_owned(),
            1 => format!("1, which takes up {} bytes", summary.keyframe_bytes),
            count => format!("{count}, which take up {} bytes", summary.keyframe_bytes),
        },
    )?;
    let seconds = summary.guest_time.map_or_else(String::new, |time| {
        format!(", {:.3} seconds of guest time", seconds_from_ticks(time))
    });
    row("length", format!("{} steps{seconds}", file.last_icount()))?;
    let end = match (file.completeness(), summary.end) {
        (Completeness::Truncated { at_byte, cause, .. }, _) => {
            let what = match cause {
                TruncationCause::Cut => "breaks off",
                TruncationCause::Damaged => "is damaged",
            };
            format!("none: the trace {what} at byte {at_byte}; it replays to its last whole chunk")
        }
        (Completeness::Complete, Some((reason, exit_status))) => {
            let status = exit_status.map_or_else(
                || "no exit status".to_owned(),
                |status| format!("exit status {status}"),
            );
            format!("the guest {}, {status}", end_text(reason))
        }
        (Completeness::Complete, None) => "none".to_owned(),
    };
    row("end", end)
}

/// So many things in words.
fn counted(count: u64, one: &str, many: &str) -> String {
    let what = if count == 1 { one } else { many };
    format!("{count} {what}")
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn one_is_told_from_many() {
        for (count, words) in [(0, "0 events"), (1, "1 event"), (2, "2 events")] {
            assert_eq!(counted(count, "event", "events"), words);
        }
    }
}
