//! Bytes that no good client and no good snapshot has.

use super::super::content::{Content, ContentError, ContentKey, EXTENT_BYTES};
use super::super::message::message_type;
use super::super::server::Server;
use super::client::{BUDGET, Client, NOW, ROOT, fid, listing, message, u32_at};
use crate::devices::suite::Random;
use crate::state::StateReader;

/// Messages of all kinds, good ones on a fresh client.
fn messages() -> Vec<Vec<u8>> {
    let walk = fid(ROOT).u32(2).u16(2).string(b"a").string(b"x");
    let attributes = fid(2).u32(0x1ff).u32(0o600).u32(1).u32(2).u64(100);
    let attributes = attributes.u64(1).u64(2).u64(3).u64(4);
    let fields = [
        (message_type::WALK, walk),
        (
            message_type::ATTACH,
            fid(3).u32(9).string(b"u").string(b"t").u32(0),
        ),
        (message_type::LOPEN, fid(2).u32(2)),
        (message_type::READ, fid(2).u64(10).u32(100)),
        (message_type::WRITE, fid(2).u64(0).data(b"some bytes")),
        (message_type::GETATTR, fid(2).u64(0x7ff)),
        (message_type::SETATTR, attributes),
        (
            message_type::LCREATE,
            fid(3).string(b"new").u32(2).u32(0o600).u32(5),
        ),
        (
            message_type::MKDIR,
            fid(ROOT).string(b"d").u32(0o700).u32(5),
        ),
        (
            message_type::SYMLINK,
            fid(ROOT).string(b"s").string(b"t").u32(5),
        ),
        (
            message_type::MKNOD,
            fid(ROOT).string(b"p").u32(0o010_600).u32(0).u32(0).u32(5),
        ),
        (message_type::LINK, fid(ROOT).u32(2).string(b"l")),
        (
            message_type::RENAMEAT,
            fid(ROOT).string(b"l").u32(ROOT).string(b"m"),
        ),
        (message_type::RENAME, fid(2).u32(ROOT).string(b"r")),
        (message_type::READDIR, fid(ROOT).u64(0).u32(1000)),
        (message_type::READLINK, fid(2)),
        (message_type::STATFS, fid(2)),
        (message_type::FSYNC, fid(2).u32(0)),
        (
            message_type::LOCK,
            fid(2).u8(1).u32(0).u64(0).u64(0).u32(1).string(b"c"),
        ),
        (
            message_type::GETLOCK,
            fid(2).u8(1).u64(0).u64(0).u32(1).string(b"c"),
        ),
        (message_type::XATTRWALK, fid(2).u32(9).string(b"user.x")),
        (message_type::UNLINKAT, fid(ROOT).string(b"m").u32(0)),
        (message_type::REMOVE, fid(3)),
        (message_type::CLUNK, fid(2)),
    ];
    let tagged = fields.into_iter().enumerate();
    tagged
        .map(|(tag, (kind, fields))| message(kind, tag as u16, &fields.0))
        .collect()
}

#[test]
fn mutated_messages_get_an_answer_and_leave_a_good_state() {
    let mut random = Random(11);
    let good = messages();
    for round in 0..400 {
        let mut client = Client::new();
        for sample in &good {
            let mut bytes = sample.clone();
            for _ in 0..random.below(4) {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] = match random.below(4) {
                    0 => 0,
                    1 => 0xff,
                    2 => random.below(8) as u8,
                    _ => random.next() as u8,
                };
            }
            if random.below(5) == 0 {
                bytes.truncate(random.below(bytes.len() as u64 + 1) as usize);
            }
            let room = if random.below(5) == 0 {
                11 + random.below(60) as usize
            } else {
                600_000
            };
            loop {
                match client.server.handle(&bytes, room, NOW) {
                    Ok(reply) => {
                        assert_eq!(u32_at(&reply, 0) as usize, reply.len());
                        assert!(reply.len() <= room);
                        break;
                    }
                    Err(missing) => missing.into_iter().for_each(|key| client.deliver(key)),
                }
            }
        }
        if round % 10 == 0 {
            client.restart(listing(), BUDGET);
        }
    }
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let mut client = Client::new();
    let errno = |client: &mut Client, bytes: &[u8]| {
        let reply = client.server.handle(bytes, 4096, NOW).unwrap();
        assert_eq!((reply.len(), reply[4]), (11, message_type::RLERROR));
        u32_at(&reply, 7)
    };
    assert_eq!(errno(&mut client, &[]), 71);
    assert_eq!(errno(&mut client, &[7, 0, 0, 0, 120, 1]), 71);
    assert_eq!(errno(&mut client, &[6, 0, 0, 0, 120, 1, 0]), 71);
    assert_eq!(errno(&mut client, &[0xff, 0xff, 0xff, 0xff, 120, 1, 0]), 90);
    let longer = [message(message_type::CLUNK, 1, &fid(ROOT).0), vec![0; 9]].concat();
    let mut claimed = longer.clone();
    claimed[0] += 1;
    assert_eq!(errno(&mut client, &claimed), 71);
    // A walk whose answer would not fit makes no fid.
    let walk = message(
        message_type::WALK,
        1,
        &fid(ROOT).u32(2).u16(1).string(b"a").0,
    );
    let reply = client.server.handle(&walk, 20, NOW).unwrap();
    assert_eq!(u32_at(&reply, 7), 90);
    assert_eq!(client.stat(2), Err(9));
    // What lies behind a message is no part of it.
    assert_eq!(client.server.handle(&longer, 4096, NOW).unwrap().len(), 7);
}

/// A client whose state has everything in it.
fn busy() -> Client {
    let mut client = Client::new();
    client.open_at(2, "a/x", 2).unwrap();
    client.write(2, 10, b"text").unwrap();
    client.link(ROOT, 2, b"second").unwrap();
    client.make_directory(ROOT, b"d").unwrap();
    client.at(3, "d").unwrap();
    client.symlink(3, b"s", b"t").unwrap();
    client.rename_at((ROOT, b"a"), (3, b"moved")).unwrap();
    client.open_at(4, "zero", 2).unwrap();
    client.unlink_at(ROOT, b"zero", 0).unwrap();
    client
}

#[test]
fn damaged_state_is_refused_or_good() {
    let state = busy().state();
    let mut random = Random(3);
    let mut taken = 0;
    for round in 0..3000 {
        let mut damaged = state.clone();
        if round % 10 == 0 {
            damaged.truncate(random.below(state.len() as u64) as usize);
        } else {
            // Most of the state is one block's zeros, which may be anything.
            let limit = if round % 2 == 0 {
                700
            } else {
                state.len() as u64
            };
            let at = random.below(limit) as usize;
            damaged[at] = match random.below(3) {
                0 => random.below(12) as u8,
                1 => damaged[at] ^ 1 << random.below(8),
                _ => random.next() as u8,
            };
        }
        let mut client = busy();
        let mut from = StateReader::new(&damaged);
        if client.server.restore_session(&mut from).is_ok()
            && client.server.restore_files(&mut from).is_ok()
        {
            assert!(from.is_at_end());
            assert!(client.state() == damaged, "saved again, it differs");
            taken += 1;
        }
        use_it(&mut client);
    }
    assert!(taken > 100);
}

/// Uses a client in whatever state it is.
fn use_it(client: &mut Client) {
    let fids: Vec<u32> = vec![ROOT, 2, 3, 4];
    for number in fids {
        let _ = client.stat(number);
        let _ = client.read(number, 0, 5000);
        let _ = client.write(number, 100, b"x");
        let _ = client.make_directory(number, b"new");
        let _ = client.rename_at((number, b"new"), (3, b"newer"));
        let _ = client.rename_at((ROOT, b"d"), (number, b"inside"));
        let _ = client.walk(number, 50, &[b"..", b"..", b"d", b"moved"]);
        let _ = client.open(50, 0);
        let _ = client.read_directory(50, 0, 4096);
        let _ = client.unlink_at(ROOT, b"second", 0);
        let _ = client.clunk(50);
        let _ = client.clunk(number);
    }
}

#[test]
fn state_of_another_workspace_is_refused() {
    let state = busy().state();
    let mut builder = super::super::listing::ListingBuilder::new(super::client::directory());
    let root = super::super::listing::ListingBuilder::ROOT;
    builder.add(root, b"a", super::client::file(5)).unwrap();
    let other = super::super::listing::Listing::decode(&builder.encode()).unwrap();
    let mut server = Server::new(std::sync::Arc::new(other), BUDGET);
    let mut from = StateReader::new(&state);
    server.restore_session(&mut from).unwrap();
    assert!(server.restore_files(&mut from).is_err());
    let mut server = Server::new(listing(), BUDGET + 1);
    let mut from = StateReader::new(&state);
    server.restore_session(&mut from).unwrap();
    assert!(server.restore_files(&mut from).is_err());
}

#[test]
fn contents_come_once_and_as_long_as_they_should() {
    let mut server = Server::new(listing(), BUDGET);
    let big = server.listing().lookup(0, b"big").unwrap();
    let mut give = |file, extent, length: u64| {
        let content = Content::Bytes(vec![1; length as usize].into());
        server.insert_content(ContentKey { file, extent }, content)
    };
    assert_eq!(give(big, 0, EXTENT_BYTES), Ok(()));
    assert_eq!(give(big, 0, EXTENT_BYTES), Err(ContentError::CameBefore));
    assert!(matches!(
        give(big, 1, 5),
        Err(ContentError::WrongLength { .. })
    ));
    assert_eq!(give(big, 2, 300 * 1024 + 17 - 2 * EXTENT_BYTES), Ok(()));
    let nowhere = Err(ContentError::NoSuchExtent);
    assert_eq!(give(big, 3, 0), nowhere);
    assert_eq!(give(big, u32::MAX, EXTENT_BYTES), nowhere);
    assert_eq!(give(0, 0, EXTENT_BYTES), nowhere);
    assert_eq!(give(u32::MAX, 0, EXTENT_BYTES), nowhere);
}
