//! Layers, fed as bytes, made into a tree.

use sha2::{Digest as _, Sha256};

use super::Tree;
use super::apply::{Bytes, Used, apply};
use super::growing::Growing;
use crate::decode::Decoder;
use crate::digest::Digest;
use crate::error::{ImageError, LayerFault};
use crate::limits::Limits;
use crate::spool::Spool;
use crate::tar::{Event, TarFault, TarReader};

/// Unpacked bytes that one call of [`TreeBuilder::feed`] handles at the most: some milliseconds of work.
const FEED_BYTES_MAX: usize = 1 << 20;
/// Unpacked bytes in hand at a time.
const PIECE_BYTES: usize = 64 << 10;

/// Applies layers, the lowest first, to an empty tree. Files' bytes go to the spool as they come.
///
/// After an error the builder is of no use any more.
pub struct TreeBuilder<S> {
    growing: Growing,
    spool: S,
    limits: Limits,
    used: Used,
    /// Number of the layer in hand; the lowest is 1.
    number: u32,
    layer: Option<Layer>,
    piece: Box<[u8]>,
}

struct Layer {
    decoder: Decoder,
    tar: TarReader,
    /// What is done with the bytes of the entry in hand.
    bytes: Bytes,
    hasher: Sha256,
    packed_bytes: u64,
    unpacked_bytes: u64,
}

impl<S: Spool> TreeBuilder<S> {
    /// An empty tree. The spool must be empty as well.
    pub fn new(mut limits: Limits, spool: S) -> Self {
        // Inodes are numbered with 32 bits, and a path has far fewer directories than that.
        limits.entries_max = limits.entries_max.min(1 << 31);
        // Sums of offsets and sizes stay numbers of 64 bits.
        limits.content_bytes_max = limits.content_bytes_max.min(1 << 62);
        Self {
            growing: Growing::new(),
            spool,
            limits,
            used: Used::default(),
            number: 0,
            layer: None,
            piece: vec![0; PIECE_BYTES].into_boxed_slice(),
        }
    }

    /// Takes some of the bytes of the layer in hand, or of the next one, and says how many; 0 only means that
    /// those before are not all worked off. gzip, zstd and uncompressed tar archives are told apart by their
    /// first bytes.
    ///
    /// # Errors
    /// A damaged or hostile layer, a cap, or the spool.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<usize, ImageError> {
        if self.layer.is_none() {
            if self.number as usize >= self.limits.layers_max {
                return Err(ImageError::TooLarge {
                    what: "layers",
                    limit: self.limits.layers_max as u64,
                });
            }
            self.number += 1;
            self.layer = Some(Layer::new());
        }
        let mut input = bytes;
        let mut handled = 0;
        while handled < FEED_BYTES_MAX {
            let put = self.step(&mut input, false)?;
            handled += put;
            if put == 0 && input.is_empty() {
                break;
            }
        }
        Ok(bytes.len() - input.len())
    }

    /// Says that all bytes of a layer have come, and returns the digest of the unpacked layer (its diff ID).
    ///
    /// # Errors
    /// As [`feed`](Self::feed); and a layer that is cut off.
    pub fn end_layer(&mut self) -> Result<Digest, ImageError> {
        // An empty layer is still one.
        self.feed(&[])?;
        while self.step(&mut &[][..], true)? > 0 {}
        let Some(layer) = self.layer.take() else {
            return Ok(Digest::of(b""));
        };
        let ended = layer.tar.finish();
        ended.map_err(|fault| self.tar_fault(fault))?;
        Ok(Digest(layer.hasher.finalize().into()))
    }

    /// The tree as the layers left it, and the spool with its files' bytes.
    pub fn finish(self) -> (Tree, S) {
        (self.growing.finish(), self.spool)
    }

    /// Unpacks one piece and handles it; returns its bytes.
    fn step(&mut self, input: &mut &[u8], at_end: bool) -> Result<usize, ImageError> {
        let mut piece = std::mem::take(&mut self.piece);
        let outcome = self.step_with(input, at_end, &mut piece);
        self.piece = piece;
        outcome
    }

    fn step_with(
        &mut self,
        input: &mut &[u8],
        at_end: bool,
        piece: &mut [u8],
    ) -> Result<usize, ImageError> {
        let Some(layer) = &mut self.layer else {
            return Ok(0);
        };
        let before = input.len();
        let put = if at_end {
            layer.decoder.finish(piece)
        } else {
            layer.decoder.step(input, piece)
        };
        let put = put.map_err(|reason| ImageError::Layer {
            layer: self.number as usize,
            fault: LayerFault::Compression { reason },
        })?;
        layer.packed_bytes += (before - input.len()) as u64;
        layer.unpacked_bytes += put as u64;
        let allowed = layer.packed_bytes.saturating_mul(self.limits.ratio_max);
        if layer.unpacked_bytes > allowed.saturating_add(self.limits.ratio_free_bytes) {
            return Err(ImageError::Layer {
                layer: self.number as usize,
                fault: LayerFault::Ratio {
                    ratio: self.limits.ratio_max,
                },
            });
        }
        let unpacked = &piece[..put];
        layer.hasher.update(unpacked);
        self.unarchive(unpacked)?;
        Ok(put)
    }

    fn unarchive(&mut self, mut unpacked: &[u8]) -> Result<(), ImageError> {
        let Some(mut layer) = self.layer.take() else {
            return Ok(());
        };
        loop {
            let event = layer.tar.next(&mut unpacked);
            match event.map_err(|fault| self.tar_fault(fault))? {
                Event::NeedInput => break,
                Event::Entry(entry) => {
                    layer.bytes = apply(
                        &mut self.growing,
                        &mut self.used,
                        *entry,
                        self.number,
                        &self.limits,
                    )?;
                }
                Event::Data(data) => {
                    if layer.bytes == Bytes::Keep {
                        self.spool.append(data)?;
                    }
                }
            }
        }
        self.layer = Some(layer);
        Ok(())
    }

    fn tar_fault(&self, fault: TarFault) -> ImageError {
        ImageError::Layer {
            layer: self.number as usize,
            fault: LayerFault::Tar {
                at_byte: fault.at_byte,
                reason: fault.reason,
            },
        }
    }
}

impl Layer {
    fn new() -> Self {
        Self {
            decoder: Decoder::new(),
            tar: TarReader::new(),
            bytes: Bytes::Ignore,
            hasher: Sha256::new(),
            packed_bytes: 0,
            unpacked_bytes: 0,
        }
    }
}
