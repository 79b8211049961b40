/* SPDX-License-Identifier: BSD-3-Clause */
#include "lukos/frames.h"
#include "lukos/status.h"
#include "lukos/vmm_arch.h"
#include <uk/plat/paging.h>

/* uk/plat/paging.h: page tables as a whole. */

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

/* A reference more for what the page maps of the allocator's memory. */
static int share_frames(__pte_t pte, unsigned level)
{
    const struct frame *frame = frame_of(PT_Lx_PTE_PADDR(pte, level));

    return frame == NULL || frame->purpose != FRAME_PAGE
               ? 0
               : frames_share(PT_Lx_PTE_PADDR(pte, level), PAGE_Lx_SIZE(level) / PAGE_SIZE);
}

/* Page by page, so that what has been done can be undone. */
static int copy_pages(struct uk_pagetable *pt, const struct uk_pagetable *pt_src)
{
    __vaddr_t vaddr = vmm_arch_range_start(pt_src);
    int status = 0;

    while (status == 0 && vaddr < vmm_arch_range_end(pt_src)) {
        unsigned level;
        __pte_t pte = vmm_arch_page_at(pt_src, vaddr, &level);
        __vaddr_t base = PAGE_Lx_ALIGN_DOWN(vaddr, level);

        if (pte != 0) {
            status = vmm_arch_pages_share(pt, pt_src, base, PAGE_Lx_SIZE(level), false);
            if (status == 0) {
                status = share_frames(pte, level);
            }
            if (status != 0) {
                (void)vmm_arch_pages_unmap(pt, base, PAGE_Lx_SIZE(level), NULL);
            }
        }
        vaddr = base + PAGE_Lx_SIZE(level);
    }
    return status;
}

int ukplat_pt_clone(struct uk_pagetable *pt, struct uk_pagetable *pt_src, unsigned long flags)
{
    int status;

    if (pt == NULL || pt_src == NULL || pt == pt_src) {
        return -EINVAL;
    }
    status = vmm_arch_pagetable_init(pt);
    if (status != 0) {
        return status;
    }
    pt->fa = pt_src->fa;
    if (flags != PAGE_FLAG_CLONE_NEW && pt_src != vmm_arch_kernel_context()) {
        status = copy_pages(pt, pt_src);
        if (status != 0) {
            (void)ukplat_pt_free(pt, 0);
        }
    }
    return status;
}

int ukplat_pt_add_mem(struct uk_pagetable *pt, __paddr_t start, __sz len)
{
    if (pt == NULL || !PAGE_ALIGNED(start | len)) {
        return -EINVAL;
    }
    return len == 0 ? 0 : pt->fa->addmem(pt->fa, NULL, start, len / PAGE_SIZE, __VADDR_INV);
}

int ukplat_pt_init(struct uk_pagetable *pt, __paddr_t start, __sz len)
{
    int status = ukplat_pt_add_mem(ukplat_pt_get_active(), start, len);

    return status != 0 ? status : ukplat_pt_clone(pt, ukplat_pt_get_active(), 0);
}

int ukplat_paging_init(void)
{
    return 0;
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
