//! Trace files: written while recording, closed so that no moment could lose them, and read.

use anyhow::Context;
use reprise_recorder::trace::Entries;
use reprise_traces::{
    Completeness, Compression, Header, TraceError, TraceReader, TraceSummary, TraceWriter, compact,
};
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// A trace that is being recorded: every flushed chunk is in the file.
pub(crate) type LiveWriter = TraceWriter<File>;

/// Creates the file, with its header in it.
pub(crate) fn create(path: &Path, header: &Header) -> anyhow::Result<LiveWriter> {
    let file =
        File::create(path).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(TraceWriter::create(file, header, Compression::Live)?)
}

/// Closes a recorded trace: writes its index, then puts a small version in its place.
pub(crate) fn close(path: &Path, writer: LiveWriter) -> anyhow::Result<TraceSummary> {
    let (file, summary) = writer.finish()?;
    file.sync_all()
        .with_context(|| format!("{} cannot be written", path.display()))?;
    drop(file);
    // A recording that cannot be made small (a full disk, say) is still whole as it is.
    Ok(make_small(path).unwrap_or(summary))
}

/// Writes the small version beside the trace, then renames it over the trace, so that at every
/// moment one of the two is whole.
fn make_small(path: &Path) -> anyhow::Result<TraceSummary> {
    let beside = beside(path);
    let result = (|| {
        let (file, summary) = compact(File::open(path)?, File::create(&beside)?)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        Ok(summary)
    })();
    if result.is_err() {
        // Whether it was there or not, the trace itself is what counts.
        let _ = fs::remove_file(&beside);
    }
    result
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    path.with_file_name(name)
}

/// A trace file that is read, as often as wanted.
#[derive(Debug)]
pub(crate) struct TraceFile {
    path: PathBuf,
    header: Header,
    completeness: Completeness,
    last_icount: u64,
    byte_len: u64,
}

/// Reads one file.
pub(crate) type FileReader = TraceReader<BufReader<File>>;

impl TraceFile {
    /// Opens a trace.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let reader = open_reader(path, TraceReader::open)?;
        Ok(Self {
            path: path.to_owned(),
            header: reader.header().clone(),
            completeness: reader.completeness(),
            last_icount: reader.index().last_icount,
            byte_len: fs::metadata(path)?.len(),
        })
    }

    /// The header.
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// Whether the recorder lived to close the trace.
    pub(crate) fn completeness(&self) -> Completeness {
        self.completeness
    }

    /// Position of the last record.
    pub(crate) fn last_icount(&self) -> u64 {
        self.last_icount
    }

    /// Size in bytes.
    pub(crate) fn byte_len(&self) -> u64 {
        self.byte_len
    }

    /// The folder that the trace is in.
    pub(crate) fn folder(&self) -> PathBuf {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        }
    }

    /// The entries from the first on.
    pub(crate) fn entries(&self) -> anyhow::Result<Entries<BufReader<File>>> {
        Ok(Entries::new(self.reader()?))
    }

    /// A reader at the start.
    pub(crate) fn reader(&self) -> anyhow::Result<FileReader> {
        // A trace that was whole when all of it was read need not be read again.
        let open = match self.completeness {
            Completeness::Complete => TraceReader::open_indexed,
            Completeness::Truncated { .. } => TraceReader::open,
        };
        open_reader(&self.path, open)
    }
}

fn open_reader(
    path: &Path,
    open: impl FnOnce(BufReader<File>) -> Result<FileReader, TraceError>,
) -> anyhow::Result<FileReader> {
    let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    open(BufReader::new(file)).with_context(|| path.display().to_string())
}
