use super::*;
use smoltcp::wire::IpListenEndpoint;

/// A guest with a stack of its own, and the gateway.
struct Pair {
    gateway: Gateway,
    guest: Interface,
    link: Link,
    sockets: SocketSet<'static>,
    now: Duration,
    over: Vec<ConnectionId>,
}

impl Pair {
    fn new() -> Self {
        let mut link = Link::default();
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(GUEST_MAC)));
        config.random_seed = 7;
        let mut guest = Interface::new(config, &mut link, Instant::ZERO);
        guest.update_ip_addrs(|addresses| {
            let own = IpCidr::new(IpAddress::Ipv4(GUEST_ADDRESS), 24);
            addresses.push(own).unwrap();
        });
        (guest.routes_mut())
            .add_default_ipv4_route(GATEWAY_ADDRESS)
            .unwrap();
        Self {
            gateway: Gateway::new(1),
            guest,
            link,
            sockets: SocketSet::new(Vec::new()),
            now: Duration::ZERO,
            over: Vec::new(),
        }
    }

    /// Lets frames pass for a while.
    fn turn(&mut self, millis: u64) {
        for _ in 0..millis {
            self.now += Duration::from_millis(1);
            let now = instant(self.now);
            self.guest.poll(now, &mut self.link, &mut self.sockets);
            while let Some(frame) = self.link.outgoing.pop_front() {
                self.gateway.take_frame(frame);
            }
            self.over.extend(self.gateway.poll(self.now));
            while let Some(frame) = self.gateway.next_frame() {
                self.link.incoming.push_back(frame);
            }
        }
    }

    fn dial(&mut self, to: SocketAddrV4) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; 64 << 10]);
        let handle = self.sockets.add(tcp::Socket::new(buffer(), buffer()));
        let socket: &mut tcp::Socket<'_> = self.sockets.get_mut(handle);
        let at = IpListenEndpoint::from(40_000);
        let to = IpEndpoint::from(to);
        socket.connect(self.guest.context(), to, at).unwrap();
        self.turn(10);
        handle
    }

    fn socket(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }
}

fn far() -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(93, 184, 216, 34), 80)
}

#[test]
fn a_connection_carries_bytes_both_ways_and_ends() {
    let mut pair = Pair::new();
    let handle = pair.dial(far());
    let Some(Wish::Connect { id, to }) = pair.gateway.next_wish() else {
        panic!("no connection is wanted");
    };
    assert_eq!(to, far());
    // It is asked for once, however often the guest asks, and is not there before the outside has answered.
    pair.turn(5000);
    assert_eq!(pair.gateway.next_wish(), None);
    assert_eq!(pair.socket(handle).state(), tcp::State::SynSent);
    pair.gateway.connected(id);
    pair.turn(10);
    assert_eq!(pair.socket(handle).state(), tcp::State::Established);

    pair.socket(handle).send_slice(b"GET /").unwrap();
    pair.turn(10);
    assert_eq!(pair.gateway.read(id, 3), b"GET");
    assert_eq!(pair.gateway.read(id, 100), b" /");
    assert!(!pair.gateway.is_read_out(id));

    // More than all buffers hold, as fast as it is taken.
    let sent: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
    let (mut done, mut got) = (0, Vec::new());
    while got.len() < sent.len() {
        done += pair.gateway.write(id, &sent[done..]);
        pair.turn(1);
        let mut piece = vec![0; 9999];
        let length = pair.socket(handle).recv_slice(&mut piece).unwrap();
        got.extend_from_slice(&piece[..length]);
    }
    assert!(got == sent);

    pair.socket(handle).close();
    pair.turn(10);
    assert!(pair.gateway.is_read_out(id) && pair.over.is_empty());
    assert_eq!(pair.gateway.write(id, b"bye"), 3);
    pair.gateway.ended(id);
    pair.turn(10);
    let mut last = [0; 10];
    assert_eq!(pair.socket(handle).recv_slice(&mut last), Ok(3));
    pair.turn(100);
    assert_eq!(pair.over, [id]);
    assert!(!pair.gateway.is_busy());
}

#[test]
fn a_connection_to_the_guest_carries_bytes_and_ends() {
    let mut pair = Pair::new();
    let buffer = || tcp::SocketBuffer::new(vec![0; 64 << 10]);
    let mut listening = tcp::Socket::new(buffer(), buffer());
    listening.listen(8000).unwrap();
    let handle = pair.sockets.add(listening);
    let id = pair.gateway.dial(8000).unwrap();
    assert_eq!(pair.gateway.room(id), 0);
    assert!(!pair.gateway.is_read_out(id));
    pair.turn(10);
    assert!(pair.gateway.room(id) > 0);
    assert_eq!(pair.gateway.write(id, b"GET /"), 5);
    pair.turn(10);
    let mut got = [0; 10];
    assert_eq!(pair.socket(handle).recv_slice(&mut got), Ok(5));
    pair.socket(handle).send_slice(b"200").unwrap();
    pair.socket(handle).close();
    pair.turn(10);
    assert_eq!(pair.gateway.read(id, 10), b"200");
    assert!(pair.gateway.is_read_out(id));
    pair.gateway.ended(id);
    pair.turn(100);
    assert_eq!(pair.over, [id]);
    assert!(!pair.gateway.is_busy());

    // Nobody listens there.
    let refused = pair.gateway.dial(8001).unwrap();
    pair.turn(10);
    assert_eq!(pair.over, [id, refused]);
    assert_eq!(pair.gateway.dial(0), None);
}

#[test]
fn a_guest_without_a_network_is_not_reached() {
    let mut gateway = Gateway::new(1);
    let id = gateway.dial(80).unwrap();
    let mut over = Vec::new();
    for second in 0..60 {
        over.extend(gateway.poll(Duration::from_secs(second)));
        while gateway.next_frame().is_some() {}
    }
    assert_eq!(over, [id]);
    // As many at a time as there may be connections, each from a port of its own.
    let dialed: BTreeMap<_, _> = (0..CONNECTIONS_MAX)
        .map(|_| (gateway.dial(80).unwrap(), ()))
        .collect();
    assert_eq!(dialed.len(), CONNECTIONS_MAX);
    assert_eq!(gateway.dial(80), None);
}

#[test]
fn a_connection_that_is_refused_is_reset() {
    let mut pair = Pair::new();
    let handle = pair.dial(far());
    let Some(Wish::Connect { id, .. }) = pair.gateway.next_wish() else {
        panic!("no connection is wanted");
    };
    pair.gateway.refused(id);
    pair.turn(10);
    assert_eq!(pair.socket(handle).state(), tcp::State::Closed);
    assert!(!pair.gateway.is_busy());
    // What nobody knows any more does no harm.
    pair.gateway.connected(id);
    pair.gateway.ended(id);
    assert_eq!(pair.gateway.write(id, b"x"), 0);
    assert_eq!(pair.gateway.room(id), 0);
}

#[test]
fn a_connection_that_breaks_off_is_reset_and_one_that_the_guest_resets_is_over() {
    let mut pair = Pair::new();
    for by_guest in [false, true] {
        let handle = pair.dial(far());
        let Some(Wish::Connect { id, .. }) = pair.gateway.next_wish() else {
            panic!("no connection is wanted");
        };
        pair.gateway.connected(id);
        pair.turn(10);
        match by_guest {
            true => pair.socket(handle).abort(),
            false => pair.gateway.refused(id),
        }
        pair.turn(10);
        assert_eq!(pair.socket(handle).state(), tcp::State::Closed);
        assert_eq!(pair.over, [id]);
        pair.over.clear();
        pair.sockets.remove(handle);
    }
}

#[test]
fn what_nobody_reads_does_not_keep_a_broken_connection() {
    let mut pair = Pair::new();
    let handle = pair.dial(far());
    let Some(Wish::Connect { id, .. }) = pair.gateway.next_wish() else {
        panic!("no connection is wanted");
    };
    pair.gateway.connected(id);
    pair.turn(10);
    pair.socket(handle).send_slice(&[1; 5000]).unwrap();
    pair.turn(10);
    pair.gateway.refused(id);
    pair.turn(10);
    assert_eq!(pair.over, [id]);
    assert!(!pair.gateway.is_busy());
}

#[test]
fn a_guest_that_gives_up_leaves_nothing_to_the_next() {
    let mut pair = Pair::new();
    let handle = pair.dial(far());
    let Some(Wish::Connect { id, .. }) = pair.gateway.next_wish() else {
        panic!("no connection is wanted");
    };
    // It has gone when the outside answers.
    pair.socket(handle).abort();
    pair.sockets.remove(handle);
    pair.gateway.connected(id);
    pair.turn(100);
    assert_eq!(pair.over, [id]);
    let handle = pair.dial(far());
    let Some(Wish::Connect { id: next, .. }) = pair.gateway.next_wish() else {
        panic!("no connection is wanted");
    };
    assert_ne!(next, id);
    // An end that comes before the connection does is kept for it.
    pair.gateway.ended(next);
    pair.gateway.connected(next);
    pair.turn(10);
    assert_eq!(pair.socket(handle).state(), tcp::State::CloseWait);
}

#[test]
fn datagrams_pass_as_they_are() {
    let mut pair = Pair::new();
    let server = SocketAddrV4::new(NAME_SERVER_ADDRESS, 53);
    // As the guest's card would send it, since a frame is a frame.
    let mut frame = datagram::frame(53, SocketAddrV4::new(GUEST_ADDRESS, 5353), b"who").unwrap();
    frame[30..34].copy_from_slice(&NAME_SERVER_ADDRESS.octets());
    pair.gateway.take_frame(frame);
    let wish = pair.gateway.next_wish();
    let expected = Wish::Datagram {
        from: 5353,
        to: server,
        bytes: b"who".to_vec(),
    };
    assert_eq!(wish, Some(expected));
    pair.gateway.datagram(5353, server, b"you");
    let frame = pair.gateway.next_frame().unwrap();
    assert_eq!(frame.len(), 45);
    assert!(frame.ends_with(b"you"));
    pair.gateway.datagram(5353, server, &[0; 1473]);
    assert_eq!(pair.gateway.next_frame(), None);
}

#[test]
fn frames_that_mean_nothing_are_dropped() {
    let mut pair = Pair::new();
    for length in 0..200 {
        for byte in [0, 8, 0x45, 0xff] {
            let mut frame = vec![byte; length];
            if length > 14 {
                frame[12..14].copy_from_slice(&[8, 0]);
            }
            pair.gateway.take_frame(frame);
        }
    }
    pair.turn(10);
    assert!(!pair.gateway.is_busy());
}
