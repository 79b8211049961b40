/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/vas.h"
#include "lib/bits.h"
#include "lukos/frames.h"
#include "lukos/status.h"
#include "lukos/vmm_arch.h"
#include <uk/plat/paging.h>

/* uk/plat/paging.h: page tables by hand, over the contract with the architecture. */

struct pages {
    __vaddr_t vaddr;
    __sz len;
    unsigned level; /* of the page size asked for */
};

static int pages_of(const struct uk_pagetable *pt, __vaddr_t vaddr, unsigned long count,
                    unsigned long flags, struct pages *pages)
{
    unsigned level = (unsigned)PAGE_FLAG_SIZE_TO_LEVEL(flags);

    if (pt == NULL || level > PT_MAP_LEVEL_MAX || count == 0 ||
        count > __VADDR_MAX >> PAGE_Lx_SHIFT(level) || !PAGE_Lx_ALIGNED(vaddr, level)) {
        return -EINVAL;
    }
    *pages = (struct pages){vaddr, count << PAGE_Lx_SHIFT(level), level};
    return vmm_arch_range_valid(pt, vaddr, pages->len) ? 0 : -EINVAL;
}

struct uk_pagetable *ukplat_pt_get_active(void)
{
    struct uk_pagetable *active = vmm_arch_active();

    return active == NULL ? vmm_arch_kernel_context() : active;
}

int ukplat_pt_set_active(struct uk_pagetable *pt)
{
    if (pt == NULL) {
        return -EINVAL;
    }
    vmm_arch_activate(pt == vmm_arch_kernel_context() ? NULL : pt);
    return 0;
}

int ukplat_pt_clone(struct uk_pagetable *pt, struct uk_pagetable *pt_src, unsigned long flags)
{
    if (pt == NULL || pt_src == NULL) {
        return -EINVAL;
    }
    return flags == PAGE_FLAG_CLONE_NEW ? vmm_arch_pagetable_init(pt) : -ENOTSUP;
}

int ukplat_pt_free(struct uk_pagetable *pt, unsigned long flags)
{
    struct frame_runs runs = {NULL, NULL};
    __vaddr_t start;

    if (pt == NULL || pt == vmm_arch_kernel_context()) {
        return -EINVAL;
    }
    if (vmm_arch_is_active(pt)) {
        return -EBUSY;
    }
    start = vmm_arch_range_start(pt);
    vmm_arch_context_retire(pt);
    (void)vmm_arch_pages_unmap(pt, start, vmm_arch_range_end(pt) - start,
                               (flags & PAGE_FLAG_KEEP_FRAMES) != 0 ? NULL : &runs);
    frame_runs_release(&runs);
    vmm_arch_pagetable_fini(pt);
    return 0;
}

int ukplat_pt_walk(struct uk_pagetable *pt, __vaddr_t vaddr, unsigned int *level,
                   __vaddr_t *pt_vaddr, __pte_t *pte)
{
    unsigned int stop = level == NULL ? PAGE_LEVEL : *level;
    __vaddr_t table;
    __pte_t entry;

    if (pt == NULL || stop >= PT_LEVELS) {
        return -EINVAL;
    }
    entry = vmm_arch_walk(pt, vaddr, &stop, &table);
    if (level != NULL) {
        *level = stop;
    }
    if (pt_vaddr != NULL) {
        *pt_vaddr = table;
    }
    if (pte != NULL) {
        *pte = entry;
    }
    return 0;
}

/* Unmap again what of the range was mapped to new frames. */
static void undo(struct uk_pagetable *pt, __vaddr_t vaddr, __sz len)
{
    struct frame_runs runs = {NULL, NULL};

    if (len != 0) {
        (void)vmm_arch_pages_unmap(pt, vaddr, len, &runs);
        frame_runs_release(&runs);
    }
}

static int map_new_frame(struct uk_pagetable *pt, __vaddr_t vaddr, __pte_t pte, unsigned level)
{
    unsigned order = PAGE_Lx_SHIFT(level) - PAGE_SHIFT;
    __pte_t *slot;
    int status = vmm_arch_slot(pt, vaddr, level, &slot);
    paddr_t pa = status == 0 ? frames_alloc(BIT(order), order, FRAME_PAGE) : 0;

    if (pa != 0) {
        vmm_arch_slot_fill(pt, slot, pa, pte, level);
    } else if (status == 0) {
        (void)vmm_arch_pages_unmap(pt, vaddr, PAGE_Lx_SIZE(level), NULL);
        status = -ENOMEM;
    }
    return status;
}

static int map_new_frames(struct uk_pagetable *pt, struct pages pages, __pte_t pte)
{
    for (__sz done = 0; done < pages.len; done += PAGE_Lx_SIZE(pages.level)) {
        int status = map_new_frame(pt, pages.vaddr + done, pte, pages.level);

        if (status != 0) {
            undo(pt, pages.vaddr, done);
            return status;
        }
    }
    return 0;
}

int ukplat_page_map(struct uk_pagetable *pt, __vaddr_t vaddr, __paddr_t paddr, unsigned long pages,
                    unsigned long attr, unsigned long flags)
{
    bool forced = (flags & PAGE_FLAG_FORCE_SIZE) != 0;
    struct pages range;
    int status = pages_of(pt, vaddr, pages, flags, &range);
    __pte_t pte = status == 0 ? vmm_arch_pte(pt, attr) : 0;

    if (status == 0 && pte == 0) {
        status = -EINVAL;
    }
    if (status != 0 || paddr == __PADDR_ANY) {
        return status != 0 ? status : map_new_frames(pt, range, pte);
    }
    if (!PAGE_Lx_ALIGNED(paddr, forced ? range.level : (unsigned)PAGE_LEVEL) ||
        !vmm_arch_pa_valid(paddr, range.len)) {
        return -EINVAL;
    }
    return vmm_arch_pages_map(pt, vaddr, paddr, range.len, pte,
                              forced ? range.level : PT_MAP_LEVEL_MAX);
}

int ukplat_page_unmap(struct uk_pagetable *pt, __vaddr_t vaddr, unsigned long pages,
                      unsigned long flags)
{
    struct frame_runs runs = {NULL, NULL};
    struct pages range;
    int status = pages_of(pt, vaddr, pages, flags, &range);

    if (status != 0 || (flags & PAGE_FLAG_KEEP_PTES) != 0) {
        return status != 0 ? status : -ENOTSUP;
    }
    status = vmm_arch_pages_unmap(pt, vaddr, range.len,
                                  (flags & PAGE_FLAG_KEEP_FRAMES) != 0 ? NULL : &runs);
    frame_runs_release(&runs);
    return status;
}

int ukplat_page_set_attr(struct uk_pagetable *pt, __vaddr_t vaddr, unsigned long pages,
                         unsigned long new_attr, unsigned long flags)
{
    struct pages range;
    int status = pages_of(pt, vaddr, pages, flags, &range);

    if (status != 0 || vmm_arch_pte(pt, new_attr) == 0) {
        return -EINVAL;
    }
    return vmm_arch_pages_set_attr(pt, vaddr, range.len, new_attr);
}

__vaddr_t ukplat_page_kmap(struct uk_pagetable *pt, __paddr_t paddr, unsigned long pages,
                           unsigned long flags)
{
    __sz len = pages << PAGE_Lx_SHIFT(PAGE_FLAG_SIZE_TO_LEVEL(flags));

    (void)pt;
    if (len == 0 || frame_of(paddr) == NULL || frame_of(paddr + len - 1) == NULL) {
        return __VADDR_INV;
    }
    return (__vaddr_t)vmm_arch_ram(paddr);
}

void ukplat_page_kunmap(struct uk_pagetable *pt, __vaddr_t vaddr, unsigned long pages,
                        unsigned long flags)
{
    (void)pt;
    (void)vaddr;
    (void)pages;
    (void)flags;
}
