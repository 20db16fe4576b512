use super::super::mmio::register;
use super::*;
use crate::device::Device;
use crate::devices::suite::Bench;
use crate::devices::virtio::driver::{Driver, get, negotiate, set};
use crate::output::OutputKind;

const MAC: [u8; 6] = [2, 3, 4, 5, 6, 7];

/// A card with both queues going.
struct Rig {
    net: VirtioMmio<Net>,
    bench: Bench,
    receive: Driver,
    transmit: Driver,
}

impl Rig {
    fn new() -> Self {
        let (mut net, mut bench) = (VirtioMmio::new(Net::new(MAC)), Bench::new());
        negotiate(&mut net, &mut bench, u64::MAX);
        let receive = Driver::set_up(&mut net, &mut bench, 0);
        let transmit = Driver::set_up(&mut net, &mut bench, 1);
        set(&mut net, &mut bench, register::STATUS, 0xf);
        Self {
            net,
            bench,
            receive,
            transmit,
        }
    }

    fn send(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let buffer = self.transmit.read_only(&mut self.bench, bytes);
        self.transmit.offer(&mut self.bench, &[buffer]);
        self.transmit.ring(&mut self.net, &mut self.bench);
        let outputs = self.bench.outputs.take().into_iter();
        let frames = outputs.map(|output| match output.kind {
            OutputKind::Frame(frame) => frame,
            other => panic!("{other:?}"),
        });
        frames.collect()
    }
}

#[test]
fn a_frame_goes_out_without_its_header() {
    let mut rig = Rig::new();
    let mut packet = vec![0; HEADER_BYTES];
    packet.extend([7; 60]);
    assert_eq!(rig.send(&packet), [vec![7; 60]]);
    assert!(rig.net.interrupt_level());
    let first = get(&mut rig.net, &mut rig.bench, register::CONFIG);
    assert_eq!(first.to_le_bytes(), MAC[..4]);
}

#[test]
fn what_no_network_carries_is_dropped_and_given_back() {
    let mut rig = Rig::new();
    for length in [0, 5, HEADER_BYTES, HEADER_BYTES + 13, HEADER_BYTES + 1519] {
        if length > 0 {
            assert!(rig.send(&vec![0; length]).is_empty(), "{length}");
            assert!(rig.transmit.used(&rig.bench).is_some());
        }
    }
    assert_eq!(rig.send(&[0; HEADER_BYTES + 1518]).len(), 1);
}

#[test]
fn a_frame_fills_one_buffer() {
    let mut rig = Rig::new();
    assert!(!rig.net.takes_frame(&rig.bench.memory));
    let first = rig.receive.write_only(100);
    let small = rig.receive.write_only(20);
    rig.receive.offer(&mut rig.bench, &[first]);
    rig.receive.offer(&mut rig.bench, &[small]);
    rig.receive.ring(&mut rig.net, &mut rig.bench);
    assert!(rig.net.takes_frame(&rig.bench.memory) && !rig.net.interrupt_level());
    rig.net.push_frame(&mut rig.bench.cx(), &[9; 50]);
    assert!(rig.net.interrupt_level());
    assert_eq!(rig.receive.used(&rig.bench), Some((0, 62)));
    let found = rig.bench.bytes(first.address, 63);
    assert_eq!(found[..12], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(found[12..62], [9; 50]);
    // A buffer that is too small is given back empty.
    rig.net.push_frame(&mut rig.bench.cx(), &[9; 50]);
    assert_eq!(rig.receive.used(&rig.bench), Some((1, 0)));
    assert!(!rig.net.takes_frame(&rig.bench.memory));
    rig.net.push_frame(&mut rig.bench.cx(), &[9; 50]);
    assert_eq!(rig.receive.used(&rig.bench), None);
}

#[test]
fn a_broken_receive_ring_wants_a_reset() {
    let mut rig = Rig::new();
    rig.receive.make_available(&mut rig.bench, 500);
    rig.net.push_frame(&mut rig.bench.cx(), &[9; 50]);
    assert_ne!(get(&mut rig.net, &mut rig.bench, register::STATUS) & 64, 0);
}
