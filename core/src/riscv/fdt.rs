//! The device tree that describes the machine to its guest.

use super::platform::{
    CLINT_BASE, CLINT_BYTES, PLIC_BASE, PLIC_BYTES, RAM_BASE, RTC_BASE, RTC_IRQ, SYSCON_BASE,
    UART_BASE, UART_BYTES, UART_IRQ, VIRTIO_BASE, VIRTIO_SLOTS, VIRTIO_STRIDE, virtio_irq,
};
use crate::machine::MachineConfig;
use vm_fdt::{Error, FdtWriter};

/// Ticks of `mtime` in a second of guest time at `time_shift` 6, a nominal 1 GHz.
const NOMINAL_HZ: u32 = 1_000_000_000;
const ISA_EXTENSIONS: [&str; 15] = [
    "i", "m", "a", "f", "d", "c", "zicntr", "zicsr", "zifencei", "zba", "zbb", "zbs", "sstc",
    "svadu", "zihpm",
];
const ISA: &str = "rv64imafdc_zicntr_zicsr_zifencei_zihpm_zba_zbb_zbs_sstc_svadu";
const PHANDLE_PLIC: u32 = 1;
const PHANDLE_SYSCON: u32 = 2;
const PHANDLE_CPU_INTC: u32 = 16;

/// Where the initrd lies: first byte, and first byte after it.
pub(crate) struct InitrdRange {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// Makes the device tree blob.
pub(crate) fn device_tree(
    config: &MachineConfig,
    initrd: Option<&InitrdRange>,
) -> Result<Vec<u8>, Error> {
    let mut fdt = FdtWriter::new()?;
    let root = fdt.begin_node("")?;
    fdt.property_u32("#address-cells", 2)?;
    fdt.property_u32("#size-cells", 2)?;
    fdt.property_string("compatible", "riscv-virtio")?;
    fdt.property_string("model", "reprise,rv64")?;

    let chosen = fdt.begin_node("chosen")?;
    // Device trees hold C strings; a command line with a NUL is refused before.
    fdt.property_string("bootargs", &String::from_utf8_lossy(&config.command_line))?;
    fdt.property_string("stdout-path", "/soc/serial@10000000")?;
    // The kernel trusts and wipes this; the start event reseeds later.
    let seed = blake3::derive_key("reprise machine 1 device tree rng-seed", &config.seed);
    fdt.property("rng-seed", &seed)?;
    if let Some(initrd) = initrd {
        fdt.property_u64("linux,initrd-start", initrd.start)?;
        fdt.property_u64("linux,initrd-end", initrd.end)?;
    }
    fdt.end_node(chosen)?;

    let memory = fdt.begin_node("memory@80000000")?;
    fdt.property_string("device_type", "memory")?;
    fdt.property_array_u64("reg", &[RAM_BASE, config.ram_bytes])?;
    fdt.end_node(memory)?;

    cpus(&mut fdt, config)?;
    soc(&mut fdt, config)?;
    power(&mut fdt, "poweroff", "syscon-poweroff", 0x5555)?;
    power(&mut fdt, "reboot", "syscon-reboot", 0x7777)?;
    fdt.end_node(root)?;
    fdt.finish()
}

fn cpus(fdt: &mut FdtWriter, config: &MachineConfig) -> Result<(), Error> {
    let cpus = fdt.begin_node("cpus")?;
    fdt.property_u32("#address-cells", 1)?;
    fdt.property_u32("#size-cells", 0)?;
    fdt.property_u32("timebase-frequency", NOMINAL_HZ >> config.time_shift)?;
    for hart in 0..config.cpu_count {
        let cpu = fdt.begin_node(&format!("cpu@{hart:x}"))?;
        fdt.property_string("device_type", "cpu")?;
        fdt.property_u32("reg", hart)?;
        fdt.property_string("status", "okay")?;
        fdt.property_string("compatible", "riscv")?;
        fdt.property_string("riscv,isa", ISA)?;
        fdt.property_string("riscv,isa-base", "rv64i")?;
        fdt.property_string_list(
            "riscv,isa-extensions",
            ISA_EXTENSIONS.map(String::from).to_vec(),
        )?;
        fdt.property_string("mmu-type", "riscv,sv48")?;
        let intc = fdt.begin_node("interrupt-controller")?;
        fdt.property_u32("#interrupt-cells", 1)?;
        fdt.property_null("interrupt-controller")?;
        fdt.property_string("compatible", "riscv,cpu-intc")?;
        fdt.property_phandle(PHANDLE_CPU_INTC + hart)?;
        fdt.end_node(intc)?;
        fdt.end_node(cpu)?;
    }
    fdt.end_node(cpus)
}

fn soc(fdt: &mut FdtWriter, config: &MachineConfig) -> Result<(), Error> {
    let soc = fdt.begin_node("soc")?;
    fdt.property_u32("#address-cells", 2)?;
    fdt.property_u32("#size-cells", 2)?;
    fdt.property_string("compatible", "simple-bus")?;
    fdt.property_null("ranges")?;

    let contexts = |interrupts: [u32; 2]| -> Vec<u32> {
        (0..config.cpu_count)
            .flat_map(|hart| interrupts.map(|interrupt| [PHANDLE_CPU_INTC + hart, interrupt]))
            .flatten()
            .collect()
    };
    let clint = fdt.begin_node(&format!("clint@{CLINT_BASE:x}"))?;
    fdt.property_string_list(
        "compatible",
        vec!["sifive,clint0".into(), "riscv,clint0".into()],
    )?;
    fdt.property_array_u64("reg", &[CLINT_BASE, CLINT_BYTES])?;
    fdt.property_array_u32("interrupts-extended", &contexts([3, 7]))?;
    fdt.end_node(clint)?;

    let plic = fdt.begin_node(&format!("plic@{PLIC_BASE:x}"))?;
    fdt.property_string_list(
        "compatible",
        vec!["sifive,plic-1.0.0".into(), "riscv,plic0".into()],
    )?;
    fdt.property_u32("#address-cells", 0)?;
    fdt.property_u32("#interrupt-cells", 1)?;
    fdt.property_null("interrupt-controller")?;
    fdt.property_array_u64("reg", &[PLIC_BASE, PLIC_BYTES])?;
    fdt.property_array_u32("interrupts-extended", &contexts([11, 9]))?;
    fdt.property_u32("riscv,ndev", 63)?;
    fdt.property_phandle(PHANDLE_PLIC)?;
    fdt.end_node(plic)?;

    let syscon = fdt.begin_node(&format!("test@{SYSCON_BASE:x}"))?;
    fdt.property_string_list(
        "compatible",
        vec![
            "sifive,test1".into(),
            "sifive,test0".into(),
            "syscon".into(),
        ],
    )?;
    fdt.property_array_u64("reg", &[SYSCON_BASE, 0x1000])?;
    fdt.property_phandle(PHANDLE_SYSCON)?;
    fdt.end_node(syscon)?;

    let rtc = fdt.begin_node(&format!("rtc@{RTC_BASE:x}"))?;
    fdt.property_string("compatible", "google,goldfish-rtc")?;
    fdt.property_array_u64("reg", &[RTC_BASE, 0x1000])?;
    fdt.property_u32("interrupt-parent", PHANDLE_PLIC)?;
    fdt.property_u32("interrupts", RTC_IRQ.0)?;
    fdt.end_node(rtc)?;

    let uart = fdt.begin_node(&format!("serial@{UART_BASE:x}"))?;
    fdt.property_string("compatible", "ns16550a")?;
    fdt.property_array_u64("reg", &[UART_BASE, UART_BYTES])?;
    fdt.property_u32("clock-frequency", 3_686_400)?;
    fdt.property_u32("interrupt-parent", PHANDLE_PLIC)?;
    fdt.property_u32("interrupts", UART_IRQ.0)?;
    fdt.end_node(uart)?;

    for slot in 0..VIRTIO_SLOTS {
        let base = VIRTIO_BASE + VIRTIO_STRIDE * slot as u64;
        let virtio = fdt.begin_node(&format!("virtio_mmio@{base:x}"))?;
        fdt.property_string("compatible", "virtio,mmio")?;
        fdt.property_array_u64("reg", &[base, VIRTIO_STRIDE])?;
        fdt.property_u32("interrupt-parent", PHANDLE_PLIC)?;
        fdt.property_u32("interrupts", virtio_irq(slot).0)?;
        fdt.end_node(virtio)?;
    }
    fdt.end_node(soc)
}

fn power(fdt: &mut FdtWriter, name: &str, compatible: &str, value: u32) -> Result<(), Error> {
    let node = fdt.begin_node(name)?;
    fdt.property_string("compatible", compatible)?;
    fdt.property_u32("regmap", PHANDLE_SYSCON)?;
    fdt.property_u32("offset", 0)?;
    fdt.property_u32("value", value)?;
    fdt.end_node(node)
}
