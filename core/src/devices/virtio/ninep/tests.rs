use super::*;
use crate::device::{AccessSize, Device};
use crate::devices::suite::{Bench, Case, Random};
use crate::devices::virtio::driver::{Buffer, Driver, get, set};
use crate::devices::virtio::mmio::register;
use crate::workspace::listing::{Entry, EntryKind, ListingBuilder};

const FILE_BYTES: u64 = 200_000;
const VERSION: u8 = 100;
const ATTACH: u8 = 104;
const WALK: u8 = 110;
const LOPEN: u8 = 12;
const READ: u8 = 116;
const WRITE: u8 = 118;
const GETATTR: u8 = 24;

fn listing() -> Arc<Listing> {
    let entry = |kind| Entry {
        kind,
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtime: Timestamp::default(),
    };
    let mut builder = ListingBuilder::new(entry(EntryKind::Directory));
    let file = entry(EntryKind::File {
        byte_len: FILE_BYTES,
    });
    builder.add(ListingBuilder::ROOT, b"file", file).unwrap();
    Arc::new(Listing::decode(&builder.encode()).unwrap())
}

fn device() -> VirtioMmio<NineP> {
    VirtioMmio::new(NineP::new(listing(), 1 << 20))
}

fn message(message_type: u8, fields: &[&[u8]]) -> Vec<u8> {
    let fields = fields.concat();
    let size = fields.len() as u32 + 7;
    [&size.to_le_bytes()[..], &[message_type, 1, 0], &fields].concat()
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_le_bytes()[..], bytes].concat()
}

fn read_message(offset: u64, count: u32) -> Vec<u8> {
    let fields: [&[u8]; 3] = [&[2, 0, 0, 0], &offset.to_le_bytes(), &count.to_le_bytes()];
    message(READ, &fields)
}

fn content(extent: u32) -> (ContentKey, Content) {
    let key = ContentKey { file: 1, extent };
    let range = key.range(&listing());
    let bytes = vec![extent as u8 + 1; (range.end - range.start) as usize];
    (key, Content::Bytes(bytes.into()))
}

struct Rig {
    device: VirtioMmio<NineP>,
    bench: Bench,
    driver: Driver,
}

impl Rig {
    fn new() -> Self {
        let (mut device, mut bench) = (device(), Bench::new());
        let driver = Driver::start(&mut device, &mut bench, 0);
        Self {
            device,
            bench,
            driver,
        }
    }

    /// A rig whose fid 2 is the file, open for reading and writing.
    fn with_file() -> Self {
        let mut rig = Self::new();
        mount(&mut rig.device, &mut rig.bench, &mut rig.driver);
        rig
    }

    fn offer(&mut self, message: &[u8], room: u32) -> Buffer {
        offer(&mut self.bench, &mut self.driver, message, room)
    }

    fn ring(&mut self) {
        self.driver.ring(&mut self.device, &mut self.bench);
    }

    fn call(&mut self, message: &[u8], room: u32) -> Vec<u8> {
        let reply = self.offer(message, room);
        self.ring();
        let (_, length) = self.driver.used(&self.bench).unwrap();
        self.bench.bytes(reply.address, length as usize)
    }

    fn deliver(&mut self, extent: u32) {
        let (key, content) = content(extent);
        let mut cx = self.bench.cx();
        self.device.deliver_content(&mut cx, key, content).unwrap();
    }
}

fn offer(bench: &mut Bench, driver: &mut Driver, message: &[u8], room: u32) -> Buffer {
    let request = driver.read_only(bench, message);
    let reply = driver.write_only(room);
    driver.offer(bench, &[request, reply]);
    reply
}

fn mount(device: &mut VirtioMmio<NineP>, bench: &mut Bench, driver: &mut Driver) {
    let none = [0xff; 4];
    let (root, file): ([u8; 4], [u8; 4]) = ([1, 0, 0, 0], [2, 0, 0, 0]);
    let messages = [
        message(VERSION, &[&8192_u32.to_le_bytes(), &string(b"9P2000.L")]),
        message(ATTACH, &[&root, &none, &string(b""), &string(b""), &none]),
        message(WALK, &[&root, &file, &[1, 0], &string(b"file")]),
        message(LOPEN, &[&file, &[2, 0, 0, 0]]),
    ];
    for message in messages {
        let reply = offer(bench, driver, &message, 64);
        driver.ring(device, bench);
        driver.used(bench).unwrap();
        assert_eq!(bench.bytes(reply.address + 4, 1), [message[4] + 1]);
    }
}

#[test]
fn the_tag_and_its_feature_are_there() {
    let mut rig = Rig::new();
    let (device, bench) = (&mut rig.device, &mut rig.bench);
    assert_eq!(get(device, bench, register::DEVICE_ID), 9);
    set(device, bench, register::DEVICE_FEATURES_SELECT, 0);
    assert_eq!(get(device, bench, register::DEVICE_FEATURES) & 1, 1);
    let config = |device: &mut _, bench: &mut Bench, at: u64| {
        bench.read(device, register::CONFIG + at, AccessSize::Byte) as u8
    };
    let tag: Vec<u8> = (0..12).map(|at| config(device, bench, at)).collect();
    assert_eq!(tag, b"\x09\0workspace\0");
}

#[test]
fn requests_complete_in_the_doorbell_at_the_guests_time() {
    let mut rig = Rig::with_file();
    rig.bench.time.0 = 5_000_000_000 / 64;
    rig.bench.clock_base_unix_nanoseconds = 7_000_000_000;
    // It covers a block, so nothing is missing.
    let fields: [&[u8]; 4] = [&[2, 0, 0, 0], &[0; 8], &4096_u32.to_le_bytes(), &[3; 4096]];
    assert_eq!(rig.call(&message(WRITE, &fields), 64).len(), 11);
    let attributes: [&[u8]; 2] = [&[2, 0, 0, 0], &[0xff; 8]];
    let reply = rig.call(&message(GETATTR, &attributes), 200);
    assert_eq!(reply[7 + 89..7 + 97], 12_u64.to_le_bytes());
    assert_eq!(rig.call(&read_message(4000, 96), 200)[11..], [3; 96]);
}

#[test]
fn a_request_waits_for_contents_and_those_behind_it_wait_too() {
    let mut rig = Rig::with_file();
    let first = rig.offer(&read_message(131_000, 1000), 1011);
    let attributes: [&[u8]; 2] = [&[2, 0, 0, 0], &[0xff; 8]];
    let second = rig.offer(&message(GETATTR, &attributes), 200);
    rig.ring();
    assert_eq!(rig.driver.used(&rig.bench), None);
    let keys: Vec<u32> = rig
        .device
        .device()
        .wanted()
        .iter()
        .map(|key| key.extent)
        .collect();
    assert_eq!(keys, [0, 1]);
    // Ringing again changes nothing.
    rig.ring();
    assert_eq!(rig.device.device().wanted().len(), 2);
    rig.deliver(0);
    assert_eq!(rig.driver.used(&rig.bench), None);
    assert_eq!(rig.device.device().wanted(), [content(1).0]);
    rig.deliver(1);
    assert!(rig.device.interrupt_level());
    assert_eq!(rig.driver.used(&rig.bench).unwrap().1, 1011);
    assert_eq!(rig.driver.used(&rig.bench).unwrap().1, 160);
    let bytes = rig.bench.bytes(first.address, 1011);
    assert_eq!(bytes[11..11 + 72], [1; 72]);
    assert_eq!(bytes[11 + 72..], [2; 928]);
    assert_eq!(rig.bench.bytes(second.address + 4, 1), [GETATTR + 1]);
    assert_eq!(rig.device.device().wanted(), []);
}

#[test]
fn a_reset_ends_the_session_and_forgets_what_was_wanted() {
    let mut rig = Rig::with_file();
    rig.offer(&read_message(0, 10), 64);
    rig.ring();
    assert_eq!(rig.device.device().wanted().len(), 1);
    rig.driver = Driver::start(&mut rig.device, &mut rig.bench, 0);
    assert_eq!(rig.device.device().wanted(), []);
    let reply = rig.call(&read_message(0, 10), 64);
    assert_eq!(reply[4], 7);
    // Contents that nobody waits for are kept.
    rig.deliver(0);
    rig.driver = Driver::start(&mut rig.device, &mut rig.bench, 0);
    mount(&mut rig.device, &mut rig.bench, &mut rig.driver);
    assert_eq!(rig.call(&read_message(0, 10), 64)[11..], [1; 10]);
}

#[test]
fn a_chain_without_room_for_an_answer_is_the_drivers_mistake() {
    let mut rig = Rig::with_file();
    rig.offer(&read_message(0, 10), 10);
    rig.ring();
    assert_eq!(
        get(&mut rig.device, &mut rig.bench, register::STATUS) & 64,
        64
    );
}

#[test]
fn passes_the_suite() {
    Case {
        make: device,
        script: |device, bench| {
            let mut driver = Driver::start(device, bench, 0);
            mount(device, bench, &mut driver);
            offer(bench, &mut driver, &read_message(0, 200), 300);
            driver.ring(device, bench);
            let (key, content) = content(0);
            device
                .deliver_content(&mut bench.cx(), key, content)
                .unwrap();
            let fields: [&[u8]; 4] = [&[2, 0, 0, 0], &[0; 8], &2_u32.to_le_bytes(), b"hi"];
            offer(bench, &mut driver, &message(WRITE, &fields), 64);
            // It ends up waiting for the second extent.
            offer(bench, &mut driver, &read_message(131_072, 200), 300);
            driver.ring(device, bench);
        },
        poke: |device, bench, number| {
            let extent = Random(number).below(4) as u32;
            if extent < 2 {
                let (key, content) = content(extent);
                let _ = device.deliver_content(&mut bench.cx(), key, content);
            }
        },
        offsets: 0x100,
    }
    .check_disk();
}
