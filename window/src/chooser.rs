//! Picks a file: the folders and traces of this computer, and a field for a path.

use egui::{Id, Key, Modal, ScrollArea, TextEdit, Ui};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// Entries of a folder that are looked at.
const ENTRIES_MAX: usize = 20_000;
/// How the names of traces end.
const TRACE_EXTENSION: &str = "rpt";

/// What came of it.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Choice {
    File(PathBuf),
    Nothing,
}

/// A folder, and a path that somebody types.
pub(crate) struct Chooser {
    folder: PathBuf,
    folders: Vec<String>,
    traces: Vec<String>,
    /// Why there is nothing in it.
    failure: Option<String>,
    typed: String,
}

impl Chooser {
    /// In the current folder.
    pub(crate) fn new() -> Self {
        Self::at(env::current_dir().unwrap_or_else(|_| PathBuf::from("/")))
    }

    fn at(folder: PathBuf) -> Self {
        let mut chooser = Self {
            folder,
            folders: Vec::new(),
            traces: Vec::new(),
            failure: None,
            typed: String::new(),
        };
        match fs::read_dir(&chooser.folder) {
            Ok(entries) => {
                for entry in entries.take(ENTRIES_MAX).flatten() {
                    chooser.take(&entry.path());
                }
            }
            Err(error) => chooser.failure = Some(format!("This folder cannot be read: {error}")),
        }
        chooser.folders.sort();
        chooser.traces.sort();
        chooser
    }

    /// Lists a folder or a trace. A name that is no text can still be typed in part and dropped as a file.
    fn take(&mut self, path: &Path) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return;
        };
        let is_trace = path.extension().is_some_and(|end| end == TRACE_EXTENSION);
        if name.starts_with('.') {
            return;
        }
        if path.is_dir() {
            self.folders.push(name.to_owned());
        } else if is_trace {
            self.traces.push(name.to_owned());
        }
    }

    /// Draws it on top of everything. What was chosen, once something was.
    pub(crate) fn show(&mut self, ui: &Ui) -> Option<Choice> {
        let response = Modal::new(Id::unique("chooser")).show(ui.ctx(), |ui| {
            ui.set_width(520.0);
            ui.heading("Open a recording");
            ui.monospace(self.folder.display().to_string());
            let opened = self.list(ui);
            ui.separator();
            let typed = self.field(ui);
            opened.or(typed)
        });
        let is_left = response.should_close();
        let chosen = match response.inner {
            Some(Choice::File(path)) if path.is_dir() => {
                *self = Self::at(path);
                None
            }
            choice => choice,
        };
        if chosen.is_none() && is_left {
            return Some(Choice::Nothing);
        }
        chosen
    }

    fn list(&self, ui: &mut Ui) -> Option<Choice> {
        let mut choice = None;
        let mut entry = |ui: &mut Ui, name: &str, path: PathBuf| {
            if ui.selectable_label(false, name).clicked() {
                choice = Some(Choice::File(path));
            }
        };
        ScrollArea::vertical()
            .max_height(280.0)
            .auto_shrink(false)
            .show(ui, |ui| {
                if let Some(parent) = self.folder.parent() {
                    entry(ui, "../", parent.to_owned());
                }
                for name in &self.folders {
                    entry(ui, &format!("{name}/"), self.folder.join(name));
                }
                for name in &self.traces {
                    entry(ui, name, self.folder.join(name));
                }
                if let Some(failure) = &self.failure {
                    ui.label(failure);
                } else if self.traces.is_empty() {
                    ui.weak(format!("There is no .{TRACE_EXTENSION} file here."));
                }
            });
        choice
    }

    fn field(&mut self, ui: &mut Ui) -> Option<Choice> {
        let mut choice = None;
        ui.horizontal(|ui| {
            let field = TextEdit::singleline(&mut self.typed)
                .hint_text("or type a path")
                .desired_width(300.0);
            let field = ui.add(field);
            let is_entered = field.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
            if (ui.button("Open").clicked() || is_entered) && !self.typed.trim().is_empty() {
                // A path that is whole stays as it is.
                choice = Some(Choice::File(self.folder.join(self.typed.trim())));
            }
            if ui.button("Cancel").clicked() {
                choice = Some(Choice::Nothing);
            }
        });
        choice
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lists_folders_and_traces() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.rpt", "a.rpt", "notes.txt", ".hidden.rpt"] {
            fs::write(folder.path().join(name), b"").unwrap();
        }
        fs::create_dir(folder.path().join("more")).unwrap();
        let chooser = Chooser::at(folder.path().to_owned());
        assert_eq!(chooser.folders, ["more"]);
        assert_eq!(chooser.traces, ["a.rpt", "b.rpt"]);
        assert_eq!(chooser.failure, None);
        let gone = Chooser::at(folder.path().join("gone"));
        assert!(gone.failure.is_some());
    }
}
