//! Images in files and folders.

use anyhow::Context;
use reprise_core::image::{ImageHash, ImageSource, MissingRange};
use reprise_recorder::images::{ImageError, ImageRef, ImageRole, ImageStore, SharedImage};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes read at a time to compute a hash.
const HASH_BUFFER_BYTES: usize = 1 << 20;

/// A file opened as an image.
#[derive(Debug)]
pub struct FileImage {
    file: File,
    byte_len: u64,
}

impl FileImage {
    /// Opens a regular file.
    ///
    /// # Errors
    /// When it is none, or cannot be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        Ok(Self {
            byte_len: metadata.len(),
            file,
        })
    }

    fn hash(&mut self) -> io::Result<ImageHash> {
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; HASH_BUFFER_BYTES];
        loop {
            let length = self.file.read(&mut buffer)?;
            if length == 0 {
                return Ok(ImageHash(*hasher.finalize().as_bytes()));
            }
            hasher.update(&buffer[..length]);
        }
    }
}

impl ImageSource for FileImage {
    fn byte_len(&self) -> u64 {
        self.byte_len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), MissingRange> {
        let in_file = self
            .byte_len
            .saturating_sub(offset)
            .min(buffer.len() as u64) as usize;
        let (from_file, beyond) = buffer.split_at_mut(in_file);
        beyond.fill(0);
        self.file
            .read_exact_at(from_file, offset)
            .map_err(|_| MissingRange {
                offset,
                length: in_file as u64,
            })
    }
}

/// Opens a file as an image that a recording starts from; its hash is computed.
///
/// # Errors
/// When it cannot be read: a sentence for the person.
pub fn open(path: &Path, role: ImageRole) -> anyhow::Result<(ImageRef, SharedImage)> {
    let opened = FileImage::open(path).and_then(|mut image| {
        let hash = image.hash()?;
        Ok((image, hash))
    });
    let (image, hash) =
        opened.with_context(|| format!("the {role} {} cannot be read", path.display()))?;
    let name = path.file_name().unwrap_or(path.as_os_str());
    let reference = ImageRef {
        role,
        hash,
        byte_len: image.byte_len,
        name: name.to_string_lossy().into_owned(),
        places: Vec::new(),
    };
    Ok((reference, Arc::new(image)))
}

/// Images in folders, under any file name.
#[derive(Clone, Debug)]
pub struct FolderStore {
    folders: Vec<PathBuf>,
}

impl FolderStore {
    /// Looks into these folders, in order.
    #[must_use]
    pub fn new(folders: Vec<PathBuf>) -> Self {
        Self { folders }
    }

    /// Path of the image, if one of the folders has it.
    #[must_use]
    pub fn locate(&self, wanted: &ImageRef) -> Option<PathBuf> {
        self.folders
            .iter()
            .flat_map(|folder| candidates(folder, wanted))
            .find(|path| open_verified(path, wanted).is_some())
    }
}

impl ImageStore for FolderStore {
    fn find(&mut self, wanted: &ImageRef) -> Result<Option<SharedImage>, ImageError> {
        Ok(self
            .folders
            .iter()
            .flat_map(|folder| candidates(folder, wanted))
            .find_map(|path| open_verified(&path, wanted))
            .map(|image| Arc::new(image) as SharedImage))
    }
}

/// A file of the image's name that is not it, in one of the folders: it was changed after it was recorded.
pub fn changed(folders: &[PathBuf], wanted: &ImageRef) -> Option<PathBuf> {
    // The name is a stranger's; one with folders in it is no file's name.
    let name = Path::new(&wanted.name);
    let is_name = name.file_name() == Some(name.as_os_str());
    (folders.iter().map(|folder| folder.join(name)))
        .find(|path| is_name && path.is_file() && open_verified(path, wanted).is_none())
}

/// Files that may be the image: those of its size, the likely names first.
fn candidates(folder: &Path, wanted: &ImageRef) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            fs::metadata(path)
                .is_ok_and(|metadata| metadata.is_file() && metadata.len() == wanted.byte_len)
        })
        .collect();
    let hash = wanted.hash.to_string();
    paths.sort_by_key(|path| {
        let is_likely = path
            .file_name()
            .is_some_and(|name| name == wanted.name.as_str() || name == hash.as_str());
        (!is_likely, path.clone())
    });
    paths
}

fn open_verified(path: &Path, wanted: &ImageRef) -> Option<FileImage> {
    let mut image = FileImage::open(path).ok()?;
    (image.byte_len == wanted.byte_len && image.hash().ok()? == wanted.hash).then_some(image)
}
