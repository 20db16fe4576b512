//! Registers and memory.

use super::*;

#[test]
fn registers_have_the_numbers_of_the_description() {
    let mut client = Client::greeted();
    client.ask_ok(&format!("Z0,{STORE:x},4"));
    client.run_to("vCont;c", &["swbreak:;"]);
    let xml = client.transfer("features:read:target.xml");
    let all = client.ask("g");
    assert_eq!(all.len(), 65 * 16);
    let mut count = 0;
    for entry in xml.split("<reg ").skip(1) {
        let field = |name: &str| {
            let from = entry.find(&format!("{name}=\"")).unwrap() + name.len() + 2;
            let text = &entry[from..];
            &text[..text.find('"').unwrap()]
        };
        let number: u16 = field("regnum").parse().unwrap();
        let bits: usize = field("bitsize").parse().unwrap();
        let reply = client.ask(&format!("p{number:x}"));
        assert_eq!(reply.len(), bits / 4, "{}: {reply}", field("name"));
        if number < 65 {
            let at = usize::from(number) * 16;
            assert_eq!(reply, all[at..at + 16], "{}", field("name"));
        }
        match field("name") {
            "zero" => assert_eq!((number, &*reply), (0, "0000000000000000")),
            "t1" => assert_eq!((number, little_endian(&reply)), (6, u64::from(b'a'))),
            "pc" => assert_eq!((number, little_endian(&reply)), (32, STORE)),
            "mie" => assert_eq!((number, little_endian(&reply)), (65 + 0x304, 0x880)),
            "priv" => assert_eq!((number, little_endian(&reply)), (65 + 4096, 3)),
            _ => {}
        }
        count += 1;
    }
    assert!(count > 65 + 20, "{count}");
    client.ask_refused("p1042");
    client.ask_refused("pffff");
    client.expect_unchanged();
}

#[test]
fn memory_is_read_as_far_as_it_goes() {
    let mut client = Client::greeted();
    assert_eq!(client.ask("m80000000,4"), "37040010");
    assert_eq!(client.ask("m80000001,2"), "0400");
    client.ask_refused("m0,4");
    client.ask_refused("mffffffffffffffff,8");
    // The end of RAM.
    assert_eq!(client.ask("m803ffffe,8"), "0000");
    client.ask_refused("m80400000,1");
    let long = client.ask("m80000000,3000");
    assert_eq!(long.len(), 0x6000);
}

#[test]
fn writing_begins_a_diversion_and_returning_undoes_it() {
    let mut client = Client::greeted();
    client.ask_ok(&format!("Z0,{STORE:x},4"));
    client.run_to("vCont;c", &["swbreak:;"]);
    client.ask_ok(&format!("z0,{STORE:x},4"));
    let (hash, here) = (client.hash(), client.position());

    client.ask_ok(&format!("M{RESULT:x},8:1122334455667788"));
    assert_eq!(client.memory(RESULT), 0x8877_6655_4433_2211);
    assert!(client.monitor("when").contains("diversion"));
    client.ask_ok("P1c=0102030405060708");
    assert_eq!(client.register(0x1c), 0x0807_0605_0403_0201);
    // t3, which the next instruction stores.
    client.ask("vCont;s");
    assert_eq!(client.memory(RESULT), 0x0807_0605_0403_0201);
    assert_ne!(client.hash(), hash);
    // Backwards within the diversion, too.
    client.ask("bs");
    assert_eq!(client.memory(RESULT), 0x8877_6655_4433_2211);

    let said = client.monitor("return");
    assert!(said.contains(&format!("icount {here} ")), "{said}");
    assert_eq!((client.hash(), client.position()), (hash, here));
    assert!(!client.monitor("when").contains("diversion"));
    client.run_to("vCont;c", &["replaylog:end;"]);
    client.expect_unchanged();
}

#[test]
fn writes_reach_every_kind_of_register() {
    let mut client = Client::greeted();
    client.ask("vCont;s");
    let hash = client.hash();
    // t0, pc, fa0.
    for number in [5, 32, 43] {
        client.ask_ok(&format!("P{number:x}=0400008000000000"));
        assert_eq!(client.register(number), 0x8000_0004, "{number}");
    }
    let all = client.ask("g");
    assert_eq!(little_endian(&all[5 * 16..6 * 16]), 0x8000_0004);
    let mut changed = all.clone();
    changed.replace_range(10 * 16..11 * 16, "0807060504030201");
    client.ask_ok(&format!("G{changed}"));
    assert_eq!(client.ask("g"), changed);
    // Nothing changes, so nothing is written; zero stays what it is.
    client.ask_ok(&format!("G{changed}"));
    client.send(b"P0=0400008000000000");
    assert_eq!(client.register(0), 0);
    client.monitor("return");
    assert_eq!(client.hash(), hash);
    client.expect_unchanged();
}

#[test]
fn binary_writes_are_unescaped() {
    let mut client = Client::greeted();
    // Clients try whether the packet is known with no bytes at all.
    assert_eq!(client.ask(&format!("X{RESULT:x},0:")), "OK");
    assert_eq!(client.server.session().timeline().diverged_at(), None);
    let bytes = *b"#$}*\x00\xff:,";
    let packet = [format!("X{RESULT:x},8:").as_bytes(), &escape(&bytes)].concat();
    assert_eq!(client.send(&packet), [b"OK"]);
    assert_eq!(client.memory(RESULT), u64::from_le_bytes(bytes));
    client.expect_unchanged();
}

#[test]
fn what_cannot_be_written_begins_no_diversion() {
    let mut client = Client::greeted();
    client.ask_refused("M0,4:00000000");
    client.ask_refused("M80400000,1:00");
    // Across the end of RAM: not even the part that is there.
    client.ask_refused("M803ffffc,8:0102030405060708");
    assert_eq!(client.ask("m803ffffc,4"), "00000000");
    // The privilege; mscratch.
    client.ask_refused("P1041=0700000000000000");
    client.ask_refused("P381=0700000000000000");
    assert_eq!(client.server.session().timeline().diverged_at(), None);
    // What is there already is written only in name.
    client.ask_ok("P20=0000008000000000");
    assert_eq!(client.server.session().timeline().diverged_at(), None);
    client.expect_unchanged();
}

#[test]
fn memory_is_searched() {
    let mut client = Client::greeted();
    let search = |client: &mut Client, address: u64, length: u64, pattern: &[u8]| {
        let head = format!("qSearch:memory:{address:x};{length:x};");
        let replies = client.send(&[head.as_bytes(), &escape(pattern)].concat());
        String::from_utf8(replies[0].clone()).unwrap()
    };
    // The power-off word of the program, and an instruction with a byte that is escaped.
    assert_eq!(
        search(&mut client, START, 0x1000, &0x00aa_5555u32.to_le_bytes()),
        "0"
    );
    assert_eq!(
        search(&mut client, START, 0x1000, b"\x23\xa0\x5a\x00"),
        "1,80000124"
    );
    // Across the pieces in which it is looked at, and not beyond the range.
    let at = START + 0x1_fffe;
    client.ask_ok(&format!("M{at:x},4:0a0b0c0d"));
    assert_eq!(
        search(&mut client, START, 0x4_0000, b"\x0a\x0b\x0c\x0d"),
        "1,8001fffe"
    );
    assert_eq!(
        search(&mut client, START, 0x2_0001, b"\x0a\x0b\x0c\x0d"),
        "0"
    );
    assert_eq!(
        search(&mut client, at + 1, 0x1000, b"\x0a\x0b\x0c\x0d"),
        "0"
    );
    assert!(search(&mut client, START, u64::MAX, b"no such bytes").starts_with('E'));
    client.expect_unchanged();
}
