/* SPDX-License-Identifier: BSD-3-Clause */
#include "case.inc"

/* Rule 9: system registers. */

/* A new address space. Clobbers x0. */
    .macro  space table, asid
    ldr     x0, =PA(\table) + ASID(\asid)
    msr     ttbr0_el1, x0
    .endm

case good_system_register__both_at_once
    space   other_l0, 2
    isb
    ret

/* By way of tables that map nothing: what is between cannot be used. */
case good_system_register__reserved_tables_between
    space   empty_l0, 1
    isb
    space   empty_l0, 2
    isb
    space   other_l0, 2
    isb
    ret

/* An exception return is as good as an ISB. */
case good_system_register__eret_synchronizes
    mov     x19, x30
    space   other_l0, 2
    bl      visit_el0
    ret     x19

/* The same tables with a new ASID, and later another address space. */
case good_system_register__asid_renewed
    space   user_l0, 3
    isb
    space   other_l0, 2
    isb
    ret

case bad_system_register__no_isb
    space   other_l0, 2
    ret

case bad_system_register__tlbi_before_isb
    space   empty_l0, 7
    tlbi    vmalle1is
    dsb     ish
    isb
    ret

case bad_system_register__table_then_asid
    space   empty_l0, 0
    isb
    space   user_l0, 1
    isb
    tlbi    vmalle1is
    dsb     ish
    space   other_l0, 1
    isb
    space   other_l0, 2
    isb
    tlbi    vmalle1is
    dsb     ish
    isb
    ret

case bad_system_register__asid_then_table
    space   user_l0, 2
    isb
    space   other_l0, 2
    isb
    tlbi    vmalle1is
    dsb     ish
    isb
    ret

/* With the MMU off and on again: what it is switched on with must be in effect. */
case bad_system_register__switched_on_too_early
    mov     x19, x30
    mrs     x3, sctlr_el1
    bic     x4, x3, #1
    ldr     x5, =PA(boot_l0)
    msr     ttbr0_el1, x5
    isb
    ldr     x6, =off_and_on
    br      x6

    .section .boot, "ax"
off_and_on:
    msr     sctlr_el1, x4
    isb
    ldr     x0, =PA(user_l0) + ASID(1)
    mrs     x7, mair_el1
    msr     mair_el1, x7
    msr     sctlr_el1, x3
    isb
    ldr     x6, =back
    br      x6
    .ltorg

    .text
back:
    msr     ttbr0_el1, x0
    isb
    tlbi    vmalle1is
    dsb     ish
    isb
    ret     x19
