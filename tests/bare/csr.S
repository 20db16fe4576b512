/* Which CSRs may be accessed from where, counters, and floating-point state. */
#include "harness.h"
        begin

        test    1               /* what does not exist */
        traps   ILLEGAL, csrr t0, 0x5c0
        expect  s3, 0x5c0022f3
        traps   ILLEGAL, csrr t0, 0x3a1
        traps   ILLEGAL, csrr t0, 0x7b0
        traps   ILLEGAL, csrw 0x8ff, t0
        traps   ILLEGAL, csrr t0, 0xc81

        test    2               /* read-only ones may be read, and "set" by x0 */
        runs    csrr t0, mhartid
        expect  t0, 0
        traps   ILLEGAL, csrw mhartid, t0
        traps   ILLEGAL, csrw cycle, t0
        traps   ILLEGAL, csrrwi t0, instret, 0
        traps   ILLEGAL, csrrsi t0, time, 1
        li      t1, 0
        traps   ILLEGAL, csrrc t0, cycle, t1
        runs    csrrsi t0, mvendorid, 0
        runs    csrrci t0, marchid, 0
        runs    csrrc t0, mimpid, x0

        test    3               /* a trapping access changes nothing */
        li      t0, 77
        traps   ILLEGAL, csrrw t0, cycle, t0
        expect  t0, 77

        test    4               /* old value out, new value in */
        li      t0, 5
        csrw    mscratch, t0
        li      t0, 6
        csrrw   t0, mscratch, t0
        expect  t0, 5
        csrrsi  t0, mscratch, 9
        expect  t0, 6
        csrrci  t0, mscratch, 3
        expect  t0, 15
        li      t1, 0x30
        csrrs   t1, mscratch, t1
        expect  t1, 12
        li      t1, 0x18
        csrrc   t0, mscratch, t1
        expect  t0, 0x3c
        expect_csr mscratch, -1, 0x24

        test    5               /* modes */
        enter   SUPERVISOR
        traps   ILLEGAL, csrr t0, mscratch
        enter   SUPERVISOR
        traps   ILLEGAL, csrr t0, mip
        enter   SUPERVISOR
        runs    csrr t0, sscratch
        to_machine
        enter   USER
        traps   ILLEGAL, csrr t0, sscratch
        enter   USER
        traps   ILLEGAL, csrw sepc, t0

        test    6               /* TVM */
        set_csr mstatus, MSTATUS_TVM
        enter   SUPERVISOR
        traps   ILLEGAL, csrr t0, satp
        enter   SUPERVISOR
        traps   ILLEGAL, csrw satp, x0
        enter   SUPERVISOR
        traps   ILLEGAL, sfence.vma
        runs    csrr t0, satp
        runs    sfence.vma
        clear_csr mstatus, MSTATUS_TVM
        enter   SUPERVISOR
        runs    sfence.vma x0, t0
        runs    csrr t0, satp
        to_machine

        test    7               /* counters below M-mode need mcounteren, and in U-mode scounteren as well */
        csrw    mcounteren, zero
        write_csr scounteren, 7
        enter   SUPERVISOR
        traps   ILLEGAL, rdcycle t0
        enter   USER
        traps   ILLEGAL, rdinstret t0
        write_csr mcounteren, 7
        enter   SUPERVISOR
        runs    rdcycle t0
        runs    rdtime t0
        runs    rdinstret t0
        csrw    scounteren, zero
        runs    rdcycle t0
        to_machine
        enter   USER
        traps   ILLEGAL, rdtime t0
        write_csr scounteren, 2
        enter   USER
        runs    rdtime t0
        traps   ILLEGAL, rdcycle t0
        write_csr mcounteren, 5
        enter   USER
        traps   ILLEGAL, rdtime t0
        enter   SUPERVISOR
        traps   ILLEGAL, csrr t0, hpmcounter3
        write_csr mcounteren, -1
        enter   SUPERVISOR
        runs    csrr t0, hpmcounter31
        expect  t0, 0
        to_machine

        test    8               /* a written counter has the value at the next instruction, then counts */
        li      t0, 1000
        csrw    mcycle, t0
        csrr    t1, mcycle
        csrr    t2, mcycle
        nop
        csrr    t3, cycle
        expect  t1, 1000
        expect  t2, 1001
        expect  t3, 1003
        li      t0, -3
        csrw    minstret, t0
        csrr    t1, minstret
        nop
        csrr    t2, minstret
        csrr    t3, instret
        expect  t1, -3
        expect  t2, -1
        expect  t3, 0

        test    9               /* instret leaves out what does not retire: a call and its trap */
        la      s0, 1f
        csrr    t0, minstret
        ecall
1:      csrr    t1, minstret
        sub     t1, t1, t0
        /* csrr, then the handler: 4 reads, bgez, csrw, li (lui, addiw), csrs, mret. */
        expect  t1, 11

        test    10              /* other counters are there and stay zero */
        csrr    t0, mhpmcounter3
        expect  t0, 0
        li      t0, -1
        csrw    mhpmcounter3, t0
        csrw    mhpmevent3, t0
        csrr    t0, mhpmcounter3
        expect  t0, 0
        csrw    0x320, t0
        csrr    t0, 0x320
        expect  t0, 0

        test    11              /* misa: RV64 with A B C D F I M S U, whatever is written */
        csrw    misa, zero
        expect_csr misa, -1, 2 << 62 | 0x14112f

        test    12              /* floating point switched off */
        clear_csr mstatus, MSTATUS_FS
        traps   ILLEGAL, fadd.s fa0, fa0, fa0
        traps   ILLEGAL, c.fld fa0, 0(a0)
        traps   ILLEGAL, fsd fa0, 0(sp)
        traps   ILLEGAL, fmv.x.d t0, fa0
        traps   ILLEGAL, csrr t0, fflags
        traps   ILLEGAL, csrw frm, x0
        traps   ILLEGAL, csrr t0, fcsr
        expect_csr mstatus, 1 << 63, 0
        enter   SUPERVISOR
        traps   ILLEGAL, fmv.d.x fa0, x0

        test    13              /* FS becomes dirty by a write of a register or flag, not by a read */
        set_csr mstatus, 1 << 13
        csrw    fcsr, zero
        expect_csr mstatus, MSTATUS_FS, MSTATUS_FS
        expect_csr mstatus, 1 << 63, 1 << 63
        expect_csr sstatus, 1 << 63, 1 << 63
        clear_csr mstatus, 1 << 14
        fmv.x.d t0, fa0
        feq.s   t0, fa0, fa0
        fsd     fa0, -16(sp)
        csrr    t0, fcsr
        expect_csr mstatus, MSTATUS_FS, 1 << 13
        fmv.d.x fa0, x0
        expect_csr mstatus, MSTATUS_FS, MSTATUS_FS
        clear_csr mstatus, 1 << 14
        li      t0, 0x7f800001
        fmv.w.x fa1, t0
        clear_csr mstatus, 1 << 14
        feq.s   t0, fa1, fa1
        expect_csr mstatus, MSTATUS_FS, MSTATUS_FS
        csrr    t0, fflags
        expect  t0, 16
        fsflags x0

        test    14              /* switched off and on again, code means the other thing at once */
        li      t3, 3
1:      li      t1, MSTATUS_FS
        la      s0, 3f
        li      s1, NO_TRAP
        csrc    mstatus, t1
2:      fmv.d.x fa0, t3
3:      expect  s1, ILLEGAL
        li      t1, MSTATUS_FS
        csrs    mstatus, t1
        la      s0, 4f
        li      s1, NO_TRAP
        fmv.d.x fa0, t3
4:      expect  s1, NO_TRAP
        addi    t3, t3, -1
        bnez    t3, 1b

        test    15              /* reserved rounding modes */
        fsrm    x0
        traps   ILLEGAL, .word 0x00005553       /* fadd.s with rm 5 */
        traps   ILLEGAL, .word 0x00006553
        li      t0, 5
        fsrm    t0
        frrm    t0
        expect  t0, 5
        traps   ILLEGAL, fadd.d fa0, fa0, fa0
        runs    fadd.d fa0, fa0, fa0, rtz
        runs    fsgnj.d fa0, fa0, fa0
        li      t0, 7
        fsrm    t0
        traps   ILLEGAL, fsqrt.s fa0, fa0
        csrw    fcsr, zero
        li      t0, -1
        csrw    fcsr, t0
        csrr    t0, fcsr
        expect  t0, 0xff
        csrw    fcsr, zero

        test    16              /* sstatus is a window on mstatus */
        csrw    mstatus, zero
        li      t0, -1
        csrw    sstatus, t0
        expect_csr mstatus, -1, 1 << 63 | 0xa << 32 | 0xc6122
        expect_csr sstatus, -1, 1 << 63 | 0x2 << 32 | 0xc6122
        set_csr mstatus, MSTATUS_MPP | MSTATUS_MPRV | MSTATUS_TVM
        expect_csr sstatus, MSTATUS_MPP | MSTATUS_MPRV | MSTATUS_TVM, 0
        clear_csr mstatus, -1
        set_csr mstatus, MSTATUS_FS

        test    17              /* environment configuration keeps what there is */
        li      t0, -1
        csrw    menvcfg, t0
        expect_csr menvcfg, -1, 0xa << 60 | 1
        csrw    senvcfg, t0
        expect_csr senvcfg, -1, 1
        csrw    menvcfg, zero

        test    18              /* counting zeros of nothing (left out where QEMU is the judge) */
        li      t0, 0x100000000
        ctzw    t1, t0
        expect  t1, 32
        clzw    t1, t0
        expect  t1, 32
        ctz     t1, x0
        expect  t1, 64

        finish
