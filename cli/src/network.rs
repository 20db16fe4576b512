//! The outside of a live guest's network: this computer's own.
//!
//! The gateway (`reprise_host::network`) stands between the guest's frames and the sockets here, which tasks on a thread of their own
//! serve; they hand over what comes and wake whoever waits for the guest.

use crate::say;
use anyhow::Context;
use reprise_core::output::{Output, OutputKind};
use reprise_host::network::{ConnectionId, GATEWAY_ADDRESS, Gateway, NAME_SERVER_ADDRESS, Wish};
use reprise_recorder::entry::EntryLog;
use reprise_recorder::record::RecordSession;
use rustix::event::{EventfdFlags, eventfd};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc as news;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

/// Bytes that are handed over at a time.
const PIECE_BYTES: usize = 16 << 10;
/// Pieces on their way in one direction of a connection; who is faster than the other waits.
const PIECES_MAX: usize = 8;
/// Frames that wait for room in the guest's card, and datagrams that wait to become some; more are lost.
const FRAMES_MAX: usize = 1024;
/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a guest's port is held open for answers.
const PORT_TIMEOUT: Duration = Duration::from_secs(60);
/// Ports of the guest's that are held open at a time.
const PORTS_MAX: usize = 256;
/// Connections to forwarded ports that wait for the guest to go on.
const ARRIVALS_MAX: usize = 64;
/// How long nobody is let in after that has failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bytes of the longest datagram.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;

/// What tasks have to say.
enum News {
    Connected(ConnectionId),
    /// There is no such connection, or no more.
    Broken(ConnectionId),
    /// Somebody wants to speak with a port of the guest's.
    Arrived {
        port: u16,
        stream: TcpStream,
    },
    Datagram {
        to: u16,
        from: SocketAddrV4,
        bytes: Vec<u8>,
    },
}

/// Hands news over and wakes who waits for them.
#[derive(Clone)]
struct Teller {
    news: news::Sender<News>,
    /// Datagrams that nobody has heard of yet.
    datagrams: Arc<AtomicUsize>,
    /// Likewise, those who have connected to forwarded ports.
    arrivals: Arc<AtomicUsize>,
    bell: Arc<OwnedFd>,
}

impl Teller {
    fn tell(&self, news: News) {
        // Nobody listens any more when the recording is over.
        let _ = self.news.send(news);
        self.ring();
    }

    fn ring(&self) {
        // A counter that is full has rung already.
        let _ = rustix::io::write(&*self.bell, &1_u64.to_ne_bytes());
    }
}

/// A connection's way to its task and back.
struct Pipe {
    /// None once the guest has said its last, which is told by a piece without bytes.
    out: Option<mpsc::Sender<Vec<u8>>>,
    back: mpsc::Receiver<Vec<u8>>,
    /// What of the last piece the guest has not taken.
    rest: Vec<u8>,
    has_ended: bool,
}

/// The outside.
pub(crate) struct Network {
    gateway: Gateway,
    runtime: Runtime,
    teller: Teller,
    news: news::Receiver<News>,
    pipes: BTreeMap<ConnectionId, Pipe>,
    /// Of each port from which the guest has sent datagrams.
    ports: BTreeMap<u16, mpsc::Sender<(SocketAddrV4, Vec<u8>)>>,
    name_server: Option<Ipv4Addr>,
    reach: Reach,
}

/// Whom the guest can speak with.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Reach {
    /// Whatever this computer reaches.
    pub(crate) outwards: bool,
    /// Whoever connects to these ports of this computer.
    pub(crate) inwards: Vec<Forward>,
}

impl Reach {
    /// Whether there is a network at all.
    pub(crate) fn is_any(&self) -> bool {
        self.outwards || !self.inwards.is_empty()
    }
}

/// A port of this computer's loopback interface that leads to one of the guest's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Forward {
    /// This computer's; 0 is any free one.
    pub(crate) host: u16,
    /// The guest's.
    pub(crate) guest: u16,
}

impl FromStr for Forward {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ports = text.split_once(':');
        let parsed = ports.and_then(|(host, guest)| {
            let guest = guest.parse().ok().filter(|port| *port != 0)?;
            let host = host.parse().ok()?;
            Some(Self { host, guest })
        });
        parsed.ok_or_else(|| {
            "write it as HOST:GUEST, two ports; HOST may be 0, which is any free one".to_owned()
        })
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network")
            .field("gateway", &self.gateway)
            .finish_non_exhaustive()
    }
}

impl Network {
    /// The outside without anything going on. Where forwarded ports lead is told.
    pub(crate) fn open(reach: &Reach, is_quiet: bool) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let (sender, receiver) = news::channel();
        let bell = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        let teller = Teller {
            news: sender,
            datagrams: Arc::default(),
            arrivals: Arc::default(),
            bell: Arc::new(bell),
        };
        for forward in &reach.inwards {
            let at = SocketAddrV4::new(Ipv4Addr::LOCALHOST, forward.host);
            let listener = (runtime.block_on(TcpListener::bind(at)))
                .with_context(|| format!("port {} cannot be forwarded", forward.host))?;
            if !is_quiet {
                let at = listener.local_addr()?;
                say::line(format_args!(
                    "reprise: {at} leads to the guest's port {}",
                    forward.guest
                ));
            }
            runtime.spawn(accept(listener, forward.guest, teller.clone()));
        }
        Ok(Self {
            gateway: Gateway::new(u64::from_le_bytes(seed)),
            runtime,
            teller,
            reach: reach.clone(),
            news: receiver,
            pipes: BTreeMap::new(),
            ports: BTreeMap::new(),
            name_server: name_server(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default()),
        })
    }

    /// Becomes readable when there is news.
    pub(crate) fn bell(&self) -> BorrowedFd<'_> {
        self.teller.bell.as_fd()
    }

    /// Whether something may come from outside that wakes the guest.
    pub(crate) fn is_busy(&self) -> bool {
        self.gateway.is_busy() || !self.ports.is_empty() || !self.reach.inwards.is_empty()
    }

    /// Hands over what the guest has sent and what has come for it; how long it may then rest.
    pub(crate) fn pass<L: EntryLog>(
        &mut self,
        session: &mut RecordSession<L>,
        outputs: &[Output],
        now: Duration,
    ) -> Option<Duration> {
        // Rung before it is heard, so that nothing is missed.
        let _ = rustix::io::read(&*self.teller.bell, &mut [0; 8]);
        for output in outputs {
            if let OutputKind::Frame(frame) = &output.kind {
                self.gateway.take_frame(frame.clone());
            }
        }
        while let Ok(news) = self.news.try_recv() {
            match news {
                News::Connected(id) => self.gateway.connected(id),
                News::Broken(id) => self.gateway.refused(id),
                News::Arrived { port, stream } => {
                    self.teller.arrivals.fetch_sub(1, Ordering::Relaxed);
                    self.arrive(port, stream);
                }
                News::Datagram { to, from, bytes } => {
                    self.teller.datagrams.fetch_sub(1, Ordering::Relaxed);
                    if session.waiting_frame_count() < FRAMES_MAX {
                        self.gateway.datagram(to, from, &bytes);
                    }
                }
            }
        }
        self.ports.retain(|_, port| !port.is_closed());
        while let Some(wish) = self.gateway.next_wish() {
            match wish {
                Wish::Connect { id, .. } if !self.reach.outwards => self.gateway.refused(id),
                Wish::Datagram { .. } if !self.reach.outwards => {}
                Wish::Connect { id, to } => self.connect(id, to),
                Wish::Datagram { from, to, bytes } => self.send(from, to, bytes),
            }
        }
        // First what came from the guest, then what goes to it, then the packets that follow from both.
        let mut over = self.gateway.poll(now);
        for (id, pipe) in &mut self.pipes {
            carry(&mut self.gateway, *id, pipe);
        }
        over.extend(self.gateway.poll(now));
        for id in over {
            self.pipes.remove(&id);
        }
        while let Some(frame) = self.gateway.next_frame() {
            // What a guest does not take is lost, as on any network; TCP sends it again.
            if session.waiting_frame_count() < FRAMES_MAX {
                session.feed_frame(frame);
            }
        }
        self.gateway.rest(now)
    }

    /// A pipe to a connection's task: what the task reads from and writes to.
    fn pipe(&mut self, id: ConnectionId) -> (mpsc::Receiver<Vec<u8>>, mpsc::Sender<Vec<u8>>) {
        let (out, from_guest) = mpsc::channel(PIECES_MAX);
        let (to_guest, back) = mpsc::channel(PIECES_MAX);
        let pipe = Pipe {
            out: Some(out),
            back,
            rest: Vec::new(),
            has_ended: false,
        };
        self.pipes.insert(id, pipe);
        (from_guest, to_guest)
    }

    fn arrive(&mut self, port: u16, stream: TcpStream) {
        // Where there are too many, it ends again.
        let Some(id) = self.gateway.dial(port) else {
            return;
        };
        let (from_guest, to_guest) = self.pipe(id);
        let teller = self.teller.clone();
        self.runtime.spawn(async move {
            let _ = stream.set_nodelay(true);
            if serve(stream, from_guest, to_guest, &teller).await.is_err() {
                teller.tell(News::Broken(id));
            }
        });
    }

    fn connect(&mut self, id: ConnectionId, to: SocketAddrV4) {
        let (from_guest, to_guest) = self.pipe(id);
        let teller = self.teller.clone();
        let task = async move {
            let connecting = TcpStream::connect(outside(to));
            let stream = match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(_)) | Err(_) => return teller.tell(News::Broken(id)),
            };
            // The guest's own stack has done its waiting.
            let _ = stream.set_nodelay(true);
            teller.tell(News::Connected(id));
            if serve(stream, from_guest, to_guest, &teller).await.is_err() {
                teller.tell(News::Broken(id));
            }
        };
        self.runtime.spawn(task);
    }

    fn send(&mut self, from: u16, to: SocketAddrV4, bytes: Vec<u8>) {
        if !self.ports.contains_key(&from) {
            if self.ports.len() >= PORTS_MAX {
                return;
            }
            let (sender, receiver) = mpsc::channel(PIECES_MAX);
            self.ports.insert(from, sender);
            let (teller, server) = (self.teller.clone(), self.name_server);
            self.runtime.spawn(async move {
                // What cannot be had is a network without answers.
                let _ = exchange(from, server, receiver, &teller).await;
                teller.ring();
            });
        }
        if let Some(port) = self.ports.get(&from) {
            // A network that is full loses datagrams.
            let _ = port.try_send((to, bytes));
        }
    }
}

/// Hands over whoever connects to a forwarded port.
async fn accept(listener: TcpListener, port: u16, teller: Teller) {
    loop {
        match listener.accept().await {
            // While the guest stands still, as in a debugger, only so many wait for it; others hear that there is nobody.
            Ok((stream, _)) => {
                if teller.arrivals.fetch_add(1, Ordering::Relaxed) < ARRIVALS_MAX {
                    teller.tell(News::Arrived { port, stream });
                } else {
                    teller.arrivals.fetch_sub(1, Ordering::Relaxed);
                }
            }
            // Out of descriptors, say: some will be free again.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// The address that the guest means: the gateway stands for this computer.
fn outside(to: SocketAddrV4) -> SocketAddrV4 {
    match *to.ip() {
        GATEWAY_ADDRESS => SocketAddrV4::new(Ipv4Addr::LOCALHOST, to.port()),
        _ => to,
    }
}

/// The first IPv4 name server of this computer, out of its resolv.conf.
fn name_server(resolv_conf: &str) -> Option<Ipv4Addr> {
    resolv_conf.lines().find_map(|line| {
        let (word, address) = line.trim().split_once(char::is_whitespace)?;
        (word == "nameserver").then(|| address.trim().parse().ok())?
    })
}

/// Moves bytes between the gateway and a connection's task, as many as both sides take.
fn carry(gateway: &mut Gateway, id: ConnectionId, pipe: &mut Pipe) {
    loop {
        if pipe.rest.is_empty() {
            match pipe.back.try_recv() {
                Ok(bytes) => pipe.rest = bytes,
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    if !std::mem::replace(&mut pipe.has_ended, true) {
                        gateway.ended(id);
                    }
                    break;
                }
            }
        }
        let taken = gateway.write(id, &pipe.rest);
        pipe.rest.drain(..taken);
        if !pipe.rest.is_empty() {
            break;
        }
    }
    while let Some(out) = &pipe.out {
        let Ok(place) = out.try_reserve() else {
            break;
        };
        let bytes = gateway.read(id, PIECE_BYTES);
        if bytes.is_empty() {
            break;
        }
        place.send(bytes);
    }
    if gateway.is_read_out(id)
        && let Some(out) = &pipe.out
        && out.try_send(Vec::new()).is_ok()
    {
        pipe.out = None;
    }
}

/// Carries bytes between a socket and the guest until both have said their last.
async fn serve(
    stream: TcpStream,
    mut from_guest: mpsc::Receiver<Vec<u8>>,
    to_guest: mpsc::Sender<Vec<u8>>,
    teller: &Teller,
) -> io::Result<()> {
    let (mut read, mut write) = stream.into_split();
    let there = async {
        while let Some(bytes) = from_guest.recv().await {
            if bytes.is_empty() {
                return write.shutdown().await;
            }
            write.write_all(&bytes).await?;
            teller.ring();
        }
        // The guest has gone without saying its last.
        Err(io::ErrorKind::ConnectionReset.into())
    };
    let back = async {
        loop {
            let mut bytes = vec![0; PIECE_BYTES];
            let length = tokio::select! {
                read = read.read(&mut bytes) => read?,
                () = to_guest.closed() => break,
            };
            bytes.truncate(length);
            // The guest is gone where nobody takes it.
            if length == 0 || to_guest.send(bytes).await.is_err() {
                break;
            }
            teller.ring();
        }
        drop(to_guest);
        teller.ring();
        Ok(())
    };
    tokio::try_join!(there, back).map(drop)
}

/// Carries datagrams of a port of the guest's, until it has been silent for a while.
async fn exchange(
    port: u16,
    name_server: Option<Ipv4Addr>,
    mut from_guest: mpsc::Receiver<(SocketAddrV4, Vec<u8>)>,
    teller: &Teller,
) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    // An answer comes from the address that the guest knows.
    let mut known: BTreeMap<SocketAddr, SocketAddrV4> = BTreeMap::new();
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        tokio::select! {
            sent = from_guest.recv() => {
                let Some((to, bytes)) = sent else {
                    return Ok(());
                };
                let meant = match (*to.ip() == NAME_SERVER_ADDRESS, name_server) {
                    (false, _) => outside(to),
                    (true, Some(server)) => SocketAddrV4::new(server, to.port()),
                    (true, None) => continue,
                };
                if known.len() < PORTS_MAX {
                    known.insert(meant.into(), to);
                }
                // What cannot be sent is lost, as on any network.
                let _ = socket.send_to(&bytes, meant).await;
            }
            received = socket.recv_from(&mut buffer) => {
                // An error is an answer to something that was sent: nobody is there.
                let Ok((length, from)) = received else {
                    continue;
                };
                // From those alone to whom the guest has sent something.
                let Some(from) = known.get(&from).copied() else {
                    continue;
                };
                if teller.datagrams.fetch_add(1, Ordering::Relaxed) >= FRAMES_MAX {
                    teller.datagrams.fetch_sub(1, Ordering::Relaxed);
                    continue;
                }
                let bytes = buffer[..length].to_vec();
                teller.tell(News::Datagram { to: port, from, bytes });
            }
            () = tokio::time::sleep(PORT_TIMEOUT) => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwards_are_two_ports() {
        let forward = |host, guest| Ok(Forward { host, guest });
        assert_eq!("8080:80".parse(), forward(8080, 80));
        assert_eq!("0:80".parse(), forward(0, 80));
        for text in [
            "80",
            "80:0",
            "8080:",
            ":80",
            "65536:80",
            "127.0.0.1:8080:80",
        ] {
            assert!(text.parse::<Forward>().is_err(), "{text}");
        }
    }

    #[test]
    fn name_servers() {
        let text = "# comment\nsearch example\nnameserver ::1\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n";
        assert_eq!(name_server(text), Some(Ipv4Addr::new(192, 0, 2, 1)));
        assert_eq!(name_server(""), None);
    }
}
