//! Diversions as traces of their own.

use crate::trace_file::{self, FileReader, TraceFile};
use crate::workspace::Workspace;
use anyhow::{Context, bail};
use reprise_debugger::gdb::Diversion;
use reprise_recorder::entry::EntryLog;
use reprise_recorder::trace::{PARENT_KEY, images_from_header};
use reprise_traces::{BlobHash, Compression, Header, Record, TraceWriter};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Writes diversions from one trace.
pub(crate) struct Saver {
    header: Header,
    parent: PathBuf,
    /// The parent, where it is a file that may carry its images.
    reader: Option<FileReader>,
    /// What the trace of a workspace holds in any case, where the parent is none that can be read.
    listing: Option<Arc<[u8]>>,
}

impl Saver {
    /// For diversions from this trace.
    pub(crate) fn new(parent: &TraceFile) -> anyhow::Result<Self> {
        Ok(Self {
            header: parent.header().clone(),
            parent: parent.path().to_owned(),
            reader: Some(parent.reader()?),
            listing: None,
        })
    }

    /// For diversions from a trace that is still being written.
    pub(crate) fn of_live(header: Header, parent: PathBuf, workspace: Option<&Workspace>) -> Self {
        Self {
            header,
            parent,
            reader: None,
            listing: workspace.map(Workspace::encoded_listing),
        }
    }

    /// Writes a diversion to a new file in the current folder. It holds the parent's events up to the fork, and the images
    /// that the parent holds, and is replayed without the parent; the parent is named for people.
    pub(crate) fn save(&mut self, name: &str, diversion: &Diversion) -> anyhow::Result<()> {
        let path = plain(name)?;
        // Neither another's file nor what a link leads to is written over.
        let file = match File::create_new(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                bail!("{name} is there already: choose another name")
            }
            file => file.with_context(|| format!("{name} cannot be written"))?,
        };
        let written = self.write(path, file, diversion);
        if written.is_err() {
            // A part of a diversion is of no use. If it cannot be removed either, the person learns why it failed.
            let _ = fs::remove_file(path);
        }
        written
    }

    fn write(&mut self, path: &Path, file: File, diversion: &Diversion) -> anyhow::Result<()> {
        let mut writer = TraceWriter::create(file, &self.header, Compression::Live)?;
        if let Some(reader) = &mut self.reader {
            for image in images_from_header(&self.header) {
                let hash = BlobHash(image.hash.0);
                if reader.index().blobs.contains_key(&hash) && !writer.has_blob(&hash) {
                    writer.add_blob(&reader.blob(&hash)?)?;
                }
            }
        }
        if let Some(listing) = &self.listing {
            writer.add_blob(listing)?;
        }
        let name = self.parent.file_name().unwrap_or(self.parent.as_os_str());
        for (number, entry) in diversion.entries.iter().enumerate() {
            if number + 1 == diversion.entries.len() {
                writer.push(&Record::Annotation {
                    icount: entry.icount().0,
                    key: PARENT_KEY.to_owned(),
                    value: format!(
                        "{} at icount {}",
                        name.to_string_lossy(),
                        diversion.forked_at
                    )
                    .into_bytes(),
                })?;
            }
            EntryLog::push(&mut writer, entry)?;
        }
        trace_file::close(path, writer)?;
        Ok(())
    }
}

/// A file of the current folder. Whoever reaches the server may ask for it, so it is no way to other folders.
fn plain(name: &str) -> anyhow::Result<&Path> {
    let path = Path::new(name);
    if path.file_name() != Some(path.as_os_str()) {
        bail!(
            "`{name}` is not a plain file name: the trace is saved in the folder that reprise runs in"
        );
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn only_a_name_is_a_plain_file_name() {
        for name in ["diversion.rpt", "..a", "a b"] {
            assert!(plain(name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", "/a", "a/b", "../a", "./a", "a/", "a/."] {
            assert!(plain(name).is_err(), "{name}");
        }
    }
}
