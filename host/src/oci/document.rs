//! The JSON documents that lead to layers: image layouts, indexes, manifests, and the manifest of an archive
//! by `docker save`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::config::{ARCHITECTURE, OS};
use crate::digest::Digest;
use crate::error::{ImageError, shown};

/// `oci-layout` (OCI Image 1.1, image layout).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LayoutMarker {
    image_layout_version: String,
}

impl LayoutMarker {
    pub(super) fn check(bytes: &[u8]) -> Result<(), ImageError> {
        let marker: Self = parse("oci-layout", bytes)?;
        if marker.image_layout_version.starts_with("1.") {
            return Ok(());
        }
        let version = shown(marker.image_layout_version.as_bytes());
        Err(refuse(
            "oci-layout",
            format!("it has the version {version}; 1.x is known"),
        ))
    }
}

/// Names a blob (OCI Image 1.1, descriptor).
#[derive(Clone, Debug)]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) platform: Option<Platform>,
    /// What the image is called, if its index says so.
    pub(super) names: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Platform {
    #[serde(default)]
    pub(super) os: String,
    #[serde(default)]
    pub(super) architecture: String,
}

impl Platform {
    pub(super) fn is_ours(&self) -> bool {
        self.os == OS && self.architecture == ARCHITECTURE
    }

    /// Attestations that build tools put beside images say so.
    pub(super) fn is_none(&self) -> bool {
        self.os == "unknown" && self.architecture == "unknown"
    }
}

/// An index or a manifest: what they are is told by what they have.
pub(super) enum Document {
    /// Of images or further indexes.
    Index(Vec<Descriptor>),
    /// Of one image.
    Manifest {
        config: Descriptor,
        layers: Vec<Descriptor>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireDocument {
    schema_version: Option<u32>,
    manifests: Option<Vec<WireDescriptor>>,
    config: Option<WireDescriptor>,
    layers: Option<Vec<WireDescriptor>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireDescriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    platform: Option<Platform>,
    annotations: Option<BTreeMap<String, String>>,
}

/// Annotations that name an image; the second is containerd's, in archives of Docker 25 and newer.
const NAME_ANNOTATIONS: [&str; 2] = [
    "org.opencontainers.image.ref.name",
    "io.containerd.image.name",
];

impl Descriptor {
    fn from_wire(mut wire: WireDescriptor) -> Result<Self, ImageError> {
        let annotations = wire.annotations.as_mut();
        let names = annotations.map_or_else(Vec::new, |annotations| {
            let names = NAME_ANNOTATIONS.iter();
            names.filter_map(|&name| annotations.remove(name)).collect()
        });
        Ok(Self {
            media_type: wire.media_type,
            digest: Digest::parse(&wire.digest)?,
            size: wire.size,
            platform: wire.platform,
            names,
        })
    }
}

impl Document {
    pub(super) fn parse(name: &str, bytes: &[u8]) -> Result<Self, ImageError> {
        let wire: WireDocument = parse(name, bytes)?;
        if wire.schema_version.is_some_and(|version| version != 2) {
            return Err(refuse(name, "it is of another schema than 2".to_owned()));
        }
        let all = |wire: Vec<WireDescriptor>| -> Result<Vec<Descriptor>, ImageError> {
            wire.into_iter().map(Descriptor::from_wire).collect()
        };
        match (wire.manifests, wire.config, wire.layers) {
            (Some(manifests), None, None) => Ok(Self::Index(all(manifests)?)),
            (None, Some(config), Some(layers)) => Ok(Self::Manifest {
                config: Descriptor::from_wire(config)?,
                layers: all(layers)?,
            }),
            // One that is both could be read as two different images.
            _ => Err(refuse(
                name,
                "it is neither an index nor a manifest".to_owned(),
            )),
        }
    }
}

/// One image in the `manifest.json` of an archive by Docker before 25.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SavedImage {
    /// Path of the configuration in the archive.
    pub(super) config: String,
    pub(super) repo_tags: Option<Vec<String>>,
    /// Paths of the layers in the archive, the lowest first.
    pub(super) layers: Vec<String>,
}

impl SavedImage {
    pub(super) fn parse_all(bytes: &[u8]) -> Result<Vec<Self>, ImageError> {
        parse("manifest.json", bytes)
    }

    pub(super) fn names(&self) -> &[String] {
        self.repo_tags.as_deref().unwrap_or_default()
    }
}

/// Whether layers of this type are tar archives, in whatever compression (OCI Image 1.1, media types, and Docker's).
pub(super) fn is_layer_type(media_type: &str) -> bool {
    let oci = media_type
        .strip_prefix("application/vnd.oci.image.layer.v1.tar")
        .or(media_type.strip_prefix("application/vnd.oci.image.layer.nondistributable.v1.tar"));
    let docker = media_type
        .strip_prefix("application/vnd.docker.image.rootfs.diff.tar")
        .or(media_type.strip_prefix("application/vnd.docker.image.rootfs.foreign.diff.tar"));
    match (oci, docker) {
        (Some(compression), _) => matches!(compression, "" | "+gzip" | "+zstd"),
        (_, Some(compression)) => matches!(compression, "" | ".gzip" | ".zstd"),
        (None, None) => false,
    }
}

/// What an image is asked for by: its whole name, or the end of it after a slash.
pub(super) fn is_called(names: &[String], wanted: &str) -> bool {
    names.iter().any(|name| match name.strip_suffix(wanted) {
        Some(rest) => rest.is_empty() || rest.ends_with('/'),
        None => false,
    })
}

/// Names of images, for a message.
pub(super) fn list<'n>(names: impl IntoIterator<Item = &'n String>) -> String {
    let names: Vec<String> = names
        .into_iter()
        .take(8)
        .map(|name| shown(name.as_bytes()))
        .collect();
    match names.is_empty() {
        true => "only one without a name".to_owned(),
        false => names.join(", "),
    }
}

fn parse<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, ImageError> {
    serde_json::from_slice(bytes).map_err(|error| refuse(name, error.to_string()))
}

fn refuse(name: &str, reason: String) -> ImageError {
    ImageError::Document {
        name: name.to_owned(),
        reason,
    }
}
