/* Address translation with four levels: one more root above the three. */
#define MODE            9
#define ADDRESS_BITS    48
        .macro set_up_root
        set_entry root_page, 0, gigabytes, 1
        .endm
#include "paging.h"

        test    40              /* a page of 512 gigabytes */
        set_entry_at root_page, 1, 0, V|R|W|AD
        la      t1, page_1
        li      t0, 1 << 39
        add     a4, t0, t1
        access_runs SUPERVISOR, ld t0, 0(a4)
        bne     t0, a2, fail
        set_entry_at root_page, 1, 0x80000000, V|R|W|AD
        access_traps SUPERVISOR, LOAD_PAGE, ld t0, 0(a4)

        test    41              /* the upper half */
        la      t5, root_page
        li      t0, 511 * 8
        add     t5, t5, t0
        la      t6, gigabytes
        srli    t6, t6, 2
        ori     t6, t6, V
        sd      t6, 0(t5)
        li      t0, -1 << 39
        add     a4, a0, t0
        set_page 0, page_2, V|R|W|AD
        access_runs SUPERVISOR, ld t0, 0(a4)
        bne     t0, a3, fail

        finish

        .bss
        .balign 4096
root_page: .skip 4096
#include "tables.h"
