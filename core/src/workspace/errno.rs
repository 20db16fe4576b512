//! Linux's error numbers, as `Rlerror` carries them.

/// A Linux error number (include/uapi/asm-generic/errno.h), never 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errno(pub u32);

macro_rules! errnos {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        impl Errno {
            $($(#[$doc])* pub const $name: Self = Self($number);)*
        }
    };
}

errnos! {
    /// Operation not permitted.
    PERM = 1;
    /// No such file or directory.
    NOENT = 2;
    /// Input or output error.
    IO = 5;
    /// Bad file descriptor: a fid that is unknown, or not open as the message needs it.
    BADF = 9;
    /// The name exists.
    EXIST = 17;
    /// Not a directory.
    NOTDIR = 20;
    /// Is a directory.
    ISDIR = 21;
    /// Invalid argument.
    INVAL = 22;
    /// Too many fids or open files.
    NFILE = 23;
    /// File too large.
    FBIG = 27;
    /// The overlay's budget is used up.
    NOSPC = 28;
    /// Too many links.
    MLINK = 31;
    /// File name too long.
    NAMETOOLONG = 36;
    /// Directory not empty.
    NOTEMPTY = 39;
    /// A symbolic link where none may be.
    LOOP = 40;
    /// No such extended attribute.
    NODATA = 61;
    /// A malformed message.
    PROTO = 71;
    /// Message too long.
    MSGSIZE = 90;
    /// Operation not supported.
    OPNOTSUPP = 95;
    /// What the fid stood for is gone.
    STALE = 116;
}
