/* Loads and stores: extension, misalignment; atomics and reservations. */
#include "harness.h"
        begin

        test    1               /* extension */
        la      a0, pattern
        lb      t0, 7(a0)
        expect  t0, -8
        lbu     t0, 7(a0)
        expect  t0, 0xf8
        lh      t0, 6(a0)
        expect  t0, -0x709
        lhu     t0, 6(a0)
        expect  t0, 0xf8f7
        lw      t0, 4(a0)
        expect  t0, -0x708090b
        lwu     t0, 4(a0)
        expect  t0, 0xf8f7f6f5
        ld      t0, 0(a0)
        expect  t0, 0xf8f7f6f504030201

        test    2               /* every offset, width and direction, twice so that caches answer too */
        li      a4, 2
1:      la      a0, pattern
        la      a1, buffer
        li      a2, 40
2:      lwu     t0, 0(a0)
        lhu     t1, 4(a0)
        lbu     t2, 6(a0)
        slli    t1, t1, 32
        slli    t2, t2, 48
        or      t0, t0, t1
        or      t0, t0, t2
        ld      t3, 0(a0)
        slli    t3, t3, 8
        srli    t3, t3, 8
        bne     t0, t3, fail
        sd      x0, 0(a1)
        sw      t0, 0(a1)
        srli    t0, t0, 32
        sh      t0, 4(a1)
        srli    t0, t0, 16
        sb      t0, 6(a1)
        ld      t0, 0(a1)
        bne     t0, t3, fail
        fld     fa0, 0(a0)
        fsd     fa0, 16(a1)
        ld      t0, 16(a1)
        ld      t3, 0(a0)
        bne     t0, t3, fail
        addi    a0, a0, 1
        addi    a1, a1, 1
        addi    a2, a2, -1
        bnez    a2, 2b
        addi    a4, a4, -1
        bnez    a4, 1b

        test    3               /* across pages of RAM */
        la      a0, page_end - 8
        li      a1, 0x1122334455667788
        li      a2, 8
1:      sd      a1, 0(a0)
        ld      t0, 0(a0)
        bne     t0, a1, fail
        addi    a0, a0, 1
        addi    a1, a1, 0x11
        addi    a2, a2, -1
        bnez    a2, 1b

        test    4               /* half in RAM is not in RAM, and stores nothing */
        li      a0, 0x80000000 - 4
        traps   LOAD_ACCESS, ld t0, 0(a0)
        lwu     t1, 4(a0)
        traps   STORE_ACCESS, sd x0, 0(a0)
        lwu     t2, 4(a0)
        bne     t1, t2, fail

        test    5               /* devices take aligned accesses only */
        li      a0, MTIMECMP
        traps   LOAD_ACCESS, lw t0, 2(a0)
        traps   STORE_ACCESS, sw t0, 1(a0)

        test    10              /* a reservation is used up by the store */
        la      a0, buffer
        li      a1, 5
        li      a2, 6
        sd      a1, 0(a0)
        lr.d    t0, (a0)
        expect  t0, 5
        sc.d    t1, a2, (a0)
        expect  t1, 0
        sc.d    t1, a1, (a0)
        beqz    t1, fail
        ld      t0, 0(a0)
        expect  t0, 6

        test    11              /* a store to another set fails, and ends the reservation */
        la      a3, buffer + 128
        sd      a1, 0(a3)
        lr.d    t0, (a0)
        sc.d    t1, a2, (a3)
        beqz    t1, fail
        ld      t0, 0(a3)
        expect  t0, 5
        sc.d    t1, a1, (a0)
        beqz    t1, fail
        ld      t0, 0(a0)
        expect  t0, 6

        test    12              /* the last lr counts; words */
        lr.w    t0, (a0)
        li      t2, -7
        sw      t2, 0(a3)
        lr.w    t0, (a3)
        expect  t0, -7
        sc.w    t1, a1, (a0)
        beqz    t1, fail
        lr.w    t0, (a3)
        sc.w.rl t1, a1, (a3)
        expect  t1, 0
        lw      t0, 0(a3)
        expect  t0, 5

        test    13              /* a reservation lives through loads, plain stores elsewhere and branches */
        lr.d    t0, (a0)
        sd      a2, 0(a3)
        ld      t0, 0(a0)
        j       1f
1:      sc.d    t1, a1, (a0)
        expect  t1, 0

        test    14              /* sc without lr, into x0 */
        sc.d    x0, a2, (a0)
        ld      t0, 0(a0)
        expect  t0, 5

        test    15              /* misaligned atomics trap */
        addi    a4, a0, 2
        traps   LOAD_MISALIGNED, lr.w t0, (a4)
        bne     s3, a4, fail
        traps   STORE_MISALIGNED, sc.w t0, a1, (a4)
        traps   STORE_MISALIGNED, amoadd.w t0, a1, (a4)
        addi    a4, a0, 4
        traps   LOAD_MISALIGNED, lr.d t0, (a4)
        traps   STORE_MISALIGNED, amoswap.d t0, a1, (a4)
        bne     s3, a4, fail

        test    16              /* words of amo: sign-extended out, the other half alone */
        li      t0, 0x7fffffff80000000
        sd      t0, 0(a0)
        li      t1, 1
        amoadd.w t2, t1, (a0)
        expect  t2, -0x80000000
        ld      t0, 0(a0)
        expect  t0, 0x7fffffff80000001
        li      t1, -1
        amomaxu.w t2, t1, (a0)
        amomin.w t3, x0, (a0)
        expect  t3, -1
        ld      t0, 0(a0)
        expect  t0, 0x7fffffffffffffff
        li      t1, 9
        amoswap.d x0, t1, (a0)
        amoand.d t1, t1, (a0)
        expect  t1, 9

        finish

        .data
        .balign 64
pattern:
        .dword  0xf8f7f6f504030201, 0x1032547698badcfe, 0x8877665544332211
        .dword  0x0f1e2d3c4b5a6978, 0xa1b2c3d4e5f60718, 0x1122334455667788, 0x99aabbccddeeff00
        .balign 64
buffer: .skip   4096
        .balign 4096
        .skip   4096
page_end:
        .skip   4096
