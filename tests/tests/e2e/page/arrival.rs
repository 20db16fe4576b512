//! A trace that is replayed while the rest of it is still coming: it is the same recording, as far as it has come.

use super::super::support::{finish, reprise};
use super::gdb::packet;
use super::*;
use reprise_traces::{
    BlobHash, Compression, ConsolePort, EndReason, Event, Record, Start, StartFile, TraceReader,
    TraceWriter,
};
use std::io::Cursor;

const URL: &str = "https://elsewhere.example/recording.rpt";

/// Bytes that come at a time.
const PART_BYTES: usize = 10_000;

impl Page {
    /// Asks for a trace by its address. What it is fetched by.
    fn fetch_trace(&mut self) -> (RequestId, Want) {
        let id = self.send(Command::Open(TraceSource::Url(URL.to_owned())));
        let began = self.began;
        self.engine.turn(&mut || began.elapsed());
        let want = self.engine.take_want().unwrap();
        assert!(matches!(&want, Want::Trace { url, .. } if url == URL));
        (id, want)
    }

    /// Hands in bytes as they would come, and does with them what there is to do.
    fn supply_parts(&mut self, want: &Want, bytes: &[u8]) {
        for part in bytes.chunks(PART_BYTES) {
            self.engine.supply_part(want, part);
            self.settle();
        }
    }

    /// The same, until the recording goes on to a position. How many bytes that took.
    fn supply_parts_to(&mut self, want: &Want, bytes: &[u8], icount: u64) -> usize {
        let mut length = 0;
        for part in bytes.chunks(PART_BYTES) {
            if self.extent().0 >= icount {
                break;
            }
            self.supply_parts(want, part);
            length += part.len();
        }
        length
    }

    /// Works until there is nothing left to do.
    fn settle(&mut self) {
        while self.turn() {}
    }

    /// Passes on to this page what the other one has of the trace.
    fn take_parts(&mut self, from: &Page, passed: &mut usize) {
        for message in &from.messages[*passed..] {
            if let Message::TracePart { bytes, is_last } = message.clone() {
                self.send(Command::TracePart { bytes, is_last });
            }
        }
        *passed = from.messages.len();
        self.settle();
    }

    /// How far it has come: the last position, and how many inputs were told.
    fn extent(&self) -> (u64, usize) {
        let mut extent = (0, 0);
        for message in &self.messages {
            match message {
                Message::Opened(recording) => extent = (recording.end, recording.inputs.len()),
                Message::Arriving { end, inputs, .. } => extent = (*end, extent.1 + inputs.len()),
                _ => {}
            }
        }
        extent
    }

    fn arrived(&self) -> Option<(Recording, Option<String>)> {
        (self.messages.iter().rev()).find_map(|message| match message {
            Message::Arrived { recording, failure } => Some((recording.clone(), failure.clone())),
            _ => None,
        })
    }

    fn hash_at(&mut self, icount: u64) -> String {
        self.order(Command::Seek(Target::Icount(icount)));
        assert_eq!(self.position().icount, icount);
        match self.look(Look::Hash) {
            View::Hash(hash) => hash,
            other => panic!("{other:?} is no hash"),
        }
    }
}

/// A recording with many keyframes, so that it has bytes between its events.
fn indexed() -> Vec<u8> {
    let recorded = Recorded::new(What::Typed);
    let folder = folder();
    let path = folder.path().join("indexed.rpt");
    let mut index = reprise();
    index.arg("index").arg(recorded.path(false));
    index.arg("-o").arg(&path).args(["--every", "1048576"]);
    finish(&mut index).expect(0);
    let bytes = std::fs::read(path).unwrap();
    assert!(bytes.len() > 200 * PART_BYTES, "{} bytes", bytes.len());
    bytes
}

fn exec() -> StopPoint {
    StopPoint {
        id: 1,
        process: None,
        kind: StopKind::Exec,
        name: None,
    }
}

/// A trace of the recording's machine with these records behind its start, each in a chunk of its own.
fn trace_of(recorded: &[u8], records: &[Record]) -> Vec<u8> {
    let mut reader = TraceReader::open(Cursor::new(recorded)).unwrap();
    let header = reader.header().clone();
    let start = reader.next_record().unwrap().unwrap();
    let mut writer = TraceWriter::create(Vec::new(), &header, Compression::Live).unwrap();
    writer.add_blob(b"content").unwrap();
    for record in [&start].into_iter().chain(records) {
        writer.push(record).unwrap();
        writer.flush_chunk().unwrap();
    }
    let last = records.last().unwrap().icount();
    let end = Record::End {
        icount: last + 1,
        reason: EndReason::Stopped,
        exit_status: None,
    };
    writer.push(&end).unwrap();
    writer.finish().unwrap().0
}

fn typed(icount: u64, skip: u64, bytes: &[u8]) -> Record {
    Record::Event(Event {
        icount,
        skip,
        input: reprise_traces::Input::ConsoleInput {
            port: ConsolePort(0),
            bytes: bytes.to_vec(),
        },
    })
}

#[test]
fn what_contradicts_itself_on_its_way_ends_the_recording_before_that() {
    let hash = Record::StateHash {
        icount: 2000,
        components: vec![0; 5],
    };
    // An idle jump that would have been made before the hash was taken.
    let bytes = trace_of(
        &indexed(),
        &[typed(1000, 0, b"a"), hash, typed(2000, 5, b"b")],
    );
    let mut whole = Page::new();
    let refused = whole.ask(Command::Open(TraceSource::Bytes(bytes.clone())));
    let why = refused.unwrap_err();
    assert!(why.contains("cannot stand where it does"), "{why}");

    let mut page = Page::new();
    let (_, want) = page.fetch_trace();
    for part in bytes.chunks(16) {
        page.supply_parts(&want, part);
    }
    page.engine.supply(&want, Ok(Vec::new()));
    page.settle();
    assert!(page.recording().is_arriving, "it was open before");
    let (recording, failure) = page.arrived().unwrap();
    assert!(failure.unwrap().contains("cannot stand where it does"));
    assert!(recording.is_incomplete);
    assert_eq!((recording.end, recording.inputs.len()), (2000, 2));
    let saved = page.ask(Command::Save {
        embeds_images: false,
    });
    assert!(saved.unwrap_err().contains("cannot be saved"));

    // The page's other engine comes as far, whether it was open before or not.
    let mut reader = Page::new();
    reader.order(Command::Close);
    let opened = reader.send(Command::Open(TraceSource::Parts));
    reader.take_parts(&page, &mut 0);
    assert_eq!(reader.answer(opened), Some(Ok(())));
    assert_eq!(reader.recording().end, 2000);
}

#[test]
fn files_in_many_places_of_a_trace_are_refused() {
    let mut noise = 1_u32;
    let mut records = Vec::new();
    for number in 1..=20 {
        let mut bytes = vec![0; 60 << 10];
        for byte in &mut bytes {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (noise >> 24) as u8;
        }
        records.extend((0..5).map(|_| typed(number, 0, &bytes)));
        let file = StartFile {
            path: b"/file".to_vec(),
            mode: 0o644,
            content: BlobHash::of(b"content"),
        };
        let start = Start {
            command: Vec::new(),
            environment: Vec::new(),
            working_directory: Vec::new(),
            clock_unix_nanoseconds: 0,
            seed: [0; 32],
            interactive: false,
            terminal: reprise_traces::TerminalSize {
                columns: 80,
                rows: 24,
            },
            files: vec![file],
        };
        records.push(Record::Event(Event {
            icount: number,
            skip: 0,
            input: reprise_traces::Input::Start(Box::new(start)),
        }));
    }
    let bytes = trace_of(&indexed(), &records);
    let mut page = Page::new();
    let refused = page.ask(Command::Open(TraceSource::Bytes(bytes)));
    assert!(refused.unwrap_err().contains("in too many places"));
}

#[test]
fn a_trace_comes_while_gdb_has_diverted_from_it() {
    let bytes = indexed();
    let mut whole = Page::new();
    whole.order(Command::Open(TraceSource::Bytes(bytes.clone())));
    let all = whole.recording();
    let mut page = Page::new();
    let (_, want) = page.fetch_trace();
    let come = page.supply_parts_to(&want, &bytes, all.end / 2);
    let end = page.extent().0;
    page.order(Command::Seek(Target::Icount(end / 2)));
    page.order(Command::AttachGdb);
    page.gdb_says(&packet("QStartNoAckMode"));
    page.gdb_says(&packet("P1=0123456789abcdef"));
    page.supply_parts(&want, &bytes[come..]);
    page.engine.supply(&want, Ok(Vec::new()));
    page.settle();
    assert_eq!(page.arrived(), Some((all.clone(), None)));
    assert_eq!(page.extent(), (all.end, all.inputs.len()));
    page.order(Command::DetachGdb);
    assert_eq!(page.hash_at(all.end), whole.hash_at(all.end));
}

#[test]
fn a_trace_is_replayed_before_all_of_it_has_come() {
    let bytes = indexed();
    let mut whole = Page::new();
    whole.order(Command::Open(TraceSource::Bytes(bytes.clone())));
    whole.order(Command::Index);
    let all = whole.recording();

    let mut page = Page::new();
    let (id, want) = page.fetch_trace();
    page.engine.fetched(&want, 0, bytes.len() as u64);
    let mut come = page.supply_parts_to(&want, &bytes, all.end / 10 * 9);
    assert_eq!(page.answer(id), Some(Ok(())), "it is open");
    let recording = page.recording();
    assert!(recording.is_arriving && !recording.is_incomplete);
    assert_eq!(recording.trace_byte_len, bytes.len() as u64);
    assert_eq!(recording.command, all.command);
    let (end, inputs) = page.extent();
    assert!(0 < end && end < all.end, "{end} of {}", all.end);
    assert!(0 < inputs && inputs < all.inputs.len(), "{inputs}");

    // What is here is the recording up to there.
    page.order(Command::Seek(Target::End));
    assert_eq!(page.position().icount, end);
    for at in [end, end / 2, end - 1] {
        assert_eq!(page.hash_at(at), whole.hash_at(at), "at {at}");
    }

    // Another engine reads it through as the first one gets it.
    let mut reader = Page::new();
    let mut passed = 0;
    let read = reader.send(Command::Open(TraceSource::Parts));
    let indexed = reader.send(Command::Index);
    reader.take_parts(&page, &mut passed);
    assert_eq!(reader.answer(read), Some(Ok(())));
    assert_eq!(reader.answer(indexed), None, "it waits for the rest");
    let printed = reader.console.len();
    assert!(
        0 < printed && printed < whole.console.len(),
        "{printed} of {} at {end} of {}",
        whole.console.len(),
        all.end
    );
    assert!(whole.console.starts_with(&reader.console));

    // What is about all of it has to wait.
    for command in [
        Command::FindHits(exec()),
        Command::Save {
            embeds_images: false,
        },
    ] {
        let refused = page.ask(command).unwrap_err();
        assert!(refused.contains("not come as a whole yet"), "{refused}");
    }

    // A run that ends where it ends for now goes on when more has come.
    page.order(Command::Seek(Target::End));
    come += page.supply_parts_to(&want, &bytes[come..], end + (all.end - end) / 2);
    let (later, _) = page.extent();
    assert!(end < later && later < all.end, "{later}");
    assert_eq!(page.position().icount, end);
    page.order(Command::Run {
        direction: Direction::Forward,
    });
    assert_eq!(page.position().icount, later);
    assert_eq!(page.hash_at(later), whole.hash_at(later));
    reader.take_parts(&page, &mut passed);
    assert!(reader.console.len() > printed);

    page.supply_parts(&want, &bytes[come..]);
    assert_eq!(page.arrived(), None, "nobody has said that this is all");
    page.engine.supply(&want, Ok(Vec::new()));
    page.settle();
    assert_eq!(page.arrived(), Some((all.clone(), None)));
    assert_eq!(page.extent(), (all.end, all.inputs.len()));
    page.order(Command::Seek(Target::End));
    assert_eq!(page.position().icount, all.end);
    assert_eq!(page.hash_at(all.end), whole.hash_at(all.end));
    assert_eq!(page.hash_at(end), whole.hash_at(end));
    page.order(Command::Save {
        embeds_images: false,
    });
    assert!(page.trace() == bytes, "it is the file");

    reader.take_parts(&page, &mut passed);
    assert_eq!(reader.answer(indexed), Some(Ok(())));
    assert_eq!(reader.verified(), whole.verified());
    assert!(reader.console == whole.console);
    assert_eq!(reader.index(), whole.index());
    assert_eq!(reader.arrived(), Some((all, None)));
}

#[test]
fn a_trace_that_breaks_off_or_is_damaged_on_its_way_replays_up_to_there() {
    let bytes = indexed();
    let lost = "the trace broke off while it was fetched: try again";

    let mut page = Page::new();
    let (_, want) = page.fetch_trace();
    let at = page.supply_parts_to(&want, &bytes, 20_000_000);
    let mut reader = Page::new();
    let mut passed = 0;
    reader.send(Command::Open(TraceSource::Parts));
    let read = reader.send(Command::Index);
    reader.take_parts(&page, &mut passed);
    page.engine.supply(&want, Err(lost.to_owned()));
    page.settle();
    let (recording, failure) = page.arrived().unwrap();
    assert!(recording.is_incomplete);
    assert!(failure.is_some_and(|failure| failure.ends_with(lost)));
    let end = page.extent().0;
    assert_eq!(recording.end, end);
    let cut = page.hash_at(end);
    // What reads it through goes as far, though nothing happens there.
    reader.take_parts(&page, &mut passed);
    assert_eq!(reader.answer(read), Some(Ok(())));
    assert_eq!(reader.verified(), format!("icount={end} hash={cut}"));

    // The same bytes as a file.
    let mut file = Page::new();
    file.order(Command::Open(TraceSource::Bytes(bytes[..at].to_vec())));
    assert_eq!(file.recording(), recording);
    assert_eq!(file.hash_at(end), cut);
    file.order(Command::Index);
    assert_eq!(file.verified(), reader.verified());
    file.order(Command::FindHitsIn {
        stop: exec(),
        at: 0,
        from: recording.keyframes[0],
        to: end,
    });
    page.order(Command::Save {
        embeds_images: false,
    });
    assert!(page.trace() == bytes[..at]);

    let mut damaged = bytes;
    damaged[at] ^= 1;
    let mut file = Page::new();
    file.order(Command::Open(TraceSource::Bytes(damaged.clone())));
    let mut page = Page::new();
    let (_, want) = page.fetch_trace();
    page.supply_parts(&want, &damaged);
    page.engine.supply(&want, Ok(Vec::new()));
    page.settle();
    let (recording, failure) = page.arrived().unwrap();
    assert_eq!(failure, None, "all bytes have come");
    assert!(recording.is_incomplete);
    assert_eq!(file.recording(), recording);

    // Before anything of it is there, it is no recording.
    let mut page = Page::new();
    let (id, want) = page.fetch_trace();
    page.engine.supply_part(&want, &damaged[..10]);
    page.engine.supply(&want, Err(lost.to_owned()));
    page.settle();
    assert_eq!(page.answer(id), Some(Err(lost.to_owned())));
    let (id, want) = page.fetch_trace();
    page.engine
        .supply_part(&want, b"<!doctype html>, and long enough for a header");
    page.settle();
    let answer = page.answer(id).unwrap().unwrap_err();
    assert!(answer.contains("not a Reprise trace"), "{answer}");
}

#[test]
fn what_has_not_begun_is_cancelled_as_well() {
    let bytes = indexed();
    let mut page = Page::new();
    let opened = page.send(Command::Open(TraceSource::Bytes(bytes.clone())));
    page.send(Command::Cancel);
    page.settle();
    assert_eq!(page.answer(opened), Some(Err("stopped".to_owned())));
    page.order(Command::Open(TraceSource::Bytes(bytes)));
    let long = [
        Command::Seek(Target::End),
        Command::Index,
        Command::Run {
            direction: Direction::Forward,
        },
    ];
    let long = long.map(|command| page.send(command));
    let looked = page.send(Command::Look(Look::Hash));
    page.send(Command::Cancel);
    let later = page.send(Command::Seek(Target::Icount(1000)));
    page.settle();
    for id in long {
        assert_eq!(page.answer(id), Some(Err("stopped".to_owned())));
    }
    assert_eq!(page.answer(looked), Some(Ok(())));
    assert_eq!(page.answer(later), Some(Ok(())));
    assert_eq!(page.position().icount, 1000);
}

#[test]
fn a_trace_that_is_left_while_it_comes_is_not_mixed_with_the_next() {
    let bytes = indexed();
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    let mut page = Page::new();
    let (_, old) = page.fetch_trace();
    page.supply_parts(&old, first);
    page.order(Command::Close);
    let (_, want) = page.fetch_trace();
    page.supply_parts(&want, first);
    page.supply_parts(&old, rest);
    page.engine.supply(&old, Err("it broke off".to_owned()));
    page.supply_parts(&want, rest);
    page.engine.supply(&want, Ok(Vec::new()));
    page.settle();
    let (recording, failure) = page.arrived().unwrap();
    assert!(!recording.is_incomplete);
    assert_eq!(failure, None);

    // Parts are of what was asked for last, begun or not.
    let part = |bytes: &[u8], is_last| Command::TracePart {
        bytes: bytes.to_vec(),
        is_last,
    };
    let mut reader = Page::new();
    let left = [
        reader.send(Command::Open(TraceSource::Parts)),
        reader.send(Command::Index),
    ];
    reader.send(part(first, false));
    reader.settle();
    assert_eq!(reader.answer(left[1]), None);
    reader.send(Command::Cancel);
    let between = reader.send(Command::Open(TraceSource::Parts));
    reader.send(part(&rest[..1000], false));
    reader.send(Command::Close);
    reader.send(part(&rest[1000..], false));
    reader.send(Command::Open(TraceSource::Parts));
    let indexed = reader.send(Command::Index);
    reader.send(part(first, false));
    reader.settle();
    assert_eq!(reader.answer(between), Some(Err("stopped".to_owned())));
    reader.send(part(rest, true));
    reader.settle();
    assert_eq!(reader.answer(indexed), Some(Ok(())));
    assert!(!reader.arrived().unwrap().0.is_incomplete);
}
