/*
 * Address translation, for sv39.S and sv48.S: the including file defines MODE, the value of satp.MODE, and the
 * label root_page of the table to which satp points, with set_up_root, which makes it lead to `gigabytes`.
 *
 * gigabytes[2]  all of RAM as it is, the supervisor's
 * gigabytes[1]  `large`: [0] leads to `small`, whose entries are the pages at VIRTUAL; others as the tests say
 */
#include "harness.h"

#define V       0x01
#define R       0x02
#define W       0x04
#define X       0x08
#define U       0x10
#define G       0x20
#define A       0x40
#define D       0x80
#define AD      (A | D)

#define VIRTUAL 0x40000000

        /* An entry of a table, by its index, that leads to a symbol. */
        .macro set_entry table, index, target, flags
        la      t5, \table
        la      t6, \target
        srli    t6, t6, 2
        ori     t6, t6, (\flags)
        sd      t6, (\index) * 8(t5)
        .endm

        /* The same for an address that is a number. */
        .macro set_entry_at table, index, address, flags
        la      t5, \table
        li      t6, (\address) >> 2
        ori     t6, t6, (\flags)
        sd      t6, (\index) * 8(t5)
        .endm

        .macro set_page index, target, flags
        set_entry small, \index, \target, \flags
        .endm

        /* Bits of an entry that is there. */
        .macro change_page index, clear, set
        la      t5, small
        ld      t6, (\index) * 8(t5)
        andi    t6, t6, ~(\clear)
        ori     t6, t6, (\set)
        sd      t6, (\index) * 8(t5)
        .endm

        .macro expect_page index, mask, value
        la      t5, small
        ld      t5, (\index) * 8(t5)
        andi    t5, t5, (\mask)
        expect  t5, (\value)
        .endm

        /* Goes on at an address in U-mode; the last trap is forgotten, and s0 leads to the next line. */
        .macro call_user address
        la      s0, 18f
        li      s1, NO_TRAP
        clear_csr mstatus, MSTATUS_MPP
        li      t6, \address
        csrw    mepc, t6
        mret
18:
        .endm

        begin
        set_up_root
        set_entry_at gigabytes, 2, 0x80000000, V|R|W|X|AD
        set_entry gigabytes, 1, large, V
        set_entry large, 0, small, V
        la      t0, root_page
        srli    t0, t0, 12
        li      t1, MODE << 60
        or      s10, t0, t1
        csrw    satp, s10
        sfence.vma
        li      a0, VIRTUAL
        li      a1, VIRTUAL + 0x1000
        li      a2, 0x1111
        la      t0, page_1
        sd      a2, 0(t0)
        la      t0, page_2
        li      a3, 0x2222
        sd      a3, 0(t0)

        test    1               /* a page, in all modes; M-mode itself is not translated */
        set_page 0, page_1, V|R|W|AD
        access_runs SUPERVISOR, ld t0, 0(a0)
        bne     t0, a2, fail
        access_traps MACHINE, LOAD_ACCESS, ld t0, 0(a0)
        traps   LOAD_ACCESS, ld t0, 0(a0)
        access_runs SUPERVISOR, sd a3, 8(a0)
        la      t0, page_1
        ld      t0, 8(t0)
        bne     t0, a3, fail

        test    2               /* without hardware updates, A and D clear are faults */
        set_page 0, page_1, V|R|W
        access_traps SUPERVISOR, LOAD_PAGE, ld t0, 0(a0)
        bne     s3, a0, fail
        access_traps SUPERVISOR, STORE_PAGE, sd t0, 16(a0)
        set_page 0, page_1, V|R|W|A
        access_runs SUPERVISOR, ld t0, 0(a0)
        access_traps SUPERVISOR, STORE_PAGE, sd t0, 16(a0)
        addi    t0, a0, 16
        bne     s3, t0, fail
        access_traps SUPERVISOR, STORE_PAGE, amoadd.d t0, t0, (a0)
        expect_page 0, AD, A
        set_page 0, page_1, V|R|W|D
        access_traps SUPERVISOR, STORE_PAGE, sd t0, 16(a0)

        test    3               /* with them, a load sets A and a store both, and a fault none */
        set_csr menvcfg, MENVCFG_ADUE
        set_page 0, page_1, V|R|W
        access_runs SUPERVISOR, ld t0, 0(a0)
        expect_page 0, AD, A
        access_runs SUPERVISOR, sd t0, 16(a0)
        expect_page 0, AD, AD
        set_page 0, page_1, V|R|W
        access_runs SUPERVISOR, amoadd.d t0, x0, (a0)
        expect_page 0, AD, AD
        set_page 0, page_1, V|R
        access_traps SUPERVISOR, STORE_PAGE, sd t0, 16(a0)
        expect_page 0, AD, 0
        set_page 0, page_1, V|R|W|U
        access_traps SUPERVISOR, LOAD_PAGE, ld t0, 0(a0)
        expect_page 0, AD, 0

        test    4               /* bits that the guest clears are set again, without any fence */
        set_page 0, page_1, V|R|W
        access_runs SUPERVISOR, sd t0, 16(a0)
        change_page 0, AD, 0
        access_runs SUPERVISOR, ld t0, 0(a0)
        expect_page 0, AD, A
        access_runs SUPERVISOR, sd t0, 16(a0)
        expect_page 0, AD, AD
        change_page 0, D, 0
        access_runs SUPERVISOR, sd t0, 16(a0)
        expect_page 0, AD, AD

        test    5               /* permissions */
        set_page 0, page_1, V|R|AD
        access_runs SUPERVISOR, ld t0, 0(a0)
        access_traps SUPERVISOR, STORE_PAGE, sd t0, 0(a0)
        access_traps SUPERVISOR, STORE_PAGE, sc.d t0, t0, (a0)
        set_page 0, page_1, V|X|AD
        access_traps SUPERVISOR, LOAD_PAGE, ld t0, 0(a0)
        access_traps SUPERVISOR, LOAD_PAGE, lr.d t0, (a0)
        access_traps SUPERVISOR, STORE_PAGE, amoor.d t0, t0, (a0)
        set_csr mstatus, MSTATUS_MXR
        access_runs SUPERVISOR, ld t0, 0(a0)
        bne     t0, a2, fail
        clear_csr mstatus, MSTATUS_MXR
        access_traps SUPERVISOR, LOAD_PAGE, ld t0, 0(a0)
        set_page 0, page_1, R|W|X|AD
        access_traps SUPERVISOR, LOAD_PAGE, ld t0, 0(a0)
        set_page 0, page_1, V|W|AD
        access_traps SUPERVISOR, LOAD_PAGE, ld t0, 0(a0)
        access_traps SUPERVISOR, STORE_PAGE, sd t0, 0(a0)
        set_page 0, page_1, V|W|X|AD
        access_traps SUPERVISOR, LOAD_PAGE, ld t0, 0(a0)

        test    6               /* whose page it is */
        set_page 0, page_1, V|R|W|U|AD
        access_runs USER, ld t0, 0(a0)
        access_traps SUPERVISOR, LOAD_PAGE, ld t0, 0(a0)
        access_traps SUPERVISOR, STORE_PAGE, sd t0, 16(a0)
        set_csr mstatus, MSTATUS_SUM
        access_runs SUPERVISOR, ld t0, 0(a0)
        access_runs SUPERVISOR, sd t0, 16(a0)
        access_runs USER, sd t0, 16(a0)
        clear_csr mstatus, MSTATUS_SUM
        access_traps SUPERVISOR, LOAD_PAGE, ld t0, 0(a0)
        set_page 0, page_1, V|R|W|AD
        access_runs SUPERVISOR, ld t0, 0(a0)
        access_traps USER, LOAD_PAGE, ld t0, 0(a0)
        access_traps USER, STORE_PAGE, sd t0, 16(a0)
        set_csr mstatus, MSTATUS_SUM
        access_traps USER, LOAD_PAGE, ld t0, 0(a0)
        clear_csr mstatus, MSTATUS_SUM

        test    7               /* large pages, and those that are not aligned */
        set_entry_at large, 1, 0x80000000, V|R|W|AD
        la      t1, page_1
        li      t0, VIRTUAL + 0x200000 - 0x80000000
        add     a4, t1, t0
        access_runs SUPERVISOR, ld t0, 0(a4)
        bne     t0, a2, fail
        set_entry_at large, 1, 0x80001000, V|R|W|AD
        access_traps SUPERVISOR, LOAD_PAGE, ld t0, 0(a4)
        bne     s3, a4, fail
        set_entry_at large, 1, 0x80100000, V|R|W|AD
        access_traps SUPERVISOR, STORE_PAGE, sd t0, 0(a4)
        set_entry_at large, 1, 0x80000000, V|R|W
        access_runs SUPERVISOR, ld t0, 0(a4)
        la      t5, large
        ld      t5, 8(t5)
        andi    t5, t5, AD
        expect  t5, A
        set_entry_at gigabytes, 3, 0x80000000, V|R|W|AD
        la      t1, page_2
        li      t0, 0x40000000
        add     a4, t1, t0
        access_runs SUPERVISOR, ld t0, 0(a4)
        bne     t0, a3, fail
        set_entry_at gigabytes, 3, 0x80200000, V|R|W|AD
        access_traps SUPERVISOR, LOAD_PAGE, ld t0, 0(a4)

        test    8               /* reserved bits, in leaves and in pointers */
        li      a4, VIRTUAL + 0x400000
        li      a5, 54
1:      set_page 0, page_1, V|R|W|AD
        access_runs SUPERVISOR, ld t0, 0(a0)
        la      t5, small
        ld      t6, 0(t5)
        li      t0, 1
        sll     t0, t0, a5
        or      t6, t6, t0
        sd      t6, 0(t5)
        access_traps SUPERVISOR, LOAD_PAGE, ld t0, 0(a0)
        addi    a5, a5, 1
        li      t0, 64
        bne     a5, t0, 1b
        set_page 0, page_1, V|R|W|AD
        set_entry large, 2, small, V
        access_runs SUPERVISOR, ld t0, 0(a4)
        set_entry large, 2, small, V|A
        access_traps SUPERVISOR, LOAD_PAGE, ld t0, 0(a4)
        set_entry large, 2, small, V|D
        access_traps SUPERVISOR, LOAD_PAGE, ld t0, 0(a4)
        set_entry large, 2, small, V|U
        access_traps SUPERVISOR, LOAD_PAGE, ld t0, 0(a4)
        set_entry large, 2, small, V|G
        access_runs SUPERVISOR, ld t0, 0(a4)
        set_entry large, 2, small, 0
        access_traps SUPERVISOR, STORE_PAGE, sd t0, 0(a4)

        test    9               /* a pointer where only leaves can be */
        set_page 0, page_1, V
        access_traps SUPERVISOR, LOAD_PAGE, ld t0, 0(a0)

        test    10              /* addresses that are no sign extension */
        set_page 0, page_1, V|R|W|AD
        li      t1, 1
        slli    t1, t1, ADDRESS_BITS
        add     a4, a0, t1
        access_traps SUPERVISOR, LOAD_PAGE, ld t0, 0(a4)
        bne     s3, a4, fail
        slli    t1, t1, 1
        add     a4, a0, t1
        access_traps SUPERVISOR, STORE_PAGE, sd t0, 0(a4)
        li      t1, -1
        slli    t1, t1, 63
        add     a4, a0, t1
        access_traps SUPERVISOR, LOAD_PAGE, ld t0, 0(a4)

        test    11              /* tables and pages where there is no RAM */
        set_entry_at large, 2, 0x4000, V
        li      a4, VIRTUAL + 0x400000
        access_traps SUPERVISOR, LOAD_ACCESS, ld t0, 0(a4)
        bne     s3, a4, fail
        access_traps SUPERVISOR, STORE_ACCESS, sd t0, 0(a4)
        set_entry_at small, 0, 0x4000, V|R|W|AD
        access_traps SUPERVISOR, LOAD_ACCESS, ld t0, 8(a0)
        addi    t1, a0, 8
        bne     s3, t1, fail
        access_traps SUPERVISOR, STORE_ACCESS, sw t0, 8(a0)

        test    12              /* a device behind a page */
        set_entry_at small, 0, 0x2004000, V|R|W|AD
        li      t1, -2
        access_runs SUPERVISOR, sd t1, 0(a0)
        access_runs SUPERVISOR, ld t0, 0(a0)
        expect  t0, -2

        test    13              /* accesses across two pages that are not neighbours */
        set_page 0, page_2, V|R|W|AD
        set_page 1, page_1, V|R|W|AD
        li      a5, 0x0102030405060708
        access_runs SUPERVISOR, sd a5, -3(a1)
        access_runs SUPERVISOR, ld t0, -3(a1)
        bne     t0, a5, fail
        la      t1, page_2 + 4096 - 8
        ld      t1, 0(t1)
        srli    t1, t1, 40
        expect  t1, 0x060708
        la      t1, page_1
        ld      t1, 0(t1)
        slli    t1, t1, 24
        srli    t1, t1, 24
        expect  t1, 0x0102030405

        test    14              /* the second half faults: its address, no effect of the first */
        set_page 0, page_2, V|R|W
        set_page 1, page_1, V|R|AD
        access_traps SUPERVISOR, STORE_PAGE, sd x0, -3(a1)
        bne     s3, a1, fail
        la      t1, page_2 + 4096 - 8
        ld      t1, 0(t1)
        srli    t1, t1, 40
        expect  t1, 0x060708
        expect_page 0, D, 0
        set_page 1, page_1, 0
        access_traps SUPERVISOR, LOAD_PAGE, ld t0, -3(a1)
        bne     s3, a1, fail
        /* The first half faults: the access's address. */
        set_page 0, page_2, 0
        set_page 1, page_1, V|R|W|AD
        access_traps SUPERVISOR, STORE_PAGE, sd x0, -3(a1)
        addi    t1, a1, -3
        bne     s3, t1, fail
        /* A page, then a hole in RAM. */
        set_page 0, page_2, V|R|W|AD
        set_entry_at small, 1, 0x4000, V|R|W|AD
        access_traps SUPERVISOR, STORE_ACCESS, sd x0, -3(a1)
        bne     s3, a1, fail
        access_traps SUPERVISOR, LOAD_ACCESS, ld t0, -3(a1)
        bne     s3, a1, fail
        la      t1, page_1
        sd      a2, 0(t1)

        test    15              /* a page mapped elsewhere by a store, no fence: loads, stores, in a loop */
        set_page 0, page_1, V|R|W|AD
        li      a5, 10
1:      access_runs SUPERVISOR, ld t0, 0(a0)
        bne     t0, a2, fail
        access_runs SUPERVISOR, sd a5, 32(a0)
        set_page 0, page_2, V|R|W|AD
        access_runs SUPERVISOR, ld t0, 0(a0)
        bne     t0, a3, fail
        access_runs SUPERVISOR, sd x0, 32(a0)
        la      t1, page_1
        ld      t1, 32(t1)
        bne     t1, a5, fail
        set_page 0, page_1, V|R|W|AD
        addi    a5, a5, -1
        bnez    a5, 1b

        test    16              /* the same from S-mode through the tables' own mapping, and at a higher level */
        enter   SUPERVISOR
        ld      t0, 0(a0)
        bne     t0, a2, fail
        set_page 0, page_2, V|R|W|AD
        ld      t0, 0(a0)
        bne     t0, a3, fail
        set_entry large, 0, other_small, V
        set_entry other_small, 0, page_1, V|R|W|AD
        ld      t0, 0(a0)
        bne     t0, a2, fail
        set_entry large, 0, small, V
        ld      t0, 0(a0)
        bne     t0, a3, fail
        sfence.vma
        /* The table itself, written through a page of its own. */
        set_page 2, small, V|R|W|AD
        li      t0, VIRTUAL + 0x2000
        la      t1, page_1
        srli    t1, t1, 2
        ori     t1, t1, V|R|W|AD
        sd      t1, 0(t0)
        ld      t1, 0(a0)
        bne     t1, a2, fail
        /* It unmaps itself. */
        sd      x0, 16(t0)
        traps   LOAD_PAGE, ld t1, 0(t0)
        came_from SUPERVISOR

        test    17              /* fetches: by the user from its page, by the supervisor never */
        la      t0, user_code
        la      t1, page_1 + 0x100
        ld      t2, 0(t0)
        sd      t2, 0(t1)
        ld      t2, 8(t0)
        sd      t2, 8(t1)
        set_page 0, page_1, V|X|U|AD
        li      a5, 0
        call_user VIRTUAL + 0x100
        expect  s1, ECALL_U
        expect  a5, 1
        set_csr mstatus, MSTATUS_SUM
        enter   SUPERVISOR
        la      s0, 1f
        li      t0, VIRTUAL + 0x100
        jr      t0
1:      expect  s1, FETCH_PAGE
        expect  s2, VIRTUAL + 0x100
        expect  s3, VIRTUAL + 0x100
        came_from SUPERVISOR
        clear_csr mstatus, MSTATUS_SUM

        test    18              /* and only from pages with X, that are theirs, accessed */
        set_page 0, page_1, V|R|W|U|AD
        call_user VIRTUAL + 0x100
        expect  s1, FETCH_PAGE
        set_page 0, page_1, V|X|AD
        call_user VIRTUAL + 0x100
        expect  s1, FETCH_PAGE
        set_page 0, page_1, V|X|U
        call_user VIRTUAL + 0x100
        expect  s1, ECALL_U
        expect_page 0, AD, A
        clear_csr menvcfg, MENVCFG_ADUE
        change_page 0, A, 0
        call_user VIRTUAL + 0x100
        expect  s1, FETCH_PAGE
        set_csr menvcfg, MENVCFG_ADUE
        set_entry_at small, 0, 0x4000, V|X|U|AD
        call_user VIRTUAL + 0x100
        expect  s1, FETCH_ACCESS

        test    19              /* code mapped elsewhere, no fence */
        la      t1, page_2 + 0x100
        la      t0, page_1 + 0x100
        ld      t2, 0(t0)
        li      t3, 2 << 20
        add     t2, t2, t3
        sd      t2, 0(t1)
        ld      t2, 8(t0)
        sd      t2, 8(t1)
        li      a4, 4
1:      set_page 0, page_1, V|X|U|AD
        call_user VIRTUAL + 0x100
        expect  a5, 1
        set_page 0, page_2, V|X|U|AD
        call_user VIRTUAL + 0x100
        expect  a5, 3
        addi    a4, a4, -1
        bnez    a4, 1b

        test    20              /* code stored to through another page of the same frame */
        set_page 0, page_1, V|X|U|AD
        set_page 3, page_1, V|R|W|U|AD
        call_user VIRTUAL + 0x100
        expect  a5, 1
        li      t0, VIRTUAL + 0x3000
        li      t1, 0x00500793          /* li a5, 5 */
        access_runs USER, sw t1, 0x100(t0)
        call_user VIRTUAL + 0x100
        expect  a5, 5

        test    21              /* an instruction across two pages that are not neighbours */
        la      t0, page_2 + 4096 - 2
        li      t1, 0x0793              /* li a5, 9 */
        sh      t1, 0(t0)
        la      t0, page_1
        li      t1, 0x0090
        sh      t1, 0(t0)
        li      t1, 0x73                /* ecall */
        sh      t1, 2(t0)
        sh      x0, 4(t0)
        set_page 0, page_2, V|X|U|AD
        set_page 1, page_1, V|X|U|AD
        li      a5, 0
        call_user VIRTUAL + 0xffe
        expect  s1, ECALL_U
        expect  a5, 9
        li      t1, 0x0060
        sh      t1, 0(t0)
        call_user VIRTUAL + 0xffe
        expect  a5, 6
        set_page 1, page_1, V|R|U|AD
        call_user VIRTUAL + 0xffe
        expect  s1, FETCH_PAGE
        expect  s2, VIRTUAL + 0xffe
        expect  s3, VIRTUAL + 0x1000
        la      t0, page_1
        sd      a2, 0(t0)

        test    22              /* reservations are of physical addresses */
        set_page 0, page_1, V|R|W|AD
        set_page 1, page_1, V|R|W|AD
        set_page 2, page_2, V|R|W|AD
        enter   SUPERVISOR
        li      t2, VIRTUAL + 0x2000
        lr.d    t0, (a0)
        sc.d    t1, t0, (a1)
        bnez    t1, fail
        lr.d    t0, (a0)
        sc.d    t1, t0, (t2)
        beqz    t1, fail
        lr.d    t0, (a0)
        set_page 0, page_2, V|R|W|AD
        sc.d    t1, x0, (a0)
        beqz    t1, fail
        to_machine

        test    23              /* modes of satp that are not there change nothing */
        li      t0, 1
1:      slli    t1, t0, 60
        csrw    satp, t1
        csrr    t1, satp
        bne     t1, s10, fail
        addi    t0, t0, 1
        li      t1, 8
        bne     t0, t1, 1b
        li      t0, 10
1:      slli    t1, t0, 60
        csrw    satp, t1
        csrr    t1, satp
        bne     t1, s10, fail
        addi    t0, t0, 1
        li      t1, 16
        bne     t0, t1, 1b

        test    24              /* address spaces: another root, and none, at once */
        set_page 0, page_1, V|R|W|AD
        access_runs SUPERVISOR, ld t0, 0(a0)
        csrw    satp, x0
        access_traps SUPERVISOR, LOAD_ACCESS, ld t0, 0(a0)
        li      t0, 0x1234 << 44
        or      t0, t0, s10
        csrw    satp, t0
        csrr    t1, satp
        bne     t0, t1, fail
        access_runs SUPERVISOR, ld t0, 0(a0)
        bne     t0, a2, fail
        csrw    satp, s10

        test    25              /* traps in S-mode itself, under translation */
        write_csr medeleg, 1 << LOAD_PAGE | 1 << STORE_PAGE
        enter   SUPERVISOR
        set_page 0, page_1, 0
        la      s8, 1f
        li      s5, NO_TRAP
2:      ld      t0, 24(a0)
        j       fail
1:      expect  s5, LOAD_PAGE
        expect_address s6, 2b
        addi    t0, a0, 24
        bne     s7, t0, fail
        /* As Linux handles a fault: map it, and do it again. */
        la      s8, 3f
3:      set_page 0, page_1, V|R|W|AD
        li      s5, NO_TRAP
        ld      t0, 0(a0)
        expect  s5, NO_TRAP
        bne     t0, a2, fail
        to_machine
        csrw    medeleg, x0

        test    26              /* an entry that is the next instruction: A set by a load turns a fence into fnmadd.s */
        set_entry small, 200, entry_page, V|R|W|X
        la      t1, small + 200 * 8
        li      t0, 0x00073283          /* ld t0, 0(a4) */
        sw      t0, -4(t1)
        li      a4, VIRTUAL + 200 * 0x1000
        call    set_ones
        enter   SUPERVISOR
        la      s0, 1f
        la      t1, small + 200 * 8 - 4
        jr      t1
1:      expect  s1, ILLEGAL
        expect_address s2, small + 200 * 8 + 4
        fmv.x.w t0, f0
        expect  t0, -0x40000000
        /* So does lr. */
        set_entry small, 200, entry_page, V|R|W|X
        la      t1, small + 200 * 8
        li      t0, 0x100732af          /* lr.d t0, (a4) */
        sw      t0, -4(t1)
        call    set_ones
        enter   SUPERVISOR
        la      s0, 1f
        la      t1, small + 200 * 8 - 4
        jr      t1
1:      expect  s1, ILLEGAL
        fmv.x.w t0, f0
        expect  t0, -0x40000000
