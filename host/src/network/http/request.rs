//! Requests as they come: heads, and bodies in either framing.

use httparse::{EMPTY_HEADER, Status, parse_chunk_size};

/// Bytes of the longest head that is read.
pub(super) const HEAD_BYTES_MAX: usize = 64 << 10;

/// Header lines of a head.
const HEADERS_MAX: usize = 128;

/// Bytes of the longest line with a chunk's length, and of all lines behind the last chunk.
const CHUNK_LINE_BYTES_MAX: usize = 256;
const TRAILER_BYTES_MAX: usize = 8 << 10;

/// The longest name of a method by which HTTP is told from other protocols.
const METHOD_BYTES_MAX: usize = 24;

/// Why a request is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// It is no request of RFC 9112, or of two meanings.
    Malformed,
    /// Its head is too long.
    HeadTooLong,
    /// Its body is too long.
    BodyTooLong,
    /// Its body is encoded in a way that is not known here.
    UnknownCoding,
    /// There is too much else.
    Busy,
}

impl Fault {
    /// Status, its phrase, and what is wrong, in a sentence (RFC 9110 15).
    pub(super) fn answer(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Malformed => (400, "Bad Request", "This is not a request of HTTP/1.1."),
            Self::HeadTooLong => (
                431,
                "Request Header Fields Too Large",
                "The request's headers have more than 64 KiB or 128 lines.",
            ),
            Self::BodyTooLong => (
                413,
                "Content Too Large",
                "A request can send at most 16 MiB through the page.",
            ),
            Self::UnknownCoding => (
                501,
                "Not Implemented",
                "Of transfer codings, the page's network knows `chunked` alone.",
            ),
            Self::Busy => (
                503,
                "Service Unavailable",
                "Too much is being sent through the page at a time.",
            ),
        }
    }
}

/// How long a body is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Framing {
    /// So many bytes.
    Length(u64),
    /// RFC 9112 7.1.
    Chunked,
}

/// What stands before a body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) target: String,
    /// Of HTTP/1.1, not 1.0.
    pub(super) is_chunkable: bool,
    /// The client goes on with this connection afterwards.
    pub(super) is_kept: bool,
    /// The client waits for a word before it sends the body.
    pub(super) expects_continue: bool,
    pub(super) framing: Framing,
    pub(super) headers: Vec<(String, String)>,
}

/// Whether a connection begins as one of HTTP; `None` while that cannot be told.
pub(in crate::network) fn begins_as_http(bytes: &[u8]) -> Option<bool> {
    let is_letter = |byte: &u8| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_');
    match bytes.iter().position(|byte| !is_letter(byte)) {
        None if bytes.len() <= METHOD_BYTES_MAX => None,
        None => Some(false),
        Some(end) => Some(bytes[end] == b' ' && (1..=METHOD_BYTES_MAX).contains(&end)),
    }
}

/// Reads a head and how many bytes it has; none if it is not there as a whole.
pub(super) fn head(bytes: &[u8]) -> Result<Option<(Head, usize)>, Fault> {
    let mut lines = [EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut lines);
    let length = match request.parse(bytes) {
        Ok(Status::Complete(length)) if length <= HEAD_BYTES_MAX => length,
        Ok(Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(Fault::HeadTooLong),
        Err(_) => return Err(Fault::Malformed),
    };
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
    else {
        return Err(Fault::Malformed);
    };
    let headers: Vec<(String, String)> = (request.headers.iter())
        .map(|line| {
            // Bytes above ASCII pass as they are: both ends take them for ISO 8859-1.
            let value = line.value.iter().copied().map(char::from).collect();
            (line.name.to_owned(), value)
        })
        .collect();
    let is_chunkable = minor > 0;
    let is_kept = match is_chunkable {
        true => !has_word(&headers, "connection", "close"),
        false => has_word(&headers, "connection", "keep-alive"),
    };
    let head = Head {
        method: method.to_owned(),
        target: target.to_owned(),
        is_chunkable,
        is_kept,
        expects_continue: is_chunkable && has_word(&headers, "expect", "100-continue"),
        framing: framing(&headers, is_chunkable)?,
        headers,
    };
    Ok(Some((head, length)))
}

/// RFC 9112 6.3, of a request.
fn framing(headers: &[(String, String)], is_chunkable: bool) -> Result<Framing, Fault> {
    let mut length = None;
    for text in words(headers, "content-length") {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number: u64 = match text.parse() {
            Ok(number) if is_number => number,
            Err(_) if is_number => return Err(Fault::BodyTooLong),
            _ => return Err(Fault::Malformed),
        };
        if length.is_some_and(|other| other != number) {
            return Err(Fault::Malformed);
        }
        length = Some(number);
    }
    let codings: Vec<&str> = words(headers, "transfer-encoding").collect();
    match (&codings[..], length) {
        ([], length) => Ok(Framing::Length(length.unwrap_or(0))),
        // Whoever sends both means to be understood in two ways.
        (_, Some(_)) => Err(Fault::Malformed),
        _ if !is_chunkable => Err(Fault::Malformed),
        ([coding], None) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
        _ => Err(Fault::UnknownCoding),
    }
}

/// The parts of a header that is a list, over all of its lines.
fn words<'a>(headers: &'a [(String, String)], name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = (headers.iter()).filter(move |line| line.0.eq_ignore_ascii_case(name));
    lines.flat_map(|line| line.1.split(',').map(str::trim))
}

fn has_word(headers: &[(String, String)], name: &str, word: &str) -> bool {
    words(headers, name).any(|found| found.eq_ignore_ascii_case(word))
}

/// Takes a body apart from what comes after it.
#[derive(Clone, Copy, Debug)]
pub(super) enum BodyReader {
    /// So many bytes are left.
    Plain(u64),
    /// Before the line with a chunk's length.
    ChunkSize,
    /// So many bytes of a chunk are left.
    Chunk(u64),
    /// Before the end of a chunk's last line.
    ChunkEnd,
    /// In the lines behind the last chunk, so many bytes of them.
    Trailer(usize),
    /// All of it has come.
    Over,
}

impl BodyReader {
    pub(super) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Length(0) => Self::Over,
            Framing::Length(length) => Self::Plain(length),
            Framing::Chunked => Self::ChunkSize,
        }
    }

    /// Moves what `input` has of the body to `body`, which has at most `bytes_max`. Whether that was all of it.
    pub(super) fn read(
        &mut self,
        input: &mut Vec<u8>,
        body: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Result<bool, Fault> {
        let mut at = 0;
        let is_over = loop {
            let rest = &input[at..];
            let taken = self.step(rest, body)?;
            if body.len() > bytes_max {
                return Err(Fault::BodyTooLong);
            }
            at += taken;
            match self {
                Self::Over => break true,
                _ if taken == 0 => break false,
                _ => {}
            }
        };
        input.drain(..at);
        Ok(is_over)
    }

    /// One step, which takes so many bytes; none when more have to come.
    fn step(&mut self, rest: &[u8], body: &mut Vec<u8>) -> Result<usize, Fault> {
        match self {
            Self::Plain(left) | Self::Chunk(left) => {
                let taken = usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len()));
                body.extend_from_slice(&rest[..taken]);
                *left -= taken as u64;
                if *left == 0 {
                    *self = match self {
                        Self::Plain(_) => Self::Over,
                        _ => Self::ChunkEnd,
                    };
                }
                Ok(taken)
            }
            Self::ChunkSize => {
                if rest.first().is_some_and(|byte| !byte.is_ascii_hexdigit()) {
                    return Err(Fault::Malformed);
                }
                match parse_chunk_size(rest) {
                    Ok(Status::Complete((taken, 0))) if taken <= CHUNK_LINE_BYTES_MAX => {
                        *self = Self::Trailer(0);
                        Ok(taken)
                    }
                    Ok(Status::Complete((taken, size))) if taken <= CHUNK_LINE_BYTES_MAX => {
                        *self = Self::Chunk(size);
                        Ok(taken)
                    }
                    Ok(Status::Partial) if rest.len() < CHUNK_LINE_BYTES_MAX => Ok(0),
                    _ => Err(Fault::Malformed),
                }
            }
            Self::ChunkEnd => match rest {
                [b'\r', b'\n', ..] => {
                    *self = Self::ChunkSize;
                    Ok(2)
                }
                [] | [b'\r'] => Ok(0),
                _ => Err(Fault::Malformed),
            },
            // What is said there is about the body as a whole, and nobody here has a place for it.
            Self::Trailer(length) => match rest.iter().position(|byte| *byte == b'\n') {
                Some(end) if *length + end < TRAILER_BYTES_MAX => {
                    *length += end + 1;
                    if matches!(&rest[..end], b"" | b"\r") {
                        *self = Self::Over;
                    }
                    Ok(end + 1)
                }
                None if *length + rest.len() < TRAILER_BYTES_MAX => Ok(0),
                _ => Err(Fault::HeadTooLong),
            },
            Self::Over => Ok(0),
        }
    }
}
