//! What stands outside the machine, sans I/O: container images made into root images.
//!
//! A [`TreeBuilder`] is fed layers and gives a [`Tree`], whose files' bytes are in the caller's [`Spool`]. A [`RootImage`] is read out of both.
//!
//! # Code map
//! - `decode` and `tar`: compressed bytes to entries, piece by piece.
//! - `tree`: what entries do, one layer over the other ([`TreeBuilder`] for layers alone), and the outcome.
//! - `erofs`: the outcome as bytes of a file system.
//! - [`Limits`] has every cap.
//!
//! # Invariants
//! - The same layers give the same image, byte for byte, on every host; so do other layers with the same outcome. There is no clock, no
//!   hash order and no thread.
//! - Nothing that a layer says leads outside the root: paths are resolved in the tree, of which there is no outside.
//! - Memory is bounded by [`Limits`]: metadata stays in memory, files' bytes only pass through.
//! - Bytes from outside never panic, and a call does a bounded amount of work.

mod decode;
mod digest;
mod erofs;
mod error;
mod limits;
mod spool;
mod tar;
mod tree;

pub use digest::Digest;
pub use erofs::RootImage;
pub use error::{EntryFault, ImageError, LayerFault};
pub use limits::Limits;
pub use spool::{MemorySpool, Spool};
pub use tree::{Content, Metadata, Node, NodeId, NodeKind, Time, Tree, TreeBuilder, Walk};
