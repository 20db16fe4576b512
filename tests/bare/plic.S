/* The PLIC, with the UART's transmitter as the source: it is empty always, so its line is high while enabled. */
#include "harness.h"

#define SOURCE          10
#define PRIORITY        (SOURCE * 4)
#define PENDING         0x1000
#define ENABLE_M        0x2000
#define ENABLE_S        0x2080
#define CONTEXT_M       0x200000
#define CONTEXT_S       0x201000
#define MEIP            (1 << 11)
#define SEIP            (1 << 9)
#define IER             1
#define IIR             2

        begin
        li      a0, PLIC
        li      a1, UART
        li      a2, PLIC + CONTEXT_M
        li      a3, PLIC + CONTEXT_S
        li      a4, PLIC + ENABLE_M
        li      a5, 1

        test    1               /* a source with priority 0 never interrupts */
        li      t0, 1 << SOURCE
        sw      t0, 0(a4)
        lw      t1, 0(a4)
        bne     t0, t1, fail
        li      t0, 2
        sb      t0, IER(a1)
        expect_csr mip, MEIP | SEIP, 0
        lw      t0, 4(a2)
        bnez    t0, fail

        test    2               /* with a priority it does, above the threshold */
        sw      a5, PRIORITY(a0)
        expect_csr mip, MEIP | SEIP, MEIP
        sw      a5, 0(a2)
        expect_csr mip, MEIP | SEIP, 0
        sw      zero, 0(a2)
        expect_csr mip, MEIP | SEIP, MEIP
        li      t1, PENDING
        add     t1, t1, a0
        lw      t0, 0(t1)
        expect  t0, 1 << SOURCE

        test    3               /* it is taken, claimed, and gone until completed */
        write_csr mie, MEIP
        la      s0, 1f
        li      s1, NO_TRAP
        csrsi   mstatus, MSTATUS_MIE
2:      nop
        j       fail
1:      expect  s1, INTERRUPT | 11
        expect_address s2, 2b
        lw      t0, 4(a2)
        expect  t0, SOURCE
        expect_csr mip, MEIP | SEIP, 0
        lw      t0, 4(a2)
        bnez    t0, fail
        lw      t0, 0(t1)
        bnez    t0, fail
        li      t0, SOURCE
        sw      t0, 4(a2)

        test    4               /* a level that is still high is pending again */
        lbu     t0, IIR(a1)
        sb      zero, IER(a1)
        li      t0, 2
        sb      t0, IER(a1)
        expect_csr mip, MEIP | SEIP, MEIP

        test    5               /* the supervisor's context has its own enables and threshold */
        sw      zero, 0(a4)
        expect_csr mip, MEIP | SEIP, 0
        li      t0, 1 << SOURCE
        sw      t0, 0x80(a4)
        expect_csr mip, MEIP | SEIP, SEIP
        write_csr mideleg, SEIP
        write_csr mie, SEIP
        enter   SUPERVISOR
        la      s8, 1f
        li      s5, NO_TRAP
        csrsi   sstatus, MSTATUS_SIE
2:      nop
        j       fail
1:      expect  s5, INTERRUPT | 9
        expect_address s6, 2b
        lw      t0, 4(a3)
        expect  t0, SOURCE
        expect_csr sip, SEIP, 0
        li      t0, SOURCE
        sw      t0, 4(a3)
        to_machine

        test    6               /* SEIP is the device's line or software's bit; csrs takes only the latter */
        lbu     t0, IIR(a1)
        sb      zero, IER(a1)
        lw      t0, 4(a3)
        sw      t0, 4(a3)
        expect_csr mip, SEIP, 0
        set_csr mip, SEIP
        expect_csr mip, SEIP, SEIP
        clear_csr mip, SEIP
        li      t0, 2
        sb      t0, IER(a1)
        expect_csr mip, SEIP, SEIP
        csrsi   mip, 2
        sb      zero, IER(a1)
        lw      t0, 4(a3)
        sw      t0, 4(a3)
        expect_csr mip, SEIP, 0

        finish
