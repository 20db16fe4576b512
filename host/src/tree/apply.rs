//! One entry of a layer, applied to the tree (OCI Image 1.1, layer: applying changesets).

use super::growing::{
    Directory, Growing, GrowingKind, GrowingNode, Missing, NAME_BYTES_MAX, components_of,
};
use super::{Content, Metadata, NodeId, Tree};
use crate::error::{EntryFault, ImageError, LayerFault, shown};
use crate::limits::Limits;
use crate::tar::{Entry, EntryKind};

/// What is in front of the name of what a layer removes.
const WHITEOUT: &[u8] = b".wh.";
/// Names with this in front say something about the directory; all but [`OPAQUE`] are leftovers of AUFS.
const WHITEOUT_META: &[u8] = b".wh..wh.";
/// In a directory whose lower contents a layer hides.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// The longest value and name of an extended attribute: the root image has 16 and 8 bits for their lengths.
const XATTR_VALUE_BYTES_MAX: usize = 0xffff;
const XATTR_NAME_BYTES_MAX: usize = 255;

/// What is done with the bytes that follow an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bytes {
    /// They are a file's.
    Keep,
    /// They mean nothing.
    Ignore,
}

/// What was used of the caps so far.
#[derive(Default)]
pub(super) struct Used {
    pub(super) entries: u64,
    pub(super) metadata_bytes: u64,
    pub(super) content_bytes: u64,
}

impl Used {
    fn count(&mut self, entry: &Entry, limits: &Limits) -> Result<(), ImageError> {
        let check = |used: u64, limit: u64, what| {
            if used > limit {
                return Err(ImageError::TooLarge { what, limit });
            }
            Ok(())
        };
        let xattrs = entry
            .xattrs
            .iter()
            .map(|(name, value)| name.len() + value.len());
        let target = match &entry.kind {
            EntryKind::Symlink(target) => target.len(),
            _ => 0,
        };
        self.entries += 1;
        self.metadata_bytes += (entry.path.len() + target + xattrs.sum::<usize>()) as u64;
        check(self.entries, limits.entries_max, "entries")?;
        check(
            self.metadata_bytes,
            limits.metadata_bytes_max,
            "bytes of names and attributes",
        )?;
        let content = self.content_bytes.saturating_add(entry.size);
        check(content, limits.content_bytes_max, "bytes of files")
    }
}

/// Applies `entry` of layer number `layer`. A file's bytes will be appended to the spool next: they begin at
/// `used.content_bytes`.
pub(super) fn apply(
    growing: &mut Growing,
    used: &mut Used,
    mut entry: Entry,
    layer: u32,
    limits: &Limits,
) -> Result<Bytes, ImageError> {
    used.count(&entry, limits)?;
    let inodes_before = growing.len();
    let path = std::mem::take(&mut entry.path);
    let size = entry.size;
    let applied = apply_entry(growing, used.content_bytes, &path, entry, layer, limits);
    let bytes = applied.map_err(|fault| ImageError::Layer {
        layer: layer as usize,
        fault: LayerFault::Entry {
            path: shown(&path),
            fault,
        },
    })?;
    // One inode is the entry's own; the rest are directories on the way to it, each with a name of the path.
    used.entries += (growing.len() - inodes_before).saturating_sub(1) as u64;
    if used.entries > limits.entries_max {
        return Err(ImageError::TooLarge {
            what: "entries",
            limit: limits.entries_max,
        });
    }
    if bytes == Bytes::Keep {
        used.content_bytes += size;
    }
    Ok(bytes)
}

fn apply_entry(
    growing: &mut Growing,
    content_offset: u64,
    path: &[u8],
    entry: Entry,
    layer: u32,
    limits: &Limits,
) -> Result<Bytes, EntryFault> {
    let components = inside(path, limits)?;
    if components
        .iter()
        .any(|name| name.starts_with(WHITEOUT_META) && *name != OPAQUE)
    {
        return Ok(Bytes::Ignore);
    }
    let Some((&name, way)) = components.split_last() else {
        return apply_root(growing, entry);
    };
    if let Some(hidden) = name.strip_prefix(WHITEOUT) {
        return hide(growing, way, name, hidden, layer, limits);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(EntryFault::LongName);
    }
    let has_content = matches!(entry.kind, EntryKind::File);
    let made = match &entry.kind {
        EntryKind::HardLink(target) => Made::Link(hard_link(growing, target, limits)?),
        EntryKind::File => Made::Inode(GrowingKind::File(Content {
            offset: content_offset,
            size: entry.size,
        })),
        EntryKind::Symlink(target) => Made::Inode(symlink(target, limits)?),
        &EntryKind::CharDevice { major, minor } => {
            check_device(major, minor)?;
            Made::Inode(GrowingKind::CharDevice { major, minor })
        }
        &EntryKind::BlockDevice { major, minor } => {
            check_device(major, minor)?;
            Made::Inode(GrowingKind::BlockDevice { major, minor })
        }
        EntryKind::Fifo => Made::Inode(GrowingKind::Fifo),
        EntryKind::Directory => Made::Inode(GrowingKind::Directory(Directory {
            described_by: layer,
            ..Directory::default()
        })),
    };
    let metadata = metadata_of(entry)?;
    let parent = growing
        .resolve(way, Missing::Make { layer }, limits)?
        .unwrap_or(Tree::ROOT);
    put(growing, parent, name, made, metadata, layer);
    Ok(if has_content {
        Bytes::Keep
    } else {
        Bytes::Ignore
    })
}

enum Made {
    Link(NodeId),
    Inode(GrowingKind),
}

/// A directory takes the place of a directory by changing its metadata; anything else replaces what was there.
fn put(
    growing: &mut Growing,
    parent: NodeId,
    name: &[u8],
    made: Made,
    metadata: Metadata,
    layer: u32,
) {
    let kind = match made {
        // What a link's entry says of owner and mode is what its inode has already.
        Made::Link(node) => return growing.put(parent, name, node, layer),
        Made::Inode(kind) => kind,
    };
    if let (GrowingKind::Directory(_), Some(there)) = (&kind, growing.child(parent, name))
        && let Some(directory) = growing.directory(there.node)
    {
        directory.described_by = layer;
        growing.node_mut(there.node).metadata = metadata;
        return growing.put(parent, name, there.node, layer);
    }
    let node = growing.add(GrowingNode { metadata, kind });
    growing.put(parent, name, node, layer);
}

fn apply_root(growing: &mut Growing, entry: Entry) -> Result<Bytes, EntryFault> {
    if entry.kind != EntryKind::Directory {
        return Err(EntryFault::Root);
    }
    growing.node_mut(Tree::ROOT).metadata = metadata_of(entry)?;
    Ok(Bytes::Ignore)
}

/// The components of a path that must stay below the root by itself.
fn inside<'p>(path: &'p [u8], limits: &Limits) -> Result<Vec<&'p [u8]>, EntryFault> {
    if path.starts_with(b"/") {
        return Err(EntryFault::Absolute);
    }
    relative(path, limits)
}

fn relative<'p>(path: &'p [u8], limits: &Limits) -> Result<Vec<&'p [u8]>, EntryFault> {
    if path.len() > limits.path_bytes_max {
        return Err(EntryFault::LongPath);
    }
    if path.contains(&0) {
        return Err(EntryFault::Nul);
    }
    let components: Vec<&[u8]> = components_of(path).collect();
    if components.contains(&&b".."[..]) {
        return Err(EntryFault::DotDot);
    }
    if components.len() > limits.depth_max {
        return Err(EntryFault::Deep);
    }
    Ok(components)
}

/// A whiteout hides what lower layers have, never what its own layer puts there, before or after it.
fn hide(
    growing: &mut Growing,
    way: &[&[u8]],
    name: &[u8],
    hidden: &[u8],
    layer: u32,
    limits: &Limits,
) -> Result<Bytes, EntryFault> {
    if matches!(hidden, b"" | b"." | b"..") {
        return Err(EntryFault::Whiteout);
    }
    let Some(directory) = growing.resolve(way, Missing::Leave, limits)? else {
        return Ok(Bytes::Ignore);
    };
    if name == OPAQUE {
        growing.prune(directory, layer);
    } else if let Some(found) = growing.child(directory, hidden) {
        if found.layer == layer {
            growing.hide_metadata(found.node, layer);
            growing.prune(found.node, layer);
        } else if let Some(directory) = growing.directory(directory) {
            directory.names.remove(hidden);
        }
    }
    Ok(Bytes::Ignore)
}

/// The inode that a hard link's target names. As in `link(2)`, a symbolic link at its end is not followed.
fn hard_link(growing: &mut Growing, target: &[u8], limits: &Limits) -> Result<NodeId, EntryFault> {
    // Some tools write the target with a slash in front; it means the image's root.
    let components = relative(target, limits)?;
    let (name, way) = components.split_last().ok_or(EntryFault::LinkToDirectory)?;
    let directory = growing.resolve(way, Missing::Leave, limits)?;
    let directory = directory.ok_or(EntryFault::LinkTarget)?;
    let found = growing
        .child(directory, name)
        .ok_or(EntryFault::LinkTarget)?;
    if growing.directory(found.node).is_some() {
        return Err(EntryFault::LinkToDirectory);
    }
    Ok(found.node)
}

fn symlink(target: &[u8], limits: &Limits) -> Result<GrowingKind, EntryFault> {
    if target.is_empty() {
        return Err(EntryFault::EmptyTarget);
    }
    if target.len() > limits.path_bytes_max {
        return Err(EntryFault::LongPath);
    }
    if target.contains(&0) {
        return Err(EntryFault::Nul);
    }
    Ok(GrowingKind::Symlink(target.into()))
}

/// Linux has 12 bits for major numbers and 20 for minor ones.
fn check_device(major: u32, minor: u32) -> Result<(), EntryFault> {
    if major > 0xfff || minor > 0xf_ffff {
        return Err(EntryFault::Device);
    }
    Ok(())
}

fn metadata_of(entry: Entry) -> Result<Metadata, EntryFault> {
    let mut xattrs = entry.xattrs.iter();
    if xattrs.any(|(name, value)| {
        name.len() > XATTR_NAME_BYTES_MAX || value.len() > XATTR_VALUE_BYTES_MAX
    }) {
        return Err(EntryFault::LongXattr);
    }
    Ok(Metadata {
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        mtime: entry.mtime,
        xattrs: entry.xattrs,
    })
}
