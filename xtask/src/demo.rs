//! `cargo xtask demo`: the main job from end to end: boot Linux, record a program that misbehaves, replay the trace in
//! a new process, show that the replay is the same execution, and open it in the page.

use std::io::IsTerminal;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::tools::{build_reprise, run, target_folder};
use crate::{Failure, Result, cache, files, guest, process, setup, site};

const USAGE: &str = "\
Usage: cargo xtask demo [--serve]

Installs what is missing, builds the guest and the binary, then records /demos/race with one seed after another until
the race strikes, and replays that trace in a new process: same console, same exit, same state hash. Ends with the link
that opens the trace in the page.

Options:
  --serve   Build the page and serve it, until Ctrl-C; so it does at a terminal, too, outside CI
";

/// Recordings after which the race has struck, whatever the seeds: it strikes in more than one of ten.
const TRIES: &str = "60";

/// `cargo xtask demo`.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    if arguments
        .iter()
        .any(|argument| argument == "--help" || argument == "-h")
    {
        print!("{USAGE}");
        return Ok(());
    }
    let serves = match arguments {
        [] => std::io::stdout().is_terminal() && std::env::var_os("CI").is_none(),
        [flag] => flag == "--serve",
        _ => false,
    };
    if let Some(argument) = arguments.iter().find(|argument| *argument != "--serve") {
        return Err(Failure::usage(format!(
            "`demo` knows no `{argument}`\n\n{USAGE}"
        )));
    }
    setup::packages(setup::GUEST_PACKAGES)?;
    setup::rust_targets(&[setup::GUEST_TARGET])?;
    guest::build()?;
    eprintln!("building reprise (a minute or two the first time)");
    let reprise = build_reprise()?;
    let folder = cache::root()?.join("demo");
    files::make_folder(&folder)?;
    let trace = folder.join("race.rpt");

    println!("\n$ reprise record --tries {TRIES} --until-fail -o race.rpt -- /demos/race");
    let mut record = Command::new(&reprise);
    record
        .args([
            "record",
            "--tries",
            TRIES,
            "--until-fail",
            "--seed",
            "1",
            "--force",
            "-o",
        ])
        .arg(&trace);
    let recorded = finish(record.args(["--", "/demos/race"]), "reprise record")?;
    if recorded.status == Some(0) {
        return Err(Failure::new(format!(
            "the race did not strike in {TRIES} recordings"
        )));
    }
    println!("\n$ reprise replay race.rpt");
    let replayed = finish(
        Command::new(&reprise).arg("replay").arg(&trace),
        "reprise replay",
    )?;
    if replayed.status != Some(0) {
        return Err(Failure::new("the replay is not the same execution"));
    }
    let (Some(recorded), Some(replayed)) = (recorded.last_line, replayed.last_line) else {
        return Err(Failure::new(
            "reprise did not say where the execution ended",
        ));
    };
    if recorded != replayed {
        return Err(Failure::new(format!(
            "recorded `{recorded}`, replayed `{replayed}`: not the same execution"
        )));
    }
    println!(
        "\nThe race struck, and the replay in a new process is the same execution, to the bit:\n  {replayed}"
    );
    println!("The trace: {} ({} bytes)", trace.display(), size(&trace)?);
    println!(
        "Look at it: {} events {}",
        reprise.display(),
        trace.display()
    );
    let link = process::output(Command::new(&reprise).arg("share").arg(&trace))?;
    println!("Its link, with the trace in it: {}", link.trim_end());
    if !serves {
        println!("It opens where `cargo xtask demo --serve` serves the page.");
        return Ok(());
    }
    let folder = target_folder().join("site");
    site::build(&folder)?;
    println!("\n$ reprise serve race.rpt     (open the link in a browser)");
    let mut serve = Command::new(&reprise);
    run(serve.arg("serve").arg("--site").arg(&folder).arg(&trace))
}

struct Finished {
    status: Option<i32>,
    /// The last line on stderr, where `reprise` says `icount=N hash=H`.
    last_line: Option<String>,
}

/// Runs a command with its stdout on ours, and its stderr kept and shown.
fn finish(command: &mut Command, name: &str) -> Result<Finished> {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::inherit())
        .stderr(Stdio::piped())
        .spawn();
    let output = child
        .and_then(std::process::Child::wait_with_output)
        .map_err(|error| Failure::new(format!("can't run {name}: {error}")))?;
    let said = String::from_utf8_lossy(&output.stderr);
    eprint!("{said}");
    let last_line = said
        .lines()
        .rev()
        .find(|line| line.starts_with("icount="))
        .map(str::to_owned);
    Ok(Finished {
        status: output.status.code(),
        last_line,
    })
}

fn size(path: &Path) -> Result<u64> {
    let metadata = std::fs::metadata(path);
    metadata
        .map(|metadata| metadata.len())
        .map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}
