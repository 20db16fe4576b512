//! Runs, and what is said of their stops.

use super::*;

#[test]
fn a_breakpoint_stops_before_its_instruction_both_ways() {
    let mut client = Client::greeted();
    let thread = machine_thread();
    client.ask_ok(&format!("Z0,{WORK:x},4"));
    let first = client.run_to(
        &format!("vCont;c:{thread}"),
        &["T05", &format!("thread:{thread};"), "swbreak:;"],
    );
    assert!(!first.contains("replaylog"), "{first}");
    assert_eq!((client.pc(), client.register(6)), (WORK, u64::from(b'a')));
    let here = client.position();
    client.run_to("vCont;c:p-1.-1", &["T05", "swbreak:;"]);
    assert_eq!((client.pc(), client.register(6)), (WORK, u64::from(b'c')));
    client.run_to("bc", &["T05", "swbreak:;"]);
    assert_eq!((client.pc(), client.position()), (WORK, here));
    // `?` tells it again.
    client.run_to("?", &["T05", "swbreak:;"]);
    client.ask_ok(&format!("z0,{WORK:x},4"));
    client.run_to("bc", &["T05", "replaylog:begin;"]);
    client.expect_unchanged();
}

#[test]
fn a_condition_is_judged_by_the_server() {
    let mut client = Client::greeted();
    // t1 == 'c', then t1 == 'q': either is enough.
    client.ask_ok(&format!("Z0,{WORK:x},4;X7,26000622631327X7,26000622711327"));
    client.run_to("vCont;c", &["swbreak:;"]);
    assert_eq!(client.register(6), u64::from(b'c'));
    client.run_to("vCont;c", &["swbreak:;"]);
    assert_eq!(client.register(6), u64::from(b'q'));
    client.run_to("bc", &["swbreak:;"]);
    assert_eq!(client.register(6), u64::from(b'c'));
    client.run_to("bc", &["replaylog:begin;"]);
    // One that cannot be evaluated stops: it divides by zero.
    client.ask_ok(&format!("Z0,{WORK:x},4;X6,220122000527"));
    client.run_to("vCont;c", &["swbreak:;"]);
    assert_eq!(client.register(6), u64::from(b'a'));
    // The same breakpoint without one replaces it.
    client.ask_ok(&format!("Z1,{WORK:x},4"));
    client.run_to("vCont;c", &["swbreak:;"]);
    assert_eq!(client.register(6), u64::from(b'c'));
    client.expect_unchanged();
}

#[test]
fn a_write_watchpoint_shows_the_new_value_forward_and_the_old_one_backward() {
    let mut client = Client::greeted();
    client.ask("QThreadSuffixSupported");
    client.ask_ok(&format!("Z2,{RESULT:x},8"));
    let watch = format!("watch:{RESULT:x};");
    let mut seen = vec![0];
    for _ in &TAKEN[..TAKEN.len() - 1] {
        let stop = client.run_to("vCont;c", &["T05", &watch]);
        assert!(
            !stop.contains("rwatch") && !stop.contains("awatch"),
            "{stop}"
        );
        assert_eq!(client.pc(), STORE + 4);
        seen.push(client.memory(RESULT));
    }
    // `q` computes as well.
    client.run_to("vCont;c", &[&watch]);
    client.run_to("vCont;c", &["replaylog:end;"]);
    for old in seen.iter().rev() {
        client.run_to("bc", &["T05", &watch]);
        assert_eq!((client.pc(), client.memory(RESULT)), (STORE, *old));
    }
    client.run_to("bc", &["replaylog:begin;"]);
    client.expect_unchanged();
}

/// gdb steps over a watched access itself, in either direction.
#[test]
fn gdb_is_stopped_where_it_steps_over_the_access() {
    let mut client = Client::greeted();
    client.ask_ok(&format!("Z2,{RESULT:x},8"));
    client.run_to("vCont;c", &["T05", "watch:"]);
    assert_eq!((client.pc(), client.memory(RESULT)), (STORE, 0));
    client.ask_ok(&format!("z2,{RESULT:x},8"));
    client.run_to("vCont;s:400001", &["T05"]);
    let stored = client.memory(RESULT);
    assert!(client.pc() == STORE + 4 && stored != 0);
    client.run_to("vCont;s:400001", &["T05"]);
    client.ask_ok(&format!("Z2,{RESULT:x},8"));
    client.run_to("bc", &["T05", "watch:"]);
    assert_eq!((client.pc(), client.memory(RESULT)), (STORE + 4, stored));
    client.ask_ok(&format!("z2,{RESULT:x},8"));
    client.run_to("bs", &["T05"]);
    assert_eq!((client.pc(), client.memory(RESULT)), (STORE, 0));
    client.expect_unchanged();
}

#[test]
fn read_and_access_watchpoints_have_their_own_names() {
    let mut client = Client::greeted();
    client.ask("QThreadSuffixSupported");
    client.ask_ok(&format!("Z3,{RESULT:x},8"));
    client.run_to("vCont;c", &[&format!("rwatch:{RESULT:x};")]);
    assert_eq!(client.pc(), WORK + 4);
    client.ask_ok(&format!("z3,{RESULT:x},8"));
    client.ask_ok(&format!("Z4,{:x},1", RESULT + 7));
    client.run_to("vCont;c", &[&format!("awatch:{:x};", RESULT + 7)]);
    assert_eq!(client.pc(), STORE + 4);
    client.run_to("vCont;c", &["awatch:"]);
    assert_eq!(client.pc(), WORK + 4);
    client.run_to("bc", &["awatch:"]);
    assert_eq!(client.pc(), WORK);
    client.run_to("bc", &["awatch:"]);
    assert_eq!(client.pc(), STORE);
    client.expect_unchanged();
}

#[test]
fn of_several_reasons_the_reply_keeps_the_one_that_clients_need() {
    let mut client = Client::greeted();
    client.ask("QThreadSuffixSupported");
    client.ask_ok(&format!("Z0,{STORE:x},4"));
    client.ask_ok(&format!("Z0,{:x},4", STORE + 4));
    client.ask_ok(&format!("Z2,{RESULT:x},8"));
    client.ask_ok(&format!("Z4,{RESULT:x},4"));
    client.ask_ok(&format!("Z3,{RESULT:x},8"));
    client.run_to("vCont;c", &["watch:"]);
    assert_eq!(client.pc(), WORK + 4);
    client.run_to("vCont;c", &["swbreak:;"]);
    assert_eq!(client.pc(), STORE);
    // The store is watched twice; gdb takes one such reason at the most.
    let stop = client.run_to("vCont;c", &["watch:"]);
    assert_eq!(stop.matches("watch:").count(), 1, "{stop}");
    assert_eq!(client.pc(), STORE + 4);
    // Back, breakpoint and watchpoint are at one place.
    let stop = client.run_to("bc", &["T05"]);
    assert_eq!(
        stop.matches("watch:").count() + stop.matches("swbreak:").count(),
        1,
        "{stop}"
    );
    assert_eq!(client.pc(), STORE);
    client.expect_unchanged();
}

#[test]
fn steps_go_one_instruction_both_ways() {
    let mut client = Client::greeted();
    let thread = machine_thread();
    let mut hashes = vec![client.hash()];
    for _ in 0..40 {
        let stop = client.run_to(&format!("vCont;s:{thread};c"), &["T05"]);
        assert!(!stop.contains("replaylog"), "{stop}");
        hashes.push(client.hash());
    }
    assert_eq!(client.position(), Icount(40));
    client.ask_ok("Hc0");
    client.run_to("s", &["T05"]);
    client.run_to("bs", &["T05"]);
    for hash in hashes.iter().rev() {
        assert_eq!(client.hash(), *hash);
        client.run_to("bs", &["T05"]);
    }
    client.run_to("bs", &["T05", "replaylog:begin;"]);
    client.run_to("?", &["T05", "replaylog:begin;"]);
    client.run_to("c", &["replaylog:end;"]);
    client.run_to("vCont;s", &["replaylog:end;"]);
    client.run_to(
        &format!("vCont;r{START:x},{ROUND:x}:{thread}"),
        &["replaylog:end;"],
    );
    client.expect_unchanged();
}

#[test]
fn a_range_is_stepped_through() {
    let mut client = Client::greeted();
    let thread = machine_thread();
    // From the start to the prompt: 25 instructions without a loop, and the event that brings the first key.
    let range = format!("vCont;r{START:x},80000064:{thread};c:p-1.-1");
    client.run_to(&range, &["T05"]);
    assert_eq!((client.pc(), client.position()), (0x8000_0064, Icount(26)));
    client.run_to("bc", &["replaylog:begin;"]);
    client.ask_ok("Z0,80000010,4");
    client.run_to(&range, &["T05"]);
    assert_eq!(client.pc(), 0x8000_0010);
    // Out of the range already: one step.
    client.run_to("vCont;r80000000,80000004:0", &["T05"]);
    assert_eq!(client.pc(), 0x8000_0014);
    client.expect_unchanged();
}

#[test]
fn a_break_stops_a_long_run_and_leaves_it_anywhere() {
    let mut client = Client::greeted();
    let end = client.end();
    client.desk.patience = Some(0);
    let stop = client.run_to("vCont;c", &["T02"]);
    assert!(!stop.contains("replaylog"), "{stop}");
    let middle = client.position();
    assert!(middle > Icount(0) && middle < end, "{middle}");
    client.run_to("vCont;c", &["T05", "replaylog:end;"]);
    client.desk.patience = Some(0);
    client.run_to("bc", &["T02"]);
    assert!(client.position() > Icount(0));
    client.run_to("bc", &["T05", "replaylog:begin;"]);
    // In a loop, a step through a range is a long run as well.
    client.ask_ok(&format!("Z0,{ROUND:x},4"));
    client.run_to("vCont;c", &["swbreak"]);
    client.ask_ok(&format!("z0,{ROUND:x},4"));
    // It looks after its first step, and some hundred steps later each time.
    client.desk.patience = Some(2);
    client.run_to(&format!("vCont;r{ROUND:x},{STORE:x}:0"), &["T02"]);
    assert!((ROUND..STORE).contains(&client.pc()));
    client.expect_unchanged();
}

#[test]
fn a_false_condition_and_a_break_go_together() {
    let mut client = Client::greeted();
    // Of each round of the loop, and never true.
    client.ask_ok(&format!("Z0,{ROUND:x},4;X3,220027"));
    client.desk.patience = Some(1000);
    client.run_to("vCont;c", &["T02"]);
    client.desk.patience = Some(1000);
    client.run_to("vCont;c", &["T02"]);
    client.desk.patience = Some(1000);
    client.run_to("bc", &["T02"]);
    client.expect_unchanged();
}

#[test]
fn a_diversion_that_waits_for_input_is_at_its_end() {
    let mut client = Client::greeted();
    let thread = machine_thread();
    client.ask_ok(&format!("Z0,{WORK:x},4"));
    client.run_to("vCont;c", &["swbreak:;"]);
    // Past here nothing is typed and no timer is awaited: csrw mie, zero; wfi; j .-4.
    client.ask_ok(&format!("M{WORK:x},c:73104030730050106ff0dfff"));
    client.run_to("vCont;c", &["replaylog:end;"]);
    let here = client.position();
    for packet in ["vCont;c", "vCont;s", "s"] {
        client.run_to(packet, &["replaylog:end;"]);
        assert_eq!(client.position(), here, "{packet}");
    }
    let pc = client.pc();
    client.run_to(
        &format!("vCont;r{:x},{:x}:{thread}", pc - 4, pc + 8),
        &["replaylog:end;"],
    );
    client.run_to("bc", &["swbreak:;"]);
    client.monitor("return");
    client.expect_unchanged();
}

#[test]
fn runs_that_are_put_aside_stop_where_they_would_in_one_piece() {
    let thread = machine_thread();
    let packets = [
        format!("Z0,{STORE:x},4"),
        "vCont;c".to_owned(),
        format!("Z2,{RESULT:x},8"),
        "vCont;c".to_owned(),
        "bc".to_owned(),
        format!("vCont;r{ROUND:x},{STORE:x}:{thread}"),
        "bs".to_owned(),
        format!("z2,{RESULT:x},8"),
        format!("z0,{STORE:x},4"),
        "vCont;c".to_owned(),
        format!("qRcmd,{}", hex(b"seek 1234")),
        format!("qRcmd,{}", hex(b"seek time 0.0001")),
        "bc".to_owned(),
        "vCont;c".to_owned(),
    ];
    let [whole, sliced] = [false, true].map(|is_sliced| {
        let mut client = Client::greeted();
        client.desk.is_sliced = is_sliced;
        let told: Vec<_> = packets
            .iter()
            .map(|packet| {
                (
                    client.send(packet.as_bytes()),
                    client.position(),
                    client.hash(),
                )
            })
            .collect();
        client.expect_unchanged();
        told
    });
    for (packet, (whole, sliced)) in packets.iter().zip(whole.iter().zip(&sliced)) {
        assert_eq!(whole, sliced, "{packet}");
    }
}

#[test]
fn nothing_is_received_while_a_run_is_put_aside() {
    let mut client = Client::greeted();
    client.desk.is_sliced = true;
    let run = super::frame(b"vCont;c");
    let both = [run.as_slice(), &super::frame(b"g")].concat();
    assert_eq!(client.server.receive(&both, &mut client.desk), run.len());
    assert!(client.server.is_running() && client.server.take_output().is_empty());
    assert_eq!(client.server.receive(b"+", &mut client.desk), 0);
    // A break is heard when it goes on.
    client.desk.patience = Some(0);
    client.server.go_on(&mut client.desk);
    assert!(!client.server.is_running());
    let said = client.server.take_output();
    assert!(said.starts_with(b"$T02"), "{said:?}");
    // Another client finds nothing of it.
    client.desk.patience = None;
    client.server.receive(&run, &mut client.desk);
    client.server.welcome();
    assert!(!client.server.is_running());
    client.expect_unchanged();
}

#[test]
fn breaks_are_found_between_packets_alone() {
    let mut finder = crate::gdb::BreakFinder::default();
    let stream = b"+$a\x03#03+$\x03#\x03\x03\x03$";
    let found: Vec<usize> = stream
        .iter()
        .enumerate()
        .filter_map(|(at, byte)| finder.is_break_at(*byte).then_some(at))
        .collect();
    assert_eq!(found, [13]);
}
