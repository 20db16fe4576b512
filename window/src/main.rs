//! The page's app as a window of the desktop, with its engines on threads.
//!
//! # Code map
//! - `trace`: files and links, read and judged before anything is drawn.
//! - `engine`: an engine on a thread, and the app's way to it.
//! - `supplies`: what an engine wants, out of this computer's files.
//! - `desktop`: what the app needs of the system.
//! - `chooser`: picks a file.
//! - `shown`: the app in its window, and what `--check` waits for.
//!
//! # Invariants
//! - Nothing is fetched from the network.
//! - The window's thread draws; engines compute and files are read on others.

mod chooser;
mod desktop;
mod engine;
mod shown;
mod supplies;
mod trace;

use anyhow::{anyhow, bail};
use clap::Parser;
use desktop::Desktop;
use egui::{IconData, ViewportBuilder};
use reprise_ui::app::App;
use shown::{CheckEnd, Shared, Shown};
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use supplies::Places;
use trace::Trace;

/// Exit status when the execution is not the recorded one.
const STATUS_DIVERGED: u8 = 1;
/// Exit status for bad usage or bad input.
const STATUS_BAD_INPUT: u8 = 2;
/// Exit status when the trace breaks off and everything that is left of it agreed.
const STATUS_INCOMPLETE: u8 = 3;
/// Size of the window where nobody has another wish, in points.
const SIZE: [f32; 2] = [1280.0, 800.0];
/// Below this, the panels have no room.
const SIZE_MIN: [f32; 2] = [480.0, 320.0];

/// The page of Reprise as a window: boot Linux, record it, go back and forth in it.
///
/// Machines run in this program; nothing is fetched from the network, and nothing is sent.
#[derive(Parser, Debug)]
#[command(name = "reprise-window", version, after_help = EXAMPLES)]
struct Cli {
    /// A trace, or a link with a trace in it; without it, the start page.
    #[arg(value_name = "FILE|LINK")]
    trace: Option<String>,
    /// Look here, too, for the images that a trace names by their hash.
    #[arg(long, value_name = "DIR")]
    images: Vec<PathBuf>,
    /// Go through the trace in the window, compare every state hash, print the end as `reprise replay` does, and close.
    #[arg(long, requires = "trace")]
    check: bool,
}

const EXAMPLES: &str = "\
Examples:
  reprise-window                           boot Linux, or open a file
  reprise-window bug.rpt
  reprise-window 'https://example.org/#t=...'
                                           a link with the trace in it; quote it
  reprise-window --images ./guest bug.rpt  where the kernel and initrd are
  reprise-window --check bug.rpt           does it work here?

Kernel, initrd and disks are looked for in the trace, in the folders of --images, beside the trace, and where `cargo xtask guest` \
puts them. Files are saved into the current folder. Links lead to the page at $REPRISE_SITE, or else to this computer's `reprise \
serve`.

Exit status: 0 when the window was closed. With --check: 0 only if every recorded hash agreed, 1 if one did not, 3 if the \
trace breaks off and everything that is left of it agreed. 2 for bad usage or bad input, or without a display.";

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            say(format_args!("reprise-window: {}", sentence(&error)));
            ExitCode::from(STATUS_BAD_INPUT)
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<u8> {
    let places = Arc::new(Places::new(cli.images));
    let trace = match &cli.trace {
        Some(text) => Some(Trace::find(text, &places)?),
        None => None,
    };
    let is_complete = trace.as_ref().is_none_or(|trace| trace.is_complete);
    if !is_complete {
        say("reprise-window: the trace breaks off; what is left of it is shown");
    }
    let title = match trace.as_ref().and_then(|trace| trace.name.as_deref()) {
        Some(name) => format!("{name} - Reprise"),
        None => "Reprise".to_owned(),
    };
    let shared = Rc::new(Shared::new(cli.check));
    show(title, trace, places, &shared)?;
    if !cli.check {
        return Ok(0);
    }
    match shared.take_end() {
        Some(CheckEnd::Verified { icount, hash }) => {
            say(format_args!("icount={icount} hash={hash}"));
            Ok(if is_complete { 0 } else { STATUS_INCOMPLETE })
        }
        Some(CheckEnd::Failed(why)) => {
            say(format_args!("reprise-window: {why}"));
            Ok(STATUS_DIVERGED)
        }
        None => bail!("the window was closed before all of the recording had been gone through"),
    }
}

/// Shows the window until it is closed.
fn show(
    title: String,
    trace: Option<Trace>,
    places: Arc<Places>,
    shared: &Rc<Shared>,
) -> anyhow::Result<()> {
    let options = eframe::NativeOptions {
        viewport: ViewportBuilder::default()
            .with_title(title)
            .with_app_id("reprise")
            .with_icon(IconData::default())
            .with_inner_size(SIZE)
            .with_min_inner_size(SIZE_MIN),
        ..eframe::NativeOptions::default()
    };
    let shared = Rc::clone(shared);
    let result = eframe::run_native(
        "reprise",
        options,
        Box::new(move |creation| {
            let context = &creation.egui_ctx;
            let main = engine::start("engine", context, &places, &shared)?;
            let reader = engine::start("reader", context, &places, &shared)?;
            let desktop = Desktop::new(context.clone(), places, Rc::clone(&shared), trace);
            let reading = desktop.reading();
            let app = App::new(Box::new(main), Box::new(reader), Box::new(desktop));
            Ok(Box::new(Shown::new(app, shared, reading)))
        }),
    );
    result.map_err(|error| match error {
        eframe::Error::Winit(_) | eframe::Error::WinitEventLoop(_) => anyhow!(
            "there is no display to open a window on ({error}): set DISPLAY or WAYLAND_DISPLAY, or use `reprise serve` \
             and a browser"
        ),
        error => anyhow!(
            "the window cannot be drawn ({error}): it takes OpenGL, which on Debian is in libgl1 and libgl1-mesa-dri"
        ),
    })
}

/// Tells the person something on standard error. Without anybody who reads it, nothing is lost but the line.
fn say(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// An error and its causes, each told once: some tell their cause themselves.
fn sentence(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
