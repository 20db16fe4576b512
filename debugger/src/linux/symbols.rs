//! The kernel's symbols, from the tables that it keeps for itself (Linux, kernel/kallsyms.c and scripts/kallsyms.c).
//!
//! The tables lie next to each other in read-only data, but nothing says where. They are told by their shape: the token
//! table holds the ten digits one after the other, and everything else is checked against it.
//!
//! | kernel | order |
//! | --- | --- |
//! | 6.1 to 6.3 | addresses, count, names, markers, (6.2: sequence numbers,) tokens, token index |
//! | since 6.4 | count, names, markers, tokens, token index, addresses, sequence numbers |
//!
//! Addresses are 32-bit offsets followed by their base, or, in kernels before 6.11 that choose so, 64-bit addresses. Each
//! table is aligned to 8 bytes. In 7.2 it is 4, and an offset is the distance from where it stands itself.

use std::ops::Range;

/// How the digits stand in the token table.
const DIGITS: &[u8] = b"0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00";
const TOKENS: usize = 256;
/// `KSYM_NAME_LEN`, include/linux/kallsyms.h.
const NAME_BYTES_MAX: usize = 512;
/// A kernel has some ten thousand symbols, one of a distribution some hundred thousand.
const COUNT: Range<usize> = 256..1 << 20;
/// All names together.
const TEXT_BYTES_MAX: usize = 64 << 20;
/// Steps of the search for the names.
const STEPS_MAX: usize = 1 << 24;
/// Places that look like a token table.
const CANDIDATES_MAX: usize = 16;
/// Alignments of the tables.
const ALIGNMENTS: [usize; 2] = [8, 4];
/// Where a kernel is linked to lie (`KERNEL_LINK_ADDR`, arch/riscv/include/asm/pgtable.h), for distances that
/// tell nothing of it.
const LINK_ADDRESS: u64 = 0xffff_ffff_8000_0000;
/// The last symbol is taken to be this long.
const LAST_SYMBOL_BYTES: u64 = 1 << 16;

/// Symbols by address and by name.
#[derive(Debug)]
pub(super) struct Symbols {
    /// Ascending.
    addresses: Vec<u64>,
    /// Where the name of each begins in `text`, and the end.
    starts: Vec<u32>,
    text: String,
    /// Numbers of the symbols, by name, then by address.
    by_name: Vec<u32>,
}

impl Symbols {
    /// Finds the tables in a kernel image and reads them.
    pub(super) fn find(image: &[u8]) -> Option<Self> {
        let mut from = 0;
        for _ in 0..CANDIDATES_MAX {
            let at = find(&image[from..], DIGITS)?;
            // Where the index lies may fit both.
            let symbols = ALIGNMENTS.iter().find_map(|alignment| {
                let tokens = Tokens::at_digits(image, from + at, *alignment)?;
                Self::read(image, &tokens)
            });
            if symbols.is_some() {
                return symbols;
            }
            from += at + 1;
        }
        None
    }

    fn read(image: &[u8], tokens: &Tokens<'_>) -> Option<Self> {
        let names = Names::before(image, tokens)?;
        let addresses = addresses_after(image, tokens, names.count)
            .or_else(|| addresses_before(image, names.at, names.count))?;
        let mut text = String::new();
        let mut starts = Vec::with_capacity(names.count + 1);
        let mut name = Vec::new();
        let mut at = names.at + tokens.alignment;
        for _ in 0..names.count {
            let (start, end) = name_at(image, at)?;
            name.clear();
            for token in image.get(start..end)? {
                name.extend_from_slice(tokens.words[usize::from(*token)]);
                if name.len() > NAME_BYTES_MAX {
                    return None;
                }
            }
            starts.push(text.len() as u32);
            // The first character is the symbol's type.
            text.push_str(&String::from_utf8_lossy(name.get(1..)?));
            if text.len() > TEXT_BYTES_MAX {
                return None;
            }
            at = end;
        }
        starts.push(text.len() as u32);
        Some(Self::new(addresses, starts, text))
    }

    fn new(addresses: Vec<u64>, starts: Vec<u32>, text: String) -> Self {
        let mut symbols = Self {
            by_name: (0..addresses.len() as u32).collect(),
            addresses,
            starts,
            text,
        };
        let mut by_name = std::mem::take(&mut symbols.by_name);
        by_name.sort_by(|a, b| symbols.name(*a as usize).cmp(symbols.name(*b as usize)));
        symbols.by_name = by_name;
        symbols
    }

    fn name(&self, index: usize) -> &str {
        &self.text[self.starts[index] as usize..self.starts[index + 1] as usize]
    }

    /// Moves all of them, when the kernel lies elsewhere than where it was linked to.
    pub(super) fn slide(&mut self, distance: u64) {
        for address in &mut self.addresses {
            *address = address.wrapping_add(distance);
        }
        self.addresses.sort_unstable();
    }

    /// Address of a symbol; of several with one name the lowest.
    pub(super) fn address_of(&self, name: &str) -> Option<u64> {
        let first = (self.by_name).partition_point(|index| self.name(*index as usize) < name);
        let index = *self.by_name.get(first)? as usize;
        (self.name(index) == name).then(|| self.addresses[index])
    }

    /// The symbol in which an address lies, and how far; of several at one address the first.
    pub(super) fn symbol_at(&self, address: u64) -> Option<(&str, u64)> {
        let after = (self.addresses).partition_point(|start| *start <= address);
        let start = self.addresses[after.checked_sub(1)?];
        if after == self.addresses.len() && address - start >= LAST_SYMBOL_BYTES {
            return None;
        }
        let first = self.addresses.partition_point(|other| *other < start);
        Some((self.name(first), address - start))
    }

    /// All symbols, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        (0..self.addresses.len()).map(|index| (self.name(index), self.addresses[index]))
    }
}

/// Where something stands first.
pub(super) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let (first, last_start) = (*wanted.first()?, bytes.len().checked_sub(wanted.len())?);
    let mut from = 0;
    while let Some(found) = (bytes[from..=last_start].iter()).position(|byte| *byte == first) {
        let at = from + found;
        if bytes[at..].starts_with(wanted) {
            return Some(at);
        }
        from = at + 1;
        if from > last_start {
            break;
        }
    }
    None
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// The tables by which names are compressed.
struct Tokens<'a> {
    words: Vec<&'a [u8]>,
    /// Where the token table begins.
    start: usize,
    /// Where the token index ends.
    end: usize,
    /// To how many bytes the tables are aligned.
    alignment: usize,
}

impl<'a> Tokens<'a> {
    /// The tables, if what was found at `digits` are the tokens from `0` to `9`.
    fn at_digits(image: &'a [u8], digits: usize, alignment: usize) -> Option<Self> {
        // Nothing tells where the table begins, but it can be followed to its end, and there the index begins.
        let mut offsets = Vec::with_capacity(TOKENS);
        let mut at = digits;
        for _ in usize::from(b'0')..TOKENS {
            offsets.push(at - digits);
            let word = image.get(at..image.len().min(at + NAME_BYTES_MAX))?;
            at += word.iter().position(|byte| *byte == 0)? + 1;
        }
        let index = at.next_multiple_of(alignment);
        let entry = |token: usize| {
            let bytes = image.get(index + 2 * token..index + 2 * token + 2)?;
            Some(usize::from(u16::from_le_bytes(bytes.try_into().ok()?)))
        };
        let first = entry(usize::from(b'0'))?;
        let start = digits.checked_sub(first)?;
        let is_index = (offsets.iter().enumerate())
            .all(|(number, offset)| entry(usize::from(b'0') + number) == Some(first + offset));
        if !is_index || entry(0) != Some(0) {
            return None;
        }
        let words = (0..TOKENS).map(|token| {
            let at = start + entry(token)?;
            let word = image.get(at..image.len().min(at + NAME_BYTES_MAX))?;
            Some(&word[..word.iter().position(|byte| *byte == 0)?])
        });
        Some(Self {
            words: words.collect::<Option<_>>()?,
            start,
            end: index + 2 * TOKENS,
            alignment,
        })
    }
}

/// Where the compressed names are.
struct Names {
    /// Where their count stands; they begin an alignment further on.
    at: usize,
    count: usize,
}

/// First and end of the tokens of the name at `at`.
fn name_at(image: &[u8], at: usize) -> Option<(usize, usize)> {
    let low = usize::from(*image.get(at)?);
    // Since 6.1 a name of 128 tokens and more has a second byte of length.
    let (length, start) = if low & 0x80 == 0 {
        (low, at + 1)
    } else {
        (low & 0x7f | usize::from(*image.get(at + 1)?) << 7, at + 2)
    };
    (length != 0).then_some((start, start + length))
}

impl Names {
    /// Looks for the names, backwards from the token table: a count, so many names, and the markers that say where
    /// every 256th of them begins.
    fn before(image: &[u8], tokens: &Tokens<'_>) -> Option<Self> {
        let (end, alignment) = (tokens.start, tokens.alignment);
        let mut steps = STEPS_MAX;
        let mut at = (end & !(alignment - 1)).checked_sub(alignment)?;
        loop {
            let count = u32_at(image, at)? as usize;
            let is_likely = COUNT.contains(&count)
                && (alignment == 4 || u32_at(image, at + 4) == Some(0))
                && 2 * count <= end - at
                && Self::has_markers(image, at, count, tokens, &mut steps)?;
            if is_likely {
                return Some(Self { at, count });
            }
            at = at.checked_sub(alignment)?;
        }
    }

    /// `None` when the search has taken too long.
    fn has_markers(
        image: &[u8],
        at: usize,
        count: usize,
        tokens: &Tokens<'_>,
        steps: &mut usize,
    ) -> Option<bool> {
        let start = at + tokens.alignment;
        let mut markers = Vec::new();
        let mut at = start;
        for number in 0..count {
            *steps = steps.checked_sub(1)?;
            if number % 256 == 0 {
                markers.push((at - start) as u32);
            }
            match name_at(image, at) {
                Some((_, next)) if next <= tokens.start => at = next,
                _ => return Some(false),
            }
        }
        let table = at.next_multiple_of(tokens.alignment);
        Some((markers.iter().enumerate()).all(|(n, m)| u32_at(image, table + 4 * n) == Some(*m)))
    }
}

/// Offsets from a base, when they are ascending and the base is a kernel's.
fn relative(image: &[u8], offsets: usize, count: usize) -> Option<Vec<u64>> {
    let base = u64_at(image, (offsets + 4 * count).next_multiple_of(8))?;
    if base >> 63 == 0 {
        return None;
    }
    let offset = |number| Some(base.wrapping_add(u32_at(image, offsets + 4 * number)?.into()));
    let addresses: Vec<u64> = (0..count).map(offset).collect::<Option<_>>()?;
    addresses.is_sorted().then_some(addresses)
}

fn addresses_after(image: &[u8], tokens: &Tokens<'_>, count: usize) -> Option<Vec<u64>> {
    let start = tokens.end.next_multiple_of(tokens.alignment);
    relative(image, start, count).or_else(|| {
        let address = |number| {
            let at = start + 4 * number;
            let place = (at as i64).checked_add((u32_at(image, at)? as i32).into())?;
            let is_inside = (0..1 << 31).contains(&place);
            is_inside.then(|| LINK_ADDRESS + place as u64)
        };
        let addresses: Vec<u64> = (0..count).map(address).collect::<Option<_>>()?;
        addresses.is_sorted().then_some(addresses)
    })
}

fn addresses_before(image: &[u8], end: usize, count: usize) -> Option<Vec<u64>> {
    let offsets = end.checked_sub(8 + (4 * count).next_multiple_of(8));
    if let Some(addresses) = offsets.and_then(|offsets| relative(image, offsets, count)) {
        return Some(addresses);
    }
    let start = end.checked_sub(8 * count)?;
    let address = |number| u64_at(image, start + 8 * number);
    let addresses: Vec<u64> = (0..count).map(address).collect::<Option<_>>()?;
    (addresses.is_sorted() && addresses.last()? >> 63 != 0).then_some(addresses)
}

#[cfg(test)]
mod tests;
