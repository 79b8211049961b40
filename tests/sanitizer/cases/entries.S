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
