//! A container image in a site: booted, recorded and replayed by the engine behind the page, and natively.

use super::super::container::{LARGE_BYTES, Place};
use super::*;
use std::path::PathBuf;

/// A folder with what `reprise convert` has made.
#[derive(Clone)]
pub(super) struct Site {
    folder: PathBuf,
    /// Parts that were fetched.
    part_count: usize,
    /// Parts that can be had.
    parts_max: usize,
}

impl Site {
    fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            part_count: 0,
            parts_max: usize::MAX,
        }
    }

    /// What a page would fetch of it.
    pub(super) fn fetch(&mut self, want: &Want) -> Option<Result<Vec<u8>, String>> {
        let read = |name: String| std::fs::read(self.folder.join(name)).ok();
        match want {
            Want::Container { file } => read(file.clone()).map(Ok),
            Want::ImageTree { hash, .. } => read(format!("images/{hash}.tree")).map(Ok),
            Want::ImagePart {
                hash,
                offset,
                length,
                ..
            } => {
                self.part_count += 1;
                if self.part_count > self.parts_max {
                    return Some(Err("the server does not answer".to_owned()));
                }
                let image = read(format!("images/{hash}"))?;
                Some(Ok(image[*offset as usize..][..*length as usize].to_vec()))
            }
            _ => None,
        }
    }
}

fn boot_in(file: &str, command: &[&str]) -> Command {
    match boot(command) {
        Command::Boot(boot) => Command::Boot(Boot {
            container: Some(file.to_owned()),
            ..boot
        }),
        _ => unreachable!(),
    }
}

impl Page {
    pub(super) fn of(site: &Site) -> Self {
        let mut page = Self::new();
        page.site = Some(site.clone());
        page
    }

    /// Lets a live machine run until it has stopped for good.
    pub(super) fn wait_for_halt(&mut self) {
        let is_halt = |message: &Message| matches!(message, Message::Halted { .. });
        while !self.messages.iter().any(is_halt) {
            self.turn();
        }
    }
}

/// A site with a container, and the container's file.
pub(super) fn converted(place: &Place) -> (Site, String) {
    std::fs::create_dir(place.path("page")).unwrap();
    std::fs::write(place.path("page/site.json"), "{}").unwrap();
    let image = place.image();
    let arguments = ["convert", &image, "-o", "site", "--site", "page"];
    let more = ["--title", "A box", "-e", "MODE=page", "--hostname", "box"];
    let convert = || place.reprise(&[&arguments[..], &more].concat()).expect(0);
    let list = || {
        let list = std::fs::read(place.path("site/containers.json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&list).unwrap()
    };
    convert();
    let listed = list();
    assert_eq!(listed[0]["title"], "A box");
    assert_eq!(listed[0]["text"], "/bin/sh -c cat /etc/motd");
    assert!(place.path("site/site.json").is_file(), "the page is in it");
    // The same again changes nothing, and what is no site is left alone.
    convert();
    assert_eq!(list(), listed);
    for folder in ["other/", "empty/"] {
        std::fs::create_dir_all(place.path("empty")).unwrap();
        let made = ["convert", &image, "-o", folder, "--site", "page"];
        place.reprise(&made).expect(0);
        let listed = place.path(folder).join("containers.json");
        assert!(listed.is_file() && place.path(folder).join("site.json").is_file());
    }
    let refused = place.reprise(&["convert", &image, "-o", "cache"]).expect(2);
    let why = refused.stderr;
    assert!(why.contains("no site and not empty"), "{why}");
    let file = listed[0]["file"].as_str().unwrap().to_owned();
    (Site::new(place.path("site")), file)
}

#[test]
fn a_container_of_a_site_is_booted_and_recorded_on_the_page() {
    let place = Place::new();
    let (site, file) = converted(&place);
    let mut page = Page::of(&site);
    let gone = page.ask(boot_in("containers/gone.json", &[]));
    assert_eq!(
        gone,
        Err("containers/gone.json: not found (404)".to_owned())
    );
    page.order(boot_in(&file, &[]));
    page.wait_for("the image's own command");
    let before = page.site.as_ref().unwrap().part_count;
    assert!((1..LARGE_BYTES >> 20).contains(&before), "{before} parts");

    // It waits for each part that it reads, and goes on where it was.
    let script = "id -un; echo $HOSTNAME; echo $MODE; pwd; cat /srv/large > /dev/null; echo kept > new; cat new";
    page.wait_for_halt();
    page.messages.clear();
    page.order(boot_in(&file, &["/bin/sh", "-c", script]));
    page.wait_for_halt();
    let console = String::from_utf8_lossy(&page.console).into_owned();
    let lines = ["app", "box", "page", "/srv/work", "kept"];
    assert!(lines.iter().all(|line| console.contains(line)), "{console}");
    let parts = page.site.as_ref().unwrap().part_count;
    assert!(parts >= LARGE_BYTES >> 20, "{parts} parts");
    page.order(Command::Pause);
    page.order(Command::Save {
        embeds_images: false,
    });
    std::fs::write(place.path("page.rpt"), page.trace()).unwrap();
    let native = place.reprise(&["replay", "page.rpt"]).expect(0);
    let mut other = Page::of(&site);
    other.order(Command::Open(TraceSource::Bytes(page.trace())));
    other.order(Command::Index);
    assert_eq!(other.verified(), native.end());
}

#[test]
fn a_recording_whose_disk_cannot_be_read_on_ends_and_keeps_its_past() {
    let place = Place::new();
    let (mut site, file) = converted(&place);
    site.parts_max = 4;
    let mut page = Page::of(&site);
    page.order(boot_in(&file, &["/bin/sh", "-c", "cat /srv/large"]));
    page.wait_for_halt();
    let why = page.last(|message| match message {
        Message::Failed { id: 0, message, .. } => Some(message.clone()),
        _ => None,
    });
    assert!(
        why.contains("the recording has ended") && why.contains("does not answer"),
        "{why}"
    );
    page.order(Command::Pause);
    let end = page.position().icount;
    assert!(end > 10_000_000, "{end}");
    page.order(Command::Seek(Target::Icount(end / 2)));
    page.order(Command::Save {
        embeds_images: false,
    });
    std::fs::write(place.path("page.rpt"), page.trace()).unwrap();
    let native = place.reprise(&["replay", "page.rpt"]).expect(0);
    assert!(native.end().starts_with(&format!("icount={end} ")));
}
