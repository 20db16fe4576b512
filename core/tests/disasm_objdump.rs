//! The decoder and the disassembler against binutils: the same words, the same text, and the same
//! opinion about what is an instruction.
//!
//! objdump takes a raw binary for plain RV64GC, so the words go into an object file whose attributes
//! name our extensions: what belongs to another extension is then data to objdump, and has to be
//! illegal for us.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use reprise_core::riscv::disasm::{disassemble, disassemble_inst};
use reprise_core::riscv::isa::{Format, Inst, Op, decode};

/// The instruction set, for the assembler and for the attribute that objdump obeys.
const ARCH: &str = "rv64imafdc_zicsr_zifencei_zba_zbb_zbs";
/// How often each row of the table is tried with its free bits at random.
const FILLS_PER_ROW: usize = 1200;
/// How often each row is tried with one of its fixed bits wrong.
const NEIGHBOURS_PER_ROW: usize = 300;
/// How many words have nothing to do with the table.
const RANDOM_WORDS: usize = 60_000;

#[test]
fn every_parcel_reads_as_objdump_reads_it() {
    let parcels = compressed_parcels();
    let mut code = Vec::new();
    for parcel in &parcels {
        code.extend_from_slice(&parcel.to_le_bytes());
    }
    let listing = objdump("parcels", &code);
    let words = parcels
        .iter()
        .enumerate()
        .map(|(at, &parcel)| (at as u64 * 2, u32::from(parcel)));
    compare(words, &listing);
}

#[test]
fn words_read_as_objdump_reads_them() {
    let words = interesting_words();
    assert!(words.len() >= 200_000);
    let mut code = Vec::new();
    for word in &words {
        code.extend_from_slice(&word.to_le_bytes());
    }
    let listing = objdump("words", &code);
    compare(
        words
            .iter()
            .enumerate()
            .map(|(at, &word)| (at as u64 * 4, word)),
        &listing,
    );
}

/// The base instruction that we say a parcel expands to is given to the assembler, which must
/// compress it to that parcel.
#[test]
fn parcels_expand_to_what_assembles_back_to_them() {
    let mut source = format!(".attribute arch, \"{ARCH}\"\n.option rvc\n");
    let mut expected = Vec::new();
    for parcel in compressed_parcels() {
        if let Some(inst) = decode(u32::from(parcel))
            && !is_hint(&inst)
        {
            expected.push((parcel, inst));
            writeln!(source, "{}", relative_base_form(&inst)).unwrap();
        }
    }
    assert!(expected.len() > 40_000);
    let folder = Folder::new("assemble");
    fs::write(folder.0.join("code.s"), source).unwrap();
    run(
        &folder.0,
        "riscv64-linux-gnu-as",
        ["-march", ARCH, "-o", "code.o", "code.s"],
    );
    run(
        &folder.0,
        "riscv64-linux-gnu-objcopy",
        ["-O", "binary", "-j", ".text", "code.o", "code.bin"],
    );
    let code = fs::read(folder.0.join("code.bin")).unwrap();
    for ((parcel, inst), found) in expected.iter().zip(code.chunks_exact(2)) {
        let found = u16::from_le_bytes([found[0], found[1]]);
        // Adding a multiple of 16 to the stack pointer has two encodings.
        let same = found == *parcel || (inst.rd == 2 && decode(u32::from(found)) == Some(*inst));
        assert!(
            same,
            "{parcel:#06x} expands to {inst:?}, which assembles to {found:#06x}"
        );
    }
    assert_eq!(
        code.len(),
        expected.len() * 2,
        "something was not compressed"
    );
}

/// Assemblers do not compress to hints, and there is nothing to learn from them: they do nothing.
fn is_hint(inst: &Inst) -> bool {
    let writes_zero = match inst.op.encoding().format {
        Format::R | Format::I | Format::Shift6 | Format::U => inst.rd == 0,
        _ => false,
    };
    let moves_nothing = inst.rd == inst.rs1
        && inst.imm == 0
        && matches!(inst.op, Op::Addi | Op::Slli | Op::Srli | Op::Srai);
    writes_zero || moves_nothing
}

/// The text of the base instruction, as the assembler wants it before it compresses: jumps and
/// branches relative to where they stand, and those that drop the return address or have no offset
/// by the names which say so.
fn relative_base_form(inst: &Inst) -> String {
    let text = disassemble_inst(inst, 0).to_string();
    match (inst.op, inst.op.encoding().format, text.rsplit_once(',')) {
        (Op::Jalr, ..) if inst.rd == 0 && inst.imm == 0 => format!("jr x{}", inst.rs1),
        (Op::Jalr, ..) if inst.rd == 1 && inst.imm == 0 => format!("jalr x{}", inst.rs1),
        (Op::Jal, ..) if inst.rd == 0 => format!("j .{:+}", inst.imm),
        (_, Format::B, Some((front, _))) => format!("{front},.{:+}", inst.imm),
        _ => text,
    }
}

/// What objdump and we are allowed to differ in; everything else has to be equal.
fn expected_text(word: u32, objdump: &str) -> Option<&'static str> {
    let mnemonic = objdump.split(' ').next().unwrap_or_default();
    let op = decode(word).map(|inst| inst.op);
    let is_data = mnemonic == ".4byte";
    match (mnemonic, op) {
        // Instructions of drafts and of the debug mode, which binutils counts as part of the base.
        ("dret" | "hret" | "uret" | "sfence.vm", None) => Some(".4byte"),
        // An adjustment of 0 is reserved (RISC-V Unprivileged, "C" Extension).
        ("c.addi16sp", None) if word == 0x6101 => Some(".2byte"),
        // Implementations have to ignore the reserved fields of fences; binutils does not.
        (_, Some(Op::Fence)) if is_data && word & 0xf00f_8f80 != 0 => Some("fence"),
        (_, Some(Op::FenceI)) if is_data && word & 0xffff_8f80 != 0 => Some("fence.i"),
        // Any rounding mode is legal where every result is exact; binutils knows only 0.
        (_, Some(Op::FcvtDW)) if is_data && word >> 12 & 7 != 0 => Some("fcvt.d.w"),
        (_, Some(Op::FcvtDWu)) if is_data && word >> 12 & 7 != 0 => Some("fcvt.d.wu"),
        (_, Some(Op::FcvtDS)) if is_data && word >> 12 & 7 != 0 => Some("fcvt.d.s"),
        _ => None,
    }
}

/// Panics with a list of what differs.
fn compare(words: impl Iterator<Item = (u64, u32)>, listing: &BTreeMap<u64, String>) {
    let mut differences = Vec::new();
    for (address, word) in words {
        let theirs = listing.get(&address).map_or("", String::as_str);
        let ours = disassemble(word, address);
        let legal = !ours.mnemonic.ends_with("byte") && ours.mnemonic != "c.unimp";
        assert_eq!(legal, decode(word).is_some(), "{word:#010x}: {ours}");
        let equal = match expected_text(word, theirs) {
            Some(mnemonic) => ours.mnemonic == mnemonic,
            None => ours.to_string() == theirs,
        };
        if !equal {
            differences.push(format!("{word:#010x}: ours {ours:?}, objdump's {theirs:?}"));
        }
    }
    let shown = differences.len().min(40);
    assert!(
        differences.is_empty(),
        "{} words differ, the first of them:\n{}",
        differences.len(),
        differences[..shown].join("\n")
    );
}

/// Everything of 16 bits that is not the start of something longer.
fn compressed_parcels() -> Vec<u16> {
    (0..=u16::MAX)
        .filter(|parcel| parcel & 0b11 != 0b11)
        .collect()
}

/// Words of 32 bits: every row of the table many times, near misses, all CSRs, and chance.
fn interesting_words() -> Vec<u32> {
    let mut random = SplitMix(0x5eed);
    let mut words = Vec::new();
    for row in Op::encodings() {
        for fill in [0, u32::MAX] {
            words.push(row.match_bits | fill & !row.mask);
        }
        for _ in 0..FILLS_PER_ROW {
            words.push(row.match_bits | random.next() & !row.mask);
        }
        for _ in 0..NEIGHBOURS_PER_ROW {
            let wrong = 1 << (random.next() % 30 + 2) & row.mask;
            words.push((row.match_bits ^ wrong) | random.next() & !row.mask);
        }
    }
    words.extend((0..4096).map(|csr| csr << 20 | 0x0000_10f3));
    // Fixed bits are many in the system instructions: flip every one and every two of them.
    for system in [
        0x0000_0073,
        0x0010_0073,
        0x1020_0073,
        0x3020_0073,
        0x1050_0073,
        0x1200_0073,
    ] {
        for first in 2..32 {
            words.extend((first..32).map(|second| system ^ (1 << first) ^ (1 << second)));
        }
    }
    words.extend((0..RANDOM_WORDS).map(|_| random.next() | 0b11));
    // Five ones at the bottom start an instruction of more than 32 bits, which objdump would skip
    // as a whole.
    words.retain(|word| word & 0x1f != 0x1f);
    words
}

/// A small generator of numbers that are the same in every run.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 32) as u32
    }
}

/// Disassembles `code` as if it stood at address 0: one line for each address, with single spaces.
fn objdump(name: &str, code: &[u8]) -> BTreeMap<u64, String> {
    let folder = Folder::new(name);
    fs::write(folder.0.join("code.bin"), code).unwrap();
    let source = format!(".attribute arch, \"{ARCH}\"\n.text\n.incbin \"code.bin\"\n");
    fs::write(folder.0.join("code.s"), source).unwrap();
    run(
        &folder.0,
        "riscv64-linux-gnu-as",
        ["-march", ARCH, "-o", "code.o", "code.s"],
    );
    // Without symbols nothing says which bytes are data, and targets are printed as numbers.
    run(
        &folder.0,
        "riscv64-linux-gnu-objcopy",
        ["--strip-all", "code.o"],
    );
    let listing = run(
        &folder.0,
        "riscv64-linux-gnu-objdump",
        [
            "--disassemble-all",
            "--disassemble-zeroes",
            "-j",
            ".text",
            "-M",
            "no-aliases",
            "code.o",
        ],
    );
    listing.lines().filter_map(parse_line).collect()
}

/// Takes `   addr:<tab>bytes<tab>mnemonic<tab>operands # comment` apart.
fn parse_line(line: &str) -> Option<(u64, String)> {
    let (address, rest) = line.split_once(":\t")?;
    let address = u64::from_str_radix(address.trim(), 16).ok()?;
    let (_bytes, text) = rest.split_once('\t')?;
    let text = text.split(" # ").next().unwrap_or_default();
    Some((
        address,
        text.split_whitespace().collect::<Vec<_>>().join(" "),
    ))
}

/// Runs one of binutils' tools and gives what it printed.
fn run<const N: usize>(folder: &Path, tool: &str, arguments: [&str; N]) -> String {
    let output = Command::new(tool)
        .args(arguments.map(OsStr::new))
        .current_dir(folder)
        .output();
    let output = output.unwrap_or_else(|error| {
        panic!("{tool} can't be run ({error}); install Debian's package binutils-riscv64-linux-gnu")
    });
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{tool}: {}",
        complaint.lines().take(5).collect::<Vec<_>>().join("; ")
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A folder of this process, removed when done.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("objdump-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind lies in cargo's own folder for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}
