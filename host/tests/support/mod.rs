//! What the tests of this crate share. Not every test uses all of it.
#![allow(dead_code)]

#[cfg(target_os = "linux")]
pub(crate) mod disk;
pub(crate) mod erofs_reader;
pub(crate) mod layout;
pub(crate) mod tar_builder;

use std::collections::BTreeMap;

use reprise_host::{
    ImageError, Limits, MemorySpool, NodeKind, RootImage, Spool, Tree, TreeBuilder,
};

/// A file system by its paths, without what is not seen from inside.
pub(crate) type Listing = BTreeMap<Vec<u8>, Listed>;

/// One name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// As in `ls -l`: d, -, l, c, b or p.
    pub(crate) kind: char,
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: (i64, u32),
    pub(crate) links: u32,
    /// The first path of the same inode.
    pub(crate) same_as: Vec<u8>,
    /// A file's bytes, a link's target, a device's numbers.
    pub(crate) content: Vec<u8>,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

pub(crate) fn listing(tree: &Tree, spool: &mut dyn Spool) -> Listing {
    let mut first_paths: BTreeMap<_, Vec<u8>> = BTreeMap::new();
    let mut listing = Listing::new();
    for (path, id, node) in tree.walk() {
        let (kind, content) = match &node.kind {
            NodeKind::Directory(_) => ('d', Vec::new()),
            NodeKind::File(content) => {
                let mut bytes = vec![0; usize::try_from(content.size).unwrap()];
                spool.read_at(content.offset, &mut bytes).unwrap();
                ('-', bytes)
            }
            NodeKind::Symlink(target) => ('l', target.to_vec()),
            NodeKind::CharDevice { major, minor } => ('c', device(*major, *minor)),
            NodeKind::BlockDevice { major, minor } => ('b', device(*major, *minor)),
            NodeKind::Fifo => ('p', Vec::new()),
        };
        let metadata = &node.metadata;
        let xattrs = metadata.xattrs.iter();
        let listed = Listed {
            kind,
            mode: metadata.mode,
            uid: metadata.uid,
            gid: metadata.gid,
            mtime: (metadata.mtime.seconds, metadata.mtime.nanoseconds),
            links: node.links,
            same_as: first_paths
                .entry(id)
                .or_insert_with(|| path.clone())
                .clone(),
            content,
            xattrs: xattrs
                .map(|(name, value)| (name.to_vec(), value.to_vec()))
                .collect(),
        };
        listing.insert(path, listed);
    }
    listing
}

pub(crate) fn device(major: u32, minor: u32) -> Vec<u8> {
    format!("{major}, {minor}").into_bytes()
}

/// Applies layers, which come in slices of so many bytes.
pub(crate) fn build(
    layers: &[Vec<u8>],
    slice_bytes: usize,
    limits: Limits,
) -> Result<(Tree, MemorySpool), ImageError> {
    let mut builder = TreeBuilder::new(limits, MemorySpool::default());
    for layer in layers {
        for mut slice in layer.chunks(slice_bytes) {
            while !slice.is_empty() {
                let taken = builder.feed(slice)?;
                slice = &slice[taken..];
            }
        }
        builder.end_layer()?;
    }
    Ok(builder.finish())
}

/// The root image, read in pieces of so many bytes, and its hash.
pub(crate) fn image(tree: &Tree, spool: &mut MemorySpool, piece_bytes: usize) -> (Vec<u8>, String) {
    let mut image = RootImage::new(tree).unwrap();
    let mut bytes = Vec::new();
    let mut piece = vec![0xee; piece_bytes];
    loop {
        let put = image.read(spool, &mut piece).unwrap();
        bytes.extend_from_slice(&piece[..put]);
        if put == 0 {
            break;
        }
    }
    assert_eq!(bytes.len() as u64, image.size_bytes());
    assert_eq!(image.hash(), blake3::hash(&bytes));
    (bytes, image.hash().to_string())
}
