/* SPDX-License-Identifier: BSD-3-Clause */
#include "layout.h"

/*
 * From reset to C in the upper half. Entered at IMAGE_PA, at EL2 or EL1, MMU off, with the device
 * tree's address or anything else in x0. One CPU: the others wait in the firmware (PSCI).
 */
    .cfi_sections .debug_frame
    .section .boot.text.entry, "ax"
    .global _start
    .type _start, %function
_start:
    .cfi_startproc
    .cfi_undefined x30              // nobody called: backtraces end here
    msr     daifset, #0xf
    mov     x20, x0
    mrs     x0, CurrentEL
    cmp     x0, #(2 << 2)
    b.eq    at_el2
    cmp     x0, #(1 << 2)
    b.eq    at_el1
park:
    wfe                             // EL3 or EL0: not ours
    b       park

/* Let EL1 have the machine as if there were no EL2: no traps, no second stage. */
at_el2:
    mov     x0, #(1 << 31)          // HCR_EL2.RW: EL1 is AArch64
    msr     hcr_el2, x0
    mov     x0, #3                  // EL1PCTEN, EL1PCEN
    msr     cnthctl_el2, x0
    msr     cntvoff_el2, xzr
    mov     x0, #0x33ff             // RES1: nothing is trapped
    msr     cptr_el2, x0
    msr     hstr_el2, xzr
    msr     vttbr_el2, xzr
    mrs     x0, midr_el1
    msr     vpidr_el2, x0
    mrs     x0, mpidr_el1
    msr     vmpidr_el2, x0
    bl      pmu_counters
    msr     mdcr_el2, x0
    mov     x0, #0x3c5              // EL1h, DAIF masked
    msr     spsr_el2, x0
    adr     x0, at_el1
    msr     elr_el2, x0
    ldr     x0, =0x30d00800         // SCTLR_EL1: RES1, everything off
    msr     sctlr_el1, x0
    eret

/* MDCR_EL2.HPMN: all event counters belong to EL1. 0 where there is no PMU. */
pmu_counters:
    mrs     x1, id_aa64dfr0_el1
    ubfx    x1, x1, #8, #4
    mov     x0, #0
    cbz     x1, 1f
    cmp     x1, #0xf
    b.eq    1f
    mrs     x0, pmcr_el0
    ubfx    x0, x0, #11, #5
1:  ret

at_el1:
    msr     spsel, #1
    ldr     x0, =0x30d00800
    msr     sctlr_el1, x0
    isb
    ldr     x0, =phys_bss_start
    ldr     x1, =phys_bss_end
    bl      zero
    ldr     x0, =phys_boot_bss_start
    ldr     x1, =phys_boot_bss_end
    bl      zero
    ldr     x0, =phys_stack_top
    mov     sp, x0
    mov     x0, x20
    bl      boot_find_fdt
    mov     x20, x0
    sub     sp, sp, #48
    mov     x0, sp
    bl      boot_build_tables
    ldp     x3, x4, [sp]            // TCR, MAIR
    ldp     x5, x6, [sp, #16]       // TTBR0, TTBR1
    ldr     x9, [sp, #32]           // SCTLR
    ldr     x0, =phys_bss_start     // what was written past the caches must not be hidden
    ldr     x1, =phys_bss_end       // by a line that is in them
    bl      invalidate
    ldr     x0, =phys_boot_bss_start
    ldr     x1, =phys_boot_bss_end
    bl      invalidate
    msr     tcr_el1, x3
    msr     mair_el1, x4
    msr     ttbr0_el1, x5
    msr     ttbr1_el1, x6
    isb                             // before the TLBI, so that nothing old can come in again
    tlbi    vmalle1                 // the TLB is not defined after reset (D8.17.1)
    ic      iallu
    dsb     nsh
    isb
    ldr     x1, =kernel_entry
    msr     sctlr_el1, x9
    isb
    br      x1
    .cfi_endproc

/* x0, x1: start and end, 16-byte aligned, and not the same. */
zero:
    stp     xzr, xzr, [x0], #16
    cmp     x0, x1
    b.ne    zero
    ret

invalidate:
    mrs     x7, ctr_el0
    ubfx    x7, x7, #16, #4         // DminLine, log2 of words
    mov     x8, #4
    lsl     x7, x8, x7
1:  dc      ivac, x0
    add     x0, x0, x7
    cmp     x0, x1
    b.lo    1b
    dsb     sy
    ret

    .ltorg

/* At its own address from here on. */
    .section .text.entry, "ax"
    .type kernel_entry, %function
kernel_entry:
    .cfi_startproc
    .cfi_undefined x30
    ldr     x0, =stack_top
    mov     sp, x0
    adrp    x0, vectors
    add     x0, x0, :lo12:vectors
    msr     vbar_el1, x0
    isb
    mov     x29, xzr
    mov     x0, x20
    bl      arch_main
    .cfi_endproc
    .ltorg
