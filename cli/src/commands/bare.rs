//! `reprise bare`.

use crate::args::BareArgs;
use crate::console::write_console;
use crate::open::check_ram;
use crate::say;
use anyhow::{Context, bail};
use reprise_core::event::{ConsolePort, InputEvent};
use reprise_core::image::ImageSource;
use reprise_core::machine::{BootKind, HaltReason, Machine, MachineConfig, MachineImages, RunExit};
use reprise_core::types::{GuestPhysAddr, Icount};
use reprise_images::store::FileImage;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Steps between two looks at the output.
const STEPS_A_TURN: u64 = 1 << 22;

/// Exit status of a program that failed.
const STATUS_FAILED: u8 = 1;

/// Exit status when the limit was reached.
const STATUS_LIMIT: u8 = 124;

/// Programs beyond this are refused before they are read: the largest conformance program has some
/// megabytes.
const ELF_BYTES_MAX: u64 = 1 << 30;

/// Runs a bare-metal program.
pub(crate) fn bare(args: &BareArgs) -> anyhow::Result<u8> {
    if !args.ram.is_multiple_of(2) {
        bail!(
            "--ram {} is not even: RAM comes in steps of 2 MiB",
            args.ram
        );
    }
    check_ram(args.ram << 20)?;
    let mut machine = machine(args)?;
    if !machine.bare_symbols().contains_key("tohost") {
        say::line(
            "reprise: the program has no symbol `tohost`, so nothing ends it but power-off (see `reprise bare --help`)",
        );
    }
    let input = match &args.input {
        None => Vec::new(),
        Some(path) => {
            fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?
        }
    };
    let halted = run(&mut machine, &input, args.max_icount.unwrap_or(u64::MAX))?;
    if let Some(path) = &args.signature {
        write_signature(&machine, path)?;
    }
    let icount = machine.icount();
    Ok(match halted {
        Some(HaltReason::ToHost(0) | HaltReason::PowerOff) => 0,
        Some(HaltReason::ToHost(number)) => {
            say::line(format_args!(
                "reprise: test {number} failed (icount {icount})"
            ));
            STATUS_FAILED
        }
        Some(HaltReason::Failure(code)) => {
            say::line(format_args!(
                "reprise: the program reported failure {code} (icount {icount})"
            ));
            STATUS_FAILED
        }
        Some(HaltReason::Reboot) => {
            say::line(format_args!(
                "reprise: the program asked for a reboot (icount {icount})"
            ));
            STATUS_FAILED
        }
        None if args.max_icount.is_some_and(|limit| icount.0 >= limit) => {
            say::line(format_args!(
                "reprise: the limit of --max-icount was reached (icount {icount})"
            ));
            STATUS_LIMIT
        }
        None => {
            say::line(format_args!(
                "reprise: the program waits for ever: no timer is set (icount {icount})"
            ));
            STATUS_FAILED
        }
    })
}

fn machine(args: &BareArgs) -> anyhow::Result<Machine> {
    let cannot = || format!("the program {} cannot be read", args.elf.display());
    let metadata = fs::metadata(&args.elf).with_context(cannot)?;
    if !metadata.is_file() || metadata.len() > ELF_BYTES_MAX {
        bail!("{} is not an ELF file", args.elf.display());
    }
    let elf = fs::read(&args.elf).with_context(cannot)?;
    let config = MachineConfig {
        ram_bytes: args.ram << 20,
        boot: BootKind::BareElf,
        ..MachineConfig::default()
    };
    let disk = |path: &PathBuf| -> anyhow::Result<Box<dyn ImageSource>> {
        let image = FileImage::open(path);
        Ok(Box::new(image.with_context(|| {
            format!("the disk {} cannot be read", path.display())
        })?))
    };
    let images = MachineImages {
        kernel: Some(elf.into()),
        disks: args.disk.iter().map(disk).collect::<anyhow::Result<_>>()?,
        ..MachineImages::default()
    };
    Machine::new(config, images, None).with_context(|| args.elf.display().to_string())
}

/// Runs until the program halts, waits for ever (`None`) or reaches the limit (`None`).
fn run(
    machine: &mut Machine,
    mut input: &[u8],
    icount_max: u64,
) -> anyhow::Result<Option<HaltReason>> {
    loop {
        let limit = machine.icount().after(STEPS_A_TURN).min(Icount(icount_max));
        let exit = machine.run(limit);
        let outputs = machine.take_outputs();
        write_console(&outputs)?;
        // Typed when nothing more is printed: a program that is still starting may clear the UART's FIFO.
        if outputs.is_empty() || matches!(exit, RunExit::Idle { .. }) {
            let room = machine.console_room(ConsolePort::Uart);
            let (typed, rest) = input.split_at(input.len().min(room));
            if !typed.is_empty() && machine.halted().is_none() {
                machine.inject(&InputEvent::ConsoleInput {
                    port: ConsolePort::Uart,
                    bytes: typed.to_vec(),
                })?;
                input = rest;
                continue;
            }
        }
        match exit {
            RunExit::Halted(reason) => return Ok(Some(reason)),
            RunExit::Limit if machine.icount().0 >= icount_max => return Ok(None),
            RunExit::Limit | RunExit::OutputFull | RunExit::DebugStop => {}
            RunExit::Idle {
                deadline: Some(deadline),
            } if machine.idle_jump(deadline.max(machine.time())).is_ok() => {}
            RunExit::Idle { .. } => return Ok(None),
            RunExit::ImageStall(_) => {
                bail!("the disk that the program reads has become unreadable")
            }
        }
    }
}

/// Writes the memory between the signature's symbols: 32-bit words as 8 hexadecimal digits, one a
/// line, as riscv-arch-test compares them.
fn write_signature(machine: &Machine, path: &Path) -> anyhow::Result<()> {
    let symbols = machine.bare_symbols();
    let (Some(&begin), Some(&end)) = (symbols.get("begin_signature"), symbols.get("end_signature"))
    else {
        bail!(
            "the program has no symbols begin_signature and end_signature: leave out --signature"
        );
    };
    let length = end
        .checked_sub(begin)
        .filter(|length| length.is_multiple_of(4));
    let bytes = length.and_then(|length| machine.memory().slice(GuestPhysAddr(begin), length).ok());
    let Some(bytes) = bytes else {
        bail!("the program's signature from {begin:#x} to {end:#x} is not whole words of RAM");
    };
    let cannot = || format!("{} cannot be written", path.display());
    let mut out = BufWriter::new(File::create(path).with_context(cannot)?);
    for word in bytes.as_chunks::<4>().0 {
        writeln!(out, "{:08x}", u32::from_le_bytes(*word)).with_context(cannot)?;
    }
    out.flush().with_context(cannot)
}
