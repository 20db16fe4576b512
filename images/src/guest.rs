//! The guest that Reprise boots: where it is and what its manifest says.

use anyhow::{Context, bail};
use serde::Deserialize;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// A guest's files.
#[derive(Debug)]
pub struct Guest {
    /// The kernel.
    pub kernel: PathBuf,
    /// The initial RAM file system.
    pub initrd: Option<PathBuf>,
    /// Kernel command line.
    pub command_line: Vec<u8>,
    /// Whether its init runs containers; one that does not would run the command beside the container.
    pub runs_containers: bool,
    /// Whether its init mounts a workspace.
    pub mounts_workspaces: bool,
}

/// What we need of `manifest.json`.
#[derive(Deserialize)]
struct Manifest {
    command_line: String,
    #[serde(default)]
    containers: bool,
    #[serde(default)]
    workspaces: bool,
}

/// Command line of a guest without a manifest: the console is virtio, and a kernel that panics
/// must stop the machine instead of waiting.
const COMMAND_LINE: &str = "console=hvc0 panic=-1";

impl Guest {
    /// The guest in a folder, or the default guest.
    ///
    /// # Errors
    /// When there is none, or its manifest cannot be read: a sentence for the person.
    pub fn find(folder: Option<&Path>) -> anyhow::Result<Self> {
        match folder {
            Some(folder) => Self::in_folder(folder),
            None => Self::in_folder(&default_folder()?),
        }
    }

    fn in_folder(folder: &Path) -> anyhow::Result<Self> {
        let kernel = folder.join("Image");
        if !kernel.is_file() {
            bail!(
                "there is no kernel at {}: run `cargo xtask guest`, or name the folder of a guest \
                 with --image, or a container image as oci:DIR or docker-archive:FILE",
                kernel.display()
            );
        }
        let initrd = Some(folder.join("initrd")).filter(|path| path.is_file());
        let manifest = folder.join("manifest.json");
        let manifest = if manifest.is_file() {
            let text = fs::read_to_string(&manifest)
                .with_context(|| format!("{} cannot be read", manifest.display()))?;
            serde_json::from_str(&text).with_context(|| {
                format!(
                    "{} is not a guest's manifest: run `cargo xtask guest` again",
                    manifest.display()
                )
            })?
        } else {
            Manifest {
                command_line: COMMAND_LINE.to_owned(),
                containers: false,
                workspaces: false,
            }
        };
        Ok(Self {
            kernel,
            initrd,
            command_line: manifest.command_line.into_bytes(),
            runs_containers: manifest.containers,
            mounts_workspaces: manifest.workspaces,
        })
    }
}

/// The user's cache folder for Reprise.
pub fn cache_folder() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    set("REPRISE_CACHE")
        .map(PathBuf::from)
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| Path::new(&cache).join("reprise")))
        .or_else(|| set("HOME").map(|home| Path::new(&home).join(".cache/reprise")))
}

fn default_folder() -> anyhow::Result<PathBuf> {
    let guests = cache_folder().map(|cache| cache.join("guest"));
    let current = guests
        .as_ref()
        .and_then(|guests| fs::read_to_string(guests.join("current")).ok());
    match (guests, current) {
        (Some(guests), Some(current)) => Ok(guests.join(current.trim())),
        _ => bail!("no guest has been built yet: run `cargo xtask guest`"),
    }
}

/// Folders in which images may be: the given ones, the guests that were built, and the images
/// that were kept.
pub fn image_folders(given: &[PathBuf]) -> Vec<PathBuf> {
    let mut folders = given.to_vec();
    let Some(cache) = cache_folder() else {
        return folders;
    };
    folders.push(cache.join("images"));
    let guests = cache.join("guest");
    if let Ok(current) = default_folder() {
        folders.push(current);
    }
    let mut built: Vec<_> = fs::read_dir(guests)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir() && !folders.contains(path))
        .collect();
    built.sort();
    folders.extend(built);
    folders
}
