/* SPDX-License-Identifier: BSD-3-Clause */
#include "case.inc"

/* Rules 1 to 4 and 11: what becomes of entries that were valid. */

/* Fill entries of a table, each with what is `step` behind the one before. Clobbers x0 to x2. */
    .macro  pages first, count, value, step=0x1000
    ldr     x0, =\first
    ldr     x1, =\value
    mov     x2, #\count
1:  str     x1, [x0], #8
    add     x1, x1, #\step
    subs    x2, x2, #1
    b.ne    1b
    .endm

/* Behind a DSB, TLBI of pages one by one, and DSB. Clobbers x0, x2. */
    .macro  flush_pages va, count
    dsb     ishst
    ldr     x0, =PAGE_OF(\va) | ASID(1)
    mov     x2, #\count
1:  tlbi    vale1is, x0
    add     x0, x0, #1
    subs    x2, x2, #1
    b.ne    1b
    dsb     ish
    .endm

/* ---- 1: break-before-make ---- */

case good_break_before_make__whole_sequence
    entry   user_l3, 1, 0
    dsb     ishst
    tlbi_va vae1is, 0x1000
    dsb     ish
    entry   user_l3, 1, FRAME(9) + USER_RW
    dsb     ishst
    ret

/* Many entries, one barrier for all. */
case good_break_before_make__batched
    entry   user_l3, 1, 0
    entry   user_l3, 2, 0
    dsb     ish
    tlbi_va vale1is, 0x1000
    tlbi_va vale1is, 0x2000
    dsb     ish
    entry   user_l3, 1, FRAME(9) + USER_RW
    entry   user_l3, 2, FRAME(10) + USER_RW
    dsb     ishst
    ret

/* Rights of many pages in two steps, and one TLBI for all. */
case good_break_before_make__permissions_in_two_steps
    .irp    n, 1, 2
    entry   user_l3, \n, 0
    entry   user_l3, \n, FRAME(\n) + USER_RO
    .endr
    dsb     ishst
    ldr     x2, =ASID(1)
    tlbi    aside1is, x2
    dsb     ish
    ret

/* A block into pages: while it is broken, software keeps all but bit 0. */
case good_break_before_make__split
    entry   user_l2, 1, 0x40A00000 + USER_BLOCK - 1
    dsb     ishst
    tlbi_va vae1is, 0x200000
    dsb     ish
    pages   new_l3, 512, 0x40A00000 + USER_RW
    dmb     ishst
    entry   user_l2, 1, PA(new_l3) + TABLE
    dsb     ishst
    ret

/* Pages into a block. */
case good_break_before_make__collapse
    entry   user_l2, 2, 0
    dsb     ishst
    tlbi_va vae1is, 0x400000
    dsb     ish
    entry   spare_l3, 0, 0
    dmb     ishst
    entry   user_l2, 2, 0x40A00000 + USER_BLOCK
    dsb     ishst
    ret

/* A run of pages becomes contiguous, read-only as a whole, and single pages again. */
    .macro  fold flushed
    pages   user_l3 + 8 * 16, 16, FRAME(16) + USER_RW
    dsb     ishst
    pages   user_l3 + 8 * 16, 16, 0, 0
    flush_pages 0x10000, 16
    pages   user_l3 + 8 * 16, 16, FRAME(16) + USER_RW + (1 << 52)
    dsb     ishst
    pages   user_l3 + 8 * 16, 16, FRAME(16) + USER_RO + (1 << 52)
    flush_pages 0x10000, 16
    pages   user_l3 + 8 * 16, 16, 0, 0
    flush_pages 0x10000, \flushed
    pages   user_l3 + 8 * 16, 16, FRAME(16) + USER_RO
    dsb     ishst
    ret
    .endm

case good_break_before_make__contiguous_and_single_again
    fold    16

case bad_break_before_make__single_again_but_for_one
    fold    15

/* Permissions may change in place, if the TLBs are told before anyone relies on it. */
case good_break_before_make__permissions
    entry   user_l3, 1, FRAME(1) + USER_RO
    dsb     ishst
    tlbi_va vale1is, 0x1000
    dsb     ish
    ret

/* More rights: a stale entry gives a spurious fault, no more. Software's bits concern nobody. */
case good_break_before_make__relaxed
    entry   user_l3, 3, FRAME(3) + USER_RW
    entry   user_l3, 1, FRAME(1) + USER_RW + (1 << 55)
    ret

/* Broken and made again as it was: whoever holds the old entry holds the new one. */
case good_break_before_make__same_again
    entry   user_l3, 1, 0
    entry   user_l3, 1, FRAME(1) + USER_RW
    dsb     ishst
    ret

/* A table too; what was cleared in it meanwhile is owed. */
case good_break_before_make__same_table_again
    entry   user_l2, 2, 0
    entry   user_l2, 2, PA(spare_l3) + TABLE
    dsb     ishst
    ret

case bad_owed__cleared_in_a_table_that_is_the_same_again
    entry   user_l2, 2, 0
    entry   spare_l3, 0, 0
    entry   user_l2, 2, PA(spare_l3) + TABLE
    dsb     ishst
    ret

/* Read-only before and after, and the same bytes at both places: but for the page that is not used any more. */
case good_break_before_make__same_contents
    entry   user_l3, 3, FRAME(4) + USER_RO
    dsb     ishst
    tlbi_va vae1is, 0x3000
    dsb     ish
    ret

/* A bit of software's own, or more rights, between TLBI and DSB: that needs no further TLBI. */
case good_owed__software_bit_behind_the_tlbi
    entry   user_l3, 1, FRAME(1) + USER_RO + (1 << 55)
    dsb     ishst
    tlbi_va vale1is, 0x1000
    entry   user_l3, 1, FRAME(1) + USER_RO
    dsb     ish
    ret

case bad_owed__fewer_rights_behind_the_tlbi
    entry   user_l3, 1, FRAME(1) + USER_RO
    dsb     ishst
    tlbi_va vale1is, 0x1000
    entry   user_l3, 1, FRAME(1) + (USER_RO & ~AP_EL0)
    dsb     ish
    ret

case bad_owed__same_contents_elsewhere
    entry   user_l3, 3, FRAME(4) + USER_RO
    dsb     ishst
    ret

/* Other rights in between, each time by way of an invalid entry: what TLBs may hold is all of it. */
    .macro  meanwhile between
    entry   user_l3, 1, 0
    entry   user_l3, 1, FRAME(1) + \between
    entry   user_l3, 1, 0
    entry   user_l3, 1, FRAME(1) + USER_RW
    dsb     ishst
    ret
    .endm

case good_owed__fewer_rights_meanwhile
    meanwhile USER_RO

case bad_owed__other_rights_meanwhile
    meanwhile (USER_RO & ~UXN)

/* An entry whose access flag is clear is in no TLB. */
case good_break_before_make__never_accessed
    entry   user_l3, 8, FRAME(8) + (USER_RW & ~AF)
    entry   user_l3, 8, FRAME(9) + USER_RW
    dsb     ishst
    ret

/* Another index for the same memory type. */
/* Made again without its access flag: what TLBs hold of it is what they held before. */
case good_owed__made_again_without_access_flag
    entry   user_l3, 1, 0
    entry   user_l3, 1, FRAME(1) + (USER_RW & ~AF)
    dsb     ishst
    ret

case bad_owed__made_again_without_access_flag_and_unmapped
    entry   user_l3, 1, 0
    entry   user_l3, 1, FRAME(1) + (USER_RW & ~AF)
    entry   user_l3, 1, 0
    dsb     ishst
    ret

/* Software sets the flag: no TLB holds an entry without it. */
case good_break_before_make__access_flag_set
    entry   user_l3, 8, FRAME(8) + (USER_RW & ~AF)
    dsb     ishst
    entry   user_l3, 8, FRAME(8) + USER_RW
    dsb     ishst
    ret

case good_break_before_make__same_memory_type
    entry   user_l3, 1, FRAME(1) + USER_RW + ATTR(2)
    ret

case bad_break_before_make__output_address
    entry   user_l3, 1, FRAME(9) + USER_RW
    dsb     ishst
    tlbi_va vae1is, 0x1000
    dsb     ish
    ret

/* The block is mapped nowhere else. */
case bad_break_before_make__memory_type
    entry   user_l2, 1, 0x40A00000 + USER_BLOCK + ATTR(1)
    dsb     ishst
    tlbi_va vae1is, 0x200000
    dsb     ish
    ret

case bad_break_before_make__shareability
    entry   user_l2, 1, 0x40A00000 + (USER_BLOCK & ~SH)
    dsb     ishst
    tlbi_va vae1is, 0x200000
    dsb     ish
    ret

case bad_break_before_make__global
    entry   user_l3, 1, FRAME(1) + (USER_RW & ~NG)
    dsb     ishst
    tlbi_va vae1is, 0x1000
    dsb     ish
    ret

/* Read-only before and after, but page 1 has other contents by now. */
case bad_break_before_make__other_contents
    ldr     x0, =0x1000
    str     x0, [x0]
    entry   user_l3, 3, FRAME(1) + USER_RO
    dsb     ishst
    tlbi_va vae1is, 0x3000
    dsb     ish
    ret

case bad_break_before_make__table_over_block
    entry   user_l2, 1, PA(new_l3) + TABLE
    dsb     ishst
    tlbi_va vae1is, 0x200000
    dsb     ish
    ret

case bad_break_before_make__table_over_table
    entry   user_l2, 2, PA(new_l3) + TABLE
    dsb     ishst
    tlbi_va vae1is, 0x400000
    dsb     ish
    ret

case bad_break_before_make__block_over_table
    entry   user_l2, 2, 0x40A00000 + USER_BLOCK
    dsb     ishst
    tlbi_va vae1is, 0x400000
    dsb     ish
    ret

case bad_break_before_make__contiguous
    entry   user_l3, 1, FRAME(1) + USER_RW + (1 << 52)
    dsb     ishst
    tlbi_va vae1is, 0x1000
    dsb     ish
    entry   user_l3, 1, 0
    dsb     ishst
    tlbi_va vae1is, 0x1000
    dsb     ish
    ret

case bad_break_before_make__no_tlbi
    entry   user_l3, 1, 0
    dsb     ish
    entry   user_l3, 1, FRAME(9) + USER_RW
    dsb     ishst
    ret

/* ---- 2: early-tlbi ---- */

/* Any DSB that waits for stores will do, and a TLBI for nothing before it does no harm. */
case good_early_tlbi__after_all_kinds_of_dsb
    entry   user_l3, 1, 0
    dsb     sy
    tlbi_va vae1is, 0x1000
    dsb     sy
    entry   user_l3, 2, 0
    tlbi_va vae1is, 0x1000
    dsb     st
    tlbi_va vae1is, 0x2000
    dsb     ish
    ret

/* The first one came too early, the second one counts. */
case good_early_tlbi__twice
    entry   user_l3, 1, 0
    tlbi_va vae1is, 0x1000
    dsb     ish
    tlbi_va vae1is, 0x1000
    dsb     ish
    ret

case bad_early_tlbi__no_barrier
    entry   user_l3, 1, 0
    tlbi_va vae1is, 0x1000
    dsb     ish
    ret

case bad_early_tlbi__dmb
    entry   user_l3, 1, 0
    dmb     ish
    tlbi_va vae1is, 0x1000
    dsb     ish
    ret

case bad_early_tlbi__dsb_for_loads
    entry   user_l3, 1, 0
    dsb     ishld
    tlbi_va vae1is, 0x1000
    dsb     ish
    ret

case bad_early_tlbi__isb
    entry   user_l3, 1, 0
    isb
    tlbi_va vae1is, 0x1000
    dsb     ish
    ret

/* ---- 3: incomplete-tlbi ---- */

/* Address spaces need no ISB: the exception return is one. */
case good_incomplete_tlbi__user
    mov     x19, x30
    entry   user_l3, 1, 0
    dsb     ishst
    tlbi_va vae1is, 0x1000
    dsb     ish
    bl      visit_el0
    ret     x19

/* The kernel's half does. */
case good_incomplete_tlbi__kernel
    entry   window_l3, 0, 0
    dsb     ishst
    tlbi_va vaae1is, WINDOW
    dsb     ish
    isb
    entry   window_l3, 0, FRAME(34) + KERNEL_RW
    dsb     ishst
    isb
    ret

/* What is owed for tables that nobody runs with does not hurt EL0. */
case good_incomplete_tlbi__other_space_at_eret
    mov     x19, x30
    ldr     x0, =PA(other_l0) + ASID(2)
    msr     ttbr0_el1, x0
    isb
    entry   user_l3, 1, 0
    bl      visit_el0
    dsb     ishst
    tlbi_va vae1is, 0x1000
    dsb     ish
    ret     x19

case bad_incomplete_tlbi__made_again
    entry   user_l3, 1, 0
    dsb     ishst
    tlbi_va vae1is, 0x1000
    entry   user_l3, 1, FRAME(9) + USER_RW
    dsb     ish
    ret

case bad_incomplete_tlbi__dsb_for_stores
    entry   user_l3, 1, 0
    dsb     ishst
    tlbi_va vae1is, 0x1000
    dsb     ishst
    ret

case bad_incomplete_tlbi__only_dmb
    entry   user_l3, 1, 0
    dsb     ishst
    tlbi_va vae1is, 0x1000
    dmb     ish
    ret

case bad_incomplete_tlbi__eret
    mov     x19, x30
    entry   user_l3, 1, 0
    dsb     ishst
    tlbi_va vae1is, 0x1000
    bl      visit_el0
    dsb     ish
    ret     x19

case bad_incomplete_tlbi__eret_without_tlbi
    mov     x19, x30
    entry   user_l3, 1, FRAME(1) + USER_RO
    dsb     ishst
    bl      visit_el0
    ret     x19

case bad_incomplete_tlbi__kernel_without_isb
    entry   window_l3, 0, 0
    dsb     ishst
    tlbi_va vaae1is, WINDOW
    dsb     ish
    ret

/* ISB before DSB synchronizes nothing. */
case bad_incomplete_tlbi__isb_before_dsb
    entry   window_l3, 0, 0
    dsb     ishst
    tlbi_va vaae1is, WINDOW
    isb
    dsb     ish
    ret

case bad_incomplete_tlbi__table_reused
    entry   user_l2, 2, 0
    dsb     ishst
    tlbi_va vae1is, 0x400000
    entry   spare_l3, 7, 0xABCDABCDABCDABCD
    dsb     ish
    ret

/* ---- 4: tlbi-scope ---- */

case good_tlbi_scope__by_asid
    entry   user_l3, 1, 0
    entry   user_l3, 2, 0
    dsb     ishst
    ldr     x2, =ASID(1)
    tlbi    aside1is, x2
    dsb     ish
    ret

case good_tlbi_scope__any_va_of_a_block
    entry   user_l2, 1, 0
    dsb     ishst
    tlbi_va vale1is, 0x2FF000
    dsb     ish
    ret

/* Not the last level only: a table was unlinked. Its page too is named by the VA. */
case good_tlbi_scope__unlinked_table
    entry   user_l2, 2, 0
    dsb     ishst
    tlbi_va vae1is, 0x400000
    dsb     ish
    entry   spare_l3, 7, 0xABCDABCDABCDABCD
    ret

/* Global entries have no ASID. */
case good_tlbi_scope__global_by_any_asid
    entry   window_l3, 0, 0
    dsb     ishst
    tlbi_va vale1is, WINDOW, 77
    dsb     ish
    isb
    ret

/* An ASID may be used with other tables once it was flushed. */
case good_tlbi_scope__asid_flushed
    ldr     x0, =PA(empty_l0)
    msr     ttbr0_el1, x0
    isb
    ldr     x2, =ASID(1)
    tlbi    aside1is, x2
    dsb     ish
    ldr     x0, =PA(other_l0) + ASID(1)
    msr     ttbr0_el1, x0
    isb
    ret

/* What was never used with an ASID, or is flushed, may be changed at will. */
case good_tlbi_scope__flushed_space
    ldr     x0, =PA(empty_l0)
    msr     ttbr0_el1, x0
    isb
    tlbi    vmalle1is
    dsb     ish
    entry   user_l3, 1, FRAME(9) + USER_RW
    ret

/* Bits 47:44 of the operand: 4K pages, and the level. */
#define LEVEL(n) ((4 | (n)) << 44)

case good_tlbi_scope__level_hint
    entry   user_l3, 1, 0
    entry   user_l2, 1, 0
    dsb     ishst
    ldr     x2, =PAGE_OF(0x1000) | ASID(1) | LEVEL(3)
    tlbi    vae1is, x2
    ldr     x2, =PAGE_OF(0x200000) | ASID(1) | LEVEL(2)
    tlbi    vae1is, x2
    dsb     ish
    ret

case bad_tlbi_scope__level_hint
    entry   user_l3, 1, 0
    dsb     ishst
    ldr     x2, =PAGE_OF(0x1000) | ASID(1) | LEVEL(2)
    tlbi    vae1is, x2
    dsb     ish
    ret

case bad_tlbi_scope__other_va
    entry   user_l3, 1, 0
    dsb     ishst
    tlbi_va vae1is, 0x3000
    dsb     ish
    ret

case bad_tlbi_scope__operand_not_shifted
    entry   user_l3, 1, 0
    dsb     ishst
    ldr     x2, =0x1000 | ASID(1)
    tlbi    vae1is, x2
    dsb     ish
    ret

case bad_tlbi_scope__operand_shifted_twice
    entry   window_l3, 0, 0
    dsb     ishst
    ldr     x2, =PAGE_OF(WINDOW) >> 12
    tlbi    vaae1is, x2
    dsb     ish
    isb
    ret

case bad_tlbi_scope__other_asid
    entry   user_l3, 1, 0
    dsb     ishst
    tlbi_va vae1is, 0x1000, 2
    dsb     ish
    ret

case bad_tlbi_scope__last_level_only
    entry   user_l2, 2, 0
    dsb     ishst
    tlbi_va vale1is, 0x400000
    dsb     ish
    ret

case bad_tlbi_scope__local
    entry   user_l3, 1, 0
    dsb     ishst
    tlbi_va vae1, 0x1000
    dsb     ish
    ret

case bad_tlbi_scope__global_entry_by_asid
    entry   window_l3, 0, 0
    dsb     ishst
    tlbi    aside1is, xzr
    dsb     ish
    isb
    ret

case bad_tlbi_scope__asid_reused
    ldr     x0, =PA(other_l0) + ASID(1)
    msr     ttbr0_el1, x0
    isb
    ret

case bad_tlbi_scope__global_entry_in_address_space
    entry   user_l3, 8, FRAME(8) + (USER_RW & ~NG)
    dsb     ishst
    ldr     x0, =PA(other_l0) + ASID(2)
    msr     ttbr0_el1, x0
    isb
    ret

/* Gone, and no TLB holds it. */
case good_tlbi_scope__global_entry_was_invalidated
    entry   user_l3, 8, FRAME(8) + (USER_RW & ~NG)
    dsb     ishst
    entry   user_l3, 8, 0
    dsb     ishst
    tlbi_va vaae1is, 0x8000
    dsb     ish
    ldr     x0, =PA(other_l0) + ASID(2)
    msr     ttbr0_el1, x0
    isb
    ret

/* One of two is in all address spaces. */
case bad_tlbi_scope__second_global_entry
    .irp    n, 8, 9
    entry   user_l3, \n, FRAME(\n) + (USER_RW & ~NG)
    .endr
    entry   other_l3, 8, FRAME(8) + (USER_RW & ~NG)
    dsb     ishst
    ldr     x0, =PA(other_l0) + ASID(2)
    msr     ttbr0_el1, x0
    isb
    ret

case bad_tlbi_scope__global_entry_in_a_linked_table
    entry   new_l3, 0, FRAME(7) + (USER_RW & ~NG)
    dmb     ishst
    entry   user_l2, 8, PA(new_l3) + TABLE
    dsb     ishst
    ldr     x0, =PA(other_l0) + ASID(2)
    msr     ttbr0_el1, x0
    isb
    ret

/* ---- 11: owed ---- */

case good_owed__whole_subtree_by_asid
    entry   user_l1, 0, 0
    dsb     ishst
    ldr     x2, =ASID(1)
    tlbi    aside1is, x2
    dsb     ish
    ret

/* The table is named by its first page, what it mapped by its own. */
case good_owed__unlinked_table_page_by_page
    entry   spare_l3, 9, FRAME(8) + USER_RW
    dsb     ishst
    entry   user_l2, 2, 0
    dsb     ishst
    tlbi_va vae1is, 0x400000
    tlbi_va vae1is, 0x409000
    dsb     ish
    ret

/* What was never accessed and what EL0 may do more with is in no TLB, or does no harm there. */
case good_owed__nothing_is
    entry   user_l3, 8, FRAME(8) + (USER_RW & ~AF)
    entry   user_l3, 8, 0
    entry   user_l3, 3, FRAME(3) + USER_RW
    dsb     ishst
    ret

case bad_owed__nothing_was_told
    entry   user_l3, 1, 0
    dsb     ishst
    isb
    ret

case bad_owed__fewer_rights
    entry   user_l3, 1, FRAME(1) + USER_RO
    dsb     ish
    ret

/* The loop ends a page too early. */
case bad_owed__second_page
    entry   user_l3, 1, 0
    entry   user_l3, 2, 0
    dsb     ishst
    tlbi_va vae1is, 0x1000
    dsb     ish
    ret

/* The table is named, the page that it mapped elsewhere is not. */
case bad_owed__page_of_an_unlinked_table
    entry   spare_l3, 9, FRAME(8) + USER_RW
    dsb     ishst
    entry   user_l2, 2, 0
    dsb     ishst
    tlbi_va vae1is, 0x400000
    dsb     ish
    ret
