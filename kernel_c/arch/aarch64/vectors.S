/* SPDX-License-Identifier: BSD-3-Clause */
#include "frame.inc"
#include "layout.h"

/*
 * The vector table (D1.3.1.4): four sources of four kinds each, 128 bytes an entry.
 *
 * From EL1 everything is saved on the stack and handed to exception_at_el1(). From EL0 we come
 * back out of user_enter(), see user.S.
 */

/* Save SP and what the exception overwrote. Clobbers x1 and x2. */
    .macro  save_state base, stack
    mrs     x1, elr_el1
    mrs     x2, spsr_el1
    stp     \stack, x1, [\base, #FRAME_SP]
    str     x2, [\base, #FRAME_PSTATE]
    .endm

/*
 * At EL1. The stack may have overflowed: then bit STACK_SHIFT of SP is set (layout.h). SP is
 * looked at without a spare register: sp += x0, x0 = sp - x0 is the old SP.
 */
    .macro  from_el1 kind
    .balign 128
    sub     sp, sp, #FRAME_SIZE
    add     sp, sp, x0
    sub     x0, sp, x0
    tbnz    x0, #STACK_SHIFT, 1f
    sub     x0, sp, x0
    sub     sp, sp, x0
    stp     x0, x1, [sp, #FRAME_X0]
    mov     x0, #\kind
    b       el1_exception
1:  sub     x0, sp, x0              // x0 and sp as they were
    sub     sp, sp, x0
    msr     tpidrro_el0, x0         // EL0 sees it as 0 otherwise: free for a moment
    add     x0, sp, #FRAME_SIZE
    b       stack_overflow
    .endm

    .macro  from_el0 kind
    .balign 128
    stp     x0, x1, [sp, #-16]!
    mov     x1, #\kind
    b       user_leave
    .endm

/* SP_EL0 and AArch32 are never used at EL1 and EL0: whatever comes here is a bug. */
    .macro  from_nowhere kind
    .balign 128
    sub     sp, sp, #FRAME_SIZE
    stp     x0, x1, [sp, #FRAME_X0]
    mov     x0, #\kind
    b       el1_exception
    .endm

    .cfi_sections .debug_frame
    .section .text.vectors, "ax"
    .balign 2048
    .global vectors
    .type vectors, %function
vectors:
    from_nowhere 0
    from_nowhere 1
    from_nowhere 2
    from_nowhere 3
    from_el1 4
    from_el1 5
    from_el1 6
    from_el1 7
    from_el0 8
    from_el0 9
    from_el0 10
    from_el0 11
    from_nowhere 12
    from_nowhere 13
    from_nowhere 14
    from_nowhere 15
    .balign 128
    .size vectors, . - vectors

/*
 * x0: the vector; the frame is at sp, its x0 and x1 are saved. The return column is ELR_mode
 * (33), so that a backtrace has both the PC and the LR of what was interrupted.
 */
    .type el1_exception, %function
el1_exception:
    .cfi_startproc
    .cfi_signal_frame
    .cfi_return_column 33
    .cfi_def_cfa sp, FRAME_SIZE
    .cfi_offset 29, 8 * 29 - FRAME_SIZE
    .cfi_offset 30, FRAME_X30 - FRAME_SIZE
    .cfi_offset 33, FRAME_PC - FRAME_SIZE
    .irp    reg, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28
    .cfi_offset \reg, 8 * \reg - FRAME_SIZE
    .endr
    frame_registers stp, str, sp
    add     x3, sp, #FRAME_SIZE
    save_state sp, x3
    mov     x1, sp
    bl      exception_at_el1        // returns when the instruction may go on
    ldp     x1, x2, [sp, #FRAME_PC]
    msr     elr_el1, x1
    msr     spsr_el1, x2
    frame_registers ldp, ldr, sp
    ldp     x0, x1, [sp, #FRAME_X0]
    add     sp, sp, #FRAME_SIZE
    eret
    .cfi_endproc
    .size el1_exception, . - el1_exception

/* x0: the SP that left the stack. Go on with another stack, and never come back. */
    .type stack_overflow, %function
stack_overflow:
    .cfi_startproc
    .cfi_signal_frame
    .cfi_return_column 33
    .cfi_def_cfa sp, FRAME_SIZE
    .cfi_offset 29, 8 * 29 - FRAME_SIZE
    .cfi_offset 30, FRAME_X30 - FRAME_SIZE
    .cfi_offset 33, FRAME_PC - FRAME_SIZE
    .cfi_offset 31, FRAME_SP - FRAME_SIZE
    msr     tpidr_el0, x1
    ldr     x1, =overflow_stack_top - FRAME_SIZE
    mov     sp, x1
    mrs     x1, tpidr_el0
    mov     x3, x0
    frame_registers stp, str, sp
    mrs     x0, tpidrro_el0
    stp     x0, x1, [sp, #FRAME_X0]
    save_state sp, x3
    mov     x0, sp
    bl      exception_stack_overflow
    .cfi_endproc
    .size stack_overflow, . - stack_overflow
    .ltorg
