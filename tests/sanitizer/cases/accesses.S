/* SPDX-License-Identifier: BSD-3-Clause */
#include "case.inc"

/* Rules 1, 3, 5, 9 and 11: what EL1 itself accesses, where its memory goes, and what was there before. */

/* Load from, or store to, an address; if that faults, go on behind it. Clobbers x0, x1, x20, x21. */
    .macro  access operation, address:vararg
    ldr     x0, =\address
    adr     x20, 1f
    \operation x1, [x0]
1:
    .endm

/* The user's tables give way to others, and come back if asked for. Clobbers x0. */
    .macro  activate root, asid
    ldr     x0, =PA(\root) + ASID(\asid)
    msr     ttbr0_el1, x0
    isb
    .endm

/* ---- 3: incomplete-tlbi ---- */

case good_incomplete_tlbi__kernel_accesses_behind_dsb_and_isb
    entry   window_l3, 0, 0
    dsb     ishst
    tlbi_va vaae1is, WINDOW
    dsb     ish
    isb
    access  ldr, WINDOW
    ret

case bad_incomplete_tlbi__kernel_accesses_before_dsb
    entry   window_l3, 0, 0
    dsb     ishst
    tlbi_va vaae1is, WINDOW
    access  ldr, WINDOW
    dsb     ish
    isb
    ret

case bad_incomplete_tlbi__kernel_accesses_before_tlbi
    access  ldr, WINDOW
    entry   window_l3, 0, 0
    dsb     ishst
    access  ldr, WINDOW
    tlbi_va vaae1is, WINDOW
    dsb     ish
    isb
    ret

case bad_incomplete_tlbi__kernel_accesses_user_page_before_dsb
    entry   user_l3, 1, 0
    dsb     ishst
    tlbi_va vae1is, 0x1000
    access  str, 0x1000
    dsb     ish
    ret

/* To copy what a page held is no use of its memory; and a page that stays mapped elsewhere was not given up. */
case good_incomplete_tlbi__memory_is_read_before_tlbi
    entry   user_l3, 1, 0
    access  ldr, KERNEL + FRAME(1)
    dsb     ishst
    tlbi_va vae1is, 0x1000
    dsb     ish
    access  str, KERNEL + FRAME(1)
    ret

case good_incomplete_tlbi__shared_memory_is_written_before_tlbi
    entry   user_l3, 8, FRAME(1) + USER_RW
    entry   user_l3, 1, 0
    access  str, KERNEL + FRAME(1)
    dsb     ishst
    tlbi_va vae1is, 0x1000
    dsb     ish
    ret

case good_incomplete_tlbi__shared_memory_is_mapped_by_another_space
    activate other_l0, 2
    activate user_l0, 1
    entry   user_l3, 8, FRAME(1) + USER_RW
    entry   user_l3, 1, 0
    entry   other_l3, 8, FRAME(1) + USER_RW
    dsb     ishst
    tlbi_va vae1is, 0x1000
    dsb     ish
    ret

case good_incomplete_tlbi__memory_of_another_page_is_written_before_tlbi
    entry   user_l3, 1, 0
    access  str, KERNEL + FRAME(0) + 0xFF8
    access  str, KERNEL + FRAME(2)
    dsb     ishst
    tlbi_va vae1is, 0x1000
    dsb     ish
    ret

case bad_incomplete_tlbi__memory_is_written_before_tlbi
    entry   user_l3, 1, 0
    access  str, KERNEL + FRAME(1)
    dsb     ishst
    tlbi_va vae1is, 0x1000
    dsb     ish
    ret

case bad_incomplete_tlbi__memory_is_zeroed_by_line_before_dsb
    entry   user_l3, 1, 0
    dsb     ishst
    tlbi_va vae1is, 0x1000
    ldr     x0, =KERNEL + FRAME(1)
    dc      zva, x0
    dsb     ish
    ret

case good_incomplete_tlbi__page_moves_within_its_address_space
    entry   user_l3, 1, 0
    entry   user_l3, 8, FRAME(1) + USER_RW
    dsb     ishst
    tlbi_va vae1is, 0x1000
    dsb     ish
    ret

/* A table of two spaces: each has it at an address of its own. */
    .macro  share_a_table
    entry   other_l2, 1, PA(spare_l3) + TABLE
    dsb     ishst
    activate other_l0, 2
    activate user_l0, 1
    .endm

/* The other one has it all the time, by way of the same table. */
case good_incomplete_tlbi__page_moves_in_a_table_of_two_spaces
    share_a_table
    entry   spare_l3, 0, 0
    entry   spare_l3, 1, FRAME(5) + USER_RW
    dsb     ishst
    tlbi_va vae1is, 0x400000, 1
    tlbi_va vae1is, 0x200000, 2
    dsb     ish
    ret

case good_owed__table_of_two_spaces
    share_a_table
    entry   spare_l3, 0, 0
    dsb     ishst
    tlbi_va vae1is, 0x400000, 1
    tlbi_va vae1is, 0x200000, 2
    dsb     ish
    ret

case bad_owed__table_of_two_spaces_but_for_that_of_asid_1
    share_a_table
    entry   spare_l3, 0, 0
    dsb     ishst
    tlbi_va vae1is, 0x200000, 2
    dsb     ish
    ret

case bad_owed__table_of_two_spaces_but_for_that_of_asid_2
    share_a_table
    entry   spare_l3, 0, 0
    dsb     ishst
    tlbi_va vae1is, 0x400000, 1
    dsb     ish
    ret

case good_incomplete_tlbi__memory_is_mapped_by_another_space_behind_dsb
    activate other_l0, 2
    activate user_l0, 1
    entry   user_l3, 1, 0
    dsb     ishst
    tlbi_va vae1is, 0x1000
    dsb     ish
    entry   other_l3, 8, FRAME(1) + USER_RW
    dsb     ishst
    ret

case bad_incomplete_tlbi__memory_is_mapped_by_another_space
    activate other_l0, 2
    activate user_l0, 1
    entry   user_l3, 1, 0
    dsb     ishst
    tlbi_va vae1is, 0x1000
    entry   other_l3, 8, FRAME(1) + USER_RW
    dsb     ish
    ret

/* The other tables are not known before a TTBR points to them. */
case bad_incomplete_tlbi__memory_is_mapped_by_a_space_that_follows
    entry   other_l3, 8, FRAME(1) + USER_RW
    entry   user_l3, 1, 0
    dsb     ishst
    tlbi_va vae1is, 0x1000
    activate other_l0, 2
    dsb     ish
    ret

case bad_incomplete_tlbi__memory_is_mapped_by_the_kernel
    entry   user_l3, 1, 0
    dsb     ishst
    entry   window_l3, 8, FRAME(1) + KERNEL_RW
    tlbi_va vae1is, 0x1000
    dsb     ish
    isb
    ret

/* ---- 5: new-entry ---- */

case good_new_entry__kernel_accesses_behind_isb
    entry   window_l3, 8, FRAME(8) + KERNEL_RW
    dsb     ishst
    isb
    access  str, WINDOW + 0x8000
    ret

case good_new_entry__memory_is_written_elsewhere_before_dsb
    entry   window_l3, 8, FRAME(8) + KERNEL_RW
    access  str, KERNEL + FRAME(8)
    dsb     ishst
    isb
    ret

case bad_new_entry__kernel_accesses_before_dsb
    entry   window_l3, 8, FRAME(8) + KERNEL_RW
    access  ldr, WINDOW + 0x8000
    dsb     ishst
    isb
    ret

case bad_new_entry__kernel_accesses_before_isb
    entry   window_l3, 8, FRAME(8) + KERNEL_RW
    dsb     ishst
    access  str, WINDOW + 0x8008
    isb
    ret

/* ---- 11: owed, and 1: break-before-make, over more than one store ---- */

/* Pages are aged without a TLBI: that some access is not noticed does no harm. */
case good_owed__access_flag_is_cleared
    entry   user_l3, 1, FRAME(1) + (USER_RW & ~AF)
    dsb     ishst
    ret

case good_break_before_make__access_flag_is_set_in_place
    entry   user_l3, 1, FRAME(1) + (USER_RW & ~AF)
    dsb     ishst
    entry   user_l3, 1, FRAME(1) + USER_RW
    dsb     ishst
    ret

case good_owed__unmapped_after_the_access_flag_and_a_tlbi
    entry   user_l3, 1, FRAME(1) + (USER_RW & ~AF)
    dsb     ishst
    tlbi_va vae1is, 0x1000
    dsb     ish
    entry   user_l3, 1, 0
    dsb     ishst
    ret

case bad_owed__unmapped_after_the_access_flag
    entry   user_l3, 1, FRAME(1) + (USER_RW & ~AF)
    entry   user_l3, 1, 0
    dsb     ishst
    ret

case bad_break_before_make__address_after_the_access_flag
    entry   user_l3, 1, FRAME(1) + (USER_RW & ~AF)
    entry   user_l3, 1, FRAME(9) + USER_RW
    dsb     ishst
    tlbi_va vae1is, 0x1000
    dsb     ish
    ret

case bad_break_before_make__made_after_the_access_flag
    entry   user_l3, 1, FRAME(1) + (USER_RW & ~AF)
    entry   user_l3, 1, 0
    dsb     ishst
    entry   user_l3, 1, FRAME(9) + USER_RW
    dsb     ishst
    ret

case good_owed__right_is_given_back
    entry   user_l3, 1, FRAME(1) + USER_RO
    entry   user_l3, 1, FRAME(1) + USER_RW
    dsb     ishst
    ret

case bad_owed__another_right_is_given_back
    entry   user_l3, 1, FRAME(1) + (USER_RO & ~UXN)
    entry   user_l3, 1, FRAME(1) + USER_RW
    dsb     ishst
    ret

/* Another CPU may run the address space that this one has left. */
case good_break_before_make__in_a_space_that_was_flushed
    activate other_l0, 2
    ldr     x2, =ASID(1)
    tlbi    aside1is, x2
    dsb     ish
    entry   user_l3, 1, FRAME(9) + USER_RW
    dsb     ishst
    ret

case bad_break_before_make__in_a_space_that_was_left
    activate other_l0, 2
    entry   user_l3, 1, FRAME(9) + USER_RW
    dsb     ishst
    tlbi_va vae1is, 0x1000
    dsb     ish
    ret

/* ---- 9: system-register ---- */

case good_system_register__kernel_half_is_accessed_before_isb
    ldr     x0, =PA(other_l0) + ASID(2)
    msr     ttbr0_el1, x0
    access  ldr, KERNEL + FRAME(1)
    isb
    ret

case good_system_register__user_half_is_accessed_behind_isb
    activate other_l0, 2
    access  ldr, 0x1000
    ret

case bad_system_register__user_half_is_accessed_before_isb
    ldr     x0, =PA(other_l0) + ASID(2)
    msr     ttbr0_el1, x0
    access  ldr, 0x1000
    isb
    ret

case bad_system_register__user_half_is_accessed_before_isb_of_tcr
    mrs     x0, tcr_el1
    msr     tcr_el1, x0
    access  str, 0x1000
    isb
    ret
