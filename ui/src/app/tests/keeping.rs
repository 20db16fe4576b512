//! What is nowhere else is not lost by a click, and how the page looks is kept.

use super::*;
use egui::accesskit::Role;
use egui::epaint::{ClippedShape, Color32, Shape};

impl Page {
    /// A page on which a machine runs.
    fn with_machine() -> Page {
        let mut page = Page::new();
        page.press("Boot Linux");
        let boot = page.asked(|command| matches!(command, Command::Boot(_)));
        page.main_says([Message::Opened(recording(true)), Message::Done { id: boot }]);
        page
    }

    /// The color that a point was filled with last.
    fn fill_at(&self, pos: Pos2) -> Option<Color32> {
        let shapes = self.harness.output().shapes.iter();
        let mut fills = shapes.filter_map(
            |ClippedShape {
                 clip_rect, shape, ..
             }| match shape {
                Shape::Rect(rect)
                    if clip_rect.contains(pos)
                        && rect.rect.contains(pos)
                        && rect.fill.is_opaque() =>
                {
                    Some(rect.fill)
                }
                _ => None,
            },
        );
        fills.next_back()
    }

    fn has(&self, label: &str) -> bool {
        self.harness.query_by_label(label).is_some()
    }
}

#[test]
fn a_recording_that_is_nowhere_else_is_left_only_on_demand() {
    let mut page = Page::with_machine();
    page.press("Start page");
    assert_eq!(page.state()["mode"], "running");
    page.press("Stay");
    assert_eq!(page.state()["dialog"], false);
    // What would take its place waits as well.
    page.host.file.replace(Some(File {
        name: "bug.rpt".to_owned(),
        bytes: Ok(b"trace\0".to_vec()),
    }));
    page.frames();
    assert_eq!(page.state()["mode"], "running");
    page.press("Leave it");
    page.asked(|command| matches!(command, Command::Open(TraceSource::Bytes(_))));
    assert_eq!(page.state()["mode"], "opening");
}

#[test]
fn a_recording_that_was_shared_is_left_at_once_until_it_goes_on() {
    let mut page = Page::with_machine();
    page.press("Pause");
    let pause = page.asked(|command| *command == Command::Pause);
    page.arrive(pause, 2_500);
    let save = page.asked(|command| matches!(command, Command::Save { .. }));
    page.main_says([
        Message::Trace {
            id: save,
            bytes: vec![1, 2, 3],
            packed: None,
        },
        Message::Done { id: save },
    ]);
    page.press("Share");
    assert!(!page.has("copied"));
    page.press("Copy link");
    assert!(page.has("copied"));
    page.harness.key_press(Key::Escape);
    page.frames();
    page.press("Resume");
    let resume = page.asked(|command| *command == Command::Resume);
    page.main_says([Message::Done { id: resume }]);
    // Letters are the machine's again.
    page.harness.event(Event::Text("g".to_owned()));
    page.frames();
    page.asked(|command| *command == Command::Type(b"g".to_vec()));
    page.press("Start page");
    page.press("Leave it");
    assert_eq!(page.state()["mode"], "start");

    let mut page = Page::with_recording();
    page.press("Start page");
    assert_eq!(page.state()["mode"], "start");
}

#[test]
fn all_of_a_page_is_light_or_dark() {
    let mut page = Page::with_recording();
    for (choice, is_dark) in [("Light", false), ("Dark", true)] {
        page.press("View");
        page.press(choice);
        assert_eq!(page.harness.ctx.theme() == egui::Theme::Dark, is_dark);
        // In panels where little is drawn.
        for pos in [page.timeline(END / 2), egui::pos2(1000.0, 320.0)] {
            let fill = page.fill_at(pos).expect("something is drawn");
            assert_eq!(
                fill.intensity() < 0.5,
                is_dark,
                "{choice}: {fill:?} at {pos}"
            );
        }
    }
}

#[test]
fn the_bar_has_one_line_whatever_the_machine_does() {
    for mut page in [Page::with_machine(), Page::with_recording()] {
        page.frames();
        let height = |label| page.harness.get_by_label(label).rect().center().y;
        let (first, last) = (height("Start page"), height("Keys"));
        assert!((first - last).abs() < 4.0, "{first} {last}");
    }
}

#[test]
fn what_is_no_link_is_told_so() {
    let mut page = Page::new();
    let field = page
        .harness
        .get_by_role_and_label(Role::TextInput, "link or address");
    field.focus();
    page.frames();
    page.harness.event(Event::Text("foo".to_owned()));
    page.press("Open link");
    let failure = page.state()["failure"].to_string();
    assert!(failure.contains("is no link to a recording"), "{failure}");
}
