//! Files and links: read, and judged before a window is opened for them.

use crate::supplies::{NOT_FETCHED, Places};
use anyhow::{Context, bail};
use reprise_images::store::FolderStore;
use reprise_recorder::images::ImageSet;
use reprise_recorder::trace::{config_from_header, images_from_header};
use reprise_traces::{BlobHash, Completeness, TraceReader, is_packed, unpack};
use reprise_ui::share::{Place, link_from_fragment};
use std::fs::{self, File};
use std::io::{Cursor, Read};
use std::path::Path;

/// Traces beyond this are not read: an engine holds all of one in memory.
const TRACE_BYTES_MAX: u64 = 1 << 30;

/// What the window opens at its start.
pub(crate) struct Trace {
    /// A file's name.
    pub(crate) name: Option<String>,
    /// It was ended by its recorder.
    pub(crate) is_complete: bool,
    pub(crate) source: Source,
}

/// How the app is told of it.
pub(crate) enum Source {
    /// A file's bytes.
    File(Vec<u8>),
    /// A link's fragment, without `#`.
    Fragment(String),
}

impl Trace {
    /// A file's path, or else a link with a trace in it. Everything that it takes to replay is here.
    ///
    /// # Errors
    /// When it is neither, or its images are missing: a sentence for the person.
    pub(crate) fn find(text: &str, places: &Places) -> anyhow::Result<Self> {
        let path = Path::new(text);
        if let Some((_, fragment)) = text.split_once('#').filter(|_| !path.exists()) {
            let link = link_from_fragment(fragment).map_err(anyhow::Error::msg)?;
            return match link.map(|link| link.place) {
                Some(Place::Inside(bytes)) => Ok(Self {
                    name: None,
                    is_complete: judge(&bytes, places).context("the link")?,
                    source: Source::Fragment(fragment.to_owned()),
                }),
                Some(Place::Url(url)) => bail!("{NOT_FETCHED}: {url}"),
                None => bail!("`{text}` is neither a file nor a link with a trace"),
            };
        }
        if text.contains("://") && !path.exists() {
            bail!("{NOT_FETCHED}: {text}");
        }
        places.opens(path);
        let bytes = read(path)?;
        let name = path.file_name().unwrap_or(path.as_os_str());
        Ok(Self {
            name: Some(name.to_string_lossy().into_owned()),
            is_complete: judge(&bytes, places).with_context(|| text.to_owned())?,
            source: Source::File(bytes),
        })
    }
}

/// All of a trace's file.
///
/// # Errors
/// When it cannot be read or is too long: a sentence for the person.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let told = || format!("{} cannot be read", path.display());
    // Before it is opened: a pipe that nobody writes to would not open.
    if !fs::metadata(path).with_context(told)?.is_file() {
        bail!("{} is not a regular file", path.display());
    }
    let file = File::open(path).with_context(told)?;
    let mut bytes = Vec::new();
    file.take(TRACE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .with_context(told)?;
    if bytes.len() as u64 > TRACE_BYTES_MAX {
        bail!(
            "{} has more than {} MiB: replay it with the command line",
            path.display(),
            TRACE_BYTES_MAX >> 20
        );
    }
    Ok(bytes)
}

/// Whether a trace is complete.
///
/// # Errors
/// When it is none that replays here, or its images are missing.
fn judge(bytes: &[u8], places: &Places) -> anyhow::Result<bool> {
    let unpacked;
    let bytes = if is_packed(bytes) {
        unpacked = unpack(bytes)?;
        &unpacked[..]
    } else {
        bytes
    };
    let reader = TraceReader::open(Cursor::new(bytes))?;
    config_from_header(reader.header())?;
    let mut images = images_from_header(reader.header());
    images.retain(|image| !reader.index().blobs.contains_key(&BlobHash(image.hash.0)));
    ImageSet::find(&images, &mut FolderStore::new(places.folders()))?;
    Ok(reader.completeness() == Completeness::Complete)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_trace_is_refused_in_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notes.txt");
        std::fs::write(&file, "This is no trace. ".repeat(10)).unwrap();
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        for (text, expect) in [
            (path(&file), "not a Reprise trace"),
            (path(folder.path()), "not a regular file"),
            (path(&folder.path().join("gone.rpt")), "cannot be read"),
            ("/dev/zero".to_owned(), "not a regular file"),
            ("https://example.org/a.rpt".to_owned(), "download"),
            ("https://example.org/#trace=a.rpt".to_owned(), "download"),
            (
                format!("https://example.org/#t={}", "A".repeat(240)),
                "not a Reprise trace",
            ),
            ("https://example.org/#t=!".to_owned(), "damaged"),
            (
                "https://example.org/#at=5".to_owned(),
                "neither a file nor a link",
            ),
        ] {
            let places = Places::new(Vec::new());
            let error = match Trace::find(&text, &places) {
                Ok(_) => panic!("{text} was taken"),
                Err(error) => crate::sentence(&error),
            };
            assert!(error.contains(expect), "{text}: {error}");
        }
    }
}
