//! `reprise files`.

use crate::args::FilesArgs;
use crate::open::OpenTrace;
use crate::say;
use crate::trace_file::{Replacement, require_free};
use anyhow::{Context, bail};
use reprise_core::event::InputEvent;
use reprise_core::types::Icount;
use reprise_core::workspace::content::{Content, ContentKey};
use reprise_host::workspace::ChangedFiles;
use reprise_recorder::timeline::TimelineOptions;
use std::collections::BTreeMap;
use std::io::Write as _;

/// An archive of more bytes would be of a file that is mostly holes; what does not fit is left out.
const ARCHIVE_BYTES_MAX: u64 = 64 << 30;

/// Writes what a guest has made and changed in its workspace.
pub(crate) fn files(args: &FilesArgs) -> anyhow::Result<u8> {
    let trace = OpenTrace::open(&args.trace, &args.images.images)?;
    if !args.force {
        require_free(&args.output)?;
    }
    let mut timeline = trace.timeline(TimelineOptions::default())?;
    let to = args.to.map_or_else(|| timeline.end(), Icount);
    timeline.seek(to, &mut |_| std::ops::ControlFlow::Continue(()))?;
    let Some(server) = timeline.machine().workspace() else {
        bail!("{} has no workspace", args.trace.display());
    };
    let events = timeline.recording().events.iter();
    let contents: BTreeMap<ContentKey, Content> = events
        .filter_map(|event| match &*event.event {
            InputEvent::WorkspaceContent { key, content } => Some((*key, content.clone())),
            _ => None,
        })
        .collect();
    let replacement = Replacement::create(&args.output)?;
    let cannot = || format!("{} cannot be written", args.output.display());
    let mut writer = std::io::BufWriter::new(replacement.writer()?);
    let files = ChangedFiles::of(server, ARCHIVE_BYTES_MAX);
    let mut later = |key| contents.get(&key).cloned();
    let written = (files.write(server, &mut later, &mut writer)).with_context(cannot)?;
    writer.flush().with_context(cannot)?;
    drop(writer);
    if written.member_count > 0 {
        replacement.commit()?;
    }
    // The names are the guest's.
    say::line(format_args!(
        "reprise: {}",
        say::printable(&written.to_string())
    ));
    Ok(0)
}
