//! The network of a guest whose host can fetch, and no more: a browser's tab.
//!
//! The gateway ends the guest's connections here, understands HTTP in them, and asks whoever drives it to fetch
//! ([`WebNetwork::next_fetch`]) what the guest asks for. So programs of the guest need no proxy settings: port 80 answers as whatever
//! server they mean. What the guest can reach is what the browser lets the page read: servers that allow it (CORS), and those of
//! the page's own site. The gateway's address stands for the browser's own computer.
//!
//! | the guest's connection | what becomes of it |
//! | --- | --- |
//! | to port 80, or to another port where it begins as HTTP | requests are fetched |
//! | to port 443, or to another port where it begins as TLS | the same, in TLS that ends here, with a certificate that the guest trusts ([`super::tls`]) |
//! | to a port that browsers block | refused |
//! | else | reset when it has said what it is |
//! | questions of names, to any name server | answered with an address for each name; the browser looks names up |
//!
//! # Where this is not what the guest would get without a browser
//! - Redirects are followed by the browser, which tells a page nothing of them: the guest gets the last answer, under the first address. They
//!   are not where the request has a body or headers of its own ([`Fetch::follows_redirects`]): the guest gets a page that says so.
//! - On a page that came by HTTPS, what is asked for at port 80 is fetched by HTTPS, since browsers refuse the other.
//! - Headers that a page may not set are left out, cookies among them; of the answer's, a page sees few unless the server allows
//!   more (`Access-Control-Expose-Headers`), and never cookies.
//! - Bodies come decoded, so their length is not known before: answers are chunked.
//! - Conditions that save a transfer (`If-None-Match`) are left out, so that the browser need not ask the server for leave: everything comes whole.

mod headers;
mod page;
mod url;

#[cfg(test)]
mod tests;

use super::http::{self, HttpEnd};
use super::names::Names;
use super::tls::{Authority, TlsEnd};
use super::{ConnectionId, Gateway, Wish};
use headers::{header, headers_for_fetch, is_forbidden, is_simple};
use page::Failure;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddrV4;
use std::time::Duration;
use url::Scheme;

/// Bytes of all requests that have not come as a whole, or whose answers have not.
const BODIES_BYTES_MAX: usize = 64 << 20;

/// With what a connection in TLS begins: a record of its handshake (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 22;

/// Bytes that are handed over at a time.
const PIECE_BYTES: usize = 64 << 10;

/// The port of name servers.
const NAME_PORT: u16 = 53;

/// Names a fetch. No two of a [`WebNetwork`] have the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct FetchId(pub u32);

/// Something to be fetched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetch {
    /// Its name from now on.
    pub id: FetchId,
    /// The method, as the guest wrote it.
    pub method: String,
    /// An absolute URL of HTTP or HTTPS.
    pub url: String,
    /// Headers that a page may set, in the guest's order; each character is a byte.
    pub headers: Vec<(String, String)>,
    /// The body, at most 16 MiB.
    pub body: Vec<u8>,
    /// Redirects are followed. Not where there is a body, or a header beyond what browsers send to anybody, since these would go to
    /// whatever server the first one names.
    pub follows_redirects: bool,
}

/// What the bytes of a connection are.
#[derive(Debug)]
enum Stream {
    /// Nobody knows yet: what has come.
    Unknown(Vec<u8>),
    /// As they are.
    Plain,
    /// Encrypted.
    Tls(Box<TlsEnd>),
}

/// How far handing over the guest's bytes came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Handed {
    /// Some were handed over, and there may be more.
    Some,
    /// None are there now.
    None,
    /// None will come any more.
    Last,
    /// The connection is not one that can be served.
    Bad,
    /// The connection begins as TLS does.
    Encrypted,
}

/// The end of a connection of the guest's.
#[derive(Debug)]
struct End {
    to: SocketAddrV4,
    scheme: Scheme,
    stream: Stream,
    http: HttpEnd,
    /// What is being fetched for it.
    fetch: Option<FetchId>,
    /// Bytes of the body that was sent with that.
    body_bytes: usize,
    /// For the page that explains a failure.
    failure: Option<Failure>,
    /// The gateway has been told that there is no more.
    has_ended: bool,
    /// The gateway sees to it that a guest that has gone is noticed.
    is_watched: bool,
}

/// The network. Frames go in and come out, as do fetches.
#[derive(Debug)]
pub struct WebNetwork {
    gateway: Gateway,
    /// Without one, there is no port 443.
    authority: Option<Authority>,
    names: Names,
    ends: BTreeMap<ConnectionId, End>,
    fetches: BTreeMap<FetchId, ConnectionId>,
    waiting: VecDeque<Fetch>,
    given_up: VecDeque<FetchId>,
    last_id: u32,
}

impl WebNetwork {
    /// A network without connections. `seed` is for sequence numbers; the authority is the one that the guest trusts, and without one nothing
    /// encrypted is taken.
    #[must_use]
    pub fn new(seed: u64, authority: Option<Authority>) -> Self {
        Self {
            gateway: Gateway::new(seed),
            authority,
            names: Names::default(),
            ends: BTreeMap::new(),
            fetches: BTreeMap::new(),
            waiting: VecDeque::new(),
            given_up: VecDeque::new(),
            last_id: 0,
        }
    }

    /// Takes a frame that the guest sent. [`WebNetwork::poll`] works on it.
    pub fn take_frame(&mut self, frame: Vec<u8>) {
        self.gateway.take_frame(frame);
    }

    /// The next frame for the guest.
    pub fn next_frame(&mut self) -> Option<Vec<u8>> {
        self.gateway.next_frame()
    }

    /// Works on what has come from either side; `now` does not go back.
    pub fn poll(&mut self, now: Duration) {
        self.listen();
        let mut over = self.gateway.poll(now);
        self.listen();
        let ids: Vec<ConnectionId> = self.ends.keys().copied().collect();
        for id in ids {
            self.carry(id);
        }
        over.extend(self.gateway.poll(now));
        for id in over {
            self.forget(id);
        }
    }

    /// How long nothing is to be done if nothing comes; none for ever.
    pub fn rest(&mut self, now: Duration) -> Option<Duration> {
        self.gateway.rest(now)
    }

    /// Whether the guest has connections.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.gateway.is_busy()
    }

    /// The next thing to fetch, once each.
    pub fn next_fetch(&mut self) -> Option<Fetch> {
        self.waiting.pop_front()
    }

    /// Numbers fetches after this one from now on.
    pub fn number_after(&mut self, last: FetchId) {
        self.last_id = last.0;
    }

    /// The fetch that was numbered last.
    #[must_use]
    pub fn last(&self) -> FetchId {
        FetchId(self.last_id)
    }

    /// Gives up whatever is under way; the guest hears of nothing any more.
    pub fn close(&mut self) {
        let ids: Vec<ConnectionId> = self.ends.keys().copied().collect();
        for id in ids {
            self.refuse(id);
        }
    }

    /// The next fetch that nobody waits for any more.
    pub fn given_up(&mut self) -> Option<FetchId> {
        self.given_up.pop_front()
    }

    /// An answer begins. Whether anybody wants it.
    pub fn head(
        &mut self,
        id: FetchId,
        status: u16,
        reason: &str,
        headers: &[(String, String)],
    ) -> bool {
        let end = self.end_of(id);
        end.map(|end| end.http.head((status, reason), headers))
            .is_some()
    }

    /// How many bytes of an answer are wanted now; 0 also where nobody wants it any more.
    #[must_use]
    pub fn room(&self, id: FetchId) -> usize {
        let end = self.fetches.get(&id).and_then(|id| self.ends.get(id));
        end.map_or(0, |end| end.http.room())
    }

    /// The next bytes of an answer. All are taken, so nobody should hand in much more than there is room for. Whether anybody wants
    /// them.
    pub fn body(&mut self, id: FetchId, bytes: &[u8]) -> bool {
        self.end_of(id).map(|end| end.http.body(bytes)).is_some()
    }

    /// An answer is whole.
    pub fn end(&mut self, id: FetchId) {
        if let Some(end) = self.end_of(id) {
            end.http.end();
            end.fetch = None;
            end.body_bytes = 0;
        }
        self.fetches.remove(&id);
    }

    /// A fetch failed, for a reason that the browser gives in a sentence. Where the answer had not begun, the guest gets a page that
    /// explains it; else its connection breaks off.
    pub fn failed(&mut self, id: FetchId, sentence: &str) {
        if let Some(end) = self.end_of(id) {
            if !end.http.break_off()
                && let Some(failure) = end.failure.take()
            {
                failure.answer(&mut end.http, sentence);
            }
            end.fetch = None;
            end.body_bytes = 0;
        }
        self.fetches.remove(&id);
    }

    fn end_of(&mut self, id: FetchId) -> Option<&mut End> {
        self.ends.get_mut(self.fetches.get(&id)?)
    }

    /// Does what the guest wants of the outside at once.
    fn listen(&mut self) {
        while let Some(wish) = self.gateway.next_wish() {
            match wish {
                Wish::Connect { id, to } => self.connect(id, to),
                // Whichever name server it asks, there is none but this.
                Wish::Datagram { from, to, bytes } if to.port() == NAME_PORT => {
                    if let Some(answer) = self.names.answer(&bytes) {
                        self.gateway.datagram(from, to, &answer);
                    }
                }
                // A page can send none.
                Wish::Datagram { .. } => {}
            }
        }
    }

    fn connect(&mut self, id: ConnectionId, to: SocketAddrV4) {
        let stream = match to.port() {
            80 => Stream::Plain,
            443 => match self.tls_end(to) {
                Some(tls) => Stream::Tls(Box::new(tls)),
                None => return self.gateway.refused(id),
            },
            port if url::is_blocked(port) => return self.gateway.refused(id),
            _ => Stream::Unknown(Vec::new()),
        };
        self.gateway.connected(id);
        let end = End {
            to,
            scheme: match &stream {
                Stream::Tls(_) => Scheme::Https,
                Stream::Unknown(_) | Stream::Plain => Scheme::Http,
            },
            stream,
            http: HttpEnd::new(),
            fetch: None,
            body_bytes: 0,
            failure: None,
            has_ended: false,
            is_watched: false,
        };
        self.ends.insert(id, end);
    }

    fn tls_end(&self, to: SocketAddrV4) -> Option<TlsEnd> {
        let address = to.ip().to_string();
        let host = self.names.name(*to.ip()).unwrap_or(&address);
        self.authority.as_ref()?.end(host).ok()
    }

    /// Goes on in TLS with a connection of which only the beginning has come. None where it cannot.
    fn encrypt(&mut self, id: ConnectionId) -> Option<()> {
        let mut tls = Box::new(self.tls_end(self.ends.get(&id)?.to)?);
        let end = self.ends.get_mut(&id)?;
        let Stream::Unknown(begun) = &end.stream else {
            return None;
        };
        tls.take(begun).ok()?;
        end.stream = Stream::Tls(tls);
        end.scheme = Scheme::Https;
        Some(())
    }

    /// Moves bytes between the gateway and a connection's end, as many as both sides take.
    fn carry(&mut self, id: ConnectionId) {
        loop {
            let Some(end) = self.ends.get_mut(&id) else {
                return;
            };
            let handed = hand_in(&mut self.gateway, id, end);
            match handed {
                Handed::Bad => return self.refuse(id),
                Handed::Encrypted => {
                    if self.encrypt(id).is_none() {
                        return self.refuse(id);
                    }
                    continue;
                }
                Handed::Last => end.http.feed_end(),
                // It may have gone, and then nobody wants the answer.
                Handed::None if self.gateway.is_read_out(id) && !end.is_watched => {
                    end.is_watched = true;
                    self.gateway.watch(id);
                }
                Handed::Some | Handed::None => {}
            }
            self.begin_fetch(id);
            if handed != Handed::Some {
                break;
            }
        }
        let Some(end) = self.ends.get_mut(&id) else {
            return;
        };
        if !has_handed_out(&mut self.gateway, id, end) {
            return;
        }
        if end.http.is_broken() {
            self.refuse(id);
        } else if end.http.is_over() && !end.has_ended {
            if let Stream::Tls(tls) = &mut end.stream {
                tls.close();
            }
            // The last few bytes may have to wait for room.
            if has_handed_out(&mut self.gateway, id, end) {
                end.has_ended = true;
                self.gateway.ended(id);
            }
        }
    }

    /// Resets a connection.
    fn refuse(&mut self, id: ConnectionId) {
        self.gateway.refused(id);
        self.forget(id);
    }

    fn forget(&mut self, id: ConnectionId) {
        let Some(end) = self.ends.remove(&id) else {
            return;
        };
        if let Some(fetch) = end.fetch
            && self.fetches.remove(&fetch).is_some()
        {
            let waiting = self.waiting.len();
            self.waiting.retain(|other| other.id != fetch);
            // One that nobody has begun need not be ended.
            if self.waiting.len() == waiting {
                self.given_up.push_back(fetch);
            }
        }
    }

    /// Asks for what a connection's next request is about.
    fn begin_fetch(&mut self, id: ConnectionId) {
        let holds = (self.ends.get(&id)).is_some_and(|end| end.http.held_bytes() > 0);
        let all = self
            .ends
            .values()
            .map(|end| end.http.held_bytes() + end.body_bytes);
        let is_too_much = holds && all.sum::<usize>() > BODIES_BYTES_MAX;
        let Some(end) = self.ends.get_mut(&id) else {
            return;
        };
        if is_too_much {
            end.http.refuse_body();
        }
        // Those that are answered at once may be followed by more.
        while let Some(request) = end.http.take_request() {
            let host = header(&request, "host");
            let name = self.names.name(*end.to.ip());
            let url = url::url(end.scheme, end.to, name, host, &request.target);
            let accepts_html =
                header(&request, "accept").is_some_and(|it| it.contains("text/html"));
            let url = match url {
                Ok(url) if !is_forbidden(&request.method) => url,
                Ok(_) => {
                    page::answer_method(&mut end.http, &request.method);
                    continue;
                }
                Err(reason) => {
                    page::answer_bad(&mut end.http, reason);
                    continue;
                }
            };
            self.last_id = self.last_id.wrapping_add(1);
            let fetch = FetchId(self.last_id);
            let headers = headers_for_fetch(request.headers);
            let asks_for = headers
                .iter()
                .filter(|(name, value)| !is_simple(name, value));
            let asks_for: Vec<String> = asks_for.map(|(name, _)| name.clone()).collect();
            let follows_redirects = asks_for.is_empty() && request.body.is_empty();
            end.failure = Some(Failure {
                url: url.clone(),
                accepts_html,
                asks_for,
                follows_redirects,
            });
            end.fetch = Some(fetch);
            end.body_bytes = request.body.len();
            self.fetches.insert(fetch, id);
            self.waiting.push_back(Fetch {
                id: fetch,
                method: request.method,
                url,
                headers,
                body: request.body,
                follows_redirects,
            });
            return;
        }
    }
}

/// Hands the guest's next bytes to the server's end of its connection, as far as it takes them.
fn hand_in(gateway: &mut Gateway, id: ConnectionId, end: &mut End) -> Handed {
    let wants = end.http.wants();
    let (bytes, is_moved) = match &mut end.stream {
        Stream::Tls(tls) => {
            let ciphertext = gateway.read(id, tls.room_to_take());
            // What is wrong the alert says, which is on its way out.
            let is_good = tls.take(&ciphertext).is_ok();
            let bytes = tls.read(wants);
            if !is_good && bytes.is_empty() {
                let alert = tls.next_ciphertext(gateway.room(id));
                gateway.write(id, &alert);
                end.http.give_up();
                return Handed::None;
            }
            (bytes, !ciphertext.is_empty())
        }
        Stream::Unknown(_) | Stream::Plain => (gateway.read(id, wants), false),
    };
    if bytes.is_empty() {
        let is_last = match &end.stream {
            Stream::Tls(tls) => tls.is_read_out() || gateway.is_read_out(id),
            Stream::Unknown(_) | Stream::Plain => gateway.is_read_out(id),
        };
        return match (is_moved, is_last && wants > 0) {
            (true, _) => Handed::Some,
            (false, true) => Handed::Last,
            (false, false) => Handed::None,
        };
    }
    match &mut end.stream {
        Stream::Plain | Stream::Tls(_) => end.http.feed(&bytes),
        Stream::Unknown(begun) => {
            begun.extend_from_slice(&bytes);
            if begun.first() == Some(&TLS_HANDSHAKE) {
                return Handed::Encrypted;
            }
            match http::begins_as_http(begun) {
                Some(true) => {
                    let begun = std::mem::take(begun);
                    end.stream = Stream::Plain;
                    end.http.feed(&begun);
                }
                Some(false) => return Handed::Bad,
                None => {}
            }
        }
    }
    Handed::Some
}

/// Hands what the server's end says to the guest. Whether that was all of it.
fn has_handed_out(gateway: &mut Gateway, id: ConnectionId, end: &mut End) -> bool {
    loop {
        let output = end.http.output();
        let taken = match &mut end.stream {
            Stream::Tls(tls) => {
                let taken = tls.write(output);
                let ciphertext = tls.next_ciphertext(gateway.room(id).min(PIECE_BYTES));
                gateway.write(id, &ciphertext);
                if taken == 0 && ciphertext.is_empty() {
                    return output.is_empty() && !tls.has_ciphertext();
                }
                taken
            }
            Stream::Unknown(_) | Stream::Plain => {
                let taken = gateway.write(id, output);
                if taken == 0 {
                    return output.is_empty();
                }
                taken
            }
        };
        end.http.sent(taken);
    }
}
