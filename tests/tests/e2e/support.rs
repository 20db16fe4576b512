//! Where the binary, the guest and the wasm module are, and how the tests call them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

fn target() -> PathBuf {
    let checkout = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let folder =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    checkout.join(folder)
}

fn built(variable: &str, default: &str) -> PathBuf {
    let path = std::env::var_os(variable).map_or_else(|| target().join(default), PathBuf::from);
    assert!(
        path.is_file(),
        "{} is missing: run the tests by `cargo xtask test`, which builds it",
        path.display()
    );
    path
}

/// The optimised binary.
pub(crate) fn reprise() -> Command {
    let mut command = Command::new(built("REPRISE_BIN", "release/reprise"));
    command.stdin(Stdio::null());
    command
}

/// The folder of the default guest.
pub(crate) fn guest() -> PathBuf {
    current("guest")
}

/// A container image of Debian that `cargo xtask test-images` made, as `--image` takes it.
pub(crate) fn test_image(name: &str) -> String {
    let layout = current("test-images").join(name);
    format!("oci:{}:latest", layout.display())
}

/// What is current in a folder of the cache.
fn current(folder: &str) -> PathBuf {
    let variable = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = variable("REPRISE_CACHE")
        .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("reprise")))
        .or_else(|| Some(variable("HOME")?.join(".cache/reprise")))
        .expect("a home folder");
    let current = cache.join(folder).join("current");
    let name = std::fs::read_to_string(&current).unwrap_or_else(|_| {
        panic!(
            "{} is missing: `cargo xtask {folder}` makes it",
            current.display()
        )
    });
    cache.join(folder).join(name.trim())
}

/// What a finished process left behind.
pub(crate) struct Finished {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// The line `icount=N hash=H`.
    pub(crate) fn end(&self) -> &str {
        let line = self
            .stderr
            .lines()
            .rev()
            .find(|line| line.starts_with("icount="));
        line.unwrap_or_else(|| panic!("no end in:\n{}\n{}", self.stdout, self.stderr))
    }

    /// Fails unless the status is as expected.
    #[track_caller]
    pub(crate) fn expect(self, status: i32) -> Self {
        assert_eq!(
            self.status, status,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self
    }
}

/// Runs a command to its end.
pub(crate) fn finish(command: &mut Command) -> Finished {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    Finished {
        status: status.code().expect("the command ends by itself"),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// A folder for a test's traces.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Records a command of the guest with a seed.
pub(crate) fn record(
    trace: &Path,
    seed: u64,
    arguments: &[&str],
    guest_command: &[&str],
) -> Finished {
    let mut command = reprise();
    command
        .args(["record", "--seed", &seed.to_string(), "-o"])
        .arg(trace)
        .args(arguments);
    command.arg("--").args(guest_command);
    finish(&mut command)
}

/// Replays a trace natively, in a new process.
pub(crate) fn replay(trace: &Path) -> Finished {
    finish(reprise().arg("replay").arg(trace))
}

/// Replays a trace as wasm in node.
pub(crate) fn replay_in_node(trace: &Path) -> Finished {
    replay_in_node_with(trace, &[])
}

/// The same, with these images beside the guest's.
pub(crate) fn replay_in_node_with(trace: &Path, images: &[PathBuf]) -> Finished {
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("wasm/replay.mjs");
    let module = built(
        "REPRISE_WASM",
        "wasm32-unknown-unknown/release/reprise_wasm_replay.wasm",
    );
    let mut node = Command::new("node");
    node.arg(driver)
        .arg(module)
        .arg(trace)
        .args([guest().join("Image"), guest().join("initrd")])
        .args(images);
    finish(&mut node)
}

/// The content of a file of the default guest's initial file system.
pub(crate) fn file_of_initrd(path: &str) -> Vec<u8> {
    let archive = std::fs::read(guest().join("initrd")).expect("the guest is built");
    let content = file_of_cpio(&archive, path);
    content
        .unwrap_or_else(|| panic!("{path} is not in the initrd"))
        .to_vec()
}

/// The contents of a file in an uncompressed archive (Linux, Documentation/driver-api/early-userspace/buffer-format.rst).
pub(crate) fn file_of_cpio<'a>(archive: &'a [u8], path: &str) -> Option<&'a [u8]> {
    let mut at = 0;
    loop {
        let number = |index: usize| {
            let text = std::str::from_utf8(archive.get(at + 6 + 8 * index..)?.get(..8)?).ok()?;
            usize::from_str_radix(text, 16).ok()
        };
        let (size, name_len) = (number(6)?, number(11)?);
        let name = archive.get(at + 110..at + 110 + name_len - 1)?;
        let start = (at + 110 + name_len).next_multiple_of(4);
        let name = std::str::from_utf8(name).ok()?;
        // Names are padded with NULs.
        let name = name.trim_end_matches('\0');
        if name.trim_start_matches(['.', '/']) == path {
            return archive.get(start..start + size);
        }
        if name == "TRAILER!!!" {
            return None;
        }
        at = (start + size).next_multiple_of(4);
    }
}
