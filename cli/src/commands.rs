//! The commands. Each yields the exit status, or an error that is bad usage or bad input.

pub(crate) mod bare;
pub(crate) mod bridge;
pub(crate) mod convert;
pub(crate) mod events;
pub(crate) mod files;
pub(crate) mod gdb;
pub(crate) mod index;
pub(crate) mod info;
pub(crate) mod record;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod save;
pub(crate) mod scrub;
pub(crate) mod serve;
pub(crate) mod share;
pub(crate) mod travel_bench;
pub(crate) mod verify;
