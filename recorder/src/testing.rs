//! A guest for tests: a bare-metal program that prompts, echoes, computes and stops.
//!
//! It waits for interrupts (the UART's through the PLIC, and a timer every 100,000 ticks, which it
//! counts in RAM), prints `>` after each interrupt that brought input, echoes each byte and
//! computes over a page of RAM for about 11,000 steps, for `c` about 6 million, for `b` about 92
//! million. `q` switches the
//! power off.

use crate::entry::{EndReason, Entry};
use crate::record::{RecordOptions, RecordSession};
use crate::timeline::MachineSource;
use reprise_core::event::ConsolePort;
use reprise_core::machine::{BootKind, Machine, MachineConfig, MachineError, MachineImages};
use std::time::Duration;

/// Where the program is loaded and entered.
const BASE: u64 = 0x8000_0000;

/// Steps that the program computes for a `b`, at least.
pub const BUSY_STEPS: u64 = 92_000_000;

#[rustfmt::skip]
const ECHO: &[u32] = &[
    // start:
    0x10000437, // lui s0,0x10000
    0x020044b7, // lui s1,0x2004
    0x0200c937, // lui s2,0x200c
    0x0c0009b7, // lui s3,0xc000
    0x00080a37, // lui s4,0x80
    0x010a0a1b, // addiw s4,s4,16
    0x00ca1a13, // slli s4,s4,0xc
    0x00100ab7, // lui s5,0x100
    0x00100293, // addi t0,zero,1
    0x00540123, // sb t0,2(s0)
    0x005400a3, // sb t0,1(s0)
    0x0259a423, // sw t0,40(s3)
    0x0c002337, // lui t1,0xc002
    0x40000393, // addi t2,zero,1024
    0x00732023, // sw t2,0(t1)
    0x0c200b37, // lui s6,0xc200
    0x000b2023, // sw zero,0(s6)
    0x000012b7, // lui t0,0x1
    0x88028293, // addi t0,t0,-1920
    0x30429073, // csrrw zero,mie,t0
    0x00018bb7, // lui s7,0x18
    0x6a0b8b9b, // addiw s7,s7,1696
    0xff893283, // ld t0,-8(s2)
    0x017282b3, // add t0,t0,s7
    0x0054b023, // sd t0,0(s1)
    // prompt:
    0x03e00293, // addi t0,zero,62
    0x00540023, // sb t0,0(s0)
    // wait:
    0x10500073, // wfi
    0x344022f3, // csrrs t0,mip,zero
    0x0802f313, // andi t1,t0,128
    0x00030e63, // beq t1,zero,input
    0x0004b303, // ld t1,0(s1)
    0x01730333, // add t1,t1,s7
    0x0064b023, // sd t1,0(s1)
    0x000a3303, // ld t1,0(s4)
    0x00130313, // addi t1,t1,1
    0x006a3023, // sd t1,0(s4)
    // input:
    0x00544283, // lbu t0,5(s0)
    0x0012f293, // andi t0,t0,1
    0x06028863, // beq t0,zero,claim
    0x00044303, // lbu t1,0(s0)
    0x00640023, // sb t1,0(s0)
    0x3e800393, // addi t2,zero,1000
    0x06200e93, // addi t4,zero,98
    0x01d30a63, // beq t1,t4,long
    0x06300e93, // addi t4,zero,99
    0x01d31863, // bne t1,t4,work
    0x000803b7, // lui t2,0x80
    0x0080006f, // jal zero,work
    // long:
    0x008003b7, // lui t2,0x800
    // work:
    0x008a3e03, // ld t3,8(s4)
    // round:
    0x006e0e33, // add t3,t3,t1
    0x00de1e93, // slli t4,t3,0xd
    0x01de4e33, // xor t3,t3,t4
    0x007e5e93, // srli t4,t3,0x7
    0x01de4e33, // xor t3,t3,t4
    0x011e1e93, // slli t4,t3,0x11
    0x01de4e33, // xor t3,t3,t4
    0x7f8e7f13, // andi t5,t3,2040
    0x014f0f33, // add t5,t5,s4
    0x05cf3023, // sd t3,64(t5)
    0xfff38393, // addi t2,t2,-1
    0xfc039ae3, // bne t2,zero,round
    0x01ca3423, // sd t3,8(s4)
    0x07100e93, // addi t4,zero,113
    0x01d30c63, // beq t1,t4,off
    0xf8dff06f, // jal zero,input
    // claim:
    0x004b2283, // lw t0,4(s6)
    0xf4028ee3, // beq t0,zero,wait
    0x005b2223, // sw t0,4(s6)
    0xf4dff06f, // jal zero,prompt
    // off:
    0x000052b7, // lui t0,0x5
    0x55528293, // addi t0,t0,1365
    0x005aa023, // sw t0,0(s5)
    0xff5ff06f, // jal zero,off
];

/// A machine with the program; `seed` and the timers' jitter make executions differ.
///
/// # Panics
/// When the program does not start, which would be a mistake in it.
#[must_use]
pub fn echo_machine(seed: u8) -> Machine {
    let config = MachineConfig {
        ram_bytes: 4 << 20,
        seed: [seed; 32],
        timer_jitter_ticks_max: 3000,
        boot: BootKind::BareElf,
        ..MachineConfig::default()
    };
    let images = MachineImages {
        kernel: Some(elf_from_words(ECHO).into()),
        ..MachineImages::default()
    };
    Machine::new(config, images, None).expect("the program starts")
}

/// Makes the machines of one seed.
#[derive(Clone, Copy, Debug)]
pub struct EchoSource(pub u8);

impl MachineSource for EchoSource {
    fn machine(&self) -> Result<Machine, MachineError> {
        Ok(echo_machine(self.0))
    }
}

/// A recording of the program with some keys typed, each of which makes it compute, idle time in between, and `q` in
/// the end.
///
/// # Panics
/// When it cannot be made, which would be a mistake in the recorder.
#[must_use]
pub fn echo_recording(seed: u8, keys: &[u8]) -> Vec<Entry> {
    let mut session = RecordSession::new(echo_machine(seed), Vec::new(), RecordOptions::default());
    for key in keys {
        session.feed_console(ConsolePort::Uart, &[*key]);
        for _ in 0..3 {
            session.advance(7000, Duration::ZERO).expect("runs");
        }
    }
    session.feed_console(ConsolePort::Uart, b"q");
    while session
        .advance(1 << 20, Duration::ZERO)
        .expect("runs")
        .halted
        .is_none()
    {}
    let finished = session.finish(EndReason::Stopped).expect("is kept");
    finished.1
}

/// A minimal ELF file: one segment, which is the words.
fn elf_from_words(words: &[u32]) -> Vec<u8> {
    const HEADER_BYTES: u64 = 64;
    const SEGMENT_BYTES: u64 = 56;
    let code: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // ET_EXEC, EM_RISCV, version 1, entry, program header offset, no sections, no flags.
    elf.extend([2, 0, 243, 0, 1, 0, 0, 0]);
    elf.extend(BASE.to_le_bytes());
    elf.extend(HEADER_BYTES.to_le_bytes());
    elf.extend([0; 12]);
    for size in [64u16, 56, 1, 64, 0, 0] {
        elf.extend(size.to_le_bytes());
    }
    // PT_LOAD, readable and executable.
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    let length = code.len() as u64;
    for field in [
        HEADER_BYTES + SEGMENT_BYTES,
        BASE,
        BASE,
        length,
        length,
        4096,
    ] {
        elf.extend(field.to_le_bytes());
    }
    elf.extend(code);
    elf
}
