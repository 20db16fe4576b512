//! Container images of a real registry, Debian's, which lets in who knows a password.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::container::Place;
use super::support::{Finished, finish, reprise};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;

/// `app` with the password `secret`, as htpasswd writes it.
const PASSWORDS: &str = "app:$2y$04$WLt7Alap3EFzvxcTbZ7neeZjoNDhM1E8pS4QsYLP4ZKzrGRE5Hq4i\n";

/// Docker's configuration with that.
const AUTH: &str = "YXBwOnNlY3JldA==";

/// A registry in a folder of a place.
struct Registry<'a> {
    place: &'a Place,
    port: u16,
    server: Child,
}

impl<'a> Registry<'a> {
    fn new(place: &'a Place) -> Self {
        let path = |name| place.path(name);
        fs::write(path("passwords"), PASSWORDS).unwrap();
        let config = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:0\n\
             auth:\n  htpasswd:\n    realm: test\n    path: {}\n",
            path("registry").display(),
            path("passwords").display()
        );
        fs::write(path("registry.yml"), config).unwrap();
        let mut server = Command::new("docker-registry")
            .arg("serve")
            .arg(path("registry.yml"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
        let listening = "listening on 127.0.0.1:";
        let port = lines.find_map(|line| {
            let line = line.unwrap();
            let (_, rest) = line.split_once(listening)?;
            let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
            digits.parse().ok()
        });
        // It must not wait for somebody to read what it says.
        thread::spawn(move || lines.for_each(drop));
        Self {
            place,
            port: port.expect("it says where it listens"),
            server,
        }
    }

    fn image(&self, name: &str) -> String {
        format!("docker://127.0.0.1:{}/{name}", self.port)
    }

    /// Puts the place's image there.
    fn push(&self, name: &str) {
        let image = self.image(name);
        let mut skopeo = Command::new("skopeo");
        skopeo.args([
            "--insecure-policy",
            "copy",
            "--quiet",
            "--dest-tls-verify=false",
        ]);
        skopeo.args(["--dest-creds", "app:secret", &self.place.image(), &image]);
        finish(&mut skopeo).expect(0);
    }

    /// Runs a command in a container of an image.
    fn run(&self, image: &str, command: &str) -> Finished {
        let mut run = reprise();
        run.current_dir(self.place.path(""))
            .env("REPRISE_CACHE", self.place.path("cache"))
            .env("DOCKER_CONFIG", self.place.path("docker"))
            .args([
                "record",
                "--force",
                "--seed",
                "5",
                "-o",
                "trace.rpt",
                "--image",
                image,
                "--",
                command,
            ]);
        finish(&mut run)
    }
}

impl Drop for Registry<'_> {
    fn drop(&mut self) {
        // It is gone already if it has failed.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn an_image_of_a_registry_is_recorded() {
    let place = Place::new();
    let registry = Registry::new(&place);
    registry.push("group/app:1");
    let image = registry.image("group/app:1");

    let told = registry.run(&image, "id").expect(2).stderr;
    assert!(told.contains("docker login 127.0.0.1:"), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    assert_eq!(
        fs::read_dir(place.path("cache/containers"))
            .unwrap()
            .count(),
        0
    );

    fs::create_dir(place.path("docker")).unwrap();
    let auths = format!(
        r#"{{"auths":{{"127.0.0.1:{}":{{"auth":"{AUTH}"}}}}}}"#,
        registry.port
    );
    fs::write(place.path("docker/config.json"), auths).unwrap();
    let recorded = registry
        .run(&image, "echo $GREETING; cat /data/new")
        .expect(0);
    let expected = "hello from the image\r\nnew\r\n";
    assert_eq!(recorded.stdout, expected);
    let making = "making a root image";
    assert!(recorded.stderr.contains(making), "{}", recorded.stderr);
    // The root image is the one of the folder that was pushed, and it is kept.
    let again = registry
        .run(&place.image(), "echo $GREETING; cat /data/new")
        .expect(0);
    assert!(!again.stderr.contains(making), "{}", again.stderr);
    assert_eq!(recorded.end(), again.end());

    let missing = registry
        .run(&registry.image("group/app:2"), "id")
        .expect(2)
        .stderr;
    assert!(
        missing.contains("has no group/app with the tag or digest 2"),
        "{missing}"
    );
    let nameless = registry.run("docker://app:1", "id").expect(2).stderr;
    assert!(nameless.contains("name the registry's host"), "{nameless}");

    drop(registry);
    // What was recorded needs no registry.
    let mut replay = reprise();
    replay
        .env("REPRISE_CACHE", place.path("cache"))
        .args(["replay"])
        .arg(place.path("trace.rpt"));
    assert_eq!(finish(&mut replay).expect(0).stdout, expected);
}
