//! Container images at a registry (OCI Distribution 1.1): what is asked for over HTTP, and who one is to be allowed to.
//!
//! # Code map
//! - `reference`: which image of which registry.
//! - `challenge`, `credentials`: what a registry wants to know, and what Docker's configuration says.
//! - `download`: a document or blob on its way, which goes on where it broke off.
//!
//! # Invariants
//! - HTTPS alone, but to this computer itself. That holds for redirections and for who gives tokens, too.
//! - Credentials go to the registry and to who gives its tokens, no further.
//! - What comes is bounded: documents by [`Limits`], blobs by the sizes that they are promised to have, and time by [`Patience`]. That it is what
//!   was asked for is seen by its digest, by whom it is handed to.

mod challenge;
mod credentials;
mod download;
mod reference;

pub use reference::Reference;

use anyhow::{Context, anyhow, bail};
use challenge::Challenge;
use credentials::Credentials;
use download::Download;
use reprise_host::{Digest, Limits, Place, Want};
use rustls::crypto::ring;
use serde::Deserialize;
use std::cell::{Cell, RefCell};
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use ureq::config::RedirectAuthHeaders;
use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body};

/// Types of documents that lead to an image (OCI Image 1.1, media types), and those of Docker that mean the same.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// The longest answer that is read for a message or a token.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// The longest piece of a registry's words that a message repeats.
const SHOWN_CHARS_MAX: usize = 160;

/// How long a registry is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// Without a byte, after which a connection counts as broken.
    pub stall: Duration,
    /// Before the first new try; doubled for each further one.
    pub pause: Duration,
    /// New tries for one document or blob.
    pub tries: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            stall: Duration::from_secs(60),
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
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .user_agent(concat!("reprise/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(patience.stall))
            .timeout_connect(Some(patience.stall))
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

    /// Asks for something from a byte on. If the registry wants to know who asks, it is told.
    fn ask(&self, url: &str, accept: Option<&str>, from: u64) -> Result<Response<Body>, Fault> {
        let mut is_again = false;
        loop {
            let mut request = self.agent.get(url).header("accept-encoding", "identity");
            if let Some(types) = accept {
                request = request.header("accept", types);
            }
            if from > 0 {
                request = request.header("range", format!("bytes={from}-"));
            }
            if let Some(authorization) = &*self.authorization.borrow() {
                request = request.header("authorization", authorization);
            }
            let response = request.call().map_err(|error| self.fault(error))?;
            self.has_answered.set(true);
            let status = response.status();
            if status == StatusCode::UNAUTHORIZED && !is_again {
                is_again = true;
                let authorization = self.authorize(&response)?;
                self.authorization.replace(Some(authorization));
                continue;
            }
            if status.is_success() {
                return Ok(response);
            }
            return Err(self.refusal(response));
        }
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
        let asked = match credentials {
            Some(Credentials::Token(token)) => self.agent.post(realm).send_form([
                ("grant_type", "refresh_token"),
                ("refresh_token", token),
                ("client_id", "reprise"),
                ("service", service),
                ("scope", scope),
            ]),
            _ => {
                let mut request = self.agent.get(realm).query("scope", scope);
                if !service.is_empty() {
                    request = request.query("service", service);
                }
                if let Some(Credentials::Password { user, password }) = credentials {
                    request = request.header("authorization", credentials::basic(user, password));
                }
                request.call()
            }
        };
        let mut response = asked.map_err(|error| self.fault(error))?;
        match response.status() {
            status if status.is_success() => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => {
                return Err(Fault::Final(self.log_in()));
            }
            _ => return Err(self.refusal(response)),
        }
        let answer = (response.body_mut().with_config().limit(ANSWER_BYTES_MAX)).read_to_vec();
        let answer = answer.map_err(|error| self.fault(error))?;
        let token = serde_json::from_slice::<Token>(&answer).ok();
        let token = token.and_then(|answer| answer.token.or(answer.access_token));
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
    fn refusal(&self, mut response: Response<Body>) -> Fault {
        let (host, name) = (self.host(), self.reference.name());
        let status = response.status();
        let answer = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
        let words = (answer.read_to_vec().ok())
            .and_then(|bytes| serde_json::from_slice::<Refusal>(&bytes).ok())
            .and_then(|refusal| refusal.errors.into_iter().next())
            .map(|error| format!(" ({})", shown(&error.message)))
            .unwrap_or_default();
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Fault::Final(self.log_in()),
            StatusCode::NOT_FOUND => Fault::Final(anyhow!(
                "{host} has no {name} with the tag or digest {}, or parts of it are gone{words}",
                self.reference.manifest()
            )),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                Fault::Passing(format!("{host} answered {status}{words}"))
            }
            status if status.is_server_error() => {
                Fault::Passing(format!("{host} answered {status}{words}"))
            }
            status => Fault::Final(anyhow!("{host} answered {status}{words}")),
        }
    }

    /// What went wrong on the way.
    fn fault(&self, error: ureq::Error) -> Fault {
        let host = self.host();
        let is_final = matches!(
            error,
            ureq::Error::BadUri(_)
                | ureq::Error::HostNotFound
                | ureq::Error::RedirectFailed
                | ureq::Error::TooManyRedirects
                | ureq::Error::Tls(_)
                | ureq::Error::Rustls(_)
                | ureq::Error::BodyExceedsLimit(_)
                | ureq::Error::LargeResponseHeader(..)
        );
        match error {
            ureq::Error::RequireHttpsOnly(_) => {
                Fault::Final(anyhow!("{host} leads to where there is no HTTPS"))
            }
            _ if !self.has_answered.get() => {
                Fault::Final(anyhow!("{host} cannot be reached: {error}"))
            }
            _ if is_final => Fault::Final(anyhow!("{host} cannot be used: {error}")),
            _ => Fault::Passing(format!("the connection to {host} broke off: {error}")),
        }
    }
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
