//! A replay in a new process, natively and as wasm, is the same execution.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::support::{finish, folder, record, replay, replay_in_node, reprise};
use reprise_tests::soak_factor;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Records, then compares the ends of both replays with the recording's.
#[track_caller]
fn check(seed: u64, arguments: &[&str], guest_command: &[&str], status: i32) -> String {
    let folder = folder();
    let trace = folder.path().join("trace.rpt");
    let recorded = record(&trace, seed, arguments, guest_command).expect(status);
    let replayed = replay(&trace).expect(0);
    assert_eq!(recorded.end(), replayed.end());
    assert_eq!(recorded.stdout, replayed.stdout, "the console differs");
    let in_node = replay_in_node(&trace).expect(0);
    assert_eq!(recorded.end(), in_node.end(), "wasm differs");
    recorded.stdout
}

#[test]
fn boot_and_an_exit_status() {
    check(1, &[], &["/bin/true"], 0);
    check(1, &[], &["/bin/sh", "-c", "exit 42"], 42);
}

#[test]
fn hello_reads_its_arguments_environment_and_added_files() {
    let folder = folder();
    let file = folder.path().join("note");
    std::fs::write(&file, "from the host\n").unwrap();
    let added = format!("{}:/root/note", file.display());
    let console = check(3, &["--add", &added], &["/bin/cat", "/root/note"], 0);
    assert!(console.contains("from the host"), "{console}");
}

#[test]
fn a_use_after_free_found_by_a_random_key() {
    let folder = folder();
    let mut statuses = BTreeSet::new();
    for seed in 1..=12 {
        let trace = folder.path().join(format!("{seed}.rpt"));
        let recorded = record(&trace, seed, &[], &["/demos/uaf"]);
        assert_eq!(recorded.end(), replay(&trace).expect(0).end());
        let is_new = statuses.insert(recorded.status == 0);
        if is_new {
            assert_eq!(recorded.end(), replay_in_node(&trace).expect(0).end());
        }
    }
    assert_eq!(
        statuses.len(),
        2,
        "the key should matter: some seeds fail and some do not"
    );
}

#[test]
fn ten_seeds_of_the_race_each_the_same_way_on_every_replay() {
    let folder = folder();
    let mut failures = 0;
    let mut seeds = 0;
    // Ten seeds, and as many more as it takes until the race has struck and has not struck.
    while seeds < 10 || ((failures == 0 || failures == seeds) && seeds < 60) {
        seeds += 1;
        let trace = folder.path().join(format!("{seeds}.rpt"));
        let recorded = record(&trace, seeds, &[], &["/demos/race"]);
        failures += u64::from(recorded.status != 0);
        for _ in 0..2 {
            let replayed = replay(&trace).expect(0);
            assert_eq!(recorded.end(), replayed.end(), "seed {seeds}");
            assert_eq!(recorded.stdout, replayed.stdout, "seed {seeds}");
        }
        if seeds <= 2 {
            assert_eq!(
                recorded.end(),
                replay_in_node(&trace).expect(0).end(),
                "seed {seeds} as wasm"
            );
        }
    }
    assert!(
        failures > 0 && failures < seeds,
        "{failures} of {seeds} seeds failed"
    );
}

#[test]
fn the_parser_dies_on_one_typed_line() {
    let folder = folder();
    let script = folder.path().join("input");
    std::fs::write(&script, include_bytes!("parser.input")).unwrap();
    let input = script.display().to_string();
    let console = check(5, &["--input", &input], &["/demos/parser"], 101);
    assert!(console.contains("panicked"), "{console}");
}

#[test]
fn an_interactive_session_fits_into_four_kilobytes() {
    let folder = folder();
    let script = folder.path().join("input");
    let commands =
        "uname -a\nls /\ncd /tmp\necho hello > a\ncat a\nwc a\nps\nls -l /demos\ndate\nexit\n";
    std::fs::write(&script, commands).unwrap();
    let trace = folder.path().join("trace.rpt");
    let recorded = record(&trace, 7, &["--input", &script.display().to_string()], &[]).expect(0);
    assert!(recorded.stdout.contains("Linux"), "{}", recorded.stdout);
    assert!(recorded.stdout.contains("hello"), "{}", recorded.stdout);
    let replayed = replay(&trace).expect(0);
    assert_eq!(recorded.end(), replayed.end());
    assert_eq!(recorded.end(), replay_in_node(&trace).expect(0).end());
    let byte_len = std::fs::metadata(&trace).unwrap().len();
    assert!(
        byte_len <= 4096,
        "boot, ten commands and power-off take {byte_len} bytes"
    );
}

/// Processes that keep every core of the host busy while a test runs.
struct HostLoad(Vec<Child>);

impl HostLoad {
    fn start() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let busy = |_| {
            Command::new("sh")
                .args(["-c", "while :; do :; done"])
                .stdin(Stdio::null())
                .spawn()
                .expect("a shell starts")
        };
        Self((0..cores).map(busy).collect())
    }
}

impl Drop for HostLoad {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn replays_under_host_load_do_not_diverge() {
    let folder = folder();
    let trace = folder.path().join("trace.rpt");
    let recorded = record(&trace, 11, &[], &["/demos/race"]);
    let _load = HostLoad::start();
    for round in 0..(20 * soak_factor().min(10)) {
        assert_eq!(
            recorded.end(),
            replay(&trace).expect(0).end(),
            "replay {round}"
        );
    }
}

#[test]
fn a_recorder_killed_at_any_time_leaves_a_trace_that_replays() {
    let folder = folder();
    for milliseconds in [150, 400, 900, 1700, 2600] {
        let trace = folder.path().join(format!("{milliseconds}.rpt"));
        let mut child = reprise()
            .args(["record", "--seed", "9", "-o"])
            .arg(&trace)
            .args(["--", "/bin/sh", "-c", "while :; do echo tick; done"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
        if !has_header(&trace) {
            assert!(
                milliseconds < 1000,
                "killed after {milliseconds} ms, nothing was kept"
            );
            continue;
        }
        let replayed = replay(&trace).expect(3);
        let said = &replayed.stderr;
        assert!(said.contains("breaks off"), "{said}");
        let end = replayed.end();
        // At most a second is lost; the rest of the time is for a busy host.
        assert!(
            milliseconds < 2000 || !end.starts_with("icount=0 "),
            "killed after {milliseconds} ms: {end}"
        );
    }
}

fn has_header(trace: &Path) -> bool {
    trace.is_file() && finish(reprise().arg("info").arg(trace)).status == 0
}

#[test]
fn tries_keep_the_first_failing_recording() {
    let folder = folder();
    let trace = folder.path().join("race.rpt");
    let mut command = reprise();
    command
        .args([
            "record",
            "--tries",
            "60",
            "--until-fail",
            "--seed",
            "1",
            "-o",
        ])
        .arg(&trace);
    let recorded = finish(command.args(["--", "/demos/race"]));
    assert_ne!(recorded.status, 0, "{}", recorded.stderr);
    assert_eq!(recorded.end(), replay(&trace).expect(0).end());
}

#[test]
fn verify_agrees_with_itself() {
    let folder = folder();
    let trace = folder.path().join("trace.rpt");
    record(&trace, 13, &[], &["/bin/true"]).expect(0);
    finish(reprise().arg("verify").arg(&trace)).expect(0);
    finish(
        reprise()
            .arg("verify")
            .arg(&trace)
            .args(["--against", "checkpoint"]),
    )
    .expect(0);
    finish(
        reprise()
            .arg("verify")
            .arg(&trace)
            .args(["--against", "reference"]),
    )
    .expect(0);
}

#[test]
fn a_last_line_without_a_newline_is_the_end_of_a_session() {
    let folder = folder();
    let script = folder.path().join("input");
    for (number, (text, command, status)) in [
        ("echo one\nexit 3", &[][..], 3),
        ("one\ntwo", &["/bin/cat"], 0),
        (
            "one\ntwo",
            &[
                "/bin/sh",
                "-c",
                "while read -r line; do echo; done; test $line = two",
            ],
            0,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        std::fs::write(&script, text).unwrap();
        let trace = folder.path().join(format!("{number}.rpt"));
        let input = script.display().to_string();
        let recorded = record(&trace, 5, &["--input", &input], command).expect(status);
        assert_eq!(recorded.end(), replay(&trace).expect(0).end());
    }
}

#[test]
fn a_command_that_outlasts_its_input_by_far_is_stopped() {
    let folder = folder();
    let trace = folder.path().join("trace.rpt");
    // More than two days; after about 14 hours of its time nobody waits for it any more.
    let recorded = record(&trace, 5, &[], &["/bin/sleep", "200000"]).expect(1);
    assert!(recorded.stderr.contains("Ctrl-D"), "{}", recorded.stderr);
    assert_eq!(recorded.end(), replay(&trace).expect(0).end());
}

#[test]
fn a_killed_session_replays_what_was_seen() {
    use std::io::{Read, Write};
    let folder = folder();
    let trace = folder.path().join("trace.rpt");
    let mut child = reprise()
        .args(["record", "-o"])
        .arg(&trace)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all(b"echo before; sleep 1; echo af''ter\n")
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut seen = Vec::new();
    let mut buffer = [0; 1024];
    while !String::from_utf8_lossy(&seen).contains("after") {
        let length = stdout.read(&mut buffer).unwrap();
        assert_ne!(length, 0, "it ended early");
        seen.extend_from_slice(&buffer[..length]);
    }
    std::thread::sleep(std::time::Duration::from_millis(1500));
    child.kill().unwrap();
    child.wait().unwrap();
    stdout.read_to_end(&mut seen).unwrap();
    assert_eq!(replay(&trace).expect(3).stdout.as_bytes(), seen);
}

#[test]
fn an_hour_of_idling_costs_less_than_a_kilobyte() {
    let folder = folder();
    let [short, long] = ["short.rpt", "long.rpt"].map(|name| folder.path().join(name));
    record(&short, 1, &["--fast"], &["/bin/sleep", "1"]).expect(0);
    let recorded = record(&long, 1, &["--fast"], &["/bin/sleep", "3601"]).expect(0);
    assert_eq!(recorded.end(), replay(&long).expect(0).end());
    let [short, long] = [short, long].map(|path| std::fs::metadata(path).unwrap().len());
    assert!(long < short + 1024, "an hour took {} bytes", long - short);
}
