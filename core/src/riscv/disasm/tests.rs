use super::*;

#[track_caller]
fn check(word: u32, expect: &str) {
    let disasm = disassemble(word, 0x1000);
    assert_eq!(disasm.to_string(), expect, "{word:#010x}");
    assert_eq!(disasm.len, if word & 0b11 == 0b11 { 4 } else { 2 });
}

// What every instruction looks like is compared with objdump in `tests/disasm_objdump.rs`; here are
// the cases that can't be, and one of each kind for the reader.

#[test]
fn base_instructions() {
    check(0xffc5_0513, "addi a0,a0,-4");
    check(0xffff_f2b7, "lui t0,0xfffff");
    check(0xffdf_f0ef, "jal ra,0xffc");
    check(0xfea5_3c23, "sd a0,-8(a0)");
    check(0x3004_f573, "csrrci a0,mstatus,9");
    check(0x5a10_1573, "csrrw a0,0x5a1,zero");
    check(0x02b5_0553, "fadd.d fa0,fa0,fa1,rne");
    check(0x02b5_7553, "fadd.d fa0,fa0,fa1");
    check(0x0665_252f, "amoadd.w.aqrl a0,t1,(a0)");
    check(0x1050_0073, "wfi");
    check(0xc000_1073, "unimp");
}

#[test]
fn compressed_instructions() {
    check(0x0000, "c.unimp");
    check(0x0004, ".2byte 0x4");
    check(0x0001, "c.addi zero,0");
    check(0x717d, "c.addi16sp sp,-16");
    check(0xbffd, "c.j 0xffe");
    check(0xffff_8082, "c.jr ra");
}

#[test]
fn words_that_objdump_shows_as_data() {
    check(0xffff_ffff, ".4byte 0xffffffff");
    // Reserved fields that we have to ignore.
    check(0x8330_808f, "fence rw,rw");
    check(0xfff0_908f, "fence.i");
    // A rounding mode that can't matter.
    check(0xd205_7553, "fcvt.d.w fa0,a0");
}

#[test]
fn base_form_of_a_compressed_instruction() {
    let inst = decode(0x8082).unwrap();
    assert_eq!(disassemble_inst(&inst, 0).to_string(), "jalr zero,0(ra)");
}
