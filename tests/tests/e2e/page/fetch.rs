//! The network of a live machine's guest, with the test in the place of the browser that fetches.

use super::{Page, boot};
use crate::support::{folder, replay};
use reprise_host::network::web::{Fetch, FetchId};
use reprise_worker::protocol::{Boot, Command, FetchStage, Look, Message, TraceSource, View};

fn boot_with_network(command: &[&str]) -> Command {
    match boot(command) {
        Command::Boot(boot) => Command::Boot(Boot {
            network: true,
            ..boot
        }),
        _ => unreachable!(),
    }
}

impl Page {
    /// Lets the machine run until its guest fetches something.
    fn next_fetch(&mut self) -> Fetch {
        loop {
            self.turn();
            if let Some(fetch) = self.engine.take_fetch() {
                return fetch;
            }
        }
    }

    /// Answers a fetch with bytes, as many at a time as are wanted.
    fn respond(&mut self, id: FetchId, bytes: &[u8]) {
        let headers = [("X-Kind".to_owned(), "test".to_owned())];
        assert!(self.engine.fetch_head(id, 200, "OK", &headers));
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = self.engine.fetch_room(id).min(rest.len()).min(100_000);
            assert!(self.engine.fetch_body(id, &rest[..room]));
            rest = &rest[room..];
            self.turn();
        }
        self.engine.fetch_end(id);
    }

    fn stages(&self) -> Vec<(u32, FetchStage)> {
        let told = self.messages.iter().filter_map(|message| match message {
            Message::Fetch(news) => Some((news.number, news.stage.clone())),
            _ => None,
        });
        told.collect()
    }

    fn enter(&mut self, line: &str) {
        self.order(Command::Type(format!("{line}\n").into_bytes()));
    }
}

#[test]
fn what_a_guest_fetches_is_recorded_and_replays_without_anybody() {
    let mut page = Page::new();
    page.order(boot_with_network(&[]));
    page.wait_for("# ");
    page.enter("wget -qO- http://example.org/a; echo and on$((1+1))ward");
    let fetch = page.next_fetch();
    assert_eq!(
        (&fetch.method[..], &fetch.url[..]),
        ("GET", "http://example.org/a")
    );
    assert!(fetch.body.is_empty());
    page.respond(fetch.id, b"an answer\n");
    page.wait_for("an answer\r\nand on2ward");

    // The gateway stands for the browser's computer, and a guest that waits wakes when something comes.
    page.enter("wget -qO- http://10.0.2.2:8000/large | md5sum");
    let fetch = page.next_fetch();
    assert_eq!(fetch.url, "http://127.0.0.1:8000/large");
    for _ in 0..50 {
        page.turn();
    }
    let large: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    page.respond(fetch.id, &large);
    page.wait_for("d85bc23258cf4ec207963f9f2f02c38d  -");

    // What the browser refuses is explained.
    page.enter("printf 'GET /x HTTP/1.0\\r\\nHost: a.example\\r\\n\\r\\n' | nc 198.18.200.1 80; echo en'd'ed");
    let fetch = page.next_fetch();
    page.engine.fetch_failed(fetch.id, "Failed to fetch.");
    page.wait_for("ended");
    page.wait_for("did not hand over http://a.example/x: Failed to fetch.");

    // One that the guest gives up is given up.
    page.enter("timeout 1 wget -qO- http://example.org/slow; echo given u'p'");
    let fetch = page.next_fetch();
    page.wait_for("given up");
    assert!(page.engine.fetch_head(fetch.id, 200, "OK", &[]));
    let given_up = loop {
        page.engine.fetch_body(fetch.id, b"x");
        page.turn();
        if let Some(id) = page.engine.take_abort() {
            break id;
        }
    };
    assert_eq!(given_up, fetch.id);
    assert!(!page.engine.fetch_body(fetch.id, b"x"));
    page.wait_for("# ");

    let ended = |byte_len, failure: Option<&str>| FetchStage::Ended {
        byte_len,
        failure: failure.map(str::to_owned),
    };
    for _ in 0..5 {
        page.turn();
    }
    let stages: Vec<_> = (page.stages().into_iter())
        .filter(|(_, stage)| !matches!(stage, FetchStage::Begun { .. }))
        .collect();
    let expected = [
        (1, FetchStage::Answered { status: 200 }),
        (1, ended(10, None)),
        (2, FetchStage::Answered { status: 200 }),
        (2, ended(3_000_000, None)),
        (3, ended(0, Some("Failed to fetch."))),
        (4, FetchStage::Answered { status: 200 }),
    ];
    assert_eq!(stages[..6], expected);
    let FetchStage::Ended { failure, .. } = &stages[6].1 else {
        panic!("{stages:?}");
    };
    assert_eq!(failure.as_deref(), Some("the guest gave it up"));

    // What was recorded replays without a network, here and on the command line.
    page.order(Command::Pause);
    let View::Hash(hash) = page.look(Look::Hash) else {
        panic!("no hash");
    };
    page.order(Command::Save {
        embeds_images: false,
    });
    let bytes = page.trace();
    let folder = folder();
    let trace = folder.path().join("fetched.rpt");
    std::fs::write(&trace, &bytes).unwrap();
    let native = replay(&trace).expect(0);
    assert!(
        native.end().ends_with(&format!("hash={hash}")),
        "{}",
        native.end()
    );
    assert!(native.stdout.contains("an answer"));

    let mut other = Page::new();
    other.order(Command::Open(TraceSource::Bytes(bytes)));
    // What was fetched is listed with it.
    assert_eq!(other.stages(), page.stages());
    other.order(Command::Index);
    assert_eq!(other.verified(), native.end());
    assert_eq!(other.engine.take_fetch(), None);
}

#[test]
fn a_machine_that_is_left_fetches_no_more() {
    let mut page = Page::new();
    page.order(boot_with_network(&["wget", "-qO-", "http://example.org/"]));
    let fetch = page.next_fetch();
    page.order(Command::Close);
    assert_eq!(page.engine.take_abort(), Some(fetch.id));
    assert_eq!(page.engine.take_abort(), None);
    assert!(!page.engine.fetch_head(fetch.id, 200, "OK", &[]));
    // Another one's fetches have other numbers.
    page.order(boot_with_network(&["wget", "-qO-", "http://example.org/"]));
    assert!(page.next_fetch().id > fetch.id);
    // Without the network there is none.
    page.order(boot(&["ifconfig", "eth0"]));
    page.wait_for("eth0");
    assert_eq!(page.engine.take_fetch(), None);
}
