//! Random layers against a naive model, random trees as images, and random bytes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeMap;

use proptest::prelude::*;
use reprise_host::{Limits, MemorySpool, Unpacker};
use support::layout::unpack_archive;
use support::tar_builder::{Member, TarBuilder, mend_header};
use support::{Listing, build, erofs_reader, image, listing};

/// An entry of a layer, paths of few names so that layers meet.
#[derive(Clone, Debug)]
enum Op {
    Directory(String, u32),
    File(String, u32),
    Symlink(String),
    Link(String, String),
    Whiteout(String),
    Opaque(String),
}

fn path() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4)
        .prop_map(|names| names.join("/"))
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (path(), 0..0o10000_u32).prop_map(|(path, mode)| Op::Directory(path, mode)),
        4 => (path(), 0..0o10000_u32).prop_map(|(path, mode)| Op::File(path, mode)),
        1 => path().prop_map(Op::Symlink),
        2 => (path(), path()).prop_map(|(path, target)| Op::Link(path, target)),
        2 => path().prop_map(Op::Whiteout),
        1 => path().prop_map(Op::Opaque),
    ]
}

fn encode(ops: &[Op]) -> Vec<u8> {
    let mut builder = TarBuilder::default();
    for op in ops {
        match op {
            Op::Directory(path, mode) => builder.add(&Member {
                mode: *mode,
                ..Member::new(path, b'5')
            }),
            Op::File(path, mode) => builder.add(&Member {
                mode: *mode,
                content: mode.to_string().as_bytes(),
                ..Member::new(path, b'0')
            }),
            // To nowhere: ways through links have tests of their own.
            Op::Symlink(path) => builder.add(&Member {
                target: b"nowhere",
                ..Member::new(path, b'2')
            }),
            Op::Link(path, target) => builder.add(&Member {
                target: target.as_bytes(),
                ..Member::new(path, b'1')
            }),
            Op::Whiteout(path) => {
                let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
                builder.add(&Member::new(&format!("./{folder}/.wh.{name}"), b'0'))
            }
            Op::Opaque(path) => builder.add(&Member::new(&format!("{path}/.wh..wh..opq"), b'0')),
        };
    }
    builder.finish()
}

/// Kind, mode, and the number of its inode.
type Model = BTreeMap<String, (char, u32, usize)>;

fn below(model: &Model, path: &str) -> Vec<String> {
    let prefix = format!("{path}/");
    model
        .keys()
        .filter(|key| key.starts_with(&prefix))
        .cloned()
        .collect()
}

fn remove_below(model: &mut Model, path: &str) {
    for key in below(model, path) {
        model.remove(&key);
    }
}

fn is_whiteout(op: &Op) -> bool {
    matches!(op, Op::Whiteout(_) | Op::Opaque(_))
}

/// Whiteouts act on what is below, then the layer's own entries come. Drops entries that cannot be.
fn apply_model(model: &mut Model, ops: &mut Vec<Op>, inodes: &mut usize) {
    for op in &*ops {
        match op {
            Op::Whiteout(path) => {
                remove_below(model, path);
                model.remove(path);
            }
            Op::Opaque(path) => remove_below(model, path),
            _ => {}
        }
    }
    ops.retain(|op| is_whiteout(op) || add(model, op, inodes).is_some());
}

fn add(model: &mut Model, op: &Op, inodes: &mut usize) -> Option<()> {
    let (path, kind, mode, inode) = match op {
        Op::Whiteout(_) | Op::Opaque(_) => return None,
        Op::Directory(path, mode) => (path, 'd', *mode, None),
        Op::File(path, mode) => (path, '-', *mode, None),
        Op::Symlink(path) => (path, 'l', 0o644, None),
        Op::Link(path, target) => match model.get(target) {
            None | Some(('d', ..)) => return None,
            Some(&(kind, mode, inode)) => (path, kind, mode, Some(inode)),
        },
    };
    let ways: Vec<&str> = path
        .match_indices('/')
        .map(|(slash, _)| &path[..slash])
        .collect();
    if ways
        .iter()
        .any(|&way| model.get(way).is_some_and(|there| there.0 != 'd'))
    {
        return None;
    }
    for way in ways {
        *inodes += 1;
        model.entry(way.to_owned()).or_insert(('d', 0o755, *inodes));
    }
    *inodes += 1;
    let both_directories = kind == 'd' && model.get(path).is_some_and(|there| there.0 == 'd');
    if !both_directories {
        remove_below(model, path);
    }
    model.insert(path.clone(), (kind, mode, inode.unwrap_or(*inodes)));
    Some(())
}

/// As a listing says it: kind, mode and the first path of the inode.
fn summary(model: &Model) -> BTreeMap<String, (char, u32, String)> {
    let mut firsts = BTreeMap::new();
    let summary = model
        .iter()
        .map(|(path, &(kind, mode, inode))| (path.clone(), (kind, mode, inode)));
    let mut sorted: Vec<_> = summary.collect();
    // In the order of a walk: names, not whole paths, are compared.
    sorted.sort_by(|(a, _), (b, _)| a.split('/').cmp(b.split('/')));
    for (path, (_, _, inode)) in &sorted {
        firsts.entry(*inode).or_insert_with(|| path.clone());
    }
    sorted
        .into_iter()
        .map(|(path, (kind, mode, inode))| (path, (kind, mode, firsts[&inode].clone())))
        .collect()
}

fn summary_of(listing: &Listing) -> BTreeMap<String, (char, u32, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let below_root = listing.iter().filter(|(path, _)| !path.is_empty());
    below_root
        .map(|(path, listed)| {
            (
                text(path),
                (listed.kind, u32::from(listed.mode), text(&listed.same_as)),
            )
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn layers_do_what_a_naive_model_does(
        mut layers in proptest::collection::vec(proptest::collection::vec(op(), 0..12), 1..5),
        may_have_links in any::<bool>(),
    ) {
        for layer in &mut layers {
            layer.retain(|op| may_have_links || !matches!(op, Op::Link(..) | Op::Symlink(_)));
        }
        let mut model = Model::new();
        let mut inodes = 0;
        let mut all = layers.iter().flatten();
        let has_links = all.any(|op| matches!(op, Op::Link(..) | Op::Symlink(_)));
        for layer in &mut layers {
            // Where a link could still be followed that is hidden later in the layer, the order of entries
            // matters. The specification asks for whiteouts first.
            if has_links {
                layer.sort_by_key(|op| !is_whiteout(op));
            }
            apply_model(&mut model, layer, &mut inodes);
        }
        let archives: Vec<Vec<u8>> = layers.iter().map(|layer| encode(layer)).collect();
        match build(&archives, 333, Limits::default()) {
            Ok((tree, mut spool)) => {
                let listing = listing(&tree, &mut spool);
                prop_assert_eq!(summary_of(&listing), summary(&model));
                let (bytes, hash) = image(&tree, &mut spool, 1000);
                prop_assert_eq!(&erofs_reader::read(&bytes), &listing);
                prop_assert_eq!(hash, image(&tree, &mut spool, 4097).1);
            }
            // A way may go through a file that is hidden only later in the layer.
            Err(error) => {
                let ordered = layers.iter().all(|layer| layer.is_sorted_by_key(|op| !is_whiteout(op)));
                prop_assert!(!ordered, "{}", error);
            }
        }
    }

    #[test]
    fn random_bytes_are_refused_or_read(
        bytes in proptest::collection::vec(any::<u8>(), 0..3000),
        magic in prop::sample::select(vec![&b""[..], b"\x1f\x8b\x08\0", b"\x28\xb5\x2f\xfd"]),
    ) {
        let bytes = [magic, &bytes].concat();
        let _ = build(std::slice::from_ref(&bytes), 100, Limits::default());
        let unpacker = Unpacker::archive(bytes.len() as u64, None, Limits::default(), MemorySpool::default());
        let _ = unpack_archive(&bytes, unpacker);
        let _ = Unpacker::manifest(&bytes, Limits::default(), MemorySpool::default());
    }

    #[test]
    fn a_layer_with_changed_bytes_is_refused_or_read(
        ops in proptest::collection::vec(op(), 1..8),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        mend in any::<bool>(),
    ) {
        let mut layer = encode(&ops);
        for (at, byte) in changes {
            let at = at.index(layer.len());
            layer[at] = byte;
            if mend {
                mend_header(&mut layer[at / 512 * 512..][..512]);
            }
        }
        if let Ok((tree, mut spool)) = build(&[layer], 512, Limits::default()) {
            let listing = listing(&tree, &mut spool);
            let (bytes, _) = image(&tree, &mut spool, 4096);
            prop_assert_eq!(erofs_reader::read(&bytes), listing);
        }
    }
}

/// Directories of all sizes around a block, contents around blocks, attributes of all sizes.
#[test]
fn trees_of_every_shape_come_back_from_their_image() {
    let mut builder = TarBuilder::default();
    for count in [0, 1, 14, 15, 100, 169, 170, 171, 3000] {
        for number in 0..count {
            let name = format!("{:>width$}", number, width = 1 + count % 250);
            builder.add(&Member::new(&format!("directory {count}/{name}"), b'0'));
        }
        builder.add(&Member::new(&format!("directory {count}"), b'5'));
    }
    let bytes: Vec<u8> = (0..100_000_u32).map(|i| (i % 253) as u8).collect();
    for size in [
        0, 1, 31, 4000, 4031, 4032, 4033, 4095, 4096, 4097, 8127, 8128, 8129, 100_000,
    ] {
        builder.add(&Member {
            content: &bytes[..size],
            ..Member::new(&format!("file {size}"), b'0')
        });
    }
    for size in [1, 60, 4000, 4031, 4032, 4095] {
        let target = "t".repeat(size);
        builder.add(&Member {
            target: target.as_bytes(),
            ..Member::new(&format!("link {size}"), b'2')
        });
    }
    for size in [0, 1, 3, 4000, 4020, 4096, 65_535] {
        let names = ["user.a", "trusted.b", "security.b", "user.b"];
        let record = |name: &str| {
            (
                format!("SCHILY.xattr.{name}").into_bytes(),
                vec![b'v'; size],
            )
        };
        builder.add(&Member {
            records: names[..1 + size / 7 % 4]
                .iter()
                .map(|name| record(name))
                .collect(),
            content: b"content",
            ..Member::new(&format!("attributes {size}"), b'0')
        });
    }
    for name in ["!before the dot", "..before", "\u{ff}", ".after", "-"] {
        builder.add(&Member::new(&format!("names/{name}"), b'0'));
    }
    let (tree, mut spool) = build(&[builder.finish()], 65_536, Limits::default()).unwrap();
    let listing = listing(&tree, &mut spool);
    let (bytes, hash) = image(&tree, &mut spool, 1 << 16);
    assert_eq!(erofs_reader::read(&bytes), listing);
    for piece_bytes in [1, 7, 4096, 10_000_000] {
        assert_eq!(image(&tree, &mut spool, piece_bytes).1, hash);
    }
    #[cfg(target_os = "linux")]
    if rustix::process::geteuid().is_root() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("image.erofs");
        std::fs::write(&file, &bytes).unwrap();
        if let Some(mount) = support::disk::Mount::new(&file, &folder.path().join("mounted")) {
            assert_eq!(support::disk::read(&mount.place), listing);
        }
    }
    // The format is ours to keep: an image is named by this hash. wasm32 has the same.
    assert_eq!(
        hash,
        "bbf111c68874a305b1319c405bc2ebff88175ec70cd8c4d2634475fae4575ca7"
    );
}

#[test]
fn the_same_tree_has_the_same_image_however_it_came_about() {
    let file = |path: &'static str| Member {
        content: b"content",
        ..Member::new(path, b'0')
    };
    let one = TarBuilder::default()
        .add(&file("a/x"))
        .add(&file("b"))
        .finish();
    let other = [
        TarBuilder::default()
            .add(&file("gone"))
            .add(&file("b"))
            .finish(),
        TarBuilder::default()
            .add(&Member::new(".wh.gone", b'0'))
            .add(&file("a/x"))
            .finish(),
    ];
    let (tree, mut spool) = build(&[one], 512, Limits::default()).unwrap();
    let (other_tree, mut other_spool) = build(&other, 512, Limits::default()).unwrap();
    assert_eq!(
        image(&tree, &mut spool, 512).1,
        image(&other_tree, &mut other_spool, 512).1
    );
}

#[test]
fn attributes_that_linux_does_not_have_are_left_out_of_images() {
    let records = vec![(b"SCHILY.xattr.com.apple.quarantine".to_vec(), b"x".to_vec())];
    let member = Member {
        records,
        ..Member::new("file", b'0')
    };
    let layer = TarBuilder::default().add(&member).finish();
    let (tree, mut spool) = build(&[layer], 512, Limits::default()).unwrap();
    let (bytes, _) = image(&tree, &mut spool, 512);
    assert!(erofs_reader::read(&bytes)[&b"file"[..]].xattrs.is_empty());
}
