/* SPDX-License-Identifier: BSD-3-Clause */

/* A kernel that is not ours: MMU off, a vector table that only says that it was reached. */
    .section .text.start, "ax"
    .global _start
_start:
    adr     x0, stack_top
    mov     sp, x0
    adr     x0, vectors
    msr     vbar_el1, x0
    isb
    bl      start
    .global idle
idle:
    wfi
    b       idle

    .balign 2048
vectors:
    .rept   16
    .balign 128
    b       unexpected
    .endr
unexpected:
    wfi
    b       unexpected

    .bss
    .balign 16
    .skip   16384
stack_top:
