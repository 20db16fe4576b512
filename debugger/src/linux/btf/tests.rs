use super::*;

/// Writes a blob type by type.
#[derive(Default)]
struct Writer {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
}

impl Writer {
    fn new() -> Self {
        Self {
            strings: vec![0],
            ..Self::default()
        }
    }

    fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        at
    }

    /// A type with what follows its record; returns its number.
    fn add(&mut self, name: &str, info: u32, size_or_type: u32, rest: &[u32]) -> u32 {
        let name = self.string(name);
        for word in [name, info, size_or_type].iter().chain(rest) {
            self.types.extend_from_slice(&word.to_le_bytes());
        }
        self.count += 1;
        self.count
    }

    fn structure(&mut self, name: &str, size: u32, members: &[(&str, u32, u32)]) -> u32 {
        let mut rest = Vec::new();
        for (name, id, bits) in members {
            rest.extend([self.string(name), *id, *bits]);
        }
        self.add(name, kind::STRUCT << 24 | members.len() as u32, size, &rest)
    }

    fn finish(self) -> Vec<u8> {
        let mut blob = MAGIC.to_vec();
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        for word in [0, types, types, strings] {
            blob.extend_from_slice(&word.to_le_bytes());
        }
        blob.extend(self.types);
        blob.extend(self.strings);
        blob
    }
}

/// A `list`, an `outer` with an anonymous structure and an array, bit fields, an enumeration, and types that lead to
/// themselves.
fn blob() -> Vec<u8> {
    let mut to = Writer::new();
    let int = to.add("int", kind::INT << 24, 4, &[32]);
    let pointer = to.add("", kind::PTR << 24, 0, &[]);
    let list = to.structure("list", 16, &[("next", pointer, 0), ("prev", pointer, 64)]);
    let array = to.add("", kind::ARRAY << 24, 0, &[list, int, 3]);
    let constant = to.add("", kind::CONST << 24, array, &[]);
    let lists = to.add("lists_t", kind::TYPEDEF << 24, constant, &[]);
    let anonymous = to.structure("", 64, &[("first", int, 0), ("lists", lists, 128)]);
    to.structure("outer", 80, &[("id", int, 0), ("", anonymous, 128)]);
    let flags = [(1 << 24), (1 << 24) | 1, 32];
    let names = ["low", "high", "whole"].map(|name| to.string(name));
    let rest: Vec<u32> = (names.iter().zip(flags))
        .flat_map(|(name, offset)| [*name, int, offset])
        .collect();
    to.add("bits", 1 << 31 | kind::STRUCT << 24 | 3, 8, &rest);
    let (zero, three) = (to.string("ZERO"), to.string("THREE"));
    to.add("numbers", kind::ENUM << 24 | 2, 4, &[zero, 0, three, 3]);
    let looping = to.count + 1;
    to.add("loop_t", kind::TYPEDEF << 24, looping, &[]);
    let nested = to.count + 1;
    to.structure(
        "nested",
        8,
        &[("", nested, 0), ("", nested, 0), ("me", looping, 0)],
    );
    to.finish()
}

#[test]
fn members_are_found_through_names_typedefs_and_anonymous_structures() {
    let blob = blob();
    let btf = Btf::parse(&blob).expect("a well-formed blob");
    for (structure, path, expected) in [
        ("list", "prev", Some((8, 8))),
        ("outer", "id", Some((0, 4))),
        ("outer", "first", Some((16, 4))),
        ("outer", "lists", Some((32, 48))),
        ("outer", "lists.next", None),
        ("outer", "second", None),
        ("bits", "whole", Some((4, 4))),
        ("bits", "low", None),
        ("nested", "me", None),
        ("nested", "you", None),
        ("nobody", "id", None),
    ] {
        let found = btf.member(structure, path);
        let found = found.map(|member| (member.offset, member.byte_len));
        assert_eq!(found, expected, "{structure}.{path}");
    }
    assert_eq!(btf.structure_bytes("outer"), Some(80));
    assert_eq!(btf.enumerator("numbers", "THREE"), Some(3));
    assert_eq!(btf.enumerator("numbers", "FOUR"), None);
}

fn look_at_everything(blob: &[u8]) {
    let Some(btf) = Btf::parse(blob) else { return };
    for structure in ["list", "outer", "bits", "nested", "numbers"] {
        for path in ["next", "lists", "me", "whole", "id.next", ""] {
            let _ = btf.member(structure, path);
        }
        let _ = btf.structure_bytes(structure);
        let _ = btf.enumerator(structure, "THREE");
    }
}

#[test]
fn a_cut_blob_is_refused() {
    let blob = blob();
    for length in 0..blob.len() {
        assert!(Btf::parse(&blob[..length]).is_none(), "{length} bytes");
    }
}

#[test]
fn a_damaged_blob_does_no_harm() {
    let blob = blob();
    for at in 8..blob.len() {
        for bit in 0..8 {
            let mut damaged = blob.clone();
            damaged[at] ^= 1 << bit;
            look_at_everything(&damaged);
        }
    }
    let mut state = 0x2545_f491_4f6c_dd1du64;
    for _ in 0..5_000 {
        let mut damaged = blob.clone();
        for _ in 0..4 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let at = 8 + (state >> 32) as usize % (damaged.len() - 8);
            damaged[at] = state as u8;
        }
        look_at_everything(&damaged);
    }
}
