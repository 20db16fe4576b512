/* Physical memory protection. */
#include "harness.h"

#define R       1
#define W       2
#define X       4
#define OFF     0
#define TOR     0x08
#define NA4     0x10
#define NAPOT   0x18
#define L       0x80

        .macro set_address entry, value
        la      t6, \value
        srli    t6, t6, 2
        csrw    pmpaddr\entry, t6
        .endm

        /* A naturally aligned region of a power of two of bytes. */
        .macro set_napot entry, value, bytes
        la      t6, \value
        srli    t6, t6, 2
        ori     t6, t6, (\bytes) / 8 - 1
        csrw    pmpaddr\entry, t6
        .endm

        begin
        la      a0, area
        li      a1, 77

        test    1               /* nothing matches: S-mode and U-mode may not, M-mode may */
        csrw    pmpcfg2, x0
        access_traps SUPERVISOR, LOAD_ACCESS, ld t0, 0(a0)
        bne     s3, a0, fail
        access_traps USER, STORE_ACCESS, sd a1, 0(a0)
        runs    sd a1, 0(a0)
        la      s0, 1f
        li      s1, NO_TRAP
        enter   USER
        nop
        j       fail
1:      expect  s1, FETCH_ACCESS
        came_from USER

        test    2               /* a region of a power of two: 64 bytes to read */
        set_napot 0, area + 64, 64
        write_csr pmpcfg0, NAPOT | R
        access_runs SUPERVISOR, ld t0, 64(a0)
        access_runs USER, ld t0, 120(a0)
        access_traps USER, LOAD_ACCESS, ld t0, 56(a0)
        access_traps USER, LOAD_ACCESS, ld t0, 128(a0)
        access_traps USER, STORE_ACCESS, sd t0, 64(a0)
        access_traps USER, LOAD_ACCESS, ld t0, 60(a0)
        access_traps USER, LOAD_ACCESS, lw t0, 126(a0)
        access_runs USER, lw t0, 124(a0)
        access_traps USER, STORE_ACCESS, amoadd.d t0, t0, (a0)

        test    3               /* permissions take effect at once, again and again */
        li      a2, 10
1:      write_csr pmpcfg0, NAPOT | R | W
        access_runs USER, sd a2, 64(a0)
        access_runs USER, ld t0, 64(a0)
        bne     t0, a2, fail
        write_csr pmpcfg0, NAPOT | R
        access_traps USER, STORE_ACCESS, sd x0, 64(a0)
        write_csr pmpcfg0, NAPOT | X
        access_traps USER, LOAD_ACCESS, ld t0, 64(a0)
        addi    a2, a2, -1
        bnez    a2, 1b

        test    4               /* four bytes */
        set_address 0, area + 8
        write_csr pmpcfg0, NA4 | R | W
        access_runs USER, lw t0, 8(a0)
        access_runs USER, sb t0, 11(a0)
        access_traps USER, LOAD_ACCESS, ld t0, 8(a0)
        access_traps USER, LOAD_ACCESS, lw t0, 4(a0)
        access_traps USER, LOAD_ACCESS, lbu t0, 12(a0)

        test    5               /* from the entry below to this one, and from zero */
        set_address 0, area + 16
        set_address 1, area + 48
        write_csr pmpcfg0, (TOR | R | W) << 8
        access_runs USER, ld t0, 16(a0)
        access_runs USER, sd t0, 40(a0)
        access_traps USER, LOAD_ACCESS, ld t0, 8(a0)
        access_traps USER, LOAD_ACCESS, ld t0, 48(a0)
        access_traps USER, LOAD_ACCESS, ld t0, 12(a0)
        write_csr pmpcfg0, TOR | R
        access_runs USER, ld t0, 8(a0)
        access_traps USER, LOAD_ACCESS, ld t0, 16(a0)
        la      t0, _start
        access_runs USER, lw t0, 0(t0)
        /* Nothing is between a higher address and a lower. */
        set_address 0, area + 48
        set_address 1, area + 16
        write_csr pmpcfg0, (TOR | R | W) << 8
        access_traps USER, LOAD_ACCESS, ld t0, 16(a0)
        access_traps USER, LOAD_ACCESS, ld t0, 40(a0)

        test    6               /* the lowest entry decides, even for part of an access */
        set_address 0, area + 4
        set_napot 1, area, 64
        write_csr pmpcfg0, NA4 | (NAPOT | R | W) << 8
        access_runs USER, lw t0, 0(a0)
        access_traps USER, LOAD_ACCESS, lw t0, 4(a0)
        access_traps USER, LOAD_ACCESS, ld t0, 0(a0)
        access_runs USER, sd t0, 8(a0)
        write_csr pmpcfg0, NA4 | R | W | (NAPOT | R | W) << 8
        access_traps USER, LOAD_ACCESS, ld t0, 0(a0)
        access_runs USER, lw t0, 4(a0)

        test    7               /* regions within a page, in turn, so that no page may be remembered whole */
        set_napot 0, area, 2048
        write_csr pmpcfg0, NAPOT | R | W
        li      a2, 10
        li      a3, 2040
        add     a3, a3, a0
1:      access_runs USER, sd a2, 0(a3)
        access_traps USER, STORE_ACCESS, sd a2, 8(a3)
        access_runs USER, ld t0, 0(a3)
        bne     t0, a2, fail
        access_traps USER, LOAD_ACCESS, ld t0, 8(a3)
        addi    a2, a2, -1
        bnez    a2, 1b

        test    8               /* code within a page: it runs until it leaves the region */
        la      t6, routine
        srli    t6, t6, 2
        csrw    pmpaddr0, t6
        la      t6, routine_middle
        srli    t6, t6, 2
        csrw    pmpaddr1, t6
        write_csr pmpcfg0, (TOR | X) << 8
        li      a4, 3
1:      li      a5, 0
        la      s0, 2f
        li      s1, NO_TRAP
        clear_csr mstatus, MSTATUS_MPP
        la      t6, routine
        csrw    mepc, t6
        mret
2:      expect  s1, FETCH_ACCESS
        expect_address s2, routine_middle
        expect_address s3, routine_middle
        expect  a5, 2
        addi    a4, a4, -1
        bnez    a4, 1b

        test    9               /* write without read is reserved and not kept */
        write_csr pmpcfg0, NAPOT | W
        csrr    t0, pmpcfg0
        andi    t0, t0, R | W
        li      t1, W
        beq     t0, t1, fail
        write_csr pmpcfg0, 0x7f
        expect_csr pmpcfg0, 0x60, 0
        csrw    pmpcfg0, x0

        test    10              /* addresses have 54 bits; entries after the sixteenth are zero */
        write_csr pmpaddr0, -1
        expect_csr pmpaddr0, -1, (1 << 54) - 1
        write_csr pmpaddr16, -1
        expect_csr pmpaddr16, -1, 0
        write_csr pmpcfg4, -1
        expect_csr pmpcfg4, -1, 0
        traps   ILLEGAL, csrr t0, pmpcfg1

        test    11              /* a table that may not be read is an access fault of the access's kind */
        la      t5, tables
        li      t6, 0x80000000 >> 2 | 0xc7
        sd      t6, 16(t5)
        la      t6, tables
        srli    t6, t6, 12
        li      t0, 8 << 60
        or      t6, t6, t0
        csrw    satp, t6
        li      t6, -1
        csrw    pmpaddr7, t6
        li      t6, (NAPOT | R | W | X) << 56
        csrw    pmpcfg0, t6
        access_runs SUPERVISOR, ld t0, 0(a0)
        set_napot 0, tables, 4096
        csrsi   pmpcfg0, NAPOT
        access_traps SUPERVISOR, LOAD_ACCESS, ld t0, 0(a0)
        bne     s3, a0, fail
        access_traps SUPERVISOR, STORE_ACCESS, sd t0, 0(a0)
        /* It may be read, yet not written to set A and D. */
        csrsi   pmpcfg0, R
        access_runs SUPERVISOR, sd t0, 0(a0)
        li      t6, 0x80000000 >> 2 | 0x7
        sd      t6, 16(t5)
        la      t5, tables
        sd      t6, 16(t5)
        set_csr menvcfg, MENVCFG_ADUE
        access_traps SUPERVISOR, LOAD_ACCESS, ld t0, 0(a0)
        ld      t1, 16(t5)
        la      t5, tables
        ld      t1, 16(t5)
        andi    t1, t1, 0xc0
        bnez    t1, fail
        csrsi   pmpcfg0, W
        access_runs SUPERVISOR, sd t0, 0(a0)
        csrw    satp, x0
        csrw    pmpcfg0, x0

        test    12              /* whole pages, which may be remembered: permissions change, */
        set_napot 0, area, 4096
        li      a2, 5
1:      write_csr pmpcfg0, NAPOT | R | W
        access_runs USER, ld t0, 0(a0)
        access_runs USER, sd a2, 0(a0)
        access_runs USER, ld t0, 0(a0)
        bne     t0, a2, fail
        write_csr pmpcfg0, NAPOT | R
        access_runs USER, ld t0, 0(a0)
        access_traps USER, STORE_ACCESS, sd x0, 0(a0)
        write_csr pmpcfg0, NAPOT
        access_traps USER, LOAD_ACCESS, ld t0, 0(a0)
        addi    a2, a2, -1
        bnez    a2, 1b

        test    13              /* and regions move */
        write_csr pmpcfg0, NAPOT | R | W
        li      a2, 5
1:      set_napot 0, area, 4096
        access_runs USER, ld t0, 8(a0)
        access_runs USER, sd a2, 8(a0)
        set_napot 0, tables, 4096
        access_traps USER, LOAD_ACCESS, ld t0, 8(a0)
        access_traps USER, STORE_ACCESS, sd x0, 8(a0)
        addi    a2, a2, -1
        bnez    a2, 1b

        test    14              /* code in a whole page */
        la      t0, routine
        la      t1, tables
        lw      t2, 0(t0)
        sw      t2, 0(t1)
        lw      t2, 12(t0)
        sw      t2, 4(t1)
        li      a2, 5
1:      write_csr pmpcfg0, NAPOT | X
        la      s0, 2f
        clear_csr mstatus, MSTATUS_MPP
        la      t6, tables
        csrw    mepc, t6
        mret
2:      expect  s1, ECALL_U
        write_csr pmpcfg0, NAPOT | R
        la      s0, 2f
        clear_csr mstatus, MSTATUS_MPP
        la      t6, tables
        csrw    mepc, t6
        mret
2:      expect  s1, FETCH_ACCESS
        expect_address s2, tables
        addi    a2, a2, -1
        bnez    a2, 1b
        csrw    pmpcfg0, x0

        test    15              /* locked entries bind M-mode too, and stay */
        set_napot 2, area, 64
        li      t0, (L | NAPOT | R) << 16
        csrw    pmpcfg0, t0
        runs    ld t0, 0(a0)
        traps   STORE_ACCESS, sd t0, 0(a0)
        bne     s3, a0, fail
        traps   LOAD_ACCESS, ld t0, 60(a0)
        runs    sd t0, 64(a0)
        csrw    pmpcfg0, x0
        expect_csr pmpcfg0, -1, (L | NAPOT | R) << 16
        csrr    t1, pmpaddr2
        csrw    pmpaddr2, x0
        csrr    t2, pmpaddr2
        bne     t1, t2, fail
        traps   STORE_ACCESS, sd t0, 0(a0)
        access_runs USER, ld t0, 0(a0)
        /* The address below a locked one of the other kind is locked with it. */
        set_address 5, area + 128
        set_address 4, area + 64
        li      t0, (L | TOR) << 40
        csrs    pmpcfg0, t0
        csrr    t1, pmpaddr4
        csrw    pmpaddr4, x0
        csrr    t2, pmpaddr4
        bne     t1, t2, fail
        traps   LOAD_ACCESS, ld t0, 64(a0)
        traps   LOAD_ACCESS, ld t0, 120(a0)
        runs    ld t0, 128(a0)

        finish

        .balign 64
        .option push
        .option norvc
routine:
        addi    a5, a5, 1
        addi    a5, a5, 1
routine_middle:
        addi    a5, a5, 1
        ecall
        .option pop

        .bss
        .balign 4096
area:   .skip   4096
tables: .skip   4096
