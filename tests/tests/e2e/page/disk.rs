//! A disk that is read in parts: whatever is done to a recording, it comes to the same as with the whole disk at hand.

use super::super::support::Finished;
use super::gdb::gdb_in;
use super::*;
use reprise_recorder::images::tree::{ImageTree, tree_byte_len};
use std::path::PathBuf;
use tempfile::TempDir;

/// What is fetched at a time.
const PART_BYTES: usize = 1 << 20;

/// Length of the disk: whole blocks but for the last.
const DISK_BYTES: usize = 48 * PART_BYTES + 4096;

/// What the guest does with the disk: reads far apart, reads on, overwrites what it has not read, and reads that.
const SCRIPT: &str = "\
set -e
cd /tmp
for at in 3 40 17 41; do dd if=/dev/vda bs=1M skip=$at count=1 2>/dev/null | md5sum; done
dd if=/dev/vda bs=64k skip=400 count=50 2>/dev/null | md5sum
printf overwritten | dd of=/dev/vda bs=1 seek=30000000 conv=notrunc 2>/dev/null
sync
echo 3 > /proc/sys/vm/drop_caches
dd if=/dev/vda bs=1 skip=30000000 count=11 2>/dev/null
";

/// How a site has the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kept {
    /// Tree and parts.
    InParts,
    /// Tree and, whatever part is asked for, the whole.
    Rangeless,
    /// No tree.
    Whole,
    /// Tree and parts of something else.
    Damaged,
    /// Tree and, from some time on, nothing.
    Gone,
}

/// A disk as a site has it, and what was asked of it.
pub(super) struct Disk {
    kept: Kept,
    bytes: Vec<u8>,
    hash: String,
    /// Where the parts begin that were fetched.
    fetched: Vec<u64>,
}

impl Disk {
    fn new(bytes: &[u8], kept: Kept) -> Self {
        Self {
            kept,
            bytes: bytes.to_vec(),
            hash: ImageHash::of(bytes).to_string(),
            fetched: Vec::new(),
        }
    }

    pub(super) fn fetch(&mut self, want: &Want) -> Result<Vec<u8>, String> {
        match want {
            Want::ImageTree { hash, byte_len, .. } if *hash == self.hash => {
                assert_eq!(Some(*byte_len), tree_byte_len(self.bytes.len() as u64));
                match self.kept {
                    Kept::Whole => Err("no tree".to_owned()),
                    _ => Ok(ImageTree::read(&self.bytes[..])
                        .unwrap()
                        .unwrap()
                        .to_bytes()),
                }
            }
            Want::ImagePart {
                hash,
                byte_len,
                offset,
                length,
                ..
            } if *hash == self.hash => {
                assert_eq!(*byte_len, self.bytes.len() as u64);
                self.fetched.push(*offset);
                let part = self.bytes[*offset as usize..(*offset + *length) as usize].to_vec();
                match self.kept {
                    Kept::Rangeless => Ok(self.bytes.clone()),
                    Kept::Damaged => Ok(vec![0; part.len()]),
                    Kept::Gone => Err("the server does not answer".to_owned()),
                    Kept::InParts | Kept::Whole => Ok(part),
                }
            }
            Want::Image { hash, .. } if *hash == self.hash => {
                assert_eq!(self.kept, Kept::Whole);
                Ok(self.bytes.clone())
            }
            other => fetch(other),
        }
    }
}

/// A recording of the script.
struct Recorded {
    folder: TempDir,
    bytes: Vec<u8>,
    finished: Finished,
}

impl Recorded {
    fn new() -> Self {
        let folder = folder();
        let mut state = 1_u64;
        let bytes: Vec<u8> = (0..DISK_BYTES)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        let disk = folder.path().join("disk.img");
        std::fs::write(&disk, &bytes).unwrap();
        let trace = folder.path().join("disk.rpt");
        let disk = disk.to_str().unwrap();
        let finished = record(&trace, 5, &["--disk", disk], &["/bin/sh", "-c", SCRIPT]).expect(0);
        assert!(
            finished.stdout.ends_with("overwritten"),
            "{}",
            finished.stdout
        );
        Self {
            folder,
            bytes,
            finished,
        }
    }

    fn trace(&self) -> PathBuf {
        self.folder.path().join("disk.rpt")
    }

    /// A page of a site that has the disk.
    fn page(&self, kept: Kept) -> Page {
        let mut page = Page::new();
        page.disk = Some(Disk::new(&self.bytes, kept));
        page.open(&self.trace());
        page
    }
}

/// Goes through the recording; the parts that were fetched for it.
fn gone_through(recorded: &Recorded, kept: Kept) -> Vec<u64> {
    let mut page = recorded.page(kept);
    page.order(Command::Index);
    assert_eq!(page.verified(), recorded.finished.end());
    assert_eq!(
        String::from_utf8_lossy(&page.console).replace("\r\n", "\n"),
        recorded.finished.stdout.replace("\r\n", "\n")
    );
    let mut fetched = page.disk.unwrap().fetched;
    fetched.sort_unstable();
    fetched
}

#[test]
fn a_recording_is_gone_through_with_the_parts_that_it_reads() {
    let recorded = Recorded::new();
    let fetched = gone_through(&recorded, Kept::InParts);
    let all = recorded.bytes.len().div_ceil(PART_BYTES);
    // Linux looks at a disk's first and last blocks for partitions.
    assert!(fetched.len() < all / 2, "{fetched:?}");
    for at in [3_u64, 17, 25, 26, 27, 28, 40, 41] {
        assert!(fetched.contains(&(at << 20)), "{at}: {fetched:?}");
    }
    let mut once = fetched.clone();
    once.dedup();
    assert_eq!(once, fetched, "each is fetched once");
    assert_eq!(gone_through(&recorded, Kept::Rangeless).len(), 1);
    assert!(gone_through(&recorded, Kept::Whole).is_empty());
}

/// What a page answers to some commands, one after the other, each with how it says that it ended.
fn answers(page: &mut Page, commands: &[Command]) -> Vec<String> {
    let mut answers = Vec::new();
    for command in commands {
        let from = page.messages.len();
        let result = page.ask(command.clone());
        let told = page.messages[from..]
            .iter()
            .filter_map(|message| match message {
                Message::Position(position) => Some(format!("{position:?}")),
                Message::Hits { icounts, .. } => Some(format!("{icounts:?}")),
                Message::Seen { view, .. } => Some(format!("{view:?}")),
                _ => None,
            });
        answers.push(format!(
            "{command:?}: {:?} {result:?}",
            told.collect::<Vec<_>>()
        ));
    }
    answers
}

#[test]
fn each_way_to_go_comes_to_the_same_as_with_the_whole_disk() {
    let recorded = Recorded::new();
    let end: u64 = {
        let line = recorded.finished.end();
        let icount = line.strip_prefix("icount=").unwrap();
        icount.split(' ').next().unwrap().parse().unwrap()
    };
    let step = |unit, direction| Command::Step {
        unit,
        direction,
        thread: Thread::Current,
    };
    let stop = StopPoint {
        id: 1,
        kind: StopKind::SystemCall(Some("read".to_owned())),
        process: None,
        name: None,
    };
    let exec = StopPoint {
        id: 2,
        kind: StopKind::Exec,
        process: None,
        name: None,
    };
    let wait = StopPoint {
        id: 3,
        kind: StopKind::SystemCall(Some("wait4".to_owned())),
        process: None,
        name: None,
    };
    let ways: Vec<Vec<Command>> = vec![
        vec![Command::Seek(Target::End), Command::Look(Look::Hash)],
        vec![
            Command::Seek(Target::Program),
            step(StepUnit::SystemCall, Direction::Forward),
            step(StepUnit::SystemCall, Direction::Forward),
            Command::Look(Look::Hash),
        ],
        vec![Command::FindHits(stop.clone())],
        vec![
            Command::Seek(Target::Icount(end / 2)),
            Command::SetStops(vec![stop]),
            Command::Run {
                direction: Direction::Forward,
            },
            step(StepUnit::Cpu, Direction::Forward),
            step(StepUnit::Cpu, Direction::Backward),
            Command::Run {
                direction: Direction::Forward,
            },
            Command::Run {
                direction: Direction::Backward,
            },
            Command::Look(Look::Hash),
        ],
        vec![
            Command::Seek(Target::End),
            Command::SetStops(vec![exec]),
            Command::Run {
                direction: Direction::Backward,
            },
            Command::Look(Look::Hash),
        ],
        vec![
            Command::Seek(Target::Time(1_200_000_000)),
            step(StepUnit::ContextSwitch, Direction::Forward),
            step(StepUnit::ContextSwitch, Direction::Backward),
            step(StepUnit::Instruction, Direction::Forward),
            Command::Look(Look::Hash),
        ],
        // The shell waits for whoever reads, in code without lines.
        vec![
            Command::Seek(Target::Program),
            Command::SetStops(vec![wait]),
            Command::Run {
                direction: Direction::Forward,
            },
            Command::SetStops(Vec::new()),
            step(StepUnit::LineOver, Direction::Forward),
            step(StepUnit::Out, Direction::Forward),
            step(StepUnit::LineInto, Direction::Backward),
            Command::Look(Look::Hash),
        ],
    ];
    for way in ways {
        let mut whole = recorded.page(Kept::Whole);
        let expected = answers(&mut whole, &way);
        let mut page = recorded.page(Kept::InParts);
        assert_eq!(answers(&mut page, &way), expected);
        assert!(!page.disk.unwrap().fetched.is_empty(), "{way:?}");
    }
}

fn pc_of(page: &mut Page) -> u64 {
    let View::Registers(registers) = page.look(Look::Registers(Thread::Cpu)) else {
        panic!("no registers");
    };
    let pc = registers.iter().find(|register| register.name == "pc");
    pc.expect("a program counter").value
}

#[test]
fn a_run_from_a_breakpoint_at_the_very_access_that_waits_passes_it() {
    let recorded = Recorded::new();
    let run = Command::Run {
        direction: Direction::Forward,
    };
    // Every notification of a device begins in this function of Linux's; the store is some steps into it.
    let stop_at = |place: String| {
        Command::SetStops(vec![StopPoint {
            id: 1,
            kind: StopKind::Breakpoint(place),
            process: None,
            name: None,
        }])
    };
    let mut page = recorded.page(Kept::InParts);
    page.order(Command::Seek(Target::Program));
    page.order(stop_at("vm_notify".to_owned()));
    let fetched = |page: &Page| page.disk.as_ref().unwrap().fetched.len();
    let (at, pc) = 'found: loop {
        page.order(run.clone());
        assert!(!page.position().is_at_edge, "nothing is read");
        for _ in 0..64 {
            let (before, at, pc) = (fetched(&page), page.position().icount, pc_of(&mut page));
            page.order(Command::Step {
                unit: StepUnit::Cpu,
                direction: Direction::Forward,
                thread: Thread::Cpu,
            });
            if fetched(&page) > before {
                break 'found (at, pc);
            }
        }
    };
    let met = |kept| {
        let mut page = recorded.page(kept);
        page.order(Command::Seek(Target::Icount(at)));
        page.order(stop_at(format!("{pc:#x}")));
        page.order(run.clone());
        page.position().icount
    };
    let expected = met(Kept::Whole);
    assert!(expected > at);
    assert_eq!(met(Kept::InParts), expected);
}

#[test]
fn a_part_that_cannot_be_had_ends_what_needs_it_and_nothing_else() {
    let recorded = Recorded::new();
    for (kept, why) in [
        (Kept::Damaged, "is not what was recorded"),
        (Kept::Gone, "the server does not answer"),
    ] {
        let mut page = recorded.page(kept);
        let error = page.ask(Command::Seek(Target::End)).unwrap_err();
        assert!(error.contains("disk.img") && error.contains(why), "{error}");
        // It is asked for again, and is there now.
        page.disk = Some(Disk::new(&recorded.bytes, Kept::InParts));
        page.order(Command::Seek(Target::End));
        page.order(Command::Index);
        assert_eq!(page.verified(), recorded.finished.end());
    }
}

#[test]
fn a_disk_in_parts_is_not_put_into_a_file_and_that_is_told() {
    let recorded = Recorded::new();
    let save = Command::Save {
        embeds_images: true,
    };
    let error = recorded.page(Kept::InParts).ask(save.clone()).unwrap_err();
    assert!(
        error.contains("`disk.img` is not here as a whole"),
        "{error}"
    );
    recorded.page(Kept::Whole).order(save);
}

#[test]
fn a_failure_and_a_cancellation_at_once_leave_nothing_behind() {
    let recorded = Recorded::new();
    let mut page = recorded.page(Kept::InParts);
    page.send(Command::Seek(Target::End));
    let began = page.began;
    let want = loop {
        page.engine.turn(&mut || began.elapsed());
        if let Some(want) = page.engine.take_want() {
            break want;
        }
    };
    page.engine.supply(&want, Err("gone".to_owned()));
    page.order(Command::Cancel);
    page.order(Command::Seek(Target::End));
    assert_eq!(page.position().icount, page.recording().end);
}

#[test]
fn a_wait_for_a_part_is_cancelled() {
    let recorded = Recorded::new();
    let mut page = recorded.page(Kept::InParts);
    page.send(Command::Seek(Target::End));
    let began = page.began;
    // Nobody fetches what it wants.
    let want = loop {
        let next = page.engine.turn(&mut || began.elapsed());
        if let Some(want) = page.engine.take_want() {
            break want;
        }
        assert_eq!(next, Next::Now);
    };
    while page.engine.turn(&mut || began.elapsed()) == Next::Now {}
    page.order(Command::Cancel);
    let is_cancelled = |message: &Message| {
        matches!(
            message,
            Message::Failed {
                is_cancelled: true,
                ..
            }
        )
    };
    while !page.messages.iter().any(is_cancelled) {
        page.turn();
    }
    // What comes late is kept.
    let supply = page.disk.as_mut().unwrap().fetch(&want);
    page.engine.supply(&want, supply);
    page.order(Command::Seek(Target::End));
    assert_eq!(page.position().icount, page.recording().end);
}

#[test]
fn what_waits_for_a_part_is_left_at_once() {
    let recorded = Recorded::new();
    let mut page = recorded.page(Kept::InParts);
    page.order(Command::Seek(Target::Program));
    let looks = page.send(Command::Step {
        unit: StepUnit::LineOver,
        direction: Direction::Forward,
        thread: Thread::Current,
    });
    let began = page.began;
    while page.engine.turn(&mut || began.elapsed()) == Next::Now {}
    // Nobody fetches what it wants, if it wants something.
    page.send(Command::Cancel);
    page.send(Command::Close);
    page.order(boot(&["/bin/true"]));
    assert!(page.recording().is_live);
    let is_answer = |message: &Message| matches!(message, Message::Failed { id, .. } | Message::Done { id } if *id == looks);
    assert!(page.messages.iter().any(is_answer));
}

#[test]
fn gdb_runs_over_parts_that_have_to_be_fetched() {
    let recorded = Recorded::new();
    let commands = [
        "break do_exit",
        "continue",
        "continue",
        "monitor when",
        "reverse-continue",
        "monitor when",
    ];
    let said = |kept| {
        let mut page = recorded.page(kept);
        page.order(Command::Seek(Target::Program));
        let said = gdb_in(&mut page, &commands);
        (said, page.disk.unwrap().fetched.len())
    };
    let (expected, _) = said(Kept::Whole);
    assert!(expected.contains("icount"), "{expected}");
    let (found, fetched) = said(Kept::InParts);
    let ends = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.contains("icount"));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(ends(&found), ends(&expected), "{found}\n{expected}");
    assert!(fetched > 0);
}
