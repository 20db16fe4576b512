//! The loader of bare-metal ELF files: no bytes make it panic, hang or hold much memory, and what it accepts lies
//! within RAM.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reprise_core::machine::{BootKind, Machine, MachineConfig, MachineImages};
use reprise_core::riscv::elf;
use reprise_core::riscv::platform::RAM_BASE;
use reprise_core::types::Icount;

const RAM_BYTES: u64 = 4 << 20;
/// Enough to reach traps, device accesses and what the program's own bytes make of them.
const STEPS: u64 = 2_000;

fuzz_target!(|file: &[u8]| {
    let Ok(program) = elf::parse(file, RAM_BASE, RAM_BYTES) else {
        return;
    };
    for segment in &program.segments {
        assert!(segment.address >= RAM_BASE);
        let end = segment.address + segment.bytes.len() as u64;
        assert!(end <= RAM_BASE + RAM_BYTES);
    }
    // What the loader accepts also has to run, whatever it is.
    let config = MachineConfig {
        boot: BootKind::BareElf,
        ram_bytes: RAM_BYTES,
        ..MachineConfig::default()
    };
    let images = MachineImages {
        kernel: Some(file.into()),
        ..MachineImages::default()
    };
    if let Ok(mut machine) = Machine::new(config, images, None) {
        machine.run(Icount(STEPS));
        machine.state_hash();
    }
});
