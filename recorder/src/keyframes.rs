//! Keyframes of a trace: between the core's snapshots and the file's states and pages.
//!
//! A keyframe saves time and decides nothing. It is used only if it is of this build's snapshot version, fits the machine and has the
//! hash that it claims; and a timeline that has used it compares it with the execution when it comes past
//! ([`crate::timeline`]). `reprise verify` compares all of them, byte by byte.

use crate::entry::{Entry, EntryLog};
use crate::timeline::{KeyframeSource, StoredSnapshot};
use reprise_core::machine::{SNAPSHOT_VERSION, Snapshot, StateHash};
use reprise_core::memory::{MemorySnapshot, Page};
use reprise_core::types::{GuestTime, Icount, PAGE_BYTES};
use reprise_traces::limits::MAX_BLOB_BYTES;
use reprise_traces::{KeyframeEntry, KeyframePage, PageRun, TraceError, TraceReader, TraceWriter};
use std::io::{Read, Seek, Write};
use std::sync::Arc;

/// Steps between two keyframes, unless told otherwise. A seek executes at most so many, 0.14 s of a present computer, and
/// half of that in the mean; with what reading a keyframe takes it stays below 300 ms.
pub const KEYFRAME_STEPS: u64 = 1 << 25;

/// What keyframes may add to a trace, in bytes, unless told otherwise; where it is not enough they are fewer.
pub const KEYFRAME_BYTES_MAX: u64 = 512 << 20;

/// More keyframes than this are not written into a trace: a quarter of what the format takes.
pub const KEYFRAME_COUNT_MAX: usize = 1 << 14;

/// A recording in progress gets twice as rare keyframes after so many.
const LIVE_COUNT_STEP: usize = 1 << 10;

/// What stands before the machine's encoding in a keyframe's state: the snapshot version and the hash's components.
const STATE_HEAD_BYTES: usize = 4 + 5 * 8;

/// Writes keyframes into one trace.
#[derive(Debug, Default)]
pub struct KeyframeWriter {
    /// The last one's RAM, and where its pages are stored: what is the same in the next needs no look at its content.
    last: Option<(MemorySnapshot, Vec<PageRun>)>,
}

impl KeyframeWriter {
    /// Whether a snapshot can be a keyframe: what the guest wrote to its disks may be too much for one.
    #[must_use]
    pub fn takes(snapshot: &Snapshot) -> bool {
        (snapshot.state.len() + STATE_HEAD_BYTES) as u64 <= MAX_BLOB_BYTES
    }

    /// Adds a keyframe: the state at `icount`, which has this hash.
    ///
    /// # Errors
    /// Those of [`TraceWriter::push_keyframe`].
    pub fn push<W: Write>(
        &mut self,
        writer: &mut TraceWriter<W>,
        icount: Icount,
        hash: &StateHash,
        snapshot: &Snapshot,
    ) -> Result<(), TraceError> {
        let mut state = Vec::with_capacity(STATE_HEAD_BYTES + snapshot.state.len());
        state.extend(SNAPSHOT_VERSION.to_le_bytes());
        state.extend(hash.components().into_iter().flat_map(u64::to_le_bytes));
        state.extend_from_slice(&snapshot.state);
        let last = self.last.take();
        let known = last.iter().flat_map(|(memory, runs)| {
            let stored = runs
                .iter()
                .flat_map(|run| run.stored..run.stored + run.count);
            memory.pages().zip(stored)
        });
        let mut known = known.peekable();
        let pages = snapshot.memory.pages().map(|(page, bytes)| {
            while known.next_if(|((other, _), _)| *other < page).is_some() {}
            let stored = known.next_if(|((other, _), _)| *other == page);
            let content = match stored {
                Some(((_, old), stored)) if Arc::ptr_eq(old, bytes) => KeyframePage::Stored(stored),
                _ => KeyframePage::Bytes(bytes),
            };
            (u64::from(page), content)
        });
        let runs = writer.push_keyframe_pages(icount.0, &state, pages)?;
        self.last = Some((snapshot.memory.clone(), runs));
        Ok(())
    }
}

/// A trace that is being recorded, with keyframes.
#[derive(Debug)]
pub struct KeyframeLog<W> {
    writer: TraceWriter<W>,
    keyframes: KeyframeWriter,
    /// Steps between two keyframes; 0 for none.
    steps: u64,
    due: Icount,
    count: usize,
    bytes_max: u64,
    /// Size of the trace from which on keyframes become rarer.
    bytes_due: u64,
}

impl<W: Write> KeyframeLog<W> {
    /// A log of keyframes every `steps` steps, or of none. The steps double whenever the trace has grown by `bytes_max`, so
    /// that a recording of any length stays within a few times that.
    #[must_use]
    pub fn new(writer: TraceWriter<W>, steps: Option<u64>, bytes_max: u64) -> Self {
        let steps = steps.unwrap_or(0);
        Self {
            bytes_due: writer.bytes_written().saturating_add(bytes_max),
            writer,
            keyframes: KeyframeWriter::default(),
            steps,
            due: Icount(steps),
            count: 0,
            bytes_max,
        }
    }

    /// The trace, to be closed.
    #[must_use]
    pub fn into_writer(self) -> TraceWriter<W> {
        self.writer
    }
}

impl<W: Write> EntryLog for KeyframeLog<W> {
    type Error = TraceError;

    fn push(&mut self, entry: &Entry) -> Result<(), TraceError> {
        EntryLog::push(&mut self.writer, entry)
    }

    fn note_guest_time(&mut self, icount: Icount, time: GuestTime) -> Result<(), TraceError> {
        self.writer.note_guest_time(icount, time)
    }

    fn keyframe_due(&self) -> Option<Icount> {
        (self.steps != 0).then_some(self.due)
    }

    fn push_keyframe(
        &mut self,
        icount: Icount,
        hash: &StateHash,
        snapshot: &Snapshot,
    ) -> Result<(), TraceError> {
        if !KeyframeWriter::takes(snapshot) {
            // It will not get smaller, and the recording is worth more than its keyframes.
            self.steps = 0;
            return Ok(());
        }
        self.keyframes
            .push(&mut self.writer, icount, hash, snapshot)?;
        self.count += 1;
        let bytes = self.writer.bytes_written();
        if bytes >= self.bytes_due || self.count.is_multiple_of(LIVE_COUNT_STEP) {
            self.steps = self.steps.saturating_mul(2);
            self.bytes_due = bytes.saturating_add(self.bytes_max);
        }
        self.due = icount.after(self.steps);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), TraceError> {
        self.writer.flush()
    }
}

/// The keyframes of a trace. Reads what is asked for and not held: pages that a keyframe shares with the one loaded
/// before are shared in memory.
#[derive(Debug)]
pub struct TraceKeyframes<R> {
    reader: TraceReader<R>,
    entries: Vec<KeyframeEntry>,
    positions: Vec<Icount>,
    /// The stored pages of the keyframe that was loaded last, ascending by number.
    held: Vec<(u64, Arc<Page>)>,
}

impl<R: Read + Seek> TraceKeyframes<R> {
    /// The keyframes of the trace that `reader` reads.
    pub fn new(reader: TraceReader<R>) -> Self {
        let mut entries: Vec<KeyframeEntry> = reader.index().keyframes.clone();
        // An index that was not compared with the file may say anything.
        entries.sort_by_key(|entry| entry.icount);
        entries.dedup_by_key(|entry| entry.icount);
        Self {
            positions: entries.iter().map(|entry| Icount(entry.icount)).collect(),
            entries,
            reader,
            held: Vec::new(),
        }
    }

    /// The keyframe of this number among the positions; `None` when it is of another snapshot version or cannot be
    /// that of any machine.
    ///
    /// # Errors
    /// What can be wrong with the trace.
    pub fn read(&mut self, index: usize) -> Result<Option<StoredSnapshot>, TraceError> {
        let Some(entry) = self.entries.get(index) else {
            return Ok(None);
        };
        let keyframe = self.reader.keyframe(*entry)?;
        let Some((hash, state)) = open_state(&keyframe.state) else {
            return Ok(None);
        };
        let page_count = self.reader.header().config.ram_bytes / PAGE_BYTES;
        // Runs are ascending and do not overlap, so the last one's end bounds all that follows by the size of RAM.
        let is_within = (keyframe.pages.last())
            .is_none_or(|run| run.page.saturating_add(run.count) <= page_count);
        let (Ok(page_count), true) = (usize::try_from(page_count), is_within) else {
            return Ok(None);
        };
        let mut wanted: Vec<u64> = (keyframe.pages.iter())
            .flat_map(|run| run.stored..run.stored + run.count)
            .collect();
        // In the order of the file each of its chunks is read once.
        wanted.sort_unstable();
        wanted.dedup();
        let mut held = std::mem::take(&mut self.held).into_iter().peekable();
        let mut pages = Vec::with_capacity(wanted.len());
        for number in wanted {
            while held.next_if(|(other, _)| *other < number).is_some() {}
            let page = match held.next_if(|(other, _)| *other == number) {
                Some((_, page)) => page,
                None => Arc::new(self.reader.page(number)?),
            };
            pages.push((number, page));
        }
        self.held = pages;
        let nonzero = keyframe.pages.iter().flat_map(|run| {
            let first = (self.held).partition_point(|(number, _)| *number < run.stored);
            let pages = self.held[first..].iter().map(|(_, page)| Arc::clone(page));
            (run.page..run.page + run.count)
                .map(|page| page as u32)
                .zip(pages)
        });
        Ok(Some(StoredSnapshot {
            snapshot: Snapshot {
                state: state.into(),
                memory: MemorySnapshot::from_pages(page_count, nonzero),
            },
            hash,
        }))
    }
}

impl<R: Read + Seek + Send> KeyframeSource for TraceKeyframes<R> {
    fn positions(&self) -> &[Icount] {
        &self.positions
    }

    fn load(&mut self, index: usize) -> Option<StoredSnapshot> {
        self.read(index).ok().flatten()
    }

    fn hash(&mut self, index: usize) -> Option<StateHash> {
        let keyframe = self.reader.keyframe(*self.entries.get(index)?).ok()?;
        open_state(&keyframe.state).map(|(hash, _)| hash)
    }
}

/// The hash that a keyframe claims to have, and the machine's encoding; `None` for those of another version.
fn open_state(bytes: &[u8]) -> Option<(StateHash, &[u8])> {
    let (head, state) = bytes.split_at_checked(STATE_HEAD_BYTES)?;
    let (version, hash) = head.split_first_chunk::<4>()?;
    let mut components = [0; 5];
    for (component, bytes) in components.iter_mut().zip(hash.as_chunks::<8>().0) {
        *component = u64::from_le_bytes(*bytes);
    }
    (u32::from_le_bytes(*version) == SNAPSHOT_VERSION)
        .then_some((StateHash::from_components(components), state))
}

#[cfg(test)]
mod tests;
