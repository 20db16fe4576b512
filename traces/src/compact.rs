//! Rewriting a finished trace with few, well compressed chunks.

use crate::error::TraceError;
use crate::stream::{Completeness, StreamItem, StreamReader};
use crate::writer::{Compression, TraceSummary, TraceWriter};
use std::io::{Read, Write};

/// How much is read at once.
const READ_BYTES: usize = 64 << 10;

/// Copies a complete trace from `source`, which stands at its first byte, to `sink`: the same header,
/// records, blobs and keyframes, with small chunks joined and everything compressed as well as zstd can.
///
/// A caller that replaces a file writes to a new one beside it, syncs that, and renames it over the old
/// one; so there is no moment at which a kill loses the recording.
///
/// # Errors
/// [`TraceError::Incomplete`] for a trace that breaks off or is damaged: what is wrong with a recording is
/// never hidden by rewriting it. Otherwise as the reader and the writer. On an error `sink` holds
/// nothing of use.
pub fn compact<W: Write>(mut source: impl Read, sink: W) -> Result<(W, TraceSummary), TraceError> {
    let mut stream = StreamReader::new();
    let mut sink = Some(sink);
    let mut writer = None;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let length = match source.read(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(source) => {
                let at_byte = stream.at_byte();
                return Err(TraceError::Io { at_byte, source });
            }
        };
        if length == 0 {
            break;
        }
        stream.feed(&buffer[..length]);
        while let Some(item) = next_item(&mut stream)? {
            if let Some((sink, header)) = sink.take().zip(stream.header()) {
                writer = Some(TraceWriter::create(sink, header, Compression::Best)?);
            }
            if let Some(writer) = &mut writer {
                copy(writer, item)?;
            }
        }
    }
    match (stream.completeness()?, writer) {
        (Completeness::Complete, Some(writer)) => writer.finish(),
        _ => Err(TraceError::Incomplete {
            at_byte: stream.at_byte(),
        }),
    }
}

fn next_item(stream: &mut StreamReader) -> Result<Option<StreamItem>, TraceError> {
    stream.next_item().map_err(|error| match error {
        TraceError::ChunkDamaged { at_byte, .. } => TraceError::Incomplete { at_byte },
        error => error,
    })
}

fn copy<W: Write>(writer: &mut TraceWriter<W>, item: StreamItem) -> Result<(), TraceError> {
    match item {
        StreamItem::Record(record) => writer.push(&record),
        StreamItem::BlobPiece(piece) => writer.add_blob_piece(&piece),
        StreamItem::Pages { bytes, .. } => writer.add_pages(&bytes),
        StreamItem::OtherChunk { tag, bytes } => writer.add_other_chunk(tag, &bytes),
    }
}
