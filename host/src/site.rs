//! A container as a site has it: which root image it runs on, and how.
//!
//! ```text
//! containers.json           the containers of the site: title, text, file
//! containers/<name>.json    one of them: SiteContainer
//! images/<hash>             its root image, with images/<hash>.tree beside it
//! ```

use crate::network::tls::AUTHORITY_PATH;
use serde::{Deserialize, Serialize};

/// Where init looks for what it is told of a container: a start file of this path. `guest/init/container.h` describes it.
pub const FACTS_PATH: &str = "/.reprise-container";

/// Where init looks for how the workspace is to be mounted: a start file of this path. `guest/init/workspace.h` describes it.
pub const WORKSPACE_FACTS_PATH: &str = "/.reprise-workspace";

/// Whether a file of the start is one that tells the guest's init something, not one of a person's.
#[must_use]
pub fn is_own_start_file(path: &str) -> bool {
    [FACTS_PATH, WORKSPACE_FACTS_PATH, AUTHORITY_PATH].contains(&path)
}

/// Where the guest has the workspace.
pub const WORKSPACE_PATH: &str = "/workspace";

/// The most bytes of a [`SiteContainer`] as JSON that are read.
pub const SITE_CONTAINER_BYTES_MAX: usize = 1 << 20;

/// A container of a site.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SiteContainer {
    /// Its root image.
    pub root: SiteImage,
    /// Program and arguments where the person gives none.
    pub command: Vec<String>,
    /// Names and values.
    pub environment: Vec<(String, String)>,
    /// From the root on.
    pub working_directory: String,
    /// What init is told ([`FACTS_PATH`]).
    pub facts: String,
}

/// An image of a site.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SiteImage {
    /// Its name to people, as a file name.
    pub name: String,
    /// BLAKE3 of its bytes, in hexadecimal.
    pub hash: String,
    /// Length in bytes.
    pub byte_len: u64,
}

/// A line of `containers.json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SiteContainerEntry {
    /// What it is called.
    pub title: String,
    /// What it runs, in a few words.
    pub text: String,
    /// Address relative to the site.
    pub file: String,
}

impl SiteContainer {
    /// From JSON; `None` for what is none.
    #[must_use]
    pub fn from_json(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > SITE_CONTAINER_BYTES_MAX {
            return None;
        }
        serde_json::from_slice(bytes).ok()
    }
}
