//! The archive format of an initial file system: cpio in its `newc` form, as the kernel's
//! Documentation/driver-api/early-userspace/buffer-format.rst describes it. Deterministic: entries are sorted, inode
//! numbers count, and every time is the same.

use std::collections::BTreeMap;

const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;
const S_IFLNK: u32 = 0o120_000;
const S_IFCHR: u32 = 0o020_000;

/// One entry of the archive; everything belongs to root.
pub(super) enum Node {
    Folder { mode: u32 },
    File { mode: u32, contents: Vec<u8> },
    Link { target: String },
    CharacterDevice { mode: u32, major: u32, minor: u32 },
}

/// A file system to archive: entries by path, without a leading slash.
#[derive(Default)]
pub(super) struct Tree {
    nodes: BTreeMap<String, Node>,
}

impl Tree {
    /// Adds an entry, and the folders above it that are not there yet. A later entry replaces an earlier one.
    pub(super) fn add(&mut self, path: &str, node: Node) {
        let path = path.trim_start_matches('/');
        for (slash, _) in path.match_indices('/') {
            self.nodes
                .entry(path[..slash].to_owned())
                .or_insert(Node::Folder { mode: 0o755 });
        }
        self.nodes.insert(path.to_owned(), node);
    }

    /// The archive's bytes, with `time` (seconds since 1970) on every entry.
    pub(super) fn archive(&self, time: u32) -> Vec<u8> {
        let mut out = Vec::new();
        for (index, (path, node)) in self.nodes.iter().enumerate() {
            let (mode, contents, major, minor): (u32, &[u8], u32, u32) = match node {
                Node::Folder { mode } => (S_IFDIR | mode, &[], 0, 0),
                Node::File { mode, contents } => (S_IFREG | mode, contents, 0, 0),
                Node::Link { target } => (S_IFLNK | 0o777, target.as_bytes(), 0, 0),
                Node::CharacterDevice { mode, major, minor } => {
                    (S_IFCHR | mode, &[], *major, *minor)
                }
            };
            let links = if matches!(node, Node::Folder { .. }) {
                2
            } else {
                1
            };
            let head = Head {
                inode: index as u32 + 1,
                mode,
                links,
                time,
                major,
                minor,
            };
            append(&mut out, &head, path, contents);
        }
        append(
            &mut out,
            &Head {
                links: 1,
                ..Head::default()
            },
            "TRAILER!!!",
            &[],
        );
        // Readers expect whole blocks, as tape drives had them.
        out.resize(out.len().next_multiple_of(512), 0);
        out
    }
}

#[derive(Default)]
struct Head {
    inode: u32,
    mode: u32,
    links: u32,
    time: u32,
    major: u32,
    minor: u32,
}

/// Contents begin at multiples of this. The format asks for 4 only, but the kernel copies an archive that lies otherwise
/// byte by byte into its pages, which costs more than all else that it does with it.
const CONTENTS_ALIGNMENT: usize = 16;
/// Of an entry's head, before its name.
const HEAD_BYTES: usize = 6 + 13 * 8;

/// Appends one entry: a head of 13 numbers in hexadecimal, the name with zeros up to where the contents may begin, the
/// contents, padded to 4.
fn append(out: &mut Vec<u8>, head: &Head, name: &str, contents: &[u8]) {
    let name_begin = out.len() + HEAD_BYTES;
    let name_end = (name_begin + name.len() + 1).next_multiple_of(CONTENTS_ALIGNMENT);
    out.extend_from_slice(b"070701");
    let (uid, gid, device_major, device_minor, check) = (0, 0, 0, 0, 0);
    let fields = [
        head.inode,
        head.mode,
        uid,
        gid,
        head.links,
        head.time,
        contents.len() as u32,
        device_major,
        device_minor,
        head.major,
        head.minor,
        (name_end - name_begin) as u32,
        check,
    ];
    for field in fields {
        out.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    out.extend_from_slice(name.as_bytes());
    out.resize(name_end, 0);
    out.extend_from_slice(contents);
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_sorted_and_padded() {
        let mut tree = Tree::default();
        let contents = b"hello".to_vec();
        tree.add(
            "/b/c",
            Node::File {
                mode: 0o644,
                contents,
            },
        );
        let target = "d".to_owned();
        tree.add("a", Node::Link { target });
        let archive = tree.archive(1);
        assert_eq!(archive.len() % 512, 0);
        let text = String::from_utf8_lossy(&archive);
        let places: Vec<_> = ["a\0", "b\0", "b/c\0", "TRAILER!!!\0"]
            .iter()
            .map(|name| text.find(name))
            .collect();
        assert!(
            places.iter().all(Option::is_some) && places.is_sorted(),
            "{places:?}"
        );
        // The third entry: inode 3, a regular file of 5 bytes with a name of 4.
        let head = "07070100000003000081a4000000000000000000000001000000010000000500000000000000000000000000000000";
        let at = text.find(head).unwrap();
        assert_eq!(at % 4, 0);
        let name_bytes = usize::from_str_radix(&text[at + head.len()..][..8], 16).unwrap();
        assert_eq!(&text[at + HEAD_BYTES - 8..][..12], "00000000b/c\0");
        let begin = at + HEAD_BYTES + name_bytes;
        assert_eq!(begin % CONTENTS_ALIGNMENT, 0);
        assert_eq!(&archive[begin..][..8], b"hello\0\0\0");
    }
}
