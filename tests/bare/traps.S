/* Modes, traps into M-mode and S-mode, delegation, and the way back. */
#include "harness.h"
        begin

        test    1               /* environment calls name the mode they come from */
        traps   ECALL_M, ecall
        came_from MACHINE
        expect  s3, 0
        enter   SUPERVISOR
        traps   ECALL_S, ecall
        came_from SUPERVISOR
        enter   USER
        traps   ECALL_U, ecall
        came_from USER

        test    2               /* breakpoints report their address */
        traps   BREAKPOINT, ebreak
        bne     s3, s2, fail
        enter   USER
        traps   BREAKPOINT, c.ebreak
        bne     s3, s2, fail

        test    3               /* illegal instructions report their bits */
        traps   ILLEGAL, .word 0x0000000b
        expect  s3, 0xb
        traps   ILLEGAL, .word 0xfe00705b
        expect  s3, 0xfe00705b
        traps   ILLEGAL, .half 0
        expect  s3, 0
        traps   ILLEGAL, .half 0x8002   /* c.jr x0 */
        expect  s3, 0x8002

        test    4               /* privileged instructions are illegal below their mode */
        enter   SUPERVISOR
        traps   ILLEGAL, mret
        expect  s3, 0x30200073
        came_from SUPERVISOR
        enter   USER
        traps   ILLEGAL, mret
        enter   USER
        traps   ILLEGAL, sret
        expect  s3, 0x10200073
        enter   USER
        traps   ILLEGAL, wfi
        enter   USER
        traps   ILLEGAL, sfence.vma
        enter   USER
        traps   ILLEGAL, csrr t0, sstatus
        enter   SUPERVISOR
        traps   ILLEGAL, csrr t0, mstatus

        test    5               /* the stack of interrupt-enable bits */
        csrsi   mstatus, MSTATUS_MIE
        traps   ECALL_M, ecall
        li      t6, MSTATUS_MPIE | MSTATUS_MIE
        and     t5, s4, t6
        expect  t5, MSTATUS_MPIE
        expect_csr mstatus, MSTATUS_MIE | MSTATUS_MPIE, MSTATUS_MIE | MSTATUS_MPIE
        csrci   mstatus, MSTATUS_MIE
        traps   ECALL_M, ecall
        li      t6, MSTATUS_MPIE
        and     t5, s4, t6
        expect  t5, 0

        test    6               /* mret leaves the least privileged mode in MPP, and sets MPIE */
        enter   MACHINE
        expect_csr mstatus, MSTATUS_MPP | MSTATUS_MPIE, MSTATUS_MPIE

        test    7               /* mret to a lower mode clears MPRV, to M-mode it does not */
        set_csr mstatus, MSTATUS_MPRV
        enter   MACHINE
        expect_csr mstatus, MSTATUS_MPRV, MSTATUS_MPRV
        set_csr mstatus, MSTATUS_MPRV
        enter   SUPERVISOR
        traps   ECALL_S, ecall
        li      t6, MSTATUS_MPRV
        and     t6, t6, s4
        bnez    t6, fail
        /* So does sret. */
        set_csr mstatus, MSTATUS_MPRV | MSTATUS_SPP
        la      t6, 1f
        csrw    sepc, t6
        sret
1:      traps   ECALL_S, ecall
        li      t6, MSTATUS_MPRV
        and     t6, t6, s4
        bnez    t6, fail

        test    8               /* MPP holds only modes that there are */
        write_csr mstatus, MSTATUS_FS | 2 << 11
        csrr    t0, mstatus
        srli    t0, t0, 11
        andi    t0, t0, 3
        li      t6, 2
        beq     t0, t6, fail
        set_csr mstatus, MSTATUS_FS

        test    9               /* what may be delegated */
        write_csr medeleg, -1
        expect_csr medeleg, -1, 0xb3ff
        write_csr mideleg, -1
        expect_csr mideleg, -1, 0x222
        csrw    medeleg, zero
        csrw    mideleg, zero

        test    10              /* a delegated exception of U-mode goes to S-mode */
        write_csr medeleg, 1 << ILLEGAL | 1 << ECALL_U | 1 << BREAKPOINT
        set_csr mstatus, MSTATUS_SIE
        enter   USER
        la      s8, 1f
        li      s5, NO_TRAP
        li      s1, NO_TRAP
2:      .word   0x0000000b
1:      expect  s5, ILLEGAL
        expect_address s6, 2b
        expect  s7, 0xb
        expect  s1, NO_TRAP
        li      t6, MSTATUS_SPP | MSTATUS_SPIE | MSTATUS_SIE
        and     t5, s9, t6
        expect  t5, MSTATUS_SPIE

        test    11              /* now in S-mode: a delegated one of S-mode stays there */
        la      s8, 1f
        li      s5, NO_TRAP
2:      ebreak
1:      expect  s5, BREAKPOINT
        expect_address s6, 2b
        expect_address s7, 2b
        li      t6, MSTATUS_SPP | MSTATUS_SPIE | MSTATUS_SIE
        and     t5, s9, t6
        expect  t5, MSTATUS_SPP | MSTATUS_SPIE
        expect_csr sstatus, MSTATUS_SIE, MSTATUS_SIE

        test    12              /* the call of S-mode is not delegated, and M-mode keeps its own */
        traps   ECALL_S, ecall
        li      s5, NO_TRAP
        traps   ILLEGAL, .word 0x0000000b
        came_from MACHINE
        expect  s5, NO_TRAP
        csrw    medeleg, zero

        test    13              /* sret goes where SPP says */
        enter   SUPERVISOR
        clear_csr sstatus, MSTATUS_SPP | MSTATUS_SIE
        set_csr sstatus, MSTATUS_SPIE
        la      t6, 1f
        csrw    sepc, t6
        sret
1:      traps   ECALL_U, ecall
        li      t6, MSTATUS_SPIE | MSTATUS_SIE | MSTATUS_SPP
        and     t5, s4, t6
        expect  t5, MSTATUS_SPIE | MSTATUS_SIE
        /* From M-mode too. */
        set_csr mstatus, MSTATUS_SPP
        la      t6, 1f
        csrw    sepc, t6
        sret
1:      traps   ECALL_S, ecall
        li      t6, MSTATUS_SPP
        and     t5, s4, t6
        expect  t5, 0

        test    14              /* TSR makes sret illegal in S-mode alone */
        set_csr mstatus, MSTATUS_TSR
        enter   SUPERVISOR
        traps   ILLEGAL, sret
        set_csr mstatus, MSTATUS_SPP
        la      t6, 1f
        csrw    sepc, t6
        sret
1:      traps   ECALL_S, ecall
        clear_csr mstatus, MSTATUS_TSR

        test    15              /* addresses in CSRs are even; vectors have two modes */
        write_csr mepc, 0x80000001
        expect_csr mepc, -1, 0x80000000
        write_csr sepc, -1
        expect_csr sepc, -1, -2
        csrr    t0, mtvec
        csrr    t1, stvec
        write_csr stvec, 0x80000001
        expect_csr stvec, -1, 0x80000001
        write_csr stvec, 0x80000002
        expect_csr stvec, 2, 0
        csrw    mtvec, t0
        csrw    stvec, t1

        test    16              /* nothing there to execute */
        la      s0, 1f
        li      t0, 0x4001
        jr      t0
1:      expect  s1, FETCH_ACCESS
        expect  s2, 0x4000
        expect  s3, 0x4000
        la      s0, 1f
        li      t0, UART
        jr      t0
1:      expect  s1, FETCH_ACCESS
        expect  s2, UART

        test    17              /* nothing there to load or store */
        li      a0, 0x4008
        traps   LOAD_ACCESS, ld a1, 0(a0)
        expect  s3, 0x4008
        traps   STORE_ACCESS, sw a1, 4(a0)
        expect  s3, 0x400c
        traps   STORE_ACCESS, amoadd.w a1, a1, (a0)
        traps   LOAD_ACCESS, lr.d a1, (a0)
        traps   STORE_ACCESS, sc.d a1, a1, (a0)
        traps   LOAD_ACCESS, fld fa0, 0(a0)
        li      a0, UART
        traps   STORE_ACCESS, amoadd.w a1, a1, (a0)

        test    18              /* a trap leaves the destination alone */
        li      a0, 0x4008
        li      a1, 77
        traps   LOAD_ACCESS, lw a1, 0(a0)
        expect  a1, 77
        traps   LOAD_ACCESS, lw a0, 0(a0)
        expect  a0, 0x4008

        test    19              /* exceptions go to the base of a vectored mtvec */
        csrr    t0, mtvec
        addi    t1, t0, 1
        csrw    mtvec, t1
        traps   ECALL_M, ecall
        csrw    mtvec, t0

        test    20              /* jumps clear the lowest bit, and links are what follows */
        la      t0, 1f
        addi    t0, t0, 1
        jalr    t1, 0(t0)
2:      j       fail
1:      expect_address t1, 2b
        la      t0, 1f
        jalr    t0, 0(t0)
2:      j       fail
1:      expect_address t0, 2b

        finish
