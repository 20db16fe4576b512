//! The kernel: Debian's linux-source, cross-compiled from `tinyconfig` and the fragments in `guest/kernel/`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::key::Key;
use super::lock::{LockFile, Section};
use super::sources::{self, PrivateApt};
use super::{Recipe, kconfig};
use crate::progress::Progress;
use crate::{Failure, Result, cache, files, process, setup};

/// The package whose tarball is built.
const PACKAGE: &str = "linux-source-6.12";
/// Where the source's paths seem to be, in messages and in debug information.
const SOURCE_PATH: &str = "/usr/src/linux";
/// Roughly how many lines the build prints, for the progress bar.
const BUILD_LINES: u64 = 1_700;

/// What `make` is told, besides the paths. `KBUILD_BUILD_TIMESTAMP` also keeps pahole from encoding BTF in parallel,
/// which would order the types by chance.
const MAKE_VARIABLES: &[&str] = &[
    "ARCH=riscv",
    "CROSS_COMPILE=riscv64-linux-gnu-",
    "KBUILD_BUILD_TIMESTAMP=Thu Jan  1 00:00:00 UTC 2026",
    "KBUILD_BUILD_USER=reprise",
    "KBUILD_BUILD_HOST=reprise",
    "KBUILD_BUILD_VERSION=1",
];

/// Other architectures, and drivers of which this kernel has none: two thirds of the files, which nobody needs to
/// unpack. Their Kconfig files and makefiles stay, since `make` reads them all.
const UNUSED_SOURCES: &[&str] = &[
    "arch/[!r]*/*.[chS]",
    "arch/*/boot/dts/*.dts*",
    "drivers/accel/*.[ch]",
    "drivers/gpu/*.[ch]",
    "drivers/infiniband/*.[ch]",
    "drivers/media/*.[ch]",
    "drivers/net/ethernet/*.[ch]",
    "drivers/net/wireless/*.[ch]",
    "drivers/scsi/*.[ch]",
    "drivers/staging/*.[ch]",
    "Documentation/*/*",
    "sound/*.[ch]",
    "tools/perf/*",
    "tools/testing/*",
];

/// The key of the built kernel.
pub(super) fn key(recipe: &Recipe) -> Result<String> {
    let mut key = Key::new("kernel 1");
    key.folder(&recipe.folder.join("kernel"))?;
    key.section("lock", recipe.lock.section("kernel"));
    key.section("tools", &recipe.tools);
    key.text("make", &MAKE_VARIABLES.join("\n"));
    Ok(key.finish())
}

/// Builds `Image`, `vmlinux`, the final `kernel.config` and `origin.toml` in `folder`.
pub(super) fn build(recipe: &Recipe, folder: &Path) -> Result<()> {
    let log = cache::log("kernel")?;
    files::write(&log, "")?;
    let locked = recipe.lock.section("kernel");
    let wanted = locked.get("version").map_or("", String::as_str);
    let package = folder.join("package");
    files::make_folder(&package)?;
    let tarball = fetch(wanted, &package, || PrivateApt::new(&package, &log))?;
    if tarball.version == wanted {
        sources::check(&tarball.sha256, locked)?;
    }

    let mut progress = Progress::start("unpacking the kernel's source", 0);
    let source = folder.join("source");
    files::make_folder(&source)?;
    let mut unpack = Command::new("tar");
    unpack
        .arg("--extract")
        .arg("--file")
        .arg(&tarball.path)
        .arg("--strip-components=1")
        .arg("--directory")
        .arg(&source);
    unpack.args(
        UNUSED_SOURCES
            .iter()
            .map(|pattern| format!("--exclude={PACKAGE}/{pattern}")),
    );
    process::run_logged(&mut unpack, &log, &mut progress, |_| 0)?;
    progress.finish();

    let mut progress = Progress::start("building the kernel", BUILD_LINES);
    let mut make = |targets: &[&str]| {
        let mut command = super::hermetic("make");
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let map = format!("-ffile-prefix-map={}={SOURCE_PATH}", source.display());
        command
            .current_dir(&source)
            .arg(format!("--jobs={jobs}"))
            .args(MAKE_VARIABLES);
        command
            .arg(format!("KCFLAGS={map}"))
            .arg(format!("KAFLAGS={map}"))
            .args(targets);
        process::run_logged(&mut command, &log, &mut progress, |line| {
            u64::from(line.starts_with("  "))
        })
    };
    make(&["tinyconfig"])?;
    let wishes = kconfig::read_fragments(&recipe.folder.join("kernel"))?;
    let configuration = source.join(".config");
    files::write(
        &configuration,
        kconfig::lay_over(&files::read_text(&configuration)?, &wishes),
    )?;
    make(&["olddefconfig"])?;
    kconfig::check(&configuration, &wishes)?;
    make(&["Image"])?;
    progress.finish();

    files::move_file(&source.join("arch/riscv/boot/Image"), &folder.join("Image"))?;
    files::move_file(&source.join("vmlinux"), &folder.join("vmlinux"))?;
    files::move_file(&configuration, &folder.join("kernel.config"))?;
    let mut note = LockFile::default();
    note.insert(PACKAGE, tarball.origin());
    files::write(&folder.join("origin.toml"), note.to_text())?;
    files::remove_folder(&source)?;
    files::remove_folder(&package)
}

/// The source's tarball and what it is.
struct Tarball {
    path: PathBuf,
    version: String,
    /// The SHA-256, by the file's name.
    sha256: Section,
}

/// Finds the source's tarball: the installed package's, when that is the wanted version, else a download that is
/// unpacked below `folder` and not installed.
fn fetch(wanted: &str, folder: &Path, apt: impl FnOnce() -> Result<PrivateApt>) -> Result<Tarball> {
    let name = format!("{PACKAGE}.tar.xz");
    let installed = Path::new("/usr/src").join(&name);
    let is_installed = setup::installed_versions(&[PACKAGE])
        .get(PACKAGE)
        .is_some_and(|version| version == wanted);
    let (path, version) = if is_installed && installed.is_file() {
        (installed, wanted.to_owned())
    } else {
        let fetched = apt()?.binary_package(PACKAGE, wanted, &folder.join("deb"))?;
        let deb = fetched
            .files
            .first()
            .ok_or_else(|| Failure::new(format!("no file came for {PACKAGE}")))?;
        process::output(
            Command::new("dpkg-deb")
                .arg("--extract")
                .arg(deb)
                .arg(folder.join("files")),
        )?;
        (folder.join("files/usr/src").join(&name), fetched.version)
    };
    let sha256 = sources::sha256(std::slice::from_ref(&path))?;
    Ok(Tarball {
        path,
        version,
        sha256,
    })
}

/// The lock file's section for the newest version.
pub(super) fn newest(apt: PrivateApt, folder: &Path) -> Result<Section> {
    let version = apt.newest_version(PACKAGE)?;
    // The mirror's index has the package's hash and not that of the tarball inside, so it takes the package itself.
    let tarball = fetch(&version, folder, || Ok(apt))?;
    Ok(tarball.origin())
}

impl Tarball {
    /// As a section of a lock file.
    fn origin(self) -> Section {
        let mut section = self.sha256;
        section.insert("version".to_owned(), self.version);
        section
    }
}
