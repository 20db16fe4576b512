//! The app with engines that say what a test wants, used by the pointer and keys as a person would.

mod arrivals;
mod crash;
mod folder;
mod keeping;
mod panels;
mod searches;

use super::App;
use crate::bridge::BridgeEvent;
use crate::host::{File, Nowhere};
use crate::link::Scripted;
use egui::{Event, Key, Modifiers, PointerButton, Pos2, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable as _;
use reprise_worker::protocol::{
    Command, Input, InputKind, Message, Position, Printed, Recording, Request, RequestId, Target,
    TerminalSize, TraceSource,
};

const END: u64 = 1_000_000;

/// An app in a window, with what the engines hear and say.
struct Page {
    harness: Harness<'static, App>,
    main: Scripted,
    reader: Scripted,
    host: Nowhere,
}

impl Page {
    fn new() -> Page {
        Page::with_host(Nowhere::default())
    }

    fn with_host(host: Nowhere) -> Page {
        let (main, reader) = (Scripted::default(), Scripted::default());
        let app = App::new(
            Box::new(main.clone()),
            Box::new(reader.clone()),
            Box::new(host.clone()),
        );
        let harness = Harness::builder()
            .with_size(vec2(1280.0, 720.0))
            .build_ui_state(|ui, app: &mut App| app.ui(ui), app);
        let mut page = Page {
            harness,
            main,
            reader,
            host,
        };
        page.frames();
        page
    }

    /// A page on which a recording is open that stands at its end and has printed two lines.
    fn with_recording() -> Page {
        Page::with(recording(false))
    }

    /// The same of another recording.
    fn with(recording: Recording) -> Page {
        let mut page = Page::new();
        page.host.file.replace(Some(File {
            name: "bug.rpt".to_owned(),
            bytes: Ok(b"trace".to_vec()),
        }));
        page.frames();
        let open = page.asked(|command| matches!(command, Command::Open(TraceSource::Bytes(_))));
        page.main_says([Message::Opened(recording), Message::Done { id: open }]);
        let save = page.asked(|command| matches!(command, Command::Save { .. }));
        page.main_says([
            Message::Trace {
                id: save,
                bytes: b"trace".to_vec(),
                packed: Some(b"small".to_vec()),
            },
            Message::Done { id: save },
        ]);
        page.reader_says([Message::Console(vec![
            printed(100_000, "first line\r\n"),
            printed(500_000, "second\r\n"),
        ])]);
        let seek = page.asked(|command| *command == Command::Seek(Target::End));
        page.arrive(seek, END);
        page.main.sent.borrow_mut().clear();
        page
    }

    fn frames(&mut self) {
        self.harness.run_steps(4);
    }

    fn main_says(&mut self, messages: impl IntoIterator<Item = Message>) {
        self.main.to_say.borrow_mut().extend(messages);
        self.frames();
    }

    fn reader_says(&mut self, messages: impl IntoIterator<Item = Message>) {
        self.reader.to_say.borrow_mut().extend(messages);
        self.frames();
    }

    fn arrive(&mut self, id: RequestId, icount: u64) {
        self.main_says([
            Message::Position(position(id, icount)),
            Message::Done { id },
        ]);
    }

    /// Takes what the main engine was asked for up to a request, which must be there.
    fn asked(&mut self, mut is_it: impl FnMut(&Command) -> bool) -> RequestId {
        let mut seen = Vec::new();
        while let Some(Request { id, command }) = self.main.sent.borrow_mut().pop_front() {
            if is_it(&command) {
                return id;
            }
            seen.push(command);
        }
        panic!("not asked for; but {seen:?}");
    }

    fn seeks(&self) -> Vec<(RequestId, Target)> {
        let sent = self.main.sent.borrow();
        let seeks = sent.iter().filter_map(|request| match request.command {
            Command::Seek(target) => Some((request.id, target)),
            _ => None,
        });
        seeks.collect()
    }

    fn state(&mut self) -> serde_json::Value {
        serde_json::from_str(&self.harness.state_mut().test_state()).expect("JSON")
    }

    fn screen(&mut self) -> String {
        self.state()["screen"]
            .as_str()
            .expect("a screen")
            .trim()
            .to_owned()
    }

    fn press(&mut self, label: &str) {
        self.harness.get_by_label(label).click();
        self.frames();
    }

    fn click_at(&mut self, pos: Pos2) {
        for pressed in [true, false] {
            self.harness.event(Event::PointerMoved(pos));
            self.harness.event(Event::PointerButton {
                pos,
                button: PointerButton::Primary,
                pressed,
                modifiers: Modifiers::NONE,
            });
            // A button that is held for long makes no click.
            self.harness.step();
        }
        self.frames();
    }

    fn timeline(&self, icount: u64) -> Pos2 {
        self.harness
            .state()
            .timeline_point(icount)
            .expect("a timeline")
    }
}

fn recording(is_live: bool) -> Recording {
    Recording {
        has_workspace: false,
        keyframes: vec![200_000, 500_000, 700_000],
        is_arriving: false,
        is_live,
        command: Vec::new(),
        clock_unix_seconds: 1_700_000_000,
        end: if is_live { 0 } else { END },
        exit_status: None,
        is_incomplete: false,
        trace_byte_len: 5,
        ram_mebibytes: 256,
        terminal: TerminalSize {
            columns: 80,
            rows: 24,
        },
        inputs: vec![Input {
            icount: 10,
            kind: InputKind::Start,
        }],
        images: Vec::new(),
    }
}

fn printed(icount: u64, text: &str) -> Printed {
    Printed {
        icount,
        bytes: text.as_bytes().to_vec(),
    }
}

fn position(id: RequestId, icount: u64) -> Position {
    Position {
        id,
        icount,
        nanoseconds: icount,
        thread: Some((7, "sh".to_owned())),
        process: Some(7),
        is_user: true,
        reasons: Vec::new(),
        stops: Vec::new(),
        is_at_edge: false,
    }
}

#[test]
fn a_machine_is_booted_typed_at_and_paused() {
    let mut page = Page::new();
    page.press("Boot Linux");
    // It has no network unless the person says so.
    let boot = page.asked(|command| matches!(command, Command::Boot(boot) if !boot.network));
    page.main_says([Message::Opened(recording(true)), Message::Done { id: boot }]);
    page.main_says([
        Message::Console(vec![printed(1_000, "~ # ")]),
        Message::Grown {
            end: 2_000,
            nanoseconds: 2_000,
        },
    ]);
    assert_eq!(page.state()["mode"], "running");
    assert_eq!(page.screen(), "~ #");
    page.harness.event(Event::Text("ls".to_owned()));
    page.harness.key_press(Key::Enter);
    // Letters are the terminal's, not shortcuts.
    page.harness.event(Event::Text("m".to_owned()));
    page.harness.key_press(Key::M);
    page.frames();
    let mut typed = Vec::new();
    for request in page.main.sent.borrow_mut().drain(..) {
        match request.command {
            Command::Type(bytes) => typed.extend(bytes),
            Command::Resize(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(typed, b"ls\rm");
    page.press("Pause");
    let pause = page.asked(|command| *command == Command::Pause);
    page.arrive(pause, 2_500);
    assert_eq!(page.state()["mode"], "paused");
    let save = page.asked(|command| {
        matches!(
            command,
            Command::Save {
                embeds_images: false
            }
        )
    });
    page.main_says([
        Message::Trace {
            id: save,
            bytes: vec![1, 2, 3],
            packed: None,
        },
        Message::Done { id: save },
    ]);
    let read: Vec<Command> = page
        .reader
        .sent
        .borrow_mut()
        .drain(..)
        .map(|request| request.command)
        .collect();
    assert!(
        read.contains(&Command::Open(TraceSource::Bytes(vec![1, 2, 3]))),
        "{read:?}"
    );
    assert_eq!(read.last(), Some(&Command::Index));
    page.press("Resume");
    let resume = page.asked(|command| *command == Command::Resume);
    page.main_says([Message::Done { id: resume }]);
    assert_eq!(page.state()["mode"], "running");
}

#[test]
fn a_file_is_opened_at_its_end() {
    let mut page = Page::with_recording();
    let state = page.state();
    assert_eq!(
        (&state["mode"], &state["icount"]),
        (&"replay".into(), &END.into())
    );
    assert_eq!(page.screen(), "first line\nsecond");
}

#[test]
fn what_cannot_be_opened_leaves_the_start_page() {
    let mut page = Page::new();
    page.host
        .fragment
        .replace(Some("trace=traces/none.rpt&at=5".to_owned()));
    page.frames();
    let open = page
        .asked(|command| *command == Command::Open(TraceSource::Url("traces/none.rpt".to_owned())));
    assert_eq!(page.state()["mode"], "opening");
    page.main_says([Message::Failed {
        id: open,
        message: "there is no such file".to_owned(),
        is_cancelled: false,
    }]);
    let state = page.state();
    assert_eq!(state["mode"], "start");
    assert!(
        state["failure"]
            .as_str()
            .is_some_and(|text| text.contains("no such file")),
        "{state}"
    );
    // It goes on working.
    page.press("Network");
    page.press("Boot Linux");
    page.asked(|command| matches!(command, Command::Boot(boot) if boot.network));
}

#[test]
fn what_was_left_is_not_taken_for_what_is_opened_next() {
    let mut page = Page::new();
    let opens = |page: &mut Page, name: &str| {
        (page.host.fragment).replace(Some(format!("trace=traces/{name}.rpt")));
        page.frames();
        let url = format!("traces/{name}.rpt");
        page.asked(|command| *command == Command::Open(TraceSource::Url(url.clone())))
    };
    let first = opens(&mut page, "first");
    (page.host.fragment).replace(Some("trace=traces/second.rpt".to_owned()));
    page.frames();
    page.asked(|command| *command == Command::Cancel);
    let close = page.asked(|command| *command == Command::Close);
    let second = page.asked(|command| matches!(command, Command::Open(_)));
    // The first was open when the engine heard that it is left.
    let mut other = recording(false);
    other.end = 7;
    page.main_says([
        Message::Opened(other),
        Message::Position(position(first, 0)),
        Message::Failed {
            id: first,
            message: "stopped".to_owned(),
            is_cancelled: true,
        },
        Message::Done { id: close },
    ]);
    assert_eq!(page.state()["mode"], "opening");
    page.main_says([
        Message::Opened(recording(false)),
        Message::Position(position(second, 0)),
        Message::Done { id: second },
    ]);
    assert_eq!(page.state()["end"], END);
}

#[test]
fn a_link_lands_where_it_says() {
    let mut page = Page::new();
    page.host
        .fragment
        .replace(Some("trace=traces/a.rpt&at=500".to_owned()));
    page.frames();
    let open = page.asked(|command| matches!(command, Command::Open(_)));
    page.main_says([
        Message::Opened(recording(false)),
        Message::Done { id: open },
    ]);
    page.asked(|command| *command == Command::Seek(Target::Icount(500)));
}

#[test]
fn nothing_is_fetched_from_elsewhere_before_the_person_agrees() {
    let url = "https://elsewhere.example/a.rpt";
    let mut page = Page::new();
    page.host.fragment.replace(Some(format!("trace={url}")));
    page.frames();
    assert_eq!(page.state()["dialog"], true);
    page.press("Cancel");
    assert_eq!(page.state()["dialog"], false);
    let is_open = |request: &Request| matches!(request.command, Command::Open(_));
    assert!(
        !page.main.sent.borrow().iter().any(is_open)
            && !page.reader.sent.borrow().iter().any(is_open)
    );
    page.host.fragment.replace(Some(format!("trace={url}")));
    page.frames();
    page.press("Fetch it");
    page.asked(|command| *command == Command::Open(TraceSource::Url(url.to_owned())));
}

#[test]
fn dragging_shows_at_once_and_asks_for_one_place_at_a_time() {
    let mut page = Page::with_recording();
    page.harness.drag_at(page.timeline(900_000));
    page.frames();
    for icount in [800_000, 600_000, 300_000] {
        page.harness.hover_at(page.timeline(icount));
        page.frames();
        assert!(page.seeks().len() <= 1, "{:?}", page.seeks());
    }
    assert_eq!(
        page.screen(),
        "first line",
        "the terminal does not wait for the engine"
    );
    let (first, _) = page.seeks()[0];
    page.main.sent.borrow_mut().clear();
    page.arrive(first, 800_000);
    assert_eq!(
        page.screen(),
        "first line",
        "what arrives late is not shown"
    );
    let seeks = page.seeks();
    let [(second, Target::Icount(newest))] = seeks[..] else {
        panic!("{seeks:?}")
    };
    assert!(newest.abs_diff(300_000) < 2_000, "{newest}");
    page.harness.drop_at(page.timeline(300_000));
    page.frames();
    page.main.sent.borrow_mut().clear();
    page.arrive(second, newest);
    // Letting go asks once more at the most, for the same place.
    for (id, target) in page.seeks() {
        assert_eq!(target, Target::Icount(newest));
        page.arrive(id, newest);
    }
    assert_eq!(page.state()["icount"], newest);
}

#[test]
fn a_click_on_a_character_goes_to_what_printed_it_and_back_again() {
    let mut page = Page::with_recording();
    let cell = page
        .harness
        .state()
        .cell_rect(1, 2)
        .expect("a terminal")
        .center();
    page.click_at(cell);
    let seek = page.asked(|command| *command == Command::Seek(Target::Icount(500_000)));
    page.arrive(seek, 500_000);
    assert_eq!(page.screen(), "first line");
    page.harness
        .key_press_modifiers(Modifiers::ALT, Key::ArrowLeft);
    page.frames();
    let back = page.asked(|command| *command == Command::Seek(Target::Icount(END)));
    page.arrive(back, END);
    assert_eq!(page.screen(), "first line\nsecond");
    // Where nothing was printed, nothing happens.
    let cell = page
        .harness
        .state()
        .cell_rect(10, 2)
        .expect("a terminal")
        .center();
    page.click_at(cell);
    assert_eq!(page.seeks(), []);
}

#[test]
fn a_place_that_cannot_be_reached_is_not_shown_as_if_it_were() {
    let mut page = Page::with_recording();
    page.click_at(page.timeline(300_000));
    let (seek, _) = page.seeks()[0];
    page.main_says([Message::Failed {
        id: seek,
        message: "the execution is another one".to_owned(),
        is_cancelled: false,
    }]);
    assert_eq!(page.state()["shown_icount"], END);
    assert!(page.state()["failure"].is_string());
}

#[test]
fn a_shared_link_has_the_trace_and_the_place_in_it() {
    let mut page = Page::with_recording();
    page.harness.key_press(Key::M);
    page.frames();
    page.press("Share");
    let state = page.state();
    let link = state["link"].as_str().expect("a link");
    let (site, fragment) = link.split_once('#').expect("a fragment");
    assert_eq!(site, "https://here.example/reprise/");
    let parsed = crate::share::link_from_fragment(fragment)
        .expect("a link")
        .expect("a link");
    assert_eq!(parsed.at, Some(END));
    assert_eq!(parsed.place, crate::share::Place::Inside(b"small".to_vec()));
    assert_eq!(parsed.view.marks.len(), 1);
}

#[test]
fn every_sign_of_the_list_of_keys_can_be_drawn() {
    let mut page = Page::with_recording();
    page.press("Keys");
    assert_eq!(page.state()["dialog"], true);
    page.harness.key_press(Key::Escape);
    page.frames();
    assert_eq!(page.state()["dialog"], false);
}

const CODE: &str = "7712-0123456789abcdef0123456789abcdef";

impl Page {
    /// What the bridge was told since the last call.
    fn bridge_told(&self) -> Vec<String> {
        self.host.bridge.take()
    }

    fn bridge_says(&mut self, event: BridgeEvent) {
        self.harness.state_mut().heard_bridge(event);
        self.frames();
    }

    fn text(&mut self, text: &str) {
        self.bridge_says(BridgeEvent::Text(text.to_owned()));
    }

    fn bridge(&mut self) -> String {
        self.state()["bridge"].as_str().expect("words").to_owned()
    }

    /// Connects as a person does: by a key, a pasted code and Enter.
    fn connect(&mut self) {
        self.harness.key_press(Key::G);
        self.frames();
        self.harness.event(Event::Text(CODE.to_owned()));
        self.frames();
        self.harness.key_press(Key::Enter);
        self.frames();
        self.harness.key_press(Key::Escape);
        self.frames();
        assert_eq!(self.state()["dialog"], false);
    }
}

#[test]
fn gdb_has_the_position_until_it_goes() {
    let mut page = Page::with_recording();
    assert_eq!(page.bridge(), "not connected");
    page.connect();
    let address = "open ws://127.0.0.1:7712/0123456789abcdef0123456789abcdef";
    assert_eq!(page.bridge_told(), [address]);
    assert_eq!(page.bridge(), "connecting");
    page.bridge_says(BridgeEvent::Opened);
    assert_eq!(page.bridge(), "waiting for gdb");
    // Bytes of nobody are nobody's.
    page.bridge_says(BridgeEvent::Bytes(b"+".to_vec()));
    assert!(page.main.sent.borrow().is_empty());

    page.text("gdb");
    page.bridge_says(BridgeEvent::Bytes(b"+$?#3f".to_vec()));
    let attach = page.asked(|command| *command == Command::AttachGdb);
    page.asked(|command| *command == Command::GdbBytes(b"+$?#3f".to_vec()));
    page.main_says([
        Message::Done { id: attach },
        Message::GdbBytes(b"$T05#b9".to_vec()),
        Message::GdbRuns { icount: 1000 },
    ]);
    assert_eq!(page.bridge_told(), ["send $T05#b9"]);
    assert_eq!(page.bridge(), "gdb runs");
    page.press("Stop");
    page.asked(|command| *command == Command::Cancel);
    page.main_says([Message::Position(position(0, 600_000))]);
    assert_eq!(page.bridge(), "gdb attached");
    assert_eq!(page.state()["icount"], 600_000);
    assert_eq!(page.screen(), "first line\nsecond");

    // The page does not move, and says why; it looks.
    page.main.sent.borrow_mut().clear();
    for key in [Key::Home, Key::F5, Key::F8, Key::Space, Key::M] {
        page.harness.key_press(key);
        page.frames();
    }
    page.press("Share");
    assert!(page.state()["link"].is_null());
    assert_eq!(page.seeks(), []);
    let sent: Vec<Command> = (page.main.sent.borrow().iter())
        .map(|request| request.command.clone())
        .collect();
    assert!(
        sent.iter()
            .all(|command| matches!(command, Command::Look(_))),
        "{sent:?}"
    );
    assert!(
        page.state()["failure"]
            .to_string()
            .contains("gdb has the position")
    );
    assert_eq!(page.state()["shown_icount"], 600_000);
    page.press("Dismiss");

    // It goes, and the page moves again.
    page.main.sent.borrow_mut().clear();
    page.text("gone");
    page.asked(|command| *command == Command::DetachGdb);
    assert_eq!(page.bridge_told(), ["say free"]);
    assert_eq!(page.bridge(), "waiting for gdb");
    page.harness.key_press(Key::Home);
    page.frames();
    assert_eq!(page.seeks().len(), 1);

    // Who leaves the recording does not wait for a run of gdb's.
    page.text("gdb");
    let attach = page.asked(|command| *command == Command::AttachGdb);
    page.main_says([Message::Done { id: attach }]);
    page.press("Start page");
    page.asked(|command| *command == Command::DetachGdb);
    page.asked(|command| *command == Command::Close);
    assert_eq!(page.bridge(), "waiting for gdb");
}

#[test]
fn a_gdb_that_cannot_be_let_in_is_told_why() {
    let mut page = Page::new();
    page.harness.state_mut().bridge.code = CODE.to_owned();
    page.harness.state_mut().join_bridge();
    page.bridge_says(BridgeEvent::Opened);
    page.bridge_told();
    page.text("gdb");
    assert_eq!(
        page.bridge_told(),
        ["say free no recording is open on the page"]
    );

    let mut page = Page::with_recording();
    page.connect();
    page.bridge_says(BridgeEvent::Opened);
    page.bridge_told();
    page.text("gdb");
    let attach = page.asked(|command| *command == Command::AttachGdb);
    let why = "the machine is running: pause it first";
    page.main_says([Message::Failed {
        id: attach,
        message: why.to_owned(),
        is_cancelled: false,
    }]);
    assert_eq!(page.bridge_told(), [format!("say free {why}")]);
    assert_eq!(page.bridge(), "waiting for gdb");
    // The engine lets one go: the bridge hears that, and nothing for it comes late.
    page.text("gdb");
    let attach = page.asked(|command| *command == Command::AttachGdb);
    page.main_says([
        Message::Done { id: attach },
        Message::GdbBytes(b"$OK#9a".to_vec()),
        Message::GdbGone { reason: None },
        Message::GdbBytes(b"late".to_vec()),
    ]);
    assert_eq!(page.bridge_told(), ["send $OK#9a", "say free"]);
    page.text("gone");
    assert_eq!(page.bridge_told(), [] as [&str; 0]);
    // The connection ends while a gdb is there.
    page.text("gdb");
    let attach = page.asked(|command| *command == Command::AttachGdb);
    page.main_says([Message::Done { id: attach }]);
    page.bridge_says(BridgeEvent::Closed("it has ended".to_owned()));
    page.asked(|command| *command == Command::DetachGdb);
    assert_eq!(page.bridge(), "failed");
}

#[test]
fn only_a_code_connects() {
    let mut page = Page::with_recording();
    page.host
        .fragment
        .replace(Some(format!("bridge={CODE}&gdb={CODE}&code={CODE}")));
    page.frames();
    assert_eq!(page.bridge_told(), [] as [&str; 0]);
    page.harness.key_press(Key::G);
    page.frames();
    page.harness.event(Event::Text("7712-nonsense".to_owned()));
    page.frames();
    page.press("Connect");
    assert_eq!(page.bridge_told(), [] as [&str; 0]);
    assert_eq!(page.bridge(), "failed");
    page.harness.get_by_label_contains("This is not a code");
}
