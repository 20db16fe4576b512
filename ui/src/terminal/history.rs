//! All that the console printed, and the terminal as it was at any position.

use super::shadow::{self, Shadow};
use reprise_worker::protocol::{Printed, TerminalSize};
use std::num::NonZeroU16;
use vt100::Screen;

/// Bytes of output that are kept. Who prints more sees the beginning.
const OUTPUT_BYTES_MAX: usize = 64 << 20;
/// Bytes of output between snapshots, as long as there are few of those.
const SNAPSHOT_SPACING: usize = 16 << 10;
/// Snapshots that are kept; half of them go when there are more.
const SNAPSHOTS_MAX: usize = 128;
/// Bytes of output before a position that are played again, so that there is something to scroll back to.
const SCROLLBACK_BYTES: usize = 48 << 10;
/// Lines that can be scrolled back to.
const SCROLLBACK_LINES: usize = 2_000;
/// Bytes of output that are played rather than jumped over by a snapshot.
const FORWARD_BYTES: usize = 256 << 10;

/// Bounds of a terminal, so that a trace cannot make the page allocate at will.
pub const COLUMNS_MAX: u16 = 400;
/// See [`COLUMNS_MAX`].
pub const ROWS_MAX: u16 = 200;

/// A console's output and its terminal's states.
pub struct History {
    bytes: Vec<u8>,
    pieces: Vec<Piece>,
    start_size: TerminalSize,
    sizes: Vec<(u64, TerminalSize)>,
    snapshots: Vec<Snapshot>,
    spacing: usize,
    /// At the end of what is known.
    tail: Replica,
    /// Where somebody looked last.
    shown: Option<Replica>,
    is_capped: bool,
}

/// What one instruction printed.
#[derive(Clone, Copy)]
struct Piece {
    icount: u64,
    /// Offset behind it in the output.
    end: usize,
}

/// A place in the output: so many bytes, pieces and changes of size are behind it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Place {
    bytes: usize,
    sizes: usize,
}

struct Snapshot {
    place: Place,
    real: Screen,
    shadow: Screen,
    /// A change of size came just before. Never played across, since lines come back from the scrollback then.
    is_after_resize: bool,
}

/// A terminal that has taken in the output up to a place, and its shadow.
struct Replica {
    place: Place,
    real: vt100::Parser,
    shadow: vt100::Parser,
    rewriter: Shadow,
    /// Stands between two control sequences. May be false although it does.
    is_between: bool,
}

impl History {
    /// Nothing has been printed on a terminal of this size.
    #[must_use]
    pub fn new(size: TerminalSize) -> History {
        let start_size = clamp_size(size);
        History {
            bytes: Vec::new(),
            pieces: Vec::new(),
            start_size,
            sizes: Vec::new(),
            snapshots: Vec::new(),
            spacing: SNAPSHOT_SPACING,
            tail: Replica::new(start_size),
            shown: None,
            is_capped: false,
        }
    }

    /// More has been printed. What does not ascend is left out.
    pub fn add(&mut self, printed: &[Printed]) {
        for one in printed {
            let last = self.pieces.last().map_or(0, |piece| piece.icount);
            if one.bytes.is_empty() || one.icount < last {
                continue;
            }
            if self.bytes.len() + one.bytes.len() > OUTPUT_BYTES_MAX
                || self.pieces.len() >= u32::MAX as usize
            {
                self.is_capped = true;
                break;
            }
            self.bytes.extend_from_slice(&one.bytes);
            self.pieces.push(Piece {
                icount: one.icount,
                end: self.bytes.len(),
            });
        }
        self.follow();
    }

    /// The terminal has had these sizes, ascending.
    pub fn set_sizes(&mut self, start: TerminalSize, sizes: Vec<(u64, TerminalSize)>) {
        let start = clamp_size(start);
        let sizes: Vec<_> = sizes
            .into_iter()
            .map(|(icount, size)| (icount, clamp_size(size)))
            .collect();
        if start == self.start_size && sizes == self.sizes {
            return;
        }
        self.start_size = start;
        self.sizes = sizes;
        self.snapshots.clear();
        self.spacing = SNAPSHOT_SPACING;
        self.shown = None;
        self.tail = Replica::new(start);
        self.follow();
    }

    /// The live terminal has another size from now on.
    pub fn resize(&mut self, icount: u64, size: TerminalSize) {
        let last = self.pieces.last().map_or(0, |piece| piece.icount + 1);
        self.sizes.push((icount.max(last), clamp_size(size)));
        self.follow();
    }

    /// Not everything is kept.
    #[must_use]
    pub fn is_capped(&self) -> bool {
        self.is_capped
    }

    /// Bytes printed in a range of positions.
    #[must_use]
    pub fn bytes_between(&self, from: u64, upto: u64) -> usize {
        self.offset_at(upto).saturating_sub(self.offset_at(from))
    }

    /// The terminal at a position: what was printed before it is there.
    pub fn screen_at(&mut self, icount: u64) -> &mut Screen {
        self.replica_at(icount).real.screen_mut()
    }

    /// The terminal behind everything that is known.
    pub fn last_screen(&mut self) -> &mut Screen {
        self.tail.real.screen_mut()
    }

    /// The position of the step that printed what a cell shows, with the lines scrolled back.
    pub fn icount_of_cell(
        &mut self,
        icount: u64,
        scrollback: usize,
        row: u16,
        column: u16,
    ) -> Option<u64> {
        let screen = self.replica_at(icount).shadow.screen_mut();
        screen.set_scrollback(scrollback);
        let piece = screen.cell(row, column).and_then(shadow::piece_from_cell);
        screen.set_scrollback(0);
        self.pieces.get(piece? as usize).map(|piece| piece.icount)
    }

    /// Where the first byte behind a position was printed, or the last one before it.
    #[must_use]
    pub fn neighbour(&self, icount: u64, is_forward: bool) -> Option<u64> {
        let found = if is_forward {
            let next = self.pieces.partition_point(|piece| piece.icount <= icount);
            self.pieces.get(next)
        } else {
            let next = self.pieces.partition_point(|piece| piece.icount < icount);
            next.checked_sub(1).and_then(|last| self.pieces.get(last))
        };
        found.map(|piece| piece.icount)
    }

    fn offset_at(&self, icount: u64) -> usize {
        let next = self.pieces.partition_point(|piece| piece.icount < icount);
        next.checked_sub(1)
            .and_then(|last| self.pieces.get(last))
            .map_or(0, |piece| piece.end)
    }

    fn place_at(&self, icount: u64) -> Place {
        Place {
            bytes: self.offset_at(icount),
            sizes: self.sizes.partition_point(|(at, _)| *at < icount),
        }
    }

    /// Takes the tail to the end, and snapshots on the way.
    fn follow(&mut self) {
        let mut tail = std::mem::replace(&mut self.tail, Replica::new(self.start_size));
        let end = Place {
            bytes: self.bytes.len(),
            sizes: self.sizes.len(),
        };
        while tail.place != end {
            let last = self
                .snapshots
                .last()
                .map_or(0, |snapshot| snapshot.place.bytes);
            let before = tail.place;
            tail.go_on(self, end, Some(last + self.spacing));
            let is_after_resize = tail.place.sizes != before.sizes;
            if tail.is_between && (is_after_resize || tail.place.bytes >= last + self.spacing) {
                self.snapshots.push(tail.snapshot(is_after_resize));
                self.thin_out();
            }
        }
        self.tail = tail;
    }

    fn thin_out(&mut self) {
        if self.snapshots.len() <= SNAPSHOTS_MAX {
            return;
        }
        let mut number = 0;
        self.snapshots.retain(|snapshot| {
            number += 1;
            number % 2 == 0 || (snapshot.is_after_resize && number > SNAPSHOTS_MAX / 2)
        });
        self.spacing *= 2;
    }

    fn replica_at(&mut self, icount: u64) -> &mut Replica {
        let target = self.place_at(icount);
        if target == self.tail.place {
            return &mut self.tail;
        }
        let mut replica = match self.shown.take() {
            Some(shown)
                if shown.place.bytes <= target.bytes
                    && shown.place.sizes <= target.sizes
                    && target.bytes - shown.place.bytes <= FORWARD_BYTES =>
            {
                shown
            }
            _ => self.replica_before(target),
        };
        while replica.place != target {
            replica.go_on(self, target, None);
        }
        self.shown.insert(replica)
    }

    /// A replica from which a place is reached by playing output.
    fn replica_before(&self, target: Place) -> Replica {
        let is_before = |snapshot: &&Snapshot| {
            snapshot.place.bytes <= target.bytes && snapshot.place.sizes <= target.sizes
        };
        let resized = self
            .snapshots
            .iter()
            .rev()
            .find(|snapshot| is_before(snapshot) && snapshot.is_after_resize);
        let far = self.snapshots.iter().rev().find(|snapshot| {
            is_before(snapshot) && snapshot.place.bytes + SCROLLBACK_BYTES <= target.bytes
        });
        let newest = match (resized, far) {
            (Some(one), Some(other)) if one.place.bytes >= other.place.bytes => Some(one),
            (one, None) => one,
            (_, other) => other,
        };
        match newest {
            Some(snapshot) => Replica::from_snapshot(snapshot),
            None => Replica::new(self.start_size),
        }
    }
}

impl Replica {
    fn new(size: TerminalSize) -> Replica {
        let (rows, columns) = vt100_size(size);
        Replica {
            place: Place::default(),
            real: vt100::Parser::new(rows, columns, SCROLLBACK_LINES),
            shadow: vt100::Parser::new(rows, columns, SCROLLBACK_LINES),
            rewriter: Shadow::default(),
            is_between: true,
        }
    }

    fn from_snapshot(snapshot: &Snapshot) -> Replica {
        let mut replica = Replica::new(TerminalSize {
            columns: 1,
            rows: 1,
        });
        replica.place = snapshot.place;
        *replica.real.screen_mut() = snapshot.real.clone();
        *replica.shadow.screen_mut() = snapshot.shadow.clone();
        replica
    }

    fn snapshot(&self, is_after_resize: bool) -> Snapshot {
        let without_scrollback = |screen: &Screen| {
            let mut screen = screen.clone();
            screen.set_scrollback(0);
            screen.clear_scrollback();
            screen
        };
        Snapshot {
            place: self.place,
            real: without_scrollback(self.real.screen()),
            shadow: without_scrollback(self.shadow.screen()),
            is_after_resize,
        }
    }

    /// Goes towards a place: over a change of size, or to the next one, or behind `pause` bytes to where it stands between
    /// two sequences.
    fn go_on(&mut self, history: &History, target: Place, pause: Option<usize>) {
        let next_size = (self.place.sizes < target.sizes)
            .then(|| history.sizes.get(self.place.sizes))
            .flatten();
        let mut upto = target.bytes;
        if let Some((icount, size)) = next_size {
            let bytes_before = history.offset_at(*icount).min(target.bytes);
            if bytes_before <= self.place.bytes {
                let (rows, columns) = vt100_size(*size);
                self.real.screen_mut().set_size(rows, columns);
                self.shadow.screen_mut().set_size(rows, columns);
                self.place.sizes += 1;
                return;
            }
            upto = bytes_before;
        }
        self.real.screen_mut().set_scrollback(0);
        self.shadow.screen_mut().set_scrollback(0);
        self.play(history, upto, pause);
    }

    fn play(&mut self, history: &History, upto: usize, pause: Option<usize>) {
        let from = self.place.bytes;
        let mut number = history.pieces.partition_point(|piece| piece.end <= from);
        'all: while self.place.bytes < upto {
            let Some(piece) = history.pieces.get(number) else {
                break;
            };
            let end = piece.end.min(upto);
            // The number of pieces is bounded where they are added.
            let name = u32::try_from(number).unwrap_or(u32::MAX);
            while self.place.bytes < end {
                let Some(byte) = history.bytes.get(self.place.bytes) else {
                    break 'all;
                };
                self.is_between = self.rewriter.feed_byte(name, *byte, self.is_between);
                self.place.bytes += 1;
                if self.is_between && pause.is_some_and(|pause| self.place.bytes >= pause) {
                    break 'all;
                }
            }
            number += 1;
        }
        self.real.process(
            history
                .bytes
                .get(from..self.place.bytes)
                .unwrap_or_default(),
        );
        self.shadow.process(&self.rewriter.take());
    }
}

fn clamp_size(size: TerminalSize) -> TerminalSize {
    TerminalSize {
        columns: size.columns.clamp(2, COLUMNS_MAX),
        rows: size.rows.clamp(2, ROWS_MAX),
    }
}

fn vt100_size(size: TerminalSize) -> (NonZeroU16, NonZeroU16) {
    let at_least_one = |value: u16| NonZeroU16::new(value).unwrap_or(NonZeroU16::MIN);
    (at_least_one(size.rows), at_least_one(size.columns))
}
