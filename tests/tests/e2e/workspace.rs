//! A folder of the host's in the guest: what programs do with files, recorded, and replayed without the folder.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::container::{Place, noise};
use super::support::{Finished, finish, folder, replay_in_node, reprise};
use reprise_tests::soak_factor;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// As in `tests/guest/workspace.c`.
const BASE_BYTES: usize = 300_001;
const LARGE_BYTES: u64 = 5 << 30;

/// Random operations that a run of the tests does; each takes some 80,000 steps.
const RANDOM_OPERATIONS: u64 = 10_000;

/// A folder with the workspace `w`, the guest's program and the traces.
pub(super) struct Desk {
    folder: TempDir,
}

impl Desk {
    pub(super) fn new() -> Self {
        let desk = Self { folder: folder() };
        fs::create_dir(desk.path("w")).unwrap();
        desk
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn reprise(&self, arguments: &[&str]) -> Finished {
        finish(reprise().current_dir(self.folder.path()).args(arguments))
    }

    /// Records a shell script in the workspace.
    pub(super) fn record(&self, workspace: &str, script: &str) -> Finished {
        let arguments = ["record", "--seed", "3", "--force", "-o", "trace.rpt"];
        let more = ["--workspace", workspace, "--", "sh", "-c", script];
        self.reprise(&[&arguments[..], &more].concat())
    }

    /// Replays the trace, natively and in WebAssembly, where there is no workspace any more.
    #[track_caller]
    fn check_replay(&self, recorded: &Finished) {
        fs::rename(self.path("w"), self.path("w-elsewhere")).unwrap();
        let replayed = self.reprise(&["replay", "trace.rpt"]).expect(0);
        assert_eq!(recorded.end(), replayed.end());
        assert_eq!(recorded.stdout, replayed.stdout);
        let in_node = replay_in_node(&self.path("trace.rpt")).expect(0);
        assert_eq!(recorded.end(), in_node.end(), "wasm differs");
        fs::rename(self.path("w-elsewhere"), self.path("w")).unwrap();
    }

    /// The workspace that the guest's program expects, and the program.
    fn furnish(&self) {
        fs::write(self.path("w/base"), noise(BASE_BYTES)).unwrap();
        let large = File::create(self.path("w/large")).unwrap();
        large.write_all_at(b"the end", LARGE_BYTES - 7).unwrap();
        let odd = OsStr::from_bytes(b"odd-\xff\xfe");
        fs::write(self.path("w").join(odd), "odd").unwrap();
        fs::create_dir(self.path("w/d")).unwrap();
        fs::write(self.path("w/d/inner"), "inner").unwrap();
        symlink("d/inner", self.path("w/link")).unwrap();
        fs::write(self.path("outside-file"), "not in the workspace").unwrap();
        symlink(self.path("outside-file"), self.path("w/outside")).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest/workspace.c");
        let compiled = Command::new("riscv64-linux-gnu-gcc")
            .args(["-O2", "-static", "-o"])
            .args([&self.path("program"), &source])
            .status();
        assert!(compiled.unwrap().success());
    }

    fn run_program(&self, arguments: &[&str]) -> Finished {
        let always = [
            "record",
            "--seed",
            "3",
            "-o",
            "trace.rpt",
            "--workspace",
            "w",
            "--add",
            "program:/bin/program",
            "--",
            "program",
        ];
        self.reprise(&[&always, arguments].concat())
    }
}

/// What is in a folder: paths, modes, times and contents, those of large files by their length.
fn tree(folder: &Path) -> Vec<(PathBuf, u32, i64, Vec<u8>)> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(path) = waiting.pop() {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let content = if metadata.is_dir() {
                waiting.push(path.clone());
                Vec::new()
            } else if metadata.is_symlink() {
                fs::read_link(&path).unwrap().as_os_str().as_bytes().into()
            } else if metadata.len() > 1 << 30 {
                metadata.len().to_le_bytes().to_vec()
            } else {
                fs::read(&path).unwrap()
            };
            found.push((path, metadata.mode(), metadata.mtime(), content));
        }
    }
    found.sort();
    found
}

#[test]
fn what_programs_do_with_files_is_done_recorded_and_replayed() {
    let desk = Desk::new();
    desk.furnish();
    let before = tree(&desk.path("w"));
    let recorded = desk.run_program(&["operations"]).expect(0);
    assert_eq!(recorded.stdout.lines().count(), 11, "{}", recorded.stdout);
    assert!(tree(&desk.path("w")) == before, "the host's folder changed");
    desk.check_replay(&recorded);
    // What was read is in the trace once; the 5 GiB of which little was read are not.
    let trace_bytes = fs::metadata(desk.path("trace.rpt")).unwrap().len();
    assert!(trace_bytes < 1 << 20, "{trace_bytes}");
    let events = desk.reprise(&["events", "trace.rpt"]).expect(0).stdout;
    assert!(
        events.contains("workspace d/inner, part 0: 5 bytes"),
        "{events}"
    );
    assert!(
        events.contains(r"workspace odd-\xff\xfe, part 0"),
        "{events}"
    );
}

/// A trace may hold little beyond what compresses, and a file may be as long as it likes where it is empty.
#[test]
fn holes_of_sparse_files_cost_nothing() {
    let desk = Desk::new();
    let sparse = File::create(desk.path("w/sparse")).unwrap();
    sparse.set_len(1 << 32).unwrap();
    let recorded = desk.record("w", "tail -c 5000000 sparse | wc -c").expect(0);
    assert_eq!(recorded.stdout.trim(), "5000000");
    let events = desk.reprise(&["events", "trace.rpt"]).expect(0).stdout;
    assert!(
        events.contains("workspace sparse, part 32767: zeros"),
        "{events}"
    );
    desk.check_replay(&recorded);
}

#[test]
fn random_operations_agree_with_a_model() {
    let desk = Desk::new();
    desk.furnish();
    let count = (RANDOM_OPERATIONS * soak_factor()).to_string();
    let recorded = desk.run_program(&["random", "1", &count]).expect(0);
    let done = format!("{count} random operations: done");
    assert_eq!(recorded.stdout.trim_end(), done);
    desk.check_replay(&recorded);
}

#[test]
fn a_file_that_changes_or_goes_is_an_error_in_the_guest() {
    let desk = Desk::new();
    for name in ["kept", "changed", "removed"] {
        fs::write(desk.path("w").join(name), format!("{name}\n")).unwrap();
    }
    // The guest takes these away while it runs: it tells when, and its script waits for the answer.
    let script =
        "cat kept; cat removed changed kept; echo status $?; echo new > removed; cat removed";
    let typed = format!("read go; {script}");
    let mut child = reprise()
        .current_dir(desk.folder.path())
        .args([
            "record",
            "--seed",
            "3",
            "-o",
            "trace.rpt",
            "--workspace",
            "w",
        ])
        .args(["--", "sh", "-c", &typed])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // The trace is there once the folder has been listed.
    while !desk.path("trace.rpt").exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    fs::remove_file(desk.path("w/removed")).unwrap();
    fs::write(desk.path("w/changed"), "something else\n").unwrap();
    use std::io::Write;
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    let stderr = String::from_utf8_lossy(&output.stderr);
    for line in [
        "kept\n",
        "cat: read error: Input/output error\n",
        "status 1\n",
        "new\n",
    ] {
        assert!(stdout.contains(line), "{stdout}");
    }
    for name in ["removed", "changed"] {
        let told = format!("w/{name} is not what it was when the recording began");
        assert!(stderr.contains(&told), "{stderr}");
    }
    desk.reprise(&["replay", "trace.rpt"]).expect(0);
    let against = ["verify", "trace.rpt", "--against", "checkpoint"];
    desk.reprise(&against).expect(0);
    let events = desk.reprise(&["events", "trace.rpt"]).expect(0).stdout;
    assert!(
        events.contains("workspace removed, part 0: unreadable"),
        "{events}"
    );
}

#[test]
fn a_workspace_can_be_read_only() {
    let desk = Desk::new();
    fs::write(desk.path("w/file"), "text\n").unwrap();
    let refused = desk.record("w:ro", "cat file; echo x > file; touch new; rm -f file");
    let refused = refused.expect(1);
    assert_eq!(
        refused.stdout.matches("Read-only file system").count(),
        3,
        "{}",
        refused.stdout
    );
    desk.check_replay(&refused);
}

#[test]
fn a_container_works_in_a_workspace() {
    let place = Place::new();
    fs::create_dir(place.path("w")).unwrap();
    fs::write(place.path("w/note"), "from the workspace\n").unwrap();
    let image = place.image();
    let arguments = [
        "record",
        "--seed",
        "5",
        "-o",
        "trace.rpt",
        "--image",
        &image,
    ];
    let more = ["--workspace", "w", "-u", "0", "--"];
    let script =
        "pwd; cat note; echo written > new; cat new; stat -c %u:%g note new; cat /etc/motd";
    let recorded = place
        .reprise(&[&arguments[..], &more, &[script]].concat())
        .expect(0);
    let lines: Vec<&str> = recorded.stdout.lines().map(str::trim_end).collect();
    let expected = [
        "/workspace",
        "from the workspace",
        "written",
        "0:0",
        "0:0",
        "the image's own command",
    ];
    assert_eq!(lines, expected);
    fs::remove_dir_all(place.path("w")).unwrap();
    let replayed = place.reprise(&["replay", "trace.rpt"]).expect(0);
    assert_eq!(recorded.end(), replayed.end());

    fs::create_dir(place.path("w")).unwrap();
    let elsewhere = ["run", "--image", &image, "--workspace", "w", "-w", "/srv"];
    let elsewhere = place.reprise(&[&elsewhere[..], &["--", "pwd"]].concat());
    assert_eq!(elsewhere.expect(0).stdout.trim_end(), "/srv");
}

#[test]
fn what_is_no_workspace_is_refused_in_a_sentence() {
    let desk = Desk::new();
    fs::write(desk.path("file"), "").unwrap();
    for (workspace, words) in [
        ("nowhere", "the workspace nowhere cannot be opened"),
        ("file", "the workspace file cannot be opened"),
        ("w:rw", "writes through is not there yet"),
        (":ro", "it names no folder"),
    ] {
        let refused = desk.record(workspace, "true").expect(2);
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
        assert!(!desk.path("trace.rpt").exists());
    }
}
