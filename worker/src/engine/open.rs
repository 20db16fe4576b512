//! Opening a trace or booting a machine, once everything that it takes has been fetched.

use super::arrival::{Arrival, Reading};
use super::library::Library;
use super::live::Live;
use super::machine::Blueprint;
use super::workspace::Workspace;
use super::{Engine, Progress, Refusal, Subject, because, gdb};
use crate::protocol::{Boot, Input, InputKind, Message, Recording, RequestId, TerminalSize, Want};
use reprise_core::event::InputEvent;
use reprise_core::image::ImageHash;
use reprise_core::types::{Icount, TerminalSize as CoreSize};
use reprise_core::workspace::Listing;
use reprise_core::workspace::content::{Content, EXTENT_BYTES};
use reprise_debugger::gdb::GdbServer;
use reprise_debugger::session::DebugSession;
use reprise_host::workspace::PickedFolder;
use reprise_host::{SiteContainer, SiteImage};
use reprise_recorder::entry::{Entry, TimedEvent};
use reprise_recorder::images::{ImageRef, ImageRole, ImageSet};
use reprise_recorder::keyframes::TraceKeyframes;
use reprise_recorder::timeline::{MachineSource, ReplayTimeline, TimelineOptions};
use reprise_recorder::trace::config_from_header;
use reprise_traces::{Header, TraceReader};
use serde::Deserialize;
use std::collections::VecDeque;
use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

/// What is being opened, and how far it is.
pub(crate) enum Opening {
    Boot(Box<Booting>),
    Trace {
        arrival: Option<Box<Arrival>>,
        /// It has been looked which images have come with it; whether all of it had come then.
        unpacked: Option<bool>,
        /// An image that is found nowhere else may come with the rest.
        needs_all: bool,
    },
}

/// A machine that is being booted, and what of it has been fetched.
pub(crate) struct Booting {
    boot: Boot,
    guest: Option<Guest>,
    container: Option<SiteContainer>,
    workspace: Option<Workspace>,
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
#[derive(Clone, Debug, Default)]
pub(crate) struct Bytes(Arc<Vec<u8>>);

/// Reads shared bytes.
pub(crate) type Reader = TraceReader<Cursor<Bytes>>;

impl Bytes {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(bytes))
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A trace that was read through once, as far as it has come.
pub(crate) struct TraceFile {
    /// Empty until all of it has come.
    bytes: Bytes,
    pub(crate) header: Header,
    is_complete: bool,
    /// Why it cannot be read to its end, where that is not for damage: no other reader takes it.
    flaw: Option<String>,
    entries: Vec<Entry>,
    images: Vec<ImageRef>,
}

/// A trace with everything that it takes to execute it.
pub(crate) struct Opened {
    pub(crate) file: TraceFile,
    pub(crate) source: Arc<dyn MachineSource>,
    /// What it is looked at through; a gdb may be its client.
    pub(crate) server: GdbServer,
    /// The rest of it, while that is coming.
    pub(crate) arrival: Option<Box<Arrival>>,
}

impl Opening {
    pub(crate) fn boot(boot: Boot) -> Self {
        Self::Boot(Box::new(Booting {
            boot,
            guest: None,
            container: None,
            workspace: None,
        }))
    }

    /// The trace that is being opened.
    pub(crate) fn arrival(&mut self) -> Option<&mut Arrival> {
        match self {
            Self::Trace { arrival, .. } => arrival.as_deref_mut(),
            Self::Boot(_) => None,
        }
    }

    pub(crate) fn trace(arrival: Arrival) -> Self {
        Self::Trace {
            arrival: Some(Box::new(arrival)),
            unpacked: None,
            needs_all: false,
        }
    }
}

impl TraceFile {
    /// A reader at its start. All of it must have come.
    pub(crate) fn reader(&self) -> Result<Reader, Refusal> {
        let source = Cursor::new(self.bytes.clone());
        Ok(match self.is_complete {
            // It was read through when it came.
            true => TraceReader::open_indexed(source)?,
            false => TraceReader::open(source)?,
        })
    }

    /// The file's bytes. All of it must have come.
    ///
    /// # Errors
    /// When they are no trace that can be opened.
    pub(crate) fn bytes(&self) -> Result<&[u8], Refusal> {
        match &self.flaw {
            None => Ok(&self.bytes.0),
            Some(why) => Err(because(format!("the recording cannot be saved: {why}"))),
        }
    }

    /// What happens in it.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The images that it starts from.
    pub(crate) fn images(&self) -> &[ImageRef] {
        &self.images
    }

    /// Takes all of its bytes, which were read through.
    fn complete(&mut self, arrival: Arrival) -> Result<Reader, Refusal> {
        self.is_complete = arrival.is_complete();
        self.flaw = arrival.flaw().map(str::to_owned);
        self.bytes = arrival.into_bytes();
        self.reader()
    }

    fn recording(&self, timeline: &ReplayTimeline, arrival: Option<&Arrival>) -> Recording {
        let config = &self.header.config;
        let byte_len = arrival.map_or(self.bytes.0.len() as u64, |arrival| arrival.progress().1);
        let recorded = timeline.recording();
        Recording {
            is_live: false,
            end: recorded.end.0,
            exit_status: recorded.recorded_end.and_then(|end| end.exit_status),
            is_incomplete: arrival.is_none() && !self.is_complete,
            is_arriving: arrival.is_some(),
            trace_byte_len: byte_len,
            ram_mebibytes: (config.ram_bytes >> 20) as u32,
            terminal: TerminalSize {
                columns: config.terminal.columns,
                rows: config.terminal.rows,
            },
            images: named(&self.images),
            keyframes: timeline.keyframes().iter().map(|at| at.0).collect(),
            ..told_of(recorded.events, timeline.machine().workspace_listing())
        }
    }
}

impl Opened {
    /// Reads on in what has come since, for a slice. Whether there is more to read at once.
    pub(crate) fn read_on(&mut self, out: &mut VecDeque<Message>) -> bool {
        let Some(arrival) = self.arrival.as_mut().filter(|arrival| arrival.has_news()) else {
            return false;
        };
        let reading = arrival.read_on();
        let timeline = self.server.session_mut().timeline_mut();
        let known = timeline.recording().events.len();
        let taken = take(arrival, timeline, &mut self.file.entries);
        let (done, total) = arrival.progress();
        let recording = timeline.recording();
        let listing = timeline.machine().workspace_listing();
        let new = recording.events[known..].iter();
        let inputs = new.filter_map(|event| input(event, listing));
        out.push_back(Message::Arriving {
            end: recording.end.0,
            inputs: inputs.collect(),
            done,
            total,
        });
        out.extend(arrival.take_news());
        out.extend(arrival.pass_on().map(part));
        match taken.and(reading) {
            Ok(Reading::More) => true,
            Ok(Reading::Waits) => arrival.has_more_to_pass_on(),
            Ok(Reading::Over) => {
                self.has_arrived(out);
                false
            }
            Err(refusal) => {
                arrival.cut(refusal.sentence());
                self.has_arrived(out);
                false
            }
        }
    }

    /// No more of the trace will come.
    fn has_arrived(&mut self, out: &mut VecDeque<Message>) {
        let Some(mut arrival) = self.arrival.take() else {
            return;
        };
        while let Some(bytes) = arrival.pass_on() {
            out.push_back(part(bytes));
        }
        if arrival.want().is_some() {
            let (bytes, is_last) = (Vec::new(), true);
            out.push_back(Message::TracePart { bytes, is_last });
        }
        let loss = arrival.loss().map(|why| {
            format!("the rest of the recording is missing, what is here replays: {why}")
        });
        let timeline = self.server.session_mut().timeline_mut();
        // What cannot be read as a file has no keyframes; what was read of it stays.
        if let Ok(reader) = self.file.complete(*arrival) {
            timeline.set_keyframes(Box::new(TraceKeyframes::new(reader)));
        }
        out.push_back(Message::Arrived {
            recording: self.file.recording(timeline, None),
            failure: loss.filter(|_| !self.file.is_complete),
        });
    }
}

/// Takes what has been read into the timeline, and into the list of all entries, up to where it contradicts itself.
fn take(
    arrival: &mut Arrival,
    timeline: &mut ReplayTimeline,
    entries: &mut Vec<Entry>,
) -> Result<(), Refusal> {
    for entry in arrival.take_entries() {
        timeline.extend([entry.clone()], Icount(0))?;
        entries.push(entry);
    }
    Ok(timeline.extend([], arrival.known_to())?)
}

fn part(bytes: Vec<u8>) -> Message {
    let is_last = false;
    Message::TracePart { bytes, is_last }
}

/// What the events of a recording tell about it.
pub(crate) fn told_of(events: &[TimedEvent], listing: Option<&Listing>) -> Recording {
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
        is_arriving: false,
        trace_byte_len: 0,
        ram_mebibytes: 0,
        terminal: size(start.map(|start| start.terminal).unwrap_or_default()),
        inputs: (events.iter())
            .filter_map(|event| input(event, listing))
            .collect(),
        has_workspace: listing.is_some(),
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

fn input(event: &TimedEvent, listing: Option<&Listing>) -> Option<Input> {
    let kind = match &*event.event {
        InputEvent::Start(_) => InputKind::Start,
        InputEvent::ConsoleInput { bytes, .. } => InputKind::Typed(bytes.clone()),
        InputEvent::ConsoleSize(new) => InputKind::Size(size(*new)),
        InputEvent::PowerOff => InputKind::PowerOff,
        InputEvent::Frame(bytes) => InputKind::Frame {
            byte_len: bytes.len() as u64,
        },
        InputEvent::WorkspaceContent { key, content } => InputKind::File {
            path: listing
                .and_then(|listing| listing.path(key.file))
                .map_or_else(String::new, |path| {
                    String::from_utf8_lossy(&path).into_owned()
                }),
            offset: u64::from(key.extent) * EXTENT_BYTES,
            byte_len: match content {
                Content::Bytes(bytes) => Some(bytes.len() as u64),
                Content::Zeros => {
                    let range = listing.map(|listing| key.range(listing));
                    range.map(|range| range.end - range.start)
                }
                Content::Unreadable => None,
            },
        },
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

/// A container's root image, which is the machine's disk.
fn root_image(root: &SiteImage) -> Result<ImageRef, Refusal> {
    let hash = hash_from_hex(&root.hash);
    Ok(ImageRef {
        role: ImageRole::Disk,
        hash: hash.ok_or_else(|| because("the site's container is damaged"))?,
        byte_len: root.byte_len,
        name: root.name.clone(),
        places: Vec::new(),
    })
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
            Opening::Trace {
                arrival,
                unpacked,
                needs_all,
            } => {
                let Some(known) = arrival else {
                    return Ok(Progress::Done);
                };
                let reading = match known.read_on() {
                    // Another engine has it open, as far as it can be read.
                    Err(refusal) if known.is_relayed() && known.has_begun() => {
                        known.cut(refusal.sentence());
                        Reading::Over
                    }
                    reading => reading?,
                };
                if reading == Reading::More {
                    return Ok(Progress::More);
                }
                let is_over = reading == Reading::Over;
                let goes_on = known.is_relayed() && known.has_begun();
                if let (true, false, Some(why)) = (is_over, goes_on, known.loss()) {
                    // Somebody who has seen nothing of it yet tries again.
                    return Err(because(why));
                }
                if !is_over && (*needs_all || !known.has_begun()) {
                    return Ok(Progress::Waits);
                }
                if unpacked.replace(is_over) != Some(is_over) {
                    known.unpack_images(&mut self.library)?;
                }
                match fetched(&mut self.library, &known.images()) {
                    Ok(true) => {}
                    Ok(false) => return Ok(Progress::Waits),
                    Err(_) if !is_over => {
                        *needs_all = true;
                        return Ok(Progress::Waits);
                    }
                    Err(refusal) => return Err(refusal),
                }
                if let Some(arrival) = arrival.take() {
                    self.open_trace(id, arrival, is_over)?;
                }
                Ok(Progress::Done)
            }
            Opening::Boot(booting) => {
                let Booting {
                    boot,
                    guest,
                    container,
                    workspace,
                } = &mut **booting;
                if guest.is_none() {
                    let Some(bytes) = self.library.take(&Want::Guest) else {
                        return Ok(Progress::Waits);
                    };
                    *guest = Some(Guest::read(&bytes?)?);
                }
                let Some(known) = guest else {
                    return Ok(Progress::More);
                };
                if let (Some(file), None) = (&boot.container, &container) {
                    let want = Want::Container { file: file.clone() };
                    let Some(bytes) = self.library.take(&want) else {
                        return Ok(Progress::Waits);
                    };
                    let damaged = || because("the site's container is damaged");
                    *container = Some(SiteContainer::from_json(&bytes?).ok_or_else(damaged)?);
                }
                if let (Some(number), None) = (boot.folder, &workspace) {
                    let Some(json) = self.library.take(&Want::Folder { number }) else {
                        return Ok(Progress::Waits);
                    };
                    let picked = PickedFolder::from_json(&json?).map_err(Refusal::Because)?;
                    let opened = Workspace::new(number, picked);
                    self.library.insert(opened.encoded_listing());
                    self.messages.extend(opened.left_out().map(Message::Notice));
                    *workspace = Some(opened);
                }
                let mut images = known.images()?;
                if let Some(container) = &container {
                    images.push(root_image(&container.root)?);
                }
                images.extend(workspace.as_ref().map(Workspace::image));
                if !fetched(&mut self.library, &images)? {
                    return Ok(Progress::Waits);
                }
                let mut live = Live::boot(
                    boot,
                    known,
                    container.as_ref(),
                    workspace.take(),
                    images,
                    &mut self.library,
                    wall,
                )?;
                if let Some(network) = live.network() {
                    network.number_after(self.last_fetch);
                }
                self.messages.push_back(Message::Opened(live.recording()));
                self.subject = Subject::Live(Box::new(live));
                Ok(Progress::Done)
            }
        }
    }

    fn open_trace(
        &mut self,
        id: RequestId,
        mut arrival: Box<Arrival>,
        is_over: bool,
    ) -> Result<(), Refusal> {
        let Some(header) = arrival.header().cloned() else {
            // Too little of it to say more than that.
            TraceReader::open(Cursor::new(arrival.bytes()))?;
            return Err(because("the trace has no header"));
        };
        let config = config_from_header(&header)?;
        let mut file = TraceFile {
            bytes: Bytes::default(),
            header,
            is_complete: false,
            flaw: None,
            entries: Vec::new(),
            images: arrival.images(),
        };
        let images = ImageSet::find(&file.images, &mut self.library)?;
        let source: Arc<dyn MachineSource> = Arc::new(Blueprint::new(config, images)?);
        let options = TimelineOptions::default();
        let mut timeline = ReplayTimeline::new(Arc::clone(&source), [], Box::new(()), options)?;
        match take(&mut arrival, &mut timeline, &mut file.entries) {
            // Another engine has it open up to there.
            Err(refusal) if arrival.is_relayed() && !file.entries.is_empty() => {
                arrival.cut(refusal.sentence());
            }
            taken => taken?,
        }
        let news = arrival.take_news();
        let mut arrival = Some(arrival);
        if let Some(arrival) = arrival.take_if(|_| is_over) {
            let has_flaw = arrival.flaw().is_some();
            match file.complete(*arrival) {
                Ok(reader) => timeline.set_keyframes(Box::new(TraceKeyframes::new(reader))),
                Err(_) if has_flaw => {}
                Err(refusal) => return Err(refusal),
            }
        }
        let recording = file.recording(&timeline, arrival.as_deref());
        self.messages.push_back(Message::Opened(recording));
        self.messages.extend(news);
        if let Some(arrival) = &mut arrival {
            let (done, total) = arrival.progress();
            self.messages.push_back(Message::Arriving {
                end: timeline.end().0,
                inputs: Vec::new(),
                done,
                total,
            });
            self.messages.extend(arrival.pass_on().map(part));
        }
        self.subject = Subject::Trace(Box::new(Opened {
            file,
            source,
            server: gdb::server(DebugSession::new(timeline)),
            arrival,
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
