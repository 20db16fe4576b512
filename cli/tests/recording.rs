//! `record`, `replay`, `info`, `events` and `verify`, as processes.

mod support;

use reprise_traces::{Compression, Record, TraceReader, TraceWriter};
use std::fs::{self, File};
use std::io::Write;
use std::process::Stdio;
use support::{Place, Run, byte_len};

#[test]
fn a_commands_exit_status_is_the_processs() {
    let place = Place::new();
    for (command, status) in [("0", 0), ("5", 5)] {
        let run = place.run(&["run", "--image", "guest", "--", command]);
        assert_eq!(run.expect_status(status).stderr, "");
        let trace = format!("trace-{status}");
        let recorded = place.record(&trace, &["--", command]).expect_status(status);
        let replayed = place
            .run(&["replay", &trace, "--images", "guest"])
            .expect_status(0);
        assert_eq!(recorded.position(), replayed.position());
    }
}

#[test]
fn a_trace_is_overwritten_only_by_force() {
    let place = Place::new();
    place.write("trace", "a trace of great value");
    for tries in [&[][..], &["--tries", "2"]] {
        place
            .record("trace", &[tries, &["--", "0"]].concat())
            .expect_refusal("--force");
    }
    assert_eq!(byte_len(&place.path("trace")), 22);
    place
        .record("trace", &["--force", "--", "0"])
        .expect_status(0);
    place
        .run(&["replay", "trace", "--images", "guest"])
        .expect_status(0);
    // A name that somebody has reserved holds nothing.
    place.write("reserved", "");
    place.record("reserved", &["--", "0"]).expect_status(0);
}

#[test]
fn one_seed_is_one_execution_whenever_it_is_recorded() {
    let place = Place::new();
    let record = |trace: &str, arguments: &[&str]| {
        let all = [&["record", "--image", "guest", "-o", trace][..], arguments];
        let run = place.run(&all.concat());
        let info = place.run(&["info", trace, "--json"]).expect_status(0);
        let info: serde_json::Value = serde_json::from_str(&info.stdout).expect("JSON");
        (run, info)
    };
    let (first, info) = record("first", &["--seed", "7", "--", "0"]);
    assert_eq!(
        info["clock_unix_nanoseconds"],
        1_767_225_600_000_000_000_u64
    );
    std::thread::sleep(std::time::Duration::from_millis(20));
    let (second, _) = record("second", &["--seed", "7", "--", "0"]);
    assert_eq!(first.position(), second.position());
    let (other, _) = record("other", &["--seed", "8", "--", "0"]);
    assert_ne!(first.position(), other.position());
    // Without a seed it is now.
    let (_, info) = record("now", &["--", "0"]);
    let now = info["clock_unix_nanoseconds"].as_u64().expect("a number");
    assert!(now > 1_767_225_600_000_000_000 + 1_000_000, "{now}");
    // A try is repeated by its seed.
    let (tried, info) = record("tried", &["--tries", "1", "--", "5"]);
    let seed = info["config"]["seed"].as_str().expect("a seed");
    let (again, _) = record("again", &["--seed", seed, "--", "5"]);
    assert_eq!(tried.position(), again.position());
}

#[test]
fn a_typed_session_replays() {
    let place = Place::new();
    place.write("input", "hi\nyou\nq");
    let recorded = place
        .record("trace", &["--input", "input"])
        .expect_status(7);
    assert_eq!(recorded.stdout, ">hi\n>you\n>q");
    assert!(byte_len(&place.path("trace")) < 1000);
    let replayed = place
        .run(&["replay", "trace", "--images", "guest"])
        .expect_status(0);
    assert_eq!(replayed.stdout, recorded.stdout);
    assert_eq!(replayed.position(), recorded.position());
    let quiet = place
        .run(&["replay", "trace", "--images", "guest", "--quiet"])
        .expect_status(0);
    assert_eq!(quiet.stdout, "");
    assert_eq!(quiet.position(), recorded.position());

    // The same again is the same execution; another seed another one.
    let again = place.record("again", &["--input", "input"]);
    assert_eq!(again.position(), recorded.position());
    let other = place.record("other", &["--input", "input", "--clock", "2000"]);
    assert_eq!(
        other.status,
        Some(2),
        "an option was given twice: {other:?}"
    );
}

#[test]
fn a_script_that_ends_is_an_end_of_input() {
    let place = Place::new();
    place.write("input", "hi\n");
    let recorded = place
        .record("trace", &["--input", "input"])
        .expect_status(0);
    assert_eq!(recorded.stdout, ">hi\n>\u{4}");
}

#[test]
fn a_pipe_is_typed() {
    let place = Place::new();
    let mut child = place
        .reprise(&["run", "--image", "guest"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(b"piped\n").expect("it reads");
    drop(stdin);
    let run = Run::of(child.wait_with_output().expect("it ends"));
    assert_eq!(run.expect_status(0).stdout, ">piped\n>\u{4}");
}

#[test]
fn replay_to_an_icount() {
    let place = Place::new();
    place.write("input", "hi\nq");
    let recorded = place
        .record("trace", &["--input", "input"])
        .expect_status(7);
    let half = place
        .run(&["replay", "trace", "--images", "guest", "--to", "20000"])
        .expect_status(0);
    assert!(half.position().starts_with("icount=20000 "), "{half:?}");
    assert!(recorded.stdout.starts_with(&half.stdout));
    let beyond = place
        .run(&[
            "replay",
            "trace",
            "--images",
            "guest",
            "--to",
            "99999999999",
        ])
        .expect_status(0);
    assert_eq!(beyond.position(), recorded.position());
    assert!(beyond.stderr.contains("the recording ends"), "{beyond:?}");
}

#[test]
fn the_limit_is_status_124() {
    let place = Place::new();
    let limited = place
        .record("trace", &["--max-icount", "100000", "--", "i"])
        .expect_status(124);
    assert!(limited.stderr.contains("--max-icount"), "{limited:?}");
    assert!(limited.position().starts_with("icount=100000 "));
    let replayed = place
        .run(&["replay", "trace", "--images", "guest"])
        .expect_status(0);
    assert_eq!(replayed.position(), limited.position());
    place
        .run(&[
            "run",
            "--image",
            "guest",
            "--max-icount",
            "100000",
            "--",
            "i",
        ])
        .expect_status(124);
}

#[test]
fn info_and_events() {
    let place = Place::new();
    place.write("input", "hi\nq");
    place.write("added", "content");
    place
        .record(
            "trace",
            &[
                "--input",
                "input",
                "--add",
                "added:/etc/added",
                "--ram",
                "128",
            ],
        )
        .expect_status(7);
    let info = place
        .run(&["info", "trace", "--json", "--images", "guest"])
        .expect_status(0);
    let info: serde_json::Value = serde_json::from_str(&info.stdout).expect("JSON");
    assert_eq!(info["config"]["ram_bytes"], 128 << 20);
    assert_eq!(info["config"]["seed"], "1");
    assert_eq!(info["counts"]["events"], 3);
    assert_eq!(info["complete"], true);
    assert_eq!(info["end"]["exit_status"], 7);
    assert_eq!(info["images"][0]["state"], "found");
    let text = place.run(&["info", "trace"]).expect_status(0).stdout;
    assert!(
        text.contains("exit status 7") && text.contains("missing"),
        "{text}"
    );
    assert!(
        text.contains("runs           a shell with 1 file"),
        "{text}"
    );
    assert!(text.contains("1970-01-01 00:16:40 UTC"), "{text}");

    let events = place.run(&["events", "trace", "--json"]).expect_status(0);
    let events: Vec<serde_json::Value> = events
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(events[0]["kind"], "start");
    assert_eq!(events[0]["files"][0]["path"], "/etc/added");
    assert_eq!(events[0]["clock_unix_nanoseconds"], 1_000_000_000_000_u64);
    assert_eq!(events[1]["text"], "hi\n");
    let last = events.last().expect("an end");
    assert_eq!(last["kind"], "end");
    let text = place.run(&["events", "trace"]).expect_status(0).stdout;
    assert!(text.contains("start a shell with 1 file"), "{text}");
    let hash = text.lines().find(|line| line.contains("hash of ram "));
    let hash = hash.expect("a hash");
    for component in ["cpus", "devices", "disks", "output"] {
        assert!(hash.contains(&format!(", {component} ")), "{hash}");
    }
    let time = text.lines().find(|line| line.contains("guest time "));
    assert!(time.is_some_and(|line| line.ends_with(" s")), "{text}");
    assert!(text.contains("console 1 \"hi\\n\" after"), "{text}");
}

#[test]
fn images_are_found_embedded_in_folders_or_in_the_cache() {
    let place = Place::new();
    place.record("outside", &["--", "0"]).expect_status(0);
    place
        .record("inside", &["--embed", "--", "0"])
        .expect_status(0);
    fs::rename(place.path("guest"), place.path("moved")).expect("moved");
    place.run(&["replay", "inside"]).expect_status(0);
    place
        .run(&["replay", "outside"])
        .expect_refusal("kernel image `Image`");
    place
        .run(&["replay", "outside", "--images", "moved"])
        .expect_status(0);

    // An image of the right name and size but with other bytes is not it.
    let mut other = support::guest::image();
    other[100] ^= 1;
    fs::create_dir(place.path("wrong")).expect("a folder");
    place.write("wrong/Image", other);
    place
        .run(&["replay", "outside", "--images", "wrong"])
        .expect_refusal("kernel image `Image`");

    fs::create_dir_all(place.path("cache/guest/key")).expect("a folder");
    fs::rename(
        place.path("moved/Image"),
        place.path("cache/guest/key/Image"),
    )
    .expect("moved");
    place.run(&["replay", "outside"]).expect_status(0);

    // The default guest is the one that `current` names.
    place
        .run(&["run", "--", "4"])
        .expect_refusal("cargo xtask guest");
    place.write("cache/guest/current", "key\n");
    place.run(&["run", "--", "4"]).expect_status(4);
}

#[test]
fn tries_keep_the_first_failing_trace() {
    let place = Place::new();
    let tries = place
        .run(&[
            "record",
            "--image",
            "guest",
            "-o",
            "trace",
            "--seed",
            "1",
            "--tries",
            "20",
            "--until-fail",
            "--",
            "r",
        ])
        .expect_status(1);
    assert!(tries.stderr.contains("is kept"), "{tries:?}");
    let info = place.run(&["info", "trace", "--json"]).expect_status(0);
    let info: serde_json::Value = serde_json::from_str(&info.stdout).expect("JSON");
    let seed: u32 = info["config"]["seed"]
        .as_str()
        .and_then(|seed| seed.parse().ok())
        .expect("a number");
    assert_eq!(info["end"]["exit_status"], 1);
    for _ in 0..3 {
        let replayed = place
            .run(&["replay", "trace", "--images", "guest"])
            .expect_status(0);
        assert_eq!(replayed.position(), tries.position());
    }
    // Every seed before it passed, and does so again.
    for before in 1..seed {
        place
            .run(&[
                "run",
                "--image",
                "guest",
                "--seed",
                &before.to_string(),
                "--clock",
                "0",
                "--",
                "r",
            ])
            .expect_status(0);
    }
    let none = place
        .run(&[
            "record", "--image", "guest", "-o", "none", "--tries", "3", "--", "0",
        ])
        .expect_status(0);
    assert!(none.stderr.contains("none of 3"), "{none:?}");
    assert_eq!(byte_len(&place.path("none")), 0);
    assert_eq!(byte_len(&place.path("none.try")), 0);
}

#[test]
fn verify_finds_equal_executions_equal() {
    let place = Place::new();
    // Beyond one interval of the comparison, yet short for the reference engine.
    place.write("input", format!("{}\nq", "x".repeat(2000)));
    let recorded = place
        .record("trace", &["--input", "input"])
        .expect_status(7);
    for against in ["trace", "checkpoint", "reference"] {
        let verified = place
            .run(&["verify", "trace", "--images", "guest", "--against", against])
            .expect_status(0);
        assert_eq!(verified.position(), recorded.position());
    }
}

#[test]
fn a_divergence_is_status_1_and_names_interval_and_component() {
    let place = Place::new();
    place.write("input", "hi\nb\nq");
    place
        .record("trace", &["--input", "input"])
        .expect_status(7);
    let mut reader =
        TraceReader::open(File::open(place.path("trace")).expect("there")).expect("a trace");
    let header = reader.header().clone();
    let file = File::create(place.path("wrong")).expect("created");
    let mut writer = TraceWriter::create(file, &header, Compression::Live).expect("created");
    while let Some(mut record) = reader.next_record().expect("whole") {
        if let Record::StateHash { components, .. } = &mut record {
            components[2] ^= 1;
        }
        writer.push(&record).expect("written");
    }
    writer.finish().expect("written");
    let replayed = place
        .run(&["replay", "wrong", "--images", "guest"])
        .expect_status(1);
    assert!(
        replayed.stderr.contains("differs in devices"),
        "{replayed:?}"
    );
    replayed.position();
    let verified = place
        .run(&["verify", "wrong", "--images", "guest"])
        .expect_status(1);
    assert!(verified.stderr.contains("in devices"), "{verified:?}");
}

#[test]
fn a_cut_trace_replays_to_where_it_is_whole() {
    let place = Place::new();
    place.write("input", "hi\nq");
    place
        .record("trace", &["--input", "input"])
        .expect_status(7);
    let bytes = fs::read(place.path("trace")).expect("there");
    for length in (0..bytes.len()).step_by(23) {
        place.write("cut", &bytes[..length]);
        let run = place.run(&["replay", "cut", "--images", "guest"]);
        match run.status {
            Some(3) => {
                assert!(run.stderr.contains("breaks off at byte"), "{run:?}");
                assert_ends_as_told(&run);
            }
            _ => run.expect_refusal("cut"),
        }
    }
}

/// What is said before the replay is where it then ends.
#[track_caller]
fn assert_ends_as_told(run: &Run) {
    let told = run.stderr.split("it replays to icount ").nth(1);
    let told = told.and_then(|rest| rest.lines().next()).expect("told");
    let position = run.position();
    assert!(position.starts_with(&format!("icount={told} ")), "{run:?}");
}

#[test]
fn a_damaged_trace_is_not_one_that_was_cut() {
    let place = Place::new();
    place.write("input", "hi\nq");
    place
        .record("trace", &["--input", "input"])
        .expect_status(7);
    let mut bytes = fs::read(place.path("trace")).expect("there");
    // In the records' only chunk, which other chunks follow.
    let at = bytes.len() - 150;
    bytes[at] ^= 0x10;
    place.write("damaged", &bytes);
    for command in ["replay", "verify"] {
        let run = place
            .run(&[command, "damaged", "--images", "guest"])
            .expect_status(3);
        assert!(run.stderr.contains("is damaged at byte"), "{run:?}");
        assert_ends_as_told(&run);
    }
    let info = place.run(&["info", "damaged"]).expect_status(0);
    assert!(info.stdout.contains("is damaged at byte"), "{info:?}");
    // Who wants no more than what is there gets it.
    place
        .run(&["replay", "damaged", "--images", "guest", "--to", "0"])
        .expect_status(0);
}

#[test]
fn nobody_reads_a_replay_to_its_end() {
    let place = Place::new();
    place.write("input", "hi\nyou\nq");
    place
        .record("trace", &["--input", "input"])
        .expect_status(7);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = place
        .reprise(&["replay", "trace", "--images", "guest"])
        .stdout(writer)
        .output()
        .expect("it runs");
    let run = Run::of(output).expect_status(141);
    assert_eq!(run.stderr, "");
}

#[test]
fn a_guests_command_needs_two_dashes() {
    let place = Place::new();
    for command in ["run", "record"] {
        let run = place.run(&[command, "/demos/hello"]).expect_status(2);
        assert!(run.stderr.contains("-- /demos/hello"), "{run:?}");
    }
}

#[test]
fn a_disk_that_was_changed_is_told_from_one_that_is_missing() {
    let place = Place::new();
    fs::create_dir(place.path("disks")).expect("a folder");
    place.write("disks/data", [1; 4096]);
    place
        .record("trace", &["--disk", "disks/data", "--", "0"])
        .expect_status(0);
    let replay = || place.run(&["replay", "trace", "--images", "guest", "--images", "disks"]);
    replay().expect_status(0);
    for changed in [vec![2; 4096], vec![1; 512]] {
        place.write("disks/data", changed);
        let run = replay();
        assert!(run.stderr.contains("--embed"), "{run:?}");
        assert!(!run.stderr.contains("build the guest"), "{run:?}");
        run.expect_refusal("disks/data has its name and another content");
    }
    fs::remove_file(place.path("disks/data")).expect("there");
    replay().expect_refusal("name the folder that holds it with --images");
}

#[test]
fn bad_input_is_one_sentence_and_status_2() {
    let place = Place::new();
    place.write("text", "not a trace\n".repeat(100));
    place.write("empty", "");
    for command in ["replay", "info", "events", "verify"] {
        place
            .run(&[command, "text"])
            .expect_refusal("not a Reprise trace");
        place.run(&[command, "empty"]).expect_refusal("empty");
        place.run(&[command, "absent"]).expect_refusal("absent");
        place.run(&[command, "guest"]).expect_refusal("guest");
        let told = place.run(&[command, "guest"]).stderr;
        assert_eq!(told.matches("directory").count(), 1, "{told}");
    }
    let record = |arguments: &[&str]| {
        let mut all = vec!["record", "--image", "guest", "-o", "trace"];
        all.extend(arguments);
        place.run(&all)
    };
    record(&["--add", "text"]).expect_refusal("HOST:/GUEST/PATH");
    record(&["--add", "absent:/x"]).expect_refusal("absent");
    record(&["--input", "absent"]).expect_refusal("absent");
    record(&["--disk", "absent"]).expect_refusal("absent");
    record(&["--ram", "65"]).expect_refusal("2 MiB");
    record(&["--ram", "65536", "--quiet"]).expect_refusal("MiB of RAM");
    place
        .run(&["run", "--image", "absent"])
        .expect_refusal("cargo xtask guest");
    place.write("guest/Image", "not a kernel");
    record(&[]).expect_refusal("RISC-V Linux Image");
    assert_eq!(byte_len(&place.path("trace")), 0, "nothing was recorded");
    for arguments in [
        &["record", "--seed", "x"][..],
        &["record", "--ram", "1"],
        &["record", "--until-fail"],
        &["replay"],
        &["nonsense"],
    ] {
        assert_eq!(place.run(arguments).status, Some(2), "{arguments:?}");
    }
}
