//! The bar with the buttons, and the keys that do the same.

use crate::action::Action;
use crate::bridge::{Bridge, Stage};
use crate::session::{Mode, Session};
use crate::words;
use egui::{Button, ComboBox, Key, Modifiers, RichText, Ui};
use reprise_worker::protocol::{Direction, GDB_HAS_POSITION, StepUnit, Target};

/// What a person did in the bar.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Control {
    /// Something that panels do as well.
    Do(Action),
    /// Stops the live machine.
    Pause,
    /// Lets it go on.
    Resume,
    /// Cuts its power.
    PowerOff,
    /// To a place visited before.
    Back,
    /// To where one was before that.
    Forth,
    /// Plays at a speed, or stands still.
    Play(Option<f64>),
    /// The dialog for links and files.
    Share,
    /// The dialog for gdb.
    Gdb,
    /// The list of keys.
    Keys,
    /// To the start page.
    Leave,
}

/// Speeds of playing, in times guest time.
const SPEEDS: [(&str, f64); 9] = [
    ("×0.01", 0.01),
    ("×0.1", 0.1),
    ("×1", 1.0),
    ("×10", 10.0),
    ("×100", 100.0),
    ("−×0.1", -0.1),
    ("−×1", -1.0),
    ("−×10", -10.0),
    ("−×100", -100.0),
];

/// Points between two buttons.
const ITEM_SPACING: f32 = 3.0;

/// How far a step goes, as the list names it.
const UNITS: [(StepUnit, &str); 7] = [
    (StepUnit::Instruction, "instruction"),
    (StepUnit::LineInto, "line, into calls"),
    (StepUnit::LineOver, "line, over calls"),
    (StepUnit::Out, "out of the call"),
    (StepUnit::SystemCall, "system call"),
    (StepUnit::ContextSwitch, "context switch"),
    (StepUnit::Cpu, "step of the CPU"),
];

/// Every key, as the list of keys shows it.
pub(crate) const KEYS: &[(&str, &str)] = &[
    ("Home, End", "to the start, to the end"),
    ("F5, Shift+F5", "run, run back to the next stop"),
    ("F8, Shift+F8", "step, step back by the chosen unit"),
    ("F10, Shift+F10", "a source line, over calls"),
    ("F11, Shift+F11", "a source line, into calls"),
    ("F9, Shift+F9", "out of the call, forwards or back to it"),
    ("F7, Shift+F7", "a system call on, back"),
    ("Alt+←, Alt+→", "places visited"),
    ("Space", "play, stand still"),
    (
        "letters",
        "into the machine, while it runs and after a click on its terminal",
    ),
    ("M", "mark this place"),
    ("G", "gdb on this computer"),
    ("Esc", "stop what is under way"),
    ("W A S D, wheel", "zoom and pan the timeline"),
    ("?", "this list"),
];

/// The bar's own state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Controls {
    unit: StepUnit,
    speed: f64,
}

impl Default for Controls {
    fn default() -> Controls {
        Controls {
            unit: StepUnit::Instruction,
            speed: 1.0,
        }
    }
}

impl Controls {
    /// Draws the bar, with the menu of the views where it is seen however narrow the page is.
    pub(crate) fn show(
        &mut self,
        ui: &mut Ui,
        session: &Session,
        is_busy: bool,
        is_held: bool,
        views: &mut dyn FnMut(&mut Ui),
    ) -> Vec<Control> {
        let mut controls = Vec::new();
        ui.horizontal_wrapped(|ui| {
            // So that all of it is in one line at 1280 points, also while a machine runs: a second line would move every button.
            ui.spacing_mut().item_spacing.x = ITEM_SPACING;
            let mut button =
                |ui: &mut Ui, is_enabled: bool, text: &str, tip: &str, control: Control| {
                    if ui
                        .add_enabled(is_enabled, Button::new(text))
                        .on_hover_text(tip)
                        .on_disabled_hover_text(if is_held { GDB_HAS_POSITION } else { tip })
                        .clicked()
                    {
                        controls.push(control);
                    }
                };
            button(
                ui,
                true,
                "Start page",
                "Leave this recording",
                Control::Leave,
            );
            views(ui);
            match session.mode {
                Mode::Running | Mode::Pausing => {
                    ui.label(RichText::new("REC").color(ui.visuals().error_fg_color))
                        .on_hover_text("Everything that comes from outside is recorded");
                    let can_pause = session.mode == Mode::Running;
                    button(
                        ui,
                        can_pause,
                        "Pause",
                        "Stop the machine and look at its past",
                        Control::Pause,
                    );
                    button(
                        ui,
                        can_pause,
                        "Power off",
                        "Cut the machine's power",
                        Control::PowerOff,
                    );
                }
                Mode::Paused => {
                    button(
                        ui,
                        !is_held,
                        "Resume",
                        "Back to the present: the machine goes on",
                        Control::Resume,
                    );
                }
                Mode::Replay | Mode::Halted => {}
            }
            let can_look = !session.is_running();
            let can_go = can_look && !is_held;
            let seek = |target| Control::Do(Action::Seek(target));
            let run = |direction| Control::Do(Action::Run(direction));
            let unit = self.unit;
            let step = |direction| Control::Do(Action::Step(unit, direction));
            ui.separator();
            button(
                ui,
                can_go,
                "Start",
                "To power-on (Home)",
                seek(Target::Start),
            );
            button(
                ui,
                can_go,
                "Program",
                "To where the recorded program begins",
                seek(Target::Program),
            );
            button(
                ui,
                can_go,
                "Run back",
                "Back to the stop before (Shift+F5)",
                run(Direction::Backward),
            );
            button(
                ui,
                can_go,
                "Step back",
                "A step back (Shift+F8)",
                step(Direction::Backward),
            );
            button(ui, can_go, "Step", "A step (F8)", step(Direction::Forward));
            button(
                ui,
                can_go,
                "Run",
                "To the next stop (F5)",
                run(Direction::Forward),
            );
            button(ui, can_go, "End", "To the end (End)", seek(Target::End));
            let name = UNITS
                .iter()
                .find(|(unit, _)| *unit == self.unit)
                .map_or("", |(_, name)| name);
            ComboBox::from_id_salt("unit")
                .selected_text(name)
                .show_ui(ui, |ui| {
                    for (unit, name) in UNITS {
                        ui.selectable_value(&mut self.unit, unit, name);
                    }
                })
                .response
                .on_hover_text(
                    "How far a step goes. An instruction is one of the program's; a step of the CPU may be one of the kernel or of \
                     another program as well",
                );
            ui.separator();
            button(
                ui,
                can_go && !session.back.is_empty(),
                "Back",
                "Back to the place before (Alt+←)",
                Control::Back,
            );
            button(
                ui,
                can_go && !session.forth.is_empty(),
                "Forth",
                "Forth again (Alt+→)",
                Control::Forth,
            );
            let (text, speed) = match session.player {
                Some(_) => ("Stand still", None),
                None => ("Play", Some(self.speed)),
            };
            button(
                ui,
                can_go,
                text,
                "The terminal as the guest's time goes by, which is short: some sessions are over in a blink at ×1 (Space)",
                Control::Play(speed),
            );
            let name = SPEEDS
                .iter()
                .find(|(_, speed)| *speed == self.speed)
                .map_or("", |(name, _)| name);
            let before = self.speed;
            ComboBox::from_id_salt("speed")
                .width(56.0)
                .selected_text(name)
                .show_ui(ui, |ui| {
                    for (name, speed) in SPEEDS {
                        ui.selectable_value(&mut self.speed, speed, name);
                    }
                })
                .response
                .on_hover_text("How fast it plays, in times guest time; backwards below zero");
            ui.separator();
            button(
                ui,
                can_look,
                "Mark",
                "Mark this place (M)",
                Control::Do(Action::AddMark(String::new())),
            );
            button(
                ui,
                can_look,
                "Share",
                "A link or a file with this recording",
                Control::Share,
            );
            button(
                ui,
                is_busy,
                "Stop",
                "Stop what is under way (Esc)",
                Control::Do(Action::Cancel),
            );
            button(
                ui,
                true,
                "gdb",
                "Debug this with a gdb on this computer (G)",
                Control::Gdb,
            );
            button(ui, true, "Keys", "All keys (?)", Control::Keys);
            if session.player.is_some() && self.speed != before {
                controls.push(Control::Play(Some(self.speed)));
            }
        });
        controls
    }

    /// What keys ask for. While somebody types into something, they are that's.
    pub(crate) fn keys(&self, ui: &Ui, session: &Session) -> Vec<Control> {
        let step = |unit, direction| Control::Do(Action::Step(unit, direction));
        let both = |key, forward: Control, backward: Control| {
            [
                (Modifiers::SHIFT, key, backward),
                (Modifiers::NONE, key, forward),
            ]
        };
        let of_unit = |key, unit| {
            both(
                key,
                step(unit, Direction::Forward),
                step(unit, Direction::Backward),
            )
        };
        let mut bindings = Vec::new();
        if session.is_running() {
            return bindings
                .into_iter()
                .map(|(_, _, control)| control)
                .chain(self.general_keys(ui))
                .collect();
        }
        let run = |direction| Control::Do(Action::Run(direction));
        bindings.extend(both(
            Key::F5,
            run(Direction::Forward),
            run(Direction::Backward),
        ));
        bindings.extend(of_unit(Key::F8, self.unit));
        bindings.extend(of_unit(Key::F10, StepUnit::LineOver));
        bindings.extend(of_unit(Key::F11, StepUnit::LineInto));
        bindings.extend(of_unit(Key::F9, StepUnit::Out));
        bindings.extend(of_unit(Key::F7, StepUnit::SystemCall));
        let play = session.player.is_none().then_some(self.speed);
        bindings.extend([
            (
                Modifiers::NONE,
                Key::Home,
                Control::Do(Action::Seek(Target::Start)),
            ),
            (
                Modifiers::NONE,
                Key::End,
                Control::Do(Action::Seek(Target::End)),
            ),
            (Modifiers::ALT, Key::ArrowLeft, Control::Back),
            (Modifiers::ALT, Key::ArrowRight, Control::Forth),
            (
                Modifiers::NONE,
                Key::M,
                Control::Do(Action::AddMark(String::new())),
            ),
            (Modifiers::NONE, Key::Space, Control::Play(play)),
        ]);
        let mut controls = self.general_keys(ui);
        ui.input_mut(|input| {
            for (modifiers, key, control) in bindings {
                if input.consume_key(modifiers, key) {
                    controls.push(control);
                }
            }
        });
        controls
    }

    fn general_keys(&self, ui: &Ui) -> Vec<Control> {
        ui.input_mut(|input| {
            let mut controls = Vec::new();
            if input.consume_key(Modifiers::NONE, Key::Escape) {
                controls.push(Control::Do(Action::Cancel));
            }
            if input.consume_key(Modifiers::NONE, Key::Questionmark)
                || input.consume_key(Modifiers::SHIFT, Key::Questionmark)
            {
                controls.push(Control::Keys);
            }
            if input.consume_key(Modifiers::NONE, Key::G) {
                controls.push(Control::Gdb);
            }
            controls
        })
    }
}

/// How far gdb is, where the person has asked for one.
pub(crate) fn bridge_status(ui: &mut Ui, bridge: &Bridge, end: u64) {
    if bridge.stage == Stage::Off {
        return;
    }
    ui.horizontal_wrapped(|ui| {
        ui.label(RichText::new(bridge.words()).strong());
        if let Some(icount) = bridge.runs_at {
            ui.label(format!("{} of {}", words::count(icount), words::count(end)));
        }
        if let Some(trouble) = &bridge.trouble {
            ui.colored_label(ui.visuals().warn_fg_color, trouble);
        }
    });
}

/// The line below: where one is, why, and what is under way.
pub(crate) fn status(ui: &mut Ui, session: &Session, progress: Option<(String, Option<f32>)>) {
    ui.horizontal_wrapped(|ui| {
        if session.is_running() {
            ui.label(format!("{} steps", words::count(session.recording.end)));
        } else {
            let at = session.icount();
            if ui
                .button(words::count(at))
                .on_hover_text("The position; click to copy it")
                .clicked()
            {
                ui.copy_text(at.to_string());
            }
            ui.label(format!("of {}", words::count(session.recording.end)));
            let (time, is_certain) = session.time_at(at);
            ui.label(format!(
                "{}{}",
                if is_certain { "" } else { "≥ " },
                words::seconds(time)
            ));
            if session.local.is_none() {
                if let Some((tid, name)) = &session.position.thread {
                    let place = if session.position.is_user {
                        ""
                    } else {
                        ", in the kernel"
                    };
                    ui.label(format!("{name} ({tid}){place}"));
                }
                for reason in &session.position.reasons {
                    ui.label(RichText::new(reason).strong());
                }
            }
        }
        if session.mode == Mode::Paused {
            ui.weak("paused: “Resume” lets it go on and takes what you type");
        }
        if let Some((_, hash, count)) = &session.verified {
            ui.label("replayed bit for bit")
                .on_hover_text(format!("{count} recorded hashes agree; the last is {hash}"));
        }
        if session.recording.is_incomplete {
            ui.colored_label(ui.visuals().warn_fg_color, "the recording breaks off");
        }
        if let Some((what, share)) = progress {
            match share {
                Some(share) => {
                    ui.add(
                        egui::ProgressBar::new(share)
                            .desired_width(160.0)
                            .text(what),
                    );
                }
                None => {
                    ui.spinner();
                    ui.label(what);
                }
            }
        }
    });
}
