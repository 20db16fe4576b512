//! What is in variables, in words.

use super::dwarf::EntryPlace;
use super::evaluate::{Machine, Place};
use super::types::{Member, Shape, Types, mask_of, number_of};
use super::{SourceVariable, Symbol};
use gimli::DwAte;

/// Parts of parts.
const DEPTH_MAX: usize = 4;
/// Members of a structure, or elements of an array, that are shown.
const PARTS_MAX: usize = 64;
/// Parts of one variable together.
const ALL_PARTS_MAX: usize = 512;
/// Bytes of a text that are shown.
const TEXT_BYTES_MAX: usize = 200;
/// Bytes of a value in one line.
const VALUE_BYTES_MAX: usize = 200;
/// Structures of Rust's library around a pointer.
const WRAPPERS_MAX: usize = 8;

const GONE: &str = "<optimised out>";
const IMPLICIT: &str = "<a pointer to what was optimised out>";
const UNREADABLE: &str = "<cannot be read here>";

/// What to show.
pub(super) struct Show {
    pub(super) name: String,
    pub(super) type_place: Option<EntryPlace>,
    pub(super) place: Place,
    pub(super) is_argument: bool,
    pub(super) depth: usize,
}

/// Reads values of one variable.
pub(super) struct ValueReader<'a> {
    types: &'a Types<'a>,
    machine: &'a dyn Machine,
    symbols: &'a dyn Fn(u64) -> Option<Symbol>,
    parts_left: usize,
}

/// A value without its name.
struct Shown {
    value: String,
    parts: Vec<SourceVariable>,
}

impl From<&str> for Shown {
    fn from(value: &str) -> Self {
        value.to_owned().into()
    }
}

impl From<String> for Shown {
    fn from(value: String) -> Self {
        Self {
            value,
            parts: Vec::new(),
        }
    }
}

impl<'a> ValueReader<'a> {
    pub(super) fn new(
        types: &'a Types<'a>,
        machine: &'a dyn Machine,
        symbols: &'a dyn Fn(u64) -> Option<Symbol>,
    ) -> Self {
        Self {
            types,
            machine,
            symbols,
            parts_left: ALL_PARTS_MAX,
        }
    }

    pub(super) fn show(&mut self, what: &Show) -> SourceVariable {
        let mut shown = self.shown(what);
        if shown.value.len() > VALUE_BYTES_MAX {
            shown
                .value
                .truncate(shown.value.floor_char_boundary(VALUE_BYTES_MAX));
            shown.value.push('…');
        }
        SourceVariable {
            name: what.name.clone(),
            type_name: self.types.name(what.type_place),
            value: shown.value,
            is_argument: what.is_argument,
            address: address_of(&what.place),
            register: register_of(&what.place),
            byte_len: what
                .type_place
                .and_then(|place| self.types.byte_len(place))
                .unwrap_or(0),
            parts: shown.parts,
        }
    }

    fn shown(&mut self, what: &Show) -> Shown {
        match what.place {
            Place::Gone => return GONE.into(),
            Place::Implicit => return IMPLICIT.into(),
            Place::Memory(_) | Place::Bytes(_) | Place::Register(..) => {}
        }
        let type_place = what.type_place.and_then(|place| self.types.stripped(place));
        let Some(type_place) = type_place else {
            return "<of unknown type>".into();
        };
        let byte_len = self.types.byte_len(type_place).unwrap_or(0);
        match self.types.shape(type_place) {
            Shape::Number(encoding) => match self.bytes(&what.place, 0, byte_len) {
                Ok(bytes) => number(encoding, &bytes).into(),
                Err(why) => why.into(),
            },
            Shape::Pointer(target) => match self.number(&what.place, 0, 8) {
                Ok(address) => self.pointer(address, target, what.depth),
                Err(why) => why.into(),
            },
            Shape::Enumeration => match self.number(&what.place, 0, byte_len) {
                Ok(number) => {
                    let name = self.types.enumerator(type_place, number, byte_len);
                    name.unwrap_or_else(|| number.to_string()).into()
                }
                Err(why) => why.into(),
            },
            Shape::Record => self.record(type_place, what),
            Shape::Array { element, counts } => self.array(element, &counts, what),
            Shape::Function | Shape::Unknown => "<of unknown type>".into(),
        }
    }

    /// Bytes of a place, or why they are not known.
    fn bytes(&self, place: &Place, offset: u64, byte_len: u64) -> Result<Vec<u8>, &'static str> {
        let length = usize::try_from(byte_len.min(16)).unwrap_or(16);
        match place {
            Place::Memory(address) => {
                let mut bytes = vec![0; length];
                let is_read = self.machine.read(address.wrapping_add(offset), &mut bytes);
                is_read.then_some(bytes).ok_or(UNREADABLE)
            }
            Place::Bytes(bytes) | Place::Register(_, bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let part = bytes.get(start..start.saturating_add(length)).ok_or(GONE)?;
                part.iter()
                    .copied()
                    .collect::<Option<Vec<u8>>>()
                    .ok_or(GONE)
            }
            Place::Implicit => Err(IMPLICIT),
            Place::Gone => Err(GONE),
        }
    }

    /// A number of at most 8 bytes, without its sign.
    pub(super) fn number(
        &self,
        place: &Place,
        offset: u64,
        byte_len: u64,
    ) -> Result<u64, &'static str> {
        let bytes = self.bytes(place, offset, byte_len.min(8))?;
        let mut whole = [0; 8];
        whole[..bytes.len()].copy_from_slice(&bytes);
        Ok(u64::from_le_bytes(whole))
    }

    fn pointer(&mut self, address: u64, target: Option<EntryPlace>, depth: usize) -> Shown {
        let value = format!("{address:#x}");
        let stripped = target.and_then(|target| self.types.stripped(target));
        let Some(stripped) = stripped.filter(|_| address != 0) else {
            return value.into();
        };
        match self.types.shape(stripped) {
            Shape::Function => match (self.symbols)(address) {
                Some(symbol) => format!("{value} <{}>", symbol.name).into(),
                None => value.into(),
            },
            Shape::Number(gimli::DW_ATE_signed_char | gimli::DW_ATE_unsigned_char) => {
                match self.text(address, None) {
                    Some(text) => format!("{value} {text}").into(),
                    None => value.into(),
                }
            }
            Shape::Unknown => value.into(),
            _ => Shown {
                value,
                parts: self
                    .part("*".into(), target, Place::Memory(address), depth)
                    .into_iter()
                    .collect(),
            },
        }
    }

    /// A part of a value, unless that would go too far.
    fn part(
        &mut self,
        name: String,
        type_place: Option<EntryPlace>,
        place: Place,
        depth: usize,
    ) -> Option<SourceVariable> {
        if depth >= DEPTH_MAX || self.parts_left == 0 {
            return None;
        }
        self.parts_left -= 1;
        Some(self.show(&Show {
            name,
            type_place,
            place,
            is_argument: false,
            depth: depth + 1,
        }))
    }

    fn record(&mut self, type_place: EntryPlace, what: &Show) -> Shown {
        let is_rust = self.types.debug.is_rust(type_place.unit);
        if is_rust && let Some(shown) = self.rust(type_place, what) {
            return shown;
        }
        let members = self.types.members(type_place);
        let (parts, is_whole) = self.member_parts(&members, what);
        let is_tuple = is_rust && members.iter().all(|member| member.name.starts_with("__"));
        let open = if is_tuple { ['(', ')'] } else { ['{', '}'] };
        Shown {
            value: summary(
                &parts,
                open,
                is_whole && parts.len() == members.len(),
                !is_tuple,
            ),
            parts,
        }
    }

    fn member_parts(&mut self, members: &[Member], what: &Show) -> (Vec<SourceVariable>, bool) {
        let mut parts = Vec::new();
        for member in members.iter().take(PARTS_MAX) {
            let place = self.member_place(member, &what.place);
            let name = member.name.clone();
            match self.part(name, member.type_place, place, what.depth) {
                Some(part) => parts.push(part),
                None => return (parts, false),
            }
        }
        (parts, members.len() <= PARTS_MAX)
    }

    /// Where a member of what lies at `place` is.
    pub(super) fn member_place(&self, member: &Member, place: &Place) -> Place {
        let Some((first, count)) = member.bits else {
            return within(place, member.offset);
        };
        // A bit field is read where it begins, and told as a number of its own.
        let (byte, shift) = (first / 8, first % 8);
        let Ok(number) = self.number(place, byte, (shift + count).div_ceil(8)) else {
            return Place::Gone;
        };
        let count = count.clamp(1, 64);
        let mut number = number >> shift << (64 - count);
        let stripped = member
            .type_place
            .and_then(|place| self.types.stripped(place));
        let is_signed = stripped
            .is_some_and(|place| self.types.shape(place) == Shape::Number(gimli::DW_ATE_signed));
        if is_signed {
            number = (number as i64 >> (64 - count)) as u64;
        } else {
            number >>= 64 - count;
        }
        Place::Bytes(number.to_le_bytes().map(Some).to_vec())
    }

    fn array(&mut self, element: EntryPlace, counts: &[u64], what: &Show) -> Shown {
        let Some((count, inner)) = counts.split_first() else {
            return "<of unknown length>".into();
        };
        let of_inner = inner
            .iter()
            .try_fold(1u64, |all, count| all.checked_mul(*count));
        let byte_len = self
            .types
            .byte_len_of_element(element)
            .or_else(|| self.types.byte_len(element));
        let byte_len = of_inner.and_then(|inner| inner.checked_mul(byte_len?));
        let Some(byte_len) = byte_len else {
            return "<of unknown length>".into();
        };
        if inner.is_empty()
            && let Some(stripped) = self.types.stripped(element)
            && let Shape::Number(gimli::DW_ATE_signed_char | gimli::DW_ATE_unsigned_char) =
                self.types.shape(stripped)
            && let Place::Memory(address) = what.place
        {
            return match self.text(address, Some(*count)) {
                Some(text) => text.into(),
                None => UNREADABLE.into(),
            };
        }
        let mut parts = Vec::new();
        for index in 0..(*count).min(PARTS_MAX as u64) {
            let place = within(&what.place, index.saturating_mul(byte_len));
            let name = format!("[{index}]");
            let part = if inner.is_empty() {
                self.part(name, Some(element), place, what.depth)
            } else {
                self.row(name, element, inner, byte_len, place, what.depth)
            };
            match part {
                Some(part) => parts.push(part),
                None => break,
            }
        }
        Shown {
            value: summary(&parts, ['{', '}'], parts.len() as u64 == *count, false),
            parts,
        }
    }

    /// An array in an array of several dimensions, which has no type of its own.
    fn row(
        &mut self,
        name: String,
        element: EntryPlace,
        counts: &[u64],
        byte_len: u64,
        place: Place,
        depth: usize,
    ) -> Option<SourceVariable> {
        if depth >= DEPTH_MAX || self.parts_left == 0 {
            return None;
        }
        self.parts_left -= 1;
        let what = Show {
            name: name.clone(),
            type_place: None,
            place,
            is_argument: false,
            depth: depth + 1,
        };
        let shown = self.array(element, counts, &what);
        let lengths: String = counts.iter().map(|count| format!("[{count}]")).collect();
        Some(SourceVariable {
            name,
            type_name: format!("{} {lengths}", self.types.name(Some(element))),
            value: shown.value,
            is_argument: false,
            address: address_of(&what.place),
            register: register_of(&what.place),
            byte_len,
            parts: shown.parts,
        })
    }

    /// A text in memory, in quotes: up to its NUL, or so many bytes at the most.
    fn text(&self, address: u64, byte_len: Option<u64>) -> Option<String> {
        let limit = byte_len.map_or(TEXT_BYTES_MAX, |it| it.min(TEXT_BYTES_MAX as u64) as usize);
        let mut bytes = Vec::new();
        let mut byte = [0];
        while bytes.len() < limit {
            if !self
                .machine
                .read(address.wrapping_add(bytes.len() as u64), &mut byte)
            {
                if bytes.is_empty() {
                    return None;
                }
                break;
            }
            if byte == [0] {
                return Some(quoted(&bytes, false));
            }
            bytes.push(byte[0]);
        }
        let is_cut = byte_len.is_none_or(|byte_len| byte_len > bytes.len() as u64);
        Some(quoted(&bytes, is_cut))
    }

    /// A text of known length, which may hold NULs.
    fn sized_text(&self, address: u64, byte_len: u64) -> Option<String> {
        let shown = byte_len.min(TEXT_BYTES_MAX as u64);
        let mut bytes = vec![0; shown as usize];
        (shown == 0 || self.machine.read(address, &mut bytes)).then_some(())?;
        Some(quoted(&bytes, shown < byte_len))
    }

    /// Types of Rust that are more than their members.
    fn rust(&mut self, type_place: EntryPlace, what: &Show) -> Option<Shown> {
        if let Some(shown) = self.variant(type_place, what) {
            return Some(shown);
        }
        let name = self.types.own_name(type_place)?;
        let members = self.types.members(type_place);
        let member = |name: &str| members.iter().find(|member| member.name == name);
        let named = member("data_ptr").zip(member("length"));
        if let Some((data, length)) = named {
            let address = self.number(&what.place, data.offset, 8).ok()?;
            let count = self.number(&what.place, length.offset, 8).ok()?;
            if name.ends_with("str") || name.ends_with("str>") {
                return Some(self.sized_text(address, count)?.into());
            }
            let element = self.types.stripped(data.type_place?)?;
            let Shape::Pointer(Some(element)) = self.types.shape(element) else {
                return None;
            };
            return Some(self.elements(element, address, count, what.depth));
        }
        if name == "String" {
            let vec = member("vec")?;
            let (address, count, _) = self.vector(vec.type_place?, vec.offset, &what.place)?;
            return Some(self.sized_text(address, count)?.into());
        }
        if name.starts_with("Vec<") {
            let (address, count, element) = self.vector(type_place, 0, &what.place)?;
            return Some(self.elements(element, address, count, what.depth));
        }
        None
    }

    /// Where the elements of a `Vec` are, how many, and of which type.
    fn vector(
        &self,
        type_place: EntryPlace,
        offset: u64,
        place: &Place,
    ) -> Option<(u64, u64, EntryPlace)> {
        let members = self.types.members(type_place);
        let member = |name: &str| members.iter().find(|member| member.name == name);
        let (buffer, length) = (member("buf")?, member("len")?);
        let element = self.types.parameter(type_place, "T")?;
        let count = self
            .number(place, offset.checked_add(length.offset)?, 8)
            .ok()?;
        let at = self.inner_pointer(buffer, WRAPPERS_MAX)?;
        let address = self.number(place, offset.checked_add(at)?, 8).ok()?;
        Some((address, count, element))
    }

    /// Offset of the first pointer in a member.
    fn inner_pointer(&self, member: &Member, depth: usize) -> Option<u64> {
        let depth = depth.checked_sub(1)?;
        let place = self.types.stripped(member.type_place?)?;
        match self.types.shape(place) {
            Shape::Pointer(_) => Some(member.offset),
            Shape::Record => {
                let members = self.types.members(place);
                let mut found = members
                    .iter()
                    .filter_map(|inner| self.inner_pointer(inner, depth));
                member.offset.checked_add(found.next()?)
            }
            _ => None,
        }
    }

    fn elements(&mut self, element: EntryPlace, address: u64, count: u64, depth: usize) -> Shown {
        let byte_len = self.types.byte_len(element).unwrap_or(0);
        let mut parts = Vec::new();
        for index in 0..count.min(PARTS_MAX as u64) {
            let place = Place::Memory(address.wrapping_add(index.wrapping_mul(byte_len)));
            match self.part(format!("[{index}]"), Some(element), place, depth) {
                Some(part) => parts.push(part),
                None => break,
            }
        }
        Shown {
            value: summary(&parts, ['[', ']'], parts.len() as u64 == count, false),
            parts,
        }
    }

    /// A value of an enumeration with data: the variant that its tag names.
    fn variant(&mut self, type_place: EntryPlace, what: &Show) -> Option<Shown> {
        let unit = type_place.unit;
        let debug = self.types.debug;
        let mut part = None;
        self.types.children(type_place, &mut |entry| {
            if entry.tag() == gimli::DW_TAG_variant_part {
                let tag = debug.referred(unit, entry.attr_value(gimli::DW_AT_discr));
                part = Some((entry.offset().0, tag));
            }
            part.is_none()
        });
        let (offset, tag) = part?;
        // Without a tag there is one variant.
        let tag = tag.and_then(|tag| {
            let member = self.types.member(unit, &debug.entry(tag)?)?;
            let byte_len = self.types.byte_len(member.type_place?)?;
            let number = self.number(&what.place, member.offset, byte_len).ok()?;
            Some((number, mask_of(byte_len)))
        });
        let (mut chosen, mut other) = (None, None);
        let variants = EntryPlace { unit, offset };
        self.types.children(variants, &mut |entry| {
            if entry.tag() == gimli::DW_TAG_variant {
                let value = entry.attr_value(gimli::DW_AT_discr_value);
                match value.and_then(|value| number_of(&value)) {
                    Some(value) => {
                        if tag.is_some_and(|(tag, mask)| tag & mask == value & mask) {
                            chosen = Some(entry.offset().0);
                        }
                    }
                    None => other = Some(entry.offset().0),
                }
            }
            chosen.is_none()
        });
        let offset = chosen.or(other)?;
        let members = self.types.members(EntryPlace { unit, offset });
        let member = members.first()?;
        let inner = self.types.stripped(member.type_place?)?;
        let name = self
            .types
            .own_name(inner)
            .unwrap_or_else(|| member.name.clone());
        let members = self.types.members(inner);
        let data = Show {
            name: String::new(),
            type_place: Some(inner),
            place: within(&what.place, member.offset),
            is_argument: false,
            depth: what.depth,
        };
        let (parts, is_whole) = self.member_parts(&members, &data);
        if members.is_empty() {
            return Some(name.into());
        }
        let is_tuple = members.iter().all(|member| member.name.starts_with("__"));
        let open = if is_tuple { ['(', ')'] } else { ['{', '}'] };
        let space = if is_tuple { "" } else { " " };
        let value = summary(
            &parts,
            open,
            is_whole && parts.len() == members.len(),
            !is_tuple,
        );
        Some(Shown {
            value: format!("{name}{space}{value}"),
            parts,
        })
    }
}

/// What lies `offset` bytes behind the beginning of a place.
pub(super) fn within(place: &Place, offset: u64) -> Place {
    match place {
        Place::Memory(address) => Place::Memory(address.wrapping_add(offset)),
        Place::Bytes(bytes) => Place::Bytes(behind(bytes, offset)),
        Place::Register(number, bytes) => Place::Register(*number, behind(bytes, offset)),
        other => other.clone(),
    }
}

/// The bytes from an offset on.
fn behind(bytes: &[Option<u8>], offset: u64) -> Vec<Option<u8>> {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    bytes[start.min(bytes.len())..].to_vec()
}

fn address_of(place: &Place) -> Option<u64> {
    match place {
        Place::Memory(address) => Some(*address),
        _ => None,
    }
}

fn register_of(place: &Place) -> Option<u16> {
    match place {
        Place::Register(number, _) => Some(*number),
        _ => None,
    }
}

/// The values of parts in one line.
fn summary(
    parts: &[SourceVariable],
    [open, close]: [char; 2],
    is_whole: bool,
    has_names: bool,
) -> String {
    let mut line = String::from(open);
    for (number, part) in parts.iter().enumerate() {
        if number > 0 {
            line += ", ";
        }
        if line.len() > VALUE_BYTES_MAX / 2 {
            line.push('…');
            line.push(close);
            return line;
        }
        if has_names && !part.name.is_empty() {
            line += &part.name;
            line += " = ";
        }
        line += &part.value;
    }
    if !is_whole {
        line += if parts.is_empty() { "…" } else { ", …" };
    }
    line.push(close);
    line
}

fn quoted(bytes: &[u8], is_cut: bool) -> String {
    let text = String::from_utf8_lossy(bytes);
    let rest = if is_cut { "…" } else { "" };
    format!("{text:?}{rest}")
}

/// A number as its language writes it.
fn number(encoding: DwAte, bytes: &[u8]) -> String {
    let mut whole = [0; 16];
    let length = bytes.len().min(16);
    whole[..length].copy_from_slice(&bytes[..length]);
    let unsigned = u128::from_le_bytes(whole);
    let unused = 128 - 8 * length.max(1) as u32;
    let signed = (unsigned << unused) as i128 >> unused;
    match (encoding, length) {
        (_, 0) => "()".into(),
        (gimli::DW_ATE_boolean, _) => match unsigned {
            0 => "false".into(),
            1 => "true".into(),
            other => other.to_string(),
        },
        (gimli::DW_ATE_signed_char, 1) => format!("{signed} {}", character(bytes[0])),
        (gimli::DW_ATE_unsigned_char, 1) => format!("{unsigned} {}", character(bytes[0])),
        (gimli::DW_ATE_signed | gimli::DW_ATE_signed_char, _) => signed.to_string(),
        (gimli::DW_ATE_UTF, _) => {
            let character = u32::try_from(unsigned).ok().and_then(char::from_u32);
            character.map_or_else(|| unsigned.to_string(), |it| format!("{it:?}"))
        }
        (gimli::DW_ATE_float, 4) => f32::from_bits(unsigned as u32).to_string(),
        (gimli::DW_ATE_float, 8) => f64::from_bits(unsigned as u64).to_string(),
        (gimli::DW_ATE_float, _) => format!("{unsigned:#x}"),
        (gimli::DW_ATE_address, _) => format!("{unsigned:#x}"),
        _ => unsigned.to_string(),
    }
}

fn character(byte: u8) -> String {
    if byte.is_ascii() {
        format!("{:?}", char::from(byte))
    } else {
        format!("'\\x{byte:02x}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_their_languages_write_them() {
        for (encoding, bytes, expected) in [
            (gimli::DW_ATE_signed, &[0xff, 0xff, 0xff, 0xff][..], "-1"),
            (gimli::DW_ATE_unsigned, &[0xff, 0xff], "65535"),
            (gimli::DW_ATE_signed_char, b"A", "65 'A'"),
            (gimli::DW_ATE_unsigned_char, &[0x80], "128 '\\x80'"),
            (gimli::DW_ATE_boolean, &[1], "true"),
            (gimli::DW_ATE_UTF, &[0xe4, 0, 0, 0], "'ä'"),
            (gimli::DW_ATE_float, &[0, 0, 0xc0, 0x3f], "1.5"),
            (gimli::DW_ATE_signed, &[0xff; 16], "-1"),
            (gimli::DW_ATE_unsigned, &[], "()"),
        ] {
            assert_eq!(number(encoding, bytes), expected);
        }
    }

    #[test]
    fn a_part_of_scattered_bytes_ends_where_they_end() {
        let place = Place::Bytes(vec![Some(1), None, Some(3)]);
        assert_eq!(within(&place, 2), Place::Bytes(vec![Some(3)]));
        assert_eq!(within(&place, u64::MAX), Place::Bytes(Vec::new()));
        let place = Place::Register(9, vec![Some(1), Some(2)]);
        assert_eq!(within(&place, 1), Place::Register(9, vec![Some(2)]));
        assert_eq!((register_of(&place), address_of(&place)), (Some(9), None));
        assert_eq!(within(&Place::Memory(8), 8), Place::Memory(16));
    }
}
