/* SPDX-License-Identifier: BSD-3-Clause */
#include "frame.h"
#include "layout.h"

/*
 * The vector table (D1.3.1.4): four sources of four kinds each, 128 bytes an entry.
 *
 * From EL1 everything is saved on the stack and handed to exception_at_el1(). From EL0 we come
 * back out of user_enter(), see user.S.
 */

/* Save x0 to x30 and what the exception overwrote at [base]. Clobbers x0 to x2 after saving. */
    .macro  save_general base
    stp     x2, x3, [\base, #16 * 1]
    stp     x4, x5, [\base, #16 * 2]
    stp     x6, x7, [\base, #16 * 3]
    stp     x8, x9, [\base, #16 * 4]
    stp     x10, x11, [\base, #16 * 5]
    stp     x12, x13, [\base, #16 * 6]
    stp     x14, x15, [\base, #16 * 7]
    stp     x16, x17, [\base, #16 * 8]
    stp     x18, x19, [\base, #16 * 9]
    stp     x20, x21, [\base, #16 * 10]
    stp     x22, x23, [\base, #16 * 11]
    stp     x24, x25, [\base, #16 * 12]
    stp     x26, x27, [\base, #16 * 13]
    stp     x28, x29, [\base, #16 * 14]
    str     x30, [\base, #FRAME_X30]
    .endm

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
    save_general sp
    add     x3, sp, #FRAME_SIZE
    save_state sp, x3
    mov     x1, sp
    bl      exception_at_el1        // returns when the instruction may go on
    ldp     x1, x2, [sp, #FRAME_PC]
    msr     elr_el1, x1
    msr     spsr_el1, x2
    ldp     x2, x3, [sp, #16 * 1]
    ldp     x4, x5, [sp, #16 * 2]
    ldp     x6, x7, [sp, #16 * 3]
    ldp     x8, x9, [sp, #16 * 4]
    ldp     x10, x11, [sp, #16 * 5]
    ldp     x12, x13, [sp, #16 * 6]
    ldp     x14, x15, [sp, #16 * 7]
    ldp     x16, x17, [sp, #16 * 8]
    ldp     x18, x19, [sp, #16 * 9]
    ldp     x20, x21, [sp, #16 * 10]
    ldp     x22, x23, [sp, #16 * 11]
    ldp     x24, x25, [sp, #16 * 12]
    ldp     x26, x27, [sp, #16 * 13]
    ldp     x28, x29, [sp, #16 * 14]
    ldr     x30, [sp, #FRAME_X30]
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
    save_general sp
    mrs     x0, tpidrro_el0
    stp     x0, x1, [sp, #FRAME_X0]
    save_state sp, x3
    mov     x0, sp
    bl      exception_stack_overflow
    .cfi_endproc
    .size stack_overflow, . - stack_overflow
    .ltorg
