//! One gdb server over one socket, one client at a time.

use super::live::LiveRecording;
use super::save::Saver;
use crate::say;
use anyhow::{Context, bail};
use reprise_debugger::gdb::{BreakFinder, Diversion, GdbServer, Growth, Host};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes read from a client at a time, and how many such pieces wait before it has to.
const PIECE_BYTES: usize = 16 << 10;
const PIECES_MAX: usize = 64;

/// What a client may send while something runs. gdb sends one byte then.
const PENDING_BYTES_MAX: usize = 1 << 20;

/// Bytes of a client that are answered before the answers are sent: what they ask for may be much longer.
const ANSWERED_BYTES: usize = 4 << 10;

/// How long a client waits for the one before it to be gone, before it is sent away.
const GRACE: Duration = Duration::from_millis(500);

/// How often the server looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);

/// Where to listen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Address {
    /// At a TCP port of the loopback interface; 0 is any.
    Port(u16),
    /// At a path.
    Unix(PathBuf),
    /// At a path that only this user can reach.
    Private,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A socket that clients connect to.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: Socket,
    target: String,
    /// What to remove in the end: the socket's file, and the folder made for it.
    path: Option<PathBuf>,
    folder: Option<PathBuf>,
}

impl Listener {
    /// Listens, on loopback or a path alone.
    pub(crate) fn bind(address: &Address) -> anyhow::Result<Self> {
        match address {
            Address::Port(port) => {
                let socket =
                    TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).with_context(|| {
                        format!("port {port} cannot be listened at; choose another with --port")
                    })?;
                let target = socket.local_addr()?.to_string();
                Ok(Self {
                    socket: Socket::Tcp(socket),
                    target,
                    path: None,
                    folder: None,
                })
            }
            Address::Unix(path) => Self::bind_path(path.clone(), None),
            Address::Private => {
                let folder = private_folder()?;
                Self::bind_path(folder.join("gdb"), Some(folder))
            }
        }
    }

    fn bind_path(path: PathBuf, folder: Option<PathBuf>) -> anyhow::Result<Self> {
        // A socket that nobody listens at any more is left over from an earlier run.
        if UnixStream::connect(&path).is_ok() {
            bail!("{} is in use by another server", path.display());
        }
        if is_socket(&path) {
            fs::remove_file(&path)
                .with_context(|| format!("{} cannot be replaced", path.display()))?;
        }
        let socket = UnixListener::bind(&path)
            .with_context(|| format!("{} cannot be listened at", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(Self {
            socket: Socket::Unix(socket),
            target: path.display().to_string(),
            path: Some(path),
            folder,
        })
    }

    /// What follows `target remote`.
    pub(crate) fn target(&self) -> String {
        self.target.clone()
    }

    fn accept(&self) -> io::Result<Connection> {
        match &self.socket {
            Socket::Tcp(socket) => {
                let (stream, _) = socket.accept()?;
                stream.set_nodelay(true)?;
                Ok(Connection::Tcp(stream))
            }
            Socket::Unix(socket) => Ok(Connection::Unix(socket.accept()?.0)),
        }
    }

    fn set_nonblocking(&self) -> io::Result<()> {
        match &self.socket {
            Socket::Tcp(socket) => socket.set_nonblocking(true),
            Socket::Unix(socket) => socket.set_nonblocking(true),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir(folder);
        }
    }
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

/// A new folder that only this user can enter.
pub(crate) fn private_folder() -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt;
    let root = std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|root| root.is_dir())
        .unwrap_or_else(std::env::temp_dir);
    for _ in 0..100 {
        let mut name = [0; 8];
        getrandom::fill(&mut name).map_err(|error| anyhow::anyhow!("no random name: {error}"))?;
        let folder = root.join(format!("reprise-{:016x}", u64::from_le_bytes(name)));
        match fs::DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(error).with_context(|| format!("{} cannot be made", folder.display()));
            }
        }
    }
    bail!("no folder can be made in {}", root.display())
}

/// A client's connection.
#[derive(Debug)]
enum Connection {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Connection {
    fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(stream) => Self::Tcp(stream.try_clone()?),
            Self::Unix(stream) => Self::Unix(stream.try_clone()?),
        })
    }

    /// Lets reads wait for ever, and writes for a while.
    fn set_blocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => {
                stream.set_nonblocking(false)?;
                stream.set_write_timeout(Some(LOOK))
            }
            Self::Unix(stream) => {
                stream.set_nonblocking(false)?;
                stream.set_write_timeout(Some(LOOK))
            }
        }
    }

    /// Writes all, however long the client takes to read it, unless it is gone or the server is to end.
    fn send(&mut self, mut bytes: &[u8], is_stopped: &dyn Fn() -> bool) -> io::Result<()> {
        while !bytes.is_empty() && !is_stopped() {
            match self.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => bytes = &bytes[length..],
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock
                    | io::ErrorKind::TimedOut
                    | io::ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
        Ok(())
    }

    fn shut_down(&self) {
        // It may be gone already.
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What comes from a client, and what it is told while something runs.
struct Link<'a> {
    pieces: Receiver<Vec<u8>>,
    /// The recording that is followed, if one is being made.
    live: Option<&'a mut LiveRecording>,
    /// What came while something ran, and is to be answered afterwards.
    pending: Vec<u8>,
    /// Where everything that came so far has ended.
    place: BreakFinder,
    is_gone: bool,
    is_stopped: &'a dyn Fn() -> bool,
    saver: &'a mut Saver,
}

impl Host for Link<'_> {
    fn is_break_wanted(&mut self) -> bool {
        let mut has_break = false;
        loop {
            match self.pieces.try_recv() {
                Ok(piece) => {
                    for byte in piece {
                        if self.place.is_break_at(byte) {
                            has_break = true;
                        } else {
                            self.pending.push(byte);
                        }
                    }
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    self.is_gone = true;
                    break;
                }
            }
        }
        has_break || self.is_gone || (self.is_stopped)() || self.pending.len() > PENDING_BYTES_MAX
    }

    fn record_on(&mut self) -> Option<Growth> {
        let live = self.live.as_mut()?;
        match live.record_on() {
            Ok(growth) => growth,
            Err(error) => {
                say::line(format_args!("reprise: {error:#}"));
                None
            }
        }
    }

    fn save_trace(&mut self, name: &str, diversion: &Diversion) -> Result<(), String> {
        self.saver
            .save(name, diversion)
            .map_err(|error| format!("{error:#}"))
    }
}

/// Serves clients, one after the other, until asked to stop. A client that comes while another is served is sent away.
/// While none is served, a recording that is being made goes on; when it has ended and its client has gone, that is all.
pub(crate) fn serve(
    mut server: GdbServer,
    listener: &Listener,
    saver: &mut Saver,
    is_stopped: &dyn Fn() -> bool,
    mut live: Option<&mut LiveRecording>,
) -> anyhow::Result<()> {
    listener.set_nonblocking()?;
    let is_busy = AtomicBool::new(false);
    let is_over = AtomicBool::new(false);
    let (clients, next_client) = sync_channel::<Connection>(1);
    let clients = Mutex::new(clients);
    thread::scope(|scope| {
        // Ends the thread below however this one ends.
        let _over = Over(&is_over);
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok(connection) => {
                        let began = Instant::now();
                        let is_next = loop {
                            if !is_busy.swap(true, Ordering::AcqRel) {
                                break true;
                            }
                            if began.elapsed() >= GRACE || is_over.load(Ordering::Relaxed) {
                                break false;
                            }
                            thread::sleep(GRACE / 100);
                        };
                        let sent = is_next
                            && connection.set_blocking().is_ok()
                            && clients.lock().is_ok_and(|clients| {
                                connection
                                    .try_clone()
                                    .is_ok_and(|connection| clients.send(connection).is_ok())
                            });
                        if !sent {
                            connection.shut_down();
                            if is_next {
                                is_busy.store(false, Ordering::Release);
                            }
                        }
                    }
                    Err(_) => thread::sleep(LOOK / 5),
                }
            }
        });
        while !is_stopped() {
            let look = match &mut live {
                Some(live) if live.is_over() => break,
                Some(live) => {
                    if let Some(growth) = live.record_on()? {
                        server.follow(growth)?;
                    }
                    Duration::ZERO
                }
                None => LOOK,
            };
            match next_client.recv_timeout(look) {
                Ok(connection) => {
                    let live = live.as_deref_mut();
                    if let Err(error) = serve_one(&mut server, connection, saver, live, is_stopped)
                    {
                        say::line(format_args!("reprise: the client is lost: {error}"));
                    }
                    server.welcome();
                    is_busy.store(false, Ordering::Release);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(())
    })
}

/// Says so when it goes.
pub(crate) struct Over<'a>(pub(crate) &'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What a debugger may begin with: an acknowledgement, a packet or a break. Nothing else is one, least of all a web page,
/// which can make a browser send to this address whatever it likes, but only after the word for its method.
pub(crate) fn is_debugger(first: u8) -> bool {
    matches!(first, b'+' | b'-' | b'$' | 0x03)
}

/// Serves one client until it goes.
fn serve_one(
    server: &mut GdbServer,
    mut connection: Connection,
    saver: &mut Saver,
    live: Option<&mut LiveRecording>,
    is_stopped: &dyn Fn() -> bool,
) -> io::Result<()> {
    let (sender, pieces) = sync_channel(PIECES_MAX);
    let reader = connection.try_clone()?;
    let reader = thread::spawn(move || read_all(reader, &sender));
    let mut link = Link {
        pieces,
        live,
        pending: Vec::new(),
        place: BreakFinder::default(),
        is_gone: false,
        is_stopped,
        saver,
    };
    let mut has_begun = false;
    let result = 'client: loop {
        if server.is_closed() || is_stopped() {
            break Ok(());
        }
        let bytes = if link.pending.is_empty() {
            if link.is_gone {
                break Ok(());
            }
            match link.pieces.recv_timeout(LOOK) {
                Ok(piece) => {
                    // Nothing runs, so there is nothing to break.
                    for byte in &piece {
                        link.place.is_break_at(*byte);
                    }
                    piece
                }
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => break Ok(()),
            }
        } else {
            std::mem::take(&mut link.pending)
        };
        if !has_begun && bytes.first().is_some_and(|first| !is_debugger(*first)) {
            say::line("reprise: a client that speaks another protocol than gdb's was sent away");
            break Ok(());
        }
        has_begun = true;
        for piece in bytes.chunks(ANSWERED_BYTES) {
            server.receive(piece, &mut link);
            if let Err(error) = connection.send(&server.take_output(), is_stopped) {
                break 'client Err(error);
            }
        }
    };
    connection.shut_down();
    drop(link);
    // It ends by itself now that the connection is shut down.
    let _ = reader.join();
    result
}

fn read_all(mut connection: Connection, pieces: &SyncSender<Vec<u8>>) {
    let mut buffer = vec![0; PIECE_BYTES];
    while let Ok(length) = connection.read(&mut buffer) {
        if length == 0 || pieces.send(buffer[..length].to_vec()).is_err() {
            return;
        }
    }
}
