//! The engine behind the page, natively, as a page drives it: requests in, messages out, images handed in.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod arrival;
mod container;
mod disk;
mod fetch;
mod gdb;
mod signal;
mod workspace;

use super::support::{folder, guest, record, replay};
use super::time_travel::{Recorded, What};
use reprise_core::image::ImageHash;
use reprise_core::types::{GuestTime, NANOSECONDS_PER_TICK};
use reprise_recorder::timeline::unhurried;
use reprise_worker::engine::{Engine, Next};
use reprise_worker::protocol::{
    Boot, Command, Direction, IndexPart, Input, InputKind, Look, Message, Position, Printed,
    Recording, Request, RequestId, StepUnit, StopKind, StopPoint, Target, TerminalSize, Thread,
    TraceSource, View, Want, decode, encode,
};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

/// A test that takes longer hangs.
const TEST_TIME_MAX: Duration = Duration::from_secs(300);

/// Whoever hosts an engine, with all that it has said.
struct Page {
    engine: Engine,
    began: Instant,
    id: RequestId,
    messages: Vec<Message>,
    /// Bytes of the console.
    console: Vec<u8>,
    /// A disk that the site has.
    disk: Option<disk::Disk>,
    /// A site with a container.
    site: Option<container::Site>,
    /// A folder that the person has picked.
    folder: Option<workspace::Folder>,
}

impl Page {
    fn new() -> Self {
        Self {
            engine: Engine::new(),
            began: Instant::now(),
            id: 0,
            messages: Vec::new(),
            console: Vec::new(),
            disk: None,
            site: None,
            folder: None,
        }
    }

    fn send(&mut self, command: Command) -> RequestId {
        self.id += 1;
        let request = Request {
            id: self.id,
            command,
        };
        // Over the wire, as on the page.
        self.engine.receive(decode(&encode(&request)).unwrap());
        self.id
    }

    /// Lets the engine work once. Whether it has more to do at once.
    fn turn(&mut self) -> bool {
        let began = self.began;
        assert!(
            began.elapsed() < TEST_TIME_MAX,
            "it hangs after {:?}:\n{}",
            self.messages.last(),
            String::from_utf8_lossy(&self.console)
        );
        let next = self.engine.turn(&mut || began.elapsed());
        while let Some(message) = self.engine.take_message() {
            let message: Message = decode(&encode(&message)).unwrap();
            if let Message::Console(printed) = &message {
                for Printed { bytes, .. } in printed {
                    self.console.extend(bytes);
                }
            }
            self.messages.push(message);
        }
        let mut supplied = false;
        while let Some(want) = self.engine.take_want() {
            let of_folder = self.folder.as_ref().and_then(|folder| folder.fetch(&want));
            let of_site = self.site.as_mut().and_then(|site| site.fetch(&want));
            let supply = match (&mut self.disk, of_folder.or(of_site)) {
                (_, Some(supply)) => supply,
                (Some(disk), None) => disk.fetch(&want),
                (None, None) => fetch(&want),
            };
            self.engine.supply(&want, supply);
            supplied = true;
        }
        match next {
            Next::Now => true,
            Next::At(at) => {
                let wait = at.saturating_sub(began.elapsed());
                std::thread::sleep(wait.min(Duration::from_millis(5)));
                supplied
            }
            Next::Later => supplied,
        }
    }

    /// Sends a request and waits for its answer.
    fn ask(&mut self, command: Command) -> Result<(), String> {
        let id = self.send(command);
        loop {
            self.turn();
            if let Some(answer) = self.answer(id) {
                return answer;
            }
        }
    }

    /// The answer to a request, if there is one yet.
    fn answer(&self, id: RequestId) -> Option<Result<(), String>> {
        let mut messages = self.messages.iter().rev();
        messages.find_map(|message| match message {
            Message::Done { id: done } if *done == id => Some(Ok(())),
            Message::Failed {
                id: failed,
                message,
                ..
            } if *failed == id => Some(Err(message.clone())),
            _ => None,
        })
    }

    /// Sends a request that has to be carried out.
    #[track_caller]
    fn order(&mut self, command: Command) {
        self.ask(command).expect("the request is carried out");
    }

    /// Lets a live machine run until its console holds a text.
    fn wait_for(&mut self, text: &str) {
        let is_there = |console: &[u8]| String::from_utf8_lossy(console).contains(text);
        while !is_there(&self.console) {
            self.turn();
        }
    }

    #[track_caller]
    fn last<T>(&self, pick: impl FnMut(&Message) -> Option<T>) -> T {
        self.messages.iter().rev().find_map(pick).unwrap()
    }

    fn position(&self) -> Position {
        self.last(|message| match message {
            Message::Position(position) => Some(position.clone()),
            _ => None,
        })
    }

    fn recording(&self) -> Recording {
        self.last(|message| match message {
            Message::Opened(recording) => Some(recording.clone()),
            _ => None,
        })
    }

    fn verified(&self) -> String {
        self.last(|message| match message {
            Message::Verified { icount, hash, .. } => Some(format!("icount={icount} hash={hash}")),
            _ => None,
        })
    }

    fn trace(&self) -> Vec<u8> {
        self.last(|message| match message {
            Message::Trace { bytes, .. } => Some(bytes.clone()),
            _ => None,
        })
    }

    fn packed(&self) -> Vec<u8> {
        self.last(|message| match message {
            Message::Trace { packed, .. } => packed.clone(),
            _ => None,
        })
    }

    fn look(&mut self, look: Look) -> View {
        self.order(Command::Look(look));
        self.last(|message| match message {
            Message::Seen { view, .. } => Some(view.clone()),
            _ => None,
        })
    }

    fn index(&self) -> IndexPart {
        let mut all = IndexPart::default();
        for message in &self.messages {
            if let Message::Indexed(part) = message {
                all.calls.extend(part.calls.iter().cloned());
                all.returns.extend(part.returns.iter().copied());
                all.names.extend(part.names.iter().cloned());
                all.switches.extend(part.switches.iter().copied());
            }
        }
        all
    }

    fn open(&mut self, trace: &Path) {
        let bytes = std::fs::read(trace).unwrap();
        self.order(Command::Open(TraceSource::Bytes(bytes)));
    }
}

/// What a search found.
fn hits_of(message: &Message) -> Option<Vec<u64>> {
    match message {
        Message::Hits { icounts, .. } => Some(icounts.clone()),
        _ => None,
    }
}

/// What a site would hand out.
fn fetch(want: &Want) -> Result<Vec<u8>, String> {
    let image = |name: &str| std::fs::read(guest().join(name)).unwrap();
    match want {
        Want::Guest => {
            let told = |name: &str| {
                let bytes = image(name);
                let hash = ImageHash::of(&bytes);
                format!(
                    r#"{{"name":"{name}","hash":"{hash}","byte_len":{}}}"#,
                    bytes.len()
                )
            };
            Ok(format!(
                r#"{{"command_line":"console=hvc0 quiet panic=-1","kernel":{},"initrd":{}}}"#,
                told("Image"),
                told("initrd")
            )
            .into_bytes())
        }
        Want::Image { hash, .. } => ["Image", "initrd"]
            .map(image)
            .into_iter()
            .find(|bytes| ImageHash::of(bytes).to_string() == *hash)
            .ok_or_else(|| "the site does not have it".to_owned()),
        Want::Container { file } => Err(format!("{file}: not found (404)")),
        Want::Folder { .. } | Want::FilePart { .. } => Err("no folder was picked".to_owned()),
        Want::Trace { url, .. } => Err(format!("{url}: not found (404)")),
        Want::ImageTree { .. } | Want::ImagePart { .. } => Err("the site has no disks".to_owned()),
    }
}

fn boot(command: &[&str]) -> Command {
    Command::Boot(Boot {
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        ram_mebibytes: 128,
        seed: [7; 32],
        clock_unix_nanoseconds: 1_700_000_000_000_000_000,
        terminal: TerminalSize {
            columns: 80,
            rows: 24,
        },
        container: None,
        folder: None,
        network: false,
    })
}

#[test]
fn what_a_page_records_replays_everywhere_and_its_past_is_visited() {
    let mut page = Page::new();
    page.order(boot(&[]));
    assert!(page.recording().is_live);
    page.wait_for("# ");
    page.order(Command::Type(b"echo $((6*7))\n".to_vec()));
    page.wait_for("42");
    page.order(Command::Resize(TerminalSize {
        columns: 100,
        rows: 30,
    }));
    page.order(Command::Type(b"stty size\n".to_vec()));
    page.wait_for("30 100");

    // The machine stands still, and its past is there at once.
    page.order(Command::Pause);
    let end = page.position();
    assert!(end.icount > 0 && end.is_at_edge, "{end:?}");
    let View::Hash(hash) = page.look(Look::Hash) else {
        panic!("no hash");
    };
    page.order(Command::Step {
        unit: StepUnit::Cpu,
        direction: Direction::Backward,
        thread: Thread::Cpu,
    });
    assert_eq!(page.position().icount, end.icount - 1);
    let refused = page.ask(Command::Resize(TerminalSize {
        columns: 0,
        rows: 0,
    }));
    assert_eq!(refused, Ok(()));
    page.order(Command::Seek(Target::End));

    // It goes on from there.
    page.order(Command::Resume);
    page.order(Command::Type(b"echo on$((1+1))ward\n".to_vec()));
    page.wait_for("on2ward");
    page.order(Command::Pause);
    page.order(Command::Seek(Target::Icount(end.icount)));
    let View::Hash(again) = page.look(Look::Hash) else {
        panic!("no hash");
    };
    assert_eq!(hash, again, "looking at the past is invisible");

    // The file replays natively.
    page.order(Command::Save {
        embeds_images: false,
    });
    let bytes = page.trace();
    assert!(
        bytes.len() < 2000,
        "a short session is {} bytes",
        bytes.len()
    );
    let folder = folder();
    let trace = folder.path().join("page.rpt");
    std::fs::write(&trace, &bytes).unwrap();
    let native = replay(&trace).expect(0);

    // And in another page, out of a link, it comes to the same hash.
    let packed = page.packed();
    assert!(
        packed.len() + 64 < bytes.len(),
        "{} of {} bytes",
        packed.len(),
        bytes.len()
    );
    let mut other = Page::new();
    other.order(Command::Open(TraceSource::Bytes(packed)));
    let recording = other.recording();
    let typed = |input: &Input| match &input.kind {
        InputKind::Typed(bytes) => Some(bytes.clone()),
        _ => None,
    };
    let typed: Vec<u8> = recording
        .inputs
        .iter()
        .filter_map(typed)
        .flatten()
        .collect();
    assert_eq!(
        String::from_utf8_lossy(&typed),
        "echo $((6*7))\nstty size\necho on$((1+1))ward\n"
    );
    other.order(Command::Index);
    assert_eq!(other.verified(), native.end());
    assert_eq!(other.console, page.console);

    // With its images it needs nothing else.
    page.order(Command::Save {
        embeds_images: true,
    });
    let mut alone = Page::new();
    let id = alone.send(Command::Open(TraceSource::Bytes(page.trace())));
    let mut turns = 0;
    while !alone.messages.contains(&Message::Done { id }) {
        turns += 1;
        assert!(turns < 1000, "it does not open: {:?}", alone.messages);
        alone.engine.turn(&mut || Duration::ZERO);
        assert_eq!(alone.engine.take_want(), None);
        while let Some(message) = alone.engine.take_message() {
            alone.messages.push(message);
        }
    }
}

#[test]
fn a_machine_that_ends_says_so_and_its_past_stays() {
    let mut page = Page::new();
    page.order(boot(&["sh", "-c", "echo done; exit 3"]));
    while !(page.messages.iter()).any(|message| matches!(message, Message::Halted { .. })) {
        page.turn();
    }
    let status = page.last(|message| match message {
        Message::Halted { exit_status } => Some(*exit_status),
        _ => None,
    });
    assert_eq!(status, Some(3));
    assert!(page.ask(Command::Resume).is_err());
    page.order(Command::Pause);
    page.order(Command::Seek(Target::Program));
    assert!(page.position().thread.is_some_and(|(_, name)| name == "sh"));
    page.order(Command::Save {
        embeds_images: false,
    });
    let folder = folder();
    let trace = folder.path().join("ended.rpt");
    std::fs::write(&trace, page.trace()).unwrap();
    replay(&trace).expect(0);
}

#[test]
fn a_trace_is_gone_through_and_stops_are_met_both_ways() {
    let folder = folder();
    let trace = folder.path().join("shell.rpt");
    record(
        &trace,
        5,
        &[],
        &[
            "sh",
            "-c",
            "cat /etc/motd >/dev/null; (i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done); echo one; echo two",
        ],
    )
    .expect(0);
    let native = replay(&trace).expect(0);
    let mut page = Page::new();
    page.open(&trace);
    page.order(Command::Index);
    assert_eq!(page.verified(), native.end());
    let index = page.index();
    let is_ascending = |positions: Vec<u64>| positions.is_sorted();
    assert!(is_ascending(
        index.calls.iter().map(|call| call.icount).collect()
    ));
    assert!(is_ascending(
        index.switches.iter().map(|switch| switch.icount).collect()
    ));
    let motd = (index.calls.iter())
        .find(|call| call.text.starts_with("openat(AT_FDCWD, \"/etc/motd\""))
        .unwrap_or_else(|| panic!("no openat of {} calls", index.calls.len()));
    let opened = (index.returns.iter())
        .find(|returned| returned.call == motd.icount)
        .unwrap();
    assert!(opened.value >= 0 && opened.icount > motd.icount);
    assert!(index.names.iter().any(|name| name.name == "cat"));
    let two = (index.calls.iter())
        .find(|call| call.text.contains("\"two\\n\""))
        .unwrap();

    // What it says is where a stop stops.
    let writes = StopPoint {
        id: 9,
        process: None,
        kind: StopKind::SystemCall(Some("write".to_owned())),
        name: None,
    };
    page.order(Command::SetStops(vec![writes.clone()]));
    page.order(Command::Seek(Target::Icount(two.icount + 1)));
    page.order(Command::Run {
        direction: Direction::Backward,
    });
    let position = page.position();
    assert_eq!((position.icount, &position.stops), (two.icount, &vec![9]));
    page.order(Command::FindHits(writes.clone()));
    let hits = page.last(hits_of);
    let calls: Vec<u64> = (index.calls.iter())
        .filter(|call| call.text.starts_with("write("))
        .map(|call| call.icount)
        .collect();
    assert_eq!(hits, calls);
    assert_eq!(page.position().icount, two.icount, "a search moves nobody");

    // Parts of the recording are searched by others, each by itself.
    let end = page.recording().end;
    let exec = StopPoint {
        id: 10,
        process: None,
        kind: StopKind::Exec,
        name: None,
    };
    page.order(Command::FindHits(exec.clone()));
    let execs = page.last(hits_of);
    assert!(!execs.is_empty());
    for (stop, expected) in [(writes, &calls), (exec.clone(), &execs)] {
        let edges = vec![execs[0] - 1, execs[0], calls[0], calls[1] + 1];
        for cuts in [vec![], vec![calls[1]], edges] {
            let mut found = BTreeSet::new();
            let ends = [cuts.as_slice(), &[end]].concat();
            let mut from = 0;
            for to in ends {
                let mut other = Page::new();
                other.open(&trace);
                let at = two.icount;
                let stop = stop.clone();
                other.order(Command::FindHitsIn { stop, at, from, to });
                found.extend(other.last(hits_of));
                from = to;
            }
            assert!(
                found.iter().eq(expected),
                "{cuts:?}: {found:?}, {expected:?}"
            );
        }
    }
    let too_far = Command::FindHitsIn {
        stop: exec,
        at: 0,
        from: 0,
        to: end + 1,
    };
    assert!(page.ask(too_far).unwrap_err().contains("no such part"));
    page.order(Command::Seek(Target::Start));
    let mut met = Vec::new();
    loop {
        page.order(Command::Run {
            direction: Direction::Forward,
        });
        if page.position().is_at_edge {
            break;
        }
        met.push(page.position().icount);
    }
    assert_eq!(met, calls);

    // A step over a call that waits for another process takes as long as that, both ways, and is done in slices.
    let waits = (index.calls.iter()).filter(|call| call.text.starts_with("wait"));
    let waits = waits.filter_map(|call| {
        let returned = (index.returns.iter()).find(|returned| returned.call == call.icount)?;
        Some((call, returned))
    });
    let (wait, waited) = waits
        .max_by_key(|(call, returned)| returned.icount - call.icount)
        .unwrap();
    page.order(Command::SetStops(Vec::new()));
    page.order(Command::Seek(Target::Icount(wait.icount)));
    let mut step = |direction| {
        let told = page.messages.len();
        page.order(Command::Step {
            unit: StepUnit::Instruction,
            direction,
            thread: Thread::Task(wait.tid),
        });
        let is_progress = |message: &&Message| matches!(message, Message::Progress { .. });
        let slices = page.messages[told..].iter().filter(is_progress).count();
        assert!(slices > 1, "{slices}");
        page.position().icount
    };
    assert!(step(Direction::Forward) > waited.icount);
    assert_eq!(step(Direction::Backward), wait.icount);

    // The panels' questions.
    page.order(Command::Seek(Target::Icount(two.icount)));
    let View::Registers(registers) = page.look(Look::Registers(Thread::Current)) else {
        panic!("no registers");
    };
    assert!(
        registers
            .iter()
            .any(|register| register.name == "a7" && register.value == 64)
    );
    let View::Disassembly(code) = page.look(Look::Disassembly {
        thread: Thread::Current,
        address: None,
        before: 8,
        after: 8,
    }) else {
        panic!("no instructions");
    };
    assert_eq!(code.len(), 16);
    assert_eq!(code[8].text, "ecall");
    let View::Threads(threads) = page.look(Look::Threads) else {
        panic!("no threads");
    };
    assert!(
        threads
            .iter()
            .any(|thread| thread.is_current && thread.name == "sh")
    );
}

#[test]
fn long_steps_by_line_and_seeks_by_time_are_done_in_slices() {
    let recorded = Recorded::new(What::Race);
    let mut page = Page::new();
    page.open(&recorded.path(false));
    page.order(Command::Seek(Target::Program));
    let source = include_str!("../../../guest/demos/race.c");
    let join = (source.lines()).position(|line| line.contains("pthread_join(workers[i]"));
    let join = format!("race.c:{}", join.unwrap() + 1);
    let stop = StopPoint {
        id: 1,
        process: None,
        kind: StopKind::Breakpoint(join),
        name: None,
    };
    page.order(Command::SetStops(vec![stop]));
    page.order(Command::Run {
        direction: Direction::Forward,
    });
    let here = page.position();
    assert_eq!(here.stops, [1]);
    page.order(Command::SetStops(Vec::new()));

    // The call waits until a worker has done its work.
    let over = |direction| Command::Step {
        unit: StepUnit::LineOver,
        direction,
        thread: Thread::Task(here.thread.as_ref().unwrap().0),
    };
    let is_progress = |message: &Message| matches!(message, Message::Progress { .. });
    let slices_of = |messages: &[Message]| {
        messages
            .iter()
            .filter(|message| is_progress(message))
            .count()
    };
    let told = page.messages.len();
    page.order(over(Direction::Forward));
    let slices = slices_of(&page.messages[told..]);
    assert!(slices > 4, "{slices}");
    let behind = page.position();
    assert!(behind.icount > here.icount + (8 << 20), "{behind:?}");

    // It ends when somebody says so, where it has got to.
    page.order(Command::Seek(Target::Icount(here.icount)));
    let told = page.messages.len();
    let id = page.send(over(Direction::Forward));
    while slices_of(&page.messages[told..]) < 2 {
        page.turn();
    }
    page.order(Command::Cancel);
    let is_cancelled = page.last(|message| match message {
        Message::Failed {
            id: failed,
            is_cancelled,
            ..
        } if *failed == id => Some(*is_cancelled),
        _ => None,
    });
    assert!(is_cancelled);
    let cut = page.position().icount;
    assert!((here.icount + 1..behind.icount).contains(&cut), "{cut}");
    // A step from there is another one.
    page.order(Command::Seek(Target::Icount(here.icount)));
    page.order(over(Direction::Forward));
    assert_eq!(page.position().icount, behind.icount);
    let told = page.messages.len();
    page.order(over(Direction::Backward));
    assert!(slices_of(&page.messages[told..]) > 1);

    // Guest time is looked for all over the recording.
    let mut timeline = recorded.timeline(256, false);
    for time in [0, 1, here.nanoseconds, behind.nanoseconds - 1, u64::MAX] {
        let told = page.messages.len();
        page.order(Command::Seek(Target::Time(time)));
        let slices = slices_of(&page.messages[told..]);
        assert!(slices > 4, "{time}: {slices}");
        let time = GuestTime(time / NANOSECONDS_PER_TICK);
        let status = timeline.seek_time(time, &mut unhurried).unwrap();
        assert_eq!(page.position().icount, status.icount.0);
    }
}

#[test]
fn bad_traces_and_missing_files_are_told_and_the_page_goes_on() {
    let folder = folder();
    let trace = folder.path().join("true.rpt");
    record(&trace, 5, &[], &["true"]).expect(0);
    let bytes = std::fs::read(&trace).unwrap();
    let mut page = Page::new();
    let open = |bytes: Vec<u8>| Command::Open(TraceSource::Bytes(bytes));
    let mut damaged = bytes.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x10;
    assert!(page.ask(open(b"not a trace".to_vec())).is_err());
    assert!(page.ask(open(Vec::new())).is_err());
    // What lies before the damage can still be looked at, and it is said that it is not all.
    let found = page.ask(open(damaged));
    assert!(found.is_err() || page.recording().is_incomplete);
    let missing = page.ask(Command::Open(TraceSource::Url("gone.rpt".to_owned())));
    assert_eq!(missing, Err("gone.rpt: not found (404)".to_owned()));
    assert!(page.ask(Command::Seek(Target::End)).is_err());
    let huge = Command::Boot(Boot {
        ram_mebibytes: 1 << 20,
        ..match boot(&[]) {
            Command::Boot(boot) => boot,
            _ => unreachable!(),
        }
    });
    let refused = page.ask(huge).unwrap_err();
    assert!(refused.contains("MiB of RAM"), "{refused}");
    page.order(open(bytes));
    page.order(Command::Index);
    assert_eq!(page.verified(), replay(&trace).expect(0).end());
}
