//! `bare`, as a process.

mod support;

use support::elf::elf;
use support::{Place, Run};

const TOHOST: (&str, u64) = ("tohost", 0x8000_1000);
/// `auipc t1, 1`: the address of `tohost`.
const TOHOST_IN_T1: u32 = 0x0000_1317;
/// `sd t0, 0(t1)`.
const STORE: u32 = 0x0053_3023;
/// `j .`.
const LOOP: u32 = 0x0000_006f;
/// `wfi`.
const WFI: u32 = 0x1050_0073;

/// `li t0, value`.
fn load(value: u32) -> u32 {
    value << 20 | 0x293
}

fn bare(words: &[u32], arguments: &[&str]) -> Run {
    let place = Place::new();
    place.write("program", elf(words, &[TOHOST]));
    let mut all = vec!["bare", "program"];
    all.extend(arguments);
    place.run(&all)
}

#[test]
fn pass_and_fail() {
    let passed = bare(&[TOHOST_IN_T1, load(1), STORE, LOOP], &[]);
    assert_eq!(passed.expect_status(0).stderr, "");
    let failed = bare(&[TOHOST_IN_T1, load(3 << 1 | 1), STORE, LOOP], &[]).expect_status(1);
    assert!(failed.stderr.contains("test 3 failed"), "{failed:?}");
}

#[test]
fn the_limit_and_an_endless_wait() {
    let limited = bare(&[LOOP], &["--max-icount", "1000000"]).expect_status(124);
    assert!(limited.stderr.contains("icount 1000000"), "{limited:?}");
    let waiting = bare(&[WFI, LOOP], &["--max-icount", "1000"]).expect_status(1);
    assert!(waiting.stderr.contains("waits for ever"), "{waiting:?}");
}

#[test]
fn a_program_that_cannot_report_is_warned_of() {
    let place = Place::new();
    place.write("program", elf(&[LOOP], &[]));
    let run = place
        .run(&["bare", "program", "--max-icount", "1000"])
        .expect_status(124);
    assert!(
        run.stderr
            .lines()
            .next()
            .is_some_and(|line| line.contains("`tohost`")),
        "{run:?}"
    );
}

#[test]
fn a_signature_is_words_of_memory() {
    let place = Place::new();
    let words = [TOHOST_IN_T1, load(1), STORE, LOOP, 0x0123_4567, 0x89ab_cdef];
    let symbols = [
        TOHOST,
        ("begin_signature", 0x8000_0010),
        ("end_signature", 0x8000_0018),
    ];
    place.write("program", elf(&words, &symbols));
    place
        .run(&["bare", "program", "--signature", "signature"])
        .expect_status(0);
    let signature = std::fs::read_to_string(place.path("signature")).expect("written");
    assert_eq!(signature, "01234567\n89abcdef\n");
    place.write("without", elf(&words, &[TOHOST]));
    place
        .run(&["bare", "without", "--signature", "signature"])
        .expect_refusal("begin_signature");
}

#[test]
fn not_a_program() {
    let place = Place::new();
    place.write("text", "not a program");
    place.run(&["bare", "text"]).expect_refusal("text");
    place.run(&["bare", "guest"]).expect_refusal("guest");
    place.run(&["bare", "absent"]).expect_refusal("absent");
}

#[test]
fn input_is_typed_into_the_uart() {
    let place = Place::new();
    let words = [
        TOHOST_IN_T1,
        0x1000_03b7, // lui t2, 0x10000
        0x0053_c283, // lbu t0, 5(t2)
        0x0012_f293, // andi t0, t0, 1
        0xfe02_8ce3, // beqz t0, .-8
        0x0003_c283, // lbu t0, 0(t2)
        0x0012_9293, // slli t0, t0, 1
        0x0012_e293, // ori t0, t0, 1
        STORE,
        LOOP,
    ];
    place.write("program", elf(&words, &[TOHOST]));
    place.write("typed", [7]);
    let told = place
        .run(&["bare", "program", "--input", "typed"])
        .expect_status(1);
    assert!(told.stderr.contains("test 7 failed"), "{told:?}");
    let missing = place
        .run(&["bare", "program", "--disk", "none"])
        .expect_status(2);
    assert!(missing.stderr.contains("none"), "{missing:?}");
}

#[test]
fn answers_of_the_host_are_no_requests() {
    for fromhost in [0, 1, 4, 7] {
        let place = Place::new();
        let symbols = [TOHOST, ("fromhost", TOHOST.1 + fromhost)];
        let words = [TOHOST_IN_T1, load(2), STORE, LOOP];
        place.write("program", elf(&words, &symbols));
        place
            .run(&["bare", "program", "--max-icount", "1000"])
            .expect_status(124);
    }
}
