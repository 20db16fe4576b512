use super::super::mmio::register;
use super::*;
use crate::device::{AccessSize, Device};
use crate::devices::suite::{Bench, Case};
use crate::devices::virtio::driver::{Driver, console_output, get, negotiate, set};

/// A console with both queues going.
struct Rig {
    console: VirtioMmio<Console>,
    bench: Bench,
    receive: Driver,
    transmit: Driver,
}

impl Rig {
    fn new() -> Self {
        let (mut console, mut bench) = (console(), Bench::new());
        negotiate(&mut console, &mut bench, u64::MAX);
        let receive = Driver::set_up(&mut console, &mut bench, 0);
        let transmit = Driver::set_up(&mut console, &mut bench, 1);
        set(&mut console, &mut bench, register::STATUS, 0xf);
        Self {
            console,
            bench,
            receive,
            transmit,
        }
    }

    fn room(&self) -> usize {
        self.console.input_room(&self.bench.memory)
    }

    fn push(&mut self, bytes: &[u8]) -> usize {
        self.console.push_input(&mut self.bench.cx(), bytes)
    }
}

fn console() -> VirtioMmio<Console> {
    VirtioMmio::new(Console::new(TerminalSize::default()))
}

#[test]
fn output_comes_out_within_the_doorbell() {
    let mut rig = Rig::new();
    let hello = rig.transmit.read_only(&mut rig.bench, b"hello, ");
    let world = rig.transmit.read_only(&mut rig.bench, b"world");
    let head = rig.transmit.offer(&mut rig.bench, &[hello, world]);
    rig.transmit.offer(&mut rig.bench, &[world]);
    rig.transmit.ring(&mut rig.console, &mut rig.bench);
    assert_eq!(console_output(&mut rig.bench), b"hello, worldworld");
    assert_eq!(rig.transmit.used(&rig.bench), Some((head, 0)));
    assert!(rig.console.interrupt_level());
}

#[test]
fn output_of_one_chain_is_capped() {
    let mut rig = Rig::new();
    let long = rig.transmit.read_only(&mut rig.bench, &[b'x'; 100_000]);
    rig.transmit.offer(&mut rig.bench, &[long]);
    rig.transmit.ring(&mut rig.console, &mut rig.bench);
    let sent = console_output(&mut rig.bench).len();
    assert_eq!(sent as u64, OUTPUT_BYTES_MAX);
}

#[test]
fn input_fills_the_posted_buffers() {
    let mut rig = Rig::new();
    assert_eq!((rig.room(), rig.push(b"lost")), (0, 0));
    let first = rig.receive.write_only(4);
    let second = rig.receive.write_only(8);
    rig.receive.offer(&mut rig.bench, &[first]);
    rig.receive.offer(&mut rig.bench, &[second]);
    rig.receive.ring(&mut rig.console, &mut rig.bench);
    assert_eq!(rig.room(), 12);
    assert!(!rig.console.interrupt_level());
    assert_eq!(rig.push(b"abcdef"), 6);
    assert!(rig.console.interrupt_level());
    assert_eq!(rig.bench.bytes(first.address, 4), b"abcd");
    assert_eq!(rig.bench.bytes(second.address, 3), b"ef\0");
    assert_eq!(rig.receive.used(&rig.bench), Some((0, 4)));
    assert_eq!(rig.receive.used(&rig.bench), Some((1, 2)));
    assert_eq!(rig.room(), 0);
}

#[test]
fn buffers_that_input_does_not_reach_stay_posted() {
    let mut rig = Rig::new();
    for length in [4, 8, 16] {
        let buffer = rig.receive.write_only(length);
        rig.receive.offer(&mut rig.bench, &[buffer]);
    }
    assert_eq!(rig.push(b"abc"), 3);
    assert_eq!(rig.receive.used(&rig.bench), Some((0, 3)));
    assert_eq!(rig.receive.used(&rig.bench), None);
    assert_eq!(rig.room(), 24);
    assert_eq!(rig.push(b""), 0);
    assert_eq!(rig.room(), 24);
}

#[test]
fn room_is_exact_and_capped() {
    let mut rig = Rig::new();
    for length in [1, 5, 7] {
        let buffer = rig.receive.write_only(length);
        rig.receive.offer(&mut rig.bench, &[buffer]);
    }
    assert_eq!(rig.room(), 13);
    assert_eq!(rig.push(&[b'x'; 20]), 13);
    for _ in 0..3 {
        let buffer = rig.receive.write_only(4000);
        rig.receive.offer(&mut rig.bench, &[buffer]);
    }
    assert_eq!(rig.room(), INPUT_BYTES_MAX);
}

#[test]
fn a_broken_receive_ring_takes_nothing() {
    let mut rig = Rig::new();
    rig.receive.make_available(&mut rig.bench, 500);
    assert_eq!(rig.room(), 0);
    assert_eq!(rig.push(b"x"), 0);
    let status = get(&mut rig.console, &mut rig.bench, register::STATUS);
    assert_eq!(status, 0x4f);
    assert_eq!(rig.room(), 0);
}

#[test]
fn a_new_size_is_told() {
    let mut rig = Rig::new();
    let size = |rig: &mut Rig| get(&mut rig.console, &mut rig.bench, register::CONFIG);
    let generation = |rig: &mut Rig| {
        get(
            &mut rig.console,
            &mut rig.bench,
            register::CONFIG_GENERATION,
        )
    };
    assert_eq!(size(&mut rig), 24 << 16 | 80);
    let before = generation(&mut rig);
    rig.console.set_size(TerminalSize {
        columns: 132,
        rows: 50,
    });
    assert_eq!(size(&mut rig), 50 << 16 | 132);
    assert_ne!(generation(&mut rig), before);
    let interrupts = get(&mut rig.console, &mut rig.bench, register::INTERRUPT_STATUS);
    assert_eq!(interrupts, 2);
    // A driver that is not there yet is told nothing.
    let mut fresh = console();
    fresh.set_size(TerminalSize::default());
    assert!(!fresh.interrupt_level());
}

#[test]
fn passes_the_suite() {
    Case {
        make: console,
        script: |console, bench| {
            let mut rig = Rig::new();
            for length in [3, 64, 2000] {
                let buffer = rig.receive.write_only(length);
                rig.receive.offer(&mut rig.bench, &[buffer]);
            }
            rig.push(b"abcd");
            std::mem::swap(console, &mut rig.console);
            std::mem::swap(bench, &mut rig.bench);
        },
        poke: |console, bench, random| match random % 8 {
            0 => console.set_size(TerminalSize {
                columns: (random >> 8) as u16,
                rows: (random >> 24) as u16,
            }),
            1..4 => bench.write(console, register::QUEUE_NOTIFY, AccessSize::Word, 1),
            _ => {
                let room = console.input_room(&bench.memory);
                let pushed = console.push_input(&mut bench.cx(), &random.to_le_bytes());
                assert!(pushed <= room);
            }
        },
        offsets: 0x110,
    }
    .check();
}
