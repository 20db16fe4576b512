//! `cargo xtask guest`: builds the default guest from the recipe in `guest/`.
//!
//! In the cache, below `guest/`:
//!
//! ```text
//! current                     the name of the folder of the newest guest, as text
//! <recipe hash>/              Image, vmlinux (with DWARF and BTF), initrd, manifest.json
//! parts/kernel-<key>/         the kernel, built from its own part of the recipe
//! parts/busybox-<key>/        the userland, likewise
//! tmp/                        what is being built
//! lock                        held by the run that builds
//! ```
//!
//! | module | purpose |
//! | --- | --- |
//! | [`lock`] | `guest/lock.toml`: which versions go in |
//! | [`sources`] | fetching them through the machine's own apt configuration |
//! | [`key`] | hashes that name a part by everything that decides its bytes |
//! | [`kconfig`] | configuration fragments, and the check that they took effect |
//! | [`kernel`], [`busybox`], [`programs`] | the parts |
//! | [`initrd`], [`cpio`] | the initial file system and its archive format |
//! | [`manifest`] | what went in, for people and for the binary |

mod busybox;
mod cpio;
mod initrd;
mod kconfig;
mod kernel;
pub(crate) mod key;
mod lock;
mod manifest;
mod programs;
pub(crate) mod sources;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::{self, Lock, Workspace};
use crate::{Failure, Result, files, setup};

const USAGE: &str = "\
Usage: cargo xtask guest [OPTIONS]

Builds the default guest (a Linux kernel, its symbols, an initial file system) from the recipe in guest/ into the
user's cache, and prints its folder. Nothing happens when it is there already. The cache folder is $REPRISE_CACHE,
else $XDG_CACHE_HOME/reprise, else ~/.cache/reprise.

The first build takes about seven minutes on two cores; a change of init or of a demo program takes seconds.

Options:
  --check-reproducible   Build the initrd a second time in another folder and compare the bytes
  --kernel               With --check-reproducible: the kernel as well (as slow as the first build)
  --update-lock          Rewrite guest/lock.toml to the newest versions, then build
  -h, --help             Print this help
";

/// The name that manifests and traces give this guest.
const NAME: &str = "default";

/// The kernel's command line: few messages, those and the shell on the virtio console, and a panic that resets the
/// machine at once, so that the host sees it.
pub(crate) const COMMAND_LINE: &str = "console=hvc0 quiet panic=-1";

/// The time that goes wherever a build would put its own: 2026-01-01 00:00:00 UTC.
pub(crate) const SOURCE_DATE_EPOCH: u32 = 1_767_225_600;

/// Versions of the packages that decide the bytes of what is compiled.
const TOOL_PACKAGES: &[&str] = &[
    "binutils-riscv64-linux-gnu",
    "gcc-12-riscv64-linux-gnu",
    "libc6-dev-riscv64-cross",
    "linux-libc-dev-riscv64-cross",
    "pahole",
];

/// What every part of the build needs to know.
struct Recipe {
    /// The checkout's `guest/`.
    folder: PathBuf,
    /// The cache's `guest/`.
    cache: PathBuf,
    lock: lock::LockFile,
    /// Installed versions of [`TOOL_PACKAGES`], by package name.
    tools: lock::Section,
    /// The Rust compiler, as it describes itself.
    rustc: String,
}

/// `cargo xtask guest`.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    let (mut check, mut kernel, mut update) = (false, false, false);
    for argument in arguments {
        match argument.as_str() {
            "--check-reproducible" => check = true,
            "--kernel" => kernel = true,
            "--update-lock" => update = true,
            "--help" | "-h" => {
                print!("{USAGE}");
                return Ok(());
            }
            other => {
                return Err(Failure::usage(format!(
                    "`guest` knows no `{other}`\n\n{USAGE}"
                )));
            }
        }
    }
    if kernel && !check {
        return Err(Failure::usage("--kernel goes with --check-reproducible"));
    }
    if update {
        update_lock()?;
    }
    let built = build()?;
    if check {
        check_reproducible(&built, kernel)?;
    }
    println!("{}", built.folder.display());
    Ok(())
}

/// A guest in the cache.
pub(crate) struct Guest {
    /// Holds `Image`, `vmlinux`, `initrd` and `manifest.json`.
    pub(crate) folder: PathBuf,
}

/// Builds the default guest unless the cache has it, and makes it the current one.
pub(crate) fn build() -> Result<Guest> {
    setup::packages(setup::GUEST_PACKAGES)?;
    setup::rust_targets(&[setup::GUEST_TARGET])?;
    let recipe = Recipe::load()?;
    let mut name = recipe.key()?;
    let mut folder = recipe.cache.join(&name);
    if !is_built(&folder) {
        let _lock = Lock::acquire(&recipe.cache)?;
        // What killed runs have left is in the way of nobody but the disk.
        cache::remove_stale(&recipe.cache);
        // Another run may have built it while this one waited.
        while !is_built(&folder) {
            let guest = recipe.build(&name)?;
            let key = recipe.key()?;
            if key == name {
                guest.publish(&folder)?;
            } else {
                eprintln!(
                    "the recipe was changed while it was being followed; building what has changed again"
                );
                name = key;
                folder = recipe.cache.join(&name);
            }
        }
    }
    files::write_atomically(&recipe.cache.join("current"), format!("{name}\n"))?;
    Ok(Guest { folder })
}

/// Whether a guest is in the cache; its manifest is there when everything is.
fn is_built(folder: &Path) -> bool {
    folder.join("manifest.json").is_file()
}

impl Recipe {
    fn load() -> Result<Self> {
        let folder = crate::checkout().join("guest");
        let lock = lock::LockFile::read(&folder.join("lock.toml"))?;
        let tools = setup::installed_versions(TOOL_PACKAGES);
        for (package, pinned) in lock.section("tools") {
            match tools.get(package) {
                Some(version) if version == pinned => {}
                Some(version) => {
                    eprintln!(
                        "note: {package} is {version} here and {pinned} in guest/lock.toml; the guest will differ"
                    );
                }
                None => {
                    eprintln!("note: {package} is not installed; guest/lock.toml names {pinned}")
                }
            }
        }
        let mut rustc = Command::new("rustc");
        rustc
            .arg("--verbose")
            .arg("--version")
            .current_dir(crate::checkout());
        let rustc = crate::process::output(&mut rustc)?;
        Ok(Self {
            folder,
            cache: cache::root()?.join("guest"),
            lock,
            tools,
            rustc,
        })
    }

    /// The name of the whole guest: a hash over its parts' keys.
    fn key(&self) -> Result<String> {
        let mut key = key::Key::new("guest 1");
        key.text("kernel", &kernel::key(self)?);
        key.text("initrd", &initrd::key(self)?);
        key.text("command line", COMMAND_LINE);
        Ok(key.finish())
    }

    /// Builds the parts that the cache lacks and puts them together. The caller holds the lock.
    fn build(&self, name: &str) -> Result<Workspace> {
        let kernel = self.part("kernel", kernel::key, kernel::build)?;
        let busybox = self.part("busybox", busybox::key, busybox::build)?;

        let workspace = Workspace::new(&self.cache, "guest")?;
        for file in ["Image", "vmlinux"] {
            files::link_or_copy(&kernel.join(file), &workspace.path().join(file))?;
        }
        let programs = Workspace::new(&self.cache, "programs")?;
        let archive = initrd::build(self, &busybox, programs.path())?;
        files::write(&workspace.path().join("initrd"), archive)?;
        let manifest = manifest::describe(self, name, workspace.path(), &[&kernel, &busybox])?;
        files::write(&workspace.path().join("manifest.json"), manifest)?;
        Ok(workspace)
    }

    /// Finds a part in the cache or builds it there.
    fn part(
        &self,
        name: &str,
        key: fn(&Self) -> Result<String>,
        build: fn(&Self, &Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let key_before = key(self)?;
        let place = self
            .cache
            .join("parts")
            .join(format!("{name}-{key_before}"));
        if !place.is_dir() {
            let workspace = Workspace::new(&self.cache, name)?;
            build(self, workspace.path())?;
            if key(self)? != key_before {
                return Err(Failure::new(format!(
                    "the recipe of {name} was changed during its build; run it again"
                )));
            }
            workspace.publish(&place)?;
        }
        Ok(place)
    }
}

/// Builds again, from a copy of the recipe and in folders of other names, and compares with what is in the cache.
fn check_reproducible(guest: &Guest, with_kernel: bool) -> Result<()> {
    let mut recipe = Recipe::load()?;
    let _lock = Lock::acquire(&recipe.cache)?;
    let copy = Workspace::new(&recipe.cache, "copy-of-the-recipe")?;
    files::copy_folder(&recipe.folder, copy.path())?;
    recipe.folder = copy.path().to_path_buf();
    let busybox = Workspace::new(&recipe.cache, "second-userland")?;
    busybox::build(&recipe, busybox.path())?;
    let programs = Workspace::new(&recipe.cache, "second-set-of-programs")?;
    let archive = initrd::build(&recipe, busybox.path(), programs.path())?;
    compare(
        "initrd",
        &archive,
        &files::read(&guest.folder.join("initrd"))?,
    )?;
    if with_kernel {
        let kernel = Workspace::new(&recipe.cache, "second-kernel")?;
        kernel::build(&recipe, kernel.path())?;
        for file in ["Image", "vmlinux"] {
            compare(
                file,
                &files::read(&kernel.path().join(file))?,
                &files::read(&guest.folder.join(file))?,
            )?;
        }
    }
    Ok(())
}

fn compare(name: &str, second: &[u8], first: &[u8]) -> Result<()> {
    if first == second {
        eprintln!(
            "{name}: two builds gave the same {} bytes, blake3 {}",
            first.len(),
            blake3::hash(first).to_hex()
        );
        return Ok(());
    }
    let at = first
        .iter()
        .zip(second)
        .position(|(a, b)| a != b)
        .unwrap_or(first.len().min(second.len()));
    Err(Failure::new(format!(
        "{name} is not reproducible: the builds have {} and {} bytes and first differ at byte {at}",
        first.len(),
        second.len()
    )))
}

/// Rewrites `guest/lock.toml` to the newest versions that the machine's mirror has, and to its own tools.
fn update_lock() -> Result<()> {
    setup::packages(setup::GUEST_PACKAGES)?;
    let path = crate::checkout().join("guest/lock.toml");
    let cache = cache::root()?.join("guest");
    let _lock = Lock::acquire(&cache)?;
    let workspace = Workspace::new(&cache, "lock")?;
    let log = cache::log("update-lock")?;
    let apt = sources::PrivateApt::new(workspace.path(), &log)?;
    let mut updated = lock::LockFile::default();
    updated.insert("busybox", busybox::newest(&apt)?);
    updated.insert("kernel", kernel::newest(apt, workspace.path())?);
    updated.insert("tools", setup::installed_versions(TOOL_PACKAGES));
    files::write_atomically(&path, updated.to_text())?;
    eprintln!("wrote {}", path.display());
    Ok(())
}

/// A command with nothing of the caller's environment but where programs are: what a person has set in their shell
/// must not reach the bytes.
pub(crate) fn hermetic(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(
        ["PATH", "HOME"]
            .iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?))),
    );
    command
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH.to_string());
    command
}
