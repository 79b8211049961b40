/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/vma.h"
#include "lib/bits.h"
#include "lukos/status.h"
#include "lukos/vas.h"
#include "lukos/vmm_arch.h"

/* Fault-around: who faults on a page gets its neighbours too. */

int vas_set_fault_around(struct uk_vas *vas, size_t pages)
{
    if (vas == NULL || pages > VAS_AROUND_MAX || !is_power_of_two(pages)) {
        return -EINVAL;
    }
    lock_acquire(&vas->lock);
    vas->around = pages;
    lock_release(&vas->lock);
    return 0;
}

/*
 * The window is aligned, so that it lies in the table of the page that has faulted: neighbours never
 * cost a table. What a type does when told that memory will be needed is right here, too; where it
 * fails, the access has worked all the same.
 */
void vma_fault_around(struct uk_vma *vma, __vaddr_t vaddr)
{
    __sz window = vma->vas->around * PAGE_SIZE;
    __vaddr_t low = max_u64(align_down(vaddr, window), vma->start);
    __vaddr_t high = min_u64(align_down(vaddr, window) + window, vma->end);

    if (vma_level(vma) == PAGE_LEVEL && vma->ops->advise != NULL) {
        (void)vma->ops->advise(vma, low, high - low, UK_VMA_ADV_WILLNEED);
    }
}
