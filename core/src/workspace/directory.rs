//! A directory's entries, in two orders: by name, and by the cookie at which a reader goes on.

use super::listing::check_name;
use super::node::Inode;
use crate::state::{StateError, StateReader, StateWriter};
use std::collections::BTreeMap;
use std::ops::Bound;

/// The cookie of a directory's first entry, after those of `.` and `..`. It is the position behind the entry, so 0
/// means the beginning.
pub(super) const FIRST_COOKIE: u64 = 3;

/// Where an entry stands and what it refers to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    inode: Inode,
    cookie: u64,
}

/// The entries of a directory that has been changed. Cookies are never used again, so a reader who goes on at one
/// meets every entry that stays exactly once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Entries {
    by_name: BTreeMap<Box<[u8]>, Place>,
    by_cookie: BTreeMap<u64, Box<[u8]>>,
    next_cookie: u64,
    bytes: u64,
}

impl Default for Entries {
    fn default() -> Self {
        Self {
            by_name: BTreeMap::new(),
            by_cookie: BTreeMap::new(),
            next_cookie: FIRST_COOKIE,
            bytes: 0,
        }
    }
}

impl Entries {
    /// What an entry takes from the overlay's budget, in bytes.
    pub(super) fn entry_bytes(name: &[u8]) -> u64 {
        128 + 2 * name.len() as u64
    }

    /// What all entries take from the overlay's budget, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<Inode> {
        Some(self.by_name.get(name)?.inode)
    }

    /// Makes a name refer to `inode`. A name that exists keeps its cookie.
    pub(super) fn set(&mut self, name: &[u8], inode: Inode) {
        if let Some(place) = self.by_name.get_mut(name) {
            place.inode = inode;
            return;
        }
        let cookie = self.next_cookie;
        self.next_cookie += 1;
        self.insert(name, Place { inode, cookie });
    }

    fn insert(&mut self, name: &[u8], place: Place) {
        self.bytes += Self::entry_bytes(name);
        self.by_cookie.insert(place.cookie, name.into());
        self.by_name.insert(name.into(), place);
    }

    pub(super) fn remove(&mut self, name: &[u8]) {
        if let Some(place) = self.by_name.remove(name) {
            self.by_cookie.remove(&place.cookie);
            self.bytes -= Self::entry_bytes(name);
        }
    }

    /// The entries after a cookie, in their order: cookie, name, what it refers to.
    pub(super) fn after(&self, cookie: u64) -> impl Iterator<Item = (u64, &[u8], Inode)> {
        self.by_cookie
            .range((Bound::Excluded(cookie), Bound::Unbounded))
            .filter_map(|(cookie, name)| Some((*cookie, &**name, self.get(name)?)))
    }

    pub(super) fn save(&self, to: &mut StateWriter) {
        to.u64(self.next_cookie);
        to.u64(self.by_cookie.len() as u64);
        for (cookie, name, inode) in self.after(0) {
            to.u64(cookie);
            to.bytes(name);
            to.u64(inode.0);
        }
    }

    pub(super) fn restore(from: &mut StateReader<'_>) -> Result<Self, StateError> {
        let bad = |field| StateError::BadValue { field };
        let mut entries = Self {
            next_cookie: from.u64()?,
            ..Self::default()
        };
        let mut last = FIRST_COOKIE - 1;
        // Every turn takes bytes from the input, so a false count ends it early.
        for _ in 0..from.u64()? {
            let cookie = from.u64()?;
            let name = from.bytes()?;
            let inode = Inode(from.u64()?);
            if cookie <= last {
                return Err(bad("the order of a workspace's directory"));
            }
            last = cookie;
            if check_name(name).is_err() || entries.by_name.contains_key(name) {
                return Err(bad("a name in a workspace's directory"));
            }
            entries.insert(name, Place { inode, cookie });
        }
        // A guest cannot count so far; a larger number would let the count overflow.
        if entries.next_cookie <= last || entries.next_cookie > u64::MAX / 2 {
            return Err(bad("the next place in a workspace's directory"));
        }
        Ok(entries)
    }
}
