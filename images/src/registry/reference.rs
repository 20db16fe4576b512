//! Which image of which registry.

use anyhow::bail;
use reprise_host::Digest;
use std::net::IpAddr;

/// The longest name (OCI Distribution 1.1, pulling manifests: with the host's name 255 characters).
const NAME_BYTES_MAX: usize = 255;
const TAG_BYTES_MAX: usize = 128;

/// Names an image at a registry: `HOST[:PORT]/NAME[:TAG][@DIGEST]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reference {
    host: String,
    name: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Reads the written form.
    ///
    /// # Errors
    /// When it is none, or leaves the host out, which nothing here guesses.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let Some((host, path)) = text.split_once('/').filter(|(host, _)| is_host(host)) else {
            bail!(
                "name the registry's host, too: docker://HOST/NAME:TAG, where HOST has a dot or a port, or is localhost"
            );
        };
        let (path, digest) = match path.split_once('@') {
            Some((path, digest)) => (path, Some(Digest::parse(digest)?)),
            None => (path, None),
        };
        let (name, tag) = match path.rsplit_once(':') {
            Some((name, tag)) => (name, Some(tag)),
            None => (path, None),
        };
        if !is_name(name) {
            bail!(
                "a registry has no image of that name: names are of lower-case letters, digits and, between them, \
                 `.`, `_`, `-` and `/`"
            );
        }
        if !tag.is_none_or(is_tag) {
            bail!("a tag has letters, digits, `_`, `.` and `-`, up to {TAG_BYTES_MAX} of them");
        }
        Ok(Self {
            host: host.to_owned(),
            name: name.to_owned(),
            tag: tag.map(str::to_owned),
            digest,
        })
    }

    /// The registry's host, with its port if it is no usual one.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The image's name at the registry.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The digest that it has to have.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The tag or digest under which the manifest is.
    #[must_use]
    pub fn manifest(&self) -> String {
        match (self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }

    /// The tag, if there is one.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Whether the registry is on this computer.
    #[must_use]
    pub fn is_local(&self) -> bool {
        is_local(&self.host)
    }
}

/// Whether credentials may be sent to a URL: by HTTPS, or to this computer.
pub(super) fn is_safe(url: &str) -> bool {
    if url.starts_with("https://") {
        return true;
    }
    let Some(rest) = url.strip_prefix("http://") else {
        return false;
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    is_local(&rest[..end])
}

/// Whether an authority (RFC 3986 3.2) is this computer itself.
fn is_local(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let address = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = address.unwrap_or(host).parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Whether that is a host and not the first part of a name, by the rule that Docker has: a dot, a port or `localhost`.
fn is_host(host: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    let is_marked = host.contains(['.', ':']) || host == "localhost";
    let is_whole = !host.starts_with(['.', ':', '-']) && !host.ends_with([':', '-']);
    is_marked && is_whole && host.len() <= NAME_BYTES_MAX && host.bytes().all(is_plain)
}

/// OCI Distribution 1.1, pulling manifests: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`, and so on after slashes.
fn is_name(name: &str) -> bool {
    let is_separator = |between: &str| {
        matches!(between, "." | "_" | "__") || between.bytes().all(|byte| byte == b'-')
    };
    let is_letter = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let is_part = |part: &str| {
        part.starts_with(is_letter)
            && part.ends_with(is_letter)
            && part.split(is_letter).all(is_separator)
    };
    name.len() <= NAME_BYTES_MAX && name.split('/').all(is_part)
}

/// OCI Distribution 1.1, pulling manifests: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut bytes = tag.bytes();
    tag.len() <= TAG_BYTES_MAX
        && bytes.next().is_some_and(is_word)
        && bytes.all(|byte| is_word(byte) || byte == b'.' || byte == b'-')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    #[test]
    fn references_are_read() {
        let check = |text: &str, host: &str, name: &str, manifest: &str| {
            let read = Reference::parse(text).unwrap();
            assert_eq!((read.host(), read.name()), (host, name), "{text}");
            assert_eq!(read.manifest(), manifest, "{text}");
        };
        let digest = Digest::of(b"").to_string();
        check("a.test/b", "a.test", "b", "latest");
        check(
            "a.test:5000/b/c-d__e.f:V1",
            "a.test:5000",
            "b/c-d__e.f",
            "V1",
        );
        check("localhost/b---c:_", "localhost", "b---c", "_");
        check(&format!("[::1]:5/b:1@{digest}"), "[::1]:5", "b", &digest);
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let refused = |text: &str| Reference::parse(text).unwrap_err().to_string();
        for text in [
            "",
            "busybox",
            "busybox:1",
            "library/busybox",
            "/b",
            "a b.test/b",
            "a.test@x/b",
        ] {
            assert!(refused(text).contains("docker://HOST/NAME:TAG"), "{text}");
        }
        for text in [
            "a.test/",
            "a.test/B",
            "a.test/b//c",
            "a.test/b/../c",
            "a.test/-b",
            "a.test/b___c",
            "a.test/b?x",
        ] {
            assert!(refused(text).contains("lower-case"), "{text}");
        }
        refused("a.test/b:");
        refused("a.test/b:.");
        refused(&format!("a.test/b:{}", "x".repeat(129)));
        refused("a.test/b@sha256:00");
        refused(&format!("a.test/{}", "x".repeat(256)));
    }

    #[test]
    fn this_computer_is_known() {
        let is_local = |host: &str| Reference::parse(&format!("{host}/b")).unwrap().is_local();
        for host in [
            "localhost",
            "localhost:5000",
            "127.0.0.1",
            "127.9.9.9:1",
            "[::1]:80",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in ["localhost.test", "127.0.0.1.test", "10.0.0.1:5000", "[::2]"] {
            assert!(!is_local(host), "{host}");
        }
        for url in [
            "https://a.test/x",
            "http://localhost:1/x",
            "http://127.0.0.1?x",
        ] {
            assert!(is_safe(url), "{url}");
        }
        for url in [
            "http://a.test/x",
            "http://localhost@a.test/",
            "http://a.test/@localhost",
            "file:///x",
            "",
        ] {
            assert!(!is_safe(url), "{url}");
        }
    }
}
