/* SPDX-License-Identifier: BSD-3-Clause */
#include "case.inc"

/*
 * Pairs for the adversarial TLB: what right_ gives in x0 is what the tables say, whatever the TLB does; wrong_ leaves
 * one step out, and reads something else for some seeds. A page that nothing maps gives FAULT. Frame n holds n.
 */
#define FAULT 0xFA

/* What a load from va gives. Clobbers x9, x20, x21. */
    .macro  look va
    adr     x20, 9f
    ldr     x9, =\va
    mov     x0, #FAULT
    ldr     x0, [x9]
9:
    .endm

/* Store FAULT where va is read-only: x0 is FAULT if it fails, else what was stored. Clobbers x9, x10, x20, x21. */
    .macro  overwrite va
    adr     x20, 9f
    ldr     x9, =\va
    mov     x0, #FAULT
    mov     x10, #1
    str     x10, [x9]
    mov     x0, x10
9:
    .endm

/* Bring a translation into the TLB. */
    .macro  use va
    look    \va
    .endm

/* Both of a pair: \step is a macro whose argument says whether the step that matters is taken. */
    .macro  pair name
case right_\name
    \name   1
    ret
    .ltorg
case wrong_\name
    \name   0
    ret
    .ltorg
    .endm

    .macro  unmap_tlbi taken
    use     0x1000
    entry   user_l3, 1, 0
    dsb     ishst
    .if     \taken
    tlbi_va vae1is, 0x1000
    .endif
    dsb     ish
    look    0x1000
    .endm
    pair    unmap_tlbi

    .macro  unmap_dsb_before_tlbi taken
    use     0x1000
    entry   user_l3, 1, 0
    .if     \taken
    dsb     ishst
    .endif
    tlbi_va vae1is, 0x1000
    dsb     ish
    look    0x1000
    .endm
    pair    unmap_dsb_before_tlbi

    .macro  unmap_dsb_not_dmb taken
    use     0x1000
    entry   user_l3, 1, 0
    .if     \taken
    dsb     ish
    .else
    dmb     ish
    .endif
    tlbi_va vae1is, 0x1000
    dsb     ish
    look    0x1000
    .endm
    pair    unmap_dsb_not_dmb

    .macro  unmap_dsb_behind_tlbi taken
    use     0x1000
    entry   user_l3, 1, 0
    dsb     ishst
    tlbi_va vae1is, 0x1000
    .if     \taken
    dsb     ish
    .endif
    look    0x1000
    .endm
    pair    unmap_dsb_behind_tlbi

    .macro  unmap_dsb_for_all taken
    use     0x1000
    entry   user_l3, 1, 0
    dsb     ishst
    tlbi_va vae1is, 0x1000
    .if     \taken
    dsb     ish
    .else
    dsb     ishst
    .endif
    look    0x1000
    .endm
    pair    unmap_dsb_for_all

    .macro  tlbi_of_this_va taken
    use     0x1000
    entry   user_l3, 1, 0
    dsb     ishst
    .if     \taken
    tlbi_va vae1is, 0x1000
    .else
    tlbi_va vae1is, 0x3000
    .endif
    dsb     ish
    look    0x1000
    .endm
    pair    tlbi_of_this_va

    .macro  tlbi_with_shifted_operand taken
    use     0x1000
    entry   user_l3, 1, 0
    dsb     ishst
    .if     \taken
    tlbi_va vae1is, 0x1000
    .else
    ldr     x2, =0x1000 | ASID(1)
    tlbi    vae1is, x2
    .endif
    dsb     ish
    look    0x1000
    .endm
    pair    tlbi_with_shifted_operand

    .macro  tlbi_of_this_asid taken
    use     0x1000
    entry   user_l3, 1, 0
    dsb     ishst
    tlbi_va vae1is, 0x1000, 2-\taken
    dsb     ish
    look    0x1000
    .endm
    pair    tlbi_of_this_asid

/* A global entry of the kernel's half has no ASID. */
    .macro  tlbi_of_global_entry taken
    use     WINDOW
    entry   window_l3, 0, 0
    dsb     ishst
    .if     \taken
    tlbi_va vaae1is, WINDOW
    .else
    ldr     x2, =ASID(1)
    tlbi    aside1is, x2
    .endif
    dsb     ish
    isb
    look    WINDOW
    .endm
    pair    tlbi_of_global_entry

/* The page of the table gets another use at once. */
    .macro  tlbi_of_all_levels taken
    use     0x400000
    entry   user_l2, 2, 0
    dsb     ishst
    .if     \taken
    tlbi_va vae1is, 0x400000
    .else
    tlbi_va vale1is, 0x400000
    .endif
    dsb     ish
    entry   spare_l3, 0, FRAME(9) + USER_RW
    look    0x400000
    .endm
    pair    tlbi_of_all_levels

    .macro  restrict_tlbi taken
    use     0x1000
    entry   user_l3, 1, FRAME(1) + USER_RO
    dsb     ishst
    .if     \taken
    tlbi_va vale1is, 0x1000
    .endif
    dsb     ish
    overwrite 0x1000
    .endm
    pair    restrict_tlbi

/* Block into pages: the addresses stay the same, and a TLB may hold both. */
    .macro  split_break taken
    use     0x200000
    ldr     x0, =new_l3
    ldr     x1, =0x40A00000 + USER_RW
    str     x1, [x0]
    .if     \taken
    entry   user_l2, 1, 0
    dsb     ishst
    tlbi_va vae1is, 0x200000
    dsb     ish
    .else
    dsb     ishst
    .endif
    entry   user_l2, 1, PA(new_l3) + TABLE
    dsb     ishst
    isb
    look    0x200000
    tlbi_va vae1is, 0x200000
    dsb     ish
    .endm
    pair    split_break

    .macro  remap_break taken
    use     0x1000
    .if     \taken
    entry   user_l3, 1, 0
    dsb     ishst
    tlbi_va vae1is, 0x1000
    dsb     ish
    .endif
    entry   user_l3, 1, FRAME(9) + USER_RW
    dsb     ishst
    isb
    look    0x1000
    .endm
    pair    remap_break

    .macro  new_entry_dsb taken
    entry   user_l3, 8, FRAME(8) + USER_RW
    .if     \taken
    dsb     ishst
    .endif
    isb
    look    0x8000
    .endm
    pair    new_entry_dsb

    .macro  new_kernel_entry_isb taken
    entry   window_l3, 2, FRAME(34) + KERNEL_RW
    dsb     ishst
    .if     \taken
    isb
    .endif
    look    WINDOW + 0x2000
    .endm
    pair    new_kernel_entry_isb

    .macro  old_kernel_entry_isb taken
    use     WINDOW
    entry   window_l3, 0, 0
    dsb     ishst
    tlbi_va vaae1is, WINDOW
    dsb     ish
    .if     \taken
    isb
    .endif
    look    WINDOW
    .endm
    pair    old_kernel_entry_isb

/* Clobbers x0. */
    .macro  run_in table, asid
    ldr     x0, =PA(\table) + ASID(\asid)
    msr     ttbr0_el1, x0
    .endm

    .macro  switch_isb taken
    run_in  other_l0, 2
    .if     \taken
    isb
    .endif
    look    0x1000
    .endm
    pair    switch_isb

    .macro  reuse_of_asid taken
    use     0x1000
    run_in  empty_l0, 0
    isb
    .if     \taken
    ldr     x2, =ASID(1)
    tlbi    aside1is, x2
    dsb     ish
    .endif
    run_in  other_l0, 1
    isb
    look    0x1000
    .endm
    pair    reuse_of_asid

/* Nobody uses the new space with the old ASID, but it is there to be walked. */
    .macro  switch_in_one_step taken
    .if     \taken
    run_in  other_l0, 2
    .else
    run_in  other_l0, 1
    isb
    run_in  other_l0, 2
    .endif
    isb
    run_in  user_l0, 1
    isb
    look    0x1000
    .endm
    pair    switch_in_one_step

/* Read-only pages of the same contents need no break. */
    .macro  move_read_only taken
    use     0x3000
    .if     \taken
    entry   user_l3, 3, FRAME(4) + USER_RO
    .else
    entry   user_l3, 3, FRAME(9) + USER_RO
    .endif
    dsb     ishst
    isb
    look    0x3000
    .endm
    pair    move_read_only

/* The same page, but for all spaces: a TLB that holds both entries takes an abort. */
    .macro  global_break taken
    use     0x1000
    .if     \taken
    entry   user_l3, 1, 0
    dsb     ishst
    tlbi_va vae1is, 0x1000
    dsb     ish
    .endif
    entry   user_l3, 1, FRAME(1) + (USER_RW & ~NG)
    dsb     ishst
    isb
    look    0x1000
    .endm
    pair    global_break

/*
 * The other way round a TLB may hold both, whichever it has loaded first: before the DSB walks may see either, and each
 * store to a table lets them choose again.
 */
    .macro  no_more_global_tlbi taken
    entry   user_l3, 8, FRAME(8) + (USER_RW & ~NG)
    dsb     ishst
    isb
    use     0x8000
    mov     x22, #0
    entry   user_l3, 8, FRAME(8) + USER_RW
    .rept   4
    use     0x8000
    add     x22, x22, x0
    entry   user_l3, 9, FRAME(9) + USER_RW
    use     0x8000
    add     x22, x22, x0
    entry   user_l3, 9, 0
    .endr
    dsb     ishst
    .if     \taken
    tlbi_va vae1is, 0x8000
    .endif
    dsb     ish
    run_in  other_l0, 2
    isb
    look    0x8000
    add     x0, x0, x22
    .endm
    pair    no_more_global_tlbi

    .macro  entry_of_one_space taken
    .if     \taken
    entry   user_l3, 8, FRAME(8) + USER_RW
    .else
    entry   user_l3, 8, FRAME(8) + (USER_RW & ~NG)
    .endif
    dsb     ishst
    isb
    use     0x8000
    run_in  other_l0, 2
    isb
    look    0x8000
    .endm
    pair    entry_of_one_space

/* From user_l0 to user_l1: 32 bits instead of 48, and four entries in the first table. Clobbers x0, x9. */
    .macro  run_in_small_root
    run_in  empty_l0, 0
    isb
    mrs     x9, tcr_el1
    add     x9, x9, #16
    msr     tcr_el1, x9
    isb
    tlbi    vmalle1is
    dsb     ish
    run_in  user_l1, 1
    isb
    .endm

/* Of a table that is unlinked a TLB may hold any page, though nobody has used it; a TLBI for the first is not enough. */
    .macro  unlink_below_small_root taken
    run_in_small_root
    entry   new_l3, 0, 0
    entry   new_l3, 100, FRAME(9) + USER_RW
    entry   user_l2, 3, PA(new_l3) + TABLE
    dsb     ishst
    isb
    entry   user_l2, 3, 0
    dsb     ishst
    tlbi_va vae1is, 0x600000
    .if     \taken
    tlbi_va vae1is, 0x664000
    .endif
    dsb     ish
    look    0x664000
    .endm
    pair    unlink_below_small_root

/* What is seen before the last step is anyone's guess, and must not be kept. */
    .macro  unmap_with_a_use_between taken
    use     0x1000
    entry   user_l3, 1, 0
    dsb     ishst
    tlbi_va vae1is, 0x1000
    use     0x1000
    .if     \taken
    dsb     ish
    .endif
    look    0x1000
    .endm
    pair    unmap_with_a_use_between

    .macro  unlink_with_a_use_between taken
    use     0x400000
    entry   user_l2, 2, 0
    dsb     ishst
    tlbi_va vae1is, 0x400000
    use     0x400000
    .if     \taken
    dsb     ish
    .endif
    look    0x400000
    .endm
    pair    unlink_with_a_use_between

    .macro  kernel_unmap_with_a_use_between taken
    use     WINDOW
    entry   window_l3, 0, 0
    dsb     ishst
    tlbi_va vaae1is, WINDOW
    dsb     ish
    use     WINDOW
    .if     \taken
    isb
    .endif
    look    WINDOW
    .endm
    pair    kernel_unmap_with_a_use_between

/* A second TLBI takes nothing back of what the first one has done, though no DSB is behind it. */
    .macro  kernel_unmap_with_a_second_tlbi taken
    use     WINDOW
    entry   window_l3, 0, 0
    dsb     ishst
    tlbi_va vaae1is, WINDOW
    .if     \taken
    dsb     ish
    .endif
    tlbi_va vaae1is, WINDOW
    isb
    look    WINDOW
    .endm
    pair    kernel_unmap_with_a_second_tlbi

/* What a load from x0 gives. */
case load
    adr     x20, 9f
    mov     x9, x0
    mov     x0, #FAULT
    ldr     x0, [x9]
9:
    ret
