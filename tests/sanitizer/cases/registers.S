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

/* For whoever had the new ASID before: what the old TTBR0 says does not come in by that. */
case good_system_register__tlbi_of_the_new_asid_before_isb
    space   other_l0, 7
    ldr     x2, =ASID(7)
    tlbi    aside1is, x2
    dsb     ish
    isb
    ret

case bad_system_register__tlbi_of_the_old_asid_before_isb
    space   other_l0, 7
    ldr     x2, =ASID(1)
    tlbi    aside1is, x2
    dsb     ish
    isb
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

/* ---- MSR and ISB, of the other registers ---- */

    .macro  rewrite register
    mrs     x0, \register
    msr     \register, x0
    .endm

case good_system_register__each_with_its_isb
    rewrite tcr_el1
    isb
    rewrite sctlr_el1
    isb
    rewrite ttbr1_el1
    isb
    ret

case bad_system_register__tcr_without_isb
    rewrite tcr_el1
    ret

case bad_system_register__mair_without_isb
    rewrite mair_el1
    ret

case bad_system_register__sctlr_without_isb
    rewrite sctlr_el1
    ret

case bad_system_register__ttbr1_without_isb
    rewrite ttbr1_el1
    ret

/* ---- MAIR under live mappings, which use attribute 0 ---- */

#define MAIR 0x100FF44FF
#define MAIR_CHANGED 0x100FF4444

    .macro  set_mair value
    ldr     x0, =\value
    msr     mair_el1, x0
    .endm

case good_system_register__mair_as_it_was
    rewrite mair_el1
    isb
    ret

case good_system_register__unused_attribute_redefined
    set_mair MAIR | 0xBB0000000000
    isb
    ret

/* Of a page that nobody uses between: code that runs on what it redefines may be in a TLB by both. */
case good_system_register__redefined_and_invalidated
    entry   window_l3, 8, FRAME(8) + KERNEL_RW + ATTR(2)
    dsb     ishst
    isb
    set_mair MAIR & ~0xBB0000
    isb
    tlbi    vmalle1is
    dsb     ish
    isb
    ret

case bad_system_register__redefined
    set_mair MAIR_CHANGED
    isb
    ret

case bad_system_register__redefined_and_invalidated_too_early
    set_mair MAIR_CHANGED
    tlbi    vmalle1is
    dsb     ish
    isb
    ret

case bad_system_register__redefined_and_invalidated_here_alone
    set_mair MAIR_CHANGED
    isb
    tlbi    vmalle1
    dsb     ish
    isb
    ret

case bad_system_register__redefined_and_invalidation_not_waited_for
    set_mair MAIR_CHANGED
    isb
    tlbi    vmalle1is
    ret

case bad_system_register__redefined_and_one_space_invalidated
    set_mair MAIR_CHANGED
    isb
    ldr     x2, =ASID(1)
    tlbi    aside1is, x2
    dsb     ish
    ret

case bad_system_register__redefined_and_waited_for_stores
    set_mair MAIR_CHANGED
    isb
    tlbi    vmalle1is
    dsb     ishst
    ret

case bad_system_register__redefined_and_waited_for_here_alone
    set_mair MAIR_CHANGED
    isb
    tlbi    vmalle1is
    dsb     nsh
    ret

/* ---- While the MMU is off nobody walks, and TLBs keep what they have ---- */

/* Clobbers x3 to x6 and x19. */
    .macro  switch_off
    mov     x19, x30
    mrs     x3, sctlr_el1
    bic     x4, x3, #1
    ldr     x5, =PA(boot_l0)
    msr     ttbr0_el1, x5
    isb
    ldr     x6, =1f
    br      x6
    .section .boot, "ax"
1:  msr     sctlr_el1, x4
    isb
    .endm

    .macro  switch_on
    msr     sctlr_el1, x3
    isb
    ldr     x6, =2f
    br      x6
    .ltorg
    .text
2:  ldr     x0, =PA(user_l0) + ASID(1)
    msr     ttbr0_el1, x0
    isb
    ret     x19
    .ltorg
    .endm

    .macro  flush_all operation, domain
    dsb     \domain
    tlbi    \operation
    dsb     \domain
    .endm

/* By bytes and without break-before-make, and by a TLBI of this CPU alone. */
case good_break_before_make__while_switched_off
    switch_off
    ldr     x0, =PA(window_l3)
    ldr     x1, =FRAME(50) + KERNEL_RW
    str     x1, [x0]
    strb    wzr, [x0, #8]
    flush_all vmalle1, nsh
    switch_on

case bad_owed__while_switched_off
    switch_off
    ldr     x0, =PA(window_l3)
    str     xzr, [x0]
    str     xzr, [x0, #8]
    dsb     sy
    ldr     x2, =PAGE_OF(WINDOW)
    tlbi    vaae1is, x2
    dsb     sy
    switch_on

case good_system_register__redefined_while_switched_off
    switch_off
    set_mair MAIR_CHANGED
    flush_all vmalle1, nsh
    isb
    switch_on

case good_system_register__invalidated_then_redefined_while_switched_off
    switch_off
    flush_all vmalle1, nsh
    set_mair MAIR_CHANGED
    isb
    switch_on

case bad_system_register__redefined_while_switched_off
    switch_off
    set_mair MAIR_CHANGED
    isb
    switch_on
