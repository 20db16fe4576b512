/* Software, timer and supervisor interrupts: when they are taken, where they go, and waiting for them. */
#include "harness.h"

#define SSI 1
#define MSI 3
#define STI 5
#define MTI 7
#define SEI 9
#define MEI 11

        /* Expects that the next instruction is interrupted. */
        .macro interrupted number, instruction:vararg
        la      s0, 18f
        li      s1, NO_TRAP
        \instruction
17:     nop
        j       fail
18:     expect  s1, INTERRUPT | \number
        la      t6, 17b
        bne     s2, t6, fail
        expect  s3, 0
        .endm

        begin
        li      a0, MSIP
        li      a1, MTIMECMP
        li      a2, 1

        test    1               /* a store to the CLINT interrupts the next instruction */
        write_csr mie, 1 << MSI
        csrsi   mstatus, MSTATUS_MIE
        interrupted MSI, sw a2, 0(a0)
        came_from MACHINE
        expect_csr mip, 1 << MSI, 1 << MSI

        test    2               /* so does enabling it, one way or the other */
        interrupted MSI, csrsi mstatus, MSTATUS_MIE
        csrw    mie, zero
        csrsi   mstatus, MSTATUS_MIE
        li      t0, 1 << MSI
        interrupted MSI, csrs mie, t0
        /* and a return that enables it */
        set_csr mstatus, MSTATUS_MPIE
        la      s0, 1f
        li      s1, NO_TRAP
        la      t6, 2f
        csrw    mepc, t6
        set_csr mstatus, MSTATUS_MPP
        mret
2:      nop
        j       fail
1:      expect  s1, INTERRUPT | MSI
        expect_address s2, 2b

        test    3               /* the pending bit follows the device and cannot be written */
        sw      zero, 0(a0)
        expect_csr mip, -1, 0
        set_csr mip, 1 << MSI | 1 << MTI | 1 << MEI
        expect_csr mip, -1, 0

        test    4               /* masked in M-mode, it is taken in lower modes whatever MIE says */
        csrci   mstatus, MSTATUS_MIE
        write_csr mie, 1 << MSI
        sw      a2, 0(a0)
        nop
        la      s0, 1f
        li      s1, NO_TRAP
        clear_csr mstatus, MSTATUS_MPP | MSTATUS_MPIE
        la      t6, 2f
        csrw    mepc, t6
        mret
2:      nop
        j       fail
1:      expect  s1, INTERRUPT | MSI
        expect_address s2, 2b
        came_from USER
        sw      zero, 0(a0)

        test    5               /* the timer: not before its time, and at once after it */
        write_csr mie, 1 << MTI
        rdtime  t0
        addi    t0, t0, 20
        sd      t0, 0(a1)
        la      s0, 1f
        li      s1, NO_TRAP
        csrsi   mstatus, MSTATUS_MIE
2:      j       2b
1:      expect  s1, INTERRUPT | MTI
        rdtime  t1
        bltu    t1, t0, fail
        addi    t0, t0, 1
        bltu    t0, t1, fail
        expect_csr mip, 1 << MTI, 1 << MTI
        li      t0, -1
        sd      t0, 0(a1)
        expect_csr mip, 1 << MTI, 0

        test    6               /* the compare register in two halves; mtime reads as time */
        sw      zero, 0(a1)
        sw      zero, 4(a1)
        expect_csr mip, 1 << MTI, 1 << MTI
        sw      a2, 4(a1)
        expect_csr mip, 1 << MTI, 0
        ld      t0, 0(a1)
        expect  t0, 1 << 32
        li      t0, -1
        sd      t0, 0(a1)
        li      t0, MTIME
        ld      t0, 0(t0)
        rdtime  t1
        sub     t1, t1, t0
        sltiu   t1, t1, 2
        beqz    t1, fail

        test    7               /* priorities: external, software, timer; machine before supervisor */
        write_csr mie, 0xaaa
        set_csr mip, 1 << SSI | 1 << STI | 1 << SEI
        sw      a2, 0(a0)
        sd      zero, 0(a1)
        interrupted MSI, csrsi mstatus, MSTATUS_MIE
        sw      zero, 0(a0)
        interrupted MTI, csrsi mstatus, MSTATUS_MIE
        li      t0, -1
        sd      t0, 0(a1)
        interrupted SEI, csrsi mstatus, MSTATUS_MIE
        clear_csr mip, 1 << SEI
        interrupted SSI, csrsi mstatus, MSTATUS_MIE
        clear_csr mip, 1 << SSI
        interrupted STI, csrsi mstatus, MSTATUS_MIE
        clear_csr mip, 1 << STI
        expect_csr mip, -1, 0

        test    8               /* vectored: each cause has its place */
        csrr    s10, mtvec
        la      t0, vectors + 1
        csrw    mtvec, t0
        li      a4, 0
        sw      a2, 0(a0)
        csrsi   mstatus, MSTATUS_MIE
        nop
        expect  a4, MSI
        sd      zero, 0(a1)
        li      a4, 0
        csrsi   mstatus, MSTATUS_MIE
        nop
        expect  a4, MTI
        li      t0, -1
        sd      t0, 0(a1)
        csrw    mtvec, s10

        test    9               /* delegated, it does not interrupt M-mode, and S-mode only with SIE */
        write_csr mideleg, 1 << SSI | 1 << STI | 1 << SEI
        write_csr mie, 0xaaa
        csrsi   mstatus, MSTATUS_MIE
        set_csr mip, 1 << SSI
        nop
        csrci   mstatus, MSTATUS_MIE
        clear_csr mstatus, MSTATUS_SIE
        enter   SUPERVISOR
        nop
        expect_csr sip, -1, 1 << SSI
        expect_csr sie, -1, 0x222
        la      s8, 1f
        li      s5, NO_TRAP
        csrsi   sstatus, MSTATUS_SIE
2:      nop
        j       fail
1:      expect  s5, INTERRUPT | SSI
        expect_address s6, 2b
        csrci   sip, 1 << SSI
        expect_csr sip, -1, 0
        /* Enabling it in sie, with SIE set, does the same. */
        csrw    sie, zero
        csrsi   sip, 1 << SSI
        csrsi   sstatus, MSTATUS_SIE
        la      s8, 1f
        li      s5, NO_TRAP
        csrsi   sie, 1 << SSI
2:      nop
        j       fail
1:      expect  s5, INTERRUPT | SSI
        expect_address s6, 2b
        csrci   sip, 1 << SSI
        write_csr sie, -1
        expect_csr sie, -1, 0x222
        /* S-mode sets its own software interrupt, but no other. */
        set_csr sip, 0x222
        expect_csr sip, -1, 1 << SSI

        test    10              /* in U-mode it is taken without SIE */
        csrci   sstatus, MSTATUS_SIE
        clear_csr sstatus, MSTATUS_SPP | MSTATUS_SPIE
        la      s8, 1f
        li      s5, NO_TRAP
        la      t6, 2f
        csrw    sepc, t6
        sret
2:      nop
        j       fail
1:      expect  s5, INTERRUPT | SSI
        expect_address s6, 2b
        li      t6, MSTATUS_SPP
        and     t5, s9, t6
        expect  t5, 0
        csrci   sip, 1 << SSI
        to_machine

        test    11              /* what is not delegated goes to M-mode, and is not to be seen in sip and sie */
        csrw    mideleg, zero
        csrw    mie, zero
        set_csr mip, 1 << SSI
        enter   SUPERVISOR
        expect_csr sip, -1, 0
        write_csr sie, -1
        expect_csr sie, -1, 0
        to_machine
        expect_csr mie, -1, 0
        csrci   mstatus, MSTATUS_MIE
        write_csr mie, 0xaaa
        la      s0, 1f
        li      s1, NO_TRAP
        enter   SUPERVISOR
        nop
        j       fail
1:      expect  s1, INTERRUPT | SSI
        came_from SUPERVISOR
        clear_csr mip, 1 << SSI

        test    12              /* the supervisor's timer: its bit is software's without sstc */
        csrw    mie, zero
        set_csr mip, 1 << STI
        expect_csr mip, -1, 1 << STI
        clear_csr mip, 1 << STI
        csrw    stimecmp, zero
        expect_csr mip, -1, 0

        test    13              /* and follows stimecmp with it */
        set_csr menvcfg, MENVCFG_STCE
        expect_csr mip, -1, 1 << STI
        clear_csr mip, 1 << STI
        expect_csr mip, -1, 1 << STI
        write_csr stimecmp, -1
        expect_csr mip, -1, 0
        set_csr mip, 1 << STI
        expect_csr mip, -1, 0

        test    14              /* S-mode may use it if menvcfg and mcounteren both say so */
        write_csr mcounteren, 2
        enter   SUPERVISOR
        runs    csrr t0, stimecmp
        expect  t0, -1
        to_machine
        csrw    mcounteren, zero
        enter   SUPERVISOR
        traps   ILLEGAL, csrr t0, stimecmp
        write_csr mcounteren, 2
        clear_csr menvcfg, MENVCFG_STCE
        runs    csrr t0, stimecmp
        enter   SUPERVISOR
        traps   ILLEGAL, csrw stimecmp, t0
        set_csr menvcfg, MENVCFG_STCE
        enter   USER
        traps   ILLEGAL, csrr t0, stimecmp

        test    15              /* a delegated timer interrupt of S-mode, set by itself */
        write_csr mideleg, 1 << STI
        write_csr mie, 1 << STI
        enter   SUPERVISOR
        la      s8, 1f
        li      s5, NO_TRAP
        rdtime  t0
        addi    t0, t0, 10
        csrw    stimecmp, t0
        csrsi   sstatus, MSTATUS_SIE
2:      j       2b
1:      expect  s5, INTERRUPT | STI
        rdtime  t1
        bltu    t1, t0, fail
        li      t0, -1
        csrw    stimecmp, t0
        to_machine
        csrw    mideleg, zero

        test    16              /* waiting does not wait when something is pending, enabled or not by MIE */
        csrci   mstatus, MSTATUS_MIE
        write_csr mie, 1 << MSI
        sw      a2, 0(a0)
        runs    wfi
        sw      zero, 0(a0)

        test    17              /* waiting for the timer ends after wfi, with MIE and without */
        write_csr mie, 1 << MTI
        rdtime  t0
        li      t1, 1000000
        add     t0, t0, t1
        sd      t0, 0(a1)
        runs    wfi
        rdtime  t1
        bltu    t1, t0, fail
        li      t1, 1000000
        add     t0, t0, t1
        sd      t0, 0(a1)
        la      s0, 1f
        li      s1, NO_TRAP
        csrsi   mstatus, MSTATUS_MIE
        wfi
2:      nop
        j       fail
1:      expect  s1, INTERRUPT | MTI
        expect_address s2, 2b
        rdtime  t1
        bltu    t1, t0, fail
        li      t0, -1
        sd      t0, 0(a1)

        test    18              /* waiting in S-mode ends by what M-mode enabled; TW forbids it */
        rdtime  t0
        addi    t0, t0, 2000
        sd      t0, 0(a1)
        la      s0, 1f
        li      s1, NO_TRAP
        enter   SUPERVISOR
        wfi
2:      nop
        j       fail
1:      expect  s1, INTERRUPT | MTI
        expect_address s2, 2b
        came_from SUPERVISOR
        li      t0, -1
        sd      t0, 0(a1)
        set_csr mstatus, MSTATUS_TW
        enter   SUPERVISOR
        traps   ILLEGAL, wfi
        expect  s3, 0x10500073
        rdtime  t0
        addi    t0, t0, 2000
        sd      t0, 0(a1)
        csrci   mstatus, MSTATUS_MIE
        runs    wfi
        clear_csr mstatus, MSTATUS_TW

        test    19              /* what is pending at a return to a lower mode is taken before anything there */
        write_csr mie, 1 << MTI
        sd      zero, 0(a1)
        la      s0, 1f
        li      s1, NO_TRAP
        clear_csr mstatus, MSTATUS_MPP
        li      t0, 0x4000
        csrw    mepc, t0
        mret
1:      expect  s1, INTERRUPT | MTI
        expect  s2, 0x4000
        came_from USER
        csrw    mie, zero

        finish

        .balign 64
vectors:
        j       fail
        .balign 4
        j       fail
        .balign 4
        j       fail
        .balign 4
        j       vector_3
        .balign 4
        j       fail
        .balign 4
        j       fail
        .balign 4
        j       fail
        .balign 4
        j       vector_7
vector_3:
        li      a4, MSI
        sw      zero, 0(a0)
        clear_csr mstatus, MSTATUS_MPIE
        mret
vector_7:
        li      a4, MTI
        csrw    mie, zero
        write_csr mie, 1 << MSI
        clear_csr mstatus, MSTATUS_MPIE
        mret
