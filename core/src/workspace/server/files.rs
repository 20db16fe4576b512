//! Requests about one file: open, read, write, attributes, locks.

use super::super::Stop;
use super::super::errno::Errno;
use super::super::file::BLOCK_BYTES;
use super::super::listing::{NAME_BYTES_MAX, Timestamp};
use super::super::message::{Fid, LockRange, Qid, Reply, SetAttributes};
use super::super::node::{Body, mode};
use super::super::tree::{Changes, Tree};
use super::{Call, OPEN_FIDS_MAX, OpenFlags, Server, qid_of};

/// What `Rgetattr` tells: all that `stat` needs (`P9_STATS_BASIC`).
const STATS_BASIC: u64 = 0x7ff;
/// 9P in `statfs` (`V9FS_MAGIC`).
const FILE_SYSTEM_TYPE: u32 = 0x0102_1997;

/// What `Tsetattr` sets (`P9_ATTR_*`).
mod valid {
    pub(super) const MODE: u32 = 1 << 0;
    pub(super) const UID: u32 = 1 << 1;
    pub(super) const GID: u32 = 1 << 2;
    pub(super) const SIZE: u32 = 1 << 3;
    pub(super) const ATIME: u32 = 1 << 4;
    pub(super) const MTIME: u32 = 1 << 5;
    pub(super) const ATIME_SET: u32 = 1 << 7;
    pub(super) const MTIME_SET: u32 = 1 << 8;
}

/// Status of `Rlock` and type of `Rgetlock` (`P9_LOCK_*`).
const LOCK_SUCCESS: u8 = 0;
const LOCK_TYPE_UNLOCK: u8 = 2;

impl Server {
    /// `Tlopen`.
    pub(super) fn open(&mut self, call: &Call, fid: Fid, flags: OpenFlags) -> Result<Reply, Errno> {
        self.open_fid(call, fid, flags)?;
        let qid = self.qid(self.fid(fid)?.inode)?;
        Ok(opened(call, qid))
    }

    /// Opens what a fid stands for.
    pub(super) fn open_fid(
        &mut self,
        call: &Call,
        fid: Fid,
        flags: OpenFlags,
    ) -> Result<(), Errno> {
        let state = self.fid(fid)?;
        if state.open.is_some() {
            return Err(Errno::INVAL);
        }
        self.check_open_count()?;
        let inode = state.inode;
        let truncates = flags.has(OpenFlags::TRUNCATE) && flags.writes();
        match &self.tree.node(inode)?.body {
            Body::Directory { .. } if flags.writes() => return Err(Errno::ISDIR),
            Body::Directory { .. } => {}
            _ if flags.has(OpenFlags::DIRECTORY) => return Err(Errno::NOTDIR),
            Body::File(_) => {}
            Body::Symlink(_) => return Err(Errno::LOOP),
            // The guest's kernel opens them itself.
            Body::Fifo | Body::Socket => return Err(Errno::INVAL),
        }
        if truncates {
            let changes = Changes {
                byte_len: Some(0),
                ..Changes::default()
            };
            self.tree.set_attributes(inode, &changes, call.now)?;
        }
        if let Some(state) = self.fids.get_mut(&fid) {
            state.open = Some(flags);
            self.open_count += 1;
        }
        Ok(())
    }

    /// Whether one more fid may be open.
    pub(super) fn check_open_count(&self) -> Result<(), Errno> {
        if self.open_count >= OPEN_FIDS_MAX {
            return Err(Errno::NFILE);
        }
        Ok(())
    }

    /// `Tread`.
    pub(super) fn read(
        &self,
        call: &Call,
        fid: Fid,
        offset: u64,
        count: u32,
    ) -> Result<Reply, Stop> {
        let state = self.fid(fid)?;
        if !state.open.is_some_and(OpenFlags::reads) {
            return Err(Errno::BADF.into());
        }
        let mut reply = call.reply();
        reply.data(call.data_bytes(count), |buffer| {
            self.tree.read(state.inode, offset, buffer)
        })?;
        Ok(reply)
    }

    /// `Twrite`.
    ///
    /// DEVIATION: a file that is open for appending is written where the message says. Linux finds the file's end itself,
    /// knows it as the only client does, and may write back pages in the middle through the same fid.
    pub(super) fn write(
        &mut self,
        call: &Call,
        fid: Fid,
        offset: u64,
        data: &[u8],
    ) -> Result<Reply, Stop> {
        let state = self.fid(fid)?;
        if !state.open.is_some_and(OpenFlags::writes) {
            return Err(Errno::BADF.into());
        }
        self.tree.write(state.inode, offset, data, call.now)?;
        let mut reply = call.reply();
        reply.u32(data.len() as u32);
        Ok(reply)
    }

    /// `Treaddir`: entries `qid[13] offset[8] type[1] name[s]`; a reader goes on at the offset of the last one.
    pub(super) fn read_directory(
        &self,
        call: &Call,
        fid: Fid,
        offset: u64,
        count: u32,
    ) -> Result<Reply, Errno> {
        let state = self.fid(fid)?;
        if !state.open.is_some_and(OpenFlags::reads) {
            return Err(Errno::BADF);
        }
        let room = call.data_bytes(count);
        let parent = self.tree.parent(state.inode);
        let dots = [(1, &b"."[..], state.inode)];
        let up = parent.ok().map(|parent| (2, &b".."[..], parent));
        let mut reply = call.reply();
        let mut entries = EntryWriter {
            bytes: Vec::new(),
            room,
        };
        let mut is_full = false;
        for (cookie, name, inode) in dots.into_iter().chain(up) {
            if cookie > offset && !is_full {
                is_full = !entries.add(self.qid(inode)?, cookie, name, mode::DIRECTORY);
            }
        }
        if !is_full {
            let mut result = Ok(());
            self.tree.read_directory(state.inode, offset, |listed| {
                match self.tree.node(listed.inode) {
                    Ok(node) => entries.add(
                        qid_of(listed.inode, &node),
                        listed.cookie,
                        listed.name,
                        node.mode(),
                    ),
                    Err(errno) => {
                        result = Err(errno);
                        false
                    }
                }
            })?;
            result?;
        }
        reply.data(entries.bytes.len(), |buffer| {
            buffer.copy_from_slice(&entries.bytes);
            Ok::<_, Errno>(buffer.len())
        })?;
        Ok(reply)
    }

    /// `Tgetattr`.
    pub(super) fn get_attributes(&self, call: &Call, fid: Fid) -> Result<Reply, Errno> {
        let inode = self.fid(fid)?.inode;
        let node = self.tree.node(inode)?;
        let size = match &node.body {
            Body::File(file) => file.byte_len(),
            Body::Symlink(target) => target.len() as u64,
            Body::Directory { .. } => BLOCK_BYTES,
            Body::Fifo | Body::Socket => 0,
        };
        let mut reply = call.reply();
        reply.u64(STATS_BASIC);
        reply.qid(qid_of(inode, &node));
        reply.u32(node.mode());
        reply.u32(node.ownership.uid);
        reply.u32(node.ownership.gid);
        reply.u64(u64::from(node.links));
        let device_number = 0;
        reply.u64(device_number);
        reply.u64(size);
        reply.u64(BLOCK_BYTES);
        reply.u64(Tree::sectors(&node));
        for time in [node.atime, node.mtime, node.ctime] {
            reply.u64(time.seconds as u64);
            reply.u64(u64::from(time.nanoseconds));
        }
        // Birth time, generation and data version, which are not valid.
        [0; 4].into_iter().for_each(|field| reply.u64(field));
        Ok(reply)
    }

    /// `Tsetattr`.
    pub(super) fn set_attributes(
        &mut self,
        call: &Call,
        fid: Fid,
        to: &SetAttributes,
    ) -> Result<Reply, Errno> {
        let inode = self.fid(fid)?.inode;
        let has = |flag| to.valid & flag != 0;
        let time = |flag, set_flag, seconds, nanoseconds| {
            if !has(flag) {
                Ok(None)
            } else if has(set_flag) {
                timestamp(seconds, nanoseconds).map(Some)
            } else {
                Ok(Some(call.now))
            }
        };
        let changes = Changes {
            permissions: has(valid::MODE).then_some(to.mode & mode::PERMISSIONS),
            uid: has(valid::UID).then_some(to.uid),
            gid: has(valid::GID).then_some(to.gid),
            byte_len: has(valid::SIZE).then_some(to.size),
            atime: time(
                valid::ATIME,
                valid::ATIME_SET,
                to.atime_seconds,
                to.atime_nanoseconds,
            )?,
            mtime: time(
                valid::MTIME,
                valid::MTIME_SET,
                to.mtime_seconds,
                to.mtime_nanoseconds,
            )?,
        };
        self.tree.set_attributes(inode, &changes, call.now)?;
        Ok(call.reply())
    }

    /// `Treadlink`.
    pub(super) fn readlink(&self, call: &Call, fid: Fid) -> Result<Reply, Errno> {
        let node = self.tree.node(self.fid(fid)?.inode)?;
        let Body::Symlink(target) = &node.body else {
            return Err(Errno::INVAL);
        };
        let mut reply = call.reply();
        reply.string(target);
        Ok(reply)
    }

    /// `Tstatfs`: the overlay's budget is the file system's size.
    pub(super) fn file_system(&self, call: &Call, fid: Fid) -> Result<Reply, Errno> {
        self.fid(fid)?;
        let budget = self.tree.budget_bytes();
        let free_blocks = budget.saturating_sub(self.tree.used_bytes()) / BLOCK_BYTES;
        let free_nodes = self.tree.nodes_left();
        let mut reply = call.reply();
        reply.u32(FILE_SYSTEM_TYPE);
        reply.u32(BLOCK_BYTES as u32);
        reply.u64(budget / BLOCK_BYTES);
        reply.u64(free_blocks);
        reply.u64(free_blocks);
        reply.u64(free_nodes + u64::from(self.listing().entry_count()));
        reply.u64(free_nodes);
        let file_system_id = 0;
        reply.u64(file_system_id);
        reply.u32(NAME_BYTES_MAX as u32);
        Ok(reply)
    }

    /// `Tlock`: granted. Linux settles its processes' locks among themselves before it asks (`v9fs_file_do_lock`).
    pub(super) fn lock(&self, call: &Call, fid: Fid) -> Result<Reply, Errno> {
        self.fid(fid)?;
        let mut reply = call.reply();
        reply.u8(LOCK_SUCCESS);
        Ok(reply)
    }

    /// `Tgetlock`: nobody else holds a lock.
    pub(super) fn get_lock(
        &self,
        call: &Call,
        fid: Fid,
        range: LockRange<'_>,
    ) -> Result<Reply, Errno> {
        self.fid(fid)?;
        let mut reply = call.reply();
        reply.u8(LOCK_TYPE_UNLOCK);
        reply.u64(range.start);
        reply.u64(range.length);
        reply.u32(range.process);
        reply.string(range.client);
        Ok(reply)
    }
}

/// `Rlopen` and `Rlcreate`: the qid, and 0 for "as much at a time as a message holds".
pub(super) fn opened(call: &Call, qid: Qid) -> Reply {
    let mut reply = call.reply();
    reply.qid(qid);
    reply.u32(0);
    reply
}

fn timestamp(seconds: u64, nanoseconds: u64) -> Result<Timestamp, Errno> {
    if nanoseconds >= 1_000_000_000 {
        return Err(Errno::INVAL);
    }
    Ok(Timestamp {
        seconds: seconds as i64,
        nanoseconds: nanoseconds as u32,
    })
}

/// Entries of `Rreaddir`, as many as there is room for.
struct EntryWriter {
    bytes: Vec<u8>,
    room: usize,
}

impl EntryWriter {
    /// Adds an entry; returns whether it had room.
    fn add(&mut self, qid: Qid, cookie: u64, name: &[u8], st_mode: u32) -> bool {
        let length = Qid::BYTES + 8 + 1 + 2 + name.len();
        if self.bytes.len() + length > self.room {
            return false;
        }
        self.bytes.push(qid.qid_type);
        self.bytes.extend_from_slice(&qid.version.to_le_bytes());
        self.bytes.extend_from_slice(&qid.path.to_le_bytes());
        self.bytes.extend_from_slice(&cookie.to_le_bytes());
        // `DT_*` are the type bits of `st_mode`, moved down.
        self.bytes.push(((st_mode & mode::TYPE) >> 12) as u8);
        self.bytes
            .extend_from_slice(&(name.len() as u16).to_le_bytes());
        self.bytes.extend_from_slice(name);
        true
    }
}
