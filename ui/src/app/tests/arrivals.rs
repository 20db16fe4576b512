//! A recording of which more is coming: the page goes along with it, or leaves the person where they are.

use super::*;

impl Page {
    /// A page on which a recording is coming whose link names a place, if any. Half of it is there.
    fn with_arriving(at: Option<u64>) -> Page {
        let mut page = Page::new();
        let at = at.map_or(String::new(), |at| format!("&at={at}"));
        (page.host.fragment).replace(Some(format!("trace=bugs/slow.rpt{at}")));
        page.frames();
        let open = page.asked(|command| matches!(command, Command::Open(TraceSource::Url(_))));
        let mut recording = recording(false);
        recording.is_arriving = true;
        recording.end = END / 4;
        recording.keyframes = Vec::new();
        page.main_says([
            Message::Opened(recording),
            part(b"the beginning", false),
            Message::Position(position(open, 0)),
            Message::Done { id: open },
        ]);
        page
    }

    fn more_comes(&mut self, end: u64) {
        self.main_says([Message::Arriving {
            end,
            inputs: vec![Input {
                icount: end - 1,
                kind: InputKind::PowerOff,
            }],
            done: end,
            total: END,
        }]);
    }

    fn told_reader(&self) -> Vec<Command> {
        let sent = self.reader.sent.borrow();
        sent.iter().map(|request| request.command.clone()).collect()
    }
}

fn part(bytes: &[u8], is_last: bool) -> Message {
    let bytes = bytes.to_vec();
    Message::TracePart { bytes, is_last }
}

fn all_of_it(failure: Option<&str>) -> Message {
    Message::Arrived {
        recording: recording(false),
        failure: failure.map(str::to_owned),
    }
}

#[test]
fn the_page_goes_along_with_a_recording_that_is_coming() {
    let mut page = Page::with_arriving(None);
    let told = page.told_reader();
    let expected = [
        Command::Open(TraceSource::Parts),
        Command::Index,
        Command::TracePart {
            bytes: b"the beginning".to_vec(),
            is_last: false,
        },
    ];
    assert!(told.ends_with(&expected), "{told:?}");
    let first = page.asked(|command| *command == Command::Seek(Target::End));
    page.more_comes(END / 2);
    assert_eq!(page.state()["end"], END / 2);
    assert_eq!(page.seeks(), [], "one at a time");
    page.arrive(first, END / 4);
    let second = page.asked(|command| *command == Command::Seek(Target::End));
    page.arrive(second, END / 2);
    assert_eq!(page.seeks(), [], "nothing more has come");
    assert_eq!(page.state()["arriving"], serde_json::json!([END / 2, END]));
    page.harness.get_by_label("receiving: 50 %");

    // What is known of the whole comes with the rest, and what is said of the beginning does not undo it.
    let mut early = recording(false);
    early.is_arriving = true;
    early.inputs = Vec::new();
    page.reader_says([Message::Opened(early)]);
    page.main_says([part(b"the rest", false), part(b"", true), all_of_it(None)]);
    assert_eq!(page.state()["arriving"], serde_json::Value::Null);
    let told = page.told_reader();
    let last = Command::TracePart {
        bytes: Vec::new(),
        is_last: true,
    };
    assert_eq!(told.last(), Some(&last));
    let save = page.asked(|command| matches!(command, Command::Save { .. }));
    let third = page.asked(|command| *command == Command::Seek(Target::End));
    page.main_says([
        Message::Trace {
            id: save,
            bytes: b"trace".to_vec(),
            packed: Some(b"small".to_vec()),
        },
        Message::Done { id: save },
    ]);
    page.arrive(third, END);
    let told = page.told_reader();
    let opened = told
        .iter()
        .filter(|command| matches!(command, Command::Open(_)));
    assert_eq!(opened.count(), 1, "it has the recording already");
    assert_eq!(page.state()["failure"], serde_json::Value::Null);
}

#[test]
fn a_link_lands_where_it_says_as_soon_as_that_has_come() {
    let at = END / 3;
    let mut page = Page::with_arriving(Some(at));
    let near = page.asked(|command| *command == Command::Seek(Target::Icount(at)));
    page.arrive(near, END / 4);
    page.more_comes(END / 2);
    let there = page.asked(|command| *command == Command::Seek(Target::Icount(at)));
    page.arrive(there, at);
    page.main_says([all_of_it(None)]);
    assert_eq!(page.seeks(), []);
    assert_eq!(page.state()["icount"], at);
}

#[test]
fn who_plays_or_stops_is_not_taken_away() {
    for button in ["Play", "Stop"] {
        let mut page = Page::with_arriving(None);
        let first = page.asked(|command| *command == Command::Seek(Target::End));
        page.press(button);
        page.arrive(first, END / 4);
        // To where playing has ended.
        for (id, target) in page.seeks() {
            assert_ne!(target, Target::End, "{button}");
            page.arrive(id, END / 4);
        }
        page.main.sent.borrow_mut().clear();
        page.more_comes(END / 2);
        page.main_says([all_of_it(None)]);
        assert_eq!(page.seeks(), [], "{button}");
        // Whoever reads it through goes on.
        assert!(!page.told_reader().contains(&Command::Cancel), "{button}");
    }
}

#[test]
fn who_has_gone_elsewhere_stays_there() {
    let mut page = Page::with_arriving(None);
    let first = page.asked(|command| *command == Command::Seek(Target::End));
    page.arrive(first, END / 4);
    page.click_at(page.timeline(END / 8));
    let (id, target) = page.seeks()[0];
    let Target::Icount(here) = target else {
        panic!("{target:?} is no position");
    };
    page.main.sent.borrow_mut().clear();
    page.arrive(id, here);
    page.more_comes(END / 2);
    page.main_says([all_of_it(Some("the rest of the recording is missing"))]);
    assert_eq!(page.seeks(), []);
    assert_eq!(page.state()["icount"], here);
    let told = page
        .harness
        .get_by_label("the rest of the recording is missing");
    assert!(told.rect().bottom() < 720.0, "{:?}", told.rect());
}
