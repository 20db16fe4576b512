//! The app in its window, with what only a window has: picking a file, what was saved, and `--check`.

use crate::chooser::{Choice, Chooser};
use crate::desktop::Reading;
use egui::{Align2, Area, Frame, Id, Ui, ViewportCommand};
use reprise_ui::app::App;
use reprise_ui::bridge::BridgeEvent;
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// How often `--check` looks whether all has been gone through.
const CHECK_EVERY: Duration = Duration::from_millis(50);

/// How `--check` ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum CheckEnd {
    /// Every hash agreed.
    Verified { icount: u64, hash: String },
    /// Why not.
    Failed(String),
}

/// What those who serve the app tell the window.
pub(crate) struct Shared {
    /// Something to tell the person.
    notice: RefCell<Option<String>>,
    is_picking: Cell<bool>,
    /// The person wants to join a bridge.
    is_bridge_wanted: Cell<bool>,
    is_checking: bool,
    has_engine_ended: Cell<bool>,
    end: RefCell<Option<CheckEnd>>,
}

impl Shared {
    /// For a window that only checks, or for one that a person uses.
    pub(crate) fn new(is_checking: bool) -> Self {
        Self {
            notice: RefCell::default(),
            is_picking: Cell::default(),
            is_bridge_wanted: Cell::default(),
            is_checking,
            has_engine_ended: Cell::default(),
            end: RefCell::default(),
        }
    }

    /// Tells the person something.
    pub(crate) fn tell(&self, notice: String) {
        self.notice.replace(Some(notice));
    }

    /// Lets the person pick a file.
    pub(crate) fn pick(&self) {
        self.is_picking.set(true);
    }

    /// Tells the app that there is no way to a bridge from here.
    pub(crate) fn refuse_bridge(&self) {
        self.is_bridge_wanted.set(true);
    }

    /// An engine has ended that nobody has told to.
    pub(crate) fn engine_has_ended(&self) {
        if !self.has_engine_ended.replace(true) {
            let notice = "The engine has stopped, and what it had recorded is lost: close this window and open another. \
                          What it says on standard error helps whoever mends it.";
            self.tell(notice.to_owned());
            self.end_check(CheckEnd::Failed("the engine has stopped".to_owned()));
        }
    }

    /// What was to be told and nobody has seen.
    #[cfg(test)]
    pub(crate) fn take_notice(&self) -> Option<String> {
        self.notice.take()
    }

    /// How the check ended, if it did.
    pub(crate) fn take_end(&self) -> Option<CheckEnd> {
        self.end.take()
    }

    /// The first end counts.
    fn end_check(&self, end: CheckEnd) {
        self.end.borrow_mut().get_or_insert(end);
    }
}

/// The app, as eframe wants it.
pub(crate) struct Shown {
    app: App,
    shared: Rc<Shared>,
    reading: Reading,
    chooser: Option<Chooser>,
}

impl Shown {
    pub(crate) fn new(app: App, shared: Rc<Shared>, reading: Reading) -> Self {
        Self {
            app,
            shared,
            reading,
            chooser: None,
        }
    }

    fn pick(&mut self, ui: &Ui) {
        if self.shared.is_picking.take() {
            self.chooser = Some(Chooser::new());
        }
        let Some(chooser) = &mut self.chooser else {
            return;
        };
        match chooser.show(ui) {
            Some(Choice::File(path)) => {
                self.reading.read(path);
                self.chooser = None;
            }
            Some(Choice::Nothing) => self.chooser = None,
            None => {}
        }
    }

    fn tell(&self, ui: &Ui) {
        let Some(notice) = self.shared.notice.borrow().clone() else {
            return;
        };
        let area = Area::new(Id::unique("notice"))
            .order(egui::Order::Foreground)
            .anchor(Align2::CENTER_BOTTOM, egui::vec2(0.0, -40.0));
        area.show(ui.ctx(), |ui| {
            Frame::popup(ui.style()).show(ui, |ui| {
                ui.set_max_width(480.0);
                ui.label(notice);
                if ui.button("Dismiss").clicked() {
                    self.shared.notice.take();
                }
            });
        });
    }

    fn check(&mut self, ui: &Ui) {
        if !self.shared.is_checking {
            return;
        }
        if let Some(end) = end_from_state(&self.app.test_state()) {
            self.shared.end_check(end);
        }
        if self.shared.end.borrow().is_some() {
            ui.ctx().send_viewport_cmd(ViewportCommand::Close);
        } else {
            ui.ctx().request_repaint_after(CHECK_EVERY);
        }
    }
}

impl eframe::App for Shown {
    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        self.app.ui(ui);
        if self.shared.is_bridge_wanted.take() {
            let why = "a window cannot join a bridge: save the recording, and debug the file with `reprise gdb FILE`";
            self.app.heard_bridge(BridgeEvent::Closed(why.to_owned()));
        }
        self.pick(ui);
        self.tell(ui);
        self.check(ui);
    }
}

/// How a check has ended, by what the app knows; nothing while it goes on.
fn end_from_state(state: &str) -> Option<CheckEnd> {
    let state: Value = serde_json::from_str(state).ok()?;
    if let Some(failure) = state["failure"].as_str() {
        return Some(CheckEnd::Failed(failure.to_owned()));
    }
    Some(CheckEnd::Verified {
        icount: state["verified_icount"].as_u64()?,
        hash: state["verified_hash"].as_str()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_ends_by_a_failure_or_when_all_was_gone_through() {
        for (state, expect) in [
            (r#"{"mode":"start","failure":null}"#, None),
            (
                r#"{"failure":null,"verified_icount":null,"verified_hash":null}"#,
                None,
            ),
            (
                r#"{"failure":"it differs","verified_icount":null}"#,
                Some(CheckEnd::Failed("it differs".to_owned())),
            ),
            (
                r#"{"failure":null,"verified_icount":7,"verified_hash":"ab"}"#,
                Some(CheckEnd::Verified {
                    icount: 7,
                    hash: "ab".to_owned(),
                }),
            ),
        ] {
            assert_eq!(end_from_state(state), expect, "{state}");
        }
    }
}
