// SPDX-License-Identifier: BSD-3-Clause
// An exception entry that describes itself: 33 is ELR_mode, so the interrupted PC and x30 are both kept.
    .cfi_sections .debug_frame
    .macro save first, second, offset
    stp x\first, x\second, [sp, #\offset]
    .cfi_rel_offset \first, \offset
    .cfi_rel_offset \second, \offset + 8
    .endm

    .text
    .global vector
    .type vector, %function
vector:
    .cfi_startproc
    .cfi_signal_frame
    .cfi_return_column 33
    .cfi_def_cfa sp, 0
    sub sp, sp, #272
    .cfi_def_cfa_offset 272
    save 0, 1, 0
    save 2, 3, 16
    save 4, 5, 32
    save 6, 7, 48
    save 8, 9, 64
    save 10, 11, 80
    save 12, 13, 96
    save 14, 15, 112
    save 16, 17, 128
    save 18, 19, 144
    save 20, 21, 160
    save 22, 23, 176
    save 24, 25, 192
    save 26, 27, 208
    save 28, 29, 224
    mrs x9, elr_el1
    stp x30, x9, [sp, #240]
    .cfi_rel_offset 30, 240
    .cfi_rel_offset 33, 248
    mov x0, sp
    mov x29, #0
    bl handle
    b .
    .cfi_endproc
    .size vector, . - vector
