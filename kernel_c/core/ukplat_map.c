/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/ukplat.h"
#include "lib/bits.h"
#include "lukos/frames.h"
#include "lukos/status.h"
#include "lukos/vmm_arch.h"

/* uk/plat/paging.h: mapping pages by hand, one after the other where a mapper wants to see them. */

struct mapping {
    struct uk_pagetable *pt;
    struct pages pages;
    __paddr_t paddr; /* of pages.vaddr; __PADDR_ANY: new frames */
    __pte_t pte;     /* without address */
    bool keep;       /* bits of the present descriptors that are nobody else's */
    const struct ukplat_page_mapx *mapx;
    unsigned largest; /* level */
};

/* Of map_page(): smaller pages are there already. Beside a status and UKPLAT_PAGE_MAPX_*. */
#define SMALLER_PAGES 3

static unsigned level_for(const struct mapping *op, __vaddr_t vaddr)
{
    __paddr_t paddr = op->paddr == __PADDR_ANY ? 0 : op->paddr + (vaddr - op->pages.vaddr);
    unsigned level = op->largest;

    while (!op->pages.forced && level > PAGE_LEVEL &&
           (!PAGE_Lx_ALIGNED(vaddr | paddr, level) ||
            (op->pages.end - vaddr) >> PAGE_Lx_SHIFT(level) == 0)) {
        level--;
    }
    return level;
}

/* What was unmapped with PAGE_FLAG_KEEP_PTES, and its memory freed. */
static bool refers_to_nothing(__pte_t pte, unsigned level)
{
    (void)level;
    return !PT_Lx_PTE_PRESENT(pte, level) && PT_Lx_PTE_PADDR(pte, level) == 0;
}

/* A mapper decides what becomes of a page that is there. */
static bool is_replaceable(const struct mapping *op, __pte_t pte, unsigned level)
{
    return op->mapx != NULL || (op->keep && !PT_Lx_PTE_PRESENT(pte, level)) ||
           refers_to_nothing(pte, level);
}

/* A page larger than is to be mapped is in the way: cut it, if it may be. */
static int make_room(const struct mapping *op, __vaddr_t vaddr, unsigned level, __pte_t pte,
                     unsigned there)
{
    int status;

    if (refers_to_nothing(pte, there)) {
        return vmm_arch_pages_unmap(op->pt, PAGE_Lx_ALIGN_DOWN(vaddr, there), PAGE_Lx_SIZE(there),
                                    NULL);
    }
    if (!is_replaceable(op, pte, there)) {
        return -EEXIST;
    }
    status = vmm_arch_pages_cut(op->pt, vaddr);
    return status != 0 ? status : vmm_arch_pages_cut(op->pt, vaddr + PAGE_Lx_SIZE(level));
}

/* Find the slot for a page, or the page of its size that is there and will be replaced. */
static int open_slot(const struct mapping *op, __vaddr_t vaddr, unsigned level, __pte_t **slot,
                     __pte_t *old)
{
    int status = vmm_arch_slot(op->pt, vaddr, level, slot);
    unsigned there;

    *old = 0;
    if (status != -EEXIST) {
        return status;
    }
    *old = vmm_arch_page_at(op->pt, vaddr, &there);
    if (there > level) {
        status = make_room(op, vaddr, level, *old, there);
        return status != 0 ? status : open_slot(op, vaddr, level, slot, old);
    }
    if (there < level) {
        return op->pages.forced ? -EEXIST : SMALLER_PAGES;
    }
    return is_replaceable(op, *old, level) ? 0 : -EEXIST;
}

/* What the page will refer to. 0: out of memory. */
static __paddr_t choose_memory(const struct mapping *op, __vaddr_t vaddr, unsigned level,
                               __pte_t old, bool *is_new)
{
    unsigned order = PAGE_Lx_SHIFT(level) - PAGE_SHIFT;
    __paddr_t there = PT_Lx_PTE_PADDR(old, level);

    *is_new = there == 0 && op->paddr == __PADDR_ANY;
    if (*is_new) {
        return frames_alloc(BIT(order), order, FRAME_PAGE);
    }
    return op->paddr == __PADDR_ANY || (there != 0 && PT_Lx_PTE_PRESENT(old, level))
               ? there
               : op->paddr + (vaddr - op->pages.vaddr);
}

static int ask_mapper(const struct mapping *op, __vaddr_t vaddr, unsigned level, __pte_t *pte)
{
    __vaddr_t table;
    unsigned at = level;

    if (op->mapx == NULL) {
        return 0;
    }
    (void)vmm_arch_walk(op->pt, vaddr, &at, &table);
    return op->mapx->map(op->pt, vaddr, table, level, pte, op->mapx->ctx);
}

static void write_page(const struct mapping *op, __vaddr_t vaddr, unsigned level, __pte_t *slot,
                       __pte_t old, __pte_t pte)
{
    __paddr_t paddr = PT_Lx_PTE_PADDR(pte, level);

    if (old == 0) {
        vmm_arch_slots_fill(slot, 1, paddr, pte, level);
        vmm_arch_publish();
    } else {
        vmm_arch_page_replace(op->pt, vaddr, paddr, pte, level);
    }
}

/* Map one page of this level. */
static int map_page(const struct mapping *op, __vaddr_t vaddr, unsigned level)
{
    __pte_t *slot;
    __pte_t old;
    __pte_t pte;
    __paddr_t paddr;
    bool is_new;
    int status = open_slot(op, vaddr, level, &slot, &old);

    if (status != 0) {
        return status;
    }
    paddr = choose_memory(op, vaddr, level, old, &is_new);
    pte = PT_Lx_PTE_SET_PADDR(op->pte, level, paddr);
    pte |= op->keep ? PT_Lx_PTE_SPARE(old, level) : 0;
    status = is_new && paddr == 0 ? UKPLAT_PAGE_MAPX_ETOOBIG : ask_mapper(op, vaddr, level, &pte);
    if (status == 0) {
        write_page(op, vaddr, level, slot, old, pte);
        return 0;
    }
    if (is_new && paddr != 0) {
        frames_free(paddr, PAGE_Lx_SIZE(level) / PAGE_SIZE);
    }
    if (old == 0) {
        (void)vmm_arch_pages_unmap(op->pt, vaddr, PAGE_Lx_SIZE(level), NULL);
    }
    return status;
}

/* Map the page at vaddr, the largest that can be had; *next receives where it ends. */
static int map_next(struct mapping *op, __vaddr_t vaddr, __vaddr_t *next)
{
    unsigned level = level_for(op, vaddr);
    int status = map_page(op, vaddr, level);

    while (status > 0 && status != UKPLAT_PAGE_MAPX_ESKIP) {
        if (op->pages.forced || level == PAGE_LEVEL) {
            return -ENOMEM;
        }
        level--;
        if (status == UKPLAT_PAGE_MAPX_ETOOBIG) {
            op->largest = level;
        }
        status = map_page(op, vaddr, level);
    }
    if (status >= 0) {
        *next = vaddr + PAGE_Lx_SIZE(level);
    }
    return status < 0 ? status : 0;
}

/* Of one page or more. What a mapper has seen is its own to undo. */
static int map_pages(struct mapping *op)
{
    struct frame_runs runs = {NULL, NULL};
    __vaddr_t vaddr = op->pages.vaddr;
    int status;

    do {
        status = map_next(op, vaddr, &vaddr);
    } while (status == 0 && vaddr != op->pages.end);
    if (status != 0 && op->mapx == NULL && vaddr != op->pages.vaddr) {
        (void)vmm_arch_pages_unmap(op->pt, op->pages.vaddr, vaddr - op->pages.vaddr,
                                   op->paddr == __PADDR_ANY ? &runs : NULL);
        frame_runs_release(&runs);
    }
    return status;
}

/* Memory that descriptors can refer to, and pages of the size asked for can start at. */
static bool is_memory(__paddr_t paddr, const struct pages *pages)
{
    return PAGE_Lx_ALIGNED(paddr, pages->forced ? pages->level : (unsigned)PAGE_LEVEL) &&
           vmm_arch_pa_valid(paddr, pages->end - pages->vaddr);
}

int ukplat_page_mapx(struct uk_pagetable *pt, __vaddr_t vaddr, __paddr_t paddr, unsigned long pages,
                     unsigned long attr, unsigned long flags, struct ukplat_page_mapx *mapx)
{
    struct mapping op = {.pt = pt, .paddr = paddr, .mapx = mapx};
    int status = ukplat_pages(pt, vaddr, pages, flags, &op.pages);

    if (status != 0 || pages == 0) {
        return status;
    }
    op.pte = vmm_arch_pte(pt, attr);
    op.keep = (flags & PAGE_FLAG_KEEP_PTES) != 0;
    op.largest = op.pages.forced ? op.pages.level : PT_MAP_LEVEL_MAX;
    if (op.pte == 0 || (paddr != __PADDR_ANY && !is_memory(paddr, &op.pages))) {
        return -EINVAL;
    }
    if (paddr != __PADDR_ANY && mapx == NULL && !op.keep) {
        status = vmm_arch_pages_map(pt, vaddr, paddr, op.pages.end - vaddr, op.pte, op.largest);
        if (status != -EEXIST) {
            return status;
        }
    }
    return map_pages(&op);
}

int ukplat_page_map(struct uk_pagetable *pt, __vaddr_t vaddr, __paddr_t paddr, unsigned long pages,
                    unsigned long attr, unsigned long flags)
{
    return ukplat_page_mapx(pt, vaddr, paddr, pages, attr, flags, NULL);
}
