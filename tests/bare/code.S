/* Code that changes: a store to code acts at the next instruction, with fence.i and without. */
#include "harness.h"
        begin

        test    1               /* the next instruction, in the same block */
        la      a0, 1f
        lw      a1, forty_two
        sw      a1, 0(a0)
        .option push
        .option norvc
1:      li      a2, 1
        .option pop
        expect  a2, 42

        test    2               /* the same with fence.i */
        la      a0, 1f
        sw      a1, 0(a0)
        fence.i
        .option push
        .option norvc
1:      li      a2, 1
        .option pop
        expect  a2, 42

        test    3               /* a loop that changes its own body every time */
        la      a0, 2f
        lw      a1, 2f
        li      a3, 20
        li      a4, 0
        li      a5, 0
1:      add     a5, a5, a4
        li      t0, 1 << 20
        add     a1, a1, t0
        sw      a1, 0(a0)
        .option push
        .option norvc
2:      li      a4, 0
        .option pop
        addi    a3, a3, -1
        bnez    a3, 1b
        expect  a4, 20
        expect  a5, 190

        test    4               /* half of an instruction: the immediate alone */
        la      a0, 1f + 2
        li      t0, 0x07f0
        sh      t0, 0(a0)
        .option push
        .option norvc
1:      li      a2, 0
        .option pop
        expect  a2, 0x7f

        test    5               /* one instruction becomes two compressed ones */
        la      a0, 1f
        li      t0, 0x06050605          /* c.addi a2, 1 twice */
        li      a2, 0
        sw      t0, 0(a0)
        .option push
        .option norvc
1:      li      a2, 100
        .option pop
        expect  a2, 2

        test    6               /* a routine called, changed and called, often enough to be remembered */
        li      a3, 10
        la      a0, routine
        lw      a1, 0(a0)
1:      call    routine
        add     a4, a2, x0
        li      t0, 1 << 20
        add     a1, a1, t0
        sw      a1, 0(a0)
        call    routine
        addi    a4, a4, 1
        bne     a2, a4, fail
        addi    a3, a3, -1
        bnez    a3, 1b

        test    7               /* the end of a long block that crosses 64-byte lines, by its middle */
        la      a0, 2f
        lw      a1, forty_two
        li      a2, 0
        li      a3, 2
1:      .rept   20
        addi    t0, t0, 1
        .endr
        sw      a1, 0(a0)
        .rept   20
        addi    t0, t0, 1
        .endr
        .option push
        .option norvc
2:      li      a2, 1
        .option pop
        expect  a2, 42
        li      t1, 0x00100613          /* li a2, 1 */
        sw      t1, 0(a0)
        addi    a3, a3, -1
        bnez    a3, 1b

        test    8               /* a jump changed to go elsewhere */
        la      a0, 1f
        lw      a1, 6f
        li      a3, 2
        li      a4, 0
        .option push
        .option norvc
        .option norelax
1:      j       3f
3:      addi    a4, a4, 1
        sw      a1, 0(a0)
        addi    a3, a3, -1
        bnez    a3, 1b
        j       fail
5:      j       7f
6:      .word   0x0180006f              /* j .+24: from 1 to 5 */
        .option pop
7:      expect  a4, 1

        test    9               /* an instruction across two pages, either half changed */
        la      a0, crossing
        call    crossing
        expect  a2, 5
        li      t0, 0x0070
        sh      t0, 2(a0)
        call    crossing
        expect  a2, 7
        li      t0, 0x0593
        sh      t0, 0(a0)
        li      a1, 0
        li      a2, 0
        call    crossing
        expect  a1, 7
        expect  a2, 0

        test    10              /* an atomic changes code too, even what comes next */
        la      a0, 1f
        li      a3, 1 << 20
        j       2f
        .balign 8
        .option push
        .option norvc
2:      amoadd.w x0, a3, (a0)
1:      li      a2, 3
        .option pop
        expect  a2, 4

        test    11              /* so does a store conditional */
        la      a0, 1f
        lw      a1, forty_two
        j       2f
        .balign 8
        .option push
        .option norvc
2:      lr.w    a2, (a0)
        sc.w    a3, a1, (a0)
1:      li      a2, 3
        .option pop
        expect  a2, 42
        expect  a3, 0

        test    12              /* and a misaligned store, a floating-point one, and one across lines */
        la      a0, 1f + 1
        lw      t0, 0(a0)
        li      t1, 0x200000            /* bits 31:24 of the instruction are 23:16 of this word */
        xor     t0, t0, t1
        sw      t0, 0(a0)
        .option push
        .option norvc
1:      li      a2, 0
        .option pop
        expect  a2, 0x200
        la      a0, 1f
        lw      a1, forty_two
        fmv.w.x fa0, a1
        fsw     fa0, 0(a0)
        .option push
        .option norvc
1:      li      a2, 3
        .option pop
        expect  a2, 42
        la      a0, 1f
        ld      a1, 1f - 4
        li      t0, 2 << 20
        slli    t0, t0, 32
        add     a1, a1, t0
        j       2f
        .balign 64
        .skip   52
        .option push
        .option norvc
2:      sd      a1, -4(a0)
        .word   0x13
1:      li      a2, 3
        .option pop
        expect  a2, 5

        test    13              /* a store from the line before, where no code is, into a remembered routine */
        la      a0, line_routine
        li      a3, 5
        li      a4, 0
1:      call    line_routine
        bne     a2, a4, fail
        ld      a1, -4(a0)
        li      t0, 1 << 20
        slli    t0, t0, 32
        add     a1, a1, t0
        sd      a1, -4(a0)
        addi    a4, a4, 1
        addi    a3, a3, -1
        bnez    a3, 1b
        call    line_routine
        expect  a2, 5

        finish

        .balign 64
        .skip   64
        .option push
        .option norvc
line_routine:
        li      a2, 0
        ret
        .option pop

        .balign 4
forty_two:
        .word   0x02a00613              /* li a2, 42 */

        .balign 4
        .option push
        .option norvc
routine:
        li      a2, 0
        ret
        .option pop

        .balign 4096
        .skip   4094
        .option push
        .option norvc
crossing:
        li      a2, 5
        ret
        .option pop
