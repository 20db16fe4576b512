//! One test per message, except for those that change names.

use super::super::message::message_type;
use super::client::{Client, Fields, LISTED, NOW, ROOT, base_bytes, fid, qid_at, u32_at, u64_at};

const TRUNCATE: u32 = 0o1000;

#[test]
fn version_agrees_on_a_size_and_ends_the_session() {
    let mut client = Client::new();
    let reply = client.version().unwrap();
    assert_eq!(u32_at(&reply, 0), 512 << 10);
    assert_eq!(&reply[6..], b"9P2000.L");
    assert_eq!(client.stat(ROOT), Err(9));
    let ask = |client: &mut Client, bytes: u32, version: &[u8]| {
        client.call(
            message_type::VERSION,
            Fields::default().u32(bytes).string(version),
        )
    };
    assert_eq!(
        u32_at(&ask(&mut client, 8192, b"9P2000.L").unwrap(), 0),
        8192
    );
    assert_eq!(ask(&mut client, 4095, b"9P2000.L"), Err(90));
    let reply = ask(&mut client, 8192, b"9P2000.u").unwrap();
    assert_eq!(&reply[6..], b"unknown");
    assert_eq!(client.attach(ROOT, 0), Err(71));
}

#[test]
fn attach_gives_the_root_and_auth_is_not_needed() {
    let mut client = Client::new();
    assert_eq!(qid_at(&client.attach(2, 0).unwrap(), 0), (0x80, 1, 1));
    assert_eq!(client.attach(2, 0), Err(9));
    assert_eq!(client.attach(u32::MAX, 0), Err(9));
    assert_eq!(client.call(message_type::AUTH, fid(3)), Err(2));
}

#[test]
fn walk_goes_as_far_as_the_path_leads() {
    let mut client = Client::new();
    let reply = client.walk(ROOT, 2, &[b"a", b"x"]).unwrap();
    assert_eq!((reply[0], reply.len()), (2, 2 + 26));
    assert_eq!(qid_at(&reply, 2).0, 0x80);
    assert_eq!(client.stat(2).unwrap().size, 300);
    assert_eq!(client.walk(ROOT, 3, &[b"a", b"no", b"x"]).unwrap()[0], 1);
    assert_eq!(client.stat(3), Err(9));
    assert_eq!(client.walk(ROOT, 3, &[b"no"]), Err(2));
    assert_eq!(client.walk(2, 3, &[b"x"]), Err(20));
    assert_eq!(client.walk(ROOT, 2, &[]), Err(9));
    assert_eq!(client.walk(9, 3, &[]), Err(9));
    assert_eq!(client.walk(ROOT, 3, &[&[b'n'; 256]]), Err(36));
    assert_eq!(client.walk(ROOT, 3, &[&b"a"[..]; 17]), Err(71));
    // Up, and not beyond the root.
    client
        .walk(ROOT, 4, &[b"a", b"e", b"..", b"..", b"..", b"\xff\xfe"])
        .unwrap();
    assert_eq!(client.stat(4).unwrap().size, 1);
    // A fid walks to another place.
    client.walk(ROOT, 5, &[b"a"]).unwrap();
    client.walk(5, 5, &[b"y"]).unwrap();
    assert_eq!(client.stat(5).unwrap().size, 5000);
    client.open(5, 0).unwrap();
    assert_eq!(client.walk(5, 5, &[]), Err(22));
    client.walk(5, 6, &[]).unwrap();
    assert_eq!(client.read(6, 0, 1), Err(9));
}

#[test]
fn open_checks_what_it_opens() {
    let mut client = Client::new();
    let mut check = |path, flags, expect| {
        let opened = client.open_at(2, path, flags).map(|_| ());
        assert_eq!(opened, expect, "{path} {flags:o}");
        client.clunk(2).unwrap();
    };
    check("a", 0, Ok(()));
    check("a", 1, Err(21));
    check("a", 0o200_000, Ok(()));
    check("zero", 0o200_000, Err(20));
    check("link", 0, Err(40));
    check("zero", 2, Ok(()));
    client.open_at(2, "a/x", 1 | TRUNCATE).unwrap();
    assert_eq!(client.open(2, 0), Err(22));
    assert_eq!(client.stat(2).unwrap().size, 0);
    assert_eq!(client.read(2, 0, 5), Err(9));
    client.open_at(3, "a/y", TRUNCATE).unwrap();
    assert_eq!(client.write(3, 0, b"no"), Err(9));
    assert_eq!(client.stat(3).unwrap().size, 5000);
}

#[test]
fn reads_give_the_listed_files_bytes() {
    let mut client = Client::new();
    client.open_at(2, "big", 0).unwrap();
    let file = client.stat(2).unwrap().qid.2 as u32 - 1;
    let size = 300 * 1024 + 17;
    assert_eq!(
        client.read(2, 0, 400_000).unwrap(),
        base_bytes(file, 0, size)
    );
    assert_eq!(client.stalls, 1);
    assert_eq!(
        client.read(2, 131_000, 200).unwrap(),
        base_bytes(file, 131_000, 200)
    );
    assert_eq!(client.read(2, size as u64 - 1, 200).unwrap().len(), 1);
    assert_eq!(client.read(2, size as u64, 200).unwrap(), []);
    assert_eq!(client.read(2, u64::MAX, u32::MAX).unwrap(), []);
    assert_eq!(client.stalls, 1);
    // Beyond 4 GiB.
    client.open_at(3, "huge", 0).unwrap();
    let file = client.stat(3).unwrap().qid.2 as u32 - 1;
    let at = (4 << 30) + 5;
    assert_eq!(client.read(3, at, 100).unwrap(), base_bytes(file, at, 100));
    client.open_at(4, "zero", 0).unwrap();
    assert_eq!(client.read(4, 0, 100).unwrap(), []);
    // No more than a message holds.
    assert_eq!(client.read(3, 0, u32::MAX).unwrap().len(), (512 << 10) - 11);
}

#[test]
fn what_cannot_be_read_is_an_error_until_it_is_written() {
    let mut client = Client::new();
    client.open_at(2, "lost", 2).unwrap();
    assert_eq!(client.read(2, 0, 10), Err(5));
    assert_eq!(client.write(2, 5, b"part"), Err(5));
    assert_eq!(client.write(2, 0, &[9; 4096]), Ok(4096));
    assert_eq!(client.read(2, 0, 4096).unwrap(), [9; 4096]);
    assert_eq!(client.read(2, 0, 4097), Err(5));
}

#[test]
fn writes_copy_blocks_and_want_only_what_they_leave() {
    let mut client = Client::new();
    client.open_at(2, "a/y", 2).unwrap();
    let file = client.stat(2).unwrap().qid.2 as u32 - 1;
    // The last block is covered up to the listed file's end.
    client.write(2, 4096, &[7; 904]).unwrap();
    assert_eq!(client.stalls, 0);
    client.write(2, 10, b"hello").unwrap();
    assert_eq!(client.stalls, 1);
    let mut expect = base_bytes(file, 0, 5000);
    expect[10..15].copy_from_slice(b"hello");
    expect[4096..].fill(7);
    assert_eq!(client.read(2, 0, 9999).unwrap(), expect);
    client.write(2, 9000, b"!").unwrap();
    expect.resize(9000, 0);
    expect.push(b'!');
    assert_eq!(client.read(2, 0, 9999).unwrap(), expect);
    let stat = client.stat(2).unwrap();
    assert_eq!((stat.size, stat.qid.1, stat.sectors), (9001, 1, 24));
    assert_eq!(stat.times[1], (NOW.seconds as u64, 5));
    // From a block's start, but not to its end.
    client.open_at(3, "a/x", 2).unwrap();
    let file = client.stat(3).unwrap().qid.2 as u32 - 1;
    client.write(3, 0, b"short").unwrap();
    assert_eq!(client.stalls, 2);
    let bytes = client.read(3, 0, 999).unwrap();
    assert_eq!(
        (&bytes[..5], &bytes[5..]),
        (&b"short"[..], &base_bytes(file, 5, 295)[..])
    );
    // Sparse, beyond 4 GiB.
    client.write(2, 6 << 30, b"far").unwrap();
    assert_eq!(client.read(2, (6 << 30) - 2, 9).unwrap(), b"\0\0far");
    assert_eq!(client.write(2, 1 << 44, b"x"), Err(27));
    assert_eq!(client.write(2, u64::MAX, b"x"), Err(27));
    assert_eq!(client.write(2, u64::MAX, b""), Err(27));
}

#[test]
fn a_length_set_loses_bytes_and_gains_zeros() {
    let mut client = Client::new();
    const SIZE: u32 = 8;
    client.open_at(2, "a/y", 2).unwrap();
    let file = client.stat(2).unwrap().qid.2 as u32 - 1;
    client.set(2, SIZE, 0, 100).unwrap();
    client.set(2, SIZE, 0, 6000).unwrap();
    assert_eq!(client.stalls, 0);
    let mut expect = base_bytes(file, 0, 100);
    expect.resize(6000, 0);
    assert_eq!(client.read(2, 0, 9999).unwrap(), expect);
    client.write(2, 50, &[1; 3000]).unwrap();
    client.set(2, SIZE, 0, 60).unwrap();
    client.set(2, SIZE, 0, 9 << 30).unwrap();
    expect.truncate(60);
    expect[50..].fill(1);
    expect.resize(5000, 0);
    assert_eq!(client.read(2, 0, 5000).unwrap(), expect);
    assert_eq!(client.read(2, (9 << 30) - 1, 5000).unwrap(), [0]);
    assert_eq!(client.set(2, SIZE, 0, (1 << 44) + 1), Err(27));
    assert_eq!(client.set(ROOT, SIZE, 0, 0), Err(21));
}

#[test]
fn attributes_are_as_listed_until_they_are_set() {
    let mut client = Client::new();
    client.at(2, "a/x").unwrap();
    let stat = client.stat(2).unwrap();
    let listed = (LISTED.seconds as u64, u64::from(LISTED.nanoseconds));
    assert_eq!((stat.mode, stat.uid, stat.gid), (0o100_640, 1000, 100));
    assert_eq!((stat.links, stat.size, stat.sectors), (1, 300, 8));
    assert_eq!(stat.times, [listed; 3]);
    client.set(2, 1, 0o107_777, 0).unwrap();
    let now = (NOW.seconds as u64, u64::from(NOW.nanoseconds));
    let stat = client.stat(2).unwrap();
    assert_eq!((stat.mode, stat.uid, stat.qid.1), (0o107_777, 1000, 1));
    assert_eq!(stat.times, [listed, listed, now]);
    client
        .set(2, 2 | 4 | 0x10 | 0x20 | 0x80 | 0x100, 0, 0)
        .unwrap();
    let stat = client.stat(2).unwrap();
    assert_eq!((stat.uid, stat.gid), (21, 22));
    assert_eq!(stat.times, [(11, 12), (13, 14), now]);
    client.set(2, 0x10, 0, 0).unwrap();
    assert_eq!(client.stat(2).unwrap().times[0], now);
    let bad_time = fid(2).u32(0xb0).u32(0).u32(0).u32(0).u64(0);
    let bad_time = bad_time.u64(1).u64(1_000_000_000).u64(1).u64(1);
    assert_eq!(client.call(message_type::SETATTR, bad_time), Err(22));
    // A directory's attributes change without its entries.
    client.at(3, "a").unwrap();
    client.set(3, 1, 0o700, 0).unwrap();
    assert_eq!(client.stat(3).unwrap().mode, 0o40_700);
    assert_eq!(client.at(4, "a/e"), Ok(4));
}

#[test]
fn readdir_is_stable_while_the_directory_changes() {
    let mut client = Client::new();
    client.open_at(2, "", 0).unwrap();
    let all: [&[u8]; 7] = [
        b"a",
        b"big",
        b"huge",
        b"link",
        b"lost",
        b"zero",
        b"\xff\xfe",
    ];
    assert_eq!(client.names(2, 4096).unwrap(), all);
    assert_eq!(client.names(2, 30).unwrap(), all);
    // An entry that does not fit ends the reading, however much room there is.
    assert_eq!(client.read_directory(2, 0, 24).unwrap(), []);
    let first = client.read_directory(2, 0, 131).unwrap();
    let types: Vec<u8> = first.iter().map(|entry| entry.2).collect();
    assert_eq!(types, [4, 4, 4, 8, 8]);
    let offset = first[4].1;
    for name in [&b"big"[..], b"lost"] {
        client.unlink_at(ROOT, name, 0).unwrap();
    }
    client.make_directory(ROOT, b"big").unwrap();
    client.symlink(ROOT, b"aaa", b"x").unwrap();
    let rest = client.read_directory(2, offset, 4096).unwrap();
    let rest: Vec<_> = rest.iter().map(|entry| &entry.0[..]).collect();
    assert_eq!(rest, [&b"link"[..], b"zero", b"\xff\xfe", b"big", b"aaa"]);
    client.open_at(3, "zero", 0).unwrap();
    assert_eq!(client.read_directory(3, 0, 4096), Err(20));
    client.at(4, "a").unwrap();
    assert_eq!(client.read_directory(4, 0, 4096), Err(9));
}

#[test]
fn the_file_system_is_as_large_as_the_budget() {
    let mut client = Client::over(super::client::listing(), 100 * 4096);
    let reply = client.call(message_type::STATFS, fid(ROOT)).unwrap();
    assert_eq!((u32_at(&reply, 0), u32_at(&reply, 4)), (0x0102_1997, 4096));
    assert_eq!((u64_at(&reply, 8), u64_at(&reply, 16)), (100, 100));
    assert_eq!(u32_at(&reply, 56), 255);
    client.walk(ROOT, 2, &[]).unwrap();
    client.create(2, b"new", 1).unwrap();
    let refused = (0..200).find_map(|block| {
        let errno = client.write(2, block * 4096, &[1; 4096]).err()?;
        Some((errno, block))
    });
    assert_eq!(refused, Some((28, 98)));
    assert_eq!(client.make_directory(ROOT, &[b'n'; 255]), Err(28));
    // What is full can be emptied.
    client.at(3, "a").unwrap();
    client.unlink_at(3, b"x", 0).unwrap();
    client.unlink_at(ROOT, b"new", 0).unwrap();
    client.clunk(2).unwrap();
    client.walk(ROOT, 2, &[]).unwrap();
    client.create(2, b"more", 1).unwrap();
    client.write(2, 0, &[1; 4096]).unwrap();
}

#[test]
fn locks_are_granted_and_nobody_else_holds_one() {
    let mut client = Client::new();
    client.open_at(2, "zero", 2).unwrap();
    let range = |fields: Fields| fields.u64(3).u64(4).u32(5).string(b"guest");
    let lock = range(fid(2).u8(1).u32(1));
    assert_eq!(client.call(message_type::LOCK, lock).unwrap(), [0]);
    let expect = range(Fields::default().u8(2)).0;
    assert_eq!(
        client
            .call(message_type::GETLOCK, range(fid(2).u8(1)))
            .unwrap(),
        expect
    );
    assert_eq!(
        client.call(message_type::GETLOCK, range(fid(8).u8(1))),
        Err(9)
    );
}

#[test]
fn the_other_messages_answer_as_linux_expects() {
    let mut client = Client::new();
    client.at(2, "link").unwrap();
    assert_eq!(client.readlink(2).unwrap(), b"a/x");
    assert_eq!(client.stat(2).unwrap().size, 3);
    assert_eq!(client.readlink(ROOT), Err(22));
    let walk = |name: &[u8]| fid(2).u32(3).string(name);
    assert_eq!(
        client.call(message_type::XATTRWALK, walk(b"user.x")),
        Err(61)
    );
    assert_eq!(client.call(message_type::XATTRWALK, walk(b"")), Err(95));
    let create = fid(2).string(b"user.x").u64(5).u32(0);
    assert_eq!(client.call(message_type::XATTRCREATE, create), Err(95));
    let sync = || fid(2).u32(1);
    assert_eq!(client.call(message_type::FSYNC, sync()).unwrap(), []);
    assert_eq!(
        client
            .call(message_type::FLUSH, Fields::default().u16(4))
            .unwrap(),
        []
    );
    assert_eq!(client.clunk(2).unwrap(), []);
    assert_eq!(client.clunk(2), Err(9));
    assert_eq!(client.call(message_type::FSYNC, sync()), Err(9));
    assert_eq!(client.call(200, Fields::default()), Err(95));
}
