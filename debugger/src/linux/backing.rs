//! Bytes of files that the kernel does not hold in memory, from where it would get them: the machine's disks, and its
//! workspace.

use super::erofs;
use super::view::LinuxView;
use reprise_core::event::InputEvent;
use reprise_core::workspace::content::{Content, ContentKey};

/// `EROFS_SUPER_MAGIC_V1` and `V9FS_MAGIC`, include/uapi/linux/magic.h.
const EROFS_MAGIC: u64 = 0xe0f5_e1e2;
const V9FS_MAGIC: u64 = 0x0102_1997;
/// `TMPFS_MAGIC` and `RAMFS_MAGIC`, include/uapi/linux/magic.h: file systems that keep files nowhere but in memory.
const MEMORY_FILE_SYSTEMS: [u64; 2] = [0x0102_1994, 0x8584_58f6];
/// What `v9fs_qid2ino` in fs/9p/v9fs.h adds to the server's number.
const V9FS_INODE_OFFSET: u64 = 2;
/// `S_IFMT`, `S_IFREG` and `S_IFLNK`, include/uapi/linux/stat.h.
const MODE_TYPE: u32 = 0o170_000;
const MODE_REGULAR: u32 = 0o100_000;
const MODE_LINK: u32 = 0o120_000;

/// Where the pages of a file are that are not in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Backing {
    /// Somewhere that cannot be read from here.
    Unknown,
    /// Nowhere: they are holes.
    Holes,
    /// In an EROFS, as the inode with this number.
    Erofs(u64),
    /// In the workspace, as the file with this number.
    Workspace(u64),
}

impl Backing {
    /// That of an inode of a file system with this magic number.
    pub(super) fn new(magic: u64, mode: u32, ino: u64) -> Self {
        let is_regular = mode & MODE_TYPE == MODE_REGULAR;
        let is_file = is_regular || mode & MODE_TYPE == MODE_LINK;
        match magic {
            EROFS_MAGIC if is_file => Self::Erofs(ino),
            V9FS_MAGIC if is_file => {
                (ino.checked_sub(V9FS_INODE_OFFSET)).map_or(Self::Unknown, Self::Workspace)
            }
            magic if is_regular && MEMORY_FILE_SYSTEMS.contains(&magic) => Self::Holes,
            _ => Self::Unknown,
        }
    }
}

impl LinuxView<'_> {
    /// Fills `buffer` with bytes of a file of `size` bytes; what lies beyond its end is zero. Whether they are to be had.
    pub(super) fn read_backing(
        &self,
        backing: Backing,
        size: u64,
        offset: u64,
        buffer: &mut [u8],
    ) -> bool {
        let left = size.saturating_sub(offset).min(buffer.len() as u64);
        let (content, behind) = buffer.split_at_mut(left as usize);
        behind.fill(0);
        match backing {
            Backing::Unknown => false,
            Backing::Holes => {
                content.fill(0);
                true
            }
            Backing::Erofs(number) => self.read_erofs(number, size, offset, content).is_some(),
            Backing::Workspace(number) => {
                let later = &mut |key| self.later_content(key);
                let read = (self.machine).look_at_workspace(number, offset, content, later);
                // The guest may have made it longer and not told yet: what is not in memory then is a hole.
                read.map(|read| content[read..].fill(0)).is_some()
            }
        }
    }

    /// The first disk with an EROFS that has such a file.
    fn read_erofs(&self, number: u64, size: u64, offset: u64, buffer: &mut [u8]) -> Option<()> {
        let disk_count = self.machine.disk_count();
        (0..disk_count).find_map(|disk| {
            let mut read = |offset: u64, buffer: &mut [u8]| -> Option<()> {
                self.machine.look_at_disk(disk, offset, buffer)?.ok()
            };
            let inode = erofs::Inode::read(number, &mut read).filter(|inode| inode.size == size)?;
            inode.read_content(offset, buffer, &mut read)
        })
    }

    /// A content of the workspace that comes later in the recording. The listing's files do not change, so that it is
    /// what the guest would get here.
    fn later_content(&self, key: ContentKey) -> Option<Content> {
        let now = self.machine.icount();
        let from = self.events.partition_point(|event| event.icount < now);
        (self.events[from..].iter()).find_map(|event| match &*event.event {
            InputEvent::WorkspaceContent { key: of, content } if *of == key => {
                Some(content.clone())
            }
            _ => None,
        })
    }
}
