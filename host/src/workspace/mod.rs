//! A folder as a machine's workspace, as far as that is the same for a folder of this computer and one that a person gives a page:
//! what becomes of a file's bytes, how a folder whose modes nobody knows is listed, and how a person gets what the guest has made.

mod changed;
mod content;
mod picked;

pub use changed::{ChangedFiles, Reader, Written};
pub use content::{PROGRAM_BYTES_MAX, content_of, rest_of_program};
pub use picked::{PickedEntry, PickedFolder, PickedKind};

use crate::WORKSPACE_FACTS_PATH;
use reprise_core::event::StartFile;

/// What init is told of a workspace.
#[must_use]
pub fn workspace_facts(is_read_only: bool) -> StartFile {
    let mode: &[u8] = if is_read_only { b"ro\0" } else { b"rw\0" };
    StartFile {
        path: WORKSPACE_FACTS_PATH.as_bytes().to_vec(),
        mode: 0o600,
        bytes: mode.to_vec(),
    }
}

/// Something of a folder or of a workspace that is left out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeftOut {
    /// Where it is, below the folder.
    pub path: String,
    /// Why it is left out, to be said behind "is left out: ".
    pub why: String,
}
