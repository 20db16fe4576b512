//! Live sessions: terminal, signals, sudden death.

mod support;

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use support::{Place, Run, byte_len, wait_until};

/// What a process has printed so far.
#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl Printed {
    fn collect(mut from: impl Read + Send + 'static) -> Self {
        let printed = Self::default();
        let to = printed.clone();
        thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Ok(length @ 1..) = from.read(&mut buffer) {
                let mut all = to.0.lock().expect("whole");
                all.extend_from_slice(&buffer[..length]);
            }
        });
        printed
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("whole")).into_owned()
    }

    #[track_caller]
    fn wait_for(&self, part: &str) {
        wait_until(&format!("{part:?} is printed"), || {
            self.text().contains(part)
        });
    }
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    kill_process(pid, signal).expect("it is there");
}

/// A recording whose input is a pipe.
fn piped(place: &Place) -> (Child, ChildStdin, Printed) {
    let mut child = place
        .reprise(&["record", "--image", "guest", "-o", "trace"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let stdin = child.stdin.take().expect("piped");
    let printed = Printed::collect(child.stdout.take().expect("piped"));
    (child, stdin, printed)
}

#[test]
fn a_killed_recording_replays_to_its_last_second() {
    let place = Place::new();
    let (mut child, mut stdin, printed) = piped(&place);
    stdin.write_all(b"first\n").expect("it reads");
    printed.wait_for("first\n>");
    let before = byte_len(&place.path("trace"));
    // What was typed is in the file within a second; nothing more comes of an idle guest.
    thread::sleep(Duration::from_secs(1));
    let flushed = byte_len(&place.path("trace"));
    thread::sleep(Duration::from_secs(1));
    assert_eq!(byte_len(&place.path("trace")), flushed);
    assert!(flushed > 0 && flushed >= before);
    child.kill().expect("it is there");
    child.wait().expect("it ends");
    let replayed = place
        .run(&["replay", "trace", "--images", "guest"])
        .expect_status(3);
    assert!(replayed.stderr.contains("breaks off"), "{replayed:?}");
    // All that was seen, also what followed the last input.
    assert_eq!(replayed.stdout, printed.text());
    replayed.position();
    place
        .run(&["verify", "trace", "--images", "guest"])
        .expect_status(3);
    let events = place.run(&["events", "trace"]).expect_status(0).stdout;
    assert!(events.contains("\"first\\n\""), "{events}");
    let info = place.run(&["info", "trace"]).expect_status(0).stdout;
    assert!(info.contains("breaks off"), "{info}");
}

#[test]
fn a_signal_closes_the_trace() {
    for (number, status, name) in [
        (Signal::INT, 130, "SIGINT"),
        (Signal::TERM, 143, "SIGTERM"),
        (Signal::HUP, 129, "SIGHUP"),
    ] {
        let place = Place::new();
        let (child, mut stdin, printed) = piped(&place);
        stdin.write_all(b"first\n").expect("it reads");
        printed.wait_for("first\n>");
        signal(&child, number);
        let run = Run::of(child.wait_with_output().expect("it ends")).expect_status(status);
        assert!(
            run.stderr.contains(&format!("stopped by {name}")),
            "{run:?}"
        );
        let replayed = place
            .run(&["replay", "trace", "--images", "guest"])
            .expect_status(0);
        assert_eq!(replayed.position(), run.position());
        assert_eq!(replayed.stdout, printed.text());
    }
}

#[test]
fn a_signal_ends_all_tries() {
    let place = Place::new();
    let child = place
        .reprise(&[
            "record", "--image", "guest", "-o", "trace", "--tries", "9", "--", "i",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    wait_until("a try runs", || byte_len(&place.path("trace.try")) > 0);
    // The file is there a moment before the signals are caught.
    thread::sleep(Duration::from_millis(500));
    signal(&child, Signal::INT);
    Run::of(child.wait_with_output().expect("it ends")).expect_status(130);
    assert_eq!(byte_len(&place.path("trace.try")), 0);
    assert_eq!(byte_len(&place.path("trace")), 0);
}

#[test]
fn nobody_reads_the_console() {
    let place = Place::new();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = place
        .reprise(&["record", "--image", "guest", "-o", "trace"])
        .stdout(writer)
        .output();
    let run = Run::of(output.expect("it runs")).expect_status(141);
    assert!(run.stderr.contains("nobody reads"), "{run:?}");
    place
        .run(&["replay", "trace", "--images", "guest"])
        .expect_status(0);
}

/// A terminal, and the side of the person who sits at it.
struct Terminal {
    person: File,
    device: OwnedFd,
    printed: Printed,
}

impl Terminal {
    fn new() -> Self {
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&person).expect("ours");
        unlockpt(&person).expect("ours");
        let name = ptsname(&person, Vec::new()).expect("a name");
        let device = open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("a terminal");
        let person = File::from(person);
        let terminal = Self {
            printed: Printed::collect(person.try_clone().expect("another handle")),
            person,
            device,
        };
        terminal.resize(100, 40);
        terminal
    }

    fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize {
            ws_col: columns,
            ws_row: rows,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.device, size).expect("a terminal");
    }

    fn is_raw(&self) -> bool {
        let modes = tcgetattr(&self.device).expect("a terminal").local_modes;
        !modes.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    fn spawn(&self, mut command: Command) -> Child {
        let stdio = || Stdio::from(self.device.try_clone().expect("another handle"));
        command
            .stdin(stdio())
            .stdout(stdio())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs")
    }

    fn press(&mut self, keys: &[u8]) {
        self.person.write_all(keys).expect("a terminal");
    }
}

fn record_at(terminal: &Terminal, place: &Place) -> Child {
    terminal.spawn(place.reprise(&["record", "--image", "guest", "-o", "trace"]))
}

#[test]
fn a_person_at_the_terminal() {
    let place = Place::new();
    let mut terminal = Terminal::new();
    assert!(!terminal.is_raw());
    let child = record_at(&terminal, &place);
    terminal.printed.wait_for(">");
    assert!(terminal.is_raw());
    // One key at a time, Ctrl-C among them: it is the guest's.
    for (keys, shown) in [("x", "x>"), ("\u{3}", "\u{3}>"), ("\u{1}\u{1}", "\u{1}>")] {
        terminal.press(keys.as_bytes());
        terminal.printed.wait_for(shown);
    }
    terminal.resize(120, 50);
    signal(&child, Signal::WINCH);
    let events = || place.run(&["events", "trace"]).stdout;
    wait_until("the new size is recorded", || events().contains("120x50"));
    terminal.press(b"\x01x");
    let run = Run::of(child.wait_with_output().expect("it ends")).expect_status(0);
    assert!(!terminal.is_raw());
    assert!(run.stderr.contains("stopped by Ctrl-A x"), "{run:?}");
    let replayed = place
        .run(&["replay", "trace", "--images", "guest"])
        .expect_status(0);
    assert_eq!(replayed.position(), run.position());
    let info = place.run(&["info", "trace"]).stdout;
    assert!(info.contains("terminal 100x40"), "{info}");
    // An idle second adds a jump or none, never a record of its own.
    assert!(byte_len(&place.path("trace")) < 1000);
}

#[test]
fn a_killed_session_at_a_terminal_replays_what_was_seen() {
    let place = Place::new();
    let mut terminal = Terminal::new();
    let mut child = record_at(&terminal, &place);
    terminal.printed.wait_for(">");
    for (keys, shown) in [("x", "x>"), ("y", "y>")] {
        terminal.press(keys.as_bytes());
        terminal.printed.wait_for(shown);
    }
    thread::sleep(Duration::from_millis(1100));
    let seen = terminal.printed.text();
    child.kill().expect("it is there");
    child.wait().expect("it ends");
    let replayed = place
        .run(&["replay", "trace", "--images", "guest"])
        .expect_status(3);
    assert_eq!(replayed.stdout, seen);
}

#[test]
fn the_terminal_is_given_back_on_every_way_out() {
    for number in [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT] {
        let place = Place::new();
        let terminal = Terminal::new();
        let child = record_at(&terminal, &place);
        terminal.printed.wait_for(">");
        assert!(terminal.is_raw());
        signal(&child, number);
        let run = Run::of(child.wait_with_output().expect("it ends"));
        assert_eq!(run.status, Some(128 + number.as_raw()), "{run:?}");
        assert!(!terminal.is_raw());
        place
            .run(&["replay", "trace", "--images", "guest"])
            .expect_status(0);
    }
    // The guest's own end, and an error before it starts.
    let place = Place::new();
    let mut terminal = Terminal::new();
    let child = record_at(&terminal, &place);
    terminal.printed.wait_for(">");
    terminal.press(b"q");
    Run::of(child.wait_with_output().expect("it ends")).expect_status(7);
    assert!(!terminal.is_raw());
    let child = terminal.spawn(place.reprise(&["run", "--image", "absent"]));
    Run::of(child.wait_with_output().expect("it ends")).expect_status(2);
    assert!(!terminal.is_raw());
}

/// Whether a process stands still for a signal: its state is the third field (proc_pid_stat(5)), behind the name.
fn is_stopped(child: &Child) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id()));
    let stat = stat.expect("the process is there");
    (stat.rsplit_once(") ")).is_some_and(|(_, fields)| fields.starts_with('T'))
}

#[test]
fn a_suspended_session_gives_the_terminal_back_meanwhile() {
    let place = Place::new();
    let mut terminal = Terminal::new();
    let child = record_at(&terminal, &place);
    terminal.printed.wait_for(">");
    signal(&child, Signal::TSTP);
    wait_until("the terminal is given back", || !terminal.is_raw());
    // A shell goes on with what has stopped; what is sent before that is lost.
    wait_until("it has stopped", || is_stopped(&child));
    signal(&child, Signal::CONT);
    wait_until("the terminal is raw again", || terminal.is_raw());
    terminal.press(b"q");
    Run::of(child.wait_with_output().expect("it ends")).expect_status(7);
    assert!(!terminal.is_raw());
}
