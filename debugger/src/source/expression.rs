//! Expressions that name a variable or a part of one, as C and Rust write them: `cache->slots[3].name`, `*next`,
//! `times_rendered[i]`.

use super::SourceVariable;
use super::dwarf::{DebugFile, Entry, EntryPlace};
use super::evaluate::Place;
use super::scope::FrameScope;
use super::types::Shape;
use super::value::{Show, ValueReader, within};
use crate::session::{DebugSession, ThreadView};

/// Bytes of an expression. It bounds how deep one is nested, too.
const EXPRESSION_BYTES_MAX: usize = 200;
/// Variables of one expression, each of which is looked for.
const NAMES_MAX: usize = 8;
/// Entries that are read on the way to all global variables of one expression: those of a large program.
const GLOBAL_ENTRIES_MAX: usize = 1 << 21;
/// Structures without a name inside of structures.
const NESTED_MAX: usize = 8;
/// Pointers on the way from a `.` to a structure.
const POINTERS_MAX: usize = 4;

impl DebugSession {
    /// What an expression names in a frame of [`DebugSession::backtrace`]: a variable of the function, or else a global one
    /// of its file or of another of the program's, and then any of `[index]`, `.member`, `->member` behind and `*` in
    /// front of it. `.` goes through pointers as well.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn evaluate(
        &mut self,
        view: &ThreadView,
        frame_number: usize,
        text: &str,
    ) -> Result<SourceVariable, String> {
        if text.len() > EXPRESSION_BYTES_MAX {
            return Err(format!(
                "an expression has at most {EXPRESSION_BYTES_MAX} bytes"
            ));
        }
        let tokens = tokens(text)?;
        self.within_frame(view, frame_number, |scope, names| {
            let mut reader = ValueReader::new(&scope.types, scope.context.machine, names);
            let mut parser = Parser {
                scope,
                reader: &mut reader,
                tokens: &tokens,
                names_left: NAMES_MAX,
                entries_left: GLOBAL_ENTRIES_MAX,
            };
            let value = parser.unary()?;
            if let Some(token) = parser.tokens.first() {
                return Err(format!("`{token}` does not belong there"));
            }
            let Operand::Value(Value {
                kind: Kind::Type(type_place),
                place,
            }) = value
            else {
                return Err(format!("`{}` is no variable", text.trim()));
            };
            Ok(reader.show(&Show {
                name: text.trim().to_owned(),
                type_place,
                place,
                is_argument: false,
                depth: 0,
            }))
        })
        .unwrap_or_else(|| {
            Err(
                "nothing is known of variables here: there is no debug information for this function"
                    .to_owned(),
            )
        })
    }
}

/// A part of an expression's text.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Token {
    Name(String),
    Number(i64),
    Sign(&'static str),
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Number(number) => number.fmt(f),
            Self::Sign(sign) => f.write_str(sign),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    const SIGNS: [&str; 7] = ["->", "[", "]", ".", "*", "(", ")"];
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_word = |char: char| char.is_alphanumeric() || char == '_' || char == ':';
        if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            tokens.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        } else if is_word(first) {
            let end = rest.find(|char| !is_word(char)).unwrap_or(rest.len());
            let word = &rest[..end];
            rest = &rest[end..];
            tokens.push(if first.is_ascii_digit() {
                let number = match word.strip_prefix("0x") {
                    Some(digits) => i64::from_str_radix(digits, 16),
                    None => word.parse(),
                };
                Token::Number(number.map_err(|_| format!("`{word}` is no number"))?)
            } else {
                // Debug information has the last part of a path.
                let name = word.rsplit("::").next().unwrap_or(word);
                Token::Name(name.to_owned())
            });
        } else {
            return Err(format!(
                "`{first}` cannot stand in an expression: name a variable, with [index], .member, -> and * where wanted"
            ));
        }
        rest = rest.trim_start();
    }
    Ok(tokens)
}

/// What a part of an expression means.
enum Operand {
    Number(i64),
    Value(Value),
}

struct Value {
    kind: Kind,
    place: Place,
}

enum Kind {
    Type(Option<EntryPlace>),
    /// A row of an array of several dimensions, which has no type of its own.
    Row {
        element: EntryPlace,
        counts: Vec<u64>,
    },
}

struct Parser<'a, 'b> {
    scope: &'a FrameScope<'a>,
    reader: &'b mut ValueReader<'a>,
    tokens: &'b [Token],
    names_left: usize,
    /// Entries that may still be read on the way to global variables.
    entries_left: usize,
}

impl Parser<'_, '_> {
    /// Takes the next token if it is this sign.
    fn takes(&mut self, sign: &str) -> bool {
        match self.tokens.split_first() {
            Some((Token::Sign(next), rest)) if *next == sign => {
                self.tokens = rest;
                true
            }
            _ => false,
        }
    }

    fn needs(&mut self, sign: &str) -> Result<(), String> {
        if self.takes(sign) {
            Ok(())
        } else {
            Err(format!("a `{sign}` is missing"))
        }
    }

    fn unary(&mut self) -> Result<Operand, String> {
        if self.takes("*") {
            let value = self.unary()?;
            return Ok(Operand::Value(self.element(value, 0)?));
        }
        let mut operand = self.primary()?;
        loop {
            operand = Operand::Value(if self.takes("[") {
                let index = self.unary()?;
                self.needs("]")?;
                let index = self.index_of(index)?;
                self.element(operand, index)?
            } else if self.takes(".") || self.takes("->") {
                let Some((Token::Name(name), rest)) = self.tokens.split_first() else {
                    return Err("the name of a member is missing".to_owned());
                };
                self.tokens = rest;
                self.member(operand, name)?
            } else {
                return Ok(operand);
            });
        }
    }

    fn primary(&mut self) -> Result<Operand, String> {
        if self.takes("(") {
            let inner = self.unary()?;
            self.needs(")")?;
            return Ok(inner);
        }
        let Some((token, rest)) = self.tokens.split_first() else {
            return Err("the name of a variable is missing".to_owned());
        };
        self.tokens = rest;
        match token {
            Token::Number(number) => Ok(Operand::Number(*number)),
            Token::Sign(sign) => Err(format!("`{sign}` does not belong there")),
            Token::Name(name) => {
                let names_left = self.names_left.checked_sub(1);
                self.names_left = names_left
                    .ok_or_else(|| format!("an expression names at most {NAMES_MAX} variables"))?;
                let variable = self.scope.variable_named(name);
                let variable =
                    variable.or_else(|| global_named(self.scope, name, &mut self.entries_left));
                let variable = variable.ok_or_else(|| match self.entries_left {
                    0 => format!(
                        "no variable `{name}` was found in as much as can be looked through"
                    ),
                    _ => format!("there is no variable `{name}` here"),
                })?;
                let (type_place, place) = self.scope.located(variable);
                Ok(Operand::Value(Value {
                    kind: Kind::Type(type_place),
                    place,
                }))
            }
        }
    }

    fn index_of(&self, operand: Operand) -> Result<i64, String> {
        let (type_place, place) = match operand {
            Operand::Number(number) => return Ok(number),
            Operand::Value(Value {
                kind: Kind::Type(Some(type_place)),
                place,
            }) => (type_place, place),
            Operand::Value(_) => return Err("an index is a number".to_owned()),
        };
        let types = &self.scope.types;
        let stripped = types.stripped(type_place);
        let byte_len = types
            .byte_len(type_place)
            .filter(|len| (1..=8).contains(len));
        let (Some(stripped), Some(byte_len)) = (stripped, byte_len) else {
            return Err("an index is a number".to_owned());
        };
        let number = self.reader.number(&place, 0, byte_len)?;
        let unused = 64 - 8 * byte_len as u32;
        match types.shape(stripped) {
            Shape::Number(gimli::DW_ATE_signed | gimli::DW_ATE_signed_char) => {
                Ok((number << unused) as i64 >> unused)
            }
            Shape::Number(
                gimli::DW_ATE_unsigned | gimli::DW_ATE_unsigned_char | gimli::DW_ATE_boolean,
            )
            | Shape::Enumeration => Ok(number as i64),
            _ => Err("an index is a number".to_owned()),
        }
    }

    /// An element of an array, or what lies behind a pointer.
    fn element(&self, of: Operand, index: i64) -> Result<Value, String> {
        let none = || "only arrays and pointers have elements".to_owned();
        let Operand::Value(Value { kind, place }) = of else {
            return Err(none());
        };
        let types = &self.scope.types;
        let (element, counts) = match kind {
            Kind::Row { element, counts } => (element, counts),
            Kind::Type(type_place) => {
                let stripped = type_place.and_then(|place| types.stripped(place));
                match types.shape(stripped.ok_or_else(none)?) {
                    Shape::Array { element, counts } => (element, counts),
                    Shape::Pointer(target) => {
                        let address = self.reader.number(&place, 0, 8)?;
                        if address == 0 {
                            return Err("the pointer is null".to_owned());
                        }
                        let byte_len = target.and_then(|target| types.byte_len(target));
                        let offset = match (index, byte_len) {
                            (0, _) => 0,
                            (index, Some(byte_len)) => (index as u64).wrapping_mul(byte_len),
                            _ => return Err("the size of an element is not known".to_owned()),
                        };
                        return Ok(Value {
                            kind: Kind::Type(target),
                            place: Place::Memory(address.wrapping_add(offset)),
                        });
                    }
                    _ => return Err(none()),
                }
            }
        };
        let (count, inner) = counts.split_first().ok_or_else(none)?;
        // An array of unknown length has none.
        if index < 0 || (*count != 0 && index as u64 >= *count) {
            return Err(format!("the array has {count} elements"));
        }
        let byte_len = types.byte_len_of_element(element);
        let byte_len = byte_len.or_else(|| types.byte_len(element));
        let byte_len = match byte_len {
            Some(byte_len) => byte_len,
            None if index == 0 => 0,
            None => return Err("the size of an element is not known".to_owned()),
        };
        let offset = inner
            .iter()
            .try_fold(byte_len, |all, count| all.checked_mul(*count));
        let offset = offset.and_then(|stride| stride.checked_mul(index as u64));
        let offset = offset.ok_or("the array is larger than memory")?;
        Ok(Value {
            kind: match inner {
                [] => Kind::Type(Some(element)),
                counts => Kind::Row {
                    element,
                    counts: counts.to_vec(),
                },
            },
            place: within(&place, offset),
        })
    }

    fn member(&self, of: Operand, name: &str) -> Result<Value, String> {
        let none = || format!("there is no member `{name}`");
        let mut operand = of;
        for _ in 0..POINTERS_MAX {
            let Operand::Value(Value {
                kind: Kind::Type(Some(type_place)),
                place,
            }) = &operand
            else {
                return Err(none());
            };
            let stripped = self.scope.types.stripped(*type_place).ok_or_else(none)?;
            match self.scope.types.shape(stripped) {
                Shape::Pointer(_) => operand = Operand::Value(self.element(operand, 0)?),
                Shape::Record => {
                    return self
                        .member_of(stripped, place, name, NESTED_MAX)
                        .ok_or_else(none);
                }
                _ => return Err(none()),
            }
        }
        Err(none())
    }

    fn member_of(
        &self,
        record: EntryPlace,
        place: &Place,
        name: &str,
        nested_max: usize,
    ) -> Option<Value> {
        let types = &self.scope.types;
        let members = types.members(record);
        let named = members.iter().find(|member| member.name == name);
        if let Some(member) = named {
            return Some(Value {
                kind: Kind::Type(member.type_place),
                place: self.reader.member_place(member, place),
            });
        }
        // A structure or union without a name stands for its members.
        let nested_max = nested_max.checked_sub(1)?;
        members
            .iter()
            .filter(|member| member.name.is_empty())
            .find_map(|member| {
                let stripped = types.stripped(member.type_place?)?;
                if types.shape(stripped) != Shape::Record {
                    return None;
                }
                let place = self.reader.member_place(member, place);
                self.member_of(stripped, &place, name, nested_max)
            })
    }
}

/// The global variable with this name: of the frame's unit, or else of the first unit that has one.
fn global_named(
    scope: &FrameScope<'_>,
    name: &str,
    entries_left: &mut usize,
) -> Option<EntryPlace> {
    let debug = scope.types.debug;
    let others = (0..debug.units.len()).filter(|unit| *unit != scope.unit);
    std::iter::once(scope.unit)
        .chain(others)
        .find_map(|unit| global_in(debug, unit, name, entries_left))
}

fn global_in(
    debug: &DebugFile,
    unit: usize,
    name: &str,
    entries_left: &mut usize,
) -> Option<EntryPlace> {
    let mut entries = debug.unit(unit).entries_raw(None).ok()?;
    let mut entry = Entry::null();
    // Depth of an entry whose insides are none of this.
    let mut passed: Option<isize> = None;
    while !entries.is_empty() {
        *entries_left = entries_left.checked_sub(1)?;
        let is_entry = entries.read_entry(&mut entry).ok()?;
        if !is_entry || passed.is_some_and(|depth| entry.depth() > depth) {
            continue;
        }
        passed = None;
        match entry.tag() {
            gimli::DW_TAG_variable
                if entry.attr(gimli::DW_AT_location).is_some()
                    && debug.name(unit, &entry).as_deref() == Some(name) =>
            {
                return Some(EntryPlace {
                    unit,
                    offset: entry.offset().0,
                });
            }
            gimli::DW_TAG_compile_unit | gimli::DW_TAG_namespace => {}
            _ if entry.has_children() => passed = Some(entry.depth()),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_taken_apart() {
        let name = |text: &str| Token::Name(text.to_owned());
        assert_eq!(
            tokens(" *a::b->c [0x10].d ").expect("valid"),
            [
                Token::Sign("*"),
                name("b"),
                Token::Sign("->"),
                name("c"),
                Token::Sign("["),
                Token::Number(16),
                Token::Sign("]"),
                Token::Sign("."),
                name("d"),
            ]
        );
        for text in ["a+b", "a;", "0xzz", "99999999999999999999", "\u{0}"] {
            assert!(tokens(text).is_err(), "{text:?}");
        }
    }
}
