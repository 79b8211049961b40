/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/vma_cow.h"
#include "lukos/status.h"
#include "lukos/vas.h"
#include "lukos/vmm_arch.h"

/* Anonymous memory: frames on demand, zeroed unless nobody cares. */

static int anon_fault(struct uk_vma *vma, struct uk_vm_fault *fault)
{
    int status = vma_supply(vma, fault, &vma->vas->counts.anonymous);

    if (status != 0) {
        return status;
    }
    if ((vma->flags & UK_VMA_FLAG_UNINITIALIZED) == 0) {
        vmm_arch_zero(fault->paddr, fault->len);
    }
    if ((vma->attr & PAGE_ATTR_PROT_EXEC) != 0) {
        vmm_arch_sync_code(fault->paddr, fault->len);
    }
    return 0;
}

static int anon_advise(struct uk_vma *vma, __vaddr_t vaddr, __sz len, unsigned long advice)
{
    int status = 0;

    if ((advice & UK_VMA_ADV_DONTNEED) != 0) {
        status = vma_unmap_owned(vma, vaddr, len);
    }
    if (status == 0 && (advice & UK_VMA_ADV_WILLNEED) != 0) {
        status = vma_prefault(vma, vaddr, len);
    }
    if (status == 0 && (advice & VAS_ADV_PROMOTE) != 0) {
        status = vma_promote(vma, vaddr, len);
    }
    return status;
}

const struct uk_vma_ops uk_vma_anon_ops = {
    .fault = anon_fault,
    .unmap = vma_unmap_owned,
    .set_attr = vma_set_attr_mapped,
    .advise = anon_advise,
    .clone = vma_clone_owned,
    .fault_takes_runs = true,
};
