//! Copying a trace without its keyframes, so that others can be put in.

use crate::blob::{BlobHash, BlobPiece};
use crate::chunk::ChunkKind;
use crate::codec::CodecError;
use crate::error::TraceError;
use crate::reader::TraceReader;
use crate::record::{Input, Record};
use crate::stream::{Completeness, RecordsChunk, malformed_at};
use crate::writer::TraceWriter;
use std::collections::BTreeSet;
use std::io::{Read, Seek, Write};

/// Copies a trace piece by piece, without its keyframes: neither their records, nor the blobs that only they name, nor the
/// pages. All else is copied as it is and in its order, what this version does not know included.
///
/// Between two pieces the caller puts keyframes of its own into the writer.
#[derive(Debug)]
pub struct TraceCopier<R> {
    reader: TraceReader<R>,
    /// What only keyframes name.
    dropped: BTreeSet<BlobHash>,
    /// The blob whose pieces follow is dropped.
    drops_blob: bool,
    next_chunk: u32,
    open: Option<RecordsChunk>,
    /// A record that was read and is to be copied next.
    held: Option<Record>,
}

impl<R: Read + Seek> TraceCopier<R> {
    /// Copies what `reader` reads, from its start.
    ///
    /// # Errors
    /// As [`TraceReader::next_record`].
    pub fn new(mut reader: TraceReader<R>) -> Result<Self, TraceError> {
        let mut dropped = BTreeSet::new();
        let mut used: BTreeSet<BlobHash> = (reader.header().images.iter())
            .map(|image| image.hash)
            .collect();
        if !reader.index().keyframes.is_empty() {
            for record in reader.records() {
                match record? {
                    Record::Keyframe {
                        state, page_map, ..
                    } => dropped.extend([state, page_map]),
                    Record::Event(event) => {
                        if let Input::Start(start) = event.input {
                            used.extend(start.files.iter().map(|file| file.content));
                        }
                    }
                    _ => {}
                }
            }
            dropped.retain(|hash| !used.contains(hash));
        }
        Ok(Self {
            reader,
            dropped,
            drops_blob: false,
            next_chunk: 0,
            open: None,
            held: None,
        })
    }

    /// Copies the records before the first one at or after `icount`, and the blobs between them.
    ///
    /// # Errors
    /// What can be wrong with the trace, and the writer's.
    pub fn copy_before<W: Write>(
        &mut self,
        icount: u64,
        writer: &mut TraceWriter<W>,
    ) -> Result<(), TraceError> {
        while let Some(record) = self.next_record(writer)? {
            if record.icount() >= icount {
                self.held = Some(record);
                break;
            }
            copy_record(&record, writer)?;
        }
        Ok(())
    }

    /// Copies all that is left.
    ///
    /// # Errors
    /// As [`copy_before`](Self::copy_before); [`TraceError::Incomplete`] after the last record of a trace that breaks off.
    pub fn copy_rest<W: Write>(&mut self, writer: &mut TraceWriter<W>) -> Result<(), TraceError> {
        while let Some(record) = self.next_record(writer)? {
            copy_record(&record, writer)?;
        }
        match self.reader.completeness() {
            Completeness::Complete => Ok(()),
            Completeness::Truncated { at_byte, .. } => Err(TraceError::Incomplete { at_byte }),
        }
    }

    /// The next record; copies what stands before it and is none.
    fn next_record<W: Write>(
        &mut self,
        writer: &mut TraceWriter<W>,
    ) -> Result<Option<Record>, TraceError> {
        if let Some(record) = self.held.take() {
            return Ok(Some(record));
        }
        loop {
            if let Some(open) = &mut self.open {
                if let Some(record) = open.next_record()? {
                    return Ok(Some(record));
                }
                self.open = None;
            }
            let number = self.next_chunk;
            let Some(chunk) = self.reader.index().chunks.get(number as usize).copied() else {
                return Ok(None);
            };
            self.next_chunk += 1;
            match chunk.kind {
                ChunkKind::Pages | ChunkKind::Index => {}
                ChunkKind::Records => {
                    let raw = self.reader.chunk(number)?;
                    self.open = Some(RecordsChunk::new(raw, chunk.base_icount, chunk.at_byte));
                }
                ChunkKind::Other(tag) => {
                    let raw = self.reader.chunk(number)?;
                    writer.add_other_chunk(tag, &raw)?;
                }
                ChunkKind::Blob => {
                    let raw = self.reader.chunk(number)?;
                    let piece = BlobPiece::decode(&raw).map_err(|CodecError| {
                        let reason = "a blob's piece does not decode";
                        malformed_at(chunk.at_byte, chunk.base_icount, reason)
                    })?;
                    if piece.offset == 0 {
                        // A keyframe of the copy may have brought the same content.
                        self.drops_blob =
                            self.dropped.contains(&piece.hash) || writer.has_blob(&piece.hash);
                    }
                    if !self.drops_blob {
                        writer.add_blob_piece(&piece)?;
                    }
                }
            }
        }
    }
}

fn copy_record<W: Write>(record: &Record, writer: &mut TraceWriter<W>) -> Result<(), TraceError> {
    match record {
        Record::Keyframe { .. } => Ok(()),
        record => writer.push(record),
    }
}
