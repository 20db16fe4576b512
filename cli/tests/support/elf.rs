//! Bare-metal ELF files with symbols.

const BASE: u64 = 0x8000_0000;

/// An ELF file of these instructions at the start of RAM, with these symbols.
pub(crate) fn elf(words: &[u32], symbols: &[(&str, u64)]) -> Vec<u8> {
    let code: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut strings = vec![0];
    let mut table = vec![0; 24];
    for (name, value) in symbols {
        table.extend((strings.len() as u32).to_le_bytes());
        // A global symbol without a type, absolute.
        table.extend([0x10, 0, 0xf1, 0xff]);
        table.extend(value.to_le_bytes());
        table.extend(0u64.to_le_bytes());
        strings.extend(name.as_bytes());
        strings.push(0);
    }
    let code_at = 64 + 56;
    let table_at = code_at + code.len() as u64;
    let strings_at = table_at + table.len() as u64;
    let sections_at = strings_at + strings.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // ET_EXEC, EM_RISCV, version 1.
    elf.extend([2, 0, 243, 0, 1, 0, 0, 0]);
    for field in [BASE, 64, sections_at] {
        elf.extend(field.to_le_bytes());
    }
    elf.extend([0; 4]);
    // Sizes and counts: header, one segment, three sections, whose names are with the symbols'.
    for size in [64u16, 56, 1, 64, 3, 2] {
        elf.extend(size.to_le_bytes());
    }
    // PT_LOAD, readable, writable and executable.
    elf.extend([1, 0, 0, 0, 7, 0, 0, 0]);
    let length = code.len() as u64;
    for field in [code_at, BASE, BASE, length, 0x2000, 4096] {
        elf.extend(field.to_le_bytes());
    }
    elf.extend(&code);
    elf.extend(&table);
    elf.extend(&strings);
    section(&mut elf, 0, 0, 0, 0, 0);
    section(&mut elf, 2, table_at, table.len() as u64, 2, 24);
    section(&mut elf, 3, strings_at, strings.len() as u64, 0, 0);
    elf
}

fn section(elf: &mut Vec<u8>, kind: u32, at: u64, length: u64, link: u32, entry: u64) {
    elf.extend(0u32.to_le_bytes());
    elf.extend(kind.to_le_bytes());
    for field in [0, 0, at, length] {
        elf.extend(field.to_le_bytes());
    }
    elf.extend(link.to_le_bytes());
    elf.extend(1u32.to_le_bytes());
    for field in [8, entry] {
        elf.extend(field.to_le_bytes());
    }
}
