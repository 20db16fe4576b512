//! What people type after `monitor`.

use super::running::Aside;
use super::server::GdbServer;
use super::{Diversion, Host, points};
use crate::linux::{LinuxView, Mapping, Task, system_call_number};
use crate::stops::{Choice, Scope, SystemCallStop, WatchAddress, Watchpoint};
use reprise_core::debug::WatchKind;
use reprise_core::event::{ConsolePort, InputEvent};
use reprise_core::types::{GuestTime, Icount, NANOSECONDS_PER_TICK};
use reprise_core::workspace::Listing;
use reprise_core::workspace::content::Content;
use reprise_recorder::entry::TimedEvent;
use reprise_recorder::timeline::{StopStatus, TimelineError, TraceEdge};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::ops::ControlFlow;

const HELP: &str = "\
Where:      when                     the position: icount and guest time
            seek N | +N | -N         go to an icount, or so many steps on or back
            seek time SECONDS        go to a guest time, in seconds since power-on; seek mtime TICKS likewise
            seek event N             go to where input event N is delivered
            start | end              go to power-on, or to the end of the recording
            mark NAME, seek mark NAME, marks
Who:        ps [all]                 processes and threads; all: those of the kernel, too
            maps, files              mappings and open files of the selected process
            events [FIRST [COUNT]]   the inputs of the recording
            who-wrote ADDR [LEN]     the last writes to memory before here, of all the execution
            who-read ADDR [LEN]      likewise the last reads
Stop at:    catch exec|fork|exit|signal, uncatch ...
            catch syscall [NAME|NUMBER ...] [enter|return], uncatch syscall
                                     system calls of the selected process, when they begin and when they return
            watch ADDR LEN [read|write|access], unwatch
                                     accesses to physical memory, whoever makes them
Otherwise:  diverge                  go on differently from here; writing does so by itself
            return                   end the diversion, back to the recording
            type TEXT                type a line into the guest's console, in a diversion
            save FILE                keep the diversion as a trace of its own
After `seek`, `start`, `end` and `return` gdb still shows where it was: `maintenance flush register-cache` and
`frame` show the new place, or any step. The commands of `reprise gdb` (`seek`, `when`, ...) do that by themselves.
";

/// Writes that `who-wrote` tells.
const ACCESSES_SHOWN: usize = 8;
/// Events that `events` tells when nobody says how many.
const EVENTS_SHOWN: usize = 20;
/// Events of one answer at the most.
const EVENTS_MAX: usize = 10_000;
/// Bytes of an input that are shown.
const INPUT_BYTES_SHOWN: usize = 48;

/// Executes a command. What is to be said, in lines; none where the command has been put aside.
pub(super) fn command(server: &mut GdbServer, line: &str, host: &mut dyn Host) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let result = match words[..] {
        ["start" | "end"] | ["seek", ..] => match goal(server, &words) {
            Ok(goal) => return seek(server, goal, host),
            Err(error) => Err(error),
        },
        [] | ["help"] => Ok(HELP.to_owned()),
        ["when"] => Ok(when(server, "")),
        ["mark", name] => {
            let mark = server.target.session.timeline_mut().set_mark(name);
            Ok(format!("mark {} at icount {}", mark.name, mark.icount))
        }
        ["marks"] => Ok(marks(server)),
        ["ps"] => processes(server, false),
        ["ps", "all"] => processes(server, true),
        ["maps"] => maps(server),
        ["files"] => files(server),
        ["events"] => events(server, None, EVENTS_SHOWN),
        ["events", first] => events(server, number(first), EVENTS_SHOWN),
        ["events", first, count] => match (number(first), number(count)) {
            (Some(first), Some(count)) => events(server, Some(first), count as usize),
            _ => Err("`events` takes the number of the first event and how many".to_owned()),
        },
        ["who-wrote", address] => accesses(server, address, "8", WatchKind::Write, host),
        ["who-wrote", address, length] => accesses(server, address, length, WatchKind::Write, host),
        ["who-read", address] => accesses(server, address, "8", WatchKind::Read, host),
        ["who-read", address, length] => accesses(server, address, length, WatchKind::Read, host),
        ["catch", "syscall", ref names @ ..] => catch_system_calls(server, names),
        ["uncatch", "syscall"] => {
            server.target.stops.system_calls.clear();
            Ok(String::new())
        }
        [verb @ ("catch" | "uncatch"), what] => catch(server, what, verb == "catch"),
        ["watch", address, length] => watch_physical(server, address, length, "write"),
        ["watch", address, length, kind] => watch_physical(server, address, length, kind),
        ["unwatch"] => {
            let watchpoints = &mut server.target.stops.watchpoints;
            watchpoints.retain(|point| matches!(point.address, WatchAddress::Virtual(_)));
            Ok(String::new())
        }
        ["type", ..] => type_line(server, line),
        ["diverge"] => {
            server.target.session.timeline_mut().diverge();
            Ok(format!("a diversion from icount {}", server.position()))
        }
        ["return"] => {
            let returned = server.target.session.timeline_mut().return_to_recording();
            server.target.threads.forget();
            returned
                .map(|()| moved(server, None))
                .map_err(|error| error.to_string())
        }
        ["save", name] => save(server, name, host),
        _ => Err(format!(
            "there is no command `{line}`: `monitor help` lists them"
        )),
    };
    Some(result.unwrap_or_else(told))
}

/// What is said of a command that could not be carried out.
fn told(error: String) -> String {
    format!("reprise: {error}")
}

/// Where to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Goal {
    Icount(Icount),
    Time(GuestTime),
    Event(usize),
}

/// Where a command wants to go.
fn goal(server: &GdbServer, words: &[&str]) -> Result<Goal, String> {
    match words {
        ["start"] => Ok(Goal::Icount(Icount(0))),
        ["end"] => Ok(Goal::Icount(Icount(u64::MAX))),
        ["seek", "time", seconds] => match seconds.parse::<f64>() {
            Ok(seconds) if seconds >= 0.0 => {
                let ticks = seconds * 1e9 / NANOSECONDS_PER_TICK as f64;
                Ok(Goal::Time(GuestTime(ticks as u64)))
            }
            _ => Err(format!("`{seconds}` is not a time in seconds")),
        },
        ["seek", "mtime", ticks] => match number(ticks) {
            Some(ticks) => Ok(Goal::Time(GuestTime(ticks))),
            None => Err(format!("`{ticks}` is not a number of ticks")),
        },
        ["seek", "event", event] => match number(event) {
            Some(event) => Ok(Goal::Event(event as usize)),
            None => Err(format!("`{event}` is not the number of an event")),
        },
        ["seek", "mark", name] => match server.target.session.timeline().mark(name) {
            Some(icount) => Ok(Goal::Icount(icount)),
            None => Err(format!(
                "there is no mark `{name}`: `monitor marks` lists them"
            )),
        },
        ["seek", to] => match position(server, to) {
            Some(icount) => Ok(Goal::Icount(icount)),
            None => Err(format!("`{to}` is not an icount")),
        },
        _ => Err(format!(
            "there is no command `{}`: `monitor help` lists them",
            words.join(" ")
        )),
    }
}

/// Goes somewhere, or on there where that was put aside. What is said in the end.
pub(super) fn seek(server: &mut GdbServer, goal: Goal, host: &mut dyn Host) -> Option<String> {
    let mut is_put_aside = false;
    let mut control = |_: Icount| {
        if host.is_break_wanted() {
            return ControlFlow::Break(());
        }
        // A time is looked for from both ends; that begins anew where it is interrupted.
        is_put_aside = !matches!(goal, Goal::Time(_)) && host.is_slice_over();
        if is_put_aside {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let timeline = server.target.session.timeline_mut();
    let status: Result<StopStatus, TimelineError> = match goal {
        Goal::Icount(icount) => timeline.seek(icount, &mut control),
        Goal::Time(time) => timeline.seek_time(time, &mut control),
        Goal::Event(number) => timeline.seek_event(number, &mut control),
    };
    match status {
        Ok(status) if status.is_interrupted && is_put_aside => {
            server.aside = Some(Aside::Seek(goal));
            None
        }
        Ok(status) => Some(moved(server, status.edge)),
        Err(error) => Some(told(error.to_string())),
    }
}

/// What is said after a move that the client does not know of.
fn moved(server: &mut GdbServer, edge: Option<TraceEdge>) -> String {
    let thread = server.stopped_thread(None);
    server.general = thread;
    server.target.selected = thread.1;
    server.last_stop = format!("T05thread:{};", server.thread_id(thread));
    let edge = match edge {
        Some(TraceEdge::Begin) => ", the beginning",
        Some(TraceEdge::End) => ", the end",
        None => "",
    };
    server.stopped = thread;
    server.focus = thread.1;
    when(server, edge)
}

/// The position and the thread that is shown there.
fn when(server: &GdbServer, edge: &str) -> String {
    let timeline = server.target.session.timeline();
    let time = timeline.machine().time();
    let seconds = time.0 as f64 * NANOSECONDS_PER_TICK as f64 / 1e9;
    let mut text = format!(
        "icount {} of {}, {seconds:.6} s after power-on (mtime {})",
        timeline.position(),
        timeline.end(),
        time.0
    );
    if let Some(fork) = timeline.diverged_at() {
        let _ = write!(text, ", in a diversion from icount {fork}");
    }
    text += edge;
    let (_, tid) = server.stopped;
    if let Some(thread) = server.target.threads.get(tid) {
        let _ = write!(text, "; thread {tid} ({})", thread.name);
    }
    text
}

impl GdbServer {
    fn position(&self) -> Icount {
        self.target.session.timeline().position()
    }
}

fn position(server: &GdbServer, text: &str) -> Option<Icount> {
    let here = server.position().0;
    if let Some(by) = text.strip_prefix('+') {
        return Some(Icount(here.saturating_add(number(by)?)));
    }
    if let Some(by) = text.strip_prefix('-') {
        return Some(Icount(here.saturating_sub(number(by)?)));
    }
    number(text).map(Icount)
}

/// A number, decimal or hexadecimal after `0x`.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn marks(server: &GdbServer) -> String {
    let marks = server.target.session.timeline().marks();
    if marks.is_empty() {
        return "no marks: `monitor mark NAME` sets one here".to_owned();
    }
    let lines = marks
        .iter()
        .map(|mark| format!("{:>14}  {}", mark.icount.0, mark.name));
    lines.collect::<Vec<_>>().join("\n")
}

const NO_LINUX: &str = "Linux is not up here, or its kernel is not known";

/// Why the guest's Linux cannot be looked into.
fn no_linux(server: &GdbServer) -> String {
    match server.target.session.kernel() {
        Err(error) => error.to_string(),
        Ok(kernel) => kernel
            .lacks_types()
            .map_or(NO_LINUX.to_owned(), str::to_owned),
    }
}

fn processes(server: &GdbServer, with_kernel: bool) -> Result<String, String> {
    let session = &server.target.session;
    let view = session.linux().ok_or_else(|| no_linux(server))?;
    let current = session.current().map(|task| task.tid);
    let mut tasks: Vec<Task> = view.tasks();
    tasks.retain(|task| with_kernel || !task.is_kernel_thread);
    tasks.sort_by_key(|task| (task.tgid, task.tid));
    let mut text = String::from("     pid    tid   ppid  state      program\n");
    for task in tasks {
        let mark = if current == Some(task.tid) { '*' } else { ' ' };
        let words = view.arguments(&task);
        let words: Vec<_> = words
            .iter()
            .map(|word| String::from_utf8_lossy(word))
            .collect();
        let program = if task.tid != task.tgid || words.is_empty() {
            task.name.clone()
        } else {
            words.join(" ")
        };
        let _ = writeln!(
            text,
            "{mark}{:>7}{:>7}{:>7}  {:<9}  {program}",
            task.tgid,
            task.tid,
            task.parent_tgid,
            task.state.word()
        );
    }
    Ok(text)
}

/// The task that is selected, or runs.
fn selected(server: &GdbServer) -> Result<Task, String> {
    let session = &server.target.session;
    let task = session.task(server.general.1).or_else(|| session.current());
    task.ok_or_else(|| no_linux(server))
}

fn maps(server: &GdbServer) -> Result<String, String> {
    let task = selected(server)?;
    let view = server
        .target
        .session
        .linux()
        .ok_or_else(|| no_linux(server))?;
    Ok(maps_text(&view, &task))
}

/// The mappings of a task, as `/proc/PID/maps` of the guest shows them.
pub(super) fn maps_text(view: &LinuxView<'_>, task: &Task) -> String {
    let mut text = String::new();
    for mapping in view.mappings(task) {
        let letter = |has: bool, letter: char| if has { letter } else { '-' };
        let file = mapping.file.as_ref();
        let _ = writeln!(
            text,
            "{:08x}-{:08x} {}{}{}{} {:08x} {:02x}:{:02x} {:<10} {}",
            mapping.start.0,
            mapping.end.0,
            letter(mapping.is_readable, 'r'),
            letter(mapping.is_writable, 'w'),
            letter(mapping.is_executable, 'x'),
            if mapping.is_shared { 's' } else { 'p' },
            file.map_or(0, |file| file.offset),
            file.map_or(0, |file| file.device >> 20),
            file.map_or(0, |file| file.device & 0xf_ffff),
            file.map_or(0, |file| file.inode),
            label_of(&mapping),
        );
    }
    text
}

fn label_of(mapping: &Mapping) -> String {
    match (&mapping.file, &mapping.label) {
        (Some(file), _) => String::from_utf8_lossy(&file.path).into_owned(),
        (None, Some(label)) => label.clone(),
        (None, None) => String::new(),
    }
}

fn files(server: &GdbServer) -> Result<String, String> {
    let task = selected(server)?;
    let view = server
        .target
        .session
        .linux()
        .ok_or_else(|| no_linux(server))?;
    let mut text = String::new();
    for file in view.open_files(&task) {
        let path = String::from_utf8_lossy(&file.path).into_owned();
        let _ = writeln!(text, "{:>4}  at {:>10}  {path}", file.fd, file.position);
    }
    Ok(text)
}

fn events(server: &GdbServer, first: Option<u64>, count: usize) -> Result<String, String> {
    let timeline = server.target.session.timeline();
    let events = timeline.events();
    let here = timeline.position();
    let next = events.partition_point(|event| event.icount < here);
    // Around the position, unless somebody says otherwise.
    let first = first.map_or(next.saturating_sub(count / 2), |first| first as usize);
    let (asked, count) = (count, count.min(EVENTS_MAX));
    let shown = events.iter().enumerate().skip(first).take(count);
    let mut text = String::new();
    for (number, event) in shown {
        let mark = if number == next { '>' } else { ' ' };
        let _ = writeln!(
            text,
            "{mark}{number:>5} {:>14}  {}",
            event.icount.0,
            event_text(event, timeline.machine().workspace_listing())
        );
    }
    if text.is_empty() {
        return Ok(format!("there are {} events, counted from 0", events.len()));
    }
    let after = first.saturating_add(count);
    if asked > count && after < events.len() {
        let _ = writeln!(
            text,
            "{} more: `monitor events {after}`",
            events.len() - after
        );
    }
    Ok(text)
}

fn event_text(event: &TimedEvent, listing: Option<&Listing>) -> String {
    match &*event.event {
        InputEvent::Start(start) => {
            let words: Vec<_> = start
                .command
                .iter()
                .map(|word| String::from_utf8_lossy(word))
                .collect();
            format!("start: {}", words.join(" "))
        }
        InputEvent::ConsoleInput { bytes, .. } => {
            let shown = &bytes[..bytes.len().min(INPUT_BYTES_SHOWN)];
            let more = if shown.len() < bytes.len() { "..." } else { "" };
            format!("typed: \"{}\"{more}", shown.escape_ascii())
        }
        InputEvent::ConsoleSize(size) => {
            format!("terminal: {} columns, {} rows", size.columns, size.rows)
        }
        InputEvent::PowerOff => "power off".to_owned(),
        InputEvent::Frame(bytes) => format!("network: a frame of {} bytes", bytes.len()),
        InputEvent::WorkspaceContent { key, content } => {
            let path = listing.and_then(|listing| listing.path(key.file));
            let path = path.map_or_else(String::new, |path| path.escape_ascii().to_string());
            let what = match content {
                Content::Bytes(bytes) => format!("{} bytes", bytes.len()),
                Content::Zeros => "zeros".to_owned(),
                Content::Unreadable => "unreadable".to_owned(),
            };
            format!("workspace: {path}, part {}: {what}", key.extent)
        }
        InputEvent::DebugWrite(_) => "a debugger's write".to_owned(),
    }
}

fn accesses(
    server: &mut GdbServer,
    address: &str,
    length: &str,
    kind: WatchKind,
    host: &mut dyn Host,
) -> Result<String, String> {
    let what = if kind == WatchKind::Write {
        "wrote to"
    } else {
        "read"
    };
    let base = number(address).ok_or_else(|| format!("`{address}` is not an address"))?;
    let byte_len = number(length)
        .filter(|length| *length > 0)
        .ok_or_else(|| format!("`{length}` is not a number of bytes"))?;
    let scope = points::scope(&server.target);
    let mut control = |_: Icount| {
        if host.is_break_wanted() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let target = &mut server.target;
    let found = target.session.accesses_before(
        scope,
        WatchAddress::Virtual(base),
        byte_len,
        kind,
        ACCESSES_SHOWN,
        &*target.executor,
        &mut control,
    );
    let found = found.map_err(|error| error.to_string())?;
    if found.is_empty() {
        let whose = match scope {
            Scope::Machine => String::new(),
            Scope::Process(process) => format!(" of process {process}"),
        };
        return Ok(format!(
            "before here nobody {what} {byte_len} bytes at {base:#x}{whose}"
        ));
    }
    let mut text = String::new();
    for access in found {
        let who = access.thread.map_or(String::new(), |(tid, name)| {
            format!("  thread {tid} ({name})")
        });
        let _ = writeln!(
            text,
            "icount {:>14}  pc {:#x}  at {:#x}{who}",
            access.icount.0, access.pc, access.address
        );
    }
    text += "`monitor seek ICOUNT` goes there, before it happens";
    Ok(text)
}

/// Stops at system calls of the selected process: those named, or all.
fn catch_system_calls(server: &mut GdbServer, names: &[&str]) -> Result<String, String> {
    let (names, at_entry, at_return) = match names {
        [names @ .., "enter"] => (names, true, false),
        [names @ .., "return"] => (names, false, true),
        names => (names, true, true),
    };
    let numbers = names.iter().map(|name| {
        let number = number(name).or_else(|| system_call_number(name));
        number.ok_or_else(|| format!("there is no system call `{name}`"))
    });
    let numbers = numbers.collect::<Result<BTreeSet<u64>, String>>()?;
    let scope = points::scope(&server.target);
    let choice = if numbers.is_empty() {
        Choice::all()
    } else {
        Choice::Some(numbers)
    };
    let calls = &mut server.target.stops.system_calls;
    calls.retain(|stop| stop.scope != scope);
    calls.push(SystemCallStop {
        scope,
        calls: choice,
        at_entry,
        at_return,
    });
    Ok(String::new())
}

fn catch(server: &mut GdbServer, what: &str, is_set: bool) -> Result<String, String> {
    let choice = if is_set {
        Choice::all()
    } else {
        Choice::Nothing
    };
    let stops = &mut server.target.stops;
    match what {
        "exec" => stops.exec = choice,
        "fork" => stops.fork = is_set,
        "exit" => stops.exit = is_set,
        "signal" => stops.signals = choice,
        _ => {
            return Err(format!(
                "`{what}` cannot be caught; exec, fork, exit, signal and syscall can"
            ));
        }
    }
    if is_set && server.target.session.kernel().is_err() {
        return Err(no_linux(server));
    }
    Ok(String::new())
}

/// Sets a watchpoint on physical memory, which gdb has no words for.
fn watch_physical(
    server: &mut GdbServer,
    address: &str,
    length: &str,
    kind: &str,
) -> Result<String, String> {
    let base = number(address).ok_or_else(|| format!("`{address}` is not an address"))?;
    let byte_len = number(length)
        .filter(|length| *length > 0)
        .ok_or_else(|| format!("`{length}` is not a number of bytes"))?;
    let kind = match kind {
        "read" => WatchKind::Read,
        "write" => WatchKind::Write,
        "access" => WatchKind::Access,
        _ => return Err(format!("`{kind}` is not read, write or access")),
    };
    if server.target.stops.watchpoints.len() >= points::POINTS_MAX {
        return Err("there are too many watchpoints".to_owned());
    }
    server.target.stops.watchpoints.push(Watchpoint {
        scope: Scope::Machine,
        address: WatchAddress::Physical(base),
        byte_len,
        kind,
    });
    Ok(String::new())
}

/// Types the rest of a command, and Enter, into the console of a diversion.
fn type_line(server: &mut GdbServer, line: &str) -> Result<String, String> {
    let text = line.trim_start().strip_prefix("type").unwrap_or_default();
    let mut bytes = text.strip_prefix(' ').unwrap_or(text).as_bytes().to_vec();
    bytes.push(b'\n');
    let timeline = server.target.session.timeline_mut();
    let port = ConsolePort::Virtio;
    if bytes.len() > timeline.machine().console_room(port) {
        return Err("the guest's console takes no input of that length here".to_owned());
    }
    timeline.diverge();
    let typed = timeline.inject(InputEvent::ConsoleInput { port, bytes });
    server.target.threads.forget();
    typed
        .map(|()| moved(server, None))
        .map_err(|error| error.to_string())
}

fn save(server: &mut GdbServer, name: &str, host: &mut dyn Host) -> Result<String, String> {
    let timeline = server.target.session.timeline_mut();
    let Some(forked_at) = timeline.diverged_at() else {
        return Err(
            "this is the recording, not a diversion: there is nothing new to save".to_owned(),
        );
    };
    let diversion = Diversion {
        entries: timeline.entries_to_here(),
        forked_at,
    };
    host.save_trace(name, &diversion)?;
    Ok(format!("saved up to here as {name}"))
}
