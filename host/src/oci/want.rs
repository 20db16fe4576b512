//! What an unpacker asks for and gives.

use super::config::ImageConfig;
use crate::digest::Digest;
use crate::tree::Tree;

/// Bytes that an [`Unpacker`](crate::Unpacker) wants next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// Where they are.
    pub place: Place,
    /// How many there are, as far as the image says; a caller may fetch at most so many.
    pub bytes: Option<u64>,
}

/// Where wanted bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file at the top of an OCI layout.
    File(&'static str),
    /// An index or manifest: in a layout a blob as others, at a registry below `manifests`.
    Manifest(Digest),
    /// A configuration or layer: in a layout below `blobs`, at a registry as well.
    Blob(Digest),
    /// A part of the archive.
    Range {
        /// Where it begins.
        offset: u64,
        /// Its bytes.
        bytes: u64,
    },
}

impl Place {
    /// The file's path in an OCI layout (OCI Image 1.1, image layout); `None` for a part of an archive.
    pub fn layout_path(&self) -> Option<String> {
        match self {
            Self::File(name) => Some((*name).to_owned()),
            Self::Manifest(digest) | Self::Blob(digest) => Some(blob_path(digest)),
            Self::Range { .. } => None,
        }
    }
}

/// Where a layout has a blob.
pub(super) fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// How far an [`Unpacker`](crate::Unpacker) is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of layers, as they are stored, that were handled.
    pub done_bytes: u64,
    /// Bytes of all layers; `None` until the manifest was read.
    pub total_bytes: Option<u64>,
}

/// An image's file system and configuration.
pub struct Unpacked<S> {
    /// The file system.
    pub tree: Tree,
    /// The bytes of its files.
    pub spool: S,
    /// What the image says about running it.
    pub config: ImageConfig,
}
