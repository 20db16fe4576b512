//! Signals, as something that a loop can wait for.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH};
use signal_hook::flag;
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Request {
    /// Stop; the number is the signal's.
    Stop(i32),
    /// Look at the terminal's size again.
    Resize,
    /// Stop until continued.
    Suspend,
}

/// A signal's name, as `SIGINT`.
pub(crate) fn name(signal: i32) -> String {
    signal_hook::low_level::signal_name(signal)
        .map_or_else(|| format!("signal {signal}"), str::to_owned)
}

/// Whether this process was asked to stop, for a loop that looks now and then.
#[derive(Clone, Debug)]
pub(crate) struct StopFlag(Arc<AtomicUsize>);

impl StopFlag {
    /// Catches the signals that ask for it, until the process ends.
    pub(crate) fn catch() -> io::Result<Self> {
        let number = Arc::new(AtomicUsize::new(0));
        for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
            flag::register_usize(signal, Arc::clone(&number), signal as usize)?;
        }
        Ok(Self(number))
    }

    /// The signal that came.
    pub(crate) fn signal(&self) -> Option<u8> {
        u8::try_from(self.0.load(Ordering::Relaxed))
            .ok()
            .filter(|number| *number != 0)
    }
}

/// The signals of this process, from when this is made to when it is dropped.
#[derive(Debug)]
pub(crate) struct Signals(SignalDelivery<UnixStream, SignalOnly>);

impl Signals {
    pub(crate) fn catch() -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        let signals = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH];
        SignalDelivery::with_pipe(read, write, SignalOnly, signals).map(Self)
    }

    /// Signals since the last call.
    pub(crate) fn take(&mut self) -> Vec<Request> {
        self.0
            .pending()
            .map(|signal| match signal {
                SIGWINCH => Request::Resize,
                SIGTSTP => Request::Suspend,
                other => Request::Stop(other),
            })
            .collect()
    }

    /// Waits for a signal, for `input` or `bell` to be readable or for `output` to be writable, but no
    /// longer than `timeout`; for ever without one. Tells whether input or output is ready.
    pub(crate) fn wait(
        &self,
        input: Option<BorrowedFd<'_>>,
        output: Option<BorrowedFd<'_>>,
        bell: Option<BorrowedFd<'_>>,
        timeout: Option<Duration>,
    ) -> io::Result<bool> {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut fds = vec![PollFd::from_borrowed_fd(
            self.0.get_read().as_fd(),
            PollFlags::IN,
        )];
        fds.extend(input.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        fds.extend(output.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::OUT)));
        let ready = 1..fds.len();
        fds.extend(bell.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(fds[ready].iter().any(|fd| !fd.revents().is_empty()))
    }
}
