//! The debug information of one file, unit by unit.

use super::functions::FunctionTable;
use super::lines::LineTable;
use super::program::{Bytes, SectionReader};
use gimli::{
    Abbreviations, AttributeValue, DebugAbbrev, DebugAbbrevOffset, DebugInfoOffset,
    DebuggingInformationEntry, Dwarf, Reader, Section, Unit, UnitHeader, UnitOffset, UnitRef,
};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, OnceLock};

/// Units of a file. A Rust program with its standard library has some hundred.
const UNITS_MAX: usize = 1 << 14;
/// Bytes of a file's abbreviations, which are unpacked to several times of that; large programs have 1 MiB.
const ABBREVIATION_BYTES_MAX: usize = 8 << 20;
/// Bytes of headers of line tables of all units; several units may share one, which is then unpacked several times.
const LINE_HEADER_BYTES_MAX: u64 = 16 << 20;
/// Ranges of addresses of one unit or entry, and of all units.
pub(super) const RANGES_MAX: usize = 1 << 16;
const UNIT_RANGES_MAX: usize = 1 << 20;
/// Bytes of a name.
const NAME_BYTES_MAX: usize = 1024;

pub(super) type Entry = DebuggingInformationEntry<Bytes>;
pub(super) type Attribute = AttributeValue<Bytes>;

/// An entry of a file's debug information.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct EntryPlace {
    pub(super) unit: usize,
    pub(super) offset: usize,
}

/// A unit: what one compilation has made.
#[derive(Debug)]
pub(super) struct DebugUnit {
    pub(super) unit: Unit<Bytes>,
    lines: OnceLock<LineTable>,
    functions: OnceLock<FunctionTable>,
}

#[derive(Clone, Copy, Debug)]
struct UnitRange {
    begin: u64,
    end: u64,
    unit: usize,
}

/// The debug information of a file.
#[derive(Debug)]
pub(super) struct DebugFile {
    dwarf: Dwarf<Bytes>,
    pub(super) units: Vec<DebugUnit>,
    /// Ascending.
    ranges: Vec<UnitRange>,
}

impl DebugFile {
    pub(super) fn read(reader: &mut SectionReader<'_>) -> Option<Self> {
        let dwarf = Dwarf::load(|id| Ok::<_, Infallible>(reader.section(id))).ok()?;
        let units = units(&dwarf);
        let mut ranges = Vec::new();
        for (number, unit) in units.iter().enumerate() {
            let Ok(mut found) = dwarf.unit_ranges(&unit.unit) else {
                continue;
            };
            for _ in 0..RANGES_MAX {
                let Ok(Some(range)) = found.next() else {
                    break;
                };
                // Code that the linker has left out begins at 0.
                if range.begin < range.end && range.begin != 0 && ranges.len() < UNIT_RANGES_MAX {
                    ranges.push(UnitRange {
                        begin: range.begin,
                        end: range.end,
                        unit: number,
                    });
                }
            }
        }
        ranges.sort_by_key(|range| (range.begin, range.end));
        (!units.is_empty()).then_some(Self {
            dwarf,
            units,
            ranges,
        })
    }

    /// The unit in which an address lies.
    pub(super) fn unit_at(&self, address: u64) -> Option<usize> {
        let behind = self.ranges.partition_point(|range| range.begin <= address);
        let range = self.ranges[..behind].last()?;
        (address < range.end).then_some(range.unit)
    }

    /// A unit, with the sections that it refers to.
    pub(super) fn unit(&self, number: usize) -> UnitRef<'_, Bytes> {
        self.units[number].unit.unit_ref(&self.dwarf)
    }

    /// Whether the header of a unit's line table has a file with the last name of a path. That is told without reading
    /// the table.
    pub(super) fn names_file(&self, number: usize, path: &str) -> bool {
        let unit = self.unit(number);
        let Some(program) = &unit.line_program else {
            return false;
        };
        let name = path.rsplit('/').next().unwrap_or(path).as_bytes();
        program.header().file_names().iter().any(|file| {
            let known = unit.attr_string(file.path_name());
            known.is_ok_and(|known| known.bytes().ends_with(name))
        })
    }

    pub(super) fn lines(&self, number: usize) -> &LineTable {
        let unit = &self.units[number];
        unit.lines
            .get_or_init(|| LineTable::read(self.unit(number)))
    }

    pub(super) fn functions(&self, number: usize) -> &FunctionTable {
        let unit = &self.units[number];
        unit.functions
            .get_or_init(|| FunctionTable::read(self, number))
    }

    pub(super) fn entry(&self, place: EntryPlace) -> Option<Entry> {
        let unit = &self.units.get(place.unit)?.unit;
        unit.entry(UnitOffset(place.offset)).ok()
    }

    /// The entry to which an attribute of a unit's entry refers.
    pub(super) fn referred(&self, unit: usize, value: Option<Attribute>) -> Option<EntryPlace> {
        match value? {
            AttributeValue::UnitRef(offset) => Some(EntryPlace {
                unit,
                offset: offset.0,
            }),
            AttributeValue::DebugInfoRef(offset) => self.place_of(offset),
            _ => None,
        }
    }

    fn place_of(&self, offset: DebugInfoOffset<usize>) -> Option<EntryPlace> {
        let start = |unit: &DebugUnit| unit.unit.header.debug_info_offset().map_or(0, |at| at.0);
        let behind = self.units.partition_point(|unit| start(unit) <= offset.0);
        let unit = behind.checked_sub(1)?;
        let within = offset.to_unit_offset(&self.units[unit].unit.header)?;
        Some(EntryPlace {
            unit,
            offset: within.0,
        })
    }

    /// A text to which an attribute of a unit's entry refers.
    pub(super) fn text(&self, unit: usize, value: Option<Attribute>) -> Option<String> {
        let reader = self.unit(unit).attr_string(value?).ok()?;
        text_of(&reader)
    }

    pub(super) fn name(&self, unit: usize, entry: &Entry) -> Option<String> {
        self.text(unit, entry.attr_value(gimli::DW_AT_name))
    }

    /// The language of a unit.
    pub(super) fn is_rust(&self, unit: usize) -> bool {
        let root = self.units[unit].unit.header.root_offset();
        let root = self.units[unit].unit.entry(root).ok();
        let language = root.and_then(|root| root.attr_value(gimli::DW_AT_language));
        language == Some(AttributeValue::Language(gimli::DW_LANG_Rust))
    }
}

/// A text of the debug information, cut where it is too long to be one.
pub(super) fn text_of(reader: &Bytes) -> Option<String> {
    let bytes = reader.bytes();
    let bytes = &bytes[..bytes.len().min(NAME_BYTES_MAX)];
    Some(String::from_utf8_lossy(bytes).into_owned())
}

/// The units of a file. Those that cannot be read, or that come behind a limit, are left out.
fn units(dwarf: &Dwarf<Bytes>) -> Vec<DebugUnit> {
    let mut headers: Vec<UnitHeader<Bytes>> = Vec::new();
    let mut iterator = dwarf.units();
    while let Ok(Some(header)) = iterator.next() {
        headers.push(header);
        if headers.len() >= UNITS_MAX {
            break;
        }
    }
    let tables = abbreviations(dwarf, &headers);
    let mut line_bytes_left = LINE_HEADER_BYTES_MAX;
    let mut units = Vec::new();
    for header in headers {
        let Some(table) = tables.get(&header.debug_abbrev_offset().0) else {
            continue;
        };
        let line_bytes = line_header_bytes(dwarf, &header, table);
        if line_bytes > line_bytes_left {
            continue;
        }
        line_bytes_left -= line_bytes;
        if let Ok(unit) = Unit::new_with_abbreviations(dwarf, header, Arc::clone(table)) {
            units.push(DebugUnit {
                unit,
                lines: OnceLock::new(),
                functions: OnceLock::new(),
            });
        }
    }
    units
}

/// The tables of abbreviations that units use. Each is read up to where the next begins, so that all together are read
/// once, however they refer to each other.
fn abbreviations(
    dwarf: &Dwarf<Bytes>,
    headers: &[UnitHeader<Bytes>],
) -> BTreeMap<usize, Arc<Abbreviations>> {
    let section = dwarf.debug_abbrev.reader();
    if section.len() > ABBREVIATION_BYTES_MAX {
        return BTreeMap::new();
    }
    let starts = headers.iter().map(|header| header.debug_abbrev_offset().0);
    let starts: BTreeSet<usize> = starts.filter(|start| *start < section.len()).collect();
    let mut tables = BTreeMap::new();
    let ends = starts.iter().skip(1).copied().chain([section.len()]);
    for (start, end) in starts.iter().zip(ends) {
        let part = DebugAbbrev::from(section.range(*start..end));
        if let Ok(table) = part.abbreviations(DebugAbbrevOffset(0)) {
            tables.insert(*start, Arc::new(table));
        }
    }
    tables
}

/// Bytes of the header of a unit's line table (DWARF 5, 6.2.4).
fn line_header_bytes(
    dwarf: &Dwarf<Bytes>,
    header: &UnitHeader<Bytes>,
    table: &Abbreviations,
) -> u64 {
    let read = || -> Option<u64> {
        let root = header.entry(table, header.root_offset()).ok()?;
        let AttributeValue::DebugLineRef(offset) = root.attr_value(gimli::DW_AT_stmt_list)? else {
            return None;
        };
        let mut section = dwarf.debug_line.reader().clone();
        section.skip(offset.0).ok()?;
        let (_, format) = section.read_initial_length().ok()?;
        if section.read_u16().ok()? >= 5 {
            section.skip(2).ok()?;
        }
        Some(section.read_length(format).ok()? as u64)
    };
    read().unwrap_or(0)
}
