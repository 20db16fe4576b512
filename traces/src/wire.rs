//! The content of headers and records as tagged payloads.
//!
//! A header is a sequence of fields: number, payload length, payload. A records chunk is a sequence of
//! records: number, distance from the record before it, payload length, payload. Numbers below 0x80
//! matter to a replay, so an unknown one is refused; those from 0x80 on are skippable.

use crate::codec::{
    CodecError, decode, encode, put_bytes, put_varint, take_byte, take_bytes, take_varint,
};
use crate::header::{BootKind, Config, Header, HeaderAnnotation, ImageReference, ImageRole};
use crate::limits::{
    MAX_HASH_COMPONENTS, MAX_HEADER_RAW_BYTES, MAX_IMAGES, MAX_RECORD_PAYLOAD_BYTES,
};
use crate::record::{ConsolePort, EndReason, Event, Input, Record, Start, TerminalSize};

/// Whether a reader that does not know this number may do without what it marks.
pub(crate) const fn is_skippable(tag: u8) -> bool {
    tag >= 0x80
}

const FIELD_CONFIG: u8 = 0x01;
const FIELD_IMAGE: u8 = 0x02;
const FIELD_NETWORK: u8 = 0x03;
const FIELD_CREATOR: u8 = 0x80;
const FIELD_RECORDED_AT: u8 = 0x81;

const RECORD_START: u8 = 0x01;
pub(crate) const RECORD_CONSOLE_INPUT: u8 = 0x02;
const RECORD_CONSOLE_SIZE: u8 = 0x03;
const RECORD_POWER_OFF: u8 = 0x04;
const RECORD_REGISTER_WRITE: u8 = 0x05;
const RECORD_MEMORY_WRITE: u8 = 0x06;
const RECORD_WORKSPACE_CONTENT: u8 = 0x07;
const RECORD_FRAME: u8 = 0x08;
const RECORD_STATE_HASH: u8 = 0x10;
const RECORD_END: u8 = 0x20;
const RECORD_ANNOTATION: u8 = 0x80;
const RECORD_MARK: u8 = 0x81;
const RECORD_KEYFRAME: u8 = 0x82;

/// Why content that passed its checksum could not be understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WireError {
    /// It breaks a rule.
    Malformed(&'static str),
    /// An unknown number of this kind of thing, which must not be skipped.
    UnknownTag(&'static str, u8),
}

impl From<CodecError> for WireError {
    fn from(_: CodecError) -> Self {
        Self::Malformed("a payload does not decode")
    }
}

type ConfigPayload = (u8, u64, u32, u8, [u8; 32], u32, Vec<u8>, TerminalSize);
type ImagePayload = (u8, crate::blob::BlobHash, u64, String, Vec<String>);

/// Encodes everything of a header but its machine version, which stands in the preamble.
pub(crate) fn encode_header(header: &Header) -> Result<Vec<u8>, CodecError> {
    let Config {
        boot,
        ram_bytes,
        hart_count,
        time_shift,
        seed,
        jitter_ticks_max,
        command_line,
        terminal,
        network,
    } = &header.config;
    let mut raw = Vec::new();
    put_field(
        &mut raw,
        FIELD_CONFIG,
        &(
            boot.tag(),
            ram_bytes,
            hart_count,
            time_shift,
            seed,
            jitter_ticks_max,
            command_line,
            terminal,
        ),
    )?;
    for image in &header.images {
        let ImageReference {
            role,
            hash,
            bytes_len,
            name,
            places,
        } = image;
        put_field(
            &mut raw,
            FIELD_IMAGE,
            &(role.tag(), hash, bytes_len, name, places),
        )?;
    }
    if let Some(mac) = network {
        put_field(&mut raw, FIELD_NETWORK, mac)?;
    }
    if !header.creator.is_empty() {
        put_field(&mut raw, FIELD_CREATOR, &header.creator)?;
    }
    if let Some(seconds) = header.recorded_at_unix_seconds {
        put_field(&mut raw, FIELD_RECORDED_AT, &seconds)?;
    }
    for HeaderAnnotation { tag, payload } in &header.other {
        if *tag <= FIELD_RECORDED_AT {
            return Err(CodecError);
        }
        raw.push(*tag);
        put_bytes(&mut raw, payload)?;
    }
    if raw.len() > MAX_HEADER_RAW_BYTES as usize || header.images.len() > MAX_IMAGES {
        return Err(CodecError);
    }
    Ok(raw)
}

/// Decodes a header.
pub(crate) fn decode_header(machine_version: u32, raw: &[u8]) -> Result<Header, WireError> {
    let mut rest = raw;
    let mut config = None;
    let mut network = None;
    let mut images = Vec::new();
    let mut creator = None;
    let mut recorded_at = None;
    let mut other = Vec::new();
    while !rest.is_empty() {
        let tag = take_byte(&mut rest)?;
        let payload = take_bytes(&mut rest, MAX_HEADER_RAW_BYTES)?;
        let repeated = match tag {
            FIELD_CONFIG => config.replace(decode_config(payload)?).is_some(),
            FIELD_IMAGE => {
                images.push(decode_image(payload)?);
                images.len() > MAX_IMAGES
            }
            FIELD_NETWORK => network.replace(decode::<[u8; 6]>(payload)?).is_some(),
            FIELD_CREATOR => creator.replace(decode::<String>(payload)?).is_some(),
            FIELD_RECORDED_AT => recorded_at.replace(decode::<u64>(payload)?).is_some(),
            tag if is_skippable(tag) => {
                other.push(HeaderAnnotation {
                    tag,
                    payload: payload.to_vec(),
                });
                false
            }
            _ => return Err(WireError::UnknownTag("a header field", tag)),
        };
        if repeated {
            return Err(WireError::Malformed("a header field occurs too often"));
        }
    }
    let config = config.ok_or(WireError::Malformed("the header has no configuration"))?;
    Ok(Header {
        machine_version,
        config: Config { network, ..config },
        images,
        creator: creator.unwrap_or_default(),
        recorded_at_unix_seconds: recorded_at,
        other,
    })
}

fn decode_config(payload: &[u8]) -> Result<Config, WireError> {
    let (
        boot,
        ram_bytes,
        hart_count,
        time_shift,
        seed,
        jitter_ticks_max,
        command_line,
        terminal,
    ): ConfigPayload = decode(payload)?;
    Ok(Config {
        boot: BootKind::from_tag(boot).ok_or(WireError::UnknownTag("a way of booting", boot))?,
        ram_bytes,
        hart_count,
        time_shift,
        seed,
        jitter_ticks_max,
        command_line,
        terminal,
        network: None,
    })
}

fn decode_image(payload: &[u8]) -> Result<ImageReference, WireError> {
    let (role, hash, bytes_len, name, places): ImagePayload = decode(payload)?;
    Ok(ImageReference {
        role: ImageRole::from_tag(role).ok_or(WireError::UnknownTag("an image role", role))?,
        hash,
        bytes_len,
        name,
        places,
    })
}

fn put_field<T: serde::Serialize>(
    raw: &mut Vec<u8>,
    tag: u8,
    payload: &T,
) -> Result<(), CodecError> {
    raw.push(tag);
    put_bytes(raw, &encode(payload, MAX_HEADER_RAW_BYTES)?)
}

/// Appends a record that stands `distance` steps after the record before it.
pub(crate) fn put_record(
    raw: &mut Vec<u8>,
    distance: u64,
    record: &Record,
) -> Result<(), CodecError> {
    let (tag, payload) = encode_record(record)?;
    if payload.len() > MAX_RECORD_PAYLOAD_BYTES as usize {
        return Err(CodecError);
    }
    raw.push(tag);
    put_varint(raw, distance)?;
    put_bytes(raw, &payload)
}

/// The number and the payload of a record.
pub(crate) fn encode_record(record: &Record) -> Result<(u8, Vec<u8>), CodecError> {
    fn payload<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
        encode(value, MAX_RECORD_PAYLOAD_BYTES)
    }
    Ok(match record {
        Record::Event(Event { skip, input, .. }) => match input {
            Input::Start(start) => (RECORD_START, payload(&(skip, start))?),
            Input::ConsoleInput { port, bytes } => {
                (RECORD_CONSOLE_INPUT, payload(&(skip, port, bytes))?)
            }
            Input::ConsoleSize(size) => (RECORD_CONSOLE_SIZE, payload(&(skip, size))?),
            Input::PowerOff => (RECORD_POWER_OFF, payload(skip)?),
            Input::RegisterWrite {
                hart,
                register,
                value,
            } => (
                RECORD_REGISTER_WRITE,
                payload(&(skip, hart, register, value))?,
            ),
            Input::MemoryWrite { address, bytes } => {
                (RECORD_MEMORY_WRITE, payload(&(skip, address, bytes))?)
            }
            Input::Frame(bytes) => (RECORD_FRAME, payload(&(skip, bytes))?),
            Input::WorkspaceContent {
                file,
                extent,
                bytes,
            } => (
                RECORD_WORKSPACE_CONTENT,
                payload(&(skip, file, extent, bytes))?,
            ),
        },
        Record::StateHash { components, .. } => {
            if components.is_empty() || components.len() > MAX_HASH_COMPONENTS {
                return Err(CodecError);
            }
            let bytes = components.iter().flat_map(|value| value.to_le_bytes());
            (RECORD_STATE_HASH, bytes.collect())
        }
        Record::Annotation { key, value, .. } => (RECORD_ANNOTATION, payload(&(key, value))?),
        Record::Mark { name, .. } => (RECORD_MARK, payload(name)?),
        Record::Keyframe {
            state, page_map, ..
        } => (RECORD_KEYFRAME, payload(&(state, page_map))?),
        Record::End {
            reason,
            exit_status,
            ..
        } => {
            let (code, detail) = reason.to_wire();
            (RECORD_END, payload(&(code, detail, exit_status))?)
        }
        Record::Other { tag, payload, .. } => {
            if *tag <= RECORD_KEYFRAME {
                return Err(CodecError);
            }
            (*tag, payload.clone())
        }
    })
}

/// Takes a record off the front of `rest`; the one before it stands at `last_icount`.
pub(crate) fn take_record(rest: &mut &[u8], last_icount: u64) -> Result<Record, WireError> {
    let tag = take_byte(rest)?;
    let icount = last_icount
        .checked_add(take_varint(rest)?)
        .ok_or(WireError::Malformed("a position is beyond all counting"))?;
    let payload = take_bytes(rest, MAX_RECORD_PAYLOAD_BYTES)?;
    decode_record(tag, icount, payload)
}

/// The record with this number and payload at `icount`.
pub(crate) fn decode_record(tag: u8, icount: u64, payload: &[u8]) -> Result<Record, WireError> {
    let event = |(skip, input)| {
        Record::Event(Event {
            icount,
            skip,
            input,
        })
    };
    Ok(match tag {
        RECORD_START => {
            let (skip, start): (u64, Box<Start>) = decode(payload)?;
            event((skip, Input::Start(start)))
        }
        RECORD_CONSOLE_INPUT => {
            let (skip, port, bytes): (u64, ConsolePort, Vec<u8>) = decode(payload)?;
            event((skip, Input::ConsoleInput { port, bytes }))
        }
        RECORD_CONSOLE_SIZE => {
            let (skip, size): (u64, TerminalSize) = decode(payload)?;
            event((skip, Input::ConsoleSize(size)))
        }
        RECORD_POWER_OFF => event((decode(payload)?, Input::PowerOff)),
        RECORD_REGISTER_WRITE => {
            let (skip, hart, register, value): (u64, u32, u16, u64) = decode(payload)?;
            event((
                skip,
                Input::RegisterWrite {
                    hart,
                    register,
                    value,
                },
            ))
        }
        RECORD_MEMORY_WRITE => {
            let (skip, address, bytes): (u64, u64, Vec<u8>) = decode(payload)?;
            event((skip, Input::MemoryWrite { address, bytes }))
        }
        RECORD_WORKSPACE_CONTENT => {
            let (skip, file, extent, bytes): (u64, u32, u32, Option<Vec<u8>>) = decode(payload)?;
            event((
                skip,
                Input::WorkspaceContent {
                    file,
                    extent,
                    bytes,
                },
            ))
        }
        RECORD_FRAME => {
            let (skip, bytes): (u64, Vec<u8>) = decode(payload)?;
            event((skip, Input::Frame(bytes)))
        }
        RECORD_STATE_HASH => decode_state_hash(icount, payload)?,
        RECORD_END => {
            let (code, detail, exit_status): (u8, u64, Option<i32>) = decode(payload)?;
            Record::End {
                icount,
                reason: EndReason::from_wire(code, detail),
                exit_status,
            }
        }
        RECORD_ANNOTATION => {
            let (key, value) = decode(payload)?;
            Record::Annotation { icount, key, value }
        }
        RECORD_MARK => Record::Mark {
            icount,
            name: decode(payload)?,
        },
        RECORD_KEYFRAME => {
            let (state, page_map) = decode(payload)?;
            Record::Keyframe {
                icount,
                state,
                page_map,
            }
        }
        tag if is_skippable(tag) => Record::Other {
            icount,
            tag,
            payload: payload.to_vec(),
        },
        _ => return Err(WireError::UnknownTag("a record", tag)),
    })
}

fn decode_state_hash(icount: u64, payload: &[u8]) -> Result<Record, WireError> {
    let (values, rest) = payload.as_chunks::<8>();
    if values.is_empty() || values.len() > MAX_HASH_COMPONENTS || !rest.is_empty() {
        return Err(WireError::Malformed("a state hash has an impossible size"));
    }
    let components = values.iter().map(|value| u64::from_le_bytes(*value));
    Ok(Record::StateHash {
        icount,
        components: components.collect(),
    })
}
