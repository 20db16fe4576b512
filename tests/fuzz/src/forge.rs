//! Traces with right checksums and any content.
//!
//! A mutated trace nearly always fails its checksums, and a mutated zstd frame fails to decompress, so a
//! fuzzer would never get past either. Here the checksums of a mutated file are mended, or a file is
//! built around mutated content. This is written from FORMAT.md alone, as a second opinion on it.

const MAGIC: [u8; 8] = *b"\x89RPR\r\n\x1a\n";
const PACKED_MAGIC: [u8; 2] = *b"\x89P";
const END_MAGIC: [u8; 4] = *b"\x89END";
const PREAMBLE_BYTES: usize = 28;
const CHUNK_HEADER_BYTES: usize = 21;
const INDEX_KIND: u8 = 3;
const PAGES_KIND: u8 = 0x80;
const PAGE_BYTES: usize = 4096;
const INDEX_FIELD_CHUNKS: u8 = 1;

/// Distance in a script after which an index's content stands as it is.
const DISTANCE_OF_RAW_INDEX: u8 = 0xff;

fn crc(parts: &[&[u8]]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().to_le_bytes()
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize
}

/// Sets magic, format version and every checksum that the lengths in the file lead to, and points the
/// footer at the index.
#[must_use]
pub fn mend(file: &[u8]) -> Vec<u8> {
    let mut bytes = file.to_vec();
    if bytes.len() < PREAMBLE_BYTES {
        return bytes;
    }
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&1u32.to_le_bytes());
    let mut at = PREAMBLE_BYTES + u32_at(&bytes, 20);
    let Some(stored) = bytes.get(PREAMBLE_BYTES..at) else {
        return bytes;
    };
    let seal = crc(&[&bytes[..24], stored]);
    bytes[24..28].copy_from_slice(&seal);
    for number in 0u32.. {
        let content_at = at + CHUNK_HEADER_BYTES;
        if content_at > bytes.len() {
            break;
        }
        let end = content_at + u32_at(&bytes, at + 5);
        let Some(stored) = bytes.get(content_at..end) else {
            break;
        };
        let header = &bytes[at..content_at - 4];
        let checksum = crc(&[&seal, &number.to_le_bytes(), header, stored]);
        let is_index = header[0] == INDEX_KIND;
        bytes[content_at - 4..content_at].copy_from_slice(&checksum);
        if is_index && let Some(footer) = bytes.get_mut(end..end + 16) {
            footer.copy_from_slice(&footer_of(seal, at));
            break;
        }
        at = end;
    }
    bytes
}

/// Builds a file from a script: first the header's content, then chunks, each given by kind (1 byte),
/// distance from the last base icount (1 byte), and content; content has its length (2 bytes) before
/// it. Nothing is compressed. An index gets the right list of chunks before its content, unless its
/// distance is 255, and a footer after it. Each byte of a pages chunk's content stands for a page of that
/// byte, so that the fuzzer does not spend itself on their content.
#[must_use]
pub fn build(script: &[u8]) -> Vec<u8> {
    let mut rest = script;
    let header = take_content(&mut rest).unwrap_or_default();
    let mut bytes = MAGIC.to_vec();
    for value in [1, 1, header.len() as u32, header.len() as u32] {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    let seal = crc(&[&bytes, header]);
    bytes.extend_from_slice(&seal);
    bytes.extend_from_slice(header);
    let mut base_icount = 0u64;
    let mut chunk_list = Vec::new();
    for number in 0u32.. {
        let &[kind, distance, ref after @ ..] = rest else {
            break;
        };
        rest = after;
        let Some(content) = take_content(&mut rest) else {
            break;
        };
        let mut content = content.to_vec();
        if kind == PAGES_KIND {
            let page = |byte: u8| [byte; PAGE_BYTES];
            content = content.into_iter().take(8).flat_map(page).collect();
        }
        base_icount += u64::from(distance);
        if kind != INDEX_KIND {
            let length = varint(content.len());
            chunk_list.extend([&[kind][..], &length, &length, &varint(distance.into())].concat());
        } else if distance != DISTANCE_OF_RAW_INDEX {
            let list = [&varint(number as usize)[..], &chunk_list].concat();
            let field = [&[INDEX_FIELD_CHUNKS][..], &varint(list.len()), &list].concat();
            content.splice(0..0, field);
        }
        let at = bytes.len();
        let length = (content.len() as u32).to_le_bytes();
        let parts: [&[u8]; 4] = [&[kind], &length, &length, &base_icount.to_le_bytes()];
        let chunk_header = parts.concat();
        let checksum = crc(&[&seal, &number.to_le_bytes(), &chunk_header, &content]);
        bytes.extend_from_slice(&chunk_header);
        bytes.extend_from_slice(&checksum);
        bytes.extend_from_slice(&content);
        if kind == INDEX_KIND {
            bytes.extend_from_slice(&footer_of(seal, at));
        }
    }
    bytes
}

/// The script from which [`build`] makes a file with the content of this one, which must be whole.
#[must_use]
pub fn script_of(file: &[u8]) -> Option<Vec<u8>> {
    let plain = |at: usize, raw: usize, stored: usize| -> Option<Vec<u8>> {
        let stored = file.get(at..at + stored)?;
        if stored.len() == raw {
            return Some(stored.to_vec());
        }
        zstd::bulk::decompress(stored, raw).ok()
    };
    let mut script = Vec::new();
    let mut put_content = |start: &[u8], content: &[u8]| -> Option<()> {
        script.extend_from_slice(start);
        script.extend_from_slice(&u16::try_from(content.len()).ok()?.to_le_bytes());
        script.extend_from_slice(content);
        Some(())
    };
    let stored = u32_at(file, 20);
    put_content(&[], &plain(PREAMBLE_BYTES, u32_at(file, 16), stored)?)?;
    let mut at = PREAMBLE_BYTES + stored;
    let mut base_icount = 0;
    loop {
        let header = file.get(at..at + CHUNK_HEADER_BYTES)?;
        let stored = u32_at(header, 5);
        let mut content = plain(at + CHUNK_HEADER_BYTES, u32_at(header, 1), stored)?;
        let base = u32_at(header, 9);
        let distance = u8::try_from(base - base_icount).ok()?;
        base_icount = base;
        if header[0] == INDEX_KIND {
            // The list of chunks comes first and, in a trace that fits into a script, its length is one
            // byte. `build` makes a new one, since nothing is compressed then.
            let list_bytes = usize::from(*content.get(1)?);
            content.drain(..2 + list_bytes);
            put_content(&[INDEX_KIND, distance], &content)?;
            return Some(script);
        }
        if header[0] == PAGES_KIND {
            content = content.into_iter().step_by(PAGE_BYTES).collect();
        }
        put_content(&[header[0], distance], &content)?;
        at += CHUNK_HEADER_BYTES + stored;
    }
}

/// A packed trace around a content, which stands there as it is.
#[must_use]
pub fn pack(content: &[u8]) -> Vec<u8> {
    let head = [&PACKED_MAGIC[..], &varint(1), &varint(content.len())].concat();
    [&head, &crc(&[&head, content])[..], content].concat()
}

/// The content of a packed trace, so that [`pack`] builds it again.
#[must_use]
pub fn content_of_packed(packed: &[u8]) -> Option<Vec<u8>> {
    let mut rest = packed.strip_prefix(&PACKED_MAGIC[..])?;
    take_varint(&mut rest)?;
    let raw = take_varint(&mut rest)?;
    let stored = rest.get(4..)?;
    if stored.len() == raw {
        return Some(stored.to_vec());
    }
    zstd::bulk::decompress(stored, raw).ok()
}

fn footer_of(seal: [u8; 4], index_at_byte: usize) -> [u8; 16] {
    let index_at_byte = (index_at_byte as u64).to_le_bytes();
    let mut footer = [0; 16];
    footer[..8].copy_from_slice(&index_at_byte);
    footer[8..12].copy_from_slice(&crc(&[&seal, &index_at_byte]));
    footer[12..].copy_from_slice(&END_MAGIC);
    footer
}

fn varint(value: usize) -> Vec<u8> {
    match value {
        0..=250 => vec![value as u8],
        251..=0xffff => [&[251], &(value as u16).to_le_bytes()[..]].concat(),
        _ => [&[252], &(value as u32).to_le_bytes()[..]].concat(),
    }
}

fn take_varint(rest: &mut &[u8]) -> Option<usize> {
    let (&first, after) = rest.split_first()?;
    let (value, length) = match first {
        0..=250 => (usize::from(first), 0),
        251 => (usize::from(u16::from_le_bytes(*after.first_chunk()?)), 2),
        252 => (u32::from_le_bytes(*after.first_chunk()?) as usize, 4),
        _ => return None,
    };
    *rest = after.get(length..)?;
    Some(value)
}

fn take_content<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let &[low, high, ref after @ ..] = *rest else {
        return None;
    };
    let length = usize::from(u16::from_le_bytes([low, high])).min(after.len());
    let (content, after) = after.split_at(length);
    *rest = after;
    Some(content)
}
