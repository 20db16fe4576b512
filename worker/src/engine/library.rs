//! What has to be fetched, and images that are there.

use super::lazy::LazyImage;
use super::{Refusal, because};
use crate::protocol::{Supply, Want};
use reprise_core::image::{ImageHash, ImageSource as _, MemoryImage};
use reprise_recorder::images::tree::{ImageTree, PARTS_BYTES_MIN, tree_byte_len};
use reprise_recorder::images::{ImageError, ImageRef, ImageRole, ImageStore, SharedImage};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::Read;
use std::sync::Arc;

/// First bytes of what zstd compressed (RFC 8878 3.1.1).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Images beyond this size are refused before they are decompressed: a browser has 4 GiB for everything.
const IMAGE_BYTES_MAX: u64 = 512 << 20;

/// What was fetched.
#[derive(Default)]
pub(crate) struct Library {
    images: BTreeMap<ImageHash, Arc<[u8]>>,
    /// Images whose parts are fetched when they are read.
    lazy: BTreeMap<ImageHash, Arc<LazyImage>>,
    /// What those are called.
    names: BTreeMap<ImageHash, String>,
    /// Images without a tree.
    treeless: BTreeSet<ImageHash>,
    /// Parts without which nothing goes on.
    awaited: BTreeSet<Want>,
    /// Why one of them cannot be had.
    lack: Option<String>,
    /// What was supplied and not taken yet.
    supplied: BTreeMap<Want, Supply>,
    pending: BTreeSet<Want>,
    wants: VecDeque<Want>,
}

impl Library {
    pub(crate) fn take_want(&mut self) -> Option<Want> {
        self.wants.pop_front()
    }

    pub(crate) fn supply(&mut self, want: &Want, supply: Supply) {
        if !self.pending.remove(want) {
            return;
        }
        let Want::ImagePart {
            hash, name, offset, ..
        } = want
        else {
            self.supplied.insert(want.clone(), supply);
            return;
        };
        let is_awaited = self.awaited.remove(want);
        let supply = supply.and_then(|bytes| match self.part_of(want, &bytes) {
            PartKind::Whole(image) => {
                let whole: Arc<[u8]> = bytes.into();
                image.complete(Arc::clone(&whole));
                self.images.insert(ImageHash::of(&whole), whole);
                // Nothing more of it is wanted.
                let is_of_it =
                    |other: &Want| matches!(other, Want::ImagePart { hash: of, .. } if of == hash);
                self.awaited.retain(|other| !is_of_it(other));
                self.pending.retain(|other| !is_of_it(other));
                self.wants.retain(|other| !is_of_it(other));
                Ok(())
            }
            PartKind::Piece(image) => {
                image.insert(*offset, bytes);
                Ok(())
            }
            PartKind::Other => Err("what was fetched is not what was recorded".to_owned()),
        });
        // What was fetched in advance is asked for again if it is read.
        if let (Err(reason), true) = (supply, is_awaited) {
            self.lack = Some(format!(
                "the disk image `{name}` cannot be read on: {reason}"
            ));
        }
    }

    /// Whether bytes are what is wanted, as far as that can be told: an image by its hash.
    pub(crate) fn admits(&self, want: &Want, bytes: &[u8]) -> bool {
        match want {
            Want::Image { hash, .. } => ImageHash::of(bytes).to_string() == *hash,
            Want::ImagePart { .. } => !matches!(self.part_of(want, bytes), PartKind::Other),
            Want::ImageTree { .. }
            | Want::Guest
            | Want::Trace { .. }
            | Want::Container { .. }
            | Want::Folder { .. }
            | Want::FilePart { .. } => true,
        }
    }

    fn part_of(&self, want: &Want, bytes: &[u8]) -> PartKind {
        let Want::ImagePart {
            hash,
            byte_len,
            offset,
            ..
        } = want
        else {
            return PartKind::Other;
        };
        let image = self.lazy.iter().find(|(of, _)| of.to_string() == *hash);
        match image {
            Some((_, image)) if image.admits(*offset, bytes) => PartKind::Piece(Arc::clone(image)),
            Some((of, image)) if bytes.len() as u64 == *byte_len && ImageHash::of(bytes) == *of => {
                PartKind::Whole(Arc::clone(image))
            }
            _ => PartKind::Other,
        }
    }

    /// Whether an image is read in parts, so that what is executed may have to wait.
    pub(crate) fn is_lazy(&self) -> bool {
        !self.lazy.is_empty()
    }

    /// Asks for what a machine has read and was not there. Whether there was such a thing: what failed is to be tried again
    /// when nothing is awaited any more.
    pub(crate) fn has_missed(&mut self) -> bool {
        let mut has_missed = false;
        for (hash, image) in &self.lazy {
            let Some((missed, next)) = image.take_missed() else {
                continue;
            };
            has_missed = true;
            let name = self.names.get(hash).cloned().unwrap_or_default();
            for (range, is_awaited) in [(Some(missed), true), (next, false)] {
                let Some(range) = range else { continue };
                let want = Want::ImagePart {
                    hash: hash.to_string(),
                    name: name.clone(),
                    byte_len: image.byte_len(),
                    offset: range.start,
                    length: range.end - range.start,
                };
                if is_awaited {
                    self.awaited.insert(want.clone());
                }
                if self.pending.insert(want.clone()) {
                    self.wants.push_back(want);
                }
            }
        }
        has_missed
    }

    /// Whether something is awaited without which nothing goes on.
    ///
    /// # Errors
    /// When it cannot be had.
    pub(crate) fn awaits(&mut self) -> Result<bool, Refusal> {
        match self.lack.take() {
            Some(reason) => {
                self.awaited.clear();
                Err(because(reason))
            }
            None => Ok(!self.awaited.is_empty()),
        }
    }

    /// Whether a want is one of those without which nothing goes on.
    pub(crate) fn is_awaited(&self, want: &Want) -> bool {
        self.awaited.contains(want)
    }

    /// Nobody waits any more; what comes is kept all the same.
    pub(crate) fn stop_awaiting(&mut self) {
        self.awaited.clear();
        self.lack = None;
    }

    /// Forgets what was supplied for something that is no longer wanted, failures above all: who wants it again asks again.
    pub(crate) fn forget_supplies(&mut self) {
        self.supplied.clear();
        self.treeless.clear();
        self.stop_awaiting();
    }

    /// Asks for something, unless it is on its way or has come.
    pub(crate) fn ask(&mut self, want: Want) {
        if !self.supplied.contains_key(&want) && self.pending.insert(want.clone()) {
            self.wants.push_back(want);
        }
    }

    /// What was asked for, once it is there; or why it cannot be had.
    pub(crate) fn take_once(&mut self, want: &Want) -> Option<Supply> {
        self.supplied.remove(want)
    }

    /// What was wanted, once it is there; asks for it when nobody has.
    pub(crate) fn take(&mut self, want: &Want) -> Option<Result<Vec<u8>, Refusal>> {
        if let Some(supply) = self.supplied.remove(want) {
            return Some(supply.map_err(Refusal::Because));
        }
        if self.pending.insert(want.clone()) {
            self.wants.push_back(want.clone());
        }
        None
    }

    /// Asks for a trace, which does not come here.
    pub(crate) fn ask_for_trace(&mut self, want: Want) {
        self.wants.push_back(want);
    }

    /// Whether an image is there; asks for it when nobody has.
    pub(crate) fn has(&mut self, image: &ImageRef) -> Result<bool, Refusal> {
        if self.images.contains_key(&image.hash) || self.lazy.contains_key(&image.hash) {
            return Ok(true);
        }
        let tree_byte_len = tree_byte_len(image.byte_len).filter(|_| is_lazily_read(image));
        if let Some(tree_byte_len) = tree_byte_len
            && !self.treeless.contains(&image.hash)
        {
            return Ok(self.has_tree(image, tree_byte_len));
        }
        if image.byte_len > IMAGE_BYTES_MAX {
            return Err(because(format!(
                "the {} image `{}` has {} MiB, more than a page can hold ({} MiB): replay this trace with the command line",
                image.role,
                image.name,
                image.byte_len >> 20,
                IMAGE_BYTES_MAX >> 20
            )));
        }
        let want = Want::Image {
            hash: image.hash.to_string(),
            name: image.name.clone(),
            byte_len: image.byte_len,
        };
        let Some(supply) = self.take(&want) else {
            return Ok(false);
        };
        let bytes = match supply {
            Ok(bytes) => decompressed(bytes, image)?,
            Err(Refusal::Because(reason)) => {
                return Err(because(format!(
                    "the {} image `{}` ({}) cannot be had: {reason}",
                    image.role, image.name, image.hash
                )));
            }
            Err(refusal) => return Err(refusal),
        };
        if ImageHash::of(&bytes) != image.hash {
            return Err(because(format!(
                "the {} image `{}` that was fetched is not the recorded one: its hash should be {}",
                image.role, image.name, image.hash
            )));
        }
        self.images.insert(image.hash, bytes.into());
        Ok(true)
    }

    /// Whether there is a tree for a disk, or none can be had; asks for it when nobody has.
    fn has_tree(&mut self, image: &ImageRef, byte_len: u64) -> bool {
        let want = Want::ImageTree {
            hash: image.hash.to_string(),
            name: image.name.clone(),
            byte_len,
        };
        let Some(supply) = self.take(&want) else {
            return false;
        };
        let tree = supply
            .ok()
            .and_then(|bytes| ImageTree::from_bytes(&bytes, &image.hash, image.byte_len));
        match tree {
            Some(tree) => {
                let lazy = LazyImage::new(tree, image.byte_len);
                self.lazy.insert(image.hash, Arc::new(lazy));
                self.names.insert(image.hash, image.name.clone());
                true
            }
            None => {
                // Then the whole image may be there.
                self.treeless.insert(image.hash);
                false
            }
        }
    }

    /// Keeps an image that came with a trace; it is one of the hash that its bytes have.
    pub(crate) fn insert(&mut self, bytes: Vec<u8>) {
        self.images.insert(ImageHash::of(&bytes), bytes.into());
    }

    /// An image that is there.
    pub(crate) fn image(&self, hash: &ImageHash) -> Option<Arc<[u8]>> {
        self.images.get(hash).cloned()
    }
}

impl ImageStore for Library {
    fn find(&mut self, wanted: &ImageRef) -> Result<Option<SharedImage>, ImageError> {
        if let Some(bytes) = self.images.get(&wanted.hash) {
            return Ok(Some(Arc::new(MemoryImage(Arc::clone(bytes)))));
        }
        let lazy = self.lazy.get(&wanted.hash);
        Ok(lazy.map(|image| Arc::clone(image) as SharedImage))
    }
}

/// What bytes are that came for a part of an image.
enum PartKind {
    Piece(Arc<LazyImage>),
    Whole(Arc<LazyImage>),
    Other,
}

fn is_lazily_read(image: &ImageRef) -> bool {
    image.role == ImageRole::Disk && image.byte_len >= PARTS_BYTES_MIN
}

fn decompressed(bytes: Vec<u8>, image: &ImageRef) -> Result<Vec<u8>, Refusal> {
    if !bytes.starts_with(&ZSTD_MAGIC) {
        return Ok(bytes);
    }
    let damaged = || {
        because(format!(
            "the image `{}` that was fetched is damaged",
            image.name
        ))
    };
    let decoder = zstd::stream::read::Decoder::new(&bytes[..]).map_err(|_| damaged())?;
    let mut plain = Vec::new();
    // One byte more than it should have shows that it is another.
    decoder
        .take(image.byte_len + 1)
        .read_to_end(&mut plain)
        .map_err(|_| damaged())?;
    Ok(plain)
}
