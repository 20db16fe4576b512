//! A kernel's symbols as an ELF file, for debuggers that have no `vmlinux` of it.

use super::kernel::Kernel;

const HEADER_BYTES: u64 = 64;
const SECTION_BYTES: u64 = 64;
const SYMBOL_BYTES: u64 = 24;
const ET_EXEC: u16 = 2;
const EM_RISCV: u16 = 243;
/// `e_flags`: compressed instructions, and the floating-point registers that a debugger is to show.
const FLAGS: u32 = 1 | 4;
const SHT_SYMTAB: u32 = 2;
const SHT_STRTAB: u32 = 3;
const SHT_NOBITS: u32 = 8;
const SHF_ALLOC_EXECINSTR: u64 = 2 | 4;
/// A global function; a global without a type.
const GLOBAL_FUNCTION: u8 = 1 << 4 | 2;
const GLOBAL: u8 = 1 << 4;
/// Bytes of names and number of symbols beyond which the rest is left out.
const NAMES_BYTES_MAX: usize = 32 << 20;

const SECTION_NAMES: &[u8] = b"\0.text\0.symtab\0.strtab\0.shstrtab\0";

/// Number of `.text` among the sections, and of `.strtab`, `.shstrtab`.
const TEXT: u16 = 1;
const STRTAB: u32 = 3;
const SHSTRTAB: u16 = 4;
const SECTIONS: u16 = 5;

impl Kernel {
    /// An ELF file that holds the symbols of the kernel and none of its code.
    #[must_use]
    pub fn symbol_file(&self) -> Vec<u8> {
        let mut symbols: Vec<(&str, u64)> = self.symbols().collect();
        symbols.sort_by_key(|(_, address)| *address);
        let text = ["_stext", "_etext"].map(|name| self.address_of(name).map_or(0, |at| at.0));
        let text = text[0]..text[1].max(text[0]);
        let mut names = vec![0];
        let mut table = vec![0; SYMBOL_BYTES as usize];
        for (number, (name, address)) in symbols.iter().enumerate() {
            if names.len() + name.len() >= NAMES_BYTES_MAX {
                break;
            }
            let next = symbols[number + 1..]
                .iter()
                .map(|(_, next)| *next)
                .find(|next| next > address);
            let size = next.map_or(0, |next| next - address);
            let is_code = text.contains(address);
            table.extend((names.len() as u32).to_le_bytes());
            table.extend([if is_code { GLOBAL_FUNCTION } else { GLOBAL }, 0]);
            // Whatever is no code is absolute: nothing of it lies in a section here.
            table.extend(if is_code { TEXT } else { 0xfff1 }.to_le_bytes());
            table.extend(address.to_le_bytes());
            table.extend(if is_code { size } else { 0 }.to_le_bytes());
            names.extend(name.as_bytes());
            names.push(0);
        }
        let table_at = HEADER_BYTES;
        let names_at = table_at + table.len() as u64;
        let section_names_at = names_at + names.len() as u64;
        let sections_at = (section_names_at + SECTION_NAMES.len() as u64).next_multiple_of(8);
        let mut file = header(sections_at);
        file.extend(&table);
        file.extend(&names);
        file.extend(SECTION_NAMES);
        file.resize(sections_at as usize, 0);
        file.extend([0; SECTION_BYTES as usize]);
        let mut section =
            |name: u32, kind: u32, flags: u64, rest: [u64; 3], link: u32, size: u64| {
                let [address, offset, length] = rest;
                file.extend(name.to_le_bytes());
                file.extend(kind.to_le_bytes());
                file.extend(flags.to_le_bytes());
                file.extend(address.to_le_bytes());
                file.extend(offset.to_le_bytes());
                file.extend(length.to_le_bytes());
                file.extend(link.to_le_bytes());
                // The first global symbol, where the section holds symbols.
                file.extend(u32::from(kind == SHT_SYMTAB).to_le_bytes());
                file.extend(8u64.to_le_bytes());
                file.extend(size.to_le_bytes());
            };
        let code = [text.start, HEADER_BYTES, text.end - text.start];
        section(1, SHT_NOBITS, SHF_ALLOC_EXECINSTR, code, 0, 0);
        let symbols = [0, table_at, table.len() as u64];
        section(7, SHT_SYMTAB, 0, symbols, STRTAB, SYMBOL_BYTES);
        section(15, SHT_STRTAB, 0, [0, names_at, names.len() as u64], 0, 0);
        let section_names = [0, section_names_at, SECTION_NAMES.len() as u64];
        section(23, SHT_STRTAB, 0, section_names, 0, 0);
        file
    }
}

fn header(sections_at: u64) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend(ET_EXEC.to_le_bytes());
    file.extend(EM_RISCV.to_le_bytes());
    file.extend(1u32.to_le_bytes());
    // No entry and no program headers.
    file.extend([0; 16]);
    file.extend(sections_at.to_le_bytes());
    file.extend(FLAGS.to_le_bytes());
    for half in [
        HEADER_BYTES as u16,
        0,
        0,
        SECTION_BYTES as u16,
        SECTIONS,
        SHSTRTAB,
    ] {
        file.extend(half.to_le_bytes());
    }
    file
}
