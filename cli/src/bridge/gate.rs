//! Who may come in: a page of an origin that is allowed, with a token that nobody has used.

use anyhow::anyhow;
use std::cell::RefCell;
use std::fmt;
use std::net::Ipv6Addr;
use std::rc::Rc;
use tungstenite::handshake::server::{Callback, ErrorResponse, Request, Response};
use tungstenite::http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, ORIGIN};
use tungstenite::http::{self, StatusCode};

/// Bytes of a token. It is guessed by nobody.
const TOKEN_BYTES: usize = 16;

/// Characters of a stranger's origin that are told.
const ORIGIN_SHOWN: usize = 100;

/// Where pages of this computer come from, at any port.
const LOCAL_ORIGINS: [&str; 2] = ["http://127.0.0.1", "http://localhost"];

/// Why somebody is not let in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// No page: a browser says where a page is from.
    NoOrigin,
    /// A page from elsewhere.
    ForeignOrigin(String),
    /// Not the token.
    WrongToken,
    /// The token has been used.
    UsedToken,
}

impl Refusal {
    /// RFC 9110, 15.5.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NoOrigin | Self::ForeignOrigin(_) => StatusCode::FORBIDDEN,
            Self::WrongToken => StatusCode::UNAUTHORIZED,
            Self::UsedToken => StatusCode::GONE,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoOrigin => {
                f.write_str("only a page may connect here, and a browser says where that is from")
            }
            Self::ForeignOrigin(origin) => write!(
                f,
                "a page from {origin} may not connect: `--origin {origin}` allows it, if you trust that site"
            ),
            Self::WrongToken => f.write_str("the code is not the one that was printed last"),
            Self::UsedToken => f.write_str(
                "this code has been used: another is printed when the page that used it has gone",
            ),
        }
    }
}

/// Decides who comes in. Tokens are compared by their hashes, which takes the same time whatever is the same in them.
#[derive(Debug)]
pub(crate) struct Gate {
    origins: Vec<String>,
    wanted: Option<blake3::Hash>,
    used: Option<blake3::Hash>,
}

impl Gate {
    /// Lets pages of this computer in, and of these other origins; nobody before there is a token.
    pub(crate) fn new(origins: Vec<String>) -> Self {
        Self {
            origins,
            wanted: None,
            used: None,
        }
    }

    /// Makes a token, in hexadecimal digits, which takes the place of the one before.
    pub(crate) fn renew(&mut self) -> anyhow::Result<String> {
        let mut token = [0; TOKEN_BYTES];
        getrandom::fill(&mut token).map_err(|error| anyhow!("there is no randomness: {error}"))?;
        let token: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
        self.wanted = Some(blake3::hash(token.as_bytes()));
        Ok(token)
    }

    /// Whether there is a token that can be used.
    pub(crate) fn is_open(&self) -> bool {
        self.wanted.is_some()
    }

    /// Lets somebody in, once.
    pub(crate) fn admit(&mut self, token: &str, origin: Option<&str>) -> Result<(), Refusal> {
        let origin = origin.ok_or(Refusal::NoOrigin)?;
        if !self.allows(origin) {
            let shown = origin.chars().take(ORIGIN_SHOWN).collect();
            return Err(Refusal::ForeignOrigin(shown));
        }
        let token = blake3::hash(token.as_bytes());
        if self.wanted == Some(token) {
            self.used = self.wanted.take();
            return Ok(());
        }
        Err(if self.used == Some(token) {
            Refusal::UsedToken
        } else {
            Refusal::WrongToken
        })
    }

    fn allows(&self, origin: &str) -> bool {
        let is_local = LOCAL_ORIGINS.iter().any(|local| {
            let rest = origin.strip_prefix(local);
            let port = rest.map(|rest| rest.strip_prefix(':').unwrap_or(rest));
            port.is_some_and(|port| {
                port.bytes().all(|byte| byte.is_ascii_digit())
                    && (port.is_empty() != rest.is_some_and(|rest| rest.starts_with(':')))
            })
        });
        is_local || self.origins.iter().any(|known| known == origin)
    }
}

/// An origin as a browser writes it (RFC 6454, 6.1), from what a person writes: without the port that the scheme has anyway.
pub(crate) fn origin_from_text(text: &str) -> Result<String, String> {
    let origin = text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
    read_origin(&origin)
        .ok_or_else(|| "an origin is a scheme and a host, as https://name.example".to_owned())
}

fn read_origin(origin: &str) -> Option<String> {
    let (scheme, rest) = origin.split_once("://")?;
    let default_port = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let host_end = rest.find(']').map_or(0, |bracket| bracket + 1);
    let host_end = rest[host_end..]
        .find(':')
        .map_or(rest.len(), |colon| host_end + colon);
    let (host, port) = rest.split_at(host_end);
    let host = match host.strip_prefix('[') {
        Some(address) => {
            let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
            format!("[{address}]")
        }
        None => Some(host).filter(|host| is_name(host))?.to_owned(),
    };
    let port = match port.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse::<u16>().ok()?).filter(|port| *port != default_port)
        }
        Some(_) => return None,
        None => None,
    };
    Some(match port {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    })
}

/// A name or an address of four numbers. The dot of the root may end it.
fn is_name(host: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let host = host.strip_suffix('.').unwrap_or(host);
    host.split('.')
        .all(|label| !label.is_empty() && label.bytes().all(is_letter))
}

/// Asks the gate during a handshake.
#[derive(Clone, Debug)]
pub(super) struct Doorkeeper(pub(super) Rc<RefCell<Gate>>);

impl Callback for Doorkeeper {
    fn on_request(self, request: &Request, response: Response) -> Result<Response, ErrorResponse> {
        let origin = request.headers().get(ORIGIN);
        // Of what is no text, it is only said that it is foreign.
        let origin = origin.map(|origin| origin.to_str().unwrap_or("?"));
        let token = request.uri().path().trim_start_matches('/');
        match self.0.borrow_mut().admit(token, origin) {
            Ok(()) => Ok(response),
            Err(refusal) => Err(refuse(refusal.status(), &refusal.to_string())),
        }
    }
}

/// An answer that lets nobody in.
fn refuse(status: StatusCode, why: &str) -> ErrorResponse {
    let mut response = http::Response::new(Some(format!("{why}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}
