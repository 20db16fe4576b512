//! One ELF file: what is mapped where, symbols, and the sections that debuggers read.

use super::dwarf::DebugFile;
use super::frames::FrameTable;
use gimli::{EndianArcSlice, LittleEndian, SectionId};
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, SectionTable, Sym};
use std::sync::Arc;

/// Bytes of a file or of a section of one.
pub(super) type Bytes = EndianArcSlice<LittleEndian>;
type Endian = object::LittleEndian;
type Header = FileHeader64<Endian>;

/// Symbols of a file that are kept. The largest programs that people debug have some 100 000.
const SYMBOLS_MAX: usize = 1 << 20;
/// Segments of a file; linkers make about ten.
const SEGMENTS_MAX: usize = 64;
/// What the compressed sections of a file may be together when they are unpacked: as much as a file may be.
const UNPACKED_BYTES_MAX: u64 = super::cache::FILE_BYTES_MAX;
/// Bytes of a symbol's name that are shown.
const NAME_BYTES_MAX: usize = 1024;
/// Size of `Elf64_Chdr`, the header of a compressed section.
const COMPRESSION_HEADER_BYTES: usize = 24;

/// A part of the file that is mapped into memory.
#[derive(Clone, Copy, Debug)]
struct Segment {
    offset: u64,
    file_len: u64,
    address: u64,
}

#[derive(Clone, Debug)]
struct ElfSymbol {
    address: u64,
    byte_len: u64,
    name: Box<str>,
}

/// A parsed ELF file.
#[derive(Debug)]
pub(super) struct Program {
    segments: Vec<Segment>,
    /// Functions, ascending.
    symbols: Vec<ElfSymbol>,
    pub(super) frames: FrameTable,
    pub(super) debug: Option<DebugFile>,
}

impl Program {
    /// Parses a file for RISC-V with 64 bits. `None` when it is no such file.
    pub(super) fn parse(bytes: &Arc<[u8]>) -> Option<Self> {
        let header = Header::parse(&**bytes).ok()?;
        let endian = header.endian().ok()?;
        if header.e_machine(endian) != elf::EM_RISCV {
            return None;
        }
        let segments = header.program_headers(endian, &**bytes).unwrap_or_default();
        let segments = segments
            .iter()
            .filter(|segment| segment.p_type(endian) == elf::PT_LOAD);
        let segments = segments.take(SEGMENTS_MAX).map(|segment| Segment {
            offset: segment.p_offset(endian),
            file_len: segment.p_filesz(endian),
            address: segment.p_vaddr(endian),
        });
        let sections = header.sections(endian, &**bytes).unwrap_or_default();
        let mut reader = SectionReader {
            bytes,
            endian,
            sections: &sections,
            unpacked_left: UNPACKED_BYTES_MAX,
        };
        Some(Self {
            segments: segments.collect(),
            symbols: symbols(bytes, endian, &sections),
            frames: FrameTable::read(&mut reader),
            debug: DebugFile::read(&mut reader),
        })
    }

    /// By how much addresses of a process are above the file's own where the file's byte `offset` lies at `start`.
    pub(super) fn bias(&self, start: u64, offset: u64) -> Option<u64> {
        let page = |number: u64| number & !(reprise_core::types::PAGE_BYTES - 1);
        let segment = self.segments.iter().find(|segment| {
            let end = segment.offset.saturating_add(segment.file_len);
            (page(segment.offset)..end).contains(&offset)
        })?;
        let own = segment
            .address
            .wrapping_add(offset.wrapping_sub(segment.offset));
        Some(start.wrapping_sub(own))
    }

    /// The function of the symbol table in which one of the file's addresses lies: its name and where it begins.
    pub(super) fn symbol_at(&self, address: u64) -> Option<(&str, u64)> {
        let behind = self
            .symbols
            .partition_point(|symbol| symbol.address <= address);
        let symbol = self.symbols[..behind].last()?;
        // Functions in assembly language may have no size: they reach to the next one.
        let is_in = symbol.byte_len == 0 || address - symbol.address < symbol.byte_len;
        is_in.then_some((&*symbol.name, symbol.address))
    }

    /// Where the functions of the symbol table begin that have a name.
    pub(super) fn symbols_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = u64> + 'a {
        let named = self.symbols.iter().filter(move |symbol| {
            *symbol.name == *name || demangled(&symbol.name).is_some_and(|known| known == name)
        });
        named.map(|symbol| symbol.address)
    }
}

/// The name that a Rust compiler has encoded in a symbol's.
pub(super) fn demangled(symbol: &str) -> Option<String> {
    if !symbol.starts_with('_') || symbol.len() > NAME_BYTES_MAX {
        return None;
    }
    let name = rustc_demangle::try_demangle(symbol).ok()?;
    let mut text = String::new();
    // A name can refer back to its own parts: it is written up to a limit.
    let mut limited = Limited { to: &mut text };
    let _ = std::fmt::write(&mut limited, format_args!("{name:#}"));
    Some(text)
}

struct Limited<'a> {
    to: &'a mut String,
}

impl std::fmt::Write for Limited<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        if self.to.len() + text.len() > NAME_BYTES_MAX {
            return Err(std::fmt::Error);
        }
        self.to.push_str(text);
        Ok(())
    }
}

fn symbols(bytes: &[u8], endian: Endian, sections: &SectionTable<'_, Header>) -> Vec<ElfSymbol> {
    let table = [elf::SHT_SYMTAB, elf::SHT_DYNSYM]
        .into_iter()
        .find_map(|kind| {
            let table = sections.symbols(endian, bytes, kind).ok()?;
            (!table.is_empty()).then_some(table)
        });
    let Some(table) = table else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for symbol in table.iter().take(SYMBOLS_MAX) {
        let is_code = matches!(symbol.st_type(), elf::STT_FUNC | elf::STT_NOTYPE)
            && symbol.st_shndx(endian) != elf::SHN_UNDEF
            && symbol.st_value(endian) != 0;
        let name = symbol.name(endian, table.strings()).unwrap_or_default();
        // `$x` and `.L` mark places for tools, not functions.
        let is_name = !name.is_empty() && !name.starts_with(b"$") && !name.starts_with(b".L");
        if is_code && is_name && name.len() <= NAME_BYTES_MAX {
            found.push(ElfSymbol {
                address: symbol.st_value(endian),
                byte_len: symbol.st_size(endian),
                name: String::from_utf8_lossy(name).into(),
            });
        }
    }
    // Of several at one address the one with a size says most; the sort keeps the order of the others.
    found.sort_by_key(|symbol| (symbol.address, symbol.byte_len));
    found
}

/// Gives sections of a file, unpacked where they are compressed.
pub(super) struct SectionReader<'a> {
    bytes: &'a Arc<[u8]>,
    endian: Endian,
    sections: &'a SectionTable<'a, Header>,
    unpacked_left: u64,
}

impl SectionReader<'_> {
    /// A section of debug information; empty when there is none.
    pub(super) fn section(&mut self, id: SectionId) -> Bytes {
        self.named(id.name()).map_or_else(empty, |(bytes, _)| bytes)
    }

    /// A section and the address of its first byte.
    pub(super) fn named(&mut self, name: &str) -> Option<(Bytes, u64)> {
        let endian = self.endian;
        let (_, section) = self.sections.section_by_name(endian, name.as_bytes())?;
        let address = section.sh_addr(endian);
        let (offset, byte_len) = section.file_range(endian)?;
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(usize::try_from(byte_len).ok()?)?;
        let content = self.bytes.get(start..end)?;
        if !section.sh_flags(endian).contains(elf::SHF_COMPRESSED) {
            let whole = EndianArcSlice::new(Arc::clone(self.bytes), LittleEndian);
            return Some((whole.range(start..end), address));
        }
        let unpacked: Arc<[u8]> = self.unpack(content)?.into();
        Some((EndianArcSlice::new(unpacked, LittleEndian), address))
    }

    /// Unpacks a section that is compressed with zlib (System V ABI, "Section Compression").
    fn unpack(&mut self, content: &[u8]) -> Option<Vec<u8>> {
        let kind = u32::from_le_bytes(*content.first_chunk()?);
        let byte_len = u64::from_le_bytes(*content.get(8..)?.first_chunk()?);
        if kind != elf::ELFCOMPRESS_ZLIB.0 || byte_len > self.unpacked_left {
            return None;
        }
        self.unpacked_left -= byte_len;
        let packed = content.get(COMPRESSION_HEADER_BYTES..)?;
        let limit = usize::try_from(byte_len).ok()?;
        miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(packed, limit).ok()
    }
}

/// No bytes.
pub(super) fn empty() -> Bytes {
    EndianArcSlice::new(Arc::from(&[][..]), LittleEndian)
}
