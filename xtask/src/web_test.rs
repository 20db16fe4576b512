//! `cargo xtask web-test`: browsers open the page and do what a person does.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::{self, Lock, Workspace};
use crate::tools::{build_reprise, cargo, run, target_folder};
use crate::{Failure, Result, checkout, files, process, setup, site, test_images};

const USAGE: &str = "\
Usage: cargo xtask web-test [FILTER]

Installs Debian's Chromium and Firefox and what drives them, builds the page into target/site, serves it, and runs the tests of
tests/web in browsers that nobody sees, and in the window of `reprise-window`. Pictures of what they saw go to target/web-test. A
FILTER runs only the tests whose name contains it.
";

/// The browsers, one font for what the page shows before the app does, what Firefox and the window need to draw without a graphics
/// card (a screen in memory and Mesa's renderer; the window loads the libraries for keys and cursors when it starts), and the gdb
/// that debugs what the page shows.
const BROWSER_PACKAGES: &[&str] = &[
    "chromium",
    "firefox-esr",
    "fonts-dejavu-core",
    "gdb-multiarch",
    "libgl1",
    "libgl1-mesa-dri",
    "libx11-xcb1",
    "libxcursor1",
    "libxi6",
    "libxkbcommon-x11-0",
    "xvfb",
];

/// `cargo xtask web-test`.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    match arguments {
        [flag] if flag == "--help" || flag == "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        [] => test(None),
        [filter] if !filter.starts_with('-') => test(Some(filter)),
        _ => Err(Failure::usage(format!(
            "`web-test` takes one filter at the most\n\n{USAGE}"
        ))),
    }
}

/// Builds the page and tries it.
pub(crate) fn test(filter: Option<&str>) -> Result<()> {
    let tests = checkout().join("tests/web");
    let mut command = node(&tests)?;
    command.env("REPRISE_WINDOW", build_window()?);
    // One browser at a time: two would share two processors with the engines that they run.
    command.args(["--test", "--test-concurrency=1"]);
    if let Some(filter) = filter {
        command.arg(format!("--test-name-pattern={filter}"));
    }
    for file in files::entries(&tests)? {
        if files::name(&file).ends_with(".test.mjs") {
            command.arg(file);
        }
    }
    run(&mut command)
}

/// Builds the window as tests are built, whose crates it shares, and returns its path.
fn build_window() -> Result<PathBuf> {
    run(&mut cargo(&[
        "build",
        "--quiet",
        "--package",
        "reprise-window",
    ]))?;
    Ok(target_folder().join("debug/reprise-window"))
}

/// Builds the page and measures it; see `cargo xtask bench`.
pub(crate) fn bench() -> Result<()> {
    let tests = checkout().join("tests/web");
    let mut command = node(&tests)?;
    run(command.arg(tests.join("bench.mjs")))
}

/// Node, with everything built and told that the scripts in `tests` need.
fn node(tests: &Path) -> Result<Command> {
    set_up()?;
    let site = target_folder().join("site");
    site::build(&site)?;
    let reprise = build_reprise()?;
    let modules = node_modules(tests)?;
    let pictures = target_folder().join("web-test");
    files::remove_folder(&pictures)?;
    files::make_folder(&pictures)?;
    let mut command = Command::new("node");
    command
        .env("REPRISE_BIN", reprise)
        .env("REPRISE_SITE_FOLDER", &site)
        .env("REPRISE_TEST_IMAGES", test_images::build()?)
        .env("REPRISE_NODE_MODULES", modules)
        .env("REPRISE_PICTURES", &pictures);
    Ok(command)
}

/// Installs the browsers and node.
pub(crate) fn set_up() -> Result<()> {
    let mut packages = BROWSER_PACKAGES.to_vec();
    for (program, package) in [("node", "nodejs"), ("npm", "npm")] {
        if !process::is_on_path(program) {
            packages.push(package);
        }
    }
    setup::packages(&packages)
}

/// The folder with the packages that `package.json` names, in the cache.
fn node_modules(tests: &Path) -> Result<PathBuf> {
    let wanted = files::read(&tests.join("package.json"))?;
    let key = blake3::hash(&wanted).to_hex()[..16].to_owned();
    let parent = cache::root()?.join("web-test");
    let folder = parent.join(&key);
    if !folder.is_dir() {
        let _lock = Lock::acquire(&parent)?;
        let workspace = Workspace::new(&parent, "npm")?;
        files::write(&workspace.path().join("package.json"), &wanted)?;
        let mut npm = Command::new("npm");
        npm.args([
            "install",
            "--no-audit",
            "--no-fund",
            "--no-package-lock",
            "--ignore-scripts",
        ]);
        process::output(npm.current_dir(workspace.path()))?;
        workspace.publish(&folder)?;
    }
    Ok(folder.join("node_modules"))
}
