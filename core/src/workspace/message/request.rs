//! Requests, taken apart.

use super::super::errno::Errno;
use super::{Fid, WALK_NAMES_MAX, message_type};

/// The fields of `Tsetattr`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct SetAttributes {
    pub valid: u32,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub atime_seconds: u64,
    pub atime_nanoseconds: u64,
    pub mtime_seconds: u64,
    pub mtime_nanoseconds: u64,
}

/// The fields of `Tgetlock`, which its reply has, too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct LockRange<'a> {
    pub start: u64,
    pub length: u64,
    pub process: u32,
    pub client: &'a [u8],
}

/// A request. Fields have the names that diod's `protocol.md` gives them, in full.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Request<'a> {
    Version {
        message_bytes: u32,
        version: &'a [u8],
    },
    Auth,
    Attach {
        fid: Fid,
        user: u32,
    },
    Flush,
    Walk {
        fid: Fid,
        new_fid: Fid,
        names: Vec<&'a [u8]>,
    },
    Open {
        fid: Fid,
        flags: u32,
    },
    Create {
        fid: Fid,
        name: &'a [u8],
        flags: u32,
        mode: u32,
        gid: u32,
    },
    Symlink {
        fid: Fid,
        name: &'a [u8],
        target: &'a [u8],
        gid: u32,
    },
    MakeNode {
        fid: Fid,
        name: &'a [u8],
        mode: u32,
        gid: u32,
    },
    MakeDirectory {
        fid: Fid,
        name: &'a [u8],
        mode: u32,
        gid: u32,
    },
    Link {
        directory: Fid,
        fid: Fid,
        name: &'a [u8],
    },
    Rename {
        fid: Fid,
        directory: Fid,
        name: &'a [u8],
    },
    RenameAt {
        old_directory: Fid,
        old_name: &'a [u8],
        new_directory: Fid,
        new_name: &'a [u8],
    },
    UnlinkAt {
        directory: Fid,
        name: &'a [u8],
        flags: u32,
    },
    Remove {
        fid: Fid,
    },
    Readlink {
        fid: Fid,
    },
    GetAttributes {
        fid: Fid,
    },
    SetAttributes {
        fid: Fid,
        to: SetAttributes,
    },
    Read {
        fid: Fid,
        offset: u64,
        count: u32,
    },
    Write {
        fid: Fid,
        offset: u64,
        data: &'a [u8],
    },
    ReadDirectory {
        fid: Fid,
        offset: u64,
        count: u32,
    },
    Sync {
        fid: Fid,
    },
    Clunk {
        fid: Fid,
    },
    FileSystem {
        fid: Fid,
    },
    Lock {
        fid: Fid,
    },
    GetLock {
        fid: Fid,
        range: LockRange<'a>,
    },
    XattrWalk {
        fid: Fid,
        name: &'a [u8],
    },
    XattrCreate {
        fid: Fid,
    },
}

impl<'a> Request<'a> {
    /// Takes the fields behind the header apart.
    ///
    /// # Errors
    /// [`Errno::OPNOTSUPP`] for a type that no request has, [`Errno::PROTO`] for fields that are too short or too long.
    pub fn parse(message_type: u8, fields: &'a [u8]) -> Result<Self, Errno> {
        let mut from = Fields(fields);
        let request = Self::parse_fields(message_type, &mut from)?;
        if from.0.is_empty() {
            Ok(request)
        } else {
            Err(Errno::PROTO)
        }
    }

    // Fields of a literal are read in the order in which they are written.
    fn parse_fields(message_type: u8, from: &mut Fields<'a>) -> Result<Self, Errno> {
        Ok(match message_type {
            message_type::VERSION => Self::Version {
                message_bytes: from.u32()?,
                version: from.string()?,
            },
            message_type::AUTH => {
                from.take(from.0.len())?;
                Self::Auth
            }
            message_type::ATTACH => {
                let fid = from.fid()?;
                let (_auth_fid, _user_name, _tree) = (from.fid()?, from.string()?, from.string()?);
                Self::Attach {
                    fid,
                    user: from.u32()?,
                }
            }
            message_type::FLUSH => {
                let _tag = from.take(2)?;
                Self::Flush
            }
            message_type::WALK => from.walk()?,
            message_type::LOPEN => Self::Open {
                fid: from.fid()?,
                flags: from.u32()?,
            },
            message_type::LCREATE => Self::Create {
                fid: from.fid()?,
                name: from.string()?,
                flags: from.u32()?,
                mode: from.u32()?,
                gid: from.u32()?,
            },
            message_type::SYMLINK => Self::Symlink {
                fid: from.fid()?,
                name: from.string()?,
                target: from.string()?,
                gid: from.u32()?,
            },
            message_type::MKNOD => {
                let (fid, name, mode) = (from.fid()?, from.string()?, from.u32()?);
                let _device_number = from.take(8)?;
                Self::MakeNode {
                    fid,
                    name,
                    mode,
                    gid: from.u32()?,
                }
            }
            message_type::MKDIR => Self::MakeDirectory {
                fid: from.fid()?,
                name: from.string()?,
                mode: from.u32()?,
                gid: from.u32()?,
            },
            message_type::LINK => Self::Link {
                directory: from.fid()?,
                fid: from.fid()?,
                name: from.string()?,
            },
            message_type::RENAME => Self::Rename {
                fid: from.fid()?,
                directory: from.fid()?,
                name: from.string()?,
            },
            message_type::RENAMEAT => Self::RenameAt {
                old_directory: from.fid()?,
                old_name: from.string()?,
                new_directory: from.fid()?,
                new_name: from.string()?,
            },
            message_type::UNLINKAT => Self::UnlinkAt {
                directory: from.fid()?,
                name: from.string()?,
                flags: from.u32()?,
            },
            message_type::SETATTR => Self::SetAttributes {
                fid: from.fid()?,
                to: from.attributes()?,
            },
            message_type::READ => Self::Read {
                fid: from.fid()?,
                offset: from.u64()?,
                count: from.u32()?,
            },
            message_type::WRITE => Self::Write {
                fid: from.fid()?,
                offset: from.u64()?,
                data: from.data()?,
            },
            message_type::READDIR => Self::ReadDirectory {
                fid: from.fid()?,
                offset: from.u64()?,
                count: from.u32()?,
            },
            message_type::LOCK => {
                let fid = from.fid()?;
                let (_type, _flags, _range) = (from.take(1)?, from.u32()?, from.lock_range()?);
                Self::Lock { fid }
            }
            message_type::GETLOCK => {
                let fid = from.fid()?;
                let _type = from.take(1)?;
                Self::GetLock {
                    fid,
                    range: from.lock_range()?,
                }
            }
            message_type::XATTRWALK => {
                let (fid, _new_fid) = (from.fid()?, from.fid()?);
                Self::XattrWalk {
                    fid,
                    name: from.string()?,
                }
            }
            message_type::XATTRCREATE => {
                let (fid, _name) = (from.fid()?, from.string()?);
                let (_size, _flags) = (from.u64()?, from.u32()?);
                Self::XattrCreate { fid }
            }
            _ => Self::parse_fid_alone(message_type, from)?,
        })
    }

    /// Requests that have a fid and nothing else that matters.
    fn parse_fid_alone(message_type: u8, from: &mut Fields<'a>) -> Result<Self, Errno> {
        let make = match message_type {
            message_type::REMOVE => |fid| Self::Remove { fid },
            message_type::READLINK => |fid| Self::Readlink { fid },
            message_type::GETATTR => |fid| Self::GetAttributes { fid },
            message_type::FSYNC => |fid| Self::Sync { fid },
            message_type::CLUNK => |fid| Self::Clunk { fid },
            message_type::STATFS => |fid| Self::FileSystem { fid },
            _ => return Err(Errno::OPNOTSUPP),
        };
        let fid = from.fid()?;
        match message_type {
            message_type::GETATTR => {
                let _wanted = from.u64()?;
            }
            message_type::FSYNC => {
                let _is_data_enough = from.u32()?;
            }
            _ => {}
        }
        Ok(make(fid))
    }
}

/// Fields of a message that have not been read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Errno> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Errno::PROTO)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Errno> {
        self.take(N)?.try_into().map_err(|_| Errno::PROTO)
    }

    fn u16(&mut self) -> Result<u16, Errno> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, Errno> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, Errno> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn fid(&mut self) -> Result<Fid, Errno> {
        Ok(Fid(self.u32()?))
    }

    fn string(&mut self) -> Result<&'a [u8], Errno> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    fn data(&mut self) -> Result<&'a [u8], Errno> {
        let length = self.u32()?;
        self.take(usize::try_from(length).map_err(|_| Errno::PROTO)?)
    }

    fn walk(&mut self) -> Result<Request<'a>, Errno> {
        let (fid, new_fid, count) = (self.fid()?, self.fid()?, self.u16()?);
        if count > WALK_NAMES_MAX {
            return Err(Errno::PROTO);
        }
        Ok(Request::Walk {
            fid,
            new_fid,
            names: (0..count)
                .map(|_| self.string())
                .collect::<Result<_, _>>()?,
        })
    }

    fn attributes(&mut self) -> Result<SetAttributes, Errno> {
        Ok(SetAttributes {
            valid: self.u32()?,
            mode: self.u32()?,
            uid: self.u32()?,
            gid: self.u32()?,
            size: self.u64()?,
            atime_seconds: self.u64()?,
            atime_nanoseconds: self.u64()?,
            mtime_seconds: self.u64()?,
            mtime_nanoseconds: self.u64()?,
        })
    }

    fn lock_range(&mut self) -> Result<LockRange<'a>, Errno> {
        Ok(LockRange {
            start: self.u64()?,
            length: self.u64()?,
            process: self.u32()?,
            client: self.string()?,
        })
    }
}
