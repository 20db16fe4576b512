//! Numbers and reasons in words for people.

use super::stops::Understood;
use reprise_core::types::{GuestTime, NANOSECONDS_PER_TICK};
use reprise_debugger::stops::{Stop, StopReason};
use reprise_recorder::timeline::TraceEdge;

/// Guest time in nanoseconds.
pub(crate) fn nanoseconds(time: GuestTime) -> u64 {
    time.0.saturating_mul(NANOSECONDS_PER_TICK)
}

/// Why a session stands still; `is_arriving` when the recording's end is still to come. What the person has named is told by its
/// name.
pub(crate) fn reasons(stop: &Stop, known: &[Understood], is_arriving: bool) -> Vec<String> {
    let reasons = stop.reasons.iter();
    let words = reasons.filter_map(|reason| {
        let name = known.iter().find_map(|stop| stop.name_of(reason));
        words_of(reason, name)
    });
    let mut words: Vec<String> = words.collect();
    match stop.edge {
        Some(TraceEdge::Begin) => words.push("the start of the recording".to_owned()),
        Some(TraceEdge::End) if is_arriving => {
            words.push("the end of what has come so far".to_owned());
        }
        Some(TraceEdge::End) => words.push("the end of the recording".to_owned()),
        None => {}
    }
    words
}

fn words_of(reason: &StopReason, name: Option<&str>) -> Option<String> {
    let call = |number: u64| {
        reprise_debugger::linux::system_call_name(number)
            .map_or_else(|| format!("system call {number}"), str::to_owned)
    };
    Some(match reason {
        StopReason::Breakpoint(address) => match name {
            Some(name) => format!("breakpoint at {name} ({address})"),
            None => format!("breakpoint at {address}"),
        },
        StopReason::Watchpoint {
            address,
            is_write,
            is_past,
            ..
        } => {
            let what = name.map_or_else(
                || format!("{address:#x}"),
                |name| format!("{name} ({address:#x})"),
            );
            let when = if *is_past { "was" } else { "is about to be" };
            let access = if *is_write { "written" } else { "read" };
            format!("{what} {when} {access}")
        }
        StopReason::SystemCall(number) => format!("calls {}", call(*number)),
        StopReason::SystemReturn(number) => format!("{} returns", call(*number)),
        StopReason::Exec(path) => format!("executes {}", String::from_utf8_lossy(path)),
        StopReason::Fork { process, thread } if process == thread => {
            format!("process {process} is made")
        }
        StopReason::Fork { thread, .. } => format!("thread {thread} is made"),
        StopReason::Exit(status) if status & 0x7f != 0 => {
            format!("ends by signal {}", status & 0x7f)
        }
        StopReason::Exit(status) => format!("ends with status {}", status >> 8 & 0xff),
        StopReason::Signal(number) => format!("signal {}", signal_name(*number)),
        StopReason::Step => return None,
    })
}

/// Names of the signals on Linux from number 1 on.
const SIGNALS: &[&str] = &[
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// Name of a signal, as `SIGSEGV`, or its number.
pub(crate) fn signal_name(number: u8) -> String {
    let name = usize::from(number)
        .checked_sub(1)
        .and_then(|index| SIGNALS.get(index));
    name.map_or_else(|| number.to_string(), |name| (*name).to_owned())
}

/// How a process ended, from what `wait` reports.
pub(crate) fn wait_status(status: u32) -> String {
    match status & 0x7f {
        0 => format!("ended with status {}", status >> 8 & 0xff),
        signal => format!("ended by {}", signal_name(signal as u8)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reprise_core::types::{GuestVirtAddr, Icount};

    #[test]
    fn an_access_is_told_as_what_comes_or_as_what_has_been() {
        for (is_write, is_past, name, words) in [
            (true, true, None, "0x4010 was written"),
            (true, false, None, "0x4010 is about to be written"),
            (false, true, Some("total"), "total (0x4010) was read"),
            (
                false,
                false,
                Some("total"),
                "total (0x4010) is about to be read",
            ),
        ] {
            let reason = StopReason::Watchpoint {
                index: 0,
                address: 0x4010,
                is_write,
                is_past,
            };
            assert_eq!(words_of(&reason, name).as_deref(), Some(words));
        }
    }

    #[test]
    fn a_breakpoint_is_told_by_the_name_that_it_was_given() {
        let reason = StopReason::Breakpoint(GuestVirtAddr(0x1_0430));
        let words = |name| words_of(&reason, name);
        let address = GuestVirtAddr(0x1_0430).to_string();
        assert_eq!(words(None), Some(format!("breakpoint at {address}")));
        assert_eq!(
            words(Some("main")),
            Some(format!("breakpoint at main ({address})"))
        );
    }

    #[test]
    fn ends_of_the_recording_are_reasons() {
        let stop = Stop {
            icount: Icount(7),
            reasons: vec![StopReason::Step],
            edge: Some(TraceEdge::End),
            is_interrupted: false,
        };
        assert_eq!(reasons(&stop, &[], false), ["the end of the recording"]);
    }
}
