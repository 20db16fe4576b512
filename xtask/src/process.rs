//! Running other programs: quietly, with a log, and with the log's end shown when they fail.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::progress::Progress;
use crate::{Failure, Result};

/// How much of a failed program's output is shown.
const TAIL_LINES: usize = 25;

/// Runs a program with its output in `log` (appended), advancing `progress` by what `steps` says of each line.
pub(crate) fn run_logged(
    command: &mut Command,
    log: &Path,
    progress: &mut Progress,
    steps: impl Fn(&str) -> u64,
) -> Result<()> {
    let shown = display(command);
    let failed = |error: std::io::Error| Failure::new(format!("can't run `{shown}`: {error}"));
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(log)
        .map_err(failed)?;
    writeln!(file, "$ {shown}").map_err(failed)?;

    let (reader, writer) = std::io::pipe().map_err(failed)?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone().map_err(failed)?)
        .stderr(writer);
    let mut child = command.spawn().map_err(failed)?;
    // The command keeps its ends of the pipe open; without this the reader would wait for itself.
    command.stdout(Stdio::null()).stderr(Stdio::null());

    let (sender, lines) = channel();
    let thread = std::thread::spawn(move || {
        for line in BufReader::new(reader)
            .split(b'\n')
            .map_while(std::result::Result::ok)
        {
            if sender
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                return;
            }
        }
    });
    let mut tail = VecDeque::new();
    loop {
        match lines.recv_timeout(Duration::from_millis(500)) {
            Ok(line) => {
                writeln!(file, "{line}").map_err(failed)?;
                progress.advance(steps(&line));
                if tail.len() == TAIL_LINES {
                    tail.pop_front();
                }
                tail.push_back(line);
            }
            Err(RecvTimeoutError::Timeout) => progress.advance(0),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let status = child.wait().map_err(failed)?;
    if thread.join().is_err() {
        return Err(Failure::new(format!("lost the output of `{shown}`")));
    }
    if status.success() {
        return Ok(());
    }
    let tail: Vec<String> = tail.into();
    Err(Failure::new(format!(
        "`{shown}` failed ({status}); its last lines, of {}:\n{}",
        log.display(),
        tail.join("\n")
    )))
}

/// Runs a program and returns what it prints.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = display(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::new(format!("can't run `{shown}`: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(format!(
            "`{shown}` failed ({}): {}",
            output.status,
            said.trim_end()
        )));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether there is a program of this name on `PATH`.
pub(crate) fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// A command as a person would type it, shortened when it is long.
fn display(command: &Command) -> String {
    let mut shown = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        shown.push(' ');
        shown.push_str(&argument.to_string_lossy());
    }
    if shown.chars().count() > 200 {
        shown = shown.chars().take(200).collect::<String>() + " …";
    }
    shown
}
