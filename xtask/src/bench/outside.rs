//! What a guest gets from outside: its workspace and its network, recorded.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;

use super::{Bench, Cost, icount_of, timed};
use crate::{Failure, Result, files};

/// Bytes that are read, written and fetched.
const BYTES: usize = 64 << 20;
/// Files of the workspace that are only looked at.
const FILES: usize = 10_000;

impl Bench {
    /// The workspace's and the network's rates, in CPU seconds of the host, and what their recordings take.
    pub(super) fn outside(&self, divisor: u64) -> Result<()> {
        let byte_len = BYTES / divisor as usize;
        let file_count = FILES / divisor as usize;
        let workspace = self.folder.join("workspace");
        // Left over where a bench was broken off.
        if workspace.exists() {
            fs::remove_dir_all(&workspace).map_err(|error| cannot(&workspace, &error))?;
        }
        files::make_folder(&workspace.join("many"))?;
        let bytes = noise(byte_len);
        files::write_atomically(&workspace.join("large"), &bytes)?;
        for number in 0..file_count {
            let path = workspace.join("many").join(format!("file-{number}"));
            fs::write(&path, b"").map_err(|error| cannot(&path, &error))?;
        }
        let mebibytes = byte_len as f64 / f64::from(1 << 20);
        let in_workspace = |script: &str| {
            self.best(|| self.recorded(&["--workspace"], workspace.as_os_str(), script))
        };
        let idle = in_workspace("true")?;
        println!("\nworkspace and network, recorded, per CPU second of the host");
        let read = in_workspace("cat large > /dev/null")?;
        let rate = |cost: Cost, amount: f64| amount / (cost.seconds - idle.seconds).max(1e-3);
        println!("  read {:.0} MiB/s", rate(read, mebibytes));
        self.tell_overhead(byte_len)?;
        let script = format!(
            "dd if=/dev/zero of=new bs=65536 count={} 2> /dev/null && sync",
            byte_len >> 16
        );
        println!(
            "  write {:.0} MiB/s",
            rate(in_workspace(&script)?, mebibytes)
        );
        let looked = in_workspace("ls -l many | wc -l")?;
        println!(
            "  list and stat {:.0} files/s",
            rate(looked, file_count as f64)
        );
        let script =
            format!("mkdir n; i=0; while [ $i -lt {file_count} ]; do : > n/$i; i=$((i+1)); done");
        let made = in_workspace(&script)?;
        println!("  create {:.0} files/s", rate(made, file_count as f64));
        fs::remove_dir_all(&workspace).map_err(|error| cannot(&workspace, &error))?;

        let port = serve(bytes)?;
        let fetch =
            |script: &str| self.best(|| self.recorded(&["--net"], "--fast".as_ref(), script));
        let idle = fetch("true")?;
        let script = format!("wget -qO- http://10.0.2.2:{port}/ | wc -c");
        let fetched = fetch(&script)?;
        println!(
            "  fetch by HTTP {:.0} MiB/s",
            mebibytes / (fetched.seconds - idle.seconds).max(1e-3)
        );
        self.tell_overhead(byte_len)
    }

    /// Records a script in a guest that has something of the outside.
    fn recorded(&self, option: &[&str], value: &std::ffi::OsStr, script: &str) -> Result<Cost> {
        let mut command = Command::new(&self.reprise);
        command.args(["record", "--seed", "1", "--force", "-o"]);
        command.arg(self.trace()).args(option).arg(value);
        command.args(["--", "sh", "-c", script]);
        let (said, seconds) = timed(&mut command)?;
        Ok(Cost {
            icount: icount_of(&said)?,
            seconds,
        })
    }

    /// How much larger the last recording is than what entered it, which does not compress.
    fn tell_overhead(&self, entered: usize) -> Result<()> {
        let trace = self.trace();
        let metadata = fs::metadata(&trace).map_err(|error| cannot(&trace, &error))?;
        let ratio = metadata.len() as f64 / entered as f64;
        println!("    its trace is {ratio:.3} of what entered (aim 1.05)");
        Ok(())
    }
}

/// Serves bytes to everybody who asks on loopback, for as long as this process is there.
fn serve(bytes: Vec<u8>) -> Result<u16> {
    let failed = |error| Failure::new(format!("can't serve on loopback: {error}"));
    let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Who goes away before the end has what it wanted.
            let _ = answer(&stream, &bytes);
        }
    });
    Ok(port)
}

fn answer(mut stream: &TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    while lines
        .next()
        .transpose()?
        .is_some_and(|line| !line.is_empty())
    {}
    write!(
        stream,
        "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n",
        bytes.len()
    )?;
    stream.write_all(bytes)
}

/// Bytes that do not compress, always the same.
fn noise(count: usize) -> Vec<u8> {
    let mut reader = blake3::Hasher::new().finalize_xof();
    let mut bytes = vec![0; count];
    reader.fill(&mut bytes);
    bytes
}

fn cannot(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("{} can't be used: {error}", path.display()))
}
