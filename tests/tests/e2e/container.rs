//! Containers: an image made here of the default guest's busybox, recorded and replayed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::support::{
    Finished, file_of_initrd, finish, folder, guest, replay_in_node_with, reprise,
};
use layout::Layout;
use reprise_host::Digest;
use std::fs;
use std::path::{Path, PathBuf};
use tar_builder::{Member, TarBuilder};
use tempfile::TempDir;

#[allow(dead_code, reason = "the tests of reprise-host use the rest")]
#[path = "../../../host/tests/support/layout.rs"]
mod layout;
#[allow(dead_code, reason = "the tests of reprise-host use the rest")]
#[path = "../../../host/tests/support/tar_builder.rs"]
mod tar_builder;

/// What the image says about running it.
const RUN: &str = r#"{
    "Entrypoint": ["/bin/sh", "-c"], "Cmd": ["cat /etc/motd"],
    "Env": ["PATH=/bin", "GREETING=hello from the image", "MODE=plain"],
    "WorkingDir": "/srv/work", "User": "app"}"#;

/// An image in a folder, and a cache in which there is nothing but where the guest is.
pub(super) struct Place {
    folder: TempDir,
}

impl Place {
    pub(super) fn new() -> Self {
        Self::with_programs(&[])
    }

    /// An image that has some programs more.
    pub(super) fn with_programs(programs: &[(&str, &[u8])]) -> Self {
        let place = Self { folder: folder() };
        write_layout(&layout("riscv64", programs), &place.path("layout"));
        fs::create_dir_all(place.path("cache/guest")).unwrap();
        let guest = guest().canonicalize().unwrap();
        fs::write(
            place.path("cache/guest/current"),
            guest.as_os_str().as_encoded_bytes(),
        )
        .unwrap();
        place
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn image(&self) -> String {
        format!("oci:{}:latest", self.path("layout").display())
    }

    pub(super) fn reprise(&self, arguments: &[&str]) -> Finished {
        let mut command = reprise();
        command
            .current_dir(self.folder.path())
            .env("REPRISE_CACHE", self.path("cache"));
        finish(command.args(arguments))
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        let image = self.image();
        let always = ["run", "--seed", "5", "--image", &image];
        self.reprise(&[&always, arguments].concat())
    }

    /// Fails unless this is refused before anything runs, by a sentence with these words.
    #[track_caller]
    fn check_refused(&self, image: &str, words: &str) {
        let refused = self
            .reprise(&["run", "--quiet", "--image", image])
            .expect(2);
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
        assert_eq!(refused.stderr.lines().count(), 1, "{}", refused.stderr);
    }
}

/// Bytes of a file that makes the root image one that a page reads in parts.
pub(super) const LARGE_BYTES: usize = 8 << 20;

/// Bytes that do not compress, always the same.
pub(super) fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005);
        state = state.wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// The image's trusted certificates, which nothing reads.
pub(super) const BUNDLE: &str = "certificates of the image's";

/// Two layers: the second removes a file, empties a folder before it fills it, and brings the user's own folder.
fn layout(architecture: &str, programs: &[(&str, &[u8])]) -> Layout {
    let busybox = file_of_initrd("bin/busybox");
    let large = noise(LARGE_BYTES);
    let mut lower = TarBuilder::default();
    for (path, content, mode) in [
        ("bin/busybox", &busybox[..], 0o755),
        ("bin/locked", b"#!/bin/sh\n", 0o644),
        ("bin/lost", b"#!/bin/interpreter\n", 0o755),
        (
            "etc/passwd",
            b"root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n",
            0o644,
        ),
        (
            "etc/group",
            b"root:x:0:\napp:x:1001:\nlog:x:50:x,app\n",
            0o644,
        ),
        ("etc/motd", b"the image's own command\n", 0o644),
        ("gone", b"removed by the layer above\n", 0o644),
        ("data/old", b"hidden by the layer above\n", 0o644),
        (
            "etc/ssl/certs/ca-certificates.crt",
            BUNDLE.as_bytes(),
            0o644,
        ),
        ("srv/large", &large, 0o644),
    ] {
        lower.add(&Member {
            content,
            mode,
            ..Member::new(path, b'0')
        });
    }
    for (path, content) in programs {
        lower.add(&Member {
            content,
            mode: 0o755,
            ..Member::new(path, b'0')
        });
    }
    for name in ["sh", "cat", "id", "ls", "sleep", "stat", "tty"] {
        lower.add(&Member {
            target: b"busybox",
            ..Member::new(&format!("bin/{name}"), b'2')
        });
    }
    lower.add(&Member {
        target: b"certs/ca-certificates.crt",
        ..Member::new("etc/ssl/cert.pem", b'2')
    });
    let mut upper = TarBuilder::default();
    upper.add(&Member::new(".wh.gone", b'0'));
    upper.add(&Member::new("data/.wh..wh..opq", b'0'));
    upper.add(&Member {
        content: b"new\n",
        ..Member::new("data/new", b'0')
    });
    upper.add(&Member {
        uid: 1000,
        gid: 1001,
        ..Member::new("srv/work", b'5')
    });
    let layers = [lower.finish(), upper.finish()];

    let diff_ids: Vec<String> = (layers.iter())
        .map(|layer| format!("\"{}\"", Digest::of(layer)))
        .collect();
    let config = format!(
        r#"{{"architecture":"{architecture}","os":"linux","config":{RUN},
            "rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        diff_ids.join(",")
    );
    let mut layout = Layout::default();
    let config = layout.blob(
        "application/vnd.oci.image.config.v1+json",
        "",
        config.as_bytes(),
    );
    let layers: Vec<String> = (layers.iter())
        .map(|layer| layout.blob("application/vnd.oci.image.layer.v1.tar", "", layer))
        .collect();
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{config},"layers":[{}]}}"#,
        layers.join(",")
    );
    let name = r#","annotations":{"org.opencontainers.image.ref.name":"latest"}"#;
    let manifest = layout.blob(
        "application/vnd.oci.image.manifest.v1+json",
        name,
        manifest.as_bytes(),
    );
    layout.with_index(&[manifest])
}

fn write_layout(layout: &Layout, folder: &Path) {
    for (path, content) in &layout.files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// Lines as a terminal prints them.
fn lines(finished: &Finished) -> Vec<&str> {
    finished.stdout.lines().map(str::trim_end).collect()
}

#[test]
fn a_container_is_recorded_and_replayed() {
    let place = Place::new();
    let image = place.image();
    fs::write(place.path("note"), "from the host\n").unwrap();
    let script = "id; echo $HOSTNAME, $GREETING, $MODE, $HOME, $PATH; cat /proc/sys/kernel/hostname /etc/hostname
        pwd; echo /data/*; ls -d /gone; cat /opt/note; echo written > new; cat new; stat -c %u:%g new
        echo no > /etc/motd; tty; echo $$; exit 7";
    let record = |trace| {
        let arguments = ["record", "--seed", "5", "-o", trace, "--image", &image];
        let more = [
            "-e",
            "MODE=loud",
            "--hostname",
            "box",
            "--add",
            "note:/opt/note",
            "--",
            script,
        ];
        place.reprise(&[&arguments[..], &more].concat()).expect(7)
    };
    let recorded = record("trace.rpt");
    let expected = "\
uid=1000(app) gid=1001(app) groups=50(log),1001(app)
box, hello from the image, loud, /home/app, /bin
box
box
/srv/work
/data/new
ls: /gone: No such file or directory
from the host
written
1000:1001
/bin/sh: can't create /etc/motd: Permission denied
/dev/console
2";
    assert_eq!(lines(&recorded).join("\n"), expected);
    let making = "making a root image";
    assert!(recorded.stderr.contains(making), "{}", recorded.stderr);

    let replayed = place.reprise(&["replay", "trace.rpt"]).expect(0);
    assert_eq!(recorded.end(), replayed.end());
    assert_eq!(recorded.stdout, replayed.stdout);
    let kept = fs::read_dir(place.path("cache/images")).unwrap();
    let kept: Vec<_> = kept.map(|entry| entry.unwrap().path()).collect();
    let in_node = replay_in_node_with(&place.path("trace.rpt"), &kept).expect(0);
    assert_eq!(recorded.end(), in_node.end(), "wasm differs");
    // The same again, of the root image that was kept.
    let again = record("again.rpt");
    assert_eq!(recorded.end(), again.end());
    assert!(!again.stderr.contains(making), "{}", again.stderr);

    // Without the root image there is a sentence that says what to do, and that helps.
    fs::remove_dir_all(place.path("cache/images")).unwrap();
    let told = place.reprise(&["replay", "trace.rpt"]).expect(2).stderr;
    assert!(
        told.contains("layout-latest.root.erofs") && told.contains("`reprise run --image`"),
        "{told}"
    );
    place.run(&["--", ":"]).expect(0);
    let replayed = place.reprise(&["replay", "trace.rpt"]).expect(0);
    assert_eq!(recorded.end(), replayed.end());
}

#[test]
fn a_container_ends_as_its_command_does() {
    let place = Place::new();
    let own = place.run(&[]).expect(0);
    assert_eq!(lines(&own), ["the image's own command"]);
    let killed = place.run(&["--", "kill -ABRT $$"]).expect(134);
    assert!(killed.stdout.contains("Aborted"), "{}", killed.stdout);
    // A process that outlives the command does not keep the container.
    place.run(&["--", "sleep 1000000 & exit 3"]).expect(3);

    let check = |arguments: &[&str], status: i32, words: &str| {
        let ran = place.run(&[&["--entrypoint"], arguments].concat());
        let ran = ran.expect(status);
        assert!(ran.stdout.contains(words), "{}", ran.stdout);
    };
    check(&["missing"], 127, "can't run missing: No such file");
    check(&["/bin/lost"], 127, "a loader that is not there");
    check(&["locked"], 126, "can't run locked: Permission denied");
    check(
        &["id", "-u", "0", "-w", "/made/here"],
        0,
        "uid=0(root) gid=0(root)",
    );
    check(&["id", "-u", "7:log"], 0, "uid=7 gid=50(log)");
    check(
        &["id", "-u", "nobody"],
        125,
        "/etc/passwd has no user nobody",
    );
}

#[test]
fn an_archive_is_a_container_as_well_and_a_trace_can_carry_it() {
    let place = Place::new();
    fs::write(place.path("saved.tar"), layout("riscv64", &[]).archive()).unwrap();
    let arguments = ["record", "--seed", "5", "--embed", "-o", "trace.rpt"];
    let image = ["--image", "docker-archive:saved.tar:latest"];
    let recorded = place.reprise(&[&arguments[..], &image].concat()).expect(0);
    assert_eq!(lines(&recorded), ["the image's own command"]);
    fs::remove_dir_all(place.path("cache")).unwrap();
    let replayed = place.reprise(&["replay", "trace.rpt"]).expect(0);
    assert_eq!(recorded.end(), replayed.end());
}

#[test]
fn what_is_no_container_is_refused_in_a_sentence() {
    let place = Place::new();
    place.check_refused("oci:nowhere:latest", "there is no folder nowhere");
    place.check_refused("oci:cache", "it is not an OCI layout");
    place.check_refused(
        "oci:layout:old",
        "there is no image `old` here; there is `latest`",
    );
    place.check_refused("docker-archive:layout", "it is not a file");
    write_layout(&layout("amd64", &[]), &place.path("other"));
    place.check_refused("oci:other", "the image is for linux/amd64");

    let mut damaged = layout("riscv64", &[]);
    let largest = damaged.files.values_mut().max_by_key(|bytes| bytes.len());
    largest.unwrap()[4000] ^= 1;
    write_layout(&damaged, &place.path("damaged"));
    place.check_refused("oci:damaged", "the image is damaged: sha256:");
    // Nothing of it was kept.
    let kept = fs::read_dir(place.path("cache/images")).unwrap();
    assert_eq!(kept.count(), 0);

    fs::write(place.path("saved.tar"), b"no archive").unwrap();
    place.check_refused("docker-archive:saved.tar", "not a container image");
}
