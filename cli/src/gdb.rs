//! What `reprise gdb` has to do with the outside: sockets, the gdb that it starts, traces of diversions.

pub(crate) mod launch;
pub(crate) mod live;
pub(crate) mod save;
pub(crate) mod serve;
