//! However much a client asks for, what it gets is bounded, and the recording stays what it is.

use super::super::packet::PACKET_BYTES_MAX;
use super::*;

/// Bytes that one packet may bring back.
const REPLY_BYTES_MAX: usize = PACKET_BYTES_MAX + 16;

#[track_caller]
fn check(client: &mut Client, packet: &[u8]) {
    let length = client.send_raw(&frame(packet)).len();
    assert!(
        length <= REPLY_BYTES_MAX,
        "{}: {length}",
        packet.escape_ascii()
    );
}

#[test]
fn replies_are_no_longer_than_packets() {
    let mut client = Client::greeted();
    for packet in [
        "m80000000,400000",
        "m80000000,ffffffffffffffff",
        "mfffffffffffff000,ffffffffffffffff",
        "m80000001,7fffffffffffffff",
        "qXfer:features:read:target.xml:0,ffffffffffffffff",
        "qXfer:threads:read::0,ffffffffffffffff",
        "qSearch:memory:ffffffffffffff00;ffffffffffffffff;a",
        "vFile:pread:3,ffffffff,0",
    ] {
        check(&mut client, packet.as_bytes());
    }
    assert_eq!(client.pc(), START);
    client.expect_unchanged();
}

#[test]
fn a_packet_that_is_too_long_is_refused() {
    let mut client = Client::greeted();
    let longest = vec![b'q'; PACKET_BYTES_MAX];
    check(&mut client, &longest);
    let reply = client.send(&[b'm'; PACKET_BYTES_MAX + 1]);
    assert!(reply[0].starts_with(b"E."));
    let reply = client.send(&vec![b'M'; 10 << 20]);
    assert!(reply[0].starts_with(b"E."));
    let write = |bytes: usize| format!("M80000000,{bytes:x}:{}", "00".repeat(bytes));
    let bytes = (PACKET_BYTES_MAX - 16) / 2;
    client.ask_ok(&write(bytes));
    client.ask_refused(&write(bytes + 16));
    client.expect_unchanged();
}

#[test]
fn points_are_counted() {
    let mut client = Client::greeted();
    for number in 0..5000u64 {
        let replies = client.send(format!("Z2,{:x},8", 0x8020_0000 + number * 8).as_bytes());
        assert_eq!(replies[0] == b"OK", number < 4096, "{number}");
    }
    client.server.welcome();
    client.has_acks = true;
    client.ask_ok("Z2,80200000,8");
    client.expect_unchanged();
}

#[test]
fn a_long_session_leaves_the_recording_alone() {
    let mut client = Client::greeted();
    let thread = machine_thread();
    let mut state = 5u64;
    let packets = [
        format!("Z0,{ROUND:x},4"),
        format!("z0,{ROUND:x},4"),
        format!("Z2,{RESULT:x},8"),
        format!("z2,{RESULT:x},8"),
        format!("M{RESULT:x},2:0102"),
        format!("vCont;c:{thread}"),
        format!("vCont;s:{thread}"),
        format!("vCont;r{ROUND:x},{STORE:x}:{thread}"),
        "bs".to_owned(),
        "bc".to_owned(),
        "P6=6300000000000000".to_owned(),
        "g".to_owned(),
        "?".to_owned(),
        "D;1".to_owned(),
        "\x03".to_owned(),
    ];
    let commands = [
        "start",
        "end",
        "seek event 1",
        "seek -1000",
        "diverge",
        "return",
        "mark a",
        "seek mark a",
    ];
    for _ in 0..200 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let choice = (state >> 33) as usize;
        client.desk.patience = Some(choice as u32 >> 8 & 15);
        if choice & 3 == 0 {
            client.monitor(commands[(choice >> 4) % commands.len()]);
        } else {
            client.send(packets[(choice >> 4) % packets.len()].as_bytes());
        }
    }
    client.expect_unchanged();
}
