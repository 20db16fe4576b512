//! Real gdb on real recordings: from a bug's effect back to its cause.
//!
//! The scripts of the three demos are those of the README.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::support::{finish, folder, reprise};
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A recording of a command, with the first seed for which it ends with another status than 0.
fn failing(guest_command: &[&str], arguments: &[&str]) -> (TempDir, std::path::PathBuf) {
    let folder = folder();
    let trace = folder.path().join("bug.rpt");
    let mut command = reprise();
    command
        .args([
            "record",
            "--tries",
            "60",
            "--until-fail",
            "--seed",
            "1",
            "-q",
        ])
        .args(arguments)
        .arg("-o")
        .arg(&trace)
        .arg("--")
        .args(guest_command);
    let recorded = finish(&mut command);
    assert_ne!(recorded.status, 0, "no seed fails");
    (folder, trace)
}

fn recorded(guest_command: &[&str], status: i32) -> (TempDir, std::path::PathBuf) {
    let folder = folder();
    let trace = folder.path().join("trace.rpt");
    super::support::record(&trace, 3, &[], guest_command).expect(status);
    (folder, trace)
}

/// What gdb says when it executes these commands in a session on a trace.
fn gdb_with(trace: &Path, arguments: &[&str], commands: &[&str]) -> String {
    // What gdb says of the guest and what it says itself belong in one order.
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "exec \"$@\" 2>&1", "sh"]);
    command.arg(reprise().get_program()).stdin(Stdio::null());
    command.arg("gdb").arg(trace).args(arguments);
    // Where `monitor save` writes to.
    command.current_dir(trace.parent().unwrap());
    // Without what the person who runs the tests has set up.
    command.args(["--", "-nx", "-batch"]);
    for line in commands {
        command.args(["-ex", line]);
    }
    finish(&mut command).stdout
}

pub(crate) fn gdb(trace: &Path, commands: &[&str]) -> String {
    gdb_with(trace, &[], commands)
}

/// Checks that these texts stand in another in this order.
#[track_caller]
pub(crate) fn check_order(said: &str, expected: &[&str]) {
    let mut rest = said;
    for text in expected {
        let Some(at) = rest.find(text) else {
            panic!("`{text}` is missing, in this order, from:\n{said}");
        };
        rest = &rest[at + text.len()..];
    }
}

#[test]
fn the_use_after_free_leads_back_to_the_free() {
    let (_folder, trace) = failing(&["/demos/uaf"], &[]);
    let said = gdb(
        &trace,
        &[
            "continue",
            "break free",
            "watch -l cache->slots",
            "reverse-continue",
            "backtrace",
            "reverse-continue",
            "backtrace",
        ],
    );
    check_order(
        &said,
        &[
            // The effect, with the guest's own source.
            "received signal SIGSEGV",
            "follow_link (cache=",
            "uaf.c:120",
            "parent->links_out++;",
            // The free of the memory that `parent` points into.
            "hit Breakpoint 1",
            "in free ()",
            "in grow (",
            "in find_page (",
            "in follow_link (",
            // And where the table moved, a little earlier: a watchpoint shows the value before.
            "Hardware watchpoint 2: -location cache->slots",
            "Old value = (struct page *) 0x",
            "New value = (struct page *) 0x",
            "in grow (",
        ],
    );
}

#[test]
fn the_race_leads_back_to_the_lost_write() {
    let (_folder, trace) = failing(&["/demos/race"], &[]);
    let said = gdb(
        &trace,
        &[
            "break 118",
            "continue",
            "print i",
            "watch -l times_rendered[i]",
            "reverse-continue",
            "info threads",
            "watch next_tile",
            "reverse-continue",
            "backtrace",
        ],
    );
    check_order(
        &said,
        &[
            "hit Breakpoint 1, main () at race.c:118",
            "$1 = ",
            "hit Hardware watchpoint 2: -location times_rendered[i]",
            "Old value = 2",
            "New value = 1",
            "times_rendered[tile.number]++",
            // Both workers, and the first thread, which waits for them.
            "\"race\" (race (sleeping))",
            "\"race\" (race (running))",
            "\"race\" (race (running))",
            "hit Hardware watchpoint 3: next_tile",
            "in take_tile (",
        ],
    );
    // The write put the list back: what it wrote is smaller than what was there before it.
    let value = |name: &str| -> i64 {
        let after = said.rfind(name).unwrap() + name.len();
        let line = said[after..].lines().next().unwrap();
        line.trim().parse().unwrap()
    };
    assert!(value("Old value = ") < value("New value = "), "{said}");
}

#[test]
fn the_parsers_death_leads_back_to_the_character_typed() {
    let folder = folder();
    let trace = folder.path().join("parser.rpt");
    let input = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/parser.input");
    super::support::record(&trace, 1, &["--input", input], &["/demos/parser"]).expect(101);
    let said = gdb(
        &trace,
        &[
            "break rust_panic",
            "continue",
            "frame 9",
            "print line",
            "watch -l line.data_ptr[2]",
            "reverse-continue",
            "monitor catch syscall read",
            "reverse-continue",
            "x/s $a1",
            "input-events",
        ],
    );
    check_order(
        &said,
        &[
            "hit Breakpoint 1, std::panicking::rust_panic",
            "in parser::evaluate (line=...",
            "$1 = \"2^-1\"",
            "hit Hardware watchpoint 2",
            "Old value = 45",
            "in memcpy ()",
            // The system call that brought the line.
            "read returns 5 to parser",
            ":\t\"2^-1\\n",
            // And the input that it came from.
            "typed: \"2^-1\\n\"",
        ],
    );
}

#[test]
fn steps_lead_back_over_exec_and_fork() {
    let shell = "/demos/hello one & wait; exit 0";
    let (_folder, trace) = recorded(&["/bin/sh", "-c", shell], 0);
    let said = gdb(
        &trace,
        &[
            // The session begins at the shell's first instruction: before that the process executed init.
            "catch exec",
            "reverse-stepi",
            "info inferiors",
            "reverse-stepi",
            "x/i $pc",
            "continue",
            "info inferiors",
            "delete",
            // Before a fork there is no child, after it there is.
            "monitor catch fork",
            "continue",
            "monitor uncatch fork",
            "reverse-stepi",
            "x/i $pc",
            "info threads",
            "stepi",
            "stepi",
            "info threads",
            "print $_thread",
        ],
    );
    check_order(
        &said,
        &[
            "process 25 is executing new program: /init",
            "(exec'd /init)",
            "process 25 ",
            "target:/init",
            "ecall",
            "process 25 is executing new program: /bin/busybox",
            "(exec'd /bin/busybox)",
            "target:/bin/busybox",
            "sh (thread 25 of process 25) has made process 26",
            "ecall",
            "* 2.1  Thread 25.25 \"sh\" (sh (running))",
            "* 2.1  Thread 25.25 \"sh\"",
            "3.1  Thread 26.26",
        ],
    );
    let before = said.rfind("ecall").unwrap();
    let before = &said[before..before + said[before..].find("3.1  Thread").unwrap()];
    assert_eq!(before.matches("* 2.1  Thread 25.25").count(), 2, "{said}");
}

#[test]
fn threads_of_another_process_and_the_ends_of_the_trace() {
    let (_folder, trace) = recorded(&["/bin/sh", "-c", "/demos/race; exit 0"], 0);
    let said = gdb(
        &trace,
        &[
            "monitor catch exec",
            "continue",
            "monitor uncatch exec",
            "break take_tile",
            "ignore 1 1000",
            "continue",
            "info inferiors",
            "info threads",
            // The shell waits; its thread shows where.
            "inferior 2",
            "x/i $pc-4",
            // The other worker, which does not run: one instruction back is its own last one, over the switch.
            "thread 3.1",
            "backtrace",
            "thread 3.3",
            "backtrace",
            "info locals",
            "when",
            "reverse-stepi",
            "when",
            "stepi",
            "when",
            "info proc mappings",
            "print $_thread",
            "to-end",
            "info threads",
            "ps",
            "to-start",
            "info threads",
            "seek time 0.1",
            "ps",
        ],
    );
    check_order(
        &said,
        &[
            "executes /demos/race",
            "hit Breakpoint 1, take_tile (tile=",
            "target:/bin/busybox",
            "target:/demos/race",
            "\"sh\" (sh (sleeping))",
            "ecall",
            // The first thread of the racing process, in its join.
            "in main () at race.c",
            // Another worker, with its source.
            "in work (unused=",
            "icount ",
            "icount ",
            "/demos/race",
            "[stack]",
            ", the end",
            "(not at this position)",
            "/init",
            ", the beginning",
            "CPU 0",
            "/demos/race",
        ],
    );
    let whens: Vec<u64> = said
        .lines()
        .filter(|line| line.starts_with("icount ") && line.contains(" after power-on"))
        .map(|line| line.split(' ').nth(1).unwrap().parse().unwrap())
        .collect();
    assert!(whens[1] < whens[0] && whens[2] > whens[1], "{said}");
}

#[test]
fn lines_go_back_as_they_go_forth_and_functions_can_be_called() {
    let (folder, trace) = recorded(&["/demos/hello", "one", "two"], 0);
    let saved = folder.path().join("diversion.rpt");
    let said = gdb(
        &trace,
        &[
            "break main",
            "continue",
            "next",
            "next",
            "print i",
            "next",
            "reverse-next",
            "reverse-next",
            "when",
            // A diversion: the recording is as it was afterwards.
            "print (int) getpid()",
            "print argc = 77",
            "print argc",
            "when",
            "monitor type exit",
            "monitor save diversion.rpt",
            "undiverge",
            "print argc",
            "when",
            "delete",
            "continue",
            "when",
        ],
    );
    check_order(
        &said,
        &[
            "hit Breakpoint 1, main (argc=3, argv=0x",
            "printf(\"hello from the guest\\n\");",
            "for (int i = 1; i < argc; i++)",
            "$1 = 1",
            "hit Breakpoint 1, main (argc=3",
            "icount ",
            "$2 = 25",
            "$3 = 77",
            "$4 = 77",
            "in a diversion from icount",
            "$5 = 3",
            "icount ",
            "No more reverse-execution history",
        ],
    );
    // The diversion replays by itself, and says where it comes from; the recording has not changed.
    super::support::replay(&saved).expect(0);
    let events = finish(reprise().arg("events").arg(&saved)).expect(0).stdout;
    check_order(
        &events,
        &[
            "start /demos/hello one two",
            "exit\\n",
            "diverged-from",
            "trace.rpt at icount",
        ],
    );
    super::support::replay(&trace).expect(0);
}

#[test]
fn the_machine_shows_its_kernel() {
    let (_folder, trace) = recorded(&["/bin/true"], 0);
    let said = gdb_with(
        &trace,
        &["--machine"],
        &[
            "info threads",
            "break start_kernel",
            "continue",
            "backtrace",
            "stepi",
            "reverse-stepi",
            "info registers satp priv",
            "break do_exit",
            "continue",
            "backtrace",
            "print init_task.comm",
            "reverse-continue",
            "reverse-continue",
        ],
    );
    check_order(
        &said,
        &[
            "CPU 0",
            "Breakpoint 1, start_kernel ()",
            "in _start_kernel ()",
            "Breakpoint 1, start_kernel ()",
            "[Supervisor]",
            "Breakpoint 2, do_exit (code=",
            "do_trap_ecall_u",
            "\"swapper",
            "Breakpoint 1, start_kernel ()",
            "No more reverse-execution history",
        ],
    );
}

#[test]
fn what_was_set_in_a_process_holds_from_where_it_is_not() {
    let (_folder, trace) = recorded(&["/bin/sh", "-c", "/demos/race; exit 0"], 0);
    let said = gdb(
        &trace,
        &[
            "monitor catch exec",
            "continue",
            "monitor uncatch exec",
            "break race.c:105",
            "continue",
            "watch next_tile",
            "continue",
            "continue",
            // From the end, where the process is gone, back to the last write, and to the last but one.
            "monitor end",
            "continue",
            "reverse-continue",
            "reverse-continue",
            "when",
            "delete 2",
            // Back to before its program began, and on again: the breakpoint is still there.
            "reverse-continue",
            "reverse-continue",
            "continue",
            "info breakpoints",
        ],
    );
    check_order(
        &said,
        &[
            "hit Breakpoint 1, main ()",
            "New value = 1",
            "New value = 2",
            "No more reverse-execution history",
            "New value = 7999",
            "Old value = 7999",
            "New value = 7998",
            "hit Breakpoint 1, main ()",
            "No more reverse-execution history",
            "hit Breakpoint 1, main ()",
            "keep y ",
        ],
    );
}

#[test]
fn a_step_is_one_of_the_thread_that_is_shown() {
    let (_folder, trace) = recorded(&["/bin/sh", "-c", "/demos/race; exit 0"], 0);
    let said = gdb(
        &trace,
        &[
            "monitor catch exec",
            "continue",
            "monitor uncatch exec",
            "break take_tile",
            "watch next_tile",
            // A breakpoint in the shell's process, which gdb sets with that process selected.
            "inferior 2",
            "break *$pc",
            "inferior 3",
            "continue",
            "continue",
            "print $_thread",
            "next",
            "reverse-next",
            "reverse-stepi",
            "print $_inferior",
            "who-wrote next_tile",
            "who-wrote nothing_like_that",
            "seek",
        ],
    );
    check_order(
        &said,
        &[
            "hit Breakpoint 1, take_tile (",
            "$1 = ",
            "$2 = 3",
            "No symbol \"nothing_like_that\" in current context.",
            "where to?",
        ],
    );
    assert!(!said.contains("Python Exception"), "{said}");
}

/// Names in a program's debug information are a stranger's, and gdb's commands are lines of text.
#[test]
fn names_in_debug_information_are_no_commands() {
    let folder = folder();
    let harm = folder.path().join("harm");
    let source = folder.path().join("evil.c");
    let name = format!("/init {0}\\nshell touch {0}\\necho ", harm.display());
    std::fs::write(
        &source,
        format!("#line 1 \"{name}\"\nint main(void) {{ return 0; }}\n"),
    )
    .unwrap();
    let program = folder.path().join("evil");
    let compiled = Command::new("riscv64-linux-gnu-gcc")
        .args(["-g", "-static", "-o"])
        .args([&program, &source])
        .status();
    assert!(compiled.unwrap().success());
    let trace = folder.path().join("evil.rpt");
    let added = format!("{}:/root/evil", program.display());
    super::support::record(&trace, 1, &["--add", &added], &["/root/evil"]).expect(0);
    let said = gdb(
        &trace,
        &["break main", "continue", "backtrace", "info threads"],
    );
    check_order(&said, &["hit Breakpoint 1"]);
    assert!(!harm.exists(), "{said}");
}

/// LLDB as Debian has it (19) steps, stops and shows types. It has no command to go back; the server's own do that.
#[test]
fn lldb_connects_steps_and_stops() {
    let (folder, trace) = failing(&["/demos/uaf"], &[]);
    let program = folder.path().join("uaf");
    std::fs::write(&program, super::support::file_of_initrd("demos/uaf")).unwrap();
    let socket = folder.path().join("socket");
    let mut server = reprise()
        .args(["gdb", "--server", "--unix"])
        .arg(&socket)
        .arg(&trace)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..600 {
        if socket.exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let mut command = Command::new("lldb-19");
    command.args(["--no-lldbinit", "--batch"]);
    for line in [
        &format!("target create {}", program.display()),
        &format!("process connect unix-connect://{}", socket.display()),
        "breakpoint set --name grow",
        "continue",
        "thread backtrace",
        "next",
        "next",
        "frame variable",
        "thread step-inst",
        "watchpoint set expression -w write -s 8 -- &cache->slots",
        "continue",
        "process plugin packet monitor when",
        "process plugin packet monitor seek -1",
        "memory region $sp",
        "process plugin packet send bc",
        "process detach",
    ] {
        command.args(["--one-line", line]);
    }
    let said = finish(&mut command);
    server.kill().unwrap();
    server.wait().unwrap();
    check_order(
        &said.stdout,
        &[
            "uaf`_start",
            "stop reason = breakpoint 1.1",
            "frame #1: ",
            "uaf`find_page(",
            "frame #3: ",
            "uaf`main at uaf.c",
            "stop reason = step over",
            "old_count = 2048",
            "stop reason = instruction step",
            "stop reason = watchpoint 1",
            "icount ",
            "icount ",
            "rw-",
            // Before the store, and from there backwards to the breakpoint, as the server says it.
            "response: T05thread:p19.19;20:fe06",
        ],
    );
}
