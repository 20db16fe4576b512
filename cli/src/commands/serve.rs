//! `reprise serve`.

use super::share::parameter;
use crate::args::ServeArgs;
use crate::open::folders;
use crate::say;
use crate::trace_file::TraceFile;
use anyhow::{Context, anyhow, bail};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{HOST, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use reprise_images::store::FolderStore;
use reprise_recorder::images::ImageRole;
use reprise_recorder::images::tree::{BLOCK_BYTES, ImageTree};
use reprise_recorder::trace::images_from_header;
use std::collections::BTreeMap;
use std::env;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tower_http::services::{ServeDir, ServeFile};

/// The port when none is given.
pub(crate) const PORT: u16 = 7710;

/// What a site's folder has at its root.
pub(crate) const SITE_FILE: &str = "site.json";

/// What each answer says besides its content. The policy is that of the site's `index.html`, and that no page may frame it.
const HEADERS: &[(&str, &str)] = &[
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self' https: http: ws://127.0.0.1:*; \
         style-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    // A site that was built anew is seen at once; what has not changed is not sent again.
    ("cache-control", "no-cache"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
];

/// What is served.
#[derive(Debug)]
struct Site {
    folder: PathBuf,
    /// Files beside the site, by the path of their address.
    files: BTreeMap<String, PathBuf>,
    /// Trees of disk images, likewise.
    trees: BTreeMap<String, Bytes>,
}

/// Serves the page until it is told to stop.
pub(crate) fn serve(args: &ServeArgs) -> anyhow::Result<u8> {
    let (folder, trace) = match &args.what {
        Some(what) if what.is_dir() => {
            if args.site.is_some() {
                bail!(
                    "the site is named twice: by --site, and by {}",
                    what.display()
                );
            }
            (site_in(what)?, None)
        }
        what => (find_site(args.site.as_deref())?, what.as_deref()),
    };
    let mut site = Site {
        folder,
        files: BTreeMap::new(),
        trees: BTreeMap::new(),
    };
    let fragment = match trace {
        Some(path) => {
            let address = site.add_trace(path, &args.images.images)?;
            format!("#trace={}", parameter(&address))
        }
        None => String::new(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the server cannot be started")?;
    runtime.block_on(run(site, args.port, &fragment))
}

async fn run(site: Site, port: u16, fragment: &str) -> anyhow::Result<u8> {
    let mut stops = Vec::new();
    for kind in [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ] {
        let mut signals = signal(kind).context("signals cannot be caught")?;
        stops.push(tokio::spawn(async move { signals.recv().await }));
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|error| cannot_listen(port, &error))?;
    let port = listener.local_addr()?.port();
    say::line(format_args!(
        "reprise: serving {} to this computer; Ctrl-C ends it",
        site.folder.display()
    ));
    // Whoever reads a pipe waits for this line.
    writeln!(io::stdout(), "http://127.0.0.1:{port}/{fragment}")?;
    io::stdout().flush()?;
    let router = Router::new().fallback(answer).with_state(Arc::new(site));
    let [interrupt, terminate, hangup] = stops.as_mut_slice() else {
        return Ok(0);
    };
    tokio::select! {
        served = async { axum::serve(listener, router).await } => served.context("the server has stopped")?,
        _ = interrupt => {}
        _ = terminate => {}
        _ = hangup => {}
    }
    Ok(0)
}

fn cannot_listen(port: u16, error: &io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::AddrInUse => anyhow!(
            "port {port} is taken, maybe by another `reprise serve`: name another with --port, or any free one with --port 0"
        ),
        io::ErrorKind::PermissionDenied => {
            anyhow!("port {port} is for root alone: name one from 1024 on with --port")
        }
        _ => anyhow!("port {port} cannot be served: {error}"),
    }
}

/// The site's folder: the one given, or one that stands where a build or an installation puts it.
pub(crate) fn find_site(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(folder) = given {
        return site_in(folder);
    }
    let program = env::current_exe().and_then(|program| program.canonicalize());
    let beside = program
        .ok()
        .and_then(|program| Some(program.parent()?.to_owned()));
    let places = ["site", "../site", "../share/reprise/site"];
    beside
        .iter()
        .flat_map(|folder| places.map(|place| folder.join(place)))
        .find_map(|place| site_in(&place).ok())
        .context("the page has not been built: run `cargo xtask site`, or name a site's folder with --site")
}

fn site_in(folder: &Path) -> anyhow::Result<PathBuf> {
    if !folder.join(SITE_FILE).is_file() {
        bail!(
            "{} is no site, it has no {SITE_FILE}: build one with `cargo xtask site --into {0}`",
            folder.display()
        );
    }
    folder
        .canonicalize()
        .with_context(|| format!("{} cannot be read", folder.display()))
}

impl Site {
    /// Serves a trace, and those of its images that the site lacks and this computer has. Answers its address, relative to
    /// the site's.
    fn add_trace(&mut self, path: &Path, image_folders: &[PathBuf]) -> anyhow::Result<String> {
        let trace = TraceFile::open(path)?;
        let store = FolderStore::new(folders(&trace, image_folders));
        for image in images_from_header(trace.header()) {
            let address = format!("images/{}", image.hash);
            let packed = format!("{address}.gz");
            if self.folder.join(&packed).is_file() || self.folder.join(&address).is_file() {
                continue;
            }
            let Some(place) = store.locate(&image) else {
                continue;
            };
            if image.role == ImageRole::Disk {
                self.add_disk(&address, &place)
                    .with_context(|| format!("{} cannot be read", place.display()))?;
            }
            self.files.insert(format!("/{packed}"), place);
        }
        let name = path.file_name().unwrap_or(path.as_os_str());
        let address = format!("traces/{}", percent_encoded(&name.to_string_lossy()));
        self.files.insert(
            format!("/{address}"),
            path.canonicalize()
                .with_context(|| format!("{} cannot be read", path.display()))?,
        );
        Ok(address)
    }

    /// Serves a disk image so that it can be read in parts.
    fn add_disk(&mut self, address: &str, place: &Path) -> io::Result<()> {
        let file = BufReader::with_capacity(BLOCK_BYTES as usize, File::open(place)?);
        if let Some(tree) = ImageTree::read(file)? {
            self.trees
                .insert(format!("/{address}.tree"), tree.to_bytes().into());
            self.files.insert(format!("/{address}"), place.to_owned());
        }
        Ok(())
    }
}

async fn answer(State(site): State<Arc<Site>>, request: Request) -> Response {
    let mut response = if !is_for_this_computer(request.headers()) {
        let why = "this server answers to 127.0.0.1 and localhost alone";
        (StatusCode::FORBIDDEN, why).into_response()
    } else if let Some(tree) = site.trees.get(request.uri().path()) {
        tree.clone().into_response()
    } else {
        let served = match site.files.get(request.uri().path()) {
            Some(file) => ServeFile::new(file).try_call(request).await,
            None => ServeDir::new(&site.folder).try_call(request).await,
        };
        match served {
            Ok(response) => response.map(Body::new),
            Err(error) if error.kind() == io::ErrorKind::Other => {
                (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
            }
            // Not there, a folder on the way that is a file, not readable: nothing here for the one who asks.
            Err(_) => (StatusCode::NOT_FOUND, "there is nothing here").into_response(),
        }
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    response
}

/// Whether the browser thinks that it talks to this computer. A page elsewhere could otherwise give its own name this
/// computer's address and read traces.
fn is_for_this_computer(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let name = host.map(|host| host.rsplit_once(':').map_or(host, |(name, _)| name));
    matches!(name, Some("127.0.0.1" | "localhost"))
}

/// A file's name as a part of an address.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_the_pages() {
        let page = include_str!("../../../site/index.html");
        let (_, policy) = &HEADERS[0];
        let of_page = policy.strip_suffix("; frame-ancestors 'none'").unwrap();
        assert!(page.contains(&format!("content=\"{of_page}\"")));
    }

    #[test]
    fn other_names_are_refused() {
        for (host, is_accepted) in [
            ("127.0.0.1:7710", true),
            ("localhost", true),
            ("localhost:80", true),
            ("example.org:7710", false),
            ("127.0.0.1.example.org", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            assert_eq!(is_for_this_computer(&headers), is_accepted, "{host}");
        }
        assert!(!is_for_this_computer(&HeaderMap::new()));
    }

    #[test]
    fn names_are_encoded() {
        assert_eq!(percent_encoded("a b#1&ü.rpt"), "a%20b%231%26%C3%BC.rpt");
    }
}
