//! A guest on this computer's network: connections and datagrams to the test's server, recorded, and replayed without it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::container::Place;
use super::support::{Finished, finish, folder, replay_in_node, reprise};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// A server on loopback. What it does is the first line's to say.
struct Server {
    port: u16,
    udp_port: u16,
    /// Connections that have begun.
    count: Arc<AtomicUsize>,
}

impl Server {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            udp_port: udp.local_addr().unwrap().port(),
            count: Arc::clone(&count),
        };
        thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::Relaxed);
                // A guest that goes away is none of the server's business.
                thread::spawn(move || drop(serve(stream.unwrap())));
            }
        });
        thread::spawn(move || {
            let mut bytes = [0; 2000];
            while let Ok((length, from)) = udp.recv_from(&mut bytes) {
                bytes[..length].make_ascii_uppercase();
                udp.send_to(&bytes[..length], from).unwrap();
            }
        });
        server
    }
}

fn serve(stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let (what, count) = line.trim().split_once(' ').unwrap_or_default();
    let count: usize = count.parse().unwrap_or(0);
    let bytes: Vec<u8> = (0..count).map(|at| (at % 251) as u8).collect();
    match what {
        "send" => stream.write_all(&bytes)?,
        "stall" => {
            for piece in bytes.chunks(count.div_ceil(3).max(1)) {
                stream.write_all(piece)?;
                thread::sleep(Duration::from_millis(400));
            }
        }
        "reset" => {
            stream.write_all(&bytes)?;
            thread::sleep(Duration::from_millis(200));
            let at_once = Some(Duration::ZERO);
            rustix::net::sockopt::set_socket_linger(&stream, at_once)?;
        }
        "echo" => {
            let mut piece = vec![0; 3000];
            loop {
                match reader.read(&mut piece)? {
                    0 => break,
                    length => stream.write_all(&piece[..length])?,
                }
            }
        }
        _ => {}
    }
    Ok(())
}

struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = folder();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest/network.c");
        let compiled = Command::new("riscv64-linux-gnu-gcc")
            .args(["-O2", "-static", "-o"])
            .args([&folder.path().join("network"), &source])
            .status();
        assert!(compiled.unwrap().success());
        Self { folder }
    }

    fn reprise(&self, arguments: &[&str]) -> Finished {
        finish(reprise().current_dir(self.folder.path()).args(arguments))
    }

    fn record(&self, script: &str) -> Finished {
        let arguments = ["record", "--force", "-o", "trace.rpt", "--net"];
        let more = ["--add", "network:/bin/network", "--", "sh", "-c", script];
        self.reprise(&[&arguments[..], &more].concat())
    }
}

fn lines(finished: &Finished) -> Vec<&str> {
    finished.stdout.lines().map(str::trim_end).collect()
}

#[test]
fn a_guest_reaches_servers_and_replays_without_them() {
    let server = Server::new();
    let desk = Desk::new();
    let (port, udp_port) = (server.port, server.udp_port);
    let script = format!(
        "at='10.0.2.2 {port}'
        network send $at 10; network send $at 3000000; network send $at 0
        network echo $at 1000000; network stall $at 3000
        network udp 10.0.2.2 {udp_port} 0
        network parallel $at 20000 50
        network send 10.0.2.2 1 10; echo on"
    );
    let recorded = desk.record(&script).expect(0);
    let expected = [
        "send: 10, ok",
        "send: 3000000, ok",
        "send: 0, ok",
        "echo: 1000000, ok",
        "stall: 3000, ok",
        "udp: 8, ok",
        "parallel: 50, ok",
        "send: -1, Connection refused",
        "on",
    ];
    assert_eq!(lines(&recorded), expected);
    assert_eq!(server.count.load(Ordering::Relaxed), 55);

    // What entered is in the trace and little beside it.
    let entered = 10 + 3_000_000 + 1_000_000 + 3000 + 50 * 20_000;
    let trace_bytes = std::fs::metadata(desk.folder.path().join("trace.rpt"))
        .unwrap()
        .len();
    assert!(trace_bytes * 100 < entered * 110, "{trace_bytes} bytes");
    let connections = server.count.load(Ordering::Relaxed);
    let replayed = desk.reprise(&["replay", "trace.rpt"]).expect(0);
    assert_eq!(recorded.end(), replayed.end());
    assert_eq!(recorded.stdout, replayed.stdout);
    let in_node = replay_in_node(&desk.folder.path().join("trace.rpt")).expect(0);
    assert_eq!(recorded.end(), in_node.end(), "wasm differs");
    assert_eq!(server.count.load(Ordering::Relaxed), connections);
    let against = ["verify", "trace.rpt", "--against", "checkpoint"];
    desk.reprise(&against).expect(0);
}

#[test]
fn a_connection_that_breaks_off_is_an_error_in_the_guest() {
    let server = Server::new();
    let desk = Desk::new();
    let script = format!("network reset 10.0.2.2 {} 1000; echo on", server.port);
    let recorded = desk.record(&script).expect(0);
    assert_eq!(
        lines(&recorded),
        ["reset: -1, Connection reset by peer", "on"]
    );
    desk.reprise(&["replay", "trace.rpt"]).expect(0);
}

#[test]
fn a_guest_without_a_network_has_no_card() {
    let desk = Desk::new();
    let ran = desk.reprise(&["run", "--", "sh", "-c", "ls /sys/class/net"]);
    assert!(!ran.expect(0).stdout.contains("eth0"));
}

#[test]
fn a_container_is_on_the_network() {
    let server = Server::new();
    let desk = Desk::new();
    let place = Place::new();
    std::fs::copy(desk.folder.path().join("network"), place.path("network")).unwrap();
    let image = place.image();
    let script = format!(
        "cat /etc/resolv.conf; network send 10.0.2.2 {} 5000",
        server.port
    );
    let arguments = ["record", "-o", "trace.rpt", "--image", &image, "--net"];
    let more = ["--add", "network:/bin/network", "--", &script];
    let recorded = place.reprise(&[&arguments[..], &more].concat()).expect(0);
    assert_eq!(lines(&recorded), ["nameserver 10.0.2.3", "send: 5000, ok"]);
    let replayed = place.reprise(&["replay", "trace.rpt"]).expect(0);
    assert_eq!(recorded.end(), replayed.end());
}
