//! The checkpoints of a timeline, within a budget: dense near the position, sparse far from it.

use reprise_core::machine::Snapshot;
use reprise_core::memory::SharedBytes;
use reprise_core::types::Icount;
use std::collections::BTreeMap;

/// More checkpoints than this are not kept, whatever they cost.
const COUNT_MAX: usize = 1024;

/// Distances below this count as this, so that the checkpoints just behind the position do not push out all others.
const NEAR_STEPS: u64 = 1 << 10;

/// What a checkpoint takes up beside its pages, in bytes: the table of chunks and its entry here.
const OVERHEAD_BYTES: u64 = 4096;

/// Snapshots by position.
#[derive(Clone, Debug, Default)]
pub(super) struct Checkpoints {
    snapshots: BTreeMap<Icount, Snapshot>,
    memory: SharedBytes,
    /// Of what is not RAM.
    other_bytes: u64,
    bytes_max: u64,
}

impl Checkpoints {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self {
            bytes_max,
            ..Self::default()
        }
    }

    pub(super) fn len(&self) -> usize {
        self.snapshots.len()
    }

    /// Host memory that they take up.
    pub(super) fn bytes(&self) -> u64 {
        self.memory.bytes() + self.other_bytes
    }

    pub(super) fn contains(&self, at: Icount) -> bool {
        self.snapshots.contains_key(&at)
    }

    pub(super) fn get(&self, at: Icount) -> Option<Snapshot> {
        self.snapshots.get(&at).cloned()
    }

    /// Position of the last one at or before a position.
    pub(super) fn at_or_before(&self, to: Icount) -> Option<Icount> {
        Some(*self.snapshots.range(..=to).next_back()?.0)
    }

    pub(super) fn insert(&mut self, at: Icount, snapshot: Snapshot) {
        self.memory.add(&snapshot.memory);
        self.other_bytes += other_bytes(&snapshot);
        if let Some(old) = self.snapshots.insert(at, snapshot) {
            self.forget(&old);
        }
    }

    fn forget(&mut self, snapshot: &Snapshot) {
        self.memory.remove(&snapshot.memory);
        self.other_bytes -= other_bytes(snapshot);
    }

    /// Takes out those after a position.
    pub(super) fn split_off_after(&mut self, at: Icount) -> BTreeMap<Icount, Snapshot> {
        let later = self.snapshots.split_off(&at.after(1));
        later.values().for_each(|snapshot| self.forget(snapshot));
        later
    }

    /// Puts back what [`Checkpoints::split_off_after`] has taken out.
    pub(super) fn append(&mut self, later: BTreeMap<Icount, Snapshot>) {
        for (at, snapshot) in later {
            self.insert(at, snapshot);
        }
    }

    /// Drops some when they take up too much. Those stay without which somebody at `position` would have the longest
    /// way, in proportion to how far away they are; the first one always stays.
    pub(super) fn thin_out(&mut self, position: Icount) {
        while self.bytes() > self.bytes_max || self.snapshots.len() > COUNT_MAX {
            let Some(victim) = self.least_useful(position) else {
                return;
            };
            if let Some(snapshot) = self.snapshots.remove(&victim) {
                self.forget(&snapshot);
            }
        }
    }

    fn least_useful(&self, position: Icount) -> Option<Icount> {
        let at: Vec<Icount> = self.snapshots.keys().copied().collect();
        let usefulness = |window: &[Icount]| {
            let gap = window[2].0 - window[0].0;
            let distance = window[1].0.abs_diff(position.0).max(NEAR_STEPS);
            (u128::from(gap) << 32) / u128::from(distance)
        };
        let windows = at.windows(3);
        let inner = windows
            .min_by_key(|window| usefulness(window))
            .map(|window| window[1]);
        // Only the first and the last: the last one goes, and then nothing more.
        inner.or_else(|| (at.len() > 1).then(|| at[at.len() - 1]))
    }
}

fn other_bytes(snapshot: &Snapshot) -> u64 {
    snapshot.state.len() as u64 + OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use reprise_core::memory::MemorySnapshot;
    use std::sync::Arc;

    fn snapshot() -> Snapshot {
        let page = (0, Arc::new([1; 4096]));
        Snapshot {
            state: Arc::new([]),
            memory: MemorySnapshot::from_pages(256, [page]),
        }
    }

    #[test]
    fn what_is_kept_is_dense_near_the_position() {
        let each = 4096 + 4096 + 256 * 8;
        let mut checkpoints = Checkpoints::new(40 * each);
        for at in 0..=1000 {
            checkpoints.insert(Icount(at << 20), snapshot());
            checkpoints.thin_out(Icount(at << 20));
        }
        assert!(checkpoints.bytes() <= 40 * each && checkpoints.len() > 30);
        let kept: Vec<Icount> = checkpoints.snapshots.keys().copied().collect();
        assert_eq!(kept[0], Icount(0));
        // From any place to the checkpoint before it is a fraction of the way from the position.
        for pair in kept.windows(2) {
            let gap = (pair[1].0 - pair[0].0) >> 20;
            let distance = 1000 - (pair[0].0 >> 20);
            assert!(
                gap <= 4 + distance / 3,
                "{gap} steps apart, {distance} away"
            );
        }
    }

    #[test]
    fn shared_pages_count_once() {
        let mut checkpoints = Checkpoints::new(1 << 20);
        let one = snapshot();
        checkpoints.insert(Icount(0), one.clone());
        checkpoints.insert(Icount(1), one);
        assert!(checkpoints.bytes() < 2 * (4096 + 2048) + 2 * 4096);
        let later = checkpoints.split_off_after(Icount(0));
        assert_eq!((checkpoints.len(), later.len()), (1, 1));
        checkpoints.append(later);
        assert_eq!(checkpoints.len(), 2);
    }
}
