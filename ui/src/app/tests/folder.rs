//! A folder to work in, on the start page; and what was changed in it.

use super::*;
use crate::host::{FolderEvent, PickedFolder};

fn folder(number: u32) -> FolderEvent {
    FolderEvent::Picked(PickedFolder {
        number,
        name: "project".to_owned(),
        file_count: 1234,
        byte_len: 5 << 20,
    })
}

fn page() -> Page {
    let host = Nowhere {
        picks_folders: true,
        ..Nowhere::default()
    };
    Page::with_host(host)
}

impl Page {
    fn hears_of_folder(&mut self, event: FolderEvent) {
        self.host.folder.replace(Some(event));
        self.frames();
    }

    fn folders_asked(&self) -> Vec<String> {
        self.host.folder_asked.take()
    }

    fn folder_booted(&mut self) -> Option<u32> {
        self.harness.get_by_label("Boot Linux").click();
        self.frames();
        let mut booted = None;
        self.asked(|command| match command {
            Command::Boot(boot) => {
                booted = Some(boot.folder);
                true
            }
            _ => false,
        });
        booted.flatten()
    }
}

impl Page {
    fn says(&self, text: &str) -> bool {
        self.harness.query_by_label_contains(text).is_some()
    }
}

#[test]
fn a_folder_is_picked_shown_and_given_to_the_machine() {
    let mut page = page();
    page.harness.get_by_label("Pick a folder…").click();
    page.frames();
    assert_eq!(page.folders_asked(), ["pick"]);
    page.hears_of_folder(FolderEvent::Looking { file_count: 500 });
    assert!(page.says("looking through the folder: 500 files"));
    page.hears_of_folder(folder(3));
    assert!(page.says("project") && page.says("1\u{a0}234 files"));
    // Another one takes its place.
    page.hears_of_folder(folder(4));
    assert_eq!(page.folders_asked(), ["forget Some(3)"]);
    assert_eq!(page.folder_booted(), Some(4));
}

#[test]
fn a_folder_is_removed_or_cannot_be_had() {
    let mut page = page();
    page.hears_of_folder(folder(3));
    page.harness.get_by_label("remove the folder").click();
    page.frames();
    assert_eq!(page.folders_asked(), ["forget Some(3)"]);
    assert!(!page.says("project"));
    page.hears_of_folder(FolderEvent::Failed("it has gone".to_owned()));
    assert!(page.says("it has gone"));
    assert_eq!(page.folder_booted(), None);

    // Where there is no way to pick one, nothing is said of it.
    assert!(!Page::new().says("Workspace"));
    // A machine that runs already has what it works in.
    let mut page = Page::with_recording();
    page.hears_of_folder(folder(5));
    assert_eq!(page.folders_asked(), ["forget Some(5)"]);
    assert!(page.says("on the start page"));
}

#[test]
fn what_was_changed_is_saved_beside_the_recording() {
    let mut page = Page::with_recording();
    page.harness.get_by_label("Share").click();
    page.frames();
    assert!(!page.says("Save changed files"), "there is no workspace");

    let mut page = Page::with(Recording {
        has_workspace: true,
        ..recording(false)
    });
    page.harness.get_by_label("Share").click();
    page.frames();
    page.harness.get_by_label("Save changed files").click();
    page.frames();
    let id = page.asked(|command| *command == Command::SaveFiles);
    page.main_says([
        Message::Files {
            id,
            bytes: b"archive".to_vec(),
            told: "2 files; removed: old".to_owned(),
        },
        Message::Done { id },
    ]);
    assert!(page.says("2 files; removed: old"));
    let saved = page.host.saved.take();
    assert_eq!(saved.len(), 1);
    assert_eq!(saved[0].name, "changed.tar");
    // What cannot be read is told.
    page.main_says([
        Message::Notice("a has changed".to_owned()),
        Message::Notice("b has changed".to_owned()),
    ]);
    assert!(page.says("a has changed\nb has changed"));
}
