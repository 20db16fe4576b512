//! What has to be fetched, and images that are there.

use super::{Refusal, because};
use crate::protocol::{Supply, Want};
use reprise_core::image::{ImageHash, MemoryImage};
use reprise_recorder::images::{ImageError, ImageRef, ImageStore, SharedImage};
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
        if self.pending.remove(want) {
            self.supplied.insert(want.clone(), supply);
        }
    }

    /// Forgets what was supplied for something that is no longer wanted, failures above all: who wants it again asks again.
    pub(crate) fn forget_supplies(&mut self) {
        self.supplied.clear();
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

    /// Whether an image is there; asks for it when nobody has.
    pub(crate) fn has(&mut self, image: &ImageRef) -> Result<bool, Refusal> {
        if self.images.contains_key(&image.hash) {
            return Ok(true);
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
        let bytes = self.images.get(&wanted.hash);
        Ok(bytes.map(|bytes| Arc::new(MemoryImage(Arc::clone(bytes))) as SharedImage))
    }
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
