//! `cargo xtask test-images`: container images of Debian for riscv64, which the tests run.
//!
//! Packages come from the machine's own mirror, by mmdebstrap, which unpacks them and runs nothing of theirs; what their scripts
//! would have set up and the tests need is a layer of its own. umoci makes OCI layouts of both.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::{self, Lock, Workspace};
use crate::guest::{SOURCE_DATE_EPOCH, hermetic, key::Key, sources};
use crate::progress::Progress;
use crate::{Failure, Result, files, process, setup};

const USAGE: &str = "\
Usage: cargo xtask test-images

Makes the container images that the tests run, unless the cache has them, and prints their folder: Debian for riscv64 as OCI
layouts, `gcc` (a compiler, make and gdb) and `python`. Some 200 MB are downloaded from the machine's own Debian mirror.
";

/// What makes the images.
pub(crate) const PACKAGES: &[&str] = &[
    "debian-archive-keyring",
    "mmdebstrap",
    "openssl",
    "tar",
    "umoci",
];

/// The Debian release: the first whose archive has riscv64.
const RELEASE: &str = "trixie";

/// Packages of every image, with what they depend on.
const BASE: &[&str] = &[
    "base-files",
    "base-passwd",
    "bash",
    "coreutils",
    "dash",
    "grep",
    "libc-bin",
    "sed",
];

/// Below the root, as patterns of the shell's: what no test reads, most of it translations and a tool of the compiler's
/// developers. The second layer removes it.
const LEFT_OUT: &[&str] = &[
    "etc/apt",
    "etc/hostname",
    "etc/resolv.conf",
    "usr/bin/*lto-dump*",
    "usr/share/doc",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "var/cache/*",
    "var/lib/apt",
    "var/lib/dpkg",
    "var/log/*",
];

struct Image {
    name: &'static str,
    packages: &'static [&'static str],
    /// What the packages' scripts would have done, as shell commands in the folder of the second layer; `$ROOT` is the first.
    set_up: &'static str,
}

const IMAGES: &[Image] = &[
    Image {
        name: "gcc",
        packages: &["gcc", "gdb", "libc6-dev", "make"],
        set_up: "mkdir -p usr/bin && ln -s gcc usr/bin/cc",
    },
    Image {
        name: "python",
        packages: &["ca-certificates", "openssl", "python3"],
        set_up: "mkdir -p etc/ssl/certs && cat \"$ROOT\"/usr/share/ca-certificates/mozilla/*.crt > etc/ssl/certs/ca-certificates.crt",
    },
];

/// For every image: the accounts, which base-passwd's scripts put in place, and a folder to work in.
const ACCOUNTS: &str = "\
mkdir -p etc srv/work
cp \"$ROOT\"/usr/share/base-passwd/passwd.master etc/passwd
cp \"$ROOT\"/usr/share/base-passwd/group.master etc/group";

/// Whiteouts of what is left out (OCI image specification, layer.md, Whiteouts).
const WHITEOUTS: &str = "\
UPPER=$PWD
cd \"$ROOT\"
for path in $LEFT_OUT; do
    if [ -e \"$path\" ]; then
        mkdir -p \"$UPPER/${path%/*}\"
        touch \"$UPPER/${path%/*}/.wh.${path##*/}\"
    fi
done";

/// `cargo xtask test-images`.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    match arguments {
        [] => {}
        [help] if help == "--help" || help == "-h" => {
            print!("{USAGE}");
            return Ok(());
        }
        [other, ..] => {
            return Err(Failure::usage(format!(
                "`test-images` knows no `{other}`\n\n{USAGE}"
            )));
        }
    }
    println!("{}", build()?.display());
    Ok(())
}

/// Makes the images unless the cache has them: the folder of their layouts.
pub(crate) fn build() -> Result<PathBuf> {
    let cache = cache::root()?.join("test-images");
    let name = key();
    let place = cache.join(&name);
    setup::packages(PACKAGES)?;
    let _lock = Lock::acquire(&cache)?;
    cache::remove_stale(&cache);
    if !place.is_dir() {
        let workspace = Workspace::new(&cache, "images")?;
        let layouts = Workspace::new(&cache, "layouts")?;
        let source = workspace.path().join("sources.list");
        let mirror = sources::mirror()?;
        let keyring = sources::KEYRING;
        let line = format!("deb [signed-by={keyring}] {mirror} {RELEASE} main\n");
        files::write(&source, line)?;
        for image in IMAGES {
            let folder = workspace.path().join(image.name);
            files::make_folder(&folder)?;
            make(image, &source, &folder, &layouts.path().join(image.name))?;
        }
        layouts.publish(&place)?;
    }
    files::write_atomically(&cache.join("current"), format!("{name}\n"))?;
    Ok(place)
}

/// Names the images by their recipe. The release's packages change with its updates; the cache keeps those it was made of.
fn key() -> String {
    let mut key = Key::new("test images 1");
    key.text("release", RELEASE);
    for (name, words) in [("base", BASE), ("left out", LEFT_OUT)] {
        key.text(name, &words.join(" "));
    }
    for image in IMAGES {
        key.text(image.name, &image.packages.join(" "));
        key.text(image.name, image.set_up);
    }
    key.text("accounts", ACCOUNTS);
    key.text("whiteouts", WHITEOUTS);
    key.finish()
}

fn make(image: &Image, source: &Path, folder: &Path, layout: &Path) -> Result<()> {
    let log = cache::log("test-images")?;
    let packages = [BASE, image.packages].concat().join(",");
    let mut progress = Progress::start(&format!("making the test image {}", image.name), 0);
    let mut run = |command: &mut Command| process::run_logged(command, &log, &mut progress, |_| 0);

    let root = folder.join("root");
    files::make_folder(&root)?;
    let debian = folder.join("debian.tar");
    let mode = match setup::is_root()? {
        true => "root",
        false => "unshare",
    };
    let mut bootstrap = hermetic("mmdebstrap");
    bootstrap
        .arg(format!("--mode={mode}"))
        .args(["--variant=extract", "--architectures=riscv64"])
        .args(proxies()?)
        .envs(
            PROXY_VARIABLES
                .iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?))),
        )
        .arg("--aptopt=Acquire::Retries \"3\"")
        .arg(format!("--include={packages}"))
        .arg(RELEASE)
        .args([&debian, source]);
    run(&mut bootstrap)?;
    run(hermetic("tar")
        .arg("--extract")
        .arg("--file")
        .arg(&debian)
        .arg("--directory")
        .arg(&root)
        // Devices take privileges, and nothing reads them here.
        .arg("--exclude=./dev/*"))?;

    let upper = folder.join("upper");
    files::make_folder(&upper)?;
    run(hermetic("sh")
        .args(["-e", "-u", "-c"])
        .arg(format!(
            "umask 022\n{ACCOUNTS}\n{}\n{WHITEOUTS}",
            image.set_up
        ))
        .env("LEFT_OUT", LEFT_OUT.join(" "))
        .env("ROOT", &root)
        .current_dir(&upper))?;
    let set_up = folder.join("set-up.tar");
    run(hermetic("tar")
        .args(["--create", "--sort=name", "--format=posix"])
        .args(["--owner=0", "--group=0", "--numeric-owner"])
        .arg(format!("--mtime=@{SOURCE_DATE_EPOCH}"))
        .arg("--pax-option=delete=atime,delete=ctime")
        .arg("--file")
        .arg(&set_up)
        .arg("--directory")
        .arg(&upper)
        .arg("."))?;

    let named = format!("{}:latest", layout.display());
    run(hermetic("umoci").args(["init", "--layout"]).arg(layout))?;
    run(hermetic("umoci").args(["new", "--image", &named]))?;
    for layer in [&debian, &set_up] {
        run(hermetic("umoci")
            .args(["raw", "add-layer", "--image", &named])
            .arg(layer))?;
    }
    run(hermetic("umoci")
        .args(["config", "--image", &named])
        .args(["--architecture", "riscv64", "--os", "linux"])
        .args(["--config.cmd", "/bin/bash"])
        .args(["--config.workingdir", "/srv/work"])
        .args([
            "--config.env",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ]))?;
    run(hermetic("umoci").args(["gc", "--layout"]).arg(layout))?;
    progress.finish();
    // Each image is made of some hundreds of megabytes.
    files::remove_folder(folder)
}

/// By which apt finds a proxy as well (apt-transport-http(1)).
const PROXY_VARIABLES: &[&str] = &["http_proxy", "https_proxy", "no_proxy"];

/// The machine's own proxies for apt, as options for another apt.
fn proxies() -> Result<Vec<String>> {
    let shown = process::output(Command::new("apt-config").arg("dump"))?;
    let options = shown.lines().filter_map(|line| {
        let (name, value) = line.trim_end_matches(';').split_once(' ')?;
        let is_proxy = name.starts_with("Acquire::") && name.ends_with("::Proxy");
        is_proxy.then(|| format!("--aptopt={name} {value}"))
    });
    Ok(options.collect())
}
