//! Requests that change names.

use super::super::Stop;
use super::super::errno::Errno;
use super::super::file::File;
use super::super::listing::{TARGET_BYTES_MAX, check_target};
use super::super::message::{Fid, Reply, Request};
use super::super::node::{Body, Inode, Ownership, mode};
use super::super::tree::{Place, Removal};
use super::files::opened;
use super::{Call, FidState, OpenFlags, Server};

/// In the flags of `Tunlinkat`: remove a directory (`P9_DOTL_AT_REMOVEDIR`).
const REMOVE_DIRECTORY: u32 = 0x200;

/// What is to be made, and where.
struct Creation<'a> {
    directory: Fid,
    name: &'a [u8],
    body: Body,
    permissions: u32,
    gid: u32,
}

impl Server {
    pub(super) fn change_names(
        &mut self,
        call: &Call,
        request: Request<'_>,
    ) -> Result<Reply, Stop> {
        Ok(match request {
            Request::Create {
                fid,
                name,
                flags,
                mode,
                gid,
            } => {
                let creation = Creation {
                    directory: fid,
                    name,
                    body: Body::File(File::default()),
                    permissions: mode & mode::PERMISSIONS,
                    gid,
                };
                self.create_and_open(call, creation, OpenFlags(flags))?
            }
            Request::Symlink {
                fid,
                name,
                target,
                gid,
            } => {
                if target.len() > TARGET_BYTES_MAX {
                    return Err(Errno::NAMETOOLONG.into());
                }
                check_target(target).map_err(|_| Errno::INVAL)?;
                self.make(
                    call,
                    Creation {
                        directory: fid,
                        name,
                        body: Body::Symlink(target.to_vec()),
                        permissions: 0o777,
                        gid,
                    },
                )?
            }
            Request::MakeNode {
                fid,
                name,
                mode,
                gid,
            } => self.make(
                call,
                Creation {
                    directory: fid,
                    name,
                    body: body_of_node(mode)?,
                    permissions: mode & mode::PERMISSIONS,
                    gid,
                },
            )?,
            Request::MakeDirectory {
                fid,
                name,
                mode,
                gid,
            } => {
                let body = Body::Directory {
                    parent: self.fid(fid)?.inode,
                    entries: Some(Default::default()),
                };
                self.make(
                    call,
                    Creation {
                        directory: fid,
                        name,
                        body,
                        permissions: mode & mode::PERMISSIONS,
                        gid,
                    },
                )?
            }
            Request::Link {
                directory,
                fid,
                name,
            } => {
                let inode = self.fid(fid)?.inode;
                let directory = self.fid(directory)?.inode;
                self.tree.link(inode, Place { directory, name }, call.now)?;
                call.reply()
            }
            Request::Rename {
                fid,
                directory,
                name,
            } => self.rename(call, fid, directory, name)?,
            Request::RenameAt {
                old_directory,
                old_name,
                new_directory,
                new_name,
            } => {
                let from = Place {
                    directory: self.fid(old_directory)?.inode,
                    name: old_name,
                };
                let to = Place {
                    directory: self.fid(new_directory)?.inode,
                    name: new_name,
                };
                self.tree.rename(from, to, call.now)?;
                call.reply()
            }
            Request::UnlinkAt {
                directory,
                name,
                flags,
            } => {
                let directory = self.fid(directory)?.inode;
                let removal = if flags & REMOVE_DIRECTORY != 0 {
                    Removal::Directory
                } else {
                    Removal::File
                };
                self.tree
                    .remove(Place { directory, name }, removal, call.now)?;
                call.reply()
            }
            Request::Remove { fid } => self.remove(call, fid)?,
            _ => return Err(Errno::OPNOTSUPP.into()),
        })
    }

    fn create(&mut self, call: &Call, creation: Creation<'_>) -> Result<Inode, Errno> {
        let state = self.fid(creation.directory)?;
        let at = Place {
            directory: state.inode,
            name: creation.name,
        };
        let ownership = Ownership {
            permissions: creation.permissions,
            uid: state.user,
            gid: creation.gid,
        };
        self.tree.create(at, creation.body, ownership, call.now)
    }

    /// `Tmkdir`, `Tsymlink`, `Tmknod`.
    fn make(&mut self, call: &Call, creation: Creation<'_>) -> Result<Reply, Errno> {
        let inode = self.create(call, creation)?;
        let qid = self.qid(inode)?;
        let mut reply = call.reply();
        reply.qid(qid);
        Ok(reply)
    }

    /// `Tlcreate`: the directory's fid becomes that of the open file.
    fn create_and_open(
        &mut self,
        call: &Call,
        creation: Creation<'_>,
        flags: OpenFlags,
    ) -> Result<Reply, Errno> {
        let fid = creation.directory;
        let state = self.fid(fid)?.clone();
        if state.open.is_some() {
            return Err(Errno::INVAL);
        }
        self.check_open_count()?;
        let name: Box<[u8]> = creation.name.into();
        let at = Place {
            directory: state.inode,
            name: &name,
        };
        let inode = match self.tree.lookup(at) {
            Ok(_) if flags.has(OpenFlags::EXCLUSIVE) => return Err(Errno::EXIST),
            // Someone else was faster; the file is opened as open(2) would.
            Ok(inode) => inode,
            // open(2) refuses both together; created first, the file would stay when it is then no directory.
            Err(Errno::NOENT) if flags.has(OpenFlags::DIRECTORY) => return Err(Errno::INVAL),
            Err(Errno::NOENT) => self.create(call, creation)?,
            Err(errno) => return Err(errno),
        };
        let of_file = FidState {
            inode,
            place: Some((state.inode, name.clone())),
            ..state.clone()
        };
        self.replace_fid(fid, of_file);
        if let Err(errno) = self.open_fid(call, fid, flags) {
            self.replace_fid(fid, state);
            return Err(errno);
        }
        Ok(opened(call, self.qid(inode)?))
    }

    /// Lets a fid that is not open stand for something else.
    pub(super) fn replace_fid(&mut self, fid: Fid, state: FidState) {
        self.tree.refer(state.inode);
        if let Some(before) = self.fids.insert(fid, state) {
            self.tree.release(before.inode);
        }
    }

    /// The name by which a fid was reached, if it still refers to the same.
    fn place_of(&self, fid: Fid) -> Result<(Inode, Box<[u8]>), Errno> {
        let state = self.fid(fid)?;
        // The root has no name that anyone could change.
        let (directory, name) = state.place.clone().ok_or(Errno::PERM)?;
        let at = Place {
            directory,
            name: &name,
        };
        if self.tree.lookup(at)? != state.inode {
            return Err(Errno::NOENT);
        }
        Ok((directory, name))
    }

    /// `Trename`, which Linux uses when it finds no `Trenameat`.
    fn rename(
        &mut self,
        call: &Call,
        fid: Fid,
        directory: Fid,
        name: &[u8],
    ) -> Result<Reply, Errno> {
        let to = Place {
            directory: self.fid(directory)?.inode,
            name,
        };
        let (old_directory, old_name) = self.place_of(fid)?;
        let from = Place {
            directory: old_directory,
            name: &old_name,
        };
        self.tree.rename(from, to, call.now)?;
        if let Some(state) = self.fids.get_mut(&fid) {
            state.place = Some((to.directory, name.into()));
        }
        Ok(call.reply())
    }

    /// `Tremove`: the fid is gone whether or not the file can be removed.
    fn remove(&mut self, call: &Call, fid: Fid) -> Result<Reply, Errno> {
        let is_directory = self
            .tree
            .node(self.fid(fid)?.inode)
            .map(|node| node.is_directory());
        let result = self.place_of(fid).and_then(|(directory, name)| {
            let removal = if is_directory? {
                Removal::Directory
            } else {
                Removal::File
            };
            let at = Place {
                directory,
                name: &name,
            };
            self.tree.remove(at, removal, call.now)
        });
        self.clunk(fid)?;
        result?;
        Ok(call.reply())
    }
}

/// What `Tmknod` makes. Devices are the guest's own business, and none here could serve them.
fn body_of_node(st_mode: u32) -> Result<Body, Errno> {
    match st_mode & mode::TYPE {
        mode::FIFO => Ok(Body::Fifo),
        mode::SOCKET => Ok(Body::Socket),
        mode::FILE | 0 => Ok(Body::File(File::default())),
        mode::DIRECTORY | mode::SYMLINK => Err(Errno::INVAL),
        _ => Err(Errno::PERM),
    }
}
