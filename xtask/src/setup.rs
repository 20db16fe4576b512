//! What has to be installed before anything else works: Debian packages and Rust targets. Each is looked for first, so
//! that a machine which has them all is left alone and costs no time.

use std::collections::BTreeMap;
use std::process::Command;

use crate::progress::Progress;
use crate::{Failure, Result, cache, files, process};

const USAGE: &str = "\
Usage: cargo xtask setup

Installs what the other commands need and this machine lacks. On Debian that takes root or sudo; on another system it
prints what to install and exits with status 2.
";

/// What the guest's recipe needs: a cross compiler, the kernel's own build tools, and tools to unpack sources.
pub(crate) const GUEST_PACKAGES: &[&str] = &[
    "bc",
    "binutils-riscv64-linux-gnu",
    "bison",
    "bzip2",
    "ca-certificates",
    "debian-archive-keyring",
    "dpkg-dev",
    "dwarves",
    "flex",
    "gcc",
    "gcc-riscv64-linux-gnu",
    "libc6-dev",
    "libc6-dev-riscv64-cross",
    "libelf-dev",
    "libssl-dev",
    "make",
    "perl",
    "python3",
    "tar",
    "xz-utils",
];

/// The Rust target of the guest's own programs.
pub(crate) const GUEST_TARGET: &str = "riscv64gc-unknown-linux-gnu";

/// `cargo xtask setup`.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    if arguments
        .iter()
        .any(|argument| argument == "--help" || argument == "-h")
    {
        print!("{USAGE}");
        return Ok(());
    }
    if let Some(argument) = arguments.first() {
        return Err(Failure::usage(format!(
            "`setup` knows no `{argument}`\n\n{USAGE}"
        )));
    }
    packages(GUEST_PACKAGES)?;
    rust_targets(&[GUEST_TARGET])
}

/// Installs the Debian packages of `wanted` that are missing.
pub(crate) fn packages(wanted: &[&str]) -> Result<()> {
    let installed = installed_versions(wanted);
    let missing: Vec<&str> = wanted
        .iter()
        .copied()
        .filter(|name| !installed.contains_key(*name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let advice = format!(
        "apt-get update && apt-get install --no-install-recommends {}",
        missing.join(" ")
    );
    if !is_debian() {
        return Err(Failure::usage(format!(
            "this needs programs that are installed by themselves on Debian only; on Debian it would run\n  {advice}\n\
             Install their like here, or use a Debian 12 machine or container."
        )));
    }
    let root = is_root()?;
    if !root && !process::is_on_path("sudo") {
        return Err(Failure::usage(format!(
            "packages are missing and this is not root; as root, run\n  {advice}"
        )));
    }
    let log = cache::log("setup")?;
    eprintln!(
        "installing {} Debian packages: {}",
        missing.len(),
        missing.join(" ")
    );
    let mut progress = Progress::start("installing Debian packages", 3 * missing.len() as u64);
    apt_get(root, &["update"], &log, &mut progress)?;
    let mut install = vec!["install", "--yes", "--no-install-recommends"];
    install.extend(&missing);
    apt_get(root, &install, &log, &mut progress)?;
    progress.finish();
    Ok(())
}

/// Brings the machine's package lists up to date.
pub(crate) fn update_package_lists() -> Result<()> {
    let root = is_root()?;
    if !root && !process::is_on_path("sudo") {
        return Err(Failure::usage(
            "this machine has no package lists; as root, run `apt-get update`",
        ));
    }
    let mut progress = Progress::start("updating the package lists", 0);
    apt_get(root, &["update"], &cache::log("setup")?, &mut progress)?;
    progress.finish();
    Ok(())
}

fn apt_get(
    root: bool,
    arguments: &[&str],
    log: &std::path::Path,
    progress: &mut Progress,
) -> Result<()> {
    let mut command = if root {
        Command::new("env")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.arg("env");
        sudo
    };
    command
        .arg("DEBIAN_FRONTEND=noninteractive")
        .arg("apt-get")
        .arg("-q")
        .args(arguments);
    let steps = |line: &str| {
        u64::from(
            ["Get:", "Unpacking ", "Setting up "]
                .iter()
                .any(|word| line.starts_with(word)),
        )
    };
    process::run_logged(&mut command, log, progress, steps)
}

/// The installed versions of those of `names` that are installed.
pub(crate) fn installed_versions(names: &[&str]) -> BTreeMap<String, String> {
    // It fails when one name is unknown, and still lists the others; without dpkg there is nothing to list.
    let Ok(output) = Command::new("dpkg-query")
        .args([
            "--show",
            "--showformat",
            "${db:Status-Status} ${Package} ${Version}\n",
        ])
        .args(names)
        .output()
    else {
        return BTreeMap::new();
    };
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| {
            let (name, version) = line.strip_prefix("installed ")?.split_once(' ')?;
            Some((name.to_owned(), version.to_owned()))
        })
        .collect()
}

/// Installs the Rust targets of `wanted` that are missing.
pub(crate) fn rust_targets(wanted: &[&str]) -> Result<()> {
    // The target's folder in the toolchain answers at once, where rustup would take half a second.
    let sysroot = process::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let libraries = std::path::Path::new(sysroot.trim_end()).join("lib/rustlib");
    let missing: Vec<&str> = wanted
        .iter()
        .copied()
        .filter(|target| !libraries.join(target).join("lib").is_dir())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("installing Rust targets: {}", missing.join(" "));
    process::output(
        Command::new("rustup")
            .args(["target", "add"])
            .args(&missing),
    )
    .map(drop)
    .map_err(|failure| {
        Failure::usage(format!(
            "{}\nInstall the Rust standard library for {}.",
            failure.message,
            missing.join(", ")
        ))
    })
}

/// Whether this is Debian itself: others that use its tools have other packages in other versions.
fn is_debian() -> bool {
    let release = files::read_text(std::path::Path::new("/etc/os-release")).unwrap_or_default();
    release
        .lines()
        .any(|line| line == "ID=debian" || line == "ID=\"debian\"")
}

/// Whether this process runs as root.
pub(crate) fn is_root() -> Result<bool> {
    Ok(process::output(Command::new("id").arg("-u"))?.trim_end() == "0")
}
