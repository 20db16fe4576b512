//! The workspace's 9P2000.L server: whatever a guest sends, and whatever a listing or a saved state says, it does not panic; its replies
//! are well formed and as short as asked; a request that fails changes nothing; and a saved state is the state.
//!
//! An input whose first byte is 255 is a listing; one whose first byte is 254 is a saved state; any other is a sequence of messages, each a
//! byte for its length, its type, and its fields.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reprise_core::state::{StateReader, StateWriter};
use reprise_core::workspace::changes::ChangedKind;
use reprise_core::workspace::content::{Content, ContentKey};
use reprise_core::workspace::listing::{Entry, EntryKind, Timestamp};
use reprise_core::workspace::server::REPLY_BYTES_MIN;
use reprise_core::workspace::{Listing, ListingBuilder, Server};
use std::sync::{Arc, LazyLock};

const BUDGET_BYTES: u64 = 256 << 10;
/// Messages of an input that are sent.
const MESSAGES_MAX: usize = 64;
/// Bytes of a saved state: the budget, what the fixed listing's files hold, and fids.
const STATE_BYTES_MAX: usize = 4 << 20;
const RLERROR: u8 = 7;
/// Bytes of a file that are looked at.
const LOOKED_BYTES_MAX: u64 = 1 << 20;

static LISTING: LazyLock<Arc<Listing>> = LazyLock::new(|| {
    let entry = |kind| Entry {
        kind,
        mode: 0o755,
        uid: 0,
        gid: 0,
        mtime: Timestamp::from_unix_nanoseconds(1_000_000_000),
    };
    let file = |byte_len| entry(EntryKind::File { byte_len });
    let mut builder = ListingBuilder::new(entry(EntryKind::Directory));
    let root = ListingBuilder::ROOT;
    let directory = builder.add(root, b"d", entry(EntryKind::Directory));
    let directory = directory.expect("a good entry");
    for (place, name, entry) in [
        (root, b"a", file(10)),
        (root, b"b", file(200_000)),
        (directory, b"c", file(0)),
        (directory, b"e", file(5000)),
    ] {
        builder.add(place, name, entry).expect("a good entry");
    }
    Arc::new(Listing::decode(&builder.encode()).expect("it was just made"))
});

fn saved(server: &Server) -> Vec<u8> {
    let mut writer = StateWriter::new();
    server.save_session(&mut writer);
    server.save_files(&mut writer);
    writer.into_bytes()
}

fn restored(listing: &Arc<Listing>, state: &[u8]) -> Option<Server> {
    let mut server = Server::new(listing.clone(), BUDGET_BYTES);
    let mut reader = StateReader::new(state);
    server.restore_session(&mut reader).ok()?;
    server.restore_files(&mut reader).ok()?;
    reader.is_at_end().then_some(server)
}

fuzz_target!(|input: &[u8]| {
    match input.split_first() {
        Some((255, bytes)) => check_listing(bytes),
        Some((254, bytes)) => {
            if let Some(mut server) = restored(&LISTING, bytes) {
                assert_eq!(saved(&server), bytes);
                check_changes(&server);
                for fid in 0..4u32 {
                    let fid = fid.to_le_bytes();
                    send(&mut server, 24, &[&fid[..], &[0xff; 8]].concat(), 4096);
                    send(&mut server, 120, &fid, 4096);
                }
            }
        }
        Some((reply, bytes)) => converse(
            &LISTING,
            bytes,
            REPLY_BYTES_MIN + (usize::from(*reply) << 5),
        ),
        None => {}
    }
});

fn check_listing(bytes: &[u8]) {
    let Ok(listing) = Listing::decode(bytes) else {
        return;
    };
    for number in 0..listing.entry_count() {
        let parent = listing.parent(number).expect("each has one");
        let name = listing.name(number).expect("each has one");
        assert!(number == 0 || listing.lookup(parent, name) == Some(number));
        for child in listing.children(number) {
            assert_eq!(listing.parent(child), Some(number));
        }
    }
    // The same entries make the same bytes.
    let root = listing.entry(0).expect("a root");
    let mut builder = ListingBuilder::new(root.clone());
    let mut places = vec![ListingBuilder::ROOT];
    for number in 1..listing.entry_count() {
        let parent = listing.parent(number).expect("each has one");
        let name = listing.name(number).expect("each has one");
        let entry = listing.entry(number).expect("counted").clone();
        let added = builder.add(places[parent as usize], name, entry);
        places.push(added.expect("what was decoded can be built"));
    }
    assert_eq!(builder.encode(), bytes);
}

fn converse(listing: &Arc<Listing>, mut bytes: &[u8], reply_bytes_max: usize) {
    let mut server = Server::new(listing.clone(), BUDGET_BYTES);
    for _ in 0..MESSAGES_MAX {
        let Some((&[length, message_type], rest)) = bytes.split_first_chunk() else {
            break;
        };
        let (fields, rest) = rest.split_at(rest.len().min(usize::from(length)));
        bytes = rest;
        send(&mut server, message_type, fields, reply_bytes_max);
    }
    let state = saved(&server);
    assert!(state.len() <= STATE_BYTES_MAX);
    let again = restored(listing, &state).expect("what was saved is restored");
    assert_eq!(again.files_hash(), server.files_hash());
    assert_eq!(saved(&again), state);
    assert_eq!(again.changes(), server.changes());
    check_changes(&server);
}

/// What is told of changes can be gone through, and leads nowhere else.
fn check_changes(server: &Server) {
    let changes = server.changes();
    assert!(
        changes
            .changed
            .is_sorted_by(|one, other| one.path <= other.path)
    );
    for changed in &changes.changed {
        let mut names = changed.path.split(|byte| *byte == b'/');
        assert!(names.all(|name| !name.is_empty() && name != b"." && name != b".."));
        if let ChangedKind::File { byte_len } = changed.kind {
            // Where some of it cannot be read there is nothing to be had.
            let _ = server.lacks(changed.inode, 0..byte_len.min(LOOKED_BYTES_MAX));
        }
    }
}

/// Sends a message, and again when what it wants has come.
fn send(server: &mut Server, message_type: u8, fields: &[u8], reply_bytes_max: usize) {
    const TAG: u16 = 7;
    let size = (7 + fields.len()) as u32;
    let message = [
        &size.to_le_bytes()[..],
        &[message_type],
        &TAG.to_le_bytes(),
        fields,
    ]
    .concat();
    loop {
        let before = (saved(server), server.files_hash());
        let now = Timestamp::from_unix_nanoseconds(2_000_000_000);
        let reply = match server.handle(&message, reply_bytes_max, now) {
            Ok(reply) => reply,
            Err(missing) => {
                assert!(!missing.is_empty());
                assert_eq!((saved(server), server.files_hash()), before);
                for key in missing {
                    assert!(!server.has_content(key));
                    let content = content_of(server, key);
                    server.insert_content(key, content).expect("it was wanted");
                }
                continue;
            }
        };
        assert!(reply.len() <= reply_bytes_max);
        let header = reply.first_chunk().expect("a header");
        let [s0, s1, s2, s3, reply_type, t0, t1]: [u8; 7] = *header;
        assert_eq!(u32::from_le_bytes([s0, s1, s2, s3]) as usize, reply.len());
        assert_eq!(u16::from_le_bytes([t0, t1]), TAG);
        if reply_type == RLERROR {
            // A remove ends its fid whatever comes of it.
            if message_type != 122 {
                assert_eq!((saved(server), server.files_hash()), before);
            }
        } else {
            assert_eq!(reply_type, message_type + 1);
        }
        return;
    }
}

fn content_of(server: &Server, key: ContentKey) -> Content {
    let range = key.range(server.listing());
    let byte_len = (range.end - range.start) as usize;
    Content::Bytes(vec![key.file as u8; byte_len].into())
}
