//! `reprise events`.

use super::info::seconds_from_ticks;
use crate::args::InfoArgs;
use crate::trace_file::TraceFile;
use reprise_core::machine::StateHash;
use reprise_core::workspace::Listing;
use reprise_recorder::images::ImageRole;
use reprise_recorder::trace::{
    end_reason_from_wire, guest_time_from_annotation, images_from_header,
};
use reprise_traces::{BlobHash, Event, Input, Record, Start};
use serde_json::{Value, json};
use std::io::{self, BufWriter, Write};
use std::iter;

/// Bytes of an input that a line shows; `--json` shows all.
const SHOWN_BYTES_MAX: usize = 60;

/// Lists a trace's records, one a line; with `--json` each line is an object.
pub(crate) fn events(args: &InfoArgs) -> anyhow::Result<u8> {
    let file = TraceFile::open(&args.trace)?;
    let mut reader = file.reader()?;
    let files = Files::of(&file)?;
    let mut out = BufWriter::new(io::stdout().lock());
    while let Some(record) = reader.next_record()? {
        let written = if args.json {
            writeln!(out, "{}", json_from(&record, &files))
        } else {
            let line = line_from(&record, &files);
            writeln!(out, "{:>14}  {line}", record.icount())
        };
        match written {
            // `reprise events FILE | head` has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(0),
            other => other?,
        }
    }
    match out.flush() {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        other => Ok(other.map(|()| 0)?),
    }
}

/// The files of the recording's workspace, if it has one.
struct Files(Option<Listing>);

impl Files {
    fn of(file: &TraceFile) -> anyhow::Result<Self> {
        let images = images_from_header(file.header());
        let listed = (images.iter()).find(|image| image.role == ImageRole::Workspace);
        let Some(image) = listed else {
            return Ok(Self(None));
        };
        let bytes = file.reader()?.blob(&BlobHash(image.hash.0))?;
        Ok(Self(Some(Listing::decode(&bytes)?)))
    }

    /// The path of a file in the workspace.
    fn path(&self, number: u32) -> Vec<u8> {
        let path = self.0.as_ref().and_then(|listing| listing.path(number));
        path.unwrap_or_default()
    }
}

fn line_from(record: &Record, files: &Files) -> String {
    match record {
        Record::Event(Event { skip, input, .. }) => {
            let jump = match skip {
                0 => String::new(),
                skip => format!(" after {skip} idle ticks"),
            };
            match input {
                Input::Start(start) => format!("start {}{jump}", line_from_start(start)),
                Input::ConsoleInput { port, bytes } => {
                    format!("console {} \"{}\"{jump}", port.0, shown(bytes))
                }
                Input::ConsoleSize(size) => {
                    format!("console size {}x{}{jump}", size.columns, size.rows)
                }
                Input::PowerOff => format!("power off{jump}"),
                Input::Frame(bytes) => format!("network {} bytes{jump}", bytes.len()),
                Input::WorkspaceContent {
                    file,
                    extent,
                    bytes,
                } => {
                    let what = bytes.as_ref().map_or_else(
                        || "unreadable".to_owned(),
                        |bytes| match bytes.len() {
                            0 => "zeros".to_owned(),
                            length => format!("{length} bytes"),
                        },
                    );
                    let path = shown(&files.path(*file));
                    format!("workspace {path}, part {extent}: {what}{jump}")
                }
                Input::RegisterWrite {
                    register, value, ..
                } => format!("a debugger writes {value:#x} to register {register}{jump}"),
                Input::MemoryWrite { address, bytes } => {
                    format!(
                        "a debugger writes {} bytes at {address:#x}{jump}",
                        bytes.len()
                    )
                }
            }
        }
        Record::StateHash { components, .. } => {
            // Another machine's hash may have others.
            let names = StateHash::COMPONENT_NAMES
                .into_iter()
                .chain(iter::repeat("other"));
            let components: Vec<_> = (names.zip(components))
                .map(|(name, one)| format!("{name} {one:016x}"))
                .collect();
            format!("hash of {}", components.join(", "))
        }
        Record::Annotation { key, value, .. } => {
            if let Some(time) = guest_time_from_annotation(key, value) {
                return format!("guest time {:.3} s", seconds_from_ticks(time));
            }
            format!("annotation {}: {}", shown(key.as_bytes()), shown(value))
        }
        Record::Mark { name, .. } => format!("mark {}", shown(name.as_bytes())),
        Record::Keyframe { .. } => "keyframe".to_owned(),
        Record::End {
            reason,
            exit_status,
            ..
        } => {
            let reason = end_reason_from_wire(*reason)
                .map_or_else(|| "unknown".to_owned(), |reason| reason.to_string());
            match exit_status {
                Some(status) => format!("end: {reason}, exit status {status}"),
                None => format!("end: {reason}"),
            }
        }
        Record::Other { tag, payload, .. } => {
            format!("record of kind {tag:#04x} with {} bytes", payload.len())
        }
    }
}

/// What a guest was told to do.
pub(super) fn line_from_start(start: &Start) -> String {
    let command = match start.command.as_slice() {
        [] => "a shell".to_owned(),
        command => {
            let words: Vec<_> = command.iter().map(|word| shown(word)).collect();
            words.join(" ")
        }
    };
    let files = match start.files.len() {
        0 => String::new(),
        1 => " with 1 file".to_owned(),
        count => format!(" with {count} files"),
    };
    format!("{command}{files}")
}

/// Bytes as a terminal may see them.
fn shown(bytes: &[u8]) -> String {
    if bytes.len() <= SHOWN_BYTES_MAX {
        return bytes.escape_ascii().to_string();
    }
    format!(
        "{}… ({} bytes)",
        bytes[..SHOWN_BYTES_MAX].escape_ascii(),
        bytes.len()
    )
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json_from(record: &Record, files: &Files) -> Value {
    let mut object = match record {
        Record::Event(Event { skip, input, .. }) => {
            let mut object = json_from_input(input, files);
            object["skip_ticks"] = json!(skip);
            object
        }
        Record::StateHash { components, .. } => {
            let components: Vec<_> = components.iter().map(|one| format!("{one:016x}")).collect();
            json!({ "kind": "hash", "components": components })
        }
        Record::Annotation { key, value, .. } => {
            json!({ "kind": "annotation", "key": key, "value": value })
        }
        Record::Mark { name, .. } => json!({ "kind": "mark", "name": name }),
        Record::Keyframe { .. } => json!({ "kind": "keyframe" }),
        Record::End {
            reason,
            exit_status,
            ..
        } => json!({
            "kind": "end",
            "reason": end_reason_from_wire(*reason).map(|reason| reason.to_string()),
            "exit_status": exit_status,
        }),
        Record::Other { tag, payload, .. } => {
            json!({ "kind": "other", "tag": tag, "bytes": payload })
        }
    };
    object["icount"] = json!(record.icount());
    object
}

fn json_from_input(input: &Input, workspace: &Files) -> Value {
    match input {
        Input::Start(start) => {
            let files: Vec<_> = start
                .files
                .iter()
                .map(|file| {
                    json!({
                        "path": text(&file.path),
                        "mode": file.mode,
                        "hash": file.content.to_string(),
                    })
                })
                .collect();
            let environment: Vec<_> = start
                .environment
                .iter()
                .map(|(name, value)| json!([text(name), text(value)]))
                .collect();
            json!({
                "kind": "start",
                "command": start.command.iter().map(|word| text(word)).collect::<Vec<_>>(),
                "environment": environment,
                "working_directory": text(&start.working_directory),
                "clock_unix_nanoseconds": start.clock_unix_nanoseconds,
                "interactive": start.interactive,
                "columns": start.terminal.columns,
                "rows": start.terminal.rows,
                "files": files,
            })
        }
        Input::ConsoleInput { port, bytes } => {
            json!({ "kind": "console", "port": port.0, "bytes": bytes, "text": text(bytes) })
        }
        Input::ConsoleSize(size) => {
            json!({ "kind": "console_size", "columns": size.columns, "rows": size.rows })
        }
        Input::PowerOff => json!({ "kind": "power_off" }),
        Input::Frame(bytes) => json!({ "kind": "frame", "bytes": bytes }),
        Input::WorkspaceContent {
            file,
            extent,
            bytes,
        } => json!({
            "kind": "workspace",
            "path": text(&workspace.path(*file)),
            "part": extent,
            "bytes": bytes,
        }),
        Input::RegisterWrite {
            hart,
            register,
            value,
        } => {
            json!({ "kind": "register_write", "hart": hart, "register": register, "value": value })
        }
        Input::MemoryWrite { address, bytes } => json!({
            "kind": "memory_write", "address": address, "bytes": bytes
        }),
    }
}
