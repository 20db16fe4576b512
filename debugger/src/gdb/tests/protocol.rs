//! What holds of any packet, and who is there.

use super::*;

#[test]
fn features_are_told() {
    let mut client = Client::new();
    let features = client.ask("qSupported:multiprocess+;swbreak+;no-such-thing+;xmlRegisters=i386");
    let features: Vec<&str> = features.split(';').collect();
    assert_eq!(features[0], "PacketSize=8000");
    for feature in [
        "QStartNoAckMode+",
        "multiprocess+",
        "ReverseContinue+",
        "ReverseStep+",
        "ConditionalBreakpoints+",
        "vContSupported+",
        "qXfer:features:read+",
    ] {
        assert!(features.contains(&feature), "{feature}");
    }
    let actions = client.ask("vCont?");
    for action in ["c", "C", "s", "S", "r"] {
        assert!(actions.split(';').any(|other| other == action), "{actions}");
    }
}

#[test]
fn packets_are_acknowledged_until_that_is_switched_off() {
    let mut client = Client::new();
    assert_eq!(client.send_raw(b"$vMustReplyEmpty#3a"), b"+$#00");
    // A packet whose checksum is wrong is asked for again.
    assert_eq!(client.send_raw(b"$vMustReplyEmpty#3b"), b"-");
    assert_eq!(client.send_raw(b"$vMustReplyEmpty#zz"), b"-");
    // Noise, and acknowledgements, are no packets.
    assert_eq!(client.send_raw(b"+++ \x03\x00\xff+"), b"");
    assert_eq!(client.send_raw(&frame(b"QStartNoAckMode")), b"+$OK#9a");
    assert_eq!(client.send_raw(b"$vMustReplyEmpty#3a"), b"$#00");
    assert_eq!(client.send_raw(b"$vMustReplyEmpty#3b"), b"");
}

#[test]
fn a_packet_comes_in_pieces() {
    let mut client = Client::new();
    let packet = frame(b"qC");
    for byte in &packet[..packet.len() - 1] {
        assert_eq!(client.send_raw(&[*byte]), b"");
    }
    let reply = client.send_raw(&packet[packet.len() - 1..]);
    assert_eq!(
        packets(&reply[1..]),
        [format!("QC{MACHINE_PID:x}").into_bytes()]
    );
    // Half of one is forgotten when another client comes.
    client.send_raw(b"$qSuppo");
    client.server.welcome();
    assert_eq!(client.send_raw(b"$vMustReplyEmpty#3a"), b"+$#00");
}

#[test]
fn the_last_packet_is_sent_again_when_asked_for() {
    let mut client = Client::new();
    assert_eq!(client.send_raw(b"-"), b"");
    let reply = client.send_raw(&frame(b"qC"));
    assert_eq!(client.send_raw(b"-"), reply[1..]);
    assert_eq!(client.send_raw(b"-"), reply[1..]);
    // Who asks more often than it can have looked gets it once.
    assert_eq!(client.send_raw(&[b'-'; 10_000]), reply[1..]);
}

#[test]
fn threads_are_named_as_the_client_understands_it() {
    let mut plain = Client::new();
    let thread = format!("{MACHINE_PID:x}");
    assert_eq!(plain.ask("qfThreadInfo"), format!("m{thread}"));
    assert_eq!(plain.ask("qsThreadInfo"), "l");
    assert_eq!(plain.ask("qC"), format!("QC{thread}"));
    plain.run_to("?", &["T05", &format!("thread:{thread};")]);
    plain.ask_ok(&format!("Hg{thread}"));
    plain.ask_ok("Hg0");
    plain.ask_ok("Hc-1");
    plain.ask_ok(&format!("T{thread}"));

    let mut client = Client::greeted();
    let thread = machine_thread();
    assert_eq!(client.ask("qfThreadInfo"), format!("m{thread}"));
    assert_eq!(client.ask("qC"), format!("QC{thread}"));
    client.run_to("?", &["T05", &format!("thread:{thread};")]);
    client.ask_ok(&format!("Hg{thread}"));
    client.ask_ok(&format!("T{thread}"));
    client.ask_refused("Tp1.1");
    client.ask_refused("T1234");
    client.ask_refused("Hgnobody");
    client.ask_refused("Hg1234");
    assert_eq!(client.ask("qAttached"), "1");
    let said = client.ask(&format!("qThreadExtraInfo,{thread}"));
    assert_eq!(unhex(said.as_bytes()).unwrap(), b"the machine");
    let xml = client.ask("qXfer:threads:read::0,ffff");
    assert!(xml.contains(&format!("id=\"{thread}\"")), "{xml}");
}

#[test]
fn a_thread_that_is_not_there_is_no_trap() {
    let mut client = Client::greeted();
    // A process that has ended can be named, so that its breakpoints can be taken away.
    client.ask_ok("Hgp1.1");
    client.ask_refused("g");
    client.ask_refused("m80000000,4");
    client.ask_refused("M80000000,1:00");
    client.ask_ok("Hg0");
    client.ask("g");
    let mut plain = Client::new();
    plain.ask_refused("Hgp1.1");
    assert_eq!(plain.ask("qfThreadInfo"), format!("m{MACHINE_PID:x}"));
    client.expect_unchanged();
}

#[test]
fn objects_come_in_pieces() {
    let mut client = Client::greeted();
    let whole = client.transfer("features:read:target.xml");
    let mut pieces = String::new();
    loop {
        let piece = client.ask(&format!(
            "qXfer:features:read:target.xml:{:x},1fb",
            pieces.len()
        ));
        pieces += &piece[1..];
        if piece.starts_with('l') {
            break;
        }
        assert_eq!(piece.len(), 0x1fb + 1);
    }
    assert_eq!(pieces, whole);
    let length = whole.len();
    assert_eq!(
        client.ask(&format!("qXfer:features:read:target.xml:{length:x},10")),
        "l"
    );
    assert_eq!(
        client.ask("qXfer:features:read:target.xml:ffffffffffffffff,ffffffffffffffff"),
        "l"
    );
    client.ask_refused("qXfer:features:read:other.xml:0,10");
    assert_eq!(client.ask("qXfer:features:read:target.xml:0"), "");
    assert_eq!(client.ask("qXfer:no-such-object:read::0,10"), "");
    let kinds = client.ask("qXfer:osdata:read::0,1000");
    assert!(kinds.contains("<column name=\"Type\">processes</column>"));
    // Of the machine nobody knows a program.
    client.ask_refused("qXfer:auxv:read::0,1000");
    client.ask_refused("qXfer:exec-file:read::0,1000");
}

#[test]
fn what_is_unknown_is_answered_with_nothing() {
    let mut client = Client::greeted();
    for packet in [
        "",
        "qNoSuchThing",
        "QNoSuchThing:1",
        "vNoSuchThing;1",
        "j",
        "JThreads",
        "x80000000,4",
        "Z9,80000000,4",
        "\u{1}",
    ] {
        assert_eq!(client.ask(packet), "", "{packet}");
    }
}

#[test]
fn a_session_survives_what_it_refuses() {
    let mut client = Client::greeted();
    for packet in [
        "m",
        "m80000000",
        "mzz,4",
        "m80000000,zz",
        "m80000000,4,4",
        "M80000000,4:00",
        "M80000000,1:0",
        "M80000000,1:zz",
        "M80000000",
        "X80000000,4:a",
        "p",
        "pzz",
        "p7fff",
        "p12345678",
        "P",
        "P1",
        "P1=zz",
        "P1=1122334455667788990011",
        "G00",
        "Gzz",
        "Z0",
        "Z0,80000000",
        "Z0,,",
        "Z0,80000000,4;Xff,22",
        "Z2,80000000,0",
        "z2,80000000,zz",
        "H",
        "Hg",
        "vCont;",
        "vCont;x",
        "vCont;c:zz",
        "vCont;s:p",
        "vCont;c:",
        "vCont;r80000000:1",
        "vCont;rzz,1:1",
        "qSearch:memory:80000000",
        "qSearch:memory:80000000;10;",
        "qThreadExtraInfo",
        "QPassSignals:zz",
        "QCatchSyscalls:2",
        "QCatchSyscalls:1;zz",
        "vFile:open:zz",
        "vFile:pread:5,10,0",
        "vFile:close:ffffffff",
        "vAttach;1",
        "qGetTLSAddr:zz",
    ] {
        let replies = client.send(packet.as_bytes());
        let is_refused = match &replies[..] {
            [reply] => matches!(reply.first(), None | Some(b'E' | b'F')),
            _ => false,
        };
        let shown: Vec<_> = replies
            .iter()
            .map(|reply| reply.escape_ascii().to_string())
            .collect();
        assert!(is_refused, "{packet}: {shown:?}");
        assert_eq!(client.pc(), START, "{packet}");
        assert_eq!(
            client.server.session().timeline().diverged_at(),
            None,
            "{packet}"
        );
    }
    client.run_to("vCont;c", &["replaylog:end;"]);
    client.expect_unchanged();
}

#[test]
fn a_client_says_goodbye() {
    for (packet, reply) in [("D", &["OK"][..]), ("k", &[])] {
        let mut client = Client::greeted();
        client.ask(&format!("Z0,{ROUND:x},4"));
        let replies = client.send(packet.as_bytes());
        assert_eq!(
            replies,
            reply.iter().map(|text| text.as_bytes()).collect::<Vec<_>>()
        );
        assert!(client.server.is_closed());
        // Nobody listens any more, until the next client comes.
        assert_eq!(client.send_raw(&frame(b"qC")), b"");
        client.server.welcome();
        client.has_acks = true;
        assert!(!client.server.is_closed());
        client.run_to("vCont;c", &["replaylog:end;"]);
    }
}

#[test]
fn letting_the_machine_go_ends_a_session_only_without_processes() {
    let mut client = Client::greeted();
    client.ask_ok(&format!("D;{MACHINE_PID:x}"));
    assert!(!client.server.is_closed());
    // Nobody is left; a list may not be empty.
    assert_eq!(client.ask("qfThreadInfo"), "l");
    client.run_to(&format!("vAttach;{MACHINE_PID:x}"), &["T05thread:"]);
    assert_eq!(client.ask("qfThreadInfo"), format!("m{}", machine_thread()));
    let mut plain = Client::new();
    plain.ask_ok(&format!("D;{MACHINE_PID:x}"));
    assert!(plain.server.is_closed());
    let mut client = Client::greeted();
    client.ask_ok(&format!("vKill;{MACHINE_PID:x}"));
    client.expect_unchanged();
}
