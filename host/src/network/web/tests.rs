use super::*;
use crate::network::tls::tests as tls_tests;
use crate::network::wire::Link;
use crate::network::{
    GATEWAY_ADDRESS, GUEST_ADDRESS, GUEST_MAC, NAME_SERVER_ADDRESS, datagram, instant,
};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{
    EthernetAddress, HardwareAddress, IpAddress, IpCidr, IpEndpoint, IpListenEndpoint,
};
use std::io::{Read, Write};
use std::net::Ipv4Addr;

/// A guest with a stack of its own, on the page's network.
struct Pair {
    network: WebNetwork,
    guest: Interface,
    link: Link,
    sockets: SocketSet<'static>,
    now: Duration,
    port: u16,
}

impl Pair {
    fn new() -> Self {
        let mut link = Link::default();
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(GUEST_MAC)));
        config.random_seed = 7;
        let mut guest = Interface::new(config, &mut link, Instant::ZERO);
        guest.update_ip_addrs(|addresses| {
            let own = IpCidr::new(IpAddress::Ipv4(GUEST_ADDRESS), 24);
            addresses.push(own).unwrap();
        });
        (guest.routes_mut())
            .add_default_ipv4_route(GATEWAY_ADDRESS)
            .unwrap();
        Self {
            network: WebNetwork::new(1, None),
            guest,
            link,
            sockets: SocketSet::new(Vec::new()),
            now: Duration::ZERO,
            port: 40_000,
        }
    }

    /// Lets frames pass for a while.
    fn turn(&mut self, millis: u64) {
        for _ in 0..millis {
            self.now += Duration::from_millis(1);
            self.guest
                .poll(instant(self.now), &mut self.link, &mut self.sockets);
            while let Some(frame) = self.link.outgoing.pop_front() {
                self.network.take_frame(frame);
            }
            self.network.poll(self.now);
            while let Some(frame) = self.network.next_frame() {
                self.link.incoming.push_back(frame);
            }
        }
    }

    fn dial(&mut self, to: (Ipv4Addr, u16)) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; 256 << 10]);
        let handle = self.sockets.add(tcp::Socket::new(buffer(), buffer()));
        let socket: &mut tcp::Socket<'_> = self.sockets.get_mut(handle);
        self.port += 1;
        let at = IpListenEndpoint::from(self.port);
        let to = IpEndpoint::from(SocketAddrV4::new(to.0, to.1));
        socket.connect(self.guest.context(), to, at).unwrap();
        self.turn(10);
        handle
    }

    fn ask(&mut self, to: (Ipv4Addr, u16), request: &str) -> SocketHandle {
        let handle = self.dial(to);
        self.send(handle, request);
        handle
    }

    fn socket(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    fn send(&mut self, handle: SocketHandle, text: &str) {
        self.socket(handle).send_slice(text.as_bytes()).unwrap();
        self.turn(10);
    }

    fn heard(&mut self, handle: SocketHandle) -> Vec<u8> {
        let socket = self.socket(handle);
        let mut bytes = vec![0; socket.recv_queue()];
        let length = socket.recv_slice(&mut bytes).unwrap_or(0);
        bytes.truncate(length);
        bytes
    }

    fn heard_text(&mut self, handle: SocketHandle) -> String {
        String::from_utf8(self.heard(handle)).unwrap()
    }
}

const SERVER: (Ipv4Addr, u16) = (Ipv4Addr::new(198, 18, 0, 1), 80);

#[test]
fn what_a_guest_asks_for_is_fetched() {
    let mut pair = Pair::new();
    // By the name that it has looked up.
    let mut query = vec![9, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend_from_slice(b"\x07example\x03org\x00\x00\x01\x00\x01");
    let from = SocketAddrV4::new(GUEST_ADDRESS, 53);
    let mut frame = datagram::frame(53, from, &query).unwrap();
    frame[30..34].copy_from_slice(&NAME_SERVER_ADDRESS.octets());
    pair.network.take_frame(frame);
    pair.network.poll(Duration::ZERO);
    let answer = pair.network.next_frame().unwrap();
    assert!(answer.ends_with(&SERVER.0.octets()));

    let handle = pair.ask(
        SERVER,
        "GET /a?b HTTP/1.0\r\nUser-Agent: x\r\nX-Own: 1\r\nX-Own: 2\r\nAccept: */*\r\n\r\n",
    );
    let fetch = pair.network.next_fetch().unwrap();
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let expected = Fetch {
        id: FetchId(1),
        method: "GET".to_owned(),
        url: "http://example.org/a?b".to_owned(),
        headers: vec![
            header("X-Own", "1"),
            header("X-Own", "2"),
            header("Accept", "*/*"),
        ],
        body: Vec::new(),
        // X-Own is the guest's own.
        follows_redirects: false,
    };
    assert_eq!(fetch, expected);
    assert_eq!(pair.network.next_fetch(), None);
    assert!(
        pair.network
            .head(fetch.id, 200, "Fine", &[header("X", "y")])
    );

    // More than all buffers hold, as fast as it is taken.
    let sent: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    let (mut done, mut got) = (0, Vec::new());
    while done < sent.len() {
        let room = pair.network.room(fetch.id);
        assert!(room < 1 << 20, "it does not take all that there is");
        let piece = room.min(sent.len() - done);
        assert!(pair.network.body(fetch.id, &sent[done..done + piece]));
        done += piece;
        pair.turn(1);
        got.extend(pair.heard(handle));
    }
    pair.network.end(fetch.id);
    for _ in 0..1000 {
        pair.turn(1);
        got.extend(pair.heard(handle));
    }
    let head = b"HTTP/1.1 200 Fine\r\nX: y\r\nConnection: close\r\n\r\n";
    assert!(got.starts_with(head) && got[head.len()..] == sent);
    // Nobody wants more, and the connection ends when the guest has said so too.
    assert!(!pair.network.body(fetch.id, b"x") && pair.network.room(fetch.id) == 0);
    assert_eq!(pair.socket(handle).state(), tcp::State::CloseWait);
    pair.socket(handle).close();
    pair.turn(100);
    assert!(!pair.network.is_busy() && pair.network.ends.is_empty());
    assert_eq!(pair.network.given_up(), None);
}

#[test]
fn a_connection_is_used_again_and_requests_wait_their_turn() {
    let mut pair = Pair::new();
    let one = "POST /1 HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc";
    let two = "GET http://10.0.2.2:99/2 HTTP/1.1\r\nHost: b.example\r\n\r\n";
    let handle = pair.ask(
        (Ipv4Addr::new(93, 184, 216, 34), 8080),
        &format!("{one}{two}"),
    );
    let first = pair.network.next_fetch().unwrap();
    assert_eq!(
        (&first.url[..], &first.body[..]),
        ("http://a.example:8080/1", &b"abc"[..])
    );
    assert!(!first.follows_redirects, "a body goes nowhere else");
    assert_eq!(pair.network.next_fetch(), None);
    pair.network.head(first.id, 200, "OK", &[]);
    pair.network.body(first.id, b"one");
    pair.network.end(first.id);
    pair.turn(10);
    let second = pair.network.next_fetch().unwrap();
    assert_eq!(second.url, "http://127.0.0.1:99/2");
    assert!(second.follows_redirects);
    pair.network.head(second.id, 204, "", &[]);
    pair.network.end(second.id);
    pair.turn(10);
    let heard = pair.heard_text(handle);
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n3\r\none\r\n0\r\n\r\n";
    assert_eq!(
        heard,
        format!("{chunked}HTTP/1.1 204 \r\nConnection: keep-alive\r\n\r\n")
    );
    assert!(pair.socket(handle).may_send() && pair.socket(handle).may_recv());
}

#[test]
fn failures_are_explained_to_the_guest() {
    let mut pair = Pair::new();
    let request = |lines: &str| format!("GET /<x> HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n");
    let handle = pair.ask(
        SERVER,
        &request("X-A: 1\r\nAuthorization: b\r\nAccept: */*\r\n"),
    );
    let fetch = pair.network.next_fetch().unwrap();
    pair.network.failed(fetch.id, "Failed to fetch.");
    pair.turn(10);
    let heard = pair.heard_text(handle);
    assert!(
        heard.starts_with("HTTP/1.1 502 The browser refused (see CORS)\r\n"),
        "{heard}"
    );
    for part in [
        "text/plain",
        "did not hand over http://a.example/<x>: Failed to fetch.",
        "Access-Control-Allow-Origin",
        "mixed content",
        "first: X-A, Authorization.",
        "The server redirects.",
    ] {
        assert!(heard.contains(part), "{part}: {heard}");
    }
    // The connection can be used again.
    pair.send(handle, &request("Accept: text/html\r\n"));
    let fetch = pair.network.next_fetch().unwrap();
    pair.network.failed(fetch.id, "Failed to fetch.");
    pair.turn(10);
    let heard = pair.heard_text(handle);
    assert!(
        heard.contains("text/html") && heard.contains("http://a.example/&lt;x&gt;"),
        "{heard}"
    );
    assert!(!heard.contains("asks the server first") && !heard.contains("redirects"));

    // What a proxy is asked for stands by itself, whatever the proxy's port is.
    let to_proxy = (GATEWAY_ADDRESS, 3128);
    for (target, url) in [
        ("http://b.example/c", "http://b.example/c"),
        ("https://b.example/c", "https://b.example/c"),
        ("http://b.example:81/c", "http://b.example:81/c"),
    ] {
        pair.ask(
            to_proxy,
            &format!("GET {target} HTTP/1.1\r\nHost: b.example\r\n\r\n"),
        );
        assert_eq!(pair.network.next_fetch().unwrap().url, url);
    }

    for (request, status) in [
        (
            "CONNECT a.example:443 HTTP/1.1\r\nHost: x\r\n\r\n",
            "HTTP/1.1 400 ",
        ),
        ("TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 501 "),
        ("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", "HTTP/1.1 400 "),
        ("nonsense\r\n\r\n", "HTTP/1.1 400 "),
    ] {
        let handle = pair.ask(SERVER, request);
        let heard = pair.heard_text(handle);
        assert!(heard.starts_with(status), "{request}: {heard}");
        assert_eq!(pair.network.next_fetch(), None);
    }
}

#[test]
fn what_breaks_off_is_seen_to() {
    let mut pair = Pair::new();
    let handle = pair.ask(SERVER, "GET / HTTP/1.0\r\n\r\n");
    let fetch = pair.network.next_fetch().unwrap();
    pair.network.head(fetch.id, 200, "OK", &[]);
    pair.network.body(fetch.id, b"half of i");
    pair.turn(10);
    assert!(pair.heard_text(handle).ends_with("half of i"));
    pair.network.failed(fetch.id, "network error");
    pair.turn(10);
    // No end, but a reset: without a length nothing else tells it.
    assert_eq!(pair.socket(handle).state(), tcp::State::Closed);
    assert!(!pair.network.is_busy() && pair.network.ends.is_empty());
}

#[test]
fn what_a_guest_gives_up_is_told() {
    let mut pair = Pair::new();
    let handle = pair.ask(SERVER, "GET / HTTP/1.1\r\n\r\n");
    let fetch = pair.network.next_fetch().unwrap();
    pair.network.head(fetch.id, 200, "OK", &[]);
    pair.socket(handle).abort();
    pair.turn(10);
    assert_eq!(pair.network.given_up(), Some(fetch.id));
    assert_eq!(pair.network.given_up(), None);
    // What comes all the same does no harm.
    assert!(!pair.network.body(fetch.id, b"x"));
    pair.network.end(fetch.id);
    pair.network.failed(fetch.id, "aborted");
    assert!(pair.network.fetches.is_empty() && !pair.network.is_busy());
    // One that has closed its end may still wait; when it has left, that is noticed in time.
    let handle = pair.ask(SERVER, "GET / HTTP/1.1\r\n\r\n");
    let fetch = pair.network.next_fetch().unwrap();
    pair.socket(handle).close();
    pair.turn(25_000);
    assert_eq!(pair.network.given_up(), None);
    pair.sockets.remove(handle);
    pair.turn(25_000);
    assert_eq!(pair.network.given_up(), Some(fetch.id));
    assert!(!pair.network.is_busy());
    // One that nobody has begun is not told at all.
    let handle = pair.ask(SERVER, "GET / HTTP/1.1\r\n\r\n");
    pair.socket(handle).abort();
    pair.turn(10);
    assert_eq!(
        (pair.network.next_fetch(), pair.network.given_up()),
        (None, None)
    );
}

#[test]
fn what_is_no_http_is_refused() {
    let mut pair = Pair::new();
    for port in [22, 25, 53, 443] {
        let handle = pair.dial((SERVER.0, port));
        assert_eq!(pair.socket(handle).state(), tcp::State::Closed, "{port}");
    }
    for sent in ["SSH-2.0-x\r\n", "\x16\x03\x01", "hello"] {
        let handle = pair.ask((SERVER.0, 8000), sent);
        assert_eq!(pair.socket(handle).state(), tcp::State::Closed, "{sent}");
    }
    // One that says nothing, or its word in pieces, is waited for.
    let handle = pair.ask((SERVER.0, 8000), "GE");
    assert_eq!(pair.socket(handle).state(), tcp::State::Established);
    pair.send(handle, "T / HTTP/1.1\r\n\r\n");
    assert_eq!(
        pair.network.next_fetch().unwrap().url,
        "http://198.18.0.1:8000/"
    );
    assert_eq!(pair.network.next_fetch(), None);
}

/// Carries a TLS client's bytes over a socket of the guest's for a while; the plaintext that came.
fn carry(pair: &mut Pair, handle: SocketHandle, client: &mut rustls::ClientConnection) -> Vec<u8> {
    let mut plaintext = Vec::new();
    for _ in 0..50 {
        let mut sent = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut sent).unwrap();
        }
        pair.socket(handle).send_slice(&sent).unwrap();
        pair.turn(2);
        let heard = pair.heard(handle);
        let mut rest = &heard[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            let state = client.process_new_packets().unwrap();
            let before = plaintext.len();
            plaintext.resize(before + state.plaintext_bytes_to_read(), 0);
            client
                .reader()
                .read_exact(&mut plaintext[before..])
                .unwrap();
        }
    }
    plaintext
}

#[test]
fn what_is_encrypted_is_fetched_too() {
    let authority = Authority::new(tls_tests::NOW).unwrap();
    let mut pair = Pair::new();
    pair.network = WebNetwork::new(1, Some(authority.clone()));
    pair.network.number_after(FetchId(7));
    let handle = pair.dial((Ipv4Addr::new(198, 18, 0, 9), 443));
    let mut client = tls_tests::client(&authority, &tls_tests::WANTED);
    let request = b"GET /a HTTP/1.1\r\nHost: example.test\r\n\r\n";
    client.writer().write_all(request).unwrap();
    assert_eq!(carry(&mut pair, handle, &mut client), b"");
    let fetch = pair.network.next_fetch().unwrap();
    assert_eq!(
        (fetch.id, &fetch.url[..]),
        (FetchId(8), "https://example.test/a")
    );

    // More than all buffers hold.
    pair.network.head(fetch.id, 200, "OK", &[]);
    let sent: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
    let mut got = Vec::new();
    for piece in sent.chunks(300_000) {
        pair.network.body(fetch.id, piece);
        got.extend(carry(&mut pair, handle, &mut client));
    }
    pair.network.end(fetch.id);
    while !got.ends_with(b"\r\n0\r\n\r\n") {
        got.extend(carry(&mut pair, handle, &mut client));
    }
    let begin = got.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let (mut rest, mut body) = (&got[begin..], Vec::new());
    while let Ok(httparse::Status::Complete((taken, size @ 1..))) = httparse::parse_chunk_size(rest)
    {
        let size = size as usize;
        body.extend_from_slice(&rest[taken..taken + size]);
        rest = &rest[taken + size + 2..];
    }
    assert!(got.starts_with(b"HTTP/1.1 200 OK\r\n") && body == sent);

    // The same connection again, and its end.
    client
        .writer()
        .write_all(b"HEAD /b HTTP/1.1\r\nConnection: close\r\n\r\n")
        .unwrap();
    carry(&mut pair, handle, &mut client);
    let fetch = pair.network.next_fetch().unwrap();
    assert_eq!(fetch.url, "https://198.18.0.9/b");
    pair.network.failed(fetch.id, "Failed to fetch.");
    let heard = carry(&mut pair, handle, &mut client);
    assert!(heard.starts_with(b"HTTP/1.1 502 ") && heard.ends_with(b"\r\n\r\n"));
    assert!(client.process_new_packets().unwrap().peer_has_closed());
    assert_eq!(pair.socket(handle).state(), tcp::State::CloseWait);
    pair.socket(handle).close();
    pair.turn(100);
    assert!(!pair.network.is_busy() && pair.network.ends.is_empty());

    // Who does not speak it is told so, and left.
    let handle = pair.ask((SERVER.0, 443), "GET / HTTP/1.1\r\n\r\n");
    assert_eq!(pair.heard(handle).first(), Some(&21), "an alert");
    assert_eq!(pair.socket(handle).state(), tcp::State::CloseWait);
    assert_eq!(pair.network.next_fetch(), None);
}

#[test]
fn what_breaks_tls_behind_a_request_ends_the_connection() {
    let authority = Authority::new(tls_tests::NOW).unwrap();
    let mut pair = Pair::new();
    pair.network = WebNetwork::new(1, Some(authority.clone()));
    let handle = pair.dial((Ipv4Addr::new(198, 18, 0, 9), 443));
    let mut client = tls_tests::client(&authority, &tls_tests::WANTED);
    carry(&mut pair, handle, &mut client);
    let request = b"GET /a HTTP/1.1\r\nHost: example.test\r\n\r\n";
    client.writer().write_all(request).unwrap();
    carry(&mut pair, handle, &mut client);
    let fetch = pair.network.next_fetch().unwrap();
    pair.network.head(fetch.id, 200, "OK", &[]);
    pair.network.body(fetch.id, &[1; 1000]);
    // A whole request, and a record that is none, in one go, while an answer is under way.
    client.writer().write_all(request).unwrap();
    let mut sent = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut sent).unwrap();
    }
    sent.extend([23, 3, 3, 0, 20].iter().chain(&[7; 20]));
    pair.socket(handle).send_slice(&sent).unwrap();
    pair.turn(10);
    pair.network.body(fetch.id, &[1; 1000]);
    pair.network.end(fetch.id);
    pair.turn(10);
    pair.socket(handle).close();
    pair.turn(100);
    assert!(!pair.network.is_busy() && pair.network.ends.is_empty());
}

#[test]
fn what_begins_as_tls_is_that_at_any_port() {
    let authority = Authority::new(tls_tests::NOW).unwrap();
    for is_trusted in [true, false] {
        let mut pair = Pair::new();
        pair.network = WebNetwork::new(1, is_trusted.then(|| authority.clone()));
        let handle = pair.dial((Ipv4Addr::new(198, 18, 0, 9), 8443));
        let mut client = tls_tests::client(&authority, &tls_tests::WANTED);
        let request = b"GET /a HTTP/1.1\r\nHost: example.test:8443\r\n\r\n";
        client.writer().write_all(request).unwrap();
        if is_trusted {
            carry(&mut pair, handle, &mut client);
            let fetch = pair.network.next_fetch().unwrap();
            assert_eq!(fetch.url, "https://example.test:8443/a");
        } else {
            let mut hello = Vec::new();
            client.write_tls(&mut hello).unwrap();
            pair.socket(handle).send_slice(&hello).unwrap();
            pair.turn(10);
            assert_eq!(pair.socket(handle).state(), tcp::State::Closed);
        }
    }
}
