//! What a guest gets from outside: its workspace and its network, recorded.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;

use super::{Bench, Cost, RUNS, icount_of, timed};
use crate::{Failure, Result, files, process, test_images};

/// Bytes that are read, written and fetched.
const BYTES: usize = 64 << 20;
/// Files of the workspace that are only looked at.
const FILES: usize = 10_000;

impl Bench {
    /// What it takes to make a root image of a container image, and to get into a container.
    pub(super) fn containers(&self) -> Result<()> {
        let layout = test_images::build()?.join("gcc");
        let unpacked = unpacked_bytes(&layout)?;
        // A cache with nothing in it but where the guest is.
        let cache = self.folder.join("empty-cache");
        let run = || {
            let mut command = Command::new(&self.reprise);
            command.env("REPRISE_CACHE", &cache);
            command.args(["run", "--seed", "1", "--image"]);
            command.arg(format!("oci:{}:latest", layout.display()));
            command.args(["--", "true"]);
            timed(&mut command)
        };
        let mut from_layout = f64::INFINITY;
        for _ in 0..RUNS {
            files::remove_folder(&cache)?;
            files::make_folder(&cache.join("guest"))?;
            let guest = self.guest.to_string_lossy().into_owned();
            files::write(&cache.join("guest/current"), guest)?;
            from_layout = from_layout.min(run()?.1);
        }
        let mut kept = f64::INFINITY;
        for _ in 0..RUNS {
            kept = kept.min(run()?.1);
        }
        files::remove_folder(&cache)?;
        println!("\ncontainers, in CPU seconds of the host");
        let megabytes = unpacked as f64 / 1e6;
        println!(
            "  a root image of {megabytes:.0} MB of layers: {:.0} MB/s",
            megabytes / (from_layout - kept).max(1e-3)
        );
        println!(
            "  `true` in it, from power-on to power-off: {from_layout:.2} s from the layout, {kept:.2} s with the root image kept"
        );
        Ok(())
    }

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
            self.best(|| {
                let workspace = workspace.to_string_lossy();
                self.recorded(&["--workspace", &workspace], script)
            })
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
        let fetch = |script: &str| self.best(|| self.recorded(&["--net"], script));
        let idle = fetch("true")?;
        let script = format!("wget -qO /dev/null http://10.0.2.2:{port}/");
        let fetched = fetch(&script)?;
        println!(
            "  fetch by HTTP {:.0} MiB/s",
            mebibytes / (fetched.seconds - idle.seconds).max(1e-3)
        );
        self.tell_overhead(byte_len)
    }

    /// Records a script in a guest that has something of the outside.
    fn recorded(&self, options: &[&str], script: &str) -> Result<Cost> {
        let mut command = Command::new(&self.reprise);
        command.args(["record", "--seed", "1", "--force", "-o"]);
        command.arg(self.trace()).args(options);
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

/// Bytes of a layout's layers when they are uncompressed.
fn unpacked_bytes(layout: &Path) -> Result<u64> {
    let mut total = 0;
    for blob in files::entries(&layout.join("blobs/sha256"))? {
        let mut begin = [0; 2];
        let file = fs::File::open(&blob).map_err(|error| cannot(&blob, &error))?;
        let is_layer = (&file).read_exact(&mut begin).is_ok() && begin == [0x1f, 0x8b];
        if is_layer {
            let counted = process::output(
                Command::new("sh")
                    .args(["-c", "gzip -dc \"$0\" | wc -c"])
                    .arg(&blob),
            )?;
            total += counted.trim().parse::<u64>().unwrap_or(0);
        }
    }
    Ok(total)
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
