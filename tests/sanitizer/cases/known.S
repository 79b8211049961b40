/* SPDX-License-Identifier: BSD-3-Clause */
#include "case.inc"

/* Defects that real kernels had, each as the sequence that it was: ../corpus.toml says where. */

/* Zephyr 115708, Unikraft PR 1149. */
case known_tlbi_scope__operand_is_an_address
    entry   user_l3, 1, 0
    dsb     ishst
    ldr     x2, =0x1000
    tlbi    vaae1is, x2
    dsb     ish
    isb
    ret

/* The same, shifted for pages of 64K. */
case known_tlbi_scope__operand_of_another_page_size
    entry   window_l3, 1, 0
    dsb     ishst
    ldr     x2, =PAGE_OF(WINDOW + 0x1000) >> 4
    tlbi    vaae1is, x2
    dsb     ish
    isb
    ret

/* Zephyr 98344. */
case known_tlbi_scope__local_where_others_run_the_same_tables
    entry   window_l3, 0, 0
    dsb     ishst
    ldr     x2, =PAGE_OF(WINDOW)
    tlbi    vaae1, x2
    dsb     ish
    isb
    ret

/* Zephyr 37600: an emulator whose TLB has no ASIDs cannot show it. */
case known_tlbi_scope__tables_swapped_and_not_flushed
    ldr     x0, =PA(other_l0) + ASID(1)
    msr     ttbr0_el1, x0
    isb
    ret

/* OSv 1117, OP-TEE PR 1827, illumos-gate PR 205, TF-A PR 1273: a barrier is missing. */
case known_early_tlbi__no_barrier_behind_the_store
    entry   user_l3, 1, 0
    tlbi_va vae1is, 0x1000
    dsb     ish
    isb
    ret

case known_incomplete_tlbi__no_isb_behind_the_flush
    entry   window_l3, 0, 0
    dsb     ishst
    tlbi    vmalle1is
    dsb     ish
    ret

case known_new_entry__no_barrier_behind_the_map
    entry   window_l3, 8, FRAME(8) + KERNEL_RW
    ret

/* NuttX PR 17372. */
case known_descriptor__block_at_level_0
    entry   user_l0, 1, 0x40000000 + USER_BLOCK
    dsb     ishst
    ret

/* Hafnium, stage-1 range: the ASID is part of the counter, which is beyond the end after one page. */
case known_owed__asid_in_the_loop_counter
    entry   user_l3, 1, 0
    entry   user_l3, 2, 0
    dsb     ishst
    ldr     x2, =PAGE_OF(0x1000) | ASID(1)
    mov     x3, #3
1:  tlbi    vae1is, x2
    add     x2, x2, #1
    cmp     x2, x3
    b.lo    1b
    dsb     ish
    ret

/* LK, unmap: the compiler keeps the order, the CPU need not. */
case known_early_tlbi__only_a_compiler_fence
    entry   user_l2, 2, 0
    tlbi_va vae1is, 0x400000
    dsb     ish
    ret

/* LK, unmap: the tables are given back behind a DMB. */
case known_incomplete_tlbi__table_freed_behind_dmb
    entry   user_l2, 2, 0
    dsb     ishst
    tlbi_va vae1is, 0x400000
    dmb     ish
    entry   spare_l3, 1, -1
    dsb     ish
    ret

/* LuKOS, exception entry. */
case known_incomplete_tlbi__isb_before_dsb
    entry   window_l3, 0, 0
    dsb     ishst
    tlbi    vmalle1is
    isb
    dsb     ish
    ret

/* LuKOS, exception entry: the full flush does not reach the other CPUs. */
case known_tlbi_scope__local_full_flush
    entry   window_l3, 0, 0
    dsb     ishst
    tlbi    vmalle1
    dsb     ish
    isb
    ret

/* LuKOS: an ASID is counted up, flushed by, and never put into TTBR0. */
case known_tlbi_scope__asid_never_in_ttbr0
    ldr     x0, =PA(empty_l0)
    msr     ttbr0_el1, x0
    isb
    tlbi    vmalle1is
    dsb     ish
    ldr     x0, =PA(user_l0)
    msr     ttbr0_el1, x0
    isb
    ldr     x2, =ASID(7)
    tlbi    aside1is, x2
    dsb     ish
    ldr     x0, =PA(other_l0)
    msr     ttbr0_el1, x0
    isb
    ret

/* LuKOS, map: two megabytes are a block, wherever they are. */
case known_descriptor__block_chosen_by_length_alone
    entry   user_l2, 8, 0x40A01000 + USER_BLOCK
    dsb     ishst
    ret

/* LuKOS: neither UXN nor PXN is ever set. */
case known_policy__no_execute_never
    ldr     x0, =KERNEL + FRAME(8)
    dc      cvau, x0
    dsb     ish
    ic      ivau, x0
    dsb     ish
    entry   user_l3, 8, FRAME(8) + (USER_RO & ~(UXN | PXN))
    dsb     ishst
    ret

/* Unikraft, page split. */
case known_break_before_make__live_block_split
    entry   user_l2, 1, PA(new_l3) + TABLE
    dsb     ishst
    tlbi_va vae1is, 0x200000
    dsb     ish
    ret

/* Unikraft, set_attr: the new type is ORed onto the old one. */
case known_break_before_make__memory_type_in_place
    ldr     x0, =user_l2 + 8
    ldr     x1, [x0]
    orr     x1, x1, #(1 << 2)
    str     x1, [x0]
    dsb     ishst
    tlbi_va vae1is, 0x200000
    dsb     ish
    ret

/* Unikraft, dma: the physical address of a large page is not aligned. */
case known_descriptor__large_page_of_unaligned_memory
    entry   user_l2, 8, 0x40B0F000 + USER_BLOCK
    dsb     ishst
    ret

/* Unikraft, fault: a second fault on a page that is there by now maps a new frame over it. */
case known_break_before_make__second_fault_on_a_present_page
    entry   user_l3, 8, FRAME(8) + USER_RW
    dsb     ishst
    entry   user_l3, 8, FRAME(9) + USER_RW
    dsb     ishst
    tlbi_va vae1is, 0x8000
    dsb     ish
    ret

/* A page-table library: an error number is stored as if it were an entry, or its bits. */
case known_descriptor__error_number_as_entry
    entry   user_l3, 8, -17
    dsb     ishst
    ret

case known_descriptor__error_number_as_attributes
    entry   user_l3, 8, FRAME(8) | -22 | 3
    dsb     ishst
    ret

/* seL4, map: the live entry is overwritten, then invalidated. */
case known_break_before_make__overwritten_then_invalidated
    entry   user_l3, 1, FRAME(9) + USER_RW
    dsb     ishst
    tlbi_va vae1is, 0x1000
    dsb     ish
    isb
    ret

/* casemate 3.0.2 lets this pass when the access flag is set in both. */
case known_break_before_make__access_flag_set
    entry   user_l3, 8, FRAME(8) + (USER_RW | AF)
    dsb     ishst
    entry   user_l3, 8, FRAME(10) + (USER_RW | AF)
    dsb     ishst
    tlbi_va vae1is, 0x8000
    dsb     ish
    ret

/* patina PR 1794, run at EL2: the tables are of EL1, the TLBI is of EL2. Physical addresses, MMU off. */
    .section .boot, "ax"
    .global known_tlbi_scope__of_the_wrong_regime_at_el2
known_tlbi_scope__of_the_wrong_regime_at_el2:
    ldr     x0, =PA(user_l3) + 8
    str     xzr, [x0]
    dsb     ishst
    ldr     x2, =PAGE_OF(0x1000)
    tlbi    vae2is, x2
    dsb     ish
    isb
    ret
    .ltorg
