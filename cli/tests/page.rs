//! `serve`, `bridge` and `share`, as processes.

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;
use support::Place;

#[test]
fn a_link_holds_the_trace() {
    let place = Place::new();
    place.record("trace", &["--", "0"]).expect_status(0);
    let shared = place
        .run(&[
            "share",
            "trace",
            "--at",
            "5",
            "--site",
            "https://example.org/r/#old",
        ])
        .expect_status(0);
    let link = shared.stdout.trim_end();
    let rest = link.strip_prefix("https://example.org/r/#t=").expect(link);
    let (text, rest) = rest.split_once('&').expect(link);
    assert!(rest.starts_with("at=5&v="), "{link}");
    assert!(URL_SAFE_NO_PAD.decode(text).is_ok(), "{text}");
    place.run(&["save", link, "-o", "again"]).expect_status(0);
    place
        .run(&["save", link, "-o", "again"])
        .expect_refusal("--force");
    let replay = |trace| {
        place
            .run(&["replay", trace, "--images", "guest"])
            .expect_status(0)
    };
    assert_eq!(replay("trace").position(), replay("again").position());
}

#[test]
fn a_link_names_where_a_large_trace_is() {
    let place = Place::new();
    let mut noise = vec![0; 100_000];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    place.write("noise", noise);
    let arguments = ["--add", "noise:/noise", "--", "0"];
    place.record("large", &arguments).expect_status(0);
    place.run(&["share", "large"]).expect_refusal("--url");
    let shared = place
        .run(&[
            "share",
            "large",
            "--site",
            "https://a.example/",
            "--url",
            "https://b.example/x.rpt?a&b",
        ])
        .expect_status(0);
    assert!(
        shared
            .stdout
            .starts_with("https://a.example/#trace=https://b.example/x.rpt?a%26b&v="),
        "{}",
        shared.stdout
    );
    place
        .run(&["share", "large", "--at", "99999999999"])
        .expect_refusal("the recording ends at");
}

#[test]
fn what_goes_away_with_a_trace_is_told() {
    let place = Place::new();
    place.write("api_token", "twelve bytes");
    let arguments = ["--add", "api_token:/root/", "--", "0"];
    place.record("trace", &arguments).expect_status(0);
    let told = place.run(&["scrub", "trace"]).expect_status(0).stdout;
    for line in [
        "command        0\n",
        "added          12 bytes: /root/api_token\n",
        "look at        /root/api_token\n",
    ] {
        assert!(told.contains(line), "{told}");
    }
    let told = place.run(&["scrub", "trace", "--json"]).expect_status(0);
    let told: serde_json::Value = serde_json::from_str(&told.stdout).expect("JSON");
    assert_eq!(told["files_added"][0]["bytes"], 12);
    assert_eq!(told["likely_secrets"][0], "/root/api_token");
    // Who shares it hears of it, and is not asked where nobody could answer.
    let shared = place.run(&["share", "trace"]).expect_status(0);
    assert!(
        shared.stderr.contains("look at      /root/api_token"),
        "{}",
        shared.stderr
    );
    place
        .run(&["scrub", "guest/Image"])
        .expect_refusal("not a Reprise trace");
}

#[test]
fn a_site_and_a_trace_are_served_to_this_computer() {
    let place = Place::new();
    place.record("a trace.rpt", &["--", "0"]).expect_status(0);
    fs::create_dir(place.path("site")).expect("a folder");
    place.run(&["serve", "site"]).expect_refusal("site.json");
    place.write("site/site.json", "{}");
    place.write("site/page.js", "1 + 1");
    let server = Server::start(&place, &["a trace.rpt", "--site", "site"]);
    assert!(
        server.link.ends_with("/#trace=traces/a%2520trace.rpt"),
        "{}",
        server.link
    );

    let page = server.get("/page.js", "127.0.0.1");
    assert!(
        page.starts_with("HTTP/1.1 200") && page.ends_with("1 + 1"),
        "{page}"
    );
    assert!(page.contains("content-type: text/javascript"), "{page}");
    assert!(
        page.contains("content-security-policy: default-src 'none'"),
        "{page}"
    );
    assert!(
        server
            .get("/traces/a%20trace.rpt", "localhost")
            .starts_with("HTTP/1.1 200")
    );
    for missing in [
        "/none",
        "/page.js/none",
        "/../a%20trace.rpt",
        "/%2e%2e/a%20trace.rpt",
    ] {
        let answer = server.get(missing, "127.0.0.1");
        assert!(answer.starts_with("HTTP/1.1 404"), "{missing}: {answer}");
    }
    assert!(
        server
            .get("/page.js", "example.org")
            .starts_with("HTTP/1.1 403")
    );
    // The guest is not in the site, and is on this computer.
    let info = place.run(&["info", "a trace.rpt", "--json", "--images", "guest"]);
    let info: serde_json::Value = serde_json::from_str(&info.stdout).expect("JSON");
    let hash = info["images"][0]["hash"].as_str().expect("a hash");
    let image = format!("/images/{hash}.gz");
    assert!(server.get(&image, "127.0.0.1").starts_with("HTTP/1.1 404"));
    let other = Server::start(
        &place,
        &["a trace.rpt", "--site", "site", "--images", "guest"],
    );
    assert!(other.get(&image, "127.0.0.1").starts_with("HTTP/1.1 200"));

    let port = server.port().to_string();
    place
        .run(&["serve", "site", "--port", &port])
        .expect_refusal("is taken");
    server.stop();
}

#[test]
fn a_bridge_prints_a_code_refuses_others_and_ends_by_ctrl_c() {
    let place = Place::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = listener.local_addr().expect("it is bound").port();
    let taken = taken.to_string();
    for (taken_by, other) in [("--port", "--gdb-port"), ("--gdb-port", "--port")] {
        place
            .run(&["bridge", other, "0", taken_by, &taken])
            .expect_refusal("name another with");
    }
    let bad = place.run(&["bridge", "--origin", "https://a.example/page"]);
    assert_eq!(bad.status, Some(2), "{}", bad.stderr);

    let server = Server::of(&place, &["bridge", "--port", "0", "--gdb-port", "0"]);
    let (port, token) = server.link.split_once('-').expect(&server.link);
    assert!(token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let ask = |origin: &str, token: &str| {
        let address = format!("127.0.0.1:{port}");
        let mut stream = TcpStream::connect(&address).expect("it listens");
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).expect("a socket");
        let request = format!(
            "GET /{token} HTTP/1.1\r\nHost: {address}\r\nOrigin: {origin}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("it answers");
        (stream, String::from_utf8_lossy(&answer).into_owned())
    };
    assert_eq!(ask("https://a.example", token).1, "HTTP/1.1 403");
    assert_eq!(
        ask("http://localhost:7710", &token.replace(|_| true, "0")).1,
        "HTTP/1.1 401"
    );
    let (_page, answer) = ask("http://localhost:7710", token);
    assert_eq!(answer, "HTTP/1.1 101");
    assert_eq!(ask("http://localhost:7710", token).1, "HTTP/1.1 410");
    server.stop();
}

/// A `reprise serve` at a free port, or another command that prints a line for who waits for it.
struct Server {
    child: Child,
    link: String,
}

impl Server {
    fn start(place: &Place, arguments: &[&str]) -> Self {
        Self::of(place, &[&["serve", "--port", "0"], arguments].concat())
    }

    fn of(place: &Place, words: &[&str]) -> Self {
        let mut child = place
            .reprise(words)
            .stdout(Stdio::piped())
            .spawn()
            .expect("reprise starts");
        let mut link = String::new();
        let stdout = child.stdout.take().expect("its output");
        BufReader::new(stdout)
            .read_line(&mut link)
            .expect("its link");
        Self {
            child,
            link: link.trim_end().to_owned(),
        }
    }

    fn port(&self) -> u16 {
        let rest = self
            .link
            .strip_prefix("http://127.0.0.1:")
            .expect(&self.link);
        let (port, _) = rest.split_once('/').expect(&self.link);
        port.parse().expect(&self.link)
    }

    fn get(&self, path: &str, host: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port())).expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it answers");
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn stop(mut self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::INT).expect("it is there");
        assert_eq!(self.child.wait().expect("it ends").code(), Some(0));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that was stopped is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
