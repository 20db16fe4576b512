//! What stands outside the machine, sans I/O: container images made into root images.
//!
//! ```text
//! layout, registry, archive --Want/feed--> Unpacker --layers--> TreeBuilder --> Tree + Spool --> RootImage --read--> bytes, hash
//! ```
//!
//! An [`Unpacker`] is asked what it wants ([`Unpacker::want`]), is handed that in slices ([`Unpacker::feed`],
//! [`Unpacker::end`]), and gives a [`Tree`], whose files' bytes are in the caller's [`Spool`], and an
//! [`ImageConfig`]. A [`RootImage`] is read out of both, a slice at a time ([`RootImage::read`]). So a worker
//! drives both between two messages, a page fetches as it likes, and a command reads files.
//!
//! ```
//! # use reprise_host::{ImageError, Limits, MemorySpool, RootImage, Unpacker, Want};
//! # fn fetch(_: &Want) -> Vec<u8> { Vec::new() }
//! # fn convert() -> Result<(), ImageError> {
//! let mut unpacker = Unpacker::layout(None, Limits::default(), MemorySpool::default());
//! while let Some(want) = unpacker.want() {
//!     let bytes = fetch(want);
//!     let mut rest = &bytes[..];
//!     while !rest.is_empty() {
//!         let taken = unpacker.feed(rest)?;
//!         rest = &rest[taken..];
//!     }
//!     unpacker.end()?;
//! }
//! let mut unpacked = unpacker.finish()?;
//! let mut image = Vec::new();
//! let hash = RootImage::new(&unpacked.tree)?.write_to(&mut unpacked.spool, &mut image)?;
//! # Ok(())
//! # }
//! ```
//!
//! # Code map
//! - `oci`: documents, the choice of an image, archives, and the state machine in front. Knows no tar entries
//!   of layers.
//! - `decode` and `tar`: compressed bytes to entries, piece by piece.
//! - `tree`: what entries do, one layer over the other ([`TreeBuilder`] for layers alone), and the outcome.
//! - `erofs`: the outcome as bytes of a file system.
//! - `site`: a container as a page finds it.
//! - [`network`]: the network that a guest is on.
//! - [`workspace`]: a folder as a machine's workspace, and what the guest has made of it.
//! - [`Limits`] has every cap.
//!
//! # Invariants
//! - The same layers give the same image, byte for byte, on every host; so do other layers with the same
//!   outcome. There is no clock, no hash order and no thread.
//! - Nothing that a layer says leads outside the root: paths are resolved in the tree, of which there is no outside.
//! - Memory is bounded by [`Limits`]: metadata stays in memory, files' bytes only pass through.
//! - Bytes from outside never panic, and a call does a bounded amount of work.

mod decode;
mod digest;
mod erofs;
mod error;
mod limits;
pub mod network;
mod oci;
mod site;
mod spool;
mod tar;
mod tree;
pub mod workspace;

pub use digest::Digest;
pub use erofs::RootImage;
pub use error::{EntryFault, ImageError, LayerFault};
pub use limits::Limits;
pub use oci::{ImageConfig, Place, Progress, Unpacked, Unpacker, Want};
pub use site::{
    FACTS_PATH, SITE_CONTAINER_BYTES_MAX, SiteContainer, SiteContainerEntry, SiteImage,
    WORKSPACE_FACTS_PATH, WORKSPACE_PATH, is_own_start_file,
};
pub use spool::{MemorySpool, Spool};
pub use tree::{Content, Metadata, Node, NodeId, NodeKind, Time, Tree, TreeBuilder, Walk};
