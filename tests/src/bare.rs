//! The bare-metal programs in `bare/`, made from source with the cross compiler's assembler.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What assembles and links.
pub const COMPILER: &str = "riscv64-linux-gnu-gcc";

/// Where the programs' sources are.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bare")
}

/// Names of all programs, in order.
///
/// # Panics
/// When the folder cannot be read.
#[must_use]
pub fn names() -> Vec<String> {
    let files = std::fs::read_dir(folder()).expect("the folder of bare-metal programs");
    let mut names: Vec<String> = files
        .filter_map(|file| {
            let path = file.expect("an entry of the folder").path();
            let is_source = path.extension().is_some_and(|extension| extension == "S");
            is_source.then(|| {
                path.file_stem()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned()
            })
        })
        .collect();
    names.sort();
    names
}

/// The ELF file of a program.
///
/// # Panics
/// With one sentence when the compiler is missing, with its messages when it refuses the program.
#[must_use]
pub fn assemble(name: &str) -> Vec<u8> {
    let source = folder();
    let target = tempfile::tempdir().expect("a temporary folder");
    let file = target.path().join(name);
    let output = Command::new(COMPILER)
        .args(["-nostdlib", "-static", "-no-pie", "-fno-pic", "-march=rv64gc_zba_zbb_zbs", "-mabi=lp64d", "-mcmodel=medany"])
        .args(["-Wl,--build-id=none", "-Wl,--no-warn-rwx-segments", "-T"])
        .arg(source.join("link.ld"))
        .arg(source.join(format!("{name}.S")))
        .arg("-o")
        .arg(&file)
        .output()
        .unwrap_or_else(|error| {
            panic!("{COMPILER} cannot be run ({error}); install it, on Debian as the package gcc-riscv64-linux-gnu");
        });
    assert!(
        output.status.success(),
        "{name}.S:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::read(file).expect("the compiler has written its output")
}
