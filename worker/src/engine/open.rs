//! Opening a trace or booting a machine, once everything that it takes has been fetched.

use super::library::Library;
use super::live::Live;
use super::machine::Blueprint;
use super::{Engine, Progress, Refusal, Subject, because, gdb};
use crate::protocol::{
    Boot, Input, InputKind, Message, Recording, RequestId, TerminalSize, TraceSource, Want,
};
use reprise_core::event::InputEvent;
use reprise_core::image::ImageHash;
use reprise_core::types::TerminalSize as CoreSize;
use reprise_debugger::gdb::GdbServer;
use reprise_debugger::session::DebugSession;
use reprise_recorder::entry::{Entry, TimedEvent};
use reprise_recorder::images::{ImageRef, ImageRole, ImageSet};
use reprise_recorder::keyframes::TraceKeyframes;
use reprise_recorder::timeline::{MachineSource, ReplayTimeline, TimelineOptions};
use reprise_recorder::trace::{Entries, config_from_header, images_from_header};
use reprise_traces::{BlobHash, Completeness, Header, TraceReader, is_packed, unpack};
use serde::Deserialize;
use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

/// A page holds all of a recording's entries in memory: those of a trace that a person could have recorded.
const ENTRIES_MAX: usize = 1 << 22;

/// What is being opened, and how far it is.
pub(crate) enum Opening {
    Boot { boot: Boot, guest: Option<Guest> },
    Fetch { url: String },
    Trace { file: Option<TraceFile> },
    Damaged(Option<Refusal>),
}

/// The guest of the site, as its `guest.json` tells.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Guest {
    pub(crate) command_line: String,
    kernel: GuestImage,
    initrd: GuestImage,
}

#[derive(Clone, Debug, Deserialize)]
struct GuestImage {
    name: String,
    hash: String,
    byte_len: u64,
}

/// A trace's bytes, of which there is one copy however many read them.
#[derive(Clone, Debug)]
pub(crate) struct Bytes(Arc<[u8]>);

/// Reads shared bytes.
pub(crate) type Reader = TraceReader<Cursor<Bytes>>;

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A trace that was read through once.
pub(crate) struct TraceFile {
    bytes: Bytes,
    pub(crate) header: Header,
    is_complete: bool,
    entries: Vec<Entry>,
    images: Vec<ImageRef>,
}

/// A trace with everything that it takes to execute it.
pub(crate) struct Opened {
    pub(crate) file: TraceFile,
    pub(crate) source: Arc<dyn MachineSource>,
    /// What it is looked at through; a gdb may be its client.
    pub(crate) server: GdbServer,
}

impl Opening {
    pub(crate) fn boot(boot: Boot) -> Self {
        Self::Boot { boot, guest: None }
    }

    pub(crate) fn trace(source: TraceSource) -> Self {
        match source {
            TraceSource::Url(url) => Self::Fetch { url },
            TraceSource::Bytes(bytes) => Self::from_bytes(bytes),
        }
    }

    fn from_bytes(bytes: Vec<u8>) -> Self {
        let file = if is_packed(&bytes) {
            unpack(&bytes)
                .map_err(Refusal::from)
                .and_then(TraceFile::read)
        } else {
            TraceFile::read(bytes)
        };
        match file {
            Ok(file) => Self::Trace { file: Some(file) },
            Err(refusal) => Self::Damaged(Some(refusal)),
        }
    }
}

impl TraceFile {
    fn read(bytes: Vec<u8>) -> Result<Self, Refusal> {
        let bytes = Bytes(bytes.into());
        let reader = TraceReader::open(Cursor::new(bytes.clone()))?;
        let header = reader.header().clone();
        let is_complete = reader.completeness() == Completeness::Complete;
        let images = images_from_header(&header);
        config_from_header(&header)?;
        let mut entries = Vec::new();
        for entry in Entries::new(reader) {
            entries.push(entry?);
            if entries.len() > ENTRIES_MAX {
                return Err(because(format!(
                    "the trace has more than {ENTRIES_MAX} events, too many for a page: replay it with the command line"
                )));
            }
        }
        Ok(Self {
            bytes,
            header,
            is_complete,
            entries,
            images,
        })
    }

    /// A reader at its start.
    pub(crate) fn reader(&self) -> Result<Reader, Refusal> {
        Ok(TraceReader::open(Cursor::new(self.bytes.clone()))?)
    }

    /// The file's bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes.0
    }

    /// What happens in it.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The images that it starts from.
    pub(crate) fn images(&self) -> &[ImageRef] {
        &self.images
    }

    /// Takes the images that it carries into the library.
    fn unpack(&self, library: &mut Library) -> Result<(), Refusal> {
        let mut reader = self.reader()?;
        for image in &self.images {
            let hash = BlobHash(image.hash.0);
            if library.image(&image.hash).is_none() && reader.index().blobs.contains_key(&hash) {
                library.insert(reader.blob(&hash)?);
            }
        }
        Ok(())
    }

    fn recording(&self, timeline: &ReplayTimeline) -> Recording {
        let config = &self.header.config;
        Recording {
            is_live: false,
            end: timeline.end().0,
            exit_status: timeline.recorded_end().and_then(|end| end.exit_status),
            is_incomplete: !self.is_complete,
            trace_byte_len: self.bytes.0.len() as u64,
            ram_mebibytes: (config.ram_bytes >> 20) as u32,
            terminal: TerminalSize {
                columns: config.terminal.columns,
                rows: config.terminal.rows,
            },
            images: named(&self.images),
            keyframes: timeline.keyframes().iter().map(|at| at.0).collect(),
            ..told_of(timeline.events())
        }
    }
}

/// What the events of a recording tell about it.
pub(crate) fn told_of(events: &[TimedEvent]) -> Recording {
    let start = events.iter().find_map(|event| match &*event.event {
        InputEvent::Start(start) => Some(start),
        _ => None,
    });
    let words = |words: &[Vec<u8>]| {
        let words = words.iter();
        words
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect()
    };
    Recording {
        is_live: false,
        command: start.map_or_else(Vec::new, |start| words(&start.command)),
        clock_unix_seconds: start.map_or(0, |start| start.clock_unix_nanoseconds / 1_000_000_000),
        end: 0,
        exit_status: None,
        is_incomplete: false,
        trace_byte_len: 0,
        ram_mebibytes: 0,
        terminal: size(start.map(|start| start.terminal).unwrap_or_default()),
        inputs: events.iter().filter_map(input).collect(),
        images: Vec::new(),
        keyframes: Vec::new(),
    }
}

/// Images by name and hash.
pub(crate) fn named(images: &[ImageRef]) -> Vec<(String, String)> {
    let images = images.iter();
    images
        .map(|image| (image.name.clone(), image.hash.to_string()))
        .collect()
}

fn size(size: CoreSize) -> TerminalSize {
    TerminalSize {
        columns: size.columns,
        rows: size.rows,
    }
}

fn input(event: &TimedEvent) -> Option<Input> {
    let kind = match &*event.event {
        InputEvent::Start(_) => InputKind::Start,
        InputEvent::ConsoleInput { bytes, .. } => InputKind::Typed(bytes.clone()),
        InputEvent::ConsoleSize(new) => InputKind::Size(size(*new)),
        InputEvent::PowerOff => InputKind::PowerOff,
        InputEvent::DebugWrite(_) => return None,
    };
    Some(Input {
        icount: event.icount.0,
        kind,
    })
}

impl Guest {
    /// From `guest.json`.
    fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        serde_json::from_slice(bytes).map_err(|_| because("the site's guest.json is damaged"))
    }

    /// Its images.
    ///
    /// # Errors
    /// When a hash is none.
    pub(crate) fn images(&self) -> Result<Vec<ImageRef>, Refusal> {
        let image = |role, image: &GuestImage| -> Result<ImageRef, Refusal> {
            let hash = hash_from_hex(&image.hash)
                .ok_or_else(|| because("the site's guest.json is damaged"))?;
            Ok(ImageRef {
                role,
                hash,
                byte_len: image.byte_len,
                name: image.name.clone(),
                places: Vec::new(),
            })
        };
        Ok(vec![
            image(ImageRole::Kernel, &self.kernel)?,
            image(ImageRole::Initrd, &self.initrd)?,
        ])
    }
}

fn hash_from_hex(text: &str) -> Option<ImageHash> {
    let digits = text.as_bytes();
    let mut hash = [0; 32];
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(ImageHash(hash))
}

impl Engine {
    pub(super) fn open_on(
        &mut self,
        id: RequestId,
        opening: &mut Opening,
        wall: Duration,
    ) -> Result<Progress, Refusal> {
        match opening {
            Opening::Fetch { url } => {
                let want = Want::Trace { url: url.clone() };
                let Some(bytes) = self.library.take(&want) else {
                    return Ok(Progress::Waits);
                };
                *opening = Opening::from_bytes(bytes?);
                Ok(Progress::More)
            }
            Opening::Damaged(refusal) => Err(refusal
                .take()
                .unwrap_or_else(|| because("no trace is there"))),
            Opening::Trace { file } => {
                let Some(known) = file else {
                    return Ok(Progress::Done);
                };
                known.unpack(&mut self.library)?;
                if !fetched(&mut self.library, &known.images)? {
                    return Ok(Progress::Waits);
                }
                if let Some(file) = file.take() {
                    self.open_trace(id, file)?;
                }
                Ok(Progress::Done)
            }
            Opening::Boot { boot, guest } => {
                if guest.is_none() {
                    let Some(bytes) = self.library.take(&Want::Guest) else {
                        return Ok(Progress::Waits);
                    };
                    *guest = Some(Guest::read(&bytes?)?);
                }
                let Some(known) = guest else {
                    return Ok(Progress::More);
                };
                let images = known.images()?;
                if !fetched(&mut self.library, &images)? {
                    return Ok(Progress::Waits);
                }
                let live = Live::boot(boot, known, images, &mut self.library, wall)?;
                self.messages.push_back(Message::Opened(live.recording()));
                self.subject = Subject::Live(Box::new(live));
                Ok(Progress::Done)
            }
        }
    }

    fn open_trace(&mut self, id: RequestId, file: TraceFile) -> Result<(), Refusal> {
        let config = config_from_header(&file.header)?;
        let images = ImageSet::find(&file.images, &mut self.library)?;
        let source: Arc<dyn MachineSource> = Arc::new(Blueprint::new(config, images)?);
        let timeline = ReplayTimeline::new(
            Arc::clone(&source),
            file.entries.iter().cloned(),
            Box::new(TraceKeyframes::new(file.reader()?)),
            TimelineOptions::default(),
        )?;
        self.messages
            .push_back(Message::Opened(file.recording(&timeline)));
        self.subject = Subject::Trace(Box::new(Opened {
            file,
            source,
            server: gdb::server(DebugSession::new(timeline)),
        }));
        self.tell_position(id, Vec::new(), Vec::new(), true);
        Ok(())
    }
}

/// Whether all images are there; asks for those that are not.
fn fetched(library: &mut Library, images: &[ImageRef]) -> Result<bool, Refusal> {
    let mut all = true;
    for image in images {
        all &= library.has(image)?;
    }
    Ok(all)
}
