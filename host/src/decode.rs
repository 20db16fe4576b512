//! Layers decompressed a bounded piece at a time, whatever their compression.

use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};
use zstd::stream::raw::{DParameter, Decoder as ZstdDecoder, InBuffer, Operation, OutBuffer};
use zstd::zstd_safe::{MAGIC_SKIPPABLE_MASK, MAGIC_SKIPPABLE_START, MAGICNUMBER};

/// The largest window of zstd that is accepted, as a power of two: 128 MiB, what `zstd -d` accepts.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Decompresses gzip, zstd or nothing, told apart by the first bytes: media types lie, and an archive has none.
pub(crate) struct Decoder {
    /// Bytes that came before it was clear what they are.
    head: Vec<u8>,
    /// How many of `head` the format has taken since.
    head_taken: usize,
    format: Option<Format>,
}

enum Format {
    Plain,
    Gzip(Box<Gzip>),
    Zstd(Box<Zstd>),
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self {
            head: Vec::with_capacity(4),
            head_taken: 0,
            format: None,
        }
    }

    /// Takes from `input` and puts into `out`; says how many bytes it put there. With 0 of them it has taken all
    /// of `input`.
    pub(crate) fn step(&mut self, input: &mut &[u8], out: &mut [u8]) -> Result<usize, String> {
        while self.format.is_none() {
            match input.split_first() {
                Some((&byte, rest)) => {
                    self.head.push(byte);
                    *input = rest;
                }
                None => return Ok(0),
            }
            if self.head.len() == 4 {
                self.format = Some(format(&self.head)?);
            }
        }
        let Some(format) = &mut self.format else {
            return Ok(0);
        };
        if self.head_taken < self.head.len() {
            let mut head = &self.head[self.head_taken..];
            let put = format.step(&mut head, out)?;
            self.head_taken = self.head.len() - head.len();
            if put > 0 || !head.is_empty() {
                return Ok(put);
            }
        }
        format.step(input, out)
    }

    /// Puts what is left when the input is over; 0 is the end. Fails where the compressed bytes end early.
    pub(crate) fn finish(&mut self, out: &mut [u8]) -> Result<usize, String> {
        if self.format.is_none() {
            // Too short to be compressed; the tar reader says what it is.
            self.format = Some(Format::Plain);
        }
        let put = self.step(&mut &[][..], out)?;
        let whole = match &self.format {
            Some(Format::Gzip(gzip)) => gzip.is_whole(),
            Some(Format::Zstd(zstd)) => zstd.is_whole,
            Some(Format::Plain) | None => true,
        };
        if put == 0 && !whole {
            return Err("its compressed bytes end early".to_owned());
        }
        Ok(put)
    }
}

/// RFC 1952, 2.3.1 and RFC 8878, 3.1.1 and 3.1.2 say how the formats begin.
fn format(head: &[u8]) -> Result<Format, String> {
    let magic = head
        .iter()
        .rev()
        .fold(0, |magic, &byte| (magic << 8) | u32::from(byte));
    if magic & 0xffff == 0x8b1f {
        return Ok(Format::Gzip(Box::new(Gzip::new())));
    }
    if magic == MAGICNUMBER || magic & MAGIC_SKIPPABLE_MASK == MAGIC_SKIPPABLE_START {
        return Ok(Format::Zstd(Box::new(Zstd::new()?)));
    }
    Ok(Format::Plain)
}

impl Format {
    fn step(&mut self, input: &mut &[u8], out: &mut [u8]) -> Result<usize, String> {
        match self {
            Self::Plain => {
                let (now, later) = input.split_at(input.len().min(out.len()));
                out[..now.len()].copy_from_slice(now);
                *input = later;
                Ok(now.len())
            }
            Self::Gzip(gzip) => gzip.step(input, out),
            Self::Zstd(zstd) => zstd.step(input, out),
        }
    }
}

struct Zstd {
    decoder: ZstdDecoder<'static>,
    /// Between two frames.
    is_whole: bool,
}

impl Zstd {
    fn new() -> Result<Self, String> {
        let explain = |error: std::io::Error| error.to_string();
        let mut decoder = ZstdDecoder::new().map_err(explain)?;
        decoder
            .set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))
            .map_err(explain)?;
        Ok(Self {
            decoder,
            is_whole: true,
        })
    }

    fn step(&mut self, input: &mut &[u8], out: &mut [u8]) -> Result<usize, String> {
        let mut from = InBuffer::around(input);
        let mut to = OutBuffer::around(out);
        while to.pos() == 0 && !(from.pos() == input.len() && self.is_whole) {
            let taken_before = from.pos();
            let hint = self
                .decoder
                .run(&mut from, &mut to)
                .map_err(|error| error.to_string())?;
            self.is_whole = hint == 0;
            if to.pos() == 0 && from.pos() == taken_before {
                break;
            }
        }
        let (taken, put) = (from.pos(), to.pos());
        *input = &input[taken..];
        Ok(put)
    }
}

/// RFC 1952: members one after the other, then nothing or zeros.
struct Gzip {
    part: GzipPart,
    /// Bytes of the part that came so far, for parts of a fixed size.
    fixed: Vec<u8>,
    flags: u8,
    inflate: Box<InflateState>,
    crc: crc32fast::Hasher,
    /// Of the member, modulo 2^32.
    length: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum GzipPart {
    Fixed,
    ExtraLength,
    Extra(u16),
    Name,
    Comment,
    HeaderCrc,
    Body,
    Trailer,
    /// After a trailer: the next member begins, or padding.
    Between,
    Padding,
}

const FLAG_HEADER_CRC: u8 = 2;
const FLAG_EXTRA: u8 = 4;
const FLAG_NAME: u8 = 8;
const FLAG_COMMENT: u8 = 16;
const FLAGS_RESERVED: u8 = 0xe0;

impl Gzip {
    fn new() -> Self {
        Self {
            part: GzipPart::Fixed,
            fixed: Vec::with_capacity(10),
            flags: 0,
            inflate: InflateState::new_boxed(DataFormat::Raw),
            crc: crc32fast::Hasher::new(),
            length: 0,
        }
    }

    fn is_whole(&self) -> bool {
        matches!(self.part, GzipPart::Between | GzipPart::Padding)
    }

    fn step(&mut self, input: &mut &[u8], out: &mut [u8]) -> Result<usize, String> {
        loop {
            if self.part == GzipPart::Body {
                let before = input.len();
                let put = self.body(input, out)?;
                if put > 0 || (self.part == GzipPart::Body && input.len() == before) {
                    return Ok(put);
                }
                continue;
            }
            let Some((&byte, rest)) = input.split_first() else {
                return Ok(0);
            };
            *input = rest;
            self.frame(byte)?;
        }
    }

    fn body(&mut self, input: &mut &[u8], out: &mut [u8]) -> Result<usize, String> {
        let result = inflate(&mut self.inflate, input, out, MZFlush::None);
        *input = &input[result.bytes_consumed..];
        let put = result.bytes_written;
        self.crc.update(&out[..put]);
        // The length is kept modulo 2^32, as the trailer has it.
        self.length = self.length.wrapping_add(put as u32);
        match result.status {
            Ok(MZStatus::StreamEnd) => self.begin(GzipPart::Trailer),
            Ok(_) | Err(MZError::Buf) => {}
            Err(_) => return Err("its gzip stream is not valid".to_owned()),
        }
        Ok(put)
    }

    fn begin(&mut self, part: GzipPart) {
        self.fixed.clear();
        self.part = part;
    }

    /// One byte of what stands around the deflated bytes.
    fn frame(&mut self, byte: u8) -> Result<(), String> {
        match self.part {
            GzipPart::Fixed => {
                self.fixed.push(byte);
                if self.fixed.len() == 10 {
                    if self.fixed[..3] != [0x1f, 0x8b, 8] || self.fixed[3] & FLAGS_RESERVED != 0 {
                        return Err("its gzip header is not valid".to_owned());
                    }
                    self.flags = self.fixed[3];
                    self.next_of_header();
                }
            }
            GzipPart::ExtraLength => {
                self.fixed.push(byte);
                if self.fixed.len() == 2 {
                    self.part = GzipPart::Extra(u16::from_le_bytes([self.fixed[0], self.fixed[1]]));
                    self.skip_empty_extra();
                }
            }
            GzipPart::Extra(left) => {
                self.part = GzipPart::Extra(left - 1);
                self.skip_empty_extra();
            }
            GzipPart::Name | GzipPart::Comment => {
                if byte == 0 {
                    self.next_of_header();
                }
            }
            GzipPart::HeaderCrc => {
                self.fixed.push(byte);
                if self.fixed.len() == 2 {
                    self.next_of_header();
                }
            }
            GzipPart::Trailer => {
                self.fixed.push(byte);
                if self.fixed.len() == 8 {
                    self.check_trailer()?;
                }
            }
            GzipPart::Between if byte == 0x1f => {
                self.begin(GzipPart::Fixed);
                self.fixed.push(byte);
            }
            GzipPart::Between | GzipPart::Padding => {
                if byte != 0 {
                    return Err("something follows its gzip stream".to_owned());
                }
                self.part = GzipPart::Padding;
            }
            GzipPart::Body => {}
        }
        Ok(())
    }

    fn skip_empty_extra(&mut self) {
        if self.part == GzipPart::Extra(0) {
            self.next_of_header();
        }
    }

    /// The optional parts come in this order; each one's flag is dropped as it begins.
    fn next_of_header(&mut self) {
        let order = [
            (FLAG_EXTRA, GzipPart::ExtraLength),
            (FLAG_NAME, GzipPart::Name),
            (FLAG_COMMENT, GzipPart::Comment),
            (FLAG_HEADER_CRC, GzipPart::HeaderCrc),
        ];
        let next = order.into_iter().find(|(flag, _)| self.flags & flag != 0);
        if let Some((flag, part)) = next {
            self.flags &= !flag;
            self.begin(part);
            return;
        }
        self.inflate.reset(DataFormat::Raw);
        self.crc = crc32fast::Hasher::new();
        self.length = 0;
        self.begin(GzipPart::Body);
    }

    fn check_trailer(&mut self) -> Result<(), String> {
        let word = |at: usize| {
            let bytes = &self.fixed[at..at + 4];
            bytes
                .iter()
                .rev()
                .fold(0, |word, &byte| (word << 8) | u32::from(byte))
        };
        if word(0) != self.crc.clone().finalize() || word(4) != self.length {
            return Err("its gzip checksum is wrong".to_owned());
        }
        self.begin(GzipPart::Between);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
