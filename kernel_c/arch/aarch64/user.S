/* SPDX-License-Identifier: BSD-3-Clause */
#include "frame.inc"

/*
 * EL0 runs as a call: user_enter() returns when the next exception from EL0 arrives. What the
 * calling convention (AAPCS64) makes the callee keep waits on the kernel stack meanwhile.
 *
 *   sp + 96   x0 of user_enter: the user's registers
 *   sp        x19 to x30
 */
#define KEPT_SIZE 112
#define KEPT_REGISTERS 96

    .macro  kept_registers pair
    \pair   x19, x20, [sp, #16 * 0]
    \pair   x21, x22, [sp, #16 * 1]
    \pair   x23, x24, [sp, #16 * 2]
    \pair   x25, x26, [sp, #16 * 3]
    \pair   x27, x28, [sp, #16 * 4]
    \pair   x29, x30, [sp, #16 * 5]
    .endm

    .cfi_sections .debug_frame
    .section .text.user, "ax"

/* unsigned user_enter(struct user_registers *registers): the vector that ended it. */
    .global user_enter
    .type user_enter, %function
user_enter:
    .cfi_startproc
    sub     sp, sp, #KEPT_SIZE
    .cfi_adjust_cfa_offset KEPT_SIZE
    kept_registers stp
    .cfi_rel_offset x29, 16 * 5
    .cfi_rel_offset x30, 16 * 5 + 8
    str     x0, [sp, #KEPT_REGISTERS]
    ldp     x1, x2, [x0, #FRAME_SP]
    ldr     x3, [x0, #FRAME_PSTATE]
    msr     sp_el0, x1
    msr     elr_el1, x2
    msr     spsr_el1, x3
    msr     tpidr_el0, xzr
    msr     tpidrro_el0, xzr
    frame_registers ldp, ldr, x0
    ldp     x0, x1, [x0, #FRAME_X0]
    eret
    .cfi_endproc
    .size user_enter, . - user_enter

/* From the vectors: x1 is the vector, the user's x0 and x1 are pushed above what is kept. */
    .global user_leave
    .type user_leave, %function
user_leave:
    .cfi_startproc
    .cfi_def_cfa sp, KEPT_SIZE + 16
    .cfi_offset x29, 16 * 5 - KEPT_SIZE
    .cfi_offset x30, 16 * 5 + 8 - KEPT_SIZE
    ldr     x0, [sp, #16 + KEPT_REGISTERS]
    frame_registers stp, str, x0
    ldp     x2, x3, [sp], #16
    .cfi_adjust_cfa_offset -16
    stp     x2, x3, [x0, #FRAME_X0]
    mrs     x2, sp_el0
    mrs     x3, elr_el1
    mrs     x4, spsr_el1
    stp     x2, x3, [x0, #FRAME_SP]
    str     x4, [x0, #FRAME_PSTATE]
    mov     x0, x1
    kept_registers ldp
    add     sp, sp, #KEPT_SIZE
    .cfi_def_cfa_offset 0
    .cfi_restore x29
    .cfi_restore x30
    ret
    .cfi_endproc
    .size user_leave, . - user_leave

/* See lukos/user.h. Data to the kernel: only ever copied into regions. */
    .section .rodata.user, "a"
    .balign 8
    .global arch_user_probe, arch_user_probe_end
arch_user_probe:
    svc     #0
    nop
    ldr     x0, [x0]
    svc     #0
    str     x1, [x0]
    svc     #0
arch_user_probe_end:
