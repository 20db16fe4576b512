//! Reads uncompressed EROFS images into a listing, strictly: what Linux would refuse, or what our images
//! should not have, is a panic. It shares no code with the writer, and is itself checked against images by
//! `mkfs.erofs`.

use std::collections::BTreeMap;

use super::{Listed, Listing, device};

pub(crate) struct Image<'i> {
    bytes: &'i [u8],
    meta_start: usize,
}

struct Inode {
    mode: u16,
    uid: u32,
    gid: u32,
    mtime: (i64, u32),
    links: u32,
    place: u32,
    content: Vec<u8>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

fn word(bytes: &[u8], at: usize, length: usize) -> u64 {
    let field = &bytes[at..at + length];
    field
        .iter()
        .rev()
        .fold(0, |word, &byte| (word << 8) | u64::from(byte))
}

pub(crate) fn read(bytes: &[u8]) -> Listing {
    let superblock = &bytes[1024..1152];
    assert_eq!(word(superblock, 0, 4), 0xe0f5_e1e2);
    assert_eq!(superblock[12], 12, "blocks of 4096 bytes");
    assert_eq!(
        word(superblock, 80, 4),
        0,
        "nothing that a reader must know"
    );
    assert_eq!(word(superblock, 36, 4) as usize * 4096, bytes.len());
    let image = Image {
        bytes,
        meta_start: word(superblock, 40, 4) as usize * 4096,
    };
    let root = word(superblock, 14, 2);
    let mut listing = Listing::new();
    let mut first_paths = BTreeMap::new();
    image.list(root, root, Vec::new(), &mut first_paths, &mut listing);
    assert_eq!(
        word(superblock, 16, 8) as usize,
        first_paths.len(),
        "number of inodes"
    );
    listing
}

impl Image<'_> {
    fn list(
        &self,
        slot: u64,
        parent: u64,
        path: Vec<u8>,
        first_paths: &mut BTreeMap<u64, Vec<u8>>,
        listing: &mut Listing,
    ) {
        let inode = self.inode(slot);
        let kind = match inode.mode >> 12 {
            0o04 => 'd',
            0o10 => '-',
            0o12 => 'l',
            0o02 => 'c',
            0o06 => 'b',
            0o01 => 'p',
            other => panic!("file type {other:o}"),
        };
        let same_as = first_paths
            .entry(slot)
            .or_insert_with(|| path.clone())
            .clone();
        let content = match kind {
            'd' => Vec::new(),
            'c' | 'b' => {
                let number = inode.place;
                device(
                    (number >> 8) & 0xfff,
                    (number & 0xff) | ((number >> 12) & 0xfff00),
                )
            }
            _ => inode.content.clone(),
        };
        if kind == 'd' {
            let entries = entries(&inode.content);
            let ordered = entries.windows(2).all(|pair| pair[0].0 < pair[1].0);
            assert!(ordered, "entries of {path:?} are in order, each once");
            for (name, child, file_type) in entries {
                match &name[..] {
                    b"." => assert_eq!((child, file_type), (slot, 2)),
                    b".." => assert_eq!((child, file_type), (parent, 2)),
                    _ => {
                        let mut below = path.clone();
                        if !below.is_empty() {
                            below.push(b'/');
                        }
                        below.extend_from_slice(&name);
                        self.list(child, slot, below.clone(), first_paths, listing);
                        let types = [('-', 1), ('d', 2), ('c', 3), ('b', 4), ('p', 5), ('l', 7)];
                        assert!(types.contains(&(listing[&below].kind, file_type)));
                    }
                }
            }
        }
        let listed = Listed {
            kind,
            mode: inode.mode & 0o7777,
            uid: inode.uid,
            gid: inode.gid,
            mtime: inode.mtime,
            links: inode.links,
            same_as,
            content,
            xattrs: inode.xattrs,
        };
        listing.insert(path, listed);
    }

    fn inode(&self, slot: u64) -> Inode {
        let start = self.meta_start + usize::try_from(slot).unwrap() * 32;
        let inode = &self.bytes[start..];
        let format = word(inode, 0, 2);
        assert_eq!(format & 1, 1, "an extended inode");
        let size = usize::try_from(word(inode, 8, 8)).unwrap();
        let count = word(inode, 2, 2) as usize;
        let xattr_bytes = if count == 0 { 0 } else { 12 + (count - 1) * 4 };
        let place = word(inode, 16, 4);
        let mode = word(inode, 4, 2) as u16;
        let has_content = matches!(mode >> 12, 0o04 | 0o10 | 0o12);
        let in_blocks = match format >> 1 {
            0 => size,
            2 => size - size % 4096,
            other => panic!("layout {other}"),
        };
        let mut content = Vec::new();
        if has_content && size > 0 {
            if in_blocks > 0 {
                let blocks = place as usize * 4096;
                content.extend_from_slice(&self.bytes[blocks..][..in_blocks]);
            }
            let tail = start + 64 + xattr_bytes;
            let tail_end = tail + size - in_blocks;
            if tail_end > tail {
                assert_eq!(
                    start / 4096,
                    (tail_end - 1) / 4096,
                    "inode and tail are in one block"
                );
            }
            content.extend_from_slice(&self.bytes[tail..tail_end]);
        }
        Inode {
            mode,
            uid: word(inode, 24, 4) as u32,
            gid: word(inode, 28, 4) as u32,
            mtime: (word(inode, 32, 8) as i64, word(inode, 40, 4) as u32),
            links: word(inode, 44, 4) as u32,
            place: place as u32,
            content,
            xattrs: self.xattrs(&inode[64..64 + xattr_bytes]),
        }
    }

    fn xattrs(&self, mut bytes: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut xattrs = BTreeMap::new();
        if bytes.is_empty() {
            return xattrs;
        }
        let shared = usize::from(bytes[4]);
        let shared_start = word(self.bytes, 1024 + 44, 4) as usize * 4096;
        for number in 0..shared {
            let at = shared_start + word(bytes, 12 + number * 4, 4) as usize * 4;
            let (name, value, _) = xattr(&self.bytes[at..]);
            xattrs.insert(name, value);
        }
        bytes = &bytes[12 + shared * 4..];
        while !bytes.is_empty() {
            let (name, value, used) = xattr(bytes);
            assert!(xattrs.insert(name, value).is_none(), "each attribute once");
            bytes = &bytes[used..];
        }
        xattrs
    }
}

/// Name, value and the bytes that both take.
fn xattr(bytes: &[u8]) -> (Vec<u8>, Vec<u8>, usize) {
    let name_bytes = usize::from(bytes[0]);
    let prefix: &[u8] = match bytes[1] {
        1 => b"user.",
        2 => b"system.posix_acl_access",
        3 => b"system.posix_acl_default",
        4 => b"trusted.",
        6 => b"security.",
        other => panic!("prefix {other}"),
    };
    let value_bytes = word(bytes, 2, 2) as usize;
    let name = [prefix, &bytes[4..4 + name_bytes]].concat();
    let value = bytes[4 + name_bytes..][..value_bytes].to_vec();
    (
        name,
        value,
        (4 + name_bytes + value_bytes).next_multiple_of(4),
    )
}

/// Names, inodes and file types of a directory.
fn entries(content: &[u8]) -> Vec<(Vec<u8>, u64, u8)> {
    let mut entries = Vec::new();
    for block in content.chunks(4096) {
        let count = word(block, 8, 2) as usize / 12;
        for number in 0..count {
            let entry = &block[number * 12..];
            let start = word(entry, 8, 2) as usize;
            let end = match number + 1 < count {
                true => word(block, (number + 1) * 12 + 8, 2) as usize,
                // The last name ends with the block, or at the first NUL.
                false => {
                    let nul = block[start..].iter().position(|&byte| byte == 0);
                    nul.map_or(block.len(), |nul| start + nul)
                }
            };
            assert!(end > start && end - start <= 255);
            entries.push((block[start..end].to_vec(), word(entry, 0, 8), entry[10]));
        }
    }
    entries
}
