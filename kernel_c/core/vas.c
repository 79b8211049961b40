/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/vas.h"

#include "core/address_space.h"
#include "core/vma.h"
#include "lukos/status.h"
#include "lukos/vmm_arch.h"

/* The kernel's own VAS: areas in the window above its map of RAM. */
static struct uk_vas kernel_vas;

int vas_init_kernel(void)
{
    struct uk_pagetable *pt = vmm_arch_kernel_context();
    int status;

    pt->fa = frames_uk_falloc();
    status = uk_vas_init(&kernel_vas, pt, uk_alloc_get_default());
    kernel_vas.vma_base = kernel_vas.low;
    return status;
}

struct uk_vas *vas_at(vaddr_t vaddr)
{
    return vaddr >= kernel_vas.low ? vas_of_kernel() : uk_vas_get_active();
}

__attribute__((noinline)) struct uk_vas *vas_of_kernel(void)
{
    return &kernel_vas;
}

int uk_vas_init(struct uk_vas *vas, struct uk_pagetable *pt, struct uk_alloc *a)
{
    if (vas == NULL || pt == NULL || a == NULL) {
        return -EINVAL;
    }
    *vas = (struct uk_vas){
        .a = a,
        .pt = pt,
        .vma_base = CONFIG_LIBUKVMEM_DEFAULT_BASE,
        .low = vmm_arch_range_start(pt),
        .size = vmm_arch_range_end(pt) - vmm_arch_range_start(pt),
        .around = 1,
        .limits = {.resident = SIZE_MAX, .vmas = SIZE_MAX},
    };
    for (unsigned attr = 0; attr <= PAGE_ATTR_PROT_RWX; attr++) {
        vas->protections[attr] = vmm_arch_pte(pt, attr);
    }
    vma_tree_init(&vas->vmas);
    return 0;
}

void uk_vas_destroy(struct uk_vas *vas)
{
    struct uk_vma *vma;

    lock_acquire(&vas->lock);
    while ((vma = vma_of(vma_tree_first(&vas->vmas))) != NULL) {
        if (vma->ops->unmap != NULL) {
            (void)vma->ops->unmap(vma, vma->start, uk_vma_len(vma));
        }
        vma_drop(vma);
    }
    lock_release(&vas->lock);
}

struct uk_vas *uk_vas_get_active(void)
{
    const struct uk_pagetable *pt = vmm_arch_active();

    return pt == NULL || pt->arch.vas == NULL ? vas_of_kernel() : pt->arch.vas;
}

int uk_vas_set_active(struct uk_vas *vas)
{
    if (vas == NULL) {
        return -EINVAL;
    }
    vas->pt->arch.vas = vas;
    vmm_arch_activate(vas == &kernel_vas ? NULL : vas->pt);
    return 0;
}

const struct uk_vma *uk_vma_find(struct uk_vas *vas, __vaddr_t vaddr)
{
    return vma_of(vma_tree_find(&vas->vmas, vaddr));
}
