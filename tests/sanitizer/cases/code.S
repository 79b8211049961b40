/* SPDX-License-Identifier: BSD-3-Clause */
#include "case.inc"

/* Rule 10: instruction memory. The frames of cases are in the kernel's half at KERNEL + PA. */

#define USER_CODE ((USER_RW | AP_RO) & ~UXN)
#define RET 0xD65F03C0

/* Write an instruction into a frame. Clobbers x0 and x1. */
    .macro  write_code n
    ldr     x0, =KERNEL + FRAME(\n)
    ldr     w1, =RET
    str     w1, [x0]
    .endm

    .macro  map_code n
    entry   user_l3, 8, FRAME(\n) + USER_CODE
    dsb     ishst
    .endm

    .macro  unmap_code
    entry   user_l3, 8, 0
    dsb     ishst
    tlbi_va vale1is, 0x8000
    dsb     ish
    .endm

case good_instruction_memory__maintained_then_mapped
    write_code 8
    dc      cvau, x0
    dsb     ish
    ic      ivau, x0
    dsb     ish
    isb
    map_code 8
    ret

case good_instruction_memory__mapped_then_maintained
    map_code 8
    write_code 8
    dc      cvau, x0
    dsb     ish
    ic      ialluis
    dsb     ish
    isb
    ret

/* Data that nobody can execute needs none of it. */
case good_instruction_memory__data
    entry   user_l3, 8, FRAME(8) + USER_RW
    dsb     ishst
    write_code 8
    ret

/* No longer executable when it is written. */
case good_instruction_memory__unmapped_first
    map_code 8
    ldr     x0, =KERNEL + FRAME(8)
    dc      cvau, x0
    dsb     ish
    ic      ivau, x0
    dsb     ish
    unmap_code
    write_code 8
    ret

/* Clean and invalidate [KERNEL + FRAME(n), + size), line by line. Clobbers x0 to x2. */
    .macro  maintain_lines n, size
    ldr     x1, =KERNEL + FRAME(\n) + (\size)
    mov     x2, #64
    ldr     x0, =KERNEL + FRAME(\n)
1:  dc      cvau, x0
    add     x0, x0, x2
    cmp     x0, x1
    b.lo    1b
    dsb     ish
    ldr     x0, =KERNEL + FRAME(\n)
2:  ic      ivau, x0
    add     x0, x0, #64
    cmp     x0, x1
    b.lo    2b
    dsb     ish
    .endm

case good_instruction_memory__line_by_line
    write_code 8
    write_code 9
    maintain_lines 8, 0x2000
    map_code 8
    entry   user_l3, 9, FRAME(9) + USER_CODE
    dsb     ishst
    ret

/* Mapped, unmapped and mapped again: nobody has written between. */
case good_instruction_memory__mapped_again
    write_code 8
    maintain_lines 8, 0x1000
    map_code 8
    unmap_code
    map_code 8
    ret

/* A table that was cleaned is no code. */
case good_instruction_memory__table_cleaned
    ldr     x0, =user_l3
    dc      cvac, x0
    dsb     ish
    entry   user_l3, 8, FRAME(8) + USER_RW
    dsb     ishst
    ret

/* More lines than are told of one by one, and then a page that was forgotten. */
case bad_instruction_memory__behind_a_long_loop
    maintain_lines 8, 0x60000
    write_code 8
    map_code 8
    ret

case bad_instruction_memory__last_page_left_out
    write_code 9
    maintain_lines 8, 0x1000
    map_code 8
    entry   user_l3, 9, FRAME(9) + USER_CODE
    dsb     ishst
    ret

/* Other code was maintained here. */
case bad_instruction_memory__rewritten_before_it_is_mapped
    write_code 8
    maintain_lines 8, 0x1000
    write_code 8
    map_code 8
    ret

case bad_instruction_memory__rewritten_after_it_was_unmapped
    write_code 8
    maintain_lines 8, 0x1000
    map_code 8
    unmap_code
    write_code 8
    map_code 8
    ret

case bad_instruction_memory__never_maintained
    write_code 8
    map_code 8
    ret

case bad_instruction_memory__written_again
    map_code 8
    ldr     x0, =KERNEL + FRAME(8)
    dc      cvau, x0
    dsb     ish
    ic      ivau, x0
    dsb     ish
    write_code 8
    ret

case bad_instruction_memory__only_cleaned
    write_code 8
    dc      cvau, x0
    dsb     ish
    map_code 8
    ret

case bad_instruction_memory__no_barrier_between
    write_code 8
    dc      cvau, x0
    ic      ivau, x0
    dsb     ish
    map_code 8
    ret

case bad_instruction_memory__not_completed
    write_code 8
    dc      cvau, x0
    dsb     ish
    map_code 8
    ic      ivau, x0
    ret

case bad_instruction_memory__relied_upon_at_el0
    mov     x19, x30
    map_code 8
    bl      visit_el0
    ret     x19
