//! Trace files: written while recording, closed so that no moment could lose them, and read.

use anyhow::{Context, bail};
use reprise_recorder::trace::Entries;
use reprise_traces::{
    Completeness, Compression, Header, Record, TraceError, TraceReader, TraceSummary, TraceWriter,
    compact,
};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

/// A trace that is being recorded: every flushed chunk is in the file.
pub(crate) type LiveWriter = TraceWriter<File>;

/// Refuses a path at which there is a file with something in it.
pub(crate) fn require_free(path: &Path) -> anyhow::Result<()> {
    let is_taken =
        fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0);
    if is_taken {
        bail!(
            "{} is there already: name another file with -o, or overwrite it with --force",
            path.display()
        );
    }
    Ok(())
}

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
    let replacement = Replacement::create(path)?;
    let (_, summary) = compact(File::open(path)?, replacement.writer()?)?;
    replacement.commit()?;
    Ok(summary)
}

/// A file that takes another's place when it is whole. Until then, and if it never is, the other stays as it is.
#[derive(Debug)]
pub(crate) struct Replacement {
    path: PathBuf,
    beside: PathBuf,
    file: File,
    is_committed: bool,
}

impl Replacement {
    /// Begins an empty file beside `path`, which need not exist. What an earlier process left there when it was killed is
    /// overwritten, and what another process is writing there is not.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        // What a link leads to is replaced, not the link.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let beside = beside(&path);
        let cannot = || format!("{} cannot be written", beside.display());
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&beside)
            .with_context(cannot)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!("{} is being written by another reprise", path.display());
        }
        file.set_len(0).with_context(cannot)?;
        if let Ok(metadata) = fs::metadata(&path) {
            // A file system without permissions is no reason to fail.
            let _ = file.set_permissions(metadata.permissions());
        }
        Ok(Self {
            path,
            beside,
            file,
            is_committed: false,
        })
    }

    /// Writes to the file.
    pub(crate) fn writer(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Where it is until it takes the other's place.
    pub(crate) fn beside(&self) -> &Path {
        &self.beside
    }

    /// Puts it in the other's place; answers the file, which stays locked while that is open.
    pub(crate) fn commit(mut self) -> anyhow::Result<File> {
        let cannot = || format!("{} cannot be written", self.path.display());
        self.file.sync_all().with_context(cannot)?;
        fs::rename(&self.beside, &self.path).with_context(cannot)?;
        self.is_committed = true;
        // The name is safe with the folder; where folders cannot be synced it is as safe as can be.
        if let Some(folder) = self.path.parent()
            && let Ok(folder) = File::open(folder)
        {
            let _ = folder.sync_all();
        }
        self.file.try_clone().with_context(cannot)
    }

    /// Goes on with another file in the place of the one beside, which that has replaced.
    pub(crate) fn set_file(&mut self, file: File) {
        self.file = file;
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.is_committed {
            // Whether it was there or not, the other file is what counts.
            let _ = fs::remove_file(&self.beside);
        }
    }
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
        let mut reader = open_reader(path, TraceReader::open)?;
        let mut completeness = reader.completeness();
        let mut end_icount = reader.index().last_icount;
        if let Completeness::Truncated { last_icount, .. } = &mut completeness {
            // Delivering an event is a step, too: a replay ends behind it.
            let mut last = None;
            while let Some(record) = reader.next_record()? {
                last = Some(record);
            }
            end_icount += u64::from(matches!(last, Some(Record::Event(_))));
            *last_icount = end_icount;
        }
        Ok(Self {
            path: path.to_owned(),
            header: reader.header().clone(),
            completeness,
            last_icount: end_icount,
            byte_len: fs::metadata(path)?.len(),
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The header.
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// Whether the recorder lived to close the trace. Of a trace that is not whole, `last_icount` is where its replay ends.
    pub(crate) fn completeness(&self) -> Completeness {
        self.completeness
    }

    /// Where a replay ends.
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
