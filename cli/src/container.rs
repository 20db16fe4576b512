//! What runs in the guest, and how: as the arguments say, and in a container as its image says.

use crate::args::ContainerArgs;
use crate::say;
use anyhow::bail;
use indicatif::ProgressBar;
use reprise_core::event::StartFile;
use reprise_host::{FACTS_PATH, ImageConfig};
pub(crate) use reprise_images::container::ROOT_IMAGE_SUFFIX;
use reprise_images::container::{self, Container, ContainerSource, Step};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The longest host name that Linux takes.
const HOSTNAME_BYTES_MAX: usize = 64;

/// The longest user with group that init takes.
const USER_BYTES_MAX: usize = 255;

/// A command and what surrounds it.
#[derive(Debug)]
pub(crate) struct Run {
    /// Command and arguments; empty means an interactive shell.
    pub(crate) command: Vec<Vec<u8>>,
    /// Names and values; of one name the last counts.
    pub(crate) environment: Vec<(Vec<u8>, Vec<u8>)>,
    /// Empty means init's default.
    pub(crate) working_directory: Vec<u8>,
}

impl Run {
    /// What the arguments say.
    pub(crate) fn new(command: &[OsString], given: &ContainerArgs) -> anyhow::Result<Self> {
        let mut environment = Vec::new();
        for variable in &given.env {
            if let Some(pair) = variable_from_arg(variable)? {
                environment.push(pair);
            }
        }
        let words = command.iter();
        let working_directory = given.workdir.as_deref();
        Ok(Self {
            command: words.map(|word| word.as_bytes().to_vec()).collect(),
            environment,
            working_directory: absolute(working_directory.map_or(b"", OsStrExt::as_bytes)),
        })
    }

    /// Adds what the image says, where the arguments do not say otherwise, and returns the file that tells init.
    pub(crate) fn enter(
        &mut self,
        image: &ImageConfig,
        given: &ContainerArgs,
    ) -> anyhow::Result<StartFile> {
        let owned = |words: &[String]| -> Vec<Vec<u8>> {
            words.iter().map(|word| word.clone().into_bytes()).collect()
        };
        // The image's arguments belong to the image's program.
        let cmd = match (self.command.is_empty(), &given.entrypoint) {
            (true, None) => owned(&image.cmd),
            _ => std::mem::take(&mut self.command),
        };
        let mut command = match &given.entrypoint {
            // As `docker run` has it, an empty one is none.
            Some(program) if program.is_empty() => Vec::new(),
            Some(program) => vec![program.as_bytes().to_vec()],
            None => owned(&image.entrypoint),
        };
        command.extend(cmd);
        if command.first().is_none_or(Vec::is_empty) {
            bail!("the container image says no command: give one after `--`");
        }
        self.command = command;

        let image_environment = image.env.iter().filter_map(|variable| {
            let (name, value) = variable.split_once('=')?;
            (!name.is_empty()).then(|| (name.into(), value.into()))
        });
        self.environment = image_environment
            .chain(self.environment.drain(..))
            .collect();
        if self.working_directory.is_empty() {
            self.working_directory = absolute(image.working_dir.as_bytes());
        }
        facts(
            given.hostname.as_deref(),
            given.user.as_deref().unwrap_or(&image.user),
        )
    }
}

/// What init is told of the container.
fn facts(hostname: Option<&str>, user: &str) -> anyhow::Result<StartFile> {
    let mut bytes = Vec::new();
    if let Some(name) = hostname {
        let is_plain = |letter: u8| letter.is_ascii_alphanumeric() || b"-._".contains(&letter);
        if name.is_empty() || name.len() > HOSTNAME_BYTES_MAX || !name.bytes().all(is_plain) {
            bail!(
                "{name:?} is no host name: use up to {HOSTNAME_BYTES_MAX} letters, digits, dots and hyphens"
            );
        }
        bytes.extend(format!("hostname={name}\0").into_bytes());
    }
    if user.len() > USER_BYTES_MAX {
        bail!("the user has more than {USER_BYTES_MAX} bytes: name another with --user");
    }
    bytes.extend(format!("user={user}\0").into_bytes());
    Ok(StartFile {
        path: FACTS_PATH.as_bytes().to_vec(),
        mode: 0o600,
        bytes,
    })
}

/// Reads `NAME=VALUE`, or `NAME`, whose value is this computer's; `None` where it has none.
fn variable_from_arg(argument: &OsStr) -> anyhow::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let bytes = argument.as_bytes();
    let (name, value) = match bytes.iter().position(|&byte| byte == b'=') {
        Some(equals) => (&bytes[..equals], Some(bytes[equals + 1..].to_vec())),
        None => (bytes, std::env::var_os(argument).map(OsStringExt::into_vec)),
    };
    if name.is_empty() {
        bail!(
            "--env {} names no variable: write it as NAME=VALUE",
            argument.display()
        );
    }
    Ok(value.map(|value| (name.to_vec(), value)))
}

/// A folder's path from the root on, unless it is empty.
fn absolute(path: &[u8]) -> Vec<u8> {
    match path.first() {
        None | Some(b'/') => path.to_vec(),
        Some(_) => [b"/", path].concat(),
    }
}

/// Opens a container image, and shows how far that is where it takes a while.
pub(crate) fn open(source: &ContainerSource, is_quiet: bool) -> anyhow::Result<Container> {
    let mut shown: Option<(&'static str, ProgressBar)> = None;
    let mut tell = |step: Step| {
        let (name, done_bytes, total_bytes) = match step {
            Step::Unpacking {
                done_bytes,
                total_bytes,
            } => ("unpack", done_bytes, total_bytes),
            Step::Writing {
                done_bytes,
                total_bytes,
            } => ("write ", done_bytes, total_bytes),
            Step::Again { reason } => {
                let told = format!("reprise: {reason}; trying again");
                match &shown {
                    _ if is_quiet => {}
                    Some((_, bar)) => bar.suspend(|| say::line(told)),
                    None => say::line(told),
                }
                return;
            }
        };
        if is_quiet {
            return;
        }
        if shown.as_ref().is_none_or(|(before, _)| *before != name) {
            if let Some((_, bar)) = &shown {
                bar.finish_and_clear();
            } else {
                say::line("reprise: making a root image of the container image; it is kept");
            }
            shown = Some((name, say::byte_progress(name, total_bytes)));
        }
        if let Some((_, bar)) = &shown {
            bar.set_position(done_bytes);
        }
    };
    let opened = container::open(source, &mut tell);
    if let Some((_, bar)) = shown {
        bar.finish_and_clear();
    }
    opened
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    /// Runs a container of an image by these arguments; returns command, environment, folder and facts.
    fn run(image: &ImageConfig, arguments: &[&str]) -> anyhow::Result<[String; 4]> {
        let words = ["reprise", "run", "--image", "oci:x"];
        let cli = Cli::try_parse_from(words.iter().chain(arguments)).expect("good usage");
        let Command::Run(args) = cli.command else {
            panic!("another command");
        };
        let mut run = Run::new(&args.guest.command, &args.guest.container)?;
        let facts = run.enter(image, &args.guest.container)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let variables = run.environment.iter();
        let variables = variables.map(|(name, value)| [&name[..], value].join(&b'='));
        Ok([
            text(&run.command.join(&b' ')),
            text(&variables.collect::<Vec<_>>().join(&b' ')),
            text(&run.working_directory),
            text(&facts.bytes),
        ])
    }

    fn image() -> ImageConfig {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect();
        ImageConfig {
            entrypoint: words("/init -v"),
            cmd: words("serve all"),
            env: words("A=1 B=2 broken"),
            working_dir: "srv".to_owned(),
            user: "app:staff".to_owned(),
        }
    }

    #[test]
    fn the_image_says_what_the_arguments_do_not() {
        let check = |arguments: &[&str], expected: [&str; 4]| {
            let ran = run(&image(), arguments).expect("it can be run");
            assert_eq!(ran, expected, "{arguments:?}");
        };
        let env = "A=1 B=2";
        let user = "user=app:staff\0";
        check(&[], ["/init -v serve all", env, "/srv", user]);
        check(&["--", "once"], ["/init -v once", env, "/srv", user]);
        check(&["--entrypoint", "/sh"], ["/sh", env, "/srv", user]);
        check(
            &["--entrypoint", "", "--", "/sh", "-c"],
            ["/sh -c", env, "/srv", user],
        );
        check(
            &[
                "-e",
                "B=3=4",
                "-e",
                "NOT_SET_ANYWHERE",
                "-w",
                "/",
                "-u",
                "0",
                "--hostname",
                "box",
            ],
            [
                "/init -v serve all",
                "A=1 B=2 B=3=4",
                "/",
                "hostname=box\0user=0\0",
            ],
        );
    }

    #[test]
    fn what_cannot_be_run_is_refused() {
        let refused = |image: &ImageConfig, arguments: &[&str]| {
            run(image, arguments).expect_err("refused").to_string()
        };
        let told = refused(&ImageConfig::default(), &[]);
        assert!(told.contains("after `--`"), "{told}");
        refused(&image(), &["--entrypoint", ""]);
        refused(&image(), &["--hostname", "a b"]);
        refused(&image(), &["-e", "=x"]);
        refused(&image(), &["-u", &"x".repeat(256)]);
    }
}
