//! Searches of a whole recording, divided over engines.

use super::{END, Page};
use crate::host::Capacity;
use crate::link::Scripted;
use reprise_worker::protocol::{Command, Message, Request, RequestId};

/// What engines were asked to search, each with the number of its request.
fn searches(engine: &Scripted) -> Vec<(RequestId, u64, u64, u64)> {
    let sent = engine.sent.take();
    let searches = sent
        .into_iter()
        .filter_map(|request| match request.command {
            Command::FindHitsIn { at, from, to, .. } => Some((request.id, at, from, to)),
            _ => None,
        });
    searches.collect()
}

fn hits(id: RequestId, icounts: &[u64]) -> [Message; 2] {
    [
        Message::Hits {
            id,
            stop: 1,
            icounts: icounts.to_vec(),
            is_capped: false,
        },
        Message::Done { id },
    ]
}

impl Page {
    /// A page with a stop, whose recording has been read through, on a computer with processors and memory for three engines
    /// that search.
    fn with_searchers() -> Page {
        let mut page = Page::with_panel("Stops");
        page.host.capacity.set(Capacity {
            processors: 4,
            memory_mebibytes: 8192,
        });
        page.types("place of the breakpoint", "main");
        let ids: Vec<RequestId> = page
            .reader
            .sent
            .take()
            .iter()
            .map(|request| request.id)
            .collect();
        let verified = Message::Verified {
            icount: END,
            hash: "hash".to_owned(),
            hash_count: 1,
        };
        page.reader_says([verified]);
        page.reader_says(ids.into_iter().map(|id| Message::Done { id }));
        page.main.sent.borrow_mut().clear();
        page
    }

    fn engine_says(&mut self, number: usize, messages: impl IntoIterator<Item = Message>) {
        self.host.engines.borrow()[number]
            .to_say
            .borrow_mut()
            .extend(messages);
        self.frames();
    }
}

#[test]
fn a_search_is_divided_at_keyframes_and_moves_nobody() {
    let mut page = Page::with_searchers();
    page.press("find all hits of stop 1");
    assert!(page.main.sent.borrow().is_empty());
    assert_eq!(page.host.engines.borrow().len(), 2);
    let others: Vec<Scripted> = page.host.engines.borrow().clone();
    let [(first, at, 0, 200_000)] = searches(&page.reader)[..] else {
        panic!("the reader has another part");
    };
    assert_eq!(at, 0);
    let opens = |request: &Request| matches!(request.command, Command::Open(_));
    for (number, other) in others.iter().enumerate() {
        let open = other
            .sent
            .borrow()
            .iter()
            .find(|request| opens(request))
            .map(|open| open.id);
        let id = open.expect("it is given the trace");
        page.engine_says(number, [Message::Done { id }]);
    }
    let parts: Vec<_> = others.iter().map(searches).collect();
    assert!(
        matches!(parts[0][..], [(_, 0, 200_000, 700_000)]),
        "{parts:?}"
    );
    assert!(matches!(parts[1][..], [(_, 0, 700_000, END)]), "{parts:?}");
    assert_eq!(page.state()["is_busy"], true);
    assert_eq!(page.state()["searched_by"], 3);

    // How far it is, is how far all of them are; what an engine tells of something else is not about that.
    let progress = |id, done, total| Message::Progress {
        id,
        what: "looking for hits".to_owned(),
        done,
        total,
    };
    page.reader_says([progress(first, 100_000, 200_000)]);
    page.engine_says(0, [progress(parts[0][0].0, 250_000, 500_000)]);
    page.engine_says(1, [progress(parts[1][0].0, 7, 1 << 20)]);
    page.reads("looking for hits: 35 %");

    // They end in any order; what lies at the edge of two parts is one hit.
    page.engine_says(1, hits(parts[1][0].0, &[700_000, 900_000]));
    page.reader_says(hits(first, &[300, 600]));
    page.engine_says(0, hits(parts[0][0].0, &[650_000, 700_000]));
    page.reads("5 hits of stop 1");
    assert_eq!(page.state()["is_busy"], false);

    // The next search opens nothing, and is ended by the person.
    page.press("add a stop: exec");
    page.press("find all hits of stop 2");
    assert!(
        !others
            .iter()
            .any(|other| other.sent.borrow().iter().any(opens))
    );
    let [(first, ..)] = searches(&page.reader)[..] else {
        panic!("the reader searches nothing");
    };
    page.press("Stop");
    let sent = page.reader.sent.take();
    assert!(
        sent.iter()
            .any(|request| request.command == Command::Cancel)
    );
    // While the reader has not come to its end, the main engine searches.
    page.press("find all hits of stop 2");
    let id = page.asked(|command| matches!(command, Command::FindHits(_)));
    page.reader_says([Message::Failed {
        id: first,
        message: "stopped".to_owned(),
        is_cancelled: true,
    }]);
    page.main_says([Message::Done { id }]);
    assert!(page.state()["failure"].is_null());
    // Those that were at it have ended, and others begin.
    page.press("find all hits of stop 2");
    assert_eq!(page.host.engines.borrow().len(), 4);
    let engines: Vec<Scripted> = page.host.engines.borrow().clone();
    assert!(
        engines[2..]
            .iter()
            .all(|other| other.sent.borrow().iter().any(opens))
    );
}

#[test]
fn what_lies_behind_a_part_with_too_many_hits_is_not_known() {
    let mut page = Page::with_searchers();
    page.press("find all hits of stop 1");
    let others: Vec<Scripted> = page.host.engines.borrow().clone();
    let first = searches(&page.reader)[0].0;
    let [second, third] = [&others[0], &others[1]].map(|other| searches(other)[0].0);
    page.engine_says(1, hits(third, &[800_000]));
    let [mut too_many, done] = hits(second, &[300_000, 400_000]);
    if let Message::Hits { is_capped, .. } = &mut too_many {
        *is_capped = true;
    }
    page.engine_says(0, [too_many, done]);
    page.reader_says(hits(first, &[5]));
    page.reads("the first 3 hits; there are more of stop 1");
}

#[test]
fn a_search_ends_with_an_engine_and_the_page_goes_on() {
    let mut page = Page::with_searchers();
    page.press("find all hits of stop 1");
    let other = page.host.engines.borrow()[1].clone();
    other
        .end
        .replace(Some("an engine has stopped: out of memory".to_owned()));
    page.frames();
    assert_eq!(
        page.state()["failure"],
        "The search has ended: an engine has stopped: out of memory"
    );
    assert_eq!(page.state()["searched_by"], 1);
    let sent = page.reader.sent.take();
    assert!(
        sent.iter()
            .any(|request| request.command == Command::Cancel)
    );
}

#[test]
fn a_search_in_which_an_engine_fails_ends_and_says_why() {
    let mut page = Page::with_searchers();
    page.press("find all hits of stop 1");
    let other = page.host.engines.borrow()[0].clone();
    let [open, _] = &other.sent.take().into_iter().collect::<Vec<_>>()[..] else {
        panic!("it was asked for something else");
    };
    page.engine_says(
        0,
        [Message::Failed {
            id: open.id,
            message: "there is no memory".to_owned(),
            is_cancelled: false,
        }],
    );
    assert_eq!(page.state()["failure"], "there is no memory");
    let sent = page.reader.sent.take();
    assert!(
        sent.iter()
            .any(|request| request.command == Command::Cancel)
    );
}
