//! The person's terminal: raw while a guest uses it, and always given back.

use reprise_core::types::TerminalSize;
use rustix::termios::{self, OptionalActions, Termios};
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, Once, PoisonError};

/// How the terminal was before it was made raw; kept here for the panic hook, which must give the
/// terminal back even where a panic aborts the process.
static SAVED: Mutex<Option<Termios>> = Mutex::new(None);

/// Shows the cursor and ends colours, which a guest that was stopped in a full-screen program has
/// left behind.
const RESET: &[u8] = b"\x1b[0m\x1b[?25h\r\n";

/// The terminal in raw mode, until this is dropped.
#[derive(Debug)]
pub(crate) struct RawTerminal(());

impl RawTerminal {
    /// Makes the terminal on standard input raw.
    pub(crate) fn enter() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let previous = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                give_back();
                previous(panic);
            }));
        });
        let raw = Self(());
        raw.make_raw()?;
        Ok(raw)
    }

    fn make_raw(&self) -> io::Result<()> {
        let stdin = io::stdin();
        let saved = termios::tcgetattr(&stdin)?;
        let mut raw = saved.clone();
        raw.make_raw();
        *SAVED.lock().unwrap_or_else(PoisonError::into_inner) = Some(saved);
        Ok(termios::tcsetattr(&stdin, OptionalActions::Now, &raw)?)
    }

    /// Gives the terminal back, stops this process as the terminal's Ctrl-Z would, and takes the
    /// terminal again when the process is continued.
    pub(crate) fn suspend(&self) -> io::Result<()> {
        give_back();
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP)?;
        self.make_raw()
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    let saved = SAVED.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(saved) = saved {
        // The terminal may be gone (SIGHUP); there is nobody left to tell.
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &saved);
        let mut stdout = io::stdout();
        if stdout.is_terminal() {
            let _ = stdout.write_all(RESET).and_then(|()| stdout.flush());
        }
    }
}

/// Size of the terminal on standard input, if there is one that knows its size.
pub(crate) fn size() -> Option<TerminalSize> {
    let size = termios::tcgetwinsize(io::stdin()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some(TerminalSize {
        columns: size.ws_col,
        rows: size.ws_row,
    })
}
