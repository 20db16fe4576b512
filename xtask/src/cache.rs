//! The user's cache folder: what is built once and used from every checkout.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::{Failure, Result, files};

/// The cache folder: `$REPRISE_CACHE`, else `$XDG_CACHE_HOME/reprise`, else `~/.cache/reprise`.
pub(crate) fn root() -> Result<PathBuf> {
    let variable = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let root = variable("REPRISE_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|folder| folder.join("reprise")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/reprise")))
        .ok_or_else(|| {
            Failure::usage("there is no home folder: set REPRISE_CACHE to a folder to build into")
        })?;
    std::path::absolute(&root)
        .map_err(|error| Failure::usage(format!("REPRISE_CACHE is not a folder: {error}")))
}

/// The log file of the step called `name`; it outlives the temporary folder in which the step ran.
pub(crate) fn log(name: &str) -> Result<PathBuf> {
    let folder = root()?.join("logs");
    files::make_folder(&folder)?;
    Ok(folder.join(format!("{name}.log")))
}

/// One process at a time works on a folder of the cache. The system releases the lock when its holder dies.
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock on `folder`, saying so when another run holds it.
    pub(crate) fn acquire(folder: &Path) -> Result<Self> {
        files::make_folder(folder)?;
        let path = folder.join("lock");
        let failed = |error| Failure::new(format!("can't lock {}: {error}", path.display()));
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        if file.try_lock().is_err() {
            eprintln!(
                "waiting for another run that builds into {}",
                folder.display()
            );
            file.lock().map_err(failed)?;
        }
        Ok(Self { _file: file })
    }
}

/// A folder to build in, inside the cache so that a finished one is moved to its place in one step. It is removed when
/// dropped; [`remove_stale`] removes those of runs that were killed.
pub(crate) struct Workspace {
    path: PathBuf,
}

impl Workspace {
    /// Makes an empty folder for the step called `name`. The caller holds the [`Lock`] on `folder`.
    pub(crate) fn new(folder: &Path, name: &str) -> Result<Self> {
        let path = folder
            .join("tmp")
            .join(format!("{name}-{}", std::process::id()));
        files::remove_folder(&path)?;
        files::make_folder(&path)?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves the folder to its final place, which comes into being whole or not at all.
    pub(crate) fn publish(self, place: &Path) -> Result<()> {
        if let Some(parent) = place.parent() {
            files::make_folder(parent)?;
        }
        files::remove_folder(place)?;
        files::rename(&self.path, place)
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // A folder that was published is gone already, and one that can't be removed is removed by the next run.
        let _ = files::remove_folder(&self.path);
    }
}

/// Removes what killed runs left behind. The caller holds the [`Lock`] on `folder`, so nobody uses it.
pub(crate) fn remove_stale(folder: &Path) {
    // What can't be removed now is in nobody's way.
    let _ = files::remove_folder(&folder.join("tmp"));
}
