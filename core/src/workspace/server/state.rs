//! How the server becomes state: the session with the device, the files apart, since they are bulky.

use super::super::listing::check_name;
use super::super::message::{Fid, MESSAGE_BYTES_MAX, MESSAGE_BYTES_MIN, NO_FID};
use super::super::node::Inode;
use super::{FIDS_MAX, FidState, OPEN_FIDS_MAX, OpenFlags, Server};
use crate::state::{StateError, StateReader, StateWriter};
use std::collections::BTreeMap;

fn bad(field: &'static str) -> StateError {
    StateError::BadValue { field }
}

impl Server {
    /// Writes the session: the agreed size of messages, and the fids.
    pub fn save_session(&self, to: &mut StateWriter) {
        to.option(self.message_bytes, StateWriter::u32);
        to.u64(self.fids.len() as u64);
        for (fid, state) in &self.fids {
            to.u32(fid.0);
            to.u64(state.inode.0);
            to.u32(state.user);
            to.option(state.place.as_ref(), |to, (directory, name)| {
                to.u64(directory.0);
                to.bytes(name);
            });
            to.option(state.open, |to, flags| to.u32(flags.0));
        }
    }

    /// Takes over a saved session. The files that belong to it must be taken over next.
    ///
    /// # Errors
    /// [`StateError`]; the session is then as before.
    pub fn restore_session(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        let message_bytes = from.option(StateReader::u32)?;
        if message_bytes.is_some_and(|n| !(MESSAGE_BYTES_MIN..=MESSAGE_BYTES_MAX).contains(&n)) {
            return Err(bad("the size of a workspace's messages"));
        }
        let count = from.u64()?;
        if count > FIDS_MAX as u64 || (count > 0 && message_bytes.is_none()) {
            return Err(bad("the number of a workspace's fids"));
        }
        let mut fids: BTreeMap<Fid, FidState> = BTreeMap::new();
        let mut open_count = 0;
        for _ in 0..count {
            let fid = Fid(from.u32()?);
            let is_next = fids.last_key_value().is_none_or(|(last, _)| *last < fid);
            if !is_next || fid == NO_FID {
                return Err(bad("a workspace's fid"));
            }
            let inode = Inode(from.u64()?);
            let user = from.u32()?;
            let place = from.option(|from| {
                let directory = Inode(from.u64()?);
                let name = from.bytes()?;
                check_name(name).map_err(bad)?;
                Ok((directory, Box::from(name)))
            })?;
            let open = from.option(StateReader::u32)?.map(OpenFlags);
            open_count += usize::from(open.is_some());
            let state = FidState {
                inode,
                user,
                place,
                open,
            };
            fids.insert(fid, state);
        }
        if open_count > OPEN_FIDS_MAX {
            return Err(bad("the number of a workspace's open files"));
        }
        self.tree.clear_references();
        for state in fids.values() {
            self.tree.refer(state.inode);
        }
        self.message_bytes = message_bytes;
        self.fids = fids;
        self.open_count = open_count;
        Ok(())
    }

    /// Writes the overlay and the contents that have come.
    pub fn save_files(&self, to: &mut StateWriter) {
        self.tree.save(to);
    }

    /// Takes over saved files, to which the session must fit that was taken over before.
    ///
    /// # Errors
    /// [`StateError`]; the files are then as before.
    pub fn restore_files(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.tree.restore(from)
    }

    /// Hash of the overlay and the contents that have come.
    #[must_use]
    pub fn files_hash(&self) -> u64 {
        self.tree.hash()
    }
}
