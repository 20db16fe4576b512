//! The guest's console on this process's standard input and output.

use crate::escape::{EscapeCommand, EscapeFilter, HELP};
use crate::signals::{Request, Signals};
use crate::terminal::{self, RawTerminal};
use reprise_core::output::{Output, OutputKind};
use reprise_core::types::TerminalSize;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// Bytes written at a time; small enough that a terminal which says that it takes more does.
const WRITE_BYTES_MAX: usize = 1024;

/// Exit status when nobody reads standard output any more: that of other programs, which SIGPIPE ends.
pub(crate) const STATUS_OUTPUT_CLOSED: u8 = 141;

/// Where the guest's input comes from.
#[derive(Debug)]
pub(crate) enum InputSource {
    /// A person at a terminal.
    Terminal,
    /// A pipe or file on standard input.
    Stream,
    /// Nothing more comes.
    Closed,
}

/// What came from outside.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Arrival {
    /// Typed at the terminal.
    Keys(Vec<u8>),
    /// Read from a pipe or file.
    Script(Vec<u8>),
    /// The pipe or file has ended.
    ScriptEnd,
    /// The terminal has another size.
    Size(TerminalSize),
    /// The person wants to stop.
    Stop,
    /// A signal wants us to stop; its number.
    Signal(i32),
}

/// The console.
#[derive(Debug)]
pub(crate) struct Console {
    input: InputSource,
    signals: Signals,
    raw: Option<RawTerminal>,
    escape: EscapeFilter,
    shows_output: bool,
    stopped_by: Option<i32>,
}

impl Console {
    /// Takes standard input, unless `is_closed`, and the signals.
    pub(crate) fn open(is_closed: bool, shows_output: bool) -> anyhow::Result<Self> {
        let signals = Signals::catch()?;
        let (input, raw) = if is_closed {
            (InputSource::Closed, None)
        } else if io::stdin().is_terminal() {
            (InputSource::Terminal, Some(RawTerminal::enter()?))
        } else {
            (InputSource::Stream, None)
        };
        Ok(Self {
            input,
            signals,
            raw,
            escape: EscapeFilter::default(),
            shows_output,
            stopped_by: None,
        })
    }

    /// Whether something may still come from standard input.
    pub(crate) fn is_open(&self) -> bool {
        !matches!(self.input, InputSource::Closed)
    }

    /// What has arrived; waits for it, or until `bell` can be read, for at most `timeout`, for ever without one.
    pub(crate) fn poll(
        &mut self,
        wants_input: bool,
        bell: Option<BorrowedFd<'_>>,
        timeout: Option<Duration>,
    ) -> anyhow::Result<Vec<Arrival>> {
        let mut arrivals = Vec::new();
        let stdin = io::stdin();
        let watches_input = wants_input && self.is_open();
        let input = watches_input.then(|| stdin.as_fd());
        let is_ready = self.signals.wait(input, None, bell, timeout)?;
        for request in self.signals.take() {
            match request {
                Request::Stop(signal) => arrivals.push(Arrival::Signal(signal)),
                Request::Resize => arrivals.extend(self.new_size()),
                Request::Suspend => {
                    if let Some(raw) = &self.raw {
                        raw.suspend()?;
                        arrivals.extend(self.new_size());
                    }
                }
            }
        }
        if let Some(signal) = self.stopped_by.take() {
            arrivals.push(Arrival::Signal(signal));
        }
        if is_ready {
            self.read(&mut arrivals)?;
        }
        Ok(arrivals)
    }

    /// Writes the guest's console output.
    pub(crate) fn write(&mut self, outputs: &[Output]) -> io::Result<()> {
        if !self.shows_output {
            return Ok(());
        }
        let bytes = console_bytes(outputs);
        let mut stdout = io::stdout().lock();
        for piece in bytes.chunks(WRITE_BYTES_MAX) {
            // A terminal that is stopped (Ctrl-S) or a pipe that nobody reads must not keep a
            // signal from ending the recording properly.
            while !(self.signals).wait(None, Some(stdout.as_fd()), None, None)? {
                for request in self.signals.take() {
                    if let Request::Stop(signal) = request {
                        self.stopped_by = Some(signal);
                    }
                }
                if self.stopped_by.is_some() {
                    return Ok(());
                }
            }
            stdout.write_all(piece)?;
            stdout.flush()?;
        }
        Ok(())
    }

    fn new_size(&self) -> Option<Arrival> {
        self.raw.as_ref()?;
        terminal::size().map(Arrival::Size)
    }

    fn read(&mut self, arrivals: &mut Vec<Arrival>) -> anyhow::Result<()> {
        let mut buffer = [0; 4096];
        // Past the standard library's buffer, whose content would not show as readable.
        let length = match rustix::io::read(io::stdin(), &mut buffer) {
            Ok(length) => length,
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => return Ok(()),
            // A terminal that has gone away reads as an error.
            Err(_) => 0,
        };
        match self.input {
            InputSource::Closed => {}
            InputSource::Stream if length == 0 => {
                self.input = InputSource::Closed;
                arrivals.push(Arrival::ScriptEnd);
            }
            InputSource::Stream => arrivals.push(Arrival::Script(buffer[..length].to_vec())),
            InputSource::Terminal if length == 0 => {
                self.input = InputSource::Closed;
                arrivals.push(Arrival::Stop);
            }
            InputSource::Terminal => self.filter(&buffer[..length], arrivals),
        }
        Ok(())
    }

    fn filter(&mut self, mut typed: &[u8], arrivals: &mut Vec<Arrival>) {
        let mut keys = Vec::new();
        while let Some((command, used)) = self.escape.filter(typed, &mut keys) {
            typed = &typed[used..];
            match command {
                EscapeCommand::Help => {
                    // Raw mode: the line's start does not come by itself.
                    let _ = write!(io::stderr(), "\r\nreprise: {HELP}\r\n");
                }
                EscapeCommand::Stop => {
                    arrivals.push(Arrival::Stop);
                    return;
                }
            }
        }
        if !keys.is_empty() {
            arrivals.push(Arrival::Keys(keys));
        }
    }
}

/// Writes the guest's console output where nothing has to be interrupted.
pub(crate) fn write_console(outputs: &[Output]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(&console_bytes(outputs))?;
    stdout.flush()
}

fn console_bytes(outputs: &[Output]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for output in outputs {
        if let OutputKind::Console { bytes: console, .. } = &output.kind {
            bytes.extend_from_slice(console);
        }
    }
    bytes
}
