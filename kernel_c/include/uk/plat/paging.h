/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef UK_PLAT_PAGING_H
#define UK_PLAT_PAGING_H

#include <uk/arch/paging.h>
#include <uk/config.h>
#include <uk/falloc.h>

/*
 * Page tables by hand. Everything here works on a range of pages of one size; results are 0 or a
 * negative errno. The VMAs of a VAS (uk/vmem.h) do it by themselves.
 */
struct uk_pagetable {
    __vaddr_t pt_vbase; /* the top-level table */
    __paddr_t pt_pbase;
    struct uk_falloc *fa; /* for frames and tables */
    struct ukarch_pagetable arch;
};

#define PAGE_FLAG_KEEP_PTES 0x01   /* unmap: leave the entry's other bits, clear "present" */
#define PAGE_FLAG_KEEP_FRAMES 0x02 /* unmap: do not free what was mapped */
#define PAGE_FLAG_FORCE_SIZE 0x04  /* this page size and no other */

#define PAGE_FLAG_SIZE_SHIFT 4
#define PAGE_FLAG_SIZE_BITS 4
#define PAGE_FLAG_SIZE_MASK ((1UL << PAGE_FLAG_SIZE_BITS) - 1)
#define PAGE_FLAG_SIZE(lvl) (((lvl) & PAGE_FLAG_SIZE_MASK) << PAGE_FLAG_SIZE_SHIFT)
#define PAGE_FLAG_SIZE_TO_LEVEL(flag) (((flag) >> PAGE_FLAG_SIZE_SHIFT) & PAGE_FLAG_SIZE_MASK)

#define PAGE_FLAG_CLONE_NEW 0x01 /* an empty page table */

/* The page table that TTBR0 holds; the kernel's own where it holds none. */
struct uk_pagetable *ukplat_pt_get_active(void);
int ukplat_pt_set_active(struct uk_pagetable *pt);

/* An empty page table that shares the frame allocator of pt_src. flags: PAGE_FLAG_CLONE_NEW. */
int ukplat_pt_clone(struct uk_pagetable *pt, struct uk_pagetable *pt_src, unsigned long flags);

/* Free the tables and, without PAGE_FLAG_KEEP_FRAMES, what they map of the allocator's memory. */
int ukplat_pt_free(struct uk_pagetable *pt, unsigned long flags);

/*
 * Walk down to *level, or to where the translation ends before that: *level, the table and the
 * entry there. level NULL: down to the page; the others may be NULL.
 */
int ukplat_pt_walk(struct uk_pagetable *pt, __vaddr_t vaddr, unsigned int *level,
                   __vaddr_t *pt_vaddr, __pte_t *pte);

/*
 * Map pages to consecutive physical memory, or to new frames (__PADDR_ANY), with the largest
 * pages that fit unless PAGE_FLAG_FORCE_SIZE. All or nothing. -EEXIST: something is mapped there.
 */
int ukplat_page_map(struct uk_pagetable *pt, __vaddr_t vaddr, __paddr_t paddr, unsigned long pages,
                    unsigned long attr, unsigned long flags);

/* Holes in the range are skipped. */
int ukplat_page_unmap(struct uk_pagetable *pt, __vaddr_t vaddr, unsigned long pages,
                      unsigned long flags);
int ukplat_page_set_attr(struct uk_pagetable *pt, __vaddr_t vaddr, unsigned long pages,
                         unsigned long new_attr, unsigned long flags);

/*
 * A place where the kernel can write to physical memory for a short time; __VADDR_INV: it is not
 * RAM. All of RAM is mapped, so this costs nothing and cannot run out.
 */
__vaddr_t ukplat_page_kmap(struct uk_pagetable *pt, __paddr_t paddr, unsigned long pages,
                           unsigned long flags);
void ukplat_page_kunmap(struct uk_pagetable *pt, __vaddr_t vaddr, unsigned long pages,
                        unsigned long flags);

#endif
