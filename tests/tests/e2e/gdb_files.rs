//! Real gdb on programs that are not wholly in the guest's memory: those of containers and of workspaces.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::container::{Place, noise};
use super::gdb::{check_order, gdb};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles `tests/guest/ledger.c`, which is to be in `source_folder` of the guest as far as gdb can know.
fn compile(to: &Path, source_folder: &str, arguments: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest");
    let compiled = Command::new("riscv64-linux-gnu-gcc")
        .current_dir(&folder)
        .args(["-g", "-O0", "ledger.c", "-o"])
        .arg(to)
        .arg(format!(
            "-ffile-prefix-map={}={source_folder}",
            folder.display()
        ))
        .args(arguments)
        .status();
    assert!(compiled.unwrap().success());
}

/// A library of the compiler's.
fn library(name: &str) -> Vec<u8> {
    let found = Command::new("riscv64-linux-gnu-gcc")
        .arg(format!("-print-file-name={name}"))
        .output();
    fs::read(String::from_utf8(found.unwrap().stdout).unwrap().trim()).unwrap()
}

/// A place whose image has the program as `bin/ledger`, dynamically linked as `bin/linked`, and whose folder `w` has both and
/// the source.
fn place() -> Place {
    let folder = super::support::folder();
    let built = |name: &str, arguments: &[&str]| {
        let path = folder.path().join(name);
        compile(&path, "/workspace", arguments);
        fs::read(path).unwrap()
    };
    built("ledger", &["-static"]);
    // Far behind everything that the guest reads is what debuggers read.
    fs::write(folder.path().join("noise"), noise(1 << 20)).unwrap();
    let moved = Command::new("riscv64-linux-gnu-objcopy")
        .current_dir(folder.path())
        .args(["--add-section", ".noise=noise", "ledger", "ledger"])
        .status();
    assert!(moved.unwrap().success());
    let ledger = fs::read(folder.path().join("ledger")).unwrap();
    let linked = built("linked", &[]);
    let place = Place::with_programs(&[
        ("bin/ledger", &ledger),
        ("bin/linked", &linked),
        ("lib/libc.so.6", &library("libc.so.6")),
        (
            "lib/ld-linux-riscv64-lp64d.so.1",
            &library("ld-linux-riscv64-lp64d.so.1"),
        ),
    ]);
    fs::create_dir(place.path("w")).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest/ledger.c");
    fs::copy(source, place.path("w/ledger.c")).unwrap();
    for name in ["ledger", "linked"] {
        fs::copy(folder.path().join(name), place.path("w").join(name)).unwrap();
    }
    place
}

fn record(place: &Place, arguments: &[&str]) -> PathBuf {
    // `reprise gdb` is not told where this cache is.
    let always = ["record", "-q", "--embed", "--seed", "5", "-o", "trace.rpt"];
    place.reprise(&[&always, arguments].concat()).expect(4);
    place.path("trace.rpt")
}

/// From the wrong sum back to the index that ran too far.
#[track_caller]
fn check(trace: &Path, executable: &str) {
    let commands = [
        "info inferiors",
        "break ledger.c:29",
        "break main",
        "continue",
        "continue",
        "print total",
        "watch book.total",
        "reverse-continue",
        "backtrace",
        "reverse-continue",
        "delete",
        "break post",
        "reverse-continue",
        "monitor ps",
    ];
    let said = gdb(trace, &commands);
    let executable_here = format!("target:{executable}");
    let common = [
        executable_here.as_str(),
        "hit Breakpoint 2, main () at ledger.c:27",
        "hit Breakpoint 1, main () at ledger.c:29",
        "$1 = 20",
        "hit Hardware watchpoint 3: book.total",
        "Old value = 20",
        "New value = 15",
        "in post (slot=4, amount=5) at ledger.c:13",
        "in post_all () at ledger.c:21",
        "in main () at ledger.c:27",
        // The store beyond the array.
        "hit Hardware watchpoint 3: book.total",
        "Old value = 15",
        "New value = 10",
        "in post (slot=4, amount=5) at ledger.c:12",
        "hit Breakpoint 4, post (slot=4, amount=5)",
        executable,
    ];
    check_order(&said, &common);
}

#[test]
fn a_program_of_a_workspace_is_debugged() {
    let place = place();
    let trace = record(&place, &["--workspace", "w", "--", "/workspace/ledger"]);
    check(&trace, "/workspace/ledger");
}

#[test]
fn a_source_that_the_guest_has_read_is_shown() {
    let place = place();
    let script = "cat ledger.c > /dev/null; exec ./ledger";
    let trace = record(&place, &["--workspace", "w", "--", "sh", "-c", script]);
    let first = ["catch exec", "continue", "delete"];
    let commands = ["break 12", "continue"];
    let said = gdb(&trace, &[&first[..], &commands].concat());
    check_order(
        &said,
        &[
            "process 25 is executing new program: /workspace/ledger",
            "hit Breakpoint 2, post (slot=0, amount=1)",
            "book.amounts[slot] += amount;",
        ],
    );
}

#[test]
fn a_program_of_a_container_is_debugged() {
    let place = place();
    let image = place.image();
    let arguments = ["--image", &image, "--entrypoint", "", "--", "/bin/ledger"];
    check(&record(&place, &arguments), "/bin/ledger");
    let trace = record(
        &place,
        &[
            "--force",
            "--image",
            &image,
            "--entrypoint",
            "",
            "--",
            "/bin/linked",
        ],
    );
    check(&trace, "/bin/linked");
    // The container's own library, which the guest outside of it does not have.
    let said = gdb(&trace, &["break main", "continue", "info sharedlibrary"]);
    check_order(&said, &["Yes", "target:/lib/libc.so.6"]);
}

#[test]
fn a_program_of_a_workspace_is_debugged_in_a_container() {
    let place = place();
    let image = place.image();
    for name in ["ledger", "linked"] {
        let program = format!("/workspace/{name}");
        let arguments = ["--image", &image, "--entrypoint", "", "--workspace", "w"];
        let more = ["--force", "--", &program];
        let trace = record(&place, &[&arguments[..], &more].concat());
        check(&trace, &program);
    }
}
