//! Recordings of a workspace and of a network on the page, where there are none.

use super::super::workspace::Desk;
use super::*;
use reprise_worker::protocol::InputKind;

#[test]
fn a_workspace_replays_on_the_page_and_can_be_shared_from_there() {
    let desk = Desk::new();
    std::fs::write(desk.path("w/note"), "from the workspace\n").unwrap();
    let recorded = desk
        .record("w", "cat note; echo more >> note; cat note")
        .expect(0);
    std::fs::remove_dir_all(desk.path("w")).unwrap();

    let mut page = Page::new();
    page.open(&desk.path("trace.rpt"));
    let inputs = page.recording().inputs;
    let read = InputKind::File {
        path: "note".to_owned(),
        offset: 0,
        byte_len: Some(19),
    };
    assert!(inputs.iter().any(|input| input.kind == read), "{inputs:?}");
    page.order(Command::Index);
    assert_eq!(page.verified(), recorded.end());
    page.order(Command::Seek(Target::End));
    page.order(Command::Seek(Target::Icount(0)));

    // What is shared holds what it takes, in either form.
    page.order(Command::Save {
        embeds_images: true,
    });
    std::fs::write(desk.path("trace.rpt"), page.trace()).unwrap();
    let replayed = desk.reprise(&["replay", "trace.rpt"]).expect(0);
    assert_eq!(recorded.end(), replayed.end());
    page.order(Command::Save {
        embeds_images: false,
    });
    let mut other = Page::new();
    other.order(Command::Open(TraceSource::Bytes(page.packed())));
    other.order(Command::Index);
    assert_eq!(other.verified(), recorded.end());
}

#[test]
fn a_recording_of_a_network_replays_on_the_page() {
    let desk = Desk::new();
    // Nobody listens there: the gateway's answers are frames as well.
    let arguments = ["record", "--net", "-o", "trace.rpt", "--"];
    let command = ["wget", "-qO-", "http://10.0.2.2:1/"];
    let recorded = desk.reprise(&[&arguments[..], &command].concat()).expect(1);
    let mut page = Page::new();
    page.open(&desk.path("trace.rpt"));
    let is_frame = |input: &Input| matches!(input.kind, InputKind::Frame { .. });
    assert!(page.recording().inputs.iter().any(is_frame));
    page.order(Command::Index);
    assert_eq!(page.verified(), recorded.end());
}
