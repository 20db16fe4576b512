//! Opening: files, links, addresses, machines.

use super::{App, Dialog, Opening, Screen};
use crate::asker::Purpose;
use crate::host::FolderEvent;
use crate::searchers::Searchers;
use crate::session::Origin;
use crate::share::{self, Destination, Place, View};
use egui::Ui;
use reprise_worker::protocol::{Boot, Command, TraceSource};

/// Source texts that are kept, and bytes of one.
const TEXTS_MAX: usize = 64;
const TEXT_BYTES_MAX: usize = 4 << 20;

/// The text of a file that is one, and no recording.
fn source_text(bytes: &[u8]) -> Option<&str> {
    let is_text = bytes.len() <= TEXT_BYTES_MAX && !bytes.contains(&0);
    is_text.then(|| std::str::from_utf8(bytes).ok()).flatten()
}

impl App {
    /// Files that were dropped or chosen, and links.
    pub(super) fn take_outside(&mut self, ui: &Ui) {
        let dropped = ui.input(|input| input.raw.dropped_files.clone());
        if let Some(file) = dropped.into_iter().next() {
            self.host.read_dropped(file);
        }
        if let Some(file) = self.host.take_file() {
            match file.bytes {
                Ok(bytes) => match source_text(&bytes) {
                    Some(text) if self.take_text(&file.name, text) => {}
                    _ => self.open_bytes(bytes),
                },
                Err(why) => self.failure = Some(format!("{} cannot be read: {why}", file.name)),
            }
        }
        if let Some(event) = self.host.take_folder() {
            match self.screen {
                Screen::Start => {
                    if let Some(before) = self.start.heard_folder(event) {
                        self.host.forget_folder(Some(before));
                    }
                }
                Screen::Opening(_) | Screen::Open(_) => {
                    self.host.forget_folder(match event {
                        FolderEvent::Picked(folder) => Some(folder.number),
                        FolderEvent::Looking { .. } | FolderEvent::Failed(_) => None,
                    });
                    let why = "A machine gets its folder on the start page, before it is booted.";
                    self.failure = Some(why.to_owned());
                }
            }
        }
        if let Some(fragment) = self.host.take_fragment() {
            self.open_fragment(&fragment);
        }
    }

    /// Takes a source text for the source panel, if there is a recording whose program it can be of.
    fn take_text(&mut self, name: &str, text: &str) -> bool {
        let Screen::Open(session) = &mut self.screen else {
            return false;
        };
        let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
        if session.texts.len() >= TEXTS_MAX {
            // Whoever drops so many begins with other files.
            session.texts.clear();
        }
        session.texts.insert(name.to_owned(), text.into());
        self.dock.reveal_panel("Source");
        true
    }

    pub(super) fn open_bytes(&mut self, bytes: Vec<u8>) {
        let opening = Opening {
            origin: Origin::Here,
            at: None,
            view: View::default(),
            what: "Opening the file".to_owned(),
        };
        self.open(opening, TraceSource::Bytes(bytes));
    }

    pub(super) fn open_fragment(&mut self, fragment: &str) {
        match share::link_from_fragment(fragment) {
            Ok(Some(link)) => self.open_link(link),
            Ok(None) => {}
            Err(why) => self.failure = Some(why),
        }
    }

    pub(super) fn open_link(&mut self, link: share::Link) {
        let opening = |origin| Opening {
            origin,
            at: link.at,
            view: link.view.clone(),
            what: "Opening the recording".to_owned(),
        };
        match link.place {
            Place::Inside(bytes) => {
                let origin = Origin::Fragment(bytes.clone());
                self.open(opening(origin), TraceSource::Bytes(bytes));
            }
            Place::Url(url) => {
                if let Some(why) = self.host.fetch_refusal() {
                    self.failure = Some(format!("{why}: {url}"));
                    return;
                }
                let opening = opening(Origin::Url(url.clone()));
                match share::destination(&url, &self.host.site_url()) {
                    Destination::Own => self.open(opening, TraceSource::Url(url)),
                    Destination::Other(origin) => {
                        self.dialog = Some(Dialog::Confirm {
                            origin,
                            url,
                            opening: Box::new(opening),
                        });
                    }
                    Destination::Nowhere => {
                        self.failure = Some(format!(
                            "`{url}` is not an address that a page can fetch from"
                        ));
                    }
                }
            }
        }
    }

    /// Back to the start page, unless that loses something that the person has not agreed to lose.
    pub(super) fn leave_unless_lost(&mut self) {
        if self.is_only_here() {
            self.dialog = Some(Dialog::Leave { next: None });
            return;
        }
        self.leave();
        self.host.replace_fragment("");
    }

    fn is_only_here(&self) -> bool {
        matches!(&self.screen, Screen::Open(session) if session.is_only_here())
    }

    pub(super) fn open(&mut self, opening: Opening, source: TraceSource) {
        if self.is_only_here() {
            let next = Some((Box::new(opening), source));
            self.dialog = Some(Dialog::Leave { next });
            return;
        }
        self.leave();
        self.screen = Screen::Opening(Box::new(opening));
        self.main.ask(Command::Open(source), Purpose::Open);
    }

    /// Back to the start page; the engines forget what they had.
    pub(super) fn leave(&mut self) {
        self.leave_gdb();
        self.main.leave();
        self.reader.leave();
        self.searchers = Searchers::default();
        self.screen = Screen::Start;
        self.trace = None;
        self.packed = None;
        self.failure = None;
        self.dialog = None;
    }

    pub(super) fn boot(
        &mut self,
        command: Vec<String>,
        ram_mebibytes: u32,
        container: Option<String>,
        folder: Option<u32>,
        network: bool,
    ) {
        self.leave();
        self.screen = Screen::Opening(Box::new(Opening {
            origin: Origin::Here,
            at: None,
            view: View::default(),
            what: "Booting".to_owned(),
        }));
        let boot = Boot {
            command,
            ram_mebibytes,
            seed: self.host.seed(),
            clock_unix_nanoseconds: self.host.unix_nanoseconds(),
            terminal: crate::terminal::size_for(self.room * egui::vec2(0.57, 0.62)),
            container,
            folder,
            network,
        };
        self.main.ask(Command::Boot(boot), Purpose::Open);
    }
}

/// A link to an address.
pub(super) fn address(url: String, at: Option<u64>) -> share::Link {
    share::Link {
        place: Place::Url(url),
        at,
        view: View::default(),
    }
}
