//! Whom a guest has spoken with, out of the frames that reached it.
//!
//! For who wants to know what is in a recording. The frames are a stranger's: what is no packet is passed over, and what is kept is
//! bounded by [`PEERS_MAX`].

use smoltcp::wire::{
    DnsPacket, DnsQuestion, DnsRecord, DnsRecordData, EthernetFrame, EthernetProtocol, IpProtocol,
    Ipv4Packet, TcpPacket, UdpPacket,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};

/// Peers that are told apart, and names that are kept.
pub const PEERS_MAX: usize = 4096;

/// The port of name servers (RFC 1035, 4.2).
const DNS_PORT: u16 = 53;

/// How a peer spoke.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Transport {
    /// By connections.
    Tcp,
    /// By datagrams.
    Udp,
}

/// Whom a guest has spoken with.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    bytes: BTreeMap<(SocketAddrV4, Transport), u64>,
    names: BTreeMap<Ipv4Addr, String>,
    asked: BTreeSet<String>,
    has_more: bool,
}

/// One of whom a guest has spoken with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer<'a> {
    /// Its address.
    pub address: SocketAddrV4,
    /// How it spoke.
    pub transport: Transport,
    /// The name by which the guest found it, as a name server told it.
    pub name: Option<&'a str>,
    /// Bytes that came from it, those that came twice counted twice.
    pub byte_len: u64,
}

impl Peers {
    /// Takes a frame that reached the guest.
    pub fn take(&mut self, frame: &[u8]) {
        // What is no packet tells of nobody.
        let _ = self.take_frame(frame);
    }

    fn take_frame(&mut self, frame: &[u8]) -> Option<()> {
        let frame = EthernetFrame::new_checked(frame).ok()?;
        if frame.ethertype() != EthernetProtocol::Ipv4 {
            return None;
        }
        let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
        let from = |port| SocketAddrV4::new(packet.src_addr(), port);
        match packet.next_header() {
            IpProtocol::Tcp => {
                let segment = TcpPacket::new_checked(packet.payload()).ok()?;
                let peer = (from(segment.src_port()), Transport::Tcp);
                self.count(peer, segment.payload().len());
            }
            IpProtocol::Udp => {
                let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
                let peer = (from(datagram.src_port()), Transport::Udp);
                self.count(peer, datagram.payload().len());
                if datagram.src_port() == DNS_PORT {
                    return self.learn(datagram.payload());
                }
            }
            _ => {}
        }
        Some(())
    }

    fn count(&mut self, peer: (SocketAddrV4, Transport), byte_len: usize) {
        if self.bytes.len() >= PEERS_MAX && !self.bytes.contains_key(&peer) {
            self.has_more = true;
            return;
        }
        *self.bytes.entry(peer).or_default() += byte_len as u64;
    }

    /// Reads a name server's answer (RFC 1035, 4.1).
    fn learn(&mut self, message: &[u8]) -> Option<()> {
        let packet = DnsPacket::new_checked(message).ok()?;
        if packet.question_count() != 1 {
            return None;
        }
        let (mut rest, question) = DnsQuestion::parse(packet.payload()).ok()?;
        let labels = packet.parse_name(question.name);
        let labels: Option<Vec<String>> = labels
            .map(|label| Some(label.ok()?.escape_ascii().to_string()))
            .collect();
        let name = labels?.join(".");
        if self.asked.len() < PEERS_MAX {
            self.asked.insert(name.clone());
        }
        for _ in 0..packet.answer_record_count() {
            let (after, record) = DnsRecord::parse(rest).ok()?;
            rest = after;
            if let DnsRecordData::A(address) = record.data
                && (self.names.len() < PEERS_MAX || self.names.contains_key(&address))
            {
                self.names.insert(address, name.clone());
            }
        }
        Some(())
    }

    /// All of them, by address.
    pub fn iter(&self) -> impl Iterator<Item = Peer<'_>> {
        (self.bytes.iter()).map(|(&(address, transport), &byte_len)| Peer {
            address,
            transport,
            name: self.names.get(address.ip()).map(String::as_str),
            byte_len,
        })
    }

    /// The names that it asked a name server for.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.asked.iter().map(String::as_str)
    }

    /// Whether there were more than are kept.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.has_more
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::datagram;
    use crate::network::{GATEWAY_ADDRESS, NAME_SERVER_ADDRESS};

    /// An answer to the question for `files.example`, with an alias before the address.
    const ANSWER: &[u8] = b"\x12\x34\x81\x80\x00\x01\x00\x02\x00\x00\x00\x00\
        \x05files\x07example\x00\x00\x01\x00\x01\
        \xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x06\x03cdn\xc0\x12\
        \xc0\x2b\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc6\x33\x64\x07";

    fn datagram_from(from: SocketAddrV4, bytes: &[u8]) -> Vec<u8> {
        datagram::frame(40_000, from, bytes).expect("it is short")
    }

    #[test]
    fn peers_are_told_by_the_name_that_was_asked_for() {
        let mut peers = Peers::default();
        let server = SocketAddrV4::new(NAME_SERVER_ADDRESS, DNS_PORT);
        let host = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 7), 9);
        peers.take(&datagram_from(server, ANSWER));
        peers.take(&datagram_from(host, b"four"));
        peers.take(&datagram_from(host, b"five!"));
        peers.take(&datagram_from(SocketAddrV4::new(GATEWAY_ADDRESS, 7), b"x"));
        let told: Vec<_> = peers
            .iter()
            .map(|peer| (peer.address.to_string(), peer.name, peer.byte_len))
            .collect();
        assert_eq!(
            told,
            [
                ("10.0.2.2:7".to_owned(), None, 1),
                ("10.0.2.3:53".to_owned(), None, ANSWER.len() as u64),
                ("198.51.100.7:9".to_owned(), Some("files.example"), 9),
            ]
        );
        assert_eq!(peers.names().collect::<Vec<_>>(), ["files.example"]);
    }

    #[test]
    fn what_is_cut_or_changed_does_no_harm() {
        let server = SocketAddrV4::new(NAME_SERVER_ADDRESS, DNS_PORT);
        let whole = datagram_from(server, ANSWER);
        for length in 0..whole.len() {
            Peers::default().take(&whole[..length]);
        }
        for at in 0..whole.len() {
            for flip in [0xff, 0xc0, 1] {
                let mut changed = whole.clone();
                changed[at] ^= flip;
                Peers::default().take(&changed);
            }
        }
        for length in 0..ANSWER.len() {
            Peers::default().take(&datagram_from(server, &ANSWER[..length]));
        }
    }

    #[test]
    fn more_peers_than_are_kept_are_told() {
        let mut peers = Peers::default();
        for port in 0..=PEERS_MAX as u16 {
            peers.take(&datagram_from(
                SocketAddrV4::new(GATEWAY_ADDRESS, 1000 + port),
                b"x",
            ));
        }
        assert_eq!(peers.iter().count(), PEERS_MAX);
        assert!(peers.has_more());
    }
}
