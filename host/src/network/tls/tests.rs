#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use rustls::client::ClientConnection;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Some time in 2026.
pub(in crate::network) const NOW: u64 = 1_780_000_000;

#[derive(Debug)]
struct At(u64);

impl TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0)))
    }
}

fn der(pem: &str) -> Vec<u8> {
    let lines = pem.lines().filter(|line| !line.starts_with('-'));
    STANDARD.decode(lines.collect::<String>()).unwrap()
}

pub(in crate::network) struct Wanted<'a> {
    name: &'a str,
    says_name: bool,
    version: &'static SupportedProtocolVersion,
    alpn: &'a [&'a str],
    time: u64,
}

pub(in crate::network) const WANTED: Wanted<'static> = Wanted {
    name: "example.test",
    says_name: true,
    version: &TLS13,
    alpn: &["h2", "http/1.1"],
    time: NOW,
};

pub(in crate::network) fn client(authority: &Authority, wanted: &Wanted<'_>) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    let pem = authority.certificate_pem();
    roots.add(CertificateDer::from(der(&pem))).unwrap();
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_details(provider, Arc::new(At(wanted.time)))
        .with_protocol_versions(&[wanted.version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.enable_sni = wanted.says_name;
    config.alpn_protocols = wanted
        .alpn
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    let name = ServerName::try_from(wanted.name.to_owned()).unwrap();
    ClientConnection::new(Arc::new(config), name).unwrap()
}

/// Carries everything both ways, in pieces of so many bytes, until nothing moves.
fn carry(client: &mut ClientConnection, end: &mut TlsEnd, piece: usize) -> Result<Vec<u8>, String> {
    let mut got = Vec::new();
    let mut plaintext = [0; 4096];
    let mut sent = Vec::new();
    loop {
        while client.wants_write() {
            client.write_tls(&mut sent).unwrap();
        }
        let is_quiet = sent.is_empty() && !end.has_ciphertext();
        while !sent.is_empty() {
            let bytes = piece.min(sent.len()).min(end.room_to_take());
            if bytes == 0 {
                break;
            }
            let taken = end.take(&sent[..bytes]);
            sent.drain(..bytes);
            taken.map_err(|error| error.to_string())?;
        }
        while end.has_ciphertext() {
            let bytes = end.next_ciphertext(piece);
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                client.read_tls(&mut rest).unwrap();
                client
                    .process_new_packets()
                    .map_err(|error| error.to_string())?;
            }
            while let Ok(length @ 1..) = client.reader().read(&mut plaintext) {
                got.extend_from_slice(&plaintext[..length]);
            }
        }
        if is_quiet {
            return Ok(got);
        }
    }
}

#[test]
fn a_client_is_served() {
    let authority = Authority::new(NOW).unwrap();
    let cases = [
        (WANTED, ProtocolVersion::TLSv1_3, 1),
        (
            Wanted {
                version: &TLS12,
                ..WANTED
            },
            ProtocolVersion::TLSv1_2,
            7,
        ),
        (
            Wanted {
                alpn: &[],
                name: "1.2.3.4",
                ..WANTED
            },
            ProtocolVersion::TLSv1_3,
            9000,
        ),
        (
            Wanted {
                says_name: false,
                ..WANTED
            },
            ProtocolVersion::TLSv1_3,
            9000,
        ),
    ];
    for (wanted, version, piece) in cases {
        let mut client = client(&authority, &wanted);
        let mut end = authority.end(wanted.name).unwrap();
        assert_eq!(end.room(), 0, "before the handshake");
        assert_eq!(carry(&mut client, &mut end, piece), Ok(Vec::new()));
        assert_eq!(client.protocol_version(), Some(version));
        let alpn = (!wanted.alpn.is_empty()).then_some(&b"http/1.1"[..]);
        assert_eq!(client.alpn_protocol(), alpn);
        let has_name = wanted.says_name && wanted.name != "1.2.3.4";
        assert_eq!(end.server_name(), has_name.then_some(wanted.name));

        client
            .writer()
            .write_all(b"GET / HTTP/1.1\r\n\r\n")
            .unwrap();
        carry(&mut client, &mut end, piece).unwrap();
        assert_eq!(end.read(4), b"GET ");
        assert_eq!(end.read(100), b"/ HTTP/1.1\r\n\r\n");
        assert!(!end.is_read_out());

        let answer = vec![7; 3 * CIPHERTEXT_BYTES_MAX];
        let mut rest = &answer[..];
        let mut got = Vec::new();
        while !rest.is_empty() {
            let written = end.write(rest);
            assert!(0 < written && written <= CIPHERTEXT_BYTES_MAX);
            rest = &rest[written..];
            got.extend(carry(&mut client, &mut end, piece).unwrap());
        }
        assert!(got == answer);
        client.send_close_notify();
        carry(&mut client, &mut end, piece).unwrap();
        assert!(end.is_read_out());
        assert_eq!(end.write(b"last"), 4);
        end.close();
        assert_eq!((end.room(), end.write(b"x")), (0, 0));
        assert_eq!(carry(&mut client, &mut end, piece).unwrap(), b"last");
        assert!(
            matches!(client.reader().read(&mut [0]), Ok(0)),
            "it was told"
        );
    }
}

/// What the client says when it does not come to an end.
fn refused(wanted: &Wanted<'_>, host: &str) -> String {
    let authority = Authority::new(NOW).unwrap();
    let mut client = client(&authority, wanted);
    let mut end = authority.end(host).unwrap();
    let told = carry(&mut client, &mut end, 4096).unwrap_err();
    assert_eq!((end.room(), end.read(1).len()), (0, 0));
    told
}

#[test]
fn who_does_not_agree_is_refused() {
    let check = |wanted: Wanted<'_>, host: &str, expected: &str| {
        let told = refused(&wanted, host);
        assert!(told.contains(expected), "{told}");
    };
    check(
        Wanted {
            alpn: &["h2"],
            ..WANTED
        },
        "",
        "any known protocol",
    );
    check(
        Wanted {
            time: NOW + 11 * 366 * 86400,
            ..WANTED
        },
        "",
        "expired",
    );
    check(
        Wanted {
            time: NOW - 2 * 86400,
            ..WANTED
        },
        "",
        "not valid yet",
    );
    let silent = Wanted {
        says_name: false,
        ..WANTED
    };
    check(silent, "other.test", "not valid for name");
    // There can be no certificate for that.
    let silent = Wanted {
        says_name: false,
        ..WANTED
    };
    check(silent, "nö", "no server certificate");
}

#[test]
fn another_authority_is_not_trusted() {
    let [ours, other] = [0; 2].map(|_| Authority::new(NOW).unwrap());
    let mut client = client(&other, &WANTED);
    let mut end = ours.end("").unwrap();
    carry(&mut client, &mut end, 4096).unwrap_err();
    // The client's alert.
    let mut sent = Vec::new();
    client.write_tls(&mut sent).unwrap();
    let told = end.take(&sent).unwrap_err().to_string();
    assert!(
        told.contains("UnknownCA") || told.contains("DecryptError"),
        "{told}"
    );
    assert_eq!(end.take(b"").unwrap_err().to_string(), told, "it stays so");
    assert_eq!(end.write(b"x"), 0);
}

#[test]
fn any_time_has_certificates() {
    for seconds in [0, TIME, u64::MAX] {
        assert!(Authority::new(seconds).is_ok(), "{seconds}");
    }
}

/// Beyond what a 32-bit clock holds.
const TIME: u64 = 1 << 33;

#[test]
fn hostile_bytes_end_the_connection() {
    let authority = Authority::new(NOW).unwrap();
    let end = || authority.end("a.test").unwrap();
    let mut http = end();
    http.take(b"GET / HTTP/1.1\r\n\r\n").unwrap_err();
    assert_eq!(http.next_ciphertext(100)[0], 21, "an alert (RFC 8446 5.1)");
    http.take(b"GET / HTTP/1.1\r\n\r\n").unwrap_err();
    let mut much = end();
    let told = much.take(&vec![22; PLAINTEXT_BYTES_MAX + 1]);
    assert!(matches!(told, Err(TlsError::TooMuch)));

    // A ClientHello that never ends: records of 16 KiB that belong to one message of 16 MiB.
    let mut flood = end();
    let mut record = vec![22, 3, 1, 0x40, 0];
    record.extend([1, 0xff, 0xff, 0xff]);
    record.resize(5 + 0x4000, 0);
    let is_refused = (0..64).any(|_| flood.take(&record).is_err());
    assert!(is_refused, "it is bounded");
    // Empty records for ever.
    let mut idle = end();
    let is_refused = (0..10_000).any(|_| idle.take(&[22, 3, 1, 0, 0]).is_err());
    assert!(is_refused, "it is bounded");
}

#[test]
fn a_client_that_renews_its_keys_for_ever_costs_nothing() {
    let authority = Authority::new(NOW).unwrap();
    let mut client = client(&authority, &WANTED);
    let mut end = authority.end("").unwrap();
    carry(&mut client, &mut end, 4096).unwrap();
    for _ in 0..2000 {
        client.refresh_traffic_keys().unwrap();
        let mut sent = Vec::new();
        client.write_tls(&mut sent).unwrap();
        if end.take(&sent).is_err() {
            break;
        }
    }
    assert!(end.ciphertext.len() < 1024, "{}", end.ciphertext.len());
}

#[test]
fn what_is_not_read_is_not_taken() {
    let authority = Authority::new(NOW).unwrap();
    let mut client = client(&authority, &WANTED);
    let mut end = authority.end("").unwrap();
    carry(&mut client, &mut end, 4096).unwrap();
    client.writer().write_all(&[5; 60_000]).unwrap();
    let mut sent = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut sent).unwrap();
    }
    let (mut at, mut read) = (0, 0);
    while at < sent.len() {
        let room = end.room_to_take().min(sent.len() - at);
        if room == 0 {
            let bytes = end.read(1000).len();
            assert!(bytes > 0, "there is room or something to read");
            read += bytes;
        }
        end.take(&sent[at..at + room]).unwrap();
        at += room;
        assert!(end.plaintext.len() < 2 * PLAINTEXT_BYTES_MAX);
    }
    assert_eq!(read + end.read(usize::MAX).len(), 60_000);
}

#[test]
fn a_hello_may_be_cut_anywhere_and_damaged_anywhere() {
    let authority = Authority::new(NOW).unwrap();
    let mut hello = Vec::new();
    client(&authority, &WANTED).write_tls(&mut hello).unwrap();
    for at in 0..hello.len() {
        let mut end = authority.end("").unwrap();
        end.take(&hello[..at]).unwrap();
        assert!(!end.has_ciphertext());
        let mut damaged = hello.clone();
        damaged[at] ^= 0xff;
        let mut end = authority.end("").unwrap();
        // Either it is refused, or that byte did not matter.
        let _ = end.take(&damaged);
        assert!(end.ciphertext.len() < 8192);
    }
}

proptest! {
    #[test]
    fn garbage_never_panics(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8)) {
        let authority = Authority::new(NOW).unwrap();
        let mut end = authority.end("a.test").unwrap();
        for piece in &pieces {
            let _ = end.take(&[&[22, 3, 3, 1, 0], &piece[..]].concat());
            prop_assert!(end.read(10).is_empty());
            prop_assert!(end.ciphertext.len() < 8192);
        }
        end.close();
    }
}

/// Runs openssl with this as its input; returns what it printed.
fn openssl(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn openssl_reads_the_authority_as_the_guest_will() {
    let authority = Authority::new(NOW).unwrap();
    let pem = authority.certificate_pem();
    let told = openssl(&["x509", "-noout", "-subject", "-subject_hash"], &pem);
    let mut lines = told.lines();
    let subject = lines.next().unwrap();
    assert!(subject.ends_with(AUTHORITY_SUBJECT), "{subject}");
    // The guest's init knows the hash by heart.
    let init = include_str!("../../../../guest/init/authority.c");
    let expected = format!("#define SUBJECT_HASH \"{}\"\n", lines.next().unwrap());
    assert!(init.contains(&expected), "{expected}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("authority.pem");
    std::fs::write(&path, &pem).unwrap();
    for (host, option) in [("a.test", "-verify_hostname"), ("10.0.2.2", "-verify_ip")] {
        let leaf = authority.leaf_der(host).unwrap();
        let leaf = super::authority::pem_from_der(&leaf);
        let attime = NOW.to_string();
        let file = path.to_str().unwrap();
        let arguments = [
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            "-attime",
            &attime,
        ];
        openssl(
            &[&arguments[..], &["-CAfile", file, option, host]].concat(),
            &leaf,
        );
    }
}

#[test]
fn certificates_are_kept_and_dropped() {
    let authority = Authority::new(NOW).unwrap();
    let signed = |host: &str| authority.leaf_der(host);
    let first = signed("a.test").unwrap();
    assert_eq!(first, signed("a.test").unwrap());
    for number in 0..super::authority::LEAVES_MAX {
        signed(&format!("{number}.test")).unwrap();
    }
    assert_ne!(first, signed("a.test").unwrap());
    signed(&format!("{}.test", "long".repeat(30))).unwrap();
    signed("::1").unwrap();
    assert!(signed("nö").is_none());
}
