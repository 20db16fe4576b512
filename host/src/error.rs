//! What can be wrong with an image.

use std::io;

use thiserror::Error;

/// Why an image was refused or could not be handled. Each is one sentence for a person; nothing of a refused
/// image is of use.
#[derive(Debug, Error)]
pub enum ImageError {
    /// The image is for other machines only.
    #[error("the image is for {found}; Reprise runs linux/riscv64")]
    OtherPlatform {
        /// What it is for, as `linux/amd64 and linux/arm64`.
        found: String,
    },
    /// The folder or archive is no image.
    #[error("this is not a container image: {reason}")]
    NotAnImage {
        /// What it lacks.
        reason: String,
    },
    /// A JSON document is not what the specification says.
    #[error("the image's {name} cannot be used: {reason}")]
    Document {
        /// Which one: `index.json`, or its digest.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An archive lacks a member that one of its documents names.
    #[error("the image is not whole: {name} is not in the archive")]
    Missing {
        /// Which one.
        name: String,
    },
    /// The asked name is not among the image's.
    #[error("there is no image `{wanted}` here; there is {there}")]
    NoSuchReference {
        /// What was asked for.
        wanted: String,
        /// The names that are there.
        there: String,
    },
    /// Several images, and none was asked for.
    #[error("there are several images here, name one of them: {there}")]
    AmbiguousReference {
        /// The names that are there.
        there: String,
    },
    /// Bytes do not have the digest that names them.
    #[error("the image is damaged: {name} has the digest sha256:{found}")]
    Digest {
        /// What was promised.
        name: String,
        /// Hexadecimal digits of the digest of the bytes that came.
        found: String,
    },
    /// There are more or fewer bytes than promised.
    #[error("the image is damaged: {name} should have {expected} bytes and has {found}")]
    Size {
        /// Which blob.
        name: String,
        /// Bytes promised.
        expected: u64,
        /// Bytes that came, or as many as were read before it was given up.
        found: u64,
    },
    /// More than a cap of [`Limits`](crate::Limits) allows.
    #[error("the image is too large: it has more than {limit} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// The cap.
        limit: u64,
    },
    /// A layer is damaged or hostile.
    #[error("layer {layer} of the image {fault}")]
    Layer {
        /// Which one; the lowest is 1.
        layer: usize,
        /// What it does.
        fault: LayerFault,
    },
    /// The place for files' bytes failed.
    #[error("can't keep the image's files: {0}")]
    Spool(#[from] io::Error),
    /// The tree does not fit into a root image.
    #[error("{path} in the image has {what}, which a root image cannot hold")]
    Unrepresentable {
        /// Which file.
        path: String,
        /// What is too large.
        what: &'static str,
    },
}

/// What is wrong with a layer. Reads on from "layer N of the image".
#[derive(Debug, Error)]
pub enum LayerFault {
    /// The compressed bytes are damaged or end early.
    #[error("is damaged: {reason}")]
    Compression {
        /// What the decoder says.
        reason: String,
    },
    /// The tar archive is damaged or has what we do not know.
    #[error("is not a tar archive that can be read: {reason} (at byte {at_byte})")]
    Tar {
        /// Where in the unpacked layer.
        at_byte: u64,
        /// What is wrong there.
        reason: String,
    },
    /// It unpacks to far more than it is.
    #[error("is a bomb: it unpacks to more than {ratio} times its size")]
    Ratio {
        /// The cap.
        ratio: u64,
    },
    /// One of its entries cannot be.
    #[error("has the entry {path}, which {fault}")]
    Entry {
        /// The entry's name, shortened and escaped.
        path: String,
        /// What is wrong with it.
        fault: EntryFault,
    },
}

/// What is wrong with an entry of a layer. Reads on from "the entry NAME, which".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EntryFault {
    /// It begins with `/`.
    #[error("has an absolute path")]
    Absolute,
    /// It has a `..` component.
    #[error("has a path with `..`")]
    DotDot,
    /// It has a NUL.
    #[error("has a path with a NUL in it")]
    Nul,
    /// It is no directory and stands for the root.
    #[error("would replace the root directory")]
    Root,
    /// A component of the path is longer than Linux allows.
    #[error("has a name of more than 255 bytes")]
    LongName,
    /// The path is longer than the cap.
    #[error("has a path or a target of more than 4095 bytes")]
    LongPath,
    /// The path is deeper than the cap.
    #[error("lies too deep")]
    Deep,
    /// A component of its path is neither a directory nor a link to one.
    #[error("goes through something that is not a directory")]
    ThroughFile,
    /// Symbolic links on its path lead around in circles.
    #[error("goes through too many symbolic links")]
    Links,
    /// A hard link to what is not there.
    #[error("is a hard link to what is not in the image")]
    LinkTarget,
    /// A hard link to a directory.
    #[error("is a hard link to a directory")]
    LinkToDirectory,
    /// A symbolic link to nowhere.
    #[error("is a symbolic link without a target")]
    EmptyTarget,
    /// A whiteout of nothing, `.` or `..`.
    #[error("is a whiteout of no name")]
    Whiteout,
    /// A device that Linux cannot have.
    #[error("is a device with a number out of range")]
    Device,
    /// An extended attribute's name or value is longer than a file system can hold.
    #[error("has an extended attribute that is too long")]
    LongXattr,
}

/// The longest piece of a name from outside that a message repeats.
const SHOWN_BYTES_MAX: usize = 160;

/// A name from outside as it may stand in a message: escaped, and not longer than a line or two.
pub(crate) fn shown(name: &[u8]) -> String {
    let cut = &name[..name.len().min(SHOWN_BYTES_MAX)];
    let dots = if cut.len() < name.len() { "…" } else { "" };
    format!("`{}{dots}`", String::from_utf8_lossy(cut).escape_debug())
}
