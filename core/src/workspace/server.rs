//! The 9P2000.L server: fids, and what each request does to the tree.
//!
//! # What it does not do
//! - Permissions are the client's to check, and locks its own to settle: there is one client, and it asks itself first.
//! - Reading moves no `atime`, as on a file system mounted with `noatime`.
//! - Extended attributes do not exist, nor do device nodes.

mod files;
mod names;
mod state;

use super::Stop;
use super::changes::Changes;
use super::content::{Content, ContentError, ContentKey};
use super::errno::Errno;
use super::listing::{Listing, Timestamp};
use super::message::{
    Fid, HEADER_BYTES, MESSAGE_BYTES_MAX, MESSAGE_BYTES_MIN, NO_FID, NO_TAG, Qid, Reply, Request,
};
use super::node::{Body, Inode, Node};
use super::tree::Tree;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Fids that a client may have. Linux holds one for each file that it remembers.
pub const FIDS_MAX: usize = 1 << 20;
/// Fids that may be open at a time.
pub const OPEN_FIDS_MAX: usize = 1 << 16;

/// The dialect that the server speaks.
const VERSION: &[u8] = b"9P2000.L";
/// The server's answer to a client that speaks another dialect.
const UNKNOWN_VERSION: &[u8] = b"unknown";
/// Bytes of the smallest reply, `Rlerror`.
pub const REPLY_BYTES_MIN: usize = HEADER_BYTES + 4;

/// What a guest may change of a machine's workspace, in bytes as [`Server::new`] counts them: 512 MiB. It is part of what the
/// guest sees, so another number is another machine version.
pub const CHANGED_BYTES_MAX: u64 = 512 << 20;
/// Who attaches without saying who they are (`P9_NONUNAME`).
const NO_USER: u32 = u32::MAX;

/// What a fid stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
struct FidState {
    inode: Inode,
    /// The user who attached: the owner of what is made through the fid.
    user: u32,
    /// The name by which it was reached, for `Tremove` and `Trename`; the root has none.
    place: Option<(Inode, Box<[u8]>)>,
    /// Flags of the open file.
    open: Option<OpenFlags>,
}

/// Flags of `Tlopen` and `Tlcreate` (`P9_DOTL_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct OpenFlags(u32);

impl OpenFlags {
    const ACCESS: u32 = 0o3;
    const WRITE_ONLY: u32 = 0o1;
    const READ_WRITE: u32 = 0o2;
    const EXCLUSIVE: u32 = 0o200;
    const TRUNCATE: u32 = 0o1000;
    const DIRECTORY: u32 = 0o200_000;

    fn reads(self) -> bool {
        self.0 & Self::ACCESS != Self::WRITE_ONLY
    }

    fn writes(self) -> bool {
        matches!(self.0 & Self::ACCESS, Self::WRITE_ONLY | Self::READ_WRITE)
    }

    fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }
}

/// A server and the workspace that it serves.
#[derive(Clone, Debug)]
pub struct Server {
    tree: Tree,
    /// The largest message, once a version has been agreed upon.
    message_bytes: Option<u32>,
    fids: BTreeMap<Fid, FidState>,
    open_count: usize,
}

impl Server {
    /// A server over a listing that nobody has changed. `budget_bytes` bounds what the overlay may take up: blocks of
    /// 4 KiB that were written, names and attributes; beyond it a client gets `ENOSPC`.
    #[must_use]
    pub fn new(listing: Arc<Listing>, budget_bytes: u64) -> Self {
        Self {
            tree: Tree::new(listing, budget_bytes),
            message_bytes: None,
            fids: BTreeMap::new(),
            open_count: 0,
        }
    }

    /// The listing that it serves.
    #[must_use]
    pub fn listing(&self) -> &Listing {
        self.tree.listing()
    }

    /// Reads bytes of a file, or of a symbolic link's target, as it is now, for a debugger: the guest notices nothing, and
    /// nothing changes. `inode` is the file's `qid.path`. Bytes of the listing that have not come are asked of `later`.
    ///
    /// Returns how many bytes there were up to the end of the file; `None` when there is no such file, or some of them are
    /// not to be had.
    pub fn look(
        &self,
        inode: u64,
        offset: u64,
        buffer: &mut [u8],
        later: &mut dyn FnMut(ContentKey) -> Option<Content>,
    ) -> Option<usize> {
        self.tree.look(Inode(inode), offset, buffer, later)
    }

    /// How the workspace differs from its listing now. Takes time in proportion to all that is in it.
    #[must_use]
    pub fn changes(&self) -> Changes {
        self.tree.changes()
    }

    /// Which contents have not come that bytes of a file are made of, sorted: [`Server::look`] asks `later` for them. What lies
    /// beyond the file's end is made of none. Takes time in proportion to the range.
    ///
    /// # Errors
    /// When there is no such file, or some of it cannot be read.
    pub fn lacks(&self, inode: u64, range: Range<u64>) -> Result<Vec<ContentKey>, Errno> {
        self.tree.lacks(Inode(inode), range)
    }

    /// Takes contents of a file of the listing.
    ///
    /// # Errors
    /// [`ContentError`]; nothing has changed then.
    pub fn insert_content(
        &mut self,
        key: ContentKey,
        content: Content,
    ) -> Result<(), ContentError> {
        self.tree.insert_content(key, content)
    }

    /// Whether an extent has come.
    #[must_use]
    pub fn has_content(&self, key: ContentKey) -> bool {
        self.tree.has_content(key)
    }

    /// Answers a message with one of at most `reply_bytes_max` bytes, which must be at least [`REPLY_BYTES_MIN`].
    ///
    /// # Errors
    /// Contents that have not come, and that the request cannot do without. Nothing has changed then.
    pub fn handle(
        &mut self,
        message: &[u8],
        reply_bytes_max: usize,
        now: Timestamp,
    ) -> Result<Vec<u8>, Vec<ContentKey>> {
        let header = message.first_chunk::<HEADER_BYTES>();
        let Some([s0, s1, s2, s3, message_type, t0, t1]) = header else {
            return Ok(Reply::error(NO_TAG, Errno::PROTO).into_bytes());
        };
        let size = u32::from_le_bytes([*s0, *s1, *s2, *s3]);
        let tag = u16::from_le_bytes([*t0, *t1]);
        let call = Call {
            message_type: *message_type,
            tag,
            reply_bytes_max: reply_bytes_max.min(self.message_bytes_max() as usize),
            now,
        };
        let fields = usize::try_from(size)
            .ok()
            .and_then(|size| message.get(HEADER_BYTES..size));
        let result = match fields {
            _ if size > self.message_bytes_max() => Err(Errno::MSGSIZE.into()),
            Some(fields) => Request::parse(*message_type, fields)
                .and_then(|request| call.check_room(request))
                .map_err(Stop::from)
                .and_then(|request| self.serve(&call, request)),
            None => Err(Errno::PROTO.into()),
        };
        let reply = match result {
            Ok(reply) => reply,
            Err(Stop::Error(errno)) => Reply::error(tag, errno),
            Err(Stop::Missing(missing)) => return Err(missing),
        };
        let bytes = reply.into_bytes();
        // Only that of a request which changes nothing: for others there was a check before.
        Ok(if bytes.len() > reply_bytes_max {
            Reply::error(tag, Errno::MSGSIZE).into_bytes()
        } else {
            bytes
        })
    }

    fn message_bytes_max(&self) -> u32 {
        self.message_bytes.unwrap_or(MESSAGE_BYTES_MAX)
    }

    fn serve(&mut self, call: &Call, request: Request<'_>) -> Result<Reply, Stop> {
        if self.message_bytes.is_none() && !matches!(request, Request::Version { .. }) {
            return Err(Errno::PROTO.into());
        }
        Ok(match request {
            Request::Version {
                message_bytes,
                version,
            } => self.version(call, message_bytes, version)?,
            // No authentication is needed, which this error says.
            Request::Auth => return Err(Errno::NOENT.into()),
            Request::Attach { fid, user } => self.attach(call, fid, user)?,
            // Requests are answered in their order, so what is to be flushed has been answered.
            Request::Flush => call.reply(),
            Request::Walk {
                fid,
                new_fid,
                names,
            } => self.walk(call, fid, new_fid, &names)?,
            Request::Open { fid, flags } => self.open(call, fid, OpenFlags(flags))?,
            Request::Read { fid, offset, count } => self.read(call, fid, offset, count)?,
            Request::Write { fid, offset, data } => self.write(call, fid, offset, data)?,
            Request::ReadDirectory { fid, offset, count } => {
                self.read_directory(call, fid, offset, count)?
            }
            Request::GetAttributes { fid } => self.get_attributes(call, fid)?,
            Request::SetAttributes { fid, to } => self.set_attributes(call, fid, &to)?,
            Request::Readlink { fid } => self.readlink(call, fid)?,
            Request::FileSystem { fid } => self.file_system(call, fid)?,
            Request::Sync { fid } => {
                self.fid(fid)?;
                call.reply()
            }
            Request::Clunk { fid } => {
                self.clunk(fid)?;
                call.reply()
            }
            Request::Lock { fid } => self.lock(call, fid)?,
            Request::GetLock { fid, range } => self.get_lock(call, fid, range)?,
            Request::XattrWalk { fid, name } => {
                self.fid(fid)?;
                let is_list = name.is_empty();
                return Err(if is_list {
                    Errno::OPNOTSUPP
                } else {
                    Errno::NODATA
                }
                .into());
            }
            Request::XattrCreate { fid } => {
                self.fid(fid)?;
                return Err(Errno::OPNOTSUPP.into());
            }
            request => self.change_names(call, request)?,
        })
    }

    /// `Tversion`: begins a session, and ends what was before.
    fn version(&mut self, call: &Call, message_bytes: u32, version: &[u8]) -> Result<Reply, Errno> {
        if message_bytes < MESSAGE_BYTES_MIN {
            return Err(Errno::MSGSIZE);
        }
        self.end_session();
        let agreed = message_bytes.min(MESSAGE_BYTES_MAX);
        let is_known = version == VERSION;
        self.message_bytes = is_known.then_some(agreed);
        let mut reply = call.reply();
        reply.u32(agreed);
        reply.string(if is_known { VERSION } else { UNKNOWN_VERSION });
        Ok(reply)
    }

    /// Ends the session, as when the client went away: it has no fids any more, and must agree on a version first.
    pub fn end_session(&mut self) {
        self.message_bytes = None;
        self.open_count = 0;
        for fid in std::mem::take(&mut self.fids).into_values() {
            self.tree.release(fid.inode);
        }
    }

    /// `Tattach`: a fid for the root.
    fn attach(&mut self, call: &Call, fid: Fid, user: u32) -> Result<Reply, Errno> {
        let user = if user == NO_USER { 0 } else { user };
        let root = FidState {
            inode: Inode::ROOT,
            user,
            place: None,
            open: None,
        };
        let qid = self.qid(Inode::ROOT)?;
        self.add_fid(fid, root)?;
        let mut reply = call.reply();
        reply.qid(qid);
        Ok(reply)
    }

    /// `Twalk`: a fid for what a path leads to, or as far as it leads.
    fn walk(
        &mut self,
        call: &Call,
        fid: Fid,
        new_fid: Fid,
        names: &[&[u8]],
    ) -> Result<Reply, Errno> {
        let from = self.fid(fid)?;
        let mut to = FidState {
            open: None,
            ..from.clone()
        };
        if new_fid == fid {
            // An open file goes nowhere.
            if from.open.is_some() {
                return Err(Errno::INVAL);
            }
        } else {
            self.check_new_fid(new_fid)?;
        }
        let mut qids: Vec<Qid> = Vec::new();
        for name in names {
            match self.step(&mut to, name).and_then(|()| self.qid(to.inode)) {
                Ok(qid) => qids.push(qid),
                Err(errno) if qids.is_empty() => return Err(errno),
                Err(_) => break,
            }
        }
        // A walk that ends early makes no fid.
        if qids.len() == names.len() {
            if new_fid == fid {
                self.replace_fid(fid, to);
            } else {
                self.add_fid(new_fid, to)?;
            }
        }
        let mut reply = call.reply();
        reply.u16(qids.len() as u16);
        qids.into_iter().for_each(|qid| reply.qid(qid));
        Ok(reply)
    }

    /// Goes one name further.
    fn step(&self, at: &mut FidState, name: &[u8]) -> Result<(), Errno> {
        if name == b".." {
            at.inode = self.tree.parent(at.inode)?;
            at.place = None;
            return Ok(());
        }
        let directory = at.inode;
        at.inode = self.tree.lookup(super::tree::Place { directory, name })?;
        at.place = Some((directory, name.into()));
        Ok(())
    }

    fn fid(&self, fid: Fid) -> Result<&FidState, Errno> {
        self.fids.get(&fid).ok_or(Errno::BADF)
    }

    fn check_new_fid(&self, fid: Fid) -> Result<(), Errno> {
        if fid == NO_FID || self.fids.contains_key(&fid) {
            return Err(Errno::BADF);
        }
        if self.fids.len() >= FIDS_MAX {
            return Err(Errno::NFILE);
        }
        Ok(())
    }

    /// Adds a fid that is not open.
    fn add_fid(&mut self, fid: Fid, state: FidState) -> Result<(), Errno> {
        self.check_new_fid(fid)?;
        self.tree.refer(state.inode);
        self.fids.insert(fid, state);
        Ok(())
    }

    /// `Tclunk`: the client needs the fid no more.
    fn clunk(&mut self, fid: Fid) -> Result<(), Errno> {
        let state = self.fids.remove(&fid).ok_or(Errno::BADF)?;
        self.open_count -= usize::from(state.open.is_some());
        self.tree.release(state.inode);
        Ok(())
    }

    fn qid(&self, inode: Inode) -> Result<Qid, Errno> {
        Ok(qid_of(inode, &*self.tree.node(inode)?))
    }
}

fn qid_of(inode: Inode, node: &Node) -> Qid {
    Qid {
        qid_type: match node.body {
            Body::Directory { .. } => Qid::DIRECTORY,
            Body::Symlink(_) => Qid::SYMLINK,
            _ => 0,
        },
        version: Qid::VERSION,
        path: inode.0,
    }
}

/// What is known of a request beside its fields.
struct Call {
    message_type: u8,
    tag: u16,
    reply_bytes_max: usize,
    now: Timestamp,
}

impl Call {
    /// A reply without fields yet.
    fn reply(&self) -> Reply {
        Reply::to(self.message_type, self.tag)
    }

    /// Refuses a request that changes something and whose reply may not fit.
    fn check_room<'a>(&self, request: Request<'a>) -> Result<Request<'a>, Errno> {
        let fields = match &request {
            Request::Walk { names, .. } => 2 + names.len() * Qid::BYTES,
            Request::Version { .. } => 4 + 2 + VERSION.len(),
            Request::Attach { .. }
            | Request::Open { .. }
            | Request::Create { .. }
            | Request::Symlink { .. }
            | Request::MakeNode { .. }
            | Request::MakeDirectory { .. } => Qid::BYTES + 4,
            // Those that change something have at most 4 bytes, for which there is always room.
            _ => 0,
        };
        if HEADER_BYTES + fields > self.reply_bytes_max {
            return Err(Errno::MSGSIZE);
        }
        Ok(request)
    }

    /// How many bytes of data a reply may have, if the client wants `count`.
    fn data_bytes(&self, count: u32) -> usize {
        let room = self.reply_bytes_max.saturating_sub(HEADER_BYTES + 4);
        usize::try_from(count).unwrap_or(usize::MAX).min(room)
    }
}
