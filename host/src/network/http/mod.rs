//! The server's end of a connection of HTTP/1.1 (RFC 9110, RFC 9112), without I/O.
//!
//! Bytes of the client's are handed in ([`HttpEnd::feed`]), requests taken out, one at a time and in order, and their answers
//! handed in as they come. Requests that the client sends ahead wait where they are: bytes are only asked for
//! ([`HttpEnd::wants`]) when there is something to do with them.
//!
//! # Invariants
//! - What a client can make it hold is bounded: a head of 64 KiB, a body of [`BODY_BYTES_MAX`], and the output that one call adds
//!   beyond [`OUTPUT_BYTES`].
//! - A request that is not understood is answered and ends the connection; what comes behind it is thrown away.

mod request;
mod response;

pub(super) use request::begins_as_http;

use request::{BodyReader, Fault, HEAD_BYTES_MAX, Head};
use response::{BodyEnd, has_body, write_head};

/// Bytes of the longest body of a request.
pub(super) const BODY_BYTES_MAX: usize = 16 << 20;

/// Bytes of output up to which more is asked for: what goes to the guest in some milliseconds.
const OUTPUT_BYTES: usize = 512 << 10;

/// Bytes that are taken at a time.
const PIECE_BYTES: usize = 64 << 10;

/// What a client asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Request {
    pub(super) method: String,
    /// In any form of RFC 9112 3.2.
    pub(super) target: String,
    /// As they came.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// How a request is answered.
#[derive(Debug)]
struct Answering {
    method: String,
    is_chunkable: bool,
    is_kept: bool,
    /// Once the head has been written.
    end: Option<BodyEnd>,
}

#[derive(Debug)]
enum State {
    /// Before the end of a head.
    Head,
    /// In a body.
    Body {
        head: Head,
        body: Vec<u8>,
        reader: BodyReader,
    },
    /// A request is there to be taken.
    Asked { request: Request, answer: Answering },
    /// An answer is awaited or under way.
    Answering(Answering),
    /// Nothing more is said, and nothing understood.
    Closed,
}

/// The end of a connection.
#[derive(Debug)]
pub(super) struct HttpEnd {
    state: State,
    input: Vec<u8>,
    output: Vec<u8>,
    /// How much of the output has been sent.
    sent: usize,
    /// The client sends no more.
    is_last: bool,
    /// The answer broke off, and the client has to see that.
    is_broken: bool,
}

impl HttpEnd {
    pub(super) fn new() -> Self {
        Self {
            state: State::Head,
            input: Vec::new(),
            output: Vec::new(),
            sent: 0,
            is_last: false,
            is_broken: false,
        }
    }

    /// How many of the client's bytes it takes now.
    pub(super) fn wants(&self) -> usize {
        match self.state {
            State::Head => (HEAD_BYTES_MAX + 1).saturating_sub(self.input.len()),
            State::Body { .. } | State::Closed => PIECE_BYTES,
            State::Asked { .. } | State::Answering(_) => 0,
        }
    }

    /// Takes bytes of the client's.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        self.work();
    }

    /// The client sends no more.
    pub(super) fn feed_end(&mut self) {
        if !self.is_last {
            self.is_last = true;
            self.work();
        }
    }

    /// Bytes of a request that has not come as a whole.
    pub(super) fn held_bytes(&self) -> usize {
        match &self.state {
            State::Body { body, .. } => body.len(),
            _ => 0,
        }
    }

    /// Gives up a request whose body is too much beside those of others.
    pub(super) fn refuse_body(&mut self) {
        if matches!(self.state, State::Body { .. }) {
            self.fault(Fault::Busy);
        }
    }

    /// What the client sends cannot be understood any more: nothing else is said.
    pub(super) fn give_up(&mut self) {
        self.is_last = true;
        self.output.clear();
        self.sent = 0;
        self.state = State::Closed;
    }

    /// The next request. It has to be answered before there is another.
    pub(super) fn take_request(&mut self) -> Option<Request> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Asked { request, answer } => {
                self.state = State::Answering(answer);
                Some(request)
            }
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Begins the answer. What of the headers is about the connection or the body's encoding is replaced.
    pub(super) fn head(&mut self, status: (u16, &str), headers: &[(String, String)]) {
        self.begin(status, headers, None);
    }

    /// The whole answer.
    pub(super) fn answer(
        &mut self,
        status: (u16, &str),
        headers: &[(String, String)],
        body: &[u8],
    ) {
        self.begin(status, headers, Some(body.len()));
        self.body(body);
        self.end();
    }

    fn begin(&mut self, status: (u16, &str), headers: &[(String, String)], length: Option<usize>) {
        let State::Answering(answer) = &mut self.state else {
            return;
        };
        if answer.end.is_some() {
            return;
        }
        let end = match length {
            _ if !has_body(&answer.method, status.0) => BodyEnd::NoBody,
            Some(length) => BodyEnd::Length(length),
            None if answer.is_chunkable => BodyEnd::Chunked,
            None => BodyEnd::Close,
        };
        answer.is_kept &= end != BodyEnd::Close;
        answer.end = Some(end);
        write_head(&mut self.output, status, headers, end, answer.is_kept);
    }

    /// How many bytes of the body it would like to have.
    pub(super) fn room(&self) -> usize {
        OUTPUT_BYTES.saturating_sub(self.output.len() - self.sent)
    }

    /// The answer's next bytes; all are taken.
    pub(super) fn body(&mut self, bytes: &[u8]) {
        let State::Answering(answer) = &self.state else {
            return;
        };
        match answer.end {
            // A chunk without bytes would be the last.
            Some(BodyEnd::Chunked) if !bytes.is_empty() => {
                self.output.reserve(bytes.len() + 16);
                let size = format!("{:x}\r\n", bytes.len());
                self.output.extend_from_slice(size.as_bytes());
                self.output.extend_from_slice(bytes);
                self.output.extend_from_slice(b"\r\n");
            }
            Some(BodyEnd::Length(_) | BodyEnd::Close) => self.output.extend_from_slice(bytes),
            Some(BodyEnd::NoBody | BodyEnd::Chunked) | None => {}
        }
    }

    /// The answer is whole.
    pub(super) fn end(&mut self) {
        let State::Answering(answer) = &self.state else {
            return;
        };
        if answer.end == Some(BodyEnd::Chunked) {
            self.output.extend_from_slice(b"0\r\n\r\n");
        }
        self.state = match answer.is_kept {
            true => State::Head,
            false => State::Closed,
        };
        self.work();
    }

    /// The answer breaks off. Whether it had begun: else another one can be given.
    pub(super) fn break_off(&mut self) -> bool {
        match &self.state {
            State::Answering(answer) if answer.end.is_some() => {
                self.is_broken = true;
                self.state = State::Closed;
                true
            }
            _ => false,
        }
    }

    /// What the client is to be sent.
    pub(super) fn output(&self) -> &[u8] {
        &self.output[self.sent..]
    }

    /// So much of the output has been sent.
    pub(super) fn sent(&mut self, length: usize) {
        self.sent += length;
        if self.sent == self.output.len() {
            self.output.clear();
            self.sent = 0;
        } else if self.sent > OUTPUT_BYTES {
            self.output.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Whether everything has been said and sent.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Closed) && self.output.is_empty()
    }

    /// Whether the last answer broke off.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Understands what has come, up to a request.
    fn work(&mut self) {
        loop {
            match &mut self.state {
                State::Head => match request::head(&self.input) {
                    Ok(Some((head, length))) => {
                        self.input.drain(..length);
                        self.begin_body(head);
                    }
                    Ok(None) if self.is_last => self.state = State::Closed,
                    Ok(None) => return,
                    Err(fault) => self.fault(fault),
                },
                State::Body { body, reader, .. } => {
                    match reader.read(&mut self.input, body, BODY_BYTES_MAX) {
                        Ok(true) => self.end_body(),
                        Ok(false) if self.is_last => self.state = State::Closed,
                        Ok(false) => return,
                        Err(fault) => self.fault(fault),
                    }
                }
                State::Asked { .. } | State::Answering(_) => return,
                State::Closed => {
                    self.input = Vec::new();
                    return;
                }
            }
        }
    }

    fn begin_body(&mut self, head: Head) {
        if let request::Framing::Length(length) = head.framing
            && length > BODY_BYTES_MAX as u64
        {
            return self.fault(Fault::BodyTooLong);
        }
        let reader = BodyReader::new(head.framing);
        let is_over = matches!(reader, BodyReader::Over);
        if head.expects_continue && !is_over && self.input.is_empty() {
            self.output
                .extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        self.state = State::Body {
            head,
            body: Vec::new(),
            reader,
        };
    }

    fn end_body(&mut self) {
        if let State::Body { head, body, .. } = std::mem::replace(&mut self.state, State::Closed) {
            let answer = Answering {
                method: head.method.clone(),
                is_chunkable: head.is_chunkable,
                is_kept: head.is_kept,
                end: None,
            };
            let request = Request {
                method: head.method,
                target: head.target,
                headers: head.headers,
                body,
            };
            self.state = State::Asked { request, answer };
        }
    }

    /// Says what is wrong, and no more.
    fn fault(&mut self, fault: Fault) {
        let (status, reason, sentence) = fault.answer();
        let body = format!("{status} {reason}\n\n{sentence}\n");
        let headers = [(
            "Content-Type".to_owned(),
            "text/plain; charset=utf-8".to_owned(),
        )];
        let end = BodyEnd::Length(body.len());
        write_head(&mut self.output, (status, reason), &headers, end, false);
        self.output.extend_from_slice(body.as_bytes());
        self.state = State::Closed;
    }
}

#[cfg(test)]
mod tests;
