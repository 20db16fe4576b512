//! What a trace tells whoever gets it, beside the execution: what went into the machine.

use crate::say::printable;
use crate::trace_file::TraceFile;
use reprise_core::workspace::Listing;
use reprise_host::network::peers::{Peer, Peers, Transport};
use reprise_recorder::images::ImageRole;
use reprise_recorder::trace::images_from_header;
use reprise_traces::{BlobHash, Event, Input, Record, Start};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Things of a kind that a line names; `--json` names all.
const NAMED_MAX: usize = 8;

/// Bytes of the paths that are told: a stranger's listing can have a million long ones.
const PATHS_BYTES_MAX: usize = 64 << 20;

/// Bytes of typed input that a line shows.
const TYPED_BYTES_MAX: usize = 200;

/// The key of the annotations that tell of what a browser fetched for the guest.
const FETCH_KEY: &str = "fetch";

/// Words in names of variables and files that hold secrets as a rule.
const SECRET_WORDS: &[&str] = &[
    "apikey",
    "api_key",
    "auth",
    "cookie",
    "credential",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "id_rsa",
    "netrc",
    "npmrc",
    "passwd",
    "password",
    "pgpass",
    "private",
    "secret",
    "token",
];

/// Ends of names of files that hold secrets as a rule.
const SECRET_ENDINGS: &[&str] = &[".env", ".jks", ".key", ".kdbx", ".p12", ".pem", ".pfx"];

/// A file whose bytes are in the trace.
#[derive(Clone, PartialEq, Eq, Debug)]
struct HeldFile {
    path: String,
    byte_len: u64,
}

/// What went into the machine.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    start: Option<Box<Start>>,
    added: Vec<HeldFile>,
    typed: Vec<u8>,
    listed: u64,
    read: Vec<HeldFile>,
    /// There are more than are told.
    read_more: bool,
    peers: Peers,
    frame_bytes: u64,
    fetches: Vec<Value>,
    embedded: Vec<String>,
    keyframe_count: u64,
}

impl Contents {
    /// Goes through all of a trace.
    pub(crate) fn of(file: &TraceFile) -> anyhow::Result<Self> {
        let mut contents = Self::default();
        let mut reader = file.reader()?;
        let mut listing = None;
        for image in images_from_header(file.header()) {
            let hash = BlobHash(image.hash.0);
            if !reader.index().blobs.contains_key(&hash) {
                continue;
            }
            if image.role == ImageRole::Workspace {
                listing = Some(Listing::decode(&reader.blob(&hash)?)?);
            } else {
                contents.embedded.push(image.role.to_string());
            }
        }
        let mut read: BTreeMap<u32, u64> = BTreeMap::new();
        while let Some(record) = reader.next_record()? {
            match record {
                Record::Event(Event { input, .. }) => match input {
                    Input::Start(start) => contents.start = Some(start),
                    Input::ConsoleInput { bytes, .. } => contents.typed.extend(bytes),
                    Input::Frame(frame) => {
                        contents.frame_bytes += frame.len() as u64;
                        contents.peers.take(&frame);
                    }
                    Input::WorkspaceContent {
                        file,
                        bytes: Some(bytes),
                        ..
                    } => *read.entry(file).or_default() += bytes.len() as u64,
                    _ => {}
                },
                Record::Annotation { key, value, .. } if key == FETCH_KEY => {
                    // What is none is a stranger's joke.
                    contents
                        .fetches
                        .extend(serde_json::from_slice::<Value>(&value).ok());
                }
                Record::Keyframe { .. } => contents.keyframe_count += 1,
                _ => {}
            }
        }
        if let Some(start) = &contents.start {
            for added in &start.files {
                let byte_len = reader.blob(&added.content)?.len() as u64;
                contents.added.push(HeldFile {
                    path: text(&added.path),
                    byte_len,
                });
            }
        }
        if let Some(listing) = listing {
            contents.listed = u64::from(listing.entry_count()).saturating_sub(1);
            let mut path_bytes_left = PATHS_BYTES_MAX;
            for (number, byte_len) in read {
                let path = text(&listing.path(number).unwrap_or_default());
                let Some(left) = path_bytes_left.checked_sub(path.len()) else {
                    contents.read_more = true;
                    break;
                };
                path_bytes_left = left;
                contents.read.push(HeldFile { path, byte_len });
            }
        }
        // What Reprise itself tells the guest's init is no file of anybody's.
        contents
            .added
            .retain(|file| !reprise_host::is_own_start_file(&file.path));
        Ok(contents)
    }

    /// In lines, a name before each.
    pub(crate) fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = Vec::new();
        if let Some(start) = &self.start {
            let command: Vec<_> = start.command.iter().map(|word| text(word)).collect();
            let command = match command.is_empty() {
                true => "a shell".to_owned(),
                false => command.join(" "),
            };
            rows.push(("command", printable(&command)));
            if !start.environment.is_empty() {
                let names = start.environment.iter().map(|(name, _)| text(name));
                rows.push(("environment", named(names)));
            }
        }
        if !self.added.is_empty() {
            rows.push(("added", files(&self.added)));
        }
        if !self.typed.is_empty() {
            let shown = &self.typed[..self.typed.len().min(TYPED_BYTES_MAX)];
            let rest = if shown.len() < self.typed.len() {
                "…"
            } else {
                ""
            };
            let typed = format!("{} bytes: {}{rest}", self.typed.len(), shown.escape_ascii());
            rows.push(("typed", typed));
        }
        if self.listed > 0 {
            rows.push((
                "workspace",
                format!("the names of {} files and folders", self.listed),
            ));
        }
        if !self.read.is_empty() {
            let more = if self.read_more { ", and others" } else { "" };
            rows.push(("contents of", format!("{}{more}", files(&self.read))));
        }
        if self.frame_bytes > 0 {
            let names: Vec<_> = self.peers.names().map(str::to_owned).collect();
            if !names.is_empty() {
                rows.push(("asked for", named(names.into_iter())));
            }
            let peers: Vec<_> = self.peers.iter().map(|peer| peer_text(&peer)).collect();
            let more = if self.peers.has_more() {
                ", and more"
            } else {
                ""
            };
            rows.push(("heard from", format!("{}{more}", named(peers.into_iter()))));
        }
        if !self.fetches.is_empty() {
            let urls = self
                .fetches
                .iter()
                .filter_map(|fetch| fetch["url"].as_str());
            rows.push(("fetched", named(urls.map(str::to_owned))));
        }
        if !self.embedded.is_empty() {
            rows.push(("images", self.embedded.join(", ")));
        }
        if self.keyframe_count > 0 {
            let what = format!(
                "all memory of the machine at {} positions",
                self.keyframe_count
            );
            rows.push(("keyframes", what));
        }
        let secrets = self.likely_secrets();
        if !secrets.is_empty() {
            rows.push(("look at", named(secrets.into_iter())));
        }
        rows
    }

    /// What is secret as a rule, going by its name.
    fn likely_secrets(&self) -> Vec<String> {
        let variables = self.start.iter().flat_map(|start| &start.environment);
        let variables = variables.map(|(name, _)| text(name));
        let files = self.added.iter().chain(&self.read);
        (variables.chain(files.map(|file| file.path.clone())))
            .filter(|name| is_likely_secret(name))
            .collect()
    }

    /// All of it.
    pub(crate) fn json(&self) -> Value {
        let held = |files: &[HeldFile]| {
            let files = files.iter();
            let files = files.map(|file| json!({ "path": file.path, "bytes": file.byte_len }));
            files.collect::<Vec<_>>()
        };
        let environment = self.start.iter().flat_map(|start| &start.environment);
        let peers = self.peers.iter().map(|peer| {
            json!({
                "address": peer.address.to_string(),
                "transport": transport_name(peer.transport),
                "name": peer.name,
                "bytes": peer.byte_len,
            })
        });
        json!({
            "command": self.start.as_ref().map(|start| {
                start.command.iter().map(|word| text(word)).collect::<Vec<_>>()
            }),
            "environment": environment
                .map(|(name, value)| json!([text(name), text(value)]))
                .collect::<Vec<_>>(),
            "files_added": held(&self.added),
            "typed": text(&self.typed),
            "workspace_names": self.listed,
            "workspace_contents": held(&self.read),
            "workspace_contents_are_all": !self.read_more,
            "network_bytes": self.frame_bytes,
            "network_names": self.peers.names().collect::<Vec<_>>(),
            "network_peers": peers.collect::<Vec<_>>(),
            "fetches": self.fetches,
            "images": self.embedded,
            "keyframes": self.keyframe_count,
            "likely_secrets": self.likely_secrets(),
        })
    }
}

fn is_likely_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    let last = name.rsplit('/').next().unwrap_or_default();
    SECRET_WORDS.iter().any(|word| last.contains(word))
        || SECRET_ENDINGS.iter().any(|ending| last.ends_with(ending))
}

fn transport_name(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    }
}

fn peer_text(peer: &Peer<'_>) -> String {
    let mut told = String::new();
    if let Some(name) = peer.name {
        // Writing to a text does not fail.
        let _ = write!(told, "{name} at ");
    }
    let transport = transport_name(peer.transport);
    let _ = write!(
        told,
        "{} ({transport}, {} bytes)",
        peer.address, peer.byte_len
    );
    told
}

fn files(files: &[HeldFile]) -> String {
    let byte_len: u64 = files.iter().map(|file| file.byte_len).sum();
    let names = files.iter().map(|file| file.path.clone());
    format!("{byte_len} bytes: {}", named(names))
}

/// The first of some names, and how many more there are.
fn named(names: impl Iterator<Item = String>) -> String {
    let names: Vec<_> = names.collect();
    let shown: Vec<_> = names
        .iter()
        .take(NAMED_MAX)
        .map(|name| printable(name))
        .collect();
    match names.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_by_their_names() {
        for name in [
            "GITHUB_TOKEN",
            "db_password",
            "home/.ssh/id_rsa",
            "config/.env",
            "server.key",
            ".npmrc",
        ] {
            assert!(is_likely_secret(name), "{name}");
        }
        for name in ["PATH", "src/main.c", "key.c", "tokens/list.txt", "Makefile"] {
            assert!(!is_likely_secret(name), "{name}");
        }
    }

    #[test]
    fn of_many_names_the_first_are_told() {
        let names = |count: usize| (0..count).map(|number| format!("n{number}"));
        assert_eq!(named(names(2)), "n0, n1");
        assert_eq!(
            named(names(10)),
            "n0, n1, n2, n3, n4, n5, n6, n7 and 2 more"
        );
        assert_eq!(named(["a\u{1b}[2J".to_owned()].into_iter()), "a\u{fffd}[2J");
    }
}
