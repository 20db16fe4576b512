//! Frames: what they are to the gateway, and how they come and go.

use super::{GATEWAY_ADDRESS, NAME_SERVER_ADDRESS, Way};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, TcpPacket, UdpPacket,
};
use std::collections::VecDeque;
use std::net::SocketAddrV4;

/// Bytes of an Ethernet frame whose packet has 1500.
const FRAME_BYTES_MAX: usize = 1514;

/// What a frame of the guest's is to the gateway.
pub(super) enum Packet<'a> {
    /// The first of a connection.
    Connect(Way),
    /// A datagram.
    Datagram {
        from: u16,
        to: SocketAddrV4,
        bytes: &'a [u8],
    },
    /// Something else that the gateway answers by itself.
    Ours,
    /// Nothing for us.
    Dropped,
}

/// Takes a frame apart as far as the gateway must know.
pub(super) fn packet(frame: &[u8]) -> Packet<'_> {
    packet_in(frame).unwrap_or(Packet::Dropped)
}

fn packet_in(frame: &[u8]) -> Option<Packet<'_>> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    match frame.ethertype() {
        EthernetProtocol::Arp => return Some(Packet::Ours),
        EthernetProtocol::Ipv4 => {}
        _ => return None,
    }
    let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
    if packet.version() != 4 || packet.more_frags() || packet.frag_offset() != 0 {
        return None;
    }
    let to = packet.dst_addr();
    match packet.next_header() {
        IpProtocol::Tcp => {
            let segment = TcpPacket::new_checked(packet.payload()).ok()?;
            let is_first = segment.syn() && !segment.ack() && !segment.rst();
            let way = (
                segment.src_port(),
                SocketAddrV4::new(to, segment.dst_port()),
            );
            match is_first {
                true if way.1.port() == 0 => None,
                true => Some(Packet::Connect(way)),
                false => Some(Packet::Ours),
            }
        }
        IpProtocol::Udp => {
            let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
            if to.is_broadcast() || to.is_multicast() {
                return None;
            }
            Some(Packet::Datagram {
                from: datagram.src_port(),
                to: SocketAddrV4::new(to, datagram.dst_port()),
                bytes: datagram.payload(),
            })
        }
        // Only those that are here answer that they are.
        _ if [GATEWAY_ADDRESS, NAME_SERVER_ADDRESS].contains(&to) => Some(Packet::Ours),
        _ => None,
    }
}

/// The gateway's end of the cable.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// From the guest.
    pub(super) incoming: VecDeque<Vec<u8>>,
    /// To the guest.
    pub(super) outgoing: VecDeque<Vec<u8>>,
}

pub(super) struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

pub(super) struct Sending<'a>(&'a mut VecDeque<Vec<u8>>);

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let mut frame = vec![0; length];
        let filled = fill(&mut frame);
        self.0.push_back(frame);
        filled
    }
}

impl Device for Link {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Sending<'_>)> {
        let frame = self.incoming.pop_front()?;
        Some((Received(frame), Sending(&mut self.outgoing)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        Some(Sending(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME_BYTES_MAX;
        capabilities
    }
}
