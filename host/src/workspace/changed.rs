//! What the guest has made of a workspace, as an archive for the person.

use super::LeftOut;
use crate::tar::writer::{ARCHIVE_END, Member, MemberKind, member_end, member_header};
use reprise_core::workspace::Server;
use reprise_core::workspace::changes::{Changed, ChangedKind};
use reprise_core::workspace::content::{Content, ContentKey, EXTENT_BYTES};
use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write};

/// Names that are told of each kind; of more, only their number is.
const NAMED_MAX: usize = 10;

/// What was made or changed, to be written as an archive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChangedFiles {
    members: Vec<Changed>,
    removed: Vec<String>,
    left_out: Vec<LeftOut>,
    is_cut: bool,
    lacked: BTreeSet<ContentKey>,
}

/// Contents that have not come to the machine, from wherever they can be had; `None` where that is nowhere.
pub type Reader<'a> = &'a mut dyn FnMut(ContentKey) -> Option<Content>;

/// What an archive holds, and what it does not. Shown, it is sentences for the person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Written {
    /// How many members it has.
    pub member_count: usize,
    /// What the guest has removed: the archive has nothing for that.
    pub removed: Vec<String>,
    /// What was changed and is not in it.
    pub left_out: Vec<LeftOut>,
    /// More than all that was changed: the paths are too long.
    pub is_cut: bool,
}

impl ChangedFiles {
    /// What there is to be written of a workspace as it is now. What does not fit into an archive of `byte_len_max` is left out.
    #[must_use]
    pub fn of(server: &Server, byte_len_max: u64) -> Self {
        let changes = server.changes();
        let text = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
        let mut files = Self {
            members: Vec::new(),
            removed: changes.removed.iter().map(|path| text(path)).collect(),
            left_out: Vec::new(),
            is_cut: changes.is_cut,
            lacked: BTreeSet::new(),
        };
        let mut room = byte_len_max.saturating_sub(ARCHIVE_END.len() as u64);
        for changed in changes.changed {
            let mut leave_out = |why: &str| {
                files.left_out.push(LeftOut {
                    path: text(&changed.path),
                    why: why.to_owned(),
                });
            };
            let Some(member) = member(&changed) else {
                leave_out("an archive has no sockets");
                continue;
            };
            let byte_len = match changed.kind {
                ChangedKind::File { byte_len } => byte_len,
                _ => 0,
            };
            // No file is so long that its blocks are more than a number of 64 bits.
            let wanted = member_header(&member).len() as u64 + byte_len.next_multiple_of(512);
            let Some(left) = room.checked_sub(wanted) else {
                leave_out("it is too large for this archive");
                continue;
            };
            if byte_len > 0 {
                match server.lacks(changed.inode, 0..byte_len) {
                    Ok(lacked) => files.lacked.extend(lacked),
                    Err(_) => {
                        leave_out("some of it could not be read when the guest wanted it");
                        continue;
                    }
                }
            }
            room = left;
            files.members.push(changed);
        }
        files
    }

    /// Contents that have not come to the machine and are part of what has changed: who appends to a file reads no more of
    /// it than its end. Those that [`ChangedFiles::write`] cannot have either leave their files out.
    #[must_use]
    pub fn lacked(&self) -> &BTreeSet<ContentKey> {
        &self.lacked
    }

    /// Writes the archive: POSIX.1-2017 `pax`. Nothing at all where there would be nothing in it.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write(
        mut self,
        server: &Server,
        later: Reader<'_>,
        to: &mut impl Write,
    ) -> io::Result<Written> {
        let mut buffer = vec![0; EXTENT_BYTES as usize];
        let mut member_count = 0;
        for changed in &self.members {
            let Some(member) = member(changed) else {
                continue;
            };
            let MemberKind::File { byte_len } = member.kind else {
                to.write_all(&member_header(&member))?;
                member_count += 1;
                continue;
            };
            if !is_readable(server, changed.inode, byte_len, later) {
                let why = match &changed.listed_as {
                    Some(path) => format!(
                        "it is `{}`, moved, and not all of it is in the recording",
                        String::from_utf8_lossy(path)
                    ),
                    None => "not all of it is in the recording, since the guest has not read it"
                        .to_owned(),
                };
                self.left_out.push(LeftOut {
                    path: String::from_utf8_lossy(&changed.path).into_owned(),
                    why,
                });
                continue;
            }
            to.write_all(&member_header(&member))?;
            let mut at = 0;
            while at < byte_len {
                let length = (byte_len - at).min(EXTENT_BYTES) as usize;
                let piece = &mut buffer[..length];
                if server.look(changed.inode, at, piece, later) != Some(length) {
                    return Err(io::Error::other("a file that was there has gone"));
                }
                to.write_all(piece)?;
                at += length as u64;
            }
            to.write_all(&member_end(byte_len).collect::<Vec<u8>>())?;
            member_count += 1;
        }
        if member_count > 0 {
            to.write_all(&ARCHIVE_END)?;
        }
        Ok(Written {
            member_count,
            removed: self.removed,
            left_out: self.left_out,
            is_cut: self.is_cut,
        })
    }
}

fn is_readable(server: &Server, inode: u64, byte_len: u64, later: Reader<'_>) -> bool {
    let can_be_had = |key| {
        let content = later(key);
        content.is_some_and(|content| content != Content::Unreadable)
    };
    let lacked = server.lacks(inode, 0..byte_len);
    lacked.is_ok_and(|lacked| lacked.into_iter().all(can_be_had))
}

fn member(changed: &Changed) -> Option<Member<'_>> {
    Some(Member {
        path: &changed.path,
        kind: match &changed.kind {
            ChangedKind::Directory => MemberKind::Directory,
            ChangedKind::File { byte_len } => MemberKind::File {
                byte_len: *byte_len,
            },
            ChangedKind::Symlink { target } => MemberKind::Symlink { target },
            ChangedKind::Fifo => MemberKind::Fifo,
            ChangedKind::Socket => return None,
        },
        mode: changed.mode,
        uid: changed.uid,
        gid: changed.gid,
        mtime: changed.mtime.seconds,
    })
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.member_count {
            0 => write!(f, "there is nothing to save: no files were made or changed")?,
            1 => write!(f, "1 file or directory that was made or changed")?,
            count => write!(f, "{count} files and directories that were made or changed")?,
        }
        if !self.removed.is_empty() {
            write!(f, "; removed: ")?;
            write_names(f, self.removed.iter().map(String::as_str))?;
        }
        if !self.left_out.is_empty() {
            write!(f, "; left out: ")?;
            let told = self.left_out.iter();
            let told: Vec<String> = told
                .map(|file| format!("{} ({})", file.path, file.why))
                .collect();
            write_names(f, told.iter().map(String::as_str))?;
        }
        if self.is_cut {
            write!(f, "; and what has too long a path")?;
        }
        Ok(())
    }
}

fn write_names<'a>(
    f: &mut fmt::Formatter<'_>,
    names: impl ExactSizeIterator<Item = &'a str>,
) -> fmt::Result {
    let more = names.len().saturating_sub(NAMED_MAX);
    for (number, name) in names.take(NAMED_MAX).enumerate() {
        let comma = if number > 0 { ", " } else { "" };
        write!(f, "{comma}{name}")?;
    }
    if more > 0 {
        write!(f, " and {more} more")?;
    }
    Ok(())
}
