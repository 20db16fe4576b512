//! Faults made on purpose, to show that a verification finds them.

use reprise_core::machine::{Machine, Snapshot};
use reprise_core::memory::MemorySnapshot;
use reprise_core::types::Icount;
use std::sync::Arc;

/// A bit that flips in one of two executions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The state at this position is changed.
    pub icount: Icount,
    /// What is changed in it.
    pub place: FaultPlace,
}

/// Where a fault strikes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultPlace {
    /// A bit of RAM.
    Ram {
        /// Byte, counted from the start of RAM.
        offset: u64,
        /// Bit, 0 to 7.
        bit: u8,
    },
    /// A bit of a section of the state outside RAM.
    State {
        /// The section's tag.
        section: [u8; 4],
        /// Byte within the section.
        offset: usize,
        /// Bit, 0 to 7.
        bit: u8,
    },
}

impl Fault {
    /// Changes the machine's state.
    ///
    /// # Panics
    /// When the place does not exist: a fault is written by who tests, not by who uses.
    pub(super) fn inject(&self, machine: &mut Machine) {
        let mut snapshot = machine.snapshot();
        match self.place {
            FaultPlace::Ram { offset, bit } => flip_ram(&mut snapshot, offset, bit),
            FaultPlace::State {
                section,
                offset,
                bit,
            } => flip_state(&mut snapshot, section, offset, bit),
        }
        let restored = machine.restore(&snapshot);
        assert!(restored.is_ok(), "the fault made an impossible state");
    }
}

fn flip_ram(snapshot: &mut Snapshot, offset: u64, bit: u8) {
    let number = u32::try_from(offset / 4096).expect("a page of RAM");
    let mut page = super::page_bytes_of(snapshot, number);
    page[(offset % 4096) as usize] ^= 1 << bit;
    let others = snapshot
        .memory
        .pages()
        .filter(|(other, _)| *other != number)
        .map(|(other, bytes)| (other, Arc::clone(bytes)));
    let pages: Vec<_> = others.chain([(number, Arc::new(page))]).collect();
    snapshot.memory = MemorySnapshot::from_pages(snapshot.memory.page_count(), pages);
}

fn flip_state(snapshot: &mut Snapshot, section: [u8; 4], offset: usize, bit: u8) {
    let mut state = snapshot.state.to_vec();
    let found = super::sections_of(&state)
        .into_iter()
        .find(|found| found.tag == section)
        .expect("a section of the state");
    assert!(offset < found.bytes.len(), "a byte of the section");
    state[found.bytes.start + offset] ^= 1 << bit;
    snapshot.state = state.into();
}
