//! gdb on what a page shows: a real one, and one that does what gdb never does.

use super::super::gdb::gdb as gdb_alone;
use super::*;
use reprise_worker::protocol::GDB_BYTES_MAX;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::process::Stdio;

/// How long gdb may take to start and connect on a busy machine.
const GDB_TIME: Duration = Duration::from_secs(60);

/// A page with a trace in it, which stands where its program begins.
fn page_at_program(trace: &Path) -> Page {
    let mut page = Page::new();
    page.open(trace);
    page.order(Command::Seek(Target::Program));
    page
}

/// What a real gdb says that executes these commands, as `reprise bridge` brings it to a page.
pub(super) fn gdb_in(page: &mut Page, commands: &[&str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = folder();
    let said = folder.path().join("said");
    let file = std::fs::File::create(&said).unwrap();
    let mut command = std::process::Command::new("gdb-multiarch");
    command.args(["-nx", "-batch", "-q"]);
    for line in [
        "set architecture riscv:rv64",
        "set sysroot target:",
        "set schedule-multiple on",
        "set print thread-events off",
        "set print inferior-events off",
        // As users are told, and more than gdb's 2 s: it takes a late answer for one to its next question.
        "set remotetimeout 60",
    ] {
        command.args(["-iex", line]);
    }
    let target = format!("target remote {}", listener.local_addr().unwrap());
    let begin = [target.as_str(), "set scheduler-locking step"];
    for line in begin.iter().chain(commands) {
        command.args(["-ex", line]);
    }
    command.stdin(Stdio::null());
    command.stdout(file.try_clone().unwrap()).stderr(file);
    let mut gdb = command.spawn().expect("gdb-multiarch is installed");
    listener.set_nonblocking(true).unwrap();
    let deadline = Instant::now() + GDB_TIME;
    let mut stream = loop {
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
        let said = || std::fs::read_to_string(&said).unwrap();
        let ended = gdb.try_wait().unwrap();
        assert!(ended.is_none(), "gdb ended before it connected: {}", said());
        if Instant::now() > deadline {
            gdb.kill().unwrap();
            panic!("gdb has not connected: {}", said());
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    stream.set_nonblocking(true).unwrap();
    page.order(Command::AttachGdb);
    let mut heard = page.messages.len();
    let mut buffer = [0; 4096];
    while gdb.try_wait().unwrap().is_none() {
        match stream.read(&mut buffer) {
            Ok(0) => {}
            Ok(length) => {
                page.send(Command::GdbBytes(buffer[..length].to_vec()));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
        if !page.turn() {
            std::thread::sleep(Duration::from_millis(1));
        }
        for message in &page.messages[heard..] {
            if let Message::GdbBytes(bytes) = message {
                assert!(bytes.len() <= GDB_BYTES_MAX);
                stream.set_nonblocking(false).unwrap();
                stream.write_all(bytes).unwrap();
                stream.set_nonblocking(true).unwrap();
            }
        }
        heard = page.messages.len();
    }
    // Its connection has ended.
    page.order(Command::DetachGdb);
    std::fs::read_to_string(said).unwrap()
}

/// The lines in which gdb answers to `print`, and those with an icount.
fn answers(said: &str) -> Vec<&str> {
    let is_answer = |line: &&str| line.starts_with('$') || line.starts_with("icount ");
    said.lines().filter(is_answer).collect()
}

fn pc_of(page: &mut Page) -> u64 {
    let View::Registers(registers) = page.look(Look::Registers(Thread::Current)) else {
        panic!("no registers");
    };
    registers[0].value
}

#[test]
fn gdb_debugs_what_the_page_shows_and_the_page_follows() {
    // Over programs, forks, other processes and system calls.
    check_against_gdb_alone(
        &["sh", "-c", "/demos/hello one & wait; /demos/hello two"],
        &[
            "stepi",
            "stepi 200",
            "monitor catch exec",
            "continue",
            "monitor uncatch exec",
            "stepi 30",
            "reverse-stepi 10",
            "monitor catch syscall write",
            "continue",
            "reverse-stepi",
            "stepi",
            "stepi",
            "reverse-stepi 3",
            "continue",
            "reverse-continue",
            "monitor seek +100000",
            "monitor seek -200000",
            "stepi",
            "reverse-continue",
        ],
    );
    // Over threads, lines and values.
    check_against_gdb_alone(
        &["/demos/race"],
        &[
            "break take_tile",
            "continue",
            "watch next_tile",
            "continue",
            "continue",
            "reverse-continue",
            "delete",
            "next",
            "next",
            "step",
            "reverse-next",
            "reverse-step",
            "reverse-stepi 40",
            "monitor end",
            "stepi",
            "reverse-stepi",
        ],
    );
}

/// Checks that gdb finds the same in a page, in slices, as it does with a server of its own; the page goes where it goes.
fn check_against_gdb_alone(guest_command: &[&str], commands: &[&str]) {
    let folder = folder();
    let trace = folder.path().join("trace.rpt");
    record(&trace, 5, &[], guest_command);
    let script: Vec<&str> = commands
        .iter()
        .flat_map(|command| [*command, "print/x $pc", "monitor when"])
        .collect();
    let mut page = page_at_program(&trace);
    let said = gdb_in(&mut page, &script);
    let alone = gdb_alone(&trace, &script);
    let found = answers(&said);
    assert_eq!(found, answers(&alone), "{said}\n\nalone:\n{alone}");
    assert!(found.len() >= 2 * commands.len(), "{said}");

    // gdb has ended; the page stands where it stood.
    let [.., pc, icount] = found[..] else {
        panic!("{said}");
    };
    let shown = pc_of(&mut page);
    assert!(pc.ends_with(&format!(" = {shown:#x}")), "{pc}: {shown:#x}");
    let position = page.position();
    let told = format!("icount {} of", position.icount);
    assert!(icount.starts_with(&told), "{icount}: {position:?}");
    assert_eq!(position.id, 0, "gdb brought it here");
    // And goes on.
    page.order(Command::Seek(Target::Start));
    assert_eq!(page.position().icount, 0);
}

/// A packet with its checksum.
pub(super) fn packet(content: &str) -> Vec<u8> {
    let sum = content.bytes().fold(0u8, u8::wrapping_add);
    format!("${content}#{sum:02x}").into_bytes()
}

impl Page {
    /// What gdb has been sent since the last call.
    fn for_gdb(&mut self) -> String {
        let mut all = Vec::new();
        self.messages.retain(|message| match message {
            Message::GdbBytes(bytes) => {
                all.extend(bytes);
                false
            }
            _ => true,
        });
        String::from_utf8_lossy(&all).into_owned()
    }

    /// Lets the engine work until gdb has been sent a text.
    fn until_gdb_hears(&mut self, text: &str) -> String {
        let mut all = String::new();
        while !all.contains(text) {
            self.turn();
            all.push_str(&self.for_gdb());
        }
        all
    }

    /// Lets gdb run, until that is under way.
    fn gdb_runs(&mut self) {
        let from = self.messages.len();
        self.gdb_says(&packet("vCont;c"));
        let runs = |message: &Message| matches!(message, Message::GdbRuns { .. });
        while !self.messages[from..].iter().any(runs) {
            self.turn();
        }
    }

    pub(super) fn gdb_says(&mut self, bytes: &[u8]) {
        self.send(Command::GdbBytes(bytes.to_vec()));
    }
}

#[test]
fn the_position_is_gdbs_until_it_goes_and_its_runs_can_be_stopped() {
    let folder = folder();
    let trace = folder.path().join("race.rpt");
    record(&trace, 5, &[], &["/demos/race"]);
    let mut page = Page::new();
    assert!(page.ask(Command::AttachGdb).is_err(), "nothing is open");
    page.open(&trace);
    let refused = page.ask(Command::GdbBytes(packet("g")));
    assert_eq!(refused, Err("no gdb is attached".to_owned()));
    page.order(Command::AttachGdb);
    assert!(page.ask(Command::AttachGdb).is_err(), "there is one");

    // A packet in pieces is a packet.
    for byte in packet("QStartNoAckMode") {
        page.gdb_says(&[byte]);
        page.turn();
    }
    assert_eq!(page.until_gdb_hears("OK"), "+$OK#9a");

    // The page looks, and does not move.
    page.look(Look::Threads);
    for command in [
        Command::Seek(Target::End),
        Command::Run {
            direction: Direction::Forward,
        },
        Command::Index,
        Command::Step {
            unit: StepUnit::Cpu,
            direction: Direction::Forward,
            thread: Thread::Cpu,
        },
    ] {
        let refused = page.ask(command).unwrap_err();
        assert!(refused.starts_with("gdb has the position"), "{refused}");
    }
    assert_eq!(page.position().icount, 0);

    // Ctrl-C in gdb, and "Stop" on the page.
    let end = page.recording().end;
    let mut stops = Vec::new();
    for from_page in [false, true] {
        page.gdb_runs();
        if from_page {
            page.send(Command::Cancel);
        } else {
            page.gdb_says(b"\x03");
        }
        assert!(page.until_gdb_hears("#").starts_with("$T02"));
        stops.push(page.position().icount);
    }
    assert!(
        stops[0] > 0 && stops[0] < stops[1] && stops[1] < end,
        "{stops:?}"
    );
    assert_eq!(page.for_gdb(), "");

    // Everything at once is answered one after the other.
    let both = [packet("bc"), packet("?"), packet("qC")].concat();
    page.gdb_says(&both);
    let said = page.until_gdb_hears("QC");
    assert_eq!(said.matches("replaylog:begin;").count(), 2, "{said}");
    assert_eq!(page.position().icount, 0);

    // It goes in the middle of a run: the page stays where that has got to.
    page.gdb_runs();
    page.order(Command::DetachGdb);
    let here = page.position();
    assert!(here.icount > 0 && here.icount < end, "{here:?}");
    page.turn();
    assert_eq!(page.for_gdb(), "");
    page.order(Command::Seek(Target::Icount(here.icount)));
    page.order(Command::DetachGdb);

    // What a gdb writes is a diversion, which goes with it.
    page.order(Command::AttachGdb);
    page.gdb_says(&packet("QStartNoAckMode"));
    page.until_gdb_hears("OK");
    page.gdb_says(&packet("P1=0123456789abcdef"));
    page.until_gdb_hears("OK");
    let reasons = page.position().reasons;
    assert!(reasons[0].starts_with("a diversion"), "{reasons:?}");
    page.order(Command::DetachGdb);
    assert_eq!(page.position().icount, here.icount);

    // Whoever sends on and on is sent away, and the page goes on.
    page.order(Command::AttachGdb);
    page.gdb_says(&packet("vCont;c"));
    page.turn();
    for _ in 0..40 {
        page.gdb_says(&[b'x'; 32 << 10]);
    }
    page.turn();
    let reason = page.last(|message| match message {
        Message::GdbGone { reason } => Some(reason.clone()),
        _ => None,
    });
    assert!(reason.is_some_and(|reason| reason.contains("sends more")));
    page.order(Command::Seek(Target::Start));

    // So is a gdb whose recording is closed.
    page.order(Command::AttachGdb);
    page.order(Command::Close);
    assert!(matches!(
        page.last(|message| match message {
            Message::GdbGone { reason } => Some(reason.clone()),
            _ => None,
        }),
        Some(reason) if reason.contains("left the recording")
    ));
}

#[test]
fn a_machine_that_stands_still_is_debugged_and_goes_on() {
    let mut page = Page::new();
    page.order(boot(&[]));
    page.wait_for("# ");
    let refused = page.ask(Command::AttachGdb).unwrap_err();
    assert!(refused.contains("pause it first"), "{refused}");
    page.order(Command::Pause);
    let end = page.position().icount;
    let said = gdb_in(
        &mut page,
        &["reverse-stepi", "print/x $pc", "reverse-stepi 50", "detach"],
    );
    assert!(said.contains("$1 = 0x"), "{said}");
    assert!(page.position().icount < end);
    page.order(Command::Resume);
    page.order(Command::Type(b"echo on$((1+1))ward\n".to_vec()));
    page.wait_for("on2ward");
}
