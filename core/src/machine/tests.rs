//! The machine as a whole, where a test must see inside.

mod workspace;

use super::*;
use crate::device::AccessSize;
use crate::image::MissingRange;
use crate::riscv::pmp::Pmp;
use crate::riscv::trap::Privilege;
use std::sync::atomic::{AtomicBool, Ordering};

const CODE: u64 = RAM_BASE;
const TABLES: u64 = RAM_BASE + 0x10_0000;
const RINGS: u64 = RAM_BASE + 0x18_0000;
const HEADER: u64 = RINGS + 0x1000;
const DATA: u64 = RINGS + 0x2000;
const STATUS: u64 = RINGS + 0x3000;
const DISK: u64 = 0x1000_1000;
/// Entry of the first table that maps the code where it is.
const CODE_ENTRY: u64 = TABLES + 2 * 8;
/// Virtual address of the disk's registers.
const DISK_VA: u64 = 0x1000;
/// Entry of the last table that maps them, without A and D.
const LEAF: u64 = TABLES + 0x2000 + 8;
const A_AND_D: u64 = 0xc0;

/// An image whose bytes come when they are let.
struct Late(Arc<AtomicBool>);

impl ImageSource for Late {
    fn byte_len(&self) -> u64 {
        4096
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), MissingRange> {
        if !self.0.load(Ordering::Relaxed) {
            return Err(MissingRange {
                offset,
                length: buffer.len() as u64,
            });
        }
        buffer.fill(0x5a);
        Ok(())
    }
}

/// An ELF file of one segment at [`CODE`].
pub(super) fn elf(code: &[u32]) -> Vec<u8> {
    let code: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xf3\0\x01\0\0\0".to_vec();
    [CODE, 64, 0]
        .iter()
        .for_each(|word| file.extend(word.to_le_bytes()));
    file.extend([0; 4]);
    [64u16, 56, 1, 64, 0, 0]
        .iter()
        .for_each(|half| file.extend(half.to_le_bytes()));
    file.extend([1, 0, 0, 0, 7, 0, 0, 0]);
    let length = code.len() as u64;
    [120, CODE, CODE, length, length, 4]
        .iter()
        .for_each(|word| file.extend(word.to_le_bytes()));
    file.extend(code);
    file
}

/// A machine whose next instruction rings the doorbell of a disk request, through page tables.
fn at_the_doorbell(is_there: &Arc<AtomicBool>) -> Machine {
    let config = MachineConfig {
        ram_bytes: RAM_BYTES_MIN,
        boot: BootKind::BareElf,
        ..MachineConfig::default()
    };
    // sw x0, 0x50(x5)
    let images = MachineImages {
        kernel: Some(elf(&[0x0402_a823]).into()),
        disks: vec![Box::new(Late(Arc::clone(is_there)))],
        ..MachineImages::default()
    };
    let mut machine = Machine::new(config, images, None).expect("the program starts");
    let p = &mut machine.platform;
    let mut put =
        |address: u64, bytes: &[u8]| p.memory.write(GuestPhysAddr(address), bytes).expect("RAM");
    for (address, entry) in [
        // The code's gigapage, whose A bit the fetch sets.
        (CODE_ENTRY, CODE >> 2 | 0xf),
        (TABLES, (TABLES + 0x1000) >> 2 | 1),
        (TABLES + 0x1000, (TABLES + 0x2000) >> 2 | 1),
        (LEAF, DISK >> 2 | 7),
    ] {
        put(address, &entry.to_le_bytes());
    }
    // A chain of the request's header, a sector to read into, and the status.
    let chain = [
        (HEADER, 16u32, 1u16, 1u16),
        (DATA, 512, 3, 2),
        (STATUS, 1, 2, 0),
    ];
    for (index, (address, length, flags, next)) in chain.into_iter().enumerate() {
        let at = RINGS + index as u64 * 16;
        put(at, &address.to_le_bytes());
        put(at + 8, &length.to_le_bytes());
        put(at + 12, &flags.to_le_bytes());
        put(at + 14, &next.to_le_bytes());
    }
    put(RINGS + 0x402, &1u16.to_le_bytes());
    put(STATUS, &[0xff]);
    let registers = [
        (0x70, 3),
        (0x24, 1),
        (0x20, 1),
        (0x70, 0xb),
        (0x30, 0),
        (0x38, 16),
        (0x80, RINGS),
        (0x90, RINGS + 0x400),
        (0xa0, RINGS + 0x600),
        (0x44, 1),
        (0x70, 0xf),
    ];
    for (offset, value) in registers {
        let written = p.write(
            Icount(0),
            DISK + offset,
            AccessSize::Word,
            value & 0xffff_ffff,
        );
        assert_eq!(written, Ok(()));
    }
    let hart = &mut machine.harts[0].hart;
    hart.csr.pmp = Pmp::open();
    hart.privilege = Privilege::Supervisor;
    hart.csr.satp = 8 << 60 | TABLES >> 12;
    hart.area.x[5] = DISK_VA;
    hart.flush_translations();
    hart.update_context();
    machine
}

#[test]
fn a_step_that_waits_for_an_image_has_no_effect() {
    let is_there = Arc::new(AtomicBool::new(false));
    for engine in [Engine::Blocks, Engine::Reference] {
        is_there.store(false, Ordering::Relaxed);
        let mut waiting = at_the_doorbell(&is_there);
        waiting.set_engine(engine);
        let before = waiting.state_hash();
        for _ in 0..3 {
            assert!(
                matches!(waiting.run(Icount(1)), RunExit::ImageStall(stall) if stall.disk == 0)
            );
            assert_eq!(
                (waiting.icount(), waiting.state_hash()),
                (Icount(0), before)
            );
        }
        is_there.store(true, Ordering::Relaxed);
        let mut straight = at_the_doorbell(&is_there);
        assert_eq!(waiting.run(Icount(1)), RunExit::Limit);
        assert_eq!(straight.run(Icount(1)), RunExit::Limit);
        assert_eq!(waiting.state_hash(), straight.state_hash());
        let leaf = straight
            .memory()
            .read_u64(GuestPhysAddr(LEAF))
            .expect("RAM");
        assert_eq!(leaf & A_AND_D, A_AND_D, "the walk has set A and D");
        let code = straight
            .memory()
            .read_u64(GuestPhysAddr(CODE_ENTRY))
            .expect("RAM");
        assert_eq!(code & A_AND_D, 0x40, "the fetch has set A");
        assert_eq!(
            straight
                .memory()
                .slice(GuestPhysAddr(DATA), 2)
                .expect("RAM"),
            [0x5a; 2]
        );
        assert_eq!(
            straight
                .memory()
                .slice(GuestPhysAddr(STATUS), 1)
                .expect("RAM"),
            [0]
        );
    }
}

#[test]
fn an_alarm_that_wakes_nobody_shows_at_its_position_whoever_asks() {
    // Arms the RTC's alarm at 2000 ns with its interrupt off, then waits.
    let code = [
        0x0010_12b7, // lui t0, 0x101
        0x0002_a623, // sw x0, 12(t0)
        0x7d00_0313, // li t1, 2000
        0x0062_a423, // sw t1, 8(t0)
        0x1050_0073, // wfi
        0xffdf_f06f, // j .-4
    ];
    let config = MachineConfig {
        ram_bytes: RAM_BYTES_MIN,
        boot: BootKind::BareElf,
        ..MachineConfig::default()
    };
    let images = MachineImages {
        kernel: Some(elf(&code).into()),
        ..MachineImages::default()
    };
    let mut machine = Machine::new(config, images, None).expect("the program starts");
    let RunExit::Idle {
        deadline: Some(deadline),
    } = machine.run(Icount(100))
    else {
        panic!("the program waits for its alarm");
    };
    machine.idle_jump(deadline).expect("a jump to the deadline");
    let jumped = machine.state_hash();
    assert_eq!(machine.run(machine.icount()), RunExit::Limit);
    assert_eq!(machine.state_hash(), jumped);
    assert_eq!(machine.run(Icount(100)), RunExit::Idle { deadline: None });
    assert_eq!(machine.state_hash(), jumped);
}

#[test]
fn what_comes_out_is_bounded_and_taking_it_changes_nothing() {
    // lui a0, 0x10000 (the UART); li a1, 'x'; again: sb a1, 0(a0); j again.
    let code = [0x1000_0537, 0x0780_0593, 0x00b5_0023, 0xffdf_f06f];
    let machine = || {
        let config = MachineConfig {
            ram_bytes: RAM_BYTES_MIN,
            boot: BootKind::BareElf,
            ..MachineConfig::default()
        };
        let images = MachineImages {
            kernel: Some(elf(&code).into()),
            ..MachineImages::default()
        };
        Machine::new(config, images, None).expect("starts")
    };
    let limit = Icount(3_000_000);
    let (mut full, mut drained) = (machine(), machine());
    let (mut stop_count, mut byte_count, mut most) = (0, 0, 0);
    let mut take = |machine: &mut Machine| {
        let bytes: usize = machine
            .take_outputs()
            .iter()
            .map(|output| match &output.kind {
                crate::output::OutputKind::Console { bytes, .. } => bytes.len(),
                _ => 0,
            })
            .sum();
        byte_count += bytes;
        most = most.max(bytes);
    };
    while full.icount() < limit {
        match full.run(limit) {
            RunExit::OutputFull => stop_count += 1,
            exit => assert_eq!(exit, RunExit::Limit),
        }
        take(&mut full);
    }
    assert!(stop_count > 1, "{stop_count} stops");
    assert_eq!(byte_count, 1_499_999);
    assert!(most < byte_count);
    while drained.icount() < limit {
        assert_eq!(drained.run(drained.icount().after(1000)), RunExit::Limit);
        drained.take_outputs();
    }
    assert_eq!(full.state_hash(), drained.state_hash());
}
