/* SPDX-License-Identifier: BSD-3-Clause */
#include "case.inc"

/* 48 bits and 4K on both sides, tables in inner-shareable memory, 16-bit ASIDs. */
#define TCR (16 | 16 << 16 | 2 << 30 | 3 << 12 | 3 << 28 | 2 << 32 | 1 << 36)

    .section .boot, "ax"
    .global _start
_start:
    ldr     x0, =TCR
    msr     tcr_el1, x0
    ldr     x0, =0x100FF44FF        // 0, 2: write-back, 1: not cacheable, 3: Device, 4: reserved
    msr     mair_el1, x0
    ldr     x0, =PA(boot_l0)
    msr     ttbr0_el1, x0
    ldr     x0, =PA(kernel_l0)
    msr     ttbr1_el1, x0
    isb
    tlbi    vmalle1
    dsb     nsh
    mrs     x0, sctlr_el1
    orr     x0, x0, #1
    msr     sctlr_el1, x0
    isb
    ldr     x0, =high
    br      x0
    .ltorg

    .text
high:
    adr     x0, vectors
    msr     vbar_el1, x0
    ldr     x0, =PA(empty_l0)
    msr     ttbr0_el1, x0
    isb
    tlbi    vmalle1is
    dsb     ish
    isb
    ldr     x0, =PA(user_l0) + ASID(1)
    msr     ttbr0_el1, x0
    isb
    ldr     x0, =stack_top
    mov     sp, x0
    .global idle
idle:
    wfi
    b       idle
    .ltorg

    .balign 2048
vectors:
    .rept   16
    .balign 128
    b       from_el0
    .endr

/* What cases do at EL0 ends here: back to whoever entered it, whose address is in x20. */
from_el0:
    msr     elr_el1, x20
    mov     x21, #0x3c5
    msr     spsr_el1, x21
    eret

/* Run one instruction at EL0 and come back; clobbers x20, x21. */
    .global visit_el0
visit_el0:
    mov     x20, x30
    ldr     x21, =0x5000
    msr     elr_el1, x21            // nothing is mapped there: an instruction abort at once
    mov     x21, #0x3c0
    msr     spsr_el1, x21
    eret
    .ltorg


    .data
    .macro  table name
    .balign 4096
    .global \name
\name:
    .endm

    .macro  rest table
    .org    \table + 4096
    .endm

    table   kernel_l0
    .quad   PA(kernel_l1) + TABLE
    rest    kernel_l0
    table   kernel_l1
    .quad   0
    .quad   PA(kernel_l2) + TABLE
    .quad   PA(window_l2) + TABLE
    rest    kernel_l1
    table   kernel_l2
    .org    kernel_l2 + 8
    .quad   0x40200000 + (AF | SH | AP_RO | UXN | 1)
    .quad   0x40400000 + (AF | SH | PXN | UXN | 1)
    .quad   0
    .quad   FRAMES + (AF | SH | PXN | UXN | 1)
    rest    kernel_l2
    table   window_l2
    .quad   PA(window_l3) + TABLE
    rest    window_l2
    table   window_l3
    .quad   FRAME(32) + KERNEL_RW
    .quad   FRAME(33) + KERNEL_RW
    rest    window_l3

    table   boot_l0
    .quad   PA(boot_l1) + TABLE
    rest    boot_l0
    table   boot_l1
    .quad   0
    .quad   PA(boot_l2) + TABLE
    rest    boot_l1
    table   boot_l2
    .quad   0x40000000 + (AF | SH | NG | AP_RO | UXN | 1)
    rest    boot_l2

    table   empty_l0
    rest    empty_l0

    table   user_l0
    .quad   PA(user_l1) + TABLE
    rest    user_l0
    table   user_l1
    .quad   PA(user_l2) + TABLE
    rest    user_l1
    table   user_l2
    .quad   PA(user_l3) + TABLE
    .quad   0x40A00000 + USER_BLOCK
    .quad   PA(spare_l3) + TABLE
    rest    user_l2
    table   user_l3
    .quad   0
    .quad   FRAME(1) + USER_RW
    .quad   FRAME(2) + USER_RW
    .quad   FRAME(3) + USER_RO
    .quad   FRAME(4) + USER_RO
    rest    user_l3
    table   spare_l3
    .quad   FRAME(5) + USER_RW
    rest    spare_l3

    table   other_l0
    .quad   PA(other_l1) + TABLE
    rest    other_l0
    table   other_l1
    .quad   PA(other_l2) + TABLE
    rest    other_l1
    table   other_l2
    .quad   PA(other_l3) + TABLE
    rest    other_l2
    table   other_l3
    .quad   0
    .quad   FRAME(6) + USER_RW
    rest    other_l3

/* Not linked anywhere at first. */
    table   new_l3
    .quad   FRAME(7) + USER_RW
    rest    new_l3

    .balign 16
    .skip   4096
    .global stack_top
stack_top:
