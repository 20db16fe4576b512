//! `reprise verify`.

use super::replay::{STATUS_DIVERGED, status_from, tell_truncation};
use crate::args::{AgainstArg, VerifyArgs};
use crate::open::OpenTrace;
use crate::say;
use indicatif::ProgressBar;
use reprise_core::types::Icount;
use reprise_recorder::verify::{self, Against, Divergence, Progress, Verdict, VerifyOptions};

/// Shows a bar for the first run, and one for each narrowing.
struct Bars {
    bar: ProgressBar,
    pass: u32,
    last: u64,
}

impl Progress for Bars {
    fn compared(&mut self, pass: u32, icount: Icount) {
        if pass != self.pass {
            self.pass = pass;
            self.bar.finish_and_clear();
            self.bar = say::progress("narrow", self.last, true);
        }
        self.bar.set_position(icount.0);
        if pass == 0 {
            self.last = self.last.min(icount.0.max(1)).max(icount.0);
        }
    }
}

/// Verifies a trace.
pub(crate) fn verify(args: &VerifyArgs) -> anyhow::Result<u8> {
    let trace = OpenTrace::open(&args.trace, &args.images.images)?;
    tell_truncation(trace.file.completeness());
    let against = match args.against {
        AgainstArg::Trace => Against::Trace,
        AgainstArg::Checkpoint => Against::Checkpoint,
        AgainstArg::Reference => Against::Reference,
    };
    let last = trace.file.last_icount();
    if against == Against::Reference {
        say::line("reprise: the reference engine takes some 30 times as long as a replay");
    }
    let mut bars = Bars {
        bar: say::progress("verify", last, true),
        pass: 0,
        last,
    };
    let verdict = verify::verify(&trace, &VerifyOptions::new(against), &mut bars);
    bars.bar.finish_and_clear();
    match verdict? {
        Verdict::Equal {
            icount,
            hash,
            comparison_count,
            keyframe_count,
        } => {
            let with = match against {
                Against::Trace => "the recorded hashes",
                Against::Checkpoint => "an execution restored at intervals",
                Against::Reference => "the reference engine",
            };
            say::line(format_args!(
                "reprise: equal to {with} at {comparison_count} places"
            ));
            if keyframe_count != 0 {
                say::line(format_args!(
                    "reprise: all {keyframe_count} keyframes are states of the execution"
                ));
            }
            say::line(format_args!("icount={icount} hash={hash}"));
            Ok(status_from(trace.file.completeness()))
        }
        Verdict::NotAsRecorded {
            good,
            icount,
            components,
        } => {
            say::line(format_args!(
                "reprise: the execution is not what was recorded: equal at icount {good}, \
                 different at {icount} in {}",
                components.join(", ")
            ));
            Ok(STATUS_DIVERGED)
        }
        Verdict::BadKeyframe { icount, difference } => {
            say::line(format_args!(
                "reprise: the keyframe at icount {icount} is not the state of the execution there: make the keyframes \
                 anew with `reprise index {}`",
                args.trace.display()
            ));
            if let Some(difference) = difference {
                say::line(format_args!("reprise: first difference: {difference}"));
            }
            Ok(STATUS_DIVERGED)
        }
        Verdict::Different(divergence) => {
            tell_divergence(&divergence);
            Ok(STATUS_DIVERGED)
        }
    }
}

fn tell_divergence(divergence: &Divergence) {
    let Divergence {
        good,
        icount,
        components,
        lost,
        difference,
        is_fleeting,
    } = divergence;
    let what = if components.is_empty() {
        String::new()
    } else {
        format!(" in {}", components.join(", "))
    };
    say::line(format_args!(
        "reprise: the executions are equal at icount {good} and differ at {icount}{what}"
    ));
    if let Some(lost) = lost {
        say::line(format_args!("reprise: there, {lost}"));
    }
    if let Some(difference) = difference {
        say::line(format_args!("reprise: first difference: {difference}"));
    }
    if *is_fleeting {
        say::line(
            "reprise: the difference did not show again when the states were compared more often",
        );
    }
}
