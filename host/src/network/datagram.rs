//! Datagrams for the guest, as frames.

use super::{GATEWAY_MAC, GUEST_ADDRESS, GUEST_MAC};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpAddress, IpProtocol,
    Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};
use std::net::SocketAddrV4;

/// Bytes of the headers before what is in a datagram.
const HEADER_BYTES: usize = 14 + 20 + 8;

/// The most bytes that fit into a frame.
const BYTES_MAX: usize = 1514 - HEADER_BYTES;

/// Routers that a packet may pass.
const HOPS: u8 = 64;

/// The frame with which a datagram reaches a port of the guest's; none where it does not fit into one.
pub(super) fn frame(to: u16, from: SocketAddrV4, bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() > BYTES_MAX {
        return None;
    }
    let checksums = ChecksumCapabilities::default();
    let mut frame = vec![0; HEADER_BYTES + bytes.len()];
    let mut ethernet = EthernetFrame::new_unchecked(&mut frame[..]);
    EthernetRepr {
        src_addr: EthernetAddress(GATEWAY_MAC),
        dst_addr: EthernetAddress(GUEST_MAC),
        ethertype: EthernetProtocol::Ipv4,
    }
    .emit(&mut ethernet);
    let mut packet = Ipv4Packet::new_unchecked(ethernet.payload_mut());
    Ipv4Repr {
        src_addr: *from.ip(),
        dst_addr: GUEST_ADDRESS,
        next_header: IpProtocol::Udp,
        payload_len: 8 + bytes.len(),
        hop_limit: HOPS,
    }
    .emit(&mut packet, &checksums);
    let mut datagram = UdpPacket::new_unchecked(packet.payload_mut());
    UdpRepr {
        src_port: from.port(),
        dst_port: to,
    }
    .emit(
        &mut datagram,
        &IpAddress::Ipv4(*from.ip()),
        &IpAddress::Ipv4(GUEST_ADDRESS),
        bytes.len(),
        |payload| payload.copy_from_slice(bytes),
        &checksums,
    );
    Some(frame)
}
