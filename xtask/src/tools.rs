//! Cargo as the other commands call it, and the tools that are built once into the cache.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::progress::Progress;
use crate::{Failure, Result, cache, checkout, process};

/// Rust target of the browser.
pub(crate) const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// Where cargo puts what it builds for this checkout.
pub(crate) fn target_folder() -> PathBuf {
    let folder =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    checkout().join(folder)
}

/// A cargo command in the checkout, with what the C code of zstd needs to be compiled for wasm.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(checkout()).args(arguments);
    for (variable, tool) in [("CC", "clang-19"), ("AR", "llvm-ar-19")] {
        let name = format!("{variable}_wasm32_unknown_unknown");
        if std::env::var_os(&name).is_none() {
            command.env(name, tool);
        }
    }
    command
}

/// Runs a command with its output on ours.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let arguments: Vec<_> = command
        .get_args()
        .map(|argument| argument.to_string_lossy())
        .collect();
    let shown = format!("{program} {}", arguments.join(" "));
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|error| Failure::new(format!("can't run `{shown}`: {error}")))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!("`{shown}` failed ({status})")))
    }
}

/// Builds the `reprise` binary, optimised, and returns its path. A person sees cargo's own progress; a log does not get it.
pub(crate) fn build_reprise() -> Result<PathBuf> {
    let mut command = cargo(&["build", "--release", "--package", "reprise"]);
    if !std::io::stderr().is_terminal() {
        command.arg("--quiet");
    }
    run(&mut command)?;
    Ok(target_folder().join("release/reprise"))
}

/// Builds the module with which node replays traces, and returns its path.
pub(crate) fn build_wasm() -> Result<PathBuf> {
    let package = "reprise-wasm-replay";
    run(&mut cargo(&[
        "build",
        "--quiet",
        "--release",
        "--target",
        WASM_TARGET,
        "--package",
        package,
    ]))?;
    Ok(target_folder()
        .join(WASM_TARGET)
        .join("release/reprise_wasm_replay.wasm"))
}

/// Builds a package as a wasm module for the page, and returns its path. The app is optimised for size, since it is what a
/// person waits for; the engine for speed.
pub(crate) fn build_web_module(package: &str, opt_level: &str) -> Result<PathBuf> {
    eprintln!("building {package} for the page (some minutes the first time)");
    let arguments = [
        "rustc",
        "--quiet",
        "--profile",
        "web",
        "--lib",
        "--crate-type",
        "cdylib",
    ];
    run(cargo(&arguments)
        .args(["--target", WASM_TARGET, "--package", package])
        .env("CARGO_PROFILE_WEB_OPT_LEVEL", opt_level))?;
    let module = format!("{}.wasm", package.replace('-', "_"));
    Ok(target_folder().join(WASM_TARGET).join("web").join(module))
}

/// Builds the program that makes the JavaScript around a wasm module, and returns its path.
pub(crate) fn build_bindgen() -> Result<PathBuf> {
    let package = "reprise-bindgen";
    run(&mut cargo(&["build", "--quiet", "--package", package]))?;
    Ok(target_folder().join("debug").join(package))
}

/// A cargo subcommand such as `cargo-deny`, of this version, from the cache; it is built when it is not there yet.
pub(crate) fn cached_tool(name: &str, version: &str) -> Result<PathBuf> {
    let folder = cache::root()?
        .join("tools")
        .join(format!("{name}-{version}"));
    let program = folder.join("bin").join(name);
    if program.is_file() {
        return Ok(program);
    }
    let parent = cache::root()?.join("tools");
    let _lock = cache::Lock::acquire(&parent)?;
    if program.is_file() {
        return Ok(program);
    }
    let workspace = cache::Workspace::new(&parent, name)?;
    let log = cache::log(name)?;
    let mut progress = Progress::start(&format!("building {name} {version}"), 250);
    let mut command = cargo(&["install", "--locked", "--version", version, name, "--root"]);
    // A tool that runs for a second need not be optimised for a minute.
    command
        .arg(workspace.path().join("root"))
        .env("CARGO_TARGET_DIR", workspace.path().join("target"))
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    process::run_logged(&mut command, &log, &mut progress, |line| {
        u64::from(line.contains("Compiling "))
    })?;
    progress.finish();
    install(&workspace.path().join("root"), &folder)?;
    Ok(program)
}

fn install(from: &Path, to: &Path) -> Result<()> {
    crate::files::rename(from, to)
}
