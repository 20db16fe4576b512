//! What a file's bytes become.

use reprise_core::workspace::Listing;
use reprise_core::workspace::content::{Content, ContentKey, EXTENT_BYTES};

/// Programs up to this size are recorded wholly. It is also part of every keyframe, hence the limit.
pub const PROGRAM_BYTES_MAX: u64 = 16 << 20;

/// Bytes as a content.
#[must_use]
pub fn content_of(bytes: Vec<u8>) -> Content {
    match bytes.iter().all(|byte| *byte == 0) {
        true => Content::Zeros,
        false => Content::Bytes(bytes.into()),
    }
}

/// Whether a file that begins so is an ELF file with a program or a library: `ET_EXEC` or `ET_DYN`, little-endian as the
/// guest's are (ELF gABI, "ELF Header").
fn is_program(beginning: &[u8]) -> bool {
    beginning.starts_with(b"\x7fELF") && matches!(beginning.get(16..18), Some([2 | 3, 0]))
}

/// The other contents of a program of which the guest reads the beginning. The guest never reads what is in a program
/// for debuggers, but who debugs the recording needs it.
///
/// Empty for files that are no programs or libraries, or larger than [`PROGRAM_BYTES_MAX`].
pub fn rest_of_program(
    listing: &Listing,
    key: ContentKey,
    content: &Content,
) -> impl Iterator<Item = ContentKey> + use<> {
    let byte_len = listing.file_bytes(key.file).unwrap_or(0);
    let is_whole = match content {
        Content::Bytes(bytes) => {
            key.extent == 0 && is_program(bytes) && byte_len <= PROGRAM_BYTES_MAX
        }
        Content::Zeros | Content::Unreadable => false,
    };
    let extents = if is_whole {
        byte_len.div_ceil(EXTENT_BYTES) as u32
    } else {
        0
    };
    (1..extents).map(move |extent| ContentKey { extent, ..key })
}

#[cfg(test)]
mod tests {
    use super::*;
    use reprise_core::workspace::ListingBuilder;
    use reprise_core::workspace::listing::{Entry, EntryKind, Timestamp};

    #[test]
    fn a_program_comes_wholly() {
        let check = |kind: u8, byte_len: u64, extent: u32, expect: &[u32]| {
            let entry = |kind| Entry {
                kind,
                mode: 0o755,
                uid: 0,
                gid: 0,
                mtime: Timestamp::default(),
            };
            let mut builder = ListingBuilder::new(entry(EntryKind::Directory));
            let program = entry(EntryKind::File { byte_len });
            (builder.add(ListingBuilder::ROOT, b"p", program)).expect("a good entry");
            let listing = Listing::decode(&builder.encode()).expect("a listing");
            let mut bytes = vec![0; 64];
            bytes[..4].copy_from_slice(b"\x7fELF");
            bytes[16] = kind;
            let key = ContentKey { file: 1, extent };
            let rest = rest_of_program(&listing, key, &content_of(bytes));
            assert_eq!(rest.map(|key| key.extent).collect::<Vec<_>>(), expect);
        };
        check(2, 2 * EXTENT_BYTES + 1, 0, &[1, 2]);
        check(3, 2 * EXTENT_BYTES, 0, &[1]);
        check(3, EXTENT_BYTES, 0, &[]);
        check(3, 2 * EXTENT_BYTES, 1, &[]);
        // Object files and core dumps are read by what the guest wants of them.
        check(1, 2 * EXTENT_BYTES, 0, &[]);
        check(4, 2 * EXTENT_BYTES, 0, &[]);
        check(2, PROGRAM_BYTES_MAX + 1, 0, &[]);
        assert_eq!(content_of(vec![0; 9]), Content::Zeros);
    }
}
