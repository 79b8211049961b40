/* SPDX-License-Identifier: BSD-3-Clause */
#include "case.inc"

/* Rule 10, for code that EL1 executes, and line by line. Frame 8 is mapped for EL1 at CODE, or for EL0. */

#define USER_CODE ((USER_RW | AP_RO) & ~UXN)
#define KERNEL_CODE (KERNEL_RO & ~PXN)
#define CODE (WINDOW + 0x8000)
#define WRITABLE (KERNEL + FRAME(8))
#define RET 0xD65F03C0
#define NOP 0xD503201F

    .macro  map_code
    entry   window_l3, 8, FRAME(8) + KERNEL_CODE
    dsb     ishst
    isb
    .endm

    .macro  map_user_code
    entry   user_l3, 8, FRAME(8) + USER_CODE
    dsb     ishst
    .endm

/* Write an instruction at an offset. Clobbers x0 and x1. */
    .macro  write at, what=RET
    ldr     x0, =WRITABLE + (\at)
    ldr     w1, =\what
    str     w1, [x0]
    .endm

/* Maintain the line at an offset, but for the ISB. Clobbers x0. */
    .macro  maintain at
    ldr     x0, =WRITABLE + (\at)
    dc      cvau, x0
    dsb     ish
    ic      ivau, x0
    dsb     ish
    .endm

/* Maintain [WRITABLE + from, WRITABLE + to) in steps. Clobbers x0 to x2. */
    .macro  maintain_range from, to, step
    ldr     x1, =WRITABLE + (\to)
    ldr     x0, =WRITABLE + (\from)
1:  dc      cvau, x0
    add     x0, x0, #\step
    cmp     x0, x1
    b.lo    1b
    dsb     ish
    ldr     x0, =WRITABLE + (\from)
2:  ic      ivau, x0
    add     x0, x0, #\step
    cmp     x0, x1
    b.lo    2b
    dsb     ish
    .endm

/* Call the code at an offset. Clobbers x9 and x19. */
    .macro  execute at=0
    mov     x19, x30
    ldr     x9, =CODE + (\at)
    blr     x9
    mov     x30, x19
    .endm

case good_instruction_memory__executed_behind_its_isb
    map_code
    write   0
    maintain 0
    isb
    execute
    ret

case good_instruction_memory__exception_synchronizes
    map_code
    write   0
    maintain 0
    mov     x19, x30
    bl      visit_el0
    mov     x30, x19
    execute
    ret

/* A module: written where it will be executed, then made so. */
case good_instruction_memory__written_in_its_place
    entry   window_l3, 8, FRAME(8) + KERNEL_RW
    dsb     ishst
    isb
    ldr     x0, =CODE
    ldr     w1, =RET
    str     w1, [x0]
    dc      cvau, x0
    dsb     ish
    ic      ivau, x0
    dsb     ish
    isb
    entry   window_l3, 8, FRAME(8) + KERNEL_CODE
    dsb     ishst
    tlbi_va vaale1is, CODE
    dsb     ish
    isb
    execute
    ret

/* Patched by way of a mapping that is gone when the code is maintained by its own. */
    .macro  patch maintained
    map_code
    entry   window_l3, 9, FRAME(8) + KERNEL_RW
    dsb     ishst
    isb
    ldr     x0, =CODE + 0x1000
    ldr     w1, =RET
    str     w1, [x0]
    entry   window_l3, 9, 0
    dsb     ishst
    tlbi_va vaale1is, CODE + 0x1000
    dsb     ish
    isb
    ldr     x0, =\maintained
    dc      cvau, x0
    dsb     ish
    ic      ivau, x0
    dsb     ish
    isb
    execute
    ret
    .endm

case good_instruction_memory__patched_by_way_of_another_mapping
    patch   CODE

/* By the address that is not mapped any more. */
case bad_instruction_memory__maintained_by_a_mapping_that_is_gone
    patch   CODE + 0x1000

/* ERET synchronizes. */
case good_instruction_memory__user_code_without_isb
    write   0
    maintain 0
    map_user_code
    ret

/* Code is made line by line, and each line executed as soon as it is ready. */
case good_instruction_memory__lines_one_after_the_other
    map_code
    write   0
    maintain 0
    isb
    write   0x40
    execute
    maintain 0x40
    isb
    execute 0x40
    ret

/* Of a page that is ready one line is written, and maintained. */
case good_instruction_memory__one_line_written_again
    write   0
    write   0x40
    maintain_range 0, 0x1000, 64
    map_user_code
    write   0x40, NOP
    write   0x44
    maintain 0x40
    ret

/* Another line holds something old, which nobody executes. */
case good_instruction_memory__old_line_of_a_kernel_page
    write   0x80
    write   0
    maintain 0
    map_code
    execute
    ret

/* From the middle of a line to the middle of the next: the end is rounded up. */
case good_instruction_memory__unaligned_range
    write   0x3c, NOP
    write   0x40
    maintain_range 0x20, 0x80, 64
    map_user_code
    ret

case good_instruction_memory__executed_again_and_again
    map_code
    write   0
    maintain 0
    isb
    mov     x10, #1200
1:  execute
    subs    x10, x10, #1
    b.ne    1b
    ret

case bad_instruction_memory__no_isb_behind_the_invalidation
    map_code
    write   0
    maintain 0
    execute
    isb
    ret

case bad_instruction_memory__no_isb_at_all
    map_code
    write   0
    maintain 0
    ret

/* The ISB comes before the DSB that completes the invalidation. */
case bad_instruction_memory__isb_too_early
    map_code
    write   0
    ldr     x0, =WRITABLE
    dc      cvau, x0
    dsb     ish
    ic      ivau, x0
    isb
    dsb     ish
    execute
    isb
    ret

case bad_instruction_memory__executed_before_it_is_maintained
    map_code
    write   0
    execute
    maintain 0
    isb
    ret

case bad_instruction_memory__executed_before_it_is_maintained_again
    map_code
    write   0, NOP
    write   4
    maintain_range 0, 0x1000, 64
    isb
    execute
    write   0
    execute
    maintain 0
    isb
    ret

/* What is executed begins in a line that is ready, and goes on in one that is not. */
case bad_instruction_memory__executed_into_the_next_line
    map_code
    write   0x3c, NOP
    maintain 0
    isb
    write   0x40
    execute 0x3c
    maintain 0x40
    isb
    ret

case bad_instruction_memory__second_line_left_out
    write   0
    write   0x40
    maintain 0
    map_user_code
    ret

/* As above, in a page that is ready: only of the first store is told. */
case bad_instruction_memory__second_line_written_again
    write   0
    maintain_range 0, 0x1000, 64
    map_user_code
    write   0, NOP
    write   0x40
    maintain 0
    ret

/* Every second line is left out. */
case bad_instruction_memory__step_of_two_lines
    write   0
    write   0xc0
    maintain_range 0, 0x1000, 128
    map_user_code
    ret

/* From the middle of a line: the last step is behind the end, and its line is left out. */
case bad_instruction_memory__unaligned_range
    write   0x3c, NOP
    write   0x40
    maintain_range 0x20, 0x50, 64
    map_user_code
    ret

/* Behind more executions than are told of. */
case bad_instruction_memory__executed_often_and_written
    map_code
    write   0
    maintain 0
    isb
    mov     x10, #1200
1:  execute
    subs    x10, x10, #1
    b.ne    1b
    write   0, NOP
    write   4
    execute
    maintain 0
    isb
    ret

/* ---- all CPUs, and EL0 ---- */

    .macro  invalidate_all operation, domain
    write   0
    map_user_code
    ldr     x0, =WRITABLE
    dc      cvau, x0
    dsb     ish
    ic      \operation
    dsb     \domain
    ret
    .endm

case good_instruction_memory__all_invalidated
    invalidate_all ialluis, ish

case bad_instruction_memory__all_invalidated_here_alone
    invalidate_all iallu, ish

case bad_instruction_memory__waited_for_here_alone
    invalidate_all ialluis, nsh

/* EL0 stores to what is code elsewhere, and calls: all that it does first counts. Clobbers x0, x1, x20, x21. */
    .macro  store_at_el0 va
    write   0, 0xF9000020           // str x0, [x1]
    write   4, 0xD4000001           // svc #0
    maintain 0
    map_user_code
    entry   user_l3, 9, FRAME(8) + USER_RW
    dsb     ishst
    ldr     x1, =\va
    adr     x20, 1f
    ldr     x21, =0x8000
    msr     elr_el1, x21
    mov     x21, #0x3c0
    msr     spsr_el1, x21
    eret
1:  maintain 0x100
    .endm

case good_incomplete_tlbi__eret_and_a_store_to_code
    store_at_el0 0x9100
    ret

case bad_incomplete_tlbi__eret_and_a_store_to_code
    entry   user_l3, 1, 0
    dsb     ishst
    store_at_el0 0x9100
    tlbi_va vae1is, 0x1000
    dsb     ish
    ret
