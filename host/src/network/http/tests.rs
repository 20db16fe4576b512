use super::*;
use proptest::prelude::*;

fn header(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// All that has been said, as text.
fn said(end: &mut HttpEnd) -> String {
    let text = String::from_utf8_lossy(end.output()).into_owned();
    end.sent(text.len());
    text
}

/// Hands in bytes in pieces, as far as they are wanted.
fn feed(end: &mut HttpEnd, mut bytes: &[u8], piece: usize) {
    while !bytes.is_empty() {
        let taken = piece.min(bytes.len()).min(end.wants());
        if taken == 0 {
            return;
        }
        end.feed(&bytes[..taken]);
        bytes = &bytes[taken..];
    }
}

#[test]
fn requests_are_answered_in_order() {
    for piece in [1, 7, 1000] {
        let mut end = HttpEnd::new();
        let sent = b"\r\nGET /a HTTP/1.1\r\nHost: x\r\nA: 1\r\nA: 2\r\n\r\nPUT /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc\
            POST http://y/c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n\
            HEAD /d HTTP/1.1\r\nConnection: close\r\n\r\nGET /never HTTP/1.1\r\n\r\n";
        let mut rest = &sent[..];
        let mut seen = Vec::new();
        let mut text = String::new();
        while !end.is_over() {
            let taken = piece.min(end.wants()).min(rest.len());
            end.feed(&rest[..taken]);
            rest = &rest[taken..];
            if let Some(request) = end.take_request() {
                assert_eq!((end.wants(), end.take_request()), (0, None));
                let body = String::from_utf8(request.body).unwrap();
                seen.push((request.method, request.target, request.headers.len(), body));
                let headers = [
                    header("X", "1"),
                    header("X", "2"),
                    header("Content-Length", "9"),
                ];
                end.head((200, "OK"), &headers);
                end.body(b"ab");
                end.body(b"");
                end.body(b"c");
                end.end();
            }
            text += &said(&mut end);
        }
        let expected = [
            ("GET", "/a", 3, ""),
            ("PUT", "/b", 1, "abc"),
            ("POST", "http://y/c", 1, "abc0123456789"),
            ("HEAD", "/d", 1, ""),
        ];
        let expected = expected.map(|(method, target, count, body)| {
            (method.to_owned(), target.to_owned(), count, body.to_owned())
        });
        assert_eq!(seen, expected, "in pieces of {piece}");
        let one = "HTTP/1.1 200 OK\r\nX: 1\r\nX: 2\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
        let last =
            "HTTP/1.1 200 OK\r\nX: 1\r\nX: 2\r\nContent-Length: 9\r\nConnection: close\r\n\r\n";
        assert_eq!(text, format!("{one}{one}{one}{last}"));
    }
}

#[test]
fn answers_end_as_the_client_understands() {
    let check = |request: &str, status: u16, expected: &str| {
        let mut end = HttpEnd::new();
        end.feed(request.as_bytes());
        end.take_request().unwrap();
        end.head(
            (status, "X"),
            &[
                header("Content-Encoding", "gzip"),
                header("Content-Length", "7"),
            ],
        );
        end.body(b"abc");
        end.end();
        assert_eq!(said(&mut end), expected, "{request}");
        end.is_over()
    };
    let kept = "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n";
    assert!(check(
        "GET / HTTP/1.0\r\n\r\n",
        200,
        "HTTP/1.1 200 X\r\nConnection: close\r\n\r\nabc"
    ));
    assert!(check(
        kept,
        200,
        "HTTP/1.1 200 X\r\nConnection: close\r\n\r\nabc"
    ));
    assert!(!check(
        kept,
        204,
        "HTTP/1.1 204 X\r\nConnection: keep-alive\r\n\r\n"
    ));
    let head = "HEAD / HTTP/1.1\r\n\r\n";
    assert!(!check(
        head,
        200,
        "HTTP/1.1 200 X\r\nConnection: keep-alive\r\n\r\n"
    ));
    let get = "GET / HTTP/1.1\r\n\r\n";
    assert!(!check(
        get,
        304,
        "HTTP/1.1 304 X\r\nConnection: keep-alive\r\n\r\n"
    ));

    let mut end = HttpEnd::new();
    end.feed(get.as_bytes());
    end.take_request().unwrap();
    end.answer(
        (502, "No\r\nway: ü€"),
        &[header("Bad name", "x"), header("Split", "a\r\nb: c")],
        b"why",
    );
    let text = end.output().to_vec();
    assert_eq!(
        text,
        b"HTTP/1.1 502 Noway: \xfc?\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nwhy"
    );
}

#[test]
fn a_client_is_told_to_go_on() {
    let mut end = HttpEnd::new();
    end.feed(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_eq!(said(&mut end), "HTTP/1.1 100 Continue\r\n\r\n");
    end.feed(b"ab");
    assert_eq!(end.take_request().unwrap().body, b"ab");
    // Whoever does not wait need not be told, and whoever sends nothing has nothing to wait for.
    for sent in [
        "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\na",
        "GET / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n",
        "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
    ] {
        let mut end = HttpEnd::new();
        end.feed(sent.as_bytes());
        assert_eq!(said(&mut end), "");
    }
}

#[test]
fn what_is_no_request_is_refused() {
    let check = |sent: &[u8], status: u16| {
        let mut end = HttpEnd::new();
        feed(&mut end, sent, 1000);
        assert_eq!(end.take_request(), None);
        let text = said(&mut end);
        let shown = String::from_utf8_lossy(&sent[..sent.len().min(80)]);
        assert!(
            text.starts_with(&format!("HTTP/1.1 {status} ")),
            "{shown}: {text}"
        );
        assert!(end.is_over() && end.wants() > 0);
        // What follows is nobody's.
        end.feed(b"GET / HTTP/1.1\r\n\r\n");
        assert!(end.is_over() && end.take_request().is_none());
    };
    check(b"\x16\x03\x01\x02\x00", 400);
    check(b"GET /\r\n\r\n", 400);
    check(b"GET / HTTP/2.0\r\n\r\n", 400);
    check(b"GET / HTTP/1.1\r\nA b: c\r\n\r\n", 400);
    let head = |lines: &str| format!("POST / HTTP/1.1\r\n{lines}\r\n\r\n").into_bytes();
    check(&head("Content-Length: x"), 400);
    check(&head("Content-Length: -1"), 400);
    check(&head("Content-Length: +1"), 400);
    check(&head("Content-Length: 1, 2"), 400);
    check(&head("Content-Length: 1\r\nContent-Length: 2"), 400);
    check(
        &head("Content-Length: 1\r\nTransfer-Encoding: chunked"),
        400,
    );
    check(&head("Transfer-Encoding: gzip, chunked"), 501);
    check(
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
    );
    check(&head("Content-Length: 16777217"), 413);
    check(&head("Content-Length: 99999999999999999999999"), 413);
    check(&[b"GET /".to_vec(), vec![b'a'; 70_000]].concat(), 431);
    let many = "A: b\r\n".repeat(200);
    check(&head(many.trim_end()), 431);
    let chunked = |body: &str| [&head("Transfer-Encoding: chunked")[..], body.as_bytes()].concat();
    check(&chunked("x\r\n"), 400);
    check(&chunked("\r\n"), 400);
    check(&chunked("1\r\nab\r\n"), 400);
    check(&chunked(&format!("1;{}", "a".repeat(300))), 400);
    check(&chunked(&format!("0\r\n{}", "a: b\r\n".repeat(2000))), 431);
    let long = "100000\r\n".to_owned() + &"a".repeat(1 << 20) + "\r\n";
    check(&chunked(&long.repeat(17)), 413);
}

#[test]
fn a_client_that_goes_away_or_an_answer_that_breaks_off_ends_it() {
    for sent in [
        "",
        "GET / HT",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab",
    ] {
        let mut end = HttpEnd::new();
        end.feed(sent.as_bytes());
        end.feed_end();
        assert!(end.is_over() && !end.is_broken(), "{sent}");
    }
    // One that has only said its last still gets its answer.
    let mut end = HttpEnd::new();
    end.feed(b"GET / HTTP/1.1\r\n\r\n");
    end.feed_end();
    assert!(!end.is_over());
    end.take_request().unwrap();
    assert!(!end.break_off());
    end.answer((200, "OK"), &[], b"");
    assert!(said(&mut end).starts_with("HTTP/1.1 200 OK"));
    assert!(end.is_over());

    let mut end = HttpEnd::new();
    end.feed(b"GET / HTTP/1.1\r\n\r\n");
    end.take_request().unwrap();
    end.head((200, "OK"), &[]);
    end.body(b"abc");
    assert!(end.break_off() && end.is_broken() && !end.is_over());
    end.body(b"more");
    end.end();
    assert!(said(&mut end).ends_with("\r\n\r\n3\r\nabc\r\n"));
    assert!(end.is_over());
}

#[test]
fn a_body_may_be_refused_for_others() {
    let mut end = HttpEnd::new();
    end.feed(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab");
    assert_eq!(end.held_bytes(), 2);
    end.refuse_body();
    assert!(said(&mut end).starts_with("HTTP/1.1 503 "));
    assert_eq!(end.held_bytes(), 0);
}

#[test]
fn there_is_room_while_it_is_sent() {
    let mut end = HttpEnd::new();
    end.feed(b"GET / HTTP/1.0\r\n\r\n");
    end.take_request().unwrap();
    end.head((200, "OK"), &[]);
    let mut total = 0;
    for _ in 0..100 {
        while end.room() > 0 {
            end.body(&[7; 10_000]);
            total += 10_000;
        }
        assert!(end.output().len() < OUTPUT_BYTES + 10_000);
        end.sent(100_000);
        total -= 100_000;
    }
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".len();
    assert_eq!(end.output().len(), total + head);
}

#[test]
fn other_protocols_are_told_apart() {
    let check = |bytes: &[u8], expected| assert_eq!(begins_as_http(bytes), expected, "{bytes:?}");
    check(b"", None);
    check(b"GE", None);
    check(b"GET /", Some(true));
    check(b"M-SEARCH * HTTP/1.1", Some(true));
    check(b" GET", Some(false));
    check(b"get /", Some(false));
    check(b"SSH-2.0-x", Some(false));
    check(b"\x16\x03\x01", Some(false));
    check(&[b'A'; 25], Some(false));
}

proptest! {
    #[test]
    fn no_bytes_do_harm(
        pieces in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..20)), 0..40),
    ) {
        const WORDS: [&[u8]; 12] = [
            b"GET / HTTP/1.1\r\n", b"POST /x HTTP/1.0\r\n", b"\r\n", b"Content-Length: 3\r\n", b"abc", b"3\r\n", b"0\r\n\r\n",
            b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"HEAD * HTTP/1.1\r\n\r\n", b": ",
        ];
        let mut end = HttpEnd::new();
        for (pick, noise) in &pieces {
            let word = WORDS.get(usize::from(pick % 16)).copied().unwrap_or(noise);
            feed(&mut end, word, usize::from(pick / 16) + 1);
            if let Some(request) = end.take_request() {
                prop_assert!(request.body.len() <= BODY_BYTES_MAX);
                if pick % 3 == 0 {
                    end.answer((200, "OK"), &[], noise);
                } else {
                    end.head((u16::from(*pick) * 5, "x"), &[]);
                    end.body(noise);
                    if pick % 3 == 1 { end.end(); } else { end.break_off(); }
                }
            }
        }
        end.feed_end();
        let length = end.output().len();
        end.sent(length);
        if let State::Asked { .. } = end.state {
            end.take_request();
            end.answer((200, "OK"), &[], b"");
        }
    }
}
