//! The start page: boot, open, demos.

use crate::host::{FolderEvent, PickedFolder};
use crate::words;
use egui::{ComboBox, RichText, ScrollArea, Slider, TextEdit, Ui};
use serde::Deserialize;

/// RAM that a machine of the page can have, in MiB.
const RAM_MEBIBYTES: std::ops::RangeInclusive<u32> = 64..=1024;
const RAM_MEBIBYTES_DEFAULT: u32 = 256;
/// Containers that are listed.
const CONTAINERS_MAX: usize = 50;
/// Demos that are listed.
const DEMOS_MAX: usize = 50;

/// What a person wants to begin with.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum StartEvent {
    /// A machine with this much RAM in MiB; no command is a shell.
    Boot {
        command: Vec<String>,
        ram_mebibytes: u32,
        /// The container that it runs in, by the address of its file; none is the default guest.
        container: Option<String>,
        /// The folder that it works in, by its number.
        folder: Option<u32>,
        /// Its programs may fetch what the page may.
        network: bool,
    },
    /// A folder that is still to be chosen.
    PickFolder,
    /// A folder is not wanted any more: the one with this number, or the one that is being gone through.
    ForgetFolder(Option<u32>),
    /// A file that is still to be chosen.
    PickFile,
    /// A link or an address, as typed.
    Open(String),
    /// A demo.
    Demo { file: String, at: Option<u64> },
}

/// A demo of the site.
#[derive(Clone, Debug, Deserialize)]
struct Demo {
    title: String,
    text: String,
    file: String,
    #[serde(default)]
    at: Option<u64>,
}

/// A container of the site.
#[derive(Clone, Debug, Deserialize)]
struct Container {
    title: String,
    text: String,
    file: String,
}

/// What a machine is given to work in.
const FOLDER_TIP: &str = "A folder of this computer, which the machine sees as /workspace and changes for itself alone: the folder stays as \
                          it is. Nothing is uploaded anywhere, even if the browser asks whether it may: files are read in this page";
/// What the network allows.
const NETWORK_TIP: &str = "Programs of the machine may ask servers for things by HTTP, as this page may: those that let any page read them \
     (CORS), and servers on this computer at 10.0.2.2. The browser sends no cookies and follows redirects. What comes is recorded; \
     replays ask nobody.";

/// What the default guest is called beside containers.
const DEFAULT_GUEST: &str = "the default guest";

/// The page's fields.
pub(crate) struct StartPage {
    command: String,
    ram_mebibytes: u32,
    link: String,
    demos: Vec<Demo>,
    containers: Vec<Container>,
    /// Number of the container that is chosen.
    container: Option<usize>,
    /// Whether a folder can be picked.
    picks_folders: bool,
    /// The one that was picked, or how far it is.
    folder: Option<FolderEvent>,
    /// Whether the machine is to have a network; off until the person says otherwise.
    network: bool,
    /// The app can give a machine a network.
    has_network: bool,
    /// Where the app is, in a word.
    surroundings: &'static str,
}

impl StartPage {
    pub(crate) fn new(
        demos_json: &str,
        containers_json: &str,
        picks_folders: bool,
        surroundings: &'static str,
        has_network: bool,
    ) -> StartPage {
        // A site without demos is a site without demos.
        let mut demos: Vec<Demo> = serde_json::from_str(demos_json).unwrap_or_default();
        demos.truncate(DEMOS_MAX);
        let mut containers: Vec<Container> =
            serde_json::from_str(containers_json).unwrap_or_default();
        containers.truncate(CONTAINERS_MAX);
        StartPage {
            command: String::new(),
            ram_mebibytes: RAM_MEBIBYTES_DEFAULT,
            link: String::new(),
            demos,
            containers,
            container: None,
            picks_folders,
            folder: None,
            network: false,
            has_network,
            surroundings,
        }
    }

    /// Something has become of a folder. Returns the number of the one that it takes the place of.
    pub(crate) fn heard_folder(&mut self, event: FolderEvent) -> Option<u32> {
        let before = self.picked().map(|folder| folder.number);
        self.folder = Some(event);
        before
    }

    fn picked(&self) -> Option<&PickedFolder> {
        match &self.folder {
            Some(FolderEvent::Picked(folder)) => Some(folder),
            _ => None,
        }
    }

    /// Draws the page.
    pub(crate) fn show(&mut self, ui: &mut Ui) -> Option<StartEvent> {
        let mut event = None;
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            ui.vertical_centered(|ui| {
                ui.set_max_width(640.0);
                ui.with_layout(
                    egui::Layout::right_to_left(egui::Align::Min),
                    crate::app::theme_button,
                );
                ui.heading(RichText::new("Reprise").size(32.0));
                ui.label(format!(
                    "Boot Linux in this {}, let the bug happen, and go back in time to its cause.",
                    self.surroundings
                ));
                ui.add_space(16.0);
            });
            ui.vertical_centered(|ui| {
                ui.set_max_width(640.0);
                ui.with_layout(egui::Layout::top_down(egui::Align::LEFT), |ui| {
                    self.boot(ui, &mut event);
                    ui.add_space(12.0);
                    self.open(ui, &mut event);
                    ui.add_space(12.0);
                    self.demos(ui, &mut event);
                    ui.add_space(16.0);
                    ui.label(match self.network {
                        false => format!(
                            "Nothing leaves this {}: machines run in it, and files are opened in it.",
                            self.surroundings
                        ),
                        true => "A machine with the network sends what its programs ask for to the servers that they name; \
                                 nothing else leaves this tab."
                            .to_owned(),
                    });
                });
            });
        });
        event
    }

    fn boot(&mut self, ui: &mut Ui, event: &mut Option<StartEvent>) {
        ui.group(|ui| {
            ui.set_width(ui.available_width());
            ui.strong("A machine that is recorded from its first instruction on");
            self.choose_container(ui);
            self.choose_folder(ui, event);
            let mut is_entered = false;
            let hint = match (self.container, self.picked()) {
                (Some(_), _) => "none: the container's own",
                (None, Some(_)) => "none: a shell in the workspace",
                (None, None) => "none: a shell",
            };
            ui.horizontal_wrapped(|ui| {
                ui.label("Command");
                let field = ui.add(
                    TextEdit::singleline(&mut self.command)
                        .hint_text(hint)
                        .desired_width(260.0),
                );
                is_entered =
                    field.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
                field.accessible_name("command to run");
                ui.label("RAM in MiB");
                ui.name_inputs("RAM in MiB", |ui| {
                    ui.add(Slider::new(&mut self.ram_mebibytes, RAM_MEBIBYTES).logarithmic(true))
                });
                if self.has_network {
                    ui.checkbox(&mut self.network, "Network")
                        .on_hover_text(NETWORK_TIP);
                }
            });
            if ui.button(RichText::new("Boot Linux").strong()).clicked() || is_entered {
                let command = match self.command.trim() {
                    "" => Vec::new(),
                    line => ["sh", "-c", line].map(str::to_owned).to_vec(),
                };
                *event = Some(StartEvent::Boot {
                    command,
                    ram_mebibytes: self.ram_mebibytes,
                    container: self.chosen().map(|container| container.file.clone()),
                    folder: self.picked().map(|folder| folder.number),
                    // Each machine is given it anew.
                    network: std::mem::take(&mut self.network) && self.has_network,
                });
            }
        });
    }

    fn chosen(&self) -> Option<&Container> {
        self.containers.get(self.container?)
    }

    /// Where the site has containers: which of them it is.
    fn choose_container(&mut self, ui: &mut Ui) {
        if self.containers.is_empty() {
            return;
        }
        ui.horizontal_wrapped(|ui| {
            ui.label("In");
            let chosen = self.chosen();
            let title = chosen.map_or(DEFAULT_GUEST, |container| container.title.as_str());
            ComboBox::from_label("container")
                .selected_text(title.to_owned())
                .show_ui(ui, |ui| {
                    ui.selectable_value(&mut self.container, None, DEFAULT_GUEST);
                    for (number, container) in self.containers.iter().enumerate() {
                        ui.selectable_value(&mut self.container, Some(number), &container.title);
                    }
                });
            if let Some(container) = self.chosen() {
                ui.label(&container.text);
            }
        });
    }

    /// Where that can be done: a folder to work in.
    fn choose_folder(&mut self, ui: &mut Ui, event: &mut Option<StartEvent>) {
        if !self.picks_folders {
            return;
        }
        ui.horizontal_wrapped(|ui| {
            ui.label("Workspace").on_hover_text(FOLDER_TIP);
            match &self.folder {
                None => {
                    let pick = ui.button("Pick a folder…").on_hover_text(FOLDER_TIP);
                    if pick.clicked() {
                        *event = Some(StartEvent::PickFolder);
                    }
                    ui.label("or drop one here");
                    return;
                }
                Some(FolderEvent::Looking { file_count }) => {
                    ui.spinner();
                    let count = words::count(*file_count);
                    ui.label(format!("looking through the folder: {count} files"));
                }
                Some(FolderEvent::Picked(folder)) => {
                    ui.strong(&folder.name).on_hover_text(FOLDER_TIP);
                    let files = if folder.file_count == 1 {
                        "file"
                    } else {
                        "files"
                    };
                    ui.label(format!(
                        "{} {files}, {}",
                        words::count(folder.file_count),
                        words::bytes(folder.byte_len)
                    ));
                }
                Some(FolderEvent::Failed(why)) => {
                    ui.colored_label(ui.visuals().error_fg_color, why);
                }
            }
            let remove = ui
                .button("Remove")
                .on_hover_text("Boot without this folder");
            if remove.accessible_name("remove the folder").clicked() {
                let number = self.picked().map(|folder| folder.number);
                self.folder = None;
                *event = Some(StartEvent::ForgetFolder(number));
            }
        });
    }

    fn open(&mut self, ui: &mut Ui, event: &mut Option<StartEvent>) {
        ui.group(|ui| {
            ui.set_width(ui.available_width());
            ui.strong("A recording of somebody else");
            ui.horizontal_wrapped(|ui| {
                if ui.button("Open a file…").clicked() {
                    *event = Some(StartEvent::PickFile);
                }
                ui.label("or drop one here, or");
                let field = ui.add(
                    TextEdit::singleline(&mut self.link)
                        .hint_text("paste a link")
                        .desired_width(220.0),
                );
                let is_entered =
                    field.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
                field.accessible_name("link or address");
                if (ui.button("Open link").clicked() || is_entered) && !self.link.trim().is_empty()
                {
                    *event = Some(StartEvent::Open(self.link.trim().to_owned()));
                }
            });
        });
    }

    fn demos(&self, ui: &mut Ui, event: &mut Option<StartEvent>) {
        if self.demos.is_empty() {
            return;
        }
        ui.group(|ui| {
            ui.set_width(ui.available_width());
            ui.strong("Recorded bugs, to look around in");
            for demo in &self.demos {
                ui.horizontal_wrapped(|ui| {
                    if ui.button(&demo.title).clicked() {
                        *event = Some(StartEvent::Demo {
                            file: demo.file.clone(),
                            at: demo.at,
                        });
                    }
                    ui.label(&demo.text);
                });
            }
        });
    }
}
