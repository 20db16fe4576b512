//! The authority of a recording, and the certificates that it signs.

use super::{TlsEnd, TlsError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::time_provider::TimeProvider;
use rustls::{CipherSuite, ServerConfig, ServerConnection};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use time::OffsetDateTime;

/// The common name of every authority. It is always the same, so that the guest's OpenSSL finds the certificate by a file name
/// that `guest/init` knows.
pub const AUTHORITY_SUBJECT: &str = "Reprise recording authority";

/// Certificates that are kept. One that was dropped is signed anew.
pub(super) const LEAVES_MAX: usize = 256;

/// How long certificates hold before and after the given time. A guest's clock may go wrong by as much, and no recording is longer.
const BEFORE_SECONDS: u64 = 24 * 60 * 60;
const AFTER_SECONDS: u64 = 10 * 366 * 24 * 60 * 60;

/// The latest time that an authority can be made for: certificates have four digits for the year (RFC 5280 4.1.2.5).
const TIME_MAX: u64 = 250_000_000_000;

/// The longest common name (RFC 5280 A.1, ub-common-name). A longer name stands in the certificate as an alternative name alone.
const COMMON_NAME_BYTES_MAX: usize = 64;

/// Characters in a line of PEM (RFC 7468 2).
const LINE_BYTES: usize = 64;

/// Suites with ChaCha20.
const CHACHA20: [CipherSuite; 2] = [
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// A certificate authority of one recording's. Clones are the same authority.
#[derive(Clone)]
pub struct Authority {
    signer: Arc<Signer>,
    provider: Arc<CryptoProvider>,
    clock: Arc<Fixed>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// An authority with a fresh key (ECDSA, P-256), whose certificates hold from a day before `unix_seconds` to ten years after it.
    ///
    /// # Errors
    /// When the host has no randomness.
    pub fn new(unix_seconds: u64) -> Result<Self, TlsError> {
        let seconds = unix_seconds.min(TIME_MAX);
        let signer = Signer::new(seconds)?;
        let mut provider = ring::default_provider();
        // Neither a guest nor wasm has instructions for AES.
        (provider.cipher_suites).sort_by_key(|suite| !CHACHA20.contains(&suite.suite()));
        Ok(Self {
            signer: Arc::new(signer),
            provider: Arc::new(provider),
            clock: Arc::new(Fixed(seconds)),
        })
    }

    /// The authority's certificate as PEM (RFC 7468).
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        pem_from_der(&self.signer.certificate)
    }

    #[cfg(test)]
    pub(super) fn leaf_der(&self, host: &str) -> Option<Vec<u8>> {
        let leaf = self.signer.leaf(host)?;
        Some(leaf.cert.first()?.to_vec())
    }

    /// The server's side of a connection of the guest's. `host` is the name or address that it leads to, for which the certificate
    /// is if the guest does not say a name (SNI).
    ///
    /// # Errors
    /// When the host has no randomness.
    pub fn end(&self, host: &str) -> Result<TlsEnd, TlsError> {
        let details = ServerConfig::builder_with_details(self.provider.clone(), self.clock.clone());
        let mut config = details
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Resolver {
                signer: self.signer.clone(),
                host: host.to_owned(),
            }));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.ignore_client_order = true;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(TlsEnd::new(ServerConnection::new(Arc::new(config))?))
    }
}

/// The time that an authority was made with: the only one that rustls sees.
#[derive(Debug)]
struct Fixed(u64);

impl TimeProvider for Fixed {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0)))
    }
}

/// Finds the certificate of one connection.
#[derive(Debug)]
struct Resolver {
    signer: Arc<Signer>,
    host: String,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.signer.leaf(hello.server_name().unwrap_or(&self.host))
    }
}

/// Signs leaves. All of them have one key, since making keys takes longer than signing.
struct Signer {
    issuer: Issuer<'static, KeyPair>,
    certificate: Vec<u8>,
    key: KeyPair,
    signing_key: Arc<dyn SigningKey>,
    seconds: u64,
    leaves: Mutex<Leaves>,
}

#[derive(Default)]
struct Leaves {
    by_name: BTreeMap<String, Arc<CertifiedKey>>,
    last_serial: u64,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}

impl Signer {
    fn new(seconds: u64) -> Result<Self, TlsError> {
        let mut params = params(AUTHORITY_SUBJECT, seconds);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_key = KeyPair::generate()?;
        let certificate = params.self_signed(&ca_key)?.der().to_vec();
        let key = KeyPair::generate()?;
        let der = PrivatePkcs8KeyDer::from(key.serialize_der());
        let signing_key = ring::sign::any_ecdsa_type(&PrivateKeyDer::Pkcs8(der))?;
        Ok(Self {
            issuer: Issuer::new(params, ca_key),
            certificate,
            key,
            signing_key,
            seconds,
            leaves: Mutex::default(),
        })
    }

    /// A certificate for a name or an address; none if it is neither, and the handshake fails.
    fn leaf(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        let mut leaves = self.leaves.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(leaf) = leaves.by_name.get(host) {
            return Some(leaf.clone());
        }
        leaves.last_serial += 1;
        let signed = self.sign(host, leaves.last_serial).ok()?;
        // The guest has the authority's own certificate.
        let leaf = Arc::new(CertifiedKey::new(vec![signed], self.signing_key.clone()));
        if leaves.by_name.len() >= LEAVES_MAX {
            leaves.by_name.clear();
        }
        leaves.by_name.insert(host.to_owned(), leaf.clone());
        Some(leaf)
    }

    fn sign(&self, host: &str, serial: u64) -> Result<CertificateDer<'static>, rcgen::Error> {
        let common_name = match host.len() <= COMMON_NAME_BYTES_MAX {
            true => host,
            false => "a long name",
        };
        let mut params = params(common_name, self.seconds);
        params.subject_alt_names = vec![match host.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(host.try_into()?),
        }];
        // No two certificates of an authority may have the same (RFC 5280 4.1.2.2).
        params.serial_number = Some(SerialNumber::from(serial));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // Python 3.13 refuses certificates without it.
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&self.key, &self.issuer)?;
        Ok(certificate.der().clone())
    }
}

fn params(common_name: &str, seconds: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.not_before = at(seconds.saturating_sub(BEFORE_SECONDS));
    params.not_after = at(seconds.saturating_add(AFTER_SECONDS));
    params
}

/// A time that [`TIME_MAX`] bounds.
fn at(unix_seconds: u64) -> OffsetDateTime {
    let seconds = i64::try_from(unix_seconds).ok();
    let time = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    time.unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A certificate as PEM (RFC 7468).
pub(super) fn pem_from_der(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = &text[..];
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE_BYTES));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem + "-----END CERTIFICATE-----\n"
}
