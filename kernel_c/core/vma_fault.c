/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/vas.h"
#include "core/vma_cow.h"
#include "lukos/fault.h"
#include "lukos/status.h"
#include "lukos/vmm_arch.h"

/* Resolving faults, by accesses and by those who want memory present. */

/* The rights of which an access needs one, by UK_VMA_FAULT_ACCESSTYPE. */
static const uint8_t wanted[UK_VMA_FAULT_ACCESSTYPE + 1] = {
    [UK_VMA_FAULT_READ] = PAGE_ATTR_PROT_RWX,
    [UK_VMA_FAULT_WRITE] = PAGE_ATTR_PROT_WRITE,
    [UK_VMA_FAULT_EXEC] = PAGE_ATTR_PROT_EXEC,
    [UK_VMA_FAULT_ACCESSTYPE] = PAGE_ATTR_PROT_RWX,
};

static inline bool is_permitted(const struct uk_vma *vma, unsigned type)
{
    if ((type & UK_VMA_FAULT_SOFT) != 0) {
        return (vma->attr & PAGE_ATTR_PROT_MASK) != PAGE_ATTR_PROT_NONE;
    }
    return (vma->attr & wanted[type & UK_VMA_FAULT_ACCESSTYPE]) != 0;
}

paddr_t vma_frames_alloc(size_t count, unsigned order)
{
    paddr_t pa = frames_alloc(count, order, FRAME_PAGE);

    if (pa != 0) {
        frames_split(pa, count, order);
    }
    return pa;
}

/* The largest page that can start at vaddr and ends at end or before. */
static unsigned largest_level(__vaddr_t vaddr, __vaddr_t end)
{
    unsigned level = PT_MAP_LEVEL_MAX;

    while (level > PAGE_LEVEL &&
           (!PAGE_Lx_ALIGNED(vaddr, level) || (end - vaddr) >> PAGE_Lx_SHIFT(level) == 0)) {
        level--;
    }
    return level;
}

/* Let the type supply the memory for these empty slots, that of vaddr first, and map it. */
static inline int supply(const struct uk_vas *vas, struct uk_vma *vma, __vaddr_t vaddr,
                         unsigned type, unsigned level, struct __regs *regs, __pte_t *slots,
                         size_t count)
{
    struct uk_vm_fault fault = {
        .vaddr = vaddr,
        .len = count << PAGE_Lx_SHIFT(level),
        .vbase = PAGE_Lx_ALIGN_DOWN(vaddr, level),
        .paddr = __PADDR_INV,
        .type = type,
        .pte = vma_pte(vas, vma->attr),
        .level = level,
        .regs = regs,
    };
    int status = vma->ops->fault(vma, &fault);

    if (status == 0) {
        vmm_arch_slots_fill(slots, count, fault.paddr, fault.pte, level);
    }
    return status;
}

/* Slots that stay empty: with them go tables that were made for them. */
static __attribute__((noinline)) int give_up(struct uk_vma *vma, __vaddr_t vaddr, unsigned level,
                                             int status)
{
    (void)vmm_arch_pages_unmap(vma->vas->pt, PAGE_Lx_ALIGN_DOWN(vaddr, level), PAGE_Lx_SIZE(level),
                               NULL);
    return status;
}

static inline int fault(const struct uk_vas *vas, struct uk_vma *vma, __vaddr_t vaddr,
                        unsigned type, struct __regs *regs)
{
    unsigned level = vma_level(vma);
    __pte_t *slot;
    int status;

    if (vma->ops->fault == NULL || !is_permitted(vma, type)) {
        return -EFAULT;
    }
    status = vmm_arch_slot(vas->pt, vaddr, level, &slot);
    if (status != 0) {
        return status == -EEXIST ? 0 : status; /* somebody was quicker: what is there stays */
    }
    status = supply(vas, vma, vaddr, type, level, regs, slot, 1);
    if (status != 0) {
        return give_up(vma, vaddr, level, status);
    }
    vmm_arch_publish();
    return 0;
}

/* Pages that are made present together: the address in the first, their size and number. */
struct run {
    __vaddr_t vaddr;
    unsigned level;
    size_t count;
};

/*
 * The run of pages of this level from vaddr up to end, as long as the type will supply at a time.
 * Only where the VMA insists on their size it may go on above end.
 */
static inline struct run run_of(const struct uk_vma *vma, __vaddr_t vaddr, __vaddr_t end,
                                unsigned level)
{
    __sz len = end - PAGE_Lx_ALIGN_DOWN(vaddr, level);

    if (vma->page_lvl != VMA_LEVEL_ANY) {
        len += PAGE_Lx_SIZE(level) - 1;
    }
    return (struct run){vaddr, level, vma->ops->fault_takes_runs ? len >> PAGE_Lx_SHIFT(level) : 1};
}

static inline __vaddr_t run_end(const struct run *run)
{
    return PAGE_Lx_ALIGN_DOWN(run->vaddr, run->level) + (run->count << PAGE_Lx_SHIFT(run->level));
}

static inline int run_supply(struct uk_vma *vma, const struct run *run, __pte_t *slots)
{
    const unsigned type = UK_VMA_FAULT_SOFT | UK_VMA_FAULT_NONPRESENT;

    return supply(vma->vas, vma, run->vaddr, type, run->level, NULL, slots, run->count);
}

/* Map a run with fewer pages than there are slots for; how many. *status: why, and the new one. */
static __attribute__((noinline)) size_t map_fewer(struct uk_vma *vma, __vaddr_t vaddr,
                                                  unsigned level, __pte_t *slots, size_t count,
                                                  int *status)
{
    struct run run = {vaddr, level, count};

    while (run.count > 1 && (*status == -ENOMEM || *status == -EDQUOT)) {
        run.count /= 2;
        *status = run_supply(vma, &run, slots);
    }
    if (*status != 0) {
        *status = give_up(vma, vaddr, level, *status);
    }
    return run.count;
}

/*
 * Map as many pages of the run, which receives their number, as there are empty slots and
 * consecutive memory for. -EEXIST: something is at the first.
 */
static inline __attribute__((always_inline)) int run_map(struct uk_vma *vma, struct run *run)
{
    __pte_t *slots;
    int status = vmm_arch_slot(vma->vas->pt, run->vaddr, run->level, &slots);

    if (status != 0) {
        return status;
    }
    if (run->count > 1) {
        run->count = vmm_arch_slots_empty(slots, run->vaddr, run->level, run->count);
    }
    status = run_supply(vma, run, slots);
    if (status != 0) {
        int fewer = status;

        run->count = map_fewer(vma, run->vaddr, run->level, slots, run->count, &fewer);
        status = fewer;
    }
    return status;
}

/*
 * A run that has no memory, or a table with smaller pages in its place, in smaller pages; a page
 * that is there already will do as well. *next receives where the next run starts.
 */
static __attribute__((noinline)) int prefault_smaller(struct uk_vma *vma, __vaddr_t vaddr,
                                                      __vaddr_t end, unsigned level, int status,
                                                      __vaddr_t *next)
{
    struct run run = {vaddr, level, 1};

    while (status == -ENOMEM || status == -EEXIST) {
        if (status == -EEXIST && vmm_arch_page_at(vma->vas->pt, vaddr, &level) != 0) {
            run = (struct run){vaddr, level, 1};
            status = 0;
        } else if (vma->page_lvl != VMA_LEVEL_ANY || run.level == PAGE_LEVEL) {
            break;
        } else {
            run = run_of(vma, vaddr, end, run.level - 1);
            status = run_map(vma, &run);
        }
    }
    *next = run_end(&run);
    return status;
}

/*
 * Make pages present from vaddr on, in the size asked for, or in the largest that memory allows:
 * at least one of them. *next receives where the next one starts.
 */
static inline __attribute__((always_inline)) int prefault_run(struct uk_vma *vma, __vaddr_t vaddr,
                                                              __vaddr_t end, __vaddr_t *next)
{
    unsigned level = vma->page_lvl == VMA_LEVEL_ANY ? largest_level(vaddr, end) : vma_level(vma);
    struct run run = run_of(vma, vaddr, end, level);
    int status = run_map(vma, &run);

    if (status != 0) {
        return prefault_smaller(vma, vaddr, end, level, status, next);
    }
    *next = run_end(&run);
    return 0;
}

/* What one run has left of a range: a page or more. */
static __attribute__((noinline)) int prefault_rest(struct uk_vma *vma, __vaddr_t vaddr,
                                                   __vaddr_t end)
{
    int status;

    do {
        if (!vma->ops->fault_takes_runs) {
            vmm_arch_publish(); /* its handler may look at the pages before */
        }
        status = prefault_run(vma, vaddr, end, &vaddr);
    } while (vaddr < end && status == 0);
    return status;
}

int vma_prefault(struct uk_vma *vma, __vaddr_t vaddr, __sz len)
{
    __vaddr_t end = vaddr + len;
    __vaddr_t next;
    int status;

    if (vma->ops->fault == NULL || !is_permitted(vma, UK_VMA_FAULT_SOFT)) {
        return 0;
    }
    status = prefault_run(vma, vaddr, end, &next);
    if (status == 0 && next < end) {
        status = prefault_rest(vma, next, end);
    }
    vmm_arch_publish();
    return status;
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

static __attribute__((noinline)) void sync_run(paddr_t start, paddr_t end)
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

    do {
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
    } while (vaddr < vma->end);
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
    struct uk_vas *vas = vas_at(vaddr);
    struct uk_vma *vma;
    int status = -EFAULT;

    if ((vas->flags & UK_VAS_FLAG_NO_PAGING) != 0) {
        return -EFAULT;
    }
    lock_acquire(&vas->lock);
    vma = vma_from(vas, vaddr);
    if (vma != NULL && vma->start <= vaddr) {
        status = (type & UK_VMA_FAULT_NONPRESENT) != 0 ? fault(vas, vma, vaddr, type, regs)
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
