//! The start page: boot, open, demos.

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
    },
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
    /// Where the app is, in a word.
    surroundings: &'static str,
}

impl StartPage {
    pub(crate) fn new(
        demos_json: &str,
        containers_json: &str,
        surroundings: &'static str,
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
            surroundings,
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
                    ui.label(format!(
                        "Nothing leaves this {}: machines run in it, and files are opened in it.",
                        self.surroundings
                    ));
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
            let mut is_entered = false;
            let hint = match self.container {
                Some(_) => "none: the container's own",
                None => "none: a shell",
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
