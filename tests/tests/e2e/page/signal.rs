//! Where a program was when a signal ended it.

use super::{Page, folder, record};
use reprise_worker::protocol::{
    Command, Direction, FatalSignal, Frame, Look, Message, StepUnit, StopKind, StopPoint, Target,
    Thread, View,
};

/// What the engine tells of the signal that has ended a command, with its page.
fn fatal_signal(command: &[&str], status: i32) -> (Page, Option<FatalSignal>) {
    let folder = folder();
    let trace = folder.path().join("ended.rpt");
    // Which keys find a bug changes with the guest.
    let ends_so =
        |seed: &u64| record(&trace, *seed, &["--force", "--ram", "64"], command).status == status;
    assert!((1..60).any(|seed| ends_so(&seed)), "no seed ends so");
    let mut page = Page::new();
    page.open(&trace);
    page.order(Command::Index);
    let mut told = page.messages.iter().filter_map(|message| match message {
        Message::FatalSignal(signal) => Some(signal.clone()),
        _ => None,
    });
    let signal = told.next();
    assert_eq!(told.next(), None);
    (page, signal)
}

impl Page {
    fn stack(&mut self) -> Vec<Frame> {
        match self.look(Look::Stack(Thread::Current)) {
            View::Stack(frames) => frames,
            other => panic!("{other:?}"),
        }
    }

    /// Function and line of the program's innermost call.
    fn line(&mut self) -> (String, u32) {
        let frames = self.stack();
        let own = frames.iter().find(|frame| !frame.is_kernel).unwrap();
        let line = own.location.as_ref().map_or(0, |location| location.line);
        (own.function.clone().unwrap_or_default(), line)
    }

    fn steps_back(&mut self) {
        self.order(Command::Step {
            unit: StepUnit::LineOver,
            direction: Direction::Backward,
            thread: Thread::Current,
        });
    }
}

#[test]
fn a_fault_is_told_with_the_instruction_that_made_it() {
    let (mut page, signal) = fatal_signal(&["/demos/uaf"], 139);
    let signal = signal.unwrap();
    assert_eq!((&*signal.signal, &*signal.thread), ("SIGSEGV", "uaf"));
    page.order(Command::Seek(Target::Icount(signal.icount)));
    let position = page.position();
    assert!(position.is_user);
    assert_eq!(position.thread, Some((signal.tid, signal.thread)));
    let at = page.line();
    assert!(!page.stack()[0].is_kernel);
    // It is what the signal follows.
    let stop = StopPoint {
        id: 1,
        process: None,
        kind: StopKind::Signal,
        name: None,
    };
    page.order(Command::SetStops(vec![stop]));
    page.order(Command::Run {
        direction: Direction::Forward,
    });
    let position = page.position();
    assert_eq!(position.stops, [1]);
    assert!(!position.is_user && page.stack()[0].is_kernel);
    assert_eq!(page.line(), at);
    // The instruction is the beginning of its line: as in gdb, a step back is to the beginning of the line before.
    page.steps_back();
    let (before, begin) = (page.line(), page.position().icount);
    assert!(before.0 == at.0 && before.1 < at.1, "{before:?} {at:?}");
    // From the middle of that line, be it where another of its rows begins, a step back is to its beginning, too.
    assert!(begin + 1 < signal.icount);
    for icount in begin + 1..signal.icount {
        page.order(Command::Seek(Target::Icount(icount)));
        assert_eq!(page.line(), before);
        page.steps_back();
        assert_eq!(page.position().icount, begin, "from {icount}");
    }
    page.steps_back();
    assert_ne!(page.line(), before);
}

#[test]
fn only_a_signal_that_ended_something_is_told() {
    let kill = "kill -ABRT $$";
    let (mut page, signal) = fatal_signal(&["sh", "-c", kill], 134);
    let signal = signal.unwrap();
    assert_eq!((&*signal.signal, &*signal.thread), ("SIGABRT", "sh"));
    page.order(Command::Seek(Target::Icount(signal.icount)));
    assert!(page.position().is_user, "at the call of kill");
    // One that a handler has taken, one of another kind, none, and the ordinary ends.
    for (command, status) in [
        ("trap : INT; kill -INT $$; exit 130", 130),
        ("(kill -ABRT $(exec sh -c 'echo $PPID')); exit 139", 139),
        ("exit 139", 139),
        ("exit 3", 3),
    ] {
        let (_, signal) = fatal_signal(&["sh", "-c", command], status);
        assert_eq!(signal, None, "{command}");
    }
    // The last one that ended anything counts, though others were handled later.
    let command = "sh -c 'kill -INT $$'; trap : INT; kill -INT $$; exit 130";
    let (_, signal) = fatal_signal(&["sh", "-c", command], 130);
    assert!(signal.is_some());
}

#[test]
fn accesses_are_told_by_name_and_registers_by_theirs() {
    let (mut page, signal) = fatal_signal(&["/demos/uaf"], 139);
    let stop = |id, kind, name: Option<&str>| StopPoint {
        id,
        process: None,
        kind,
        name: name.map(str::to_owned),
    };
    page.order(Command::Seek(Target::Program));
    let main = stop(1, StopKind::Breakpoint("follow_link".to_owned()), None);
    page.order(Command::SetStops(vec![main]));
    page.order(Command::Run {
        direction: Direction::Forward,
    });
    let reasons = page.position().reasons;
    assert!(
        reasons[0].starts_with("breakpoint at follow_link (0x"),
        "{reasons:?}"
    );
    let pages = Look::Expression {
        thread: Thread::Current,
        frame: 0,
        text: "cache->pages".to_owned(),
    };
    let View::Expression(Ok(pages)) = page.look(pages) else {
        panic!("no cache->pages")
    };
    let address = pages.address.unwrap();
    let watch = StopKind::Watchpoint {
        address,
        byte_len: pages.byte_len,
        reads: false,
        writes: true,
    };
    page.order(Command::SetStops(vec![stop(
        2,
        watch,
        Some("cache->pages"),
    )]));
    let mut met = |direction| {
        page.order(Command::Run { direction });
        let reasons = page.position().reasons;
        let memory = Look::Memory {
            thread: Thread::Current,
            address,
            byte_len: 8,
        };
        (reasons, page.look(memory))
    };
    let called = format!("cache->pages ({address:#x})");
    let (reasons, after) = met(Direction::Forward);
    assert_eq!(reasons, [format!("{called} was written")]);
    let (reasons, before) = met(Direction::Backward);
    assert_eq!(reasons, [format!("{called} is about to be written")]);
    assert_ne!(before, after);

    page.order(Command::Seek(Target::Icount(signal.unwrap().icount)));
    let look = Look::Variables {
        thread: Thread::Current,
        frame: 0,
    };
    let View::Variables(variables) = page.look(look) else {
        panic!("no variables")
    };
    let mut registers = variables.iter().filter_map(|variable| {
        assert!(variable.address.is_none() || variable.register.is_none());
        variable.register.as_deref()
    });
    assert!(
        registers.any(|name| name.starts_with(['a', 's'])),
        "{variables:?}"
    );
}
