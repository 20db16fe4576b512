//! Container images at a registry (OCI Distribution 1.1): what is asked for over HTTP, and who one is to be allowed to.
//!
//! # Code map
//! - `reference`: which image of which registry.
//! - `challenge`, `credentials`: what a registry wants to know, and what Docker's configuration says.
//! - `download`: a document or blob on its way, which goes on where it broke off.
//! - `redirect`: where a registry sends one instead.
//!
//! # Invariants
//! - HTTPS alone, but to this computer itself. That holds for redirections and for who gives tokens, too.
//! - Credentials go to the registry and to who gives its tokens, no further: whoever else one of these leads to gets none, and is not heard
//!   when it asks for some.
//! - What comes is bounded: documents by [`Limits`], blobs by the sizes that they are promised to have. That it is what was asked for is seen by
//!   its digest, by whom it is handed to.
//! - Waiting is bounded by [`Patience`]: that for documents, tokens and redirections in all, that for a blob's next byte only. A blob that keeps
//!   coming may take as long as it takes.

mod challenge;
mod credentials;
mod download;
mod redirect;
mod reference;

pub use reference::Reference;

use anyhow::{Context, anyhow, bail};
use challenge::Challenge;
use credentials::Credentials;
use download::Download;
use redirect::Hop;
use reprise_host::{Digest, Limits, Place, Want};
use rustls::crypto::ring;
use serde::Deserialize;
use std::cell::{Cell, RefCell};
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use ureq::http::{Response, StatusCode, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::typestate::WithoutBody;
use ureq::{Agent, Body, RequestBuilder, ResponseExt};

/// Types of documents that lead to an image (OCI Image 1.1, media types), and those of Docker that mean the same.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// The longest answer that is read for a message or a token.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// The longest piece of a registry's words that a message repeats.
const SHOWN_CHARS_MAX: usize = 160;

/// Redirections that are followed for one request.
const REDIRECTS_MAX: u32 = 5;

/// How long a registry is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// Without a byte, after which a connection counts as broken; also for each step before an answer's body.
    pub stall: Duration,
    /// For one request: to the end of a document or token, and to the last redirection before a blob.
    pub total: Duration,
    /// Before the first new try; doubled for each further one.
    pub pause: Duration,
    /// New tries for one document or blob.
    pub tries: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            stall: Duration::from_secs(60),
            total: Duration::from_secs(5 * 60),
            pause: Duration::from_millis(500),
            tries: 5,
        }
    }
}

/// One image's place at a registry, and a connection to it.
#[derive(Debug)]
pub struct Registry {
    reference: Reference,
    agent: Agent,
    patience: Patience,
    /// Goes before the path of a request.
    base: String,
    /// Docker's configuration, which says who one is.
    config: Option<PathBuf>,
    /// What the registry wants in each request, once it has said so.
    authorization: RefCell<Option<String>>,
    /// It has answered once: what fails from then on may be tried again.
    has_answered: Cell<bool>,
    /// New tries of which nobody was told.
    retries: RefCell<Vec<String>>,
}

impl Registry {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// When this computer trusts no certificates at all.
    pub fn new(reference: Reference, patience: Patience) -> anyhow::Result<Self> {
        let is_local = reference.is_local();
        let scheme = if is_local { "http" } else { "https" };
        let certificates = rustls_native_certs::load_native_certs().certs;
        if certificates.is_empty() && !is_local {
            bail!(
                "this computer has no certificates to trust a registry by: install the package `ca-certificates`, or set \
                 SSL_CERT_FILE"
            );
        }
        let certificates: Vec<_> = certificates
            .iter()
            .map(|certificate| Certificate::from_der(certificate).to_owned())
            .collect();
        let base = format!("{scheme}://{}", reference.host());
        Ok(Self::at(base, reference, patience, &certificates))
    }

    /// At an address, by whose scheme HTTP is allowed or not.
    fn at(
        base: String,
        reference: Reference,
        patience: Patience,
        certificates: &[Certificate<'static>],
    ) -> Self {
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::new_with_certs(certificates))
            .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
            .build();
        let mut config = Agent::config_builder()
            .tls_config(tls)
            .https_only(base.starts_with("https:"))
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("reprise/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(patience.stall))
            .timeout_connect(Some(patience.stall))
            .timeout_send_request(Some(patience.stall))
            .timeout_send_body(Some(patience.stall))
            .timeout_recv_response(Some(patience.stall))
            .timeout_per_read(Some(patience.stall));
        if reference.is_local() {
            config = config.proxy(None);
        }
        Self {
            reference,
            agent: config.build().new_agent(),
            patience,
            base,
            config: credentials::config_path(),
            authorization: RefCell::new(None),
            has_answered: Cell::new(false),
            retries: RefCell::new(Vec::new()),
        }
    }

    /// The index or manifest that the reference names.
    ///
    /// # Errors
    /// When it cannot be had, or is not what the reference's digest says.
    pub fn manifest(&self, limits: &Limits) -> anyhow::Result<Vec<u8>> {
        let name = self.reference.manifest();
        let mut bytes = Vec::new();
        let limit = limits.document_bytes_max as u64;
        let document = Download::new(self, self.path("manifests", &name), Some(MANIFESTS), None);
        document.take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            bail!("its manifest has more than {limit} bytes");
        }
        match self.reference.digest() {
            Some(digest) if Digest::of(&bytes) != digest => {
                bail!("{} gave another manifest than {digest}", self.host())
            }
            _ => Ok(bytes),
        }
    }

    /// What an unpacker wants.
    ///
    /// # Errors
    /// When it wants what a registry has not.
    pub fn fetch(&self, want: &Want) -> anyhow::Result<impl Read + '_> {
        let (kind, digest, accept) = match &want.place {
            Place::Manifest(digest) => ("manifests", digest, Some(MANIFESTS)),
            Place::Blob(digest) => ("blobs", digest, None),
            Place::File(_) | Place::Range { .. } => bail!("a registry has no files"),
        };
        let path = self.path(kind, &digest.to_string());
        Ok(Download::new(self, path, accept, want.bytes))
    }

    /// What broke off since the last time and is tried again, each a sentence's part.
    #[must_use]
    pub fn take_retries(&self) -> Vec<String> {
        self.retries.take()
    }

    /// What it is about.
    #[must_use]
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    fn host(&self) -> &str {
        self.reference.host()
    }

    fn path(&self, kind: &str, name: &str) -> String {
        format!("{}/v2/{}/{kind}/{name}", self.base, self.reference.name())
    }

    /// Asks for something from a byte on. If the registry wants to know who asks, it is told. What has types to accept is a document.
    fn ask(&self, url: &str, accept: Option<&str>, from: u64) -> Result<Response<Body>, Fault> {
        let mut is_again = false;
        loop {
            let answer = self.follow(url, accept.is_some(), |mut request, hop| {
                request = request.header("accept-encoding", "identity");
                if let Some(types) = accept {
                    request = request.header("accept", types);
                }
                if from > 0 {
                    request = request.header("range", format!("bytes={from}-"));
                }
                match &*self.authorization.borrow() {
                    Some(authorization) if hop != Hop::Elsewhere => {
                        request.header("authorization", authorization)
                    }
                    _ => request,
                }
            })?;
            let status = answer.response.status();
            let is_asking = status == StatusCode::UNAUTHORIZED && answer.hop != Hop::Elsewhere;
            if is_asking && !is_again {
                is_again = true;
                let authorization = self.authorize(&answer.response)?;
                self.authorization.replace(Some(authorization));
                continue;
            }
            if status.is_success() {
                return Ok(answer.response);
            }
            return Err(self.refusal(answer));
        }
    }

    /// Gets what is at a URL, or where that leads to. What belongs into each request is put there by `prepare`. What is short has to be there
    /// whole in time; for anything else there is time until the last redirection.
    fn follow(
        &self,
        url: &str,
        is_short: bool,
        prepare: impl Fn(RequestBuilder<WithoutBody>, Hop) -> RequestBuilder<WithoutBody>,
    ) -> Result<Answer, Fault> {
        let start = Instant::now();
        let host = self.host();
        let no_url =
            |location: &str| anyhow!("{host} leads to {}, which is no URL", shown(location));
        let first: Uri = url.parse().map_err(|_| no_url(url))?;
        let (mut url, mut hop) = (first.clone(), Hop::First);
        for _ in 0..=REDIRECTS_MAX {
            if !reference::is_safe(&url.to_string()) {
                return Err(self.no_https());
            }
            let left = self.patience.total.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(Fault::Passing(format!("{host} leads on for too long")));
            }
            let mut request = self.agent.get(url.clone());
            if is_short {
                request = request.config().timeout_global(Some(left)).build();
            }
            let response = prepare(request, hop).call();
            let response = response.map_err(|error| self.fault(error))?;
            self.has_answered.set(true);
            let Some(location) = redirect::location(&response) else {
                return Ok(Answer { response, hop });
            };
            url = redirect::target(&url, location).ok_or_else(|| no_url(location))?;
            hop = hop.next(&first, &url);
        }
        Err(Fault::Final(anyhow!(
            "{host} leads on, over more than {REDIRECTS_MAX} redirections"
        )))
    }

    /// What is to stand in requests, after the registry has asked who asks.
    fn authorize(&self, response: &Response<Body>) -> Result<String, Fault> {
        let headers = response.headers().get_all("www-authenticate");
        let headers: Vec<&str> = headers.iter().filter_map(|h| h.to_str().ok()).collect();
        let challenges = Challenge::parse_all(&headers);
        let credentials = match &self.config {
            Some(config) => Credentials::find(config, self.host(), None)?,
            None => None,
        };
        let of_scheme = |scheme: &str| challenges.iter().find(|found| found.is(scheme));
        if let Some(bearer) = of_scheme("bearer") {
            return self.token(bearer, credentials.as_ref());
        }
        match (of_scheme("basic"), credentials) {
            (Some(_), Some(Credentials::Password { user, password })) => {
                Ok(credentials::basic(&user, &password))
            }
            (Some(_), _) => Err(Fault::Final(self.log_in())),
            (None, _) => Err(Fault::Final(anyhow!(
                "{} wants to know who asks, in a way that Reprise does not know",
                self.host()
            ))),
        }
    }

    fn log_in(&self) -> anyhow::Error {
        let host = self.host();
        anyhow!(
            "{host} does not let us have {}: log in by `docker login {host}`",
            self.reference.name()
        )
    }

    /// Gets a token (Docker Registry v2, token authentication and OAuth2).
    fn token(
        &self,
        bearer: &Challenge,
        credentials: Option<&Credentials>,
    ) -> Result<String, Fault> {
        let realm = bearer.parameter("realm").unwrap_or_default();
        if !reference::is_safe(realm) {
            return Err(Fault::Final(anyhow!(
                "{} wants credentials sent to {}, which is not HTTPS",
                self.host(),
                shown(realm)
            )));
        }
        let default_scope = format!("repository:{}:pull", self.reference.name());
        let scope = bearer.parameter("scope").unwrap_or(&default_scope);
        let service = bearer.parameter("service").unwrap_or_default();
        let mut answer = match credentials {
            // No redirection takes a form along.
            Some(Credentials::Token(token)) => {
                let request = self.agent.post(realm).config();
                let request = request.timeout_global(Some(self.patience.total)).build();
                let response = request.send_form([
                    ("grant_type", "refresh_token"),
                    ("refresh_token", token),
                    ("client_id", "reprise"),
                    ("service", service),
                    ("scope", scope),
                ]);
                Answer {
                    response: response.map_err(|error| self.fault(error))?,
                    hop: Hop::First,
                }
            }
            _ => self.follow(realm, true, |mut request, hop| {
                // Who leads on has put it into the new URL, if it belongs there.
                if hop == Hop::First {
                    request = request.query("scope", scope);
                    if !service.is_empty() {
                        request = request.query("service", service);
                    }
                }
                match credentials {
                    Some(Credentials::Password { user, password }) if hop != Hop::Elsewhere => {
                        request.header("authorization", credentials::basic(user, password))
                    }
                    _ => request,
                }
            })?,
        };
        match answer.response.status() {
            status if status.is_success() => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST
                if answer.hop != Hop::Elsewhere =>
            {
                return Err(Fault::Final(self.log_in()));
            }
            _ => {
                // Who gives the tokens is not the registry: what is missing there is no image.
                answer.hop = Hop::Elsewhere;
                return Err(self.refusal(answer));
            }
        }
        let body = answer.response.body_mut().with_config();
        let bytes = (body.limit(ANSWER_BYTES_MAX)).read_to_vec();
        let bytes = bytes.map_err(|error| self.fault(error))?;
        let token = serde_json::from_slice::<Token>(&bytes)
            .ok()
            .and_then(Token::any);
        match token {
            // It becomes a header's value.
            Some(token) if token.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Ok(format!("Bearer {token}"))
            }
            _ => Err(Fault::Final(anyhow!(
                "who gives the tokens of {} gave none",
                self.host()
            ))),
        }
    }

    /// Why an answer is none.
    fn refusal(&self, answer: Answer) -> Fault {
        let (host, name) = (self.host(), self.reference.name());
        let status = answer.response.status();
        let is_elsewhere = answer.hop == Hop::Elsewhere;
        let who = match answer.response.get_uri().authority() {
            Some(place) if is_elsewhere && place != host => {
                format!("{}, to which {host} leads,", shown(place.as_str()))
            }
            _ => host.to_owned(),
        };
        let bytes = self.words(answer.response);
        let words = (serde_json::from_slice::<Refusal>(&bytes).ok())
            .and_then(|refusal| refusal.errors.into_iter().next())
            .map(|error| format!(" ({})", shown(&error.message)))
            .unwrap_or_default();
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if !is_elsewhere => {
                Fault::Final(self.log_in())
            }
            StatusCode::NOT_FOUND if !is_elsewhere => Fault::Final(anyhow!(
                "{host} has no {name} with the tag or digest {}, or parts of it are gone{words}",
                self.reference.manifest()
            )),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                Fault::Passing(format!("{who} answered {status}{words}"))
            }
            status if status.is_server_error() => {
                Fault::Passing(format!("{who} answered {status}{words}"))
            }
            status => Fault::Final(anyhow!("{who} answered {status}{words}")),
        }
    }

    /// What of a refusal's body comes in the time that a connection may stall: the answer to a request for a blob has no other end.
    fn words(&self, response: Response<Body>) -> Vec<u8> {
        let start = Instant::now();
        let mut body = response.into_body().into_reader().take(ANSWER_BYTES_MAX);
        let mut bytes = Vec::new();
        let mut piece = [0; 4 << 10];
        while start.elapsed() < self.patience.stall {
            match body.read(&mut piece) {
                Ok(0) | Err(_) => break,
                Ok(length) => bytes.extend_from_slice(&piece[..length]),
            }
        }
        bytes
    }

    fn no_https(&self) -> Fault {
        Fault::Final(anyhow!("{} leads to where there is no HTTPS", self.host()))
    }

    /// What went wrong on the way.
    fn fault(&self, error: ureq::Error) -> Fault {
        let host = self.host();
        let is_final = matches!(
            error,
            ureq::Error::BadUri(_)
                | ureq::Error::HostNotFound
                | ureq::Error::Tls(_)
                | ureq::Error::Rustls(_)
                | ureq::Error::BodyExceedsLimit(_)
                | ureq::Error::LargeResponseHeader(..)
        );
        match error {
            ureq::Error::RequireHttpsOnly(_) => self.no_https(),
            _ if !self.has_answered.get() => {
                Fault::Final(anyhow!("{host} cannot be reached: {error}"))
            }
            _ if is_final => Fault::Final(anyhow!("{host} cannot be used: {error}")),
            _ => Fault::Passing(format!("the connection to {host} broke off: {error}")),
        }
    }
}

/// What came in the end, after redirections.
struct Answer {
    response: Response<Body>,
    /// Who gave it.
    hop: Hop,
}

/// Why something was not had.
#[derive(Debug)]
enum Fault {
    /// It may go well the next time.
    Passing(String),
    /// It will not.
    Final(anyhow::Error),
}

impl From<anyhow::Error> for Fault {
    fn from(error: anyhow::Error) -> Self {
        Self::Final(error)
    }
}

/// What whoever gives tokens answers.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Token {
    /// The one that is there, under either name.
    fn any(self) -> Option<String> {
        let mut given = [self.token, self.access_token].into_iter().flatten();
        given.find(|token| !token.is_empty())
    }
}

/// What a registry says when it refuses (OCI Distribution 1.1, error codes).
#[derive(Deserialize)]
struct Refusal {
    errors: Vec<RefusalError>,
}

#[derive(Deserialize)]
struct RefusalError {
    #[serde(default)]
    message: String,
}

/// Words from outside as they may stand in a message.
fn shown(words: &str) -> String {
    let cut: String = words.chars().take(SHOWN_CHARS_MAX).collect();
    cut.escape_debug().to_string()
}

/// Opens the image of a reference for a container.
///
/// # Errors
/// As [`Reference::parse`] and [`Registry::new`].
pub(crate) fn open(text: &str) -> anyhow::Result<Registry> {
    let reference = Reference::parse(text).context("it names no image of a registry")?;
    Registry::new(reference, Patience::default())
}

#[cfg(test)]
pub(crate) mod tests;
