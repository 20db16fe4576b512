//! A container image in a site: booted, recorded and replayed by the engine behind the page, and natively.

use super::super::container::Place;
use super::*;
use std::path::PathBuf;

/// A folder with what `reprise convert` has made.
pub(super) struct Site(PathBuf);

impl Site {
    /// What a page would fetch of it; a compressed image is handed to the engine as it is decompressed.
    pub(super) fn fetch(&self, want: &Want) -> Option<Result<Vec<u8>, String>> {
        let path = match want {
            Want::Container { file } => self.0.join(file),
            Want::Image { hash, .. } => self.0.join(format!("images/{hash}.gz")),
            _ => return None,
        };
        let bytes = std::fs::read(&path).ok()?;
        if matches!(want, Want::Container { .. }) {
            return Some(Ok(bytes));
        }
        let mut gzip = std::process::Command::new("gzip");
        Some(Ok(gzip.arg("-dc").arg(path).output().unwrap().stdout))
    }
}

#[test]
fn a_container_of_a_site_is_booted_and_recorded_on_the_page() {
    let place = Place::new();
    let image = place.image();
    std::fs::create_dir(place.path("page")).unwrap();
    std::fs::write(place.path("page/site.json"), "{}").unwrap();
    let arguments = ["convert", &image, "-o", "site", "--site", "page"];
    let more = ["--title", "A box", "-e", "MODE=page", "--hostname", "box"];
    place.reprise(&[&arguments[..], &more].concat()).expect(0);
    let site = place.path("site");
    assert!(site.join("site.json").is_file(), "the page is in it");
    let list = std::fs::read(site.join("containers.json")).unwrap();
    let list: serde_json::Value = serde_json::from_slice(&list).unwrap();
    assert_eq!(list[0]["title"], "A box");
    assert_eq!(list[0]["text"], "/bin/sh -c cat /etc/motd");
    let file = list[0]["file"].as_str().unwrap().to_owned();
    // The same again changes nothing, and what is no site is left alone.
    place.reprise(&[&arguments[..], &more].concat()).expect(0);
    let again = std::fs::read(site.join("containers.json")).unwrap();
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&again).unwrap(),
        list
    );
    let refused = place.reprise(&["convert", &image, "-o", "cache"]).expect(2);
    assert!(
        refused.stderr.contains("no site and not empty"),
        "{}",
        refused.stderr
    );

    let boot = |command: &[&str], file: &str| match boot(command) {
        Command::Boot(boot) => Command::Boot(Boot {
            container: Some(file.to_owned()),
            ..boot
        }),
        _ => unreachable!(),
    };
    let mut page = Page::new();
    page.site = Some(Site(site.clone()));
    let gone = page.ask(boot(&[], "containers/gone.json"));
    assert_eq!(
        gone,
        Err("containers/gone.json: not found (404)".to_owned())
    );
    page.order(boot(&[], &file));
    page.wait_for("the image's own command");
    let script = "id -un; hostname; echo $MODE; pwd; echo kept > new; cat new";
    page.order(boot(&["/bin/sh", "-c", script], &file));
    page.wait_for("kept");
    let console = String::from_utf8_lossy(&page.console).into_owned();
    let lines = ["app", "page", "/srv/work", "kept"];
    assert!(lines.iter().all(|line| console.contains(line)), "{console}");
    while !(page.messages.iter()).any(|message| matches!(message, Message::Halted { .. })) {
        page.turn();
    }
    page.order(Command::Pause);
    page.order(Command::Save {
        embeds_images: false,
    });
    std::fs::write(place.path("page.rpt"), page.trace()).unwrap();
    let native = place.reprise(&["replay", "page.rpt"]).expect(0);
    let mut other = Page::new();
    other.site = Some(Site(site));
    other.order(Command::Open(TraceSource::Bytes(page.trace())));
    other.order(Command::Index);
    assert_eq!(other.verified(), native.end());
}
