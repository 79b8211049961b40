/* SPDX-License-Identifier: BSD-3-Clause */
#include "case.inc"

/* Rules 5 and 6: entries and tables that are new, and pages that are tables. */

/* ---- 5: new-entry ---- */

case good_new_entry__user
    mov     x19, x30
    entry   user_l3, 8, FRAME(8) + USER_RW
    dsb     ishst
    bl      visit_el0
    ret     x19

case good_new_entry__kernel
    entry   window_l3, 8, FRAME(8) + KERNEL_RW
    dsb     ishst
    isb
    ret

/* Filled while no walk can come here, then linked. */
case good_new_entry__table
    entry   new_l3, 1, FRAME(8) + USER_RW
    dsb     ishst
    entry   user_l2, 8, PA(new_l3) + TABLE
    dsb     ishst
    ret

/* Made and broken again: nobody can rely on it. */
case good_new_entry__taken_back
    entry   user_l3, 8, FRAME(8) + USER_RW
    entry   user_l3, 8, 0
    dsb     ishst
    tlbi_va vae1is, 0x8000
    dsb     ish
    ret

/* STP is two stores of 64 bits. */
case good_new_entry__pair
    ldr     x0, =user_l3 + 8 * 8
    ldr     x1, =FRAME(8) + USER_RW
    ldr     x2, =FRAME(9) + USER_RW
    stp     x1, x2, [x0]
    dsb     ishst
    ret

case bad_new_entry__no_barrier
    entry   user_l3, 8, FRAME(8) + USER_RW
    ret

case bad_new_entry__dmb_at_eret
    mov     x19, x30
    entry   user_l3, 8, FRAME(8) + USER_RW
    dmb     ish
    bl      visit_el0
    ret     x19

case bad_new_entry__kernel_without_isb
    entry   window_l3, 8, FRAME(8) + KERNEL_RW
    dsb     ishst
    ret

case bad_new_entry__in_two_halves
    ldr     x0, =user_l3 + 8 * 8
    ldr     x1, =FRAME(8) + USER_RW
    lsr     x2, x1, #32
    str     w2, [x0, #4]
    str     w1, [x0]
    dsb     ishst
    ret

/* Exclusive, and once again where it fails. */
case good_new_entry__exclusive
    ldr     x0, =user_l3 + 8 * 8
    ldr     x1, =FRAME(8) + USER_RW
1:  ldxr    x2, [x0]
    stxr    w3, x1, [x0]
    cbnz    w3, 1b
    dsb     ishst
    ret

/* 64 bits, over two entries that stay as they are but for what software may have in them. */
case bad_new_entry__misaligned
    ldr     x0, =user_l3 + 8 * 8 + 4
    str     xzr, [x0]
    ret

/* Entries that are not valid, and would be no more afterwards. */
case bad_new_entry__cleared_by_cache_maintenance
    ldr     x0, =user_l3 + 8 * 64
    dc      zva, x0
    ret

/* ---- 6: table-page ---- */

case good_table_page__unlinked_and_reused
    entry   user_l2, 2, 0
    dsb     ishst
    tlbi_va vae1is, 0x400000
    dsb     ish
    ldr     x0, =spare_l3
    mov     x1, #-1
    str     x1, [x0]
    strb    w1, [x0, #100]
    ret

/* Clearing what hangs below is no use of the page. */
case good_table_page__cleared_while_waiting
    entry   user_l2, 2, 0
    entry   spare_l3, 0, 0
    dsb     ishst
    ldr     x2, =ASID(1)
    tlbi    aside1is, x2
    dsb     ish
    ret

/* The same table in two address spaces. */
case good_table_page__shared_between_spaces
    entry   other_l2, 1, PA(spare_l3) + TABLE
    dsb     ishst
    ldr     x0, =PA(other_l0) + ASID(2)
    msr     ttbr0_el1, x0
    isb
    ret

case bad_table_page__reused_at_once
    entry   user_l2, 2, 0
    dsb     ishst
    entry   spare_l3, 7, 0xABCDABCDABCDABCD
    ret

case bad_table_page__reused_without_flush
    ldr     x0, =PA(empty_l0)
    msr     ttbr0_el1, x0
    isb
    ldr     x0, =user_l3 + 8
    mov     w1, #0xF5
    strb    w1, [x0]
    ret

case bad_table_page__outside_ram
    entry   user_l2, 8, 0x20000000 + TABLE
    dsb     ishst
    ret

case bad_table_page__loop
    entry   user_l2, 8, PA(user_l2) + TABLE
    dsb     ishst
    ret

case bad_table_page__linked_twice
    entry   user_l2, 8, PA(spare_l3) + TABLE
    dsb     ishst
    ret

case bad_table_page__mapped_for_el0
    entry   user_l3, 8, PA(user_l3) + USER_RW
    dsb     ishst
    ret

/* EL0 may write the page before it becomes a table. */
case bad_table_page__becomes_a_table
    entry   user_l3, 8, PA(new_l3) + USER_RW
    dsb     ishst
    entry   user_l2, 8, PA(new_l3) + TABLE
    dsb     ishst
    ret

/* By way of the block at VA 0x200000. */
case bad_table_page__becomes_a_table_within_a_block
    entry   user_l2, 8, 0x40A01000 + TABLE
    dsb     ishst
    ret

/* By way of a table that is filled before it is linked. */
case bad_table_page__mapped_for_el0_in_a_new_table
    entry   new_l3, 1, PA(user_l3) + USER_RW
    dsb     ishst
    entry   user_l2, 8, PA(new_l3) + TABLE
    dsb     ishst
    ret

/* A walk cache may still lead to the table. */
case bad_table_page__mapped_for_el0_too_early
    entry   user_l2, 2, 0
    dsb     ishst
    entry   user_l3, 8, PA(spare_l3) + USER_RW
    dsb     ishst
    ldr     x2, =ASID(1)
    tlbi    aside1is, x2
    dsb     ish
    ret

case good_table_page__mapped_for_el0_in_time
    entry   user_l2, 2, 0
    dsb     ishst
    ldr     x2, =ASID(1)
    tlbi    aside1is, x2
    dsb     ish
    entry   user_l3, 8, PA(spare_l3) + USER_RW
    dsb     ishst
    ret

/* EL0 cannot write it any more, by way of one entry; and only read it, by way of another. */
case good_table_page__was_data
    entry   user_l3, 8, PA(new_l3) + USER_RW
    entry   user_l3, 9, PA(new_l3) + USER_RO
    dsb     ishst
    entry   user_l3, 8, 0
    dsb     ishst
    tlbi_va vae1is, 0x8000
    dsb     ish
    entry   user_l2, 8, PA(new_l3) + TABLE
    dsb     ishst
    ret

/* Its neighbours are data: a page before it, a page behind it. */
case good_table_page__between_data
    entry   user_l3, 8, PA(new_l3) - 0x1000 + USER_RW
    entry   user_l3, 9, PA(new_l3) + 0x1000 + USER_RW
    dsb     ishst
    entry   user_l2, 8, PA(new_l3) + TABLE
    dsb     ishst
    ret
