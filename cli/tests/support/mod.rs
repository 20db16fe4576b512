//! What the tests of the binary share.
#![allow(dead_code, reason = "each test program uses a part")]

pub(crate) mod elf;
pub(crate) mod guest;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A folder of its own for a test, with the guest in it and a cache that is empty.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self(TempDir::new().expect("a folder"));
        fs::create_dir(place.path("guest")).expect("a folder");
        fs::write(place.path("guest/Image"), guest::image()).expect("written");
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).expect("written");
        path
    }

    /// The binary, in this folder.
    pub(crate) fn reprise(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reprise"));
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env_clear()
            .env("REPRISE_CACHE", self.path("cache"))
            .stdin(Stdio::null());
        command
    }

    /// Runs the binary.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        Run::of(self.reprise(arguments).output().expect("it runs"))
    }

    /// Runs `reprise record` with the test's guest and fixed seed and clock.
    pub(crate) fn record(&self, trace: &str, arguments: &[&str]) -> Run {
        let mut all = vec![
            "record", "--image", "guest", "-o", trace, "--seed", "1", "--clock", "1000",
        ];
        all.extend(arguments);
        self.run(&all)
    }
}

/// What a run of the binary came to.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The last line on stderr, which tells the final position and hash.
    #[track_caller]
    pub(crate) fn position(&self) -> &str {
        let line = self.stderr.lines().last().unwrap_or_default();
        assert!(
            line.starts_with("icount=") && line.contains(" hash="),
            "{self:?}"
        );
        line
    }

    #[track_caller]
    pub(crate) fn expect_status(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "{self:?}");
        self
    }

    /// Expects bad usage or input, told in one sentence that has this in it.
    #[track_caller]
    pub(crate) fn expect_refusal(self, part: &str) {
        let run = self.expect_status(2);
        assert!(run.stderr.contains(part), "{run:?}");
        assert_eq!(run.stderr.trim_end().lines().count(), 1, "{run:?}");
        assert!(!run.stderr.contains("panic"), "{run:?}");
    }
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Size of a file, 0 when there is none.
pub(crate) fn byte_len(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}
