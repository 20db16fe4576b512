//! What is told of a workspace that was changed.

use super::super::changes::{ChangedKind, Changes};
use super::super::content::ContentKey;
use super::super::errno::Errno;
use super::client::{Client, ROOT};

const REMOVE_DIRECTORY: u32 = 0x200;
const MODE: u32 = 1;
const SIZE: u32 = 8;

/// Paths of what changed, with a sign of the kind, and where the listing has it.
fn told(changes: &Changes) -> Vec<String> {
    let changed = changes.changed.iter().map(|changed| {
        let kind = match &changed.kind {
            ChangedKind::Directory => "/".to_owned(),
            ChangedKind::File { byte_len } => format!(" {byte_len}"),
            ChangedKind::Symlink { target } => format!(" -> {}", String::from_utf8_lossy(target)),
            ChangedKind::Fifo => " fifo".to_owned(),
            ChangedKind::Socket => " socket".to_owned(),
        };
        let from = changed.listed_as.as_deref().map(String::from_utf8_lossy);
        let from = from.map_or_else(String::new, |path| format!(" was {path}"));
        format!("{}{kind}{from}", String::from_utf8_lossy(&changed.path))
    });
    changed.collect()
}

fn removed(changes: &Changes) -> Vec<String> {
    let paths = changes.removed.iter();
    paths
        .map(|path| String::from_utf8_lossy(path).into_owned())
        .collect()
}

#[test]
fn what_was_only_looked_at_has_not_changed() {
    let mut client = Client::new();
    client.open_at(2, "big", 0).unwrap();
    client.read(2, 0, 4096).unwrap();
    client.at(3, "a").unwrap();
    // Something is made there and goes again.
    client.make_directory(3, b"new").unwrap();
    client.unlink_at(3, b"new", REMOVE_DIRECTORY).unwrap();
    assert_eq!(client.server.changes(), Changes::default());
}

#[test]
fn what_was_made_changed_moved_and_removed_is_told() {
    let mut client = Client::new();
    client.make_directory(ROOT, b"d").unwrap();
    client.at(2, "d").unwrap();
    client.symlink(2, b"s", b"../a").unwrap();
    client.create(2, b"new", 2).unwrap();
    client.write(2, 0, b"text").unwrap();
    client.open_at(3, "a/x", 2).unwrap();
    client.write(3, 0, b"more").unwrap();
    client.at(4, "link").unwrap();
    client.at(5, "zero").unwrap();
    client.set(5, MODE, 0o600, 0).unwrap();
    client.at(6, "d").unwrap();
    client.rename_at((ROOT, b"big"), (6, b"large")).unwrap();
    client.unlink_at(ROOT, b"lost", 0).unwrap();
    let changes = client.server.changes();
    assert_eq!(
        told(&changes),
        [
            "a/x 300",
            "d/",
            "d/large 307217 was big",
            "d/new 4",
            "d/s -> ../a",
            "zero 0"
        ]
    );
    assert_eq!(removed(&changes), ["big", "lost"]);
    let zero = changes.changed.last().unwrap();
    assert_eq!((zero.mode, zero.uid, zero.gid), (0o600, 1000, 100));

    // All of a directory that has moved is somewhere else.
    client.rename_at((ROOT, b"a"), (6, b"b")).unwrap();
    let changes = client.server.changes();
    assert_eq!(
        told(&changes)[1..5],
        [
            "d/b/ was a",
            "d/b/e/ was a/e",
            "d/b/x 300 was a/x",
            "d/b/y 5000 was a/y"
        ]
    );
    assert_eq!(removed(&changes), ["a", "big", "lost"]);
    // What is at the place of something else has only changed.
    client.make_directory(ROOT, b"lost").unwrap();
    let changes = client.server.changes();
    assert_eq!(removed(&changes), ["a", "big"]);
    assert!(told(&changes).contains(&"lost/".to_owned()));
    // And back again.
    client.rename_at((6, b"b"), (ROOT, b"a")).unwrap();
    assert_eq!(removed(&client.server.changes()), ["big"]);
    assert_eq!(told(&client.server.changes())[..2], ["a/x 300", "d/"]);
}

#[test]
fn a_file_lacks_what_nobody_has_read_and_written_over() {
    let mut client = Client::new();
    let number = |path: &str| {
        let listing = super::client::listing();
        (0..listing.entry_count())
            .find(|number| listing.path(*number).as_deref() == Some(path.as_bytes()))
            .unwrap()
    };
    let big = number("big");
    let inode = u64::from(big) + 1;
    let lacks = |client: &Client| {
        let keys = client.server.lacks(inode, 0..1 << 20).unwrap();
        keys.iter().map(|key| key.extent).collect::<Vec<_>>()
    };
    assert_eq!(lacks(&client), [0, 1, 2]);
    client.open_at(2, "big", 2).unwrap();
    // Whole blocks need nothing from below.
    for block in 0..32 {
        client.write(2, block * 4096, &[9; 4096]).unwrap();
    }
    assert_eq!(client.stalls, 0);
    assert_eq!(lacks(&client), [1, 2]);
    client.deliver(ContentKey {
        file: big,
        extent: 2,
    });
    assert_eq!(lacks(&client), [1]);
    client.set(2, SIZE, 0, 128 << 10).unwrap();
    assert_eq!(lacks(&client), []);
    assert_eq!(client.server.lacks(1, 0..1), Err(Errno::ISDIR));
    assert_eq!(client.server.lacks(1 << 40, 0..1), Err(Errno::STALE));
}
