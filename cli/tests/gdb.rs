//! `gdb --server` against clients that mean it no good.

mod support;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use support::{Place, wait_until};

/// What a server says before it listens.
const WAITING: &str = "reprise: waiting for gdb: target remote ";

/// What the guest is made to compute: some 370 million steps, too long for a client to wait for.
const LONG: &str = "bbbbq";

/// A trace in a place of its own.
fn recorded() -> Place {
    let place = Place::new();
    place.write("input", LONG);
    place
        .record("trace", &["--input", "input"])
        .expect_status(7);
    place
}

/// A server over the trace of a place.
struct Server {
    child: Child,
    stderr: BufReader<ChildStderr>,
    target: String,
}

impl Server {
    fn start(place: &Place, arguments: &[&str]) -> Self {
        let mut all = vec!["gdb", "trace", "--images", "guest", "--server", "--machine"];
        all.extend(arguments);
        Self::spawn(&mut place.reprise(&all))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("it runs");
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut line = String::new();
        while !line.starts_with(WAITING) {
            line.clear();
            let length = stderr.read_line(&mut line).expect("it speaks");
            assert_ne!(length, 0, "it ended before it listened");
        }
        let target = line[WAITING.len()..].trim_end().to_owned();
        Self {
            child,
            stderr,
            target,
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.target).expect("it listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .expect("set");
        stream
    }

    /// A client that is served: another one may have to be gone first.
    #[track_caller]
    fn served(&self) -> TcpStream {
        let mut stream = self.connect();
        assert_eq!(ask(&mut stream, "vMustReplyEmpty"), Some(String::new()));
        stream
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")).expect("a pid");
        kill_process(pid, signal).expect("it is there");
    }

    /// Ends by a signal. What it has said since it began to listen.
    #[track_caller]
    fn end(mut self, signal: Signal) -> String {
        self.signal(signal);
        self.wait(128 + signal.as_raw())
    }

    #[track_caller]
    fn wait(&mut self, status: i32) -> String {
        let mut ended = None;
        wait_until("the server ends", || {
            ended = self.child.try_wait().expect("it is ours");
            ended.is_some()
        });
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).expect("text");
        let ended = ended.expect("it has ended");
        assert_eq!(ended.code(), Some(status), "{ended:?}: {said}");
        assert!(!said.contains("panic"), "{said}");
        said
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already, unless the test has failed.
        let _ = self.child.kill();
    }
}

fn packet(content: &str) -> Vec<u8> {
    let sum = content
        .bytes()
        .fold(0u8, |sum, byte| sum.wrapping_add(byte));
    format!("${content}#{sum:02x}").into_bytes()
}

/// Sends a packet. The next packet that comes, `None` when the connection ends.
fn ask(stream: &mut (impl Read + Write), content: &str) -> Option<String> {
    stream.write_all(&packet(content)).ok()?;
    answer(stream)
}

fn answer(stream: &mut impl Read) -> Option<String> {
    let mut byte = [0];
    let mut next = || match stream.read(&mut byte) {
        Ok(1) => Some(byte[0]),
        _ => None,
    };
    while next()? != b'$' {}
    let mut content = Vec::new();
    loop {
        match next()? {
            b'#' => break,
            byte => content.push(byte),
        }
    }
    next()?;
    next()?;
    Some(String::from_utf8(content).expect("text"))
}

/// Whether the other side closes the connection.
#[track_caller]
fn expect_closed(mut stream: impl Read) {
    let mut rest = Vec::new();
    // It may also be reset.
    let _ = stream.read_to_end(&mut rest);
}

#[test]
fn hostile_clients_leave_the_server_and_the_trace_alone() {
    let place = recorded();
    let before = std::fs::read(place.path("trace")).expect("it is there");
    let server = Server::start(&place, &["--port", "0"]);

    // Garbage, of all bytes and many.
    let mut garbage = server.connect();
    let bytes: Vec<u8> = (0..1u32 << 18)
        .map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    // It may lose its patience and the connection.
    let _ = garbage.write_all(&bytes);
    drop(garbage);

    // A packet of ten megabytes is refused, and the next one is answered.
    let mut long = server.served();
    let refusal = ask(&mut long, &"M".repeat(10 << 20)).expect("an answer");
    assert!(refusal.starts_with("E."), "{refusal}");
    assert!(ask(&mut long, "qC").expect("an answer").starts_with("QC"));
    drop(long);

    // Half a packet, and the next client begins anew.
    let mut half = server.served();
    half.write_all(b"$m80000000,").expect("it reads");
    drop(half);
    assert!(
        ask(&mut server.connect(), "qC")
            .expect("an answer")
            .starts_with("QC")
    );

    // Nobody reads what is asked for, and there is much of it.
    let mut deaf = server.served();
    let request = packet("qXfer:features:read:target.xml:0,8000").repeat(2000);
    deaf.set_write_timeout(Some(Duration::from_secs(1)))
        .expect("set");
    let _ = deaf.write_all(&request);
    drop(deaf);
    server.served();

    assert!(server.end(Signal::TERM).lines().count() < 8);
    assert_eq!(
        std::fs::read(place.path("trace")).expect("it is there"),
        before
    );
}

#[test]
fn a_client_that_goes_in_the_middle_of_a_run_makes_room() {
    let place = recorded();
    let server = Server::start(&place, &["--port", "0"]);
    for how in [Shutdown::Both, Shutdown::Write] {
        let mut first = server.served();
        first.write_all(&packet("vCont;c")).expect("it reads");
        thread::sleep(Duration::from_millis(100));
        first.shutdown(how).expect("it is open");
        let began = Instant::now();
        let mut second = server.served();
        assert!(began.elapsed() < Duration::from_secs(5));
        let stop = ask(&mut second, "?").expect("an answer");
        assert!(stop.starts_with("T05"), "{stop}");
        assert_eq!(ask(&mut second, "D").as_deref(), Some("OK"));
        expect_closed(second);
    }
    server.end(Signal::INT);
}

#[test]
fn a_break_stops_a_run() {
    let place = recorded();
    let server = Server::start(&place, &["--port", "0"]);
    let mut client = server.served();
    client.write_all(&packet("vCont;c")).expect("it reads");
    thread::sleep(Duration::from_millis(100));
    client.write_all(b"\x03").expect("it reads");
    let stop = answer(&mut client).expect("an answer");
    assert!(stop.starts_with("T02"), "{stop}");
    // What is sent while something runs is answered afterwards.
    client
        .write_all(&[packet("vCont;c"), packet("qC"), vec![3]].concat())
        .expect("it reads");
    let stop = answer(&mut client).expect("an answer");
    assert!(stop.starts_with('T'), "{stop}");
    let thread = answer(&mut client).expect("an answer");
    assert!(thread.starts_with("QC"), "{thread}");
    server.end(Signal::TERM);
}

#[test]
fn a_second_client_is_sent_away_while_the_first_goes_on() {
    let place = recorded();
    let server = Server::start(&place, &["--port", "0"]);
    let mut first = server.served();
    for _ in 0..3 {
        let mut second = server.connect();
        assert_eq!(ask(&mut second, "qC"), None);
        assert!(ask(&mut first, "qC").expect("an answer").starts_with("QC"));
    }
    drop(first);
    server.served();
    server.end(Signal::TERM);
}

#[test]
fn clients_come_and_go() {
    let place = recorded();
    let server = Server::start(&place, &["--port", "0"]);
    for number in 0..100 {
        let mut client = server.served();
        match number % 3 {
            0 => assert_eq!(ask(&mut client, "D").as_deref(), Some("OK")),
            1 => client.write_all(&packet("k")).expect("it reads"),
            _ => {}
        }
    }
    assert_eq!(server.end(Signal::TERM), "");
}

#[test]
fn a_signal_ends_it_whatever_it_does() {
    let place = recorded();
    for (signal, arguments) in [
        (Signal::TERM, ["--port", "0"]),
        (Signal::INT, ["--unix", "socket"]),
    ] {
        // Idle; in a run; stuck with a client that does not read.
        Server::start(&place, &arguments).end(signal);
        let server = Server::start(&place, &arguments);
        if arguments[0] == "--unix" {
            let path = place.path("socket");
            assert!(path.exists());
            let mut client = UnixStream::connect(&path).expect("it listens");
            client.write_all(&packet("vCont;c")).expect("it reads");
            thread::sleep(Duration::from_millis(100));
            server.end(signal);
            assert!(!path.exists());
        } else {
            let mut client = server.served();
            client
                .set_write_timeout(Some(Duration::from_secs(1)))
                .expect("set");
            let request = packet("qXfer:features:read:target.xml:0,8000");
            let _ = client.write_all(&request.repeat(2000));
            server.end(signal);
        }
    }
}

#[test]
fn places_that_are_taken() {
    let place = recorded();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("it has one").port().to_string();
    let gdb = ["gdb", "trace", "--images", "guest", "--server", "--machine"];
    let run = |more: &[&str]| place.run(&[&gdb[..], more].concat());
    run(&["--port", &port]).expect_refusal(&format!("port {port} cannot be listened at"));

    // A file is not replaced; a socket in use neither; one that is left over is.
    place.write("file", "precious");
    run(&["--unix", "file"]).expect_refusal("file cannot be listened at");
    assert_eq!(
        std::fs::read(place.path("file")).expect("it is there"),
        b"precious"
    );
    let mut server = Server::start(&place, &["--unix", "socket"]);
    run(&["--unix", "socket"]).expect_refusal("socket is in use");
    server.child.kill().expect("it is there");
    server.child.wait().expect("it ends");
    assert!(place.path("socket").exists());
    Server::start(&place, &["--unix", "socket"]).end(Signal::TERM);
    run(&["--unix", "nowhere/socket"]).expect_refusal("nowhere/socket");
}

/// A monitor command's answer, in text.
fn monitor(stream: &mut (impl Read + Write), command: &str) -> String {
    let digits: String = command.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut answer_digits = ask(stream, &format!("qRcmd,{digits}")).expect("an answer");
    let mut said = String::new();
    while let Some(line) = answer_digits.strip_prefix('O').filter(|rest| *rest != "K") {
        said += &text_from_hex(line);
        answer_digits = answer(stream).expect("an answer");
    }
    said + &text_from_hex(&answer_digits)
}

/// The text that digits stand for; anything else as it is.
fn text_from_hex(digits: &str) -> String {
    let bytes: Option<Vec<u8>> = (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
        .collect();
    bytes.map_or(digits.to_owned(), |bytes| {
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Leaves the recording: writes where the guest does not look.
#[track_caller]
fn diverge(stream: &mut (impl Read + Write)) {
    assert_eq!(ask(stream, "M80f00000,1:07").as_deref(), Some("OK"));
}

#[test]
fn a_web_page_is_sent_away() {
    let place = recorded();
    let server = Server::start(&place, &["--port", "0"]);
    let mut client = server.served();
    diverge(&mut client);
    drop(client);
    server.served();

    let mut page = server.connect();
    let command: String = "save stolen"
        .bytes()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let body = String::from_utf8(packet(&format!("qRcmd,{command}"))).expect("text");
    let request = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    page.write_all(request.as_bytes()).expect("it reads");
    expect_closed(page);
    server.served();
    assert!(!place.path("stolen").exists());
    let said = server.end(Signal::TERM);
    assert!(said.contains("was sent away"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_diversion_is_saved_with_the_images_and_in_this_folder_only() {
    let place = Place::new();
    place.write("input", "q");
    place
        .record("trace", &["--embed", "--input", "input"])
        .expect_status(7);
    std::fs::create_dir(place.path("sub")).expect("a folder");
    std::os::unix::fs::symlink("leads", place.path("link")).expect("a link");
    let server = Server::start(&place, &["--port", "0"]);
    let mut client = server.served();
    diverge(&mut client);
    for name in ["sub/saved", "../saved", "/tmp/reprise-saved", ".."] {
        let said = monitor(&mut client, &format!("save {name}"));
        assert!(said.contains("not a plain file name"), "{name}: {said}");
    }
    for name in ["trace", "link"] {
        let said = monitor(&mut client, &format!("save {name}"));
        assert!(said.contains("is there already"), "{name}: {said}");
    }
    assert!(!place.path("sub/saved").exists() && !place.path("leads").exists());
    let said = monitor(&mut client, "save saved");
    assert!(said.contains("saved up to here as saved"), "{said}");
    // Without the images there is no trace, and no part of one.
    place.write("trace", "");
    let said = monitor(&mut client, "save half");
    assert!(!said.contains("saved up to here"), "{said}");
    assert!(!place.path("half").exists(), "{said}");
    server.end(Signal::TERM);

    std::fs::rename(place.path("guest"), place.path("moved")).expect("moved");
    place.run(&["replay", "saved"]).expect_status(0);
}

#[test]
fn a_break_is_none_within_a_packet() {
    let place = recorded();
    let server = Server::start(&place, &["--port", "0"]);
    let mut client = server.served();
    client.write_all(&packet("vCont;c")).expect("it reads");
    thread::sleep(Duration::from_millis(100));
    // In pieces, one of which ends within the packet.
    let binary = packet("vNothing:\x03\x03");
    client.write_all(&binary[..10]).expect("it reads");
    thread::sleep(Duration::from_millis(50));
    client.write_all(&binary[10..]).expect("it reads");
    thread::sleep(Duration::from_millis(50));
    client.write_all(&packet("qC")).expect("it reads");
    client.write_all(b"\x03").expect("it reads");
    let stop = answer(&mut client).expect("an answer");
    assert!(stop.starts_with("T02"), "{stop}");
    assert_eq!(answer(&mut client).as_deref(), Some(""));
    let thread = answer(&mut client).expect("an answer");
    assert!(thread.starts_with("QC"), "{thread}");
    server.end(Signal::TERM);
}

/// A gdb that does what a script says.
fn start_with_gdb(place: &Place, script: &str) -> Child {
    let path = place.write("fake-gdb", format!("#!/bin/sh\n{script}\n"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("set");
    let _ = std::fs::create_dir(place.path("temporary"));
    place
        .reprise(&["gdb", "trace", "--images", "guest", "--machine"])
        .args(["--gdb", "./fake-gdb"])
        .env("TMPDIR", place.path("temporary"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs")
}

#[track_caller]
fn expect_nothing_left(place: &Place) {
    let left = std::fs::read_dir(place.path("temporary")).expect("a folder");
    assert_eq!(left.count(), 0);
}

#[test]
fn nothing_is_left_when_gdb_has_ended() {
    let place = recorded();
    let mut child = start_with_gdb(&place, "ls temporary/*/gdb > seen; exit 3");
    assert_eq!(child.wait().expect("it ends").code(), Some(3));
    let seen = std::fs::read_to_string(place.path("seen")).expect("it is there");
    assert!(seen.contains("/gdb"), "{seen}");
    expect_nothing_left(&place);
}

#[test]
fn a_signal_ends_gdb_as_well() {
    let place = recorded();
    let lasting = "echo $$ > pid.new; mv pid.new pid; while :; do sleep 0.1; done";
    for (signal, script) in [
        (Signal::TERM, lasting.to_owned()),
        (Signal::HUP, format!("trap '' TERM; {lasting}")),
        (Signal::QUIT, lasting.to_owned()),
    ] {
        let mut child = start_with_gdb(&place, &script);
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
        wait_until("gdb starts", || place.path("pid").exists());
        // Ctrl-C is gdb's.
        kill_process(pid, Signal::INT).expect("it is there");
        thread::sleep(Duration::from_millis(200));
        assert_eq!(child.try_wait().expect("it is ours"), None);
        kill_process(pid, signal).expect("it is there");
        let mut ended = None;
        wait_until("it ends", || {
            ended = child.try_wait().expect("it is ours");
            ended.is_some()
        });
        let ended = ended.expect("it has ended");
        assert_eq!(ended.code(), Some(128 + signal.as_raw()), "{ended:?}");
        let gdb = std::fs::read_to_string(place.path("pid")).expect("it is there");
        let gdb = Pid::from_raw(gdb.trim().parse().expect("a number")).expect("a pid");
        assert!(test_kill_process(gdb).is_err());
        expect_nothing_left(&place);
        std::fs::remove_file(place.path("pid")).expect("it is there");
    }
}

#[test]
fn a_signal_ends_a_live_recording_whose_client_is_idle() {
    let place = Place::new();
    place.write("input", LONG);
    let mut command = place.reprise(&["gdb", "--live", "--image", "guest", "--machine"]);
    command.args(["-o", "live", "--seed", "1", "--input", "input"]);
    let server = Server::spawn(&mut command);
    let _client = server.served();
    let began = Instant::now();
    let said = server.end(Signal::TERM);
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(said.contains("reprise: recorded"), "{said}");
    assert!(said.contains("stopped by SIGTERM"), "{said}");
    assert!(place.path("live").exists());
}
