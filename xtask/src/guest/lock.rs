//! `guest/lock.toml`: which versions of which packages go into the guest, and the SHA-256 of their files.
//!
//! The file is TOML, but only its simplest part: sections, and lines of `"name" = "value"`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::{Failure, Result, files};

/// One section: names and their values, sorted.
pub(super) type Section = BTreeMap<String, String>;

const HEADER: &str = "\
# What goes into the default guest. `cargo xtask guest --update-lock` rewrites this file.
# A version that the mirror has forgotten is replaced by its newest, and the build says so.
";

/// A lock file, and likewise the note of its origin that each built part carries.
#[derive(Default)]
pub(super) struct LockFile {
    sections: BTreeMap<String, Section>,
}

impl LockFile {
    pub(super) fn read(path: &Path) -> Result<Self> {
        Self::parse(&files::read_text(path)?).map_err(|line| {
            Failure::new(format!("{}: line {line} is not understood", path.display()))
        })
    }

    /// Parses the file's text, or returns the number of the line that is not understood.
    fn parse(text: &str) -> std::result::Result<Self, usize> {
        let mut parsed = Self::default();
        let mut section = String::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(name) = line
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
            {
                name.clone_into(&mut section);
                parsed.sections.entry(section.clone()).or_default();
                continue;
            }
            let unquoted = |text: &str| {
                let inner = text.trim().strip_prefix('"')?.strip_suffix('"')?;
                (!inner.contains(['"', '\\'])).then(|| inner.to_owned())
            };
            let entry = line
                .split_once('=')
                .and_then(|(name, value)| Some((unquoted(name)?, unquoted(value)?)));
            let (name, value) = entry.ok_or(index + 1)?;
            parsed
                .sections
                .entry(section.clone())
                .or_default()
                .insert(name, value);
        }
        Ok(parsed)
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = HEADER.to_owned();
        for (name, section) in &self.sections {
            text.push_str(&format!("\n[{name}]\n"));
            for (entry, value) in section {
                text.push_str(&format!("\"{entry}\" = \"{value}\"\n"));
            }
        }
        text
    }

    /// The section of this name; empty when there is none.
    pub(super) fn section(&self, name: &str) -> &Section {
        static EMPTY: Section = Section::new();
        self.sections.get(name).unwrap_or(&EMPTY)
    }

    pub(super) fn sections(&self) -> &BTreeMap<String, Section> {
        &self.sections
    }

    pub(super) fn insert(&mut self, name: &str, section: Section) {
        self.sections.insert(name.to_owned(), section);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_comes_back() {
        let mut lock = LockFile::default();
        lock.insert(
            "a",
            Section::from([("x-1.2".to_owned(), "1:3~4".to_owned())]),
        );
        lock.insert("b", Section::new());
        let parsed = LockFile::parse(&lock.to_text()).unwrap();
        assert_eq!(parsed.sections, lock.sections);
    }

    #[test]
    fn a_strange_line_is_named() {
        for text in [
            "# fine\nno equals sign",
            "\nname = \"x\"",
            "[a]\n\"x\" = 3",
            "\n\"x\" = \"a\\n\"",
        ] {
            assert_eq!(LockFile::parse(text).err(), Some(2), "{text}");
        }
    }
}
