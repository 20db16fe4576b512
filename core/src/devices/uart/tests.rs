use super::*;
use crate::devices::suite::{Bench, Case};
use crate::output::OutputKind;

const DATA: u64 = 0;
const IER: u64 = 1;
const IIR_FCR: u64 = 2;
const LCR: u64 = 3;
const MCR: u64 = 4;
const LSR: u64 = 5;
const MSR: u64 = 6;
const SCRATCH: u64 = 7;

/// A UART and what stands around it.
struct Rig {
    uart: Uart,
    bench: Bench,
}

impl Rig {
    fn new() -> Self {
        Self {
            uart: Uart::new(),
            bench: Bench::new(),
        }
    }

    fn get(&mut self, register: u64) -> u8 {
        self.bench.read(&mut self.uart, register, AccessSize::Byte) as u8
    }

    fn set(&mut self, register: u64, value: u8) {
        self.bench
            .write(&mut self.uart, register, AccessSize::Byte, u64::from(value));
    }

    fn sent(&mut self) -> Vec<u8> {
        let outputs = self.bench.outputs.take().into_iter();
        outputs
            .flat_map(|output| match output.kind {
                OutputKind::Console {
                    port: ConsolePort::Uart,
                    bytes,
                } => bytes,
                other => panic!("{other:?}"),
            })
            .collect()
    }
}

#[test]
fn a_polling_driver_sends_at_once() {
    let mut rig = Rig::new();
    for byte in b"hello" {
        assert_eq!(rig.get(LSR), 0x60);
        rig.set(DATA, *byte);
    }
    assert_eq!(rig.sent(), b"hello");
}

#[test]
fn the_divisor_hides_behind_the_latch_bit() {
    let mut rig = Rig::new();
    rig.set(LCR, 0x83);
    rig.set(DATA, 3);
    rig.set(IER, 1);
    assert_eq!((rig.get(DATA), rig.get(IER)), (3, 1));
    rig.set(LCR, 0x03);
    assert_eq!((rig.get(DATA), rig.get(IER)), (0, 0));
    assert_eq!(rig.sent(), b"");
}

#[test]
fn a_driver_finds_a_16550a() {
    let mut rig = Rig::new();
    for value in [0x00, 0xff, 0x5a] {
        rig.set(SCRATCH, value);
        assert_eq!(rig.get(SCRATCH), value);
    }
    rig.set(IER, 0xff);
    assert_eq!(rig.get(IER), 0x0f);
    rig.set(IER, 0);
    rig.set(IIR_FCR, 1);
    assert_eq!(rig.get(IIR_FCR), 0xc1);
    rig.set(IIR_FCR, 0);
    assert_eq!(rig.get(IIR_FCR), 0x01);
    // Loopback carries RTS to CTS and OUT2 to DCD.
    rig.set(MCR, 0x1a);
    assert_eq!(rig.get(MSR) & 0xf0, 0x90);
    rig.set(MCR, 0);
    assert_eq!(rig.get(MSR) & 0xf0, 0xb0);
}

#[test]
fn the_transmitter_interrupt_comes_when_enabled_and_after_each_byte() {
    let mut rig = Rig::new();
    rig.set(IER, 2);
    assert!(rig.uart.interrupt_level());
    assert_eq!(rig.get(IIR_FCR), 0x02);
    assert!(!rig.uart.interrupt_level());
    assert_eq!(rig.get(IIR_FCR), 0x01);
    rig.set(DATA, b'x');
    assert!(rig.uart.interrupt_level());
    assert_eq!(rig.get(IIR_FCR), 0x02);
    // Writing the same enable again raises nothing; taking it away and back does.
    rig.set(IER, 2);
    assert!(!rig.uart.interrupt_level());
    rig.set(IER, 0);
    rig.set(IER, 2);
    assert!(rig.uart.interrupt_level());
}

/// Only the read that names the transmitter's interrupt clears it.
#[test]
fn the_transmitter_interrupt_waits_behind_the_receiver() {
    let mut rig = Rig::new();
    rig.uart.push_input(b"x");
    rig.set(IER, 3);
    assert_eq!(rig.get(IIR_FCR), 0x04);
    assert_eq!(rig.get(DATA), b'x');
    assert_eq!(rig.get(IIR_FCR), 0x02);
    assert_eq!(rig.get(IIR_FCR), 0x01);
}

#[test]
fn input_waits_in_the_fifo_and_interrupts_until_it_is_read() {
    let mut rig = Rig::new();
    rig.set(IIR_FCR, 0x81);
    rig.set(IER, 1);
    assert_eq!(rig.uart.input_room(), 16);
    assert_eq!(rig.uart.push_input(b"0123456789abcdefXYZ"), 16);
    assert_eq!(rig.uart.input_room(), 0);
    assert!(rig.uart.interrupt_level());
    // 8 bytes and more are "data available", fewer a time-out.
    for byte in b"01234567" {
        assert_eq!(rig.get(IIR_FCR), 0xc4);
        assert_eq!(rig.get(LSR), 0x61);
        assert_eq!(rig.get(DATA), *byte);
    }
    assert_eq!(rig.get(IIR_FCR), 0xc4);
    for byte in b"89abcdef" {
        assert_eq!(rig.get(DATA), *byte);
    }
    assert_eq!(rig.get(LSR), 0x60);
    assert!(!rig.uart.interrupt_level());
    assert_eq!(rig.uart.push_input(b"!"), 1);
    assert_eq!(rig.get(IIR_FCR), 0xcc);
}

#[test]
fn without_fifos_one_byte_fits() {
    let mut rig = Rig::new();
    assert_eq!(rig.uart.push_input(b"ab"), 1);
    assert_eq!(rig.get(DATA), b'a');
    assert_eq!(rig.uart.push_input(b"b"), 1);
    // Changing the mode empties the receiver.
    rig.set(IIR_FCR, 1);
    assert_eq!(rig.get(LSR), 0x60);
    rig.uart.push_input(b"abc");
    rig.set(IIR_FCR, 3);
    assert_eq!(rig.uart.input_room(), 16);
}

#[test]
fn loopback_keeps_bytes_inside_and_can_overrun() {
    let mut rig = Rig::new();
    rig.set(IIR_FCR, 1);
    rig.set(IER, 4);
    rig.set(MCR, 0x10);
    assert_eq!(rig.uart.input_room(), 0);
    assert_eq!(rig.uart.push_input(b"outside"), 0);
    for byte in 0..17 {
        rig.set(DATA, byte);
    }
    assert_eq!(rig.sent(), b"");
    assert_eq!(rig.get(IIR_FCR), 0xc6);
    assert_eq!(rig.get(LSR), 0x63);
    assert_eq!(rig.get(LSR), 0x61);
    assert_eq!((0..16).map(|_| rig.get(DATA)).sum::<u8>(), 120);
}

#[test]
fn modem_changes_are_told_once() {
    let mut rig = Rig::new();
    rig.set(IER, 8);
    rig.set(MCR, 0x14);
    // CTS, DSR and DCD went away and RI came, which does not count.
    assert!(rig.uart.interrupt_level());
    assert_eq!(rig.get(IIR_FCR), 0x00);
    assert_eq!(rig.get(MSR), 0x4b);
    assert_eq!(rig.get(MSR), 0x40);
    assert!(!rig.uart.interrupt_level());
    rig.set(MCR, 0x10);
    assert_eq!(rig.get(MSR), 0x04);
}

#[test]
fn a_receiver_fuller_than_its_mode_allows_is_refused() {
    let mut uart = Uart::new();
    uart.fifo_control = fcr::ENABLE;
    uart.push_input(b"abc");
    uart.fifo_control = 0;
    let mut saved = StateWriter::new();
    uart.save(&mut saved);
    let mut reader = StateReader::new(saved.as_bytes());
    assert!(Uart::new().restore(&mut reader).is_err());
}

#[test]
fn passes_the_suite() {
    Case {
        make: Uart::new,
        script: |uart, bench| {
            // A state in which no field is as after reset.
            let mut set = |at, value| bench.write(uart, at, AccessSize::Byte, value);
            set(LCR, 0x83);
            set(DATA, 0x12);
            set(IER, 0x34);
            set(LCR, 0x1b);
            set(IIR_FCR, 0x41);
            set(IER, 0x0f);
            set(MCR, 0x1a);
            (0..17).for_each(|byte| set(DATA, byte));
            set(SCRATCH, 0x56);
        },
        poke: |uart, _, random| {
            uart.push_input(&random.to_le_bytes());
        },
        offsets: 8,
    }
    .check();
}
