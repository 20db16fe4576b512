//! What the main engine tells of an open recording, and what follows.

use super::{arrive, found};
use crate::asker::{Asker, Purpose};
use crate::model::Fetched;
use crate::session::{Mode, Session};
use reprise_worker::protocol::{Command, Message};

/// Takes in a message.
pub(super) fn by_main(
    session: &mut Session,
    main: &mut Asker,
    message: Message,
    purpose: Option<Purpose>,
) {
    match message {
        Message::Console(printed) => session.history.add(&printed),
        Message::Grown { end, nanoseconds } => {
            session.recording.end = end;
            session.note_time(end, nanoseconds);
        }
        Message::Arriving {
            end,
            inputs,
            done,
            total,
        } => session.takes_in(end, inputs, (done, total)),
        Message::Halted { exit_status } => {
            session.recording.exit_status = exit_status;
            session.mode = Mode::Pausing;
            main.ask(Command::Pause, Purpose::Halt);
        }
        Message::Position(mut position) => {
            // gdb can be in a diversion, beyond the end.
            if position.id != 0 {
                session.recording.end = session.recording.end.max(position.icount);
            }
            match purpose {
                Some(Purpose::Move) => session.remember(
                    position.icount,
                    position.reasons.clone(),
                    position.stops.clone(),
                ),
                Some(Purpose::Seek) => session.recall(&mut position),
                _ => {}
            }
            // While somebody looks at another place, the engine's way there is of no account.
            arrive(session, position);
        }
        Message::Seen {
            icount, look, view, ..
        } => session.looks.answered(&look, icount, view),
        Message::Hits {
            stop,
            icounts,
            is_capped,
            ..
        } => found(session, stop, icounts, is_capped),
        Message::Fetch(news) => Fetched::take_in(&mut session.fetches, news),
        Message::Done { .. } => done(session, main, purpose),
        _ => {}
    }
}

fn done(session: &mut Session, main: &mut Asker, purpose: Option<Purpose>) {
    match purpose {
        Some(purpose @ (Purpose::Pause | Purpose::Halt)) => {
            session.mode = if purpose == Purpose::Halt {
                Mode::Halted
            } else {
                Mode::Paused
            };
            session.looks.forget();
            session.looks.moved(session.position.icount);
            // What is known of all of it comes from reading it through.
            main.ask(
                Command::Save {
                    embeds_images: false,
                },
                Purpose::SaveForIndex,
            );
            if !session.stops.is_empty() {
                main.ask(Command::SetStops(session.enabled_stops()), Purpose::Small);
            }
        }
        Some(Purpose::Stops) => session.new_stop = None,
        Some(Purpose::Resume) => {
            session.mode = Mode::Running;
            session.local = None;
            session.wanted = None;
            session.verified = None;
            session.signal = None;
            session.looks.forget();
        }
        _ => {}
    }
}
