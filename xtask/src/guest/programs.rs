//! Our own programs in the guest: init, the demos, the benchmarks.

use std::path::Path;
use std::process::Command;

use crate::{Failure, Result, files, process, setup};

const CC: &str = "riscv64-linux-gnu-gcc";

/// Static, so that the guest needs no libraries and a program's addresses are the same in every run.
const C_FLAGS: &[&str] = &[
    "-std=c17",
    "-D_GNU_SOURCE",
    "-static",
    "-pthread",
    "-fno-omit-frame-pointer",
    "-Wall",
    "-Wextra",
    "-Wshadow",
    "-Werror",
];
const RUST_FLAGS: &[&str] = &[
    "--edition=2024",
    "--target=riscv64gc-unknown-linux-gnu",
    "-Clinker=riscv64-linux-gnu-gcc",
    "-Ctarget-feature=+crt-static",
    "-Crelocation-model=static",
    "-Cdebuginfo=2",
    "-Copt-level=1",
    "-Coverflow-checks=on",
    "-Ccodegen-units=1",
    "-Cforce-frame-pointers=yes",
    // The standard library's own debug information makes up most of the program.
    "-Clink-arg=-Wl,--compress-debug-sections=zlib",
    "-Dwarnings",
];

/// Everything of the command lines that decides a program's bytes.
pub(super) fn flags() -> String {
    format!("{CC} {} rustc {}", C_FLAGS.join(" "), RUST_FLAGS.join(" "))
}

/// Compiles all C files of `source` to the one program `out`. In its debug information they are in `guest_folder`.
pub(super) fn compile_c(
    source: &Path,
    guest_folder: &str,
    flags: &[&str],
    out: &Path,
) -> Result<()> {
    let sources = files_with_extension(source, "c")?;
    compile_c_files(&sources, source, guest_folder, flags, out)
}

/// Compiles each C and Rust file of `source` to a program of its own, in the folder `out`. Returns their names.
pub(super) fn compile_each(
    source: &Path,
    guest_folder: &str,
    flags: &[&str],
    out: &Path,
) -> Result<Vec<String>> {
    files::make_folder(out)?;
    let mut names = Vec::new();
    for file in files_with_extension(source, "c")? {
        let name = stem(&file);
        compile_c_files(
            std::slice::from_ref(&file),
            source,
            guest_folder,
            flags,
            &out.join(&name),
        )?;
        names.push(name);
    }
    for file in files_with_extension(source, "rs")? {
        let name = stem(&file);
        compile_rust(&file, source, guest_folder, &out.join(&name))?;
        names.push(name);
    }
    Ok(names)
}

fn compile_c_files(
    sources: &[String],
    folder: &Path,
    guest_folder: &str,
    flags: &[&str],
    out: &Path,
) -> Result<()> {
    let mut command = super::hermetic(CC);
    command.current_dir(folder).args(C_FLAGS).args(flags);
    command.arg(format!(
        "-ffile-prefix-map={}={guest_folder}",
        folder.display()
    ));
    run(command.arg("-o").arg(out).args(sources).arg("-lm"))
}

fn compile_rust(source: &str, folder: &Path, guest_folder: &str, out: &Path) -> Result<()> {
    let mut command = super::hermetic("rustc");
    // Where rustup keeps its toolchains, and which of them runs this very program.
    for name in ["RUSTUP_HOME", "CARGO_HOME", "RUSTUP_TOOLCHAIN"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.current_dir(folder).args(RUST_FLAGS);
    command.arg(format!(
        "--remap-path-prefix={}={guest_folder}",
        folder.display()
    ));
    run(command.arg("-o").arg(out).arg(source))
}

fn run(command: &mut Command) -> Result<()> {
    process::output(command).map(drop).map_err(|failure| {
        Failure::new(format!(
            "{}\nThe guest's programs need {}.",
            failure.message,
            setup::GUEST_TARGET
        ))
    })
}

/// The names of a folder's files with this extension, sorted.
fn files_with_extension(folder: &Path, extension: &str) -> Result<Vec<String>> {
    let entries = files::entries(folder)?;
    let wanted = entries
        .iter()
        .filter(|file| file.extension().is_some_and(|found| found == extension));
    Ok(wanted.map(|file| files::name(file)).collect())
}

fn stem(file: &str) -> String {
    file.rsplit_once('.')
        .map_or(file, |(stem, _)| stem)
        .to_owned()
}
