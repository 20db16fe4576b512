//! A recording as a file.

use super::fetched::annotation_from_news;
use super::live::Live;
use super::{Engine, Refusal, Subject, because};
use reprise_recorder::entry::{End, EndReason, Entry, EntryLog};
use reprise_recorder::images::{ImageRef, ImageRole};
use reprise_recorder::trace::header_from_config;
use reprise_traces::{Compression, TraceCopier, TraceReader, TraceWriter, compact, pack};
use std::io::Cursor;
use std::ops::ControlFlow;

/// A trace of more bytes is not worth packing: it would be too much for a link all the same.
const PACKED_TRACE_BYTES_MAX: usize = 256 << 10;

/// A trace for a link, if it is short and whole.
pub(super) fn packed(trace: &[u8]) -> Option<Vec<u8>> {
    if trace.len() > PACKED_TRACE_BYTES_MAX {
        return None;
    }
    let packed = pack(TraceReader::open(Cursor::new(trace)).ok()?).ok()?;
    (packed.len() < trace.len()).then_some(packed)
}

impl Engine {
    /// The trace of what is open, as a file. A live machine must be paused.
    pub(super) fn save(&mut self, embeds_images: bool) -> Result<Vec<u8>, Refusal> {
        match &mut self.subject {
            Subject::Nothing => Err(because("nothing is open")),
            Subject::Trace(opened) => {
                if !embeds_images {
                    return Ok(opened.file.bytes()?.to_vec());
                }
                let mut writer =
                    TraceWriter::create(Vec::new(), &opened.file.header, Compression::Best)?;
                embed(&mut writer, opened.file.images(), &self.library)?;
                TraceCopier::new(opened.file.reader()?)?.copy_rest(&mut writer)?;
                Ok(writer.finish()?.0)
            }
            Subject::Live(live) => {
                let end = end_of(live)?;
                let header = header_from_config(
                    &live.config,
                    &live.images,
                    concat!("reprise page ", env!("CARGO_PKG_VERSION")).to_owned(),
                    Some(live.clock_unix_seconds),
                );
                let mut writer = TraceWriter::create(Vec::new(), &header, Compression::Live)?;
                // No trace is without the listing of its workspace, which is nowhere else.
                let is_needed = |image: &&ImageRef| image.role == ImageRole::Workspace;
                let images = live.images.iter();
                let images: Vec<ImageRef> = images
                    .filter(|image| embeds_images || is_needed(image))
                    .cloned()
                    .collect();
                embed(&mut writer, &images, &self.library)?;
                let last = end.first().map(Entry::icount);
                let noted = live.network().map(|network| network.all_news().to_vec());
                // What was said when the machine stood further on than it is saved is about what is not in the file.
                let noted = (noted.into_iter().flatten())
                    .filter(|news| last.is_some_and(|last| news.icount <= last.0));
                let mut noted = noted.peekable();
                for entry in live.entries().into_iter().chain(end) {
                    let here = entry.icount().0;
                    while let Some(news) = noted.next_if(|news| news.icount <= here) {
                        writer.push(&annotation_from_news(&news))?;
                    }
                    EntryLog::push(&mut writer, &entry)?;
                }
                let (bytes, _) = writer.finish()?;
                Ok(compact(Cursor::new(bytes), Vec::new())?.0)
            }
        }
    }
}

/// What ends the recording of a live machine where it stands.
fn end_of(live: &mut Live) -> Result<Vec<Entry>, Refusal> {
    let halted = live.machine().halted();
    let exit_status = live.machine().exit_status();
    let last = live.entries().last().map(Entry::icount);
    let Some(past) = live.past() else {
        return Err(because("the machine is running: pause it first"));
    };
    let timeline = past.timeline_mut();
    let here = timeline.position();
    let end = timeline.end();
    timeline.seek(end, &mut |_| ControlFlow::Continue(()))?;
    let hash = timeline.state_hash();
    timeline.seek(here, &mut |_| ControlFlow::Continue(()))?;
    let is_hashed = last == Some(end)
        && (live.entries().last()).is_some_and(|entry| matches!(entry, Entry::Hash { .. }));
    let mut entries = Vec::new();
    if !is_hashed {
        entries.push(Entry::Hash { icount: end, hash });
    }
    entries.push(Entry::End(End {
        icount: end,
        reason: halted.map_or(EndReason::Stopped, EndReason::Halted),
        exit_status,
    }));
    Ok(entries)
}

fn embed(
    writer: &mut TraceWriter<Vec<u8>>,
    images: &[ImageRef],
    library: &super::library::Library,
) -> Result<(), Refusal> {
    for image in images {
        let bytes = library
            .image(&image.hash)
            .ok_or_else(|| {
                because(format!(
                    "the disk image `{}` is not here as a whole, only parts of it are: save the file without images, and \
                     send the disk with it",
                    image.name
                ))
            })?;
        writer.add_blob(&bytes)?;
    }
    Ok(())
}
