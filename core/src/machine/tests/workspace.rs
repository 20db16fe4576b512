use super::super::*;
use super::elf;
use crate::workspace::content::{Content, ContentKey};
use crate::workspace::listing::{Entry, EntryKind, ListingBuilder, Timestamp};

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

fn config() -> MachineConfig {
    MachineConfig {
        ram_bytes: RAM_BYTES_MIN,
        boot: BootKind::BareElf,
        ..MachineConfig::default()
    }
}

fn machine(workspace: Option<Arc<Listing>>) -> Machine {
    // j .
    let images = MachineImages {
        kernel: Some(elf(&[0x6f]).into()),
        workspace,
        ..MachineImages::default()
    };
    Machine::new(config(), images, None).unwrap()
}

fn event(content: Content) -> InputEvent {
    InputEvent::WorkspaceContent {
        key: ContentKey { file: 1, extent: 0 },
        content,
    }
}

fn bytes(text: &[u8]) -> Content {
    Content::Bytes(text.into())
}

#[test]
fn contents_are_an_event_and_part_of_the_state() {
    let mut with = machine(Some(listing(5)));
    assert_eq!(with.workspace_wanted(), []);
    let before = with.state_hash();
    with.inject(&event(bytes(b"bytes"))).unwrap();
    assert_eq!(with.icount(), Icount(1));
    assert_ne!(with.state_hash().disks, before.disks);
    for refused in [
        bytes(b"bytes"),
        Content::Unreadable,
        Content::Zeros,
        bytes(b""),
    ] {
        assert!(with.inject(&event(refused)).is_err());
    }
    assert_eq!(with.icount(), Icount(1));

    let snapshot = with.snapshot();
    let mut restored = machine(Some(listing(5)));
    restored.restore(&snapshot).unwrap();
    assert_eq!(restored.state_hash(), with.state_hash());
    assert!(machine(Some(listing(6))).restore(&snapshot).is_err());
    assert!(machine(None).restore(&snapshot).is_err());
}

#[test]
fn somebody_who_looks_sees_what_comes_later_and_changes_nothing() {
    let mut with = machine(Some(listing(5)));
    let before = with.state_hash();
    let mut seen = [0; 8];
    // Inode 2 is the first entry below the root.
    let mut look = |machine: &Machine, inode, offset, later: Option<Content>| {
        let read = machine.look_at_workspace(inode, offset, &mut seen, &mut |_| later.clone());
        read.map(|read| seen[..read].to_vec())
    };
    assert_eq!(look(&with, 2, 0, None), None);
    assert_eq!(look(&with, 2, 0, Some(Content::Unreadable)), None);
    assert_eq!(look(&with, 2, 0, Some(bytes(b"too long"))), None);
    let later = Some(bytes(b"later"));
    assert_eq!(look(&with, 2, 1, later.clone()), Some(b"ater".to_vec()));
    assert_eq!(look(&with, 2, 5, None), Some(Vec::new()));
    for (inode, offset) in [(1, 0), (0, 0), (3, 0), (u64::MAX, 0), (2, u64::MAX)] {
        assert_eq!(look(&with, inode, offset, later.clone()), None);
    }
    assert_eq!(with.state_hash(), before);
    with.inject(&event(bytes(b"bytes"))).unwrap();
    assert_eq!(look(&with, 2, 0, later), Some(b"bytes".to_vec()));
    assert_eq!(look(&machine(None), 2, 0, None), None);
}

#[test]
fn disks_are_looked_at_up_to_their_end() {
    use crate::image::MemoryImage;
    let disk = |byte| Box::new(MemoryImage(vec![byte; 1000].into())) as Box<dyn ImageSource>;
    let images = MachineImages {
        kernel: Some(elf(&[0x6f]).into()),
        disks: vec![disk(1), disk(2)],
        ..MachineImages::default()
    };
    let machine = Machine::new(config(), images, None).unwrap();
    assert_eq!(machine.disk_count(), 2);
    let mut seen = [0; 4];
    assert_eq!(machine.look_at_disk(1, 998, &mut seen), Some(Ok(())));
    assert_eq!(seen, [2, 2, 0, 0]);
    for (disk, offset) in [(0, 1021), (0, u64::MAX), (2, 0)] {
        assert_eq!(machine.look_at_disk(disk, offset, &mut seen), None);
    }
}

#[test]
fn zeros_are_restored_as_such() {
    let mut with = machine(Some(listing(5)));
    with.inject(&event(Content::Zeros)).unwrap();
    let mut restored = machine(Some(listing(5)));
    restored.restore(&with.snapshot()).unwrap();
    assert_eq!(restored.state_hash(), with.state_hash());
    assert!(restored.inject(&event(bytes(b"bytes"))).is_err());
}

#[test]
fn a_machine_without_a_workspace_takes_no_contents() {
    let mut without = machine(None);
    let before = without.state_hash();
    assert_eq!(without.workspace_wanted(), []);
    assert!(without.inject(&event(Content::Unreadable)).is_err());
    assert_eq!(without.state_hash(), before);
    let snapshot = machine(None).snapshot();
    assert!(machine(Some(listing(5))).restore(&snapshot).is_err());
}

#[test]
fn disks_may_leave_no_place_for_a_workspace() {
    use crate::devices::virtio::slot::DISKS_MAX;
    use crate::image::MemoryImage;
    let images = |disk_count| MachineImages {
        kernel: Some(elf(&[0x6f]).into()),
        disks: (0..disk_count)
            .map(|_| Box::new(MemoryImage(vec![0; 512].into())) as Box<dyn ImageSource>)
            .collect(),
        workspace: Some(listing(5)),
        ..MachineImages::default()
    };
    assert!(Machine::new(config(), images(DISKS_MAX - 1), None).is_ok());
    assert!(Machine::new(config(), images(DISKS_MAX), None).is_err());
}
