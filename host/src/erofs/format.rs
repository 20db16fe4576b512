//! Numbers and records of the format, as Linux's `Documentation/filesystems/erofs.rst` and its kernel's
//! headers describe them. All integers are little-endian.

use crate::tree::{Node, NodeKind};

pub(super) const BLOCK_BYTES: u64 = 4096;
const BLOCK_BITS: u8 = 12;
pub(super) const SUPERBLOCK_OFFSET: u64 = 1024;
pub(super) const SUPERBLOCK_BYTES: usize = 128;
const MAGIC: u32 = 0xe0f5_e1e2;
/// The time in an inode is that of the last modification.
const COMPAT_MTIME: u32 = 2;
/// Inodes begin at multiples of this; their number counts them from the beginning of the image.
pub(super) const SLOT_BYTES: u64 = 32;
/// An extended inode.
pub(super) const INODE_BYTES: usize = 64;
/// Extended, all of the content in blocks of its own.
const FORMAT_PLAIN: u16 = 1;
/// Extended, what does not fill a block stands behind inode and attributes.
const FORMAT_INLINE: u16 = 1 | (2 << 1);
pub(super) const XATTR_HEADER_BYTES: usize = 12;
const XATTR_ENTRY_BYTES: usize = 4;
/// The most that an inode's 16-bit count of attribute words stands for.
pub(super) const XATTRS_BYTES_MAX: usize = XATTR_HEADER_BYTES + 4 * 0xfffe;

/// What a superblock says beside constants.
pub(super) struct Superblock {
    pub(super) root_slot: u16,
    pub(super) inodes: u64,
    pub(super) blocks: u32,
}

impl Superblock {
    pub(super) fn encode(&self) -> [u8; SUPERBLOCK_BYTES] {
        let mut bytes = [0; SUPERBLOCK_BYTES];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &MAGIC.to_le_bytes());
        // No checksum: it would cover the first inodes as well, and the image's hash covers everything.
        put(8, &COMPAT_MTIME.to_le_bytes());
        put(12, &[BLOCK_BITS]);
        put(14, &self.root_slot.to_le_bytes());
        put(16, &self.inodes.to_le_bytes());
        // Build time, UUID and volume name stay 0: they would differ from one build to the next.
        put(36, &self.blocks.to_le_bytes());
        bytes
    }
}

/// Where an inode's content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placement {
    /// Inode number: its place in the image in units of [`SLOT_BYTES`].
    pub(super) slot: u64,
    /// Bytes of content.
    pub(super) size: u64,
    /// The first block of content.
    pub(super) block: u32,
    /// Whether what does not fill a block stands behind the inode.
    pub(super) inline: bool,
}

impl Placement {
    /// Content in blocks of its own.
    pub(super) fn block_content_bytes(&self) -> u64 {
        match self.inline {
            true => self.size - self.size % BLOCK_BYTES,
            false => self.size,
        }
    }
}

/// An extended inode. `number` is for 32-bit programs, which see it in place of the slot.
pub(super) fn inode(node: &Node, placement: &Placement, number: u32) -> [u8; INODE_BYTES] {
    let mut bytes = [0; INODE_BYTES];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    let metadata = &node.metadata;
    let format = if placement.inline {
        FORMAT_INLINE
    } else {
        FORMAT_PLAIN
    };
    put(0, &format.to_le_bytes());
    put(2, &xattr_count(xattrs_bytes(node)).to_le_bytes());
    put(
        4,
        &(file_type_bits(&node.kind) | metadata.mode).to_le_bytes(),
    );
    put(8, &placement.size.to_le_bytes());
    let place = match node.kind {
        NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor } => {
            device_number(major, minor)
        }
        _ => placement.block,
    };
    put(16, &place.to_le_bytes());
    put(20, &number.to_le_bytes());
    put(24, &metadata.uid.to_le_bytes());
    put(28, &metadata.gid.to_le_bytes());
    // Linux reads it as signed.
    put(32, &metadata.mtime.seconds.to_le_bytes());
    put(40, &metadata.mtime.nanoseconds.to_le_bytes());
    put(44, &node.links.to_le_bytes());
    bytes
}

/// Linux's own encoding of a device's number (`new_encode_dev`): 12 bits of major, 20 of minor.
fn device_number(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12)
}

/// `S_IFMT` bits.
fn file_type_bits(kind: &NodeKind) -> u16 {
    match kind {
        NodeKind::Fifo => 0o010000,
        NodeKind::CharDevice { .. } => 0o020000,
        NodeKind::Directory(_) => 0o040000,
        NodeKind::BlockDevice { .. } => 0o060000,
        NodeKind::File(_) => 0o100000,
        NodeKind::Symlink(_) => 0o120000,
    }
}

/// The file type in a directory's entry.
pub(super) fn entry_type(kind: &NodeKind) -> u8 {
    match kind {
        NodeKind::File(_) => 1,
        NodeKind::Directory(_) => 2,
        NodeKind::CharDevice { .. } => 3,
        NodeKind::BlockDevice { .. } => 4,
        NodeKind::Fifo => 5,
        NodeKind::Symlink(_) => 7,
    }
}

/// Prefixes of attributes' names that the format has numbers for; a prefix that is a whole name has no rest.
const XATTR_PREFIXES: [(u8, &[u8], bool); 5] = [
    (1, b"user.", false),
    (2, b"system.posix_acl_access", true),
    (3, b"system.posix_acl_default", true),
    (4, b"trusted.", false),
    (6, b"security.", false),
];

/// The number and rest of an attribute's name. `None` for name spaces that Linux does not have: no file system
/// there takes them either, and container engines leave them out.
fn xattr_name(name: &[u8]) -> Option<(u8, &[u8])> {
    XATTR_PREFIXES
        .iter()
        .find_map(|&(index, prefix, is_whole)| {
            let rest = name.strip_prefix(prefix)?;
            (rest.is_empty() == is_whole).then_some((index, rest))
        })
}

/// Bytes of an inode's attributes: 0, or a header and entries.
pub(super) fn xattrs_bytes(node: &Node) -> usize {
    let named = node.metadata.xattrs.iter();
    let entries = named.filter_map(|(name, value)| {
        let (_, rest) = xattr_name(name)?;
        Some((XATTR_ENTRY_BYTES + rest.len() + value.len()).next_multiple_of(4))
    });
    match entries.sum() {
        0 => 0,
        entries => XATTR_HEADER_BYTES + entries,
    }
}

fn xattr_count(xattrs_bytes: usize) -> u16 {
    match xattrs_bytes.checked_sub(XATTR_HEADER_BYTES) {
        None => 0,
        // The plan has refused more than fits.
        Some(entries) => (entries / 4 + 1) as u16,
    }
}

/// Appends an inode's attributes.
pub(super) fn push_xattrs(node: &Node, bytes: &mut Vec<u8>) {
    if xattrs_bytes(node) == 0 {
        return;
    }
    bytes.resize(bytes.len() + XATTR_HEADER_BYTES, 0);
    for (name, value) in &node.metadata.xattrs {
        let Some((index, rest)) = xattr_name(name) else {
            continue;
        };
        // Layers with longer names and values are refused.
        bytes.extend_from_slice(&[rest.len() as u8, index]);
        bytes.extend_from_slice(&(value.len() as u16).to_le_bytes());
        bytes.extend_from_slice(rest);
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_are_linux_s() {
        assert_eq!(device_number(1, 3), 0x103);
        assert_eq!(device_number(5, 300), 0x0010_052c);
        assert_eq!(device_number(0xfff, 0xfffff), u32::MAX);
    }

    #[test]
    fn attribute_names_have_the_format_s_numbers() {
        assert_eq!(xattr_name(b"user.a"), Some((1, &b"a"[..])));
        assert_eq!(xattr_name(b"system.posix_acl_access"), Some((2, &b""[..])));
        assert_eq!(
            xattr_name(b"security.capability"),
            Some((6, &b"capability"[..]))
        );
        for other in [
            &b"user."[..],
            b"user",
            b"com.apple.quarantine",
            b"system.posix_acl_access2",
            b"system.x",
        ] {
            assert_eq!(xattr_name(other), None);
        }
    }
}
