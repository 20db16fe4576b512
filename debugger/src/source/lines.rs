//! Which line an address belongs to, and where the code of a line is.

use super::SourceLocation;
use super::dwarf::text_of;
use super::program::Bytes;
use gimli::{AttributeValue, ColumnType, LineProgramHeader, UnitRef};

/// Rows of a unit's table. The largest units that compilers make have a tenth of that.
const ROWS_MAX: usize = 1 << 20;
/// Source files of a unit.
const FILES_MAX: usize = 1 << 14;
/// Bytes of a path: `PATH_MAX`, include/uapi/linux/limits.h.
const PATH_BYTES_MAX: usize = 4096;

/// A row of the table: from its address on, up to that of the next row, is the code of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Row {
    pub(super) address: u64,
    /// First address of the next row.
    pub(super) end: u64,
    /// Number of the file in the unit.
    pub(super) file: u32,
    /// 0: of no line.
    pub(super) line: u32,
    column: u32,
    /// The code of a statement begins here.
    pub(super) is_statement: bool,
    /// What a function does before its first statement has been done here.
    pub(super) is_prologue_end: bool,
    /// It is the one of its address that counts.
    is_chosen: bool,
}

/// The rows of a unit.
#[derive(Debug, Default)]
pub(super) struct LineTable {
    /// Ascending.
    rows: Vec<Row>,
    files: Vec<String>,
}

impl LineTable {
    pub(super) fn read(unit: UnitRef<'_, Bytes>) -> Self {
        let Some(program) = unit.line_program.clone() else {
            return Self::default();
        };
        let files = files(unit, program.header());
        let mut table = Vec::new();
        let mut sequence: Vec<Row> = Vec::new();
        let mut rows = program.rows();
        while let Ok(Some((_, row))) = rows.next_row() {
            if row.end_sequence() {
                close(&mut sequence, row.address(), &mut table);
            } else {
                sequence.push(Row {
                    address: row.address(),
                    end: row.address(),
                    file: u32::try_from(row.file_index()).unwrap_or(u32::MAX),
                    line: row
                        .line()
                        .map_or(0, |line| u32::try_from(line.get()).unwrap_or(0)),
                    column: match row.column() {
                        ColumnType::LeftEdge => 0,
                        ColumnType::Column(column) => u32::try_from(column.get()).unwrap_or(0),
                    },
                    is_statement: row.is_stmt(),
                    is_prologue_end: row.prologue_end(),
                    is_chosen: false,
                });
            }
            if table.len() + sequence.len() >= ROWS_MAX {
                break;
            }
        }
        table.sort_by_key(|row| (row.address, row.end));
        Self { rows: table, files }
    }

    /// The row to which an address belongs.
    pub(super) fn row_at(&self, address: u64) -> Option<&Row> {
        let behind = self.rows.partition_point(|row| row.address <= address);
        let start = self.rows[..behind].last()?.address;
        let of_address = self.rows[..behind].iter().rev();
        let mut of_address = of_address.take_while(|row| row.address == start);
        of_address.find(|row| row.is_chosen && address < row.end)
    }

    /// Whether what a line does begins at an address, as far as the order of the code tells: a line's code often has several
    /// rows, and the later ones are in the middle of it.
    pub(super) fn begins_line(&self, address: u64) -> bool {
        let row = self.row_at(address).filter(|row| row.address == address);
        let before = address.checked_sub(1).and_then(|last| self.row_at(last));
        row.is_some_and(|row| {
            row.is_statement
                && before.is_none_or(|before| (before.file, before.line) != (row.file, row.line))
        })
    }

    /// The rows that begin within a range of addresses, one of each address.
    pub(super) fn rows_within(&self, begin: u64, end: u64) -> impl Iterator<Item = &Row> {
        let first = self.rows.partition_point(|row| row.address < begin);
        let rows = self.rows[first..].iter();
        rows.take_while(move |row| row.address < end)
            .filter(|row| row.is_chosen)
    }

    /// All rows, in the order of their addresses.
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(super) fn file(&self, number: u32) -> Option<&str> {
        let path = self.files.get(usize::try_from(number).ok()?)?;
        (!path.is_empty()).then_some(path)
    }

    /// Numbers of the files to which a path that somebody typed can refer.
    pub(super) fn files_named(&self, path: &str) -> Vec<u32> {
        let is_meant = |(_, known): &(usize, &String)| ends_with_path(known, path);
        let found = self.files.iter().enumerate().filter(is_meant);
        found.map(|(number, _)| number as u32).collect()
    }

    pub(super) fn location(&self, row: &Row) -> Option<SourceLocation> {
        (row.line != 0).then_some(())?;
        Some(SourceLocation {
            path: self.file(row.file)?.to_owned(),
            line: row.line,
            column: row.column,
        })
    }
}

/// Whether a path ends with another, whole names only.
pub(super) fn ends_with_path(path: &str, end: &str) -> bool {
    let before = path.strip_suffix(end);
    !end.is_empty()
        && before.is_some_and(|before| {
            before.is_empty() || before.ends_with('/') || end.starts_with('/')
        })
}

/// Takes over a sequence of rows that ends before an address.
fn close(sequence: &mut Vec<Row>, end: u64, table: &mut Vec<Row>) {
    // Their addresses ascend, DWARF 5 says in 6.2.5.
    sequence.sort_by_key(|row| row.address);
    // Code that the linker has left out begins at 0.
    let is_there = sequence.first().is_some_and(|first| first.address != 0);
    let mut next_address = end;
    let mut at = sequence.len();
    while at > 0 && is_there {
        let address = sequence[at - 1].address;
        let first = sequence[..at].partition_point(|row| row.address < address);
        let group = &mut sequence[first..at];
        for row in group.iter_mut() {
            row.end = next_address.max(address);
        }
        // As gdb does it: the last row of an address counts, or the last one at which a statement begins.
        let chosen = group
            .iter()
            .rposition(|row| row.is_statement && row.line != 0);
        let chosen = chosen.unwrap_or(group.len() - 1);
        group[chosen].is_chosen = true;
        next_address = address;
        at = first;
    }
    if is_there {
        table.append(sequence);
    }
    sequence.clear();
}

fn files(unit: UnitRef<'_, Bytes>, header: &LineProgramHeader<Bytes>) -> Vec<String> {
    let text = |value: AttributeValue<Bytes>| text_of(&unit.attr_string(value).ok()?);
    let folder = unit.comp_dir.as_ref().and_then(text_of).unwrap_or_default();
    // Before version 5, files are numbered from 1 on.
    let before = usize::from(header.version() < 5);
    let count = header.file_names().len() + before;
    let paths = (0..count.min(FILES_MAX)).map(|number| {
        let file = header.file(number as u64)?;
        let mut path = folder.clone();
        if file.directory_index() != 0 || header.version() >= 5 {
            join(&mut path, &file.directory(header).and_then(text)?);
        }
        join(&mut path, &text(file.path_name())?);
        (path.len() <= PATH_BYTES_MAX).then(|| normal(&path))
    });
    paths.map(Option::unwrap_or_default).collect()
}

fn join(path: &mut String, more: &str) {
    if more.starts_with('/') {
        path.clear();
    } else if !path.is_empty() && !path.ends_with('/') {
        path.push('/');
    }
    path.push_str(more);
}

/// A path without `.` and `..` where they can be taken out.
fn normal(path: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "." => {}
            "" if !names.is_empty() => {}
            ".." if names
                .last()
                .is_some_and(|last| !last.is_empty() && *last != "..") =>
            {
                names.pop();
            }
            _ => names.push(name),
        }
    }
    names.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_by_their_ends_in_whole_names() {
        for (path, end, expected) in [
            ("/demos/src/race.c", "race.c", true),
            ("/demos/src/race.c", "src/race.c", true),
            ("/demos/src/race.c", "/demos/src/race.c", true),
            ("/demos/src/race.c", "ace.c", false),
            ("/demos/src/race.c", "", false),
            ("race.c", "race.c", true),
        ] {
            assert_eq!(ends_with_path(path, end), expected, "{path} {end}");
        }
        for (path, expected) in [
            ("/demos/src/./race.c", "/demos/src/race.c"),
            ("/demos/src/../race.c", "/demos/race.c"),
            ("../a.c", "../a.c"),
            ("/../a.c", "/../a.c"),
            ("a//b.c", "a/b.c"),
        ] {
            assert_eq!(normal(path), expected);
        }
    }

    fn row(address: u64, line: u32, is_statement: bool) -> Row {
        Row {
            address,
            end: 0,
            file: 0,
            line,
            column: 0,
            is_statement,
            is_prologue_end: false,
            is_chosen: false,
        }
    }

    #[test]
    fn of_several_rows_at_one_address_the_last_statement_counts() {
        let mut table = Vec::new();
        let mut sequence = vec![
            row(0x10, 1, true),
            row(0x10, 2, true),
            row(0x10, 3, false),
            row(0x14, 4, false),
            row(0x18, 0, true),
        ];
        close(&mut sequence, 0x20, &mut table);
        let table = LineTable {
            rows: table,
            files: vec!["a.c".into()],
        };
        for (address, line) in [
            (0xf, None),
            (0x10, Some(2)),
            (0x13, Some(2)),
            (0x14, Some(4)),
            (0x18, Some(0)),
            (0x1f, Some(0)),
            (0x20, None),
        ] {
            let found = table.row_at(address).map(|row| row.line);
            assert_eq!(found, line, "{address:#x}");
        }
        assert_eq!(table.rows_within(0x10, 0x18).count(), 2);
    }

    #[test]
    fn a_line_begins_at_the_first_of_its_rows_that_follow_each_other() {
        let mut table = Vec::new();
        let mut sequence = vec![
            row(0x10, 119, true),
            row(0x14, 120, true),
            row(0x18, 120, true),
            row(0x1c, 120, false),
            row(0x20, 121, true),
            row(0x24, 120, false),
            row(0x28, 120, true),
        ];
        close(&mut sequence, 0x2c, &mut table);
        let table = LineTable {
            rows: table,
            files: vec!["a.c".into()],
        };
        let begins = (0xf..0x30).filter(|address| table.begins_line(*address));
        assert_eq!(begins.collect::<Vec<_>>(), [0x10, 0x14, 0x20]);
    }
}
