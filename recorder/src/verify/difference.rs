//! The first thing in which two states differ.

use reprise_core::machine::{Machine, Snapshot};
use reprise_core::memory::Page;
use reprise_core::types::{CpuId, PAGE_BYTES};
use std::ops::Range;

/// The first difference between two states.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Difference {
    /// A register.
    Register {
        /// The CPU.
        cpu: CpuId,
        /// Its name.
        name: String,
        /// Its value on the left.
        left: u64,
        /// Its value on the right.
        right: u64,
    },
    /// Saved state of a CPU or device.
    State {
        /// The sections that enclose the byte, outermost first.
        sections: Vec<String>,
        /// Byte within the innermost section.
        offset: usize,
        /// The 8 bytes from the difference on, or fewer at the end, on the left.
        left: Vec<u8>,
        /// The same on the right.
        right: Vec<u8>,
    },
    /// A byte of RAM.
    Ram {
        /// The page, counted from the start of RAM.
        page: u32,
        /// Byte within the page.
        offset: usize,
        /// The byte on the left.
        left: u8,
        /// The byte on the right.
        right: u8,
        /// How many pages differ.
        page_count: usize,
    },
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Register {
                cpu,
                name,
                left,
                right,
            } => write!(
                f,
                "register {name} of CPU {cpu}: {left:#x} straight, {right:#x} here"
            ),
            Self::State {
                sections,
                offset,
                left,
                right,
            } => write!(
                f,
                "{}, byte {offset}: {} straight, {} here",
                sections.join(" › "),
                hex(left),
                hex(right)
            ),
            Self::Ram {
                page,
                offset,
                left,
                right,
                page_count,
            } => write!(
                f,
                "RAM page {page} (of {page_count} that differ), byte {offset:#x}: \
                 {left:#04x} straight, {right:#04x} here"
            ),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A section of saved state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Section {
    /// Its tag.
    pub tag: [u8; 4],
    /// Where its contents are in the bytes that hold it.
    pub bytes: Range<usize>,
}

/// The sections that `bytes` consists of; none when it is not a sequence of sections.
#[must_use]
pub fn sections_of(bytes: &[u8]) -> Vec<Section> {
    let mut sections = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let Some((tag, length)) = section_head(&bytes[at..]) else {
            return Vec::new();
        };
        let start = at + 12;
        let Some(end) = start.checked_add(length).filter(|end| *end <= bytes.len()) else {
            return Vec::new();
        };
        sections.push(Section {
            tag,
            bytes: start..end,
        });
        at = end;
    }
    sections
}

fn section_head(bytes: &[u8]) -> Option<([u8; 4], usize)> {
    let (tag, rest) = bytes.split_first_chunk::<4>()?;
    let (length, _) = rest.split_first_chunk::<8>()?;
    let is_tag = tag
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || *byte == b' ' || *byte == b'_');
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    is_tag.then_some((*tag, length))
}

/// Bytes of a page of a snapshot's RAM.
#[must_use]
pub fn page_bytes_of(snapshot: &Snapshot, number: u32) -> Page {
    snapshot
        .memory
        .pages()
        .find(|(page, _)| *page == number)
        .map_or([0; PAGE_BYTES as usize], |(_, bytes)| **bytes)
}

/// The first difference between two machines: registers before devices and RAM, since a register
/// tells more than the bytes it was stored to.
pub fn first_difference(left: &mut Machine, right: &mut Machine) -> Option<Difference> {
    register_difference(left, right)
        .or_else(|| snapshot_difference(&left.snapshot(), &right.snapshot()))
}

fn register_difference(left: &Machine, right: &Machine) -> Option<Difference> {
    (0..left.config().cpu_count).map(CpuId).find_map(|cpu| {
        let pairs = left.registers(cpu).into_iter().zip(right.registers(cpu));
        let ((name, left), (_, right)) = pairs
            .into_iter()
            .find(|((_, left), (_, right))| left != right)?;
        Some(Difference::Register {
            cpu,
            name,
            left,
            right,
        })
    })
}

/// The first difference between two snapshots: CPUs and devices before RAM.
#[must_use]
pub fn snapshot_difference(left: &Snapshot, right: &Snapshot) -> Option<Difference> {
    state_difference(&left.state, &right.state).or_else(|| ram_difference(left, right))
}

fn state_difference(left: &[u8], right: &[u8]) -> Option<Difference> {
    if left == right {
        return None;
    }
    let (left_sections, right_sections) = (sections_of(left), sections_of(right));
    for (at, (on_left, on_right)) in left_sections.iter().zip(&right_sections).enumerate() {
        if on_left.tag != on_right.tag {
            break;
        }
        let inner = state_difference(&left[on_left.bytes.clone()], &right[on_right.bytes.clone()]);
        if let Some(Difference::State {
            mut sections,
            offset,
            left,
            right,
        }) = inner
        {
            // Several CPUs or slots have sections of one tag.
            let same_before = left_sections[..at]
                .iter()
                .filter(|section| section.tag == on_left.tag)
                .count();
            let mut name = String::from_utf8_lossy(&on_left.tag).trim().to_owned();
            if same_before > 0 {
                name = format!("{name} #{same_before}");
            }
            sections.insert(0, name);
            return Some(Difference::State {
                sections,
                offset,
                left,
                right,
            });
        }
    }
    let offset = left
        .iter()
        .zip(right)
        .position(|(left, right)| left != right)
        .unwrap_or(left.len().min(right.len()));
    // Fields are mostly 8 bytes wide and follow one another, so whole ones are shown.
    let offset = offset - offset % 8;
    let shown = |bytes: &[u8]| bytes[offset..bytes.len().min(offset + 8)].to_vec();
    Some(Difference::State {
        sections: Vec::new(),
        offset,
        left: shown(left),
        right: shown(right),
    })
}

fn ram_difference(left: &Snapshot, right: &Snapshot) -> Option<Difference> {
    let (mut left_pages, mut right_pages) = (
        left.memory.pages().peekable(),
        right.memory.pages().peekable(),
    );
    let zeros: Page = [0; PAGE_BYTES as usize];
    let mut first = None;
    let mut page_count = 0;
    loop {
        let page = match (left_pages.peek(), right_pages.peek()) {
            (Some((left, _)), Some((right, _))) => *left.min(right),
            (Some((page, _)), None) | (None, Some((page, _))) => *page,
            (None, None) => break,
        };
        let on_left = left_pages.next_if(|(number, _)| *number == page);
        let on_right = right_pages.next_if(|(number, _)| *number == page);
        let on_left = on_left.map_or(&zeros, |(_, bytes)| bytes);
        let on_right = on_right.map_or(&zeros, |(_, bytes)| bytes);
        let offset = on_left.iter().zip(on_right).position(|(a, b)| a != b);
        if let Some(offset) = offset {
            page_count += 1;
            first.get_or_insert((page, offset, on_left[offset], on_right[offset]));
        }
    }
    first.map(|(page, offset, left, right)| Difference::Ram {
        page,
        offset,
        left,
        right,
        page_count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use reprise_core::memory::MemorySnapshot;
    use reprise_core::state::StateWriter;
    use std::sync::Arc;

    fn snapshot(register: u64, page: Option<u8>) -> Snapshot {
        let mut state = StateWriter::new();
        state.section(*b"MACH", |to| {
            to.section(*b"HART", |to| to.u64(1));
            to.section(*b"HART", |to| {
                to.u64(2);
                to.u64(register);
            });
        });
        let pages = page.map(|value| {
            let mut bytes = [0; 4096];
            bytes[100] = value;
            (3, Arc::new(bytes))
        });
        Snapshot {
            state: state.into_bytes().into(),
            memory: MemorySnapshot::from_pages(8, pages),
        }
    }

    #[test]
    fn a_register_is_named() {
        let difference = snapshot_difference(&snapshot(5, None), &snapshot(6, Some(1)));
        assert_eq!(
            difference,
            Some(Difference::State {
                sections: vec!["MACH".to_owned(), "HART #1".to_owned()],
                offset: 8,
                left: vec![5, 0, 0, 0, 0, 0, 0, 0],
                right: vec![6, 0, 0, 0, 0, 0, 0, 0],
            })
        );
    }

    #[test]
    fn a_byte_of_ram_is_named() {
        let difference = snapshot_difference(&snapshot(5, None), &snapshot(5, Some(9)));
        assert_eq!(
            difference,
            Some(Difference::Ram {
                page: 3,
                offset: 100,
                left: 0,
                right: 9,
                page_count: 1
            })
        );
        assert_eq!(
            snapshot_difference(&snapshot(5, Some(9)), &snapshot(5, Some(9))),
            None
        );
    }
}
