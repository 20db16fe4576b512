//! Who one is to a registry, as `docker login` has left it: `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`.

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The longest configuration, and the longest answer of a helper.
const BYTES_MAX: u64 = 1 << 20;

/// The user's name with which helpers mark what is a token.
const TOKEN_USER: &str = "<token>";

/// Who one is.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Credentials {
    /// A name and a password.
    Password {
        /// Without a colon.
        user: String,
        /// Any text.
        password: String,
    },
    /// What tokens are to be had for (OAuth2, a refresh token).
    Token(String),
}

/// The parts of the configuration that are used.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    auths: BTreeMap<String, Entry>,
    #[serde(rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(rename = "credsStore")]
    store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    /// Base64 of `USER:PASSWORD`.
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

/// What a helper answers.
#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Username")]
    user: String,
    #[serde(rename = "Secret")]
    secret: String,
}

impl Credentials {
    /// Looks up who one is to a registry, in a file that need not be there; `None` when nothing says so. Helpers are looked for on
    /// `PATH`, or in a folder.
    pub(super) fn find(
        path: &Path,
        host: &str,
        helpers: Option<&Path>,
    ) -> anyhow::Result<Option<Self>> {
        let Ok(file) = File::open(path) else {
            return Ok(None);
        };
        let mut text = Vec::new();
        let config = (file.take(BYTES_MAX).read_to_end(&mut text).ok())
            .and_then(|_| serde_json::from_slice::<Config>(&text).ok())
            .with_context(|| format!("{} is no configuration of Docker's", path.display()))?;
        let helper = config.helpers.get(host).or(config.store.as_ref());
        if let Some(helper) = helper.filter(|helper| !helper.is_empty()) {
            let found = ask_helper(helper, host, helpers)
                .with_context(|| format!("{} names a helper that fails", path.display()))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        let mut named = config
            .auths
            .into_iter()
            .filter(|(url, _)| host_of(url) == host);
        Ok(named.find_map(|(_, entry)| entry.credentials()))
    }
}

impl Entry {
    fn credentials(self) -> Option<Credentials> {
        if let Some(token) = self.identitytoken.filter(|token| !token.is_empty()) {
            return Some(Credentials::Token(token));
        }
        let auth = self.auth.filter(|auth| !auth.is_empty());
        let decoded = auth.and_then(|auth| String::from_utf8(STANDARD.decode(auth).ok()?).ok());
        let pair = decoded.as_deref().and_then(|pair| pair.split_once(':'));
        let (user, password) = match pair {
            // Docker fills up with zeros what it encodes.
            Some((user, password)) => (user.to_owned(), password.trim_end_matches('\0').to_owned()),
            None => (self.username?, self.password?),
        };
        Some(Credentials::Password { user, password })
    }
}

/// Where Docker's configuration is, if it is anywhere.
pub(super) fn config_path() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = variable("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".docker")));
    Some(folder?.join("config.json"))
}

/// The host of a key of `auths`, which may be a URL.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// The value of a header that says a name and a password (RFC 7617).
pub(super) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Runs `docker-credential-NAME get`. `None` when it knows nothing of the host.
fn ask_helper(
    name: &str,
    host: &str,
    folder: Option<&Path>,
) -> anyhow::Result<Option<Credentials>> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !name.bytes().all(is_plain) {
        bail!("{name:?} is no helper's name");
    }
    let program = format!("docker-credential-{name}");
    let path = folder.map_or_else(|| program.clone().into(), |folder| folder.join(&program));
    let mut child = Command::new::<&OsStr>(path.as_ref())
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("{program} cannot be run"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read answers nevertheless, or fails.
        let _ = writeln!(stdin, "{host}");
    }
    let mut answer = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(BYTES_MAX).read_to_end(&mut answer)?;
    }
    if !child.wait()?.success() {
        return Ok(None);
    }
    let answer: Answer = serde_json::from_slice(&answer)
        .ok()
        .with_context(|| format!("{program} answers with something else than credentials"))?;
    Ok(match answer {
        Answer { secret, .. } if secret.is_empty() => None,
        Answer { user, secret } if user == TOKEN_USER => Some(Credentials::Token(secret)),
        Answer { user, secret } => Some(Credentials::Password {
            user,
            password: secret,
        }),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn found(config: &str, host: &str) -> anyhow::Result<Option<String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        fs::write(&path, config).unwrap();
        for (name, script) in [
            (
                "one",
                "read host; echo '{\"Username\":\"u\",\"Secret\":\"'$host'\"}'",
            ),
            ("two", "echo '{\"Username\":\"<token>\",\"Secret\":\"t\"}'"),
            ("none", "echo credentials not found; exit 1"),
            ("bad", "echo hello"),
        ] {
            let helper = folder.path().join(format!("docker-credential-{name}"));
            fs::write(&helper, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let found = Credentials::find(&path, host, Some(folder.path()))?;
        Ok(found.map(|found| match found {
            Credentials::Password { user, password } => format!("{user}/{password}"),
            Credentials::Token(token) => token,
        }))
    }

    #[test]
    fn docker_s_configuration_is_read() {
        let check = |config: &str, host: &str, expected: Option<&str>| {
            let found = found(config, host).unwrap();
            assert_eq!(found.as_deref(), expected, "{config}");
        };
        let auths = r#"{"auths": {
            "https://a.test/v1/": {"auth": "dTpwOnE="}, "b.test:5000": {"username": "u", "password": "p"},
            "c.test": {"auth": "dTpw", "identitytoken": "t"}, "d.test": {}, "e.test": {"auth": "?"}}}"#;
        check(auths, "a.test", Some("u/p:q"));
        check(auths, "b.test:5000", Some("u/p"));
        check(auths, "b.test", None);
        check(auths, "c.test", Some("t"));
        check(auths, "d.test", None);
        check(auths, "e.test", None);
        check("{}", "a.test", None);
        let helpers = r#"{"credHelpers": {"a.test": "one", "b.test": "none", "c.test": ""}, "credsStore": "two",
            "auths": {"b.test": {"username": "u", "password": "p"}}}"#;
        check(helpers, "a.test", Some("u/a.test"));
        check(helpers, "b.test", Some("u/p"));
        check(helpers, "z.test", Some("t"));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let told = |config: &str| format!("{:#}", found(config, "a.test").unwrap_err());
        assert!(told("[").contains("no configuration"));
        assert!(told(r#"{"credsStore": "../x"}"#).contains("no helper's name"));
        assert!(told(r#"{"credsStore": "gone"}"#).contains("cannot be run"));
        assert!(told(r#"{"credsStore": "bad"}"#).contains("something else"));
        let gone = Credentials::find(Path::new("/nowhere/config.json"), "a.test", None);
        assert!(gone.unwrap().is_none());
    }
}
