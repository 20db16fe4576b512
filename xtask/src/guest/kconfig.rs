//! Configuration fragments in Kconfig's own form, for the kernel and for busybox.

use std::path::Path;

use crate::{Failure, Result, files};

/// What a fragment wants of one symbol.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// With its prefix, as `CONFIG_NET`.
    symbol: String,
    /// The value as written, or nothing for a symbol that shall be off.
    value: Option<String>,
}

impl Wish {
    /// The line that expresses this wish.
    pub(super) fn line(&self) -> String {
        match &self.value {
            Some(value) => format!("{}={value}", self.symbol),
            None => format!("# {} is not set", self.symbol),
        }
    }
}

/// Parses the lines of a fragment or of a final configuration; comments express no wish.
pub(super) fn parse(text: &str) -> Vec<Wish> {
    let wish = |line: &str| {
        let line = line.trim();
        if let Some(symbol) = line
            .strip_prefix("# ")
            .and_then(|rest| rest.strip_suffix(" is not set"))
        {
            return symbol.starts_with("CONFIG_").then(|| Wish {
                symbol: symbol.to_owned(),
                value: None,
            });
        }
        let (symbol, value) = line.split_once('=')?;
        symbol.starts_with("CONFIG_").then(|| Wish {
            symbol: symbol.to_owned(),
            value: Some(value.to_owned()),
        })
    };
    text.lines().filter_map(wish).collect()
}

/// Reads every `*.config` of a folder, in the order of their names.
pub(super) fn read_fragments(folder: &Path) -> Result<Vec<Wish>> {
    let mut wishes = Vec::new();
    for file in files::entries(folder)? {
        if file
            .extension()
            .is_some_and(|extension| extension == "config")
        {
            wishes.extend(parse(&files::read_text(&file)?));
        }
    }
    Ok(wishes)
}

/// Lays wishes over a configuration's text: their symbols' old lines go, the new ones come last.
pub(super) fn lay_over(configuration: &str, wishes: &[Wish]) -> String {
    let replaced = |line: &str| {
        parse(line)
            .first()
            .is_some_and(|old| wishes.iter().any(|new| new.symbol == old.symbol))
    };
    let mut text = String::new();
    for line in configuration.lines().filter(|line| !replaced(line)) {
        text.push_str(line);
        text.push('\n');
    }
    for wish in wishes {
        text.push_str(&wish.line());
        text.push('\n');
    }
    text
}

/// Checks that the final configuration is what the fragments asked for: Kconfig drops without a word what it does not
/// know or what lacks a dependency. A symbol that shall be off may be missing as well.
pub(super) fn check(configuration: &Path, wishes: &[Wish]) -> Result<()> {
    let found = parse(&files::read_text(configuration)?);
    let dropped = |wish: &&Wish| {
        let value = found
            .iter()
            .find(|found| found.symbol == wish.symbol)
            .and_then(|found| found.value.as_ref());
        value != wish.value.as_ref()
    };
    let dropped: Vec<String> = wishes.iter().filter(dropped).map(Wish::line).collect();
    if dropped.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "Kconfig did not take these lines of the recipe:\n  {}",
        dropped.join("\n  ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_replace_what_was_there() {
        let wishes = parse(
            "# a comment\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_S=\"x=y\"\n# see CONFIG_A\n",
        );
        assert_eq!(wishes.len(), 3);
        let text = lay_over(
            "# Head\nCONFIG_B=y\nCONFIG_C=y\n# CONFIG_A is not set\nCONFIG_AB=y\n",
            &wishes,
        );
        assert_eq!(
            text,
            "# Head\nCONFIG_C=y\nCONFIG_AB=y\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_S=\"x=y\"\n"
        );
    }
}
