//! An authority of the host's in the guest's trust store: in the default guest and in a container.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::container::{BUNDLE, Place};
use super::support::{finish, folder, replay, reprise};
use reprise_host::network::tls::{AUTHORITY_PATH, Authority};
use std::fs;
use std::path::Path;

/// Prints a file as one line, so that a terminal does not change it.
const SHOW: &str = r#"show() { echo "$1 $(cat "$1" | tr '\n' '|')"; }; "#;

/// As the guest's `show` prints a file.
fn shown(path: &str, text: &str) -> String {
    // What `$( )` leaves out are newlines, and those were changed before.
    format!("{path} {}", text.replace('\n', "|"))
}

fn pem() -> String {
    Authority::new(1_780_000_000).unwrap().certificate_pem()
}

/// The option that hands a certificate to the guest.
fn add(file: &str) -> String {
    format!("{file}:{AUTHORITY_PATH}")
}

fn lines(stdout: &str) -> Vec<&str> {
    stdout.lines().map(str::trim_end).collect()
}

#[test]
fn the_default_guest_trusts_the_authority() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let pem = pem();
    fs::write(path("ca.pem"), &pem).unwrap();
    fs::write(path("bundle"), "another").unwrap();
    let script = format!(
        "{SHOW} cd /etc/ssl/certs; echo *; show 33e9cc00.0; show ca-certificates.crt; show /etc/ssl/cert.pem
        echo $NODE_EXTRA_CA_CERTS $REQUESTS_CA_BUNDLE; ls {AUTHORITY_PATH}"
    );
    let mut record = reprise();
    record.current_dir(folder.path()).args([
        "record",
        "--seed",
        "5",
        "-o",
        "trace.rpt",
        "--add",
        "bundle:/etc/ssl/cert.pem",
        "--add",
        &add("ca.pem"),
        "-e",
        "REQUESTS_CA_BUNDLE=own",
        "--",
        "sh",
        "-c",
        &script,
    ]);
    let recorded = finish(&mut record).expect(1);
    let expected = [
        "33e9cc00.0 ca-certificates.crt".to_owned(),
        shown("33e9cc00.0", &pem),
        shown("ca-certificates.crt", &pem),
        shown("/etc/ssl/cert.pem", &format!("another\n{pem}")),
        "/etc/ssl/certs/33e9cc00.0 own".to_owned(),
        format!("ls: {AUTHORITY_PATH}: No such file or directory"),
    ];
    assert_eq!(lines(&recorded.stdout), expected);
    let replayed = replay(Path::new(&path("trace.rpt"))).expect(0);
    assert_eq!(recorded.end(), replayed.end());

    // Without one there is nothing of it.
    let mut without = reprise();
    without.args([
        "run",
        "--",
        "sh",
        "-c",
        "ls /etc/ssl; echo \"$NODE_EXTRA_CA_CERTS\"",
    ]);
    let told = finish(&mut without).expect(0).stdout;
    assert_eq!(
        lines(&told),
        ["ls: /etc/ssl: No such file or directory", ""]
    );
}

#[test]
fn a_container_trusts_the_authority() {
    let place = Place::new();
    let pem = pem();
    fs::write(place.path("ca.pem"), &pem).unwrap();
    let image = place.image();
    let script = format!(
        "{SHOW} cd /etc/ssl/certs; echo *; show 33e9cc00.0; show ca-certificates.crt; show /etc/ssl/cert.pem
        echo $NODE_EXTRA_CA_CERTS $REQUESTS_CA_BUNDLE; ls {AUTHORITY_PATH}"
    )
    .replace("tr ", "/bin/busybox tr ");
    let arguments = [
        "run",
        "--seed",
        "5",
        "--image",
        &image,
        "--add",
        &add("ca.pem"),
        "--",
    ];
    let ran = place
        .reprise(&[&arguments[..], &[&script]].concat())
        .expect(1);
    // The link to it is no file of its own: there it stands once.
    let bundle = format!("{BUNDLE}\n{pem}");
    let expected = [
        "33e9cc00.0 ca-certificates.crt".to_owned(),
        shown("33e9cc00.0", &pem),
        shown("ca-certificates.crt", &bundle),
        shown("/etc/ssl/cert.pem", &bundle),
        "/etc/ssl/certs/33e9cc00.0 /etc/ssl/certs/ca-certificates.crt".to_owned(),
        format!("ls: {AUTHORITY_PATH}: No such file or directory"),
    ];
    assert_eq!(lines(&ran.stdout), expected);
}

#[test]
fn a_certificate_that_is_too_long_is_refused() {
    let folder = folder();
    fs::write(folder.path().join("ca.pem"), vec![b'x'; 20_000]).unwrap();
    let mut run = reprise();
    run.current_dir(folder.path());
    run.args(["run", "--add", &add("ca.pem"), "--", "true"]);
    let told = finish(&mut run).expect(125).stdout;
    assert!(
        told.contains("the authority's certificate is too long"),
        "{told}"
    );
}
