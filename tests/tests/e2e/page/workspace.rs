//! Recordings of a workspace and of a network on the page, where there are none; and a folder that is picked there.

use super::super::container::Place;
use super::super::workspace::Desk;
use super::container::converted;
use super::*;
use reprise_host::workspace::{PickedEntry, PickedKind};
use reprise_worker::protocol::InputKind;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// The number that a folder got when it was picked.
const NUMBER: u32 = 3;

/// A folder that the person has picked.
pub(super) struct Folder {
    path: PathBuf,
    entries: Vec<PickedEntry>,
}

impl Folder {
    fn new(path: PathBuf) -> Self {
        let mut entries = Vec::new();
        let mut waiting = vec![PathBuf::new()];
        while let Some(folder) = waiting.pop() {
            for child in fs::read_dir(path.join(&folder)).unwrap() {
                let child = child.unwrap();
                let below = folder.join(child.file_name());
                let metadata = child.metadata().unwrap();
                let name = below.to_str().unwrap().to_owned();
                let kind = if metadata.is_dir() {
                    waiting.push(below);
                    PickedKind::Directory
                } else if fs::read(child.path()).unwrap().starts_with(b"#!") {
                    PickedKind::Program
                } else {
                    PickedKind::File
                };
                entries.push(PickedEntry(name, kind, metadata.len(), 1_600_000_000));
            }
        }
        Self { path, entries }
    }

    /// What a page's script would read of it.
    pub(super) fn fetch(&self, want: &Want) -> Option<Result<Vec<u8>, String>> {
        Some(match want {
            Want::Folder { number: NUMBER } => Ok(serde_json::to_vec(&self.entries).unwrap()),
            Want::Folder { .. } => Err("the folder is no longer there".to_owned()),
            Want::FilePart {
                folder: NUMBER,
                file,
                offset,
                length,
            } => {
                let name = &self.entries[*file as usize].0;
                let mut bytes = vec![0; *length as usize];
                let file = fs::File::open(self.path.join(name));
                let read = file.and_then(|file| file.read_exact_at(&mut bytes, *offset));
                read.map(|()| bytes)
                    .map_err(|_| "has changed since the folder was picked".to_owned())
            }
            _ => return None,
        })
    }
}

fn boot_with_folder(command: &[&str], container: Option<&str>) -> Command {
    match boot(command) {
        Command::Boot(boot) => Command::Boot(Boot {
            folder: Some(NUMBER),
            container: container.map(str::to_owned),
            ..boot
        }),
        _ => unreachable!(),
    }
}

impl Page {
    fn with_folder(path: PathBuf) -> Self {
        let mut page = Self::new();
        page.folder = Some(Folder::new(path));
        page
    }

    /// The archive with what was changed, and what is told of it.
    fn files(&mut self) -> (Vec<u8>, String) {
        self.order(Command::SaveFiles);
        self.last(|message| match message {
            Message::Files { bytes, told, .. } => Some((bytes.clone(), told.clone())),
            _ => None,
        })
    }

    fn notices(&self) -> Vec<String> {
        let notices = self.messages.iter().filter_map(|message| match message {
            Message::Notice(text) => Some(text.clone()),
            _ => None,
        });
        notices.collect()
    }
}

/// Unpacks an archive with the system's tar.
fn unpack(desk: &Desk, archive: &[u8]) -> PathBuf {
    fs::write(desk.path("changed.tar"), archive).unwrap();
    let into = desk.path("unpacked");
    let _ = fs::remove_dir_all(&into);
    fs::create_dir(&into).unwrap();
    let unpacked = std::process::Command::new("tar")
        .args(["-xf", "changed.tar", "-C", "unpacked"])
        .current_dir(desk.path("."))
        .status();
    assert!(unpacked.unwrap().success());
    into
}

fn furnish(desk: &Desk) {
    fs::create_dir_all(desk.path("w/src/empty")).unwrap();
    fs::write(desk.path("w/note"), "from the folder\n").unwrap();
    fs::write(desk.path("w/gone"), "to be removed\n").unwrap();
    fs::write(desk.path("w/src/run.sh"), "#!/bin/sh\necho ran in $PWD\n").unwrap();
    let lines: String = (0..60_000).map(|line| format!("line {line}\n")).collect();
    fs::write(desk.path("w/log"), lines).unwrap();
}

#[test]
fn a_picked_folder_is_worked_in_and_what_was_changed_is_saved() {
    let desk = Desk::new();
    furnish(&desk);
    let mut page = Page::with_folder(desk.path("w"));
    page.order(boot_with_folder(&[], None));
    assert!(page.recording().has_workspace);
    page.wait_for("# ");
    page.order(Command::Type(
        b"pwd; cat note; src/run.sh; ls -ld note src src/empty src/run.sh\n".to_vec(),
    ));
    page.wait_for("-rwxr-xr-x");
    let console = String::from_utf8_lossy(&page.console).into_owned();
    for text in [
        "\n/workspace\r\n",
        "from the folder",
        "ran in /workspace",
        "-rw-r--r--",
        "-rwxr-xr-x",
    ] {
        assert!(console.contains(text), "{text} in {console}");
    }
    page.order(Command::Pause);
    assert!(page.files().0.is_empty());
    let before = page.position().icount;

    // It goes on after a look at the past.
    page.order(Command::Resume);
    page.order(Command::Type(
        b"mkdir out; echo new > out/a; echo more >> log; chmod 600 note; mv src/run.sh run; rm gone; sync; echo do''ne\n"
            .to_vec(),
    ));
    page.wait_for("done");
    page.order(Command::Pause);
    let (archive, told) = page.files();
    assert!(told.starts_with("5 files"), "{told}");
    assert!(told.contains("removed: gone, src/run.sh"), "{told}");
    let unpacked = unpack(&desk, &archive);
    let read = |name: &str| fs::read_to_string(unpacked.join(name)).unwrap();
    assert_eq!(read("out/a"), "new\n");
    assert_eq!(read("note"), "from the folder\n");
    assert!(read("run").contains("echo ran"));
    // The guest has read no more of it than its end.
    let log = fs::read_to_string(desk.path("w/log")).unwrap() + "more\n";
    assert!(read("log") == log, "{} bytes", read("log").len());
    assert!(!unpacked.join("src").exists());
    assert_eq!(
        fs::read_to_string(desk.path("w/note")).unwrap(),
        "from the folder\n"
    );
    assert!(desk.path("w/gone").exists() && !desk.path("w/out").exists());
    page.order(Command::Seek(Target::Icount(before)));
    assert!(page.files().0.is_empty());
    page.order(Command::Seek(Target::End));

    // The recording needs no folder.
    page.order(Command::Save {
        embeds_images: false,
    });
    fs::write(desk.path("page.rpt"), page.trace()).unwrap();
    fs::rename(desk.path("w"), desk.path("elsewhere")).unwrap();
    let native = desk.reprise(&["replay", "page.rpt"]).expect(0);
    let mut other = Page::new();
    other.order(Command::Open(TraceSource::Bytes(page.packed())));
    assert!(other.recording().has_workspace);
    other.order(Command::Index);
    assert_eq!(other.verified(), native.end());
    other.order(Command::Seek(Target::End));
    let (archive, told) = other.files();
    assert!(
        told.starts_with("4 files") && told.contains("left out: log ("),
        "{told}"
    );
    assert!(unpack(&desk, &archive).join("out/a").is_file());
    // So does the command line.
    let saved = desk
        .reprise(&["files", "page.rpt", "-o", "native.tar"])
        .expect(0);
    assert!(saved.stderr.contains(&told), "{}", saved.stderr);
    assert!(fs::read(desk.path("native.tar")).unwrap() == archive);
}

#[test]
fn a_file_that_has_changed_cannot_be_read_and_is_told_of_once() {
    let desk = Desk::new();
    furnish(&desk);
    let mut page = Page::with_folder(desk.path("w"));
    fs::write(desk.path("w/note"), "").unwrap();
    fs::remove_file(desk.path("w/log")).unwrap();
    page.order(boot_with_folder(
        &["sh", "-c", "cat note log log; cat gone"],
        None,
    ));
    page.wait_for_halt();
    let console = String::from_utf8_lossy(&page.console).into_owned();
    assert_eq!(
        console.matches("Input/output error").count(),
        3,
        "{console}"
    );
    assert!(console.contains("to be removed"), "{console}");
    let told =
        "has changed since the folder was picked: the guest gets an input/output error for it";
    assert_eq!(
        page.notices(),
        [format!("note {told}"), format!("log {told}")]
    );

    let mut page = Page::new();
    let refused = page.ask(boot_with_folder(&[], None));
    assert_eq!(refused, Err("no folder was picked".to_owned()));
    page.order(boot(&["true"]));
    page.wait_for_halt();
    page.order(Command::Pause);
    let refused = page.ask(Command::SaveFiles);
    assert_eq!(refused, Err("this machine has no workspace".to_owned()));
}

#[test]
fn a_container_of_the_site_works_in_a_picked_folder() {
    let place = Place::new();
    let (site, file) = converted(&place);
    let desk = Desk::new();
    furnish(&desk);
    let mut page = Page::of(&site);
    page.folder = Some(Folder::new(desk.path("w")));
    let command = ["/bin/sh", "-c", "pwd; echo $MODE; cat note"];
    page.order(boot_with_folder(&command, Some(&file)));
    page.wait_for_halt();
    let console = String::from_utf8_lossy(&page.console).into_owned();
    for text in ["/workspace", "page", "from the folder"] {
        assert!(console.contains(text), "{text} in {console}");
    }
}

#[test]
fn a_workspace_replays_on_the_page_and_can_be_shared_from_there() {
    let desk = Desk::new();
    std::fs::write(desk.path("w/note"), "from the workspace\n").unwrap();
    let recorded = desk
        .record("w", "cat note; echo more >> note; cat note")
        .expect(0);
    std::fs::remove_dir_all(desk.path("w")).unwrap();

    let mut page = Page::new();
    page.open(&desk.path("trace.rpt"));
    let inputs = page.recording().inputs;
    let read = InputKind::File {
        path: "note".to_owned(),
        offset: 0,
        byte_len: Some(19),
    };
    assert!(inputs.iter().any(|input| input.kind == read), "{inputs:?}");
    page.order(Command::Index);
    assert_eq!(page.verified(), recorded.end());
    page.order(Command::Seek(Target::End));
    page.order(Command::Seek(Target::Icount(0)));

    // What is shared holds what it takes, in either form.
    page.order(Command::Save {
        embeds_images: true,
    });
    std::fs::write(desk.path("trace.rpt"), page.trace()).unwrap();
    let replayed = desk.reprise(&["replay", "trace.rpt"]).expect(0);
    assert_eq!(recorded.end(), replayed.end());
    page.order(Command::Save {
        embeds_images: false,
    });
    let mut other = Page::new();
    other.order(Command::Open(TraceSource::Bytes(page.packed())));
    other.order(Command::Index);
    assert_eq!(other.verified(), recorded.end());
}

#[test]
fn a_recording_of_a_network_replays_on_the_page() {
    let desk = Desk::new();
    // Nobody listens there: the gateway's answers are frames as well.
    let arguments = ["record", "--net", "-o", "trace.rpt", "--"];
    let command = ["wget", "-qO-", "http://10.0.2.2:1/"];
    let recorded = desk.reprise(&[&arguments[..], &command].concat()).expect(1);
    let mut page = Page::new();
    page.open(&desk.path("trace.rpt"));
    let is_frame = |input: &Input| matches!(input.kind, InputKind::Frame { .. });
    assert!(page.recording().inputs.iter().any(is_frame));
    page.order(Command::Index);
    assert_eq!(page.verified(), recorded.end());
}
