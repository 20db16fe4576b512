//! The kernel's own type information (Linux, Documentation/bpf/btf.rst and include/uapi/linux/btf.h), as far as finding
//! members of structures needs it.
//!
//! Written here and not taken from a crate: the blob comes out of guest memory, so it may say anything, and `btfparse`
//! 1.3.9 follows a typedef that leads to itself without end and recurses without bound in `size_of`.

use std::collections::BTreeMap;

/// A BTF blob begins like this: magic, version 1, no flags, 24 bytes of header.
pub(super) const MAGIC: [u8; 8] = [0x9f, 0xeb, 1, 0, 24, 0, 0, 0];

const HEADER_BYTES: usize = 24;
/// Names that matter are short; a longer one is no name, so that many types can't share a costly one.
const NAME_BYTES_MAX: usize = 256;
/// Typedefs, qualifiers and arrays around one type.
const CHAIN_MAX: usize = 32;
/// Anonymous structures within each other.
const NESTING_MAX: usize = 16;
/// Types of one name that are looked at.
const NAMESAKES_MAX: usize = 16;
/// Members that one look-up reads; a `task_struct` has some 250.
const MEMBERS_MAX: u32 = 10_000;

mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const PTR: u32 = 2;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const FWD: u32 = 7;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const FUNC: u32 = 12;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const FLOAT: u32 = 16;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
}

/// Where a member lies in its structure.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Member {
    /// Bytes from the structure's start.
    pub(super) offset: u64,
    /// Size in bytes.
    pub(super) byte_len: u64,
}

/// A type, as its record says.
#[derive(Clone, Copy)]
struct Record {
    name: u32,
    kind: u32,
    has_bitfields: bool,
    /// Number of members, values or parameters.
    count: usize,
    /// Size in bytes, or another type, depending on the kind.
    size_or_type: u32,
    /// Where what follows the record begins.
    rest: usize,
}

/// A blob, indexed.
pub(super) struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where the record of each type begins; type 1 is the first.
    starts: Vec<usize>,
    /// Structures, unions and enumerations by name. Several may have the same.
    by_name: BTreeMap<&'a [u8], Vec<u32>>,
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn section(blob: &[u8], offset: u32, byte_len: u32) -> Option<&[u8]> {
    let start = HEADER_BYTES.checked_add(offset as usize)?;
    blob.get(start..start.checked_add(byte_len as usize)?)
}

impl<'a> Btf<'a> {
    /// Reads a blob, which may be followed by anything. `None` when it contradicts the format.
    pub(super) fn parse(blob: &'a [u8]) -> Option<Self> {
        if !blob.starts_with(&MAGIC) {
            return None;
        }
        let types = section(blob, u32_at(blob, 8)?, u32_at(blob, 12)?)?;
        let strings = section(blob, u32_at(blob, 16)?, u32_at(blob, 20)?)?;
        let mut btf = Self {
            types,
            strings,
            starts: Vec::new(),
            by_name: BTreeMap::new(),
        };
        let mut at = 0;
        while at < types.len() {
            btf.starts.push(at);
            let record = btf.record_at(at)?;
            let id = btf.starts.len() as u32;
            if matches!(
                record.kind,
                kind::STRUCT | kind::UNION | kind::ENUM | kind::ENUM64
            ) {
                let name = btf.name(record.name);
                if !name.is_empty() {
                    let namesakes = btf.by_name.entry(name).or_default();
                    if namesakes.len() < NAMESAKES_MAX {
                        namesakes.push(id);
                    }
                }
            }
            at = record.rest.checked_add(btf.rest_bytes(&record)?)?;
        }
        (at == types.len()).then_some(btf)
    }

    fn record_at(&self, at: usize) -> Option<Record> {
        let info = u32_at(self.types, at + 4)?;
        Some(Record {
            name: u32_at(self.types, at)?,
            kind: info >> 24 & 0x1f,
            has_bitfields: info >> 31 != 0,
            count: (info & 0xffff) as usize,
            size_or_type: u32_at(self.types, at + 8)?,
            rest: at + 12,
        })
    }

    /// Bytes that follow a record, by its kind.
    fn rest_bytes(&self, record: &Record) -> Option<usize> {
        Some(match record.kind {
            kind::INT | kind::VAR | kind::DECL_TAG => 4,
            kind::ARRAY => 12,
            kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => 12 * record.count,
            kind::ENUM | kind::FUNC_PROTO => 8 * record.count,
            kind::PTR
            | kind::FWD
            | kind::TYPEDEF
            | kind::VOLATILE
            | kind::CONST
            | kind::RESTRICT
            | kind::FUNC
            | kind::FLOAT
            | kind::TYPE_TAG => 0,
            _ => return None,
        })
    }

    /// The string at an offset; empty when there is none.
    fn name(&self, offset: u32) -> &'a [u8] {
        let strings: &'a [u8] = self.strings;
        let rest = strings.get(offset as usize..).unwrap_or_default();
        let rest = &rest[..rest.len().min(NAME_BYTES_MAX)];
        let end = rest.iter().position(|byte| *byte == 0);
        end.map_or(&[], |end| &rest[..end])
    }

    fn record(&self, id: u32) -> Option<Record> {
        let index = (id as usize).checked_sub(1)?;
        self.record_at(*self.starts.get(index)?)
    }

    /// The type behind typedefs and qualifiers.
    fn resolve(&self, mut id: u32) -> Option<Record> {
        for _ in 0..CHAIN_MAX {
            let record = self.record(id)?;
            match record.kind {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    id = record.size_or_type
                }
                _ => return Some(record),
            }
        }
        None
    }

    fn byte_len(&self, mut id: u32) -> Option<u64> {
        let mut factor = 1u64;
        for _ in 0..CHAIN_MAX {
            let record = self.resolve(id)?;
            match record.kind {
                kind::PTR => return factor.checked_mul(8),
                kind::ARRAY => {
                    id = u32_at(self.types, record.rest)?;
                    let count = u32_at(self.types, record.rest + 8)?;
                    factor = factor.checked_mul(count.into())?;
                }
                kind::INT
                | kind::STRUCT
                | kind::UNION
                | kind::ENUM
                | kind::FLOAT
                | kind::ENUM64 => return factor.checked_mul(record.size_or_type.into()),
                _ => return None,
            }
        }
        None
    }

    /// Size of a structure or union.
    pub(super) fn structure_bytes(&self, name: &str) -> Option<u64> {
        let ids = self.by_name.get(name.as_bytes())?;
        ids.iter().find_map(|id| self.byte_len(*id))
    }

    /// A member by its path, as `mm_mt` or `f_path.dentry`; anonymous structures and unions need not be named.
    pub(super) fn member(&self, structure: &str, path: &str) -> Option<Member> {
        let ids = self.by_name.get(structure.as_bytes())?;
        let mut budget = MEMBERS_MAX;
        ids.iter()
            .find_map(|id| self.member_of(*id, path, &mut budget))
    }

    fn member_of(&self, mut id: u32, path: &str, budget: &mut u32) -> Option<Member> {
        let mut found = Member::default();
        for name in path.split('.') {
            let (bits, member) = self.find(id, name.as_bytes(), NESTING_MAX, budget)?;
            // Bit fields are not what anything here is made of.
            found.offset = found.offset.checked_add(bits / 8)?;
            id = member;
        }
        found.byte_len = self.byte_len(id)?;
        Some(found)
    }

    /// Bit offset and type of a member, also if it stands in an anonymous one.
    fn find(&self, id: u32, wanted: &[u8], nesting: usize, budget: &mut u32) -> Option<(u64, u32)> {
        let record = self.resolve(id)?;
        if !matches!(record.kind, kind::STRUCT | kind::UNION) {
            return None;
        }
        for index in 0..record.count {
            *budget = budget.checked_sub(1)?;
            let at = record.rest + 12 * index;
            let name = self.name(u32_at(self.types, at)?);
            let member = u32_at(self.types, at + 4)?;
            let offset = u32_at(self.types, at + 8)?;
            let (bits, field_bits) = if record.has_bitfields {
                (offset & 0xff_ffff, offset >> 24)
            } else {
                (offset, 0)
            };
            if name == wanted && field_bits == 0 {
                return Some((bits.into(), member));
            }
            if name.is_empty()
                && nesting > 0
                && let Some((inner, found)) = self.find(member, wanted, nesting - 1, budget)
            {
                return Some((u64::from(bits) + inner, found));
            }
        }
        None
    }

    /// The value of an enumerator.
    pub(super) fn enumerator(&self, enumeration: &str, name: &str) -> Option<u32> {
        let ids = self.by_name.get(enumeration.as_bytes())?;
        ids.iter().find_map(|id| {
            let record = self.record(*id).filter(|r| r.kind == kind::ENUM)?;
            (0..record.count).find_map(|index| {
                let at = record.rest + 8 * index;
                (self.name(u32_at(self.types, at)?) == name.as_bytes())
                    .then(|| u32_at(self.types, at + 4))?
            })
        })
    }
}

#[cfg(test)]
mod tests;
