//! Between the core's terms and the trace file's records.

use crate::entry::{End, EndReason, Entry, EntryLog, TimedEvent};
use crate::images::{ImageRef, ImageRole};
use reprise_core::event::{ConsolePort, DebugWrite, InputEvent, Start, StartFile};
use reprise_core::image::ImageHash;
use reprise_core::machine::{BootKind, HaltReason, MACHINE_VERSION, MachineConfig, StateHash};
use reprise_core::types::{CpuId, GuestPhysAddr, GuestTime, Icount, TerminalSize};
use reprise_core::workspace::content::{Content, ContentKey};
use reprise_traces as wire;
use reprise_traces::{BlobHash, Record, TraceError, TraceReader, TraceWriter};
use std::io::{Read, Seek, Write};
use std::sync::Arc;
use thiserror::Error;

/// Why a trace's content means nothing to this machine.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The file could not be read.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// An input names a console that the machine does not have.
    #[error(
        "the trace types into console {port} at icount {icount}, which this machine lacks: open it with a newer build"
    )]
    UnknownPort {
        /// Position.
        icount: Icount,
        /// The console's number.
        port: u8,
    },
    /// A state hash has other components than the machine's.
    #[error(
        "the state hash at icount {icount} has {count} components where this machine has 5: open it with the build that recorded it"
    )]
    OtherHash {
        /// Position.
        icount: Icount,
        /// How many it has.
        count: usize,
    },
    /// The end has a reason that the machine does not know.
    #[error(
        "the trace ends at icount {icount} for a reason that this build does not know: open it with a newer build"
    )]
    UnknownEnd {
        /// Position.
        icount: Icount,
    },
    /// A file of the start could not be had.
    #[error(
        "the files given to the guest are larger than {0} bytes together: nothing that `reprise record` writes is"
    )]
    FilesTooLarge(u64),
}

/// All files of a start together, in bytes. They end up in the guest's RAM, and the host holds
/// them some two or three times over on their way there.
pub const START_FILES_BYTES_MAX: u64 = 480 << 20;

/// Key of the annotation that tells, for people, the guest time at which a recording ended: in
/// ticks, as 8 bytes, little-endian.
pub const GUEST_TIME_KEY: &str = "guest-time";

/// Key of the annotation that tells, for people, from which trace a diversion parted, and where: UTF-8 text.
pub const PARENT_KEY: &str = "diverged-from";

/// The guest time that an annotation tells, if it is the one.
#[must_use]
pub fn guest_time_from_annotation(key: &str, value: &[u8]) -> Option<GuestTime> {
    let ticks = value.try_into().ok().filter(|_| key == GUEST_TIME_KEY)?;
    Some(GuestTime(u64::from_le_bytes(ticks)))
}

/// The header of a trace of a machine with this configuration and these images.
///
/// `recorded_at_unix_seconds` is for people.
#[must_use]
pub fn header_from_config(
    config: &MachineConfig,
    images: &[ImageRef],
    creator: String,
    recorded_at_unix_seconds: Option<u64>,
) -> wire::Header {
    wire::Header {
        machine_version: MACHINE_VERSION,
        config: wire::Config {
            boot: match config.boot {
                BootKind::Linux => wire::BootKind::Linux,
                BootKind::BareElf => wire::BootKind::BareElf,
            },
            ram_bytes: config.ram_bytes,
            hart_count: config.cpu_count,
            time_shift: config.time_shift,
            seed: config.seed,
            jitter_ticks_max: config.timer_jitter_ticks_max,
            command_line: config.command_line.clone(),
            terminal: wire_from_size(config.terminal),
            network: config.network,
        },
        images: images.iter().map(wire_from_image).collect(),
        creator,
        recorded_at_unix_seconds,
        other: Vec::new(),
    }
}

/// The configuration that a trace's header names. [`reprise_core::machine`] judges whether it is
/// possible.
///
/// # Errors
/// [`TraceError::MachineVersion`] when another machine recorded it.
pub fn config_from_header(header: &wire::Header) -> Result<MachineConfig, TraceError> {
    header.require_machine_version(MACHINE_VERSION)?;
    let config = &header.config;
    Ok(MachineConfig {
        ram_bytes: config.ram_bytes,
        cpu_count: config.hart_count,
        time_shift: config.time_shift,
        seed: config.seed,
        timer_jitter_ticks_max: config.jitter_ticks_max,
        boot: match config.boot {
            wire::BootKind::Linux => BootKind::Linux,
            wire::BootKind::BareElf => BootKind::BareElf,
        },
        command_line: config.command_line.clone(),
        terminal: size_from_wire(config.terminal),
        network: config.network,
    })
}

/// The images that a trace's header names.
#[must_use]
pub fn images_from_header(header: &wire::Header) -> Vec<ImageRef> {
    header
        .images
        .iter()
        .map(|image| ImageRef {
            role: match image.role {
                wire::ImageRole::Kernel => ImageRole::Kernel,
                wire::ImageRole::Initrd => ImageRole::Initrd,
                wire::ImageRole::Disk => ImageRole::Disk,
                wire::ImageRole::Elf => ImageRole::Elf,
                wire::ImageRole::Workspace => ImageRole::Workspace,
            },
            hash: ImageHash(image.hash.0),
            byte_len: image.bytes_len,
            name: image.name.clone(),
            places: image.places.clone(),
        })
        .collect()
}

/// A recording goes into a trace.
impl<W: Write> EntryLog for TraceWriter<W> {
    type Error = TraceError;

    fn push(&mut self, entry: &Entry) -> Result<(), TraceError> {
        let record = match entry {
            Entry::Event(event) => Record::Event(wire::Event {
                icount: event.icount.0,
                skip: event.skip,
                input: wire_from_event(&event.event, self)?,
            }),
            Entry::Hash { icount, hash } => Record::StateHash {
                icount: icount.0,
                components: hash.components().to_vec(),
            },
            Entry::End(end) => Record::End {
                icount: end.icount.0,
                reason: wire_from_end_reason(end.reason),
                exit_status: end.exit_status,
            },
        };
        TraceWriter::push(self, &record)
    }

    fn note_guest_time(&mut self, icount: Icount, time: GuestTime) -> Result<(), TraceError> {
        TraceWriter::push(
            self,
            &Record::Annotation {
                icount: icount.0,
                key: GUEST_TIME_KEY.to_owned(),
                value: time.0.to_le_bytes().to_vec(),
            },
        )
    }

    fn flush(&mut self) -> Result<(), TraceError> {
        self.flush_chunk()
    }
}

/// The entries of a trace, in order. What replay ignores is left out.
#[derive(Debug)]
pub struct Entries<R>(TraceReader<R>);

impl<R: Read + Seek> Entries<R> {
    /// The entries from where the reader stands.
    pub fn new(reader: TraceReader<R>) -> Self {
        Self(reader)
    }
}

impl<R: Read + Seek> Iterator for Entries<R> {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let record = match self.0.next_record() {
                Ok(record) => record?,
                Err(error) => return Some(Err(error.into())),
            };
            let entry = entry_from_record(record, &mut |hash| self.0.blob(hash));
            if let Some(entry) = entry.transpose() {
                return Some(entry);
            }
        }
    }
}

/// The entry that a record is; `None` for one that replay ignores.
///
/// # Errors
/// [`ReadError`], and those of `blob`.
pub fn entry_from_record(
    record: Record,
    blob: &mut impl FnMut(&BlobHash) -> Result<Vec<u8>, TraceError>,
) -> Result<Option<Entry>, ReadError> {
    Ok(Some(match record {
        Record::Event(event) => {
            let icount = Icount(event.icount);
            Entry::Event(TimedEvent {
                icount,
                skip: event.skip,
                event: Arc::new(event_from_wire(icount, event.input, blob)?),
            })
        }
        Record::StateHash { icount, components } => {
            let icount = Icount(icount);
            let count = components.len();
            let components = components
                .try_into()
                .map_err(|_| ReadError::OtherHash { icount, count })?;
            Entry::Hash {
                icount,
                hash: StateHash::from_components(components),
            }
        }
        Record::End {
            icount,
            reason,
            exit_status,
        } => {
            let icount = Icount(icount);
            Entry::End(End {
                icount,
                reason: end_reason_from_wire(reason).ok_or(ReadError::UnknownEnd { icount })?,
                exit_status,
            })
        }
        Record::Annotation { .. }
        | Record::Mark { .. }
        | Record::Keyframe { .. }
        | Record::Other { .. } => return Ok(None),
    }))
}

fn wire_from_event<W: Write>(
    event: &InputEvent,
    writer: &mut TraceWriter<W>,
) -> Result<wire::Input, TraceError> {
    Ok(match event {
        InputEvent::Start(start) => wire::Input::Start(Box::new(wire_from_start(start, writer)?)),
        InputEvent::ConsoleInput { port, bytes } => wire::Input::ConsoleInput {
            port: wire::ConsolePort(*port as u8),
            bytes: bytes.clone(),
        },
        InputEvent::ConsoleSize(size) => wire::Input::ConsoleSize(wire_from_size(*size)),
        InputEvent::PowerOff => wire::Input::PowerOff,
        InputEvent::Frame(bytes) => wire::Input::Frame(bytes.clone()),
        InputEvent::WorkspaceContent { key, content } => wire::Input::WorkspaceContent {
            file: key.file,
            extent: key.extent,
            bytes: match content {
                Content::Bytes(bytes) => Some(bytes.to_vec()),
                Content::Zeros => Some(Vec::new()),
                Content::Unreadable => None,
            },
        },
        InputEvent::DebugWrite(DebugWrite::Register {
            cpu,
            register,
            value,
        }) => wire::Input::RegisterWrite {
            hart: cpu.0,
            register: *register,
            value: *value,
        },
        InputEvent::DebugWrite(DebugWrite::Memory { address, bytes }) => wire::Input::MemoryWrite {
            address: address.0,
            bytes: bytes.clone(),
        },
    })
}

fn wire_from_start<W: Write>(
    start: &Start,
    writer: &mut TraceWriter<W>,
) -> Result<wire::Start, TraceError> {
    let files = start
        .files
        .iter()
        .map(|file| {
            Ok(wire::StartFile {
                path: file.path.clone(),
                mode: file.mode,
                content: writer.add_blob(&file.bytes)?,
            })
        })
        .collect::<Result<_, TraceError>>()?;
    Ok(wire::Start {
        command: start.command.clone(),
        environment: start.environment.clone(),
        working_directory: start.working_directory.clone(),
        clock_unix_nanoseconds: start.clock_unix_nanoseconds,
        seed: start.seed,
        interactive: start.interactive,
        terminal: wire_from_size(start.terminal),
        files,
    })
}

fn event_from_wire(
    icount: Icount,
    input: wire::Input,
    blob: &mut impl FnMut(&BlobHash) -> Result<Vec<u8>, TraceError>,
) -> Result<InputEvent, ReadError> {
    Ok(match input {
        wire::Input::Start(start) => InputEvent::Start(Box::new(start_from_wire(*start, blob)?)),
        wire::Input::ConsoleInput { port, bytes } => InputEvent::ConsoleInput {
            port: ConsolePort::from_number(port.0).ok_or(ReadError::UnknownPort {
                icount,
                port: port.0,
            })?,
            bytes,
        },
        wire::Input::ConsoleSize(size) => InputEvent::ConsoleSize(size_from_wire(size)),
        wire::Input::PowerOff => InputEvent::PowerOff,
        wire::Input::Frame(bytes) => InputEvent::Frame(bytes),
        wire::Input::WorkspaceContent {
            file,
            extent,
            bytes,
        } => InputEvent::WorkspaceContent {
            key: ContentKey { file, extent },
            content: match bytes {
                None => Content::Unreadable,
                Some(bytes) if bytes.is_empty() => Content::Zeros,
                Some(bytes) => Content::Bytes(bytes.into()),
            },
        },
        wire::Input::RegisterWrite {
            hart,
            register,
            value,
        } => InputEvent::DebugWrite(DebugWrite::Register {
            cpu: CpuId(hart),
            register,
            value,
        }),
        wire::Input::MemoryWrite { address, bytes } => InputEvent::DebugWrite(DebugWrite::Memory {
            address: GuestPhysAddr(address),
            bytes,
        }),
    })
}

fn start_from_wire(
    start: wire::Start,
    blob: &mut impl FnMut(&BlobHash) -> Result<Vec<u8>, TraceError>,
) -> Result<Start, ReadError> {
    // One small blob may be named by many files, so their sum is what must be bounded.
    let mut byte_count = 0;
    let mut files = Vec::new();
    for file in start.files {
        let bytes = blob(&file.content)?;
        byte_count += bytes.len() as u64;
        if byte_count > START_FILES_BYTES_MAX {
            return Err(ReadError::FilesTooLarge(START_FILES_BYTES_MAX));
        }
        files.push(StartFile {
            path: file.path,
            mode: file.mode,
            bytes,
        });
    }
    Ok(Start {
        command: start.command,
        environment: start.environment,
        working_directory: start.working_directory,
        clock_unix_nanoseconds: start.clock_unix_nanoseconds,
        seed: start.seed,
        interactive: start.interactive,
        terminal: size_from_wire(start.terminal),
        files,
    })
}

fn wire_from_image(image: &ImageRef) -> wire::ImageReference {
    wire::ImageReference {
        role: match image.role {
            ImageRole::Kernel => wire::ImageRole::Kernel,
            ImageRole::Initrd => wire::ImageRole::Initrd,
            ImageRole::Disk => wire::ImageRole::Disk,
            ImageRole::Elf => wire::ImageRole::Elf,
            ImageRole::Workspace => wire::ImageRole::Workspace,
        },
        hash: BlobHash(image.hash.0),
        bytes_len: image.byte_len,
        name: image.name.clone(),
        places: image.places.clone(),
    }
}

fn wire_from_size(size: TerminalSize) -> wire::TerminalSize {
    wire::TerminalSize {
        columns: size.columns,
        rows: size.rows,
    }
}

fn size_from_wire(size: wire::TerminalSize) -> TerminalSize {
    TerminalSize {
        columns: size.columns,
        rows: size.rows,
    }
}

fn wire_from_end_reason(reason: EndReason) -> wire::EndReason {
    match reason {
        EndReason::Halted(HaltReason::PowerOff) => wire::EndReason::PowerOff,
        EndReason::Halted(HaltReason::Reboot) => wire::EndReason::Reboot,
        EndReason::Halted(HaltReason::Failure(code)) => wire::EndReason::Failure(u64::from(code)),
        EndReason::Halted(HaltReason::ToHost(number)) => wire::EndReason::ToHost(number),
        EndReason::Stopped => wire::EndReason::Stopped,
        EndReason::LimitReached => wire::EndReason::LimitReached,
        EndReason::WaitsForever => wire::EndReason::WaitsForever,
    }
}

/// Why a recording ended; `None` for a reason that this version does not know.
#[must_use]
pub fn end_reason_from_wire(reason: wire::EndReason) -> Option<EndReason> {
    Some(match reason {
        wire::EndReason::PowerOff => EndReason::Halted(HaltReason::PowerOff),
        wire::EndReason::Reboot => EndReason::Halted(HaltReason::Reboot),
        wire::EndReason::Failure(code) => {
            EndReason::Halted(HaltReason::Failure(u32::try_from(code).ok()?))
        }
        wire::EndReason::ToHost(number) => EndReason::Halted(HaltReason::ToHost(number)),
        wire::EndReason::Stopped => EndReason::Stopped,
        wire::EndReason::LimitReached => EndReason::LimitReached,
        wire::EndReason::WaitsForever => EndReason::WaitsForever,
        wire::EndReason::Other { .. } => return None,
    })
}
