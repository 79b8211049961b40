/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef UK_ASM_PAGING_H
#define UK_ASM_PAGING_H

#include <uk/arch/types.h>
#include <uk/asm/page_attr.h>

/*
 * The part of uk/arch/paging.h that is AArch64's: VMSAv8-64 descriptors with a 4K granule and
 * up to four levels, numbered from the page up.
 */
typedef __u64 __pte_t;

struct uk_vas;

/* What a page table has beside its root: see arch/aarch64/context.h. */
struct ukarch_pagetable {
    __u64 tag;           /* generation and ASID, arch/aarch64/asid.h */
    unsigned root_level; /* as the Arm ARM counts */
    bool kernel;         /* it is, or will become, part of the kernel's half */
    void *as;            /* the address_space_t, if it is of one */
    struct uk_vas *vas;  /* that it is the page table of */
};

#define PT_LEVELS 4
#define PT_LEVEL_SHIFT 9
#define PT_PTES_PER_LEVEL 512
#define PT_Lx_PTES(lvl) PT_PTES_PER_LEVEL
#define PT_MAP_LEVEL_MAX (PT_LEVELS - 2)
#define PT_PADDR_END 0x0001000000000000UL /* descriptors refer to what is below */
#define PT_Lx_IDX(vaddr, lvl) (((vaddr) >> PAGE_Lx_SHIFT(lvl)) & (PT_PTES_PER_LEVEL - 1))

#define PT_Lx_PTE_INVALID(lvl) 0x0UL
#define PT_Lx_PTE_PRESENT(pte, lvl) ((pte) & 1UL)
#define PT_Lx_PTE_CLEAR_PRESENT(pte, lvl) ((pte) & ~1UL)
#define PAGE_Lx_IS(pte, lvl) ((lvl) == PAGE_LEVEL || ((pte) & 3UL) == 1UL)
#define PT_Lx_PTE_PADDR(pte, lvl) ((pte) & 0x0000FFFFFFFFF000UL)
#define PT_Lx_PTE_SET_PADDR(pte, lvl, paddr) (((pte) & ~0x0000FFFFFFFFF000UL) | (paddr))

/* Bits 58:55, which are nobody's: a mapper may use them (PAGE_FLAG_KEEP_PTES). */
#define PT_Lx_PTE_SPARE(pte, lvl) ((pte) & 0x0780000000000000UL)

/* In no half that is translated, and aligned to the largest page. */
#define __VADDR_INV 0xBAADBAAD80000000UL
#define __PADDR_INV 0xBAADBAAD80000000UL

#endif
