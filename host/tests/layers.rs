//! What entries of layers do to a tree, and which are refused.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use reprise_host::{EntryFault, ImageError, LayerFault, Limits};
use support::tar_builder::{Member, TarBuilder};
use support::{Listing, build, listing};

/// A layer in short: `d a/b`, `f a/b content`, `l link target`, `h hardlink target`, `p fifo`, `c device`; a
/// mode after the kind as `d700`.
fn layer(entries: &[&str]) -> Vec<u8> {
    let mut builder = TarBuilder::default();
    for entry in entries {
        let mut words = entry.splitn(3, ' ');
        let kind = words.next().unwrap();
        let path = words.next().unwrap();
        let rest = words.next().unwrap_or_default().as_bytes();
        let (typeflag, default_mode) = match kind.as_bytes()[0] {
            b'd' => (b'5', 0o755),
            b'f' => (b'0', 0o644),
            b'l' => (b'2', 0o777),
            b'h' => (b'1', 0o644),
            b'p' => (b'6', 0o600),
            b'c' => (b'3', 0o600),
            _ => panic!("{entry}"),
        };
        let mode = u32::from_str_radix(&kind[1..], 8).unwrap_or(default_mode);
        let is_file = typeflag == b'0';
        builder.add(&Member {
            mode,
            content: if is_file { rest } else { b"" },
            target: if is_file { b"" } else { rest },
            ..Member::new(path, typeflag)
        });
    }
    builder.finish()
}

fn apply(layers: &[&[&str]]) -> Result<Listing, ImageError> {
    let layers: Vec<Vec<u8>> = layers.iter().map(|entries| layer(entries)).collect();
    let (tree, mut spool) = build(&layers, 700, Limits::default())?;
    Ok(listing(&tree, &mut spool))
}

/// Paths with kind and mode, and content or target; `=PATH` for a further name of an inode.
fn check(layers: &[&[&str]], expect: &str) {
    let listing = apply(layers).unwrap_or_else(|error| panic!("{layers:?}: {error}"));
    let mut lines = Vec::new();
    for (path, listed) in &listing {
        let mut line = format!(
            "{}{:o} {}",
            listed.kind,
            listed.mode,
            String::from_utf8_lossy(path)
        );
        if listed.same_as != *path {
            line += &format!(" ={}", String::from_utf8_lossy(&listed.same_as));
        } else if !listed.content.is_empty() && !matches!(listed.kind, 'c' | 'b') {
            line += &format!(" {}", String::from_utf8_lossy(&listed.content));
        }
        lines.push(line.trim_end().to_owned());
    }
    assert_eq!(lines[1..].join("\n"), expect, "{layers:?}");
}

#[test]
fn layers_stand_one_on_the_other() {
    let lower: &[&str] = &[
        "d a",
        "f a/x one",
        "f a/y two",
        "d700 a/sub",
        "f a/sub/z three",
    ];
    check(
        &[lower],
        "d755 a\nd700 a/sub\n-644 a/sub/z three\n-644 a/x one\n-644 a/y two",
    );
    // A directory's entry changes the directory alone, a file's replaces the file.
    check(
        &[lower, &["d711 a", "f600 a/x new"]],
        "d711 a\nd700 a/sub\n-644 a/sub/z three\n-600 a/x new\n-644 a/y two",
    );
    // A file in place of a directory and the other way round.
    check(
        &[lower, &["f a/sub now", "d a/x", "f a/x/in 1"]],
        "d755 a\n-644 a/sub now\nd755 a/x\n-644 a/x/in 1\n-644 a/y two",
    );
    // Directories on the way are made, setuid stays, paths may have dots.
    check(
        &[&["f4755 ./q//r/./s x", "p q/pipe", "c q/null"]],
        "d755 q\nc600 q/null\np600 q/pipe\nd755 q/r\n-4755 q/r/s x",
    );
    check(&[&["d700 ./"]], "");
    assert_eq!(apply(&[&["d700 ./"]]).unwrap()[&b""[..]].mode, 0o700);
}

#[test]
fn whiteouts_hide_what_is_below_and_not_what_is_beside() {
    let lower: &[&str] = &[
        "d a",
        "f a/x one",
        "f a/y two",
        "d700 a/sub",
        "f a/sub/z three",
    ];
    check(
        &[lower, &["f a/.wh.x"]],
        "d755 a\nd700 a/sub\n-644 a/sub/z three\n-644 a/y two",
    );
    check(&[lower, &["f .wh.a"]], "");
    check(
        &[lower, &["f a/.wh.nothing", "f no/.wh.way", "f a/x/.wh.n"]],
        "d755 a\nd700 a/sub\n-644 a/sub/z three\n-644 a/x one\n-644 a/y two",
    );
    let opaque = "d755 a\n-644 a/new n";
    check(&[lower, &["d a", "f a/.wh..wh..opq", "f a/new n"]], opaque);
    check(&[lower, &["d a", "f a/new n", "f a/.wh..wh..opq"]], opaque);
    // Below an opaque directory lower files of a directory that the layer has are hidden as well.
    check(
        &[lower, &["f a/sub/own o", "f a/.wh..wh..opq"]],
        "d755 a\nd755 a/sub\n-644 a/sub/own o",
    );
    // Both orders of a whiteout and a new file of that name.
    for entries in [["f a/.wh.x", "f a/x new"], ["f a/x new", "f a/.wh.x"]] {
        check(&[&["f a/x old"], &entries], "d755 a\n-644 a/x new");
    }
    for entries in [["f .wh.a", "f a/x new"], ["f a/x new", "f .wh.a"]] {
        check(
            &[&["d700 a", "f a/y old"], &entries],
            "d755 a\n-644 a/x new",
        );
    }
    // A later layer hides what an earlier one made.
    check(
        &[lower, &["f a/x 2", "f a/w 3"], &["f a/.wh..wh..opq"]],
        "d755 a",
    );
    // Leftovers of AUFS mean nothing.
    check(
        &[&[
            "f .wh..wh.aufs",
            "d .wh..wh.plnk",
            "f .wh..wh.plnk/1.2 x",
            "f a 1",
        ]],
        "-644 a 1",
    );
}

#[test]
fn hard_links_are_one_inode_across_layers() {
    let lower: &[&str] = &["f4755 a one", "h b a", "l s a"];
    check(&[lower], "-4755 a one\n-4755 b =a\nl777 s a");
    check(
        &[lower, &["h d/c b", "f .wh.a"]],
        "-4755 b one\nd755 d\n-4755 d/c =b\nl777 s a",
    );
    // Replacing one name leaves the others.
    check(&[lower, &["f a two"]], "-644 a two\n-4755 b one\nl777 s a");
    // A link to a symbolic link is one more name of the link; a slash in front means the root.
    check(
        &[lower, &["h t /s", "h a a"]],
        "-4755 a one\n-4755 b =a\nl777 s a\nl777 t =s",
    );
    let links = apply(&[lower, &["h c a"]]).unwrap();
    assert_eq!(links[&b"c"[..]].links, 3);
}

#[test]
fn links_on_the_way_lead_nowhere_outside() {
    // Relative, absolute, and far too far up: all stay inside the root.
    for target in [
        "real",
        "/real",
        "../../../real",
        "/../real/.",
        "nest/../real",
    ] {
        let link = format!("l way {target}");
        let lower: &[&str] = &["d700 real", "d nest", &link];
        check(
            &[lower, &["f way/x 1"]],
            &format!("d755 nest\nd700 real\n-644 real/x 1\nl777 way {target}"),
        );
        check(
            &[lower, &["f real/x 1"], &["f way/.wh.x", "h y way/../nest"]][..2],
            &format!("d755 nest\nd700 real\n-644 real/x 1\nl777 way {target}"),
        );
    }
    // What a link leads to is made if it is not there.
    check(
        &[&["l way /some/where"], &["f way/x 1"]],
        "d755 some\nd755 some/where\n-644 some/where/x 1\nl777 way /some/where",
    );
    // The last component is never followed.
    check(&[&["l way /etc/passwd"], &["f way x"]], "-644 way x");
    check(
        &[&["d real", "f real/x 1", "l way real"], &["d700 way"]],
        "d755 real\n-644 real/x 1\nd700 way",
    );
    check(
        &[&["d real", "f real/x 1", "l way real"], &["f way/.wh.x"]],
        "d755 real\nl777 way real",
    );
    check(
        &[&["d real", "f real/x 1", "l way real", "h y way/x"]],
        "d755 real\n-644 real/x 1\nl777 way real\n-644 y =real/x",
    );
}

#[test]
fn hostile_entries_are_refused_by_name() {
    let refused = |layers: &[&[&str]], expect: EntryFault| {
        let outcome = apply(layers);
        let Err(ImageError::Layer {
            layer,
            fault: LayerFault::Entry { fault, path },
        }) = outcome
        else {
            panic!("{layers:?}: {outcome:?}");
        };
        assert_eq!(fault, expect, "{path}");
        assert_eq!(layer, layers.len());
    };
    refused(&[&["f /etc/passwd x"]], EntryFault::Absolute);
    refused(&[&["f ../x x"]], EntryFault::DotDot);
    refused(&[&["d a/../../b"]], EntryFault::DotDot);
    refused(&[&["f .wh..."]], EntryFault::Whiteout);
    refused(&[&["f a/.wh."]], EntryFault::Whiteout);
    refused(&[&["f ."]], EntryFault::Root);
    refused(&[&["l ./ x"]], EntryFault::Root);
    refused(&[&["f a x", "f a/b y"]], EntryFault::ThroughFile);
    refused(&[&["l a b", "l b a"], &["f a/x 1"]], EntryFault::Links);
    refused(&[&["h a nothing"]], EntryFault::LinkTarget);
    refused(&[&["h a ../../etc/shadow"]], EntryFault::DotDot);
    refused(&[&["d b", "h a b"]], EntryFault::LinkToDirectory);
    refused(&[&["h a /"]], EntryFault::LinkToDirectory);
    refused(&[&["l a"]], EntryFault::EmptyTarget);
    refused(
        &[&[&format!("f {} x", "n".repeat(256))]],
        EntryFault::LongName,
    );
    refused(
        &[&[&format!("f {}/x x", "n".repeat(256))]],
        EntryFault::LongName,
    );
    refused(&[&[&format!("f {} x", "n/".repeat(300))]], EntryFault::Deep);
    refused(
        &[&[&format!("f {} x", "n/".repeat(2048))]],
        EntryFault::LongPath,
    );
    refused(
        &[&[&format!("l a {}", "n".repeat(4096))]],
        EntryFault::LongPath,
    );
    // Deep by links alone.
    let way = "d/".repeat(200);
    refused(
        &[
            &[&format!("l a {way}"), &format!("l {way}b {way}")],
            &[&format!("f a/b/{way}x x")],
        ],
        EntryFault::Deep,
    );
    let error = apply(&[&["d a"], &["f ../\u{1b}[31m x"]])
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "layer 2 of the image has the entry `../\\u{1b}[31m`, which has a path with `..`"
    );
}

#[test]
fn devices_and_attributes_out_of_range_are_refused() {
    let one = |member: Member<'_>| {
        build(
            &[TarBuilder::default().add(&member).finish()],
            512,
            Limits::default(),
        )
    };
    let device = |device| {
        one(Member {
            device,
            ..Member::new("dev", b'4')
        })
    };
    assert!(device((0xfff, 0x1fffff & 0o7777777)).is_err());
    assert!(device((0x1000, 0)).is_err());
    assert!(device((0xfff, 0xfffff)).is_ok());
    let xattr = |name: &str, bytes| {
        let record = (format!("SCHILY.xattr.{name}").into_bytes(), vec![1; bytes]);
        one(Member {
            records: vec![record],
            ..Member::new("file", b'0')
        })
    };
    assert!(xattr("user.a", 65_535).is_ok());
    assert!(xattr("user.a", 65_536).is_err());
    assert!(xattr(&"n".repeat(256), 1).is_err());
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    let limits = Limits {
        entries_max: 100,
        metadata_bytes_max: 5000,
        content_bytes_max: 50_000,
        ratio_free_bytes: 20_000,
        layers_max: 3,
        ..Limits::default()
    };
    let refused = |layers: &[Vec<u8>], reason: &str| {
        let outcome = build(layers, 512, limits.clone()).map(|_| ());
        let said = outcome.unwrap_err().to_string();
        assert!(said.contains(reason), "{said}");
    };
    let many: Vec<String> = (0..101).map(|i| format!("d {i}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(build(&[layer(&many[..100])], 512, limits.clone()).is_ok());
    refused(&[layer(&many)], "more than 100 entries");
    refused(
        &[layer(&[&format!("f {} x", "d/".repeat(101))])],
        "more than 100 entries",
    );
    let name = format!("f {} x", "n".repeat(250));
    refused(&[layer(&[&name[..]; 21])], "5000 bytes of names");
    let content = format!("f a {}", "c".repeat(25_000));
    refused(
        &[layer(&[&content[..]; 2]), layer(&["f b x"])],
        "50000 bytes of files",
    );
    refused(&vec![layer(&[]); 4], "more than 3 layers");
    let zeros = layer(&[&format!("f zeros {}", "\0".repeat(40_000))]);
    assert!(build(std::slice::from_ref(&zeros), 512, limits.clone()).is_ok());
    let bomb = zstd::bulk::compress(&vec![0; 1_000_000], 19).unwrap();
    refused(&[bomb], "is a bomb");
}
