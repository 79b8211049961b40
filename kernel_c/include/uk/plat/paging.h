/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef UK_PLAT_PAGING_H
#define UK_PLAT_PAGING_H

#include <uk/arch/paging.h>
#include <uk/config.h>
#include <uk/falloc.h>

/*
 * Page tables by hand. Everything here works on a range of pages of one size; results are 0 or a
 * negative errno, and no pages are always possible. The VMAs of a VAS (uk/vmem.h) do it by
 * themselves.
 */
struct uk_pagetable {
    __vaddr_t pt_vbase; /* the top-level table */
    __paddr_t pt_pbase;
    struct uk_falloc *fa; /* for frames and tables */
    struct ukarch_pagetable arch;
};

/*
 * KEEP_PTES  unmap: tables stay, and descriptors lose no more than "present", and the address of
 *            what is freed. map: what is not present does not count, and the bits of it that no
 *            attribute uses are kept.
 * KEEP_FRAMES  unmap: do not free what was mapped.
 * FORCE_SIZE   pages of PAGE_FLAG_SIZE() and no other (-EFAULT where there are others).
 */
#define PAGE_FLAG_KEEP_PTES 0x01
#define PAGE_FLAG_KEEP_FRAMES 0x02
#define PAGE_FLAG_FORCE_SIZE 0x04

#define PAGE_FLAG_SIZE_SHIFT 4
#define PAGE_FLAG_SIZE_BITS 4
#define PAGE_FLAG_SIZE_MASK ((1UL << PAGE_FLAG_SIZE_BITS) - 1)
#define PAGE_FLAG_SIZE(lvl) (((lvl) & PAGE_FLAG_SIZE_MASK) << PAGE_FLAG_SIZE_SHIFT)
#define PAGE_FLAG_SIZE_TO_LEVEL(flag) (((flag) >> PAGE_FLAG_SIZE_SHIFT) & PAGE_FLAG_SIZE_MASK)

#define PAGE_FLAG_CLONE_NEW 0x01 /* an empty page table */

/* The page table that TTBR0 holds; the kernel's own where it holds none. */
struct uk_pagetable *ukplat_pt_get_active(void);
int ukplat_pt_set_active(struct uk_pagetable *pt);

/*
 * A page table of its own for what the running one maps, and memory for the allocator. All of RAM
 * is the allocator's already: -ENOTSUP for anything else.
 */
int ukplat_pt_init(struct uk_pagetable *pt, __paddr_t start, __sz len);
int ukplat_pt_add_mem(struct uk_pagetable *pt, __paddr_t start, __sz len);

/*
 * A page table that maps what pt_src maps, and shares its frame allocator; frames have a reference
 * more each. PAGE_FLAG_CLONE_NEW: an empty one. The kernel's half is every page table's: a clone
 * of the kernel's is empty. -ENOMEM, -EOVERFLOW (65536 references).
 */
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
 * A mapper: sees each page before it is written, of this level and in the table at pt_vaddr, and
 * may change the descriptor. 0: write it. UKPLAT_PAGE_MAPX_ESKIP: leave out this page;
 * UKPLAT_PAGE_MAPX_ETOOBIG: come again with smaller ones. A negative errno ends it all.
 *
 * With __PADDR_ANY the descriptor has new memory, which it may fill; what is skipped is freed. A
 * page that is there keeps its memory; who gives it other memory frees that. Larger pages are cut.
 */
typedef int (*ukplat_page_mapx_func_t)(struct uk_pagetable *pt, __vaddr_t vaddr, __vaddr_t pt_vaddr,
                                       unsigned int level, __pte_t *pte, void *ctx);

#define UKPLAT_PAGE_MAPX_ESKIP 1
#define UKPLAT_PAGE_MAPX_ETOOBIG 2

struct ukplat_page_mapx {
    ukplat_page_mapx_func_t map;
    void *ctx; /* its last argument */
};

/*
 * Map pages to consecutive physical memory, or to new frames (__PADDR_ANY), with the largest
 * pages that fit, and that there is memory for, unless PAGE_FLAG_FORCE_SIZE. -EEXIST: something is
 * mapped there. All or nothing; with a mapper, what it has seen before an error stays.
 */
int ukplat_page_map(struct uk_pagetable *pt, __vaddr_t vaddr, __paddr_t paddr, unsigned long pages,
                    unsigned long attr, unsigned long flags);
int ukplat_page_mapx(struct uk_pagetable *pt, __vaddr_t vaddr, __paddr_t paddr, unsigned long pages,
                     unsigned long attr, unsigned long flags, struct ukplat_page_mapx *mapx);

/* Holes in the range are skipped. vaddr __VADDR_ANY: whatever there is. */
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

/* 0: paging is on since the kernel was booted. */
int ukplat_paging_init(void);

#endif
