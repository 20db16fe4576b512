//! Types: their names, sizes and parts.

use super::dwarf::{Attribute, DebugFile, Entry, EntryPlace};
use gimli::{AttributeValue, DwAt, DwAte, DwTag, UnitOffset};
use std::cell::Cell;

/// Types that stand for other types: `const`, names given to types.
const LINKS_MAX: usize = 64;
/// Entries that are read for one look at a frame's variables.
const ENTRIES_MAX: usize = 1 << 20;
/// Members of a type, or numbers of an enumeration, that are looked at.
const CHILDREN_MAX: usize = 1 << 12;
/// Pointers to arrays of pointers.
const NAME_DEPTH_MAX: usize = 16;
/// Bytes of a type's name.
const NAME_BYTES_MAX: usize = 256;
/// References from a variable to its original.
const REFERENCES_MAX: usize = 8;
/// Dimensions of an array.
const DIMENSIONS_MAX: usize = 8;

/// The types of a file, and how much may still be read about them.
pub(super) struct Types<'a> {
    pub(super) debug: &'a DebugFile,
    entries_left: Cell<usize>,
}

/// What a value of a type looks like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    Number(DwAte),
    /// Points to a value of a type, if it is known.
    Pointer(Option<EntryPlace>),
    Enumeration,
    /// A structure or union.
    Record,
    Array {
        element: EntryPlace,
        /// How many, of each dimension.
        counts: Vec<u64>,
    },
    Function,
    Unknown,
}

/// A member of a structure or union.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) type_place: Option<EntryPlace>,
    pub(super) offset: u64,
    /// First bit from the structure's first one on, and how many.
    pub(super) bits: Option<(u64, u64)>,
}

/// Attribute of an entry, or of what it is a copy of; with the number of the unit in which it stands.
pub(super) fn attribute_of(
    debug: &DebugFile,
    mut place: EntryPlace,
    name: DwAt,
) -> Option<(usize, Attribute)> {
    for _ in 0..REFERENCES_MAX {
        let entry = debug.entry(place)?;
        if let Some(value) = entry.attr_value(name) {
            return Some((place.unit, value));
        }
        let origin = entry.attr_value(gimli::DW_AT_abstract_origin);
        let origin = origin.or_else(|| entry.attr_value(gimli::DW_AT_specification));
        place = debug.referred(place.unit, origin)?;
    }
    None
}

impl<'a> Types<'a> {
    pub(super) fn new(debug: &'a DebugFile) -> Self {
        Self {
            debug,
            entries_left: Cell::new(ENTRIES_MAX),
        }
    }

    fn entry(&self, place: EntryPlace) -> Option<Entry> {
        let left = self.entries_left.get().checked_sub(1)?;
        self.entries_left.set(left);
        self.debug.entry(place)
    }

    fn referred_type(&self, place: EntryPlace, entry: &Entry) -> Option<EntryPlace> {
        self.debug
            .referred(place.unit, entry.attr_value(gimli::DW_AT_type))
    }

    /// A type without what does not change its values.
    pub(super) fn stripped(&self, mut place: EntryPlace) -> Option<EntryPlace> {
        for _ in 0..LINKS_MAX {
            let entry = self.entry(place)?;
            match entry.tag() {
                gimli::DW_TAG_typedef
                | gimli::DW_TAG_const_type
                | gimli::DW_TAG_volatile_type
                | gimli::DW_TAG_restrict_type
                | gimli::DW_TAG_atomic_type => place = self.referred_type(place, &entry)?,
                _ => return Some(place),
            }
        }
        None
    }

    /// What values of a stripped type look like.
    pub(super) fn shape(&self, place: EntryPlace) -> Shape {
        let Some(entry) = self.entry(place) else {
            return Shape::Unknown;
        };
        match entry.tag() {
            gimli::DW_TAG_base_type => match entry.attr_value(gimli::DW_AT_encoding) {
                Some(AttributeValue::Encoding(encoding)) => Shape::Number(encoding),
                _ => Shape::Unknown,
            },
            gimli::DW_TAG_pointer_type
            | gimli::DW_TAG_reference_type
            | gimli::DW_TAG_rvalue_reference_type => {
                Shape::Pointer(self.referred_type(place, &entry))
            }
            gimli::DW_TAG_enumeration_type => Shape::Enumeration,
            gimli::DW_TAG_structure_type | gimli::DW_TAG_class_type | gimli::DW_TAG_union_type => {
                Shape::Record
            }
            gimli::DW_TAG_array_type => {
                self.referred_type(place, &entry)
                    .map_or(Shape::Unknown, |element| Shape::Array {
                        element,
                        counts: self.counts(place),
                    })
            }
            gimli::DW_TAG_subroutine_type => Shape::Function,
            _ => Shape::Unknown,
        }
    }

    fn counts(&self, array: EntryPlace) -> Vec<u64> {
        let mut counts = Vec::new();
        self.children(array, &mut |entry| {
            if entry.tag() == gimli::DW_TAG_subrange_type {
                let number = |name| entry.attr_value(name).and_then(|value| number_of(&value));
                let count = number(gimli::DW_AT_count).or_else(|| {
                    // An array of unknown length has the upper bound -1, or none.
                    Some(number(gimli::DW_AT_upper_bound)?.wrapping_add(1))
                });
                counts.push(count.unwrap_or(0));
            }
            counts.len() < DIMENSIONS_MAX
        });
        counts
    }

    /// Bytes of a value.
    pub(super) fn byte_len(&self, place: EntryPlace) -> Option<u64> {
        let place = self.stripped(place)?;
        let entry = self.entry(place)?;
        let said = entry.attr_value(gimli::DW_AT_byte_size);
        if let Some(byte_len) = said.and_then(|value| value.udata_value()) {
            return Some(byte_len);
        }
        match self.shape(place) {
            Shape::Pointer(_) => Some(8),
            Shape::Array { element, counts } => {
                // An array of arrays is one entry, so this does not go deep; what refers to itself ends at the limit of
                // entries.
                let count = counts
                    .iter()
                    .try_fold(1u64, |all, count| all.checked_mul(*count))?;
                self.byte_len_of_element(element)?.checked_mul(count)
            }
            _ => None,
        }
    }

    /// Bytes of an array's element, which is no array without a size itself.
    pub(super) fn byte_len_of_element(&self, element: EntryPlace) -> Option<u64> {
        let entry = self.entry(self.stripped(element)?)?;
        let said = entry.attr_value(gimli::DW_AT_byte_size);
        let is_pointer = entry.tag() == gimli::DW_TAG_pointer_type;
        said.and_then(|value| value.udata_value())
            .or(is_pointer.then_some(8))
    }

    /// Visits what an entry consists of, until `visit` says no.
    pub(super) fn children(&self, place: EntryPlace, visit: &mut dyn FnMut(&Entry) -> bool) {
        // What can be read before a mistake counts.
        let _ = self.visit_children(place, visit);
    }

    fn visit_children(
        &self,
        place: EntryPlace,
        visit: &mut dyn FnMut(&Entry) -> bool,
    ) -> Option<()> {
        let unit = self.debug.unit(place.unit);
        let mut entries = unit.entries_raw(Some(UnitOffset(place.offset))).ok()?;
        let mut entry = Entry::null();
        entries.read_entry(&mut entry).ok()?;
        if !entry.has_children() {
            return Some(());
        }
        let mut seen = 0;
        while !entries.is_empty() && seen < CHILDREN_MAX {
            let left = self.entries_left.get().checked_sub(1)?;
            self.entries_left.set(left);
            let is_entry = entries.read_entry(&mut entry).ok()?;
            if entry.depth() <= 0 || (!is_entry && entry.depth() == 1) {
                break;
            }
            if is_entry && entry.depth() == 1 {
                seen += 1;
                if !visit(&entry) {
                    break;
                }
            }
        }
        Some(())
    }

    /// The members of a structure or union.
    pub(super) fn members(&self, place: EntryPlace) -> Vec<Member> {
        let mut members = Vec::new();
        self.children(place, &mut |entry| {
            members.extend(self.member(place.unit, entry));
            true
        });
        members
    }

    /// A member, unless it is shared by all values of the type.
    pub(super) fn member(&self, unit: usize, entry: &Entry) -> Option<Member> {
        let is_base = entry.tag() == gimli::DW_TAG_inheritance;
        if (entry.tag() != gimli::DW_TAG_member && !is_base)
            || entry.attr(gimli::DW_AT_declaration).is_some()
        {
            return None;
        }
        let number = |name| number_of(&entry.attr_value(name)?);
        let type_place = self
            .debug
            .referred(unit, entry.attr_value(gimli::DW_AT_type));
        let bits = number(gimli::DW_AT_bit_size)
            .and_then(|count| Some((number(gimli::DW_AT_data_bit_offset)?, count)));
        let name = match self.debug.name(unit, entry) {
            Some(name) => name,
            None if is_base => self.name(type_place),
            None => String::new(),
        };
        Some(Member {
            name,
            type_place,
            offset: number(gimli::DW_AT_data_member_location).unwrap_or(0),
            bits,
        })
    }

    /// The name that a number of an enumeration has.
    pub(super) fn enumerator(
        &self,
        place: EntryPlace,
        number: u64,
        byte_len: u64,
    ) -> Option<String> {
        let mask = mask_of(byte_len);
        let mut found = None;
        self.children(place, &mut |entry| {
            let value = entry.attr_value(gimli::DW_AT_const_value);
            let value = value.and_then(|value| number_of(&value));
            if value.is_some_and(|value| value & mask == number & mask) {
                found = self.debug.name(place.unit, entry);
            }
            found.is_none()
        });
        found
    }

    /// The type that a generic one was made for.
    pub(super) fn parameter(&self, place: EntryPlace, name: &str) -> Option<EntryPlace> {
        let mut found = None;
        self.children(place, &mut |entry| {
            if entry.tag() == gimli::DW_TAG_template_type_parameter
                && self.debug.name(place.unit, entry).as_deref() == Some(name)
            {
                found = self.referred_type(place, entry);
            }
            found.is_none()
        });
        found
    }

    /// The name that a type has itself.
    pub(super) fn own_name(&self, place: EntryPlace) -> Option<String> {
        self.debug.name(place.unit, &self.entry(place)?)
    }

    /// The name of a type as the language writes it.
    pub(super) fn name(&self, place: Option<EntryPlace>) -> String {
        let mut name = self.name_within(place, NAME_DEPTH_MAX);
        if name.len() > NAME_BYTES_MAX {
            name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
            name.push('…');
        }
        name
    }

    fn name_within(&self, place: Option<EntryPlace>, depth: usize) -> String {
        let Some(place) = place else {
            return "void".into();
        };
        let (Some(entry), Some(depth)) = (self.entry(place), depth.checked_sub(1)) else {
            return "?".into();
        };
        let target = || self.referred_type(place, &entry);
        let own = self.debug.name(place.unit, &entry);
        if let Some(own) = own {
            let word = keyword(entry.tag()).filter(|_| self.is_c(place.unit));
            return word.map_or(own.clone(), |word| format!("{word} {own}"));
        }
        let inner = || self.name_within(target(), depth);
        match entry.tag() {
            gimli::DW_TAG_pointer_type => {
                let is_function = target().is_some_and(|it| self.shape(it) == Shape::Function);
                let inner = inner();
                match inner.ends_with('*') {
                    _ if is_function => inner,
                    true => inner + "*",
                    false => inner + " *",
                }
            }
            gimli::DW_TAG_reference_type => inner() + " &",
            gimli::DW_TAG_rvalue_reference_type => inner() + " &&",
            gimli::DW_TAG_const_type => qualified("const", &inner()),
            gimli::DW_TAG_volatile_type => qualified("volatile", &inner()),
            gimli::DW_TAG_restrict_type => inner() + "restrict",
            gimli::DW_TAG_atomic_type => qualified("_Atomic", &inner()),
            gimli::DW_TAG_array_type => {
                let counts = self.counts(place).into_iter();
                let counts: String = counts.map(|count| format!("[{count}]")).collect();
                format!("{} {counts}", inner())
            }
            gimli::DW_TAG_subroutine_type => format!("{} (*)()", inner()),
            tag => keyword(tag).map_or("?".into(), |word| format!("{word} {{…}}")),
        }
    }

    fn is_c(&self, unit: usize) -> bool {
        let root = self.debug.units[unit].unit.header.root_offset();
        let root = self.entry(EntryPlace {
            unit,
            offset: root.0,
        });
        let language = root.and_then(|root| root.attr_value(gimli::DW_AT_language));
        let Some(AttributeValue::Language(language)) = language else {
            return false;
        };
        [
            gimli::DW_LANG_C,
            gimli::DW_LANG_C89,
            gimli::DW_LANG_C99,
            gimli::DW_LANG_C11,
            gimli::DW_LANG_C17,
        ]
        .contains(&language)
    }
}

/// The bits of a number with so many bytes.
pub(super) fn mask_of(byte_len: u64) -> u64 {
    match byte_len {
        0 => 0,
        1..8 => (1 << (8 * byte_len)) - 1,
        _ => u64::MAX,
    }
}

/// A constant, whatever its sign.
pub(super) fn number_of(value: &Attribute) -> Option<u64> {
    (value.udata_value()).or_else(|| value.sdata_value().map(|number| number as u64))
}

fn keyword(tag: DwTag) -> Option<&'static str> {
    match tag {
        gimli::DW_TAG_structure_type => Some("struct"),
        gimli::DW_TAG_class_type => Some("class"),
        gimli::DW_TAG_union_type => Some("union"),
        gimli::DW_TAG_enumeration_type => Some("enum"),
        _ => None,
    }
}

/// A type with a word that belongs to it: in front of all but pointers.
fn qualified(word: &str, name: &str) -> String {
    if name.ends_with('*') {
        format!("{name}{word}")
    } else {
        format!("{word} {name}")
    }
}
