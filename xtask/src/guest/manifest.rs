//! `manifest.json`: what a built guest is and what went into it.

use std::path::{Path, PathBuf};

use super::lock::{LockFile, Section};
use super::{COMMAND_LINE, NAME, Recipe};
use crate::{Result, files};

/// The files of a guest, in the order in which the manifest lists them.
const FILES: &[&str] = &["Image", "vmlinux", "initrd"];

/// The manifest's text: `name`, `recipe`, `command_line`, `containers` (whether init runs them), `workspaces` (whether it mounts them), `files` (each with
/// `blake3` and `bytes`), `sources` (each with its `version` and the SHA-256 of its files), `tools` (package versions)
/// and `rustc`.
pub(super) fn describe(
    recipe: &Recipe,
    key: &str,
    folder: &Path,
    parts: &[&PathBuf],
) -> Result<String> {
    let mut listed = Vec::new();
    for name in FILES {
        let contents = files::read(&folder.join(name))?;
        let hash = blake3::hash(&contents).to_hex();
        listed.push(format!(
            "{}: {{ \"blake3\": \"{hash}\", \"bytes\": {} }}",
            quoted(name),
            contents.len()
        ));
    }
    let mut sources = Vec::new();
    for part in parts {
        for (package, section) in LockFile::read(&part.join("origin.toml"))?.sections() {
            sources.push(format!("{}: {}", quoted(package), object(section, 4)));
        }
    }
    Ok(format!(
        "{{\n  \"name\": {},\n  \"recipe\": {},\n  \"command_line\": {},\n  \"containers\": true,\n  \"workspaces\": true,\n  \
         \"files\": {{\n    {}\n  }},\n  \"sources\": {{\n    {}\n  }},\n  \"tools\": {},\n  \"rustc\": {}\n}}\n",
        quoted(NAME),
        quoted(key),
        quoted(COMMAND_LINE),
        listed.join(",\n    "),
        sources.join(",\n    "),
        object(&recipe.tools, 2),
        quoted(recipe.rustc.lines().next().unwrap_or_default()),
    ))
}

/// A section as a JSON object whose closing brace stands at `indent`.
fn object(section: &Section, indent: usize) -> String {
    let inner = " ".repeat(indent + 2);
    let entries: Vec<String> = section
        .iter()
        .map(|(name, value)| format!("{inner}{}: {}", quoted(name), quoted(value)))
        .collect();
    format!("{{\n{}\n{}}}", entries.join(",\n"), " ".repeat(indent))
}

/// A text as a JSON string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", control as u32)),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped() {
        assert_eq!(quoted("a\"b\\c\n"), "\"a\\\"b\\\\c\\u000a\"");
    }
}
