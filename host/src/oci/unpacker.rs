//! From a container image to its tree: a state machine that wants bytes and is handed them.

use super::archive::{Archive, Range};
use super::config::{ConfigDocument, ImageConfig};
use super::document::{
    Descriptor, Document, LayoutMarker, SavedImage, is_called, is_layer_type, list,
};
use super::select::Selection;
use super::want::{Place, Progress, Unpacked, Want, blob_path};
use crate::digest::{Digest, Verifier, check};
use crate::error::{ImageError, shown};
use crate::limits::Limits;
use crate::spool::Spool;
use crate::tree::TreeBuilder;

/// Makes the tree of an image out of an OCI layout, a registry's answers or a `docker save` archive.
///
/// It does no I/O and has no thread. The caller asks [`want`](Self::want), fetches it, hands it over in slices
/// of any size with [`feed`](Self::feed), says [`end`](Self::end), and asks again, until nothing is wanted;
/// then it takes the result with [`finish`](Self::finish). Each call of `feed` does some milliseconds of work,
/// so that a worker hears its page between two, whatever the layers unpack to; to cancel, drop it. After an
/// error it is of no use any more.
pub struct Unpacker<S> {
    source: Source,
    limits: Limits,
    selection: Selection,
    builder: TreeBuilder<S>,
    current: Option<Current>,
    progress: Progress,
    /// Layers that are not begun, the next one last.
    layers: Vec<Layer>,
    id: Option<Digest>,
    config: ImageConfig,
}

enum Source {
    /// A folder, or the same by HTTP.
    Layout,
    /// A tar archive with members at random.
    Archive(Box<Archive>),
}

/// What the bytes on their way are.
struct Current {
    want: Want,
    verifier: Verifier,
    what: What,
}

enum What {
    LayoutMarker(Vec<u8>),
    Index(Vec<u8>),
    Document(Vec<u8>),
    Window(Vec<u8>),
    SavedImages(Vec<u8>),
    Config { bytes: Vec<u8>, layers: Vec<Layer> },
    Layer { diff_id: Digest },
}

struct Layer {
    want: Want,
    name: String,
    digest: Option<Digest>,
    /// Filled in when the configuration was read.
    diff_id: Option<Digest>,
}

impl<S: Spool> Unpacker<S> {
    /// For an OCI layout: a folder, or a server that has one. `reference` picks an image by name where there
    /// are several. The spool must be empty.
    pub fn layout(reference: Option<String>, limits: Limits, spool: S) -> Self {
        let mut unpacker = Self::new(Source::Layout, reference, limits, spool);
        unpacker.want_file("oci-layout", What::LayoutMarker(Vec::new()));
        unpacker
    }

    /// For a registry, which has answered with an index or manifest: what follows is wanted by digest. The
    /// caller has compared its digest, if it asked for one.
    ///
    /// # Errors
    /// As [`end`](Self::end).
    pub fn manifest(document: &[u8], limits: Limits, spool: S) -> Result<Self, ImageError> {
        let mut unpacker = Self::new(Source::Layout, None, limits, spool);
        unpacker.document("manifest", document)?;
        Ok(unpacker)
    }

    /// For an archive of so many bytes by `docker save`, `podman save` or skopeo, or a tar of an OCI layout.
    /// It must not be compressed as a whole.
    pub fn archive(bytes: u64, reference: Option<String>, limits: Limits, spool: S) -> Self {
        let archive = Box::new(Archive::new(bytes, &limits));
        let mut unpacker = Self::new(Source::Archive(archive), reference, limits, spool);
        // Without a window the archive is empty; `finish` then says that nothing was found.
        unpacker.next_window();
        unpacker
    }

    fn new(source: Source, reference: Option<String>, limits: Limits, spool: S) -> Self {
        Self {
            source,
            selection: Selection::new(reference, &limits),
            builder: TreeBuilder::new(limits.clone(), spool),
            limits,
            current: None,
            progress: Progress::default(),
            layers: Vec::new(),
            id: None,
            config: ImageConfig::default(),
        }
    }

    /// What is to be handed over next, from its beginning; `None` when the tree is done.
    pub fn want(&self) -> Option<&Want> {
        self.current.as_ref().map(|current| &current.want)
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// The image's id, which is its configuration's digest (OCI Image 1.1, ImageID), and what it says about running
    /// it; `None` until that was read, which is before any layer is wanted. The id names all layers' contents, so
    /// a caller that has the tree of this id need not go on.
    pub fn found(&self) -> Option<(Digest, &ImageConfig)> {
        self.id.map(|id| (id, &self.config))
    }

    /// Takes some of the wanted bytes and says how many; 0 only means that those before are not all worked off.
    ///
    /// # Errors
    /// A damaged or hostile layer, a cap, or the spool. Nothing that came is of use then.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<usize, ImageError> {
        let Some(current) = &mut self.current else {
            return Ok(bytes.len());
        };
        let taken = match &mut current.what {
            What::LayoutMarker(document)
            | What::Index(document)
            | What::Document(document)
            | What::Window(document)
            | What::SavedImages(document)
            | What::Config {
                bytes: document, ..
            } => {
                if document.len() + bytes.len() > self.limits.document_bytes_max {
                    return Err(ImageError::TooLarge {
                        what: "bytes in one of its documents",
                        limit: self.limits.document_bytes_max as u64,
                    });
                }
                document.extend_from_slice(bytes);
                bytes.len()
            }
            What::Layer { .. } => {
                let taken = self.builder.feed(bytes)?;
                self.progress.done_bytes += taken as u64;
                taken
            }
        };
        current.verifier.take(&bytes[..taken])?;
        Ok(taken)
    }

    /// Says that all wanted bytes have come, and finds out what is wanted next.
    ///
    /// # Errors
    /// Bytes that are not those promised, documents that say nothing useful, an image for another platform, and
    /// all that [`feed`](Self::feed) may say.
    pub fn end(&mut self) -> Result<(), ImageError> {
        let Some(current) = self.current.take() else {
            return Ok(());
        };
        current.verifier.finish()?;
        match current.what {
            What::LayoutMarker(bytes) => {
                LayoutMarker::check(&bytes)?;
                self.want_file("index.json", What::Index(Vec::new()));
                Ok(())
            }
            What::Index(bytes) => self.document("index.json", &bytes),
            What::Document(bytes) => self.document("manifest", &bytes),
            What::Window(bytes) => self.window(&bytes),
            What::SavedImages(bytes) => self.saved_images(&bytes),
            What::Config { bytes, layers } => self.read_config(&bytes, layers),
            What::Layer { diff_id } => {
                let found = self.builder.end_layer()?;
                check("a layer's content", diff_id, found)?;
                self.next_layer();
                Ok(())
            }
        }
    }

    /// The result, when nothing is wanted any more.
    ///
    /// # Errors
    /// [`ImageError::NotAnImage`] if there was something that it wanted.
    pub fn finish(self) -> Result<Unpacked<S>, ImageError> {
        if self.current.is_some() || self.progress.total_bytes.is_none() {
            return Err(ImageError::NotAnImage {
                reason: "not all of it was read".to_owned(),
            });
        }
        let (tree, spool) = self.builder.finish();
        Ok(Unpacked {
            tree,
            spool,
            config: self.config,
        })
    }

    fn want_file(&mut self, name: &'static str, what: What) {
        self.current = Some(Current {
            want: Want {
                place: Place::File(name),
                bytes: None,
            },
            verifier: Verifier::new(name.to_owned(), None, None),
            what,
        });
    }

    fn want_member(&mut self, name: &str, what: What) -> Result<(), ImageError> {
        let want = self.member(name)?;
        // Archives of Docker before 25 name a configuration by its digest.
        let digest = name.strip_suffix(".json").and_then(Digest::from_hex);
        self.current = Some(Current {
            verifier: Verifier::new(name.to_owned(), want.bytes, digest),
            want,
            what,
        });
        Ok(())
    }

    fn want_blob(&mut self, blob: &Descriptor, place: Place, what: What) -> Result<(), ImageError> {
        let want = self.blob(blob, place)?;
        self.current = Some(Current {
            verifier: Verifier::new(blob.digest.to_string(), Some(blob.size), Some(blob.digest)),
            want,
            what,
        });
        Ok(())
    }

    /// A member of the archive.
    fn member(&self, name: &str) -> Result<Want, ImageError> {
        let Source::Archive(archive) = &self.source else {
            return Err(ImageError::Missing {
                name: shown(name.as_bytes()),
            });
        };
        let Range { offset, bytes } = archive.find(name)?;
        Ok(Want {
            place: Place::Range { offset, bytes },
            bytes: Some(bytes),
        })
    }

    fn blob(&self, blob: &Descriptor, place: Place) -> Result<Want, ImageError> {
        match &self.source {
            Source::Layout => Ok(Want {
                place,
                bytes: Some(blob.size),
            }),
            Source::Archive(_) => {
                let want = self.member(&blob_path(&blob.digest))?;
                match want.bytes {
                    Some(found) if found != blob.size => Err(ImageError::Size {
                        name: blob.digest.to_string(),
                        expected: blob.size,
                        found,
                    }),
                    _ => Ok(want),
                }
            }
        }
    }

    fn next_window(&mut self) -> bool {
        let Source::Archive(archive) = &self.source else {
            return false;
        };
        let Some(Range { offset, bytes }) = archive.window() else {
            return false;
        };
        self.current = Some(Current {
            want: Want {
                place: Place::Range { offset, bytes },
                bytes: Some(bytes),
            },
            verifier: Verifier::new("the archive".to_owned(), Some(bytes), None),
            what: What::Window(Vec::new()),
        });
        true
    }

    fn window(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        let Source::Archive(archive) = &mut self.source else {
            return Ok(());
        };
        if matches!(bytes, [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..]) {
            return Err(ImageError::NotAnImage {
                reason:
                    "the archive as a whole is compressed: unpack it with gunzip or unzstd first"
                        .to_owned(),
            });
        }
        archive.read(bytes)?;
        if self.next_window() {
            return Ok(());
        }
        let Source::Archive(archive) = &self.source else {
            return Ok(());
        };
        if archive.has("oci-layout") && archive.has("index.json") {
            self.want_member("index.json", What::Index(Vec::new()))
        } else if archive.has("manifest.json") {
            self.want_member("manifest.json", What::SavedImages(Vec::new()))
        } else {
            Err(ImageError::NotAnImage {
                reason: "the archive has neither `index.json` nor `manifest.json`".to_owned(),
            })
        }
    }

    fn document(&mut self, name: &str, bytes: &[u8]) -> Result<(), ImageError> {
        match Document::parse(name, bytes)? {
            Document::Index(members) => {
                self.selection.add_index(members)?;
                self.next_document()
            }
            Document::Manifest { config, layers } => {
                let layers: Result<Vec<Layer>, _> =
                    layers.into_iter().map(|blob| self.layer(blob)).collect();
                let what = What::Config {
                    bytes: Vec::new(),
                    layers: layers?,
                };
                self.want_blob(&config, Place::Blob(config.digest), what)
            }
        }
    }

    fn next_document(&mut self) -> Result<(), ImageError> {
        let next = self.selection.next()?;
        self.want_blob(
            &next,
            Place::Manifest(next.digest),
            What::Document(Vec::new()),
        )
    }

    fn layer(&self, blob: Descriptor) -> Result<Layer, ImageError> {
        if !is_layer_type(&blob.media_type) {
            return Err(ImageError::Document {
                name: "manifest".to_owned(),
                reason: format!(
                    "it has a layer of the unknown type {}",
                    shown(blob.media_type.as_bytes())
                ),
            });
        }
        Ok(Layer {
            want: self.blob(&blob, Place::Blob(blob.digest))?,
            name: blob.digest.to_string(),
            digest: Some(blob.digest),
            diff_id: None,
        })
    }

    fn saved_images(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        let images = SavedImage::parse_all(bytes)?;
        let all_names = || list(images.iter().flat_map(SavedImage::names));
        let image = match (self.selection.reference(), images.as_slice()) {
            (None, [image]) => image,
            (None, []) => return Err(self.selection.nothing()),
            (None, _) => return Err(ImageError::AmbiguousReference { there: all_names() }),
            (Some(wanted), images) => {
                let found = images.iter().find(|image| is_called(image.names(), wanted));
                found.ok_or_else(|| ImageError::NoSuchReference {
                    wanted: wanted.chars().take(160).collect(),
                    there: all_names(),
                })?
            }
        };
        let layer = |path: &String| {
            Ok(Layer {
                want: self.member(path)?,
                name: shown(path.as_bytes()),
                digest: None,
                diff_id: None,
            })
        };
        let layers: Result<Vec<Layer>, ImageError> = image.layers.iter().map(layer).collect();
        let what = What::Config {
            bytes: Vec::new(),
            layers: layers?,
        };
        self.want_member(&image.config, what)
    }

    fn read_config(&mut self, document: &[u8], mut layers: Vec<Layer>) -> Result<(), ImageError> {
        let config = ConfigDocument::parse(document)?;
        if !config.is_ours {
            self.selection.note(config.platform);
            return self.next_document();
        }
        if layers.len() != config.diff_ids.len() {
            return Err(ImageError::Document {
                name: "configuration".to_owned(),
                reason: format!(
                    "it describes {} layers and the manifest {}",
                    config.diff_ids.len(),
                    layers.len()
                ),
            });
        }
        if layers.len() > self.limits.layers_max {
            return Err(ImageError::TooLarge {
                what: "layers",
                limit: self.limits.layers_max as u64,
            });
        }
        for (layer, diff_id) in layers.iter_mut().zip(config.diff_ids) {
            layer.diff_id = Some(diff_id);
        }
        let bytes = layers.iter().filter_map(|layer| layer.want.bytes);
        self.progress.total_bytes = Some(bytes.fold(0, u64::saturating_add));
        self.id = Some(Digest::of(document));
        self.config = config.run;
        layers.reverse();
        self.layers = layers;
        self.next_layer();
        Ok(())
    }

    fn next_layer(&mut self) {
        let Some(layer) = self.layers.pop() else {
            return;
        };
        let Some(diff_id) = layer.diff_id else {
            return;
        };
        self.current = Some(Current {
            verifier: Verifier::new(layer.name, layer.want.bytes, layer.digest),
            want: layer.want,
            what: What::Layer { diff_id },
        });
    }
}
