//! The machine's workspace: an optional device, there only when a host attaches it.

use super::{Machine, MachineError};
use crate::device::DeviceContext;
use crate::devices::virtio::mmio::VirtioMmio;
use crate::devices::virtio::ninep::NineP;
use crate::devices::virtio::slot::VirtioSlot;
use crate::riscv::platform::context;
use crate::types::GuestTime;
use crate::workspace::Listing;
use crate::workspace::content::{Content, ContentError, ContentKey};
use std::sync::Arc;

impl Machine {
    /// Puts a workspace over a listing into the last virtio slot, which a machine has anyway: the device tree does not
    /// change. `budget_bytes` bounds what the guest may change; see [`crate::workspace::Server::new`].
    ///
    /// A snapshot restores only into a machine with the same listing and budget.
    ///
    /// # Errors
    /// [`MachineError::BadConfig`] when something has run, or when a disk stands in that slot.
    pub fn attach_workspace(
        &mut self,
        listing: Arc<Listing>,
        budget_bytes: u64,
    ) -> Result<(), MachineError> {
        let bad = |reason: &str| MachineError::BadConfig(reason.into());
        if self.icount != 0 {
            return Err(bad("a workspace must be there from power-on"));
        }
        match self.platform.virtio.last_mut() {
            Some(slot @ VirtioSlot::Empty(_)) => {
                let device = NineP::new(listing, budget_bytes);
                *slot = VirtioSlot::Workspace(VirtioMmio::new(device));
                Ok(())
            }
            _ => Err(bad("the disks leave no place for a workspace")),
        }
    }

    /// The contents that the guest waits for, sorted; empty when it waits for none. A function of the state, so that a
    /// recording and its replay want the same at the same position.
    #[must_use]
    pub fn workspace_wanted(&self) -> &[ContentKey] {
        let mut slots = self.platform.virtio.iter();
        let workspace = slots.find_map(VirtioSlot::workspace);
        workspace.map_or(&[], NineP::wanted)
    }

    /// Delivers contents to the workspace, and with them the answer to the request that waited, if it now has all that
    /// it wants. It is an input event: one step, and a recording must log it.
    ///
    /// # Errors
    /// [`MachineError::BadEvent`]; nothing has changed then.
    pub fn deliver_workspace_content(
        &mut self,
        key: ContentKey,
        content: Content,
    ) -> Result<(), MachineError> {
        if self.platform.halted.is_some() {
            return Err(self.bad_event("the machine is switched off"));
        }
        let icount = self.icount();
        let p = &mut self.platform;
        let mut cx = context!(p, icount);
        let mut slots = p.virtio.iter_mut();
        let delivered = slots.find_map(|slot| match slot {
            VirtioSlot::Workspace(workspace) => {
                Some(workspace.deliver_content(&mut cx, key, content.clone()))
            }
            _ => None,
        });
        match delivered {
            Some(Ok(())) => {
                self.end_event();
                Ok(())
            }
            Some(Err(error)) => Err(self.bad_event(reason(error))),
            None => Err(self.bad_event("the machine has no workspace")),
        }
    }
}

fn reason(error: ContentError) -> &'static str {
    match error {
        ContentError::NoSuchExtent => "the workspace has no such extent",
        ContentError::WrongLength { .. } => "an extent of the workspace has another length",
        ContentError::CameBefore => "that extent of the workspace has come before",
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use crate::workspace::content::{Content, ContentKey};
    use crate::workspace::listing::{Entry, EntryKind, Listing, ListingBuilder, Timestamp};

    fn listing(byte_len: u64) -> Arc<Listing> {
        let entry = |kind| Entry {
            kind,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: Timestamp::default(),
        };
        let mut builder = ListingBuilder::new(entry(EntryKind::Directory));
        let file = entry(EntryKind::File { byte_len });
        builder.add(ListingBuilder::ROOT, b"f", file).unwrap();
        Arc::new(Listing::decode(&builder.encode()).unwrap())
    }

    fn machine(workspace: Option<Arc<Listing>>) -> Machine {
        let config = MachineConfig {
            ram_bytes: RAM_BYTES_MIN,
            boot: BootKind::BareElf,
            ..MachineConfig::default()
        };
        // j .
        let images = MachineImages {
            kernel: Some(super::super::tests::elf(&[0x6f]).into()),
            ..MachineImages::default()
        };
        let mut machine = Machine::new(config, images, None).unwrap();
        if let Some(listing) = workspace {
            machine.attach_workspace(listing, 1 << 20).unwrap();
        }
        machine
    }

    const KEY: ContentKey = ContentKey { file: 1, extent: 0 };

    #[test]
    fn contents_are_an_event_and_part_of_the_state() {
        let mut with = machine(Some(listing(5)));
        assert_eq!(with.workspace_wanted(), []);
        let before = with.state_hash();
        let content = || Content::Bytes(b"bytes".to_vec());
        with.deliver_workspace_content(KEY, content()).unwrap();
        assert_eq!(with.icount(), Icount(1));
        assert_ne!(with.state_hash().disks, before.disks);
        for refused in [content(), Content::Unreadable, Content::Bytes(Vec::new())] {
            assert!(with.deliver_workspace_content(KEY, refused).is_err());
        }
        assert_eq!(with.icount(), Icount(1));
        assert!(with.attach_workspace(listing(5), 0).is_err());

        let snapshot = with.snapshot();
        let mut restored = machine(Some(listing(5)));
        restored.restore(&snapshot).unwrap();
        assert_eq!(restored.state_hash(), with.state_hash());
        assert!(machine(Some(listing(6))).restore(&snapshot).is_err());
        assert!(machine(None).restore(&snapshot).is_err());
    }

    #[test]
    fn a_machine_without_a_workspace_takes_no_contents() {
        let mut without = machine(None);
        let before = without.state_hash();
        assert_eq!(without.workspace_wanted(), []);
        assert!(
            without
                .deliver_workspace_content(KEY, Content::Unreadable)
                .is_err()
        );
        assert_eq!(without.state_hash(), before);
        let snapshot = machine(None).snapshot();
        assert!(machine(Some(listing(5))).restore(&snapshot).is_err());
    }
}
