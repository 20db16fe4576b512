//! Hashes that name a part of the guest by everything that decides its bytes.

use std::path::Path;

use super::lock::Section;
use crate::{Result, files};

/// Collects what decides a part's bytes. Each piece carries its name and length, so no two sets of pieces collide.
pub(crate) struct Key {
    hasher: blake3::Hasher,
}

impl Key {
    /// `part` holds a revision number, which changes when the way of building changes with no text of it hashed here.
    pub(crate) fn new(part: &str) -> Self {
        let mut key = Self {
            hasher: blake3::Hasher::new(),
        };
        key.bytes("part", part.as_bytes());
        key
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) {
        for piece in [name.as_bytes(), bytes] {
            self.hasher.update(&(piece.len() as u64).to_le_bytes());
            self.hasher.update(piece);
        }
    }

    pub(crate) fn text(&mut self, name: &str, text: &str) {
        self.bytes(name, text.as_bytes());
    }

    /// Adds a section of the lock file or of the installed tools.
    pub(super) fn section(&mut self, name: &str, section: &Section) {
        for (entry, value) in section {
            self.text(&format!("{name}.{entry}"), value);
        }
    }

    /// Adds a folder's files by relative path, contents, and whether they can be executed.
    pub(super) fn folder(&mut self, folder: &Path) -> Result<()> {
        for file in files::files_below(folder)? {
            let relative = file
                .strip_prefix(folder)
                .unwrap_or(&file)
                .to_string_lossy()
                .into_owned();
            if files::is_executable(&file) {
                self.text("executable", &relative);
            }
            self.bytes(&relative, &files::read(&file)?);
        }
        Ok(())
    }

    /// The key: 32 hexadecimal digits, which is plenty to tell recipes apart and short enough to read.
    pub(crate) fn finish(&self) -> String {
        let mut text = self.hasher.finalize().to_hex().to_string();
        text.truncate(32);
        text
    }
}
