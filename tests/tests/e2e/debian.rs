//! People's own programs: Debian's compiler, debugger and Python in containers, on a folder, with a network; recorded, and replayed
//! when folder and servers are gone.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::gdb::{check_order, gdb};
use super::support::{Finished, finish, folder, reprise, test_image};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A folder with these files of `tests/debian`, to be worked in, and a place for traces.
fn place(names: &[&str]) -> (TempDir, PathBuf) {
    let place = folder();
    let workspace = place.path().join("w");
    fs::create_dir(&workspace).unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("debian");
    for name in names {
        fs::copy(from.join(name), workspace.join(name)).unwrap();
    }
    (place, workspace)
}

/// Records what these arguments say; the folder that it worked in is gone then.
fn record(place: &Path, image: &str, arguments: &[&str]) -> (PathBuf, Finished) {
    let trace = place.join("trace.rpt");
    let mut command = reprise();
    command
        .current_dir(place)
        .args(["record", "--seed", "3", "--image"])
        .arg(test_image(image))
        .args(["--workspace", "w", "-o"])
        .arg(&trace)
        .args(arguments);
    let recorded = finish(&mut command).expect(0);
    fs::remove_dir_all(place.join("w")).unwrap();
    (trace, recorded)
}

#[track_caller]
fn check_replay(trace: &Path, recorded: &Finished) {
    let replayed = finish(reprise().arg("replay").arg(trace)).expect(0);
    assert_eq!(replayed.stdout, recorded.stdout);
    assert_eq!(replayed.end(), recorded.end());
}

#[test]
fn a_c_program_is_compiled_run_and_debugged() {
    let (place, _workspace) = place(&["sum.c", "Makefile"]);
    let script = "make && gdb -q -batch -ex 'break sum.c:9' -ex run -ex 'print total' -ex backtrace ./sum && exec ./sum";
    let (trace, recorded) = record(place.path(), "gcc", &["--", "sh", "-c", script]);
    check_order(
        &recorded.stdout,
        &[
            "cc -g -O0 -o sum sum.c",
            // The gdb in the guest.
            "Breakpoint 1, sum (numbers=",
            "$1 = 1010",
            "in main () at sum.c:14",
            "the sum is 1010",
        ],
    );
    // No file is of the future for the guest.
    assert!(
        !recorded.stdout.contains("Clock skew"),
        "{}",
        recorded.stdout
    );
    check_replay(&trace, &recorded);

    // And one outside: from the wrong sum back to the element too many.
    // The program is one that the guest has written; of the processes that execute something, its is the third.
    let commands = [
        "catch exec",
        "continue",
        "continue",
        "continue",
        "delete",
        "break sum.c:9",
        "continue",
        "print total",
        "watch total",
        "reverse-continue",
        "print i",
        "print count",
        "backtrace",
    ];
    let said = gdb(&trace, &commands);
    check_order(
        &said,
        &[
            "is executing new program: /workspace/sum",
            "hit Breakpoint 2",
            "sum (numbers=",
            "$1 = 1010",
            "hit Hardware watchpoint 3: total",
            "Old value = 1010",
            "New value = 10",
            "$2 = 4",
            "$3 = 4",
            "in main () at sum.c:14",
        ],
    );
}

/// The servers; they end with this.
struct Servers {
    child: Child,
    ports: Vec<String>,
}

impl Servers {
    fn start(folder: &Path, certificate: &Path) -> Self {
        let key = folder.join("key.pem");
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
            .args(["ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"])
            .args(["-subj", "/CN=a server of the tests"])
            .args(["-addext", "subjectAltName=IP:10.0.2.2", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(certificate)
            .output();
        assert!(made.unwrap().status.success());
        let mut child = Command::new("python3")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("debian/server.py"))
            .arg(certificate)
            .arg(&key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let ports = line.split_whitespace().map(str::to_owned).collect();
        Self { child, ports }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

#[test]
fn python_serves_and_fetches() {
    let (place, workspace) = place(&["client.py"]);
    fs::write(workspace.join("served.txt"), "a file of the folder\n").unwrap();
    let servers = Servers::start(place.path(), &workspace.join("server.pem"));
    let [plain, secure] = &servers.ports[..] else {
        panic!("the servers have ports: {:?}", servers.ports);
    };
    let addresses = [
        format!("http://10.0.2.2:{plain}"),
        format!("https://10.0.2.2:{secure}"),
    ];
    let arguments = [
        "--net",
        "--",
        "python3",
        "client.py",
        &addresses[0],
        &addresses[1],
        "server.pem",
    ];
    let (trace, recorded) = record(place.path(), "python", &arguments);
    drop(servers);
    let bytes: Vec<u8> = (0..300_000_u64).map(|at| (at * at % 251) as u8).collect();
    let hash = reprise_host::Digest::of(&bytes).to_string();
    let hash = hash.trim_start_matches("sha256:");
    check_order(
        &recorded.stdout,
        &[
            "served: a file of the folder",
            "http: 200 hello from outside",
            "echoed: posted bytes",
            &format!("bytes: {hash}"),
            "https: 200 hello from outside",
            "echoed: posted bytes",
            &format!("bytes: {hash}"),
        ],
    );
    check_replay(&trace, &recorded);
    let commands = [
        "monitor catch syscall connect",
        "monitor end",
        "reverse-continue",
        "reverse-continue",
        "monitor ps",
    ];
    check_order(
        &gdb(&trace, &commands),
        &[
            "connect returns 0 to python3",
            "calls connect(",
            "python3 client.py http://10.0.2.2:",
        ],
    );
}

#[test]
fn a_server_in_the_guest_is_reached_by_a_forwarded_port() {
    let (place, workspace) = place(&[]);
    fs::write(workspace.join("served.txt"), "a file of the folder\n").unwrap();
    let trace = place.path().join("trace.rpt");
    let mut recorder = reprise();
    recorder
        .current_dir(place.path())
        .args(["record", "--seed", "3", "--image"])
        .arg(test_image("python"))
        .args(["--workspace", "w", "-p", "0:8000", "-o"])
        .arg(&trace)
        .args(["--", "python3", "-u", "-m", "http.server", "8000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = recorder.spawn().unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    let port = told.find_map(|line| {
        let line = line.unwrap();
        let address = line.strip_prefix("reprise: 127.0.0.1:")?;
        address
            .strip_suffix(" leads to the guest's port 8000")?
            .parse::<u16>()
            .ok()
    });
    let mut printed = BufReader::new(child.stdout.take().unwrap()).lines();
    let is_up = |line: std::io::Result<String>| line.unwrap().contains("Serving HTTP");
    assert!(printed.by_ref().any(is_up));

    let get = |path: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", port.unwrap())).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(get("/served.txt").ends_with("\r\n\r\na file of the folder\n"));
    assert!(get("/missing").contains("404 File not found"));

    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::INT).unwrap();
    let told: Vec<_> = told.map(Result::unwrap).collect();
    drop(printed);
    child.wait().unwrap();
    let replayed = finish(reprise().arg("replay").arg(&trace)).expect(0);
    assert!(told.iter().any(|line| line == replayed.end()), "{told:?}");
    check_order(
        &replayed.stdout,
        &[
            "\"GET /served.txt HTTP/1.0\" 200",
            "\"GET /missing HTTP/1.0\" 404",
        ],
    );
}
