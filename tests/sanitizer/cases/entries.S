/* SPDX-License-Identifier: BSD-3-Clause */
#include "case.inc"

/* Rules 7 and 8: single entries. */

#define CONTIGUOUS (1 << 52)

/* Fill 16 entries of user_l3 from n on: consecutive pages from FRAME(16), one contiguous run. */
    .macro  run n, first
    ldr     x0, =user_l3 + 8 * (\n)
    ldr     x1, =FRAME(\first) + USER_RW + CONTIGUOUS
    mov     x2, #16
1:  str     x1, [x0], #8
    add     x1, x1, #0x1000
    subs    x2, x2, #1
    b.ne    1b
    .endm

/* ---- 7: descriptor ---- */

case good_descriptor__contiguous_run
    run     16, 16
    dsb     ishst
    ret

/* Software may keep anything where bit 0 is clear. */
case good_descriptor__not_valid
    entry   user_l0, 3, 0xFFFFFFFFFFFFFFFE
    entry   user_l3, 8, 0xABCDABCDABCDABCC
    ret

case good_descriptor__access_flag_of_a_user_page
    entry   user_l3, 8, FRAME(8) + (USER_RW & ~AF)
    dsb     ishst
    ret

/* TCR_EL1.HA: walks set it. */
case good_descriptor__access_flag_by_hardware
    mrs     x0, tcr_el1
    orr     x0, x0, #(1 << 39)
    msr     tcr_el1, x0
    isb
    entry   window_l3, 8, FRAME(8) + (KERNEL_RW & ~AF)
    dsb     ishst
    isb
    ret

case bad_descriptor__block_at_level_0
    entry   user_l0, 3, USER_BLOCK
    dsb     ishst
    ret

case bad_descriptor__page_without_bit_1
    entry   user_l3, 8, FRAME(8) + USER_BLOCK
    dsb     ishst
    ret

case bad_descriptor__address_size
    entry   user_l3, 8, 0x10000000000 + USER_RW
    dsb     ishst
    ret

case bad_descriptor__misaligned_block
    entry   user_l2, 8, 0x40A01000 + USER_BLOCK
    dsb     ishst
    ret

case bad_descriptor__access_flag_of_a_kernel_page
    entry   window_l3, 8, FRAME(8) + (KERNEL_RW & ~AF)
    dsb     ishst
    isb
    ret

case bad_descriptor__reserved_memory_type
    entry   user_l3, 8, FRAME(8) + USER_RW + ATTR(4)
    dsb     ishst
    ret

case bad_descriptor__contiguous_run_incomplete
    entry   user_l3, 16, FRAME(16) + USER_RW + CONTIGUOUS
    dsb     ishst
    ret

/* One of 16 has other rights. */
case bad_descriptor__contiguous_run_unlike
    .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14
    entry   user_l3, 16 + \n, FRAME(16 + \n) + USER_RW + CONTIGUOUS
    .endr
    entry   user_l3, 31, FRAME(31) + USER_RO + CONTIGUOUS
    dsb     ishst
    ret

/* A run that stands, of which some is unmapped later. Clobbers x19 to x21. */
    .macro  shrink_run count
    mov     x19, x30
    run     16, 16
    dsb     ishst
    bl      visit_el0
    ldr     x0, =user_l3 + 8 * 16
    mov     x2, #\count
1:  str     xzr, [x0], #8
    subs    x2, x2, #1
    b.ne    1b
    dsb     ishst
    ldr     x2, =ASID(1)
    tlbi    aside1is, x2
    dsb     ish
    ret     x19
    .endm

case good_descriptor__contiguous_run_unmapped
    shrink_run 16

case bad_descriptor__contiguous_run_unmapped_in_part
    shrink_run 1

case bad_descriptor__contiguous_run_misaligned
    run     16, 17
    dsb     ishst
    ret

/* ---- 8: policy ---- */

/* Caches know of nothing that FRAME(8) held before. Clobbers x0. */
    .macro  no_stale_code
    ldr     x0, =KERNEL + FRAME(8)
    dc      cvau, x0
    dsb     ish
    ic      ivau, x0
    dsb     ish
    isb
    .endm

case good_policy__user_code
    no_stale_code
    entry   user_l3, 8, FRAME(8) + ((USER_RW | AP_RO) & ~UXN)
    dsb     ishst
    ret

case good_policy__kernel_code
    no_stale_code
    entry   window_l3, 8, FRAME(8) + (KERNEL_RO & ~PXN)
    dsb     ishst
    isb
    ret

case good_policy__device
    entry   window_l3, 8, 0x09000000 + KERNEL_RW + ATTR(3)
    dsb     ishst
    isb
    ret

/* The entry alone would let EL0 execute what it may write; the table above it does not. */
case good_policy__limited_by_its_table
    no_stale_code
    entry   new_l3, 1, FRAME(8) + (USER_RW & ~UXN)
    dsb     ishst
    entry   user_l2, 8, PA(new_l3) + TABLE + (1 << 60)
    dsb     ishst
    ret

case bad_policy__user_page_writable_and_executable
    no_stale_code
    entry   user_l3, 8, FRAME(8) + (USER_RW & ~UXN)
    dsb     ishst
    ret

case bad_policy__kernel_page_writable_and_executable
    no_stale_code
    entry   window_l3, 8, FRAME(8) + (KERNEL_RW & ~PXN)
    dsb     ishst
    isb
    ret

case bad_policy__user_page_executable_at_el1
    no_stale_code
    entry   user_l3, 8, FRAME(8) + (USER_RO & ~PXN)
    dsb     ishst
    ret

case bad_policy__kernel_page_readable_at_el0
    entry   window_l3, 8, FRAME(8) + KERNEL_RO + AP_EL0
    dsb     ishst
    isb
    ret

case bad_policy__kernel_page_executable_at_el0
    no_stale_code
    entry   window_l3, 8, FRAME(8) + (KERNEL_RO & ~UXN)
    dsb     ishst
    isb
    ret

case bad_policy__device_executable
    entry   window_l3, 8, 0x09000000 + (KERNEL_RO & ~PXN) + ATTR(3)
    dsb     ishst
    isb
    ret

/* ---- 8: mismatched attributes. FRAME(1) is the user's, FRAME(32) the kernel's; all are in its half. ---- */

case good_policy__twins_that_agree
    entry   window_l3, 8, FRAME(32) + KERNEL_RO
    entry   user_l3, 8, FRAME(1) + USER_RO
    dsb     ishst
    isb
    ret

/* The two mappings of a device: what is not cacheable is outer shareable, whatever the entry says. */
case good_policy__devices_that_agree
    entry   window_l3, 8, 0x09000000 + KERNEL_RW + ATTR(3)
    entry   window_l3, 9, 0x09000000 + (KERNEL_RO & ~SH) + ATTR(3)
    dsb     ishst
    isb
    ret

/* Broken and made again, with another memory type, and its neighbours with that of the others. */
case good_policy__device_then_memory
    entry   window_l3, 8, 0x0A000000 + KERNEL_RW + ATTR(3)
    dsb     ishst
    isb
    entry   window_l3, 8, 0
    dsb     ishst
    tlbi_va vaae1is, WINDOW + 0x8000
    dsb     ish
    isb
    entry   window_l3, 8, 0x0A000000 + KERNEL_RW
    entry   window_l3, 9, 0x0A001000 + KERNEL_RW + ATTR(3)
    entry   window_l3, 10, 0x0A002000 + KERNEL_RW
    dsb     ishst
    isb
    ret

case bad_policy__twin_is_not_cacheable
    entry   window_l3, 8, FRAME(32) + KERNEL_RW + ATTR(1)
    dsb     ishst
    isb
    ret

case bad_policy__twin_is_a_device
    entry   window_l3, 8, FRAME(32) + KERNEL_RW + ATTR(3)
    dsb     ishst
    isb
    ret

case bad_policy__twin_is_not_shareable
    entry   window_l3, 8, FRAME(32) + (KERNEL_RW & ~SH)
    dsb     ishst
    isb
    ret

/* The one that is like most others comes last, a page of what was mapped by a block. */
case bad_policy__twin_of_a_device
    entry   window_l2, 1, 0x0A000000 + KERNEL_RW - 2 + ATTR(3)
    entry   window_l3, 8, 0x0A005000 + KERNEL_RW
    dsb     ishst
    isb
    ret

/* The other way round. */
case bad_policy__block_over_a_page_of_a_device
    entry   window_l3, 8, 0x0A005000 + KERNEL_RW + ATTR(3)
    entry   window_l2, 1, 0x0A000000 + KERNEL_RW - 2
    dsb     ishst
    isb
    ret

/* With a block that is the unlike one. */
case bad_policy__block_of_a_device_over_a_page
    entry   window_l3, 8, 0x0A005000 + KERNEL_RW
    entry   window_l2, 1, 0x0A000000 + KERNEL_RW - 2 + ATTR(3)
    dsb     ishst
    isb
    ret

/* In a table that is filled before it is linked. */
case bad_policy__twin_in_a_new_table
    entry   window_l3, 8, 0x0A005000 + KERNEL_RW + ATTR(3)
    entry   new_l3, 1, 0x0A005000 + USER_RW
    dsb     ishst
    isb
    entry   user_l2, 8, PA(new_l3) + TABLE
    dsb     ishst
    ret

case bad_policy__device_is_code_and_memory
    entry   window_l3, 8, 0x0A005000 + KERNEL_RW
    entry   window_l3, 9, 0x0A005000 + (KERNEL_RO & ~PXN) + ATTR(3)
    dsb     ishst
    isb
    ret
