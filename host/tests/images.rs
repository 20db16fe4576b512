//! Which image is picked, out of layouts and archives, and which are refused.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use proptest::prelude::*;
use reprise_host::{Digest, ImageError, Limits, MemorySpool, Unpacked, Unpacker};
use support::layout::{Layout, config, index, unpack_archive};
use support::tar_builder::{Member, TarBuilder, mend_header};

const RISCV64: &str = r#","platform":{"os":"linux","architecture":"riscv64"}"#;
const AMD64: &str = r#","platform":{"os":"linux","architecture":"amd64"}"#;
const ATTESTATION: &str = r#","platform":{"os":"unknown","architecture":"unknown"}"#;

fn layer(path: &str) -> Vec<u8> {
    let member = Member {
        content: b"content",
        ..Member::new(path, b'0')
    };
    TarBuilder::default().add(&member).finish()
}

fn named(name: &str) -> String {
    format!(r#","annotations":{{"org.opencontainers.image.ref.name":"{name}"}}"#)
}

fn in_layout(reference: Option<&str>) -> Unpacker<MemorySpool> {
    Unpacker::layout(
        reference.map(str::to_owned),
        Limits::default(),
        MemorySpool::default(),
    )
}

fn in_archive(
    archive: &[u8],
    reference: Option<&str>,
) -> Result<Unpacked<MemorySpool>, ImageError> {
    let bytes = archive.len() as u64;
    let reference = reference.map(str::to_owned);
    unpack_archive(
        archive,
        Unpacker::archive(bytes, reference, Limits::default(), MemorySpool::default()),
    )
}

/// Unpacks as a layout and as an archive; both must have the same file.
fn check(layout: &Layout, reference: Option<&str>, file: &str) {
    let found = [
        layout.unpack(in_layout(reference)),
        in_archive(&layout.archive(), reference),
    ];
    for unpacked in found {
        let unpacked = unpacked.unwrap_or_else(|error| panic!("{error}"));
        assert!(unpacked.tree.find(file.as_bytes()).is_some(), "{file}");
        assert_eq!(unpacked.config.cmd, ["/bin/sh"]);
    }
}

fn refused(layout: &Layout, reference: Option<&str>, reason: &str) {
    for outcome in [
        layout.unpack(in_layout(reference)),
        in_archive(&layout.archive(), reference),
    ] {
        let said = outcome.map(|_| ()).unwrap_err().to_string();
        assert!(said.contains(reason), "{said}");
    }
}

#[test]
fn riscv64_is_picked_wherever_it_is() {
    let mut layout = Layout::default();
    let amd64 = layout.image("amd64", &[layer("amd64")], AMD64);
    let riscv64 = layout.image("riscv64", &[layer("lower"), layer("riscv64")], RISCV64);
    let attestation = layout.blob(
        "application/vnd.oci.image.manifest.v1+json",
        ATTESTATION,
        b"{}",
    );
    let unsaid = layout.image("riscv64", &[layer("unsaid")], "");
    let unsaid_amd64 = layout.image("amd64", &[layer("unsaid amd64")], "");
    let all = [amd64.clone(), attestation.clone(), riscv64.clone()];
    check(&layout.clone().with_index(&all), None, "riscv64");
    check(
        &layout
            .clone()
            .with_index(&[unsaid_amd64.clone(), unsaid.clone()]),
        None,
        "unsaid",
    );
    let nested = index(&all);
    let nested = layout.blob(
        "application/vnd.oci.image.index.v1+json",
        "",
        nested.as_bytes(),
    );
    let nested = index(&[unsaid_amd64.clone(), nested]);
    let nested = layout.blob(
        "application/vnd.oci.image.index.v1+json",
        "",
        nested.as_bytes(),
    );
    check(&layout.clone().with_index(&[nested]), None, "riscv64");
    refused(
        &layout.clone().with_index(std::slice::from_ref(&amd64)),
        None,
        "the image is for linux/amd64; Reprise runs linux/riscv64",
    );
    refused(
        &layout.clone().with_index(&[amd64.clone(), unsaid_amd64]),
        None,
        "the image is for linux/amd64; Reprise runs linux/riscv64",
    );
    refused(
        &layout.clone().with_index(&[attestation]),
        None,
        "lists none",
    );
    let arm = amd64.replace("amd64", "arm64");
    refused(
        &layout.with_index(&[amd64, arm]),
        None,
        "is for linux/amd64 and linux/arm64;",
    );
}

#[test]
fn images_are_picked_by_name() {
    let mut layout = Layout::default();
    let one = layout.image("riscv64", &[layer("one")], &named("example.org/app:1"));
    let two = layout.image("riscv64", &[layer("two")], &named("2"));
    let same = two.replace("\"2\"", "\"latest\"");
    let layout = layout.with_index(&[one, two.clone(), same.clone()]);
    check(&layout, Some("app:1"), "one");
    check(&layout, Some("2"), "two");
    refused(
        &layout,
        Some("1"),
        "there is no image `1` here; there is `2`, `example.org/app:1`, `latest`",
    );
    refused(&layout, None, "several images");
    check(&layout.with_index(&[two, same]), None, "two");
}

#[test]
fn damage_is_told() {
    let mut layout = Layout::default();
    let content = layer("file");
    let image = layout.image("riscv64", std::slice::from_ref(&content), "");
    let layout = layout.with_index(&[image]);
    let path = format!("blobs/sha256/{}", Digest::of(&content).hex());
    check(&layout, None, "file");
    let damaged = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut layout = layout.clone();
        change(layout.files.get_mut(&path).unwrap());
        layout
    };
    refused(
        &damaged(&|layer| *layer = super_long(layer)),
        None,
        "should have",
    );
    refused(
        &damaged(&|layer| layer.truncate(1024)),
        None,
        "and has 1024",
    );
    refused(
        &damaged(&|layer| layer[512] ^= 1),
        None,
        "has the digest sha256:",
    );
    // The digest is right and the content is not what the configuration says.
    let mut lying = Layout::default();
    let image = lying.image("riscv64", &[layer("other")], "");
    let config_text = config("riscv64", &[layer("other")]);
    let config_path = format!("blobs/sha256/{}", Digest::of(config_text.as_bytes()).hex());
    assert!(lying.files.contains_key(&config_path));
    let other_config = config("riscv64", std::slice::from_ref(&content));
    let descriptor = lying.blob("x", "", other_config.as_bytes());
    let layer_descriptor = lying.blob(
        "application/vnd.oci.image.layer.v1.tar",
        "",
        &layer("other"),
    );
    let manifest =
        format!(r#"{{"schemaVersion":2,"config":{descriptor},"layers":[{layer_descriptor}]}}"#);
    let manifest = lying.blob("", "", manifest.as_bytes());
    drop(image);
    refused(
        &lying.clone().with_index(&[manifest]),
        None,
        "a layer's content has the digest",
    );
    let manifest = format!(r#"{{"schemaVersion":2,"config":{descriptor},"layers":[]}}"#);
    let manifest = lying.blob("", "", manifest.as_bytes());
    refused(
        &lying.clone().with_index(&[manifest]),
        None,
        "describes 1 layers and the manifest 0",
    );
    for (wrong, reason) in [
        ("{}", "neither an index nor a manifest"),
        (r#"{"schemaVersion":1,"manifests":[]}"#, "another schema"),
        (r#"{"manifests":[],"layers":[]}"#, "neither"),
        (
            r#"{"manifests":[{"digest":"sha256:1","size":1}]}"#,
            "not a SHA-256 digest",
        ),
        ("[", "EOF"),
        (r#"{"schemaVersion":2,"manifests":[]}"#, "lists none"),
    ] {
        let mut layout = layout.clone();
        layout
            .files
            .insert("index.json".to_owned(), wrong.as_bytes().to_vec());
        refused(&layout, None, reason);
    }
    let mut encrypted = layout.clone();
    let descriptor = encrypted.blob(
        "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
        "",
        b"x",
    );
    let manifest = format!(r#"{{"config":{descriptor},"layers":[{descriptor}]}}"#);
    let manifest = encrypted.blob("", "", manifest.as_bytes());
    refused(&encrypted.with_index(&[manifest]), None, "unknown type");
}

fn super_long(layer: &[u8]) -> Vec<u8> {
    [layer, &[0]].concat()
}

#[test]
fn layers_may_be_compressed() {
    for compress in [
        |plain: &[u8]| zstd::bulk::compress(plain, 3).unwrap(),
        |plain: &[u8]| {
            let body = miniz_oxide::deflate::compress_to_vec(plain, 6);
            let trailer = [
                crc32fast::hash(plain).to_le_bytes(),
                (plain.len() as u32).to_le_bytes(),
            ];
            [
                &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..],
                &body,
                &trailer.concat(),
            ]
            .concat()
        },
    ] {
        let plain = layer("packed");
        let mut layout = Layout::default();
        let config = config("riscv64", std::slice::from_ref(&plain));
        let config = layout.blob("", "", config.as_bytes());
        let layer = layout.blob(
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "",
            &compress(&plain),
        );
        let manifest = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}]}}"#);
        // As a registry answers.
        let unpacker = Unpacker::manifest(
            manifest.as_bytes(),
            Limits::default(),
            MemorySpool::default(),
        )
        .unwrap();
        assert!(
            layout
                .unpack(unpacker)
                .unwrap()
                .tree
                .find(b"packed")
                .is_some()
        );
    }
}

/// An archive by an old Docker, whose second layer is a link to another image's.
fn saved(architecture: &str) -> Vec<u8> {
    let layers = [layer("lower"), layer("upper")];
    let config = config(architecture, &layers);
    let config_name = format!("{}.json", Digest::of(config.as_bytes()).hex());
    let manifest = format!(
        r#"[{{"Config":"{config_name}","RepoTags":["app:1"],"Layers":["1111/layer.tar","2222/layer.tar"]}}]"#
    );
    let mut archive = TarBuilder::default();
    let mut add = |path: &str, content: &[u8]| {
        archive.add(&Member {
            content,
            ..Member::new(path, b'0')
        });
    };
    add("1111/VERSION", b"1.0");
    add("1111/layer.tar", &layers[0]);
    add("3333/layer.tar", &layers[1]);
    add(&config_name, config.as_bytes());
    add("manifest.json", manifest.as_bytes());
    add("repositories", b"{}");
    archive.add(&Member {
        target: b"../3333/layer.tar",
        ..Member::new("2222/layer.tar", b'2')
    });
    archive.finish()
}

#[test]
fn archives_by_old_dockers_are_read() {
    let archive = saved("riscv64");
    for reference in [None, Some("app:1")] {
        let unpacked = in_archive(&archive, reference).unwrap();
        assert!(unpacked.tree.find(b"upper").is_some() && unpacked.tree.find(b"lower").is_some());
    }
    let said = |archive: &[u8], reference| {
        in_archive(archive, reference)
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    assert!(
        said(&archive, Some("app:2")).contains("there is no image `app:2` here; there is `app:1`")
    );
    assert!(said(&saved("arm64"), None).contains("is for linux/arm64;"));
    let cut = &archive[..archive.len() - 3000];
    let outcome = said(cut, None);
    assert!(
        outcome.contains("manifest.json") || outcome.contains("not in the archive"),
        "{outcome}"
    );
    assert!(said(&[0x1f, 0x8b, 8, 0], None).contains("gunzip"));
    assert!(said(b"", None).contains("not all of it was read"));
    assert!(said(&layer("file"), None).contains("neither"));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn an_archive_with_changed_bytes_is_refused_or_read(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        of_new_docker in any::<bool>(),
        mend in any::<bool>(),
    ) {
        let mut archive = if of_new_docker {
            let mut layout = Layout::default();
            let image = layout.image("riscv64", &[layer("file")], RISCV64);
            layout.with_index(&[image]).archive()
        } else {
            saved("riscv64")
        };
        for (at, byte) in changes {
            let at = at.index(archive.len());
            archive[at] = byte;
            if mend {
                mend_header(&mut archive[at / 512 * 512..][..512]);
            }
        }
        let _ = in_archive(&archive, None);
    }
}
