//! The loader of bare-metal ELF files. Its input is hostile.

use object::elf::{EM_RISCV, ET_EXEC, FileHeader64, PT_LOAD};
use object::endian::LittleEndian;
use object::read::elf::{FileHeader, ProgramHeader, Sym};
use std::collections::BTreeMap;
use thiserror::Error;

/// Loadable segments beyond this number are refused: no linker makes so many.
const SEGMENTS_MAX: usize = 1024;
/// Symbols whose addresses are of interest to the machine and its callers.
const SYMBOLS: [&str; 4] = ["tohost", "fromhost", "begin_signature", "end_signature"];

/// Why a file is no bare-metal program.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ElfError {
    /// The file cannot be parsed.
    #[error("the file is no ELF file that can be read: {0}")]
    Malformed(String),
    /// It is for another machine, or no executable.
    #[error("the ELF file is not a 64-bit little-endian RISC-V executable")]
    WrongKind,
    /// A segment lies outside RAM.
    #[error(
        "a segment of {length} bytes at {address:#x} lies outside RAM ({ram_base:#x} to {ram_end:#x})"
    )]
    OutsideRam {
        /// First byte of the segment.
        address: u64,
        /// Its length in bytes.
        length: u64,
        /// First byte of RAM.
        ram_base: u64,
        /// First byte after RAM.
        ram_end: u64,
    },
}

/// A part of the program, to be put at its address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment<'a> {
    /// Physical address.
    pub address: u64,
    /// Bytes from the file; the rest of the segment is zero.
    pub bytes: &'a [u8],
    /// Length in memory, at least that of the bytes.
    pub memory_byte_len: u64,
}

/// A bare-metal program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BareProgram<'a> {
    /// Address of the first instruction.
    pub entry: u64,
    /// What to load.
    pub segments: Vec<Segment<'a>>,
    /// Addresses of the symbols of the HTIF and signature conventions, by name.
    pub symbols: BTreeMap<&'static str, u64>,
}

/// Reads a bare-metal program that must fit into RAM at `ram_base`.
///
/// # Errors
/// [`ElfError`]; nothing is allocated in proportion to what the file claims.
pub fn parse(file: &[u8], ram_base: u64, ram_bytes: u64) -> Result<BareProgram<'_>, ElfError> {
    let malformed = |error: object::read::Error| ElfError::Malformed(error.to_string());
    let header = FileHeader64::<LittleEndian>::parse(file).map_err(malformed)?;
    let endian = header.endian().map_err(|_| ElfError::WrongKind)?;
    if header.e_machine(endian) != EM_RISCV || header.e_type(endian) != ET_EXEC {
        return Err(ElfError::WrongKind);
    }
    let program_headers = header.program_headers(endian, file).map_err(malformed)?;
    if program_headers.len() > SEGMENTS_MAX {
        return Err(ElfError::Malformed(format!(
            "it has more than {SEGMENTS_MAX} segments"
        )));
    }
    let mut segments = Vec::new();
    let ram_end = ram_base.saturating_add(ram_bytes);
    for segment in program_headers {
        if segment.p_type(endian) != PT_LOAD || segment.p_memsz(endian) == 0 {
            continue;
        }
        let (address, length) = (segment.p_paddr(endian), segment.p_memsz(endian));
        let fits = address >= ram_base
            && address
                .checked_add(length)
                .is_some_and(|end| end <= ram_end);
        if !fits {
            return Err(ElfError::OutsideRam {
                address,
                length,
                ram_base,
                ram_end,
            });
        }
        let bytes = segment.data(endian, file).map_err(|()| {
            ElfError::Malformed("a segment goes beyond the end of the file".into())
        })?;
        if bytes.len() as u64 > length {
            return Err(ElfError::Malformed(
                "a segment has more bytes in the file than in memory".into(),
            ));
        }
        segments.push(Segment {
            address,
            bytes,
            memory_byte_len: length,
        });
    }
    Ok(BareProgram {
        entry: header.e_entry(endian),
        segments,
        symbols: symbols(header, endian, file),
    })
}

fn symbols(
    header: &FileHeader64<LittleEndian>,
    endian: LittleEndian,
    file: &[u8],
) -> BTreeMap<&'static str, u64> {
    let mut found = BTreeMap::new();
    // A stripped program, or one with a damaged table, runs all the same.
    let Ok(sections) = header.sections(endian, file) else {
        return found;
    };
    let Ok(table) = sections.symbols(endian, file, object::elf::SHT_SYMTAB) else {
        return found;
    };
    for symbol in table.iter() {
        let Ok(name) = symbol.name(endian, table.strings()) else {
            continue;
        };
        if let Some(known) = SYMBOLS.iter().find(|known| known.as_bytes() == name) {
            found.entry(*known).or_insert(symbol.st_value(endian));
        }
    }
    found
}
