//! The userland: Debian's busybox source, cross-compiled to one static program.

use std::path::Path;
use std::process::Command;

use super::key::Key;
use super::lock::{LockFile, Section};
use super::sources::{self, PrivateApt};
use super::{Recipe, kconfig};
use crate::progress::Progress;
use crate::{Result, cache, files, process};

const PACKAGE: &str = "busybox";
/// Roughly how many lines the build prints, for the progress bar.
const BUILD_LINES: u64 = 1_600;
const MAKE_VARIABLES: &[&str] = &["ARCH=riscv", "CROSS_COMPILE=riscv64-linux-gnu-"];

/// The key of the built userland.
pub(super) fn key(recipe: &Recipe) -> Result<String> {
    let mut key = Key::new("busybox 1");
    key.folder(&recipe.folder.join("busybox"))?;
    key.section("lock", recipe.lock.section("busybox"));
    key.section("tools", &recipe.tools);
    key.text("make", &MAKE_VARIABLES.join("\n"));
    Ok(key.finish())
}

/// Builds `busybox`, `busybox.links` (the path of each of its commands, one a line) and `origin.toml` in `folder`.
pub(super) fn build(recipe: &Recipe, folder: &Path) -> Result<()> {
    let log = cache::log("busybox")?;
    files::write(&log, "")?;
    let locked = recipe.lock.section("busybox");
    let wanted = locked.get("version").map_or("", String::as_str);
    let package = folder.join("package");
    files::make_folder(&package)?;
    let fetched = PrivateApt::new(&package, &log)?.source_package(
        PACKAGE,
        wanted,
        &package.join("source"),
    )?;
    let mut origin = sources::sha256(&fetched.files)?;
    if fetched.version == wanted {
        sources::check(&origin, locked)?;
    }
    origin.insert("version".to_owned(), fetched.version);

    let mut progress = Progress::start("building busybox", BUILD_LINES);
    let source = folder.join("source");
    // The hashes were just compared with the lock file, and apt has checked the mirror's signature.
    let mut unpack = Command::new("dpkg-source");
    unpack
        .args(["--no-check", "--extract"])
        .arg(sources::description(&fetched.files)?)
        .arg(&source);
    process::run_logged(&mut unpack, &log, &mut progress, |_| 0)?;
    let mut make = |targets: &[&str]| {
        let mut command = super::hermetic("make");
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        command
            .current_dir(&source)
            .arg(format!("--jobs={jobs}"))
            .args(MAKE_VARIABLES)
            .args(targets);
        process::run_logged(&mut command, &log, &mut progress, |line| {
            u64::from(line.starts_with("  "))
        })
    };
    make(&["defconfig"])?;
    let wishes = kconfig::read_fragments(&recipe.folder.join("busybox"))?;
    let configuration = source.join(".config");
    files::write(
        &configuration,
        kconfig::lay_over(&files::read_text(&configuration)?, &wishes),
    )?;
    // With nothing to read from, this takes the default for each symbol that the fragment has opened up.
    make(&["oldconfig"])?;
    kconfig::check(&configuration, &wishes)?;
    make(&["busybox", "busybox.links"])?;
    progress.finish();

    for file in ["busybox", "busybox.links"] {
        files::move_file(&source.join(file), &folder.join(file))?;
    }
    let mut note = LockFile::default();
    note.insert(PACKAGE, origin);
    files::write(&folder.join("origin.toml"), note.to_text())?;
    files::remove_folder(&source)?;
    files::remove_folder(&package)
}

/// The lock file's section for the newest version.
pub(super) fn newest(apt: &PrivateApt) -> Result<Section> {
    apt.newest_source(PACKAGE)
}
