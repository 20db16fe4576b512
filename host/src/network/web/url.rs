//! What a request is about, as a URL.

use crate::network::GATEWAY_ADDRESS;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Bytes of the longest URL that browsers agree to fetch.
const URL_BYTES_MAX: usize = 32 << 10;

/// How a server is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Whether no page may fetch from a port (Fetch 2.9, port blocking): services that take what they are sent for their own protocol, or that
/// speak first, so that whoever connects to them here would wait for ever.
pub(super) fn is_blocked(port: u16) -> bool {
    const PORTS: &[u16] = &[
        0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95,
        101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179,
        389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601,
        636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566,
        6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
    ];
    PORTS.binary_search(&port).is_ok()
}

/// The URL of a request on a connection to `to`, which the guest knows by `name` if by any; or what is wrong with it, in a sentence.
pub(super) fn url(
    scheme: Scheme,
    to: SocketAddrV4,
    name: Option<&str>,
    host: Option<&str>,
    target: &str,
) -> Result<String, &'static str> {
    let (scheme_name, authority, path, usual_port) = match split_absolute(target) {
        // It stands by itself, whatever the connection's port is: a proxy's, say (RFC 9112 3.2.2).
        Some((named, authority, path)) => (named.name(), Some(authority), path, named.port()),
        None if target.starts_with('/') => (scheme.name(), host, target, to.port()),
        None => return Err("The request's target is neither a path nor a URL."),
    };
    let mut url = format!("{scheme_name}://");
    match authority
        .map(str::trim)
        .filter(|authority| !authority.is_empty())
    {
        Some(authority) => {
            let (host, port) = split_port(authority).ok_or("The request's host is not one.")?;
            url.push_str(host_for_browser(host));
            push_port(&mut url, port.unwrap_or(usual_port));
        }
        // HTTP/1.0 knows no hosts.
        None => {
            let address = to.ip().to_string();
            url.push_str(host_for_browser(name.unwrap_or(&address)));
            push_port(&mut url, to.port());
        }
    }
    if !path.starts_with('/') {
        url.push('/');
    }
    for letter in path.chars() {
        match letter {
            // What stands behind it is never sent to a server, so whoever sends it means the character.
            '#' => url.push_str("%23"),
            '!'..='~' => url.push(letter),
            _ => {
                let mut bytes = [0; 4];
                for byte in letter.encode_utf8(&mut bytes).bytes() {
                    url.push_str(&format!("%{byte:02X}"));
                }
            }
        }
    }
    match url.len() <= URL_BYTES_MAX {
        true => Ok(url),
        false => Err("The request's URL is longer than 32 KiB."),
    }
}

/// Scheme, authority and the rest of an absolute URL (RFC 9112 3.2.2).
fn split_absolute(target: &str) -> Option<(Scheme, &str, &str)> {
    let (scheme, rest) = target.split_once("://")?;
    let known = [Scheme::Http, Scheme::Https];
    let scheme = known
        .into_iter()
        .find(|known| scheme.eq_ignore_ascii_case(known.name()))?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    Some((scheme, &rest[..end], &rest[end..]))
}

/// Host and port of an authority; none for one that is not allowed here, as with a user.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let port = match port {
        None | Some("") => None,
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(port.parse().ok()?),
        Some(_) => return None,
    };
    let is_name = |host: &str| {
        let mut bytes = host.bytes();
        bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
    };
    let is_host = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_name(host),
    };
    (is_host && !host.is_empty() && host.len() <= 255).then_some((host, port))
}

/// The gateway's address means the browser's own computer.
fn host_for_browser(host: &str) -> &str {
    match host.parse::<Ipv4Addr>() {
        Ok(GATEWAY_ADDRESS) => "127.0.0.1",
        _ => host,
    }
}

fn push_port(url: &mut String, port: u16) {
    let scheme = match url.starts_with("https:") {
        true => Scheme::Https,
        false => Scheme::Http,
    };
    if port != scheme.port() {
        url.push_str(&format!(":{port}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn urls_of_requests() {
        let to = |port| SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 1), port);
        let check = |port, name, host, target, expected: Result<&str, ()>| {
            let found = url(Scheme::Http, to(port), name, host, target);
            assert_eq!(
                found.as_deref().map_err(|_| ()),
                expected,
                "{host:?} {target}"
            );
        };
        check(
            80,
            None,
            Some("example.org"),
            "/a?b=c",
            Ok("http://example.org/a?b=c"),
        );
        check(
            80,
            None,
            Some("example.org:80"),
            "/",
            Ok("http://example.org/"),
        );
        check(
            8000,
            None,
            Some("example.org:8000"),
            "/",
            Ok("http://example.org:8000/"),
        );
        check(
            8000,
            None,
            Some("example.org"),
            "/",
            Ok("http://example.org:8000/"),
        );
        check(
            8000,
            Some("a.example"),
            None,
            "/",
            Ok("http://a.example:8000/"),
        );
        check(80, None, None, "/", Ok("http://198.18.0.1/"));
        check(80, None, Some(""), "/", Ok("http://198.18.0.1/"));
        check(
            80,
            None,
            Some("10.0.2.2:1234"),
            "/",
            Ok("http://127.0.0.1:1234/"),
        );
        check(80, None, Some("[::1]:99"), "/", Ok("http://[::1]:99/"));
        check(
            80,
            None,
            Some("x"),
            "http://10.0.2.2/z",
            Ok("http://127.0.0.1/z"),
        );
        check(80, None, Some("x"), "https://y/z", Ok("https://y/z"));
        check(
            80,
            None,
            Some("x"),
            "HTTPS://y:8443?z",
            Ok("https://y:8443/?z"),
        );
        check(
            80,
            None,
            Some("x"),
            "/a b\u{e9}#\"",
            Ok("http://x/a%20b%C3%A9%23\""),
        );
        check(80, None, Some("a@b"), "/", Err(()));
        check(80, None, Some("a:x"), "/", Err(()));
        check(80, None, Some("a:65536"), "/", Err(()));
        check(80, None, Some("[x]"), "/", Err(()));
        check(80, None, Some("a/b"), "/", Err(()));
        check(80, None, Some("a"), "*", Err(()));
        check(80, None, Some("a"), "ftp://b/", Err(()));
        check(
            80,
            None,
            Some("a"),
            &("/".to_owned() + &"x".repeat(40_000)),
            Err(()),
        );
    }

    #[test]
    fn urls_of_encrypted_requests() {
        let to = SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 1), 443);
        let check = |host, target, expected: &str| {
            let found = url(Scheme::Https, to, Some("a.example"), host, target);
            assert_eq!(found.as_deref(), Ok(expected));
        };
        check(Some("b.example"), "/c", "https://b.example/c");
        check(Some("b.example:443"), "/c", "https://b.example/c");
        check(Some("b.example:8443"), "/c", "https://b.example:8443/c");
        check(None, "/c", "https://a.example/c");
        check(None, "http://d/c", "http://d/c");
    }

    #[test]
    fn ports_that_no_page_reaches() {
        assert!(is_blocked(22) && is_blocked(10080) && is_blocked(0));
        assert!(!is_blocked(80) && !is_blocked(8000));
        // It is searched by halves.
        let blocked: Vec<u16> = (0..=u16::MAX).filter(|port| is_blocked(*port)).collect();
        assert_eq!(blocked.len(), 83);
    }

    proptest! {
        #[test]
        fn no_host_or_target_leads_elsewhere(host in ".{0,20}", target in ".{0,30}") {
            let to = SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 1), 80);
            if let Ok(url) = url(Scheme::Http, to, None, Some(&host), &target) {
                prop_assert!(url.starts_with("http://") || url.starts_with("https://"));
                prop_assert!(url.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}
