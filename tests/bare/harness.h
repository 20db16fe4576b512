/*
 * What the bare-metal programs share. Include it first, then write the program after `begin` and end it
 * with `finish`.
 *
 * gp           number of the running test, which a failure reports through tohost
 * s0           where execution goes on after a trap to M-mode, in M-mode
 * s1 s2 s3 s4  mcause, mepc, mtval and mstatus of the last trap to M-mode
 * s5 s6 s7 s9  scause, sepc, stval and sstatus of the last trap to S-mode
 * s8           where execution goes on after a trap to S-mode, in S-mode
 * sp           top of a small stack
 * t5 t6        belong to the macros
 */

#define MSTATUS_SIE     (1 << 1)
#define MSTATUS_MIE     (1 << 3)
#define MSTATUS_SPIE    (1 << 5)
#define MSTATUS_MPIE    (1 << 7)
#define MSTATUS_SPP     (1 << 8)
#define MSTATUS_MPP     (3 << 11)
#define MSTATUS_FS      (3 << 13)
#define MSTATUS_MPRV    (1 << 17)
#define MSTATUS_SUM     (1 << 18)
#define MSTATUS_MXR     (1 << 19)
#define MSTATUS_TVM     (1 << 20)
#define MSTATUS_TW      (1 << 21)
#define MSTATUS_TSR     (1 << 22)

#define USER            0
#define SUPERVISOR      1
#define MACHINE         3

#define FETCH_ACCESS    1
#define ILLEGAL         2
#define BREAKPOINT      3
#define LOAD_MISALIGNED 4
#define LOAD_ACCESS     5
#define STORE_MISALIGNED 6
#define STORE_ACCESS    7
#define ECALL_U         8
#define ECALL_S         9
#define ECALL_M         11
#define FETCH_PAGE      12
#define LOAD_PAGE       13
#define STORE_PAGE      15
#define NO_TRAP         -1
#define INTERRUPT       (1 << 63)

#define MSIP            0x2000000
#define MTIMECMP        0x2004000
#define MTIME           0x200bff8
#define PLIC            0xc000000
#define UART            0x10000000

#define MENVCFG_ADUE    (1 << 61)
#define MENVCFG_STCE    (1 << 63)

        .macro test number
        li      gp, \number
        .endm

        /* Fails unless a register holds a value. */
        .macro expect register, value
        li      t6, \value
        bne     \register, t6, fail
        .endm

        .macro expect_address register, symbol
        la      t6, \symbol
        bne     \register, t6, fail
        .endm

        /* Fails unless a CSR holds a value under a mask. */
        .macro expect_csr csr, mask, value
        csrr    t5, \csr
        li      t6, \mask
        and     t5, t5, t6
        expect  t5, (\value)
        .endm

        .macro set_csr csr, bits
        li      t6, \bits
        csrs    \csr, t6
        .endm

        .macro clear_csr csr, bits
        li      t6, \bits
        csrc    \csr, t6
        .endm

        .macro write_csr csr, value
        li      t6, \value
        csrw    \csr, t6
        .endm

        /* An instruction that must trap to M-mode, which is where execution then is. */
        .macro traps cause, instruction:vararg
        la      s0, 18f
        li      s1, NO_TRAP
17:     \instruction
18:     expect  s1, \cause
        la      t6, 17b
        bne     s2, t6, fail
        .endm

        /* An instruction that must not trap to M-mode. */
        .macro runs instruction:vararg
        la      s0, 18f
        li      s1, NO_TRAP
        \instruction
18:     expect  s1, NO_TRAP
        .endm

        /* Fails unless the last trap to M-mode came from this mode. */
        .macro came_from mode
        srli    t6, s4, 11
        andi    t6, t6, 3
        li      t5, \mode
        bne     t6, t5, fail
        .endm

        /* Goes from M-mode to another one. */
        .macro enter mode
        clear_csr mstatus, MSTATUS_MPP
        set_csr mstatus, \mode << 11
        la      t6, 16f
        csrw    mepc, t6
        mret
16:
        .endm

        /* Goes from any mode to M-mode. */
        .macro to_machine
        la      s0, 16f
        ecall
16:
        .endm

        /* A memory access in M-mode as if in another mode; s1 then holds the cause of its trap or NO_TRAP. */
        .macro access_as mode, instruction:vararg
        la      s0, 18f
        li      s1, NO_TRAP
        clear_csr mstatus, MSTATUS_MPP
        set_csr mstatus, MSTATUS_MPRV | \mode << 11
17:     \instruction
18:     clear_csr mstatus, MSTATUS_MPRV
        .endm

        .macro access_traps mode, cause, instruction:vararg
        access_as \mode, \instruction
        expect  s1, \cause
        .endm

        .macro access_runs mode, instruction:vararg
        access_as \mode, \instruction
        expect  s1, NO_TRAP
        .endm

        .macro begin
        .section .text.start, "ax"
        .globl  _start
_start: la      t6, trap_entry
        csrw    mtvec, t6
        la      t6, supervisor_entry
        csrw    stvec, t6
        /* The last PMP entry allows everything. */
        li      t6, -1
        csrw    pmpaddr15, t6
        li      t6, 0x1f << 56
        csrw    pmpcfg2, t6
        csrw    menvcfg, zero
        csrw    medeleg, zero
        csrw    mideleg, zero
        set_csr mstatus, MSTATUS_FS
        li      gp, 0
        la      s0, fail
        la      sp, stack_top
        j       program

        .align  6
trap_entry:
        csrr    s1, mcause
        csrr    s2, mepc
        csrr    s3, mtval
        csrr    s4, mstatus
        bgez    s1, 1f
        /* An interrupt would be taken again. */
        clear_csr mstatus, MSTATUS_MPIE
1:      csrw    mepc, s0
        set_csr mstatus, MSTATUS_MPP
        mret

        .align  6
supervisor_entry:
        csrr    s5, scause
        csrr    s6, sepc
        csrr    s7, stval
        csrr    s9, sstatus
        bgez    s5, 1f
        clear_csr sstatus, MSTATUS_SPIE
1:      csrw    sepc, s8
        set_csr sstatus, MSTATUS_SPP
        sret

        /* Reports from M-mode: the first instruction leads there from any other. */
fail:   la      s0, report
        csrr    zero, mscratch
report: slli    gp, gp, 1
        ori     gp, gp, 1
        la      t6, tohost
        sd      gp, 0(t6)
        j       .

        .section .tohost, "aw"
        .balign 8
        .globl  tohost
tohost: .dword  0
        .globl  fromhost
fromhost: .dword 0

        .bss
        .balign 16
        .skip   256
stack_top:

        .text
program:
        .endm

        .macro finish
        to_machine
        li      gp, 0
        j       report
        .endm
