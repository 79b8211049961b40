/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef UK_ASM_PAGING_H
#define UK_ASM_PAGING_H

#include <uk/arch/types.h>
#include <uk/asm/page_attr.h>

/*
 * The part of uk/arch/paging.h that is the fake architecture's. What can differ from AArch64
 * does: see pte.h.
 */
typedef __u64 __pte_t;

struct uk_vas;

struct ukarch_pagetable {
    __u64 tag;          /* of its translations in the TLB; 0: it will not run again */
    void *as;           /* the address_space_t, if it is of one */
    struct uk_vas *vas; /* that it is the page table of */
};

#define PT_LEVELS 4
#define PT_LEVEL_SHIFT 9
#define PT_PTES_PER_LEVEL 512
#define PT_Lx_PTES(lvl) PT_PTES_PER_LEVEL
#define PT_MAP_LEVEL_MAX (PT_LEVELS - 2)
#define PT_Lx_IDX(vaddr, lvl) (((vaddr) >> PAGE_Lx_SHIFT(lvl)) & (PT_PTES_PER_LEVEL - 1))

/* Bits 35:0 are those of the frame's number, rotated; the rest is in pte.h. */
#define PT_FRAME_BITS 36
#define PT_FRAME_MASK ((1UL << PT_FRAME_BITS) - 1)
#define PT_FRAME_ROTATION 13
#define PT_ABSENT (1UL << 59)
#define PT_TABLE (1UL << 63)
#define PT_PADDR_END (1UL << (PT_FRAME_BITS + 12))

static inline __paddr_t ukarch_pte_paddr(__pte_t pte)
{
    __u64 rotated = pte & PT_FRAME_MASK;

    return ((rotated >> PT_FRAME_ROTATION | rotated << (PT_FRAME_BITS - PT_FRAME_ROTATION)) &
            PT_FRAME_MASK)
           << 12;
}

static inline __pte_t ukarch_pte_with_paddr(__pte_t pte, __paddr_t paddr)
{
    __u64 frame = paddr >> 12;
    __u64 rotated = frame << PT_FRAME_ROTATION | frame >> (PT_FRAME_BITS - PT_FRAME_ROTATION);

    return (pte & ~PT_FRAME_MASK) | (rotated & PT_FRAME_MASK);
}

#define PT_Lx_PTE_INVALID(lvl) 0x0UL
#define PT_Lx_PTE_PRESENT(pte, lvl) ((pte) != 0 && ((pte) & PT_ABSENT) == 0)
#define PT_Lx_PTE_CLEAR_PRESENT(pte, lvl) ((pte) | PT_ABSENT)
#define PAGE_Lx_IS(pte, lvl) ((lvl) == PAGE_LEVEL || ((pte) & PT_TABLE) == 0)
#define PT_Lx_PTE_PADDR(pte, lvl) ukarch_pte_paddr(pte)
#define PT_Lx_PTE_SET_PADDR(pte, lvl, paddr) ukarch_pte_with_paddr(pte, paddr)

/* Bits 51:36, which are nobody's. */
#define PT_Lx_PTE_SPARE(pte, lvl) ((pte) & 0x000FFFF000000000UL)

/* In no half that is translated, and aligned to the largest page. */
#define __VADDR_INV 0xBAADBAAD80000000UL
#define __PADDR_INV 0xBAADBAAD80000000UL

#endif
