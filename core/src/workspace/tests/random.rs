//! Random operations on files (as fsx does) and names, each compared with the model.

use super::super::listing::{Listing, ListingBuilder};
use super::client::{Client, ROOT, directory, file, qid_at};
use super::model::{Kind, Model};
use crate::devices::suite::Random;
use std::sync::Arc;

const FILE_BYTES_MAX: u64 = 300_000;
const BUDGET: u64 = 256 << 20;
const HANDLES_MAX: usize = 12;
const NODES_MAX: usize = 60;
/// Fids that one operation uses and gives back.
const SCRATCH: [u32; 2] = [10, 11];

/// 40 files of all sizes in `base` and at the root.
fn listing() -> (Arc<Listing>, Model) {
    let mut random = Random(5);
    let mut builder = ListingBuilder::new(directory());
    let root = ListingBuilder::ROOT;
    let base = builder.add(root, b"base", directory()).unwrap();
    let mut sizes: Vec<(u8, [u8; 2], u64)> = Vec::new();
    for number in 0..40_u8 {
        let byte_len = random.below(1 << (number % 19));
        let parent = if number % 4 == 0 { root } else { base };
        let name = [b'f', b'0' + number];
        builder.add(parent, &name, file(byte_len)).unwrap();
        sizes.push((number, name, byte_len));
    }
    let listing = Arc::new(Listing::decode(&builder.encode()).unwrap());
    let mut model = Model::new();
    let empty = Kind::empty_directory(0);
    let model_base = model.create(0, b"base", empty, 0o755).unwrap();
    let listed_base = listing.lookup(0, b"base").unwrap();
    for (number, name, byte_len) in sizes {
        let (directory, listed) = if number % 4 == 0 {
            (0, 0)
        } else {
            (model_base, listed_base)
        };
        let entry = listing.lookup(listed, &name).unwrap();
        model.add_listed(directory, &name, entry, byte_len as usize);
    }
    (listing, model)
}

struct Run {
    client: Client,
    listing: Arc<Listing>,
    model: Model,
    random: Random,
    /// Open files: fid, and number in the model.
    handles: Vec<(u32, usize)>,
    next_fid: u32,
}

impl Run {
    fn new(seed: u64) -> Self {
        let (listing, model) = listing();
        Self {
            client: Client::over(listing.clone(), BUDGET),
            listing,
            model,
            random: Random(seed),
            handles: Vec::new(),
            next_fid: 100,
        }
    }

    /// A directory, with a fid that leads to it.
    fn directory(&mut self, scratch: usize) -> usize {
        let directories = self.model.directories();
        let chosen = self.random.below(directories.len() as u64) as usize;
        let (number, path) = &directories[chosen];
        let fid = SCRATCH[scratch];
        self.client.walk(ROOT, fid, &[]).unwrap();
        for names in path.chunks(16) {
            let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
            let reply = self.client.walk(fid, fid, &names).unwrap();
            assert_eq!(usize::from(reply[0]), names.len());
        }
        *number
    }

    /// A name that exists in the directory, or one of a few.
    fn name(&mut self, directory: usize) -> Vec<u8> {
        let entries = self.model.entries(directory).unwrap();
        if !entries.is_empty() && self.random.below(3) > 0 {
            let chosen = self.random.below(entries.len() as u64) as usize;
            return entries.keys().nth(chosen).unwrap().clone();
        }
        vec![b'n', self.random.below(10) as u8 + 0xf0]
    }

    fn give_back(&mut self, scratch: usize) {
        self.client.clunk(SCRATCH[scratch]).unwrap();
    }

    /// Notes a file's `qid.path`, which must be its own for ever.
    fn check_path(&mut self, number: usize, path: u64) {
        let known = self.model.nodes[number].path;
        assert_eq!(known.unwrap_or(path), path);
        self.model.nodes[number].path = Some(path);
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..30 => self.write(),
            30..50 => self.read(),
            50..57 => self.truncate(),
            57..65 => self.open(),
            65..70 => self.close(),
            70..76 => self.create(),
            76..79 => self.make_directory(),
            79..81 => self.symlink(),
            81..85 => self.unlink(),
            85..91 => self.rename(),
            91..94 => self.link(),
            94..96 => self.change_mode(),
            _ => self.stat(),
        }
    }

    fn handle(&mut self) -> Option<(u32, usize)> {
        let count = self.handles.len() as u64;
        (count > 0).then(|| self.handles[self.random.below(count) as usize])
    }

    fn offset(&mut self, number: usize) -> u64 {
        match self.random.below(4) {
            0 => self.random.below(FILE_BYTES_MAX / 4096) * 4096,
            1 => self.model.bytes(number).len() as u64,
            _ => self
                .random
                .below(self.model.bytes(number).len() as u64 + 9000),
        }
        .min(FILE_BYTES_MAX)
    }

    fn length(&mut self) -> usize {
        match self.random.below(8) {
            0 => 4096,
            1 => self.random.below(60_000) as usize,
            _ => self.random.below(3000) as usize,
        }
    }

    fn write(&mut self) {
        let Some((fid, number)) = self.handle() else {
            return;
        };
        let offset = self.offset(number);
        let value = self.random.next() as u8;
        let bytes = vec![value; self.length()];
        let written = self.client.write(fid, offset, &bytes);
        assert_eq!(written, Ok(bytes.len() as u32));
        if !bytes.is_empty() {
            self.model.write(number, offset as usize, &bytes);
        }
    }

    fn read(&mut self) {
        let Some((fid, number)) = self.handle() else {
            return;
        };
        let (offset, length) = (self.offset(number), self.length());
        let read = self.client.read(fid, offset, length as u32).unwrap();
        let bytes = self.model.bytes(number);
        let start = bytes.len().min(offset as usize);
        let end = bytes.len().min(start + length);
        assert!(
            read == bytes[start..end],
            "file {number} from {offset}, {length} bytes"
        );
    }

    fn truncate(&mut self) {
        let Some((fid, number)) = self.handle() else {
            return;
        };
        let byte_len = self.offset(number);
        self.client.set(fid, 8, 0, byte_len).unwrap();
        self.model.bytes_mut(number).resize(byte_len as usize, 0);
    }

    fn open(&mut self) {
        let directory = self.directory(0);
        let name = self.name(directory);
        let truncates = self.random.below(10) == 0;
        let fid = self.next_fid;
        let walked = self.client.walk(SCRATCH[0], fid, &[&name]);
        self.give_back(0);
        let Some(number) = self.model.lookup(directory, &name) else {
            assert_eq!(walked, Err(2));
            return;
        };
        self.check_path(number, qid_at(&walked.unwrap(), 2).2);
        self.next_fid += 1;
        let opened = self.client.open(fid, if truncates { 0o1002 } else { 2 });
        match &mut self.model.nodes[number].kind {
            Kind::Directory { .. } => assert_eq!(opened, Err(21)),
            Kind::Symlink(_) => assert_eq!(opened, Err(40)),
            Kind::File(bytes) => {
                opened.unwrap();
                if truncates {
                    bytes.clear();
                }
                if self.handles.len() < HANDLES_MAX {
                    self.handles.push((fid, number));
                    return;
                }
            }
        }
        self.client.clunk(fid).unwrap();
    }

    fn close(&mut self) {
        if !self.handles.is_empty() {
            let chosen = self.random.below(self.handles.len() as u64) as usize;
            let (fid, number) = self.handles.swap_remove(chosen);
            let stat = self.client.stat(fid).unwrap();
            assert_eq!(stat.links, self.model.nodes[number].links);
            self.client.clunk(fid).unwrap();
        }
    }

    fn has_room(&self) -> bool {
        let live = self.model.nodes.iter().filter(|node| node.links > 0);
        live.count() < NODES_MAX
    }

    fn create(&mut self) {
        if !self.has_room() || self.handles.len() >= HANDLES_MAX {
            return;
        }
        let directory = self.directory(0);
        let name = self.name(directory);
        let made = self.client.create(SCRATCH[0], &name, 0o202);
        let empty = Kind::File(Vec::new());
        match self.model.create(directory, &name, empty, 0o644) {
            Ok(number) => {
                self.check_path(number, qid_at(&made.unwrap(), 0).2);
                let fid = self.next_fid;
                self.next_fid += 1;
                self.client.walk(SCRATCH[0], fid, &[]).unwrap();
                self.client.open(fid, 2).unwrap();
                self.handles.push((fid, number));
            }
            Err(errno) => assert_eq!(made, Err(errno)),
        }
        self.give_back(0);
    }

    fn make_directory(&mut self) {
        if self.has_room() {
            let directory = self.directory(0);
            let name = self.name(directory);
            let made = self.client.make_directory(SCRATCH[0], &name);
            let kind = Kind::empty_directory(directory);
            let expect = self.model.create(directory, &name, kind, 0o750);
            assert_eq!(made.map(|_| ()), expect.map(|_| ()));
            self.give_back(0);
        }
    }

    fn symlink(&mut self) {
        if self.has_room() {
            let directory = self.directory(0);
            let name = self.name(directory);
            let target = vec![b't'; self.random.below(100) as usize + 1];
            let made = self.client.symlink(SCRATCH[0], &name, &target);
            let kind = Kind::Symlink(target);
            let expect = self.model.create(directory, &name, kind, 0o777);
            assert_eq!(made.map(|_| ()), expect.map(|_| ()));
            self.give_back(0);
        }
    }

    fn unlink(&mut self) {
        let directory = self.directory(0);
        let name = self.name(directory);
        let is_rmdir = self.random.below(3) == 0;
        let flags = if is_rmdir { 0x200 } else { 0 };
        let removed = self.client.unlink_at(SCRATCH[0], &name, flags);
        let expect = self.model.unlink(directory, &name, is_rmdir);
        assert_eq!(removed.map(|_| ()), expect);
        self.give_back(0);
    }

    fn rename(&mut self) {
        let (from, to) = (self.directory(0), self.directory(1));
        let (old, new) = (self.name(from), self.name(to));
        let renamed = self
            .client
            .rename_at((SCRATCH[0], &old), (SCRATCH[1], &new));
        let expect = self.model.rename((from, &old), (to, &new));
        assert_eq!(renamed.map(|_| ()), expect, "{old:?} {new:?}");
        self.give_back(0);
        self.give_back(1);
    }

    fn link(&mut self) {
        if let Some((fid, number)) = self.handle() {
            let directory = self.directory(0);
            let name = self.name(directory);
            let linked = self.client.link(SCRATCH[0], fid, &name);
            assert_eq!(
                linked.map(|_| ()),
                self.model.link(number, directory, &name)
            );
            self.give_back(0);
        }
    }

    fn change_mode(&mut self) {
        if let Some((fid, number)) = self.handle() {
            let mode = self.random.below(0o10_000) as u32;
            self.client.set(fid, 1, mode, 0).unwrap();
            self.model.nodes[number].mode = mode;
        }
    }

    fn stat(&mut self) {
        let directory = self.directory(0);
        let name = self.name(directory);
        let walked = self.client.walk(SCRATCH[0], SCRATCH[1], &[&name]);
        self.give_back(0);
        match self.model.lookup(directory, &name) {
            Some(number) => {
                self.check(SCRATCH[1], number);
                self.give_back(1);
            }
            None => assert_eq!(walked, Err(2)),
        }
    }

    fn check(&mut self, fid: u32, number: usize) {
        let stat = self.client.stat(fid).unwrap();
        self.check_path(number, stat.qid.2);
        let node = &self.model.nodes[number];
        let (file_type, size) = match &node.kind {
            Kind::Directory { .. } => (0o040_000, 4096),
            Kind::File(bytes) => (0o100_000, bytes.len()),
            Kind::Symlink(target) => (0o120_000, target.len()),
        };
        assert_eq!((stat.mode, stat.size), (file_type | node.mode, size as u64));
        assert_eq!(stat.links, node.links);
    }

    /// Compares everything.
    fn check_all(&mut self) {
        for (directory, path) in self.model.directories() {
            let (at, below) = (SCRATCH[0], SCRATCH[1]);
            self.client.walk(ROOT, at, &[]).unwrap();
            for name in &path {
                self.client.walk(at, at, &[name]).unwrap();
            }
            let expect = self.model.entries(directory).unwrap().clone();
            for (name, number) in &expect {
                self.client.walk(at, below, &[name]).unwrap();
                self.check(below, *number);
                match self.model.nodes[*number].kind.clone() {
                    Kind::File(bytes) => {
                        self.client.open(below, 0).unwrap();
                        let read = self.client.read(below, 0, 512 << 10).unwrap();
                        assert!(read == bytes, "file {number}");
                    }
                    Kind::Symlink(target) => {
                        assert_eq!(self.client.readlink(below).unwrap(), target);
                    }
                    Kind::Directory { .. } => {}
                }
                self.client.clunk(below).unwrap();
            }
            self.client.open(at, 0).unwrap();
            let mut names = self.client.names(at, 300).unwrap();
            names.sort();
            assert!(names.iter().eq(expect.keys()));
            self.client.clunk(at).unwrap();
        }
    }
}

/// A run's last state, and how many requests had to wait for contents.
fn run(seed: u64, steps: u32) -> (Vec<u8>, u32) {
    let mut run = Run::new(seed);
    for step in 1..=steps {
        run.step();
        if step % 4000 == 0 {
            run.client.restart(run.listing.clone(), BUDGET);
        }
        if step % 10_000 == 0 {
            run.check_all();
        }
    }
    let stalls = run.client.stalls;
    run.check_all();
    (run.client.state(), stalls)
}

#[test]
fn random_operations_do_what_the_model_does() {
    run(1, 100_000);
}

/// Contents come once, so a run meets missing ones near its beginning.
#[test]
fn many_beginnings_do_what_the_model_does() {
    let stalls: u32 = (100..200).map(|seed| run(seed, 300).1).sum();
    assert!(stalls > 300, "hardly anything was missing");
}

#[test]
fn two_runs_end_in_the_same_state() {
    assert!(run(2, 10_000) == run(2, 10_000));
}
