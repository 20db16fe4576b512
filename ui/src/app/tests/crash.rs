//! The way from the end of a recording to what went wrong in it.

use super::panels::{breakpoint, frame};
use super::{END, Page, position};
use egui::{Key, Modifiers, vec2};
use egui_kittest::kittest::Queryable as _;
use reprise_worker::protocol::{
    Command, FatalSignal, Frame, Look, Message, Position, RequestId, Target, Thread, View,
};

/// Where the signal came.
const FAULT: u64 = 600_000;

fn signal() -> Message {
    Message::FatalSignal(FatalSignal {
        icount: FAULT,
        tid: 57,
        thread: "uaf".to_owned(),
        signal: "SIGSEGV".to_owned(),
    })
}

impl Page {
    /// What the page says of why it stands where it does.
    fn reasons(&mut self) -> serde_json::Value {
        self.state()["reasons"].take()
    }

    /// A run that stops somewhere for a reason.
    fn runs_to(&mut self, icount: u64, reason: &str) {
        self.harness.key_press(Key::F5);
        self.frames();
        let run = self.asked(|command| matches!(command, Command::Run { .. }));
        self.main_says([
            Message::Position(Position {
                reasons: vec![reason.to_owned()],
                stops: vec![1],
                ..position(run, icount)
            }),
            Message::Done { id: run },
        ]);
    }

    fn goes_back_to(&mut self, icount: u64) {
        self.harness
            .key_press_modifiers(Modifiers::ALT, Key::ArrowLeft);
        self.frames();
        let back = self.asked(|command| *command == Command::Seek(Target::Icount(icount)));
        self.arrive(back, icount);
    }
}

#[test]
fn a_signal_that_ended_the_program_is_told_and_gone_to() {
    let mut page = Page::with_recording();
    assert!(!page.can_read("was ended by"));
    page.reader_says([signal()]);
    page.reads("uaf (thread 57) was ended by SIGSEGV.");
    assert_eq!(page.state()["signal"], "SIGSEGV");
    page.press("go to the signal");
    let seek = page.asked(|command| *command == Command::Seek(Target::Icount(FAULT)));
    page.arrive(seek, FAULT);
    assert_eq!(page.reasons(), serde_json::json!(["SIGSEGV ends uaf"]));
    assert!(!page.can_read("was ended by"));
    assert_eq!(page.state()["signal"], serde_json::Value::Null);
    // The way back is there.
    page.goes_back_to(END);
}

#[test]
fn a_signal_is_dismissed() {
    let mut page = Page::with_recording();
    page.reader_says([signal()]);
    page.press("dismiss the signal");
    assert!(!page.can_read("was ended by"));
    assert_eq!(page.seeks(), []);
}

#[test]
fn who_stands_at_the_signal_is_not_sent_there() {
    let mut page = Page::with_recording();
    page.press("Start");
    let seek = page.asked(|command| *command == Command::Seek(Target::Start));
    page.arrive(seek, FAULT);
    page.reader_says([signal()]);
    assert!(!page.can_read("was ended by"));
}

#[test]
fn who_comes_back_to_a_hit_is_told_what_was_met_there() {
    let mut page = Page::with_recording();
    page.runs_to(300_000, "total (0x4010) was written");
    page.runs_to(400_000, "breakpoint at main (0x10430)");
    page.goes_back_to(300_000);
    assert_eq!(
        page.reasons(),
        serde_json::json!(["total (0x4010) was written"])
    );
    assert_eq!(page.state()["met"], serde_json::json!([1]));
    page.harness
        .key_press_modifiers(Modifiers::ALT, Key::ArrowRight);
    page.frames();
    let forth = page.asked(|command| *command == Command::Seek(Target::Icount(400_000)));
    page.arrive(forth, 400_000);
    assert_eq!(
        page.reasons(),
        serde_json::json!(["breakpoint at main (0x10430)"])
    );
    // What was met at a place is of no account elsewhere.
    page.goes_back_to(300_000);
    page.goes_back_to(END);
    assert_eq!(page.reasons(), serde_json::json!([]));
}

/// Calls of a program in the kernel.
fn stack_in_kernel(look: &Look) -> Option<View> {
    let kernel = |function, pc| Frame {
        location: None,
        is_kernel: true,
        ..frame(function, pc, 0)
    };
    matches!(look, Look::Stack(_)).then(|| {
        View::Stack(vec![
            kernel("do_coredump", 0xffff_ffff_8000_1000),
            kernel("get_signal", 0xffff_ffff_8000_2000),
            frame("follow_link", 0x10434, 120),
            frame("main", 0x10500, 150),
        ])
    })
}

impl Page {
    /// A page with the stack in front that stands in the kernel, which works for a program.
    fn in_kernel() -> Page {
        let mut page = Page::with_panel("Stack");
        page.harness.set_size(vec2(1900.0, 1400.0));
        page.stops_in_kernel(FAULT);
        page
    }

    fn stops_in_kernel(&mut self, icount: u64) {
        self.press("Start");
        let seek: RequestId = self.asked(|command| *command == Command::Seek(Target::Start));
        self.main_says([
            Message::Position(Position {
                is_user: false,
                ..position(seek, icount)
            }),
            Message::Done { id: seek },
        ]);
        self.sees(icount, stack_in_kernel);
    }

    fn variables_are_of_frame(&mut self, frame: u32) {
        self.press("Variables");
        self.looks_at(&Look::Variables {
            thread: Thread::Current,
            frame,
        });
        self.press("Stack");
        self.sees(FAULT, stack_in_kernel);
    }
}

#[test]
fn in_the_kernel_the_programs_own_call_is_selected() {
    let mut page = Page::in_kernel();
    page.variables_are_of_frame(2);
    // The person's choice wins, the kernel's calls too, until the position is another.
    page.press("frame 1: get_signal, kernel");
    page.variables_are_of_frame(1);
    page.stops_in_kernel(FAULT + 1);
    page.variables_are_of_frame(2);
}

#[test]
fn in_the_program_the_innermost_call_is_selected() {
    let mut page = Page::with_panel("Stack");
    page.sees(0, stack_in_kernel);
    page.press("Variables");
    page.looks_at(&Look::Variables {
        thread: Thread::Current,
        frame: 0,
    });
}

#[test]
fn the_menu_of_views_is_on_the_first_line_of_the_bar() {
    let mut page = Page::with_recording();
    for width in [1400.0, 1000.0, 700.0] {
        page.harness.set_size(vec2(width, 900.0));
        page.frames();
        let height = |label| page.harness.get_by_label(label).rect().center().y;
        let (first, views) = (height("Start page"), height("View"));
        assert!((first - views).abs() < 4.0, "{width}: {first} {views}");
    }
}

#[test]
fn stops_keep_their_names() {
    let mut page = Page::with_panel("Stops");
    page.types("place of the breakpoint", "main");
    assert_eq!(page.told_stops(), [breakpoint(1, "main")]);
    page.reads("stop 1: at main");
}
