//! What is asked and shown on top of everything: foreign addresses, sharing, gdb, keys.

use super::{App, Opening, Screen};
use crate::asker::Purpose;
use crate::bridge::{Bridge, Stage, command_for};
use crate::controls::KEYS;
use crate::session::Origin;
use crate::share::{self, Destination, LINK_TRACE_BYTES_MAX, Place, View};
use crate::words;
use egui::{Button, Id, Key, Modal, ScrollArea, TextEdit, Ui};
use reprise_worker::protocol::{Command, Thread, TraceSource};

/// What lies on top.
pub(super) enum Dialog {
    /// A link wants something from another site.
    Confirm {
        origin: String,
        url: String,
        opening: Box<Opening>,
    },
    /// A link and files; the link, or why there is none.
    Share {
        link: Result<String, String>,
        /// The link has been copied.
        is_copied: bool,
        /// A file has been saved.
        is_saved: bool,
        /// What was changed in the workspace, once that has been asked for.
        files: Option<String>,
    },
    /// What is open is nowhere else, and is to make room.
    Leave {
        /// What is opened in its place; none is the start page.
        next: Option<(Box<Opening>, TraceSource)>,
    },
    /// The connection to a bridge.
    Gdb {
        /// It has just been opened.
        is_new: bool,
    },
    /// All keys.
    Keys,
}

impl Dialog {
    /// The link that is shown.
    pub(super) fn link(&self) -> Option<&str> {
        match self {
            Self::Share { link: Ok(link), .. } => Some(link),
            _ => None,
        }
    }
}

/// What the person chose.
enum Choice {
    Close,
    Fetch,
    SaveFile { embeds_images: bool },
    SaveFiles,
    CopyLink,
    Leave,
    Connect,
    Disconnect,
}

impl App {
    pub(super) fn show_dialog(&mut self, ui: &Ui) {
        let command = match &self.dialog {
            Some(Dialog::Gdb { .. }) => command_for(&self.host.site_url()),
            _ => String::new(),
        };
        let Some(dialog) = &mut self.dialog else {
            return;
        };
        let bridge = &mut self.bridge;
        let has_workspace =
            matches!(&self.screen, Screen::Open(session) if session.recording.has_workspace);
        let room = ui.ctx().content_rect().size();
        let response = Modal::new(Id::unique("dialog")).show(ui.ctx(), |ui| {
            ui.set_max_width((room.x - 80.0).clamp(200.0, 560.0));
            match dialog {
                Dialog::Confirm { origin, url, .. } => confirm(ui, origin, url),
                Dialog::Share {
                    link,
                    is_copied,
                    is_saved,
                    files,
                } => {
                    let byte_len = self.trace.as_ref().map_or(0, Vec::len);
                    let choice = share_dialog(ui, link, byte_len, *is_copied, *is_saved);
                    let of_files = has_workspace.then(|| files_part(ui, files.as_deref()));
                    choice.or(of_files.flatten()).or(close_button(ui))
                }
                Dialog::Leave { .. } => leave_dialog(ui),
                Dialog::Gdb { is_new } => gdb_dialog(ui, bridge, &command, std::mem::take(is_new)),
                Dialog::Keys => keys(ui),
            }
        });
        let is_left = response.should_close();
        match response.inner {
            Some(Choice::Fetch) => {
                if let Some(Dialog::Confirm { url, opening, .. }) = self.dialog.take() {
                    self.open(*opening, TraceSource::Url(url));
                }
            }
            Some(Choice::SaveFile { embeds_images }) => {
                self.main
                    .ask(Command::Save { embeds_images }, Purpose::SaveForFile);
            }
            Some(Choice::SaveFiles) => {
                // As they were where the person sees to be.
                if let Screen::Open(session) = &mut self.screen
                    && let Some(target) = session.wanted.take()
                {
                    self.main.ask(Command::Seek(target), Purpose::Seek);
                }
                self.main.ask(Command::SaveFiles, Purpose::SaveFiles);
            }
            Some(Choice::CopyLink) => {
                self.is_kept();
                if let Some(Dialog::Share {
                    link: Ok(link),
                    is_copied,
                    ..
                }) = &mut self.dialog
                {
                    *is_copied = true;
                    ui.ctx().copy_text(link.clone());
                }
            }
            Some(Choice::Leave) => {
                self.is_kept();
                match self.dialog.take() {
                    Some(Dialog::Leave {
                        next: Some((opening, source)),
                    }) => self.open(*opening, source),
                    _ => self.leave_unless_lost(),
                }
            }
            Some(Choice::Connect) => self.join_bridge(),
            Some(Choice::Disconnect) => self.leave_bridge(),
            Some(Choice::Close) => self.dialog = None,
            None if is_left => self.dialog = None,
            None => {}
        }
    }

    /// What is open has been saved as a file.
    pub(super) fn is_saved(&mut self) {
        self.is_kept();
        if let Some(Dialog::Share { is_saved, .. }) = &mut self.dialog {
            *is_saved = true;
        }
    }

    /// What the guest has changed in its workspace has been saved as a file, as far as `told` says.
    pub(super) fn files_are_saved(&mut self, told: String) {
        if let Some(Dialog::Share { files, .. }) = &mut self.dialog {
            *files = Some(told);
        }
    }

    /// What is open is somewhere else as well, or need not be.
    fn is_kept(&mut self) {
        if let Screen::Open(session) = &mut self.screen {
            session.is_kept = true;
        }
    }

    /// Makes the link of what is seen.
    pub(super) fn open_share(&mut self) {
        let Screen::Open(session) = &self.screen else {
            return;
        };
        let view = View {
            marks: session.marks.clone(),
            layout: self.dock.to_text(),
            thread: (session.thread != Thread::Current).then_some(session.thread),
            frame: session.frame,
            shown: (session.shown != Default::default()).then(|| session.shown.clone()),
        };
        let for_link = self.packed.as_ref().or(self.trace.as_ref());
        let site = self.host.site_url();
        // What `reprise serve` hands out is there for this computer and while it runs: who gets the link needs the trace itself.
        let is_for_others = |url: &str| {
            share::destination(url, &site) != Destination::Own || !share::is_on_this_computer(&site)
        };
        let place = match (&session.origin, for_link) {
            (Origin::Url(url), _) if is_for_others(url) => Ok(Place::Url(url.clone())),
            (_, Some(bytes)) if bytes.len() <= LINK_TRACE_BYTES_MAX => {
                Ok(Place::Inside(bytes.clone()))
            }
            (_, Some(bytes)) => Err(format!(
                "This recording has {}, too much for a link. Save the file, put it on any web server, and send \
                 {}#trace=ADDRESS&at={}. On another server than this page's, the header `Access-Control-Allow-Origin: *` must be sent \
                 with it.",
                words::bytes(bytes.len() as u64),
                site,
                session.icount(),
            )),
            (_, None) => {
                Err("The recording is still being put together: try again in a moment.".to_owned())
            }
        };
        let at = Some(session.icount());
        let link = place.map(|place| {
            let fragment = share::fragment_from_link(&share::Link { place, at, view });
            self.host.replace_fragment(&fragment);
            format!("{site}#{fragment}")
        });
        self.dialog = Some(Dialog::Share {
            link,
            is_copied: false,
            is_saved: false,
            files: None,
        });
    }
}

fn confirm(ui: &mut Ui, origin: &str, url: &str) -> Option<Choice> {
    let mut choice = None;
    ui.heading("Fetch a recording from another site?");
    ui.label(format!(
        "The link wants to load from {origin}, which will learn that you opened it:"
    ));
    ui.monospace(url);
    ui.horizontal(|ui| {
        if ui.button("Fetch it").clicked() {
            choice = Some(Choice::Fetch);
        }
        if ui.button("Cancel").clicked() {
            choice = Some(Choice::Close);
        }
    });
    choice
}

fn share_dialog(
    ui: &mut Ui,
    link: &Result<String, String>,
    trace_byte_len: usize,
    is_copied: bool,
    is_saved: bool,
) -> Option<Choice> {
    let mut choice = None;
    ui.heading("Share");
    ui.label("Whoever gets it sees everything that was typed and printed, all memory of the machine, the files that it was given or has read, your marks and this view.");
    match link {
        Ok(link) => {
            ui.label(format!(
                "A link of {} characters:",
                words::count(link.len() as u64)
            ));
            ScrollArea::vertical().max_height(120.0).show(ui, |ui| {
                ui.add(egui::Label::new(egui::RichText::new(link).monospace().small()).wrap());
            });
            ui.horizontal(|ui| {
                if ui.button("Copy link").clicked() {
                    choice = Some(Choice::CopyLink);
                }
                if is_copied {
                    ui.label("copied");
                }
            });
        }
        Err(why) => {
            ui.label(why);
        }
    }
    ui.separator();
    ui.horizontal_wrapped(|ui| {
        let size = words::bytes(trace_byte_len as u64);
        let file = ui
            .button("Save file")
            .on_hover_text(format!("{size}; whoever opens it needs this site's images"));
        if file.clicked() {
            choice = Some(Choice::SaveFile {
                embeds_images: false,
            });
        }
        let whole = ui
            .button("Save file with images")
            .on_hover_text("Some megabytes; it needs nothing else");
        if whole.clicked() {
            choice = Some(Choice::SaveFile {
                embeds_images: true,
            });
        }
        if is_saved {
            ui.label("saved as recording.rpt");
        }
    });
    choice
}

/// The work of the guest, which is in the machine alone.
fn files_part(ui: &mut Ui, told: Option<&str>) -> Option<Choice> {
    let save = ui.button("Save changed files").on_hover_text(
        "What the machine has made and changed below /workspace, as it is at this position, as a tar archive",
    );
    if let Some(told) = told {
        ui.label(format!("changed.tar: {told}"));
    }
    save.clicked().then_some(Choice::SaveFiles)
}

fn close_button(ui: &mut Ui) -> Option<Choice> {
    ui.button("Close").clicked().then_some(Choice::Close)
}

fn leave_dialog(ui: &mut Ui) -> Option<Choice> {
    let mut choice = None;
    ui.heading("Leave this recording?");
    ui.label("It is nowhere but here, and is lost then. To keep it: “Pause” if the machine runs, “Share”, and copy the link or save the file.");
    ui.horizontal(|ui| {
        if ui.button("Leave it").clicked() {
            choice = Some(Choice::Leave);
        }
        if ui.button("Stay").clicked() {
            choice = Some(Choice::Close);
        }
    });
    choice
}

fn gdb_dialog(ui: &mut Ui, bridge: &mut Bridge, command: &str, is_new: bool) -> Option<Choice> {
    let mut choice = None;
    ui.heading("gdb");
    ui.label("A gdb on this computer debugs what is shown here, and this page follows. Meanwhile only gdb moves.");
    ui.horizontal_wrapped(|ui| {
        ui.label("1. In a terminal:");
        ui.monospace(command);
    });
    ui.horizontal(|ui| {
        let label = ui.label("2. The code that it prints:");
        let can_connect = bridge.stage == Stage::Off;
        let field = TextEdit::singleline(&mut bridge.code)
            .hint_text("7712-…")
            .desired_width(280.0);
        let field = ui.add_enabled(can_connect, field).labelled_by(label.id);
        if is_new {
            field.request_focus();
        }
        let is_entered = field.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
        let button = ui
            .add_enabled(can_connect, Button::new("Connect"))
            .on_hover_text("A code lets one page in, once");
        if can_connect && (is_entered || button.clicked()) {
            choice = Some(Choice::Connect);
        }
    });
    ui.horizontal_wrapped(|ui| {
        ui.label("3. In gdb, what it prints for that, as");
        ui.monospace("target remote 127.0.0.1:7711");
    });
    ui.separator();
    ui.label(format!("State: {}", bridge.words()));
    if let Some(trouble) = &bridge.trouble {
        ui.colored_label(ui.visuals().warn_fg_color, trouble);
    }
    ui.horizontal(|ui| {
        let disconnect = ui
            .add_enabled(bridge.stage != Stage::Off, Button::new("Disconnect"))
            .on_hover_text("End the connection, and gdb's with it; the position stays");
        if disconnect.clicked() {
            choice = Some(Choice::Disconnect);
        }
        if ui.button("Close").clicked() {
            choice = Some(Choice::Close);
        }
    });
    choice
}

fn keys(ui: &mut Ui) -> Option<Choice> {
    ui.heading("Keys");
    egui::Grid::new("keys").striped(true).show(ui, |ui| {
        for (key, what) in KEYS {
            ui.monospace(*key);
            ui.label(*what);
            ui.end_row();
        }
    });
    ui.button("Close").clicked().then_some(Choice::Close)
}
