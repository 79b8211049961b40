/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Accesses that may fault. Each such instruction has a line in the exception table: when its
 * abort cannot be resolved, execution goes on at the line's second address.
 */
    .macro  may_fault target, instruction:vararg
9999:   \instruction
    .pushsection .exception_table, "a"
    .balign 8
    .quad   9999b, \target
    .popsection
    .endm

    .cfi_sections .debug_frame
    .section .text.uaccess, "ax"

/* size_t arch_nofault_copy(char *to, const char *from, size_t len): bytes that were not copied. */
    .global arch_nofault_copy
    .type arch_nofault_copy, %function
arch_nofault_copy:
    .cfi_startproc
    orr     x3, x0, x1              // 8 bytes at a time where both sides are aligned
    tst     x3, #7
    b.ne    2f
1:  cmp     x2, #8
    b.lo    2f
    may_fault 2f, ldr x3, [x1]
    may_fault 2f, str x3, [x0]
    add     x1, x1, #8
    add     x0, x0, #8
    sub     x2, x2, #8
    b       1b
2:  cbz     x2, 3f
    may_fault 3f, ldrb w3, [x1]
    may_fault 3f, strb w3, [x0]
    add     x1, x1, #1
    add     x0, x0, #1
    sub     x2, x2, #1
    b       2b
3:  mov     x0, x2
    ret
    .cfi_endproc
    .size arch_nofault_copy, . - arch_nofault_copy

/* bool arch_nofault_touch(vaddr_t at, bool write): read a byte, and write the same one back. */
    .global arch_nofault_touch
    .type arch_nofault_touch, %function
arch_nofault_touch:
    .cfi_startproc
1:  may_fault 2f, ldxrb w2, [x0]
    cbz     w1, 3f
    may_fault 2f, stxrb w3, w2, [x0]
    cbnz    w3, 1b
3:  clrex
    mov     w0, #1
    ret
2:  clrex
    mov     w0, #0
    ret
    .cfi_endproc
    .size arch_nofault_touch, . - arch_nofault_touch
