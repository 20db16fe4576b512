//! Where the bytes of files wait between the layers and the root image.

use std::io;

/// Grows at its end, and is read anywhere: a temporary file, a file of the browser's private file system, or memory.
///
/// Files keep their place: what a later layer replaces stays in the spool, unused.
pub trait Spool {
    /// Adds bytes at the end.
    ///
    /// # Errors
    /// Whatever the storage says, as when it is full; the image is then given up.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Fills `into` with the bytes that were appended from `offset` on.
    ///
    /// # Errors
    /// Whatever the storage says, and [`io::ErrorKind::UnexpectedEof`] for what was never appended.
    fn read_at(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()>;
}

impl<S: Spool + ?Sized> Spool for &mut S {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        (**self).append(bytes)
    }

    fn read_at(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, into)
    }
}

/// A spool in memory, for small images and tests.
#[derive(Default)]
pub struct MemorySpool {
    /// All full but the last, so that growing copies nothing.
    pieces: Vec<Vec<u8>>,
}

/// Bytes of a piece of a [`MemorySpool`].
const PIECE_BYTES: usize = 1 << 20;

impl Spool for MemorySpool {
    fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.pieces.last_mut() {
                Some(piece) if piece.len() < PIECE_BYTES => {
                    let (now, later) = bytes.split_at(bytes.len().min(PIECE_BYTES - piece.len()));
                    piece.extend_from_slice(now);
                    bytes = later;
                }
                _ => self.pieces.push(Vec::new()),
            }
        }
        Ok(())
    }

    fn read_at(&mut self, offset: u64, mut into: &mut [u8]) -> io::Result<()> {
        let past_end = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let mut offset = usize::try_from(offset).map_err(|_| past_end())?;
        while !into.is_empty() {
            let piece = self.pieces.get(offset / PIECE_BYTES).ok_or_else(past_end)?;
            let there = piece.get(offset % PIECE_BYTES..).unwrap_or_default();
            if there.is_empty() {
                return Err(past_end());
            }
            let taken = there.len().min(into.len());
            into[..taken].copy_from_slice(&there[..taken]);
            into = &mut into[taken..];
            offset += taken;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_appended_is_read_across_pieces() {
        let mut spool = MemorySpool::default();
        let bytes: Vec<u8> = (0..PIECE_BYTES * 2 + 77).map(|i| (i % 251) as u8).collect();
        for slice in bytes.chunks(100_000) {
            spool.append(slice).unwrap();
        }
        let mut read = vec![0; PIECE_BYTES + 9];
        spool.read_at(PIECE_BYTES as u64 - 5, &mut read).unwrap();
        assert_eq!(read, bytes[PIECE_BYTES - 5..][..PIECE_BYTES + 9]);
        assert!(spool.read_at(bytes.len() as u64 - 1, &mut [0; 2]).is_err());
        assert!(spool.read_at(u64::MAX, &mut [0; 1]).is_err());
    }
}
