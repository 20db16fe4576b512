//! What source-level debugging says of the demos, compared with their sources.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::time_travel::{Recorded, What};
use reprise_core::types::GuestVirtAddr;
use reprise_core::types::Icount;
use reprise_debugger::session::{DebugSession, ThreadView};
use reprise_debugger::source::{SourceVariable, StepUnit};
use reprise_debugger::stops::{Breakpoint, Choice, Scope, Stop, StopReason, Stops};
use reprise_recorder::timeline::{RunDirection, unhurried};
use std::ops::ControlFlow;

fn current(session: &DebugSession) -> ThreadView {
    ThreadView::Task(session.current().unwrap())
}

/// Runs to where a text says, in the recorded program.
fn run_to(session: &mut DebugSession, text: &str) -> ThreadView {
    let view = current(session);
    let process = session.current().unwrap().tgid;
    let addresses = session.resolve(&view, text).unwrap();
    let breakpoint = |address| Breakpoint {
        scope: Scope::Process(process),
        address: GuestVirtAddr(address),
        conditions: Vec::new(),
    };
    let stops = Stops {
        breakpoints: addresses.into_iter().map(breakpoint).collect(),
        ..Stops::default()
    };
    let stop = session
        .run(RunDirection::Forward, &stops, &mut unhurried)
        .unwrap();
    assert!(
        matches!(stop.reasons[..], [StopReason::Breakpoint(_)]),
        "{text}: {stop:?}"
    );
    current(session)
}

/// Functions and lines of a thread's program.
fn calls(session: &mut DebugSession, view: &ThreadView) -> Vec<(String, u32)> {
    let frames = session
        .backtrace(view)
        .into_iter()
        .filter(|frame| !frame.is_kernel);
    let named = frames.map(|frame| {
        let line = frame.location.map_or(0, |location| location.line);
        (frame.function.unwrap_or_default(), line)
    });
    named.collect()
}

fn variable(
    session: &mut DebugSession,
    view: &ThreadView,
    frame: usize,
    name: &str,
) -> SourceVariable {
    let variables = session.variables(view, frame);
    let found = variables.iter().find(|variable| variable.name == name);
    found
        .unwrap_or_else(|| panic!("no `{name}` in {variables:#?}"))
        .clone()
}

/// Number of a line of a demo's source.
fn line_with(source: &str, text: &str) -> u32 {
    let at = source.lines().position(|line| line.contains(text));
    at.unwrap() as u32 + 1
}

#[test]
fn a_function_is_shown_with_its_callers_lines_and_variables() {
    let recorded = Recorded::new(What::Uaf);
    let mut session = DebugSession::new(recorded.timeline(256, false));
    session.go_to_program(&mut unhurried).unwrap();
    let view = run_to(&mut session, "follow_link");
    let source = session.read_source(&view, "/demos/src/uaf.c").unwrap();
    assert_eq!(source, include_str!("../../../guest/demos/uaf.c"));
    let call = line_with(&source, "follow_link(&cache, from, to);");
    let calls_here = calls(&mut session, &view);
    assert_eq!(calls_here[0].0, "follow_link");
    assert_eq!(calls_here[1], ("main".to_owned(), call));
    assert!(calls_here.len() > 2, "{calls_here:?}");
    let from = variable(&mut session, &view, 0, "from");
    assert!(
        from.is_argument && from.type_name == "const char *",
        "{from:?}"
    );
    assert!(from.value.ends_with("\"/index.html\""), "{from:?}");
    let to = variable(&mut session, &view, 1, "to");
    assert_eq!(
        (&*to.type_name, &*to.value),
        ("char [48]", "\"/articles/1.html\"")
    );
    let cache = variable(&mut session, &view, 1, "cache");
    assert_eq!(cache.type_name, "struct cache");
    let count = cache.parts.iter().find(|part| part.name == "slot_count");
    assert_eq!(count.unwrap().value, "2048");
    let slots = cache
        .parts
        .iter()
        .find(|part| part.name == "slots")
        .unwrap();
    let page = &slots.parts[0];
    assert_eq!((&*page.name, &*page.type_name), ("*", "struct page"));
    // Expressions name the same, and what lies behind.
    let mut value = |frame, text: &str| session.evaluate(&view, frame, text);
    let count = value(1, "cache.slot_count").unwrap();
    assert_eq!((&*count.value, &*count.type_name), ("2048", "size_t"));
    assert_eq!(
        value(0, "cache->slot_count").unwrap().address,
        count.address
    );
    let first = value(0, "cache->slots[0].name").unwrap();
    let second = value(0, "cache->slots[1].name[2]").unwrap();
    assert_eq!((first.byte_len, second.byte_len), (48, 1));
    assert_eq!(
        second.address.unwrap() - first.address.unwrap(),
        page.byte_len + 2
    );
    assert_eq!(value(0, "*cache->slots").unwrap().type_name, "struct page");
    assert_eq!(value(1, "to[ number ]").unwrap().value, "97 'a'");
    assert_eq!(value(1, "(*(cache.slots)).visits").unwrap().value, "0");
    for (text, why) in [
        ("nothing", "there is no variable `nothing` here"),
        ("cache->colour", "there is no member `colour`"),
        ("from[", "the name of a variable is missing"),
        ("from[1", "a `]` is missing"),
        ("from 1", "`1` does not belong there"),
        (
            "cache.slot_count[1]",
            "only arrays and pointers have elements",
        ),
        ("from[cache]", "an index is a number"),
        ("7", "`7` is no variable"),
        ("", "the name of a variable is missing"),
    ] {
        assert_eq!(value(0, text).unwrap_err(), why, "{text}");
    }
    assert_eq!(value(1, "to[48]").unwrap_err(), "the array has 48 elements");
    // A line of it is where its debug information says.
    let line = line_with(&source, "child->visits++;");
    let view = run_to(&mut session, &format!("uaf.c:{line}"));
    assert_eq!(
        calls(&mut session, &view)[0],
        ("follow_link".to_owned(), line)
    );
    assert!(session.resolve(&view, "uaf.c:9999").is_err());
    assert!(session.resolve(&view, "no_such_function").is_err());
}

#[test]
fn a_thread_in_the_kernel_has_its_frames_in_front() {
    let recorded = Recorded::new(What::Race);
    let mut session = DebugSession::new(recorded.timeline(256, false));
    session.go_to_program(&mut unhurried).unwrap();
    let stops = Stops {
        exit: true,
        exec: Choice::Nothing,
        ..Stops::default()
    };
    session
        .run(RunDirection::Forward, &stops, &mut unhurried)
        .unwrap();
    let view = current(&session);
    let frames = session.backtrace(&view);
    let names: Vec<_> = frames
        .iter()
        .map(|frame| frame.function.as_deref())
        .collect();
    assert_eq!(names[0], Some("do_exit"), "{names:?}");
    let user = frames.iter().position(|frame| !frame.is_kernel).unwrap();
    assert!(user > 1, "{names:?}");
    // Where the others are: the first thread waits for them in main.
    let process = session.current().unwrap().tgid;
    let first = ThreadView::Task(session.task(process).unwrap());
    let waits = calls(&mut session, &first);
    assert!(
        waits.iter().any(|(name, line)| name == "main" && *line > 0),
        "{waits:?}"
    );
}

#[test]
fn a_step_by_line_back_undoes_one_forth() {
    let recorded = Recorded::new(What::Uaf);
    let mut session = DebugSession::new(recorded.timeline(256, false));
    session.go_to_program(&mut unhurried).unwrap();
    let source = include_str!("../../../guest/demos/uaf.c");
    let call = line_with(source, "follow_link(&cache, from, to);");
    run_to(&mut session, &format!("uaf.c:{call}"));
    let tid = session.current().unwrap().tid;
    let mut step_it = |direction, unit| {
        let (stop, _) = step(&mut session, direction, unit, tid, &Stops::default());
        assert_eq!(stop.reasons, [StopReason::Step], "{direction:?} {unit:?}");
        let view = current(&session);
        let at = calls(&mut session, &view).remove(0);
        (at, session.timeline().position())
    };
    use RunDirection::{Backward, Forward};
    let ((function, _), begin) = step_it(Forward, StepUnit::Over);
    assert_eq!(function, "main");
    // The loop's head and its body, and back.
    let passed: Vec<_> = (0..4).map(|_| step_it(Forward, StepUnit::Over)).collect();
    for (at, position) in passed.iter().rev().skip(1) {
        assert_eq!(step_it(Backward, StepUnit::Over), (at.clone(), *position));
    }
    assert_eq!(step_it(Backward, StepUnit::Over).1, begin);
    // Into the function and out of it, both ways.
    while step_it(Forward, StepUnit::Over).0.1 != call {}
    let inside = step_it(Forward, StepUnit::Into);
    assert_eq!(inside.0.0, "follow_link");
    let ((function, line), _) = step_it(Backward, StepUnit::Out);
    assert_eq!((&*function, line), ("main", call));
    assert_eq!(step_it(Forward, StepUnit::Into), inside);
    let ((function, line), _) = step_it(Forward, StepUnit::Out);
    // Nothing is left to do of that line: what comes next is the loop's head.
    let head = line_with(source, "number < PAGES; number++");
    assert!(
        function == "main" && [call, head].contains(&line),
        "{function} {line}"
    );
}

/// Steps by line, in one piece and in slices that end at every look. Where that comes to, and in how many slices.
fn step(
    session: &mut DebugSession,
    direction: RunDirection,
    unit: StepUnit,
    tid: u32,
    stops: &Stops,
) -> (Stop, usize) {
    let here = session.timeline().position();
    let slice_end = |_| ControlFlow::Break(());
    let what = format!("{direction:?} {unit:?} of {tid} at {here:?}");
    let mut sliced = session
        .step_line(direction, unit, tid, stops, &mut { slice_end })
        .unwrap();
    let mut slices = 1;
    while sliced.is_interrupted {
        assert!(slices < SLICES_MAX, "{what}: {sliced:?}");
        slices += 1;
        sliced = session
            .step_line_on(direction, unit, tid, stops, &mut { slice_end })
            .unwrap();
    }
    assert_eq!(session.timeline().position(), sliced.icount, "{what}");
    session.timeline_mut().seek(here, &mut unhurried).unwrap();
    let whole = session
        .step_line(direction, unit, tid, stops, &mut unhurried)
        .unwrap();
    assert_eq!(sliced, whole, "{what}, {slices} slices");
    assert_eq!(session.timeline().position(), whole.icount, "{what}");
    (whole, slices)
}

/// Slices of a step after which it does not end.
const SLICES_MAX: usize = 1 << 14;

const DIRECTIONS: [RunDirection; 2] = [RunDirection::Forward, RunDirection::Backward];
const UNITS: [StepUnit; 3] = [StepUnit::Into, StepUnit::Over, StepUnit::Out];

/// Takes all steps from a position, each from there. The most slices that one took.
fn all_steps(session: &mut DebugSession, here: Icount, tid: u32, stops: &Stops) -> usize {
    let mut most = 0;
    for (direction, unit) in DIRECTIONS
        .into_iter()
        .flat_map(|way| UNITS.map(|unit| (way, unit)))
    {
        session.timeline_mut().seek(here, &mut unhurried).unwrap();
        let (_, slices) = step(session, direction, unit, tid, stops);
        most = most.max(slices);
    }
    most
}

#[test]
fn a_step_by_line_in_slices_ends_where_it_does_in_one_piece() {
    let recorded = Recorded::new(What::Race);
    let mut session = DebugSession::new(recorded.timeline(256, false));
    session.go_to_program(&mut unhurried).unwrap();
    let source = include_str!("../../../guest/demos/race.c");
    let line = |text| format!("race.c:{}", line_with(source, text));
    // Before it has lines.
    let first = session.current().unwrap().tid;
    let begin = session.timeline().position();
    all_steps(&mut session, begin, first, &Stops::default());
    session.timeline_mut().seek(begin, &mut unhurried).unwrap();
    let mut most = Vec::new();
    for text in [
        "pthread_create(&workers[i]",
        // It waits as long as the workers work, each of whom is judged at the other's lines.
        "pthread_join(workers[i]",
        "while (take_tile(&tile))",
        "uint32_t brightness = render(&tile)",
        "look_up(tile, number);",
        "pthread_mutex_unlock(&totals_lock)",
    ] {
        run_to(&mut session, &line(text));
        let tid = session.current().unwrap().tid;
        let here = session.timeline().position();
        let mut slices = all_steps(&mut session, here, tid, &Stops::default());
        // A little further, within the line.
        session.timeline_mut().seek(here, &mut unhurried).unwrap();
        for _ in 0..3 {
            let way = RunDirection::Forward;
            session
                .step_thread(way, tid, &Stops::default(), &mut unhurried)
                .unwrap();
        }
        let within = session.timeline().position();
        slices = slices.max(all_steps(&mut session, within, tid, &Stops::default()));
        session.timeline_mut().seek(here, &mut unhurried).unwrap();
        most.push(slices);
    }
    println!("{most:?}");
    assert!(most.iter().any(|slices| *slices > 16), "{most:?}");
    // What is asked for of others ends it, too.
    run_to(&mut session, &line("times_rendered[tile.number]++;"));
    let tid = session.current().unwrap().tid;
    let stops = Stops {
        exit: true,
        ..Stops::default()
    };
    let here = session.timeline().position();
    all_steps(&mut session, here, tid, &stops);
}

#[test]
fn a_step_by_line_that_was_interrupted_is_not_gone_on_with_elsewhere() {
    let recorded = Recorded::new(What::Race);
    let mut session = DebugSession::new(recorded.timeline(256, false));
    session.go_to_program(&mut unhurried).unwrap();
    let source = include_str!("../../../guest/demos/race.c");
    let join = line_with(source, "pthread_join(workers[i]");
    run_to(&mut session, &format!("race.c:{join}"));
    let tid = session.current().unwrap().tid;
    let here = session.timeline().position();
    let stops = Stops::default();
    let (way, unit) = (RunDirection::Forward, StepUnit::Over);
    let (whole, slices) = step(&mut session, way, unit, tid, &stops);
    assert!(slices > 8, "{slices}");
    let begin = |session: &mut DebugSession| {
        session.timeline_mut().seek(here, &mut unhurried).unwrap();
        let stop = session
            .step_line(way, unit, tid, &stops, &mut |_| ControlFlow::Break(()))
            .unwrap();
        assert!(stop.is_interrupted);
    };
    let go_on = |session: &mut DebugSession, unit| {
        session
            .step_line_on(way, unit, tid, &Stops::default(), &mut unhurried)
            .unwrap()
    };
    // As it was.
    begin(&mut session);
    assert_eq!(go_on(&mut session, unit), whole);
    // From another position, or another step: that is a step of its own.
    begin(&mut session);
    session.timeline_mut().seek(here, &mut unhurried).unwrap();
    assert_eq!(go_on(&mut session, unit), whole);
    let out = step(&mut session, way, StepUnit::Out, tid, &stops).0;
    session
        .timeline_mut()
        .seek(whole.icount, &mut unhurried)
        .unwrap();
    assert_eq!(go_on(&mut session, StepUnit::Out), out);
    begin(&mut session);
    let cut = session.timeline().position();
    let left = go_on(&mut session, StepUnit::Out);
    session.timeline_mut().seek(cut, &mut unhurried).unwrap();
    let (out, _) = step(&mut session, way, StepUnit::Out, tid, &stops);
    assert_eq!(left, out);
}
