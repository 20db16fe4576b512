//! From what people type to addresses: `0x1234`, `function`, `file.c:12`.

use super::cache::ProcessObjects;
use super::dwarf::DebugFile;
use super::functions::Function;
use crate::session::{DebugSession, ThreadView};
use std::collections::BTreeMap;

/// Places that one text can mean: a function that was put into others is in all of them.
const PLACES_MAX: usize = 64;

impl DebugSession {
    /// The addresses that a text means for a thread's process, ascending: an address as `0x1234`, the name of a function,
    /// or a line as `file.c:12`. A line without code means the next one that has some.
    ///
    /// # Errors
    /// Why it means nothing, in a sentence.
    pub fn resolve(&mut self, view: &ThreadView, text: &str) -> Result<Vec<u64>, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("type an address, a function, or a line as `file.c:12`".into());
        }
        if let Some(digits) = text.trim_start_matches('*').strip_prefix("0x") {
            let address = u64::from_str_radix(digits, 16);
            return address.map(|address| vec![address]).map_err(|_| {
                format!("`{text}` is not an address: it has up to 16 digits after `0x`")
            });
        }
        let objects = self.objects(view);
        let mut found = match line_of(text) {
            Some((path, line)) => addresses_of_line(&objects, path, line)?,
            None => addresses_of_function(&objects, text),
        };
        if found.is_empty() {
            let of_kernel = self
                .kernel()
                .ok()
                .and_then(|kernel| kernel.address_of(text));
            found.extend(of_kernel.map(|address| address.0));
        }
        if found.is_empty() {
            return Err(format!("nothing of the program is called `{text}`"));
        }
        found.sort_unstable();
        found.dedup();
        found.truncate(PLACES_MAX);
        Ok(found)
    }
}

/// The file and the line that a text names.
fn line_of(text: &str) -> Option<(&str, u32)> {
    let (path, line) = text.rsplit_once(':')?;
    let line: u32 = line.parse().ok()?;
    (!path.is_empty() && !path.ends_with(':')).then_some((path, line))
}

fn addresses_of_line(objects: &ProcessObjects, path: &str, line: u32) -> Result<Vec<u64>, String> {
    // The line itself, or the nearest below it of all units that have the file.
    let mut best: Option<u32> = None;
    let mut found = Vec::new();
    let mut is_known = false;
    for (program, bias) in objects.programs() {
        let Some(debug) = &program.debug else {
            continue;
        };
        for unit in 0..debug.units.len() {
            if !debug.names_file(unit, path) {
                continue;
            }
            is_known = true;
            let lines = debug.lines(unit);
            let files = lines.files_named(path);
            let meant = |row: &&super::lines::Row| {
                row.is_statement && row.line >= line && files.contains(&row.file)
            };
            let Some(nearest) = lines.rows().iter().filter(meant).map(|row| row.line).min() else {
                continue;
            };
            if best.is_some_and(|best| nearest > best) {
                continue;
            }
            if best != Some(nearest) {
                found.clear();
                best = Some(nearest);
            }
            let own = addresses_in(debug, unit, &files, nearest);
            found.extend(own.into_iter().map(|own| own.wrapping_add(bias)));
        }
    }
    match (best, is_known) {
        (Some(_), _) => Ok(found),
        (None, true) => Err(format!("`{path}` has no code at line {line} or behind it")),
        (None, false) => Err(format!(
            "no debug information of the program names the file `{path}`"
        )),
    }
}

/// Where the code of a line begins: once in each function, and in each copy of one.
fn addresses_in(debug: &DebugFile, unit: usize, files: &[u32], line: u32) -> Vec<u64> {
    let functions = debug.functions(unit);
    let mut lowest: BTreeMap<Option<usize>, u64> = BTreeMap::new();
    for row in debug.lines(unit).rows() {
        if row.line != line || !row.is_statement || !files.contains(&row.file) {
            continue;
        }
        let function = functions.chain_at(row.address).last().copied();
        let address = lowest.entry(function).or_insert(row.address);
        *address = (*address).min(row.address);
        if lowest.len() >= PLACES_MAX {
            break;
        }
    }
    let addresses = lowest.into_iter().map(|(number, address)| {
        let function = number.map(|number| functions.get(number));
        match function.filter(|function| function.entry == address) {
            Some(function) => behind_prologue(debug, unit, function),
            None => address,
        }
    });
    addresses.collect()
}

fn addresses_of_function(objects: &ProcessObjects, name: &str) -> Vec<u64> {
    let mut found = Vec::new();
    for (program, bias) in objects.programs() {
        let before = found.len();
        if let Some(debug) = &program.debug {
            for unit in 0..debug.units.len() {
                for function in debug.functions(unit).all() {
                    if found.len() >= PLACES_MAX {
                        return found;
                    }
                    if function
                        .name
                        .as_deref()
                        .is_some_and(|known| is_named(known, name))
                    {
                        let own = behind_prologue(debug, unit, function);
                        found.push(own.wrapping_add(bias));
                    }
                }
            }
        }
        if found.len() == before {
            let left = PLACES_MAX - found.len();
            let named = program.symbols_named(name).take(left);
            found.extend(named.map(|own| own.wrapping_add(bias)));
        }
    }
    found
}

/// Whether a function is meant by a name, with or without the modules around it.
fn is_named(known: &str, name: &str) -> bool {
    let before = known.strip_suffix(name);
    before.is_some_and(|before| before.is_empty() || before.ends_with("::"))
}

/// Where a function has put its arguments to where its debug information says that they are.
pub(super) fn behind_prologue(debug: &DebugFile, unit: usize, function: &Function) -> u64 {
    let entry = function.entry;
    let functions = debug.functions(unit);
    let end = functions.chain_at(entry).first().and_then(|outer| {
        let ranges = functions.ranges_of(*outer).iter();
        ranges
            .clone()
            .find(|(begin, end)| (*begin..*end).contains(&entry))
            .map(|(_, end)| *end)
    });
    // What has been put into another has no prologue, and where the places of variables are told instruction by
    // instruction they are right from the first one on.
    let Some(end) = end.filter(|_| !function.is_inlined()) else {
        return entry;
    };
    let lines = debug.lines(unit);
    if let Some(row) = lines
        .rows_within(entry, end)
        .find(|row| row.is_prologue_end)
    {
        return row.address;
    }
    if function.has_location_lists {
        return entry;
    }
    let second = lines
        .rows_within(entry + 1, end)
        .find(|row| row.is_statement && row.line != 0);
    second.map_or(entry, |row| row.address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_and_a_function_of_a_module_are_told_apart() {
        assert_eq!(line_of("race.c:12"), Some(("race.c", 12)));
        assert_eq!(line_of("parser::evaluate"), None);
        assert_eq!(line_of(":12"), None);
        assert_eq!(line_of("race.c:x"), None);
        assert!(is_named("parser::evaluate", "evaluate"));
        assert!(is_named("parser::evaluate", "parser::evaluate"));
        assert!(!is_named("parser::reevaluate", "evaluate"));
    }
}
