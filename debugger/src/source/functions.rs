//! The functions of a unit, and which of them the compiler has put into others.

use super::dwarf::{DebugFile, Entry, EntryPlace, RANGES_MAX};
use gimli::{AttributeValue, DwTag};
use std::collections::BTreeMap;

/// Entries of a unit that are looked at; an entry has two bytes at least.
const ENTRIES_MAX: usize = 1 << 23;
/// Functions of a unit, copies that were put into others included.
const FUNCTIONS_MAX: usize = 1 << 18;
/// Ranges of addresses of all functions of a unit.
const UNIT_RANGES_MAX: usize = 1 << 19;
/// Functions inside of functions inside of functions.
const CHAIN_MAX: usize = 64;
/// References from one description of a function to another: a copy, its original, that one's declaration.
const REFERENCES_MAX: usize = 8;
/// Bytes of a name with the modules around it.
const NAME_BYTES_MAX: usize = 1024;

/// A function, or a copy of one inside of another.
#[derive(Clone, Debug)]
pub(super) struct Function {
    /// Its entry.
    pub(super) place: EntryPlace,
    pub(super) name: Option<String>,
    /// The function into which it was put.
    parent: Option<usize>,
    /// Number of the first function behind those that are in it.
    behind: usize,
    /// In the unit's list of ranges.
    ranges: (usize, usize),
    /// Where it is entered.
    pub(super) entry: u64,
    /// Where it is called from, if it was put into another: number of the file, line and column.
    pub(super) call: Option<(u32, u32, u32)>,
    /// Whether the places of its variables are told instruction by instruction.
    pub(super) has_location_lists: bool,
}

impl Function {
    /// Whether it was put into another.
    pub(super) fn is_inlined(&self) -> bool {
        self.parent.is_some()
    }
}

/// The functions of a unit.
#[derive(Debug, Default)]
pub(super) struct FunctionTable {
    /// Each before those that are in it.
    functions: Vec<Function>,
    ranges: Vec<(u64, u64)>,
    /// Ranges of functions that are in no other, ascending.
    outer: Vec<(u64, u64, usize)>,
    /// Names of all functions that are described, by their entries.
    names: BTreeMap<usize, String>,
}

/// What a walk is inside of.
struct Level {
    depth: isize,
    function: Option<usize>,
    /// Bytes of the path of names around.
    path_len: usize,
}

impl FunctionTable {
    pub(super) fn read(debug: &DebugFile, number: usize) -> Self {
        let mut table = Self::default();
        // What can be read up to a mistake is better than nothing.
        let _ = table.walk(debug, number);
        table.resolve_names(debug, number);
        for at in 0..table.functions.len() {
            let function = &table.functions[at];
            if !function.is_inlined() {
                let (first, end) = function.ranges;
                let ranges = table.ranges[first..end].iter();
                table
                    .outer
                    .extend(ranges.map(|(begin, end)| (*begin, *end, at)));
            }
        }
        table.outer.sort_unstable();
        table
    }

    pub(super) fn all(&self) -> &[Function] {
        &self.functions
    }

    pub(super) fn get(&self, number: usize) -> &Function {
        &self.functions[number]
    }

    pub(super) fn ranges_of(&self, number: usize) -> &[(u64, u64)] {
        let (first, end) = self.functions[number].ranges;
        &self.ranges[first..end]
    }

    pub(super) fn contains(&self, number: usize, address: u64) -> bool {
        let is_in = |(begin, end): &(u64, u64)| (*begin..*end).contains(&address);
        self.ranges_of(number).iter().any(is_in)
    }

    /// The function in which an address lies, then the copy inside of it, and so on.
    pub(super) fn chain_at(&self, address: u64) -> Vec<usize> {
        let behind = self.outer.partition_point(|(begin, ..)| *begin <= address);
        let Some((_, end, outer)) = self.outer[..behind].last().copied() else {
            return Vec::new();
        };
        if address >= end {
            return Vec::new();
        }
        let mut chain = vec![outer];
        let mut at = outer + 1;
        while at < self.functions[outer].behind && chain.len() < CHAIN_MAX {
            let function = &self.functions[at];
            if function.parent == chain.last().copied() && self.contains(at, address) {
                chain.push(at);
                at += 1;
            } else {
                // What is in it is elsewhere as well.
                at = function.behind.max(at + 1);
            }
        }
        chain
    }

    fn walk(&mut self, debug: &DebugFile, number: usize) -> Option<()> {
        let unit = debug.unit(number);
        let mut entries = unit.entries_raw(None).ok()?;
        let mut entry = Entry::null();
        let mut levels: Vec<Level> = Vec::new();
        let mut path = String::new();
        for _ in 0..ENTRIES_MAX {
            if entries.is_empty() {
                break;
            }
            if !entries.read_entry(&mut entry).ok()? {
                continue;
            }
            while levels
                .last()
                .is_some_and(|level| level.depth >= entry.depth())
            {
                if let Some(number) = levels.pop().and_then(|level| level.function) {
                    self.functions[number].behind = self.functions.len();
                }
                path.truncate(levels.last().map_or(0, |level| level.path_len));
            }
            match entry.tag() {
                gimli::DW_TAG_subprogram | gimli::DW_TAG_inlined_subroutine => {
                    let name = debug.name(number, &entry);
                    if let Some(name) = &name {
                        let qualified = qualified(&path, name);
                        self.names.insert(entry.offset().0, qualified);
                    }
                    let function = self.add(debug, number, &entry, &levels);
                    // A function inside of another is told with its name alone.
                    self.enter(&mut levels, &entry, function, path.len());
                }
                gimli::DW_TAG_namespace
                | gimli::DW_TAG_structure_type
                | gimli::DW_TAG_class_type
                | gimli::DW_TAG_union_type
                | gimli::DW_TAG_enumeration_type
                    if entry.has_children() =>
                {
                    let name = debug.name(number, &entry);
                    if let Some(name) = name.filter(|it| path.len() + it.len() < NAME_BYTES_MAX) {
                        path = qualified(&path, &name);
                    }
                    self.enter(&mut levels, &entry, None, path.len());
                }
                gimli::DW_TAG_variable | gimli::DW_TAG_formal_parameter => {
                    let location = entry.attr_value(gimli::DW_AT_location);
                    let is_list = matches!(
                        location,
                        Some(
                            AttributeValue::LocationListsRef(_)
                                | AttributeValue::DebugLocListsIndex(_)
                                | AttributeValue::SecOffset(_)
                        )
                    );
                    let around = levels.iter().rev().find_map(|level| level.function);
                    if let Some(around) = around.filter(|_| is_list) {
                        self.functions[around].has_location_lists = true;
                    }
                }
                _ => {}
            }
            if self.functions.len() >= FUNCTIONS_MAX || self.ranges.len() >= UNIT_RANGES_MAX {
                break;
            }
        }
        while let Some(level) = levels.pop() {
            if let Some(number) = level.function {
                self.functions[number].behind = self.functions.len();
            }
        }
        Some(())
    }

    fn enter(
        &self,
        levels: &mut Vec<Level>,
        entry: &Entry,
        function: Option<usize>,
        path_len: usize,
    ) {
        if entry.has_children() {
            levels.push(Level {
                depth: entry.depth(),
                function,
                path_len,
            });
        }
    }

    /// Takes a function over if it has code.
    fn add(
        &mut self,
        debug: &DebugFile,
        number: usize,
        entry: &Entry,
        levels: &[Level],
    ) -> Option<usize> {
        let unit = debug.unit(number);
        let first = self.ranges.len();
        let mut ranges = unit.die_ranges(entry).ok()?;
        for _ in 0..RANGES_MAX {
            let Ok(Some(range)) = ranges.next() else {
                break;
            };
            if range.begin != 0 && range.begin < range.end {
                self.ranges.push((range.begin, range.end));
            }
            if self.ranges.len() >= UNIT_RANGES_MAX {
                break;
            }
        }
        let lowest = self.ranges[first..].iter().map(|(begin, _)| *begin).min()?;
        let address = |name| {
            let value = entry.attr_value(name)?;
            unit.attr_address(value).ok().flatten()
        };
        let is_inlined = entry.tag() == DwTag(gimli::DW_TAG_inlined_subroutine.0);
        let parent = levels.iter().rev().find_map(|level| level.function);
        let parent = parent.filter(|_| is_inlined);
        let udata = |name| {
            let value = match entry.attr_value(name)? {
                AttributeValue::FileIndex(number) => number,
                other => other.udata_value()?,
            };
            u32::try_from(value).ok()
        };
        let call = parent.and_then(|_| {
            Some((
                udata(gimli::DW_AT_call_file)?,
                udata(gimli::DW_AT_call_line)?,
                udata(gimli::DW_AT_call_column).unwrap_or(0),
            ))
        });
        let entry_address = address(gimli::DW_AT_entry_pc)
            .filter(|_| is_inlined)
            .or_else(|| address(gimli::DW_AT_low_pc));
        self.functions.push(Function {
            place: EntryPlace {
                unit: number,
                offset: entry.offset().0,
            },
            name: None,
            parent,
            behind: self.functions.len() + 1,
            ranges: (first, self.ranges.len()),
            entry: entry_address.unwrap_or(lowest),
            call,
            has_location_lists: false,
        });
        Some(self.functions.len() - 1)
    }

    fn resolve_names(&mut self, debug: &DebugFile, number: usize) {
        for at in 0..self.functions.len() {
            let place = self.functions[at].place;
            self.functions[at].name = self.name_of(debug, number, place);
        }
    }

    /// The name of a function, which may stand at another entry than its code.
    fn name_of(&self, debug: &DebugFile, number: usize, mut place: EntryPlace) -> Option<String> {
        let mut found = None;
        for _ in 0..REFERENCES_MAX {
            let entry = debug.entry(place)?;
            if place.unit == number {
                if let Some(name) = self.names.get(&place.offset) {
                    found = Some(name.clone());
                }
            } else if let Some(name) = debug.name(place.unit, &entry) {
                found = Some(name);
            }
            // A declaration inside of a type tells the whole path.
            let origin = entry.attr_value(gimli::DW_AT_abstract_origin);
            let origin = origin.or_else(|| entry.attr_value(gimli::DW_AT_specification));
            match debug.referred(place.unit, origin) {
                Some(next) => place = next,
                None => break,
            }
        }
        found
    }
}

fn qualified(path: &str, name: &str) -> String {
    if path.is_empty() || path.len() + name.len() > NAME_BYTES_MAX {
        name.to_owned()
    } else {
        format!("{path}::{name}")
    }
}
