//! Answers as they go.

/// Headers that are about one hop or one encoding of the body, and so not the browser's to say: it has undone both.
const OURS: &[&str] = &[
    "connection",
    "content-encoding",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// How the end of an answer's body is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BodyEnd {
    /// There is none.
    NoBody,
    /// By its length, which is known.
    Length(usize),
    /// RFC 9112 7.1.
    Chunked,
    /// By the connection's.
    Close,
}

/// Whether an answer to a method with a status has a body (RFC 9112 6.3).
pub(super) fn has_body(method: &str, status: u16) -> bool {
    method != "HEAD" && !matches!(status, 100..=199 | 204 | 304)
}

/// Writes the head of an answer. Lines that no head can have are left out.
pub(super) fn write_head(
    out: &mut Vec<u8>,
    (status, reason): (u16, &str),
    headers: &[(String, String)],
    end: BodyEnd,
    is_kept: bool,
) {
    // Three digits, whatever was given.
    let status = status.clamp(100, 999);
    let reason: String = reason
        .chars()
        .filter(|letter| !letter.is_control())
        .collect();
    out.extend_from_slice(format!("HTTP/1.1 {status} ").as_bytes());
    out.extend(latin(&reason));
    out.extend_from_slice(b"\r\n");
    let is_encoded = headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-encoding"));
    for (name, value) in headers {
        let is_ours = OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours));
        // Of what is not sent, the length is what the server says.
        let is_told_length = end == BodyEnd::NoBody
            && !is_encoded
            && status != 204
            && name.eq_ignore_ascii_case("content-length");
        if (is_ours && !is_told_length) || !is_name(name) || !is_value(value) {
            continue;
        }
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend(latin(value));
        out.extend_from_slice(b"\r\n");
    }
    match end {
        BodyEnd::NoBody | BodyEnd::Close => {}
        BodyEnd::Length(length) => {
            out.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes());
        }
        BodyEnd::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
    out.extend_from_slice(match is_kept {
        true => b"Connection: keep-alive\r\n\r\n",
        false => b"Connection: close\r\n\r\n",
    });
}

/// `token` of RFC 9110 5.6.2.
fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_letter)
}

fn is_value(value: &str) -> bool {
    !value.contains(['\r', '\n', '\0'])
}

/// Text as ISO 8859-1.
fn latin(text: &str) -> impl Iterator<Item = u8> + '_ {
    text.chars()
        .map(|letter| u8::try_from(letter).unwrap_or(b'?'))
}
