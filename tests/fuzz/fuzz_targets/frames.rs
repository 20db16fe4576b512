//! Frames of a guest's: none makes a network panic, or answer with frames that no card takes.
//!
//! An input is frames, each after its length in two bytes. The highest bit of the length says that the checksums are put right, so
//! that what is behind them is reached.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reprise_host::network::peers::{PEERS_MAX, Peers};
use reprise_host::network::web::WebNetwork;
use reprise_host::network::{CONNECTIONS_MAX, Gateway, Wish};
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, TcpPacket, UdpPacket,
};
use std::time::Duration;

/// Bytes of an Ethernet frame without tags at the most.
const FRAME_BYTES_MAX: usize = 1514;

/// Puts the checksums of a packet right, as far as it is one.
fn put_right(frame: &mut [u8]) -> Option<()> {
    let mut frame = EthernetFrame::new_checked(frame).ok()?;
    if frame.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let mut packet = Ipv4Packet::new_checked(frame.payload_mut()).ok()?;
    packet.fill_checksum();
    let (from, to) = (packet.src_addr().into(), packet.dst_addr().into());
    match packet.next_header() {
        IpProtocol::Tcp => {
            TcpPacket::new_checked(packet.payload_mut())
                .ok()?
                .fill_checksum(&from, &to);
        }
        IpProtocol::Udp => {
            UdpPacket::new_checked(packet.payload_mut())
                .ok()?
                .fill_checksum(&from, &to);
        }
        _ => {}
    }
    Some(())
}

fn check(frame: &[u8], peers: &mut Peers) {
    assert!(frame.len() <= FRAME_BYTES_MAX);
    assert!(EthernetFrame::new_checked(frame).is_ok());
    peers.take(frame);
}

fuzz_target!(|input: &[u8]| {
    let mut gateway = Gateway::new(1);
    let mut web = WebNetwork::new(1, None);
    let mut peers = Peers::default();
    let mut connections = 0;
    let mut now = Duration::ZERO;
    let mut rest = input;
    while let Some((&length, after)) = rest.split_first_chunk() {
        let length = u16::from_le_bytes(length);
        let (frame, after) = after.split_at(usize::from(length & 0x7fff).min(after.len()));
        rest = after;
        let mut frame = frame.to_vec();
        if length & 0x8000 != 0 {
            let _ = put_right(&mut frame);
        }
        peers.take(&frame);
        gateway.take_frame(frame.clone());
        web.take_frame(frame);
        now += Duration::from_millis(3);
        while let Some(wish) = gateway.next_wish() {
            match wish {
                Wish::Connect { id, to } if to.port() % 2 == 0 => {
                    connections += 1;
                    gateway.connected(id);
                    gateway.write(id, b"hello");
                }
                Wish::Connect { id, .. } => gateway.refused(id),
                Wish::Datagram { from, to, bytes } => gateway.datagram(from, to, &bytes),
            }
        }
        connections -= gateway.poll(now).len();
        assert!(connections <= CONNECTIONS_MAX);
        web.poll(now);
        while let Some(fetch) = web.next_fetch() {
            web.failed(fetch.id, "no");
        }
        for frame in std::iter::from_fn(|| gateway.next_frame()) {
            check(&frame, &mut peers);
        }
        for frame in std::iter::from_fn(|| web.next_frame()) {
            check(&frame, &mut peers);
        }
    }
    assert!(peers.iter().count() <= PEERS_MAX);
});
