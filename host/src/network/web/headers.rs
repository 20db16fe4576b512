//! What of a request's head goes to the browser.

use crate::network::http::Request;

/// The first line of a request's head with a name in lower case.
pub(super) fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let mut lines = request.headers.iter();
    let line = lines.find(|line| line.0.eq_ignore_ascii_case(name));
    line.map(|(_, value)| value.as_str())
}

/// Methods that no page may use (Fetch, forbidden method).
pub(super) fn is_forbidden(method: &str) -> bool {
    let forbidden = ["CONNECT", "TRACE", "TRACK"];
    forbidden
        .iter()
        .any(|other| method.eq_ignore_ascii_case(other))
}

/// Whether a request's header, its name in lower case, does not go to the browser: a page may not set it (Fetch, forbidden request-header), or it is about this
/// connection, or about what a cache holds, which is the browser's affair and would need the server's leave.
fn left_out(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "accept-charset",
        "accept-encoding",
        "access-control-request-headers",
        "access-control-request-method",
        "access-control-request-private-network",
        "cache-control",
        "connection",
        "content-length",
        "cookie",
        "cookie2",
        "date",
        "dnt",
        "expect",
        "host",
        "if-modified-since",
        "if-none-match",
        "keep-alive",
        "origin",
        "pragma",
        "priority",
        "referer",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "upgrade-insecure-requests",
        "user-agent",
        "via",
    ];
    NAMES.contains(&name) || name.starts_with("proxy-") || name.starts_with("sec-")
}

/// What of a request's headers goes to the browser.
pub(super) fn headers_for_fetch(headers: Vec<(String, String)>) -> Vec<(String, String)> {
    let is = |wanted: &'static str| {
        move |(name, _): &(String, String)| name.eq_ignore_ascii_case(wanted)
    };
    // A part of something that may have changed is of no use, so all of it is asked for.
    let is_guarded = headers.iter().any(is("if-range"));
    let kept = headers.into_iter().filter(|(name, _)| {
        let name = name.to_ascii_lowercase();
        let is_of_guard = is_guarded && matches!(&name[..], "if-range" | "range");
        !(left_out(&name) || is_of_guard)
    });
    kept.collect()
}

/// Whether a header needs no leave of the server (Fetch, CORS-safelisted request-header).
pub(super) fn is_simple(name: &str, value: &str) -> bool {
    let is_plain = |unsafe_bytes: &str| {
        let mut bytes = value.chars();
        value.len() <= 128
            && bytes.all(|byte| (byte >= ' ' || byte == '\t') && !unsafe_bytes.contains(byte))
    };
    match &name.to_ascii_lowercase()[..] {
        "accept" => is_plain("\"():<>?@[\\]{}\u{7f}"),
        "accept-language" | "content-language" => {
            (value.bytes()).all(|byte| byte.is_ascii_alphanumeric() || b" *,-.;=".contains(&byte))
        }
        "content-type" => {
            let essence = value.split(';').next().unwrap_or_default().trim();
            let simple = [
                "application/x-www-form-urlencoded",
                "multipart/form-data",
                "text/plain",
            ];
            simple.iter().any(|it| essence.eq_ignore_ascii_case(it))
                && is_plain("\"():<>?@[\\]{}\u{7f}")
        }
        "range" => {
            let range = value
                .strip_prefix("bytes=")
                .and_then(|range| range.split_once('-'));
            let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            range.is_some_and(|(from, to)| !from.is_empty() && digits(from) && digits(to))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_the_browser_gets() {
        let header = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let check = |given: &[(&str, &str)], expected: &[(&str, &str)]| {
            let given = given.iter().map(header).collect();
            let expected: Vec<_> = expected.iter().map(header).collect();
            assert_eq!(headers_for_fetch(given), expected);
        };
        check(
            &[
                ("HOST", "x"),
                ("Cookie", "x"),
                ("Sec-X", "x"),
                ("proxy-y", "z"),
                ("X-Sec", "x"),
            ],
            &[("X-Sec", "x")],
        );
        check(&[("Range", "bytes=0-1")], &[("Range", "bytes=0-1")]);
        check(&[("Range", "bytes=0-1"), ("If-Range", "\"x\"")], &[]);

        for (name, value, expected) in [
            ("Accept", "text/html, */*;q=0.1", true),
            ("Accept", "a(b", false),
            ("accept-language", "de, en;q=0.5", true),
            ("accept-language", "de_", false),
            ("Content-Type", "text/plain; charset=utf-8", true),
            ("Content-Type", "application/json", false),
            ("range", "bytes=0-", true),
            ("range", "bytes=-5", false),
            ("range", "bytes=0-1,3-4", false),
            ("X-Own", "", false),
        ] {
            assert_eq!(is_simple(name, value), expected, "{name}: {value}");
        }
    }
}
