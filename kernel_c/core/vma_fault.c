/* SPDX-License-Identifier: BSD-3-Clause */
#include "lukos/fault.h"
#include "core/vas.h"
#include "core/vma.h"
#include "lukos/status.h"
#include "lukos/vmm_arch.h"

/* Resolving faults, by accesses and by those who want memory present. */

static bool is_permitted(const struct uk_vma *vma, unsigned type)
{
    unsigned long wanted = PAGE_ATTR_PROT_READ | PAGE_ATTR_PROT_RWX;

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

/* The largest page that vaddr can be in with nothing of it outside [low, high). */
static unsigned largest_level(__vaddr_t vaddr, __vaddr_t low, __vaddr_t high)
{
    unsigned level = PT_MAP_LEVEL_MAX;

    while (level > PAGE_LEVEL) {
        __vaddr_t start = PAGE_Lx_ALIGN_DOWN(vaddr, level);

        if (start >= low && start + PAGE_Lx_SIZE(level) - 1 < high) {
            break;
        }
        level--;
    }
    return level;
}

/* Let the type supply the page at vaddr of this level, and map it. */
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

    if (status == -EEXIST) {
        return 0; /* somebody was quicker: what is there stays */
    }
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

    if (vma->ops->fault == NULL || !is_permitted(vma, type)) {
        return -EFAULT;
    }
    return resolve(vma, vaddr, type, level, regs);
}

/* One page of the range, of the size asked for, or of the largest that memory allows. */
static int prefault_page(struct uk_vma *vma, __vaddr_t vaddr, __vaddr_t low, __vaddr_t high,
                         unsigned *level)
{
    const unsigned type = UK_VMA_FAULT_SOFT | UK_VMA_FAULT_NONPRESENT;
    int status;

    if (vma->page_lvl >= 0) {
        *level = (unsigned)vma->page_lvl;
        return resolve(vma, vaddr, type, *level, NULL);
    }
    *level = largest_level(vaddr, low, high);
    while ((status = resolve(vma, vaddr, type, *level, NULL)) == -ENOMEM && *level > PAGE_LEVEL) {
        (*level)--;
    }
    return status;
}

int vma_prefault(struct uk_vma *vma, __vaddr_t vaddr, __sz len)
{
    __vaddr_t end = vaddr + len;
    __vaddr_t low = vaddr;

    if (vma->ops->fault == NULL || !is_permitted(vma, UK_VMA_FAULT_SOFT)) {
        return 0;
    }
    while (vaddr < end) {
        unsigned level;
        int status = prefault_page(vma, vaddr, low, end, &level);

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
    int status = vmm_arch_pages_unmap(vma->vas->pt, vaddr, len, &runs);

    frame_runs_release(&runs);
    return status;
}

int vma_set_attr_mapped(struct uk_vma *vma, unsigned long attr)
{
    return vmm_arch_pages_set_attr(vma->vas->pt, vma->start, uk_vma_len(vma), attr);
}

int fault_resolve(vaddr_t vaddr, unsigned type, struct __regs *regs)
{
    struct uk_vas *vas = vaddr >= vmm_arch_range_start(vas_of_kernel()->pt) ? vas_of_kernel()
                                                                           : uk_vas_get_active();
    struct uk_vma *vma;
    int status = -EFAULT;

    if ((vas->flags & UK_VAS_FLAG_NO_PAGING) != 0 || (type & UK_VMA_FAULT_NONPRESENT) == 0) {
        return -EFAULT;
    }
    lock_acquire(&vas->lock);
    vma = vma_of(vma_tree_find(&vas->vmas, vaddr));
    if (vma != NULL) {
        status = vma_fault(vma, vaddr, type, regs);
    }
    lock_release(&vas->lock);
    return status;
}
