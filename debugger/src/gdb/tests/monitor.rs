//! What people type after `monitor`.

use super::*;

#[test]
fn help_names_every_command() {
    let mut client = Client::greeted();
    let help = client.monitor("help");
    for command in [
        "when",
        "seek",
        "start",
        "end",
        "mark",
        "marks",
        "events",
        "who-wrote",
        "who-read",
        "diverge",
        "return",
        "save",
        "catch",
        "ps",
        "maps",
        "files",
    ] {
        assert!(help.contains(command), "{command}");
    }
    assert_eq!(client.monitor("  help  "), help);
    assert_eq!(client.monitor(""), help);
    let said = client.monitor("fly to the moon");
    assert!(
        said.contains("`fly to the moon`") && said.contains("monitor help"),
        "{said}"
    );
}

#[test]
fn commands_that_are_no_text_do_no_harm() {
    let mut client = Client::greeted();
    let replies = client.send(b"qRcmd,zz");
    assert!(replies[0].starts_with(b"E"));
    let replies = client.send(b"qRcmd,ff00fe");
    assert_eq!(replies.last().unwrap(), b"OK");
}

#[test]
fn positions_are_sought_in_many_ways() {
    let mut client = Client::greeted();
    let end = client.end();
    let check = |client: &mut Client, command: &str, expected: u64| {
        let said = client.monitor(command);
        assert!(
            said.starts_with(&format!("icount {expected} of {end}, ")),
            "{command}: {said}"
        );
        assert_eq!(client.position(), Icount(expected), "{command}");
        let without_edge = said.replace(", the beginning", "").replace(", the end", "");
        assert_eq!(client.monitor("when"), without_edge);
    };
    check(&mut client, "seek 1000", 1000);
    check(&mut client, "seek +0x10", 1016);
    check(&mut client, "seek -16", 1000);
    check(&mut client, "seek -5000", 0);
    check(&mut client, "end", end.0);
    check(&mut client, "seek +1", end.0);
    check(&mut client, "start", 0);
    check(&mut client, "seek 18446744073709551615", end.0);
    check(&mut client, "seek +18446744073709551615", end.0);
    check(&mut client, "seek time 0", 0);
    check(&mut client, "seek time 1e300", end.0);
    let events: Vec<u64> = client
        .server
        .session()
        .timeline()
        .events()
        .iter()
        .map(|event| event.icount.0)
        .collect();
    for (number, at) in events.iter().enumerate() {
        check(&mut client, &format!("seek event {number}"), *at);
    }
    check(&mut client, "seek event 99999999999", end.0);
    check(&mut client, "seek 1234", 1234);
    for command in [
        "seek",
        "seek x",
        "seek -",
        "seek +-1",
        "seek time",
        "seek time -1",
        "seek time nan",
        "seek event",
        "seek event x",
        "seek mark nowhere",
        "seek 1 2 3",
    ] {
        let said = client.monitor(command);
        assert!(said.starts_with("reprise: "), "{command}: {said}");
        assert_eq!(client.position(), Icount(1234), "{command}");
    }
    client.expect_unchanged();
}

#[test]
fn after_a_seek_the_client_is_told_the_new_place() {
    let mut client = Client::greeted();
    client.run_to("vCont;c", &["replaylog:end;"]);
    client.monitor("start");
    let stop = client.run_to("?", &["T05", &machine_thread()]);
    assert!(!stop.contains("replaylog:end"), "{stop}");
    assert_eq!(client.pc(), START);
}

#[test]
fn marks_are_kept_for_the_next_client() {
    let mut client = Client::greeted();
    assert!(client.monitor("marks").contains("no marks"));
    client.monitor("seek 300");
    assert!(client.monitor("mark later").contains("icount 300"));
    client.monitor("seek 200");
    client.monitor("mark sooner");
    client.monitor("end");
    let marks = client.monitor("marks");
    let lines: Vec<&str> = marks.lines().map(str::trim).collect();
    assert_eq!(lines, ["200  sooner", "300  later"]);
    client.server.welcome();
    client.monitor_after_welcome("seek mark later");
    assert_eq!(client.position(), Icount(300));
    client.expect_unchanged();
}

impl Client {
    /// A command of a client that has not greeted.
    #[track_caller]
    fn monitor_after_welcome(&mut self, command: &str) -> String {
        self.has_acks = true;
        self.monitor(command)
    }
}

#[test]
fn events_are_listed_around_the_position() {
    let mut client = Client::greeted();
    let all = client.monitor("events");
    assert_eq!(all.lines().count(), KEYS.len() + 1);
    assert!(
        all.contains("typed: \"a\"") && all.contains("typed: \"q\""),
        "{all}"
    );
    assert!(all.lines().next().unwrap().starts_with('>'), "{all}");
    let one = client.monitor("events 2 1");
    assert_eq!(one.lines().count(), 1);
    assert!(one.contains("typed: \"c\""), "{one}");
    assert!(client.monitor("events 99").contains("there are 4 events"));
    client.monitor("events 0 18446744073709551615");
    client.monitor("events 18446744073709551615 18446744073709551615");
    assert!(client.monitor("events x y").starts_with("reprise: "));
}

#[test]
fn who_wrote_what() {
    let mut client = Client::greeted();
    client.monitor("end");
    let here = client.position();
    let written = client.monitor(&format!("who-wrote {RESULT:#x}"));
    let lines: Vec<&str> = written.lines().collect();
    assert_eq!(lines.len(), TAKEN.len() + 1, "{written}");
    for line in &lines[..TAKEN.len()] {
        assert!(
            line.contains(&format!("pc {STORE:#x}  at {RESULT:#x}")),
            "{line}"
        );
    }
    let read = client.monitor(&format!("who-read {RESULT:#x} 1"));
    assert!(
        read.lines()
            .next()
            .unwrap()
            .contains(&format!("pc {WORK:#x}")),
        "{read}"
    );
    assert_eq!(client.position(), here);
    // It leads to just before the store.
    let at = lines[1].split_whitespace().nth(1).unwrap().to_owned();
    client.monitor(&format!("seek {at}"));
    assert_eq!(client.pc(), STORE);
    let nobody = client.monitor("who-wrote 0x80300000");
    assert!(nobody.contains("nobody wrote to 8 bytes"), "{nobody}");
    for command in [
        "who-wrote",
        "who-wrote x",
        "who-wrote 0x80010008 0",
        "who-wrote 1 x",
    ] {
        assert!(
            client.monitor(command).starts_with("reprise: "),
            "{command}"
        );
    }
    // However much is asked about, the answer is short.
    let all = client.monitor("who-wrote 0 0xffffffffffffffff");
    assert!(all.lines().count() <= 10, "{all}");
    client.monitor("who-wrote 0xffffffffffffffff 0xffffffffffffffff");
    client.expect_unchanged();
}

#[test]
fn a_diversion_is_begun_ended_and_saved() {
    let mut client = Client::greeted();
    client.monitor("seek 2000");
    let hash = client.hash();
    let said = client.monitor("save nothing");
    assert!(said.contains("not a diversion"), "{said}");
    assert!(client.monitor("diverge").contains("icount 2000"));
    client.run_to("vCont;s", &["T05"]);
    assert!(
        client
            .monitor("when")
            .contains("in a diversion from icount 2000")
    );
    let said = client.monitor("save refused");
    assert!(said.contains("keeps no traces"), "{said}");
    client.desk.can_save = true;
    client.ask_ok(&format!("M{RESULT:x},1:05"));
    let said = client.monitor("save kept");
    assert!(said.contains("saved"), "{said}");
    let (name, diversion) = client.desk.saved.pop().unwrap();
    assert_eq!((&*name, diversion.forked_at), ("kept", Icount(2000)));

    // What was saved is a recording of its own, with the same state at its end.
    let changed = client.hash();
    let mut other = Client::over(&diversion.entries);
    assert_eq!(other.final_hash(), changed);

    client.monitor("return");
    assert_eq!((client.position(), client.hash()), (Icount(2000), hash));
    client.monitor("return");
    assert_eq!((client.position(), client.hash()), (Icount(2000), hash));
    client.expect_unchanged();
}

#[test]
fn what_needs_linux_says_that_there_is_none() {
    let mut client = Client::greeted();
    for command in [
        "ps",
        "ps all",
        "maps",
        "files",
        "catch exec",
        "catch fork",
        "catch exit",
        "catch nonsense",
    ] {
        let said = client.monitor(command);
        assert!(said.starts_with("reprise: "), "{command}: {said}");
    }
    client.run_to("vCont;c", &["replaylog:end;"]);
    client.expect_unchanged();
}

#[test]
fn a_search_can_be_broken_off() {
    let mut client = Client::greeted();
    client.monitor("end");
    client.desk.patience = Some(0);
    client.monitor(&format!("who-wrote {RESULT:#x}"));
    client.desk.patience = Some(0);
    client.monitor("start");
    client.desk.patience = Some(0);
    client.monitor("seek time 1");
    client.expect_unchanged();
}
