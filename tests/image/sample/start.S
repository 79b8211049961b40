// SPDX-License-Identifier: BSD-3-Clause
    .cfi_sections .debug_frame
    .text
    .global assembled
    .type assembled, %function
assembled:
    .cfi_startproc
    nop
    ret
    .cfi_endproc
    .size assembled, . - assembled
    .global bare_label
bare_label:
    nop
    nop
    .bss
    .global linker_made
linker_made:
    .skip 8
