//! Putting a guest into RAM and a hart at its first instruction.

use super::csr::{MENVCFG_ADUE, MENVCFG_STCE, MIDELEG_WRITABLE};
use super::elf;
use super::fdt::{InitrdRange, device_tree};
use super::hart::Hart;
use super::htif::Htif;
use super::platform::{Platform, RAM_BASE};
use super::pmp::Pmp;
use super::trap::Privilege;
use crate::machine::{MachineConfig, MachineError};
use crate::memory::page_flag;
use crate::types::{GuestPhysAddr, PAGE_BYTES};
use std::collections::BTreeMap;

/// Alignment of the initrd and of the device tree: a page of the kernel's early mappings.
const LARGE_PAGE: u64 = 2 << 20;
/// "RSC\x05" at offset 56: Linux, Documentation/arch/riscv/boot-image-header.rst.
const IMAGE_MAGIC: &[u8] = b"RSC\x05";
const IMAGE_HEADER_BYTES: usize = 64;

/// Exceptions that the firmware leaves to S-mode: all but the environment call from S-mode.
const MEDELEG_BY_FIRMWARE: u64 = 0xb1ff;

fn bad(what: impl Into<String>) -> MachineError {
    MachineError::BadImage(what.into())
}

fn put(p: &mut Platform, address: u64, bytes: &[u8], what: &str) -> Result<(), MachineError> {
    p.memory.write(GuestPhysAddr(address), bytes).map_err(|_| {
        bad(format!(
            "the {what} of {} bytes does not fit into RAM of {} bytes",
            bytes.len(),
            p.memory.byte_len()
        ))
    })
}

/// Loads a kernel Image and its initrd, and sets the hart up as firmware does.
pub(crate) fn load_linux(
    hart: &mut Hart,
    p: &mut Platform,
    config: &MachineConfig,
    kernel: &[u8],
    initrd: Option<&[u8]>,
) -> Result<(), MachineError> {
    let header = kernel
        .get(..IMAGE_HEADER_BYTES)
        .filter(|header| &header[56..60] == IMAGE_MAGIC);
    let Some(header) = header else {
        return Err(bad("the kernel is not an uncompressed RISC-V Linux Image"));
    };
    let field = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&header[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    let (text_offset, image_bytes) = (field(8), field(16).max(kernel.len() as u64));
    let ram_end = RAM_BASE + config.ram_bytes;
    let too_large = || {
        bad(format!(
            "the kernel does not fit into RAM of {} bytes",
            config.ram_bytes
        ))
    };
    let load = RAM_BASE.checked_add(text_offset).ok_or_else(too_large)?;
    // The image's size includes its BSS, in which nothing else may lie.
    let kernel_end = load
        .checked_add(image_bytes)
        .filter(|end| *end <= ram_end)
        .ok_or_else(too_large)?;
    put(p, load, kernel, "kernel")?;

    let initrd_range = match initrd {
        Some(initrd) => {
            let start = kernel_end.next_multiple_of(LARGE_PAGE);
            put(p, start, initrd, "initrd")?;
            Some(InitrdRange {
                start,
                end: start + initrd.len() as u64,
            })
        }
        None => None,
    };
    let used_to = initrd_range.as_ref().map_or(kernel_end, |range| range.end);
    let tree_at = ram_end - LARGE_PAGE;
    if used_to > tree_at {
        return Err(bad(format!(
            "kernel and initrd leave no room in RAM of {} bytes",
            config.ram_bytes
        )));
    }
    put_device_tree(p, config, initrd_range.as_ref(), tree_at)?;

    hart.privilege = Privilege::Supervisor;
    hart.csr.pmp = Pmp::open();
    hart.csr.medeleg = MEDELEG_BY_FIRMWARE;
    hart.csr.mideleg = MIDELEG_WRITABLE;
    hart.csr.mcounteren = 7;
    // Linux leaves it to the firmware to let U-mode read the counters, and its vDSO reads the time.
    hart.csr.scounteren = 7;
    hart.csr.menvcfg = MENVCFG_ADUE | MENVCFG_STCE;
    p.has_sbi = true;
    start(hart, load, tree_at);
    Ok(())
}

fn put_device_tree(
    p: &mut Platform,
    config: &MachineConfig,
    initrd: Option<&InitrdRange>,
    at: u64,
) -> Result<(), MachineError> {
    let tree = device_tree(config, initrd).map_err(|error| {
        MachineError::BadConfig(format!("the device tree cannot be made: {error}"))
    })?;
    put(p, at, &tree, "device tree")
}

fn start(hart: &mut Hart, pc: u64, device_tree: u64) {
    hart.area.pc = pc & !1;
    hart.area.x[10] = hart.id.into();
    hart.area.x[11] = device_tree;
    hart.flush_translations();
    hart.update_context();
}

/// Loads a bare-metal ELF and starts the hart in M-mode. Returns the addresses of known symbols.
pub(crate) fn load_bare(
    hart: &mut Hart,
    p: &mut Platform,
    config: &MachineConfig,
    file: &[u8],
) -> Result<BTreeMap<&'static str, u64>, MachineError> {
    let program =
        elf::parse(file, RAM_BASE, config.ram_bytes).map_err(|error| bad(error.to_string()))?;
    let tree_at = RAM_BASE + config.ram_bytes - LARGE_PAGE;
    let tree_end = RAM_BASE + config.ram_bytes;
    put_device_tree(p, config, None, tree_at)?;
    for segment in &program.segments {
        // The device tree may lie in what the program takes for its zeroed memory.
        let mut rest =
            tree_at.max(segment.address)..tree_end.min(segment.address + segment.memory_byte_len);
        while rest.start < rest.end {
            let length = PAGE_BYTES.min(rest.end - rest.start);
            put(
                p,
                rest.start,
                &[0; PAGE_BYTES as usize][..length as usize],
                "segment",
            )?;
            rest.start += length;
        }
        put(p, segment.address, segment.bytes, "segment")?;
    }
    // Answers go to `fromhost`: it must not lie over `tohost`, or each answer would be a request.
    let aligned = |name: &str| program.symbols.get(name).filter(|at| at.is_multiple_of(8));
    if let Some(tohost) = aligned("tohost") {
        p.tohost = Some(Htif {
            tohost: *tohost,
            fromhost: aligned("fromhost").filter(|at| *at != tohost).copied(),
        });
        if let Some(offset) = p.memory.offset_of(GuestPhysAddr(*tohost), 8) {
            p.memory
                .set_page_flag(offset / PAGE_BYTES as usize, page_flag::WATCHED);
        }
    }
    start(hart, program.entry, tree_at);
    Ok(program.symbols)
}

#[cfg(test)]
mod tests {
    use crate::machine::{Machine, MachineConfig, MachineImages};
    use crate::types::CpuId;

    #[test]
    fn linux_finds_what_firmware_sets_up() {
        let mut kernel = vec![0; super::IMAGE_HEADER_BYTES];
        kernel[56..60].copy_from_slice(super::IMAGE_MAGIC);
        let images = MachineImages {
            kernel: Some(kernel.into()),
            ..MachineImages::default()
        };
        let machine = Machine::new(MachineConfig::default(), images, None).expect("it starts");
        let registers = machine.registers(CpuId(0));
        // Privilege 1 is S-mode; U-mode's `rdtime` in Linux's vDSO needs both counter enables.
        for (name, expected) in [("privilege", 1), ("mcounteren", 7), ("scounteren", 7)] {
            let found = registers.iter().find(|(register, _)| register == name);
            assert_eq!(found.map(|(_, value)| *value), Some(expected), "{name}");
        }
    }
}
