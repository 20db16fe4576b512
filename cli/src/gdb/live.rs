//! A recording that is still being made, as something that a debugger follows.

use crate::console::Console;
use crate::live::{Driver, LiveEnd, StopCause, anyhow_from_record_error};
use crate::say;
use crate::trace_file::{self, LiveWriter};
use anyhow::Context;
use reprise_core::types::{GuestTime, Icount};
use reprise_debugger::gdb::Growth;
use reprise_recorder::entry::{EndReason, Entry, EntryLog};
use reprise_recorder::record::RecordSession;
use reprise_traces::TraceError;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a turn waits for a guest that is idle: the client must be heard meanwhile.
const PATIENCE: Duration = Duration::from_millis(20);

/// Entries that have been logged and not yet handed over.
pub(crate) type Entries = Arc<Mutex<Vec<Entry>>>;

/// A trace that is written, with a copy of what goes in.
pub(crate) struct SharedLog {
    writer: LiveWriter,
    entries: Entries,
}

impl SharedLog {
    pub(crate) fn new(writer: LiveWriter) -> Self {
        Self {
            writer,
            entries: Entries::default(),
        }
    }

    pub(crate) fn entries(&self) -> Entries {
        Arc::clone(&self.entries)
    }
}

impl EntryLog for SharedLog {
    type Error = TraceError;

    fn push(&mut self, entry: &Entry) -> Result<(), TraceError> {
        EntryLog::push(&mut self.writer, entry)?;
        if let Ok(mut entries) = self.entries.lock() {
            entries.push(entry.clone());
        }
        Ok(())
    }

    fn note_guest_time(&mut self, icount: Icount, time: GuestTime) -> Result<(), TraceError> {
        self.writer.note_guest_time(icount, time)
    }

    fn flush(&mut self) -> Result<(), TraceError> {
        EntryLog::flush(&mut self.writer)
    }
}

/// The recording.
pub(crate) struct LiveRecording {
    /// Until it has ended.
    session: Option<RecordSession<SharedLog>>,
    console: Option<Console>,
    driver: Driver,
    entries: Entries,
    path: PathBuf,
    end: Option<LiveEnd>,
    at: Icount,
}

impl LiveRecording {
    pub(crate) fn new(
        session: RecordSession<SharedLog>,
        console: Console,
        driver: Driver,
        entries: Entries,
        path: PathBuf,
    ) -> Self {
        Self {
            session: Some(session),
            console: Some(console),
            driver,
            entries,
            path,
            end: None,
            at: Icount(0),
        }
    }

    /// Whether there is nothing more to record.
    pub(crate) fn is_over(&self) -> bool {
        self.session.is_none()
    }

    /// Records on for a little; what has been logged since the last call.
    pub(crate) fn record_on(&mut self) -> anyhow::Result<Option<Growth>> {
        let (Some(session), Some(console)) = (&mut self.session, &mut self.console) else {
            return Ok(None);
        };
        let turned = self.driver.turn(session, console, Some(PATIENCE));
        self.at = session.machine().icount();
        match turned {
            Ok(None) => {}
            Ok(Some(end)) => self.finish(end)?,
            Err(error) => {
                self.close(None)?;
                return Err(error);
            }
        }
        Ok(Some(self.growth()))
    }

    fn growth(&self) -> Growth {
        let entries = self.entries.lock();
        Growth {
            entries: entries
                .map(|mut entries| std::mem::take(&mut *entries))
                .unwrap_or_default(),
            end: self.at,
        }
    }

    fn finish(&mut self, end: LiveEnd) -> anyhow::Result<()> {
        self.end = Some(end);
        // Gives the terminal back before something is said on it.
        self.console = None;
        let Some(session) = self.session.take() else {
            return Ok(());
        };
        let (finished, log) = session
            .finish(end.reason)
            .map_err(anyhow_from_record_error)?;
        let summary = trace_file::close(&self.path, log.writer)?;
        say::line(format_args!(
            "reprise: recorded {} steps in {} bytes; replay with `reprise replay {}`",
            finished.end.icount,
            summary.bytes,
            self.path.display()
        ));
        say::line(format_args!(
            "icount={} hash={}",
            finished.end.icount, finished.hash
        ));
        Ok(())
    }

    /// Ends the recording here if it has not ended by itself, because of the signal if there was one. How it ended.
    pub(crate) fn close(&mut self, signal: Option<u8>) -> anyhow::Result<LiveEnd> {
        if !self.is_over() {
            self.finish(LiveEnd {
                reason: EndReason::Stopped,
                cause: signal.map(|number| StopCause::Signal(i32::from(number))),
                icount: self.at,
                exit_status: None,
            })?;
        }
        self.end.context("the recording has no end")
    }
}
