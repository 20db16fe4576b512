//! A tar reader that is fed slices and hands out entries and pieces of their bytes.
//!
//! It reads what Go's `archive/tar` reads, since Docker, containerd and umoci read layers with that: ustar, PAX
//! (POSIX.1-2017, `pax`, extended header), GNU long names and base-256 numbers. Two readers that understood an
//! archive differently would be two images. Sparse files are refused: nothing makes layers with them.

mod header;
mod pax;
pub(crate) mod writer;

use std::collections::BTreeMap;

use header::{BLOCK_BYTES, Header};
use pax::Extended;

use crate::tree::Time;

/// The longest PAX header or GNU long name, as in Go's reader.
const SPECIAL_BYTES_MAX: u64 = 1 << 20;

/// The largest file that Linux and Go know; with its padding it is still a number of 64 bits.
const SIZE_MAX: u64 = i64::MAX as u64;

/// One member of an archive, names as they stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) path: Vec<u8>,
    pub(crate) kind: EntryKind,
    /// Permissions with setuid, setgid and sticky: the low 12 bits.
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Time,
    /// From `SCHILY.xattr.` records.
    pub(crate) xattrs: BTreeMap<Box<[u8]>, Box<[u8]>>,
    /// Bytes that follow; 0 for all that is no file.
    pub(crate) size: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    File,
    HardLink(Vec<u8>),
    Symlink(Vec<u8>),
    CharDevice { major: u32, minor: u32 },
    BlockDevice { major: u32, minor: u32 },
    Directory,
    Fifo,
}

/// What is wrong with an archive, and where.
#[derive(Debug)]
pub(crate) struct TarFault {
    pub(crate) at_byte: u64,
    pub(crate) reason: String,
}

pub(crate) enum Event<'i> {
    Entry(Box<Entry>),
    /// The next bytes of the entry before.
    Data(&'i [u8]),
    /// All of the input is taken.
    NeedInput,
}

enum State {
    /// A header block is gathered in `block`.
    Header,
    /// The content of a PAX header or long name.
    Special {
        typeflag: u8,
        left: u64,
        padding: u64,
    },
    Data {
        left: u64,
        padding: u64,
    },
    Skip {
        left: u64,
    },
    /// The end of the archive was seen; what follows means nothing.
    End,
}

pub(crate) struct TarReader {
    state: State,
    block: Vec<u8>,
    /// The block before was the first of the two zero blocks that end an archive.
    zero_block: bool,
    special: Vec<u8>,
    extended: Extended,
    long_path: Option<Vec<u8>>,
    long_target: Option<Vec<u8>>,
    /// Where the next input byte stands.
    at_byte: u64,
}

impl TarReader {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Header,
            block: Vec::with_capacity(BLOCK_BYTES),
            zero_block: false,
            special: Vec::new(),
            extended: Extended::default(),
            long_path: None,
            long_target: None,
            at_byte: 0,
        }
    }

    /// Takes from `input` until something is to be told.
    pub(crate) fn next<'i>(&mut self, input: &mut &'i [u8]) -> Result<Event<'i>, TarFault> {
        while !input.is_empty() {
            match &mut self.state {
                State::End => {
                    self.take(input, u64::MAX);
                }
                State::Skip { left } => {
                    let wanted = *left;
                    let taken = self.take(input, wanted).len() as u64;
                    self.state = match wanted - taken {
                        0 => State::Header,
                        left => State::Skip { left },
                    };
                }
                State::Data { left, padding } => {
                    let (wanted, padding) = (*left, *padding);
                    let data = self.take(input, wanted);
                    self.state = match wanted - data.len() as u64 {
                        0 => Self::after(padding),
                        left => State::Data { left, padding },
                    };
                    return Ok(Event::Data(data));
                }
                State::Special {
                    typeflag,
                    left,
                    padding,
                } => {
                    let (typeflag, wanted, padding) = (*typeflag, *left, *padding);
                    let data = self.take(input, wanted);
                    self.special.extend_from_slice(data);
                    let left = wanted - data.len() as u64;
                    self.state = State::Special {
                        typeflag,
                        left,
                        padding,
                    };
                    if left == 0 {
                        self.end_of_special(typeflag, padding)?;
                    }
                }
                State::Header => {
                    let wanted = BLOCK_BYTES - self.block.len();
                    let piece = self.take(input, wanted as u64);
                    self.block.extend_from_slice(piece);
                    if self.block.len() == BLOCK_BYTES
                        && let Some(entry) = self.header()?
                    {
                        return Ok(Event::Entry(entry));
                    }
                }
            }
        }
        Ok(Event::NeedInput)
    }

    /// Says whether the archive may end here. Go's reader does not insist on the zero blocks, nor on the
    /// padding of the last entry, and `umoci insert` leaves out both.
    pub(crate) fn finish(&self) -> Result<(), TarFault> {
        match self.state {
            State::End | State::Skip { .. } => Ok(()),
            State::Header if self.block.is_empty() => Ok(()),
            _ => Err(self.fault("it ends in the middle of an entry")),
        }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        matches!(self.state, State::End)
    }

    /// Leaves out what is left of the entry's bytes: the caller goes on with input so many bytes further.
    pub(crate) fn skip_data(&mut self) -> u64 {
        let skipped = match self.state {
            State::Data { left, padding } => left + padding,
            State::Skip { left } => left,
            _ => return 0,
        };
        self.at_byte = self.at_byte.saturating_add(skipped);
        self.state = State::Header;
        skipped
    }

    pub(crate) fn fault(&self, reason: impl Into<String>) -> TarFault {
        TarFault {
            at_byte: self.at_byte,
            reason: reason.into(),
        }
    }

    fn take<'i>(&mut self, input: &mut &'i [u8], wanted: u64) -> &'i [u8] {
        let taken = usize::try_from(wanted).map_or(input.len(), |wanted| wanted.min(input.len()));
        let (now, later) = input.split_at(taken);
        *input = later;
        self.at_byte += taken as u64;
        now
    }

    fn after(padding: u64) -> State {
        match padding {
            0 => State::Header,
            left => State::Skip { left },
        }
    }

    fn header(&mut self) -> Result<Option<Box<Entry>>, TarFault> {
        let block = std::mem::take(&mut self.block);
        let outcome = self.header_block(&block);
        self.block = block;
        self.block.clear();
        outcome
    }

    fn header_block(&mut self, block: &[u8]) -> Result<Option<Box<Entry>>, TarFault> {
        if block.iter().all(|&byte| byte == 0) {
            if self.zero_block {
                self.state = State::End;
            }
            self.zero_block = true;
            return Ok(None);
        }
        if self.zero_block {
            return Err(self.fault("one block of zeros stands in its middle"));
        }
        let header = Header::parse(block).map_err(|reason| self.fault(reason))?;
        match header.typeflag {
            b'x' | b'g' | b'L' | b'K' => {
                if header.size > SPECIAL_BYTES_MAX {
                    return Err(self.fault("a name or extended header is longer than 1 MiB"));
                }
                self.special.clear();
                self.state = State::Special {
                    typeflag: header.typeflag,
                    left: header.size,
                    padding: padding(header.size),
                };
                if header.size == 0 {
                    self.end_of_special(header.typeflag, 0)?;
                }
                Ok(None)
            }
            _ => self.entry(header).map(Some),
        }
    }

    fn end_of_special(&mut self, typeflag: u8, padding: u64) -> Result<(), TarFault> {
        let special = std::mem::take(&mut self.special);
        match typeflag {
            b'x' => {
                self.extended = Extended::parse(&special).map_err(|reason| self.fault(reason))?;
            }
            // Go's reader hands a global header to its caller and applies nothing; Docker leaves it out.
            b'g' => {}
            b'L' => self.long_path = Some(header::until_nul(&special).to_vec()),
            _ => self.long_target = Some(header::until_nul(&special).to_vec()),
        }
        self.state = Self::after(padding);
        Ok(())
    }

    fn entry(&mut self, header: Header) -> Result<Box<Entry>, TarFault> {
        let extended = std::mem::take(&mut self.extended);
        let long_path = self.long_path.take();
        let path = long_path.or(extended.path).unwrap_or(header.path);
        let long_target = self.long_target.take();
        let target = long_target.or(extended.target).unwrap_or(header.target);
        let (major, minor) = (header.device_major, header.device_minor);
        let kind = match header.typeflag {
            b'0' | 0 | b'7' if path.ends_with(b"/") => EntryKind::Directory,
            b'0' | 0 | b'7' => EntryKind::File,
            b'1' => EntryKind::HardLink(target),
            b'2' => EntryKind::Symlink(target),
            b'3' => EntryKind::CharDevice { major, minor },
            b'4' => EntryKind::BlockDevice { major, minor },
            b'5' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            b'S' => return Err(self.fault("it has a sparse file")),
            other => {
                let shown = char::from(other).escape_debug();
                return Err(self.fault(format!("it has an entry of the unknown type `{shown}`")));
            }
        };
        let size = match kind {
            EntryKind::File => extended.size.unwrap_or(header.size),
            // Links, devices and folders have no bytes, whatever their header says.
            _ => 0,
        };
        if size > SIZE_MAX {
            return Err(self.fault("it has a file of an impossible size"));
        }
        if size > 0 {
            self.state = State::Data {
                left: size,
                padding: padding(size),
            };
        }
        Ok(Box::new(Entry {
            path,
            kind,
            mode: header.mode,
            uid: extended.uid.unwrap_or(header.uid),
            gid: extended.gid.unwrap_or(header.gid),
            mtime: extended.mtime.unwrap_or(Time {
                seconds: header.mtime,
                nanoseconds: 0,
            }),
            xattrs: extended.xattrs,
            size,
        }))
    }
}

/// Zeros that follow `size` bytes.
fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK_BYTES as u64
}

#[cfg(test)]
mod tests;
