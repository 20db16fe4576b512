//! What the app needs of the system: files, addresses, the clock, randomness.

use crate::engine;
use crate::shown::Shared;
use crate::supplies::{NOT_FETCHED, Places};
use crate::trace::{self, Source, Trace};
use reprise_ui::host::{Capacity, File, Host};
use reprise_ui::link::Link;
use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where `reprise serve` is when nobody says otherwise.
const OWN_SITE: &str = "http://127.0.0.1:7710/";
/// Names that are tried for a file that is saved.
const NAMES_MAX: u32 = 10_000;

/// The system, for the app.
pub(crate) struct Desktop {
    reading: Reading,
    files: Receiver<File>,
    /// What to open at the start.
    fragment: Option<String>,
    shared: Rc<Shared>,
}

impl Desktop {
    /// With what is to be opened at the start.
    pub(crate) fn new(
        context: egui::Context,
        places: Arc<Places>,
        shared: Rc<Shared>,
        trace: Option<Trace>,
    ) -> Self {
        let (read, files) = mpsc::channel();
        let mut fragment = None;
        match trace {
            Some(Trace {
                source: Source::Fragment(text),
                ..
            }) => fragment = Some(text),
            Some(Trace {
                source: Source::File(bytes),
                name,
                ..
            }) => {
                let file = File {
                    name: name.unwrap_or_default(),
                    bytes: Ok(bytes),
                };
                // The receiver is here.
                let _ = read.send(file);
            }
            None => {}
        }
        Self {
            reading: Reading {
                read,
                context,
                places,
            },
            files,
            fragment,
            shared,
        }
    }

    /// A way to have files read for the app.
    pub(crate) fn reading(&self) -> Reading {
        self.reading.clone()
    }
}

/// Memory that programs can still get, in bytes (proc(5), `/proc/meminfo`).
fn available_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// Reads files on threads; they come to the app.
#[derive(Clone)]
pub(crate) struct Reading {
    read: Sender<File>,
    context: egui::Context,
    places: Arc<Places>,
}

impl Reading {
    /// Reads a file; it arrives by [`Host::take_file`].
    pub(crate) fn read(&self, path: PathBuf) {
        self.places.opens(&path);
        let Self { read, context, .. } = self.clone();
        thread::spawn(move || {
            let file = File {
                name: path.display().to_string(),
                bytes: trace::read(&path).map_err(|error| reason(&error)),
            };
            // A window that was closed meanwhile does not need it.
            let _ = read.send(file);
            context.request_repaint();
        });
    }
}

/// Why a file cannot be read, without its name, which whoever tells it says in front.
fn reason(error: &anyhow::Error) -> String {
    error.root_cause().to_string()
}

impl Host for Desktop {
    fn capacity(&mut self) -> Capacity {
        Capacity {
            processors: thread::available_parallelism().map_or(1, NonZero::get),
            memory_mebibytes: available_memory().unwrap_or(0) >> 20,
        }
    }

    fn start_engine(&mut self) -> Option<Box<dyn Link>> {
        let Reading {
            context, places, ..
        } = &self.reading;
        let engine = engine::start("searcher", context, places, &self.shared).ok()?;
        Some(Box::new(engine))
    }

    fn save_file(&mut self, name: &str, bytes: &[u8]) {
        let folder = env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
        self.shared.tell(match save(&folder, name, bytes) {
            Ok(path) => format!("Saved as {}", path.display()),
            Err(error) => format!("Nothing could be saved in {}: {error}", folder.display()),
        });
    }

    fn pick_file(&mut self) {
        self.shared.pick();
    }

    fn read_dropped(&mut self, file: egui::DroppedFileHandle) {
        self.reading.read(file.path().to_owned());
    }

    fn take_file(&mut self) -> Option<File> {
        self.files.try_recv().ok()
    }

    fn demos_json(&mut self) -> String {
        String::new()
    }

    fn site_url(&mut self) -> String {
        let site = env::var("REPRISE_SITE").ok().filter(|url| !url.is_empty());
        match &site {
            Some(url) => url.split('#').next().unwrap_or_default().to_owned(),
            None => OWN_SITE.to_owned(),
        }
    }

    fn take_fragment(&mut self) -> Option<String> {
        self.fragment.take()
    }

    fn replace_fragment(&mut self, _fragment: &str) {}

    fn bridge_open(&mut self, _address: &str) {
        self.shared.refuse_bridge();
    }

    fn bridge_send(&mut self, _bytes: &[u8]) {}

    fn bridge_say(&mut self, _text: &str) {}

    fn bridge_close(&mut self) {}

    fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        if getrandom::fill(&mut seed).is_err() {
            // Any seed makes a machine; this one differs from the last.
            seed[..8].copy_from_slice(&self.unix_nanoseconds().to_le_bytes());
        }
        seed
    }

    fn unix_nanoseconds(&mut self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| since.as_nanos() as u64)
    }

    fn surroundings(&self) -> &'static str {
        "window"
    }

    fn has_network(&self) -> bool {
        false
    }

    fn open_path(&mut self, text: &str) -> bool {
        let is_path = !text.contains("://");
        if is_path {
            self.reading.read(PathBuf::from(text));
        }
        is_path
    }

    fn fetch_refusal(&self) -> Option<String> {
        Some(NOT_FETCHED.to_owned())
    }
}

/// Writes a file under a name that is free in the folder; one that cannot be written wholly is taken away again.
fn save(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    let name = Path::new(name);
    let stem = name.file_stem().unwrap_or_default().to_string_lossy();
    let extension = name.extension().unwrap_or_default().to_string_lossy();
    for number in 1..=NAMES_MAX {
        let path = folder.join(match number {
            1 => format!("{stem}.{extension}"),
            _ => format!("{stem}-{number}.{extension}"),
        });
        let mut file = match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
        };
        if let Err(error) = file.write_all(bytes) {
            // What is told is why it could not be written.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        return Ok(path);
    }
    Err(io::Error::other("every name for it is taken"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saving_overwrites_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for (bytes, expect) in [
            (b"a", "recording.rpt"),
            (b"b", "recording-2.rpt"),
            (b"c", "recording-3.rpt"),
        ] {
            let path = save(folder.path(), "recording.rpt", bytes).unwrap();
            assert_eq!(path, folder.path().join(expect));
            assert_eq!(fs::read(path).unwrap(), bytes);
        }
        assert!(save(&folder.path().join("gone"), "recording.rpt", b"a").is_err());
    }
}
