//! From a trace file to machines that can follow it.

use crate::trace_file::{FileReader, TraceFile};
use anyhow::{Context, anyhow, bail};
use reprise_core::image::MemoryImage;
use reprise_core::machine::{Machine, MachineConfig, MachineError};
use reprise_images::container::ROOT_IMAGE_SUFFIX;
use reprise_images::guest;
use reprise_images::store::{self, FolderStore};
use reprise_recorder::images::{
    ImageError, ImageRef, ImageRole, ImageSet, ImageStore, SharedImage,
};
use reprise_recorder::keyframes::TraceKeyframes;
use reprise_recorder::timeline::{KeyframeSource, MachineSource, ReplayTimeline, TimelineOptions};
use reprise_recorder::trace::{ReadError, config_from_header, images_from_header};
use reprise_recorder::verify::{Entries, Recording};
use reprise_traces::{BlobHash, TraceError};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A trace with everything that it takes to execute it, as often as wanted.
pub(crate) struct OpenTrace {
    /// The file.
    pub(crate) file: TraceFile,
    blueprint: Arc<Blueprint>,
}

/// What the machines of a recording are made from.
pub(crate) struct Blueprint {
    config: MachineConfig,
    images: ImageSet,
}

impl Blueprint {
    /// For a machine of this configuration with these images.
    pub(crate) fn new(config: MachineConfig, images: ImageSet) -> Self {
        Self { config, images }
    }
}

impl MachineSource for Blueprint {
    fn machine(&self) -> Result<Machine, MachineError> {
        Machine::new(self.config.clone(), self.images.machine_images(), None)
    }
}

/// A timeline holds all of a recording's entries in memory: those of a trace that a person could have recorded, and no
/// more.
const TIMELINE_ENTRIES_MAX: usize = 1 << 24;

impl OpenTrace {
    /// Opens a trace and finds its images: in the trace, in the folders given, beside the trace,
    /// and in the cache.
    pub(crate) fn open(path: &Path, image_folders: &[PathBuf]) -> anyhow::Result<Self> {
        let file = TraceFile::open(path)?;
        let config = config_from_header(file.header())?;
        check_ram(config.ram_bytes)?;
        let mut stores = stores(&file, image_folders)?;
        let wanted = images_from_header(file.header());
        let images = ImageSet::find(&wanted, &mut stores)
            .map_err(|error| explained(error, &wanted, &folders(&file, image_folders)))?;
        Ok(Self {
            file,
            blueprint: Arc::new(Blueprint { config, images }),
        })
    }

    /// The recording as a timeline, at its start, with the trace's keyframes.
    pub(crate) fn timeline(&self, options: TimelineOptions) -> anyhow::Result<ReplayTimeline> {
        let mut entries = Vec::new();
        for entry in self.file.entries()? {
            entries.push(entry?);
            if entries.len() > TIMELINE_ENTRIES_MAX {
                bail!(
                    "the trace has more than {TIMELINE_ENTRIES_MAX} events, too many to travel among: it can only \
                     be replayed"
                );
            }
        }
        let keyframes = Box::new(TraceKeyframes::new(self.file.reader()?));
        let source = Arc::clone(&self.blueprint) as Arc<dyn MachineSource>;
        Ok(ReplayTimeline::new(source, entries, keyframes, options)?)
    }
}

impl Recording for OpenTrace {
    type Error = TraceFileError;

    fn machine(&self) -> Result<Machine, MachineError> {
        self.blueprint.machine()
    }

    fn keyframes(&self) -> Box<dyn KeyframeSource + '_> {
        match self.file.reader() {
            Ok(reader) => Box::new(TraceKeyframes::new(reader)),
            // It could be read a moment ago; whoever reads the entries is told.
            Err(_) => Box::new(()),
        }
    }

    fn entries(&self) -> Result<Entries<'_, TraceFileError>, TraceFileError> {
        let entries = self.file.entries().map_err(TraceFileError::Open)?;
        Ok(Box::new(
            entries.map(|entry| entry.map_err(TraceFileError::Read)),
        ))
    }
}

/// Why a trace's entries cannot be had.
#[derive(Debug)]
pub(crate) enum TraceFileError {
    /// The file, which was there before, cannot be opened again.
    Open(anyhow::Error),
    /// It cannot be read.
    Read(ReadError),
}

impl std::fmt::Display for TraceFileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open(error) => write!(f, "{error:#}"),
            Self::Read(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TraceFileError {}

/// Says so when what is missing was there once: a file of its name, with another content.
fn explained(error: ImageError, wanted: &[ImageRef], folders: &[PathBuf]) -> anyhow::Error {
    let ImageError::Missing {
        role, hash, name, ..
    } = &error
    else {
        return error.into();
    };
    if *role == ImageRole::Disk && name.ends_with(ROOT_IMAGE_SUFFIX) {
        return anyhow!(
            "the root image `{name}` ({hash}) of the recorded container is missing: `reprise run --image` with the same \
             container image puts it into the cache again; or name its folder with --images, or record with --embed"
        );
    }
    let changed = (wanted.iter())
        .find(|image| image.role == *role && image.hash == *hash)
        .and_then(|image| Some((image, store::changed(folders, image)?)));
    let Some((image, path)) = changed else {
        return error.into();
    };
    anyhow!(
        "the {role} image `{}` ({hash}, {} bytes) is missing: {} has its name and another content; put the recorded one \
         back or name its folder with --images, and record with --embed to keep images in the trace",
        image.name,
        image.byte_len,
        path.display()
    )
}

/// The places in which a trace's images are looked for, in order.
pub(crate) fn stores(
    file: &TraceFile,
    image_folders: &[PathBuf],
) -> anyhow::Result<Vec<Box<dyn ImageStore>>> {
    Ok(vec![
        Box::new(EmbeddedStore(file.reader()?)),
        Box::new(FolderStore::new(folders(file, image_folders))),
    ])
}

/// The folders in which a trace's images are looked for, in order.
pub(crate) fn folders(file: &TraceFile, image_folders: &[PathBuf]) -> Vec<PathBuf> {
    let mut given = image_folders.to_vec();
    given.push(file.folder());
    guest::image_folders(&given)
}

/// The images that a trace carries.
struct EmbeddedStore(FileReader);

impl ImageStore for EmbeddedStore {
    fn find(&mut self, wanted: &ImageRef) -> Result<Option<SharedImage>, ImageError> {
        let unreadable = |error: TraceError| ImageError::Unreadable {
            name: wanted.name.clone(),
            reason: error.to_string(),
        };
        let hash = BlobHash(wanted.hash.0);
        if !self.0.index().blobs.contains_key(&hash) {
            return Ok(None);
        }
        let bytes = self.0.blob(&hash).map_err(unreadable)?;
        Ok(Some(Arc::new(MemoryImage(bytes.into()))))
    }
}

/// RAM above this cannot be replayed in a browser.
pub(crate) const BROWSER_RAM_BYTES_MAX: u64 = 1 << 30;

/// Refuses a machine whose RAM this computer does not have: a trace can claim any size.
pub(crate) fn check_ram(ram_bytes: u64) -> anyhow::Result<()> {
    if ram_bytes <= BROWSER_RAM_BYTES_MAX {
        return Ok(());
    }
    let has = host_ram_bytes().context("how much RAM this computer has cannot be found out")?;
    if ram_bytes > has {
        bail!(
            "the machine has {} MiB of RAM and this computer {} MiB: use a computer with more",
            ram_bytes >> 20,
            has >> 20
        );
    }
    Ok(())
}

fn host_ram_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    kibibytes.checked_mul(1024)
}
