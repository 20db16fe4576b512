/* Tables and pages of the programs about translation. */
        .text
set_ones:
        li      t0, 0x3f800000
        .irp    f, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16
        fmv.w.x f\f, t0
        .endr
        ret

        .data
        .balign 8
user_code:
        .option push
        .option norvc
        li      a5, 1
        ecall
        nop
        nop
        .option pop

        .bss
        .balign 4096
gigabytes: .skip 4096
large:  .skip   4096
small:  .skip   4096
other_small: .skip 4096
page_1: .skip   4096
        .skip   4096
page_2: .skip   4096

        /* Its entry has zeros where an instruction has funct3. */
        .balign 0x20000
entry_page: .skip 4096
