/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef UK_ARCH_PAGING_H
#define UK_ARCH_PAGING_H

#include "lukos/types.h"
#include <uk/arch/types.h>
#include <uk/assert.h>
#include <uk/essentials.h>

#include <uk/asm/paging.h>

/*
 * Pages and page tables, as Unikraft counts levels: a page is of level 0, a large page (2M) of
 * level 1, a huge one (1G) of level 2. The Arm ARM counts the other way.
 */

#define PAGE_LEVEL 0
#define PAGE_MASK (~((__u64)PAGE_SIZE - 1))

#define PAGE_LARGE_LEVEL 1
#define PAGE_LARGE_SHIFT 21
#define PAGE_LARGE_SIZE 0x200000UL
#define PAGE_LARGE_MASK (~(PAGE_LARGE_SIZE - 1))

#define PAGE_HUGE_LEVEL 2
#define PAGE_HUGE_SHIFT 30
#define PAGE_HUGE_SIZE 0x40000000UL
#define PAGE_HUGE_MASK (~(PAGE_HUGE_SIZE - 1))

#define PAGE_Lx_SHIFT(lvl) (PAGE_SHIFT + PT_LEVEL_SHIFT * (lvl))
#define PAGE_SHIFT_Lx(shift) (((shift) - PAGE_SHIFT) / PT_LEVEL_SHIFT)
#define PAGE_Lx_SIZE(lvl) (1UL << PAGE_Lx_SHIFT(lvl))
#define PAGE_Lx_MASK(lvl) (~(PAGE_Lx_SIZE(lvl) - 1))
#define PAGE_Lx_ALIGN_UP(addr, lvl) ALIGN_UP(addr, PAGE_Lx_SIZE(lvl))
#define PAGE_Lx_ALIGN_DOWN(addr, lvl) ALIGN_DOWN(addr, PAGE_Lx_SIZE(lvl))
#define PAGE_Lx_ALIGNED(addr, lvl) (((addr) & (PAGE_Lx_SIZE(lvl) - 1)) == 0)
#define PAGE_Lx_HAS(lvl) ((lvl) <= PT_MAP_LEVEL_MAX)

#define PAGE_ALIGN_UP(addr) PAGE_Lx_ALIGN_UP(addr, PAGE_LEVEL)
#define PAGE_ALIGN_DOWN(addr) PAGE_Lx_ALIGN_DOWN(addr, PAGE_LEVEL)
#define PAGE_ALIGNED(addr) PAGE_Lx_ALIGNED(addr, PAGE_LEVEL)

#define PAGE_LARGE_ALIGN_UP(addr) PAGE_Lx_ALIGN_UP(addr, PAGE_LARGE_LEVEL)
#define PAGE_LARGE_ALIGN_DOWN(addr) PAGE_Lx_ALIGN_DOWN(addr, PAGE_LARGE_LEVEL)
#define PAGE_LARGE_ALIGNED(addr) PAGE_Lx_ALIGNED(addr, PAGE_LARGE_LEVEL)
#define PAGE_HUGE_ALIGN_UP(addr) PAGE_Lx_ALIGN_UP(addr, PAGE_HUGE_LEVEL)
#define PAGE_HUGE_ALIGN_DOWN(addr) PAGE_Lx_ALIGN_DOWN(addr, PAGE_HUGE_LEVEL)
#define PAGE_HUGE_ALIGNED(addr) PAGE_Lx_ALIGNED(addr, PAGE_HUGE_LEVEL)

/* Pages that len bytes take. */
#define PAGE_COUNT(len) DIV_ROUND_UP((len), PAGE_SIZE)

/* Tables of a level that so many pages, or tables of the level below, need; of all levels. */
#define PT_Lx_PT_PAGES(lvl, pages) DIV_ROUND_UP((pages), PT_Lx_PTES(lvl))
#define PT_PAGES(pages)                                                       \
    (PT_Lx_PT_PAGES(0, pages) + PT_Lx_PT_PAGES(1, PT_Lx_PT_PAGES(0, pages)) + \
     PT_Lx_PT_PAGES(2, PT_Lx_PT_PAGES(1, PT_Lx_PT_PAGES(0, pages))) +         \
     PT_Lx_PT_PAGES(3, PT_Lx_PT_PAGES(2, PT_Lx_PT_PAGES(1, PT_Lx_PT_PAGES(0, pages)))))

/* What a page may be used for, and of what kind of memory it is (uk/asm/paging.h). */
#define PAGE_ATTR_PROT_RW (PAGE_ATTR_PROT_READ | PAGE_ATTR_PROT_WRITE)
#define PAGE_ATTR_PROT_RX (PAGE_ATTR_PROT_READ | PAGE_ATTR_PROT_EXEC)
#define PAGE_ATTR_PROT_RWX (PAGE_ATTR_PROT_RW | PAGE_ATTR_PROT_EXEC)

/* No address; as an argument: any. */
#define __VADDR_ANY __VADDR_INV
#define __PADDR_ANY __PADDR_INV

/* Non-zero when hardware can translate, or refer to, all of the range. */
int ukarch_vaddr_isvalid(__vaddr_t addr);
int ukarch_vaddr_range_isvalid(__vaddr_t start, __sz len);
int ukarch_paddr_isvalid(__paddr_t addr);
int ukarch_paddr_range_isvalid(__paddr_t start, __sz len);

/*
 * Entries of a table, as ukplat_pt_walk() finds it. What is valid may become invalid, or get other
 * rights, by one store; for anything else it has to be invalid, and the TLB to know, first
 * (-EINVAL). Nothing is told to the TLB; frames and tables are the caller's.
 */
int ukarch_pte_read(__vaddr_t pt_vaddr, unsigned int lvl, unsigned int idx, __pte_t *pte);
int ukarch_pte_write(__vaddr_t pt_vaddr, unsigned int lvl, unsigned int idx, __pte_t pte);

/* Let every CPU forget what it knows of an address, or of all; what was stored before counts. */
void ukarch_tlb_flush_entry(__vaddr_t vaddr);
void ukarch_tlb_flush(void);

/*
 * The table at the top of the low half; of the kernel's where no page table is active. Another is
 * made the active one by ukplat_pt_set_active(), which knows its ASID.
 */
__paddr_t ukarch_pt_read_base(void);

#endif
