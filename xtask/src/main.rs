//! Everything a person or CI does here, as `cargo xtask …`.
//!
//! It compiles in seconds, since every other command waits for it: the standard library and a hash, nothing else. What
//! needs more (compilers, kernel sources, emulators) it installs or calls.
//!
//! | module | purpose |
//! | --- | --- |
//! | [`setup`] | Debian packages and Rust targets: what is missing is installed |
//! | [`guest`] | the default guest: kernel, initrd, manifest, from the recipe in `guest/` |
//! | [`cache`] | the user's cache folder, locks, temporary folders |
//! | [`ci`], [`soak`] | what must be green, and what takes too long for that |
//! | [`test_images`] | container images that the tests run |
//! | [`site`], [`web_test`] | the page as a folder to serve; browsers that try it |
//! | [`demo`], [`mod@bench`] | the main job from end to end; how fast it is |
//! | [`tools`] | cargo, and tools that are built once into the cache |
//! | [`process`], [`progress`] | commands with a log, and how far they are |

mod bench;
mod cache;
mod ci;
mod demo;
mod files;
mod guest;
mod process;
mod progress;
mod setup;
mod site;
mod soak;
mod test_images;
mod tools;
mod web_test;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask COMMAND [OPTIONS]

Commands:
  demo     Boot Linux, record a program that misbehaves, replay it, and compare
  test     Run every test
  ci       Everything that must be green, with the seconds of each stage
  site     Build the page, as a folder that any web server can serve
  web-test Try the page in browsers
  bench    How fast the machine is, natively and as wasm, and what recording costs
  soak     The tests and comparisons that take hours
  setup    Install what is missing: Debian packages (as root or with sudo) and Rust targets
  test-images
           Make the container images that the tests run, of Debian for riscv64
  guest    Build the default guest into the user's cache; does nothing when it is there already

Each command installs what it needs by itself and prints its own help with --help.
";

/// Why a command ended early: one sentence for the person, and the process's exit status.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) status: u8,
}

impl Failure {
    /// Something went wrong on the way: exit status 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            status: 1,
        }
    }

    /// The command can't be carried out as given or on this machine: exit status 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            status: 2,
        }
    }
}

pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// The root of the checkout.
pub(crate) fn checkout() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("", &[][..]),
    };
    let outcome = match command {
        "demo" => demo::command(rest),
        "test" => ci::test_command(rest),
        "ci" => ci::command(rest),
        "bench" => bench::command(rest),
        "soak" => soak::command(rest),
        "site" => site::command(rest),
        "web-test" => web_test::command(rest),
        "setup" => setup::command(rest),
        "guest" => guest::command(rest),
        "test-images" => test_images::command(rest),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        "" => Err(Failure::usage(format!("no command given\n\n{USAGE}"))),
        other => Err(Failure::usage(format!(
            "there is no command `{other}`\n\n{USAGE}"
        ))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {}", failure.message.trim_end());
            ExitCode::from(failure.status)
        }
    }
}
