//! How much an image from a stranger may make us hold and do.

/// Caps on an image. The default suits large images (compilers, Python distributions) in a browser's
/// worker; a native caller may allow more.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of one JSON document (index, manifest, configuration); registries accept 4 MiB.
    pub document_bytes_max: usize,
    /// Documents read on the way to a manifest, and members of one index.
    pub documents_max: usize,
    /// Layers of one image.
    pub layers_max: usize,
    /// Members of a `docker save` archive.
    pub archive_members_max: usize,
    /// Entries of all layers together, folders that are implied included. Each takes some 300 bytes of memory;
    /// more than 2^31 are never allowed.
    pub entries_max: u64,
    /// Bytes of names, link targets and extended attributes of all layers together: they stay in memory.
    pub metadata_bytes_max: u64,
    /// Bytes of all files of all layers together: they go to the spool.
    pub content_bytes_max: u64,
    /// Bytes of a path or of a link's target: Linux's `PATH_MAX` without its NUL.
    pub path_bytes_max: usize,
    /// Folders above a file.
    pub depth_max: usize,
    /// Unpacked bytes for each packed byte. gzip reaches 1032, so only zstd can be refused for it.
    pub ratio_max: u64,
    /// Unpacked bytes that a layer may have whatever its ratio.
    pub ratio_free_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            document_bytes_max: 4 << 20,
            documents_max: 256,
            layers_max: 512,
            archive_members_max: 1 << 16,
            entries_max: 2_000_000,
            metadata_bytes_max: 256 << 20,
            content_bytes_max: 64 << 30,
            path_bytes_max: 4095,
            depth_max: 256,
            ratio_max: 1100,
            ratio_free_bytes: 256 << 20,
        }
    }
}
