//! Container images in memory, and a caller that hands an unpacker what it wants.

use std::collections::BTreeMap;

use reprise_host::{Digest, ImageError, MemorySpool, Place, Unpacked, Unpacker};

use super::tar_builder::{Member, TarBuilder};

/// Files of an OCI layout by path.
#[derive(Clone, Default)]
pub(crate) struct Layout {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

impl Layout {
    /// A layout whose index has these members.
    pub(crate) fn with_index(mut self, members: &[String]) -> Self {
        let marker = br#"{"imageLayoutVersion":"1.0.0"}"#;
        self.files.insert("oci-layout".to_owned(), marker.to_vec());
        self.files
            .insert("index.json".to_owned(), index(members).into_bytes());
        self
    }

    /// Adds a blob and returns its descriptor, to which `more` is added.
    pub(crate) fn blob(&mut self, media_type: &str, more: &str, bytes: &[u8]) -> String {
        let digest = Digest::of(bytes);
        let path = format!("blobs/sha256/{}", digest.hex());
        self.files.insert(path, bytes.to_vec());
        let size = bytes.len();
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}{more}}}"#)
    }

    /// Adds an image of uncompressed layers; returns its manifest's descriptor, to which `more` is added.
    pub(crate) fn image(&mut self, architecture: &str, layers: &[Vec<u8>], more: &str) -> String {
        let config = config(architecture, layers);
        let config = self.blob(
            "application/vnd.oci.image.config.v1+json",
            "",
            config.as_bytes(),
        );
        let layers = layers.iter();
        let layers: Vec<String> = layers
            .map(|layer| self.blob("application/vnd.oci.image.layer.v1.tar", "", layer))
            .collect();
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{config},"layers":[{}]}}"#,
            layers.join(",")
        );
        self.blob(
            "application/vnd.oci.image.manifest.v1+json",
            more,
            manifest.as_bytes(),
        )
    }

    /// All files in a tar archive, as Docker 25 and newer save them.
    pub(crate) fn archive(&self) -> Vec<u8> {
        let mut archive = TarBuilder::default();
        for (path, content) in &self.files {
            archive.add(&Member {
                content,
                ..Member::new(path, b'0')
            });
        }
        archive.finish()
    }

    /// Unpacks it as a folder.
    pub(crate) fn unpack(
        &self,
        unpacker: Unpacker<MemorySpool>,
    ) -> Result<Unpacked<MemorySpool>, ImageError> {
        drive(unpacker, |place| {
            let path = place.layout_path().expect("a file");
            self.files[&path].clone()
        })
    }
}

pub(crate) fn index(members: &[String]) -> String {
    format!(
        r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
        members.join(",")
    )
}

pub(crate) fn config(architecture: &str, layers: &[Vec<u8>]) -> String {
    let diff_ids: Vec<String> = layers
        .iter()
        .map(|layer| format!("\"{}\"", Digest::of(layer)))
        .collect();
    let diff_ids = diff_ids.join(",");
    format!(
        r#"{{"architecture":"{architecture}","os":"linux","config":{{"Cmd":["/bin/sh"]}},
            "rootfs":{{"type":"layers","diff_ids":[{diff_ids}]}}}}"#
    )
}

/// Unpacks an archive.
pub(crate) fn unpack_archive(
    archive: &[u8],
    unpacker: Unpacker<MemorySpool>,
) -> Result<Unpacked<MemorySpool>, ImageError> {
    drive(unpacker, |place| match place {
        Place::Range { offset, bytes } => archive[*offset as usize..][..*bytes as usize].to_vec(),
        other => panic!("wants {other:?}"),
    })
}

/// Hands over what is wanted, in slices of 1000 bytes.
pub(crate) fn drive(
    mut unpacker: Unpacker<MemorySpool>,
    fetch: impl Fn(&Place) -> Vec<u8>,
) -> Result<Unpacked<MemorySpool>, ImageError> {
    while let Some(want) = unpacker.want() {
        let bytes = fetch(&want.place);
        for mut slice in bytes.chunks(1000) {
            while !slice.is_empty() {
                let taken = unpacker.feed(slice)?;
                slice = &slice[taken..];
            }
        }
        unpacker.end()?;
    }
    let progress = unpacker.progress();
    let unpacked = unpacker.finish()?;
    assert_eq!(Some(progress.done_bytes), progress.total_bytes);
    Ok(unpacked)
}
