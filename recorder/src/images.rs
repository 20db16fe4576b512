//! Images found by their hash.

use reprise_core::devices::virtio::slot::DISKS_MAX;
use reprise_core::image::{ImageHash, ImageSource, MemoryImage, MissingRange};
use reprise_core::machine::MachineImages;
use reprise_core::workspace::Listing;
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;

pub mod tree;

/// What an image is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ImageRole {
    /// The kernel Image.
    Kernel,
    /// The initial RAM file system.
    Initrd,
    /// A disk. The guest sees disks in the order in which a recording names them.
    Disk,
    /// A bare-metal ELF.
    Elf,
    /// The listing of the workspace.
    Workspace,
}

impl std::fmt::Display for ImageRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kernel => "kernel",
            Self::Initrd => "initrd",
            Self::Disk => "disk",
            Self::Elf => "ELF",
            Self::Workspace => "workspace listing",
        })
    }
}

/// An image as a recording names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImageRef {
    /// What it is for.
    pub role: ImageRole,
    /// Its name to machines.
    pub hash: ImageHash,
    /// Its size.
    pub byte_len: u64,
    /// Its name to people, as a file name.
    pub name: String,
    /// Where it can be fetched.
    pub places: Vec<String>,
}

/// An image's bytes, shared by the machines that use it.
pub type SharedImage = Arc<dyn ImageSource + Sync>;

/// Why images could not be put together.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ImageError {
    /// No store has it.
    #[error("the {role} image `{name}` ({hash}, {byte_len} bytes) is missing: {how}")]
    Missing {
        /// What it is for.
        role: ImageRole,
        /// Its name to people.
        name: String,
        /// Its name to machines.
        hash: ImageHash,
        /// Its size.
        byte_len: u64,
        /// How to get it.
        how: String,
    },
    /// A store could not be read.
    #[error("image `{name}` cannot be read: {reason}")]
    Unreadable {
        /// Its name to people.
        name: String,
        /// What went wrong.
        reason: String,
    },
    /// The recording names an impossible set of images.
    #[error("the trace names {0}, which no machine starts from: get the trace anew")]
    BadSet(&'static str),
}

/// A place where images are found by their hash.
///
/// What a store hands out has the wanted hash: it checks that, or it made the bytes itself.
pub trait ImageStore {
    /// The image with the wanted hash, if the store has it.
    ///
    /// # Errors
    /// [`ImageError::Unreadable`] when it has the image but cannot hand it out.
    fn find(&mut self, wanted: &ImageRef) -> Result<Option<SharedImage>, ImageError>;
}

/// Images held in memory, such as those embedded in a trace.
#[derive(Clone, Default, Debug)]
pub struct MemoryStore {
    images: BTreeMap<ImageHash, Arc<[u8]>>,
}

impl MemoryStore {
    /// Adds an image under the hash that its bytes have.
    pub fn insert(&mut self, bytes: impl Into<Arc<[u8]>>) -> ImageHash {
        let bytes = bytes.into();
        let hash = ImageHash::of(&bytes);
        self.images.insert(hash, bytes);
        hash
    }
}

impl ImageStore for MemoryStore {
    fn find(&mut self, wanted: &ImageRef) -> Result<Option<SharedImage>, ImageError> {
        Ok(self
            .images
            .get(&wanted.hash)
            .map(|bytes| Arc::new(MemoryImage(Arc::clone(bytes))) as SharedImage))
    }
}

/// Asks several stores in order.
impl ImageStore for Vec<Box<dyn ImageStore>> {
    fn find(&mut self, wanted: &ImageRef) -> Result<Option<SharedImage>, ImageError> {
        for store in self {
            if let Some(image) = store.find(wanted)? {
                return Ok(Some(image));
            }
        }
        Ok(None)
    }
}

/// The images of one machine, from which any number of equal machines can start.
#[derive(Clone, Default)]
pub struct ImageSet {
    kernel: Option<Arc<[u8]>>,
    initrd: Option<Arc<[u8]>>,
    disks: Vec<SharedImage>,
    workspace: Option<Arc<Listing>>,
}

/// A kernel, initrd or ELF beyond this size (1 GiB) is refused before any of it is read.
const BOOT_IMAGE_BYTES_MAX: u64 = 1 << 30;

impl ImageSet {
    /// Adds an image.
    ///
    /// # Errors
    /// [`ImageError::BadSet`] when the set has one of this role, and [`ImageError::Unreadable`].
    pub fn insert(&mut self, image: &ImageRef, bytes: SharedImage) -> Result<(), ImageError> {
        let slot = match image.role {
            ImageRole::Kernel | ImageRole::Elf => &mut self.kernel,
            ImageRole::Initrd => &mut self.initrd,
            ImageRole::Disk => {
                self.disks.push(bytes);
                return Ok(());
            }
            ImageRole::Workspace => return self.insert_workspace(image, &*bytes),
        };
        if slot.is_some() {
            return Err(ImageError::BadSet("two kernels or two initrds"));
        }
        *slot = Some(read_whole(image, &*bytes)?);
        Ok(())
    }

    fn insert_workspace(
        &mut self,
        image: &ImageRef,
        bytes: &dyn ImageSource,
    ) -> Result<(), ImageError> {
        if self.workspace.is_some() {
            return Err(ImageError::BadSet("two workspaces"));
        }
        let bytes = read_whole(image, bytes)?;
        let listing = Listing::decode(&bytes).map_err(|error| ImageError::Unreadable {
            name: image.name.clone(),
            reason: error.to_string(),
        })?;
        self.workspace = Some(Arc::new(listing));
        Ok(())
    }

    /// Finds the images that a recording names.
    ///
    /// # Errors
    /// [`ImageError`], for the first image that cannot be had.
    pub fn find(images: &[ImageRef], store: &mut dyn ImageStore) -> Result<Self, ImageError> {
        // Judged before any of it is read: a hostile header names one large image many times.
        let count = |role| images.iter().filter(|image| image.role == role).count();
        if count(ImageRole::Disk) > DISKS_MAX {
            return Err(ImageError::BadSet(
                "more disks than the machine has slots for",
            ));
        }
        if count(ImageRole::Kernel) + count(ImageRole::Elf) > 1 || count(ImageRole::Initrd) > 1 {
            return Err(ImageError::BadSet("two kernels or two initrds"));
        }
        if count(ImageRole::Workspace) > 1 {
            return Err(ImageError::BadSet("two workspaces"));
        }
        let mut set = Self::default();
        for image in images {
            let Some(bytes) = store.find(image)? else {
                return Err(missing(image));
            };
            set.insert(image, bytes)?;
        }
        Ok(set)
    }

    /// The images for one more machine.
    #[must_use]
    pub fn machine_images(&self) -> MachineImages {
        MachineImages {
            kernel: self.kernel.clone(),
            initrd: self.initrd.clone(),
            disks: self
                .disks
                .iter()
                .map(|disk| Box::new(OneOf(Arc::clone(disk))) as Box<dyn ImageSource>)
                .collect(),
            workspace: self.workspace.clone(),
        }
    }
}

/// One machine's hold on a shared image.
struct OneOf(SharedImage);

impl ImageSource for OneOf {
    fn byte_len(&self) -> u64 {
        self.0.byte_len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), MissingRange> {
        self.0.read_at(offset, buffer)
    }
}

/// How to get a missing image.
#[must_use]
pub fn missing(image: &ImageRef) -> ImageError {
    let how = if image.places.is_empty() {
        match image.role {
            ImageRole::Disk | ImageRole::Elf => {
                "name the folder that holds it with --images, or record with --embed".to_owned()
            }
            ImageRole::Workspace => {
                "every trace of a workspace holds its listing, so this one is damaged".to_owned()
            }
            ImageRole::Kernel | ImageRole::Initrd => {
                "build the guest that made the recording, or name the folder that holds it with --images".to_owned()
            }
        }
    } else {
        format!(
            "fetch it from {} and name its folder with --images",
            image.places.join(" or ")
        )
    };
    ImageError::Missing {
        role: image.role,
        name: image.name.clone(),
        hash: image.hash,
        byte_len: image.byte_len,
        how,
    }
}

fn read_whole(image: &ImageRef, bytes: &dyn ImageSource) -> Result<Arc<[u8]>, ImageError> {
    let unreadable = |reason: String| ImageError::Unreadable {
        name: image.name.clone(),
        reason,
    };
    let byte_len = bytes.byte_len();
    if byte_len > BOOT_IMAGE_BYTES_MAX {
        return Err(unreadable(format!(
            "it has {byte_len} bytes, and {BOOT_IMAGE_BYTES_MAX} is the most that can be started from"
        )));
    }
    let mut buffer = vec![0; byte_len as usize];
    bytes
        .read_at(0, &mut buffer)
        .map_err(|missing| unreadable(format!("bytes at {} are missing", missing.offset)))?;
    Ok(buffer.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(bytes: &[u8], role: ImageRole) -> ImageRef {
        ImageRef {
            role,
            hash: ImageHash::of(bytes),
            byte_len: bytes.len() as u64,
            name: "Image".to_owned(),
            places: Vec::new(),
        }
    }

    #[test]
    fn images_are_found_by_hash() {
        let mut store = MemoryStore::default();
        store.insert(&b"kernel"[..]);
        store.insert(&b"disk"[..]);
        let wanted = [
            image(b"kernel", ImageRole::Kernel),
            image(b"disk", ImageRole::Disk),
        ];
        let set = ImageSet::find(&wanted, &mut store).expect("both are there");
        for _ in 0..2 {
            let images = set.machine_images();
            assert_eq!(images.kernel.as_deref(), Some(&b"kernel"[..]));
            assert_eq!(images.disks[0].byte_len(), 4);
        }
    }

    #[test]
    fn a_missing_image_is_named() {
        let wanted = image(b"gone", ImageRole::Kernel);
        let error = ImageSet::find(&[wanted], &mut MemoryStore::default())
            .err()
            .expect("missing");
        let text = error.to_string();
        assert!(
            text.contains("`Image`") && text.contains("--images"),
            "{text}"
        );
    }

    #[test]
    fn two_kernels_are_refused() {
        let mut store = MemoryStore::default();
        store.insert(&b"kernel"[..]);
        let wanted = image(b"kernel", ImageRole::Kernel);
        let set = ImageSet::find(&[wanted.clone(), wanted], &mut store);
        assert!(matches!(set, Err(ImageError::BadSet(_))));
    }
}
