//! The bytes of RAM at one instant, shared with other instants page by page.

use super::{GuestMemory, Page, is_zero, page_flag};
use crate::types::PAGE_BYTES;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// Pages of RAM (1 MiB) that snapshots share as one when none of them changed, so that a snapshot costs what
/// changed since the last one and hardly more.
const CHUNK_PAGES: usize = 256;

/// A page that is equal to zero is not held.
type Slot = Option<Arc<Page>>;

/// The bytes of RAM at one instant; pages that are equal to zero are not held.
///
/// Cloning shares the pages.
#[derive(Clone, Debug)]
pub struct MemorySnapshot {
    /// A chunk of nothing but zeros is not held. The last one may be shorter than [`CHUNK_PAGES`].
    chunks: Vec<Option<Arc<[Slot]>>>,
    page_count: usize,
    fresh_bytes: u64,
}

/// What RAM was equal to, and when.
#[derive(Clone, Debug)]
pub(super) struct Baseline {
    snapshot: MemorySnapshot,
    /// Pages that were not written in a later epoch are as in the snapshot.
    epoch: u32,
}

impl Baseline {
    /// RAM as it is made: zero, and no page written.
    pub(super) fn zero(page_count: usize) -> Self {
        Self {
            snapshot: MemorySnapshot::from_pages(page_count, []),
            epoch: 0,
        }
    }
}

impl MemorySnapshot {
    /// The pages that are not zero, in order, with their numbers.
    pub fn pages(&self) -> impl Iterator<Item = (u32, &Arc<Page>)> {
        let chunks = self.chunks.iter().enumerate();
        chunks.flat_map(|(number, chunk)| {
            let slots = chunk.iter().flat_map(|chunk| chunk.iter().enumerate());
            slots.filter_map(move |(slot, page)| {
                Some(((number * CHUNK_PAGES + slot) as u32, page.as_ref()?))
            })
        })
    }

    /// A snapshot of `page_count` pages from those that are not zero. It shares with no machine.
    #[must_use]
    pub fn from_pages(
        page_count: usize,
        nonzero: impl IntoIterator<Item = (u32, Arc<Page>)>,
    ) -> Self {
        let mut pages: Vec<Slot> = vec![None; page_count];
        for (number, page) in nonzero {
            if let Some(slot) = pages.get_mut(number as usize) {
                *slot = Some(page);
            }
        }
        let mut fresh_bytes = 0;
        let chunks = pages
            .chunks(CHUNK_PAGES)
            .map(|slots| {
                let held = slots.iter().filter(|slot| slot.is_some()).count();
                fresh_bytes += held as u64 * PAGE_BYTES;
                (held != 0).then(|| slots.into())
            })
            .collect();
        Self {
            chunks,
            page_count,
            fresh_bytes,
        }
    }

    /// How many pages the RAM has.
    #[must_use]
    pub fn page_count(&self) -> usize {
        self.page_count
    }

    /// Host memory in bytes that this snapshot takes up beside those that the machine had taken or restored
    /// just before.
    #[must_use]
    pub fn fresh_bytes(&self) -> u64 {
        self.fresh_bytes
    }
}

/// Host memory that a changing set of snapshots takes up: what several of them share counts once. Adding or removing one
/// costs what it has alone.
#[derive(Clone, Debug, Default)]
pub struct SharedBytes {
    /// How often each chunk and page is held, by its address in the host, which nothing but this depends on.
    holds: BTreeMap<usize, u32>,
    bytes: u64,
}

impl SharedBytes {
    /// Bytes of all that were added and not removed.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds a snapshot, which must stay alive until it is removed.
    pub fn add(&mut self, snapshot: &MemorySnapshot) {
        for chunk in snapshot.chunks.iter().flatten() {
            if !self.hold(chunk.as_ptr().addr()) {
                continue;
            }
            self.bytes += size_of_val::<[Slot]>(chunk) as u64;
            for page in chunk.iter().flatten() {
                if self.hold(Arc::as_ptr(page).addr()) {
                    self.bytes += PAGE_BYTES;
                }
            }
        }
    }

    /// Removes a snapshot that was added.
    pub fn remove(&mut self, snapshot: &MemorySnapshot) {
        for chunk in snapshot.chunks.iter().flatten() {
            if !self.release(chunk.as_ptr().addr()) {
                continue;
            }
            self.bytes -= size_of_val::<[Slot]>(chunk) as u64;
            for page in chunk.iter().flatten() {
                if self.release(Arc::as_ptr(page).addr()) {
                    self.bytes -= PAGE_BYTES;
                }
            }
        }
    }

    /// Whether nothing held it before.
    fn hold(&mut self, address: usize) -> bool {
        let holds = self.holds.entry(address).or_insert(0);
        *holds += 1;
        *holds == 1
    }

    /// Whether nothing holds it any more.
    fn release(&mut self, address: usize) -> bool {
        let Entry::Occupied(mut holds) = self.holds.entry(address) else {
            return false;
        };
        *holds.get_mut() -= 1;
        let is_free = *holds.get() == 0;
        if is_free {
            holds.remove();
        }
        is_free
    }
}

fn is_same(left: &Slot, right: &Slot) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => Arc::ptr_eq(left, right),
        (None, None) => true,
        _ => false,
    }
}

impl GuestMemory {
    /// The bytes of RAM now. Shares what has not changed with the snapshot that was taken or restored last.
    pub fn snapshot(&mut self) -> MemorySnapshot {
        let base = &self.baseline;
        let mut fresh_bytes = 0;
        let mut chunks = Vec::with_capacity(base.snapshot.chunks.len());
        for (number, old) in base.snapshot.chunks.iter().enumerate() {
            let first = number * CHUNK_PAGES;
            let last = (first + CHUNK_PAGES).min(self.page_epochs.len());
            if self.page_epochs[first..last]
                .iter()
                .all(|epoch| *epoch <= base.epoch)
            {
                chunks.push(old.clone());
                continue;
            }
            let slots: Vec<Slot> = (first..last)
                .map(|page| {
                    if self.page_epochs[page] <= base.epoch {
                        return old.as_ref().and_then(|old| old[page - first].clone());
                    }
                    let bytes = self.page_bytes(page);
                    if is_zero(bytes) {
                        return None;
                    }
                    fresh_bytes += PAGE_BYTES;
                    let mut copy = Arc::new([0; PAGE_BYTES as usize]);
                    Arc::make_mut(&mut copy).copy_from_slice(bytes);
                    Some(copy)
                })
                .collect();
            fresh_bytes += size_of_val(slots.as_slice()) as u64;
            let is_zero = slots.iter().all(Option::is_none);
            chunks.push((!is_zero).then(|| slots.into()));
        }
        let snapshot = MemorySnapshot {
            chunks,
            page_count: self.page_epochs.len(),
            fresh_bytes,
        };
        self.baseline = Baseline {
            snapshot: snapshot.clone(),
            epoch: self.epoch,
        };
        self.epoch += 1;
        snapshot
    }

    /// Puts the bytes back. Only what differs is copied.
    ///
    /// # Panics
    /// When the snapshot is of RAM of another size.
    pub(crate) fn restore(&mut self, snapshot: &MemorySnapshot) {
        assert_eq!(
            snapshot.page_count,
            self.page_epochs.len(),
            "snapshot of another RAM size"
        );
        self.epoch += 1;
        let base = std::mem::replace(
            &mut self.baseline,
            Baseline {
                snapshot: snapshot.clone(),
                epoch: self.epoch,
            },
        );
        let chunks = snapshot.chunks.iter().zip(&base.snapshot.chunks);
        for (number, (wanted, old)) in chunks.enumerate() {
            let first = number * CHUNK_PAGES;
            let last = (first + CHUNK_PAGES).min(self.page_epochs.len());
            let is_shared = match (wanted, old) {
                (Some(wanted), Some(old)) => Arc::ptr_eq(wanted, old),
                (None, None) => true,
                _ => false,
            };
            if is_shared
                && self.page_epochs[first..last]
                    .iter()
                    .all(|epoch| *epoch <= base.epoch)
            {
                continue;
            }
            for page in first..last {
                let slot_of = |chunk: &Option<Arc<[Slot]>>| {
                    chunk.as_ref().and_then(|chunk| chunk[page - first].clone())
                };
                let saved = slot_of(wanted);
                if self.page_epochs[page] <= base.epoch && is_same(&saved, &slot_of(old)) {
                    continue;
                }
                let start = page * PAGE_BYTES as usize;
                let target = &mut self.ram.bytes_mut()[start..start + PAGE_BYTES as usize];
                match saved {
                    Some(bytes) => target.copy_from_slice(&bytes[..]),
                    None => target.fill(0),
                }
                self.page_epochs[page] = self.epoch;
            }
        }
        // Code and tables are derived anew; watches outlive the jump.
        for flags in &mut self.flags {
            *flags &= page_flag::LASTING;
        }
        self.disturbances.clear();
        self.epoch += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Arena;
    use crate::types::GuestPhysAddr;

    /// Two whole chunks and a short one.
    const PAGES: usize = 2 * CHUNK_PAGES + 3;

    fn memory() -> GuestMemory {
        let bytes = PAGES * PAGE_BYTES as usize;
        let (_, ram) = Arena::allocate(1, bytes).split(1, bytes);
        GuestMemory::new(ram, GuestPhysAddr(0), 1)
    }

    fn contents(memory: &GuestMemory) -> Vec<u8> {
        memory
            .slice(GuestPhysAddr(0), memory.byte_len())
            .expect("all of RAM")
            .to_vec()
    }

    /// Writes here and there, snapshots, goes back to any of them, in RAM of its own or another's, against plain copies.
    #[test]
    fn any_snapshot_comes_back_whatever_was_in_between() {
        let mut memories = [memory(), memory()];
        let mut taken: Vec<(MemorySnapshot, Vec<u8>)> = Vec::new();
        let mut state = 1u64;
        let mut random = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        for _ in 0..3000 {
            let which = random(2);
            let memory = &mut memories[which];
            match random(10) {
                0 => {
                    let expected = contents(memory);
                    taken.push((memory.snapshot(), expected));
                    if taken.len() > 12 {
                        taken.remove(random(12));
                    }
                }
                1 if !taken.is_empty() => {
                    let (snapshot, expected) = &taken[random(taken.len())];
                    memory.restore(snapshot);
                    assert!(contents(memory) == *expected);
                }
                2 => {
                    memory.hash();
                }
                _ => {
                    // Some pages much more often than others; zero often enough for pages to become zero again.
                    let page = random(PAGES).min(random(PAGES));
                    let value = if random(3) == 0 { 0 } else { random(256) as u8 };
                    let at = GuestPhysAddr(page as u64 * PAGE_BYTES);
                    memory.write_by_cpu(at, &[value; 8]).expect("within RAM");
                }
            }
        }
        let mut fresh = self::memory();
        for (snapshot, expected) in &taken {
            fresh.restore(snapshot);
            assert!(contents(&fresh) == *expected);
            let mut straight = self::memory();
            straight
                .write(GuestPhysAddr(0), expected)
                .expect("within RAM");
            assert_eq!(fresh.hash(), straight.hash());
        }
    }

    #[test]
    fn what_has_not_changed_is_held_once() {
        let mut memory = memory();
        for page in 0..PAGES as u64 {
            let at = GuestPhysAddr(page * PAGE_BYTES);
            memory.write_by_cpu(at, &[1]).expect("within RAM");
        }
        let first = memory.snapshot();
        memory.restore(&first);
        memory
            .write_by_cpu(GuestPhysAddr(5), &[2])
            .expect("within RAM");
        let second = memory.snapshot();
        assert!(second.fresh_bytes() < 2 * PAGE_BYTES);
        let mut shared = SharedBytes::default();
        shared.add(&first);
        let one = shared.bytes();
        assert!(one > PAGES as u64 * PAGE_BYTES);
        shared.add(&second);
        assert_eq!(shared.bytes() - one, second.fresh_bytes());
        shared.add(&first);
        shared.remove(&first);
        assert_eq!(shared.bytes() - one, second.fresh_bytes());
        shared.remove(&first);
        assert_eq!(shared.bytes(), one);
        shared.remove(&second);
        assert_eq!(shared.bytes(), 0);
    }
}
