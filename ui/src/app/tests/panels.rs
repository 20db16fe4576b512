//! Each panel: what a person reads in it, and what a click asks of the engine.

use super::{END, Page};
use crate::host::File;
use egui::{Event, Key, Modifiers, vec2};
use egui_kittest::kittest::Queryable as _;
use reprise_worker::protocol::{
    Command, FetchNews, FetchStage, Frame, IndexPart, Instruction, Location, Look, Message,
    Register, RegisterGroup, StopKind, StopPoint, SystemCall, Target, Thread, ThreadInfo,
    ThreadName, Variable, View,
};

impl Page {
    /// A page on which a recording stands at its start, with a panel in front that has not been told anything yet.
    pub(super) fn with_panel(title: &str) -> Page {
        let mut page = Page::with_recording();
        page.harness.set_size(vec2(1900.0, 1400.0));
        page.frames();
        page.press(title);
        page.goes_to("Start", Target::Start, 0);
        page
    }

    fn goes_to(&mut self, button: &str, target: Target, icount: u64) {
        self.press(button);
        let seek = self.asked(|command| *command == Command::Seek(target));
        self.arrive(seek, icount);
    }

    /// Answers what is looked at, and what is looked at because of the answers. Where there is no view, none comes.
    pub(super) fn sees(&mut self, icount: u64, view_of: impl Fn(&Look) -> Option<View>) {
        loop {
            let requests: Vec<_> = self.main.sent.borrow_mut().drain(..).collect();
            let mut messages = Vec::new();
            for request in requests {
                let id = request.id;
                if let Command::Look(look) = request.command {
                    let view = view_of(&look);
                    messages.extend(view.map(|view| Message::Seen {
                        id,
                        icount,
                        look,
                        view,
                    }));
                    messages.push(Message::Done { id });
                } else {
                    self.main.sent.borrow_mut().push_back(request);
                }
            }
            if messages.is_empty() {
                return;
            }
            self.main_says(messages);
        }
    }

    pub(super) fn looks_at(&mut self, wanted: &Look) {
        self.asked(|command| matches!(command, Command::Look(look) if look == wanted));
    }

    /// The stops that the engine was told last.
    pub(super) fn told_stops(&mut self) -> Vec<StopPoint> {
        let sent = self.main.sent.take();
        let mut told = sent.into_iter().rev();
        let stops = told.find_map(|request| match request.command {
            Command::SetStops(stops) => Some(stops),
            _ => None,
        });
        stops.expect("stops")
    }

    pub(super) fn can_read(&self, text: &str) -> bool {
        let mut found = self.harness.query_all_by_label_contains(text);
        found.next().is_some()
    }

    pub(super) fn reads(&self, text: &str) {
        assert!(self.can_read(text), "{text}");
    }

    pub(super) fn types(&mut self, field: &str, text: &str) {
        self.press(field);
        self.harness.key_press_modifiers(Modifiers::COMMAND, Key::A);
        self.harness.event(Event::Text(text.to_owned()));
        self.frames();
        self.harness.key_press(Key::Enter);
        self.frames();
    }

    /// Takes an entry of the menu of something.
    fn takes(&mut self, label: &str, entry: &str) {
        self.harness.get_by_label(label).click_secondary();
        self.frames();
        self.press(entry);
    }
}

fn register(name: &str, value: u64) -> Register {
    Register {
        name: name.to_owned(),
        value,
        group: RegisterGroup::Integer,
    }
}

/// Registers as every thread has them.
fn registers(a0: u64) -> View {
    View::Registers(vec![
        register("pc", 0x10434),
        register("sp", 0x2000),
        register("a0", a0),
    ])
}

pub(super) fn frame(function: &str, pc: u64, line: u32) -> Frame {
    Frame {
        pc,
        function: Some(function.to_owned()),
        location: Some(Location {
            path: "/src/main.c".to_owned(),
            line,
            column: 0,
        }),
        is_inlined: false,
        is_kernel: false,
    }
}

fn stack() -> View {
    View::Stack(vec![frame("inner", 0x10434, 2), frame("main", 0x10500, 5)])
}

fn of_process(id: u32, kind: StopKind) -> StopPoint {
    StopPoint {
        id,
        process: Some(7),
        kind,
        name: None,
    }
}

fn named(name: &str, stop: StopPoint) -> StopPoint {
    StopPoint {
        name: Some(name.to_owned()),
        ..stop
    }
}

pub(super) fn breakpoint(id: u32, place: &str) -> StopPoint {
    of_process(id, StopKind::Breakpoint(place.to_owned()))
}

fn written(id: u32, address: u64, byte_len: u64) -> StopPoint {
    let kind = StopKind::Watchpoint {
        address,
        byte_len,
        reads: false,
        writes: true,
    };
    of_process(id, kind)
}

#[test]
fn registers_mark_what_has_changed_and_lead_to_memory() {
    let mut page = Page::with_panel("Registers");
    let with_a0 = |a0| move |look: &Look| matches!(look, Look::Registers(_)).then(|| registers(a0));
    page.sees(0, with_a0(5));
    page.reads("sh (7)");
    page.reads("register a0 = 0x5");
    assert!(!page.can_read("changed"));
    page.goes_to("End", Target::End, END);
    // The old ones stay, and are told to be old.
    page.reads("register a0 = 0x5");
    page.reads("looking…");
    page.sees(END, with_a0(6));
    page.reads("register a0 = 0x6, changed");
    page.reads("Integer (1 changed)");
    page.takes("register sp = 0x2000", "Show memory there");
    page.looks_at(&Look::Memory {
        thread: Thread::Current,
        address: 0x2000,
        byte_len: 512,
    });
}

#[test]
fn memory_is_found_by_register_and_its_bytes_are_watched() {
    let mut page = Page::with_panel("Memory");
    let memory = |look: &Look| match look {
        Look::Registers(_) => Some(registers(0)),
        Look::Memory {
            address: 0x2010, ..
        } => Some(View::Memory(b"hello".to_vec())),
        Look::Memory { .. } => Some(View::Memory(Vec::new())),
        _ => None,
    };
    page.sees(0, memory);
    page.reads("Memory at 0x0 cannot be read");
    page.types("memory address", "nowhere");
    page.reads("“nowhere” is no address and no register.");
    page.types("memory address", "sp+16");
    page.sees(0, memory);
    page.reads("00002010  68 65 6c 6c 6f ??");
    page.reads("From 0x2015 on nothing can be read");
    let row = page.harness.get_by_label_contains("00002010  68");
    // The first cell begins behind the address and two spaces.
    let (at, char_width) = (row.rect(), row.rect().width() / ROW_CHARS);
    page.click_at(at.left_center() + vec2(10.5 * char_width, 0.0));
    page.reads("1 byte from 0x2010");
    page.press("Watch writes");
    assert_eq!(page.told_stops(), [written(1, 0x2010, 1)]);
    page.press("Page down");
    page.looks_at(&Look::Memory {
        thread: Thread::Current,
        address: 0x2210,
        byte_len: 512,
    });
}

/// Characters of a row of 16 bytes: address, two spaces, cells with a space behind each, a space, characters.
const ROW_CHARS: f32 = (8 + 2 + 16 * 3 + 1 + 16) as f32;

#[test]
fn disassembly_shows_what_is_next_and_sets_breakpoints() {
    let mut page = Page::with_panel("Disassembly");
    let instruction = |address, text: &str, symbol: &str| Instruction {
        address,
        bytes: vec![0x13, 0, 0, 0],
        text: text.to_owned(),
        symbol: Some(symbol.to_owned()),
    };
    page.sees(0, |look| match look {
        Look::Registers(_) => Some(registers(0)),
        Look::Disassembly {
            address: Some(0x10434),
            ..
        } => Some(View::Disassembly(vec![
            instruction(0x10430, "addi a0,a0,1", "inner+0"),
            instruction(0x10434, "jal 0x10500", "inner+4"),
        ])),
        _ => None,
    });
    page.reads("inner:");
    page.reads("0x10430: addi a0,a0,1");
    page.reads("0x10434: jal 0x10500, next");
    page.press("breakpoint at 0x10430");
    assert_eq!(page.told_stops(), [breakpoint(1, "0x10430")]);
    page.press("breakpoint at 0x10430");
    assert_eq!(page.told_stops(), []);
    page.takes("0x10434: jal 0x10500, next", "Show code at 0x10500");
    page.asked(|command| {
        matches!(
            command,
            Command::Look(Look::Disassembly {
                address: Some(0x10500),
                ..
            })
        )
    });
}

#[test]
fn source_is_read_and_takes_breakpoints() {
    let mut page = Page::with_panel("Source");
    let path = "/src/main.c".to_owned();
    page.sees(0, |look| match look {
        Look::Stack(_) => Some(stack()),
        Look::Source { path: wanted, .. } if *wanted == path => Some(View::Source(Some(
            "int inner(void) {\n  return 1;\n}\n".to_owned(),
        ))),
        _ => None,
    });
    page.reads("/src/main.c:2");
    page.reads("  return 1;");
    page.press("breakpoint at main.c:2");
    assert_eq!(page.told_stops(), [breakpoint(1, "main.c:2")]);
}

#[test]
fn a_source_that_the_guest_lacks_leads_to_the_instructions() {
    let mut page = Page::with_panel("Source");
    page.sees(0, |look| match look {
        Look::Stack(_) => Some(stack()),
        Look::Source { .. } => Some(View::Source(None)),
        _ => None,
    });
    page.reads("The text of /src/main.c is not in the guest.");
    page.reads("Drop the file main.c here");
    page.press("Show the instructions");
    page.asked(|command| {
        matches!(
            command,
            Command::Look(Look::Disassembly {
                address: Some(0x10434),
                ..
            })
        )
    });
}

#[test]
fn a_source_that_the_guest_lacks_is_dropped_in() {
    let mut page = Page::with_panel("Source");
    page.sees(0, |look| match look {
        Look::Stack(_) => Some(stack()),
        Look::Source { .. } => Some(View::Source(None)),
        _ => None,
    });
    page.host.file.replace(Some(File {
        name: "/home/me/main.c".to_owned(),
        bytes: Ok(b"int inner(void) {\n  return 7;\n}\n".to_vec()),
    }));
    page.frames();
    page.reads("  return 7;");
    assert_eq!(page.state()["mode"], "replay", "the recording stays open");
    page.press("breakpoint at main.c:2");
    assert_eq!(page.told_stops(), [breakpoint(1, "main.c:2")]);
}

#[test]
fn variables_open_mark_what_has_changed_and_are_watched() {
    let mut page = Page::with_panel("Variables");
    let part = |name: &str, value: &str, address| Variable {
        name: name.to_owned(),
        type_name: "int".to_owned(),
        value: value.to_owned(),
        is_argument: false,
        address: Some(address),
        byte_len: 4,
        parts: Vec::new(),
        register: None,
    };
    let point = |y: &'static str| {
        move |look: &Look| {
            let whole = Variable {
                type_name: "struct point".to_owned(),
                is_argument: true,
                byte_len: 8,
                parts: vec![part("x", "3", 0x3000), part("y", y, 0x3004)],
                ..part("point", "{…}", 0x3000)
            };
            matches!(look, Look::Variables { frame: 0, .. }).then(|| View::Variables(vec![whole]))
        }
    };
    page.sees(0, point("4"));
    page.reads("sh (7), frame 0");
    page.reads("Arguments");
    page.press("variable point = {…}");
    // What opens does so in some frames.
    page.harness.run_steps(30);
    page.reads("variable point.y = 4");
    page.goes_to("End", Target::End, END);
    page.sees(END, point("5"));
    page.reads("variable point.x = 3");
    page.takes(
        "variable point.y = 5, changed",
        "Watch it: stop where it is written",
    );
    let stop = named("point.y", written(1, 0x3004, 4));
    assert_eq!(page.told_stops(), [stop]);
}

#[test]
fn a_call_of_the_stack_is_looked_at() {
    let mut page = Page::with_panel("Stack");
    page.sees(0, |look| matches!(look, Look::Stack(_)).then(stack));
    page.reads("frame 0: inner at main.c:2");
    page.press("frame 1: main at main.c:5");
    page.press("Variables");
    page.looks_at(&Look::Variables {
        thread: Thread::Current,
        frame: 1,
    });
}

#[test]
fn threads_are_filtered_and_looked_through() {
    let mut page = Page::with_panel("Threads");
    let thread = |tid, parent, name: &str, is_kernel| ThreadInfo {
        tid,
        tgid: tid,
        parent,
        name: name.to_owned(),
        state: "sleeps".to_owned(),
        is_current: tid == 7,
        is_kernel,
    };
    page.sees(0, |look| {
        (*look == Look::Threads).then(|| {
            View::Threads(vec![
                thread(2, 0, "kthreadd", true),
                thread(7, 1, "sh", false),
                thread(8, 7, "race", false),
            ])
        })
    });
    page.reads("thread 7 sh, sleeps, the CPU executes for it");
    assert!(!page.can_read("kthreadd"));
    page.press("show kernel threads");
    page.reads("thread 2 kthreadd");
    page.types("filter of the threads", "RACE");
    assert!(!page.can_read("thread 7"));
    page.press("thread 8 race, sleeps");
    page.looks_at(&Look::Registers(Thread::Task(8)));
}

#[test]
fn system_calls_are_filtered_and_gone_to() {
    let mut page = Page::with_panel("System calls");
    let call = |icount, text: &str, result| SystemCall {
        icount,
        tid: 7,
        text: text.to_owned(),
        result: Some((icount + 50, result)),
    };
    page.reader_says([Message::Indexed(IndexPart {
        upto: END / 4,
        calls: vec![
            call(400, "openat(\"/none\")", -2),
            call(900, "write(1, \"x\", 1)", 1),
        ],
        names: vec![ThreadName {
            icount: 0,
            tid: 7,
            tgid: 7,
            name: "sh".to_owned(),
        }],
        ..IndexPart::default()
    })]);
    page.reads("2 system calls, 25 % of the recording gone through");
    page.reads("system call at 900: write(1, \"x\", 1) = 1");
    page.types("filter of the system calls", "enoent");
    page.reads("1 of 2 system calls");
    assert!(!page.can_read("system call at 900"));
    let found = page
        .harness
        .get_by_label_contains("system call at 400: openat(\"/none\")");
    found.click();
    page.frames();
    page.asked(|command| *command == Command::Seek(Target::Icount(400)));
}

#[test]
fn inputs_are_gone_to() {
    let mut page = Page::with_panel("Inputs");
    page.reads("1 input event");
    page.press("input 0 at 10: start");
    page.asked(|command| *command == Command::Seek(Target::Event(0)));
}

#[test]
fn what_was_fetched_is_listed_and_gone_to() {
    let mut page = Page::with_panel("Fetches");
    page.reads("The machine has fetched nothing.");
    let news = |number, icount, stage| {
        Message::Fetch(FetchNews {
            number,
            icount,
            nanoseconds: icount * 1000,
            stage,
        })
    };
    let begun = |url: &str| FetchStage::Begun {
        method: "GET".to_owned(),
        url: url.to_owned(),
    };
    let ended = |byte_len, failure: Option<&str>| FetchStage::Ended {
        byte_len,
        failure: failure.map(str::to_owned),
    };
    page.main_says([
        news(1, 400, begun("http://a.example/b")),
        news(1, 500, FetchStage::Answered { status: 200 }),
        news(2, 600, begun("http://c.example/")),
        news(1, 700, ended(2048, None)),
        news(2, 800, ended(0, Some("Failed to fetch."))),
        news(3, 900, begun("http://d.example/")),
        // What nobody has heard of is nothing.
        news(9, 900, FetchStage::Answered { status: 200 }),
    ]);
    page.reads("3 fetches");
    page.reads("fetch at 600: GET http://c.example/, failed: Failed to fetch.");
    page.reads("fetch at 900: GET http://d.example/, under way");
    page.press("fetch at 400: GET http://a.example/b, 200, 2 KiB in 300.00 µs");
    page.asked(|command| *command == Command::Seek(Target::Icount(400)));
}

#[test]
fn stops_are_added_searched_for_and_removed() {
    let mut page = Page::with_panel("Stops");
    page.reads("No stops yet.");
    page.types("place of the breakpoint", "main");
    assert_eq!(page.told_stops(), [breakpoint(1, "main")]);
    page.press("add a stop: exec");
    let exec = StopPoint {
        id: 2,
        process: None,
        kind: StopKind::Exec,
        name: None,
    };
    assert_eq!(page.told_stops(), [breakpoint(1, "main"), exec.clone()]);
    page.press("stop 1: at main");
    assert_eq!(page.told_stops(), std::slice::from_ref(&exec));
    page.press("find all hits of stop 2");
    let find = page.asked(|command| *command == Command::FindHits(exec.clone()));
    page.main_says([
        Message::Hits {
            id: find,
            stop: 2,
            icounts: vec![300, 600],
            is_capped: false,
        },
        Message::Done { id: find },
    ]);
    page.reads("2 hits of stop 2");
    page.press("next hit of stop 2");
    page.asked(|command| *command == Command::Seek(Target::Icount(300)));
    page.press("remove stop 2");
    assert_eq!(page.told_stops(), []);
}

/// What expressions name in this recording.
fn expression(look: &Look) -> Option<View> {
    let Look::Expression {
        thread: Thread::Current,
        frame: 0,
        text,
    } = look
    else {
        return None;
    };
    let variable = |value: &str, address| Variable {
        name: text.clone(),
        type_name: "int".to_owned(),
        value: value.to_owned(),
        is_argument: false,
        address,
        byte_len: 4,
        parts: Vec::new(),
        register: None,
    };
    let in_register = |value: &str, register: &str| Variable {
        register: Some(register.to_owned()),
        ..variable(value, None)
    };
    Some(View::Expression(match text.as_str() {
        "table[3]" => Ok(variable("42", Some(0x4010))),
        "face" => Ok(in_register("7", "s1")),
        "lost" => Ok(variable("<optimised out>", None)),
        "twelve" => Ok(variable("12", None)),
        _ => Err(format!("there is no variable `{text}` here")),
    }))
}

#[test]
fn watchpoints_are_addresses_or_variables() {
    let mut page = Page::with_panel("Stops");
    page.press("add the watchpoint");
    page.reads("Name a variable, or type an address.");
    page.types("address of the watchpoint", "0x3000");
    assert_eq!(page.told_stops(), [written(1, 0x3000, 8)]);
    page.types("address of the watchpoint", "table[3]");
    page.sees(0, expression);
    assert_eq!(
        page.told_stops(),
        [
            written(1, 0x3000, 8),
            named("table[3]", written(2, 0x4010, 4))
        ]
    );
    page.reads("stop 2: writes of table[3]: 4 bytes from 0x4010");
    for (text, why) in [
        ("nowhere", "nowhere: there is no variable `nowhere` here."),
        (
            "face",
            "face is in the register s1, not in memory: it cannot be watched.",
        ),
        ("lost", "lost is optimised out here: it cannot be watched."),
        (
            "twelve",
            "twelve is not in memory as a whole: it cannot be watched.",
        ),
    ] {
        page.types("address of the watchpoint", text);
        page.sees(0, expression);
        page.reads(why);
    }
}

#[test]
fn an_error_of_the_watchpoint_goes_with_what_was_wrong() {
    let mut page = Page::with_panel("Stops");
    let error = "Name a variable, or type an address.";
    let fail = |page: &mut Page| {
        page.press("add the watchpoint");
        page.reads(error);
    };
    fail(&mut page);
    page.press("length of the watchpoint");
    page.harness.event(Event::Text("4".to_owned()));
    page.frames();
    assert!(!page.can_read(error), "another length");
    fail(&mut page);
    page.press("address of the watchpoint");
    page.harness.event(Event::Text("0x".to_owned()));
    page.frames();
    assert!(!page.can_read(error), "another address");
    page.types("address of the watchpoint", " ");
    page.reads(error);
    page.press("watch reads");
    assert!(!page.can_read(error), "another access");
    page.press("watch reads");
    page.types("address of the watchpoint", "nowhere");
    page.sees(0, expression);
    page.reads("there is no variable");
    page.types("address of the watchpoint", "table[3]");
    page.sees(0, expression);
    assert!(!page.can_read("there is no variable"), "a good variable");
    page.types("address of the watchpoint", "nowhere");
    page.sees(0, expression);
    page.press("add a stop: exec");
    assert!(!page.can_read("there is no variable"), "another stop");
}

#[test]
fn expressions_are_shown_watched_and_shown_no_more() {
    let mut page = Page::with_panel("Variables");
    page.types("expression to show", "table[3]");
    page.sees(0, expression);
    page.reads("variable table[3] = 42");
    page.types("expression to show", "nowhere");
    page.sees(0, expression);
    page.reads("nowhere: there is no variable `nowhere` here");
    page.press("show nowhere no more");
    assert!(!page.can_read("nowhere"));
    page.takes(
        "variable table[3] = 42",
        "Watch it: stop where it is written",
    );
    let stop = named("table[3]", written(1, 0x4010, 4));
    assert_eq!(page.told_stops(), [stop]);
}

#[test]
fn marks_bring_back() {
    let mut page = Page::with_panel("Marks");
    page.goes_to("End", Target::End, END);
    page.types("note of the new mark", "it crashes");
    page.goes_to("Start", Target::Start, 0);
    let note = page.harness.get_by_label("note of mark 0");
    assert_eq!(note.value().as_deref(), Some("it crashes"));
    page.press("go to mark 0 at 1000000");
    page.asked(|command| *command == Command::Seek(Target::Icount(END)));
    page.press("remove mark 0");
    page.reads("No marks yet.");
}
