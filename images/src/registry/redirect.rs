//! Where a redirection leads, and whether that is still who was asked.

use ureq::http::header::LOCATION;
use ureq::http::{Response, StatusCode, Uri};

/// Whom a request goes to, seen from who was asked first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hop {
    /// The one who was asked, before any redirection.
    First,
    /// The same one, after redirections that have all stayed there.
    Own,
    /// Another one, or one to whom another has led.
    Elsewhere,
}

impl Hop {
    /// What follows when a redirection leads on. Who came from elsewhere does not get back: another one has chosen what is asked for.
    pub(super) fn next(self, first: &Uri, next: &Uri) -> Self {
        match self {
            Self::First | Self::Own if is_same(first, next) => Self::Own,
            _ => Self::Elsewhere,
        }
    }
}

/// Where an answer leads, if it leads on (RFC 9110 15.4). How each status changes the method does not matter, since it is always GET.
pub(super) fn location<T>(response: &Response<T>) -> Option<&str> {
    match response.status() {
        StatusCode::MOVED_PERMANENTLY
        | StatusCode::FOUND
        | StatusCode::SEE_OTHER
        | StatusCode::TEMPORARY_REDIRECT
        | StatusCode::PERMANENT_REDIRECT => response.headers().get(LOCATION)?.to_str().ok(),
        _ => None,
    }
}

/// Resolves a location against the URL that gave it (RFC 3986 5.2); `None` when that makes no URL.
pub(super) fn target(from: &Uri, location: &str) -> Option<Uri> {
    let (scheme, authority) = (from.scheme_str()?, from.authority()?);
    let location = location.split('#').next()?;
    let url = if has_scheme(location) {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else {
        let (path, query) = match location.find('?') {
            Some(at) => location.split_at(at),
            None => (location, ""),
        };
        let folder = from.path().rfind('/').map_or("", |at| &from.path()[..at]);
        let (path, query) = match (path, query) {
            ("", "") => (
                from.path().to_owned(),
                from.query().map(|query| format!("?{query}")),
            ),
            ("", query) => (from.path().to_owned(), Some(query.to_owned())),
            (path, query) if path.starts_with('/') => (path.to_owned(), Some(query.to_owned())),
            (path, query) => (format!("{folder}/{path}"), Some(query.to_owned())),
        };
        let path = without_dots(&path);
        format!("{scheme}://{authority}{path}{}", query.unwrap_or_default())
    };
    let url = url.parse::<Uri>().ok()?;
    (url.scheme().is_some() && url.authority().is_some()).then_some(url)
}

/// RFC 3986 3.1.
fn has_scheme(location: &str) -> bool {
    let scheme = location.split_once(':').map_or("", |(scheme, _)| scheme);
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(is_part)
}

/// RFC 3986 5.2.4, for a path that begins with a slash.
fn without_dots(path: &str) -> String {
    let mut kept = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
    }
    let is_folder = path.ends_with("/.") || path.ends_with("/..");
    if is_folder {
        kept.push("");
    }
    format!("/{}", kept.join("/"))
}

/// Whether two URLs have the same scheme, host and port (RFC 6454 5).
fn is_same(left: &Uri, right: &Uri) -> bool {
    let port = |url: &Uri| match (url.port_u16(), url.scheme_str()) {
        (None, Some("https")) => Some(443),
        (None, Some("http")) => Some(80),
        (port, _) => port,
    };
    let hosts = left.host().zip(right.host());
    left.scheme() == right.scheme()
        && hosts.is_some_and(|(left, right)| left.eq_ignore_ascii_case(right))
        && port(left) == port(right)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    #[test]
    fn locations_are_resolved() {
        let from: Uri = "https://a.test:5/b/c?d".parse().unwrap();
        let check = |location: &str, expected: Option<&str>| {
            let found = target(&from, location).map(|url| url.to_string());
            assert_eq!(found.as_deref(), expected, "{location}");
        };
        check("http://e.test/f?g#h", Some("http://e.test/f?g"));
        check("HTTP://e.test/f", Some("http://e.test/f"));
        check("//e.test/f", Some("https://e.test/f"));
        check("/f?g=/../:", Some("https://a.test:5/f?g=/../:"));
        check("f", Some("https://a.test:5/b/f"));
        check("./../f/.", Some("https://a.test:5/f/"));
        check("../../..", Some("https://a.test:5/"));
        check("?g", Some("https://a.test:5/b/c?g"));
        check("#g", Some("https://a.test:5/b/c?d"));
        check("/f:g", Some("https://a.test:5/f:g"));
        for wrong in [
            "mailto:a",
            "https:",
            "https://",
            "//",
            "/a b",
            "https://a b/",
            "f\\g://h i",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn who_was_asked_is_known() {
        let first: Uri = "https://a.test/b".parse().unwrap();
        let check = |next: &str, expected: Hop| {
            let next = next.parse().unwrap();
            assert_eq!(Hop::First.next(&first, &next), expected, "{next}");
            assert_eq!(Hop::Own.next(&first, &next), expected, "{next}");
            assert_eq!(Hop::Elsewhere.next(&first, &next), Hop::Elsewhere, "{next}");
        };
        check("https://a.test/c", Hop::Own);
        check("https://A.test:443/c", Hop::Own);
        check("https://a.test:444/b", Hop::Elsewhere);
        check("http://a.test:443/b", Hop::Elsewhere);
        check("https://b.a.test/b", Hop::Elsewhere);
        check("https://a.test.c/b", Hop::Elsewhere);
        check("https://a.test@c.test/b", Hop::Elsewhere);
    }
}
