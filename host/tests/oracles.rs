//! Images by umoci and skopeo, unpacked by umoci and by us; root images read by Linux and erofs-utils.
//!
//! Owners, devices and mounts need root, so for others there is nothing to compare.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![cfg(target_os = "linux")]

mod support;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use reprise_host::{Limits, MemorySpool, Unpacked, Unpacker};
use rustix::fs::{CWD, FileType, Mode, XattrFlags, lsetxattr, makedev, mknodat};
use support::layout::{drive, unpack_archive};
use support::tar_builder::{Member, TarBuilder};
use support::{Listing, disk, erofs_reader, image, listing};

/// Runs a program, which must succeed, for two minutes at the most.
fn run(program: &str, arguments: &[&OsStr]) {
    let output = Command::new("timeout")
        .arg("120")
        .arg(program)
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}

macro_rules! run {
    ($program:expr, $($argument:expr),*) => { run($program, &[$(OsStr::new(&$argument)),*]) };
}

fn can_compare() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("nothing compared: owners and devices need root");
    }
    is_root
}

/// A layout with an image in the making.
struct Recipe {
    folder: tempfile::TempDir,
}

impl Recipe {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn image(&self) -> PathBuf {
        self.path("layout:test")
    }

    fn rootfs(&self) -> PathBuf {
        self.path("bundle/rootfs")
    }

    /// Makes a layer of what was changed below the root file system.
    fn layer(&self, change: impl Fn(&Path)) {
        change(&self.rootfs());
        run!(
            "umoci",
            "repack",
            "--refresh-bundle",
            "--image",
            self.image(),
            self.path("bundle")
        );
    }

    fn raw_layer(&self, layer: &[u8]) {
        fs::write(self.path("layer.tar"), layer).unwrap();
        run!(
            "umoci",
            "raw",
            "add-layer",
            "--image",
            self.image(),
            self.path("layer.tar")
        );
    }
}

fn write(path: PathBuf, content: &[u8], mode: u32) {
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

fn node(path: PathBuf, kind: FileType, major: u32, minor: u32) {
    mknodat(
        CWD,
        &path,
        kind,
        Mode::from_raw_mode(0o640),
        makedev(major, minor),
    )
    .unwrap();
}

fn lower(root: &Path) {
    for folder in [
        "bin",
        "etc/deep/er",
        "opaque/sub",
        "other/sub",
        "dev",
        "names",
        "gone/with/all",
    ] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    write(root.join("bin/su"), &[1; 9000], 0o4755);
    chown(root.join("bin/su"), Some(0), Some(100_000)).unwrap();
    fs::set_permissions(root.join("bin/su"), fs::Permissions::from_mode(0o6755)).unwrap();
    fs::hard_link(root.join("bin/su"), root.join("bin/sudo")).unwrap();
    symlink("su", root.join("bin/link")).unwrap();
    lchown(root.join("bin/link"), Some(7), Some(8)).unwrap();
    symlink("bin", root.join("sbin")).unwrap();
    symlink(format!("{}x", "long/".repeat(100)), root.join("etc/long")).unwrap();
    write(root.join("etc/one"), b"one", 0o600);
    write(root.join("etc/two"), b"two", 0o644);
    fs::hard_link(root.join("etc/two"), root.join("etc/deep/two")).unwrap();
    write(root.join("names").join("n".repeat(255)), b"", 0o644);
    let long = root
        .join("etc/deep")
        .join("d".repeat(150))
        .join("e".repeat(150));
    fs::create_dir_all(&long).unwrap();
    write(long.join("f".repeat(150)), &[2; 4096], 0o400);
    write(
        root.join(OsStr::from_bytes(b"etc/n\xffot utf-8")),
        b"x",
        0o644,
    );
    for name in ["a", "b", "sub/c"] {
        write(root.join("opaque").join(name), name.as_bytes(), 0o644);
        write(root.join("other").join(name), name.as_bytes(), 0o644);
    }
    write(root.join("gone/with/all/file"), b"gone", 0o644);
    node(root.join("dev/null"), FileType::CharacterDevice, 1, 3);
    node(root.join("dev/big"), FileType::BlockDevice, 259, 70_000);
    node(root.join("dev/pipe"), FileType::Fifo, 0, 0);
    for (path, name, value) in [
        ("etc/one", "user.comment", &b"a\nb"[..]),
        ("etc", "user.of.directory", b""),
        (
            "bin/su",
            "security.capability",
            b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        ),
        ("bin/link", "trusted.of.link", b"x"),
        // rw for the owner, r for user 1000, the group and others.
        (
            "etc/two",
            "system.posix_acl_access",
            b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x04\0\xe8\x03\0\0\x04\0\x04\0\xff\xff\xff\xff\
              \x10\0\x04\0\xff\xff\xff\xff\x20\0\x04\0\xff\xff\xff\xff",
        ),
    ] {
        lsetxattr(root.join(path), name, value, XattrFlags::empty()).unwrap();
    }
    fs::set_permissions(root.join("etc/deep"), fs::Permissions::from_mode(0o1777)).unwrap();
}

fn upper(root: &Path) {
    fs::remove_dir_all(root.join("gone")).unwrap();
    fs::remove_file(root.join("etc/one")).unwrap();
    fs::remove_file(root.join("etc/deep/two")).unwrap();
    // A directory in place of a file, and a file in place of a directory.
    fs::create_dir(root.join("etc/one")).unwrap();
    write(root.join("etc/one/in"), b"in", 0o644);
    fs::remove_dir(root.join("etc/deep/er")).unwrap();
    write(root.join("etc/deep/er"), b"file", 0o644);
    fs::set_permissions(root.join("bin"), fs::Permissions::from_mode(0o711)).unwrap();
    write(root.join("bin/new"), &[3; 100_000], 0o755);
    lsetxattr(root.join("etc/two"), "user.new", b"v", XattrFlags::empty()).unwrap();
}

/// What umoci does not make by itself: times with fractions, links to lower layers, opaque directories, ways
/// through links.
fn by_hand() -> Vec<u8> {
    let mut builder = TarBuilder::default();
    let records = vec![
        (b"mtime".to_vec(), b"1600000000.123456789".to_vec()),
        (b"uid".to_vec(), b"4000000".to_vec()),
        (b"SCHILY.xattr.user.pax".to_vec(), b"pax".to_vec()),
    ];
    builder
        .add(&Member {
            mode: 0o750,
            ..Member::new("opaque", b'5')
        })
        .add(&Member::new("opaque/.wh..wh..opq", b'0'))
        .add(&Member {
            records,
            content: b"fraction",
            ..Member::new("opaque/fraction", b'0')
        })
        .add(&Member {
            target: b"bin/new",
            ..Member::new("etc/across", b'1')
        })
        .add(&Member {
            content: b"by a link",
            ..Member::new("sbin/by-link", b'0')
        })
        .add(&Member::new("etc/.wh.one-more", b'0'));
    builder.finish()
}

fn recipe() -> Recipe {
    let recipe = Recipe {
        folder: tempfile::tempdir().unwrap(),
    };
    run!("umoci", "init", "--layout", recipe.path("layout"));
    run!("umoci", "new", "--image", recipe.image());
    run!(
        "umoci",
        "unpack",
        "--image",
        recipe.image(),
        recipe.path("bundle")
    );
    recipe.layer(lower);
    recipe.layer(upper);
    recipe.raw_layer(&by_hand());
    fs::create_dir(recipe.path("inserted")).unwrap();
    write(recipe.path("inserted/file"), b"inserted", 0o640);
    run!(
        "umoci",
        "insert",
        "--opaque",
        "--image",
        recipe.image(),
        recipe.path("inserted"),
        "/other"
    );
    run!(
        "umoci",
        "config",
        "--image",
        recipe.image(),
        "--architecture",
        "riscv64",
        "--os",
        "linux",
        "--config.entrypoint",
        "/bin/new",
        "--config.cmd",
        "-v",
        "--config.env",
        "A=b",
        "--config.workingdir",
        "/etc",
        "--config.user",
        "7:8"
    );
    recipe
}

fn unpack_folder(folder: &Path) -> Unpacked<MemorySpool> {
    let unpacker = Unpacker::layout(None, Limits::default(), MemorySpool::default());
    let unpacked = drive(unpacker, |place| {
        fs::read(folder.join(place.layout_path().unwrap())).unwrap()
    });
    unpacked.unwrap_or_else(|error| panic!("{error}"))
}

/// Shows what differs and not both lists.
fn compare(what: &str, found: &Listing, expect: &Listing) {
    let paths: BTreeSet<&Vec<u8>> = found.keys().chain(expect.keys()).collect();
    let different = paths
        .into_iter()
        .filter(|&path| found.get(path) != expect.get(path));
    let report: Vec<String> = different
        .map(|path| {
            let show = |listing: &Listing| match listing.get(path) {
                Some(listed) => {
                    let mut listed = listed.clone();
                    listed.content.truncate(40);
                    format!("{listed:?}")
                }
                None => "nothing".to_owned(),
            };
            format!(
                "{}\n  found  {}\n  expect {}",
                String::from_utf8_lossy(path),
                show(found),
                show(expect)
            )
        })
        .collect();
    assert!(report.is_empty(), "{what}\n{}", report.join("\n"));
}

#[test]
fn trees_are_those_of_umoci_and_images_are_those_trees() {
    if !can_compare() {
        return;
    }
    let recipe = recipe();
    let Unpacked {
        tree,
        mut spool,
        config,
    } = unpack_folder(&recipe.path("layout"));
    let ours = listing(&tree, &mut spool);

    run!(
        "umoci",
        "raw",
        "unpack",
        "--image",
        recipe.image(),
        recipe.path("umoci")
    );
    let umoci = disk::read(&recipe.path("umoci"));
    compare("our tree and umoci's", &ours, &umoci);
    for path in [
        "bin/sudo",
        "etc/across",
        "opaque/fraction",
        "other/file",
        "dev/big",
        "etc/deep/er",
    ] {
        assert!(umoci.contains_key(path.as_bytes()), "{path}");
    }
    for path in ["opaque/a", "other/a", "gone", "etc/deep/two"] {
        assert!(!umoci.contains_key(path.as_bytes()), "{path}");
    }
    for (path, name) in [
        ("bin/su", "security.capability"),
        ("bin/link", "trusted.of.link"),
        ("etc/two", "system.posix_acl_access"),
    ] {
        let xattrs = &umoci[path.as_bytes()].xattrs;
        assert!(xattrs.contains_key(name.as_bytes()), "{path} {name}");
    }
    assert_eq!(config.entrypoint, ["/bin/new"]);
    assert_eq!(config.cmd, ["-v"]);
    assert!(config.env.contains(&"A=b".to_owned()));
    assert_eq!(
        (config.working_dir.as_str(), config.user.as_str()),
        ("/etc", "7:8")
    );

    // The reader that the tests trust is right about images of other tools.
    let made = recipe.path("mkfs.erofs");
    // Version 1.5 fails on names of 255 bytes.
    fs::remove_dir_all(recipe.path("umoci/names")).unwrap();
    run!(
        "mkfs.erofs",
        "-x",
        "1",
        "-E",
        "force-inode-extended",
        made,
        recipe.path("umoci")
    );
    compare(
        "our reader on an image by mkfs.erofs",
        &erofs_reader::read(&fs::read(made).unwrap()),
        &disk::read(&recipe.path("umoci")),
    );

    let (bytes, _) = image(&tree, &mut spool, 1 << 16);
    compare(
        "our reader on our image",
        &erofs_reader::read(&bytes),
        &ours,
    );
    let file = recipe.path("image.erofs");
    fs::write(&file, &bytes).unwrap();
    let extract = format!("--extract={}", recipe.path("extracted").display());
    run!("fsck.erofs", extract, "--preserve", file);
    let mut extracted = disk::read(&recipe.path("extracted"));
    // fsck.erofs copies hard links, restores neither attributes nor fractions of times, and loses setuid by
    // its chown.
    let mut plain = ours.clone();
    for (path, listed) in plain.iter_mut().chain(&mut extracted) {
        listed.xattrs.clear();
        listed.mtime.1 = 0;
        if listed.kind != 'd' {
            listed.mode &= 0o777;
            listed.links = 1;
            listed.same_as.clone_from(path);
        }
    }
    compare("what fsck.erofs extracts", &extracted, &plain);
    if let Some(mount) = disk::Mount::new(&file, &recipe.path("mounted")) {
        compare(
            "what Linux sees in our image",
            &disk::read(&mount.place),
            &ours,
        );
    }
}

#[test]
fn what_skopeo_makes_of_an_image_is_the_same_tree() {
    if !can_compare() {
        return;
    }
    let recipe = recipe();
    let Unpacked {
        tree,
        mut spool,
        config,
    } = unpack_folder(&recipe.path("layout"));
    let ours = listing(&tree, &mut spool);
    let (_, hash) = image(&tree, &mut spool, 1 << 16);
    let source = format!("oci:{}", recipe.image().display());

    let archive = recipe.path("archive.tar");
    let destination = format!("docker-archive:{}:app:1", archive.display());
    run!("skopeo", "copy", "--quiet", source, destination);
    let bytes = fs::read(archive).unwrap();
    let unpacker = Unpacker::archive(
        bytes.len() as u64,
        Some("app:1".to_owned()),
        Limits::default(),
        MemorySpool::default(),
    );
    let mut saved = unpack_archive(&bytes, unpacker).unwrap_or_else(|error| panic!("{error}"));
    compare(
        "the tree out of a docker archive",
        &listing(&saved.tree, &mut saved.spool),
        &ours,
    );
    assert_eq!(image(&saved.tree, &mut saved.spool, 5000).1, hash);
    assert_eq!(saved.config, config);

    let destination = format!("oci:{}:test", recipe.path("zstd").display());
    run!(
        "skopeo",
        "copy",
        "--quiet",
        "--dest-compress-format",
        "zstd",
        "--dest-compress",
        source,
        destination
    );
    let mut packed = unpack_folder(&recipe.path("zstd"));
    assert_eq!(image(&packed.tree, &mut packed.spool, 5000).1, hash);

    let archive = recipe.path("oci.tar");
    run!(
        "skopeo",
        "copy",
        "--quiet",
        source,
        format!("oci-archive:{}:test", archive.display())
    );
    let bytes = fs::read(archive).unwrap();
    let unpacker = Unpacker::archive(
        bytes.len() as u64,
        None,
        Limits::default(),
        MemorySpool::default(),
    );
    let mut saved = unpack_archive(&bytes, unpacker).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(image(&saved.tree, &mut saved.spool, 5000).1, hash);
}
