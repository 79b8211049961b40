/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/ukplat.h"
#include "lukos/frames.h"
#include "lukos/status.h"
#include "lukos/vmm_arch.h"

/* uk/plat/paging.h: changing pages by hand, over the contract with the architecture. */

int ukplat_pages(const struct uk_pagetable *pt, __vaddr_t vaddr, unsigned long count,
                 unsigned long flags, struct pages *pages)
{
    unsigned level = (unsigned)PAGE_FLAG_SIZE_TO_LEVEL(flags);
    __sz len;

    if (pt == NULL || level > PT_MAP_LEVEL_MAX || !PAGE_Lx_ALIGNED(vaddr, level) ||
        __builtin_mul_overflow(count, PAGE_Lx_SIZE(level), &len)) {
        return -EINVAL;
    }
    *pages = (struct pages){vaddr, vaddr + len, level, (flags & PAGE_FLAG_FORCE_SIZE) != 0};
    return len == 0 || vmm_arch_range_valid(pt, vaddr, len) ? 0 : -EINVAL;
}

/* The page at vaddr, or 0, and where the next may start. */
static __pte_t page_at(const struct uk_pagetable *pt, __vaddr_t vaddr, unsigned *level,
                       __vaddr_t *next)
{
    __pte_t pte = vmm_arch_page_at(pt, vaddr, level);

    *next = PAGE_Lx_ALIGN_DOWN(vaddr, *level) + PAGE_Lx_SIZE(*level);
    return pte;
}

/* -EFAULT: the size is forced, and there are other pages. */
static int check_sizes(const struct uk_pagetable *pt, const struct pages *pages)
{
    __vaddr_t vaddr = pages->forced ? pages->vaddr : pages->end;
    unsigned level;

    while (vaddr < pages->end) {
        if (page_at(pt, vaddr, &level, &vaddr) != 0 && level != pages->level) {
            return -EFAULT;
        }
    }
    return 0;
}

/* The descriptor stays, but for "present"; where the memory goes, the address goes with it. */
static void hide_page(struct uk_pagetable *pt, __vaddr_t vaddr, unsigned level, __pte_t pte,
                      struct frame_runs *runs)
{
    __paddr_t paddr = PT_Lx_PTE_PADDR(pte, level);
    const struct frame *frame = frame_of(paddr);

    if (runs != NULL && frame != NULL && frame->purpose == FRAME_PAGE) {
        frame_runs_add(runs, paddr, PAGE_Lx_SIZE(level) / PAGE_SIZE);
    }
    vmm_arch_page_replace(pt, vaddr, runs == NULL ? paddr : 0, PT_Lx_PTE_CLEAR_PRESENT(pte, level),
                          level);
}

/* One page or more. */
static int hide_pages(struct uk_pagetable *pt, const struct pages *pages, struct frame_runs *runs)
{
    __vaddr_t vaddr = pages->vaddr;
    int status = vmm_arch_pages_cut(pt, vaddr);

    if (status == 0 && pages->end != vmm_arch_range_end(pt)) {
        status = vmm_arch_pages_cut(pt, pages->end);
    }
    if (status != 0) {
        return status;
    }
    do {
        __vaddr_t next;
        unsigned level;
        __pte_t pte = page_at(pt, vaddr, &level, &next);

        if (PT_Lx_PTE_PRESENT(pte, level)) {
            hide_page(pt, vaddr, level, pte, runs);
        }
        vaddr = next;
    } while (vaddr < pages->end);
    return 0;
}

int ukplat_page_unmap(struct uk_pagetable *pt, __vaddr_t vaddr, unsigned long pages,
                      unsigned long flags)
{
    struct frame_runs freed = {NULL, NULL};
    struct frame_runs *runs = (flags & PAGE_FLAG_KEEP_FRAMES) != 0 ? NULL : &freed;
    struct pages range;
    int status;

    if (pt != NULL && vaddr == __VADDR_ANY) {
        vaddr = vmm_arch_range_start(pt);
        pages = (vmm_arch_range_end(pt) - vaddr) / PAGE_SIZE;
        flags &= ~(PAGE_FLAG_SIZE_MASK << PAGE_FLAG_SIZE_SHIFT);
    }
    status = ukplat_pages(pt, vaddr, pages, flags, &range);
    if (status == 0) {
        status = check_sizes(pt, &range);
    }
    if (status != 0 || pages == 0) {
        return status;
    }
    status = (flags & PAGE_FLAG_KEEP_PTES) != 0
                 ? hide_pages(pt, &range, runs)
                 : vmm_arch_pages_unmap(pt, vaddr, range.end - vaddr, runs);
    frame_runs_release(&freed);
    return status;
}

int ukplat_page_set_attr(struct uk_pagetable *pt, __vaddr_t vaddr, unsigned long pages,
                         unsigned long new_attr, unsigned long flags)
{
    struct pages range;
    int status = ukplat_pages(pt, vaddr, pages, flags, &range);

    if (status == 0 && vmm_arch_pte(pt, new_attr) == 0) {
        status = -EINVAL;
    }
    if (status == 0) {
        status = check_sizes(pt, &range);
    }
    if (status != 0 || pages == 0) {
        return status;
    }
    return vmm_arch_pages_set_attr(pt, vaddr, range.end - vaddr, new_attr);
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
