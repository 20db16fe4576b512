//! Container images among this computer's files and at registries, made into root images.
//!
//! In the cache:
//!
//! ```text
//! containers/<image id>-<version>.json   the root image that was made of this container image
//! containers/<image id>-<version>.part   a root image that is being made, locked by whoever makes it
//! images/<hash>                          root images, and whatever other images were kept
//! ```

use crate::guest::cache_folder;
use crate::registry::{self, Registry};
use crate::store;
use anyhow::{Context, bail};
use reprise_host::{
    Digest, ImageConfig, Limits, Place, RootImage, Spool, Unpacked, Unpacker, Want,
};
use reprise_recorder::images::{ImageRef, ImageRole, SharedImage};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// End of the names that recordings give root images, by which a person sees what they are.
pub const ROOT_IMAGE_SUFFIX: &str = ".root.erofs";

/// Changes when the same container image gives another root image than before.
const VERSION: u32 = 1;

/// Bytes handed over or written at a time.
const PIECE_BYTES: usize = 1 << 20;

/// The longest name of an image that is made from names of its source.
const LABEL_BYTES_MAX: usize = 80;

/// Where a container image is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContainerSource {
    form: Form,
    /// A path, perhaps with a colon and the image's name after it; or a reference to an image at a registry.
    rest: OsString,
}

/// What a container image is stored as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    /// A folder as OCI Image 1.1 (image layout) describes it.
    Layout,
    /// A file by `docker save`, `podman save` or skopeo.
    Archive,
    /// At a registry.
    Registry,
}

impl ContainerSource {
    /// Reads `oci:DIR[:TAG]`, `docker-archive:FILE[:TAG]` or `docker://HOST/NAME[:TAG][@DIGEST]`, as skopeo and podman write it; `None` for
    /// anything else.
    #[must_use]
    pub fn parse(text: &OsStr) -> Option<Self> {
        let forms = [
            ("oci:", Form::Layout),
            ("docker-archive:", Form::Archive),
            ("docker://", Form::Registry),
        ];
        forms.into_iter().find_map(|(prefix, form)| {
            let rest = text.as_bytes().strip_prefix(prefix.as_bytes())?;
            let rest = OsStr::from_bytes(rest).to_owned();
            Some(Self { form, rest })
        })
    }

    /// The path and the image's name. Both may have colons in them: the longest path that is there is meant.
    fn split(&self) -> anyhow::Result<(PathBuf, Option<String>)> {
        let bytes = self.rest.as_bytes();
        let colons = (0..bytes.len()).rev().filter(|&at| bytes[at] == b':');
        for end in [bytes.len()].into_iter().chain(colons) {
            let path = Path::new(OsStr::from_bytes(&bytes[..end]));
            if !path.exists() {
                continue;
            }
            let tag = bytes.get(end + 1..).filter(|tag| !tag.is_empty());
            let tag = tag.map(|tag| String::from_utf8_lossy(tag).into_owned());
            return Ok((path.to_owned(), tag));
        }
        let path = match bytes.iter().position(|&byte| byte == b':') {
            Some(end) => &bytes[..end],
            None => bytes,
        };
        let what = match self.form {
            Form::Layout => "folder",
            Form::Archive | Form::Registry => "file",
        };
        bail!(
            "there is no {what} {} with a container image",
            Path::new(OsStr::from_bytes(path)).display()
        );
    }
}

/// How far [`open`] is. A container image that was made into a root image before has no progress.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Layers are unpacked, as they come.
    Unpacking {
        /// Bytes that were handled.
        done_bytes: u64,
        /// Bytes of all layers.
        total_bytes: u64,
    },
    /// The root image is written.
    Writing {
        /// Bytes that were written.
        done_bytes: u64,
        /// Bytes of the whole image.
        total_bytes: u64,
    },
    /// A registry failed, and is asked again for what is missing.
    Again {
        /// What it did: a sentence without its end.
        reason: String,
    },
}

/// A container image, ready to be run.
pub struct Container {
    /// The root image, as a recording names it.
    pub image: ImageRef,
    /// Its bytes.
    pub bytes: SharedImage,
    /// What the container image says about running it.
    pub config: ImageConfig,
}

/// What the cache knows of a container image.
#[derive(Serialize, Deserialize)]
struct Note {
    /// The root image's hash.
    root: String,
}

/// Opens a container image: makes it into a root image unless the cache has that.
///
/// # Errors
/// When there is no image that Reprise can run, or it is damaged, or it cannot be kept: a sentence for the person.
pub fn open(source: &ContainerSource, tell: &mut dyn FnMut(Step)) -> anyhow::Result<Container> {
    let cache = cache_folder().context(
        "there is no folder to keep root images in: set HOME, XDG_CACHE_HOME or REPRISE_CACHE",
    )?;
    let (opened, shown, label, tag) = match source.form {
        Form::Registry => {
            let text = source.rest.to_string_lossy().into_owned();
            let opened = registry::open(&text);
            let label = opened.as_ref().map_or_else(
                |_| String::new(),
                |registry| {
                    label(
                        Path::new(registry.reference().name()),
                        registry.reference().tag(),
                    )
                },
            );
            (
                opened.map(|registry| Files::Registry(Box::new(registry))),
                format!("docker://{text}"),
                label,
                None,
            )
        }
        form => {
            let (path, tag) = source.split()?;
            let opened = match form {
                Form::Layout => Files::layout(&path),
                _ => Files::archive(&path),
            };
            let label = label(&path, tag.as_deref());
            (opened, path.display().to_string(), label, tag)
        }
    };
    opened
        .and_then(|files| files.open(tag, &Kept::new(&cache)?, tell))
        .with_context(|| format!("the container image {shown} cannot be used"))
        .map(|(mut image, bytes, config)| {
            image.name = label;
            Container {
                image,
                bytes,
                config,
            }
        })
}

/// A name for people: a file name, of the path's last part and the tag.
fn label(path: &Path, tag: Option<&str>) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_suffix(".tar").unwrap_or(&name);
    let parts = [Some(name), tag].into_iter().flatten();
    let joined = parts.collect::<Vec<_>>().join("-");
    let plain = joined.chars().map(|letter| match letter {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' => letter,
        _ => '-',
    });
    let mut label: String = plain.take(LABEL_BYTES_MAX).collect();
    if label.trim_matches('.').is_empty() {
        label = "container".to_owned();
    }
    label + ROOT_IMAGE_SUFFIX
}

/// The container image's own files.
enum Files {
    Layout(PathBuf),
    Archive { file: File, bytes: u64 },
    Registry(Box<Registry>),
}

impl Files {
    fn layout(folder: &Path) -> anyhow::Result<Self> {
        if !folder.join("oci-layout").is_file() {
            bail!(
                "it is not an OCI layout, which is a folder with a file `oci-layout` in it; for a file by `docker save` \
                 write docker-archive:FILE"
            );
        }
        Ok(Self::Layout(folder.to_owned()))
    }

    fn archive(path: &Path) -> anyhow::Result<Self> {
        if !path.is_file() {
            bail!("it is not a file; for a folder with an OCI layout write oci:DIR");
        }
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self::Archive { file, bytes })
    }

    fn open(
        &self,
        tag: Option<String>,
        kept: &Kept,
        tell: &mut dyn FnMut(Step),
    ) -> anyhow::Result<(ImageRef, SharedImage, ImageConfig)> {
        let spool = FileSpool::new(&kept.containers)?;
        let mut unpacker = match self {
            Self::Layout(_) => Unpacker::layout(tag, Limits::default(), spool),
            Self::Archive { bytes, .. } => Unpacker::archive(*bytes, tag, Limits::default(), spool),
            Self::Registry(registry) => {
                let limits = Limits::default();
                let manifest = registry.manifest(&limits);
                tell_retries(registry, tell);
                Unpacker::manifest(&manifest?, limits, spool)?
            }
        };
        while unpacker.found().is_none() && self.hand_over(&mut unpacker, tell)? {}
        let Some((id, config)) = unpacker.found() else {
            // Says why nothing was found.
            unpacker.finish()?;
            bail!("there is nothing in it");
        };
        let config = config.clone();
        if let Some((image, bytes)) = kept.find(&id) {
            return Ok((image, bytes, config));
        }
        let part = kept.lock(&id)?;
        // Somebody else may have made it while this one waited.
        let made = match kept.find(&id) {
            Some(found) => Ok(found),
            None => self.make(unpacker, &id, &part, kept, tell),
        };
        kept.remove_part(&id);
        let (image, bytes) = made?;
        Ok((image, bytes, config))
    }

    /// Unpacks all layers, and makes the root image.
    fn make(
        &self,
        mut unpacker: Unpacker<FileSpool>,
        id: &Digest,
        part: &File,
        kept: &Kept,
        tell: &mut dyn FnMut(Step),
    ) -> anyhow::Result<(ImageRef, SharedImage)> {
        while self.hand_over(&mut unpacker, tell)? {}
        kept.make(id, part, unpacker.finish()?, tell)
    }

    /// Hands the unpacker one thing that it wants. `false` when it wants nothing.
    fn hand_over<S: Spool>(
        &self,
        unpacker: &mut Unpacker<S>,
        tell: &mut dyn FnMut(Step),
    ) -> anyhow::Result<bool> {
        let Some(want) = unpacker.want() else {
            return Ok(false);
        };
        let mut from = self.fetch(want)?;
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let length = match from.read(&mut piece) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::Interrupted => {
                    if let Self::Registry(registry) = self {
                        tell_retries(registry, tell);
                    }
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let mut rest = &piece[..length];
            while !rest.is_empty() {
                let taken = unpacker.feed(rest)?;
                rest = &rest[taken..];
            }
            let progress = unpacker.progress();
            if let Some(total_bytes) = progress.total_bytes {
                tell(Step::Unpacking {
                    done_bytes: progress.done_bytes,
                    total_bytes,
                });
            }
        }
        unpacker.end()?;
        Ok(true)
    }

    fn fetch(&self, want: &Want) -> anyhow::Result<Box<dyn Read + '_>> {
        match (self, &want.place) {
            (Self::Archive { file, .. }, Place::Range { offset, bytes }) => {
                let mut file = file;
                file.seek(SeekFrom::Start(*offset))?;
                Ok(Box::new(file.take(*bytes)))
            }
            (Self::Layout(folder), place) => {
                let name = place.layout_path().unwrap_or_default();
                let path = folder.join(&name);
                if !path.is_file() {
                    bail!("the image is not whole: {name} is not there");
                }
                let file = File::open(&path).with_context(|| format!("{name} cannot be read"))?;
                Ok(Box::new(file))
            }
            (Self::Registry(registry), _) => Ok(Box::new(registry.fetch(want)?)),
            (Self::Archive { .. }, _) => bail!("an archive has no files to fetch"),
        }
    }
}

/// Tells of what a registry is asked for again.
fn tell_retries(registry: &Registry, tell: &mut dyn FnMut(Step)) {
    for reason in registry.take_retries() {
        tell(Step::Again { reason });
    }
}

/// The cache's folders.
struct Kept {
    containers: PathBuf,
    images: PathBuf,
}

impl Kept {
    fn new(cache: &Path) -> anyhow::Result<Self> {
        let kept = Self {
            containers: cache.join("containers"),
            images: cache.join("images"),
        };
        for folder in [&kept.containers, &kept.images] {
            fs::create_dir_all(folder)
                .with_context(|| format!("{} cannot be made", folder.display()))?;
        }
        Ok(kept)
    }

    fn file(&self, id: &Digest, extension: &str) -> PathBuf {
        self.containers
            .join(format!("{}-{VERSION}.{extension}", id.hex()))
    }

    /// The root image of a container image, if it is here and whole.
    fn find(&self, id: &Digest) -> Option<(ImageRef, SharedImage)> {
        let note: Note = serde_json::from_slice(&fs::read(self.file(id, "json")).ok()?).ok()?;
        let is_hash = note.root.len() == 64 && note.root.bytes().all(|c| c.is_ascii_hexdigit());
        let path = is_hash.then(|| self.images.join(&note.root))?;
        let (image, bytes) = store::open(&path, ImageRole::Disk).ok()?;
        (image.hash.to_string() == note.root).then_some((image, bytes))
    }

    /// Opens the file in which a root image is made, alone.
    fn lock(&self, id: &Digest) -> anyhow::Result<File> {
        let path = self.file(id, "part");
        let cannot = || format!("{} cannot be written", path.display());
        loop {
            let part = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .with_context(cannot)?;
            flock(&part, FlockOperation::LockExclusive).with_context(cannot)?;
            // While this one waited, the file may have become the image, which nobody writes to.
            let inode = part.metadata().with_context(cannot)?.ino();
            if fs::metadata(&path).is_ok_and(|there| there.ino() == inode) {
                return Ok(part);
            }
        }
    }

    fn make(
        &self,
        id: &Digest,
        mut part: &File,
        mut unpacked: Unpacked<FileSpool>,
        tell: &mut dyn FnMut(Step),
    ) -> anyhow::Result<(ImageRef, SharedImage)> {
        let mut root = RootImage::new(&unpacked.tree)?;
        let total_bytes = root.size_bytes();
        // What a killed run left there.
        part.set_len(0)?;
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let length = root.read(&mut unpacked.spool, &mut piece)?;
            if length == 0 {
                break;
            }
            part.write_all(&piece[..length])
                .context("the root image cannot be written")?;
            tell(Step::Writing {
                done_bytes: root.position(),
                total_bytes,
            });
        }
        let name = root.hash().to_hex().to_string();
        let path = self.images.join(&name);
        fs::rename(self.file(id, "part"), &path)
            .with_context(|| format!("{} cannot be written", path.display()))?;
        let note = serde_json::to_vec(&Note { root: name })?;
        let mut written = tempfile::NamedTempFile::new_in(&self.containers)?;
        written.write_all(&note)?;
        written.persist(self.file(id, "json"))?;
        store::open(&path, ImageRole::Disk)
    }

    /// Removes the file that [`lock`](Self::lock) has made, where nothing became of it. Its lock must be held.
    fn remove_part(&self, id: &Digest) {
        // Gone already if it has become the image; if it stays, it is used the next time.
        let _ = fs::remove_file(self.file(id, "part"));
    }
}

/// A spool in a file without a name, which goes with the process.
struct FileSpool {
    to: BufWriter<File>,
}

impl FileSpool {
    fn new(folder: &Path) -> anyhow::Result<Self> {
        let file = tempfile::tempfile_in(folder)
            .with_context(|| format!("a file in {} cannot be written", folder.display()))?;
        Ok(Self {
            to: BufWriter::with_capacity(PIECE_BYTES, file),
        })
    }
}

impl Spool for FileSpool {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)
    }

    fn read_at(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.to.flush()?;
        self.to.get_ref().read_exact_at(into, offset)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;
    use crate::registry::tests::{Manners, Server};

    fn check(text: &str, path: &Path, tag: Option<&str>) {
        let source = ContainerSource::parse(OsStr::new(text)).unwrap();
        let split = source.split().unwrap();
        assert_eq!(split, (path.to_owned(), tag.map(str::to_owned)), "{text}");
    }

    #[test]
    fn sources_are_paths_and_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a:b");
        fs::create_dir(&path).unwrap();
        let shown = path.display();
        check(&format!("oci:{shown}"), &path, None);
        check(&format!("oci:{shown}:"), &path, None);
        check(&format!("oci:{shown}:latest"), &path, Some("latest"));
        check(
            &format!("docker-archive:{shown}:docker.io/x:y"),
            &path,
            Some("docker.io/x:y"),
        );
        assert!(ContainerSource::parse(OsStr::new("guest")).is_none());
        assert!(ContainerSource::parse(OsStr::new("docker://a.test/b")).is_some());
        let gone = ContainerSource::parse(OsStr::new("oci:/nowhere:tag")).unwrap();
        let told = gone.split().unwrap_err().to_string();
        assert!(told.contains("folder /nowhere "), "{told}");
    }

    #[test]
    fn labels_are_file_names() {
        let label = |path: &str, tag| label(Path::new(path), tag);
        assert_eq!(label("/x/busybox", Some("1.36")), "busybox-1.36.root.erofs");
        assert_eq!(label("a.tar", Some("x/y:z")), "a-x-y-z.root.erofs");
        assert_eq!(label("..", None), "container.root.erofs");
    }

    #[test]
    fn of_a_registry_s_image_all_is_kept_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::new(folder.path()).unwrap();
        let names = || -> Vec<_> {
            let folders = [&kept.containers, &kept.images].map(|path| fs::read_dir(path).unwrap());
            folders
                .into_iter()
                .flatten()
                .map(|entry| entry.unwrap().file_name())
                .collect()
        };
        let open = |server: &Server| {
            let mut told = Vec::new();
            let files = Files::Registry(Box::new(server.client("app:1", None)));
            let opened = files.open(None, &kept, &mut |step| told.push(step));
            opened.map(|(image, _, config)| (image, config, told))
        };
        let wrong_at = Some(200_000);
        let wrong = Server::new(Manners {
            wrong_at,
            ..Manners::default()
        });
        open(&wrong).unwrap_err();
        assert!(names().is_empty(), "{:?}", names());

        let broken = Server::new(Manners {
            broken: (1, 1000),
            ..Manners::default()
        });
        let (image, config, told) = open(&broken).unwrap();
        assert_eq!(config.cmd, ["/bin/sh"]);
        assert!(told.iter().any(|step| matches!(step, Step::Again { .. })));
        assert_eq!(names().len(), 2);
        // What is kept is not fetched again: index, manifest and configuration are, since a tag may have moved.
        broken.log();
        assert_eq!(open(&broken).unwrap().0, image);
        assert_eq!(broken.log().len(), 3);
    }
}
