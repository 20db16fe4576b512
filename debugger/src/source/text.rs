//! The sources, where the guest has them.

use crate::session::{DebugSession, ThreadView};

/// Bytes of a source text; generated ones can be large, and nobody reads those.
const TEXT_BYTES_MAX: u64 = 4 << 20;
/// Where systems keep sources that are not where they were compiled.
const FOLDERS: [&str; 2] = ["/usr/src", "/demos/src"];
/// The mode's bits for a regular file, as in `stat`.
const REGULAR: u32 = 0o100_000;
const KIND: u32 = 0o170_000;

impl DebugSession {
    /// A source text that debug information names, if the guest's files hold it: at its path, below `/usr/src` and the
    /// demos' sources, or beside the program. Bytes that are no UTF-8 are replaced.
    #[must_use]
    pub fn read_source(&self, view: &ThreadView, path: &str) -> Option<String> {
        let linux = self.linux()?;
        let task = self.task_of_view(view);
        let mut places = Vec::new();
        if path.starts_with('/') {
            places.push(path.to_owned());
        }
        let relative = path.trim_start_matches('/');
        let name = path.rsplit('/').next().filter(|name| !name.is_empty())?;
        let program = task.as_ref().and_then(|task| linux.executable(task));
        let program = program.and_then(|path| String::from_utf8(path).ok());
        if let Some((folder, _)) = program.as_deref().and_then(|path| path.rsplit_once('/')) {
            places.extend([name, relative].map(|end| format!("{folder}/{end}")));
            places.push(format!("{folder}/src/{name}"));
        }
        for folder in FOLDERS {
            places.extend([relative, name].map(|end| format!("{folder}/{end}")));
        }
        places.iter().find_map(|place| {
            let file = match &task {
                Some(task) => linux.find_file_of(task, place.as_bytes()),
                None => linux.find_file(place.as_bytes()),
            }?;
            if file.mode & KIND != REGULAR || file.size > TEXT_BYTES_MAX {
                return None;
            }
            let mut bytes = vec![0; file.size as usize];
            let read = linux.read_file(&file, 0, &mut bytes)?;
            (read == bytes.len()).then(|| String::from_utf8_lossy(&bytes).into_owned())
        })
    }
}
