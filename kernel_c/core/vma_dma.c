/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/vma_cow.h"
#include "lukos/status.h"
#include "lukos/vmm_arch.h"

/* Physical memory that belongs to somebody else. */

struct vma_dma {
    struct uk_vma base;
    paddr_t offset; /* PA = VA + offset, modulo 2^64: stays right when the VMA is cut */
};

static paddr_t dma_address(const struct uk_vma *vma, __vaddr_t vaddr)
{
    return vaddr + ((const struct vma_dma *)vma)->offset;
}

static int dma_alloc(struct uk_vas *vas, paddr_t offset, struct uk_vma **vma)
{
    struct vma_dma *dma = uk_malloc(vas->a, sizeof(*dma));

    if (dma == NULL) {
        return -ENOMEM;
    }
    dma->offset = offset;
    dma->base.name = NULL;
    *vma = &dma->base;
    return 0;
}

/* NOLINTBEGIN(readability-non-const-parameter): the type of uk_vma_ops.new */
static int dma_new(struct uk_vas *vas, __vaddr_t vaddr, __sz len, void *data, unsigned long attr,
                   unsigned long *flags, struct uk_vma **vma)
{
    const struct uk_vma_dma_args *args = data;

    (void)attr;
    if (args == NULL || !is_aligned(args->paddr, PAGE_SIZE) ||
        !vmm_arch_pa_valid(args->paddr, len) || (*flags & UK_VMA_MAP_UNINITIALIZED) != 0) {
        return -EINVAL;
    }
    return dma_alloc(vas, args->paddr - vaddr, vma);
}
/* NOLINTEND(readability-non-const-parameter) */

/* Without a page size asked for, the fault may have come at a level that the PA is not fit for. */
static int dma_fault(struct uk_vma *vma, struct uk_vm_fault *fault)
{
    fault->paddr = dma_address(vma, fault->vbase);
    if (!PAGE_Lx_ALIGNED(fault->paddr, fault->level)) {
        return vma->page_lvl == VMA_LEVEL_ANY ? -ENOMEM : -EINVAL;
    }
    if ((vma->attr & PAGE_ATTR_PROT_EXEC) != 0 && frame_of(fault->paddr) != NULL) {
        vmm_arch_sync_code(fault->paddr, fault->len); /* RAM: somebody may have put code there */
    }
    return 0;
}

static int dma_split(struct uk_vma *vma, __vaddr_t vaddr, struct uk_vma **new_vma)
{
    (void)vaddr;
    return dma_alloc(vma->vas, ((struct vma_dma *)vma)->offset, new_vma);
}

static int dma_merge(struct uk_vma *vma, struct uk_vma *next)
{
    return ((struct vma_dma *)vma)->offset == ((struct vma_dma *)next)->offset ? 0 : -EPERM;
}

static int dma_advise(struct uk_vma *vma, __vaddr_t vaddr, __sz len, unsigned long advice)
{
    return (advice & UK_VMA_ADV_WILLNEED) != 0 ? vma_prefault(vma, vaddr, len) : 0;
}

/* What is present has to stay so: somebody may count on it where faults cannot be taken. */
static int dma_clone(struct uk_vma *vma, struct uk_vas *vas, struct uk_vma **new_vma)
{
    struct uk_vma *copy = vma_copy(vma, vas, sizeof(struct vma_dma));
    int status;

    if (copy == NULL) {
        return -ENOMEM;
    }
    status = vmm_arch_pages_share(vas->pt, vma->vas->pt, vma->start, uk_vma_len(vma), false);
    if (status != 0) {
        (void)vma_unmap_borrowed(copy, vma->start, uk_vma_len(vma));
        uk_free(vas->a, copy);
        return status;
    }
    *new_vma = copy;
    return 0;
}

const struct uk_vma_ops uk_vma_dma_ops = {
    .new = dma_new,
    .fault = dma_fault,
    .unmap = vma_unmap_borrowed,
    .split = dma_split,
    .merge = dma_merge,
    .set_attr = vma_set_attr_mapped,
    .advise = dma_advise,
    .clone = dma_clone,
    .fault_takes_runs = true,
};
