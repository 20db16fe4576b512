//! What engines want, out of this computer's files.

use anyhow::{Context, anyhow, bail};
use reprise_core::image::ImageHash;
use reprise_images::guest::{self, Guest};
use reprise_images::store::{self, FolderStore};
use reprise_recorder::images::{ImageRef, ImageRole, ImageStore, SharedImage};
use reprise_worker::protocol::{Supply, Want};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Said where something would have to be fetched.
pub(crate) const NOT_FETCHED: &str =
    "this window fetches nothing from the network; download the trace and open the file";

/// Where images are looked for.
pub(crate) struct Places {
    given: Vec<PathBuf>,
    /// The folder of the file opened last.
    beside: Mutex<Option<PathBuf>>,
}

impl Places {
    /// In these folders and where a guest's images usually are.
    pub(crate) fn new(given: Vec<PathBuf>) -> Self {
        Self {
            given,
            beside: Mutex::new(None),
        }
    }

    /// A file is opened: images may be beside it.
    pub(crate) fn opens(&self, file: &Path) {
        let folder = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        // A path is whole, whoever has panicked.
        *self.beside.lock().unwrap_or_else(PoisonError::into_inner) = Some(folder.to_owned());
    }

    /// The folders, the likely ones first.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        let mut given = self.given.clone();
        let beside = self.beside.lock().unwrap_or_else(PoisonError::into_inner);
        given.extend(beside.clone());
        drop(beside);
        guest::image_folders(&given)
    }
}

/// What an engine wants, or a sentence for the person.
pub(crate) fn supply(want: &Want, places: &Places) -> Supply {
    let supply = match want {
        Want::Image {
            hash,
            name,
            byte_len,
        } => image(hash, name, *byte_len, places),
        // A file is at hand as a whole.
        Want::ImageTree { .. } | Want::ImagePart { .. } => {
            Err(anyhow!("images are read whole here"))
        }
        Want::Guest => guest_json(),
        Want::Container { file } => Err(anyhow!("{NOT_FETCHED}: {file}")),
        Want::Folder { .. } | Want::FilePart { .. } => Err(anyhow!("no folder can be picked here")),
        Want::Trace { url, .. } => Err(anyhow!("{NOT_FETCHED}: {url}")),
    };
    supply.map_err(|error| crate::sentence(&error))
}

fn image(hash: &str, name: &str, byte_len: u64, places: &Places) -> anyhow::Result<Vec<u8>> {
    let wanted = ImageRef {
        // A file is found by its hash, whatever it is for.
        role: ImageRole::Kernel,
        hash: hash_from_text(hash).with_context(|| format!("`{hash}` is no hash of an image"))?,
        byte_len,
        name: name.to_owned(),
        places: Vec::new(),
    };
    match FolderStore::new(places.folders()).find(&wanted)? {
        Some(image) => bytes_of(&image),
        None => bail!(
            "no file here has this hash; name its folder with --images, or record with --embed to put it into the trace"
        ),
    }
}

fn bytes_of(image: &SharedImage) -> anyhow::Result<Vec<u8>> {
    let length = usize::try_from(image.byte_len())?;
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(length)
        .context("there is no memory for it")?;
    bytes.resize(length, 0);
    image
        .read_at(0, &mut bytes)
        .map_err(|_| anyhow!("its file cannot be read"))?;
    Ok(bytes)
}

/// 64 hexadecimal digits.
fn hash_from_text(text: &str) -> Option<ImageHash> {
    let mut hash = [0; 32];
    if text.len() != 2 * hash.len() || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in hash.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(ImageHash(hash))
}

/// The guest that was built here, told as a site's `guest.json` tells it.
fn guest_json() -> anyhow::Result<Vec<u8>> {
    let guest = Guest::find(None)?;
    let initrd = guest
        .initrd
        .context("the guest has no initrd: run `cargo xtask guest` again")?;
    let told = |path: &Path, role| -> anyhow::Result<Value> {
        let (image, _) = store::open(path, role)?;
        Ok(json!({
            "name": image.name,
            "hash": image.hash.to_string(),
            "byte_len": image.byte_len,
        }))
    };
    let told = json!({
        "command_line": String::from_utf8_lossy(&guest.command_line),
        "kernel": told(&guest.kernel, ImageRole::Kernel)?,
        "initrd": told(&initrd, ImageRole::Initrd)?,
    });
    Ok(told.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn an_image_is_found_by_its_hash_beside_the_trace() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("other name"), b"kernel").unwrap();
        let places = Places::new(Vec::new());
        let want = |bytes: &[u8]| Want::Image {
            hash: ImageHash::of(bytes).to_string(),
            name: "Image".to_owned(),
            byte_len: 6,
        };
        let refused = supply(&want(b"kernel"), &places).unwrap_err();
        assert!(refused.contains("--images"), "{refused}");
        places.opens(&folder.path().join("bug.rpt"));
        assert_eq!(supply(&want(b"kernel"), &places), Ok(b"kernel".to_vec()));
        assert!(supply(&want(b"others"), &places).is_err());
    }

    #[test]
    fn hashes_are_read_and_what_is_none_is_refused() {
        let hash = ImageHash::of(b"x");
        assert_eq!(hash_from_text(&hash.to_string()), Some(hash));
        for text in ["", "00", &"g".repeat(64), &"é".repeat(32), &"0".repeat(65)] {
            assert_eq!(hash_from_text(text), None, "{text}");
        }
    }
}
