//! `reprise index`.

use super::replay::STATUS_DIVERGED;
use crate::args::IndexArgs;
use crate::open::OpenTrace;
use crate::say;
use crate::signals::StopFlag;
use crate::trace_file::{FileReader, Replacement, TraceFile};
use anyhow::bail;
use reprise_core::types::Icount;
use reprise_recorder::keyframes::{KEYFRAME_COUNT_MAX, KeyframeWriter, TraceKeyframes};
use reprise_recorder::replay::{ReplayError, ReplaySession};
use reprise_recorder::timeline::KeyframeSource;
use reprise_recorder::verify::Recording;
use reprise_traces::{
    Completeness, Compression, Header, TraceCopier, TraceReader, TraceSummary, TraceWriter,
};
use std::fs::File;
use std::io::BufReader;

/// Steps between two looks at the signals and the progress bar.
const STEPS_A_TURN: u64 = 1 << 22;

/// Stores keyframes in a trace.
pub(crate) fn index(args: &IndexArgs) -> anyhow::Result<u8> {
    if args.remove {
        return remove(args);
    }
    let trace = OpenTrace::open(&args.trace, &args.images.images)?;
    require_whole(&trace.file)?;
    let last = Icount(trace.file.last_icount());
    let stop = StopFlag::catch()?;
    let mut copy = Copy::begin(&trace.file, args)?;
    let mut session = ReplaySession::new(trace.machine()?, trace.entries()?);
    let bar = say::progress("index", last.0, !args.quiet);
    let mut next = Icount(copy.steps).min(last);
    loop {
        let here = session.machine().icount();
        if here == next {
            let hash = session.state_hash();
            let snapshot = session.snapshot();
            if !KeyframeWriter::takes(&snapshot) {
                bail!(
                    "at icount {here} the guest has written more to its disks than a keyframe takes; the trace was left \
                     as it is"
                );
            }
            copy.push(here, |keyframes, writer| {
                keyframes.push(writer, here, &hash, &snapshot)
            })?;
            if here == last {
                break;
            }
            // One at the very end, too: that is where a debugger is sent most often.
            next = Icount((here.0 / copy.steps + 1) * copy.steps).min(last);
        }
        match session.advance(here.after(STEPS_A_TURN).min(next)) {
            Ok(_) => {}
            Err(ReplayError::Entries(error)) => return Err(error.into()),
            Err(error) => {
                bar.finish_and_clear();
                say::line(format_args!("reprise: {error}"));
                say::line("reprise: the trace was left as it is");
                return Ok(STATUS_DIVERGED);
            }
        }
        bar.set_position(session.machine().icount().0);
        if let Some(signal) = stop.signal() {
            bar.finish_and_clear();
            say::line("reprise: stopped; the trace was left as it is");
            return Ok(128u8.saturating_add(signal));
        }
    }
    bar.finish_and_clear();
    let (count, bytes, steps) = (copy.count, copy.bytes, copy.steps);
    let summary = copy.finish()?;
    if !args.quiet {
        let sparse = if steps > args.every {
            " (more would be too many)"
        } else {
            ""
        };
        say::line(format_args!(
            "reprise: {count} keyframes of {bytes} bytes, one every {steps} steps{sparse}; the trace has {} bytes",
            summary.bytes
        ));
    }
    Ok(0)
}

/// Takes the keyframes out of a trace.
fn remove(args: &IndexArgs) -> anyhow::Result<u8> {
    let file = TraceFile::open(&args.trace)?;
    require_whole(&file)?;
    let summary = Copy::begin(&file, args)?.finish()?;
    if !args.quiet {
        say::line(format_args!(
            "reprise: no keyframes; the trace has {} bytes",
            summary.bytes
        ));
    }
    Ok(0)
}

fn require_whole(file: &TraceFile) -> anyhow::Result<()> {
    if let Completeness::Truncated { at_byte, .. } = file.completeness() {
        bail!(
            "{} breaks off at byte {at_byte}: only a whole trace can be indexed. It can be replayed and debugged \
             without that",
            file.path().display()
        );
    }
    Ok(())
}

/// A copy of a trace with other keyframes, beside the file that it will replace.
struct Copy {
    header: Header,
    replacement: Replacement,
    copier: TraceCopier<BufReader<File>>,
    writer: TraceWriter<File>,
    keyframes: KeyframeWriter,
    steps: u64,
    count: usize,
    /// What the keyframes take up.
    bytes: u64,
    bytes_max: u64,
}

impl Copy {
    fn begin(file: &TraceFile, args: &IndexArgs) -> anyhow::Result<Self> {
        let replacement =
            Replacement::create(args.output.as_deref().unwrap_or_else(|| file.path()))?;
        let header = file.header().clone();
        Ok(Self {
            copier: TraceCopier::new(file.reader()?)?,
            writer: TraceWriter::create(replacement.writer()?, &header, Compression::Best)?,
            keyframes: KeyframeWriter::default(),
            replacement,
            header,
            steps: args.every,
            count: 0,
            bytes: 0,
            bytes_max: args.max_mib << 20,
        })
    }

    /// Copies what comes before `at` and adds a keyframe there.
    fn push(
        &mut self,
        at: Icount,
        push: impl FnOnce(
            &mut KeyframeWriter,
            &mut TraceWriter<File>,
        ) -> Result<(), reprise_traces::TraceError>,
    ) -> anyhow::Result<()> {
        self.copier.copy_before(at.0, &mut self.writer)?;
        self.writer.flush_chunk()?;
        let before = self.writer.bytes_written();
        push(&mut self.keyframes, &mut self.writer)?;
        self.writer.flush_chunk()?;
        self.bytes += self.writer.bytes_written() - before;
        self.count += 1;
        while self.count > KEYFRAME_COUNT_MAX || (self.bytes > self.bytes_max && self.count > 0) {
            self.thin_out()?;
        }
        Ok(())
    }

    /// Doubles the steps and writes anew what was written, with the keyframes that are left.
    fn thin_out(&mut self) -> anyhow::Result<()> {
        self.steps = self.steps.saturating_mul(2);
        let reader = || -> anyhow::Result<FileReader> {
            let file = File::open(self.replacement.beside())?;
            Ok(TraceReader::open(BufReader::new(file))?)
        };
        let mut source = TraceKeyframes::new(reader()?);
        let mut copier = TraceCopier::new(reader()?)?;
        let thinner = Replacement::create(self.replacement.beside())?;
        self.writer = TraceWriter::create(thinner.writer()?, &self.header, Compression::Best)?;
        self.keyframes = KeyframeWriter::default();
        (self.count, self.bytes) = (0, 0);
        for (number, at) in source.positions().to_vec().into_iter().enumerate() {
            if !at.0.is_multiple_of(self.steps) {
                continue;
            }
            let Some(stored) = source.read(number)? else {
                continue;
            };
            copier.copy_before(at.0, &mut self.writer)?;
            self.writer.flush_chunk()?;
            let before = self.writer.bytes_written();
            self.keyframes
                .push(&mut self.writer, at, &stored.hash, &stored.snapshot)?;
            self.writer.flush_chunk()?;
            self.bytes += self.writer.bytes_written() - before;
            self.count += 1;
        }
        copier.copy_before(u64::MAX, &mut self.writer)?;
        self.replacement.set_file(thinner.commit()?);
        Ok(())
    }

    /// Copies the rest and lets the copy take the file's place.
    fn finish(mut self) -> anyhow::Result<TraceSummary> {
        self.copier.copy_rest(&mut self.writer)?;
        let (_, summary) = self.writer.finish()?;
        self.replacement.commit()?;
        Ok(summary)
    }
}
