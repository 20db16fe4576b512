//! The names of the CSRs.
//!
//! A disassembler and a debugger meet the numbers of CSRs that this machine does not have, so the
//! names are not limited to those that it has.

/// The name of the CSR with this number, in the spelling of the specifications; `None` where they
/// name none (RISC-V Privileged 2.2, and the chapters of the extensions named below).
///
/// Registers that exist only on RV32 have names too, since binutils prints them on RV64 as well.
pub fn csr_name(number: u16) -> Option<&'static str> {
    let name = match number {
        // Floating point.
        0x001 => "fflags",
        0x002 => "frm",
        0x003 => "fcsr",
        // Vector.
        0x008 => "vstart",
        0x009 => "vxsat",
        0x00a => "vxrm",
        0x00f => "vcsr",
        0xc20 => "vl",
        0xc21 => "vtype",
        0xc22 => "vlenb",
        // Entropy source (Zkr).
        0x015 => "seed",
        // Counters as unprivileged code sees them.
        0xc00 => "cycle",
        0xc01 => "time",
        0xc02 => "instret",
        0xc80 => "cycleh",
        0xc81 => "timeh",
        0xc82 => "instreth",

        // Supervisor: traps, configuration, translation.
        0x100 => "sstatus",
        0x104 => "sie",
        0x105 => "stvec",
        0x106 => "scounteren",
        0x10a => "senvcfg",
        0x140 => "sscratch",
        0x141 => "sepc",
        0x142 => "scause",
        0x143 => "stval",
        0x144 => "sip",
        0x180 => "satp",
        // Supervisor: timer compare (Sstc), counter overflow (Sscofpmf), state enable (Ssstateen).
        0x14d => "stimecmp",
        0x15d => "stimecmph",
        0xda0 => "scountovf",
        0x10c => "sstateen0",
        0x10d => "sstateen1",
        0x10e => "sstateen2",
        0x10f => "sstateen3",
        // Supervisor: advanced interrupt architecture (Ssaia).
        0x114 => "sieh",
        0x150 => "siselect",
        0x151 => "sireg",
        0x154 => "siph",
        0x15c => "stopei",
        0xdb0 => "stopi",

        // Machine: information.
        0xf11 => "mvendorid",
        0xf12 => "marchid",
        0xf13 => "mimpid",
        0xf14 => "mhartid",
        0xf15 => "mconfigptr",
        // Machine: traps.
        0x300 => "mstatus",
        0x301 => "misa",
        0x302 => "medeleg",
        0x303 => "mideleg",
        0x304 => "mie",
        0x305 => "mtvec",
        0x306 => "mcounteren",
        0x310 => "mstatush",
        0x340 => "mscratch",
        0x341 => "mepc",
        0x342 => "mcause",
        0x343 => "mtval",
        0x344 => "mip",
        0x34a => "mtinst",
        0x34b => "mtval2",
        // Machine: configuration, state enable (Smstateen).
        0x30a => "menvcfg",
        0x31a => "menvcfgh",
        0x747 => "mseccfg",
        0x757 => "mseccfgh",
        0x30c => "mstateen0",
        0x30d => "mstateen1",
        0x30e => "mstateen2",
        0x30f => "mstateen3",
        0x31c => "mstateen0h",
        0x31d => "mstateen1h",
        0x31e => "mstateen2h",
        0x31f => "mstateen3h",
        // Machine: counters.
        0xb00 => "mcycle",
        0xb02 => "minstret",
        0xb80 => "mcycleh",
        0xb82 => "minstreth",
        0x320 => "mcountinhibit",
        // Machine: advanced interrupt architecture (Smaia).
        0x308 => "mvien",
        0x309 => "mvip",
        0x313 => "midelegh",
        0x314 => "mieh",
        0x318 => "mvienh",
        0x319 => "mviph",
        0x350 => "miselect",
        0x351 => "mireg",
        0x354 => "miph",
        0x35c => "mtopei",
        0xfb0 => "mtopi",

        // Hypervisor.
        0x600 => "hstatus",
        0x602 => "hedeleg",
        0x603 => "hideleg",
        0x604 => "hie",
        0x605 => "htimedelta",
        0x615 => "htimedeltah",
        0x606 => "hcounteren",
        0x607 => "hgeie",
        0x60a => "henvcfg",
        0x61a => "henvcfgh",
        0x643 => "htval",
        0x644 => "hip",
        0x645 => "hvip",
        0x64a => "htinst",
        0x680 => "hgatp",
        0xe12 => "hgeip",
        0x60c => "hstateen0",
        0x60d => "hstateen1",
        0x60e => "hstateen2",
        0x60f => "hstateen3",
        0x61c => "hstateen0h",
        0x61d => "hstateen1h",
        0x61e => "hstateen2h",
        0x61f => "hstateen3h",
        0x608 => "hvien",
        0x609 => "hvictl",
        0x613 => "hidelegh",
        0x618 => "hvienh",
        0x646 => "hviprio1",
        0x647 => "hviprio2",
        0x655 => "hviph",
        0x656 => "hviprio1h",
        0x657 => "hviprio2h",
        // The supervisor of a guest.
        0x200 => "vsstatus",
        0x204 => "vsie",
        0x205 => "vstvec",
        0x240 => "vsscratch",
        0x241 => "vsepc",
        0x242 => "vscause",
        0x243 => "vstval",
        0x244 => "vsip",
        0x280 => "vsatp",
        0x24d => "vstimecmp",
        0x25d => "vstimecmph",
        0x214 => "vsieh",
        0x250 => "vsiselect",
        0x251 => "vsireg",
        0x254 => "vsiph",
        0x25c => "vstopei",
        0xeb0 => "vstopi",

        // Debug specification: triggers, then debug mode's own.
        0x7a0 => "tselect",
        0x7a1 => "tdata1",
        0x7a2 => "tdata2",
        0x7a3 => "tdata3",
        0x7a4 => "tinfo",
        0x7a5 => "tcontrol",
        0x7a8 => "mcontext",
        0x7aa => "mscontext",
        0x5a8 => "scontext",
        0x6a8 => "hcontext",
        0x7b0 => "dcsr",
        0x7b1 => "dpc",
        0x7b2 => "dscratch0",
        0x7b3 => "dscratch1",

        _ => return numbered_name(number),
    };
    Some(name)
}

/// The name of a register that is told from its neighbours by a number alone.
fn numbered_name(number: u16) -> Option<&'static str> {
    let (names, index): (&[&str], u16) = match number {
        0x323..=0x33f => (MHPMEVENT, number - 0x320),
        0x3a0..=0x3af => (PMPCFG, number - 0x3a0),
        0x3b0..=0x3ef => (PMPADDR, number - 0x3b0),
        0x723..=0x73f => (MHPMEVENTH, number - 0x720),
        0xb03..=0xb1f => (MHPMCOUNTER, number - 0xb00),
        0xb83..=0xb9f => (MHPMCOUNTERH, number - 0xb80),
        0xc03..=0xc1f => (HPMCOUNTER, number - 0xc00),
        0xc83..=0xc9f => (HPMCOUNTERH, number - 0xc80),
        _ => return None,
    };
    names.get(usize::from(index)).copied()
}

/// `&[prefix ++ number ++ suffix, …]` for the first 16, 32 or 64 numbers from 0.
macro_rules! numbered {
    (16, $prefix:literal, $suffix:literal) => {
        numbered!($prefix, $suffix, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
    };
    (32, $prefix:literal, $suffix:literal) => {
        numbered!($prefix, $suffix, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24
            25 26 27 28 29 30 31)
    };
    (64, $prefix:literal, $suffix:literal) => {
        numbered!($prefix, $suffix, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24
            25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54
            55 56 57 58 59 60 61 62 63)
    };
    ($prefix:literal, $suffix:literal, $($number:literal)*) => {
        &[$(concat!($prefix, $number, $suffix)),*]
    };
}

const MHPMEVENT: &[&str] = numbered!(32, "mhpmevent", "");
const MHPMEVENTH: &[&str] = numbered!(32, "mhpmevent", "h");
const MHPMCOUNTER: &[&str] = numbered!(32, "mhpmcounter", "");
const MHPMCOUNTERH: &[&str] = numbered!(32, "mhpmcounter", "h");
const HPMCOUNTER: &[&str] = numbered!(32, "hpmcounter", "");
const HPMCOUNTERH: &[&str] = numbered!(32, "hpmcounter", "h");
const PMPCFG: &[&str] = numbered!(16, "pmpcfg", "");
const PMPADDR: &[&str] = numbered!(64, "pmpaddr", "");
