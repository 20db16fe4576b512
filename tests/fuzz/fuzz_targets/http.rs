//! What a guest sends to a web server: nothing makes the page's network panic, and what is asked for does not depend on how the
//! bytes are cut.
//!
//! An input is a byte that says how requests are answered, and what the guest sends. A stack of its own carries it, as a guest's does.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reprise_host::network::web::{Fetch, WebNetwork};
use reprise_host::network::{GATEWAY_ADDRESS, GUEST_ADDRESS, GUEST_MAC};
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr, IpEndpoint};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// The guest's end of the cable.
#[derive(Default)]
struct Cable {
    incoming: VecDeque<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
}

struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

struct Sending<'a>(&'a mut VecDeque<Vec<u8>>);

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let mut frame = vec![0; length];
        let filled = fill(&mut frame);
        self.0.push_back(frame);
        filled
    }
}

impl Device for Cable {
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
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

/// Turns of a conversation, a millisecond each, that nothing may need more of.
const TURNS_MAX: usize = 400;

/// Sends bytes in pieces of some length; what was asked for, and what was answered.
fn converse(how: u8, sent: &[u8], piece_bytes: usize) -> (Vec<Fetch>, Vec<u8>) {
    let mut web = WebNetwork::new(1, None);
    let mut cable = Cable::default();
    let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(GUEST_MAC)));
    config.random_seed = 7;
    let mut guest = Interface::new(config, &mut cable, Instant::ZERO);
    guest.update_ip_addrs(|addresses| {
        let own = IpCidr::new(IpAddress::Ipv4(GUEST_ADDRESS), 24);
        addresses.push(own).expect("there is room");
    });
    (guest.routes_mut().add_default_ipv4_route(GATEWAY_ADDRESS)).expect("there is room");
    let mut sockets = SocketSet::new(Vec::new());
    let buffer = || tcp::SocketBuffer::new(vec![0; 128 << 10]);
    let handle = sockets.add(tcp::Socket::new(buffer(), buffer()));
    let to = IpEndpoint::from(SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 1), 80));
    (sockets.get_mut::<tcp::Socket<'_>>(handle))
        .connect(guest.context(), to, 40_000)
        .expect("it is new");
    let (mut fetches, mut heard) = (Vec::new(), Vec::new());
    let mut left = sent;
    for turn in 0..TURNS_MAX {
        let now = Duration::from_millis(turn as u64);
        let instant = Instant::from_millis(turn as i64);
        let socket = sockets.get_mut::<tcp::Socket<'_>>(handle);
        if socket.may_send() {
            // The pieces get longer, so that all are sent.
            let length = left.len().min(piece_bytes << (turn / 40).min(16));
            let taken = socket.send_slice(&left[..length]).unwrap_or(0);
            left = &left[taken..];
        }
        guest.poll(instant, &mut cable, &mut sockets);
        while let Some(frame) = cable.outgoing.pop_front() {
            web.take_frame(frame);
        }
        web.poll(now);
        while let Some(fetch) = web.next_fetch() {
            answer(&mut web, how, &fetch);
            fetches.push(fetch);
        }
        web.poll(now);
        while let Some(frame) = web.next_frame() {
            cable.incoming.push_back(frame);
        }
        guest.poll(instant, &mut cable, &mut sockets);
        let socket = sockets.get_mut::<tcp::Socket<'_>>(handle);
        let mut piece = vec![0; socket.recv_queue()];
        let length = socket.recv_slice(&mut piece).unwrap_or(0);
        heard.extend_from_slice(&piece[..length]);
        if !socket.is_active() && turn > 10 {
            break;
        }
    }
    (fetches, heard)
}

fn answer(web: &mut WebNetwork, how: u8, fetch: &Fetch) {
    let status = [200, 204, 304, 404][usize::from(how % 4)];
    let headers = [("content-type".to_owned(), "text/plain".to_owned())];
    match how / 4 % 4 {
        0 => web.failed(fetch.id, "no"),
        1 => {
            web.head(fetch.id, status, "", &headers);
            web.failed(fetch.id, "no more");
        }
        _ => {
            web.head(fetch.id, status, "", &headers);
            web.body(fetch.id, b"some bytes");
            web.end(fetch.id);
        }
    }
}

/// What was heard but for leave to send a body (RFC 9110, 10.1.1), which who has sent it already does not get.
fn without_go_aheads(heard: &[u8]) -> String {
    let heard: String = heard.iter().map(|byte| char::from(*byte)).collect();
    heard.replace("HTTP/1.1 100 Continue\r\n\r\n", "")
}

fuzz_target!(|input: &[u8]| {
    let Some((&how, sent)) = input.split_first() else {
        return;
    };
    let (whole, heard) = converse(how, sent, 1 << 16);
    for fetch in &whole {
        assert!(fetch.url.starts_with("http://"), "{fetch:?}");
        assert!(!fetch.url.contains(['\r', '\n', ' ']), "{fetch:?}");
        for (name, value) in &fetch.headers {
            assert!(!name.contains([':', '\r', '\n']), "{fetch:?}");
            assert!(!value.contains(['\r', '\n', '\0']), "{fetch:?}");
        }
    }
    assert!(heard.is_empty() || heard.starts_with(b"HTTP/1."));
    let (cut, heard_cut) = converse(how, sent, 1 + usize::from(how / 16));
    assert_eq!(whole, cut);
    assert_eq!(without_go_aheads(&heard), without_go_aheads(&heard_cut));
});
