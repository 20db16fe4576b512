//! How a listing becomes bytes, and the distrustful way back.

use super::{
    DEPTH_MAX, ENTRIES_MAX, Entry, EntryKind, LISTING_BYTES_MAX, Listed, ListingError, Timestamp,
    check_entry, check_name,
};

const MAGIC: &[u8; 8] = b"RPWSLST1";

mod kind {
    pub(super) const DIRECTORY: u64 = 0;
    pub(super) const FILE: u64 = 1;
    pub(super) const SYMLINK: u64 = 2;
}

/// Encodes entries in their order: parent, name, entry.
pub(super) fn encode(entries: &[(u32, &[u8], &Entry)]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    put(&mut bytes, entries.len() as u64);
    let mut parent_before = 0;
    for (number, (parent, name, entry)) in entries.iter().enumerate() {
        if number > 0 {
            put(&mut bytes, u64::from(parent - parent_before));
            parent_before = *parent;
            put_bytes(&mut bytes, name);
        }
        put(
            &mut bytes,
            match entry.kind {
                EntryKind::Directory => kind::DIRECTORY,
                EntryKind::File { .. } => kind::FILE,
                EntryKind::Symlink { .. } => kind::SYMLINK,
            },
        );
        for number in [entry.mode, entry.uid, entry.gid] {
            put(&mut bytes, u64::from(number));
        }
        put(&mut bytes, zigzag(entry.mtime.seconds));
        put(&mut bytes, u64::from(entry.mtime.nanoseconds));
        match &entry.kind {
            EntryKind::Directory => {}
            EntryKind::File { byte_len } => put(&mut bytes, *byte_len),
            EntryKind::Symlink { target } => put_bytes(&mut bytes, target),
        }
    }
    bytes
}

fn put(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    put(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

fn signed_from_zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Decodes entries, their children filled in.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<Listed>, ListingError> {
    if bytes.len() > LISTING_BYTES_MAX {
        return Err(ListingError::TooLarge {
            limit: LISTING_BYTES_MAX,
            what: "bytes",
        });
    }
    if !bytes.starts_with(MAGIC) {
        return Err(ListingError::NotAListing);
    }
    let mut from = Decoder {
        bytes,
        at: MAGIC.len(),
        entry: 0,
    };
    let count = from.number()?;
    if count > ENTRIES_MAX as u64 {
        return Err(ListingError::TooLarge {
            limit: ENTRIES_MAX,
            what: "entries",
        });
    }
    if count == 0 {
        return Err(ListingError::NotAListing);
    }
    // Not reserved: every entry takes bytes, so a false count ends before memory does.
    let mut entries: Vec<Listed> = Vec::new();
    let mut depths: Vec<u16> = Vec::new();
    for number in 0..count as u32 {
        from.entry = number as usize;
        let (parent, name) = if number == 0 {
            depths.push(0);
            (0, &[][..])
        } else {
            let (parent, name) = from.place(&mut entries, number)?;
            let depth = depths[parent as usize] + 1;
            if depth > DEPTH_MAX {
                return Err(from.bad("it is too deep"));
            }
            depths.push(depth);
            (parent, name)
        };
        let entry = from.entry()?;
        if number == 0 && entry.kind != EntryKind::Directory {
            return Err(from.bad("the root is no directory"));
        }
        entries.push(Listed {
            parent,
            name: name.into(),
            entry,
            children: 0..0,
        });
    }
    if from.at != bytes.len() {
        return Err(from.bad("more follows the last one"));
    }
    Ok(entries)
}

struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Number of the entry that is being read.
    entry: usize,
}

impl<'a> Decoder<'a> {
    fn bad(&self, what: &'static str) -> ListingError {
        ListingError::BadEntry {
            entry: self.entry,
            what,
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], ListingError> {
        let end = self.at.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or(ListingError::Truncated { at_byte: self.at })?;
        self.at += count;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64, ListingError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits || (shift > 0 && byte == 0) {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.bad("a number that is too large or not in its shortest form"))
    }

    fn number_u32(&mut self) -> Result<u32, ListingError> {
        u32::try_from(self.number()?).map_err(|_| self.bad("a number that is too large"))
    }

    fn string(&mut self) -> Result<&'a [u8], ListingError> {
        let length = self.number_u32()?;
        self.take(length as usize)
    }

    /// Reads parent and name of an entry and makes it its parent's child.
    fn place(
        &mut self,
        entries: &mut [Listed],
        number: u32,
    ) -> Result<(u32, &'a [u8]), ListingError> {
        let before = &entries[number as usize - 1];
        let parent_before = before.parent;
        let parent = parent_before
            .checked_add(self.number_u32()?)
            .filter(|parent| *parent < number)
            .ok_or_else(|| self.bad("its parent does not come before it"))?;
        let name = self.string()?;
        check_name(name).map_err(|what| self.bad(what))?;
        // The root, before the first child, has the empty name.
        if parent == parent_before && name <= &*before.name {
            return Err(self.bad("names out of order"));
        }
        let directory = &mut entries[parent as usize];
        if directory.entry.kind != EntryKind::Directory {
            return Err(self.bad("its parent is no directory"));
        }
        if directory.children.is_empty() {
            directory.children = number..number;
        }
        directory.children.end = number + 1;
        Ok((parent, name))
    }

    fn entry(&mut self) -> Result<Entry, ListingError> {
        let kind = self.number()?;
        let mode = self.number_u32()?;
        let uid = self.number_u32()?;
        let gid = self.number_u32()?;
        let mtime = Timestamp {
            seconds: signed_from_zigzag(self.number()?),
            nanoseconds: self.number_u32()?,
        };
        let kind = match kind {
            kind::DIRECTORY => EntryKind::Directory,
            kind::FILE => EntryKind::File {
                byte_len: self.number()?,
            },
            kind::SYMLINK => EntryKind::Symlink {
                target: self.string()?.to_vec(),
            },
            _ => return Err(self.bad("its kind")),
        };
        let entry = Entry {
            kind,
            mode,
            uid,
            gid,
            mtime,
        };
        check_entry(&entry).map_err(|what| self.bad(what))?;
        Ok(entry)
    }
}
