//! The bridge from both sides: who is let in, and what passes.

use super::gate::Refusal;
use super::*;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tungstenite::client::IntoClientRequest;
use tungstenite::http::header::{HeaderValue, ORIGIN};
use tungstenite::{Error, HandshakeError, Message, WebSocket};

/// Whoever waits longer waits in vain.
const PATIENCE: Duration = Duration::from_secs(20);

const HERE: &str = "http://127.0.0.1:7710";

/// A bridge on a thread of its own.
struct Bridge {
    gdb_port: u16,
    codes: Receiver<String>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Bridge {
    fn new() -> Self {
        let (code_sender, codes) = channel();
        let (port_sender, ports) = channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let is_told = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            let any = Ports {
                gdb: Some(0),
                page: Some(0),
            };
            let gate = Gate::new(vec!["https://other.example".to_owned()]);
            let mut relay = Relay::new(gate, any).unwrap();
            port_sender.send(relay.gdb_port()).unwrap();
            while !is_told.load(Ordering::Relaxed) {
                if let Some(code) = relay.take_code() {
                    code_sender.send(code).unwrap();
                }
                relay.turn().unwrap();
            }
            relay.close();
        });
        Self {
            gdb_port: ports.recv_timeout(PATIENCE).unwrap(),
            codes,
            is_over,
            thread: Some(thread),
        }
    }

    /// The next code: port and token.
    fn code(&self) -> (u16, String) {
        let code = self.codes.recv_timeout(PATIENCE).unwrap();
        let (port, token) = code.split_once('-').unwrap();
        (port.parse().unwrap(), token.to_owned())
    }

    fn gdb(&self) -> TcpStream {
        let began = std::time::Instant::now();
        // As gdb does it: again, while nobody listens.
        loop {
            match TcpStream::connect(("127.0.0.1", self.gdb_port)) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    stream.set_write_timeout(Some(PATIENCE)).unwrap();
                    return stream;
                }
                Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

/// What a page gets that connects: a socket, or a status.
fn page(port: u16, token: &str, origin: Option<&str>) -> Result<WebSocket<TcpStream>, u16> {
    let url = format!("ws://127.0.0.1:{port}/{token}");
    let mut request = url.into_client_request().unwrap();
    if let Some(origin) = origin {
        let origin = HeaderValue::from_str(origin).unwrap();
        request.headers_mut().insert(ORIGIN, origin);
    }
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    match tungstenite::client(request, stream) {
        Ok((socket, _)) => Ok(socket),
        Err(HandshakeError::Failure(Error::Http(response))) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

fn heard(page: &mut WebSocket<TcpStream>) -> Message {
    page.read().unwrap()
}

/// Bytes up to so many, or to the end.
fn bytes(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.take(length as u64).read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_page_needs_the_origin_and_the_token_and_each_code_works_once() {
    let bridge = Bridge::new();
    let (port, token) = bridge.code();
    assert_eq!(token.len(), 32);
    let wrong = "0".repeat(32);
    for (token, origin, status) in [
        (&token, None, 403),
        (&token, Some("null"), 403),
        (&token, Some("https://evil.example"), 403),
        (&token, Some("http://127.0.0.1.evil.example"), 403),
        (&token, Some("http://localhost:80@evil.example"), 403),
        (&wrong, Some(HERE), 401),
        (&String::new(), Some(HERE), 401),
    ] {
        let refused = page(port, token, origin).map(drop);
        assert_eq!(refused, Err(status), "{token} {origin:?}");
    }
    // None of these has used it up.
    let first = page(port, &token, Some(HERE)).unwrap();
    assert_eq!(page(port, &token, Some(HERE)).map(drop), Err(410));
    assert!(bridge.codes.try_recv().is_err());
    // Another code, once that page has gone.
    drop(first);
    let (port, next) = bridge.code();
    assert_ne!(next, token);
    assert_eq!(page(port, &token, Some(HERE)).map(drop), Err(410));
    page(port, &next, Some("https://other.example")).unwrap();
}

#[test]
fn whoever_is_no_page_is_sent_away() {
    let bridge = Bridge::new();
    let (port, token) = bridge.code();
    let plain = format!("GET /{token} HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: {HERE}\r\n\r\n");
    for request in [
        plain.as_str(),
        "\x16\x03\x01 nothing\r\n\r\n",
        "POST / HTTP/1.1\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let answer = bytes(&mut stream, 1000);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 426 "), "{request}: {answer}");
    }
    // One that says nothing keeps nobody out.
    let _silent = TcpStream::connect(("127.0.0.1", port)).unwrap();
    page(port, &token, Some("http://localhost")).unwrap();
}

#[test]
fn bytes_pass_both_ways_and_each_gdb_is_freed_once() {
    let bridge = Bridge::new();
    let (port, token) = bridge.code();
    // gdb may come first: it tries until the page is there.
    let first = std::thread::spawn({
        let gdb_port = bridge.gdb_port;
        move || {
            assert!(TcpStream::connect(("127.0.0.1", gdb_port)).is_err());
        }
    });
    first.join().unwrap();
    let mut page_socket = page(port, &token, Some(HERE)).unwrap();
    let mut gdb = bridge.gdb();
    gdb.write_all(b"+$?#3f").unwrap();
    assert_eq!(heard(&mut page_socket), Message::text("gdb"));
    assert_eq!(heard(&mut page_socket), Message::binary(&b"+$?#3f"[..]));
    page_socket.send(Message::binary(&b"$T05#b9"[..])).unwrap();
    assert_eq!(bytes(&mut gdb, 7), b"$T05#b9");

    // A second one is sent away.
    assert_eq!(bytes(&mut bridge.gdb(), 1), b"");

    // Much at once arrives whole, though nobody reads it for a while.
    let piece = vec![0x5a; 64 << 10];
    let length = 40 * piece.len();
    let mut page_socket = std::thread::scope(|scope| {
        let sender = scope.spawn(move || {
            for _ in 0..40 {
                page_socket.send(Message::binary(piece.clone())).unwrap();
            }
            page_socket
        });
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(bytes(&mut gdb, length).len(), length);
        sender.join().unwrap()
    });

    // It goes: the next one waits until the page is through with it.
    drop(gdb);
    assert_eq!(heard(&mut page_socket), Message::text("gone"));
    let mut next = bridge.gdb();
    next.write_all(b"+").unwrap();
    page_socket.send(Message::binary(&b"late"[..])).unwrap();
    page_socket.send(Message::text("free")).unwrap();
    assert_eq!(heard(&mut page_socket), Message::text("gdb"));
    assert_eq!(heard(&mut page_socket), Message::binary(&b"+"[..]));
    page_socket.send(Message::binary(&b"$OK#9a"[..])).unwrap();
    page_socket
        .send(Message::text("free the page is elsewhere"))
        .unwrap();
    assert_eq!(
        bytes(&mut next, 100),
        b"$OK#9a",
        "nothing for another, and then the end"
    );

    // One that is none is sent away, and the page hears nothing of it.
    let mut browser = bridge.gdb();
    browser.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(bytes(&mut browser, 1), b"");
    let mut third = bridge.gdb();
    third.write_all(b"+").unwrap();
    assert_eq!(heard(&mut page_socket), Message::text("gdb"));

    // The page goes, and gdb's connection with it.
    drop(page_socket);
    assert_eq!(bytes(&mut third, 100), b"");
    bridge.code();
    assert!(TcpStream::connect(("127.0.0.1", bridge.gdb_port)).is_err());
}

#[test]
fn two_bridges_share_no_port() {
    let relay = |ports| Relay::new(Gate::new(Vec::new()), ports);
    let none = Ports {
        gdb: None,
        page: None,
    };
    let first = relay(none).unwrap();
    let second = relay(none).unwrap();
    assert_ne!(first.gdb_port(), second.gdb_port());
    let same = Ports {
        gdb: Some(first.gdb_port()),
        page: Some(0),
    };
    let Err(refusal) = relay(same) else {
        panic!("a third one has that port");
    };
    assert!(refusal.to_string().contains("--gdb-port"), "{refusal}");
    assert!(std::net::TcpListener::bind(("127.0.0.1", first.gdb_port())).is_err());
}

#[test]
fn a_client_that_says_nothing_keeps_no_gdb_out() {
    let bridge = Bridge::new();
    let (port, token) = bridge.code();
    let mut page_socket = page(port, &token, Some(HERE)).unwrap();
    let mut silent = bridge.gdb();
    let mut gdb = bridge.gdb();
    gdb.write_all(b"+").unwrap();
    assert_eq!(heard(&mut page_socket), Message::text("gdb"));
    assert_eq!(bytes(&mut silent, 1), b"");
    // This one has spoken, and stays.
    assert_eq!(bytes(&mut bridge.gdb(), 1), b"");
    page_socket.send(Message::binary(&b"$OK#9a"[..])).unwrap();
    assert_eq!(bytes(&mut gdb, 6), b"$OK#9a");
}

#[test]
fn a_gdb_that_is_freed_goes_though_it_sends_on_or_reads_nothing() {
    let bridge = Bridge::new();
    let (port, token) = bridge.code();
    let mut page_socket = page(port, &token, Some(HERE)).unwrap();
    for waiting_pieces in [0, 200] {
        let mut client = bridge.gdb();
        client.write_all(b"+").unwrap();
        while heard(&mut page_socket) != Message::text("gdb") {}
        let piece = vec![0x5a; 16 << 10];
        for _ in 0..waiting_pieces {
            page_socket.send(Message::binary(piece.clone())).unwrap();
        }
        let sender = std::thread::spawn(move || {
            let piece = vec![b'+'; 256 << 10];
            while client.write_all(&piece).is_ok() {}
        });
        page_socket.send(Message::text("free")).unwrap();
        let began = std::time::Instant::now();
        while !sender.is_finished() {
            assert!(began.elapsed() < PATIENCE, "it is still there");
            std::thread::sleep(Duration::from_millis(10));
        }
        sender.join().unwrap();
    }
}

#[test]
fn a_page_that_goes_is_missed_though_gdb_reads_nothing() {
    let bridge = Bridge::new();
    let (port, token) = bridge.code();
    let mut page_socket = page(port, &token, Some(HERE)).unwrap();
    let mut gdb = bridge.gdb();
    gdb.write_all(b"+").unwrap();
    assert_eq!(heard(&mut page_socket), Message::text("gdb"));
    assert_eq!(heard(&mut page_socket), Message::binary(&b"+"[..]));
    let stream = page_socket.get_ref();
    stream
        .set_write_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    // It ends at once, also where much is on its way.
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).unwrap();
    let piece = vec![0x5a; 256 << 10];
    let is_full = (0..400).any(|_| page_socket.send(Message::binary(piece.clone())).is_err());
    assert!(is_full, "it takes all that comes");
    drop(page_socket);
    bridge.code();
}

#[test]
fn origins_of_this_computer_are_allowed_and_others_by_name() {
    let mut gate = Gate::new(vec!["https://name.example".to_owned()]);
    for (origin, is_allowed) in [
        ("http://127.0.0.1:1", true),
        ("http://127.0.0.1", true),
        ("http://localhost:65535", true),
        ("https://name.example", true),
        ("https://127.0.0.1", false),
        ("http://127.0.0.1:", false),
        ("http://127.0.0.12", false),
        ("http://localhost.example", false),
        ("http://localhost:80/", false),
        ("https://name.example:444", false),
        ("", false),
    ] {
        let refusal = gate.admit("", Some(origin)).unwrap_err();
        assert_eq!(refusal == Refusal::WrongToken, is_allowed, "{origin}");
    }
}

#[test]
fn origins_are_read_as_browsers_write_them() {
    for (text, origin) in [
        ("https://Name.example/", Some("https://name.example")),
        ("http://name.example:8080", Some("http://name.example:8080")),
        ("https://name.example:443/", Some("https://name.example")),
        ("http://name.example:080", Some("http://name.example")),
        ("http://name.example:443", Some("http://name.example:443")),
        ("https://name.example:80", Some("https://name.example:80")),
        ("http://[0:0::1]:80", Some("http://[::1]")),
        ("https://[::1]:8443", Some("https://[::1]:8443")),
        ("name.example", None),
        ("ftp://name.example", None),
        ("https://:::", None),
        ("https://:443", None),
        ("https://name.example:", None),
        ("https://name.example:+1", None),
        ("https://name.example:65536", None),
        ("https://name.example:1:2", None),
        ("https://..", None),
        ("https://[]", None),
        ("https://[::1", None),
        ("https://::1", None),
        ("https://[::1]x", None),
        ("https://name]:1", None),
        ("https://", None),
        ("https://name.example/page", None),
        ("https://*", None),
    ] {
        assert_eq!(origin_from_text(text).ok().as_deref(), origin, "{text}");
    }
}
