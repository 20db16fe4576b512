//! What is known of one kernel, whatever it is doing.

use super::btf::{self, Btf};
use super::layout::Types;
use super::memory::ImagePlace;
use super::symbols::{self, Symbols};
use super::view::LinuxView;
use reprise_core::machine::Machine;
use reprise_core::memory::GuestMemory;
use reprise_core::types::{GuestPhysAddr, GuestVirtAddr};
use std::sync::Arc;
use thiserror::Error;

/// Why no Linux can be seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum LinuxError {
    /// There is no kernel in memory.
    #[error("there is no RISC-V Linux kernel in guest memory")]
    NoImage,
    /// There is one, but it does not know its symbols.
    #[error(
        "the kernel in guest memory has no symbol table that can be read; build it with CONFIG_KALLSYMS, version 6.1 or later"
    )]
    NoSymbols,
}

/// "RSC\x05" at offset 56: Linux, Documentation/arch/riscv/boot-image-header.rst.
const IMAGE_MAGIC: &[u8] = b"RSC\x05";
const IMAGE_MAGIC_AT: u64 = 56;
/// A kernel lies at a multiple of the size of a large page, physically and virtually (arch/riscv/mm/init.c, `setup_vm`).
const LARGE_PAGE: u64 = 2 << 20;
/// What is read of an image at most.
const IMAGE_BYTES_MAX: u64 = 256 << 20;
/// `THREAD_SIZE` where no symbol tells it, arch/riscv/include/asm/thread_info.h.
const THREAD_BYTES: u64 = 16 << 10;
const BANNER_BYTES_MAX: usize = 512;
/// Places that look like a kernel, and places in it that look like type information.
const CANDIDATES_MAX: usize = 8;

/// What is known of one kernel: its symbols and its types. It does not change during an execution, and is cheap to
/// clone.
///
/// A kernel that moves itself when it starts (CONFIG_RANDOMIZE_BASE) must be looked for when it has done so; before, its
/// symbols are told as if it stayed.
#[derive(Clone, Debug)]
pub struct Kernel {
    facts: Arc<Facts>,
}

#[derive(Debug)]
struct Facts {
    image: ImagePlace,
    symbols: Symbols,
    types: Result<Types, String>,
    thread_bytes: u64,
    banner: Option<String>,
    known: KnownSymbols,
}

/// Addresses that are asked for often.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KnownSymbols {
    pub(super) init_task: Option<u64>,
    pub(super) kernel_map: Option<u64>,
    pub(super) swapper_pg_dir: Option<u64>,
    pub(super) mem_map: Option<u64>,
    pub(super) phys_ram_base: Option<u64>,
    pub(super) special_mapping_operations: Option<u64>,
    pub(super) handle_exception: Option<u64>,
    pub(super) ret_from_exception: Option<u64>,
    /// First instruction at which everything of user mode is saved.
    pub(super) saved: Option<u64>,
}

impl Kernel {
    /// Finds the kernel in guest RAM, at power-on or at any time later.
    ///
    /// # Errors
    /// [`LinuxError`].
    pub fn find(memory: &GuestMemory) -> Result<Self, LinuxError> {
        let mut error = LinuxError::NoImage;
        let mut candidates_left = CANDIDATES_MAX;
        for offset in (0..memory.byte_len()).step_by(LARGE_PAGE as usize) {
            let start = memory.base().0 + offset;
            let magic = memory.slice(GuestPhysAddr(start + IMAGE_MAGIC_AT), 4);
            if candidates_left > 0 && magic.is_ok_and(|magic| magic == IMAGE_MAGIC) {
                candidates_left -= 1;
                match Facts::read(memory, start) {
                    Some(facts) => {
                        return Ok(Self {
                            facts: Arc::new(facts),
                        });
                    }
                    None => error = LinuxError::NoSymbols,
                }
            }
        }
        Err(error)
    }

    /// Address of a symbol; of several with one name the lowest.
    #[must_use]
    pub fn address_of(&self, symbol: &str) -> Option<GuestVirtAddr> {
        self.facts.symbols.address_of(symbol).map(GuestVirtAddr)
    }

    /// The symbol in which an address lies, and the offset from its start.
    #[must_use]
    pub fn symbol_at(&self, address: GuestVirtAddr) -> Option<(&str, u64)> {
        self.facts.symbols.symbol_at(address.0)
    }

    /// All symbols with their addresses, ascending.
    pub fn symbols(&self) -> impl Iterator<Item = (&str, u64)> {
        self.facts.symbols.iter()
    }

    /// Why tasks cannot be seen, in one sentence; `None` when they can.
    #[must_use]
    pub fn lacks_types(&self) -> Option<&str> {
        self.facts.types.as_ref().err().map(String::as_str)
    }

    /// What the kernel says of itself: `Linux version 6.12.1 ...`.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.facts.banner.as_deref()
    }

    /// What the kernel is doing at the machine's position.
    #[must_use]
    pub fn view<'a>(&'a self, machine: &'a Machine) -> LinuxView<'a> {
        LinuxView::new(self, machine)
    }

    pub(super) fn image(&self) -> ImagePlace {
        self.facts.image
    }

    pub(super) fn types(&self) -> Option<&Types> {
        self.facts.types.as_ref().ok()
    }

    /// Bytes of a kernel stack.
    pub(super) fn thread_bytes(&self) -> u64 {
        self.facts.thread_bytes
    }

    pub(super) fn known(&self) -> &KnownSymbols {
        &self.facts.known
    }
}

impl Facts {
    /// Reads the kernel whose image begins at a physical address.
    fn read(memory: &GuestMemory, physical_start: u64) -> Option<Self> {
        let said = memory.read_u64(GuestPhysAddr(physical_start + 16)).ok()?;
        let ram_end = memory.base().0 + memory.byte_len();
        // If the kernel does not say how large it is, what lies behind it does no harm.
        let byte_len = match said {
            0 => IMAGE_BYTES_MAX,
            _ => said.min(IMAGE_BYTES_MAX),
        };
        let byte_len = byte_len.min(ram_end - physical_start);
        let bytes = memory.slice(GuestPhysAddr(physical_start), byte_len).ok()?;
        let mut symbols = Symbols::find(bytes)?;
        let first = (symbols.address_of("_text")).or_else(|| symbols.address_of("_stext"))?;
        let mut image = ImagePlace {
            virtual_start: first & !(LARGE_PAGE - 1),
            physical_start,
            byte_len,
        };
        let types = types(bytes, &symbols);
        if let Ok(types) = &types
            && let Some(distance) = moved_by(bytes, &image, &symbols, types)
        {
            symbols.slide(distance);
            image.virtual_start = image.virtual_start.wrapping_add(distance);
        }
        let at = |name: &str| symbols.address_of(name);
        let size = |start: &str, end: &str| at(end)?.checked_sub(at(start)?);
        // include/asm-generic/vmlinux.lds.h, INIT_TASK_DATA; the names changed in 6.10.
        let thread_bytes = size("__start_init_stack", "__end_init_stack")
            .or_else(|| size("__start_init_task", "__end_init_task"))
            .filter(|size| size.is_power_of_two() && (4 << 10..1 << 20).contains(size));
        let in_image = |address: u64| {
            let offset = address.checked_sub(image.virtual_start)?;
            bytes.get(usize::try_from(offset).ok()?..)
        };
        let banner = at("linux_banner").and_then(in_image).and_then(|bytes| {
            let bytes = &bytes[..bytes.len().min(BANNER_BYTES_MAX)];
            let end = bytes.iter().position(|byte| *byte == 0)?;
            Some(String::from_utf8_lossy(&bytes[..end]).trim_end().to_owned())
        });
        let known = KnownSymbols {
            init_task: at("init_task"),
            kernel_map: at("kernel_map"),
            swapper_pg_dir: at("swapper_pg_dir"),
            mem_map: at("mem_map"),
            phys_ram_base: at("phys_ram_base"),
            special_mapping_operations: at("special_mapping_vmops"),
            handle_exception: at("handle_exception"),
            ret_from_exception: at("ret_from_exception"),
            saved: at("handle_exception").and_then(|start| {
                let end = at("ret_from_exception")?;
                let code = in_image(start)?;
                let code = code.get(..usize::try_from(end.checked_sub(start)?).ok()?)?;
                Some(start + saved_at(code)?)
            }),
        };
        Some(Self {
            image,
            types,
            symbols,
            thread_bytes: thread_bytes.unwrap_or(THREAD_BYTES),
            banner,
            known,
        })
    }
}

/// Finds the first of the blobs of type information that is the kernel's.
fn types(image: &[u8], symbols: &Symbols) -> Result<Types, String> {
    let lacks = |name| symbols.address_of(name).is_none();
    if lacks("init_task") || lacks("kernel_map") {
        return Err("the kernel's symbols lack `init_task` or `kernel_map`; build it with CONFIG_KALLSYMS_ALL".into());
    }
    let mut reason = None;
    let mut from = 0;
    for _ in 0..CANDIDATES_MAX {
        let Some(at) = symbols::find(&image[from..], &btf::MAGIC) else {
            break;
        };
        from += at;
        if let Some(btf) = Btf::parse(&image[from..]) {
            match Types::resolve(&btf) {
                Ok(types) => return Ok(types),
                Err(why) => reason = reason.or(Some(why)),
            }
        }
        from += 1;
    }
    Err(reason.unwrap_or_else(|| {
        "the kernel has no type information; build it with CONFIG_DEBUG_INFO_BTF".into()
    }))
}

/// How far a kernel has moved itself since it was linked, where its symbols do not tell: `kernel_map.virt_addr`, which it
/// sets first of all.
fn moved_by(bytes: &[u8], image: &ImagePlace, symbols: &Symbols, types: &Types) -> Option<u64> {
    let map = (symbols.address_of("kernel_map")?).checked_sub(image.virtual_start)?;
    let at = usize::try_from(map.checked_add(types.kernel_map.virt_addr.offset)?).ok()?;
    let start = bytes.get(at..)?.first_chunk::<8>()?;
    let start = u64::from_le_bytes(*start);
    let is_address = start >> 63 != 0 && start % LARGE_PAGE == 0;
    (is_address && start != image.virtual_start).then(|| start.wrapping_sub(image.virtual_start))
}

/// Where the entry code has saved everything: behind its last `csrw sscratch, zero`, by which it says that the kernel is
/// entered (arch/riscv/kernel/entry.S, `handle_exception`).
fn saved_at(code: &[u8]) -> Option<u64> {
    const CSRW_SSCRATCH_ZERO: [u8; 4] = 0x1400_1073u32.to_le_bytes();
    let last = (code.windows(4)).rposition(|window| window == CSRW_SSCRATCH_ZERO)?;
    Some(last as u64 + 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_code_has_saved_everything_behind_its_last_clearing_of_sscratch() {
        let code = [0x1400_1073u32, 0x13, 0x1400_1073, 0x13].map(u32::to_le_bytes);
        assert_eq!(saved_at(code.as_flattened()), Some(12));
        assert_eq!(saved_at(&[0x13, 0, 0, 0]), None);
    }
}
