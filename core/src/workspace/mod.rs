//! A copy-on-write workspace: a directory of the host that the guest may change and that stays as it is.
//!
//! The host's directory enters the machine as a frozen [`Listing`], an image like a disk's. The bytes of its files are
//! not in it; they come through an input event at their first use and are machine state from then on. What the
//! guest changes lies in an overlay, machine state too. So a recording needs the listing and the bytes that were used, and
//! a replay needs no host directory.
//!
//! The guest reaches it through 9P2000.L, the protocol of Linux's v9fs (include/net/9p/9p.h in Linux; the messages are
//! described in diod's `protocol.md`). The transport is [`crate::devices::virtio::ninep`].
//!
//! # Code map
//! - [`listing`]: the frozen tree and its encoding.
//! - [`content`]: bytes of the listing's files that have come.
//! - `tree`, made of `node`, `file` and `directory`: the namespace with the overlay.
//! - `message`: requests, taken apart and checked; what replies are made of.
//! - [`changes`]: what of it is not as the listing has it, for whoever wants the guest's work.
//! - [`server`]: fids, and what each request does.
//!
//! # Invariants
//! - A request happens wholly or not at all. One that wants bytes that have not come has no effect, and is repeated when
//!   they are there.
//! - Equal states have equal encodings. State that this code could not have made is refused where an operation relies on
//!   it.
//! - The guest's kernel decides who may do what. It is the only client, so the server checks no permissions.

pub mod changes;
pub mod content;
mod directory;
pub mod errno;
mod file;
pub mod listing;
pub mod message;
mod node;
pub mod server;
mod tree;

use content::ContentKey;
use errno::Errno;

pub use listing::{Listing, ListingBuilder};
pub use server::Server;

/// Why a request was not done. Nothing has changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stop {
    /// It cannot be done; the client is told.
    Error(Errno),
    /// Contents that it needs have not come; it is to be repeated when they are there. Sorted, without repetition, never
    /// empty.
    Missing(Vec<ContentKey>),
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Error(errno)
    }
}

#[cfg(test)]
mod tests;
