//! A trace whose bytes come one after the other, read as they come.

use super::fetched::{ANNOTATIONS_MAX, TEXT_BYTES_MAX, news_from_annotation, text_bytes};
use super::library::Library;
use super::open::Bytes;
use super::{Refusal, because};
use crate::protocol::{FetchNews, Message, Want};
use reprise_core::types::Icount;
use reprise_recorder::entry::Entry;
use reprise_recorder::images::ImageRef;
use reprise_recorder::trace::{config_from_header, entry_from_record, images_from_header};
use reprise_traces::{
    BlobHash, Header, PACKED_MAGIC, StreamItem, StreamReader, TraceError, TraceReader, is_packed,
    unpack,
};
use std::io::Cursor;

/// How much of a trace is read in a slice: some milliseconds' work.
const READ_BYTES: usize = 256 << 10;

/// What is passed on at a time, in bytes.
const PASSED_BYTES_MAX: usize = 4 << 20;

/// How often all that has come is read again for what is in it beside records. Who records needs it once, for the files of the
/// start.
const READERS_MAX: u32 = 8;

/// A page holds all of a recording's entries in memory: those of a trace that a person could have recorded.
const ENTRIES_MAX: usize = 1 << 22;

/// Where the bytes come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// They were here at once.
    Here,
    /// What was wanted is fetched.
    Fetched(Want),
    /// The page passes on what it gets from an engine that fetches them.
    Relayed,
}

/// How far the bytes have come.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Rest {
    /// More will come.
    Coming,
    /// There are no more.
    Over,
    /// No more will come, for this reason.
    Lost(String),
}

/// What a slice of reading leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reading {
    /// There is more to read at once.
    More,
    /// More bytes have to come.
    Waits,
    /// All has been read.
    Over,
}

/// A trace that is arriving. See the module's documentation.
#[derive(Debug)]
pub(crate) struct Arrival {
    origin: Origin,
    bytes: Vec<u8>,
    rest: Rest,
    /// How many bytes there will be; 0 while that is not known.
    total: u64,
    /// How many of them the stream has been fed.
    fed: usize,
    /// How many of them have been passed on.
    passed_on: usize,
    stream: StreamReader,
    /// What has been read and not been taken yet.
    entries: Vec<Entry>,
    entry_count: usize,
    /// What the guest fetched, likewise, and how many annotations of that there were.
    news: Vec<FetchNews>,
    news_count: usize,
    news_bytes: usize,
    /// Nothing that follows is part of the recording: it is damaged, or cannot be.
    is_cut: bool,
    /// Why it was cut, where it was not damage.
    flaw: Option<String>,
    /// How many readers were opened for blobs.
    reader_count: u32,
}

impl Arrival {
    fn new(origin: Origin) -> Self {
        Self {
            origin,
            bytes: Vec::new(),
            rest: Rest::Coming,
            total: 0,
            fed: 0,
            passed_on: 0,
            stream: StreamReader::new(),
            entries: Vec::new(),
            entry_count: 0,
            news: Vec::new(),
            news_count: 0,
            news_bytes: 0,
            is_cut: false,
            flaw: None,
            reader_count: 0,
        }
    }

    /// A trace that is here.
    pub(crate) fn here(bytes: Vec<u8>) -> Self {
        Self {
            total: bytes.len() as u64,
            bytes,
            rest: Rest::Over,
            ..Self::new(Origin::Here)
        }
    }

    /// One that is fetched; nothing of it is there yet.
    pub(crate) fn fetched(want: Want) -> Self {
        Self::new(Origin::Fetched(want))
    }

    /// One that the page passes on; nothing of it is there yet.
    pub(crate) fn relayed() -> Self {
        Self::new(Origin::Relayed)
    }

    /// What it is fetched by.
    pub(crate) fn want(&self) -> Option<&Want> {
        match &self.origin {
            Origin::Fetched(want) => Some(want),
            Origin::Here | Origin::Relayed => None,
        }
    }

    /// Whether the page passes it on.
    pub(crate) fn is_relayed(&self) -> bool {
        self.origin == Origin::Relayed
    }

    /// Takes the next bytes.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        if self.rest != Rest::Coming {
            return;
        }
        if self.bytes.try_reserve(bytes.len()).is_ok() {
            self.bytes.extend_from_slice(bytes);
        } else {
            self.rest = Rest::Lost("there is no memory for more of it".to_owned());
        }
    }

    /// No more bytes will come: there are no more, or they cannot be had.
    pub(crate) fn end(&mut self, end: Result<(), String>) {
        if self.rest == Rest::Coming {
            self.rest = match end {
                Ok(()) => Rest::Over,
                Err(reason) => Rest::Lost(reason),
            };
        }
    }

    /// Nothing more of it is used: what follows cannot be, for this reason.
    pub(crate) fn cut(&mut self, reason: String) {
        self.is_cut = true;
        self.flaw = Some(reason.clone());
        self.rest = Rest::Lost(reason);
    }

    /// Why what follows cannot be.
    pub(crate) fn flaw(&self) -> Option<&str> {
        self.flaw.as_deref()
    }

    /// How many bytes there will be.
    pub(crate) fn expect(&mut self, total: u64) {
        self.total = total;
    }

    /// How many bytes have come, and of how many; 0 where that is not known.
    pub(crate) fn progress(&self) -> (u64, u64) {
        let done = self.bytes.len() as u64;
        let is_over = self.rest != Rest::Coming;
        // What a server says of its length may be anything.
        let total = if is_over || done > self.total && self.total > 0 {
            done
        } else {
            self.total
        };
        (done, total)
    }

    /// Why the rest of it cannot be had.
    pub(crate) fn loss(&self) -> Option<&str> {
        match &self.rest {
            Rest::Lost(reason) => Some(reason),
            Rest::Coming | Rest::Over => None,
        }
    }

    /// The next piece of what has come of a fetched trace, to be passed on to another engine.
    pub(crate) fn pass_on(&mut self) -> Option<Vec<u8>> {
        let end = (self.passed_on + PASSED_BYTES_MAX).min(self.bytes.len());
        if !self.has_more_to_pass_on() {
            return None;
        }
        let new = self.bytes[self.passed_on..end].to_vec();
        self.passed_on = end;
        Some(new)
    }

    /// Whether there is another such piece.
    pub(crate) fn has_more_to_pass_on(&self) -> bool {
        self.want().is_some() && self.passed_on < self.bytes.len()
    }

    /// Whether there is something new to be read or told.
    pub(crate) fn has_news(&self) -> bool {
        self.fed < self.bytes.len() || self.rest != Rest::Coming || self.has_more_to_pass_on()
    }

    /// All bytes so far.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its header, once that has been read.
    pub(crate) fn header(&self) -> Option<&Header> {
        self.stream.header()
    }

    /// The images that it starts from.
    pub(crate) fn images(&self) -> Vec<ImageRef> {
        self.header().map(images_from_header).unwrap_or_default()
    }

    /// Whether anything of what happens in it has been read.
    pub(crate) fn has_begun(&self) -> bool {
        self.entry_count > 0
    }

    /// Up to where everything is known that happens.
    pub(crate) fn known_to(&self) -> Icount {
        // A record that is no event may stand between an event and the idle jump that was made for it.
        Icount(self.stream.last_icount().saturating_sub(1))
    }

    /// What has been read since it was asked last.
    pub(crate) fn take_entries(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries)
    }

    /// What has been read of what the guest fetched, since it was asked last.
    pub(crate) fn take_news(&mut self) -> impl Iterator<Item = Message> + use<> {
        std::mem::take(&mut self.news)
            .into_iter()
            .map(Message::Fetch)
    }

    /// All of its bytes.
    pub(crate) fn into_bytes(self) -> Bytes {
        Bytes::new(self.bytes)
    }

    /// Reads on, for a slice.
    ///
    /// # Errors
    /// When what has come is no trace, or one of which this machine makes nothing. What was read before is sound.
    pub(crate) fn read_on(&mut self) -> Result<Reading, Refusal> {
        let is_begin = self.fed == 0;
        if is_begin && self.rest == Rest::Coming && self.bytes.len() < PACKED_MAGIC.len() {
            return Ok(Reading::Waits);
        }
        if is_begin && is_packed(&self.bytes) {
            // It is small, and one piece.
            match self.rest {
                Rest::Coming => return Ok(Reading::Waits),
                Rest::Over => self.bytes = unpack(&self.bytes)?,
                Rest::Lost(_) => return Ok(Reading::Over),
            }
        }
        let end = self.bytes.len().min(self.fed + READ_BYTES);
        if !self.is_cut {
            let had_header = self.header().is_some();
            self.stream.feed(&self.bytes[self.fed..end]);
            self.fed = end;
            self.drain()?;
            if let (false, Some(header)) = (had_header, self.header()) {
                config_from_header(header)?;
            }
        }
        self.fed = end;
        Ok(match self.rest {
            _ if self.fed < self.bytes.len() => Reading::More,
            Rest::Coming => Reading::Waits,
            Rest::Over | Rest::Lost(_) => Reading::Over,
        })
    }

    /// Takes what the stream has made of what it was fed.
    fn drain(&mut self) -> Result<(), Refusal> {
        let bytes = &self.bytes[..self.fed];
        let mut reader = None;
        loop {
            match self.stream.next_item() {
                Ok(Some(StreamItem::Record(record))) => {
                    if let Some(news) = news_from_annotation(&record)
                        && self.news_count < ANNOTATIONS_MAX
                        && self.news_bytes + text_bytes(&news) <= TEXT_BYTES_MAX
                    {
                        self.news_count += 1;
                        self.news_bytes += text_bytes(&news);
                        self.news.push(news);
                    }
                    let entry =
                        entry_from_record(record, &mut |hash| blob(&mut reader, bytes, hash))?;
                    self.entry_count += usize::from(entry.is_some());
                    self.entries.extend(entry);
                    if self.entry_count > ENTRIES_MAX {
                        return Err(because(format!(
                            "the trace has more than {ENTRIES_MAX} events, too many for a page: replay it with the command line"
                        )));
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) if error.is_damage() => {
                    self.is_cut = true;
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.reader_count += u32::from(reader.is_some());
        if self.reader_count > READERS_MAX {
            return Err(because(
                "the trace has its files in too many places for a page: replay it with the command line",
            ));
        }
        Ok(())
    }

    /// Whether all of it was read, to the end that it says itself.
    pub(crate) fn is_complete(&self) -> bool {
        self.stream.is_complete() && !self.is_cut
    }

    /// Takes the images that have come with it into the library.
    pub(crate) fn unpack_images(&self, library: &mut Library) -> Result<(), Refusal> {
        let mut reader = None;
        for image in self.images() {
            let hash = BlobHash(image.hash.0);
            if library.image(&image.hash).is_none() && self.stream.has_blob(&hash) {
                library.insert(blob(&mut reader, &self.bytes[..self.fed], &hash)?);
            }
        }
        Ok(())
    }
}

type PartReader<'a> = TraceReader<Cursor<&'a [u8]>>;

/// A blob that has come. The reader is kept, as opening it reads all that has come.
fn blob<'b>(
    reader: &mut Option<PartReader<'b>>,
    bytes: &'b [u8],
    hash: &BlobHash,
) -> Result<Vec<u8>, TraceError> {
    let reader = match reader {
        Some(reader) => reader,
        None => reader.insert(TraceReader::open_indexed(Cursor::new(bytes))?),
    };
    reader.blob(hash)
}
