//! Bad input gets one clear sentence and status 2; nothing panics.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::support::{Finished, finish, folder, guest, record, reprise};
use std::path::Path;

#[track_caller]
fn check_refused(finished: Finished, says: &str) {
    let finished = finished.expect(2);
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
    assert!(
        finished.stderr.contains(says),
        "expected `{says}` in: {}",
        finished.stderr
    );
}

fn replay(trace: &Path) -> Finished {
    finish(reprise().args(["replay", "--quiet"]).arg(trace))
}

#[test]
fn usage_errors() {
    check_refused(finish(reprise().arg("fly")), "fly");
    check_refused(
        finish(reprise().args(["replay", "/nonexistent.rpt"])),
        "/nonexistent.rpt",
    );
    check_refused(
        finish(reprise().args(["run", "--ram", "3", "--", "/bin/true"])),
        "--ram",
    );
}

#[test]
fn files_that_are_no_traces() {
    let folder = folder();
    let file = folder.path().join("file");
    for bytes in [
        &b""[..],
        b"x",
        b"this is no trace at all, whatever its name says",
        &[0; 4096],
        &[0xff; 4096],
    ] {
        std::fs::write(&file, bytes).unwrap();
        check_refused(replay(&file), "trace");
    }
    let image = guest().join("Image");
    check_refused(replay(&image), "trace");
    check_refused(finish(reprise().arg("bare").arg(&image)), "ELF");
}

#[test]
fn a_trace_whose_images_are_missing_or_others() {
    let folder = folder();
    let trace = folder.path().join("trace.rpt");
    record(&trace, 1, &[], &["/bin/true"]).expect(0);
    let empty = folder.path().join("cache");
    std::fs::create_dir(&empty).unwrap();
    let missing = finish(
        reprise()
            .env("REPRISE_CACHE", &empty)
            .args(["replay", "--quiet"])
            .arg(&trace),
    );
    check_refused(missing, "image");
    // A file of the right name and the wrong content is not taken for the image.
    for name in ["Image", "initrd"] {
        std::fs::write(empty.join(name), b"something else").unwrap();
    }
    let mut command = reprise();
    command
        .env("REPRISE_CACHE", &empty)
        .args(["replay", "--quiet", "--images"])
        .arg(&empty)
        .arg(&trace);
    check_refused(finish(&mut command), "image");
}

#[test]
fn damaged_traces_replay_shorter_or_are_refused() {
    let folder = folder();
    let trace = folder.path().join("trace.rpt");
    record(&trace, 1, &[], &["/bin/true"]).expect(0);
    let whole = std::fs::read(&trace).unwrap();
    let damaged = folder.path().join("damaged.rpt");
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for _ in 0..25 {
        let cut = random(whole.len());
        std::fs::write(&damaged, &whole[..cut]).unwrap();
        let finished = replay(&damaged);
        // Never 0: a part must not pass for the whole.
        assert!(
            matches!(finished.status, 2 | 3),
            "cut at {cut}: {}",
            finished.stderr
        );
        assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);

        let mut flipped = whole.clone();
        let bit = random(whole.len() * 8);
        flipped[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&damaged, &flipped).unwrap();
        let finished = replay(&damaged);
        assert!(
            matches!(finished.status, 2 | 3),
            "bit {bit}: {}",
            finished.stderr
        );
        assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
    }
}
