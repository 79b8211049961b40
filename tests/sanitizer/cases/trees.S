/* SPDX-License-Identifier: BSD-3-Clause */
#include "case.inc"

/* Rules 4, 6 and 9: trees of tables that come and go. */

/* Other tables, or none, for the low half. Clobbers x0. */
    .macro  space table, asid
    ldr     x0, =PA(\table) + ASID(\asid)
    msr     ttbr0_el1, x0
    isb
    .endm

/* Forget all, here alone, as at boot. */
    .macro  flush_here
    tlbi    vmalle1
    dsb     nsh
    isb
    .endm

    .macro  flush_asid n
    ldr     x2, =ASID(\n)
    tlbi    aside1is, x2
    dsb     ish
    .endm

/* TCR_EL1.T0SZ. Clobbers x9, x10. */
    .macro  set_t0sz n
    mrs     x9, tcr_el1
    mov     x10, #\n
    bfi     x9, x10, #0, #6
    msr     tcr_el1, x9
    isb
    .endm

/* ---- 6: table-page ---- */

/* The reserved tables stay in TTBR0 while the low half gets another size: so is an identity map installed. */
case good_table_page__reserved_tables_of_two_levels
    space   empty_l0, 0
    flush_here
    set_t0sz 25
    space   user_l1, 2
    ret

/*
 * Other tables for the kernel's half, by way of an identity map and of reserved tables, as kernels leave those
 * that they booted with. What they were then is memory like any other.
 */
    .macro  replace_kernel_tables flushed
    mov     x19, x30
    ldr     x1, =PA(kernel_l1) + TABLE
    ldr     x0, =new_l3
    stp     x1, xzr, [x0]
    dsb     ishst
    space   empty_l0, 0
    flush_here
    space   boot_l0, 0
    ldr     x3, =PA(empty_l0)
    ldr     x4, =PA(new_l3)
    adr     x5, 1f
    ldr     x6, =replace_\flushed
    br      x6
1:  space   empty_l0, 0
    .if     \flushed
    flush_here
    .endif
    ldr     x0, =kernel_l0
    mov     x1, #-1
    strb    w1, [x0]
    str     x1, [x0, #8]
    ret     x19
    .ltorg

    .section .boot, "ax"
replace_\flushed:
    msr     ttbr1_el1, x3
    isb
    .if     \flushed
    flush_here
    .endif
    msr     ttbr1_el1, x4
    isb
    br      x5
    .text
    .endm

case good_table_page__kernel_tables_replaced
    replace_kernel_tables 1

case bad_table_page__kernel_tables_replaced_without_flush
    replace_kernel_tables 0

/* Nothing is mapped any more when the TLBs are told: so none has anything of it when it is left. */
case good_table_page__space_emptied_then_left
    entry   user_l0, 0, 0
    dsb     ishst
    flush_asid 1
    space   empty_l0, 0
    ldr     x0, =user_l0
    dc      zva, x0
    ret

case good_table_page__space_left_then_emptied
    space   empty_l0, 0
    entry   user_l3, 1, 0
    entry   user_l0, 0, 0
    dsb     ishst
    .irp    va, 0, 0x1000, 0x2000, 0x3000, 0x4000, 0x200000, 0x400000
    tlbi_va vae1is, \va
    .endr
    dsb     ish
    ldr     x0, =user_l0
    dc      zva, x0
    ret

/* Walks may have brought back what the TLBI made TLBs forget. */
case bad_table_page__space_flushed_then_left
    flush_asid 1
    space   empty_l0, 0
    ldr     x0, =user_l0
    dc      zva, x0
    ret

/*
 * Of 32 bits a first table has four entries, and others share its page: new_l3 is one with ASID 1, and what is 64
 * bytes behind it one with ASID 2, which is walked.
 */
    .macro  small_roots
    ldr     x0, =user_l1
    ldr     x1, [x0]
    ldr     x3, =new_l3
    stp     x1, xzr, [x3]
    str     x1, [x3, #64]
    dsb     ishst
    space   empty_l0, 0
    flush_here
    set_t0sz 32
    space   new_l3, 1
    space   new_l3 + 64, 2
    .endm

case good_table_page__first_tables_in_one_page
    small_roots
    str     xzr, [x3, #32]
    strb    wzr, [x3, #96]
    flush_asid 1
    mov     x1, #-1
    str     x1, [x3, #8]
    strb    w1, [x3]
    ret

case bad_table_page__one_of_two_first_tables_in_one_page
    small_roots
    strb    wzr, [x3]
    ret

case bad_new_entry__second_of_two_first_tables_in_one_page
    small_roots
    strb    wzr, [x3, #72]
    ret

/* ---- 4: tlbi-scope ---- */

case good_tlbi_scope__asid_of_a_space_that_was_emptied
    entry   user_l0, 0, 0
    dsb     ishst
    flush_asid 1
    space   other_l0, 1
    ret

case bad_tlbi_scope__asid_of_a_space_that_was_flushed_but_not_left
    flush_asid 1
    space   other_l0, 1
    ret

/* The TLBI is waited for when another space, or the same one, has the ASID again. */
    .macro  flush_across table
    space   empty_l0, 0
    ldr     x2, =ASID(1)
    tlbi    aside1is, x2
    space   \table, 1
    dsb     ish
    .endm

case good_tlbi_scope__asid_flushed_across_the_switch
    flush_across other_l0
    ret

case bad_tlbi_scope__asid_of_a_space_that_came_back
    flush_across user_l0
    space   other_l0, 1
    ret

/* One tree with two ASIDs: one for EL0, and one for the kernel with all of its own half mapped. */
    .macro  pair_of_asids
    space   user_l0, 3
    space   user_l0, 1
    entry   user_l3, 1, 0
    dsb     ishst
    tlbi_va vale1is, 0x1000, 1
    .endm

case good_tlbi_scope__pair_of_asids
    pair_of_asids
    tlbi_va vale1is, 0x1000, 3
    dsb     ish
    ret

case bad_tlbi_scope__one_of_a_pair_of_asids
    pair_of_asids
    dsb     ish
    ret

/* The kernel's part of each address space, where it has no half of its own. */
    .macro  global_in_both_spaces n
    space   other_l0, 2
    entry   other_l3, 8, FRAME(\n) + KERNEL_RW
    dsb     ishst
    space   user_l0, 1
    entry   user_l3, 8, FRAME(8) + KERNEL_RW
    dsb     ishst
    space   other_l0, 2
    ret
    .endm

case good_tlbi_scope__global_entry_in_all_address_spaces
    global_in_both_spaces 8

case bad_tlbi_scope__global_entries_that_differ
    global_in_both_spaces 9

/* ---- 9: system-register ---- */

/* An ASID goes to another space, which gets a new one soon. */
case good_system_register__asid_handed_over_and_renewed
    space   empty_l0, 1
    flush_asid 1
    space   other_l0, 1
    space   other_l0, 2
    ret

case bad_system_register__asid_handed_over_without_flush
    space   empty_l0, 1
    space   other_l0, 1
    space   other_l0, 2
    ret

/* TCR_EL1.EPD0: no walks while TTBR0 is of no space. */
case good_system_register__walks_disabled_between
    mrs     x9, tcr_el1
    orr     x10, x9, #(1 << 7)
    msr     tcr_el1, x10
    isb
    msr     ttbr0_el1, xzr
    isb
    flush_asid 1
    space   other_l0, 1
    msr     tcr_el1, x9
    isb
    ret

/* TCR_EL1.A1: the ASID is that of TTBR1. Clobbers x9. */
    .macro  use_asids_of_ttbr1
    space   empty_l0, 0
    flush_here
    mrs     x9, tcr_el1
    orr     x9, x9, #(1 << 22)
    msr     tcr_el1, x9
    isb
    .endm

/* Clobbers x11, x12. */
    .macro  set_asid n
    mrs     x11, ttbr1_el1
    mov     x12, #\n
    bfi     x11, x12, #48, #16
    msr     ttbr1_el1, x11
    isb
    .endm

/* It changes while TTBR0 maps nothing. */
case good_system_register__asid_in_ttbr1
    use_asids_of_ttbr1
    .irp    n, 2, 3, 2
    space   empty_l0, 0
    set_asid \n
    .if     \n == 2
    space   user_l0, 0
    .else
    space   other_l0, 0
    .endif
    .endr
    entry   user_l3, 1, 0
    dsb     ishst
    tlbi_va vale1is, 0x1000, 2
    dsb     ish
    ret

/* No tables that map nothing: the old ones are walked with the new ASID. */
case bad_system_register__asid_in_ttbr1_then_table
    use_asids_of_ttbr1
    set_asid 2
    space   user_l0, 0
    set_asid 3
    space   other_l0, 0
    flush_here
    ret

/* One for EL0 and one for the kernel, as above, while TTBR0 stays. */
    .macro  pair_in_ttbr1
    use_asids_of_ttbr1
    set_asid 2
    space   user_l0, 0
    set_asid 3
    entry   user_l3, 1, 0
    dsb     ishst
    tlbi_va vale1is, 0x1000, 3
    .endm

case good_tlbi_scope__pair_of_asids_in_ttbr1
    pair_in_ttbr1
    tlbi_va vale1is, 0x1000, 2
    dsb     ish
    ret

case bad_tlbi_scope__one_of_a_pair_of_asids_in_ttbr1
    pair_in_ttbr1
    dsb     ish
    ret

case bad_tlbi_scope__the_other_of_a_pair_of_asids_in_ttbr1
    use_asids_of_ttbr1
    set_asid 2
    space   user_l0, 0
    set_asid 3
    entry   user_l3, 1, 0
    dsb     ishst
    tlbi_va vale1is, 0x1000, 2
    dsb     ish
    ret

/* ---- tables below one that was unlinked ---- */

/* A TLBI by VA is for the tables on the way to it: user_l3, or spare_l3. */
    .macro  reuse_l3 va
    entry   user_l1, 0, 0
    dsb     ishst
    tlbi_va vae1is, \va
    dsb     ish
    entry   user_l3, 8, FRAME(8) + USER_RW
    tlbi    vmalle1is
    dsb     ish
    ret
    .endm

case good_table_page__reused_below_what_was_unlinked
    reuse_l3 0x1000

case bad_table_page__reused_beside_what_was_invalidated
    reuse_l3 0x400000
