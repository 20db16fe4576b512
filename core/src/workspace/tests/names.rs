//! Messages that change names.

use super::super::message::message_type;
use super::client::{Client, NOW, ROOT, fid, qid_at};

const REMOVE_DIRECTORY: u32 = 0x200;

#[test]
fn create_makes_a_file_and_opens_it() {
    let mut client = Client::new();
    client.walk(ROOT, 2, &[b"a"]).unwrap();
    let reply = client.create(2, b"new", 2).unwrap();
    assert_eq!(reply.len(), 17);
    client.write(2, 0, b"text").unwrap();
    client.at(3, "a/new").unwrap();
    let stat = client.stat(3).unwrap();
    assert_eq!((stat.mode, stat.uid, stat.gid), (0o100_644, 7, 50));
    assert_eq!((stat.size, stat.links, stat.sectors), (4, 1, 8));
    assert_eq!(stat.qid.2, qid_at(&reply, 0).2);
    assert_eq!(stat.times, [(NOW.seconds as u64, 5); 3]);
    client.at(4, "a").unwrap();
    let stat = client.stat(4).unwrap();
    // What changes keeps its version: see `Qid::VERSION`.
    assert_eq!((stat.times[1].0, stat.qid.1), (NOW.seconds as u64, 1));
    assert_eq!(client.create(4, b"new", 0o202), Err(17));
    assert_eq!(client.create(4, b"e", 2), Err(21));
    for (name, errno) in [
        (&b"x/y"[..], 22),
        (b"\0", 22),
        (b"", 22),
        (b"..", 17),
        (&[b'n'; 256], 36),
    ] {
        assert_eq!(client.create(4, name, 2), Err(errno), "{name:?}");
    }
    // What is created is no directory, so none is wanted.
    assert_eq!(client.create(4, b"none", 0o200_002), Err(22));
    assert_eq!(client.at(5, "a/none"), Err(2));
    // What exists is opened, and the fid becomes the file's.
    client.create(4, b"new", 0).unwrap();
    assert_eq!(client.read(4, 0, 9).unwrap(), b"text");
    assert_eq!(client.create(4, b"z", 2), Err(22));
    assert_eq!(client.create(3, b"z", 2), Err(20));
}

#[test]
fn mkdir_symlink_and_mknod_make_what_they_say() {
    let mut client = Client::new();
    let made = client.make_directory(ROOT, b"d").unwrap();
    assert_eq!(qid_at(&made, 0).0, 0x80);
    assert_eq!(client.make_directory(ROOT, b"d"), Err(17));
    client.at(2, "d").unwrap();
    assert_eq!(client.stat(2).unwrap().mode, 0o40_750);
    let made = client.symlink(2, b"s", b"\xff/..").unwrap();
    assert_eq!(qid_at(&made, 0).0, 2);
    client.at(3, "d/s").unwrap();
    assert_eq!(client.readlink(3).unwrap(), b"\xff/..");
    assert_eq!(client.symlink(2, b"t", b""), Err(22));
    assert_eq!(client.symlink(2, b"t", &[b't'; 4096]), Err(36));
    let mut node = |name: &[u8], mode: u32| {
        let fields = fid(2).string(name).u32(mode).u32(1).u32(2).u32(50);
        client.call(message_type::MKNOD, fields).map(|_| ())
    };
    assert_eq!(node(b"pipe", 0o010_600), Ok(()));
    assert_eq!(node(b"socket", 0o140_600), Ok(()));
    assert_eq!(node(b"file", 0o100_600), Ok(()));
    assert_eq!(node(b"disk", 0o060_600), Err(1));
    assert_eq!(node(b"terminal", 0o020_600), Err(1));
    client.at(4, "d/pipe").unwrap();
    assert_eq!(client.stat(4).unwrap().mode, 0o010_600);
    assert_eq!(client.open(4, 0), Err(22));
}

#[test]
fn an_unlinked_file_lives_while_it_is_open() {
    let mut client = Client::new();
    let fresh = client.state();
    client.open_at(2, "a/x", 2).unwrap();
    client.at(3, "a").unwrap();
    client.unlink_at(3, b"x", 0).unwrap();
    assert_eq!(client.at(4, "a/x"), Err(2));
    assert_eq!(client.stat(2).unwrap().links, 0);
    client.write(2, 2, b"still").unwrap();
    assert_eq!(client.read(2, 2, 5).unwrap(), b"still");
    assert_eq!(client.link(3, 2, b"again"), Err(2));
    client.restart(super::client::listing(), super::client::BUDGET);
    assert_eq!(client.read(2, 2, 5).unwrap(), b"still");
    let with_file = client.state().len();
    client.clunk(2).unwrap();
    assert!(client.state().len() < with_file - 4096);
    // The name can be taken again, by another file.
    client.create(3, b"x", 2).unwrap();
    assert_eq!(client.stat(3).unwrap().size, 0);
    assert_ne!(client.state(), fresh);
}

#[test]
fn unlink_and_rmdir_remove_what_they_should() {
    let mut client = Client::new();
    assert_eq!(client.unlink_at(ROOT, b"a", 0), Err(21));
    assert_eq!(client.unlink_at(ROOT, b"a", REMOVE_DIRECTORY), Err(39));
    assert_eq!(client.unlink_at(ROOT, b"zero", REMOVE_DIRECTORY), Err(20));
    assert_eq!(client.unlink_at(ROOT, b"no", 0), Err(2));
    assert_eq!(client.unlink_at(ROOT, b".", REMOVE_DIRECTORY), Err(22));
    client.at(2, "a").unwrap();
    client.at(3, "a/e").unwrap();
    client.unlink_at(2, b"e", REMOVE_DIRECTORY).unwrap();
    client.unlink_at(2, b"x", 0).unwrap();
    client.unlink_at(2, b"y", 0).unwrap();
    client.unlink_at(ROOT, b"a", REMOVE_DIRECTORY).unwrap();
    // Nothing can be made in what was removed, and nothing leads up from it.
    assert_eq!(client.stat(2).unwrap().links, 0);
    assert_eq!(client.make_directory(2, b"d"), Err(2));
    assert_eq!(client.make_directory(3, b"d"), Err(2));
    assert_eq!(client.walk(3, 4, &[b".."]), Err(2));
    client.open(2, 0).unwrap();
    assert_eq!(client.names_of_removed(2), [b".".to_vec()]);
    client.restart(super::client::listing(), super::client::BUDGET);
    client.clunk(2).unwrap();
    client.clunk(3).unwrap();
    assert_eq!(client.at(4, "a"), Err(2));
}

impl Client {
    fn names_of_removed(&mut self, number: u32) -> Vec<Vec<u8>> {
        let entries = self.read_directory(number, 0, 4096).unwrap();
        entries.into_iter().map(|entry| entry.0).collect()
    }
}

#[test]
fn links_share_one_file() {
    let mut client = Client::new();
    client.open_at(2, "a/x", 2).unwrap();
    client.link(ROOT, 2, b"other").unwrap();
    assert_eq!(client.link(ROOT, 2, b"other"), Err(17));
    client.at(3, "a").unwrap();
    assert_eq!(client.link(ROOT, 3, b"no"), Err(1));
    client.open_at(4, "other", 0).unwrap();
    client.write(2, 0, b"shared").unwrap();
    assert_eq!(client.read(4, 0, 6).unwrap(), b"shared");
    assert_eq!(client.stat(4).unwrap().links, 2);
    assert_eq!(client.stat(4).unwrap().qid, client.stat(2).unwrap().qid);
    client.restart(super::client::listing(), super::client::BUDGET);
    client.unlink_at(3, b"x", 0).unwrap();
    assert_eq!(client.stat(4).unwrap().links, 1);
    // Two names of one file: renaming one over the other does nothing.
    client.link(ROOT, 4, b"third").unwrap();
    client
        .rename_at((ROOT, b"third"), (ROOT, b"other"))
        .unwrap();
    assert_eq!(client.stat(4).unwrap().links, 2);
}

#[test]
fn rename_moves_and_replaces() {
    let mut client = Client::new();
    client.at(2, "a").unwrap();
    client.open_at(3, "zero", 0).unwrap();
    client.rename_at((2, b"x"), (ROOT, b"zero")).unwrap();
    assert_eq!(client.stat(3).unwrap().links, 0);
    client.at(4, "zero").unwrap();
    assert_eq!(client.stat(4).unwrap().size, 300);
    assert_eq!(client.rename_at((2, b"x"), (ROOT, b"y")), Err(2));
    // Directories: not into themselves, only over empty ones, with what is in them.
    client.make_directory(ROOT, b"d").unwrap();
    client.make_directory(ROOT, b"full").unwrap();
    client.at(5, "full").unwrap();
    client.make_directory(5, b"inner").unwrap();
    client.at(6, "full/inner").unwrap();
    assert_eq!(client.rename_at((ROOT, b"full"), (6, b"loop")), Err(22));
    assert_eq!(client.rename_at((ROOT, b"full"), (5, b"loop")), Err(22));
    assert_eq!(client.rename_at((ROOT, b"d"), (ROOT, b"full")), Err(39));
    assert_eq!(client.rename_at((ROOT, b"d"), (ROOT, b"zero")), Err(20));
    assert_eq!(client.rename_at((ROOT, b"zero"), (ROOT, b"d")), Err(21));
    assert_eq!(client.rename_at((ROOT, b"zero"), (ROOT, b"..")), Err(22));
    client.rename_at((ROOT, b"a"), (6, b"moved")).unwrap();
    client.rename_at((ROOT, b"full"), (ROOT, b"d")).unwrap();
    client.at(7, "d/inner/moved/y").unwrap();
    assert_eq!(client.stat(7).unwrap().size, 5000);
    client.walk(2, 8, &[b"..", b"..", b"..", b"zero"]).unwrap();
    assert_eq!(client.stat(8).unwrap().size, 300);
    client.restart(super::client::listing(), super::client::BUDGET);
    assert_eq!(client.at(9, "d/inner/moved/e"), Ok(9));
}

#[test]
fn rename_and_remove_by_fid_use_the_name_of_the_walk() {
    let mut client = Client::new();
    let rename = |from: u32, to: u32, name: &[u8]| fid(from).u32(to).string(name);
    client.at(2, "a/x").unwrap();
    client.at(3, "a/x").unwrap();
    client
        .call(message_type::RENAME, rename(2, ROOT, b"X"))
        .unwrap();
    client
        .call(message_type::RENAME, rename(2, ROOT, b"Y"))
        .unwrap();
    assert_eq!(
        client.call(message_type::RENAME, rename(3, ROOT, b"Z")),
        Err(2)
    );
    assert_eq!(
        client.call(message_type::RENAME, rename(ROOT, ROOT, b"Z")),
        Err(1)
    );
    assert_eq!(client.call(message_type::REMOVE, fid(3)), Err(2));
    assert_eq!(client.stat(3), Err(9));
    client.at(3, "a").unwrap();
    assert_eq!(client.call(message_type::REMOVE, fid(3)), Err(39));
    client.call(message_type::REMOVE, fid(2)).unwrap();
    assert_eq!(client.at(2, "Y"), Err(2));
    client.at(2, "a/e").unwrap();
    client.call(message_type::REMOVE, fid(2)).unwrap();
    assert_eq!(client.at(2, "a/e"), Err(2));
}
