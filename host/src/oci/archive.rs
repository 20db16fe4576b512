//! What is where in a tar archive, found by its headers alone.

use std::collections::BTreeMap;

use crate::error::{ImageError, shown};
use crate::limits::Limits;
use crate::tar::{EntryKind, Event, TarReader};

/// Bytes asked for at a time while looking for headers: an image has few members, most of them long.
const WINDOW_BYTES: u64 = 16 << 10;
/// Links followed from one member to another.
const LINKS_MAX: usize = 8;

/// Where a member's bytes are in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

enum Member {
    File(Range),
    /// To another path in the archive: layers that two images share are links in archives of old Dockers and
    /// of skopeo.
    Link(Vec<u8>),
}

/// The members of an archive. Filled window by window, between which contents are left out.
pub(super) struct Archive {
    bytes: u64,
    members: BTreeMap<Vec<u8>, Member>,
    reader: TarReader,
    /// Where the reader goes on.
    next: u64,
    members_max: usize,
    names_bytes: usize,
    names_bytes_max: usize,
}

impl Archive {
    pub(super) fn new(bytes: u64, limits: &Limits) -> Self {
        Self {
            bytes,
            members: BTreeMap::new(),
            reader: TarReader::new(),
            next: 0,
            members_max: limits.archive_members_max,
            names_bytes: 0,
            names_bytes_max: limits.document_bytes_max,
        }
    }

    /// The window to be read next; `None` when all members are known.
    pub(super) fn window(&self) -> Option<Range> {
        let left = self.bytes.saturating_sub(self.next);
        if left == 0 || self.reader.is_at_end() {
            return None;
        }
        Some(Range {
            offset: self.next,
            bytes: left.min(WINDOW_BYTES),
        })
    }

    /// Takes a whole window.
    pub(super) fn read(&mut self, window: &[u8]) -> Result<(), ImageError> {
        let mut input = window;
        let start = self.next;
        let end = start + window.len() as u64;
        loop {
            let event = self.reader.next(&mut input);
            let event = event.map_err(|fault| ImageError::NotAnImage {
                reason: format!("{} (at byte {})", fault.reason, fault.at_byte),
            })?;
            let Event::Entry(entry) = event else {
                self.next = end;
                return Ok(());
            };
            let here = end - input.len() as u64;
            let member = match entry.kind {
                EntryKind::File => Some(Member::File(Range {
                    offset: here,
                    bytes: entry.size,
                })),
                EntryKind::HardLink(target) => Some(Member::Link(target)),
                EntryKind::Symlink(target) => Some(Member::Link(beside(&entry.path, &target))),
                _ => None,
            };
            if let Some(member) = member {
                self.add(plain_path(&entry.path), member)?;
            }
            let skipped = self.reader.skip_data();
            match usize::try_from(skipped)
                .ok()
                .and_then(|skipped| input.get(skipped..))
            {
                Some(rest) => input = rest,
                None => {
                    self.next = here.saturating_add(skipped);
                    return Ok(());
                }
            }
        }
    }

    fn add(&mut self, path: Vec<u8>, member: Member) -> Result<(), ImageError> {
        let target_bytes = match &member {
            Member::File(_) => 0,
            Member::Link(target) => target.len(),
        };
        self.names_bytes += path.len() + target_bytes;
        if self.names_bytes > self.names_bytes_max {
            return Err(ImageError::TooLarge {
                what: "bytes of names in its archive",
                limit: self.names_bytes_max as u64,
            });
        }
        if self.members.len() >= self.members_max {
            return Err(ImageError::TooLarge {
                what: "members of its archive",
                limit: self.members_max as u64,
            });
        }
        self.members.insert(path, member);
        Ok(())
    }

    /// Whether there is such a member.
    pub(super) fn has(&self, path: &str) -> bool {
        self.members.contains_key(path.as_bytes())
    }

    /// Where a member's bytes are.
    pub(super) fn find(&self, path: &str) -> Result<Range, ImageError> {
        let missing = || ImageError::Missing {
            name: shown(path.as_bytes()),
        };
        let mut at = plain_path(path.as_bytes());
        for _ in 0..=LINKS_MAX {
            match self.members.get(&at) {
                Some(Member::File(range)) => {
                    let end = range.offset.checked_add(range.bytes);
                    let is_whole = end.is_some_and(|end| end <= self.bytes);
                    return is_whole.then_some(*range).ok_or_else(missing);
                }
                Some(Member::Link(target)) => at = plain_path(target),
                None => break,
            }
        }
        Err(missing())
    }
}

/// A symbolic link's target, as a path in the archive.
fn beside(link: &[u8], target: &[u8]) -> Vec<u8> {
    let folder = link
        .iter()
        .rposition(|&byte| byte == b'/')
        .map_or(0, |slash| slash + 1);
    [&link[..folder], target].concat()
}

/// A path without `.` and `..`.
fn plain_path(path: &[u8]) -> Vec<u8> {
    let mut plain: Vec<&[u8]> = Vec::new();
    for name in path.split(|&byte| byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => {
                plain.pop();
            }
            name => plain.push(name),
        }
    }
    plain.join(&b'/')
}
