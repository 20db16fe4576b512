//! Numbers and reasons in words for people.

use reprise_core::types::{GuestTime, NANOSECONDS_PER_TICK};
use reprise_debugger::stops::{Stop, StopReason};
use reprise_recorder::timeline::TraceEdge;

/// Guest time in nanoseconds.
pub(crate) fn nanoseconds(time: GuestTime) -> u64 {
    time.0.saturating_mul(NANOSECONDS_PER_TICK)
}

/// Why a session stands still; `is_arriving` when the recording's end is still to come.
pub(crate) fn reasons(stop: &Stop, is_arriving: bool) -> Vec<String> {
    let mut words: Vec<String> = stop.reasons.iter().filter_map(reason).collect();
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

fn reason(reason: &StopReason) -> Option<String> {
    let call = |number: u64| {
        reprise_debugger::linux::system_call_name(number)
            .map_or_else(|| format!("system call {number}"), str::to_owned)
    };
    Some(match reason {
        StopReason::Breakpoint(address) => format!("breakpoint at {address}"),
        StopReason::Watchpoint {
            address, is_write, ..
        } => {
            let what = if *is_write { "written" } else { "read" };
            format!("{address:#x} is {what}")
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

fn signal_name(number: u8) -> String {
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
