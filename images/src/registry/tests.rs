//! A registry of the test's own, with bad manners where a test wants them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::*;
use layout::{Layout, index};
use reprise_host::network::tls::{Authority, TlsEnd};
use reprise_host::{MemorySpool, Spool, Unpacked, Unpacker};
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};
use tar_builder::{Member, TarBuilder};
use ureq::tls::PemItem;

#[allow(dead_code, reason = "the tests of reprise-host use the rest")]
#[path = "../../../host/tests/support/layout.rs"]
mod layout;
#[allow(dead_code, reason = "the tests of reprise-host use the rest")]
#[path = "../../../host/tests/support/tar_builder.rs"]
mod tar_builder;

const MEMBER_TYPE: &str = r#","platform":{"architecture":"ARCH","os":"linux"}"#;
const FILE_BYTES: usize = 300_000;

/// What a server does beside giving what it is asked for.
#[derive(Clone, Default)]
pub(crate) struct Manners {
    /// Connections with a long answer that break off, and after how many bytes.
    pub(crate) broken: (u32, usize),
    /// They do not break off but go silent.
    pub(crate) stalls: bool,
    /// Long answers have another byte there.
    pub(crate) wrong_at: Option<usize>,
    /// It knows no ranges.
    pub(crate) has_no_ranges: bool,
    /// Answers that are failures of its own before it begins to work.
    pub(crate) failures: u32,
    /// What requests need to have.
    pub(crate) wants: Wants,
    /// Goes before a blob's path to say where it is.
    pub(crate) redirect: Option<String>,
    /// Goes into the challenge in place of this server's own.
    pub(crate) realm: Option<String>,
    /// Goes before the path of tokens to say where they are.
    pub(crate) token_redirect: Option<String>,
    /// Answers come a byte at a time.
    pub(crate) trickles: bool,
    /// Speaks TLS.
    pub(crate) authority: Option<Authority>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Wants {
    #[default]
    Nothing,
    Basic,
    Token,
}

struct State {
    layout: Layout,
    manners: Manners,
    port: u16,
    /// Paths that were asked for, with what was sent to be let in.
    log: Vec<String>,
}

/// A registry on loopback, for as long as the test runs.
pub(crate) struct Server {
    state: Arc<Mutex<State>>,
}

/// Bytes that do not compress.
fn noise() -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..FILE_BYTES).map(|_| next()).collect()
}

/// An index with an image for another machine and one for ours; the tag is `1`.
fn image(architecture: &str) -> Layout {
    let mut layer = TarBuilder::default();
    let content = &noise()[..];
    layer.add(&Member {
        content,
        ..Member::new("file", b'0')
    });
    let layers = [layer.finish()];
    let mut layout = Layout::default();
    let other = layout.image("amd64", &layers, &MEMBER_TYPE.replace("ARCH", "amd64"));
    let ours = layout.image(
        architecture,
        &layers,
        &MEMBER_TYPE.replace("ARCH", architecture),
    );
    let members = index(&[other, ours]);
    layout.files.insert("1".to_owned(), members.into_bytes());
    layout
}

impl Server {
    pub(crate) fn new(manners: Manners) -> Self {
        Self::with(image("riscv64"), manners)
    }

    fn with(layout: Layout, manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State {
            layout,
            manners,
            port,
            log: Vec::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let state = Arc::clone(&shared);
                // Who goes away is of no interest.
                thread::spawn(move || drop(accept(stream.unwrap(), &state)));
            }
        });
        Self { state }
    }

    fn host(&self) -> String {
        format!("127.0.0.1:{}", self.state.lock().unwrap().port)
    }

    pub(crate) fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().log)
    }

    /// A client of it, impatient where the server stalls or trickles, which is this person by Docker's configuration.
    pub(crate) fn client(&self, name: &str, config: Option<&Path>) -> Registry {
        let manners = self.state.lock().unwrap().manners.clone();
        let patience = Patience {
            stall: Duration::from_secs(if manners.stalls { 1 } else { 30 }),
            total: Duration::from_secs(if manners.trickles { 1 } else { 60 }),
            pause: Duration::from_millis(2),
            tries: 3,
        };
        let authority = manners.authority;
        let scheme = if authority.is_some() { "https" } else { "http" };
        let trusted = authority.map(|authority| {
            let pem = authority.certificate_pem();
            let mut items = ureq::tls::parse_pem(pem.as_bytes());
            match items.next().unwrap().unwrap() {
                PemItem::Certificate(certificate) => certificate,
                _ => panic!("no certificate"),
            }
        });
        let reference = Reference::parse(&format!("{}/{name}", self.host())).unwrap();
        let base = format!("{scheme}://{}", self.host());
        let trusted: Vec<_> = trusted.into_iter().collect();
        let mut registry = Registry::at(base, reference, patience, &trusted);
        registry.config = config.map(Path::to_owned);
        registry
    }

    fn pull(&self, name: &str, config: Option<&Path>) -> anyhow::Result<Unpacked<MemorySpool>> {
        pull(&self.client(name, config))
    }

    /// Pulls the image, and sees that it is whole.
    #[track_caller]
    fn check(&self, config: Option<&Path>) -> Vec<String> {
        let registry = self.client("app:1", config);
        let mut unpacked = pull(&registry).unwrap();
        let mut file = vec![0; FILE_BYTES];
        unpacked.spool.read_at(0, &mut file).unwrap();
        assert!(file == noise());
        registry.take_retries()
    }

    /// Pulls, and fails with one line that has these words.
    #[track_caller]
    fn check_refused(&self, name: &str, config: Option<&Path>, words: &str) -> String {
        let Err(error) = self.pull(name, config) else {
            panic!("it was not refused");
        };
        let told = format!("{error:#}");
        assert!(told.contains(words) && told.lines().count() == 1, "{told}");
        told
    }
}

fn pull(registry: &Registry) -> anyhow::Result<Unpacked<MemorySpool>> {
    let limits = Limits::default();
    let manifest = registry.manifest(&limits)?;
    let mut unpacker = Unpacker::manifest(&manifest, limits, MemorySpool::default())?;
    while let Some(want) = unpacker.want() {
        let mut bytes = Vec::new();
        registry.fetch(want)?.read_to_end(&mut bytes)?;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let taken = unpacker.feed(rest)?;
            rest = &rest[taken..];
        }
        unpacker.end()?;
    }
    Ok(unpacker.finish()?)
}

/// The server's side of TLS, over a socket that blocks.
struct Secure {
    stream: TcpStream,
    end: TlsEnd,
}

impl Secure {
    fn send(&mut self) -> io::Result<()> {
        while self.end.has_ciphertext() {
            let bytes = self.end.next_ciphertext(1 << 16);
            self.stream.write_all(&bytes)?;
        }
        Ok(())
    }
}

impl Read for Secure {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let bytes = self.end.read(into.len());
            if !bytes.is_empty() {
                into[..bytes.len()].copy_from_slice(&bytes);
                return Ok(bytes.len());
            }
            let mut ciphertext = vec![0; self.end.room_to_take()];
            let length = self.stream.read(&mut ciphertext)?;
            if length == 0 {
                return Ok(0);
            }
            let taken = self.end.take(&ciphertext[..length]);
            self.send()?;
            taken.map_err(io::Error::other)?;
        }
    }
}

impl Write for Secure {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        let length = self.end.write(from);
        self.send()?;
        match length {
            0 => Err(ErrorKind::WriteZero.into()),
            length => Ok(length),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn accept(stream: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let authority = state.lock().unwrap().manners.authority.clone();
    match authority {
        None => serve(&mut BufReader::new(stream), state),
        Some(authority) => {
            let end = authority.end("127.0.0.1").unwrap();
            let mut reader = BufReader::new(Secure { stream, end });
            serve(&mut reader, state)?;
            let secure = reader.get_mut();
            secure.end.close();
            secure.send()
        }
    }
}

/// Answers one request.
fn serve<S: Read + Write>(stream: &mut BufReader<S>, state: &Mutex<State>) -> io::Result<()> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let header = |name: &str| {
        let mut named = lines.iter().filter_map(|line| line.split_once(": "));
        let value = named.find(|(found, _)| found.eq_ignore_ascii_case(name));
        value.map(|(_, value)| value.to_owned())
    };
    let path = lines[0].split(' ').nth(1).unwrap().to_owned();
    let mut form = vec![0; header("content-length").map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut form)?;
    let authorization = header("authorization").unwrap_or_default();
    let form = String::from_utf8(form).unwrap();
    let (head, body, manners) = {
        let mut state = state.lock().unwrap();
        state.log.push(format!("{path} {authorization}{form}"));
        answer(
            &mut state,
            &path,
            &authorization,
            &form,
            header("range").as_deref(),
        )
    };
    let stream = stream.get_mut();
    let head = format!(
        "HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    let is_long = body.len() > 100_000;
    let end = if manners.broken.0 > 0 && is_long {
        manners.broken.1
    } else {
        body.len()
    };
    let pieces = if manners.trickles { 1 } else { FILE_BYTES };
    for piece in body[..end.min(body.len())].chunks(pieces) {
        stream.write_all(piece)?;
        if manners.trickles {
            thread::sleep(Duration::from_millis(100));
        }
    }
    stream.flush()?;
    if end < body.len() && manners.stalls {
        thread::sleep(Duration::from_secs(5));
    }
    Ok(())
}

/// The status and headers, the body, and the manners that hold for it.
fn answer(
    state: &mut State,
    asked: &str,
    authorization: &str,
    form: &str,
    range: Option<&str>,
) -> (String, Vec<u8>, Manners) {
    let manners = state.manners.clone();
    let port = state.port;
    let simple = |status: &str| (status.to_owned(), Vec::new(), manners.clone());
    if state.manners.failures > 0 {
        state.manners.failures -= 1;
        return simple("503 Busy");
    }
    let token_redirect = manners.token_redirect.as_ref();
    if let Some(elsewhere) = token_redirect.filter(|_| asked.starts_with("/token")) {
        return simple(&format!("307 Elsewhere\r\nlocation: {elsewhere}{asked}"));
    }
    let path = asked.trim_start_matches("/moved");
    let is_moved = path.len() < asked.len();
    if path.starts_with("/token?") || path == "/token" {
        let is_known = authorization == "Basic dTpw" || form.contains("refresh_token=secret");
        let expected = "?scope=repository%3Aapp%3Apull&service=the%20service";
        let is_right = form.contains("scope=repository%3Aapp%3Apull") || path.ends_with(expected);
        assert!(is_right, "{path} {form}");
        let token = br#"{"token": "", "access_token": "let-me-in"}"#.to_vec();
        return match is_known {
            true => ("200 OK".to_owned(), token, manners.clone()),
            false => simple("401 Unauthorized"),
        };
    }
    let realm = manners.realm.clone();
    let realm = realm.unwrap_or_else(|| format!("http://127.0.0.1:{port}/token"));
    let (wanted, challenge) = match manners.wants {
        Wants::Nothing => ("", String::new()),
        Wants::Basic => ("Basic dTpw", "Basic realm=\"x\"".to_owned()),
        Wants::Token => (
            "Bearer let-me-in",
            format!("Bearer realm=\"{realm}\",service=\"the service\""),
        ),
    };
    if !wanted.is_empty() && authorization != wanted {
        return simple(&format!(
            "401 Unauthorized\r\nwww-authenticate: {challenge}"
        ));
    }
    let name = path.rsplit('/').next().unwrap();
    if let Some(elsewhere) = manners
        .redirect
        .as_ref()
        .filter(|_| path.contains("/blobs/") && !is_moved)
    {
        return simple(&format!("307 Elsewhere\r\nlocation: {elsewhere}{path}"));
    }
    let file = name.replace("sha256:", "blobs/sha256/");
    let Some(mut body) = state.layout.files.get(&file).cloned() else {
        let errors = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"it is\nunknown"}]}"#;
        return ("404 Not Found".to_owned(), errors.to_vec(), manners);
    };
    let is_long = body.len() > 100_000;
    if let Some(at) = manners.wrong_at.filter(|_| is_long) {
        body[at] ^= 1;
    }
    if is_long {
        state.manners.broken.0 = state.manners.broken.0.saturating_sub(1);
    }
    let from = range.and_then(|range| {
        range
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse()
            .ok()
    });
    match from {
        Some(from) if !manners.has_no_ranges => {
            let head = format!(
                "206 Part\r\ncontent-range: bytes {from}-{}/{}",
                body.len() - 1,
                body.len()
            );
            (head, body.split_off(from), manners)
        }
        _ => ("200 OK".to_owned(), body, manners),
    }
}

/// Docker's configuration with an entry for the server.
fn config(server: &Server, entry: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, r#"{{"auths": {{"{}": {entry}}}}}"#, server.host()).unwrap();
    file
}

const PASSWORD: &str = r#"{"auth": "dTpw"}"#;

#[test]
fn an_image_is_pulled() {
    let server = Server::new(Manners::default());
    assert!(server.check(None).is_empty());
    let log = server.log();
    // The index, one manifest, the configuration and a layer.
    assert_eq!(log.len(), 4, "{log:?}");
    assert_eq!(log[0], "/v2/app/manifests/1 ");
    let digest = Digest::of(&image("riscv64").files["1"]);
    let refused = format!("app@{}", Digest::of(b""));
    server.check_refused(&refused, None, "it is\\nunknown");
    let by_digest = Manners::default();
    let mut layout = image("riscv64");
    let bytes = layout.files["1"].clone();
    layout
        .files
        .insert(format!("blobs/sha256/{}", digest.hex()), bytes);
    Server::with(layout, by_digest)
        .pull(&format!("app@{digest}"), None)
        .unwrap();
}

#[test]
fn what_is_not_there_or_not_ours_is_refused() {
    let server = Server::new(Manners::default());
    server.check_refused("app:2", None, "has no app with the tag or digest 2");
    let other = Server::with(image("s390x"), Manners::default());
    other.check_refused("app:1", None, "linux/amd64 and linux/s390x");
    let mut layout = image("riscv64");
    layout.files.insert("2".to_owned(), b"{}".to_vec());
    layout.files.insert("3".to_owned(), vec![b' '; 5 << 20]);
    let wrong = Digest::of(b"what is wanted");
    layout
        .files
        .insert(format!("blobs/sha256/{}", wrong.hex()), b"{}".to_vec());
    let server = Server::with(layout, Manners::default());
    server.check_refused("app:2", None, "manifest");
    server.check_refused("app:3", None, "more than 4194304 bytes");
    server.check_refused(&format!("app@{wrong}"), None, "gave another manifest");
    let gone = Reference::parse("127.0.0.1:1/app").unwrap();
    let gone = Registry::new(gone, Patience::default()).unwrap();
    let told = gone.manifest(&Limits::default()).unwrap_err().to_string();
    assert!(told.contains("127.0.0.1:1 cannot be reached"), "{told}");
}

#[test]
fn who_asks_is_told() {
    for wants in [Wants::Basic, Wants::Token] {
        let server = Server::new(Manners {
            wants,
            ..Manners::default()
        });
        server.check_refused("app:1", None, "docker login 127.0.0.1:");
        server.check(Some(config(&server, PASSWORD).path()));
        let wrong = config(&server, r#"{"auth": "dTp4"}"#);
        server.check_refused("app:1", Some(wrong.path()), "docker login 127.0.0.1:");
    }
    let server = Server::new(Manners {
        wants: Wants::Token,
        ..Manners::default()
    });
    let refresh = config(&server, r#"{"identitytoken": "secret"}"#);
    server.check(Some(refresh.path()));
    server.log();
    server.check(Some(refresh.path()));
    // The first request, the token's, and four with it.
    let log = server.log();
    assert_eq!(log.len(), 6, "{log:?}");
    let broken = tempfile::NamedTempFile::new().unwrap();
    server.check_refused("app:1", Some(broken.path()), "no configuration of Docker's");
}

#[test]
fn credentials_go_nowhere_else() {
    let elsewhere = Server::new(Manners::default());
    let port = elsewhere.state.lock().unwrap().port;
    // Another port of the same host is another one, too.
    for host in ["localhost", "127.0.0.1"] {
        for wants in [Wants::Basic, Wants::Token] {
            let redirect = Some(format!("http://{host}:{port}"));
            let server = Server::new(Manners {
                redirect,
                wants,
                ..Manners::default()
            });
            let password = config(&server, PASSWORD);
            server.check(Some(password.path()));
            let log = elsewhere.log();
            assert_eq!(log.len(), 2, "{log:?}");
            assert!(log.iter().all(|line| line.ends_with(' ')), "{log:?}");
        }
    }

    let realm = Some("http://a.test/token".to_owned());
    let server = Server::new(Manners {
        realm,
        wants: Wants::Token,
        ..Manners::default()
    });
    let password = config(&server, PASSWORD);
    server.check_refused("app:1", Some(password.path()), "is not HTTPS");
}

#[test]
fn who_is_elsewhere_asks_in_vain() {
    for wants in [Wants::Basic, Wants::Token] {
        let elsewhere = Server::new(Manners {
            wants,
            ..Manners::default()
        });
        let redirect = Some(format!("http://{}", elsewhere.host()));
        for wants in [Wants::Nothing, Wants::Basic, Wants::Token] {
            let server = Server::new(Manners {
                redirect: redirect.clone(),
                wants,
                ..Manners::default()
            });
            for entry in [PASSWORD, r#"{"identitytoken": "secret"}"#] {
                if wants == Wants::Basic && entry != PASSWORD {
                    continue;
                }
                let known = config(&server, entry);
                let words = "leads, answered 401";
                let told = server.check_refused("app:1", Some(known.path()), words);
                assert!(told.contains(&elsewhere.host()), "{told}");
                assert!(!told.contains("docker login"), "{told}");
                let log = elsewhere.log();
                assert_eq!(log.len(), 1, "{log:?}");
                assert!(log[0].ends_with(' '), "{log:?}");
            }
        }
    }
}

#[test]
fn who_gives_tokens_leads_no_credentials_away() {
    let elsewhere = Server::new(Manners::default());
    let server = Server::new(Manners {
        wants: Wants::Token,
        token_redirect: Some(format!("http://{}", elsewhere.host())),
        ..Manners::default()
    });
    let password = config(&server, PASSWORD);
    let told = server.check_refused("app:1", Some(password.path()), "leads, answered 401");
    assert!(!told.contains("docker login"), "{told}");
    let log = elsewhere.log();
    assert!(log.len() == 1 && log[0].ends_with(' '), "{log:?}");
    // A form is not led anywhere.
    let refresh = config(&server, r#"{"identitytoken": "secret"}"#);
    server.check_refused("app:1", Some(refresh.path()), "answered 307");
    assert!(elsewhere.log().is_empty());
    // Within its own house it may.
    let server = Server::new(Manners {
        wants: Wants::Token,
        token_redirect: Some("/moved".to_owned()),
        ..Manners::default()
    });
    server.check(Some(config(&server, PASSWORD).path()));
}

#[test]
fn redirections_are_followed_and_bounded() {
    let redirected = |redirect: &str| {
        Server::new(Manners {
            redirect: Some(redirect.to_owned()),
            wants: Wants::Token,
            ..Manners::default()
        })
    };
    // The same one is told who asks, wherever it has things.
    let server = redirected("/moved");
    server.check(Some(config(&server, PASSWORD).path()));
    let check_refused = |redirect: &str, words: &str| {
        let server = redirected(redirect);
        server.check_refused("app:1", Some(config(&server, PASSWORD).path()), words);
        server.log()
    };
    let log = check_refused("", "more than 5 redirections");
    let blobs = log.iter().filter(|line| line.contains("/blobs/")).count();
    assert_eq!(blobs, 6, "{log:?}");
    check_refused("http://a.test", "no HTTPS");
    check_refused("ftp://127.0.0.1", "no HTTPS");
    check_refused("http://a test", "no URL");
}

#[test]
fn documents_have_their_time() {
    let server = Server::new(Manners {
        trickles: true,
        ..Manners::default()
    });
    server.check_refused("app:1", None, "timeout: global");
}

#[test]
fn what_breaks_off_goes_on() {
    let manners = Manners {
        broken: (3, 90_000),
        ..Manners::default()
    };
    let server = Server::new(manners.clone());
    let told = server.check(None);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(
        told[0].contains("broke off") || told[0].contains("too little"),
        "{told:?}"
    );
    // Without ranges it is read again from the beginning.
    let server = Server::new(Manners {
        has_no_ranges: true,
        ..manners.clone()
    });
    assert_eq!(server.check(None).len(), 3);
    let server = Server::new(Manners {
        stalls: true,
        ..manners.clone()
    });
    assert_eq!(server.check(None).len(), 3);
    let server = Server::new(Manners {
        broken: (9, 10),
        ..manners.clone()
    });
    server.check_refused("app:1", None, "it was tried 4 times");
    let server = Server::new(Manners {
        failures: 2,
        ..Manners::default()
    });
    assert_eq!(server.check(None).len(), 2);
    let server = Server::new(Manners {
        failures: 9,
        ..Manners::default()
    });
    server.check_refused("app:1", None, "503");
}

#[test]
fn wrong_bytes_are_seen() {
    let wrong = Manners {
        wrong_at: Some(200_000),
        ..Manners::default()
    };
    Server::new(wrong.clone()).check_refused("app:1", None, "damaged");
    let manners = Manners {
        broken: (2, 90_000),
        ..wrong
    };
    Server::new(manners).check_refused("app:1", None, "damaged");
}

#[test]
fn https_is_spoken_and_kept_to() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let authority = Authority::new(now.as_secs()).unwrap();
    let secure = Manners {
        authority: Some(authority),
        ..Manners::default()
    };
    let server = Server::new(secure.clone());
    server.check(None);
    let mut client = server.client("app:1", None);
    client = Registry::at(client.base, client.reference, client.patience, &[]);
    let told = client.manifest(&Limits::default()).unwrap_err().to_string();
    assert!(
        told.contains("cannot be reached") && told.contains("UnknownIssuer"),
        "{told}"
    );

    let plain = Server::new(Manners::default());
    let redirect = Some(format!("http://{}", plain.host()));
    let server = Server::new(Manners { redirect, ..secure });
    server.check_refused("app:1", None, "no HTTPS");
    assert!(plain.log().is_empty());
}
