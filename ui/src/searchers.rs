//! A search of a whole recording, divided over engines through which nobody looks.
//!
//! Where the trace has snapshots on its way, its parts are searched side by side, as many at a time as this computer has
//! processors and memory for. Without them each engine would have to execute everything before its part, so there is one.

use crate::asker::{Asker, Progress, Purpose};
use crate::host::{Capacity, Host};
use reprise_worker::protocol::{Command, Message, StopPoint, TraceSource};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Engines that search at a time.
const SEARCHERS_MAX: usize = 8;

/// Memory of an engine beside the guest's RAM and the trace, in MiB: checkpoints, and what is known of programs.
const ENGINE_MEBIBYTES: u64 = 384;

/// The part of this computer's memory that searching may take.
const MEMORY_SHARE: u64 = 4;

/// The engines beside the reader, which searches the first part, and what is searched.
#[derive(Default)]
pub(crate) struct Searchers {
    others: Vec<Searcher>,
    search: Option<Search>,
}

struct Searcher {
    asker: Asker,
    /// It has the recording as it is now.
    has_trace: bool,
}

/// What is found of a stop, so far.
struct Search {
    stop: u32,
    /// The first is the reader's, the others those of the other engines in their order.
    parts: Vec<Part>,
}

struct Part {
    range: RangeInclusive<u64>,
    /// Steps of it that are known to have been searched.
    done: u64,
    found: Vec<u64>,
    is_capped: bool,
    is_over: bool,
}

/// All hits of a stop.
pub(crate) struct Found {
    pub(crate) stop: u32,
    pub(crate) icounts: Vec<u64>,
    pub(crate) is_capped: bool,
}

/// What a message of an engine that searches comes to.
pub(crate) enum Heard {
    /// Nothing to be told yet.
    Nothing,
    Found(Found),
    /// The search has ended; why, unless the person has ended it.
    Ended(Option<String>),
}

/// What is searched.
pub(crate) struct Wanted<'a> {
    pub(crate) stop: StopPoint,
    /// Position at which it is understood.
    pub(crate) at: u64,
    /// The recording.
    pub(crate) trace: &'a [u8],
    pub(crate) keyframes: &'a [u64],
    pub(crate) end: u64,
    pub(crate) ram_mebibytes: u32,
}

impl Searchers {
    /// The recording is another.
    pub(crate) fn forget_trace(&mut self) {
        for other in &mut self.others {
            other.has_trace = false;
        }
    }

    /// How many engines there are that search, the reader among them.
    pub(crate) fn count(&self) -> usize {
        self.others.len() + 1
    }

    /// Whether a search is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.search.is_some()
    }

    /// Begins a search.
    pub(crate) fn begin(&mut self, wanted: &Wanted<'_>, reader: &mut Asker, host: &mut dyn Host) {
        let own = u64::from(wanted.ram_mebibytes) + (wanted.trace.len() as u64 >> 20);
        let count = searcher_count(host.capacity(), own);
        while self.others.len() + 1 < count.min(wanted.keyframes.len() + 1) {
            let Some(link) = host.start_engine() else {
                break;
            };
            self.others.push(Searcher {
                asker: Asker::new(link),
                has_trace: false,
            });
        }
        let count = count.min(self.others.len() + 1);
        let parts = parts(wanted.keyframes, wanted.end, count);
        self.search = Some(Search {
            stop: wanted.stop.id,
            parts: parts.iter().cloned().map(Part::new).collect(),
        });
        for (number, part) in parts.into_iter().enumerate() {
            let command = Command::FindHitsIn {
                stop: wanted.stop.clone(),
                at: wanted.at,
                from: *part.start(),
                to: *part.end(),
            };
            let Some(other) = number
                .checked_sub(1)
                .and_then(|number| self.others.get_mut(number))
            else {
                reader.ask(command, Purpose::Hits);
                continue;
            };
            if !std::mem::replace(&mut other.has_trace, true) {
                let trace = TraceSource::Bytes(wanted.trace.to_vec());
                other.asker.ask(Command::Open(trace), Purpose::Open);
            }
            other.asker.ask(command, Purpose::Hits);
        }
    }

    /// Ends the search in the engines beside the reader. Those that are at it end with it: one that is still being loaded
    /// would not hear of it, and one that has not got the trace has nothing to keep.
    pub(crate) fn cancel(&mut self) {
        self.search = None;
        self.others.retain(|other| !other.asker.is_busy());
    }

    /// What those engines have said, each with the number of its part.
    pub(crate) fn poll(&mut self) -> Vec<(usize, Message, Option<Purpose>)> {
        let mut said = Vec::new();
        for (number, other) in self.others.iter_mut().enumerate() {
            let messages = other.asker.poll().into_iter();
            said.extend(messages.map(|(message, purpose)| (number + 1, message, purpose)));
        }
        said
    }

    /// Why an engine that searches has ended by itself, if one has. The search ends with it.
    pub(crate) fn take_end(&mut self) -> Option<String> {
        let mut ends = self.others.iter_mut().filter_map(|other| other.asker.end());
        let end = ends.next()?;
        self.others.retain_mut(|other| other.asker.end().is_none());
        let was_busy = self.is_busy();
        self.cancel();
        was_busy.then(|| format!("The search has ended: {end}"))
    }

    /// Takes in what an engine says that searches: the reader, whose part is the first, or another.
    pub(crate) fn hear(
        &mut self,
        number: usize,
        message: Message,
        purpose: Option<Purpose>,
    ) -> Heard {
        let parts = self.search.as_mut().map(|search| &mut search.parts);
        let Some(part) = parts.and_then(|parts| parts.get_mut(number)) else {
            return Heard::Nothing;
        };
        match (message, purpose) {
            (
                Message::Hits {
                    icounts, is_capped, ..
                },
                Some(Purpose::Hits),
            ) => {
                part.found = icounts;
                part.is_capped = is_capped;
            }
            (Message::Done { .. }, Some(Purpose::Hits)) => {
                part.done = part.steps();
                part.is_over = true;
                if let Some(search) = self.search.take_if(|search| search.is_over()) {
                    return Heard::Found(search.found());
                }
            }
            (
                Message::Failed {
                    message,
                    is_cancelled,
                    ..
                },
                Some(Purpose::Hits | Purpose::Open),
            ) => {
                self.cancel();
                return Heard::Ended((!is_cancelled).then_some(message));
            }
            // Of how much of the part; what an engine tells of other things it does is not about that.
            (Message::Progress { done, total, .. }, _) if total == part.steps() => part.done = done,
            _ => {}
        }
        Heard::Nothing
    }

    /// How far the search is, all parts of it.
    pub(crate) fn progress(&self) -> Option<Progress> {
        let parts = &self.search.as_ref()?.parts;
        Some(Progress {
            id: 0,
            what: "looking for hits".to_owned(),
            done: parts.iter().map(|part| part.done).sum(),
            total: parts.iter().map(Part::steps).sum(),
        })
    }
}

impl Part {
    fn new(range: RangeInclusive<u64>) -> Self {
        Self {
            range,
            done: 0,
            found: Vec::new(),
            is_capped: false,
            is_over: false,
        }
    }

    fn steps(&self) -> u64 {
        self.range.end() - self.range.start()
    }
}

impl Search {
    fn is_over(&self) -> bool {
        self.parts.iter().all(|part| part.is_over)
    }

    /// All that was found. Behind a part that was not searched to its end there are hits that nobody knows.
    fn found(self) -> Found {
        let mut found = BTreeSet::new();
        let mut is_capped = false;
        for part in self.parts {
            found.extend(part.found);
            is_capped = part.is_capped;
            if is_capped {
                break;
            }
        }
        Found {
            stop: self.stop,
            icounts: found.into_iter().collect(),
            is_capped,
        }
    }
}

/// How many engines may search at a time that take `own_mebibytes` each for RAM and trace.
fn searcher_count(capacity: Capacity, own_mebibytes: u64) -> usize {
    let engine = own_mebibytes + ENGINE_MEBIBYTES;
    let others = capacity.memory_mebibytes / MEMORY_SHARE / engine;
    let others = usize::try_from(others).unwrap_or(SEARCHERS_MAX);
    // One processor is for the page, and one engine is there already.
    let processors = capacity.processors.saturating_sub(1);
    (others + 1).min(processors).clamp(1, SEARCHERS_MAX)
}

/// Divides a recording at keyframes into so many parts of about the same length, or fewer.
fn parts(keyframes: &[u64], end: u64, count: usize) -> Vec<RangeInclusive<u64>> {
    let mut parts = Vec::new();
    let mut from = 0;
    for number in 1..count as u64 {
        let goal = (u128::from(end) * u128::from(number) / count as u128) as u64;
        let next = keyframes.partition_point(|at| *at < goal);
        let near = [next.checked_sub(1), Some(next)].into_iter().flatten();
        let near = near.filter_map(|number| keyframes.get(number));
        let Some(cut) = near.min_by_key(|at| at.abs_diff(goal)) else {
            continue;
        };
        if *cut > from && *cut < end {
            parts.push(from..=*cut);
            from = *cut;
        }
    }
    parts.push(from..=end);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_cut_at_keyframes() {
        let keyframes = [100, 200, 290, 500, 910];
        assert_eq!(parts(&keyframes, 1000, 1), [0..=1000]);
        assert_eq!(parts(&keyframes, 1000, 2), [0..=500, 500..=1000]);
        assert_eq!(
            parts(&keyframes, 1000, 4),
            [0..=290, 290..=500, 500..=910, 910..=1000]
        );
        // There are fewer than wanted, none, or none on the way.
        assert_eq!(parts(&[500], 1000, 8), [0..=500, 500..=1000]);
        assert_eq!(parts(&[], 1000, 8), [0..=1000]);
        assert_eq!(parts(&[0, 1000], 1000, 3), [0..=1000]);
        assert_eq!(parts(&[], 0, 3), [0..=0]);
        let far = u64::MAX - 1;
        assert_eq!(parts(&[far / 2], far, 2), [0..=far / 2, far / 2..=far]);
    }

    #[test]
    fn engines_are_as_many_as_there_is_room_for() {
        for (processors, memory_mebibytes, ram, count) in [
            (1, 65536, 256, 1),
            (2, 65536, 256, 1),
            (4, 8192, 256, 3),
            (16, 8192, 256, 4),
            (16, 8192, 1024, 2),
            (16, 2048, 256, 1),
            (64, 1 << 40, 64, 8),
            (0, 0, 0, 1),
        ] {
            let capacity = Capacity {
                processors,
                memory_mebibytes,
            };
            assert_eq!(searcher_count(capacity, ram), count, "{capacity:?} {ram}");
        }
    }
}
