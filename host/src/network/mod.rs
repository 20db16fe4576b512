//! The network that a guest is on: one card, one gateway, and behind it whatever the host lets it reach.
//!
//! The gateway ends the guest's connections itself (smoltcp) and hands their bytes to whoever drives it, which opens connections
//! of its own: so the guest needs no address in anybody's network, and the host no privileges. Datagrams are handed over as
//! they are. What reaches the guest are frames, which a recording logs; nothing here is needed for a replay. A driver that has no sockets but can fetch, as a
//! page can, drives a [`web::WebNetwork`] instead.
//!
//! | address | what |
//! | --- | --- |
//! | 10.0.2.15 | the guest ([`GUEST_ADDRESS`]) |
//! | 10.0.2.2 | the gateway ([`GATEWAY_ADDRESS`]), which stands for the host itself |
//! | 10.0.2.3 | the name server ([`NAME_SERVER_ADDRESS`]) |
//!
//! # Invariants
//! - No socket, clock or thread: time is an argument, and what is wanted of the outside is asked for by [`Wish`].
//! - What a guest can make it hold is bounded: [`CONNECTIONS_MAX`] connections with fixed buffers. Frames for the guest are the driver's to
//!   take, or to drop.

mod datagram;
mod http;
mod names;
pub mod peers;
pub mod tls;
pub mod web;
mod wire;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr, IpEndpoint};
use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;
use wire::{Link, Packet};

/// The guest's address.
pub const GUEST_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// The gateway's address; a connection to it is one to the host's own loopback.
pub const GATEWAY_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// The address at which names are looked up.
pub const NAME_SERVER_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
/// The guest's card: a locally administered address (IEEE 802, 8.4).
pub const GUEST_MAC: [u8; 6] = [0x02, 0x52, 0x50, 0x00, 0x00, 0x02];
/// The gateway's card.
const GATEWAY_MAC: [u8; 6] = [0x02, 0x52, 0x50, 0x00, 0x00, 0x01];

/// Connections at a time; further ones are reset.
pub const CONNECTIONS_MAX: usize = 1024;

/// Bytes on their way in one direction of a connection.
const BUFFER_BYTES: usize = 128 << 10;

/// How often a guest is asked whether it still has a connection.
const WATCH_INTERVAL: Duration = Duration::from_secs(10);

/// The gateway's own ports for connections to the guest: from here on (RFC 6335, 6, the dynamic ports).
const DIAL_PORT_MIN: u16 = 49_152;

/// How long the guest may say nothing at all on a connection that was made to it, while something is owed to it.
const DIAL_TIMEOUT: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(30);

/// A connection from the guest's side: its own port, and that of the other side.
type Way = (u16, SocketAddrV4);

/// Names a connection of the guest's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct ConnectionId(pub u64);

/// What the guest wants of the outside. Connections to it come about by [`Gateway::dial`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wish {
    /// A connection. The answer is [`Gateway::connected`] or [`Gateway::refused`].
    Connect {
        /// Its name from now on.
        id: ConnectionId,
        /// Where to.
        to: SocketAddrV4,
    },
    /// A datagram is sent. What comes back goes to [`Gateway::datagram`].
    Datagram {
        /// The guest's port.
        from: u16,
        /// Where to.
        to: SocketAddrV4,
        /// What is in it.
        bytes: Vec<u8>,
    },
}

#[derive(Debug)]
struct Connection {
    way: Way,
    /// None while the outside has not answered, and the frame with which the guest asked.
    socket: Result<SocketHandle, Vec<u8>>,
    /// The outside sends no more.
    is_closing: bool,
    /// The outside is gone, and what the guest has sent is nobody's.
    is_broken: bool,
}

/// The gateway.
pub struct Gateway {
    interface: Interface,
    link: Link,
    sockets: SocketSet<'static>,
    connections: BTreeMap<ConnectionId, Connection>,
    ways: BTreeMap<Way, ConnectionId>,
    last_id: u64,
    wishes: VecDeque<Wish>,
    /// Of the last poll.
    now: Instant,
    /// Connections that are over, of which nobody has been told.
    over: Vec<ConnectionId>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway")
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

impl Gateway {
    /// A gateway without connections. `seed` is for sequence numbers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut link = Link::default();
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(GATEWAY_MAC)));
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut link, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            for address in [GATEWAY_ADDRESS, NAME_SERVER_ADDRESS] {
                // There is room for two.
                let _ = addresses.push(IpCidr::new(IpAddress::Ipv4(address), 24));
            }
        });
        // Whatever the guest sends to, it means us.
        interface.set_any_ip(true);
        let _ = (interface.routes_mut()).add_default_ipv4_route(GATEWAY_ADDRESS);
        Self {
            interface,
            link,
            sockets: SocketSet::new(Vec::new()),
            connections: BTreeMap::new(),
            ways: BTreeMap::new(),
            last_id: 0,
            wishes: VecDeque::new(),
            now: Instant::ZERO,
            over: Vec::new(),
        }
    }

    /// Takes a frame that the guest sent. [`Gateway::poll`] works on it.
    pub fn take_frame(&mut self, frame: Vec<u8>) {
        match wire::packet(&frame) {
            Packet::Datagram { from, to, bytes } => {
                let bytes = bytes.to_vec();
                self.wishes.push_back(Wish::Datagram { from, to, bytes });
            }
            Packet::Connect(way) if !self.ways.contains_key(&way) => self.ask(way, frame),
            // It asks again, since there is no answer yet.
            Packet::Connect(way) if self.is_asked(way) => {}
            Packet::Ours | Packet::Connect(_) => self.link.incoming.push_back(frame),
            Packet::Dropped => {}
        }
    }

    fn is_asked(&self, way: Way) -> bool {
        let id = self.ways.get(&way);
        let connection = id.and_then(|id| self.connections.get(id));
        connection.is_some_and(|connection| connection.socket.is_err())
    }

    fn ask(&mut self, way: Way, frame: Vec<u8>) {
        if self.connections.len() >= CONNECTIONS_MAX {
            // Nobody listens: it is reset.
            self.link.incoming.push_back(frame);
            self.work();
            return;
        }
        self.last_id += 1;
        let id = ConnectionId(self.last_id);
        self.ways.insert(way, id);
        let connection = Connection {
            way,
            socket: Err(frame),
            is_closing: false,
            is_broken: false,
        };
        self.connections.insert(id, connection);
        self.wishes.push_back(Wish::Connect { id, to: way.1 });
    }

    /// Connects to a port of the guest's, for somebody outside. Where the guest does not take it, it is over at once; until it has,
    /// [`Gateway::room`] is 0. None if there are too many connections.
    pub fn dial(&mut self, port: u16) -> Option<ConnectionId> {
        if self.connections.len() >= CONNECTIONS_MAX || port == 0 {
            return None;
        }
        // Fewer connections than ports, so one is free.
        let own = (DIAL_PORT_MIN..=u16::MAX)
            .map(|own| SocketAddrV4::new(GATEWAY_ADDRESS, own))
            .find(|own| !self.ways.contains_key(&(port, *own)))?;
        let mut socket = new_socket();
        // A guest that does not answer, not even by a refusal, has no network yet.
        socket.set_timeout(Some(DIAL_TIMEOUT));
        let to = IpEndpoint::from(SocketAddrV4::new(GUEST_ADDRESS, port));
        let context = self.interface.context();
        socket.connect(context, to, IpEndpoint::from(own)).ok()?;
        self.last_id += 1;
        let id = ConnectionId(self.last_id);
        let way = (port, own);
        self.ways.insert(way, id);
        let connection = Connection {
            way,
            socket: Ok(self.sockets.add(socket)),
            is_closing: false,
            is_broken: false,
        };
        self.connections.insert(id, connection);
        Some(id)
    }

    /// The outside took a connection.
    pub fn connected(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let Err(frame) = &mut connection.socket else {
            return;
        };
        let frame = std::mem::take(frame);
        let mut socket = new_socket();
        let at = IpEndpoint::from(connection.way.1);
        // It is new and the port is not 0, since the guest's packet named it.
        let is_listening = socket.listen(at).is_ok();
        debug_assert!(is_listening, "a fresh socket listens");
        connection.socket = Ok(self.sockets.add(socket));
        self.link.incoming.push_back(frame);
        // At once: a socket listens for its destination alone, so no two may listen at a time.
        self.work();
    }

    /// The outside refused a connection, or ended it by force.
    pub fn refused(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        match &mut connection.socket {
            Ok(handle) => {
                connection.is_broken = true;
                self.sockets.get_mut::<tcp::Socket<'_>>(*handle).abort();
            }
            Err(frame) => {
                // Nobody listens there, so it is reset.
                self.link.incoming.push_back(std::mem::take(frame));
                self.forget(id);
                self.work();
            }
        }
    }

    /// The outside sends no more; what it has sent still reaches the guest.
    pub fn ended(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.is_closing = true;
        }
    }

    /// Takes bytes of the outside for the guest: how many, which is fewer than given while the guest does not read.
    pub fn write(&mut self, id: ConnectionId, bytes: &[u8]) -> usize {
        let socket = self.socket(id);
        socket.map_or(0, |socket| socket.send_slice(bytes).unwrap_or(0))
    }

    /// How many bytes [`Gateway::write`] would take.
    #[must_use]
    pub fn room(&self, id: ConnectionId) -> usize {
        let Some(Ok(handle)) = self.connections.get(&id).map(|found| &found.socket) else {
            return 0;
        };
        let socket = self.sockets.get::<tcp::Socket<'_>>(*handle);
        match socket.may_send() {
            true => socket.send_capacity() - socket.send_queue(),
            false => 0,
        }
    }

    /// The guest's next bytes for the outside, at most `bytes_max`.
    pub fn read(&mut self, id: ConnectionId, bytes_max: usize) -> Vec<u8> {
        let Some(socket) = self.socket(id) else {
            return Vec::new();
        };
        let mut bytes = vec![0; bytes_max.min(socket.recv_queue())];
        let length = socket.recv_slice(&mut bytes).unwrap_or(0);
        bytes.truncate(length);
        bytes
    }

    /// Whether the guest sends no more on a connection, and all of it has been read.
    #[must_use]
    pub fn is_read_out(&self, id: ConnectionId) -> bool {
        let Some(Ok(handle)) = self.connections.get(&id).map(|found| &found.socket) else {
            return false;
        };
        let socket = self.sockets.get::<tcp::Socket<'_>>(*handle);
        let has_begun = !matches!(
            socket.state(),
            tcp::State::Listen | tcp::State::SynReceived | tcp::State::SynSent
        );
        has_begun && !socket.may_recv()
    }

    /// Asks the guest from time to time whether a connection is still there, from now on. One on which the guest sends no more may be
    /// one that it has left, which only an answer to what it is sent tells.
    pub fn watch(&mut self, id: ConnectionId) {
        if let Some(socket) = self.socket(id) {
            let interval = smoltcp::time::Duration::from_micros(WATCH_INTERVAL.as_micros() as u64);
            socket.set_keep_alive(Some(interval));
        }
    }

    /// Takes a datagram of the outside for a port of the guest's; one that is too long for a frame is lost.
    pub fn datagram(&mut self, to: u16, from: SocketAddrV4, bytes: &[u8]) {
        self.link.outgoing.extend(datagram::frame(to, from, bytes));
    }

    /// What the guest wants of the outside, once each.
    pub fn next_wish(&mut self) -> Option<Wish> {
        self.wishes.pop_front()
    }

    /// The next frame for the guest.
    pub fn next_frame(&mut self) -> Option<Vec<u8>> {
        self.link.outgoing.pop_front()
    }

    /// Works on what has come; `now` does not go back. The connections that are over since the last time: they are gone.
    pub fn poll(&mut self, now: Duration) -> Vec<ConnectionId> {
        self.now = instant(now);
        self.work();
        std::mem::take(&mut self.over)
    }

    /// Works on the frames that wait, and forgets what is over.
    fn work(&mut self) {
        for connection in self.connections.values() {
            if let Ok(handle) = connection.socket {
                let socket = self.sockets.get_mut::<tcp::Socket<'_>>(handle);
                // Before the guest has answered there is nothing to end.
                let can_close = matches!(
                    socket.state(),
                    tcp::State::Established | tcp::State::CloseWait
                );
                if connection.is_closing && can_close {
                    socket.close();
                }
            }
        }
        (self.interface).poll(self.now, &mut self.link, &mut self.sockets);
        let mut over = Vec::new();
        for (id, connection) in &self.connections {
            if let Ok(handle) = connection.socket {
                let socket = self.sockets.get::<tcp::Socket<'_>>(handle);
                let is_over = match socket.state() {
                    // The outside has said its last, and so has the guest: what remains is waiting for late packets.
                    tcp::State::Closed | tcp::State::TimeWait => {
                        connection.is_broken || socket.recv_queue() == 0
                    }
                    // The guest gave up before it was connected; others to the same destination must not get this one.
                    tcp::State::Listen => true,
                    _ => false,
                };
                if is_over {
                    over.push(*id);
                }
            }
        }
        for id in &over {
            self.forget(*id);
        }
        self.over.append(&mut over);
    }

    /// How long nothing is to be done if nothing comes; none for ever.
    pub fn rest(&mut self, now: Duration) -> Option<Duration> {
        let rest = self.interface.poll_delay(instant(now), &self.sockets)?;
        Some(rest.into())
    }

    /// Whether the guest waits for something of the outside.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.connections.is_empty()
    }

    fn socket(&mut self, id: ConnectionId) -> Option<&mut tcp::Socket<'static>> {
        match self.connections.get(&id)?.socket {
            Ok(handle) => Some(self.sockets.get_mut(handle)),
            Err(_) => None,
        }
    }

    fn forget(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.remove(&id) {
            self.ways.remove(&connection.way);
            if let Ok(handle) = connection.socket {
                self.sockets.remove(handle);
            }
        }
    }
}

fn new_socket() -> tcp::Socket<'static> {
    let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER_BYTES]);
    let mut socket = tcp::Socket::new(buffer(), buffer());
    socket.set_nagle_enabled(false);
    socket.set_ack_delay(None);
    socket
}

fn instant(since_start: Duration) -> Instant {
    Instant::from_micros(i64::try_from(since_start.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
