/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/vas.h"
#include "core/vma_cow.h"
#include "lukos/fault.h"
#include "lukos/status.h"
#include "lukos/vmm_arch.h"

/* Resolving faults, by accesses and by those who want memory present. */

static bool is_permitted(const struct uk_vma *vma, unsigned type)
{
    unsigned long wanted = PAGE_ATTR_PROT_RWX;

    if ((type & UK_VMA_FAULT_SOFT) != 0) {
        return (vma->attr & PAGE_ATTR_PROT_MASK) != PAGE_ATTR_PROT_NONE;
    }
    switch (type & UK_VMA_FAULT_ACCESSTYPE) {
    case UK_VMA_FAULT_WRITE:
        wanted = PAGE_ATTR_PROT_WRITE;
        break;
    case UK_VMA_FAULT_EXEC:
        wanted = PAGE_ATTR_PROT_EXEC;
        break;
    default:
        break;
    }
    return (vma->attr & wanted) != 0;
}

/* The largest page that can start at vaddr and ends at end or before. */
static unsigned largest_level(__vaddr_t vaddr, __vaddr_t end)
{
    unsigned level = PT_MAP_LEVEL_MAX;

    while (level > PAGE_LEVEL &&
           (!PAGE_Lx_ALIGNED(vaddr, level) || PAGE_Lx_SIZE(level) > end - vaddr)) {
        level--;
    }
    return level;
}

/* Let the type supply the page at vaddr of this level, and map it. -EEXIST: something is there. */
static int resolve(struct uk_vma *vma, __vaddr_t vaddr, unsigned type, unsigned level,
                   struct __regs *regs)
{
    struct uk_pagetable *pt = vma->vas->pt;
    __vaddr_t base = PAGE_Lx_ALIGN_DOWN(vaddr, level);
    __pte_t *slot;
    int status = vmm_arch_slot(pt, base, level, &slot);
    struct uk_vm_fault fault = {
        .vaddr = vaddr,
        .len = PAGE_Lx_SIZE(level),
        .vbase = base,
        .paddr = __PADDR_INV,
        .type = type,
        .pte = vmm_arch_pte(pt, vma->attr),
        .level = level,
        .regs = regs,
    };

    if (status == 0) {
        status = vma->ops->fault(vma, &fault);
        if (status == 0) {
            vmm_arch_slot_fill(pt, slot, fault.paddr, fault.pte, level);
        } else {
            (void)vmm_arch_pages_unmap(pt, base, fault.len, NULL);
        }
    }
    return status;
}

int vma_fault(struct uk_vma *vma, __vaddr_t vaddr, unsigned type, struct __regs *regs)
{
    unsigned level = vma->page_lvl < 0 ? PAGE_LEVEL : (unsigned)vma->page_lvl;
    int status;

    if (vma->ops->fault == NULL || !is_permitted(vma, type)) {
        return -EFAULT;
    }
    status = resolve(vma, vaddr, type, level, regs);
    return status == -EEXIST ? 0 : status; /* somebody was quicker: what is there stays */
}

/* One page of the range, of the size asked for, or of the largest that memory allows. */
static int prefault_page(struct uk_vma *vma, __vaddr_t vaddr, __vaddr_t end, unsigned *level)
{
    const unsigned type = UK_VMA_FAULT_SOFT | UK_VMA_FAULT_NONPRESENT;
    unsigned there;
    int status;

    *level = vma->page_lvl < 0 ? largest_level(vaddr, end) : (unsigned)vma->page_lvl;
    for (;;) {
        status = resolve(vma, vaddr, type, *level, NULL);
        if (status == -EEXIST && vmm_arch_page_at(vma->vas->pt, vaddr, &there) != 0) {
            *level = there;
            return 0;
        }
        if (vma->page_lvl >= 0 || *level == PAGE_LEVEL ||
            (status != -ENOMEM && status != -EEXIST)) {
            return status;
        }
        (*level)--; /* no memory for it, or a table with smaller pages in its place */
    }
}

int vma_prefault(struct uk_vma *vma, __vaddr_t vaddr, __sz len)
{
    __vaddr_t end = vaddr + len;

    if (vma->ops->fault == NULL || !is_permitted(vma, UK_VMA_FAULT_SOFT)) {
        return 0;
    }
    while (vaddr < end) {
        unsigned level;
        int status = prefault_page(vma, vaddr, end, &level);

        if (status != 0) {
            return status;
        }
        vaddr = PAGE_Lx_ALIGN_DOWN(vaddr, level) + PAGE_Lx_SIZE(level);
    }
    return 0;
}

int vma_unmap_owned(struct uk_vma *vma, __vaddr_t vaddr, __sz len)
{
    struct frame_runs runs = {NULL, NULL};
    int status;

    vma_frames_lock(vma);
    status = vmm_arch_pages_unmap(vma->vas->pt, vaddr, len, &runs);
    vma->vas->counts.resident -= frame_runs_release(&runs);
    vma_frames_unlock(vma);
    return status;
}

int vma_unmap_borrowed(struct uk_vma *vma, __vaddr_t vaddr, __sz len)
{
    return vmm_arch_pages_unmap(vma->vas->pt, vaddr, len, NULL);
}

static void sync_run(paddr_t start, paddr_t end)
{
    if (start != end && frame_of(start) != NULL) { /* only RAM can have been written */
        vmm_arch_sync_code(start, end - start);
    }
}

/* What was data is coherent before it becomes code; memory that goes on costs barriers once. */
static void sync_code(const struct uk_vma *vma)
{
    __vaddr_t vaddr = vma->start;
    paddr_t start = 0;
    paddr_t end = 0;

    while (vaddr < vma->end) {
        unsigned level;
        __pte_t pte = vmm_arch_page_at(vma->vas->pt, vaddr, &level);
        paddr_t pa = PT_Lx_PTE_PADDR(pte, level);

        if (pte != 0 && pa != end) {
            sync_run(start, end);
            start = pa;
        }
        if (pte != 0) {
            end = pa + PAGE_Lx_SIZE(level);
        }
        vaddr = PAGE_Lx_ALIGN_DOWN(vaddr, level) + PAGE_Lx_SIZE(level);
    }
    sync_run(start, end);
}

int vma_set_attr_mapped(struct uk_vma *vma, unsigned long attr)
{
    if ((attr & PAGE_ATTR_PROT_EXEC) != 0) {
        sync_code(vma);
    }
    return vmm_arch_pages_set_attr(vma->vas->pt, vma->start, uk_vma_len(vma),
                                   vma_cow_attr(vma, attr));
}

int fault_resolve(vaddr_t vaddr, unsigned type, struct __regs *regs)
{
    struct uk_vas *vas =
        vaddr >= vmm_arch_range_start(vas_of_kernel()->pt) ? vas_of_kernel() : uk_vas_get_active();
    struct uk_vma *vma;
    int status = -EFAULT;

    if ((vas->flags & UK_VAS_FLAG_NO_PAGING) != 0) {
        return -EFAULT;
    }
    lock_acquire(&vas->lock);
    vma = vma_of(vma_tree_find(&vas->vmas, vaddr));
    if (vma != NULL) {
        status = (type & UK_VMA_FAULT_NONPRESENT) != 0 ? vma_fault(vma, vaddr, type, regs)
                                                       : vma_cow_fault(vma, vaddr, type);
    }
    if (status == 0) {
        vas->counts.resolved[type & UK_VMA_FAULT_ACCESSTYPE]++;
        if (vas->around > 1) {
            vma_fault_around(vma, vaddr);
        }
    } else {
        vas->counts.refused++;
    }
    lock_release(&vas->lock);
    return status;
}
