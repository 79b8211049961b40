/* SPDX-License-Identifier: BSD-3-Clause */

/* How foreign kernels begin: a stack, vectors that only say that they were reached, start(), and idling. */
    .section .text.start, "ax"
    .global _start
_start:
    adr     x0, vectors
    msr     vbar_el1, x0
    isb
    adrp    x0, stack_top
    add     x0, x0, :lo12:stack_top
    mov     sp, x0
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
