//! A folder that a person has given a page. A browser tells names, lengths and times, and neither modes nor owners.

use super::LeftOut;
use reprise_core::workspace::content::ContentKey;
use reprise_core::workspace::listing::{
    BuilderDirectory, Entry, EntryKind, ListingError, Timestamp,
};
use reprise_core::workspace::{Listing, ListingBuilder};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What something in a folder is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PickedKind {
    /// A directory. Those in which there is something need not be told.
    Directory,
    /// A regular file.
    File,
    /// A regular file that begins as a program or a script does.
    Program,
    /// Something that the browser cannot read.
    Unreadable,
}

/// Something in a folder: its path below it, components joined by `/`; what it is; its length in bytes; and when it changed
/// last, in seconds since 1970.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PickedEntry(pub String, pub PickedKind, pub u64, pub i64);

/// A folder as a listing, with which of its entries came from where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PickedFolder {
    /// The listing's encoding.
    pub encoded: Vec<u8>,
    listing: Listing,
    /// Of each entry of the listing, the number of what was picked.
    numbers: Vec<Option<u32>>,
    left_out: Vec<LeftOut>,
}

impl PickedFolder {
    /// Lists a folder, of which a page tells by a JSON list of [`PickedEntry`]s in any order. What cannot be in a listing is left out.
    ///
    /// All of it is root's, as what is the person's own is natively; programs can be executed by everybody. When a directory changed
    /// nobody knows: when something in the folder last did.
    ///
    /// # Errors
    /// A sentence for the person, when the JSON is none, or there is more than a listing can hold.
    pub fn from_json(json: &[u8]) -> Result<Self, String> {
        let entries: Vec<PickedEntry> = serde_json::from_slice(json)
            .map_err(|_| "what the browser tells of the folder is not understood".to_owned())?;
        Self::new(&entries)
    }

    fn new(entries: &[PickedEntry]) -> Result<Self, String> {
        let newest = entries.iter().map(|PickedEntry(_, _, _, time)| *time).max();
        let directory = entry(EntryKind::Directory, 0o755, newest.unwrap_or(0));
        let mut lister = Lister {
            builder: ListingBuilder::new(directory.clone()),
            directory,
            directories: BTreeMap::from([("", ListingBuilder::ROOT)]),
        };
        let mut left_out = Vec::new();
        let mut listed = BTreeMap::new();
        for (number, picked) in (0..).zip(entries) {
            if picked.1 == PickedKind::Unreadable {
                left_out.push(LeftOut {
                    path: picked.0.clone(),
                    why: "it cannot be read".to_owned(),
                });
                continue;
            }
            match lister.add(picked) {
                Ok(()) => {
                    listed.insert(picked.0.as_str(), number);
                }
                Err(ListingError::BadEntry { what, .. }) => left_out.push(LeftOut {
                    path: picked.0.clone(),
                    why: format!("a workspace cannot have it ({what})"),
                }),
                Err(error) => return Err(error.to_string()),
            }
        }
        let encoded = lister.builder.encode();
        let listing = Listing::decode(&encoded).map_err(|error| error.to_string())?;
        let numbers = (0..listing.entry_count()).map(|entry| {
            let path = String::from_utf8(listing.path(entry)?).ok()?;
            listed.get(path.as_str()).copied()
        });
        Ok(Self {
            numbers: numbers.collect(),
            encoded,
            listing,
            left_out,
        })
    }

    /// The listing.
    #[must_use]
    pub fn listing(&self) -> &Listing {
        &self.listing
    }

    /// The number of what was picked that a content is of, in the order in which it was told.
    #[must_use]
    pub fn number(&self, key: ContentKey) -> Option<u32> {
        *self.numbers.get(key.file as usize)?
    }

    /// What of the folder is not in the listing.
    #[must_use]
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }
}

struct Lister<'a> {
    builder: ListingBuilder,
    /// What all directories are like.
    directory: Entry,
    /// By their paths; the root's is empty.
    directories: BTreeMap<&'a str, BuilderDirectory>,
}

impl<'a> Lister<'a> {
    fn add(&mut self, picked: &'a PickedEntry) -> Result<(), ListingError> {
        let PickedEntry(path, kind, byte_len, seconds) = picked;
        if path.starts_with('/') {
            let (entry, what) = (0, "a path from the root on");
            return Err(ListingError::BadEntry { entry, what });
        }
        let mode = match kind {
            PickedKind::Directory => return self.directory(path).map(drop),
            PickedKind::File | PickedKind::Unreadable => 0o644,
            PickedKind::Program => 0o755,
        };
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = self.directory(parent)?;
        let byte_len = *byte_len;
        let file = entry(EntryKind::File { byte_len }, mode, *seconds);
        self.builder.add(parent, name.as_bytes(), file).map(drop)
    }

    /// The directory at a path; makes it, and those in which it is, where it is not there.
    fn directory(&mut self, path: &'a str) -> Result<BuilderDirectory, ListingError> {
        if let Some(known) = self.directories.get(path) {
            return Ok(*known);
        }
        let mut at = ListingBuilder::ROOT;
        let slashes = path.match_indices('/').map(|(at, _)| at);
        let mut begin = 0;
        for end in slashes.chain([path.len()]) {
            at = match self.directories.get(&path[..end]) {
                Some(known) => *known,
                None => {
                    let name = &path.as_bytes()[begin..end];
                    let made = self.builder.add(at, name, self.directory.clone())?;
                    self.directories.insert(&path[..end], made);
                    made
                }
            };
            begin = end + 1;
        }
        Ok(at)
    }
}

fn entry(kind: EntryKind, mode: u32, seconds: i64) -> Entry {
    Entry {
        kind,
        mode,
        uid: 0,
        gid: 0,
        mtime: Timestamp {
            seconds,
            nanoseconds: 0,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(json: &str) -> Result<PickedFolder, String> {
        PickedFolder::from_json(json.as_bytes())
    }

    /// Paths with modes, lengths and numbers.
    fn told(folder: &PickedFolder) -> Vec<String> {
        let listing = folder.listing();
        let lines = (0..listing.entry_count()).map(|file| {
            let entry = listing.entry(file).expect("an entry");
            let path = String::from_utf8(listing.path(file).expect("a path")).expect("UTF-8");
            let number = folder.number(ContentKey { file, extent: 0 });
            let byte_len = listing.file_bytes(file);
            let facts = (entry.mode, byte_len, entry.mtime.seconds, number);
            format!(
                "{path} {:o} {:?} {} {:?}",
                facts.0, facts.1, facts.2, facts.3
            )
        });
        lines.collect()
    }

    #[test]
    fn a_folder_is_listed_whatever_the_order() {
        let json = r#"[["b/c/run.sh","program",20,7],["a","file",3,9],["b/empty","directory",0,0],["b/ü","file",0,-2]]"#;
        let folder = listed(json).expect("a folder");
        let expect = [
            " 755 None 9 None",
            "a 644 Some(3) 9 Some(1)",
            "b 755 None 9 None",
            "b/c 755 None 9 None",
            "b/empty 755 None 9 Some(2)",
            "b/ü 644 Some(0) -2 Some(3)",
            "b/c/run.sh 755 Some(20) 7 Some(0)",
        ];
        assert_eq!(told(&folder), expect);
        assert_eq!(folder.left_out(), []);
        assert_eq!(told(&listed("[]").expect("a folder")), [" 755 None 0 None"]);
    }

    #[test]
    fn what_cannot_be_listed_is_left_out() {
        let long = "n".repeat(256);
        let paths = [
            "a", "a", "a/b", "../x", "/x", "x//y", "x/", "", "c\\u0000", &long,
        ];
        let entries: Vec<String> = paths
            .iter()
            .map(|path| format!(r#"["{path}","file",1,0]"#))
            .collect();
        let folder = listed(&format!("[{}]", entries.join(","))).expect("a folder");
        assert_eq!(folder.left_out().len(), paths.len() - 1, "{folder:?}");
        assert_eq!(folder.left_out()[0].path, "a");
        assert!(told(&folder).contains(&"a 644 Some(1) 0 Some(0)".to_owned()));
        for json in [
            "",
            "{}",
            "[1]",
            r#"[["a","file",-1,0]]"#,
            r#"[["a","link",1,0]]"#,
        ] {
            assert!(listed(json).is_err(), "{json}");
        }
        let unread = listed(r#"[["a","unreadable",0,0],["b","file",1,0]]"#).expect("a folder");
        assert_eq!(unread.left_out()[0].why, "it cannot be read");
        assert_eq!(told(&unread).len(), 2);
        let deep = format!(r#"[["{}f","file",1,0]]"#, "d/".repeat(2000));
        assert_eq!(listed(&deep).expect("a folder").left_out().len(), 1);
    }
}
