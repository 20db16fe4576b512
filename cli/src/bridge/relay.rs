//! Carries bytes between gdb and the page, in one thread that never blocks on either.

use super::gate::{Doorkeeper, Gate};
use crate::say;
use anyhow::{Context, anyhow};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};
use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tungstenite::handshake::MidHandshake;
use tungstenite::handshake::server::ServerHandshake;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, HandshakeError, Message, WebSocket, accept_hdr_with_config};

/// How long nothing need happen before it is looked whether the command is to end.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// Handshakes at a time, and how long one may take: whoever else connects waits.
const HANDSHAKES_MAX: usize = 8;
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);

/// How long a gdb that is let go may take to read what it has been sent: it keeps others out meanwhile.
const LEAVE_TIME: Duration = Duration::from_secs(5);

/// Bytes read from gdb at a time.
const PIECE_BYTES: usize = 16 << 10;

/// Bytes of a message from the page at the most, and those for gdb that wait before no more are read.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
const WAITING_BYTES_MAX: usize = 1 << 20;

/// Characters of a page's sentence that are told.
const SENTENCE_SHOWN: usize = 300;

/// Connections that the system accepts before this program does.
const BACKLOG: i32 = 4;

/// Where to listen; none is the default, or any free one where that is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ports {
    /// For gdb.
    pub(crate) gdb: Option<u16>,
    /// For the page.
    pub(crate) page: Option<u16>,
}

/// The ports when none is given.
const GDB_PORT: u16 = 7711;
const PAGE_PORT: u16 = 7712;

/// gdb's port. While there is no page it is kept and nobody listens: gdb tries again for some seconds then, where it would
/// give up on a connection that says nothing.
#[derive(Debug)]
enum GdbDoor {
    Shut(OwnedFd),
    Open(TcpListener),
    /// The listener has to go before its port can be taken anew.
    Away,
}

/// A page's connection.
struct Page {
    socket: WebSocket<TcpStream>,
    /// Something has not been sent yet.
    is_full: bool,
}

/// gdb's connection.
struct Gdb {
    stream: TcpStream,
    /// What it is to be sent.
    waiting: Vec<u8>,
    /// It has said something, and the page knows of it.
    has_begun: bool,
    /// Since when the page is through with it.
    freed_since: Option<Instant>,
}

impl Gdb {
    /// It has said nothing, and nothing waits to be read.
    fn is_silent(&self) -> bool {
        !self.has_begun && !matches!(self.stream.peek(&mut [0]), Ok(1..))
    }
}

/// Somebody who wants to be the page.
struct Guest {
    handshake: MidHandshake<ServerHandshake<TcpStream, Doorkeeper>>,
    since: Instant,
}

/// The bridge. See the module's documentation.
pub(crate) struct Relay {
    gate: Rc<RefCell<Gate>>,
    page_door: TcpListener,
    gdb_door: GdbDoor,
    gdb_port: u16,
    page_port: u16,
    guests: Vec<Guest>,
    page: Option<Page>,
    gdb: Option<Gdb>,
    /// A gdb has gone, and the page has not said yet that it is through with it.
    is_page_behind: bool,
    /// The system had no room for a connection that waits. What waits is reported at once, so it is not asked for next time.
    is_short: bool,
    /// What is to be printed for the person: a code for the page.
    code: Option<String>,
}

impl Relay {
    /// Listens, on loopback alone.
    pub(crate) fn new(gate: Gate, ports: Ports) -> anyhow::Result<Self> {
        let page_door = first_free(ports.page, PAGE_PORT, "--port", |port| {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        })?;
        page_door.set_nonblocking(true)?;
        let page_port = page_door.local_addr()?.port();
        let gdb_door = first_free(ports.gdb, GDB_PORT, "--gdb-port", reserve)?;
        let gdb_port = port_of(&gdb_door)?;
        let mut relay = Self {
            gate: Rc::new(RefCell::new(gate)),
            page_door,
            gdb_door: GdbDoor::Shut(gdb_door),
            gdb_port,
            page_port,
            guests: Vec::new(),
            page: None,
            gdb: None,
            is_page_behind: false,
            is_short: false,
            code: None,
        };
        relay.renew_code()?;
        Ok(relay)
    }

    /// gdb's port.
    pub(crate) fn gdb_port(&self) -> u16 {
        self.gdb_port
    }

    /// A new code for the page, once.
    pub(crate) fn take_code(&mut self) -> Option<String> {
        self.code.take()
    }

    fn renew_code(&mut self) -> anyhow::Result<()> {
        let token = self.gate.borrow_mut().renew()?;
        self.code = Some(format!("{}-{token}", self.page_port));
        Ok(())
    }

    /// Waits until something happens, though not for long, and does what follows.
    pub(crate) fn turn(&mut self) -> anyhow::Result<()> {
        if self.wait()? {
            self.lose_page()?;
        }
        self.take_guests();
        self.hear_page()?;
        self.take_gdb();
        self.hear_gdb();
        self.send_on()
    }

    /// Ends all connections.
    pub(crate) fn close(mut self) {
        if let Some(page) = &mut self.page {
            // It is told if it can be told at once.
            let _ = page.socket.close(None).and_then(|()| page.socket.flush());
        }
        self.drop_gdb();
    }

    /// Waits, and tells whether the page has gone while it is not read from. Where nothing is wanted of a connection, it is not asked
    /// for: its end would be reported again and again.
    fn wait(&mut self) -> anyhow::Result<bool> {
        let has_room = !std::mem::take(&mut self.is_short);
        let mut interests: Vec<(BorrowedFd<'_>, PollFlags)> = Vec::new();
        let mut ending = None;
        if has_room && self.guests.len() < HANDSHAKES_MAX {
            interests.push((self.page_door.as_fd(), PollFlags::IN));
        }
        for guest in &self.guests {
            interests.push((guest.handshake.get_ref().get_ref().as_fd(), PollFlags::IN));
        }
        if let Some(page) = &self.page {
            let mut flags = PollFlags::empty();
            if self.can_take_from_page() {
                flags |= PollFlags::IN;
            } else {
                ending = Some(interests.len());
                flags |= PollFlags::RDHUP;
            }
            flags.set(PollFlags::OUT, page.is_full);
            interests.push((page.socket.get_ref().as_fd(), flags));
        }
        if let (GdbDoor::Open(door), false, true) = (&self.gdb_door, self.is_page_behind, has_room)
        {
            interests.push((door.as_fd(), PollFlags::IN));
        }
        if let Some(gdb) = &self.gdb {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, self.can_take_from_gdb());
            flags.set(PollFlags::OUT, !gdb.waiting.is_empty());
            if !flags.is_empty() {
                interests.push((gdb.stream.as_fd(), flags));
            }
        }
        let mut polled: Vec<PollFd<'_>> = interests
            .iter()
            .map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags))
            .collect();
        match poll(&mut polled, Some(&LOOK)) {
            Ok(_) => {
                let end = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
                Ok(ending.is_some_and(|index| polled[index].revents().intersects(end)))
            }
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error).context("the connections cannot be waited for"),
        }
    }

    fn can_take_from_page(&self) -> bool {
        (self.gdb.as_ref()).is_none_or(|gdb| gdb.waiting.len() < WAITING_BYTES_MAX)
    }

    fn can_take_from_gdb(&self) -> bool {
        self.page.as_ref().is_some_and(|page| !page.is_full)
    }

    /// Goes on with those who want to be the page.
    fn take_guests(&mut self) {
        while self.guests.len() < HANDSHAKES_MAX {
            let stream = match self.page_door.accept() {
                Ok((stream, _)) => stream,
                Err(error) => {
                    self.is_short |= error.kind() != ErrorKind::WouldBlock;
                    break;
                }
            };
            if stream.set_nonblocking(true).is_err() || stream.set_nodelay(true).is_err() {
                continue;
            }
            let config = WebSocketConfig::default()
                .max_message_size(Some(MESSAGE_BYTES_MAX))
                .max_frame_size(Some(MESSAGE_BYTES_MAX));
            let doorkeeper = Doorkeeper(Rc::clone(&self.gate));
            let answer = stream.try_clone();
            let result = accept_hdr_with_config(stream, doorkeeper, Some(config));
            self.note_guest(result, Instant::now(), answer);
        }
        for guest in std::mem::take(&mut self.guests) {
            if guest.since.elapsed() > HANDSHAKE_TIME {
                continue;
            }
            let answer = guest.handshake.get_ref().get_ref().try_clone();
            self.note_guest(guest.handshake.handshake(), guest.since, answer);
        }
    }

    fn note_guest(
        &mut self,
        result: Result<
            WebSocket<TcpStream>,
            HandshakeError<ServerHandshake<TcpStream, Doorkeeper>>,
        >,
        since: Instant,
        answer: io::Result<TcpStream>,
    ) {
        match result {
            Ok(socket) => {
                say::line(format_args!(
                    "reprise: the page has connected; in gdb: target remote 127.0.0.1:{}",
                    self.gdb_port
                ));
                self.page = Some(Page {
                    socket,
                    is_full: false,
                });
                self.is_page_behind = false;
            }
            Err(HandshakeError::Interrupted(handshake)) => {
                self.guests.push(Guest { handshake, since });
            }
            Err(HandshakeError::Failure(Error::Http(response))) => {
                let why = response.body().as_deref().map(String::from_utf8_lossy);
                say::line(format_args!(
                    "reprise: somebody was refused ({}): {}",
                    response.status().as_u16(),
                    why.unwrap_or_default().trim_end()
                ));
            }
            Err(HandshakeError::Failure(error)) => {
                if let Ok(mut stream) = answer {
                    // Whoever it is reads it or not.
                    let _ = stream.write_all(NO_WEBSOCKET);
                }
                say::line(format_args!(
                    "reprise: somebody who is no page was sent away: {error}"
                ));
            }
        }
    }

    fn hear_page(&mut self) -> anyhow::Result<()> {
        // A handshake that used the code and came to nothing leaves the person without one.
        if self.page.is_none() && self.guests.is_empty() && !self.gate.borrow().is_open() {
            self.renew_code()?;
        }
        if self.page.is_some()
            && let GdbDoor::Shut(socket) = &self.gdb_door
        {
            // Listening binds anew, as it were: what is left of earlier connections must not be in its way.
            sockopt::set_socket_reuseaddr(socket, true)?;
            listen(socket, BACKLOG)
                .with_context(|| format!("port {} cannot be listened at", self.gdb_port))?;
            let door = TcpListener::from(socket.try_clone()?);
            door.set_nonblocking(true)?;
            self.gdb_door = GdbDoor::Open(door);
        }
        while self.can_take_from_page() {
            let Some(page) = &mut self.page else {
                return Ok(());
            };
            match page.socket.read() {
                Ok(Message::Binary(bytes)) => {
                    if let Some(gdb) = self.gdb.as_mut().filter(|gdb| gdb.freed_since.is_none()) {
                        gdb.waiting.extend_from_slice(&bytes);
                    }
                }
                Ok(Message::Text(text)) => self.obey_page(&text),
                Ok(Message::Close(_)) => return self.lose_page(),
                Ok(_) => {}
                Err(error) if would_block(&error) => return Ok(()),
                Err(_) => return self.lose_page(),
            }
        }
        Ok(())
    }

    /// The page is through with a gdb.
    fn obey_page(&mut self, text: &str) {
        let Some(sentence) = text.strip_prefix("free") else {
            return;
        };
        if std::mem::take(&mut self.is_page_behind) {
            return;
        }
        let Some(gdb) = self.gdb.as_mut().filter(|gdb| gdb.has_begun) else {
            return;
        };
        gdb.freed_since.get_or_insert_with(Instant::now);
        let sentence: String = sentence
            .trim()
            .chars()
            .take(SENTENCE_SHOWN)
            .map(|letter| if letter.is_control() { '?' } else { letter })
            .collect();
        if !sentence.is_empty() {
            say::line(format_args!("reprise: the page lets gdb go: {sentence}"));
        }
    }

    fn lose_page(&mut self) -> anyhow::Result<()> {
        say::line("reprise: the page has gone; the next one needs a new code");
        self.page = None;
        self.drop_gdb();
        self.is_page_behind = false;
        if let GdbDoor::Open(_) = self.gdb_door {
            self.gdb_door = GdbDoor::Away;
            let socket = reserve(self.gdb_port);
            self.gdb_door = GdbDoor::Shut(socket.with_context(|| {
                format!("port {} has been taken by another program", self.gdb_port)
            })?);
        }
        self.renew_code()
    }

    fn take_gdb(&mut self) {
        if self.is_page_behind {
            return;
        }
        let GdbDoor::Open(door) = &self.gdb_door else {
            return;
        };
        let stream = match door.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                self.is_short |= error.kind() != ErrorKind::WouldBlock;
                return;
            }
        };
        // One that says nothing keeps nobody out.
        if self.gdb.as_ref().is_some_and(Gdb::is_silent) {
            self.drop_gdb();
        }
        if self.gdb.is_some() {
            let _ = stream.shutdown(Shutdown::Both);
            say::line("reprise: a second gdb was sent away: one at a time");
            return;
        }
        if stream.set_nonblocking(true).is_ok() && stream.set_nodelay(true).is_ok() {
            self.gdb = Some(Gdb {
                stream,
                waiting: Vec::new(),
                has_begun: false,
                freed_since: None,
            });
        }
    }

    fn hear_gdb(&mut self) {
        let mut buffer = [0; PIECE_BYTES];
        while self.can_take_from_gdb() {
            let Some(gdb) = &mut self.gdb else { return };
            let length = match gdb.stream.read(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => 0,
            };
            if length == 0 {
                self.lose_gdb();
                return;
            }
            if gdb.freed_since.is_some() {
                // It may send on and on.
                return;
            }
            let bytes = &buffer[..length];
            if !gdb.has_begun {
                if !crate::gdb::serve::is_debugger(bytes[0]) {
                    say::line(
                        "reprise: a client that speaks another protocol than gdb's was sent away",
                    );
                    self.drop_gdb();
                    return;
                }
                gdb.has_begun = true;
                say::line("reprise: gdb has connected");
                self.tell_page(Message::text("gdb"));
            }
            self.tell_page(Message::binary(bytes.to_vec()));
        }
    }

    fn lose_gdb(&mut self) {
        let Some(gdb) = self.gdb.take() else { return };
        if gdb.has_begun {
            say::line("reprise: gdb has gone");
            if gdb.freed_since.is_none() {
                self.is_page_behind = true;
                self.tell_page(Message::text("gone"));
            }
        }
    }

    fn drop_gdb(&mut self) {
        if let Some(gdb) = self.gdb.take() {
            let _ = gdb.stream.shutdown(Shutdown::Both);
        }
    }

    fn tell_page(&mut self, message: Message) {
        let Some(page) = &mut self.page else { return };
        // Whatever else goes wrong, the next read meets as well.
        let _ = page.socket.write(message);
        page.is_full = true;
    }

    /// Sends what can be sent.
    fn send_on(&mut self) -> anyhow::Result<()> {
        if let Some(page) = self.page.as_mut().filter(|page| page.is_full) {
            match page.socket.flush() {
                Ok(()) => page.is_full = false,
                Err(error) if would_block(&error) => {}
                Err(_) => return self.lose_page(),
            }
        }
        let Some(gdb) = &mut self.gdb else {
            return Ok(());
        };
        while !gdb.waiting.is_empty() {
            match gdb.stream.write(&gdb.waiting) {
                Ok(length) => {
                    gdb.waiting.drain(..length);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if gdb
                        .freed_since
                        .is_some_and(|since| since.elapsed() > LEAVE_TIME)
                    {
                        break;
                    }
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.lose_gdb();
                    return Ok(());
                }
            }
        }
        if gdb.freed_since.is_some() {
            say::line("reprise: gdb has been let go");
            self.drop_gdb();
        }
        Ok(())
    }
}

/// What somebody hears who does not speak WebSocket (RFC 9110, 15.5.22).
const NO_WEBSOCKET: &[u8] =
    b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\
    Content-Type: text/plain\r\n\r\nonly a page may connect here\n";

fn would_block(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == ErrorKind::WouldBlock)
}

/// The port that is wanted, or else the default one, or any.
fn first_free<T>(
    wanted: Option<u16>,
    default: u16,
    option: &str,
    bind: impl Fn(u16) -> io::Result<T>,
) -> anyhow::Result<T> {
    let refused = |port: u16, error: io::Error| {
        anyhow!(
            "port {port} cannot be listened at ({error}): name another with {option}, or any free one with {option} 0"
        )
    };
    match wanted {
        Some(port) => bind(port).map_err(|error| refused(port, error)),
        None => bind(default)
            .or_else(|_| bind(0))
            .map_err(|error| refused(default, error)),
    }
}

/// Takes a port of the loopback interface without listening at it, and from everybody else.
fn reserve(port: u16) -> io::Result<OwnedFd> {
    let made = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    rustix::io::ioctl_fioclex(&made)?;
    sockopt::set_socket_reuseaddr(&made, true)?;
    bind(&made, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
    // What is left of earlier connections is not in its way. Another program would not be either: two sockets that allow it share a
    // port at which neither listens.
    sockopt::set_socket_reuseaddr(&made, false)?;
    Ok(made)
}

fn port_of(socket: &OwnedFd) -> anyhow::Result<u16> {
    let address = rustix::net::getsockname(socket)?;
    Ok(SocketAddr::try_from(address)?.port())
}
