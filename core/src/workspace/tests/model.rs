//! What a workspace should hold, in plain collections: the oracle of the random test.

use super::client::base_bytes;
use std::collections::BTreeMap;

/// What a model's file is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Directory {
        parent: usize,
        entries: BTreeMap<Vec<u8>, usize>,
    },
    File(Vec<u8>),
    Symlink(Vec<u8>),
}

#[derive(Clone, Debug)]
pub(super) struct ModelNode {
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) links: u64,
    /// `qid.path`, once it has been seen.
    pub(super) path: Option<u64>,
}

/// Files by number; the root is 0. Numbers are never used again.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) nodes: Vec<ModelNode>,
}

pub(super) type Outcome = Result<(), u32>;

impl Model {
    pub(super) fn new() -> Self {
        let mut model = Self { nodes: Vec::new() };
        model.make(Kind::empty_directory(0), 0o755);
        model
    }

    fn make(&mut self, kind: Kind, mode: u32) -> usize {
        self.nodes.push(ModelNode {
            kind,
            mode,
            links: 1,
            path: None,
        });
        self.nodes.len() - 1
    }

    pub(super) fn entries(&self, directory: usize) -> Option<&BTreeMap<Vec<u8>, usize>> {
        match &self.nodes[directory].kind {
            Kind::Directory { entries, .. } => Some(entries),
            _ => None,
        }
    }

    fn entries_mut(&mut self, directory: usize) -> &mut BTreeMap<Vec<u8>, usize> {
        match &mut self.nodes[directory].kind {
            Kind::Directory { entries, .. } => entries,
            _ => panic!("not a directory"),
        }
    }

    pub(super) fn lookup(&self, directory: usize, name: &[u8]) -> Option<usize> {
        self.entries(directory)?.get(name).copied()
    }

    pub(super) fn parent(&self, directory: usize) -> usize {
        match self.nodes[directory].kind {
            Kind::Directory { parent, .. } => parent,
            _ => panic!("not a directory"),
        }
    }

    /// Adds a file of the listing; `file` is its number there.
    pub(super) fn add_listed(&mut self, directory: usize, name: &[u8], file: u32, byte_len: usize) {
        let bytes = base_bytes(file, 0, byte_len);
        let number = self.make(Kind::File(bytes), 0o640);
        self.entries_mut(directory).insert(name.to_vec(), number);
    }

    pub(super) fn create(
        &mut self,
        directory: usize,
        name: &[u8],
        kind: Kind,
        mode: u32,
    ) -> Result<usize, u32> {
        if self.lookup(directory, name).is_some() {
            return Err(17);
        }
        let number = self.make(kind, mode);
        self.entries_mut(directory).insert(name.to_vec(), number);
        Ok(number)
    }

    pub(super) fn link(&mut self, number: usize, directory: usize, name: &[u8]) -> Outcome {
        if self.entries(number).is_some() {
            return Err(1);
        }
        if self.lookup(directory, name).is_some() {
            return Err(17);
        }
        if self.nodes[number].links == 0 {
            return Err(2);
        }
        self.nodes[number].links += 1;
        self.entries_mut(directory).insert(name.to_vec(), number);
        Ok(())
    }

    pub(super) fn unlink(&mut self, directory: usize, name: &[u8], is_rmdir: bool) -> Outcome {
        let number = self.lookup(directory, name).ok_or(2_u32)?;
        match (self.entries(number), is_rmdir) {
            (Some(_), false) => return Err(21),
            (None, true) => return Err(20),
            (Some(entries), true) if !entries.is_empty() => return Err(39),
            _ => {}
        }
        self.entries_mut(directory).remove(name);
        self.nodes[number].links -= 1;
        Ok(())
    }

    pub(super) fn rename(&mut self, from: (usize, &[u8]), to: (usize, &[u8])) -> Outcome {
        let number = self.lookup(from.0, from.1).ok_or(2_u32)?;
        let replaced = self.lookup(to.0, to.1);
        if replaced == Some(number) {
            return Ok(());
        }
        let is_directory = self.entries(number).is_some();
        let mut above = to.0;
        while is_directory && above != 0 {
            if above == number {
                return Err(22);
            }
            above = self.parent(above);
        }
        if let Some(replaced) = replaced {
            match (is_directory, self.entries(replaced)) {
                (true, None) => return Err(20),
                (false, Some(_)) => return Err(21),
                (true, Some(entries)) if !entries.is_empty() => return Err(39),
                _ => {}
            }
            self.nodes[replaced].links -= 1;
        }
        self.entries_mut(from.0).remove(from.1);
        self.entries_mut(to.0).insert(to.1.to_vec(), number);
        if let Kind::Directory { parent, .. } = &mut self.nodes[number].kind {
            *parent = to.0;
        }
        Ok(())
    }

    pub(super) fn bytes(&self, number: usize) -> &[u8] {
        match &self.nodes[number].kind {
            Kind::File(bytes) => bytes,
            _ => panic!("not a file"),
        }
    }

    pub(super) fn bytes_mut(&mut self, number: usize) -> &mut Vec<u8> {
        match &mut self.nodes[number].kind {
            Kind::File(bytes) => bytes,
            _ => panic!("not a file"),
        }
    }

    pub(super) fn write(&mut self, number: usize, offset: usize, bytes: &[u8]) {
        let file = self.bytes_mut(number);
        let end = offset + bytes.len();
        if file.len() < end {
            file.resize(end, 0);
        }
        file[offset..end].copy_from_slice(bytes);
    }

    /// Directories that have a name, the root among them, with their paths.
    pub(super) fn directories(&self) -> Vec<(usize, Vec<Vec<u8>>)> {
        let mut found = vec![(0, Vec::new())];
        let mut at = 0;
        while at < found.len() {
            let (directory, path) = found[at].clone();
            for (name, number) in self.entries(directory).into_iter().flatten() {
                if self.entries(*number).is_some() {
                    let mut path: Vec<Vec<u8>> = path.clone();
                    path.push(name.clone());
                    found.push((*number, path));
                }
            }
            at += 1;
        }
        found
    }
}

impl Kind {
    pub(super) fn empty_directory(parent: usize) -> Self {
        Self::Directory {
            parent,
            entries: BTreeMap::new(),
        }
    }
}
